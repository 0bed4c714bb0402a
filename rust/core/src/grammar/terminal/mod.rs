//! Terminals that are being read: sets of patterns and of finite sets of words, each with the alternatives it stands
//! for, as states with a table of transitions. Which tokens stay inside one is `inside`'s business, how a text is
//! written, raw or in a JSON string, is `partial`'s, and what comes before and after a terminal is not known here.

mod inside;

use std::hash::BuildHasher;
use std::sync::Arc;

use self::inside::{Inside, Part};
use crate::error::Result;
use crate::grammar::alternatives::{Alternatives, merge};
use crate::grammar::hash::{IdTable, Map, Seeded, map_bytes};
use crate::grammar::index::VocabularyIndex;
pub use crate::grammar::partial::Wrapping;
use crate::grammar::partial::{Partial, Read};
use crate::grammar::partition::Partitions;
use crate::grammar::term::{TermId, Terms, UNBOUNDED};
use crate::grammar::trie::{TrieId, Tries};
use crate::limits::Fuel;

/// What is left of one terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Terminal {
    /// The texts of a term, of `min` to `max` code points.
    Pattern {
        /// The term.
        term: TermId,
        /// The least code points.
        min: u32,
        /// The most code points, or `UNBOUNDED`.
        max: u32,
    },
    /// The texts of a trie.
    Words(TrieId),
}

/// A set of terminals, with what each stands for.
pub type StateId = u32;

/// A terminal, and the alternatives that it is read for.
pub type Member = (Terminal, Alternatives);

/// Nothing can follow: no state.
pub const DEAD: StateId = u32::MAX;

/// Not yet learned.
const UNKNOWN: StateId = u32::MAX - 1;

#[derive(Debug, Clone, Copy)]
struct State {
    /// Its members are `members[start..start + len]`: ascending, no two of one terminal, each alive.
    start: u32,
    len: u32,
    partition: u32,
    /// Where its row begins, of a state for each class of its partition.
    row: u32,
}

/// Where the transitions of a state stand.
#[derive(Clone, Copy)]
struct Row {
    partition: u32,
    row: u32,
}

/// An arena of states, and of the terms and tries they are made of.
#[derive(Debug)]
pub struct Terminals {
    /// The terms of patterns.
    pub terms: Terms,
    /// The tries of words.
    pub tries: Tries,
    states: Vec<State>,
    members: Vec<Member>,
    ids: IdTable,
    hasher: Seeded,
    partitions: Partitions,
    rows: Vec<StateId>,
    /// Whether a state can read one of a range of code points.
    readable: Map<(StateId, u32, u32), bool>,
    canonical: Map<StateId, StateId>,
    inside: Map<(Terminal, Wrapping), Arc<[u32]>>,
    parts: Map<(Terminal, Wrapping, Part), Inside>,
    /// What a short and a long part come to.
    joined: Map<(Terminal, Terminal, Wrapping), Arc<[u32]>>,
    /// Bytes of the masks of the two.
    mask_bytes: usize,
    /// Terms, tries, states that are never forgotten.
    kept: (usize, usize, usize),
}

impl Terminals {
    /// No state.
    pub fn new() -> Self {
        Self {
            terms: Terms::new(),
            tries: Tries::new(),
            states: Vec::new(),
            members: Vec::new(),
            ids: IdTable::default(),
            hasher: Seeded::default(),
            partitions: Partitions::default(),
            rows: Vec::new(),
            readable: Map::default(),
            canonical: Map::default(),
            inside: Map::default(),
            parts: Map::default(),
            joined: Map::default(),
            mask_bytes: 0,
            kept: (0, 0, 0),
        }
    }

    /// The state before any text. `DEAD`: none of them has a text.
    pub fn start(&mut self, members: Vec<Member>, fuel: &mut Fuel) -> Result<StateId> {
        let mut alive = Vec::with_capacity(members.len());
        for member in members {
            let is_alive = match member.0 {
                Terminal::Pattern { term, min, max } => self.terms.is_alive(term, min, max, fuel)?,
                Terminal::Words(trie) => trie != Tries::EMPTY,
            };
            if is_alive {
                alive.push(member);
            }
        }
        self.intern(alive, fuel)
    }

