//! The declared names of an object as a trie of characters, never changed once made: which names are left is a set of
//! bits read beside it.

/// No node, no name.
pub(super) const NONE: u32 = u32::MAX;
pub(super) const ROOT: u32 = 0;

#[derive(Debug)]
struct Node {
    code_point: u32,
    first_child: u32,
    n_children: u32,
    /// The name that ends here.
    name: u32,
    /// Those under the node are `low..high`.
    low: u32,
    high: u32,
    depth: u32,
}

#[derive(Debug)]
pub(super) struct Names {
    /// The children of a node stand one after the other, ascending.
    nodes: Vec<Node>,
    names: Vec<Box<str>>,
}

impl Names {
    /// Of distinct names, ascending.
    pub(super) fn new(names: Vec<Box<str>>) -> Self {
        let characters: Vec<Vec<u32>> = names.iter().map(|name| name.chars().map(u32::from).collect()).collect();
        let node = |code_point, low, high, depth| Node {
            code_point,
            first_child: 0,
            n_children: 0,
            name: NONE,
            low,
            high,
            depth,
        };
        let mut nodes = vec![node(0, 0, names.len() as u32, 0)];
        let mut at = 0;
        while at < nodes.len() {
            let Node { mut low, high, depth, .. } = nodes[at];
            if low < high && characters[low as usize].len() == depth as usize {
                nodes[at].name = low;
                low += 1;
            }
            nodes[at].first_child = nodes.len() as u32;
            while low < high {
                let code_point = characters[low as usize][depth as usize];
                let is_other = |name: u32| characters[name as usize][depth as usize] != code_point;
                let end = (low..high).find(|&name| is_other(name)).unwrap_or(high);
                nodes.push(node(code_point, low, end, depth + 1));
                nodes[at].n_children += 1;
                low = end;
            }
            at += 1;
        }
        Self { nodes, names }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    pub(super) fn get(&self, name: usize) -> &str {
        self.names.get(name).map_or("", |name| name)
    }

    /// The name that ends at a node.
    pub(super) fn name_at(&self, node: u32) -> Option<usize> {
        self.nodes.get(node as usize).map(|node| node.name).filter(|&name| name != NONE).map(|name| name as usize)
    }

    /// The names under a node, those that end there included.
    pub(super) fn under(&self, node: u32) -> std::ops::Range<usize> {
        self.nodes.get(node as usize).map_or(0..0, |node| node.low as usize..node.high as usize)
    }

    /// Characters read on the way to a node.
    pub(super) fn depth(&self, node: u32) -> usize {
        self.nodes.get(node as usize).map_or(0, |node| node.depth as usize)
    }

    fn children_of(&self, node: u32) -> &[Node] {
        let Some(node) = self.nodes.get(node as usize) else { return &[] };
        let first = node.first_child as usize;
        self.nodes.get(first..first + node.n_children as usize).unwrap_or_default()
    }

    /// What comes next, ascending.
    pub(super) fn children(&self, node: u32) -> impl Iterator<Item = u32> {
        self.children_of(node).iter().map(|child| child.code_point)
    }

    /// `NONE` if no name goes on so.
    pub(super) fn child(&self, node: u32, code_point: u32) -> u32 {
        let children = self.children_of(node);
        match children.binary_search_by_key(&code_point, |child| child.code_point) {
            Ok(i) => self.nodes[node as usize].first_child + i as u32,
            Err(_) => NONE,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.nodes.len() * size_of::<Node>() + self.names.iter().map(|name| name.len() + 16).sum::<usize>()
    }
}

/// Some of the names.
pub(super) type NameSet = Box<[u64]>;

pub(super) fn no_names(n: usize) -> NameSet {
    vec![0; n.div_ceil(64)].into()
}

pub(super) fn has(set: &[u64], name: usize) -> bool {
    set.get(name / 64).is_some_and(|word| word >> (name % 64) & 1 == 1)
}

pub(super) fn insert(set: &mut [u64], name: usize) {
    if let Some(word) = set.get_mut(name / 64) {
        *word |= 1 << (name % 64);
    }
}

/// Whether one of a range of names is in the set.
pub(super) fn has_any(set: &[u64], range: std::ops::Range<usize>) -> bool {
    let (mut at, end) = (range.start, range.end);
    while at < end {
        let in_word = (64 - at % 64).min(end - at);
        let bits = if in_word == 64 { u64::MAX } else { ((1 << in_word) - 1) << (at % 64) };
        if set.get(at / 64).is_some_and(|word| word & bits != 0) {
            return true;
        }
        at += in_word;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_by_its_characters() {
        let mut names = ["", "a", "ab", "abc", "b", "né", "né\u{1f600}", "zz"];
        names.sort_unstable();
        let trie = Names::new(names.iter().map(|&name| name.into()).collect());
        for (i, name) in names.iter().enumerate() {
            let node = name.chars().fold(ROOT, |node, c| trie.child(node, c.into()));
            assert_eq!(trie.name_at(node), Some(i));
            assert_eq!(trie.depth(node), name.chars().count());
            assert!(trie.under(node).contains(&i));
            let under: Vec<_> =
                names.iter().enumerate().filter(|(_, other)| other.starts_with(name)).map(|(i, _)| i).collect();
            assert_eq!(trie.under(node).collect::<Vec<_>>(), under);
        }
        assert_eq!(trie.child(ROOT, 'x'.into()), NONE);
        assert_eq!(trie.child(NONE, 'a'.into()), NONE);
    }

    #[test]
    fn ranges_of_bits() {
        let mut set = no_names(200);
        insert(&mut set, 64);
        insert(&mut set, 199);
        for low in 0..=200 {
            for high in low..=200 {
                assert_eq!(has_any(&set, low..high), (low..high).any(|i| i == 64 || i == 199), "{low}..{high}");
                assert_eq!(has_any(&set, low..high), (low..high).any(|i| has(&set, i)));
            }
        }
    }
}
