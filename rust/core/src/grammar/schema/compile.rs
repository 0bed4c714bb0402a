//! A schema's text -> what the JSON machine reads: load, expand, prove each `oneOf` exact, leave out what has no value.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::inhabited::Inhabited;
use super::load::{Loaded, load};
use super::normal::{Element, Group, Interned, Normal, OWN};
use super::subschema::{ALL_TYPES, NEVER, Subschemas};
use super::{
    Additional, Alternative, Array, Node, NodeId, Note, Object, Property, Schema, SchemaOptions, UNBOUNDED, Unsupported,
};
use crate::error::{Error, Result};
use crate::grammar::reader::Document;
use crate::grammar::term::Terms;
use crate::grammar::trie::Tries;
use crate::limits::{Fuel, Limits, within};

/// Compile a JSON Schema. `Error::Schema` names the part that is broken, that has no value or that cannot be enforced,
/// `Error::Grammar` the byte that is not JSON.
pub(super) fn compile(
    text: &[u8],
    options: &SchemaOptions,
    terms: &mut Terms,
    tries: &mut Tries,
    fuel: &mut Fuel,
) -> Result<Schema> {
    let document = Document::read(text)?;
    fuel.spend(text.len() as u64 / 8)?;
    let Loaded { mut schemas, root, mut notes } = load(&document, options, terms, fuel)?;
    let root = schemas.unify(root, fuel)?;
    let mut normal = Normal::new(&schemas, options.spelling, terms, tries, fuel);
    let root = normal.node(vec![root]);
    normal.expand_all()?;
    let (inhabited, doubtful) = exact(&mut normal, root)?;
    if !inhabited.node(root) {
        return Err(why_never(&normal, &document, &inhabited, root));
    }
    for (group, i, j) in doubtful {
        let pointer = document.pointer(schemas.place(group.0));
        let what = format!(
            "branches {i} and {j} are not proved to exclude each other: give one a type, a required constant or a closed \
             set of keys that the other has not, or say anyOf"
        );
        match options.unsupported {
            Unsupported::Error => return Err(Error::Schema { pointer, keyword: Some("oneOf".to_owned()), what }),
            Unsupported::Ignore => {
                notes.push(Note { pointer, keyword: "oneOf".to_owned(), what: format!("read as anyOf: {what}") });
            }
        }
    }
    for &(schema, what) in &normal.narrowed {
        let keyword = match schemas.get(schema).number.as_deref() {
            Some(number) if !number.multiple_of.is_empty() => "multipleOf",
            Some(number) if number.minimum.is_some() => "minimum",
            Some(number) if number.maximum.is_some() => "maximum",
            _ => "type",
        };
        let pointer = document.pointer(schemas.place(schema));
        notes.push(Note { pointer, keyword: keyword.to_owned(), what: what.to_owned() });
    }
    finish(normal, root, &inhabited, notes)
}

