//! What every grammar over one vocabulary needs to know of its tokens: tries of their bytes and of their characters,
//! and tables of those that stay inside a string. Made once per vocabulary and shared. It knows nothing of any grammar.
//!
//! A trie is one array in the order of a depth-first walk: where a node is refused, the walk goes on at `skip`. Two ids
//! of the same bytes are two nodes beside each other, so that whoever walks meets every token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::grammar::hash::{Map, fingerprint};
use crate::grammar::signature::Signature;
use crate::grammar::text_trie::{TextNode, Texts};
use crate::grammar::token::{
    StringRead, is_number, is_whitespace, may_be_outside, may_hold_two_keys, push_contents, read_string, unescape,
};
use crate::limits::{Limits, within};
use crate::mask;
use crate::vocab::Vocab;

/// No token ends here.
pub const NONE: u32 = u32::MAX;

/// Groups that are counted to compare sets of classes: the others hold few tokens.
const LARGE_GROUPS: usize = 64;

/// The code points of a token that is short: those that a counter clipped to it may decide.
pub const SHORT: u32 = 16;

/// Tokens that go on alike after a beginning that is counted: (so many code points or blanks, token), ascending.
pub type Group = Box<[(u32, u32)]>;

/// Tokens by what is left of them after their beginnings.
#[derive(Debug)]
pub struct Rests {
    /// What is left; its tokens are groups. Group 0, not in the trie, is of the tokens of which nothing is left.
    pub trie: Box<[Node]>,
    /// The groups.
    pub groups: Box<[Group]>,
}

impl Rests {
    fn new(tokens: BTreeMap<&[u8], Vec<(u32, u32)>>) -> Result<Self> {
        let mut trie = Vec::with_capacity(tokens.len());
        let mut groups = vec![Group::default()];
        for (bytes, mut group) in tokens {
            group.sort_unstable();
            if bytes.is_empty() {
                groups[0] = group.into();
            } else {
                trie.push((bytes, groups.len() as u32));
                groups.push(group.into());
            }
        }
        Ok(Self { trie: flatten(&trie)?, groups: groups.into() })
    }

    fn bytes(&self) -> usize {
        let group = |group: &Group| size_of_val(&**group) + size_of_val(group);
        size_of_val(&*self.trie) + self.groups.iter().map(group).sum::<usize>()
    }
}

/// A node of a trie of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// The token, or the group of tokens, that ends here; or `NONE`.
    pub token: u32,
    /// Where the walk goes on that has nothing to seek below this node.
    pub skip: u32,
    depth_and_byte: u32,
}

impl Node {
    /// Bytes from the root to here, this one included.
    #[inline]
    pub fn depth(self) -> usize {
        (self.depth_and_byte >> 8) as usize
    }

    /// The byte that leads here.
    #[inline]
    pub fn byte(self) -> u8 {
        self.depth_and_byte as u8
    }
}

/// The tables.
#[derive(Debug)]
pub struct VocabularyIndex {
    words: usize,
    longest_token: usize,
    /// Every token that has bytes and is not special.
    pub trie: Box<[Node]>,
    /// Those that are text from the start of a character on, though their last one may be partial, of at most `SHORT`
    /// code points. Quotes, backslashes and control characters are among their characters.
    pub short: Box<[TextNode]>,
    /// Those of more than `SHORT` code points.
    pub long: Box<[TextNode]>,
    /// (low, high): the code points that a partial character may become.
    partial: Box<[(u32, u32)]>,
    /// The same, by code points, and of these, those that are inside a free JSON string.
    text: Levels,
    inside: Levels,
    /// The tokens of `text` by signature, ascending: (signature, end of its tokens in `group_tokens`).
    groups: Box<[(Signature, u32)]>,
    group_tokens: Box<[u32]>,
    /// (signature, number of tokens) of the largest groups.
    large_groups: Box<[(Signature, u32)]>,

