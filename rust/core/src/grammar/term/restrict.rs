//! A term's texts that begin or end as asked, without an intersection where the term's own parts show how.

use super::build::Count;
use super::{Term, TermId, Terms, UNBOUNDED};

impl Terms {
    /// The texts of `t` that begin in a class, with the empty text if `or_empty`.
    pub fn beginning(&mut self, t: TermId, class: TermId, or_empty: bool) -> TermId {
        let mut found = Vec::new();
        for member in self.alternatives(t) {
            let (head, tail) = self.split(member);
            let count = self.count(head);
            let begun = if member == Self::EPSILON {
                Self::EMPTY
            } else if let Some((first, others)) = self.one_of(count, class) {
                let rest = self.concat(others, tail);
                self.concat(first, rest)
            } else {
                let any = self.concat(class, Self::ANY);
                self.intersection(vec![member, any])
            };
            found.push(begun);
        }
        if or_empty && self.is_nullable(t) {
            found.push(Self::EPSILON);
        }
        self.alternation(found)
    }

    /// The texts of `t` that end in a class.
    pub fn ending(&mut self, t: TermId, class: TermId) -> TermId {
        let mut found = Vec::new();
        for member in self.alternatives(t) {
            let mut parts = Vec::new();
            let mut last = member;
            while let Term::Concat(head, tail) = self.term(last) {
                parts.push(head);
                last = tail;
            }
            self.work += parts.len() as u64;
            let count = self.count(last);
            let ended = if member == Self::EPSILON {
                Self::EMPTY
            } else if let Some((last, others)) = self.one_of(count, class) {
                let end = self.concat(others, last);
                parts.into_iter().rev().fold(end, |rest, part| self.concat(part, rest))
            } else {
                let any = self.concat(Self::ANY, class);
                self.intersection(vec![member, any])
            };
            found.push(ended);
        }
        self.alternation(found)
    }

    /// Of a class that is repeated, and must be there: what one of them has in common with another class, and all
    /// others.
    fn one_of(&mut self, count: Count, class: TermId) -> Option<(TermId, TermId)> {
        if count.min == 0 || self.ranges(count.body).is_none() {
            return None;
        }
        let one = self.intersection(vec![count.body, class]);
        let fewer = if count.max == UNBOUNDED { UNBOUNDED } else { count.max - 1 };
        Some((one, self.repeat(count.body, count.min - 1, fewer)))
    }

    /// The texts of `t` without the empty text.
    pub fn non_empty(&mut self, t: TermId) -> TermId {
        if !self.is_nullable(t) {
            return t;
        }
        match self.term(t) {
            Term::Epsilon => Self::EMPTY,
            Term::Repeat(body, 0, max) if !self.is_nullable(body) => self.repeat(body, 1, max),
            Term::Alternation(span) if self.members(span)[0] == Self::EPSILON => {
                let others = self.members(span)[1..].to_vec();
                self.alternation(others)
            }
            _ => {
                let filled = self.repeat(super::ANY_CLASS, 1, UNBOUNDED);
                self.intersection(vec![t, filled])
            }
        }
    }
}
