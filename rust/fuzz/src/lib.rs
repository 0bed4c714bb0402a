//! What the targets share: a small vocabulary that cuts everything in two, and the laws of a matcher. What is fed to it
//! is each target's own.

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::arbitrary::{Result as Drawn, Unstructured};
use logitwire_core::error::{Error, Result};
use logitwire_core::grammar::Grammar;
use logitwire_core::grammar::matcher::Matcher;
use logitwire_core::limits::Limits;
use logitwire_core::mask;
use logitwire_core::vocab::Vocab;

const WORDS: &[&str] = &[
    "ab",
    "aa",
    "aaaa",
    "abc",
    "foo",
    "12",
    "100",
    "0.5",
    ".0",
    "-1",
    "1e",
    "e+",
    "  ",
    "\n  ",
    "{\"",
    "\"}",
    "\":",
    "\": ",
    "\",\"",
    "\", \"",
    "{\"a\":",
    "[[",
    "]]",
    "]}",
    "},{\"",
    "null",
    "tr",
    "ue",
    "false",
    "\\\"",
    "\\u00",
    "\\ud83d",
    "\\ude00",
    "\\n",
    "\u{e9}",
    "\u{6f22}\u{5b57}",
    "\u{1f600}",
    "a\":1,\"a",
    "a\"",
    "b\":",
    "1,",
    "1]",
    "1}",
    "no",
    "x_",
    "a b",
];

/// Every byte, words of text and of JSON, characters cut in two, and an end.
pub fn vocab() -> Arc<Vocab> {
    static VOCAB: OnceLock<Arc<Vocab>> = OnceLock::new();
    let make = || {
        let mut tokens: Vec<Option<Vec<u8>>> = (0..=255_u8).map(|byte| Some(vec![byte])).collect();
        tokens.extend(WORDS.iter().map(|word| Some(word.as_bytes().to_vec())));
        tokens.extend([&b"\xe6\xbc"[..], b"\xa2\"", b"a\xf0\x9f", b"\x98\x80b", b"\xed\xa0"].map(|b| Some(b.to_vec())));
        tokens.extend([Some(Vec::new()), None, Some(b"<end>".to_vec())]);
        let end = tokens.len() as u32 - 1;
        Arc::new(Vocab::from_bytes(&tokens, &[end], &[end]).expect("a vocabulary"))
    };
    VOCAB.get_or_init(make).clone()
}

/// The mask, each of whose bits is what the token's bytes say one by one, and never empty.
pub fn checked_mask(matcher: &mut Matcher) -> Result<Vec<u32>> {
    let vocab = vocab();
    let mut bits = vec![!0; mask::words(vocab.len())];
    matcher.fill(&mut bits)?;
    let end = vocab.len() as u32 - 1;
    assert_eq!(mask::is_allowed(&bits, end as usize), matcher.is_accepting()?, "the end token");
    let mut is_empty = true;
    for token in 0..end {
        let bytes = vocab.token_bytes(token).unwrap_or_default();
        let mut walker = matcher.fork();
        let mut is_alive = !bytes.is_empty();
        for &byte in bytes {
            is_alive = is_alive && walker.accept_bytes(&[byte])?;
        }
        assert_eq!(mask::is_allowed(&bits, token as usize), is_alive, "token {token} {bytes:?}");
        is_empty &= !is_alive;
    }
    assert!(!is_empty || matcher.is_accepting()? || matcher.is_terminated(), "a dead end");
    Ok(bits)
}

/// A walk over what masks allow; the text, if it came to an end.
pub fn walk(grammar: Grammar, u: &mut Unstructured<'_>, length: usize) -> Option<Vec<u8>> {
    let mut matcher = Matcher::new(Arc::new(grammar), &[], false).expect("a matcher");
    let mut text = Vec::new();
    let end = vocab().len() as u32 - 1;
    for _ in 0..length {
        let bits = within_limits(checked_mask(&mut matcher))?;
        let allowed: Vec<u32> = (0..=end).filter(|&token| mask::is_allowed(&bits, token as usize)).collect();
        let token = allowed[u.choose_index(allowed.len()).unwrap_or(0)];
        if token == end {
            return Some(text);
        }
        assert!(within_limits(matcher.accept(token))?);
        text.extend_from_slice(vocab().token_bytes(token).unwrap_or_default());
        assert!(matcher.grammar().memory_bytes() < 2 * Limits::DEFAULT.grammar_memory_bytes);
    }
    within_limits(matcher.is_accepting())?.then_some(text)
}

/// None if a limit was met, which is an answer. Any other error is none.
pub fn within_limits<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Limit { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Parts of patterns, put together somehow.
pub fn pattern(u: &mut Unstructured<'_>) -> Drawn<String> {
    const PARTS: &[&str] = &[
        "a",
        "b",
        "ab",
        "[ab]",
        "[^a]",
        ".",
        "\\d",
        "\\w",
        "\\s",
        "\u{e9}",
        "\u{6f22}",
        "[\u{e9}-\u{1f600}]",
        "(",
        "(?:",
        ")",
        ")",
        "|",
        "*",
        "+",
        "?",
        "{2}",
        "{0,3}",
        "{3,}",
        "{0,500}",
        "^",
        "$",
        "\\b",
        "\\B",
        "(?=",
        "(?!",
        "(?<=",
        "(?<!",
        "(?i:",
        "\\p{L}",
        "\\u0061",
        "x",
        "no",
        "-",
        " ",
        "\"",
        "\\\\",
    ];
    let mut made = String::new();
    for _ in 0..u.int_in_range(0..=24)? {
        made.push_str(u.choose(PARTS)?);
    }
    Ok(made)
}
