//! A JSON Schema as what the JSON machine reads: of each place in a text, the alternatives of one type each that a value
//! there may be. Compiled once, whole, and never changed: whatever cannot be enforced, and whatever has no value, is an
//! error here and not later. Reading the keywords is `load`'s, the normal form `normal`'s; bytes and masks are not known here.

mod compile;
mod draft;
mod inhabited;
mod keys;
mod load;
mod normal;
mod reference;
mod subschema;
#[cfg(test)]
mod tests;

use crate::error::Result;
pub use crate::grammar::number::Spelling;
use crate::grammar::term::TermId;
use crate::grammar::terminal::Terminals;
use crate::grammar::trie::TrieId;
use crate::limits::Fuel;

/// A place in a text: a conjunction of schemas, and with it the alternatives of a value there.
pub type NodeId = u32;
/// An alternative, in `Schema::alternative`.
pub type AlternativeId = u32;
/// An object, in `Schema::object`.
pub type ObjectId = u32;
/// An array, in `Schema::array`.
pub type ArrayId = u32;

/// No bound on a count.
pub const UNBOUNDED: u32 = u32::MAX;
/// The `order` of a property that no `properties` declares.
pub const NO_ORDER: u32 = u32::MAX;

/// Values of one type that are read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Alternative {
    /// `null`.
    Null,
    /// `false` or `true`.
    Boolean(bool),
    /// The numbers whose text is in this language.
    Number(TermId),
    /// The strings of `min` to `max` code points whose text, escapes read, is in this language.
    String {
        /// The language.
        term: TermId,
        /// The least number of code points.
        min: u32,
        /// The greatest number of code points; `UNBOUNDED`: any.
        max: u32,
    },
    /// The strings of a finite set.
    Words(TrieId),
    /// The objects of this kind.
    Object(ObjectId),
    /// The arrays of this kind.
    Array(ArrayId),
}

/// A key of an object that is known by its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Property {
    /// The key.
    pub name: Box<str>,
    /// Its value. Without alternatives: the key may not be there.
    pub node: NodeId,
    /// Whether it must be there.
    pub required: bool,
    /// Its place among the schema's own `properties`; `NO_ORDER` if it is not one of them.
    pub order: u32,
}

/// Keys that are known by a language: all other keys whose text is in `term`, of which there are infinitely many or too
/// many to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Additional {
    /// The language. It may hold names of properties too: those are the property's.
    pub term: TermId,
    /// The value of such a key; it has alternatives.
    pub node: NodeId,
}

/// Objects of one kind. They have at least one value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Object {
    /// By name, ascending by bytes; the names that are required are all here.
    pub properties: Vec<Property>,
    /// Languages that have no text in common but names of properties. A key in none of them that is no property either may
    /// not be there; no languages: only properties may be.
    pub additional: Vec<Additional>,
    /// The least number of keys; as many usable keys exist.
    pub min_properties: u32,
    /// The greatest number of keys; `UNBOUNDED`: any. The required keys fit.
    pub max_properties: u32,
}

impl Object {
    /// The property of this name.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.binary_search_by(|p| (*p.name).cmp(name)).ok().and_then(|i| self.properties.get(i))
    }

    /// Whether keys that are no properties may be there.
    pub fn is_open(&self) -> bool {
        !self.additional.is_empty()
    }
}

/// Arrays of one kind. They have at least one value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Array {
    /// The first items, one node each; every one of them has alternatives.
    pub prefix: Vec<NodeId>,
    /// All other items; it has alternatives if `max` is beyond the prefix.
    pub rest: NodeId,
    /// The least number of items.
    pub min: u32,
    /// The greatest number of items; `UNBOUNDED`: any.
    pub max: u32,
}

impl Array {
    /// The node of the item at this index.
    pub fn item(&self, index: u32) -> NodeId {
        self.prefix.get(index as usize).copied().unwrap_or(self.rest)
    }
}

/// In which order the keys of an object may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PropertyOrder {
    /// Any.
    #[default]
    Any,
    /// That of the schema's `properties`.
    Schema,
}

/// What to do about a keyword that cannot be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unsupported {
    /// It is an error.
    #[default]
    Error,
    /// It is left out, with a note.
    Ignore,
}

