//! Token ids to text that never ends in half a character. What an id adds to a text is the vocabulary's business, what
//! becomes of the text is the stop matcher's.

use crate::character::{Next, Unfinished};
use crate::decoder::{Joiner, LastTables};
use crate::error::Result;
use crate::filter::FilterState;
use crate::vocab::{BYTE, Gate, PRESENT, SPECIAL, Table, TokenBytes, Vocab, WHOLE};
use crate::window::WindowState;

/// What stands for bytes that are no UTF-8.
const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

/// From this length on the standard library's search for what is no UTF-8 makes up for its call.
const LONG: usize = 16;

/// What becomes of tokens that are single bytes (`<0xE6>`), in vocabularies that have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByteFallback {
    /// Each complete character is text at once, and each byte that is part of none is one U+FFFD.
    #[default]
    Eager,
    /// As the `tokenizers` library: bytes in a row are text if all of them together are UTF-8, and otherwise each is one
    /// U+FFFD. So they are held until another token follows.
    Hf,
}

/// How ids become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetokenizeOptions {
    /// Leave special tokens out.
    pub skip_special_tokens: bool,
    /// What becomes of tokens that are single bytes.
    pub byte_fallback: ByteFallback,
}

impl Default for DetokenizeOptions {
    fn default() -> Self {
        Self { skip_special_tokens: true, byte_fallback: ByteFallback::default() }
    }
}

/// One stream. Every method wants the vocabulary it was made for.
///
/// Ill-formed bytes become one U+FFFD for each maximal subpart (Unicode 15, 3.9), so that however the bytes are cut
/// into tokens, the text is `String::from_utf8_lossy` of all of them.
#[derive(Debug, Clone)]
pub struct Detokenizer {
    options: DetokenizeOptions,
    /// No token was kept so far.
    is_first: bool,
    /// Where nothing is held and nothing is changed, a whole token's bytes go out as they are.
    gate: Gate,
    /// The bytes in a row, those of a byte fallback, began with the first token kept.
    is_first_run: bool,
    /// They are no UTF-8, and so each of them is one U+FFFD (`ByteFallback::Hf`).
    is_spoiled: bool,
    held: Unfinished,
    /// The previous token where the joiner asks for it: its id, or its number among the kinds.
    previous: Option<u32>,
    previous_is_first: bool,
    more: More,
    filters: Box<[FilterState]>,
}

/// What few streams need.
#[derive(Debug, Clone)]
enum More {
    /// Characters of a run of bytes (`ByteFallback::Hf`).
    Run(Vec<u8>),
    Window(Box<WindowState>),
}

impl Detokenizer {
    /// A new stream.
    pub fn new(vocab: &Vocab, options: DetokenizeOptions) -> Self {
        let decoder = vocab.decoder();
        let more = match decoder.joiner {
            Joiner::Window(_) => More::Window(Box::default()),
            _ => More::Run(Vec::new()),
        };
        let mut stream = Self {
            options,
            is_first: true,
            gate: Gate::CLOSED,
            is_first_run: false,
            is_spoiled: false,
            held: Unfinished::default(),
            previous: None,
            previous_is_first: false,
            more,
            filters: decoder.filters.iter().map(|filter| filter.start()).collect(),
        };
        stream.look(vocab);
        stream
    }

    /// A stream that goes on after a prompt: its text and the prompt's, one after the other, are the text of all the
    /// ids, and nothing of what the prompt shows is shown again.
    pub fn after(vocab: &Vocab, options: DetokenizeOptions, prompt_ids: impl IntoIterator<Item = u32>) -> Result<Self> {
        let mut stream = Self::new(vocab, options);
        let mut shown = Vec::new();
        for id in prompt_ids {
            stream.step(vocab, id, &mut shown)?;
            shown.clear();
        }
        let mut text = Vec::new();
        match &mut stream.more {
            More::Run(run) => {
                let run = std::mem::take(run);
                stream.push_text(&run, vocab.decoder().joiner.metaspace(), &mut text);
            }
            More::Window(window) => window.show_all(),
        }
        for (filter, state) in vocab.decoder().filters.iter().zip(&mut stream.filters) {
            let mut filtered = Vec::new();
            filter.feed(state, &text, &mut filtered);
            filter.settle(state, &mut filtered);
            text = filtered;
        }
        stream.look(vocab);
        Ok(stream)
    }

    /// Whether special tokens are left out.
    pub fn skips_special_tokens(&self) -> bool {
        self.options.skip_special_tokens
    }

