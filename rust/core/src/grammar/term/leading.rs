//! What a term may begin with: the classes that decide its derivative.

use super::class::Range;
use super::{Term, TermId, Terms};
use crate::error::Result;
use crate::grammar::hash::Set;
use crate::limits::Fuel;

/// Code points in the same of these classes, and between the same of these points, lead to the same derivative.
#[derive(Debug, Default)]
pub struct Leading {
    /// Classes of code points, ascending; `Terms::leading_class` has their ranges.
    pub classes: Vec<u32>,
    /// Points at which something else may change, ascending.
    pub points: Vec<u32>,
}

impl Terms {
    /// Add what texts of `t` may begin with.
    pub fn leading(&self, t: TermId, leading: &mut Leading, fuel: &mut Fuel) -> Result<()> {
        let mut todo = vec![t];
        let mut seen: Set<TermId> = Set::default();
        while let Some(t) = todo.pop() {
            if !seen.insert(t) {
                continue;
            }
            fuel.spend(1)?;
            match self.term(t) {
                Term::Empty | Term::Epsilon => {}
                Term::Class(class) => leading.classes.push(class),
                Term::Concat(a, b) => {
                    todo.push(a);
                    if self.is_nullable(a) {
                        todo.push(b);
                    }
                }
                Term::Alternation(span) | Term::Intersection(span) => todo.extend_from_slice(self.members(span)),
                Term::Complement(a) | Term::Repeat(a, ..) => todo.push(a),
                Term::Variable(id) => todo.push(self.variables.definition(id)),
                Term::Automaton { .. } => leading.points.extend_from_slice(self.boundaries(t)),
            }
        }
        leading.classes.sort_unstable();
        leading.classes.dedup();
        leading.points.sort_unstable();
        leading.points.dedup();
        Ok(())
    }

    /// The ranges of a class that `leading` found.
    pub fn leading_class(&self, class: u32) -> &[Range] {
        self.classes.get(class)
    }
}
