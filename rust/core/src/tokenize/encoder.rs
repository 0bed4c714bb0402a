//! Text to ids as the reference does it, without its bookkeeping: added tokens, normalizer, pre-tokenizer, words.
//!
//! The `tokenizers` library keeps the origin of every byte through all its stages, which costs fifty times what the work
//! itself does. Here its next version normalizes and cuts (`tokenizers_next`), only by components and only for texts on
//! which the two are shown to agree; added tokens are found by the automaton that the reference builds; a word that no one
//! has asked for yet is merged by `Merges`, or encoded by the reference's own model. Whatever this file does not know for
//! certain, `None`, is the reference's.

use std::collections::HashMap;
use std::sync::Mutex;

use tokenizers::{Model as _, ModelWrapper};
use tokenizers_next::pipeline::{Normalizer as _, PipelineNormalizer, Span, normalize_all};

use super::EncodeOptions;
use super::added::Added;
use super::cutter::{self, Cutter};
use super::merge::{self, Merges, first_seam, has_seams, spell};
use super::unicode::is_disputed;
use super::words::Words;

/// A scratch that has grown with a text longer than this is not kept.
const KEPT_TEXT_BYTES: usize = 1 << 20;

/// What the fast path of one tokenizer needs beside the reference.
pub(super) struct Encoder {
    cutter: Cutter,
    /// A word may be cut before each `BLANK` that follows something else: its ids stay the same.
    has_seams: bool,
    /// None: a word is the reference's model's.
    merges: Option<Merges>,
    raw: Added,
    normalized: Added,
    /// What the post-processor puts before and after.
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    /// Left out of what is returned.
    dropped_ids: Vec<u32>,
    scratches: Mutex<Vec<Scratch>>,
    kept_scratches: usize,
}

struct Scratch {
    words: Words,
    cutting: cutter::Scratch,
    spans: Vec<Span>,
    merging: merge::Scratch,
    spelled: String,
}

impl Scratch {
    fn new() -> Self {
        Self {
            words: Words::new(),
            cutting: Default::default(),
            spans: Vec::new(),
            merging: Default::default(),
            spelled: String::new(),
        }
    }
}

impl Encoder {
    /// None: this tokenizer has a part that is not known to be equal in both versions.
    pub(super) fn new(
        reference: &tokenizers::Tokenizer,
        tokens: &HashMap<String, u32>,
        dropped_ids: &[u32],
    ) -> Option<Self> {
        if let ModelWrapper::BPE(model) = reference.get_model() {
            // With dropout a word has not one encoding.
            if model.dropout.is_some_and(|dropout| dropout > 0.0) {
                return None;
            }
        }
        let cutter = Cutter::new(reference.get_normalizer(), reference.get_pre_tokenizer())?;
        let byte_level = cutter.byte_level;
        let (prefix, suffix) = frame(reference)?;
        let (merges, has_seams) = match reference.get_model() {
            ModelWrapper::BPE(model) => {
                (Merges::new(model, tokens, byte_level), !byte_level && has_seams(model, tokens))
            }
            _ => (None, false),
        };
        Some(Self {
            cutter,
            has_seams,
            merges,
            raw: Added::new(reference, false)?,
            normalized: Added::new(reference, true)?,
            prefix,
            suffix,
            dropped_ids: dropped_ids.to_vec(),
            scratches: Mutex::new(Vec::new()),
            kept_scratches: std::thread::available_parallelism().map_or(1, usize::from),
        })
    }

    /// None: the reference has to say.
    pub(super) fn encode(&self, model: &ModelWrapper, text: &str, options: EncodeOptions) -> Option<Vec<u32>> {
        let EncodeOptions { add_special_tokens, allow_special } = options;
        // Normalizing may make a text longer, and the library counts its bytes in 32 bits.
        if text.len() > u32::MAX as usize / 32 || is_disputed(text) {
            return None;
        }
        let mut scratch = self.take_scratch();
        let mut ids = Vec::with_capacity(text.len() / 3 + 8);
        let frame = |part| if add_special_tokens { part } else { &[][..] };
        ids.extend_from_slice(frame(&self.prefix[..]));
        let (declared, metaspace) = match self.cutter.normalizers() {
            [declared @ .., PipelineNormalizer::Metaspace(metaspace)] => (declared, Some(metaspace)),
            declared => (declared, None),
        };
        self.raw.split(text, allow_special, &mut ids, |piece, start, ids| {
            let piece = normalize_all(declared, piece, start).ok()?;
            self.normalized.split(&piece, allow_special, ids, |piece, offset, ids| {
                let spaced = match metaspace {
                    None => piece.into(),
                    Some(metaspace) => metaspace.normalize(piece, start + offset).ok()?,
                };
                self.words(model, &spaced, &mut scratch, ids)
            })
        })?;
        ids.extend_from_slice(frame(&self.suffix[..]));
        if text.len() <= KEPT_TEXT_BYTES {
            self.give_scratch(scratch);
        }
        Some(ids)
    }

