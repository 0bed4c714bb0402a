//! `Detokenizer` for Python.

use logitwire_core::detokenize::{ByteFallback, DetokenizeOptions, Detokenizer as Core};
use logitwire_core::error::Error as CoreError;
use logitwire_core::stop::StopText;
use logitwire_core::vocab::Gate;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::error::{Result, not_pickled};
use crate::ids::{any_id, any_ids};
use crate::stop::{StopMatcher, Stops};
use crate::vocab::Vocab;

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

/// Less is over before another thread could use the time.
const DETACH_IDS: usize = 8192;

/// Without the GIL, if it takes long.
pub(crate) fn detached<T: Send>(py: Python<'_>, n_ids: usize, work: impl FnOnce() -> T + Send) -> T {
    if n_ids < DETACH_IDS { work() } else { py.detach(work) }
}

#[pyclass(module = "logitwire")]
pub(crate) struct Detokenizer {
    core: Core,
    vocab: Vocab,
    /// What goes past the stream and its stops.
    gate: Gate,
    /// What the text ends at.
    stop: Option<StopMatcher>,
    /// Which stop the text has ended at.
    matched: Option<usize>,
    /// The next step begins another text.
    is_over: bool,
    text: Vec<u8>,
}

impl Detokenizer {
    pub(crate) fn new(
        vocab: &Vocab,
        options: DetokenizeOptions,
        prompt_ids: Option<&Bound<'_, PyAny>>,
        stop: Option<Stops<'_>>,
    ) -> Result<Self> {
        let core = match prompt_ids {
            None => Core::new(&vocab.core, options),
            Some(ids) => {
                let (py, ids) = (ids.py(), any_ids(ids)?);
                detached(py, ids.len(), || Core::after(&vocab.core, options, ids))?
            }
        };
        let stop = stop.map(|stop| stop.start(false)).transpose()?;
        let (gate, vocab, text) = (Gate::CLOSED, vocab.clone(), Vec::new());
        let mut stream = Self { core, vocab, gate, stop, matched: None, is_over: false, text };
        stream.look();
        Ok(stream)
    }

    /// See what goes past.
    fn look(&mut self) {
        self.gate = match &self.stop {
            _ if self.is_over => Gate::CLOSED,
            Some(stop) => self.core.gate().but(stop.core.watched()),
            None => self.core.gate(),
        };
    }

