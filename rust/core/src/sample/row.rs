//! One row: what is allowed, its status, the draw, log-probabilities. It keeps nothing from one row to the next.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::kernels::{Kernels, Peak, Row, RowMut};
use crate::mask;

use super::edit::{EditScratch, Editable, edit};
use super::kept::{Kept, Memory};
use super::params::{LogprobsMode, SamplingParams};
use super::plan::Processor;
use super::request::Request;
use super::rng;

/// What a row was like. Only `Ok` and `Inf` yield a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Finite logits.
    Ok = 0,
    /// Some allowed logits are +inf: the draw is even among those.
    Inf = 1,
    /// An allowed logit is NaN.
    Nan = 2,
    /// Nothing is allowed, or everything allowed is -inf.
    Empty = 3,
    /// The line broke on it: a fault of ours.
    Fault = 4,
    /// Its grammar went beyond a limit.
    Limit = 5,
}

/// What is allowed: a token must have its bit in each mask there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed<'a> {
    /// The ids the vocabulary has.
    pub present: Option<&'a [u32]>,
    /// The request's own mask.
    pub mask: Option<&'a [u32]>,
    /// Ids that are not allowed whatever the masks say.
    pub withheld: &'a [u32],
}

impl<'a> Allowed<'a> {
    /// The masks that disallow some token of a row so wide.
    fn masks(self, width: usize) -> impl Iterator<Item = &'a [u32]> {
        [self.present, self.mask].into_iter().flatten().filter(move |mask| !mask::covers(mask, width))
    }
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// None where the status yields none.
    pub token: Option<u32>,
    /// What the row was like.
    pub status: Status,
    /// Natural logarithm of the token's probability; NaN if not asked for.
    pub logprob: f32,
    /// 1 + the tokens with a larger logit in the same row; 0 if not asked for.
    pub rank: u32,
}

/// Memory that rows use one after the other.
#[derive(Debug)]
pub struct Scratch {
    kernels: &'static Kernels,
    memory: Memory,
    raw: Memory,
    wide: Vec<f32>,
    edits: EditScratch,
}

impl Scratch {
    /// For these loops.
    pub fn new(kernels: &'static Kernels) -> Self {
        let (memory, raw, wide, edits) = (Memory::default(), Memory::default(), Vec::new(), EditScratch::default());
        Self { kernels, memory, raw, wide, edits }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new(Kernels::fastest())
    }
}

/// The logits of one row: all of them, or what a device reduced them to.
#[derive(Debug, Clone, Copy)]
pub enum Logits<'a> {
    /// Logit i is token i's.
    Dense(Row<'a>),
    /// The row's largest tokens.
    Candidates {
        /// Their ids, in any order; -1 is padding.
        ids: &'a [i32],
        /// Their logits.
        logits: Row<'a>,
        /// `ln(sum(exp(row)))` of the full row: log-probabilities are those of the full row.
        logsumexp: f32,
    },
}

/// Draw a token from a row; the most likely tokens are appended to `top_logprobs` as (id, log-probability).
pub(super) fn sample(
    logits: Logits<'_>,
    allowed: Allowed<'_>,
    request: &mut Request,
    scratch: &mut Scratch,
    top_logprobs: &mut Vec<(u32, f32)>,
) -> Draw {
    let (mut kept, status) = process(logits, allowed, request, scratch);
    let params = request.params();
    let u = || rng::uniform(params.seed, request.step(), rng::TOKEN_LANE, params.choice);
    let is_greedy = params.temperature == 0.0;
    let token = match status {
        Status::Ok | Status::Inf if is_greedy => Some(kept.first()),
        Status::Inf => {
            kept.keep_infinite();
            Some(kept.pick_evenly(u()))
        }
        Status::Ok => Some(kept.pick(u())),
        _ => None,
    };
    let mut draw = Draw { token, status, logprob: f32::NAN, rank: 0 };
    if let (Some(n), Some(token)) = (params.logprobs, token) {
        (draw.logprob, draw.rank) = match params.logprobs_mode {
            LogprobsMode::Raw => report_raw(logits, allowed, token, n as usize, scratch, top_logprobs),
            LogprobsMode::Processed => report(&mut kept, Normaliser::of(status), token, n as usize, top_logprobs),
        };
    }
    if let Some(token) = token {
        let surprise = (params.mirostat > 0 && status == Status::Ok && !is_greedy).then(|| kept.surprise(token));
        request.accept(token, surprise);
    }
    scratch.memory = kept.into_memory();
    draw
}

