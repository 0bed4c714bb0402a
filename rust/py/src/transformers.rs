//! What a tokenizer of transformers says: the text of its `tokenizer.json`, or the model that one written in Python runs.
//!
//! Code in Python may do anything to a text, so what is taken of such a tokenizer is kept only if both read a number of
//! telling texts alike.

use logitwire_core::convert::{self, AddedToken, Additions, Converted};
use logitwire_core::error::Error as CoreError;
use logitwire_core::tokenize::{Details, EncodeOptions, Tokenizer as Core};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::error::Result;

/// Where code in Python is known to change a text: spaces and their kinds, case, punctuation, accents, forms of Unicode,
/// controls, digits; and where it puts words beside special tokens.
const TELLING: [&str; 18] = [
    "",
    " ",
    "Hello World",
    "  two  spaces ",
    "\n\ttab\r\n\n",
    "don't STOP, I'LL go...",
    "(a) [b] {c} <d> \"e\" 'f' - _ * & # @ % $ ~ ` ^ | \\ / + =",
    "ÀÉÎ ß ĳ ﬁ Å",
    "e\u{301} o\u{308}\u{323} \u{1100}\u{1161}",
    "1234567 ٣٤٥ ²½",
    "漢字かな 한국어 ภาษา",
    "a\u{a0}b\u{2003}c\u{3000}d\u{200b}e\u{ad}f",
    "👩‍👩‍👧 👍🏽",
    "\0\u{7f}\u{85}\u{feff}",
    "<s></s> <unk> <|endoftext|> [CLS]",
    "▁a ▁ ▁▁",
    "def f(x):\n    return x**2  # twice\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

fn refused(what: impl Into<String>) -> crate::error::Error {
    CoreError::Tokenizer { what: what.into() }.into()
}

/// An attribute, None: it is not there, or it is None.
fn optional<'py>(object: &Bound<'py, PyAny>, name: &str) -> Result<Option<Bound<'py, PyAny>>> {
    Ok(object.getattr_opt(name)?.filter(|value| !value.is_none()))
}

pub(crate) fn load(tokenizer: &Bound<'_, PyAny>, eos_tokens: Option<Vec<String>>) -> Result<Core> {
    let is_set = |name: &str| -> Result<bool> { Ok(optional(tokenizer, name)?.map_or(Ok(false), |v| v.is_truthy())?) };
    let mut details = Details {
        eos_tokens: eos_tokens.or(text(tokenizer, "eos_token")?.map(|token| vec![token])),
        bos_token: text(tokenizer, "bos_token")?,
        chat_template: chat_template(tokenizer)?,
        clean_up_spaces: false,
    };
    let Some(backend) = optional(tokenizer, "backend_tokenizer")? else {
        return written_in_python(tokenizer, details);
    };
    // transformers does not clean up after byte pairs, unless told to in so many words.
    let is_bpe = backend.getattr("model")?.get_type().name()? == "BPE";
    details.clean_up_spaces = is_set("clean_up_tokenization_spaces")?
        && (!is_bpe || is_set("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output")?);
    let json: String = backend.call_method0("to_str")?.extract()?;
    tokenizer.py().detach(|| Ok(Core::from_json(json.as_bytes(), details)?))
}

fn text(tokenizer: &Bound<'_, PyAny>, name: &str) -> Result<Option<String>> {
    let Some(value) = optional(tokenizer, name)? else { return Ok(None) };
    match value.extract() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(refused(format!("{name} is no str: {}", value.get_type().name()?))),
    }
}

/// Of several templates by name the one that transformers takes when told no name.
fn chat_template(tokenizer: &Bound<'_, PyAny>) -> Result<Option<String>> {
    let Some(value) = optional(tokenizer, "chat_template")? else { return Ok(None) };
    let Ok(by_name) = value.cast::<PyDict>() else { return text(tokenizer, "chat_template") };
    match by_name.get_item("default")? {
        Some(template) if template.is_instance_of::<PyString>() => Ok(Some(template.extract()?)),
        _ => {
            let mut names =
                by_name.keys().iter().map(|name| Ok(name.str()?.to_string())).collect::<PyResult<Vec<_>>>()?;
            names.sort();
            let names = names.join(", ");
            let what = "there are several and none is \"default\": set tokenizer.chat_template to one of them";
            Err(refused(format!("chat_template: {what} ({names})")))
        }
    }
}

fn written_in_python(tokenizer: &Bound<'_, PyAny>, details: Details) -> Result<Core> {
    let kind = tokenizer.get_type().name()?.to_string();
    let candidates = models(tokenizer, &kind)?;
    let added = additions(tokenizer, &kind)?;
    let mut differs = None;
    for model in candidates {
        let Details { eos_tokens, bos_token, chat_template, .. } = details.clone();
        let converted = Converted { bos_token, chat_template, ..model.with(&added)? };
        let ours = Core::from_converted(converted, eos_tokens)?;
        differs = first_difference(tokenizer, &ours, &added)?;
        if differs.is_none() {
            return Ok(ours);
        }
    }
    let text = differs.unwrap_or_default();
    Err(refused(format!(
        "{kind} changes a text in Python, such as {text:?}, which its model would read otherwise: it cannot be loaded \
         (a tokenizer.json of it can, by Tokenizer.from_file)"
    )))
}

