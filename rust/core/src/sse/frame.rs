//! Events to bytes: single frames of any text, and the frames of OpenAI's and TGI's streams.
//!
//! What is the same in every frame of a request is written once, in a `Template`; a token then costs one escape and two
//! copies. Every function appends whole frames to the caller's buffer, so those of several tokens share one write.
//! This file sends nothing and decides nothing: which frames a stream has is its caller's business.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;

use crate::error::{Error, Result};
use crate::kernels::escape::plain_len;

/// How OpenAI's streams end.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// Append one event. `data` becomes as many `data` lines as CR, LF and CRLF cut it into; a parser joins them by LF.
///
/// `Error::Parameter` if `event` or `id` holds a line end, which would begin another line, or a NUL, for which a parser
/// ignores an id.
pub fn frame(
    data: &str,
    event: Option<&str>,
    id: Option<&str>,
    retry_ms: Option<u64>,
    out: &mut Vec<u8>,
) -> Result<()> {
    if let Some(event) = event {
        refuse("event", event, FORBIDDEN)?;
    }
    if let Some(id) = id {
        refuse("id", id, FORBIDDEN)?;
    }
    if let Some(event) = event {
        line(b"event: ", event.as_bytes(), out);
    }
    if let Some(id) = id {
        line(b"id: ", id.as_bytes(), out);
    }
    if let Some(retry_ms) = retry_ms {
        line(b"retry: ", retry_ms.to_string().as_bytes(), out);
    }
    let mut rest = data.as_bytes();
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        line(b"data: ", &rest[..end], out);
        rest = &rest[end + if rest[end..].starts_with(b"\r\n") { 2 } else { 1 }..];
    }
    line(b"data: ", rest, out);
    out.push(b'\n');
    Ok(())
}

/// Append a comment, which clients ignore: it keeps a connection alive. `Error::Parameter` on a line end.
pub fn comment(text: &str, out: &mut Vec<u8>) -> Result<()> {
    refuse("comment", text, &['\r', '\n'])?;
    line(if text.is_empty() { b":" } else { b": " }, text.as_bytes(), out);
    out.push(b'\n');
    Ok(())
}

/// In the name and the id of an event.
const FORBIDDEN: &[char] = &['\r', '\n', '\0'];

fn refuse(field: &'static str, value: &str, forbidden: &'static [char]) -> Result<()> {
    if !value.contains(forbidden) {
        return Ok(());
    }
    let expected = if forbidden.contains(&'\0') { "no CR, LF or NUL" } else { "no CR or LF" };
    Err(Error::Parameter { field, value: format!("{value:?}"), expected: expected.into() })
}

