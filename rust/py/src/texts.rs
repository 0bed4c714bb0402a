//! The Python string of each token and of each character, made when it is first wanted.
//!
//! Most steps of a stream give one or the other, and making a string costs more than finding out which. Kept for as long
//! as the vocabulary; at most one string an id, and one a character of the two planes in common use.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::error::Result;

const PAGE: usize = 256;

/// The Basic and the Supplementary Multilingual Plane.
const N_CHARACTERS: usize = 0x2_0000;

pub(crate) struct Texts {
    tokens: Pages,
    characters: Pages,
}

impl Texts {
    /// For ids below `n_ids`; a page of them takes no memory until it is used.
    pub(crate) fn new(n_ids: usize) -> Self {
        Self { tokens: Pages::new(n_ids), characters: Pages::new(N_CHARACTERS) }
    }

    /// The string of a token; `text` must be the same for an id every time.
    #[inline]
    pub(crate) fn token<'a, 'py>(
        &self,
        py: Python<'py>,
        id: u32,
        text: impl FnOnce() -> &'a [u8],
    ) -> Result<Bound<'py, PyString>> {
        self.tokens.get(py, id, text)
    }

    /// The string of any text.
    #[inline]
    pub(crate) fn text<'py>(&self, py: Python<'py>, text: &[u8]) -> Result<Bound<'py, PyString>> {
        match code_point(text) {
            Some(code_point) => self.characters.get(py, code_point, || text),
            None => Ok(PyString::from_bytes(py, text)?),
        }
    }
}

/// Of a text that is one character beyond ASCII, for whose strings Python has a cache of its own.
#[inline]
fn code_point(text: &[u8]) -> Option<u32> {
    let low = |byte: u8| u32::from(byte & 0x3f);
    match *text {
        [a @ 0xc0..=0xdf, b] => Some(u32::from(a & 0x1f) << 6 | low(b)),
        [a @ 0xe0..=0xef, b, c] => Some(u32::from(a & 0xf) << 12 | low(b) << 6 | low(c)),
        [a @ 0xf0..=0xff, b, c, d] => Some(u32::from(a & 7) << 18 | low(b) << 12 | low(c) << 6 | low(d)),
        _ => None,
    }
}

struct Pages(Box<[PyOnceLock<Page>]>);

type Page = Box<[PyOnceLock<Py<PyString>>; PAGE]>;

impl Pages {
    fn new(n: usize) -> Self {
        Self((0..n.div_ceil(PAGE)).map(|_| PyOnceLock::new()).collect())
    }

    #[inline]
    fn get<'a, 'py>(
        &self,
        py: Python<'py>,
        index: u32,
        text: impl FnOnce() -> &'a [u8],
    ) -> Result<Bound<'py, PyString>> {
        let index = index as usize;
        let Some(page) = self.0.get(index / PAGE) else { return Ok(PyString::from_bytes(py, text())?) };
        let page = page.get_or_init(py, || Box::new([const { PyOnceLock::new() }; PAGE]));
        let make = || PyString::from_bytes(py, text()).map(Bound::unbind);
        Ok(page[index % PAGE].get_or_try_init(py, make)?.bind(py).clone())
    }
}
