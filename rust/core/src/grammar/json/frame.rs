//! The open objects and arrays of a text: frames on one stack, each with the alternatives that are still possible in
//! it.
//!
//! Cells are immutable and interned, so that equal texts stand in equal states, and forks share what they have in
//! common. Whoever reads a frame while a mask is made goes through `summary`, `full` or `key_start`, which take it
//! down.

use std::sync::Arc;

use super::context::ObjectRow;
use super::fill::Query;
use super::names::{NameSet, insert, no_names};
use super::{Characters, ContextId, FrameId, JsonMachine, NONE, ROOT, StackId, TextId, too_many_alternatives};
use crate::error::Result;
use crate::grammar::alternatives::Alternatives;
use crate::grammar::schema::{Alternative, AlternativeId, Array, ArrayId, NodeId};
use crate::grammar::trie::{TrieId, Tries};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Frame {
    /// Below everything: one alternative, the whole value.
    Root,
    Object {
        table: u32,
        alive: Alternatives,
        seen: u32,
        count: u32,
    },
    Array {
        table: u32,
        alive: Alternatives,
        count: u32,
    },
    /// Within a mask: the frame of a cell, with a key that has ended but is not counted yet.
    Derived {
        base: StackId,
        key: Characters,
    },
}

/// The keys an object has had.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Seen {
    pub(super) names: NameSet,
    pub(super) undeclared: TrieId,
}

/// What is known of a frame once someone has asked.
#[derive(Debug)]
pub(super) struct FrameInfo {
    summary: Option<(Summary, u32)>,
    /// The frame that stands for it where counts far from every bound are not told apart.
    projection: FrameId,
    key_start: Option<Option<Characters>>,
}

/// What the bytes after a value see of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Summary {
    /// The bracket that closes it; 0: it is the root.
    pub(super) closing: u8,
    /// Of the frame around it, the alternatives that have it as a value if it is closed now.
    pub(super) closed: Alternatives,
    pub(super) takes_more: bool,
    pub(super) alive: Alternatives,
}

/// Alternatives that are arrays.
#[derive(Debug)]
pub(super) struct ArrayTable {
    pub(super) arrays: Vec<(ArrayId, Alternatives)>,
    /// Counts beyond it are not told apart.
    count_clip: u32,
}

impl JsonMachine {
    pub(super) fn array_table(&mut self, members: Vec<(AlternativeId, Alternatives)>) -> Result<u32> {
        if members.is_empty() {
            return Ok(NONE);
        }
        let members: Box<[_]> = members.into();
        if let Some(&id) = self.learned.array_table_ids.get(&members) {
            return Ok(id);
        }
        if members.len() > Alternatives::CAPACITY {
            return Err(too_many_alternatives(members.len()));
        }
        let mut arrays = Vec::with_capacity(members.len());
        let mut count_clip = 1;
        for &(id, parents) in &members {
            if let Alternative::Array(id) = self.schema.alternative(id) {
                let Array { prefix, min, max, .. } = self.schema.array(id);
                let max = if *max == u32::MAX { 0 } else { *max };
                count_clip = count_clip.max(*min).max(max).max(prefix.len() as u32);
                arrays.push((id, parents));
            }
        }
        let id = self.learned.array_tables.len() as u32;
        self.learned.boxed_bytes += 2 * size_of_val(&*members);
        self.learned.array_tables.push(Arc::new(ArrayTable { arrays, count_clip }));
        self.learned.array_table_ids.insert(members, id);
        Ok(id)
    }

    pub(super) fn object_start(&mut self, table: u32) -> Result<FrameId> {
        let n_names = self.learned.object_tables[table as usize].names.len();
        let alive = Alternatives::first(self.learned.object_tables[table as usize].rows.len());
        let seen = self.seen(Seen { names: no_names(n_names), undeclared: Tries::EMPTY });
        self.frame(Frame::Object { table, alive, seen, count: 0 })
    }

