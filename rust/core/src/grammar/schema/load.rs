//! Keywords -> schemas: what each keyword of each draft says, and what is wrong with one that says nothing. What the schemas
//! come to together is `normal`'s.

use std::collections::HashMap;

use super::draft::Draft;
use super::reference::References;
use super::subschema::{
    ANYTHING, ARRAY, ArrayAssertions, DeclaredProperty, FALSE, NEVER, NULL, NUMBER, OBJECT, ObjectAssertions, STRING,
    StringAssertions, Subschema, SubschemaId, Subschemas, TRUE, Types,
};
use super::{Note, SchemaOptions, UNBOUNDED, Unsupported};
use crate::error::{Error, Result};
use crate::grammar::format;
use crate::grammar::number::{Bound, Decimal, NumberSpec};
use crate::grammar::reader::{Document, Value, ValueId};
use crate::grammar::regex::{self, Anchored, Dialect};
use crate::grammar::term::{TermId, Terms};
use crate::limits::Fuel;

/// Keywords whose value says nothing about a value, whatever it is. So do all that are not known.
const PLAIN: [&str; 8] =
    ["$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"];

/// Notes beyond this many are left out.
const MOST_NOTES: usize = 1000;

/// What was read.
pub(super) struct Loaded {
    pub(super) schemas: Subschemas,
    pub(super) root: SubschemaId,
    pub(super) notes: Vec<Note>,
}

/// Read the schema of a document, and every one that it refers to.
pub(super) fn load(document: &Document, options: &SchemaOptions, terms: &mut Terms, fuel: &mut Fuel) -> Result<Loaded> {
    let stated = match document.get(document.root(), "$schema").map(|value| document.value(value)) {
        Some(Value::String(address)) => match Draft::of_address(address) {
            Some(draft) => Some(draft),
            None => {
                let what = format!("{address} is older than draft 4, the oldest that is read");
                return Err(Error::Schema { pointer: "#".to_owned(), keyword: Some("$schema".to_owned()), what });
            }
        },
        _ => None,
    };
    let draft = stated.unwrap_or(Draft::Draft2020);
    let references = References::new(document, draft, fuel)?;
    let mut loader = Loader {
        document,
        draft,
        is_stated: stated.is_some(),
        unsupported: options.unsupported,
        references,
        terms,
        fuel,
        schemas: Subschemas::new(document.root()),
        by_place: HashMap::new(),
        patterns: HashMap::new(),
        formats: HashMap::new(),
        todo: Vec::new(),
        notes: Vec::new(),
    };
    for &duplicate in document.duplicates().iter().take(MOST_NOTES) {
        let parent = document.parent(duplicate).unwrap_or(duplicate);
        loader.note(parent, document.name(duplicate), "given more than once: the last one counts");
    }
    let root = loader.schema(document.root());
    while let Some((id, place)) = loader.todo.pop() {
        let schema = match document.value(place) {
            Value::Boolean(true) => Subschema::default(),
            Value::Boolean(false) => Subschema { types: 0, ..Subschema::default() },
            Value::Object => loader.read(place)?,
            other => {
                let what = format!("a schema is an object, true or false, not {}", other.type_name());
                return Err(Error::Schema { pointer: document.pointer(place), keyword: None, what });
            }
        };
        loader.schemas.set(id, schema);
    }
    let Loader { schemas, notes, .. } = loader;
    Ok(Loaded { schemas, root, notes })
}

struct Loader<'a> {
    document: &'a Document<'a>,
    draft: Draft,
    /// Whether the document names its draft: else forms of older drafts that mean nothing else are read too.
    is_stated: bool,
    unsupported: Unsupported,
    references: References,
    terms: &'a mut Terms,
    fuel: &'a mut Fuel,
    schemas: Subschemas,
    by_place: HashMap<ValueId, SubschemaId>,
    patterns: HashMap<&'a str, TermId>,
    formats: HashMap<&'a str, Option<FormatTerm>>,
    /// Schemas still to be read.
    todo: Vec<(SubschemaId, ValueId)>,
    notes: Vec<Note>,
}

