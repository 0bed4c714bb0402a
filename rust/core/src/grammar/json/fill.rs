//! Masks of the JSON machine: tokens are walked along tries, and what a walk has come to is kept under what it has
//! read.
//!
//! The key is the reading in its canonical form, then the answers to the questions that the walk asked of the stack,
//! one after the other: equal answers ask the same next question. So deeper nesting, other counts and other keys find
//! the same mask. A mask from the cache is the mask that would have been made; a test holds them to it at every step.

use std::sync::Arc;

use super::context::Context;
use super::store::Masks;
use super::{Characters, ContextId, DEAD, JsonMachine, Reading, StackId, State};
use crate::error::Result;
use crate::grammar::alternatives::Alternatives;
use crate::grammar::hash::Map;
use crate::grammar::index::{self, NONE, Node, Rests};
use crate::grammar::schema::Spelling;
use crate::grammar::term::Terms;
use crate::grammar::terminal::{StateId, Terminal, Wrapping};
use crate::limits::Fuel;
use crate::mask;

/// What may be asked of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Query {
    /// What the bytes after a value see of it.
    Summary,
    /// Which keys may come.
    Keys,
    /// Which frame it is, counts far from every bound not told apart.
    Full,
}

/// A question: of the frame so far below the top.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Question {
    query: Query,
    below: u32,
}

/// Takes down what is asked of the stack while a mask is made.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    is_on: bool,
    start: StackId,
    /// The cells below the start, as far as they were looked at.
    path: Vec<StackId>,
    asked: Vec<u8>,
    log: Vec<(Question, StackId)>,
}

impl Recorder {
    fn begin(&mut self, start: StackId) {
        self.is_on = true;
        self.start = start;
        self.path.clear();
        self.path.push(start);
        self.asked.clear();
        self.asked.push(0);
        self.log.clear();
    }
}

#[derive(Debug, Clone, Copy)]
enum Entry {
    Mask(u32),
    Ask(Question),
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    masks: Masks,
    /// What was found for a reading on a stack: the mask.
    found: Map<(Reading, StackId), u32>,
    roots: Map<Reading, u32>,
    entries: Vec<Entry>,
    /// From an entry that asks, by the answer.
    answers: Map<(u32, u64), u32>,
}

impl Cache {
    /// With a mask that many others resemble.
    pub(super) fn new(base: Arc<[u32]>) -> Self {
        Self { masks: Masks::new(base), ..Self::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.masks.bytes()
            + self.found.len() * (size_of::<(Reading, StackId)>() + 20)
            + self.roots.len() * (size_of::<Reading>() + 20)
            + self.entries.len() * size_of::<Entry>()
            + self.answers.len() * 40
    }
}

impl JsonMachine {
    /// Take down that a cell was asked, if a mask is being made.
    pub(super) fn observe(&mut self, stack: StackId, query: Query) {
        if !self.learned.recorder.is_on {
            return;
        }
        let start = self.learned.recorder.start;
        let Some(below) = self.depth(start).checked_sub(self.depth(stack)) else { return };
        while self.learned.recorder.path.len() <= below as usize {
            let last = self.learned.recorder.path.last().copied().unwrap_or(start);
            let parent = self.parent(last);
            self.learned.recorder.path.push(parent);
            self.learned.recorder.asked.push(0);
        }
        let recorder = &mut self.learned.recorder;
        let bit = 1 << query as u8;
        // A cell that the walk has made comes of what was asked already.
        if recorder.path[below as usize] == stack && recorder.asked[below as usize] & bit == 0 {
            recorder.asked[below as usize] |= bit;
            recorder.log.push((Question { query, below }, stack));
        }
    }

    /// Set the bit of each token that may come next, and no other. `mask` has the vocabulary's words. Tokens that end a
    /// generation are the caller's.
    pub fn fill(&mut self, state: State, mask: &mut [u32], fuel: &mut Fuel) -> Result<()> {
        self.fuel = *fuel;
        let filled = self.fill_with(state, mask, true);
        *fuel = self.fuel;
        filled
    }

    /// The same without the cache.
    #[cfg(test)]
    pub(super) fn fill_fresh(&mut self, state: State, mask: &mut [u32], fuel: &mut Fuel) -> Result<()> {
        self.fuel = *fuel;
        let filled = self.fill_with(state, mask, false);
        *fuel = self.fuel;
        filled
    }

