//! A row of logits to a token. Masks come from outside; what a token then becomes is not this station's business.

mod draw;
mod params;
pub mod rng;
mod row;
mod sampler;

pub use params::{Order, SamplingParams};
pub use row::{Allowed, Draw, Logits, Scratch, Status, apply, check_candidates, sample};
pub use sampler::{SampleColumns, Sampler};
pub(crate) use sampler::{check_rows, check_vocab_size, n_top};
