//! A set of the ways in which something may still be read, by number.

/// At most `grammar_alternatives` of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Alternatives([u64; WORDS]);

const WORDS: usize = 4;

impl Alternatives {
    /// None.
    pub const NONE: Self = Self([0; WORDS]);

    /// How many a set can tell apart.
    pub const CAPACITY: usize = 64 * WORDS;

    /// One. `index` is below `CAPACITY`; what is not is no set's member.
    #[inline]
    pub fn one(index: usize) -> Self {
        let mut words = [0; WORDS];
        if let Some(word) = words.get_mut(index / 64) {
            *word = 1 << (index % 64);
        }
        Self(words)
    }

    /// The first `n`.
    pub fn first(n: usize) -> Self {
        let word = |i: usize| match n.saturating_sub(64 * i) {
            0 => 0,
            n if n >= 64 => u64::MAX,
            n => (1 << n) - 1,
        };
        Self(std::array::from_fn(word))
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Whether this one is among them.
    #[inline]
    pub fn contains(self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Those in either.
    #[inline]
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    /// Those in both.
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    /// Their numbers, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(i, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(64 * i + bit)
            })
        })
    }
}

/// Each item once, ascending, for all the alternatives that it was there for.
pub fn merge<T: Ord>(items: &mut Vec<(T, Alternatives)>) {
    items.sort_unstable();
    items.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 = kept.1.or(next.1);
        }
        is_same
    });
}

impl FromIterator<usize> for Alternatives {
    fn from_iter<I: IntoIterator<Item = usize>>(indices: I) -> Self {
        indices.into_iter().map(Self::one).fold(Self::NONE, Self::or)
    }
}

impl std::fmt::Debug for Alternatives {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_what_was_put_in() {
        for indices in [vec![], vec![0], vec![63, 64], vec![0, 127, 128, 255], (0..256).collect()] {
            let set: Alternatives = indices.iter().copied().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), indices);
            assert!((0..300).all(|i| set.contains(i) == indices.contains(&i)));
            assert_eq!(set.is_empty(), indices.is_empty());
        }
        for n in [0, 1, 63, 64, 65, 255, 256] {
            assert_eq!(Alternatives::first(n).iter().count(), n);
        }
        assert_eq!(Alternatives::one(Alternatives::CAPACITY), Alternatives::NONE);
        let (a, b) = (Alternatives::first(70), [69, 70].into_iter().collect());
        assert_eq!(a.and(b), Alternatives::one(69));
        assert_eq!(a.or(b), Alternatives::first(71));
    }

    #[test]
    fn what_is_there_twice_is_there_for_both() {
        let one = Alternatives::one;
        let mut items = vec![('b', one(3)), ('a', one(1)), ('b', one(0)), ('a', one(1))];
        merge(&mut items);
        assert_eq!(items, [('a', one(1)), ('b', one(0).or(one(3)))]);
    }
}
