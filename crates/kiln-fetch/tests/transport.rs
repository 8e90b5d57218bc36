//! The fetcher against servers that behave, misbehave and hang, each a few lines on the loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kiln_fetch::{Expect, FetchError, FetchOptions, Fetcher, Job, Request, Url};
use kiln_model::{Digest, Silent};

/// A server on the loopback: each request goes to the handler, with its number.
struct Server {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn start(handler: impl Fn(usize, &str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (handler, seen, count) = (Arc::new(handler), heads.clone(), connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (handler, seen) = (handler.clone(), seen.clone());
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || serve(stream.unwrap(), &seen, &*handler));
            }
        });
        Self { port, heads, connections }
    }

    fn url(&self, path: &str) -> Url {
        format!("http://127.0.0.1:{}/{path}", self.port).parse().unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<String>>, handler: &dyn Fn(usize, &str, &mut TcpStream)) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line.to_lowercase());
        }
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(head.clone());
            seen.len()
        };
        handler(number, &head, &mut writer);
    }
}

fn close(stream: &TcpStream) {
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

fn range_start(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok())
}

fn ok(stream: &mut TcpStream, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"v1\"\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}

/// Answers as a good server does, `Range` honoured.
fn good(head: &str, stream: &mut TcpStream, body: &[u8]) {
    match range_start(head) {
        Some(start) if start < body.len() => {
            let rest = &body[start..];
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nETag: \"v1\"\r\nContent-Range: bytes {start}-{}/{}\r\n\r\n",
                rest.len(),
                body.len() - 1,
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(rest);
        }
        Some(_) => {
            let _ = stream.write_all(b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n");
        }
        None => ok(stream, body),
    }
}

fn status(stream: &mut TcpStream, line: &str, headers: &str) {
    let _ = stream.write_all(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n{headers}\r\n").as_bytes());
}

fn body() -> Vec<u8> {
    (0..300_000u32).flat_map(u32::to_le_bytes).collect()
}

fn quick() -> FetchOptions {
    FetchOptions {
        connect_timeout: Duration::from_secs(2),
        stall_timeout: Duration::from_millis(300),
        retries: 2,
        backoff: Duration::from_millis(5),
        ..FetchOptions::default()
    }
}

fn pinned(urls: Vec<Url>, bytes: &[u8]) -> Request {
    let expect = Expect::Digest { sha256: Digest::of(bytes), size: Some(bytes.len() as u64) };
    Request { urls, expect, subject: "thing 1.0".to_owned() }
}

struct Place {
    _dir: tempfile::TempDir,
    file: PathBuf,
    part: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let (file, part) = (dir.path().join("thing"), dir.path().join("thing.part"));
    Place { _dir: dir, file, part }
}

#[test]
fn fetches_what_is_pinned_and_asks_only_once() {
    let server = Server::start(|_, head, stream| good(head, stream, &body()));
    let (place, fetcher) = (place(), Fetcher::new(quick()));
    let request = pinned(vec![server.url("a")], &body());
    let first = fetcher.fetch(&request, &place.file, &Silent).unwrap();
    assert_eq!((first.size, first.url.is_some()), (1_200_000, true));
    assert_eq!(std::fs::read(&place.file).unwrap(), body());
    assert!(!place.part.exists());
    let second = fetcher.fetch(&request, &place.file, &Silent).unwrap();
    assert_eq!((second.digest, second.url), (first.digest, None));
    assert_eq!(server.requests().len(), 1);
    assert!(server.requests()[0].contains("user-agent: kiln/"));
}

#[test]
fn a_file_that_is_there_but_damaged_is_fetched_again() {
    let server = Server::start(|_, head, stream| good(head, stream, b"right"));
    let place = place();
    std::fs::write(&place.file, b"wrong").unwrap();
    Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], b"right"), &place.file, &Silent).unwrap();
    assert_eq!(std::fs::read(&place.file).unwrap(), b"right");
}

#[test]
fn a_wrong_digest_names_the_url_and_both_digests_and_leaves_nothing() {
    let server = Server::start(|_, _, stream| ok(stream, b"evil!"));
    let place = place();
    let error =
        Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], b"right"), &place.file, &Silent).unwrap_err();
    let text = error.to_string();
    for part in [server.url("a").as_str(), &Digest::of(b"right").to_hex(), &Digest::of(b"evil!").to_hex(), "thing 1.0"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(error.hint().is_some());
    assert!(!place.file.exists() && !place.part.exists());
    assert_eq!(server.requests().len(), 1, "wrong bytes are not asked for twice");
}

