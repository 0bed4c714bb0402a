//! A tree with assertions to a term without. What may follow a place is carried from the end of the pattern to its start,
//! so a look-ahead there is an intersection. What stands before a place is told apart only as far as the pattern asks: by
//! the last character's class, or that there is none. A longer look-behind is a look-ahead of the pattern read backwards.
//!
//! What may follow a round of a repetition without an upper bound has such rounds in it again: it is a variable, defined
//! once the round is done. A round without text leads nowhere, so those are left out, for which a repetition tells apart
//! whether its round has read anything.

use super::Anchored;
use super::escape::{Ranges, error, negated};
use super::parser::{Node, Piece, Tree};
use crate::error::Result;
use crate::grammar::hash::{Set, fingerprint};
use crate::grammar::term::{TermId, Terms, UNBOUNDED};
use crate::limits::{Fuel, Limits, within};

/// What may stand before a place: nothing (the first), or one of some disjoint classes that make up all code points. A
/// pattern that does not ask has only the first, which then stands for all.
struct Places {
    /// Those behind the first.
    atoms: Vec<Atom>,
    /// Stands for the pattern.
    key: u128,
    /// The pattern was turned round.
    is_backwards: bool,
}

struct Atom {
    class: TermId,
    /// The classes a pattern asks about that it lies in.
    inside: Vec<TermId>,
}

/// Of each place what may follow, to the end of the text. Within repetitions without an upper bound, so many times more:
/// first while no round has read anything, then when the outermost's has, and last when all have. Whatever is read leads
/// to the last.
type Follows = Vec<TermId>;

enum Task {
    /// Put a piece before what follows.
    Prepend(Piece),
    /// The branches of an alternation, one after the other: which, what follows all, what the earlier ones gave.
    Branch(usize, usize, Follows, Vec<Follows>),
    /// The body of a look-ahead is done: whether it is negative, and what follows it.
    Looked(bool, Follows),
    /// The body of a repetition, so many times more: optional rounds, then those that must be; and what follows all.
    Round(Piece, u32, u32, Follows),
    /// An optional round is done; the same.
    Optional(Piece, u32, u32, Follows),
    /// A round of many is done: of what, how many must be, what follows all, and the variables for it in the last places.
    Many(Piece, u32, Follows, Vec<TermId>),
}

/// The term of a tree.
pub(super) fn term(
    mut tree: Tree,
    key: u128,
    anchored: Anchored,
    terms: &mut Terms,
    fuel: &mut Fuel,
) -> Result<TermId> {
    let around = if anchored == Anchored::Search { Terms::ANY } else { Terms::EPSILON };
    if let Piece::Term(t) = tree.root {
        let behind = terms.concat(t, around);
        return Ok(terms.concat(around, behind));
    }
    let nodes = reachable(&tree);
    let look = |wanted: bool| {
        nodes.iter().find_map(|&node| match tree.nodes[node] {
            Node::Look { behind, position, .. } if behind == wanted => Some(position),
            _ => None,
        })
    };
    let is_backwards = match (look(true), look(false)) {
        (Some(position), Some(_)) => {
            let what = "a look-behind of more than one character beside a look-ahead is not supported";
            return Err(error(position, what));
        }
        (position, _) => position.is_some(),
    };
    if is_backwards {
        turn(&mut tree, &nodes, terms, fuel)?;
    }
    let places = Places { atoms: atoms(&tree, &nodes, terms), key, is_backwards };
    let follows = places.compile(&tree, vec![around; places.atoms.len() + 1], terms, fuel)?;
    let term = match anchored {
        Anchored::Full => follows[0],
        Anchored::Search => places.anywhere(&follows, terms),
    };
    if is_backwards { terms.reverse(term, fuel) } else { Ok(term) }
}

/// The nodes that are part of the pattern: a quantifier may have dropped some.
fn reachable(tree: &Tree) -> Vec<usize> {
    let mut seen = Set::default();
    let mut todo = vec![tree.root];
    let mut nodes = Vec::new();
    while let Some(piece) = todo.pop() {
        let Piece::Node(node) = piece else { continue };
        if !seen.insert(node) {
            continue;
        }
        nodes.push(node);
        match &tree.nodes[node] {
            Node::Concat(pieces) | Node::Alternation(pieces) => todo.extend_from_slice(pieces),
            Node::Repeat { body, .. } | Node::Look { body, .. } => todo.push(*body),
            Node::Edge { .. } | Node::Word { .. } => {}
        }
    }
    nodes
}

