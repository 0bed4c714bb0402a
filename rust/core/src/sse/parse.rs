//! Bytes of an event stream, cut anywhere, to events (WHATWG HTML, 9.2.6 "Interpreting an event stream").
//!
//! Linear in its input and bounded in memory: a line inside one chunk is read where it lies, of a line that goes on only
//! the field's value is kept, and comments and unknown fields are dropped as they pass. This file does not know what an
//! event's data mean and never reconnects.

use std::ops::Range;

use memchr::memchr2;

use crate::error::{Error, Result};
use crate::limits::Limits;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The type of an event without an `event` field.
pub const DEFAULT_TYPE: &str = "message";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `event` field, "message" if there was none.
    pub event_type: String,
    /// The `data` lines, joined by LF.
    pub data: String,
    /// The last event id in force, "" if there was none.
    pub id: String,
}

/// One event as it lies in the parser and the chunk, before anything is copied. Bytes are as they were received: perhaps
/// not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// The `event` field, empty if there was none: "message" is meant.
    pub event_type: &'a [u8],
    /// Data that began in an earlier chunk, its lines joined by LF.
    pub kept: Option<&'a [u8]>,
    /// Where in the chunk the data lines lie that are in it as a whole. They follow `kept`, and LF stands between them all.
    pub lines: &'a [Range<usize>],
    /// The chunk.
    pub chunk: &'a [u8],
    /// The last event id in force, "" if there was none.
    pub id: &'a str,
}

impl RawEvent<'_> {
    /// The data, if it is one piece, wherever that lies.
    pub fn one_piece(&self) -> Option<&[u8]> {
        match (self.kept, self.lines) {
            (Some(kept), []) => Some(kept),
            (None, [line]) => self.chunk.get(line.clone()),
            _ => None,
        }
    }

    /// Append the data.
    pub fn join(&self, out: &mut Vec<u8>) {
        let lines = self.lines.iter().filter_map(|line| self.chunk.get(line.clone()));
        for (position, piece) in self.kept.into_iter().chain(lines).enumerate() {
            if position > 0 {
                out.push(b'\n');
            }
            out.extend_from_slice(piece);
        }
    }

    /// The event on its own. "UTF-8 decode" replaces: each maximal ill-formed part becomes U+FFFD.
    pub fn to_event(&self) -> Event {
        let data = match self.one_piece() {
            Some(piece) => String::from_utf8_lossy(piece).into_owned(),
            None => {
                let mut data = Vec::new();
                self.join(&mut data);
                into_text(data)
            }
        };
        let event_type = match self.event_type {
            [] => DEFAULT_TYPE.to_owned(),
            bytes => String::from_utf8_lossy(bytes).into_owned(),
        };
        Event { event_type, data, id: self.id.to_owned() }
    }
}

fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Event,
    Data,
    Id,
    Retry,
}

const FIELDS: [(&[u8], Field); 4] =
    [(b"data", Field::Data), (b"event", Field::Event), (b"id", Field::Id), (b"retry", Field::Retry)];
const LONGEST_NAME: usize = 5;

/// What a parser keeps of its memory from one event to the next, so that one large event is not paid for until the end.
const SCRATCH: usize = 1 << 16;

/// Where in its line the parser stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// In what may be a known field's name: its bytes so far.
    Name([u8; LONGEST_NAME], usize),
    /// Right after the colon, where one space does not count.
    Colon(Field),
    /// In the field's value.
    Value(Field),
    /// In a comment or an unknown field.
    Ignored,
}

const LINE_START: Line = Line::Name([0; LONGEST_NAME], 0);

impl Default for Line {
    fn default() -> Line {
        LINE_START
    }
}

/// Of the byte order mark.
#[derive(Debug, Clone, Copy)]
enum Mark {
    /// So many bytes of it were seen, and nothing else.
    Seen(usize),
    /// Something else was, or all of it.
    Past,
}

impl Default for Mark {
    fn default() -> Mark {
        Mark::Seen(0)
    }
}

/// What a parser takes at most, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of a line that is no comment and no unknown field.
    pub line: usize,
    /// Of an event's data.
    pub event: usize,
    /// Of an id.
    pub id: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        let limits = Limits::DEFAULT;
        Bounds { line: limits.sse_line_bytes, event: limits.sse_event_bytes, id: limits.sse_id_bytes }
    }
}