fn line(field: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(field);
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Append `text` as the inside of a JSON string, without quotes.
///
/// Beyond what JSON asks for, U+0085, U+2028 and U+2029 are escaped: clients that split lines the way Python's
/// `str.splitlines` does break a frame at them. Everything else stays UTF-8.
pub fn escape_json(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len());
    let (mut copied, mut at) = (0, 0);
    loop {
        at += plain_len(&bytes[at..]);
        let Some(&byte) = bytes.get(at) else {
            break;
        };
        let (escape, len): (&[u8], usize) = match byte {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            b'\t' => (b"\\t", 1),
            0xc2 if bytes[at..].starts_with("\u{85}".as_bytes()) => (b"\\u0085", 2),
            0xe2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => (b"\\u2028", 3),
            0xe2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => (b"\\u2029", 3),
            0..0x20 => (&control_escape(byte), 1),
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(escape);
        at += len;
        copied = at;
    }
    out.extend_from_slice(&bytes[copied..]);
}

fn control_escape(byte: u8) -> [u8; 6] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    [b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// A frame of JSON with a place for one string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// From the frame's start to the string's opening quote.
    head: Vec<u8>,
    /// From its closing quote to the frame's end.
    tail: Vec<u8>,
}

impl Template {
    /// The JSON before and after the string, quotes not included, and the event's type.
    ///
    /// `Error::Parameter` if the two and a string between them are not one JSON text, or hold a line end (between its
    /// values a JSON text may have one, a line of data may not), or if `event` holds one or a NUL.
    pub fn new(before: &str, after: &str, event: Option<&str>) -> Result<Template> {
        let expected = || "JSON with a string between before and after, and no CR or LF".to_owned();
        let json = format!("{before}\"\"{after}");
        let refused = |why: String| Error::Parameter { field: "before, after", value: why, expected: expected() };
        if json.contains(['\r', '\n']) {
            return Err(refused("a line end".into()));
        }
        serde_json::from_str::<serde::de::IgnoredAny>(&json).map_err(|error| refused(error.to_string()))?;
        // After a backslash at the end of `before` the place's own quote would be part of a string.
        if ends_in_string(before) {
            return Err(refused("a string left open before the place".into()));
        }
        let mut head = Vec::new();
        if let Some(event) = event {
            refuse("event", event, FORBIDDEN)?;
            line(b"event: ", event.as_bytes(), &mut head);
        }
        head.extend_from_slice(b"data: ");
        // Outside of strings JSON has no such characters, so what is escaped is inside of one.
        let safe = |json: &str| {
            json.replace('\u{85}', "\\u0085").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
        };
        head.extend_from_slice(safe(before).as_bytes());
        head.push(b'"');
        Ok(Template { head, tail: format!("\"{}\n\n", safe(after)).into_bytes() })
    }

    /// The frame of a text.
    pub fn text(&self, text: &str, out: &mut Vec<u8>) {
        out.reserve(self.head.len() + text.len() + self.tail.len());
        out.extend_from_slice(&self.head);
        escape_json(text, out);
        out.extend_from_slice(&self.tail);
    }

    /// How long the frame of an empty text is.
    pub fn frame_len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The three parts of the frame of a text, if nothing in the text is escaped.
    pub fn plain<'a>(&'a self, text: &'a str) -> Option<[&'a [u8]; 3]> {
        let bytes = text.as_bytes();
        (plain_len(bytes) == bytes.len()).then_some([&self.head, bytes, &self.tail])
    }
}

/// Whether a quote at the end of this beginning of a JSON text would close a string.
fn ends_in_string(json: &str) -> bool {
    let (mut is_inside, mut is_escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_inside,
            b'"' => is_inside = !is_inside,
            _ => {}
        }
    }
    is_inside
}

/// Which of OpenAI's streamed objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `chat.completion.chunk`
    Chat,
    /// `text_completion`
    Completion,
}

/// A token with its log-probability and the most likely ones beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob<'a> {
    /// Its bytes. Beside them, a chat chunk has a string with U+FFFD for what is not UTF-8; a completion has a string
    /// alone, `bytes:\xe2\x82` for such a token.
    pub token: &'a [u8],
    /// Natural logarithm; what is not finite is written as -9999.0, as JSON has no infinity.
    pub logprob: f32,
    /// The most likely tokens and theirs, best first.
    pub top: Vec<(&'a [u8], f32)>,
    /// Where the token begins in the completion's text, in characters. A chat chunk does not carry it.
    pub text_offset: usize,
}

/// Writes the frames of one choice of one request.
#[derive(Debug, Clone)]
pub struct Framer {
    kind: Kind,
    include_usage: bool,
    /// From `data: ` to the list of choices.
    head: Vec<u8>,
    /// `head`, and the choice as far as it is the same with and without text.
    choice: Vec<u8>,
    text: Template,
    /// From the end of the choice to the end of the frame.
    tail: &'static [u8],
}

impl Framer {
    /// Write what the request's frames share. With `include_usage` (OpenAI's `stream_options.include_usage`) every frame
    /// has `"usage":null` and `usage` gives one with the numbers.
    pub fn new(kind: Kind, id: &str, model: &str, created: u64, index: u32, include_usage: bool) -> Framer {
        let mut head = b"data: {\"id\":".to_vec();
        string(id, &mut head);
        let object = match kind {
            Kind::Chat => "chat.completion.chunk",
            Kind::Completion => "text_completion",
        };
        push(format_args!(",\"object\":\"{object}\",\"created\":{created},\"model\":"), &mut head);
        string(model, &mut head);
        head.extend_from_slice(b",\"choices\":[");

        let mut choice = head.clone();
        push(format_args!("{{\"index\":{index},"), &mut choice);
        choice.extend_from_slice(match kind {
            Kind::Chat => b"\"delta\":{",
            Kind::Completion => b"\"text\":\"",
        });
        let mut text_head = choice.clone();
        if kind == Kind::Chat {
            text_head.extend_from_slice(b"\"content\":\"");
        }
        let tail: &[u8] = if include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" };
        let text_tail = [text_end(kind), b"null", UNFINISHED, tail].concat();
        let text = Template { head: text_head, tail: text_tail };
        Framer { kind, include_usage, head, choice, text, tail }
    }

