//! One row: what is allowed, its status, the draw, log-probabilities. It keeps nothing from one row to the next.

use crate::error::{Error, Result};
use crate::kernels::{Row, RowMut};
use crate::mask;

use super::draw::{Cut, Staged, Weights, pick, top, top_k, top_p};
use super::params::SamplingParams;
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

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// None where the status yields none.
    pub token: Option<u32>,
    /// What the row was like.
    pub status: Status,
    /// Natural logarithm of the token's probability under the model's own row; NaN if not asked for.
    pub logprob: f32,
    /// 1 + the tokens with a larger logit in the model's own row; 0 if not asked for.
    pub rank: u32,
}

/// Memory that rows use one after the other.
#[derive(Debug, Default)]
pub struct Scratch {
    staged: Staged,
    raw: Vec<f32>,
    keys: Vec<u64>,
    chunks: Vec<(usize, f64)>,
    positions: Vec<usize>,
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

/// Draw a token from a row. `step` counts the tokens the request has drawn; the most likely tokens of the row are
/// appended to `top_logprobs` as (id, log-probability).
pub fn sample(
    logits: Logits<'_>,
    allowed: Allowed<'_>,
    params: &SamplingParams,
    step: u64,
    scratch: &mut Scratch,
    top_logprobs: &mut Vec<(u32, f32)>,
) -> Draw {
    let mut staged = std::mem::take(&mut scratch.staged);
    staged.fill(logits);
    if params.logprobs.is_some() {
        scratch.raw.clone_from(&staged.x);
    }
    staged.disallow(allowed.present);
    staged.disallow(allowed.mask);
    staged.withhold(allowed.withheld);
    let (status, position) = draw(&staged, params, step, scratch);
    let token = position.map(|position| staged.id(position));
    let mut draw = Draw { token, status, logprob: f32::NAN, rank: 0 };
    if let (Some(n), Some(position)) = (params.logprobs, position) {
        let mut raw = std::mem::take(&mut scratch.raw);
        raw.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = f32::NEG_INFINITY);
        let normaliser = match logits {
            Logits::Dense(_) => Normaliser::of_row(&raw, scratch),
            Logits::Candidates { .. } if maximum(&raw) == f32::INFINITY => Normaliser::of_row(&raw, scratch),
            Logits::Candidates { logsumexp, .. } => Normaliser { max: 0.0, log_z: f64::from(logsumexp), n_infinite: 0 },
        };
        (draw.logprob, draw.rank) = normaliser.report(&raw, position);
        if let Some(present) = allowed.present {
            let is_token = |position| mask::is_allowed(present, staged.id(position) as usize);
            raw.iter_mut().enumerate().filter(|(i, _)| !is_token(*i)).for_each(|(_, x)| *x = f32::NEG_INFINITY);
        }
        scratch.positions.clear();
        top(&raw, n as usize, &mut scratch.keys, &mut scratch.positions);
        top_logprobs.extend(scratch.positions.iter().map(|&i| (staged.id(i), normaliser.logprob(raw[i]))));
        scratch.raw = raw;
    }
    scratch.staged = staged;
    draw
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
pub fn apply(mut row: RowMut<'_>, allowed: Allowed<'_>, params: &SamplingParams, scratch: &mut Scratch) -> Status {
    let mut staged = std::mem::take(&mut scratch.staged);
    staged.fill(Logits::Dense(row.as_row()));
    staged.disallow(allowed.present);
    let (status, max) = status(&staged.x);
    let greedy = params.temperature == 0.0;
    let cut = match status {
        Status::Ok if !greedy => cut(&staged, max, params, scratch),
        Status::Ok | Status::Inf if greedy => top_k(&staged.x, 1, &mut scratch.keys),
        Status::Inf => Cut::infinite(),
        _ => Cut::NONE,
    };
    let temperature = if greedy { 1.0 } else { (params.temperature as f32).max(f32::MIN_POSITIVE) };
    let lowest = -row.largest();
    let kept = |position: &usize, x: &f32| cut.keeps(*x, *position);
    let scaled = staged.x.iter().enumerate().filter(|(position, x)| kept(position, x));
    let fits = scaled.map(|(_, x)| x / temperature).all(|x| x.abs() <= -lowest);
    for (position, x) in staged.x.iter_mut().enumerate() {
        *x = match kept(&position, x) {
            false => f32::NEG_INFINITY,
            true if fits => *x / temperature,
            true if *x == max => 0.0,
            true => ((*x - max) / temperature).max(lowest),
        };
    }
    if status != Status::Nan {
        row.store(&staged.x);
    }
    scratch.staged = staged;
    status
}

fn maximum(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The status of a row and its largest logit.
fn status(x: &[f32]) -> (Status, f32) {
    let max = maximum(x);
    let status = match max {
        _ if x.iter().any(|x| x.is_nan()) => Status::Nan,
        f32::NEG_INFINITY => Status::Empty,
        f32::INFINITY => Status::Inf,
        _ => Status::Ok,
    };
    (status, max)
}

fn cut(row: &Staged, max: f32, params: &SamplingParams, scratch: &mut Scratch) -> Cut {
    let mut cut = top_k(&row.x, params.top_k as usize, &mut scratch.keys);
    if params.top_p < 1.0 {
        let weights = Weights::new(max, params.temperature);
        let (total, chunks) = weights.sum(row, cut, std::mem::take(&mut scratch.chunks));
        cut = top_p(row, cut, weights, params.top_p, total, &mut scratch.keys);
        scratch.chunks = chunks;
    }
    cut
}

fn draw(row: &Staged, params: &SamplingParams, step: u64, scratch: &mut Scratch) -> (Status, Option<usize>) {
    let (status, max) = status(&row.x);
    let uniform = || rng::uniform(params.seed, step, rng::TOKEN_LANE, params.choice);
    let position = match status {
        Status::Nan | Status::Empty | Status::Fault | Status::Limit => None,
        Status::Inf => {
            let infinite = || row.x.iter().enumerate().filter(|(_, x)| **x == f32::INFINITY).map(|(i, _)| i);
            let n = if params.temperature == 0.0 { 0 } else { (uniform() * infinite().count() as f64) as usize };
            infinite().nth(n)
        }
        Status::Ok if params.temperature == 0.0 => row.x.iter().position(|&x| x == max),
        Status::Ok => {
            let cut = cut(row, max, params, scratch);
            let weights = Weights::new(max, params.temperature);
            let (total, chunks) = weights.sum(row, cut, std::mem::take(&mut scratch.chunks));
            let position = pick(row, cut, weights, uniform(), total, &chunks);
            scratch.chunks = chunks;
            Some(position)
        }
    };
    (status, position)
}

/// What log-probabilities of one row refer to.
struct Normaliser {
    max: f32,
    log_z: f64,
    n_infinite: usize,
}

impl Normaliser {
    fn of_row(raw: &[f32], scratch: &mut Scratch) -> Self {
        let max = maximum(raw);
        if max == f32::INFINITY {
            return Self { max, log_z: 0.0, n_infinite: raw.iter().filter(|x| **x == f32::INFINITY).count() };
        }
        let (z, chunks) = Weights::new(max, 1.0).sum_dense(raw, std::mem::take(&mut scratch.chunks));
        scratch.chunks = chunks;
        Self { max, log_z: z.ln(), n_infinite: 0 }
    }

    fn logprob(&self, x: f32) -> f32 {
        match self.n_infinite {
            0 => (f64::from(x - self.max) - self.log_z) as f32,
            n if x == f32::INFINITY => -(n as f64).ln() as f32,
            _ => f32::NEG_INFINITY,
        }
    }

    fn report(&self, raw: &[f32], position: usize) -> (f32, u32) {
        let x = raw[position];
        (self.logprob(x), 1 + raw.iter().filter(|other| **other > x).count() as u32)
    }
}
