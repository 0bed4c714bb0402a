//! Text to token ids. The one file that knows the `tokenizers` library; what it loads besides, our own vocabulary,
//! serves everything else.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use tokenizers::DecoderWrapper;

use crate::detokenize;
use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::limits::Limits;
use crate::vocab::Vocab;

/// Special tokens that end a generation by the field's convention, for files that do not say.
const EOS_TOKENS: [&str; 10] = [
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
];

/// A byte-level tokenizer, shared by whoever needs it.
pub struct Tokenizer {
    /// Reads the text of a special token as any other text.
    plain: tokenizers::Tokenizer,
    /// Reads it as the token; made when first asked for.
    special: OnceLock<tokenizers::Tokenizer>,
    vocab: Arc<Vocab>,
    /// What the library gives for a byte that no token of the vocabulary stands for: left out of what `encode` returns.
    missing_byte_id: Option<u32>,
    bos_id: Option<u32>,
    chat_template: Option<String>,
}

/// The token of `missing_byte_id` in the file we write; no byte-level token is written with this character.
const MISSING_BYTE: &str = "\0";

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
        Self::load(json, eos_tokens, None)
    }

    fn load(json: &[u8], eos_tokens: Option<&[String]>, missing_byte: Option<&str>) -> Result<Self> {
        let (got, maximum) = (json.len() as u64, Limits::DEFAULT.tokenizer_bytes as u64);
        if got > maximum {
            return Err(Error::Limit { limit: "tokenizer_bytes", got, maximum });
        }
        let mut plain = guarded("tokenizer.json", || tokenizers::Tokenizer::from_bytes(json))?;
        // Cutting and padding are the caller's business: nothing a user wrote may vanish in silence.
        plain.with_padding(None);
        guarded("tokenizer.json", || plain.with_truncation(None).map(drop))?;
        plain.set_encode_special_tokens(true);
        check_decoder(plain.get_decoder())?;

        let mut tokens = guarded("tokenizer.json", || Ok(plain.get_vocab(true)))?;
        let missing_byte_id = missing_byte.and_then(|token| tokens.remove(token));
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
        let special_ids: Vec<u32> = special.iter().filter_map(|token| id_of(token)).collect();
        let vocab = vocab_of(&tokens, &special_ids, &eos_ids)?;
        let (special, vocab) = (OnceLock::new(), Arc::new(vocab));
        Ok(Self { plain, special, vocab, missing_byte_id, bos_id: None, chat_template: None })
    }

    /// From the metadata of a GGUF file, by way of the `tokenizer.json` it amounts to.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let model = gguf.str("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(failed(format!("tokenizer.ggml.model {model:?} is not supported (supported: \"gpt2\")")));
        }
        let digits = json!({"type": "Digits", "individual_digits": true});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let pre_tokenizer = match gguf.str("tokenizer.ggml.pre")? {
            "gpt-2" => bytes.clone(),
            "smollm" | "starcoder" => json!({"type": "Sequence", "pretokenizers": [digits, &bytes]}),
            pre => {
                let supported = "supported: \"gpt-2\", \"smollm\", \"starcoder\"";
                return Err(failed(format!("tokenizer.ggml.pre {pre:?} is not supported ({supported})")));
            }
        };
        let tokens = gguf.strings("tokenizer.ggml.tokens")?;
        let kinds = gguf.i64s("tokenizer.ggml.token_type")?;
        if kinds.len() != tokens.len() {
            return Err(failed(format!("{} token types for {} tokens", kinds.len(), tokens.len())));
        }
        let merges = gguf.strings("tokenizer.ggml.merges")?;
        let merges = merges.iter().map(|merge| match merge.split_once(' ') {
            Some((left, right)) => Ok(json!([left, right])),
            None => Err(failed(format!("tokenizer.ggml.merges: {merge:?} is no pair"))),
        });
        let merges: Vec<Value> = merges.collect::<Result<_>>()?;
        let mut vocab: serde_json::Map<String, Value> =
            tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
        if vocab.len() != tokens.len() {
            return Err(failed("tokenizer.ggml.tokens: a token stands twice"));
        }
        // Nothing merges across a byte that the vocabulary lacks, as in llama.cpp: so it has to be a token until then.
        let lacks_bytes = byte_level_alphabet().keys().any(|c| !vocab.contains_key(c.encode_utf8(&mut [0; 4])));
        let missing_byte = (lacks_bytes && !vocab.contains_key(MISSING_BYTE)).then_some(MISSING_BYTE);
        if let Some(token) = missing_byte {
            vocab.insert(token.to_owned(), json!(tokens.len()));
        }
        let mut added = Vec::new();
        for (id, (content, kind)) in tokens.iter().zip(kinds).enumerate() {
            if *kind == CONTROL || *kind == USER_DEFINED {
                added.push(json!({"id": id, "content": content, "special": *kind == CONTROL, "normalized": false,
                    "single_word": false, "lstrip": false, "rstrip": false}));
            }
        }
        let bos_id = token_id(gguf, "tokenizer.ggml.bos_token_id", tokens)?;
        let post_processor = match bos_id.filter(|_| gguf.bool("tokenizer.ggml.add_bos_token").unwrap_or(false)) {
            None => Value::Null,
            Some(id) => {
                let token = &tokens[id as usize];
                json!({"type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                    "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}}})
            }
        };
        let file = json!({"version": "1.0", "added_tokens": added, "normalizer": null,
            "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": bytes,
            "model": {"type": "BPE", "vocab": vocab, "merges": merges, "unk_token": missing_byte,
                "fuse_unk": false, "byte_fallback": false}});
        let mut eos_tokens: Vec<String> = Vec::new();
        for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            eos_tokens.extend(token_id(gguf, key, tokens)?.map(|id| tokens[id as usize].clone()));
        }
        let control = tokens.iter().zip(kinds).filter(|(_, kind)| **kind == CONTROL).map(|(token, _)| token);
        eos_tokens.extend(control.filter(|token| EOS_TOKENS.contains(&token.as_str())).cloned());

        let mut tokenizer = Self::load(file.to_string().as_bytes(), Some(&eos_tokens), missing_byte)?;
        tokenizer.bos_id = bos_id;
        tokenizer.chat_template = gguf.str("tokenizer.chat_template").ok().map(str::to_owned);
        Ok(tokenizer)
    }

    /// Its ids and their bytes.
    pub fn vocab(&self) -> &Arc<Vocab> {
        &self.vocab
    }

    /// The id of a token by its text in the file, such as `<|im_end|>`.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.plain.token_to_id(token)
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
        Ok(ids.filter(|id| Some(*id) != self.missing_byte_id).collect())
    }

    /// The text of ids: what a `Detokenizer` would have given.
    pub fn decode(&self, ids: impl IntoIterator<Item = u32>, skip_special_tokens: bool) -> Vec<u8> {
        detokenize::decode(&self.vocab, ids, skip_special_tokens)
    }
}

