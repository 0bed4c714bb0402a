//! `Grammar` and `Matcher` for Python.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use logitwire_core::error::{Error as CoreError, Result as CoreResult};
use logitwire_core::grammar::Grammar as Core;
use logitwire_core::grammar::json::JsonOptions;
use logitwire_core::grammar::matcher::{Filled, Matcher as CoreMatcher, fill_masks as core_fill_masks};
use logitwire_core::grammar::schema::{JsonKind, PropertyOrder, Spelling, Unsupported};
use logitwire_core::vocab::Vocab as CoreVocab;
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBool, PyBytes, PyDict, PyString, PyType};

use crate::array::{Array, Bytes};
use crate::error::{Error, Result};
use crate::ids::{any_id, any_ids, integers};
use crate::tokenize::Tokenizer;
use crate::vocab::Vocab;

/// Blanks in a row where any are allowed.
const MAX_WHITESPACE: u8 = 64;

/// A grammar's first argument: what a Tokenizer has, or a Vocab itself.
struct VocabArgument(Vocab);

impl<'a, 'py> FromPyObject<'a, 'py> for VocabArgument {
    type Error = PyErr;

    fn extract(argument: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(vocab) = argument.cast::<Vocab>() {
            return Ok(Self(vocab.get().clone()));
        }
        match argument.cast::<Tokenizer>() {
            Ok(tokenizer) => Ok(Self(tokenizer.get().vocab())),
            Err(_) => {
                let class = argument.get_type().qualname()?;
                Err(PyTypeError::new_err(format!("vocab: expected a Tokenizer or a Vocab, got {class}")))
            }
        }
    }
}

/// Something in a schema that is not enforced as it stands there.
#[pyclass(frozen, eq, get_all, module = "logitwire")]
#[derive(PartialEq)]
pub(crate) struct GrammarNote {
    pointer: String,
    keyword: String,
    what: String,
}

#[pymethods]
impl GrammarNote {
    fn __repr__(&self) -> String {
        format!("<logitwire.GrammarNote {} {}: {}>", self.pointer, self.keyword, self.what)
    }
}

#[pyclass(frozen, module = "logitwire")]
pub(crate) struct Grammar {
    pub(crate) core: Arc<Core>,
    vocab: Vocab,
}

impl Grammar {
    /// Without the GIL: compiling takes milliseconds.
    fn compile(
        py: Python<'_>,
        VocabArgument(vocab): VocabArgument,
        compile: impl FnOnce(Arc<CoreVocab>) -> CoreResult<Core> + Send,
    ) -> Result<Self> {
        let core = vocab.core.clone();
        let core = Arc::new(py.detach(|| compile(core))?);
        Ok(Self { core, vocab })
    }
}

#[pymethods]
impl Grammar {
    #[classmethod]
    #[pyo3(signature = (vocab, pattern, /))]
    fn regex(_class: &Bound<'_, PyType>, py: Python<'_>, vocab: VocabArgument, pattern: &str) -> Result<Self> {
        Self::compile(py, vocab, |vocab| Core::regex(vocab, pattern))
    }

    #[classmethod]
    #[pyo3(signature = (vocab, /, kind="any", *, whitespace="any", spelling="any"))]
    fn json(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        vocab: VocabArgument,
        kind: &str,
        whitespace: &str,
        spelling: &str,
    ) -> Result<Self> {
        let kind =
            one_of("kind", kind, &[("any", JsonKind::Any), ("object", JsonKind::Object), ("array", JsonKind::Array)])?;
        let options = json_options("any", whitespace, spelling)?;
        Self::compile(py, vocab, |vocab| Core::json(vocab, kind, options))
    }

