//! One sequence under a grammar: what it has read, and so which tokens may come next. What a grammar is and how bytes
//! are read is not this file's business.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::history::History;
use super::machine::{Machine, State};
use super::{Grammar, Shared, token_bytes};
use crate::error::{Error, Result};
use crate::limits::{Fuel, within};
use crate::mask;

/// How far forced text is looked for.
const FORCED_BYTES: usize = 4096;

/// Steps after which filling masks is worth another thread.
const THREAD_FUEL: u64 = 50_000;

/// What became of a row that was filled. It is written in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// It may be another mask than the last one.
    Changed,
    /// It is the mask that this matcher filled last.
    Unchanged,
    /// Every id of the vocabulary is allowed.
    All,
}

/// Reads one sequence, token by token.
///
/// An error leaves it as it was: what ran out of fuel can be asked again, and another token taken instead.
#[derive(Debug, Clone)]
pub struct Matcher {
    grammar: Arc<Grammar>,
    /// The ids that end the text, ascending.
    end_ids: Arc<[u32]>,
    /// The text goes on after a prompt's, instead of beginning anew.
    continuation: bool,
    history: History,
    is_terminated: bool,
    /// Where the last mask was filled.
    filled: Option<Place>,
}

/// All that a mask depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    state: State,
    generation: u64,
    is_first: bool,
    is_terminated: bool,
}

impl Matcher {
    /// At the beginning of a text. It ends with one of the vocabulary's end tokens or of `stop_token_ids`, which are
    /// nothing else then. `continuation`: the text goes on after a prompt's, instead of beginning anew.
    pub fn new(grammar: Arc<Grammar>, stop_token_ids: &[i64], continuation: bool) -> Result<Self> {
        within("stop_token_ids", stop_token_ids.len(), grammar.limits.stop_token_ids)?;
        grammar.vocab.check(stop_token_ids.iter().copied())?;
        let ids = stop_token_ids.iter().map(|&id| id as u32).chain(grammar.vocab.eos_ids().iter().copied());
        Ok(Self::ending_with(grammar.clone(), ids, continuation))
    }

    /// The same, where nothing but these ids ends the text.
    pub(crate) fn ending_with(
        grammar: Arc<Grammar>,
        end_ids: impl IntoIterator<Item = u32>,
        continuation: bool,
    ) -> Self {
        let mut end_ids: Vec<u32> = end_ids.into_iter().collect();
        end_ids.sort_unstable();
        end_ids.dedup();
        Self {
            grammar,
            end_ids: end_ids.into(),
            continuation,
            history: History::default(),
            is_terminated: false,
            filled: None,
        }
    }

