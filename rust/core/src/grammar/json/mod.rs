//! JSON as a machine of bytes: a schema's alternatives read side by side over one stack of open objects and arrays.
//!
//! Brackets are visible, so alternatives never fork the stack: which of them are still possible is a set in each frame.
//! What a state is made of is interned; a state is a few numbers, and to fork or to go back is to keep one. How masks
//! are made of it is `fill`'s business.

mod context;
mod fill;
mod frame;
mod key;
mod names;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use indexmap::IndexSet;

use self::context::{Context, ObjectTable};
use self::fill::{Cache, Recorder};
use self::frame::{ArrayTable, Frame, FrameInfo, Seen, Summary};
use self::key::{Availability, Key, KeyEnd};
use super::alternatives::Alternatives;
use super::hash::{Map, Seeded};
use super::index::VocabularyIndex;
use super::partial::{Partial, Read, Wrapping};
use super::schema::{AlternativeId, PropertyOrder, Schema, Spelling};
use super::terminal::{DEAD, StateId, Terminals};
use crate::error::{Error, Result};
use crate::limits::Fuel;
use crate::vocab::Vocab;

type Interner<T> = IndexSet<T, Seeded>;
type ContextId = u32;
type StackId = u32;
type FrameId = u32;
type TextId = u32;

/// No context, no table, no name, no node: what is not there.
const NONE: u32 = u32::MAX;
const ROOT: StackId = 0;
const WORDS: [&[u8]; 3] = [b"null", b"true", b"false"];

/// How texts of the machine are written.
#[derive(Debug, Clone, Copy)]
pub struct JsonOptions {
    /// Blanks in a row, wherever JSON allows one.
    pub max_whitespace: u8,
    /// Which spellings of a string or a number are texts.
    pub spelling: Spelling,
    /// Whether declared keys stand in the schema's order.
    pub property_order: PropertyOrder,
}

/// Where in a text the machine stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    reading: Reading,
    stack: StackId,
    /// Of the key being read, the characters so far.
    text: TextId,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Reading {
    Value {
        context: ContextId,
        blanks: u8,
    },
    /// After `[`.
    ArrayStart {
        takes_items: bool,
        blanks: u8,
    },
    /// After `{`.
    ObjectStart {
        blanks: u8,
    },
    /// After a comma in an object.
    KeyStart {
        blanks: u8,
    },
    /// Within a mask, after the quote of a key: which keys are left is read when a byte of one comes.
    KeyOpened,
    Colon {
        context: ContextId,
        blanks: u8,
    },
    /// After a value.
    After {
        blanks: u8,
    },
    Characters(Characters),
    /// Within a character, which began in `of`.
    Partial {
        of: Characters,
        partial: Partial,
    },
    Number {
        state: StateId,
    },
    Literal {
        word: u8,
        at: u8,
        /// Of the frame's alternatives, those that have this value.
        set: u32,
    },
}

/// What the characters of a string lead through: the terminals of a value, or the keys of an object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Characters {
    /// A state of the terminals, or a key.
    id: u32,
    /// Of a key: which names are left. `NONE`: it is a value.
    availability: u32,
}

impl Characters {
    fn is_key(self) -> bool {
        self.availability != NONE
    }
}

/// The machine of one compiled schema, and what it has learned.
#[derive(Debug)]
pub struct JsonMachine {
    schema: Arc<Schema>,
    terminals: Terminals,
    vocab: Arc<Vocab>,
    index: Arc<VocabularyIndex>,
    options: JsonOptions,
    fuel: Fuel,
    start: State,
    learned: Learned,
    /// Within a mask, keys that end leave their frames unbuilt.
    in_mask: bool,
}

/// What `forget` forgets.
#[derive(Debug, Default)]
struct Learned {
    contexts: Vec<Context>,
    context_ids: Map<Box<[(AlternativeId, Alternatives)]>, ContextId>,
    object_tables: Vec<Arc<ObjectTable>>,
    object_table_ids: Map<Box<[(AlternativeId, Alternatives)]>, u32>,
    array_tables: Vec<Arc<ArrayTable>>,
    array_table_ids: Map<Box<[(AlternativeId, Alternatives)]>, u32>,
    frames: Interner<Frame>,
    frame_infos: Vec<FrameInfo>,
    stack: Interner<(FrameId, StackId)>,
    depths: Vec<u32>,
    seen: Interner<Seen>,
    summaries: Interner<Summary>,
    sets: Interner<Alternatives>,
    texts: Interner<(u32, TextId)>,
    keys: Interner<Key>,
    key_steps: Map<(u32, u32), u32>,
    key_ends: Map<Characters, Option<KeyEnd>>,
    alive_keys: Map<Characters, bool>,
    canonical_keys: Map<Characters, Characters>,
    availabilities: Interner<Availability>,
    seen_extents: Map<u32, (u32, u32)>,
    recorder: Recorder,
    cache: Cache,
    /// Of what the collections hold in boxes of their own.
    boxed_bytes: usize,
}

