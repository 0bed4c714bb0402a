//! The machine of a regular expression or of choices: plain bytes of a text, from state to state, and the tokens that
//! may come next. There is one terminal, and no token leaves it.

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::grammar::term::{TermId, Terms, UNBOUNDED};
    use crate::vocab::Vocab;

    fn fuel() -> Fuel {
        Fuel::new("grammar_step_fuel", 1 << 32)
    }

    /// 5,000 tokens: every byte, words, and pieces of characters of every length.
    fn vocab() -> Vocab {
        let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        let parts = [
            "a",
            "b",
            "the",
            " ",
            "1",
            "-",
            "\n",
            "\u{e9}",
            "\u{4e2d}\u{6587}",
            "\u{1f600}",
            "Z",
            "\u{3b1}",
            ".",
            "  ",
        ];
        let mut i = 0usize;
        while tokens.len() < 5000 {
            i += 1;
            let text: String =
                (0..1 + i % 6).map(|k| parts[(i * 7919 + k * k * 104_729 + i / 14) % parts.len()]).collect();
            let bytes = text.as_bytes();
            let (skip, cut) = match i % 5 {
                0 => (i % bytes.len().min(4), 0),
                1 => (0, i % 3),
                2 => (i % 2, i % 4),
                _ => (0, 0),
            };
            tokens.push(
                bytes[skip.min(bytes.len())..bytes.len().saturating_sub(cut).max(skip.min(bytes.len()))].to_vec(),
            );
        }
        let tokens: Vec<_> = tokens.into_iter().map(Some).collect();
        Vocab::from_bytes(&tokens, &[], &[]).unwrap()
    }

    fn patterns(terms: &mut Terms) -> Vec<TermId> {
        let letter = terms.class(&[(97, 122), (0xe9, 0xe9), (0x370, 0x3ff)]);
        let any = terms.class(&[(0, 9), (11, 0x10_ffff)]);
        let digit = terms.class(&[(48, 57)]);
        let space = terms.literal(" ");
        let words = terms.repeat(letter, 1, 5);
        let spaced = terms.concat(words, space);
        let many = terms.repeat(spaced, 2, 20);
        let line = terms.repeat(any, 1, 2000);
        let end = terms.literal("\u{4e2d}-1");
        let lines = terms.concat(line, end);
        let number = terms.repeat(digit, 1, 3);
        let or = terms.alternation(vec![many, number, end]);
        let a = terms.literal("a");
        let b = terms.literal("b");
        let ab = terms.alternation(vec![a, b]);
        let start = terms.repeat(ab, 0, UNBOUNDED);
        let tail = terms.repeat(ab, 12, 12);
        let tail = terms.concat(a, tail);
        let tail = terms.concat(start, tail);
        let not = terms.complement(lines);
        let not = terms.intersection(vec![not, line]);
        vec![line, lines, or, tail, not]
    }

    #[test]
    fn a_mask_is_what_bytes_one_by_one_say_and_the_same_when_it_was_known() {
        let vocab = vocab();
        let texts = ["the ab", "a\u{e9} \u{3b1}b the ", "1\u{4e2d}-1", "abababababababaab", "\u{1f600}\u{4e2d}-1"];
        for i in 0..6 {
            let mut machines: Vec<TextMachine> = (0..2)
                .map(|_| {
                    let mut terminals = Terminals::new();
                    let patterns = patterns(&mut terminals.terms);
                    let terminal = match patterns.get(i) {
                        Some(&term) => Terminal::Pattern { term, min: 0, max: UNBOUNDED },
                        None => Terminal::Words(terminals.tries.of(&texts)),
                    };
                    let index = Arc::new(VocabularyIndex::new(&vocab).unwrap());
                    TextMachine::new(terminals, terminal, index, &mut fuel()).unwrap().unwrap()
                })
                .collect();
            for text in texts {
                let mut states = [machines[0].start(), machines[1].start()];
                for byte in text.bytes() {
                    let words = vocab.len().div_ceil(32);
                    let mut masks = [vec![7; words + 1], vec![9; words + 1]];
                    // The second forgets between texts.
                    for (j, machine) in machines.iter_mut().enumerate() {
                        machine.fill(states[j], &mut masks[j], &mut fuel()).unwrap();
                        let known = masks[j].clone();
                        machine.fill(states[j], &mut masks[j], &mut fuel()).unwrap();
                        assert_eq!(masks[j], known);
                    }
                    assert_eq!(masks[0], masks[1]);
                    assert_eq!(masks[0][words], 0);
                    for id in 0..vocab.len() as u32 {
                        let bytes = vocab.token_bytes(id).unwrap();
                        let end = bytes
                            .iter()
                            .try_fold(states[0], |state, &byte| machines[0].step(state, byte, &mut fuel()).unwrap());
                        let is_allowed = end.is_some() && !bytes.is_empty();
                        assert_eq!(mask::is_allowed(&masks[0], id as usize), is_allowed, "{i} {text:?} {bytes:x?}");
                    }
                    let Some(next) = machines[0].step(states[0], byte, &mut fuel()).unwrap() else { break };
                    states[0] = next;
                    states[1] = machines[1].step(states[1], byte, &mut fuel()).unwrap().unwrap();
                }
                machines[1].forget();
            }
        }
    }

    #[test]
    fn words_end_where_they_end() {
        let vocab = vocab();
        let mut terminals = Terminals::new();
        let words = terminals.tries.of(&["a", "a\u{e9}", ""]);
        let index = vocab.index().unwrap();
        let mut machine = TextMachine::new(terminals, Terminal::Words(words), index, &mut fuel()).unwrap().unwrap();
        let mut state = machine.start();
        let mut accepts = vec![machine.is_accepting(state)];
        for byte in "a\u{e9}".bytes() {
            state = machine.step(state, byte, &mut fuel()).unwrap().unwrap();
            accepts.push(machine.is_accepting(state));
        }
        assert_eq!(accepts, [true, true, false, true]);
        assert_eq!(machine.step(state, b'a', &mut fuel()).unwrap(), None);
        let none = TextMachine::new(Terminals::new(), Terminal::Words(0), vocab.index().unwrap(), &mut fuel());
        assert!(none.unwrap().is_none());
    }

    #[test]
    fn a_walk_out_of_fuel_is_an_error() {
        let vocab = vocab();
        let mut terminals = Terminals::new();
        let class = terminals.terms.class(&[(97, 122)]);
        let term = terminals.terms.repeat(class, 3, 3);
        let terminal = Terminal::Pattern { term, min: 0, max: UNBOUNDED };
        let mut machine = TextMachine::new(terminals, terminal, vocab.index().unwrap(), &mut fuel()).unwrap().unwrap();
        let mut mask = vec![0; vocab.len().div_ceil(32)];
        let start = machine.start();
        let error = machine.fill(start, &mut mask, &mut Fuel::new("grammar_step_fuel", 3)).unwrap_err();
        assert!(matches!(error, crate::error::Error::Limit { limit: "grammar_step_fuel", .. }));
        machine.fill(start, &mut mask, &mut fuel()).unwrap();
        assert!(mask::is_allowed(&mask, b'a' as usize));
    }
}
