//! One character of UTF-8 that comes byte by byte. What becomes of bytes that are none is the detokenizer's business.

/// The bytes of a character that are there so far: the beginning of a well-formed one (Unicode 15, table 3-7).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unfinished {
    bytes: [u8; 4],
    n_bytes: u8,
}

/// What a byte is to an unfinished character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its last byte.
    Last,
    /// One of its bytes, and more must come.
    Inner,
    /// None of its bytes, and it is not taken.
    Foreign,
}

impl Unfinished {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.n_bytes)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.n_bytes == 0
    }

    #[inline]
    pub(crate) fn push(&mut self, byte: u8) -> Next {
        let width = match if self.is_empty() { byte } else { self.bytes[0] } {
            0..=0x7f => 1,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return Next::Foreign,
        };
        let fits = match (self.n_bytes, self.bytes[0]) {
            (0, _) => true,
            (1, 0xe0) => matches!(byte, 0xa0..=0xbf),
            (1, 0xed) => matches!(byte, 0x80..=0x9f),
            (1, 0xf0) => matches!(byte, 0x90..=0xbf),
            (1, 0xf4) => matches!(byte, 0x80..=0x8f),
            _ => matches!(byte, 0x80..=0xbf),
        };
        if !fits {
            return Next::Foreign;
        }
        self.bytes[self.len() & 3] = byte;
        self.n_bytes += 1;
        if self.n_bytes == width { Next::Last } else { Next::Inner }
    }

    /// Give up the bytes.
    #[inline]
    pub(crate) fn take_into(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.len()]);
        self.n_bytes = 0;
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.n_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_after_every_beginning_is_what_the_standard_library_says() {
        // One byte of each range that the table tells apart, and its neighbours.
        let bytes: Vec<u8> = (0..=255_u8).filter(|byte| *byte < 2 || *byte > 0x7d).collect();
        let mut beginnings = vec![Vec::new()];
        while let Some(beginning) = beginnings.pop() {
            for &byte in &bytes {
                let mut unfinished = Unfinished::default();
                beginning.iter().for_each(|&byte| assert_eq!(unfinished.push(byte), Next::Inner));
                let whole = [&beginning[..], &[byte]].concat();
                let want = match std::str::from_utf8(&whole) {
                    Ok(_) => Next::Last,
                    Err(error) if error.error_len().is_none() => Next::Inner,
                    Err(_) => Next::Foreign,
                };
                assert_eq!(unfinished.push(byte), want, "{whole:x?}");
                assert_eq!(unfinished.len(), if want == Next::Foreign { beginning.len() } else { whole.len() });
                // Beginnings that differ in a byte between others are alike.
                if want == Next::Inner && (beginning.is_empty() || byte % 8 == 7 || byte % 8 == 0) {
                    beginnings.push(whole);
                }
            }
        }
    }
}
