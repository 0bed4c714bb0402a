//! Merges of a vocabulary that scores its tokens (SentencePiece BPE), best first, as `merges.rs` explains.
//!
//! Scores may be equal, and the encoder then takes the leftmost pair. An order of merges comes to the same when a merge
//! changes nothing for its equals: no two of them ever want the same piece, and what one of them makes is in no better or
//! equal merge. It can also do for runs of one character, such as the spaces of code. Everything else is an error.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::failed;
use super::merges::Ranked;
use crate::error::Result;

/// A piece of a vocabulary.
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    /// More is better.
    pub(super) score: f32,
    /// Whether merging may make it.
    pub(super) mergeable: bool,
}

struct Merge<'a> {
    left: &'a str,
    right: &'a str,
    piece: usize,
    rank: u32,
}

/// Left and right of each merge, in order, and the piece it makes.
pub(super) fn merges<'a>(pieces: &[Piece<'a>]) -> Result<Vec<(&'a str, &'a str, usize)>> {
    if let Some(piece) = pieces.iter().find(|piece| piece.score.is_nan()) {
        return Err(failed(format!("the score of {:?} is not a number", piece.text)));
    }
    let mut scores: Vec<f32> = pieces.iter().filter(|piece| piece.mergeable).map(|piece| piece.score).collect();
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    // 0.0 and -0.0 are the same score, though not the same bits.
    scores.dedup_by(|a, b| a == b);
    let rank = |score: f32| scores.partition_point(|other| *other > score) as u32;
    let known: HashMap<&str, usize> = pieces.iter().enumerate().map(|(i, piece)| (piece.text, i)).collect();
    let mergeable = pieces.iter().filter(|piece| piece.mergeable);
    let mut ranked = Ranked::new(mergeable.map(|piece| (piece.text.as_bytes(), rank(piece.score))).collect());

    let mut merges = Vec::new();
    for (i, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.mergeable) {
        let starts = piece.text.char_indices().map(|(start, _)| start);
        let Some(at) = ranked.merge_of(piece.text.as_bytes(), starts)? else { continue };
        let mut buffer = [0; 4];
        if let Some(c) = piece.text.chars().find(|c| !known.contains_key(&*c.encode_utf8(&mut buffer))) {
            return Err(failed(format!("the piece {:?} is made with {c:?}, which is no piece", piece.text)));
        }
        let (left, right) = piece.text.split_at(at);
        merges.push(Merge { left, right, piece: i, rank: rank(piece.score) });
    }
    merges.sort_by_key(|merge| merge.rank);
    order_equals(&mut merges, pieces)?;
    Ok(merges.iter().map(|merge| (merge.left, merge.right, merge.piece)).collect())
}

/// Put merges of equal score into an order that comes to the same as the leftmost first.
fn order_equals<'a>(merges: &mut [Merge<'a>], pieces: &[Piece<'a>]) -> Result<()> {
    let text = |merge: &Merge<'a>| pieces[merge.piece].text;
    // The best merge that has a piece as its part.
    let mut best: HashMap<&str, u32> = HashMap::new();
    for merge in merges.iter() {
        for part in [merge.left, merge.right] {
            best.entry(part).and_modify(|rank| *rank = merge.rank.min(*rank)).or_insert(merge.rank);
        }
    }
    let lengths = run_lengths(merges.iter().map(text));
    let mut compared = 0;
    for equals in merges.chunk_by_mut(|a, b| a.rank == b.rank) {
        if equals.len() == 1 {
            continue;
        }
        let undecided = |a: &Merge<'a>, b: &Merge<'a>| {
            let same = "have the same score, and no order of merges says which is made first";
            Err(failed(format!("the pieces {:?} and {:?} {same}", text(a), text(b))))
        };
        // Of a run, what is made of the longest first: from the left, one piece is then grown as long as it can be.
        equals.sort_by_key(|merge| Reverse((run(text(merge)).is_some(), merge.right.len(), merge.left.len())));
        let equal_lengths = run_lengths(equals.iter().map(text));
        let mut as_left: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, merge) in equals.iter().enumerate() {
            as_left.entry(merge.left).or_default().push(i);
        }
        let makes: HashMap<&str, usize> = equals.iter().enumerate().map(|(i, merge)| (text(merge), i)).collect();
        for (i, merge) in equals.iter().enumerate() {
            let another = usize::from(i == 0);
            if best.get(text(merge)).is_some_and(|rank| *rank < merge.rank) {
                return undecided(merge, &equals[another]);
            }
            let of = run(text(merge)).map(|(of, _)| of).filter(|of| equal_lengths[of].len() > 1);
            if of.is_some_and(|of| lengths[&of].len() != equal_lengths[&of].len()) {
                return undecided(merge, &equals[another]);
            }
            let made = [merge.left, merge.right].into_iter().filter_map(|part| makes.get(part));
            let next = as_left.get(merge.right).into_iter().flatten().filter(|j| **j != i);
            for &j in made.chain(next) {
                if of.is_none() || run(text(&equals[j])).map(|(of, _)| of) != of {
                    return undecided(merge, &equals[j]);
                }
            }
        }
        for of in equal_lengths.iter().filter(|(_, lengths)| lengths.len() > 1).map(|(of, _)| *of) {
            let n = |part: &str| part.chars().count();
            let of_run = equals.iter().filter(|merge| run(text(merge)).is_some_and(|(c, _)| c == of));
            let of_run: Vec<(usize, usize)> = of_run.map(|merge| (n(merge.left), n(merge.right))).collect();
            compared += of_run.len();
            if compared > LONGEST || !leftmost_first(&of_run) {
                return Err(failed(format!(
                    "the pieces that repeat {of:?} have the same score, and no order of merges says which is made first"
                )));
            }
        }
    }
    Ok(())
}

/// Of what character a text is a run, and how long.
fn run(text: &str) -> Option<(char, usize)> {
    let first = text.chars().next()?;
    let n = text.chars().count();
    (n > 1 && text.chars().all(|c| c == first)).then_some((first, n))
}

fn run_lengths<'a>(texts: impl Iterator<Item = &'a str>) -> HashMap<char, Vec<usize>> {
    let mut lengths: HashMap<char, Vec<usize>> = HashMap::new();
    for (of, n) in texts.filter_map(run) {
        lengths.entry(of).or_default().push(n);
    }
    lengths
}

/// Pieces that are runs and of equal score that a vocabulary may have: those of spaces are known to be 16.
const LONGEST: usize = 64;

/// Whether these merges of lengths, in this order, make of any run what the leftmost first makes of it, any two of which
/// the sum is the sum of a merge. When of a run of twice the longest piece the first is such a piece, which then never
/// changes, what follows it is a run by itself: so to compare up to that length says it for all.
fn leftmost_first(merges: &[(usize, usize)]) -> bool {
    let lengths: Vec<usize> = merges.iter().map(|(left, right)| left + right).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    longest <= LONGEST
        && (1..=2 * longest).all(|n| {
            let (mut ours, mut theirs) = (vec![1; n], vec![1; n]);
            while let Some(at) =
                merges.iter().find_map(|&(left, right)| ours.windows(2).position(|two| two == [left, right]))
            {
                ours[at] += ours.remove(at + 1);
            }
            while let Some(at) = theirs.windows(2).position(|two| lengths.contains(&(two[0] + two[1]))) {
                theirs[at] += theirs.remove(at + 1);
            }
            ours == theirs && (n < 2 * longest || ours[0] == longest)
        })
}