    /// The state after a code point, which is no surrogate; `DEAD` if there is none.
    #[inline]
    pub fn next(&mut self, state: StateId, code_point: u32, fuel: &mut Fuel) -> Result<StateId> {
        match self.known(self.row_of(state), code_point) {
            UNKNOWN => self.learn(state, code_point, fuel),
            next => Ok(next),
        }
    }

    #[inline(always)]
    fn row_of(&self, state: StateId) -> Row {
        match self.states.get(state as usize) {
            Some(&State { partition, row, .. }) => Row { partition, row },
            None => Row { partition: 0, row: u32::MAX },
        }
    }

    /// What the table has. Apart from `next`, as an error makes the answer large: a walk asks for hundreds of
    /// thousands.
    #[inline(always)]
    fn known(&self, row: Row, code_point: u32) -> StateId {
        let slot = row.row as usize + self.partitions.class(row.partition, code_point) as usize;
        self.rows.get(slot).copied().unwrap_or(DEAD)
    }

    #[cold]
    fn learn(&mut self, state: StateId, code_point: u32, fuel: &mut Fuel) -> Result<StateId> {
        let members = self.members(state).to_vec();
        fuel.spend(members.len() as u64)?;
        let mut left = Vec::with_capacity(members.len());
        for (terminal, alternatives) in members {
            let terminal = match terminal {
                Terminal::Pattern { max: 0, .. } => None,
                Terminal::Pattern { term, min, max } => {
                    let term = self.terms.derivative(term, code_point, fuel)?;
                    let (min, max) = (min.saturating_sub(1), if max == UNBOUNDED { UNBOUNDED } else { max - 1 });
                    let is_alive = self.terms.is_alive(term, min, max, fuel)?;
                    is_alive.then_some(Terminal::Pattern { term, min, max })
                }
                Terminal::Words(trie) => self.tries.next(trie, code_point).map(Terminal::Words),
            };
            left.extend(terminal.map(|terminal| (terminal, alternatives)));
        }
        let next = self.intern(left, fuel)?;
        let Some(&State { partition, row, .. }) = self.states.get(state as usize) else { return Ok(DEAD) };
        let slot = row as usize + self.partitions.class(partition, code_point) as usize;
        if let Some(slot) = self.rows.get_mut(slot) {
            *slot = next;
        }
        Ok(next)
    }

    /// Whether some code point of `low..=high` can come next.
    pub fn can_read(&mut self, state: StateId, low: u32, high: u32, fuel: &mut Fuel) -> Result<bool> {
        let Some(&State { partition, .. }) = self.states.get(state as usize) else { return Ok(false) };
        if low > high {
            return Ok(false);
        }
        if let Some(&can) = self.readable.get(&(state, low, high)) {
            return Ok(can);
        }
        let mut can = false;
        let mut at = Some(low);
        while let Some(code_point) = at.filter(|&code_point| code_point <= high) {
            fuel.spend(1)?;
            // From a surrogate on the first that is none.
            let code_point = if (0xD800..0xE000).contains(&code_point) { 0xE000 } else { code_point };
            if code_point <= high && self.next(state, code_point, fuel)? != DEAD {
                can = true;
                break;
            }
            at = self.partitions.boundary_after(partition, code_point);
        }
        self.readable.insert((state, low, high), can);
        Ok(can)
    }

    /// The alternatives of the members that may end here.
    pub fn accepts(&self, state: StateId) -> Alternatives {
        let ends = |terminal: Terminal| match terminal {
            Terminal::Pattern { term, min, .. } => min == 0 && self.terms.is_nullable(term),
            Terminal::Words(trie) => self.tries.ends(trie),
        };
        let members = self.members(state).iter().filter(|member| ends(member.0));
        members.fold(Alternatives::NONE, |all, member| all.or(member.1))
    }

