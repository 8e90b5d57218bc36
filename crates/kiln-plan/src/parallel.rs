//! Work on many independent items within one action.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does `work` for each item on so many threads, each taking the next item in turn, and gives what came of it in the order
/// of the items. After an error no new item is begun.
///
/// # Errors
/// Of what failed, the first in the order of the items.
pub(crate) fn map<T: Sync, R: Send, E: Send>(
    threads: NonZeroUsize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let done: Vec<Mutex<Option<Result<R, E>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let run = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let result = work(item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            *done[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get().min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    // Items are taken in order, so what was not begun comes after the error that stopped it.
    done.into_iter().map_while(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

#[cfg(test)]
mod tests {
    use super::map;
    use std::num::NonZeroUsize;

    #[test]
    fn gives_results_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        for threads in [1, 3] {
            let doubled: Result<Vec<u32>, ()> = map(NonZeroUsize::new(threads).unwrap(), &items, |n| Ok(n * 2));
            assert_eq!(doubled.unwrap(), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_stops_the_rest() {
        let items: Vec<u32> = (0..100_000).collect();
        let begun = std::sync::atomic::AtomicUsize::new(0);
        let failed = map(NonZeroUsize::new(2).unwrap(), &items, |n| {
            begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if *n == 10 { Err(*n) } else { Ok(*n) }
        });
        assert_eq!(failed, Err(10));
        assert!(begun.into_inner() < items.len());
    }
}
