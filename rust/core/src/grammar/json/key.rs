//! Keys of an object while they are read. Where a key stands (in the trie of declared names, in the patterns, among the
//! undeclared keys the object has had) does not depend on which names are left: that is a set beside it.

use super::context::{Language, ObjectTable};
use super::frame::Frame;
use super::names::{self, NameSet, has, has_any, insert, no_names};
use super::{Characters, ContextId, JsonMachine, Reading, State};
use crate::error::Result;
use crate::grammar::alternatives::Alternatives;
use crate::grammar::term::{TermId, Terms};
use crate::grammar::trie::{TrieId, Tries};

/// Where a key stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    pub(super) table: u32,
    /// In the trie of declared names; `names::NONE`: it is none of them.
    pub(super) node: u32,
    /// In the undeclared keys there have been.
    pub(super) seen: TrieId,
    /// Derivatives of the table's terms.
    pub(super) terms: Box<[TermId]>,
}

/// Which keys an object still takes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Availability {
    /// Names that some alternative takes.
    pub(super) names: NameSet,
    /// Of each alternative that takes a name, which ones.
    rows: Box<[(u16, NameSet)]>,
    /// The alternatives that take a name none declares.
    pub(super) undeclared: Alternatives,
    /// One of these takes any text.
    pub(super) is_free: bool,
}

/// A key that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyEnd {
    pub(super) context: ContextId,
    pub(super) alive: Alternatives,
    /// The declared name it is.
    pub(super) name: Option<usize>,
}

impl JsonMachine {
    pub(super) fn key(&self, of: Characters) -> &Key {
        &self.learned.keys[of.id as usize]
    }

    /// Whether it may still come to be a declared name, or a key there has been.
    pub(super) fn is_near(&self, of: Characters) -> bool {
        let key = self.key(of);
        key.node != names::NONE || key.seen != Tries::EMPTY
    }

    /// Whether a declared name ends here, or a key there has been.
    pub(super) fn is_taken_name(&self, of: Characters) -> bool {
        let key = self.key(of);
        self.table_of(of).names.name_at(key.node).is_some() || self.terminals.tries.ends(key.seen)
    }

    /// A key that has left the declared names and those there have been behind.
    pub(super) fn apart(&mut self, of: Characters) -> Characters {
        match self.is_near(of) {
            false => of,
            true => {
                let key = Key { node: names::NONE, seen: Tries::EMPTY, ..self.key(of).clone() };
                Characters { id: self.intern_key(key), ..of }
            }
        }
    }

    pub(super) fn available(&self, of: Characters) -> &Availability {
        &self.learned.availabilities[of.availability as usize]
    }

    pub(super) fn table_of(&self, of: Characters) -> &ObjectTable {
        &self.learned.object_tables[self.key(of).table as usize]
    }

    fn intern_key(&mut self, key: Key) -> u32 {
        let bytes = size_of_val(&*key.terms);
        let (id, is_new) = self.learned.keys.insert_full(key);
        if is_new {
            self.learned.boxed_bytes += bytes;
        }
        id as u32
    }

    fn intern_availability(&mut self, availability: Availability) -> u32 {
        let bytes = (size_of_val(&*availability.names) + 24) * (availability.rows.len() + 1);
        let (id, is_new) = self.learned.availabilities.insert_full(availability);
        if is_new {
            self.learned.boxed_bytes += bytes;
        }
        id as u32
    }

    /// The keys that alternatives of a table take after these.
    pub(super) fn availability(&mut self, table: u32, alive: Alternatives, seen: u32, count: u32) -> Result<u32> {
        let table = self.learned.object_tables[table as usize].clone();
        let n_names = table.names.len();
        let seen =
            self.learned.seen.get_index(seen as usize).map_or_else(|| no_names(n_names), |seen| seen.names.clone());
        let mut names = no_names(n_names);
        let (mut rows, mut undeclared, mut is_free) = (Vec::new(), Alternatives::NONE, false);
        for i in alive.iter() {
            let row = &table.rows[i];
            self.fuel.spend(1 + seen.len() as u64)?;
            let missing: u32 =
                row.required.iter().zip(&seen).map(|(required, seen)| (required & !seen).count_ones()).sum();
            let room = if row.max_properties == u32::MAX { u32::MAX } else { row.max_properties.saturating_sub(count) };
            if room == 0 || room < missing {
                continue;
            }
            let mut left: NameSet = row.usable.iter().zip(&seen).map(|(usable, seen)| usable & !seen).collect();
            if room == missing {
                left.iter_mut().zip(&row.required).for_each(|(left, required)| *left &= required);
            }
            if let Some(order) = &row.order {
                self.fuel.spend(n_names as u64)?;
                in_order(&table, i, order, &seen, count, &mut left);
            }
            names.iter_mut().zip(&left).for_each(|(names, left)| *names |= left);
            if left.iter().any(|&word| word != 0) {
                rows.push((i as u16, left));
            }
            if row.undeclared != Language::None && room > missing {
                undeclared = undeclared.or(Alternatives::one(i));
                is_free |= row.undeclared == Language::Any;
            }
        }
        Ok(self.intern_availability(Availability { names, rows: rows.into(), undeclared, is_free }))
    }

