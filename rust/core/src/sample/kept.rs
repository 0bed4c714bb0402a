//! The tokens of a row that may still be drawn, and everything that drops some of them. docs/sampling.md has the rules;
//! none needs the vocabulary sorted.
//!
//! A row stays whole until something cuts it; then it is a list of the tokens kept, ids ascending.

use std::borrow::Cow;
use std::cmp::Reverse;

use crate::kernels::scalar::{CHUNK, LANES, LaneSum};
use crate::kernels::{BLOCK, Kernels, Peak, Weights};

use super::number::{log2, power, power2};

/// Weights as integers, so that their sum is the same in whatever order they are added.
const ONE: f64 = (1_u64 << 40) as f64;

/// The weight from which a token counts among those: as exponents of 2.
const SMALLEST_UNIT: f64 = -40.0;

/// What is left of a row.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    kernels: &'static Kernels,
    /// The whole row: everything above -inf is kept.
    dense: Option<Cow<'a, [f32]>>,
    /// Of the whole row, by block.
    maxima: Vec<f32>,
    /// Otherwise the tokens kept: their logits,
    xs: Vec<f32>,
    /// their ids,
    ids: Vec<u32>,
    /// and their weights, where they have been asked for.
    weights: Vec<f32>,
    /// The largest logit.
    max: f32,
    temperature: f64,
    memory: Memory,
}

/// Vectors that one row leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) staged: Vec<f32>,
    maxima: Vec<f32>,
    xs: Vec<f32>,
    ids: Vec<u32>,
    weights: Vec<f32>,
    chunks: Vec<(usize, f64)>,
    keys: Vec<u64>,
    units: Vec<(u64, u64)>,
}

/// The sum of weights, and of weights times exponents over it.
#[derive(Debug, Clone, Copy)]
struct Mass {
    total: f64,
    mean_exponent: f64,
}

/// A token as one number that sorts descending in the order (logit descending, id ascending).
#[inline]
fn key(x: f32, id: u32) -> u64 {
    let bits = (x + 0.0).to_bits();
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(ordered) << 32 | u64::from(!id)
}

#[inline]
fn units(weight: f32) -> u64 {
    (f64::from(weight) * ONE) as u64
}

impl<'a> Kept<'a> {
    /// All above -inf of a row.
    pub(super) fn dense(kernels: &'static Kernels, row: Cow<'a, [f32]>, mut memory: Memory) -> (Self, Peak) {
        let mut maxima = std::mem::take(&mut memory.maxima);
        let peak = (kernels.maxima)(&row, &mut maxima);
        (Self { dense: Some(row), maxima, ..Self::empty(kernels, peak.max, memory) }, peak)
    }

    /// Those above -inf of these, ids ascending.
    pub(super) fn listed(kernels: &'static Kernels, xs: Vec<f32>, ids: Vec<u32>, memory: Memory) -> (Self, Peak) {
        let max = xs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let has_nan = xs.iter().any(|x| x.is_nan());
        let mut kept = Self { xs, ids, ..Self::empty(kernels, max, memory) };
        kept.retain(|x, _| x > f32::NEG_INFINITY);
        (kept, Peak { max, has_nan })
    }

    fn empty(kernels: &'static Kernels, max: f32, mut memory: Memory) -> Self {
        let take = |vector: &mut Vec<f32>| {
            vector.clear();
            std::mem::take(vector)
        };
        let (xs, weights) = (take(&mut memory.xs), take(&mut memory.weights));
        let mut ids = std::mem::take(&mut memory.ids);
        ids.clear();
        Self { kernels, dense: None, maxima: Vec::new(), xs, ids, weights, max, temperature: 1.0, memory }
    }

    /// Its vectors, for the next row.
    pub(super) fn into_memory(self) -> Memory {
        let Self { dense, maxima, xs, ids, weights, mut memory, .. } = self;
        if let Some(Cow::Owned(staged)) = dense {
            memory.staged = staged;
        }
        if !maxima.is_empty() {
            memory.maxima = maxima;
        }
        (memory.xs, memory.ids, memory.weights) = (xs, ids, weights);
        memory
    }

