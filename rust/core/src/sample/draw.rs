//! From a row that is all f32 to the tokens kept and the one drawn. docs/sampling.md states the rule in full.

use crate::kernels::scalar::{CHUNK, LaneSum, exp2, scale};
use crate::mask::is_allowed;

use super::row::Logits;

/// A row in f32: -inf where a token is not allowed. Position i is token i, or `ids[i]` (ascending) for candidates.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) x: Vec<f32>,
    ids: Option<Vec<u32>>,
}

impl Staged {
    pub(super) fn fill(&mut self, logits: Logits<'_>) {
        self.x.clear();
        match logits {
            Logits::Dense(row) => {
                self.ids = None;
                row.widen(&mut self.x);
            }
            Logits::Candidates { ids, logits, .. } => {
                let mut given = Vec::with_capacity(logits.len());
                logits.widen(&mut given);
                let pairs = ids.iter().zip(given).filter_map(|(&id, x)| u32::try_from(id).ok().map(|id| (id, x)));
                let mut pairs: Vec<(u32, f32)> = pairs.collect();
                pairs.sort_unstable_by_key(|pair| pair.0);
                self.x.extend(pairs.iter().map(|pair| pair.1));
                self.ids = Some(pairs.iter().map(|pair| pair.0).collect());
            }
        }
    }

    /// -inf for every token whose bit is not set; without a mask for none.
    pub(super) fn disallow(&mut self, mask: Option<&[u32]>) {
        let Some(mask) = mask else { return };
        for position in 0..self.x.len() {
            if !is_allowed(mask, self.id(position) as usize) {
                self.x[position] = f32::NEG_INFINITY;
            }
        }
    }

    /// -inf for each of these ids.
    pub(super) fn withhold(&mut self, ids: &[u32]) {
        for &id in ids {
            let position = match &self.ids {
                None => id as usize,
                Some(ids) => ids.binary_search(&id).unwrap_or(usize::MAX),
            };
            if let Some(x) = self.x.get_mut(position) {
                *x = f32::NEG_INFINITY;
            }
        }
    }

    #[inline]
    pub(super) fn id(&self, position: usize) -> u32 {
        self.ids.as_ref().map_or(position as u32, |ids| ids[position])
    }

    /// The first position whose id lies past a chunk.
    fn end_of(&self, chunk: usize) -> usize {
        let end = (chunk + 1) * CHUNK;
        match &self.ids {
            None => self.x.len().min(end),
            Some(ids) => ids.partition_point(|&id| (id as usize) < end),
        }
    }
}

/// The tokens kept are a prefix of the order (logit descending, id ascending): those up to and with this one.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Cut {
    x: f32,
    position: usize,
}

impl Cut {
    /// Everything above -inf.
    pub(super) const NONE: Self = Self { x: f32::MIN, position: usize::MAX };

    /// Those at +inf.
    pub(super) fn infinite() -> Self {
        Self { x: f32::INFINITY, position: usize::MAX }
    }

    #[inline]
    pub(super) fn keeps(self, x: f32, position: usize) -> bool {
        x > self.x || (x == self.x && position <= self.position)
    }
}

/// A token as one number that sorts descending in the order (logit descending, id ascending).
#[inline]
fn key(x: f32, position: usize) -> u64 {
    let bits = x.to_bits();
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(ordered) << 32 | u64::from(!(position as u32))
}

fn cut_of(key: u64) -> Cut {
    let ordered = (key >> 32) as u32;
    let bits = if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered };
    Cut { x: f32::from_bits(bits), position: !(key as u32) as usize }
}

/// The keys of the tokens kept, in the order of their positions.
fn fill_keys(x: &[f32], cut: Cut, keys: &mut Vec<u64>) {
    keys.clear();
    let kept = x.iter().enumerate().filter(|(position, x)| cut.keeps(**x, *position));
    keys.extend(kept.map(|(position, &x)| key(x, position)));
}

/// The `n` first positions in the order, first to last.
pub(super) fn top(x: &[f32], n: usize, keys: &mut Vec<u64>, out: &mut Vec<usize>) {
    fill_keys(x, Cut::NONE, keys);
    let n = n.min(keys.len());
    if n == 0 {
        return;
    }
    keys.select_nth_unstable_by(n - 1, |a, b| b.cmp(a));
    keys.truncate(n);
    keys.sort_unstable_by(|a, b| b.cmp(a));
    out.extend(keys.iter().map(|&key| cut_of(key).position));
}

