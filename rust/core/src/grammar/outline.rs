//! A compiled schema in words, for people: what became of it, not what it was written as.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::schema::{Alternative, AlternativeId, NodeId, Schema, UNBOUNDED};

/// Lines beyond which an outline is cut.
const MAX_LINES: usize = 400;

enum Item {
    /// A value and what it is called.
    Value { indent: usize, label: String, node: NodeId },
    /// What is in an object or an array.
    Inside { indent: usize, id: AlternativeId },
}

/// One line for each value, what is inside it below; what was shown already is only named.
pub(crate) fn outline(schema: &Schema) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut shown = BTreeSet::new();
    let mut ahead = vec![Item::Value { indent: 0, label: "text".into(), node: schema.root() }];
    while let Some(item) = ahead.pop() {
        if lines.len() == MAX_LINES {
            lines.push("…".into());
            break;
        }
        match item {
            Item::Value { indent, label, node } => {
                lines.push(format!("{:indent$}{label}: {}", "", kinds(schema, node, &shown)));
                let inside = schema.alternatives(node).iter().rev().filter(|&&id| is_open(schema, id));
                ahead.extend(inside.map(|&id| Item::Inside { indent: indent + 2, id }));
            }
            Item::Inside { indent, id } if shown.insert(id) => inside(schema, indent, id, &mut ahead),
            Item::Inside { .. } => {}
        }
    }
    lines.join("\n")
}

fn is_open(schema: &Schema, id: AlternativeId) -> bool {
    matches!(schema.alternative(id), Alternative::Object(_) | Alternative::Array(_))
}

/// The kinds of value there may be.
fn kinds(schema: &Schema, node: NodeId, shown: &BTreeSet<AlternativeId>) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for &id in schema.alternatives(node) {
        let again = if shown.contains(&id) { ", as above" } else { "" };
        kinds.push(match schema.alternative(id) {
            Alternative::Null => "null".into(),
            Alternative::Boolean(value) => value.to_string(),
            Alternative::Number(_) => "number".into(),
            Alternative::String { min, max, .. } => format!("string{}", counts(min, max, "characters")),
            Alternative::Words(_) => "one of some strings".into(),
            Alternative::Object(object) => {
                let of = schema.object(object);
                format!("object {object}{}{again}", counts(of.min_properties, of.max_properties, "keys"))
            }
            Alternative::Array(array) => {
                let of = schema.array(array);
                format!("array {array}{}{again}", counts(of.min, of.max, "items"))
            }
        });
    }
    if kinds.is_empty() { "nothing".into() } else { kinds.join(" | ") }
}

fn counts(min: u32, max: u32, of: &str) -> String {
    match (min, max) {
        (0, UNBOUNDED) => String::new(),
        (min, UNBOUNDED) => format!(" of at least {min} {of}"),
        (0, max) => format!(" of at most {max} {of}"),
        (min, max) if min == max => format!(" of {min} {of}"),
        (min, max) => format!(" of {min} to {max} {of}"),
    }
}

fn inside(schema: &Schema, indent: usize, id: AlternativeId, ahead: &mut Vec<Item>) {
    let first = ahead.len();
    let mut push = |label: String, node| ahead.push(Item::Value { indent, label, node });
    match schema.alternative(id) {
        Alternative::Object(object) => {
            let object = schema.object(object);
            for property in &object.properties {
                let mut label = format!("{:?}", property.name);
                if property.required {
                    let _ = write!(label, " (required)");
                }
                push(label, property.node);
            }
            for additional in &object.additional {
                push("any other key that may be there".into(), additional.node);
            }
        }
        Alternative::Array(array) => {
            let array = schema.array(array);
            for (index, &node) in array.prefix.iter().enumerate() {
                push(format!("item {index}"), node);
            }
            if array.max as usize > array.prefix.len() {
                push(if array.prefix.is_empty() { "each item" } else { "each other item" }.into(), array.rest);
            }
        }
        _ => {}
    }
    // The first is the next to be shown.
    ahead[first..].reverse();
}