    #[inline]
    fn step_id<'py>(&mut self, py: Python<'py>, id: u32) -> Result<Bound<'py, PyString>> {
        let vocab = &self.vocab;
        match vocab.core.lets(self.gate, id) {
            true => vocab.texts.token(py, id, || vocab.core.token_bytes(id).unwrap_or_default()),
            false => self.step_aside(py, id),
        }
    }

    /// A step of what does not go past.
    fn step_aside<'py>(&mut self, py: Python<'py>, id: u32) -> Result<Bound<'py, PyString>> {
        if self.is_over {
            (self.is_over, self.matched) = (false, None);
        }
        if let Some(index) = self.special_stop(id) {
            return self.end(py, index);
        }
        let text = match &mut self.stop {
            Some(stop) if self.vocab.core.lets(self.core.gate(), id) => {
                let texts = &self.vocab.texts;
                let before = stop.core.place();
                let known = stop.texts.as_deref().zip(before);
                if let Some((after, text)) = known.and_then(|(known, before)| known.get(py, texts, before, id)) {
                    stop.core.resume(after);
                    self.gate = self.core.gate().but(stop.core.watched());
                    return Ok(text);
                }
                let token = self.vocab.core.token_bytes(id).unwrap_or_default();
                let fed = stop.core.feed_kinds(token, self.vocab.core.token_kinds(id), true);
                self.matched = self.matched.or(fed.stop);
                let text = match (fed.released, fed.text) {
                    ([], shown) if shown.len() == token.len() => texts.token(py, id, || token),
                    ([], shown) => texts.text(py, shown),
                    (released, shown) => texts.text(py, &[released, shown].concat()),
                }?;
                if let (Some((known, before)), Some(after)) = (known, stop.core.place()) {
                    known.put(texts, before, id, (after, &text));
                }
                Ok(text)
            }
            _ => {
                self.core.step(&self.vocab.core, id, &mut self.text)?;
                self.watch();
                self.take(py)
            }
        };
        self.look();
        text
    }

    /// Which stop a token is that is left out of the text, where the matcher will never see it.
    fn special_stop(&self, id: u32) -> Option<usize> {
        let stop = self.stop.as_ref().filter(|stop| self.core.skips_special_tokens() && stop.core.place().is_some())?;
        stop.core.index_of(self.vocab.core.special_text(id)?)
    }

    /// The text ends at such a token.
    fn end<'py>(&mut self, py: Python<'py>, index: usize) -> Result<Bound<'py, PyString>> {
        let finished = self.core.finish(&self.vocab.core, &mut self.text);
        self.watch();
        if let (Some(stop), None) = (&mut self.stop, self.matched) {
            self.matched = Some(index);
            self.text.extend_from_slice(stop.core.end());
            if stop.core.text() == StopText::Include {
                self.text.extend_from_slice(&stop.core.stops()[index]);
            }
        }
        self.look();
        let text = self.take(py);
        finished?;
        text
    }

    /// Of the text, leave what is safe to show.
    fn watch(&mut self) {
        if let Some(stop) = &mut self.stop {
            let found = stop.core.feed_in_place(&mut self.text, true);
            self.matched = self.matched.or(found);
        }
    }

    fn take<'py>(&mut self, py: Python<'py>) -> Result<Bound<'py, PyString>> {
        let text = self.vocab.texts.text(py, &self.text);
        self.text.clear();
        text
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
    fn step_many<'py>(token_ids: &Bound<'py, PyAny>, streams: &Bound<'py, PyAny>) -> Result<Bound<'py, PyList>> {
        let py = token_ids.py();
        let ids = any_ids(token_ids)?;
        let streams = match streams.cast::<PyList>() {
            Ok(list) => list.to_tuple(),
            Err(_) => PyTuple::new(py, streams.try_iter()?.collect::<PyResult<Vec<_>>>()?)?,
        };
        if ids.len() != streams.len() {
            let what = format!("step_many: {} token ids for {} streams", ids.len(), streams.len());
            return Err(CoreError::Shape { what }.into());
        }
        // All or none: what a stream has given is given only once.
        let mut cells = Vec::with_capacity(ids.len());
        for stream in streams.iter_borrowed() {
            let cell = stream.cast::<Self>().map_err(PyErr::from)?;
            cell.try_borrow_mut().map_err(PyErr::from)?;
            cells.push(cell);
        }
        let mut texts = Vec::with_capacity(ids.len());
        for (id, cell) in ids.into_iter().zip(cells) {
            texts.push(cell.try_borrow_mut().map_err(PyErr::from)?.step_id(py, id)?);
        }
        Ok(PyList::new(py, texts)?)
    }

    fn finish<'py>(&mut self, py: Python<'py>) -> Result<Bound<'py, PyString>> {
        let finished = self.core.finish(&self.vocab.core, &mut self.text);
        self.watch();
        if let Some(stop) = &mut self.stop {
            self.text.extend_from_slice(stop.core.finish());
        }
        self.is_over = true;
        self.look();
        let text = self.take(py);
        finished?;
        text
    }

    fn reset(&mut self) {
        self.core.reset(&self.vocab.core);
        if let Some(stop) = &mut self.stop {
            stop.core.reset();
        }
        (self.is_over, self.matched) = (false, None);
        self.look();
    }

    #[getter]
    fn stop(&self, py: Python<'_>) -> Option<Py<PyString>> {
        Some(self.stop.as_ref()?.stop(py, self.matched?))
    }

    fn copy(&self) -> Self {
        let Self { core, vocab, gate, stop, matched, is_over, .. } = self;
        let stop = stop.as_ref().map(StopMatcher::copy);
        let (core, vocab) = (core.clone(), vocab.clone());
        Self { core, vocab, gate: *gate, stop, matched: *matched, is_over: *is_over, text: Vec::new() }
    }

    fn __copy__(&self) -> Self {
        self.copy()
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> Self {
        self.copy()
    }

    fn __reduce__(&self) -> Result<()> {
        Err(not_pickled("Detokenizer", "start one after the ids so far, by prompt_ids"))
    }
}
