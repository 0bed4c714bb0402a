//! SentencePiece: a `.model` file, which is a protobuf message `ModelProto`, of type BPE or Unigram.
//!
//! Of BPE the ids are those of sentencepiece itself, with two exceptions that a `tokenizer.json` cannot say: a text that
//! is nothing but one user-defined piece gets no space in front, and a `precompiled_charsmap` is applied a grapheme or a
//! character at a time. Of Unigram they are those of the tokenizers library, which also finds pieces that are no text.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::scores::{Piece, merges};
use super::{Bpe, Converted, File, Model, added_token, base64, check_size, failed};
use crate::error::Result;
use crate::limits::{Limits, within};

const SPACE: &str = "\u{2581}";

/// A score that never wins.
pub(super) const NEVER: f64 = -1e9;

/// `ModelProto.SentencePiece.Type`.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Byte,
    Unused,
}

pub(super) struct SentencePiece<'a> {
    pub(super) text: &'a str,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

/// What of `TrainerSpec` and `NormalizerSpec` says how to encode, at first their defaults.
pub(super) struct Spec<'a> {
    pub(super) model_type: u64,
    pub(super) byte_fallback: bool,
    pub(super) treat_whitespace_as_suffix: bool,
    pub(super) bos_piece: &'a str,
    pub(super) eos_piece: &'a str,
    pub(super) charsmap: &'a [u8],
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    pub(super) escape_whitespaces: bool,
}

impl Default for Spec<'_> {
    fn default() -> Self {
        Self {
            model_type: UNIGRAM,
            byte_fallback: false,
            treat_whitespace_as_suffix: false,
            bos_piece: "<s>",
            eos_piece: "</s>",
            charsmap: &[],
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        }
    }
}

const UNIGRAM: u64 = 1;
const BPE: u64 = 2;

/// From a `.model` file. What it says of `<s>` and `</s>` is kept, but like sentencepiece it adds neither to a text.
pub fn sentencepiece(model: &[u8]) -> Result<Converted> {
    check_size(model.len())?;
    let (pieces, spec) = read(model)?;
    let unknown = check(&pieces, &spec)?;
    let user_defined: Vec<&str> = of_kind(&pieces, Kind::UserDefined).map(|(_, piece)| piece.text).collect();
    let mut added = Vec::new();
    for (id, piece) in pieces.iter().enumerate() {
        match piece.kind {
            Kind::Control | Kind::Unknown => added.push(added_token(id as u32, piece.text, true)),
            Kind::UserDefined => {
                let mut token = added_token(id as u32, piece.text, false);
                token["normalized"] = true.into();
                added.push(token);
            }
            Kind::Normal | Kind::Byte | Kind::Unused => {}
        }
    }
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if spec.add_dummy_prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let model = match spec.model_type {
        BPE => bpe(&pieces, &spec, unknown)?,
        _ => unigram(&pieces, &spec, unknown)?,
    };
    let file = File {
        version: "1.0",
        added_tokens: added,
        normalizer: normalizer(&spec, &user_defined)?,
        pre_tokenizer: Value::Null,
        post_processor: Value::Null,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model,
    };
    let control = |text: &str| of_kind(&pieces, Kind::Control).any(|(_, piece)| piece.text == text);
    Ok(Converted {
        json: file.json()?,
        eos_tokens: Some(Some(spec.eos_piece).filter(|eos| control(eos)).map(str::to_owned).into_iter().collect()),
        bos_token: Some(spec.bos_piece).filter(|bos| control(bos)).map(str::to_owned),
        ..Converted::default()
    })
}

fn of_kind<'a, 'b>(
    pieces: &'b [SentencePiece<'a>],
    kind: Kind,
) -> impl Iterator<Item = (usize, &'b SentencePiece<'a>)> {
    pieces.iter().enumerate().filter(move |(_, piece)| piece.kind == kind)
}

