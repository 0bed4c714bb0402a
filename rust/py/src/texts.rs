//! The Python string of each token, made when it is first wanted.
//!
//! Most tokens of a stream are text by themselves, and making a string costs more than finding out which. Kept for as
//! long as the vocabulary; at most one string an id.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::error::Result;

const PAGE: usize = 256;

type Page = Box<[PyOnceLock<Py<PyString>>]>;

pub(crate) struct Texts {
    pages: Box<[PyOnceLock<Page>]>,
}

impl Texts {
    /// For ids below `n_ids`; a page of them takes no memory until it is used.
    pub(crate) fn new(n_ids: usize) -> Self {
        Self { pages: (0..n_ids.div_ceil(PAGE)).map(|_| PyOnceLock::new()).collect() }
    }

    /// The string of `text`, which must be the same for an id every time.
    #[inline]
    pub(crate) fn get<'py>(&self, py: Python<'py>, id: u32, text: &[u8]) -> Result<Bound<'py, PyString>> {
        let id = id as usize;
        let Some(page) = self.pages.get(id / PAGE) else { return Ok(PyString::from_bytes(py, text)?) };
        let page = page.get_or_init(py, || (0..PAGE).map(|_| PyOnceLock::new()).collect());
        let make = || PyString::from_bytes(py, text).map(Bound::unbind);
        Ok(page[id % PAGE].get_or_try_init(py, make)?.bind(py).clone())
    }
}
