//! What one sequence has read, piece by piece, and what the machine had read after each of the last pieces. Copies
//! share what is old, so that a fork costs the same however long the text is. What a machine is, is not known here.

use std::sync::Arc;

use super::machine::{Machine, State};
use super::{Grammar, Shared};
use crate::error::{Error, Result};
use crate::limits::within;

/// Pieces that become old together. Half as many again and more stay young, so that what is taken back and read anew
/// does not turn old each time.
pub(super) const PIECES: usize = 64;

/// Bytes that are too many to be copied: the pieces become old at once.
const BYTES: usize = 8192;

/// The pieces of a sequence.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    old: Option<Arc<Chunk>>,
    young: Pieces,
    /// Of each young piece, what the machine had read after it. Empty: to be read again.
    states: Vec<State>,
    /// The one in which `states` are states.
    generation: u64,
}

/// Some pieces in a row.
#[derive(Debug, Clone, Default)]
struct Pieces {
    bytes: Vec<u8>,
    /// Of each piece, its end in `bytes`.
    ends: Vec<u32>,
    /// Pieces and bytes before these.
    n_before: usize,
    n_bytes_before: usize,
    /// What the machine had read before these, None: nothing.
    state: Option<State>,
}

/// Pieces that are old: what forks have in common.
#[derive(Debug)]
struct Chunk {
    older: Option<Arc<Chunk>>,
    pieces: Pieces,
    generation: u64,
}

impl Drop for Chunk {
    /// A text may be long: without recursion.
    fn drop(&mut self) {
        let mut older = self.older.take();
        while let Some(chunk) = older {
            older = Arc::into_inner(chunk).and_then(|mut chunk| chunk.older.take());
        }
    }
}

impl Pieces {
    /// The first `n` of them, which are taken away. `state`: what was read after those.
    fn split_off_front(&mut self, n: usize, state: State) -> Self {
        let end = n.checked_sub(1).and_then(|last| self.ends.get(last)).map_or(0, |&end| end as usize);
        let front = Self {
            bytes: self.bytes.drain(..end).collect(),
            ends: self.ends.drain(..n).collect(),
            state: self.state.replace(state),
            ..*self
        };
        self.ends.iter_mut().for_each(|piece_end| *piece_end -= end as u32);
        self.n_before += n;
        self.n_bytes_before += end;
        front
    }

    /// What the machine has read after each of them, from what it had read before.
    fn read(&self, grammar: &Grammar, machine: &mut Machine, mut state: State) -> Result<Vec<State>> {
        let mut states = Vec::with_capacity(self.ends.len());
        let mut begin = 0;
        for &end in &self.ends {
            let read = machine.walk(state, &self.bytes[begin..end as usize], &mut grammar.step_fuel())?;
            state = read.ok_or_else(|| Error::Grammar {
                position: Some(self.n_bytes_before + begin),
                what: "a text that was accepted is not any more: a fault of logitwire".into(),
            })?;
            states.push(state);
            begin = end as usize;
        }
        Ok(states)
    }
}

impl History {
    /// Pieces read so far.
    pub(super) fn len(&self) -> usize {
        self.young.n_before + self.young.ends.len()
    }

    /// Bytes read so far.
    pub(super) fn n_bytes(&self) -> usize {
        self.young.n_bytes_before + self.young.bytes.len()
    }

    /// The machine's generation that its states are of.
    #[cfg(test)]
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn check_room(&self, n_bytes: usize, maximum: usize) -> Result<()> {
        within("grammar_text_bytes", self.n_bytes().saturating_add(n_bytes), maximum)
    }

    /// One piece more, after which the machine has read `state`. What it had read before was asked for already.
    pub(super) fn push(&mut self, bytes: &[u8], state: State, maximum: usize) -> Result<()> {
        self.check_room(bytes.len(), maximum)?;
        self.young.bytes.extend_from_slice(bytes);
        self.young.ends.push(self.young.bytes.len() as u32);
        self.states.push(state);
        let n = self.young.ends.len();
        if self.young.bytes.len() >= BYTES {
            self.age(n);
        } else if n >= 2 * PIECES {
            self.age(PIECES);
        }
        Ok(())
    }

    /// The first `n` young pieces are old now.
    fn age(&mut self, n: usize) {
        let Some(&state) = n.checked_sub(1).and_then(|last| self.states.get(last)) else { return };
        let pieces = self.young.split_off_front(n, state);
        self.states.drain(..n);
        self.old = Some(Arc::new(Chunk { older: self.old.take(), pieces, generation: self.generation }));
    }

    /// Take the last `n` pieces back.
    pub(super) fn pop(&mut self, mut n: usize) {
        while n > self.young.ends.len() {
            let Some(mut chunk) = self.old.take() else { break };
            n -= self.young.ends.len();
            let (generation, older);
            (self.young, generation, older) = match Arc::get_mut(&mut chunk) {
                Some(chunk) => (std::mem::take(&mut chunk.pieces), chunk.generation, chunk.older.take()),
                None => (chunk.pieces.clone(), chunk.generation, chunk.older.clone()),
            };
            self.old = older;
            self.states.clear();
            if generation != self.generation {
                // A state of another generation is worth nothing.
                self.young.state = None;
            }
        }
        let left = self.young.ends.len().saturating_sub(n);
        self.young.ends.truncate(left);
        self.young.bytes.truncate(self.young.ends.last().map_or(0, |&end| end as usize));
        self.states.truncate(left);
    }

    /// What the machine has read of this text.
    #[inline]
    pub(super) fn state(&mut self, grammar: &Grammar, shared: &mut Shared) -> Result<State> {
        match self.states.last() {
            Some(&state) if self.generation == shared.generation => Ok(state),
            _ if self.len() == 0 => {
                self.generation = shared.generation;
                Ok(shared.machine.start())
            }
            _ => self.read_again(grammar, shared),
        }
    }

    /// The machine has forgotten the text, or pieces that were old are young again.
    #[cold]
    fn read_again(&mut self, grammar: &Grammar, shared: &mut Shared) -> Result<State> {
        let before = match self.young.state {
            Some(state) if self.generation == shared.generation => state,
            _ => self.read_old(grammar, shared)?,
        };
        self.states.clear();
        self.states = self.young.read(grammar, &mut shared.machine, before)?;
        Ok(self.states.last().copied().unwrap_or(before))
    }

    /// All that is old, once more: what the machine has read after it.
    fn read_old(&mut self, grammar: &Grammar, shared: &mut Shared) -> Result<State> {
        let mut chunks = Vec::new();
        let mut at = self.old.as_ref();
        while let Some(chunk) = at {
            chunks.push(chunk);
            at = chunk.older.as_ref();
        }
        let (mut state, mut old) = (shared.machine.start(), None);
        for chunk in chunks.into_iter().rev() {
            let states = chunk.pieces.read(grammar, &mut shared.machine, state)?;
            let pieces = Pieces { state: Some(state), ..chunk.pieces.clone() };
            old = Some(Arc::new(Chunk { older: old, pieces, generation: shared.generation }));
            state = states.last().copied().unwrap_or(state);
        }
        self.old = old;
        self.young.state = Some(state);
        // Nothing of an earlier generation is left.
        self.states.clear();
        self.generation = shared.generation;
        Ok(state)
    }
}
