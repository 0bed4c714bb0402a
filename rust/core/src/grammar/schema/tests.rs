//! The oracles: one judges a value by the schema's keywords, the other by the alternatives it was compiled to.

use super::*;
use crate::error::Error;
use crate::grammar::term::Terms;
use crate::limits::Limits;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn fuel() -> Fuel {
    Fuel::new("grammar_compile_fuel", Limits::DEFAULT.grammar_compile_fuel)
}

fn compiled(text: &str, terminals: &mut Terminals) -> Result<Schema> {
    compile(text.as_bytes(), &SchemaOptions::default(), terminals, &mut fuel())
}

fn error(text: &str) -> (String, String, String) {
    match compiled(text, &mut Terminals::new()) {
        Err(Error::Schema { pointer, keyword, what }) => (pointer, keyword.unwrap_or_default(), what),
        Err(error) => panic!("{text}: {error}"),
        Ok(_) => panic!("{text} compiled"),
    }
}

/// Whether a value is one of a node's.
struct Judge<'a> {
    schema: &'a Schema,
    terminals: &'a mut Terminals,
}

impl Judge<'_> {
    fn matches(&mut self, term: TermId, text: &str) -> bool {
        self.terminals.terms.matches(term, text, &mut fuel()).unwrap()
    }

    fn node(&mut self, node: NodeId, value: &Value) -> bool {
        self.schema.alternatives(node).to_vec().into_iter().any(|id| self.alternative(id, value))
    }

    fn alternative(&mut self, id: AlternativeId, value: &Value) -> bool {
        match (self.schema.alternative(id), value) {
            (Alternative::Null, Value::Null) => true,
            (Alternative::Boolean(expected), Value::Bool(given)) => expected == *given,
            (Alternative::Number(term), Value::Number(number)) => self.matches(term, &number.to_string()),
            (Alternative::String { term, min, max }, Value::String(text)) => {
                let n = text.chars().count();
                n >= min as usize && n <= max as usize && self.matches(term, text)
            }
            (Alternative::Words(trie), Value::String(text)) => self.terminals.tries.contains(trie, text),
            (Alternative::Object(id), Value::Object(members)) => {
                let object = self.schema.object(id).clone();
                let n = members.len();
                n >= object.min_properties as usize
                    && n <= object.max_properties as usize
                    && object.properties.iter().all(|p| !p.required || members.contains_key(&*p.name))
                    && members.iter().all(|(name, value)| match object.property(name) {
                        Some(property) => self.node(property.node, value),
                        None => {
                            let mut found = object.additional.clone();
                            found.retain(|additional| self.matches(additional.term, name));
                            assert!(found.len() <= 1, "languages of keys overlap at {name:?}");
                            found.iter().any(|additional| self.node(additional.node, value))
                        }
                    })
            }
            (Alternative::Array(id), Value::Array(items)) => {
                let array = self.schema.array(id).clone();
                items.len() >= array.min as usize
                    && items.len() <= array.max as usize
                    && items.iter().enumerate().all(|(i, item)| self.node(array.item(i as u32), item))
            }
            _ => false,
        }
    }

    /// A text of a language, other than these, over few characters.
    fn text(&mut self, term: TermId, min: u32, max: u32, but: &[&str]) -> Option<String> {
        let mut level = vec![(term, String::new())];
        for n in 0..8 {
            let good = level.iter().find(|(term, text)| {
                n >= min && n <= max && self.terminals.terms.is_nullable(*term) && !but.contains(&&**text)
            });
            if let Some((_, text)) = good {
                return Some(text.clone());
            }
            let mut next = Vec::new();
            for (term, text) in level {
                for c in "ab0125-.c".chars() {
                    let rest = self.terminals.terms.derivative(term, c as u32, &mut fuel()).unwrap();
                    if rest != Terms::EMPTY {
                        next.push((rest, format!("{text}{c}")));
                    }
                }
            }
            next.truncate(3000);
            level = next;
        }
        None
    }

    /// A value of each alternative that has one of at most this depth.
    fn witnesses(&mut self, depth: usize) -> BTreeMap<AlternativeId, Value> {
        let mut found = BTreeMap::new();
        for _ in 0..depth {
            let known = found.clone();
            let of = |schema: &Schema, node: NodeId| -> Option<Value> {
                schema.alternatives(node).iter().find_map(|id| known.get(id).cloned())
            };
            for id in 0..self.schema.alternatives.len() as u32 {
                if found.contains_key(&id) {
                    continue;
                }
                let value = match self.schema.alternative(id) {
                    Alternative::Null => Some(Value::Null),
                    Alternative::Boolean(boolean) => Some(Value::Bool(boolean)),
                    Alternative::Number(term) => {
                        self.text(term, 0, UNBOUNDED, &[]).map(|text| serde_json::from_str(&text).unwrap())
                    }
                    Alternative::String { term, min, max } => self.text(term, min, max, &[]).map(Value::String),
                    Alternative::Words(trie) => {
                        let mut text = String::new();
                        let mut at = trie;
                        while !self.terminals.tries.ends(at) {
                            let (c, next) = self.terminals.tries.edges(at)[0];
                            text.extend(char::from_u32(c));
                            at = next;
                        }
                        Some(Value::String(text))
                    }
                    Alternative::Array(id) => {
                        let array = self.schema.array(id).clone();
                        (0..array.min)
                            .map(|i| of(self.schema, array.item(i)))
                            .collect::<Option<Vec<_>>>()
                            .map(Value::Array)
                    }
                    Alternative::Object(id) => self.object_witness(id, &of),
                };
                found.extend(value.map(|value| (id, value)));
            }
        }
        found
    }

    fn object_witness(&mut self, id: ObjectId, of: &impl Fn(&Schema, NodeId) -> Option<Value>) -> Option<Value> {
        let object = self.schema.object(id).clone();
        let mut members = serde_json::Map::new();
        for property in object.properties.iter().filter(|property| property.required) {
            members.insert(property.name.to_string(), of(self.schema, property.node)?);
        }
        for property in object.properties.iter().filter(|property| !property.required) {
            if members.len() < object.min_properties as usize
                && let Some(value) = of(self.schema, property.node)
            {
                members.insert(property.name.to_string(), value);
            }
        }
        for additional in &object.additional {
            while members.len() < object.min_properties as usize {
                let declared = object.properties.iter().map(|property| &*property.name);
                let but: Vec<&str> = declared.chain(members.keys().map(String::as_str)).collect();
                let Some(name) = self.text(additional.term, 0, UNBOUNDED, &but) else { break };
                let Some(value) = of(self.schema, additional.node) else { break };
                members.insert(name, value);
            }
        }
        (members.len() >= object.min_properties as usize).then_some(Value::Object(members))
    }
}

