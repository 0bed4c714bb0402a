//! Making terms, in a normal form that keeps derivatives few: what is equal by an easy law is one term.

use super::class;
use super::{ANY_CLASS, Span, Term, TermId, Terms, UNBOUNDED};

/// Concatenations of at most so many parts are taken apart when something is put behind them; longer ones are kept whole, so
/// that putting something behind a long text costs one step.
const TAKEN_APART: usize = 16;

const MEMBERS: Span = Span { start: 0, len: 0 };

/// `body{min,max}`, as which a term may be seen.
#[derive(Clone, Copy)]
pub(super) struct Count {
    pub(super) body: TermId,
    pub(super) min: u32,
    pub(super) max: u32,
    is_repeat: bool,
}

/// An alternation in the making.
#[derive(Default)]
struct Sum {
    /// What all members begin with, put before the alternation in the end.
    prefix: Vec<TermId>,
    /// Members that begin alike: what with, and what follows.
    groups: Vec<(TermId, Vec<TermId>)>,
    /// The other members.
    done: Vec<TermId>,
    is_changed: bool,
}

impl Terms {
    /// The texts of one code point out of some inclusive ranges, in any order. Surrogates are none.
    pub fn class(&mut self, ranges: &[(u32, u32)]) -> TermId {
        let ranges = class::normal(ranges);
        self.work += ranges.len() as u64 / 4;
        match ranges.is_empty() {
            true => Self::EMPTY,
            false => {
                let class = self.classes.intern(&ranges);
                self.intern(Term::Class(class), &[])
            }
        }
    }

    /// The ranges of a class.
    pub fn ranges(&self, t: TermId) -> Option<&[(u32, u32)]> {
        match self.term(t) {
            Term::Class(class) => Some(self.classes.get(class)),
            _ => None,
        }
    }

    /// One text.
    pub fn literal(&mut self, text: &str) -> TermId {
        text.chars().rev().fold(Self::EPSILON, |rest, c| {
            let c = self.class(&[(c.into(), c.into())]);
            self.prepend(c, rest)
        })
    }

    /// A text of `a`, then one of `b`.
    pub fn concat(&mut self, a: TermId, b: TermId) -> TermId {
        if a == Self::EMPTY || b == Self::EMPTY {
            return Self::EMPTY;
        }
        let mut parts = [Self::EPSILON; TAKEN_APART];
        let mut n = 0;
        let mut last = a;
        if self.facts[a as usize].parts as usize <= TAKEN_APART {
            while let Term::Concat(part, rest) = self.term(last) {
                parts[n] = part;
                n += 1;
                last = rest;
            }
        }
        let last = self.prepend(last, b);
        parts[..n].iter().rev().fold(last, |rest, &part| self.prepend(part, rest))
    }

    /// `head`, which is not taken apart, then `tail`.
    fn prepend(&mut self, mut head: TermId, mut tail: TermId) -> TermId {
        loop {
            self.work += 1;
            match (head, tail) {
                (Self::EMPTY, _) | (_, Self::EMPTY) => return Self::EMPTY,
                (Self::EPSILON, t) | (t, Self::EPSILON) => return t,
                (Self::ANY, t) | (t, Self::ANY) if self.is_nullable(t) => return Self::ANY,
                _ => {}
            }
            let (next, rest) = self.split(tail);
            let (a, b) = (self.count(head), self.count(next));
            let (min, max) = (a.min.checked_add(b.min), add(a.max, b.max));
            match (min, max) {
                // x x* is x+, x{1,2} x{3} is x{4,5}; but x x is left, as most texts have double letters.
                (Some(min), Some(max)) if a.body == b.body && (a.is_repeat || b.is_repeat) && min < UNBOUNDED => {
                    head = self.repeat(a.body, min, max);
                    tail = rest;
                }
                _ => return self.intern(Term::Concat(head, tail), &[]),
            }
        }
    }

    /// A term's first part and the rest.
    pub(super) fn split(&self, t: TermId) -> (TermId, TermId) {
        match self.term(t) {
            Term::Concat(head, tail) => (head, tail),
            _ => (t, Self::EPSILON),
        }
    }

    /// A term as a counter. Every term is `t{1,1}`.
    pub(super) fn count(&self, t: TermId) -> Count {
        match self.term(t) {
            Term::Repeat(body, min, max) => Count { body, min, max, is_repeat: true },
            Term::Alternation(span) => match *self.members(span) {
                [Self::EPSILON, body] => Count { body, min: 0, max: 1, is_repeat: true },
                _ => Count { body: t, min: 1, max: 1, is_repeat: false },
            },
            _ => Count { body: t, min: 1, max: 1, is_repeat: false },
        }
    }

