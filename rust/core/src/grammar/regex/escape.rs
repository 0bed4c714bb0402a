//! Classes and escapes of the dialects. Unicode's tables are those of the regex-syntax crate.

use super::Dialect;
use crate::error::{Error, Result};
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// Code points, inclusive.
pub(super) type Ranges = Vec<(u32, u32)>;

pub(super) fn error(position: usize, what: impl Into<String>) -> Error {
    Error::Grammar { position: Some(position), what: what.into() }
}

/// All code points that are in none of some ranges in any order.
pub(super) fn negated(ranges: &[(u32, u32)]) -> Ranges {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut rest = Vec::with_capacity(sorted.len() + 1);
    let mut next = 0;
    for (low, high) in sorted {
        if low > next {
            rest.push((next, low - 1));
        }
        next = next.max(high.saturating_add(1));
    }
    if next <= u32::from(char::MAX) {
        rest.push((next, char::MAX.into()));
    }
    rest
}

/// With all that simple case folding takes for the same.
pub(super) fn folded(ranges: &[(u32, u32)]) -> Ranges {
    // Surrogates fold to nothing, and a class of the library holds none.
    let halves = |&(low, high): &(u32, u32)| [(low, high.min(0xD7FF)), (low.max(0xE000), high)];
    let scalars = ranges.iter().flat_map(halves).filter_map(|(low, high)| {
        let (low, high) = (char::from_u32(low)?, char::from_u32(high)?);
        (low <= high).then(|| ClassUnicodeRange::new(low, high))
    });
    let mut class = ClassUnicode::new(scalars);
    // Without its tables the crate would not have been built.
    if class.try_case_fold_simple().is_err() {
        return ranges.to_vec();
    }
    of(&class)
}

fn of(class: &ClassUnicode) -> Ranges {
    class.iter().map(|range| (range.start().into(), range.end().into())).collect()
}

/// `\p{name}`, or any other class the library can parse.
fn library_class(pattern: &str) -> Option<Ranges> {
    match regex_syntax::parse(pattern).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(of(&class)),
        HirKind::Literal(literal) => {
            let c = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
            Some(vec![(c.into(), c.into())])
        }
        _ => None,
    }
}

/// The code points with a property: a general category, a script (`Script=`, `sc=`, `scx=`), or a binary property.
pub(super) fn property(name: &str, negative: bool, position: usize) -> Result<Ranges> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '=' | '-' | ' ');
    let known =
        (!name.is_empty() && name.chars().all(plain)).then(|| library_class(&format!("\\p{{{name}}}"))).flatten();
    let ranges = known.ok_or_else(|| error(position, format!("there is no Unicode property {name:?}")))?;
    Ok(if negative { negated(&ranges) } else { ranges })
}

/// A POSIX class as in `[[:alpha:]]`.
pub(super) fn posix(name: &str, position: usize) -> Result<Ranges> {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '^');
    let known = plain.then(|| library_class(&format!("[[:{name}:]]"))).flatten();
    known.ok_or_else(|| error(position, format!("there is no class [:{name}:]")))
}

pub(super) fn digit(dialect: Dialect) -> Ranges {
    match dialect {
        Dialect::Ecma => vec![(0x30, 0x39)],
        Dialect::Python => library_class(r"\d").unwrap_or_default(),
    }
}

pub(super) fn word(dialect: Dialect) -> Ranges {
    match dialect {
        Dialect::Ecma => vec![(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)],
        Dialect::Python => library_class(r"\w").unwrap_or_default(),
    }
}

pub(super) fn space(dialect: Dialect) -> Ranges {
    match dialect {
        // WhiteSpace and LineTerminator of ECMA-262.
        Dialect::Ecma => vec![
            (0x09, 0x0D),
            (0x20, 0x20),
            (0xA0, 0xA0),
            (0x1680, 0x1680),
            (0x2000, 0x200A),
            (0x2028, 0x2029),
            (0x202F, 0x202F),
            (0x205F, 0x205F),
            (0x3000, 0x3000),
            (0xFEFF, 0xFEFF),
        ],
        Dialect::Python => library_class(r"\s").unwrap_or_default(),
    }
}

/// What ends a line.
pub(super) fn line_terminator(dialect: Dialect) -> Ranges {
    match dialect {
        Dialect::Ecma => vec![(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)],
        Dialect::Python => vec![(0x0A, 0x0A)],
    }
}
