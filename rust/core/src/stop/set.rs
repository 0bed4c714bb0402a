//! Stop strings compiled: the automaton that every stream steps through. What is shown and what is held back is the
//! matcher's business.

use crate::byte_kinds::ByteKinds;
use crate::error::{Error, Result};
use crate::limits::{Limits, within};

pub(super) const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// Set in a transition whose state is a match.
const MATCH: u16 = 0x8000;

/// A table of transitions up to this size (32 KiB) is worth its memory; larger sets follow links. At most `MATCH`.
pub(super) const MAX_TRANSITIONS: usize = 1 << 14;

/// From this length on `memchr` makes up for its call.
const LONG: usize = 32;

/// Which of the stops that end at the same place counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tie {
    /// The longest, so that the least of a stop is shown.
    #[default]
    Longest,
    /// The first in the list.
    List,
}

impl Tie {
    /// By its public name.
    pub fn from_name(name: &str) -> Result<Tie> {
        match name {
            "longest" => Ok(Tie::Longest),
            "list" => Ok(Tie::List),
            _ => Err(Error::Parameter {
                field: "stop_tie",
                value: format!("{name:?}"),
                expected: "\"longest\" or \"list\"".into(),
            }),
        }
    }
}

/// One prefix of some stop. Children hang on a list: a state has at most as many as there are stops.
#[derive(Debug)]
pub(super) struct State {
    byte: u8,
    first_child: u32,
    next_sibling: u32,
    /// The state of the longest proper suffix that is also a prefix of some stop.
    fail: u32,
    /// What is held back here: the first bytes, this many, of one of the stops, whose bytes need not be kept twice.
    n_held: u32,
    owner: u32,
    /// The stop that counts among those that are suffixes of the prefix, or `NONE`.
    matched: u32,
}

/// Compiled stop strings, shared by every stream that watches for them. Memory is linear in their total length.
///
/// The automaton is that of Aho and Corasick, "Efficient string matching" (1975), on bytes. Where the product of its
/// states and of the bytes they tell apart is small, its transitions are a table; else failure links are followed, in
/// time linear in the text all the same.
#[derive(Debug)]
pub struct StopSet {
    pub(super) stops: Vec<Box<[u8]>>,
    pub(super) states: Vec<State>,
    /// Bytes that no stop tells apart share a class. Those of the bytes that begin a stop are the last.
    classes: [u8; 256],
    /// Classes below it leave the root where it is.
    n_idle: u16,
    /// The bytes that begin a stop, and the states they lead to from the root, in the order of their classes.
    beginnings: Box<[u8]>,
    /// Of the same, the kinds.
    beginning_kinds: ByteKinds,
    from_root: Box<[u32]>,
    /// (n_states, 1 << shift): of each state and class the next state, shifted, and whether it matches. Empty if it
    /// would be too large.
    pub(super) transitions: Box<[u16]>,
    pub(super) shift: u32,
}

impl Default for StopSet {
    /// Nothing to watch for.
    fn default() -> Self {
        StopSet::compile(Vec::new(), Tie::Longest, MAX_TRANSITIONS)
    }
}

impl StopSet {
    /// Compile the stops. Without any, nothing ever matches.
    ///
    /// `Error::Parameter` on an empty stop, which would match everywhere; `Error::Limit` on too many or too long ones.
    pub fn new(stops: &[impl AsRef<[u8]>], tie: Tie) -> Result<StopSet> {
        let limits = Limits::DEFAULT;
        within("stop_strings", stops.len(), limits.stop_strings)?;
        for (index, stop) in stops.iter().enumerate() {
            let n_bytes = stop.as_ref().len();
            if n_bytes == 0 {
                return Err(Error::Parameter {
                    field: "stop",
                    value: format!("\"\" at index {index}"),
                    expected: "no empty strings".into(),
                });
            }
            within("stop_string_bytes", n_bytes, limits.stop_string_bytes)?;
        }
        let stops = stops.iter().map(|stop| stop.as_ref().into()).collect();
        Ok(StopSet::compile(stops, tie, MAX_TRANSITIONS))
    }