    /// Of which object its frames are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The first frame of a chat, with the role; nothing for a completion.
    pub fn start(&self, out: &mut Vec<u8>) {
        if self.kind == Kind::Chat {
            out.extend_from_slice(&self.choice);
            out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"");
            out.extend_from_slice(&self.text.tail);
        }
    }

    /// A piece of text, nothing if it is empty. What is not UTF-8 becomes U+FFFD.
    pub fn text(&self, text: &[u8], out: &mut Vec<u8>) {
        if !text.is_empty() {
            self.text.text(&String::from_utf8_lossy(text), out);
        }
    }

    /// What writes the frames of text; not to be asked for the frame of an empty one.
    pub fn template(&self) -> &Template {
        &self.text
    }

    /// A tool call begins: the `tool_index`-th of this choice, whose arguments follow. Nothing for a completion.
    pub fn tool_call(&self, tool_index: u32, id: &str, name: &str, out: &mut Vec<u8>) {
        self.tool_calls(out, |out| {
            push(format_args!("\"index\":{tool_index},\"id\":"), out);
            string(id, out);
            out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
            string(name, out);
            out.extend_from_slice(b",\"arguments\":\"\"}");
        });
    }

    /// A piece of a tool call's arguments, which are JSON as text. Nothing for an empty one, and for a completion.
    pub fn tool_arguments(&self, tool_index: u32, arguments: &str, out: &mut Vec<u8>) {
        if arguments.is_empty() {
            return;
        }
        self.tool_calls(out, |out| {
            push(format_args!("\"index\":{tool_index},\"function\":{{\"arguments\":"), out);
            string(arguments, out);
            out.push(b'}');
        });
    }

    fn tool_calls(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self.kind == Kind::Chat {
            out.extend_from_slice(&self.choice);
            out.extend_from_slice(b"\"tool_calls\":[{");
            write(out);
            out.extend_from_slice(b"}]},\"logprobs\":null");
            out.extend_from_slice(UNFINISHED);
            out.extend_from_slice(self.tail);
        }
    }

    /// A piece of text with its tokens. The text may be empty, as a token may end inside a character.
    pub fn text_with_logprobs(&self, text: &[u8], tokens: &[TokenLogprob<'_>], out: &mut Vec<u8>) {
        if tokens.is_empty() {
            return self.text(text, out);
        }
        out.extend_from_slice(&self.text.head);
        escape_json(&String::from_utf8_lossy(text), out);
        out.extend_from_slice(text_end(self.kind));
        match self.kind {
            Kind::Chat => chat_logprobs(tokens, out),
            Kind::Completion => completion_logprobs(tokens, out),
        }
        out.extend_from_slice(UNFINISHED);
        out.extend_from_slice(self.tail);
    }

    /// The frame that carries the finish reason.
    pub fn finish(&self, reason: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.choice);
        out.extend_from_slice(match self.kind {
            Kind::Chat => b"}",
            Kind::Completion => b"\"",
        });
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
        string(reason, out);
        out.push(b'}');
        out.extend_from_slice(self.tail);
    }

    /// The frame with the token counts; nothing without `include_usage`.
    pub fn usage(&self, prompt_tokens: u64, completion_tokens: u64, out: &mut Vec<u8>) {
        if self.include_usage {
            let total_tokens = prompt_tokens.saturating_add(completion_tokens);
            out.extend_from_slice(&self.head);
            push(format_args!("],\"usage\":{{\"prompt_tokens\":{prompt_tokens}"), out);
            push(
                format_args!(",\"completion_tokens\":{completion_tokens},\"total_tokens\":{total_tokens}}}}}\n\n"),
                out,
            );
        }
    }
}

const UNFINISHED: &[u8] = b",\"finish_reason\":null}";

