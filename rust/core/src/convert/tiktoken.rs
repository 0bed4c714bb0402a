//! tiktoken: a file of ranks, with the pattern and the special tokens that its users know by heart. tekken, Mistral's, is
//! the same in one JSON.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::merges::Ranked;
use super::pre_tokenizer::Pattern;
use super::{Bpe, Converted, File, Model, added_token, base64, check_size, failed, template};
use crate::byte_level::{byte_of, char_of};
use crate::error::Result;
use crate::limits::{Limits, within};

/// From a file of ranks, one token a line: its bytes in base64, a space, its rank, which is its id. The lower of two
/// ranks is merged first. `pattern`: the name of a known one, or a regular expression as tiktoken has it. By the names of
/// Qwen's, a text is composed first (NFC), as Qwen's own code does before it asks tiktoken.
pub fn tiktoken(ranks: &[u8], pattern: &str, special_tokens: &[(String, u32)]) -> Result<Converted> {
    check_size(ranks.len())?;
    let mut tokens = Vec::new();
    for (i, line) in ranks.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let wrong = |what: &str| failed(format!("line {}: {what}", i + 1));
        let (token, rank) = match line.iter().position(u8::is_ascii_whitespace) {
            Some(space) => (&line[..space], line[space..].trim_ascii()),
            None => return Err(wrong("it is not a token and its rank")),
        };
        let token = base64::decode(token).ok_or_else(|| wrong("the token is no base64"))?;
        let digits = rank.iter().all(u8::is_ascii_digit);
        let rank = std::str::from_utf8(rank).ok().filter(|_| digits).and_then(|rank| rank.parse().ok());
        tokens.push((token, rank.ok_or_else(|| wrong("the rank is no number from 0 to 4294967295"))?));
        check_count(tokens.len())?;
    }
    let json = ranked(&tokens, Pattern::new(pattern)?, special_tokens, Value::Null)?;
    Ok(Converted { json, ..Converted::default() })
}

/// From tokens and their ranks, as `tiktoken`, and whether a text is composed first (NFC).
pub fn ranks(
    tokens: &[(Vec<u8>, u32)],
    pattern: &str,
    special_tokens: &[(String, u32)],
    composes: bool,
) -> Result<Converted> {
    check_count(tokens.len())?;
    let mut pattern = Pattern::new(pattern)?;
    pattern.composes = composes;
    Ok(Converted { json: ranked(tokens, pattern, special_tokens, Value::Null)?, ..Converted::default() })
}

/// What is in a `tekken.json`, as far as it says how to encode.
#[derive(Deserialize)]
struct Tekken {
    config: TekkenConfig,
    vocab: Vec<TekkenToken>,
    special_tokens: Option<Vec<TekkenSpecial>>,
}

#[derive(Deserialize)]
struct TekkenConfig {
    pattern: String,
    default_vocab_size: u32,
    default_num_special_tokens: u32,
}

#[derive(Deserialize)]
struct TekkenToken {
    rank: u32,
    token_bytes: String,
}

#[derive(Deserialize)]
struct TekkenSpecial {
    rank: u32,
    token_str: String,
}

/// The special tokens of files that do not name them.
const TEKKEN_SPECIAL_TOKENS: [&str; 20] = [
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
];

/// From a `tekken.json`. The special tokens come first, the ranks count from after them; a text begins with `<s>`.
pub fn tekken(json: &[u8]) -> Result<Converted> {
    check_size(json.len())?;
    let file: Tekken = serde_json::from_slice(json).map_err(|error| failed(format!("tekken.json: {error}")))?;
    let n_special = file.config.default_num_special_tokens;
    let n_ranked = file.config.default_vocab_size.checked_sub(n_special);
    let n_ranked = n_ranked.ok_or_else(|| failed("tekken.json: more special tokens than tokens"))?;
    check_count(file.config.default_vocab_size as usize)?;
    if (file.vocab.len() as u64) < n_ranked.into() {
        return Err(failed(format!("tekken.json: {} tokens of {n_ranked}", file.vocab.len())));
    }
    let mut special: Vec<(String, u32)> = match file.special_tokens {
        Some(tokens) => tokens.into_iter().map(|token| (token.token_str, token.rank)).collect(),
        None => (0..).zip(TEKKEN_SPECIAL_TOKENS).map(|(rank, token)| (token.to_owned(), rank)).collect(),
    };
    if let Some((i, (token, rank))) = special.iter().enumerate().find(|(i, (_, rank))| *i as u64 != u64::from(*rank)) {
        return Err(failed(format!("tekken.json: special token {i} is {token:?} of rank {rank}")));
    }
    if special.len() as u64 > n_special.into() {
        return Err(failed(format!("tekken.json: {} special tokens of {n_special}", special.len())));
    }
    special.extend((special.len() as u32..n_special).map(|rank| (format!("<SPECIAL_{rank}>"), rank)));

    let mut tokens = Vec::with_capacity(n_ranked as usize);
    for (i, token) in (0..n_ranked).zip(&file.vocab) {
        if token.rank != i {
            return Err(failed(format!("tekken.json: token {i} has rank {}", token.rank)));
        }
        let bytes = base64::decode(token.token_bytes.as_bytes());
        let bytes = bytes.ok_or_else(|| failed(format!("tekken.json: token {i} is no base64")))?;
        tokens.push((bytes, i + n_special));
    }
    let named = |name: &str| special.iter().find(|(token, _)| token == name);
    let bos = named("<s>");
    let begin = template(bos.map(|(token, id)| (&token[..], *id)).as_slice(), &[]);
    Ok(Converted {
        json: ranked(&tokens, Pattern::new(&file.config.pattern)?, &special, begin)?,
        eos_tokens: named("</s>").map(|(token, _)| vec![token.clone()]),
        bos_token: bos.map(|(token, _)| token.clone()),
        ..Converted::default()
    })
}

