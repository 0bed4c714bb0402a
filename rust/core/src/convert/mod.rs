//! Files of other formats to the `tokenizer.json` they amount to: one file here for each format.
//!
//! They take bytes and give bytes: nothing here opens a file, encodes a text, or knows the tokenizers library. What
//! cannot be written as a `tokenizer.json` that gives the same ids is an error, never an approximation.

mod base64;
mod gguf;
mod merges;
mod pre_tokenizer;
mod scores;
mod sentencepiece;
mod tiktoken;

pub use gguf::gguf;
pub use sentencepiece::sentencepiece;
pub use tiktoken::{tekken, tiktoken};

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::limits::Limits;

/// Special tokens that end a generation by the field's convention, for files that do not say.
pub(crate) const EOS_TOKENS: [&str; 10] = [
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

fn check_size(n_bytes: usize) -> Result<()> {
    let (got, maximum) = (n_bytes as u64, Limits::DEFAULT.tokenizer_bytes as u64);
    if got > maximum {
        return Err(Error::Limit { limit: "tokenizer_bytes", got, maximum });
    }
    Ok(())
}

/// An entry of `added_tokens`.
fn added_token(id: u32, content: &str, special: bool) -> Value {
    json!({"id": id, "content": content, "special": special, "normalized": false, "single_word": false, "lstrip": false,
        "rstrip": false})
}

/// The `post_processor` that puts these tokens and their ids around a text.
fn template(begin: Option<(&str, u32)>, end: Option<(&str, u32)>) -> Value {
    if begin.is_none() && end.is_none() {
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
        .map(|(token, id)| (token.to_owned(), json!({"id": token, "ids": [id], "tokens": [token]})))
        .collect();
    json!({"type": "TemplateProcessing", "single": around(vec![sequence("A")]),
        "pair": around(vec![sequence("A"), sequence("B")]), "special_tokens": tokens})
}
