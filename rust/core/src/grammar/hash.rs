//! Hashing of what requests shape: a small seeded hasher, a table of ids, and fingerprints. Nothing here knows what it
//! hashes.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::OnceLock;

/// A map whose keys a request may choose.
pub type Map<K, V> = HashMap<K, V, Seeded>;

/// A set whose members a request may choose.
pub type Set<K> = HashSet<K, Seeded>;

/// Random keys, the same for the whole process: caches are shared by what was compiled at different times.
fn keys() -> &'static [RandomState; 2] {
    static KEYS: OnceLock<[RandomState; 2]> = OnceLock::new();
    KEYS.get_or_init(|| [RandomState::new(), RandomState::new()])
}

/// Makes hashers of one multiplication a word.
#[derive(Debug, Clone, Copy)]
pub struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        Self(*SEED.get_or_init(|| keys()[0].hash_one("table")))
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folding;

    #[inline]
    fn build_hasher(&self) -> Folding {
        Folding(self.0)
    }
}

/// Takes words in by folded multiplication.
#[derive(Debug, Clone, Copy)]
pub struct Folding(u64);

impl Folding {
    #[inline]
    fn fold(&mut self, word: u64) {
        // 2^64 divided by the golden ratio: odd, and without a pattern in its bits.
        let product = u128::from(self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = (product as u64).rotate_left(23) ^ (product >> 64) as u64;
    }
}

impl Hasher for Folding {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        }
        self.fold(bytes.len() as u64);
    }

    #[inline]
    fn write_u8(&mut self, word: u8) {
        self.fold(u64::from(word));
    }

    #[inline]
    fn write_u16(&mut self, word: u16) {
        self.fold(u64::from(word));
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.fold(u64::from(word));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }

    #[inline]
    fn write_u128(&mut self, word: u128) {
        self.fold(word as u64);
        self.fold((word >> 64) as u64);
    }

    #[inline]
    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }
}

/// 128 bits that stand for a value, the same in every arena of this process. Nobody who cannot read the process's memory
/// can aim at two values with the same.
pub fn fingerprint(value: &impl Hash) -> u128 {
    let [low, high] = keys();
    u128::from(low.hash_one(value)) | u128::from(high.hash_one(value)) << 64
}

/// Which id stands for a value that lies elsewhere, in an arena: eleven to twenty-two bytes an id.
#[derive(Debug, Clone, Default)]
pub struct IdTable {
    /// Half of a value's hash, so that its arena is looked at for the right value alone, and its id.
    slots: Vec<(u32, u32)>,
    len: usize,
}

const FREE: (u32, u32) = (0, u32::MAX);

impl IdTable {
    /// The id of a value with this hash, of which `is_it` says whether it is the one.
    #[inline]
    pub fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots[slot] {
                FREE => return None,
                (half, id) if half == hash as u32 && is_it(id) => return Some(id),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// Adds an id that is not there, of a value with the hash that `hash_of` gives.
    pub fn insert(&mut self, id: u32, hash_of: impl FnOnce(u32) -> u64) {
        if 4 * (self.len + 1) > 3 * self.slots.len() {
            let larger = (2 * self.slots.len()).max(16);
            for slot in std::mem::replace(&mut self.slots, vec![FREE; larger]) {
                if slot != FREE {
                    self.place(slot);
                }
            }
        }
        self.place((hash_of(id) as u32, id));
        self.len += 1;
    }

    fn place(&mut self, value: (u32, u32)) {
        let mask = self.slots.len() - 1;
        let mut slot = value.0 as usize & mask;
        while self.slots[slot] != FREE {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = value;
    }

    /// Forgets all ids.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<(u32, u32)>()
    }
}

/// Bytes a map holds, near enough for a budget.
pub fn map_bytes<K, V>(map: &Map<K, V>) -> usize {
    // One byte of control beside each bucket; a table is at most 7/8 full and a power of two.
    map.capacity() * 8 / 7 * (size_of::<(K, V)>() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_finds_what_was_put_in() {
        let values: Vec<u64> = (0..5000u64).map(|i| i * i).collect();
        let hash = |i: u32| Seeded::default().hash_one(values[i as usize]);
        let mut table = IdTable::default();
        assert_eq!(table.find(7, |_| true), None);
        for id in 0..5000 {
            assert_eq!(table.find(hash(id), |other| other == id), None);
            table.insert(id, hash);
        }
        assert!(
            (0..5000).all(|id| table.find(hash(id), |other| values[other as usize] == values[id as usize]) == Some(id))
        );
        table.clear();
        assert_eq!(table.find(hash(3), |_| true), None);
    }

    #[test]
    fn hashes_of_neighbours_differ_in_their_low_bits() {
        let hashes: Set<u64> =
            (0..4096u64 << 20).step_by(1 << 20).map(|i| Seeded::default().hash_one(i) & 0xFFFF).collect();
        assert!(hashes.len() > 3700, "{}", hashes.len());
        assert_ne!(fingerprint(&1u32), fingerprint(&2u32));
        assert_eq!(fingerprint(&"a"), fingerprint(&"a"));
    }
}