/// Turns a tree round: it then matches what it did, read backwards.
fn turn(tree: &mut Tree, nodes: &[usize], terms: &mut Terms, fuel: &mut Fuel) -> Result<()> {
    let mut turned = |piece: &mut Piece| {
        if let Piece::Term(t) = piece {
            *t = terms.reverse(*t, fuel)?;
        }
        Ok(())
    };
    for &node in nodes {
        match &mut tree.nodes[node] {
            Node::Concat(pieces) => {
                pieces.iter_mut().try_for_each(&mut turned)?;
                pieces.reverse();
            }
            Node::Alternation(pieces) => pieces.iter_mut().try_for_each(&mut turned)?,
            Node::Repeat { body, .. } => turned(body)?,
            Node::Look { behind, body, .. } => {
                *behind = !*behind;
                turned(body)?;
            }
            Node::Edge { behind, .. } => *behind = !*behind,
            Node::Word { .. } => {}
        }
    }
    Ok(())
}

/// The classes of last characters that a pattern tells apart.
fn atoms(tree: &Tree, nodes: &[usize], terms: &mut Terms) -> Vec<Atom> {
    let asked = |&node: &usize| match tree.nodes[node] {
        Node::Edge { behind: true, class, .. } | Node::Word { class, .. } => Some(class),
        _ => None,
    };
    let mut classes: Vec<TermId> = nodes.iter().filter_map(asked).collect();
    if classes.is_empty() {
        return Vec::new();
    }
    classes.sort_unstable();
    classes.dedup();
    let mut starts: Vec<u32> = classes.iter().flat_map(|&class| terms.boundaries(class)).copied().collect();
    starts.push(0);
    starts.sort_unstable();
    starts.dedup();
    let mut atoms: Vec<(Vec<TermId>, Ranges)> = Vec::new();
    for (i, &low) in starts.iter().enumerate() {
        let high = starts.get(i + 1).map_or(u32::from(char::MAX), |next| next - 1);
        let holds = |&class: &TermId| {
            let ranges = terms.ranges(class).unwrap_or(&[]);
            ranges.iter().any(|range| range.0 <= low && low <= range.1)
        };
        let inside: Vec<TermId> = classes.iter().copied().filter(holds).collect();
        match atoms.iter_mut().find(|atom| atom.0 == inside) {
            Some(atom) => atom.1.push((low, high)),
            None => atoms.push((inside, vec![(low, high)])),
        }
    }
    atoms.into_iter().map(|(inside, ranges)| Atom { class: terms.class(&ranges), inside }).collect()
}

