//! RPM's packages into tree and facts: what comes out of a sound one, and that nothing comes out of any other.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use kiln_archive::Limits;
use kiln_import::rpm::{self, RpmError, RpmPackage};
use kiln_model::{ArchiveKind, Entry, MemoryObjects, ObjectSource, PackageRecord, TreePath};
use proptest::prelude::*;
use testkit::rpm::{RawFile, RawRpm, Value, build, cpio, tool};

const SPEC: &str = "Name: sample
Version: 1.2~rc1
Release: 3
Epoch: 1
Requires: (other >= 2 if third), /bin/sh, lib.so()(64bit)
Provides: virtual = 7
Conflicts: enemy < 2
Obsoletes: former
%description
A sample.
%install
cd %{buildroot}
mkdir -p usr/bin usr/share etc
echo one > usr/bin/one
ln usr/bin/one usr/bin/two
ln -s one usr/bin/alias
echo x > etc/sample.conf
echo g > etc/ghost
dd if=/dev/zero of=usr/share/large bs=1M count=3 status=none
%pre
exit 0
%post -p /sbin/ldconfig
%postun -p <lua>
print('gone')
%filetriggerin -- /usr/share/plugins /usr/lib/plugins
echo plugins
%triggerin -- friend >= 2
echo friend
%triggerun -- friend
echo bye
%files
%attr(0755,root,root) /usr/bin/one
%attr(0755,root,root) /usr/bin/two
/usr/bin/alias
%config %attr(0640,root,mail) /etc/sample.conf
%ghost /etc/ghost
%caps(cap_net_raw=ep) /usr/share/large
";

/// The package, packed in each way that there is.
static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let sample = |payload: &str| {
        let folder = tempfile::tempdir().unwrap();
        let built = build(SPEC, &[("_binary_payload", payload)], folder.path());
        assert_eq!(built.len(), 1, "{built:?}");
        fs::read(&built[0]).unwrap()
    };
    ["w9.gzdio", "w6.xzdio", "w3.zstdio", "w9.bzdio", "w6.lzdio"].map(sample).into()
});

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn import_within(bytes: &[u8], limits: &Limits) -> Result<(RpmPackage, MemoryObjects), RpmError> {
    let objects = MemoryObjects::default();
    Ok((rpm::import(bytes, &objects, limits)?, objects))
}

fn import(bytes: &[u8]) -> Result<(RpmPackage, MemoryObjects), RpmError> {
    import_within(bytes, &Limits::default())
}

fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn refused(bytes: &[u8]) -> String {
    told(&import(bytes).expect_err("it is refused"))
}

fn record(package: RpmPackage) -> PackageRecord {
    package.into_record("fedora".parse().unwrap()).unwrap()
}

fn file(path: &str, size: u32) -> RawFile<'_> {
    RawFile { path, mode: 0o100_644, size, target: "" }
}

#[test]
fn a_package_becomes_a_tree_and_a_record_and_nothing_of_it_runs() {
    let (package, objects) = import(&SAMPLES[0]).unwrap();
    let tree = package.tree.clone();
    let facts = package.facts.clone();
    let record = record(package);
    assert_eq!((record.name.as_str(), &*record.version), ("sample", "1:1.2~rc1-3"));
    assert_eq!(record.source, Some(("sample".to_owned(), "1.2~rc1-3".to_owned())));
    let relations = &record.relations;
    assert_eq!(relations.syntax, ArchiveKind::Rpm);
    assert_eq!(relations.depends, "(other >= 2 if third)\n/bin/sh\n/sbin/ldconfig\nlib.so()(64bit)");
    assert!(relations.provides.contains("sample = 1:1.2~rc1-3") && relations.provides.contains("virtual = 7"));
    assert!(relations.provides.contains("\n/usr/bin/one\n"), "{}", relations.provides);
    assert_eq!((&*relations.conflicts, &*relations.breaks), ("enemy < 2", "former"));
    assert_eq!(record.conffiles.iter().collect::<Vec<_>>(), ["/etc/sample.conf"]);

    let [one, two] = ["usr/bin/one", "usr/bin/two"].map(|name| match tree.get(&path(name)) {
        Some(Entry::File(file)) => file.clone(),
        other => panic!("{other:?}"),
    });
    assert!(one.hardlinked && one == two && objects.read(&one.object).unwrap() == b"one\n");
    assert!(matches!(tree.get(&path("usr/bin/alias")), Some(Entry::Symlink(link)) if &*link.target == "one"));
    assert!(tree.get(&path("etc/ghost")).is_none(), "a ghost is in no package's tree");
    let configuration = &facts.permissions[&path("etc/sample.conf")];
    assert_eq!(configuration.group.as_ref().unwrap().as_str(), "mail");
    assert!(facts.permissions[&path("usr/share/large")].capabilities.contains("cap_net_raw"));

    let hook = |name: &str| {
        let hook = record.hooks.iter().find(|hook| hook.name == name).unwrap_or_else(|| panic!("{name}"));
        String::from_utf8(objects.read(&hook.object).unwrap()).unwrap()
    };
    assert_eq!(hook("pre"), "#!/bin/sh\nexit 0\n");
    assert_eq!(hook("post"), "#!/bin/sh\n/sbin/ldconfig\n");
    assert_eq!(hook("postun"), "#!<lua>\nprint('gone')\n");
    assert_eq!(hook("filetrigger-0"), "#!/bin/sh\necho plugins\n");
    let lines = hook("triggers");
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    let expected = [
        "files filetrigger-0 /usr/lib/plugins",
        "files filetrigger-0 /usr/share/plugins",
        "package trigger-0 friend >= 2",
    ];
    assert_eq!(lines, expected, "only what can go off at a first installation");
}

