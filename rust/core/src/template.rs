//! Chat templates: messages in, the prompt out, as Hugging Face's `apply_chat_template` renders them.
//!
//! A template comes with a model from anywhere, so it is a stranger's program. It runs in a Jinja engine that has no way
//! to files, clock, environment or Python, on a budget of fuel and output, on a stack of its own. This file knows no
//! model's format; what the roles mean is the template's business.
//!
//! The engine charges for instructions and bytes, but recurses over nested values and does not charge for comparing or
//! printing them. What a template sets is therefore bounded (`Keeper`), and so is what its source may nest (`prepare`).
//! Not bounded is what doubles in a macro's arguments, `f([x, x])`: that costs a hostile template's caller time, a thread
//! at most per render.

use std::borrow::Cow;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, StringInput, Tuple, ValueKind};
use minijinja::{Environment, ErrorKind, State, Value};
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::limits::Limits;

const NAME: &str = "chat template";
/// Levels of lists and objects in what a template gets and in what it writes as JSON; both are walked by recursion.
const MAX_DEPTH: usize = 128;
/// Items of a value that a template sets or writes as JSON, and of those inside it.
const MAX_NODES: u64 = 1 << 20;
/// Words, signs and strings in one tag, and `elif` in one template: the engine's parser recurses over both.
const MAX_TAG_TOKENS: usize = 1024;
/// Address space, of which only what is used becomes memory.
const STACK_BYTES: usize = if cfg!(target_pointer_width = "64") { 256 << 20 } else { 16 << 20 };
/// In the engine's units: a loop takes one, a macro's call a few, so that macros nest some thirty deep.
const MAX_RECURSION: usize = 200;

/// A compiled template. Any number of threads may render it.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// Compile the source. `Error::Template` with the line if it does not parse.
    ///
    /// The tokens are the template's variables `bos_token` and `eos_token`.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<ChatTemplate> {
        let maximum = Limits::DEFAULT.template_source_bytes;
        if source.len() > maximum {
            return Err(too_much("template_source_bytes", source.len(), maximum));
        }
        let mut syntax = SyntaxConfig::builder();
        let syntax = syntax.trim_blocks(true).lstrip_blocks(true).build().map_err(|error| failure(&error))?;
        let mut environment = Environment::new();
        environment.set_syntax(syntax);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(method);
        environment.set_recursion_limit(MAX_RECURSION);
        environment.set_fuel(Some(Limits::DEFAULT.template_fuel as u64));
        environment.add_filter("tojson", to_json);
        environment.add_filter("trim", trim);
        environment.add_filter("kept", kept);
        environment.add_test("iterable", is_iterable);
        environment.add_test("sequence", is_sequence);
        environment.add_function("raise_exception", raise_exception);
        environment.remove_global("debug");
        let source = prepare(source)?;
        on_large_stack(|| environment.add_template_owned(NAME, source).map_err(|error| failure(&error)))?;
        Ok(ChatTemplate { environment, bos_token: bos_token.to_owned(), eos_token: eos_token.to_owned() })
    }

    /// The prompt for a conversation.
    ///
    /// As in Hugging Face's, `tools` and `documents` are none where not given, and `variables` may take the place of
    /// anything but `messages`, `tools` and `add_generation_prompt`.
    ///
    /// `Error::Template` if the template fails or raises, `Error::Limit` out of fuel or output, `Error::Parameter` on
    /// values nested too deeply and on a variable that would replace an argument.
    pub fn render(
        &self,
        messages: &Json,
        add_generation_prompt: bool,
        tools: Option<&Json>,
        variables: &serde_json::Map<String, Json>,
    ) -> Result<String> {
        if !messages.is_array() {
            return Err(Error::Template { line: None, what: "messages: expected a list".into() });
        }
        check_depth("messages", messages)?;
        let mut context = vec![
            ("bos_token", Value::from(self.bos_token.as_str())),
            ("eos_token", Value::from(self.eos_token.as_str())),
            ("documents", Value::from(())),
        ];
        for (name, value) in variables {
            if matches!(name.as_str(), "messages" | "tools" | "add_generation_prompt") {
                let expected = "a name that is not one of render's arguments".to_owned();
                return Err(Error::Parameter { field: "variables", value: format!("{name:?}"), expected });
            }
            check_depth("variables", value)?;
            context.push((name, Value::from(Serde(value))));
        }
        context.push(("messages", Value::from(Serde(messages))));
        context.push(("add_generation_prompt", Value::from(add_generation_prompt)));
        if let Some(tools) = tools {
            check_depth("tools", tools)?;
        }
        context.push(("tools", tools.map_or(Value::from(()), |tools| Value::from(Serde(tools)))));

        let context = Value::from_pairs(context);
        on_large_stack(|| self.run(context))
    }

    fn run(&self, context: Value) -> Result<String> {
        let mut out = CappedWriter::default();
        let template = self.environment.get_template(NAME).map_err(|error| failure(&error))?;
        let rendered = template.render_captured_to(context, &mut out);
        if let Some(got) = out.refused {
            return Err(too_much("template_output_bytes", got, Limits::DEFAULT.template_output_bytes));
        }
        rendered.map_err(|error| {
            let line = error.line().and_then(|line| template.source().lines().nth(line - 1)).unwrap_or_default();
            match failure(&error) {
                Error::Template { line: number, .. } if line.contains("strftime_now(") && is_unknown(&error) => {
                    let what = "there is no clock for strftime_now; give the date in a variable, if it takes one";
                    Error::Template { line: number, what: what.to_owned() }
                }
                other => other,
            }
        })?;
        String::from_utf8(out.bytes).map_err(|error| Error::Template { line: None, what: error.to_string() })
    }
}

