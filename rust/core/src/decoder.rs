//! The `decoder` of a `tokenizer.json`, compiled: what each id adds to the text, and the little that is left to do while
//! a text streams. What cannot be compiled stays with the library.
//!
//! A decoder is a list of stages. Those before the tokens are joined map one token at a time and depend on nothing but
//! the token and whether it is the first one kept, so they are folded into tables here. Then one stage joins, and
//! whatever comes after it filters a text. Each of these is a transducer that holds back a bounded amount, so what a
//! stream gives is what decoding all at once would.

use std::collections::HashMap;

use serde_json::Value;

use crate::byte_level::byte_of;
use crate::error::{Error, Result};
use crate::filter::{Filter, Replace, Strip, byte_token};
use crate::limits::{Limits, within};
use crate::vocab::Table;
use crate::window::{Window, WindowStage};

/// What the library makes of the strings of some tokens: strings that together are the text.
pub type Join = Box<dyn Fn(Vec<String>) -> Result<Vec<String>> + Send + Sync>;

/// Makes the library's own decoder from its JSON.
pub type Library<'a> = dyn Fn(&Value) -> Result<Join> + 'a;

/// What is left to do while a text streams.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) joiner: Joiner,
    /// What an id adds as the first one kept, where that is something else than later on.
    pub(crate) first: Option<Table>,
    /// What the text passes through once it is joined.
    pub(crate) filters: Box<[Filter]>,
}

/// How tokens become a text.
pub(crate) enum Joiner {
    /// Their bytes are put together and may be anything; the text is what `String::from_utf8_lossy` makes of them.
    Utf8,
    /// Each is a text.
    Text,
    /// Each is a text or a byte, and bytes that follow each other are put together.
    ByteFallback {
        /// A character that, where it comes out of bytes, becomes a space; at the very beginning nothing if `true`.
        metaspace: Option<(char, bool)>,
    },
    /// Each is a text, and the last one another one.
    Suffix { last: Box<LastTables> },
    /// Each is a text, and one that follows its like adds nothing. Tokens that are alike have the same number.
    Dedup { kinds: Box<[u32]>, first_kinds: Option<Box<[u32]>> },
    /// The library's business.
    Window(Box<Window>),
}

/// What an id adds as the last token of all.
#[derive(Debug)]
pub(crate) struct LastTables {
    pub(crate) rest: Table,
    pub(crate) first: Option<Table>,
}

impl Joiner {
    /// Of a byte fallback.
    pub(crate) fn metaspace(&self) -> Option<(char, bool)> {
        if let Self::ByteFallback { metaspace } = self { *metaspace } else { None }
    }
}

impl std::fmt::Debug for Joiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "Utf8",
            Self::Text => "Text",
            Self::ByteFallback { .. } => "ByteFallback",
            Self::Suffix { .. } => "Suffix",
            Self::Dedup { .. } => "Dedup",
            Self::Window(_) => "Window",
        })
    }
}

impl Decoder {
    /// Without filters, and the same for the first token.
    pub(crate) fn new(joiner: Joiner) -> Self {
        Self { joiner, first: None, filters: Box::default() }
    }

    pub(crate) fn first_mut(&mut self) -> Option<&mut Table> {
        self.first.as_mut()
    }
}

/// One decoder of the library, read from its JSON.
enum Stage {
    ByteLevel,
    ByteFallback,
    Fuse,
    Replace {
        pattern: String,
        content: String,
    },
    /// A replacement that only the library can do.
    Library {
        join: Join,
        content: String,
    },
    Strip(Strip),
    Metaspace {
        replacement: char,
        /// Whether the first token's are dropped instead of becoming spaces.
        drops_first: bool,
    },
    WordPiece {
        prefix: String,
        cleanup: bool,
    },
    Suffix(String),
    Ctc {
        pad_token: String,
        word_delimiter_token: String,
        cleanup: bool,
    },
    /// No decoder at all: tokens are joined by spaces.
    Spaces,
}

/// What English typography wants of tokenised text (the `cleanup` of WordPiece and CTC): literal, replacement, in order.
pub(crate) const CLEANUP: [(&str, &str); 11] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

fn failed(what: impl Into<String>) -> Error {
    Error::Tokenizer { what: format!("decoder: {}", what.into()) }
}

/// The decoders of a decoder in order; nothing here recurses on what a file nests.
fn flat(decoder: &Value) -> Result<Vec<&Value>> {
    let (mut flat, mut ahead) = (Vec::new(), vec![decoder]);
    while let Some(decoder) = ahead.pop() {
        if decoder["type"] == "Sequence" {
            let decoders = decoder["decoders"].as_array().ok_or_else(|| failed("a Sequence without decoders"))?;
            ahead.extend(decoders.iter().rev());
        } else {
            flat.push(decoder);
        }
        within("decoder_stages", flat.len().max(ahead.len()), Limits::DEFAULT.decoder_stages)?;
    }
    Ok(flat)
}

