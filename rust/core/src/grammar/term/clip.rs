//! Forgetting counters that are out of reach, so that states far from every bound are one.

use super::{Term, TermId, Terms, UNBOUNDED};
use crate::error::Result;
use crate::limits::Fuel;

enum Task {
    /// Clip a term for so many code points.
    Clip(TermId, u32),
    /// Put the clipped parts of a term together.
    Join(TermId, u32),
}

impl Terms {
    /// A term that is the same as `t` as far as `k` code points go: of every text of at most `k` both say alike whether it
    /// is theirs and whether it begins one of theirs. Upper bounds that `k` code points cannot reach are dropped, lower
    /// ones too if `minimums`.
    ///
    /// What is asked about a text that goes on after those must not read the counters: with a bound on the whole length
    /// from below it is not exact, and with one from above only without `minimums`, while the bound leaves room for the
    /// shortest end of each such text, which is the same of both then. Counters inside intersections and complements are
    /// left as they are.
    pub fn clip(&mut self, t: TermId, k: u32, minimums: bool, fuel: &mut Fuel) -> Result<TermId> {
        if let Some(clipped) = self.known_clip(t, k, minimums) {
            return Ok(clipped);
        }
        let work = self.work;
        let mut tasks = vec![Task::Clip(t, k)];
        let mut values: Vec<TermId> = Vec::new();
        while let Some(task) = tasks.pop() {
            fuel.spend(1)?;
            match task {
                Task::Clip(t, k) => {
                    if let Some(clipped) = self.known_clip(t, k, minimums) {
                        values.push(clipped);
                        continue;
                    }
                    tasks.push(Task::Join(t, k));
                    match self.term(t) {
                        Term::Concat(a, b) => {
                            // What stands behind a part is reached only by what the part leaves.
                            tasks.push(Task::Clip(b, k.saturating_sub(self.facts[a as usize].least)));
                            tasks.push(Task::Clip(a, k));
                        }
                        Term::Alternation(span) => {
                            fuel.spend(u64::from(span.len))?;
                            tasks.extend(self.members(span).iter().rev().map(|&member| Task::Clip(member, k)));
                        }
                        Term::Repeat(body, ..) => tasks.push(Task::Clip(body, k)),
                        _ => {}
                    }
                }
                Task::Join(t, k) => {
                    let clipped = match self.term(t) {
                        Term::Concat(..) => {
                            let (b, a) = (values.pop().unwrap_or(t), values.pop().unwrap_or(t));
                            self.concat(a, b)
                        }
                        Term::Alternation(span) => {
                            let members = values.split_off(values.len().saturating_sub(span.len as usize));
                            self.alternation(members)
                        }
                        Term::Repeat(body, min, max) => {
                            // Rounds that k code points can begin, as rounds without text need not be counted.
                            let rounds = k / self.facts[body as usize].least.max(1) + 1;
                            let body = values.pop().unwrap_or(body);
                            let min = if minimums { min.min(rounds) } else { min };
                            self.repeat(body, min, if max >= rounds { UNBOUNDED } else { max })
                        }
                        _ => t,
                    };
                    self.clips.insert((t, k, minimums), clipped);
                    values.push(clipped);
                }
            }
        }
        fuel.spend(self.work - work)?;
        Ok(values.pop().unwrap_or(t))
    }

    fn known_clip(&self, t: TermId, k: u32, minimums: bool) -> Option<TermId> {
        match k == 0 || !self.facts[t as usize].counted {
            true => Some(t),
            false => self.clips.get(&(t, k, minimums)).copied(),
        }
    }
}