impl Places {
    /// The last places: something was read in every round.
    fn last<'a>(&self, follows: &'a Follows) -> &'a [TermId] {
        &follows[follows.len() - self.atoms.len() - 1..]
    }

    fn is_first(&self, place: usize) -> bool {
        place.is_multiple_of(self.atoms.len() + 1)
    }

    /// Whether what stands before a place is in a class. Before the first place stands nothing.
    fn is_in(&self, place: usize, class: TermId) -> bool {
        (place % (self.atoms.len() + 1)).checked_sub(1).is_some_and(|atom| self.atoms[atom].inside.contains(&class))
    }

    /// Texts with one of what follows anywhere in them.
    fn anywhere(&self, follows: &Follows, terms: &mut Terms) -> TermId {
        if follows.iter().all(|&t| t == follows[0]) {
            return terms.concat(Terms::ANY, follows[0]);
        }
        let mut found = vec![follows[0]];
        for (class, rest) in self.groups(follows, terms) {
            let rest = terms.concat(class, rest);
            found.push(terms.concat(Terms::ANY, rest));
        }
        terms.alternation(found)
    }

    /// The classes of last characters that differ in what follows them.
    fn groups(&self, follows: &Follows, terms: &mut Terms) -> Vec<(TermId, TermId)> {
        let last = self.last(follows);
        if self.atoms.is_empty() {
            return vec![(terms.class(&[(0, char::MAX.into())]), last[0])];
        }
        let mut groups: Vec<(Vec<TermId>, TermId)> = Vec::new();
        for (atom, &rest) in self.atoms.iter().zip(&last[1..]) {
            match groups.iter_mut().find(|group| group.1 == rest) {
                Some(group) => group.0.push(atom.class),
                None => groups.push((vec![atom.class], rest)),
            }
        }
        groups.into_iter().map(|(classes, rest)| (terms.alternation(classes), rest)).collect()
    }

    fn compile(&self, tree: &Tree, follows: Follows, terms: &mut Terms, fuel: &mut Fuel) -> Result<Follows> {
        let mut follows = follows;
        let mut tasks = vec![Task::Prepend(tree.root)];
        let mut paid = terms.work();
        while let Some(task) = tasks.pop() {
            fuel.spend(2 * follows.len() as u64 + terms.work() - paid)?;
            paid = terms.work();
            within("grammar_memory_bytes", terms.bytes(), Limits::DEFAULT.grammar_memory_bytes)?;
            match task {
                Task::Prepend(Piece::Term(t)) => follows = self.prepend(t, follows, terms),
                Task::Prepend(Piece::Node(node)) => match &tree.nodes[node] {
                    Node::Concat(pieces) => tasks.extend(pieces.iter().map(|&piece| Task::Prepend(piece))),
                    Node::Alternation(_) => tasks.push(Task::Branch(node, 0, follows.clone(), Vec::new())),
                    Node::Repeat { body, min, max, .. }
                        if follows.iter().all(|&rest| rest == Terms::EPSILON)
                            && let Some(whole) = throughout(tree, *body, *min, *max, terms) =>
                    {
                        follows.fill(whole);
                    }
                    Node::Repeat { max: UNBOUNDED, position, .. } if self.is_backwards => {
                        let what = "an assertion inside a repetition without an upper bound, beside a look-behind of more \
                                    than one character, is not supported; give the repetition an upper bound";
                        return Err(error(*position, what));
                    }
                    Node::Repeat { body, min, max: UNBOUNDED, .. } => {
                        let variables = self.variables(tree, *body, &follows, terms, fuel)?;
                        // A round that must be may be without text.
                        let mut round = if *min > 0 { follows.clone() } else { vec![Terms::EMPTY; follows.len()] };
                        round.extend(&variables);
                        tasks.push(Task::Many(*body, *min, follows, variables));
                        tasks.push(Task::Prepend(*body));
                        follows = round;
                    }
                    Node::Repeat { body, min, max, .. } => {
                        tasks.push(Task::Round(*body, max - min, *min, follows.clone()));
                    }
                    Node::Look { negative, body, .. } => {
                        let n = follows.len();
                        tasks.push(Task::Looked(*negative, follows));
                        tasks.push(Task::Prepend(*body));
                        follows = vec![Terms::ANY; n];
                    }
                    Node::Edge { behind: true, negative, class, at_edge } => {
                        for (place, rest) in follows.iter_mut().enumerate() {
                            let holds = if self.is_first(place) { *at_edge } else { self.is_in(place, *class) };
                            if holds == *negative {
                                *rest = Terms::EMPTY;
                            }
                        }
                    }
                    Node::Edge { behind: false, negative, class, at_edge } => {
                        let (class, at_edge) = match negative {
                            true => (complement(*class, terms), !at_edge),
                            false => (*class, *at_edge),
                        };
                        for rest in &mut follows {
                            *rest = terms.beginning(*rest, class, at_edge);
                        }
                    }
                    Node::Word { negative, class } => {
                        let other = complement(*class, terms);
                        for (place, rest) in follows.iter_mut().enumerate() {
                            *rest = match self.is_in(place, *class) == *negative {
                                true => terms.beginning(*rest, *class, false),
                                false => terms.beginning(*rest, other, true),
                            };
                        }
                    }
                },
                Task::Branch(node, done, after, mut results) => {
                    let Node::Alternation(pieces) = &tree.nodes[node] else { continue };
                    if done > 0 {
                        results.push(std::mem::take(&mut follows));
                    }
                    follows = match pieces.get(done) {
                        Some(&piece) => {
                            let follows = after.clone();
                            tasks.push(Task::Branch(node, done + 1, after, results));
                            tasks.push(Task::Prepend(piece));
                            follows
                        }
                        None => {
                            let any = |place: usize| {
                                terms.alternation(results.iter().map(|follows| follows[place]).collect())
                            };
                            (0..after.len()).map(any).collect()
                        }
                    };
                }
                Task::Looked(negative, after) => {
                    for (rest, looked) in follows.iter_mut().zip(after) {
                        let asked = if negative { terms.complement(*rest) } else { *rest };
                        *rest = terms.intersection(vec![asked, looked]);
                    }
                }
                Task::Round(body, optional, required, after) => {
                    // Each optional round joins what follows all of them, the innermost first.
                    if let Some(fewer) = optional.checked_sub(1) {
                        tasks.push(Task::Optional(body, fewer, required, after));
                        tasks.push(Task::Prepend(body));
                    } else if let Some(fewer) = required.checked_sub(1) {
                        tasks.push(Task::Round(body, 0, fewer, after));
                        tasks.push(Task::Prepend(body));
                    }
                }
                Task::Optional(body, optional, required, after) => {
                    for (rest, &after) in follows.iter_mut().zip(&after) {
                        *rest = terms.alternation(vec![*rest, after]);
                    }
                    tasks.push(Task::Round(body, optional, required, after));
                }
                Task::Many(body, required, after, variables) => {
                    follows.truncate(after.len());
                    let last = after.len() - variables.len();
                    for (place, (rest, &after)) in follows.iter_mut().zip(&after).enumerate() {
                        let any = terms.alternation(vec![after, *rest]);
                        let variable = place.checked_sub(last).map_or(Terms::EMPTY, |place| variables[place]);
                        terms.define(variable, any);
                        if required == 0 {
                            // No round adds anything where every text may follow anyway.
                            *rest = if variable == Terms::EMPTY || any == after { any } else { variable };
                        }
                    }
                    if let Some(fewer) = required.checked_sub(1) {
                        tasks.push(Task::Round(body, 0, fewer, after));
                    }
                }
            }
        }
        fuel.spend(terms.work() - paid)?;
        Ok(follows)
    }

    /// Of each of the last places a variable for what may follow there, a round of many or what follows all.
    fn variables(
        &self,
        tree: &Tree,
        body: Piece,
        after: &Follows,
        terms: &mut Terms,
        fuel: &mut Fuel,
    ) -> Result<Vec<TermId>> {
        let last = self.last(after);
        let mut parts: Vec<TermId> = self.atoms.iter().map(|atom| atom.class).chain(last.iter().copied()).collect();
        let mut todo = vec![body];
        while let Some(piece) = todo.pop() {
            fuel.spend(1)?;
            match piece {
                Piece::Term(t) => parts.push(t),
                Piece::Node(node) => match &tree.nodes[node] {
                    Node::Concat(pieces) | Node::Alternation(pieces) => todo.extend_from_slice(pieces),
                    Node::Repeat { body, .. } | Node::Look { body, .. } => todo.push(*body),
                    Node::Edge { class, .. } | Node::Word { class, .. } => parts.push(*class),
                },
            }
        }
        let node = match body {
            Piece::Node(node) => node,
            Piece::Term(_) => tree.nodes.len(),
        };
        let after: Vec<u128> = last.iter().map(|&t| terms.fingerprint(t)).collect();
        let mut variables = Vec::with_capacity(last.len());
        for (place, &rest) in last.iter().enumerate() {
            // With classes told apart, something read has one.
            variables.push(match place == 0 && !self.atoms.is_empty() {
                true => Terms::EMPTY,
                false => {
                    let key = fingerprint(&(self.key, node, place, &after));
                    terms.variable(key, terms.is_nullable(rest), &parts, fuel)?
                }
            });
        }
        Ok(variables)
    }

    /// `t` before what follows: which of it may, its last character says, or if it has none, what stands before it.
    fn prepend(&self, t: TermId, follows: Follows, terms: &mut Terms) -> Follows {
        if follows.iter().all(|&rest| rest == follows[0]) {
            let rest = terms.concat(t, follows[0]);
            return vec![rest; follows.len()];
        }
        let groups = self.groups(&follows, terms);
        let filled = terms.non_empty(t);
        let mut texts = Vec::with_capacity(groups.len());
        for &(class, rest) in &groups {
            let ending = if groups.len() == 1 { filled } else { terms.ending(filled, class) };
            texts.push(terms.concat(ending, rest));
        }
        let texts = terms.alternation(texts);
        let is_nullable = terms.is_nullable(t);
        follows.iter().map(|&rest| if is_nullable { terms.alternation(vec![texts, rest]) } else { texts }).collect()
    }
}

