//! Stop strings: text in, text that is safe to show out, until the first stop.
//!
//! The stop whose end comes first wins, and of those that end there the longest or the first in the list (`Tie`). All
//! of it is a property of the text alone, so the answer does not depend on how the text was cut into tokens or chunks.
//!
//! This file works on bytes and knows neither tokens nor ids. It does not check UTF-8: a stop begins with the first byte
//! of a character, so whole characters in give whole characters out.

mod set;

use std::sync::Arc;

use self::set::ROOT;
pub use self::set::{StopSet, Tie};
use crate::byte_kinds::ByteKinds;

/// Whether the stop itself is part of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopText {
    /// The text ends with the stop; nothing is ever held back.
    Include,
    /// The text ends before the stop; what may be the beginning of one is held back.
    #[default]
    Exclude,
}

/// What `StopMatcher::feed` found safe to show: some text held back before, then some of the text fed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fed<'m, 't> {
    /// What was held back until now.
    pub released: &'m [u8],
    /// The beginning of the text fed.
    pub text: &'t [u8],
    /// The index of the stop that the text completed.
    pub stop: Option<usize>,
}

/// Where a stream stands before its stop: with the text to come, all that decides what will be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    /// One for each place of a set of stops.
    #[inline]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// One stream of text on the way to its stop.
///
/// Held back is exactly the longest suffix of the text that is a proper prefix of some stop. That is the automaton's
/// state, so the matcher keeps no text.
#[derive(Debug, Clone, Default)]
pub struct StopMatcher {
    set: Arc<StopSet>,
    state: u32,
    text: StopText,
    stopped: bool,
}

impl StopMatcher {
    /// A matcher at the beginning of its stream.
    pub fn new(set: Arc<StopSet>, text: StopText) -> StopMatcher {
        StopMatcher { set, state: ROOT, text, stopped: false }
    }

    /// The stops it watches for.
    pub fn stops(&self) -> &[Box<[u8]>] {
        self.set.stops()
    }

    /// The first of the stops that is this text.
    pub fn index_of(&self, text: &[u8]) -> Option<usize> {
        self.stops().iter().position(|stop| **stop == *text)
    }

    /// Whether the stop is part of the text.
    pub fn text(&self) -> StopText {
        self.text
    }

    /// Where the stream stands; nowhere after a match.
    #[inline]
    pub fn place(&self) -> Option<Place> {
        if self.stopped { None } else { Some(Place(self.state)) }
    }

    /// Stand where a matcher of the same stops stood that had come to no match.
    #[inline]
    pub fn resume(&mut self, place: Place) {
        (self.state, self.stopped) = (place.0, false);
    }

    /// What `text` made safe to show, and the stop that it completed. After a match everything is swallowed until
    /// `finish` or `reset`.
    ///
    /// A stop that ends in text fed while not `armed` is text like any other; one that only begins there counts.
    #[inline]
    pub fn feed<'m, 't>(&'m mut self, text: &'t [u8], armed: bool) -> Fed<'m, 't> {
        // Most text has nothing to do with any stop.
        let mut idle = 0;
        if self.state == ROOT && !self.stopped {
            idle = self.set.idle(text);
            if idle == text.len() {
                return Fed { released: &[], text, stop: None };
            }
        }
        self.feed_from(idle, text, false, armed)
    }

    /// Text without these kinds of bytes passes as it is and changes nothing.
    #[inline]
    pub fn watched(&self) -> ByteKinds {
        if self.state == ROOT && !self.stopped { self.set.beginning_kinds() } else { ByteKinds::ALL }
    }

    /// The same as `feed`, given the kinds of the text's bytes.
    #[inline]
    pub fn feed_kinds<'m, 't>(&'m mut self, text: &'t [u8], kinds: ByteKinds, armed: bool) -> Fed<'m, 't> {
        match kinds.meet(self.set.beginning_kinds()) {
            true => self.feed(text, armed),
            false => self.feed_from(0, text, true, armed),
        }
    }

