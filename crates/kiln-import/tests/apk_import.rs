//! Alpine packages into tree and facts: what comes out of a sound one, and that nothing comes out of any other.

use kiln_archive::{Entry, Kind, Limits};
use kiln_import::apk::{self, ApkError, ApkPackage, Identity};
use kiln_model::name::AccountName;
use kiln_model::{ArchiveKind, MemoryObjects, ObjectSource, TreePath};
use proptest::prelude::*;
use sha1::Digest as _;
use std::sync::LazyLock;
use testkit::{Apk, ApkKey, ApkSections};

static KEY: LazyLock<ApkKey> = LazyLock::new(|| ApkKey::new(1));

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn sample() -> Apk {
    Apk::new("sample", "1.2-r3")
        .field("depend", "so:libc.musl-x86_64.so.1")
        .field("depend", "!other<2")
        .field("provides", "cmd:sample=1.2-r3")
        .field("replaces", "old")
        .field("replaces_priority", "7")
        .field("triggers", "/usr/share/x")
        .field("origin", "source")
        .file("etc/sample.conf", "x\n")
        .program("usr/bin/sample", "#!/bin/sh\n")
        .link("usr/bin/alias", "sample")
        .script(".post-install", "#!/bin/sh\necho hi\n")
        .script(".trigger", "#!/bin/sh\n")
}

fn import(bytes: &[u8]) -> Result<(ApkPackage, MemoryObjects), ApkError> {
    let objects = MemoryObjects::default();
    Ok((apk::import(bytes, &objects, &Limits::default())?, objects))
}