    /// Which tokens' text is just their bytes, whatever they are: `step` would append these and change nothing.
    #[inline]
    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// Append the text that became certain with this token; an id the vocabulary lacks adds nothing.
    ///
    /// `Error::Tokenizer` where the decoder is not compiled and the library fails; then the token is left out.
    pub fn step(&mut self, vocab: &Vocab, id: u32, out: &mut Vec<u8>) -> Result<()> {
        if vocab.lets(self.gate, id) {
            out.extend_from_slice(vocab.token_bytes(id).unwrap_or_default());
            return Ok(());
        }
        let decoder = vocab.decoder();
        let table = decoder.first.as_ref().filter(|_| self.is_first).unwrap_or(vocab.tokens());
        let Some(token) = table.get(id).filter(|token| token.is(PRESENT)) else { return Ok(()) };
        if self.options.skip_special_tokens && token.is(SPECIAL) {
            return Ok(());
        }
        if self.filters.is_empty() {
            self.join(vocab, id, token, out)?;
        } else {
            let mut text = Vec::new();
            self.join(vocab, id, token, &mut text)?;
            self.filter(vocab, text, false, out);
        }
        self.is_first = false;
        self.look(vocab);
        Ok(())
    }

    /// See whether the next token's text may go out as it is.
    fn look(&mut self, vocab: &Vocab) {
        let decoder = vocab.decoder();
        let free = match (&decoder.joiner, &self.more) {
            (Joiner::Utf8 | Joiner::Text, _) => true,
            (Joiner::ByteFallback { .. }, More::Run(run)) => run.is_empty() && !self.is_spoiled && !self.is_first_run,
            _ => false,
        };
        let passes = free
            && self.held.is_empty()
            && !(self.is_first && decoder.first.is_some())
            && decoder.filters.iter().zip(&self.filters).all(|(filter, state)| filter.is_spent(state));
        self.gate = if passes { Gate::open(self.options.skip_special_tokens) } else { Gate::CLOSED };
    }

    fn join(&mut self, vocab: &Vocab, id: u32, token: TokenBytes<'_>, out: &mut Vec<u8>) -> Result<()> {
        match &vocab.decoder().joiner {
            Joiner::Utf8 => self.feed(token, out),
            Joiner::Text => out.extend_from_slice(token.bytes),
            Joiner::ByteFallback { metaspace } if token.is(BYTE) => {
                if !self.in_run() {
                    self.is_first_run = self.is_first;
                }
                self.feed_byte(token.bytes[0], *metaspace, out);
            }
            Joiner::ByteFallback { metaspace } => {
                self.end_run(*metaspace, out);
                out.extend_from_slice(token.bytes);
            }
            Joiner::Suffix { last } => {
                if let Some((inner, _, n_common)) = self.previous_texts(vocab, last) {
                    out.extend_from_slice(&inner[n_common..]);
                }
                (self.previous, self.previous_is_first) = (Some(id), self.is_first);
                if let Some((inner, _, n_common)) = self.previous_texts(vocab, last) {
                    out.extend_from_slice(&inner[..n_common]);
                }
            }
            Joiner::Dedup { kinds, first_kinds } => {
                let kinds = first_kinds.as_ref().filter(|_| self.is_first).unwrap_or(kinds);
                let kind = kinds.get(id as usize).copied();
                if kind != self.previous {
                    out.extend_from_slice(token.bytes);
                }
                self.previous = kind;
            }
            Joiner::Window(window) => {
                if let More::Window(state) = &mut self.more {
                    state.step(window, id, out)?;
                }
            }
        }
        Ok(())
    }