    /// Tokens inside a free JSON string that hold a backslash.
    pub escape: Box<[Node]>,
    /// Tokens that close a free JSON string.
    pub closing: Box<[Node]>,
    /// The same by what follows the first closing quote, the code points before it counted.
    pub closed: Rests,
    /// Those of them that hold a backslash before the quote.
    pub closing_escape: Box<[Node]>,
    /// What tokens hold between two quotes, or between their beginning and a quote, as it is written and as it reads;
    /// ascending.
    close_prefixes: Box<[Box<[u8]>]>,
    /// Tokens that some JSON text may hold outside a string, by what follows the blanks before it, which are counted. A
    /// few others are among them; those of `opening` and `numbers` are not.
    pub outside: Rests,
    /// Those that hold a quote after any blanks and end inside the string that it opens, by what follows the quote, the
    /// blanks counted.
    pub opening: Rests,
    /// Those that are part of a number from its first byte on.
    pub numbers: Box<[Node]>,
    /// Tokens that may hold the end of a key and then another whole key of the same object. A few others are among
    /// them.
    pub rich: Box<[u32]>,
    /// Tokens that begin with JSON whitespace, the longest run first, and how many have a run longer than the index.
    leading_whitespace: Box<[u32]>,
    leading_whitespace_ends: Box<[u32]>,
    known_inside: Mutex<KnownInside>,
}

impl VocabularyIndex {
    /// Runs of leading whitespace are told apart up to this one.
    pub const LEADING_WHITESPACE: usize = 64;

    /// Of the tokens of a vocabulary.
    ///
    /// `Error::Limit` if their tries are larger than `grammar_index_nodes`.
    pub fn new(vocab: &Vocab) -> Result<Self> {
        let words = mask::words(vocab.len());
        let mut tokens: Vec<(&[u8], u32)> = (0..vocab.len() as u32)
            .filter(|&id| !vocab.is_special(id))
            .filter_map(|id| Some((vocab.token_bytes(id)?, id)))
            .filter(|(bytes, _)| !bytes.is_empty())
            .collect();
        tokens.sort_unstable();
        let trie = flatten(&tokens)?;

        let mut texts = Texts::default();
        let mut inside = Vec::new();
        let mut escape = Vec::new();
        let mut closing = Vec::new();
        let mut closing_escape = Vec::new();
        let mut closed: BTreeMap<&[u8], Vec<(u32, u32)>> = BTreeMap::new();
        let mut close_prefixes = Vec::new();
        let mut outside: BTreeMap<&[u8], Vec<(u32, u32)>> = BTreeMap::new();
        let mut opening: BTreeMap<&[u8], Vec<(u32, u32)>> = BTreeMap::new();
        let mut numbers = Vec::new();
        let mut rich = Vec::new();
        let mut whitespace = Vec::new();
        for &(bytes, id) in &tokens {
            texts.push(bytes, id)?;
            let read = read_string(bytes);
            match read {
                StringRead::Inside { code_points } => {
                    inside.push((code_points, id));
                    if bytes.contains(&b'\\') {
                        escape.push((bytes, id));
                    }
                }
                StringRead::Closed { code_points, at } => {
                    closing.push((bytes, id));
                    if bytes[..at].contains(&b'\\') {
                        closing_escape.push((bytes, id));
                    }
                    closed.entry(&bytes[at + 1..]).or_default().push((code_points, id));
                    push_contents(bytes, Some(at), &mut close_prefixes);
                }
                StringRead::Dead => {}
            }
            if let Some(quote) = memchr::memchr(b'"', bytes) {
                push_contents(&bytes[quote + 1..], None, &mut close_prefixes);
                if may_hold_two_keys(&bytes[quote..]) {
                    rich.push(id);
                }
            }
            let run = bytes.iter().take_while(|&&byte| is_whitespace(byte)).count();
            let after_blanks = &bytes[run..];
            if is_number(bytes) {
                numbers.push((bytes, id));
            } else if let Some((b'"', text)) = after_blanks.split_first()
                && matches!(read_string(text), StringRead::Inside { .. })
            {
                opening.entry(text).or_default().push((run as u32, id));
            } else if may_be_outside(bytes) {
                outside.entry(after_blanks).or_default().push((run as u32, id));
            }
            if run > 0 {
                whitespace.push((run, id));
            }
        }
        let unescaped: Vec<Box<[u8]>> = close_prefixes.iter().filter_map(|prefix| unescape(prefix)).collect();
        close_prefixes.extend(unescaped);
        close_prefixes.sort_unstable();
        close_prefixes.dedup();
        rich.sort_unstable();

        whitespace.sort_unstable_by(|a, b| b.cmp(a));
        let leading_whitespace_ends =
            (0..=Self::LEADING_WHITESPACE).map(|k| whitespace.partition_point(|&(run, _)| run > k) as u32).collect();

        let (groups, group_tokens) = texts.groups();
        Ok(Self {
            words,
            longest_token: tokens.iter().map(|(bytes, _)| bytes.len()).max().unwrap_or(0),
            trie,
            text: Levels::new(texts.levels, words),
            short: texts.short.finish(),
            long: texts.long.finish(),
            partial: texts.partial.into(),
            inside: Levels::new(inside, words),
            large_groups: largest(&groups),
            groups: groups.into(),
            group_tokens: group_tokens.into(),
            escape: flatten(&escape)?,
            closing: flatten(&closing)?,
            closed: Rests::new(closed)?,
            closing_escape: flatten(&closing_escape)?,
            close_prefixes: close_prefixes.into(),
            outside: Rests::new(outside)?,
            opening: Rests::new(opening)?,
            numbers: flatten(&numbers)?,
            rich: rich.into(),
            leading_whitespace: whitespace.into_iter().map(|(_, id)| id).collect(),
            leading_whitespace_ends,
            known_inside: Mutex::default(),
        })
    }

