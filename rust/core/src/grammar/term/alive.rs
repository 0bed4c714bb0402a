//! Whether a term has a text of some length at all: from its parts where they say, else by search.

use super::{Term, TermId, Terms, UNBOUNDED};
use crate::error::Result;
use crate::grammar::hash::Set;
use crate::limits::Fuel;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A term, and how many code points its text must and may still have.
type State = (TermId, u32, u32);

/// Answers kept; learned again when there are more.
const REMEMBERED: usize = 1 << 16;

/// Successors of a state that are looked at before others get their turn.
const AT_ONCE: u32 = 64;

impl Terms {
    /// Whether `t` has a text of `min` to `max` code points. Out of fuel it is not known: an error.
    pub fn is_alive(&mut self, t: TermId, min: u32, max: u32, fuel: &mut Fuel) -> Result<bool> {
        match self.is_plainly_alive(t, min, max, fuel)? {
            Ok(answer) => Ok(answer),
            Err(state) => match self.alive.get(&state) {
                Some(&answer) => Ok(answer),
                None => self.search(state, fuel),
            },
        }
    }

    /// The answer where the parts give it, else what must be searched.
    fn is_plainly_alive(
        &self,
        mut t: TermId,
        mut min: u32,
        mut max: u32,
        fuel: &mut Fuel,
    ) -> Result<std::result::Result<bool, State>> {
        loop {
            let facts = &self.facts[t as usize];
            if t == Self::EMPTY || min > max || facts.least > max || facts.most < min {
                return Ok(Ok(false));
            }
            if min == 0 && facts.nullable {
                return Ok(Ok(true));
            }
            if facts.least >= min {
                min = 0;
            }
            if facts.most <= max {
                max = UNBOUNDED;
            }
            if !facts.boolean && (facts.contiguous || min == 0 || max == UNBOUNDED) {
                return Ok(Ok(true));
            }
            if min != 0 || max != UNBOUNDED {
                return Ok(Err((t, min, max)));
            }
            // Of any length: what is not boolean has a text, so it depends on the part that is.
            fuel.spend(1)?;
            t = match self.term(t) {
                Term::Concat(a, b) if !self.is_boolean(a) => b,
                Term::Concat(a, b) if !self.is_boolean(b) => a,
                Term::Repeat(body, ..) => body,
                Term::Alternation(span) if self.members(span).iter().any(|&t| !self.is_boolean(t)) => {
                    return Ok(Ok(true));
                }
                _ => return Ok(Err((t, min, max))),
            };
        }
    }

    /// Reads, those that look nearest to an end first, until there is an answer.
    fn search(&mut self, start: State, fuel: &mut Fuel) -> Result<bool> {
        // (state, the one it was reached from)
        let mut reached: Vec<(State, usize)> = vec![(start, 0)];
        let mut seen: Set<State> = Set::default();
        seen.insert(start);
        // (least length, the last reached first, state, the first of its code point classes not yet tried)
        let mut todo = BinaryHeap::from([(Reverse(0), 0, 0, 0)]);
        while let Some((Reverse(least), _, from, tried)) = todo.pop() {
            let ((t, min, max), _) = reached[from];
            let n_classes = self.boundaries(t).len() as u32 + 1;
            let until = n_classes.min(tried + AT_ONCE);
            for class in tried..until {
                fuel.spend(1)?;
                let code_point = if class == 0 { 0 } else { self.boundaries(t)[class as usize - 1] };
                let next = self.derivative(t, code_point, fuel)?;
                let fewer = if max == UNBOUNDED { max } else { max.saturating_sub(1) };
                let state = match self.is_plainly_alive(next, min.saturating_sub(1), fewer, fuel)? {
                    Ok(true) => return Ok(self.remember_alive(&reached, from)),
                    Ok(false) => continue,
                    Err(state) => state,
                };
                match self.alive.get(&state) {
                    Some(true) => return Ok(self.remember_alive(&reached, from)),
                    Some(false) => continue,
                    None => {}
                }
                if seen.insert(state) {
                    reached.push((state, from));
                    let at = reached.len() - 1;
                    todo.push((Reverse(self.facts[state.0 as usize].least.max(state.1)), at, at, 0));
                }
            }
            if until < n_classes {
                todo.push((Reverse(least), from, from, until));
            }
        }
        self.make_room(reached.len());
        for (state, _) in reached {
            self.alive.insert(state, false);
        }
        Ok(false)
    }

    /// All on the way to the end that was found.
    fn remember_alive(&mut self, reached: &[(State, usize)], last: usize) -> bool {
        self.make_room(1);
        let mut at = last;
        loop {
            let (state, from) = reached[at];
            self.alive.insert(state, true);
            if at == 0 || self.alive.len() >= 2 * REMEMBERED {
                return true;
            }
            at = from;
        }
    }

    fn make_room(&mut self, n: usize) {
        if self.alive.len() + n > REMEMBERED {
            self.alive.clear();
        }
    }
}
