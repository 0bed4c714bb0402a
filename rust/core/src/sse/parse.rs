//! Bytes of an event stream, cut anywhere, to events (WHATWG HTML, 9.2.6 "Interpreting an event stream").
//!
//! Linear in its input and bounded in memory: a line inside one chunk is read where it lies, of a line that goes on only
//! the field's value is kept, and comments and unknown fields are dropped as they pass. This file does not know what an
//! event's data mean and never reconnects.

use std::borrow::Cow;

use memchr::memchr2;

use crate::error::{Error, Result};
use crate::limits::Limits;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const DEFAULT_TYPE: &str = "message";

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

/// One event as it lies in the parser and the chunk, before anything is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// The `event` field, "message" if there was none.
    pub event_type: Cow<'a, str>,
    /// The `data` lines, joined by LF, as they were received: perhaps not UTF-8. Borrowed from the chunk when the event
    /// has one line that lies inside it.
    pub data: Cow<'a, [u8]>,
    /// The last event id in force, "" if there was none.
    pub id: &'a str,
}

impl RawEvent<'_> {
    /// The event on its own. "UTF-8 decode" replaces: each maximal ill-formed part of `data` becomes U+FFFD.
    pub fn into_event(self) -> Event {
        let data = match self.data {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Cow::Owned(bytes) => into_text(bytes),
        };
        Event { event_type: self.event_type.into_owned(), data, id: self.id.to_owned() }
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

/// One event stream.
///
/// After a limit was passed `feed` gives the same error until `reset`: what follows a cut-off line cannot be trusted.
#[derive(Debug, Clone)]
pub struct Parser {
    max_line: usize,
    max_event: usize,
    /// Bytes of the byte order mark seen, while nothing else was.
    mark: Option<usize>,
    /// The last byte was a CR that ended its line; a LF right after belongs to it.
    after_cr: bool,
    line: Line,
    /// Bytes of the line so far; ignored lines do not count, they cost nothing.
    line_len: usize,
    /// The value so far of a field other than `data`.
    value: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    event_type: String,
    /// The id that the next blank line puts in force.
    id: String,
    last_event_id: String,
    retry_ms: Option<u64>,
    failed: Option<Error>,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser::new(Limits::DEFAULT.sse_line_bytes, Limits::DEFAULT.sse_event_bytes)
    }
}

impl Parser {
    /// A parser at the start of a stream. `max_line` bounds the bytes of a line other than a comment or an unknown field,
    /// `max_event` the bytes of an event's data.
    pub fn new(max_line: usize, max_event: usize) -> Parser {
        Parser {
            max_line,
            max_event,
            mark: Some(0),
            after_cr: false,
            line: LINE_START,
            line_len: 0,
            value: Vec::new(),
            data: Vec::new(),
            has_data: false,
            event_type: String::new(),
            id: String::new(),
            last_event_id: String::new(),
            retry_ms: None,
            failed: None,
        }
    }

