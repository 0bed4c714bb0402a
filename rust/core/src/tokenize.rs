//! Text to token ids. Only this file and its folder know the `tokenizers` library; what it loads besides, our own
//! vocabulary, serves everything else.

mod added;
mod cutter;
mod encoder;
mod known;
mod merge;
mod outline;
mod unicode;
mod unigram;
mod words;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use serde::Deserialize as _;
use serde_json::{Value, json};
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::{
    AddedVocabulary, Decoder as _, DecoderWrapper, Model as _, ModelWrapper, NormalizerWrapper, PostProcessorWrapper,
    PreTokenizerWrapper, TokenizerImpl,
};

use self::encoder::Encoder;
use self::unigram::Pieces;

use crate::convert::{Converted, EOS_TOKENS};
use crate::decoder::{CLEANUP, Join};
use crate::detokenize::{self, DetokenizeOptions};
use crate::error::{Error, Result};
use crate::limits::{Limits, within};
use crate::vocab::Vocab;

/// As `Cargo.lock` pins them.
const REFERENCE: &str = "tokenizers 0.23.2";
const NEXT: &str = "tokenizers 1.0.0-rc.3";

/// Below this a batch is over before another thread has begun.
const BYTES_PER_THREAD: usize = 1 << 16;

/// A tokenizer, shared by whoever needs it.
pub struct Tokenizer {
    /// Reads the text of a special token as any other text.
    plain: tokenizers::Tokenizer,
    /// Reads it as the token; made when first asked for.
    special: OnceLock<tokenizers::Tokenizer>,
    /// Gives what they give, faster, where it is known to.
    fast: Option<Encoder>,
    vocab: Arc<Vocab>,
    /// What the library gives for a byte that no token of the vocabulary stands for: left out of what `encode` returns.
    missing_byte_ids: Vec<u32>,
    bos_id: Option<u32>,
    chat_template: Option<String>,
    /// The post-processor takes the white space at its ends out of what a token stands for, a unit a character.
    trims_characters: bool,
}

/// What a tokenizer's source says beside its `tokenizer.json`.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// Those that end a generation, None: those that do by convention.
    pub eos_tokens: Option<Vec<String>>,
    /// The one a text begins with.
    pub bos_token: Option<String>,
    /// The Jinja source that came with it.
    pub chat_template: Option<String>,
    /// Take the blank out before punctuation and contractions, in the whole text (`clean_up_tokenization_spaces`).
    pub clean_up_spaces: bool,
}

/// How a text is read.
#[derive(Debug, Clone, Copy)]
pub struct EncodeOptions {
    /// With what the post-processor adds.
    pub add_special_tokens: bool,
    /// The text of a special token is that token.
    pub allow_special: bool,
}

/// Ids, and of each the bytes of the text it stands for: first, and one after the last.
pub type IdsWithOffsets = (Vec<u32>, Vec<(usize, usize)>);

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab.len()).finish_non_exhaustive()
    }
}

fn failed(what: impl ToString) -> Error {
    Error::Tokenizer { what: what.to_string() }
}

/// Run the library, which panics on some inputs, and make of a panic what it is: an error about this input.
fn guarded<T>(doing: &str, call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| failed(format!("{doing}: {error}"))),
        Err(_) => Err(failed(format!("{doing}: the tokenizers library panicked"))),
    }
}

impl Tokenizer {
    /// From the text of a `tokenizer.json`.
    pub fn from_json(json: &[u8], details: Details) -> Result<Self> {
        Self::load(json, details, &[])
    }

    /// From a file of another format; `eos_tokens` are for those that do not say.
    pub fn from_converted(converted: Converted, eos_tokens: Option<Vec<String>>) -> Result<Self> {
        let Converted { json, missing_bytes, eos_tokens: said, bos_token, chat_template } = converted;
        let details = Details { eos_tokens: eos_tokens.or(said), bos_token, chat_template, clean_up_spaces: false };
        Self::load(&json, details, &missing_bytes)
    }

