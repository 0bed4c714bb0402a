//! Grammars: which texts a request may come to, and of each unfinished text which tokens may come next.
//!
//! Here is what is compiled once and shared: the machine that reads, behind one lock, and the notes on what it leaves
//! out. What one request has read is its matcher's.

pub mod alternatives;
pub mod automaton;
pub mod format;
pub mod hash;
pub mod index;
pub mod json;
mod machine;
pub mod matcher;
pub mod number;
pub mod partial;
pub mod partition;
pub mod reader;
pub mod regex;
pub mod schema;
pub mod signature;
pub mod term;
pub mod terminal;
pub mod text;
mod toy;
pub mod trie;

use std::sync::{Arc, Mutex, MutexGuard};

use machine::Machine;
use schema::Note;

use crate::error::{Error, Result};
use crate::limits::{Fuel, Limits};
use crate::mask;
use crate::vocab::Vocab;

/// A compiled grammar over one vocabulary. Immutable to its users: what it learns while it runs changes no answer.
pub struct Grammar {
    vocab: Arc<Vocab>,
    description: String,
    relaxed: Vec<Note>,
    limits: Limits,
    shared: Mutex<Shared>,
}

/// What the matchers of a grammar share.
pub(crate) struct Shared {
    pub(crate) machine: Machine,
    /// How often it has forgotten: states of an earlier generation are void.
    pub(crate) generation: u64,
    /// The mask of a text's beginning, where tokens add something else there.
    first_mask: Option<Box<[u32]>>,
}

impl Shared {
    /// The bits of the tokens that a text may begin with.
    fn fill_first(&mut self, vocab: &Vocab, mask: &mut [u32], fuel: &mut Fuel) -> Result<()> {
        if let Some(first_mask) = &self.first_mask {
            mask.copy_from_slice(first_mask);
            return Ok(());
        }
        let start = self.machine.start();
        self.machine.fill(start, mask, fuel)?;
        if vocab.has_first_bytes() {
            for id in 0..vocab.len() as u32 {
                let first = token_bytes(vocab, id, true);
                if first != token_bytes(vocab, id, false) {
                    let is_alive = match first {
                        Some(bytes) => self.machine.walk(start, bytes, fuel)?.is_some(),
                        None => false,
                    };
                    mask::set(mask, id as usize, is_alive);
                }
            }
            self.first_mask = Some((&*mask).into());
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.machine.forget();
        self.generation += 1;
    }
}

impl Grammar {
    /// One of these texts.
    pub fn choice<T: AsRef<str>>(vocab: Arc<Vocab>, texts: &[T]) -> Result<Self> {
        let machine = toy::ToyMachine::new(vocab.clone(), &texts.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        Self::new(vocab, format!("choice of {}", texts.len()), Machine::Toy(machine), Vec::new())
    }

    fn new(vocab: Arc<Vocab>, description: String, machine: Machine, relaxed: Vec<Note>) -> Result<Self> {
        if !vocab.adds_bytes() {
            let what = "its decoder makes text of several tokens together, which no grammar can follow".into();
            return Err(Error::Vocab { what });
        }
        let shared = Mutex::new(Shared { machine, generation: 0, first_mask: None });
        Ok(Self { vocab, description, relaxed, limits: Limits::DEFAULT, shared })
    }

    /// The vocabulary it was compiled for.
    pub fn vocab(&self) -> &Arc<Vocab> {
        &self.vocab
    }

    /// What was asked for, in a few words.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What of its source is not enforced as it stands there.
    pub fn relaxed(&self) -> &[Note] {
        &self.relaxed
    }

    /// Memory it holds, what it has learned so far included.
    pub fn memory_bytes(&self) -> usize {
        self.lock().machine.bytes()
    }

    /// The machine, which forgets what it has learned where that is too much. While the lock is held, it does not.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        let mut shared = self.shared.lock().unwrap_or_else(|poisoned| {
            // Whoever panicked left it in the middle of something.
            self.shared.clear_poison();
            let mut shared = poisoned.into_inner();
            shared.forget();
            shared
        });
        if shared.machine.bytes() > self.limits.grammar_memory_bytes {
            shared.forget();
        }
        shared
    }

    /// What one mask or one token may cost.
    pub(crate) fn step_fuel(&self) -> Fuel {
        Fuel::new("grammar_step_fuel", self.limits.grammar_step_fuel)
    }
}

/// What a token adds to a text, None if it can add nothing to one: it is special, empty, or no token at all.
#[inline]
fn token_bytes(vocab: &Vocab, id: u32, is_first: bool) -> Option<&[u8]> {
    let bytes = if is_first { vocab.first_token_bytes(id) } else { vocab.token_bytes(id) };
    bytes.filter(|bytes| !bytes.is_empty() && !vocab.is_special(id))
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammar").field("description", &self.description).finish_non_exhaustive()
    }
}
