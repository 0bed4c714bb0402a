//! Classes of code points that a set of terminals tells apart, so that a row of transitions has an entry for each class
//! and not for each code point.

use std::hash::BuildHasher;

use crate::error::Result;
use crate::grammar::hash::{IdTable, Map, Seeded, fingerprint};
use crate::grammar::signature::{self, Signature};
use crate::grammar::term::{Leading, Terms};
use crate::grammar::terminal::{Member, Terminal};
use crate::grammar::trie::Tries;
use crate::limits::Fuel;

/// More intervals than these beyond ASCII are looked up by page.
const FEW: usize = 8;

/// Code points of a page.
const PAGE: u32 = 256;

#[derive(Debug)]
struct Partition {
    /// What it was made of: equal keys, equal partitions.
    key: Box<[u32]>,
    ascii: [u8; 128],
    /// Where an interval begins beyond ASCII, ascending, and its class.
    wide: Box<[(u32, u32)]>,
    pages: Pages,
    /// Of each class its least code point, and the classes of signatures that it has code points of.
    classes: Box<[(u32, Signature)]>,
}

/// The class of a code point in two steps; empty if there are few intervals.
#[derive(Debug, Default)]
struct Pages {
    /// Of each page the class of all its code points, or `MIXED` and where its classes stand in `mixed`.
    pages: Box<[u32]>,
    mixed: Box<[u32]>,
}

const MIXED: u32 = 1 << 31;

/// An arena of partitions.
#[derive(Debug, Default)]
pub struct Partitions {
    partitions: Vec<Partition>,
    ids: IdTable,
    hasher: Seeded,
    bytes: usize,
}

impl Partitions {
    /// The partition of some members.
    pub fn of(&mut self, members: &[Member], terms: &Terms, tries: &Tries, fuel: &mut Fuel) -> Result<u32> {
        let mut leading = Leading::default();
        let mut singles: Vec<u32> = Vec::new();
        for (terminal, _) in members {
            match *terminal {
                Terminal::Pattern { term, .. } => terms.leading(term, &mut leading, fuel)?,
                Terminal::Words(trie) => singles.extend(tries.edges(trie).iter().map(|edge| edge.0)),
            }
        }
        singles.sort_unstable();
        singles.dedup();
        fuel.spend(singles.len() as u64 / 8)?;
        let mut key = vec![leading.classes.len() as u32, singles.len() as u32];
        key.extend(leading.classes.iter().chain(&singles).chain(&leading.points));
        let hash = self.hasher.hash_one(key.as_slice());
        if let Some(id) = self.ids.find(hash, |id| *self.partitions[id as usize].key == *key) {
            return Ok(id);
        }

        // Points at which membership changes, each with what stands for the class that it is of.
        let mut changes: Vec<(u32, u128)> = Vec::new();
        for &class in &leading.classes {
            let mark = fingerprint(&(0u8, class));
            for &(low, high) in terms.leading_class(class) {
                changes.extend([(low, mark), (high + 1, mark)]);
            }
        }
        for &code_point in &singles {
            let mark = fingerprint(&(1u8, code_point));
            changes.extend([(code_point, mark), (code_point + 1, mark)]);
        }
        changes.extend(leading.points.iter().map(|&point| (point, fingerprint(&(2u8, point)))));
        for change in &mut changes {
            // Nothing is a surrogate, so what ends before them and begins behind them does not change.
            if (0xD800..0xE000).contains(&change.0) {
                change.0 = 0xE000;
            }
        }
        changes.sort_unstable();
        fuel.spend(changes.len() as u64)?;
        let partition = Partition::new(key.into(), &changes);
        let id = self.partitions.len() as u32;
        self.bytes += partition.bytes();
        self.partitions.push(partition);
        self.register(id);
        Ok(id)
    }

    /// Of each class its least code point, and the classes of signatures that it has code points of.
    #[inline]
    pub fn classes(&self, partition: u32) -> &[(u32, Signature)] {
        &self.partitions[partition as usize].classes
    }