    /// `min` to `max` texts of `t`, one behind the other: one counter, whatever the bounds. `max` may be `UNBOUNDED`.
    pub fn repeat(&mut self, t: TermId, min: u32, max: u32) -> TermId {
        self.work += 1;
        if min > max {
            return Self::EMPTY;
        }
        if max == 0 {
            return Self::EPSILON;
        }
        let min = if self.is_nullable(t) { 0 } else { min };
        match self.term(t) {
            Term::Empty if min == 0 => return Self::EPSILON,
            Term::Empty | Term::Epsilon => return t,
            _ if t == Self::ANY => return t,
            Term::Alternation(span) if self.members(span)[0] == Self::EPSILON => {
                let rest = self.members(span)[1..].to_vec();
                let rest = self.alternation(rest);
                return self.repeat_plain(rest, 0, max);
            }
            _ => {}
        }
        self.repeat_plain(t, min, max)
    }

    /// `t` is neither empty nor the empty text nor an alternation with it; `max` is not 0.
    fn repeat_plain(&mut self, t: TermId, min: u32, max: u32) -> TermId {
        match (min, max) {
            (1, 1) => return t,
            (0, 1) if self.is_nullable(t) => return t,
            (0, 1) => return self.alternation(vec![Self::EPSILON, t]),
            _ => {}
        }
        if let Term::Repeat(body, low, high) = self.term(t) {
            // k times low..=high, for k from min to max, leaves no gap if it leaves none after the least k.
            let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
            let no_gap = match (min, high) {
                (0, _) => low <= 1,
                (_, UNBOUNDED) => true,
                _ => product(min, low) + u64::from(low) <= product(min, high) + 1,
            };
            let least = product(min, low);
            let most = if max == UNBOUNDED || high == UNBOUNDED { u64::from(UNBOUNDED) } else { product(max, high) };
            let fits =
                least < u64::from(UNBOUNDED) && (most < u64::from(UNBOUNDED) || max == UNBOUNDED || high == UNBOUNDED);
            if fits && (no_gap || min == max) {
                // Not a repetition again: its body is not one, or they would have been merged when it was made.
                return self.intern_repeat(body, least as u32, most as u32);
            }
        }
        self.intern_repeat(t, min, max)
    }

    fn intern_repeat(&mut self, t: TermId, min: u32, max: u32) -> TermId {
        match (min, max) {
            (1, 1) => t,
            (0, 1) if !self.is_nullable(t) => self.alternation(vec![Self::EPSILON, t]),
            _ => self.intern(Term::Repeat(t, min, max), &[]),
        }
    }

    /// The texts of any of them.
    pub fn alternation(&mut self, members: Vec<TermId>) -> TermId {
        let mut sums = vec![];
        let mut value = self.begin_sum(Sum::default(), members);
        loop {
            match value {
                Err(sum) => {
                    sums.push(sum);
                }
                Ok(term) => match sums.last_mut() {
                    None => return term,
                    Some(Sum { groups, done, .. }) => {
                        if let Some((head, _)) = groups.pop() {
                            done.push(term);
                            let member = done.len() - 1;
                            let term = self.concat(head, term);
                            if let Some(sum) = sums.last_mut() {
                                sum.done[member] = term;
                            }
                        }
                    }
                },
            }
            let Some(sum) = sums.last_mut() else { return Self::EMPTY };
            value = match sum.groups.last_mut() {
                Some((_, tails)) => {
                    let tails = std::mem::take(tails);
                    self.begin_sum(Sum::default(), tails)
                }
                None => match sums.pop() {
                    Some(sum) => self.end_sum(sum),
                    None => return Self::EMPTY,
                },
            };
        }
    }

    /// The alternation, if its members need no alternations of their own.
    fn begin_sum(&mut self, mut sum: Sum, members: Vec<TermId>) -> Result<TermId, Sum> {
        let mut members = members;
        let found = loop {
            members = match self.flat_sum(members) {
                Ok(term) => break term,
                Err(members) => members,
            };
            let mut pairs: Vec<(TermId, TermId)> = members.iter().map(|&t| self.split(t)).collect();
            pairs.sort_unstable();
            if pairs[0].0 == pairs[pairs.len() - 1].0 {
                sum.prefix.push(pairs[0].0);
                members = pairs.into_iter().map(|pair| pair.1).collect();
                continue;
            }
            for group in pairs.chunk_by(|a, b| a.0 == b.0) {
                match *group {
                    [(head, tail)] => sum.done.push(match tail {
                        Self::EPSILON => head,
                        // Interned before: split took it apart.
                        _ => self.intern(Term::Concat(head, tail), &[]),
                    }),
                    _ => sum.groups.push((group[0].0, group.iter().map(|pair| pair.1).collect())),
                }
            }
            sum.is_changed = !sum.groups.is_empty();
            if sum.is_changed {
                return Err(sum);
            }
            return self.end_sum(sum);
        };
        Ok(self.with_prefix(&sum.prefix, found))
    }

