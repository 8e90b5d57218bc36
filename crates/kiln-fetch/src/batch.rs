//! Many requests over a few connections.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use kiln_model::Reporter;
use kiln_model::report::Task;

use crate::fetch::Watch;
use crate::{FetchError, Fetched, Fetcher, Job};

impl Fetcher {
    /// Fetches every job, at most `parallelism` at once, and gives what came in the order of the jobs.
    ///
    /// Files that a server does not have, or has otherwise than pinned, do not stop the others, so one run names them
    /// all. A fault of this machine or of the network does.
    ///
    /// # Errors
    /// What failed, in the order of the jobs.
    ///
    /// # Panics
    /// Never: no thread of it panics while it holds a lock.
    pub fn fetch_all(
        &self,
        jobs: &[Job],
        parallelism: usize,
        reporter: &dyn Reporter,
    ) -> Result<Vec<Fetched>, FetchError> {
        let total = jobs.iter().map(|job| job.request.expect.size()).sum::<Option<u64>>();
        let whole = Task::start(reporter, "Fetching", &counted(jobs.len()), total);
        let results: Vec<Mutex<Option<Result<Fetched, FetchError>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let (next, stop, gained) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicU64::new(0));
        let tell = |more| whole.progress(gained.fetch_add(more, Ordering::Relaxed) + more);
        let work = || {
            let watch = Watch { reporter, stop: &stop, gained: &tell };
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(index) else { return };
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let result = self.fetch_watched(&job.request, &job.dest, &watch);
                if result.as_ref().is_err_and(|error| error.is_ours() || error.may_pass()) {
                    stop.store(true, Ordering::Relaxed);
                }
                *results[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..parallelism.clamp(1, jobs.len().max(1)) {
                scope.spawn(work);
            }
        });
        let mut fetched = Vec::with_capacity(jobs.len());
        let mut errors = Vec::new();
        for result in results {
            match result.into_inner().unwrap_or_else(PoisonError::into_inner) {
                Some(Ok(one)) => fetched.push(one),
                None | Some(Err(FetchError::Stopped(_))) => {}
                Some(Err(error)) => errors.push(error),
            }
        }
        match errors.len() {
            0 => {
                let cached = fetched.iter().all(|one| one.url.is_none());
                whole.finish(String::new(), cached);
                Ok(fetched)
            }
            1 => Err(errors.remove(0)),
            _ => Err(FetchError::Several(errors)),
        }
    }
}

fn counted(number: usize) -> String {
    if number == 1 { "1 file".to_owned() } else { format!("{number} files") }
}
