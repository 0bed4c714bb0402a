//! Grammars: which texts a request may come to, and of each unfinished text which tokens may come next.

pub mod alternatives;
pub mod automaton;
pub mod hash;
pub mod index;
pub mod json;
pub mod number;
pub mod reader;
pub mod schema;
pub mod signature;
pub mod term;
pub mod terminal;
pub mod trie;
