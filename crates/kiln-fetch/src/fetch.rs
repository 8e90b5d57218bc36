//! One request: the places to ask in order, retries with growing waits, resumption, and the check at the end.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kiln_model::report::Task;
use kiln_model::{Digest, Event, Reporter};
use url::Url;

use crate::partial::{Memory, Partial, Sink, hash};
use crate::transport::{Body, Resume, Transport, fault};
use crate::{Expect, FetchError, FetchOptions, Fetched, Request, shown};

/// Fewer bytes than this within the stall time-out count as a hung server.
const LEAST: u64 = 1024;

/// A download that got on by this much earns its retries back, so a huge file over a bad line still ends.
const HEADWAY: u64 = 1 << 20;

/// Fetches. It keeps connections open between requests; share one among threads.
pub struct Fetcher {
    pub(crate) options: FetchOptions,
    transport: Transport,
}

/// Who watches a download.
pub(crate) struct Watch<'a> {
    pub(crate) reporter: &'a dyn Reporter,
    /// Set by someone else when there is no point in going on.
    pub(crate) stop: &'a AtomicBool,
    /// Is told how many more bytes came.
    pub(crate) gained: &'a (dyn Fn(u64) + Sync),
}

impl Fetcher {
    /// A fetcher. No socket is opened and no file read before the first request.
    #[must_use]
    pub fn new(options: FetchOptions) -> Self {
        Self { options, transport: Transport::new() }
    }

    /// How it fetches.
    #[must_use]
    pub fn options(&self) -> &FetchOptions {
        &self.options
    }

    /// Fetches into a file. A file that is there already and is the pinned one is left as it is.
    ///
    /// # Errors
    /// When no place has it, or the file cannot be written. A part that can be taken up later is kept beside `dest`.
    pub fn fetch(&self, request: &Request, dest: &Path, reporter: &dyn Reporter) -> Result<Fetched, FetchError> {
        let stop = AtomicBool::new(false);
        self.fetch_watched(request, dest, &Watch { reporter, stop: &stop, gained: &|_| {} })
    }

    /// Fetches a small thing into memory.
    ///
    /// # Errors
    /// When no place has it.
    pub fn fetch_bytes(&self, request: &Request, reporter: &dyn Reporter) -> Result<(Vec<u8>, Fetched), FetchError> {
        let stop = AtomicBool::new(false);
        let watch = Watch { reporter, stop: &stop, gained: &|_| {} };
        let task = Task::start(reporter, "Fetching", &request.subject, request.expect.size());
        let mut memory = Memory::default();
        let fetched = self.ask_all(&self.with_vendored(request), &mut memory, &task, &watch)?;
        task.finish(String::new(), false);
        Ok((memory.0, fetched))
    }

    /// Is this file in the folder of those that the project brings itself?
    #[must_use]
    pub fn has_vendored(&self, sha256: &Digest) -> bool {
        self.options.vendored.as_ref().is_some_and(|folder| vendored_path(folder, sha256).is_file())
    }