#[test]
fn a_second_mirror_helps_when_the_first_lies_or_has_lost_the_file() {
    for answer in ["lies", "lost"] {
        let bad = Server::start(move |_, _, stream| match answer {
            "lies" => ok(stream, b"evil!"),
            _ => status(stream, "404 Not Found", ""),
        });
        let fine = Server::start(|_, head, stream| good(head, stream, b"right"));
        let place = place();
        let request = pinned(vec![bad.url("a"), fine.url("b")], b"right");
        let fetched = Fetcher::new(quick()).fetch(&request, &place.file, &Silent).unwrap();
        assert_eq!(fetched.url, Some(fine.url("b")));
        assert_eq!(std::fs::read(&place.file).unwrap(), b"right");
    }
}

#[test]
fn a_download_that_breaks_off_is_taken_up_where_it_stopped() {
    let server = Server::start(|number, head, stream| {
        if number == 1 {
            let bytes = body();
            let _ = stream.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"v1\"\r\n\r\n", bytes.len()).as_bytes(),
            );
            let _ = stream.write_all(&bytes[..500_000]);
            close(stream);
        } else {
            good(head, stream, &body());
        }
    });
    let place = place();
    Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], &body()), &place.file, &Silent).unwrap();
    assert_eq!(std::fs::read(&place.file).unwrap(), body());
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    let start = range_start(&requests[1]).expect("the second request asks for the rest");
    assert!(start > 0 && start <= 500_000);
    assert!(requests[1].contains("if-range: \"v1\""));
}

#[test]
fn a_download_that_hangs_in_the_middle_is_taken_up_after_the_time_out() {
    let server = Server::start(|number, head, stream| {
        if number == 1 {
            let bytes = body();
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).as_bytes());
            let _ = stream.write_all(&bytes[..400_000]);
            std::thread::sleep(Duration::from_secs(3));
        } else {
            good(head, stream, &body());
        }
    });
    let (place, begun) = (place(), Instant::now());
    Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], &body()), &place.file, &Silent).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(range_start(&server.requests()[1]).is_some());
}

#[test]
fn a_part_left_by_a_killed_process_is_taken_up() {
    let server = Server::start(|_, head, stream| good(head, stream, &body()));
    let place = place();
    std::fs::write(&place.part, &body()[..700_000]).unwrap();
    Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], &body()), &place.file, &Silent).unwrap();
    assert_eq!(range_start(&server.requests()[0]), Some(700_000));
    assert_eq!(std::fs::read(&place.file).unwrap(), body());
}

#[test]
fn a_part_of_something_else_is_thrown_away() {
    let server = Server::start(|_, head, stream| good(head, stream, &body()));
    for left in [vec![7; 1000], vec![7; 1_200_000], vec![7; 2_000_000]] {
        let place = place();
        std::fs::write(&place.part, left).unwrap();
        Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], &body()), &place.file, &Silent).unwrap();
        assert_eq!(std::fs::read(&place.file).unwrap(), body());
    }
}

#[test]
fn a_server_that_ignores_range_is_read_from_the_start() {
    let server = Server::start(|_, _, stream| ok(stream, &body()));
    let place = place();
    std::fs::write(&place.part, &body()[..700_000]).unwrap();
    Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], &body()), &place.file, &Silent).unwrap();
    assert_eq!(std::fs::read(&place.file).unwrap(), body());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_that_sends_another_part_than_asked_for_is_not_believed() {
    let server = Server::start(|_, head, stream| {
        if range_start(head).is_some() {
            let _ = stream.write_all(
                b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\nContent-Range: bytes 9-10/1200000\r\n\r\nxx",
            );
        } else {
            ok(stream, &body());
        }
    });
    let place = place();
    std::fs::write(&place.part, &body()[..700_000]).unwrap();
    Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], &body()), &place.file, &Silent).unwrap();
    assert_eq!(std::fs::read(&place.file).unwrap(), body());
}

