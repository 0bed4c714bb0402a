//! Patterns against a matcher by definition, against the regex crate, and the hostile ones.

use super::*;
use crate::grammar::term::UNBOUNDED;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn fuel() -> Fuel {
    Fuel::new("grammar_compile_fuel", Limits::DEFAULT.grammar_compile_fuel)
}

fn compiled(pattern: &str, dialect: Dialect, anchored: Anchored) -> Result<(Terms, TermId)> {
    let mut terms = Terms::new();
    let t = parse(pattern, dialect, anchored, &mut terms, &mut fuel())?;
    Ok((terms, t))
}

fn matches(pattern: &str, dialect: Dialect, anchored: Anchored, text: &str) -> bool {
    let (mut terms, t) = compiled(pattern, dialect, anchored).unwrap();
    terms.matches(t, text, &mut fuel()).unwrap()
}

/// A pattern before it is written down.
#[derive(Debug, Clone)]
enum Plain {
    Class(&'static str, fn(char) -> bool),
    Start,
    End,
    Word(bool),
    Concat(Vec<Plain>),
    Or(Vec<Plain>),
    Repeat(Box<Plain>, usize, Option<usize>),
    Look(bool, bool, Box<Plain>),
}

impl Plain {
    fn pattern(&self) -> String {
        match self {
            Self::Class(written, _) => (*written).to_owned(),
            Self::Start => "^".to_owned(),
            Self::End => "$".to_owned(),
            Self::Word(negative) => if *negative { "\\B" } else { "\\b" }.to_owned(),
            Self::Concat(parts) => parts.iter().map(|part| format!("(?:{})", part.pattern())).collect(),
            Self::Or(parts) => parts.iter().map(Self::pattern).collect::<Vec<_>>().join("|"),
            Self::Repeat(body, min, None) => format!("(?:{}){{{min},}}", body.pattern()),
            Self::Repeat(body, min, Some(max)) => format!("(?:{}){{{min},{max}}}?", body.pattern()),
            Self::Look(behind, negative, body) => {
                format!("(?{}{}{})", if *behind { "<" } else { "" }, if *negative { "!" } else { "=" }, body.pattern())
            }
        }
    }

    /// Where a match that begins at `start` may end.
    fn ends(&self, text: &[char], start: usize) -> BTreeSet<usize> {
        let here = |holds: bool| if holds { BTreeSet::from([start]) } else { BTreeSet::new() };
        let is_word =
            |i: Option<usize>| i.and_then(|i| text.get(i)).is_some_and(|&c| c.is_ascii_alphanumeric() || c == '_');
        match self {
            Self::Class(_, holds) => match text.get(start) {
                Some(&c) if holds(c) => BTreeSet::from([start + 1]),
                _ => BTreeSet::new(),
            },
            Self::Start => here(start == 0),
            Self::End => here(start == text.len()),
            Self::Word(negative) => here((is_word(start.checked_sub(1)) != is_word(Some(start))) != *negative),
            Self::Concat(parts) => parts.iter().fold(BTreeSet::from([start]), |starts, part| {
                starts.into_iter().flat_map(|start| part.ends(text, start)).collect()
            }),
            Self::Or(parts) => parts.iter().flat_map(|part| part.ends(text, start)).collect(),
            Self::Repeat(body, min, max) => {
                let mut at = BTreeSet::from([start]);
                let mut all = BTreeSet::new();
                for round in 0..=max.unwrap_or(min + text.len() + 1) {
                    if round >= *min {
                        all.extend(&at);
                    }
                    at = at.into_iter().flat_map(|start| body.ends(text, start)).collect();
                }
                all
            }
            Self::Look(false, negative, body) => here(body.ends(text, start).is_empty() == *negative),
            Self::Look(true, negative, body) => {
                let holds = (0..=start).any(|from| body.ends(text, from).contains(&start));
                here(holds != *negative)
            }
        }
    }

