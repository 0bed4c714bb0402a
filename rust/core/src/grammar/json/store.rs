//! Masks that were made, each once and small: most differ from one of a few others by some hundred tokens.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use crate::grammar::hash::{Map, Seeded};

/// Tokens listed one by one at most; beyond it the words are smaller.
const MOST_LISTED: usize = 1024;

/// What a mask is, beside its tokens listed.
#[derive(Debug)]
enum Stored {
    /// These and no others.
    Listed(Box<[u32]>),
    /// Those of a base, but for these: whose bit is the other way.
    Flipped(Arc<[u32]>, Box<[u32]>),
    Words(Box<[u32]>),
}

#[derive(Debug, Default)]
pub(super) struct Masks {
    stored: Vec<Stored>,
    /// By a hash: the newest mask that has it.
    ids: Map<u64, u32>,
    hasher: Seeded,
    scratch: Vec<u32>,
    bytes: usize,
}

impl Masks {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of a mask; `base` is one it may resemble.
    pub(super) fn insert(&mut self, mask: &[u32], base: &Arc<[u32]>) -> u32 {
        let hash = self.hasher.hash_one(mask);
        if let Some(&id) = self.ids.get(&hash) {
            let mut known = std::mem::take(&mut self.scratch);
            known.resize(mask.len(), 0);
            self.copy(id, &mut known);
            let is_it = known == mask;
            self.scratch = known;
            if is_it {
                return id;
            }
        }
        let stored = match (tokens(mask.iter().copied()), tokens(mask.iter().zip(&**base).map(|(a, b)| a ^ b))) {
            (Some(listed), _) => Stored::Listed(listed),
            (None, Some(flipped)) => Stored::Flipped(base.clone(), flipped),
            (None, None) => Stored::Words(mask.into()),
        };
        self.bytes += 64
            + size_of::<Stored>()
            + match &stored {
                Stored::Listed(tokens) | Stored::Flipped(_, tokens) => size_of_val(&**tokens),
                Stored::Words(words) => size_of_val(&**words),
            };
        let id = self.stored.len() as u32;
        self.stored.push(stored);
        self.ids.insert(hash, id);
        id
    }

    /// Write a mask over all of `out`, which has its words.
    pub(super) fn copy(&self, id: u32, out: &mut [u32]) {
        match self.stored.get(id as usize) {
            None => out.fill(0),
            Some(Stored::Words(words)) => out.copy_from_slice(words),
            Some(Stored::Listed(tokens)) => {
                out.fill(0);
                flip(tokens, out);
            }
            Some(Stored::Flipped(base, tokens)) => {
                out.copy_from_slice(base);
                flip(tokens, out);
            }
        }
    }
}

fn flip(tokens: &[u32], out: &mut [u32]) {
    for &token in tokens {
        if let Some(word) = out.get_mut(token as usize >> 5) {
            *word ^= 1 << (token & 31);
        }
    }
}

/// The tokens of a mask; None: too many.
fn tokens(words: impl Iterator<Item = u32>) -> Option<Box<[u32]>> {
    let mut tokens = Vec::new();
    for (i, mut word) in words.enumerate() {
        if word != 0 && tokens.len() + word.count_ones() as usize > MOST_LISTED {
            return None;
        }
        while word != 0 {
            tokens.push(32 * i as u32 + word.trailing_zeros());
            word &= word - 1;
        }
    }
    Some(tokens.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_what_it_was() {
        let base: Arc<[u32]> = vec![u32::MAX; 400].into();
        let mut masks = Masks::default();
        let near = |n: usize| (0..400).map(|i| if i < n { 0x5555_5555 } else { u32::MAX }).collect::<Vec<u32>>();
        let some = |n: usize| (0..400).map(|i| u32::from(i < n)).collect::<Vec<u32>>();
        let all = [some(0), some(400), near(10), near(390), vec![0x0f0f_0f0f; 400], base.to_vec()];
        let ids: Vec<_> = all.iter().map(|mask| masks.insert(mask, &base)).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
        let mut out = vec![7; 400];
        for (mask, id) in all.iter().zip(ids) {
            assert_eq!(masks.insert(mask, &base), id);
            masks.copy(id, &mut out);
            assert_eq!(&out, mask);
        }
    }
}