impl JsonMachine {
    /// The machine of a schema whose terms `terminals` hold.
    pub fn new(
        schema: Schema,
        mut terminals: Terminals,
        vocab: Arc<Vocab>,
        index: Arc<VocabularyIndex>,
        options: JsonOptions,
        fuel: &mut Fuel,
    ) -> Result<Self> {
        let start = State { reading: Reading::After { blanks: 0 }, stack: ROOT, text: 0 };
        let learned = Learned::default();
        let schema = Arc::new(schema);
        terminals.keep();
        let mut machine =
            Self { schema, terminals, vocab, index, options, fuel: *fuel, start, learned, in_mask: false };
        let made = machine.begin();
        *fuel = machine.fuel;
        made.map(|()| machine)
    }

    fn begin(&mut self) -> Result<()> {
        let cache = Cache::new(self.index.inside_up_to(u32::MAX));
        self.learned = Learned { cache, ..Learned::default() };
        let frame = self.frame(Frame::Root)?;
        self.push(frame, ROOT);
        self.learned.texts.insert((0, 0));
        let root = self.schema.root();
        let members = self.schema.alternatives(root).iter().map(|&id| (id, Alternatives::one(0))).collect();
        let context = self.context(members)?;
        self.visit_alternatives()?;
        self.start = State { reading: Reading::Value { context, blanks: 0 }, stack: ROOT, text: 0 };
        Ok(())
    }

    /// Before the first byte.
    pub fn start(&self) -> State {
        self.start
    }

    /// What was compiled.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// After one more byte; None: no text has it here.
    pub fn step(&mut self, state: State, byte: u8, fuel: &mut Fuel) -> Result<Option<State>> {
        self.fuel = *fuel;
        let next = self.advance(state, byte);
        *fuel = self.fuel;
        next
    }

    /// The same after some bytes.
    pub fn walk(&mut self, state: State, bytes: &[u8], fuel: &mut Fuel) -> Result<Option<State>> {
        self.fuel = *fuel;
        let next = self.advance_all(state, bytes);
        *fuel = self.fuel;
        next
    }