fn check_count(n: usize) -> Result<()> {
    within("vocab_size", n, Limits::DEFAULT.vocab_size)
}

/// The `tokenizer.json` of tokens and their ids; of two, the one of the lower id is merged first.
fn ranked(
    tokens: &[(Vec<u8>, u32)],
    pattern: Pattern<'_>,
    special_tokens: &[(String, u32)],
    post_processor: Value,
) -> Result<Vec<u8>> {
    let mut ids = HashSet::with_capacity(tokens.len());
    let mut ranks = HashMap::with_capacity(tokens.len());
    for (token, id) in tokens {
        within("token_bytes", token.len(), Limits::DEFAULT.token_bytes)?;
        if token.is_empty() {
            return Err(failed(format!("the token of rank {id} is empty")));
        }
        if ranks.insert(&token[..], *id).is_some() {
            return Err(failed(format!("the token {:?} has two ranks", text_of(token))));
        }
        if !ids.insert(*id) {
            return Err(failed(format!("two tokens have rank {id}")));
        }
        if pattern.tail_is_one_word
            && let Some(end) = token.iter().rposition(|byte| matches!(byte, b'\r' | b'\n'))
            && end + 1 < token.len()
        {
            let what = format!("pattern: with the token {:?} it cannot be written as a tokenizer.json", text_of(token));
            return Err(failed(what));
        }
    }
    let largest = ids.iter().copied().chain(special_tokens.iter().map(|(_, id)| *id)).max();
    check_count(largest.map_or(0, |id| id as usize + 1))?;
    if let Some(byte) = (0..=255_u8).find(|byte| !ranks.contains_key(&[*byte][..])) {
        return Err(failed(format!("no token stands for the byte 0x{byte:02x}")));
    }
    let mut vocab: Vec<(Cow<'_, str>, u32)> = Vec::with_capacity(tokens.len() + special_tokens.len());
    vocab.extend(tokens.iter().map(|(token, id)| (text_of(token).into(), *id)));
    let mut texts: HashSet<String> = HashSet::with_capacity(special_tokens.len());
    let mut added = Vec::with_capacity(special_tokens.len());
    for (token, id) in special_tokens {
        let bytes: Option<Vec<u8>> = token.chars().map(byte_of).collect();
        let taken = bytes.as_ref().is_some_and(|bytes| ranks.contains_key(&bytes[..]));
        if token.is_empty() || taken || !texts.insert(token.clone()) {
            return Err(failed(format!("special token {token:?}: there is such a token already")));
        }
        if !ids.insert(*id) {
            return Err(failed(format!("special token {token:?}: {id} is the id of another token")));
        }
        // A token in the characters of the byte-level alphabet is read as the bytes they stand for.
        if bytes.is_some_and(|bytes| bytes != token.as_bytes()) {
            return Err(failed(format!("special token {token:?} reads as other bytes in a tokenizer.json")));
        }
        vocab.push((token.into(), *id));
        added.push(added_token(*id, token, true));
    }
    let mut by_rank: Vec<&(Vec<u8>, u32)> = tokens.iter().filter(|(token, _)| token.len() > 1).collect();
    by_rank.sort_unstable_by_key(|(_, id)| *id);
    let mut ranked = Ranked::new(ranks);
    let mut merges = Vec::with_capacity(by_rank.len());
    for (token, _) in by_rank {
        // A token that is not made by merging is found whole.
        if let Some(at) = ranked.merge_of(token, 0..token.len())? {
            merges.push((text_of(&token[..at]).into(), text_of(&token[at..]).into()));
        }
    }
    let file = File {
        version: "1.0",
        added_tokens: added,
        normalizer: pattern.normalizer(),
        pre_tokenizer: pattern.pre_tokenizer(),
        post_processor,
        decoder: json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}),
        model: Model::Bpe(Bpe { vocab, merges, ignore_merges: true, ..Bpe::default() }),
    };
    file.json()
}

fn text_of(token: &[u8]) -> String {
    token.iter().map(|byte| char_of(*byte)).collect()
}
