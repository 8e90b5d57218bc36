//! A whole small archive behind a server on the loopback: bringing it up to date, opening what is locked, fetching.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kiln_fetch::{FetchOptions, Fetcher};
use kiln_import::debian::archive::fetch_pool;
use kiln_import::debian::{
    Access, Archive, ArchiveConfig, ArchiveError, ArchiveState, Keyring, MaxAge, Mirror, PoolFile, SolveOptions,
    SolveRequest, Source, date, solve,
};
use kiln_model::{Architecture, Digest, Silent};
use pgp::types::Timestamp;
use testkit::ArchiveKey;

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A mirror: a server for files that the test may change under it.
struct Served {
    mirror: Mirror,
    files: Files,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Served {
    fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/debian/", listener.local_addr().unwrap()).parse().unwrap();
        let files: Files = Arc::new(Mutex::new(files));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (served, heard) = (files.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (served, heard) = (served.clone(), heard.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    while let Some(Ok(line)) = lines.next() {
                        let Some(path) = line.strip_prefix("GET /debian/").and_then(|rest| rest.split(' ').next())
                        else {
                            continue;
                        };
                        heard.lock().unwrap().push(path.to_owned());
                        let body = served.lock().unwrap().get(path).cloned();
                        let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
                        let body = body.unwrap_or_default();
                        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
                        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
                    }
                });
            }
        });
        Self { mirror: Mirror { url, named_by: "the test".to_owned() }, files, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// The key's own clock: its signatures are of now.
fn now() -> u64 {
    u64::from(Timestamp::now().as_secs())
}

fn key() -> ArchiveKey {
    ArchiveKey::new(1)
}

fn keyring() -> Keyring {
    Keyring::parse("test.asc", key().public().as_bytes()).unwrap()
}

fn packages(version: u32) -> String {
    let stanza = |name: &str, more: &str| {
        let body = format!("{name} {version}");
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{more}Filename: pool/main/{name}_{version}.deb\nSize: {}\nSHA256: {}\n\n",
            body.len(),
            Digest::of(body.as_bytes()).to_hex()
        )
    };
    stanza("app", "Depends: lib\n") + &stanza("lib", "")
}

fn sources(version: u32) -> String {
    format!(
        "Package: app\nVersion: {version}\nFormat: 3.0 (quilt)\nDirectory: pool/main\nChecksums-Sha256:\n {} 3 app_{version}.dsc\n\n",
        Digest::of(b"dsc").to_hex()
    )
}

/// The files of an archive whose packages all have this version, released so many seconds ago.
fn files(version: u32, age: u64, by_hash: bool) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut listed = String::new();
    for (path, text) in [("main/binary-amd64/Packages", packages(version)), ("main/source/Sources", sources(version))] {
        let folder = path.rsplit_once('/').unwrap().0;
        listed.push_str(&format!(" {} {} {path}\n", Digest::of(text.as_bytes()).to_hex(), text.len()));
        if by_hash {
            files.insert(
                format!("dists/trixie/{folder}/by-hash/SHA256/{}", Digest::of(text.as_bytes()).to_hex()),
                text.clone().into_bytes(),
            );
        }
        files.insert(format!("dists/trixie/{path}"), text.into_bytes());
    }
    let release = format!(
        "Origin: Debian\nSuite: stable\nCodename: trixie\nDate: {}\nAcquire-By-Hash: {}\nSHA256:\n{}",
        date::format(now() - age),
        if by_hash { "yes" } else { "no" },
        listed.trim_end()
    );
    files.insert("dists/trixie/InRelease".to_owned(), key().sign(&release).into_bytes());
    for name in ["app", "lib"] {
        files.insert(format!("pool/main/{name}_{version}.deb"), format!("{name} {version}").into_bytes());
    }
    files
}

fn config() -> ArchiveConfig {
    ArchiveConfig {
        origin: "debian".parse().unwrap(),
        distribution: "debian".to_owned(),
        suite: "trixie".to_owned(),
        components: vec!["main".to_owned()],
        architectures: vec![Architecture::Amd64],
        sources: true,
        max_age: Some(MaxAge::Unlimited),
    }
}

fn fetcher(offline: bool) -> Fetcher {
    let quick = FetchOptions { stall_timeout: Duration::from_secs(2), retries: 0, ..FetchOptions::default() };
    Fetcher::new(FetchOptions { offline, ..quick })
}

