//! `StopMatcher` for Python.

use std::sync::Arc;

use logitwire_core::error::Error as CoreError;
use logitwire_core::stop::{Fed, StopMatcher as Core, StopSet, StopText, Tie};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::error::{Result, not_pickled};
use crate::stop_texts::StopTexts;

#[pyclass(module = "logitwire")]
pub(crate) struct StopMatcher {
    pub(crate) core: Core,
    stops: Arc<[Py<PyString>]>,
    /// Of all that are copies of it; none where it was made for one stream.
    pub(crate) texts: Option<Arc<StopTexts>>,
}

impl StopMatcher {
    /// A stop that the core named by its index, as it was given.
    pub(crate) fn stop(&self, py: Python<'_>, index: usize) -> Py<PyString> {
        self.stops[index].clone_ref(py)
    }
}

#[pymethods]
impl StopMatcher {
    #[new]
    #[pyo3(signature = (stops, *, include_stop=false, stop_tie="longest"))]
    fn new(stops: Vec<Bound<'_, PyString>>, include_stop: bool, stop_tie: &str) -> Result<Self> {
        let bytes: Vec<&str> = stops.iter().map(|stop| stop.to_str()).collect::<PyResult<_>>()?;
        let set = Arc::new(StopSet::new(&bytes, Tie::from_name(stop_tie)?)?);
        let text = if include_stop { StopText::Include } else { StopText::Exclude };
        let stops = stops.into_iter().map(Bound::unbind).collect();
        Ok(Self { core: Core::new(set, text), stops, texts: Some(Arc::default()) })
    }

    #[getter]
    fn stops<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyString>> {
        self.stops.iter().map(|stop| stop.bind(py).clone()).collect()
    }

    #[pyo3(signature = (text, /, *, armed=true))]
    fn feed<'py>(
        &mut self,
        text: &Bound<'py, PyString>,
        armed: bool,
    ) -> Result<(Bound<'py, PyString>, Option<Py<PyString>>)> {
        let (py, fed) = (text.py(), text.to_str()?.as_bytes());
        let Fed { released, text: shown, stop } = self.core.feed(fed, armed);
        let shown = match released {
            [] if shown.len() == fed.len() => text.clone(),
            [] => PyString::from_bytes(py, shown)?,
            _ => PyString::from_bytes(py, &[released, shown].concat())?,
        };
        Ok((shown, stop.map(|index| self.stop(py, index))))
    }

    fn finish<'py>(&mut self, py: Python<'py>) -> Result<Bound<'py, PyString>> {
        Ok(PyString::from_bytes(py, self.core.finish())?)
    }

    fn reset(&mut self) {
        self.core.reset();
    }

    pub(crate) fn copy(&self) -> Self {
        Self { core: self.core.clone(), stops: self.stops.clone(), texts: self.texts.clone() }
    }

    fn __copy__(&self) -> Self {
        self.copy()
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> Self {
        self.copy()
    }

    fn __reduce__(&self) -> Result<()> {
        Err(not_pickled("StopMatcher", "make it again from its stops"))
    }
}

/// Stop strings as an argument: compiled already, or not.
pub(crate) enum Stops<'py> {
    Compiled(PyRef<'py, StopMatcher>),
    Strings(Vec<Bound<'py, PyString>>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Stops<'py> {
    type Error = PyErr;

    fn extract(stops: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(matcher) = stops.cast::<StopMatcher>() {
            return Ok(Self::Compiled(matcher.to_owned().try_borrow()?));
        }
        let strings = stops.extract().map(Self::Strings);
        strings.map_err(|_| {
            PyTypeError::new_err("stop: expected a StopMatcher, or a sequence of str (not one str, nor a set)")
        })
    }
}

impl Stops<'_> {
    /// The matcher of a stream of its own, at its beginning.
    pub(crate) fn start(self, include_stop: bool) -> Result<StopMatcher> {
        match self {
            Self::Strings(stops) => {
                let matcher = StopMatcher::new(stops, include_stop, "longest")?;
                Ok(StopMatcher { texts: None, ..matcher })
            }
            Self::Compiled(_) if include_stop => Err(CoreError::Parameter {
                field: "include_stop",
                value: "True".into(),
                expected: "nothing, since the StopMatcher given has its own".into(),
            }
            .into()),
            Self::Compiled(matcher) => {
                let mut matcher = matcher.copy();
                matcher.core.reset();
                matcher.texts = matcher.texts.filter(|texts| texts.begin());
                Ok(matcher)
            }
        }
    }
}
