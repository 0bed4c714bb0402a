//! JSON text -> values in one arena: numbers as they are written, and where in the text each value stands. Strict (RFC 8259),
//! without recursion, bounded by `grammar_bytes` and `grammar_nesting`. What a schema means is not known here.

use crate::error::{Error, Result};
use crate::limits::{Limits, within};

/// A value, by its number in the document's order.
pub type ValueId = u32;

const NONE: u32 = u32::MAX;

/// A piece of `Document::strings`, or of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

/// What a value is. The contents of arrays and objects are its children.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `false`, `true`
    Boolean(bool),
    /// As it is written.
    Number(&'a str),
    /// Its escapes read.
    String(&'a str),
    /// Its items are its children.
    Array,
    /// Its members are its children, each with a name.
    Object,
}

impl Value<'_> {
    /// What JSON Schema calls its type.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Null,
    Boolean(bool),
    Number(Span),
    String(Span),
    Array,
    Object,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    position: u32,
    parent: u32,
    /// Of a member: its name in `strings`. Of an item: its index, as `start`.
    key: Span,
    first: u32,
    next: u32,
}

/// A JSON text, read.
#[derive(Debug)]
pub struct Document<'a> {
    source: &'a str,
    strings: String,
    entries: Vec<Entry>,
    duplicates: Vec<ValueId>,
}

impl<'a> Document<'a> {
    /// Read a text that is one JSON value and white space. `Error::Grammar` has the byte at fault.
    pub fn read(text: &'a [u8]) -> Result<Self> {
        within("grammar_bytes", text.len(), Limits::DEFAULT.grammar_bytes)?;
        let source = std::str::from_utf8(text).map_err(|e| fault(e.valid_up_to(), "not UTF-8"))?;
        let document = Document { source, strings: String::new(), entries: Vec::new(), duplicates: Vec::new() };
        Reader { bytes: source.as_bytes(), at: 0, document, open: Vec::new() }.run()
    }

    /// The whole text's value.
    pub fn root(&self) -> ValueId {
        0
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none; there is always one.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry(&self, id: ValueId) -> Entry {
        let none = Span { start: 0, end: 0 };
        let null = Entry { kind: Kind::Null, position: 0, parent: NONE, key: none, first: NONE, next: NONE };
        self.entries.get(id as usize).copied().unwrap_or(null)
    }

    fn text(&self, span: Span) -> &str {
        self.strings.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// What a value is.
    pub fn value(&self, id: ValueId) -> Value<'_> {
        match self.entry(id).kind {
            Kind::Null => Value::Null,
            Kind::Boolean(b) => Value::Boolean(b),
            Kind::Number(span) => Value::Number(self.source.get(span.start as usize..span.end as usize).unwrap_or("0")),
            Kind::String(span) => Value::String(self.text(span)),
            Kind::Array => Value::Array,
            Kind::Object => Value::Object,
        }
    }

    /// The first byte of a value in the text.
    pub fn position(&self, id: ValueId) -> usize {
        self.entry(id).position as usize
    }

    /// The array or object a value stands in.
    pub fn parent(&self, id: ValueId) -> Option<ValueId> {
        Some(self.entry(id).parent).filter(|&parent| parent != NONE)
    }

    /// The items of an array, the values of an object's members: those that count, where a name was given twice.
    pub fn children(&self, id: ValueId) -> impl Iterator<Item = ValueId> + '_ {
        let mut next = self.entry(id).first;
        std::iter::from_fn(move || {
            let child = Some(next).filter(|&child| child != NONE)?;
            next = self.entry(child).next;
            Some(child)
        })
    }

