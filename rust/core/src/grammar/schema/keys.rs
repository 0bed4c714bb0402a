//! The keys of an object of which several schemas say something: those known by their text, and for all others disjoint
//! languages, with the conjunction that each key's value must meet.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::normal::Normal;
use super::subschema::{ANYTHING, NEVER, ObjectAssertions, SubschemaId};
use super::{Additional, NO_ORDER, NodeId, Object, Property, UNBOUNDED};
use crate::error::Result;
use crate::grammar::alternatives::Alternatives;
use crate::grammar::term::{TermId, Terms};
use crate::limits::{Limits, within};

/// A language of keys of at most this many is taken apart into keys known by their text.
const FEW_TEXTS: usize = 256;

/// The keys that `propertyNames` allows.
struct Names {
    words: BTreeSet<Box<str>>,
    term: TermId,
}

/// Of the keys that match just these patterns, their language.
struct Part {
    matches: Alternatives,
    term: TermId,
}

impl Normal<'_> {
    /// The objects that all of these schemas allow, whether or not the values have values.
    pub(super) fn object(&mut self, leaves: &[SubschemaId]) -> Result<Option<Object>> {
        let schemas = self.schemas;
        let mut parts: Vec<(u32, &ObjectAssertions)> = Vec::with_capacity(leaves.len());
        for &leaf in leaves {
            parts.extend(schemas.get(leaf).object.as_deref().map(|object| (schemas.place(leaf), object)));
        }
        // In the order of the text, so that properties are.
        parts.sort_by_key(|part| part.0);
        let parts: Vec<&ObjectAssertions> = parts.into_iter().map(|part| part.1).collect();
        let min = parts.iter().map(|part| part.min).max().unwrap_or(0);
        let max = parts.iter().map(|part| part.max).min().unwrap_or(UNBOUNDED);
        let required: BTreeSet<&str> = parts.iter().flat_map(|part| &part.required).map(|name| &**name).collect();
        self.fuel.spend(4 + required.len() as u64)?;
        if min > max || required.len() > max as usize {
            return Ok(None);
        }
        if max == 0 {
            return Ok(Some(Object::default()));
        }
        let mut orders: HashMap<&str, u32> = HashMap::new();
        for part in &parts {
            let mut properties: Vec<_> = part.properties.iter().map(|p| (p.order, &*p.name)).collect();
            properties.sort_unstable();
            for (_, name) in properties {
                self.fuel.spend(4)?;
                let order = orders.len() as u32;
                orders.entry(name).or_insert(order);
            }
        }
        let mut patterns: Vec<TermId> = parts.iter().flat_map(|part| &part.patterns).map(|pattern| pattern.0).collect();
        patterns.sort_unstable();
        patterns.dedup();
        let names = self.names(&parts)?;
        if names.as_ref().is_some_and(|names| names.words.is_empty() && names.term == Terms::EMPTY) {
            return Ok((required.is_empty() && min == 0).then(Object::default));
        }

        let mut declared: BTreeSet<Box<str>> = orders.keys().copied().map(Box::from).collect();
        declared.extend(required.iter().copied().map(Box::from));
        declared.extend(names.iter().flat_map(|names| names.words.iter().cloned()));
        let few = FEW_TEXTS.max(min as usize).saturating_add(declared.len());
        let mut infinite = Vec::new();
        for &pattern in &patterns {
            match self.terms.texts(pattern, few, self.fuel)? {
                Some(texts) => declared.extend(texts.into_iter().map(Box::from)),
                None => infinite.push(pattern),
            }
        }
        let languages = self.languages(&parts, &infinite, names.as_ref(), few, &mut declared)?;

        let mut properties = Vec::with_capacity(declared.len());
        for name in declared {
            self.fuel.spend(8 + 2 * parts.len() as u64)?;
            let is_required = required.contains(&*name);
            let value = match &names {
                Some(names) if !names.words.contains(&name) && !self.terms.matches(names.term, &name, self.fuel)? => {
                    vec![NEVER]
                }
                _ => self.value_of(&parts, &name)?,
            };
            let node = self.node(value);
            let order = orders.get(&*name).copied().unwrap_or(NO_ORDER);
            properties.push(Property { name, node, required: is_required, order });
        }
        Ok(Some(Object { properties, additional: languages, min_properties: min, max_properties: max }))
    }

    /// What the value of a key must be, by its text.
    fn value_of(&mut self, parts: &[&ObjectAssertions], name: &str) -> Result<Vec<SubschemaId>> {
        let mut value = Vec::new();
        for part in parts {
            let declared = part.property(name);
            let mut is_declared = declared.is_some();
            value.extend(declared.map(|property| property.schema));
            for &(pattern, schema) in &part.patterns {
                if self.terms.matches(pattern, name, self.fuel)? {
                    is_declared = true;
                    value.push(schema);
                }
            }
            if !is_declared {
                value.push(part.additional);
            }
        }
        Ok(value)
    }

    /// None: any key.
    fn names(&mut self, parts: &[&ObjectAssertions]) -> Result<Option<Names>> {
        let elements: Vec<_> = parts.iter().map(|part| part.names).filter(|&names| names != ANYTHING).collect();
        if elements.is_empty() {
            return Ok(None);
        }
        let node = self.node(elements.clone());
        self.names.push(node);
        let strings = self.strings(&elements, &mut BTreeSet::new())?.unwrap_or_default();
        let mut terms = Vec::new();
        for (term, min, max) in strings.patterns {
            let length = self.terms.class(&[(0, char::MAX as u32)]);
            let length = self.terms.repeat(length, min, max);
            terms.push(self.terms.intersection(vec![term, length]));
        }
        Ok(Some(Names { words: strings.words, term: self.terms.alternation(terms) }))
    }

    /// Disjoint languages of the keys that are not declared. Those with few texts go to `declared`.
    fn languages(
        &mut self,
        parts: &[&ObjectAssertions],
        patterns: &[TermId],
        names: Option<&Names>,
        few: usize,
        declared: &mut BTreeSet<Box<str>>,
    ) -> Result<Vec<Additional>> {
        let most = Limits::DEFAULT.grammar_alternatives;
        within("grammar_alternatives", patterns.len(), most)?;
        let all = names.map_or(Terms::ANY, |names| names.term);
        let mut split = vec![Part { matches: Alternatives::NONE, term: all }];
        for (i, &pattern) in patterns.iter().enumerate() {
            let others = self.terms.complement(pattern);
            let mut next = Vec::with_capacity(2 * split.len());
            for Part { matches, term } in split {
                for (side, matches) in [(pattern, matches.or(Alternatives::one(i))), (others, matches)] {
                    self.fuel.spend(4)?;
                    let term = self.terms.intersection(vec![term, side]);
                    if self.terms.is_alive(term, 0, UNBOUNDED, self.fuel)? {
                        next.push(Part { matches, term });
                    }
                }
            }
            within("grammar_alternatives", next.len(), most)?;
            split = next;
        }
        let mut by_node: BTreeMap<NodeId, Vec<Part>> = BTreeMap::new();
        let mut feasible = Vec::new();
        for part in split {
            if part.term == Terms::EMPTY {
                continue;
            }
            if part.term != Terms::ANY
                && let Some(texts) = self.terms.texts(part.term, few, self.fuel)?
            {
                declared.extend(texts.into_iter().map(Box::from));
                continue;
            }
            let mut value = Vec::new();
            for assertions in parts {
                let mut is_declared = false;
                for &(pattern, schema) in &assertions.patterns {
                    self.fuel.spend(1)?;
                    let index = patterns.binary_search(&pattern);
                    if index.is_ok_and(|index| part.matches.contains(index)) {
                        is_declared = true;
                        value.push(schema);
                    }
                }
                if !is_declared {
                    value.push(assertions.additional);
                }
            }
            feasible.push(part.matches);
            if !value.contains(&NEVER) {
                by_node.entry(self.node(value)).or_default().push(part);
            }
        }
        let mut found = Vec::with_capacity(by_node.len());
        for (node, group) in by_node {
            let term = match self.shorter(&group, &feasible, patterns) {
                Some(terms) => {
                    let union = self.terms.alternation(terms);
                    self.terms.intersection(vec![all, union])
                }
                None => self.terms.alternation(group.into_iter().map(|part| part.term).collect()),
            };
            found.push(Additional { term, node });
        }
        found.sort_unstable();
        Ok(found)
    }

    /// A union of patterns that is, within the names, the union of these parts.
    fn shorter(&self, group: &[Part], feasible: &[Alternatives], patterns: &[TermId]) -> Option<Vec<TermId>> {
        let is_in = |matches: &Alternatives| group.iter().any(|part| part.matches == *matches);
        if group.len() == feasible.len() {
            return Some(vec![Terms::ANY]);
        }
        let whole: Vec<usize> =
            (0..patterns.len()).filter(|&i| feasible.iter().all(|f| !f.contains(i) || is_in(f))).collect();
        let covers = |part: &Part| whole.iter().any(|&i| part.matches.contains(i));
        let terms = || whole.iter().filter_map(|&i| patterns.get(i).copied()).collect();
        group.iter().all(covers).then(terms)
    }
}