/// An error, as OpenAI's streams have it: `{"error":{"message":...,"type":...,"param":...,"code":...}}`.
pub fn error(message: &str, kind: &str, param: Option<&str>, code: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: {\"error\":{\"message\":");
    string(message, out);
    out.extend_from_slice(b",\"type\":");
    string(kind, out);
    out.extend_from_slice(b",\"param\":");
    string_or_null(param, out);
    out.extend_from_slice(b",\"code\":");
    string_or_null(code, out);
    out.extend_from_slice(b"}}\n\n");
}

fn string_or_null(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => string(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// A token as TGI's streams show it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TgiToken<'a> {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub text: &'a str,
    /// Natural logarithm; null if it is not finite.
    pub logprob: f32,
    /// Whether it is a special token.
    pub is_special: bool,
}

/// How a TGI stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TgiEnd<'a> {
    /// All the text.
    pub generated_text: &'a str,
    /// "length", "eos_token" or "stop_sequence".
    pub finish_reason: &'a str,
    /// How many tokens that was.
    pub generated_tokens: u64,
    /// What the draws came from.
    pub seed: Option<u64>,
}

/// One token of a TGI stream, the `index`-th from 1; with `end` the last one.
pub fn tgi_token(
    index: u64,
    token: TgiToken<'_>,
    top_tokens: &[TgiToken<'_>],
    end: Option<TgiEnd<'_>>,
    out: &mut Vec<u8>,
) {
    push(format_args!("data: {{\"index\":{index},\"token\":"), out);
    tgi_object(&token, out);
    if !top_tokens.is_empty() {
        out.extend_from_slice(b",\"top_tokens\":");
        list(top_tokens, out, tgi_object);
    }
    out.extend_from_slice(b",\"generated_text\":");
    string_or_null(end.map(|end| end.generated_text), out);
    match end {
        None => out.extend_from_slice(b",\"details\":null}\n\n"),
        Some(end) => {
            out.extend_from_slice(b",\"details\":{\"finish_reason\":");
            string(end.finish_reason, out);
            push(format_args!(",\"generated_tokens\":{},\"seed\":", end.generated_tokens), out);
            match end.seed {
                Some(seed) => push(seed, out),
                None => out.extend_from_slice(b"null"),
            }
            out.extend_from_slice(b"}}\n\n");
        }
    }
}

fn tgi_object(token: &TgiToken<'_>, out: &mut Vec<u8>) {
    push(format_args!("{{\"id\":{},\"text\":", token.id), out);
    string(token.text, out);
    out.extend_from_slice(b",\"logprob\":");
    if token.logprob.is_finite() {
        number(token.logprob, out);
    } else {
        out.extend_from_slice(b"null");
    }
    push(format_args!(",\"special\":{}}}", token.is_special), out);
}

/// An error, as TGI's streams have it: `{"error":...,"error_type":...}`.
pub fn tgi_error(message: &str, error_type: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: {\"error\":");
    string(message, out);
    out.extend_from_slice(b",\"error_type\":");
    string(error_type, out);
    out.extend_from_slice(b"}\n\n");
}

/// From the end of the text to the value of `logprobs`.
fn text_end(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Chat => b"\"},\"logprobs\":",
        Kind::Completion => b"\",\"logprobs\":",
    }
}

