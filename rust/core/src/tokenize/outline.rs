//! How much is in a `tokenizer.json`, seen before the library builds anything of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, Result};
use crate::limits::{Limits, within};

#[derive(serde::Deserialize)]
struct Outline {
    added_tokens: Option<Vec<AddedToken>>,
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
}

/// The strings in some JSON: the keys of an object, all there are in an array.
#[derive(Default)]
struct Strings {
    n_bytes: usize,
    longest: usize,
    /// Whether they stand in an array, as the pieces of a Unigram model do.
    in_array: bool,
}

/// That strings are no longer than a token may be, and those that the library makes much of are not too many. Gives the
/// type of the model, if the file says it.
pub(super) fn check(json: &[u8]) -> Result<Option<String>> {
    // What cannot be measured is not handed on: of two models in one file the library takes the last.
    let Outline { added_tokens, model } =
        serde_json::from_slice(json).map_err(|error| Error::Tokenizer { what: format!("tokenizer.json: {error}") })?;
    let limits = Limits::DEFAULT;
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
