//! What a value may be: its alternatives, each for a set of alternatives of the frame around it, ready by their first
//! byte. And of those that are objects, the keys they have together.

use std::sync::Arc;

use super::names::{NameSet, Names, insert, no_names};
use super::{ContextId, JsonMachine, NONE, too_many_alternatives};
use crate::error::{Error, Result};
use crate::grammar::alternatives::{Alternatives, merge};
use crate::grammar::hash::Set;
use crate::grammar::schema::{Alternative, AlternativeId, NodeId, Object, PropertyOrder};
use crate::grammar::term::{TermId, Terms};
use crate::grammar::terminal::{DEAD, StateId, Terminal};

#[derive(Debug)]
pub(super) struct Context {
    pub(super) string: StateId,
    pub(super) number: StateId,
    pub(super) object: u32,
    pub(super) array: u32,
    /// null, true, false
    pub(super) literals: [Alternatives; 3],
}

/// Alternatives that are objects, over the names that any of them declares.
#[derive(Debug)]
pub(super) struct ObjectTable {
    pub(super) names: Names,
    pub(super) rows: Vec<ObjectRow>,
    /// What each key has a derivative of: patterns, and the languages of undeclared names.
    pub(super) terms: Box<[TermId]>,
    /// Counts beyond it are not told apart.
    pub(super) count_clip: u32,
    /// Whether any alternative takes a name that none declares.
    pub(super) is_open: bool,
}

/// One of the alternatives.
#[derive(Debug)]
pub(super) struct ObjectRow {
    /// Of the frame around it.
    pub(super) parents: Alternatives,
    /// The node of each name's value; `NONE`: no such key.
    pub(super) values: Box<[NodeId]>,
    /// The names that have one.
    pub(super) usable: NameSet,
    pub(super) required: NameSet,
    /// Its own names in the order of the schema, if that is kept.
    pub(super) order: Option<Box<[u32]>>,
    /// Disjoint languages of undeclared names, and the node of a value under such a name.
    pub(super) languages: Box<[(Language, NodeId)]>,
    /// All of them together.
    pub(super) undeclared: Language,
    pub(super) min_properties: u32,
    pub(super) max_properties: u32,
}

/// Names that no alternative declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    None,
    Any,
    /// Those of a language, by its number among the table's terms.
    Term(u32),
}

impl Language {
    fn term(self, terms: &[TermId]) -> TermId {
        match self {
            Self::None => Terms::EMPTY,
            Self::Any => Terms::ANY,
            Self::Term(i) => terms.get(i as usize).copied().unwrap_or(Terms::EMPTY),
        }
    }
}

/// How the values of names that no alternative declares are visited.
#[derive(Debug, Clone, Copy)]
enum Undeclared {
    /// As if a name were in every language: at least what comes of any name, and quick.
    Together,
    /// Those of each set of languages that share a name.
    Apart,
}

impl JsonMachine {
    pub(super) fn context(&mut self, mut members: Vec<(AlternativeId, Alternatives)>) -> Result<ContextId> {
        merge(&mut members);
        let members: Box<[_]> = members.into();
        if let Some(&id) = self.learned.context_ids.get(&members) {
            return Ok(id);
        }
        self.fuel.spend(members.len() as u64 + 1)?;
        let (mut strings, mut numbers, mut objects, mut arrays) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut literals = [Alternatives::NONE; 3];
        for &(id, set) in &members {
            let mut add = |word: usize| literals[word] = literals[word].or(set);
            match self.schema.alternative(id) {
                Alternative::Null => add(0),
                Alternative::Boolean(true) => add(1),
                Alternative::Boolean(false) => add(2),
                Alternative::Number(term) => numbers.push((Terminal::Pattern { term, min: 0, max: u32::MAX }, set)),
                Alternative::String { term, min, max } => strings.push((Terminal::Pattern { term, min, max }, set)),
                Alternative::Words(trie) => strings.push((Terminal::Words(trie), set)),
                Alternative::Object(_) => objects.push((id, set)),
                Alternative::Array(_) => arrays.push((id, set)),
            }
        }
        let context = Context {
            string: self.terminals_start(strings)?,
            number: self.terminals_start(numbers)?,
            object: self.object_table(objects)?,
            array: self.array_table(arrays)?,
            literals,
        };
        let id = self.learned.contexts.len() as ContextId;
        self.learned.contexts.push(context);
        self.learned.boxed_bytes += size_of_val(&*members);
        self.learned.context_ids.insert(members, id);
        Ok(id)
    }

