//! A piece of text cut into words, part by part of the pre-tokenizer. What a word is in ids is not known here.

use serde_json::{Value, json};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::split::Split;
use tokenizers::{NormalizerWrapper, SplitDelimiterBehavior};
use tokenizers_next::pipeline::{PipelineNormalizer, PipelineTokenizer, PreTokenizer as _, PreTokenizerScratch, Span};

use super::known::{is_known_normalizer, is_known_part, is_known_pre_tokenizer};
use crate::byte_level::char_of;

pub(super) struct Cutter {
    /// Normalizes and, if there are no `parts`, cuts; its model is a stand-in.
    whole: PipelineTokenizer,
    parts: Vec<Part>,
    /// Words are handed to the model in the byte-level alphabet.
    pub(super) byte_level: bool,
}

enum Part {
    /// Done alike by the library's next version.
    Known(PipelineTokenizer),
    /// By the reference's own regular expression.
    Split(Split),
}

#[derive(Default)]
pub(super) struct Scratch {
    pre_tokenizer: PreTokenizerScratch,
    before: Vec<Span>,
    /// Start and end, and whether it is a match.
    found: Vec<(usize, usize, bool)>,
}

impl Cutter {
    /// None: there is a part that cannot be done as the reference does it.
    pub(super) fn new(normalizer: Option<&NormalizerWrapper>, cut: Option<&PreTokenizerWrapper>) -> Option<Self> {
        let normalizer = serde_json::to_value(normalizer).ok()?;
        let value = serde_json::to_value(cut).ok()?;
        // "First" asks where a piece stood before it was normalized.
        if !is_known_normalizer(&normalizer) || (value["prepend_scheme"] == "first" && !normalizer.is_null()) {
            return None;
        }
        if is_known_pre_tokenizer(&value) {
            let (whole, byte_level) = pipeline(&normalizer, &value)?;
            return Some(Self { whole, parts: Vec::new(), byte_level });
        }
        let parts = match cut? {
            PreTokenizerWrapper::Sequence(parts) => parts.as_ref(),
            part => std::slice::from_ref(part),
        };
        let mut byte_level = false;
        let mut part = |(i, part): (usize, &PreTokenizerWrapper)| {
            let value = serde_json::to_value(part).ok()?;
            match part {
                _ if is_known_part(&value, i + 1 == parts.len()) => {
                    let (known, has_bytes) = pipeline(&Value::Null, &value)?;
                    byte_level = has_bytes;
                    Some(Part::Known(known))
                }
                PreTokenizerWrapper::Split(split) => Some(Part::Split(split.clone())),
                _ => None,
            }
        };
        let parts = parts.iter().enumerate().map(&mut part).collect::<Option<_>>()?;
        Some(Self { whole: pipeline(&normalizer, &Value::Null)?.0, parts, byte_level })
    }

    /// Whether nothing is done by the reference.
    pub(super) fn is_next(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Known(_)))
    }

    pub(super) fn normalizers(&self) -> &[PipelineNormalizer] {
        self.whole.get_normalizers()
    }

    /// The words of `text`, none of them empty. None: the library failed.
    pub(super) fn cut(&self, text: &str, scratch: &mut Scratch, spans: &mut Vec<Span>) -> Option<()> {
        spans.clear();
        self.whole.get_pre_tokenizer().pre_tokenize(text, &mut scratch.pre_tokenizer, spans).ok()?;
        for part in &self.parts {
            std::mem::swap(spans, &mut scratch.before);
            spans.clear();
            for span in &scratch.before {
                let text = text.get(span.range())?;
                match part {
                    Part::Known(known) => {
                        let first = spans.len();
                        known.get_pre_tokenizer().pre_tokenize(text, &mut scratch.pre_tokenizer, spans).ok()?;
                        for new in &mut spans[first..] {
                            new.start += span.start;
                            new.end += span.start;
                        }
                    }
                    Part::Split(split) => {
                        find(split, text, &mut scratch.found);
                        let words = scratch.found.iter().filter(|(start, end, _)| start != end);
                        spans.extend(words.map(|&(start, end, _)| Span {
                            start: span.start + start as u32,
                            end: span.start + end as u32,
                        }));
                    }
                }
            }
        }
        Some(())
    }

    #[cfg(test)]
    pub(super) fn normalize(&self, text: &str) -> String {
        tokenizers_next::pipeline::normalize_all(self.normalizers(), text, 0).map(Into::into).unwrap_or_default()
    }
}

/// The library's next version with these two parts, and whether it hands bytes to the model.
fn pipeline(normalizer: &Value, pre_tokenizer: &Value) -> Option<(PipelineTokenizer, bool)> {
    let alphabet: serde_json::Map<String, Value> =
        (0..=255).map(|byte| (char_of(byte).to_string(), json!(byte))).collect();
    let mut file = json!({"version": "1.0", "model": {"type": "BPE", "vocab": alphabet, "merges": []},
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer});
    tokenizers_next::canonicalize_value(&mut file).ok()?;
    let byte_level = file["model"]["byte_level"] == true;
    Some((tokenizers_next::from_json(&file.to_string()).ok()?, byte_level))
}

/// The matches in a text, which is not empty, and what is between them, as the reference's `behavior` has them.
fn find(split: &Split, text: &str, found: &mut Vec<(usize, usize, bool)>) {
    use SplitDelimiterBehavior::{Contiguous, Isolated, MergedWithNext, MergedWithPrevious, Removed};
    found.clear();
    let mut done = 0;
    for (start, end) in split.regex.find_iter(text) {
        if done != start {
            found.push((done, start, split.invert));
        }
        found.push((start, end, !split.invert));
        done = end;
    }
    if done != text.len() {
        found.push((done, text.len(), split.invert));
    }
    match split.behavior {
        Isolated => (),
        Removed => found.retain(|(_, _, is_match)| !is_match),
        Contiguous => join(found, |before, is_match| is_match == before),
        MergedWithPrevious => join(found, |before, is_match| is_match && !before),
        MergedWithNext => {
            found.reverse();
            join(found, |before, is_match| is_match && !before);
            found.reverse();
        }
    }
}

/// Join each to the one before it if `joins` says so of whether the two are matches; before the first there is none.
fn join(found: &mut Vec<(usize, usize, bool)>, joins: impl Fn(bool, bool) -> bool) {
    let (mut kept, mut before) = (0, false);
    for i in 0..found.len() {
        let (start, end, is_match) = found[i];
        if kept > 0 && joins(before, is_match) {
            let last = &mut found[kept - 1];
            (last.0, last.1) = (last.0.min(start), last.1.max(end));
        } else {
            found[kept] = found[i];
            kept += 1;
        }
        before = is_match;
    }
    found.truncate(kept);
}
