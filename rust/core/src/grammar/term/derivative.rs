//! Reading: what is left of a term after a code point.

use super::{Term, TermId, Terms, UNBOUNDED};
use crate::error::Result;
use crate::limits::Fuel;

/// What the derivatives of a term's parts are put together to.
#[derive(Clone, Copy)]
enum Shape {
    Sum,
    Product,
    Complement,
}

/// The derivative of one term in the making.
struct Frame {
    t: TermId,
    shape: Shape,
    /// Found so far.
    parts: Vec<TermId>,
    /// Terms whose derivative must be known first, and what comes behind it.
    pending: Vec<(TermId, TermId)>,
    /// What comes behind the derivative that is being found.
    behind: TermId,
}

impl Terms {
    /// What may follow `code_point` in texts of `t`.
    #[inline]
    pub fn derivative(&mut self, t: TermId, code_point: u32, fuel: &mut Fuel) -> Result<TermId> {
        match self.known_derivative(t, code_point) {
            Some(derivative) => Ok(derivative),
            None => self.derive(t, code_point, fuel),
        }
    }

    /// Whether `text` is one of `t`'s.
    pub fn matches(&mut self, t: TermId, text: &str, fuel: &mut Fuel) -> Result<bool> {
        let mut t = t;
        for c in text.chars() {
            fuel.spend(1)?;
            t = self.derivative(t, c.into(), fuel)?;
        }
        Ok(self.is_nullable(t))
    }

    #[inline]
    fn known_derivative(&self, t: TermId, code_point: u32) -> Option<TermId> {
        match t {
            Self::EMPTY | Self::EPSILON => Some(Self::EMPTY),
            Self::ANY => Some(Self::ANY),
            _ => self.derivatives.get(&(t, self.representative(t, code_point))).copied(),
        }
    }

    #[cold]
    fn derive(&mut self, t: TermId, code_point: u32, fuel: &mut Fuel) -> Result<TermId> {
        let work = self.work;
        let mut frames = vec![self.frame(t, code_point, fuel)?];
        while let Some(frame) = frames.last_mut() {
            if let Some((part, behind)) = frame.pending.pop() {
                match self.known_derivative(part, code_point) {
                    Some(derivative) => {
                        let rest = self.concat(derivative, behind);
                        frame.add(rest);
                    }
                    None => {
                        frame.behind = behind;
                        let inner = self.frame(part, code_point, fuel)?;
                        frames.push(inner);
                    }
                }
                continue;
            }
            let Some(Frame { t, shape, parts, .. }) = frames.pop() else { break };
            let derivative = match shape {
                Shape::Sum => self.alternation(parts),
                Shape::Product => self.intersection(parts),
                Shape::Complement => {
                    let inner = self.alternation(parts);
                    self.complement(inner)
                }
            };
            self.derivatives.insert((t, self.representative(t, code_point)), derivative);
            match frames.last_mut() {
                Some(above) => {
                    let rest = self.concat(derivative, above.behind);
                    above.add(rest);
                }
                None => {
                    fuel.spend(self.work - work)?;
                    return Ok(derivative);
                }
            }
        }
        Ok(Self::EMPTY)
    }

    /// Begins the derivative of `t`: finds all that needs no other derivative.
    fn frame(&mut self, t: TermId, code_point: u32, fuel: &mut Fuel) -> Result<Frame> {
        let mut frame = Frame { t, shape: Shape::Sum, parts: Vec::new(), pending: Vec::new(), behind: Self::EPSILON };
        match self.term(t) {
            Term::Intersection(span) => {
                frame.shape = Shape::Product;
                frame.pending = self.members(span).iter().rev().map(|&part| (part, Self::EPSILON)).collect();
                fuel.spend(frame.pending.len() as u64)?;
                return Ok(frame);
            }
            Term::Complement(inner) => {
                frame.shape = Shape::Complement;
                frame.pending.push((inner, Self::EPSILON));
                return Ok(frame);
            }
            _ => {}
        }
        // A text may begin in several parts; each gives what is left of it and what comes behind.
        let mut todo = vec![(t, Self::EPSILON)];
        while let Some((t, behind)) = todo.pop() {
            fuel.spend(1)?;
            match self.term(t) {
                Term::Empty | Term::Epsilon => {}
                Term::Class(class) => {
                    if self.classes.contains(class, code_point) {
                        frame.parts.push(behind);
                    }
                }
                Term::Concat(a, b) => {
                    if self.is_nullable(a) {
                        todo.push((b, behind));
                    }
                    if self.may_begin(a, code_point) {
                        let behind = self.concat(b, behind);
                        todo.push((a, behind));
                    }
                }
                Term::Alternation(span) => {
                    for i in span.range() {
                        let member = self.members[i];
                        if self.may_begin(member, code_point) {
                            todo.push((member, behind));
                        }
                    }
                    fuel.spend(u64::from(span.len))?;
                }
                Term::Repeat(body, min, max) => {
                    if self.may_begin(body, code_point) {
                        let fewer = if max == UNBOUNDED { UNBOUNDED } else { max - 1 };
                        let others = self.repeat(body, min.saturating_sub(1), fewer);
                        let behind = self.concat(others, behind);
                        todo.push((body, behind));
                    }
                }
                Term::Automaton { automaton, state } => {
                    if let Some(next) = self.automata.get(automaton).next(state, code_point) {
                        let rest = self.state(automaton, next);
                        let rest = self.concat(rest, behind);
                        frame.parts.push(rest);
                    }
                }
                Term::Variable(id) => todo.push((self.variables.definition(id), behind)),
                Term::Intersection(_) | Term::Complement(_) => frame.pending.push((t, behind)),
            }
        }
        Ok(frame)
    }

    /// False if it is plain that no text of `t` begins so.
    fn may_begin(&self, t: TermId, code_point: u32) -> bool {
        match self.term(t) {
            Term::Empty | Term::Epsilon => false,
            Term::Class(class) => self.classes.contains(class, code_point),
            Term::Automaton { automaton, state } => self.automata.get(automaton).next(state, code_point).is_some(),
            Term::Concat(a, _) => match self.term(a) {
                Term::Class(class) => self.classes.contains(class, code_point),
                _ => true,
            },
            _ => true,
        }
    }
}

impl Frame {
    fn add(&mut self, part: TermId) {
        // Nothing that is still to come changes an intersection with nothing.
        if matches!(self.shape, Shape::Product) && part == Terms::EMPTY {
            self.pending.clear();
            self.parts.clear();
        }
        self.parts.push(part);
    }
}
