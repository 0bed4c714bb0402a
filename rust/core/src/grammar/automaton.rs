//! Minimal deterministic automata over code points, for languages that have no short regular expression: remainders,
//! ranges of decimals, the calendar. What their states mean is known only to those who make them.

use std::hash::Hash;

use super::hash::Map;
use crate::error::Result;
use crate::limits::Fuel;

/// An automaton each of whose states is reached and still has a text, no two of them the same texts. States are
/// numbered in the order in which a search from the start by code point meets them, so equal languages are equal
/// automata. State 0 is the start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Automaton {
    accepting: Vec<bool>,
    /// Where each state's edges begin in `edges`, and where the last one's end.
    first: Vec<u32>,
    edges: Vec<Edge>,
    /// Of the shortest text that each state still takes.
    min_length: Vec<u32>,
    /// Of the longest; `u32::MAX` if there is none.
    max_length: Vec<u32>,
}

/// On a code point of `low..=high`, to `target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The least code point.
    pub low: u32,
    /// The greatest.
    pub high: u32,
    /// The state they lead to.
    pub target: u32,
}

/// A set of code points that no state tells apart, as inclusive ranges. An alphabet's are disjoint.
pub type Symbol = &'static [(u32, u32)];

const NONE: u32 = u32::MAX;

/// A state is met, hashed and refined once for each symbol.
pub const COST_OF_A_STATE: u64 = 400;

impl Automaton {
    /// Of the texts that lead from `start` by `next` to a state that `accepts`; none if there is no such text. `next`
    /// is asked by the symbol's number in the alphabet. Costs fuel by states, so alphabets must be small and `next` cheap.
    pub fn new<S: Clone + Eq + Hash>(
        alphabet: &[Symbol],
        start: S,
        mut next: impl FnMut(&S, usize) -> Option<S>,
        accepts: impl Fn(&S) -> bool,
        fuel: &mut Fuel,
    ) -> Result<Option<Self>> {
        let mut ids: Map<S, u32> = Map::from_iter([(start.clone(), 0)]);
        let mut states = vec![start];
        let mut table: Vec<u32> = Vec::new();
        let mut at = 0;
        while at < states.len() {
            fuel.spend(COST_OF_A_STATE)?;
            for symbol in 0..alphabet.len() {
                table.push(match next(&states[at], symbol) {
                    None => NONE,
                    Some(state) => *ids.entry(state).or_insert_with_key(|state| {
                        states.push(state.clone());
                        states.len() as u32 - 1
                    }),
                });
            }
            at += 1;
        }
        let accepting: Vec<bool> = states.iter().map(accepts).collect();
        let predecessors = Predecessors::new(&table, alphabet.len(), states.len());
        let min_length = distances(&accepting, &predecessors, alphabet.len());
        if min_length[0] == NONE {
            return Ok(None);
        }
        let classes = classes(&min_length, &predecessors, alphabet.len());
        Ok(Some(Self::numbered(alphabet, &table, &accepting, &min_length, &classes)))
    }

    fn numbered(alphabet: &[Symbol], table: &[u32], accepting: &[bool], min_length: &[u32], class_of: &[u32]) -> Self {
        let mut ranges: Vec<(u32, u32, usize)> = alphabet
            .iter()
            .enumerate()
            .flat_map(|(symbol, set)| set.iter().map(move |&(l, h)| (l, h, symbol)))
            .collect();
        ranges.sort_unstable();
        let mut number: Map<u32, u32> = Map::from_iter([(class_of[0], 0)]);
        let mut members = vec![0usize];
        let mut automaton =
            Self { accepting: vec![], first: vec![0], edges: vec![], min_length: vec![], max_length: vec![] };
        let mut at = 0;
        while let Some(&state) = members.get(at) {
            let from = automaton.edges.len();
            for &(low, high, symbol) in &ranges {
                let to = table[state * alphabet.len() + symbol];
                if to == NONE || min_length[to as usize] == NONE {
                    continue;
                }
                let target = *number.entry(class_of[to as usize]).or_insert_with(|| {
                    members.push(to as usize);
                    members.len() as u32 - 1
                });
                match automaton.edges[from..].last_mut() {
                    Some(last) if last.target == target && last.high + 1 == low => last.high = high,
                    _ => automaton.edges.push(Edge { low, high, target }),
                }
            }
            automaton.first.push(automaton.edges.len() as u32);
            automaton.accepting.push(accepting[state]);
            automaton.min_length.push(min_length[state]);
            at += 1;
        }
        automaton.max_length = automaton.longest();
        automaton
    }

