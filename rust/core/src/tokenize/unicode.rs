//! The characters on which the two libraries disagree, because their Unicode tables are of different years.
//!
//! A text that holds one is encoded by the reference. `cargo test --release -p logitwire-core -- --ignored unicode` asks
//! both libraries about every character there is and prints the table where it is wrong.

/// First and last of each run, in order.
#[rustfmt::skip]
const RUNS: &[(u32, u32)] = &[
    (0x17f, 0x17f), (0x61d, 0x61d), (0x7fd, 0x7fd), (0x88f, 0x88f), (0x897, 0x89f), (0x8ca, 0x8d3), (0x9fd, 0x9fe),
    (0xa76, 0xa76), (0xc3c, 0xc3c), (0xc5c, 0xc5c), (0xc77, 0xc77), (0xc84, 0xc84), (0xcdc, 0xcdc), (0xd3b, 0xd3c),
    (0xeba, 0xeba), (0x166d, 0x166d), (0x1715, 0x1715), (0x1abf, 0x1add), (0x1ae0, 0x1aeb), (0x1b4e, 0x1b4f),
    (0x1b7d, 0x1b7f), (0x1df6, 0x1dfa), (0x20c1, 0x20c1), (0x2b96, 0x2b96), (0x2e43, 0x2e4f), (0x2e52, 0x2e5d),
    (0x2e80, 0x2e99), (0x2e9b, 0x2ef3), (0x2f00, 0x2fd5), (0x3007, 0x3007), (0x3021, 0x3029), (0x3038, 0x303a),
    (0x3040, 0x3040), (0x3097, 0x3098), (0x32ff, 0x32ff), (0xa7ce, 0xa7cf), (0xa7d2, 0xa7d2), (0xa7d4, 0xa7d4),
    (0xa7f1, 0xa7f4), (0xa82c, 0xa82c), (0xab69, 0xab69), (0xfbc3, 0xfbd2), (0xfd90, 0xfd91), (0xfdc8, 0xfdce),
    (0x105c9, 0x105c9), (0x105e4, 0x105e4), (0x10781, 0x10785), (0x10787, 0x107b0), (0x107b2, 0x107ba),
    (0x10940, 0x10959), (0x10d24, 0x10d27), (0x10d69, 0x10d6e), (0x10eab, 0x10ead), (0x10ec5, 0x10ec7),
    (0x10ed0, 0x10ed8), (0x10efa, 0x10efb), (0x10efd, 0x10eff), (0x10f46, 0x10f50), (0x10f55, 0x10f59),
    (0x10f82, 0x10f89), (0x11070, 0x11070), (0x111c9, 0x111c9), (0x1133b, 0x1133b), (0x11383, 0x11383),
    (0x11385, 0x11385), (0x1138e, 0x1138e), (0x11391, 0x11391), (0x113c5, 0x113c5), (0x113c7, 0x113c8),
    (0x113ce, 0x113d0), (0x113d4, 0x113d5), (0x113d7, 0x113d8), (0x1144b, 0x1144f), (0x1145a, 0x1145b),
    (0x1145d, 0x1145e), (0x11660, 0x1166c), (0x116b9, 0x116b9), (0x11839, 0x1183b), (0x11938, 0x11938),
    (0x1193d, 0x1193e), (0x11943, 0x11946), (0x119e0, 0x119e0), (0x119e2, 0x119e2), (0x11a34, 0x11a34),
    (0x11a3f, 0x11a47), (0x11a99, 0x11a9c), (0x11a9e, 0x11aa2), (0x11b00, 0x11b09), (0x11b60, 0x11b67),
    (0x11be1, 0x11be1), (0x11c41, 0x11c45), (0x11c70, 0x11c71), (0x11d42, 0x11d42), (0x11d44, 0x11d45),
    (0x11d97, 0x11d97), (0x11db0, 0x11ddb), (0x11de0, 0x11de9), (0x11ef7, 0x11ef8), (0x11f41, 0x11f4f),
    (0x11fff, 0x11fff), (0x12ff1, 0x12ff2), (0x16121, 0x16128), (0x1612f, 0x1612f), (0x16d68, 0x16d6a),
    (0x16d6d, 0x16d6f), (0x16e97, 0x16e9a), (0x16ea0, 0x16eb8), (0x16ebb, 0x16ed3), (0x16fe2, 0x16fe3),
    (0x16ff0, 0x16ff6), (0x187f8, 0x187ff), (0x18d09, 0x18d1e), (0x18d80, 0x18df2), (0x1ccd6, 0x1ccfc),
    (0x1ceba, 0x1ced0), (0x1cee0, 0x1cef0), (0x1e030, 0x1e06d), (0x1e08f, 0x1e08f), (0x1e130, 0x1e136),
    (0x1e2ae, 0x1e2ae), (0x1e2ec, 0x1e2ef), (0x1e4ec, 0x1e4ef), (0x1e5ee, 0x1e5ef), (0x1e5ff, 0x1e5ff),
    (0x1e6c0, 0x1e6de), (0x1e6e0, 0x1e6f5), (0x1e6fe, 0x1e6ff), (0x1e95e, 0x1e95f), (0x1f16c, 0x1f16c),
    (0x1f6d8, 0x1f6d8), (0x1f777, 0x1f77a), (0x1f8d0, 0x1f8d8), (0x1fa54, 0x1fa57), (0x1fa8a, 0x1fa8a),
    (0x1fa8e, 0x1fa8e), (0x1fac8, 0x1fac8), (0x1facd, 0x1facd), (0x1faea, 0x1faea), (0x1faef, 0x1faef),
    (0x1fbf0, 0x1fbfa), (0x2b73a, 0x2b73f), (0x2cea2, 0x2cead), (0x323b0, 0x33479),
];

