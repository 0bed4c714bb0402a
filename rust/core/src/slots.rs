//! Requests that come and go, each under a small number that may be given out again.

use crate::error::{Error, Result};

/// A slab: the slot of a removed request is the next to be given out.
#[derive(Debug)]
pub struct Slots<T> {
    entries: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Requests there are.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Take a request in.
    pub fn add(&mut self, entry: T) -> i64 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.entries[slot] = Some(entry);
        slot as i64
    }

    /// Let a request go.
    pub fn remove(&mut self, slot: i64) -> Result<T> {
        let index = self.index(slot)?;
        self.free.push(index);
        self.entries[index].take().ok_or(Error::Slot { slot, what: "is unknown" })
    }

    /// The request in a slot.
    pub fn get_mut(&mut self, slot: i64) -> Result<&mut T> {
        let index = self.index(slot)?;
        self.entries[index].as_mut().ok_or(Error::Slot { slot, what: "is unknown" })
    }

    /// The request in a slot.
    pub fn get(&self, slot: i64) -> Result<&T> {
        let index = self.index(slot)?;
        self.entries[index].as_ref().ok_or(Error::Slot { slot, what: "is unknown" })
    }

    /// The requests in these slots, in their order; each must be known and named once.
    pub fn many_mut(&mut self, slots: &[i64]) -> Result<Vec<&mut T>> {
        let mut entries: Vec<Option<&mut T>> = self.entries.iter_mut().map(Option::as_mut).collect();
        let take = |&slot: &i64| {
            let entry = usize::try_from(slot).ok().and_then(|index| entries.get_mut(index)?.take());
            entry.ok_or(Error::Slot { slot, what: "is unknown, or named twice" })
        };
        slots.iter().map(take).collect()
    }

    fn index(&self, slot: i64) -> Result<usize> {
        match usize::try_from(slot) {
            Ok(index) if self.entries.get(index).is_some_and(Option::is_some) => Ok(index),
            _ => Err(Error::Slot { slot, what: "is unknown" }),
        }
    }

    /// An error unless each slot is known and named once.
    pub fn check(&self, slots: &[i64]) -> Result<()> {
        let mut named = vec![false; self.entries.len()];
        for &slot in slots {
            let index = self.index(slot)?;
            if std::mem::replace(&mut named[index], true) {
                return Err(Error::Slot { slot, what: "is named twice" });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn slots_are_given_out_again_and_never_twice() {
        let mut slots = Slots::default();
        let (a, b) = (slots.add("a"), slots.add("b"));
        assert_eq!((slots.len(), *slots.get(b).unwrap()), (2, "b"));
        assert_eq!(slots.remove(a).unwrap(), "a");
        assert_eq!(slots.remove(a), Err(Error::Slot { slot: a, what: "is unknown" }));
        assert_eq!(slots.add("c"), a);
        assert!(slots.check(&[b, a]).is_ok());
        assert_eq!(slots.check(&[a, b, a]), Err(Error::Slot { slot: a, what: "is named twice" }));
        for unknown in [-1, 2, i64::MAX] {
            assert_eq!(slots.check(&[unknown]), Err(Error::Slot { slot: unknown, what: "is unknown" }));
        }
    }
}
