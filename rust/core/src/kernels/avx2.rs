//! The loops of `scalar` with AVX2, FMA and F16C, eight logits at a time: the same operations on the same lanes in the same
//! order, so the same bits. Ends that fill no vector are the scalar code's, where its lanes allow, or a vector padded
//! with -inf, whose weight is 0.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::scalar::{EXP2_C1, EXP2_C2, EXP2_C3, EXP2_C4, EXP2_C5, LANES, fold};
use super::{BLOCK, Kernels, Peak, Weights};

/// The loops, if this machine has what they use; there is no other way to them.
pub(super) fn kernels() -> Option<&'static Kernels> {
    is_available().then_some(&KERNELS)
}

static KERNELS: Kernels =
    Kernels { name: "avx2", widen_f16, widen_bf16, disallow, maxima, chunk_weights, chunk_exponents, weigh, collect };

fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// Functions of the table, which `kernels` gives out only where they run.
macro_rules! checked {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $output:ty)? = $inner:ident;)*) => {$(
        fn $name($($argument: $type),*) $(-> $output)? {
            debug_assert!(is_available());
            // SAFETY: the table is given out only where the processor has these features.
            unsafe { $inner($($argument),*) }
        }
    )*};
}

checked! {
    widen_f16(row: &[f16], out: &mut [f32]) = widen_f16_avx2;
    widen_bf16(row: &[bf16], out: &mut [f32]) = widen_bf16_avx2;
    disallow(x: &mut [f32], mask: &[u32]) = disallow_avx2;
    maxima(x: &[f32], maxima: &mut Vec<f32>) -> Peak = maxima_avx2;
    chunk_weights(x: &[f32], weights: Weights) -> f32 = chunk_weights_avx2;
    chunk_exponents(x: &[f32], weights: Weights) -> (f32, f32) = chunk_exponents_avx2;
    weigh(x: &[f32], weights: Weights, out: &mut [f32]) = weigh_avx2;
    collect(x: &[f32], maxima: &[f32], least: f32, xs: &mut Vec<f32>, ids: &mut Vec<u32>) = collect_avx2;
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load(x: &[f32; 8]) -> __m256 {
    // SAFETY: eight f32 are there.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn store(out: &mut [f32; 8], x: __m256) {
    // SAFETY: eight f32 are there.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), x) }
}

/// Up to eight, the rest -inf.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_padded(x: &[f32]) -> __m256 {
    let mut padded = [f32::NEG_INFINITY; 8];
    padded.iter_mut().zip(x).for_each(|(to, from)| *to = *from);
    load(&padded)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn widen_f16_avx2(row: &[f16], out: &mut [f32]) {
    let (rows, row_end) = row.as_chunks::<8>();
    let (outs, out_end) = out.as_chunks_mut::<8>();
    for (some, out) in rows.iter().zip(outs) {
        // SAFETY: eight times 16 bits are there.
        let halves = unsafe { _mm_loadu_si128(some.as_ptr().cast()) };
        store(out, _mm256_cvtph_ps(halves));
    }
    row_end.iter().zip(out_end).for_each(|(x, out)| *out = x.to_f32());
}

#[target_feature(enable = "avx2,fma,f16c")]
fn widen_bf16_avx2(row: &[bf16], out: &mut [f32]) {
    let (rows, row_end) = row.as_chunks::<8>();
    let (outs, out_end) = out.as_chunks_mut::<8>();
    for (some, out) in rows.iter().zip(outs) {
        // SAFETY: eight times 16 bits are there.
        let halves = unsafe { _mm_loadu_si128(some.as_ptr().cast()) };
        store(out, _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves))));
    }
    row_end.iter().zip(out_end).for_each(|(x, out)| *out = x.to_f32());
}

