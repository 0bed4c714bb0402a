//! Rows that come and go by slot, each with its parameters and its count of tokens drawn.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::kernels::RowMut;
use crate::rows::{run, threads_worth};
use crate::slots::Slots;
use crate::vocab::Vocab;

use super::params::SamplingParams;
use super::plan::Order;
use super::request::Request;
use super::row::{Allowed, Draw, Logits, Scratch, Status, check_candidates};

/// What became of each row of a step, column by column.
#[derive(Debug, Default)]
pub struct SampleColumns {
    /// (batch,) -1 where there is none.
    pub tokens: Vec<i32>,
    /// (batch,) `Status`
    pub status: Vec<u8>,
    /// (batch,) NaN where not asked for.
    pub logprobs: Vec<f32>,
    /// (batch,) 0 where not asked for.
    pub ranks: Vec<i32>,
    /// The largest number of top tokens a row asked for.
    pub n_top: usize,
    /// (batch, n_top) -1 past a row's own.
    pub top_ids: Vec<i32>,
    /// (batch, n_top) NaN past a row's own.
    pub top_logprobs: Vec<f32>,
}

impl SampleColumns {
    pub(crate) fn new(n_rows: usize, n_top: usize) -> Self {
        let mut columns = Self { n_top, ..Self::default() };
        columns.tokens.reserve(n_rows);
        columns.status.reserve(n_rows);
        columns.logprobs.reserve(n_rows);
        columns.ranks.reserve(n_rows);
        columns
    }

    pub(crate) fn push(&mut self, draw: Draw, top: &[(u32, f32)]) {
        self.tokens.push(draw.token.map_or(-1, |token| token as i32));
        self.status.push(draw.status as u8);
        self.logprobs.push(draw.logprob);
        self.ranks.push(draw.rank as i32);
        self.top_ids.extend(top.iter().map(|pair| pair.0 as i32));
        self.top_logprobs.extend(top.iter().map(|pair| pair.1));
        self.top_ids.resize(self.tokens.len() * self.n_top, -1);
        self.top_logprobs.resize(self.tokens.len() * self.n_top, f32::NAN);
    }
}

