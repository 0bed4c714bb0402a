//! Terms that stand in their own definition, x = a x | b: what a repetition is whose rounds depend on what stands around
//! them. Definitions are guarded: before a variable comes to itself again a code point is read.

use super::super::hash::{Map, Set, fingerprint, map_bytes};
use super::{Term, TermId, Terms};
use crate::error::Result;
use crate::limits::Fuel;

/// Each variable once, with its fingerprint.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    all: Vec<Variable>,
    ids: Map<u128, u32>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Variable {
    pub(super) fingerprint: u128,
    pub(super) nullable: bool,
    /// The set of points at which its derivative may change, or more.
    pub(super) boundaries: u32,
    /// None while it is in the making; then it has no text.
    pub(super) definition: Option<TermId>,
}

impl Variables {
    pub(super) fn get(&self, id: u32) -> Variable {
        self.all[id as usize]
    }

    pub(super) fn definition(&self, id: u32) -> TermId {
        self.all[id as usize].definition.unwrap_or(Terms::EMPTY)
    }

    pub(super) fn truncate(&mut self, len: usize) {
        for variable in self.all.drain(len.min(self.all.len())..) {
            self.ids.remove(&variable.fingerprint);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<Variable>() + map_bytes(&self.ids)
    }
}

impl Terms {
    /// A term that `define` is yet to define, of a language that `key` stands for: the same key gives the same term.
    /// `nullable`: it will hold the empty text. `parts`: what its texts may begin with stands in these.
    pub fn variable(&mut self, key: u128, nullable: bool, parts: &[TermId], fuel: &mut Fuel) -> Result<TermId> {
        let fingerprint = fingerprint(&(9u8, key));
        let id = match self.variables.ids.get(&fingerprint) {
            Some(&id) => id,
            None => {
                let boundaries = self.all_boundaries(parts, fuel)?;
                let id = self.variables.all.len() as u32;
                self.variables.all.push(Variable { fingerprint, nullable, boundaries, definition: None });
                self.variables.ids.insert(fingerprint, id);
                id
            }
        };
        Ok(self.intern(Term::Variable(id), &[]))
    }

    /// Makes a variable stand for `definition`, in which it may stand behind at least one code point.
    pub fn define(&mut self, variable: TermId, definition: TermId) {
        if let Term::Variable(id) = self.term(variable)
            && let Some(variable) = self.variables.all.get_mut(id as usize)
        {
            variable.definition = Some(definition);
        }
    }

    /// The set of all points at which anything within some terms changes.
    fn all_boundaries(&mut self, parts: &[TermId], fuel: &mut Fuel) -> Result<u32> {
        let mut sets = Vec::new();
        let mut todo = parts.to_vec();
        let mut seen: Set<TermId> = Set::default();
        while let Some(t) = todo.pop() {
            if !seen.insert(t) {
                continue;
            }
            fuel.spend(1)?;
            match self.term(t) {
                Term::Empty | Term::Epsilon => {}
                Term::Class(_) | Term::Variable(_) => sets.push(self.facts[t as usize].boundaries),
                Term::Concat(a, b) => todo.extend([a, b]),
                Term::Alternation(span) | Term::Intersection(span) => todo.extend_from_slice(self.members(span)),
                Term::Complement(a) | Term::Repeat(a, ..) => todo.push(a),
                Term::Automaton { automaton, .. } => {
                    for state in 0..self.automata.get(automaton).states() as u32 {
                        sets.push(self.points.of_edges(self.automata.get(automaton).edges(state)));
                    }
                }
            }
        }
        let work = self.work;
        let union = self.points.union(&sets, &mut self.work);
        fuel.spend(self.work - work)?;
        Ok(union)
    }
}