/// The id of the unknown piece.
fn check(pieces: &[SentencePiece<'_>], spec: &Spec<'_>) -> Result<usize> {
    match spec.model_type {
        UNIGRAM | BPE => {}
        3 => return Err(failed("a model of words is not supported (supported: BPE, Unigram)")),
        4 => return Err(failed("a model of characters is not supported (supported: BPE, Unigram)")),
        other => return Err(failed(format!("there is no model type {other}"))),
    }
    let mut texts = HashSet::with_capacity(pieces.len());
    for (id, piece) in pieces.iter().enumerate() {
        if piece.text.is_empty() {
            return Err(failed(format!("piece {id} is empty")));
        }
        if !texts.insert(piece.text) {
            return Err(failed(format!("the piece {:?} stands twice", piece.text)));
        }
        if !piece.score.is_finite() {
            return Err(failed(format!("the score of {:?} is no number", piece.text)));
        }
    }
    let bytes: HashSet<&str> = of_kind(pieces, Kind::Byte).map(|(_, piece)| piece.text).collect();
    if bytes.len() != if spec.byte_fallback { 256 } else { 0 } {
        return Err(failed(format!("{} byte pieces with byte_fallback {}", bytes.len(), spec.byte_fallback)));
    }
    if let Some(missing) = (0..=255).map(byte_piece).find(|text| spec.byte_fallback && !bytes.contains(text.as_str())) {
        return Err(failed(format!("there is no byte piece {missing:?}")));
    }
    let mut unknown = of_kind(pieces, Kind::Unknown).map(|(id, _)| id);
    match (unknown.next(), unknown.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(failed("there is no unknown piece")),
        (Some(_), Some(_)) => Err(failed("there are several unknown pieces")),
    }
}

/// How the piece of a byte is written.
pub(super) fn byte_piece(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

fn bpe<'a>(pieces: &[SentencePiece<'a>], spec: &Spec<'_>, unknown: usize) -> Result<Model<'a>> {
    let scored: Vec<Piece<'a>> = pieces
        .iter()
        .map(|piece| Piece {
            text: piece.text,
            score: piece.score,
            // A user-defined piece is found before any merging, and what is found is not merged.
            mergeable: matches!(piece.kind, Kind::Normal | Kind::Unused),
        })
        .collect();
    let merges = merges(&scored)?;
    if let Some((.., id)) = merges.iter().find(|(.., id)| pieces[*id].kind == Kind::Unused) {
        let what = "is unused, though other pieces can be merged into it: that is not supported";
        return Err(failed(format!("the piece {:?} {what}", pieces[*id].text)));
    }
    Ok(Model::Bpe(Bpe {
        vocab: pieces.iter().zip(0..).map(|(piece, id)| (piece.text.into(), id)).collect(),
        merges: merges.into_iter().map(|(left, right, _)| (left.into(), right.into())).collect(),
        unk_token: Some(pieces[unknown].text),
        fuse_unk: true,
        byte_fallback: spec.byte_fallback,
        ignore_merges: false,
    }))
}

pub(super) fn unigram<'a>(pieces: &[SentencePiece<'a>], spec: &Spec<'_>, unknown: usize) -> Result<Model<'a>> {
    // One that is never to be found loses to its characters if these are pieces, but it would win over unknown ones.
    let normal = of_kind(pieces, Kind::Normal).map(|(_, piece)| piece.text);
    let letters: HashSet<char> =
        normal.filter_map(|text| text.chars().next().filter(|c| c.len_utf8() == text.len())).collect();
    let covered = |piece: &SentencePiece<'_>| piece.text.chars().all(|c| letters.contains(&c));
    if let Some((_, piece)) = of_kind(pieces, Kind::Unused).find(|(_, piece)| !covered(piece)) {
        let what = "is unused, and not all of its characters are pieces: that is not supported";
        return Err(failed(format!("the piece {:?} {what}", piece.text)));
    }
    // The library looks every piece up in the text; sentencepiece only these. Were the others found, a user could write
    // `</s>`.
    let score = |piece: &SentencePiece<'_>| match piece.kind {
        Kind::Normal | Kind::UserDefined => f64::from(piece.score),
        _ => NEVER,
    };
    Ok(Model::Unigram {
        vocab: pieces.iter().map(|piece| (piece.text, score(piece))).collect(),
        unk_id: unknown,
        byte_fallback: spec.byte_fallback,
    })
}