    pub(super) fn compile(stops: Vec<Box<[u8]>>, tie: Tie, max_transitions: usize) -> StopSet {
        let mut set = StopSet {
            stops: Vec::new(),
            states: Vec::new(),
            classes: [0; 256],
            n_idle: 0,
            beginnings: Box::default(),
            beginning_kinds: ByteKinds::default(),
            from_root: Box::default(),
            transitions: Box::default(),
            shift: 0,
        };
        set.push_state(0, 0, 0);
        for (index, stop) in stops.iter().enumerate() {
            set.insert(stop, index as u32);
        }
        set.stops = stops;
        let n_classes = set.classify();
        let breadth_first = set.link(tie);
        set.shift = n_classes.next_power_of_two().trailing_zeros();
        if set.states.len() << set.shift <= max_transitions {
            set.transitions = set.tabulate(&breadth_first);
        }
        set
    }

    /// The stops, in the order in which they were given.
    pub fn stops(&self) -> &[Box<[u8]>] {
        &self.stops
    }

    fn push_state(&mut self, byte: u8, n_held: u32, owner: u32) -> u32 {
        let (first_child, next_sibling, fail, matched) = (NONE, NONE, ROOT, NONE);
        self.states.push(State { byte, first_child, next_sibling, fail, n_held, owner, matched });
        (self.states.len() - 1) as u32
    }

