//! The inner loops, over a row of logits and over text. What is scalar is the definition: whatever is faster must give the
//! same bits.

use half::{bf16, f16};

#[cfg(target_arch = "x86_64")]
mod avx2;
pub mod escape;
pub mod scalar;

use scalar::{exp2, scale};

/// Logits whose maximum is kept: most blocks need no second look.
pub const BLOCK: usize = 128;

/// What one look at a row finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// -inf where all are NaN or -inf.
    pub max: f32,
    /// Whether any logit is NaN.
    pub has_nan: bool,
}

/// How logits weigh: `exp2((x - max) c)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// The largest of them.
    pub max: f32,
    /// log2(e) / T
    pub c: f32,
}

impl Weights {
    /// At a temperature above 0.
    pub fn new(max: f32, temperature: f64) -> Self {
        Self { max, c: scale(temperature) }
    }

    /// (x - max) c
    #[inline]
    pub fn exponent(self, x: f32) -> f32 {
        (x - self.max) * self.c
    }

    /// The weight of a logit.
    #[inline]
    pub fn of(self, x: f32) -> f32 {
        exp2(self.exponent(x))
    }
}

/// (row, maxima, least, logits, ids)
pub type Collect = fn(&[f32], &[f32], f32, &mut Vec<f32>, &mut Vec<u32>);

/// The loops over a row for one instruction set. All give the same bits.
#[derive(Debug)]
pub struct Kernels {
    /// Of the instruction set.
    pub name: &'static str,
    /// Exactly, to as many f32.
    pub widen_f16: fn(&[f16], &mut [f32]),
    /// Exactly, to as many f32.
    pub widen_bf16: fn(&[bf16], &mut [f32]),
    /// -inf for each token whose bit is 0 or beyond the mask.
    pub disallow: fn(&mut [f32], &[u32]),
    /// The largest of each `BLOCK` logits, and of all.
    pub maxima: fn(&[f32], &mut Vec<f32>) -> Peak,
    /// The sum of the weights of one chunk, by lanes.
    pub chunk_weights: fn(&[f32], Weights) -> f32,
    /// The same, and the sum of each weight times its exponent.
    pub chunk_exponents: fn(&[f32], Weights) -> (f32, f32),
    /// The weight of each logit, to as many f32.
    pub weigh: fn(&[f32], Weights, &mut [f32]),
    /// The logits not below a number, and their ids, ascending; `maxima` are those of the row.
    pub collect: Collect,
}

impl Kernels {
    /// By name, if this machine runs them.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::available().into_iter().find(|kernels| kernels.name == name)
    }

    /// What this machine runs, fastest first.
    pub fn available() -> Vec<&'static Self> {
        let mut available: Vec<&'static Self> = Vec::new();
        #[cfg(target_arch = "x86_64")]
        available.extend(avx2::kernels());
        available.push(&scalar::KERNELS);
        available
    }

    /// The fastest that this machine runs.
    pub fn fastest() -> &'static Self {
        Self::available().first().copied().unwrap_or(&scalar::KERNELS)
    }
}

/// One row of logits, as the model made it. Widening to f32 is exact.
#[derive(Debug, Clone, Copy)]
pub enum Row<'a> {
    /// binary32
    F32(&'a [f32]),
    /// binary16
    F16(&'a [f16]),
    /// bfloat16
    Bf16(&'a [bf16]),
}

impl Row<'_> {
    /// Its width.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(row) => row.len(),
            Self::F16(row) => row.len(),
            Self::Bf16(row) => row.len(),
        }
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row as f32, in `out`.
    pub fn widen(&self, kernels: &Kernels, out: &mut Vec<f32>) {
        match self {
            Self::F32(row) => {
                out.clear();
                out.extend_from_slice(row);
            }
            Self::F16(row) => {
                out.resize(row.len(), 0.0);
                (kernels.widen_f16)(row, out);
            }
            Self::Bf16(row) => {
                out.resize(row.len(), 0.0);
                (kernels.widen_bf16)(row, out);
            }
        }
    }
}

