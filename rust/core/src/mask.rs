//! The bitmask: one bit a token. Token t is bit `t & 31` of word `t >> 5`, 1 = allowed: the convention that xgrammar and
//! llguidance share.

use half::{bf16, f16};

use crate::kernels::RowMut;

/// Words that hold a bit for each of `n_tokens`.
pub fn words(n_tokens: usize) -> usize {
    n_tokens.div_ceil(32)
}

/// Whether a token's bit is set; beyond the last word nothing is.
#[inline]
pub fn is_allowed(mask: &[u32], token: usize) -> bool {
    mask.get(token >> 5).is_some_and(|word| word >> (token & 31) & 1 == 1)
}

/// Whether the bits of the first `n_tokens` are all set.
pub fn covers(mask: &[u32], n_tokens: usize) -> bool {
    let (whole, rest) = (n_tokens >> 5, n_tokens & 31);
    mask.len() >= words(n_tokens)
        && mask[..whole].iter().all(|&word| word == u32::MAX)
        && (rest == 0 || mask[whole] | u32::MAX << rest == u32::MAX)
}

/// How many of the bits of the first `n_tokens` are set.
pub fn count(mask: &[u32], n_tokens: usize) -> usize {
    (0..n_tokens)
        .step_by(32)
        .map(|token| {
            let word = mask.get(token >> 5).copied().unwrap_or(0);
            let rest = n_tokens - token;
            (if rest < 32 { word & ((1 << rest) - 1) } else { word }).count_ones() as usize
        })
        .sum()
}

/// Set a token's bit. Ids beyond the last word are left alone.
pub fn allow(mask: &mut [u32], token: usize) {
    if let Some(word) = mask.get_mut(token >> 5) {
        *word |= 1 << (token & 31);
    }
}

/// Set or clear a token's bit. Ids beyond the last word are left alone.
pub fn set(mask: &mut [u32], token: usize, is_allowed: bool) {
    if let Some(word) = mask.get_mut(token >> 5) {
        *word = *word & !(1 << (token & 31)) | u32::from(is_allowed) << (token & 31);
    }
}

/// Set each logit whose bit is 0 to -inf.
pub fn apply(row: RowMut<'_>, mask: &[u32]) {
    fn fill<T: Copy>(row: &mut [T], mask: &[u32], minus_infinity: T) {
        for (token, logit) in row.iter_mut().enumerate() {
            if !is_allowed(mask, token) {
                *logit = minus_infinity;
            }
        }
    }
    match row {
        RowMut::F32(row) => fill(row, mask, f32::NEG_INFINITY),
        RowMut::F16(row) => fill(row, mask, f16::NEG_INFINITY),
        RowMut::Bf16(row) => fill(row, mask, bf16::NEG_INFINITY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_stand_where_xgrammar_and_llguidance_put_them() {
        let mut mask = vec![0; words(33)];
        for token in [0, 31, 32] {
            allow(&mut mask, token);
        }
        assert_eq!(mask, [0x8000_0001, 1]);
        assert!(!is_allowed(&mask, 64));
    }

    #[test]
    fn apply_leaves_the_allowed_alone() {
        let mut row = [1.0, 2.0, f32::NAN];
        apply(RowMut::F32(&mut row), &[0b010]);
        assert_eq!(row, [f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY]);
    }
}
