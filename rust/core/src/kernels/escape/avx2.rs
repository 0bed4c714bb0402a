//! `plain_len`, 32 bytes at a time, for x86-64 processors that have AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_set1_epi8,
};

use super::{BLOCK, scalar};

/// The kernel, where the processor has what it needs.
pub(super) fn kernel() -> Option<fn(&[u8]) -> usize> {
    fn checked(text: &[u8]) -> usize {
        // SAFETY: `kernel` gives this function away only after it found AVX2.
        unsafe { plain_len(text) }
    }
    is_x86_feature_detected!("avx2").then_some(checked)
}

#[target_feature(enable = "avx2")]
fn plain_len(text: &[u8]) -> usize {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (number, block) in blocks.iter().enumerate() {
        let suspects = suspects(block);
        if suspects != 0 {
            return number * BLOCK + suspects.trailing_zeros() as usize;
        }
    }
    match text.last_chunk::<BLOCK>() {
        // The last block again, moved so that it ends with the text: what it shares with the one before is plain.
        Some(last) if !rest.is_empty() => match suspects(last) {
            0 => text.len(),
            suspects => text.len() - BLOCK + suspects.trailing_zeros() as usize,
        },
        Some(_) => text.len(),
        None => scalar(text),
    }
}

/// Bit i: byte i needs a look.
#[target_feature(enable = "avx2")]
#[inline]
fn suspects(block: &[u8; BLOCK]) -> u32 {
    // SAFETY: 32 bytes are there to be read, at any alignment.
    let bytes = unsafe { _mm256_loadu_si256(block.as_ptr().cast::<__m256i>()) };
    let is = |byte: u8| _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte.cast_signed()));
    let is_control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
    let is_quoted = _mm256_or_si256(is(b'"'), is(b'\\'));
    let is_lead = _mm256_or_si256(is(0xc2), is(0xe2));
    _mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(is_control, is_quoted), is_lead)).cast_unsigned()
}
