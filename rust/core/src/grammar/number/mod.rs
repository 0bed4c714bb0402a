//! Numbers as JSON spells them: the texts of the numbers in a range, of multiples, of one number. Schemas are not known
//! here. Nothing is rounded: a number is what its text says, not the nearest float.

mod decimal;
mod multiple;

use std::cell::RefCell;
use std::cmp::Ordering;

pub use self::decimal::Decimal;
use self::multiple::Multiple;
use super::automaton::{Automaton, Symbol};
use super::term::{TermId, Terms, UNBOUNDED};
use crate::error::{Error, Result};
use crate::limits::Fuel;

/// One end of a range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bound {
    /// Where.
    pub value: Decimal,
    /// Whether the value itself is outside.
    pub exclusive: bool,
}

/// Which numbers. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NumberSpec {
    /// Integers only, by value: `1.0` is one.
    pub integer: bool,
    /// With `integer`, by spelling: `1.0` and `1e2` are none, as drafts up to 4 have it.
    pub digits_only: bool,
    /// The least.
    pub minimum: Option<Bound>,
    /// The greatest.
    pub maximum: Option<Bound>,
    /// Of each of which it is a multiple.
    pub multiple_of: Vec<Decimal>,
}

/// Which of a number's spellings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// All that a finite automaton can tell.
    Any,
    /// The usual one: no exponent, no zeros that could go, no sign of zero.
    Canonical,
}

/// All that may still be told of a number by what was read of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    part: Part,
    negative: bool,
    /// How what was read compares with the least and the greatest magnitude.
    low: Compared,
    high: Compared,
    /// Of the division by `Multiple`'s modulus, and how many of its decimals were read.
    remainder: u64,
    decimals: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Start,
    Minus,
    /// The digit zero before the point.
    Zero,
    Whole,
    Point,
    Fraction {
        ends_with_zero: bool,
    },
    /// After an `e`, its sign, its first digit.
    Exponent(Exponents),
    SignedExponent(Exponents),
    ExponentDigits(Exponents),
}

/// Which exponents may follow a magnitude, so that the product is in the range whatever the magnitude in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Exponents {
    /// Zero only.
    Zero,
    NotNegative,
    NotPositive,
    Any,
}

/// A magnitude that begins with some digits, beside an end of the range.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Compared {
    /// So many digits before the point, which as far as they go compare so.
    Whole(usize, Ordering),
    /// Equal so far, with so many digits after the point.
    Fraction(usize),
    Less,
    Greater,
}

/// An end of a range of magnitudes.
struct Cut {
    whole: Vec<u8>,
    fraction: Vec<u8>,
    exclusive: bool,
}

impl Cut {
    fn new(bound: &Bound) -> Result<Self> {
        let (whole, fraction) = bound.value.plain()?;
        Ok(Self { whole, fraction, exclusive: bound.exclusive })
    }

    fn digit(&self, compared: Compared, digit: u8) -> Compared {
        match compared {
            Compared::Whole(read, _) if read == self.whole.len() => Compared::Greater,
            Compared::Whole(read, order) => Compared::Whole(read + 1, order.then(digit.cmp(&self.whole[read]))),
            Compared::Fraction(read) => match digit.cmp(self.fraction.get(read).unwrap_or(&0)) {
                Ordering::Less => Compared::Less,
                Ordering::Greater => Compared::Greater,
                Ordering::Equal => Compared::Fraction((read + 1).min(self.fraction.len())),
            },
            told => told,
        }
    }

    fn point(&self, compared: Compared) -> Compared {
        match compared {
            Compared::Whole(read, _) if read < self.whole.len() => Compared::Less,
            Compared::Whole(_, Ordering::Less) => Compared::Less,
            Compared::Whole(_, Ordering::Greater) => Compared::Greater,
            Compared::Whole(_, Ordering::Equal) => Compared::Fraction(0),
            told => told,
        }
    }

    fn end(&self, compared: Compared) -> Ordering {
        match self.point(compared) {
            Compared::Fraction(read) if read == self.fraction.len() => Ordering::Equal,
            Compared::Greater => Ordering::Greater,
            _ => Ordering::Less,
        }
    }
}

/// The magnitudes of the numbers of one sign.
struct Magnitudes {
    /// None: from zero on.
    low: Option<Cut>,
    high: Option<Cut>,
    exponents: Exponents,
}

