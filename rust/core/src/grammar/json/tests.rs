#![allow(clippy::unwrap_used, clippy::panic)]
use std::sync::Arc;

use super::*;
use crate::grammar::schema::{self, SchemaOptions};
use crate::limits::Limits;

fn fuel() -> Fuel {
    Fuel::new("grammar_compile_fuel", Limits::DEFAULT.grammar_compile_fuel)
}

/// All bytes, and tokens that begin, end and cross everything there is.
fn vocab() -> Arc<Vocab> {
    let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    let more = [
        "\"}",
        "\":",
        "\": ",
        "\",",
        "\", \"",
        "\",\"",
        "{\"",
        "{\"a\":",
        "[{",
        "}]",
        "}}",
        "]]",
        "[[",
        "true",
        "false",
        "null",
        "tr",
        "ue",
        "1.0",
        "12",
        "-1",
        "0.5",
        "1e",
        "E+",
        "ab",
        "abc",
        "a\":1,\"a",
        "\":1,\"b\":",
        "\":1,\"a\":",
        "\":0,\"zz\":1",
        "  ",
        "\n  ",
        " \t\r\n",
        "        ",
        "\\\"",
        "\\u00",
        "\\ud83d",
        "\\ude00",
        "\\n",
        "\\",
        "\\u",
        "é",
        "漢",
        "漢字",
        "😀",
        "a\"",
        "ab\"",
        "abc\":",
        "b\"",
        "x\"}",
        "zz\"",
        "kind\"",
        "\"kind\":\"",
        "cat",
        "dog",
        "\"cat\"",
        "c\"",
        "\"]",
        "\"],",
        ", ",
        ",",
        "1,",
        "1]",
        "1}",
        "}, {",
        "},{\"",
        "\"\"",
        "\"\":",
        "[]",
        "{}",
        "{ }",
        "\"a\"",
        "\"a\": ",
        "\"a\":\"",
        "\"b\"",
        " \"",
        "1 ",
        "null}",
        "e1",
        ".0",
        "00",
        "10",
        "100",
        "-",
        "aa",
        "aaa",
        "aaaa",
        "aaaaaaaa",
        "bb",
        " \"a",
        "\n\"ab\"",
        " \t\"kind",
        "\"ca",
        "\"\\u00",
        " 12",
        "\n-1",
        "-12",
        "1e5",
        " true",
        " tru",
        "\t}",
        "  ]",
        " ,",
        "  \"",
        " \n: ",
        "\\/\"",
        "\\n\"",
        "\\u0061\"",
        "b\": ",
        "c\":1}",
        "bc\"",
        "zz\":true}",
        "a\":1}",
        "\u{e9}\"}",
    ];
    let blanks = [" ".repeat(64), format!("{}1", " ".repeat(65)), format!("{}\"a", "\t".repeat(64)), "\n".repeat(66)];
    tokens.extend(more.iter().map(|token| token.as_bytes().to_vec()));
    tokens.extend(blanks.map(String::into_bytes));
    tokens.extend(
        [
            &b"\xc3"[..],
            b"\xa9",
            b"a\xe6\xbc",
            b"\xa2",
            b"\xa2b\"",
            b"\xf0\x9f",
            b"\x98\x80",
            b"\xed\xa0",
            b"\xf0\x9f\x98",
        ]
        .map(<[u8]>::to_vec),
    );
    tokens.push(b"<eos>".to_vec());
    let eos = tokens.len() as u32 - 1;
    let tokens: Vec<_> = tokens.into_iter().map(Some).collect();
    Arc::new(Vocab::from_bytes(&tokens, &[eos], &[eos]).unwrap())
}

fn machine_with(schema: &str, schema_options: SchemaOptions, max_whitespace: u8) -> Result<JsonMachine> {
    let vocab = vocab();
    let mut terminals = Terminals::new();
    let mut fuel = fuel();
    let compiled = schema::compile(schema.as_bytes(), &schema_options, &mut terminals, &mut fuel)?;
    let index = Arc::new(VocabularyIndex::new(&vocab)?);
    let SchemaOptions { spelling, property_order, .. } = schema_options;
    JsonMachine::new(
        compiled,
        terminals,
        vocab,
        index,
        JsonOptions { max_whitespace, spelling, property_order },
        &mut fuel,
    )
}

fn machine(schema: &str) -> JsonMachine {
    machine_with(schema, SchemaOptions::default(), 64).unwrap()
}

