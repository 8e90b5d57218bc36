//! Container images into tree and facts: what comes out of sound layers, and that nothing comes out of any others.

use std::io::{Seek, Write};

use kiln_archive::compress::{Level, encoder};
use kiln_archive::{Compression, Entry, Kind, Limits};
use kiln_import::archive::Imported;
use kiln_import::oci::{self, Document, ImageError, Named, Part};
use kiln_model::{Digest, Entry as TreeEntry, MemoryObjects, ObjectSource, TreePath};
use proptest::prelude::*;
use serde_json::{Value, json};

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

type Files = Vec<(Entry, Vec<u8>)>;

fn file(name: &str, content: &str) -> (Entry, Vec<u8>) {
    (Entry { size: content.len() as u64, ..Entry::new(path(name), Kind::File) }, content.into())
}

fn folder(name: &str) -> (Entry, Vec<u8>) {
    (Entry::new(path(name), Kind::Directory), Vec::new())
}

fn link(name: &str, target: &str) -> (Entry, Vec<u8>) {
    (Entry::new(path(name), Kind::Symlink(target.to_owned())), Vec::new())
}

fn tar(files: Files) -> Vec<u8> {
    testkit::apk::tarball(files)
}

/// An image in pieces, to be taken apart and put together wrongly.
struct Made {
    manifest: Value,
    config: Value,
    layers: Vec<Vec<u8>>,
}

impl Made {
    /// Of unpacked layers, packed one by one in another way.
    fn of(layers: &[Vec<u8>]) -> Self {
        let ways = [
            (Compression::Gzip, "application/vnd.oci.image.layer.v1.tar+gzip"),
            (Compression::Zstd, "application/vnd.oci.image.layer.v1.tar+zstd"),
            (Compression::None, "application/vnd.oci.image.layer.v1.tar"),
        ];
        let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config =
            json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let (mut packed, mut named) = (Vec::new(), Vec::new());
        for (layer, (compression, media_type)) in layers.iter().zip(ways.iter().cycle()) {
            let mut encoder = encoder(*compression, Vec::new(), Level::Default).unwrap();
            encoder.write_all(layer).unwrap();
            let bytes = encoder.finish().unwrap();
            named.push(
                json!({ "mediaType": media_type, "digest": Digest::of(&bytes).to_string(), "size": bytes.len() }),
            );
            packed.push(bytes);
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": "", "size": 0 },
            "layers": named,
        });
        Self { manifest, config, layers: packed }
    }

    fn import_with(mut self, limits: &Limits) -> Result<(Imported, MemoryObjects), ImageError> {
        let config = serde_json::to_vec(&self.config).unwrap();
        self.manifest["config"]["digest"] = json!(Digest::of(&config).to_string());
        let part = |bytes: &Vec<u8>| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            Part { digest: Digest::of(bytes), file }
        };
        let parts = std::iter::once(&config).chain(&self.layers).map(part).collect();
        let (origin, name) = ("base".parse().unwrap(), "system".parse().unwrap());
        let named = Named { origin: &origin, name: &name, version: "latest+0" };
        let objects = MemoryObjects::default();
        let imported = oci::import(&serde_json::to_vec(&self.manifest).unwrap()[..], parts, &named, &objects, limits)?;
        Ok((imported, objects))
    }

    fn import(self) -> (Imported, MemoryObjects) {
        self.import_with(&Limits::default()).unwrap()
    }

    fn refused(self) -> String {
        told(&self.import_with(&Limits::default()).expect_err("it is refused"))
    }
}

