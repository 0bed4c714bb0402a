//! Which value of a document a `$ref` names: base addresses by `$id`, anchors, JSON Pointers. Nothing outside of the document
//! is ever looked at.

use std::collections::HashMap;

use super::draft::Draft;
use crate::error::Result;
use crate::grammar::reader::{Document, Value, ValueId};
use crate::limits::Fuel;

/// Keywords whose value is a schema, an array of schemas, or an object of schemas.
const NESTING: [&str; 22] = [
    "$defs",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Those of them whose value is an object of schemas.
const MAPS: [&str; 6] = ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// The addresses of a document's schemas.
pub(super) struct References {
    /// Schemas that have a base of their own, by its address.
    resources: HashMap<String, ValueId>,
    bases: HashMap<ValueId, String>,
    /// By the address of its base and its name.
    anchors: HashMap<(String, String), ValueId>,
    /// Of objects with many members that pointers lead through, the members by name.
    members: HashMap<ValueId, HashMap<Box<str>, ValueId>>,
}

impl References {
    pub(super) fn new(document: &Document, draft: Draft, fuel: &mut Fuel) -> Result<Self> {
        let root = document.root();
        let mut found = Self {
            resources: HashMap::from([(String::new(), root)]),
            bases: HashMap::from([(root, String::new())]),
            anchors: HashMap::new(),
            members: HashMap::new(),
        };
        let mut todo = vec![(root, String::new())];
        while let Some((schema, mut base)) = todo.pop() {
            fuel.spend(1)?;
            if document.value(schema) != Value::Object {
                continue;
            }
            let mut nested = Vec::new();
            let (mut id, mut names, mut is_reference) = (None, Vec::new(), false);
            for (keyword, value) in document.members(schema) {
                fuel.spend(1)?;
                match (keyword, document.value(value)) {
                    ("$ref", Value::String(_)) => is_reference = true,
                    ("$anchor" | "$dynamicAnchor", Value::String(name)) if draft >= Draft::Draft2019 => {
                        names.push(name);
                    }
                    (keyword, Value::String(text)) if keyword == draft.id_keyword() => id = Some(text),
                    (keyword, kind) if NESTING.contains(&keyword) => match kind {
                        Value::Object if !MAPS.contains(&keyword) => nested.push(value),
                        Value::Object | Value::Array => nested.extend(document.children(value)),
                        _ => {}
                    },
                    _ => {}
                }
            }
            if let Some(id) = id.filter(|_| !is_reference || draft.has_siblings_of_references()) {
                let (address, name) = id.split_once('#').unwrap_or((id, ""));
                if !name.is_empty() && draft < Draft::Draft2019 {
                    names.push(name);
                }
                if !address.is_empty() {
                    base = resolve(&base, address);
                    found.resources.entry(base.clone()).or_insert(schema);
                    found.bases.insert(schema, base.clone());
                }
            }
            for name in names {
                found.anchors.entry((base.clone(), name.to_owned())).or_insert(schema);
            }
            todo.extend(nested.into_iter().rev().map(|schema| (schema, base.clone())));
        }
        Ok(found)
    }

    /// The schema that a reference standing in `from` names; otherwise what is wrong with it.
    pub(super) fn find(
        &mut self,
        document: &Document,
        from: ValueId,
        reference: &str,
    ) -> std::result::Result<ValueId, String> {
        let mut owner = from;
        let base = loop {
            match (self.bases.get(&owner), document.parent(owner)) {
                (Some(base), _) => break base.as_str(),
                (None, Some(parent)) => owner = parent,
                (None, None) => break "",
            }
        };
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let address = if address.is_empty() { base.to_owned() } else { resolve(base, address) };
        let Some(&resource) = self.resources.get(&address) else {
            return Err(format!("{reference:?} is not in this document, and nothing is fetched: put it under $defs"));
        };
        let fragment = percent_decoded(fragment).ok_or_else(|| format!("{reference:?} is not a reference"))?;
        if fragment.is_empty() {
            return Ok(resource);
        }
        if !fragment.starts_with('/') {
            let anchor = self.anchors.get(&(address, fragment));
            return anchor.copied().ok_or_else(|| format!("there is no anchor {reference:?}"));
        }
        let missing = || format!("there is nothing at {reference:?}");
        let mut at = resource;
        for step in fragment.split('/').skip(1) {
            at = match document.value(at) {
                Value::Object => self.member(document, at, &step.replace("~1", "/").replace("~0", "~")),
                Value::Array if step.bytes().all(|byte| byte.is_ascii_digit()) => {
                    step.parse().ok().and_then(|index| document.children(at).nth(index))
                }
                _ => None,
            }
            .ok_or_else(missing)?;
        }
        Ok(at)
    }

    fn member(&mut self, document: &Document, object: ValueId, name: &str) -> Option<ValueId> {
        const FEW: usize = 8;
        if document.children(object).nth(FEW).is_none() {
            return document.get(object, name);
        }
        let all = || document.members(object).map(|(name, value)| (Box::from(name), value)).collect();
        self.members.entry(object).or_insert_with(all).get(name).copied()
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |at: usize| digits.get(at).and_then(|&byte| (byte as char).to_digit(16));
        bytes.push((digit(0)? << 4 | digit(1)?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// The parts of an address without fragment: scheme with its colon, authority with its slashes, path, query with its mark.
fn parts(address: &str) -> (&str, &str, &str, &str) {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let end = address.find(':').filter(|&at| is_scheme(&address[..at])).map_or(0, |at| at + 1);
    let (scheme, rest) = address.split_at(end);
    let end = match rest.strip_prefix("//") {
        Some(authority) => 2 + authority.find(['/', '?']).unwrap_or(authority.len()),
        None => 0,
    };
    let (authority, rest) = rest.split_at(end);
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    (scheme, authority, path, query)
}

/// RFC 3986, 5.2.2: an address as it reads from a base; both without fragment.
fn resolve(base: &str, address: &str) -> String {
    let (scheme, authority, path, query) = parts(address);
    let (base_scheme, base_authority, base_path, base_query) = parts(base);
    if !scheme.is_empty() {
        return format!("{scheme}{authority}{}{query}", without_dots(path));
    }
    if !authority.is_empty() {
        return format!("{base_scheme}{authority}{}{query}", without_dots(path));
    }
    if path.is_empty() {
        let query = if query.is_empty() { base_query } else { query };
        return format!("{base_scheme}{base_authority}{base_path}{query}");
    }
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false if base_path.is_empty() && !base_authority.is_empty() => format!("/{path}"),
        false => format!("{}{path}", &base_path[..base_path.rfind('/').map_or(0, |at| at + 1)]),
    };
    format!("{base_scheme}{base_authority}{}{query}", without_dots(&path))
}

/// RFC 3986, 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for part in path.split('/') {
        is_folder = matches!(part, "." | "..");
        match part {
            "." => {}
            ".." if kept.len() > usize::from(path.starts_with('/')) => {
                kept.pop();
            }
            ".." => {}
            part => kept.push(part),
        }
    }
    if is_folder {
        kept.push("");
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn addresses_resolve_as_the_rfc_says() {
        let base = "http://a/b/c/d;p?q";
        let cases = [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
        ];
        for (address, expected) in cases {
            assert_eq!(resolve(base, address), expected, "{address}");
        }
        assert_eq!(resolve("", "item.json"), "item.json");
        assert_eq!(resolve("dir/root.json", "item.json"), "dir/item.json");
        assert_eq!(resolve("http://a", "item.json"), "http://a/item.json");
        assert_eq!(resolve("urn:uuid:1", ""), "urn:uuid:1");
    }

    fn found(text: &str, draft: Draft, from: &str, reference: &str) -> std::result::Result<String, String> {
        let document = Document::read(text.as_bytes()).unwrap();
        let mut fuel = Fuel::new("grammar_compile_fuel", Limits::DEFAULT.grammar_compile_fuel);
        let mut references = References::new(&document, draft, &mut fuel).unwrap();
        let from = (0..document.len() as u32).find(|&id| document.pointer(id) == from).unwrap();
        references.find(&document, from, reference).map(|id| document.pointer(id))
    }

    #[test]
    fn references_are_found() {
        let text = r##"{"$id": "http://x/root.json", "$defs": {
            "a/b": {"type": "null"}, "c%d": {}, "~é": {}, "q\"": {},
            "A": {"$anchor": "here", "items": {"$anchor": "inner"}},
            "B": {"$id": "nested/b.json", "$defs": {"X": {"$anchor": "here"}, "Y": {"$id": "c.json"}}},
            "C": {"enum": [{"$id": "not.json", "$anchor": "not"}]}
        }}"##;
        let at = |from: &str, reference: &str| found(text, Draft::Draft2020, from, reference);
        let cases = [
            ("#", "#", "#"),
            ("#", "", "#"),
            ("#", "#/", ""),
            ("#", "#/$defs/a~1b", "#/$defs/a~1b"),
            ("#", "#/$defs/c%25d", "#/$defs/c%d"),
            ("#", "#/$defs/~0%C3%A9", "#/$defs/~0é"),
            ("#", "#/$defs/q%22", "#/$defs/q\""),
            ("#", "#here", "#/$defs/A"),
            ("#", "#inner", "#/$defs/A/items"),
            ("#/$defs/B", "#here", "#/$defs/B/$defs/X"),
            ("#/$defs/B", "#", "#/$defs/B"),
            ("#/$defs/B/$defs/X", "#/$defs/X", "#/$defs/B/$defs/X"),
            ("#", "nested/b.json", "#/$defs/B"),
            ("#", "/nested/b.json#/$defs/X", "#/$defs/B/$defs/X"),
            ("#", "http://x/nested/c.json", "#/$defs/B/$defs/Y"),
            ("#/$defs/B", "c.json", "#/$defs/B/$defs/Y"),
            ("#/$defs/B", "../root.json#/$defs/A", "#/$defs/A"),
            ("#", "nested/b.json#here", "#/$defs/B/$defs/X"),
            ("#", "#/$defs/C/enum/0", "#/$defs/C/enum/0"),
            ("#", "#/$defs/C/enum/1", ""),
            ("#", "#not", ""),
            ("#", "not.json", ""),
            ("#", "#nowhere", ""),
            ("#", "http://y/z", ""),
            ("#", "#/%zz", ""),
            ("#", "#/$defs/none", ""),
        ];
        for (from, reference, expected) in cases {
            let result = at(from, reference);
            assert_eq!(result.clone().unwrap_or_default(), expected, "{from} {reference}: {result:?}");
        }
        let old =
            r##"{"id": "http://x/r.json", "definitions": {"a": {"id": "#name"}, "b": {"id": "b.json", "$ref": "#"}}}"##;
        assert_eq!(found(old, Draft::Draft4, "#", "#name").unwrap(), "#/definitions/a");
        assert!(found(old, Draft::Draft4, "#", "b.json").is_err());
        assert!(found(old, Draft::Draft7, "#", "#name").is_err());
    }
}