/// None: refused; else whether the text may end.
fn read(machine: &mut JsonMachine, text: &[u8]) -> Option<State> {
    let mut state = machine.start();
    for &byte in text {
        state = machine.step(state, byte, &mut fuel()).unwrap()?;
    }
    Some(state)
}

fn takes(machine: &mut JsonMachine, text: &str) -> bool {
    read(machine, text.as_bytes()).is_some_and(|state| machine.is_accepting(state))
}

#[track_caller]
fn check(schema: &str, right: &[&str], wrong: &[&str]) {
    let mut machine = machine(schema);
    for text in right {
        assert!(takes(&mut machine, text), "{schema} takes {text}");
    }
    for text in wrong {
        assert!(!takes(&mut machine, text), "{schema} refuses {text}");
    }
}

#[test]
fn values_of_every_type() {
    check(
        "true",
        &[
            " null ",
            "true",
            "false",
            "-0.5e+3",
            "0",
            "\"\"",
            "[]",
            "{}",
            "[1, [2], {\"a\": null}]",
            "\"\\u00e9\\ud83d\\ude00\\/\"",
        ],
        &[
            "",
            "nul",
            "01",
            "1.",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "\"\n\"",
            "1 2",
            "]",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
        ],
    );
    check("{\"type\": \"null\"}", &["null"], &["true", "0"]);
    check("{\"type\": [\"boolean\", \"integer\"]}", &["true", "1", "-7", "1.0"], &["null", "1.5", "\"\""]);
    check(
        "{\"enum\": [1, \"a\", null, [1, {\"b\": 2}], {\"x\": [true]}]}",
        &["1", "1.0", "\"a\"", "null", "[ 1,{\"b\":2 }]", "{\"x\":[true]}", "\"\\u0061\""],
        &["2", "\"b\"", "[1]", "{\"x\":[]}", "{}"],
    );
}

#[test]
fn objects_keep_their_keys() {
    let closed = r#"{"type": "object", "properties": {"a": {"type": "integer"}, "ab": {"type": "string"}}, "required": ["a"], "additionalProperties": false}"#;
    check(
        closed,
        &["{\"a\":1}", "{\"ab\":\"x\",\"a\":1}", "{ \"a\" : 1 , \"ab\" : \"\" }"],
        &["{}", "{\"ab\":\"\"}", "{\"a\":\"\"}", "{\"b\":1,\"a\":1}", "{\"a\":1,\"a\":1}"],
    );
    let open = r#"{"type": "object", "properties": {"a": {"type": "integer"}}, "patternProperties": {"^x": {"type": "null"}}, "additionalProperties": {"type": "boolean"}, "maxProperties": 3}"#;
    check(
        open,
        &["{}", "{\"a\":1}", "{\"x\":null,\"xy\":null,\"b\":true}", "{\"b\":false}"],
        &[
            "{\"x\":1}",
            "{\"b\":1}",
            "{\"a\":true}",
            "{\"b\":true,\"b\":true}",
            "{\"b\":true,\"c\":true,\"d\":true,\"e\":true}",
        ],
    );
    check(
        r#"{"type": "object", "propertyNames": {"pattern": "^[ab]$"}, "minProperties": 1}"#,
        &["{\"a\":1}", "{\"b\":1,\"a\":2}"],
        &["{}", "{\"c\":1}", "{\"a\":1,\"b\":1,\"a\":1}"],
    );
}

#[test]
fn alternatives_live_side_by_side() {
    let tagged = r#"{"anyOf": [{"type": "object", "properties": {"kind": {"const": "cat"}, "a": {"type": "integer"}}, "required": ["kind", "a"], "additionalProperties": false},
        {"type": "object", "properties": {"kind": {"const": "dog"}, "b": {"type": "string"}}, "required": ["kind"], "additionalProperties": false}]}"#;
    check(
        tagged,
        &[
            "{\"kind\":\"cat\",\"a\":1}",
            "{\"a\":1,\"kind\":\"cat\"}",
            "{\"kind\":\"dog\"}",
            "{\"b\":\"\",\"kind\":\"dog\"}",
        ],
        &["{\"kind\":\"cat\"}", "{\"a\":1,\"kind\":\"dog\"}", "{\"kind\":\"cat\",\"b\":\"\"}", "{\"a\":1}"],
    );
    check(
        r#"{"anyOf": [{"type": "array", "items": {"type": "integer"}, "maxItems": 2}, {"type": "array", "items": {"type": "number"}, "minItems": 3}]}"#,
        &["[]", "[1,2]", "[1.5,2,3]", "[1,2,3]"],
        &["[1.5]", "[1,2.5]", "[true]"],
    );
    check(
        r##"{"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "v": {"type": "integer"}}, "additionalProperties": false}}}"##,
        &["{}", "{\"left\":{\"left\":{\"v\":1},\"v\":2}}"],
        &["{\"left\":1}", "{\"left\":{\"x\":1}}"],
    );
}