impl Magnitudes {
    /// Of the numbers of a range that are not negative; none if there are none.
    fn new(minimum: Option<&Bound>, maximum: Option<&Bound>, has_multiple: bool) -> Result<Option<Self>> {
        let minimum = minimum.filter(|bound| !bound.value.is_negative());
        let low = minimum.filter(|bound| !bound.value.is_zero() || bound.exclusive);
        if maximum.is_some_and(|bound| bound.value.is_negative() || bound.value.is_zero() && bound.exclusive) {
            return Ok(None);
        }
        let from_zero = low.is_none_or(|bound| bound.value.is_zero());
        let exponents = match maximum {
            Some(bound) if bound.value.is_zero() => Exponents::Any,
            None if from_zero && !has_multiple => Exponents::Any,
            None => Exponents::NotNegative,
            Some(_) if from_zero && !has_multiple => Exponents::NotPositive,
            Some(_) => Exponents::Zero,
        };
        Ok(Some(Self { low: low.map(Cut::new).transpose()?, high: maximum.map(Cut::new).transpose()?, exponents }))
    }
}

/// How the texts of a `NumberSpec` are read.
struct Reader {
    positive: Option<Magnitudes>,
    negative: Option<Magnitudes>,
    multiple: Option<Multiple>,
    spelling: Spelling,
    digits_only: bool,
}

const ALPHABET: [Symbol; 14] = [
    &[(0x30, 0x30)],
    &[(0x31, 0x31)],
    &[(0x32, 0x32)],
    &[(0x33, 0x33)],
    &[(0x34, 0x34)],
    &[(0x35, 0x35)],
    &[(0x36, 0x36)],
    &[(0x37, 0x37)],
    &[(0x38, 0x38)],
    &[(0x39, 0x39)],
    &[(0x2d, 0x2d)],
    &[(0x2b, 0x2b)],
    &[(0x2e, 0x2e)],
    &[(0x45, 0x45), (0x65, 0x65)],
];
const MINUS: usize = 10;
const PLUS: usize = 11;
const POINT: usize = 12;

impl Reader {
    fn new(spec: &NumberSpec, spelling: Spelling, fuel: &mut Fuel) -> Result<Self> {
        let mut multiple_of = spec.multiple_of.clone();
        if multiple_of.iter().any(Decimal::is_zero) {
            return Err(Error::Grammar { position: None, what: "no number but zero is a multiple of zero".into() });
        }
        if spec.integer {
            multiple_of.push(Decimal::one());
        }
        let multiple = Multiple::new(&multiple_of, fuel)?;
        let mirrored = |bound: &Bound| Bound { value: bound.value.negated(), ..bound.clone() };
        let (minimum, maximum) = (spec.minimum.as_ref(), spec.maximum.as_ref());
        let (below, above) = (maximum.map(mirrored), minimum.map(mirrored));
        let positive = Magnitudes::new(minimum, maximum, multiple.is_some())?;
        let mut negative = Magnitudes::new(below.as_ref(), above.as_ref(), multiple.is_some())?;
        if let (Spelling::Canonical, Some(Magnitudes { low: low @ None, .. })) = (spelling, &mut negative) {
            *low = Some(Cut { whole: vec![0], fraction: vec![], exclusive: true });
        }
        Ok(Self { positive, negative, multiple, spelling, digits_only: spec.integer && spec.digits_only })
    }

    /// Whether every spelling of every number meant is read.
    fn is_exact(&self) -> bool {
        let signs = [&self.positive, &self.negative];
        self.digits_only || signs.into_iter().flatten().all(|magnitudes| magnitudes.exponents == Exponents::Any)
    }

    fn magnitudes(&self, state: &State) -> Option<&Magnitudes> {
        if state.negative { self.negative.as_ref() } else { self.positive.as_ref() }
    }

    /// Whether the magnitude that was read is one of those meant.
    fn is_met(&self, state: &State) -> bool {
        let Some(magnitudes) = self.magnitudes(state) else { return false };
        let within = |cut: &Option<Cut>, compared, outside: Ordering| {
            cut.as_ref().is_none_or(|cut| match cut.end(compared) {
                Ordering::Equal => !cut.exclusive,
                order => order != outside,
            })
        };
        within(&magnitudes.low, state.low, Ordering::Less)
            && within(&magnitudes.high, state.high, Ordering::Greater)
            && self.multiple.as_ref().is_none_or(|multiple| multiple.is_met(state.remainder, state.decimals))
    }

