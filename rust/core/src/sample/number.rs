//! Powers and logarithms in f64 by `+ - * /` alone: the same bits on every machine, whatever its library rounds to.

use std::f64::consts::{LN_2, LOG2_E};

/// The base-2 logarithm of a positive, normal number.
pub(super) fn log2(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1022;
    let mut mantissa = f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52);
    if mantissa < std::f64::consts::FRAC_1_SQRT_2 {
        mantissa *= 2.0;
        exponent -= 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut series = 0.0;
    for k in (1..=23).rev().step_by(2) {
        series = series * square + 1.0 / f64::from(k);
    }
    series * s * 2.0 * LOG2_E + exponent as f64
}

/// 2^y; 0 below -1000, infinity above 1000.
pub(super) fn power2(y: f64) -> f64 {
    if y < -1000.0 {
        return 0.0;
    }
    if y > 1000.0 {
        return f64::INFINITY;
    }
    let n = (y + 0.5).floor();
    let z = (y - n) * LN_2;
    let mut series = 1.0;
    for k in (1..=16).rev() {
        series = series * z / f64::from(k) + 1.0;
    }
    series * f64::from_bits(((n as i64 + 1023) as u64) << 52)
}

/// `base` to any power; the base is not negative.
pub(super) fn power(base: f64, exponent: f64) -> f64 {
    match (base, exponent) {
        (_, 0.0) => 1.0,
        (0.0, _) => 0.0,
        _ => power2(exponent * log2(base)),
    }
}

/// By squaring, lowest bit first.
pub(super) fn whole_power(mut base: f64, mut exponent: u32) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_the_library() {
        for i in 1..4000 {
            let x = f64::from(i) * 0.37;
            assert!((log2(x) - x.log2()).abs() <= 4e-16 * x.log2().abs().max(1.0), "{x}");
            let y = f64::from(i - 2000) * 0.317;
            assert!((power2(y) / y.exp2() - 1.0).abs() < 1e-15, "{y}");
        }
        assert_eq!((log2(1.0), log2(8.0), power2(0.0), power2(-3.0)), (0.0, 3.0, 1.0, 0.125));
        assert_eq!(whole_power(1.75, 10), 1.75_f64.powi(10));
        assert_eq!((power(0.0, 0.0), power(0.0, 2.0), power2(-1e9), power2(1e9)), (1.0, 0.0, 0.0, f64::INFINITY));
    }
}
