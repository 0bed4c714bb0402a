//! The machine of a regular expression or of choices: plain bytes of a text, from state to state, and the tokens that may
//! come next. There is one terminal, and no token leaves it.

use std::sync::Arc;

use crate::error::Result;
use crate::grammar::alternatives::Alternatives;
use crate::grammar::hash::{Map, map_bytes};
use crate::grammar::index::VocabularyIndex;
use crate::grammar::partial::{Partial, Wrapping};
use crate::grammar::terminal::{DEAD, StateId, Terminal, Terminals};
use crate::limits::Fuel;
use crate::mask;

/// Where a text is: what may follow it, and what has come of the next code point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextState {
    state: StateId,
    partial: Option<Partial>,
}

/// The machine of one grammar over one vocabulary.
#[derive(Debug)]
pub struct TextMachine {
    terminals: Terminals,
    index: Arc<VocabularyIndex>,
    start: StateId,
    /// Masks inside a code point.
    partial: Map<TextState, Arc<[u32]>>,
}

impl TextMachine {
    /// Of one terminal, made in these `terminals`; None if it has no text.
    pub fn new(
        mut terminals: Terminals,
        terminal: Terminal,
        index: Arc<VocabularyIndex>,
        fuel: &mut Fuel,
    ) -> Result<Option<Self>> {
        let start = terminals.start(vec![(terminal, Alternatives::one(0))], fuel)?;
        terminals.keep();
        Ok((start != DEAD).then(|| Self { terminals, index, start, partial: Map::default() }))
    }

    /// Before any byte.
    pub fn start(&self) -> TextState {
        TextState { state: self.start, partial: None }
    }

    /// After one byte more; None if no text goes on so.
    #[inline]
    pub fn step(&mut self, state: TextState, byte: u8, fuel: &mut Fuel) -> Result<Option<TextState>> {
        let next = self.terminals.step(state.state, state.partial, byte, Wrapping::Text, fuel)?;
        Ok(next.map(|(state, partial)| TextState { state, partial }))
    }

    /// Whether the text may end here.
    pub fn is_accepting(&self, state: TextState) -> bool {
        state.partial.is_none() && !self.terminals.accepts(state.state).is_empty()
    }

    /// The tokens that may come next, end tokens left out: every word of `mask` is written.
    pub fn fill(&mut self, state: TextState, mask: &mut [u32], fuel: &mut Fuel) -> Result<()> {
        let allowed = match state.partial {
            None => self.terminals.inside(state.state, Wrapping::Text, &self.index.clone(), fuel)?,
            Some(_) => match self.partial.get(&state) {
                Some(allowed) => allowed.clone(),
                None => {
                    let allowed: Arc<[u32]> = self.walk(state, fuel)?.into();
                    self.partial.insert(state, allowed.clone());
                    allowed
                }
            },
        };
        let n = allowed.len().min(mask.len());
        mask[..n].copy_from_slice(&allowed[..n]);
        mask[n..].fill(0);
        Ok(())
    }

    /// Every token, byte by byte.
    fn walk(&mut self, state: TextState, fuel: &mut Fuel) -> Result<Vec<u32>> {
        let index = self.index.clone();
        let mut allowed = vec![0; index.words()];
        let step = |state, byte| {
            fuel.spend(1)?;
            self.step(state, byte, fuel)
        };
        crate::grammar::index::walk(&index.trie, state, step, |token| mask::allow(&mut allowed, token as usize))?;
        Ok(allowed)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.terminals.bytes() + map_bytes(&self.partial) + 4 * self.index.words() * self.partial.len()
    }

    /// Forgets all that was learned since the grammar was compiled: of the states known outside only `start` is one
    /// still.
    pub fn forget(&mut self) {
        self.terminals.forget();
        self.partial = Map::default();
    }
}