/// `tokenizer.ggml.token_type`: a token that is never text.
const CONTROL: i64 = 3;
/// `tokenizer.ggml.token_type`: a token that is read whole wherever its text stands.
const USER_DEFINED: i64 = 4;

fn token_id(gguf: &Gguf, key: &str, tokens: &[String]) -> Result<Option<u32>> {
    match gguf.u64(key) {
        Err(_) => Ok(None),
        Ok(id) if id < tokens.len() as u64 => Ok(Some(id as u32)),
        Ok(id) => Err(failed(format!("{key} is {id}, but there are {} tokens", tokens.len()))),
    }
}

/// Only decoders whose text is the concatenation of each token's bytes are supported.
fn check_decoder(decoder: Option<&DecoderWrapper>) -> Result<()> {
    match decoder {
        Some(DecoderWrapper::ByteLevel(_)) => Ok(()),
        Some(DecoderWrapper::Sequence(sequence)) => match sequence.get_decoders() {
            [DecoderWrapper::ByteLevel(_)] => Ok(()),
            _ => Err(failed("its decoder is a sequence, which is not supported yet (supported: ByteLevel)")),
        },
        Some(other) => {
            let name = format!("{other:?}");
            let name = name.split(['(', ' ']).next().unwrap_or_default();
            Err(failed(format!("its decoder {name} is not supported yet (supported: ByteLevel)")))
        }
        None => Err(failed("it has no decoder (supported: ByteLevel)")),
    }
}

