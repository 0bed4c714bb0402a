//! What a byte-pair model makes of one word: its symbols, and of these the pair of the lowest rank merged, the leftmost of
//! several, until no pair is left.
//!
//! The reference keeps a queue of strings for it. Here a short word is looked through for its best pair, and only a long
//! one has a queue. Nothing here knows where words begin and end.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use tokenizers::Model as _;
use tokenizers::models::bpe::BPE;

use crate::byte_level::char_of;

/// No such symbol, or no such pair.
const NONE: u32 = u32::MAX;

/// Looking through all pairs for each merge is quadratic: words of more symbols have a queue.
const SCANNED_SYMBOLS: usize = 64;

pub(super) struct Merges {
    pairs: Pairs,
    /// By rank, the symbol that takes the place of the two.
    merged: Vec<u32>,
    alphabet: Alphabet,
    /// A word that is a token is that token.
    whole_words: bool,
}

/// What merging takes besides, kept from word to word.
#[derive(Default)]
pub(super) struct Scratch {
    /// Of each symbol with the one after it; `NONE` for the last and for those that are gone.
    ranks: Vec<u32>,
    /// The symbols before and after each.
    before: Vec<u32>,
    after: Vec<u32>,
    /// Rank and place.
    queue: BinaryHeap<Reverse<(u32, u32)>>,
    spelled: String,
}

impl Merges {
    /// `tokens`: those of the model and maybe others, the byte-level alphabet's need not be there. None: the model has something that is not done here.
    pub(super) fn new(model: &BPE, tokens: &HashMap<String, u32>, byte_level: bool) -> Option<Self> {
        let is_plain = model.continuing_subword_prefix.is_none()
            && model.end_of_word_suffix.is_none()
            && model.dropout.is_none_or(|dropout| dropout == 0.0);
        if !is_plain {
            return None;
        }
        let merges = merges_of(model)?;
        let mut pairs = Pairs::new(merges.len());
        let mut merged = Vec::with_capacity(merges.len());
        let mut both = String::new();
        for (rank, (left, right)) in merges.iter().enumerate() {
            // A pair and what it becomes being of one length, the reference could take one pair for another.
            if left.is_empty() || right.is_empty() {
                return None;
            }
            both.clear();
            both.push_str(left);
            both.push_str(right);
            merged.push(model.token_to_id(&both)?);
            pairs.insert(model.token_to_id(left)?, model.token_to_id(right)?, rank as u32);
        }
        let alphabet = Alphabet::new(model, tokens, byte_level, &pairs)?;
        Some(Self { pairs, merged, alphabet, whole_words: model.ignore_merges })
    }

    /// Append the ids of a word, which is not empty.
    pub(super) fn append(&self, model: &BPE, word: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if self.whole_words {
            let spelled = match self.alphabet.bytes {
                None => word,
                Some(_) => spell(word, &mut scratch.spelled),
            };
            if let Some(id) = model.token_to_id(spelled) {
                ids.push(id);
                return;
            }
        }
        let start = ids.len();
        self.alphabet.append(word, ids, &mut scratch.ranks, &self.pairs);
        let symbols = &mut ids[start..];
        let left = match symbols.len() {
            0..=SCANNED_SYMBOLS => self.merge_scanning(symbols, &mut scratch.ranks),
            _ => self.merge_queueing(symbols, scratch),
        };
        ids.truncate(start + left);
    }

    /// How many symbols are left, at the front.
    fn merge_scanning(&self, symbols: &mut [u32], ranks: &mut [u32]) -> usize {
        let mut n = symbols.len();
        while let Some(&rank) = ranks[..n].iter().min().filter(|&&rank| rank != NONE) {
            let Some(at) = ranks[..n].iter().position(|&other| other == rank) else { break };
            symbols[at] = self.merged[rank as usize];
            symbols.copy_within(at + 2..n, at + 1);
            ranks.copy_within(at + 1..n, at);
            n -= 1;
            if at + 1 < n {
                ranks[at] = self.pairs.rank(symbols[at], symbols[at + 1]);
            }
            if at > 0 {
                ranks[at - 1] = self.pairs.rank(symbols[at - 1], symbols[at]);
            }
        }
        n
    }