/// Run the engine where its recursion over nested values has room, whatever thread asks, and where a panic ends no more
/// than the thread.
fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let failed = |what: &str| Error::Template { line: None, what: what.to_owned() };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("chat template".to_owned()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work).map_err(|_| failed("the system gives no thread to run it on"))?;
        thread.join().unwrap_or_else(|_| Err(failed("the template engine panicked")))
    })
}

/// Keeps what fits the limit and refuses the write that does not.
#[derive(Default)]
struct CappedWriter {
    bytes: Vec<u8>,
    refused: Option<usize>,
}

impl io::Write for CappedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.bytes.len() + bytes.len();
        if len > Limits::DEFAULT.template_output_bytes {
            self.refused = Some(len);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_much(limit: &'static str, got: usize, maximum: usize) -> Error {
    Error::Limit { limit, got: got as u64, maximum: maximum as u64 }
}

fn failure(error: &minijinja::Error) -> Error {
    if error.kind() == ErrorKind::OutOfFuel {
        let maximum = Limits::DEFAULT.template_fuel;
        return too_much("template_fuel", maximum + 1, maximum);
    }
    let detail = error.detail().unwrap_or_default();
    let what = match error.kind() {
        // The detail says it all; of `raise_exception` it is the template's own words.
        ErrorKind::InvalidOperation if !detail.is_empty() => detail.to_owned(),
        kind if detail.is_empty() => kind.to_string(),
        kind => format!("{kind}: {detail}"),
    };
    Error::Template { line: error.line(), what }
}

/// Whether a name that stands for nothing was called.
fn is_unknown(error: &minijinja::Error) -> bool {
    error.kind() == ErrorKind::UnknownFunction || error.detail().is_some_and(|detail| detail.contains("not callable"))
}

/// Without recursion, so that it can say no to what would overflow the stack.
fn check_depth(field: &'static str, value: &Json) -> Result<()> {
    let mut pending = vec![(value, 1)];
    while let Some((value, depth)) = pending.pop() {
        if depth > MAX_DEPTH {
            let expected = format!("at most {MAX_DEPTH} levels of lists and objects");
            return Err(Error::Parameter { field, value: "nested deeper".to_owned(), expected });
        }
        match value {
            Json::Array(items) => pending.extend(items.iter().map(|item| (item, depth + 1))),
            Json::Object(items) => pending.extend(items.values().map(|item| (item, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

/// The source as the engine takes it. Refuses what its parser would recurse into too deeply, what is never closed, and
/// whatever reaches for another template. Two kinds of tag are written anew, their whitespace control kept:
///
/// - `{% generation %}` ... `{% endgeneration %}`, Hugging Face's marks around what the assistant wrote, print it as it is.
///   The engine does not know them: they become a condition that holds.
/// - `{% set name = value %}`, of a namespace's attribute too, is how a loop carries a value on, and so how one grows out
///   of all bounds without much of an instruction count. The value passes through `kept`.
fn prepare(source: &str) -> Result<String> {
    let mut out = String::with_capacity(source.len() + source.len() / 8);
    let mut branches = 0;
    let mut at = 0;
    while let Some(start) = source[at..].find('{').map(|found| at + found) {
        let rest = &source[start..];
        let close = match rest.as_bytes().get(1) {
            Some(b'%') => "%}",
            Some(b'{') => "}}",
            Some(b'#') => "#}",
            _ => {
                out.push_str(&source[at..=start]);
                at = start + 1;
                continue;
            }
        };
        let refuse = |what: String| {
            let line = 1 + source[..start].matches('\n').count();
            Err(Error::Template { line: Some(line), what })
        };
        let tag = match close {
            "#}" => rest[2..].find(close).map(|found| Tag { len: 2 + found, tokens: 0, assignment: None }),
            _ => Tag::read(rest, close),
        };
        let Some(tag) = tag else {
            return refuse(format!("there is no {close:?} for this {:?}", &rest[..2]));
        };
        if tag.tokens > MAX_TAG_TOKENS {
            return refuse(format!("a tag of more than {MAX_TAG_TOKENS} words and signs"));
        }
        let inside = &rest[2..tag.len];
        let statement = inside.trim_matches(|c: char| c == '-' || c == '+' || c.is_ascii_whitespace());
        let keyword = statement.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        out.push_str(&source[at..start + 2]);
        at = start + tag.len + 2;
        match (close, keyword, tag.assignment) {
            ("%}", "generation", _) => out.push_str(&inside.replacen("generation", "if true", 1)),
            ("%}", "endgeneration", _) => out.push_str(&inside.replacen("endgeneration", "endif", 1)),
            ("%}", "set", Some(assignment)) => {
                let end = inside.strip_suffix(['-', '+']).map_or(inside.len(), str::len);
                let (target, value) = inside[..end].split_at(assignment - 2);
                let trim = &inside[end..];
                let attribute = target.contains('.');
                out.push_str(&format!("{target}({value})|kept({attribute}) {trim}"));
            }
            ("%}", "include" | "import" | "from" | "extends", _) => {
                return refuse(format!("{keyword}: a chat template stands alone"));
            }
            ("%}", "elif", _) if branches == MAX_TAG_TOKENS => {
                return refuse(format!("more than {MAX_TAG_TOKENS} elif"));
            }
            _ => out.push_str(inside),
        }
        branches += usize::from(close == "%}" && keyword == "elif");
        out.push_str(close);
        if close == "%}" && keyword == "raw" {
            // Up to its end nothing is a tag. The engine finds that end, or says that there is none.
            let raw = source[at..].find("endraw").map_or(source.len(), |found| at + found);
            let raw = source[..raw].rfind("{%").map_or(raw, |open| open.max(at));
            out.push_str(&source[at..raw]);
            at = raw;
        }
    }
    out.push_str(&source[at..]);
    Ok(out)
}

/// What there is to know of a `{{ }}` or `{% %}` without parsing it. Offsets count from its first byte.
struct Tag {
    /// Where the closing sign stands.
    len: usize,
    /// Words, signs and strings.
    tokens: usize,
    /// Behind the first `=` that stands outside of all brackets.
    assignment: Option<usize>,
}

impl Tag {
    fn read(tag: &str, close: &str) -> Option<Tag> {
        let bytes = tag.as_bytes();
        let (mut at, mut tokens, mut brackets, mut assignment) = (2, 0, 0usize, None);
        while at < bytes.len() {
            // `}}` inside of brackets ends an object, not the tag.
            if bytes[at..].starts_with(close.as_bytes()) && (brackets == 0 || close == "%}") {
                return Some(Tag { len: at, tokens, assignment });
            }
            let byte = bytes[at];
            at += 1;
            match byte {
                b'"' | b'\'' => {
                    while at < bytes.len() && bytes[at] != byte {
                        at += if bytes[at] == b'\\' { 2 } else { 1 };
                    }
                    at += 1;
                }
                b'{' | b'[' | b'(' => brackets += 1,
                b'}' | b']' | b')' => brackets = brackets.saturating_sub(1),
                b'=' if brackets == 0 && assignment.is_none() => assignment = Some(at),
                _ if byte.is_ascii_whitespace() => continue,
                _ if byte.is_ascii_alphanumeric() || byte == b'_' => {
                    at += bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
                }
                _ => {}
            }
            tokens += 1;
        }
        None
    }
}

/// A value that a template may set, or an error. `attribute`: whether it goes into a namespace.
fn kept(state: &State<'_, '_>, value: Value, attribute: bool) -> std::result::Result<Value, minijinja::Error> {
    let mut keeper = Keeper { nodes: 0 };
    let kept = keeper.keep(&value, usize::from(attribute));
    state.consume_fuel(keeper.nodes / 4)?;
    Ok(kept?.unwrap_or(value))
}

/// Bounds a value: no deeper than `MAX_DEPTH`, of at most `MAX_NODES` counted at every place they appear, no text longer
/// than a prompt may be, and no namespace inside of anything, as a value could then hold itself. What the engine would
/// compute anew at each use, a slice of a slice of a slice, becomes a list, which it is in Python.
struct Keeper {
    nodes: u64,
}

impl Keeper {
    /// The value to keep in place of this one, if not itself.
    fn keep(&mut self, value: &Value, depth: usize) -> std::result::Result<Option<Value>, minijinja::Error> {
        if value.as_str().is_some_and(|text| text.len() > Limits::DEFAULT.template_output_bytes) {
            return Err(refused("set: a text longer than a prompt may be"));
        }
        if depth > MAX_DEPTH {
            return Err(refused(format!("set: a value nested deeper than {MAX_DEPTH} levels")));
        }
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                let mut changed = value.kind() == ValueKind::Iterable;
                let mut items = Vec::new();
                for item in value.try_iter()? {
                    let kept = self.keep_item(&item, depth)?;
                    changed |= kept.is_some();
                    items.push(kept.unwrap_or(item));
                }
                let rebuilt = |items| {
                    if value.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) }
                };
                Ok(changed.then(|| rebuilt(items)))
            }
            ValueKind::Map => {
                let is_namespace = value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"));
                if is_namespace && depth > 0 {
                    return Err(refused("set: a namespace inside of another value"));
                }
                let mut changed = false;
                let mut items = Vec::new();
                for key in value.try_iter()? {
                    let item = value.get_item(&key)?;
                    let kept = self.keep_item(&item, depth)?;
                    changed |= kept.is_some();
                    items.push((key, kept.unwrap_or(item)));
                }
                Ok((changed && !is_namespace).then(|| Value::from_pairs(items)))
            }
            _ => Ok(None),
        }
    }

    fn keep_item(&mut self, item: &Value, depth: usize) -> std::result::Result<Option<Value>, minijinja::Error> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(refused(format!("set: a value of more than {MAX_NODES} items")));
        }
        self.keep(item, depth + 1)
    }
}

/// As in Jinja2, where an undefined value is empty and none is not; the engine's own test says yes to none.
fn is_iterable(value: &Value) -> bool {
    is_sequence(value) || value.kind() == ValueKind::Iterable
}

/// As in Jinja2, where strings and mappings are sequences too.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Undefined | ValueKind::String | ValueKind::Seq | ValueKind::Map)
}