    #[classmethod]
    #[pyo3(signature = (
        vocab, schema, /, *, property_order="any", whitespace="any", spelling="any", unsupported="error"
    ))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn json_schema(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        vocab: VocabArgument,
        schema: &Bound<'_, PyAny>,
        property_order: &str,
        whitespace: &str,
        spelling: &str,
        unsupported: &str,
    ) -> Result<Self> {
        let options = json_options(property_order, whitespace, spelling)?;
        let choices = [("error", Unsupported::Error), ("ignore", Unsupported::Ignore)];
        let unsupported = one_of("unsupported", unsupported, &choices)?;
        let text = schema_text(schema)?;
        Self::compile(py, vocab, |vocab| Core::json_schema(vocab, &text, options, unsupported))
    }

    #[classmethod]
    #[pyo3(signature = (vocab, texts, /))]
    fn choice(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        vocab: VocabArgument,
        texts: &Bound<'_, PyAny>,
    ) -> Result<Self> {
        if texts.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("texts: expected an iterable of str, not one str").into());
        }
        let texts = texts.try_iter()?.map(|text| text?.extract()).collect::<PyResult<Vec<PyBackedStr>>>()?;
        Self::compile(py, vocab, |vocab| Core::choice(vocab, &texts))
    }

    #[pyo3(signature = (*, stop_token_ids=None, continuation=false))]
    fn matcher(
        slf: &Bound<'_, Self>,
        stop_token_ids: Option<&Bound<'_, PyAny>>,
        continuation: bool,
    ) -> Result<Matcher> {
        let stop_token_ids = stop_token_ids.map(integers).transpose()?.unwrap_or_default();
        let core = CoreMatcher::new(slf.get().core.clone(), &stop_token_ids, continuation)?;
        Ok(Matcher { core: Mutex::new(core), grammar: slf.clone().unbind() })
    }

    fn outline(&self) -> String {
        self.core.outline()
    }

    #[getter]
    fn vocab(&self) -> Vocab {
        self.vocab.clone()
    }

    #[getter]
    fn relaxed(&self) -> Vec<GrammarNote> {
        let note = |note: &logitwire_core::grammar::schema::Note| GrammarNote {
            pointer: note.pointer.clone(),
            keyword: note.keyword.clone(),
            what: note.what.clone(),
        };
        self.core.relaxed().iter().map(note).collect()
    }

    #[getter]
    fn memory_bytes(&self) -> usize {
        self.core.memory_bytes()
    }

    fn __repr__(&self) -> String {
        format!("<logitwire.Grammar: {}, over {} ids>", self.core.description(), self.vocab.core.len())
    }
}

/// What an option's name stands for.
fn one_of<T: Copy>(field: &'static str, name: &str, choices: &[(&str, T)]) -> Result<T> {
    let error = || {
        let names: Vec<String> = choices.iter().map(|choice| format!("{:?}", choice.0)).collect();
        CoreError::Parameter { field, value: format!("{name:?}"), expected: names.join(" or ") }
    };
    Ok(choices.iter().find(|choice| choice.0 == name).ok_or_else(error)?.1)
}

fn json_options(property_order: &str, whitespace: &str, spelling: &str) -> Result<JsonOptions> {
    let orders = [("any", PropertyOrder::Any), ("schema", PropertyOrder::Schema)];
    let spellings = [("any", Spelling::Any), ("canonical", Spelling::Canonical)];
    Ok(JsonOptions {
        max_whitespace: one_of("whitespace", whitespace, &[("any", MAX_WHITESPACE), ("compact", 0)])?,
        spelling: one_of("spelling", spelling, &spellings)?,
        property_order: one_of("property_order", property_order, &orders)?,
    })
}

/// The text of a schema, which Python may have as it was read.
fn schema_text(schema: &Bound<'_, PyAny>) -> Result<Vec<u8>> {
    if let Ok(text) = schema.cast::<PyString>() {
        return Ok(text.to_str()?.as_bytes().to_vec());
    }
    if schema.is_instance_of::<PyDict>() || schema.is_instance_of::<PyBool>() {
        let options = PyDict::new(schema.py());
        options.set_item("allow_nan", false)?;
        let text = schema.py().import("json")?.call_method("dumps", (schema,), Some(&options));
        let text = text.map_err(|error| match error.is_instance_of::<PyException>(schema.py()) {
            true => {
                CoreError::Schema { pointer: "#".into(), keyword: None, what: format!("it is no JSON: {error}") }.into()
            }
            false => Error::Py(error),
        })?;
        return Ok(text.cast::<PyString>().map_err(PyErr::from)?.to_str()?.as_bytes().to_vec());
    }
    match Bytes::get(schema) {
        Ok(bytes) => Ok(bytes.as_slice().to_vec()),
        Err(_) => {
            let class = schema.get_type().qualname()?;
            Err(PyTypeError::new_err(format!("schema: expected str, bytes, a dict or a bool, got {class}")).into())
        }
    }
}

#[pyclass(frozen, module = "logitwire")]
pub(crate) struct Matcher {
    core: Mutex<CoreMatcher>,
    grammar: Py<Grammar>,
}

impl Matcher {
    /// Another thread may be at it, and need the GIL to get done.
    #[inline]
    fn with<T: Send>(&self, py: Python<'_>, call: impl FnOnce(&mut CoreMatcher) -> T + Send) -> T {
        match self.core.try_lock() {
            Ok(mut core) => call(&mut core),
            Err(TryLockError::Poisoned(core)) => call(&mut core.into_inner()),
            Err(TryLockError::WouldBlock) => {
                py.detach(|| call(&mut self.core.lock().unwrap_or_else(PoisonError::into_inner)))
            }
        }
    }
}