/// An error unless rows, slots and masks are as many, every row is `vocab_size` wide, and candidates are tokens.
pub(crate) fn check_rows(
    rows: &[Logits<'_>],
    n_slots: usize,
    masks: Option<&[&[u32]]>,
    vocab_size: Option<usize>,
) -> Result<()> {
    let shape = |what: String| Err(Error::Shape { what });
    if rows.len() != n_slots {
        return shape(format!("logits: {} rows for {n_slots} slots", rows.len()));
    }
    if let Some(masks) = masks.filter(|masks| masks.len() != n_slots) {
        return shape(format!("mask: {} rows for {n_slots} slots", masks.len()));
    }
    for row in rows {
        match (*row, vocab_size) {
            (Logits::Dense(row), Some(vocab_size)) if row.len() != vocab_size => {
                return shape(format!("logits: rows of {} for a vocabulary of {vocab_size}", row.len()));
            }
            (Logits::Dense(_), _) => {}
            (Logits::Candidates { ids, logits, .. }, _) => {
                if ids.len() != logits.len() {
                    return shape(format!("logits: {} for {} candidate ids", logits.len(), ids.len()));
                }
                check_candidates(ids)?;
                let vocab_size = vocab_size.unwrap_or(usize::MAX);
                let is_token = |id: i32| usize::try_from(id).is_ok_and(|id| id < vocab_size);
                if let Some(&id) = ids.iter().find(|&&id| id != PADDING && !is_token(id)) {
                    return Err(Error::TokenId { token_id: id.into(), vocab_size });
                }
            }
        }
    }
    Ok(())
}

/// What stands in place of a candidate where a row has fewer.
const PADDING: i32 = -1;

/// Draws for many requests, each under its slot.
#[derive(Debug)]
pub struct Sampler {
    vocab_size: usize,
    vocab: Option<Arc<Vocab>>,
    order: Order,
    requests: Slots<Request>,
    /// One for each thread there may be, and at least one.
    workers: Vec<Scratch>,
}

impl Sampler {
    /// `vocab_size` is the width of the logits; ids that `vocab` lacks are never drawn. `order` is that of requests whose
    /// parameters name none. There are as many threads as `workers`, where the rows are worth it.
    pub fn new(vocab_size: usize, order: Order, vocab: Option<Arc<Vocab>>, workers: Vec<Scratch>) -> Result<Self> {
        check_vocab_size(vocab_size, vocab.as_deref())?;
        Ok(Self { vocab_size, vocab, order, requests: Slots::default(), workers: at_least_one(workers) })
    }

    /// Start a request.
    pub fn add(&mut self, params: SamplingParams, prompt_ids: &[i64]) -> Result<i64> {
        match &self.vocab {
            Some(vocab) => vocab.check(prompt_ids.iter().copied())?,
            None => {
                let vocab_size = self.vocab_size;
                if let Some(&token_id) = prompt_ids.iter().find(|&&id| id < 0 || id >= vocab_size as i64) {
                    return Err(Error::TokenId { token_id, vocab_size });
                }
            }
        }
        Ok(self.requests.add(Request::new(params, &self.order, prompt_ids, self.vocab_size)?))
    }

    /// End a request.
    pub fn remove(&mut self, slot: i64) -> Result<()> {
        self.requests.remove(slot).map(drop)
    }

    /// Draw a token for each row; row i belongs to `slots[i]`. Nothing changes where this is an error.
    pub fn step(&mut self, rows: &[Logits<'_>], slots: &[i64], masks: Option<&[&[u32]]>) -> Result<SampleColumns> {
        check_rows(rows, slots.len(), masks, Some(self.vocab_size))?;
        self.requests.check(slots)?;
        let n_top = n_top(slots.iter().filter_map(|&slot| self.requests.get(slot).ok()).map(Request::params));
        let present = self.vocab.as_ref().map(|vocab| vocab.present());
        let mask = |i: usize| masks.map(|masks| masks[i]);
        let requests = self.requests.many_mut(slots)?;
        let items = rows.iter().zip(requests).enumerate().map(|(i, (&row, request))| (row, mask(i), request)).collect();
        let threads = threads_worth(rows.len(), rows.len() * self.vocab_size, self.workers.len());
        let drawn = run(items, &mut self.workers[..threads], |(row, mask, request), scratch| {
            let mut top = Vec::new();
            let draw = request.sample(row, Allowed { present, mask, withheld: &[] }, scratch, &mut top);
            (draw, top)
        });
        let mut columns = SampleColumns::new(rows.len(), n_top);
        drawn.iter().for_each(|(draw, top)| columns.push(*draw, top));
        Ok(columns)
    }

    /// Process each row in place and draw nothing.
    pub fn apply(&mut self, rows: Vec<RowMut<'_>>, slots: &[i64]) -> Result<Vec<Status>> {
        let views: Vec<Logits<'_>> = rows.iter().map(|row| Logits::Dense(row.as_row())).collect();
        check_rows(&views, slots.len(), None, Some(self.vocab_size))?;
        self.requests.check(slots)?;
        let present = self.vocab.as_ref().map(|vocab| vocab.present());
        let allowed = Allowed { present, ..Allowed::default() };
        let threads = threads_worth(rows.len(), rows.len() * self.vocab_size, self.workers.len());
        let items = rows.into_iter().zip(self.requests.many_mut(slots)?).collect();
        let each =
            |(row, request): (RowMut<'_>, &mut Request), scratch: &mut Scratch| request.apply(row, allowed, scratch);
        Ok(run(items, &mut self.workers[..threads], each))
    }
}

/// Room for one thread's rows even where none was given.
pub(crate) fn at_least_one(mut workers: Vec<Scratch>) -> Vec<Scratch> {
    if workers.is_empty() {
        workers.push(Scratch::default());
    }
    workers
}

/// The largest number of top tokens that any of the requests asks for.
pub(crate) fn n_top<'a>(params: impl Iterator<Item = &'a SamplingParams>) -> usize {
    params.filter_map(|params| params.logprobs).max().unwrap_or(0) as usize
}

/// An error unless logits of this width can hold the vocabulary.
pub(crate) fn check_vocab_size(vocab_size: usize, vocab: Option<&Vocab>) -> Result<()> {
    use crate::limits::{Limits, within};
    let maximum = Limits::DEFAULT.vocab_size;
    if vocab_size == 0 {
        return Err(Error::Parameter { field: "vocab_size", value: "0".into(), expected: "at least 1".into() });
    }
    within("vocab_size", vocab_size, maximum)?;
    match vocab {
        Some(vocab) if vocab.len() > vocab_size => Err(Error::Vocab {
            what: format!("it has {} ids, more than the {vocab_size} columns of the logits", vocab.len()),
        }),
        _ => Ok(()),
    }
}