    /// The same in a time that grows with n log n.
    fn merge_queueing(&self, symbols: &mut [u32], scratch: &mut Scratch) -> usize {
        let Scratch { ranks, before, after, queue, .. } = scratch;
        let n = symbols.len();
        before.clear();
        before.extend((0..n as u32).map(|i| i.wrapping_sub(1)));
        after.clear();
        after.extend(1..=n as u32);
        let pairs = ranks.iter().zip(0..).filter(|(rank, _)| **rank != NONE);
        let mut waiting = std::mem::take(queue).into_vec();
        waiting.clear();
        waiting.extend(pairs.map(|(&rank, at)| Reverse((rank, at))));
        *queue = waiting.into();
        while let Some(Reverse((rank, place))) = queue.pop() {
            let at = place as usize;
            // Of a pair that is no more.
            if ranks[at] != rank {
                continue;
            }
            symbols[at] = self.merged[rank as usize];
            let gone = after[at] as usize;
            ranks[gone] = NONE;
            after[at] = after[gone];
            ranks[at] = NONE;
            if let Some(next) = before.get_mut(after[at] as usize) {
                *next = place;
                let rank = self.pairs.rank(symbols[at], symbols[after[at] as usize]);
                ranks[at] = rank;
                if rank != NONE {
                    queue.push(Reverse((rank, place)));
                }
            }
            if before[at] != NONE {
                let place = before[at];
                let rank = self.pairs.rank(symbols[place as usize], symbols[at]);
                ranks[place as usize] = rank;
                if rank != NONE {
                    queue.push(Reverse((rank, place)));
                }
            }
        }
        let (mut left, mut at) = (0, 0);
        while at < n {
            symbols[left] = symbols[at];
            left += 1;
            at = after[at] as usize;
        }
        left
    }
}

/// A word in the byte-level alphabet.
pub(super) fn spell<'a>(word: &str, spelled: &'a mut String) -> &'a str {
    spelled.clear();
    spelled.extend(word.bytes().map(char_of));
    spelled
}

/// What SentencePiece writes for a blank.
const BLANK: char = '▁';

/// Whether nothing that a model merges has a `BLANK` behind something else. Then nothing merges across such a place, and a
/// text that no pre-tokenizer cuts need not be one word.
pub(super) fn has_seams(model: &BPE, tokens: &HashMap<String, u32>) -> bool {
    let is_plain = model.continuing_subword_prefix.is_none()
        && model.end_of_word_suffix.is_none()
        && model.unk_token.as_ref().is_none_or(|token| !token.contains(BLANK));
    // A blank that is a token by itself also ends a run of unknown characters, which may be one token together.
    is_plain
        && model.token_to_id(BLANK.encode_utf8(&mut [0; 4])).is_some()
        && tokens.keys().all(|token| first_seam(token) == token.len() || model.token_to_id(token).is_none())
}

/// Where the first `BLANK` stands that follows something else, else the end.
pub(super) fn first_seam(text: &str) -> usize {
    let start = text.len() - text.trim_start_matches(BLANK).len();
    text[start..].find(BLANK).map_or(text.len(), |at| start + at)
}

/// The merges of a model in their order, as it writes them.
fn merges_of(model: &BPE) -> Option<Vec<(String, String)>> {
    #[derive(serde::Deserialize)]
    struct File {
        merges: Vec<(String, String)>,
    }
    let file = serde_json::to_vec(model).ok()?;
    serde_json::from_slice(&file).ok().map(|File { merges }| merges)
}

/// The symbols that a word begins as.
struct Alphabet {
    /// Of each byte, where the model's characters stand for bytes.
    bytes: Option<Box<Bytes>>,
    chars: Chars,
    /// `<0x00>` and so on: what stands for the bytes of a character that is none.
    fallback: Option<Box<[u32; 256]>>,
    unk_id: Option<u32>,
    fuse_unk: bool,
}