#[pymethods]
impl Matcher {
    #[getter]
    fn grammar(&self, py: Python<'_>) -> Py<Grammar> {
        self.grammar.clone_ref(py)
    }

    #[pyo3(signature = (mask, row=0))]
    fn fill_mask<'py>(&self, py: Python<'py>, mask: &Bound<'py, PyAny>, row: isize) -> Result<Bound<'py, PyString>> {
        let mut array = Array::mask(mask)?;
        let words = array.write_row(row)?;
        Ok(name(py, self.with(py, |core| core.fill(words))?))
    }

    #[pyo3(signature = (token_id, /))]
    fn allows(&self, token_id: &Bound<'_, PyAny>) -> Result<bool> {
        let token = any_id(token_id)?;
        Ok(self.with(token_id.py(), |core| core.allows(token))?)
    }

    #[pyo3(signature = (token_id, /))]
    fn accept(&self, token_id: &Bound<'_, PyAny>) -> Result<bool> {
        let token = any_id(token_id)?;
        Ok(self.with(token_id.py(), |core| core.accept(token))?)
    }

    #[pyo3(signature = (data, /))]
    fn accept_bytes(&self, data: &Bound<'_, PyAny>) -> Result<bool> {
        let bytes = Bytes::get(data)?;
        let bytes = bytes.as_slice();
        Ok(self.with(data.py(), |core| core.accept_bytes(bytes))?)
    }

    #[pyo3(signature = (token_ids, /))]
    fn validate(&self, token_ids: &Bound<'_, PyAny>) -> Result<usize> {
        let tokens = any_ids(token_ids)?;
        Ok(self.with(token_ids.py(), |core| core.validate(&tokens))?)
    }

    #[pyo3(signature = (limit=64))]
    fn allowed_tokens(&self, py: Python<'_>, limit: usize) -> Result<Option<Vec<u32>>> {
        Ok(self.with(py, |core| core.allowed_tokens(limit))?)
    }

    fn forced_bytes<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.with(py, CoreMatcher::forced_bytes)?))
    }

    fn is_accepting(&self, py: Python<'_>) -> Result<bool> {
        Ok(self.with(py, CoreMatcher::is_accepting)?)
    }

    fn is_complete(&self, py: Python<'_>) -> Result<bool> {
        Ok(self.with(py, CoreMatcher::is_complete)?)
    }

    fn is_terminated(&self, py: Python<'_>) -> bool {
        self.with(py, |core| core.is_terminated())
    }

    #[pyo3(signature = (n=1, /))]
    fn rollback(&self, py: Python<'_>, n: isize) -> Result<()> {
        Ok(self.with(py, |core| match usize::try_from(n) {
            Ok(n) => core.rollback(n),
            Err(_) => Err(CoreError::Parameter { field: "n", value: n.to_string(), expected: "at least 0".into() }),
        })?)
    }

    fn reset(&self, py: Python<'_>) {
        self.with(py, CoreMatcher::reset);
    }

    fn fork(&self, py: Python<'_>) -> Self {
        let core = Mutex::new(self.with(py, |core| core.fork()));
        Self { core, grammar: self.grammar.clone_ref(py) }
    }

    fn __copy__(&self, py: Python<'_>) -> Self {
        self.fork(py)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.with(py, |core| core.n_accepted())
    }

    fn __bool__(&self) -> bool {
        true
    }
}

#[pyfunction]
#[pyo3(signature = (matchers, mask, /, *, threads=None))]
pub(crate) fn fill_masks<'py>(
    py: Python<'py>,
    matchers: Vec<Option<Bound<'py, Matcher>>>,
    mask: &Bound<'py, PyAny>,
    threads: Option<i64>,
) -> Result<Vec<Option<Bound<'py, PyString>>>> {
    let threads = match threads {
        None => usize::MAX,
        Some(threads) => usize::try_from(threads).ok().filter(|threads| *threads > 0).ok_or_else(|| {
            CoreError::Parameter { field: "threads", value: threads.to_string(), expected: "at least 1".into() }
        })?,
    };
    let mut array = Array::mask(mask)?;
    let rows = array.write_words()?;
    let matchers: Vec<_> = matchers.iter().map(|matcher| matcher.as_ref().map(|matcher| &matcher.get().core)).collect();
    let filled = py.detach(|| core_fill_masks(&matchers, rows, threads))?;
    Ok(filled.into_iter().map(|filled| filled.map(|filled| name(py, filled))).collect())
}

fn name(py: Python<'_>, filled: Filled) -> Bound<'_, PyString> {
    match filled {
        Filled::Changed => pyo3::intern!(py, "changed"),
        Filled::Unchanged => pyo3::intern!(py, "unchanged"),
        Filled::All => pyo3::intern!(py, "all"),
    }
    .clone()
}