/// Edits, status and cuts; what is left is what may be drawn. Greedy rows are not cut.
fn process<'a>(
    logits: Logits<'a>,
    allowed: Allowed<'_>,
    request: &Request,
    scratch: &mut Scratch,
) -> (Kept<'a>, Status) {
    let (mut kept, peak) = stage(logits, allowed, request, scratch);
    let status = status(peak);
    if status != Status::Ok || request.params().temperature == 0.0 {
        return (kept, status);
    }
    for &processor in &request.plan().cuts {
        cut(processor, &mut kept, request, logits, scratch);
    }
    let mu = request.mu();
    match request.params().mirostat {
        1 => kept.mirostat_1(mu),
        2 => kept.mirostat_2(mu),
        _ => {}
    }
    (kept, status)
}

/// The row in f32 with what is not allowed at -inf, edited. A row of f32 that nothing changes is read where it lies.
fn stage<'a>(logits: Logits<'a>, allowed: Allowed<'_>, request: &Request, scratch: &mut Scratch) -> (Kept<'a>, Peak) {
    let (kernels, mut memory) = (scratch.kernels, std::mem::take(&mut scratch.memory));
    let plan = request.plan();
    let row = match logits {
        Logits::Candidates { ids, logits, .. } => {
            let width = request.vocab_size();
            let (mut xs, ids) = sorted_candidates(ids, logits, kernels);
            // A model may have more ids than the vocabulary.
            let reach = ids.last().map_or(0, |&id| id as usize + 1);
            for (position, x) in xs.iter_mut().enumerate() {
                if allowed.masks(reach).any(|mask| !mask::is_allowed(mask, ids[position] as usize)) {
                    *x = f32::NEG_INFINITY;
                }
            }
            let mut editable = Editable { x: &mut xs, ids: Some(&ids), width };
            allowed.withheld.iter().for_each(|&id| editable.ban(id));
            for &processor in &plan.edits {
                edit(processor, &mut editable, request.params(), request.history(), 1.0, &mut scratch.edits);
            }
            return Kept::listed(kernels, xs, ids, memory);
        }
        Logits::Dense(row) => row,
    };
    let is_changed =
        allowed.masks(row.len()).next().is_some() || !allowed.withheld.is_empty() || !plan.edits.is_empty();
    if let (Row::F32(row), false) = (row, is_changed) {
        return Kept::dense(kernels, Cow::Borrowed(row), memory);
    }
    let mut staged = std::mem::take(&mut memory.staged);
    row.widen(kernels, &mut staged);
    allowed.masks(row.len()).for_each(|mask| (kernels.disallow)(&mut staged, mask));
    let mut editable = Editable { width: staged.len(), x: &mut staged, ids: None };
    allowed.withheld.iter().for_each(|&id| editable.ban(id));
    for &processor in &plan.edits {
        edit(processor, &mut editable, request.params(), request.history(), 1.0, &mut scratch.edits);
    }
    Kept::dense(kernels, Cow::Owned(staged), memory)
}