    /// Bytes of UTF-8, cut anywhere.
    fn feed(&mut self, token: TokenBytes<'_>, out: &mut Vec<u8>) {
        let mut bytes = token.bytes;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.held.is_empty() {
                if bytes.len() == token.bytes.len() && token.is(WHOLE) {
                    return out.extend_from_slice(bytes);
                }
                if bytes.len() >= LONG {
                    let n_valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
                    out.extend_from_slice(&bytes[..n_valid]);
                    bytes = &bytes[n_valid..];
                    if n_valid > 0 {
                        continue;
                    }
                }
            }
            match self.held.push(byte) {
                Next::Last => self.held.take_into(out),
                Next::Inner => {}
                Next::Foreign => {
                    out.extend_from_slice(REPLACEMENT);
                    // It may begin another character, unless it was the first byte of this one.
                    if !self.held.is_empty() {
                        self.held.clear();
                        continue;
                    }
                }
            }
            bytes = rest;
        }
    }

    /// Whether the previous token kept was a byte.
    fn in_run(&self) -> bool {
        !self.held.is_empty()
            || self.is_spoiled
            || self.is_first_run
            || matches!(&self.more, More::Run(run) if !run.is_empty())
    }

    /// One byte of a byte fallback.
    fn feed_byte(&mut self, byte: u8, metaspace: Option<(char, bool)>, out: &mut Vec<u8>) {
        if self.is_spoiled {
            return out.extend_from_slice(REPLACEMENT);
        }
        match (self.held.push(byte), self.options.byte_fallback) {
            (Next::Inner, _) => {}
            (Next::Last, ByteFallback::Eager) => self.push_character(metaspace, out),
            (Next::Last, ByteFallback::Hf) => {
                if let More::Run(run) = &mut self.more {
                    self.held.take_into(run);
                }
            }
            (Next::Foreign, ByteFallback::Eager) if self.held.is_empty() => out.extend_from_slice(REPLACEMENT),
            // It may begin a character; what was held before it cannot become one.
            (Next::Foreign, ByteFallback::Eager) => {
                (0..self.held.len()).for_each(|_| out.extend_from_slice(REPLACEMENT));
                self.held.clear();
                self.feed_byte(byte, metaspace, out);
            }
            (Next::Foreign, ByteFallback::Hf) => {
                self.spoil(out);
                out.extend_from_slice(REPLACEMENT);
            }
        }
    }

    /// The character that bytes have completed.
    fn push_character(&mut self, metaspace: Option<(char, bool)>, out: &mut Vec<u8>) {
        if metaspace.is_none() {
            return self.held.take_into(out);
        }
        let mut character = Vec::new();
        self.held.take_into(&mut character);
        self.push_text(&character, metaspace, out);
    }

    /// Text that came out of bytes.
    fn push_text(&self, text: &[u8], metaspace: Option<(char, bool)>, out: &mut Vec<u8>) {
        match metaspace {
            Some((replacement, drops_first)) => {
                let space = if self.is_first_run && drops_first { "" } else { " " };
                let text = std::str::from_utf8(text).unwrap_or_default();
                out.extend_from_slice(text.replace(replacement, space).as_bytes());
            }
            None => out.extend_from_slice(text),
        }
    }

    /// The bytes in a row turned out to be no UTF-8 (`ByteFallback::Hf`).
    fn spoil(&mut self, out: &mut Vec<u8>) {
        let More::Run(run) = &mut self.more else { return };
        (0..run.len() + self.held.len()).for_each(|_| out.extend_from_slice(REPLACEMENT));
        run.clear();
        self.held.clear();
        self.is_spoiled = true;
    }

    /// No byte follows.
    fn end_run(&mut self, metaspace: Option<(char, bool)>, out: &mut Vec<u8>) {
        match self.options.byte_fallback {
            ByteFallback::Eager => (0..self.held.len()).for_each(|_| out.extend_from_slice(REPLACEMENT)),
            ByteFallback::Hf if !self.held.is_empty() => self.spoil(out),
            ByteFallback::Hf => {
                if let More::Run(run) = &mut self.more {
                    let run = std::mem::take(run);
                    self.push_text(&run, metaspace, out);
                }
            }
        }
        self.held.clear();
        (self.is_spoiled, self.is_first_run) = (false, false);
    }

    /// What the previous token adds if another follows and if none does, and how much these have in common.
    fn previous_texts<'a>(&self, vocab: &'a Vocab, last: &'a LastTables) -> Option<(&'a [u8], &'a [u8], usize)> {
        let id = self.previous?;
        let of = |rest: &'a Table, first: Option<&'a Table>| {
            first.filter(|_| self.previous_is_first).unwrap_or(rest).get(id).map(|token| token.bytes)
        };
        let inner = of(vocab.tokens(), vocab.decoder().first.as_ref())?;
        let last = of(&last.rest, last.first.as_ref())?;
        Some((inner, last, inner.iter().zip(last).take_while(|(a, b)| a == b).count()))
    }

    /// Take joined text through the filters; `is_end`: none follows.
    fn filter(&mut self, vocab: &Vocab, mut text: Vec<u8>, is_end: bool, out: &mut Vec<u8>) {
        for (filter, state) in vocab.decoder().filters.iter().zip(&mut self.filters) {
            let mut filtered = Vec::with_capacity(text.len());
            filter.feed(state, &text, &mut filtered);
            if is_end {
                filter.finish(state, &mut filtered);
            }
            text = filtered;
        }
        out.extend_from_slice(&text);
    }

    /// Append what is still held; afterwards the stream is as new, after an error too (`step` says which).
    pub fn finish(&mut self, vocab: &Vocab, out: &mut Vec<u8>) -> Result<()> {
        let mut text = Vec::new();
        let mut result = Ok(());
        match &vocab.decoder().joiner {
            Joiner::Utf8 if !self.held.is_empty() => text.extend_from_slice(REPLACEMENT),
            Joiner::Utf8 | Joiner::Text | Joiner::Dedup { .. } => {}
            Joiner::ByteFallback { metaspace } => self.end_run(*metaspace, &mut text),
            Joiner::Suffix { last } => {
                if let Some((_, last, n_common)) = self.previous_texts(vocab, last) {
                    text.extend_from_slice(&last[n_common..]);
                }
            }
            Joiner::Window(window) => {
                if let More::Window(state) = &self.more {
                    result = state.finish(window, &mut text);
                }
            }
        }
        self.filter(vocab, text, true, out);
        self.reset(vocab);
        result
    }

    /// Forget the stream.
    pub fn reset(&mut self, vocab: &Vocab) {
        *self = Self::new(vocab, self.options);
    }
}

