//! Classes of characters that patterns tell apart often, at most 64 of them: a set of these is a bitset, and a token
//! has a signature, the classes of its characters. They decide nothing; they only group tokens.

use crate::grammar::text_trie::TextNode;

/// A set of classes.
pub type Signature = u64;

/// (least code point, greatest, class) beyond ASCII, ascending; whatever is between them is of class `OTHER`. Of most
/// of them every code point is a letter, so that a pattern of letters takes the class as a whole.
const RANGES: [(u32, u32, u32); 31] = [
    (0x00C0, 0x00D6, 46),
    (0x00D8, 0x00F6, 46),
    (0x00F8, 0x02C1, 46),
    (0x038E, 0x03A1, 47),
    (0x03A3, 0x03F5, 47),
    (0x03F7, 0x03FF, 47),
    (0x0400, 0x0481, 48),
    (0x048A, 0x04FF, 48),
    (0x0500, 0x052F, 49),
    (0x0561, 0x0587, 49),
    (0x05D0, 0x05EA, 50),
    (0x0620, 0x064A, 51),
    (0x0671, 0x06D3, 51),
    (0x0904, 0x0939, 52),
    (0x0985, 0x098C, 53),
    (0x0993, 0x09A8, 53),
    (0x09AA, 0x09B0, 53),
    (0x0E01, 0x0E30, 54),
    (0x10D0, 0x10FA, 55),
    (0x1E00, 0x1EFF, 56),
    (0x3041, 0x3096, 57),
    (0x30A1, 0x30FA, 58),
    (0x30FC, 0x30FE, 58),
    (0x3400, 0x4DB5, 59),
    (0x4E00, 0x9FA5, 60),
    (0xAC00, 0xD7A3, 61),
    (0xFF21, 0xFF3A, 55),
    (0xFF41, 0xFF5A, 55),
    (0x1_0400, 0x1_044F, 55),
    (0x2_0000, 0x2_A6D6, 59),
    (0x2_A700, 0x2_B734, 59),
];
const OTHER: u32 = 62;

/// What a partial character is of.
pub const PARTIAL: Signature = 1 << 63;

/// Every class that has a code point beyond ASCII.
pub const WIDE: Signature = (1 << 63) - (1 << 46);

/// The classes that have a code point in `low..=high`.
pub fn of_range(low: u32, high: u32) -> Signature {
    let mut all = (low..=high.min(0x7F)).fold(0, |all, code_point| all | 1 << class(code_point));
    let mut at = low.max(0x80);
    let after = RANGES.partition_point(|range| range.1 < at);
    for &(first, last, class) in RANGES.get(after..).unwrap_or_default() {
        if at > high || first > high {
            break;
        }
        if at < first {
            all |= 1 << OTHER;
        }
        all |= 1 << class;
        at = last + 1;
    }
    if at <= high {
        all |= 1 << OTHER;
    }
    all
}

/// The class of a symbol of a trie of characters, as a set; of a gate none.
pub fn of_symbol(symbol: u32) -> Signature {
    match symbol {
        TextNode::GATE => 0,
        TextNode::PARTIAL.. => PARTIAL,
        _ => 1 << class(symbol),
    }
}

fn class(code_point: u32) -> u32 {
    match code_point {
        0x09 => 0,
        0x0A => 1,
        0x0D => 2,
        0x20 => 3,
        0..0x20 | 0x7F => 4,
        0x30..=0x39 => 5,
        0x41..=0x46 => 6,
        0x47..=0x5A => 7,
        0x61..=0x66 => 8,
        0x67..=0x7A => 9,
        0x21..=0x2F => code_point - 0x21 + 10,
        0x3A..=0x40 => code_point - 0x3A + 25,
        0x5B..=0x60 => code_point - 0x5B + 32,
        0x7B..=0x7E => code_point - 0x7B + 38,
        _ => {
            let after = RANGES.partition_point(|&(low, ..)| low <= code_point);
            match after.checked_sub(1).and_then(|i| RANGES.get(i)) {
                Some(&(_, high, class)) if code_point <= high => class,
                _ => OTHER,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_classes_of_its_code_points() {
        assert!(RANGES.windows(2).all(|pair| pair[0].1 < pair[1].0));
        let wide = (0x80..=0x10_FFFF).fold(0, |all, code_point| all | of_symbol(code_point));
        assert_eq!(WIDE, wide);
        for (low, high) in
            [(0, 0), (0, 0x10_FFFF), (0x30, 0x41), (0x7f, 0x80), (0xd7, 0xd7), (0xd6, 0xd8), (0x370, 0x530)]
        {
            let all = (low..=high).fold(0, |all, code_point| all | of_symbol(code_point));
            assert_eq!(of_range(low, high), all, "{low:x} {high:x}");
        }
        assert_eq!(of_range(0x4e00, 0x4e01), of_symbol(0x4e00));
    }
}
