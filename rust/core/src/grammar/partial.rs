//! A code point of which only some bytes have come: in UTF-8, or as a JSON string may escape it. What it may become,
//! and what the next byte makes of it.

/// How texts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrapping {
    /// As they are, in UTF-8.
    Text,
    /// Between the quotes of a JSON string.
    JsonString,
}

/// What has come of a code point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partial {
    /// `left` bytes are missing behind the bits of `value`; it is no code point below `least`.
    Utf8 {
        /// Bytes to come.
        left: u8,
        /// The bits so far.
        value: u32,
        /// What an encoding of this length must reach.
        least: u32,
    },
    /// A backslash.
    Escape,
    /// `\u` and some digits.
    Unit {
        /// Digits to come.
        left: u8,
        /// The digits so far.
        value: u16,
    },
    /// The first half of a character beyond U+FFFF, of its second half nothing or a backslash.
    Half {
        /// The first half.
        high: u16,
        /// Whether the backslash has come.
        is_escape: bool,
    },
    /// The first half of a character beyond U+FFFF, and `\u` and some digits of the second.
    Low {
        /// The first half.
        high: u16,
        /// Digits to come.
        left: u8,
        /// The digits so far.
        value: u16,
    },
}

/// What became of a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// It belongs to no code point here. In a JSON string this is said of the quote that closes it, too.
    Nothing,
    /// More must come.
    More(Partial),
    /// A code point is complete.
    CodePoint(u32),
}

/// No code point.
const NO_RANGE: (u32, u32) = (1, 0);

impl Partial {
    /// Read the first byte of a code point.
    #[inline]
    pub fn begin(byte: u8, wrapping: Wrapping) -> Read {
        match byte {
            0..0x20 | b'"' if wrapping == Wrapping::JsonString => Read::Nothing,
            b'\\' if wrapping == Wrapping::JsonString => Read::More(Self::Escape),
            0..0x80 => Read::CodePoint(byte.into()),
            0xC2..=0xDF => Read::More(Self::Utf8 { left: 1, value: u32::from(byte & 0x1F), least: 0x80 }),
            0xE0..=0xEF => Read::More(Self::Utf8 { left: 2, value: u32::from(byte & 0xF), least: 0x800 }),
            0xF0..=0xF4 => Read::More(Self::Utf8 { left: 3, value: u32::from(byte & 7), least: 0x1_0000 }),
            _ => Read::Nothing,
        }
    }

    /// Read the next byte.
    pub fn read(self, byte: u8) -> Read {
        match self {
            Self::Utf8 { left, value, least } => {
                if !(0x80..0xC0).contains(&byte) || left == 0 {
                    return Read::Nothing;
                }
                let (left, value) = (left - 1, value << 6 | u32::from(byte & 0x3F));
                let next = Self::Utf8 { left, value, least };
                match next.utf8_range() {
                    (low, high) if low > high => Read::Nothing,
                    (low, _) if left == 0 => Read::CodePoint(low),
                    _ => Read::More(next),
                }
            }
            Self::Escape => match byte {
                b'"' | b'\\' | b'/' => Read::CodePoint(byte.into()),
                b'b' => Read::CodePoint(8),
                b'f' => Read::CodePoint(12),
                b'n' => Read::CodePoint(10),
                b'r' => Read::CodePoint(13),
                b't' => Read::CodePoint(9),
                b'u' => Read::More(Self::Unit { left: 4, value: 0 }),
                _ => Read::Nothing,
            },
            Self::Unit { left, value } => {
                let Some((left, value)) = digit(left, value, byte) else { return Read::Nothing };
                let next = Self::Unit { left, value };
                match value {
                    _ if left > 0 => if_any(next),
                    0xD800..0xDC00 => Read::More(Self::Half { high: value, is_escape: false }),
                    0xDC00..0xE000 => Read::Nothing,
                    _ => Read::CodePoint(value.into()),
                }
            }
            Self::Half { high, is_escape: false } => match byte {
                b'\\' => Read::More(Self::Half { high, is_escape: true }),
                _ => Read::Nothing,
            },
            Self::Half { high, is_escape: true } => match byte {
                b'u' => Read::More(Self::Low { high, left: 4, value: 0 }),
                _ => Read::Nothing,
            },
            Self::Low { high, left, value } => {
                let Some((left, value)) = digit(left, value, byte) else { return Read::Nothing };
                let next = Self::Low { high, left, value };
                match next.ranges()[0] {
                    (low, high) if low > high => Read::Nothing,
                    (low, _) if left == 0 => Read::CodePoint(low),
                    _ => Read::More(next),
                }
            }
        }
    }

    /// The code points it may become: of three ranges those whose first is not above their last.
    pub fn ranges(self) -> [(u32, u32); 3] {
        let astral = |high: u32, low: u32| 0x1_0000 + (high - 0xD800) * 0x400 + (low - 0xDC00);
        match self {
            Self::Utf8 { .. } => [self.utf8_range(), NO_RANGE, NO_RANGE],
            Self::Escape => [(0, 0xD7FF), (0xE000, 0x10_FFFF), NO_RANGE],
            Self::Unit { left, value } => {
                let (first, last) = span(left, value);
                let halves = (first.max(0xD800), last.min(0xDBFF));
                let beyond =
                    if halves.0 <= halves.1 { (astral(halves.0, 0xDC00), astral(halves.1, 0xDFFF)) } else { NO_RANGE };
                [(first, last.min(0xD7FF)), (first.max(0xE000), last), beyond]
            }
            Self::Half { high, .. } => [(astral(high.into(), 0xDC00), astral(high.into(), 0xDFFF)), NO_RANGE, NO_RANGE],
            Self::Low { high, left, value } => {
                let (first, last) = span(left, value);
                let (first, last) = (first.max(0xDC00), last.min(0xDFFF));
                match first <= last {
                    true => [(astral(high.into(), first), astral(high.into(), last)), NO_RANGE, NO_RANGE],
                    false => [NO_RANGE; 3],
                }
            }
        }
    }

