//! The machines behind one face: bytes go in one by one, and of each state the tokens that may come next come out. What
//! a machine reads and how is its own file's business; which text has been read so far is the matcher's.

use crate::error::Result;
use crate::limits::Fuel;

/// How a grammar's texts are read.
#[derive(Debug)]
pub(crate) enum Machine {
    Toy(super::toy::ToyMachine),
}

/// What a machine has read. Void once its machine has forgotten, but for the state at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Toy(super::toy::State),
}

impl Machine {
    /// Nothing.
    pub(crate) fn start(&self) -> State {
        match *self {
            Self::Toy(ref machine) => State::Toy(machine.start()),
        }
    }

    /// What it has read after one more byte, None if no text goes on so.
    #[inline]
    pub(crate) fn step(&mut self, state: State, byte: u8, fuel: &mut Fuel) -> Result<Option<State>> {
        match (self, state) {
            (Self::Toy(machine), State::Toy(state)) => Ok(machine.step(state, byte, fuel)?.map(State::Toy)),
        }
    }

    /// The same after some bytes.
    #[inline]
    pub(crate) fn walk(&mut self, mut state: State, bytes: &[u8], fuel: &mut Fuel) -> Result<Option<State>> {
        for &byte in bytes {
            match self.step(state, byte, fuel)? {
                Some(next) => state = next,
                None => return Ok(None),
            }
        }
        Ok(Some(state))
    }

    /// Whether the text may end here.
    #[inline]
    pub(crate) fn is_accepting(&mut self, state: State) -> Result<bool> {
        match (self, state) {
            (Self::Toy(machine), State::Toy(state)) => machine.is_accepting(state),
        }
    }

    /// The bits of the tokens that may come next, all words of the vocabulary's.
    pub(crate) fn fill(&mut self, state: State, mask: &mut [u32], fuel: &mut Fuel) -> Result<()> {
        match (self, state) {
            (Self::Toy(machine), State::Toy(state)) => machine.fill(state, mask, fuel),
        }
    }

    /// Memory it holds, what it has learned included.
    pub(crate) fn bytes(&self) -> usize {
        match *self {
            Self::Toy(ref machine) => machine.bytes(),
        }
    }

    /// Drop what it has learned since it was compiled.
    pub(crate) fn forget(&mut self) {
        match *self {
            Self::Toy(ref mut machine) => machine.forget(),
        }
    }
}