/// What the patterns that the tests use mean.
fn finds(pattern: &str, text: &str) -> bool {
    match pattern {
        "" => true,
        "^a" => text.starts_with('a'),
        "b$" => text.ends_with('b'),
        "a" => text.contains('a'),
        "^a$" => text == "a",
        "^.$" => text.chars().count() == 1 && text != "\n",
        "^a.$" => text.chars().count() == 2 && text.starts_with('a') && !text.ends_with('\n'),
        _ => panic!("{pattern}"),
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => number(a) == number(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// A schema of draft 2020-12 read keyword by keyword, recursively. `path`: the schemas being judged at the same value.
fn is_valid(root: &Value, schema: &Value, value: &Value, path: &mut Vec<*const Value>) -> bool {
    let Value::Object(keywords) = schema else { return schema == &json!(true) };
    if path.contains(&std::ptr::from_ref(schema)) {
        return false;
    }
    path.push(schema);
    let within = |schema: &Value, value: &Value| is_valid(root, schema, value, &mut Vec::new());
    let count =
        |keyword: &str, otherwise: usize| keywords.get(keyword).map_or(otherwise, |n| n.as_u64().unwrap() as usize);
    let has_type = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "string" => value.is_string(),
        "object" => value.is_object(),
        _ => value.is_array(),
    };
    let good = keywords.iter().all(|(keyword, argument)| match (keyword.as_str(), value) {
        ("$ref", _) => {
            let target = root.pointer(argument.as_str().unwrap().trim_start_matches('#')).unwrap();
            is_valid(root, target, value, path)
        }
        ("type", _) => match argument {
            Value::Array(names) => names.iter().any(has_type),
            name => has_type(name),
        },
        ("enum", _) => argument.as_array().unwrap().iter().any(|choice| equal(choice, value)),
        ("const", _) => equal(argument, value),
        ("allOf", _) => argument.as_array().unwrap().iter().all(|part| is_valid(root, part, value, path)),
        ("anyOf", _) => argument.as_array().unwrap().iter().any(|part| is_valid(root, part, value, path)),
        ("oneOf", _) => {
            argument.as_array().unwrap().iter().filter(|part| is_valid(root, part, value, path)).count() == 1
        }
        ("minimum", Value::Number(_)) => number(value) >= number(argument),
        ("maximum", Value::Number(_)) => number(value) <= number(argument),
        ("exclusiveMinimum", Value::Number(_)) => number(value) > number(argument),
        ("exclusiveMaximum", Value::Number(_)) => number(value) < number(argument),
        ("multipleOf", Value::Number(_)) => (number(value) / number(argument)).fract() == 0.0,
        ("minLength", Value::String(text)) => text.chars().count() >= count(keyword, 0),
        ("maxLength", Value::String(text)) => text.chars().count() <= count(keyword, 0),
        ("pattern", Value::String(text)) => finds(argument.as_str().unwrap(), text),
        ("required", Value::Object(members)) => {
            argument.as_array().unwrap().iter().all(|name| members.contains_key(name.as_str().unwrap()))
        }
        ("minProperties", Value::Object(members)) => members.len() >= count(keyword, 0),
        ("maxProperties", Value::Object(members)) => members.len() <= count(keyword, 0),
        ("propertyNames", Value::Object(members)) => {
            members.keys().all(|name| within(argument, &Value::String(name.clone())))
        }
        ("properties", Value::Object(members)) => argument
            .as_object()
            .unwrap()
            .iter()
            .all(|(name, schema)| members.get(name).is_none_or(|value| within(schema, value))),
        ("patternProperties", Value::Object(members)) => {
            argument.as_object().unwrap().iter().all(|(pattern, schema)| {
                members.iter().all(|(name, value)| !finds(pattern, name) || within(schema, value))
            })
        }
        ("additionalProperties", Value::Object(members)) => members.iter().all(|(name, value)| {
            let is_of = |keyword: &str, is: &dyn Fn(&str) -> bool| {
                keywords.get(keyword).is_some_and(|of| of.as_object().unwrap().keys().any(|key| is(key)))
            };
            is_of("properties", &|key| key == name)
                || is_of("patternProperties", &|pattern| finds(pattern, name))
                || within(argument, value)
        }),
        ("prefixItems", Value::Array(items)) => {
            argument.as_array().unwrap().iter().zip(items).all(|(schema, item)| within(schema, item))
        }
        ("items", Value::Array(items)) => {
            let n = keywords.get("prefixItems").map_or(0, |prefix| prefix.as_array().unwrap().len());
            items.iter().skip(n).all(|item| within(argument, item))
        }
        ("minItems", Value::Array(items)) => items.len() >= count(keyword, 0),
        ("maxItems", Value::Array(items)) => items.len() <= count(keyword, 0),
        _ => true,
    });
    path.pop();
    good
}

fn universe() -> Vec<Value> {
    let scalars = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(2),
        json!(1.0),
        json!(0.5),
        json!(3),
        json!(""),
        json!("a"),
        json!("b"),
        json!("ab"),
        json!("aab"),
        json!("c"),
    ];
    let mut all = scalars.clone();
    all.extend([json!([]), json!({}), json!([[]]), json!([{}]), json!({"a": {}}), json!({"a": {"a": 1}, "b": [1]})]);
    let few: Vec<Value> = [json!(null), json!(1), json!(0.5), json!("a"), json!("ab"), json!([]), json!({})].to_vec();
    for (i, a) in few.iter().enumerate() {
        all.push(json!([a]));
        for name in ["a", "b", "c", "ab", "aab", ""] {
            all.push(json!({name: a}));
        }
        for b in few.iter().skip(i % 2).step_by(2) {
            all.push(json!([a, b]));
            all.push(json!({"a": a, "b": b}));
            all.push(json!({"a": a, "ab": b}));
            all.push(json!({"a": {"b": a}, "c": [b]}));
        }
    }
    all.extend([json!([1, 1, 1]), json!({"a": 1, "b": 1, "c": 1}), json!([null, "a", 1, {}])]);
    all
}

/// What the JSON machine takes for granted.
fn promises(schema: &Schema) {
    let has_values = |node: NodeId| !schema.alternatives(node).is_empty();
    for object in schema.objects() {
        let required = object.properties.iter().filter(|property| property.required);
        assert!(required.clone().all(|property| has_values(property.node)), "{object:?}");
        assert!(required.count() <= object.max_properties as usize, "{object:?}");
        assert!(object.additional.iter().all(|additional| has_values(additional.node)), "{object:?}");
        assert!(object.properties.is_sorted_by(|a, b| a.name < b.name), "{object:?}");
    }
    for array in schema.arrays() {
        assert!(array.min <= array.max && array.prefix.iter().all(|&item| has_values(item)), "{array:?}");
        assert!(array.max as usize <= array.prefix.len() || has_values(array.rest), "{array:?}");
    }
}

/// Both oracles agree, and each alternative has a value. Whether it compiled.
fn check(schema: &Value) -> bool {
    let mut terminals = Terminals::new();
    let is_valid = |value: &Value| is_valid(schema, schema, value, &mut Vec::new());
    let compiled = match compiled(&schema.to_string(), &mut terminals) {
        Ok(compiled) => compiled,
        Err(Error::Schema { keyword: Some(keyword), .. }) if keyword == "oneOf" => return false,
        Err(Error::Schema { what, .. }) if what.starts_with("no value is valid") => {
            for value in universe() {
                assert!(!is_valid(&value), "{schema} has {value}: {what}");
            }
            return false;
        }
        Err(error) => panic!("{schema}: {error}"),
    };
    let mut judge = Judge { schema: &compiled, terminals: &mut terminals };
    for value in universe() {
        assert_eq!(judge.node(compiled.root(), &value), is_valid(&value), "{value} by {schema}");
    }
    promises(judge.schema);
    let witnesses = judge.witnesses(8);
    let own: BTreeSet<AlternativeId> = compiled.alternatives(compiled.root()).iter().copied().collect();
    for id in own {
        let witness = witnesses.get(&id).unwrap_or_else(|| panic!("{schema}: {:?}", compiled.alternative(id)));
        assert!(is_valid(witness), "{schema} has not {witness}");
    }
    true
}

fn schemas() -> impl Strategy<Value = Value> {
    let names = || prop::sample::select(vec!["a", "b", "c", "ab"]);
    let patterns = || prop::sample::select(vec!["^a", "b$", "a", "^a$", "^.$", "^a.$", ""]);
    let types = || prop::sample::select(vec!["null", "boolean", "number", "integer", "string", "object", "array"]);
    let values = || {
        let values = vec![
            json!(null),
            json!(1),
            json!(1.0),
            json!(0.5),
            json!("a"),
            json!("ab"),
            json!(true),
            json!([]),
            json!([1, "a"]),
            json!({}),
            json!({"a": 1}),
            json!({"a": {"a": 1}, "b": [1]}),
        ];
        prop::sample::select(values)
    };
    let small = || 0..4u32;
    let leaf = prop_oneof![
        4 => types().prop_map(|name| json!({"type": name})),
        1 => prop::collection::btree_set(types(), 1..4).prop_map(|names| json!({"type": names})),
        1 => Just(json!(true)),
        1 => Just(json!(false)),
        2 => values().prop_map(|value| json!({"const": value})),
        2 => prop::collection::vec(values(), 1..4).prop_map(|values| json!({"enum": values})),
        2 => names().prop_map(|name| json!({"$ref": format!("#/$defs/{name}")})),
        1 => Just(json!({"$ref": "#"})),
        1 => small().prop_map(|n| json!({"minLength": n})),
        1 => small().prop_map(|n| json!({"maxLength": n})),
        1 => patterns().prop_map(|pattern| json!({"type": "string", "pattern": pattern})),
        1 => small().prop_map(|n| json!({"minimum": n})),
        1 => small().prop_map(|n| json!({"exclusiveMaximum": n})),
        1 => Just(json!({"multipleOf": 0.5})),
        1 => prop::collection::btree_set(names(), 0..3).prop_map(|names| json!({"required": names})),
        1 => small().prop_map(|n| json!({"minProperties": n})),
        1 => small().prop_map(|n| json!({"maxItems": n})),
    ];
    let schema = leaf.prop_recursive(3, 24, 4, move |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..4);
        let pair = |keyword: &'static str| move |schema: Value| (keyword.to_owned(), schema);
        let member = prop_oneof![
            4 => prop::collection::btree_map(names(), inner.clone(), 0..3).prop_map(|map| ("properties".to_owned(), json!(map))),
            2 => prop::collection::btree_set(names(), 0..3).prop_map(|names| ("required".to_owned(), json!(names))),
            2 => Just(("additionalProperties".to_owned(), json!(false))),
            1 => inner.clone().prop_map(pair("additionalProperties")),
            2 => prop::collection::btree_map(patterns(), inner.clone(), 1..3).prop_map(|map| ("patternProperties".to_owned(), json!(map))),
            1 => inner.clone().prop_map(pair("propertyNames")),
            1 => patterns().prop_map(|pattern| ("propertyNames".to_owned(), json!({"pattern": pattern}))),
            1 => (0..4u32).prop_map(|n| ("minProperties".to_owned(), json!(n))),
            1 => (0..4u32).prop_map(|n| ("maxProperties".to_owned(), json!(n))),
            2 => list().prop_map(|list| ("prefixItems".to_owned(), json!(list))),
            2 => inner.clone().prop_map(pair("items")),
            1 => (0..4u32).prop_map(|n| ("minItems".to_owned(), json!(n))),
            1 => (0..4u32).prop_map(|n| ("maxItems".to_owned(), json!(n))),
            1 => types().prop_map(|name| ("type".to_owned(), json!(name))),
            2 => list().prop_map(|list| ("allOf".to_owned(), json!(list))),
            3 => list().prop_map(|list| ("anyOf".to_owned(), json!(list))),
            2 => list().prop_map(|list| ("oneOf".to_owned(), json!(list))),
        ];
        prop::collection::vec(member, 1..4).prop_map(|members| Value::Object(members.into_iter().collect()))
    });
    (schema.clone(), schema.clone(), schema.clone(), schema).prop_map(|(root, a, b, c)| {
        let mut root = match root {
            Value::Object(members) => members,
            other => json!({"allOf": [other]}).as_object().unwrap().clone(),
        };
        root.insert("$defs".to_owned(), json!({"a": a, "b": b, "c": c, "ab": {"$ref": "#/$defs/a"}}));
        Value::Object(root)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn alternatives_say_what_the_schema_says(schema in schemas()) {
        check(&schema);
    }
}

/// A suite of files of `{schema, tests: [{data, valid}]}`, or of lists of these, in the folder that `LOGITWIRE_SCHEMA_SUITE`
/// names: what compiles is judged right.
#[test]
fn a_suite_is_judged_right() {
    let Ok(folder) = std::env::var("LOGITWIRE_SCHEMA_SUITE") else { return };
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut n_compiled, mut refused, mut wrong) = (0, BTreeMap::<String, usize>::new(), Vec::new());
    for path in paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let groups = match file {
            Value::Array(groups) => groups,
            group => vec![group],
        };
        for group in groups {
            let mut terminals = Terminals::new();
            let start = std::time::Instant::now();
            let result = compiled(&group["schema"].to_string(), &mut terminals);
            let name = format!("{} {}", path.file_stem().unwrap().display(), group["description"]);
            if start.elapsed().as_millis() > 20 {
                println!("{name}: {} ms, {} bytes", start.elapsed().as_millis(), group["schema"].to_string().len());
            }
            match result {
                Ok(schema) => {
                    n_compiled += 1;
                    let mut judge = Judge { schema: &schema, terminals: &mut terminals };
                    for test in group["tests"].as_array().unwrap() {
                        if judge.node(schema.root(), &test["data"]) != test["valid"].as_bool().unwrap() {
                            wrong.push(format!("{name}: {} {}", test["description"], test["data"]));
                        }
                    }
                }
                Err(Error::Schema { keyword: None, what, .. }) if what.starts_with("no value") => {
                    n_compiled += 1;
                    for test in group["tests"].as_array().unwrap().iter().filter(|test| test["valid"] == json!(true)) {
                        wrong.push(format!("{name}: {what}: {}", test["data"]));
                    }
                }
                Err(error) => {
                    println!("{name}: {error}");
                    let keyword = match error {
                        Error::Schema { keyword, .. } => keyword.unwrap_or_default(),
                        error => format!("{error:.60}"),
                    };
                    *refused.entry(keyword).or_default() += 1;
                }
            }
        }
    }
    println!("{n_compiled} compiled, refused: {refused:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each schema with values that are its and values that are not.
#[test]
fn keywords() {
    let cases = [
        (json!({"type": "integer"}), vec![json!(1), json!(1.0), json!(-7)], vec![json!(1.5), json!("1"), json!(null)]),
        (json!({"type": ["integer", "number"]}), vec![json!(1.5)], vec![json!("1")]),
        (json!({"type": ["null", "string"]}), vec![json!(null), json!("")], vec![json!(0)]),
        (
            json!({"enum": [1, "a", null, [1, {"b": 2}], false]}),
            vec![json!(1.0), json!("a"), json!(null), json!([1.0, {"b": 2}]), json!(false)],
            vec![json!(true), json!([1]), json!([1, {"b": 2, "c": 3}]), json!("b"), json!(2)],
        ),
        (json!({"enum": [[1], [1.0], "a", "a"], "type": "array"}), vec![json!([1])], vec![json!("a"), json!([1, 1])]),
        (
            json!({"const": {"a": {"b": []}}}),
            vec![json!({"a": {"b": []}})],
            vec![json!({"a": {"b": [0]}}), json!({"a": {}}), json!({})],
        ),
        (
            json!({"enum": [1, 2, 3], "minimum": 2, "multipleOf": 2}),
            vec![json!(2)],
            vec![json!(1), json!(3), json!("2")],
        ),
        (json!({"enum": ["a", "ab"], "maxLength": 1}), vec![json!("a")], vec![json!("ab")]),
        (json!({"enum": ["a", "ab", "b"], "minLength": 2}), vec![json!("ab")], vec![json!("a"), json!("b")]),
        (json!({"minimum": 1, "exclusiveMinimum": 1}), vec![json!(1.5), json!("x")], vec![json!(1)]),
        (
            json!({"allOf": [{"minimum": 1}, {"maximum": 3}, {"exclusiveMaximum": 3}]}),
            vec![json!(1), json!(2.5)],
            vec![json!(3), json!(0.5)],
        ),
        (
            json!({"minLength": 1, "maxLength": 2}),
            vec![json!("a"), json!("😀é"), json!(5)],
            vec![json!(""), json!("abc")],
        ),
        (json!({"pattern": "^a"}), vec![json!("ab"), json!([])], vec![json!("ba")]),
        (
            json!({"properties": {"a": {"type": "null"}}, "required": ["a", "b"]}),
            vec![json!({"a": null, "b": 1}), json!([])],
            vec![json!({"a": null}), json!({"a": 1, "b": 1})],
        ),
        (
            json!({"properties": {"a": true}, "additionalProperties": false}),
            vec![json!({"a": 1}), json!({})],
            vec![json!({"b": 1})],
        ),
        (
            json!({"patternProperties": {"^a": {"type": "string"}, "b$": {"minLength": 2}}, "additionalProperties": {"type": "null"}}),
            vec![json!({"a": "x", "ab": "xy", "b": "xy", "c": null}), json!({"b": 1})],
            vec![json!({"a": null}), json!({"ab": "x"}), json!({"c": 1})],
        ),
        (
            json!({"properties": {"ab": {"const": "xy"}}, "patternProperties": {"^a": {"minLength": 2}}}),
            vec![json!({"ab": "xy", "a": "zz"})],
            vec![json!({"ab": "zz"}), json!({"a": "z"})],
        ),
        (
            json!({"propertyNames": {"enum": ["a", "b"]}, "minProperties": 1}),
            vec![json!({"a": 1}), json!({"a": 1, "b": 2})],
            vec![json!({}), json!({"c": 1})],
        ),
        (
            json!({"propertyNames": {"maxLength": 1}, "maxProperties": 1}),
            vec![json!({}), json!({"z": 1})],
            vec![json!({"ab": 1}), json!({"a": 1, "b": 1})],
        ),
        (
            json!({"prefixItems": [{"type": "null"}, {"type": "string"}], "items": false}),
            vec![json!([]), json!([null]), json!([null, "a"])],
            vec![json!([null, "a", 1]), json!(["a"])],
        ),
        (json!({"prefixItems": [true, false], "items": true}), vec![json!([]), json!([1])], vec![json!([1, 2])]),
        (
            json!({"items": {"type": "null"}, "minItems": 1, "maxItems": 2}),
            vec![json!([null]), json!([null, null])],
            vec![json!([]), json!([1])],
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"minimum": 2}]}),
            vec![json!("a"), json!(2), json!(null)],
            vec![json!(1)],
        ),
        (
            json!({"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "maxProperties": 1}),
            vec![json!({"a": 1}), json!({"b": 1}), json!(0)],
            vec![json!({}), json!({"c": 1}), json!({"a": 1, "b": 1})],
        ),
        (
            json!({"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"c": {"type": "array", "items": {"$ref": "#/$defs/t"}}}, "additionalProperties": false}}}),
            vec![json!({}), json!({"c": [{}, {"c": []}]})],
            vec![json!({"c": [1]}), json!({"d": 1})],
        ),
        (
            json!({"$ref": "#/$defs/a", "minimum": 2, "$defs": {"a": {"maximum": 3}}}),
            vec![json!(2)],
            vec![json!(1), json!(4)],
        ),
        (json!({"oneOf": [{"type": "string"}, {"type": "null"}]}), vec![json!("a"), json!(null)], vec![json!(1)]),
        (
            json!({"oneOf": [{"maximum": 1}, {"minimum": 2}], "type": "number"}),
            vec![json!(1), json!(2)],
            vec![json!(1.5), json!("a")],
        ),
        (
            json!({"oneOf": [{"pattern": "^a"}, {"pattern": "^b"}], "type": "string"}),
            vec![json!("a"), json!("b")],
            vec![json!("c")],
        ),
        (
            json!({"oneOf": [{"properties": {"k": {"const": "x"}}}, {"properties": {"k": {"enum": ["y", "z"]}}}], "required": ["k"], "type": "object"}),
            vec![json!({"k": "x"}), json!({"k": "z"})],
            vec![json!({"k": "w"}), json!({})],
        ),
        (
            json!({"oneOf": [
                {"type": "object", "required": ["a"], "properties": {"a": true}, "additionalProperties": false},
                {"type": "object", "required": ["b"], "properties": {"b": true}, "additionalProperties": false}]}),
            vec![json!({"a": 1}), json!({"b": 1})],
            vec![json!({}), json!({"a": 1, "b": 1})],
        ),
        (
            json!({"not": false, "if": {"minimum": 3}, "then": true, "dependentRequired": {}, "uniqueItems": false, "minContains": 3}),
            vec![json!(1), json!([1, 1])],
            vec![],
        ),
        (
            json!({"title": 5, "x-unknown": {"type": 7}, "examples": "none", "$comment": [], "contentEncoding": 1, "default": {}}),
            vec![json!(1)],
            vec![],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true, "type": "integer", "const": 7}),
            vec![json!(2)],
            vec![json!(1), json!(2.0)],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}], "additionalItems": {"type": "string"}}),
            vec![json!([null, "a"])],
            vec![json!(["a"]), json!([null, null])],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"$ref": "#/definitions/n", "maximum": 1}}, "definitions": {"n": {"type": "number"}}}),
            vec![json!({"a": 5})],
            vec![json!({"a": "5"})],
        ),
        (
            json!({"properties": {"a": false, "b": {"items": false}}}),
            vec![json!({"b": []}), json!({"c": 1})],
            vec![json!({"a": 1}), json!({"b": [1]})],
        ),
        (json!({"minItems": 2.0, "maxItems": 1e9}), vec![json!([1, 2])], vec![json!([1])]),
        (json!({"anyOf": [{"$ref": "#"}, {"type": "string"}]}), vec![json!("a")], vec![json!(1)]),
    ];
    for (schema, valid, invalid) in cases {
        let mut terminals = Terminals::new();
        let compiled =
            compiled(&schema.to_string(), &mut terminals).unwrap_or_else(|error| panic!("{schema}: {error}"));
        let mut judge = Judge { schema: &compiled, terminals: &mut terminals };
        for (values, expected) in [(valid, true), (invalid, false)] {
            for value in values {
                assert_eq!(judge.node(compiled.root(), &value), expected, "{value} by {schema}");
            }
        }
    }
}

