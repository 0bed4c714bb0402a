//! `SseParser`, `Event`, `Framer` and the framing functions for Python.

use logitwire_core::error::Error as CoreError;
use logitwire_core::limits::Limits;
use logitwire_core::sse::frame::{self, Framer as CoreFramer, Kind};
use logitwire_core::sse::parse::{Event as CoreEvent, Parser};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::array::Bytes;
use crate::error::Result;

#[pyclass(frozen, eq, module = "logitwire.sse")]
#[derive(PartialEq)]
pub(crate) struct Event {
    core: CoreEvent,
}

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (data, *, r#type="message", id=""))]
    fn new(data: String, r#type: &str, id: &str) -> Self {
        Self { core: CoreEvent { event_type: r#type.to_owned(), data, id: id.to_owned() } }
    }

    #[getter]
    fn r#type(&self) -> &str {
        &self.core.event_type
    }

    #[getter]
    fn data(&self) -> &str {
        &self.core.data
    }

    #[getter]
    fn id(&self) -> &str {
        &self.core.id
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let repr = |text: &str| text.into_pyobject(py)?.repr().map(|repr| repr.to_string());
        let CoreEvent { event_type, data, id } = &self.core;
        Ok(format!("Event({}, type={}, id={})", repr(data)?, repr(event_type)?, repr(id)?))
    }
}

#[pyclass(module = "logitwire.sse")]
pub(crate) struct SseParser {
    core: Parser,
}

#[pymethods]
impl SseParser {
    #[new]
    #[pyo3(
        signature = (*, max_line=Limits::DEFAULT.sse_line_bytes, max_event=Limits::DEFAULT.sse_event_bytes),
        text_signature = "(*, max_line=1048576, max_event=8388608)"
    )]
    fn new(max_line: usize, max_event: usize) -> Self {
        Self { core: Parser::new(max_line, max_event) }
    }

    #[pyo3(signature = (chunk, /))]
    fn feed(&mut self, chunk: &Bound<'_, PyAny>) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        self.core.feed(Bytes::get(chunk)?.as_slice(), &mut events)?;
        Ok(events.into_iter().map(|core| Event { core }).collect())
    }

    fn reset(&mut self) {
        self.core.reset();
    }

    #[getter]
    fn last_event_id(&self) -> &str {
        self.core.last_event_id()
    }

    #[getter]
    fn retry_ms(&self) -> Option<u64> {
        self.core.retry_ms()
    }
}

#[pyclass(frozen, module = "logitwire.sse")]
pub(crate) struct Framer {
    pub(crate) core: CoreFramer,
}

fn written<'py>(py: Python<'py>, write: impl FnOnce(&mut Vec<u8>)) -> Bound<'py, PyBytes> {
    let mut out = Vec::new();
    write(&mut out);
    PyBytes::new(py, &out)
}

#[pymethods]
impl Framer {
    #[new]
    #[pyo3(signature = (kind, *, id, model, created, index=0, include_usage=false))]
    fn new(kind: &str, id: &str, model: &str, created: u64, index: u32, include_usage: bool) -> Result<Self> {
        let kind = match kind {
            "chat" => Kind::Chat,
            "completion" => Kind::Completion,
            _ => {
                let (value, expected) = (format!("{kind:?}"), "\"chat\" or \"completion\"".into());
                return Err(CoreError::Parameter { field: "kind", value, expected }.into());
            }
        };
        Ok(Self { core: CoreFramer::new(kind, id, model, created, index, include_usage) })
    }

    fn start<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        written(py, |out| self.core.start(out))
    }

    #[pyo3(signature = (text, /))]
    fn text<'py>(&self, py: Python<'py>, text: &str) -> Bound<'py, PyBytes> {
        written(py, |out| self.core.text(text.as_bytes(), out))
    }

    #[pyo3(signature = (reason, /))]
    fn finish<'py>(&self, py: Python<'py>, reason: &str) -> Result<Bound<'py, PyBytes>> {
        if !matches!(reason, "stop" | "length") {
            let (value, expected) = (format!("{reason:?}"), "\"stop\" or \"length\"".into());
            return Err(CoreError::Parameter { field: "reason", value, expected }.into());
        }
        Ok(written(py, |out| self.core.finish(reason, out)))
    }

    #[pyo3(signature = (prompt_tokens, completion_tokens, /))]
    fn usage<'py>(&self, py: Python<'py>, prompt_tokens: u64, completion_tokens: u64) -> Bound<'py, PyBytes> {
        written(py, |out| self.core.usage(prompt_tokens, completion_tokens, out))
    }
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
