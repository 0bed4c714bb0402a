//! `Vocab` for Python.

use std::sync::Arc;

use logitwire_core::error::Error as CoreError;
use logitwire_core::vocab::Vocab as Core;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::detokenize::{Detokenizer, options};
use crate::error::{Result, not_pickled};
use crate::ids::{any_id, token_ids};
use crate::stop::Stops;
use crate::texts::Texts;

/// A handle: what it stands for is shared by all of one vocabulary.
#[pyclass(frozen, module = "logitwire")]
#[derive(Clone)]
pub(crate) struct Vocab {
    pub(crate) core: Arc<Core>,
    pub(crate) texts: Arc<Texts>,
}

impl From<Arc<Core>> for Vocab {
    fn from(core: Arc<Core>) -> Self {
        Self { texts: Arc::new(Texts::new(core.len())), core }
    }
}

#[pymethods]
impl Vocab {
    #[classmethod]
    #[pyo3(signature = (tokens, *, special_ids=None, eos_ids=None))]
    fn from_bytes(
        _class: &Bound<'_, pyo3::types::PyType>,
        tokens: Vec<Option<Bound<'_, PyBytes>>>,
        special_ids: Option<&Bound<'_, PyAny>>,
        eos_ids: Option<&Bound<'_, PyAny>>,
    ) -> Result<Self> {
        let ids = |ids: Option<&Bound<'_, PyAny>>| ids.map_or(Ok(Vec::new()), |ids| token_ids(ids, tokens.len()));
        let (special_ids, eos_ids) = (ids(special_ids)?, ids(eos_ids)?);
        let tokens: Vec<Option<&[u8]>> =
            tokens.iter().map(|token| token.as_ref().map(|token| token.as_bytes())).collect();
        Ok(Arc::new(Core::from_bytes(&tokens, &special_ids, &eos_ids)?).into())
    }

    fn __len__(&self) -> usize {
        self.core.len()
    }

    #[pyo3(signature = (token_id, /))]
    fn token_bytes<'py>(&self, token_id: &Bound<'py, PyAny>) -> Result<Bound<'py, PyBytes>> {
        match self.core.token_bytes(any_id(token_id)?) {
            Some(bytes) => Ok(PyBytes::new(token_id.py(), bytes)),
            None => {
                let vocab_size = self.core.len();
                Err(CoreError::TokenId { token_id: token_id.extract().unwrap_or(i64::MAX), vocab_size }.into())
            }
        }
    }

    #[pyo3(signature = (token_id, /))]
    fn is_special(&self, token_id: &Bound<'_, PyAny>) -> Result<bool> {
        Ok(self.core.is_special(any_id(token_id)?))
    }

    #[getter]
    fn special_ids(&self) -> Vec<u32> {
        self.core.special_ids()
    }

    #[getter]
    fn eos_ids(&self) -> Vec<u32> {
        self.core.eos_ids().to_vec()
    }

    #[pyo3(signature = (*, skip_special_tokens=true, byte_fallback="eager", prompt_ids=None, stop=None))]
    fn detokenizer(
        &self,
        skip_special_tokens: bool,
        byte_fallback: &str,
        prompt_ids: Option<&Bound<'_, PyAny>>,
        stop: Option<Stops<'_>>,
    ) -> Result<Detokenizer> {
        Detokenizer::new(self, options(skip_special_tokens, byte_fallback)?, prompt_ids, stop)
    }

    #[getter]
    fn decoder(&self) -> &'static str {
        if self.core.is_compiled() { "compiled" } else { "window" }
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce__(&self) -> Result<()> {
        Err(not_pickled("Vocab", "make it again where it is needed"))
    }

    fn __repr__(&self) -> String {
        format!("<logitwire.Vocab of {} ids>", self.core.len())
    }
}