    /// The class of a code point.
    #[inline]
    pub fn class(&self, partition: u32, code_point: u32) -> u32 {
        let Some(partition) = self.partitions.get(partition as usize) else { return 0 };
        match partition.ascii.get(code_point as usize) {
            Some(&class) => class.into(),
            None => partition.wide_class(code_point),
        }
    }

    /// Where the next interval of a class begins.
    pub fn boundary_after(&self, partition: u32, code_point: u32) -> Option<u32> {
        let partition = &self.partitions[partition as usize];
        let at = code_point as usize;
        if let Some(class) = partition.ascii.get(at) {
            let other = partition.ascii[at..].iter().position(|next| next != class);
            return Some(other.map_or(0x80, |n| code_point + n as u32));
        }
        partition.wide.get(partition.wide.partition_point(|interval| interval.0 <= code_point)).map(|next| next.0)
    }

    /// Forgets every partition but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.partitions.truncate(len);
        self.bytes = self.partitions.iter().map(Partition::bytes).sum();
        self.ids.clear();
        (0..self.partitions.len() as u32).for_each(|id| self.register(id));
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.partitions.capacity() * size_of::<Partition>() + self.ids.bytes() + self.bytes
    }

    fn register(&mut self, id: u32) {
        let Self { ids, partitions, hasher, .. } = self;
        ids.insert(id, |id| hasher.hash_one(&*partitions[id as usize].key));
    }
}

impl Partition {
    fn new(key: Box<[u32]>, changes: &[(u32, u128)]) -> Self {
        let mut numbers: Map<u128, u32> = Map::default();
        let mut classes: Vec<(u32, Signature)> = Vec::new();
        let mut intervals: Vec<(u32, u32)> = Vec::new();
        let mut mark = 0;
        let mut low = 0;
        let mut left = changes.iter().peekable();
        while low <= 0x10_FFFF {
            while let Some(change) = left.next_if(|change| change.0 <= low) {
                mark ^= change.1;
            }
            let next = left.peek().map_or(0x11_0000, |change| change.0.min(0x11_0000));
            let class = *numbers.entry(mark).or_insert(classes.len() as u32);
            if class as usize == classes.len() {
                classes.push((low, 0));
            }
            if let Some(entry) = classes.get_mut(class as usize) {
                entry.1 |= signature::of_range(low, next - 1);
            }
            if intervals.last().is_none_or(|last| last.1 != class) {
                intervals.push((low, class));
            }
            low = next;
        }
        let class_at = |code_point: u32| {
            let after = intervals.partition_point(|interval| interval.0 <= code_point);
            after.checked_sub(1).and_then(|i| intervals.get(i)).map_or(0, |interval| interval.1)
        };
        // The classes of ASCII come first, so that each fits.
        let ascii = std::array::from_fn(|code_point| class_at(code_point as u32) as u8);
        let first_wide = class_at(0x80);
        let wide: Vec<(u32, u32)> =
            std::iter::once((0x80, first_wide)).chain(intervals.iter().copied().filter(|i| i.0 > 0x80)).collect();
        let pages = if wide.len() > FEW { Pages::new(&wide) } else { Pages::default() };
        Self { key, ascii, wide: wide.into(), pages, classes: classes.into() }
    }

