//! Which kinds of bytes a text holds, in four bits: enough to see that most tokens have nothing to do with a stop string
//! without reading them.

/// Of each kind, whether there is a byte of it: small letters and the space, other letters and digits, the rest of ASCII,
/// and the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteKinds(u8);

impl ByteKinds {
    /// Those of a text.
    pub fn of(text: &[u8]) -> Self {
        Self(text.iter().fold(0, |kinds, byte| {
            kinds
                | match byte {
                    b'a'..=b'z' | b' ' => 1,
                    b'A'..=b'Z' | b'0'..=b'9' => 2,
                    0..=0x7f => 4,
                    0x80..=0xff => 8,
                }
        }))
    }

    /// Whether some kind is in both; if not, no byte is.
    #[inline]
    pub fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// As the upper half of a byte.
    pub(crate) fn to_marks(self) -> u8 {
        self.0 << 4
    }

    /// What `to_marks` made.
    #[inline]
    pub(crate) fn from_marks(marks: u8) -> Self {
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
        assert!(!ByteKinds::of(b" the").meet(ByteKinds::of(b"\n<U")));
    }
}
