//! A term's texts, read backwards.

use super::{Term, TermId, Terms};
use crate::error::Result;
use crate::grammar::hash::Map;
use crate::limits::Fuel;

impl Terms {
    /// The texts of `t`, which holds no variable, from their last code point to their first.
    pub fn reverse(&mut self, t: TermId, fuel: &mut Fuel) -> Result<TermId> {
        let mut work = self.work;
        let mut reversed: Map<TermId, TermId> = Map::default();
        // (term, its parts are done)
        let mut todo = vec![(t, false)];
        while let Some((t, is_ready)) = todo.pop() {
            fuel.spend(1 + self.work - work)?;
            work = self.work;
            if reversed.contains_key(&t) {
                continue;
            }
            let term = self.term(t);
            if !is_ready {
                todo.push((t, true));
                match term {
                    Term::Concat(a, b) => todo.extend([(a, false), (b, false)]),
                    Term::Alternation(span) | Term::Intersection(span) => {
                        todo.extend(self.members(span).iter().map(|&member| (member, false)));
                    }
                    Term::Complement(a) | Term::Repeat(a, ..) => todo.push((a, false)),
                    _ => {}
                }
                continue;
            }
            let of = |t: TermId| reversed.get(&t).copied().unwrap_or(t);
            let turned = match term {
                Term::Concat(a, b) => {
                    let (a, b) = (of(a), of(b));
                    self.concat(b, a)
                }
                Term::Alternation(span) => {
                    let members = self.members(span).iter().map(|&t| of(t)).collect();
                    self.alternation(members)
                }
                Term::Intersection(span) => {
                    let members = self.members(span).iter().map(|&t| of(t)).collect();
                    self.intersection(members)
                }
                Term::Complement(a) => self.complement(of(a)),
                Term::Repeat(a, min, max) => self.repeat(of(a), min, max),
                _ => t,
            };
            reversed.insert(t, turned);
        }
        Ok(reversed.get(&t).copied().unwrap_or(t))
    }
}