    pub(super) fn array_start(&mut self, table: u32) -> Result<FrameId> {
        let alive = Alternatives::first(self.learned.array_tables[table as usize].arrays.len());
        self.frame(Frame::Array { table, alive, count: 0 })
    }

    fn seen(&mut self, seen: Seen) -> u32 {
        let bytes = size_of_val(&*seen.names);
        let (id, is_new) = self.learned.seen.insert_full(seen);
        if is_new {
            self.learned.boxed_bytes += bytes;
        }
        id as u32
    }

    pub(super) fn frame(&mut self, frame: Frame) -> Result<FrameId> {
        let (id, is_new) = self.learned.frames.insert_full(frame);
        let id = id as FrameId;
        if is_new {
            self.fuel.spend(1)?;
            self.learned.frame_infos.push(FrameInfo { summary: None, projection: id, key_start: None });
            if let Some(projected) = self.projected(id) {
                let projection = self.frame(projected)?;
                self.learned.frame_infos[id as usize].projection = projection;
            }
        }
        Ok(id)
    }

    /// While every bound of an array is out of one token's reach, all its counts are one.
    fn projected(&self, id: FrameId) -> Option<Frame> {
        let Frame::Array { table, alive, count } = *self.frame_at(id) else { return None };
        let reach = self.index.longest_token() as u32;
        let table_at = &self.learned.array_tables[table as usize];
        let arrays = || alive.iter().filter_map(|i| Some(self.schema.array(table_at.arrays.get(i)?.0)));
        let is_far = |bound: u32| bound == u32::MAX || bound > count && bound - count > reach;
        if !arrays().all(|array| count as usize >= array.prefix.len() && is_far(array.max)) {
            return None;
        }
        let prefix = arrays().map(|array| array.prefix.len() as u32).max().unwrap_or(0).max(1);
        let min = arrays().map(|array| array.min).max().unwrap_or(0);
        let count_of_all = match () {
            () if arrays().all(|array| count >= array.min) => prefix.max(min),
            () if arrays().all(|array| array.min > count && is_far(array.min)) => prefix,
            () => return None,
        };
        (count > count_of_all).then_some(Frame::Array { table, alive, count: count_of_all })
    }

    pub(super) fn frame_at(&self, id: FrameId) -> &Frame {
        self.learned.frames.get_index(id as usize).unwrap_or(&Frame::Root)
    }

    pub(super) fn push(&mut self, frame: FrameId, parent: StackId) -> StackId {
        let (id, is_new) = self.learned.stack.insert_full((frame, parent));
        if is_new {
            let depth = if id == 0 { 0 } else { self.depth(parent) + 1 };
            self.learned.depths.push(depth);
        }
        id as StackId
    }

    pub(super) fn depth(&self, stack: StackId) -> u32 {
        self.learned.depths.get(stack as usize).copied().unwrap_or(0)
    }

    pub(super) fn parent(&self, stack: StackId) -> StackId {
        self.learned.stack.get_index(stack as usize).map_or(ROOT, |&(_, parent)| parent)
    }

    pub(super) fn top(&self, stack: StackId) -> FrameId {
        self.learned.stack.get_index(stack as usize).map_or(0, |&(frame, _)| frame)
    }

    /// The cell with its frame built.
    fn built(&mut self, stack: StackId) -> Result<StackId> {
        // Keys that end within one token wait one upon the other.
        let mut waiting = Vec::new();
        let mut at = stack;
        while let Frame::Derived { base, key } = *self.frame_at(self.top(at)) {
            waiting.push((key, at));
            at = base;
        }
        while let Some((key, cell)) = waiting.pop() {
            let frame = self.full_of(at);
            let frame = self.key_frame(frame, key, None)?;
            at = self.push(frame, self.parent(cell));
        }
        Ok(at)
    }

    fn full_of(&mut self, stack: StackId) -> FrameId {
        self.observe(stack, Query::Full);
        self.top(stack)
    }

    pub(super) fn full(&mut self, stack: StackId) -> Result<FrameId> {
        let stack = self.built(stack)?;
        Ok(self.full_of(stack))
    }