    /// Append the events that this chunk completed to `out`, also those before an error.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<()> {
        self.feed_raw(chunk, |event| out.push(event.into_event()))
    }

    /// Show each event that this chunk completed to `on_event`, also those before an error.
    pub fn feed_raw(&mut self, chunk: &[u8], mut on_event: impl FnMut(RawEvent<'_>)) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let read = match self.skip_mark(chunk) {
            Ok(rest) => self.read(rest, &mut on_event),
            Err(error) => Err(error),
        };
        if let Err(error) = &read {
            self.failed = Some(error.clone());
        }
        read
    }

    /// Start over, as for a new connection. The last event id and the retry time stay.
    pub fn reset(&mut self) {
        let (id, retry_ms) = (std::mem::take(&mut self.last_event_id), self.retry_ms);
        *self = Parser::new(self.max_line, self.max_event);
        self.id.clone_from(&id);
        self.last_event_id = id;
        self.retry_ms = retry_ms;
    }

    /// What a client that reconnects sends as `Last-Event-ID`.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The last valid `retry` field, in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// "If the leading character is U+FEFF BYTE ORDER MARK, it must be ignored": the chunk without the mark.
    fn skip_mark<'a>(&mut self, chunk: &'a [u8]) -> Result<&'a [u8]> {
        let Some(seen) = self.mark else {
            return Ok(chunk);
        };
        let missing = &BYTE_ORDER_MARK[seen..];
        let same = chunk.iter().zip(missing).take_while(|(byte, wanted)| byte == wanted).count();
        if same == missing.len() {
            self.mark = None;
            return Ok(&chunk[same..]);
        }
        if same == chunk.len() {
            self.mark = Some(seen + same);
            return Ok(&[]);
        }
        self.mark = None;
        self.read_part(&BYTE_ORDER_MARK[..seen])?;
        Ok(chunk)
    }

    fn read(&mut self, chunk: &[u8], on_event: &mut impl FnMut(RawEvent<'_>)) -> Result<()> {
        // The data of an event that is one line inside this chunk, so far.
        let mut whole_line: Option<&[u8]> = None;
        let mut at = 0;
        while at < chunk.len() {
            if std::mem::take(&mut self.after_cr) && chunk[at] == b'\n' {
                at += 1;
                continue;
            }
            let rest = &chunk[at..];
            let Some(len) = memchr2(b'\r', b'\n', rest) else {
                self.keep(whole_line.take());
                return self.read_part(rest);
            };
            self.after_cr = rest[len] == b'\r';
            at += len + 1;
            let line = &rest[..len];
            if self.line == LINE_START
                && !self.has_data
                && let Some(value) = line.strip_prefix(b"data:")
            {
                let value = value.strip_prefix(b" ").unwrap_or(value);
                if len <= self.max_line && value.len() <= self.max_event {
                    whole_line = Some(value);
                    self.has_data = true;
                    continue;
                }
            }
            if line.is_empty() && self.line == LINE_START {
                self.dispatch(whole_line.take(), on_event);
                continue;
            }
            self.keep(whole_line.take());
            self.read_part(line)?;
            self.end_line()?;
        }
        self.keep(whole_line);
        Ok(())
    }

    fn keep(&mut self, whole_line: Option<&[u8]>) {
        self.data.extend_from_slice(whole_line.unwrap_or_default());
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
        if self.line_len > self.max_line { Err(too_long("sse_line_bytes", self.max_line)) } else { Ok(()) }
    }

    /// A field's name is complete: `len` bytes of the line with its colon.
    fn begin(&mut self, field: Field, len: usize) -> Result<()> {
        self.count(len)?;
        self.value.clear();
        if field == Field::Data {
            if self.has_data {
                self.grow_data(b"\n")?;
            }
            self.has_data = true;
        }
        Ok(())
    }

    fn append(&mut self, field: Field, part: &[u8]) -> Result<()> {
        // Whichever limit is passed first is reported, so that the error does not depend on how the stream was cut.
        let room_in_line = self.max_line - self.line_len;
        let room_in_field = match field {
            Field::Data => self.max_event - self.data.len(),
            Field::Id => Limits::DEFAULT.sse_id_bytes - self.value.len(),
            Field::Event | Field::Retry => usize::MAX,
        };
        if part.len() > room_in_line && room_in_line <= room_in_field {
            return Err(too_long("sse_line_bytes", self.max_line));
        }
        self.line_len += part.len();
        match field {
            Field::Data => self.grow_data(part),
            Field::Id if part.len() > room_in_field => Err(too_long("sse_id_bytes", Limits::DEFAULT.sse_id_bytes)),
            Field::Id | Field::Event | Field::Retry => {
                self.value.extend_from_slice(part);
                Ok(())
            }
        }
    }

    fn grow_data(&mut self, part: &[u8]) -> Result<()> {
        if part.len() > self.max_event - self.data.len() {
            return Err(too_long("sse_event_bytes", self.max_event));
        }
        self.data.extend_from_slice(part);
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
            Some(Field::Event) => self.event_type = into_text(std::mem::take(&mut self.value)),
            // "If the field value does not contain U+0000 NULL".
            Some(Field::Id) if !self.value.contains(&0) => self.id = into_text(std::mem::take(&mut self.value)),
            Some(Field::Retry) => self.retry_ms = milliseconds(&self.value).or(self.retry_ms),
            Some(Field::Id | Field::Data) | None => {}
        }
        self.line = LINE_START;
        self.line_len = 0;
        Ok(())
    }

    /// A blank line.
    fn dispatch(&mut self, whole_line: Option<&[u8]>, on_event: &mut impl FnMut(RawEvent<'_>)) {
        if self.last_event_id != self.id {
            self.last_event_id.clone_from(&self.id);
        }
        let event_type = std::mem::take(&mut self.event_type);
        if !std::mem::take(&mut self.has_data) {
            return;
        }
        let data = match whole_line {
            Some(bytes) => Cow::Borrowed(bytes),
            None => Cow::Owned(std::mem::take(&mut self.data)),
        };
        let event_type = if event_type.is_empty() { Cow::Borrowed(DEFAULT_TYPE) } else { Cow::Owned(event_type) };
        on_event(RawEvent { event_type, data, id: &self.last_event_id });
    }
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
    fn a_line_inside_the_chunk_is_not_copied() {
        let chunk = b"id: 1\ndata: {}\n\ndata: a\ndata: b\n\n";
        let mut seen = Vec::new();
        Parser::default().feed_raw(chunk, |event| seen.push(matches!(event.data, Cow::Borrowed(_)))).unwrap();
        assert_eq!(seen, [true, false]);
    }

    /// Every chunking of a stream that passes a limit must fail in the same way after the same events.
    fn refused(max_line: usize, max_event: usize, input: &[u8], limit: &str, maximum: u64) {
        let whole = run(Parser::new(max_line, max_event), [input]);
        match &whole.error {
            Some(Error::Limit { limit: found, got, maximum: at }) => {
                assert_eq!((*found, *got, *at), (limit, maximum + 1, maximum));
            }
            other => panic!("{other:?}"),
        }
        for cut in 0..=input.len() {
            let (a, b) = input.split_at(cut);
            assert_eq!(run(Parser::new(max_line, max_event), [a, b]), whole, "cut at {cut}");
        }
        assert_eq!(run(Parser::new(max_line, max_event), input.chunks(1)), whole);
    }

    #[test]
    fn limits_are_exact() {
        assert_eq!(run(Parser::new(7, 9), [&b"data:ab\n\n"[..]]).events.len(), 1);
        refused(7, 9, b"data:1\n\ndata:abc\n\n", "sse_line_bytes", 7);
        refused(3, 9, b"data\n\n", "sse_line_bytes", 3);
        refused(4, 9, b"data:\n\n", "sse_line_bytes", 4);
        refused(5, 9, b"data: \n\n", "sse_line_bytes", 5);
        refused(9, 9, b"event:abcd\n", "sse_line_bytes", 9);
        assert_eq!(run(Parser::new(99, 3), [&b"data:a\ndata:b\n\n"[..]]).events.len(), 1);
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
        let mut parser = Parser::new(8, 8);
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
        let mut parser = Parser::new(8, 8);
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
            let whole = run(Parser::new(limits.0, limits.1), [&input[..]]);
            prop_assert_eq!(&run(Parser::new(limits.0, limits.1), cut_at(&input, &cuts)), &whole);
            prop_assert_eq!(&run(Parser::new(limits.0, limits.1), input.chunks(1)), &whole);
        }
    }
}
