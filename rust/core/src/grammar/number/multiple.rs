//! What is left of a number of which a multiple is wanted, digit by digit. Signs, points and ranges are not known here.

use super::super::automaton::COST_OF_A_STATE;
use super::super::hash::Map;
use super::decimal::Decimal;
use crate::error::{Error, Result};
use crate::limits::{Fuel, Limits, within};

/// Multiples of `modulus / 10^decimals`.
///
/// After some digits before the point only the remainder counts, and of it only which digits could still follow: those
/// that some further `n` digits make whole, for each `n`. Remainders that are alike in that are one, which makes a
/// multiple of a million 7 remainders, not a million.
pub(super) struct Multiple {
    modulus: u64,
    /// Digits after the point that a multiple may have.
    pub(super) decimals: usize,
    /// Ten to the `n`, modulo the modulus.
    powers: Vec<u64>,
    /// How many of them are less than the modulus.
    n_short: usize,
    /// The remainder before the point that stands for each.
    alike: Map<u64, u64>,
    first: Map<Vec<Option<u64>>, u64>,
    /// The one after the point, by the digits to come and what they must be.
    first_in_fraction: Map<(usize, u64), u64>,
}

/// A number as a product of powers of two and five and of what neither divides.
#[derive(Clone, Copy)]
struct Factors {
    rest: u128,
    twos: i64,
    fives: i64,
}

/// So that a product of two remainders is a `u128`, and more: so that as many states are far beyond any fuel.
const MAX_MODULUS: u128 = 1_000_000_000_000_000_000;

fn too_large() -> Error {
    let maximum = Limits::DEFAULT.grammar_number_digits as u64;
    Error::Limit { limit: "grammar_number_digits", got: maximum + 1, maximum }
}

impl Factors {
    fn of(number: &Decimal) -> Result<Self> {
        let digit = |sum: u128, &digit: &u8| sum.checked_mul(10)?.checked_add(u128::from(digit));
        let mut rest = number.digits.iter().try_fold(0, digit).ok_or_else(too_large)?;
        let (mut twos, mut fives) = (number.exponent, number.exponent);
        while rest != 0 && rest.is_multiple_of(2) {
            (rest, twos) = (rest / 2, twos + 1);
        }
        while rest != 0 && rest.is_multiple_of(5) {
            (rest, fives) = (rest / 5, fives + 1);
        }
        Ok(Self { rest, twos, fives })
    }

    /// The least common multiple.
    fn and(self, other: Self) -> Result<Self> {
        let (mut a, mut b) = (self.rest, other.rest);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let rest = (self.rest / a).checked_mul(other.rest).ok_or_else(too_large)?;
        Ok(Self { rest, twos: self.twos.max(other.twos), fives: self.fives.max(other.fives) })
    }
}

impl Multiple {
    /// Of all of these, none of which is zero; none if there are none.
    ///
    /// Remainders of what neither two nor five divides are all told apart: the states for them are paid here, before any
    /// is made, as a large number's would end the fuel only after seconds.
    pub(super) fn new(of: &[Decimal], fuel: &mut Fuel) -> Result<Option<Self>> {
        let mut all: Option<Factors> = None;
        for number in of {
            let factors = Factors::of(number)?;
            all = Some(all.map_or(Ok(factors), |all| all.and(factors))?);
        }
        let Some(Factors { rest, twos, fives }) = all else { return Ok(None) };
        fuel.spend(u64::try_from(rest).unwrap_or(u64::MAX).saturating_mul(COST_OF_A_STATE / 2))?;
        let decimals = 0.max(-twos).max(-fives);
        within("grammar_number_digits", decimals as usize, Limits::DEFAULT.grammar_number_digits)?;
        let power = |base: u128, exponent: i64| base.checked_pow(u32::try_from(exponent).ok()?);
        let modulus = power(2, twos + decimals).zip(power(5, fives + decimals)).and_then(|(twos, fives)| {
            rest.checked_mul(twos)?.checked_mul(fives).filter(|&modulus| modulus <= MAX_MODULUS)
        });
        let modulus = modulus.ok_or_else(too_large)? as u64;
        let mut powers = vec![1 % modulus];
        let (mut power, mut n_short) = (1u128, 0);
        while powers.len() <= decimals as usize || power < u128::from(modulus) {
            n_short += usize::from(power < u128::from(modulus));
            power = (10 * power).min(MAX_MODULUS);
            let last = powers.last().map_or(0, |&last| u128::from(last));
            powers.push((10 * last % u128::from(modulus)) as u64);
        }
        let (alike, first, first_in_fraction) = (Map::default(), Map::default(), Map::default());
        Ok(Some(Self { modulus, decimals: decimals as usize, powers, n_short, alike, first, first_in_fraction }))
    }

    /// What `n` digits must be, modulo the modulus, to make a multiple of a number whose remainder is `remainder`; none
    /// if so few digits cannot be that.
    fn completion(&self, remainder: u64, n: usize) -> Option<u64> {
        let shifted = (u128::from(remainder) * u128::from(self.powers[n]) % u128::from(self.modulus)) as u64;
        let wanted = (self.modulus - shifted) % self.modulus;
        (n >= self.n_short || wanted < self.powers[n]).then_some(wanted)
    }

    fn with_digit(&self, remainder: u64, digit: u8) -> u64 {
        ((10 * u128::from(remainder) + u128::from(digit)) % u128::from(self.modulus)) as u64
    }

    /// The remainder after one more digit before the point.
    pub(super) fn whole_digit(&mut self, remainder: u64, digit: u8) -> u64 {
        let remainder = self.with_digit(remainder, digit);
        if !self.modulus.is_multiple_of(2) && !self.modulus.is_multiple_of(5) {
            return remainder;
        }
        if let Some(&same) = self.alike.get(&remainder) {
            return same;
        }
        let lengths = self.decimals..=self.decimals.max(self.n_short);
        let completions = lengths.map(|n| self.completion(remainder, n)).collect();
        let same = *self.first.entry(completions).or_insert(remainder);
        self.alike.insert(remainder, same);
        same
    }

    /// The remainder at the point.
    pub(super) fn point(&mut self, remainder: u64) -> Option<u64> {
        self.alike_in_fraction(remainder, self.decimals)
    }

    /// The remainder after one more digit after the point, of which `read` were read.
    pub(super) fn fraction_digit(&mut self, remainder: u64, read: usize, digit: u8) -> Option<u64> {
        match self.decimals.checked_sub(read + 1) {
            None => (digit == 0).then_some(remainder),
            Some(n) => self.alike_in_fraction(self.with_digit(remainder, digit), n),
        }
    }

    fn alike_in_fraction(&mut self, remainder: u64, n: usize) -> Option<u64> {
        let completion = self.completion(remainder, n)?;
        Some(*self.first_in_fraction.entry((n, completion)).or_insert(remainder))
    }

    /// Whether a number that ends with this remainder, after `read` digits after the point, is a multiple.
    pub(super) fn is_met(&self, remainder: u64, read: usize) -> bool {
        self.completion(remainder, self.decimals.saturating_sub(read)) == Some(0)
    }
}