    pub(super) fn summary(&mut self, stack: StackId) -> Result<Summary> {
        let stack = self.built(stack)?;
        let summary = self.summary_of(self.top(stack))?;
        self.observe(stack, Query::Summary);
        Ok(summary)
    }

    pub(super) fn alive(&mut self, stack: StackId) -> Result<Alternatives> {
        match *self.frame_at(self.top(stack)) {
            Frame::Derived { key, .. } => Ok(self.key_end(key)?.map_or(Alternatives::NONE, |end| end.alive)),
            _ => Ok(self.summary(stack)?.alive),
        }
    }

    /// Which keys may come in the frame on top; None: none.
    pub(super) fn key_start(&mut self, stack: StackId) -> Result<Option<Characters>> {
        let stack = self.built(stack)?;
        let start = self.key_start_of(self.top(stack))?;
        self.observe(stack, Query::Keys);
        match start {
            // The walk must be the same wherever the answer is.
            Some(start) if self.in_mask => self.canonical_key(start).map(Some),
            start => Ok(start),
        }
    }

    pub(super) fn key_start_of(&mut self, frame: FrameId) -> Result<Option<Characters>> {
        if let Some(start) = self.learned.frame_infos[frame as usize].key_start {
            return Ok(start);
        }
        let Frame::Object { table, alive, seen, count } = *self.frame_at(frame) else { return Ok(None) };
        let availability = self.availability(table, alive, seen, count)?;
        let undeclared = self.learned.seen.get_index(seen as usize).map_or(Tries::EMPTY, |seen| seen.undeclared);
        let start = self.first_key(table, undeclared, availability)?;
        self.learned.frame_infos[frame as usize].key_start = Some(start);
        Ok(start)
    }

    /// After the key read before the value that has ended, some alternative takes any number of any keys.
    pub(super) fn takes_any_key(&mut self, stack: StackId) -> Result<bool> {
        let Frame::Derived { key, .. } = *self.frame_at(self.top(stack)) else { return Ok(false) };
        self.always_takes_more(key)
    }

    pub(super) fn summary_of(&mut self, frame: FrameId) -> Result<Summary> {
        if let Some((summary, _)) = self.learned.frame_infos[frame as usize].summary {
            return Ok(summary);
        }
        let summary = match *self.frame_at(frame) {
            Frame::Root | Frame::Derived { .. } => {
                Summary { closing: 0, closed: Alternatives::NONE, takes_more: false, alive: Alternatives::one(0) }
            }
            Frame::Object { table, alive, seen, count } => {
                let takes_more = self.key_start_of(frame)?.is_some();
                let seen = self.learned.seen.get_index(seen as usize);
                let names: &[u64] = seen.map_or(&[], |seen| &seen.names);
                let can_close = |row: &ObjectRow| count >= row.min_properties && row.has_all_required(names);
                let rows = &self.learned.object_tables[table as usize].rows;
                let closed = alive.iter().map(|i| &rows[i]).filter(|row| can_close(row)).map(|row| row.parents);
                let closed = closed.fold(Alternatives::NONE, Alternatives::or);
                Summary { closing: b'}', closed, takes_more, alive }
            }
            Frame::Array { table, alive, count } => {
                let arrays = &self.learned.array_tables[table as usize].arrays;
                let alive_arrays = || alive.iter().map(|i| arrays[i]);
                let takes_more = alive_arrays().any(|(id, _)| self.item_node(id, count).is_some());
                let can_close = |id: ArrayId| count >= self.schema.array(id).min;
                let closed = alive_arrays().filter(|&(id, _)| can_close(id)).map(|(_, parents)| parents);
                let closed = closed.fold(Alternatives::NONE, Alternatives::or);
                Summary { closing: b']', closed, takes_more, alive }
            }
        };
        let id = self.learned.summaries.insert_full(summary).0 as u32;
        self.learned.frame_infos[frame as usize].summary = Some((summary, id));
        Ok(summary)
    }