#[test]
fn a_download_that_is_cut_short_every_time_is_an_error() {
    let server = Server::start(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nrig");
        close(stream);
    });
    let place = place();
    let error =
        Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], b"right"), &place.file, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Truncated { got: 3, wanted: 5, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 3, "two retries");
    assert!(!place.file.exists());
}

#[test]
fn a_short_body_without_a_length_is_noticed_by_the_pinned_size() {
    let server = Server::start(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nrig");
        close(stream);
    });
    let error =
        Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], b"right"), &place().file, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Truncated { got: 3, wanted: 5, .. }), "{error:?}");
}

#[test]
fn a_server_that_announces_another_size_is_refused_before_its_body_is_read() {
    for announced in [3usize, 9] {
        let server = Server::start(move |_, _, stream| ok(stream, &vec![b'x'; announced]));
        let place = place();
        let error =
            Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], b"right"), &place.file, &Silent).unwrap_err();
        assert!(matches!(error, FetchError::WrongSize { .. } | FetchError::TooLarge { .. }), "{error:?}");
        assert!(!place.part.exists());
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_server_that_never_ends_is_cut_off_at_the_bound() {
    let server = Server::start(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"10000\r\n".as_slice(), &[0; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
    });
    let request =
        Request { urls: vec![server.url("a")], expect: Expect::AtMost(1 << 20), subject: "InRelease".to_owned() };
    let error = Fetcher::new(quick()).fetch_bytes(&request, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 1_048_576, .. }), "{error:?}");
    let place = place();
    let request = pinned(vec![server.url("a")], b"right");
    let error = Fetcher::new(quick()).fetch(&request, &place.file, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 5, .. }), "{error:?}");
    assert!(!place.part.exists());
}