    /// Before the first character; None: no key may come.
    pub(super) fn first_key(&mut self, table: u32, seen: TrieId, availability: u32) -> Result<Option<Characters>> {
        let terms = self.learned.object_tables[table as usize].terms.clone();
        let id = self.intern_key(Key { table, node: names::ROOT, seen, terms });
        let of = Characters { id, availability };
        Ok(self.is_alive_key(of)?.then_some(of))
    }

    /// After one more character; None: no key that is left begins so.
    pub(super) fn read_key(&mut self, of: Characters, code_point: u32) -> Result<Option<Characters>> {
        let available = self.available(of);
        if !available.is_free && available.undeclared.is_empty() {
            // Most characters lead away from every name: what is dead needs no key of its own.
            let names = &self.table_of(of).names;
            let node = names.child(self.key(of).node, code_point);
            if node == names::NONE || !has_any(&available.names, names.under(node)) {
                return Ok(None);
            }
        }
        let id = self.key_step(of.id, code_point)?;
        let of = Characters { id, ..of };
        Ok(self.is_alive_key(of)?.then_some(of))
    }

    /// After one more character, whether or not a key that is left begins so.
    pub(super) fn stepped(&mut self, of: Characters, code_point: u32) -> Result<Characters> {
        Ok(Characters { id: self.key_step(of.id, code_point)?, ..of })
    }

    fn key_step(&mut self, id: u32, code_point: u32) -> Result<u32> {
        let key = &self.learned.keys[id as usize];
        if key.node == names::NONE && key.seen == Tries::EMPTY && key.terms.is_empty() {
            return Ok(id);
        }
        if let Some(&next) = self.learned.key_steps.get(&(id, code_point)) {
            return Ok(next);
        }
        let mut key = key.clone();
        key.node = self.learned.object_tables[key.table as usize].names.child(key.node, code_point);
        key.seen = self.terminals.tries.next(key.seen, code_point).unwrap_or(Tries::EMPTY);
        for term in &mut key.terms {
            *term = self.terminals.terms.derivative(*term, code_point, &mut self.fuel)?;
        }
        let next = self.intern_key(key);
        self.learned.key_steps.insert((id, code_point), next);
        Ok(next)
    }

    /// Whether a key that is left begins as this one.
    fn is_alive_key(&mut self, of: Characters) -> Result<bool> {
        let available = self.available(of);
        if available.is_free || has_any(&available.names, self.table_of(of).names.under(self.key(of).node)) {
            return Ok(true);
        }
        if available.undeclared.is_empty() {
            return Ok(false);
        }
        if let Some(&is_alive) = self.learned.alive_keys.get(&of) {
            return Ok(is_alive);
        }
        let mut is_alive = false;
        for term in self.undeclared_terms(of) {
            if self.has_new_text(of, term)? {
                is_alive = true;
                break;
            }
        }
        self.learned.alive_keys.insert(of, is_alive);
        Ok(is_alive)
    }

    /// What is left of the languages of undeclared names, each once.
    pub(super) fn undeclared_terms(&self, of: Characters) -> Vec<TermId> {
        let (key, table) = (self.key(of), self.table_of(of));
        let term_of = |i: usize| match table.rows[i].undeclared {
            Language::None => None,
            Language::Any => Some(Terms::ANY),
            Language::Term(number) => key.terms.get(number as usize).copied(),
        };
        let mut terms: Vec<_> =
            self.available(of).undeclared.iter().filter_map(term_of).filter(|&term| term != Terms::EMPTY).collect();
        terms.sort_unstable();
        terms.dedup();
        terms
    }

    /// Whether a language has a text that is no rest of a declared name nor of a key there has been.
    fn has_new_text(&mut self, of: Characters, term: TermId) -> Result<bool> {
        let Key { node, seen, .. } = *self.key(of);
        let (mut longest, mut n_taken) = (0, 0);
        if node != names::NONE {
            let names = &self.table_of(of).names;
            let depth = names.depth(node);
            for name in names.under(node) {
                longest = longest.max(names.get(name).chars().count() - depth);
                n_taken += 1;
            }
        }
        if seen != Tries::EMPTY {
            let (length, n) = self.seen_extent(seen)?;
            longest = longest.max(length as usize);
            n_taken += n as usize;
        }
        if n_taken == 0 {
            return self.terminals.terms.is_alive(term, 0, u32::MAX, &mut self.fuel);
        }
        self.fuel.spend(n_taken as u64)?;
        if self.terminals.terms.is_alive(term, longest as u32 + 1, u32::MAX, &mut self.fuel)? {
            return Ok(true);
        }
        let Some(texts) = self.terminals.terms.texts(term, n_taken, &mut self.fuel)? else { return Ok(true) };
        let names = &self.table_of(of).names;
        let is_declared = |text: &str| {
            node != names::NONE
                && names.name_at(text.chars().fold(node, |node, c| names.child(node, c.into()))).is_some()
        };
        let tries = &self.terminals.tries;
        let was_there = |text: &str| tries.contains(seen, text);
        Ok(texts.iter().any(|text| !is_declared(text) && !was_there(text)))
    }