#[test]
fn whatever_packs_the_payload_the_tree_is_the_same() {
    let trees: Vec<_> = SAMPLES.iter().map(|bytes| import(bytes).unwrap().0.tree.id()).collect();
    assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:?}");
}

#[test]
fn a_package_that_ends_too_early_is_refused_wherever_that_is() {
    for bytes in SAMPLES.iter() {
        for part in [0, 50, 96, 105, 200, bytes.len() / 2, bytes.len() - 40, bytes.len() - 9] {
            let told = refused(&bytes[..part]);
            assert!(
                told.contains("ends") || told.contains("damaged") || told.contains("cannot read"),
                "{part}: {told}"
            );
        }
    }
}

#[test]
fn what_is_no_binary_package_is_refused() {
    assert!(refused(&[0; 200]).contains("does not begin as one"));
    let mut source = SAMPLES[0].clone();
    source[7] = 1;
    assert!(refused(&source).contains("it is a source package"));
    let text = |text: &str| Value::Text(text.to_owned());
    let raw = || RawRpm::new(&[file("/etc/x", 0)]);
    for (tag, value, part) in [
        (1124, text("drpm"), "`drpm` is not known"),
        (1125, text("lz4"), "`lz4` is not known"),
        (1022, text("sparc"), "`sparc` is not known here"),
        (1000, text("a/b"), "cannot be used"),
        (1001, text(""), "missing"),
        (1030, Value::Shorts(vec![0o100_644; 2]), "there are 2, for 1 files"),
        (1116, Value::Numbers(vec![9]), "no folder of this number"),
        (5010, Value::Texts(vec!["cap_fly=ep".to_owned()]), "`cap_fly` is no capability"),
        (1117, Value::Texts(vec!["..".to_owned()]), "`..`"),
        (1118, Value::Texts(vec!["/../".to_owned()]), "`..`"),
        (1118, Value::Texts(vec!["etc/".to_owned()]), "not absolute"),
    ] {
        let mut raw = raw().with(tag, value);
        raw.payload = cpio(&[("./etc/x", 0o100_644, b"")]);
        let found = match import(&raw.bytes()) {
            Err(error) => told(&error),
            Ok((package, _)) => told(&package.into_record("o".parse().unwrap()).unwrap_err()),
        };
        assert!(found.contains(part), "{tag}: {found}");
    }
}