    fn holds(&self, text: &[char], anchored: Anchored) -> bool {
        match anchored {
            Anchored::Full => self.ends(text, 0).contains(&text.len()),
            Anchored::Search => (0..=text.len()).any(|start| !self.ends(text, start).is_empty()),
        }
    }
}

fn plain(looks: bool) -> impl Strategy<Value = Plain> {
    let class = prop_oneof![
        Just(Plain::Class("a", |c| c == 'a')),
        Just(Plain::Class("[ab]", |c| c == 'a' || c == 'b')),
        Just(Plain::Class(".", |c| c != '\n')),
        Just(Plain::Class("[^a]", |c| c != 'a')),
        Just(Plain::Class("-", |c| c == '-')),
        Just(Plain::Class(r"[\s\S]", |_| true)),
    ];
    let leaf = prop_oneof![
        9 => class,
        1 => Just(Plain::Start),
        1 => Just(Plain::End),
        1 => any::<bool>().prop_map(Plain::Word),
    ];
    leaf.prop_recursive(4, 20, 4, move |inner| {
        let count = (0usize..3, prop_oneof![2 => (0usize..3).prop_map(Some), 1 => Just(None)]);
        let look = if looks { 2 } else { 0 };
        prop_oneof![
            5 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Plain::Concat),
            3 => proptest::collection::vec(inner.clone(), 1..4).prop_map(Plain::Or),
            3 => (inner.clone(), count).prop_map(|(body, (min, more))| {
                Plain::Repeat(body.into(), min, more.map(|more| min + more))
            }),
            look => (any::<bool>(), any::<bool>(), inner).prop_map(|(behind, negative, body)| {
                Plain::Look(behind, negative, body.into())
            }),
        ]
    })
}