    /// A matcher of its own that goes on from here.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { filled: None, ..self.clone() }
    }

    /// What it reads by.
    pub fn grammar(&self) -> &Arc<Grammar> {
        &self.grammar
    }

    /// Whether an end token was accepted: nothing may follow.
    pub fn is_terminated(&self) -> bool {
        self.is_terminated
    }

    /// Whether the text may end here.
    pub fn is_accepting(&mut self) -> Result<bool> {
        let grammar = &*self.grammar;
        let shared = &mut *grammar.lock()?;
        let state = self.history.state(grammar, shared)?;
        Ok(!self.is_terminated && shared.machine.is_accepting(state)?)
    }

    /// Whether the text may end here and may not go on.
    pub fn is_complete(&mut self) -> Result<bool> {
        let grammar = &*self.grammar;
        let shared = &mut *grammar.lock()?;
        let state = self.history.state(grammar, shared)?;
        let fuel = &mut grammar.step_fuel();
        let may_end = !self.is_terminated && shared.machine.is_accepting(state)?;
        Ok(may_end && next_bytes(&mut shared.machine, state, 1, fuel)?.is_empty())
    }

    /// Set the bit of each token that may come next, and clear all others. `mask` has at least the vocabulary's words.
    pub fn fill(&mut self, mask: &mut [u32]) -> Result<Filled> {
        self.fill_within(mask, &mut self.grammar.step_fuel())
    }

    fn fill_within(&mut self, mask: &mut [u32], fuel: &mut Fuel) -> Result<Filled> {
        let grammar = &*self.grammar;
        let n_words = mask::words(grammar.vocab.len());
        if mask.len() < n_words {
            let what = format!("mask: {} words a row, but the vocabulary's bits take {n_words}", mask.len());
            return Err(Error::Shape { what });
        }
        let (mask, padding) = mask.split_at_mut(n_words);
        padding.fill(0);
        let shared = &mut *grammar.lock()?;
        let state = self.history.state(grammar, shared)?;
        let place = Place {
            state,
            generation: shared.generation,
            is_first: self.is_first(),
            is_terminated: self.is_terminated,
        };
        if place.is_terminated {
            mask.fill(0);
        } else {
            match place.is_first {
                true => shared.fill_first(&grammar.vocab, mask, fuel)?,
                false => shared.machine.fill(state, mask, fuel)?,
            }
            let is_accepting = shared.machine.is_accepting(state)?;
            for &id in &*self.end_ids {
                mask::set(mask, id as usize, is_accepting);
            }
        }
        let filled = match self.filled.replace(place) {
            _ if mask == grammar.vocab.present() => Filled::All,
            Some(last) if last == place => Filled::Unchanged,
            _ => Filled::Changed,
        };
        Ok(filled)
    }

    /// Whether a token may come next.
    pub fn allows(&mut self, token: u32) -> Result<bool> {
        Ok(self.validate(&[token])? == 1)
    }

    /// How many of these tokens, one after the other, would be accepted. Nothing changes.
    pub fn validate(&mut self, tokens: &[u32]) -> Result<usize> {
        let grammar = &*self.grammar;
        let shared = &mut *grammar.lock()?;
        let (mut state, mut is_first) = (self.history.state(grammar, shared)?, self.is_first());
        if self.is_terminated {
            return Ok(0);
        }
        for (n_accepted, &token) in tokens.iter().enumerate() {
            match read(grammar, shared, &self.end_ids, (state, is_first), token)? {
                Read::Refused => return Ok(n_accepted),
                Read::End => return Ok(n_accepted + 1),
                Read::Bytes(next, _) => (state, is_first) = (next, false),
            }
        }
        Ok(tokens.len())
    }

    /// Take a token, or say that it may not come next; then nothing changes.
    pub fn accept(&mut self, token: u32) -> Result<bool> {
        let grammar = &*self.grammar;
        let shared = &mut *grammar.lock()?;
        let state = self.history.state(grammar, shared)?;
        if self.is_terminated {
            return Ok(false);
        }
        match read(grammar, shared, &self.end_ids, (state, self.is_first()), token)? {
            Read::Refused => return Ok(false),
            Read::End => self.is_terminated = true,
            Read::Bytes(state, bytes) => self.history.push(bytes, state, grammar.limits.grammar_text_bytes)?,
        }
        Ok(true)
    }

    /// Take bytes that came from elsewhere, as one piece, or say that they may not come next; then nothing changes.
    pub fn accept_bytes(&mut self, bytes: &[u8]) -> Result<bool> {
        let grammar = &*self.grammar;
        let shared = &mut *grammar.lock()?;
        let state = self.history.state(grammar, shared)?;
        // Before fuel is spent on what cannot be kept.
        self.history.check_room(bytes.len(), grammar.limits.grammar_text_bytes)?;
        if self.is_terminated {
            return Ok(false);
        }
        match shared.machine.walk(state, bytes, &mut grammar.step_fuel())? {
            None => return Ok(false),
            Some(state) => self.history.push(bytes, state, grammar.limits.grammar_text_bytes)?,
        }
        Ok(true)
    }

    /// Take back the last `n` of what was accepted, tokens and pieces of bytes alike.
    pub fn rollback(&mut self, n: usize) -> Result<()> {
        let n_accepted = self.n_accepted();
        if n > n_accepted {
            let expected = format!("at most {n_accepted}, which is how many were accepted");
            return Err(Error::Parameter { field: "n", value: n.to_string(), expected });
        }
        if n > 0 {
            self.history.pop(n - usize::from(std::mem::take(&mut self.is_terminated)));
        }
        Ok(())
    }

    /// Tokens and pieces of bytes accepted so far, the end token included.
    pub fn n_accepted(&self) -> usize {
        self.history.len() + usize::from(self.is_terminated)
    }

    /// Back to the beginning of a text.
    pub fn reset(&mut self) {
        self.history = History::default();
        self.is_terminated = false;
    }

    /// The bytes that every text going on from here begins with, as far as that is worth looking.
    pub fn forced_bytes(&mut self) -> Result<Vec<u8>> {
        let grammar = &*self.grammar;
        let shared = &mut *grammar.lock()?;
        let mut state = self.history.state(grammar, shared)?;
        let fuel = &mut grammar.step_fuel();
        let mut forced = Vec::new();
        while !self.is_terminated && forced.len() < FORCED_BYTES && !shared.machine.is_accepting(state)? {
            match next_bytes(&mut shared.machine, state, 2, fuel)?[..] {
                [(byte, next)] => {
                    forced.push(byte);
                    state = next;
                }
                _ => break,
            }
        }
        Ok(forced)
    }

    /// The tokens that may come next, ascending; None if they are more than `limit`.
    pub fn allowed_tokens(&mut self, limit: usize) -> Result<Option<Vec<u32>>> {
        let mut mask = vec![0; mask::words(self.grammar.vocab.len())];
        // A list says nothing of the mask that was filled last.
        let filled = self.filled;
        let result = self.fill(&mut mask);
        self.filled = filled;
        result?;
        let mut tokens = Vec::new();
        for (index, &word) in mask.iter().enumerate() {
            let mut word = word;
            while word != 0 {
                if tokens.len() == limit {
                    return Ok(None);
                }
                tokens.push(32 * index as u32 + word.trailing_zeros());
                word &= word - 1;
            }
        }
        Ok(Some(tokens))
    }

    /// Nothing of the text is there yet, its prompt's included.
    fn is_first(&self) -> bool {
        self.history.n_bytes() == 0 && !self.continuation
    }
}