    /// From the states that have no edge backwards; those on the way to a circle are never reached.
    fn longest(&self) -> Vec<u32> {
        let n = self.states();
        let mut before: Vec<Vec<u32>> = vec![vec![]; n];
        let mut waiting: Vec<usize> = (0..n as u32).map(|state| self.edges(state).len()).collect();
        for state in 0..n as u32 {
            self.edges(state).iter().for_each(|edge| before[edge.target as usize].push(state));
        }
        let mut longest = vec![u32::MAX; n];
        let mut ready: Vec<u32> = (0..n as u32).filter(|&state| waiting[state as usize] == 0).collect();
        while let Some(state) = ready.pop() {
            let lengths = self.edges(state).iter().map(|edge| longest[edge.target as usize] + 1);
            longest[state as usize] = lengths.max().unwrap_or(0);
            for &state in &before[state as usize] {
                waiting[state as usize] -= 1;
                if waiting[state as usize] == 0 {
                    ready.push(state);
                }
            }
        }
        longest
    }

    /// How many states.
    pub fn states(&self) -> usize {
        self.accepting.len()
    }

    /// Whether a text may end here.
    #[inline]
    pub fn accepts(&self, state: u32) -> bool {
        self.accepting[state as usize]
    }

    /// Where each code point leads that leads anywhere, ascending and disjoint.
    #[inline]
    pub fn edges(&self, state: u32) -> &[Edge] {
        let state = state as usize;
        &self.edges[self.first[state] as usize..self.first[state + 1] as usize]
    }

    /// Where this code point leads.
    #[inline]
    pub fn next(&self, state: u32, code_point: u32) -> Option<u32> {
        let edges = self.edges(state);
        let edge = edges.get(edges.partition_point(|edge| edge.high < code_point))?;
        (edge.low <= code_point).then_some(edge.target)
    }

    /// Of the shortest text that leads from here to an end.
    #[inline]
    pub fn min_length(&self, state: u32) -> u32 {
        self.min_length[state as usize]
    }

    /// Of the longest; `u32::MAX` if there is none.
    #[inline]
    pub fn max_length(&self, state: u32) -> u32 {
        self.max_length[state as usize]
    }

    /// Held in memory.
    pub fn bytes(&self) -> usize {
        self.states() * 13 + self.edges.len() * size_of::<Edge>()
    }
}

/// Which states lead to one by each symbol.
struct Predecessors {
    first: Vec<u32>,
    states: Vec<u32>,
}

impl Predecessors {
    fn new(table: &[u32], n_symbols: usize, n_states: usize) -> Self {
        let slot = |i: usize, to: u32| to as usize * n_symbols + i % n_symbols;
        let mut first = vec![0u32; n_states * n_symbols + 1];
        let edges = || table.iter().copied().enumerate().filter(|&(_, to)| to != NONE);
        edges().for_each(|(i, to)| first[slot(i, to) + 1] += 1);
        for i in 1..first.len() {
            first[i] += first[i - 1];
        }
        let mut free = first.clone();
        let mut states = vec![0; edges().count()];
        for (i, to) in edges() {
            let at = &mut free[slot(i, to)];
            states[*at as usize] = (i / n_symbols) as u32;
            *at += 1;
        }
        Self { first, states }
    }

    fn of(&self, state: u32, symbol: usize, n_symbols: usize) -> &[u32] {
        let slot = state as usize * n_symbols + symbol;
        &self.states[self.first[slot] as usize..self.first[slot + 1] as usize]
    }
}

/// From each state to the nearest accepting one, `NONE` if there is none.
fn distances(accepting: &[bool], predecessors: &Predecessors, n_symbols: usize) -> Vec<u32> {
    let mut distance: Vec<u32> = accepting.iter().map(|&end| if end { 0 } else { NONE }).collect();
    let mut reached: Vec<u32> = (0..accepting.len() as u32).filter(|&state| accepting[state as usize]).collect();
    let mut at = 0;
    while let Some(&state) = reached.get(at) {
        for symbol in 0..n_symbols {
            for &before in predecessors.of(state, symbol, n_symbols) {
                if distance[before as usize] == NONE {
                    distance[before as usize] = distance[state as usize] + 1;
                    reached.push(before);
                }
            }
        }
        at += 1;
    }
    distance
}

