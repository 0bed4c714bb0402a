//! Grammars: which texts a request may come to, and of each unfinished text which tokens may come next.
//!
//! Here is what is compiled once and shared: the machine that reads, behind one lock, and the notes on what it leaves
//! out. What one request has read is its matcher's.

pub mod alternatives;
pub mod automaton;
pub mod format;
pub mod hash;
mod history;
pub mod index;
pub mod json;
mod machine;
pub mod matcher;
pub mod number;
mod outline;
pub mod partial;
pub mod partition;
pub mod reader;
pub mod regex;
pub mod schema;
pub mod signature;
pub mod term;
pub mod terminal;
pub mod text;
pub mod text_trie;
mod token;
#[cfg(test)]
mod toy;
pub mod trie;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use json::{JsonMachine, JsonOptions};
use machine::Machine;
use regex::{Anchored, Dialect};
use schema::{JsonKind, Note, Schema, SchemaOptions, Unsupported};
use term::UNBOUNDED;
use terminal::{Terminal, Terminals};
use text::TextMachine;

use crate::error::{Error, Result};
use crate::limits::{Fuel, Limits, within};
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
    /// Nothing has broken off in the middle of changing the machine.
    is_whole: bool,
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

    fn forget(&mut self) -> Result<()> {
        self.generation += 1;
        self.is_whole = false;
        self.machine.forget(&mut compile_fuel())?;
        self.is_whole = true;
        Ok(())
    }
}

impl Grammar {
    /// The texts that match a pattern from end to end, in the dialect of Python.
    pub fn regex(vocab: Arc<Vocab>, pattern: &str) -> Result<Self> {
        let description = format!("regex {pattern:?}");
        Self::text(vocab, description, |terminals, fuel| {
            let term = regex::parse(pattern, Dialect::Python, Anchored::Full, &mut terminals.terms, fuel)?;
            Ok(Terminal::Pattern { term, min: 0, max: UNBOUNDED })
        })
    }

    /// One of these texts.
    pub fn choice<T: AsRef<str>>(vocab: Arc<Vocab>, texts: &[T]) -> Result<Self> {
        let description = format!("choice of {} texts", texts.len());
        within("grammar_bytes", texts.iter().map(|text| text.as_ref().len()).sum(), Limits::DEFAULT.grammar_bytes)?;
        Self::text(vocab, description, |terminals, fuel| {
            fuel.spend(texts.iter().map(|text| 1 + text.as_ref().len() as u64).sum())?;
            Ok(Terminal::Words(terminals.tries.of(texts)))
        })
    }

    fn text(
        vocab: Arc<Vocab>,
        description: String,
        terminal: impl FnOnce(&mut Terminals, &mut Fuel) -> Result<Terminal>,
    ) -> Result<Self> {
        check_vocab(&vocab)?;
        let (mut terminals, fuel) = (Terminals::new(), &mut compile_fuel());
        let terminal = terminal(&mut terminals, fuel)?;
        let nothing = || Error::Grammar { position: None, what: "it allows no text at all".into() };
        let machine = TextMachine::new(terminals, terminal, vocab.index()?, fuel)?.ok_or_else(nothing)?;
        Ok(Self::new(vocab, description, Machine::Text(Box::new(machine)), Vec::new()))
    }

    /// A text that is JSON, whatever it says.
    pub fn json(vocab: Arc<Vocab>, kind: JsonKind, options: JsonOptions) -> Result<Self> {
        let description = match kind {
            JsonKind::Any => "JSON",
            JsonKind::Object => "a JSON object",
            JsonKind::Array => "a JSON array",
        };
        Self::schema(vocab, description, options, |terminals, fuel| {
            schema::any_json(kind, options.spelling, terminals, fuel)
        })
    }

    /// A text that is JSON and valid under a JSON Schema, itself a text of JSON.
    pub fn json_schema(
        vocab: Arc<Vocab>,
        schema: &[u8],
        options: JsonOptions,
        unsupported: Unsupported,
    ) -> Result<Self> {
        let JsonOptions { spelling, property_order, .. } = options;
        Self::schema(vocab, "a JSON Schema", options, |terminals, fuel| {
            schema::compile(schema, &SchemaOptions { spelling, property_order, unsupported }, terminals, fuel)
        })
    }

    fn schema(
        vocab: Arc<Vocab>,
        description: &str,
        options: JsonOptions,
        compile: impl FnOnce(&mut Terminals, &mut Fuel) -> Result<Schema>,
    ) -> Result<Self> {
        check_vocab(&vocab)?;
        let (mut terminals, fuel) = (Terminals::new(), &mut compile_fuel());
        let schema = compile(&mut terminals, fuel)?;
        let relaxed = schema.relaxed.clone();
        let machine = JsonMachine::new(schema, terminals, vocab.clone(), vocab.index()?, options, fuel)?;
        Ok(Self::new(vocab, description.to_owned(), Machine::Json(Box::new(machine)), relaxed))
    }

    #[cfg(test)]
    fn toy(vocab: Arc<Vocab>, texts: &[&str]) -> Self {
        let machine = toy::ToyMachine::new(vocab.clone(), texts);
        Self::new(vocab, "toy".into(), Machine::Toy(machine), Vec::new())
    }

    fn new(vocab: Arc<Vocab>, description: String, machine: Machine, relaxed: Vec<Note>) -> Self {
        let shared = Mutex::new(Shared { machine, generation: 0, is_whole: true, first_mask: None });
        Self { vocab, description, relaxed, limits: Limits::DEFAULT, shared }
    }

    /// The vocabulary it was compiled for.
    pub fn vocab(&self) -> &Arc<Vocab> {
        &self.vocab
    }

    /// What was asked for, in a few words.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What it became, in lines for people.
    pub fn outline(&self) -> String {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match &shared.machine {
            Machine::Json(machine) => outline::outline(machine.schema()),
            _ => format!("text: {}", self.description),
        }
    }

    /// What of its source is not enforced as it stands there.
    pub fn relaxed(&self) -> &[Note] {
        &self.relaxed
    }

    /// Memory it holds, what it has learned so far included.
    pub fn memory_bytes(&self) -> usize {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).machine.bytes()
    }

    /// The machine, which forgets what it has learned where that is too much. While the lock is held, it does not.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, Shared>> {
        let mut shared = self.shared.lock().unwrap_or_else(|poisoned| {
            // Whoever panicked may have left it in the middle of something.
            self.shared.clear_poison();
            let mut shared = poisoned.into_inner();
            shared.is_whole = false;
            shared
        });
        if !shared.is_whole || shared.machine.bytes() > self.limits.grammar_memory_bytes {
            shared.forget()?;
        }
        Ok(shared)
    }

    /// What one mask or one token may cost.
    pub(crate) fn step_fuel(&self) -> Fuel {
        Fuel::new("grammar_step_fuel", self.limits.grammar_step_fuel)
    }
}

/// An error unless what a token adds to a text is known by itself.
fn check_vocab(vocab: &Vocab) -> Result<()> {
    match vocab.adds_bytes() {
        true => Ok(()),
        false => Err(Error::Vocab {
            what: "its decoder makes text of several tokens together, which no grammar can follow".into(),
        }),
    }
}

/// What it may cost to compile a grammar, or to forget what it has learned since.
fn compile_fuel() -> Fuel {
    Fuel::new("grammar_compile_fuel", Limits::DEFAULT.grammar_compile_fuel)
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
