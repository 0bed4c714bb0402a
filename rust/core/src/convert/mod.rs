//! Files of other formats to the `tokenizer.json` they amount to: one file here for each format.
//!
//! They take bytes and give bytes: nothing here opens a file, encodes a text, or knows the tokenizers library. What
//! cannot be written as a `tokenizer.json` that gives the same ids is an error, never an approximation.

mod added;
mod base64;
mod gguf;
mod merges;
mod pre_tokenizer;
mod scores;
mod sentencepiece;
mod tiktoken;

pub use added::{AddedToken, Additions};
pub use gguf::gguf;
pub use sentencepiece::sentencepiece;
pub use tiktoken::{ranks, tekken, tiktoken};

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::limits::{Limits, within};

/// Check all that the library takes on trust of a `precompiled_charsmap` in base64.
pub(crate) fn check_charsmap(charsmap: &str) -> Result<()> {
    let bytes = base64::decode(charsmap.as_bytes()).ok_or_else(|| failed("precompiled_charsmap: it is no base64"))?;
    sentencepiece::check_charsmap(&bytes)
}

/// Special tokens that end a generation by the field's convention, for files that do not say.
pub(crate) const EOS_TOKENS: [&str; 11] = [
    "</s>",
    "<|endoftext|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|eom_id|>",
    "<|return|>",
    "<|end|>",
    "<end_of_turn>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
];

/// What a file of another format says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Converted {
    /// The text of a `tokenizer.json`.
    pub json: Vec<u8>,
    /// Tokens of `json` that its source lacks, one for each byte no token stands for, so that nothing merges across it.
    /// They are no part of the vocabulary, and what they would stand for in a text is dropped.
    pub missing_bytes: Vec<String>,
    /// Those that end a generation, None: the file does not say.
    pub eos_tokens: Option<Vec<String>>,
    /// The one a text begins with.
    pub bos_token: Option<String>,
    /// The Jinja source that came with the file.
    pub chat_template: Option<String>,
}

fn failed(what: impl ToString) -> Error {
    Error::Tokenizer { what: what.to_string() }
}