/// The states in classes of equal languages, by Hopcroft's refinement in the form of Valmari and Lehtinen, which lets
/// edges be missing: every class is a splitter once, and of a class that was one only the smaller part again. The first
/// classes are those of equal distance to an end, which equal languages share; those without an end play no part.
fn classes(distance: &[u32], predecessors: &Predecessors, n_symbols: usize) -> Vec<u32> {
    let n = distance.len();
    let mut members: Vec<u32> = (0..n as u32).collect();
    members.sort_by_key(|&state| distance[state as usize]);
    let mut place = vec![0u32; n];
    let mut class_of = vec![0u32; n];
    // Of each class: its first member, the one after its last, and how many at its front are marked.
    let mut classes: Vec<(usize, usize, usize)> = Vec::new();
    for (at, &state) in members.iter().enumerate() {
        place[state as usize] = at as u32;
        match classes.last_mut() {
            Some(class) if distance[members[class.0] as usize] == distance[state as usize] => class.1 += 1,
            _ => classes.push((at, at + 1, 0)),
        }
        class_of[state as usize] = classes.len() as u32 - 1;
    }
    let with_end = classes.iter().filter(|class| distance[members[class.0] as usize] != NONE).count() as u32;
    let mut splitters: Vec<(u32, usize)> =
        (0..with_end).flat_map(|class| (0..n_symbols).map(move |symbol| (class, symbol))).collect();
    let mut touched: Vec<u32> = Vec::new();
    let mut before: Vec<u32> = Vec::new();
    while let Some((splitter, symbol)) = splitters.pop() {
        let (from, to, _) = classes[splitter as usize];
        before.clear();
        members[from..to].iter().for_each(|&state| before.extend(predecessors.of(state, symbol, n_symbols)));
        for &state in &before {
            let class = &mut classes[class_of[state as usize] as usize];
            if class.2 == 0 {
                touched.push(class_of[state as usize]);
            }
            let (here, there) = (place[state as usize] as usize, class.0 + class.2);
            members.swap(here, there);
            place[members[here] as usize] = here as u32;
            place[members[there] as usize] = there as u32;
            class.2 += 1;
        }
        for class in touched.drain(..) {
            let (from, to, marked) = classes[class as usize];
            classes[class as usize].2 = 0;
            if marked == to - from {
                continue;
            }
            // The smaller part is the new class, the larger keeps the number and what it still has to split.
            let new = classes.len() as u32;
            let (cut, small) = (from + marked, marked <= to - from - marked);
            let (kept, made) = if small { ((cut, to, 0), (from, cut, 0)) } else { ((from, cut, 0), (cut, to, 0)) };
            classes[class as usize] = kept;
            classes.push(made);
            members[made.0..made.1].iter().for_each(|&state| class_of[state as usize] = new);
            splitters.extend((0..n_symbols).map(|symbol| (new, symbol)));
        }
    }
    class_of
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn fuel() -> Fuel {
        Fuel::new("grammar_compile_fuel", Limits::DEFAULT.grammar_compile_fuel)
    }

    fn accepts(automaton: &Automaton, text: &str) -> bool {
        let end = text.chars().try_fold(0, |state, c| automaton.next(state, c as u32));
        end.is_some_and(|state| automaton.accepts(state))
    }

    /// By Moore's rounds: states are equal until a symbol tells them apart.
    fn moore(table: &[Option<usize>], accepting: &[bool], n_symbols: usize) -> usize {
        let n = accepting.len();
        let mut alive: Vec<bool> = accepting.to_vec();
        for _ in 0..n {
            for state in 0..n {
                alive[state] |= (0..n_symbols).any(|s| table[state * n_symbols + s].is_some_and(|to| alive[to]));
            }
        }
        let mut class: Vec<usize> = (0..n).map(|s| if !alive[s] { 0 } else { 1 + accepting[s] as usize }).collect();
        for _ in 0..n {
            let rows: Vec<Vec<usize>> = (0..n)
                .map(|s| {
                    let to = |k: usize| table[s * n_symbols + k].map_or(0, |to: usize| class[to]);
                    std::iter::once(class[s]).chain((0..n_symbols).map(to)).collect()
                })
                .collect();
            let mut distinct = rows.clone();
            distinct.push(vec![0; n_symbols + 1]);
            distinct.sort();
            distinct.dedup();
            class = rows.iter().map(|row| distinct.binary_search(row).unwrap()).collect();
        }
        let mut reached = vec![false; n];
        reached[0] = true;
        for _ in 0..n {
            for state in 0..n {
                for s in 0..n_symbols {
                    if let (true, Some(to)) = (reached[state], table[state * n_symbols + s]) {
                        reached[to] = true;
                    }
                }
            }
        }
        let mut classes: Vec<usize> = (0..n).filter(|&s| alive[s] && reached[s]).map(|s| class[s]).collect();
        classes.sort();
        classes.dedup();
        classes.len()
    }

    #[test]
    fn as_few_states_as_can_be_and_the_same_texts() {
        let alphabet: [Symbol; 3] = [&[(97, 97)], &[(98, 99), (0x1_f600, 0x1_f64f)], &[(100, 100)]];
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % below
        };
        for round in 0..3000 {
            let n = 1 + random(12);
            let table: Vec<Option<usize>> = (0..3 * n).map(|_| (random(3) > 0).then(|| random(n))).collect();
            let accepting: Vec<bool> = (0..n).map(|_| random(4) == 0).collect();
            let made = Automaton::new(&alphabet, 0, |s, k| table[3 * s + k], |s| accepting[*s], &mut fuel()).unwrap();
            let least = moore(&table, &accepting, 3);
            assert_eq!(made.as_ref().map_or(0, Automaton::states), least, "round {round}");
            let Some(made) = made else { continue };
            let (mut shortest, mut longest) = (None, 0);
            for i in 0..3usize.pow(6) {
                let symbols: Vec<usize> = (0..i % 7).map(|k| i / 3usize.pow(k as u32) % 3).collect();
                let text: String = symbols.iter().map(|&k| ['a', '\u{1f601}', 'd'][k]).collect();
                let end = symbols.iter().try_fold(0usize, |s, &k| table[3 * s + k]);
                let is_in = end.is_some_and(|s| accepting[s]);
                assert_eq!(accepts(&made, &text), is_in, "round {round}: {text}");
                if is_in {
                    shortest = Some(shortest.map_or(symbols.len(), |n: usize| n.min(symbols.len())));
                    longest = longest.max(symbols.len() as u32);
                }
            }
            assert!(shortest.is_none_or(|n| n as u32 == made.min_length(0) || n > 4), "round {round}");
            assert!(longest <= made.max_length(0) && (made.max_length(0) > 4 || longest == made.max_length(0)));
        }
    }

    #[test]
    fn equal_languages_are_equal_automata() {
        // Numbers of letters divisible by 6, counted by 6 and by 2 and 3 at once; the alphabet in two orders.
        let by_six =
            Automaton::new(&[&[(97, 109)], &[(110, 122)]], 0, |s, _| Some((s + 1) % 6), |&s| s == 0, &mut fuel());
        let both = Automaton::new(
            &[&[(110, 122)], &[(97, 109)]],
            (0, 0),
            |&(a, b), _| Some(((a + 1) % 12, (b + 1) % 3)),
            |&(a, b)| a % 2 == 0 && b == 0,
            &mut fuel(),
        );
        let by_six = by_six.unwrap().unwrap();
        assert_eq!(Some(&by_six), both.unwrap().as_ref());
        assert_eq!(by_six.states(), 6);
        assert_eq!(by_six.edges(0), [Edge { low: 97, high: 122, target: 1 }]);
    }

    #[test]
    fn too_many_states_are_out_of_fuel() {
        let endless =
            Automaton::new(&[&[(97, 97)]], 0u64, |s, _| Some(s + 1), |_| true, &mut Fuel::new("fuel", 100_000));
        assert!(matches!(endless, Err(crate::error::Error::Limit { .. })));
    }
}