    fn advance_all(&mut self, mut state: State, bytes: &[u8]) -> Result<Option<State>> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            // Most bytes are characters of a string, which change nothing but where it stands.
            if let Reading::Characters(of) = state.reading
                && is_plain(byte)
            {
                let n = rest.iter().take_while(|&&byte| is_plain(byte)).count();
                let (plain, after) = rest.split_at(n);
                self.fuel.spend(n as u64)?;
                let Some(next) = self.read_plain(state, of, plain)? else { return Ok(None) };
                state = next;
                rest = after;
                continue;
            }
            let Some(next) = self.advance(state, byte)? else { return Ok(None) };
            state = next;
            rest = after;
        }
        Ok(Some(state))
    }

    /// After some characters of a string, a byte each.
    fn read_plain(&mut self, state: State, mut of: Characters, plain: &[u8]) -> Result<Option<State>> {
        let mut text = state.text;
        if of.is_key() {
            let remembers = !self.in_mask && self.remembers_text(of);
            for &byte in plain {
                let Some(next) = self.read_key(of, byte.into())? else { return Ok(None) };
                of = next;
                if remembers {
                    text = self.learned.texts.insert_full((byte.into(), text)).0 as TextId;
                }
            }
        } else {
            for &byte in plain {
                of.id = self.terminals.next(of.id, byte.into(), &mut self.fuel)?;
                if of.id == DEAD {
                    return Ok(None);
                }
            }
        }
        Ok(Some(State { reading: Reading::Characters(of), text, ..state }))
    }

    /// Whether the text may end here.
    pub fn is_accepting(&self, state: State) -> bool {
        state.stack == ROOT
            && match state.reading {
                Reading::After { .. } => true,
                Reading::Number { state } => !self.terminals.accepts(state).is_empty(),
                _ => false,
            }
    }

    /// Bytes held by what was compiled and learned.
    pub fn bytes(&self) -> usize {
        let learned = &self.learned;
        let of = |n: usize, each: usize| n * (each + 16);
        self.terminals.bytes()
            + learned.boxed_bytes
            + learned.cache.bytes()
            + of(learned.frames.len(), size_of::<Frame>() + size_of::<FrameInfo>())
            + of(learned.stack.len(), size_of::<(FrameId, StackId)>() + 4)
            + of(learned.texts.len(), size_of::<(u32, TextId)>())
            + of(learned.contexts.len(), size_of::<Context>())
            + of(learned.seen.len(), size_of::<Seen>())
            + of(learned.keys.len(), size_of::<Key>())
            + of(learned.availabilities.len(), size_of::<Availability>())
            + of(learned.key_steps.len() + learned.alive_keys.len() + learned.canonical_keys.len(), 16)
            + of(learned.key_ends.len(), size_of::<Option<KeyEnd>>() + 8)
    }

    /// Drop what was learned since compile. Every state but `start` is void afterwards.
    pub fn forget(&mut self, fuel: &mut Fuel) -> Result<()> {
        self.terminals.forget();
        self.fuel = *fuel;
        let made = self.begin();
        *fuel = self.fuel;
        made
    }

    fn advance(&mut self, state: State, byte: u8) -> Result<Option<State>> {
        self.fuel.spend(1)?;
        let to = |reading| Ok(Some(State { reading, ..state }));
        if matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
            && let Some(reading) = state.reading.after_blank()
        {
            return Ok((state.reading.blanks() < self.options.max_whitespace).then_some(State { reading, ..state }));
        }
        match state.reading {
            Reading::Value { context, .. } => self.value(state.stack, context, byte),
            Reading::ArrayStart { takes_items, .. } => match byte {
                b']' => self.close(state.stack),
                _ if !takes_items => Ok(None),
                _ => match self.item(state.stack)? {
                    Some((context, stack)) => self.value(stack, context, byte),
                    None => Ok(None),
                },
            },
            Reading::ObjectStart { .. } => match byte {
                b'}' => self.close(state.stack),
                b'"' if self.summary(state.stack)?.takes_more => self.open_key(state),
                _ => Ok(None),
            },
            Reading::KeyStart { .. } => match byte {
                b'"' => self.open_key(state),
                _ => Ok(None),
            },
            Reading::KeyOpened => match self.key_start(state.stack)? {
                Some(of) => self.advance(State { reading: Reading::Characters(of), ..state }, byte),
                None => Ok(None),
            },
            Reading::Colon { context, .. } => match byte {
                b':' => to(Reading::Value { context, blanks: 0 }),
                _ => Ok(None),
            },
            Reading::After { .. } => self.after(state, byte),
            Reading::Characters(of) => self.character(state, of, byte),
            Reading::Partial { of, partial } => self.partial(state, of, partial, byte),
            Reading::Number { state: number } => self.number(state, number, byte),
            Reading::Literal { word, at, set } => {
                let spelled = WORDS[usize::from(word)];
                match spelled.get(usize::from(at)) {
                    Some(&expected) if expected == byte => {}
                    _ => return Ok(None),
                }
                if usize::from(at) + 1 < spelled.len() {
                    return to(Reading::Literal { word, at: at + 1, set });
                }
                let set = self.learned.sets.get_index(set as usize).copied().unwrap_or_default();
                self.end_value(state.stack, set)
            }
        }
    }

    /// The first byte of a value.
    fn value(&mut self, stack: StackId, context: ContextId, byte: u8) -> Result<Option<State>> {
        let Some(&Context { string, number, object, array, literals }) = self.learned.contexts.get(context as usize)
        else {
            return Ok(None);
        };
        let to = |reading| Ok(Some(State { reading, stack, text: 0 }));
        match byte {
            b'"' if string != DEAD => to(Reading::Characters(Characters { id: string, availability: NONE })),
            b'{' if object != NONE => {
                let frame = self.object_start(object)?;
                let stack = self.push(frame, stack);
                Ok(Some(State { reading: Reading::ObjectStart { blanks: 0 }, stack, text: 0 }))
            }
            b'[' if array != NONE => {
                let frame = self.array_start(array)?;
                let takes_items = self.summary_of(frame)?.takes_more;
                let stack = self.push(frame, stack);
                Ok(Some(State { reading: Reading::ArrayStart { takes_items, blanks: 0 }, stack, text: 0 }))
            }
            b'-' | b'0'..=b'9' if number != DEAD => match self.terminals.next(number, byte.into(), &mut self.fuel)? {
                DEAD => Ok(None),
                state => to(Reading::Number { state }),
            },
            b'n' | b't' | b'f' => {
                let word = usize::from(byte != b'n') + usize::from(byte == b'f');
                if literals[word].is_empty() {
                    return Ok(None);
                }
                let set = self.learned.sets.insert_full(literals[word]).0 as u32;
                to(Reading::Literal { word: word as u8, at: 1, set })
            }
            _ => Ok(None),
        }
    }

    /// After a whole value that these alternatives of the frame on top have.
    fn end_value(&mut self, stack: StackId, set: Alternatives) -> Result<Option<State>> {
        let alive = self.alive(stack)?;
        let left = alive.and(set);
        if left.is_empty() {
            return Ok(None);
        }
        let stack = if left == alive { stack } else { self.narrow(stack, left)? };
        Ok(Some(State { reading: Reading::After { blanks: 0 }, stack, text: 0 }))
    }

    fn after(&mut self, state: State, byte: u8) -> Result<Option<State>> {
        match byte {
            b'}' | b']' => {
                let summary = self.summary(state.stack)?;
                match summary.closing == byte {
                    true => self.close(state.stack),
                    false => Ok(None),
                }
            }
            b',' => {
                let next_key = Ok(Some(State { reading: Reading::KeyStart { blanks: 0 }, ..state }));
                if self.takes_any_key(state.stack)? {
                    return next_key;
                }
                let summary = self.summary(state.stack)?;
                match summary.closing {
                    b'}' if summary.takes_more => next_key,
                    b']' if summary.takes_more => {
                        let item = self.item(state.stack)?;
                        Ok(item.map(|(context, stack)| State {
                            reading: Reading::Value { context, blanks: 0 },
                            stack,
                            text: 0,
                        }))
                    }
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    fn close(&mut self, stack: StackId) -> Result<Option<State>> {
        let closed = self.summary(stack)?.closed;
        match closed.is_empty() {
            true => Ok(None),
            false => self.end_value(self.parent(stack), closed),
        }
    }

    fn open_key(&mut self, state: State) -> Result<Option<State>> {
        if self.in_mask {
            return Ok(Some(State { reading: Reading::KeyOpened, text: 0, ..state }));
        }
        let start = self.key_start(state.stack)?;
        Ok(start.map(|of| State { reading: Reading::Characters(of), text: 0, ..state }))
    }

    fn number(&mut self, state: State, number: StateId, byte: u8) -> Result<Option<State>> {
        if byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-') {
            return Ok(match self.terminals.next(number, byte.into(), &mut self.fuel)? {
                DEAD => None,
                number => Some(State { reading: Reading::Number { state: number }, ..state }),
            });
        }
        let set = self.terminals.accepts(number);
        if set.is_empty() || !matches!(byte, b' ' | b'\n' | b'\t' | b'\r' | b',' | b'}' | b']') {
            return Ok(None);
        }
        match self.end_value(state.stack, set)? {
            Some(after) => self.advance(after, byte),
            None => Ok(None),
        }
    }

    /// A byte within a string, where no character has begun.
    fn character(&mut self, state: State, of: Characters, byte: u8) -> Result<Option<State>> {
        match byte {
            b'"' if of.is_key() => self.close_key(state, of),
            b'"' => match self.terminals.accepts(of.id) {
                set if set.is_empty() => Ok(None),
                set => self.end_value(state.stack, set),
            },
            _ if is_plain(byte) => self.read(state, of, byte.into()),
            _ => match Partial::begin(byte, Wrapping::JsonString) {
                Read::Nothing => Ok(None),
                Read::CodePoint(code_point) => self.read(state, of, code_point),
                Read::More(partial) => self.begun(state, of, partial),
            },
        }
    }

    /// A byte within a character.
    fn partial(&mut self, state: State, of: Characters, partial: Partial, byte: u8) -> Result<Option<State>> {
        let is_canonical = self.options.spelling == Spelling::Canonical;
        if is_canonical && !is_canonical_byte(partial, byte) {
            return Ok(None);
        }
        match partial.read(byte) {
            Read::Nothing => Ok(None),
            Read::CodePoint(code_point) => match partial {
                Partial::Unit { .. } if is_canonical && !needs_digits(code_point) => Ok(None),
                _ => self.read(state, of, code_point),
            },
            Read::More(partial) => self.begun(state, of, partial),
        }
    }

    /// A character that is not complete; None: it can become none that may be read.
    fn begun(&mut self, state: State, of: Characters, partial: Partial) -> Result<Option<State>> {
        // A canonical spelling has escapes of a few characters alone.
        let may_be: Option<fn(u32) -> bool> = match partial {
            _ if self.options.spelling == Spelling::Any => None,
            Partial::Utf8 { .. } => None,
            Partial::Escape => Some(|code_point| matches!(code_point, 0..0x20 | 0x22 | 0x5c)),
            _ => Some(needs_digits),
        };
        let mut can = false;
        for (low, high) in partial.ranges() {
            match may_be {
                None => can = can || self.can_read(of, low, high)?,
                Some(may_be) => {
                    for code_point in (low..=high.min(0x5c)).filter(|&code_point| may_be(code_point)) {
                        can = can || self.can_read(of, code_point, code_point)?;
                    }
                }
            }
        }
        Ok(can.then_some(State { reading: Reading::Partial { of, partial }, ..state }))
    }

    /// Whether some character of this range may be read next. The range may hold surrogates, which are none.
    fn can_read(&mut self, of: Characters, low: u32, high: u32) -> Result<bool> {
        match of.is_key() {
            true => self.can_read_key(of, low, high),
            false => self.terminals.can_read(of.id, low, high, &mut self.fuel),
        }
    }

    /// After one more character of a string.
    fn read(&mut self, state: State, of: Characters, code_point: u32) -> Result<Option<State>> {
        if (0xd800..0xe000).contains(&code_point) {
            return Ok(None);
        }
        if !of.is_key() {
            return Ok(match self.terminals.next(of.id, code_point, &mut self.fuel)? {
                DEAD => None,
                id => Some(State { reading: Reading::Characters(Characters { id, ..of }), ..state }),
            });
        }
        let Some(of) = self.read_key(of, code_point)? else { return Ok(None) };
        let text = match self.in_mask || !self.remembers_text(of) {
            true => 0,
            false => self.learned.texts.insert_full((code_point, state.text)).0 as TextId,
        };
        Ok(Some(State { reading: Reading::Characters(of), text, ..state }))
    }
}

/// A byte that is a character of a string by itself.
#[inline]
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7f) && !matches!(byte, b'"' | b'\\')
}

