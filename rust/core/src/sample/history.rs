//! The tokens of one request so far: which are counted, and which would go on with a repetition.

use super::params::{Counts, SamplingParams};
use super::plan::{Order, Profile};

/// How often a token stands in what penalties look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) id: u32,
    /// In the prompt.
    prompt: u32,
    /// Among those drawn.
    output: u32,
}

impl Count {
    pub(super) fn of(self, counts: Counts) -> u32 {
        match counts {
            Counts::All => self.prompt + self.output,
            Counts::Output => self.output,
        }
    }
}

/// Grows by one token a step; counts are kept, not counted anew.
#[derive(Debug, Clone)]
pub(super) struct History {
    tokens: Vec<u32>,
    n_prompt: usize,
    last_n: usize,
    /// Ids ascending.
    counts: Vec<Count>,
    pub(super) repetition_counts: Counts,
    pub(super) frequency_counts: Counts,
}

impl History {
    pub(super) fn new(params: &SamplingParams, fallback: &Order, prompt_ids: &[i64]) -> Self {
        let order = params.order.as_deref().unwrap_or(fallback);
        let is_llama = *order == Order::Profile(Profile::LlamaCpp);
        let last_n = params.penalty_last_n.map(|n| n as usize).unwrap_or(if is_llama { 64 } else { usize::MAX });
        let frequency = if is_llama { Counts::All } else { Counts::Output };
        let mut history = Self {
            tokens: Vec::with_capacity(prompt_ids.len()),
            n_prompt: prompt_ids.len(),
            last_n,
            counts: Vec::new(),
            repetition_counts: params.repetition_counts.unwrap_or(Counts::All),
            frequency_counts: params.frequency_counts.unwrap_or(frequency),
        };
        // Sorted once: a prompt may be long.
        let mut counted: Vec<u32> =
            prompt_ids.iter().skip(prompt_ids.len().saturating_sub(last_n)).map(|&id| id as u32).collect();
        counted.sort_unstable();
        for id in counted {
            match history.counts.last_mut() {
                Some(last) if last.id == id => last.prompt += 1,
                _ => history.counts.push(Count { id, prompt: 1, output: 0 }),
            }
        }
        history.tokens.extend(prompt_ids.iter().map(|&id| id as u32));
        history
    }

    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(super) fn counts(&self) -> &[Count] {
        &self.counts
    }

    pub(super) fn push(&mut self, token: u32) {
        self.tokens.push(token);
        if self.last_n == 0 {
            return;
        }
        match self.counts.binary_search_by_key(&token, |count| count.id) {
            Ok(index) => self.counts[index].output += 1,
            Err(index) => self.counts.insert(index, Count { id: token, prompt: 0, output: 1 }),
        }
        let Some(left) = self.tokens.len().checked_sub(self.last_n.saturating_add(1)) else { return };
        let id = self.tokens[left];
        if let Ok(index) = self.counts.binary_search_by_key(&id, |count| count.id) {
            let count = &mut self.counts[index];
            match left < self.n_prompt {
                true => count.prompt -= 1,
                false => count.output -= 1,
            }
            if count.prompt + count.output == 0 {
                self.counts.remove(index);
            }
        }
    }

    /// Whether it ends so.
    pub(super) fn ends_with(&self, tokens: &[u32]) -> bool {
        self.tokens.ends_with(tokens)
    }
}

/// How long the text before each token repeats the end of the text, for those at least `allowed` long, as (token, length);
/// of a token, the longest is what counts. Linear in the window: the Z-algorithm on it backwards.
pub(super) fn repeats(tokens: &[u32], params: &SamplingParams, z: &mut Vec<u32>, out: &mut Vec<(u32, u32)>) {
    out.clear();
    let window = params.dry_last_n.map_or(tokens.len(), |n| n as usize).min(tokens.len());
    let tokens = &tokens[tokens.len() - window..];
    let n = tokens.len();
    let is_breaker = |token: &u32| params.dry_breakers.binary_search(token).is_ok();
    // What repeats ends before the last breaker, and so no repetition is longer than the text since.
    let longest = tokens.iter().rev().position(is_breaker).unwrap_or(n);
    let least = params.dry_allowed_length.max(1);
    if longest < least as usize {
        return;
    }
    let at = |i: usize| tokens[n - 1 - i];
    z.clear();
    z.resize(n, 0);
    let (mut left, mut right) = (0, 0);
    for i in 1..n {
        let mut length = if i < right { (z[i - left] as usize).min(right - i) } else { 0 };
        while i + length < n && at(length) == at(i + length) {
            length += 1;
        }
        z[i] = length as u32;
        if i + length > right {
            (left, right) = (i, i + length);
        }
        // The text before token n - i ends with so many of the last tokens.
        let length = length.min(longest) as u32;
        if length >= least {
            out.push((at(i - 1), length));
        }
    }
    out.sort_unstable_by_key(|&(token, length)| (token, std::cmp::Reverse(length)));
    out.dedup_by_key(|pair| pair.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(history: &History) -> Vec<(u32, u32, u32)> {
        history.counts().iter().map(|c| (c.id, c.of(Counts::All), c.of(Counts::Output))).collect()
    }

    #[test]
    fn a_window_lets_go_of_what_leaves_it() {
        let params = SamplingParams { penalty_last_n: Some(3), ..SamplingParams::default() };
        let mut history = History::new(&params, &Order::default(), &[9, 5, 5]);
        assert_eq!(counted(&history), [(5, 2, 0), (9, 1, 0)]);
        history.push(7);
        assert_eq!(counted(&history), [(5, 2, 0), (7, 1, 1)]);
        history.push(7);
        history.push(5);
        assert_eq!(counted(&history), [(5, 1, 1), (7, 2, 2)]);
    }

    #[test]
    fn repetitions_end_at_breakers() {
        let mut out = Vec::new();
        let mut params = SamplingParams { dry_allowed_length: 2, ..SamplingParams::default() };
        repeats(&[1, 2, 3, 9, 1, 2, 3], &params, &mut Vec::new(), &mut out);
        assert_eq!(out, [(9, 3)]);
        params.dry_breakers = [1].into();
        repeats(&[1, 2, 3, 9, 1, 2, 3], &params, &mut Vec::new(), &mut out);
        assert_eq!(out, [(9, 2)]);
        params.dry_breakers = [3].into();
        repeats(&[1, 2, 3, 9, 1, 2, 3], &params, &mut Vec::new(), &mut out);
        assert_eq!(out, []);
    }
}