#[test]
fn a_server_that_hangs_before_it_answers_is_an_error_in_bounded_time() {
    let server = Server::start(|_, _, _| std::thread::sleep(Duration::from_secs(20)));
    let begun = Instant::now();
    let error =
        Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], b"right"), &place().file, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Stalled { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("network"));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_server_that_trickles_counts_as_hung() {
    let server = Server::start(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1200000\r\n\r\n");
        for _ in 0..200 {
            if stream.write_all(b"x").is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let options = FetchOptions { retries: 0, ..quick() };
    let begun = Instant::now();
    let error =
        Fetcher::new(options).fetch(&pinned(vec![server.url("a")], &body()), &place().file, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Stalled { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_server_that_is_down_for_a_moment_is_asked_again() {
    let server = Server::start(|number, head, stream| match number {
        1 => status(stream, "500 Internal Server Error", ""),
        2 => status(stream, "503 Service Unavailable", "Retry-After: 0\r\n"),
        _ => good(head, stream, b"right"),
    });
    let place = place();
    Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], b"right"), &place.file, &Silent).unwrap();
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_missing_file_is_an_error_at_once_and_says_that_it_is_gone() {
    let server = Server::start(|_, _, stream| status(stream, "404 Not Found", ""));
    let place = place();
    let request = pinned(vec![server.url("a"), server.url("b")], b"right");
    let error = Fetcher::new(quick()).fetch(&request, &place.file, &Silent).unwrap_err();
    assert!(error.is_gone());
    assert!(error.to_string().contains(server.url("b").as_str()), "{error}");
    assert_eq!(server.requests().len(), 2);
    assert!(!place.part.exists());
    let refused = Server::start(|_, _, stream| status(stream, "403 Forbidden", ""));
    let error = Fetcher::new(quick()).fetch(&pinned(vec![refused.url("a")], b"x"), &place.file, &Silent).unwrap_err();
    assert!(!error.is_gone() && error.hint().is_some());
}

#[test]
fn nobody_listening_is_an_error_that_names_the_cause() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url: Url = format!("http://127.0.0.1:{port}/a").parse().unwrap();
    let error = Fetcher::new(quick()).fetch(&pinned(vec![url], b"x"), &place().file, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Connection { .. }), "{error:?}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("refused"));
}

#[test]
fn redirections_are_followed_and_loops_are_not() {
    let fine = Server::start(|_, head, stream| {
        if head.starts_with("get /a ") {
            status(stream, "302 Found", "Location: /deep/b?x=1\r\n");
        } else {
            good(head, stream, b"right");
        }
    });
    let place = place();
    Fetcher::new(quick()).fetch(&pinned(vec![fine.url("a")], b"right"), &place.file, &Silent).unwrap();
    assert!(fine.requests()[1].starts_with("get /deep/b?x=1 "));
    let endless = Server::start(|_, _, stream| status(stream, "301 Moved Permanently", "Location: /a\r\n"));
    let error = Fetcher::new(quick()).fetch(&pinned(vec![endless.url("a")], b"x"), &place.file, &Silent).unwrap_err();
    assert!(error.to_string().contains("on and on"), "{error}");
    assert!(endless.requests().len() < 20);
}

#[test]
fn a_redirection_to_a_file_of_this_machine_is_refused() {
    for to in ["file:///etc/passwd", "ftp://127.0.0.1/x", "", "http://"] {
        let server = Server::start(move |_, _, stream| status(stream, "302 Found", &format!("Location: {to}\r\n")));
        let request =
            Request { urls: vec![server.url("a")], expect: Expect::AtMost(1 << 20), subject: "InRelease".to_owned() };
        let error = Fetcher::new(quick()).fetch_bytes(&request, &Silent).unwrap_err();
        assert!(matches!(error, FetchError::Unsupported { .. }), "{to}: {error:?}");
    }
}

#[test]
fn credentials_are_sent_to_their_server_only_and_never_shown() {
    let other = Server::start(|_, head, stream| good(head, stream, b"right"));
    let to = other.url("b");
    let server = Server::start(move |_, head, stream| {
        if head.starts_with("get /a ") {
            status(stream, "302 Found", "Location: /c\r\n");
        } else {
            status(stream, "302 Found", &format!("Location: {to}\r\n"));
        }
    });
    let mut url = server.url("a");
    url.set_username("me").unwrap();
    url.set_password(Some("s%40cret")).unwrap();
    Fetcher::new(quick()).fetch(&pinned(vec![url.clone()], b"right"), &place().file, &Silent).unwrap();
    let sent = |requests: &[String]| requests.iter().all(|head| head.contains("authorization: basic bwu6c0bjcmv0"));
    assert!(sent(&server.requests()) && server.requests().len() == 2, "{:?}", server.requests());
    assert!(!other.requests()[0].contains("authorization"));
    let error = Fetcher::new(quick()).fetch(&pinned(vec![url], b"wrong"), &place().file, &Silent).unwrap_err();
    assert!(!format!("{error}").contains("cret"), "{error}");
}

#[test]
fn offline_opens_no_socket() {
    let server = Server::start(|_, head, stream| good(head, stream, b"right"));
    let fetcher = Fetcher::new(FetchOptions { offline: true, ..quick() });
    let place = place();
    let request = pinned(vec![server.url("a")], b"right");
    let error = fetcher.fetch(&request, &place.file, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error:?}");
    assert!(error.to_string().contains("offline") && error.hint().unwrap().contains("without `--offline`"));
    assert!(!place.part.exists());
    assert!(matches!(fetcher.fetch_bytes(&request, &Silent), Err(FetchError::Offline { .. })));
    std::fs::write(&place.file, b"right").unwrap();
    fetcher.fetch(&request, &place.file, &Silent).unwrap();
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn file_urls_work_offline_and_are_checked_too() {
    let place = place();
    let source = place.file.with_file_name("source");
    std::fs::write(&source, body()).unwrap();
    let fetcher = Fetcher::new(FetchOptions { offline: true, ..quick() });
    let url = Url::from_file_path(&source).unwrap();
    let fetched = fetcher.fetch(&pinned(vec![url.clone()], &body()), &place.file, &Silent).unwrap();
    assert_eq!(fetched.size, 1_200_000);
    std::fs::remove_file(&place.file).unwrap();
    let mut wrong = body();
    wrong[0] ^= 1;
    let error = fetcher.fetch(&pinned(vec![url], &wrong), &place.file, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::WrongDigest { .. }), "{error:?}");
    let missing = Url::from_file_path(source.with_file_name("missing")).unwrap();
    let error = fetcher.fetch(&pinned(vec![missing], &wrong), &place.file, &Silent).unwrap_err();
    assert!(error.is_gone(), "{error:?}");
    let directory = Url::from_file_path(source.parent().unwrap()).unwrap();
    let error = fetcher.fetch(&pinned(vec![directory], &wrong), &place.file, &Silent).unwrap_err();
    assert!(error.to_string().contains("regular file"), "{error}");
}

#[test]
fn an_unknown_scheme_and_no_url_are_refused() {
    let fetcher = Fetcher::new(quick());
    let error =
        fetcher.fetch(&pinned(vec!["gopher://x/y".parse().unwrap()], b"x"), &place().file, &Silent).unwrap_err();
    assert!(error.to_string().contains("`gopher`"), "{error}");
    let error = fetcher.fetch(&pinned(vec![], b"x"), &place().file, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::NoPlace(_)), "{error:?}");
}

#[test]
fn a_full_or_missing_folder_is_an_error_that_names_it() {
    let server = Server::start(|_, head, stream| good(head, stream, b"right"));
    let dest = place().file.with_file_name("gone").join("deeper");
    let error = Fetcher::new(quick()).fetch(&pinned(vec![server.url("a")], b"right"), &dest, &Silent).unwrap_err();
    assert!(error.to_string().contains("deeper.part"), "{error}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn two_processes_that_want_one_file_fetch_it_once() {
    let server = Server::start(|_, head, stream| {
        std::thread::sleep(Duration::from_millis(100));
        good(head, stream, &body());
    });
    let place = place();
    let request = pinned(vec![server.url("a")], &body());
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| Fetcher::new(quick()).fetch(&request, &place.file, &Silent).unwrap()))
            .collect();
        let asked = runs.into_iter().map(|run| run.join().unwrap().url.is_some());
        assert_eq!(asked.filter(|asked| *asked).count(), 1);
    });
    assert_eq!(server.requests().len(), 1);
    assert!(!place.part.exists());
}

