use std::time::SystemTime;

use kiln_model::{Entry, FileEntry, ObjectSink as _, SymlinkEntry};
use kiln_store::{Durability, OpenOptions, Store};

use super::*;

struct Bench {
    _folder: tempfile::TempDir,
    session: Session,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(SystemTime::UNIX_EPOCH).durability(Durability::Process);
        let session = Store::open(&folder.path().join("store"), options).unwrap().session().unwrap();
        Self { _folder: folder, session }
    }

    fn tree(&self, files: &[(&str, &[u8])]) -> Dir {
        let mut tree = Dir::default();
        for (path, bytes) in files {
            let object = self.session.put(bytes).unwrap();
            let entry = Entry::File(FileEntry::plain(object, bytes.len() as u64, true));
            tree.insert(&path.parse().unwrap(), entry).unwrap();
        }
        tree
    }

    fn find(&self, files: &[(&str, &[u8])], environment: &[EnvironmentPackage]) -> Result<Needs, NeedsError> {
        let tree = self.tree(files);
        let name = "mine".parse().unwrap();
        let built = [Built { name: &name, tree: &tree }];
        find(&built, environment, Architecture::native(), &self.session).map(|mut all| all.remove(0))
    }
}

fn package(name: &str, paths: &[&str], generated: &[&str]) -> EnvironmentPackage {
    let mut tree = Dir::default();
    for path in paths {
        tree.insert(&path.parse().unwrap(), Entry::Symlink(SymlinkEntry::plain("x"))).unwrap();
    }
    let (origin, version) = ("debian".parse().unwrap(), "1".to_owned());
    let provider = Provider::Pinned(PinnedPackage { origin, name: name.parse().unwrap(), version });
    let generated = generated.iter().map(|path| path.parse().unwrap()).collect();
    EnvironmentPackage { provider, tree: tree.into(), generated }
}

fn names(needs: &Needs) -> Vec<&str> {
    needs.packages.iter().map(|package| package.name.as_str()).collect()
}

/// This very test program: it needs libc and the loader.
fn program() -> Vec<u8> {
    std::fs::read(std::env::current_exe().unwrap()).unwrap()
}

fn libc() -> EnvironmentPackage {
    let multiarch = Architecture::native().multiarch();
    let names = ["libc.so.6", "libgcc_s.so.1", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"];
    let paths: Vec<String> = names.iter().map(|name| format!("usr/lib/{multiarch}/{name}")).collect();
    let mut paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    paths.extend(["usr/lib64/ld-linux-x86-64.so.2", "usr/lib/ld-linux-aarch64.so.1"]);
    package("libc6", &paths, &[])
}

#[test]
fn a_program_needs_the_packages_that_have_its_libraries_and_loader() {
    let bench = Bench::new();
    let program = program();
    let needs = bench.find(&[("usr/bin/x", &program)], &[package("other", &["usr/bin/y"], &[]), libc()]).unwrap();
    assert_eq!(names(&needs), ["libc6"]);
}

#[test]
fn what_nothing_provides_is_named_with_the_file_that_needs_it() {
    let bench = Bench::new();
    let program = program();
    let error = bench.find(&[("usr/bin/x", &program)], &[]).unwrap_err();
    assert!(
        error.to_string().contains("`/usr/bin/x` needs the library `libc.so.6`, which nothing provides"),
        "{error}"
    );
    assert!(error.to_string().contains("program interpreter"), "{error}");
}

#[test]
fn a_package_provides_for_itself_first() {
    let bench = Bench::new();
    let program = program();
    let own: Vec<(String, Vec<u8>)> = ["libc.so.6", "libgcc_s.so.1", "libm.so.6"]
        .iter()
        .map(|name| (format!("opt/x/{name}"), b"x".to_vec()))
        .chain([("usr/bin/x".to_owned(), program)])
        .collect();
    let files: Vec<(&str, &[u8])> = own.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let loader = package("loader", &["usr/lib64/ld-linux-x86-64.so.2", "usr/lib/ld-linux-aarch64.so.1"], &[]);
    assert_eq!(names(&bench.find(&files, &[loader]).unwrap()), ["loader"]);
}

#[test]
fn scripts_need_their_interpreters() {
    let bench = Bench::new();
    let dash = package("dash", &["usr/bin/sh"], &[]);
    let tools = package("coreutils", &["usr/bin/env"], &[]);
    let awk = package("mawk", &[], &["usr/bin/awk"]);
    let environment = [dash, tools, awk];
    assert_eq!(names(&bench.find(&[("usr/bin/a", b"#!/bin/sh -e\n")], &environment).unwrap()), ["dash"]);
    let env = b"#! /usr/bin/env -S awk -f\n";
    assert_eq!(names(&bench.find(&[("usr/bin/a", env)], &environment).unwrap()), ["coreutils", "mawk"]);
    let error = bench.find(&[("usr/bin/a", b"#!/usr/bin/perl\n")], &environment).unwrap_err();
    assert_eq!(error.to_string(), "`/usr/bin/a` needs the script interpreter `/usr/bin/perl`, which nothing provides");
    assert_eq!(bench.find(&[("usr/share/doc/x/demo", b"#!/usr/bin/perl\n")], &environment).unwrap(), Needs::default());
}

#[test]
fn parts_of_one_build_may_need_each_other() {
    let bench = Bench::new();
    let (main, lib) = (bench.tree(&[("usr/bin/a", b"#!/usr/lib/x/run\n")]), bench.tree(&[("usr/lib/x/run", b"x")]));
    let names = ["x".parse().unwrap(), "x-lib".parse().unwrap()];
    let built = [Built { name: &names[0], tree: &main }, Built { name: &names[1], tree: &lib }];
    let needs = find(&built, &[], Architecture::native(), &bench.session).unwrap();
    assert_eq!(needs[0].recipes, [names[1].clone()].into());
    assert_eq!(needs[1], Needs::default());
}

#[test]
fn a_damaged_program_is_refused_and_damaged_data_is_not() {
    let bench = Bench::new();
    assert!(matches!(bench.find(&[("usr/bin/x", b"\x7fELF\x02\x01")], &[]), Err(NeedsError::Elf { .. })));
}

#[test]
fn runpath_is_followed_from_the_files_own_folder() {
    let bench = Bench::new();
    let plugin = package("plugins", &["usr/lib/app/libp.so"], &[]);
    let environment = [plugin];
    let tree = bench.tree(&[]);
    let name = "mine".parse().unwrap();
    let built = [Built { name: &name, tree: &tree }];
    let search = Search::new(&built, &environment, Architecture::native());
    let library = |runpath: &str| Want::Library { name: "libp.so".to_owned(), runpath: vec![runpath.to_owned()] };
    let file = "usr/bin/app".parse().unwrap();
    assert!(search.provider(&file, &library("$ORIGIN/../lib/app")).is_some());
    assert!(search.provider(&file, &library("/lib/app")).is_some(), "merged /usr");
    assert!(search.provider(&file, &library("$LIB/app")).is_none());
    assert!(search.provider(&file, &library("/usr/lib")).is_none());
}
