//! The 256 characters that byte-level vocabularies write bytes as (GPT-2, `bytes_to_unicode`): printable Latin-1 stands
//! for itself, the rest is numbered from U+0100 in order. What a token with other characters means is the decoder's affair.

/// The character of each byte.
const CHARS: [char; 256] = {
    let mut chars = ['\0'; 256];
    let (mut byte, mut next) = (0, 0x100);
    while byte < 256 {
        let code = match byte as u8 {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => byte as u32,
            _ => {
                next += 1;
                next - 1
            }
        };
        if let Some(c) = char::from_u32(code) {
            chars[byte] = c;
        }
        byte += 1;
    }
    chars
};

/// The byte of each character from U+0000 to the last of them, U+0143.
const BYTES: [Option<u8>; 0x144] = {
    let mut bytes = [None; 0x144];
    let mut byte = 0;
    while byte < 256 {
        bytes[CHARS[byte] as usize] = Some(byte as u8);
        byte += 1;
    }
    bytes
};

/// The character that stands for a byte.
pub(crate) fn char_of(byte: u8) -> char {
    CHARS[usize::from(byte)]
}

/// The byte a character stands for, None: it stands for none.
pub(crate) fn byte_of(c: char) -> Option<u8> {
    BYTES.get(c as usize).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_gpt2s() {
        for (c, byte) in [('!', b'!'), ('Ġ', b' '), ('Ċ', b'\n'), ('Ā', 0), ('ÿ', 0xff), ('Ń', 0xad), ('ł', 0xa0)]
        {
            assert_eq!((char_of(byte), byte_of(c)), (c, Some(byte)));
        }
        assert!((0..=255).all(|byte| byte_of(char_of(byte)) == Some(byte)));
        assert_eq!(('\0'..=char::MAX).filter(|c| byte_of(*c).is_some()).count(), 256);
    }
}