fn vocab_of(tokens: &HashMap<String, u32>, special_ids: &[u32], eos_ids: &[u32]) -> Result<Vocab> {
    let largest = tokens.values().copied().max().unwrap_or(0) as usize;
    let maximum = Limits::DEFAULT.vocab_size as u64;
    if largest as u64 >= maximum {
        return Err(Error::Limit { limit: "vocab_size", got: largest as u64 + 1, maximum });
    }
    let byte_of = byte_level_alphabet();
    let mut bytes: Vec<Option<Vec<u8>>> = vec![None; if tokens.is_empty() { 0 } else { largest + 1 }];
    for (token, &id) in tokens {
        let mapped: Option<Vec<u8>> = token.chars().map(|c| byte_of.get(&c).copied()).collect();
        let previous = bytes[id as usize].replace(mapped.unwrap_or_else(|| token.clone().into_bytes()));
        if previous.is_some() {
            return Err(Error::Vocab { what: format!("id {id} stands for two tokens") });
        }
    }
    Vocab::from_bytes(&bytes, special_ids, eos_ids)
}

/// The 256 characters that byte-level vocabularies write bytes as (GPT-2, `bytes_to_unicode`): printable Latin-1 stands
/// for itself, the rest is numbered from U+0100 in order. A token with any other character is its own UTF-8.
fn byte_level_alphabet() -> HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100_u32;
    (0..=255_u8)
        .filter_map(|byte| {
            let code = match printable(byte) {
                true => u32::from(byte),
                false => {
                    next += 1;
                    next - 1
                }
            };
            char::from_u32(code).map(|c| (c, byte))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(decoder: &str) -> String {
        let mut vocab: Vec<(char, u8)> = byte_level_alphabet().into_iter().collect();
        vocab.sort_by_key(|pair| pair.1);
        let mut vocab: serde_json::Map<String, Value> =
            vocab.iter().map(|(c, byte)| (c.to_string(), json!(byte))).collect();
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
        assert_eq!(tokenizer.vocab().eos_ids(), [257]);
        assert_eq!(tokenizer.encode("ab", true, false).unwrap(), [256]);
        assert_eq!(tokenizer.encode("a<|im_end|>", true, true).unwrap(), [97, 257]);
        let typed = tokenizer.encode("a<|im_end|>", true, false).unwrap();
        assert!(!typed.contains(&257));
        assert_eq!(tokenizer.decode(typed, true), b"a<|im_end|>");
        assert_eq!(tokenizer.decode([97, 257, 258], true), "a｜x｜".as_bytes());
        let text = "naïve 漢字 👩‍👩‍👧\n\t\0";
        assert_eq!(tokenizer.decode(tokenizer.encode(text, true, false).unwrap(), true), text.as_bytes());
    }

    #[test]
    fn what_is_not_supported_or_broken_is_an_error() {
        for decoder in ["null", r#"{"type": "WordPiece", "prefix": "x", "cleanup": true}"#, r#"{"type": "Fuse"}"#] {
            let error = Tokenizer::from_json(file(decoder).as_bytes(), None).unwrap_err();
            assert!(matches!(error, Error::Tokenizer { .. }), "{error}");
        }
        for broken in ["", "{}", "[]", "null", "{\"version\": \"1.0\"}"] {
            assert!(Tokenizer::from_json(broken.as_bytes(), None).is_err(), "{broken}");
        }
        let huge = file(BYTE_LEVEL).replace("256", "4000000000");
        assert!(matches!(Tokenizer::from_json(huge.as_bytes(), None), Err(Error::Limit { limit: "vocab_size", .. })));
        let missing = Tokenizer::from_json(file(BYTE_LEVEL).as_bytes(), Some(&["<nope>".into()]));
        assert!(matches!(missing, Err(Error::Tokenizer { .. })));
    }

    #[test]
    fn the_alphabet_is_gpt2s() {
        let alphabet = byte_level_alphabet();
        assert_eq!(alphabet.len(), 256);
        for (c, byte) in [('!', b'!'), ('Ġ', b' '), ('Ċ', b'\n'), ('Ā', 0), ('ÿ', 0xff), ('Ń', 0xad), ('ł', 0xa0)]
        {
            assert_eq!(alphabet[&c], byte);
        }
    }
}