/// One event stream.
///
/// After a limit was passed `feed` gives the same error until `reset`: what follows a cut-off line cannot be trusted.
#[derive(Debug, Clone, Default)]
pub struct Parser {
    bounds: Bounds,
    mark: Mark,
    /// The last byte was a CR that ended its line; a LF right after belongs to it.
    after_cr: bool,
    line: Line,
    /// Bytes of the line so far; ignored lines do not count, they cost nothing.
    line_len: usize,
    /// The value so far of a field other than `data`.
    value: Vec<u8>,
    /// The event's data as far as it lies in no chunk that is at hand, and whether that is any line at all.
    data: Vec<u8>,
    has_kept: bool,
    /// The event's data lines that lie in the chunk at hand.
    lines: Vec<Range<usize>>,
    /// Bytes of `data` and `lines`, joined.
    data_len: usize,
    /// The `event` field: where in the chunk at hand, or if that is empty, kept.
    type_at: Range<usize>,
    event_type: Vec<u8>,
    /// The id that the next blank line puts in force.
    id: String,
    last_event_id: String,
    retry_ms: Option<u64>,
    failed: Option<Error>,
}

impl Parser {
    /// A parser at the start of a stream.
    pub fn new(bounds: Bounds) -> Parser {
        Parser { bounds, ..Parser::default() }
    }

