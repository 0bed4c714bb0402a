//! Token ids and the bytes each stands for. Immutable and shared; it knows nothing of how text becomes ids.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::byte_kinds::ByteKinds;
use crate::decoder::{self, Decoder, Joiner, Library};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::grammar::index::VocabularyIndex;
use crate::limits::{Limits, within};
use crate::mask;

/// A vocabulary: ids from 0, some of which may stand for nothing, and how what they stand for becomes text.
#[derive(Debug)]
pub struct Vocab {
    /// What each id adds to a text that has begun.
    tokens: Table,
    decoder: Decoder,
    present: Box<[u32]>,
    /// Ascending, each with what it is written as.
    special_tokens: Box<[(u32, Box<[u8]>)]>,
    eos_ids: Box<[u32]>,
    index: OnceLock<Result<Arc<VocabularyIndex>>>,
}

impl Vocab {
    /// From the bytes of each id (None: the id stands for nothing), the ids left out of text when special tokens are
    /// skipped, and the ids that end a generation. Text is the bytes one after the other.
    pub fn from_bytes<T: AsRef<[u8]>>(tokens: &[Option<T>], special_ids: &[u32], eos_ids: &[u32]) -> Result<Self> {
        let mut table = Table::new(tokens.len())?;
        for token in tokens {
            table.push(token.as_ref().map(|token| (token.as_ref(), false)))?;
        }
        let written = |id: u32| tokens[id as usize].as_ref().map(AsRef::as_ref);
        Self::new(table, Decoder::new(Joiner::Utf8), special_ids, eos_ids, written)
    }

    /// From the string of each id, and the `decoder` of a `tokenizer.json` (null: none, which joins by spaces).
    /// `library` makes of such a decoder what the library itself does, for what cannot be compiled.
    pub fn from_tokens(
        tokens: &[Option<String>],
        special_ids: &[u32],
        eos_ids: &[u32],
        decoder: &Value,
        library: &Library<'_>,
    ) -> Result<Self> {
        let (table, decoder) = decoder::compile(tokens, decoder, library)?;
        Self::new(table, decoder, special_ids, eos_ids, |id| tokens[id as usize].as_deref().map(str::as_bytes))
    }

    fn new<'a>(
        mut tokens: Table,
        mut decoder: Decoder,
        special_ids: &[u32],
        eos_ids: &[u32],
        written: impl Fn(u32) -> Option<&'a [u8]>,
    ) -> Result<Self> {
        let mut present = vec![0; mask::words(tokens.len())];
        (0..tokens.len()).filter(|&id| tokens.marks[id] & PRESENT != 0).for_each(|id| mask::allow(&mut present, id));
        if present.iter().all(|&word| word == 0) {
            return Err(Error::Vocab { what: "it has no token".into() });
        }
        for &id in special_ids.iter().chain(eos_ids) {
            if !mask::is_allowed(&present, id as usize) {
                return Err(Error::TokenId { token_id: id.into(), vocab_size: tokens.len() });
            }
        }
        for &id in special_ids {
            for table in std::iter::once(&mut tokens).chain(decoder.first_mut()) {
                table.marks[id as usize] |= SPECIAL;
            }
        }
        let ascending = |ids: &[u32]| ids.iter().copied().collect::<BTreeSet<_>>().into_iter();
        let special_token = |id| (id, written(id).unwrap_or_default().into());
        Ok(Self {
            tokens,
            decoder,
            present: present.into(),
            special_tokens: ascending(special_ids).map(special_token).collect(),
            eos_ids: ascending(eos_ids).collect(),
            index: OnceLock::new(),
        })
    }

    /// One more than the largest id.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Never: a vocabulary without tokens is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that a token adds to a text that has begun, None if the vocabulary lacks the id.
    #[inline]
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id).filter(|token| token.is(PRESENT)).map(|token| token.bytes)
    }

    /// The bytes that a token adds where a text begins with it. None if the vocabulary lacks the id, or if what follows
    /// decides what it adds.
    pub fn first_token_bytes(&self, id: u32) -> Option<&[u8]> {
        let table = self.decoder.first.as_ref().unwrap_or(&self.tokens);
        let token = table.get(id).filter(|token| token.is(PRESENT))?;
        self.decoder.filters.iter().try_fold(token.bytes, |bytes, filter| filter.lead(bytes))
    }

    /// Whether some token may add other bytes where a text begins with it.
    pub fn has_first_bytes(&self) -> bool {
        self.decoder.first.is_some() || !self.decoder.filters.is_empty()
    }

    /// Whether a text is the bytes of its tokens one after the other, but for the first one's, which are
    /// `first_token_bytes`. If not, what a token adds depends on others around it.
    pub fn adds_bytes(&self) -> bool {
        let joins = matches!(self.decoder.joiner, Joiner::Utf8 | Joiner::Text | Joiner::ByteFallback { .. });
        joins && self.decoder.filters.iter().all(Filter::is_leading)
    }

    /// The bit of each id that stands for something.
    pub fn present(&self) -> &[u32] {
        &self.present
    }

    /// Whether the id is left out of text when special tokens are skipped.
    #[inline]
    pub fn is_special(&self, id: u32) -> bool {
        self.tokens.get(id).is_some_and(|token| token.is(SPECIAL))
    }

    /// The special ids, ascending.
    pub fn special_ids(&self) -> Vec<u32> {
        self.special_tokens.iter().map(|token| token.0).collect()
    }

    /// The special ids, ascending, each with what it is written as: not what it adds to a text, which a decoder may
    /// have changed.
    pub fn special_tokens(&self) -> &[(u32, Box<[u8]>)] {
        &self.special_tokens
    }

    /// What a special token is written as.
    pub fn special_text(&self, id: u32) -> Option<&[u8]> {
        let at = self.special_tokens.binary_search_by_key(&id, |token| token.0).ok()?;
        Some(&self.special_tokens.get(at)?.1)
    }

    /// The ids that end a generation, ascending.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }

    /// Whether text is made by table and transducer, and so streams exactly; if not, by the library over a window of
    /// the last tokens.
    pub fn is_compiled(&self) -> bool {
        !matches!(self.decoder.joiner, Joiner::Window(_))
    }

    /// What grammars know of the tokens; made when first asked for.
    ///
    /// `Error::Limit` if the tokens are too many and too long for it.
    pub fn index(&self) -> Result<Arc<VocabularyIndex>> {
        self.index.get_or_init(|| VocabularyIndex::new(self).map(Arc::new)).clone()
    }

    /// An error unless the vocabulary has each of the ids.
    pub fn check(&self, ids: impl IntoIterator<Item = i64>) -> Result<()> {
        for id in ids {
            if !u32::try_from(id).is_ok_and(|id| mask::is_allowed(&self.present, id as usize)) {
                return Err(Error::TokenId { token_id: id, vocab_size: self.len() });
            }
        }
        Ok(())
    }

    /// Whether the token goes past a station as it is: `token_bytes` are then what it adds to the text.
    #[inline]
    pub fn lets(&self, gate: Gate, id: u32) -> bool {
        self.tokens.marks.get(id as usize).is_some_and(|&marks| gate.lets(marks))
    }

    /// The kinds of the bytes that a token adds to a text that has begun.
    #[inline]
    pub fn token_kinds(&self, id: u32) -> ByteKinds {
        ByteKinds::from_marks(self.tokens.marks.get(id as usize).copied().unwrap_or_default())
    }

    #[inline]
    pub(crate) fn tokens(&self) -> &Table {
        &self.tokens
    }

    #[inline]
    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

