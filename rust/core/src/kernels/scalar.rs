//! The arithmetic of sampling, written once and plainly. docs/sampling.md restates it for readers; a faster kernel must
//! give the same bits.

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
        if id / CHUNK != self.chunk {
            self.fold();
            self.chunk = id / CHUNK;
        }
        self.lanes[id % LANES] += weight;
    }

    fn fold(&mut self) {
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                self.lanes[lane] += self.lanes[lane + width];
            }
            width /= 2;
        }
        self.chunks.push((self.chunk, f64::from(self.lanes[0])));
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