fn stages(decoder: &Value, library: &Library<'_>) -> Result<Vec<Stage>> {
    if decoder.is_null() {
        return Ok(vec![Stage::Spaces]);
    }
    let stages = flat(decoder)?.into_iter().map(|decoder| stage(decoder, library)).collect::<Result<Vec<_>>>()?;
    let growth = stages.iter().map(Stage::growth).fold(1, usize::saturating_mul);
    within("tokenizer_growth", growth, Limits::DEFAULT.tokenizer_growth)?;
    Ok(stages)
}

fn stage(decoder: &Value, library: &Library<'_>) -> Result<Stage> {
    let kind = decoder["type"].as_str().unwrap_or_default();
    let missing = |field: &str| failed(format!("{kind} without {field:?}"));
    let text = |field: &str| {
        let text = decoder[field].as_str().ok_or_else(|| missing(field))?;
        within("decoder_literal_bytes", text.len(), Limits::DEFAULT.decoder_literal_bytes)?;
        Ok::<_, Error>(text.to_owned())
    };
    let character = |field: &str| {
        let mut characters = decoder[field].as_str().unwrap_or_default().chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(failed(format!("{kind}: {field:?} is not one character"))),
        }
    };
    let number = |field: &str| decoder[field].as_u64().ok_or_else(|| missing(field));
    let truth = |field: &str| decoder[field].as_bool().ok_or_else(|| missing(field));
    Ok(match kind {
        "ByteLevel" => Stage::ByteLevel,
        "ByteFallback" => Stage::ByteFallback,
        "Fuse" => Stage::Fuse,
        "Replace" => {
            let content = text("content")?;
            match decoder["pattern"]["String"].as_str() {
                Some(pattern) if !pattern.is_empty() => {
                    within("decoder_literal_bytes", pattern.len(), Limits::DEFAULT.decoder_literal_bytes)?;
                    Stage::Replace { pattern: pattern.to_owned(), content }
                }
                _ => Stage::Library { join: library(decoder)?, content },
            }
        }
        "Strip" => Stage::Strip(Strip::new(character("content")?, number("start")?, number("stop")?)),
        "Metaspace" => Stage::Metaspace {
            replacement: character("replacement")?,
            drops_first: decoder["prepend_scheme"] != "never",
        },
        "WordPiece" => Stage::WordPiece { prefix: text("prefix")?, cleanup: truth("cleanup")? },
        "BPEDecoder" => Stage::Suffix(text("suffix")?),
        "CTC" => Stage::Ctc {
            pad_token: text("pad_token")?,
            word_delimiter_token: text("word_delimiter_token")?,
            cleanup: truth("cleanup")?,
        },
        _ => return Err(failed(format!("unknown type {kind:?}"))),
    })
}

/// The stages sorted by what they work on.
struct Plan {
    token_stages: Vec<Stage>,
    join: JoinStage,
    filters: Vec<Filter>,
}

/// The stage that joins.
enum JoinStage {
    Plain,
    ByteLevel,
    ByteFallback { metaspace: Option<(char, bool)> },
    Suffix(String),
    Ctc { pad_token: String, word_delimiter_token: String, cleanup: bool },
}

