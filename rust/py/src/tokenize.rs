//! `Tokenizer` for Python.

use std::path::PathBuf;

use logitwire_core::convert;
use logitwire_core::tokenize::Tokenizer as Core;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};

use crate::detokenize::{Detokenizer, options};
use crate::error::Result;
use crate::gguf::Gguf;
use crate::ids::any_ids;
use crate::stop::Stops;
use crate::vocab::Vocab;

/// Encoding a shorter text is over before another thread could use the time.
const DETACH_BYTES: usize = 8192;

#[pyclass(frozen, module = "logitwire")]
pub(crate) struct Tokenizer {
    core: Core,
    vocab: Vocab,
}

impl From<Core> for Tokenizer {
    fn from(core: Core) -> Self {
        Self { vocab: core.vocab().clone().into(), core }
    }
}

#[pymethods]
impl Tokenizer {
    #[classmethod]
    #[pyo3(signature = (path, /))]
    fn from_file(_class: &Bound<'_, PyType>, py: Python<'_>, path: PathBuf) -> Result<Self> {
        py.detach(|| {
            let json = std::fs::read(path).map_err(PyErr::from)?;
            Ok(Core::from_json(&json, None)?.into())
        })
    }

    #[classmethod]
    #[pyo3(signature = (json, /, *, eos_tokens=None))]
    fn from_json(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        json: &Bound<'_, PyAny>,
        eos_tokens: Option<Vec<String>>,
    ) -> Result<Self> {
        let json = match json.cast::<PyBytes>() {
            Ok(bytes) => bytes.as_bytes().to_vec(),
            Err(_) => json.extract::<String>()?.into_bytes(),
        };
        py.detach(|| Ok(Core::from_json(&json, eos_tokens.as_deref())?.into()))
    }

    #[classmethod]
    #[pyo3(signature = (gguf, /))]
    fn from_gguf(_class: &Bound<'_, PyType>, py: Python<'_>, gguf: &Bound<'_, Gguf>) -> Result<Self> {
        let gguf = gguf.get();
        py.detach(|| Ok(Core::from_converted(convert::gguf(gguf.core())?)?.into()))
    }

    #[getter]
    fn vocab(&self) -> Vocab {
        self.vocab.clone()
    }

    fn __len__(&self) -> usize {
        self.core.vocab().len()
    }

    #[pyo3(signature = (text, /, *, add_special_tokens=true, allow_special=false))]
    fn encode(&self, py: Python<'_>, text: &str, add_special_tokens: bool, allow_special: bool) -> Result<Vec<u32>> {
        let encode = || self.core.encode(text, add_special_tokens, allow_special);
        Ok(if text.len() < DETACH_BYTES { encode() } else { py.detach(encode) }?)
    }

    #[pyo3(signature = (token_ids, /, *, skip_special_tokens=true, byte_fallback="eager"))]
    fn decode<'py>(
        &self,
        token_ids: &Bound<'py, PyAny>,
        skip_special_tokens: bool,
        byte_fallback: &str,
    ) -> Result<Bound<'py, PyString>> {
        let text = self.core.decode(any_ids(token_ids)?, options(skip_special_tokens, byte_fallback)?);
        Ok(PyString::from_bytes(token_ids.py(), &text)?)
    }

    #[pyo3(signature = (*, skip_special_tokens=true, byte_fallback="eager", prompt_ids=None, stop=None))]
    fn detokenizer(
        &self,
        skip_special_tokens: bool,
        byte_fallback: &str,
        prompt_ids: Option<&Bound<'_, PyAny>>,
        stop: Option<Stops<'_>>,
    ) -> Result<Detokenizer> {
        Detokenizer::new(&self.vocab, options(skip_special_tokens, byte_fallback)?, prompt_ids, stop)
    }

    #[getter]
    fn decoder(&self) -> &'static str {
        if self.core.vocab().is_compiled() { "compiled" } else { "window" }
    }

    #[pyo3(signature = (token, /))]
    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.core.token_to_id(token)
    }

    #[getter]
    fn bos_id(&self) -> Option<u32> {
        self.core.bos_id()
    }

    #[getter]
    fn eos_ids(&self) -> Vec<u32> {
        self.core.vocab().eos_ids().to_vec()
    }

    #[getter]
    fn chat_template(&self) -> Option<&str> {
        self.core.chat_template()
    }

    fn __repr__(&self) -> String {
        format!("<logitwire.Tokenizer of {} ids>", self.core.vocab().len())
    }
}
