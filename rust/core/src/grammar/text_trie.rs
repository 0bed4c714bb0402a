//! Tokens as tries of their characters, the last of which may be partial: those that are text from the start of a
//! character on. What a token's characters mean to anyone is not known here.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::grammar::index::{NONE, SHORT};
use crate::grammar::partial::{Partial, Read, Wrapping};
use crate::grammar::signature::{self, Signature};
use crate::limits::{Limits, within};

/// A node of a trie of characters.
#[derive(Debug, Clone, Copy)]
pub struct TextNode {
    /// The code point that leads here; from `PARTIAL` on the number of a partial one; or `GATE`.
    pub symbol: u32,
    /// Characters from the root to here, this one included; of a gate, those to its parent.
    pub depth: u32,
    /// The token that ends here, or `NONE`.
    pub token: u32,
    /// Where the walk goes on that has nothing to seek below this node.
    pub skip: u32,
    /// The classes of every character on the way to a token at or below this node.
    pub signature: Signature,
}

impl TextNode {
    /// Symbols from here on are partial characters, which only end a token.
    pub const PARTIAL: u32 = 1 << 31;
    /// Stands before the children of one node that begin beyond ASCII: a state that reads none of them skips them all.
    pub const GATE: u32 = u32::MAX;
}

/// A trie of characters that is being made.
#[derive(Default)]
pub(super) struct TextTrie {
    nodes: Vec<TextNode>,
    /// Of each node the one it is a child of: `NONE` of the root's.
    parents: Vec<u32>,
    path: Vec<u32>,
    /// The gate before the children of the root, and of the node of depth 1 on the path.
    gates: [Option<u32>; 2],
    previous: Vec<u32>,
}

impl TextTrie {
    /// The tokens come in ascending order of their bytes, so those that share their first characters follow each other.
    fn push(&mut self, symbols: &[u32], token: u32) -> Result<()> {
        let mut common = self.previous.iter().zip(symbols).take_while(|(a, b)| a == b).count();
        if common == symbols.len() {
            common -= 1;
        }
        self.close(common);
        let nodes = self.nodes.len() + 2 * (symbols.len() - common);
        within("grammar_index_nodes", nodes, Limits::DEFAULT.grammar_index_nodes)?;
        for (depth, &symbol) in symbols.iter().enumerate().skip(common) {
            let parent = self.path.last().copied().unwrap_or(NONE);
            if symbol >= 0x80 && self.gates.get(depth) == Some(&None) {
                self.gates[depth] = Some(self.nodes.len() as u32);
                self.add(TextNode::GATE, depth, parent);
            }
            self.path.push(self.nodes.len() as u32);
            self.add(symbol, depth + 1, parent);
        }
        if let Some(node) = self.nodes.last_mut() {
            node.token = token;
        }
        self.previous.clear();
        self.previous.extend_from_slice(symbols);
        Ok(())
    }

    fn add(&mut self, symbol: u32, depth: usize, parent: u32) {
        self.nodes.push(TextNode { symbol, depth: depth as u32, token: NONE, skip: 0, signature: 0 });
        self.parents.push(parent);
    }

    /// Leave every node deeper than `depth`.
    fn close(&mut self, depth: usize) {
        let skip = self.nodes.len() as u32;
        for node in self.path.drain(depth.min(self.path.len())..) {
            self.nodes[node as usize].skip = skip;
        }
        for gate in self.gates.iter_mut().skip(depth + 1) {
            if let Some(gate) = gate.take() {
                self.nodes[gate as usize].skip = skip;
            }
        }
    }

    pub(super) fn finish(mut self) -> Box<[TextNode]> {
        self.close(0);
        let skip = self.nodes.len() as u32;
        if let [Some(gate), _] = self.gates {
            self.nodes[gate as usize].skip = skip;
        }
        let parent = |i: usize| Some(self.parents[i] as usize).filter(|&parent| parent != NONE as usize);
        // What is above a node, then what is below it as well.
        for i in 0..self.nodes.len() {
            let above = parent(i).map_or(0, |parent| self.nodes[parent].signature);
            self.nodes[i].signature = above | signature::of_symbol(self.nodes[i].symbol);
        }
        for i in (0..self.nodes.len()).rev() {
            let node = self.nodes[i];
            if node.symbol == TextNode::GATE {
                let end = node.skip as usize;
                let mut at = i + 1;
                while at < end {
                    self.nodes[i].signature |= self.nodes[at].signature;
                    at = self.nodes[at].skip as usize;
                }
            } else if let Some(parent) = parent(i) {
                self.nodes[parent].signature |= node.signature;
            }
        }
        self.nodes.into()
    }
}

/// The tokens that are text.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) short: TextTrie,
    pub(super) long: TextTrie,
    pub(super) partial: Vec<(u32, u32)>,
    partial_numbers: BTreeMap<(u32, u32), u32>,
    /// (code points, token)
    pub(super) levels: Vec<(u32, u32)>,
    /// (signature, token)
    signatures: Vec<(Signature, u32)>,
    symbols: Vec<u32>,
}

impl Texts {
    pub(super) fn push(&mut self, bytes: &[u8], token: u32) -> Result<()> {
        self.symbols.clear();
        let (text, rest) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let (text, rest) = bytes.split_at(error.valid_up_to());
                // What is not the beginning of any character is not text.
                if error.error_len().is_some() {
                    return Ok(());
                }
                (std::str::from_utf8(text).unwrap_or_default(), Some(rest))
            }
        };
        self.symbols.extend(text.chars().map(u32::from));
        if let Some(rest) = rest {
            let range = partial_range(rest);
            let next = self.partial.len() as u32;
            let number = *self.partial_numbers.entry(range).or_insert(next);
            if number == next {
                self.partial.push(range);
            }
            self.symbols.push(TextNode::PARTIAL | number);
        }
        let code_points = self.symbols.len() as u32;
        self.levels.push((code_points, token));
        let signature = self.symbols.iter().fold(0, |all, &symbol| all | signature::of_symbol(symbol));
        self.signatures.push((signature, token));
        let trie = if code_points <= SHORT { &mut self.short } else { &mut self.long };
        trie.push(&self.symbols, token)
    }

    /// (signature, end of its tokens), and the tokens.
    pub(super) fn groups(&mut self) -> (Vec<(Signature, u32)>, Vec<u32>) {
        self.signatures.sort_unstable();
        let mut groups: Vec<(Signature, u32)> = Vec::new();
        for (i, &(signature, _)) in self.signatures.iter().enumerate() {
            match groups.last_mut() {
                Some(group) if group.0 == signature => group.1 = i as u32 + 1,
                _ => groups.push((signature, i as u32 + 1)),
            }
        }
        (groups, self.signatures.iter().map(|&(_, token)| token).collect())
    }
}

/// The code points that may begin with these bytes, which are the beginning of one.
fn partial_range(bytes: &[u8]) -> (u32, u32) {
    let read = bytes.iter().fold(None, |read, &byte| match read {
        None => Some(Partial::begin(byte, Wrapping::Text)),
        Some(Read::More(partial)) => Some(partial.read(byte)),
        other => other,
    });
    match read {
        Some(Read::More(partial)) => partial.ranges()[0],
        _ => (1, 0),
    }
}