    fn fill_with(&mut self, state: State, mask: &mut [u32], cached: bool) -> Result<()> {
        let blanks = state.reading.blanks();
        let state = State { reading: state.reading.with_blanks(0).unwrap_or(state.reading), ..state };
        match cached {
            true => self.fill_cached(state, mask)?,
            false => self.compute(State { text: 0, ..state }, mask)?,
        }
        if blanks > 0 {
            let left = usize::from(self.options.max_whitespace.saturating_sub(blanks));
            for &token in self.index.leading_whitespace(left) {
                disallow(mask, token);
            }
        }
        // Whether a key comes twice within one of these depends on its whole text.
        if !self.index.rich.is_empty()
            && state.reading.characters().is_some_and(|of| of.is_key() && self.remembers_text(of))
        {
            self.fill_rich(state, mask)?;
        }
        Ok(())
    }

    /// The mask of a state without blanks but for what depends on a key's text.
    fn fill_cached(&mut self, state: State, mask: &mut [u32]) -> Result<()> {
        let place = (state.reading, state.stack);
        if let Some(&id) = self.learned.cache.found.get(&place) {
            self.learned.cache.masks.copy(id, mask);
            return Ok(());
        }
        let canonical = State { reading: self.canonical_reading(state.reading)?, text: 0, ..state };
        if self.is_near_its_length(canonical.reading) {
            return self.compute(canonical, mask);
        }
        let id = match self.find(canonical)? {
            Some(id) => {
                self.learned.cache.masks.copy(id, mask);
                id
            }
            None => self.make(canonical, mask)?,
        };
        self.learned.cache.found.insert(place, id);
        Ok(())
    }

    /// Only between characters: through an escape or a character that is cut, a token comes further than the tables of
    /// whole ones know.
    fn canonical_reading(&mut self, reading: Reading) -> Result<Reading> {
        Ok(match reading {
            Reading::Characters(of) if of.is_key() => Reading::Characters(self.canonical_key(of)?),
            Reading::Characters(of) => {
                let id = self.terminals.canonical(of.id, &self.index, &mut self.fuel)?;
                Reading::Characters(Characters { id, ..of })
            }
            other => other.with_blanks(0).unwrap_or(other),
        })
    }

    /// A free string with a bound on its length: its mask is cheaper to make than to keep.
    fn is_near_its_length(&self, reading: Reading) -> bool {
        let Reading::Characters(of) = reading else { return false };
        !of.is_key()
            && matches!(self.terminals.members(of.id), [(Terminal::Pattern { term: Terms::ANY, min, max }, _)] if (*min, *max) != (0, u32::MAX))
    }

    fn find(&mut self, state: State) -> Result<Option<u32>> {
        let mut at = self.learned.cache.roots.get(&state.reading).copied();
        while let Some(entry) = at {
            match self.learned.cache.entries[entry as usize] {
                Entry::Mask(id) => return Ok(Some(id)),
                Entry::Ask(Question { query, below }) => {
                    let cell = (0..below).fold(state.stack, |cell, _| self.parent(cell));
                    let answer = self.answer(cell, query)?;
                    at = self.learned.cache.answers.get(&(entry, answer)).copied();
                }
            }
        }
        Ok(None)
    }

    /// Make a mask and keep it: its number.
    fn make(&mut self, state: State, mask: &mut [u32]) -> Result<u32> {
        self.learned.recorder.begin(state.stack);
        let made = self.compute(state, mask);
        self.learned.recorder.is_on = false;
        made?;
        let id = self.learned.cache.masks.insert(mask);
        let log = std::mem::take(&mut self.learned.recorder.log);
        let mut asked = Vec::with_capacity(log.len());
        for (question, cell) in log {
            asked.push((question, self.answer(cell, question.query)?));
        }
        self.keep(state.reading, &asked, id);
        Ok(id)
    }