    /// What is being read, ascending.
    #[inline]
    pub fn members(&self, state: StateId) -> &[Member] {
        let span =
            self.states.get(state as usize).map(|state| state.start as usize..(state.start + state.len) as usize);
        span.and_then(|span| self.members.get(span)).unwrap_or_default()
    }

    /// A state of which every token of the vocabulary says the same as of this one, with the counters forgotten that no
    /// token reaches.
    pub fn canonical(&mut self, state: StateId, index: &VocabularyIndex, fuel: &mut Fuel) -> Result<StateId> {
        if let Some(&canonical) = self.canonical.get(&state) {
            return Ok(canonical);
        }
        let longest = index.longest_text();
        let mut members = self.members(state).to_vec();
        for (terminal, _) in &mut members {
            let Terminal::Pattern { term, min, max } = *terminal else { continue };
            if term == Terms::ANY {
                let max = if max > longest { UNBOUNDED } else { max };
                *terminal = Terminal::Pattern { term, min: min.min(longest.saturating_add(1)), max };
            } else if (min, max) == (0, UNBOUNDED) && !self.terms.is_boolean(term) {
                let term = self.terms.clip(term, longest, true, fuel)?;
                *terminal = Terminal::Pattern { term, min, max };
            }
        }
        let canonical = self.intern(members, fuel)?;
        self.canonical.insert(state, canonical);
        Ok(canonical)
    }

    /// Read one byte of a text that is written so. None: it cannot come next. The quote that ends a JSON string is
    /// refused like any byte that is no part of it.
    #[inline]
    pub fn step(
        &mut self,
        state: StateId,
        partial: Option<Partial>,
        byte: u8,
        wrapping: Wrapping,
        fuel: &mut Fuel,
    ) -> Result<Option<(StateId, Option<Partial>)>> {
        let read = match partial {
            None => Partial::begin(byte, wrapping),
            Some(partial) => partial.read(byte),
        };
        match read {
            Read::Nothing => Ok(None),
            Read::CodePoint(code_point) => {
                let next = self.next(state, code_point, fuel)?;
                Ok((next != DEAD).then_some((next, None)))
            }
            Read::More(partial) => {
                for (low, high) in partial.ranges() {
                    if self.can_read(state, low, high, fuel)? {
                        return Ok(Some((state, Some(partial))));
                    }
                }
                Ok(None)
            }
        }
    }

    /// The state of some members, all alive.
    fn intern(&mut self, mut members: Vec<Member>, fuel: &mut Fuel) -> Result<StateId> {
        merge(&mut members);
        if members.is_empty() {
            return Ok(DEAD);
        }
        let hash = self.hasher.hash_one(members.as_slice());
        if let Some(id) = self.ids.find(hash, |id| self.members(id) == members) {
            return Ok(id);
        }
        fuel.spend(members.len() as u64)?;
        let partition = self.partitions.of(&members, &self.terms, &self.tries, fuel)?;
        let id = self.states.len() as StateId;
        let row = self.rows.len();
        self.rows.resize(row + self.partitions.classes(partition).len(), UNKNOWN);
        self.states.push(State {
            start: self.members.len() as u32,
            len: members.len() as u32,
            partition,
            row: row as u32,
        });
        self.members.extend(members);
        self.register(id);
        Ok(id)
    }

    fn register(&mut self, id: StateId) {
        let Self { ids, states, members, hasher, .. } = self;
        ids.insert(id, |id| {
            let State { start, len, .. } = states[id as usize];
            hasher.hash_one(&members[start as usize..(start + len) as usize])
        });
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.terms.bytes()
            + self.tries.bytes()
            + self.states.capacity() * size_of::<State>()
            + self.members.capacity() * size_of::<Member>()
            + self.ids.bytes()
            + self.partitions.bytes()
            + self.rows.capacity() * size_of::<StateId>()
            + map_bytes(&self.readable)
            + map_bytes(&self.canonical)
            + map_bytes(&self.inside)
            + map_bytes(&self.parts)
            + map_bytes(&self.joined)
            + self.mask_bytes
    }