pub(super) fn normalizer(spec: &Spec<'_>, user_defined: &[&str]) -> Result<Value> {
    let mut steps = Vec::new();
    // The library finds a user-defined piece by what the normalizer makes of it: that must be the piece.
    let with_space = user_defined.iter().find(|piece| piece.contains([' ', '\u{2581}']));
    if let Some(piece) = with_space
        && (spec.add_dummy_prefix || spec.remove_extra_whitespaces || piece.contains(' '))
    {
        return Err(failed(format!("the user-defined piece {piece:?}, which holds spaces, is not supported")));
    }
    if !spec.charsmap.is_empty() {
        check_charsmap(spec.charsmap)?;
        if let Some(piece) = user_defined.iter().find(|piece| !piece.is_ascii()) {
            return Err(failed(format!("the user-defined piece {piece:?} beside a charsmap is not supported")));
        }
        steps.push(json!({"type": "Precompiled", "precompiled_charsmap": base64::encode(spec.charsmap)}));
    }
    let replace =
        |regex: &str, content: &str| json!({"type": "Replace", "pattern": {"Regex": regex}, "content": content});
    let space = if spec.escape_whitespaces { SPACE } else { " " };
    // A space that stands after its word stands after the last one too.
    let has_suffix = spec.add_dummy_prefix && spec.treat_whitespace_as_suffix;
    if has_suffix && !user_defined.is_empty() {
        return Err(failed("treat_whitespace_as_suffix beside user-defined pieces is not supported"));
    }
    // At the end also what was typed as the character that spaces become.
    let (end, other) = if spec.escape_whitespaces { ("[ \u{2581}]", "[^ \u{2581}]") } else { (" ", "[^ ]") };
    if spec.remove_extra_whitespaces && has_suffix {
        steps.extend([replace(r"\A +| +(?= )", ""), replace(&format!(r"{end}+\z|(?<={other})\z"), space)]);
    } else if spec.remove_extra_whitespaces {
        steps.push(replace(&format!(r"\A +| +(?= )|{end}+\z"), ""));
    } else if has_suffix {
        steps.push(replace(r"(?<=[\s\S])\z", space));
    }
    if spec.add_dummy_prefix && !has_suffix {
        steps.push(match user_defined {
            [] => json!({"type": "Prepend", "prepend": space}),
            _ => {
                let pieces: Vec<String> = user_defined.iter().map(|piece| escape(piece)).collect();
                replace(&format!(r"\A(?!(?:{})\z)(?=[\s\S])", pieces.join("|")), space)
            }
        });
    }
    if spec.escape_whitespaces {
        steps.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE}));
    }
    Ok(match steps.len() {
        0 => Value::Null,
        _ => json!({"type": "Sequence", "normalizers": steps}),
    })
}

/// A regular expression that matches this text.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Check all that the library takes on trust of a `precompiled_charsmap`: the bytes of a double array, as a little-endian
/// u32, the array, and the texts it leads to, each with a zero at its end.
pub(super) fn check_charsmap(charsmap: &[u8]) -> Result<()> {
    let broken = |what: &str| failed(format!("precompiled_charsmap: {what}"));
    let Some((size, rest)) = charsmap.split_first_chunk::<4>() else { return Err(broken("it is cut short")) };
    let size = u32::from_le_bytes(*size) as usize;
    let Some((array, texts)) = rest.split_at_checked(size) else { return Err(broken("its array is cut short")) };
    if size == 0 || !size.is_multiple_of(4) {
        return Err(broken("its array is no array of 32-bit numbers"));
    }
    let Ok(texts) = std::str::from_utf8(texts) else { return Err(broken("its texts are no UTF-8")) };
    if !texts.ends_with('\0') {
        return Err(broken("its last text does not end"));
    }
    let longest = texts.split('\0').map(str::len).max().unwrap_or(0);
    within("charsmap_text_bytes", longest, Limits::DEFAULT.charsmap_text_bytes)?;
    let array: Vec<usize> = array.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit) as usize).collect();
    // Where the children of a node are: at this, XOR a byte; its own value at XOR 0.
    let children = |node: usize| node ^ (array[node] >> 10) << ((array[node] & 1 << 9) >> 6);
    let mut seen = vec![false; array.len()];
    let mut nodes = vec![0];
    while let Some(node) = nodes.pop() {
        let base = children(node);
        if base | 0xff >= array.len() {
            return Err(broken("its array leads out of itself"));
        }
        for byte in 1..=255 {
            let child = base ^ byte;
            if array[child] & (1 << 31 | 0xff) != byte || std::mem::replace(&mut seen[child], true) {
                continue;
            }
            if array[child] >> 8 & 1 == 1 {
                let value = children(child);
                let text = array.get(value).map(|unit| unit & ((1 << 31) - 1));
                if !text.is_some_and(|text| text < texts.len() && texts.is_char_boundary(text)) {
                    return Err(broken("its array leads to no text"));
                }
            }
            nodes.push(child);
        }
    }
    Ok(())
}