/// What a token comes to.
#[inline]
fn read<'a>(
    grammar: &'a Grammar,
    shared: &mut Shared,
    end_ids: &[u32],
    (state, is_first): (State, bool),
    token: u32,
) -> Result<Read<'a>> {
    if end_ids.contains(&token) {
        return Ok(if shared.machine.is_accepting(state)? { Read::End } else { Read::Refused });
    }
    let Some(bytes) = token_bytes(&grammar.vocab, token, is_first) else { return Ok(Read::Refused) };
    let next = shared.machine.walk(state, bytes, &mut grammar.step_fuel())?;
    Ok(next.map_or(Read::Refused, |state| Read::Bytes(state, bytes)))
}

enum Read<'a> {
    Refused,
    End,
    Bytes(State, &'a [u8]),
}

/// The bytes that may come next and where they lead, the first `at_most` found.
fn next_bytes(machine: &mut Machine, state: State, at_most: usize, fuel: &mut Fuel) -> Result<Vec<(u8, State)>> {
    let mut found = Vec::new();
    // Most texts that go on do so with something printable.
    for byte in (b' '..=b'~').chain(0..b' ').chain(b'\x7f'..=u8::MAX) {
        if let Some(next) = machine.step(state, byte, fuel)? {
            found.push((byte, next));
            if found.len() == at_most {
                break;
            }
        }
    }
    Ok(found)
}

