//! Automata as terms: each state is a leaf, its derivative the next state's.

use super::super::automaton::Automaton;
use super::super::hash::{Map, fingerprint, map_bytes};
use super::{Term, TermId, Terms};

/// Each automaton once, with its fingerprint.
#[derive(Debug, Clone, Default)]
pub(super) struct Automata {
    all: Vec<(u128, Automaton)>,
    ids: Map<u128, u32>,
    edge_bytes: usize,
}

impl Automata {
    pub(super) fn get(&self, id: u32) -> &Automaton {
        &self.all[id as usize].1
    }

    pub(super) fn fingerprint(&self, id: u32) -> u128 {
        self.all[id as usize].0
    }

    fn intern(&mut self, automaton: Automaton) -> u32 {
        let Self { all, ids, edge_bytes } = self;
        let fingerprint = fingerprint(&automaton);
        *ids.entry(fingerprint).or_insert_with(|| {
            *edge_bytes += automaton.bytes();
            all.push((fingerprint, automaton));
            all.len() as u32 - 1
        })
    }

    pub(super) fn truncate(&mut self, len: usize) {
        for (fingerprint, automaton) in self.all.drain(len.min(self.all.len())..) {
            self.ids.remove(&fingerprint);
            self.edge_bytes -= automaton.bytes();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<(u128, Automaton)>() + map_bytes(&self.ids) + self.edge_bytes
    }
}

impl Terms {
    /// The texts of an automaton.
    pub fn automaton(&mut self, automaton: Automaton) -> TermId {
        self.work += automaton.states() as u64;
        let automaton = self.automata.intern(automaton);
        self.state(automaton, 0)
    }

    /// The texts that lead from a state to an end.
    pub(super) fn state(&mut self, automaton: u32, state: u32) -> TermId {
        match self.automata.get(automaton).edges(state).is_empty() {
            true => Self::EPSILON,
            false => self.intern(Term::Automaton { automaton, state }, &[]),
        }
    }
}