    fn keep(&mut self, reading: Reading, asked: &[(Question, u64)], id: u32) {
        let Cache { roots, entries, answers, .. } = &mut self.learned.cache;
        let mut known = roots.get(&reading).copied();
        let mut from = None;
        let mut n_known = 0;
        while let (Some(at), Some(&(question, answer))) = (known, asked.get(n_known)) {
            // Another question after equal answers would be a fault of ours; the mask is right all the same.
            if !matches!(entries[at as usize], Entry::Ask(asked) if asked == question) {
                return debug_assert!(false, "{reading:?} asks {question:?}");
            }
            from = Some((at, answer));
            known = answers.get(&(at, answer)).copied();
            n_known += 1;
        }
        if known.is_some() {
            return debug_assert!(false, "{reading:?} was there");
        }
        // The chain of what is not there yet, from its end.
        let mut last = entries.len() as u32;
        entries.push(Entry::Mask(id));
        for &(question, answer) in asked[n_known..].iter().rev() {
            let entry = entries.len() as u32;
            entries.push(Entry::Ask(question));
            answers.insert((entry, answer), last);
            last = entry;
        }
        match from {
            None => roots.insert(reading, last),
            Some(from) => answers.insert(from, last),
        };
    }

    fn compute(&mut self, state: State, mask: &mut [u32]) -> Result<()> {
        self.in_mask = true;
        let walked = self.compute_walks(state, mask);
        self.in_mask = false;
        walked?;
        match state.reading.characters() {
            Some(of) if of.is_key() => Ok(()),
            _ => self.fill_rich(state, mask),
        }
    }

    /// Tokens that may hold a key twice, each with its text.
    fn fill_rich(&mut self, state: State, mask: &mut [u32]) -> Result<()> {
        let (index, vocab) = (self.index.clone(), self.vocab.clone());
        for &token in &*index.rich {
            let mut at = Some(state);
            for &byte in vocab.token_bytes(token).unwrap_or_default() {
                let Some(state) = at else { break };
                at = self.advance(state, byte)?;
            }
            match at {
                Some(_) => mask::allow(mask, token as usize),
                None => disallow(mask, token),
            }
        }
        Ok(())
    }

    fn compute_walks(&mut self, state: State, mask: &mut [u32]) -> Result<()> {
        mask.fill(0);
        match state.reading {
            Reading::Characters(of) if of.is_key() => self.compute_key(state, of, mask),
            Reading::Characters(of) => self.compute_string(state, of.id, mask),
            Reading::Partial { .. } => {
                let index = self.index.clone();
                self.walk_all(&index.trie, state, mask)
            }
            _ => self.compute_outside(state, mask),
        }
    }

    /// Outside a string: what follows the blanks of a token is walked once for all tokens that go on so.
    fn compute_outside(&mut self, state: State, mask: &mut [u32]) -> Result<()> {
        let index = self.index.clone();
        let most = u32::from(self.options.max_whitespace);
        match state.reading {
            Reading::Number { state: number } => {
                self.walk_rests(&index.outside, state, 0..=0, mask)?;
                self.walk_numbers(number, mask)?;
                // A blank ends it, and what follows does not see that it was a number.
                match self.advance(state, b' ')? {
                    Some(after) => self.fill_rests(&index.outside, after.without_blanks(), 1..=most, mask),
                    None => Ok(()),
                }
            }
            Reading::Literal { .. } => self.walk_rests(&index.outside, state, 0..=0, mask),
            _ => {
                self.fill_rests(&index.outside, state, 0..=most, mask)?;
                match state.reading {
                    Reading::Value { context, .. } => self.walk_number_of(context, mask)?,
                    Reading::ArrayStart { takes_items: true, .. } => {
                        if let Some((context, _)) = self.item(state.stack)? {
                            self.walk_number_of(context, mask)?;
                        }
                    }
                    _ => {}
                }
                match self.advance(state, b'"')? {
                    Some(opened) => self.fill_opening(opened, 0..=most, mask),
                    None => Ok(()),
                }
            }
        }
    }

    fn compute_string(&mut self, state: State, id: StateId, mask: &mut [u32]) -> Result<()> {
        let index = self.index.clone();
        let inside = self.terminals.inside(id, Wrapping::JsonString, &index, &mut self.fuel)?;
        mask.copy_from_slice(&inside);
        self.spell(&index.escape, state, mask)?;
        match *self.terminals.members(id) {
            [(Terminal::Pattern { term: Terms::ANY, min, max }, set)] => {
                if let Some(after) = self.end_value(state.stack, set)? {
                    self.fill_rests(&index.closed, after, min..=max, mask)?;
                }
                self.spell(&index.closing_escape, state, mask)
            }
            _ => self.walk_all(&index.closing, state, mask),
        }
    }