    /// Visit what alternatives come to while none is ruled out, so that too many of them are found now and not in the
    /// middle of a text.
    pub(super) fn visit_alternatives(&mut self) -> Result<()> {
        match self.visit(Undeclared::Together) {
            Err(Error::Limit { limit: "grammar_alternatives", .. }) => self.visit(Undeclared::Apart),
            visited => visited,
        }
    }

    fn visit(&mut self, undeclared: Undeclared) -> Result<()> {
        let schema = self.schema.clone();
        let schema = &*schema;
        let is_one = |members: &[(AlternativeId, Alternatives)]| {
            let kinds = || members.iter().map(|(id, _)| schema.alternative(*id));
            kinds().filter(|kind| matches!(kind, Alternative::Object(_))).count() < 2
                && kinds().filter(|kind| matches!(kind, Alternative::Array(_))).count() < 2
        };
        let members = |(i, node): (usize, NodeId)| {
            schema.alternatives(node).iter().map(move |&id| (id, Alternatives::one(i))).collect::<Vec<_>>()
        };
        let union = |nodes: &mut dyn Iterator<Item = (usize, NodeId)>| nodes.flat_map(members).collect::<Vec<_>>();
        let mut ahead: Vec<Vec<_>> = (0..schema.nodes()).map(|node| members((0, node))).collect();
        let mut visited = Set::default();
        while let Some(next) = ahead.pop() {
            if is_one(&next) {
                continue;
            }
            let context = self.context(next)?;
            if !visited.insert(context) {
                continue;
            }
            let Context { object, array, .. } = self.learned.contexts[context as usize];
            if let Some(table) = self.learned.object_tables.get(object as usize) {
                for name in 0..table.names.len() {
                    let values = table.rows.iter().map(|row| row.values[name]).enumerate();
                    ahead.push(union(&mut values.filter(|&(_, node)| node != NONE)));
                }
                match undeclared {
                    Undeclared::Together => {
                        let others = table.rows.iter().enumerate();
                        ahead.push(union(
                            &mut others.flat_map(|(i, row)| row.languages.iter().map(move |&(_, node)| (i, node))),
                        ));
                    }
                    Undeclared::Apart => {
                        for values in self.values_of_undeclared(&table.clone())? {
                            ahead.push(union(&mut values.into_iter()));
                        }
                    }
                }
            }
            if let Some(table) = self.learned.array_tables.get(array as usize) {
                let arrays = || table.arrays.iter().map(|&(id, _)| schema.array(id)).enumerate();
                let prefix = arrays().map(|(_, array)| array.prefix.len()).max().unwrap_or(0);
                for at in 0..=prefix {
                    ahead.push(union(&mut arrays().map(|(i, array)| (i, array.item(at as u32)))));
                }
            }
        }
        Ok(())
    }

    /// Of every name that no alternative declares, which node each alternative has for its value.
    fn values_of_undeclared(&mut self, table: &ObjectTable) -> Result<Vec<Vec<(usize, NodeId)>>> {
        let mut found = vec![(Terms::ANY, Vec::new())];
        for (i, row) in table.rows.iter().enumerate() {
            let mut next = Vec::new();
            for (names, values) in found {
                let mut rest = vec![names];
                for &(language, node) in &row.languages {
                    self.fuel.spend(4 * (1 + values.len() as u64))?;
                    let terms = &mut self.terminals.terms;
                    let language = language.term(&table.terms);
                    rest.push(terms.complement(language));
                    let names = terms.intersection(vec![names, language]);
                    if terms.is_alive(names, 0, u32::MAX, &mut self.fuel)? {
                        let mut values = values.clone();
                        values.push((i, node));
                        next.push((names, values));
                    }
                }
                let terms = &mut self.terminals.terms;
                let rest = terms.intersection(rest);
                if terms.is_alive(rest, 0, u32::MAX, &mut self.fuel)? {
                    next.push((rest, values));
                }
            }
            found = next;
        }
        Ok(found.into_iter().map(|(_, values)| values).collect())
    }

    fn terminals_start(&mut self, members: Vec<(Terminal, Alternatives)>) -> Result<StateId> {
        match members.is_empty() {
            true => Ok(DEAD),
            false => self.terminals.start(members, &mut self.fuel),
        }
    }

