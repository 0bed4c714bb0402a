//! Text to token ids. The one file that knows the `tokenizers` library; what it loads besides, our own vocabulary,
//! serves everything else.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokenizers::{Decoder, DecoderWrapper};

use crate::convert::{Converted, EOS_TOKENS};
use crate::decoder::Join;
use crate::detokenize::{self, DetokenizeOptions};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::vocab::Vocab;

/// A byte-level tokenizer, shared by whoever needs it.
pub struct Tokenizer {
    /// Reads the text of a special token as any other text.
    plain: tokenizers::Tokenizer,
    /// Reads it as the token; made when first asked for.
    special: OnceLock<tokenizers::Tokenizer>,
    vocab: Arc<Vocab>,
    /// What the library gives for a byte that no token of the vocabulary stands for: left out of what `encode` returns.
    missing_byte_ids: Vec<u32>,
    bos_id: Option<u32>,
    chat_template: Option<String>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab.len()).finish_non_exhaustive()
    }
}

fn failed(what: impl ToString) -> Error {
    Error::Tokenizer { what: what.to_string() }
}

/// Run the library, which panics on some inputs, and make of a panic what it is: an error about this input.
fn guarded<T>(doing: &str, call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| failed(format!("{doing}: {error}"))),
        Err(_) => Err(failed(format!("{doing}: the tokenizers library panicked"))),
    }
}

impl Tokenizer {
    /// From the text of a `tokenizer.json`. `eos_tokens` are those that end a generation, None: those that do by
    /// convention.
    pub fn from_json(json: &[u8], eos_tokens: Option<&[String]>) -> Result<Self> {
        Self::load(json, eos_tokens, &[])
    }

    /// From a file of another format.
    pub fn from_converted(converted: Converted) -> Result<Self> {
        let mut tokenizer = Self::load(&converted.json, converted.eos_tokens.as_deref(), &converted.missing_bytes)?;
        tokenizer.bos_id = converted.bos_token.and_then(|token| tokenizer.token_to_id(&token));
        tokenizer.chat_template = converted.chat_template;
        Ok(tokenizer)
    }

    fn load(json: &[u8], eos_tokens: Option<&[String]>, missing_bytes: &[String]) -> Result<Self> {
        let (got, maximum) = (json.len() as u64, Limits::DEFAULT.tokenizer_bytes as u64);
        if got > maximum {
            return Err(Error::Limit { limit: "tokenizer_bytes", got, maximum });
        }
        let mut plain = guarded("tokenizer.json", || tokenizers::Tokenizer::from_bytes(json))?;
        // Cutting and padding are the caller's business: nothing a user wrote may vanish in silence.
        plain.with_padding(None);
        guarded("tokenizer.json", || plain.with_truncation(None).map(drop))?;
        plain.set_encode_special_tokens(true);
        let mut tokens = guarded("tokenizer.json", || Ok(plain.get_vocab(true)))?;
        let missing_byte_ids = missing_bytes.iter().filter_map(|token| tokens.remove(token)).collect();
        let added = plain.get_added_tokens_decoder();
        let special: Vec<&str> =
            added.values().filter(|token| token.special).map(|token| token.content.as_str()).collect();
        let id_of = |token: &str| tokens.get(token).copied();
        let eos_ids: Vec<u32> = match eos_tokens {
            None => {
                EOS_TOKENS.iter().filter(|token| special.contains(token)).filter_map(|token| id_of(token)).collect()
            }
            Some(names) => names
                .iter()
                .map(|name| id_of(name).ok_or_else(|| failed(format!("eos_tokens: there is no token {name:?}"))))
                .collect::<Result<_>>()?,
        };
        let special: HashSet<&str> = special.into_iter().collect();
        let vocab = vocab_of(&plain, &tokens, &special, &eos_ids)?;
        let (special, vocab) = (OnceLock::new(), Arc::new(vocab));
        Ok(Self { plain, special, vocab, missing_byte_ids, bos_id: None, chat_template: None })
    }

    /// Its ids and their bytes.
    pub fn vocab(&self) -> &Arc<Vocab> {
        &self.vocab
    }

    /// The id of a token by its text in the file, such as `<|im_end|>`.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.plain.token_to_id(token).filter(|id| !self.missing_byte_ids.contains(id))
    }

    /// The id a text begins with by convention, if the file names one.
    pub fn bos_id(&self) -> Option<u32> {
        self.bos_id
    }

    /// The Jinja source that came with the file.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// Token ids of a text. `add_special_tokens`: with what the post-processor adds. `allow_special`: the text of a
    /// special token is that token.
    pub fn encode(&self, text: &str, add_special_tokens: bool, allow_special: bool) -> Result<Vec<u32>> {
        let tokenizer = match allow_special {
            false => &self.plain,
            true => self.special.get_or_init(|| {
                let mut special = self.plain.clone();
                special.set_encode_special_tokens(false);
                special
            }),
        };
        let encoding = guarded("encode", || tokenizer.encode_fast(text, add_special_tokens))?;
        let ids = encoding.get_ids().iter().copied();
        Ok(ids.filter(|id| !self.missing_byte_ids.contains(id)).collect())
    }

    /// The text of ids: what a `Detokenizer` would have given.
    pub fn decode(&self, ids: impl IntoIterator<Item = u32>, options: DetokenizeOptions) -> Vec<u8> {
        detokenize::decode(&self.vocab, ids, options)
    }
}