    fn load(json: &[u8], details: Details, missing_bytes: &[String]) -> Result<Self> {
        within("tokenizer_bytes", json.len(), Limits::DEFAULT.tokenizer_bytes)?;
        let kind = outline::check(json)?;
        let (mut plain, mut tokens, pieces) = guarded("tokenizer.json", || read(json, kind.as_deref()))?;
        // Cutting and padding are the caller's business: nothing a user wrote may vanish in silence.
        plain.with_padding(None);
        guarded("tokenizer.json", || plain.with_truncation(None).map(drop))?;
        plain.set_encode_special_tokens(true);
        check_normalizer(&serde_json::to_value(plain.get_normalizer()).map_err(failed)?)?;
        if details.clean_up_spaces {
            clean_up_spaces(&mut plain)?;
        }
        let missing_byte_ids: Vec<u32> = missing_bytes.iter().filter_map(|token| tokens.remove(token)).collect();
        let added = plain.get_added_tokens_decoder();
        let special: Vec<&str> =
            added.values().filter(|token| token.special).map(|token| token.content.as_str()).collect();
        let id_of = |token: &str| tokens.get(token).copied();
        let named = |what: &str, token: &str| {
            id_of(token).ok_or_else(|| failed(format!("{what}: there is no token {token:?}")))
        };
        let eos_ids: Vec<u32> = match &details.eos_tokens {
            None => {
                EOS_TOKENS.iter().filter(|token| special.contains(token)).filter_map(|token| id_of(token)).collect()
            }
            Some(names) => names.iter().map(|name| named("eos_tokens", name)).collect::<Result<_>>()?,
        };
        let bos_id = details.bos_token.as_deref().map(|token| named("bos_token", token)).transpose()?;
        let vocab = Arc::new(vocab_of(&plain, &tokens, &eos_ids)?);
        match pieces {
            Some(pieces) => build_unigram(&mut plain, pieces)?,
            None => hide_special_tokens(&mut plain)?,
        }
        // What fails on any text is refused now; an error about this one, such as an unknown word's, is no such thing.
        catch_unwind(AssertUnwindSafe(|| plain.encode_fast("a", true).map(drop)))
            .map_err(|_| failed("tokenizer.json: the tokenizers library panics on it"))?
            .ok();
        let fast = guarded("tokenizer.json", || Ok(Encoder::new(&plain, &tokens, &missing_byte_ids))).ok().flatten();
        let (special, chat_template) = (OnceLock::new(), details.chat_template);
        let trims_characters = trims_characters(&plain)?;
        Ok(Self { plain, special, fast, vocab, missing_byte_ids, bos_id, chat_template, trims_characters })
    }

    /// Its ids and their bytes.
    pub fn vocab(&self) -> &Arc<Vocab> {
        &self.vocab
    }