    fn object_table(&mut self, members: Vec<(AlternativeId, Alternatives)>) -> Result<u32> {
        if members.is_empty() {
            return Ok(NONE);
        }
        let members: Box<[_]> = members.into();
        if let Some(&id) = self.learned.object_table_ids.get(&members) {
            return Ok(id);
        }
        if members.len() > Alternatives::CAPACITY {
            return Err(too_many_alternatives(members.len()));
        }
        let schema = self.schema.clone();
        let objects: Vec<(&Object, Alternatives)> = members
            .iter()
            .filter_map(|&(id, parents)| match schema.alternative(id) {
                Alternative::Object(object) => Some((schema.object(object), parents)),
                _ => None,
            })
            .collect();
        let mut names: Vec<Box<str>> = objects
            .iter()
            .flat_map(|(object, _)| object.properties.iter().map(|property| property.name.clone()))
            .collect();
        names.sort_unstable();
        names.dedup();
        self.fuel.spend(names.len() as u64)?;
        let names = Names::new(names);
        let mut terms = Vec::new();
        let mut rows = Vec::with_capacity(objects.len());
        for (object, parents) in objects {
            rows.push(self.object_row(object, parents, &names, &mut terms)?);
        }
        let bound = |row: &ObjectRow| match row.max_properties {
            u32::MAX => row.min_properties,
            max => max.max(row.min_properties),
        };
        let table = ObjectTable {
            count_clip: rows.iter().map(bound).max().unwrap_or(0),
            is_open: rows.iter().any(|row| row.undeclared != Language::None),
            names,
            rows,
            terms: terms.into(),
        };
        let id = self.learned.object_tables.len() as u32;
        self.learned.boxed_bytes += size_of_val(&*members) + table.bytes();
        self.learned.object_tables.push(Arc::new(table));
        self.learned.object_table_ids.insert(members, id);
        Ok(id)
    }

    fn object_row(
        &mut self,
        object: &Object,
        parents: Alternatives,
        names: &Names,
        terms: &mut Vec<TermId>,
    ) -> Result<ObjectRow> {
        let schema = self.schema.clone();
        let mut row = ObjectRow {
            parents,
            values: vec![NONE; names.len()].into(),
            usable: no_names(names.len()),
            required: no_names(names.len()),
            order: None,
            languages: Box::default(),
            undeclared: Language::None,
            min_properties: object.min_properties,
            max_properties: object.max_properties,
        };
        let mut order = vec![NONE; names.len()];
        for (i, name) in names.iter().enumerate() {
            self.fuel.spend(1)?;
            let mut node = None;
            if let Some(property) = object.property(name) {
                order[i] = property.order;
                if property.required {
                    insert(&mut row.required, i);
                }
                node = Some(property.node);
            } else {
                for additional in &object.additional {
                    if self.terminals.terms.matches(additional.term, name, &mut self.fuel)? {
                        node = Some(additional.node);
                        break;
                    }
                }
            }
            if let Some(node) = node.filter(|&node| !schema.alternatives(node).is_empty()) {
                row.values[i] = node;
                insert(&mut row.usable, i);
            }
        }
        if self.options.property_order == PropertyOrder::Schema {
            row.order = Some(order.into());
        }
        let mut language = |term: TermId| match term {
            Terms::EMPTY => Language::None,
            Terms::ANY => Language::Any,
            term => Language::Term(match terms.iter().position(|&other| other == term) {
                Some(i) => i as u32,
                None => {
                    terms.push(term);
                    terms.len() as u32 - 1
                }
            }),
        };
        row.languages =
            object.additional.iter().map(|additional| (language(additional.term), additional.node)).collect();
        row.undeclared = language(self.undeclared(object)?);
        Ok(row)
    }

    /// The language of the names that an object takes though it declares none such.
    fn undeclared(&mut self, object: &Object) -> Result<TermId> {
        let terms = &mut self.terminals.terms;
        let union = terms.alternation(object.additional.iter().map(|additional| additional.term).collect());
        if object.additional.len() < 2 || union == Terms::ANY {
            return Ok(union);
        }
        // A language and its complement are every text, and do not look it.
        let rest = terms.complement(union);
        Ok(match terms.is_alive(rest, 0, u32::MAX, &mut self.fuel)? {
            true => union,
            false => Terms::ANY,
        })
    }
}

impl ObjectTable {
    /// Names that the alternative has not had yet and needs.
    pub(super) fn missing<'a>(&self, row: &'a ObjectRow, seen: &'a [u64]) -> impl Iterator<Item = usize> + use<'a> {
        let words = row.required.iter().zip(seen).enumerate();
        words.flat_map(|(i, (required, seen))| {
            let missing = required & !seen;
            (0..64).filter(move |bit| missing >> bit & 1 == 1).map(move |bit| 64 * i + bit)
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let row = |row: &ObjectRow| {
            size_of::<ObjectRow>()
                + 4 * row.values.len() * (1 + usize::from(row.order.is_some()))
                + 16 * row.usable.len()
        };
        self.names.bytes() + self.rows.iter().map(row).sum::<usize>()
    }
}

impl ObjectRow {
    pub(super) fn has_all_required(&self, seen: &[u64]) -> bool {
        self.required.iter().zip(seen).all(|(required, seen)| required & !seen == 0)
    }
}