#[target_feature(enable = "avx2,fma,f16c")]
fn disallow_avx2(x: &mut [f32], mask: &[u32]) {
    let nothing = _mm256_set1_ps(f32::NEG_INFINITY);
    let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    let words = mask.iter().copied().chain(std::iter::repeat(0));
    for (some, word) in x.chunks_mut(32).zip(words) {
        match word {
            u32::MAX => {}
            0 => some.fill(f32::NEG_INFINITY),
            _ => {
                let (vectors, end) = some.as_chunks_mut::<8>();
                let n_vectors = vectors.len();
                for (number, vector) in vectors.iter_mut().enumerate() {
                    let byte = _mm256_set1_epi32((word >> (8 * number)) as i32);
                    let is_set = _mm256_cmpeq_epi32(_mm256_and_si256(byte, bits), bits);
                    store(vector, _mm256_blendv_ps(nothing, load(vector), _mm256_castsi256_ps(is_set)));
                }
                for (i, x) in end.iter_mut().enumerate() {
                    if word >> (8 * n_vectors + i) & 1 == 0 {
                        *x = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn largest(x: __m256) -> f32 {
    let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps::<1>(x, x)))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn maxima_avx2(x: &[f32], maxima: &mut Vec<f32>) -> Peak {
    maxima.clear();
    maxima.reserve(x.len().div_ceil(BLOCK));
    let nothing = _mm256_set1_ps(f32::NEG_INFINITY);
    let (mut all, mut nan) = (nothing, _mm256_setzero_ps());
    let (blocks, end) = x.as_chunks::<BLOCK>();
    for block in blocks {
        let (vectors, _) = block.as_chunks::<8>();
        let mut most = [nothing; 4];
        for four in vectors.as_chunks::<4>().0 {
            let [a, b, c, d] = [load(&four[0]), load(&four[1]), load(&four[2]), load(&four[3])];
            // The second operand where the first is NaN.
            most[0] = _mm256_max_ps(a, most[0]);
            most[1] = _mm256_max_ps(b, most[1]);
            most[2] = _mm256_max_ps(c, most[2]);
            most[3] = _mm256_max_ps(d, most[3]);
            let unordered = _mm256_or_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, b), _mm256_cmp_ps::<_CMP_UNORD_Q>(c, d));
            nan = _mm256_or_ps(nan, unordered);
        }
        let most = _mm256_max_ps(_mm256_max_ps(most[0], most[1]), _mm256_max_ps(most[2], most[3]));
        all = _mm256_max_ps(all, most);
        maxima.push(largest(most));
    }
    let mut peak = Peak { max: largest(all), has_nan: _mm256_movemask_ps(nan) != 0 };
    if !end.is_empty() {
        let max = end.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        peak.has_nan |= end.iter().any(|x| x.is_nan());
        peak.max = peak.max.max(max);
        maxima.push(max);
    }
    peak
}

/// 2^t as `scalar::exp2` has it.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn exp2(t: __m256) -> __m256 {
    let round = _mm256_set1_ps(12_582_912.0);
    let is_normal = _mm256_cmp_ps::<_CMP_GT_OQ>(t, _mm256_set1_ps(-126.0));
    let n = _mm256_add_ps(t, round);
    let f = _mm256_sub_ps(t, _mm256_sub_ps(n, round));
    let mut p = _mm256_fmadd_ps(_mm256_set1_ps(EXP2_C5), f, _mm256_set1_ps(EXP2_C4));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(EXP2_C3));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(EXP2_C2));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(EXP2_C1));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0));
    let power = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32::<23>(_mm256_castps_si256(n)));
    _mm256_and_ps(_mm256_castsi256_ps(power), is_normal)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn exponent(x: __m256, weights: Weights) -> __m256 {
    _mm256_mul_ps(_mm256_sub_ps(x, _mm256_set1_ps(weights.max)), _mm256_set1_ps(weights.c))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn folded(low: __m256, high: __m256) -> f32 {
    let mut lanes = [0.0; LANES];
    let (halves, _) = lanes.as_chunks_mut::<8>();
    store(&mut halves[0], low);
    store(&mut halves[1], high);
    fold(lanes)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn chunk_weights_avx2(x: &[f32], weights: Weights) -> f32 {
    let (mut low, mut high) = (_mm256_setzero_ps(), _mm256_setzero_ps());
    let (pairs, end) = x.as_chunks::<16>();
    for pair in pairs {
        let (halves, _) = pair.as_chunks::<8>();
        low = _mm256_add_ps(low, exp2(exponent(load(&halves[0]), weights)));
        high = _mm256_add_ps(high, exp2(exponent(load(&halves[1]), weights)));
    }
    if !end.is_empty() {
        let (first, second) = end.split_at(end.len().min(8));
        low = _mm256_add_ps(low, exp2(exponent(load_padded(first), weights)));
        high = _mm256_add_ps(high, exp2(exponent(load_padded(second), weights)));
    }
    folded(low, high)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn chunk_exponents_avx2(x: &[f32], weights: Weights) -> (f32, f32) {
    let least = _mm256_set1_ps(-126.0);
    let (mut sums, mut products) = ([_mm256_setzero_ps(); 2], [_mm256_setzero_ps(); 2]);
    let mut add = |half: usize, x: __m256| {
        let t = exponent(x, weights);
        let weight = exp2(t);
        sums[half] = _mm256_add_ps(sums[half], weight);
        products[half] = _mm256_fmadd_ps(weight, _mm256_max_ps(t, least), products[half]);
    };
    let (pairs, end) = x.as_chunks::<16>();
    for pair in pairs {
        let (halves, _) = pair.as_chunks::<8>();
        add(0, load(&halves[0]));
        add(1, load(&halves[1]));
    }
    if !end.is_empty() {
        let (first, second) = end.split_at(end.len().min(8));
        add(0, load_padded(first));
        add(1, load_padded(second));
    }
    (folded(sums[0], sums[1]), folded(products[0], products[1]))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn weigh_avx2(x: &[f32], weights: Weights, out: &mut [f32]) {
    let (vectors, end) = x.as_chunks::<8>();
    let (outs, out_end) = out.as_chunks_mut::<8>();
    for (some, out) in vectors.iter().zip(outs) {
        store(out, exp2(exponent(load(some), weights)));
    }
    end.iter().zip(out_end).for_each(|(&x, out)| *out = weights.of(x));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn collect_avx2(x: &[f32], maxima: &[f32], least: f32, xs: &mut Vec<f32>, ids: &mut Vec<u32>) {
    let threshold = _mm256_set1_ps(least);
    for (number, (block, _)) in x.chunks(BLOCK).zip(maxima).enumerate().filter(|(_, (_, max))| **max >= least) {
        let first = (number * BLOCK) as u32;
        let (vectors, end) = block.as_chunks::<8>();
        for (i, some) in vectors.iter().enumerate() {
            let mut reached = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(load(some), threshold)) as u32;
            while reached != 0 {
                let lane = reached.trailing_zeros();
                reached &= reached - 1;
                xs.push(some[lane as usize & 7]);
                ids.push(first + 8 * i as u32 + lane);
            }
        }
        let first = first + 8 * vectors.len() as u32;
        for (i, &x) in end.iter().enumerate().filter(|(_, x)| **x >= least) {
            xs.push(x);
            ids.push(first + i as u32);
        }
    }
}