    /// Name and version of the library that cuts a text into words.
    pub fn encoder(&self) -> &'static str {
        if self.fast.as_ref().is_some_and(Encoder::is_next) { NEXT } else { REFERENCE }
    }

    /// The id of a token by its text in the file, such as `<|im_end|>`.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.plain.token_to_id(token).filter(|id| !self.missing_byte_ids.contains(id))
    }

    /// The text of a token in the file.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.plain.id_to_token(id).filter(|_| !self.missing_byte_ids.contains(&id))
    }

    /// The id a text begins with by convention, if the file names one.
    pub fn bos_id(&self) -> Option<u32> {
        self.bos_id
    }

    /// The Jinja source that came with the file.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// Token ids of a text.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>> {
        // What makes the fast path panic is asked of the reference.
        let fast = self.fast.as_ref().and_then(|fast| {
            catch_unwind(AssertUnwindSafe(|| fast.encode(self.plain.get_model(), text, options))).ok().flatten()
        });
        fast.map_or_else(|| self.encode_by_reference(text, options), Ok)
    }

    fn encode_by_reference(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>> {
        let tokenizer = self.reference(options.allow_special);
        let encoding = guarded("encode", || tokenizer.encode_fast(text, options.add_special_tokens))?;
        let ids = encoding.get_ids().iter().copied();
        Ok(ids.filter(|id| !self.missing_byte_ids.contains(id)).collect())
    }

    fn reference(&self, allow_special: bool) -> &tokenizers::Tokenizer {
        match allow_special {
            false => &self.plain,
            true => self.special.get_or_init(|| {
                let mut special = self.plain.clone();
                special.set_encode_special_tokens(false);
                special
            }),
        }
    }

    /// Token ids of a text and what each stands for in it.
    pub fn encode_with_offsets(&self, text: &str, options: EncodeOptions) -> Result<IdsWithOffsets> {
        let tokenizer = self.reference(options.allow_special);
        let encoding = guarded("encode", || match self.trims_characters {
            true => tokenizer.encode_char_offsets(text, options.add_special_tokens),
            false => tokenizer.encode(text, options.add_special_tokens),
        })?;
        let mut offsets = encoding.get_offsets().to_vec();
        if self.trims_characters {
            let starts: Vec<usize> = text.char_indices().map(|(start, _)| start).collect();
            let byte_of = |at: usize| starts.get(at).copied().unwrap_or(text.len());
            offsets.iter_mut().for_each(|(start, end)| (*start, *end) = (byte_of(*start), byte_of(*end)));
        }
        let both = encoding.get_ids().iter().copied().zip(offsets);
        Ok(both.filter(|(id, _)| !self.missing_byte_ids.contains(id)).unzip())
    }

    /// Token ids of each text, on up to `threads` threads, and never on more than the machine runs at once.
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: EncodeOptions,
        threads: usize,
    ) -> Result<Vec<Vec<u32>>> {
        let bytes: usize = texts.iter().map(|text| text.as_ref().len()).sum();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(cores).min(texts.len()).min(1 + bytes / BYTES_PER_THREAD);
        if threads < 2 {
            return texts.iter().map(|text| self.encode(text.as_ref(), options)).collect();
        }
        // Each takes the next text no one has: texts may be of any lengths.
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some((i, text)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, texts.get(i)?)))
            {
                done.push((i, self.encode(text.as_ref(), options)));
            }
            done
        };
        let mut all: Vec<_> = texts.iter().map(|_| Ok(Vec::new())).collect();
        let mut place = |done: Vec<(usize, Result<Vec<u32>>)>| done.into_iter().for_each(|(i, ids)| all[i] = ids);
        std::thread::scope(|scope| {
            // A machine that has no more threads to give has this one.
            let spawned = (1..threads).map_while(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok());
            let others: Vec<_> = spawned.collect();
            place(work());
            for other in others {
                place(other.join().map_err(|_| failed("encode_batch: a thread panicked"))?);
            }
            Ok(())
        })?;
        all.into_iter().collect()
    }

    /// The text of ids: what a `Detokenizer` would have given.
    pub fn decode(&self, ids: impl IntoIterator<Item = u32>, options: DetokenizeOptions) -> Result<Vec<u8>> {
        detokenize::decode(&self.vocab, ids, options)
    }
}