/// What the model of a tokenizer written in Python may be: the first that reads texts as it does.
fn models(tokenizer: &Bound<'_, PyAny>, kind: &str) -> Result<Vec<Converted>> {
    if let Some(processor) = optional(tokenizer, "sp_model")? {
        let model: Vec<u8> = processor.call_method0("serialized_model_proto")?.extract()?;
        return Ok(vec![convert::sentencepiece(&model)?]);
    }
    let attributes = tokenizer.getattr_opt("__dict__")?;
    for value in attributes.map(|all| all.call_method0("values")?.try_iter()).transpose()?.into_iter().flatten() {
        let value = value?;
        if value.get_type().qualname()? == "Encoding" && value.hasattr("_mergeable_ranks")? {
            let ranks: Vec<(Vec<u8>, u32)> = value
                .getattr("_mergeable_ranks")?
                .call_method0("items")?
                .try_iter()?
                .map(|item| item?.extract())
                .collect::<PyResult<_>>()?;
            let special: Vec<(String, u32)> = value
                .getattr("_special_tokens")?
                .call_method0("items")?
                .try_iter()?
                .map(|item| item?.extract())
                .collect::<PyResult<_>>()?;
            let pattern: String = value.getattr("_pat_str")?.extract()?;
            let of = |nfc| convert::ranks(&ranks, &pattern, &special, nfc);
            return Ok(vec![of(false)?, of(true)?]);
        }
    }
    if let Some(file) = optional(tokenizer, "vocab_file")? {
        let content = crate::tokenize::read_file(&file)?;
        return match convert::sentencepiece(content.extract().map_err(PyErr::from)?) {
            Ok(model) => Ok(vec![model]),
            Err(error) => Err(refused(format!(
                "{kind} has no `backend_tokenizer`, and its vocab_file {} is no model of SentencePiece that can be read \
                 ({error}): load it by Tokenizer.from_tiktoken, Tokenizer.from_tekken or Tokenizer.from_file",
                file.str()?
            ))),
        };
    }
    Err(refused(format!(
        "{kind} has no `backend_tokenizer`, no model of SentencePiece or tiktoken and no vocab_file: load the files it was \
         made from (Tokenizer.from_file, from_sentencepiece, from_tiktoken, from_tekken)"
    )))
}

/// What code in Python puts around its model.
fn additions(tokenizer: &Bound<'_, PyAny>, kind: &str) -> Result<Additions> {
    let mut added = Additions::default();
    if let Some(by_id) = optional(tokenizer, "added_tokens_decoder")? {
        for item in by_id.call_method0("items")?.try_iter()? {
            let (id, token): (u32, Bound<'_, PyAny>) = item?.extract()?;
            let is = |name: &str| -> Result<bool> { Ok(token.getattr(name)?.is_truthy()?) };
            added.tokens.push(AddedToken {
                id,
                content: token.getattr("content")?.extract()?,
                special: is("special")?,
                single_word: is("single_word")?,
                lstrip: is("lstrip")?,
                rstrip: is("rstrip")?,
            });
        }
    }
    const TEXT: i64 = -1;
    let around = match tokenizer.call_method1("build_inputs_with_special_tokens", (vec![TEXT],)) {
        Ok(around) => around.extract::<Vec<i64>>()?,
        Err(error) if error.is_instance_of::<PyAttributeError>(tokenizer.py()) => vec![TEXT],
        Err(error) => return Err(error.into()),
    };
    let ids = |ids: &[i64]| ids.iter().map(|id| u32::try_from(*id).ok()).collect::<Option<Vec<_>>>();
    let at = around.iter().position(|id| *id == TEXT);
    let parts = at.and_then(|at| Some((ids(&around[..at])?, ids(&around[at + 1..])?)));
    let unclear = || refused(format!("{kind}: build_inputs_with_special_tokens puts {around:?} around a text"));
    (added.begin, added.end) = parts.ok_or_else(unclear)?;
    Ok(added)
}

/// The first text that they read otherwise than each other.
fn first_difference(tokenizer: &Bound<'_, PyAny>, ours: &Core, added: &Additions) -> Result<Option<String>> {
    let between = added.tokens.iter().take(100).map(|token| format!("a{0} b {0}c", token.content));
    for text in TELLING.iter().map(ToString::to_string).chain(between) {
        for add_special_tokens in [false, true] {
            let kwargs = PyDict::new(tokenizer.py());
            kwargs.set_item("add_special_tokens", add_special_tokens)?;
            let theirs: Vec<i64> = tokenizer.call_method("encode", (&text,), Some(&kwargs))?.extract()?;
            let ours = ours.encode(&text, EncodeOptions { add_special_tokens, allow_special: true });
            if !ours.is_ok_and(|ours| ours.iter().copied().map(i64::from).eq(theirs)) {
                return Ok(Some(text));
            }
        }
    }
    Ok(None)
}