/// Where top_k cuts: the k largest, ties by lowest id.
pub(super) fn top_k(x: &[f32], k: usize, keys: &mut Vec<u64>) -> Cut {
    if k == 0 || k >= x.len() {
        return Cut::NONE;
    }
    fill_keys(x, Cut::NONE, keys);
    if k >= keys.len() {
        return Cut::NONE;
    }
    let (_, kth, _) = keys.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
    cut_of(*kth)
}

/// The weights of a row: `exp2((x - max) c)`.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    max: f32,
    c: f32,
}

impl Weights {
    pub(super) fn new(max: f32, temperature: f64) -> Self {
        Self { max, c: scale(temperature) }
    }

    #[inline]
    pub(super) fn of(self, x: f32) -> f32 {
        exp2((x - self.max) * self.c)
    }

    /// The sum over the tokens kept, and over each chunk of ids.
    pub(super) fn sum(self, row: &Staged, cut: Cut, chunks: Vec<(usize, f64)>) -> (f64, Vec<(usize, f64)>) {
        let mut sum = LaneSum::new(chunks);
        for (position, &x) in row.x.iter().enumerate() {
            if cut.keeps(x, position) {
                sum.add(row.id(position) as usize, self.of(x));
            }
        }
        sum.finish()
    }

    /// The sum over a whole row.
    pub(super) fn sum_dense(self, x: &[f32], chunks: Vec<(usize, f64)>) -> (f64, Vec<(usize, f64)>) {
        let mut sum = LaneSum::new(chunks);
        x.iter().enumerate().for_each(|(id, &x)| sum.add(id, self.of(x)));
        sum.finish()
    }
}

/// Weights as integers, so that their sum is the same in whatever order they are added.
const NUCLEUS_ONE: f64 = (1_u64 << 40) as f64;

/// Where top_p cuts what `cut` left: the shortest prefix whose mass reaches `top_p` of the mass left.
pub(super) fn top_p(row: &Staged, cut: Cut, weights: Weights, top_p: f64, total: f64, keys: &mut Vec<u64>) -> Cut {
    let need = (top_p * total * NUCLEUS_ONE).ceil() as u64;
    fill_keys(&row.x, cut, keys);
    // The head of the order is sorted piece by piece: a nucleus is mostly a handful of tokens.
    let (mut mass, mut sorted, mut piece) = (0_u64, 0, 256);
    while sorted < keys.len() {
        let rest = &mut keys[sorted..];
        let n = piece.min(rest.len());
        if n < rest.len() {
            rest.select_nth_unstable_by(n - 1, |a, b| b.cmp(a));
        }
        rest[..n].sort_unstable_by(|a, b| b.cmp(a));
        for &key in &rest[..n] {
            let last = cut_of(key);
            mass += (f64::from(weights.of(last.x)) * NUCLEUS_ONE) as u64;
            if mass >= need {
                return last;
            }
        }
        (sorted, piece) = (sorted + n, piece * 8);
    }
    cut
}

/// The position that `u` falls on among the tokens kept, by their weights, ids ascending.
pub(super) fn pick(row: &Staged, cut: Cut, weights: Weights, u: f64, total: f64, chunks: &[(usize, f64)]) -> usize {
    let kept = |begin: usize, end: usize| {
        let positions = row.x.iter().enumerate().take(end).skip(begin);
        positions.filter(|(position, x)| cut.keeps(**x, *position)).map(|(position, &x)| (position, weights.of(x)))
    };
    let mut rest = u * total;
    for &(chunk, sum) in chunks {
        if rest >= sum {
            rest -= sum;
            continue;
        }
        let begin = if chunk == 0 { 0 } else { row.end_of(chunk - 1) };
        let mut last = None;
        for (position, weight) in kept(begin, row.end_of(chunk)).filter(|(_, weight)| *weight > 0.0) {
            rest -= f64::from(weight);
            if rest < 0.0 {
                return position;
            }
            last = Some(position);
        }
        if let Some(position) = last {
            return position;
        }
    }
    // Rounding may leave a little of u over: it belongs to the last token that has any weight.
    kept(0, row.x.len()).rfind(|(_, weight)| *weight > 0.0).map_or(0, |(position, _)| position)
}
