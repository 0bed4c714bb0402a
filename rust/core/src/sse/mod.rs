//! Server-sent events: `parse` reads an event stream, `frame` writes one.
//!
//! Both follow the WHATWG HTML standard, "Server-sent events". Neither knows where bytes come from or go to: no sockets,
//! no HTTP, no clock.

pub mod frame;
pub mod parse;
