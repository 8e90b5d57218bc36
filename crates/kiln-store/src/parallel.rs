//! Work on many items at once, for what is bound by hashing and copying.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `work` for each item. The first error in order of time stops it.
pub(crate) fn in_parallel<T: Sync, E: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T, &mut Vec<u8>) -> Result<(), E> + Sync,
) -> Result<(), E> {
    const CHUNK: usize = 16;
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let run = || {
        let mut buffer = Vec::new();
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(rest) = items.get(start..) else { return };
            for item in &rest[..rest.len().min(CHUNK)] {
                if let Err(error) = work(item, &mut buffer) {
                    failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
                    next.store(items.len(), Ordering::Relaxed);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len() / CHUNK + 1) {
            scope.spawn(run);
        }
        run();
    });
    failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
}