    /// The longest text of a trie, and how many it has.
    fn seen_extent(&mut self, trie: TrieId) -> Result<(u32, u32)> {
        let mut ahead = vec![trie];
        while let Some(&at) = ahead.last() {
            if self.learned.seen_extents.contains_key(&at) {
                ahead.pop();
                continue;
            }
            self.fuel.spend(1)?;
            let (mut longest, mut n, mut is_ready) = (0, u32::from(self.terminals.tries.ends(at)), true);
            for &(_, child) in self.terminals.tries.edges(at) {
                match self.learned.seen_extents.get(&child) {
                    Some(&(length, more)) => {
                        longest = longest.max(length + 1);
                        n += more;
                    }
                    None => {
                        ahead.push(child);
                        is_ready = false;
                    }
                }
            }
            if is_ready {
                self.learned.seen_extents.insert(at, (longest, n));
            }
        }
        Ok(self.learned.seen_extents.get(&trie).copied().unwrap_or_default())
    }

    /// Whether one of these characters may come next in a key.
    pub(super) fn can_read_key(&mut self, of: Characters, low: u32, high: u32) -> Result<bool> {
        let surrogates = 0xd800..0xe000;
        if self.available(of).is_free {
            return Ok(low < surrogates.start && low <= high || high >= surrogates.end);
        }
        let key = self.key(of);
        let mut code_points = vec![low, surrogates.end];
        code_points.extend(self.table_of(of).names.children(key.node).flat_map(|c| [c, c + 1]));
        code_points.extend(self.terminals.tries.edges(key.seen).iter().flat_map(|&(c, _)| [c, c + 1]));
        code_points.extend(key.terms.iter().flat_map(|&term| self.terminals.terms.boundaries(term)));
        code_points.retain(|c| (low..=high).contains(c) && !surrogates.contains(c));
        code_points.sort_unstable();
        code_points.dedup();
        for code_point in code_points {
            if self.read_key(of, code_point)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the characters of a key must be known when it ends: it may be an undeclared one.
    pub(super) fn remembers_text(&self, of: Characters) -> bool {
        self.table_of(of).is_open
    }

    /// What a key that ends here leads to; None: it is no key that is left.
    pub(super) fn key_end(&mut self, of: Characters) -> Result<Option<KeyEnd>> {
        if let Some(&end) = self.learned.key_ends.get(&of) {
            return Ok(end);
        }
        let end = self.key_end_of(of)?;
        self.learned.key_ends.insert(of, end);
        Ok(end)
    }

    fn key_end_of(&mut self, of: Characters) -> Result<Option<KeyEnd>> {
        let schema = self.schema.clone();
        let (key, table) = (self.key(of), self.table_of(of));
        let name = table.names.name_at(key.node);
        let (mut members, mut alive) = (Vec::new(), Alternatives::NONE);
        let mut add = |i: usize, node: u32| {
            let alternatives = schema.alternatives(node);
            members.extend(alternatives.iter().map(|&id| (id, Alternatives::one(i))));
            if !alternatives.is_empty() {
                alive = alive.or(Alternatives::one(i));
            }
        };
        match name {
            Some(name) => {
                for (i, left) in &self.available(of).rows {
                    if has(left, name) {
                        add(usize::from(*i), table.rows[usize::from(*i)].values[name]);
                    }
                }
            }
            None if self.terminals.tries.ends(key.seen) => {}
            None => {
                let ends = |number: u32| {
                    key.terms.get(number as usize).is_some_and(|&term| self.terminals.terms.is_nullable(term))
                };
                for i in self.available(of).undeclared.iter() {
                    let holds = |language: Language| match language {
                        Language::None => false,
                        Language::Any => true,
                        Language::Term(number) => ends(number),
                    };
                    if let Some(&(_, node)) = table.rows[i].languages.iter().find(|(language, _)| holds(*language)) {
                        add(i, node);
                    }
                }
            }
        }
        if members.is_empty() {
            return Ok(None);
        }
        self.fuel.spend(members.len() as u64)?;
        Ok(Some(KeyEnd { context: self.context(members)?, alive, name }))
    }

    /// After this key some alternative takes any number of any keys.
    pub(super) fn always_takes_more(&mut self, of: Characters) -> Result<bool> {
        let Some(end) = self.key_end(of)? else { return Ok(false) };
        let rows = &self.table_of(of).rows;
        let is_endless = |i: usize| rows[i].undeclared == Language::Any && rows[i].max_properties == u32::MAX;
        Ok(end.alive.iter().any(is_endless))
    }

    /// The quote that ends a key.
    pub(super) fn close_key(&mut self, state: State, of: Characters) -> Result<Option<State>> {
        let Some(end) = self.key_end(of)? else { return Ok(None) };
        let frame = match self.in_mask {
            true => self.frame(Frame::Derived { base: state.stack, key: of })?,
            false => {
                let frame = self.full(state.stack)?;
                self.key_frame(frame, of, Some(state.text))?
            }
        };
        let stack = self.push(frame, self.parent(state.stack));
        Ok(Some(State { reading: Reading::Colon { context: end.context, blanks: 0 }, stack, text: 0 }))
    }

    /// The same with what no single token could tell apart forgotten: equal masks, one key.
    pub(super) fn canonical_key(&mut self, of: Characters) -> Result<Characters> {
        if let Some(&canonical) = self.learned.canonical_keys.get(&of) {
            return Ok(canonical);
        }
        let (mut key, mut available) = (self.key(of).clone(), self.available(of).clone());
        let table = self.learned.object_tables[key.table as usize].clone();
        let under = table.names.under(key.node);
        self.fuel.spend(under.len() as u64 + 1)?;
        let depth = table.names.depth(key.node);
        let mut near = no_names(table.names.len());
        let mut keeps_node = false;
        for name in under {
            // Where any text goes on, a name matters only if one token can end it, be it left or not.
            let rest = || table.names.get(name).chars().skip(depth).collect::<String>();
            if !available.is_free || self.index.closes(rest().as_bytes()) {
                insert(&mut near, name);
                keeps_node = true;
            }
        }
        if available.is_free && !keeps_node {
            key.node = names::NONE;
        }
        if available.is_free && key.seen != Tries::EMPTY && !self.can_close_seen(key.seen)? {
            key.seen = Tries::EMPTY;
        }
        let keep = |set: &NameSet| -> NameSet { set.iter().zip(&near).map(|(set, near)| set & near).collect() };
        available.names = keep(&available.names);
        let rows = available.rows.iter().map(|(i, left)| (*i, keep(left)));
        available.rows = rows.filter(|(_, left)| left.iter().any(|&word| word != 0)).collect();
        let canonical = Characters { id: self.intern_key(key), availability: self.intern_availability(available) };
        self.learned.canonical_keys.insert(of, canonical);
        Ok(canonical)
    }

    /// Whether one token can end an undeclared key that there has been.
    fn can_close_seen(&mut self, seen: TrieId) -> Result<bool> {
        let mut ahead = vec![(seen, String::new())];
        while let Some((trie, text)) = ahead.pop() {
            self.fuel.spend(1)?;
            if self.terminals.tries.ends(trie) && self.index.closes(text.as_bytes()) {
                return Ok(true);
            }
            for &(code_point, child) in self.terminals.tries.edges(trie) {
                let longer: String = text.chars().chain(char::from_u32(code_point)).collect();
                if longer.len() < self.index.longest_token() {
                    ahead.push((child, longer));
                }
            }
        }
        Ok(false)
    }
}

/// Of the names that are left, those that come next in the schema's order: none behind one there has been, none before
/// one that is missing, and none that leaves too few behind it.
fn in_order(table: &ObjectTable, row: usize, order: &[u32], seen: &[u64], count: u32, left: &mut NameSet) {
    let row = &table.rows[row];
    let place = |name: usize| order.get(name).copied().filter(|&place| place != u32::MAX);
    let last = (0..table.names.len()).filter(|&name| has(seen, name)).filter_map(place).max();
    let first_missing = table.missing(row, seen).filter_map(place).min();
    let takes_others = row.undeclared != Language::None;
    let mut places: Vec<u32> =
        (0..table.names.len()).filter(|&name| has(&row.usable, name)).filter_map(place).collect();
    places.sort_unstable();
    for name in 0..table.names.len() {
        let Some(at) = place(name).filter(|_| has(left, name)) else { continue };
        let behind = places.len() - places.partition_point(|&other| other <= at);
        let is_next = last.is_none_or(|last| at > last) && first_missing.is_none_or(|missing| at <= missing);
        let is_enough = takes_others || count as usize + 1 + behind >= row.min_properties as usize;
        if !(is_next && is_enough) {
            left[name / 64] &= !(1 << (name % 64));
        }
    }
}
