//! GGUF: the `tokenizer.ggml.*` keys of the metadata, read as llama.cpp reads them.
//!
//! The ids are llama.cpp's, but for what it does otherwise than the tokenizer that the model was trained with: `ſ` after an
//! apostrophe; cases and marks beyond ASCII under "tekken" and "gpt-4o"; white space beyond ASCII after a special token of
//! Phi-3; all of "bert", whose ids are those of the tokenizers library. Of "t5" they are those of a SentencePiece model:
//! see `sentencepiece.rs`. And a control token is never made of a user's text by merging, nor of a token that is ordinary
//! text in the file.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::pre_tokenizer::{self, GPT_2, LLAMA_3, O200K, QWEN_2, QWEN_35, Step, TEKKEN};
use super::scores::{self, Piece};
use super::sentencepiece::{self, Kind, SentencePiece, Spec, byte_piece};
use super::{Bpe, Converted, EOS_TOKENS, File, Model, added_token, failed, template};
use crate::byte_level::char_of;
use crate::error::Result;
use crate::gguf::{Array, Gguf};
use crate::limits::{Limits, within};

/// `tokenizer.ggml.token_type`.
const UNKNOWN: i64 = 2;
/// A token that is never text.
const CONTROL: i64 = 3;
/// A token that is read whole wherever its text stands.
const USER_DEFINED: i64 = 4;
/// An id that stands for nothing.
const UNUSED: i64 = 5;
/// A token that is one byte.
const BYTE: i64 = 6;

/// Tokens that end a generation in llama.cpp, beside `EOS_TOKENS`.
const MORE_EOS_TOKENS: [&str; 11] = [
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<end_of_utterance>",
    "<turn|>",
    "<|tool_response>",
    "[e~[",
];

/// How a text is cut before merging, by `tokenizer.ggml.pre`.
struct Pre {
    names: &'static [&'static str],
    steps: &'static [Step<'static>],
    /// A word that is a token is that token, whatever the merges say.
    ignore_merges: bool,
    /// Whether a text begins with the BOS token if the file does not say.
    add_bos: bool,
}

const fn pre(names: &'static [&'static str], steps: &'static [Step<'static>]) -> Pre {
    Pre { names, steps, ignore_merges: false, add_bos: false }
}

/// What is in the class of a pattern is what llama.cpp finds there: no white space, which it hides from such patterns.
const PRE: &[Pre] = &[
    pre(
        &["default"],
        &[
            Step::Split(r"[\p{P}\$\+<=>\^~\|]+"),
            Step::Split(GPT_2),
            Step::Split(r"\p{N}+"),
            Step::Split("[0-9][0-9][0-9]"),
        ],
    ),
    pre(
        &[
            "gpt-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "phi-2",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "exaone4",
        ],
        &[Step::Gpt2],
    ),
    pre(
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[Step::Digits, Step::Gpt2],
    ),
    Pre {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        steps: &[Step::Split(LLAMA_3)],
        ignore_merges: true,
        add_bos: true,
    },
    Pre { names: &["glm4", "glm5"], steps: &[Step::Split(LLAMA_3)], ignore_merges: true, add_bos: false },
    pre(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[Step::Split(LLAMA_3)]),
    pre(
        &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"],
        &[Step::Split(QWEN_2)],
    ),
    pre(&["qwen35"], &[Step::Split(QWEN_35)]),
    Pre { names: &["tekken"], steps: &[Step::Split(TEKKEN)], ignore_merges: true, add_bos: true },
    pre(&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], &[Step::Split(O200K)]),
    pre(&["falcon"], &[Step::Split(r"[\p{P}\$\+<=>\^~\|`]+"), Step::Split(GPT_2), Step::Split("[0-9][0-9][0-9]")]),
    pre(
        &["deepseek-coder"],
        &[
            Step::Split(r"[\r\n]"),
            Step::Split(r"\s?\p{L}+"),
            Step::Split(r"\s?\p{P}+"),
            Step::Split(DEEPSEEK_CJK),
            Step::Digits,
        ],
    ),
    pre(
        &["deepseek-llm"],
        &[
            Step::Split(r"[\r\n]"),
            Step::Split(DEEPSEEK_LETTERS),
            Step::Split("\\s?[!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3001}-\u{3002}]+"),
            Step::Split(r"\s+\z"),
            Step::Split(DEEPSEEK_CJK),
            Step::Split(r"\p{N}+"),
        ],
    ),
    pre(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        &[
            Step::Split(r"\p{N}{1,3}"),
            Step::Split("[一-龥぀-ゟ゠-ヿ]+"),
            Step::Split(concat!(
                r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##,
                r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            )),
        ],
    ),
];

