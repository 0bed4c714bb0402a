//! `Framer`, `Template` and the framing functions for Python.

use logitwire_core::error::Error as CoreError;
use logitwire_core::sse::frame::{
    self, Framer as CoreFramer, Kind, Template as CoreTemplate, TgiEnd, TgiToken, TokenLogprob,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::error::Result;

fn written<'py>(py: Python<'py>, write: impl FnOnce(&mut Vec<u8>)) -> Bound<'py, PyBytes> {
    let mut out = Vec::new();
    write(&mut out);
    PyBytes::new(py, &out)
}

/// The frame of one text. Where nothing is escaped its size is known, and it is written where it stays.
fn framed<'py>(py: Python<'py>, template: &CoreTemplate, text: &str) -> PyResult<Bound<'py, PyBytes>> {
    let Some([head, text, tail]) = template.plain(text) else {
        return Ok(written(py, |out| template.text(text, out)));
    };
    PyBytes::new_with(py, head.len() + text.len() + tail.len(), |frame| {
        let (start, rest) = frame.split_at_mut(head.len());
        let (middle, end) = rest.split_at_mut(text.len());
        start.copy_from_slice(head);
        middle.copy_from_slice(text);
        end.copy_from_slice(tail);
        Ok(())
    })
}

/// The frames of many texts in one buffer.
fn joined<'py>(
    py: Python<'py>,
    texts: &Bound<'py, PyAny>,
    template: &CoreTemplate,
    skip_empty: bool,
) -> Result<Bound<'py, PyBytes>> {
    if texts.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("expected an iterable of texts, not one text").into());
    }
    let texts = texts.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    let text = |text: &'_ Bound<'py, PyAny>| Ok(text.cast::<PyString>().map_err(PyErr::from)?.to_str()?.len());
    let lengths: PyResult<usize> = texts.iter().map(text).sum();
    let mut out = Vec::with_capacity(lengths? + texts.len() * template.frame_len());
    for text in &texts {
        let text = text.cast::<PyString>().map_err(PyErr::from)?.to_str()?;
        if !(skip_empty && text.is_empty()) {
            template.text(text, &mut out);
        }
    }
    Ok(PyBytes::new(py, &out))
}

#[pyclass(frozen, module = "logitwire.sse")]
pub(crate) struct Template {
    core: CoreTemplate,
}

#[pymethods]
impl Template {
    #[new]
    #[pyo3(signature = (before, after, /, *, event=None))]
    fn new(before: &str, after: &str, event: Option<&str>) -> Result<Self> {
        Ok(Self { core: CoreTemplate::new(before, after, event)? })
    }

    #[pyo3(signature = (text, /))]
    fn text<'py>(&self, py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyBytes>> {
        framed(py, &self.core, text)
    }

    #[pyo3(signature = (texts, /))]
    fn texts<'py>(&self, py: Python<'py>, texts: &Bound<'py, PyAny>) -> Result<Bound<'py, PyBytes>> {
        joined(py, texts, &self.core, false)
    }
}

#[pyclass(frozen, module = "logitwire.sse")]
pub(crate) struct Framer {
    pub(crate) core: CoreFramer,
}

/// (token, log-probability, most likely tokens and theirs, offset of the token in the text)
type Logprob = (Vec<u8>, f32, Vec<(Vec<u8>, f32)>, usize);

#[pymethods]
impl Framer {
    #[new]
    #[pyo3(signature = (kind, *, id, model, created, index=0, include_usage=false))]
    fn new(kind: &str, id: &str, model: &str, created: u64, index: u32, include_usage: bool) -> Result<Self> {
        let kind = match kind {
            "chat" => Kind::Chat,
            "completion" => Kind::Completion,
            _ => return refuse("kind", kind, "\"chat\" or \"completion\""),
        };
        Ok(Self { core: CoreFramer::new(kind, id, model, created, index, include_usage) })
    }

