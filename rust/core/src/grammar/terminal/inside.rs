//! The tokens that stay inside a terminal: walked along the characters of the vocabulary's tokens, and kept for every place
//! in a text of which they are the same. How a state reads a code point is `terminal`'s business.

use std::collections::BinaryHeap;
use std::sync::Arc;

use super::{DEAD, State, StateId, Terminal, Terminals, UNKNOWN};
use crate::error::Result;
use crate::grammar::alternatives::Alternatives;
use crate::grammar::hash::fingerprint;
use crate::grammar::index::{NONE, SHORT, VocabularyIndex};
use crate::grammar::partial::Wrapping;
use crate::grammar::signature::{self, Signature};
use crate::grammar::term::{Terms, UNBOUNDED};
use crate::grammar::text_trie::TextNode;
use crate::limits::Fuel;
use crate::mask;

/// Nodes of a trie that are paid for together.
const NODES_AT_ONCE: u64 = 1024;

/// Sets of classes that are tried.
const CANDIDATES: usize = 8;

/// States that are looked at to find classes whose texts are all read.
const STATES_AT_ONCE: usize = 64;

/// Tokens that stay inside a terminal, and what their reading met.
#[derive(Debug, Clone)]
pub(super) struct Inside {
    mask: Arc<[u32]>,
    met: Met,
}

/// What is true of every term a walk met.
#[derive(Debug, Clone, Copy)]
struct Met {
    /// The shortest text of none is longer.
    least: u32,
    /// None has a longest text.
    endless: bool,
    /// The lengths of the texts of each have no gap.
    contiguous: bool,
}

/// The tokens of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// Raw text of at most `SHORT` code points.
    Short,
    /// Longer ones, and those with escapes.
    Long,
}

/// What reading texts of some classes comes to.
enum Levels {
    /// All of at most so many code points can be read, and no longer ones.
    Even(u32),
    /// Of some length some can be read and others, at an end in these classes, cannot.
    Uneven {
        /// The classes.
        dead: Signature,
    },
    /// Not known.
    TooMany,
}

impl Terminals {
    /// The tokens that leave a text inside one of the members, the last code point of which may be partial.
    pub fn inside(
        &mut self,
        state: StateId,
        wrapping: Wrapping,
        index: &VocabularyIndex,
        fuel: &mut Fuel,
    ) -> Result<Arc<[u32]>> {
        let mut all: Option<Arc<[u32]>> = None;
        for i in 0..self.members(state).len() {
            let Some(&(terminal, _)) = self.members(state).get(i) else { break };
            let mask = self.inside_one(terminal, wrapping, index, fuel)?;
            all = Some(match all {
                None => mask,
                Some(mut all) => {
                    Arc::make_mut(&mut all).iter_mut().zip(mask.iter()).for_each(|(word, more)| *word |= more);
                    all
                }
            });
        }
        Ok(all.unwrap_or_else(|| vec![0; index.words()].into()))
    }