/// U+0800 to U+9FA5 and U+AC00 to U+D7FF without the white space among them.
const DEEPSEEK_CJK: &str = "[\u{800}-\u{167f}\u{1681}-\u{1fff}\u{200b}-\u{2027}\u{202a}-\u{202e}\u{2030}-\u{205e}\
                            \u{2060}-\u{2fff}\u{3001}-\u{9fa5}\u{ac00}-\u{d7ff}]+";

/// The letters of scripts with two cases.
const DEEPSEEK_LETTERS: &str = concat!(
    r"\s?[",
    "A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}",
    "\u{295}-\u{2af}\u{370}-\u{373}\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\u{38c}",
    "\u{38e}-\u{3a1}\u{3a3}-\u{3f5}\u{3f7}-\u{481}\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}-\u{10c5}",
    "\u{13a0}-\u{13f5}\u{13f8}-\u{13fd}\u{1c90}-\u{1cba}\u{1cbd}-\u{1cbf}\u{1d00}-\u{1d2b}",
    "\u{1d6b}-\u{1d77}\u{1d79}-\u{1d9a}\u{1e00}-\u{1f15}\u{1f18}-\u{1f1d}\u{1f20}-\u{1f45}",
    "\u{1f48}-\u{1f4d}\u{1f50}-\u{1f57}\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\u{1f80}-\u{1fb4}",
    "\u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-\u{1fc4}\u{1fc6}-\u{1fcc}\u{1fd0}-\u{1fd3}\u{1fd6}-\u{1fdb}",
    "\u{1fe0}-\u{1fec}\u{1ff2}-\u{1ff4}\u{1ff6}-\u{1ffc}\u{2102}\u{2107}\u{210a}-\u{2113}\u{2115}",
    "\u{2119}-\u{211d}\u{2124}\u{2126}\u{2128}\u{212a}-\u{212d}\u{212f}-\u{2134}\u{2139}",
    "\u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}\u{2183}\u{2184}\u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}",
    "\u{2ceb}-\u{2cee}\u{2cf2}\u{2cf3}\u{a640}-\u{a66d}\u{a680}-\u{a69b}\u{a722}-\u{a76f}",
    "\u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\u{abbf}\u{fb00}-\u{fb06}\u{fb13}-\u{fb17}",
    "\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}",
    "\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}",
    "]+"
);

/// The vocabulary of a file.
struct Vocabulary<'a> {
    tokens: Vec<String>,
    kinds: Vec<i64>,
    ids: HashMap<String, u32>,
    gguf: &'a Gguf,
}

