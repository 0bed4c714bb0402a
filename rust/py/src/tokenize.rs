//! `Tokenizer` for Python.

use logitwire_core::convert::{self, Converted};
use logitwire_core::error::{Error as CoreError, Result as CoreResult};
use logitwire_core::limits::Limits;
use logitwire_core::tokenize::{Details, EncodeOptions, IdsWithOffsets, Tokenizer as Core};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyMapping, PyString, PyType};

use crate::detokenize::{Detokenizer, detached, options};
use crate::error::{Result, not_pickled};
use crate::gguf::Gguf;
use crate::ids::{any_id, any_ids, integer};
use crate::stop::Stops;
use crate::transformers;
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
    #[pyo3(signature = (path, /, *, eos_tokens=None))]
    fn from_file(_class: &Bound<'_, PyType>, path: &Bound<'_, PyAny>, eos_tokens: Option<Vec<String>>) -> Result<Self> {
        load(&read_file(path)?, Details { eos_tokens, ..Default::default() })
    }

    #[classmethod]
    #[pyo3(signature = (json, /, *, eos_tokens=None))]
    fn from_json(_class: &Bound<'_, PyType>, json: &Bound<'_, PyAny>, eos_tokens: Option<Vec<String>>) -> Result<Self> {
        load(json, Details { eos_tokens, ..Default::default() })
    }

    #[classmethod]
    #[pyo3(signature = (gguf, /, *, eos_tokens=None))]
    fn from_gguf(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        gguf: &Bound<'_, Gguf>,
        eos_tokens: Option<Vec<String>>,
    ) -> Result<Self> {
        let gguf = gguf.get();
        py.detach(|| Ok(Core::from_converted(convert::gguf(gguf.core())?, eos_tokens)?.into()))
    }

    #[classmethod]
    #[pyo3(signature = (ranks, /, *, pattern, special_tokens=None, eos_tokens=None))]
    fn from_tiktoken(
        _class: &Bound<'_, PyType>,
        ranks: &Bound<'_, PyAny>,
        pattern: &str,
        special_tokens: Option<&Bound<'_, PyAny>>,
        eos_tokens: Option<Vec<String>>,
    ) -> Result<Self> {
        let special_tokens = special_tokens.map(ids_by_token).transpose()?.unwrap_or_default();
        converted(ranks, eos_tokens, |ranks| convert::tiktoken(ranks, pattern, &special_tokens))
    }

    #[classmethod]
    #[pyo3(signature = (tekken, /, *, eos_tokens=None))]
    fn from_tekken(
        _class: &Bound<'_, PyType>,
        tekken: &Bound<'_, PyAny>,
        eos_tokens: Option<Vec<String>>,
    ) -> Result<Self> {
        converted(tekken, eos_tokens, convert::tekken)
    }

    #[classmethod]
    #[pyo3(signature = (model, /, *, eos_tokens=None))]
    fn from_sentencepiece(
        _class: &Bound<'_, PyType>,
        model: &Bound<'_, PyAny>,
        eos_tokens: Option<Vec<String>>,
    ) -> Result<Self> {
        converted(model, eos_tokens, convert::sentencepiece)
    }

    #[classmethod]
    #[pyo3(signature = (tokenizer, /, *, eos_tokens=None))]
    fn from_tokenizers(
        _class: &Bound<'_, PyType>,
        tokenizer: &Bound<'_, PyAny>,
        eos_tokens: Option<Vec<String>>,
    ) -> Result<Self> {
        load(&tokenizer.call_method0("to_str")?, Details { eos_tokens, ..Default::default() })
    }

    #[classmethod]
    #[pyo3(signature = (tokenizer, /, *, eos_tokens=None))]
    fn from_transformers(
        _class: &Bound<'_, PyType>,
        tokenizer: &Bound<'_, PyAny>,
        eos_tokens: Option<Vec<String>>,
    ) -> Result<Self> {
        Ok(transformers::load(tokenizer, eos_tokens)?.into())
    }

    #[getter]
    pub(crate) fn vocab(&self) -> Vocab {
        self.vocab.clone()
    }

    #[getter]
    fn encoder(&self) -> &str {
        self.core.encoder()
    }

    fn __len__(&self) -> usize {
        self.core.vocab().len()
    }

    #[pyo3(signature = (text, /, *, add_special_tokens=true, allow_special=false))]
    fn encode(&self, py: Python<'_>, text: &str, add_special_tokens: bool, allow_special: bool) -> Result<Vec<u32>> {
        let encode = || self.core.encode(text, EncodeOptions { add_special_tokens, allow_special });
        Ok(if text.len() < DETACH_BYTES { encode() } else { py.detach(encode) }?)
    }

    #[pyo3(signature = (texts, /, *, add_special_tokens=true, allow_special=false, threads=None))]
    fn encode_batch(
        &self,
        py: Python<'_>,
        texts: &Bound<'_, PyAny>,
        add_special_tokens: bool,
        allow_special: bool,
        threads: Option<&Bound<'_, PyAny>>,
    ) -> Result<Vec<Vec<u32>>> {
        let threads = match threads {
            None => usize::MAX,
            Some(given) => {
                let wrong = || CoreError::Parameter {
                    field: "threads",
                    value: given.to_string(),
                    expected: "at least 1".into(),
                };
                usize::try_from(integer(given)?).ok().filter(|threads| *threads > 0).ok_or_else(wrong)?
            }
        };
        if texts.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("expected an iterable of str, not one str").into());
        }
        let texts = texts.try_iter()?.map(|text| text?.extract()).collect::<PyResult<Vec<PyBackedStr>>>()?;
        py.detach(|| {
            Ok(self.core.encode_batch(&texts, EncodeOptions { add_special_tokens, allow_special }, threads)?)
        })
    }

    #[pyo3(signature = (text, /, *, add_special_tokens=true, allow_special=false))]
    fn encode_with_offsets(
        &self,
        py: Python<'_>,
        text: &str,
        add_special_tokens: bool,
        allow_special: bool,
    ) -> Result<IdsWithOffsets> {
        py.detach(|| Ok(self.core.encode_with_offsets(text, EncodeOptions { add_special_tokens, allow_special })?))
    }

    #[pyo3(signature = (token_ids, /, *, skip_special_tokens=true, byte_fallback="eager"))]
    fn decode<'py>(
        &self,
        token_ids: &Bound<'py, PyAny>,
        skip_special_tokens: bool,
        byte_fallback: &str,
    ) -> Result<Bound<'py, PyString>> {
        let (py, ids, options) = (token_ids.py(), any_ids(token_ids)?, options(skip_special_tokens, byte_fallback)?);
        let text = detached(py, ids.len(), || self.core.decode(ids, options))?;
        Ok(PyString::from_bytes(py, &text)?)
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

    #[pyo3(signature = (token_id, /))]
    fn id_to_token(&self, token_id: &Bound<'_, PyAny>) -> Result<Option<String>> {
        Ok(self.core.id_to_token(any_id(token_id)?))
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

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce__(&self) -> Result<()> {
        Err(not_pickled("Tokenizer", "load it from its file where it is needed"))
    }

    fn __repr__(&self) -> String {
        format!("<logitwire.Tokenizer of {} ids, {}>", self.core.vocab().len(), self.core.encoder())
    }
}