/// Candidates by id, without padding.
fn sorted_candidates(ids: &[i32], logits: Row<'_>, kernels: &Kernels) -> (Vec<f32>, Vec<u32>) {
    let mut given = Vec::with_capacity(logits.len());
    logits.widen(kernels, &mut given);
    let pairs = ids.iter().zip(given).filter_map(|(&id, x)| u32::try_from(id).ok().map(|id| (id, x)));
    let mut pairs: Vec<(u32, f32)> = pairs.collect();
    pairs.sort_unstable_by_key(|pair| pair.0);
    (pairs.iter().map(|pair| pair.1).collect(), pairs.iter().map(|pair| pair.0).collect())
}

fn status(peak: Peak) -> Status {
    match peak {
        Peak { has_nan: true, .. } => Status::Nan,
        Peak { max: f32::NEG_INFINITY, .. } => Status::Empty,
        Peak { max: f32::INFINITY, .. } => Status::Inf,
        _ => Status::Ok,
    }
}

fn cut(processor: Processor, kept: &mut Kept<'_>, request: &Request, logits: Logits<'_>, scratch: &mut Scratch) {
    let (params, plan): (&SamplingParams, _) = (request.params(), request.plan());
    match processor {
        Processor::TopK => kept.top_k(params.top_k as usize, plan.keeps_ties.top_k),
        Processor::TopP => kept.top_p(params.top_p),
        Processor::MinP => kept.min_p(params.min_p),
        Processor::TypicalP => kept.typical_p(params.typical_p, plan.keeps_ties.typical_p, plan.is_strict),
        Processor::Tfz => kept.tfz(params.tfz),
        Processor::TopNSigma => kept.top_n_sigma(params.top_n_sigma),
        Processor::EpsilonCutoff => kept.epsilon_cutoff(params.epsilon_cutoff),
        Processor::EtaCutoff => kept.eta_cutoff(params.eta_cutoff),
        Processor::Temperature => {
            kept.divide(params.temperature, params.dynatemp_range, params.dynatemp_exponent);
        }
        Processor::Xtc => {
            let u = rng::uniform(params.seed, request.step(), rng::XTC_LANE, params.choice);
            if u < params.xtc_probability {
                kept.xtc(params.xtc_threshold);
            }
        }
        edits => {
            let width = match logits {
                Logits::Dense(row) => row.len(),
                Logits::Candidates { .. } => request.vocab_size(),
            };
            let temperature = kept.temperature();
            kept.change(|x, ids| {
                let mut editable = Editable { x, ids, width };
                edit(edits, &mut editable, params, request.history(), temperature, &mut scratch.edits);
            });
        }
    }
}

/// An error if an id stands twice among a row's candidates.
pub fn check_candidates(ids: &[i32]) -> Result<()> {
    let mut sorted: Vec<i32> = ids.iter().copied().filter(|&id| id >= 0).collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::Shape { what: format!("ids: candidate {} stands twice in a row", pair[0]) }),
    }
}

/// Process a row in place and draw nothing. Tokens kept are divided by the temperature (0: left as they are), all others
/// are -inf. Where that would overflow the row's type, the largest kept becomes 0 and the others are as far below it as
/// the type allows, which is the same distribution.
pub(super) fn apply(mut row: RowMut<'_>, allowed: Allowed<'_>, request: &Request, scratch: &mut Scratch) -> Status {
    let width = row.as_row().len();
    let (mut kept, status) = process(Logits::Dense(row.as_row()), allowed, request, scratch);
    match status {
        Status::Ok | Status::Inf if request.params().temperature == 0.0 => kept.keep_first(),
        Status::Inf => kept.keep_infinite(),
        _ => {}
    }
    let temperature = (kept.temperature() as f32).max(f32::MIN_POSITIVE);
    let (max, lowest) = (kept.max(), -row.largest());
    let mut fits = true;
    kept.for_each(|_, x| fits &= (x / temperature).abs() <= -lowest);
    let mut out = std::mem::take(&mut scratch.wide);
    out.clear();
    out.resize(width, f32::NEG_INFINITY);
    kept.for_each(|id, x| {
        out[id as usize] = match x {
            _ if fits => (x + 0.0) / temperature,
            _ if x == max => 0.0,
            _ => ((x - max) / temperature).max(lowest),
        };
    });
    scratch.memory = kept.into_memory();
    if status != Status::Nan {
        row.store(&out);
    }
    scratch.wide = out;
    status
}