/// From the metadata of a GGUF file.
pub fn gguf(gguf: &Gguf) -> Result<Converted> {
    let model = gguf.str("tokenizer.ggml.model")?;
    let mut vocabulary = Vocabulary::new(gguf)?;
    if model == "bert" {
        vocabulary.mark_what_continues_a_word()?;
    }
    let defaults = Defaults::of(model);
    let eos_tokens = vocabulary.eos_tokens(&defaults)?;
    let mut missing_bytes = Vec::new();
    let (parts, add_bos) = match model {
        "gpt2" => vocabulary.byte_level(&mut missing_bytes)?,
        "gemma4" => (vocabulary.gemma4()?, true),
        "llama" => (vocabulary.llama()?, true),
        "bert" => (vocabulary.bert(defaults.unknown)?, true),
        "t5" => (vocabulary.t5(defaults.unknown)?, false),
        other => {
            let supported = "supported: \"gpt2\", \"llama\", \"gemma4\", \"bert\", \"t5\"";
            return Err(failed(format!("tokenizer.ggml.model {other:?} is not supported ({supported})")));
        }
    };
    let mut bos = vocabulary.special("bos_token_id", defaults.bos)?;
    if model == "bert" {
        bos = vocabulary.special("cls_token_id", bos)?;
    }
    // Of Gemma 4 files exist that say they add none, and are wrong.
    let adds = |key, default| if model == "gemma4" && default { Ok(true) } else { flag(gguf, key, default) };
    let begin = match adds("tokenizer.ggml.add_bos_token", add_bos)? {
        true => Some(
            bos.ok_or_else(|| failed("a text begins with a BOS token, but tokenizer.ggml.bos_token_id is missing"))?,
        ),
        false => None,
    };
    let end = match model {
        "bert" => Some(("seperator_token_id", defaults.separator)),
        _ => adds("tokenizer.ggml.add_eos_token", model == "t5")?.then_some(("eos_token_id", defaults.eos)),
    };
    let end = end.map(|(key, default)| {
        let missing = || failed(format!("a text ends with a token, but tokenizer.ggml.{key} is missing"));
        vocabulary.special(key, default)?.ok_or_else(missing)
    });
    let end = end.transpose()?;
    let token = |id: u32| (&vocabulary.tokens[id as usize][..], id);
    let file = File {
        version: "1.0",
        added_tokens: vocabulary.added_tokens(),
        normalizer: parts.normalizer,
        pre_tokenizer: parts.pre_tokenizer,
        post_processor: template(begin.map(token).as_slice(), end.map(token).as_slice()),
        decoder: parts.decoder,
        model: parts.model,
    };
    Ok(Converted {
        json: file.json()?,
        missing_bytes,
        eos_tokens: Some(eos_tokens),
        bos_token: bos.map(|id| token(id).0.to_owned()),
        chat_template: gguf.str("tokenizer.chat_template").ok().map(str::to_owned),
    })
}

/// What of a `tokenizer.json` depends on the kind of model.
struct Parts<'a> {
    normalizer: Value,
    pre_tokenizer: Value,
    model: Model<'a>,
    decoder: Value,
}

/// The ids that go without saying, by the kind of model.
#[derive(Default)]
struct Defaults {
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    separator: Option<u32>,
}

impl Defaults {
    fn of(model: &str) -> Self {
        match model {
            "llama" => Self { bos: Some(1), eos: Some(2), unknown: Some(0), ..Self::default() },
            "bert" => Self { bos: Some(101), unknown: Some(100), separator: Some(102), ..Self::default() },
            "t5" => Self { eos: Some(1), unknown: Some(2), ..Self::default() },
            _ => Self::default(),
        }
    }
}

impl<'a> Vocabulary<'a> {
    fn new(gguf: &'a Gguf) -> Result<Self> {
        let tokens = gguf.strings("tokenizer.ggml.tokens")?;
        within("vocab_size", tokens.len(), Limits::DEFAULT.vocab_size)?;
        let kinds = gguf.i64s("tokenizer.ggml.token_type")?.to_vec();
        if kinds.len() != tokens.len() {
            return Err(failed(format!("{} token types for {} tokens", kinds.len(), tokens.len())));
        }
        let named =
            |(id, token): (usize, &String)| if token.is_empty() { format!("[EMPTY_{id}]") } else { token.clone() };
        let tokens: Vec<String> = tokens.iter().enumerate().map(named).collect();
        let ids = ids_of(&tokens)?;
        Ok(Self { tokens, kinds, ids, gguf })
    }

    /// The id that the file gives for a purpose, or what goes without saying.
    fn special(&self, key: &str, default: Option<u32>) -> Result<Option<u32>> {
        let key = format!("tokenizer.ggml.{key}");
        if self.gguf.get(&key).is_none() {
            return Ok(default.filter(|id| (*id as usize) < self.tokens.len()));
        }
        match self.gguf.u64(&key)? {
            id if id < self.tokens.len() as u64 => Ok(Some(id as u32)),
            id => Err(failed(format!("{key} is {id}, but there are {} tokens", self.tokens.len()))),
        }
    }

