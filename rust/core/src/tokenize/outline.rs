//! What is in a `tokenizer.json`, seen before the library builds anything of it: how much, and what it would panic on.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::failed;
use crate::convert::check_charsmap;
use crate::error::Result;
use crate::limits::{Limits, within};

#[derive(serde::Deserialize)]
struct Outline {
    added_tokens: Option<Vec<AddedToken>>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    model: Option<Model>,
}

#[derive(serde::Deserialize)]
struct AddedToken {
    content: Strings,
}

#[derive(serde::Deserialize)]
struct Model {
    r#type: Option<String>,
    vocab: Option<Strings>,
    continuing_subword_prefix: Option<String>,
}

/// The merges of a model whose tokens inside a word have a prefix.
#[derive(serde::Deserialize)]
struct Prefixed {
    model: Merges,
}

#[derive(serde::Deserialize)]
struct Merges {
    #[serde(default)]
    merges: Vec<Merge>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(IgnoredAny, String),
}

/// The strings in some JSON: the keys of an object, all there are in an array.
#[derive(Default)]
struct Strings {
    n_bytes: usize,
    longest: usize,
    /// Whether they stand in an array, as the pieces of a Unigram model do.
    in_array: bool,
}

/// That strings are no longer than a token may be, those that the library makes much of are not too many, and that it
/// does not panic on what it takes on trust. Gives the type of the model, if the file says it.
pub(super) fn check(json: &[u8]) -> Result<Option<String>> {
    let broken = |error| failed(format!("tokenizer.json: {error}"));
    // What cannot be measured is not handed on: of two models in one file the library takes the last.
    let Outline { added_tokens, normalizer, pre_tokenizer, mut model } =
        serde_json::from_slice(json).map_err(broken)?;
    let limits = Limits::DEFAULT;
    check_charsmaps(&normalizer.unwrap_or_default())?;
    check_lengths(&pre_tokenizer.unwrap_or_default())?;
    let prefix = model.as_mut().and_then(|model| model.continuing_subword_prefix.take()).unwrap_or_default();
    if !prefix.is_empty() {
        let Prefixed { model } = serde_json::from_slice(json).map_err(broken)?;
        check_merges(&model.merges, &prefix)?;
    }
    let added = added_tokens.unwrap_or_default().into_iter().map(|token| token.content);
    let added = added.fold(Strings::default(), Strings::and);
    let (kind, vocab) = model.map_or((None, None), |model| (model.r#type, model.vocab));
    let vocab = vocab.unwrap_or_default();
    within("token_bytes", added.longest.max(vocab.longest), limits.token_bytes)?;
    within("added_token_bytes", added.n_bytes, limits.added_token_bytes)?;
    within("vocab_bytes", vocab.n_bytes, limits.vocab_bytes)?;
    if vocab.in_array {
        within("unigram_bytes", vocab.n_bytes, limits.unigram_bytes)?;
    }
    Ok(kind)
}

/// The library reads them by offsets that they name themselves.
fn check_charsmaps(normalizer: &Value) -> Result<()> {
    let mut ahead = vec![normalizer];
    while let Some(normalizer) = ahead.pop() {
        ahead.extend(normalizer["normalizers"].as_array().into_iter().flatten());
        match normalizer["precompiled_charsmap"].as_str() {
            Some(charsmap) => check_charsmap(charsmap)?,
            None if normalizer["type"] == "Precompiled" => {
                return Err(failed("tokenizer.json: the precompiled_charsmap is no string"));
            }
            None => {}
        }
    }
    Ok(())
}

/// Pieces of no length would have no end.
fn check_lengths(pre_tokenizer: &Value) -> Result<()> {
    let mut ahead = vec![pre_tokenizer];
    while let Some(part) = ahead.pop() {
        ahead.extend(part["pretokenizers"].as_array().into_iter().flatten());
        if part["type"] == "FixedLength" && part["length"] == 0 {
            return Err(failed("tokenizer.json: a FixedLength of 0"));
        }
    }
    Ok(())
}

/// The library cuts as much off the second token of each merge as the prefix is long, whatever stands there.
fn check_merges(merges: &[Merge], prefix: &str) -> Result<()> {
    for merge in merges {
        let second = match merge {
            Merge::Line(line) => line.split(' ').nth(1).unwrap_or_default(),
            Merge::Pair(_, second) => second,
        };
        if !second.is_char_boundary(prefix.len()) {
            let what = format!("the second token of a merge, {second:?}, does not begin with {prefix:?}");
            return Err(failed(format!("tokenizer.json: {what}")));
        }
    }
    Ok(())
}

impl Strings {
    fn and(self, other: Self) -> Self {
        Self {
            n_bytes: self.n_bytes + other.n_bytes,
            longest: self.longest.max(other.longest),
            in_array: self.in_array,
        }
    }
}

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Seen)
    }
}

struct Seen;

impl<'de> Visitor<'de> for Seen {
    type Value = Strings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Strings, E> {
        Ok(Strings { n_bytes: text.len(), longest: text.len(), in_array: false })
    }

    fn visit_unit<E>(self) -> std::result::Result<Strings, E> {
        Ok(Strings::default())
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<Strings, E> {
        Ok(Strings::default())
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Strings, E> {
        Ok(Strings::default())
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Strings, E> {
        Ok(Strings::default())
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Strings, E> {
        Ok(Strings::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Strings, A::Error> {
        let mut all = Strings { in_array: true, ..Strings::default() };
        while let Some(item) = items.next_element::<Strings>()? {
            all = all.and(item);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Strings, A::Error> {
        let mut all = Strings::default();
        while let Some(key) = entries.next_key::<Strings>()? {
            all = all.and(key);
            entries.next_value::<IgnoredAny>()?;
        }
        Ok(all)
    }
}
