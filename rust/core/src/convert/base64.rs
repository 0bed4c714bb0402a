//! Base64 (RFC 4648, section 4) as rank files and `tokenizer.json` write it: padded, nothing between the characters.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// None: it is no base64.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|c| **c == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for quantum in text[..text.len() - padding].chunks(4) {
        let mut bits = 0_u32;
        for c in quantum {
            bits = bits << 6 | value(*c)?;
        }
        let bits = bits << (6 * (4 - quantum.len()) + 8);
        let n = quantum.len() * 6 / 8;
        // "Implementations MAY choose to reject" bits set in what the padding stands for: no encoder writes them.
        if n < 3 && bits << (8 * n) != 0 {
            return None;
        }
        out.extend_from_slice(&bits.to_be_bytes()[..n]);
    }
    Some(out)
}

fn value(c: u8) -> Option<u32> {
    let value = match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for triple in bytes.chunks(3) {
        let mut padded = [0; 3];
        padded[..triple.len()].copy_from_slice(triple);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for i in 0..4 {
            let c = ALPHABET[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= triple.len() { c.into() } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(encode(&all).as_bytes()), Some(all));
    }

    #[test]
    fn what_is_no_base64() {
        for text in ["Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zg==Zg==", "Z g=", "Zm9v\n", "Zh==", "Zm9=", "-_-_"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