/// Whether a block of 256 characters holds any of `RUNS`.
const BLOCKS: [bool; 0x1100] = {
    let mut blocks = [false; 0x1100];
    let mut i = 0;
    while i < RUNS.len() {
        let mut block = RUNS[i].0 >> 8;
        while block <= RUNS[i].1 >> 8 {
            blocks[block as usize] = true;
            block += 1;
        }
        i += 1;
    }
    blocks
};

/// Whether the libraries may cut or normalize this text differently.
pub(super) fn is_disputed(text: &str) -> bool {
    !text.is_ascii() && text.chars().any(is_disputed_char)
}

fn is_disputed_char(c: char) -> bool {
    let code = u32::from(c);
    BLOCKS[(code >> 8) as usize]
        && RUNS
            .binary_search_by(|&(first, last)| match code {
                _ if last < code => std::cmp::Ordering::Less,
                _ if code < first => std::cmp::Ordering::Greater,
                _ => std::cmp::Ordering::Equal,
            })
            .is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use serde_json::json;
    use tokenizers::{
        NormalizedString, Normalizer as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
    };

    use super::*;
    use crate::tokenize::encoder::tests::{encoder, normalizers, pre_tokenizers, tokenizer};

    /// What may decide how a character is cut: letters, marks, digits, blanks, line ends, punctuation, contractions.
    const NEIGHBOURS: &[(&str, &str)] = &[
        ("", ""),
        ("a", "b"),
        (" ", "a"),
        ("1", ""),
        (".", "."),
        ("a", ""),
        ("", "a"),
        ("A", ""),
        ("", "A"),
        ("Aa", "aA"),
        (" ", ""),
        ("", " "),
        ("  ", "  "),
        ("", "1"),
        ("12", "34"),
        (".", ""),
        ("", "."),
        (" .", "."),
        ("'", ""),
        ("a'", ""),
        ("a'", "e x"),
        ("\n", ""),
        ("", "\n"),
        (" ", "\n"),
        ("!", "\r\n"),
        ("漢", ""),
        ("", "漢"),
        ("ひ", "ひ"),
        ("a\u{301}", ""),
        ("", "\u{301}a"),
        ("$", "a"),
        ("", "$"),
    ];
    /// What may decide how a character is normalized: marks of two classes, jamo.
    const MARKS: &[(&str, &str)] = &[
        ("", ""),
        ("a", ""),
        ("", "\u{301}"),
        ("\u{301}", "\u{327}"),
        ("a\u{301}", "\u{327}"),
        ("a\u{327}", "\u{301}"),
        ("e\u{323}", "\u{302}"),
        ("\u{1100}", ""),
        ("", "\u{1161}"),
        ("", "\u{11a8}"),
        ("\u{1100}\u{1161}", ""),
        ("A", "B"),
        (" ", " "),
    ];

    fn cut_by_reference(reference: &tokenizers::Tokenizer, text: &str) -> Vec<std::ops::Range<usize>> {
        let mut cut = PreTokenizedString::from(text);
        reference.get_pre_tokenizer().unwrap().pre_tokenize(&mut cut).unwrap();
        cut.get_splits(OffsetReferential::Original, OffsetType::Byte).iter().map(|(_, at, _)| at.0..at.1).collect()
    }

    fn normalize_by_reference(reference: &tokenizers::Tokenizer, text: &str) -> String {
        let mut normalized = NormalizedString::from(text);
        reference.get_normalizer().unwrap().normalize(&mut normalized).unwrap();
        normalized.get().to_owned()
    }

    /// Those of `chars` on which `agree` fails, in any surroundings.
    fn disputed(chars: &[char], surroundings: &[(&str, &str)], agree: &impl Fn(&str) -> bool) -> BTreeSet<char> {
        fn search(chars: &[char], around: (&str, &str), agree: &impl Fn(&str) -> bool, found: &mut BTreeSet<char>) {
            let text: Vec<String> = chars.iter().map(|c| format!("{}{c}{}", around.0, around.1)).collect();
            if chars.is_empty() || agree(&text.join(" x\n")) {
                return;
            }
            match chars.len() {
                1 => drop(found.insert(chars[0])),
                n => {
                    search(&chars[..n / 2], around, agree, found);
                    search(&chars[n / 2..], around, agree, found);
                }
            }
        }
        let mut found = BTreeSet::new();
        // The few neighbours that are asked about the many characters which no one spells anything with.
        let (many, few): (Vec<char>, Vec<char>) = chars.iter().partition(|c| is_one_of_many(**c));
        for (i, &around) in surroundings.iter().enumerate() {
            few.chunks(64).for_each(|chars| search(chars, around, agree, &mut found));
            if i < 5 {
                many.chunks(256).for_each(|chars| search(chars, around, agree, &mut found));
            }
        }
        found
    }

    /// Ideographs, syllables of Hangul, private use, and planes without any assigned character.
    fn is_one_of_many(c: char) -> bool {
        matches!(u32::from(c), 0x3400..0x4dc0 | 0x4e00..0xa000 | 0xac00..0xd7a4 | 0xe000..0xf900 | 0x17000..0x18d80 | 0x20000..)
    }

    fn disputed_by_any(chars: &[char]) -> BTreeSet<char> {
        let mut found = BTreeSet::new();
        for part in pre_tokenizers() {
            let reference = tokenizer(json!({"pre_tokenizer": part}));
            let fast = encoder(&reference).unwrap();
            found.extend(disputed(chars, NEIGHBOURS, &|text| fast.cut(text) == cut_by_reference(&reference, text)));
        }
        for part in normalizers() {
            let reference = tokenizer(json!({"normalizer": part}));
            let fast = encoder(&reference).unwrap();
            let agree = |text: &str| fast.normalize(text) == normalize_by_reference(&reference, text);
            found.extend(disputed(chars, MARKS, &agree));
        }
        found
    }

    fn runs(chars: &BTreeSet<char>) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for code in chars.iter().map(|c| u32::from(*c)) {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == code => *last = code,
                _ => runs.push((code, code)),
            }
        }
        runs
    }

    #[test]
    fn the_libraries_agree_beside_the_table_and_on_some_of_the_rest() {
        let edges = RUNS.iter().flat_map(|&(first, last)| [first - 1, last + 1]);
        let sample: Vec<char> =
            edges.chain((0..0x11_0000).step_by(1511)).chain(0..0x180).filter_map(char::from_u32).collect();
        let undisputed: Vec<char> = sample.into_iter().filter(|c| !is_disputed_char(*c)).collect();
        assert_eq!(disputed_by_any(&undisputed), BTreeSet::new());
    }

    #[test]
    fn one_character_is_enough() {
        for (first, last) in RUNS {
            for code in [first, last] {
                let c = char::from_u32(*code).unwrap();
                assert!(is_disputed(&format!("some text {c} and more")));
            }
        }
        assert!(!is_disputed("") && !is_disputed("ASCII\0") && !is_disputed("naïve 漢字 한국어 हिन्दी 😀 \u{10ffff}"));
        assert!(RUNS.is_sorted() && RUNS.iter().all(|(first, last)| first <= last));
    }

    #[test]
    #[ignore = "every character there is: minutes"]
    fn the_table_is_what_the_libraries_disagree_on() {
        let every: Vec<char> = ('\0'..=char::MAX).collect();
        let found = runs(&disputed_by_any(&every));
        assert!(found == RUNS, "{}", found.iter().map(|(a, b)| format!("({a:#x}, {b:#x}), ")).collect::<String>());
    }
}
