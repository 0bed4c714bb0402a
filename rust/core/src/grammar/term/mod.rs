//! Terms over code points: classes, concatenation, alternation, intersection, complement and counters, each made once.
//! `build` makes them in a normal form, `derivative` reads, `alive` asks whether anything can still follow, `clip` forgets
//! counters out of reach, `texts` lists, `restrict` and `reverse` make terms of terms, `variables` are terms that stand in
//! their own definition. Patterns, numbers, bytes and vocabularies are not known here.
//!
//! A term stands for a set of texts. Terms are ids into one arena, so that no tree is walked to compare or to drop one, and
//! nothing here recurses. Building never fails and costs little more than what it is given; its steps are counted, and the
//! functions that take fuel pay for them.

mod alive;
mod automata;
mod build;
mod class;
mod clip;
mod derivative;
mod leading;
mod restrict;
mod reverse;
#[cfg(test)]
mod tests;
mod texts;
mod variables;

pub use leading::Leading;

use super::hash::{IdTable, Map, Seeded, fingerprint, map_bytes};
use std::hash::BuildHasher;

/// A term of one `Terms`.
pub type TermId = u32;

/// No upper bound on a count or a length.
pub const UNBOUNDED: u32 = u32::MAX;

/// Where in a pool some items stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// The members of an alternation or intersection are ascending ids, without doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    Empty,
    Epsilon,
    Class(u32),
    Concat(TermId, TermId),
    Alternation(Span),
    Intersection(Span),
    Complement(TermId),
    Repeat(TermId, u32, u32),
    Automaton { automaton: u32, state: u32 },
    Variable(u32),
}

/// What is known of a term from its parts.
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// Holds the empty text.
    nullable: bool,
    /// Holds an intersection, a complement or a variable: then `least` and `most` are bounds, else they are met.
    boolean: bool,
    /// Holds, outside intersections and complements, a counter that is not `*`, `+` or `?`.
    counted: bool,
    /// Not boolean, and every length from `least` to `most` is some text's.
    contiguous: bool,
    /// Code points of its shortest text.
    least: u32,
    /// Code points of its longest text.
    most: u32,
    /// The set of points at which the derivative may change.
    boundaries: u32,
    /// Parts of the concatenation it is.
    parts: u32,
    fingerprint: u128,
}

/// An arena of terms, and what was learned of them.
#[derive(Debug, Clone)]
pub struct Terms {
    terms: Vec<Term>,
    facts: Vec<Facts>,
    /// Members of alternations and intersections.
    members: Vec<TermId>,
    ids: IdTable,
    classes: class::Classes,
    automata: automata::Automata,
    variables: variables::Variables,
    points: class::PointSets,
    hasher: Seeded,
    /// Steps of building, ever.
    work: u64,
    derivatives: Map<(TermId, u32), TermId>,
    alive: Map<(TermId, u32, u32), bool>,
    clips: Map<(TermId, u32, bool), TermId>,
}

/// Every code point.
const ANY_CLASS: TermId = 2;

impl Terms {
    /// No text.
    pub const EMPTY: TermId = 0;
    /// The empty text.
    pub const EPSILON: TermId = 1;
    /// Every text.
    pub const ANY: TermId = 3;

    /// An arena that holds `EMPTY`, `EPSILON` and `ANY`.
    pub fn new() -> Self {
        let mut terms = Self {
            terms: Vec::new(),
            facts: Vec::new(),
            members: Vec::new(),
            ids: IdTable::default(),
            classes: class::Classes::default(),
            automata: automata::Automata::default(),
            variables: variables::Variables::default(),
            points: class::PointSets::new(),
            hasher: Seeded::default(),
            work: 0,
            derivatives: Map::default(),
            alive: Map::default(),
            clips: Map::default(),
        };
        terms.intern(Term::Empty, &[]);
        terms.intern(Term::Epsilon, &[]);
        terms.class(&[(0, u32::from(char::MAX))]);
        terms.intern(Term::Repeat(ANY_CLASS, 0, UNBOUNDED), &[]);
        terms
    }

