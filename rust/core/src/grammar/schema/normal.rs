//! The normal form: a conjunction of schemas -> alternatives of one type each. A node is such a conjunction, a sorted set of
//! schemas; each is expanded once, and with it every node it leads to, under fuel. What keys an object may have is `keys`'s,
//! which alternatives have a value `inhabited`'s.

use std::collections::BTreeSet;

use indexmap::IndexSet;

use super::load::{lower, raise};
use super::subschema::{
    ANYTHING, ARRAY, FALSE, NEVER, NULL, NUMBER, OBJECT, STRING, SubschemaId, Subschemas, TRUE, Types,
};
use super::{Alternative, AlternativeId, Array, ArrayId, NodeId, Object, ObjectId, UNBOUNDED};
use crate::error::Result;
use crate::grammar::hash::{Map, Seeded};
use crate::grammar::number::{self, NumberSpec, Spelling};
use crate::grammar::term::{TermId, Terms};
use crate::grammar::trie::Tries;
use crate::limits::{Fuel, Limits, within};

/// A schema in a conjunction: with all that it says, or, marked `OWN`, with its own assertions only.
pub(super) type Element = u32;
pub(super) const OWN: Element = 1 << 31;

/// An `oneOf`: its schema, and which of that schema's.
pub(super) type Group = (SubschemaId, usize);

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) elements: Vec<Element>,
    pub(super) alternatives: Vec<AlternativeId>,
    /// Each `oneOf` that was read as `anyOf`.
    pub(super) groups: Vec<Group>,
    /// Why it has no alternatives.
    pub(super) reason: &'static str,
}

/// Things that are equal are one, by number.
pub(super) type Interned<T> = IndexSet<T, Seeded>;

/// The strings of a conjunction.
#[derive(Debug, Default)]
pub(super) struct Strings {
    pub(super) words: BTreeSet<Box<str>>,
    /// A language, and the least and the greatest length.
    pub(super) patterns: BTreeSet<(TermId, u32, u32)>,
}

/// All nodes of a schema.
pub(super) struct Normal<'a> {
    pub(super) schemas: &'a Subschemas,
    pub(super) terms: &'a mut Terms,
    tries: &'a mut Tries,
    pub(super) fuel: &'a mut Fuel,
    spelling: Spelling,
    pub(super) nodes: Vec<Node>,
    node_of: Map<Vec<Element>, NodeId>,
    todo: Vec<NodeId>,
    pub(super) alternatives: Interned<Alternative>,
    pub(super) objects: Interned<Object>,
    pub(super) arrays: Interned<Array>,
    numbers: Map<NumberSpec, TermId>,
    /// Where numbers were narrowed, and how.
    pub(super) narrowed: Vec<(SubschemaId, &'static str)>,
    /// Nodes of keys: nothing leads to them.
    pub(super) names: Vec<NodeId>,
    bytes: usize,
}

/// Ancestors at the same value, of schemas that may come back to themselves.
type Path = usize;
const NO_PATH: Path = usize::MAX;

/// A conjunction of which some choices are still to be made.
#[derive(Clone, Default)]
struct Partial {
    /// Schemas that assert something of the type.
    leaves: Vec<SubschemaId>,
    /// Those that are met already, sorted.
    seen: Vec<SubschemaId>,
    todo: Vec<(Element, Path)>,
    /// The groups that are still to be chosen from.
    groups: Vec<(Vec<SubschemaId>, Path)>,
}

impl<'a> Normal<'a> {
    pub(super) fn new(
        schemas: &'a Subschemas,
        spelling: Spelling,
        terms: &'a mut Terms,
        tries: &'a mut Tries,
        fuel: &'a mut Fuel,
    ) -> Self {
        Self {
            schemas,
            terms,
            tries,
            fuel,
            spelling,
            nodes: Vec::new(),
            node_of: Map::default(),
            todo: Vec::new(),
            alternatives: Interned::default(),
            objects: Interned::default(),
            arrays: Interned::default(),
            numbers: Map::default(),
            narrowed: Vec::new(),
            names: Vec::new(),
            bytes: 0,
        }
    }

    /// The node of a conjunction, to be expanded if it has not been.
    pub(super) fn node(&mut self, mut elements: Vec<Element>) -> NodeId {
        elements.retain(|&element| element != ANYTHING);
        if elements.contains(&NEVER) {
            elements = vec![NEVER];
        }
        elements.sort_unstable();
        elements.dedup();
        if let Some(&id) = self.node_of.get(&elements) {
            return id;
        }
        let id = self.nodes.len() as NodeId;
        self.bytes += size_of::<Node>() + 2 * size_of_val(elements.as_slice()) + 64;
        self.node_of.insert(elements.clone(), id);
        self.nodes.push(Node { elements, ..Node::default() });
        self.todo.push(id);
        id
    }

