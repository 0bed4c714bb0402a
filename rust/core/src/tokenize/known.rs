//! The normalizers and pre-tokenizers of a file that both versions of the library do alike.

use serde_json::Value;
use tokenizers_next::utils::{Grammar, recognize};

pub(super) fn is_known_normalizer(part: &Value) -> bool {
    match part["type"].as_str() {
        None => part.is_null(),
        Some("Sequence") => part["normalizers"].as_array().is_some_and(|all| all.iter().all(is_known_normalizer)),
        Some(
            "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "Prepend" | "Nmt" | "StripAccents" | "BertNormalizer"
            | "Strip" | "Precompiled",
        ) => true,
        Some("Replace") => part["pattern"]["String"].as_str().is_some_and(|pattern| !pattern.is_empty()),
        Some(_) => false,
    }
}

pub(super) fn is_known_pre_tokenizer(part: &Value) -> bool {
    match part["type"].as_str() {
        None => part.is_null(),
        Some("Metaspace") => true,
        Some("Sequence") => part["pretokenizers"].as_array().is_some_and(|all| {
            is_deepseek(all) || all.iter().enumerate().all(|(i, part)| is_known_part(part, i + 1 == all.len()))
        }),
        Some(_) => is_known_part(part, true),
    }
}

pub(super) fn is_known_part(part: &Value, is_last: bool) -> bool {
    match part["type"].as_str() {
        Some("ByteLevel") => is_last && part["add_prefix_space"] == false,
        Some("Digits" | "Whitespace" | "WhitespaceSplit" | "BertPreTokenizer") => true,
        Some("Punctuation") => part["behavior"] == "Isolated",
        Some("Split") => {
            let known = match part["pattern"]["Regex"].as_str().and_then(recognize) {
                // Other bounds than these two are cut as if they were 3.
                Some(Grammar::Cl100k { digit_cap }) => matches!(digit_cap, 1 | 3),
                Some(_) => true,
                None => false,
            };
            // The patterns leave no gaps, so that to keep the matches is to isolate them.
            known
                && matches!(
                    (part["behavior"].as_str(), &part["invert"]),
                    (Some("Isolated"), Value::Bool(false)) | (Some("Removed"), Value::Bool(true))
                )
        }
        _ => false,
    }
}

/// The three patterns that are one together, and the bytes.
fn is_deepseek(parts: &[Value]) -> bool {
    let pattern = |i: usize| {
        parts.get(i).filter(|part| part["behavior"] == "Isolated" && part["invert"] == false)?["pattern"]["Regex"]
            .as_str()
    };
    match (pattern(0), pattern(1), pattern(2), &parts[3.min(parts.len())..]) {
        (Some(a), Some(b), Some(c), [last]) => {
            tokenizers_next::utils::is_deepseek(a, b, c)
                && last["type"] == "ByteLevel"
                && last["use_regex"] == false
                && last["add_prefix_space"] == false
        }
        _ => false,
    }
}
