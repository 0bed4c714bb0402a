//! The Python string that a token leaves to show where it has to do with a stop.
//!
//! A line's end that may begin a stop is held back and then shown with the token after it: one token in five of much
//! text, at twice the price of the others. What came of it in some stream comes of it in all, so it is kept, for matchers
//! that are shared by many. The first to want a place has it for good.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use logitwire_core::stop::Place;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::texts::Texts;

/// There are two to the power of it, of 32 bytes each.
const LOG_N: u32 = 10;

/// Of one set of stops, with the vocabulary that first came to it.
#[derive(Default)]
pub(crate) struct StopTexts {
    is_begun: AtomicBool,
    slots: OnceLock<Slots>,
}

struct Slots {
    owner: Arc<Texts>,
    entries: Box<[PyOnceLock<Entry>]>,
}

struct Entry {
    before: Place,
    id: u32,
    after: Place,
    text: Py<PyString>,
}

impl StopTexts {
    /// Begin a stream. The first may be the only one, and keeps nothing: whether there was one before.
    pub(crate) fn begin(&self) -> bool {
        self.is_begun.swap(true, Ordering::Relaxed)
    }

    /// What a token led to where the stream stood, and its string.
    #[inline]
    pub(crate) fn get<'py>(
        &self,
        py: Python<'py>,
        texts: &Arc<Texts>,
        before: Place,
        id: u32,
    ) -> Option<(Place, Bound<'py, PyString>)> {
        let entry = self.slot(texts, before, id)?.get(py)?;
        (entry.before == before && entry.id == id).then(|| (entry.after, entry.text.bind(py).clone()))
    }

    /// Keep what a token led to.
    pub(crate) fn put(&self, texts: &Arc<Texts>, before: Place, id: u32, (after, text): (Place, &Bound<'_, PyString>)) {
        let entries = || (0..1 << LOG_N).map(|_| PyOnceLock::new()).collect();
        self.slots.get_or_init(|| Slots { owner: texts.clone(), entries: entries() });
        if let Some(slot) = self.slot(texts, before, id) {
            let entry = || Entry { before, id, after, text: text.clone().unbind() };
            slot.get_or_init(text.py(), entry);
        }
    }

    #[inline]
    fn slot(&self, texts: &Arc<Texts>, before: Place, id: u32) -> Option<&PyOnceLock<Entry>> {
        let slots = self.slots.get().filter(|slots| Arc::ptr_eq(&slots.owner, texts))?;
        let hash = (id ^ before.number().wrapping_mul(0x85eb_ca6b)).wrapping_mul(0x9e37_79b1);
        slots.entries.get((hash >> (u32::BITS - LOG_N)) as usize)
    }
}