/// From the text of a `tokenizer.json`, bytes or str.
fn load(json: &Bound<'_, PyAny>, details: Details) -> Result<Tokenizer> {
    let py = json.py();
    let json: &[u8] = match json.cast::<PyBytes>() {
        Ok(bytes) => bytes.as_bytes(),
        Err(_) => json.extract::<&str>()?.as_bytes(),
    };
    py.detach(|| Ok(Core::from_json(json, details)?.into()))
}

/// From a file of another format: its path, or its bytes.
fn converted(
    file: &Bound<'_, PyAny>,
    eos_tokens: Option<Vec<String>>,
    convert: impl FnOnce(&[u8]) -> CoreResult<Converted> + Send,
) -> Result<Tokenizer> {
    let content = if file.is_instance_of::<PyBytes>() { file.clone() } else { read_file(file)? };
    let bytes = content.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes();
    file.py().detach(|| Ok(Core::from_converted(convert(bytes)?, eos_tokens)?.into()))
}

/// Tokens and the ids they are to have, in the order given.
fn ids_by_token(tokens: &Bound<'_, PyAny>) -> Result<Vec<(String, u32)>> {
    let tokens = tokens.cast::<PyMapping>().map_err(|_| PyTypeError::new_err("special_tokens: expected a mapping"))?;
    let one = |(token, id): (String, Bound<'_, PyAny>)| match integer(&id)? {
        // Too large a one is beyond the limit of a vocabulary.
        found @ 0.. => Ok((token, u32::try_from(found).unwrap_or(u32::MAX))),
        _ => Err(CoreError::Parameter {
            field: "special_tokens",
            value: format!("{id} for {token:?}"),
            expected: "ids from 0".into(),
        }
        .into()),
    };
    tokens.items()?.iter().map(|item| one(item.extract()?)).collect()
}

/// The bytes of a file, or those given. Python opens it, so that its error names it; one too large is not read to its end.
pub(crate) fn read_file<'py>(path: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
    let py = path.py();
    // `open` takes descriptors too; a file is named here.
    let path = py.import("os")?.call_method1("fspath", (path,))?;
    let file = py.import("io")?.call_method1("open", (path, "rb"))?;
    let content = file.call_method1("read", (Limits::DEFAULT.tokenizer_bytes + 1,));
    file.call_method0("close")?;
    Ok(content?)
}