/// Up to the end of the text nothing but characters of a class, at each of which a look-ahead holds: those whose no rest is
/// what the look-ahead refuses. So `((?!no).)*` at the end of a pattern needs no bound.
fn throughout(tree: &Tree, body: Piece, min: u32, max: u32, terms: &mut Terms) -> Option<TermId> {
    let Piece::Node(body) = body else { return None };
    let Node::Concat(pieces) = &tree.nodes[body] else { return None };
    let [Piece::Node(look), Piece::Term(class)] = pieces[..] else { return None };
    terms.ranges(class)?;
    let (asked, negative) = match tree.nodes[look] {
        Node::Look { behind: false, negative, body: Piece::Term(asked), .. } => (asked, negative),
        Node::Edge { behind: false, negative, class, at_edge: false } => (class, negative),
        _ => return None,
    };
    let asked = terms.concat(asked, Terms::ANY);
    let refused = if negative { asked } else { terms.complement(asked) };
    let refused = terms.non_empty(refused);
    let somewhere = terms.concat(Terms::ANY, refused);
    let nowhere = terms.complement(somewhere);
    let all = terms.repeat(class, min, max);
    Some(terms.intersection(vec![all, nowhere]))
}

fn complement(class: TermId, terms: &mut Terms) -> TermId {
    let ranges = negated(terms.ranges(class).unwrap_or(&[]));
    terms.class(&ranges)
}
