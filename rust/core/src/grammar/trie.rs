//! Finite sets of texts as tries over code points, each made once: equal sets have equal ids, and tries that end alike
//! share their ends. What the texts are for is not known here.

use std::hash::BuildHasher;

use crate::grammar::hash::{IdTable, Seeded, fingerprint};

/// A trie of one `Tries`.
pub type TrieId = u32;

/// (code point, what may follow it)
pub type Edge = (u32, TrieId);

#[derive(Debug, Clone, Copy)]
struct Node {
    ends: bool,
    /// Its edges, ascending, are `edges[start..start + len]`.
    start: u32,
    len: u32,
    fingerprint: u128,
}

/// An arena of tries.
#[derive(Debug, Clone)]
pub struct Tries {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    ids: IdTable,
}

impl Tries {
    /// No text.
    pub const EMPTY: TrieId = 0;

    /// An arena that holds `EMPTY`.
    pub fn new() -> Self {
        let mut tries = Self { nodes: Vec::new(), edges: Vec::new(), ids: IdTable::default() };
        tries.intern(false, &[]);
        tries
    }

    /// These texts, in any order.
    pub fn of<T: AsRef<str>>(&mut self, texts: &[T]) -> TrieId {
        let mut sorted: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.is_empty() {
            return Self::EMPTY;
        }
        // The node at each depth of the text read last: whether a text ends there, the edges that are done, and the
        // code point that leads on.
        let mut path: Vec<(bool, Vec<Edge>, u32)> = vec![(false, Vec::new(), 0)];
        let mut previous: Vec<u32> = Vec::new();
        for text in sorted {
            let common = previous.iter().copied().zip(text.chars().map(u32::from)).take_while(|(a, b)| a == b).count();
            self.leave(&mut path, common);
            previous.truncate(common);
            for c in text.chars().skip(common) {
                if let Some(last) = path.last_mut() {
                    last.2 = c.into();
                }
                previous.push(c.into());
                path.push((false, Vec::new(), 0));
            }
            if let Some(last) = path.last_mut() {
                last.0 = true;
            }
        }
        self.leave(&mut path, 0);
        match path.pop() {
            Some((ends, edges, _)) => self.intern(ends, &edges),
            None => Self::EMPTY,
        }
    }

    /// Make the nodes deeper than `depth`.
    fn leave(&mut self, path: &mut Vec<(bool, Vec<Edge>, u32)>, depth: usize) {
        while path.len() > depth + 1 {
            let Some((ends, edges, _)) = path.pop() else { return };
            let child = self.intern(ends, &edges);
            if let Some(parent) = path.last_mut() {
                parent.1.push((parent.2, child));
            }
        }
    }

    /// `trie` and one text more.
    pub fn insert(&mut self, trie: TrieId, text: &str) -> TrieId {
        let code_points: Vec<u32> = text.chars().map(u32::from).collect();
        let mut path = vec![Some(trie)];
        for &code_point in &code_points {
            let next = path.last().copied().flatten().and_then(|node| self.next(node, code_point));
            path.push(next);
        }
        let mut child = None;
        for (depth, node) in path.into_iter().enumerate().rev() {
            let (mut ends, mut edges) =
                node.map_or((false, Vec::new()), |node| (self.ends(node), self.edges(node).to_vec()));
            match (child, code_points.get(depth)) {
                (Some(child), Some(&code_point)) => match edges.binary_search_by_key(&code_point, |edge| edge.0) {
                    Ok(at) => edges[at].1 = child,
                    Err(at) => edges.insert(at, (code_point, child)),
                },
                _ => ends = true,
            }
            child = Some(self.intern(ends, &edges));
        }
        child.unwrap_or(trie)
    }

    /// What may follow a code point.
    #[inline]
    pub fn next(&self, trie: TrieId, code_point: u32) -> Option<TrieId> {
        let edges = self.edges(trie);
        edges.binary_search_by_key(&code_point, |edge| edge.0).ok().map(|at| edges[at].1)
    }

    /// Whether the empty text is among them.
    #[inline]
    pub fn ends(&self, trie: TrieId) -> bool {
        self.nodes[trie as usize].ends
    }

