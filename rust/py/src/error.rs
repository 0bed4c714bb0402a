//! What the binding's functions fail with, and the one place where it becomes a class of `logitwire.errors`.

use logitwire_core::error::Error as CoreError;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

pub(crate) type Result<T> = std::result::Result<T, Error>;

pub(crate) enum Error {
    Core(CoreError),
    /// An argument that is no array, or one of the wrong kind.
    Array {
        what: String,
        hint: Option<&'static str>,
    },
    Py(PyErr),
}

impl From<CoreError> for Error {
    fn from(error: CoreError) -> Self {
        Self::Core(error)
    }
}

impl From<PyErr> for Error {
    fn from(error: PyErr) -> Self {
        Self::Py(error)
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Py(error) => error,
            error => Python::attach(|py| raised(py, &error).unwrap_or_else(|failure| failure)),
        }
    }
}

/// Of what is shared or has one owner: it is copied within a process, and made anew in another.
pub(crate) fn not_pickled(class: &str, instead: &str) -> Error {
    Error::Py(PyTypeError::new_err(format!("a {class} is not pickled: {instead}")))
}

fn raised(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let facts = PyDict::new(py);
    let (class, message, hint) = match error {
        Error::Py(error) => return Ok(error.clone_ref(py)),
        Error::Array { what, hint } => ("ArrayError", what.clone(), *hint),
        Error::Core(core) => {
            let (class, hint) = match core {
                CoreError::Parameter { field, value, expected } => {
                    facts.set_item("field", field)?;
                    facts.set_item("value", value)?;
                    facts.set_item("expected", expected)?;
                    ("ParameterError", None)
                }
                CoreError::Limit { limit, got, maximum } => {
                    let field = if limit.starts_with("stop_string") { "stop" } else { limit };
                    facts.set_item("field", field)?;
                    facts.set_item("value", got)?;
                    facts.set_item("expected", format!("at most {maximum}"))?;
                    facts.set_item("limit", limit)?;
                    facts.set_item("got", got)?;
                    facts.set_item("maximum", maximum)?;
                    ("LimitError", Some("logitwire.limits() lists every limit"))
                }
                CoreError::Vocab { .. } => ("VocabError", None),
                CoreError::Tokenizer { .. } => ("TokenizerError", None),
                CoreError::TokenId { token_id, vocab_size } => {
                    facts.set_item("token_id", token_id)?;
                    facts.set_item("vocab_size", vocab_size)?;
                    ("TokenIdError", None)
                }
                CoreError::Slot { slot, .. } => {
                    facts.set_item("slot", slot)?;
                    ("SlotError", None)
                }
                CoreError::Shape { .. } => ("ArrayError", None),
                CoreError::Template { line, .. } => {
                    facts.set_item("line", line)?;
                    ("TemplateError", None)
                }
                CoreError::Grammar { position, .. } => {
                    facts.set_item("position", position)?;
                    ("GrammarError", None)
                }
                CoreError::Schema { pointer, keyword, .. } => {
                    facts.set_item("pointer", pointer)?;
                    facts.set_item("keyword", keyword)?;
                    ("SchemaError", None)
                }
                CoreError::ModelFile { offset, .. } => {
                    facts.set_item("offset", offset)?;
                    ("ModelFileError", None)
                }
                CoreError::MissingTensor { name } => {
                    return Ok(pyo3::exceptions::PyKeyError::new_err(name.clone()));
                }
            };
            (class, core.to_string(), hint)
        }
    };
    facts.set_item("hint", hint)?;
    let class = py.import("logitwire.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((message,), Some(&facts))?))
}