    /// The members of an object.
    pub fn members(&self, id: ValueId) -> impl Iterator<Item = (&str, ValueId)> + '_ {
        self.children(id).map(|child| (self.name(child), child))
    }

    /// A member's name.
    pub fn name(&self, id: ValueId) -> &str {
        match self.parent(id).map(|parent| self.entry(parent).kind) {
            Some(Kind::Object) => self.text(self.entry(id).key),
            _ => "",
        }
    }

    /// A member by its name, found one by one.
    pub fn get(&self, id: ValueId, name: &str) -> Option<ValueId> {
        match self.entry(id).kind {
            Kind::Object => self.members(id).find(|&(member, _)| member == name).map(|(_, child)| child),
            _ => None,
        }
    }

    /// Members that do not count, as one of the same name comes after them.
    pub fn duplicates(&self) -> &[ValueId] {
        &self.duplicates
    }

    /// The JSON Pointer of a value, as a fragment: `#/properties/a~1b`.
    pub fn pointer(&self, id: ValueId) -> String {
        let mut path = Vec::new();
        let mut at = id;
        while let Some(parent) = self.parent(at) {
            path.push(at);
            at = parent;
        }
        let mut pointer = String::from("#");
        for id in path.into_iter().rev() {
            pointer.push('/');
            match self.parent(id).map(|parent| self.entry(parent).kind) {
                Some(Kind::Array) => pointer.push_str(&self.entry(id).key.start.to_string()),
                _ => pointer.push_str(&self.name(id).replace('~', "~0").replace('/', "~1")),
            }
        }
        pointer
    }

    /// Make the last member of each name the only one: what nearly every reader of JSON does.
    fn drop_duplicates(&mut self, object: ValueId) {
        let mut members: Vec<ValueId> = self.children(object).collect();
        members.sort_by(|&a, &b| self.name(a).cmp(self.name(b)).then(a.cmp(&b)));
        let pairs = members.iter().zip(members.iter().skip(1));
        let mut found: Vec<ValueId> = pairs.filter(|&(&a, &b)| self.name(a) == self.name(b)).map(|(&a, _)| a).collect();
        found.sort_unstable();
        if found.is_empty() {
            return;
        }
        self.duplicates.extend(&found);
        let kept: Vec<ValueId> = self.children(object).filter(|child| found.binary_search(child).is_err()).collect();
        let nexts = kept.iter().skip(1).copied().chain([NONE]);
        for (&child, next) in kept.iter().zip(nexts) {
            if let Some(entry) = self.entries.get_mut(child as usize) {
                entry.next = next;
            }
        }
        if let (Some(entry), Some(&first)) = (self.entries.get_mut(object as usize), kept.first()) {
            entry.first = first;
        }
    }
}

fn fault(position: usize, what: &str) -> Error {
    Error::Grammar { position: Some(position), what: format!("not JSON: {what}") }
}

/// An array or object whose end has not come.
struct Open {
    id: ValueId,
    is_object: bool,
    last: ValueId,
    children: u32,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    document: Document<'a>,
    open: Vec<Open>,
}

impl<'a> Reader<'a> {
    fn run(mut self) -> Result<Document<'a>> {
        loop {
            // at the place of a value
            let is_closed = self.value()?;
            // after a value, or in an array or object just opened
            let mut is_after = is_closed;
            loop {
                self.blank();
                let Some(open) = self.open.last() else {
                    return match self.at == self.bytes.len() {
                        true => Ok(self.document),
                        false => Err(fault(self.at, "text after the value")),
                    };
                };
                let (is_object, end) = (open.is_object, if open.is_object { b'}' } else { b']' });
                match self.peek() {
                    Some(byte) if byte == end => {
                        self.at += 1;
                        if let Some(open) = self.open.pop()
                            && open.is_object
                            && open.children > 1
                        {
                            self.document.drop_duplicates(open.id);
                        }
                        is_after = true;
                        continue;
                    }
                    Some(b',') if is_after => self.at += 1,
                    _ if !is_after => {}
                    None => return Err(fault(self.at, "the text ends within a value")),
                    Some(_) => return Err(fault(self.at, "a comma or the end of the array or object expected")),
                }
                self.blank();
                if is_object {
                    self.key()?;
                }
                break;
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// A member's name and the colon: makes the member, whose value is still to come.
    fn key(&mut self) -> Result<()> {
        if self.peek() != Some(b'"') {
            let what = if self.peek().is_none() { "the text ends within a value" } else { "a name in quotes expected" };
            return Err(fault(self.at, what));
        }
        let key = self.string()?;
        self.blank();
        if self.peek() != Some(b':') {
            return Err(fault(self.at, "a colon expected"));
        }
        self.at += 1;
        self.blank();
        self.push(key);
        Ok(())
    }

    /// A new value under the innermost open one; what it is is set when it has been read.
    fn push(&mut self, key: Span) {
        let id = self.document.entries.len() as ValueId;
        let parent = self.open.last().map_or(NONE, |open| open.id);
        let position = self.at as u32;
        self.document.entries.push(Entry { kind: Kind::Null, position, parent, key, first: NONE, next: NONE });
        if let Some(open) = self.open.last_mut() {
            let entry = match open.children {
                0 => self.document.entries.get_mut(open.id as usize).map(|entry| &mut entry.first),
                _ => self.document.entries.get_mut(open.last as usize).map(|entry| &mut entry.next),
            };
            if let Some(link) = entry {
                *link = id;
            }
            open.last = id;
            open.children += 1;
        }
    }

    /// A value, or the opening of an array or object. Whether it was a whole value.
    fn value(&mut self) -> Result<bool> {
        self.blank();
        if !self.open.last().is_some_and(|open| open.is_object) {
            let index = self.open.last().map_or(0, |open| open.children);
            self.push(Span { start: index, end: 0 });
        }
        let id = (self.document.entries.len() as ValueId).wrapping_sub(1);
        let start = self.at;
        let kind = match self.peek() {
            None if start == 0 => return Err(fault(start, "the text is empty")),
            None => return Err(fault(start, "the text ends within a value")),
            Some(b'n') => self.word("null", Kind::Null)?,
            Some(b't') => self.word("true", Kind::Boolean(true))?,
            Some(b'f') => self.word("false", Kind::Boolean(false))?,
            Some(b'"') => Kind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Kind::Number(self.number()?),
            Some(byte @ (b'[' | b'{')) => {
                self.at += 1;
                let is_object = byte == b'{';
                self.open.push(Open { id, is_object, last: NONE, children: 0 });
                within("grammar_nesting", self.open.len(), Limits::DEFAULT.grammar_nesting)?;
                if is_object { Kind::Object } else { Kind::Array }
            }
            Some(_) => return Err(fault(start, "a value expected")),
        };
        if let Some(entry) = self.document.entries.get_mut(id as usize) {
            entry.kind = kind;
        }
        Ok(!matches!(kind, Kind::Array | Kind::Object))
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind> {
        match self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            true => {
                self.at += word.len();
                Ok(kind)
            }
            false => Err(fault(self.at, "a value expected")),
        }
    }

    fn digits(&mut self) -> Result<()> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(fault(self.at, "a digit expected"));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Span> {
        let start = self.at as u32;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Span { start, end: self.at as u32 })
    }

    fn string(&mut self) -> Result<Span> {
        let start = self.document.strings.len() as u32;
        self.at += 1;
        loop {
            let run = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            self.document.strings.push_str(self.document.source.get(run..self.at).unwrap_or(""));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Span { start, end: self.document.strings.len() as u32 });
                }
                Some(b'\\') => {
                    let character = self.escape()?;
                    self.document.strings.push(character);
                }
                Some(_) => return Err(fault(self.at, "a control character within a string")),
                None => return Err(fault(self.at, "the text ends within a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let start = self.at;
        self.at += 1;
        let byte = self.peek();
        self.at += 1;
        let character = match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.unit()?;
                let code_point = match unit {
                    0xd800..=0xdbff if self.bytes.get(self.at..self.at + 2) == Some(b"\\u") => {
                        self.at += 2;
                        match self.unit()? {
                            low @ 0xdc00..=0xdfff => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                            _ => unit,
                        }
                    }
                    unit => unit,
                };
                return char::from_u32(code_point).ok_or_else(|| fault(start, "half of a surrogate pair"));
            }
            None => return Err(fault(start + 1, "the text ends within a string")),
            Some(_) => return Err(fault(start, "no such escape")),
        };
        Ok(character)
    }

