//! Exact decimals, of any exponent. What a schema does with them is not known here.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::limits::{Limits, within};

/// `digits`, without zeros at either end, times ten to the `exponent`. Zero has no digits and is not negative.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    pub(super) negative: bool,
    pub(super) digits: Vec<u8>,
    pub(super) exponent: i64,
}

impl Decimal {
    /// Of a number's text in JSON. An error if it is none, or has more digits than `grammar_number_digits`.
    pub fn parse(text: &str) -> Result<Self> {
        let not_one = || Error::Grammar { position: None, what: format!("{text:.40} is not a number of JSON") };
        let (negative, magnitude) = text.strip_prefix('-').map_or((false, text), |magnitude| (true, magnitude));
        let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
            None => (magnitude, 0),
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent).ok_or_else(not_one)?),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || whole.len() > 1 && whole.starts_with('0') {
            return Err(not_one());
        }
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect();
        let (Some(first), Some(last)) = (all.iter().position(|&d| d != 0), all.iter().rposition(|&d| d != 0)) else {
            return Ok(Self { negative: false, digits: vec![], exponent: 0 });
        };
        let digits = &all[first..=last];
        within("grammar_number_digits", digits.len(), Limits::DEFAULT.grammar_number_digits)?;
        let places = whole.len() as i64 - 1 - last as i64;
        Ok(Self { negative, digits: digits.to_vec(), exponent: exponent.saturating_add(places) })
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Whether it is an integer, however it was spelled.
    pub fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    pub(super) fn one() -> Self {
        Self { negative: false, digits: vec![1], exponent: 0 }
    }

    pub(super) fn negated(&self) -> Self {
        Self { negative: !self.negative && !self.is_zero(), ..self.clone() }
    }

    /// Digits before the point, were it written without an exponent; not positive if it begins with `0.`.
    pub(super) fn places(&self) -> i64 {
        self.exponent.saturating_add(self.digits.len() as i64)
    }

    /// The digits of its magnitude before the point, at least one, and after it, without zeros at the end.
    pub(super) fn plain(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let (places, n) = (self.places(), self.digits.len() as i64);
        let written = places.max(n).max(n.saturating_sub(places));
        within("grammar_number_digits", written as usize, Limits::DEFAULT.grammar_number_digits)?;
        let digit = |at: i64| usize::try_from(at).ok().and_then(|at| self.digits.get(at)).copied().unwrap_or(0);
        let whole = if places > 0 { (0..places).map(digit).collect() } else { vec![0] };
        Ok((whole, (places..n).map(digit).collect()))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| if number.is_zero() { 0 } else { 1 - 2 * i8::from(number.negative) };
        let by_magnitude = || (self.places(), &self.digits).cmp(&(other.places(), &other.digits));
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => by_magnitude(),
            _ => by_magnitude().reverse(),
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Saturated where it makes no difference: nothing is that long.
fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let step = |sum: i64, digit: u8| (10 * sum + i64::from(digit - b'0')).min(i64::MAX / 100);
    let magnitude = digits.bytes().fold(0, step);
    Some(if negative { -magnitude } else { magnitude })
}