/// Mark of an id: it stands for something.
pub(crate) const PRESENT: u16 = 1;
/// Mark of an id: left out of text when special tokens are skipped.
pub(crate) const SPECIAL: u16 = 2;
/// Mark of an id: its bytes are UTF-8 by themselves, and no byte of a byte fallback.
pub(crate) const WHOLE: u16 = 4;
/// Mark of an id: a byte of a byte fallback.
pub(crate) const BYTE: u16 = 8;

/// Which tokens go past a station as they are: their bytes are text by themselves, and nothing the station watches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate(u16);

impl Gate {
    /// None does.
    pub const CLOSED: Self = Self(u16::MAX);

    /// All do, or all but the special ones.
    pub(crate) fn open(skip_special_tokens: bool) -> Self {
        Self(WHOLE | if skip_special_tokens { SPECIAL } else { 0 })
    }

    /// Besides, none with bytes of these kinds.
    #[must_use]
    pub fn but(self, kinds: ByteKinds) -> Self {
        Self(self.0 | kinds.to_marks())
    }

    /// What is whole is present too, and so nothing goes past a closed one.
    #[inline]
    fn lets(self, marks: u16) -> bool {
        marks & self.0 == WHOLE
    }
}

/// Some bytes for each id, and its marks.
#[derive(Debug)]
pub(crate) struct Table {
    bytes: Vec<u8>,
    /// (len + 1): those of `id` are `bytes[offsets[id]..offsets[id + 1]]`.
    offsets: Vec<u32>,
    /// (len)
    marks: Vec<u16>,
}

// The upper twelve bits of the marks are the kinds of the bytes.

/// One row of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBytes<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) marks: u16,
}

impl TokenBytes<'_> {
    #[inline]
    pub(crate) fn is(&self, mark: u16) -> bool {
        self.marks & mark == mark
    }
}

impl Table {
    /// An empty table for this many ids.
    pub(crate) fn new(n_ids: usize) -> Result<Self> {
        within("vocab_size", n_ids, Limits::DEFAULT.vocab_size)?;
        let mut offsets = Vec::with_capacity(n_ids + 1);
        offsets.push(0);
        Ok(Self { bytes: Vec::new(), offsets, marks: Vec::with_capacity(n_ids) })
    }