struct Bytes {
    symbols: [u32; 256],
    /// Of two bytes: most pairs that are asked for.
    ranks: [[u32; 256]; 256],
}

impl Alphabet {
    fn new(model: &BPE, tokens: &HashMap<String, u32>, byte_level: bool, pairs: &Pairs) -> Option<Self> {
        // A token that there is not is an error in the reference.
        let unk_id = match &model.unk_token {
            None => None,
            Some(token) => Some(model.token_to_id(token)?),
        };
        let symbol = |token: &str| model.token_to_id(token).unwrap_or(NONE);
        let fallback = std::array::from_fn(|byte| symbol(&format!("<{byte:#04X}>")));
        let mut chars = Chars::new();
        let single = tokens.keys().filter_map(|token| {
            let mut all = token.chars();
            all.next().filter(|_| all.next().is_none())
        });
        for c in single.chain((0..=255).map(char_of)) {
            chars.insert(c, symbol(c.encode_utf8(&mut [0; 4])));
        }
        let bytes = byte_level.then(|| {
            let symbols = std::array::from_fn(|byte| chars.symbol(char_of(byte as u8)));
            let mut bytes = Box::new(Bytes { symbols, ranks: [[NONE; 256]; 256] });
            for (row, &left) in bytes.ranks.iter_mut().zip(&symbols) {
                for (rank, &right) in row.iter_mut().zip(&symbols) {
                    *rank = pairs.rank(left, right);
                }
            }
            bytes
        });
        let fallback = model.byte_fallback.then(|| Box::new(fallback));
        Some(Self { bytes, chars, fallback, unk_id, fuse_unk: model.fuse_unk })
    }

    /// Append the symbols of a word, and set `ranks` to those of their pairs.
    fn append(&self, word: &str, symbols: &mut Vec<u32>, ranks: &mut Vec<u32>, pairs: &Pairs) {
        let start = symbols.len();
        ranks.clear();
        match &self.bytes {
            None => self.append_chars(word.chars(), symbols),
            Some(bytes) => {
                symbols.extend(word.bytes().map(|byte| bytes.symbols[byte as usize]));
                if !symbols[start..].contains(&NONE) {
                    let two = word.as_bytes().windows(2);
                    ranks.extend(two.map(|two| bytes.ranks[two[0] as usize][two[1] as usize]));
                    ranks.push(NONE);
                    return;
                }
                symbols.truncate(start);
                self.append_chars(word.bytes().map(char_of), symbols);
            }
        }
        let new = &symbols[start..];
        ranks.extend(new.windows(2).map(|two| pairs.rank(two[0], two[1])));
        ranks.push(NONE);
    }

    fn append_chars(&self, word: impl Iterator<Item = char>, symbols: &mut Vec<u32>) {
        // Stands before the next character that is a symbol, not before one that is its bytes.
        let mut unknown: Option<u32> = None;
        for c in word {
            let symbol = self.chars.symbol(c);
            if symbol != NONE {
                symbols.extend(unknown.take());
                symbols.push(symbol);
                continue;
            }
            if let Some(fallback) = &self.fallback {
                let start = symbols.len();
                symbols.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| fallback[byte as usize]));
                if !symbols[start..].contains(&NONE) {
                    continue;
                }
                symbols.truncate(start);
            }
            if !self.fuse_unk {
                symbols.extend(unknown);
            }
            unknown = self.unk_id;
        }
        symbols.extend(unknown);
    }
}

/// Characters to symbols, in pages of 256.
struct Chars {
    /// By page, where in `symbols` it begins; the first is one that holds none.
    pages: Box<[u32; 0x1100]>,
    symbols: Vec<u32>,
}

impl Chars {
    fn new() -> Self {
        Self { pages: Box::new([0; 0x1100]), symbols: vec![NONE; 256] }
    }