/// The language of a format, its greatest length, and what it leaves out.
type FormatTerm = (TermId, u32, Option<&'static str>);

/// What several keywords of one schema say together.
#[derive(Default)]
struct Parts {
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    /// Draft 4: whether `minimum` and `maximum` are outside.
    is_exclusive: (bool, bool),
    items: Option<ValueId>,
    additional_items: Option<ValueId>,
    prefix: Option<ValueId>,
    contains: Option<ValueId>,
    min_contains: Option<u32>,
    max_contains: Option<u32>,
    unique: Option<ValueId>,
    condition: Option<ValueId>,
    branches: bool,
}

impl<'a> Loader<'a> {
    /// The schema that stands there, to be read if it has not been.
    fn schema(&mut self, place: ValueId) -> SubschemaId {
        match self.document.value(place) {
            Value::Boolean(true) => return ANYTHING,
            Value::Boolean(false) if place != self.document.root() => return NEVER,
            _ => {}
        }
        if let Some(&id) = self.by_place.get(&place) {
            return id;
        }
        let id = self.schemas.add(place);
        self.by_place.insert(place, id);
        self.todo.push((id, place));
        id
    }

    /// Whether it is a schema that says nothing, in so many words.
    fn is_anything(&self, value: ValueId) -> bool {
        match self.document.value(value) {
            Value::Object => self.document.children(value).next().is_none(),
            other => other == Value::Boolean(true),
        }
    }

    fn fault(&self, place: ValueId, keyword: &str, what: impl Into<String>) -> Error {
        Error::Schema { pointer: self.document.pointer(place), keyword: Some(keyword.to_owned()), what: what.into() }
    }

    fn expected(&self, place: ValueId, keyword: &str, value: ValueId, expected: &str) -> Error {
        self.fault(place, keyword, format!("{expected} expected, not {}", self.document.value(value).type_name()))
    }

    fn note(&mut self, place: ValueId, keyword: &str, what: &str) {
        match self.notes.len() {
            n if n < MOST_NOTES => {
                let pointer = self.document.pointer(place);
                self.notes.push(Note { pointer, keyword: keyword.to_owned(), what: what.to_owned() });
            }
            MOST_NOTES => {
                let (pointer, keyword) = ("#".to_owned(), String::new());
                self.notes.push(Note { pointer, keyword, what: "more notes are left out".to_owned() });
            }
            _ => {}
        }
    }

    /// A keyword that cannot be enforced.
    fn unsupported(&mut self, place: ValueId, keyword: &str, what: &str) -> Result<()> {
        match self.unsupported {
            Unsupported::Error => Err(self.fault(place, keyword, what)),
            Unsupported::Ignore => {
                self.note(place, keyword, &format!("left out: {what}"));
                Ok(())
            }
        }
    }

    /// The fault of what was read for a keyword, at that keyword.
    fn at<T>(&self, place: ValueId, keyword: &str, result: Result<T>) -> Result<T> {
        result.map_err(|error| match error {
            Error::Grammar { position: Some(position), what } => {
                self.fault(place, keyword, format!("{what} (byte {position})"))
            }
            Error::Grammar { position: None, what } => self.fault(place, keyword, what),
            error => error,
        })
    }

    fn read(&mut self, place: ValueId) -> Result<Subschema> {
        let document = self.document;
        let mut schema = Subschema::default();
        if !self.draft.has_siblings_of_references()
            && let Some(reference) = document.get(place, "$ref")
        {
            self.reference(place, reference, &mut schema)?;
            return Ok(schema);
        }
        let mut parts = Parts::default();
        for (keyword, value) in document.members(place) {
            self.fuel.spend(1)?;
            if PLAIN.contains(&keyword) {
                continue;
            }
            if let Some(since) = since(keyword)
                && self.draft < since
            {
                self.note(place, keyword, "not a keyword of this draft");
                continue;
            }
            self.keyword(place, keyword, value, &mut schema, &mut parts)?;
        }
        self.together(place, &mut schema, parts)?;
        Ok(schema)
    }

    fn keyword(
        &mut self,
        place: ValueId,
        keyword: &'a str,
        value: ValueId,
        schema: &mut Subschema,
        parts: &mut Parts,
    ) -> Result<()> {
        let document = self.document;
        match keyword {
            "$ref" => self.reference(place, value, schema)?,
            "$schema" | "$id" | "$anchor" | "$dynamicAnchor" => {
                self.string(place, keyword, value)?;
            }
            "$defs" | "definitions" => self.object(place, keyword, value)?,
            "$dynamicRef" | "$recursiveRef" => {
                self.unsupported(
                    place,
                    keyword,
                    "references that depend on the way they are reached are not enforced",
                )?;
            }
            "type" => self.types(place, value, schema)?,
            "enum" => {
                self.array(place, keyword, value)?;
                let values = document.children(value).collect::<Vec<_>>();
                let branches = self.values(place, keyword, &values)?;
                schema.any.push(branches);
            }
            "const" => {
                let branches = self.values(place, keyword, &[value])?;
                schema.all.extend(branches);
            }
            "minimum" => {
                let value = self.number(place, keyword, value)?;
                raise(&mut parts.minimum, Bound { value, exclusive: false });
            }
            "maximum" => {
                let value = self.number(place, keyword, value)?;
                lower(&mut parts.maximum, Bound { value, exclusive: false });
            }
            "exclusiveMinimum" | "exclusiveMaximum" => {
                let is_minimum = keyword == "exclusiveMinimum";
                match document.value(value) {
                    Value::Boolean(exclusive) if self.draft == Draft::Draft4 || !self.is_stated => match is_minimum {
                        true => parts.is_exclusive.0 = exclusive,
                        false => parts.is_exclusive.1 = exclusive,
                    },
                    _ if self.draft == Draft::Draft4 => {
                        return Err(self.expected(place, keyword, value, "true or false"));
                    }
                    _ => {
                        let bound = Bound { value: self.number(place, keyword, value)?, exclusive: true };
                        match is_minimum {
                            true => raise(&mut parts.minimum, bound),
                            false => lower(&mut parts.maximum, bound),
                        }
                    }
                }
            }
            "multipleOf" => {
                let number = self.number(place, keyword, value)?;
                if number.is_negative() || number.is_zero() {
                    return Err(self.fault(place, keyword, "a number above 0 expected"));
                }
                number_of(schema).multiple_of.push(number);
            }
            "minLength" => string_of(schema).min = self.count(place, keyword, value)?,
            "maxLength" => shorten(string_of(schema), self.most(place, keyword, value)?),
            "pattern" => {
                let text = self.string(place, keyword, value)?;
                let term = self.pattern(place, keyword, text)?;
                string_of(schema).terms.push(term);
            }
            "format" => {
                let name = self.string(place, keyword, value)?;
                match self.format(name)? {
                    Some((term, max_length, narrowed)) => {
                        string_of(schema).terms.push(term);
                        shorten(string_of(schema), max_length);
                        if let Some(narrowed) = narrowed {
                            self.note(place, keyword, narrowed);
                        }
                    }
                    None => self.note(place, keyword, &format!("{name:.60} is an annotation: not enforced")),
                }
            }
            "properties" => {
                self.object(place, keyword, value)?;
                let mut properties = Vec::new();
                for (order, (name, value)) in document.members(value).enumerate() {
                    self.fuel.spend(1)?;
                    properties.push(DeclaredProperty {
                        name: name.into(),
                        schema: self.schema(value),
                        order: order as u32,
                    });
                }
                properties.sort_by(|a, b| a.name.cmp(&b.name));
                object_of(schema).properties = properties;
            }
            "patternProperties" => {
                self.object(place, keyword, value)?;
                for (pattern, value) in document.members(value) {
                    let term = self.pattern(place, keyword, pattern)?;
                    let value = self.schema(value);
                    object_of(schema).patterns.push((term, value));
                }
            }
            "additionalProperties" => object_of(schema).additional = self.schema(value),
            "propertyNames" => object_of(schema).names = self.schema(value),
            "required" => {
                self.array(place, keyword, value)?;
                let mut names: Vec<Box<str>> = Vec::new();
                for name in document.children(value) {
                    self.fuel.spend(1)?;
                    match document.value(name) {
                        Value::String(name) => names.push(name.into()),
                        _ => return Err(self.expected(place, keyword, name, "an array of strings")),
                    }
                }
                names.sort_unstable();
                if let Some((name, _)) = names.iter().zip(names.iter().skip(1)).find(|(a, b)| a == b) {
                    return Err(self.fault(place, keyword, format!("{name:?} is given more than once")));
                }
                object_of(schema).required = names;
            }
            "minProperties" => object_of(schema).min = self.count(place, keyword, value)?,
            "maxProperties" => object_of(schema).max = self.most(place, keyword, value)?,
            "items" => parts.items = Some(value),
            "additionalItems" => parts.additional_items = Some(value),
            "prefixItems" => {
                self.array(place, keyword, value)?;
                parts.prefix = Some(value);
            }
            "minItems" => array_of(schema).min = self.count(place, keyword, value)?,
            "maxItems" => array_of(schema).max = self.most(place, keyword, value)?,
            "uniqueItems" => match document.value(value) {
                Value::Boolean(true) => parts.unique = Some(value),
                Value::Boolean(false) => {}
                _ => return Err(self.expected(place, keyword, value, "true or false")),
            },
            "contains" => parts.contains = Some(value),
            "minContains" => parts.min_contains = Some(self.count(place, keyword, value)?),
            "maxContains" => parts.max_contains = Some(self.most(place, keyword, value)?),
            "allOf" | "anyOf" | "oneOf" => {
                self.array(place, keyword, value)?;
                let branches: Vec<SubschemaId> = document.children(value).map(|branch| self.schema(branch)).collect();
                self.fuel.spend(branches.len() as u64)?;
                match (keyword, branches.len()) {
                    (_, 0) => return Err(self.fault(place, keyword, "at least one schema expected")),
                    ("allOf", _) | (_, 1) => schema.all.extend(branches),
                    ("anyOf", _) => schema.any.push(branches),
                    (_, _) => schema.one.push(branches),
                }
            }
            "not" => match document.value(value) {
                Value::Boolean(false) => {}
                _ if self.is_anything(value) => schema.types = 0,
                _ => self.unsupported(place, keyword, "not enforced yet")?,
            },
            "if" => parts.condition = Some(value),
            "then" | "else" => parts.branches |= !self.is_anything(value),
            "dependencies" | "dependentRequired" | "dependentSchemas" => {
                self.object(place, keyword, value)?;
                let is_no_name = |of| document.value(of) == Value::Array && document.children(of).next().is_none();
                if !document.children(value).all(|of| is_no_name(of) || self.is_anything(of)) {
                    self.unsupported(place, keyword, "not enforced yet")?;
                }
            }
            "unevaluatedProperties" | "unevaluatedItems" if !self.is_anything(value) => {
                self.unsupported(place, keyword, "not enforced yet")?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What keywords say that are read together.
    fn together(&mut self, place: ValueId, schema: &mut Subschema, mut parts: Parts) -> Result<()> {
        let document = self.document;
        if let (Some(minimum), true) = (&mut parts.minimum, parts.is_exclusive.0) {
            minimum.exclusive = true;
        }
        if let (Some(maximum), true) = (&mut parts.maximum, parts.is_exclusive.1) {
            maximum.exclusive = true;
        }
        if parts.minimum.is_some() || parts.maximum.is_some() {
            let number = number_of(schema);
            (number.minimum, number.maximum) = (parts.minimum, parts.maximum);
        }
        let (mut prefix, mut rest, mut prefix_keyword) = (parts.prefix, parts.items, "prefixItems");
        if let Some(items) = parts.items.filter(|&items| document.value(items) == Value::Array) {
            if self.draft >= Draft::Draft2020 && (self.is_stated || prefix.is_some()) {
                return Err(self.fault(place, "items", "one schema expected: an array of schemas is prefixItems"));
            }
            (prefix, rest, prefix_keyword) = (Some(items), parts.additional_items, "items");
        }
        if let Some(prefix) = prefix {
            let items: Vec<SubschemaId> = document.children(prefix).map(|item| self.schema(item)).collect();
            self.fuel.spend(items.len() as u64)?;
            if items.len() > u32::MAX as usize {
                return Err(self.fault(place, prefix_keyword, "too many"));
            }
            array_of(schema).prefix = items;
        }
        if let Some(rest) = rest {
            array_of(schema).rest = self.schema(rest);
        }
        if parts.unique.is_some() && schema.array.as_ref().is_none_or(|array| array.max > 1) {
            self.unsupported(place, "uniqueItems", "not enforced yet")?;
        }
        if parts.contains.is_some() && (parts.min_contains != Some(0) || parts.max_contains.is_some()) {
            self.unsupported(place, "contains", "not enforced yet")?;
        }
        if parts.condition.is_some() && parts.branches {
            self.unsupported(place, "if", "not enforced yet")?;
        }
        Ok(())
    }

    fn reference(&mut self, place: ValueId, value: ValueId, schema: &mut Subschema) -> Result<()> {
        let reference = self.string(place, "$ref", value)?;
        self.fuel.spend(1 + reference.len() as u64 / 16)?;
        match self.references.find(self.document, place, reference) {
            Ok(target) => schema.all.push(self.schema(target)),
            Err(what) => return Err(self.fault(place, "$ref", what)),
        }
        Ok(())
    }

    fn types(&mut self, place: ValueId, value: ValueId, schema: &mut Subschema) -> Result<()> {
        let document = self.document;
        let names = match document.value(value) {
            Value::String(_) => vec![value],
            Value::Array => document.children(value).collect(),
            _ => return Err(self.expected(place, "type", value, "a string or an array of strings")),
        };
        if names.is_empty() {
            return Err(self.fault(place, "type", "at least one type expected"));
        }
        let (mut types, mut is_integer): (Types, bool) = (0, false);
        for name in names {
            let Value::String(name) = document.value(name) else {
                return Err(self.expected(place, "type", name, "a string or an array of strings"));
            };
            types |= match name {
                "null" => NULL,
                "boolean" => FALSE | TRUE,
                "number" => NUMBER,
                "integer" => 0,
                "string" => STRING,
                "object" => OBJECT,
                "array" => ARRAY,
                _ => {
                    let known = "null, boolean, number, integer, string, object or array";
                    return Err(self.fault(place, "type", format!("{known} expected, not {name:.60?}")));
                }
            };
            is_integer |= name == "integer";
        }
        if is_integer && types & NUMBER == 0 {
            types |= NUMBER;
            let number = number_of(schema);
            (number.integer, number.digits_only) = (true, self.draft == Draft::Draft4);
        }
        schema.types &= types;
        Ok(())
    }

    /// Schemas of which each value is one of exactly one.
    fn values(&mut self, place: ValueId, keyword: &str, values: &[ValueId]) -> Result<Vec<SubschemaId>> {
        let mut branches = Vec::new();
        let mut scalars = Subschema { types: 0, ..Subschema::default() };
        for &value in values {
            self.fuel.spend(1)?;
            match self.document.value(value) {
                Value::Array | Value::Object => branches.push(self.composite(place, keyword, value)?),
                _ => self.scalar(place, keyword, value, &mut scalars)?,
            }
        }
        if let Some(values) = &mut scalars.values {
            values.words.sort_unstable();
            values.words.dedup();
            values.numbers.sort_unstable();
            values.numbers.dedup();
        }
        if scalars.types != 0 {
            let id = self.schemas.add(place);
            self.schemas.set(id, scalars);
            branches.push(id);
        }
        if branches.is_empty() {
            branches.push(NEVER);
        }
        Ok(branches)
    }

    fn scalar(&mut self, place: ValueId, keyword: &str, value: ValueId, schema: &mut Subschema) -> Result<()> {
        match self.document.value(value) {
            Value::Null => schema.types |= NULL,
            Value::Boolean(false) => schema.types |= FALSE,
            Value::Boolean(true) => schema.types |= TRUE,
            Value::Number(text) => {
                let number = self.at(place, keyword, Decimal::parse(text))?;
                schema.types |= NUMBER;
                schema.values.get_or_insert_default().numbers.push(number);
            }
            Value::String(text) => {
                schema.types |= STRING;
                schema.values.get_or_insert_default().words.push(text.into());
            }
            Value::Array | Value::Object => {}
        }
        Ok(())
    }

    /// The schema of one array or object, in whatever order and spelling.
    fn composite(&mut self, place: ValueId, keyword: &str, value: ValueId) -> Result<SubschemaId> {
        let document = self.document;
        let root = self.schemas.add(value);
        let mut todo = vec![(root, value)];
        while let Some((id, value)) = todo.pop() {
            self.fuel.spend(1)?;
            let mut schema = Subschema { types: 0, ..Subschema::default() };
            let children: Vec<(SubschemaId, ValueId)> =
                document.children(value).map(|child| (self.schemas.add(child), child)).collect();
            match document.value(value) {
                Value::Array => {
                    let prefix: Vec<SubschemaId> = children.iter().map(|child| child.0).collect();
                    let n = prefix.len() as u32;
                    schema.types = ARRAY;
                    schema.array = Some(Box::new(ArrayAssertions { prefix, rest: NEVER, min: n, max: n }));
                }
                Value::Object => {
                    let property = |(order, &(schema, child)): (usize, &(SubschemaId, ValueId))| DeclaredProperty {
                        name: document.name(child).into(),
                        schema,
                        order: order as u32,
                    };
                    let mut properties: Vec<_> = children.iter().enumerate().map(property).collect();
                    properties.sort_by(|a, b| a.name.cmp(&b.name));
                    schema.types = OBJECT;
                    let object = object_of(&mut schema);
                    object.required = properties.iter().map(|property| property.name.clone()).collect();
                    (object.properties, object.additional) = (properties, NEVER);
                }
                _ => self.scalar(place, keyword, value, &mut schema)?,
            }
            self.schemas.set(id, schema);
            todo.extend(children);
        }
        Ok(root)
    }

    fn string(&self, place: ValueId, keyword: &str, value: ValueId) -> Result<&'a str> {
        match self.document.value(value) {
            Value::String(text) => Ok(text),
            _ => Err(self.expected(place, keyword, value, "a string")),
        }
    }

    fn array(&self, place: ValueId, keyword: &str, value: ValueId) -> Result<()> {
        match self.document.value(value) {
            Value::Array => Ok(()),
            _ => Err(self.expected(place, keyword, value, "an array")),
        }
    }

    fn object(&self, place: ValueId, keyword: &str, value: ValueId) -> Result<()> {
        match self.document.value(value) {
            Value::Object => Ok(()),
            _ => Err(self.expected(place, keyword, value, "an object")),
        }
    }

    fn number(&self, place: ValueId, keyword: &str, value: ValueId) -> Result<Decimal> {
        match self.document.value(value) {
            Value::Number(text) => self.at(place, keyword, Decimal::parse(text)),
            _ => Err(self.expected(place, keyword, value, "a number")),
        }
    }

    /// A count; one beyond all that can be counted stays there.
    fn count(&self, place: ValueId, keyword: &str, value: ValueId) -> Result<u32> {
        let number = self.number(place, keyword, value)?;
        if number.is_negative() || !number.is_integer() {
            return Err(self.fault(place, keyword, "an integer of at least 0 expected"));
        }
        // Integers of more digits than ten are beyond.
        let beyond = Decimal::parse("4294967294")?;
        if number >= beyond {
            return Ok(UNBOUNDED - 1);
        }
        let (mut low, mut high) = (0u32, UNBOUNDED - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match Decimal::parse(&middle.to_string())? < number {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    /// A greatest count; one beyond all that can be counted is none.
    fn most(&self, place: ValueId, keyword: &str, value: ValueId) -> Result<u32> {
        Ok(match self.count(place, keyword, value)? {
            count if count == UNBOUNDED - 1 => UNBOUNDED,
            count => count,
        })
    }

    fn pattern(&mut self, place: ValueId, keyword: &str, text: &'a str) -> Result<TermId> {
        if let Some(&term) = self.patterns.get(text) {
            return Ok(term);
        }
        let term = regex::parse(text, Dialect::Ecma, Anchored::Search, self.terms, self.fuel);
        let term = self.at(place, keyword, term)?;
        self.patterns.insert(text, term);
        Ok(term)
    }

    fn format(&mut self, name: &'a str) -> Result<Option<FormatTerm>> {
        if let Some(&term) = self.formats.get(name) {
            return Ok(term);
        }
        let term = format::term(name, self.terms, self.fuel)?.map(|f| (f.term, f.max_length, f.narrowed));
        self.formats.insert(name, term);
        Ok(term)
    }
}

/// The first draft that has the keyword, of those that not all have.
fn since(keyword: &str) -> Option<Draft> {
    Some(match keyword {
        "const" | "contains" | "propertyNames" => Draft::Draft6,
        "if" | "then" | "else" => Draft::Draft7,
        "$anchor"
        | "$recursiveRef"
        | "$dynamicRef"
        | "dependentRequired"
        | "dependentSchemas"
        | "maxContains"
        | "minContains"
        | "unevaluatedItems"
        | "unevaluatedProperties" => Draft::Draft2019,
        "prefixItems" => Draft::Draft2020,
        _ => return None,
    })
}

/// The stricter of two least values.
pub(super) fn raise(bound: &mut Option<Bound>, other: Bound) {
    let is_stricter = |bound: &Bound| (&other.value, other.exclusive) > (&bound.value, bound.exclusive);
    if bound.as_ref().is_none_or(is_stricter) {
        *bound = Some(other);
    }
}

/// The stricter of two greatest values.
pub(super) fn lower(bound: &mut Option<Bound>, other: Bound) {
    let is_stricter = |bound: &Bound| (&other.value, !other.exclusive) < (&bound.value, !bound.exclusive);
    if bound.as_ref().is_none_or(is_stricter) {
        *bound = Some(other);
    }
}

fn number_of(schema: &mut Subschema) -> &mut NumberSpec {
    schema.number.get_or_insert_default()
}

fn string_of(schema: &mut Subschema) -> &mut StringAssertions {
    schema.string.get_or_insert_with(|| Box::new(StringAssertions { min: 0, max: UNBOUNDED, terms: Vec::new() }))
}

fn shorten(string: &mut StringAssertions, max: u32) {
    string.max = string.max.min(max);
}

fn array_of(schema: &mut Subschema) -> &mut ArrayAssertions {
    let any = ArrayAssertions { prefix: Vec::new(), rest: ANYTHING, min: 0, max: UNBOUNDED };
    schema.array.get_or_insert_with(|| Box::new(any))
}

fn object_of(schema: &mut Subschema) -> &mut ObjectAssertions {
    schema.object.get_or_insert_with(|| {
        Box::new(ObjectAssertions {
            properties: Vec::new(),
            patterns: Vec::new(),
            additional: ANYTHING,
            required: Vec::new(),
            names: ANYTHING,
            min: 0,
            max: UNBOUNDED,
        })
    })
}