    /// Expand all nodes that have not been.
    pub(super) fn expand_all(&mut self) -> Result<()> {
        while let Some(id) = self.todo.pop() {
            self.fuel.spend(16)?;
            within("grammar_memory_bytes", self.bytes, Limits::DEFAULT.grammar_memory_bytes)?;
            self.expand(id)?;
        }
        Ok(())
    }

    /// The schemas that a conjunction names whatever is chosen, each with its own assertions only.
    pub(super) fn definite(&mut self, node: NodeId) -> Result<Vec<Element>> {
        let mut todo = self.nodes.get(node as usize).map_or(Vec::new(), |node| node.elements.clone());
        let mut found = BTreeSet::new();
        while let Some(element) = todo.pop() {
            self.fuel.spend(1)?;
            if found.insert(element | OWN) && element & OWN == 0 {
                todo.extend(&self.schemas.get(element).all);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// All ways to choose from every group, as far as values of this type go: of each the schemas that assert something.
    fn combinations(
        &mut self,
        elements: &[Element],
        kind: Types,
        met: &mut BTreeSet<Group>,
    ) -> Result<BTreeSet<Vec<SubschemaId>>> {
        let schemas = self.schemas;
        let mut paths: Vec<(SubschemaId, Path)> = Vec::new();
        let mut found = BTreeSet::new();
        let todo = elements.iter().map(|&element| (element, NO_PATH)).collect();
        let mut partials = vec![Partial { todo, ..Partial::default() }];
        'partials: while let Some(mut partial) = partials.pop() {
            let Partial { leaves, seen, todo, groups } = &mut partial;
            self.fuel.spend(4 + (leaves.len() + seen.len() + groups.len()) as u64)?;
            while let Some((element, mut path)) = todo.pop() {
                self.fuel.spend(1 + seen.len() as u64 / 1024)?;
                let id = element & !OWN;
                let schema = schemas.get(id);
                if element & OWN != 0 {
                    if schema.types & kind == 0 {
                        continue 'partials;
                    }
                    if schema.asserts(kind) {
                        leaves.push(id);
                    }
                    continue;
                }
                if schemas.possible(id) & kind == 0 {
                    continue 'partials;
                }
                if schemas.free(id) & kind != 0 {
                    continue;
                }
                if schemas.is_cyclic(id) {
                    // A value that is one of its only if it is one of its is none.
                    let mut above = path;
                    while let Some(&(ancestor, next)) = paths.get(above) {
                        self.fuel.spend(1)?;
                        if ancestor == id {
                            continue 'partials;
                        }
                        above = next;
                    }
                    paths.push((id, path));
                    path = paths.len() - 1;
                } else {
                    path = NO_PATH;
                    match seen.binary_search(&id) {
                        Ok(_) => continue,
                        Err(at) => seen.insert(at, id),
                    }
                }
                if schema.asserts(kind) {
                    leaves.push(id);
                }
                todo.extend(schema.all.iter().map(|&part| (part, path)));
                let ones = schema.one.iter().enumerate().map(|(i, group)| (Some((id, i)), group));
                for (one, group) in schema.any.iter().map(|group| (None, group)).chain(ones) {
                    self.fuel.spend(group.len() as u64)?;
                    met.extend(one);
                    if one.is_none() && group.iter().any(|&branch| schemas.free(branch) & kind != 0) {
                        continue;
                    }
                    let possible = |&branch: &SubschemaId| schemas.possible(branch) & kind != 0;
                    let branches: Vec<SubschemaId> = group.iter().copied().filter(possible).collect();
                    match branches.as_slice() {
                        [] => continue 'partials,
                        &[branch] => todo.push((branch, path)),
                        _ => groups.push((branches, path)),
                    }
                }
            }
            groups.retain(|(branches, _)| !branches.iter().any(|branch| seen.binary_search(branch).is_ok()));
            let Some(smallest) = (0..groups.len()).min_by_key(|&i| groups.get(i).map_or(0, |group| group.0.len()))
            else {
                leaves.sort_unstable();
                leaves.dedup();
                found.insert(std::mem::take(leaves));
                continue;
            };
            let (branches, path) = groups.swap_remove(smallest);
            for branch in branches {
                self.fuel.spend((partial.leaves.len() + partial.seen.len()) as u64)?;
                partials.push(Partial { todo: vec![(branch, path)], ..partial.clone() });
            }
        }
        Ok(found)
    }

    fn expand(&mut self, id: NodeId) -> Result<()> {
        let Some(node) = self.nodes.get_mut(id as usize) else { return Ok(()) };
        let elements = std::mem::take(&mut node.elements);
        let mut met = BTreeSet::new();
        let mut found = Vec::new();
        let mut reason = "no type of value is allowed by all that is said here";
        for (kind, alternative) in
            [(NULL, Alternative::Null), (FALSE, Alternative::Boolean(false)), (TRUE, Alternative::Boolean(true))]
        {
            if !self.combinations(&elements, kind, &mut met)?.is_empty() {
                found.push(self.alternative(alternative));
            }
        }
        let numbers = self.combinations(&elements, NUMBER, &mut met)?;
        if !numbers.is_empty() {
            let mut terms = Vec::new();
            for leaves in numbers {
                terms.push(self.number(&leaves)?);
            }
            match self.terms.alternation(terms) {
                Terms::EMPTY => reason = "no number is allowed by all that is said here",
                term => found.push(self.alternative(Alternative::Number(term))),
            }
        }
        if let Some(strings) = self.strings(&elements, &mut met)? {
            if strings.words.is_empty() && strings.patterns.is_empty() {
                reason = "no string is allowed by all that is said here";
            }
            within("grammar_alternatives", strings.patterns.len(), Limits::DEFAULT.grammar_alternatives)?;
            let is_all = strings.patterns.contains(&(Terms::ANY, 0, UNBOUNDED));
            if !strings.words.is_empty() && !is_all {
                let words: Vec<&str> = strings.words.iter().map(|word| &**word).collect();
                self.fuel.spend(words.iter().map(|word| word.len() as u64).sum())?;
                let trie = self.tries.of(&words);
                found.push(self.alternative(Alternative::Words(trie)));
            }
            for (term, min, max) in strings.patterns {
                if !is_all || term == Terms::ANY && min == 0 && max == UNBOUNDED {
                    found.push(self.alternative(Alternative::String { term, min, max }));
                }
            }
        }
        let mut objects = BTreeSet::new();
        for leaves in self.combinations(&elements, OBJECT, &mut met)? {
            match self.object(&leaves)? {
                Some(object) => {
                    self.bytes +=
                        size_of::<Object>() + object.properties.iter().map(|p| 40 + p.name.len()).sum::<usize>();
                    within("grammar_memory_bytes", self.bytes, Limits::DEFAULT.grammar_memory_bytes)?;
                    objects.insert(self.objects.insert_full(object).0 as ObjectId);
                }
                None => reason = "no object is allowed by all that is said here",
            }
        }
        let mut arrays = BTreeSet::new();
        for leaves in self.combinations(&elements, ARRAY, &mut met)? {
            match self.array(&leaves)? {
                Some(array) => {
                    self.bytes += size_of::<Array>() + size_of_val(array.prefix.as_slice());
                    arrays.insert(self.arrays.insert_full(array).0 as ArrayId);
                }
                None => reason = "no array is allowed by all that is said here",
            }
        }
        for n in [objects.len(), arrays.len()] {
            within("grammar_alternatives", n, Limits::DEFAULT.grammar_alternatives)?;
        }
        found.extend(objects.into_iter().map(|id| self.alternative(Alternative::Object(id))));
        found.extend(arrays.into_iter().map(|id| self.alternative(Alternative::Array(id))));
        if let Some(node) = self.nodes.get_mut(id as usize) {
            node.elements = elements;
            node.alternatives = found;
            node.groups = met.into_iter().collect();
            node.reason = reason;
        }
        Ok(())
    }

    fn alternative(&mut self, alternative: Alternative) -> AlternativeId {
        self.alternatives.insert_full(alternative).0 as AlternativeId
    }

    /// The numbers that all of these schemas allow.
    fn number(&mut self, leaves: &[SubschemaId]) -> Result<TermId> {
        let schemas = self.schemas;
        let mut spec = NumberSpec::default();
        for assertions in leaves.iter().filter_map(|&leaf| schemas.get(leaf).number.as_deref()) {
            self.fuel.spend(1)?;
            spec.integer |= assertions.integer;
            spec.digits_only |= assertions.digits_only;
            if let Some(bound) = &assertions.minimum {
                raise(&mut spec.minimum, bound.clone());
            }
            if let Some(bound) = &assertions.maximum {
                lower(&mut spec.maximum, bound.clone());
            }
            spec.multiple_of.extend(assertions.multiple_of.iter().cloned());
        }
        spec.multiple_of.sort_unstable();
        spec.multiple_of.dedup();
        let mut lists: Vec<_> = leaves.iter().filter_map(|&leaf| schemas.get(leaf).values.as_deref()).collect();
        lists.sort_by_key(|values| values.numbers.len());
        let Some((first, others)) = lists.split_first() else {
            if let Some(&term) = self.numbers.get(&spec) {
                return Ok(term);
            }
            let numbers = number::term(&spec, self.spelling, self.terms, self.fuel)?;
            if let (Some(narrowed), Some(&leaf)) = (numbers.narrowed, leaves.first()) {
                self.narrowed.push((leaf, narrowed));
            }
            self.numbers.insert(spec, numbers.term);
            return Ok(numbers.term);
        };
        let is_free = spec == NumberSpec::default();
        let all = if is_free { Terms::ANY } else { number::term(&spec, self.spelling, self.terms, self.fuel)?.term };
        let mut found = Vec::new();
        for value in &first.numbers {
            self.fuel.spend(1 + others.len() as u64)?;
            if !others.iter().all(|values| values.numbers.binary_search(value).is_ok()) {
                continue;
            }
            let equal = number::equal_to(value, self.spelling, self.terms, self.fuel)?;
            let both = self.terms.intersection(vec![equal, all]);
            if is_free || self.terms.is_alive(both, 0, UNBOUNDED, self.fuel)? {
                found.push(if spec.digits_only { both } else { equal });
            }
        }
        Ok(self.terms.alternation(found))
    }

    /// The strings of a conjunction; none if there may be no string whatever it says.
    pub(super) fn strings(&mut self, elements: &[Element], met: &mut BTreeSet<Group>) -> Result<Option<Strings>> {
        let combinations = self.combinations(elements, STRING, met)?;
        if combinations.is_empty() {
            return Ok(None);
        }
        let mut found = Strings::default();
        for leaves in combinations {
            self.string(&leaves, &mut found)?;
        }
        Ok(Some(found))
    }

    fn string(&mut self, leaves: &[SubschemaId], found: &mut Strings) -> Result<()> {
        let schemas = self.schemas;
        let (mut min, mut max, mut terms) = (0, UNBOUNDED, Vec::new());
        for assertions in leaves.iter().filter_map(|&leaf| schemas.get(leaf).string.as_deref()) {
            self.fuel.spend(1)?;
            min = min.max(assertions.min);
            max = max.min(assertions.max);
            terms.extend(&assertions.terms);
        }
        terms.sort_unstable();
        terms.dedup();
        let mut lists: Vec<_> = leaves.iter().filter_map(|&leaf| schemas.get(leaf).values.as_deref()).collect();
        lists.sort_by_key(|values| values.words.len());
        let Some((first, others)) = lists.split_first() else {
            let term = self.terms.intersection(terms);
            if min <= max && self.terms.is_alive(term, min, max, self.fuel)? {
                found.patterns.insert((term, min, max));
            }
            return Ok(());
        };
        'words: for word in &first.words {
            self.fuel.spend(1 + others.len() as u64)?;
            if !others.iter().all(|values| values.words.binary_search(word).is_ok()) {
                continue;
            }
            if min > 0 || max < UNBOUNDED {
                let length = word.chars().count();
                if length < min as usize || length > max as usize {
                    continue;
                }
            }
            for &term in &terms {
                if !self.terms.matches(term, word, self.fuel)? {
                    continue 'words;
                }
            }
            found.words.insert(word.clone());
        }
        Ok(())
    }

    fn array(&mut self, leaves: &[SubschemaId]) -> Result<Option<Array>> {
        let schemas = self.schemas;
        let parts: Vec<_> = leaves.iter().filter_map(|&leaf| schemas.get(leaf).array.as_deref()).collect();
        let min = parts.iter().map(|part| part.min).max().unwrap_or(0);
        let max = parts.iter().map(|part| part.max).min().unwrap_or(UNBOUNDED);
        if min > max {
            return Ok(None);
        }
        let n_prefix = parts.iter().map(|part| part.prefix.len()).max().unwrap_or(0).min(max as usize);
        let mut prefix = Vec::with_capacity(n_prefix);
        for i in 0..n_prefix {
            self.fuel.spend(4 + parts.len() as u64)?;
            let item = |part: &&super::subschema::ArrayAssertions| part.prefix.get(i).copied().unwrap_or(part.rest);
            prefix.push(self.node(parts.iter().map(item).collect()));
        }
        let rest = match max as usize > n_prefix {
            true => parts.iter().map(|part| part.rest).collect(),
            false => vec![NEVER],
        };
        let rest = self.node(rest);
        Ok(Some(Array { prefix, rest, min, max }))
    }
}