    fn inside_one(
        &mut self,
        terminal: Terminal,
        wrapping: Wrapping,
        index: &VocabularyIndex,
        fuel: &mut Fuel,
    ) -> Result<Arc<[u32]>> {
        if let Terminal::Pattern { term: Terms::ANY, max, .. } = terminal {
            return Ok(match wrapping {
                Wrapping::Text => index.text_up_to(max),
                Wrapping::JsonString => index.inside_up_to(max),
            });
        }
        if let Some(mask) = self.inside.get(&(terminal, wrapping)) {
            return Ok(mask.clone());
        }
        // Where a position far from every bound has been walked, this is another of the same mask.
        let short = self.far_from_bounds(terminal, SHORT, fuel)?;
        let long = self.far_from_bounds(terminal, index.longest_text(), fuel)?;
        let is_known = |far, part, reach| match self.parts.get(&(far, wrapping, part)) {
            Some(inside) => far == terminal || is_far(terminal, reach, inside.met),
            None => false,
        };
        let is_known = is_known(short, Part::Short, SHORT) && is_known(long, Part::Long, index.longest_text());
        if is_known && let Some(mask) = self.joined.get(&(short, long, wrapping)) {
            self.inside.insert((terminal, wrapping), mask.clone());
            return Ok(mask.clone());
        }
        let print = match terminal {
            Terminal::Pattern { term, min, max } => fingerprint(&(self.terms.fingerprint(term), min, max, wrapping)),
            Terminal::Words(trie) => fingerprint(&(self.tries.fingerprint(trie), wrapping)),
        };
        let mask = match index.known_inside(print) {
            Some(mask) => mask,
            None => {
                let (mut mask, short) = self.part(terminal, short, wrapping, Part::Short, index, fuel)?;
                let (longer, long) = self.part(terminal, long, wrapping, Part::Long, index, fuel)?;
                Arc::make_mut(&mut mask).iter_mut().zip(longer.iter()).for_each(|(word, more)| *word |= more);
                index.remember_inside(print, &mask);
                if let (Some(short), Some(long)) = (short, long) {
                    self.joined.insert((short, long, wrapping), mask.clone());
                }
                mask
            }
        };
        self.mask_bytes += size_of_val(&*mask);
        self.inside.insert((terminal, wrapping), mask.clone());
        Ok(mask)
    }

    /// Some of the tokens inside, and the terminal that they were found for if that is the one without bounds, `far`:
    /// all positions far from every bound share one walk.
    fn part(
        &mut self,
        terminal: Terminal,
        far: Terminal,
        wrapping: Wrapping,
        part: Part,
        index: &VocabularyIndex,
        fuel: &mut Fuel,
    ) -> Result<(Arc<[u32]>, Option<Terminal>)> {
        let reach = match part {
            Part::Short => SHORT,
            Part::Long => index.longest_text(),
        };
        let key = (far, wrapping, part);
        let inside = match self.parts.get(&key) {
            Some(inside) => inside.clone(),
            None => {
                let inside = self.walk(far, wrapping, part, index, fuel)?;
                self.mask_bytes += size_of_val(&*inside.mask);
                self.parts.insert(key, inside.clone());
                inside
            }
        };
        match far == terminal || is_far(terminal, reach, inside.met) {
            true => Ok((inside.mask, Some(far))),
            false => Ok((self.walk(terminal, wrapping, part, index, fuel)?.mask, None)),
        }
    }

    /// The terminal as it is before `reach` code points, if its bounds are beyond what those may still come to.
    fn far_from_bounds(&mut self, terminal: Terminal, reach: u32, fuel: &mut Fuel) -> Result<Terminal> {
        let Terminal::Pattern { term, min, max } = terminal else { return Ok(terminal) };
        if self.terms.is_boolean(term) || max <= reach {
            return Ok(terminal);
        }
        let clipped = self.terms.clip(term, reach, min == 0 && max == UNBOUNDED, fuel)?;
        if min > 0 && clipped != term {
            return Ok(terminal);
        }
        Ok(Terminal::Pattern { term: clipped, min: 0, max: UNBOUNDED })
    }

    fn walk(
        &mut self,
        terminal: Terminal,
        wrapping: Wrapping,
        part: Part,
        index: &VocabularyIndex,
        fuel: &mut Fuel,
    ) -> Result<Inside> {
        let mut inside = vec![0; index.words()];
        let mut met = Met { least: 0, endless: true, contiguous: true };
        let start = self.intern(vec![(terminal, Alternatives::one(0))], fuel)?;
        let (trie, reach) = match part {
            Part::Short => (&index.short, SHORT),
            Part::Long => (&index.long, index.longest_text()),
        };
        let (classes, limit) = self.decided(start, reach, wrapping, index, &mut met, fuel)?;
        if classes != 0 {
            let of_classes = index.of_classes(classes);
            let up_to = index.text_up_to(limit.min(reach));
            let shorter = match part {
                Part::Short => vec![0; index.words()].into(),
                Part::Long => index.text_up_to(SHORT),
            };
            for (i, word) in inside.iter_mut().enumerate() {
                *word = of_classes[i] & up_to[i] & !shorter[i];
            }
        }
        self.walk_text(trie, start, classes, wrapping, index, &mut inside, &mut met, fuel)?;
        if part == Part::Long && wrapping == Wrapping::JsonString {
            let mut stack = vec![(start, None)];
            let mut at = 0;
            while let Some(node) = index.escape.get(at) {
                fuel.spend(1)?;
                stack.truncate(node.depth());
                let (state, partial) = stack.last().copied().unwrap_or((DEAD, None));
                match self.step(state, partial, node.byte(), wrapping, fuel)? {
                    None => at = node.skip as usize,
                    Some(next) => {
                        if node.token != NONE {
                            mask::allow(&mut inside, node.token as usize);
                        }
                        self.meet(next.0, &mut met);
                        stack.push(next);
                        at += 1;
                    }
                }
            }
        }
        Ok(Inside { mask: inside.into(), met })
    }

