//! All texts of a term, where they are few.

use super::{Term, TermId, Terms, UNBOUNDED};
use crate::error::Result;
use crate::limits::Fuel;

impl Terms {
    /// All texts of `t`, ascending, if there are at most `at_most`.
    pub fn texts(&mut self, t: TermId, at_most: usize, fuel: &mut Fuel) -> Result<Option<Vec<String>>> {
        if !self.is_boolean(t) && t != Self::EMPTY && self.max_length(t) == UNBOUNDED {
            return Ok(None);
        }
        // (code point, the one before it); the first is before all.
        let mut letters: Vec<(u32, usize)> = vec![(0, 0)];
        let mut ends = Vec::new();
        let mut level = vec![(t, 0)];
        while !level.is_empty() {
            let mut next_level = Vec::new();
            for (t, at) in level {
                if self.is_nullable(t) {
                    ends.push(at);
                }
                if t == Self::EPSILON || t == Self::EMPTY {
                    continue;
                }
                let n_classes = self.boundaries(t).len() + 1;
                for class in 0..n_classes {
                    fuel.spend(1)?;
                    let boundaries = self.boundaries(t);
                    let low = if class == 0 { 0 } else { boundaries[class - 1] };
                    let high = boundaries.get(class).map_or(u32::from(char::MAX), |&next| next - 1);
                    let rest = self.derivative(t, low, fuel)?;
                    if !self.is_alive(rest, 0, UNBOUNDED, fuel)? {
                        continue;
                    }
                    for code_point in (low..=high).filter(|&c| char::from_u32(c).is_some()) {
                        // Every unfinished text becomes at least one.
                        if ends.len() + next_level.len() >= at_most {
                            return Ok(None);
                        }
                        fuel.spend(1)?;
                        letters.push((code_point, at));
                        next_level.push((rest, letters.len() - 1));
                    }
                }
            }
            if ends.len() + next_level.len() > at_most {
                return Ok(None);
            }
            level = next_level;
        }
        let mut texts = Vec::with_capacity(ends.len());
        for end in ends {
            let mut text = Vec::new();
            let mut at = end;
            while at != 0 {
                fuel.spend(1)?;
                let (code_point, before) = letters[at];
                text.extend(char::from_u32(code_point));
                at = before;
            }
            texts.push(text.into_iter().rev().collect());
        }
        texts.sort_unstable();
        Ok(Some(texts))
    }

    /// The parts of an alternation; of any other term the term itself.
    pub fn alternatives(&self, t: TermId) -> Vec<TermId> {
        match self.term(t) {
            Term::Empty => Vec::new(),
            Term::Alternation(span) => self.members(span).to_vec(),
            _ => vec![t],
        }
    }
}
