//! The schemas of a document as the keywords say them, each once: those that say the same are one. What they come to
//! together is `normal`'s.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::error::Result;
use crate::grammar::number::{Decimal, NumberSpec};
use crate::grammar::reader::ValueId;
use crate::grammar::term::TermId;
use crate::limits::Fuel;

pub(super) type SubschemaId = u32;

/// No value.
pub(super) const NEVER: SubschemaId = 0;
/// Any value.
pub(super) const ANYTHING: SubschemaId = 1;

/// A set of types; the booleans are two, as they are two alternatives.
pub(super) type Types = u8;
pub(super) const NULL: Types = 1;
pub(super) const FALSE: Types = 2;
pub(super) const TRUE: Types = 4;
pub(super) const NUMBER: Types = 8;
pub(super) const STRING: Types = 16;
pub(super) const OBJECT: Types = 32;
pub(super) const ARRAY: Types = 64;
pub(super) const ALL_TYPES: Types = 127;

/// Strings and numbers of an `enum`, each sorted and once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Values {
    pub(super) words: Vec<Box<str>>,
    pub(super) numbers: Vec<Decimal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StringAssertions {
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) terms: Vec<TermId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DeclaredProperty {
    pub(super) name: Box<str>,
    pub(super) schema: SubschemaId,
    /// Its place among the `properties`.
    pub(super) order: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ObjectAssertions {
    /// By name.
    pub(super) properties: Vec<DeclaredProperty>,
    pub(super) patterns: Vec<(TermId, SubschemaId)>,
    pub(super) additional: SubschemaId,
    /// Sorted.
    pub(super) required: Vec<Box<str>>,
    pub(super) names: SubschemaId,
    pub(super) min: u32,
    pub(super) max: u32,
}

impl ObjectAssertions {
    pub(super) fn property(&self, name: &str) -> Option<&DeclaredProperty> {
        self.properties.binary_search_by(|p| (*p.name).cmp(name)).ok().and_then(|i| self.properties.get(i))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ArrayAssertions {
    pub(super) prefix: Vec<SubschemaId>,
    pub(super) rest: SubschemaId,
    pub(super) min: u32,
    pub(super) max: u32,
}

/// One schema. The default is any value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subschema {
    pub(super) types: Types,
    pub(super) values: Option<Box<Values>>,
    pub(super) number: Option<Box<NumberSpec>>,
    pub(super) string: Option<Box<StringAssertions>>,
    pub(super) object: Option<Box<ObjectAssertions>>,
    pub(super) array: Option<Box<ArrayAssertions>>,
    /// A value must be one of each of these too: `allOf`, `$ref`.
    pub(super) all: Vec<SubschemaId>,
    /// And of each of these groups one of at least one.
    pub(super) any: Vec<Vec<SubschemaId>>,
    /// And of each of these groups one of exactly one.
    pub(super) one: Vec<Vec<SubschemaId>>,
}

impl Default for Subschema {
    fn default() -> Self {
        let (values, number, string, object, array) = (None, None, None, None, None);
        let (all, any, one) = (Vec::new(), Vec::new(), Vec::new());
        Self { types: ALL_TYPES, values, number, string, object, array, all, any, one }
    }
}

impl Subschema {
    /// Whether its own assertions say something about values of this one type that allowing the type does not.
    pub(super) fn asserts(&self, kind: Types) -> bool {
        match kind {
            NUMBER => self.number.is_some() || self.values.is_some(),
            STRING => self.string.is_some() || self.values.is_some(),
            OBJECT => self.object.is_some(),
            ARRAY => self.array.is_some(),
            _ => false,
        }
    }

    fn is_reference(&self) -> Option<SubschemaId> {
        let &[target] = self.all.as_slice() else { return None };
        let says = self.types != ALL_TYPES || self.any.len() + self.one.len() > 0;
        let asserts = [NUMBER, STRING, OBJECT, ARRAY].iter().any(|&kind| self.asserts(kind));
        (!says && !asserts).then_some(target)
    }

    /// The schemas of the same value.
    fn in_place(&self) -> impl Iterator<Item = SubschemaId> + '_ {
        self.all.iter().chain(self.any.iter().flatten()).chain(self.one.iter().flatten()).copied()
    }

    fn children_mut(&mut self) -> impl Iterator<Item = &mut SubschemaId> {
        let object = self.object.iter_mut().flat_map(|object| {
            let ObjectAssertions { properties, patterns, additional, names, .. } = &mut **object;
            let properties = properties.iter_mut().map(|property| &mut property.schema);
            properties.chain(patterns.iter_mut().map(|pattern| &mut pattern.1)).chain([additional, names])
        });
        let array = self.array.iter_mut().flat_map(|array| array.prefix.iter_mut().chain([&mut array.rest]));
        let groups = self.any.iter_mut().flatten().chain(self.one.iter_mut().flatten());
        self.all.iter_mut().chain(groups).chain(object).chain(array)
    }

    /// Leave out what says nothing.
    fn tidy(&mut self) {
        self.all.retain(|&schema| schema != ANYTHING);
        self.all.sort_unstable();
        self.all.dedup();
        for group in &mut self.any {
            group.retain(|&branch| branch != NEVER);
            group.sort_unstable();
            group.dedup();
        }
        self.any.retain(|group| !group.contains(&ANYTHING));
        let is_bare = |o: &ObjectAssertions| {
            o.properties.is_empty() && o.patterns.is_empty() && o.required.is_empty() && o.min == 0 && o.max == u32::MAX
        };
        if self.object.as_ref().is_some_and(|o| is_bare(o) && o.additional == ANYTHING && o.names == ANYTHING) {
            self.object = None;
        }
        let says = |a: &ArrayAssertions| !a.prefix.is_empty() || a.rest != ANYTHING || a.min > 0 || a.max < u32::MAX;
        self.array = self.array.take().filter(|array| says(array));
        self.string =
            self.string.take().filter(|string| !string.terms.is_empty() || string.min > 0 || string.max < u32::MAX);
        self.number = self.number.take().filter(|number| **number != NumberSpec::default());
    }
}

/// What is known of a schema whatever else is asked of the value.
#[derive(Debug, Clone, Copy)]
struct Outline {
    /// Types of which it may have values; of others it has none.
    possible: Types,
    /// Types of which every value is one of its.
    free: Types,
    /// Whether it may come back to itself at the same value.
    is_cyclic: bool,
}

/// All schemas of a document.
pub(super) struct Subschemas {
    schemas: Vec<Subschema>,
    places: Vec<ValueId>,
    outlines: Vec<Outline>,
}

impl Subschemas {
    pub(super) fn new(root: ValueId) -> Self {
        let never = Subschema { types: 0, ..Subschema::default() };
        let unknown = Outline { possible: ALL_TYPES, free: 0, is_cyclic: false };
        Self {
            schemas: vec![never, Subschema::default()],
            places: vec![root; 2],
            outlines: vec![Outline { possible: 0, ..unknown }, Outline { free: ALL_TYPES, ..unknown }],
        }
    }

    /// A schema that is still to be read from there.
    pub(super) fn add(&mut self, place: ValueId) -> SubschemaId {
        self.schemas.push(Subschema::default());
        self.places.push(place);
        self.outlines.push(Outline { possible: ALL_TYPES, free: 0, is_cyclic: false });
        self.schemas.len() as SubschemaId - 1
    }

    pub(super) fn set(&mut self, id: SubschemaId, schema: Subschema) {
        if let Some(slot) = self.schemas.get_mut(id as usize) {
            *slot = schema;
        }
    }

    pub(super) fn get(&self, id: SubschemaId) -> &Subschema {
        static NEVER: Subschema = Subschema {
            types: 0,
            values: None,
            number: None,
            string: None,
            object: None,
            array: None,
            all: Vec::new(),
            any: Vec::new(),
            one: Vec::new(),
        };
        self.schemas.get(id as usize).unwrap_or(&NEVER)
    }

    /// Where in the document it stands, or the first that says the same.
    pub(super) fn place(&self, id: SubschemaId) -> ValueId {
        self.places.get(id as usize).copied().unwrap_or(0)
    }

    /// Types of which it may have values.
    pub(super) fn possible(&self, id: SubschemaId) -> Types {
        self.outlines.get(id as usize).map_or(0, |outline| outline.possible)
    }

    /// Types of which every value is one of its.
    pub(super) fn free(&self, id: SubschemaId) -> Types {
        self.outlines.get(id as usize).map_or(0, |outline| outline.free)
    }

    /// Whether it may come back to itself at the same value.
    pub(super) fn is_cyclic(&self, id: SubschemaId) -> bool {
        self.outlines.get(id as usize).is_some_and(|outline| outline.is_cyclic)
    }

    /// What a chain of references that say nothing else ends at. Without an end: no value.
    fn ends_of_references(&self, fuel: &mut Fuel) -> Result<Vec<SubschemaId>> {
        const UNKNOWN: SubschemaId = SubschemaId::MAX;
        let mut ends = vec![UNKNOWN; self.schemas.len()];
        let mut path = Vec::new();
        for start in 0..self.schemas.len() {
            path.clear();
            let mut at = start;
            let end = loop {
                fuel.spend(1)?;
                if let Some(&end) = ends.get(at).filter(|&&end| end != UNKNOWN) {
                    break end;
                }
                match self.get(at as SubschemaId).is_reference() {
                    None => break at as SubschemaId,
                    Some(target) => {
                        path.push(at);
                        // Met again before its end is known, it is on this path.
                        if let Some(slot) = ends.get_mut(at) {
                            *slot = NEVER;
                        }
                        at = target as usize;
                    }
                }
            };
            for &at in &path {
                if let Some(slot) = ends.get_mut(at) {
                    *slot = end;
                }
            }
            if let Some(slot) = ends.get_mut(start) {
                *slot = end;
            }
        }
        Ok(ends)
    }

    /// Make those one that say the same, as far as `root` reaches, and outline them. Returns what `root` has become.
    pub(super) fn unify(&mut self, root: SubschemaId, fuel: &mut Fuel) -> Result<SubschemaId> {
        let ends = self.ends_of_references(fuel)?;
        let end = |id: SubschemaId| ends.get(id as usize).copied().unwrap_or(NEVER);
        let hasher = RandomState::new();
        let mut by_hash: HashMap<u64, Vec<SubschemaId>> = HashMap::new();
        const UNSEEN: SubschemaId = SubschemaId::MAX;
        const OPEN: SubschemaId = SubschemaId::MAX - 1;
        let mut one_of = vec![UNSEEN; self.schemas.len()];
        for id in [NEVER, ANYTHING] {
            by_hash.entry(hasher.hash_one(self.get(id))).or_default().push(id);
            if let Some(slot) = one_of.get_mut(id as usize) {
                *slot = id;
            }
        }
        let root = end(root);
        let mut order = Vec::new();
        let mut stack = vec![(root, false)];
        while let Some((id, is_finished)) = stack.pop() {
            let known = one_of.get(id as usize).copied().unwrap_or(NEVER);
            if !is_finished {
                if known != UNSEEN {
                    continue;
                }
                if let Some(slot) = one_of.get_mut(id as usize) {
                    *slot = OPEN;
                }
                stack.push((id, true));
                if let Some(schema) = self.schemas.get_mut(id as usize) {
                    for child in schema.children_mut() {
                        fuel.spend(1)?;
                        *child = end(*child);
                        stack.push((*child, false));
                    }
                }
                continue;
            }
            if let Some(schema) = self.schemas.get_mut(id as usize) {
                for child in schema.children_mut() {
                    let known = one_of.get(*child as usize).copied().unwrap_or(NEVER);
                    if known != UNSEEN && known != OPEN {
                        *child = known;
                    }
                }
                schema.tidy();
            }
            let schema = self.get(id);
            // What came to any value, and what came to a reference alone.
            let same = schema.is_reference().filter(|&target| one_of.get(target as usize).is_some_and(|&s| s < OPEN));
            let bucket = by_hash.entry(hasher.hash_one(schema)).or_default();
            let same = same.or_else(|| bucket.iter().copied().find(|&other| self.get(other) == schema));
            if same.is_none() {
                bucket.push(id);
                order.push(id);
            }
            if let Some(slot) = one_of.get_mut(id as usize) {
                *slot = same.unwrap_or(id);
            }
        }
        // Those met while they were open may have become another.
        for &id in &order {
            if let Some(schema) = self.schemas.get_mut(id as usize) {
                for child in schema.children_mut() {
                    *child = one_of.get(*child as usize).copied().filter(|&s| s < OPEN).unwrap_or(NEVER);
                }
            }
            let (possible, free) = self.outline(id);
            if let Some(outline) = self.outlines.get_mut(id as usize) {
                (outline.possible, outline.free) = (possible, free);
            }
        }
        self.mark_cycles(&order, fuel)?;
        Ok(one_of.get(root as usize).copied().unwrap_or(NEVER))
    }

    fn outline(&self, id: SubschemaId) -> (Types, Types) {
        let schema = self.get(id);
        let (mut possible, mut free) = (schema.types, schema.types);
        for kind in [NUMBER, STRING, OBJECT, ARRAY] {
            if schema.asserts(kind) {
                free &= !kind;
            }
        }
        for &part in &schema.all {
            possible &= self.possible(part);
            free &= self.free(part);
        }
        for group in schema.any.iter().chain(&schema.one) {
            possible &= group.iter().fold(0, |types, &branch| types | self.possible(branch));
        }
        for group in &schema.any {
            free &= group.iter().fold(0, |types, &branch| types | self.free(branch));
        }
        // Whether exactly one is met is still to be seen.
        if !schema.one.is_empty() {
            free = 0;
        }
        (possible, free)
    }

    /// All but those that no cycle leads to, or that lead to none.
    fn mark_cycles(&mut self, order: &[SubschemaId], fuel: &mut Fuel) -> Result<()> {
        for id in order.iter().copied() {
            if let Some(outline) = self.outlines.get_mut(id as usize) {
                outline.is_cyclic = true;
            }
        }
        let mut before: HashMap<SubschemaId, Vec<SubschemaId>> = HashMap::new();
        let mut after: HashMap<SubschemaId, Vec<SubschemaId>> = HashMap::new();
        for &id in order {
            for part in self.get(id).in_place().filter(|&part| self.is_cyclic(part)) {
                fuel.spend(1)?;
                before.entry(part).or_default().push(id);
                after.entry(id).or_default().push(part);
            }
        }
        for (leads, follows) in [(&after, &before), (&before, &after)] {
            let still = |schemas: &Self, id: SubschemaId| {
                leads.get(&id).map_or(0, |ids| ids.iter().filter(|&&id| schemas.is_cyclic(id)).count())
            };
            let mut left: HashMap<SubschemaId, usize> =
                order.iter().filter(|&&id| self.is_cyclic(id)).map(|&id| (id, still(self, id))).collect();
            let mut todo: Vec<SubschemaId> = left.iter().filter(|&(_, &n)| n == 0).map(|(&id, _)| id).collect();
            while let Some(id) = todo.pop() {
                fuel.spend(1)?;
                if let Some(outline) = self.outlines.get_mut(id as usize) {
                    outline.is_cyclic = false;
                }
                for &other in follows.get(&id).into_iter().flatten() {
                    if let Some(n) = left.get_mut(&other) {
                        *n = n.saturating_sub(1);
                        if *n == 0 {
                            todo.push(other);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
