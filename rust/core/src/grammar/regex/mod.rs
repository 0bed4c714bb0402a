//! Patterns: a regular expression's text to the term of all texts it matches. `parser` reads, `escape` knows the dialects'
//! escapes and classes, `assertion` works in what stands around a place: anchors, word boundaries, look-around. JSON and
//! tokens are not known here.
//!
//! What no automaton can do (backreferences, recursion, conditions), or not as its dialect means it (atomic groups,
//! possessive quantifiers), is `Error::Grammar` with its byte. Nothing is approximated.

mod assertion;
mod escape;
mod parser;
#[cfg(test)]
mod tests;

use super::hash::fingerprint;
use super::term::{TermId, Terms};
use crate::error::Result;
use crate::limits::{Fuel, Limits, within};

/// Whose syntax and classes a pattern has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// ECMA-262 over code points (its `u` flag), as JSON Schema's `pattern`: `\d` and `\w` are ASCII, `.` stops at line
    /// terminators. Also taken is what Annex B allows and patterns in schemas have: needless escapes of punctuation, a
    /// brace that opens no quantifier.
    Ecma,
    /// What Python's `re` and Rust's `regex` share, and what one of them adds without contradicting the other: `\d`, `\w`,
    /// `\s` are Unicode's (UTS #18), `.` stops at `\n`, `$` is the end alone.
    Python,
}

/// Which texts a pattern stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchored {
    /// Those in which it matches somewhere.
    Search,
    /// Those it matches from end to end.
    Full,
}

/// The term of a pattern.
pub fn parse(
    pattern: &str,
    dialect: Dialect,
    anchored: Anchored,
    terms: &mut Terms,
    fuel: &mut Fuel,
) -> Result<TermId> {
    within("grammar_pattern_bytes", pattern.len(), Limits::DEFAULT.grammar_pattern_bytes)?;
    let tree = parser::parse(pattern, dialect, terms, fuel)?;
    assertion::term(tree, fingerprint(&(pattern, dialect)), anchored, terms, fuel)
}
