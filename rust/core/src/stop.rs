//! Stop strings: text in, text that is safe to show out, until the first stop.
//!
//! The stop whose end comes first wins, and of those that end there the longest. Both are properties of the text alone,
//! so the answer does not depend on how the text was cut into tokens or chunks.
//!
//! This file works on bytes and knows neither tokens nor ids. It does not check UTF-8: a stop begins with the first byte
//! of a character, so whole characters in give whole characters out.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits::Limits;

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// One prefix of some stop. Children hang on a list: a state has at most as many as there are stops.
#[derive(Debug)]
struct State {
    byte: u8,
    first_child: u32,
    next_sibling: u32,
    /// The state of the longest proper suffix that is also a prefix of some stop.
    fail: u32,
    /// Length of the prefix.
    depth: u32,
    /// A stop that begins with the prefix, so that its bytes need not be kept a second time.
    owner: u32,
    /// The longest stop that is a suffix of the prefix, or `NONE`.
    matched: u32,
}

/// Compiled stop strings, shared by every stream that watches for them. Memory is linear in their total length.
///
/// The automaton is that of Aho and Corasick, "Efficient string matching" (1975), on bytes.
#[derive(Debug)]
pub struct StopSet {
    stops: Vec<Box<[u8]>>,
    states: Vec<State>,
    /// The root's transitions, the only ones looked up for text that has nothing to do with any stop.
    from_root: Box<[u32; 256]>,
}

impl Default for StopSet {
    /// Nothing to watch for.
    fn default() -> Self {
        let mut set = StopSet { stops: Vec::new(), states: Vec::new(), from_root: Box::new([ROOT; 256]) };
        set.push_state(0, 0, 0);
        set
    }
}

impl StopSet {
    /// Compile the stops. Without any, nothing ever matches.
    ///
    /// `Error::Parameter` on an empty stop, which would match everywhere; `Error::Limit` on too many or too long ones.
    pub fn new(stops: &[impl AsRef<[u8]>]) -> Result<StopSet> {
        let limits = Limits::DEFAULT;
        if stops.len() > limits.stop_strings {
            return Err(Error::Limit {
                limit: "stop_strings",
                got: stops.len() as u64,
                maximum: limits.stop_strings as u64,
            });
        }
        let stops: Vec<Box<[u8]>> = stops.iter().map(|stop| stop.as_ref().into()).collect();
        let mut set = StopSet::default();
        for (index, stop) in stops.iter().enumerate() {
            if stop.is_empty() {
                return Err(Error::Parameter {
                    field: "stop",
                    value: format!("\"\" at index {index}"),
                    expected: "no empty strings".into(),
                });
            }
            if stop.len() > limits.stop_string_bytes {
                return Err(Error::Limit {
                    limit: "stop_string_bytes",
                    got: stop.len() as u64,
                    maximum: limits.stop_string_bytes as u64,
                });
            }
            set.insert(stop, index as u32);
        }
        set.link();
        set.stops = stops;
        Ok(set)
    }

    /// The number of stops.
    pub fn len(&self) -> usize {
        self.stops.len()
    }

    /// Whether there is nothing to watch for.
    pub fn is_empty(&self) -> bool {
        self.stops.is_empty()
    }

    /// The stop that `StopMatcher::feed` named by its index.
    pub fn stop(&self, index: usize) -> &[u8] {
        &self.stops[index]
    }

    fn push_state(&mut self, byte: u8, depth: u32, owner: u32) -> u32 {
        let (first_child, next_sibling, fail, matched) = (NONE, NONE, ROOT, NONE);
        self.states.push(State { byte, first_child, next_sibling, fail, depth, owner, matched });
        (self.states.len() - 1) as u32
    }

    fn child(&self, state: u32, byte: u8) -> Option<u32> {
        let mut child = self.states[state as usize].first_child;
        while child != NONE {
            let candidate = &self.states[child as usize];
            if candidate.byte == byte {
                return Some(child);
            }
            child = candidate.next_sibling;
        }
        None
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
        if end.matched == NONE {
            end.matched = index;
        }
    }

