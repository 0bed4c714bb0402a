//! Many lines, one step: rows in, columns out. What happens to a row is `line`'s business; no row knows another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::line::{Finish, Line, LineOptions, LineStep};
use crate::rows::{run, threads_worth};
use crate::sample::{Logits, Order, SampleColumns, Scratch, at_least_one, check_rows, check_vocab_size, n_top};
use crate::slots::Slots;
use crate::vocab::Vocab;

/// What became of each row of a step, column by column. Later versions add columns.
#[derive(Debug, Default)]
pub struct StepColumns {
    /// The tokens and what the rows were like.
    pub sample: SampleColumns,
    /// (batch,) `Finish`
    pub finish: Vec<u8>,
    /// (batch,) which stop string matched, -1 for none.
    pub stop_index: Vec<i32>,
    /// UTF-8 of all rows, one after the other.
    pub text: Vec<u8>,
    /// (batch + 1,) row i is `text[text_offsets[i]..text_offsets[i + 1]]`.
    pub text_offsets: Vec<i64>,
    /// Server-sent events of all rows, one after the other.
    pub frames: Vec<u8>,
    /// (batch + 1,) as `text_offsets`.
    pub frame_offsets: Vec<i64>,
}

impl StepColumns {
    fn new(n_rows: usize, n_top: usize) -> Self {
        let sample = SampleColumns::new(n_rows, n_top);
        Self { sample, text_offsets: vec![0], frame_offsets: vec![0], ..Self::default() }
    }

    fn push(&mut self, step: LineStep) {
        self.sample.push(step.draw, &step.top);
        self.finish.push(step.finish as u8);
        self.stop_index.push(step.stop_index.map_or(-1, |index| index as i32));
        self.text.extend_from_slice(&step.text);
        self.text_offsets.push(self.text.len() as i64);
        self.frames.extend_from_slice(&step.frames);
        self.frame_offsets.push(self.frames.len() as i64);
    }
}

/// The requests in flight, each under its slot.
#[derive(Debug)]
pub struct Batch {
    vocab: Arc<Vocab>,
    vocab_size: Option<usize>,
    order: Arc<Order>,
    lines: Slots<Line>,
    /// One for each thread there may be, and at least one.
    workers: Vec<Scratch>,
}

impl Batch {
    /// `vocab_size` is the width of the model's logits; None takes any from the vocabulary's own up. `order` is that of
    /// requests whose parameters name none. There are as many threads as `workers`, where the rows are worth it.
    pub fn new(vocab: Arc<Vocab>, vocab_size: Option<usize>, order: Order, workers: Vec<Scratch>) -> Result<Self> {
        if let Some(vocab_size) = vocab_size {
            check_vocab_size(vocab_size, Some(&vocab))?;
        }
        Ok(Self { vocab, vocab_size, order: Arc::new(order), lines: Slots::default(), workers: at_least_one(workers) })
    }

    /// Requests there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Start a request.
    pub fn add(&mut self, mut options: LineOptions, prompt_ids: &[i64]) -> Result<i64> {
        options.params.order.get_or_insert_with(|| self.order.clone());
        Ok(self.lines.add(Line::new(self.vocab.clone(), options, prompt_ids)?))
    }

    /// End a request.
    pub fn remove(&mut self, slot: i64) -> Result<()> {
        self.lines.remove(slot).map(drop)
    }

    /// Take a row for each of `slots` down its line. Nothing changes where this is an error.
    pub fn step(&mut self, rows: &[Logits<'_>], slots: &[i64], masks: Option<&[&[u32]]>) -> Result<StepColumns> {
        check_rows(rows, slots.len(), masks, self.vocab_size)?;
        for row in rows {
            match row {
                Logits::Dense(row) if row.len() < self.vocab.len() => {
                    let what = format!("logits: rows of {} for a vocabulary of {}", row.len(), self.vocab.len());
                    return Err(Error::Shape { what });
                }
                _ => {}
            }
        }
        self.lines.check(slots)?;
        for &slot in slots {
            if self.lines.get(slot)?.finish() != Finish::Running {
                return Err(Error::Slot { slot, what: "is finished: remove it" });
            }
        }
        let n_top = n_top(slots.iter().filter_map(|&slot| self.lines.get(slot).ok()).map(Line::params));
        let mask = |i: usize| masks.map(|masks| masks[i]);
        let lines = self.lines.many_mut(slots)?;
        let items = rows.iter().zip(lines).enumerate().map(|(i, (&row, line))| (row, mask(i), line)).collect();
        let threads = threads_worth(rows.len(), rows.len() * self.vocab.len(), self.workers.len());
        let steps = run(items, &mut self.workers[..threads], |(row, mask, line), scratch| {
            let step = catch_unwind(AssertUnwindSafe(|| line.step(row, mask, scratch)));
            step.unwrap_or_else(|_| LineStep::fault())
        });
        let mut columns = StepColumns::new(rows.len(), n_top);
        steps.into_iter().for_each(|step| columns.push(step));
        Ok(columns)
    }
}