    fn unit(&mut self) -> Result<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| (byte as char).to_digit(16));
            let what = if self.peek().is_none() { "the text ends within a string" } else { "four hex digits expected" };
            unit = unit << 4 | digit.ok_or_else(|| fault(self.at, what))?;
            self.at += 1;
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(document: &Document, id: ValueId, expected: &serde_json::Value) -> bool {
        match (document.value(id), expected) {
            (Value::Null, serde_json::Value::Null) => true,
            (Value::Boolean(a), serde_json::Value::Bool(b)) => a == *b,
            (Value::Number(a), serde_json::Value::Number(b)) => {
                // The oracle's floats may be off in their last bit.
                let (a, b) = (a.parse::<f64>().expect("a number"), b.as_f64().expect("a number"));
                (a - b).abs() <= b.abs() * 1e-15
            }
            (Value::String(a), serde_json::Value::String(b)) => a == b,
            (Value::Array, serde_json::Value::Array(items)) => {
                let children: Vec<_> = document.children(id).collect();
                children.len() == items.len() && children.iter().zip(items).all(|(&c, item)| same(document, c, item))
            }
            (Value::Object, serde_json::Value::Object(members)) => {
                let found: Vec<_> = document.members(id).collect();
                let equal = |(name, child): &(&str, ValueId)| {
                    members.get(*name).is_some_and(|value| same(document, *child, value))
                };
                found.len() == members.len() && found.iter().all(equal)
            }
            _ => false,
        }
    }

    /// serde_json is the oracle, but for what it cannot hold: numbers over its range.
    fn check(text: &[u8]) {
        let ours = Document::read(text);
        match serde_json::from_slice::<serde_json::Value>(text) {
            Ok(expected) => {
                let document = ours.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(text)));
                assert!(same(&document, document.root(), &expected), "{}", String::from_utf8_lossy(text));
            }
            Err(e) if e.to_string().contains("out of range") => {}
            Err(_) => {
                let error = ours.expect_err(&String::from_utf8_lossy(text));
                let position = match error {
                    Error::Grammar { position, .. } => position.expect("a position"),
                    error => panic!("{error}"),
                };
                assert!(position <= text.len());
            }
        }
    }

    #[test]
    fn texts_are_read_as_serde_json_reads_them() {
        let texts = [
            "",
            " ",
            "null",
            "nul",
            "true ",
            "\ttrue",
            "falsee",
            "0",
            "-0",
            "-",
            "01",
            "1.",
            "1.5",
            ".5",
            "1e5",
            "1E+05",
            "1e",
            "1e+",
            "+1",
            "[]",
            "[",
            "]",
            "[1]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,2",
            "{}",
            "{",
            "}",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\"1}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1 \"b\":2}",
            "{1:2}",
            "{\"a\":1,\"a\":2}",
            "[}",
            "{]",
            "[[[]]]",
            "[{}]",
            "{\"a\":{\"b\":[1,{\"c\":null}]}} ",
            "\"a",
            "\"\\",
            "\"\\q\"",
            "\"\\n\\t\\/\\b\\f\\r\\\\\\\"\"",
            "\"\\u0041\"",
            "\"\\u00g1\"",
            "\"\\u12\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "\"\\ud83dx\"",
            "\"\\ud83d\\u0041\"",
            "\"\\ud83d\\ud83d\"",
            "\"\u{1}\"",
            "\"é😀\"",
            "\u{feff}null",
            "null null",
            "nan",
            "Infinity",
            "\"\\u0000\"",
            "\"\u{7f}\"",
            "1e400",
            "-1e400",
            "{\"a\":1,\"b\":2,\"a\":3,\"b\":[4],\"a\":{\"a\":5}}",
        ];
        for text in texts {
            check(text.as_bytes());
            for cut in 0..text.len() {
                check(&text.as_bytes()[..cut]);
            }
        }
        check(b"\"\xff\"");
        check(b"\"\xed\xa0\x80\"");
    }

    #[test]
    fn a_name_given_twice_counts_the_last_time() {
        let document = Document::read(br#"{"a": 1, "b": 2, "a": 3, "c": 4, "a": 5}"#).unwrap();
        let names: Vec<_> = document.members(0).map(|(name, id)| (name, document.value(id))).collect();
        assert_eq!(names, [("b", Value::Number("2")), ("c", Value::Number("4")), ("a", Value::Number("5"))]);
        let dropped: Vec<_> = document.duplicates().iter().map(|&id| document.value(id)).collect();
        assert_eq!(dropped, [Value::Number("1"), Value::Number("3")]);
    }

    #[test]
    fn every_value_has_its_place_and_pointer() {
        let text = r#" {"a/b": [1, {"~": "x"}], "": null}"#;
        let document = Document::read(text.as_bytes()).unwrap();
        let places: Vec<_> =
            (0..document.len() as u32).map(|id| (document.pointer(id), document.position(id))).collect();
        let expected = [("#", 1), ("#/a~1b", 9), ("#/a~1b/0", 10), ("#/a~1b/1", 13), ("#/a~1b/1/~0", 19), ("#/", 30)];
        assert_eq!(places, expected.map(|(pointer, position)| (pointer.to_owned(), position)));
        assert_eq!(document.get(0, ""), Some(5));
        assert_eq!(document.get(2, ""), None);
    }

    #[test]
    fn hostile_texts_end_at_a_limit() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nest = |n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
            assert!(Document::read(nest(512).as_bytes()).is_ok());
            let limit =
                |n| matches!(Document::read(nest(n).as_bytes()), Err(Error::Limit { limit: "grammar_nesting", .. }));
            assert!(limit(513) && limit(100_000));
        }
        let big = vec![b' '; Limits::DEFAULT.grammar_bytes + 1];
        assert!(matches!(Document::read(&big), Err(Error::Limit { limit: "grammar_bytes", .. })));
        let members: String = (0..100_000).map(|i| format!("\"k{}\":{i},", i / 2)).collect();
        let text = format!("{{{members}\"end\":0}}");
        let document = Document::read(text.as_bytes()).unwrap();
        assert_eq!(document.children(0).count(), 50_001);
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
            "\"([a-z\u{e9}\u{1f600} ]|\\\\[nt\"\\\\/bfru]|\\\\u[0-9a-fdD]{4}|\\\\ud83d\\\\ude00){0,6}\"",
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let items = prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(", ")));
            let members = prop::collection::vec(("[ab]{0,2}", inner), 0..5).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", members.join(","))
            });
            prop_oneof![items, members]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whole_texts(text in json()) {
            check(text.as_bytes());
        }

        #[test]
        fn broken_texts(text in json(), at in any::<prop::sample::Index>(), byte in prop::sample::select(b"[]{}\",:\\u0-1e.x \xff\xc3".to_vec())) {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            check(&bytes);
            bytes.remove(at);
            check(&bytes);
        }
    }
}