fn raise_exception(message: String) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// Methods of Python's types, less what the engine does before it is charged: padding to any width, and comparing each
/// character with any number of others.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> std::result::Result<Value, minijinja::Error> {
    let digits = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() > 4);
    match name {
        "format" if value.as_str().is_some_and(digits) => {
            return Err(refused("format: a width or precision is at most 9999"));
        }
        "strip" | "lstrip" | "rstrip" => check_characters(arguments.first().and_then(Value::as_str))?,
        _ => {}
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

fn trim(text: StringInput<'_>, characters: Option<Cow<'_, str>>) -> std::result::Result<Value, minijinja::Error> {
    check_characters(characters.as_deref())?;
    Ok(minijinja::filters::trim(text, characters))
}

fn check_characters(characters: Option<&str>) -> std::result::Result<(), minijinja::Error> {
    match characters {
        Some(characters) if characters.len() > MAX_TAG_TOKENS => {
            Err(refused(format!("strip: at most {MAX_TAG_TOKENS} bytes of characters")))
        }
        _ => Ok(()),
    }
}

fn refused(what: impl Into<String>) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, what.into())
}

/// `json.dumps` with Hugging Face's defaults. The engine's own filter escapes for HTML, which no model was trained on.
fn to_json(state: &State<'_, '_>, value: &Value, options: Kwargs) -> std::result::Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    if indent.is_some_and(|indent| indent > MAX_DEPTH) {
        return Err(refused(format!("tojson: indent is at most {MAX_DEPTH}")));
    }
    let separators: Option<Vec<String>> = options.get("separators")?;
    let (between_items, after_key) = match separators.as_deref() {
        None => (if indent.is_some() { "," } else { ", " }, ": "),
        Some([between_items, after_key]) => (between_items.as_str(), after_key.as_str()),
        Some(_) => return Err(refused("tojson: separators are two strings")),
    };
    let mut json = JsonWriter {
        out: String::new(),
        indent,
        between_items,
        after_key,
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        nodes: 0,
    };
    options.assert_all_used()?;
    json.value(value, 0)?;
    state.consume_fuel(json.nodes / 4 + json.out.len() as u64 / 64)?;
    Ok(json.out)
}