    fn words(&self, model: &ModelWrapper, piece: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) -> Option<()> {
        let Scratch { words, cutting, spans, merging, spelled } = scratch;
        self.cutter.cut(piece, cutting, spans)?;
        for span in spans {
            let mut rest = piece.get(span.range())?;
            while !rest.is_empty() {
                let (word, after) = rest.split_at(if self.has_seams { first_seam(rest) } else { rest.len() });
                rest = after;
                words
                    .append(word.as_bytes(), ids, |ids| {
                        let start = ids.len();
                        if let (Some(merges), ModelWrapper::BPE(model)) = (&self.merges, model) {
                            merges.append(model, word, merging, ids);
                        } else {
                            let word = if self.cutter.byte_level { spell(word, spelled) } else { word };
                            ids.extend(model.tokenize(word)?.iter().map(|token| token.id));
                        }
                        if !self.dropped_ids.is_empty() {
                            let new = ids.split_off(start);
                            ids.extend(new.into_iter().filter(|id| !self.dropped_ids.contains(id)));
                        }
                        tokenizers::Result::Ok(())
                    })
                    .ok()?;
            }
        }
        Some(())
    }

    /// Whether it is the library's next version that normalizes and cuts.
    pub(super) fn is_next(&self) -> bool {
        self.cutter.is_next()
    }

    #[cfg(test)]
    pub(super) fn cut(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        let mut spans = Vec::new();
        let _ = self.cutter.cut(text, &mut Default::default(), &mut spans);
        spans.iter().map(|span| span.range()).collect()
    }

    #[cfg(test)]
    pub(super) fn normalize(&self, text: &str) -> String {
        self.cutter.normalize(text)
    }

    fn take_scratch(&self) -> Scratch {
        let kept = self.scratches.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        kept.unwrap_or_else(Scratch::new)
    }

    /// Not after a panic: what it left half done is dropped. No more are kept than threads can run at once.
    fn give_scratch(&self, scratch: Scratch) {
        let mut kept = self.scratches.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() < self.kept_scratches {
            kept.push(scratch);
        }
    }
}