fn all_texts(longest: usize) -> Vec<Vec<char>> {
    let mut texts = vec![vec![]];
    let mut from = 0;
    for _ in 0..longest {
        let until = texts.len();
        for i in from..until {
            for c in ['a', 'b', '-', '\n'] {
                let mut text: Vec<char> = texts[i].clone();
                text.push(c);
                texts.push(text);
            }
        }
        from = until;
    }
    texts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_pattern_matches_what_its_definition_says(plain in plain(true)) {
        for dialect in [Dialect::Ecma, Dialect::Python] {
            for anchored in [Anchored::Full, Anchored::Search] {
                let (mut terms, t) = match compiled(&plain.pattern(), dialect, anchored) {
                    Ok(compiled) => compiled,
                    Err(crate::error::Error::Grammar { what, .. }) => {
                        prop_assert!(what.contains("look-behind of more than one character"), "{}", what);
                        continue;
                    }
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                };
                for text in all_texts(4) {
                    let string: String = text.iter().collect();
                    prop_assert_eq!(
                        terms.matches(t, &string, &mut fuel()).unwrap(), plain.holds(&text, anchored),
                        "{} {:?} {:?} {:?}", plain.pattern(), string, dialect, anchored
                    );
                }
            }
        }
    }

    #[test]
    fn a_pattern_matches_what_the_regex_crate_says(
        pattern in r"(?:(?:[ab.\-]|\[[a-c]{1,3}-?\]|\[\^[ab]{1,2}\]|\\[dDwWsSbB]|\\x61|\\u\{e9\}|\^|\$|\(\?i:[aB]\)|\((?:[abK]|\\w){0,3}\)|\((?:[ab]{0,2}\|){1,3}[ab]?\))(?:[*+?]|\{[0-2]\}|\{0,2\}|\{1,\})?\|?){0,5}",
        texts in proptest::collection::vec("[abAB1 é\u{212A}k\n-]{0,6}", 20),
    ) {
        let Ok(theirs) = regex::Regex::new(&format!("^(?:{pattern})$")) else { return Ok(()) };
        let search = regex::Regex::new(&pattern).unwrap();
        let full = compiled(&pattern, Dialect::Python, Anchored::Full).unwrap();
        let ours = compiled(&pattern, Dialect::Python, Anchored::Search).unwrap();
        for (anchored, (mut terms, t), theirs) in [("full", full, theirs), ("search", ours, search)] {
            for text in &texts {
                prop_assert_eq!(
                    terms.matches(t, text, &mut fuel()).unwrap(), theirs.is_match(text), "{} {:?} {:?}", anchored, pattern, text
                );
            }
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_an_error(pattern in r"(?s)[()\[\]{}|*+?^$.\\<>=!:,\-abdwpuPnx0-9Lié\x00]{0,24}") {
        for dialect in [Dialect::Ecma, Dialect::Python] {
            match compiled(&pattern, dialect, Anchored::Search) {
                Ok(_) => {}
                Err(crate::error::Error::Grammar { position: Some(position), what }) => {
                    prop_assert!(pattern.is_char_boundary(position) && !what.is_empty());
                }
                Err(error) => return Err(TestCaseError::fail(format!("{pattern:?}: {error}"))),
            }
        }
    }
}

#[test]
fn assertions_are_worked_in() {
    let search = |pattern: &str, text: &str| matches(pattern, Dialect::Ecma, Anchored::Search, text);
    assert!(search("^(?!no)[a-z]+$", "on") && search("^(?!no)[a-z]+$", "yes"));
    assert!(!search("^(?!no)[a-z]+$", "nothing") && !search("^(?!no)[a-z]+$", ""));
    let password = "(?=.*[0-9])(?=.*[a-z]).{8,}";
    assert!(search(password, "abcdefg1") && search(password, "AAAA aaaa1111") && !search(password, "abcdefgh"));
    let full = |pattern: &str, text: &str| matches(pattern, Dialect::Python, Anchored::Full, text);
    assert!(full(r"\bfoo\b bar", "foo bar") && !full(r"\bfoo\b bar", "foobar"));
    assert!(full("(^a|b)c", "ac") && full("(^a|b)c", "bc") && !full("(^a|b)c", "c") && !full("x(^a|b)c", "xac"));
    assert!(
        full("a(?<=a)b", "ab") && full("(?<=b)?y", "y") && full("abc(?<=b.)d", "abcd") && !full("abc(?<=a.)d", "abcd")
    );
    assert!(full(r"(?m)(?:a$\n?){1,3}", "a\na\na") && full(r"(?:\b\w+\b ?){1,4}", "to be or not"));
    assert!(search("^((?!foo).)*$", "a fo oof") && !search("^((?!foo).)*$", "a foo") && search("^((?!foo).)*$", ""));
    assert!(search("^(?:(?![.])[a-z.]){2,}$", "ab") && !search("^(?:(?![.])[a-z.]){2,}$", "a."));
    // Any number of rounds.
    assert!(full(r"(?:\b\w+\b\W*)*", "to be, or not") && !full(r"(?:\b\w+\b\s?)+", "to be, or"));
    assert!(
        full(r"(?:(?!no)[a-z])*!", "on!") && !full(r"(?:(?!no)[a-z])*!", "snow!") && full(r"(?:(?!no)[a-z])*!", "!")
    );
    assert!(full("(?:(?=ab)a|b(?!b)|(?<=b)c)+", "ababc") && !full("(?:(?=ab)a|b(?!b)|(?<=b)c)+", "abbc"));
    assert!(full("(?:a(?:b(?!c))*)*c?", "abab") && !full("(?:a(?:b(?!c))*)*c?", "ababc"));
    assert!(full("(?:(?=a)|(?=b))*a", "a") && full("(?:^a|b)*", "abb") && !full("(?:^a|b)*", "ba"));
    assert!(full(&format!("{}b{}", "(?:".repeat(40), r"\b ?)+".repeat(40)), "b") && full("(?:a|$)+", "a"));
    assert!(full("(?:$)+", "") && full("(?:a*(?!b)){3,}b?", "aa") && !full("(?:a*(?!b)){3,}b?", "aab"));
    assert!(search("^(?:[^*]|[*](?!/))*$", "a*b**c") && !search("^(?:[^*]|[*](?!/))*$", "a*/"));
    // Two cases each, and no intersection left.
    for pattern in [r"\bfoo\b bar", "^abc$", "(^a|b)c", "a(?<=a)b", r"(?<=^|,)[a-z]+(?=,|$)"] {
        let (terms, t) = compiled(pattern, Dialect::Python, Anchored::Search).unwrap();
        assert!(!terms.is_boolean(t), "{pattern}");
    }
}

#[test]
fn dialects_differ_where_they_do() {
    for (pattern, text, ecma, python) in [
        (r"\d", "\u{0663}", false, true),
        (r"\w", "é", false, true),
        (r"\s", "\u{FEFF}", true, false),
        (r"\s", "\u{85}", false, true),
        (".", "\r", false, true),
        (".", "\u{2028}", false, true),
        (r"[^]", "\n", true, false),
        (r"a{,2}", "a{,2}", true, false),
        (r"a{,2}", "aa", false, true),
        (r"[\b]", "\u{8}", true, true),
        (r"\u{1F600}", "\u{1F600}", true, true),
        (r"\uD83D\uDE00", "\u{1F600}", true, true),
        (r"[\uD83D\uDE00-\uD83D\uDE02]", "\u{1F601}", true, true),
        (r"\p{L}\P{Lu}", "éé", true, true),
        (r"\p{Script=Greek}", "α", true, true),
        (r"\p{Lu}", "a", false, false),
        (r"\-\_\/\.\ \#", "-_/. #", true, true),
        (r"a{", "a{", true, true),
        (r"x{1,2,3}", "x{1,2,3}", true, true),
        (r"}]", "}]", true, true),
        ("a\0b", "a\0b", true, true),
        (r"a\0b", "a\0b", true, true),
        (r"[\w-.]", "-", true, false),
        ("(?i:k)", "\u{212A}", true, true),
        ("(?<year>[0-9]{4})", "2024", true, true),
        ("(?P<year>[0-9]{4})", "2024", false, true),
        ("(?x) a b # c", "ab", false, true),
        ("(?s).(?-s:.)", "\na", false, true),
        (r"\Aa\z", "a", false, true),
        (r"\cA", "\u{1}", true, false),
        (r"\x41\x{42}", "AB", false, true),
        (r"[[:alpha:]]", "é", false, false),
        (r"[[:alpha:]]", "e", false, true),
    ] {
        for (dialect, expected) in [(Dialect::Ecma, ecma), (Dialect::Python, python)] {
            let holds = compiled(pattern, dialect, Anchored::Full)
                .is_ok_and(|(mut terms, t)| terms.matches(t, text, &mut fuel()).unwrap());
            assert_eq!(holds, expected, "{pattern} {text:?} {dialect:?}");
        }
    }
}

#[test]
fn what_is_not_regular_is_named_with_its_place() {
    for (pattern, position) in [
        (r"(a)\1", 3),
        (r"(?<n>a)\k<n>", 7),
        ("(?P=n)", 0),
        ("(?>a)", 0),
        ("a*+", 2),
        ("a**", 2),
        ("*a", 0),
        ("a|*", 2),
        ("(a", 0),
        ("a)", 1),
        ("[a-", 0),
        ("[z-a]", 1),
        ("a{5,2}", 1),
        ("a{99999999999}", 1),
        ("a\\", 1),
        (r"é\p{Nope}", 2),
        (r"\xZZ", 0),
        (r"(?<=ab)(?:\ba)*", 14),
        ("(?<=ab)c(?=de)", 0),
        ("(?(1)a)", 0),
        ("(?y)", 0),
    ] {
        match compiled(pattern, Dialect::Python, Anchored::Full) {
            Err(crate::error::Error::Grammar { position: Some(at), what }) => {
                assert_eq!(at, position, "{pattern}: {what}")
            }
            Err(error) => panic!("{pattern}: {error}"),
            Ok(_) => panic!("{pattern} compiled"),
        }
    }
}

/// In a thread whose stack leaves no room for recursion.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap().join().unwrap();
}

#[test]
fn hostile_patterns_end() {
    let words: Vec<String> = (0..100_000).map(|i| format!("w{i}")).collect();
    let optional: String = ('\u{4E00}'..'\u{9FFF}').map(|c| format!("{c}?")).collect();
    let text: String =
        (0..150_000).map(|i| char::from(b'!' + (i * 7 % 90) as u8)).filter(|c| c.is_alphanumeric()).collect();
    let patterns = vec![
        "\0".to_owned(),
        "a\0b".to_owned(),
        "foo**".to_owned(),
        "[a-".to_owned(),
        "(?<=x)*y".to_owned(),
        r"(a)\1".to_owned(),
        "(?=a)b".to_owned(),
        "(a+)+b".to_owned(),
        "(a|b)*a(a|b){20}".to_owned(),
        ".*a.{24}".to_owned(),
        "a{1000000}".to_owned(),
        "((a{100}){100}){100}".to_owned(),
        "(x{0,500}){0,500}".to_owned(),
        "((a|bc{3,7}){2,900}d?){0,4000000000}".to_owned(),
        format!("{}a{}", "(".repeat(20000), ")".repeat(20000)),
        format!("{}a{}", "(".repeat(500), ")".repeat(500)),
        format!("{}a{}", "(?:".repeat(500), "){0,3}".repeat(500)),
        format!("{}a{}", "(?=".repeat(500), ")".repeat(500)),
        format!("{}a{}", "(?<!b".repeat(500), ")".repeat(500)),
        words.join("|"),
        "a{5,2}".to_owned(),
        r"\p{L}{1,200}".to_owned(),
        "a".repeat(1_000_000),
        text,
        optional,
        "(".repeat(1_000_000),
        "[".repeat(1_000_000),
        "\\".repeat(1_000_001),
        "a|".repeat(1_000_000),
        "(a|".repeat(500) + &")*".repeat(500),
        r"(?:\b[a-z]{1,4}\b ){0,200}".to_owned(),
        format!("{}a{}", r"(?:\b".repeat(500), ")*".repeat(500)),
        format!("{}a{}", "(?:(?!bc)".repeat(500), "d?)+".repeat(500)),
        format!("{}a{}", "(?:".repeat(500), "(?=b))*".repeat(500)),
        r"(?:(?!.*a.{20}b)[ab]{3})*".to_owned(),
        r"(?:(?=a)b{3,}){1000000,}".to_owned(),
        "(?:a$|^b)*".repeat(20_000),
    ];
    for pattern in patterns {
        for dialect in [Dialect::Ecma, Dialect::Python] {
            let pattern = pattern.clone();
            on_a_small_stack(move || {
                for anchored in [Anchored::Full, Anchored::Search] {
                    let mut fuel = fuel();
                    let mut terms = Terms::new();
                    let Ok(mut t) = parse(&pattern, dialect, anchored, &mut terms, &mut fuel) else { continue };
                    for c in "aabababx w100a".chars() {
                        let mut step = Fuel::new("grammar_step_fuel", Limits::DEFAULT.grammar_step_fuel);
                        let Ok(next) = terms.derivative(t, c.into(), &mut step) else { break };
                        if terms.is_alive(next, 0, 1000, &mut step).is_err()
                            || terms.clip(next, 16, true, &mut step).is_err()
                        {
                            break;
                        }
                        t = next;
                    }
                    assert!(
                        terms.bytes() < 2 * Limits::DEFAULT.grammar_memory_bytes,
                        "{pattern:.40}: {}",
                        terms.bytes()
                    );
                }
            });
        }
    }
}

#[test]
fn an_intersection_of_many_counters_costs_fuel_alone() {
    for anchored in [Anchored::Full, Anchored::Search] {
        let mut terms = Terms::new();
        let mut compile = fuel();
        let letters = "abcdefghijklmnopqrstuvwxyz0123";
        let one = |c: char| parse(&format!(".*{c}.{{12}}"), Dialect::Ecma, anchored, &mut terms, &mut compile).unwrap();
        let all: Vec<TermId> = letters.chars().map(one).collect();
        let mut t = terms.intersection(all);
        if anchored == Anchored::Search {
            assert!(terms.is_alive(t, 0, UNBOUNDED, &mut fuel()).unwrap());
        }
        for c in letters.chars().chain(letters.chars().rev()) {
            let mut step = Fuel::new("grammar_step_fuel", Limits::DEFAULT.grammar_step_fuel);
            t = terms.derivative(t, c.into(), &mut step).unwrap();
        }
    }
}