/// Writes as Python's `json` module does.
struct JsonWriter<'a> {
    out: String,
    indent: Option<usize>,
    between_items: &'a str,
    after_key: &'a str,
    ensure_ascii: bool,
    sort_keys: bool,
    nodes: u64,
}

impl JsonWriter<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> std::result::Result<(), minijinja::Error> {
        // A value that holds itself twice, and so on, is small until it is written.
        self.nodes += 1;
        if self.out.len() > Limits::DEFAULT.template_output_bytes || self.nodes > MAX_NODES {
            return Err(refused("tojson: longer than a prompt may be"));
        }
        if depth > MAX_DEPTH {
            return Err(refused(format!("tojson: nested deeper than {MAX_DEPTH} levels")));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                self.out.push('[');
                let mut empty = true;
                for item in value.try_iter()? {
                    self.before_item(empty, depth);
                    self.value(&item, depth + 1)?;
                    empty = false;
                }
                self.close(']', empty, depth);
            }
            ValueKind::Map => {
                let mut keys = value.try_iter()?.map(key).collect::<std::result::Result<Vec<_>, _>>()?;
                if self.sort_keys {
                    keys.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.out.push('{');
                for (position, (name, key)) in keys.iter().enumerate() {
                    self.before_item(position == 0, depth);
                    self.string(name);
                    self.out.push_str(self.after_key);
                    self.value(&value.get_item(key)?, depth + 1)?;
                }
                self.close('}', keys.is_empty(), depth);
            }
            kind => return Err(refused(format!("tojson: {kind} is not JSON"))),
        }
        Ok(())
    }

    fn before_item(&mut self, first: bool, depth: usize) {
        if !first {
            self.out.push_str(self.between_items);
        }
        self.break_line(depth + 1);
    }

    fn close(&mut self, bracket: char, empty: bool, depth: usize) {
        if !empty {
            self.break_line(depth);
        }
        self.out.push(bracket);
    }

    fn break_line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn number(&mut self, value: &Value) {
        match f64::try_from(value.clone()) {
            Ok(float) if !value.is_integer() => self.out.push_str(&python_float(float)),
            _ => self.out.push_str(&value.to_string()),
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                _ if c < ' ' || (self.ensure_ascii && !(' '..='~').contains(&c)) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// An object's key as Python's `json` writes it, beside the key itself.
fn key(key: Value) -> std::result::Result<(String, Value), minijinja::Error> {
    let name = match key.kind() {
        ValueKind::String | ValueKind::Number => key.to_string(),
        ValueKind::Bool => key.to_string().to_lowercase(),
        ValueKind::None => "null".to_owned(),
        kind => return Err(refused(format!("tojson: {kind} cannot be a key"))),
    };
    Ok((name, key))
}

/// The shortest digits that read back the same, with an exponent below -4 and from 16 on, as Python's `repr`.
fn python_float(float: f64) -> String {
    if float.is_nan() {
        return "NaN".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{float:?}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use serde_json::{Map, json};

    /// The template of SmolLM2, written out.
    const CHAT_ML: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
        {{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}\
        {% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn render_with(source: &str, messages: &Json, tools: Option<&Json>, variables: Json) -> Result<String> {
        let Json::Object(variables) = variables else { panic!("variables are an object") };
        ChatTemplate::new(source, "<s>", "</s>")?.render(messages, true, tools, &variables)
    }

    fn render(source: &str) -> Result<String> {
        render_with(source, &json!([{"role": "user", "content": "Hi"}]), None, json!({}))
    }

    fn error_of(source: &str) -> String {
        match render(source) {
            Err(Error::Template { what, .. }) => what,
            other => panic!("{source}: {other:?}"),
        }
    }

    #[test]
    fn chat_ml() {
        let template = ChatTemplate::new(CHAT_ML, "", "").unwrap();
        let user = json!([{"role": "user", "content": "Hi <b>&</b>"}]);
        let expected = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
            <|im_start|>user\nHi <b>&</b><|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(template.render(&user, true, None, &Map::new()).unwrap(), expected);
        let both = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
        let expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n";
        assert_eq!(template.render(&both, false, None, &Map::new()).unwrap(), expected);
    }

    #[test]
    fn one_template_serves_many_threads() {
        let template = ChatTemplate::new(CHAT_ML, "", "").unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let template = &template;
                scope.spawn(move || {
                    let messages = json!([{"role": "system", "content": format!("{thread}")}]);
                    let expected = format!("<|im_start|>system\n{thread}<|im_end|>\n");
                    for _ in 0..20 {
                        assert_eq!(template.render(&messages, false, None, &Map::new()).unwrap(), expected);
                    }
                });
            }
        });
    }

    /// Each pair was compared with Jinja2 in the environment that `apply_chat_template` makes.
    #[test]
    fn renders_as_jinja2_does() {
        let cases = [
            ("{{ bos_token }}{{ eos_token }}{{ tools is none }}{{ documents is none }}", "<s></s>TrueTrue"),
            ("{{ none }}|{{ true }}|{{ missing }}|{{ messages[0].missing }}|{{ 1.0 }}", "None|True|||1.0"),
            ("{{ [1, 'a', none, {'k': \"v'\"}] }}", "[1, 'a', None, {'k': \"v'\"}]"),
            ("{% if true %}\n  x\n{% endif %}\n", "  x\n"),
            ("  {% if true %}x{% endif %}  \n", "x  "),
            ("a\n\n", "a\n"),
            ("{#- c -#} x\n", "x"),
            ("{% raw %}{{ x }}{% set a = 1 %}{% endraw %}{% set a = 2 %}{{ a }}", "{{ x }}{% set a = 1 %}2"),
            ("{% generation %}\nx\n{% endgeneration %}\ny", "x\ny"),
            ("a\n{%- generation -%}\n x \n{%- endgeneration -%}\nb", "axb"),
            ("{% set n = namespace(a=1) %}{% for i in range(3) %}{%- set n.a = n.a + i -%} {% endfor %}{{ n.a }}", "4"),
            ("{% set a, b = 1, messages[0:] %}{{ a }}{{ b|length }}", "11"),
            (
                "{% set x = 1 if missing else 2 %}{{ x }}{% set y = (1, 2) %}{{ y }}{% set z %}b{% endset %}{{ z }}",
                "2(1, 2)b",
            ),
            ("{{ {'a': {'b': 1}} ~ '{% set x = 1 %}' }}", "{'a': {'b': 1}}{% set x = 1 %}"),
            ("{% set x | indent(width=2, first=true) %}a\nb{% endset %}{{ x }}", "  a\n  b"),
            ("{% set x = '%}=' %}{{ x }}{{ {'a': {'b': '}}'}} }}", "%}={'a': {'b': '}}'}}"),
            (
                "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
                "02",
            ),
            ("{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, b=3) }}", "1213"),
            ("{{ 'a,b'.split(',') }}{{ ' x '.strip() }}{{ 'abc'[::-1] }}{{ {'a': 1}.get('b', 2) }}", "['a', 'b']xcba2"),
            ("{% for k, v in {'x': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "x1b2"),
            (
                "{{ none is iterable }}{{ 'a' is iterable }}{{ missing is iterable }}{{ 1 is iterable }}",
                "FalseTrueTrueFalse",
            ),
            (
                "{{ none is sequence }}{{ 'a' is sequence }}{{ {} is sequence }}{{ [] is sequence }}",
                "FalseTrueTrueTrue",
            ),
            ("{{ messages|tojson }}", r#"[{"role": "user", "content": "Hi"}]"#),
            (
                "{{ {'b': 1, 'a': [true, none, '<>&\\'\"é\u{2028}']}|tojson }}",
                "{\"b\": 1, \"a\": [true, null, \"<>&'\\\"é\u{2028}\"]}",
            ),
            ("{{ {'b': 1, 'a': []}|tojson(indent=2) }}", "{\n  \"b\": 1,\n  \"a\": []\n}"),
            ("{{ {'b': 1, 'a': 2}|tojson(sort_keys=true, separators=(',', ':')) }}", r#"{"a":2,"b":1}"#),
            ("{{ 'é😀\n'|tojson(ensure_ascii=true) }}", r#""\u00e9\ud83d\ude00\n""#),
            ("{{ {1: 2, none: 3, true: 4.5}|tojson }}", r#"{"1": 4.5, "null": 3}"#),
            (
                "{{ [1.5, 1e20, 1e16, 1e15, 1e-5, 0.0001, -0.0, 3.0]|tojson }}",
                "[1.5, 1e+20, 1e+16, 1000000000000000.0, 1e-05, 0.0001, -0.0, 3.0]",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn tools_and_variables_are_the_template_s() {
        let source = "{{ tools|tojson }}{{ day }}{{ bos_token }}{{ documents|length }}";
        let tools = json!([{"z": 1, "a": {"y": 0.5, "b": null}}]);
        let variables = json!({"day": "today", "bos_token": "!", "documents": [1, 2]});
        let rendered = render_with(source, &json!([]), Some(&tools), variables).unwrap();
        assert_eq!(rendered, r#"[{"z": 1, "a": {"y": 0.5, "b": null}}]today!2"#);
        for name in ["messages", "tools", "add_generation_prompt"] {
            let mut variables = Map::new();
            variables.insert(name.into(), json!(1));
            let refused = render_with("x", &json!([]), None, Json::Object(variables)).unwrap_err();
            assert!(matches!(refused, Error::Parameter { field: "variables", .. }), "{refused:?}");
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        let parse = ChatTemplate::new("a\nb {% if %}", "", "").unwrap_err();
        assert!(
            matches!(&parse, Error::Template { line: Some(2), what } if what.starts_with("syntax error")),
            "{parse:?}"
        );
        let raised = render("a\n{{ raise_exception('Roles must <alternate>') }}").unwrap_err();
        assert_eq!(raised, Error::Template { line: Some(2), what: "Roles must <alternate>".into() });
        assert!(error_of("{{ strftime_now('%d') }}").contains("no clock"));
        assert!(error_of("{% macro f() %}{{ strftime_now('%d') }}{% endmacro %}{{ f() }}").contains("no clock"));
        assert_eq!(render("{{ strftime_now is defined }}").unwrap(), "False");
        assert!(error_of("{{ missing.x }}").contains("undefined"));
        assert!(error_of("{{ f() }}").contains("f is unknown"));
        for (source, line) in [("\n{{", 2), ("\n\n{% set x = ' %}", 3), ("{#", 1), ("{% include 'x' %}", 1)] {
            let refused = ChatTemplate::new(source, "", "").unwrap_err();
            assert!(matches!(refused, Error::Template { line: Some(found), .. } if found == line), "{refused:?}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_template() {
        assert_eq!(render("{{ ''.__class__ }}{{ messages.__class__ }}{{ range.__globals__ }}").unwrap(), "");
        assert!(error_of("{{ ''.__class__.__mro__ }}").contains("undefined"));
        assert!(error_of("{{ debug() }}").contains("unknown"));
        for source in
            ["{% include 'chat template' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}"]
        {
            assert!(error_of(source).contains("stands alone"), "{source}");
        }
    }

    fn deep(open: &str, inside: &str, close: &str, depth: usize) -> String {
        open.repeat(depth) + inside + &close.repeat(depth)
    }

    /// What ends in an error instead of the process, and without filling its memory.
    #[test]
    fn hostile_templates_end_in_errors() {
        let limit = |source: &str, limit: &str| match render(source) {
            Err(Error::Limit { limit: found, .. }) => assert_eq!(found, limit, "{source}"),
            other => panic!("{source}: {other:?}"),
        };
        limit("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "template_fuel");
        limit("{% for a in range(99999) %}{{ 'x' * 9999 }}{% endfor %}", "template_output_bytes");
        limit("{{ 'x' * 1000000000000 }}", "template_fuel");
        limit("{{ ('x' * 99999)|replace('x', 'y' * 99999) }}", "template_fuel");
        limit(&"x".repeat(Limits::DEFAULT.template_source_bytes + 1), "template_source_bytes");

        let grow = |start: &str, step: &str, end: &str| {
            format!(
                "{{% set n = namespace(x={start}) %}}{{% for i in range(99999) %}}{{% set n.x = {step} %}}{{% endfor %}}{end}"
            )
        };
        let cases = [
            (grow("'xx'", "n.x ~ n.x", ""), "longer than a prompt"),
            (grow("[1]", "n.x + n.x", ""), "items"),
            (grow("[1]", "[n.x, n.x]", "{{ n.x|string }}"), "items"),
            (grow("[1]", "[n.x]", "{{ n.x }}"), "deeper"),
            (grow("1", "{'a': n.x}", ""), "deeper"),
            (grow("1", "namespace(x=n.x)", ""), "namespace inside"),
            (grow("1", "n", "{{ n }}"), "namespace inside"),
            (grow("[1]", "[n]", "{{ n }}"), "namespace inside"),
            ("{% set n = namespace() %}{% set n.x = n %}".into(), "namespace inside"),
            ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".into(), "recursion limit"),
            ("{% for m in [1] recursive %}{{ loop([1]) }}{% endfor %}".into(), "recursion limit"),
            ("{% block a %}{{ self.a() }}{% endblock %}".into(), "recursion limit"),
            (deep("{% if x %}", "", "{% endif %}", 9999), "recursion limits"),
            (format!("{{{{ {} }}}}", deep("(", "1", ")", 500)), "recursion limits"),
            (format!("{{{{ {} }}}}", deep("[", "1", "]", 9999)), "words and signs"),
            (format!("{{{{ 1 {} }}}}", "+x".repeat(9999)), "words and signs"),
            (format!("{{{{ x{} }}}}", ".a".repeat(9999)), "words and signs"),
            (format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(9999)), "elif"),
            ("{{ '{:1000000000}'.format(1) }}".into(), "9999"),
            ("{{ ' '.strip(' ' * 9999) }}{{ 1 }}".into(), "characters"),
            ("{{ ' '|trim(' ' * 9999) }}".into(), "characters"),
            ("{{ [[1]]|tojson(indent=1000000000) }}".into(), "indent"),
            ("{{ ([[]] * 9999999)|tojson }}".into(), "longer than a prompt"),
            ("{% set n = namespace() %}{{ [n, n]|tojson }}{{ deep }}{{ raise_exception('end') }}".into(), "end"),
        ];
        for (source, expected) in cases {
            let what = error_of(&source);
            assert!(what.contains(expected), "{}: {what}", &source[..source.len().min(90)]);
        }
        assert_eq!(render(&grow("range(9)", "n.x[0:]", "{{ n.x|length }}")).unwrap(), "9");
        for fine in [format!("{{{{ {} }}}}", "not ".repeat(900) + "x"), format!("{{{{ x {} }}}}", "~x".repeat(500))] {
            assert!(render(&fine).is_ok());
        }
    }

    /// The caller's stack does not matter, nor does a panic inside of the engine.
    #[test]
    fn small_stacks_and_panics() {
        let small = std::thread::Builder::new().stack_size(128 << 10);
        let rendered = small.spawn(|| render(&deep("{% if true %}", "x", "{% endif %}", 140))).unwrap().join().unwrap();
        assert_eq!(rendered.as_deref(), Ok("x"));
        assert!(on_large_stack::<()>(|| panic!("as the engine does")).unwrap_err().to_string().contains("panicked"));
    }

    #[test]
    fn deep_arguments_are_refused() {
        let nested = |depth| (1..depth).fold(json!([]), |inside, _| json!([inside]));
        assert!(render_with("{{ messages|length }}", &nested(MAX_DEPTH), None, json!({})).is_ok());
        let deep = nested(MAX_DEPTH + 1);
        let field = |result: Result<String>| match result {
            Err(Error::Parameter { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(render_with("", &deep, None, json!({}))), "messages");
        assert_eq!(field(render_with("", &json!([]), Some(&deep), json!({}))), "tools");
        assert_eq!(field(render_with("", &json!([]), None, json!({"x": deep}))), "variables");
    }
}
