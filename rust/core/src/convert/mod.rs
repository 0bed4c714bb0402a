//! Files of other formats to the `tokenizer.json` they amount to: one file here for each format.
//!
//! They take bytes and give bytes: nothing here opens a file, encodes a text, or knows the tokenizers library. What
//! cannot be written as a `tokenizer.json` that gives the same ids is an error, never an approximation.

mod gguf;

pub use gguf::gguf;

use crate::error::Error;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