struct Place {
    dir: tempfile::TempDir,
    fetcher: Fetcher,
    mirrors: Vec<Mirror>,
}

impl Place {
    fn new(mirrors: &[&Served]) -> Self {
        let mirrors = mirrors.iter().map(|served| served.mirror.clone()).collect();
        Self { dir: tempfile::tempdir().unwrap(), fetcher: fetcher(false), mirrors }
    }

    fn access(&self) -> Access<'_> {
        Access { mirrors: &self.mirrors, fetcher: &self.fetcher, folder: self.dir.path(), reporter: &Silent }
    }

    fn update(&self, locked: Option<u64>) -> Result<Archive, ArchiveError> {
        Archive::update(&config(), &[keyring()], self.access(), now(), locked)
    }

    fn open(&self, state: &ArchiveState) -> Result<Archive, ArchiveError> {
        Archive::open(&config(), state.clone(), self.access())
    }

    fn kept(&self) -> Vec<PathBuf> {
        let mut kept: Vec<_> = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        kept.retain(|path| !path.ends_with("lock"));
        kept.sort();
        kept
    }
}

/// A whole error on one line; every one has a hint.
fn told(error: &ArchiveError) -> String {
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error:?} has no hint");
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn versions(archive: &Archive) -> Vec<String> {
    let origin = "debian".parse().unwrap();
    let request = SolveRequest::Package { origin, name: "app".parse().unwrap(), version: None };
    let origin = "debian".parse().unwrap();
    let indexes = archive.packages(Architecture::Amd64);
    let sources = [Source { origin: &origin, indexes: &indexes }];
    let options = SolveOptions { architecture: Architecture::Amd64, recommends: false };
    let found = solve(&sources, &[request], options).unwrap();
    found.into_iter().map(|package| format!("{} {}", package.name, package.version)).collect()
}

#[test]
fn takes_the_present_state_and_opens_it_again_without_a_network() {
    let served = Served::new(files(1, 60, true));
    let place = Place::new(&[&served]);
    let archive = place.update(None).unwrap();
    assert_eq!(versions(&archive), ["app 1", "lib 1"]);
    assert_eq!(archive.sources()[0].named("app").unwrap()[0].files[0].name, "app_1.dsc");
    assert!(served.asked().iter().skip(1).all(|path| path.contains("/by-hash/SHA256/")));
    assert_eq!(place.kept().len(), 3, "only the two indexes and the statement that names them are kept");
    let offline = Place { fetcher: fetcher(true), dir: place.dir, mirrors: place.mirrors };
    let again = offline.open(&archive.state).unwrap();
    assert_eq!((versions(&again), &again.state), (vec!["app 1".to_owned(), "lib 1".to_owned()], &archive.state));
    assert!(served.asked().is_empty());
    assert!(matches!(offline.update(None), Err(ArchiveError::Unreachable { .. })));
}

#[test]
fn an_archive_without_by_hash_works_too() {
    let served = Served::new(files(1, 60, false));
    assert_eq!(versions(&Place::new(&[&served]).update(None).unwrap()), ["app 1", "lib 1"]);
}

