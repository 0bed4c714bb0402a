//! Sets of terminals that are read at the same time. For now slow and obvious: tables come.
#![allow(missing_docs)]
use super::alternatives::Alternatives;
use super::hash::Seeded;
use super::index::{NONE, VocabularyIndex};
use super::term::{TermId, Terms};
use super::trie::{TrieId, Tries};
use crate::error::Result;
use crate::limits::Fuel;
use indexmap::IndexSet;
use std::sync::Arc;
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Terminal {
    Pattern { term: TermId, min: u32, max: u32 },
    Words(TrieId),
}
pub type StateId = u32;
pub const DEAD: StateId = u32::MAX;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    Text,
    JsonString,
}
#[derive(Debug)]
pub struct Terminals {
    pub terms: Terms,
    pub tries: Tries,
    states: IndexSet<Vec<(Terminal, Alternatives)>, Seeded>,
}
impl Default for Terminals {
    fn default() -> Self {
        Self::new()
    }
}
impl Terminals {
    pub fn new() -> Self {
        Self { terms: Terms::new(), tries: Tries::new(), states: IndexSet::default() }
    }
    fn alive(&mut self, t: Terminal, fuel: &mut Fuel) -> Result<bool> {
        Ok(match t {
            Terminal::Words(t) => t != Tries::EMPTY,
            Terminal::Pattern { term, min, max } => self.terms.is_alive(term, min, max, fuel)?,
        })
    }
    pub fn start(&mut self, members: Vec<(Terminal, Alternatives)>, fuel: &mut Fuel) -> Result<StateId> {
        let mut kept: Vec<(Terminal, Alternatives)> = vec![];
        let mut members = members;
        members.sort();
        for (t, a) in members {
            if self.alive(t, fuel)? {
                match kept.last_mut() {
                    Some(l) if l.0 == t => l.1 = l.1.or(a),
                    _ => kept.push((t, a)),
                }
            }
        }
        Ok(if kept.is_empty() { DEAD } else { self.states.insert_full(kept).0 as u32 })
    }
    pub fn next(&mut self, state: StateId, c: u32, fuel: &mut Fuel) -> Result<StateId> {
        let mut o = vec![];
        for (t, a) in self.members(state).to_vec() {
            match t {
                Terminal::Words(t) => o.push((Terminal::Words(self.tries.next(t, c).unwrap_or(Tries::EMPTY)), a)),
                Terminal::Pattern { max: 0, .. } => {}
                Terminal::Pattern { term, min, max } => {
                    let term = self.terms.derivative(term, c, fuel)?;
                    o.push((
                        Terminal::Pattern {
                            term,
                            min: min.saturating_sub(1),
                            max: if max == u32::MAX { max } else { max - 1 },
                        },
                        a,
                    ));
                }
            }
        }
        self.start(o, fuel)
    }
    pub fn can_read(&mut self, state: StateId, low: u32, high: u32, fuel: &mut Fuel) -> Result<bool> {
        let mut cs = vec![low, 0xe000];
        for (t, _) in self.members(state).to_vec() {
            match t {
                Terminal::Words(t) => cs.extend(self.tries.edges(t).iter().map(|c| c.0)),
                Terminal::Pattern { term, .. } => cs.extend(self.terms.boundaries(term)),
            }
        }
        for c in cs {
            if c >= low && c <= high && !(0xd800..0xe000).contains(&c) && self.next(state, c, fuel)? != DEAD {
                return Ok(true);
            }
        }
        Ok(false)
    }
    pub fn accepts(&self, state: StateId) -> Alternatives {
        self.members(state)
            .iter()
            .filter(|(t, _)| match *t {
                Terminal::Words(t) => self.tries.ends(t),
                Terminal::Pattern { term, min, .. } => min == 0 && self.terms.is_nullable(term),
            })
            .fold(Alternatives::NONE, |a, b| a.or(b.1))
    }
    pub fn members(&self, state: StateId) -> &[(Terminal, Alternatives)] {
        self.states.get_index(state as usize).map_or(&[], |v| v)
    }
    pub fn canonical(&mut self, state: StateId, _index: &VocabularyIndex, _fuel: &mut Fuel) -> Result<StateId> {
        Ok(state)
    }
    pub fn inside(
        &mut self,
        state: StateId,
        _w: Wrapping,
        index: &Arc<VocabularyIndex>,
        fuel: &mut Fuel,
    ) -> Result<Arc<[u32]>> {
        // (state, partial: utf8 needed, value, lead, escape: 0 none,1 esc, 2.. hex n, value, high)
        #[derive(Clone, Copy)]
        enum S {
            T(u32),
            U(u32, u8, u32, u8),
            E(u32),
            H(u32, u8, u32),
            L(u32, u32, u8, u32),
        }
        let mut mask = vec![0u32; index.words()];
        let mut path = vec![S::T(state)];
        let mut i = 0;
        while let Some(n) = index.trie.get(i) {
            let b = n.byte();
            let before = path[n.depth() - 1];
            let rd = |s: &mut Self, q: u32, c: u32, fuel: &mut Fuel| -> Result<Option<S>> {
                if (0xd800..0xe000).contains(&c) {
                    return Ok(None);
                }
                let x = s.next(q, c, fuel)?;
                Ok((x != DEAD).then_some(S::T(x)))
            };
            let next = match before {
                S::T(q) => match b {
                    b'"' => None,
                    b'\\' => self.can_read(q, 0, 0x10ffff, fuel)?.then_some(S::E(q)),
                    0x20..=0x7f => rd(self, q, b.into(), fuel)?,
                    0xc2..=0xf4 => {
                        let (k, v) = match b {
                            0xc2..=0xdf => (1, b & 31),
                            0xe0..=0xef => (2, b & 15),
                            _ => (3, b & 7),
                        };
                        let v = v as u32;
                        let lo = (v << (6 * k)).max([0, 0x80, 0x800, 0x10000][k as usize]);
                        self.can_read(q, lo, (((v + 1) << (6 * k)) - 1).min(0x10ffff), fuel)?
                            .then_some(S::U(q, k, v, b))
                    }
                    _ => None,
                },
                S::U(q, k, v, lead) => {
                    let ok = match lead {
                        0xe0 => (0xa0..=0xbf).contains(&b),
                        0xed => (0x80..=0x9f).contains(&b),
                        0xf0 => (0x90..=0xbf).contains(&b),
                        0xf4 => (0x80..=0x8f).contains(&b),
                        _ => (0x80..=0xbf).contains(&b),
                    };
                    if !ok {
                        None
                    } else {
                        let v = v << 6 | (b & 63) as u32;
                        let k = k - 1;
                        if k == 0 {
                            rd(self, q, v, fuel)?
                        } else {
                            self.can_read(q, v << (6 * k), ((v + 1) << (6 * k)) - 1, fuel)?.then_some(S::U(q, k, v, 0))
                        }
                    }
                }
                S::E(q) => match b {
                    b'"' | b'\\' | b'/' => rd(self, q, b.into(), fuel)?,
                    b'b' => rd(self, q, 8, fuel)?,
                    b'f' => rd(self, q, 12, fuel)?,
                    b'n' => rd(self, q, 10, fuel)?,
                    b'r' => rd(self, q, 13, fuel)?,
                    b't' => rd(self, q, 9, fuel)?,
                    b'u' => Some(S::H(q, 4, 0)),
                    _ => None,
                },
                S::H(q, k, v) => match (b as char).to_digit(16) {
                    None => None,
                    Some(d) => {
                        let v = v << 4 | d;
                        let k = k - 1;
                        let (lo, hi) = (v << (4 * k), ((v + 1) << (4 * k)) - 1);
                        let a = |h: u32| 0x10000 + ((h - 0xd800) << 10);
                        let ok = lo < 0xd800 && self.can_read(q, lo, hi.min(0xd7ff), fuel)?
                            || hi > 0xdfff && self.can_read(q, lo.max(0xe000), hi, fuel)?
                            || lo.max(0xd800) <= hi.min(0xdbff)
                                && self.can_read(q, a(lo.max(0xd800)), a(hi.min(0xdbff)) + 1023, fuel)?;
                        if !ok {
                            None
                        } else if k > 0 {
                            Some(S::H(q, k, v))
                        } else if (0xd800..0xdc00).contains(&v) {
                            Some(S::L(q, v, 6, 0))
                        } else {
                            rd(self, q, v, fuel)?
                        }
                    }
                },
                S::L(q, h, 6, _) => (b == b'\\').then_some(S::L(q, h, 5, 0)),
                S::L(q, h, 5, _) => (b == b'u').then_some(S::L(q, h, 4, 0)),
                S::L(q, h, k, v) => match (b as char).to_digit(16) {
                    None => None,
                    Some(d) => {
                        let v = v << 4 | d;
                        let k = k - 1;
                        let lo = (v << (4 * k)).max(0xdc00);
                        let hi = (((v + 1) << (4 * k)) - 1).min(0xdfff);
                        let base = 0x10000 + ((h - 0xd800) << 10);
                        if lo > hi {
                            None
                        } else if k == 0 {
                            rd(self, q, base + lo - 0xdc00, fuel)?
                        } else {
                            self.can_read(q, base + lo - 0xdc00, base + hi - 0xdc00, fuel)?.then_some(S::L(q, h, k, v))
                        }
                    }
                },
            };
            match next {
                Some(s) => {
                    path.truncate(n.depth());
                    path.push(s);
                    if n.token != NONE {
                        crate::mask::allow(&mut mask, n.token as usize);
                    }
                    i += 1;
                }
                None => i = n.skip as usize,
            }
        }
        Ok(mask.into())
    }
    pub fn bytes(&self) -> usize {
        self.states.len() * 100
    }
    pub fn forget(&mut self) {}
}
