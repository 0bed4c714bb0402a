//! What code around a file adds to it: tokens, and ids before and after a text.

use serde_json::{Value, json};

use super::{Converted, added_token, failed, template};
use crate::error::Result;

/// A token that is found in a text before anything else is.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct AddedToken {
    pub id: u32,
    pub content: String,
    pub special: bool,
    /// Only where no word goes on before or after it.
    pub single_word: bool,
    /// With the white space before it.
    pub lstrip: bool,
    /// With the white space after it.
    pub rstrip: bool,
}

/// Tokens, and ids that stand before and after a text.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Additions {
    pub tokens: Vec<AddedToken>,
    pub begin: Vec<u32>,
    pub end: Vec<u32>,
}

impl Converted {
    /// The same file with what is added to it. The id of a token must be its own in the file, or free.
    pub fn with(self, additions: &Additions) -> Result<Self> {
        let mut file: Value = serde_json::from_slice(&self.json).map_err(failed)?;
        let mut tokens: Vec<&AddedToken> = additions.tokens.iter().collect();
        tokens.sort_by_key(|token| token.id);
        for AddedToken { id, content, special, single_word, lstrip, rstrip } in tokens {
            if !give_id(&mut file["model"]["vocab"], content, *id) {
                return Err(failed(format!("the added token {content:?} cannot have the id {id}: it is not free")));
            }
            let mut entry = added_token(*id, content, *special);
            entry["single_word"] = (*single_word).into();
            entry["lstrip"] = (*lstrip).into();
            entry["rstrip"] = (*rstrip).into();
            if let Some(added) = file["added_tokens"].as_array_mut() {
                added.retain(|entry| entry["content"] != content[..]);
                added.push(entry);
            }
        }
        let named = |ids: &[u32]| -> Result<Vec<(String, u32)>> {
            let missing = |id: &u32| failed(format!("{id} is added to a text, but there is no such token"));
            ids.iter().map(|id| Ok((token_of(&file["model"]["vocab"], *id).ok_or_else(|| missing(id))?, *id))).collect()
        };
        let (begin, end) = (named(&additions.begin)?, named(&additions.end)?);
        let post_processor = template(&borrowed(&begin), &borrowed(&end));
        file["post_processor"] = post_processor;
        Ok(Self { json: serde_json::to_vec(&file).map_err(failed)?, ..self })
    }
}

fn borrowed(tokens: &[(String, u32)]) -> Vec<(&str, u32)> {
    tokens.iter().map(|(token, id)| (&token[..], *id)).collect()
}

/// Whether a token has this id in the `vocab` of a model, or could be given it.
fn give_id(vocab: &mut Value, token: &str, id: u32) -> bool {
    match vocab {
        Value::Object(ids) => ids.entry(token).or_insert_with(|| id.into()) == &json!(id),
        // The pieces of a Unigram model, whose ids are their places.
        Value::Array(pieces) => match pieces.get(id as usize) {
            Some(piece) => piece[0] == token,
            None if pieces.len() == id as usize => {
                pieces.push(json!([token, super::sentencepiece::NEVER]));
                true
            }
            None => false,
        },
        _ => false,
    }
}

fn token_of(vocab: &Value, id: u32) -> Option<String> {
    match vocab {
        Value::Object(ids) => ids.iter().find(|(_, of)| **of == id).map(|(token, _)| token.clone()),
        Value::Array(pieces) => Some(pieces.get(id as usize)?[0].as_str()?.to_owned()),
        _ => None,
    }
}