/// Whether a canonical spelling knows a character by the digits of its code point alone.
fn needs_digits(code_point: u32) -> bool {
    matches!(code_point, 0..0x20) && !matches!(code_point, 0x08..=0x0a | 0x0c | 0x0d)
}

/// Whether a canonical spelling may have this byte within a character.
fn is_canonical_byte(partial: Partial, byte: u8) -> bool {
    match partial {
        Partial::Utf8 { .. } => true,
        Partial::Escape => byte != b'/',
        _ => !byte.is_ascii_uppercase(),
    }
}

impl State {
    fn without_blanks(self) -> Self {
        Self { reading: self.reading.with_blanks(0).unwrap_or(self.reading), ..self }
    }
}

impl Reading {
    fn blanks(self) -> u8 {
        match self {
            Self::Value { blanks, .. }
            | Self::ArrayStart { blanks, .. }
            | Self::ObjectStart { blanks }
            | Self::KeyStart { blanks }
            | Self::Colon { blanks, .. }
            | Self::After { blanks } => blanks,
            _ => 0,
        }
    }

    /// The same with this many blanks read; None: a blank is no blank here.
    fn with_blanks(self, blanks: u8) -> Option<Self> {
        Some(match self {
            Self::Value { context, .. } => Self::Value { context, blanks },
            Self::ArrayStart { takes_items, .. } => Self::ArrayStart { takes_items, blanks },
            Self::ObjectStart { .. } => Self::ObjectStart { blanks },
            Self::KeyStart { .. } => Self::KeyStart { blanks },
            Self::Colon { context, .. } => Self::Colon { context, blanks },
            Self::After { .. } => Self::After { blanks },
            _ => return None,
        })
    }

    /// The string that is being read.
    fn characters(self) -> Option<Characters> {
        match self {
            Self::Characters(of) | Self::Partial { of, .. } => Some(of),
            _ => None,
        }
    }

    fn after_blank(self) -> Option<Self> {
        self.with_blanks(self.blanks().saturating_add(1))
    }
}

fn too_many_alternatives(n: usize) -> Error {
    Error::Limit { limit: "grammar_alternatives", got: n as u64, maximum: Alternatives::CAPACITY as u64 }
}