    /// The tokens that end a generation, which are control tokens from then on.
    fn eos_tokens(&mut self, defaults: &Defaults) -> Result<Vec<String>> {
        let named = [
            self.special("eos_token_id", defaults.eos)?,
            self.special("eot_token_id", None)?,
            self.special("eom_token_id", None)?,
        ];
        // What is only text in the vocabulary ends nothing: in Qwen2's, </s> is what HTML writes.
        let has = |token: &str| {
            self.ids.get(token).is_some_and(|id| {
                named.contains(&Some(*id)) || matches!(self.kinds[*id as usize], CONTROL | USER_DEFINED)
            })
        };
        let mut by_text: Vec<&str> = EOS_TOKENS.into_iter().chain(MORE_EOS_TOKENS).filter(|token| has(token)).collect();
        // Where a generation ends with one of these, <|end|> and </s> are tokens like any other.
        if has("<|call|>") && has("<|return|>") || has("<|calls|>") && has("<|flush|>") {
            by_text.retain(|token| *token != "<|end|>");
        }
        if has("<|tool_response>") {
            by_text.retain(|token| *token != "</s>");
        }
        let mut eos_tokens: Vec<String> = by_text.into_iter().map(str::to_owned).collect();
        for token in &eos_tokens {
            self.kinds[self.ids[token] as usize] = CONTROL;
        }
        for id in named.into_iter().flatten() {
            if !eos_tokens.contains(&self.tokens[id as usize]) {
                eos_tokens.push(self.tokens[id as usize].clone());
            }
        }
        Ok(eos_tokens)
    }

    fn added_tokens(&self) -> Vec<Value> {
        // llama.cpp knows these by the name of the model.
        let name = self.gguf.str("general.name").unwrap_or_default().to_lowercase();
        let strips = |token: &str| {
            (name.contains("phi-3") || name.contains("phi3")) && !["<unk>", "<s>", "<|endoftext|>"].contains(&token)
        };
        let mut added = Vec::new();
        for (id, (token, kind)) in self.tokens.iter().zip(&self.kinds).enumerate() {
            if matches!(*kind, UNKNOWN | CONTROL | USER_DEFINED) {
                let mut entry = added_token(id as u32, token, *kind != USER_DEFINED);
                entry["rstrip"] = strips(token).into();
                added.push(entry);
            }
        }
        added
    }

    fn vocab(&self) -> Vec<(Cow<'_, str>, u32)> {
        (0..).zip(&self.tokens).map(|(id, token)| (token.into(), id)).collect()
    }

