//! Which kinds of bytes a text holds, in twelve bits: enough to see that most tokens have nothing to do with a stop string
//! without reading them.

/// Of each kind, whether there is a byte of it. What stops like to begin with, and what text is full of, are kinds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteKinds(u16);

impl ByteKinds {
    /// Every kind.
    pub const ALL: Self = Self(0xfff);

    /// Those of a text.
    pub fn of(text: &[u8]) -> Self {
        let kind = |byte: &u8| match byte {
            b'a'..=b'z' => 0,
            b' ' => 1,
            b'A'..=b'Z' => 2,
            b'0'..=b'9' => 3,
            b'\n' | b'\r' => 4,
            b',' | b'.' => 5,
            b'<' | b'>' | b'|' => 6,
            b'#' | b'*' | b'`' | b'-' => 7,
            b'[' | b']' | b'{' | b'}' => 8,
            b'"' | b'\'' | b'(' | b')' => 9,
            0..=0x7f => 10,
            0x80..=0xff => 11,
        };
        Self(text.iter().fold(0, |kinds, byte| kinds | 1 << kind(byte)))
    }

    /// Whether some kind is in both; if not, no byte is.
    #[inline]
    pub fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// As the upper bits of an id's marks.
    #[inline]
    pub(crate) fn to_marks(self) -> u16 {
        self.0 << 4
    }

    /// What `to_marks` made.
    #[inline]
    pub(crate) fn from_marks(marks: u16) -> Self {
        Self(marks >> 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_share_a_byte_meet() {
        for a in 0..=255_u8 {
            assert!(ByteKinds::of(&[a]).meet(ByteKinds::of(&[b'x', a, b'\n'])));
            assert!(!ByteKinds::of(&[a]).meet(ByteKinds::of(b"")));
            assert_eq!(ByteKinds::from_marks(ByteKinds::of(&[a]).to_marks() | 0xf), ByteKinds::of(&[a]));
        }
        assert!(!ByteKinds::of(b" the, 1.").meet(ByteKinds::of(b"\n<U")));
    }
}