fn refused(bytes: &[u8]) -> String {
    let error = import(bytes).expect_err("it is refused");
    let mut text = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// A package with these entries besides a sound control section.
fn with_data(entries: Vec<(Entry, Vec<u8>)>) -> Vec<u8> {
    sample().sections_with(&KEY, testkit::apk::piece(entries, true)).bytes()
}

fn file(name: &str, content: &[u8]) -> (Entry, Vec<u8>) {
    (Entry { size: content.len() as u64, ..Entry::new(path(name), Kind::File) }, content.to_vec())
}

#[test]
fn a_package_becomes_a_tree_and_a_record_and_nothing_of_it_runs() {
    let (package, objects) = import(&sample().sections(&KEY).bytes()).unwrap();
    let tree = package.tree.clone();
    assert!(
        matches!(tree.get(&path("usr/bin/sample")), Some(kiln_model::Entry::File(file)) if file.meta.mode == 0o755)
    );
    assert!(
        matches!(tree.get(&path("usr/bin/alias")), Some(kiln_model::Entry::Symlink(link)) if &*link.target == "sample")
    );
    assert!(package.facts.permissions.is_empty());
    let hooks: Vec<_> = package.hooks.iter().map(|hook| hook.name.clone()).collect();
    assert_eq!(hooks, [".post-install", ".trigger", "triggers"]);
    assert_eq!(objects.read(&package.hooks[0].object).unwrap(), b"#!/bin/sh\necho hi\n");
    assert_eq!(objects.read(&package.hooks[2].object).unwrap(), b"/usr/share/x\n");
    let record = package.into_record("alpine".parse().unwrap()).unwrap();
    assert_eq!((record.name.as_str(), &*record.version), ("sample", "1.2-r3"));
    assert_eq!(record.source, Some(("source".to_owned(), "1.2-r3".to_owned())));
    let relations = record.relations;
    assert_eq!(relations.syntax, ArchiveKind::Apk);
    assert_eq!(relations.depends, "so:libc.musl-x86_64.so.1");
    assert_eq!((&*relations.conflicts, &*relations.replaces), ("other<2", "old @7"));
}

#[test]
fn owners_modes_and_hard_links_are_kept() {
    let owned = |name: &str, user: &str, uid: u32, mode| {
        let (entry, content) = file(name, b"x");
        (Entry { user: user.to_owned(), uid, mode, ..entry }, content)
    };
    let hard = (Entry::new(path("usr/lib/b"), Kind::Hardlink(path("usr/lib/a"))), Vec::new());
    let bytes = with_data(vec![
        owned("usr/lib/a", "nginx", 101, 0o644),
        hard,
        owned("usr/lib/c", "", 65534, 0o644),
        owned("usr/bin/su", "root", 0, 0o4755),
        (Entry { mode: 0o1777, ..Entry::new(path("tmp"), Kind::Directory) }, Vec::new()),
        file(".dummy", b"the format's own"),
    ]);
    let (package, _) = import(&bytes).unwrap();
    let permission = |name: &str| package.facts.permissions[&path(name)].clone();
    let name = |text: &str| Some(text.parse::<AccountName>().unwrap());
    assert_eq!((permission("usr/lib/a").owner, permission("usr/lib/b").owner), (name("nginx"), name("nginx")));
    assert_eq!(permission("usr/lib/c").owner, name("nobody"), "a number of Alpine's own table");
    assert_eq!(permission("usr/bin/su").mode.unwrap().bits(), 0o4755);
    assert_eq!(permission("tmp").mode.unwrap().bits(), 0o1777);
    assert!(matches!(package.tree.get(&path("usr/lib/b")), Some(kiln_model::Entry::File(file)) if file.hardlinked));
    assert!(package.tree.get(&path(".dummy")).is_none());
    let (stranger, content) = file("usr/lib/d", b"x");
    let stranger = Entry { uid: 4711, ..stranger };
    assert!(refused(&with_data(vec![(stranger, content)])).contains("4711"));
}

#[test]
fn what_is_below_bin_and_lib_goes_below_usr_and_links_still_lead_where_they_led() {
    let apk = Apk::new("layout", "1-r0")
        .program("bin/tool", "x")
        .link("sbin/tool", "../bin/tool")
        .link("lib/data", "../etc/data")
        .link("lib/absolute", "/etc/data");
    let (package, _) = import(&apk.sections(&KEY).bytes()).unwrap();
    let target = |name: &str| match package.tree.get(&path(name)) {
        Some(kiln_model::Entry::Symlink(link)) => link.target.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(package.tree.get(&path("usr/bin/tool")).is_some());
    assert_eq!(target("usr/sbin/tool"), "../bin/tool");
    assert_eq!(target("usr/lib/data"), "/etc/data");
    assert_eq!(target("usr/lib/absolute"), "/etc/data");
}

#[test]
fn a_changed_data_section_is_refused_by_its_datahash() {
    let good = sample().sections(&KEY);
    let other = sample().file("usr/bin/evil", "x").sections(&KEY).data;
    let swapped = ApkSections { data: other, ..good.clone() };
    assert!(matches!(import(&swapped.bytes()), Err(ApkError::DataHash)));
    let mut longer = good.bytes();
    longer.extend(b"more");
    assert!(matches!(import(&longer), Err(ApkError::DataHash)), "what follows the data is part of it");
}

#[test]
fn a_file_that_is_not_what_its_checksum_says_is_refused() {
    let (entry, _) = file("usr/bin/x", b"abc");
    let lie = Entry { sha1: Some([7; 20]), ..entry };
    assert!(refused(&with_data(vec![(lie, b"abc".to_vec())])).contains("checksum"));
    let link = Entry { sha1: Some([7; 20]), ..Entry::new(path("usr/bin/l"), Kind::Symlink("x".to_owned())) };
    assert!(refused(&with_data(vec![(link, Vec::new())])).contains("checksum"));
}

#[test]
fn names_that_lead_out_of_the_package_are_refused() {
    // A writer that checks nothing: the name is put into a sound header by hand.
    for name in ["../../etc/passwd", "/etc/passwd", "usr/../../x"] {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(b"00000000001");
        for field in [108, 116, 136] {
            header[field..field + 7].copy_from_slice(b"0000000");
        }
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let tar = [&header[..], &[b'x'; 1], &[0; 511 + 1024]].concat();
        let text = refused(&sample().sections_with(&KEY, testkit::apk::gzip(&tar)).bytes());
        assert!(text.contains("must not be used"), "{name}: {text}");
    }
}

#[test]
fn a_link_that_later_entries_would_go_through_is_refused() {
    let link = (Entry::new(path("usr/lib/out"), Kind::Symlink("/etc".to_owned())), Vec::new());
    let text = refused(&with_data(vec![link, file("usr/lib/out/passwd", b"x")]));
    assert!(text.contains("usr/lib/out"), "{text}");
}

#[test]
fn bombs_are_refused_before_they_grow() {
    let zeros = vec![0; 32 << 20];
    let control = testkit::apk::gzip(&zeros);
    assert!(refused(&control).contains("limit"), "a control section");
    let good = sample().sections(&KEY);
    let signature = ApkSections { signature: testkit::apk::gzip(&zeros), ..good };
    assert!(refused(&signature.bytes()).contains("limit"), "a signature");
    let data = with_data(vec![file("usr/zeros", &vec![0; 200 << 20])]);
    let objects = MemoryObjects::default();
    let error = apk::import(&*data, &objects, &Limits { ratio_from: 1 << 20, ..Limits::default() }).unwrap_err();
    assert!(error.hint().unwrap().contains("large"), "{error:?}");
}

#[test]
fn a_control_section_with_anything_else_in_it_is_refused() {
    let strange = Apk::new("a", "1-r0").script("usr/bin/x", "x");
    assert!(refused(&strange.sections(&KEY).bytes()).contains("control section has `usr/bin/x`"));
    let unsigned = ApkSections { signature: Vec::new(), ..sample().sections(&KEY) };
    import(&unsigned.bytes()).expect("what is pinned by its digest needs no signature");
    assert!(refused(b"not gzip at all").contains("first section"));
    assert!(refused(b"").contains("first section"));
}

#[test]
fn a_check_follows_the_chain_from_the_index() {
    let sections = sample().sections(&KEY);
    let identity = Identity::Sha1(sha1::Sha1::digest(&sections.control).into());
    let bytes = sections.bytes();
    let checked = apk::check(&*bytes, &identity).unwrap();
    assert_eq!((checked.sha256, checked.size), (kiln_model::Digest::of(&bytes), bytes.len() as u64));
    let other = Identity::Sha1([1; 20]);
    assert!(matches!(apk::check(&*bytes, &other), Err(ApkError::Identity)));
    let swapped = ApkSections { data: testkit::apk::piece([file("usr/x", b"y")], true), ..sections };
    assert!(matches!(apk::check(&*swapped.bytes(), &identity), Err(ApkError::DataHash)));
}

#[test]
fn a_truncated_package_is_refused_wherever_it_ends() {
    let bytes = sample().sections(&KEY).bytes();
    for end in (0..bytes.len()).step_by(7) {
        assert!(import(&bytes[..end]).is_err(), "{end} of {}", bytes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damage_never_panics_and_is_never_taken_for_sound(at in 0_usize..4000, to in any::<u8>()) {
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| sample().sections(&KEY).bytes());
        let mut bytes = BYTES.clone();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        if let Ok((package, _)) = import(&bytes) {
            // Only what belongs to no section's meaning may change: a gzip header, or the signature.
            let (sound, _) = import(&BYTES).unwrap();
            prop_assert_eq!(package.tree.id(), sound.tree.id());
        }
    }
}