#[test]
fn a_batch_keeps_order_and_reuses_its_connections() {
    let server = Server::start(|_, head, stream| {
        let name = head.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
        good(head, stream, name.as_bytes());
    });
    let dir = tempfile::tempdir().unwrap();
    let jobs: Vec<Job> = (0..60)
        .map(|number| {
            let name = format!("n{number}");
            Job { request: pinned(vec![server.url(&name)], name.as_bytes()), dest: dir.path().join(&name) }
        })
        .collect();
    let fetched = Fetcher::new(quick()).fetch_all(&jobs, 4, &Silent).unwrap();
    for (number, one) in fetched.iter().enumerate() {
        assert_eq!(one.digest, Digest::of(format!("n{number}").as_bytes()));
    }
    let connections = server.connections.load(Ordering::SeqCst);
    assert!(connections <= 8, "{connections} connections for 60 files");
}

#[test]
fn a_batch_names_every_file_that_is_gone() {
    let server = Server::start(|_, head, stream| {
        if head.contains("bad") { status(stream, "404 Not Found", "") } else { good(head, stream, b"fine") }
    });
    let dir = tempfile::tempdir().unwrap();
    let jobs: Vec<Job> = ["bad1", "fine", "bad2"]
        .iter()
        .map(|name| Job { request: pinned(vec![server.url(name)], b"fine"), dest: dir.path().join(name) })
        .collect();
    let error = Fetcher::new(quick()).fetch_all(&jobs, 1, &Silent).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("/bad1") && text.contains("/bad2") && error.is_gone(), "{text}");
    assert!(dir.path().join("fine").exists());
}

#[test]
fn two_states_of_an_unpinned_file_are_never_put_together() {
    let server = Server::start(|number, head, stream| {
        if number == 1 {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1200000\r\nETag: \"v0\"\r\n\r\nabc");
            close(stream);
        } else if head.contains("if-range: \"v1\"") {
            good(head, stream, &body());
        } else {
            ok(stream, &body());
        }
    });
    let request =
        Request { urls: vec![server.url("a")], expect: Expect::AtMost(2 << 20), subject: "InRelease".to_owned() };
    let (bytes, fetched) = Fetcher::new(quick()).fetch_bytes(&request, &Silent).unwrap();
    assert_eq!((bytes, fetched.size), (body(), 1_200_000));
    assert!(server.requests()[1].contains("if-range: \"v0\""));
}