/// One row of logits to be changed in place.
#[derive(Debug)]
pub enum RowMut<'a> {
    /// binary32
    F32(&'a mut [f32]),
    /// binary16
    F16(&'a mut [f16]),
    /// bfloat16
    Bf16(&'a mut [bf16]),
}

impl RowMut<'_> {
    /// The same row, to be read.
    pub fn as_row(&self) -> Row<'_> {
        match self {
            Self::F32(row) => Row::F32(row),
            Self::F16(row) => Row::F16(row),
            Self::Bf16(row) => Row::Bf16(row),
        }
    }

    /// The largest finite number of its type.
    pub fn largest(&self) -> f32 {
        match self {
            Self::F32(_) => f32::MAX,
            Self::F16(_) => f16::MAX.to_f32(),
            Self::Bf16(_) => bf16::MAX.to_f32(),
        }
    }

    /// Write f32 values back, rounded to nearest even. `values` has the row's length.
    pub fn store(&mut self, values: &[f32]) {
        match self {
            Self::F32(row) => row.copy_from_slice(values),
            Self::F16(row) => row.iter_mut().zip(values).for_each(|(x, &v)| *x = f16::from_f32(v)),
            Self::Bf16(row) => row.iter_mut().zip(values).for_each(|(x, &v)| *x = bf16::from_f32(v)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scalar::CHUNK;

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
    }

    /// Logits of every kind, in an order that chance has a hand in.
    fn row(n: usize, seed: u32) -> Vec<f32> {
        let special = [f32::NEG_INFINITY, f32::NAN, 0.0, -0.0, 1e-45, f32::MAX, f32::MIN, f32::INFINITY, 88.0];
        let mut state = seed | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let hostile = seed.is_multiple_of(3);
        (0..n)
            .map(|_| match next() {
                word if hostile && word % 11 == 0 => special[next() as usize % special.len()],
                word => (word >> 8) as f32 / (1 << 24) as f32 * 40.0 - 30.0,
            })
            .collect()
    }

    #[test]
    fn all_give_the_bits_of_the_scalar_ones() {
        let scalar = &scalar::KERNELS;
        for kernels in Kernels::available() {
            for n in (0..515).chain([2047, 2048, 5000]) {
                let x = row(n, n as u32 + 7);
                let (mut want, mut got) = (Vec::new(), Vec::new());
                let peak = (scalar.maxima)(&x, &mut want);
                assert_eq!((kernels.maxima)(&x, &mut got), peak, "{n}");
                assert_eq!(bits(&got), bits(&want), "{n}");
                for (max, temperature) in [(12.5, 1.0), (10.0, 0.07), (f32::MAX, 1e30), (12.5, 1e-40)] {
                    let weights = Weights::new(max, temperature);
                    let (mut a, mut b) = (vec![0.0; n], vec![0.0; n]);
                    (scalar.weigh)(&x, weights, &mut a);
                    (kernels.weigh)(&x, weights, &mut b);
                    assert_eq!(bits(&a), bits(&b), "{n}");
                    for chunk in x.chunks(CHUNK) {
                        let (a, b) = ((scalar.chunk_weights)(chunk, weights), (kernels.chunk_weights)(chunk, weights));
                        assert_eq!(bits(&[a]), bits(&[b]), "{n}");
                        let (a, c) = (scalar.chunk_exponents)(chunk, weights);
                        let (b, d) = (kernels.chunk_exponents)(chunk, weights);
                        assert_eq!(bits(&[a, c]), bits(&[b, d]), "{n}");
                    }
                }
                for least in [f32::MIN, 0.0, 5.0, f32::INFINITY] {
                    let (mut a, mut b) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
                    (scalar.collect)(&x, &want, least, &mut a.0, &mut a.1);
                    (kernels.collect)(&x, &want, least, &mut b.0, &mut b.1);
                    assert_eq!((bits(&a.0), a.1), (bits(&b.0), b.1), "{n}");
                }
                let words: Vec<u32> =
                    row(n / 40 + 1, 5).iter().map(|x| x.to_bits().wrapping_mul(2_654_435_769)).collect();
                let words: Vec<u32> = words.iter().enumerate().map(|(i, w)| [0, u32::MAX, *w][i % 3]).collect();
                let (mut a, mut b) = (x.clone(), x.clone());
                (scalar.disallow)(&mut a, &words);
                (kernels.disallow)(&mut b, &words);
                assert_eq!(bits(&a), bits(&b), "{n}");
            }
        }
    }

    #[test]
    fn all_widen_every_half() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        let brains: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        for kernels in Kernels::available() {
            let mut out = vec![0.0; 1 << 16];
            (kernels.widen_f16)(&halves, &mut out);
            assert_eq!(bits(&out), bits(&halves.iter().map(|x| x.to_f32()).collect::<Vec<_>>()));
            (kernels.widen_bf16)(&brains, &mut out);
            assert_eq!(bits(&out), bits(&brains.iter().map(|x| x.to_f32()).collect::<Vec<_>>()));
        }
    }
}