    /// Failure links and inherited matches, breadth first: what a state needs belongs to shallower states.
    fn link(&mut self) {
        let mut queue = VecDeque::new();
        let mut child = self.states[ROOT as usize].first_child;
        while child != NONE {
            self.from_root[self.states[child as usize].byte as usize] = child;
            queue.push_back(child);
            child = self.states[child as usize].next_sibling;
        }
        while let Some(state) = queue.pop_front() {
            let State { fail, first_child, .. } = self.states[state as usize];
            let mut child = first_child;
            while child != NONE {
                let fail = self.next(fail, self.states[child as usize].byte);
                let inherited = self.states[fail as usize].matched;
                let linked = &mut self.states[child as usize];
                linked.fail = fail;
                if linked.matched == NONE {
                    linked.matched = inherited;
                }
                queue.push_back(child);
                child = linked.next_sibling;
            }
        }
    }

    fn next(&self, mut state: u32, byte: u8) -> u32 {
        while state != ROOT {
            if let Some(child) = self.child(state, byte) {
                return child;
            }
            state = self.states[state as usize].fail;
        }
        self.from_root[byte as usize]
    }

    /// Advance `state` over `text` up to the first match: (bytes read, index of the stop).
    fn scan(&self, state: &mut u32, text: &[u8]) -> Option<(usize, usize)> {
        let mut at = 0;
        while at < text.len() {
            if *state == ROOT {
                at += text[at..].iter().position(|&byte| self.from_root[byte as usize] != ROOT)?;
            }
            *state = self.next(*state, text[at]);
            at += 1;
            let matched = self.states[*state as usize].matched;
            if matched != NONE {
                return Some((at, matched as usize));
            }
        }
        None
    }

    /// The text of a state.
    fn prefix(&self, state: u32) -> &[u8] {
        match self.states[state as usize] {
            State { depth: 0, .. } => &[],
            State { depth, owner, .. } => &self.stops[owner as usize][..depth as usize],
        }
    }
}

/// Whether the stop itself is part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopText {
    /// The text ends with the stop; nothing is ever held back.
    Include,
    /// The text ends before the stop; what may be the beginning of one is held back.
    Exclude,
}

/// One stream of text on the way to its stop.
///
/// Held back is exactly the longest suffix of the text that is a proper prefix of some stop. That is the automaton's
/// state, so the matcher keeps no text.
#[derive(Debug, Clone)]
pub struct StopMatcher {
    set: Arc<StopSet>,
    text: StopText,
    state: u32,
    stopped: bool,
}

impl StopMatcher {
    /// A matcher at the beginning of its stream.
    pub fn new(set: Arc<StopSet>, text: StopText) -> StopMatcher {
        StopMatcher { set, text, state: ROOT, stopped: false }
    }

    /// The stops it watches for.
    pub fn set(&self) -> &StopSet {
        &self.set
    }

    /// Append to `out` what `text` made safe to show; the index of the stop that it completed, if any.
    ///
    /// After a match everything is swallowed until `finish` or `reset`.
    pub fn feed(&mut self, text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        if self.stopped {
            return None;
        }
        if self.set.is_empty() {
            out.extend_from_slice(text);
            return None;
        }
        let before = self.state;
        let found = self.set.scan(&mut self.state, text);
        let (read, cut) = match found {
            Some((read, stop)) => (read, self.set.stops[stop].len()),
            None => (text.len(), self.set.prefix(self.state).len()),
        };
        match self.text {
            StopText::Include => out.extend_from_slice(&text[..read]),
            // held + text, less the end that is a stop or may become one. A stop never began before what was held.
            StopText::Exclude => {
                let held = self.set.prefix(before);
                let shown = held.len() + read - cut;
                out.extend_from_slice(&held[..shown.min(held.len())]);
                out.extend_from_slice(&text[..shown.saturating_sub(held.len())]);
            }
        }
        if found.is_some() {
            self.state = ROOT;
            self.stopped = true;
        }
        found.map(|(_, stop)| stop)
    }