/// The strings of all ids and the library's decoder, compiled.
fn vocab_of(
    tokenizer: &tokenizers::Tokenizer,
    ids: &HashMap<String, u32>,
    special: &HashSet<&str>,
    eos_ids: &[u32],
) -> Result<Vocab> {
    let largest = ids.values().copied().max().unwrap_or(0) as usize;
    let maximum = Limits::DEFAULT.vocab_size as u64;
    if largest as u64 >= maximum {
        return Err(Error::Limit { limit: "vocab_size", got: largest as u64 + 1, maximum });
    }
    let mut tokens: Vec<Option<String>> = vec![None; if ids.is_empty() { 0 } else { largest + 1 }];
    for (token, &id) in ids {
        if tokens[id as usize].replace(token.clone()).is_some() {
            return Err(Error::Vocab { what: format!("id {id} stands for two tokens") });
        }
    }
    let is_special = |token: &Option<String>| token.as_deref().is_some_and(|token| special.contains(token));
    let special_ids: Vec<u32> =
        tokens.iter().enumerate().filter(|(_, token)| is_special(token)).map(|(id, _)| id as u32).collect();
    let decoder = serde_json::to_value(tokenizer.get_decoder()).map_err(|error| failed(error.to_string()))?;
    Vocab::from_tokens(&tokens, &special_ids, eos_ids, &decoder, &library_decoder)
}

/// The library's own decoder, for what is not compiled.
fn library_decoder(decoder: &Value) -> Result<Join> {
    let decoder: DecoderWrapper =
        serde_json::from_value(decoder.clone()).map_err(|error| failed(format!("decoder: {error}")))?;
    Ok(Box::new(move |tokens| guarded("decode", || decoder.decode(tokens))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::byte_level::char_of;

    fn file(decoder: &str) -> String {
        let mut vocab: serde_json::Map<String, Value> =
            (0..=255).map(|byte| (char_of(byte).to_string(), json!(byte))).collect();
        vocab.insert("ab".into(), json!(256));
        json!({"version": "1.0", "model": {"type": "BPE", "vocab": vocab, "merges": [["a", "b"]]},
            "added_tokens": [
                {"id": 257, "content": "<|im_end|>", "special": true, "normalized": false, "single_word": false,
                    "lstrip": false, "rstrip": false},
                {"id": 258, "content": "｜x｜", "special": false, "normalized": false, "single_word": false,
                    "lstrip": false, "rstrip": false}],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "decoder": serde_json::from_str::<Value>(decoder).unwrap()})
        .to_string()
    }

    const BYTE_LEVEL: &str =
        r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}"#;

    #[test]
    fn encode_decode_and_special_tokens() {
        let tokenizer = Tokenizer::from_json(file(BYTE_LEVEL).as_bytes(), None).unwrap();
        let options = DetokenizeOptions::default();
        assert_eq!(tokenizer.vocab().eos_ids(), [257]);
        assert_eq!(tokenizer.encode("ab", true, false).unwrap(), [256]);
        assert_eq!(tokenizer.encode("a<|im_end|>", true, true).unwrap(), [97, 257]);
        let typed = tokenizer.encode("a<|im_end|>", true, false).unwrap();
        assert!(!typed.contains(&257));
        assert_eq!(tokenizer.decode(typed, options), b"a<|im_end|>");
        assert_eq!(tokenizer.decode([97, 257, 258], options), "a｜x｜".as_bytes());
        let text = "naïve 漢字 👩‍👩‍👧\n\t\0";
        assert_eq!(tokenizer.decode(tokenizer.encode(text, true, false).unwrap(), options), text.as_bytes());
    }

    #[test]
    fn what_is_not_supported_or_broken_is_an_error() {
        for broken in ["", "{}", "[]", "null", "{\"version\": \"1.0\"}"] {
            assert!(Tokenizer::from_json(broken.as_bytes(), None).is_err(), "{broken}");
        }
        let huge = file(BYTE_LEVEL).replace("256", "4000000000");
        assert!(matches!(Tokenizer::from_json(huge.as_bytes(), None), Err(Error::Limit { limit: "vocab_size", .. })));
        let missing = Tokenizer::from_json(file(BYTE_LEVEL).as_bytes(), Some(&["<nope>".into()]));
        assert!(matches!(missing, Err(Error::Tokenizer { .. })));
    }
}
