//! Rows of one step on several threads. What happens to a row is its station's business; here is only who does it.
//!
//! Threads live as long as a step: starting one costs some 20 us, which is little beside the work that makes it worth it,
//! and a process that forks or ends has none of them to think of.

use std::thread;

/// Logits from which a further thread is worth its start, by the cheapest row there is.
const LOGITS_A_THREAD: usize = 1 << 19;

/// How many threads so many rows are worth, of those there may be.
pub(crate) fn threads_worth(n_rows: usize, n_logits: usize, threads: usize) -> usize {
    threads.min(n_rows).min(n_logits / LOGITS_A_THREAD + 1).max(1)
}

/// Run `each` on every item, in pieces of neighbours, each on a thread and with a worker of its own; results in order.
pub(crate) fn run<I: Send, W: Send, O: Send>(
    items: Vec<I>,
    workers: &mut [W],
    each: impl Fn(I, &mut W) -> O + Sync,
) -> Vec<O> {
    let [first, others @ ..] = workers else { return Vec::new() };
    if others.is_empty() {
        return items.into_iter().map(|item| each(item, first)).collect();
    }
    let piece = items.len().div_ceil(others.len() + 1).max(1);
    let mut items = items.into_iter();
    let own: Vec<I> = items.by_ref().take(piece).collect();
    thread::scope(|scope| {
        let mut started = Vec::with_capacity(others.len());
        for worker in others {
            let some: Vec<I> = items.by_ref().take(piece).collect();
            let each = &each;
            started.push(scope.spawn(move || some.into_iter().map(|item| each(item, worker)).collect::<Vec<O>>()));
        }
        let mut out: Vec<O> = own.into_iter().map(|item| each(item, first)).collect();
        for thread in started {
            match thread.join() {
                Ok(some) => out.extend(some),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_whatever_the_threads() {
        for n in 0..20 {
            for threads in 1..6 {
                let mut workers = vec![0; threads];
                let each = |item: usize, worker: &mut usize| {
                    *worker += 1;
                    item * 2
                };
                let got = run((0..n).collect(), &mut workers, each);
                assert_eq!(got, (0..n).map(|item| item * 2).collect::<Vec<_>>());
                assert_eq!(workers.iter().sum::<usize>(), n);
            }
        }
    }

    #[test]
    fn a_thread_must_be_worth_it() {
        assert_eq!(threads_worth(64, 1000, 8), 1);
        assert_eq!(threads_worth(64, 64 << 17, 8), 8);
        assert_eq!(threads_worth(1, 64 << 17, 8), 1);
        assert_eq!(threads_worth(0, 0, 8), 1);
    }
}