    fn insert(&mut self, c: char, symbol: u32) {
        let code = c as usize;
        let page = &mut self.pages[code >> 8];
        if *page == 0 {
            *page = self.symbols.len() as u32;
            self.symbols.resize(self.symbols.len() + 256, NONE);
        }
        self.symbols[*page as usize + (code & 0xff)] = symbol;
    }

    #[inline]
    fn symbol(&self, c: char) -> u32 {
        let code = c as usize;
        self.symbols[self.pages[code >> 8] as usize + (code & 0xff)]
    }
}

/// Pairs of symbols to their ranks. A text cannot choose what collides, the pairs being the file's, nor can the file, the
/// seeds being random.
struct Pairs {
    /// A power of two of them, never all taken.
    entries: Box<[Entry]>,
    seeds: [u64; 2],
}

#[derive(Clone, Copy)]
struct Entry {
    left: u32,
    right: u32,
    /// `NONE`: no entry.
    rank: u32,
}

impl Pairs {
    fn new(n: usize) -> Self {
        let random = RandomState::new();
        let empty = Entry { left: NONE, right: NONE, rank: NONE };
        Self {
            entries: vec![empty; (n + n / 2 + 1).next_power_of_two()].into(),
            seeds: [random.hash_one(0), random.hash_one(1) | 1],
        }
    }

    /// The last one said of a pair holds.
    fn insert(&mut self, left: u32, right: u32, rank: u32) {
        let at = self.place(left, right);
        self.entries[at] = Entry { left, right, rank };
    }

    #[inline]
    fn rank(&self, left: u32, right: u32) -> u32 {
        self.entries[self.place(left, right)].rank
    }