/// How a schema is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaOptions {
    /// Which spellings of numbers may be written.
    pub spelling: Spelling,
    /// In which order keys may come: the machine's to keep, by `Property::order`.
    pub property_order: PropertyOrder,
    /// What to do about a keyword that cannot be enforced.
    pub unsupported: Unsupported,
}

impl Default for SchemaOptions {
    fn default() -> Self {
        let (property_order, unsupported) = (PropertyOrder::default(), Unsupported::default());
        Self { spelling: Spelling::Any, property_order, unsupported }
    }
}

/// Something in a schema that is not enforced, or not as widely as it could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The JSON Pointer of the schema it stands in, as a fragment: `#/properties/a`.
    pub pointer: String,
    /// The keyword.
    pub keyword: String,
    /// What became of it.
    pub what: String,
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Where its alternatives end in `members`; they begin where the node before ends.
    end: u32,
}

/// A compiled schema. It has at least one value.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    root: NodeId,
    nodes: Vec<Node>,
    members: Vec<AlternativeId>,
    alternatives: Vec<Alternative>,
    objects: Vec<Object>,
    arrays: Vec<Array>,
    /// What is not enforced, or not as widely as it could be.
    pub relaxed: Vec<Note>,
}

const NO_OBJECT: &Object =
    &Object { properties: Vec::new(), additional: Vec::new(), min_properties: 0, max_properties: 0 };
const NO_ARRAY: &Array = &Array { prefix: Vec::new(), rest: 0, min: 0, max: 0 };

/// Compile a JSON Schema. `Error::Schema` names the part that is broken, that has no value or that cannot be enforced,
/// `Error::Grammar` the byte that is not JSON.
pub fn compile(text: &[u8], options: &SchemaOptions, terminals: &mut Terminals, fuel: &mut Fuel) -> Result<Schema> {
    compile::compile(text, options, &mut terminals.terms, &mut terminals.tries, fuel)
}

/// What a text that is JSON may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JsonKind {
    /// Any value.
    #[default]
    Any,
    /// An object of any keys and values.
    Object,
    /// An array of any values.
    Array,
}

/// JSON without a schema.
pub fn any_json(kind: JsonKind, spelling: Spelling, terminals: &mut Terminals, fuel: &mut Fuel) -> Result<Schema> {
    let text: &[u8] = match kind {
        JsonKind::Any => b"true",
        JsonKind::Object => br#"{"type": "object"}"#,
        JsonKind::Array => br#"{"type": "array"}"#,
    };
    compile(text, &SchemaOptions { spelling, ..SchemaOptions::default() }, terminals, fuel)
}

impl Schema {
    /// The whole text's value.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// How many nodes there are; they are numbered from 0.
    pub fn nodes(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// What a value there may be: each alternative has a value. None: there may be no value there.
    #[inline]
    pub fn alternatives(&self, node: NodeId) -> &[AlternativeId] {
        let node = node as usize;
        let end = |i: usize| self.nodes.get(i).map_or(0, |node| node.end as usize);
        let start = node.checked_sub(1).map_or(0, end);
        self.members.get(start..end(node)).unwrap_or(&[])
    }

    /// An alternative by its number.
    #[inline]
    pub fn alternative(&self, id: AlternativeId) -> Alternative {
        self.alternatives.get(id as usize).copied().unwrap_or(Alternative::Null)
    }

    /// All objects, by their number.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// An object by its number.
    #[inline]
    pub fn object(&self, id: ObjectId) -> &Object {
        self.objects.get(id as usize).unwrap_or(NO_OBJECT)
    }

    /// All arrays, by their number.
    pub fn arrays(&self) -> &[Array] {
        &self.arrays
    }

    /// An array by its number.
    #[inline]
    pub fn array(&self, id: ArrayId) -> &Array {
        self.arrays.get(id as usize).unwrap_or(NO_ARRAY)
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        let objects = self.objects.iter().map(|o| {
            size_of::<Object>()
                + o.properties.iter().map(|p| size_of::<Property>() + p.name.len()).sum::<usize>()
                + size_of_val(o.additional.as_slice())
        });
        let arrays = self.arrays.iter().map(|a| size_of::<Array>() + size_of_val(a.prefix.as_slice()));
        objects.sum::<usize>()
            + arrays.sum::<usize>()
            + size_of_val(self.nodes.as_slice())
            + size_of_val(self.members.as_slice())
            + size_of_val(self.alternatives.as_slice())
    }
}