#[test]
fn what_is_broken_or_not_enforced_is_named() {
    let cases = [
        (r#"{"type": 5}"#, "#", "type"),
        (r#"{"properties": {"a": {"type": "something"}}}"#, "#/properties/a", "type"),
        (r#"{"type": []}"#, "#", "type"),
        (r#"{"minLength": "x"}"#, "#", "minLength"),
        (r#"{"minLength": -1}"#, "#", "minLength"),
        (r#"{"maxItems": 1.5}"#, "#", "maxItems"),
        (r#"{"required": ["a", "a"]}"#, "#", "required"),
        (r#"{"required": true}"#, "#", "required"),
        (r#"{"items": {"required": [1]}}"#, "#/items", "required"),
        (r#"{"enum": 1}"#, "#", "enum"),
        (r#"{"anyOf": []}"#, "#", "anyOf"),
        (r#"{"allOf": {}}"#, "#", "allOf"),
        (r#"{"properties": []}"#, "#", "properties"),
        (r#"{"properties": {"a": 1}}"#, "#/properties/a", ""),
        (r#"{"multipleOf": 0}"#, "#", "multipleOf"),
        (r#"{"minimum": "1"}"#, "#", "minimum"),
        (r#"{"uniqueItems": 1}"#, "#", "uniqueItems"),
        (r#"{"format": 1}"#, "#", "format"),
        (r#"{"$ref": 1}"#, "#", "$ref"),
        (r##"{"$ref": "#/$defs/none"}"##, "#", "$ref"),
        (r##"{"items": {"$ref": "#nowhere"}}"##, "#/items", "$ref"),
        (r#"{"items": {"$ref": "http://127.0.0.1:9/x.json"}}"#, "#/items", "$ref"),
        (r#"{"$schema": "http://json-schema.org/draft-03/schema#"}"#, "#", "$schema"),
        (r#"{"$schema": "https://json-schema.org/draft/2020-12/schema", "items": [true]}"#, "#", "items"),
        (r#"{"properties": {"a~/": {"not": {"type": "null"}}}}"#, "#/properties/a~0~1", "not"),
        (r#"{"if": true, "then": false}"#, "#", "if"),
        (r#"{"dependencies": {"a": ["b"]}}"#, "#", "dependencies"),
        (r#"{"dependentRequired": {"a": ["b"]}}"#, "#", "dependentRequired"),
        (r#"{"dependentSchemas": {"a": false}}"#, "#", "dependentSchemas"),
        (r#"{"contains": {}}"#, "#", "contains"),
        (r#"{"uniqueItems": true}"#, "#", "uniqueItems"),
        (r#"{"unevaluatedProperties": false}"#, "#", "unevaluatedProperties"),
        (r#"{"unevaluatedItems": {"type": "null"}}"#, "#", "unevaluatedItems"),
        (r##"{"$dynamicRef": "#a"}"##, "#", "$dynamicRef"),
        (r#"{"oneOf": [{"type": "integer"}, {"minimum": 2}]}"#, "#", "oneOf"),
        (r#"{"oneOf": [true, true]}"#, "#", "oneOf"),
        (r#"{"properties": {"a": {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}}}"#, "#/properties/a", "oneOf"),
        ("3", "#", ""),
        ("null", "#", ""),
    ];
    for (schema, pointer, keyword) in cases {
        let found = error(schema);
        assert_eq!((found.0.as_str(), found.1.as_str()), (pointer, keyword), "{schema}: {}", found.2);
    }
    let ignore = SchemaOptions { unsupported: Unsupported::Ignore, ..SchemaOptions::default() };
    let text = br#"{"items": {"not": {"type": "null"}}, "oneOf": [true, {"type": "array"}], "format": "unheard-of"}"#;
    let schema = compile(text, &ignore, &mut Terminals::new(), &mut fuel()).unwrap();
    let notes: Vec<_> = schema.relaxed.iter().map(|note| (note.pointer.as_str(), note.keyword.as_str())).collect();
    assert_eq!(notes, [("#", "format"), ("#/items", "not"), ("#", "oneOf")]);
    for text in ["", "{", "[1,]", "{\"enum\": [\"\\ud800\"]}"] {
        let result = compiled(text, &mut Terminals::new());
        assert!(matches!(result, Err(Error::Grammar { position: Some(_), .. })), "{text}");
    }
}

#[test]
fn what_has_no_value_is_named() {
    let cases = [
        ("false", "#"),
        (r##"{"$ref": "#"}"##, "#"),
        (r##"{"allOf": [{"$ref": "#"}]}"##, "#"),
        (r##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}"##, "#"),
        (r#"{"type": "integer", "minimum": 5, "maximum": 2}"#, "#"),
        (r#"{"type": "string", "minLength": 5, "maxLength": 2}"#, "#"),
        (r#"{"type": "string", "pattern": "^ab$", "maxLength": 1}"#, "#"),
        (r#"{"enum": []}"#, "#"),
        (r#"{"type": "string", "const": 1}"#, "#"),
        (r#"{"allOf": [{"type": "string"}, {"type": "number"}]}"#, "#"),
        (
            r#"{"type": "object", "required": ["a"], "properties": {"a": {"type": "array", "minItems": 1, "items": {"type": "null", "enum": [1]}}}}"#,
            "#/properties/a/items",
        ),
        (r#"{"type": "object", "required": ["a", "b"], "maxProperties": 1}"#, "#"),
        (r#"{"type": "object", "required": ["a"], "additionalProperties": false}"#, "#"),
        (r#"{"type": "object", "minProperties": 2, "properties": {"a": true}, "additionalProperties": false}"#, "#"),
        (
            r#"{"type": "object", "minProperties": 3, "patternProperties": {"^[ab]$": true}, "additionalProperties": false}"#,
            "#",
        ),
        (r#"{"type": "object", "required": ["a"], "propertyNames": {"maxLength": 0}}"#, "#"),
        (r#"{"type": "array", "minItems": 2, "prefixItems": [true], "items": false}"#, "#"),
        (r##"{"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}"##, "#"),
        (r##"{"type": "array", "minItems": 1, "items": {"$ref": "#"}}"##, "#"),
    ];
    for (schema, pointer) in cases {
        let found = error(schema);
        assert_eq!((found.0.as_str(), found.1.as_str()), (pointer, ""), "{schema}: {}", found.2);
        assert!(found.2.starts_with("no value is valid: "), "{schema}: {}", found.2);
    }
}

#[test]
fn finite_keys_are_properties_and_equal_things_are_one() {
    let mut terminals = Terminals::new();
    let text = r#"{"type": "object", "properties": {"z": true, "a": true, "b": true}, "patternProperties": {"^[ab]$": {"type": "null"}}, "required": ["q"]}"#;
    let schema = compiled(text, &mut terminals).unwrap();
    let &[Alternative::Object(id)] =
        &*schema.alternatives(schema.root()).iter().map(|&id| schema.alternative(id)).collect::<Vec<_>>()
    else {
        panic!()
    };
    let object = schema.object(id);
    let names: Vec<_> = object.properties.iter().map(|p| (&*p.name, p.order, p.required)).collect();
    assert_eq!(names, [("a", 1, false), ("b", 2, false), ("q", NO_ORDER, true), ("z", 0, false)]);
    assert_eq!(object.additional.iter().map(|a| a.term).collect::<Vec<_>>(), [Terms::ANY]);
    assert_eq!(schema.alternatives(object.additional[0].node).len(), 7);

    let twins = r#"{"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"properties": {"a": {"type": "string"}}, "type": "object"}]}"#;
    let twins = compiled(twins, &mut terminals).unwrap();
    assert_eq!(twins.alternatives(twins.root()).len(), 1);
    let any = any_json(JsonKind::Any, Spelling::Any, &mut terminals, &mut fuel()).unwrap();
    assert_eq!((any.nodes(), any.alternatives(any.root()).len()), (2, 7));
    let object = any_json(JsonKind::Object, Spelling::Any, &mut terminals, &mut fuel()).unwrap();
    assert_eq!(object.alternatives(object.root()).len(), 1);
}

/// Each ends in a schema or in an error that names a limit, on a stack of a quarter of a megabyte.
#[test]
fn hostile_schemas_end() {
    let chain = |n: usize, step: fn(String) -> String| {
        let mut definitions: Vec<String> =
            (0..n).map(|i| format!("\"d{i}\": {}", step(format!("{{\"$ref\": \"#/$defs/d{}\"}}", i + 1)))).collect();
        definitions.push(format!("\"d{n}\": {{\"type\": \"string\"}}"));
        format!("{{\"$ref\": \"#/$defs/d0\", \"$defs\": {{{}}}}}", definitions.join(", "))
    };
    let fan = (1..13).map(|i| {
        let branch = format!("{{\"type\": \"object\", \"properties\": {{\"a\": {{\"$ref\": \"#/$defs/d{}\"}}, \"b\": {{\"$ref\": \"#/$defs/d{}\"}}}}}}", i - 1, i - 1);
        format!("\"d{i}\": {{\"anyOf\": [{branch}, {branch}]}}")
    });
    let fan = fan.collect::<Vec<_>>().join(", ");
    let grid = |name: &str, n: usize| {
        let branch = |j: usize| {
            let words: Vec<String> = (0..n).map(|i| format!("{{\"const\": \"v{j}_{i}\"}}")).collect();
            format!(
                "{{\"type\": \"object\", \"properties\": {{\"{name}{j}\": {{\"anyOf\": [{}]}}}}, \"required\": [\"{name}{j}\"]}}",
                words.join(", ")
            )
        };
        (0..n).map(branch).collect::<Vec<_>>().join(", ")
    };
    let words: Vec<String> = (0..100_000).map(|i| format!("\"v{i}\"")).collect();
    let names: Vec<String> = (0..20_000).map(|i| format!("\"p{i}\": {{\"type\": \"string\"}}")).collect();
    let tags: Vec<String> = (0..60)
        .map(|i| {
            format!(
                "{{\"properties\": {{\"k\": {{\"const\": \"v{i}\"}}}}, \"required\": [\"k\"], \"type\": \"object\"}}"
            )
        })
        .collect();
    let halves: Vec<String> = (0..24)
        .map(|i| format!("{{\"anyOf\": [{{\"required\": [\"a{i}\"]}}, {{\"required\": [\"b{i}\"]}}]}}"))
        .collect();
    let cases = vec![
        (chain(20_000, |next| next), true),
        (chain(20_000, |next| format!("{{\"type\": \"array\", \"items\": {next}}}")), true),
        (chain(20_000, |next| format!("{{\"allOf\": [{next}]}}")), true),
        (chain(20_000, |next| format!("{{\"anyOf\": [{next}, {{\"type\": \"null\"}}]}}")), true),
        (
            chain(5_000, |next| {
                format!(
                    "{{\"type\": \"object\", \"properties\": {{\"a\": {next}}}, \"required\": [\"a\"], \"additionalProperties\": false}}"
                )
            }),
            true,
        ),
        (format!("{{\"$ref\": \"#/$defs/d12\", \"$defs\": {{\"d0\": {{\"type\": \"string\"}}, {fan}}}}}"), true),
        (format!("{{\"anyOf\": [{}]}}", grid("k", 60)), true),
        (format!("{{\"allOf\": [{{\"anyOf\": [{}]}}, {{\"anyOf\": [{}]}}]}}", grid("k", 30), grid("l", 30)), false),
        (format!("{{\"oneOf\": [{}]}}", tags.join(", ")), true),
        (format!("{{\"allOf\": [{}]}}", halves.join(", ")), false),
        (format!("{{\"enum\": [{}]}}", words.join(", ")), true),
        (
            format!(
                "{{\"type\": \"object\", \"properties\": {{{}}}, \"additionalProperties\": false}}",
                names.join(", ")
            ),
            true,
        ),
        (r#"{"type": "array", "items": {"type": "integer"}, "minItems": 10000000}"#.to_owned(), true),
        (r#"{"type": "string", "maxLength": 1000000000}"#.to_owned(), true),
        (r#"{"type": "object", "minProperties": 1000000000}"#.to_owned(), true),
        (format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)), false),
        ("{\"items\":".repeat(511) + "true" + &"}".repeat(511), true),
        (format!("{{\"required\": [\"{}\"]}}", "x".repeat(5 << 20)), false),
    ];
    let run = move || {
        for (schema, compiles) in cases {
            let mut fuel = fuel();
            let start = std::time::Instant::now();
            let result = compile(schema.as_bytes(), &SchemaOptions::default(), &mut Terminals::new(), &mut fuel);
            println!("{:.60} {} ms, fuel {}", schema, start.elapsed().as_millis(), fuel.spent());
            match result {
                Ok(_) => assert!(compiles, "{schema:.100}"),
                Err(Error::Limit { .. }) => assert!(!compiles, "{schema:.100}"),
                Err(error) => panic!("{schema:.100}: {error}"),
            }
        }
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap().join().unwrap();
}