/// The text of ids all at once: what a stream of them would have given. Where the vocabulary's decoder cannot be
/// compiled, it is the library's, and `Error::Tokenizer` where the library fails.
pub fn decode(vocab: &Vocab, ids: impl IntoIterator<Item = u32>, options: DetokenizeOptions) -> Result<Vec<u8>> {
    if let Joiner::Window(window) = &vocab.decoder().joiner {
        let ids: Vec<u32> =
            ids.into_iter().filter(|&id| !options.skip_special_tokens || !vocab.is_special(id)).collect();
        return Ok(window.text(&ids)?.into_bytes());
    }
    let mut stream = Detokenizer::new(vocab, options);
    let mut out = Vec::new();
    for id in ids {
        stream.step(vocab, id, &mut out)?;
    }
    stream.finish(vocab, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn streamed(pieces: &[&[u8]]) -> String {
        if pieces.is_empty() {
            return String::new();
        }
        let tokens: Vec<Option<&[u8]>> = pieces.iter().copied().map(Some).collect();
        let vocab = Vocab::from_bytes(&tokens, &[], &[]).unwrap();
        let mut stream = Detokenizer::new(&vocab, DetokenizeOptions::default());
        let mut out = Vec::new();
        for id in 0..pieces.len() as u32 {
            stream.step(&vocab, id, &mut out).unwrap();
            assert!(std::str::from_utf8(&out).is_ok(), "half a character after {pieces:?}");
        }
        stream.finish(&vocab, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_stream_is_small() {
        assert!(size_of::<Detokenizer>() <= 64, "{}", size_of::<Detokenizer>());
    }

    #[test]
    fn every_split_of_awkward_bytes_gives_the_same_text() {
        let cases: [&[u8]; 9] = [
            "é漢👩‍👩‍👧🇩🇪\u{FFFD}".as_bytes(),
            b"\xf0\x9f\x98",
            b"\xf0\x9f\x98\xf0\x9f\x98\x80",
            b"\xed\xa0\x80\xc0\xaf\xfe\xff",
            b"\xe4\xbdx\xff\x80\x80",
            b"\xf4\x90\x80\x80a",
            b"\xe0\x80\xe0\xa0",
            b"\xc3\xc3\xa9\xc3",
            b"",
        ];
        for bytes in cases {
            let want = String::from_utf8_lossy(bytes);
            for i in 0..=bytes.len() {
                for j in i..=bytes.len() {
                    assert_eq!(streamed(&[&bytes[..i], &bytes[i..j], &bytes[j..]]), want, "{bytes:?} cut at {i}, {j}");
                }
            }
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(streamed(&each), want);
        }
    }

    #[test]
    fn special_tokens_are_skipped_and_unknown_ids_add_nothing() {
        let vocab = Vocab::from_bytes(&[Some("a"), Some("<s>"), None], &[1], &[]).unwrap();
        let options = |skip_special_tokens| DetokenizeOptions { skip_special_tokens, ..Default::default() };
        assert_eq!(decode(&vocab, [0, 1, 2, 99, 0], options(true)).unwrap(), b"aa");
        assert_eq!(decode(&vocab, [0, 1, 2, 99, 0], options(false)).unwrap(), b"a<s>a");
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_are_their_lossy_decoding(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0x80..0xc0_u8, 0xe0..0xf8_u8], 0..40),
            cuts in proptest::collection::vec(0..40_usize, 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(streamed(&pieces), String::from_utf8_lossy(&bytes));
        }
    }
}