#[test]
fn a_damaged_index_is_made_again() {
    let served = Served::new(files(1, 60, true));
    let place = Place::new(&[&served]);
    let archive = place.update(None).unwrap();
    for path in place.kept() {
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!(versions(&place.open(&archive.state).unwrap()), ["app 1", "lib 1"]);
}

#[test]
fn an_index_that_is_not_what_the_release_says_is_refused() {
    let served = Served::new(files(1, 60, true));
    for (path, bytes) in served.files.lock().unwrap().iter_mut() {
        if path.contains("binary-amd64") {
            *bytes = String::from_utf8(bytes.clone()).unwrap().replace("lib", "bil").into_bytes();
        }
    }
    let place = Place::new(&[&served]);
    let text = told(&place.update(None).unwrap_err());
    assert!(text.contains("Packages"), "{text}");
    assert!(place.kept().iter().all(|path| !path.to_string_lossy().contains("packages")), "{:?}", place.kept());
}

#[test]
fn the_next_mirror_is_asked_when_one_fails_lies_or_is_behind() {
    let date = now() - 60;
    let good = Served::new(files(2, 60, true));
    let behind = Served::new(files(1, 6000, true));
    let empty = Served::new(BTreeMap::new());
    let liar = Served::new(BTreeMap::from([("dists/trixie/InRelease".to_owned(), b"<html>".to_vec())]));
    let place = Place::new(&[&empty, &liar, &behind, &good]);
    assert_eq!(versions(&place.update(Some(date - 5)).unwrap()), ["app 2", "lib 2"]);
    let text = told(&Place::new(&[&empty, &liar, &behind]).update(Some(date)).unwrap_err());
    for part in ["404", "not a signed message", "older than the locked one"] {
        assert!(text.contains(part), "{text}");
    }
    let text = told(&Place::new(&[&empty]).update(None).unwrap_err());
    assert!(text.contains("404") && text.contains(empty.mirror.url.as_str()), "{text}");
    assert!(matches!(Place::new(&[]).update(None), Err(ArchiveError::NoMirror(_))));
}

#[test]
fn a_locked_index_that_is_gone_says_how_to_move_on() {
    let served = Served::new(files(1, 60, true));
    let state = Place::new(&[&served]).update(None).unwrap().state;
    *served.files.lock().unwrap() = files(2, 30, true);
    let elsewhere = Place::new(&[&served]);
    let error = elsewhere.open(&state).unwrap_err();
    assert!(matches!(error, ArchiveError::IndexGone { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("kiln lock --update"));
}

#[test]
fn packages_are_fetched_and_those_that_are_gone_are_named() {
    let served = Served::new(files(1, 60, true));
    let place = Place::new(&[&served]);
    let archive = place.update(None).unwrap();
    let origin = "debian".parse().unwrap();
    let pool: Vec<_> = ["app", "lib"]
        .iter()
        .map(|name| {
            let record = archive.packages(Architecture::Amd64)[0].named(name).unwrap().remove(0);
            let (path, sha256, size) = (record.path, record.sha256, record.size);
            let file = PoolFile { name: record.name, version: record.version, path, sha256, size };
            (file, place.dir.path().join(name))
        })
        .collect();
    served.files.lock().unwrap().remove("pool/main/lib_1.deb");
    let fetch = || fetch_pool(&origin, &pool, &place.mirrors, &place.fetcher, 2, &Silent);
    let error = fetch().unwrap_err();
    assert_eq!(error.to_string(), "gone from the mirrors of the origin `debian`: `lib` 1");
    let hint = error.hint().unwrap();
    assert!(hint.contains("kiln lock --update lib"), "{hint}");
    assert!(place.dir.path().join("app").exists() && !place.dir.path().join("lib").exists());
    served.files.lock().unwrap().insert("pool/main/lib_1.deb".to_owned(), b"evil!".to_vec());
    let text = told(&fetch().unwrap_err());
    assert!(text.contains("is not the pinned"), "{text}");
    served.files.lock().unwrap().insert("pool/main/lib_1.deb".to_owned(), b"lib 1".to_vec());
    assert_eq!(fetch().unwrap().len(), 2);
}

#[test]
fn names_that_could_leave_the_mirrors_folder_are_refused() {
    let served = Served::new(files(1, 60, true));
    let place = Place::new(&[&served]);
    for (suite, component) in
        [("../x", "main"), ("trixie", "../../etc"), ("", "main"), ("trixie", "a?b"), ("/x", "main")]
    {
        let config = ArchiveConfig { suite: suite.to_owned(), components: vec![component.to_owned()], ..config() };
        let error = Archive::update(&config, &[keyring()], place.access(), now(), None).unwrap_err();
        assert!(matches!(error, ArchiveError::Name(_)), "{error:?}");
    }
    assert!(served.asked().is_empty());
    let missing = ArchiveConfig { components: vec!["contrib".to_owned()], ..config() };
    let error = Archive::update(&missing, &[keyring()], place.access(), now(), None).unwrap_err();
    assert!(told(&error).contains("contrib/binary-amd64/Packages"));
}

#[test]
fn two_processes_may_take_one_archive_at_once() {
    let served = Served::new(files(1, 60, true));
    let place = Place::new(&[&served]);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| versions(&place.update(None).unwrap()))).collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), ["app 1", "lib 1"]);
        }
    });
}
