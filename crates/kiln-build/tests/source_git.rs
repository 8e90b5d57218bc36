//! Git repositories as sources, made and read with the real `git`.

mod bench;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bench::{Bench, chain, folder, git, host_git, pairs, show};
use kiln_build::graph::{Cancel, Graph};
use kiln_build::source::{GitAction, GitError, GitLocation, TREE, resolve_rev};
use kiln_model::TreeId;

#[test]
fn the_same_holds_for_an_ordinary_user() {
    bench::run_again_as_ordinary_user("the_same_holds_for_an_ordinary_user");
}

/// A repository with one commit, and that commit.
fn repository(path: &Path) -> String {
    fs::create_dir_all(path.join("dir")).unwrap();
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(path.join("dir/file"), "text\r\n").unwrap();
    fs::write(path.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(path.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("dir/file", path.join("link")).unwrap();
    commit(path, "one")
}

fn commit(path: &Path, message: &str) -> String {
    git(path, &["add", "--all"]);
    git(path, &["commit", "--quiet", "--allow-empty", "-m", message]);
    git(path, &["rev-parse", "HEAD"])
}

fn action(bench: &Bench, path: &Path, commit: &str) -> GitAction {
    GitAction {
        vendored: None,
        location: GitLocation::Local(path.to_owned()),
        commit: commit.to_owned(),
        submodules: false,
        expected: None,
        place: None,
        git: Arc::new(host_git()),
        work: bench.work.clone(),
        offline: false,
    }
}

fn contents(bench: &Bench, action: GitAction) -> Result<Vec<(String, String)>, String> {
    let mut graph = Graph::new();
    let node = graph.add(action);
    let session = bench.session();
    match bench.run(&graph, node, &session) {
        Ok(finished) => Ok(show(&session, &session.tree(finished.result(node).unwrap().trees[TREE]).unwrap())),
        Err(kiln_build::graph::GraphError::Failed { failures, .. }) => Err(chain(&failures[0].error)),
        Err(error) => panic!("{}", chain(&error)),
    }
}

const ONE: [(&str, &str); 3] = [("dir/file", "text\r\n"), ("link", "->dir/file"), ("run*", "#!/bin/sh\n")];

#[test]
fn a_commit_is_what_git_holds_and_no_setting_changes_it() {
    let bench = Bench::new();
    let path = bench.path("upstream");
    repository(&path);
    fs::write(path.join(".gitattributes"), "* text eol=crlf export-ignore ident\ndir/* filter=evil\n").unwrap();
    // Git looks at a file again only when it seems to have changed: how long the first commit took is not to matter.
    git(&path, &["add", "--renormalize", "."]);
    let commit = commit(&path, "two");
    git(&path, &["config", "filter.evil.smudge", "touch /tmp/kiln-was-here-$$; cat"]);
    git(&path, &["config", "uploadpack.packObjectsHook", "false"]);
    fs::write(path.join(".git/hooks/post-checkout"), "#!/bin/sh\nfalse\n").unwrap();
    // `git add` took the carriage return away; a checkout would put it back.
    let mut expected = pairs(&[("dir/file", "text\n"), ONE[1], ONE[2]]);
    expected.insert(
        0,
        (".gitattributes".to_owned(), "* text eol=crlf export-ignore ident\ndir/* filter=evil\n".to_owned()),
    );
    assert_eq!(contents(&bench, action(&bench, &path, &commit)).unwrap(), expected);
}

#[test]
fn an_older_commit_and_one_that_only_a_branch_has_can_be_had() {
    let bench = Bench::new();
    let path = bench.path("upstream");
    let old = repository(&path);
    fs::write(path.join("new"), "2").unwrap();
    let new = commit(&path, "two");
    git(&path, &["checkout", "--quiet", "-b", "side", &old]);
    fs::write(path.join("side"), "3").unwrap();
    let side = commit(&path, "three");
    assert_eq!(contents(&bench, action(&bench, &path, &old)).unwrap(), pairs(&ONE));
    assert!(contents(&bench, action(&bench, &path, &new)).unwrap().iter().any(|(name, _)| name == "new"));
    assert!(contents(&bench, action(&bench, &path, &side)).unwrap().iter().any(|(name, _)| name == "side"));
}

#[test]
fn what_was_fetched_is_there_offline_and_when_the_repository_is_gone() {
    let bench = Bench::new();
    let path = bench.path("upstream");
    let commit = repository(&path);
    let mut graph = Graph::new();
    let node = graph.add(action(&bench, &path, &commit));
    bench.run(&graph, node, &bench.session()).unwrap();
    fs::remove_dir_all(&path).unwrap();
    // Another key, so that it is read again.
    let again = GitAction { submodules: true, offline: true, ..action(&bench, &path, &commit) };
    assert_eq!(contents(&bench, again).unwrap(), pairs(&ONE));
    let remote = GitLocation::Remote("https://host.invalid/x".to_owned());
    let never = "0123456789012345678901234567890123456789";
    let offline = GitAction { location: remote, offline: true, ..action(&bench, &path, never) };
    let error = contents(&bench, offline).unwrap_err();
    assert_eq!(error, format!("cannot get commit `{never}` of `https://host.invalid/x` offline"));
}

#[test]
fn refuses_what_is_not_a_full_commit_that_is_there() {
    let bench = Bench::new();
    let path = bench.path("upstream");
    let commit = repository(&path);
    let error = contents(&bench, action(&bench, &path, &commit[..12])).unwrap_err();
    assert!(error.contains("is not a commit: 40 or 64"), "{error}");
    let error = contents(&bench, action(&bench, &path, "main")).unwrap_err();
    assert!(error.contains("is not a commit"), "{error}");
    let missing = "0123456789012345678901234567890123456789";
    let error = contents(&bench, action(&bench, &path, missing)).unwrap_err();
    assert!(error.ends_with(&format!("does not have commit `{missing}`")), "{error}");
    let tree = git(&path, &["rev-parse", "HEAD^{tree}"]);
    let error = contents(&bench, action(&bench, &path, &tree)).unwrap_err();
    assert!(error.contains("is a tree and not a commit") || error.contains("does not have"), "{error}");
    git(&path, &["tag", "-a", "-m", "tag", "v1"]);
    let tag = git(&path, &["rev-parse", "v1"]);
    let error = contents(&bench, action(&bench, &path, &tag)).unwrap_err();
    assert_eq!(error, format!("`{tag}` is a tag and not a commit"));
    let error = contents(&bench, action(&bench, &bench.path("nowhere"), &commit)).unwrap_err();
    assert!(error.contains(&format!("Git repository `{}`", bench.path("nowhere").display())), "{error}");
}

#[test]
fn the_locks_content_is_held_to() {
    let bench = Bench::new();
    let path = bench.path("upstream");
    let commit = repository(&path);
    let wrong = TreeId(kiln_model::Digest::EMPTY);
    let error = contents(&bench, GitAction { expected: Some(wrong), ..action(&bench, &path, &commit) }).unwrap_err();
    assert!(error.contains("and the lock says sha256:e3b0"), "{error}");
}

#[test]
fn a_branch_or_tag_resolves_to_its_commit() {
    let bench = Bench::new();
    let path = bench.path("upstream");
    let commit = repository(&path);
    git(&path, &["tag", "-a", "-m", "tag", "v1"]);
    let (git, location) = (host_git(), GitLocation::Local(path));
    let resolve = |rev: &str| resolve_rev(&git, &bench.work, &location, rev, &Cancel::new());
    for rev in ["main", "v1", "HEAD", "refs/heads/main", &commit] {
        assert_eq!(resolve(rev).unwrap(), commit, "{rev}");
    }
    for rev in ["none", "", "--all", "v*"] {
        assert!(matches!(resolve(rev), Err(GitError::NoSuchRev { .. })), "{rev}");
    }
}

#[test]
fn submodules_come_only_when_asked_for() {
    let bench = Bench::new();
    let (outer, inner) = (bench.path("outer"), bench.path("inner"));
    repository(&inner);
    fs::create_dir_all(&outer).unwrap();
    git(&outer, &["init", "--quiet", "--initial-branch=main"]);
    git(&outer, &["submodule", "--quiet", "add", "../inner", "lib/inner"]);
    let commit = commit(&outer, "with a submodule");
    let without = contents(&bench, action(&bench, &outer, &commit)).unwrap();
    assert!(without.contains(&("lib/inner/".to_owned(), String::new())), "{without:?}");
    let with = contents(&bench, GitAction { submodules: true, ..action(&bench, &outer, &commit) }).unwrap();
    assert!(with.contains(&("lib/inner/dir/file".to_owned(), "text\r\n".to_owned())), "{with:?}");
    // A submodule of the project is a repository like any other.
    let commit = git(&inner, &["rev-parse", "HEAD"]);
    assert_eq!(contents(&bench, action(&bench, &outer.join("lib/inner"), &commit)).unwrap(), pairs(&ONE));
}

#[test]
fn a_folder_is_what_git_tracks_and_would_track() {
    let bench = Bench::new();
    let files = [(".gitignore", "*.o\n"), ("src/a.c", "a"), ("src/a.o", "o"), ("src/new.c", "n"), ("top", "t")];
    let root = bench.project(&files);
    git(&root, &["add", "src/a.c", "top"]);
    commit_quietly(&root);
    fs::write(root.join("src/later.c"), "l").unwrap();
    fs::remove_file(root.join("src/new.c")).unwrap();
    let mut graph = Graph::new();
    let node = graph.add(folder(root.join("src")));
    let session = bench.session();
    let finished = bench.run(&graph, node, &session).unwrap();
    let tree = finished.result(node).unwrap().trees[TREE];
    assert_eq!(show(&session, &session.tree(tree).unwrap()), pairs(&[("a.c", "a"), ("later.c", "l")]));
    let again = bench.run(&graph, node, &bench.session()).unwrap();
    assert_eq!((again.ran, again.cached), (0, 1));
    fs::write(root.join("src/a.c"), "changed").unwrap();
    assert_eq!(bench.run(&graph, node, &bench.session()).unwrap().ran, 1);
}

fn commit_quietly(root: &Path) {
    git(root, &["commit", "--quiet", "-m", "x"]);
}

#[test]
fn a_folder_that_cannot_be_a_source_says_why() {
    let bench = Bench::new();
    let root = bench.project(&[("ignored/x.o", "o"), (".gitignore", "*.o\n"), ("pipes/x", "x")]);
    repository(&root.join("outer/inner"));
    let fails = |path: PathBuf| {
        let mut graph = Graph::new();
        let node = graph.add(folder(path));
        let failure = bench.failure(&graph, node);
        (chain(&failure.error), failure.error.hint().unwrap_or_default())
    };
    assert!(fails(root.join("ignored")).0.contains("has no file that Git tracks"));
    let (error, hint) = fails(root.join("outer"));
    assert!(error.ends_with("holds the repository `inner`") && hint.contains("git: inner"), "{error}; {hint}");
    let outside = bench.path("outside");
    fs::create_dir(&outside).unwrap();
    let (error, hint) = fails(outside);
    assert!(error.contains("not a git repository") && hint.contains("git init"), "{error}; {hint}");
    assert!(fails(root.join("none")).0.contains("cannot"), "a folder that is not there");
}
