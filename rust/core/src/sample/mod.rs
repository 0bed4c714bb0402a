//! A row of logits to a token. Masks come from outside; what a token then becomes is not this station's business.

mod edit;
mod history;
mod kept;
mod number;
mod params;
mod plan;
mod request;
pub mod rng;
mod row;
mod sampler;
mod watermark;

pub use params::{Counts, LogprobsMode, SamplingParams, WatermarkScheme};
pub use plan::{Order, Processor, Profile};
pub use request::Request;
pub use row::{Allowed, Draw, Logits, Scratch, Status, check_candidates};
pub use sampler::{SampleColumns, Sampler};
pub(crate) use sampler::{at_least_one, check_rows, check_vocab_size, n_top};