    fn start<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        written(py, |out| self.core.start(out))
    }

    #[pyo3(signature = (text, /, *, logprobs=None))]
    fn text<'py>(&self, py: Python<'py>, text: &str, logprobs: Option<Vec<Logprob>>) -> PyResult<Bound<'py, PyBytes>> {
        match logprobs {
            Some(logprobs) => {
                let tokens: Vec<TokenLogprob<'_>> = logprobs.iter().map(token_logprob).collect();
                Ok(written(py, |out| self.core.text_with_logprobs(text.as_bytes(), &tokens, out)))
            }
            None if text.is_empty() => Ok(PyBytes::new(py, b"")),
            None => framed(py, self.core.template(), text),
        }
    }

    #[pyo3(signature = (texts, /))]
    fn texts<'py>(&self, py: Python<'py>, texts: &Bound<'py, PyAny>) -> Result<Bound<'py, PyBytes>> {
        joined(py, texts, self.core.template(), true)
    }

    #[pyo3(signature = (index, /, *, id, name))]
    fn tool_call<'py>(&self, py: Python<'py>, index: u32, id: &str, name: &str) -> Result<Bound<'py, PyBytes>> {
        self.check_chat("tool_call")?;
        Ok(written(py, |out| self.core.tool_call(index, id, name, out)))
    }

    #[pyo3(signature = (index, arguments, /))]
    fn tool_arguments<'py>(&self, py: Python<'py>, index: u32, arguments: &str) -> Result<Bound<'py, PyBytes>> {
        self.check_chat("tool_arguments")?;
        Ok(written(py, |out| self.core.tool_arguments(index, arguments, out)))
    }

    #[pyo3(signature = (reason, /))]
    fn finish<'py>(&self, py: Python<'py>, reason: &str) -> Result<Bound<'py, PyBytes>> {
        let is_known = match self.core.kind() {
            Kind::Chat => {
                matches!(reason, "stop" | "length" | "tool_calls" | "content_filter" | "function_call")
            }
            Kind::Completion => matches!(reason, "stop" | "length" | "content_filter"),
        };
        if !is_known {
            let expected = "\"stop\", \"length\", \"content_filter\", or of a chat \"tool_calls\", \"function_call\"";
            return refuse("reason", reason, expected);
        }
        Ok(written(py, |out| self.core.finish(reason, out)))
    }

    #[pyo3(signature = (prompt_tokens, completion_tokens, /))]
    fn usage<'py>(&self, py: Python<'py>, prompt_tokens: u64, completion_tokens: u64) -> Bound<'py, PyBytes> {
        written(py, |out| self.core.usage(prompt_tokens, completion_tokens, out))
    }
}

impl Framer {
    fn check_chat(&self, method: &str) -> Result<()> {
        match self.core.kind() {
            Kind::Chat => Ok(()),
            Kind::Completion => refuse("kind", "completion", &format!("\"chat\", for {method}")),
        }
    }
}

fn token_logprob((token, logprob, top, text_offset): &Logprob) -> TokenLogprob<'_> {
    let top = top.iter().map(|(token, logprob)| (&token[..], *logprob)).collect();
    TokenLogprob { token, logprob: *logprob, top, text_offset: *text_offset }
}

fn refuse<T>(field: &'static str, value: &str, expected: &str) -> Result<T> {
    Err(CoreError::Parameter { field, value: format!("{value:?}"), expected: expected.to_owned() }.into())
}

#[pyfunction]
#[pyo3(signature = (data, /, *, event=None, id=None, retry_ms=None))]
pub(crate) fn sse_frame<'py>(
    py: Python<'py>,
    data: &str,
    event: Option<&str>,
    id: Option<&str>,
    retry_ms: Option<u64>,
) -> Result<Bound<'py, PyBytes>> {
    let mut out = Vec::new();
    frame::frame(data, event, id, retry_ms, &mut out)?;
    Ok(PyBytes::new(py, &out))
}

#[pyfunction]
#[pyo3(signature = (text="", /))]
pub(crate) fn sse_comment<'py>(py: Python<'py>, text: &str) -> Result<Bound<'py, PyBytes>> {
    let mut out = Vec::new();
    frame::comment(text, &mut out)?;
    Ok(PyBytes::new(py, &out))
}

#[pyfunction]
#[pyo3(signature = (message, /, *, r#type="server_error", param=None, code=None))]
pub(crate) fn sse_error<'py>(
    py: Python<'py>,
    message: &str,
    r#type: &str,
    param: Option<&str>,
    code: Option<&str>,
) -> Bound<'py, PyBytes> {
    written(py, |out| frame::error(message, r#type, param, code, out))
}

/// (id, text, log-probability, whether it is special)
type Token = (u32, String, f32, bool);

#[pyfunction]
#[pyo3(signature = (index, token, /, *, top_tokens=vec![], end=None))]
pub(crate) fn sse_tgi_token<'py>(
    py: Python<'py>,
    index: u64,
    token: Token,
    top_tokens: Vec<Token>,
    end: Option<(String, String, u64, Option<u64>)>,
) -> Result<Bound<'py, PyBytes>> {
    let end = match &end {
        None => None,
        Some((generated_text, finish_reason, generated_tokens, seed)) => {
            if !matches!(&finish_reason[..], "length" | "eos_token" | "stop_sequence") {
                return refuse("finish_reason", finish_reason, "\"length\", \"eos_token\" or \"stop_sequence\"");
            }
            Some(TgiEnd { generated_text, finish_reason, generated_tokens: *generated_tokens, seed: *seed })
        }
    };
    let top_tokens: Vec<TgiToken<'_>> = top_tokens.iter().map(tgi_token).collect();
    Ok(written(py, |out| frame::tgi_token(index, tgi_token(&token), &top_tokens, end, out)))
}

fn tgi_token((id, text, logprob, is_special): &Token) -> TgiToken<'_> {
    TgiToken { id: *id, text, logprob: *logprob, is_special: *is_special }
}

#[pyfunction]
#[pyo3(signature = (message, error_type="generation", /))]
pub(crate) fn sse_tgi_error<'py>(py: Python<'py>, message: &str, error_type: &str) -> Bound<'py, PyBytes> {
    written(py, |out| frame::tgi_error(message, error_type, out))
}