// -- the message -------------------------------------------------------------------------------------------------------

/// One field of a protobuf message.
enum Field<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
    /// A fixed 64-bit number, of which no field here is one.
    Other,
}

/// The fields of a message, with their numbers.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, n: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(n).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => self.bytes(8).map(|_| Field::Other)?,
            2 => {
                let n = self.varint()?;
                Field::Bytes(self.bytes(n)?)
            }
            5 => Field::Fixed32(*self.bytes(4)?.first_chunk()?),
            _ => return None,
        };
        Some((tag >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or_else(|| failed("the file is broken or cut short: it is no protobuf message")))
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| failed("a piece is no UTF-8"))
}

fn read(model: &[u8]) -> Result<(Vec<SentencePiece<'_>>, Spec<'_>)> {
    let mut pieces = Vec::new();
    let mut spec = Spec::default();
    for field in (Fields { rest: model }) {
        match field? {
            (1, Field::Bytes(bytes)) => {
                within("vocab_size", pieces.len() + 1, Limits::DEFAULT.vocab_size)?;
                pieces.push(read_piece(bytes)?);
            }
            (2, Field::Bytes(bytes)) => {
                for field in (Fields { rest: bytes }) {
                    match field? {
                        (3, Field::Varint(value)) => spec.model_type = value,
                        (24, Field::Varint(value)) => spec.treat_whitespace_as_suffix = value != 0,
                        (35, Field::Varint(value)) => spec.byte_fallback = value != 0,
                        (46, Field::Bytes(bytes)) => spec.bos_piece = text(bytes)?,
                        (47, Field::Bytes(bytes)) => spec.eos_piece = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (3, Field::Bytes(bytes)) => {
                for field in (Fields { rest: bytes }) {
                    match field? {
                        (2, Field::Bytes(bytes)) => spec.charsmap = bytes,
                        (3, Field::Varint(value)) => spec.add_dummy_prefix = value != 0,
                        (4, Field::Varint(value)) => spec.remove_extra_whitespaces = value != 0,
                        (5, Field::Varint(value)) => spec.escape_whitespaces = value != 0,
                        _ => {}
                    }
                }
            }
            (5, Field::Bytes(bytes)) => {
                for field in (Fields { rest: bytes }) {
                    if matches!(field?, (2, Field::Bytes([_, ..]))) {
                        return Err(failed("a denormalizer is not supported"));
                    }
                }
            }
            _ => {}
        }
    }
    Ok((pieces, spec))
}

fn read_piece(bytes: &[u8]) -> Result<SentencePiece<'_>> {
    let mut piece = SentencePiece { text: "", score: 0.0, kind: Kind::Normal };
    for field in (Fields { rest: bytes }) {
        match field? {
            (1, Field::Bytes(bytes)) => piece.text = text(bytes)?,
            (2, Field::Fixed32(bytes)) => piece.score = f32::from_le_bytes(bytes),
            (3, Field::Varint(kind)) => {
                piece.kind = match kind {
                    1 => Kind::Normal,
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::UserDefined,
                    5 => Kind::Unused,
                    6 => Kind::Byte,
                    other => return Err(failed(format!("there is no piece type {other}"))),
                }
            }
            _ => {}
        }
    }
    Ok(piece)
}