/// Fill a row for each matcher; None leaves its row alone. Matchers of one grammar take turns, others run on at most
/// `threads` threads. A matcher may stand there several times. The first error, by row, is returned; all other rows are
/// filled.
pub fn fill_masks(
    matchers: &[Option<&Mutex<Matcher>>],
    rows: Vec<&mut [u32]>,
    threads: usize,
) -> Result<Vec<Option<Filled>>> {
    if matchers.len() != rows.len() {
        let what = format!("mask: {} rows for {} matchers", rows.len(), matchers.len());
        return Err(Error::Shape { what });
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut group_of: HashMap<*const Grammar, usize> = HashMap::new();
    for (index, (matcher, row)) in matchers.iter().zip(rows).enumerate() {
        let Some(matcher) = matcher else { continue };
        let key = Arc::as_ptr(&lock(matcher).grammar);
        let group = *group_of.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(Row { index, matcher, row });
    }
    let (n_groups, next) = (groups.len(), AtomicUsize::new(0));
    let groups: Vec<Mutex<Group<'_>>> = groups.into_iter().map(Mutex::new).collect();
    // Fills the group whose turn it is: false if there is none left.
    let fill_next = |done: &mut Done| {
        let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) else { return false };
        for Row { index, matcher, row } in lock(group).iter_mut() {
            let mut matcher = lock(matcher);
            let mut fuel = matcher.grammar.step_fuel();
            done.rows.push((*index, matcher.fill_within(row, &mut fuel)));
            done.spent += fuel.spent();
        }
        true
    };
    let mut done = Done::default();
    while done.spent < THREAD_FUEL && fill_next(&mut done) {}
    let n_left = n_groups.saturating_sub(next.load(Ordering::Relaxed));
    std::thread::scope(|scope| {
        let work = || {
            let mut done = Done::default();
            while fill_next(&mut done) {}
            done
        };
        // Where there is no other thread to be had, this one does it all.
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads.min(n_left)).filter_map(spawn).collect();
        done.rows.extend(work().rows);
        for other in others {
            match other.join() {
                Ok(other) => done.rows.extend(other.rows),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    done.rows.sort_unstable_by_key(|row| row.0);
    let mut filled = vec![None; matchers.len()];
    for (index, row) in done.rows {
        filled[index] = Some(row?);
    }
    Ok(filled)
}

type Group<'a> = Vec<Row<'a>>;

struct Row<'a> {
    index: usize,
    matcher: &'a Mutex<Matcher>,
    row: &'a mut [u32],
}

#[derive(Default)]
struct Done {
    rows: Vec<(usize, Result<Filled>)>,
    spent: u64,
}

/// What panicked under a matcher's lock left the matcher itself whole: it changes last.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::grammar::history::PIECES;
    use crate::limits::Limits;
    use crate::vocab::Vocab;

    const TOKENS: [&str; 9] = ["a", "b", "ab", "aba", "", "<end>", "bb", "<pad>", "b"];
    const END: u32 = 5;
    const TEXTS: [&str; 4] = ["ab", "abab", "abb", "b"];

    fn grammar(change: impl FnOnce(&mut Limits)) -> Arc<Grammar> {
        let vocab = Vocab::from_bytes(&TOKENS.map(Some), &[END, 7], &[END]).unwrap();
        let mut grammar = Grammar::toy(Arc::new(vocab), &TEXTS);
        change(&mut grammar.limits);
        Arc::new(grammar)
    }

    fn matcher() -> Matcher {
        Matcher::new(grammar(|_| {}), &[], false).unwrap()
    }

    /// The tokens that may follow a text, from the texts alone.
    fn allowed(text: &str, end_ids: &[u32]) -> Vec<u32> {
        let is_allowed = |id: &u32| match TOKENS[*id as usize] {
            _ if end_ids.contains(id) => TEXTS.contains(&text),
            "" | "<end>" | "<pad>" => false,
            token => TEXTS.iter().any(|whole| whole.starts_with(&format!("{text}{token}"))),
        };
        (0..TOKENS.len() as u32).filter(is_allowed).collect()
    }

    /// Every way to spell what a grammar allows, each with what it spells.
    fn spellings() -> Vec<(Vec<u32>, String)> {
        let mut all = vec![(Vec::new(), String::new())];
        let mut i = 0;
        while let Some((ids, text)) = all.get(i).cloned() {
            for id in allowed(&text, &[END]).into_iter().filter(|&id| id != END) {
                all.push(([&ids[..], &[id]].concat(), format!("{text}{}", TOKENS[id as usize])));
            }
            i += 1;
        }
        all
    }

    fn check(matcher: &mut Matcher, text: &str, end_ids: &[u32]) {
        let want = allowed(text, end_ids);
        assert_eq!(matcher.allowed_tokens(64).unwrap(), Some(want.clone()), "after {text:?}");
        let mut mask = [u32::MAX; 3];
        matcher.fill(&mut mask).unwrap();
        assert_eq!(mask[1..], [0, 0]);
        for id in 0..40 {
            let is_allowed = want.contains(&id);
            assert_eq!(mask::is_allowed(&mask, id as usize), is_allowed, "{id} after {text:?}");
            assert_eq!(matcher.allows(id).unwrap(), is_allowed);
            let mut fork = matcher.fork();
            assert_eq!(fork.accept(id).unwrap(), is_allowed);
            assert_eq!(fork.n_accepted(), matcher.n_accepted() + usize::from(is_allowed));
        }
        assert_eq!(matcher.is_accepting().unwrap(), TEXTS.contains(&text));
    }

    #[test]
    fn mask_bit_is_what_is_accepted_after_every_spelling() {
        for (ids, text) in spellings() {
            let mut matcher = matcher();
            assert_eq!(matcher.validate(&ids).unwrap(), ids.len());
            assert!(ids.iter().all(|&id| matcher.accept(id).unwrap()));
            check(&mut matcher, &text, &[END]);
        }
    }

    #[test]
    fn stop_token_ids_end_a_text_and_are_nothing_else() {
        let mut matcher = Matcher::new(grammar(|_| {}), &[1], false).unwrap();
        check(&mut matcher, "", &[1, END]);
        assert!(matcher.accept(2).unwrap());
        check(&mut matcher, "ab", &[1, END]);
        assert_eq!(matcher.validate(&[1, 1]).unwrap(), 1);
        assert!(matcher.accept(1).unwrap() && matcher.is_terminated());
        assert!(matches!(Matcher::new(grammar(|_| {}), &[9], false), Err(Error::TokenId { token_id: 9, .. })));
        let many = vec![1; Limits::DEFAULT.stop_token_ids + 1];
        assert!(matches!(Matcher::new(grammar(|_| {}), &many, false), Err(Error::Limit { .. })));
    }

    #[test]
    fn after_its_end_nothing_is_allowed_until_that_is_taken_back() {
        let mut matcher = matcher();
        assert!(!matcher.accept(END).unwrap());
        assert!(matcher.accept(2).unwrap() && matcher.accept(END).unwrap());
        let mut mask = [u32::MAX];
        matcher.fill(&mut mask).unwrap();
        assert_eq!((mask, matcher.is_terminated(), matcher.is_accepting().unwrap()), ([0], true, false));
        assert!(!matcher.accept(END).unwrap() && !matcher.accept(0).unwrap() && !matcher.accept_bytes(b"a").unwrap());
        assert_eq!(matcher.validate(&[0]).unwrap(), 0);
        assert_eq!(matcher.forced_bytes().unwrap(), b"");
        assert!(matches!(matcher.rollback(3), Err(Error::Parameter { field: "n", .. })));
        matcher.rollback(0).unwrap();
        assert!(matcher.is_terminated());
        matcher.rollback(1).unwrap();
        check(&mut matcher, "ab", &[END]);
        matcher.reset();
        check(&mut matcher, "", &[END]);
    }

    #[test]
    fn taking_back_is_never_having_taken() {
        for (ids, _) in spellings() {
            for n in 0..=ids.len() {
                let mut matcher = matcher();
                ids.iter().for_each(|&id| assert!(matcher.accept(id).unwrap()));
                matcher.rollback(n).unwrap();
                let text: String = ids[..ids.len() - n].iter().map(|&id| TOKENS[id as usize]).collect();
                check(&mut matcher, &text, &[END]);
                assert_eq!(matcher.validate(&ids[ids.len() - n..]).unwrap(), n);
            }
        }
    }

    #[test]
    fn bytes_are_one_piece_and_refused_ones_change_nothing() {
        let mut matcher = matcher();
        assert!(!matcher.accept_bytes(b"abc").unwrap());
        assert!(matcher.accept_bytes(b"aba").unwrap());
        assert_eq!((matcher.n_accepted(), matcher.forced_bytes().unwrap()), (1, b"b".to_vec()));
        assert!(matcher.accept_bytes(b"b").unwrap() && matcher.is_complete().unwrap());
        assert_eq!(matcher.forced_bytes().unwrap(), b"");
        matcher.rollback(2).unwrap();
        check(&mut matcher, "", &[END]);
        assert!(matcher.accept_bytes(b"ab").unwrap() && !matcher.is_complete().unwrap());
    }

    #[test]
    fn what_was_forgotten_is_read_again() {
        for (ids, text) in spellings() {
            // Whatever is learned is too much: every operation begins with nothing known.
            let mut matcher = Matcher::new(grammar(|limits| limits.grammar_memory_bytes = 0), &[], false).unwrap();
            ids.iter().for_each(|&id| assert!(matcher.accept(id).unwrap()));
            check(&mut matcher, &text, &[END]);
            let generation = matcher.history.generation();
            assert!(ids.is_empty() || generation > 0);
            for n in (0..ids.len()).rev() {
                matcher.rollback(1).unwrap();
                let text: String = ids[..n].iter().map(|&id| TOKENS[id as usize]).collect();
                check(&mut matcher, &text, &[END]);
            }
        }
    }

    /// Reads `text` token by token, as often as it is told, and asks what comes next.
    fn reader(text: &str) -> (Matcher, impl Fn(&mut Matcher, usize) + use<>) {
        let vocab = Vocab::from_bytes(&TOKENS.map(Some), &[END], &[END]).unwrap();
        let grammar = Arc::new(Grammar::toy(Arc::new(vocab), &[text]));
        let bytes = text.as_bytes().to_vec();
        let next = move |matcher: &Matcher| u32::from(bytes[matcher.n_accepted()] - b'a');
        let go_to = move |matcher: &mut Matcher, n: usize| {
            matcher.rollback(matcher.n_accepted().saturating_sub(n)).unwrap();
            while matcher.n_accepted() < n {
                assert!(matcher.accept(next(matcher)).unwrap());
            }
            assert!(matcher.allows(next(matcher)).unwrap() && !matcher.allows(1 - next(matcher)).unwrap());
        };
        (Matcher::new(grammar, &[], false).unwrap(), go_to)
    }

    #[test]
    fn what_is_old_can_be_taken_back_by_every_fork() {
        let text: String = (0..7 * PIECES).map(|i| if i * i % 7 % 3 == 0 { 'a' } else { 'b' }).collect();
        let (mut matcher, go_to) = reader(&text);
        let mut forks = Vec::new();
        for n in [1, 2 * PIECES - 1, 2 * PIECES, 3 * PIECES + 5, 6 * PIECES, 6 * PIECES - 1, 2 * PIECES + 1, 5 * PIECES]
        {
            go_to(&mut matcher, n);
            forks.push((n, matcher.fork()));
            if n == 6 * PIECES {
                // All of it is void, old states too.
                matcher.grammar.lock().unwrap().forget().unwrap();
            }
        }
        for (i, (n, fork)) in forks.iter_mut().enumerate() {
            assert_eq!(fork.n_accepted(), *n);
            for n in [*n, 3 * PIECES, PIECES, 0, i, 4 * PIECES + i, 5] {
                go_to(fork, n);
            }
        }
        go_to(&mut matcher, PIECES + 1);
    }

    #[test]
    fn long_pieces_are_shared_and_long_texts_dropped_without_recursion() {
        let n = 1 << 17;
        let vocab = Arc::new(Vocab::from_bytes(&[Some("a"), Some("b")], &[], &[]).unwrap());
        let mut matcher = Matcher::new(Arc::new(Grammar::regex(vocab, "a*").unwrap()), &[], false).unwrap();
        let piece = "a".repeat(10_000);
        assert!(matcher.accept_bytes(piece.as_bytes()).unwrap() && matcher.accept(0).unwrap());
        matcher.rollback(2).unwrap();
        assert!(matcher.accept_bytes(piece.as_bytes()).unwrap());
        (0..n).for_each(|_| assert!(matcher.accept(0).unwrap()));
        let drop_it = move || {
            let fork = matcher.fork();
            drop(matcher);
            drop(fork);
        };
        std::thread::Builder::new().stack_size(1 << 17).spawn(drop_it).unwrap().join().unwrap();
    }

    #[test]
    fn out_of_fuel_is_an_error_and_changes_nothing() {
        let mut matcher = Matcher::new(grammar(|limits| limits.grammar_step_fuel = 2), &[], false).unwrap();
        let is_out = |error: Error| matches!(error, Error::Limit { limit: "grammar_step_fuel", .. });
        assert!(is_out(matcher.fill(&mut [0]).unwrap_err()));
        assert!(is_out(matcher.accept(3).unwrap_err()));
        assert!(is_out(matcher.accept_bytes(b"abb").unwrap_err()));
        assert!(is_out(matcher.validate(&[0, 1, 3]).unwrap_err()));
        assert!(matcher.accept(2).unwrap());
        assert!(is_out(matcher.is_complete().unwrap_err()));
        assert!(matcher.accept(1).unwrap());
        assert_eq!(matcher.n_accepted(), 2);
    }

    #[test]
    fn a_text_is_bounded() {
        let mut matcher = Matcher::new(grammar(|limits| limits.grammar_text_bytes = 3), &[], false).unwrap();
        assert!(matcher.accept(3).unwrap());
        for error in [matcher.accept(1).unwrap_err(), matcher.accept_bytes(b"b").unwrap_err()] {
            assert_eq!(error, Error::Limit { limit: "grammar_text_bytes", got: 4, maximum: 3 });
        }
        assert_eq!(matcher.n_accepted(), 1);
        matcher.rollback(1).unwrap();
        check(&mut matcher, "", &[END]);
    }

    #[test]
    fn a_mask_is_told_from_the_last_one() {
        let mut matcher = matcher();
        let mut mask = [0];
        assert_eq!(matcher.fill(&mut mask).unwrap(), Filled::Changed);
        assert_eq!(matcher.fill(&mut mask).unwrap(), Filled::Unchanged);
        assert_eq!(matcher.fork().fill(&mut mask).unwrap(), Filled::Changed);
        matcher.allowed_tokens(64).unwrap();
        assert!(matcher.accept(2).unwrap());
        assert_eq!(matcher.fill(&mut mask).unwrap(), Filled::Changed);
        matcher.rollback(1).unwrap();
        assert_eq!(matcher.fill(&mut mask).unwrap(), Filled::Changed);
        assert!(matches!(matcher.fill(&mut []), Err(Error::Shape { .. })));
        let vocab = Arc::new(Vocab::from_bytes(&[Some("a"), Some("b")], &[], &[1]).unwrap());
        let grammar = Arc::new(Grammar::toy(vocab, &["a", ""]));
        assert_eq!(Matcher::new(grammar, &[], false).unwrap().fill(&mut mask).unwrap(), Filled::All);
        assert_eq!(mask, [0b11]);
    }

    #[test]
    fn more_tokens_than_the_limit_are_no_list() {
        let mut matcher = matcher();
        let all = matcher.allowed_tokens(64).unwrap().unwrap();
        assert_eq!(matcher.allowed_tokens(all.len()).unwrap(), Some(all.clone()));
        assert_eq!(matcher.allowed_tokens(all.len() - 1).unwrap(), None);
        assert_eq!(matcher.allowed_tokens(0).unwrap(), None);
    }

    #[test]
    fn a_batch_is_its_rows() {
        for threads in [1, 4] {
            let grammars: Vec<_> = (0..5).map(|_| grammar(|_| {})).collect();
            let matchers: Vec<_> = spellings()
                .iter()
                .enumerate()
                .map(|(i, (ids, _))| {
                    let mut matcher = Matcher::new(grammars[i % 5].clone(), &[], false).unwrap();
                    ids.iter().for_each(|&id| assert!(matcher.accept(id).unwrap()));
                    Mutex::new(matcher)
                })
                .collect();
            let mut rows: Vec<Option<&Mutex<Matcher>>> = matchers.iter().map(Some).collect();
            rows.push(None);
            rows.push(Some(&matchers[0]));
            let mut masks = vec![[7_u32; 2]; rows.len()];
            let views = masks.iter_mut().map(|mask| &mut mask[..]).collect();
            let filled = fill_masks(&rows, views, threads).unwrap();
            for ((row, mask), filled) in rows.iter().zip(&masks).zip(filled) {
                let Some(matcher) = row else {
                    assert_eq!((*mask, filled), ([7; 2], None));
                    continue;
                };
                let mut want = [0; 2];
                lock(matcher).fork().fill(&mut want).unwrap();
                assert_eq!(*mask, want);
            }
            assert!(matches!(fill_masks(&rows, Vec::new(), threads), Err(Error::Shape { .. })));
        }
    }

    #[test]
    fn an_error_in_a_batch_leaves_the_other_rows_filled() {
        let (poor, good) = (grammar(|limits| limits.grammar_step_fuel = 2), grammar(|_| {}));
        let matchers = [poor, good].map(|grammar| Mutex::new(Matcher::new(grammar, &[], false).unwrap()));
        let mut masks = [[7_u32; 1]; 2];
        let views = masks.iter_mut().map(|mask| &mut mask[..]).collect();
        let error = fill_masks(&[Some(&matchers[0]), Some(&matchers[1])], views, 2).unwrap_err();
        assert!(matches!(error, Error::Limit { limit: "grammar_step_fuel", .. }));
        let mut want = [0];
        lock(&matchers[1]).fill(&mut want).unwrap();
        assert_eq!(masks[1], want);
    }

    #[test]
    fn a_panic_under_the_lock_is_forgotten_with_all_that_was_learned() {
        let grammar = grammar(|_| {});
        let mut matcher = Matcher::new(grammar.clone(), &[], false).unwrap();
        assert!(matcher.accept(2).unwrap());
        let other = grammar.clone();
        std::thread::spawn(move || {
            let _held = other.lock();
            std::panic::resume_unwind(Box::new("a fault"));
        })
        .join()
        .unwrap_err();
        check(&mut matcher, "ab", &[END]);
        assert_eq!(matcher.history.generation(), 1);
    }
}
