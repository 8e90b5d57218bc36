//! Archives as sources: from a pinned file to a stored tree.

mod bench;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bench::{Bench, chain, pairs, show};
use kiln_archive::Limits;
use kiln_build::graph::{ActionError, Graph, NodeId};
use kiln_build::source::{FetchAction, ForeignAction, Pinned, SourceFile, TREE, UnpackAction, Unpacker};
use kiln_fetch::{Expect, FetchOptions, Fetcher, Request};
use kiln_model::{Digest, ObjectSource as _};
use kiln_store::Session;

#[test]
fn the_same_holds_for_an_ordinary_user() {
    bench::run_again_as_ordinary_user("the_same_holds_for_an_ordinary_user");
}

fn tarball(bench: &Bench, name: &str, arguments: &[&str]) -> PathBuf {
    let folder = bench.path("thing-1.0");
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("src/main.c"), "int main;\n").unwrap();
    fs::write(folder.join("README"), "read\n").unwrap();
    let path = bench.path(name);
    let done =
        Command::new("tar").current_dir(bench.folder.path()).args(arguments).arg(&path).arg("thing-1.0").status();
    assert!(done.unwrap().success());
    path
}

fn fetch(bench: &Bench, graph: &mut Graph, path: &Path, sha256: Digest) -> NodeId {
    graph.add(FetchAction {
        request: Request {
            urls: vec![format!("file://{}", path.display()).parse().unwrap()],
            expect: Expect::Digest { sha256, size: None },
            subject: "thing".to_owned(),
        },
        fetcher: Arc::new(Fetcher::new(FetchOptions { offline: true, ..FetchOptions::default() })),
        pinned: Some(Pinned { place: Arc::new(|| "packages/a/package.yaml:3".to_owned()), gone: None, other: None }),
        work: bench.work.clone(),
    })
}

fn unpack(name: &str, file: NodeId) -> UnpackAction {
    UnpackAction {
        name: name.to_owned(),
        file,
        strip: None,
        links: kiln_archive::extract::Links::Anywhere,
        limits: Limits::default(),
    }
}

const FILES: [(&str, &str); 2] = [("README", "read\n"), ("src/main.c", "int main;\n")];

#[test]
fn an_archive_is_brought_and_unpacked_once_whatever_its_compression() {
    let bench = Bench::new();
    for (name, how) in [("a.tar.gz", "-czf"), ("a.tar.xz", "-cJf"), ("a.tar.bz2", "-cjf"), ("a.tar", "-cf")] {
        let path = tarball(&bench, name, &[how]);
        let digest = Digest::of(&fs::read(&path).unwrap());
        let mut graph = Graph::new();
        let file = fetch(&bench, &mut graph, &path, digest);
        let tree = graph.add(unpack(name, file));
        let session = bench.session();
        let finished = bench.run(&graph, tree, &session).unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
        let found = finished.result(tree).unwrap().trees[TREE];
        assert_eq!(show(&session, &session.tree(found).unwrap()), pairs(&FILES), "{name}");
        // The archive is not asked for again, not even to be looked at.
        fs::remove_file(&path).unwrap();
        drop(session);
        assert_eq!(bench.run(&graph, tree, &bench.session()).unwrap().ran, 0);
    }
    assert_eq!(fs::read_dir(bench.path("work/downloads")).unwrap().count(), 0, "files went into the store");
}

#[test]
fn another_content_than_the_pinned_one_is_refused_and_not_kept() {
    let bench = Bench::new();
    let path = tarball(&bench, "a.tar.gz", &["-czf"]);
    let mut graph = Graph::new();
    let file = fetch(&bench, &mut graph, &path, Digest::of(b"something else"));
    let tree = graph.add(unpack("a", file));
    let failure = bench.failure(&graph, tree);
    let shown = chain(&failure.error);
    assert!(shown.contains(&Digest::of(b"something else").to_hex()), "{shown}");
    assert_eq!(failure.needed_by, ["thing", "a"]);
}

#[test]
fn a_broken_or_hostile_archive_is_an_error_with_its_name() {
    let bench = Bench::new();
    let whole = fs::read(tarball(&bench, "a.tar.gz", &["-czf"])).unwrap();
    let climbs = tarball(&bench, "b.tar", &["-P", "--transform=s,thing-1.0/README,../../climbs,", "-cf"]);
    let cases = [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("text", b"no archive".to_vec()),
        ("climbs", fs::read(climbs).unwrap()),
    ];
    for (name, bytes) in cases {
        let path = bench.path(name);
        fs::write(&path, &bytes).unwrap();
        let mut graph = Graph::new();
        let file = fetch(&bench, &mut graph, &path, Digest::of(&bytes));
        let tree = graph.add(unpack(name, file));
        let failure = bench.failure(&graph, tree);
        assert_eq!(failure.name, name);
        assert!(!chain(&failure.error).is_empty());
    }
}

/// A source package that is one file.
struct Copies;

impl Unpacker for Copies {
    fn identity(&self) -> String {
        "copies/1".to_owned()
    }

    fn unpack(&self, files: &[SourceFile], session: &Session, destination: &Path) -> Result<(), ActionError> {
        fs::create_dir(destination).map_err(ActionError::new)?;
        for file in files {
            let bytes = session.read(&file.object).map_err(ActionError::new)?;
            fs::write(destination.join(&file.name), bytes).map_err(ActionError::new)?;
        }
        Ok(())
    }
}

#[test]
fn a_foreign_source_package_is_unpacked_by_who_knows_it() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    let mut files = Vec::new();
    for name in ["x.dsc", "x.orig"] {
        fs::write(bench.path(name), name).unwrap();
        files.push((name.to_owned(), fetch(&bench, &mut graph, &bench.path(name), Digest::of(name.as_bytes()))));
    }
    let (name, work) = ("x 1.0".to_owned(), bench.work.clone());
    let tree = graph.add(ForeignAction { name, files, unpacker: Arc::new(Copies), work });
    let session = bench.session();
    let finished = bench.run(&graph, tree, &session).unwrap();
    let found = finished.result(tree).unwrap().trees[TREE];
    let expected = pairs(&[("x.dsc", "x.dsc"), ("x.orig", "x.orig")]);
    assert_eq!(show(&session, &session.tree(found).unwrap()), expected);
}