fn told(error: &ImageError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn of(layers: Vec<Files>) -> Made {
    Made::of(&layers.into_iter().map(tar).collect::<Vec<_>>())
}

fn paths(layers: Vec<Files>) -> Vec<String> {
    of(layers).import().0.tree.walk().map(|(path, _)| path.to_string().trim_start_matches('/').to_owned()).collect()
}

#[test]
fn layers_lie_on_each_other_however_they_are_packed() {
    let made = of(vec![
        vec![file("usr/a", "one"), file("usr/b", "one")],
        vec![file("usr/b", "two"), link("c", "usr/b")],
        vec![file("usr/d/e", "three")],
    ]);
    let (imported, objects) = made.import();
    let content = |name: &str| match imported.tree.get(&path(name)) {
        Some(TreeEntry::File(file)) => String::from_utf8(objects.read(&file.object).unwrap()).unwrap(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!([content("usr/a"), content("usr/b"), content("usr/d/e")], ["one", "two", "three"]);
    assert!(imported.record.facts == kiln_model::Facts::default());
    assert_eq!((imported.record.name.as_str(), &*imported.record.version), ("system", "latest+0"));
    assert_eq!(imported.record.architecture, Some(kiln_model::Architecture::Amd64));
}

#[test]
fn a_whiteout_takes_away_what_is_below_and_nothing_of_its_own_layer() {
    assert_eq!(paths(vec![vec![file("a/b", ""), file("a/c", "")], vec![file("a/.wh.b", "")]]), ["a", "a/c"]);
    assert_eq!(paths(vec![vec![file("a/b", ""), file("z", "")], vec![file(".wh.a", "")]]), ["z"]);
    for again in [vec![file("a/.wh.b", ""), file("a/b", "")], vec![file("a/b", ""), file("a/.wh.b", "")]] {
        assert_eq!(paths(vec![vec![file("a/b", "old")], again]), ["a", "a/b"]);
    }
    for opaque in
        [vec![file("a/.wh..wh..opq", ""), file("a/new", "")], vec![file("a/new", ""), file("a/.wh..wh..opq", "")]]
    {
        assert_eq!(paths(vec![vec![file("a/b/c", ""), file("a-b", "")], opaque]), ["a", "a/new", "a-b"]);
    }
    assert_eq!(paths(vec![vec![file("a/b", "")], vec![file(".wh..wh..opq", ""), file("c", "")]]), ["c"]);
    // Where a folder was is a file, and the other way round.
    assert_eq!(paths(vec![vec![file("a/b", "")], vec![file("a", "")]]), ["a"]);
    assert_eq!(paths(vec![vec![file("a", "")], vec![folder("a"), file("a/b", "")]]), ["a", "a/b"]);
}

#[test]
fn owners_have_the_names_that_the_image_gives_them() {
    let owned = |uid, gid, mode, name| {
        let (entry, content) = file(name, "");
        (Entry { uid, gid, mode, ..entry }, content)
    };
    let accounts =
        || vec![file("etc/passwd", "root:x:0:0::/:\nsvc:x:7:8::/:\n"), file("etc/group", "root:x:0:\nsvcs:x:8:\n")];
    // The last layer's word counts for files of all.
    let (imported, _) = of(vec![vec![owned(7, 8, 0o4755, "usr/x")], accounts()]).import();
    let permission = &imported.record.facts.permissions[&path("usr/x")];
    assert_eq!(permission.owner.as_ref().unwrap().as_str(), "svc");
    assert_eq!(permission.group.as_ref().unwrap().as_str(), "svcs");
    assert_eq!(permission.mode.unwrap().to_string(), kiln_model::facts::Mode::new(0o4755).to_string());
    let text = of(vec![accounts(), vec![owned(9, 8, 0o644, "usr/x")]]).refused();
    assert!(text.contains("`/usr/x` belongs to user 9, which the image's `/etc/passwd` does not name"), "{text}");
    // No account but the first may be taken for the owner of everything.
    let toor = vec![file("etc/passwd", "root:x:7:0::/:\n"), owned(7, 0, 0o644, "usr/x")];
    assert!(of(vec![toor]).refused().contains("belongs to user 7"));
}

#[test]
fn names_of_one_file_stay_so_and_devices_and_attributes_become_facts() {
    let hard = (Entry::new(path("usr/h"), Kind::Hardlink(path("usr/a"))), Vec::new());
    let device = (Entry::new(path("dev/x"), Kind::Character { major: 1, minor: 3 }), Vec::new());
    let (mut marked, content) = file("usr/m", "");
    marked.xattrs.insert("user.note".into(), b"hi".to_vec().into());
    let (imported, _) = of(vec![vec![file("usr/a", "x")], vec![hard, device, (marked, content)]]).import();
    for name in ["usr/a", "usr/h"] {
        assert!(matches!(imported.tree.get(&path(name)), Some(TreeEntry::File(file)) if file.hardlinked), "{name}");
    }
    assert!(imported.record.facts.devices.contains_key(&path("dev/x")));
    assert_eq!(imported.record.facts.permissions[&path("usr/m")].xattrs["user.note"], hex::encode("hi"));
}

#[test]
fn what_is_below_bin_is_below_usr_as_in_every_image() {
    let (imported, _) = of(vec![vec![file("bin/tool", "x"), link("bin/alias", "tool")]]).import();
    assert!(imported.tree.get(&path("usr/bin/tool")).is_some() && imported.tree.get(&path("bin")).is_none());
    let two = of(vec![vec![file("bin/tool", "x"), file("usr/bin/tool", "y")]]).refused();
    assert!(two.contains("usr/bin/tool"), "{two}");
}

#[test]
fn a_whiteout_of_what_never_was_changes_nothing() {
    let (imported, _) = of(vec![vec![file("a", "")], vec![file(".wh.b", ""), file("c/.wh.d", "")]]).import();
    assert!(imported.tree.get(&path("a")).is_some() && imported.tree.get(&path("b")).is_none());
}

#[test]
fn a_layer_that_does_not_fit_is_refused_by_number_and_path() {
    let cases: [(Vec<Files>, &str); 5] = [
        (vec![vec![file(".wh..wh.plnk", "")]], "of a kind that is not known"),
        (vec![vec![file(".wh...", "")]], "is a whiteout of no name"),
        (vec![vec![link("a", "/etc"), file("a/b", "")]], "is below `/a`, which is a symbolic link"),
        (vec![vec![file("a", ""), file("a/b", "")]], "is below `/a`, which is a file"),
        (vec![vec![(Entry::new(path("h"), Kind::Hardlink(path("no"))), Vec::new())]], "is no file before it"),
    ];
    for (layers, wanted) in cases {
        let text = of(layers).refused();
        assert!(text.contains(wanted), "{text}");
    }
}

/// A layer whose one entry has a name that no writer of ours makes.
fn odd_name(name: &str) -> Vec<u8> {
    let mut bytes = tar(vec![file("x", "")]);
    bytes[..100].fill(0);
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

#[test]
fn no_entry_gets_out_of_the_image() {
    for name in ["../up", "a/../../up", "/absolute"] {
        let text = Made::of(&[odd_name(name)]).refused();
        assert!(text.starts_with("cannot read layer 1 of the image"), "{name}: {text}");
    }
    assert_eq!(Made::of(&[odd_name("./fine")]).import().0.tree.walk().count(), 1);
}

#[test]
fn a_layer_that_expands_without_end_is_stopped() {
    let zeros = "\0".repeat(4 << 20);
    let limits = Limits { ratio_from: 1 << 20, ..Limits::default() };
    let bomb = of(vec![vec![file("zeros", &zeros)]]).import_with(&limits).expect_err("it is refused");
    assert!(told(&bomb).contains("limit `ratio`"), "{}", told(&bomb));
    // What one layer takes is no more there for the next.
    let limits = Limits { total_bytes: 6 << 20, ..Limits::default() };
    let two = || of(vec![vec![file("one", &zeros)], vec![file("two", &zeros)]]);
    assert!(told(&two().import_with(&limits).expect_err("it is refused")).contains("cannot read layer 2"));
    assert!(two().import_with(&Limits { total_bytes: 9 << 20, ..Limits::default() }).is_ok());
    let limits = Limits { entries: 1, ..Limits::default() };
    assert!(told(&two().import_with(&limits).expect_err("it is refused")).contains("limit `entries`"));
}

#[test]
fn every_digest_on_the_way_has_to_hold() {
    let made = || of(vec![vec![file("a", "")], vec![file("b", "")]]);
    let mut other = made();
    other.config["rootfs"]["diff_ids"][1] = json!(Digest::of(b"other").to_string());
    assert!(other.refused().contains("layer 2 of the image is, unpacked, not the one that its configuration names"));
    let mut other = made();
    other.layers[0].push(0);
    assert!(other.refused().contains("not those that its manifest names"));
    let mut fewer = made();
    fewer.config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
    assert!(fewer.refused().contains("has 2 layers, and its configuration names 1"));
    let mut weak = made();
    weak.config["rootfs"]["diff_ids"][0] = json!("md5:00");
    assert!(weak.refused().contains("`md5:00` is not a sha256"));
}

#[test]
fn what_is_no_image_of_a_system_is_refused_by_its_type() {
    let cases: [(&[&str], &str); 3] = [
        (&["mediaType"], "application/vnd.cncf.helm.config.v1+json"),
        (&["config", "mediaType"], "application/vnd.cncf.helm.config.v1+json"),
        (&["layers", "0", "mediaType"], "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
    ];
    for (place, media_type) in cases {
        let mut made = of(vec![vec![file("a", "")]]);
        *made.manifest.pointer_mut(&format!("/{}", place.join("/"))).unwrap() = json!(media_type);
        let text = made.refused();
        assert!(text.contains(media_type), "{text}");
    }
    let mut first = of(vec![vec![file("a", "")]]);
    first.manifest["schemaVersion"] = json!(1);
    assert!(first.refused().contains("version 1 of the format"));
    let mut elsewhere = of(vec![vec![file("a", "")]]);
    elsewhere.config["os"] = json!("windows");
    assert!(elsewhere.refused().contains("the image is for `windows/amd64`"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Documents of strangers: whatever comes is a document or an error.
    #[test]
    fn no_document_brings_the_reader_down(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Document::parse(&bytes).is_err());
    }

    /// Layers give the same, whatever they were split into, where each path comes once.
    #[test]
    fn how_files_are_spread_over_layers_changes_nothing(
        names in prop::collection::btree_set("[a-c]/[a-z]{1,3}", 1..12),
        cut in 0_usize..12,
    ) {
        let all: Files = names.iter().map(|name| file(name, name)).collect();
        let mut lower = all.clone();
        let upper = lower.split_off(cut.min(all.len()));
        let one = of(vec![all]).import().0;
        let layers = [lower, upper].into_iter().filter(|layer| !layer.is_empty()).collect();
        prop_assert_eq!(of(layers).import().0.record.tree, one.record.tree);
    }
}
