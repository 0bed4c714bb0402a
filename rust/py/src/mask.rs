//! `apply_mask` for Python.

use logitwire_core::error::Error as CoreError;
use logitwire_core::mask;
use pyo3::prelude::*;

use crate::array::Array;
use crate::error::Result;

#[pyfunction]
#[pyo3(signature = (logits, mask, /))]
pub(crate) fn apply_mask(logits: &Bound<'_, PyAny>, mask: &Bound<'_, PyAny>) -> Result<()> {
    let mut logits = Array::logits(logits)?;
    let mask = Array::mask(mask)?;
    let masks = mask.words();
    let rows = logits.write()?;
    if rows.len() != masks.len() {
        let what = format!("mask: {} rows for {} of logits", masks.len(), rows.len());
        return Err(CoreError::Shape { what }.into());
    }
    for (row, words) in rows.iter().zip(&masks) {
        let (width, want) = (row.as_row().len(), mask::words(row.as_row().len()));
        if words.len() != want {
            let what = format!("mask: {} words a row, but {want} hold the bits of {width} logits", words.len());
            return Err(CoreError::Shape { what }.into());
        }
    }
    rows.into_iter().zip(masks).for_each(|(row, words)| mask::apply(row, words));
    Ok(())
}