    #[expect(clippy::too_many_arguments, reason = "one walk, called once")]
    fn walk_text(
        &mut self,
        trie: &[TextNode],
        start: StateId,
        decided: Signature,
        wrapping: Wrapping,
        index: &VocabularyIndex,
        inside: &mut [u32],
        met: &mut Met,
        fuel: &mut Fuel,
    ) -> Result<()> {
        let is_json = wrapping == Wrapping::JsonString;
        // (depth): the state after so many characters
        let mut stack = vec![DEAD; index.longest_text() as usize + 1];
        stack[0] = start;
        let mut met_last = DEAD;
        // The state read last and its row: most nodes are read in one state, and then nothing waits for a look-up.
        let (mut row_state, mut row) = (start, self.row_of(start));
        let mut n_nodes = 0;
        let mut at = 0;
        while let Some(node) = trie.get(at) {
            n_nodes += 1;
            if n_nodes == NODES_AT_ONCE {
                fuel.spend(n_nodes)?;
                n_nodes = 0;
            }
            if node.signature & !decided == 0 {
                at = node.skip as usize;
                continue;
            }
            let depth = node.depth as usize;
            if node.symbol == TextNode::GATE {
                let can = self.can_read(stack[depth], 0x80, 0x10_FFFF, fuel)?;
                at = if can { at + 1 } else { node.skip as usize };
                continue;
            }
            let state = stack[depth - 1];
            if node.symbol >= TextNode::PARTIAL {
                let (low, high) = index.partial(node.symbol);
                if self.can_read(state, low, high, fuel)? {
                    mask::allow(inside, node.token as usize);
                }
                at += 1;
                continue;
            }
            let next = match node.symbol {
                0..0x20 | 0x22 | 0x5C if is_json => DEAD,
                code_point => {
                    if state != row_state {
                        (row_state, row) = (state, self.row_of(state));
                    }
                    self.known(row, code_point)
                }
            };
            let next = if next == UNKNOWN { self.learn(state, node.symbol, fuel)? } else { next };
            if next == DEAD {
                at = node.skip as usize;
                continue;
            }
            if node.token != NONE {
                mask::allow(inside, node.token as usize);
            }
            if next != met_last {
                self.meet(next, met);
                met_last = next;
            }
            stack[depth] = next;
            at += 1;
        }
        fuel.spend(n_nodes)
    }

