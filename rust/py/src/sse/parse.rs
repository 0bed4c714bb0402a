//! `SseParser`, and the two shapes an event has in Python.

use jiter::{PythonParse, StringCacheMode};
use logitwire_core::limits::Limits;
use logitwire_core::sse::parse::{Bounds, DEFAULT_TYPE, Parser, RawEvent};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PySlice, PyString, PyTuple};

use crate::array::Bytes;
use crate::error::{Error, Result};

/// The payload that ends OpenAI's streams.
const DONE: &[u8] = b"[DONE]";

#[pyclass(frozen, module = "logitwire.sse")]
pub(crate) struct Event {
    r#type: Py<PyString>,
    data: Py<PyString>,
    id: Py<PyString>,
}

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (data, *, r#type=None, id=None), text_signature = "(data, *, type='message', id='')")]
    fn new(py: Python<'_>, data: Py<PyString>, r#type: Option<Py<PyString>>, id: Option<Py<PyString>>) -> Self {
        let or = |text: Option<Py<PyString>>, default: &str| match text {
            Some(text) => text,
            None => PyString::new(py, default).unbind(),
        };
        Self { r#type: or(r#type, DEFAULT_TYPE), data, id: or(id, "") }
    }

    #[getter]
    fn r#type(&self, py: Python<'_>) -> Py<PyString> {
        self.r#type.clone_ref(py)
    }

    #[getter]
    fn data(&self, py: Python<'_>) -> Py<PyString> {
        self.data.clone_ref(py)
    }

    #[getter]
    fn id(&self, py: Python<'_>) -> Py<PyString> {
        self.id.clone_ref(py)
    }

    fn __eq__(&self, py: Python<'_>, other: &Self) -> PyResult<bool> {
        let equal = |a: &Py<PyString>, b: &Py<PyString>| a.bind(py).as_any().eq(b.bind(py));
        Ok(equal(&self.data, &other.data)? && equal(&self.r#type, &other.r#type)? && equal(&self.id, &other.id)?)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        (&self.data, &self.r#type, &self.id).into_pyobject(py)?.hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let repr = |text: &Py<PyString>| text.bind(py).repr().map(|repr| repr.to_string());
        Ok(format!("Event({}, type={}, id={})", repr(&self.data)?, repr(&self.r#type)?, repr(&self.id)?))
    }
}

#[pyclass(frozen, module = "logitwire.sse")]
pub(crate) struct EventBytes {
    r#type: Py<PyString>,
    parts: Py<PyTuple>,
    id: Py<PyString>,
}

#[pymethods]
impl EventBytes {
    #[getter]
    fn r#type(&self, py: Python<'_>) -> Py<PyString> {
        self.r#type.clone_ref(py)
    }

    #[getter]
    fn parts(&self, py: Python<'_>) -> Py<PyTuple> {
        self.parts.clone_ref(py)
    }

    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let parts = self.parts.bind(py);
        match parts.len() {
            1 => parts.get_item(0),
            _ => PyBytes::new(py, b"\n").call_method1("join", (parts,)),
        }
    }

    #[getter]
    fn id(&self, py: Python<'_>) -> Py<PyString> {
        self.id.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let data = PyBytes::new(py, b"").call_method1("join", (PyTuple::new(py, [self.data(py)?])?,))?;
        let (data, event_type, id) = (data.repr()?, self.r#type.bind(py).repr()?, self.id.bind(py).repr()?);
        Ok(format!("EventBytes({data}, type={event_type}, id={id})"))
    }
}

/// A string made once for as long as its bytes stay the same, as the type and the id of events do.
struct Kept {
    bytes: Vec<u8>,
    text: Option<Py<PyString>>,
}

impl Kept {
    fn get(&mut self, py: Python<'_>, bytes: &[u8]) -> Result<Py<PyString>> {
        match &self.text {
            Some(text) if self.bytes == bytes => Ok(text.clone_ref(py)),
            _ => {
                let text = text_of(py, bytes)?.unbind();
                self.bytes.clear();
                self.bytes.extend_from_slice(bytes);
                self.text = Some(text.clone_ref(py));
                Ok(text)
            }
        }
    }
}

/// "UTF-8 decode" replaces what is ill-formed.
fn text_of<'py>(py: Python<'py>, bytes: &[u8]) -> Result<Bound<'py, PyString>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text)),
        Err(_) => Ok(PyString::new(py, &String::from_utf8_lossy(bytes))),
    }
}

#[pyclass(module = "logitwire.sse")]
pub(crate) struct SseParser {
    core: Parser,
    is_done: bool,
    event_type: Kept,
    id: Kept,
    /// Data of several lines, joined.
    joined: Vec<u8>,
    /// The payload that was no JSON, until `reset`.
    failed: Option<NotJson>,
}

#[pymethods]
impl SseParser {
    #[new]
    #[pyo3(
        signature = (
            *,
            max_line=Limits::DEFAULT.sse_line_bytes,
            max_event=Limits::DEFAULT.sse_event_bytes,
            max_id=Limits::DEFAULT.sse_id_bytes,
        ),
        text_signature = "(*, max_line=1048576, max_event=8388608, max_id=4096)"
    )]
    fn new(max_line: usize, max_event: usize, max_id: usize) -> Self {
        let kept = || Kept { bytes: Vec::new(), text: None };
        Self {
            core: Parser::new(Bounds { line: max_line, event: max_event, id: max_id }),
            is_done: false,
            event_type: kept(),
            id: kept(),
            joined: Vec::new(),
            failed: None,
        }
    }

    #[pyo3(signature = (chunk, /))]
    fn feed<'py>(&mut self, py: Python<'py>, chunk: &Bound<'py, PyAny>) -> Result<Bound<'py, PyList>> {
        self.read(py, chunk, |events, event, r#type, id, joined| {
            let data = text_of(py, one_piece(&event, joined))?.unbind();
            events.push(Bound::new(py, Event { r#type, data, id })?.into_any());
            Ok(())
        })
    }

    #[pyo3(signature = (chunk, /))]
    fn feed_bytes<'py>(&mut self, py: Python<'py>, chunk: &Bound<'py, PyAny>) -> Result<Bound<'py, PyList>> {
        let mut whole: Option<Bound<'py, PyAny>> = None;
        self.read(py, chunk, |events, event, r#type, id, _| {
            let whole = match &whole {
                Some(whole) => whole,
                None => {
                    let view = PyMemoryView::from(chunk)?.call_method1("cast", ("B",))?;
                    whole.insert(view.call_method0("toreadonly")?)
                }
            };
            let kept = event.kept.map(|kept| Ok(PyMemoryView::from(&PyBytes::new(py, kept))?.into_any()));
            let slice = |line: &std::ops::Range<usize>| {
                whole.get_item(PySlice::new(py, line.start as isize, line.end as isize, 1))
            };
            let parts: PyResult<Vec<_>> = kept.into_iter().chain(event.lines.iter().map(slice)).collect();
            let parts = PyTuple::new(py, parts?)?.unbind();
            events.push(Bound::new(py, EventBytes { r#type, parts, id })?.into_any());
            Ok(())
        })
    }

    #[pyo3(signature = (chunk, /))]
    fn feed_json<'py>(&mut self, py: Python<'py>, chunk: &Bound<'py, PyAny>) -> Result<Bound<'py, PyList>> {
        let parse = PythonParse { allow_inf_nan: true, cache_mode: StringCacheMode::All, ..PythonParse::default() };
        let mut is_done = self.is_done;
        self.read(py, chunk, |payloads, event, _, _, joined| {
            let data = one_piece(&event, joined);
            is_done |= data == DONE;
            if is_done {
                return Ok(());
            }
            let text = String::from_utf8_lossy(data);
            match parse.python_parse(py, text.as_bytes()) {
                Ok(payload) => payloads.push(payload),
                Err(error) => {
                    let (position, why) = (error.index, error.error_type.to_string());
                    return Err(Failure::NotJson(NotJson { data: text.into_owned(), position, why }));
                }
            }
            Ok(())
        })
    }

    fn reset(&mut self) {
        self.core.reset();
        self.is_done = false;
        self.failed = None;
    }

    #[getter]
    fn done(&self) -> bool {
        self.is_done
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

type Shown<'py> = Vec<Bound<'py, PyAny>>;
type Outcome = std::result::Result<(), Failure>;

impl SseParser {
    /// Feed the core. `show` puts what an event is to be into the list; the event's type and id are made for it.
    fn read<'py>(
        &mut self,
        py: Python<'py>,
        chunk: &Bound<'py, PyAny>,
        mut show: impl FnMut(&mut Shown<'py>, RawEvent<'_>, Py<PyString>, Py<PyString>, &mut Vec<u8>) -> Outcome,
    ) -> Result<Bound<'py, PyList>> {
        if let Some(failed) = &self.failed {
            return Err(Error::Py(with_events(failed.raised(py)?, PyList::empty(py))?));
        }
        let (mut shown, mut failed) = (Vec::new(), None);
        let Self { core, is_done, event_type, id, joined, .. } = self;
        let on_event = |event: RawEvent<'_>| {
            if failed.is_some() {
                return;
            }
            *is_done |= event.one_piece() == Some(DONE);
            let name = if event.event_type.is_empty() { DEFAULT_TYPE.as_bytes() } else { event.event_type };
            let strings = event_type.get(py, name).and_then(|name| Ok((name, id.get(py, event.id.as_bytes())?)));
            let outcome = strings.map_err(Failure::Error);
            failed = outcome.and_then(|(name, id)| show(&mut shown, event, name, id, joined)).err();
        };
        let read = match chunk.cast::<PyBytes>() {
            Ok(bytes) => core.feed_raw(bytes.as_bytes(), on_event),
            Err(_) => core.feed_raw(Bytes::get(chunk)?.as_slice(), on_event),
        };
        let shown = PyList::new(py, shown)?;
        let error: PyErr = match (failed, read) {
            (None, Ok(())) => return Ok(shown),
            (Some(Failure::Error(error)), _) => return Err(error),
            (Some(Failure::NotJson(failed)), _) => self.failed.insert(failed).raised(py)?,
            (None, Err(error)) => Error::from(error).into(),
        };
        Err(Error::Py(with_events(error, shown)?))
    }
}

fn with_events<'py>(error: PyErr, events: Bound<'py, PyList>) -> PyResult<PyErr> {
    error.value(events.py()).setattr("events", events)?;
    Ok(error)
}

/// The data of an event in one piece, made in `joined` where there is none.
fn one_piece<'a>(event: &'a RawEvent<'_>, joined: &'a mut Vec<u8>) -> &'a [u8] {
    match event.one_piece() {
        Some(piece) => piece,
        None => {
            joined.clear();
            joined.shrink_to(1 << 16);
            event.join(joined);
            joined
        }
    }
}

/// A payload that is no JSON.
struct NotJson {
    data: String,
    position: usize,
    why: String,
}

impl NotJson {
    fn raised(&self, py: Python<'_>) -> PyResult<PyErr> {
        let facts = PyDict::new(py);
        facts.set_item("data", &self.data)?;
        facts.set_item("position", self.position)?;
        facts.set_item("hint", "feed gives the events as they are, whatever their data")?;
        let class = py.import("logitwire.errors")?.getattr("PayloadError")?;
        let message = format!("an event's data is not JSON, byte {}: {}", self.position, self.why);
        Ok(PyErr::from_value(class.call((message,), Some(&facts))?))
    }
}

/// Why an event could not be shown.
enum Failure {
    NotJson(NotJson),
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Error(error.into())
    }
}