    /// Pairs of tokens, each the first time it stands there.
    fn merges(&self) -> Result<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
        let merges = self.gguf.strings("tokenizer.ggml.merges")?;
        let mut pairs = HashSet::with_capacity(merges.len());
        let mut out = Vec::with_capacity(merges.len());
        for merge in merges {
            // The first token may begin with a space.
            let space = merge.bytes().skip(1).position(|byte| byte == b' ');
            let Some((left, right)) = space.map(|at| (&merge[..at + 1], &merge[at + 2..])) else {
                return Err(failed(format!("tokenizer.ggml.merges: {merge:?} is no pair")));
            };
            let made = [left, right].concat();
            if let Some(token) = [left, right, &made].into_iter().find(|token| !self.ids.contains_key(*token)) {
                return Err(failed(format!("tokenizer.ggml.merges: {merge:?}, but there is no token {token:?}")));
            }
            if pairs.insert((left, right)) {
                out.push((left.into(), right.into()));
            }
        }
        Ok(out)
    }

    fn byte_level(&self, missing_bytes: &mut Vec<String>) -> Result<(Parts<'_>, bool)> {
        let name = if self.gguf.get("tokenizer.ggml.pre").is_some() {
            self.gguf.str("tokenizer.ggml.pre")?
        } else {
            "default"
        };
        let Some(pre) = PRE.iter().find(|pre| pre.names.contains(&name)) else {
            let names: Vec<&str> = PRE.iter().flat_map(|pre| pre.names).copied().collect();
            return Err(failed(format!(
                "tokenizer.ggml.pre {name:?} is not supported (supported: {})",
                names.join(", ")
            )));
        };
        let mut vocab = self.vocab();
        for token in (0..=255).map(|byte| char_of(byte).to_string()) {
            if !self.ids.contains_key(&token) {
                vocab.push((token.clone().into(), vocab.len() as u32));
                missing_bytes.push(token);
            }
        }
        let model = Bpe { vocab, merges: self.merges()?, ignore_merges: pre.ignore_merges, ..Bpe::default() };
        let model = Model::Bpe(model);
        let decoder = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let pre_tokenizer = pre_tokenizer::byte_level(pre.steps);
        Ok((Parts { normalizer: Value::Null, pre_tokenizer, model, decoder }, pre.add_bos))
    }

    /// Merges as of "gpt2", but of characters, and bytes as of "llama".
    fn gemma4(&self) -> Result<Parts<'_>> {
        let model = self.byte_fallback(self.merges()?, self.special("unknown_token_id", None)?);
        Ok(Parts {
            normalizer: json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}),
            pre_tokenizer: pre_tokenizer::split(r"[^\n]+|[\n]+"),
            model,
            decoder: decoder(false),
        })
    }

    fn scores(&self) -> Result<&[f64]> {
        let scores = match self.gguf.get("tokenizer.ggml.scores") {
            Some(crate::gguf::Value::Array(Array::F64(scores))) => scores,
            Some(_) => return Err(failed("tokenizer.ggml.scores is no array of floats")),
            None => return Err(failed("tokenizer.ggml.scores is missing")),
        };
        if scores.len() != self.tokens.len() {
            return Err(failed(format!("{} scores for {} tokens", scores.len(), self.tokens.len())));
        }
        Ok(scores)
    }

    fn llama(&self) -> Result<Parts<'_>> {
        let scores = self.scores()?;
        let pieces: Vec<Piece<'_>> = (self.tokens.iter().zip(&self.kinds).zip(scores))
            .map(|((token, kind), score)| Piece {
                text: token,
                score: *score as f32,
                mergeable: !matches!(*kind, UNKNOWN | CONTROL),
            })
            .collect();
        let merges = scores::merges(&pieces)?.into_iter().map(|(left, right, _)| (left.into(), right.into())).collect();
        let add_space_prefix = flag(self.gguf, "tokenizer.ggml.add_space_prefix", true)?;
        let escape = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let normalizer = match add_space_prefix {
            true => json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, escape]}),
            false => escape,
        };
        Ok(Parts {
            normalizer,
            pre_tokenizer: Value::Null,
            model: self.byte_fallback(merges, self.special("unknown_token_id", Some(0))?),
            decoder: decoder(add_space_prefix),
        })
    }

    /// A model of characters, where those that are no token become the tokens of their bytes, or else unknown.
    fn byte_fallback<'b>(&'b self, merges: Vec<(Cow<'b, str>, Cow<'b, str>)>, unknown: Option<u32>) -> Model<'b> {
        Model::Bpe(Bpe {
            vocab: self.vocab(),
            merges,
            unk_token: unknown.map(|id| &self.tokens[id as usize][..]),
            fuse_unk: true,
            byte_fallback: (0..=255).all(|byte| self.ids.contains_key(&byte_piece(byte))),
            ignore_merges: false,
        })
    }

    /// The file marks pieces that begin a word, where BERT marks those that do not. What is in brackets is neither.
    fn mark_what_continues_a_word(&mut self) -> Result<()> {
        for (token, kind) in self.tokens.iter_mut().zip(&self.kinds) {
            let is_whole =
                matches!(*kind, UNKNOWN | CONTROL | USER_DEFINED) || token.starts_with('[') && token.ends_with(']');
            match token.strip_prefix('▁') {
                Some(word) => *token = word.to_owned(),
                None if is_whole => {}
                None => token.insert_str(0, "##"),
            }
        }
        self.ids = ids_of(&self.tokens)?;
        Ok(())
    }

    /// As BERT reads a text: `lowercase` takes accents off too, unless the file says otherwise.
    fn bert(&self, unknown_default: Option<u32>) -> Result<Parts<'_>> {
        let lowercase = flag(self.gguf, "tokenizer.ggml.normalizer.lowercase", true)?;
        let strip_accents = flag(self.gguf, "tokenizer.ggml.normalizer.strip_accents", lowercase)?;
        let unknown = self.special("unknown_token_id", unknown_default)?;
        let unknown = unknown.ok_or_else(|| failed("tokenizer.ggml.unknown_token_id is missing"))?;
        Ok(Parts {
            normalizer: json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": strip_accents, "lowercase": lowercase}),
            pre_tokenizer: json!({"type": "BertPreTokenizer"}),
            model: Model::WordPiece {
                vocab: self.vocab(),
                unk_token: &self.tokens[unknown as usize],
                continuing_subword_prefix: "##",
                max_input_chars_per_word: 100,
            },
            decoder: json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        })
    }

    /// A Unigram model as SentencePiece reads it, without its byte fallback.
    fn t5(&self, unknown_default: Option<u32>) -> Result<Parts<'_>> {
        let unknown = self.special("unknown_token_id", unknown_default)?;
        let unknown = unknown.ok_or_else(|| failed("tokenizer.ggml.unknown_token_id is missing"))?;
        let charsmap = self.charsmap()?;
        let pieces: Vec<SentencePiece<'_>> = (self.tokens.iter().zip(&self.kinds).zip(self.scores()?))
            .map(|((text, kind), score)| SentencePiece {
                text,
                score: *score as f32,
                kind: match *kind {
                    UNKNOWN => Kind::Unknown,
                    CONTROL => Kind::Control,
                    USER_DEFINED => Kind::UserDefined,
                    UNUSED => Kind::Unused,
                    BYTE => Kind::Byte,
                    _ => Kind::Normal,
                },
            })
            .collect();
        let add_dummy_prefix = flag(self.gguf, "tokenizer.ggml.add_space_prefix", true)?;
        let spec = Spec {
            charsmap: &charsmap,
            add_dummy_prefix,
            remove_extra_whitespaces: flag(self.gguf, "tokenizer.ggml.remove_extra_whitespaces", false)?,
            ..Spec::default()
        };
        Ok(Parts {
            // llama.cpp looks for user-defined tokens in the text as it is, and so do added tokens.
            normalizer: sentencepiece::normalizer(&spec, &[])?,
            pre_tokenizer: Value::Null,
            model: sentencepiece::unigram(&pieces, &spec, unknown as usize)?,
            decoder: decoder(add_dummy_prefix),
        })
    }

    fn charsmap(&self) -> Result<Vec<u8>> {
        let bytes: Option<Vec<u8>> = match self.gguf.get("tokenizer.ggml.precompiled_charsmap") {
            None => return Ok(Vec::new()),
            Some(crate::gguf::Value::Array(Array::U64(bytes))) => {
                bytes.iter().map(|byte| u8::try_from(*byte).ok()).collect()
            }
            Some(crate::gguf::Value::Array(Array::I64(bytes))) => {
                bytes.iter().map(|byte| i8::try_from(*byte).ok().map(i8::cast_unsigned)).collect()
            }
            Some(_) => None,
        };
        bytes.ok_or_else(|| failed("tokenizer.ggml.precompiled_charsmap is no array of bytes"))
    }
}

fn ids_of(tokens: &[String]) -> Result<HashMap<String, u32>> {
    let ids: HashMap<String, u32> = (0..).zip(tokens).map(|(id, token)| (token.clone(), id)).collect();
    match ids.len() == tokens.len() {
        true => Ok(ids),
        false => Err(failed("tokenizer.ggml.tokens: a token stands twice")),
    }
}

fn decoder(strip: bool) -> Value {
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if strip {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"type": "Sequence", "decoders": decoders})
}

fn flag(gguf: &Gguf, key: &str, default: bool) -> Result<bool> {
    if gguf.get(key).is_none() { Ok(default) } else { gguf.bool(key) }
}