    pub(super) fn temperature(&self) -> f64 {
        self.temperature
    }

    pub(super) fn max(&self) -> f32 {
        self.max
    }

    /// How many there are.
    fn len(&self) -> usize {
        match &self.dense {
            Some(row) => row.iter().filter(|x| **x > f32::NEG_INFINITY).count(),
            None => self.ids.len(),
        }
    }

    fn scale(&self) -> Weights {
        Weights::new(self.max, self.temperature)
    }

    /// The logit of a token; -inf if it is not kept.
    pub(super) fn logit(&self, id: u32) -> f32 {
        match &self.dense {
            Some(row) => row.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY),
            None => self.ids.binary_search(&id).map_or(f32::NEG_INFINITY, |index| self.xs[index]),
        }
    }

    /// How many are above a logit.
    pub(super) fn n_above(&self, x: f32) -> usize {
        self.dense.as_deref().unwrap_or(&self.xs).iter().filter(|other| **other > x).count()
    }

    /// Each as (id, logit), ids ascending.
    pub(super) fn for_each(&self, mut each: impl FnMut(u32, f32)) {
        match &self.dense {
            Some(row) => {
                let kept = row.iter().enumerate().filter(|(_, x)| **x > f32::NEG_INFINITY);
                kept.for_each(|(id, &x)| each(id as u32, x));
            }
            None => self.ids.iter().zip(&self.xs).for_each(|(&id, &x)| each(id, x)),
        }
    }

    /// The `n` first in the order, first to last.
    pub(super) fn top(&mut self, n: usize) -> Vec<(u32, f32)> {
        let mut keys = std::mem::take(&mut self.memory.keys);
        keys.clear();
        match &self.dense {
            Some(row) => {
                self.weights.clear();
                let mut ids = std::mem::take(&mut self.ids);
                ids.clear();
                (self.kernels.collect)(row, &self.maxima, reaching(&self.maxima, n), &mut self.weights, &mut ids);
                keys.extend(self.weights.iter().zip(&ids).map(|(&x, &id)| key(x, id)));
                self.ids = ids;
            }
            None => keys.extend(self.xs.iter().zip(&self.ids).map(|(&x, &id)| key(x, id))),
        }
        let n = n.min(keys.len());
        if n > 0 && n < keys.len() {
            keys.select_nth_unstable_by(n - 1, |a, b| b.cmp(a));
        }
        keys.truncate(n);
        keys.sort_unstable_by(|a, b| b.cmp(a));
        let top = keys.iter().map(|&key| !(key as u32)).map(|id| (id, self.logit(id))).collect();
        self.memory.keys = keys;
        top
    }

    /// The first in the order.
    pub(super) fn first(&self) -> u32 {
        match &self.dense {
            Some(row) => {
                let block = self.maxima.iter().position(|&max| max == self.max).unwrap_or(0);
                let start = block * BLOCK;
                let at = row.iter().skip(start).position(|&x| x == self.max);
                (start + at.unwrap_or(0)) as u32
            }
            None => self.xs.iter().position(|&x| x == self.max).map_or(0, |index| self.ids[index]),
        }
    }

    /// Nothing but the first.
    pub(super) fn keep_first(&mut self) {
        let first = self.first();
        let x = self.logit(first);
        self.become_list();
        self.xs = vec![x];
        self.ids = vec![first];
    }

    /// The ids of those at +inf.
    pub(super) fn keep_infinite(&mut self) {
        self.list_from(f32::INFINITY);
        self.retain(|x, _| x == f32::INFINITY);
    }

    /// Change logits of those kept; what is not kept may change too. -inf drops a token.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut [f32], Option<&[u32]>)) {
        match &mut self.dense {
            Some(row) => change(row.to_mut(), None),
            None => change(&mut self.xs, Some(&self.ids)),
        }
        self.look_again();
    }

    fn look_again(&mut self) {
        match &self.dense {
            Some(row) => self.max = (self.kernels.maxima)(row, &mut self.maxima).max,
            None => self.max = self.xs.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }
    }

    // -- from a row to a list ------------------------------------------------------------------------------------------

    fn become_list(&mut self) {
        if let Some(Cow::Owned(staged)) = self.dense.take() {
            self.memory.staged = staged;
        }
        self.memory.maxima = std::mem::take(&mut self.maxima);
    }

    /// List those not below `least`; a list has them all anyway.
    fn list_from(&mut self, least: f32) {
        let Some(row) = &self.dense else { return };
        self.xs.clear();
        self.ids.clear();
        (self.kernels.collect)(row, &self.maxima, least.max(f32::MIN), &mut self.xs, &mut self.ids);
        self.become_list();
    }

    /// A logit that is below those whose exponent reaches `exponent`.
    fn logit_below(&self, exponent: f64) -> f32 {
        // The margin is more than the rounding of an exponent above -200 can be.
        let below = f64::from(self.max) + (exponent - 0.01) / f64::from(self.scale().c);
        (below as f32).next_down()
    }

    fn retain(&mut self, mut keep: impl FnMut(f32, u32) -> bool) {
        let mut n = 0;
        for i in 0..self.ids.len() {
            let (x, id) = (self.xs[i], self.ids[i]);
            (self.xs[n], self.ids[n]) = (x, id);
            n += usize::from(keep(x, id));
        }
        self.xs.truncate(n);
        self.ids.truncate(n);
    }

    /// A logit that is below those that are at least as heavy.
    fn logit_below_weight(&self, least: f64) -> f32 {
        match least {
            // So light that everything is heavier.
            least if least < 1e-60 => f32::MIN,
            least => self.logit_below(least.min(1.0).log2()).max(f32::MIN),
        }
    }

    /// Keep those at least as heavy as `least`, and the heaviest.
    fn retain_heavy(&mut self, least: f64) {
        self.list_from(self.logit_below_weight(least));
        let max = self.max;
        self.weigh();
        let weights = std::mem::take(&mut self.weights);
        let mut weight = weights.iter();
        self.retain(|x, _| weight.next().is_some_and(|w| f64::from(*w) >= least) || x == max);
        self.weights = weights;
    }

    // -- weights -------------------------------------------------------------------------------------------------------

    /// The weights of the list.
    fn weigh(&mut self) {
        self.weights.resize(self.xs.len(), 0.0);
        (self.kernels.weigh)(&self.xs, self.scale(), &mut self.weights);
    }

    /// The sum of all weights, and of each chunk's into `memory.chunks`; a list's weights are found too.
    fn total(&mut self) -> f64 {
        let (scale, mut chunks) = (self.scale(), std::mem::take(&mut self.memory.chunks));
        chunks.clear();
        let total;
        if let Some(row) = &self.dense {
            let sums = row.chunks(CHUNK).map(|chunk| f64::from((self.kernels.chunk_weights)(chunk, scale)));
            chunks.extend(sums.enumerate());
            total = chunks.iter().map(|(_, sum)| sum).sum();
        } else {
            self.weigh();
            let mut sum = LaneSum::new(chunks);
            self.ids.iter().zip(&self.weights).for_each(|(&id, &weight)| sum.add(id as usize, weight));
            (total, chunks) = sum.finish();
        }
        self.memory.chunks = chunks;
        total
    }

    fn mass(&mut self) -> Mass {
        let scale = self.scale();
        if let Some(row) = &self.dense {
            let (mut total, mut products) = (0.0, 0.0);
            for chunk in row.chunks(CHUNK) {
                let (sum, product) = (self.kernels.chunk_exponents)(chunk, scale);
                total += f64::from(sum);
                products += f64::from(product);
            }
            return Mass { total, mean_exponent: products / total };
        }
        let total = self.total();
        let mut sum = LaneSum::new(std::mem::take(&mut self.memory.chunks));
        for ((&id, &x), &weight) in self.ids.iter().zip(&self.xs).zip(&self.weights) {
            sum.add_product(id as usize, weight, scale.exponent(x));
        }
        let (products, chunks) = sum.finish();
        self.memory.chunks = chunks;
        Mass { total, mean_exponent: products / total }
    }

    /// ln of the sum of all weights.
    pub(super) fn log_z(&mut self) -> f64 {
        self.total().ln()
    }

    // -- what drops tokens ---------------------------------------------------------------------------------------------

    /// The k first in the order; with `keeps_ties` all that equal the k-th.
    pub(super) fn top_k(&mut self, k: usize, keeps_ties: bool) {
        match &self.dense {
            Some(row) if k >= row.len() => return,
            Some(_) => self.list_from(reaching(&self.maxima, k)),
            None => {}
        }
        if k >= self.ids.len() {
            return;
        }
        let mut keys = std::mem::take(&mut self.memory.keys);
        keys.clear();
        keys.extend(self.xs.iter().zip(&self.ids).map(|(&x, &id)| key(x, id)));
        let (_, &mut kth, _) = keys.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
        let kth = if keeps_ties { kth & !u64::from(u32::MAX) } else { kth };
        self.retain(|x, id| key(x, id) >= kth);
        self.memory.keys = keys;
    }

    /// The shortest prefix of the order that has a share of the mass.
    pub(super) fn top_p(&mut self, top_p: f64) {
        let total = self.total();
        let need = (top_p * total * ONE).ceil() as u64;
        let mut pairs = std::mem::take(&mut self.memory.units);
        let mut depth = 8.0;
        let last = loop {
            let is_all = self.list_within(depth);
            pairs.clear();
            // Ascending where the order descends.
            let tokens = self.xs.iter().zip(&self.ids).zip(&self.weights);
            pairs.extend(tokens.map(|((&x, &id), &weight)| (!key(x, id), units(weight))));
            match reach(&mut pairs, need) {
                None if !is_all => depth += 8.0,
                last => break last,
            }
        };
        self.memory.units = pairs;
        match last {
            Some(last) => {
                self.retain(|x, id| !key(x, id) <= last);
                self.become_list();
            }
            // By rounding, all of them do not reach it.
            None => self.list_from(f32::MIN),
        }
    }

    /// Make `xs`, `ids` and `weights` those whose exponent is above -depth, without forgetting the row; whether these are
    /// all that have a weight.
    fn list_within(&mut self, depth: f64) -> bool {
        let Some(row) = &self.dense else { return true };
        self.xs.clear();
        self.ids.clear();
        let is_all = depth > 126.0;
        let least = if is_all { f32::MIN } else { self.logit_below(-depth).max(f32::MIN) };
        (self.kernels.collect)(row, &self.maxima, least, &mut self.xs, &mut self.ids);
        self.weigh();
        is_all
    }

    /// Those that have a share of the heaviest one's weight.
    pub(super) fn min_p(&mut self, min_p: f64) {
        self.retain_heavy(min_p);
    }

    /// Those that have a probability.
    pub(super) fn epsilon_cutoff(&mut self, epsilon: f64) {
        let total = self.total();
        self.retain_heavy(epsilon * total);
    }

    /// The same, less where the distribution is even.
    pub(super) fn eta_cutoff(&mut self, eta: f64) {
        let mass = self.mass();
        self.retain_heavy((eta * mass.total).min(eta.sqrt() * power2(mass.mean_exponent)));
    }

    /// The shortest prefix, by how far a token's surprise is from the mean one, that has a share of the mass.
    pub(super) fn typical_p(&mut self, typical_p: f64, keeps_ties: bool, is_strict: bool) {
        let mass = self.mass();
        let center = mass.mean_exponent as f32;
        let share = typical_p * mass.total * ONE;
        let need = if is_strict { share.floor() as u64 + 1 } else { share.ceil() as u64 };
        let scale = self.scale();
        let score = |x: f32| (scale.exponent(x) - center).abs();
        if self.dense.is_none() {
            self.weigh();
        }
        let mut pairs = std::mem::take(&mut self.memory.units);
        let mut radius = 6.0;
        let last = loop {
            let is_all = self.list_within(f64::from(radius - center));
            pairs.clear();
            // Of those further off, some may not be listed.
            let tokens = self.xs.iter().zip(&self.ids).zip(&self.weights);
            let near = tokens.map(|((&x, &id), &weight)| (score(x), id, weight));
            let near = near.filter(|(score, _, _)| is_all || *score <= radius);
            pairs.extend(
                near.map(|(score, id, weight)| (u64::from(score.to_bits()) << 32 | u64::from(id), units(weight))),
            );
            match reach(&mut pairs, need) {
                None if !is_all => radius += 6.0,
                last => break last,
            }
        };
        self.memory.units = pairs;
        match last {
            Some(last) => {
                let last = if keeps_ties { last | u64::from(u32::MAX) } else { last };
                self.retain(|x, id| u64::from(score(x).to_bits()) << 32 | u64::from(id) <= last);
                self.become_list();
                self.look_again();
            }
            None => self.list_from(f32::MIN),
        }
    }

    /// Up to where the second differences of the sorted weights have a share of their sum.
    pub(super) fn tfz(&mut self, z: f64) {
        let n = self.len();
        if n < 3 {
            return;
        }
        if self.dense.is_some() {
            self.list_within(-SMALLEST_UNIT + 1.0);
        } else {
            self.weigh();
        }
        let mut keys = std::mem::take(&mut self.memory.units);
        keys.clear();
        let tokens = self.xs.iter().zip(&self.ids).zip(&self.weights);
        let heavy = tokens.map(|((&x, &id), &weight)| (key(x, id), units(weight))).filter(|pair| pair.1 > 0);
        keys.extend(heavy);
        let last = tail_free(&mut keys, n, z);
        self.memory.units = keys;
        match last {
            Some(last) => {
                self.retain(|x, id| key(x, id) >= last);
                self.become_list();
            }
            // A straight line: all but the last of the order.
            None => {
                self.list_from(f32::MIN);
                let last = self.xs.iter().zip(&self.ids).map(|(&x, &id)| key(x, id)).min();
                self.retain(|x, id| Some(key(x, id)) != last);
            }
        }
    }

    /// Those within n standard deviations of the largest.
    pub(super) fn top_n_sigma(&mut self, n: f64) {
        let peak = f64::from(self.max);
        let (mut sums, mut squares, mut count) = ([0.0_f64; LANES], [0.0_f64; LANES], 0_usize);
        self.for_each(|id, x| {
            let d = f64::from(x) - peak;
            sums[id as usize % LANES] += d;
            squares[id as usize % LANES] += d * d;
            count += 1;
        });
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                sums[lane] += sums[lane + width];
                squares[lane] += squares[lane + width];
            }
        }
        let mean = sums[0] / count as f64;
        let variance = (squares[0] / count as f64 - mean * mean).max(0.0);
        let distance = n * variance.sqrt();
        self.list_from(((peak - distance) as f32).next_down());
        self.retain(|x, _| f64::from(x) - peak >= -distance);
    }

    /// All but those of a probability that are not the least likely of them.
    pub(super) fn xtc(&mut self, threshold: f64) {
        let least = threshold * self.total();
        let (scale, mut keys) = (self.scale(), std::mem::take(&mut self.memory.keys));
        keys.clear();
        let mut take = |id: u32, x: f32| {
            if f64::from(scale.of(x)) >= least {
                keys.push(key(x, id));
            }
        };
        match &self.dense {
            Some(row) => {
                let below = self.logit_below_weight(least);
                (self.kernels.collect)(row, &self.maxima, below, &mut self.xs, &mut self.ids);
                self.ids.iter().zip(&self.xs).for_each(|(&id, &x)| take(id, x));
                self.xs.clear();
                self.ids.clear();
            }
            None => self.for_each(take),
        }
        if keys.len() >= 2 {
            let last = keys.iter().copied().min().unwrap_or(0);
            match &mut self.dense {
                Some(row) => {
                    let row = row.to_mut();
                    for id in keys.iter().filter(|key| **key != last).map(|&key| !(key as u32) as usize) {
                        row[id] = f32::NEG_INFINITY;
                    }
                }
                // What is above the last of them in the order is one of them.
                None => self.retain(|x, id| key(x, id) <= last),
            }
            self.look_again();
        }
        self.memory.keys = keys;
    }

    /// Divide by a temperature from here on; within a range, by where the evenness of the distribution is in it. 0 keeps
    /// the first only.
    pub(super) fn divide(&mut self, temperature: f64, range: f64, exponent: f64) {
        let n = if range > 0.0 { self.len() } else { 0 };
        self.temperature = if n < 2 {
            temperature
        } else {
            let mass = self.mass();
            let bits = log2(mass.total) - mass.mean_exponent;
            let even = (bits / log2(n as f64)).clamp(0.0, 1.0);
            let (low, high) = ((temperature - range).max(0.0), temperature + range);
            low + (high - low) * power(even, exponent)
        };
        if self.temperature == 0.0 {
            self.keep_first();
            self.temperature = 1.0;
        }
    }

    /// Mirostat 1: as many as keep the surprise near `mu` bits, were the weights those of a power law.
    pub(super) fn mirostat_1(&mut self, mu: f64) {
        let n = self.len();
        let scale = self.scale();
        let top: Vec<f64> = self.top(100).iter().map(|&(_, x)| f64::from(scale.exponent(x))).collect();
        let (mut above, mut below) = (0.0, 0.0);
        for (i, pair) in top.windows(2).enumerate() {
            let ratio = log2((i as f64 + 2.0) / (i as f64 + 1.0));
            above += ratio * (pair[0] - pair[1]);
            below += ratio * ratio;
        }
        let slope = if below > 0.0 { above / below } else { 0.0 };
        let excess = slope - 1.0;
        if slope > 0.0 && excess != 0.0 {
            let k = power(excess * power2(mu) / (1.0 - power(n as f64, -excess)), 1.0 / slope);
            if k < n as f64 {
                self.top_k((k.floor() as usize).max(1), false);
            }
        }
    }

    /// Mirostat 2: those whose surprise is not above `mu` bits.
    pub(super) fn mirostat_2(&mut self, mu: f64) {
        let least = self.total() * power2(-mu);
        self.retain_heavy(least);
    }

    // -- the draw ------------------------------------------------------------------------------------------------------

    /// The token that `u` falls on by weight, ids ascending, and its surprise in bits.
    pub(super) fn pick(&mut self, u: f64) -> u32 {
        let mut rest = u * self.total();
        let chunks = std::mem::take(&mut self.memory.chunks);
        let mut drawn = None;
        for &(chunk, sum) in &chunks {
            if rest >= sum {
                rest -= sum;
                continue;
            }
            drawn = self.walk(chunk, rest);
            if drawn.is_some() {
                break;
            }
        }
        // Rounding may leave a little of u over: it belongs to the last token that has any weight.
        let drawn = drawn.or_else(|| chunks.iter().rev().find_map(|&(chunk, _)| self.walk(chunk, f64::INFINITY)));
        self.memory.chunks = chunks;
        drawn.unwrap_or(0)
    }

    /// The token of a chunk at which `rest` runs out, or the last with a weight.
    fn walk(&mut self, chunk: usize, mut rest: f64) -> Option<u32> {
        let begin = chunk * CHUNK;
        let range = match &self.dense {
            Some(row) => {
                let some = &row[begin..row.len().min(begin + CHUNK)];
                self.weights.resize(some.len(), 0.0);
                (self.kernels.weigh)(some, Weights::new(self.max, self.temperature), &mut self.weights);
                0..some.len()
            }
            None => {
                let at = |id: usize| self.ids.partition_point(|&other| (other as usize) < id);
                at(begin)..at(begin + CHUNK)
            }
        };
        let id = |index: usize| if self.dense.is_some() { (begin + index) as u32 } else { self.ids[index] };
        let mut last = None;
        for index in range {
            let weight = self.weights[index];
            if weight > 0.0 {
                rest -= f64::from(weight);
                last = Some(index);
                if rest < 0.0 {
                    break;
                }
            }
        }
        last.map(id)
    }

    /// The one that `u` falls on where all are alike.
    pub(super) fn pick_evenly(&self, u: f64) -> u32 {
        self.ids[((u * self.ids.len() as f64) as usize).min(self.ids.len() - 1)]
    }

    /// How surprising a token is, in bits.
    pub(super) fn surprise(&mut self, id: u32) -> f64 {
        let weight = self.scale().of(self.logit(id));
        log2(self.total()) - log2(f64::from(weight))
    }
}