#[test]
fn the_payload_has_what_the_header_says_and_nothing_else() {
    let raw = |payload: &[(&str, u32, &[u8])]| RawRpm::new(&[file("/etc/x", 1)]).payload(cpio(payload)).bytes();
    import(&raw(&[("./etc/x", 0o100_644, b"x")])).unwrap();
    for (payload, part) in [
        (&[("../etc/x", 0o100_644, &b"x"[..])][..], "`..`"),
        (&[("./etc/../x", 0o100_644, b"x")], "`..`"),
        (&[("/etc/x", 0o100_644, b"x")], "absolute"),
        (&[("./etc/y", 0o100_644, b"x")], "is in the payload and not in the header"),
        (&[("./etc/x", 0o100_644, b"x"), ("./etc/x", 0o100_644, b"x")], "is twice in the payload"),
        (&[("./etc/x", 0o040_755, b"")], "of another type"),
        (&[("./etc/x", 0o100_644, b"xy")], "has 2 bytes, and 1 in the header"),
        (&[], "is in the header and not in the payload"),
    ] {
        let told = refused(&raw(payload));
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_socket_is_in_no_package() {
    let socket = RawFile { path: "/run/x", mode: 0o140_755, size: 0, target: "" };
    let raw = RawRpm::new(&[socket]).payload(cpio(&[("./run/x", 0o140_755, b"")]));
    assert!(refused(&raw.bytes()).contains("`/run/x` is of type 140000, which is not known"));
}

#[test]
fn a_content_that_is_not_the_one_of_the_header_is_refused() {
    let digest = kiln_model::Digest::of(b"y").to_hex();
    let raw = RawRpm::new(&[file("/etc/x", 1)])
        .with(1035, Value::Texts(vec![digest]))
        .with(5011, Value::Numbers(vec![8]))
        .payload(cpio(&[("./etc/x", 0o100_644, b"x")]));
    assert!(refused(&raw.bytes()).contains("does not have the checksum"));
}

#[test]
fn nothing_is_written_through_a_link_out_of_the_tree() {
    let link = RawFile { path: "/etc/out", mode: 0o120_777, size: 12, target: "../../../tmp" };
    let raw = RawRpm::new(&[link.clone(), file("/etc/out/x", 1)]);
    let payload = cpio(&[("./etc/out", 0o120_777, b"../../../tmp"), ("./etc/out/x", 0o100_644, b"x")]);
    assert!(refused(&raw.payload(payload).bytes()).contains("/etc/out"));
    let other = RawRpm::new(&[link]).payload(cpio(&[("./etc/out", 0o120_777, b"/elsewhere")]));
    assert!(refused(&other.bytes()).contains("leads elsewhere than the header says"));
}

#[test]
fn a_payload_that_expands_without_an_end_is_stopped() {
    let size = 80 << 20;
    let raw = RawRpm::new(&[file("/etc/x", size)]).payload(cpio(&[("./etc/x", 0o100_644, &vec![0; size as usize])]));
    let limits = Limits { ratio_from: 1 << 20, ..Limits::default() };
    let error = import_within(&raw.bytes(), &limits).unwrap_err();
    assert!(told(&error).contains("limit `ratio`"), "{}", told(&error));
    assert!(error.hint().unwrap().contains("no package of the distribution is this large"));
}

#[test]
fn what_is_asked_of_the_package_manager_has_to_be_known() {
    let asks = |feature: &str| {
        RawRpm::new(&[])
            .with(1049, Value::Texts(vec![format!("rpmlib({feature})")]))
            .with(1048, Value::Numbers(vec![1 << 24 | 10]))
            .with(1050, Value::Texts(vec!["4.0-1".to_owned()]))
            .with(1124, Value::Text("cpio".to_owned()))
    };
    import(&asks("FileDigests").bytes()).unwrap();
    assert!(refused(&asks("Teleportation").bytes()).contains("`rpmlib(Teleportation)`"));
}

#[test]
fn names_of_one_inode_are_one_file_whichever_has_the_content() {
    let names = [file("/a", 4), file("/b", 4), file("/c", 4)];
    let raw = RawRpm::new(&names).with(1096, Value::Numbers(vec![7, 7, 7]));
    let content = &b"abcd"[..];
    for contents in [["", "", "x"], ["x", "", ""]] {
        let entries: Vec<(&str, u32, &[u8])> = ["./a", "./b", "./c"]
            .into_iter()
            .zip(contents)
            .map(|(name, has)| (name, 0o100_644, if has.is_empty() { &b""[..] } else { content }))
            .collect();
        let (package, objects) = import(&raw.clone().payload(cpio(&entries)).bytes()).unwrap();
        for name in ["a", "b", "c"] {
            let Some(Entry::File(file)) = package.tree.get(&path(name)) else { panic!("{name}") };
            assert!(file.hardlinked && objects.read(&file.object).unwrap() == content, "{name}");
        }
    }
    let none = cpio(&[("./a", 0o100_644, b""), ("./b", 0o100_644, b""), ("./c", 0o100_644, b"")]);
    assert!(refused(&raw.clone().payload(none).bytes()).contains("has 0 bytes, and 4 in the header"));
    let twice = cpio(&[("./a", 0o100_644, content), ("./b", 0o100_644, content), ("./c", 0o100_644, b"")]);
    assert!(refused(&raw.payload(twice).bytes()).contains("a second time"));
}

#[test]
fn versions_are_ordered_as_rpm_itself_orders_them() {
    let parts = ["1", "0", "01", "10", "a", "ab", "~", "^", ".", "_", "rc1", "+"];
    let mut pairs = Vec::new();
    let mut state = 12_345_u32;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % bound
    };
    for _ in 0..1500 {
        let mut version = || (0..1 + next(6)).map(|_| parts[next(parts.len())]).collect::<String>();
        pairs.push((version(), version()));
    }
    let calls: Vec<String> = pairs.iter().map(|(a, b)| format!("rpm.vercmp('{a}','{b}')")).collect();
    let script =
        calls.chunks(50).map(|chunk| format!("print({}..'\\n')", chunk.join("..','.."))).collect::<Vec<_>>().join(" ");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compare.lua");
    fs::write(&file, script).unwrap();
    let text = tool(Command::new("rpm").args(["--eval", &format!("%{{lua:dofile('{}')}}", file.display())]));
    let orders: Vec<i8> =
        text.split([',', '\n']).map(str::trim).filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect();
    assert_eq!(orders.len(), pairs.len());
    for ((a, b), order) in pairs.iter().zip(orders) {
        assert_eq!(kiln_model::version::rpm::compare_part(a, b), order.cmp(&0), "{a} {b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_damaged_package_never_panics(at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = RawRpm::new(&[file("/etc/x", 1), RawFile { path: "/etc/l", mode: 0o120_777, size: 1, target: "x" }])
            .payload(cpio(&[("./etc/x", 0o100_644, b"x"), ("./etc/l", 0o120_777, b"x")]))
            .bytes();
        let place = at % bytes.len();
        bytes[place] = byte;
        let _ = import(&bytes);
        let mut real = SAMPLES[0].clone();
        let place = at % real.len().min(8000);
        real[place] = byte;
        let _ = import(&real);
    }
}
