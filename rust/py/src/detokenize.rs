//! `Detokenizer` for Python.

use std::sync::Arc;

use logitwire_core::detokenize::{ByteFallback, DetokenizeOptions, Detokenizer as Core};
use logitwire_core::error::Error as CoreError;
use logitwire_core::vocab::Vocab;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::error::Result;
use crate::ids::{any_id, any_ids};

/// The options of a stream, and of decoding all at once.
pub(crate) fn options(skip_special_tokens: bool, byte_fallback: &str) -> Result<DetokenizeOptions> {
    let byte_fallback = match byte_fallback {
        "eager" => ByteFallback::Eager,
        "hf" => ByteFallback::Hf,
        other => {
            let (value, expected) = (format!("{other:?}"), "\"eager\" or \"hf\"".into());
            return Err(CoreError::Parameter { field: "byte_fallback", value, expected }.into());
        }
    };
    Ok(DetokenizeOptions { skip_special_tokens, byte_fallback })
}

#[pyclass(module = "logitwire")]
pub(crate) struct Detokenizer {
    core: Core,
    vocab: Arc<Vocab>,
    text: Vec<u8>,
}

impl Detokenizer {
    pub(crate) fn new(
        vocab: &Arc<Vocab>,
        options: DetokenizeOptions,
        prompt_ids: Option<&Bound<'_, PyAny>>,
    ) -> Result<Self> {
        let core = match prompt_ids {
            None => Core::new(vocab, options),
            Some(ids) => Core::after(vocab, options, any_ids(ids)?),
        };
        Ok(Self { core, vocab: vocab.clone(), text: Vec::new() })
    }

    fn step_id<'py>(&mut self, py: Python<'py>, id: u32) -> Result<Bound<'py, PyString>> {
        if let Some(text) = self.core.step_whole(&self.vocab, id) {
            return Ok(PyString::from_bytes(py, text)?);
        }
        self.core.step(&self.vocab, id, &mut self.text);
        self.take(py)
    }

    fn take<'py>(&mut self, py: Python<'py>) -> Result<Bound<'py, PyString>> {
        let text = PyString::from_bytes(py, &self.text)?;
        self.text.clear();
        Ok(text)
    }
}

#[pymethods]
impl Detokenizer {
    #[pyo3(signature = (token_id, /))]
    fn step<'py>(&mut self, token_id: &Bound<'py, PyAny>) -> Result<Bound<'py, PyString>> {
        self.step_id(token_id.py(), any_id(token_id)?)
    }

    #[staticmethod]
    #[pyo3(signature = (token_ids, streams, /))]
    fn step_many<'py>(
        token_ids: &Bound<'py, PyAny>,
        streams: Vec<Bound<'py, Detokenizer>>,
    ) -> Result<Bound<'py, PyList>> {
        let py = token_ids.py();
        let ids = any_ids(token_ids)?;
        if ids.len() != streams.len() {
            let what = format!("step_many: {} token ids for {} streams", ids.len(), streams.len());
            return Err(CoreError::Shape { what }.into());
        }
        let texts = PyList::empty(py);
        for (id, stream) in ids.into_iter().zip(&streams) {
            texts.append(stream.try_borrow_mut().map_err(PyErr::from)?.step_id(py, id)?)?;
        }
        Ok(texts)
    }

    fn finish<'py>(&mut self, py: Python<'py>) -> Result<Bound<'py, PyString>> {
        self.core.finish(&self.vocab, &mut self.text);
        self.take(py)
    }

    fn reset(&mut self) {
        self.core.reset(&self.vocab);
    }

    fn copy(&self) -> Self {
        Self { core: self.core.clone(), vocab: self.vocab.clone(), text: Vec::new() }
    }

    fn __copy__(&self) -> Self {
        self.copy()
    }
}
