//! Terms against a matcher that is slow and obvious.

use super::*;
use crate::limits::Fuel;
use proptest::prelude::*;

/// A term before it is made.
#[derive(Debug, Clone)]
enum Plain {
    Empty,
    Epsilon,
    Any,
    Class(Vec<(u32, u32)>),
    Concat(Box<Plain>, Box<Plain>),
    Or(Vec<Plain>),
    And(Vec<Plain>),
    Not(Box<Plain>),
    Repeat(Box<Plain>, u32, u32),
}

impl Plain {
    fn term(&self, terms: &mut Terms) -> TermId {
        match self {
            Self::Empty => Terms::EMPTY,
            Self::Epsilon => Terms::EPSILON,
            Self::Any => Terms::ANY,
            Self::Class(ranges) => terms.class(ranges),
            Self::Concat(a, b) => {
                let (a, b) = (a.term(terms), b.term(terms));
                terms.concat(a, b)
            }
            Self::Or(members) => {
                let members = members.iter().map(|m| m.term(terms)).collect();
                terms.alternation(members)
            }
            Self::And(members) => {
                let members = members.iter().map(|m| m.term(terms)).collect();
                terms.intersection(members)
            }
            Self::Not(a) => {
                let a = a.term(terms);
                terms.complement(a)
            }
            Self::Repeat(a, min, max) => {
                let a = a.term(terms);
                terms.repeat(a, *min, *max)
            }
        }
    }

    /// By the definition of each.
    fn holds(&self, text: &[char]) -> bool {
        match self {
            Self::Empty => false,
            Self::Epsilon => text.is_empty(),
            Self::Any => true,
            Self::Class(ranges) => {
                matches!(text, [c] if ranges.iter().any(|r| (r.0..=r.1).contains(&u32::from(*c))))
            }
            Self::Concat(a, b) => (0..=text.len()).any(|i| a.holds(&text[..i]) && b.holds(&text[i..])),
            Self::Or(members) => members.iter().any(|m| m.holds(text)),
            Self::And(members) => members.iter().all(|m| m.holds(text)),
            Self::Not(a) => !a.holds(text),
            Self::Repeat(a, min, max) => repeats(a, *min, *max, text),
        }
    }
}

fn repeats(a: &Plain, min: u32, max: u32, text: &[char]) -> bool {
    if min == 0 && text.is_empty() {
        return true;
    }
    if max == 0 {
        return false;
    }
    let fewer = if max == UNBOUNDED { max } else { max - 1 };
    // A round without text changes nothing once the least number is reached.
    let least = usize::from(min == 0);
    (least..=text.len()).any(|i| a.holds(&text[..i]) && repeats(a, min.saturating_sub(1), fewer, &text[i..]))
}

fn plain(with_boolean: bool) -> impl Strategy<Value = Plain> {
    let leaf = prop_oneof![
        1 => Just(Plain::Empty),
        2 => Just(Plain::Epsilon),
        2 => Just(Plain::Any),
        12 => proptest::collection::vec((97u32..101, 0u32..3), 1..3)
            .prop_map(|r| Plain::Class(r.into_iter().map(|(low, more)| (low, low + more)).collect())),
    ];
    leaf.prop_recursive(5, 24, 4, move |inner| {
        let boolean = if with_boolean { 2 } else { 0 };
        let counts = (0u32..4, prop_oneof![3 => (0u32..4).prop_map(Some), 1 => Just(None)]);
        prop_oneof![
            6 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Plain::Concat(a.into(), b.into())),
            4 => proptest::collection::vec(inner.clone(), 2..5).prop_map(Plain::Or),
            4 => (inner.clone(), counts).prop_map(|(a, (min, more))| {
                Plain::Repeat(a.into(), min, more.map_or(UNBOUNDED, |more| min + more))
            }),
            boolean => proptest::collection::vec(inner.clone(), 2..4).prop_map(Plain::And),
            boolean => inner.prop_map(|a| Plain::Not(a.into())),
        ]
    })
}

fn fuel() -> Fuel {
    Fuel::new("grammar_compile_fuel", 20_000_000)
}

/// Every text of a, b, d and é, which stands for all that no class holds.
fn all_texts(longest: usize) -> Vec<Vec<char>> {
    all_texts_of(&['a', 'b', 'd', 'é'], longest)
}