    /// Words of a mask.
    pub fn words(&self) -> usize {
        self.words
    }

    /// The bytes of the longest token.
    pub fn longest_token(&self) -> usize {
        self.longest_token
    }

    /// The tokens that stay inside a free JSON string with at most `k` code points, a partial one counted.
    pub fn inside_up_to(&self, k: u32) -> Arc<[u32]> {
        self.inside.up_to(k)
    }

    /// The code points of the longest token inside a free JSON string.
    pub fn longest_inside(&self) -> u32 {
        self.inside.longest
    }

    /// The tokens that are text with at most `k` code points, a partial one counted.
    pub fn text_up_to(&self, k: u32) -> Arc<[u32]> {
        self.text.up_to(k)
    }

    /// The code points of the longest token that is text.
    pub fn longest_text(&self) -> u32 {
        self.text.longest
    }

    /// The code points that a partial character may become.
    #[inline]
    pub fn partial(&self, symbol: u32) -> (u32, u32) {
        self.partial.get((symbol & !TextNode::PARTIAL) as usize).copied().unwrap_or((1, 0))
    }

    /// Whether some token, from its beginning or from a quote on, holds this text and then a closing quote.
    pub fn closes(&self, text: &[u8]) -> bool {
        self.close_prefixes.binary_search_by(|prefix| prefix.as_ref().cmp(text)).is_ok()
    }

    /// What `closes` knows, ascending.
    pub fn close_prefixes(&self) -> &[Box<[u8]>] {
        &self.close_prefixes
    }

    /// The tokens that begin with a run of JSON whitespace longer than `k`, which is at most `LEADING_WHITESPACE`.
    pub fn leading_whitespace(&self, k: usize) -> &[u32] {
        let end = self.leading_whitespace_ends.get(k).copied().unwrap_or(0);
        self.leading_whitespace.get(..end as usize).unwrap_or_default()
    }