    /// How many terms there are.
    #[expect(clippy::len_without_is_empty, reason = "three terms are always there")]
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.terms.capacity() * size_of::<Term>()
            + self.facts.capacity() * size_of::<Facts>()
            + self.members.capacity() * size_of::<TermId>()
            + self.ids.bytes()
            + self.classes.bytes()
            + self.automata.bytes()
            + self.variables.bytes()
            + self.points.bytes()
            + map_bytes(&self.derivatives)
            + map_bytes(&self.alive)
            + map_bytes(&self.clips)
    }

    /// Forgets every term but the first `len`, and all that was learned.
    pub fn truncate(&mut self, len: usize) {
        let len = len.max(Self::ANY as usize + 1);
        if len < self.terms.len() {
            self.terms.truncate(len);
            self.facts.truncate(len);
            let last_span = self.terms.iter().rev().find_map(|term| match term {
                Term::Alternation(span) | Term::Intersection(span) => Some(span.range().end),
                _ => None,
            });
            self.members.truncate(last_span.unwrap_or(0));
            let classes = self.terms.iter().filter_map(|term| match term {
                Term::Class(class) => Some(*class as usize + 1),
                _ => None,
            });
            self.classes.truncate(classes.max().unwrap_or(0));
            let automata = self.terms.iter().filter_map(|term| match term {
                Term::Automaton { automaton, .. } => Some(*automaton as usize + 1),
                _ => None,
            });
            self.automata.truncate(automata.max().unwrap_or(0));
            let variables = self.terms.iter().filter_map(|term| match term {
                Term::Variable(variable) => Some(*variable as usize + 1),
                _ => None,
            });
            self.variables.truncate(variables.max().unwrap_or(0));
            self.points.truncate(self.facts.iter().map(|facts| facts.boundaries as usize + 1).max().unwrap_or(0));
            self.terms.shrink_to_fit();
            self.facts.shrink_to_fit();
            self.members.shrink_to_fit();
            self.ids.clear();
            for id in 0..len as TermId {
                let Self { ids, terms, members, hasher, .. } = self;
                ids.insert(id, |id| hash(hasher, terms[id as usize], members_of(terms[id as usize], members)));
            }
        }
        self.derivatives = Map::default();
        self.alive = Map::default();
        self.clips = Map::default();
    }

    /// Whether the empty text is one of its texts.
    #[inline]
    pub fn is_nullable(&self, t: TermId) -> bool {
        self.facts[t as usize].nullable
    }

    /// Whether it holds an intersection, a complement or a variable.
    #[inline]
    pub fn is_boolean(&self, t: TermId) -> bool {
        self.facts[t as usize].boolean
    }

    /// Code points of its shortest text. `UNBOUNDED`: it has none, or it is boolean and only `is_alive` can tell.
    #[inline]
    pub fn min_length(&self, t: TermId) -> u32 {
        let facts = &self.facts[t as usize];
        if facts.boolean { UNBOUNDED } else { facts.least }
    }

    /// Code points of its longest text. `UNBOUNDED`: there is no longest, or it is boolean and not known.
    #[inline]
    pub fn max_length(&self, t: TermId) -> u32 {
        let facts = &self.facts[t as usize];
        if facts.boolean { UNBOUNDED } else { facts.most }
    }

    /// Whether it is known that the lengths of its texts have no gap; never of a boolean one.
    #[inline]
    pub fn is_contiguous(&self, t: TermId) -> bool {
        self.facts[t as usize].contiguous
    }

    /// The code points at which its derivative may change, ascending. Between two of them, before the first and from the
    /// last on it is the same. 0 and surrogates are never among them.
    #[inline]
    pub fn boundaries(&self, t: TermId) -> &[u32] {
        self.points.get(self.facts[t as usize].boundaries)
    }

    /// The least code point with the same derivative as this one.
    #[inline]
    pub fn representative(&self, t: TermId, code_point: u32) -> u32 {
        let boundaries = self.boundaries(t);
        match boundaries.partition_point(|&boundary| boundary <= code_point) {
            0 => 0,
            i => boundaries[i - 1],
        }
    }

    /// 128 bits that stand for how the term is made: equal in every arena of the process for terms made alike.
    #[inline]
    pub fn fingerprint(&self, t: TermId) -> u128 {
        self.facts[t as usize].fingerprint
    }

    /// Steps of building since the arena was made, for callers who pay with fuel of their own.
    pub fn work(&self) -> u64 {
        self.work
    }

    fn term(&self, t: TermId) -> Term {
        self.terms[t as usize]
    }

    fn members(&self, span: Span) -> &[TermId] {
        &self.members[span.range()]
    }

    /// The id of a term. `members` are those of an alternation or intersection, whose span is not yet known.
    fn intern(&mut self, term: Term, members: &[TermId]) -> TermId {
        self.work += 1;
        let is_it = |id: TermId| {
            let other = self.terms[id as usize];
            same(other, term) && members_of(other, &self.members) == members
        };
        if let Some(id) = self.ids.find(hash(&self.hasher, term, members), is_it) {
            return id;
        }
        let span = Span { start: self.members.len() as u32, len: members.len() as u32 };
        self.members.extend_from_slice(members);
        let term = match term {
            Term::Alternation(_) => Term::Alternation(span),
            Term::Intersection(_) => Term::Intersection(span),
            term => term,
        };
        let facts = self.facts_of(term, members);
        let id = self.terms.len() as TermId;
        self.terms.push(term);
        self.facts.push(facts);
        let Self { ids, terms, members, hasher, .. } = self;
        ids.insert(id, |id| hash(hasher, terms[id as usize], members_of(terms[id as usize], members)));
        id
    }

    fn facts_of(&mut self, term: Term, members: &[TermId]) -> Facts {
        let fact = |t: TermId| self.facts[t as usize];
        let print = |t: TermId| self.facts[t as usize].fingerprint;
        // In the order of their fingerprints, as the order of ids depends on what else the arena holds.
        let prints = || {
            let mut prints: Vec<u128> = members.iter().map(|&t| print(t)).collect();
            prints.sort_unstable();
            prints
        };
        let empty = Facts {
            nullable: false,
            boolean: false,
            counted: false,
            contiguous: true,
            least: 0,
            most: 0,
            boundaries: class::PointSets::NONE,
            parts: 1,
            fingerprint: 0,
        };
        match term {
            Term::Empty => Facts { least: UNBOUNDED, fingerprint: fingerprint(&0u8), ..empty },
            Term::Epsilon => Facts { nullable: true, fingerprint: fingerprint(&1u8), ..empty },
            Term::Class(class) => Facts {
                least: 1,
                most: 1,
                fingerprint: fingerprint(&(2u8, self.classes.get(class))),
                boundaries: self.points.of_class(self.classes.get(class)),
                ..empty
            },
            Term::Concat(a, b) => {
                let (x, y) = (fact(a), fact(b));
                Facts {
                    nullable: x.nullable && y.nullable,
                    boolean: x.boolean || y.boolean,
                    counted: x.counted || y.counted,
                    contiguous: x.contiguous && y.contiguous,
                    least: x.least.saturating_add(y.least).min(UNBOUNDED - 1),
                    most: x.most.saturating_add(y.most),
                    fingerprint: fingerprint(&(3u8, x.fingerprint, y.fingerprint)),
                    boundaries: match x.nullable {
                        true => self.points.union(&[x.boundaries, y.boundaries], &mut self.work),
                        false => x.boundaries,
                    },
                    parts: y.parts.saturating_add(1),
                }
            }
            Term::Alternation(_) => {
                let facts: Vec<Facts> = members.iter().map(|&t| fact(t)).collect();
                let sets: Vec<u32> = facts.iter().map(|f| f.boundaries).collect();
                let boolean = facts.iter().any(|f| f.boolean);
                Facts {
                    nullable: facts.iter().any(|f| f.nullable),
                    boolean,
                    counted: facts.iter().any(|f| f.counted),
                    contiguous: !boolean && is_contiguous(&facts),
                    least: facts.iter().map(|f| f.least).min().unwrap_or(UNBOUNDED),
                    most: facts.iter().map(|f| f.most).max().unwrap_or(0),
                    fingerprint: fingerprint(&(4u8, prints())),
                    boundaries: self.points.union(&sets, &mut self.work),
                    ..empty
                }
            }
            Term::Intersection(_) => {
                let facts: Vec<Facts> = members.iter().map(|&t| fact(t)).collect();
                let sets: Vec<u32> = facts.iter().map(|f| f.boundaries).collect();
                let nullable = facts.iter().all(|f| f.nullable);
                let least = facts.iter().map(|f| f.least).max().unwrap_or(0);
                Facts {
                    nullable,
                    boolean: true,
                    contiguous: false,
                    least: least.max(u32::from(!nullable)),
                    most: facts.iter().map(|f| f.most).min().unwrap_or(0),
                    fingerprint: fingerprint(&(5u8, prints())),
                    boundaries: self.points.union(&sets, &mut self.work),
                    ..empty
                }
            }
            Term::Complement(a) => {
                let x = fact(a);
                Facts {
                    nullable: !x.nullable,
                    boolean: true,
                    contiguous: false,
                    least: u32::from(x.nullable),
                    most: UNBOUNDED,
                    fingerprint: fingerprint(&(6u8, x.fingerprint)),
                    boundaries: x.boundaries,
                    ..empty
                }
            }
            Term::Repeat(a, min, max) => {
                let x = fact(a);
                let product = |count: u32, length: u32| u64::from(count) * u64::from(length);
                // From `k` times to `k + 1` times there is no gap if (k + 1) * least <= k * most + 1, which holds for all
                // greater k if it does for one.
                let no_gap = product(min, x.least) + u64::from(x.least) <= product(min, x.most) + 1;
                Facts {
                    nullable: min == 0 || x.nullable,
                    boolean: x.boolean,
                    counted: x.counted || min > 1 || max != UNBOUNDED,
                    contiguous: x.contiguous && (min == max || no_gap),
                    least: product(min, x.least).min(u64::from(UNBOUNDED) - 1) as u32,
                    most: product(max, x.most).min(u64::from(UNBOUNDED)) as u32,
                    fingerprint: fingerprint(&(7u8, x.fingerprint, min, max)),
                    boundaries: x.boundaries,
                    ..empty
                }
            }
            Term::Automaton { automaton, state } => {
                let of = self.automata.get(automaton);
                let (least, most) = (of.min_length(state), of.max_length(state));
                Facts {
                    nullable: of.accepts(state),
                    contiguous: least == most,
                    least,
                    most,
                    fingerprint: fingerprint(&(8u8, self.automata.fingerprint(automaton), state)),
                    boundaries: self.points.of_edges(of.edges(state)),
                    ..empty
                }
            }
            Term::Variable(id) => {
                let of = self.variables.get(id);
                Facts {
                    nullable: of.nullable,
                    // Its parts may be, and are not known yet.
                    boolean: true,
                    contiguous: false,
                    least: u32::from(!of.nullable),
                    most: UNBOUNDED,
                    fingerprint: of.fingerprint,
                    boundaries: of.boundaries,
                    ..empty
                }
            }
        }
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether intervals of lengths leave no gap between them.
fn is_contiguous(facts: &[Facts]) -> bool {
    let mut intervals: Vec<(u32, u32)> = facts.iter().map(|f| (f.least, f.most)).collect();
    intervals.sort_unstable();
    let mut end = intervals.first().map_or(0, |first| first.0);
    facts.iter().all(|f| f.contiguous)
        && intervals.into_iter().all(|(least, most)| {
            let joins = least <= end.saturating_add(1);
            end = end.max(most);
            joins
        })
}

/// Alike but for the span of an alternation or intersection.
fn same(a: Term, b: Term) -> bool {
    match (a, b) {
        (Term::Alternation(_), Term::Alternation(_)) | (Term::Intersection(_), Term::Intersection(_)) => true,
        (a, b) => a == b,
    }
}

fn members_of(term: Term, members: &[TermId]) -> &[TermId] {
    match term {
        Term::Alternation(span) | Term::Intersection(span) => &members[span.range()],
        _ => &[],
    }
}

fn hash(hasher: &Seeded, term: Term, members: &[TermId]) -> u64 {
    match term {
        Term::Empty => hasher.hash_one(0u32),
        Term::Epsilon => hasher.hash_one(1u32),
        Term::Class(class) => hasher.hash_one((2u32, class)),
        Term::Concat(a, b) => hasher.hash_one((3u32, a, b)),
        Term::Alternation(_) => hasher.hash_one((4u32, members)),
        Term::Intersection(_) => hasher.hash_one((5u32, members)),
        Term::Complement(a) => hasher.hash_one((6u32, a)),
        Term::Repeat(a, min, max) => hasher.hash_one((7u32, a, min, max)),
        Term::Automaton { automaton, state } => hasher.hash_one((8u32, automaton, state)),
        Term::Variable(id) => hasher.hash_one((9u32, id)),
    }
}