    fn accepts(&self, state: &State) -> bool {
        match state.part {
            Part::Zero | Part::Whole => self.is_met(state),
            Part::Fraction { ends_with_zero } => {
                !(ends_with_zero && self.spelling == Spelling::Canonical) && self.is_met(state)
            }
            Part::ExponentDigits(_) => true,
            _ => false,
        }
    }

    fn next(&mut self, state: &State, symbol: usize) -> Option<State> {
        match (state.part, symbol) {
            (Part::Start, MINUS) => {
                self.negative.as_ref()?;
                Some(State { part: Part::Minus, negative: true, ..*state })
            }
            (Part::Start | Part::Minus | Part::Whole, 0..10) => {
                let part = if symbol == 0 && state.part != Part::Whole { Part::Zero } else { Part::Whole };
                self.digit(&State { part, ..*state }, symbol as u8)
            }
            (Part::Zero | Part::Whole, POINT) if !self.digits_only => self.point(state),
            (Part::Point | Part::Fraction { .. }, 0..10) => {
                self.digit(&State { part: Part::Fraction { ends_with_zero: symbol == 0 }, ..*state }, symbol as u8)
            }
            (Part::Zero | Part::Whole | Part::Fraction { .. }, 13) if self.is_met(state) => self.exponent(state),
            (Part::Exponent(exponents), MINUS) => signed(exponents, Exponents::NotPositive),
            (Part::Exponent(exponents), PLUS) => signed(exponents, Exponents::NotNegative),
            (Part::Exponent(exponents), 0..10) => {
                signed(exponents, Exponents::NotNegative).and_then(|state| exponent_digit(&state, symbol))
            }
            (Part::SignedExponent(_) | Part::ExponentDigits(_), 0..10) => exponent_digit(state, symbol),
            _ => None,
        }
    }

    fn digit(&mut self, state: &State, digit: u8) -> Option<State> {
        let magnitudes = self.magnitudes(state)?;
        let compare = |cut: &Option<Cut>, compared| cut.as_ref().map_or(compared, |cut| cut.digit(compared, digit));
        let (low, high) = (compare(&magnitudes.low, state.low), compare(&magnitudes.high, state.high));
        if low == Compared::Less || high == Compared::Greater {
            return None;
        }
        let (mut remainder, mut decimals) = (0, 0);
        if let Some(multiple) = &mut self.multiple {
            if matches!(state.part, Part::Fraction { .. }) {
                remainder = multiple.fraction_digit(state.remainder, state.decimals, digit)?;
                decimals = (state.decimals + 1).min(multiple.decimals);
            } else {
                remainder = multiple.whole_digit(state.remainder, digit);
            }
        }
        Some(State { low, high, remainder, decimals, ..*state })
    }

    fn point(&mut self, state: &State) -> Option<State> {
        let magnitudes = self.magnitudes(state)?;
        let compare = |cut: &Option<Cut>, compared| cut.as_ref().map_or(compared, |cut| cut.point(compared));
        let (low, high) = (compare(&magnitudes.low, state.low), compare(&magnitudes.high, state.high));
        if low == Compared::Less || high == Compared::Greater {
            return None;
        }
        let remainder = match &mut self.multiple {
            None => 0,
            Some(multiple) => multiple.point(state.remainder)?,
        };
        Some(State { part: Part::Point, low, high, remainder, ..*state })
    }

    fn exponent(&self, state: &State) -> Option<State> {
        let exponents = self.magnitudes(state)?.exponents;
        let is_read = self.spelling == Spelling::Any && !self.digits_only;
        is_read.then_some(State { part: Part::Exponent(exponents), ..START })
    }
}

const START: State = State {
    part: Part::Start,
    negative: false,
    low: Compared::Whole(0, Ordering::Equal),
    high: Compared::Whole(0, Ordering::Equal),
    remainder: 0,
    decimals: 0,
};

/// After an exponent's sign, which is `+` where there is none: what it may be at all, and this side of zero.
fn signed(exponents: Exponents, side: Exponents) -> Option<State> {
    let digits = if exponents == Exponents::Any || exponents == side { Exponents::Any } else { Exponents::Zero };
    Some(State { part: Part::SignedExponent(digits), ..START })
}

