//! How one request draws its tokens: the fields, their ranges, and nothing that happens to a row.

use crate::error::{Error, Result};
use crate::limits::Limits;

/// The order in which processors run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// mask, temperature, top_k, top_p, draw; ties by lowest id.
    #[default]
    Default,
}

impl Order {
    /// By its public name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "default" => Ok(Self::Default),
            _ => Err(Error::Parameter { field: "order", value: format!("{name:?}"), expected: "\"default\"".into() }),
        }
    }
}

/// One request's choice; made by `new`, so that what exists is in range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingParams {
    /// 0 is greedy.
    pub temperature: f64,
    /// 0 keeps all.
    pub top_k: u32,
    /// 1 keeps all.
    pub top_p: f64,
    /// The key of the random numbers.
    pub seed: u64,
    /// Which completion of one prompt this is.
    pub choice: u32,
    /// How many of the most likely tokens to report; None reports no log-probability at all.
    pub logprobs: Option<u32>,
}

impl SamplingParams {
    /// Temperature 0: the largest logit, the lowest id among equals.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0, choice: 0, logprobs: None }
    }

    /// The same, or an error naming the field that is out of range.
    pub fn checked(self) -> Result<Self> {
        let error = |field, value: String, expected: &str| {
            Err(Error::Parameter { field, value, expected: expected.to_owned() })
        };
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return error("temperature", self.temperature.to_string(), "a finite number >= 0 (0 is greedy)");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return error("top_p", self.top_p.to_string(), "0 < top_p <= 1 (1 keeps all)");
        }
        match self.logprobs {
            Some(n) if n as usize > Limits::DEFAULT.top_logprobs => {
                error("logprobs", n.to_string(), &format!("0 <= logprobs <= {}", Limits::DEFAULT.top_logprobs))
            }
            _ => Ok(self),
        }
    }
}