    /// The request with the file that the project brings itself as its first place, if there is one.
    fn with_vendored<'a>(&self, request: &'a Request) -> Cow<'a, Request> {
        let Expect::Digest { sha256, .. } = request.expect else { return Cow::Borrowed(request) };
        let folder = self.options.vendored.as_ref().filter(|_| self.has_vendored(&sha256));
        let path = folder.and_then(|folder| std::path::absolute(vendored_path(folder, &sha256)).ok());
        let Some(url) = path.and_then(|path| Url::from_file_path(path).ok()) else { return Cow::Borrowed(request) };
        let urls = std::iter::once(url).chain(request.urls.iter().cloned()).collect();
        Cow::Owned(Request { urls, ..request.clone() })
    }

    pub(crate) fn fetch_watched(
        &self,
        request: &Request,
        dest: &Path,
        watch: &Watch<'_>,
    ) -> Result<Fetched, FetchError> {
        if let Some(fetched) = present(request, dest)? {
            (watch.gained)(fetched.size);
            return Ok(fetched);
        }
        let request = &*self.with_vendored(request);
        let needs_socket = |url: &Url| matches!(url.scheme(), "http" | "https");
        if self.options.offline && request.urls.iter().all(needs_socket) {
            // Said before a part file is made.
            let url = request.urls.first().ok_or_else(|| FetchError::NoPlace(request.subject.clone()))?;
            return Err(FetchError::Offline { subject: request.subject.clone(), url: shown(url) });
        }
        let task = Task::start(watch.reporter, "Fetching", &request.subject, request.expect.size());
        let mut partial = Partial::open(dest)?;
        if let Some(fetched) = present(request, dest)? {
            partial.discard();
            (watch.gained)(fetched.size);
            task.finish("another process fetched it", true);
            return Ok(fetched);
        }
        if matches!(request.expect, Expect::AtMost(_)) {
            partial.reset()?;
        }
        (watch.gained)(partial.len());
        match self.ask_all(request, &mut partial, &task, watch) {
            Ok(fetched) => {
                partial.commit(dest)?;
                task.finish(String::new(), false);
                Ok(fetched)
            }
            Err(error) => {
                // What filled the disk without a known end may never end.
                let endless = request.expect.size().is_none() && error.is_of_a_full_disk();
                if partial.len() == 0 || endless || matches!(request.expect, Expect::AtMost(_)) {
                    partial.discard();
                }
                Err(error)
            }
        }
    }

    fn ask_all<S: Sink>(
        &self,
        request: &Request,
        sink: &mut S,
        task: &Task<'_>,
        watch: &Watch<'_>,
    ) -> Result<Fetched, FetchError> {
        let mut attempts = Vec::new();
        for url in &request.urls {
            match self.ask_one(request, url, sink, task, watch) {
                Ok(digest) => return Ok(Fetched { digest, size: sink.len(), url: Some(url.clone()) }),
                Err(error) if error.is_ours() => return Err(error),
                Err(error) => {
                    if matches!(
                        error,
                        FetchError::WrongDigest { .. } | FetchError::TooLarge { .. } | FetchError::WrongSize { .. }
                    ) {
                        sink.reset()?;
                        if request.urls.len() > 1 {
                            let message = error.to_string();
                            watch.reporter.report(Event::Warning { message, hint: None });
                        }
                    }
                    attempts.push(error);
                }
            }
        }
        match attempts.len() {
            0 => Err(FetchError::NoPlace(request.subject.clone())),
            1 => Err(attempts.remove(0)),
            _ => Err(FetchError::EveryPlace { subject: request.subject.clone(), attempts }),
        }
    }

    fn ask_one<S: Sink>(
        &self,
        request: &Request,
        url: &Url,
        sink: &mut S,
        task: &Task<'_>,
        watch: &Watch<'_>,
    ) -> Result<Digest, FetchError> {
        let pinned = matches!(request.expect, Expect::Digest { .. });
        if !pinned {
            sink.reset()?;
        }
        let mut left = self.options.retries;
        let mut wait = self.options.backoff;
        let mut furthest = sink.len();
        let mut validator = None;
        loop {
            if watch.stop.load(Ordering::Relaxed) {
                return Err(FetchError::Stopped(request.subject.clone()));
            }
            let resumed_from = sink.len();
            let error = match self.receive(request, url, sink, &mut validator, task, watch) {
                Ok(()) => match self.check(request, url, sink) {
                    Ok(digest) => return Ok(digest),
                    // The part that was there may have been of something else: once more, from the start.
                    Err(FetchError::WrongDigest { .. }) if resumed_from > 0 => {
                        sink.reset()?;
                        furthest = 0;
                        continue;
                    }
                    Err(error) => error,
                },
                // 416: the part is longer than what the server has.
                Err(FetchError::Status { status: 416, .. }) if resumed_from > 0 => {
                    sink.reset()?;
                    furthest = 0;
                    continue;
                }
                Err(error) => error,
            };
            if !error.may_pass() {
                return Err(error);
            }
            if sink.len() >= furthest + HEADWAY {
                furthest = sink.len();
                left = self.options.retries;
                wait = self.options.backoff;
            }
            if left == 0 {
                return Err(error);
            }
            left -= 1;
            let asked = if let FetchError::Status { retry_after, .. } = &error { *retry_after } else { None };
            pause(asked.unwrap_or(wait), watch.stop);
            wait = (wait * 2).min(self.options.backoff * 8);
        }
    }

    /// One exchange: what comes goes into the sink.
    fn receive<S: Sink>(
        &self,
        request: &Request,
        url: &Url,
        sink: &mut S,
        validator: &mut Option<String>,
        task: &Task<'_>,
        watch: &Watch<'_>,
    ) -> Result<(), FetchError> {
        let pinned = matches!(request.expect, Expect::Digest { .. });
        let limit = request.expect.limit(&self.options);
        if sink.len() > limit {
            sink.reset()?;
        }
        if pinned && sink.len() > 0 && request.expect.size() == Some(sink.len()) {
            return Ok(());
        }
        // Without a digest to tell at the end, only the server's own word makes two parts one.
        let resume = (sink.len() > 0 && (pinned || validator.is_some()))
            .then(|| Resume { offset: sink.len(), validator: validator.clone() });
        let body = self.transport.open(url, resume.as_ref(), &request.subject, &self.options)?;
        if body.offset != sink.len() {
            sink.reset()?;
            if body.offset != 0 {
                let source = "another part was sent than asked for".into();
                return Err(FetchError::Connection { url: shown(url), source });
            }
        }
        validator.clone_from(&body.validator);
        let is_pinned = request.expect.size().is_some();
        if body.total.is_some_and(|total| total > limit) {
            return Err(FetchError::TooLarge { url: shown(url), subject: request.subject.clone(), limit, is_pinned });
        }
        if let (Some(total), Some(wanted)) = (body.total, request.expect.size())
            && total != wanted
        {
            let subject = request.subject.clone();
            return Err(FetchError::WrongSize { url: shown(url), subject, wanted, got: total });
        }
        // Said before anything comes, rather than when the disk is full of it.
        if let Some(total) = body.total {
            sink.has_room_for(total)?;
        }
        self.pump(request, url, body, sink, limit, task, watch)
    }

    #[expect(clippy::too_many_arguments, reason = "one loop, split off its set-up")]
    fn pump<S: Sink>(
        &self,
        request: &Request,
        url: &Url,
        mut body: Body,
        sink: &mut S,
        limit: u64,
        task: &Task<'_>,
        watch: &Watch<'_>,
    ) -> Result<(), FetchError> {
        let mut buffer = vec![0; 64 << 10];
        let mut window = (Instant::now(), sink.len());
        loop {
            if watch.stop.load(Ordering::Relaxed) {
                return Err(FetchError::Stopped(request.subject.clone()));
            }
            let read = match body.reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(url, sink.len(), body.total, error)),
            };
            if sink.len() + read as u64 > limit {
                let is_pinned = request.expect.size().is_some();
                return Err(FetchError::TooLarge {
                    url: shown(url),
                    subject: request.subject.clone(),
                    limit,
                    is_pinned,
                });
            }
            sink.append(&buffer[..read])?;
            task.progress(sink.len());
            (watch.gained)(read as u64);
            if window.0.elapsed() >= self.options.stall_timeout {
                if sink.len() - window.1 < LEAST {
                    return Err(FetchError::Stalled {
                        url: shown(url),
                        after: self.options.stall_timeout,
                        least: LEAST,
                    });
                }
                window = (Instant::now(), sink.len());
            }
        }
        match body.total.or(request.expect.size()) {
            Some(wanted) if sink.len() < wanted => {
                Err(FetchError::Truncated { url: shown(url), got: sink.len(), wanted })
            }
            _ => Ok(()),
        }
    }

    /// What a broken body means: the client's own errors come wrapped in those of the system.
    fn broken(&self, url: &Url, got: u64, total: Option<u64>, error: io::Error) -> FetchError {
        if url.scheme() == "file" {
            let path = url.to_file_path().unwrap_or_default();
            return FetchError::File { action: "read", path, source: error };
        }
        if let (io::ErrorKind::UnexpectedEof, Some(wanted)) = (error.kind(), total) {
            return FetchError::Truncated { url: shown(url), got, wanted };
        }
        match fault(url, ureq::Error::from(error), &self.options) {
            FetchError::Connection { source, .. } if total.is_some_and(|total| got < total) && is_end(&*source) => {
                FetchError::Truncated { url: shown(url), got, wanted: total.unwrap_or(got) }
            }
            other => other,
        }
    }

    fn check<S: Sink>(&self, request: &Request, url: &Url, sink: &S) -> Result<Digest, FetchError> {
        let got = sink.digest();
        match request.expect {
            Expect::Digest { sha256: wanted, .. } if wanted != got => {
                Err(FetchError::WrongDigest { url: shown(url), subject: request.subject.clone(), wanted, got })
            }
            _ => Ok(got),
        }
    }
}

/// Where a file lies in a folder of files by digest: `sha256/AB/CDEF...`, all 64 digits.
#[must_use]
pub fn vendored_path(folder: &Path, sha256: &Digest) -> PathBuf {
    let hex = sha256.to_hex();
    folder.join("sha256").join(&hex[..2]).join(&hex[2..])
}

/// Is this the client's way to say that the connection ended in the middle?
fn is_end(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// The file, if it is there and is the pinned one.
fn present(request: &Request, dest: &Path) -> Result<Option<Fetched>, FetchError> {
    let Expect::Digest { sha256, size } = request.expect else { return Ok(None) };
    let fault = |source| FetchError::File { action: "read", path: dest.to_owned(), source };
    let mut file = match File::open(dest) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    if size.is_some_and(|size| file.metadata().is_ok_and(|metadata| metadata.len() != size)) {
        return Ok(None);
    }
    let (hasher, size) = hash(&mut file).map_err(fault)?;
    let digest = hasher.finish();
    Ok((digest == sha256).then_some(Fetched { digest, size, url: None }))
}

/// Sleeps in short naps, so that a stopped batch stops soon.
fn pause(wait: Duration, stop: &AtomicBool) {
    let begun = Instant::now();
    while let Some(left) = wait.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}