    /// Append what is still held, nothing after a match. Afterwards the matcher is as new.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.text == StopText::Exclude {
            out.extend_from_slice(self.set.prefix(self.state));
        }
        self.reset();
    }

    /// Forget the stream.
    pub fn reset(&mut self) {
        self.state = ROOT;
        self.stopped = false;
    }

    /// How many bytes of the text fed so far are held back.
    pub fn held_len(&self) -> usize {
        match self.text {
            StopText::Include => 0,
            StopText::Exclude => self.set.prefix(self.state).len(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use proptest::prelude::*;

    /// One-shot search, slow and obvious: text shown, the stop, text still held.
    fn oracle(stops: &[Vec<u8>], text: &[u8], mode: StopText) -> (Vec<u8>, Option<usize>, Vec<u8>) {
        for end in 1..=text.len() {
            let mut best: Option<usize> = None;
            for (index, stop) in stops.iter().enumerate() {
                if text[..end].ends_with(stop) && best.is_none_or(|best| stop.len() > stops[best].len()) {
                    best = Some(index);
                }
            }
            if let Some(index) = best {
                let shown = if mode == StopText::Include { end } else { end - stops[index].len() };
                return (text[..shown].to_vec(), best, Vec::new());
            }
        }
        let longest = |stop: &Vec<u8>| (0..stop.len()).rev().find(|&n| text.ends_with(&stop[..n])).unwrap_or(0);
        let held = if mode == StopText::Include { 0 } else { stops.iter().map(longest).max().unwrap_or(0) };
        let (shown, held) = text.split_at(text.len() - held);
        (shown.to_vec(), None, held.to_vec())
    }

    fn run(set: &Arc<StopSet>, chunks: &[&[u8]], mode: StopText) -> (Vec<u8>, Option<usize>, Vec<u8>) {
        let mut matcher = StopMatcher::new(set.clone(), mode);
        let (mut shown, mut held, mut stop) = (Vec::new(), Vec::new(), None);
        for chunk in chunks {
            let found = matcher.feed(chunk, &mut shown);
            assert!(stop.is_none() || found.is_none(), "two matches in one stream");
            stop = stop.or(found);
        }
        let held_len = matcher.held_len();
        matcher.finish(&mut held);
        assert_eq!(held_len, held.len());
        assert_eq!(matcher.held_len(), 0);
        (shown, stop, held)
    }

    const MODES: [StopText; 2] = [StopText::Include, StopText::Exclude];

    #[test]
    fn every_split_of_small_texts_agrees_with_the_oracle() {
        let cases: &[(&[&str], &str)] = &[
            (&["END"], "the END of it"),
            (&["END"], "the EN"),
            (&["abcd", "bc"], "xabcd"),
            (&["bc", "abc"], "xabc"),
            (&["abc", "abc"], "abc"),
            (&["aab"], "aaaab"),
            (&["\n\n", "\n\nUser:"], "hi\n\nUser: yes"),
            (&["a"], "a"),
            (&["€uro", "😀"], "100 €ur 😀!"),
            (&["ababb", "abc"], "ababab"),
            (&["x"], ""),
            (&[], "anything"),
        ];
        for &(stops, text) in cases {
            let set = Arc::new(StopSet::new(stops).unwrap());
            let stops: Vec<Vec<u8>> = stops.iter().map(|stop| stop.as_bytes().to_vec()).collect();
            for mode in MODES {
                let expected = oracle(&stops, text.as_bytes(), mode);
                let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
                assert_eq!(run(&set, &bytes, mode), expected, "{stops:?} {text:?} byte by byte");
                for cut in 0..=text.len() {
                    let (a, b) = text.as_bytes().split_at(cut);
                    assert_eq!(run(&set, &[a, b], mode), expected, "{stops:?} {text:?} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn nothing_of_a_stop_is_shown_early_nor_anything_late() {
        let set = Arc::new(StopSet::new(&["</think>"]).unwrap());
        let mut matcher = StopMatcher::new(set, StopText::Exclude);
        let mut out = Vec::new();
        assert_eq!(matcher.feed(b"a</thi", &mut out), None);
        assert_eq!((out.as_slice(), matcher.held_len()), (&b"a"[..], 5));
        assert_eq!(matcher.feed(b"s</think", &mut out), None);
        assert_eq!((out.as_slice(), matcher.held_len()), (&b"a</this"[..], 7));
        assert_eq!(matcher.feed(b"> more", &mut out), Some(0));
        assert_eq!((out.as_slice(), matcher.held_len()), (&b"a</this"[..], 0));
        assert_eq!(matcher.feed(b"swallowed </think>", &mut out), None);
        matcher.finish(&mut out);
        assert_eq!(out, b"a</this");
        assert_eq!(matcher.feed(b"again</think>", &mut out), Some(0));
        assert_eq!(out, b"a</thisagain");
    }

    #[test]
    fn reset_forgets_held_text_and_a_match() {
        let set = Arc::new(StopSet::new(&["ab"]).unwrap());
        let mut matcher = StopMatcher::new(set, StopText::Exclude);
        let mut out = Vec::new();
        matcher.feed(b"a", &mut out);
        matcher.reset();
        assert_eq!(matcher.feed(b"b", &mut out), None);
        assert_eq!(out, b"b");
        assert_eq!(matcher.feed(b"ab", &mut out), Some(0));
        matcher.reset();
        assert_eq!(matcher.feed(b"c", &mut out), None);
        assert_eq!(out, b"bc");
    }

    #[test]
    fn bad_sets_are_refused() {
        let refused = StopSet::new(&["a", ""]).unwrap_err();
        assert!(matches!(refused, Error::Parameter { field: "stop", .. }), "{refused:?}");
        let limits = Limits::DEFAULT;
        let many = vec!["x"; limits.stop_strings + 1];
        assert_eq!(StopSet::new(&many[1..]).unwrap().len(), limits.stop_strings);
        assert!(matches!(
            StopSet::new(&many).unwrap_err(),
            Error::Limit { limit: "stop_strings", got: 17, maximum: 16 }
        ));
        let long = "y".repeat(limits.stop_string_bytes + 1);
        assert!(StopSet::new(&[&long[1..]]).is_ok());
        let refused = StopSet::new(&[&long]).unwrap_err();
        assert!(matches!(refused, Error::Limit { limit: "stop_string_bytes", got: 1025, .. }), "{refused:?}");
    }

    #[test]
    fn the_largest_set_stays_small() {
        let longest = Limits::DEFAULT.stop_string_bytes;
        let stops: Vec<Vec<u8>> = (0..Limits::DEFAULT.stop_strings as u8).map(|n| vec![n; longest]).collect();
        let set = Arc::new(StopSet::new(&stops).unwrap());
        assert_eq!(set.states.len(), 1 + stops.len() * longest);
        let text = vec![7; longest - 1];
        assert_eq!(run(&set, &[&text], StopText::Exclude), (Vec::new(), None, text));
    }

    fn cut_at<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.push(text.len());
        at.sort_unstable();
        let mut start = 0;
        at.into_iter().map(|end| &text[std::mem::replace(&mut start, end)..end]).collect()
    }

    proptest! {
        #[test]
        fn equals_the_oracle_however_cut(
            stops in prop::collection::vec("[ab€]{1,5}", 0..5),
            text in "[ab€c]{0,40}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let set = Arc::new(StopSet::new(&stops).unwrap());
            let stops: Vec<Vec<u8>> = stops.into_iter().map(String::into_bytes).collect();
            for mode in MODES {
                let expected = oracle(&stops, text.as_bytes(), mode);
                prop_assert_eq!(run(&set, &cut_at(text.as_bytes(), &cuts), mode), expected);
            }
        }

        #[test]
        fn whole_characters_in_give_whole_characters_out(
            stops in prop::collection::vec("\\PC{1,4}", 1..4),
            pieces in prop::collection::vec("\\PC{0,4}", 0..8),
        ) {
            let mut matcher = StopMatcher::new(Arc::new(StopSet::new(&stops).unwrap()), StopText::Exclude);
            for piece in pieces {
                let mut out = Vec::new();
                matcher.feed(piece.as_bytes(), &mut out);
                prop_assert!(String::from_utf8(out).is_ok());
            }
        }
    }
}
