//! Whatever is done to a matcher, it is a fresh one that has read what this one has.

#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use logitwire_core::grammar::Grammar;
use logitwire_core::grammar::json::JsonOptions;
use logitwire_core::grammar::matcher::Matcher;
use logitwire_core::grammar::schema::{JsonKind, PropertyOrder, Spelling, Unsupported};
use logitwire_core::mask;
use logitwire_fuzz::{checked_mask, vocab, within_limits};

const SCHEMAS: &[&str] = &[
    r##"{"type": "object", "properties": {"a": {"type": "integer"}, "ab": {"type": "string", "maxLength": 5}}, "required": ["a"]}"##,
    r##"{"anyOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}, {"type": "object", "properties":
        {"a": {"type": "number", "minimum": 2}, "b": {"$ref": "#"}}, "additionalProperties": false}, {"type": "array", "items": {"$ref": "#"}}]}"##,
    r##"{"type": "object", "patternProperties": {"^a": {"type": "integer"}, "b$": {"type": "array", "maxItems": 2}}, "maxProperties": 3}"##,
    r##"{"type": "array", "items": {"enum": ["a", "ab", "foo", 1, 100, null]}, "minItems": 2, "maxItems": 4}"##,
];

fn grammars() -> &'static [Arc<Grammar>] {
    static GRAMMARS: OnceLock<Vec<Arc<Grammar>>> = OnceLock::new();
    GRAMMARS.get_or_init(|| {
        let options = JsonOptions { max_whitespace: 3, spelling: Spelling::Any, property_order: PropertyOrder::Any };
        let patterns =
            ["(a|b)*a(a|b){3}", r"(?:\b\w+\b[ -]?)*", "(?:(?!no).)*x?", "[^\"]{0,40}", "(?i:abc|foo)+\u{6f22}?"];
        let mut made: Vec<_> = patterns.map(|pattern| Grammar::regex(vocab(), pattern).expect("a pattern")).into();
        made.push(Grammar::choice(vocab(), &["ab", "abc", "foo", "\u{6f22}\u{5b57}", ""]).expect("a choice"));
        made.push(Grammar::json(vocab(), JsonKind::Any, options).expect("JSON"));
        made.extend(SCHEMAS.iter().map(|schema| {
            Grammar::json_schema(vocab(), schema.as_bytes(), options, Unsupported::Error).expect("a schema")
        }));
        made.into_iter().map(Arc::new).collect()
    })
}

#[derive(Clone)]
enum Accepted {
    Token(u32),
    Bytes(Vec<u8>),
}

fn fresh(grammar: &Arc<Grammar>, accepted: &[Accepted]) -> Matcher {
    let mut matcher = Matcher::new(grammar.clone(), &[], false).expect("a matcher");
    for piece in accepted {
        let is_taken = match piece {
            Accepted::Token(token) => matcher.accept(*token),
            Accepted::Bytes(bytes) => matcher.accept_bytes(bytes),
        };
        assert_eq!(is_taken, Ok(true));
    }
    matcher
}

fuzz_target!(|data: &[u8]| {
    // None: the data or a limit is at its end.
    let _ = run(&mut Unstructured::new(data));
});

fn run(u: &mut Unstructured<'_>) -> Option<()> {
    let grammar = u.choose(grammars()).ok()?;
    let mut matcher = fresh(grammar, &[]);
    let mut accepted: Vec<Accepted> = Vec::new();
    let n_tokens = vocab().len() as u32;
    for _ in 0..40 {
        match u.int_in_range(0..=8).ok()? {
            0..=2 => {
                let bits = within_limits(checked_mask(&mut matcher))?;
                let allowed: Vec<u32> =
                    (0..n_tokens).filter(|&token| mask::is_allowed(&bits, token as usize)).collect();
                if allowed.is_empty() {
                    assert!(matcher.is_terminated());
                    continue;
                }
                let token = *u.choose(&allowed).ok()?;
                assert!(within_limits(matcher.accept(token))?);
                accepted.push(Accepted::Token(token));
            }
            3 => {
                let token = u.int_in_range(0..=n_tokens + 1).ok()?;
                let is_allowed = within_limits(matcher.allows(token))?;
                assert_eq!(within_limits(matcher.accept(token))?, is_allowed);
                accepted.extend(is_allowed.then_some(Accepted::Token(token)));
            }
            4 => {
                let bytes = u.arbitrary::<[u8; 3]>().ok()?;
                let bytes = bytes[..u.int_in_range(0..=3).ok()?].to_vec();
                let is_taken = within_limits(matcher.accept_bytes(&bytes))?;
                accepted.extend(is_taken.then_some(Accepted::Bytes(bytes)));
            }
            5 => {
                let n = u.int_in_range(0..=accepted.len() + 1).ok()?;
                assert_eq!(matcher.rollback(n).is_ok(), n <= accepted.len());
                accepted.truncate(if n <= accepted.len() { accepted.len() - n } else { accepted.len() });
            }
            6 => matcher = matcher.fork(),
            7 => {
                let tokens: Vec<u32> = (0..3).filter_map(|_| u.int_in_range(0..=n_tokens - 1).ok()).collect();
                let n = within_limits(matcher.validate(&tokens))?;
                let mut fork = matcher.fork();
                let taken = tokens.iter().take_while(|&&token| fork.accept(token) == Ok(true)).count();
                assert_eq!(n, taken);
            }
            _ => {
                if u.ratio(1, 8).ok()? {
                    matcher.reset();
                    accepted.clear();
                }
                let forced = within_limits(matcher.forced_bytes())?;
                assert!(forced.is_empty() || matcher.fork().accept_bytes(&forced) != Ok(false));
            }
        }
        let mut other = fresh(grammar, &accepted);
        assert_eq!((matcher.n_accepted(), matcher.is_terminated()), (other.n_accepted(), other.is_terminated()));
        let mut masks = [(); 2].map(|()| vec![0; mask::words(n_tokens as usize)]);
        within_limits(matcher.fill(&mut masks[0]))?;
        within_limits(other.fill(&mut masks[1]))?;
        assert_eq!(masks[0], masks[1]);
        assert_eq!(within_limits(matcher.is_accepting())?, within_limits(other.is_accepting())?);
    }
    Some(())
}