    /// What the answer to a query about a cell is, as a number.
    pub(super) fn answer(&mut self, stack: StackId, query: Query) -> Result<u64> {
        let frame = self.top(stack);
        let key = |of: Characters| u64::from(of.id) << 32 | u64::from(of.availability);
        Ok(match query {
            Query::Summary => {
                self.summary_of(frame)?;
                u64::from(self.learned.frame_infos[frame as usize].summary.map_or(NONE, |(_, id)| id))
            }
            Query::Keys => match self.key_start_of(frame)? {
                Some(start) => key(self.canonical_key(start)?),
                None => u64::MAX,
            },
            Query::Full => self.learned.frame_infos[frame as usize].projection.into(),
        })
    }

    /// The node of the item after `count`.
    fn item_node(&self, id: ArrayId, count: u32) -> Option<NodeId> {
        let array = self.schema.array(id);
        let node = *array.prefix.get(count as usize).unwrap_or(&array.rest);
        (count < array.max && !self.schema.alternatives(node).is_empty()).then_some(node)
    }

    /// What the next item may be, and the stack with it counted.
    pub(super) fn item(&mut self, stack: StackId) -> Result<Option<(ContextId, StackId)>> {
        let stack = self.built(stack)?;
        let frame = self.full_of(stack);
        let Frame::Array { table, alive, count } = *self.frame_at(frame) else { return Ok(None) };
        let table_at = self.learned.array_tables[table as usize].clone();
        let (mut members, mut left) = (Vec::new(), Alternatives::NONE);
        for i in alive.iter() {
            if let Some(node) = self.item_node(table_at.arrays[i].0, count) {
                left = left.or(Alternatives::one(i));
                members.extend(self.schema.alternatives(node).iter().map(|&id| (id, Alternatives::one(i))));
            }
        }
        if members.is_empty() {
            return Ok(None);
        }
        let frame = self.frame(Frame::Array { table, alive: left, count: (count + 1).min(table_at.count_clip) })?;
        let stack = self.push(frame, self.parent(stack));
        Ok(Some((self.context(members)?, stack)))
    }

    /// The stack with fewer alternatives in the frame on top.
    pub(super) fn narrow(&mut self, stack: StackId, left: Alternatives) -> Result<StackId> {
        let stack = self.built(stack)?;
        let frame = self.full_of(stack);
        let mut frame = self.frame_at(frame).clone();
        if let Frame::Object { alive, .. } | Frame::Array { alive, .. } = &mut frame {
            *alive = left;
        }
        let frame = self.frame(frame)?;
        Ok(self.push(frame, self.parent(stack)))
    }

    /// The frame with a key counted. Without its text, which a mask does not have, an undeclared key is not remembered:
    /// the tokens that could hold it twice are kept apart.
    pub(super) fn key_frame(&mut self, frame: FrameId, key: Characters, text: Option<TextId>) -> Result<FrameId> {
        let Some(end) = self.key_end(key)? else { return Ok(frame) };
        let Frame::Object { table, seen, count, .. } = *self.frame_at(frame) else { return Ok(frame) };
        let mut now = self
            .learned
            .seen
            .get_index(seen as usize)
            .cloned()
            .unwrap_or(Seen { names: NameSet::default(), undeclared: Tries::EMPTY });
        match (end.name, text) {
            (Some(name), _) => insert(&mut now.names, name),
            (None, Some(text)) => {
                let characters = self.characters_of(text);
                now.undeclared = self.terminals.tries.insert(now.undeclared, &characters);
            }
            (None, None) => {}
        }
        let seen = self.seen(now);
        let count = (count + 1).min(self.learned.object_tables[table as usize].count_clip);
        self.frame(Frame::Object { table, alive: end.alive, seen, count })
    }

    /// The characters of a key, first to last.
    fn characters_of(&self, mut text: TextId) -> String {
        let mut characters = Vec::new();
        while text != 0 {
            let Some(&(code_point, before)) = self.learned.texts.get_index(text as usize) else { break };
            characters.push(code_point);
            text = before;
        }
        characters.into_iter().rev().filter_map(char::from_u32).collect()
    }
}