fn chat_logprobs(tokens: &[TokenLogprob<'_>], out: &mut Vec<u8>) {
    let fields = |token: &[u8], logprob: f32, out: &mut Vec<u8>| {
        out.extend_from_slice(b"{\"token\":");
        string(&String::from_utf8_lossy(token), out);
        out.extend_from_slice(b",\"logprob\":");
        number(logprob, out);
        out.extend_from_slice(b",\"bytes\":");
        list(token, out, |byte, out| push(byte, out));
    };
    out.extend_from_slice(b"{\"content\":");
    list(tokens, out, |token, out| {
        fields(token.token, token.logprob, out);
        out.extend_from_slice(b",\"top_logprobs\":");
        list(&token.top, out, |&(token, logprob), out| {
            fields(token, logprob, out);
            out.push(b'}');
        });
        out.push(b'}');
    });
    out.extend_from_slice(b",\"refusal\":null}");
}

fn completion_logprobs(tokens: &[TokenLogprob<'_>], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"tokens\":");
    list(tokens, out, |token, out| string(&completion_token(token.token), out));
    out.extend_from_slice(b",\"token_logprobs\":");
    list(tokens, out, |token, out| number(token.logprob, out));
    out.extend_from_slice(b",\"top_logprobs\":");
    if tokens.iter().all(|token| token.top.is_empty()) {
        out.extend_from_slice(b"null");
    } else {
        list(tokens, out, |token, out| top_by_string(&token.top, out));
    }
    out.extend_from_slice(b",\"text_offset\":");
    list(tokens, out, |token, out| push(token.text_offset, out));
    out.push(b'}');
}

/// A token as text; bytes that are no text by themselves as OpenAI writes them, `bytes:\\xe2\\x82`.
fn completion_token(token: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(token) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let escaped = token.iter().map(|byte| format!("\\x{byte:02x}"));
            Cow::Owned(std::iter::once("bytes:".to_owned()).chain(escaped).collect())
        }
    }
}

/// An object from token strings to log-probabilities. Of tokens that are the same string the likeliest stays.
fn top_by_string(top: &[(&[u8], f32)], out: &mut Vec<u8>) {
    let mut strings: Vec<Cow<'_, str>> = Vec::with_capacity(top.len());
    out.push(b'{');
    for &(token, logprob) in top {
        let token = completion_token(token);
        if strings.contains(&token) {
            continue;
        }
        if !strings.is_empty() {
            out.push(b',');
        }
        string(&token, out);
        out.push(b':');
        number(logprob, out);
        strings.push(token);
    }
    out.push(b'}');
}

fn list<T>(items: &[T], out: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape_json(text, out);
    out.push(b'"');
}

fn number(logprob: f32, out: &mut Vec<u8>) {
    push(format_args!("{:?}", if logprob.is_finite() { logprob } else { -9999.0 }), out);
}