    fn compute_key(&mut self, state: State, of: Characters, mask: &mut [u32]) -> Result<()> {
        let index = self.index.clone();
        if self.available(of).is_free {
            mask.copy_from_slice(&index.inside_up_to(u32::MAX));
            self.spell(&index.escape, state, mask)?;
            if !self.key(of).terms.iter().all(|&term| matches!(term, Terms::EMPTY | Terms::ANY)) {
                return self.walk_all(&index.closing, state, mask);
            }
            let other = self.apart(of);
            if let Some(after) = self.close_key(state, other)? {
                self.fill_rests(&index.closed, after, 0..=u32::MAX, mask)?;
            }
            if other != of {
                self.walk_ends(state, mask)?;
            }
            return self.spell(&index.closing_escape, state, mask);
        }
        for term in self.undeclared_terms(of) {
            let member = (Terminal::Pattern { term, min: 0, max: u32::MAX }, Alternatives::one(0));
            let id = self.terminals.start(vec![member], &mut self.fuel)?;
            if id != DEAD {
                let inside = self.terminals.inside(id, Wrapping::JsonString, &index, &mut self.fuel)?;
                mask.iter_mut().zip(&*inside).for_each(|(word, inside)| *word |= inside);
            }
        }
        self.spell(&index.escape, state, mask)?;
        self.walk_taken(state, of, mask)?;
        self.walk_all(&index.closing, state, mask)
    }

    /// Tokens that end a key which any text may go on, as far as it is a declared name or one there has been: all
    /// others say the same.
    fn walk_ends(&mut self, state: State, mask: &mut [u32]) -> Result<()> {
        let index = self.index.clone();
        let mut path = vec![state];
        // Where the tokens end that go on after a name.
        let mut after_name = 0;
        let mut at = 0;
        while let Some(node) = index.closing.get(at) {
            let depth = node.depth();
            let before = path[depth - 1];
            let skip = node.skip as usize;
            if at >= after_name
                && node.byte() == b'"'
                && let Reading::Characters(of) = before.reading
            {
                if !self.is_taken_name(of) {
                    at = skip;
                    continue;
                }
                after_name = skip;
                for node in index.closing[at..skip].iter().filter(|node| node.token != NONE) {
                    disallow(mask, node.token);
                }
            }
            let next = self.advance(before, node.byte())?;
            let goes_on =
                at < after_name || next.and_then(|next| next.reading.characters()).is_some_and(|of| self.is_near(of));
            match next.filter(|_| goes_on) {
                Some(next) => {
                    if node.token != NONE {
                        mask::allow(mask, node.token as usize);
                    }
                    path.truncate(depth);
                    path.push(next);
                    at += 1;
                }
                None => at = skip,
            }
        }
        Ok(())
    }

    /// Inside tokens along declared names and keys there have been, each exactly; a token that leaves both is in the
    /// languages of undeclared names alone, or not at all.
    fn walk_taken(&mut self, state: State, of: Characters, mask: &mut [u32]) -> Result<()> {
        let index = self.index.clone();
        let has_languages = !self.available(of).undeclared.is_empty();
        let mut path = vec![state];
        let mut at = 0;
        while let Some(node) = index.trie.get(at) {
            let depth = node.depth();
            let before = path[depth - 1];
            let next = self.advance(before, node.byte())?;
            let here = next.and_then(|next| next.reading.characters()).filter(|of| of.is_key());
            match (next, here) {
                (Some(next), Some(of)) if self.is_near(of) => {
                    if node.token != NONE {
                        mask::allow(mask, node.token as usize);
                    }
                    path.truncate(depth);
                    path.push(next);
                    at += 1;
                    continue;
                }
                // A language may go on where all its texts are taken.
                (None, _) if has_languages && self.may_go_on(before, node.byte())? => {
                    for node in &index.trie[at..node.skip as usize] {
                        if node.token != NONE {
                            disallow(mask, node.token);
                        }
                    }
                }
                _ => {}
            }
            at = node.skip as usize;
        }
        Ok(())
    }