fn exponent_digit(state: &State, digit: usize) -> Option<State> {
    match state.part {
        Part::SignedExponent(exponents) | Part::ExponentDigits(exponents) => {
            let is_in = exponents == Exponents::Any || digit == 0;
            is_in.then_some(State { part: Part::ExponentDigits(exponents), ..START })
        }
        _ => None,
    }
}

/// The texts of the numbers meant, and what of them is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberTexts {
    /// None: there is no such number.
    pub automaton: Option<Automaton>,
    /// Which spellings of numbers meant are left out, as no finite automaton can tell them.
    pub narrowed: Option<&'static str>,
}

/// The texts of the numbers meant, as a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberTerm {
    /// `Terms::EMPTY` if there is no such number.
    pub term: TermId,
    /// As `NumberTexts::narrowed`.
    pub narrowed: Option<&'static str>,
}

/// The texts of the numbers meant.
pub fn term(spec: &NumberSpec, spelling: Spelling, terms: &mut Terms, fuel: &mut Fuel) -> Result<NumberTerm> {
    let NumberTexts { automaton, narrowed } = texts(spec, spelling, fuel)?;
    Ok(NumberTerm { term: automaton.map_or(Terms::EMPTY, |automaton| terms.automaton(automaton)), narrowed })
}

/// The texts of one number: its digits with zeros behind its fraction, and with one digit before the point, the others
/// behind it, and the exponent that makes up for it. The usual one of `Canonical` has an exponent from 10^21 on and below
/// 10^-6, as ECMAScript writes numbers.
pub fn equal_to(value: &Decimal, spelling: Spelling, terms: &mut Terms, fuel: &mut Fuel) -> Result<TermId> {
    fuel.spend(value.digits.len() as u64)?;
    let text = |digits: &[u8]| -> String { digits.iter().map(|digit| char::from(b'0' + digit)).collect() };
    let is_any = spelling == Spelling::Any;
    let places = value.places();
    let mut spellings = vec![];
    if value.is_zero() || (-5..=21).contains(&places) || is_any && value.plain().is_ok() {
        let (whole, fraction) = value.plain()?;
        let (whole, fraction) = (terms.literal(&text(&whole)), fraction_of(&text(&fraction), is_any, terms));
        spellings.push(terms.concat(whole, fraction));
    }
    if is_any || spellings.is_empty() {
        let (first, others) = value.digits.split_first().unwrap_or((&0, &[]));
        let (first, others) = (terms.literal(&text(&[*first])), fraction_of(&text(others), is_any, terms));
        let exponent = if value.is_zero() { any_exponent(terms) } else { exponent_of(places - 1, is_any, terms) };
        let others = terms.concat(others, exponent);
        spellings.push(terms.concat(first, others));
    }
    let magnitude = terms.alternation(spellings);
    let minus = terms.literal("-");
    let negative = terms.concat(minus, magnitude);
    Ok(match value {
        _ if value.is_negative() => negative,
        _ if value.is_zero() && is_any => terms.alternation(vec![magnitude, negative]),
        _ => magnitude,
    })
}

/// The point and the digits behind it, if there are any; `with_zeros`, more zeros.
fn fraction_of(digits: &str, with_zeros: bool, terms: &mut Terms) -> TermId {
    let literal = if digits.is_empty() { Terms::EPSILON } else { terms.literal(&format!(".{digits}")) };
    if !with_zeros {
        return literal;
    }
    let (zero, point) = (terms.literal("0"), terms.literal("."));
    if !digits.is_empty() {
        let zeros = terms.repeat(zero, 0, UNBOUNDED);
        return terms.concat(literal, zeros);
    }
    let zeros = terms.repeat(zero, 1, UNBOUNDED);
    let zeros = terms.concat(point, zeros);
    terms.alternation(vec![Terms::EPSILON, zeros])
}

/// `e` and this exponent; `in_any_way`, with or without its sign and zeros before it.
fn exponent_of(exponent: i64, in_any_way: bool, terms: &mut Terms) -> TermId {
    if !in_any_way {
        return terms.literal(&format!("e{exponent:+}"));
    }
    let letter = terms.class(&[(0x45, 0x45), (0x65, 0x65)]);
    let sign = match exponent {
        0 => terms.class(&[(0x2b, 0x2b), (0x2d, 0x2d)]),
        1.. => terms.literal("+"),
        _ => terms.literal("-"),
    };
    let sign = if exponent < 0 { sign } else { terms.alternation(vec![Terms::EPSILON, sign]) };
    let (zero, digits) = (terms.literal("0"), terms.literal(&exponent.unsigned_abs().to_string()));
    let zeros = terms.repeat(zero, 0, UNBOUNDED);
    [zeros, sign, letter].into_iter().fold(digits, |rest, part| terms.concat(part, rest))
}

