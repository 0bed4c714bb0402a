//! Sets of code points, as ranges, and the sets of points where ranges begin and end. Each is kept once.

use super::super::automaton::Edge;
use super::super::hash::{IdTable, Map, Seeded, map_bytes};
use super::Span;
use std::hash::BuildHasher;

const SURROGATES: (u32, u32) = (0xD800, 0xDFFF);
const LAST: u32 = char::MAX as u32;

/// Inclusive, ascending, with gaps between them, without surrogates.
pub(super) type Range = (u32, u32);

/// Ranges put in order: merged, cut to what is a code point, surrogates removed.
pub(super) fn normal(ranges: &[Range]) -> Vec<Range> {
    let mut sorted: Vec<Range> =
        ranges.iter().map(|&(low, high)| (low, high.min(LAST))).filter(|r| r.0 <= r.1).collect();
    sorted.sort_unstable();
    let mut merged: Vec<Range> = Vec::with_capacity(sorted.len() + 1);
    for (low, high) in sorted {
        match merged.last_mut() {
            Some(last) if low <= last.1 + 1 => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
    }
    let without = |&(low, high): &Range| {
        let (first, last) = SURROGATES;
        [(low, high.min(first - 1)), (low.max(last + 1), high)].into_iter().filter(|r| r.0 <= r.1)
    };
    merged.iter().flat_map(without).collect()
}

/// The code points in both. Both in order; so is the answer.
pub(super) fn intersection(a: &[Range], b: &[Range]) -> Vec<Range> {
    let (mut i, mut j) = (0, 0);
    let mut both = Vec::new();
    while let (Some(&(a_low, a_high)), Some(&(b_low, b_high))) = (a.get(i), b.get(j)) {
        let (low, high) = (a_low.max(b_low), a_high.min(b_high));
        if low <= high {
            both.push((low, high));
        }
        if a_high < b_high { i += 1 } else { j += 1 }
    }
    both
}

#[derive(Debug, Clone, Default)]
pub(super) struct Classes {
    ranges: Vec<Range>,
    spans: Vec<Span>,
    ids: IdTable,
    hasher: Seeded,
}

impl Classes {
    pub(super) fn get(&self, class: u32) -> &[Range] {
        &self.ranges[self.spans[class as usize].range()]
    }

    pub(super) fn contains(&self, class: u32, code_point: u32) -> bool {
        let ranges = self.get(class);
        let after = ranges.partition_point(|range| range.0 <= code_point);
        after > 0 && ranges[after - 1].1 >= code_point
    }

    /// Of ranges in order.
    pub(super) fn intern(&mut self, ranges: &[Range]) -> u32 {
        if let Some(id) = self.ids.find(self.hasher.hash_one(ranges), |id| self.get(id) == ranges) {
            return id;
        }
        let id = self.spans.len() as u32;
        self.spans.push(Span { start: self.ranges.len() as u32, len: ranges.len() as u32 });
        self.ranges.extend_from_slice(ranges);
        self.index(id);
        id
    }

    fn index(&mut self, id: u32) {
        let Self { ids, ranges, spans, hasher } = self;
        ids.insert(id, |id| hasher.hash_one(&ranges[spans[id as usize].range()]));
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.spans.truncate(len);
        self.ranges.truncate(self.spans.last().map_or(0, |span| span.range().end));
        self.ids.clear();
        (0..self.spans.len() as u32).for_each(|id| self.index(id));
    }

    pub(super) fn bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<Range>() + self.spans.capacity() * size_of::<Span>() + self.ids.bytes()
    }
}

/// No code point lies between the surrogates' neighbours, so what ends at one and begins at the other has no edge.
fn beside_surrogates(point: u32) -> u32 {
    if (SURROGATES.0..=SURROGATES.1).contains(&point) { SURROGATES.1 + 1 } else { point }
}

/// Sets of code points at which something may change.
#[derive(Debug, Clone, Default)]
pub(super) struct PointSets {
    points: Vec<u32>,
    spans: Vec<Span>,
    ids: IdTable,
    hasher: Seeded,
    unions: Map<(u32, u32), u32>,
}

impl PointSets {
    pub(super) const NONE: u32 = 0;

    pub(super) fn new() -> Self {
        let mut sets = Self::default();
        sets.intern(&[]);
        sets
    }

    pub(super) fn get(&self, set: u32) -> &[u32] {
        &self.points[self.spans[set as usize].range()]
    }

    /// Where the edges of an automaton's state begin and end.
    pub(super) fn of_edges(&mut self, edges: &[Edge]) -> u32 {
        let ends = edges.iter().flat_map(|edge| [edge.low, edge.high + 1]).map(beside_surrogates);
        let mut points: Vec<u32> = ends.filter(|point| (1..=LAST).contains(point)).collect();
        points.sort_unstable();
        points.dedup();
        self.intern(&points)
    }

    /// Where membership of ranges in order changes.
    pub(super) fn of_class(&mut self, ranges: &[Range]) -> u32 {
        let at = beside_surrogates;
        let mut points: Vec<u32> = Vec::with_capacity(2 * ranges.len());
        for &(low, high) in ranges {
            match points.last() {
                Some(&open) if open == low => {
                    points.pop();
                }
                _ if low == 0 => {}
                _ => points.push(at(low)),
            }
            if high < LAST {
                points.push(at(high + 1));
            }
        }
        self.intern(&points)
    }

    /// Of some sets. `work` grows by what had to be copied.
    pub(super) fn union(&mut self, sets: &[u32], work: &mut u64) -> u32 {
        let mut distinct = sets.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        match distinct[..] {
            [] => Self::NONE,
            [only] => only,
            [a, b] => match self.unions.get(&(a, b)) {
                Some(&union) => union,
                None => {
                    let union = self.merge(&distinct, work);
                    self.unions.insert((a, b), union);
                    union
                }
            },
            _ => self.merge(&distinct, work),
        }
    }

    fn merge(&mut self, sets: &[u32], work: &mut u64) -> u32 {
        let mut points: Vec<u32> = sets.iter().flat_map(|&set| self.get(set)).copied().collect();
        *work += points.len() as u64 / 4;
        points.sort_unstable();
        points.dedup();
        self.intern(&points)
    }

    fn intern(&mut self, points: &[u32]) -> u32 {
        if let Some(id) = self.ids.find(self.hasher.hash_one(points), |id| self.get(id) == points) {
            return id;
        }
        let id = self.spans.len() as u32;
        self.spans.push(Span { start: self.points.len() as u32, len: points.len() as u32 });
        self.points.extend_from_slice(points);
        self.index(id);
        id
    }

    fn index(&mut self, id: u32) {
        let Self { ids, points, spans, hasher, .. } = self;
        ids.insert(id, |id| hasher.hash_one(&points[spans[id as usize].range()]));
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.spans.truncate(len.max(1));
        self.points.truncate(self.spans.last().map_or(0, |span| span.range().end));
        self.ids.clear();
        (0..self.spans.len() as u32).for_each(|id| self.index(id));
        self.unions = Map::default();
    }

    pub(super) fn bytes(&self) -> usize {
        self.points.capacity() * size_of::<u32>()
            + self.spans.capacity() * size_of::<Span>()
            + self.ids.bytes()
            + map_bytes(&self.unions)
    }
}