/// It does so by units that are bytes where a byte is a character of the text it has cut.
fn trims_characters(tokenizer: &tokenizers::Tokenizer) -> Result<bool> {
    let written = |part: serde_json::Result<String>| part.map_err(failed);
    let post_processor = written(serde_json::to_string(&tokenizer.get_post_processor()))?;
    let cuts = written(serde_json::to_string(&(tokenizer.get_pre_tokenizer(), tokenizer.get_normalizer())))?;
    Ok(post_processor.contains(r#""trim_offsets":true"#) && !cuts.contains(r#""ByteLevel""#))
}

/// By the library, which reads a model by way of a tree of all that is in it unless it is told which it is. A Unigram model,
/// which takes longest to build, is left to be built.
fn read(
    json: &[u8],
    kind: Option<&str>,
) -> tokenizers::Result<(tokenizers::Tokenizer, HashMap<String, u32>, Option<Pieces>)> {
    type Of<Model> = TokenizerImpl<Model, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;
    let read: Option<tokenizers::Tokenizer> = match kind {
        Some("BPE") => serde_json::from_slice::<Of<BPE>>(json).ok().map(Into::into),
        Some("Unigram") => match serde_json::from_slice::<Of<Pieces>>(json) {
            Err(_) => None,
            Ok(tokenizer) => {
                let (tokens, pieces) = (tokenizer.get_vocab(true), tokenizer.get_model().clone());
                return Ok((tokenizer.into(), tokens, Some(pieces)));
            }
        },
        _ => None,
    };
    let read = read.map_or_else(|| tokenizers::Tokenizer::from_bytes(json), Ok)?;
    let tokens = read.get_vocab(true);
    Ok((read, tokens, None))
}

/// That no text becomes so much longer that there is no memory for it.
fn check_normalizer(normalizer: &Value) -> Result<()> {
    let mut growth: usize = 1;
    let mut ahead = vec![normalizer];
    while let Some(normalizer) = ahead.pop() {
        ahead.extend(normalizer["normalizers"].as_array().into_iter().flatten());
        let length = |text: &Value| text.as_str().map_or(0, str::len);
        growth = growth.saturating_mul(match length(&normalizer["pattern"]["String"]) {
            // What is not one literal may match nothing at all, and a prefix stands before each piece of a text.
            0 => 1 + length(&normalizer["content"]) + length(&normalizer["prepend"]),
            n => length(&normalizer["content"]).div_ceil(n).max(1),
        });
    }
    within("tokenizer_growth", growth, Limits::DEFAULT.tokenizer_growth)
}

/// A model finds what its vocabulary holds, the strings of special tokens too. Whether such a text is the token has been
/// decided before the model sees it, so where the model could make one, the string becomes one that no one can type.
fn hide_special_tokens(tokenizer: &mut tokenizers::Tokenizer) -> Result<()> {
    let added = tokenizer.get_added_vocabulary();
    let model = tokenizer.get_model();
    let unk_token = match model {
        ModelWrapper::BPE(model) => model.unk_token.as_deref(),
        ModelWrapper::WordLevel(model) => Some(&*model.unk_token),
        ModelWrapper::WordPiece(model) => Some(&*model.unk_token),
        ModelWrapper::Unigram(_) => None,
    };
    let makes = |token: &str| match model {
        ModelWrapper::Unigram(model) => model.token_to_id(token).is_some(),
        _ => model.tokenize(token).is_ok_and(|made| matches!(&made[..], [one] if one.value == token)),
    };
    let special = special_texts(added).filter(|token| unk_token != Some(token));
    let made: HashSet<String> = special.filter(|token| guarded_makes(&makes, token)).collect();
    if made.is_empty() {
        return Ok(());
    }
    let hidden = renamed(&made);
    if let ModelWrapper::Unigram(model) = model {
        let pieces = model.iter().map(|(piece, score)| (hidden(piece.clone()), *score)).collect();
        let unk_id = serde_json::to_value(model).map_err(failed)?["unk_id"].as_u64();
        let unk_id = unk_id.and_then(|id| usize::try_from(id).ok());
        let byte_fallback = model.byte_fallback();
        tokenizer.with_model(guarded("tokenizer.json", || Unigram::from(pieces, unk_id, byte_fallback))?);
        return Ok(());
    }
    let mut file = serde_json::to_value(model).map_err(failed)?;
    if let Some(vocab) = file["vocab"].as_object_mut() {
        *vocab = std::mem::take(vocab).into_iter().map(|(token, id)| (hidden(token), id)).collect();
    }
    if let Some(merges) = file["merges"].as_array_mut() {
        merges.retain(|merge| {
            let parts = [&merge[0], &merge[1]].map(|part| part.as_str().unwrap_or_default());
            !parts.iter().any(|part| made.contains(*part)) && !made.contains(&parts.concat())
        });
    }
    tokenizer.with_model(guarded("tokenizer.json", || Ok(ModelWrapper::deserialize(file)?))?);
    Ok(())
}

/// The texts that special tokens are found as.
fn special_texts(added: &AddedVocabulary) -> impl Iterator<Item = String> {
    let special = added.get_added_tokens_decoder().iter().filter(|(_, token)| token.special);
    special.flat_map(|(&id, token)| [added.simple_id_to_token(id), Some(token.content.clone())]).flatten()
}

/// Each of `hidden` becomes a name that no one can know.
fn renamed(hidden: &HashSet<String>) -> impl Fn(String) -> String {
    let random = RandomState::new();
    move |token| match hidden.contains(&token) {
        true => format!("{:x}-{:x}", random.hash_one((&token, 0)), random.hash_one((&token, 1))),
        false => token,
    }
}

/// A Unigram model finds all of its pieces, so the special ones are hidden whatever it would make.
fn build_unigram(tokenizer: &mut tokenizers::Tokenizer, pieces: Pieces) -> Result<()> {
    let special: HashSet<String> = special_texts(tokenizer.get_added_vocabulary()).collect();
    tokenizer.with_model(guarded("tokenizer.json", || pieces.build(renamed(&special)))?);
    Ok(())
}

/// The library may panic on a token that is hostile.
fn guarded_makes(makes: &impl Fn(&str) -> bool, token: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| makes(token))).unwrap_or(true)
}