/// What a node leads to, as far as it has values.
fn reachable(normal: &mut Normal, roots: Vec<NodeId>, inhabited: Option<&Inhabited>) -> Result<Vec<NodeId>> {
    let mut seen = vec![false; normal.nodes.len()];
    let mut found = Vec::new();
    let mut todo = roots;
    while let Some(id) = todo.pop() {
        normal.fuel.spend(1)?;
        match seen.get_mut(id as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        found.push(id);
        let alternatives = normal.nodes.get(id as usize).map_or(&[][..], |node| &node.alternatives);
        for &alternative in alternatives.iter().filter(|&&id| inhabited.is_none_or(|known| known.alternative(id))) {
            match normal.alternatives.get_index(alternative as usize) {
                Some(&Alternative::Object(object)) => {
                    let Some(object) = normal.objects.get_index(object as usize) else { continue };
                    normal.fuel.spend((object.properties.len() + object.additional.len()) as u64)?;
                    todo.extend(object.properties.iter().map(|property| property.node));
                    todo.extend(object.additional.iter().map(|additional| additional.node));
                }
                Some(&Alternative::Array(array)) => {
                    let Some(array) = normal.arrays.get_index(array as usize) else { continue };
                    normal.fuel.spend(array.prefix.len() as u64)?;
                    todo.extend(array.prefix.iter().copied().chain([array.rest]));
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Two branches of an `oneOf` that one value may meet.
type Doubt = (Group, usize, usize);

/// Which alternatives have a value, and the branches that are not proved to exclude each other. Two do if their conjunction
/// has no value, each `oneOf` within it read as `anyOf`, which only adds values; if need be together with what is said beside
/// the `oneOf`.
fn exact(normal: &mut Normal, root: NodeId) -> Result<(Inhabited, BTreeSet<Doubt>)> {
    let roots = |normal: &Normal| [root].into_iter().chain(normal.names.iter().copied()).collect::<Vec<_>>();
    let start = roots(normal);
    let mut groups: BTreeSet<Group> = BTreeSet::new();
    for id in reachable(normal, start, None)? {
        groups.extend(normal.nodes.get(id as usize).into_iter().flat_map(|node| &node.groups));
    }
    let mut trials: BTreeMap<Group, Vec<(usize, usize, NodeId)>> = BTreeMap::new();
    for group in groups {
        let pairs = pairs(normal, group, &[])?;
        if !pairs.is_empty() {
            trials.insert(group, pairs);
        }
    }
    normal.expand_all()?;
    let mut inhabited = Inhabited::of(normal)?;
    trials.retain(|_, pairs| pairs.iter().any(|pair| inhabited.node(pair.2)));
    if trials.is_empty() {
        return Ok((inhabited, BTreeSet::new()));
    }
    let mut beside = Vec::new();
    let start = roots(normal);
    for id in reachable(normal, start, Some(&inhabited))? {
        let groups = normal.nodes.get(id as usize).map_or(Vec::new(), |node| node.groups.clone());
        for group in groups.into_iter().filter(|group| trials.contains_key(group)) {
            let context = normal.definite(id)?;
            beside.extend(pairs(normal, group, &context)?.into_iter().map(|pair| (group, pair)));
        }
    }
    normal.expand_all()?;
    inhabited = Inhabited::of(normal)?;
    let is_doubtful = |&(group, (i, j, node)): &(Group, (usize, usize, NodeId))| {
        let alone = trials.get(&group).into_iter().flatten().find(|pair| (pair.0, pair.1) == (i, j));
        inhabited.node(node) && alone.is_none_or(|alone| inhabited.node(alone.2))
    };
    let doubtful = beside.iter().filter(|pair| is_doubtful(pair)).map(|&(group, (i, j, _))| (group, i, j)).collect();
    Ok((inhabited, doubtful))
}

/// Of every two branches that have a type in common, the node of their conjunction.
fn pairs(normal: &mut Normal, group: Group, context: &[Element]) -> Result<Vec<(usize, usize, NodeId)>> {
    let schemas = normal.schemas;
    let types = context.iter().fold(ALL_TYPES, |types, &element| types & schemas.get(element & !OWN).types);
    let branches = schemas.get(group.0).one.get(group.1).map_or(&[][..], Vec::as_slice);
    let mut found = Vec::new();
    for (i, &a) in branches.iter().enumerate() {
        for (j, &b) in branches.iter().enumerate().skip(i + 1) {
            normal.fuel.spend(1)?;
            if types & schemas.possible(a) & schemas.possible(b) != 0 {
                normal.fuel.spend(16 + context.len() as u64)?;
                let elements = context.iter().copied().chain([a, b]).collect();
                found.push((i, j, normal.node(elements)));
            }
        }
    }
    Ok(found)
}

/// The part to blame for there being no value: from the root down what it cannot do without.
fn why_never(normal: &Normal, document: &Document, inhabited: &Inhabited, root: NodeId) -> Error {
    let schemas: &Subschemas = normal.schemas;
    let mut seen = BTreeSet::new();
    let mut at = root;
    let mut pointer = "#".to_owned();
    let mut what = "no value is allowed";
    let mut named = String::new();
    while seen.insert(at) {
        let Some(node) = normal.nodes.get(at as usize) else { break };
        let elements = node.elements.iter().map(|&element| element & !OWN).filter(|&element| element != NEVER);
        let Some(place) = elements.map(|element| schemas.place(element)).max() else { break };
        pointer = document.pointer(place);
        named.clear();
        what = node.reason;
        let Some(&alternative) = node.alternatives.first() else { break };
        let next = match normal.alternatives.get_index(alternative as usize) {
            Some(&Alternative::Object(object)) => {
                what = "fewer keys than minProperties may be there";
                let properties = normal.objects.get_index(object as usize).map_or(&[][..], |object| &object.properties);
                properties.iter().find(|p| p.required && !inhabited.node(p.node)).map(|p| {
                    named = format!("{:?}", p.name);
                    what = "a required key can have no value";
                    p.node
                })
            }
            Some(&Alternative::Array(array)) => {
                what = "an item that must be there can have no value";
                normal.arrays.get_index(array as usize).and_then(|array| {
                    let first = (0..=array.prefix.len() as u32).take(array.min as usize);
                    first.map(|i| array.item(i)).find(|&item| !inhabited.node(item))
                })
            }
            _ => None,
        };
        match next {
            Some(next) if seen.contains(&next) => {
                what = "it needs a value of its own kind within it, without an end";
                break;
            }
            Some(next) => at = next,
            None => break,
        }
    }
    let what = if named.is_empty() { what.to_owned() } else { format!("{what}: {named}") };
    Error::Schema { pointer, keyword: None, what: format!("no value is valid: {what}") }
}

/// What has values, numbered anew.
fn finish(mut normal: Normal, root: NodeId, inhabited: &Inhabited, relaxed: Vec<Note>) -> Result<Schema> {
    let kept = reachable(&mut normal, vec![root], Some(inhabited))?;
    // Number 0 is the node without a value.
    let mut number_of: HashMap<NodeId, NodeId> = HashMap::new();
    for id in kept.into_iter().filter(|&id| inhabited.node(id)) {
        let next = 1 + number_of.len() as NodeId;
        number_of.insert(id, next);
    }
    let new_node = |id: NodeId| number_of.get(&id).copied().unwrap_or(0);
    let mut order: Vec<(NodeId, NodeId)> = number_of.iter().map(|(&old, &new)| (new, old)).collect();
    order.sort_unstable();

    let (mut alternatives, mut objects, mut arrays) = (Interned::default(), Interned::default(), Interned::default());
    let mut new_alternatives: HashMap<u32, u32> = HashMap::new();
    let mut nodes = vec![Node { end: 0 }];
    let mut members = Vec::new();
    for (_, old) in order {
        let old_ids = normal.nodes.get(old as usize).map_or(&[][..], |node| &node.alternatives);
        let start = members.len();
        for &old_id in old_ids.iter().filter(|&&id| inhabited.alternative(id)) {
            let new_id = match new_alternatives.get(&old_id) {
                Some(&new_id) => new_id,
                None => {
                    let alternative =
                        match normal.alternatives.get_index(old_id as usize).copied().unwrap_or(Alternative::Null) {
                            Alternative::Object(id) => {
                                let Some(object) = normal.objects.get_index(id as usize) else { continue };
                                normal.fuel.spend(2 * object.properties.len() as u64)?;
                                Alternative::Object(objects.insert_full(kept_object(object, &new_node)).0 as u32)
                            }
                            Alternative::Array(id) => {
                                let Some(array) = normal.arrays.get_index(id as usize) else { continue };
                                normal.fuel.spend(array.prefix.len() as u64)?;
                                Alternative::Array(arrays.insert_full(kept_array(array, &new_node)).0 as u32)
                            }
                            scalar => scalar,
                        };
                    let new_id = alternatives.insert_full(alternative).0 as u32;
                    new_alternatives.insert(old_id, new_id);
                    new_id
                }
            };
            if !members.get(start..).is_some_and(|own| own.contains(&new_id)) {
                members.push(new_id);
            }
        }
        nodes.push(Node { end: members.len() as u32 });
    }
    let schema = Schema {
        root: new_node(root),
        nodes,
        members,
        alternatives: alternatives.into_iter().collect(),
        objects: objects.into_iter().collect(),
        arrays: arrays.into_iter().collect(),
        relaxed,
    };
    within("grammar_memory_bytes", schema.bytes(), Limits::DEFAULT.grammar_memory_bytes)?;
    Ok(schema)
}

fn kept_object(object: &Object, new_node: &impl Fn(NodeId) -> NodeId) -> Object {
    let additional: Vec<Additional> = object
        .additional
        .iter()
        .map(|additional| Additional { node: new_node(additional.node), ..*additional })
        .filter(|additional| additional.node != 0)
        .collect();
    // A name without a value is kept where it would else be any other key.
    let is_open = !additional.is_empty();
    let properties: Vec<Property> = object
        .properties
        .iter()
        .map(|property| Property { node: new_node(property.node), ..property.clone() })
        .filter(|property| is_open || property.node != 0)
        .collect();
    let most = if is_open { UNBOUNDED } else { properties.len() as u32 };
    Object {
        additional,
        min_properties: object.min_properties,
        max_properties: match object.max_properties {
            max if max < most => max,
            _ => UNBOUNDED,
        },
        properties,
    }
}

fn kept_array(array: &Array, new_node: &impl Fn(NodeId) -> NodeId) -> Array {
    let mut prefix: Vec<NodeId> = array.prefix.iter().map(|&node| new_node(node)).collect();
    let (mut rest, mut max) = (new_node(array.rest), array.max);
    if let Some(end) = prefix.iter().position(|&node| node == 0) {
        prefix.truncate(end);
        rest = 0;
    }
    if rest == 0 {
        max = max.min(prefix.len() as u32);
    }
    while rest != 0 && prefix.last() == Some(&rest) {
        prefix.pop();
    }
    Array { prefix, rest, min: array.min, max }
}