    /// About how many tokens are text of these classes alone.
    pub fn n_of_classes(&self, classes: Signature) -> u32 {
        self.large_groups.iter().filter(|group| group.0 & !classes == 0).map(|group| group.1).sum()
    }

    /// The tokens that are text of these classes alone.
    pub fn of_classes(&self, classes: Signature) -> Arc<[u32]> {
        let print = fingerprint(&("classes", classes));
        if let Some(mask) = self.known_inside(print) {
            return mask;
        }
        let mut mask = vec![0; self.words];
        let mut start = 0;
        for &(signature, end) in &self.groups {
            if signature & !classes == 0 {
                for &id in self.group_tokens.get(start as usize..end as usize).unwrap_or_default() {
                    mask::allow(&mut mask, id as usize);
                }
            }
            start = end;
        }
        let mask = mask.into();
        self.remember_inside(print, &mask);
        mask
    }

    /// The mask that some grammar remembered for this fingerprint.
    pub fn known_inside(&self, fingerprint: u128) -> Option<Arc<[u32]>> {
        self.known_inside.lock().unwrap_or_else(PoisonError::into_inner).get(fingerprint)
    }

    /// Let every grammar of the vocabulary know a mask.
    pub fn remember_inside(&self, fingerprint: u128, mask: &Arc<[u32]>) {
        self.known_inside.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint, mask.clone());
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let nodes = [&self.trie, &self.escape, &self.closing, &self.closing_escape, &self.numbers];
        nodes.iter().map(|trie| size_of_val(&***trie)).sum::<usize>()
            + size_of_val(&*self.short)
            + size_of_val(&*self.long)
            + size_of_val(&*self.partial)
            + self.text.bytes()
            + self.inside.bytes()
            + size_of_val(&*self.groups)
            + size_of_val(&*self.group_tokens)
            + [&self.closed, &self.outside, &self.opening].map(Rests::bytes).iter().sum::<usize>()
            + self.close_prefixes.iter().map(|prefix| prefix.len() + size_of_val(prefix)).sum::<usize>()
            + size_of_val(&*self.rich)
            + size_of_val(&*self.leading_whitespace)
    }
}

/// Masks of what grammars have in common: those used since the cache was last half full, and those from before.
#[derive(Debug, Default)]
struct KnownInside {
    young: Map<u128, Arc<[u32]>>,
    old: Map<u128, Arc<[u32]>>,
    young_bytes: usize,
}

impl KnownInside {
    fn get(&mut self, fingerprint: u128) -> Option<Arc<[u32]>> {
        if let Some(mask) = self.young.get(&fingerprint) {
            return Some(mask.clone());
        }
        let mask = self.old.remove(&fingerprint)?;
        self.insert(fingerprint, mask.clone());
        Some(mask)
    }

    fn insert(&mut self, fingerprint: u128, mask: Arc<[u32]>) {
        self.young_bytes += size_of_val(&*mask) + size_of::<(u128, Arc<[u32]>)>();
        if self.young_bytes > Limits::DEFAULT.grammar_cache_bytes / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = size_of_val(&*mask) + size_of::<(u128, Arc<[u32]>)>();
        }
        self.young.insert(fingerprint, mask);
    }
}

/// Masks of the tokens of at most k code points.
#[derive(Debug)]
struct Levels {
    /// For k from 0 to `SHORT`, then for every token.
    masks: Box<[Arc<[u32]>]>,
    /// (code points, token) of those of more than `SHORT`, ascending.
    long: Box<[(u32, u32)]>,
    longest: u32,
}

impl Levels {
    fn new(mut tokens: Vec<(u32, u32)>, words: usize) -> Self {
        tokens.sort_unstable();
        let mut mask = vec![0; words];
        let mut left = tokens.iter().peekable();
        let mut masks = Vec::with_capacity(SHORT as usize + 2);
        for k in (0..=SHORT).chain([u32::MAX]) {
            while let Some((_, id)) = left.next_if(|(code_points, _)| *code_points <= k) {
                mask::allow(&mut mask, *id as usize);
            }
            masks.push(mask.as_slice().into());
        }
        let longest = tokens.last().map_or(0, |&(code_points, _)| code_points);
        let short = tokens.partition_point(|&(code_points, _)| code_points <= SHORT);
        Self { masks: masks.into(), long: tokens.split_off(short).into(), longest }
    }