    /// Append the next id: nothing, or its bytes and whether they are a byte of a byte fallback.
    pub(crate) fn push(&mut self, token: Option<(&[u8], bool)>) -> Result<()> {
        let mut marks = 0;
        if let Some((bytes, is_byte)) = token {
            within("token_bytes", bytes.len(), Limits::DEFAULT.token_bytes)?;
            within("vocab_bytes", self.bytes.len() + bytes.len(), Limits::DEFAULT.vocab_bytes)?;
            self.bytes.extend_from_slice(bytes);
            marks = match is_byte {
                true => PRESENT | BYTE,
                false if std::str::from_utf8(bytes).is_ok() => PRESENT | WHOLE,
                false => PRESENT,
            } | ByteKinds::of(bytes).to_marks();
        }
        self.offsets.push(self.bytes.len() as u32);
        self.marks.push(marks);
        Ok(())
    }

    fn len(&self) -> usize {
        self.marks.len()
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<TokenBytes<'_>> {
        let id = id as usize;
        let marks = *self.marks.get(id)?;
        let bytes = self.bytes.get(*self.offsets.get(id)? as usize..*self.offsets.get(id + 1)? as usize)?;
        Some(TokenBytes { bytes, marks })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::detokenize::{DetokenizeOptions, Detokenizer};

    #[test]
    fn holes_are_not_tokens_but_empty_tokens_are() {
        let vocab = Vocab::from_bytes(&[Some("a"), None, Some(""), Some("bc")], &[3], &[3, 3]).unwrap();
        assert_eq!(vocab.len(), 4);
        assert_eq!(vocab.token_bytes(0), Some(&b"a"[..]));
        assert_eq!(vocab.token_bytes(1), None);
        assert_eq!(vocab.token_bytes(2), Some(&b""[..]));
        assert_eq!(vocab.token_bytes(3), Some(&b"bc"[..]));
        assert_eq!(vocab.token_bytes(4), None);
        assert_eq!(vocab.special_ids(), [3]);
        assert_eq!(vocab.special_tokens(), [(3, Box::from(*b"bc"))]);
        assert_eq!(vocab.eos_ids(), [3]);
        assert!(vocab.check([0, 2, 3]).is_ok());
        for id in [1, 4, -1, i64::MAX] {
            assert_eq!(vocab.check([id]), Err(Error::TokenId { token_id: id, vocab_size: 4 }));
        }
    }

    #[test]
    fn a_special_token_is_written_without_what_a_decoder_adds() {
        let tokens = ["a", "[SEP]"].map(|token| Some(token.to_owned()));
        let vocab = Vocab::from_tokens(&tokens, &[1, 1], &[], &Value::Null, &|_| unreachable!()).unwrap();
        assert_eq!(vocab.token_bytes(1), Some(&b" [SEP]"[..]));
        assert_eq!(vocab.special_tokens(), [(1, Box::from(*b"[SEP]"))]);
    }

    #[test]
    fn a_text_begins_without_what_its_decoder_strips() {
        let tokens = ["▁a", "▁", "▁▁a", "b", "</s>"].map(|token| Some(token.to_owned()));
        let strip = serde_json::json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]});
        let metaspace = serde_json::json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"});
        for (decoder, want) in [
            (&strip, [Some("a"), Some(""), Some(" a"), Some("b")]),
            (&metaspace, [Some("a"), Some(""), Some("a"), Some("b")]),
        ] {
            let vocab = Vocab::from_tokens(&tokens, &[4], &[4], decoder, &|_| unreachable!()).unwrap();
            assert!(vocab.adds_bytes());
            for (id, want) in (0..).zip(want) {
                assert_eq!(vocab.first_token_bytes(id), want.map(str::as_bytes), "{id} by {decoder}");
                let mut text = Vec::new();
                let mut stream = Detokenizer::new(&vocab, DetokenizeOptions::default());
                stream.step(&vocab, id, &mut text).unwrap();
                assert_eq!(want.map(str::as_bytes), Some(&text[..]));
            }
            assert_eq!(vocab.first_token_bytes(9), None);
        }
        for decoder in [Value::Null, serde_json::json!({"type": "WordPiece", "prefix": "##", "cleanup": false})] {
            assert!(Vocab::from_tokens(&tokens, &[], &[], &decoder, &|_| unreachable!()).unwrap().adds_bytes());
        }
        for decoder in [
            serde_json::json!({"type": "BPEDecoder", "suffix": "</w>"}),
            serde_json::json!({"type": "Sequence", "decoders": [
                {"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            ]}),
        ] {
            assert!(!Vocab::from_tokens(&tokens, &[], &[], &decoder, &|_| unreachable!()).unwrap().adds_bytes());
        }
    }

    #[test]
    fn nothing_inconsistent_is_accepted() {
        assert!(matches!(Vocab::from_bytes::<&str>(&[], &[], &[]), Err(Error::Vocab { .. })));
        assert!(matches!(Vocab::from_bytes::<&str>(&[None], &[], &[]), Err(Error::Vocab { .. })));
        assert!(matches!(Vocab::from_bytes(&[Some("a")], &[1], &[]), Err(Error::TokenId { token_id: 1, .. })));
        assert!(matches!(Vocab::from_bytes(&[Some("a"), None], &[], &[1]), Err(Error::TokenId { token_id: 1, .. })));
        let long = "x".repeat(Limits::DEFAULT.token_bytes + 1);
        assert!(matches!(Vocab::from_bytes(&[Some(long)], &[], &[]), Err(Error::Limit { limit: "token_bytes", .. })));
    }
}