#[test]
fn a_proxy_is_used_and_exceptions_are_not_sent_to_it() {
    let proxy = Server::start(|_, head, stream| {
        if head.starts_with("connect ") {
            status(stream, "403 Forbidden", "");
        }
    });
    let server = Server::start(|_, head, stream| good(head, stream, b"right"));
    let mut options = quick();
    options.proxies.http = Some(format!("http://127.0.0.1:{}", proxy.port));
    let error = Fetcher::new(options.clone())
        .fetch(&pinned(vec![server.url("a")], b"right"), &place().file, &Silent)
        .unwrap_err();
    assert!(matches!(error, FetchError::Connection { .. }), "{error:?}");
    assert!(proxy.requests()[0].starts_with("connect 127.0.0.1:"));
    options.proxies.except = Some("localhost, 127.0.0.1".to_owned());
    Fetcher::new(options).fetch(&pinned(vec![server.url("a")], b"right"), &place().file, &Silent).unwrap();
}

#[test]
fn https_is_refused_when_the_server_does_not_speak_it() {
    let server = Server::start(|_, _, stream| {
        let mut rest = [0; 10];
        let _ = stream.read(&mut rest);
    });
    let url: Url = format!("https://127.0.0.1:{}/a", server.port).parse().unwrap();
    let options = FetchOptions { retries: 0, ..quick() };
    let error = Fetcher::new(options).fetch(&pinned(vec![url], b"x"), &place().file, &Silent).unwrap_err();
    assert!(
        matches!(error, FetchError::Connection { .. } | FetchError::Stalled { .. } | FetchError::Setup { .. }),
        "{error:?}"
    );
}

#[test]
fn a_registry_is_asked_again_with_a_token_that_it_alone_gets() {
    let bytes = body();
    let blob = bytes.clone();
    let elsewhere = Server::start(move |_, head, stream| good(head, stream, &blob));
    let away = elsewhere.url("blob");
    let port = Arc::new(Mutex::new(0));
    let own = port.clone();
    let registry = Server::start(move |_, head, stream| {
        if head.starts_with("get /token?service=here&scope=repository%3ateam%2fsystem%3apull ") {
            return ok(stream, br#"{"token":"sesame"}"#);
        }
        if !head.contains("authorization: bearer sesame\r\n") {
            let realm = format!("http://127.0.0.1:{}/token", own.lock().unwrap());
            let scope = "repository:team/system:pull";
            let ask = format!("www-authenticate: Bearer realm=\"{realm}\",service=\"here\",scope=\"{scope}\"\r\n");
            return status(stream, "401 Unauthorized", &ask);
        }
        if head.starts_with("get /v2/team/system/manifests/") {
            assert!(head.contains("application/vnd.oci.image.manifest.v1+json"), "{head}");
            return ok(stream, b"{}");
        }
        status(stream, "307 Temporary Redirect", &format!("location: {away}\r\n"));
    });
    *port.lock().unwrap() = registry.port;
    let fetcher = Fetcher::new(quick());
    let ask = |path: &str, bytes: &[u8]| {
        let mut url = registry.url(path);
        url.set_username("me").unwrap();
        fetcher.fetch_bytes(&pinned(vec![url], bytes), &Silent).unwrap()
    };
    ask("v2/team/system/manifests/stable", b"{}");
    assert_eq!(ask("v2/team/system/blobs/sha256:0", &bytes).0, bytes);
    let requests = registry.requests();
    // Refused, the token with the credentials, the manifest; then the blob with the token that is there.
    assert_eq!(requests.len(), 4, "{requests:?}");
    assert!(requests[1].contains("authorization: basic"), "{requests:?}");
    assert!(elsewhere.requests().iter().all(|head| !head.contains("authorization")), "the token is the registry's");
}

#[test]
fn a_registry_that_takes_no_token_is_not_asked_for_ever() {
    let port = Arc::new(Mutex::new(0));
    let own = port.clone();
    let registry = Server::start(move |_, head, stream| {
        if head.starts_with("get /token") {
            return ok(stream, br#"{"token":"sesame"}"#);
        }
        let realm = format!("http://127.0.0.1:{}/token", own.lock().unwrap());
        status(stream, "401 Unauthorized", &format!("www-authenticate: Bearer realm=\"{realm}\"\r\n"));
    });
    *port.lock().unwrap() = registry.port;
    let request = pinned(vec![registry.url("v2/team/system/blobs/sha256:0")], b"x");
    let error = Fetcher::new(quick()).fetch_bytes(&request, &Silent).unwrap_err();
    assert!(error.to_string().contains("answered 401"), "{error}");
    assert_eq!(registry.requests().len(), 3);
}