    /// The alternation, when no members begin alike any more, unless putting them together made some that do.
    fn end_sum(&mut self, mut sum: Sum) -> Result<TermId, Sum> {
        let mut members = std::mem::take(&mut sum.done);
        let merged = self.merge_heads(&mut members);
        if merged || sum.is_changed {
            sum.is_changed = false;
            return self.begin_sum(sum, members);
        }
        members.sort_unstable();
        let term = self.intern(Term::Alternation(MEMBERS), &members);
        Ok(self.with_prefix(&sum.prefix, term))
    }

    fn with_prefix(&mut self, prefix: &[TermId], term: TermId) -> TermId {
        prefix.iter().rev().fold(term, |rest, &head| self.prepend(head, rest))
    }

    /// Ascending members, none of them an alternation; or the term that all of it comes to.
    fn flat_sum(&mut self, members: Vec<TermId>) -> Result<TermId, Vec<TermId>> {
        let is_flat = |t: &TermId| *t != Self::EMPTY && !matches!(self.term(*t), Term::Alternation(_));
        let mut flat = match members.iter().all(is_flat) {
            true => members,
            false => {
                let mut flat = Vec::with_capacity(members.len());
                for t in members {
                    match self.term(t) {
                        Term::Empty => {}
                        Term::Alternation(span) => flat.extend_from_slice(self.members(span)),
                        _ => flat.push(t),
                    }
                }
                flat
            }
        };
        self.work += flat.len() as u64;
        flat.sort_unstable();
        flat.dedup();
        let complemented = |&t: &TermId| match self.term(t) {
            Term::Complement(inner) => flat.binary_search(&inner).is_ok(),
            _ => false,
        };
        if flat.binary_search(&Self::ANY).is_ok() || flat.iter().any(complemented) {
            return Ok(Self::ANY);
        }
        if flat.first() == Some(&Self::EPSILON) && flat[1..].iter().any(|&t| self.is_nullable(t)) {
            flat.remove(0);
        }
        match flat[..] {
            [] => Ok(Self::EMPTY),
            [only] => Ok(only),
            _ => Err(flat),
        }
    }

    /// Makes one of members that end alike and whose heads join: classes, and counters of one body without a gap. Whether
    /// there were any.
    fn merge_heads(&mut self, members: &mut Vec<TermId>) -> bool {
        let mut pairs: Vec<(TermId, TermId)> = members
            .iter()
            .map(|&t| {
                let (head, tail) = self.split(t);
                (tail, head)
            })
            .collect();
        pairs.sort_unstable();
        if pairs.windows(2).all(|pair| pair[0].0 != pair[1].0) {
            return false;
        }
        let before = members.len();
        members.clear();
        for group in pairs.chunk_by(|a, b| a.0 == b.0) {
            let tail = group[0].0;
            let heads: Vec<TermId> = group.iter().map(|pair| pair.1).collect();
            for head in self.join_heads(heads) {
                members.push(if tail == Self::EPSILON { head } else { self.prepend(head, tail) });
            }
        }
        members.len() < before
    }

    fn join_heads(&mut self, heads: Vec<TermId>) -> Vec<TermId> {
        if heads.len() < 2 {
            return heads;
        }
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        let mut classes = Vec::new();
        let mut counts: Vec<(TermId, u32, u32, bool)> = Vec::new();
        let mut joined = Vec::with_capacity(heads.len());
        for head in heads {
            match self.term(head) {
                Term::Class(class) => {
                    ranges.extend_from_slice(self.classes.get(class));
                    classes.push(head);
                }
                Term::Repeat(body, min, max) => counts.push((body, min, max, true)),
                _ => joined.push(head),
            }
        }
        if counts.is_empty() {
            match classes[..] {
                [] => {}
                [only] => joined.push(only),
                _ => joined.push(self.class(&ranges)),
            }
            return joined;
        }
        // A class may be once what another member has many times; then it joins that, and no other class.
        let bodies: Vec<TermId> = counts.iter().map(|count| count.0).collect();
        let is_body = |t: &TermId| bodies.contains(t);
        let (single, rest): (Vec<_>, Vec<_>) = joined.into_iter().chain(classes).partition(is_body);
        counts.extend(single.into_iter().map(|t| (t, 1, 1, false)));
        let (classes, mut joined): (Vec<_>, Vec<_>) = rest.into_iter().partition(|&t| self.ranges(t).is_some());
        match classes[..] {
            [] => {}
            [only] => joined.push(only),
            _ => {
                let ranges: Vec<_> = classes.iter().flat_map(|&t| self.ranges(t).unwrap_or(&[])).copied().collect();
                joined.push(self.class(&ranges));
            }
        }
        let mut epsilon = joined.iter().position(|&t| t == Self::EPSILON);
        counts.sort_unstable();
        let mut counts = counts.into_iter().peekable();
        while let Some((body, mut min, mut max, _)) = counts.next() {
            while let Some(next) = counts.next_if(|next| next.0 == body && next.1 <= max.saturating_add(1)) {
                max = max.max(next.2);
            }
            if let Some(place) = epsilon.filter(|_| min == 1 && max > 1) {
                joined.swap_remove(place);
                epsilon = None;
                min = 0;
            }
            joined.push(self.intern_repeat(body, min, max));
        }
        joined
    }