fn push(value: impl Display, out: &mut Vec<u8>) {
    // A Vec takes every byte.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::sse::parse::{Event, Parser};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        string(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn events(frames: &[u8]) -> Vec<Event> {
        let mut out = Vec::new();
        Parser::default().feed(frames, &mut out).unwrap();
        out
    }

    /// The JSON of the frames that `write` appends, each of which must be one line of ASCII-safe line ends.
    fn chunks(write: impl FnOnce(&mut Vec<u8>)) -> Vec<Value> {
        let mut out = Vec::new();
        write(&mut out);
        let text = std::str::from_utf8(&out).unwrap();
        assert!(!text.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}']));
        let chunks: Vec<Value> = events(&out).iter().map(|event| serde_json::from_str(&event.data).unwrap()).collect();
        assert_eq!(text.matches('\n').count(), 2 * chunks.len());
        chunks
    }

    fn chat(include_usage: bool) -> Framer {
        Framer::new(Kind::Chat, "chatcmpl-1", "tiny \"model\"", 1_763_780_000, 2, include_usage)
    }

    fn completion() -> Framer {
        Framer::new(Kind::Completion, "cmpl-1", "tiny", 7, 0, false)
    }

    #[test]
    fn frames_have_their_exact_bytes() {
        let write = |data, event, id, retry_ms| {
            let mut out = Vec::new();
            frame(data, event, id, retry_ms, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write("one\ntwo", Some("greeting"), None, None), "event: greeting\ndata: one\ndata: two\n\n");
        assert_eq!(write("", None, Some("7"), Some(0)), "id: 7\nretry: 0\ndata: \n\n");
        assert_eq!(write("a\r\nb\rc\n", None, None, None), "data: a\ndata: b\ndata: c\ndata: \n\n");
        let mut out = Vec::new();
        comment("", &mut out).unwrap();
        comment("ping", &mut out).unwrap();
        assert_eq!(out, b":\n\n: ping\n\n");
    }

    #[test]
    fn what_would_forge_a_line_is_refused() {
        let mut out = Vec::new();
        for bad in ["a\nb", "\r"] {
            let event = frame("x", Some(bad), None, None, &mut out).unwrap_err();
            assert!(matches!(event, Error::Parameter { field: "event", .. }), "{event:?}");
            let id = frame("x", None, Some(bad), None, &mut out).unwrap_err();
            assert!(matches!(id, Error::Parameter { field: "id", .. }), "{id:?}");
            assert!(matches!(comment(bad, &mut out).unwrap_err(), Error::Parameter { field: "comment", .. }));
        }
        assert!(frame("x", None, Some("a\0"), None, &mut out).is_err());
        assert!(frame("x", Some("a\0"), None, None, &mut out).is_err());
        assert!(out.is_empty());
    }

    #[test]
    fn chat_chunks_are_openai_s() {
        let mut out = Vec::new();
        chat(false).text("é\n".as_bytes(), &mut out);
        let expected = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763780000,"model":"tiny \"model\"","choices":[{"index":2,"delta":{"content":"é\n"},"logprobs":null,"finish_reason":null}]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n\n"));

        let framer = chat(true);
        let all = chunks(|out| {
            framer.start(out);
            framer.text(b"", out);
            framer.text(b"hi", out);
            framer.finish("stop", out);
            framer.usage(3, 2, out);
        });
        let choice = |delta: Value, reason: Value| json!([{"index": 2, "delta": delta, "logprobs": null, "finish_reason": reason}]);
        let chunk = |choices: Value, usage: Value| {
            json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_763_780_000,
                "model": "tiny \"model\"", "choices": choices, "usage": usage})
        };
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
        let expected = [
            chunk(choice(json!({"role": "assistant", "content": ""}), Value::Null), Value::Null),
            chunk(choice(json!({"content": "hi"}), Value::Null), Value::Null),
            chunk(choice(json!({}), json!("stop")), Value::Null),
            chunk(json!([]), usage),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn completion_chunks_are_openai_s() {
        let framer = completion();
        let all = chunks(|out| {
            framer.start(out);
            framer.text(b"\"hi\"", out);
            framer.finish("length", out);
            framer.usage(1, 1, out);
        });
        let chunk = |text: &str, reason: Value| {
            json!({"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "tiny",
                "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": reason}]})
        };
        assert_eq!(all, [chunk("\"hi\"", Value::Null), chunk("", json!("length"))]);
    }

    #[test]
    fn numbers_are_json() {
        for (logprob, expected) in [(-1e-30, "-1e-30"), (0.0, "0.0"), (-12.5, "-12.5"), (f32::INFINITY, "-9999.0")] {
            let mut out = Vec::new();
            number(logprob, &mut out);
            assert_eq!(out, expected.as_bytes());
        }
    }

    #[test]
    fn log_probabilities_carry_bytes() {
        let half = &"€".as_bytes()[..2];
        let tokens = [
            TokenLogprob { token: half, logprob: -0.5, top: vec![(half, -0.5), (b"\xff", -0.125)], text_offset: 4 },
            TokenLogprob { token: b"\xac", logprob: f32::NEG_INFINITY, top: vec![(b"a", f32::NAN)], text_offset: 4 },
        ];
        let all = chunks(|out| chat(false).text_with_logprobs("€".as_bytes(), &tokens, out));
        let logprobs = json!({"content": [
            {"token": "\u{fffd}", "logprob": -0.5, "bytes": [226, 130], "top_logprobs": [
                {"token": "\u{fffd}", "logprob": -0.5, "bytes": [226, 130]},
                {"token": "\u{fffd}", "logprob": -0.125, "bytes": [255]}]},
            {"token": "\u{fffd}", "logprob": -9999.0, "bytes": [172], "top_logprobs": [
                {"token": "a", "logprob": -9999.0, "bytes": [97]}]}], "refusal": null});
        let choice = json!({"index": 2, "delta": {"content": "€"}, "logprobs": logprobs, "finish_reason": null});
        assert_eq!(all[0]["choices"][0], choice);

        let all = chunks(|out| completion().text_with_logprobs(b"", &tokens, out));
        let logprobs = json!({"tokens": [r"bytes:\xe2\x82", r"bytes:\xac"], "token_logprobs": [-0.5, -9999.0],
            "top_logprobs": [{r"bytes:\xe2\x82": -0.5, r"bytes:\xff": -0.125}, {"a": -9999.0}], "text_offset": [4, 4]});
        assert_eq!(all[0]["choices"][0], json!({"index": 0, "text": "", "logprobs": logprobs, "finish_reason": null}));

        let alone = [TokenLogprob { top: vec![], ..tokens[0].clone() }];
        let all = chunks(|out| completion().text_with_logprobs(b"x", &alone, out));
        assert_eq!(all[0]["choices"][0]["logprobs"]["top_logprobs"], Value::Null);
        let all = chunks(|out| chat(false).text_with_logprobs(b"x", &alone, out));
        assert_eq!(all[0]["choices"][0]["logprobs"]["content"][0]["top_logprobs"], json!([]));
    }

    #[test]
    fn escapes_are_the_shortest_and_only_where_needed() {
        assert_eq!(escaped("\"\\/\n\r\t\u{8}\0\u{1f}\u{7f}"), "\"\\\"\\\\/\\n\\r\\t\\u0008\\u0000\\u001f\u{7f}\"");
        assert_eq!(escaped("\u{85}\u{2028}\u{2029}"), "\"\\u0085\\u2028\\u2029\"");
        let plain = "é \u{84}\u{86}\u{2027}\u{202a}€—¡😀";
        assert_eq!(escaped(plain), format!("\"{plain}\""));
    }

    /// Every suspect at every place relative to the blocks that are looked at as one.
    #[test]
    fn escapes_at_every_alignment() {
        for special in ["\"", "\n", "\0", "\u{85}", "\u{84}", "\u{2028}", "\u{2027}"] {
            for before in 0..40 {
                for after in [0, 1, 15, 16, 17, 33] {
                    let text = "x".repeat(before) + special + &"y".repeat(after) + special;
                    assert_eq!(serde_json::from_str::<String>(&escaped(&text)).unwrap(), text);
                }
            }
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop::string::string_regex("([\\x00-\\x7f\u{85}\u{2028}\u{2029}\u{feff}\u{fffd}é😀]|\\PC|[\"\\\\\r\n]){0,60}")
            .unwrap()
    }

    proptest! {
        #[test]
        fn escaped_text_parses_back(text in hostile()) {
            prop_assert_eq!(serde_json::from_str::<String>(&escaped(&text)).unwrap(), text);
        }

        #[test]
        fn text_frames_parse_back(pieces in prop::collection::vec(hostile(), 1..5), id in hostile(), model in hostile()) {
            for kind in [Kind::Chat, Kind::Completion] {
                let framer = Framer::new(kind, &id, &model, 1, 0, false);
                let all = chunks(|out| pieces.iter().for_each(|piece| framer.text(piece.as_bytes(), out)));
                let texts: Vec<&str> = all.iter().map(|chunk| {
                    let choice = &chunk["choices"][0];
                    choice["delta"]["content"].as_str().or(choice["text"].as_str()).unwrap()
                }).collect();
                let kept: Vec<&String> = pieces.iter().filter(|piece| !piece.is_empty()).collect();
                prop_assert_eq!(texts, kept);
                prop_assert!(all.iter().all(|chunk| chunk["id"] == *id && chunk["model"] == *model));
            }
        }

        #[test]
        fn bytes_that_are_not_text_still_make_json(bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            let all = chunks(|out| chat(false).text(&bytes, out));
            prop_assert_eq!(&all[0]["choices"][0]["delta"]["content"], &json!(String::from_utf8_lossy(&bytes)));
        }

        #[test]
        fn any_event_parses_back(
            data in hostile(),
            event in prop::option::of("[^\r\n\0]{1,8}"),
            id in prop::option::of("[^\r\n\0]{0,8}"),
            retry_ms in prop::option::of(any::<u64>()),
        ) {
            let mut out = Vec::new();
            frame(&data, event.as_deref(), id.as_deref(), retry_ms, &mut out).unwrap();
            let mut parser = Parser::default();
            let mut events = Vec::new();
            parser.feed(&out, &mut events).unwrap();
            let data = data.replace("\r\n", "\n").replace('\r', "\n");
            let event_type = event.unwrap_or("message".into());
            prop_assert_eq!(events, [Event { event_type, data, id: id.unwrap_or_default() }]);
            prop_assert_eq!(parser.retry_ms(), retry_ms);
        }
    }
}
