//! The one error of the core: facts, not sentences. The binding turns each into a class of `logitwire.errors`.
//!
//! A row of logits that yields no token is not an error here but a status (`sample::Status`): its neighbours go on.

use std::fmt;

/// What was wrong, with the facts a caller needs to put it right.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// A field of a request is out of its range.
    Parameter {
        /// The field's public name.
        field: &'static str,
        /// What was given.
        value: String,
        /// What would have been right.
        expected: String,
    },
    /// Something is larger than `limits::Limits` allows.
    Limit {
        /// The limit's name in the table.
        limit: &'static str,
        /// What was given.
        got: u64,
        /// What is allowed.
        maximum: u64,
    },
    /// A vocabulary is inconsistent.
    Vocab {
        /// How.
        what: String,
    },
    /// A tokenizer file is broken or of a family not supported, or the tokenizers library failed.
    Tokenizer {
        /// How.
        what: String,
    },
    /// A token id outside the vocabulary.
    TokenId {
        /// The id given.
        token_id: i64,
        /// One more than the largest id there is.
        vocab_size: usize,
    },
    /// A slot that is unknown, named twice, or finished.
    Slot {
        /// The slot given.
        slot: i64,
        /// Which of the three.
        what: &'static str,
    },
    /// An array whose shape or contents do not fit the call.
    Shape {
        /// How.
        what: String,
    },
    /// A chat template does not parse or failed.
    Template {
        /// Counted from 1, where the template engine knows it.
        line: Option<usize>,
        /// How.
        what: String,
    },
    /// A regular expression or another grammar is broken, asks for what no automaton can do, or allows no text at all.
    Grammar {
        /// In bytes from the start of its text, where one place is at fault.
        position: Option<usize>,
        /// How.
        what: String,
    },
    /// A JSON Schema is broken, allows no value at all, or has a keyword that is not enforced.
    Schema {
        /// The JSON Pointer of the schema at fault, as a fragment: `#/properties/a`.
        pointer: String,
        /// The keyword at fault.
        keyword: Option<String>,
        /// How.
        what: String,
    },
    /// A model file is truncated, hostile or not supported.
    ModelFile {
        /// In bytes from the file's start.
        offset: u64,
        /// How.
        what: String,
    },
    /// A model file has no tensor of this name.
    MissingTensor {
        /// The name asked for.
        name: String,
    },
}

/// What the core's fallible functions return.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter { field, value, expected } => write!(f, "{field} = {value}: expected {expected}"),
            Self::Limit { limit, got, maximum } => write!(f, "{limit}: {got} is over the limit of {maximum}"),
            Self::Vocab { what } => write!(f, "vocabulary: {what}"),
            Self::Tokenizer { what } => write!(f, "tokenizer: {what}"),
            Self::TokenId { token_id, vocab_size } => {
                write!(f, "token id {token_id} is not in the vocabulary (0 <= id < {vocab_size})")
            }
            Self::Slot { slot, what } => write!(f, "slot {slot} {what}"),
            Self::Shape { what } => f.write_str(what),
            Self::Template { line: Some(line), what } => write!(f, "chat template, line {line}: {what}"),
            Self::Template { line: None, what } => write!(f, "chat template: {what}"),
            Self::Grammar { position: Some(position), what } => write!(f, "grammar, byte {position}: {what}"),
            Self::Grammar { position: None, what } => write!(f, "grammar: {what}"),
            Self::Schema { pointer, keyword: Some(keyword), what } => write!(f, "schema {pointer}, {keyword}: {what}"),
            Self::Schema { pointer, keyword: None, what } => write!(f, "schema {pointer}: {what}"),
            Self::ModelFile { offset, what } => write!(f, "model file, byte {offset}: {what}"),
            Self::MissingTensor { name } => write!(f, "the model file has no tensor {name:?}"),
        }
    }
}

impl std::error::Error for Error {}