    /// The first `idle` bytes of the text have nothing to do with any stop. `begins_none`: no byte of it begins one.
    #[inline]
    fn feed_from<'m, 't>(&'m mut self, idle: usize, text: &'t [u8], begins_none: bool, armed: bool) -> Fed<'m, 't> {
        if self.stopped {
            return Fed::default();
        }
        let before = self.state;
        let found = self.set.scan(&mut self.state, &text[idle..], begins_none, armed);
        let set = &*self.set;
        let (read, cut, stop) = match found {
            Some(n_bytes) => {
                let stop = set.matched(self.state);
                self.state = ROOT;
                self.stopped = true;
                (idle + n_bytes, set.stops[stop].len(), Some(stop))
            }
            None => (text.len(), set.held(self.state).len(), None),
        };
        match self.text {
            StopText::Include => Fed { released: &[], text: &text[..read], stop },
            // held + text, less the end that is a stop or may become one. A stop never began before what was held.
            StopText::Exclude => {
                let held = set.held(before);
                let shown = held.len() + read - cut;
                let (released, text) = (&held[..shown.min(held.len())], &text[..shown.saturating_sub(held.len())]);
                Fed { released, text, stop }
            }
        }
    }

    /// The same, with the text made what is safe to show.
    #[inline]
    pub fn feed_in_place(&mut self, text: &mut Vec<u8>, armed: bool) -> Option<usize> {
        let Fed { released, text: shown, stop } = self.feed(text, armed);
        let (n_shown, n_released) = (shown.len(), released.len());
        text.truncate(n_shown);
        if n_released > 0 {
            text.extend_from_slice(released);
            text.rotate_right(n_released);
        }
        stop
    }

    /// What is still held, nothing after a match. Afterwards the matcher is as new.
    pub fn finish(&mut self) -> &[u8] {
        let state = self.state;
        self.reset();
        match self.text {
            StopText::Include => &[],
            StopText::Exclude => self.set.held(state),
        }
    }

    /// The text ends here, at a stop that was no text of it: what was still held. Afterwards everything is swallowed, as
    /// after a match.
    pub fn end(&mut self) -> &[u8] {
        let state = std::mem::replace(&mut self.state, ROOT);
        self.stopped = true;
        match self.text {
            StopText::Include => &[],
            StopText::Exclude => self.set.held(state),
        }
    }

