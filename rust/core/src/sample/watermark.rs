//! Which tokens are green after which token. The two schemes; what being green changes is `edit`.

use super::params::{SamplingParams, WatermarkScheme};
use super::rng::philox4x32_10;

/// One bit a token, as a mask.
#[derive(Debug, Clone, Default)]
pub(super) struct GreenList {
    /// What it was made for.
    made_for: Option<(WatermarkScheme, u64, u64, u32, usize)>,
    words: Vec<u32>,
}

impl GreenList {
    /// The green tokens of `width` after `previous`: kept, should the next row ask for the same.
    pub(super) fn after(&mut self, params: &SamplingParams, previous: u32, width: usize) -> &[u32] {
        let scheme = params.watermark.unwrap_or(WatermarkScheme::Philox);
        let key = (scheme, params.watermark_key, params.watermark_gamma.to_bits(), previous, width);
        if self.made_for != Some(key) {
            self.made_for = Some(key);
            self.words.clear();
            self.words.resize(width.div_ceil(32), 0);
            match scheme {
                WatermarkScheme::Kgw => kgw(params, previous, width, &mut self.words),
                WatermarkScheme::Philox => philox(params, previous, width, &mut self.words),
            }
        }
        &self.words
    }
}

fn set(words: &mut [u32], id: usize) {
    words[id >> 5] |= 1 << (id & 31);
}

/// The first of `torch.randperm(width)` by a generator of torch's CPU, seeded with key * previous.
fn kgw(params: &SamplingParams, previous: u32, width: usize, words: &mut [u32]) {
    let mut generator = Mt19937::new(params.watermark_key.wrapping_mul(u64::from(previous)) as u32);
    let n_green = (width as f64 * params.watermark_gamma) as usize;
    let mut ids: Vec<u32> = (0..width as u32).collect();
    for i in 0..n_green {
        if i + 1 < width {
            ids.swap(i, i + generator.next() as usize % (width - i));
        }
        set(words, ids[i] as usize);
    }
}

/// Word id mod 4 of the block with counter (id / 4, previous, 0, 0) and key `watermark_key`, below gamma 2^32.
fn philox(params: &SamplingParams, previous: u32, width: usize, words: &mut [u32]) {
    let key = [params.watermark_key as u32, (params.watermark_key >> 32) as u32];
    let below = (params.watermark_gamma * 4_294_967_296.0) as u32;
    for id in (0..width).step_by(4) {
        let block = philox4x32_10(key, [(id / 4) as u32, previous, 0, 0]);
        for (i, _) in block.iter().enumerate().filter(|(i, word)| **word < below && id + i < width) {
            set(words, id + i);
        }
    }
}

/// Matsumoto and Nishimura's generator, which torch draws from on a CPU.
struct Mt19937 {
    state: [u32; 624],
    index: usize,
}

impl Mt19937 {
    fn new(seed: u32) -> Self {
        let mut state = [seed; 624];
        for i in 1..624 {
            let last = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(last ^ last >> 30).wrapping_add(i as u32);
        }
        Self { state, index: 624 }
    }

    fn next(&mut self) -> u32 {
        if self.index == 624 {
            for i in 0..624 {
                let y = self.state[i] & 0x8000_0000 | self.state[(i + 1) % 624] & 0x7fff_ffff;
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % 624] ^ y >> 1 ^ odd;
            }
            self.index = 0;
        }
        let mut y = self.state[self.index];
        self.index += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_standards() {
        // ISO C++ [rand.predef]: the 10,000th number of a default-constructed mt19937.
        let mut generator = Mt19937::new(5489);
        let last = (0..10_000).map(|_| generator.next()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
