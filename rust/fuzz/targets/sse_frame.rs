//! Whatever a frame is made of, a parser reads back that and nothing else.

#![no_main]

use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use logitwire_core::sse::frame::{self, Framer, Kind, Template, TgiEnd, TgiToken, TokenLogprob};
use logitwire_core::sse::parse::{Event, Parser};
use serde_json::{Value, json};

fn events(frames: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    Parser::default().feed(frames, &mut events).expect("within the bounds");
    events
}

/// The JSON of frames that are one line each, whoever splits the lines.
fn payloads(frames: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(frames).expect("frames are text");
    assert!(!text.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}']));
    let found = events(frames);
    assert!(found.iter().all(|event| !event.data.contains('\n')));
    found.iter().map(|event| serde_json::from_str(&event.data).expect("data are JSON")).collect()
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let Ok((id, model, text, bytes)) = u.arbitrary::<(&str, &str, &str, &[u8])>() else { return };
    let Ok((index, is_chat, logprob, retry_ms)) = u.arbitrary::<(u32, bool, f32, Option<u64>)>() else { return };

    let kind = if is_chat { Kind::Chat } else { Kind::Completion };
    let framer = Framer::new(kind, id, model, 7, index, true);
    let mut out = Vec::new();
    framer.text(bytes, &mut out);
    let lossy = String::from_utf8_lossy(bytes);
    for payload in payloads(&out) {
        let choice = &payload["choices"][0];
        let found = if is_chat { &choice["delta"]["content"] } else { &choice["text"] };
        assert_eq!((found, &payload["id"], &payload["model"]), (&json!(lossy), &json!(id), &json!(model)));
        assert_eq!(choice["index"], json!(index));
    }

    out.clear();
    let token = TokenLogprob { token: bytes, logprob, top: vec![(bytes, logprob)], text_offset: 3 };
    framer.start(&mut out);
    framer.text_with_logprobs(text.as_bytes(), &[token], &mut out);
    framer.tool_call(index, id, text, &mut out);
    framer.tool_arguments(index, text, &mut out);
    framer.finish(text, &mut out);
    framer.usage(1, u64::MAX, &mut out);
    frame::error(text, id, Some(model), None, &mut out);
    frame::tgi_error(text, id, &mut out);
    let token = TgiToken { id: index, text, logprob, is_special: is_chat };
    let end = TgiEnd { generated_text: text, finish_reason: id, generated_tokens: 1, seed: retry_ms };
    frame::tgi_token(1, token, &[token], Some(end), &mut out);
    let last = payloads(&out).pop().expect("a payload");
    assert_eq!((&last["token"]["text"], &last["generated_text"]), (&json!(text), &json!(text)));

    out.clear();
    if let Ok(template) = Template::new(id, model, Some("e")) {
        template.text(text, &mut out);
        assert_eq!(payloads(&out).len(), 1);
        assert!(template.plain(text).is_none_or(|parts| parts.concat() == out));
    }

    out.clear();
    if frame::frame(text, Some(id), Some(model), retry_ms, &mut out).is_ok() {
        let event_type = if id.is_empty() { "message" } else { id }.to_owned();
        let data = text.replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!(events(&out), [Event { event_type, data, id: model.to_owned() }]);
    } else {
        assert!(out.is_empty());
    }
});