/// A `tokenizer.json`.
#[derive(Serialize)]
struct File<'a> {
    version: &'static str,
    added_tokens: Vec<Value>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: Model<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Model<'a> {
    #[serde(rename = "BPE")]
    Bpe(Bpe<'a>),
    Unigram {
        vocab: Vec<(&'a str, f64)>,
        unk_id: usize,
        byte_fallback: bool,
    },
    WordPiece {
        #[serde(serialize_with = "map")]
        vocab: Vec<(Cow<'a, str>, u32)>,
        unk_token: &'a str,
        continuing_subword_prefix: &'a str,
        max_input_chars_per_word: usize,
    },
}

#[derive(Serialize, Default)]
struct Bpe<'a> {
    #[serde(serialize_with = "map")]
    vocab: Vec<(Cow<'a, str>, u32)>,
    merges: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    unk_token: Option<&'a str>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
}

fn map<S: Serializer>(vocab: &[(Cow<'_, str>, u32)], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(vocab.iter().map(|(token, id)| (token, id)))
}

impl File<'_> {
    fn json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(failed)
    }
}

fn check_size(n_bytes: usize) -> Result<()> {
    within("tokenizer_bytes", n_bytes, Limits::DEFAULT.tokenizer_bytes)
}

/// An entry of `added_tokens`.
fn added_token(id: u32, content: &str, special: bool) -> Value {
    json!({"id": id, "content": content, "special": special, "normalized": false, "single_word": false, "lstrip": false,
        "rstrip": false})
}

/// The `post_processor` that puts these tokens and their ids around a text.
fn template(begin: &[(&str, u32)], end: &[(&str, u32)]) -> Value {
    if begin.is_empty() && end.is_empty() {
        return Value::Null;
    }
    let special = |token: &(&str, u32)| json!({"SpecialToken": {"id": token.0, "type_id": 0}});
    let sequence = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    let around = |inner: Vec<Value>| -> Vec<Value> {
        begin.iter().map(special).chain(inner).chain(end.iter().map(special)).collect()
    };
    let tokens: Map<String, Value> = [begin, end]
        .into_iter()
        .flatten()
        .map(|(token, id)| ((*token).to_owned(), json!({"id": token, "ids": [id], "tokens": [token]})))
        .collect();
    json!({"type": "TemplateProcessing", "single": around(vec![sequence("A")]),
        "pair": around(vec![sequence("A"), sequence("B")]), "special_tokens": tokens})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::gguf::Gguf;
    use crate::tokenize::{EncodeOptions, Tokenizer};

    type Convert = fn(&[u8]) -> Result<Converted>;

    const ALPHABET: [u8; 3] = *b"abc";

    const PLAIN: EncodeOptions = EncodeOptions { add_special_tokens: false, allow_special: false };
    const ALL: EncodeOptions = EncodeOptions { add_special_tokens: true, allow_special: true };

    fn encode(converted: Converted, text: &str) -> Vec<u32> {
        Tokenizer::from_converted(converted, None).unwrap().encode(text, PLAIN).unwrap()
    }

    /// Merge the best pair of neighbours, the leftmost of equals, until there is none. Less is better.
    fn merge_best(text: &[u8], rank: impl Fn(&[u8]) -> Option<i64>) -> Vec<Vec<u8>> {
        let mut pieces: Vec<Vec<u8>> = text.iter().map(|byte| vec![*byte]).collect();
        loop {
            let pairs = pieces.windows(2).enumerate().filter_map(|(i, two)| Some((rank(&two.concat())?, i)));
            let Some((_, i)) = pairs.min() else { return pieces };
            let right = pieces.remove(i + 1);
            pieces[i].extend(right);
        }
    }

    /// Strings of few letters, so that they overlap in every way there is.
    fn strings() -> impl Strategy<Value = Vec<String>> {
        let string = prop::collection::vec(prop::sample::select(ALPHABET.to_vec()), 2..7)
            .prop_map(|bytes| String::from_utf8(bytes).unwrap());
        prop::collection::hash_set(string, 0..24).prop_map(|set| set.into_iter().collect())
    }

    fn texts() -> impl Strategy<Value = Vec<String>> {
        let text = prop::collection::vec(prop::sample::select(ALPHABET.to_vec()), 0..24)
            .prop_map(|bytes| String::from_utf8(bytes).unwrap());
        prop::collection::vec(text, 8)
    }

    fn rank_file(tokens: &[String]) -> Vec<u8> {
        let bytes = (0..=255_u8).map(|byte| vec![byte]);
        let tokens = bytes.chain(tokens.iter().map(|token| token.clone().into_bytes()));
        let lines = tokens.enumerate().map(|(rank, token)| format!("{} {rank}\n", base64::encode(&token)));
        lines.collect::<String>().into_bytes()
    }

    /// A field of a protobuf message.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8], bytes].concat()
    }

    fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
        field(1, &[&field(1, text.as_bytes())[..], &[0x15], &score.to_le_bytes(), &[0x18, kind]].concat())
    }

    /// A BPE model without normalizer, and of spaces no more than that they become what stands for them.
    fn model(pieces: &[(String, f32)]) -> Vec<u8> {
        let letters = ALPHABET.map(|byte| piece(&char::from(byte).to_string(), -1e6, 1));
        let pieces = pieces.iter().map(|(text, score)| piece(text, *score, 1));
        let specs = [field(2, &[0x18, 2]), field(3, &[0x18, 0, 0x20, 0])];
        [piece("<unk>", 0.0, 2)].into_iter().chain(letters).chain(pieces).chain(specs).collect::<Vec<_>>().concat()
    }

    fn tekken_file() -> String {
        let bytes = (0..=255_u8).map(|byte| vec![byte]);
        let vocab = bytes.chain([b"ab".to_vec(), b"abc".to_vec()]).enumerate();
        let vocab: Vec<Value> =
            vocab.map(|(rank, token)| json!({"rank": rank, "token_bytes": base64::encode(&token)})).collect();
        json!({"config": {"pattern": "[a-z]+|[^a-z]", "default_vocab_size": 268, "default_num_special_tokens": 10, "version": "v11"},
            "vocab": vocab, "special_tokens": [{"rank": 0, "token_str": "<unk>"}, {"rank": 1, "token_str": "<s>"}, {"rank": 2, "token_str": "</s>"}]})
        .to_string()
    }

    proptest! {
        #[test]
        fn ranks_are_merged_as_tiktoken_merges_them(tokens in strings(), texts in texts()) {
            let converted = tiktoken(&rank_file(&tokens), "[a-z]+", &[]).unwrap();
            let tokenizer = Tokenizer::from_converted(converted, None).unwrap();
            let rank = |piece: &[u8]| match piece {
                [byte] => Some(i64::from(*byte)),
                _ => tokens.iter().position(|token| token.as_bytes() == piece).map(|i| i as i64 + 256),
            };
            for text in texts {
                let theirs: Vec<u32> = match rank(text.as_bytes()) {
                    Some(id) => vec![id as u32],
                    None => merge_best(text.as_bytes(), rank).iter().map(|piece| rank(piece).unwrap() as u32).collect(),
                };
                prop_assert_eq!(tokenizer.encode(&text, PLAIN).unwrap(), theirs, "{:?} of {:?}", text, tokens);
            }
        }

        /// What is converted is right, equal scores or not; distinct scores are always converted.
        #[test]
        fn scores_are_merged_as_sentencepiece_merges_them(tokens in strings(), scores in prop::collection::vec(0..12_u8, 24), distinct: bool, texts in texts()) {
            let score = |i: usize| if distinct { -(i as f32) } else { -f32::from(scores[i]) };
            let pieces: Vec<(String, f32)> = tokens.iter().enumerate().map(|(i, token)| (token.clone(), score(i))).collect();
            let converted = match sentencepiece(&model(&pieces)) {
                Err(error) => {
                    prop_assert!(!distinct && error.to_string().contains("same score"), "{}", error);
                    return Ok(());
                }
                Ok(converted) => converted,
            };
            let tokenizer = Tokenizer::from_converted(converted, None).unwrap();
            for text in texts {
                let of = |piece: &[u8]| pieces.iter().position(|(token, _)| token.as_bytes() == piece);
                let merged = merge_best(text.as_bytes(), |piece| of(piece).map(|i| -score(i) as i64));
                let theirs: Vec<u32> = merged.iter().map(|piece| match piece[..] {
                    [byte] => u32::from(byte - b'a') + 1,
                    _ => of(piece).unwrap() as u32 + 4,
                }).collect();
                prop_assert_eq!(tokenizer.encode(&text, PLAIN).unwrap(), theirs, "{:?} of {:?}", text, pieces);
            }
        }

        /// The runs that vocabularies of code have: their lengths, all of one score.
        #[test]
        fn runs_of_equal_score(lengths in prop::collection::btree_set(2..17_usize, 1..9)) {
            let pieces: Vec<(String, f32)> = lengths.iter().map(|n| ("a".repeat(*n), -1e9)).collect();
            let Ok(converted) = sentencepiece(&model(&pieces)) else { return Ok(()) };
            let tokenizer = Tokenizer::from_converted(converted, None).unwrap();
            for n in 1..70 {
                let ids = tokenizer.encode(&format!("b{}c", "a".repeat(n)), PLAIN).unwrap();
                let theirs = merge_best(&b"a".repeat(n), |piece| lengths.contains(&piece.len()).then_some(0));
                let length = |id: &u32| if *id == 1 { 1 } else { pieces[*id as usize - 4].0.len() };
                let got: Vec<usize> = ids[1..ids.len() - 1].iter().map(length).collect();
                prop_assert_eq!(got, theirs.iter().map(Vec::len).collect::<Vec<_>>(), "{} of {:?}", n, lengths);
            }
        }

        #[test]
        fn any_damage_is_an_answer(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
            let files: [(Vec<u8>, Convert); 3] = [
                (rank_file(&["ab".into(), "abc".into()]), |file| tiktoken(file, "gpt2", &[("<s>".into(), 300)])),
                (tekken_file().into_bytes(), tekken),
                (model(&[("ab".into(), -1.0), ("abc".into(), -2.0)]), sentencepiece),
            ];
            for (file, convert) in files {
                let mut damaged = file.clone();
                damaged[at.index(file.len())] = byte;
                for file in [&file[..cut.index(file.len())], &damaged] {
                    if let Ok(converted) = convert(file) && let Ok(tokenizer) = Tokenizer::from_converted(converted, None) {
                        let _ = tokenizer.encode("abc <s> é", ALL);
                    }
                }
            }
        }
    }

    #[test]
    fn the_runs_of_llama_and_mistral() {
        for lengths in [(2..=16).collect::<Vec<usize>>(), (2..=14).chain([16]).collect(), vec![2], vec![2, 3]] {
            let pieces: Vec<(String, f32)> = lengths.iter().map(|n| ("a".repeat(*n), -1e9)).collect();
            sentencepiece(&model(&pieces)).unwrap();
        }
    }

    #[test]
    fn tekken_counts_from_after_the_special_tokens() {
        let converted = tekken(tekken_file().as_bytes()).unwrap();
        assert_eq!(
            (converted.bos_token.as_deref(), converted.eos_tokens.clone()),
            (Some("<s>"), Some(vec!["</s>".into()]))
        );
        assert_eq!(encode(converted.clone(), "abcab<s>"), [267, 266, 10 + 60, 10 + 115, 10 + 62]);
        let tokenizer = Tokenizer::from_converted(converted, None).unwrap();
        assert_eq!(tokenizer.encode("abc<SPECIAL_9>", ALL).unwrap(), [1, 267, 9]);
    }

    #[test]
    fn rank_files_that_are_wrong() {
        let good = String::from_utf8(rank_file(&["ab".into()])).unwrap();
        let of = |file: &str, pattern: &str, special: &[(String, u32)]| {
            tiktoken(file.as_bytes(), pattern, special).unwrap_err()
        };
        let said = |file: &str| of(file, "gpt2", &[]).to_string();
        for (line, fault) in [
            ("YWI= 256", "two ranks"),
            ("YWM= 256", "two tokens have rank 256"),
            ("YWM= -1", "no number"),
            ("YWM= +9", "no number"),
            ("YWM= 4294967296", "no number"),
            ("YWM= 1e3", "no number"),
            ("YWM= 1 2", "no number"),
            ("YWM", "not a token and its rank"),
            ("YW 300", "no base64"),
            ("= 300", "no base64"),
            ("YWM= \u{b2}", "no number"),
        ] {
            assert!(said(&format!("{good}{line}\n")).contains(fault), "{line}: {}", said(&format!("{good}{line}\n")));
        }
        assert!(said(&good.replacen("AA== 0\n", "", 1)).contains("0x00"));
        assert!(matches!(of(&format!("{good}YWM= 4294967295"), "gpt2", &[]), Error::Limit { limit: "vocab_size", .. }));
        assert!(matches!(of(&good, "gpt2", &[("<s>".into(), u32::MAX)]), Error::Limit { limit: "vocab_size", .. }));
        for (special, fault) in [
            (("ab", 300), "already"),
            (("<s>", 256), "another token"),
            (("", 300), "already"),
            (("<é>", 300), "other bytes"),
        ] {
            let error = of(&good, "gpt2", &[(special.0.to_owned(), special.1)]).to_string();
            assert!(error.contains(fault), "{special:?}: {error}");
        }
        for (pattern, fault) in
            [("gpt9", "there is none"), (r"\p{N}{1,3}+|.", "{1,3}+"), ("^a", "^"), ("a$", "$"), ("(?s:a)", "'s'")]
        {
            let error = of(&good, pattern, &[]).to_string();
            assert!(error.contains(fault), "{pattern}: {error}");
        }
        let crossing = format!("{good}{} 257\n", base64::encode(b"\n a"));
        assert!(of(&crossing, "cl100k", &[]).to_string().contains("cannot be written"));
        assert!(tiktoken(crossing.as_bytes(), "o200k", &[]).is_ok());
        assert!(tiktoken(good.replace('\n', "\r\n\r\n").as_bytes(), "cl100k_base", &[]).is_ok());
    }

    #[test]
    fn what_a_pattern_does_not_match_is_left_out() {
        let converted = tiktoken(&rank_file(&["ab".into()]), "[a-z]+", &[]).unwrap();
        assert_eq!(encode(converted, "ab1ab"), [256, 256]);
    }

    /// A token whose merging takes long is met by a limit, not by patience.
    #[test]
    fn long_tokens_that_grow_a_byte_at_a_time() {
        let tokens: Vec<String> = (2..40_000).map(|n| "a".repeat(n)).step_by(1000).collect();
        assert!(tiktoken(&rank_file(&tokens), "gpt2", &[]).is_ok());
        let pairs = ["ab", "abab"].map(str::to_owned);
        let doubling = (3..16).map(|n| "ab".repeat(1 << n));
        let converted =
            tiktoken(&rank_file(&pairs.into_iter().chain(doubling).collect::<Vec<_>>()), "gpt2", &[]).unwrap();
        assert_eq!(encode(converted, &"ab".repeat(1 << 15)), [256 + 14]);
        let prefixes = [3, 5].iter().flat_map(|step| (2..12_000).step_by(*step)).map(|n| "a".repeat(n));
        let tokens: std::collections::BTreeSet<String> = prefixes.chain((2..3000).map(|n| "a".repeat(n))).collect();
        let error = tiktoken(&rank_file(&tokens.into_iter().collect::<Vec<_>>()), "gpt2", &[]).unwrap_err();
        assert!(matches!(error, Error::Limit { limit: "merge_recovery_bytes", .. }), "{error}");
    }

    #[test]
    fn models_that_are_wrong() {
        let good = |pieces: &[Vec<u8>], specs: &[Vec<u8>]| {
            let letters = [piece("<unk>", 0.0, 2), piece("a", -1.0, 1), piece("b", -2.0, 1)];
            letters.iter().chain(pieces).chain(specs).cloned().collect::<Vec<_>>().concat()
        };
        let bpe = || field(2, &[0x18, 2]);
        assert!(sentencepiece(&good(&[piece("ab", -3.0, 1)], &[bpe()])).is_ok());
        for (pieces, specs, fault) in [
            (vec![piece("a", -3.0, 1)], vec![bpe()], "stands twice"),
            (vec![piece("", -3.0, 1)], vec![bpe()], "is empty"),
            (vec![piece("ab", f32::NAN, 1)], vec![bpe()], "no number"),
            (vec![piece("ab", f32::INFINITY, 1)], vec![bpe()], "no number"),
            (vec![piece("ab", -3.0, 7)], vec![bpe()], "piece type 7"),
            (vec![piece("ab", -3.0, 5)], vec![bpe()], "unused"),
            (vec![piece("ax", -3.0, 5)], vec![], "unused"),
            (vec![piece("ax", -3.0, 1)], vec![bpe()], "'x', which is no piece"),
            (vec![piece("<unk2>", -3.0, 2)], vec![bpe()], "several unknown"),
            (vec![piece("<0x0A>", -3.0, 6)], vec![bpe()], "byte_fallback"),
            (vec![], vec![field(2, &[0x18, 2, 0x98, 2, 1])], "byte_fallback"),
            (vec![], vec![field(2, &[0x18, 3])], "words"),
            (vec![], vec![field(2, &[0x18, 4])], "characters"),
            (vec![], vec![field(2, &[0x18, 9])], "model type 9"),
            (vec![piece("[x]", 0.0, 4)], vec![bpe(), field(2, &[0xc0, 1, 1])], "suffix"),
            (vec![], vec![bpe(), field(3, &field(2, b"\x04\0\0\0abc"))], "charsmap"),
            (vec![], vec![bpe(), field(3, &field(2, b"\x04\0\0\0\0\0\0\0x\0"))], "charsmap"),
            (vec![], vec![bpe(), field(5, &field(2, b"x"))], "denormalizer"),
            (vec![piece("[x y]", 0.0, 4)], vec![bpe()], "holds spaces"),
            (vec![field(1, &field(1, b"\xff"))], vec![bpe()], "UTF-8"),
            (vec![vec![0x0b]], vec![], "protobuf"),
            (vec![vec![0x08, 0xff, 0xff]], vec![], "protobuf"),
            (vec![vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]], vec![], "protobuf"),
        ] {
            let error = sentencepiece(&good(&pieces, &specs)).unwrap_err().to_string();
            assert!(error.contains(fault), "{fault}: {error}");
        }
        for nothing in [&b""[..], b"\0", b"[]"] {
            assert!(sentencepiece(nothing).is_err());
        }
    }

    #[test]
    fn spaces_as_sentencepiece_has_them() {
        let normalizer = |bytes: &[u8]| {
            let specs = [piece("▁", -9.0, 1), piece("▁a", -1.0, 1), field(2, &[0x18, 2]), field(3, bytes)];
            sentencepiece(&[model(&[]), specs.concat()].concat()).unwrap()
        };
        let (space, space_a, a) = (4, 5, 1);
        // add_dummy_prefix and remove_extra_whitespaces are the default.
        for (text, ids) in [("  a   a ", vec![space_a, space_a]), ("   ", vec![]), ("a▁ ", vec![space_a]), ("", vec![])]
        {
            assert_eq!(encode(normalizer(&[0x18, 1, 0x20, 1]), text), ids, "{text:?}");
        }
        for (text, ids) in [(" a  a", vec![space, space_a, space, space_a]), (" ", vec![space, space]), ("", vec![])] {
            assert_eq!(encode(normalizer(&[0x18, 1, 0x20, 0]), text), ids, "{text:?}");
        }
        assert_eq!(encode(normalizer(&[0x18, 0, 0x20, 0]), "a a "), [a, space_a, space]);
        assert_eq!(encode(normalizer(&[0x18, 0, 0x20, 1]), " a  a "), [a, space_a]);
    }

    #[test]
    fn gguf_without_a_tokenizer() {
        let empty = Gguf::parse(b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").unwrap();
        assert!(gguf(&empty).is_err());
    }
}