    fn up_to(&self, k: u32) -> Arc<[u32]> {
        let level = match k {
            _ if k >= self.longest => SHORT + 1,
            _ => k.min(SHORT),
        };
        let mut mask = self.masks.get(level as usize).cloned().unwrap_or_default();
        if level == SHORT && k > SHORT {
            let words = Arc::make_mut(&mut mask);
            for &(_, id) in self.long.iter().take_while(|&&(code_points, _)| code_points <= k) {
                mask::allow(words, id as usize);
            }
        }
        mask
    }

    fn bytes(&self) -> usize {
        self.masks.iter().map(|mask| size_of_val(&**mask)).sum::<usize>() + size_of_val(&*self.long)
    }
}

fn largest(groups: &[(Signature, u32)]) -> Box<[(Signature, u32)]> {
    let ends = groups.iter().map(|group| group.1);
    let starts = std::iter::once(0).chain(ends.clone());
    let sizes = ends.zip(starts).map(|(end, start)| end - start);
    let mut largest: Vec<(Signature, u32)> = groups.iter().map(|group| group.0).zip(sizes).collect();
    largest.sort_by_key(|group| std::cmp::Reverse(group.1));
    largest.truncate(LARGE_GROUPS);
    largest.into()
}

/// Walks a trie of bytes from a state, as far as `step` has one: `hit` is given every token that it is led to.
pub fn walk<S: Copy>(
    trie: &[Node],
    start: S,
    mut step: impl FnMut(S, u8) -> Result<Option<S>>,
    mut hit: impl FnMut(u32),
) -> Result<()> {
    let mut stack = vec![start];
    let mut at = 0;
    while let Some(node) = trie.get(at) {
        stack.truncate(node.depth());
        let state = stack.last().copied().unwrap_or(start);
        match step(state, node.byte())? {
            None => at = node.skip as usize,
            Some(next) => {
                if node.token != NONE {
                    hit(node.token);
                }
                stack.push(next);
                at += 1;
            }
        }
    }
    Ok(())
}

