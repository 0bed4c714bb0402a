//! `Detokenizer` for Python.

use std::sync::Arc;

use logitwire_core::detokenize::Detokenizer as Core;
use logitwire_core::vocab::Vocab;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::error::Result;
use crate::ids::any_id;

#[pyclass(module = "logitwire")]
pub(crate) struct Detokenizer {
    core: Core,
    vocab: Arc<Vocab>,
    text: Vec<u8>,
}

impl Detokenizer {
    pub(crate) fn new(vocab: Arc<Vocab>, skip_special_tokens: bool) -> Self {
        Self { core: Core::new(skip_special_tokens), vocab, text: Vec::new() }
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
        self.core.step(&self.vocab, any_id(token_id)?, &mut self.text);
        self.take(token_id.py())
    }

    fn finish<'py>(&mut self, py: Python<'py>) -> Result<Bound<'py, PyString>> {
        self.core.finish(&mut self.text);
        self.take(py)
    }

    fn reset(&mut self) {
        self.core.reset();
    }
}
