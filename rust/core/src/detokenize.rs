//! Token ids to text that never ends in half a character. What a token's bytes are is the vocabulary's business, what
//! becomes of the text is the stop matcher's.

use crate::vocab::Vocab;

/// What stands for bytes that are no UTF-8.
const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

/// One stream: at most three bytes of an unfinished character are held.
///
/// Ill-formed bytes become one U+FFFD for each maximal subpart (Unicode 15, 3.9), so that however the bytes are cut
/// into tokens, the text is `String::from_utf8_lossy` of all of them.
#[derive(Debug, Clone)]
pub struct Detokenizer {
    held: [u8; 4],
    n_held: u8,
    skip_special_tokens: bool,
}

impl Detokenizer {
    /// A new stream.
    pub fn new(skip_special_tokens: bool) -> Self {
        Self { held: [0; 4], n_held: 0, skip_special_tokens }
    }

    /// Append the text that became certain with this token; an id the vocabulary lacks adds nothing.
    pub fn step(&mut self, vocab: &Vocab, id: u32, out: &mut Vec<u8>) {
        if self.skip_special_tokens && vocab.is_special(id) {
            return;
        }
        if let Some(bytes) = vocab.token_bytes(id) {
            self.feed(bytes, out);
        }
    }

    fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while self.n_held > 0 && !bytes.is_empty() {
            self.held[usize::from(self.n_held)] = bytes[0];
            let held = &self.held[..usize::from(self.n_held) + 1];
            match std::str::from_utf8(held) {
                Ok(character) => {
                    out.extend_from_slice(character.as_bytes());
                    self.n_held = 0;
                    bytes = &bytes[1..];
                }
                Err(error) if error.error_len().is_none() => {
                    self.n_held += 1;
                    bytes = &bytes[1..];
                }
                Err(_) => {
                    out.extend_from_slice(REPLACEMENT);
                    self.n_held = 0;
                }
            }
        }
        loop {
            let error = match std::str::from_utf8(bytes) {
                Ok(_) => return out.extend_from_slice(bytes),
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            out.extend_from_slice(valid);
            match error.error_len() {
                Some(n) => {
                    out.extend_from_slice(REPLACEMENT);
                    bytes = &rest[n..];
                }
                None => {
                    self.held[..rest.len()].copy_from_slice(rest);
                    self.n_held = rest.len() as u8;
                    return;
                }
            }
        }
    }

    /// Append what is still held; afterwards the stream is as new.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.n_held > 0 {
            out.extend_from_slice(REPLACEMENT);
        }
        self.reset();
    }

    /// Forget what is held.
    pub fn reset(&mut self) {
        self.n_held = 0;
    }
}

/// The text of ids all at once: what a stream of them would have given.
pub fn decode(vocab: &Vocab, ids: impl IntoIterator<Item = u32>, skip_special_tokens: bool) -> Vec<u8> {
    let mut stream = Detokenizer::new(skip_special_tokens);
    let mut out = Vec::new();
    for id in ids {
        stream.step(vocab, id, &mut out);
    }
    stream.finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn streamed(pieces: &[&[u8]]) -> String {
        let mut stream = Detokenizer::new(true);
        let mut out = Vec::new();
        for piece in pieces {
            stream.feed(piece, &mut out);
            assert!(std::str::from_utf8(&out).is_ok(), "half a character after {pieces:?}");
        }
        stream.finish(&mut out);
        String::from_utf8(out).unwrap()
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
        assert_eq!(decode(&vocab, [0, 1, 2, 99, 0], true), b"aa");
        assert_eq!(decode(&vocab, [0, 1, 2, 99, 0], false), b"a<s>a");
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
