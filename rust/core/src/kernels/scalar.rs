//! The arithmetic of sampling, written once and plainly. docs/sampling.md restates it for readers; a faster kernel must
//! give the same bits.

use half::{bf16, f16};

use super::{BLOCK, Kernels, Peak, Weights};

/// Ids of one chunk: a chunk's weights are summed in f32, chunks in f64.
pub const CHUNK: usize = 2048;

/// f32 accumulators of a chunk: token t adds to lane `t % LANES`.
pub const LANES: usize = 16;

/// log2(e): the factor from natural to binary exponents.
const LOG2_E: f64 = std::f64::consts::LOG2_E;

// 2^f on [-1/2, 1/2] as 1 + C1 f + ... + C5 f^5: minimax in relative error under the condition that 2^0 is exactly 1,
// with coefficients that are f32; relative error below 9.5e-8 before rounding.
/// Coefficient of f.
pub const EXP2_C1: f32 = f32::from_bits(0x3f31_7214);
/// Coefficient of f^2.
pub const EXP2_C2: f32 = f32::from_bits(0x3e75_fce0);
/// Coefficient of f^3.
pub const EXP2_C3: f32 = f32::from_bits(0x3d63_5be9);
/// Coefficient of f^4.
pub const EXP2_C4: f32 = f32::from_bits(0x3c1e_74f6);
/// Coefficient of f^5.
pub const EXP2_C5: f32 = f32::from_bits(0x3aad_d5a9);

/// 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// The factor c of `exp2((x - max) * c)` for a temperature above 0. It never overflows, so that 0 * c is 0.
pub fn scale(temperature: f64) -> f32 {
    (LOG2_E / temperature).min(f64::from(f32::MAX)) as f32
}

/// 2^t for t <= 0; exactly 1 at 0, exactly 0 at and below -126 and for NaN.
#[inline]
pub fn exp2(t: f32) -> f32 {
    if t.is_nan() || t <= -126.0 {
        return 0.0;
    }
    let n = t + ROUND;
    let f = t - (n - ROUND);
    let mut p = EXP2_C5;
    for c in [EXP2_C4, EXP2_C3, EXP2_C2, EXP2_C1, 1.0] {
        p = p.mul_add(f, c);
    }
    f32::from_bits(p.to_bits().wrapping_add(n.to_bits() << 23))
}

/// The loops written plainly: what the others are held to.
pub static KERNELS: Kernels = Kernels {
    name: "scalar",
    widen_f16: |row, out| out.iter_mut().zip(row).for_each(|(out, x): (&mut f32, &f16)| *out = x.to_f32()),
    widen_bf16: |row, out| out.iter_mut().zip(row).for_each(|(out, x): (&mut f32, &bf16)| *out = x.to_f32()),
    disallow,
    maxima,
    chunk_weights,
    chunk_exponents,
    weigh,
    collect,
};

fn disallow(x: &mut [f32], mask: &[u32]) {
    for (id, x) in x.iter_mut().enumerate() {
        if !crate::mask::is_allowed(mask, id) {
            *x = f32::NEG_INFINITY;
        }
    }
}

fn maxima(x: &[f32], maxima: &mut Vec<f32>) -> Peak {
    maxima.clear();
    let mut peak = Peak { max: f32::NEG_INFINITY, has_nan: false };
    for block in x.chunks(BLOCK) {
        // `f32::max` passes over NaN.
        let max = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        peak.has_nan |= block.iter().any(|x| x.is_nan());
        peak.max = peak.max.max(max);
        maxima.push(max);
    }
    peak
}

fn chunk_weights(x: &[f32], weights: Weights) -> f32 {
    let mut lanes = [0.0; LANES];
    for some in x.chunks(LANES) {
        some.iter().zip(&mut lanes).for_each(|(&x, lane)| *lane += weights.of(x));
    }
    fold(lanes)
}

fn chunk_exponents(x: &[f32], weights: Weights) -> (f32, f32) {
    let (mut sums, mut products) = ([0.0; LANES], [0.0; LANES]);
    for some in x.chunks(LANES) {
        for (lane, &x) in some.iter().enumerate() {
            let t = weights.exponent(x);
            let weight = exp2(t);
            sums[lane] += weight;
            products[lane] = weight.mul_add(t.max(-126.0), products[lane]);
        }
    }
    (fold(sums), fold(products))
}