    #[inline]
    fn wide_class(&self, code_point: u32) -> u32 {
        match self.pages.pages.get((code_point / PAGE) as usize) {
            Some(&page) if page & MIXED == 0 => page,
            Some(&page) => {
                let at = (page & !MIXED) + code_point % PAGE;
                self.pages.mixed.get(at as usize).copied().unwrap_or(0)
            }
            None => {
                let after = self.wide.iter().take_while(|interval| interval.0 <= code_point).count();
                after.checked_sub(1).and_then(|i| self.wide.get(i)).map_or(0, |interval| interval.1)
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.key)
            + size_of_val(&*self.wide)
            + size_of_val(&*self.pages.pages)
            + size_of_val(&*self.pages.mixed)
            + size_of_val(&*self.classes)
    }
}

impl Pages {
    fn new(wide: &[(u32, u32)]) -> Self {
        let mut pages = Vec::with_capacity(0x11_0000 / PAGE as usize);
        let mut mixed: Vec<u32> = Vec::new();
        let mut at = 0;
        for page in 0..0x11_0000 / PAGE {
            let (first, last) = (page * PAGE, page * PAGE + PAGE - 1);
            while wide.get(at + 1).is_some_and(|next| next.0 <= first) {
                at += 1;
            }
            let class = wide.get(at).map_or(0, |interval| interval.1);
            if wide.get(at + 1).is_none_or(|next| next.0 > last) {
                pages.push(class);
                continue;
            }
            pages.push(MIXED | mixed.len() as u32);
            let mut i = at;
            for code_point in first..=last {
                while wide.get(i + 1).is_some_and(|next| next.0 <= code_point) {
                    i += 1;
                }
                mixed.push(wide.get(i).map_or(0, |interval| interval.1));
            }
        }
        Self { pages: pages.into(), mixed: mixed.into() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::grammar::alternatives::Alternatives;
    use crate::grammar::term::UNBOUNDED;

    #[test]
    fn two_code_points_are_of_a_class_if_nothing_tells_them_apart() {
        let odd: Vec<(u32, u32)> = (0..40).map(|i| (0x3000 + 7 * i, 0x3000 + 7 * i + i % 5)).collect();
        let sets: [&[(u32, u32)]; 5] = [
            &[(97, 122)],
            &odd,
            &[(0x61, 0x3010), (0xE000, 0xFFFF)],
            &[(0, 9), (11, 0x10_FFFF)],
            &[(0x1_0000, 0x1_00FF)],
        ];
        let mut terms = Terms::new();
        let mut tries = Tries::new();
        let words = tries.of(&["a", "\u{3001}x", "\u{10ffff}"]);
        let mut members = vec![(Terminal::Words(words), Alternatives::one(0))];
        for set in sets {
            let term = terms.class(set);
            let term = terms.repeat(term, 0, 3);
            members.push((Terminal::Pattern { term, min: 0, max: UNBOUNDED }, Alternatives::one(1)));
        }
        let mut partitions = Partitions::default();
        let mut fuel = Fuel::new("grammar_step_fuel", 1 << 20);
        for members in [&members[..1], &members[2..3], &members[3..4], &members] {
            let partition = partitions.of(members, &terms, &tries, &mut fuel).unwrap();
            assert_eq!(partitions.of(members, &terms, &tries, &mut fuel), Ok(partition));
            let mut classes: Map<Vec<bool>, u32> = Map::default();
            let sample = (0..0x3200).chain(0xD700..0xD800).chain(0xE000..0x1_0200).chain(0x10_FF00..0x11_0000);
            let mut last = None;
            for code_point in sample {
                let of = |member: &Member| match member.0 {
                    Terminal::Words(trie) => tries.edges(trie).iter().map(|edge| edge.0 == code_point).collect(),
                    Terminal::Pattern { .. } => vec![],
                };
                let mut marks: Vec<bool> = members.iter().flat_map(of).collect();
                let holds = |set: &&[(u32, u32)]| set.iter().any(|&(low, high)| (low..=high).contains(&code_point));
                marks.extend(sets.iter().map(holds));
                let class = partitions.class(partition, code_point);
                assert!(partitions.classes(partition)[class as usize].0 <= code_point);
                if members.len() > 1 {
                    assert_eq!(*classes.entry(marks).or_insert(class), class, "{code_point:x}");
                }
                if let Some((before, class_before)) = last
                    && before + 1 == code_point
                    && class_before != class
                {
                    assert_eq!(partitions.boundary_after(partition, before), Some(code_point));
                }
                last = Some((code_point, class));
            }
            if members.len() > 1 {
                let distinct: std::collections::BTreeSet<u32> = classes.values().copied().collect();
                assert_eq!(distinct.len(), classes.len());
                assert_eq!(distinct.len(), partitions.classes(partition).len());
            }
        }
    }
}
