//! Everything between the logits and the wire of a language-model server: `logits -> mask -> sample -> accept ->
//! detokenize -> stop? -> frame -> wire`.
//!
//! Plain Rust: no Python, no sockets, no clock, no environment, no globals. Each station is one noun in one file; they do
//! not know each other, [`line`] alone puts them in order, and [`batch`] runs many lines in one step.
//!
//! ```
//! use logitwire_core::batch::Batch;
//! use logitwire_core::kernels::Row;
//! use logitwire_core::line::{Finish, LineOptions};
//! use logitwire_core::sample::{Logits, Order, SamplingParams, Scratch};
//! use logitwire_core::vocab::Vocab;
//! use std::sync::Arc;
//!
//! # fn main() -> logitwire_core::error::Result<()> {
//! let vocab = Vocab::from_bytes(&[Some("hello"), Some(" wire"), Some("<end>")], &[2], &[2])?;
//! let mut batch = Batch::new(Arc::new(vocab), Some(3), Order::default(), vec![Scratch::default()])?;
//! let slot = batch.add(LineOptions::new(SamplingParams::greedy()), &[])?;
//! let mut text = Vec::new();
//! for logits in [[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 9.0]] {
//!     let step = batch.step(&[Logits::Dense(Row::F32(&logits))], &[slot], None)?;
//!     text.extend_from_slice(&step.text);
//!     if step.finish[0] == Finish::Eos as u8 {
//!         break;
//!     }
//! }
//! assert_eq!(text, b"hello wire");
//! # Ok(())
//! # }
//! ```

pub mod batch;
pub mod byte_kinds;
mod byte_level;
mod character;
pub mod convert;
pub mod decoder;
pub mod detokenize;
pub mod error;
mod filter;
pub mod gguf;
pub mod grammar;
pub mod kernels;
pub mod limits;
pub mod line;
pub mod mask;
mod rows;
pub mod sample;
pub mod slots;
pub mod sse;
pub mod stop;
pub mod template;
pub mod tokenize;
pub mod vocab;
mod window;