    fn children(&self, state: u32) -> impl Iterator<Item = u32> + '_ {
        let exists = |state: u32| Some(state).filter(|&state| state != NONE);
        std::iter::successors(exists(self.states[state as usize].first_child), move |&child| {
            exists(self.states[child as usize].next_sibling)
        })
    }

    fn child(&self, state: u32, byte: u8) -> Option<u32> {
        self.children(state).find(|&child| self.states[child as usize].byte == byte)
    }

    fn insert(&mut self, stop: &[u8], index: u32) {
        let mut state = ROOT;
        for (position, &byte) in stop.iter().enumerate() {
            state = match self.child(state, byte) {
                Some(child) => child,
                None => {
                    let child = self.push_state(byte, position as u32 + 1, index);
                    self.states[child as usize].next_sibling = self.states[state as usize].first_child;
                    self.states[state as usize].first_child = child;
                    child
                }
            };
        }
        let end = &mut self.states[state as usize];
        end.matched = end.matched.min(index);
    }

    /// Fill `classes` and what belongs to them; the number of classes.
    fn classify(&mut self) -> usize {
        let (beginnings, from_root): (Vec<u8>, Vec<u32>) =
            self.children(ROOT).map(|child| (self.states[child as usize].byte, child)).unzip();
        let mut inside = [false; 256];
        self.states[1..].iter().for_each(|state| inside[usize::from(state.byte)] = true);
        // Class 0 is for the bytes in no stop, if there are any.
        let mut n_classes = usize::from(inside.contains(&false));
        for byte in (0..=255).filter(|&byte| inside[usize::from(byte)] && !beginnings.contains(&byte)) {
            self.classes[usize::from(byte)] = n_classes as u8;
            n_classes += 1;
        }
        self.n_idle = n_classes as u16;
        for &byte in &beginnings {
            self.classes[usize::from(byte)] = n_classes as u8;
            n_classes += 1;
        }
        self.beginning_kinds = ByteKinds::of(&beginnings);
        (self.beginnings, self.from_root) = (beginnings.into(), from_root.into());
        n_classes
    }

    /// Failure links and what is inherited along them, breadth first: what a state needs belongs to shallower states. Returns the
    /// states in that order.
    fn link(&mut self, tie: Tie) -> Vec<u32> {
        let mut order = vec![ROOT];
        for at in 0..self.states.len() {
            let state = order[at];
            let first = order.len();
            order.extend(self.children(state));
            for &child in &order[first..] {
                let byte = self.states[child as usize].byte;
                let fail = if state == ROOT { ROOT } else { self.next(self.states[state as usize].fail, byte) };
                let State { matched: inherited, n_held, owner, .. } = self.states[fail as usize];
                let linked = &mut self.states[child as usize];
                linked.fail = fail;
                // Nothing goes on from here; only a match that was ignored leaves a stream here.
                if linked.first_child == NONE {
                    (linked.n_held, linked.owner) = (n_held, owner);
                }
                match tie {
                    Tie::List => linked.matched = linked.matched.min(inherited),
                    Tie::Longest if linked.matched == NONE => linked.matched = inherited,
                    Tie::Longest => {}
                }
            }
        }
        order
    }

    fn tabulate(&self, breadth_first: &[u32]) -> Box<[u16]> {
        let stride = 1 << self.shift;
        let mut transitions = vec![0; self.states.len() << self.shift];
        for &state in breadth_first {
            let row = (state as usize) << self.shift;
            let fail = (self.states[state as usize].fail as usize) << self.shift;
            transitions.copy_within(fail..fail + stride, row);
            for child in self.children(state) {
                let State { byte, matched, .. } = self.states[child as usize];
                let flag = if matched == NONE { 0 } else { MATCH };
                transitions[row + usize::from(self.classes[usize::from(byte)])] = (child as u16) << self.shift | flag;
            }
        }
        transitions.into()
    }

    fn next(&self, mut state: u32, byte: u8) -> u32 {
        while state != ROOT {
            if let Some(child) = self.child(state, byte) {
                return child;
            }
            state = self.states[state as usize].fail;
        }
        let class = u16::from(self.classes[usize::from(byte)]);
        class.checked_sub(self.n_idle).map_or(ROOT, |index| self.from_root[usize::from(index)])
    }

    /// How many bytes of the text leave the root where it is.
    #[inline]
    pub(super) fn idle(&self, text: &[u8]) -> usize {
        let found = match *self.beginnings {
            [] => None,
            [a] if text.len() >= LONG => memchr::memchr(a, text),
            [a, b] if text.len() >= LONG => memchr::memchr2(a, b, text),
            [a, b, c] if text.len() >= LONG => memchr::memchr3(a, b, c, text),
            _ => text.iter().position(|&byte| u16::from(self.classes[usize::from(byte)]) >= self.n_idle),
        };
        found.unwrap_or(text.len())
    }

    /// Advance `state` over `text`, if `armed` up to the first match only: how many bytes it took. `begins_none`: no byte
    /// of the text begins a stop, so that what comes after a return to the root changes nothing.
    #[inline]
    pub(super) fn scan(&self, state: &mut u32, text: &[u8], begins_none: bool, armed: bool) -> Option<usize> {
        if self.transitions.is_empty() {
            return self.scan_by_links(state, text, armed);
        }
        let mut row = (*state as usize) << self.shift;
        let mut at = 0;
        let found = loop {
            if row == 0 && text.len() >= LONG {
                at += self.idle(&text[at..]);
            }
            let Some(&byte) = text.get(at) else { break None };
            at += 1;
            let next = self.transitions[row + usize::from(self.classes[usize::from(byte)])];
            row = usize::from(next & !MATCH);
            if next & MATCH != 0 && armed {
                break Some(at);
            }
            if row == 0 && begins_none {
                break None;
            }
        };
        *state = (row >> self.shift) as u32;
        found
    }

    fn scan_by_links(&self, state: &mut u32, text: &[u8], armed: bool) -> Option<usize> {
        let mut at = 0;
        loop {
            if *state == ROOT {
                at += self.idle(&text[at..]);
            }
            *state = self.next(*state, *text.get(at)?);
            at += 1;
            if armed && self.states[*state as usize].matched != NONE {
                return Some(at);
            }
        }
    }

    /// The longest suffix of a state's text that is a proper prefix of some stop.
    #[inline]
    pub(super) fn held(&self, state: u32) -> &[u8] {
        match self.states[state as usize] {
            State { n_held: 0, .. } => &[],
            State { n_held, owner, .. } => &self.stops[owner as usize][..n_held as usize],
        }
    }

    /// The kinds of the bytes that begin a stop. Text without them leaves the root where it is.
    #[inline]
    pub(super) fn beginning_kinds(&self) -> ByteKinds {
        self.beginning_kinds
    }

    /// The stop that a state completes.
    #[inline]
    pub(super) fn matched(&self, state: u32) -> usize {
        self.states[state as usize].matched as usize
    }
}
