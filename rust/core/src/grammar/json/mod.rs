//! JSON as a machine of bytes: a schema's alternatives read side by side over one stack of open objects and arrays.
//!
//! Brackets are visible, so alternatives never fork the stack: which of them are still possible is a set in each frame. What
//! a state is made of is interned; a state is a few numbers, and to fork or to go back is to keep one. How masks are made
//! of it is `fill`'s business.

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
    Escape(Characters),
    Hex {
        of: Characters,
        n_left: u8,
        value: u16,
    },
    /// The second half of a pair, from its backslash on.
    LowSurrogate {
        of: Characters,
        high: u16,
        n_left: u8,
        value: u16,
    },
    Utf8 {
        of: Characters,
        n_left: u8,
        value: u32,
        /// 0 after the second byte.
        lead: u8,
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
        terminals.keep();
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
        self.learned = Learned::default();
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
            Reading::Escape(of) => self.escape(state, of, byte),
            Reading::Hex { of, n_left, value } => self.hex(state, of, n_left, value, byte),
            Reading::LowSurrogate { of, high, n_left, value } => {
                self.low_surrogate(state, of, high, (n_left, value), byte)
            }
            Reading::Utf8 { of, n_left, value, lead } => self.continuation(state, of, (n_left, value, lead), byte),
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
        let to = |reading| Ok(Some(State { reading, ..state }));
        match byte {
            b'"' if of.is_key() => self.close_key(state, of),
            b'"' => match self.terminals.accepts(of.id) {
                set if set.is_empty() => Ok(None),
                set => self.end_value(state.stack, set),
            },
            b'\\' => match self.can_escape(of, 0, 0xffff)? || self.can_escape(of, 0x10000, 0x10ffff)? {
                true => to(Reading::Escape(of)),
                false => Ok(None),
            },
            0x20..=0x7f => self.read(state, of, byte.into()),
            0xc2..=0xf4 => {
                let (n_left, value) = match byte {
                    0xc2..=0xdf => (1, u32::from(byte & 0x1f)),
                    0xe0..=0xef => (2, u32::from(byte & 0x0f)),
                    _ => (3, u32::from(byte & 0x07)),
                };
                let low = (value << (6 * n_left)).max(match n_left {
                    1 => 0x80,
                    2 => 0x800,
                    _ => 0x10000,
                });
                match self.can_read(of, low, (((value + 1) << (6 * n_left)) - 1).min(0x10ffff))? {
                    true => to(Reading::Utf8 { of, n_left, value, lead: byte }),
                    false => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    fn continuation(
        &mut self,
        state: State,
        of: Characters,
        (n_left, value, lead): (u8, u32, u8),
        byte: u8,
    ) -> Result<Option<State>> {
        // RFC 3629, section 4: UTF8-tail, narrower after these.
        let tail = match lead {
            0xe0 => 0xa0..=0xbf,
            0xed => 0x80..=0x9f,
            0xf0 => 0x90..=0xbf,
            0xf4 => 0x80..=0x8f,
            _ => 0x80..=0xbf,
        };
        if !tail.contains(&byte) {
            return Ok(None);
        }
        let value = value << 6 | u32::from(byte & 0x3f);
        let n_left = n_left - 1;
        if n_left == 0 {
            return self.read(state, of, value);
        }
        let (low, high) = (value << (6 * n_left), ((value + 1) << (6 * n_left)) - 1);
        Ok(self
            .can_read(of, low, high)?
            .then_some(State { reading: Reading::Utf8 { of, n_left, value, lead: 0 }, ..state }))
    }

    fn escape(&mut self, state: State, of: Characters, byte: u8) -> Result<Option<State>> {
        let code_point = match byte {
            b'"' | b'\\' => byte.into(),
            b'/' if self.options.spelling == Spelling::Any => byte.into(),
            b'b' => 0x08,
            b't' => 0x09,
            b'n' => 0x0a,
            b'f' => 0x0c,
            b'r' => 0x0d,
            b'u' => {
                let can = self.can_spell(of, 0, 0xffff)?;
                return Ok(can.then_some(State { reading: Reading::Hex { of, n_left: 4, value: 0 }, ..state }));
            }
            _ => return Ok(None),
        };
        self.read(state, of, code_point)
    }

    fn hex(&mut self, state: State, of: Characters, n_left: u8, value: u16, byte: u8) -> Result<Option<State>> {
        let Some(digit) = self.hex_digit(byte) else { return Ok(None) };
        let value = value << 4 | digit;
        let n_left = n_left - 1;
        let low = u32::from(value) << (4 * n_left);
        let high = ((u32::from(value) + 1) << (4 * n_left)) - 1;
        if !self.can_spell(of, low, high)? {
            return Ok(None);
        }
        match value {
            _ if n_left > 0 => Ok(Some(State { reading: Reading::Hex { of, n_left, value }, ..state })),
            0xd800..=0xdbff => {
                Ok(Some(State { reading: Reading::LowSurrogate { of, high: value, n_left: 6, value: 0 }, ..state }))
            }
            _ => self.read(state, of, value.into()),
        }
    }

    fn low_surrogate(
        &mut self,
        state: State,
        of: Characters,
        high: u16,
        (n_left, value): (u8, u16),
        byte: u8,
    ) -> Result<Option<State>> {
        let to = |n_left, value| Some(State { reading: Reading::LowSurrogate { of, high, n_left, value }, ..state });
        match n_left {
            6 => return Ok(if byte == b'\\' { to(5, 0) } else { None }),
            5 => return Ok(if byte == b'u' { to(4, 0) } else { None }),
            _ => {}
        }
        let Some(digit) = self.hex_digit(byte) else { return Ok(None) };
        let value = value << 4 | digit;
        let n_left = n_left - 1;
        let low = (u32::from(value) << (4 * n_left)).max(0xdc00);
        let last = (((u32::from(value) + 1) << (4 * n_left)) - 1).min(0xdfff);
        if low > last {
            return Ok(None);
        }
        let base = astral(high);
        match n_left {
            0 => self.read(state, of, base + (low - 0xdc00)),
            _ => Ok(match self.can_read(of, base + (low - 0xdc00), base + (last - 0xdc00))? {
                true => to(n_left, value),
                false => None,
            }),
        }
    }

    fn hex_digit(&self, byte: u8) -> Option<u16> {
        let digit = (byte as char).to_digit(16)? as u16;
        (self.options.spelling == Spelling::Any || !byte.is_ascii_uppercase()).then_some(digit)
    }

    /// Whether an escape that is begun can end in a character of this range.
    fn can_escape(&mut self, of: Characters, low: u32, high: u32) -> Result<bool> {
        if self.options.spelling == Spelling::Any {
            return self.can_read(of, low, high);
        }
        for code_point in (0..0x20).chain([0x22, 0x5c]).filter(|code_point| (low..=high).contains(code_point)) {
            if self.can_read(of, code_point, code_point)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether four digits in this range spell a character, or the first half of one.
    fn can_spell(&mut self, of: Characters, low: u32, high: u32) -> Result<bool> {
        if self.options.spelling == Spelling::Canonical {
            let without_name = |code_point: &u32| !matches!(code_point, 0x08..=0x0a | 0x0c | 0x0d);
            for code_point in (0..0x20).filter(without_name).filter(|code_point| (low..=high).contains(code_point)) {
                if self.can_read(of, code_point, code_point)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        let halves = (low.max(0xd800), high.min(0xdbff));
        Ok(low < 0xd800 && self.can_read(of, low, high.min(0xd7ff))?
            || high > 0xdfff && self.can_read(of, low.max(0xe000), high)?
            || halves.0 <= halves.1 && self.can_read(of, astral(halves.0 as u16), astral(halves.1 as u16) + 0x3ff)?)
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

/// The first character whose first half this is.
fn astral(high: u16) -> u32 {
    0x10000 + ((u32::from(high) - 0xd800) << 10)
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
            Self::Characters(of)
            | Self::Escape(of)
            | Self::Hex { of, .. }
            | Self::LowSurrogate { of, .. }
            | Self::Utf8 { of, .. } => Some(of),
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