    /// The texts of all of them.
    pub fn intersection(&mut self, members: Vec<TermId>) -> TermId {
        let mut members = members;
        loop {
            let mut flat = Vec::with_capacity(members.len());
            for t in members {
                match self.term(t) {
                    Term::Empty => return t,
                    Term::Intersection(span) => flat.extend_from_slice(self.members(span)),
                    _ if t == Self::ANY => {}
                    _ => flat.push(t),
                }
            }
            self.work += flat.len() as u64;
            flat.sort_unstable();
            flat.dedup();
            match flat[..] {
                [] => return Self::ANY,
                [only] => return only,
                [Self::EPSILON, ..] => {
                    let holds = flat.iter().all(|&t| self.is_nullable(t));
                    return if holds { Self::EPSILON } else { Self::EMPTY };
                }
                _ => {}
            }
            if self.contradicts(&flat) {
                return Self::EMPTY;
            }
            let before = flat.len();
            self.join_complements(&mut flat);
            self.join_counted_classes(&mut flat);
            if flat.len() == before {
                return self.intern(Term::Intersection(MEMBERS), &flat);
            }
            members = flat;
        }
    }

    /// Whether one member is, or is among, what another excludes.
    fn contradicts(&self, members: &[TermId]) -> bool {
        let has = |t: &TermId| members.binary_search(t).is_ok();
        members.iter().any(|&t| match self.term(t) {
            Term::Complement(inner) => match self.term(inner) {
                Term::Alternation(span) => self.members(span).iter().any(has),
                _ => has(&inner),
            },
            _ => false,
        })
    }

    /// Not a and not b is not (a or b).
    fn join_complements(&mut self, members: &mut Vec<TermId>) {
        let inner = |&t: &TermId| match self.term(t) {
            Term::Complement(inner) => Some(inner),
            _ => None,
        };
        let excluded: Vec<TermId> = members.iter().filter_map(inner).collect();
        if excluded.len() > 1 {
            members.retain(|t| inner(t).is_none());
            let excluded = self.alternation(excluded);
            let rest = self.complement(excluded);
            members.push(rest);
        }
    }

    /// Counters of single code points meet in one counter of the class they share.
    fn join_counted_classes(&mut self, members: &mut Vec<TermId>) {
        let counted = |&t: &TermId| {
            let count = self.count(t);
            self.ranges(count.body).is_some().then_some(count)
        };
        let counts: Vec<Count> = members.iter().filter_map(counted).collect();
        if let [first, rest @ ..] = &counts[..]
            && !rest.is_empty()
        {
            members.retain(|t| counted(t).is_none());
            let mut ranges = self.ranges(first.body).unwrap_or(&[]).to_vec();
            let (mut min, mut max) = (first.min, first.max);
            for count in rest {
                ranges = class::intersection(&ranges, self.ranges(count.body).unwrap_or(&[]));
                (min, max) = (min.max(count.min), max.min(count.max));
            }
            let body = self.class(&ranges);
            let joined = self.repeat(body, min, max);
            members.push(joined);
        }
    }

    /// Every text that is not one of `t`'s.
    pub fn complement(&mut self, t: TermId) -> TermId {
        let lengths = match self.term(t) {
            Term::Empty => return Self::ANY,
            Term::Complement(inner) => return inner,
            Term::Epsilon => Some((0, 0)),
            _ => {
                let count = self.count(t);
                (count.body == ANY_CLASS).then_some((count.min, count.max))
            }
        };
        match lengths {
            Some((min, max)) => {
                let shorter = match min.checked_sub(1) {
                    Some(below) => self.repeat(ANY_CLASS, 0, below),
                    None => Self::EMPTY,
                };
                let longer = match max.checked_add(1) {
                    Some(above) if above < UNBOUNDED => self.repeat(ANY_CLASS, above, UNBOUNDED),
                    _ => Self::EMPTY,
                };
                self.alternation(vec![shorter, longer])
            }
            None => self.intern(Term::Complement(t), &[]),
        }
    }
}

/// The sum of two upper bounds, if it can be told.
fn add(a: u32, b: u32) -> Option<u32> {
    match (a, b) {
        (UNBOUNDED, _) | (_, UNBOUNDED) => Some(UNBOUNDED),
        _ => a.checked_add(b).filter(|&sum| sum < UNBOUNDED),
    }
}
