//! Added tokens in a text, and the pieces between them. What the pieces are is the encoder's.

use std::collections::HashSet;

use daachorse::{DoubleArrayAhoCorasick, DoubleArrayAhoCorasickBuilder, MatchKind};

/// Added tokens, found as the reference finds them: the leftmost first, of these the longest.
pub(super) struct Added {
    automaton: Option<DoubleArrayAhoCorasick<u32>>,
    /// First bytes of all of them: where none stands nothing begins.
    first_bytes: Vec<u8>,
    special: HashSet<u32>,
    /// That look at their neighbours, or take blanks with them: left to the reference.
    demanding: HashSet<u32>,
}

impl Added {
    /// Those that are looked for in the text as it is, or in the normalized text.
    pub(super) fn new(reference: &tokenizers::Tokenizer, normalized: bool) -> Option<Self> {
        let vocabulary = reference.get_added_vocabulary();
        let mut patterns = Vec::new();
        let (mut special, mut demanding) = (HashSet::new(), HashSet::new());
        for (&id, token) in
            vocabulary.get_added_tokens_decoder().iter().filter(|(_, token)| token.normalized == normalized)
        {
            let content = if normalized { vocabulary.simple_id_to_token(id)? } else { token.content.clone() };
            if content.is_empty() {
                return None;
            }
            patterns.push((content, id));
            // It is the text that is special, not the id.
            if vocabulary.is_special_token(&token.content) {
                special.insert(id);
            }
            if token.single_word || token.lstrip || token.rstrip {
                demanding.insert(id);
            }
        }
        let mut first_bytes: Vec<u8> = patterns.iter().filter_map(|(content, _)| content.bytes().next()).collect();
        first_bytes.sort_unstable();
        first_bytes.dedup();
        let automaton = match patterns.is_empty() {
            true => None,
            false => Some(
                DoubleArrayAhoCorasickBuilder::new()
                    .match_kind(MatchKind::LeftmostLongest)
                    .build_with_values(patterns)
                    .ok()?,
            ),
        };
        Some(Self { automaton, first_bytes, special, demanding })
    }

    /// Append the added tokens of a text to `ids`, and between them what `encode` makes of the rest and its position.
    pub(super) fn split(
        &self,
        text: &str,
        allow_special: bool,
        ids: &mut Vec<u32>,
        mut encode: impl FnMut(&str, usize, &mut Vec<u32>) -> Option<()>,
    ) -> Option<()> {
        let mut done = 0;
        if let Some(automaton) = self.automaton.as_ref().filter(|_| self.may_stand_in(text)) {
            for found in automaton.leftmost_find_iter(text) {
                let id = found.value();
                if !allow_special && self.special.contains(&id) {
                    continue;
                }
                if self.demanding.contains(&id) {
                    return None;
                }
                if done < found.start() {
                    encode(text.get(done..found.start())?, done, ids)?;
                }
                ids.push(id);
                done = found.end();
            }
        }
        match done < text.len() {
            true => encode(text.get(done..)?, done, ids),
            false => Some(()),
        }
    }

    fn may_stand_in(&self, text: &str) -> bool {
        match self.first_bytes[..] {
            [] => false,
            [a] => memchr::memchr(a, text.as_bytes()).is_some(),
            [a, b] => memchr::memchr2(a, b, text.as_bytes()).is_some(),
            [a, b, c] => memchr::memchr3(a, b, c, text.as_bytes()).is_some(),
            _ => true,
        }
    }
}
