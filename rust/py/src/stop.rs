//! `StopMatcher` for Python.

use std::sync::Arc;

use logitwire_core::stop::{StopMatcher as Core, StopSet, StopText};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::error::Result;

pub(crate) fn stop_text(include_stop: bool) -> StopText {
    if include_stop { StopText::Include } else { StopText::Exclude }
}

#[pyclass(module = "logitwire")]
pub(crate) struct StopMatcher {
    core: Core,
    stops: Vec<Py<PyString>>,
    text: Vec<u8>,
}

impl StopMatcher {
    fn take<'py>(&mut self, py: Python<'py>) -> Result<Bound<'py, PyString>> {
        let text = PyString::from_bytes(py, &self.text)?;
        self.text.clear();
        Ok(text)
    }
}

#[pymethods]
impl StopMatcher {
    #[new]
    #[pyo3(signature = (stops, *, include_stop=false))]
    fn new(stops: Vec<Bound<'_, PyString>>, include_stop: bool) -> Result<Self> {
        let bytes: Vec<String> = stops.iter().map(|stop| stop.extract()).collect::<PyResult<_>>()?;
        let core = Core::new(Arc::new(StopSet::new(&bytes)?), stop_text(include_stop));
        Ok(Self { core, stops: stops.into_iter().map(Bound::unbind).collect(), text: Vec::new() })
    }

    #[pyo3(signature = (text, /))]
    fn feed<'py>(&mut self, py: Python<'py>, text: &str) -> Result<(Bound<'py, PyString>, Option<Py<PyString>>)> {
        let matched = self.core.feed(text.as_bytes(), &mut self.text);
        let stop = matched.map(|index| self.stops[index].clone_ref(py));
        Ok((self.take(py)?, stop))
    }

    fn finish<'py>(&mut self, py: Python<'py>) -> Result<Bound<'py, PyString>> {
        self.core.finish(&mut self.text);
        self.take(py)
    }

    fn reset(&mut self) {
        self.core.reset();
    }
}