fn after(terms: &mut Terms, t: TermId, text: &[char]) -> TermId {
    text.iter().fold(t, |t, &c| terms.derivative(t, c.into(), &mut fuel()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_term_holds_what_its_definition_says(plain in plain(true)) {
        let mut terms = Terms::new();
        let t = plain.term(&mut terms);
        for text in all_texts(5) {
            let string: String = text.iter().collect();
            prop_assert_eq!(terms.matches(t, &string, &mut fuel()).unwrap(), plain.holds(&text), "{:?}", string);
        }
    }

    #[test]
    fn alive_is_having_a_text_of_some_length(plain in plain(true), min in 0u32..5, max in 0u32..5) {
        let mut terms = Terms::new();
        let t = plain.term(&mut terms);
        // é stands for what no class holds, so the lengths of all texts over the letters are those of all texts, if every
        // letter of a class is there.
        let lengths: Vec<usize> = all_texts_of(&['a', 'b', 'c', 'd', 'e', 'é'], 4)
            .into_iter()
            .filter(|text| plain.holds(text))
            .map(|text| text.len())
            .collect();
        let expected = lengths.iter().any(|&n| (min as usize..=max as usize).contains(&n));
        prop_assert_eq!(terms.is_alive(t, min, max, &mut fuel()).unwrap(), expected);
        if !terms.is_boolean(t) && terms.min_length(t) <= 4 {
            prop_assert_eq!(lengths.iter().min().map(|&n| n as u32), Some(terms.min_length(t)));
        }
        if !lengths.is_empty() {
            prop_assert!(terms.is_alive(t, 0, UNBOUNDED, &mut fuel()).unwrap());
        }
        if !terms.is_boolean(t) && terms.max_length(t) <= 4 && t != Terms::EMPTY {
            prop_assert_eq!(lengths.iter().max().map(|&n| n as u32), Some(terms.max_length(t)));
        }
    }

    #[test]
    fn clipped_is_the_same_as_far_as_it_goes(plain in plain(true), k in 0u32..5) {
        let mut terms = Terms::new();
        let t = plain.term(&mut terms);
        for minimums in [false, true] {
            let clipped = terms.clip(t, k, minimums, &mut fuel()).unwrap();
            for text in all_texts(k as usize) {
                let (a, b) = (after(&mut terms, t, &text), after(&mut terms, clipped, &text));
                prop_assert_eq!(terms.is_nullable(a), terms.is_nullable(b));
                prop_assert_eq!(
                    terms.is_alive(a, 0, UNBOUNDED, &mut fuel()).unwrap(),
                    terms.is_alive(b, 0, UNBOUNDED, &mut fuel()).unwrap(),
                    "{:?}", text
                );
                if !minimums && !terms.is_boolean(a) {
                    prop_assert_eq!(terms.min_length(a), terms.min_length(b), "{:?}", text);
                }
            }
        }
    }

    #[test]
    fn all_texts_are_listed_if_they_are_few(plain in plain(true)) {
        let mut terms = Terms::new();
        let t = plain.term(&mut terms);
        let letters = ['a', 'b', 'c', 'd', 'e', 'f'];
        let expected: Vec<String> = all_texts_of(&letters, 4).into_iter().filter(|t| plain.holds(t)).map(String::from_iter).collect();
        match terms.texts(t, 30, &mut fuel()).unwrap() {
            Some(texts) => {
                prop_assert!(texts.windows(2).all(|pair| pair[0] < pair[1]) && texts.len() <= 30);
                let short: Vec<String> = texts.into_iter().filter(|text| text.chars().count() <= 4).collect();
                let mut expected = expected;
                expected.sort();
                prop_assert_eq!(short, expected);
            }
            None if !terms.is_boolean(t) && terms.max_length(t) <= 4 => prop_assert!(expected.len() > 30),
            None => {}
        }
    }

    #[test]
    fn between_boundaries_nothing_changes(plain in plain(true), text in "[a-e]{0,3}") {
        let mut terms = Terms::new();
        let t = plain.term(&mut terms);
        let t = after(&mut terms, t, &text.chars().collect::<Vec<_>>());
        let boundaries = terms.boundaries(t).to_vec();
        prop_assert!(boundaries.is_sorted() && boundaries.iter().all(|&b| b > 0 && char::from_u32(b).is_some()));
        let mut cold = terms.clone();
        for c in 90..110u32 {
            // Nothing is remembered, so that each is computed for its own code point.
            cold.derivatives.clear();
            let same = terms.representative(t, c);
            prop_assert_eq!(cold.derivative(t, c, &mut fuel()).unwrap(), {
                cold.derivatives.clear();
                cold.derivative(t, same, &mut fuel()).unwrap()
            });
        }
    }

    #[test]
    fn terms_made_alike_have_one_fingerprint(a in plain(true), b in plain(true)) {
        let (mut one, mut two) = (Terms::new(), Terms::new());
        let in_one = (a.term(&mut one), b.term(&mut one));
        let in_two = (b.term(&mut two), a.term(&mut two));
        prop_assert_eq!(in_one.0 == in_one.1, one.fingerprint(in_one.0) == one.fingerprint(in_one.1));
        prop_assert_eq!(one.fingerprint(in_one.1), two.fingerprint(in_two.0));
    }

    #[test]
    fn what_is_forgotten_comes_back_the_same(a in plain(true), b in plain(true)) {
        let mut terms = Terms::new();
        let first = a.term(&mut terms);
        let (len, print) = (terms.len(), terms.fingerprint(first));
        let second = b.term(&mut terms);
        let second_print = terms.fingerprint(second);
        after(&mut terms, second, &['a', 'b', 'a']);
        terms.truncate(len);
        prop_assert_eq!(terms.len(), len);
        prop_assert_eq!(a.term(&mut terms), first);
        prop_assert_eq!(terms.len(), len);
        let second = b.term(&mut terms);
        prop_assert_eq!((terms.fingerprint(first), terms.fingerprint(second)), (print, second_print));
        for text in all_texts(3) {
            let string: String = text.iter().collect();
            prop_assert_eq!(terms.matches(second, &string, &mut fuel()).unwrap(), b.holds(&text));
        }
    }
}

fn all_texts_of(letters: &[char], longest: usize) -> Vec<Vec<char>> {
    let mut texts = vec![vec![]];
    let mut from = 0;
    for _ in 0..longest {
        let until = texts.len();
        for i in from..until {
            for &c in letters {
                let mut text: Vec<char> = texts[i].clone();
                text.push(c);
                texts.push(text);
            }
        }
        from = until;
    }
    texts
}

#[test]
fn classes_are_put_in_order() {
    let mut terms = Terms::new();
    let t = terms.class(&[(0xD000, 0xE001), (5, 3), (10, 20), (15, 30), (31, 31), (0x10FFFF, u32::MAX)]);
    assert_eq!(terms.ranges(t), Some(&[(10, 31), (0xD000, 0xD7FF), (0xE000, 0xE001), (0x10FFFF, 0x10FFFF)][..]));
    assert_eq!(terms.boundaries(t), [10, 32, 0xD000, 0xE002, 0x10FFFF]);
    assert_eq!(terms.class(&[(0xD800, 0xDFFF)]), Terms::EMPTY);
    assert!(terms.boundaries(Terms::ANY).is_empty());
}

#[test]
fn an_automaton_is_a_leaf_like_any_other() {
    use crate::grammar::automaton::{Automaton, Symbol};
    let mut fuel = Fuel::new("fuel", 1_000_000);
    let alphabet: [Symbol; 3] = [&[(97, 97)], &[(98, 0xd7ff)], &[(0xe000, 0x10ffff)]];
    let step = |n: usize| move |s: &usize, k: usize| (k < 2 || *s > 0).then_some((s + 1 + k) % n);
    for n in 1..7 {
        let mut terms = Terms::new();
        let made = Automaton::new(&alphabet, 0, step(n), |s| s + 1 == n, &mut fuel).unwrap().unwrap();
        let before = terms.len();
        let t = terms.automaton(made.clone());
        assert_eq!(t, terms.automaton(made.clone()));
        let (class, bytes) = (terms.class(&[(97, 0xe001)]), terms.bytes());
        let (starred, doubled) = (terms.repeat(t, 0, UNBOUNDED), terms.concat(t, t));
        let complement = terms.complement(t);
        let (both, behind) = (terms.intersection(vec![t, complement]), terms.concat(t, class));
        let is_in = |text: &[usize]| text.iter().try_fold(0, |s, &k| step(n)(&s, k)).is_some_and(|s| s + 1 == n);
        for i in 0..3usize.pow(6) {
            let symbols: Vec<usize> = (0..i % 7).map(|k| i / 3usize.pow(k as u32) % 3).collect();
            let text: String = symbols.iter().map(|&k| ['a', 'z', '\u{1f600}'][k]).collect();
            let parts = || (0..=symbols.len()).map(|k| symbols.split_at(k));
            let mut stars = vec![true];
            for end in 1..=symbols.len() {
                let is_star = (0..end).any(|k| stars[k] && is_in(&symbols[k..end]));
                stars.push(is_star);
            }
            assert_eq!(terms.matches(t, &text, &mut fuel).unwrap(), is_in(&symbols), "{n} {text}");
            assert_eq!(terms.matches(complement, &text, &mut fuel).unwrap(), !is_in(&symbols));
            assert_eq!(terms.matches(starred, &text, &mut fuel).unwrap(), stars[symbols.len()], "{n} {text}");
            let twice = parts().any(|(a, b)| is_in(a) && is_in(b));
            assert_eq!(terms.matches(doubled, &text, &mut fuel).unwrap(), twice, "{n} {text}");
            let ends = symbols.split_last().is_some_and(|(&last, rest)| last < 2 && is_in(rest));
            assert_eq!(terms.matches(behind, &text, &mut fuel).unwrap(), ends, "{n} {text}");
        }
        assert!(!terms.is_alive(both, 0, UNBOUNDED, &mut fuel).unwrap());
        for (min, max) in [(0, 0), (0, 1), (2, 2), (3, 5), (6, 6)] {
            let lengths = (0..3usize.pow(6)).map(|i| (0..i % 7).map(move |k| i / 3usize.pow(k as u32) % 3));
            let found = lengths
                .map(|symbols| symbols.collect::<Vec<_>>())
                .any(|symbols| (min..=max).contains(&(symbols.len() as u32)) && is_in(&symbols));
            assert_eq!(terms.is_alive(t, min, max, &mut fuel).unwrap(), found, "{n} {min} {max}");
        }
        assert!(bytes > Terms::new().bytes());
        terms.truncate(before);
        assert_eq!(t, terms.automaton(made));
    }
}