/// What log-probabilities of one row refer to.
enum Normaliser {
    /// The sum of weights.
    Sum,
    /// The number of infinite logits.
    Infinite,
    /// ln of the sum over a row that is not here.
    Given(f64),
}

impl Normaliser {
    fn of(status: Status) -> Self {
        if status == Status::Inf { Self::Infinite } else { Self::Sum }
    }
}

/// Log-probability and rank of a token in what is kept, and its most likely tokens.
fn report(
    kept: &mut Kept<'_>,
    normaliser: Normaliser,
    token: u32,
    n: usize,
    top_logprobs: &mut Vec<(u32, f32)>,
) -> (f32, u32) {
    let x = kept.logit(token);
    let rank = 1 + kept.n_above(x) as u32;
    let top = kept.top(n);
    let temperature = kept.temperature();
    let logprob: Box<dyn Fn(f32) -> f32> = match normaliser {
        Normaliser::Sum => {
            let (max, log_z) = (kept.max(), kept.log_z());
            Box::new(move |x| (f64::from(x - max) / temperature - log_z) as f32)
        }
        Normaliser::Infinite => {
            let n = kept.n_above(f32::MAX) as f64;
            Box::new(move |x| if x == f32::INFINITY { -n.ln() as f32 } else { f32::NEG_INFINITY })
        }
        Normaliser::Given(log_z) => Box::new(move |x| (f64::from(x) - log_z) as f32),
    };
    top_logprobs.extend(top.into_iter().map(|(id, x)| (id, logprob(x))));
    (logprob(x), rank)
}

/// The same in the row as the model made it, NaN as -inf; among the most likely only what the vocabulary has.
fn report_raw(
    logits: Logits<'_>,
    allowed: Allowed<'_>,
    token: u32,
    n: usize,
    scratch: &mut Scratch,
    top_logprobs: &mut Vec<(u32, f32)>,
) -> (f32, u32) {
    let (kernels, mut memory) = (scratch.kernels, std::mem::take(&mut scratch.raw));
    let ((mut kept, peak), normaliser) = match logits {
        Logits::Dense(Row::F32(row)) => (Kept::dense(kernels, Cow::Borrowed(row), memory), Normaliser::Sum),
        Logits::Dense(row) => {
            let mut staged = std::mem::take(&mut memory.staged);
            row.widen(kernels, &mut staged);
            (Kept::dense(kernels, Cow::Owned(staged), memory), Normaliser::Sum)
        }
        Logits::Candidates { ids, logits, logsumexp, .. } => {
            let (xs, ids) = sorted_candidates(ids, logits, kernels);
            (Kept::listed(kernels, xs, ids, memory), Normaliser::Given(f64::from(logsumexp)))
        }
    };
    let normaliser = if peak.max == f32::INFINITY { Normaliser::Infinite } else { normaliser };
    let width = match logits {
        Logits::Dense(row) => row.len(),
        Logits::Candidates { ids, .. } => ids.len(),
    };
    let absent = allowed.present.filter(|present| !mask::covers(present, width));
    let first = top_logprobs.len();
    let reported = match absent {
        None => report(&mut kept, normaliser, token, n, top_logprobs),
        Some(present) => {
            // Enough that n are left without those.
            let n_absent = match logits {
                Logits::Dense(_) => width - mask::count(present, width),
                Logits::Candidates { .. } => width,
            };
            let reported = report(&mut kept, normaliser, token, n + n_absent, top_logprobs);
            let mut all = top_logprobs.split_off(first);
            all.retain(|(id, _)| mask::is_allowed(present, *id as usize));
            top_logprobs.extend(all.into_iter().take(n));
            reported
        }
    };
    scratch.raw = kept.into_memory();
    reported
}
