//! GGUF: the `tokenizer.ggml.*` keys of the metadata, read as llama.cpp reads them.

use serde_json::{Map, Value, json};

use super::{Converted, EOS_TOKENS, failed};
use crate::byte_level::char_of;
use crate::error::Result;
use crate::gguf::Gguf;

/// `tokenizer.ggml.token_type`: a token that is never text.
const CONTROL: i64 = 3;
/// `tokenizer.ggml.token_type`: a token that is read whole wherever its text stands.
const USER_DEFINED: i64 = 4;

/// From the metadata of a GGUF file.
pub fn gguf(gguf: &Gguf) -> Result<Converted> {
    let model = gguf.str("tokenizer.ggml.model")?;
    if model != "gpt2" {
        return Err(failed(format!("tokenizer.ggml.model {model:?} is not supported (supported: \"gpt2\")")));
    }
    let digits = json!({"type": "Digits", "individual_digits": true});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let pre_tokenizer = match gguf.str("tokenizer.ggml.pre")? {
        "gpt-2" => bytes.clone(),
        "smollm" | "starcoder" => json!({"type": "Sequence", "pretokenizers": [digits, &bytes]}),
        pre => {
            let supported = "supported: \"gpt-2\", \"smollm\", \"starcoder\"";
            return Err(failed(format!("tokenizer.ggml.pre {pre:?} is not supported ({supported})")));
        }
    };
    let tokens = gguf.strings("tokenizer.ggml.tokens")?;
    let kinds = gguf.i64s("tokenizer.ggml.token_type")?;
    if kinds.len() != tokens.len() {
        return Err(failed(format!("{} token types for {} tokens", kinds.len(), tokens.len())));
    }
    let merges = gguf.strings("tokenizer.ggml.merges")?;
    let merges = merges.iter().map(|merge| match merge.split_once(' ') {
        Some((left, right)) => Ok(json!([left, right])),
        None => Err(failed(format!("tokenizer.ggml.merges: {merge:?} is no pair"))),
    });
    let merges: Vec<Value> = merges.collect::<Result<_>>()?;
    let mut vocab: Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    if vocab.len() != tokens.len() {
        return Err(failed("tokenizer.ggml.tokens: a token stands twice"));
    }
    let mut missing_bytes = Vec::new();
    for token in (0..=255).map(|byte| char_of(byte).to_string()) {
        if !vocab.contains_key(&token) {
            vocab.insert(token.clone(), json!(vocab.len()));
            missing_bytes.push(token);
        }
    }
    let mut added = Vec::new();
    for (id, (content, kind)) in tokens.iter().zip(kinds).enumerate() {
        if *kind == CONTROL || *kind == USER_DEFINED {
            added.push(json!({"id": id, "content": content, "special": *kind == CONTROL, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false}));
        }
    }
    let bos_token = token_of(gguf, "tokenizer.ggml.bos_token_id", tokens)?;
    let post_processor = match bos_token.filter(|_| gguf.bool("tokenizer.ggml.add_bos_token").unwrap_or(false)) {
        None => Value::Null,
        Some(token) => json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {token: {"id": token, "ids": [vocab[token]], "tokens": [token]}}}),
    };
    let file = json!({"version": "1.0", "added_tokens": added, "normalizer": null,
        "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": bytes,
        "model": {"type": "BPE", "vocab": vocab, "merges": merges, "unk_token": null,
            "fuse_unk": false, "byte_fallback": false}});
    let mut eos_tokens: Vec<String> = Vec::new();
    for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
        eos_tokens.extend(token_of(gguf, key, tokens)?.cloned());
    }
    let control = tokens.iter().zip(kinds).filter(|(_, kind)| **kind == CONTROL).map(|(token, _)| token);
    eos_tokens.extend(control.filter(|token| EOS_TOKENS.contains(&token.as_str())).cloned());
    Ok(Converted {
        json: file.to_string().into_bytes(),
        missing_bytes,
        eos_tokens: Some(eos_tokens),
        bos_token: bos_token.cloned(),
        chat_template: gguf.str("tokenizer.chat_template").ok().map(str::to_owned),
    })
}

fn token_of<'a>(gguf: &Gguf, key: &str, tokens: &'a [String]) -> Result<Option<&'a String>> {
    match gguf.u64(key) {
        Err(_) => Ok(None),
        Ok(id) => match usize::try_from(id).ok().and_then(|id| tokens.get(id)) {
            Some(token) => Ok(Some(token)),
            None => Err(failed(format!("{key} is {id}, but there are {} tokens", tokens.len()))),
        },
    }
}