/// Sort the stages; None if some stage needs more than a bounded hold-back, or looks at tokens that are no longer the
/// vocabulary's.
fn plan(stages: Vec<Stage>) -> Option<Plan> {
    let mut plan = Plan { token_stages: Vec::new(), join: JoinStage::Plain, filters: Vec::new() };
    let (mut joined, mut fused) = (false, false);
    for stage in stages {
        if !joined {
            match stage {
                Stage::ByteLevel => (plan.join, joined, fused) = (JoinStage::ByteLevel, true, true),
                Stage::Fuse => (joined, fused) = (true, true),
                Stage::ByteFallback => (plan.join, joined) = (JoinStage::ByteFallback { metaspace: None }, true),
                Stage::Suffix(suffix) => (plan.join, joined) = (JoinStage::Suffix(suffix), true),
                Stage::Ctc { pad_token, word_delimiter_token, cleanup } => {
                    (plan.join, joined) = (JoinStage::Ctc { pad_token, word_delimiter_token, cleanup }, true);
                }
                stage => plan.token_stages.push(stage),
            }
        } else if !fused {
            match (stage, &mut plan.join) {
                (Stage::Fuse, _) => fused = true,
                // U+FFFD stands for bad bytes, one token each: a Metaspace made of it would have to tell them apart.
                (
                    Stage::Metaspace { replacement, drops_first },
                    JoinStage::ByteFallback { metaspace: metaspace @ None },
                ) if replacement != char::REPLACEMENT_CHARACTER => *metaspace = Some((replacement, drops_first)),
                _ => return None,
            }
        } else {
            let replaced = match stage {
                Stage::Fuse => vec![],
                Stage::Replace { pattern, content } => vec![(pattern, content)],
                Stage::Metaspace { replacement, drops_first } => {
                    vec![(replacement.to_string(), if drops_first { "" } else { " " }.to_owned())]
                }
                Stage::WordPiece { cleanup, .. } => literals(if cleanup { &CLEANUP } else { &[] }),
                Stage::Suffix(suffix) => vec![(suffix, String::new())],
                Stage::Ctc { pad_token, word_delimiter_token, cleanup } => {
                    let mut replaced = vec![(pad_token, String::new())];
                    if cleanup {
                        replaced.extend(literals(&CLEANUP));
                        if word_delimiter_token.is_empty() {
                            return None;
                        }
                        replaced.push((word_delimiter_token, " ".to_owned()));
                    }
                    replaced
                }
                Stage::Strip(strip) => {
                    plan.filters.push(Filter::Strip(strip));
                    vec![]
                }
                Stage::ByteFallback => {
                    plan.filters.push(Filter::ByteToken);
                    vec![]
                }
                Stage::ByteLevel | Stage::Library { .. } | Stage::Spaces => return None,
            };
            // Nothing in place of an empty literal changes nothing.
            plan.filters.extend(replaced.iter().filter_map(|(a, b)| Replace::new(a, b)).map(Filter::Replace));
        }
    }
    Some(plan)
}

