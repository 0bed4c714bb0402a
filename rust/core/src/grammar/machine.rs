//! The machines behind one face: bytes go in one by one, and of each state the tokens that may come next come out. What
//! a machine reads and how is its own file's business; which text has been read so far is the matcher's.

use super::json::{self, JsonMachine};
use super::text::{TextMachine, TextState};
use crate::error::{Error, Result};
use crate::limits::Fuel;

/// How a grammar's texts are read.
#[derive(Debug)]
pub(crate) enum Machine {
    Text(Box<TextMachine>),
    Json(Box<JsonMachine>),
    #[cfg(test)]
    Toy(super::toy::ToyMachine),
}

/// What a machine has read. Void once its machine has forgotten, but for the state at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Text(TextState),
    Json(json::State),
    #[cfg(test)]
    Toy(super::toy::State),
}

/// A state is its own machine's: none of this crate gets here.
#[cold]
fn mistaken<T>() -> Result<T> {
    Err(Error::Grammar { position: None, what: "a state of another machine: a fault of logitwire".into() })
}

impl Machine {
    /// Nothing.
    pub(crate) fn start(&self) -> State {
        match self {
            Self::Text(machine) => State::Text(machine.start()),
            Self::Json(machine) => State::Json(machine.start()),
            #[cfg(test)]
            Self::Toy(machine) => State::Toy(machine.start()),
        }
    }

    /// What it has read after one more byte, None if no text goes on so.
    #[inline]
    pub(crate) fn step(&mut self, state: State, byte: u8, fuel: &mut Fuel) -> Result<Option<State>> {
        match (self, state) {
            (Self::Text(machine), State::Text(state)) => Ok(machine.step(state, byte, fuel)?.map(State::Text)),
            (Self::Json(machine), State::Json(state)) => Ok(machine.step(state, byte, fuel)?.map(State::Json)),
            #[cfg(test)]
            (Self::Toy(machine), State::Toy(state)) => Ok(machine.step(state, byte, fuel)?.map(State::Toy)),
            _ => mistaken(),
        }
    }

    /// The same after some bytes.
    #[inline]
    pub(crate) fn walk(&mut self, mut state: State, bytes: &[u8], fuel: &mut Fuel) -> Result<Option<State>> {
        if let (Self::Json(machine), State::Json(state)) = (&mut *self, state) {
            return Ok(machine.walk(state, bytes, fuel)?.map(State::Json));
        }
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
    pub(crate) fn is_accepting(&self, state: State) -> Result<bool> {
        match (self, state) {
            (Self::Text(machine), State::Text(state)) => Ok(machine.is_accepting(state)),
            (Self::Json(machine), State::Json(state)) => Ok(machine.is_accepting(state)),
            #[cfg(test)]
            (Self::Toy(machine), State::Toy(state)) => machine.is_accepting(state),
            _ => mistaken(),
        }
    }

    /// The bits of the tokens that may come next, all words of the vocabulary's.
    pub(crate) fn fill(&mut self, state: State, mask: &mut [u32], fuel: &mut Fuel) -> Result<()> {
        match (self, state) {
            (Self::Text(machine), State::Text(state)) => machine.fill(state, mask, fuel),
            (Self::Json(machine), State::Json(state)) => machine.fill(state, mask, fuel),
            #[cfg(test)]
            (Self::Toy(machine), State::Toy(state)) => machine.fill(state, mask, fuel),
            _ => mistaken(),
        }
    }

    /// Memory it holds, what it has learned included.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(machine) => machine.bytes(),
            Self::Json(machine) => machine.bytes(),
            #[cfg(test)]
            Self::Toy(machine) => machine.bytes(),
        }
    }

    /// Drop what it has learned since it was compiled.
    pub(crate) fn forget(&mut self, fuel: &mut Fuel) -> Result<()> {
        match self {
            Self::Text(machine) => {
                machine.forget();
                Ok(())
            }
            Self::Json(machine) => machine.forget(fuel),
            #[cfg(test)]
            Self::Toy(machine) => {
                machine.forget();
                Ok(())
            }
        }
    }
}