/// Append to the decoder what transformers does to its text.
fn clean_up_spaces(tokenizer: &mut tokenizers::Tokenizer) -> Result<()> {
    let Some(decoder) = tokenizer.get_decoder() else {
        return Err(failed("clean_up_tokenization_spaces without a decoder is not supported"));
    };
    let mut stages = vec![json!(decoder), json!({"type": "Fuse"})];
    // But for the one that takes no blank out.
    let cleanup = CLEANUP.iter().filter(|(pattern, _)| *pattern != " do not");
    stages.extend(
        cleanup
            .map(|(pattern, content)| json!({"type": "Replace", "pattern": {"String": pattern}, "content": content})),
    );
    let decoder = json!({"type": "Sequence", "decoders": stages});
    let decoder = guarded("clean_up_tokenization_spaces", || Ok(DecoderWrapper::deserialize(decoder)?))?;
    tokenizer.with_decoder(Some(decoder));
    Ok(())
}

/// The strings of all ids and the library's decoder, compiled.
fn vocab_of(tokenizer: &tokenizers::Tokenizer, ids: &HashMap<String, u32>, eos_ids: &[u32]) -> Result<Vocab> {
    let largest = ids.values().copied().max().unwrap_or(0) as usize;
    within("vocab_size", largest + 1, Limits::DEFAULT.vocab_size)?;
    let mut tokens: Vec<Option<String>> = vec![None; if ids.is_empty() { 0 } else { largest + 1 }];
    for (token, &id) in ids {
        if tokens[id as usize].replace(token.clone()).is_some() {
            return Err(Error::Vocab { what: first_double(ids) });
        }
    }
    let added = tokenizer.get_added_vocabulary();
    for &id in added.get_added_tokens_decoder().keys() {
        // One that is found in normalized text decodes to what was found.
        if let Some(token) = tokens.get_mut(id as usize) {
            *token = added.simple_id_to_token(id);
        }
    }
    let is_special = |token: &Option<String>| token.as_deref().is_some_and(|token| added.is_special_token(token));
    let special_ids: Vec<u32> =
        tokens.iter().enumerate().filter(|(_, token)| is_special(token)).map(|(id, _)| id as u32).collect();
    let decoder = serde_json::to_value(tokenizer.get_decoder()).map_err(failed)?;
    Vocab::from_tokens(&tokens, &special_ids, eos_ids, &decoder, &library_decoder)
}