fn weigh(x: &[f32], weights: Weights, out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = weights.of(x));
}

fn collect(x: &[f32], maxima: &[f32], least: f32, xs: &mut Vec<f32>, ids: &mut Vec<u32>) {
    for (number, (block, _)) in x.chunks(BLOCK).zip(maxima).enumerate().filter(|(_, (_, max))| **max >= least) {
        for (i, &x) in block.iter().enumerate().filter(|(_, x)| **x >= least) {
            xs.push(x);
            ids.push((number * BLOCK + i) as u32);
        }
    }
}

/// Lanes to their sum, in halves.
pub(super) fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Sums weights in the one order that is defined: ids ascending, a chunk's weights in `LANES` lanes of f32, the lanes
/// folded in halves, chunks added up in f64. Weights of 0 may be left out: adding 0 changes nothing.
#[derive(Debug, Clone)]
pub struct LaneSum {
    lanes: [f32; LANES],
    chunk: usize,
    chunks: Vec<(usize, f64)>,
}

impl LaneSum {
    /// Nothing summed; `chunks` is emptied and used again.
    pub fn new(mut chunks: Vec<(usize, f64)>) -> Self {
        chunks.clear();
        Self { lanes: [0.0; LANES], chunk: 0, chunks }
    }

    /// Add a token's weight; ids must not descend.
    #[inline]
    pub fn add(&mut self, id: usize, weight: f32) {
        self.turn_to(id);
        self.lanes[id % LANES] += weight;
    }

    /// Add a token's weight times its exponent.
    #[inline]
    pub fn add_product(&mut self, id: usize, weight: f32, exponent: f32) {
        self.turn_to(id);
        let lane = &mut self.lanes[id % LANES];
        *lane = weight.mul_add(exponent.max(-126.0), *lane);
    }

    #[inline]
    fn turn_to(&mut self, id: usize) {
        if id / CHUNK != self.chunk {
            self.fold();
            self.chunk = id / CHUNK;
        }
    }

    fn fold(&mut self) {
        self.chunks.push((self.chunk, f64::from(fold(self.lanes))));
        self.lanes = [0.0; LANES];
    }

    /// The total, and each chunk's number and sum, ascending.
    pub fn finish(mut self) -> (f64, Vec<(usize, f64)>) {
        self.fold();
        (self.chunks.iter().map(|(_, sum)| sum).sum(), self.chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_is_exact_at_its_ends() {
        assert_eq!(exp2(0.0), 1.0);
        assert_eq!(exp2(-0.0), 1.0);
        assert_eq!(exp2(-1.0), 0.5);
        assert_eq!(exp2(-126.0), 0.0);
        assert_eq!(exp2(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp2(f32::NAN), 0.0);
        assert!(exp2(-125.99) > 0.0);
    }

    #[test]
    fn exp2_keeps_its_error_bound_and_never_exceeds_one() {
        let mut worst = 0.0_f64;
        for i in 0..2_000_000_u32 {
            let t = -(i as f32) * 6.25e-5;
            let (got, want) = (f64::from(exp2(t)), f64::from(t).exp2());
            worst = worst.max((got / want - 1.0).abs());
            assert!(got <= 1.0, "exp2({t}) = {got}");
        }
        assert!(worst < 2.2e-7, "{worst}");
    }

    #[test]
    fn scale_never_overflows() {
        assert!(scale(1e-300).is_finite());
        assert_eq!(scale(1.0), std::f32::consts::LOG2_E);
    }

    #[test]
    fn leaving_zeros_out_changes_no_bit() {
        let weights: Vec<f32> = (0..5000).map(|i| if i % 3 == 0 { 0.1 + i as f32 * 1e-3 } else { 0.0 }).collect();
        let mut all = LaneSum::new(Vec::new());
        let mut some = LaneSum::new(Vec::new());
        for (id, &weight) in weights.iter().enumerate() {
            all.add(id, weight);
            if weight > 0.0 {
                some.add(id, weight);
            }
        }
        assert_eq!(all.finish(), some.finish());
    }
}