/// A number that at least `k` logits reach, from the maxima of blocks: if so many are above -inf.
fn reaching(maxima: &[f32], k: usize) -> f32 {
    if k == 0 || k > maxima.len() {
        return f32::MIN;
    }
    let mut maxima = maxima.to_vec();
    let (_, &mut kth, _) = maxima.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    kth.max(f32::MIN)
}

/// The key at which the units of the pairs, keys ascending, add up to `need`. Quickselect: no more is sorted than must be.
fn reach(pairs: &mut [(u64, u64)], need: u64) -> Option<u64> {
    if pairs.iter().map(|pair| pair.1).sum::<u64>() < need {
        return None;
    }
    let (mut pairs, mut need) = (pairs, need);
    while pairs.len() > 32 {
        let half = pairs.len() / 2;
        pairs.select_nth_unstable_by_key(half, |pair| pair.0);
        let mass = pairs[..half].iter().map(|pair| pair.1).sum::<u64>();
        if mass >= need {
            pairs = &mut pairs[..half];
        } else {
            need -= mass;
            pairs = &mut pairs[half..];
        }
    }
    pairs.sort_unstable_by_key(|pair| pair.0);
    let mut mass = 0;
    for &(key, units) in pairs.iter() {
        mass += units;
        if mass >= need {
            return Some(key);
        }
    }
    None
}