    /// Classes of which all texts of at most so many code points can be read from a state, and no longer ones; empty if
    /// none are found. `reach`: what longer texts do is of no interest.
    fn decided(
        &mut self,
        start: StateId,
        reach: u32,
        wrapping: Wrapping,
        index: &VocabularyIndex,
        met: &mut Met,
        fuel: &mut Fuel,
    ) -> Result<(Signature, u32)> {
        let banned = match wrapping {
            Wrapping::Text => 0,
            Wrapping::JsonString => {
                signature::of_range(0, 0x1F) | signature::of_range(0x22, 0x22) | signature::of_range(0x5C, 0x5C)
            }
        };
        let row = self.row(start, fuel)?;
        let of = |is_it: &dyn Fn(StateId) -> bool| {
            row.iter().filter(|entry| is_it(entry.1)).fold(0, |all, entry| all | entry.0)
        };
        let purely = |is_it: &dyn Fn(StateId) -> bool| of(is_it) & !of(&|next| !is_it(next)) & !banned;
        // All that is read at all, and what leads to one state: first what most tokens are of.
        let mut candidates = BinaryHeap::new();
        let candidate = |classes| (index.n_of_classes(classes), classes);
        candidates.push(candidate(purely(&|next| next != DEAD)));
        for &(_, next) in row.iter().filter(|entry| entry.1 != DEAD).take(CANDIDATES) {
            candidates.push(candidate(purely(&|other| other == next)));
        }
        for _ in 0..CANDIDATES {
            let Some((1.., classes)) = candidates.pop() else { break };
            match self.levels(start, classes, reach, met, fuel)? {
                Levels::Even(limit) => {
                    let has_wide = signature::WIDE & !classes == 0;
                    return Ok((if has_wide { classes | signature::PARTIAL } else { classes }, limit));
                }
                Levels::Uneven { dead } => candidates.push(candidate(classes & !dead)),
                Levels::TooMany => {}
            }
        }
        Ok((0, 0))
    }

    /// How many code points of these classes can be read.
    fn levels(
        &mut self,
        start: StateId,
        classes: Signature,
        reach: u32,
        met: &mut Met,
        fuel: &mut Fuel,
    ) -> Result<Levels> {
        let mut seen = vec![start];
        let mut level = vec![start];
        let mut comes_back = false;
        for depth in 0..reach {
            let mut next = Vec::new();
            // What came back is alive at every later level.
            let (mut dead, mut any_alive) = (0, comes_back);
            for &state in &level {
                for (signature, to) in self.row(state, fuel)? {
                    if signature & classes == 0 {
                        continue;
                    }
                    match to {
                        DEAD => dead |= signature,
                        to => {
                            any_alive = true;
                            if seen.contains(&to) {
                                comes_back = true;
                            } else if !next.contains(&to) {
                                next.push(to);
                            }
                        }
                    }
                }
            }
            if dead != 0 {
                return Ok(if any_alive { Levels::Uneven { dead } } else { Levels::Even(depth) });
            }
            if next.is_empty() {
                return Ok(Levels::Even(UNBOUNDED));
            }
            for &state in &next {
                self.meet(state, met);
            }
            seen.extend_from_slice(&next);
            if seen.len() > STATES_AT_ONCE {
                return Ok(Levels::TooMany);
            }
            level = next;
        }
        Ok(Levels::Even(UNBOUNDED))
    }

    /// Of each class of a state, the classes of signatures that it has code points of, and the state it leads to.
    fn row(&mut self, state: StateId, fuel: &mut Fuel) -> Result<Vec<(Signature, StateId)>> {
        let Some(&State { partition, .. }) = self.states.get(state as usize) else { return Ok(Vec::new()) };
        let n = self.partitions.classes(partition).len();
        let mut row = Vec::with_capacity(n);
        for class in 0..n {
            let Some(&(code_point, signature)) = self.partitions.classes(partition).get(class) else { break };
            row.push((signature, self.next(state, code_point, fuel)?));
        }
        Ok(row)
    }

    fn meet(&self, state: StateId, met: &mut Met) {
        for (terminal, _) in self.members(state) {
            if let Terminal::Pattern { term, .. } = *terminal {
                met.least = met.least.max(self.terms.min_length(term));
                met.endless &= self.terms.max_length(term) == UNBOUNDED;
                met.contiguous &= self.terms.is_contiguous(term);
            }
        }
    }
}

/// Whether `reach` code points leave room for every text that a walk without bounds met.
fn is_far(terminal: Terminal, reach: u32, met: Met) -> bool {
    let Terminal::Pattern { min, max, .. } = terminal else { return false };
    let has_room = max == UNBOUNDED || max >= reach.saturating_add(met.least);
    has_room && (min == 0 || met.endless && (max == UNBOUNDED || met.contiguous))
}
