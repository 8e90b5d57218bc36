//! The lock reads back, moves no byte, and refuses what does not hold together.

use proptest::prelude::*;

use super::*;

fn with_environments() -> Lock {
    let mut lock = sample();
    let packages = lock.targets.values().next().unwrap().packages.clone();
    let mut fewer = packages.clone();
    Arc::make_mut(&mut fewer).pop_first();
    for (name, packages) in [("environment", packages.clone()), ("recipe:a:build", packages), ("recipe:b:build", fewer)]
    {
        let key = TargetKey { name: name.into(), architecture: Architecture::Amd64 };
        lock.targets.insert(key, LockedTarget { requests: BTreeSet::new(), packages });
    }
    lock
}

fn sample() -> Lock {
    let mut lock = Lock::default();
    let origin: OriginName = "debian".parse().unwrap();
    let index = |path: &str| LockedIndex { path: path.into(), sha256: Digest::of(path.as_bytes()), size: 9 };
    lock.origins.insert(
        origin.clone(),
        LockedOrigin {
            archive: ArchiveKind::Deb,
            distribution: "debian".into(),
            suite: "trixie".into(),
            components: vec!["main".into()],
            release: Some(Digest::of(b"release")),
            date: "2026-11-01T09:00:00Z".into(),
            indexes: vec![index("main/binary-amd64/Packages.xz"), index("main/source/Sources.xz")],
        },
    );
    for (name, architecture) in [("libc6", Some(Architecture::Amd64)), ("base-files", None)] {
        let key = PackageKey { origin: origin.clone(), name: name.parse().unwrap(), architecture };
        let package = LockedPackage {
            version: "2.41-12".into(),
            path: format!("pool/main/{name}.deb"),
            sha256: Digest::of(name.as_bytes()),
            size: 1234,
            source: architecture.map(|_| ("glibc".to_owned(), "2.41-12".to_owned())),
            parts: Vec::new(),
        };
        lock.packages.insert(key, package);
    }
    let target = LockedTarget {
        requests: ["debian:base-files".parse().unwrap()].into(),
        packages: BTreeSet::from(["debian:libc6".parse().unwrap(), "debian:base-files".parse().unwrap()]).into(),
    };
    let key = TargetKey { name: "image:web".into(), architecture: Architecture::Amd64 };
    lock.targets.insert(key, target);
    let nginx: PackageName = "nginx".parse().unwrap();
    let file = LockedFile { name: "a.dsc".into(), path: "pool/a.dsc".into(), sha256: Digest::EMPTY, size: 7 };
    let deb = LockedSource::Origin {
        origin: origin.clone(),
        package: nginx.clone(),
        version: "1.26.3-3".into(),
        files: vec![file],
    };
    let git = LockedSource::Git {
        url: "https://example.org/a".into(),
        rev: "v1".into(),
        commit: "0123456789abcdef0123456789abcdef01234567".into(),
        tree: Some(TreeId(Digest::EMPTY)),
    };
    let archive = LockedSource::Archive { url: "file:///a \"b\"\n.tar".into(), sha256: Digest::EMPTY, size: Some(3) };
    let path = LockedSource::Path { path: "packages/nginx/src".into() };
    for (index, source) in (0..).zip([deb, git, archive, path]) {
        lock.sources.insert((nginx.clone(), index), source);
    }
    lock.ids.insert((IdKind::User, "nginx".parse().unwrap()), 101);
    lock.ids.insert((IdKind::Group, "nginx".parse().unwrap()), 101);
    lock
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn reads_back_and_moves_no_byte() {
    let lock = sample();
    let text = lock.to_string();
    assert_eq!(parse(&text).unwrap(), lock);
    assert_eq!(parse(&text).unwrap().to_string(), text);
    assert_eq!(parse(&Lock::default().to_string()).unwrap(), Lock::default());
}

#[test]
fn build_environments_are_written_as_differences() {
    let lock = with_environments();
    let text = lock.to_string();
    assert_eq!(text.matches("base = \"environment\"").count(), 2);
    assert_eq!(text.matches("debian:libc6").count(), 2, "{text}");
    assert_eq!(parse(&text).unwrap(), lock);
    let orphan = text.replace("name = \"environment\"", "name = \"other\"");
    assert!(refused(&orphan).contains("`recipe:a:build` builds on `environment`, which the lock lacks"));
    let wrong = text.replace("without = [\n  \"debian:base-files\"", "without = [\n  \"debian:other\"");
    assert!(refused(&wrong).contains("`debian:other` is taken out of `recipe:b:build`, but not in it"));
}

#[test]
fn the_order_of_blocks_does_not_matter_on_reading() {
    let text = with_environments().to_string();
    let (head, blocks) = text.split_once("\n\n").unwrap();
    let mut blocks: Vec<&str> = blocks.split("\n\n").collect();
    blocks.reverse();
    assert_eq!(parse(&format!("{head}\n\n{}\n", blocks.join("\n\n"))).unwrap(), with_environments());
}

#[test]
fn tells_of_a_merge_conflict_before_anything_else() {
    let text = sample().to_string().replace("[[target]]", "<<<<<<< ours\n[[target]]");
    let told = parse(&text).unwrap_err();
    assert!(told.to_string().contains("merge conflict"), "{told}");
    assert!(told.0[0].hint.as_deref().unwrap().contains("kiln lock"));
}

#[test]
fn refuses_what_does_not_hold_together() {
    let text = sample().to_string();
    let without = |from: &str, to: &str| text.replacen(from, to, 1);
    let cases = [
        (without("  \"debian:libc6\",\n", ""), "nothing in the lock needs the package `debian:libc6`"),
        (
            without("  \"debian:libc6\",\n", "  \"debian:libc7\",\n"),
            "`debian:libc7` is in `image:web`, but not in the lock",
        ),
        (
            without("origin = \"debian\"\nname = \"libc6\"", "origin = \"other\"\nname = \"libc6\""),
            "the lock has no origin `other`",
        ),
        (
            format!("{text}\n{}", &text[text.find("[[package]]").unwrap()..text.find("[[source]]").unwrap()]),
            "is in the lock twice",
        ),
        (without("version = 1\n", "version = 2\n"), "this lock is of version 2"),
        (without("size = 1234", "sise = 1234"), "unknown field `sise`"),
        (without("sha256 = \"", "sha256 = \"0"), "is not a SHA-256 digest"),
        (without("pool/main/libc6.deb", "../../etc/passwd"), "`../../etc/passwd` is not a path in an archive"),
        (without("pool/main/libc6.deb", "/etc/passwd"), "`/etc/passwd` is not a path in an archive"),
        (without("pool/a.dsc", "https://elsewhere/a.dsc"), "`https://elsewhere/a.dsc` is not a path in an archive"),
        (without("version = \"2.41-12\"", "version = \"2.41 12\""), "`2.41 12` is not a version"),
        (without("version = \"2.41-12\"", "version = \"\""), "`` is not a version"),
        (without("size = 1234", "size = 0"), "no file of an archive is empty"),
        (without("version = 1\n", ""), "it does not say its `version`"),
        (without("glibc", "gl\u{fffd}ibc"), "there are bytes that are not UTF-8"),
        (without("0123456789abcdef0123456789abcdef01234567", "v1"), "`v1` is not a commit in full"),
        (without("kind = \"git\"", "kind = \"path\""), "a source of this kind has no `url`"),
        (without("kind = \"path\"\n", "kind = \"archive\"\n"), "`url` is missing from this source"),
        ("version = 1\n[[package]\n".to_owned(), "the lock cannot be read"),
        (String::new(), "the lock cannot be read"),
    ];
    for (text, wanted) in &cases {
        let told = refused(text);
        assert!(told.contains(wanted), "{wanted}: {told}");
        assert!(told.starts_with("kiln.lock:"), "{told}");
    }
}

#[test]
fn a_fault_of_an_entry_points_to_the_line_that_says_it() {
    let text = sample().to_string();
    let line = |wanted: &str| text.lines().position(|line| line.contains(wanted)).unwrap() + 1;
    let bad = text.replacen("pool/main/libc6.deb", "../libc6.deb", 1);
    assert!(refused(&bad).starts_with(&format!("kiln.lock:{}:1: ", line("pool/main/libc6.deb"))), "{}", refused(&bad));
    let key = sample().packages.into_keys().find(|key| key.name.as_str() == "libc6").unwrap();
    let fault = EntryRef::Package(&key).fault(&text, Some("path"), "wrong");
    assert_eq!(fault.position().unwrap(), format!("kiln.lock:{}:1", line("pool/main/libc6.deb")));
    let nginx: PackageName = "nginx".parse().unwrap();
    assert_eq!(EntryRef::Source(&nginx, 1).line(&text, Some("commit")), Some(line("commit = ") as u32));
    assert_eq!(EntryRef::Source(&nginx, 9).line(&text, None), None);
}

#[test]
fn everything_that_stands_is_saved_of_a_damaged_lock() {
    let sound = sample();
    let text = sound.to_string();
    let saved = |from: &str, to: &str| salvage(&text.replacen(from, to, 1)).unwrap();
    assert_eq!((salvage(&text).unwrap().lock, salvage(&text).unwrap().faults.len()), (sound.clone(), 0));
    // A block that cannot be read, or says what cannot be, costs the target that needs it, and no more.
    for (from, to) in [
        ("pool/main/libc6.deb\"", "pool/main/libc6.deb"),
        ("pool/main/libc6.deb", "../libc6.deb"),
        ("size = 1234\nsource", "sise = 1234\nsource"),
        ("  \"debian:libc6\",\n", "  \"debian:libc7\",\n"),
    ] {
        let saved = saved(from, to);
        assert!(!saved.faults.is_empty(), "{to}");
        assert!(saved.lock.targets.is_empty() && saved.lock.packages.is_empty(), "{to}");
        assert_eq!((&saved.lock.origins, &saved.lock.ids), (&sound.origins, &sound.ids), "{to}");
        assert_eq!(saved.lock.sources, sound.sources, "{to}");
    }
    // Of a conflict the first side stays.
    let conflict = "<<<<<<< ours\nid = 101\n||||||| base\nid = 7\n=======\nid = 102\n>>>>>>> theirs\n";
    let merged = saved("id = 101\n", conflict);
    assert_eq!(merged.lock, sound);
    assert!(merged.faults[0].message.contains("merge conflict"), "{:?}", merged.faults);
    // Another version's lock is not damaged, and nothing that is no text is a lock.
    assert!(salvage(&text.replacen("version = 1", "version = 2", 1)).is_err());
    assert_eq!(salvage("\u{fffd}\u{fffd}\0").unwrap().lock, Lock::default());
    assert!(!salvage("\u{fffd}\u{fffd}\0").unwrap().faults.is_empty());
}

#[test]
fn two_names_cannot_share_an_id() {
    let mut lock = sample();
    lock.ids.insert((IdKind::User, "other".parse().unwrap()), 101);
    assert!(refused(&lock.to_string()).contains("the id 101 is both `nginx`'s and `other`'s"));
    lock.ids.insert((IdKind::User, "other".parse().unwrap()), 0);
    assert!(refused(&lock.to_string()).contains("the id 0 is root's, and not `other`'s"));
}

#[test]
fn pruning_leaves_a_lock_that_holds_together() {
    let mut lock = sample();
    for target in lock.targets.values_mut() {
        Arc::make_mut(&mut target.packages).pop_first();
    }
    assert_eq!(lock.unreferenced().len(), 1);
    lock.prune();
    assert_eq!(parse(&lock.to_string()).unwrap(), lock);
    assert!(lock.missing().is_empty());
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,300}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_damaged_lock_never_panics(at in 0usize..4000, with in ".{0,8}", cut in 0usize..20) {
        let text = sample().to_string();
        let chars: Vec<char> = text.chars().collect();
        let at = at.min(chars.len());
        let end = (at + cut).min(chars.len());
        let damaged: String = chars[..at].iter().copied().chain(with.chars()).chain(chars[end..].iter().copied()).collect();
        if let Ok(lock) = parse(&damaged) {
            prop_assert_eq!(parse(&lock.to_string()).unwrap(), lock);
        }
    }

    #[test]
    fn any_text_in_a_lock_reads_back(suite in "\\PC{1,20}", source in ".{1,30}", version in "[a-z0-9+.:~_-]{1,12}") {
        // What stands for bytes that are no text is refused.
        let [suite, source] = [suite, source].map(|text| text.replace('\u{fffd}', "x"));
        let mut lock = sample();
        for origin in lock.origins.values_mut() {
            origin.suite.clone_from(&suite);
        }
        for package in lock.packages.values_mut() {
            package.version.clone_from(&version);
            package.source = Some((source.clone(), version.clone()));
        }
        prop_assert_eq!(parse(&lock.to_string()).unwrap(), lock);
    }

    #[test]
    fn what_is_saved_of_any_damaged_lock_holds_together(at in 0usize..4000, with in "(.{0,8}|\n<<<<<<< a\n|\n=======\n)", cut in 0usize..200) {
        let text = sample().to_string();
        let chars: Vec<char> = text.chars().collect();
        let at = at.min(chars.len());
        let end = (at + cut).min(chars.len());
        let damaged: String = chars[..at].iter().copied().chain(with.chars()).chain(chars[end..].iter().copied()).collect();
        if let Ok(saved) = salvage(&damaged) {
            prop_assert_eq!(parse(&saved.lock.to_string()).unwrap(), saved.lock.clone());
            match parse(&damaged) {
                Ok(sound) => prop_assert_eq!((saved.lock, saved.faults.len()), (sound, 0)),
                Err(_) => prop_assert!(!saved.faults.is_empty()),
            }
        }
    }
}
