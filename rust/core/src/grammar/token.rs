//! What the bytes of one token may be within a JSON text: the inside of a string, the end of one, or what stands
//! outside. Nothing here knows a vocabulary or a grammar.

use crate::grammar::partial::{Partial, Read, Wrapping};

/// What becomes of a JSON string with no bound, once it has read some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StringRead {
    /// They are in no string.
    Dead,
    /// It goes on: `code_points` begun.
    Inside { code_points: u32 },
    /// It was closed by the quote at `at`, after `code_points`.
    Closed { code_points: u32, at: usize },
}

pub(crate) fn read_string(bytes: &[u8]) -> StringRead {
    let (mut partial, mut code_points) = (None, 0);
    for (at, &byte) in bytes.iter().enumerate() {
        let read = match partial {
            None if byte == b'"' => return StringRead::Closed { code_points, at },
            None => {
                code_points += 1;
                Partial::begin(byte, Wrapping::JsonString)
            }
            Some(partial) => Partial::read(partial, byte),
        };
        partial = match read {
            Read::Nothing => return StringRead::Dead,
            Read::More(partial) => Some(partial),
            Read::CodePoint(_) => None,
        };
    }
    StringRead::Inside { code_points }
}

/// What the strings of a token hold that are closed in it, where `bytes` begin inside one, which the quote at `closed`
/// ends if that is known already.
pub(crate) fn push_contents(bytes: &[u8], closed: Option<usize>, contents: &mut Vec<Box<[u8]>>) {
    let mut rest = bytes;
    let mut closed = closed;
    loop {
        let at = match closed.take() {
            Some(at) => at,
            None => match read_string(rest) {
                StringRead::Closed { at, .. } => at,
                _ => return,
            },
        };
        contents.push(rest[..at].into());
        rest = &rest[at + 1..];
        match memchr::memchr(b'"', rest) {
            Some(next) => rest = &rest[next + 1..],
            None => return,
        }
    }
}

/// What this text of a JSON string reads as, if it has an escape.
pub(crate) fn unescape(text: &[u8]) -> Option<Box<[u8]>> {
    if !text.contains(&b'\\') {
        return None;
    }
    let quoted = [b"\"", text, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).ok().map(|text| text.into_bytes().into())
}

pub(crate) fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether these bytes, which begin with a quote, may go on with a colon, a comma and another key.
pub(crate) fn may_hold_two_keys(bytes: &[u8]) -> bool {
    let after = |bytes: &[u8], byte| memchr::memchr(byte, bytes).unwrap_or(bytes.len());
    let rest = &bytes[after(bytes, b':')..];
    let rest = &rest[after(rest, b',')..];
    memchr::memchr_iter(b'"', rest).nth(1).is_some()
}

/// Whether these bytes, without blanks before them, are part of a number that begins with them, and nothing else.
pub(crate) fn is_number(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'-' | b'0'..=b'9'))
        && bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
}

/// Whether a JSON text may hold these bytes in a row, the first of them outside a string.
pub(crate) fn may_be_outside(bytes: &[u8]) -> bool {
    const WORDS: [&[u8]; 4] = [b"true", b"false", b"null", b"e"];
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => match read_string(&bytes[at + 1..]) {
                StringRead::Dead => return false,
                StringRead::Inside { .. } => return true,
                StringRead::Closed { at: closed, .. } => at += closed + 2,
            },
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'{' | b'}' | b'[' | b']' => at += 1,
            b'0'..=b'9' | b'+' | b'-' | b'.' | b'E' => at += 1,
            b'a'..=b'z' => {
                let n = bytes[at..].iter().take_while(|byte| byte.is_ascii_lowercase()).count();
                let word = &bytes[at..at + n];
                let is_last = at + n == bytes.len();
                let fits = |known: &&[u8]| match (at, is_last) {
                    (0, true) => known.windows(n).any(|part| part == word),
                    (0, false) => known.ends_with(word),
                    (_, true) => known.starts_with(word),
                    (_, false) => *known == word,
                };
                if !WORDS.iter().any(fits) {
                    return false;
                }
                at += n;
            }
            _ => return false,
        }
    }
    true
}