    fn utf8_range(self) -> (u32, u32) {
        let Self::Utf8 { left, value, least } = self else { return NO_RANGE };
        let (low, high) = (value << (6 * left), ((value + 1) << (6 * left)) - 1);
        match (low.max(least), high.min(0x10_FFFF)) {
            // Of the characters that begin with ED only the first half are any.
            (low, high) if (0xD800..0xE000).contains(&high) => (low, 0xD7FF),
            range => range,
        }
    }
}

fn if_any(partial: Partial) -> Read {
    match partial.ranges().iter().any(|(low, high)| low <= high) {
        true => Read::More(partial),
        false => Read::Nothing,
    }
}

/// One more hexadecimal digit.
fn digit(left: u8, value: u16, byte: u8) -> Option<(u8, u16)> {
    let digit = char::from(byte).to_digit(16)? as u16;
    Some((left.checked_sub(1)?, value << 4 | digit))
}

/// The least and the greatest unit with these digits.
fn span(left: u8, value: u16) -> (u32, u32) {
    let bits = 4 * u32::from(left);
    (u32::from(value) << bits, ((u32::from(value) + 1) << bits) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn every_beginning_of_every_spelling_may_become_just_what_it_can() {
        let mut beginnings: BTreeSet<Vec<u8>> = BTreeSet::new();
        let sample = (0..0x3000).chain(0xD000..0xF000).chain(0xFF00..0x1_1000).chain(0x10_F000..0x11_0000);
        for c in sample.filter_map(char::from_u32) {
            let mut units = [0; 2];
            let units: String = c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let mut spellings = vec![units.into_bytes()];
            if c >= ' ' && c != '"' && c != '\\' {
                spellings.push(c.to_string().into_bytes());
            }
            if let Some(at) = "\"\\/\u{8}\u{c}\n\r\t".chars().position(|short| short == c) {
                spellings.push(vec![b'\\', b"\"\\/bfnrt"[at]]);
            }
            for spelling in spellings {
                let mut partial = None;
                for (i, &byte) in spelling.iter().enumerate() {
                    let read =
                        partial.map_or_else(|| Partial::begin(byte, Wrapping::JsonString), |p: Partial| p.read(byte));
                    match (read, i + 1 == spelling.len()) {
                        (Read::More(next), false) => {
                            assert!(next.ranges().iter().any(|&(low, high)| (low..=high).contains(&c.into())));
                            partial = Some(next);
                        }
                        (Read::CodePoint(read), true) => assert_eq!(read, u32::from(c)),
                        _ => unreachable!("{spelling:?}"),
                    }
                    beginnings.insert(spelling[..=i].to_vec());
                }
            }
        }
        for bytes in beginnings {
            let mut partial = None;
            for &byte in &bytes {
                match partial.map_or_else(|| Partial::begin(byte, Wrapping::JsonString), |p: Partial| p.read(byte)) {
                    Read::More(next) => partial = Some(next),
                    _ => partial = None,
                }
            }
            let Some(partial) = partial else { continue };
            for next in 0..=255u8 {
                if partial.read(next) != Read::Nothing {
                    let more: Vec<u8> = bytes.iter().copied().chain([next]).collect();
                    let valid = bytes.len() < 4 || bytes[0] == b'\\' || std::str::from_utf8(&more).is_ok();
                    assert!(valid);
                }
            }
        }
    }

    #[test]
    fn what_is_no_utf8_is_refused_at_its_first_wrong_byte() {
        for first in 0x80..=255u8 {
            for second in 0..=255u8 {
                let known = [first, second];
                let is_begun = match std::str::from_utf8(&known) {
                    Ok(_) => true,
                    Err(error) => error.error_len().is_none() && error.valid_up_to() == 0,
                };
                let read = match Partial::begin(first, Wrapping::Text) {
                    Read::More(partial) => partial.read(second),
                    other => other,
                };
                assert_eq!(read != Read::Nothing, is_begun, "{known:x?}");
            }
        }
    }

    #[test]
    fn the_first_bytes_of_a_character_are_of_a_whole_range() {
        let mut ranges: BTreeMap<Vec<u8>, (u32, u32)> = BTreeMap::new();
        for c in ('\u{80}'..=char::MAX).filter(|c| !('\u{12000}'..='\u{fff00}').contains(c)) {
            let mut buffer = [0; 4];
            let bytes = c.encode_utf8(&mut buffer).as_bytes();
            for n in 1..bytes.len() {
                ranges.entry(bytes[..n].to_vec()).or_insert((c.into(), 0)).1 = c.into();
            }
        }
        ranges.retain(|bytes, _| !(0xF1..0xF4).contains(&bytes[0]) && (bytes[0] != 0xF0 || bytes.len() == 3));
        for (bytes, range) in ranges {
            let begun = bytes[1..].iter().fold(Partial::begin(bytes[0], Wrapping::Text), |read, &byte| match read {
                Read::More(partial) => partial.read(byte),
                other => other,
            });
            let Read::More(partial) = begun else { unreachable!("{bytes:x?}") };
            assert_eq!(partial.ranges()[0], range, "{bytes:x?}");
        }
    }
}
