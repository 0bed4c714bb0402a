//! How a text is cut into words before any merging: split patterns by name, in the spelling that the tokenizers library
//! knows by heart, and the `pre_tokenizer` of a byte-level tokenizer that cuts so.

use serde_json::{Value, json};

use super::failed;
use crate::error::Result;

pub(super) const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
pub(super) const LLAMA_3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+",
    r"|\s+(?!\S)|\s+"
);
pub(super) const QWEN_2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+",
    r"|\s+(?!\S)|\s+"
);
pub(super) const QWEN_35: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+",
    r"|\s+(?!\S)|\s+"
);
pub(super) const O200K: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
pub(super) const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// tiktoken's own spellings of `GPT_2` and `LLAMA_3`: the same words, but for `cl100k` at the very end of a text.
const R50K: &str = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s";
const CL100K: &str = concat!(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]",
    r"|\s+(?!\S)|\s"
);

/// How tiktoken cuts a text: at the matches of a pattern.
pub(super) struct Pattern<'a> {
    regex: &'a str,
    known: bool,
    /// A text's last white space is one word, even with a line's end inside: no token may begin with one and go on.
    pub(super) tail_is_one_word: bool,
    /// What knows the pattern by this name composes a text first (NFC): Qwen's own code does.
    pub(super) composes: bool,
}

impl<'a> Pattern<'a> {
    /// By name, or a regular expression as tiktoken has it.
    pub(super) fn new(pattern: &'a str) -> Result<Self> {
        let known = |regex| Ok(Self { regex, known: true, tail_is_one_word: false, composes: false });
        match pattern.strip_suffix("_base").unwrap_or(pattern) {
            "gpt2" | "r50k" | "p50k" => known(GPT_2),
            "cl100k" => Ok(Self { tail_is_one_word: true, ..known(LLAMA_3)? }),
            "llama3" => known(LLAMA_3),
            "qwen2" => Ok(Self { composes: true, ..known(QWEN_2)? }),
            "qwen35" => Ok(Self { composes: true, ..known(QWEN_35)? }),
            "o200k" | "llama4" => known(O200K),
            "tekken" => known(TEKKEN),
            name if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') => {
                const KNOWN: &str = "gpt2, r50k, p50k, cl100k, o200k, llama3, llama4, qwen2, qwen35, tekken";
                Err(failed(format!("pattern: there is none of name {name:?} (there are: {KNOWN})")))
            }
            GPT_2 | R50K => known(GPT_2),
            CL100K => Ok(Self { tail_is_one_word: true, ..known(LLAMA_3)? }),
            LLAMA_3 | QWEN_2 | QWEN_35 | O200K | TEKKEN => known(pattern),
            _ => {
                check_regex(pattern)?;
                Ok(Self { known: false, ..known(pattern)? })
            }
        }
    }

    pub(super) fn normalizer(&self) -> Value {
        if self.composes { json!({"type": "NFC"}) } else { Value::Null }
    }

    pub(super) fn pre_tokenizer(&self) -> Value {
        match (self.known, self.regex) {
            (true, GPT_2) => byte_level(&[Step::Gpt2]),
            (true, regex) => byte_level(&[Step::Split(regex)]),
            // What the pattern does not match, tiktoken leaves out.
            (false, regex) => json!({"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Removed", "invert": true},
                last(false)]}),
        }
    }
}

/// Refuse what the library's regular expressions (Oniguruma, Ruby's syntax) read otherwise than tiktoken's.
fn check_regex(pattern: &str) -> Result<()> {
    let bytes = pattern.as_bytes();
    let differs = |what: &str| {
        Err(failed(format!("pattern: {what} means something else in a tokenizer.json, so it cannot be written as one")))
    };
    let (mut i, mut in_class) = (0, 0_u32);
    // Whether case is ignored, in each group that is open.
    let mut ignores_case = vec![false];
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => match (bytes.get(i + 1), bytes.get(i + 2)) {
                // A name in braces belongs to its escape.
                (Some(kind @ (b'p' | b'P' | b'x' | b'u')), Some(b'{')) => {
                    let name = bytes[i + 3..].split(|&c| c == b'}').next().unwrap_or_default();
                    let is_cased = matches!(name, [.., b'L', b'u' | b'l' | b't']);
                    if is_cased && matches!(kind, b'p' | b'P') && ignores_case.last() == Some(&true) {
                        return differs(r"\p{Lu}, \p{Ll} or \p{Lt} where case is ignored");
                    }
                    i += 3 + name.len();
                }
                (Some(b'p' | b'P'), _) => return differs(r"\p without braces"),
                _ => i += 1,
            },
            b'[' => in_class += 1,
            b']' => in_class = in_class.saturating_sub(1),
            c @ (b'-' | b'~') if in_class > 0 && bytes.get(i + 1) == Some(&c) => return differs("-- or ~~ in a class"),
            _ if in_class > 0 => {}
            b'^' => return differs("^"),
            b'$' => return differs("$"),
            b'.' => return differs("."),
            b'}' if bytes.get(i + 1) == Some(&b'+') => return differs("a possessive interval such as {1,3}+"),
            b')' if ignores_case.len() > 1 => drop(ignores_case.pop()),
            b'(' => {
                ignores_case.extend(ignores_case.last().copied());
                if bytes.get(i + 1) == Some(&b'?') {
                    let all = &bytes[i + 2..];
                    let flags = all.split(|c| !c.is_ascii_alphabetic() && *c != b'-').next().unwrap_or_default();
                    if let Some(&flag) = flags.iter().find(|flag| !matches!(flag, b'i' | b'-' | b'P')) {
                        return differs(&format!("the flag {:?}", char::from(flag)));
                    }
                    if let Some(at) = flags.iter().position(|&flag| flag == b'i') {
                        // By itself, `(?i)`, it is for the rest of the group around it.
                        let n_open = ignores_case.len() - usize::from(all.get(flags.len()) == Some(&b')'));
                        ignores_case[n_open - 1] = !flags[..at].contains(&b'-');
                    }
                }
            }
            _ => {}
        }
        i += 1;
    }
    Ok(())
}

/// One cut of what the cuts before it left.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// Each match of the pattern, and what is between two.
    Split(&'a str),
    /// Each digit by itself.
    Digits,
    /// As `GPT_2`.
    Gpt2,
}

/// The cuts in order, and then every byte as its character.
pub(super) fn byte_level(steps: &[Step<'_>]) -> Value {
    let (steps, use_regex) = match steps {
        [before @ .., Step::Gpt2] => (before, true),
        _ => (steps, false),
    };
    if steps.is_empty() {
        return last(use_regex);
    }
    let steps = steps.iter().map(|step| match step {
        Step::Split(regex) => split(regex),
        Step::Digits => json!({"type": "Digits", "individual_digits": true}),
        Step::Gpt2 => split(GPT_2),
    });
    json!({"type": "Sequence", "pretokenizers": steps.chain([last(use_regex)]).collect::<Vec<_>>()})
}

pub(super) fn split(regex: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false})
}

fn last(use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex})
}
