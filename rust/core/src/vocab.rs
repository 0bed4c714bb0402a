//! Token ids and the bytes each stands for. Immutable and shared; it knows nothing of how text becomes ids.

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::mask;

/// A vocabulary: ids from 0, some of which may stand for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocab {
    bytes: Box<[u8]>,
    /// (len + 1): token `id` is `bytes[offsets[id]..offsets[id + 1]]`.
    offsets: Box<[u32]>,
    present: Box<[u32]>,
    special: Box<[u32]>,
    eos_ids: Box<[u32]>,
}

impl Vocab {
    /// From the bytes of each id (None: the id stands for nothing), the ids left out of text when special tokens are
    /// skipped, and the ids that end a generation.
    pub fn from_bytes<T: AsRef<[u8]>>(tokens: &[Option<T>], special_ids: &[u32], eos_ids: &[u32]) -> Result<Self> {
        let limit = |name, got: usize, maximum: usize| match got > maximum {
            true => Err(Error::Limit { limit: name, got: got as u64, maximum: maximum as u64 }),
            false => Ok(()),
        };
        limit("vocab_size", tokens.len(), Limits::DEFAULT.vocab_size)?;
        let mut bytes = Vec::new();
        let mut offsets = vec![0];
        let mut present = vec![0; mask::words(tokens.len())];
        for (id, token) in tokens.iter().enumerate() {
            if let Some(token) = token {
                limit("token_bytes", token.as_ref().len(), Limits::DEFAULT.token_bytes)?;
                bytes.extend_from_slice(token.as_ref());
                mask::allow(&mut present, id);
            }
            let end = u32::try_from(bytes.len())
                .map_err(|_| Error::Vocab { what: "the tokens together are over 4 GiB".into() })?;
            offsets.push(end);
        }
        if present.iter().all(|&word| word == 0) {
            return Err(Error::Vocab { what: "it has no token".into() });
        }
        let mut special = vec![0; present.len()];
        for &id in special_ids.iter().chain(eos_ids) {
            if !mask::is_allowed(&present, id as usize) {
                return Err(Error::TokenId { token_id: id.into(), vocab_size: tokens.len() });
            }
        }
        special_ids.iter().for_each(|&id| mask::allow(&mut special, id as usize));
        let mut eos_ids = eos_ids.to_vec();
        eos_ids.sort_unstable();
        eos_ids.dedup();
        Ok(Self {
            bytes: bytes.into(),
            offsets: offsets.into(),
            present: present.into(),
            special: special.into(),
            eos_ids: eos_ids.into(),
        })
    }

    /// One more than the largest id.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Never: a vocabulary without tokens is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a token, None if the vocabulary lacks the id.
    #[inline]
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        if !mask::is_allowed(&self.present, id) {
            return None;
        }
        self.bytes.get(self.offsets[id] as usize..self.offsets[id + 1] as usize)
    }

    /// The bit of each id that stands for something.
    pub fn present(&self) -> &[u32] {
        &self.present
    }

    /// Whether the id is left out of text when special tokens are skipped.
    #[inline]
    pub fn is_special(&self, id: u32) -> bool {
        mask::is_allowed(&self.special, id as usize)
    }

    /// The special ids, ascending.
    pub fn special_ids(&self) -> Vec<u32> {
        mask::ids(&self.special).collect()
    }

    /// The ids that end a generation, ascending.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
        assert_eq!(vocab.eos_ids(), [3]);
        assert!(vocab.check([0, 2, 3]).is_ok());
        for id in [1, 4, -1, i64::MAX] {
            assert_eq!(vocab.check([id]), Err(Error::TokenId { token_id: id, vocab_size: 4 }));
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
