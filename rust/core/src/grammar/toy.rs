//! A machine to test what stands around machines with: the texts are a list, a state is how much of one has been read,
//! and each is learned when first met.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits::Fuel;
use crate::mask;
use crate::vocab::Vocab;

#[derive(Debug)]
pub(crate) struct ToyMachine {
    vocab: Arc<Vocab>,
    texts: Vec<Vec<u8>>,
    prefixes: Vec<Vec<u8>>,
    /// Of what was forgotten, so that a state of before is told from one of now.
    n_forgotten: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    prefix: u32,
    n_forgotten: u32,
}

impl ToyMachine {
    pub(crate) fn new(vocab: Arc<Vocab>, texts: &[&str]) -> Self {
        let texts = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        Self { vocab, texts, prefixes: vec![Vec::new()], n_forgotten: 0 }
    }

    fn read(&self, state: State) -> Result<Vec<u8>> {
        let is_of_now = state.prefix == 0 || state.n_forgotten == self.n_forgotten;
        let prefix = self.prefixes.get(state.prefix as usize).filter(|_| is_of_now);
        prefix.cloned().ok_or_else(|| Error::Shape { what: format!("{state:?} is void") })
    }

    pub(crate) fn start(&self) -> State {
        State { prefix: 0, n_forgotten: 0 }
    }

    pub(crate) fn step(&mut self, state: State, byte: u8, fuel: &mut Fuel) -> Result<Option<State>> {
        fuel.spend(1)?;
        let mut read = self.read(state)?;
        read.push(byte);
        if !self.texts.iter().any(|text| text.starts_with(&read)) {
            return Ok(None);
        }
        let known = self.prefixes.iter().position(|prefix| *prefix == read);
        let prefix = known.unwrap_or_else(|| {
            self.prefixes.push(read);
            self.prefixes.len() - 1
        });
        Ok(Some(State { prefix: prefix as u32, n_forgotten: self.n_forgotten }))
    }

    pub(crate) fn is_accepting(&self, state: State) -> Result<bool> {
        let read = self.read(state)?;
        Ok(self.texts.contains(&read))
    }

    pub(crate) fn fill(&mut self, state: State, mask: &mut [u32], fuel: &mut Fuel) -> Result<()> {
        mask.fill(0);
        let read = self.read(state)?;
        for id in 0..self.vocab.len() as u32 {
            fuel.spend(1)?;
            let Some(bytes) = self.vocab.token_bytes(id).filter(|bytes| !bytes.is_empty()) else { continue };
            let next = [&read, bytes].concat();
            if !self.vocab.is_special(id) && self.texts.iter().any(|text| text.starts_with(&next)) {
                mask::allow(mask, id as usize);
            }
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.prefixes.iter().map(Vec::len).sum()
    }

    pub(crate) fn forget(&mut self) {
        self.prefixes.truncate(1);
        self.n_forgotten += 1;
    }
}
