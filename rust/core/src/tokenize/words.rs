//! What the words of a text were the last time: a bounded cache from a word's bytes to its ids.
//!
//! An entry is found by the word itself, never by a hash alone: a hash that can be computed in advance would let one
//! text decide the ids of another.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Buckets of two entries, 64 bytes each: 1 MiB.
const BUCKETS: usize = 1 << 14;
/// Words too long, or of too many ids, for an entry of `Words::short`.
const LONG_WORDS: usize = 1 << 14;
/// Together at most 7 MiB.
const LONG_WORD_BYTES: usize = 64;

const KEY_BYTES: usize = 15;
const ENTRY_IDS: usize = 3;

#[derive(Clone, Copy, Default)]
struct Entry {
    /// The word, its length in the last byte; 0: no entry.
    key: u128,
    ids: [u32; ENTRY_IDS],
    n_ids: u32,
}

pub(super) struct Words {
    /// The newer entry of a bucket stands first.
    short: Box<[[Entry; 2]]>,
    long: HashMap<Box<[u8]>, Box<[u32]>>,
    seeds: [u64; 2],
}

impl Words {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self {
            short: vec![Default::default(); BUCKETS].into(),
            long: HashMap::with_hasher(random.clone()),
            seeds: [random.hash_one(0), random.hash_one(1)],
        }
    }

    /// Append the ids of `word`, those of `encode` if it is not known yet.
    #[inline]
    pub(super) fn append<E>(
        &mut self,
        word: &[u8],
        ids: &mut Vec<u32>,
        encode: impl FnOnce(&mut Vec<u32>) -> Result<(), E>,
    ) -> Result<(), E> {
        if word.len() > KEY_BYTES || word.is_empty() {
            return self.append_long(word, ids, encode);
        }
        let key = key_of(word);
        let bucket = self.bucket(key);
        for entry in &self.short[bucket] {
            if entry.key == key {
                // Whole, then cut: a copy of a length the compiler knows.
                let end = ids.len() + entry.n_ids as usize;
                ids.extend_from_slice(&entry.ids);
                ids.truncate(end);
                return Ok(());
            }
        }
        self.learn(word, key, bucket, ids, encode)
    }

    #[cold]
    fn learn<E>(
        &mut self,
        word: &[u8],
        key: u128,
        bucket: usize,
        ids: &mut Vec<u32>,
        encode: impl FnOnce(&mut Vec<u32>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(known) = self.long.get(word) {
            ids.extend_from_slice(known);
            return Ok(());
        }
        let start = ids.len();
        encode(ids)?;
        let new = &ids[start..];
        if new.len() > ENTRY_IDS {
            self.insert_long(word, new);
            return Ok(());
        }
        let mut entry = Entry { key, ids: [0; ENTRY_IDS], n_ids: new.len() as u32 };
        entry.ids[..new.len()].copy_from_slice(new);
        let [first, second] = &mut self.short[bucket];
        *second = std::mem::replace(first, entry);
        Ok(())
    }

    fn append_long<E>(
        &mut self,
        word: &[u8],
        ids: &mut Vec<u32>,
        encode: impl FnOnce(&mut Vec<u32>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(known) = self.long.get(word) {
            ids.extend_from_slice(known);
            return Ok(());
        }
        let start = ids.len();
        encode(ids)?;
        self.insert_long(word, &ids[start..]);
        Ok(())
    }

    fn insert_long(&mut self, word: &[u8], ids: &[u32]) {
        // A word has rarely more ids than bytes, but nothing here relies on it.
        if word.len() > LONG_WORD_BYTES || ids.len() > LONG_WORD_BYTES {
            return;
        }
        if self.long.len() == LONG_WORDS {
            self.long.clear();
        }
        self.long.insert(word.into(), ids.into());
    }

    #[inline]
    fn bucket(&self, key: u128) -> usize {
        let (low, high) = (key as u64 ^ self.seeds[0], (key >> 64) as u64 ^ self.seeds[1]);
        let product = u128::from(low) * u128::from(high | 1);
        ((product >> 64) as u64 ^ product as u64) as usize % BUCKETS
    }
}

/// A word of 1 to 15 bytes as a number no other word has: its bytes, and its length in the last one.
#[inline]
fn key_of(word: &[u8]) -> u128 {
    let n = word.len();
    // Bytes that both halves hold agree, so that either may bring them.
    let bytes = if let (Some(head), Some(tail)) = (word.first_chunk(), word.last_chunk()) {
        u128::from(u64::from_le_bytes(*head)) | u128::from(u64::from_le_bytes(*tail)) << (8 * (n - 8))
    } else if let (Some(head), Some(tail)) = (word.first_chunk(), word.last_chunk()) {
        u128::from(u32::from_le_bytes(*head)) | u128::from(u32::from_le_bytes(*tail)) << (8 * (n - 4))
    } else {
        let at = |i: usize| u128::from(word[i]) << (8 * i);
        at(0) | at(n / 2) | at(n - 1)
    };
    bytes | (n as u128) << 120
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// Ids that tell the word.
    fn ids_of(word: &[u8], n: usize) -> Vec<u32> {
        (0..n)
            .map(|i| word.iter().fold(i as u32, |id, byte| id.wrapping_mul(31).wrapping_add(1 + u32::from(*byte))))
            .collect()
    }

    #[test]
    fn every_word_has_its_own_key() {
        let mut keys = std::collections::HashSet::new();
        for n in 1..=KEY_BYTES {
            for i in 0..n {
                for byte in [0, 1, b'a', 0xff] {
                    let mut word = vec![b'x'; n];
                    word[i] = byte;
                    assert!(keys.insert(key_of(&word)), "{word:?}");
                    let mut spelled = [0; 16];
                    spelled[..n].copy_from_slice(&word);
                    spelled[15] = n as u8;
                    assert_eq!(key_of(&word).to_le_bytes(), spelled);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_word_is_what_it_was_and_encoded_once_while_it_is_known(
            words in proptest::collection::vec((proptest::collection::vec(97_u8..100, 0..24), 0_usize..6), 1..60),
        ) {
            let mut cache = Words::new();
            for (word, _) in words.iter().chain(&words) {
                let n = word.len() % 6;
                let mut ids = vec![7];
                cache.append(word, &mut ids, |ids| { ids.extend(ids_of(word, n)); Ok::<(), ()>(()) }).unwrap();
                prop_assert_eq!(ids[0], 7);
                prop_assert_eq!(&ids[1..], ids_of(word, n));
                ids.clear();
                cache.append(word, &mut ids, |_| Err(())).unwrap();
                prop_assert_eq!(&ids, &ids_of(word, n));
            }
        }
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let mut cache = Words::new();
        for word in [&b"short"[..], b"a word of more than fifteen bytes"] {
            let mut ids = Vec::new();
            assert_eq!(cache.append(word, &mut ids, |_| Err("no")), Err("no"));
            cache
                .append(word, &mut ids, |ids| {
                    ids.push(3);
                    Ok::<(), ()>(())
                })
                .unwrap();
            assert_eq!(ids, [3]);
        }
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let mut cache = Words::new();
        for i in 0..40_000_u32 {
            let word = format!("{i:0>40}");
            cache
                .append(word.as_bytes(), &mut Vec::new(), |ids| {
                    ids.push(i);
                    Ok::<(), ()>(())
                })
                .unwrap();
            let huge = format!("{i:0>400}");
            cache
                .append(huge.as_bytes(), &mut Vec::new(), |ids| {
                    ids.push(i);
                    Ok::<(), ()>(())
                })
                .unwrap();
        }
        assert!(cache.long.len() <= LONG_WORDS);
        assert!(cache.long.keys().all(|word| word.len() <= LONG_WORD_BYTES));
        assert_eq!(cache.short.len(), BUCKETS);
    }
}