/// The trie of tokens in ascending order of their bytes.
fn flatten(tokens: &[(&[u8], u32)]) -> Result<Box<[Node]>> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut path: Vec<usize> = Vec::new();
    let mut previous: &[u8] = b"";
    for &(bytes, token) in tokens {
        let mut common = previous.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        if common == bytes.len() {
            // The same bytes once more: a node of its own.
            common -= 1;
        }
        close(&mut nodes, &mut path, common);
        within("grammar_index_nodes", nodes.len() + bytes.len() - common, Limits::DEFAULT.grammar_index_nodes)?;
        for (depth, &byte) in bytes.iter().enumerate().skip(common) {
            path.push(nodes.len());
            let depth_and_byte = (depth as u32 + 1) << 8 | u32::from(byte);
            nodes.push(Node { token: NONE, skip: 0, depth_and_byte });
        }
        if let Some(node) = nodes.last_mut() {
            node.token = token;
        }
        previous = bytes;
    }
    close(&mut nodes, &mut path, 0);
    return Ok(nodes.into());

    fn close(nodes: &mut [Node], path: &mut Vec<usize>, depth: usize) {
        let skip = nodes.len() as u32;
        for node in path.drain(depth.min(path.len())..) {
            nodes[node].skip = skip;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::grammar::signature;

    /// Walks a trie of bytes: each token with its bytes.
    fn tokens(trie: &[Node]) -> Vec<(Vec<u8>, u32)> {
        let mut bytes = Vec::new();
        let mut found = Vec::new();
        for (i, node) in trie.iter().enumerate() {
            bytes.truncate(node.depth() - 1);
            bytes.push(node.byte());
            assert!(node.skip as usize > i && node.skip as usize <= trie.len());
            if node.token != NONE {
                found.push((bytes.clone(), node.token));
            }
        }
        found.sort();
        found
    }

    fn vocab() -> Vocab {
        let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        let more: [&[u8]; 40] = [
            b"",
            b"a",
            b"a",
            b"ab",
            b"abc",
            b" a",
            b"  ",
            b"\n\n ",
            b"\"",
            b"\",",
            b"\": \"",
            b"ab\":",
            b"\\",
            b"\\u",
            b"\\u00",
            b"\\ud8",
            b"\\ud83d\\",
            b"\\ud83d\\ude00",
            b"\\ud83dx",
            b"\\udc00",
            b"\\n\"",
            b"\\x",
            b"tr",
            b"true",
            b"rue,",
            b"nul",
            b"nulla",
            b"1e5",
            b"-0.5E+3",
            b"\xE4\xB8",
            b"\xE4\xB8\xAD",
            b"\xE4\xB8\xAD\xE4",
            b"\xED\xA0",
            b"\xC3\xA9",
            b"a\xF0\x9F",
            b"\":1,\"a\":2,\"b\":",
            b"{\"a\":1,\"b\":",
            b"\",\"",
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            b"xxxxxxxxxxxxxxxxx\"",
        ];
        tokens.extend(more.map(<[u8]>::to_vec));
        let special = tokens.len() as u32;
        tokens.push(b"<s>".to_vec());
        let tokens: Vec<_> = tokens.into_iter().map(Some).collect();
        Vocab::from_bytes(&tokens, &[special], &[special]).unwrap()
    }

    fn bits(mask: &[u32]) -> Vec<u32> {
        (0..32 * mask.len() as u32).filter(|&id| mask::is_allowed(mask, id as usize)).collect()
    }

    #[test]
    fn every_token_is_met_once_and_special_and_empty_ones_never() {
        let vocab = vocab();
        let index = vocab.index().unwrap();
        let mut all: Vec<_> = (0..vocab.len() as u32 - 1)
            .map(|id| (vocab.token_bytes(id).unwrap().to_vec(), id))
            .filter(|(bytes, _)| !bytes.is_empty())
            .collect();
        all.sort();
        assert_eq!(tokens(&index.trie), all);
        assert!(bits(&index.text_up_to(u32::MAX)).iter().all(|&id| id != 256 && id + 1 != vocab.len() as u32));
    }

    #[test]
    fn characters_are_read_as_bytes_are() {
        let vocab = vocab();
        let index = vocab.index().unwrap();
        for (trie, is_short) in [(&index.short, true), (&index.long, false)] {
            let mut symbols: Vec<u32> = Vec::new();
            let mut found = Vec::new();
            for (i, node) in trie.iter().enumerate() {
                assert!(node.skip as usize > i && node.skip as usize <= trie.len());
                if node.symbol == TextNode::GATE {
                    assert!(trie[i + 1..node.skip as usize].iter().all(|below| {
                        below.depth > node.depth + 1 || below.symbol >= 0x80 && below.depth == node.depth + 1
                    }));
                    assert!(trie.get(node.skip as usize).is_none_or(|next| next.depth <= node.depth));
                    continue;
                }
                symbols.truncate(node.depth as usize - 1);
                symbols.push(node.symbol);
                if node.token != NONE {
                    found.push(node.token);
                    let bytes = vocab.token_bytes(node.token).unwrap();
                    let text = String::from_utf8_lossy(bytes);
                    let (whole, last) = match std::str::from_utf8(bytes) {
                        Ok(_) => (symbols.as_slice(), None),
                        Err(_) => (&symbols[..symbols.len() - 1], symbols.last()),
                    };
                    assert!(text.chars().map(u32::from).take(whole.len()).eq(whole.iter().copied()));
                    if let Some(&last) = last {
                        let (low, high) = index.partial(last);
                        let begins = |c: char| {
                            let mut buffer = [0; 4];
                            c.encode_utf8(&mut buffer).as_bytes().starts_with(
                                &bytes[whole.iter().map(|&c| char::from_u32(c).unwrap().len_utf8()).sum::<usize>()..],
                            )
                        };
                        let may: Vec<u32> = ('\0'..=char::MAX).filter(|&c| begins(c)).map(u32::from).collect();
                        assert_eq!((may[0], may[may.len() - 1]), (low, high));
                    }
                    assert_eq!(symbols.len() <= SHORT as usize, is_short);
                }
                let below = &trie[i..node.skip as usize];
                let mut signature = symbols.iter().fold(0, |all, &symbol| all | signature::of_symbol(symbol));
                signature |= below.iter().fold(0, |all, node| all | signature::of_symbol(node.symbol));
                assert_eq!(node.signature, signature);
            }
            found.sort_unstable();
            let all = bits(&index.text_up_to(u32::MAX));
            let up_to = bits(&index.text_up_to(SHORT));
            assert_eq!(found, all.into_iter().filter(|id| up_to.contains(id) == is_short).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_string_is_read_as_a_json_parser_reads_it() {
        let vocab = vocab();
        let index = vocab.index().unwrap();
        // The bytes that make a string of what was begun.
        let ends = [
            "",
            "\"",
            "n\"",
            "u0041\"",
            "0041\"",
            "041\"",
            "41\"",
            "1\"",
            "3d\\ude00\"",
            "d\\ude00\"",
            "\\ude00\"",
            "ude00\"",
        ];
        let ends = ends.iter().map(|end| end.as_bytes().to_vec());
        let tails = [
            "\u{b8}\u{ad}",
            "\u{b8}",
            "\u{80}\u{80}\u{80}",
            "\u{80}\u{80}",
            "\u{80}",
            "\u{a0}\u{80}",
            "\u{90}\u{80}\u{80}",
            "\u{98}\u{80}",
        ];
        let tails = tails.iter().map(|tail| tail.chars().map(|c| c as u8).chain([b'"']).collect());
        let ends: Vec<Vec<u8>> = ends.chain(tails).collect();
        let inside = index.inside_up_to(u32::MAX);
        for id in 0..vocab.len() as u32 - 1 {
            let bytes = vocab.token_bytes(id).unwrap();
            let goes_on =
                ends[1..].iter().any(|end| serde_json::from_slice::<String>(&[b"\"", bytes, end].concat()).is_ok());
            let closes = (0..bytes.len())
                .any(|i| bytes[i] == b'"' && serde_json::from_slice::<String>(&[b"\"", &bytes[..=i]].concat()).is_ok());
            let is_inside = goes_on && !closes && !bytes.is_empty();
            assert_eq!(mask::is_allowed(&inside, id as usize), is_inside, "{:?}", String::from_utf8_lossy(bytes));
            assert_eq!(index.closed.groups.iter().any(|group| group.iter().any(|token| token.1 == id)), closes);
            assert_eq!(tokens(&index.closing).iter().any(|token| token.1 == id), closes);
            assert_eq!(tokens(&index.escape).iter().any(|token| token.1 == id), is_inside && bytes.contains(&b'\\'));
        }
        for k in 0..40 {
            for id in bits(&index.inside_up_to(k)) {
                let bytes = vocab.token_bytes(id).unwrap();
                assert!(read_string(bytes) != StringRead::Dead && bytes.len() as u32 <= 12 * k);
            }
        }
        assert_eq!(bits(&index.inside_up_to(32)).len() + 1, bits(&index.inside_up_to(33)).len());
        assert_eq!(index.inside_up_to(33), index.inside_up_to(u32::MAX));
    }

    #[test]
    fn the_lists_of_tokens_are_of_what_they_say() {
        let vocab = vocab();
        let index = vocab.index().unwrap();
        let named = |bytes: &[u8]| (256..vocab.len() as u32).find(|&id| vocab.token_bytes(id) == Some(bytes)).unwrap();
        assert_eq!(&*index.rich, [named(b"\":1,\"a\":2,\"b\":"), named(b"{\"a\":1,\"b\":")]);
        let of = |rests: &Rests| rests.groups.iter().flat_map(|group| group.iter().map(|token| token.1)).collect();
        let (outside, opening): (Vec<u32>, Vec<u32>) = (of(&index.outside), of(&index.opening));
        let numbers: Vec<u32> = tokens(&index.numbers).iter().map(|token| token.1).collect();
        for (bytes, is_in) in [
            (&b"tr"[..], [true, false, false]),
            (b"rue,", [true, false, false]),
            (b"nulla", [false; 3]),
            (b"1e5", [false, false, true]),
            (b"-0.5E+3", [false, false, true]),
            (b"ab\":", [false; 3]),
            (b"\"", [false, true, false]),
            (b"\": \"", [true, false, false]),
            (b"\n\n ", [true, false, false]),
        ] {
            let id = named(bytes);
            assert_eq!([&outside, &opening, &numbers].map(|ids| ids.contains(&id)), is_in, "{bytes:?}");
        }
        for rests in [&index.outside, &index.opening] {
            for (rest, group) in tokens(&rests.trie).into_iter().chain([(Vec::new(), 0)]) {
                for &(run, id) in &rests.groups[group as usize] {
                    let bytes = vocab.token_bytes(id).unwrap();
                    let blanks = bytes.iter().take_while(|&&byte| is_whitespace(byte)).count();
                    assert!(blanks == run as usize && bytes.ends_with(&rest));
                }
            }
        }
        assert_eq!(index.leading_whitespace(0).len(), 4 + 3);
        assert_eq!(index.leading_whitespace(1), [named(b"\n\n "), named(b"  ")]);
        assert_eq!(index.leading_whitespace(2), [named(b"\n\n ")]);
        assert!(index.leading_whitespace(65).is_empty());
        for text in ["", "ab", "\\n", "\n", "a", "b", "xxxxxxxxxxxxxxxxx", ",", "x"] {
            assert_eq!(index.closes(text.as_bytes()), text != "x", "{text:?}");
        }
        let mask = index.of_classes(signature::of_symbol(32) | signature::of_symbol(10));
        assert_eq!(bits(&mask), [10, 32, named(b"  "), named(b"\n\n ")]);
    }

    #[test]
    fn a_hostile_vocabulary_is_indexed_or_refused() {
        let long = "\\\"".repeat(1 << 15);
        let quotes = "\"".repeat(1 << 16);
        let deep: Vec<String> = (1..300).map(|n| "a".repeat(n)).collect();
        let mut tokens: Vec<Option<&str>> = deep.iter().map(|token| Some(token.as_str())).collect();
        tokens.extend([Some(long.as_str()), Some(&quotes)]);
        let vocab = Vocab::from_bytes(&tokens, &[], &[]).unwrap();
        let index = vocab.index().unwrap();
        assert_eq!(index.trie.iter().map(|node| node.depth()).max(), Some(1 << 16));
        assert_eq!(bits(&index.inside_up_to(299)).len(), 299);
        assert_eq!(bits(&index.inside_up_to(1 << 15)).len(), 300);
        assert_eq!(index.longest_inside(), 1 << 15);

        let distinct: Vec<_> = (0..80).map(|i| Some(format!("{i:02}{}", "x".repeat(60_000)))).collect();
        let vocab = Vocab::from_bytes(&distinct, &[], &[]).unwrap();
        assert!(matches!(vocab.index(), Err(crate::error::Error::Limit { limit: "grammar_index_nodes", .. })));
    }
}
