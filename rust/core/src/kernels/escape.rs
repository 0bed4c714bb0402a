//! How far a text needs no escape inside a JSON string. `scalar` is the definition; whatever is faster gives the same
//! answers. What a byte that needs a look becomes is its caller's business.

use std::sync::LazyLock;

#[cfg(target_arch = "x86_64")]
mod avx2;

/// Bytes that are taken together; shorter texts are not worth the way to a kernel.
const BLOCK: usize = 32;

/// A byte that is escaped in JSON, or begins what `str.splitlines` of Python takes for a line end: U+0085 is C2 85, U+2028
/// and U+2029 are E2 80 A8 and E2 80 A9.
#[inline]
fn is_suspect(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte == 0xc2) | (byte == 0xe2)
}

/// The number of leading bytes that need no look.
#[inline]
pub fn plain_len(text: &[u8]) -> usize {
    if text.len() < BLOCK { scalar(text) } else { CHOSEN(text) }
}

static CHOSEN: LazyLock<fn(&[u8]) -> usize> = LazyLock::new(|| {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = avx2::kernel() {
        return kernel;
    }
    scalar
});

/// The definition. Whole blocks first: their loop has no branch, so a compiler may make vector code of it.
#[inline]
fn scalar(text: &[u8]) -> usize {
    let is_plain = |block: &&[u8]| !block.iter().fold(false, |any, &byte| any | is_suspect(byte));
    let blocks = BLOCK * text.chunks_exact(BLOCK).take_while(is_plain).count();
    let rest = text.get(blocks..).unwrap_or_default();
    blocks + rest.iter().take_while(|&&byte| !is_suspect(byte)).count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    type Kernel = fn(&[u8]) -> usize;

    fn kernels() -> Vec<(&'static str, Kernel)> {
        let mut kernels: Vec<(&'static str, Kernel)> = vec![("scalar", scalar), ("chosen", plain_len)];
        #[cfg(target_arch = "x86_64")]
        kernels.extend(avx2::kernel().map(|kernel| ("avx2", kernel)));
        kernels
    }

    fn naive(text: &[u8]) -> usize {
        text.iter().position(|&byte| is_suspect(byte)).unwrap_or(text.len())
    }

    #[test]
    fn every_byte_at_every_place_alignment_and_length() {
        let mut memory = [b'x'; 32 + 130];
        for (name, kernel) in kernels() {
            for alignment in 0..32 {
                for len in [0, 1, 2, 7, 31, 32, 33, 63, 64, 65, 96, 97, 127, 128, 129] {
                    assert_eq!(kernel(&memory[alignment..alignment + len]), len, "{name}: {alignment}, {len}");
                }
                for len in [1, 31, 32, 33, 64, 71, 97] {
                    for at in 0..len {
                        for byte in [0, 0x1f, b'"', b'\\', 0xc2, 0xe2] {
                            memory[alignment + at] = byte;
                            let text = &memory[alignment..alignment + len];
                            assert_eq!(kernel(text), at, "{name}: {byte:#x} at {alignment} + {at} of {len}");
                        }
                        memory[alignment + at] = b'x';
                    }
                }
            }
        }
    }

    #[test]
    fn every_byte_is_seen_alike() {
        for (name, kernel) in kernels() {
            for byte in 0..=255 {
                for len in [1, 32, 33, 40, 64] {
                    assert_eq!(kernel(&vec![byte; len]), naive(&vec![byte; len]), "{name}: {byte:#x}, {len}");
                }
            }
        }
    }

    #[test]
    fn the_first_of_many_counts_and_nothing_beyond_the_end() {
        let mut state = 7_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for _ in 0..20_000 {
            let mut memory = [b'y'; 200];
            for _ in 0..random() % 6 {
                memory[random() % 200] = [b'"', 0x0a, 0xe2, 0xc2, b'\\', 0x7f, 0x80, 0xff][random() % 8];
            }
            let start = random() % 64;
            let text = &memory[start..start + random() % (200 - start)];
            for (name, kernel) in kernels() {
                assert_eq!(kernel(text), naive(text), "{name}: {text:?}");
            }
        }
    }
}