/// The lowest id that stands for two tokens, and which.
fn first_double(ids: &HashMap<String, u32>) -> String {
    let mut all: Vec<(u32, &String)> = ids.iter().map(|(token, &id)| (id, token)).collect();
    all.sort_unstable();
    let two = all.array_windows().find(|[(id, _), (next, _)]| id == next);
    two.map_or(String::new(), |[(id, one), (_, other)]| format!("id {id} stands for two tokens, {one:?} and {other:?}"))
}

/// The library's own decoder, for what is not compiled.
fn library_decoder(decoder: &Value) -> Result<Join> {
    let decoder = guarded("decoder", || Ok(DecoderWrapper::deserialize(decoder)?))?;
    Ok(Box::new(move |tokens| guarded("decode", || decoder.decode_chain(tokens))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;
    use crate::byte_level::char_of;

    fn file(decoder: &str) -> String {
        let mut vocab: serde_json::Map<String, Value> =
            (0..=255).map(|byte| (char_of(byte).to_string(), json!(byte))).collect();
        vocab.insert("ab".into(), json!(256));
        json!({"version": "1.0", "model": {"type": "BPE", "vocab": vocab, "merges": [["a", "b"]]},
            "added_tokens": [
                {"id": 257, "content": "<|im_end|>", "special": true, "normalized": false, "single_word": false,
                    "lstrip": false, "rstrip": false},
                {"id": 258, "content": "｜x｜", "special": false, "normalized": false, "single_word": false,
                    "lstrip": false, "rstrip": false}],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "decoder": serde_json::from_str::<Value>(decoder).unwrap()})
        .to_string()
    }

    const BYTE_LEVEL: &str =
        r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}"#;

    const PLAIN: EncodeOptions = EncodeOptions { add_special_tokens: true, allow_special: false };

    #[test]
    fn the_versions_are_those_of_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        for named in [REFERENCE, NEXT] {
            let version = named.strip_prefix("tokenizers ").unwrap();
            assert!(lock.contains(&format!("name = \"tokenizers\"\nversion = \"{version}\"\n")), "{named}");
        }
    }

    #[test]
    fn encode_decode_and_special_tokens() {
        let tokenizer = Tokenizer::from_json(file(BYTE_LEVEL).as_bytes(), Details::default()).unwrap();
        let options = DetokenizeOptions::default();
        assert_eq!(tokenizer.vocab().eos_ids(), [257]);
        assert_eq!(tokenizer.encode("ab", PLAIN).unwrap(), [256]);
        assert_eq!(tokenizer.encode("a<|im_end|>", EncodeOptions { allow_special: true, ..PLAIN }).unwrap(), [97, 257]);
        let typed = tokenizer.encode("a<|im_end|>", PLAIN).unwrap();
        assert!(!typed.contains(&257));
        assert_eq!(tokenizer.decode(typed, options).unwrap(), b"a<|im_end|>");
        assert_eq!(tokenizer.decode([97, 257, 258], options).unwrap(), "a｜x｜".as_bytes());
        let text = "naïve 漢字 👩‍👩‍👧\n\t\0";
        assert_eq!(tokenizer.decode(tokenizer.encode(text, PLAIN).unwrap(), options).unwrap(), text.as_bytes());
    }

    #[test]
    fn what_is_not_supported_or_broken_is_an_error() {
        for broken in ["", "{}", "[]", "null", "{\"version\": \"1.0\"}"] {
            assert!(Tokenizer::from_json(broken.as_bytes(), Details::default()).is_err(), "{broken}");
        }
        let huge = file(BYTE_LEVEL).replace("256", "4000000000");
        assert!(matches!(
            Tokenizer::from_json(huge.as_bytes(), Details::default()),
            Err(Error::Limit { limit: "vocab_size", .. })
        ));
        let missing = Tokenizer::from_json(
            file(BYTE_LEVEL).as_bytes(),
            Details { eos_tokens: Some(vec!["<nope>".into()]), ..Default::default() },
        );
        assert!(matches!(missing, Err(Error::Tokenizer { .. })));
    }
}