    /// Where the pair stands, or would stand.
    #[inline]
    fn place(&self, left: u32, right: u32) -> usize {
        let key = u64::from(left) << 32 | u64::from(right);
        let product = u128::from(key ^ self.seeds[0]) * u128::from(self.seeds[1]);
        let mask = self.entries.len() - 1;
        let mut at = ((product >> 64) as u64 ^ product as u64) as usize & mask;
        loop {
            let entry = &self.entries[at];
            if (entry.left == left && entry.right == right) || entry.rank == NONE {
                return at;
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use tokenizers::models::bpe::Vocab;

    use super::*;

    #[test]
    fn seams() {
        for (text, seam) in [("", 0), ("a", 1), ("▁", 3), ("▁▁", 6), ("▁a", 4), ("▁a▁", 4), ("a▁▁b", 1), ("▁▁a▁b▁c", 7)]
        {
            assert_eq!(first_seam(text), seam, "{text}");
        }
    }

    /// Merges of these symbols and of what the merges before made: the same token in several ways, the same pair twice,
    /// tokens that stand for what is unknown.
    fn model(
        symbols: &[String],
        merges: &[(prop::sample::Index, prop::sample::Index)],
        flags: [bool; 4],
    ) -> (BPE, HashMap<String, u32>) {
        let mut tokens = symbols.to_vec();
        let mut pairs = Vec::new();
        for (left, right) in merges {
            let pair = (left.get(&tokens).clone(), right.get(&tokens).clone());
            let both = format!("{}{}", pair.0, pair.1);
            if both.len() > 40 {
                continue;
            }
            if !tokens.contains(&both) {
                tokens.push(both);
            }
            pairs.push(pair);
        }
        // Ids in no order.
        let vocab: HashMap<String, u32> = tokens.into_iter().zip((0..).map(|id: u32| id * 7919 % 10007)).collect();
        let [unk, fuse_unk, byte_fallback, ignore_merges] = flags;
        let builder = BPE::builder().vocab_and_merges(Vocab::from_iter(vocab.clone()), pairs);
        let builder = builder.fuse_unk(fuse_unk).byte_fallback(byte_fallback).ignore_merges(ignore_merges);
        (if unk { builder.unk_token("<unk>".into()) } else { builder }.build().unwrap(), vocab)
    }

    fn ids_of(model: &BPE, word: &str) -> Vec<u32> {
        model.tokenize(word).unwrap().iter().map(|token| token.id).collect()
    }

    fn assert_equal(model: &BPE, vocab: &HashMap<String, u32>, byte_level: bool, words: &[String]) {
        let merges = Merges::new(model, vocab, byte_level).unwrap();
        let mut scratch = Scratch::default();
        for word in words.iter().filter(|word| !word.is_empty()) {
            let mut ids = vec![7];
            merges.append(model, word, &mut scratch, &mut ids);
            let spelled = if byte_level { spell(word, &mut String::new()).to_owned() } else { word.clone() };
            assert_eq!(ids[0], 7);
            assert_eq!(&ids[1..], ids_of(model, &spelled), "{word:?}");
        }
    }

    type Given = (Vec<(prop::sample::Index, prop::sample::Index)>, [bool; 4], Vec<String>);

    fn given(words: &'static str) -> impl Strategy<Value = Given> {
        let indices = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
        (prop::collection::vec(indices, 0..40), any::<[bool; 4]>(), prop::collection::vec(words, 1..8))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn every_word_is_what_the_model_makes_of_it((merges, flags, mut words) in given("[abcé漢]{1,12}|[abé]{50,200}")) {
            let symbols = ["a", "b", "c", "<unk>", "<0xC3>", "<0xA9>", "<0xE6>"].map(str::to_owned);
            let (model, vocab) = model(&symbols, &merges, flags);
            words.extend(vocab.keys().cloned());
            assert_equal(&model, &vocab, false, &words);
        }

        #[test]
        fn every_byte_level_word_is_what_the_model_makes_of_it(
            (merges, flags, words) in given("[ab \u{0}-\u{4}漢字é😀]{1,12}|[ab漢]{30,100}"),
            missing in any::<u8>(),
        ) {
            let mut symbols: Vec<String> = ["a", "b", "<unk>"].map(str::to_owned).into();
            for byte in (0..=255).filter(|byte| *byte % 5 != missing % 8) {
                // The two that stand first are merged most.
                let c = char_of(byte).to_string();
                if !symbols.contains(&c) {
                    symbols.push(c);
                }
            }
            let n = usize::from(missing) % (symbols.len() - 3);
            symbols[3..].rotate_left(n);
            let (model, vocab) = model(&symbols, &merges, flags);
            assert_equal(&model, &vocab, true, &words);
        }

        #[test]
        fn a_long_word_is_the_same_by_either_way((merges, flags, words) in given("[abc]{1,64}")) {
            let symbols = ["a", "b", "c", "<unk>"].map(str::to_owned);
            let (model, vocab) = model(&symbols, &merges, flags);
            let merges = Merges::new(&model, &vocab, false).unwrap();
            for word in words {
                let (mut symbols, mut scratch) = (Vec::new(), Scratch::default());
                merges.alphabet.append(&word, &mut symbols, &mut scratch.ranks, &merges.pairs);
                let (mut other, mut ranks) = (symbols.clone(), scratch.ranks.clone());
                let n = merges.merge_scanning(&mut symbols, &mut ranks);
                let m = merges.merge_queueing(&mut other, &mut scratch);
                prop_assert_eq!(&symbols[..n], &other[..m]);
            }
        }
    }

    #[test]
    fn what_is_not_done_here_is_the_models() {
        let (model, vocab) = model(&["a".to_owned(), "b".to_owned()], &[], [false; 4]);
        assert!(Merges::new(&model, &vocab, false).is_some());
        let builder = || BPE::builder().vocab_and_merges(Vocab::from_iter(vocab.clone()), vec![]);
        for other in [
            builder().continuing_subword_prefix("##".into()),
            builder().end_of_word_suffix("</w>".into()),
            builder().dropout(0.5),
            builder().unk_token("<no>".into()),
            BPE::builder()
                .vocab_and_merges([(String::new(), 0), ("a".to_owned(), 1)], vec![("a".to_owned(), String::new())]),
        ] {
            assert!(Merges::new(&other.build().unwrap(), &vocab, false).is_none());
        }
    }
}