/// The key of the last token kept by tail-free sampling among `n` of which these (key, units) have units; None if their
/// curve is straight. The head is sorted piece by piece, until what is left can not change the answer.
fn tail_free(tokens: &mut [(u64, u64)], n: usize, z: f64) -> Option<u64> {
    let (mut sorted, mut piece) = (0, 256);
    // Sorted units, with the zeros that follow them.
    let mut head: Vec<i64> = Vec::new();
    let mut curve: Vec<u64> = Vec::new();
    loop {
        let rest = &mut tokens[sorted..];
        let more = piece.min(rest.len());
        if more < rest.len() {
            rest.select_nth_unstable_by_key(more - 1, |pair| Reverse(pair.0));
        }
        rest[..more].sort_unstable_by_key(|pair| Reverse(pair.0));
        head.extend(rest[..more].iter().map(|pair| pair.1 as i64));
        (sorted, piece) = (sorted + more, piece * 8);
        let is_all = sorted == tokens.len();
        if is_all {
            head.resize(n.min(sorted + 2), 0);
        }
        while curve.len() + 2 < head.len() {
            let i = curve.len();
            let second = (head[i] - 2 * head[i + 1] + head[i + 2]).unsigned_abs();
            curve.push(curve.last().copied().unwrap_or(0) + second);
        }
        let sum = curve.last().copied().unwrap_or(0);
        // Each difference left is at most the two first differences it is of, and those add up to what is left of the fall.
        let most = if is_all { 0 } else { 2 * head[head.len() - 2] as u64 };
        let beyond = |sum: u64| {
            let need = (z * sum as f64).floor() as u64;
            curve.iter().position(|&part| part > need)
        };
        let (low, high) = (beyond(sum), beyond(sum + most));
        if is_all || low.is_some() && low == high {
            return low.map(|rank| tokens[rank].0);
        }
    }
}