/// Two objects whose keys of two kinds have values of so many alternatives each.
fn values_under_languages(counts: [[usize; 2]; 2]) -> String {
    let value = |kind: usize, n: usize| {
        let objects: Vec<String> =
            (0..n).map(|i| format!(r#"{{"type": "object", "required": ["{kind}-{i}"]}}"#)).collect();
        format!(r#"{{"anyOf": [{}]}}"#, objects.join(", "))
    };
    let objects: Vec<String> = counts
        .iter()
        .enumerate()
        .map(|(i, [x, y])| {
            let (x, y) = (value(2 * i, *x), value(2 * i + 1, *y));
            format!(r#"{{"type": "object", "patternProperties": {{"^x": {x}, "^y": {y}}}, "required": ["r{i}"]}}"#)
        })
        .collect();
    format!(r#"{{"anyOf": [{}]}}"#, objects.join(", "))
}

#[test]
fn too_many_alternatives_under_undeclared_keys_are_found_at_compile() {
    for counts in [[[200, 1], [200, 1]], [[1, 200], [1, 200]]] {
        let error = machine_with(&values_under_languages(counts), SchemaOptions::default(), 64).unwrap_err();
        assert_eq!(error, Error::Limit { limit: "grammar_alternatives", got: 400, maximum: 256 });
    }
    // No key is of both kinds, so 201 are the most.
    check(
        &values_under_languages([[200, 1], [1, 200]]),
        &[
            r#"{"r0": 1, "x": {"0-7": 1}}"#,
            r#"{"y": {"3-7": 1}, "r1": 1}"#,
            r#"{"r0": 1, "r1": 1, "x": {"0-7": 1, "2-0": 1}}"#,
        ],
        &[r#"{"r0": 1, "y": {"3-7": 1}}"#, r#"{"r0": 1, "x": {"2-0": 1}}"#],
    );
}

#[test]
fn canonical_spelling_and_order() {
    let schema = r#"{"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "number"}, "c": {"type": "null"}}, "required": ["a"], "additionalProperties": false}"#;
    let options =
        SchemaOptions { spelling: Spelling::Canonical, property_order: PropertyOrder::Schema, ..Default::default() };
    let mut machine = machine_with(schema, options, 0).unwrap();
    for text in ["{\"b\":\"é\\n\\u001f\\\"\",\"a\":1.5}", "{\"a\":1}", "{\"a\":1,\"c\":null}"] {
        assert!(takes(&mut machine, text), "{text}");
    }
    for text in [
        "{\"a\":1,\"b\":\"\"}",
        "{\"a\": 1}",
        "{\"b\":\"\\u0061\",\"a\":1}",
        "{\"b\":\"\\/\",\"a\":1}",
        "{\"b\":\"\\u000A\",\"a\":1}",
        "{\"c\":null,\"a\":1}",
        "{\"b\":\"\\u001F\",\"a\":1}",
    ] {
        assert!(!takes(&mut machine, text), "{text}");
    }
}

const SCHEMAS: [&str; 14] = [
    "true",
    r#"{"type": "object"}"#,
    r#"{"type": "array", "items": {"type": "integer", "minimum": -5, "maximum": 120}, "minItems": 2, "maxItems": 5}"#,
    r#"{"type": "object", "properties": {"a": {"type": "integer"}, "ab": {"type": "string"}, "abc": {"type": "null"}}, "required": ["a"], "additionalProperties": false}"#,
    r#"{"type": "object", "properties": {"a": {"type": "integer"}, "zz": {"type": "boolean"}}, "required": ["zz"]}"#,
    r#"{"type": "object", "patternProperties": {"^a": {"type": "integer"}, "b$": {"type": "integer", "minimum": 1}}, "additionalProperties": false}"#,
    r#"{"type": "object", "properties": {"ab": {"type": "null"}}, "patternProperties": {"^(a|b|aa|abc)$": {"type": "integer"}}, "additionalProperties": false}"#,
    r#"{"type": "object", "propertyNames": {"maxLength": 2}, "additionalProperties": {"type": "integer"}}"#,
    r#"{"type": "string", "maxLength": 4}"#,
    r#"{"type": "string", "minLength": 2, "maxLength": 9, "pattern": "^(a|é|漢|\\n|\")*b?$"}"#,
    r#"{"enum": ["cat", "cats", "dog", "漢字", "a\"b", 1, 10, null, {"a": [1, "x"]}]}"#,
    r#"{"anyOf": [{"type": "object", "properties": {"kind": {"const": "cat"}, "a": {"type": "integer"}}, "required": ["kind"], "additionalProperties": false},
        {"type": "object", "properties": {"kind": {"const": "dog"}, "b": {"type": "string"}}, "required": ["kind"]}, {"type": "string"}, {"type": "array", "items": true, "maxItems": 3}]}"#,
    r##"{"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"type": "array", "items": {"$ref": "#"}}}, "additionalProperties": {"type": "number", "exclusiveMinimum": 0}, "minProperties": 1, "maxProperties": 3}"##,
    r#"{"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": {"type": ["null", "array"], "items": {"const": 1}}}"#,
];

/// A generator that is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}

/// Walk by masks alone: at each step the mask from the cache, the mask made anew, and every token byte by byte agree.
fn walk(machine: &mut JsonMachine, random: &mut Random, max_tokens: usize) -> Option<Vec<u8>> {
    let vocab = machine.vocab.clone();
    let words = machine.index.words();
    let (mut state, mut text) = (machine.start(), Vec::new());
    for _ in 0..max_tokens {
        let (mut cached, mut again, mut fresh) = (vec![9; words], vec![9; words], vec![9; words]);
        machine.fill(state, &mut cached, &mut fuel()).unwrap();
        machine.fill(state, &mut again, &mut fuel()).unwrap();
        machine.fill_fresh(state, &mut fresh, &mut fuel()).unwrap();
        let mut allowed = Vec::new();
        for token in 0..vocab.len() as u32 {
            let mut next = Some(state).filter(|_| !vocab.is_special(token));
            for &byte in vocab.token_bytes(token).unwrap() {
                next = next.and_then(|state| machine.step(state, byte, &mut fuel()).unwrap());
            }
            let bits = [&cached, &again, &fresh].map(|mask| crate::mask::is_allowed(mask, token as usize));
            let said = String::from_utf8_lossy(vocab.token_bytes(token).unwrap()).into_owned();
            let so_far = String::from_utf8_lossy(&text).into_owned();
            assert_eq!(bits, [next.is_some(); 3], "{said:?} after {so_far:?} in {state:?}");
            if let Some(next) = next {
                allowed.push((token, next));
            }
        }
        let is_accepting = machine.is_accepting(state);
        assert!(is_accepting || !allowed.is_empty(), "dead end after {:?}", String::from_utf8_lossy(&text));
        if allowed.is_empty() || is_accepting && random.below(4) == 0 {
            return Some(text);
        }
        let (token, next) = allowed[random.below(allowed.len())];
        text.extend_from_slice(vocab.token_bytes(token).unwrap());
        state = next;
    }
    None
}

#[test]
fn masks_are_the_bytes_walked_one_by_one() {
    let mut random = Random(1);
    for schema in SCHEMAS {
        for (options, max_whitespace) in [
            (SchemaOptions::default(), 64),
            (SchemaOptions { property_order: PropertyOrder::Schema, ..Default::default() }, 2),
            (SchemaOptions { spelling: Spelling::Canonical, ..Default::default() }, 0),
        ] {
            let mut machine = machine_with(schema, options, max_whitespace).unwrap();
            for _ in 0..12 {
                if let Some(text) = walk(&mut machine, &mut random, 40) {
                    let text = String::from_utf8(text).unwrap();
                    if let Err(error) = serde_json::from_str::<serde_json::Value>(&text) {
                        assert!(error.to_string().starts_with("number out of range"), "{text}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_forgotten_is_learned_again() {
    let mut machine = machine(SCHEMAS[11]);
    let mut random = Random(2);
    walk(&mut machine, &mut random, 20);
    let learned = machine.bytes();
    machine.forget(&mut fuel()).unwrap();
    assert!(machine.bytes() < learned);
    walk(&mut machine, &mut random, 20);
}
