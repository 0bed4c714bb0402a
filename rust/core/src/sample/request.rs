//! One request between its steps: its parameters and their plan, the tokens so far, what mirostat has learnt.

use crate::error::{Error, Result};
use crate::kernels::RowMut;

use super::history::History;
use super::params::SamplingParams;
use super::plan::{Order, Plan};
use super::row::{self, Allowed, Draw, Logits, Scratch, Status};

/// Draws one request's tokens, one after the other.
#[derive(Debug)]
pub struct Request {
    params: SamplingParams,
    plan: Plan,
    history: History,
    vocab_size: usize,
    step: u64,
    mu: f64,
}

impl Request {
    /// A request whose fields are in range, and whose tokens are below `vocab_size`. `fallback` is the order where the
    /// parameters name none.
    pub fn new(params: SamplingParams, fallback: &Order, prompt_ids: &[i64], vocab_size: usize) -> Result<Self> {
        let params = params.checked()?;
        if let Some(token_id) = params.token_ids().find(|&id| id as usize >= vocab_size) {
            return Err(Error::TokenId { token_id: token_id.into(), vocab_size });
        }
        let plan = Plan::new(&params, fallback)?;
        let prompt_ids = if plan.needs_history { prompt_ids } else { &[] };
        let history = History::new(&params, fallback, prompt_ids);
        let mu = 2.0 * params.mirostat_tau;
        Ok(Self { params, plan, history, vocab_size, step: 0, mu })
    }

    /// How it draws.
    pub fn params(&self) -> &SamplingParams {
        &self.params
    }

    /// How many tokens it has drawn.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Draw a token from a row. The most likely tokens of the row are appended to `top_logprobs` as
    /// (id, log-probability).
    pub fn sample(
        &mut self,
        logits: Logits<'_>,
        allowed: Allowed<'_>,
        scratch: &mut Scratch,
        top_logprobs: &mut Vec<(u32, f32)>,
    ) -> Draw {
        row::sample(logits, allowed, self, scratch, top_logprobs)
    }

    /// Process a row in place and draw nothing.
    pub fn apply(&self, row: RowMut<'_>, allowed: Allowed<'_>, scratch: &mut Scratch) -> Status {
        row::apply(row, allowed, self, scratch)
    }

    /// The width of a row of which only candidates are given.
    pub(super) fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn mu(&self) -> f64 {
        self.mu
    }

    /// A token has been drawn, so many bits surprising where mirostat asks.
    pub(super) fn accept(&mut self, token: u32, surprise: Option<f64>) {
        self.step += 1;
        if self.plan.needs_history {
            self.history.push(token);
        }
        if let Some(surprise) = surprise {
            self.mu -= self.params.mirostat_eta * (surprise - self.params.mirostat_tau);
        }
    }
}
