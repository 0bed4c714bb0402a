//! Token ids and slots from Python: any iterable of integers, a numpy array among them.

use logitwire_core::error::Error as CoreError;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyString};

use crate::error::{Error, Result};

/// The integers of an iterable.
pub(crate) fn integers(ids: &Bound<'_, PyAny>) -> Result<Vec<i64>> {
    if ids.is_instance_of::<PyString>() || ids.is_instance_of::<PyBytes>() || ids.is_instance_of::<PyByteArray>() {
        return Err(PyTypeError::new_err("expected an iterable of integers, not text").into());
    }
    if let Ok(list) = ids.cast::<PyList>() {
        return list.iter().map(|id| integer(&id)).collect();
    }
    if let Some(found) = from_buffer(ids) {
        return Ok(found);
    }
    ids.try_iter()?.map(|id| integer(&id?)).collect()
}

/// One beyond 64 bits is the nearest that fits, and so in no vocabulary.
pub(crate) fn integer(id: &Bound<'_, PyAny>) -> Result<i64> {
    match id.extract::<i64>() {
        Ok(id) => Ok(id),
        Err(error) if error.is_instance_of::<PyOverflowError>(id.py()) => {
            Ok(if id.lt(0)? { i64::MIN } else { i64::MAX })
        }
        Err(error) => Err(error.into()),
    }
}

/// Of a one-dimensional array of 32 or 64 bits, whose iterator would make an object of each.
fn from_buffer(ids: &Bound<'_, PyAny>) -> Option<Vec<i64>> {
    let buffer = PyUntypedBuffer::get(ids).ok().filter(|buffer| buffer.dimensions() == 1)?;
    // Those of the other byte order are left to their iterator.
    let foreign: &[u8] = if cfg!(target_endian = "little") { b">!" } else { b"<" };
    if buffer.format().to_bytes().first().is_some_and(|order| foreign.contains(order)) {
        return None;
    }
    match buffer.as_typed::<i32>() {
        Ok(narrow) => Some(narrow.to_vec(ids.py()).ok()?.into_iter().map(i64::from).collect()),
        Err(_) => buffer.as_typed::<i64>().ok()?.to_vec(ids.py()).ok(),
    }
}

/// The same, as ids that a vocabulary of `vocab_size` might have.
pub(crate) fn token_ids(ids: &Bound<'_, PyAny>, vocab_size: usize) -> Result<Vec<u32>> {
    let ids = integers(ids)?;
    let id = |&id: &i64| u32::try_from(id).map_err(|_| Error::Core(CoreError::TokenId { token_id: id, vocab_size }));
    ids.iter().map(id).collect()
}

/// Ids as a stream takes them.
pub(crate) fn any_ids(ids: &Bound<'_, PyAny>) -> Result<Vec<u32>> {
    if let Ok(list) = ids.cast::<PyList>() {
        let list = list.to_tuple();
        let mut found = Vec::with_capacity(list.len());
        for id in list.iter_borrowed() {
            found.push(any_id(&id)?);
        }
        return Ok(found);
    }
    Ok(integers(ids)?.into_iter().map(|id| u32::try_from(id).unwrap_or(u32::MAX)).collect())
}

/// One id as a stream takes it: what is no u32 is in no vocabulary either.
pub(crate) fn any_id(id: &Bound<'_, PyAny>) -> Result<u32> {
    Ok(u32::try_from(integer(id)?).unwrap_or(u32::MAX))
}
