//! Any text is a schema, or an error with its pointer; what compiles is walked, every mask against its bytes, and comes to
//! nothing but JSON.

#![no_main]

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use logitwire_core::error::Error;
use logitwire_core::grammar::Grammar;
use logitwire_core::grammar::json::JsonOptions;
use logitwire_core::grammar::schema::{PropertyOrder, Spelling, Unsupported};
use serde_json::{Map, Value, json};

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let made = match u.arbitrary() {
        Ok(true) => schema(&mut u, 4).map(|schema| schema.to_string().into_bytes()),
        _ => u.arbitrary::<&[u8]>().map(<[u8]>::to_vec),
    };
    let (Ok(text), Ok(flags)) = (made, u.arbitrary::<u8>()) else { return };
    let either = |bit: u8| flags >> bit & 1 == 1;
    let options = JsonOptions {
        max_whitespace: if either(0) { 0 } else { 64 },
        spelling: if either(1) { Spelling::Canonical } else { Spelling::Any },
        property_order: if either(2) { PropertyOrder::Schema } else { PropertyOrder::Any },
    };
    let unsupported = if either(3) { Unsupported::Ignore } else { Unsupported::Error };
    match Grammar::json_schema(logitwire_fuzz::vocab(), &text, options, unsupported) {
        Ok(grammar) => {
            if let Some(text) = logitwire_fuzz::walk(grammar, &mut u, 16) {
                let read: Result<Value, _> = serde_json::from_slice(&text);
                assert!(read.is_ok(), "{:?}", String::from_utf8_lossy(&text));
            }
        }
        Err(Error::Schema { pointer, what, .. }) => assert!(pointer.starts_with('#') && !what.is_empty(), "{pointer}"),
        Err(Error::Grammar { .. } | Error::Limit { .. }) => {}
        Err(error) => panic!("{error}"),
    }
});

const NAMES: &[&str] = &["a", "ab", "b", "foo", "\u{e9}", ""];

fn schemas(u: &mut Unstructured<'_>, depth: usize) -> Result<Vec<Value>> {
    (0..u.int_in_range(1..=3)?).map(|_| schema(u, depth)).collect()
}

fn named(u: &mut Unstructured<'_>, depth: usize) -> Result<Map<String, Value>> {
    (0..u.int_in_range(0..=3)?).map(|_| Ok(((*u.choose(NAMES)?).to_owned(), schema(u, depth)?))).collect()
}

fn schema(u: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    let mut made = Map::new();
    let Some(below) = depth.checked_sub(1) else { return Ok(Value::Bool(u.arbitrary()?)) };
    for _ in 0..u.int_in_range(0..=4)? {
        let small = u.int_in_range(0..=5)?;
        let (keyword, value) = match u.int_in_range(0..=30)? {
            0..=2 => ("type", json!(u.choose(&["null", "boolean", "integer", "number", "string", "array", "object"])?)),
            3 => ("type", json!([u.choose(&["null", "integer"])?, u.choose(&["string", "array", "object"])?])),
            4 => ("enum", json!([small, "a", "ab", null, [small], {"a": "b"}])),
            5 => ("const", json!(u.choose(NAMES)?)),
            6 | 7 => ("properties", Value::Object(named(u, below)?)),
            8 => ("required", json!([u.choose(NAMES)?])),
            9 => ("additionalProperties", schema(u, below)?),
            10 => ("patternProperties", json!({ logitwire_fuzz::pattern(u)?: schema(u, below)? })),
            11 => ("propertyNames", schema(u, below)?),
            12 => ("minProperties", json!(small)),
            13 => ("maxProperties", json!(small)),
            14 => ("items", schema(u, below)?),
            15 => ("prefixItems", json!(schemas(u, below)?)),
            16 => ("minItems", json!(small)),
            17 => ("maxItems", json!(small)),
            18 => ("minLength", json!(small)),
            19 => ("maxLength", json!(small * u.int_in_range(1..=40)?)),
            20 | 21 => ("pattern", json!(logitwire_fuzz::pattern(u)?)),
            22 => (
                "format",
                json!(u.choose(&["date", "time", "date-time", "uuid", "ipv4", "ipv6", "email", "uri", "x"])?),
            ),
            23 => ("minimum", json!(u.arbitrary::<i16>()? / 8)),
            24 => ("exclusiveMaximum", json!(f64::from(u.arbitrary::<i16>()?) / 8.0)),
            25 => ("multipleOf", json!(f64::from(u.int_in_range(1..=40_u8)?) / 4.0)),
            26 => ("allOf", json!(schemas(u, below)?)),
            27 => ("anyOf", json!(schemas(u, below)?)),
            28 => ("oneOf", json!(schemas(u, below)?)),
            29 => ("$ref", json!(u.choose(&["#", "#/properties/a", "#/$defs/a", "#/items"])?)),
            _ => ("$defs", Value::Object(named(u, below)?)),
        };
        made.insert(keyword.to_owned(), value);
    }
    Ok(Value::Object(made))
}