fn any_exponent(terms: &mut Terms) -> TermId {
    let letter = terms.class(&[(0x45, 0x45), (0x65, 0x65)]);
    let sign = terms.class(&[(0x2b, 0x2b), (0x2d, 0x2d)]);
    let sign = terms.alternation(vec![Terms::EPSILON, sign]);
    let digit = terms.class(&[(0x30, 0x39)]);
    let digits = terms.repeat(digit, 1, UNBOUNDED);
    [sign, letter].into_iter().fold(digits, |rest, part| terms.concat(part, rest))
}

const LEFT_OUT: &str = "exponents with which some mantissa of the range would leave it are left out";

/// The texts of the numbers meant. An error if a bound has too many digits, or if telling multiples takes too many states.
pub fn texts(spec: &NumberSpec, spelling: Spelling, fuel: &mut Fuel) -> Result<NumberTexts> {
    let reader = Reader::new(spec, spelling, fuel)?;
    let is_exact = spelling == Spelling::Canonical || reader.is_exact();
    let narrowed = (!is_exact).then_some(LEFT_OUT);
    let reader = RefCell::new(reader);
    let next = |state: &State, symbol| reader.borrow_mut().next(state, symbol);
    let automaton = Automaton::new(&ALPHABET, START, next, |state| reader.borrow().accepts(state), fuel)?;
    Ok(NumberTexts { automaton, narrowed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use proptest::prelude::*;

    fn fuel() -> Fuel {
        Fuel::new("grammar_compile_fuel", Limits::DEFAULT.grammar_compile_fuel)
    }

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    fn made(spec: &NumberSpec, spelling: Spelling) -> Option<Automaton> {
        super::texts(spec, spelling, &mut fuel()).unwrap().automaton
    }

    fn is_in(automaton: Option<&Automaton>, text: &str) -> bool {
        let end = automaton.and_then(|of| text.bytes().try_fold(0, |state, byte| of.next(state, u32::from(byte))));
        automaton.zip(end).is_some_and(|(of, state)| of.accepts(state))
    }

    /// A number's text as JSON has it, taken apart: sign, digits before and after the point, exponent.
    fn taken_apart(text: &str) -> Option<(bool, &str, Option<&str>, Option<&str>)> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).map_or((rest, None), |(m, e)| (m, Some(e)));
        let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_number = digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(digits)
            && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
        is_number.then_some((negative, whole, fraction, exponent))
    }

    const SCALE: i32 = 12;

    /// Times 10^12, exactly.
    fn scaled(text: &str) -> i128 {
        let (negative, whole, fraction, exponent) = taken_apart(text).unwrap();
        let fraction = fraction.unwrap_or("");
        let power = SCALE - fraction.len() as i32 + exponent.map_or(0, |e| e.parse::<i32>().unwrap());
        let digits: i128 = format!("{whole}{fraction}").parse().unwrap();
        let value = if power >= 0 {
            digits * 10i128.pow(power as u32)
        } else {
            assert_eq!(digits % 10i128.pow(-power as u32), 0, "{text} is too fine for this test");
            digits / 10i128.pow(-power as u32)
        };
        if negative { -value } else { value }
    }

    /// The slow, obvious judge.
    fn is_meant(spec: &NumberSpec, bounds: &Texts, text: &str) -> bool {
        let value = scaled(text);
        let (_, _, fraction, exponent) = taken_apart(text).unwrap();
        let low = |&(bound, exclusive): &(&str, bool)| value > scaled(bound) || !exclusive && value == scaled(bound);
        let high = |&(bound, exclusive): &(&str, bool)| value < scaled(bound) || !exclusive && value == scaled(bound);
        bounds.minimum.iter().all(low)
            && bounds.maximum.iter().all(high)
            && bounds.multiple_of.iter().all(|of| value % scaled(of) == 0)
            && (!spec.integer || value % 10i128.pow(SCALE as u32) == 0)
            && !(spec.integer && spec.digits_only && (fraction.is_some() || exponent.is_some()))
    }

    #[derive(Debug, Clone, Default)]
    struct Texts {
        minimum: Option<(&'static str, bool)>,
        maximum: Option<(&'static str, bool)>,
        multiple_of: Vec<&'static str>,
    }

    fn spec(integer: bool, digits_only: bool, texts: &Texts) -> NumberSpec {
        let bound = |(text, exclusive)| Bound { value: decimal(text), exclusive };
        NumberSpec {
            integer,
            digits_only,
            minimum: texts.minimum.map(bound),
            maximum: texts.maximum.map(bound),
            multiple_of: texts.multiple_of.iter().map(|text| decimal(text)).collect(),
        }
    }

    fn is_canonical(text: &str) -> bool {
        let (negative, whole, fraction, exponent) = taken_apart(text).unwrap();
        exponent.is_none()
            && fraction.is_none_or(|f| !f.ends_with('0'))
            && !(negative && whole == "0" && fraction.is_none())
    }

    const BOUNDS: [&str; 16] = [
        "0", "1", "-1", "5", "10", "-10", "99", "100", "-100", "0.5", "-0.5", "1.25", "-12.05", "0.001", "1e2", "12e-1",
    ];
    const MULTIPLES: [&str; 14] =
        ["1", "2", "3", "4", "7", "10", "25", "64", "1000", "0.5", "0.01", "0.25", "1.5", "3e-2"];

    fn texts() -> impl Strategy<Value = Texts> {
        let bound = || prop::option::of((prop::sample::select(&BOUNDS[..]), any::<bool>()));
        let multiples = prop::collection::vec(prop::sample::select(&MULTIPLES[..]), 0..3);
        (bound(), bound(), multiples).prop_map(|(minimum, maximum, multiple_of)| Texts {
            minimum,
            maximum,
            multiple_of,
        })
    }

    /// Every whole part to 1100, every fraction of a few, every exponent of a few.
    fn spellings() -> Vec<String> {
        let fractions = ["", ".0", ".00", ".5", ".50", ".25", ".05", ".001", ".0010", ".125", ".999", ".01", ".2000"];
        let exponents = ["", "e0", "E+0", "e-0", "e1", "E+01", "e-1", "e2", "e-2"];
        let mut all = vec![];
        for whole in (0..=130).chain([199, 250, 999, 1000, 1001, 1050, 1100, 2000, 64000, 100_000]) {
            for fraction in fractions {
                for exponent in exponents {
                    all.push(format!("{whole}{fraction}{exponent}"));
                    all.push(format!("-{whole}{fraction}{exponent}"));
                }
            }
        }
        all
    }

    #[test]
    fn decimals_compare_as_numbers() {
        let all = spellings();
        for (a, b) in all.iter().zip(all.iter().skip(977)).chain(all.iter().zip(all.iter().rev())) {
            assert_eq!(decimal(a).cmp(&decimal(b)), scaled(a).cmp(&scaled(b)), "{a} {b}");
            assert_eq!(decimal(a) == decimal(b), scaled(a) == scaled(b), "{a} {b}");
        }
        for text in &all {
            assert_eq!(decimal(text).is_integer(), scaled(text) % 10i128.pow(SCALE as u32) == 0, "{text}");
        }
        let ascending =
            ["-1e999999999999999999999", "-1e300", "-1", "-1e-320", "0", "1e-320", "1e300", "1e301", "1e9999"];
        assert!(ascending.map(decimal).is_sorted());
        assert_eq!(decimal("0e99999999999999999999999"), decimal("-0.000"));
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for text in
            ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "1 ", "NaN", "--1", "1.5.5", "1e5e5", "\u{663}"]
        {
            assert!(matches!(Decimal::parse(text), Err(Error::Grammar { .. })), "{text}");
        }
        assert!(matches!(Decimal::parse(&"7".repeat(401)), Err(Error::Limit { .. })));
        assert!(Decimal::parse(&format!("7{}", "0".repeat(4000))).is_ok());
    }

    #[test]
    fn every_number_is_every_text_of_a_number() {
        let all = made(&NumberSpec::default(), Spelling::Any);
        let integers = made(&NumberSpec { integer: true, digits_only: true, ..NumberSpec::default() }, Spelling::Any);
        let usual = made(&NumberSpec::default(), Spelling::Canonical);
        assert_eq!(all.as_ref().map(Automaton::states), Some(9));
        let symbols = *b"-+.eE0179";
        for i in 0..symbols.len().pow(6) {
            let text: Vec<u8> =
                (0..1 + i % 6).map(|k| symbols[i / symbols.len().pow(k as u32) % symbols.len()]).collect();
            let text = String::from_utf8(text).unwrap();
            let apart = taken_apart(&text);
            assert_eq!(is_in(all.as_ref(), &text), apart.is_some(), "{text}");
            assert_eq!(is_in(integers.as_ref(), &text), matches!(apart, Some((_, _, None, None))), "{text}");
            assert_eq!(is_in(usual.as_ref(), &text), apart.is_some() && is_canonical(&text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_read_if_its_number_is_meant(texts in texts(), integer: bool, digits_only: bool) {
            let spec = spec(integer, digits_only, &texts);
            let (any, usual) = (made(&spec, Spelling::Any), made(&spec, Spelling::Canonical));
            let exact = super::texts(&spec, Spelling::Any, &mut fuel()).unwrap().narrowed.is_none();
            for text in spellings() {
                let meant = is_meant(&spec, &texts, &text);
                let read = is_in(any.as_ref(), &text);
                let has_exponent = text.contains(['e', 'E']);
                prop_assert!(!read || meant, "{text} is read and not meant");
                prop_assert!(read || !meant || has_exponent && !exact, "{text} is meant and not read");
                prop_assert_eq!(is_in(usual.as_ref(), &text), meant && is_canonical(&text), "{}", text);
            }
        }
    }

    #[test]
    fn exponents_where_the_range_is_free() {
        let at = |minimum, maximum, integer| spec(integer, false, &Texts { minimum, maximum, multiple_of: vec![] });
        for (spec, read, left_out) in [
            (at(None, None, false), &["1e400", "-1.5E-400", "0e0"][..], &[][..]),
            (at(None, None, true), &["1e2", "-100.0e+5", "3e00"], &["1e-1", "10e-1", "1.5e1"]),
            (at(Some(("0", false)), None, false), &["1.5e-9", "0.001e9", "-0e9"], &["-1e9"]),
            (at(Some(("0", true)), None, false), &["1.5e-9", "0.001e9"], &["0e9", "-0e9"]),
            (at(Some(("2.5", false)), None, false), &["2.5e0", "1000e99"], &["2.4e1", "3e-1"]),
            (at(None, Some(("-2.5", true)), false), &["-2.51e0", "-1000e99"], &["-2.5e1", "3e1"]),
            (at(Some(("-90", false)), Some(("90", false)), false), &["1e-5", "-90e-5", "90e0"], &["9e1", "91e-1"]),
            (at(Some(("1", false)), Some(("90", false)), false), &["1e0", "90e-0"], &["9e1", "10e-1"]),
        ] {
            let automaton = made(&spec, Spelling::Any);
            read.iter().for_each(|text| assert!(is_in(automaton.as_ref(), text), "{spec:?} {text}"));
            left_out.iter().for_each(|text| assert!(!is_in(automaton.as_ref(), text), "{spec:?} {text}"));
            assert!(made(&spec, Spelling::Canonical).is_none_or(|of| of.next(0, 0x65).is_none()));
        }
    }

    #[test]
    fn every_text_of_one_number() {
        let mut terms = Terms::new();
        let all = spellings();
        for value in ["0", "-0.0", "1", "-1.50", "100", "1e2", "0.001", "12.5", "-1000", "2000e-3", "1e3", "130"] {
            let any = equal_to(&decimal(value), Spelling::Any, &mut terms, &mut fuel()).unwrap();
            let usual = equal_to(&decimal(value), Spelling::Canonical, &mut terms, &mut fuel()).unwrap();
            for text in &all {
                let (_, whole, _, exponent) = taken_apart(text).unwrap();
                let equal = scaled(text) == scaled(value);
                let is_one = exponent.is_none() || scaled(value) == 0 || whole.len() == 1 && whole != "0";
                assert_eq!(terms.matches(any, text, &mut fuel()).unwrap(), equal && is_one, "{value} {text}");
                let is_usual = terms.matches(usual, text, &mut fuel()).unwrap();
                assert_eq!(is_usual, equal && is_canonical(text), "{value} {text}");
            }
        }
        for (value, read, not_read) in [
            ("1e300", &["1e300", "1.0E+0300"][..], &["1e-300", "1e30", "10e299"][..]),
            ("-1.5e-320", &["-1.5e-320", "-1.500e-0320"], &["1.5e-320", "-1.5e320"]),
            ("1e5000", &["1e5000"], &["1e500"]),
            ("7", &["7e0", "7.0e-00", "7e+0"], &["7e1", "7e-", "70e-1"]),
        ] {
            let any = equal_to(&decimal(value), Spelling::Any, &mut terms, &mut fuel()).unwrap();
            let mut is_in = |text: &str| terms.matches(any, text, &mut fuel()).unwrap();
            assert!(read.iter().all(|text| is_in(text)) && !not_read.iter().any(|text| is_in(text)), "{value}");
        }
        for (value, usual) in [
            ("1e21", "1e+21"),
            ("1e20", "100000000000000000000"),
            ("-12e-8", "-1.2e-7"),
            ("1e-6", "0.000001"),
            ("123456789e300", "1.23456789e+308"),
        ] {
            let term = equal_to(&decimal(value), Spelling::Canonical, &mut terms, &mut fuel()).unwrap();
            assert_eq!(terms.texts(term, 2, &mut fuel()).unwrap(), Some(vec![usual.to_owned()]));
        }
    }

    #[test]
    fn a_term_of_numbers_reads_as_its_automaton() {
        let mut terms = Terms::new();
        let texts = Texts { minimum: Some(("-12.05", false)), maximum: Some(("100", true)), multiple_of: vec!["0.05"] };
        let spec = spec(false, false, &texts);
        let NumberTerm { term, narrowed } = super::term(&spec, Spelling::Any, &mut terms, &mut fuel()).unwrap();
        assert_eq!(narrowed, Some(LEFT_OUT));
        let automaton = made(&spec, Spelling::Any);
        for text in spellings() {
            let read = terms.matches(term, &text, &mut fuel()).unwrap();
            assert_eq!(read, is_in(automaton.as_ref(), &text), "{text}");
        }
        let none = NumberSpec { maximum: spec.minimum.clone(), minimum: spec.maximum.clone(), ..spec };
        assert_eq!(super::term(&none, Spelling::Any, &mut terms, &mut fuel()).unwrap().term, Terms::EMPTY);
    }

    #[test]
    fn few_states() {
        let states = |minimum, maximum, multiple_of: &[&'static str]| {
            let texts = Texts { minimum, maximum, multiple_of: multiple_of.to_vec() };
            made(&spec(true, false, &texts), Spelling::Any).map_or(0, |of| of.states())
        };
        let (long, longer) = (Some(("-123456789012345", false)), Some(("987654321098765", true)));
        assert!(states(long, longer, &[]) <= 100, "{}", states(long, longer, &[]));
        assert!(states(Some(("0", false)), Some(("1e300", false)), &[]) <= 700);
        assert!(states(None, None, &["1000000"]) <= 20, "{}", states(None, None, &["1000000"]));
        assert!(states(None, None, &["1024"]) <= 170, "{}", states(None, None, &["1024"]));
        assert!(states(None, None, &["7"]) <= 20);
        assert!(states(None, None, &["0.5", "7", "1e-320"]) <= 20);
        assert_eq!(states(Some(("5", false)), Some(("2", false)), &[]), 0);
        assert_eq!(states(Some(("5", true)), Some(("5", false)), &[]), 0);
        assert_eq!(states(Some(("8", false)), Some(("13", false)), &["7"]), 0);
    }

    #[test]
    fn what_is_too_much_is_an_error() {
        let of = |minimum, multiple_of: &[&'static str]| {
            let spec = spec(true, false, &Texts { minimum, maximum: None, multiple_of: multiple_of.to_vec() });
            super::texts(&spec, Spelling::Any, &mut fuel()).err()
        };
        assert!(matches!(of(Some(("1e401", false)), &[]), Some(Error::Limit { limit: "grammar_number_digits", .. })));
        assert!(matches!(of(Some(("-1e-9999999", false)), &[]), Some(Error::Limit { .. })));
        assert!(matches!(of(None, &["1e300"]), Some(Error::Limit { limit: "grammar_number_digits", .. })));
        assert!(matches!(of(None, &["0.123456789"]), Some(Error::Limit { limit: "grammar_compile_fuel", .. })));
        assert!(matches!(of(None, &["999999999989"]), Some(Error::Limit { limit: "grammar_compile_fuel", .. })));
        assert!(matches!(of(None, &["999983", "1000003", "999979", "7"]), Some(Error::Limit { .. })));
        assert!(matches!(of(None, &["0"]), Some(Error::Grammar { .. })));
    }
}
