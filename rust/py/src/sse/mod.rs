//! Server-sent events for Python: `parse` reads a stream, `frame` writes one.

pub(crate) mod frame;
pub(crate) mod parse;
