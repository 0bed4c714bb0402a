//! Random numbers by counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//!
//! The key is the seed, low word first. The counter is (step low, step high, lane, choice): `step` counts the tokens this
//! request has drawn, `lane` tells apart the draws of one step (0 is the token's), `choice` the completions of one prompt.
//! Nothing else enters, so a token depends on neither batch, position nor threads.

/// The lane of the draw that picks the token.
pub const TOKEN_LANE: u32 = 0;

/// The lane of the draw that decides whether XTC runs.
pub const XTC_LANE: u32 = 1;

/// One block of four words.
pub fn philox4x32_10(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let mut c = counter;
    for _ in 0..10 {
        let p0 = u64::from(c[0]) * 0xD251_1F53;
        let p1 = u64::from(c[2]) * 0xCD9E_8D57;
        c = [(p1 >> 32) as u32 ^ c[1] ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k1, p0 as u32];
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    c
}

/// A uniform number strictly between 0 and 1: an odd multiple of 2^-53.
///
/// 52 bits and a half, not 53: (2^53 - 1 + 1/2) 2^-53 is no f64 and would round to 1.
pub fn uniform(seed: u64, step: u64, lane: u32, choice: u32) -> f64 {
    let r = philox4x32_10([seed as u32, (seed >> 32) as u32], [step as u32, (step >> 32) as u32, lane, choice]);
    let bits = u64::from(r[0]) << 32 | u64::from(r[1]);
    ((bits >> 12) as f64 + 0.5) * (1.0 / (1_u64 << 52) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors that come with Random123.
    #[test]
    fn known_answers() {
        let cases = [
            ([0; 2], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 2], [u32::MAX; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (key, counter, want) in cases {
            assert_eq!(philox4x32_10(key, counter), want);
        }
    }

    #[test]
    fn uniform_is_never_0_or_1() {
        let scale = 1.0 / (1_u64 << 52) as f64;
        assert!((((1_u64 << 52) - 1) as f64 + 0.5) * scale < 1.0);
        assert!(0.5 * scale > 0.0);
        for step in 0..1000 {
            let u = uniform(7, step, TOKEN_LANE, 0);
            assert!(u > 0.0 && u < 1.0);
        }
    }

    #[test]
    fn every_part_of_the_counter_matters() {
        let u = [(1, 2, 0, 0), (2, 2, 0, 0), (1, 3, 0, 0), (1, 2, 1, 0), (1, 2, 0, 1), (1 << 32 | 1, 2, 0, 0)]
            .map(|(seed, step, lane, choice)| uniform(seed, step, lane, choice).to_bits());
        let mut distinct = u.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), u.len());
    }
}