    /// What the texts begin with, ascending.
    #[inline]
    pub fn edges(&self, trie: TrieId) -> &[Edge] {
        let node = self.nodes[trie as usize];
        &self.edges[node.start as usize..(node.start + node.len) as usize]
    }

    /// Whether a text is among them.
    pub fn contains(&self, trie: TrieId, text: &str) -> bool {
        let end = text.chars().try_fold(trie, |node, c| self.next(node, c.into()));
        end.is_some_and(|node| self.ends(node))
    }

    /// 128 bits that stand for the set, equal in every arena of the process.
    #[inline]
    pub fn fingerprint(&self, trie: TrieId) -> u128 {
        self.nodes[trie as usize].fingerprint
    }

    /// How many tries there are.
    #[expect(clippy::len_without_is_empty, reason = "one trie is always there")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Forgets every trie but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.nodes.truncate(len.max(1));
        self.edges.truncate(self.nodes.last().map_or(0, |node| (node.start + node.len) as usize));
        self.ids.clear();
        (0..self.nodes.len() as TrieId).for_each(|id| self.register(id));
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.edges.capacity() * size_of::<Edge>() + self.ids.bytes()
    }

    fn intern(&mut self, ends: bool, edges: &[Edge]) -> TrieId {
        let hash = Seeded::default().hash_one((ends, edges));
        if let Some(id) = self.ids.find(hash, |id| self.ends(id) == ends && self.edges(id) == edges) {
            return id;
        }
        let prints: Vec<(u32, u128)> = edges.iter().map(|edge| (edge.0, self.fingerprint(edge.1))).collect();
        let id = self.nodes.len() as TrieId;
        let start = self.edges.len() as u32;
        self.nodes.push(Node { ends, start, len: edges.len() as u32, fingerprint: fingerprint(&(ends, prints)) });
        self.edges.extend_from_slice(edges);
        self.register(id);
        id
    }

    fn register(&mut self, id: TrieId) {
        let Self { nodes, edges, ids } = self;
        ids.insert(id, |id| {
            let node = nodes[id as usize];
            Seeded::default().hash_one((node.ends, &edges[node.start as usize..(node.start + node.len) as usize]))
        });
    }
}

impl Default for Tries {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tries: &Tries, trie: TrieId) -> Vec<String> {
        let mut todo = vec![(trie, String::new())];
        let mut found = Vec::new();
        while let Some((node, text)) = todo.pop() {
            if tries.ends(node) {
                found.push(text.clone());
            }
            for &(c, next) in tries.edges(node) {
                todo.push((next, format!("{text}{}", char::from_u32(c).unwrap_or_default())));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_set_has_one_trie_however_it_was_made() {
        let mut tries = Tries::new();
        let words = ["b", "", "abc", "ab", "zabc", "\u{10000}x", "\u{e9}", "b"];
        let all = tries.of(&words);
        let mut one_by_one = Tries::EMPTY;
        for word in words.iter().rev() {
            one_by_one = tries.insert(one_by_one, word);
        }
        assert_eq!(all, one_by_one);
        let mut sorted = words.map(str::to_owned).to_vec();
        sorted.sort();
        sorted.dedup();
        assert_eq!(texts(&tries, all), sorted);
        assert!(words.iter().all(|word| tries.contains(all, word)));
        assert!(["a", "abcd", "z", "x"].iter().all(|word| !tries.contains(all, word)));
        assert_eq!(tries.of::<&str>(&[]), Tries::EMPTY);

        let mut other = Tries::new();
        other.of(&["something", "else"]);
        let same = other.of(&words);
        assert_eq!(other.fingerprint(same), tries.fingerprint(all));
        let len = tries.len();
        let bytes = tries.edges.len();
        let more = tries.insert(all, "zz");
        assert_ne!(more, all);
        tries.truncate(len);
        assert_eq!((tries.len(), tries.edges.len()), (len, bytes));
        assert_eq!(tries.insert(all, "zz"), more);
    }

    #[test]
    fn ends_are_shared_and_long_texts_are_no_stack() {
        let mut tries = Tries::new();
        let words: Vec<String> = (0..1000).map(|i| format!("{i}-the-same-end")).collect();
        tries.of(&words);
        assert!(tries.len() < 1200);
        let long = tries.of(&["x".repeat(1 << 20)]);
        assert!(tries.contains(long, &"x".repeat(1 << 20)));
    }
}
