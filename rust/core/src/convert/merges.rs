//! The merges of a vocabulary that only ranks its tokens: tiktoken's rank files, SentencePiece's scores.
//!
//! Such an encoder merges, as long as there is one, the pair of neighbours whose concatenation is the best token, the
//! leftmost of equals. A token is then always made of the same two: until it is whole, what happens inside it depends on
//! nothing outside, since no piece reaches across its ends. So a token's own text, encoded until two pieces are left,
//! gives its one merge; and an encoder that knows these merges, in the order of the ranks, makes the same choice at every
//! step, for the best pair there is at any time is always such a merge.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::error::{Error, Result};
use crate::limits::Limits;

/// The tokens that can be made by merging, and how good each is: less is better.
pub(super) struct Ranked<'a> {
    ranks: HashMap<&'a [u8], u32>,
    /// Bytes looked up so far.
    work: u64,
    // Of one token's pieces: where each ends (0: it is no more), the one before, the best pairs with the pieces' ends.
    ends: Vec<usize>,
    previous: Vec<usize>,
    queue: BinaryHeap<Reverse<(u32, usize, usize)>>,
}

impl<'a> Ranked<'a> {
    pub(super) fn new(ranks: HashMap<&'a [u8], u32>) -> Self {
        Self { ranks, work: 0, ends: Vec::new(), previous: Vec::new(), queue: BinaryHeap::new() }
    }

    /// Where the two pieces that `token` is made of meet, None: it is not made by merging. Its pieces are at first those
    /// that begin at `starts`, of which the first is 0.
    pub(super) fn merge_of(&mut self, token: &[u8], starts: impl Iterator<Item = usize>) -> Result<Option<usize>> {
        // A piece is known by where it begins.
        self.ends.clear();
        self.ends.resize(token.len(), 0);
        self.previous.clear();
        self.previous.resize(token.len(), usize::MAX);
        self.queue.clear();
        let (mut pieces, mut last) = (0, 0);
        for start in starts {
            if start > 0 {
                self.ends[last] = start;
                self.previous[start] = last;
            }
            (pieces, last) = (pieces + 1, start);
        }
        if pieces < 2 {
            return Ok(None);
        }
        self.ends[last] = token.len();
        let mut left = 0;
        while self.ends[left] < token.len() {
            self.offer(token, left)?;
            left = self.ends[left];
        }
        while pieces > 2 {
            let Some(Reverse((_, left, end))) = self.queue.pop() else { return Ok(None) };
            let middle = self.ends[left];
            // Merged into another meanwhile, or no longer as long as when it was offered.
            if middle == 0 || middle == token.len() || self.ends[middle] != end {
                continue;
            }
            self.ends[left] = end;
            self.ends[middle] = 0;
            pieces -= 1;
            if end < token.len() {
                self.previous[end] = left;
                self.offer(token, left)?;
            }
            if left > 0 {
                self.offer(token, self.previous[left])?;
            }
        }
        Ok(Some(self.ends[0]))
    }

    fn offer(&mut self, token: &[u8], left: usize) -> Result<()> {
        let end = self.ends[self.ends[left]];
        let maximum = Limits::DEFAULT.merge_recovery_bytes as u64;
        self.work += (end - left) as u64;
        if self.work > maximum {
            return Err(Error::Limit { limit: "merge_recovery_bytes", got: self.work, maximum });
        }
        if let Some(&rank) = self.ranks.get(&token[left..end])
            && end - left < token.len()
        {
            self.queue.push(Reverse((rank, left, end)));
        }
        Ok(())
    }
}