    /// What is there now outlives `forget`: called once a grammar is compiled.
    pub fn keep(&mut self) {
        self.kept = (self.terms.len(), self.tries.len(), self.states.len());
    }

    /// Forgets all that was learned since `keep`: the states made since are none any more.
    pub fn forget(&mut self) {
        let (terms, tries, states) = self.kept;
        self.terms.truncate(terms);
        self.tries.truncate(tries);
        self.states.truncate(states);
        self.members.truncate(self.states.last().map_or(0, |state| (state.start + state.len) as usize));
        self.partitions.truncate(self.states.iter().map(|state| state.partition as usize + 1).max().unwrap_or(0));
        let rows =
            self.states.last().map_or(0, |state| state.row as usize + self.partitions.classes(state.partition).len());
        self.rows = vec![UNKNOWN; rows];
        self.states.shrink_to_fit();
        self.members.shrink_to_fit();
        self.ids.clear();
        (0..self.states.len() as StateId).for_each(|id| self.register(id));
        self.readable = Map::default();
        self.canonical = Map::default();
        self.inside = Map::default();
        self.parts = Map::default();
        self.joined = Map::default();
        self.mask_bytes = 0;
    }
}

impl Default for Terminals {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mask;
    use crate::vocab::Vocab;

    /// Small and repeatable.
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            ((self.0 >> 33) as usize) % n
        }

        fn one_of<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
            items[self.below(items.len())]
        }
    }

    fn fuel() -> Fuel {
        Fuel::new("grammar_step_fuel", 50_000_000)
    }

    const PIECES: [&str; 22] = [
        "a",
        "b",
        "ab",
        " ",
        "z",
        "A",
        "0",
        "9",
        "\n",
        "\u{e9}",
        "\u{4e2d}",
        "\u{1f600}",
        "\"",
        "\\",
        "\\n",
        "\\u0061",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\u{7f}",
        "aaaa",
        "\u{d7ff}",
        "\u{e000}",
    ];

    /// Every byte, and pieces of text put together and cut anywhere.
    fn vocab(draw: &mut Draw, n: usize) -> Vocab {
        let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        while tokens.len() < n {
            let n_pieces = if draw.below(10) == 0 { 20 + draw.below(20) } else { 1 + draw.below(5) };
            let text: String = (0..n_pieces).map(|_| draw.one_of(&PIECES)).collect();
            let bytes = text.as_bytes();
            let start = if draw.below(4) == 0 { draw.below(bytes.len()) } else { 0 };
            let end = if draw.below(3) == 0 { start + draw.below(bytes.len() - start + 1) } else { bytes.len() };
            tokens.push(bytes[start..end].to_vec());
        }
        let tokens: Vec<_> = tokens.into_iter().map(Some).collect();
        Vocab::from_bytes(&tokens, &[], &[]).unwrap()
    }

    fn term(draw: &mut Draw, terms: &mut Terms, depth: usize) -> TermId {
        if depth == 0 {
            let sets: [&[(u32, u32)]; 9] = [
                &[(97, 97)],
                &[(97, 98)],
                &[(97, 122), (32, 32)],
                &[(48, 57)],
                &[(0, 9), (11, 0x10_FFFF)],
                &[(0xe9, 0xe9)],
                &[(0x80, 0x10_FFFF)],
                &[(0x4e00, 0x9fff), (97, 97)],
                &[(0x1_F600, 0x1_F64F), (0x22, 0x22), (0x5c, 0x5c)],
            ];
            return match draw.below(12) {
                0 => terms.literal(draw.one_of(&PIECES)),
                1 => Terms::ANY,
                _ => terms.class(draw.one_of(&sets)),
            };
        }
        let a = term(draw, terms, depth - 1);
        match draw.below(8) {
            0 | 1 => {
                let b = term(draw, terms, depth - 1);
                terms.concat(a, b)
            }
            2 => {
                let b = term(draw, terms, depth - 1);
                terms.alternation(vec![a, b])
            }
            3 => {
                let b = term(draw, terms, depth - 1);
                terms.intersection(vec![a, b])
            }
            4 => terms.complement(a),
            _ => {
                let min = [0, 0, 1, 2, 30][draw.below(5)];
                let max = [min.max(1), min + 3, min + 17, 50, 2000, UNBOUNDED][draw.below(6)].max(min);
                terms.repeat(a, min, max)
            }
        }
    }

    fn terminal(draw: &mut Draw, terminals: &mut Terminals) -> Terminal {
        if draw.below(5) == 0 {
            let words: Vec<String> =
                (0..1 + draw.below(6)).map(|_| (0..draw.below(5)).map(|_| draw.one_of(&PIECES)).collect()).collect();
            return Terminal::Words(terminals.tries.of(&words));
        }
        let depth = draw.below(5);
        let term = term(draw, &mut terminals.terms, depth);
        let min = [0, 0, 0, 1, 5, 40][draw.below(6)];
        let max = [UNBOUNDED, UNBOUNDED, min + 2, min + 18, min + 25, 70, 400][draw.below(7)].max(min);
        Terminal::Pattern { term, min, max }
    }

    /// Where the bytes of a token lead.
    fn read(
        terminals: &mut Terminals,
        state: StateId,
        bytes: &[u8],
        wrapping: Wrapping,
    ) -> Option<(StateId, Option<Partial>)> {
        let mut at = (state, None);
        for &byte in bytes {
            at = terminals.step(at.0, at.1, byte, wrapping, &mut fuel()).unwrap()?;
        }
        Some(at)
    }

    #[test]
    fn a_token_stays_inside_if_its_bytes_can_be_read_one_by_one() {
        let mut draw = Draw(1);
        let vocab = vocab(&mut draw, 700);
        let index = vocab.index().unwrap();
        let mut n_compared = 0;
        for _ in 0..150 {
            let mut terminals = Terminals::new();
            let members =
                (0..1 + draw.below(3)).map(|i| (terminal(&mut draw, &mut terminals), Alternatives::one(i))).collect();
            let mut state = terminals.start(members, &mut fuel()).unwrap();
            let wrapping = [Wrapping::Text, Wrapping::JsonString][draw.below(2)];
            for _ in 0..8 {
                if state == DEAD {
                    break;
                }
                let mask = terminals.inside(state, wrapping, &index, &mut fuel()).unwrap();
                let canonical = terminals.canonical(state, &index, &mut fuel()).unwrap();
                assert_eq!(terminals.inside(canonical, wrapping, &index, &mut fuel()).unwrap(), mask);
                let mut next = Vec::new();
                for id in 0..vocab.len() as u32 {
                    let bytes = vocab.token_bytes(id).unwrap();
                    let read = read(&mut terminals, state, bytes, wrapping);
                    let is_inside = read.is_some() && !bytes.is_empty();
                    assert_eq!(
                        mask::is_allowed(&mask, id as usize),
                        is_inside,
                        "{wrapping:?} {:?} {:?}",
                        terminals.members(state),
                        String::from_utf8_lossy(bytes)
                    );
                    n_compared += 1;
                    next.extend(read.filter(|read| is_inside && read.1.is_none()).map(|read| read.0));
                }
                let Some(&chosen) = next.get(draw.below(next.len().max(1))) else { break };
                state = chosen;
            }
        }
        assert!(n_compared > 300_000, "{n_compared}");
    }

    #[test]
    fn what_shares_a_walk_is_alike() {
        let vocab = vocab(&mut Draw(3), 900);
        let index = vocab.index().unwrap();
        let letters = [(97, 122)];
        // (first a text of at most so many letters, then the class of endless ones; bounds on the length of all)
        let cases: [(u32, u32, u32); 6] =
            [(2, 4, UNBOUNDED), (30, 40, UNBOUNDED), (30, 40, 50), (5, 0, 20), (UNBOUNDED, 40, 41), (3, 5, 400)];
        for (most, min, max) in cases {
            let mut terminals = Terminals::new();
            let terms = &mut terminals.terms;
            let class = terms.class(&letters);
            let digit = terms.class(&[(48, 57)]);
            let space = terms.literal(" ");
            let few = match most {
                2 => terms.literal("bc"),
                _ => terms.repeat(class, 0, most),
            };
            let a = terms.literal("a");
            let few = terms.concat(a, few);
            let many = terms.repeat(class, 0, UNBOUNDED);
            let many = terms.concat(space, many);
            let with_end = terms.repeat(class, 0, UNBOUNDED);
            let with_end = terms.concat(with_end, digit);
            let either = terms.alternation(vec![few, many]);
            for term in [either, with_end] {
                let pattern = Terminal::Pattern { term, min, max };
                let Ok(state) = terminals.start(vec![(pattern, Alternatives::one(0))], &mut fuel()) else { continue };
                for wrapping in [Wrapping::Text, Wrapping::JsonString] {
                    let mask = terminals.inside(state, wrapping, &index, &mut fuel()).unwrap();
                    for id in 0..vocab.len() as u32 {
                        let bytes = vocab.token_bytes(id).unwrap();
                        let is_inside = read(&mut terminals, state, bytes, wrapping).is_some() && !bytes.is_empty();
                        assert_eq!(mask::is_allowed(&mask, id as usize), is_inside, "{most} {min} {max} {bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_forgotten_is_learned_again() {
        let mut draw = Draw(2);
        let vocab = vocab(&mut draw, 400);
        let index = vocab.index().unwrap();
        let mut terminals = Terminals::new();
        let members = (0..3).map(|i| (terminal(&mut draw, &mut terminals), Alternatives::one(i))).collect();
        let start = terminals.start(members, &mut fuel()).unwrap();
        terminals.keep();
        let bytes = terminals.bytes();
        let mut masks = Vec::new();
        for _ in 0..2 {
            let mut state = start;
            let mut seen = Vec::new();
            for byte in "ab aab".bytes() {
                if state == DEAD {
                    break;
                }
                let mask = terminals.inside(state, Wrapping::Text, &index, &mut fuel()).unwrap();
                seen.push((terminals.accepts(state), mask));
                state = terminals.next(state, byte.into(), &mut fuel()).unwrap();
            }
            masks.push(seen);
            terminals.forget();
            assert!(terminals.bytes() <= bytes + (1 << 14), "{} {bytes}", terminals.bytes());
        }
        assert_eq!(masks[0], masks[1]);
    }

    #[test]
    fn members_are_merged_and_dead_ones_left_out() {
        let mut terminals = Terminals::new();
        let words = terminals.tries.of(&["ab", "ac"]);
        let a = terminals.terms.literal("ab");
        let pattern = Terminal::Pattern { term: a, min: 0, max: UNBOUNDED };
        let too_short = Terminal::Pattern { term: a, min: 3, max: UNBOUNDED };
        let one = Alternatives::one;
        let members = vec![(pattern, one(1)), (Terminal::Words(words), one(0)), (pattern, one(2)), (too_short, one(3))];
        let state = terminals.start(members, &mut fuel()).unwrap();
        assert_eq!(terminals.members(state), [(pattern, one(1).or(one(2))), (Terminal::Words(words), one(0))]);
        let state = terminals.next(state, 97, &mut fuel()).unwrap();
        let after_b = terminals.next(state, 98, &mut fuel()).unwrap();
        assert_eq!(terminals.accepts(after_b), Alternatives::first(3));
        let after_c = terminals.next(state, 99, &mut fuel()).unwrap();
        assert_eq!(terminals.accepts(after_c), one(0));
        assert_eq!(terminals.next(after_c, 99, &mut fuel()).unwrap(), DEAD);
        assert_eq!(terminals.next(DEAD, 99, &mut fuel()).unwrap(), DEAD);
        assert!(terminals.can_read(state, 99, 0x10_FFFF, &mut fuel()).unwrap());
        assert!(!terminals.can_read(state, 100, 0x10_FFFF, &mut fuel()).unwrap());
        assert_eq!(terminals.start(vec![(too_short, one(0))], &mut fuel()).unwrap(), DEAD);
    }
}
