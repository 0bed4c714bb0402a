//! Masks of the JSON machine: tokens are walked along tries, and what a walk has come to is kept under what it has read.
//!
//! The key is the reading in its canonical form, then the answers to the questions that the walk asked of the stack, one
//! after the other: equal answers ask the same next question. So deeper nesting, other counts and other keys find the same
//! mask. A mask from the cache is the mask that would have been made; a test holds them to it at every step.

use super::names;
use super::store::Masks;
use super::{Characters, JsonMachine, Reading, StackId, State};
use crate::error::Result;
use crate::grammar::alternatives::Alternatives;
use crate::grammar::hash::Map;
use crate::grammar::index::{NONE, Node};
use crate::grammar::schema::Spelling;
use crate::grammar::term::Terms;
use crate::grammar::terminal::{StateId, Terminal, Wrapping};
use crate::grammar::trie::Tries;
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

#[derive(Debug, Clone, Copy)]
enum Entry {
    Mask(u32),
    Ask(Question),
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    masks: Masks,
    roots: Map<Reading, u32>,
    entries: Vec<Entry>,
    /// From an entry that asks, by the answer.
    answers: Map<(u32, u64), u32>,
}

impl Cache {
    pub(super) fn bytes(&self) -> usize {
        self.masks.bytes()
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
        let canonical = State { reading: self.canonical_reading(state.reading)?, text: 0, ..state };
        if cached && !self.is_near_its_length(canonical.reading) {
            match self.find(canonical)? {
                Some(id) => self.learned.cache.masks.copy(id, mask),
                None => self.make(canonical, mask)?,
            }
        } else {
            self.compute(if cached { canonical } else { State { text: 0, ..state.without_blanks() } }, mask)?;
        }
        if blanks > 0 {
            let left = usize::from(self.options.max_whitespace.saturating_sub(blanks));
            for &token in self.index.leading_whitespace(left) {
                disallow(mask, token);
            }
        }
        // Whether a key comes twice within one of these depends on its whole text.
        if state.reading.characters().is_some_and(|of| of.is_key() && self.remembers_text(of)) {
            self.fill_rich(state, mask)?;
        }
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

    /// Make a mask and keep it.
    fn make(&mut self, state: State, mask: &mut [u32]) -> Result<()> {
        let start = state.stack;
        self.learned.recorder = Recorder { is_on: true, start, path: vec![start], asked: vec![0], log: Vec::new() };
        let made = self.compute(state, mask);
        self.learned.recorder.is_on = false;
        made?;
        let base = self.index.inside_up_to(u32::MAX);
        let id = self.learned.cache.masks.insert(mask, &base);
        let log = std::mem::take(&mut self.learned.recorder.log);
        let mut asked = Vec::with_capacity(log.len());
        for (question, cell) in log {
            asked.push((question, self.answer(cell, question.query)?));
        }
        self.keep(state.reading, &asked, id);
        Ok(())
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
        let index = self.index.clone();
        mask.fill(0);
        match state.reading {
            Reading::Characters(of) if of.is_key() => self.compute_key(state, of, mask),
            Reading::Characters(of) => self.compute_string(state, of.id, mask),
            Reading::Escape(_) | Reading::Hex { .. } | Reading::LowSurrogate { .. } | Reading::Utf8 { .. } => {
                self.walk_all(&index.trie, state, mask)
            }
            _ => self.walk_all(&index.outside, state, mask),
        }
    }

    fn compute_string(&mut self, state: State, id: StateId, mask: &mut [u32]) -> Result<()> {
        let index = self.index.clone();
        let inside = self.terminals.inside(id, Wrapping::JsonString, &index, &mut self.fuel)?;
        mask.copy_from_slice(&inside);
        self.spell(state, mask)?;
        match *self.terminals.members(id) {
            [(Terminal::Pattern { term: Terms::ANY, min, max }, set)] => match self.end_value(state.stack, set)? {
                Some(after) => self.walk_groups(after, min..=max, mask),
                None => Ok(()),
            },
            _ => self.walk_all(&index.closing, state, mask),
        }
    }

    fn compute_key(&mut self, state: State, of: Characters, mask: &mut [u32]) -> Result<()> {
        let index = self.index.clone();
        if self.available(of).is_free {
            mask.copy_from_slice(&index.inside_up_to(u32::MAX));
            self.spell(state, mask)?;
            let key = self.key(of);
            let is_alike = key.node == names::NONE
                && key.seen == Tries::EMPTY
                && key.terms.iter().all(|&term| matches!(term, Terms::EMPTY | Terms::ANY));
            if is_alike {
                return match self.close_key(state, of)? {
                    Some(after) => self.walk_groups(after, 0..=u32::MAX, mask),
                    None => Ok(()),
                };
            }
            return self.walk_all(&index.closing, state, mask);
        }
        for term in self.undeclared_terms(of) {
            let member = (Terminal::Pattern { term, min: 0, max: u32::MAX }, Alternatives::one(0));
            let id = self.terminals.start(vec![member], &mut self.fuel)?;
            if id != super::DEAD {
                let inside = self.terminals.inside(id, Wrapping::JsonString, &index, &mut self.fuel)?;
                mask.iter_mut().zip(&*inside).for_each(|(word, inside)| *word |= inside);
            }
        }
        self.spell(state, mask)?;
        self.walk_taken(state, of, mask)?;
        self.walk_all(&index.closing, state, mask)
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
                (Some(next), Some(of)) => {
                    let key = self.key(of);
                    if key.node != names::NONE || key.seen != Tries::EMPTY {
                        if node.token != NONE {
                            mask::allow(mask, node.token as usize);
                        }
                        path.truncate(depth);
                        path.push(next);
                        at += 1;
                        continue;
                    }
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
    fn spell(&mut self, state: State, mask: &mut [u32]) -> Result<()> {
        if self.options.spelling == Spelling::Any {
            return Ok(());
        }
        let index = self.index.clone();
        for node in index.escape.iter().filter(|node| node.token != NONE) {
            disallow(mask, node.token);
        }
        self.walk_all(&index.escape, state, mask)
    }

    /// Tokens that close a string after as many characters, by what follows the quote.
    fn walk_groups(
        &mut self,
        after: State,
        code_points: std::ops::RangeInclusive<u32>,
        mask: &mut [u32],
    ) -> Result<()> {
        let index = self.index.clone();
        let mut groups = vec![0];
        self.walk(&index.suffix, after, mask, |_, next, _, group| {
            groups.extend((group != NONE && next.is_some()).then_some(group));
            next
        })?;
        for group in groups {
            for &(_, token) in index.closing_groups[group as usize].iter().filter(|(n, _)| code_points.contains(n)) {
                mask::allow(mask, token as usize);
            }
        }
        Ok(())
    }

    fn walk_all(&mut self, trie: &[Node], state: State, mask: &mut [u32]) -> Result<()> {
        self.walk(trie, state, mask, |_, next, mask, token| {
            if token != NONE && next.is_some() {
                mask::allow(mask, token as usize);
            }
            next
        })
    }

    /// Walk a trie from a state: `visit` is told where each node leads and says where to go on from there, if at all.
    fn walk(
        &mut self,
        trie: &[Node],
        state: State,
        mask: &mut [u32],
        mut visit: impl FnMut(&mut Self, Option<State>, &mut [u32], u32) -> Option<State>,
    ) -> Result<()> {
        let mut path = vec![state];
        let mut at = 0;
        while let Some(node) = trie.get(at) {
            let depth = node.depth();
            let before = path[depth - 1];
            let next = self.advance(before, node.byte())?;
            match visit(self, next, mask, node.token) {
                Some(next) => {
                    path.truncate(depth);
                    path.push(next);
                    at += 1;
                }
                None => at = node.skip as usize,
            }
        }
        Ok(())
    }
}

fn disallow(mask: &mut [u32], token: u32) {
    if let Some(word) = mask.get_mut(token as usize >> 5) {
        *word &= !(1 << (token & 31));
    }
}