    /// Whether a language of undeclared names goes on with a byte, whatever keys there have been.
    fn may_go_on(&mut self, state: State, byte: u8) -> Result<bool> {
        match state.reading {
            Reading::Characters(of) if (0x20..0x80).contains(&byte) && !matches!(byte, b'"' | b'\\') => {
                let of = self.stepped(of, byte.into())?;
                Ok(!self.undeclared_terms(of).is_empty())
            }
            _ => Ok(byte != b'"'),
        }
    }

    /// Where the spelling is narrowed, tokens with escapes are walked.
    fn spell(&mut self, with_escapes: &[Node], state: State, mask: &mut [u32]) -> Result<()> {
        if self.options.spelling == Spelling::Any {
            return Ok(());
        }
        for node in with_escapes.iter().filter(|node| node.token != NONE) {
            disallow(mask, node.token);
        }
        self.walk_all(with_escapes, state, mask)
    }

    /// Of tokens with beginnings of so many, those of which nothing is left, and those that go on from a state.
    fn fill_rests(
        &mut self,
        rests: &Rests,
        state: State,
        n: std::ops::RangeInclusive<u32>,
        mask: &mut [u32],
    ) -> Result<()> {
        allow_group(rests, 0, &n, mask);
        self.walk_rests(rests, state, n, mask)
    }

    /// Those that go on from a state.
    fn walk_rests(
        &mut self,
        rests: &Rests,
        state: State,
        n: std::ops::RangeInclusive<u32>,
        mask: &mut [u32],
    ) -> Result<()> {
        self.walk_trie(&rests.trie, state, |group| allow_group(rests, group, &n, mask))
    }

    /// Tokens that open a string and end inside it.
    fn fill_opening(&mut self, opened: State, n: std::ops::RangeInclusive<u32>, mask: &mut [u32]) -> Result<()> {
        let index = self.index.clone();
        let is_free = self.options.spelling == Spelling::Any
            && match opened.reading {
                Reading::KeyOpened => match self.key_start(opened.stack)? {
                    Some(of) => self.available(of).is_free,
                    None => return Ok(()),
                },
                Reading::Characters(of) => {
                    let any = Terminal::Pattern { term: Terms::ANY, min: 0, max: u32::MAX };
                    self.terminals.members(of.id).iter().any(|&(terminal, _)| terminal == any)
                }
                _ => false,
            };
        if !is_free {
            return self.fill_rests(&index.opening, opened, n, mask);
        }
        for group in 0..index.opening.groups.len() {
            allow_group(&index.opening, group as u32, &n, mask);
        }
        Ok(())
    }

    fn walk_number_of(&mut self, context: ContextId, mask: &mut [u32]) -> Result<()> {
        match self.learned.contexts.get(context as usize) {
            Some(&Context { number, .. }) => self.walk_numbers(number, mask),
            None => Ok(()),
        }
    }

    /// Tokens that stay inside a number.
    fn walk_numbers(&mut self, number: StateId, mask: &mut [u32]) -> Result<()> {
        if number == DEAD {
            return Ok(());
        }
        let Self { terminals, fuel, index, .. } = self;
        let step = |state, byte: u8| {
            fuel.spend(1)?;
            let next = terminals.next(state, byte.into(), fuel)?;
            Ok((next != DEAD).then_some(next))
        };
        index::walk(&index.numbers, number, step, |token| mask::allow(mask, token as usize))
    }

    fn walk_all(&mut self, trie: &[Node], state: State, mask: &mut [u32]) -> Result<()> {
        self.walk_trie(trie, state, |token| mask::allow(mask, token as usize))
    }

    fn walk_trie(&mut self, trie: &[Node], state: State, hit: impl FnMut(u32)) -> Result<()> {
        index::walk(trie, state, |state, byte| self.advance(state, byte), hit)
    }
}

fn allow_group(rests: &Rests, group: u32, n: &std::ops::RangeInclusive<u32>, mask: &mut [u32]) {
    for (_, token) in rests.groups[group as usize].iter().filter(|(counted, _)| n.contains(counted)) {
        mask::allow(mask, *token as usize);
    }
}

fn disallow(mask: &mut [u32], token: u32) {
    if let Some(word) = mask.get_mut(token as usize >> 5) {
        *word &= !(1 << (token & 31));
    }
}