/// Ids that the post-processor puts before and after a text, as it does it.
fn frame(reference: &tokenizers::Tokenizer) -> Option<(Vec<u32>, Vec<u32>)> {
    let Some(post_processor) = reference.get_post_processor() else { return Some(Default::default()) };
    // A template that repeats the text repeats it in both of the following.
    let post_processor = serde_json::to_value(post_processor).ok()?;
    let mut ahead = vec![&post_processor];
    while let Some(part) = ahead.pop() {
        ahead.extend(part["processors"].as_array().into_iter().flatten());
        let template = part["single"].as_array();
        if template.is_some_and(|pieces| pieces.iter().filter(|piece| piece.get("Sequence").is_some()).count() > 1) {
            return None;
        }
    }
    let bare = reference.encode_fast("a", false).ok()?;
    let framed = reference.encode_fast("a", true).ok()?;
    let (ids, mask) = (framed.get_ids(), framed.get_special_tokens_mask());
    let start = mask.iter().position(|&added| added == 0)?;
    let end = start + bare.len();
    let is_frame = ids.get(start..end)? == bare.get_ids()
        && mask.iter().enumerate().all(|(i, &added)| (added == 0) == (start..end).contains(&i));
    is_frame.then(|| (ids[..start].to_vec(), ids[end..].to_vec()))
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::byte_level::char_of;

    /// A byte-level tokenizer with a few merges, and these parts instead of its own.
    pub(crate) fn tokenizer(parts: Value) -> tokenizers::Tokenizer {
        let vocab: serde_json::Map<String, Value> =
            (0..=255).map(|byte| (char_of(byte).to_string(), json!(byte))).collect();
        let mut vocab = vocab;
        let merges = [["a", "b"], ["Ġ", "a"], ["Ġ", "Ġ"], ["ab", "ab"], ["1", "2"], ["Ġ", "ab"], ["ã", "ģ"]];
        for [left, right] in merges {
            let id = vocab.len();
            vocab.insert(format!("{left}{right}"), json!(id));
        }
        let mut file =
            json!({"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": vocab, "merges": merges}});
        file.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        tokenizers::Tokenizer::from_bytes(file.to_string()).unwrap()
    }

    pub(crate) fn encoder(reference: &tokenizers::Tokenizer) -> Option<Encoder> {
        Encoder::new(reference, &reference.get_vocab(true), &[])
    }

    /// Each kind that is known.
    pub(crate) fn pre_tokenizers() -> Vec<Value> {
        use tokenizers_next::utils::DEEPSEEK_PATTERNS;
        let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let bytes = |use_regex| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
        let cl100k = |digits: &str| {
            format!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            )
        };
        let cased = |contractions: &str, letter: &str, first: &str, digits: &str, tail: &str| {
            format!(
                r"{first}[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}{letter}]*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}{letter}]+{contractions}|[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}{letter}]+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}{letter}]*{contractions}|{digits}| ?[^\s\p{{L}}\p{{N}}]+{tail}|\s*[\r\n]+|\s+(?!\S)|\s+"
            )
        };
        let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
        let deepseek: Vec<Value> = DEEPSEEK_PATTERNS.iter().map(|p| split(p)).chain([bytes(false)]).collect();
        vec![
            bytes(true),
            split(&cl100k(r"\p{N}{1,3}")),
            split(&cl100k(r"\p{N}")),
            split(&cased(contractions, "", "", r"\p{N}{1,3}", r"[\r\n/]*")),
            split(&cased("", "", "", r"\p{N}", r"[\r\n/]*")),
            split(&cased(contractions, r"&&[^\p{Han}]", r"[\p{Han}]+|", r"\p{N}{1,3}", r"[\r\n]*")),
            json!({"type": "Sequence", "pretokenizers": deepseek}),
            json!({"type": "Digits", "individual_digits": true}),
            json!({"type": "Digits", "individual_digits": false}),
            json!({"type": "Punctuation", "behavior": "Isolated"}),
            json!({"type": "Whitespace"}),
            json!({"type": "WhitespaceSplit"}),
            json!({"type": "BertPreTokenizer"}),
        ]
    }

    pub(crate) fn normalizers() -> Vec<Value> {
        let bert = |accents: Value, lowercase| json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": accents, "lowercase": lowercase});
        let mut all: Vec<Value> =
            ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt", "StripAccents"].map(|kind| json!({"type": kind})).into();
        all.extend([
            bert(Value::Null, true),
            bert(Value::Null, false),
            bert(json!(true), false),
            bert(json!(false), true),
        ]);
        all.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
        all
    }

    const OPTIONS: [EncodeOptions; 4] = [
        EncodeOptions { add_special_tokens: false, allow_special: false },
        EncodeOptions { add_special_tokens: false, allow_special: true },
        EncodeOptions { add_special_tokens: true, allow_special: false },
        EncodeOptions { add_special_tokens: true, allow_special: true },
    ];

    fn added(id: u32, content: &str, special: bool, flag: &str) -> Value {
        let mut token = json!({"id": id, "content": content, "special": special, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false});
        if !flag.is_empty() {
            token[flag] = json!(true);
        }
        token
    }

    fn with_added(mut parts: Value) -> tokenizers::Tokenizer {
        let tokens = [
            ("<s>", true, ""),
            ("<sss>", true, ""),
            ("ss", false, ""),
            ("ab a", false, ""),
            ("A.", false, "normalized"),
            ("漢", false, ""),
            ("\n\n", false, ""),
        ];
        parts["added_tokens"] = tokens
            .iter()
            .enumerate()
            .map(|(i, (content, special, flag))| added(263 + i as u32, content, *special, flag))
            .collect();
        parts["post_processor"] = json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "<sss>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [263], "tokens": ["<s>"]},
                "<sss>": {"id": "<sss>", "ids": [264, 263], "tokens": ["<sss>", "<s>"]}}});
        tokenizer(parts)
    }

    fn assert_equal(reference: &mut tokenizers::Tokenizer, fast: &Encoder, text: &str) {
        for options in OPTIONS {
            reference.set_encode_special_tokens(!options.allow_special);
            let want = reference.encode_fast(text, options.add_special_tokens).unwrap().get_ids().to_vec();
            let got = fast.encode(reference.get_model(), text, options);
            assert!(got.is_some() || is_disputed(text), "{text:?}: left to the reference");
            assert!(got.is_none_or(|got| got == want), "{text:?} {options:?}");
        }
    }

    /// Pieces that decide where words begin and end, or that tokens are made of.
    fn texts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            6 => "[abA1 .']",
            2 => Just(" ".to_owned()),
            2 => prop::sample::select(vec!["'s", "'LL", "\n", "\r\n", "  ", "\t", "\u{a0}", "ss", "<s>", "<sss>", "A.", "漢字", "ひ",
                "é", "e\u{301}\u{323}", "½", "Ⅷ", "٣", "ǅ", "ʰ", "👩‍🚀", "\0", "\u{fffd}", "▁", "Ġ", "İ", "ﬁ", "한", "\u{1112}\u{1161}", "\u{ad}"])
                .prop_map(str::to_owned),
            1 => any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..90).prop_map(|pieces| pieces.concat())
    }

    fn metaspaces() -> Vec<Value> {
        let metaspace = |scheme: &str, split: bool| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split});
        vec![metaspace("always", true), metaspace("always", false), metaspace("first", true), metaspace("never", true)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_pre_tokenizer_gives_the_references_ids(text in texts(), second in texts()) {
            for part in pre_tokenizers().into_iter().chain(metaspaces()).chain([Value::Null]) {
                let mut reference = with_added(json!({"pre_tokenizer": part}));
                let fast = encoder(&reference).unwrap();
                assert_equal(&mut reference, &fast, &text);
                assert_equal(&mut reference, &fast, &second);
                assert_equal(&mut reference, &fast, &text);
            }
        }

        #[test]
        fn every_normalizer_gives_the_references_ids(text in texts()) {
            let mut all = normalizers();
            all.push(json!({"type": "Prepend", "prepend": "▁"}));
            all.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}));
            all.push(json!({"type": "Replace", "pattern": {"String": "aa"}, "content": ""}));
            all.push(json!({"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]}));
            all.push(json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}));
            for part in all {
                for pre_tokenizer in [&pre_tokenizers()[1], &Value::Null, &metaspaces()[0]] {
                    let mut reference = with_added(json!({"normalizer": part, "pre_tokenizer": pre_tokenizer}));
                    let fast = encoder(&reference).unwrap();
                    assert_equal(&mut reference, &fast, &text);
                }
            }
        }
    }

    /// Cut by the reference's own expressions, alone and among other parts.
    fn splits() -> Vec<Value> {
        let split = |pattern: Value, behavior: &str, invert: bool| json!({"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert});
        let bytes = |use_regex| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
        let patterns = [
            r"\w+",
            r"\s*",
            r"(?<=a)b|\p{Lu}\p{M}*",
            r"\p{N}{1,2}",
            r"^.|.$",
            "",
            r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ];
        let mut all = Vec::new();
        for behavior in ["Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"] {
            for invert in [false, true] {
                all.extend(patterns.map(|pattern| split(json!({"Regex": pattern}), behavior, invert)));
                all.push(split(json!({"String": " "}), behavior, invert));
                all.push(split(json!({"String": "a.b"}), behavior, invert));
            }
        }
        let sequence = |parts: Vec<Value>| json!({"type": "Sequence", "pretokenizers": parts});
        let digits = json!({"type": "Digits", "individual_digits": true});
        for pattern in patterns {
            let split = |behavior| split(json!({"Regex": pattern}), behavior, false);
            all.push(sequence(vec![split("Isolated"), bytes(false)]));
            all.push(sequence(vec![split("MergedWithNext"), split("Contiguous"), bytes(true)]));
            all.push(sequence(vec![digits.clone(), split("Removed"), digits.clone()]));
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn every_split_gives_the_references_ids(texts in prop::collection::vec(texts(), 3)) {
            for part in splits() {
                let mut reference = with_added(json!({"pre_tokenizer": part}));
                // Where nothing is left of a text, it does not show what the post-processor adds.
                let Some(fast) = encoder(&reference) else {
                    prop_assert!(part.to_string().contains("Removed"), "{part}");
                    continue;
                };
                prop_assert!(!fast.is_next());
                texts.iter().for_each(|text| assert_equal(&mut reference, &fast, text));
            }
        }
    }

    /// As SentencePiece's, `more` among its merges.
    fn without_pre_tokenizer(more: &[[&str; 2]], model: Value) -> tokenizers::Tokenizer {
        let bytes = (0..=255_u8).map(|byte| format!("<0x{byte:02X}>"));
        let singles = ["<unk>", "▁", "a", "b", "1", "."].map(str::to_owned);
        let mut merges = vec![["a", "b"], ["▁", "a"], ["▁", "▁"], ["▁", "ab"], ["▁▁", "▁▁"], ["▁▁", "ab"]];
        merges.extend(more);
        let merged = merges.iter().map(|[left, right]| format!("{left}{right}"));
        let vocab: serde_json::Map<String, Value> =
            bytes.chain(singles).chain(merged).enumerate().map(|(id, token)| (token, json!(id))).collect();
        let mut file = json!({"version": "1.0", "added_tokens": [],
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            "model": {"type": "BPE", "vocab": vocab, "merges": merges, "unk_token": "<unk>", "fuse_unk": true,
                "byte_fallback": true}});
        file["model"].as_object_mut().unwrap().extend(model.as_object().unwrap().clone());
        tokenizers::Tokenizer::from_bytes(file.to_string()).unwrap()
    }

    proptest! {
        #[test]
        fn a_text_cut_at_its_seams_has_the_same_ids(text in "[ab1. ▁é漢\n]{0,60}") {
            for (more, model, has_seams) in [
                (&[][..], json!({}), true),
                (&[], json!({"byte_fallback": false}), true),
                (&[], json!({"byte_fallback": false, "fuse_unk": false}), true),
                (&[], json!({"ignore_merges": true}), true),
                (&[["b", "▁"]], json!({}), false),
                (&[["<0x0A>", "▁"]], json!({}), false),
                (&[], json!({"unk_token": "▁", "byte_fallback": false}), false),
                (&[], json!({"continuing_subword_prefix": ""}), false),
            ] {
                let mut reference = without_pre_tokenizer(more, model);
                let fast = encoder(&reference).unwrap();
                prop_assert_eq!(fast.has_seams, has_seams);
                assert_equal(&mut reference, &fast, &text);
            }
        }
    }

    #[test]
    fn long_runs_cross_every_block() {
        for part in pre_tokenizers() {
            let mut reference = tokenizer(json!({"pre_tokenizer": part}));
            let fast = encoder(&reference).unwrap();
            for unit in ["a", " ", "\n", "1", ".", "'s", "é", "漢", "A", "aA", " a", "\u{301}", "👩‍🚀", "! \n", "  a"]
            {
                for n in [30, 31, 32, 33, 61, 62, 63, 64, 65, 66, 127, 128, 129, 200] {
                    assert_equal(&mut reference, &fast, &unit.repeat(n));
                    assert_equal(&mut reference, &fast, &format!("{}{}x", "b".repeat(n), unit.repeat(3)));
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_is_left_to_the_reference() {
        for part in [
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
            json!({"type": "UnicodeScripts"}),
        ] {
            let reference = tokenizer(json!({"pre_tokenizer": part}));
            assert!(encoder(&reference).is_none(), "{part}");
        }
        for part in
            [json!({"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"}), json!({"type": "ByteLevel"})]
        {
            let reference = tokenizer(json!({"normalizer": part}));
            assert!(encoder(&reference).is_none(), "{part}");
        }
        for flag in ["single_word", "lstrip", "rstrip"] {
            let reference = tokenizer(json!({"added_tokens": [added(263, "<a>", false, flag)]}));
            let fast = encoder(&reference).unwrap();
            assert!(fast.encode(reference.get_model(), "x <a> y", OPTIONS[0]).is_none());
            assert!(fast.encode(reference.get_model(), "x a y", OPTIONS[0]).is_some());
        }
    }
}