    /// Forget the stream.
    pub fn reset(&mut self) {
        self.state = ROOT;
        self.stopped = false;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::set::MAX_TRANSITIONS;
    use super::*;
    use crate::error::Error;
    use crate::limits::Limits;
    use proptest::prelude::*;

    const TEXTS: [StopText; 2] = [StopText::Include, StopText::Exclude];
    const TIES: [Tie; 2] = [Tie::Longest, Tie::List];

    type Stops = Vec<Box<[u8]>>;

    fn stops_of(stops: &[impl AsRef<[u8]>]) -> Stops {
        stops.iter().map(|stop| stop.as_ref().into()).collect()
    }

    /// The set as it is compiled, and as it would be were it too large for a table.
    fn sets(stops: &Stops, tie: Tie) -> [Arc<StopSet>; 2] {
        [MAX_TRANSITIONS, 0].map(|maximum| Arc::new(StopSet::compile(stops.clone(), tie, maximum)))
    }

    /// The longest suffix of the text that is a proper prefix of some stop.
    fn held<'a>(stops: &Stops, text: &'a [u8]) -> &'a [u8] {
        let longest = |stop: &[u8]| (0..stop.len()).rev().find(|&n| text.ends_with(&stop[..n])).unwrap_or(0);
        &text[text.len() - stops.iter().map(|stop| longest(stop)).max().unwrap_or(0)..]
    }

    /// One-shot search, slow and obvious: where the first stop that ends beyond the minimum does, and which it is.
    fn search(stops: &Stops, text: &[u8], minimum: usize, tie: Tie) -> Option<(usize, usize)> {
        (minimum + 1..=text.len()).find_map(|end| {
            let ending = (0..stops.len()).filter(|&index| text[..end].ends_with(&stops[index]));
            let best = match tie {
                Tie::List => ending.min(),
                Tie::Longest => ending.rev().max_by_key(|&index| stops[index].len()),
            };
            best.map(|index| (end, index))
        })
    }

    /// All that may be shown of a text, and the stop.
    fn oracle<'a>(
        stops: &Stops,
        text: &'a [u8],
        minimum: usize,
        tie: Tie,
        mode: StopText,
    ) -> (&'a [u8], Option<usize>) {
        match search(stops, text, minimum, tie) {
            None => (text, None),
            Some((end, index)) if mode == StopText::Include => (&text[..end], Some(index)),
            Some((end, index)) => (&text[..end - stops[index].len()], Some(index)),
        }
    }

    #[derive(Debug, Default, PartialEq)]
    struct Faults {
        wrong_text: u32,
        wrong_stop: u32,
        leaks: u32,
        late: u32,
    }

    /// One stream, its first `n_unarmed` chunks not armed, watched at every chunk.
    fn watch(set: &Arc<StopSet>, chunks: &[&[u8]], n_unarmed: usize, tie: Tie, mode: StopText) -> Faults {
        let (stops, text) = (&set.stops, chunks.concat());
        let minimum = chunks[..n_unarmed].concat().len();
        let (want, want_stop) = oracle(stops, &text, minimum, tie, mode);
        let mut matcher = StopMatcher::new(set.clone(), mode);
        let (mut shown, mut seen, mut stop) = (Vec::new(), 0, None);
        let mut faults = Faults::default();
        for (number, chunk) in chunks.iter().enumerate() {
            let mut piece = chunk.to_vec();
            let (mut before, mut by_kinds) = (matcher.clone(), matcher.clone());
            stop = matcher.feed_in_place(&mut piece, number >= n_unarmed);
            let Fed { released, text: kept, stop: same } = before.feed(chunk, number >= n_unarmed);
            assert_eq!((piece.as_slice(), stop), ([released, kept].concat().as_slice(), same));
            let kinds = ByteKinds::of(chunk);
            if !kinds.meet(by_kinds.watched()) {
                assert_eq!(
                    (piece.as_slice(), stop, matcher.state),
                    (*chunk, None, by_kinds.state),
                    "it passes as it is"
                );
            }
            assert_eq!(by_kinds.feed_kinds(chunk, kinds, number >= n_unarmed), Fed { released, text: kept, stop });
            assert_eq!((by_kinds.state, by_kinds.stopped), (matcher.state, matcher.stopped));
            shown.extend(piece);
            seen += chunk.len();
            faults.leaks |= u32::from(!want.starts_with(&shown));
            if stop.is_some() {
                break;
            }
            let n_held = if mode == StopText::Include { 0 } else { held(stops, &text[..seen]).len() };
            faults.late |= u32::from(shown.len() + n_held < seen);
        }
        shown.extend(matcher.finish());
        faults.wrong_text = u32::from(shown != want);
        faults.wrong_stop = u32::from(stop != want_stop);
        faults
    }

    #[test]
    fn every_split_of_small_texts_agrees_with_the_oracle() {
        let cases: &[(&[&str], &str)] = &[
            (&["END"], "the END of it"),
            (&["END"], "the EN"),
            (&["abcd", "bc"], "xabcd"),
            (&["bc", "abc"], "xabc"),
            (&["abc", "abc"], "abc"),
            (&["aab"], "aaaab"),
            (&["ab", "abab", "babab"], "ababababa"),
            (&["\n\n", "\n\nUser:"], "hi\n\nUser: yes"),
            (&["a"], "a"),
            (&["a", "aa", "aaa"], "aaaa"),
            (&["€uro", "😀"], "100 €ur 😀!"),
            (&["ababb", "abc"], "ababab"),
            (&["x"], ""),
            (&[], "anything"),
        ];
        for &(stops, text) in cases {
            for tie in TIES {
                for set in sets(&stops_of(stops), tie) {
                    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
                    for mode in TEXTS {
                        for n_unarmed in 0..=bytes.len() {
                            let faults = watch(&set, &bytes, n_unarmed, tie, mode);
                            assert_eq!(faults, Faults::default(), "{stops:?} {text:?} from byte {n_unarmed}");
                        }
                        for i in 0..=text.len() {
                            for j in i..=text.len() {
                                let chunks = [&text.as_bytes()[..i], &text.as_bytes()[i..j], &text.as_bytes()[j..]];
                                for n_unarmed in 0..3 {
                                    let faults = watch(&set, &chunks, n_unarmed, tie, mode);
                                    assert_eq!(faults, Faults::default(), "{stops:?} {text:?} cut at {i}, {j}");
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// A stream of random numbers, by Marsaglia, "Xorshift RNGs" (2003).
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 16) as usize % n
        }

        fn text(&mut self, alphabet: &[&str], n: usize) -> String {
            (0..n).map(|_| alphabet[self.below(alphabet.len())]).collect()
        }
    }

    #[test]
    fn no_fault_on_160_000_random_streams() {
        let alphabets: [&[&str]; 5] =
            [&["a", "b"], &["a", "b", "c"], &["a", "é", "你", "\u{4f61}"], &["\n", "#", "ab"], &["<", "|", ">", "😀"]];
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut faults = Faults::default();
        let (mut n_stopped, mut n_held, mut n_tied, mut n_put_off) = (0, 0, 0, 0);
        for number in 0..160_000_usize {
            let alphabet = alphabets[random.below(alphabets.len())];
            let longest = 1 + random.below(6);
            let mut stops: Vec<String> = Vec::new();
            for _ in 0..random.below(5) {
                let n = 1 + random.below(longest);
                let stop = random.text(alphabet, n);
                // Stops that end together: one is the tail of another.
                let tail: String = stop.chars().skip(1).collect();
                if !tail.is_empty() && random.below(4) == 0 {
                    stops.insert(random.below(stops.len() + 1), tail);
                }
                stops.push(stop);
            }
            let n = random.below(40);
            let text = random.text(alphabet, n);
            let mut chunks = Vec::new();
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(rest.len().min([0, 1, 1, 2, 3, 7][random.below(6)]));
                chunks.push(chunk);
                rest = after;
            }
            let bit = |n: usize| number >> n & 1;
            let (tie, mode) = (TIES[bit(0)], TEXTS[bit(1)]);
            let n_unarmed = if bit(2) == 1 { random.below(chunks.len() + 1) } else { 0 };
            let set = &sets(&stops_of(&stops), tie)[bit(3)];
            let found = watch(set, &chunks, n_unarmed, tie, mode);
            faults.wrong_text += found.wrong_text;
            faults.wrong_stop += found.wrong_stop;
            faults.leaks += found.leaks;
            faults.late += found.late;

            let minimum = chunks[..n_unarmed].concat().len();
            let (stops, text) = (&set.stops, text.as_bytes());
            let first = search(stops, text, minimum, tie);
            n_stopped += usize::from(first.is_some());
            n_held += usize::from(first.is_none() && !held(stops, text).is_empty());
            n_tied += usize::from(first != search(stops, text, minimum, TIES[1 - bit(0)]));
            n_put_off += usize::from(first != search(stops, text, 0, tie));
        }
        assert_eq!(faults, Faults::default());
        // That the streams have to do with what they are to test.
        for (n, at_least) in [(n_stopped, 80_000), (n_held, 5_000), (n_tied, 4_000), (n_put_off, 20_000)] {
            assert!(n > at_least, "{:?}", (n_stopped, n_held, n_tied, n_put_off));
        }
    }

    fn matcher(stops: &[&str], text: StopText) -> StopMatcher {
        StopMatcher::new(Arc::new(StopSet::new(stops, Tie::Longest).unwrap()), text)
    }

    /// (what is shown, the stop, what is held after it)
    fn fed(matcher: &mut StopMatcher, text: &str, armed: bool) -> (String, Option<usize>, String) {
        let mut shown = text.as_bytes().to_vec();
        let stop = matcher.feed_in_place(&mut shown, armed);
        let held = matcher.clone().finish().to_vec();
        (String::from_utf8(shown).unwrap(), stop, String::from_utf8(held).unwrap())
    }

    #[test]
    fn nothing_of_a_stop_is_shown_early_nor_anything_late() {
        let mut matcher = matcher(&["</think>"], StopText::Exclude);
        assert_eq!(fed(&mut matcher, "a</thi", true), ("a".into(), None, "</thi".into()));
        assert_eq!(fed(&mut matcher, "s</think", true), ("</this".into(), None, "</think".into()));
        assert_eq!(fed(&mut matcher, "> more", true), (String::new(), Some(0), String::new()));
        assert_eq!(fed(&mut matcher, "swallowed </think>", true), (String::new(), None, String::new()));
        assert_eq!(matcher.finish(), b"");
        assert_eq!(fed(&mut matcher, "again</think>", true), ("again".into(), Some(0), String::new()));
        matcher.reset();
        assert_eq!(fed(&mut matcher, "<", true), (String::new(), None, "<".into()));
        matcher.reset();
        assert_eq!(fed(&mut matcher, "/think>", true), ("/think>".into(), None, String::new()));
    }

    #[test]
    fn a_stop_that_was_ignored_holds_back_no_more_than_may_go_on() {
        let mut matcher = matcher(&["abcd", "cd", "d!"], StopText::Exclude);
        assert_eq!(fed(&mut matcher, "xab", false), ("x".into(), None, "ab".into()));
        assert_eq!(fed(&mut matcher, "cd", false), ("abc".into(), None, "d".into()));
        assert_eq!(fed(&mut matcher, "", true), (String::new(), None, "d".into()));
        assert_eq!(fed(&mut matcher, "!", true), (String::new(), Some(2), String::new()));
    }

    #[test]
    fn bad_sets_are_refused() {
        let new = |stops: &[&str]| StopSet::new(stops, Tie::Longest);
        let refused = new(&["a", ""]).unwrap_err();
        assert!(matches!(refused, Error::Parameter { field: "stop", .. }), "{refused:?}");
        let limits = Limits::DEFAULT;
        let many = vec!["x"; limits.stop_strings + 1];
        assert_eq!(new(&many[1..]).unwrap().stops.len(), limits.stop_strings);
        assert!(matches!(new(&many).unwrap_err(), Error::Limit { limit: "stop_strings", got: 17, maximum: 16 }));
        let long = "y".repeat(limits.stop_string_bytes + 1);
        assert!(new(&[&long[1..]]).is_ok());
        let refused = new(&[&long]).unwrap_err();
        assert!(matches!(refused, Error::Limit { limit: "stop_string_bytes", got: 1025, .. }), "{refused:?}");
        assert_eq!(Tie::from_name("list"), Ok(Tie::List));
        assert!(matches!(Tie::from_name("first"), Err(Error::Parameter { field: "stop_tie", .. })));
    }

    #[test]
    fn the_largest_sets_stay_small() {
        let limits = Limits::DEFAULT;
        // Each byte begins or is in a stop, so that the classes are as many as they can be.
        let spread: Vec<Vec<u8>> = (0..limits.stop_strings)
            .map(|n| (0..limits.stop_string_bytes).map(|i| (n * 16 + i) as u8).collect())
            .collect();
        let apart: Vec<Vec<u8>> = (0..limits.stop_strings as u8).map(|n| vec![n; limits.stop_string_bytes]).collect();
        for stops in [spread, apart] {
            let set = Arc::new(StopSet::new(&stops, Tie::Longest).unwrap());
            assert_eq!(set.states.len(), 1 + stops.len() * limits.stop_string_bytes);
            assert!(set.transitions.is_empty());
            let mut matcher = StopMatcher::new(set, StopText::Exclude);
            assert_eq!(matcher.feed(&stops[7][1..], true).stop, None);
            matcher.reset();
            assert_eq!(matcher.feed(&stops[7][..limits.stop_string_bytes - 1], true), Fed::default());
            assert_eq!(matcher.feed(&stops[7][limits.stop_string_bytes - 1..], true).stop, Some(7));
        }
        let each_byte: Vec<u8> = (0..=255).collect();
        for stops in [vec![each_byte.clone()], each_byte.chunks(16).map(<[u8]>::to_vec).collect()] {
            let set = StopSet::new(&stops, Tie::Longest).unwrap();
            assert!(set.transitions.is_empty() && set.shift == 8);
            let mut matcher = StopMatcher::new(Arc::new(set), StopText::Exclude);
            assert_eq!(matcher.feed(&each_byte, true).stop, Some(0));
        }
    }

    #[test]
    fn usual_sets_have_a_table_and_a_stream_is_small() {
        let long: Vec<String> = (0..16).map(|n| format!("stop number {n} of sixteen of them")).collect();
        let endless = format!("{}b", "a".repeat(1000));
        for stops in [vec!["<|im_end|>"], long.iter().map(String::as_str).collect(), vec![&endless], vec![]] {
            let set = StopSet::new(&stops, Tie::Longest).unwrap();
            assert!(!set.transitions.is_empty() && set.transitions.len() <= MAX_TRANSITIONS);
        }
        assert!(size_of::<StopMatcher>() <= 16);
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
            text in "[ab€c]{0,80}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            n_unarmed in any::<prop::sample::Index>(),
        ) {
            let chunks = cut_at(text.as_bytes(), &cuts);
            for tie in TIES {
                for set in sets(&stops_of(&stops), tie) {
                    for mode in TEXTS {
                        let faults = watch(&set, &chunks, n_unarmed.index(chunks.len() + 1), tie, mode);
                        prop_assert_eq!(faults, Faults::default());
                    }
                }
            }
        }

        #[test]
        fn whole_characters_in_give_whole_characters_out(
            stops in prop::collection::vec("\\PC{1,4}", 1..4),
            pieces in prop::collection::vec(("\\PC{0,4}", any::<bool>()), 0..8),
        ) {
            let mut matcher = StopMatcher::new(Arc::new(StopSet::new(&stops, Tie::Longest).unwrap()), StopText::Exclude);
            for (piece, armed) in pieces {
                let mut out = piece.into_bytes();
                matcher.feed_in_place(&mut out, armed);
                prop_assert!(String::from_utf8(out).is_ok());
            }
        }
    }
}