    /// Append the events that this chunk completed to `out`, also those before an error.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<()> {
        self.feed_raw(chunk, |event| out.push(event.to_event()))
    }

    /// Show each event that this chunk completed to `on_event`, also those before an error.
    pub fn feed_raw(&mut self, chunk: &[u8], mut on_event: impl FnMut(RawEvent<'_>)) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let read = self.skip_mark(chunk).and_then(|at| self.read(chunk, at, &mut on_event));
        self.keep(chunk);
        if let Err(error) = &read {
            self.failed = Some(error.clone());
        }
        read
    }

    /// Start over, as for a new connection. The last event id and the retry time stay.
    pub fn reset(&mut self) {
        let id = std::mem::take(&mut self.last_event_id);
        let (bounds, retry_ms) = (self.bounds, self.retry_ms);
        *self = Parser { bounds, retry_ms, id: id.clone(), last_event_id: id, ..Parser::default() };
    }

    /// What a client that reconnects sends as `Last-Event-ID`.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The last valid `retry` field, in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// "If the leading character is U+FEFF BYTE ORDER MARK, it must be ignored": where in the chunk the rest begins.
    fn skip_mark(&mut self, chunk: &[u8]) -> Result<usize> {
        let Mark::Seen(seen) = self.mark else {
            return Ok(0);
        };
        let missing = &BYTE_ORDER_MARK[seen..];
        let same = chunk.iter().zip(missing).take_while(|(byte, wanted)| byte == wanted).count();
        if same == missing.len() {
            self.mark = Mark::Past;
            return Ok(same);
        }
        if same == chunk.len() {
            self.mark = Mark::Seen(seen + same);
            return Ok(same);
        }
        self.mark = Mark::Past;
        self.read_part(&BYTE_ORDER_MARK[..seen])?;
        Ok(0)
    }

    fn read(&mut self, chunk: &[u8], mut at: usize, on_event: &mut impl FnMut(RawEvent<'_>)) -> Result<()> {
        while let Some(&first) = chunk.get(at) {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                at += 1;
                continue;
            }
            let rest = &chunk[at..];
            let Some(len) = memchr2(b'\r', b'\n', rest) else {
                self.keep(chunk);
                return self.read_part(rest);
            };
            self.after_cr = rest[len] == b'\r';
            if self.line == LINE_START {
                match len {
                    0 => self.dispatch(chunk, on_event),
                    _ => self.whole_line(chunk, at..at + len)?,
                }
            } else {
                self.read_part(&rest[..len])?;
                self.end_line()?;
            }
            at += len + 1;
        }
        Ok(())
    }

    /// Copy what the event has in the chunk at hand, which is about to go.
    fn keep(&mut self, chunk: &[u8]) {
        for line in self.lines.drain(..) {
            if std::mem::replace(&mut self.has_kept, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(&chunk[line]);
        }
        if !self.type_at.is_empty() {
            self.event_type.clear();
            self.event_type.extend_from_slice(&chunk[std::mem::take(&mut self.type_at)]);
        }
    }

    /// A line that lies in the chunk, without its end. What it says is what `read_part` and `end_line` would make of it.
    fn whole_line(&mut self, chunk: &[u8], at: Range<usize>) -> Result<()> {
        let line = &chunk[at.clone()];
        let Some((field, value_at)) = split(line) else {
            return Ok(());
        };
        let value = &line[value_at..];
        let (room, more) = match field {
            Field::Data => (self.bounds.event.saturating_sub(self.data_len), usize::from(self.has_data())),
            Field::Id => (self.bounds.id, 0),
            Field::Event | Field::Retry => (usize::MAX, 0),
        };
        if line.len() > self.bounds.line || value.len().saturating_add(more) > room {
            // It does not fit: bytes are counted one by one only to say where.
            self.keep(chunk);
            self.read_part(line)?;
            return self.end_line();
        }
        match field {
            Field::Data => {
                self.lines.push(at.start + value_at..at.end);
                self.data_len += value.len() + more;
            }
            Field::Event => {
                self.event_type.clear();
                self.type_at = at.start + value_at..at.end;
            }
            Field::Id => self.take_id(value),
            Field::Retry => self.retry_ms = milliseconds(value).or(self.retry_ms),
        }
        Ok(())
    }

    fn has_data(&self) -> bool {
        self.has_kept || !self.lines.is_empty()
    }

    /// "If the field value does not contain U+0000 NULL".
    fn take_id(&mut self, value: &[u8]) {
        if !value.contains(&0) {
            self.id.clear();
            self.id.push_str(&String::from_utf8_lossy(value));
        }
    }

    /// A piece of a line, without its end.
    fn read_part(&mut self, mut part: &[u8]) -> Result<()> {
        while let Line::Name(mut name, len) = self.line {
            let Some((&byte, rest)) = part.split_first() else {
                return Ok(());
            };
            part = rest;
            if byte != b':' && len < LONGEST_NAME {
                name[len] = byte;
                self.line = Line::Name(name, len + 1);
            } else if byte == b':'
                && let Some(field) = field_named(&name[..len])
            {
                self.begin(field, len + 1)?;
                self.line = Line::Colon(field);
            } else {
                self.line = Line::Ignored;
            }
        }
        if let Line::Colon(field) = self.line {
            let Some((&byte, rest)) = part.split_first() else {
                return Ok(());
            };
            if byte == b' ' {
                self.count(1)?;
                part = rest;
            }
            self.line = Line::Value(field);
        }
        if let Line::Value(field) = self.line {
            self.append(field, part)?;
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.line_len += bytes;
        if self.line_len > self.bounds.line { Err(too_long("sse_line_bytes", self.bounds.line)) } else { Ok(()) }
    }

    /// A field's name is complete: `len` bytes of the line with its colon.
    fn begin(&mut self, field: Field, len: usize) -> Result<()> {
        self.count(len)?;
        self.value.clear();
        if field == Field::Data {
            if self.has_kept {
                self.grow_data(b"\n")?;
            }
            self.has_kept = true;
        }
        Ok(())
    }

    fn append(&mut self, field: Field, part: &[u8]) -> Result<()> {
        // Whichever limit is passed first is reported, so that the error does not depend on how the stream was cut.
        let room_in_line = self.bounds.line - self.line_len;
        let room_in_field = match field {
            Field::Data => self.bounds.event - self.data_len,
            Field::Id => self.bounds.id - self.value.len(),
            Field::Event | Field::Retry => usize::MAX,
        };
        if part.len() > room_in_line && room_in_line <= room_in_field {
            return Err(too_long("sse_line_bytes", self.bounds.line));
        }
        self.line_len += part.len();
        match field {
            Field::Data => self.grow_data(part),
            Field::Id if part.len() > room_in_field => Err(too_long("sse_id_bytes", self.bounds.id)),
            Field::Id | Field::Event | Field::Retry => {
                self.value.extend_from_slice(part);
                Ok(())
            }
        }
    }

    fn grow_data(&mut self, part: &[u8]) -> Result<()> {
        if part.len() > self.bounds.event - self.data_len {
            return Err(too_long("sse_event_bytes", self.bounds.event));
        }
        self.data.extend_from_slice(part);
        self.data_len += part.len();
        Ok(())
    }

    fn end_line(&mut self) -> Result<()> {
        let field = match self.line {
            // "If the line is not empty but does not contain a colon: the whole line as the field name".
            Line::Name(name, len) => {
                let field = field_named(&name[..len]);
                if let Some(field) = field {
                    self.begin(field, len)?;
                }
                field
            }
            Line::Colon(field) | Line::Value(field) => Some(field),
            Line::Ignored => None,
        };
        match field {
            Some(Field::Event) => {
                self.type_at = 0..0;
                std::mem::swap(&mut self.event_type, &mut self.value);
            }
            Some(Field::Id) => {
                let value = std::mem::take(&mut self.value);
                self.take_id(&value);
                self.value = value;
            }
            Some(Field::Retry) => self.retry_ms = milliseconds(&self.value).or(self.retry_ms),
            Some(Field::Data) | None => {}
        }
        self.line = LINE_START;
        self.line_len = 0;
        Ok(())
    }

    /// A blank line.
    fn dispatch(&mut self, chunk: &[u8], on_event: &mut impl FnMut(RawEvent<'_>)) {
        if self.last_event_id != self.id {
            self.last_event_id.clone_from(&self.id);
        }
        if self.has_data() {
            on_event(RawEvent {
                event_type: if self.type_at.is_empty() { &self.event_type } else { &chunk[self.type_at.clone()] },
                kept: self.has_kept.then_some(&self.data),
                lines: &self.lines,
                chunk,
                id: &self.last_event_id,
            });
        }
        self.has_kept = false;
        self.data.clear();
        self.data.shrink_to(SCRATCH);
        self.lines.clear();
        self.lines.shrink_to(SCRATCH);
        self.data_len = 0;
        self.event_type.clear();
        self.type_at = 0..0;
    }
}

/// The field a whole line names, and where in the line its value begins.
fn split(line: &[u8]) -> Option<(Field, usize)> {
    FIELDS.iter().find_map(|&(name, field)| match line.strip_prefix(name)? {
        // "If the line is not empty but does not contain a colon: the whole line as the field name".
        [] => Some((field, line.len())),
        [b':', b' ', ..] => Some((field, name.len() + 2)),
        [b':', ..] => Some((field, name.len() + 1)),
        _ => None,
    })
}

fn field_named(name: &[u8]) -> Option<Field> {
    FIELDS.iter().find(|(field, _)| *field == name).map(|&(_, field)| field)
}

/// "If the field value consists of only ASCII digits"; what does not fit saturates.
fn milliseconds(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let append = |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(value.iter().fold(0, append))
}

/// The parser stops at the first byte too many, however many follow.
fn too_long(limit: &'static str, maximum: usize) -> Error {
    Error::Limit { limit, got: maximum as u64 + 1, maximum: maximum as u64 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[derive(Debug, PartialEq)]
    struct Outcome {
        events: Vec<Event>,
        last_event_id: String,
        retry_ms: Option<u64>,
        error: Option<Error>,
    }

    fn run<'a>(mut parser: Parser, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let mut events = Vec::new();
        let mut error = None;
        for chunk in chunks {
            error = parser.feed(chunk, &mut events).err().or(error);
        }
        Outcome { events, last_event_id: parser.last_event_id().to_owned(), retry_ms: parser.retry_ms(), error }
    }

    fn parser(line: usize, event: usize) -> Parser {
        Parser::new(Bounds { line, event, ..Bounds::default() })
    }

    fn event(event_type: &str, data: &str, id: &str) -> Event {
        Event { event_type: event_type.into(), data: data.into(), id: id.into() }
    }

    /// The rules read one-shot, line by line, with nothing shared with the parser.
    fn oracle(input: &[u8]) -> Outcome {
        let text = String::from_utf8_lossy(input);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
        let mut lines: Vec<&str> = text.split('\n').collect();
        lines.pop();
        let (mut data, mut event_type, mut id) = (String::new(), String::new(), String::new());
        let mut outcome = Outcome { events: vec![], last_event_id: String::new(), retry_ms: None, error: None };
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                _ if line.is_empty() => {
                    outcome.last_event_id.clone_from(&id);
                    if let Some(data) = data.strip_suffix('\n') {
                        let event_type = if event_type.is_empty() { "message" } else { &event_type };
                        outcome.events.push(event(event_type, data, &id));
                    }
                    data.clear();
                    event_type.clear();
                }
                "event" => event_type = value.into(),
                "data" => data = data + value + "\n",
                "id" if !value.contains('\0') => id = value.into(),
                "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                    outcome.retry_ms = Some(value.parse().unwrap_or(u64::MAX));
                }
                _ => {}
            }
        }
        outcome
    }

    fn cut_at<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.push(text.len());
        at.sort_unstable();
        let mut start = 0;
        at.into_iter().map(|end| &text[std::mem::replace(&mut start, end)..end]).collect()
    }

    /// tests/vectors/sse.json: `input` has one character a byte.
    fn vectors() -> Vec<(String, Vec<u8>, Outcome)> {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/sse.json"));
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        let string = |value: &Value| value.as_str().unwrap().to_owned();
        let case = |case: &Value| {
            let input = string(&case["input"]).chars().map(|byte| u8::try_from(byte).unwrap()).collect();
            let read =
                |e: &Value| Event { event_type: string(&e["type"]), data: string(&e["data"]), id: string(&e["id"]) };
            let events = case["events"].as_array().unwrap().iter().map(read).collect();
            let (last_event_id, retry_ms) = (string(&case["last_event_id"]), case["retry"].as_u64());
            (string(&case["name"]), input, Outcome { events, last_event_id, retry_ms, error: None })
        };
        cases.iter().map(case).collect()
    }

    #[test]
    fn vectors_at_every_chunking() {
        let vectors = vectors();
        assert!(vectors.len() >= 58);
        for (name, input, expected) in vectors {
            assert_eq!(oracle(&input), expected, "{name}: oracle");
            assert_eq!(run(Parser::default(), [&input[..]]), expected, "{name}");
            for size in [1, 2, 3, 7, 64] {
                assert_eq!(run(Parser::default(), input.chunks(size)), expected, "{name} in chunks of {size}");
            }
            let stride = 1 + input.len() / 512;
            for cut in (0..=input.len()).step_by(stride) {
                let (a, b) = input.split_at(cut);
                assert_eq!(run(Parser::default(), [a, b]), expected, "{name} cut at {cut}");
                assert_eq!(run(Parser::default(), [a, &[], b]), expected, "{name} cut at {cut}, empty chunk");
            }
        }
    }

    #[test]
    fn a_cr_completes_its_line_at_once() {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        parser.feed(b"data:1\r\r", &mut events).unwrap();
        assert_eq!(events, [event("message", "1", "")]);
        parser.feed(b"\ndata:2\r\n\r", &mut events).unwrap();
        assert_eq!(events.len(), 2);
        parser.feed(b"\n\n", &mut events).unwrap();
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn what_lies_inside_the_chunk_is_not_copied() {
        let chunk = b"id: 1\nevent: e\ndata: {}\n\ndata: a\ndata\ndata: b\n\ndata: c\ndata: d";
        let mut parser = Parser::default();
        let mut seen = Vec::new();
        parser
            .feed_raw(chunk, |event| {
                assert!(event.kept.is_none());
                assert!(event.event_type.is_empty() || std::ptr::eq(event.event_type, &chunk[13..14]));
                seen.extend(event.lines.iter().map(|line| (line.start, line.end)));
            })
            .unwrap();
        assert_eq!(seen, [(21, 23), (31, 32), (37, 37), (44, 45)]);
        seen.clear();
        parser
            .feed_raw(b"e\ndata: f\n\n", |event| {
                assert_eq!(event.kept, Some(&b"c\nde"[..]));
                seen.extend(event.lines.iter().map(|line| (line.start, line.end)));
            })
            .unwrap();
        assert_eq!(seen, [(8, 9)]);
    }

    #[test]
    fn memory_of_a_large_event_is_given_back() {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        let line = [b"data:".to_vec(), vec![b'x'; 500_000], b"\n".to_vec()].concat();
        for chunk in [&line[..], &line, b"\n"] {
            parser.feed(chunk, &mut events).unwrap();
        }
        assert_eq!(events[0].data.len(), 1_000_001);
        assert!(parser.data.capacity() <= SCRATCH);
    }

    /// Every chunking of a stream that passes a limit must fail in the same way after the same events.
    fn refused(max_line: usize, max_event: usize, input: &[u8], limit: &str, maximum: u64) {
        let whole = run(parser(max_line, max_event), [input]);
        match &whole.error {
            Some(Error::Limit { limit: found, got, maximum: at }) => {
                assert_eq!((*found, *got, *at), (limit, maximum + 1, maximum));
            }
            other => panic!("{other:?}"),
        }
        for cut in 0..=input.len() {
            let (a, b) = input.split_at(cut);
            assert_eq!(run(parser(max_line, max_event), [a, b]), whole, "cut at {cut}");
        }
        assert_eq!(run(parser(max_line, max_event), input.chunks(1)), whole);
    }

    #[test]
    fn limits_are_exact() {
        assert_eq!(run(parser(7, 9), [&b"data:ab\n\n"[..]]).events.len(), 1);
        refused(7, 9, b"data:1\n\ndata:abc\n\n", "sse_line_bytes", 7);
        refused(3, 9, b"data\n\n", "sse_line_bytes", 3);
        refused(4, 9, b"data:\n\n", "sse_line_bytes", 4);
        refused(5, 9, b"data: \n\n", "sse_line_bytes", 5);
        refused(9, 9, b"event:abcd\n", "sse_line_bytes", 9);
        assert_eq!(run(parser(99, 3), [&b"data:a\ndata:b\n\n"[..]]).events.len(), 1);
        refused(99, 2, b"data:\n\ndata:a\ndata:b\n\n", "sse_event_bytes", 2);
        refused(99, 1, b"data:a\ndata\n\n", "sse_event_bytes", 1);
        refused(99, 2, b"data:a\n\ndata:abc\n\n", "sse_event_bytes", 2);
        refused(8, 2, b"data:abcd\n", "sse_event_bytes", 2);
        refused(8, 3, b"data:abcd\n", "sse_line_bytes", 8);
        let id_bytes = Limits::DEFAULT.sse_id_bytes;
        let stream = |n: usize| [b"id:", "i".repeat(n).as_bytes(), b"\ndata:x\n\n"].concat();
        assert_eq!(run(Parser::default(), [&stream(id_bytes)[..]]).last_event_id.len(), id_bytes);
        refused(9999, 9, &stream(id_bytes + 1), "sse_id_bytes", id_bytes as u64);
    }

    #[test]
    fn ignored_lines_cost_nothing() {
        let mut parser = parser(8, 8);
        let mut events = Vec::new();
        for start in [":", "datum", "x:", "ids", "retry2"] {
            parser.feed(start.as_bytes(), &mut events).unwrap();
            for _ in 0..100 {
                parser.feed(&[b'x'; 1000], &mut events).unwrap();
            }
            parser.feed(b"\n", &mut events).unwrap();
        }
        assert_eq!(parser.value.capacity() + parser.data.capacity(), 0);
        parser.feed(b"data:1\n\n", &mut events).unwrap();
        assert_eq!(events, [event("message", "1", "")]);
    }

    #[test]
    fn poisoned_until_reset() {
        let mut parser = parser(8, 8);
        let mut events = Vec::new();
        parser.feed(b"id:7\nretry:5\ndata:1\n\nid:8\ndata:2", &mut events).unwrap();
        let error = parser.feed(b"345678", &mut events).unwrap_err();
        assert_eq!(parser.feed(b"\n\ndata:3\n\n", &mut events), Err(error));
        parser.reset();
        assert_eq!((parser.last_event_id(), parser.retry_ms()), ("7", Some(5)));
        parser.feed(b"\xef\xbb\xbfdata:4\n\n", &mut events).unwrap();
        assert_eq!(events, [event("message", "1", "7"), event("message", "4", "7")]);
    }

    #[test]
    fn retry_saturates() {
        assert_eq!(milliseconds(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(milliseconds(b"18446744073709551616"), Some(u64::MAX));
        assert_eq!(milliseconds(&[b'9'; 1000]), Some(u64::MAX));
        assert_eq!(milliseconds(b"007"), Some(7));
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            &b"data"[..],
            b"data:",
            b"data: ",
            b"event:",
            b"id:",
            b"retry:",
            b":",
            b" ",
            b"x",
            b"12",
            b"\n",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"\0",
            b"\xef\xbb\xbf",
            b"\xe4\xbd",
            b"\xff",
            "é\u{2028}".as_bytes(),
        ]);
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn equals_the_oracle_however_cut(
            input in stream(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let expected = oracle(&input);
            prop_assert_eq!(&run(Parser::default(), cut_at(&input, &cuts)), &expected);
            prop_assert_eq!(&run(Parser::default(), input.chunks(1)), &expected);
        }

        #[test]
        fn fails_alike_however_cut(
            input in stream(),
            limits in (0usize..20, 0usize..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let whole = run(parser(limits.0, limits.1), [&input[..]]);
            prop_assert_eq!(&run(parser(limits.0, limits.1), cut_at(&input, &cuts)), &whole);
            prop_assert_eq!(&run(parser(limits.0, limits.1), input.chunks(1)), &whole);
        }
    }
}
