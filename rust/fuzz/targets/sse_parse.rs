//! Any bytes, cut anywhere, under any bounds: the events are those of the whole, and where no bound is passed, those of
//! the rules read line by line.

#![no_main]

use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use logitwire_core::error::Error;
use logitwire_core::sse::parse::{Bounds, Event, Parser};

#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Event>,
    last_event_id: String,
    retry_ms: Option<u64>,
    error: Option<Error>,
}

fn run<'a>(bounds: Bounds, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut parser, mut events, mut error) = (Parser::new(bounds), Vec::new(), None);
    for chunk in chunks {
        let read = parser.feed_raw(chunk, |event| {
            let mut joined = Vec::new();
            event.join(&mut joined);
            assert!(event.one_piece().is_none_or(|piece| piece == joined));
            events.push(event.to_event());
        });
        error = error.or(read.err());
    }
    Outcome { events, last_event_id: parser.last_event_id().to_owned(), retry_ms: parser.retry_ms(), error }
}

fn rules(stream: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let mut found = Outcome { events: Vec::new(), last_event_id: String::new(), retry_ms: None, error: None };
    let (mut data, mut event_type, mut id) = (None::<String>, String::new(), String::new());
    let (finished, _) = text.rsplit_once('\n').unwrap_or_default();
    let lines = if text.contains('\n') { finished.split('\n').collect() } else { Vec::new() };
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if line.is_empty() => {
                found.last_event_id.clone_from(&id);
                let event_type = std::mem::take(&mut event_type);
                if let Some(data) = data.take() {
                    let event_type = if event_type.is_empty() { "message".to_owned() } else { event_type };
                    found.events.push(Event { event_type, data, id: id.clone() });
                }
            }
            "data" => data = Some(data.map_or(value.to_owned(), |data| data + "\n" + value)),
            "event" => value.clone_into(&mut event_type),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                found.retry_ms = Some(value.parse().unwrap_or(u64::MAX));
            }
            _ => {}
        }
    }
    found
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let Ok((bounded, line, event, id)) = u.arbitrary::<(bool, u8, u8, u8)>() else { return };
    let Ok(cuts) = u.arbitrary::<[u8; 8]>() else { return };
    let bounds = match bounded {
        true => Bounds { line: line.into(), event: event.into(), id: id.into() },
        false => Bounds::default(),
    };
    let stream = u.take_rest();
    let whole = run(bounds, [stream]);
    assert_eq!(run(bounds, stream.chunks(1)), whole, "byte by byte");
    let mut rest = stream;
    let chunks = cuts.iter().map(|&cut| {
        let (chunk, after) = rest.split_at(usize::from(cut).min(rest.len()));
        rest = after;
        chunk
    });
    let mut chunks: Vec<&[u8]> = chunks.collect();
    chunks.push(rest);
    assert_eq!(run(bounds, chunks), whole, "cut at {cuts:?}");
    if whole.error.is_none() {
        assert_eq!(whole, rules(stream));
    }
});