fn literals(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// `text.replace(pattern, content)`, refused before it grows beyond what a token may have.
fn replaced(text: &str, pattern: &str, content: &str) -> Result<String> {
    let n_matches = if content.len() > pattern.len() { text.matches(pattern).count() } else { 0 };
    let growth = n_matches.saturating_mul(content.len().saturating_sub(pattern.len()));
    within("token_bytes", text.len().saturating_add(growth), Limits::DEFAULT.token_bytes)?;
    Ok(text.replace(pattern, content))
}

fn cleaned(text: &str) -> String {
    CLEANUP.iter().fold(text.to_owned(), |text, (a, b)| text.replace(a, b))
}

/// What a byte-level token stands for: the bytes its characters are written for. One foreign character, and the whole
/// token is its own UTF-8, as the library has it.
fn byte_level_bytes(token: &str) -> Vec<u8> {
    token.chars().map(byte_of).collect::<Option<_>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

impl Stage {
    /// What the stage makes of a token. `is_first`: it is the first one kept.
    fn map(&self, token: &str, is_first: bool) -> Result<String> {
        Ok(match self {
            Self::Replace { pattern, content } => replaced(token, pattern, content)?,
            Self::Library { join, .. } => join(vec![token.to_owned()])?.concat(),
            Self::Strip(strip) => strip.apply(token),
            Self::Metaspace { replacement, drops_first } => {
                token.replace(*replacement, if is_first && *drops_first { "" } else { " " })
            }
            Self::WordPiece { prefix, cleanup } => {
                let token = match token.strip_prefix(prefix.as_str()) {
                    _ if is_first => token.to_owned(),
                    Some(rest) => rest.to_owned(),
                    None => format!(" {token}"),
                };
                if *cleanup { cleaned(&token) } else { token }
            }
            Self::Spaces => {
                if is_first {
                    token.to_owned()
                } else {
                    format!(" {token}")
                }
            }
            _ => token.to_owned(),
        })
    }

    /// At most how many bytes it makes of one, rounded up.
    fn growth(&self) -> usize {
        match self {
            Self::Replace { pattern, content } => content.len().div_ceil(pattern.len()).max(1),
            // A match may be empty.
            Self::Library { content, .. } => content.len() + 1,
            Self::Suffix(suffix) if suffix.is_empty() => 2,
            Self::Ctc { cleanup: true, word_delimiter_token, .. } if word_delimiter_token.is_empty() => 2,
            _ => 1,
        }
    }

    fn depends_on_place(&self) -> bool {
        matches!(self, Self::Metaspace { drops_first: true, .. } | Self::WordPiece { .. } | Self::Spaces)
    }
}

/// The table of what ids add later on, and everything else.
pub(crate) fn compile(tokens: &[Option<String>], decoder: &Value, library: &Library<'_>) -> Result<(Table, Decoder)> {
    for token in tokens.iter().flatten() {
        within("token_bytes", token.len(), Limits::DEFAULT.token_bytes)?;
    }
    match plan(stages(decoder, library)?) {
        Some(plan) => plan.compile(tokens),
        None => {
            let table = table(tokens, |token| Ok((token.as_bytes().to_vec(), false)))?;
            let window_stage = |decoder| {
                Ok(match stage(decoder, library)? {
                    Stage::Strip(strip) => WindowStage::Strip(strip),
                    _ => WindowStage::Library(library(decoder)?),
                })
            };
            let stages = flat(decoder)?.into_iter().map(window_stage).collect::<Result<_>>()?;
            Ok((table, Decoder::new(Joiner::Window(Box::new(Window::new(tokens, stages))))))
        }
    }
}

/// A table of what `map` makes of each token: bytes, and whether they are a byte of a byte fallback.
fn table(tokens: &[Option<String>], map: impl Fn(&str) -> Result<(Vec<u8>, bool)>) -> Result<Table> {
    let mut table = Table::new(tokens.len())?;
    for token in tokens {
        match token {
            None => table.push(None)?,
            Some(token) => {
                let (bytes, is_byte) = map(token)?;
                table.push(Some((&bytes, is_byte)))?;
            }
        }
    }
    Ok(table)
}

impl Plan {
    fn map(&self, token: &str, is_first: bool) -> Result<String> {
        self.token_stages.iter().try_fold(token.to_owned(), |token, stage| stage.map(&token, is_first))
    }

    fn compile(self, tokens: &[Option<String>]) -> Result<(Table, Decoder)> {
        let two_places = self.token_stages.iter().any(Stage::depends_on_place)
            || matches!(self.join, JoinStage::ByteFallback { metaspace: Some((_, true)) });
        // (what ids add later on, what they add as the first one kept, if that may be something else)
        let both = |add: &dyn Fn(String, bool) -> Result<(Vec<u8>, bool)>| {
            let column = |is_first: bool| table(tokens, |token| add(self.map(token, is_first)?, is_first));
            Ok::<_, Error>((column(false)?, two_places.then(|| column(true)).transpose()?))
        };
        let (rest, first, joiner) = match &self.join {
            JoinStage::Plain => {
                let (rest, first) = both(&|token, _| Ok((token.into_bytes(), false)))?;
                (rest, first, Joiner::Text)
            }
            JoinStage::ByteLevel => {
                let (rest, first) = both(&|token, _| Ok((byte_level_bytes(&token), false)))?;
                (rest, first, Joiner::Utf8)
            }
            JoinStage::ByteFallback { metaspace } => {
                let (rest, first) = both(&|token, is_first| {
                    Ok(match (byte_token(&token), metaspace) {
                        (Some(byte), _) => (vec![byte], true),
                        (None, None) => (token.into_bytes(), false),
                        (None, Some((replacement, drops_first))) => {
                            let space = if is_first && *drops_first { "" } else { " " };
                            (token.replace(*replacement, space).into_bytes(), false)
                        }
                    })
                })?;
                (rest, first, Joiner::ByteFallback { metaspace: *metaspace })
            }
            JoinStage::Suffix(suffix) => {
                let (rest, first) = both(&|token, _| Ok((replaced(&token, suffix, " ")?.into_bytes(), false)))?;
                let (last_rest, last_first) = both(&|token, _| Ok((token.replace(suffix, "").into_bytes(), false)))?;
                (rest, first, Joiner::Suffix { last: Box::new(LastTables { rest: last_rest, first: last_first }) })
            }
            JoinStage::Ctc { pad_token, word_delimiter_token, cleanup } => {
                let text = |token: String| {
                    let token = token.replace(pad_token.as_str(), "");
                    match cleanup {
                        true => replaced(&cleaned(&token), word_delimiter_token, " "),
                        false => Ok(token),
                    }
                };
                let (rest, first) = both(&|token, _| Ok((text(token)?.into_bytes(), false)))?;
                let mut numbers = HashMap::new();
                let mut kinds = |is_first: bool| {
                    let kind = |token: &Option<String>| match token {
                        None => Ok(u32::MAX),
                        Some(token) => {
                            let next = numbers.len() as u32;
                            Ok(*numbers.entry(self.map(token, is_first)?).or_insert(next))
                        }
                    };
                    tokens.iter().map(kind).collect::<Result<Box<[u32]>>>()
                };
                let rest_kinds = kinds(false)?;
                let first_kinds = two_places.then(|| kinds(true)).transpose()?;
                (rest, first, Joiner::Dedup { kinds: rest_kinds, first_kinds })
            }
        };
        Ok((rest, Decoder { joiner, first, filters: self.filters.into() }))
    }
}
