//! Masks that were made, each once and small: most differ from one of a few others by some hundred tokens.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use crate::grammar::hash::{Map, Seeded};

/// Tokens listed one by one at most; beyond it the words are smaller.
const MOST_LISTED: usize = 1024;

/// Words that are looked at together: most of them are alike.
const WORDS_AT_ONCE: usize = 16;

/// What a mask is, beside its tokens listed.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Stored {
    /// These and no others.
    Listed(Box<[u32]>),
    /// Those of the base, but for these: whose bit is the other way.
    Flipped(Box<[u32]>),
    Words(Box<[u32]>),
}

#[derive(Debug, Default)]
pub(super) struct Masks {
    /// A mask that many others resemble.
    base: Arc<[u32]>,
    stored: Vec<Stored>,
    /// By a hash: the newest mask that has it.
    ids: Map<u64, u32>,
    hasher: Seeded,
    bytes: usize,
}

impl Masks {
    pub(super) fn new(base: Arc<[u32]>) -> Self {
        Self { base, ..Self::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of a mask, which has the base's words.
    pub(super) fn insert(&mut self, mask: &[u32]) -> u32 {
        let stored = match differences(mask, None) {
            Some(listed) => Stored::Listed(listed),
            None => match differences(mask, Some(&self.base)) {
                Some(flipped) => Stored::Flipped(flipped),
                None => Stored::Words(mask.into()),
            },
        };
        let hash = self.hasher.hash_one(&stored);
        if let Some(&id) = self.ids.get(&hash)
            && self.stored.get(id as usize) == Some(&stored)
        {
            return id;
        }
        self.bytes += 64
            + size_of::<Stored>()
            + match &stored {
                Stored::Listed(words) | Stored::Flipped(words) | Stored::Words(words) => size_of_val(&**words),
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
            Some(Stored::Flipped(tokens)) => {
                out.copy_from_slice(&self.base);
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

/// The tokens whose bits are not those of `base`, or not 0; None: too many.
fn differences(mask: &[u32], base: Option<&[u32]>) -> Option<Box<[u32]>> {
    let zeros = [0; WORDS_AT_ONCE];
    let mut tokens = Vec::new();
    for (at, words) in (0..).step_by(WORDS_AT_ONCE).zip(mask.chunks(WORDS_AT_ONCE)) {
        let others = base.map_or(&zeros[..], |base| base.get(at..).unwrap_or_default());
        if words.iter().zip(others).fold(0, |all, (word, other)| all | (word ^ other)) == 0 {
            continue;
        }
        for (i, (word, other)) in words.iter().zip(others).enumerate() {
            let mut word = word ^ other;
            while word != 0 {
                tokens.push(32 * (at + i) as u32 + word.trailing_zeros());
                word &= word - 1;
            }
        }
        if tokens.len() > MOST_LISTED {
            return None;
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
        let mut masks = Masks::new(base.clone());
        let near = |n: usize| (0..400).map(|i| if i < n { 0x5555_5555 } else { u32::MAX }).collect::<Vec<u32>>();
        let some = |n: usize| (0..400).map(|i| u32::from(i < n)).collect::<Vec<u32>>();
        let all = [some(0), some(400), near(10), near(390), vec![0x0f0f_0f0f; 400], base.to_vec()];
        let ids: Vec<_> = all.iter().map(|mask| masks.insert(mask)).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
        let mut out = vec![7; 400];
        for (mask, id) in all.iter().zip(ids) {
            assert_eq!(masks.insert(mask), id);
            masks.copy(id, &mut out);
            assert_eq!(&out, mask);
        }
    }
}
