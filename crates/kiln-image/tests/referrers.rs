//! Documents that go with an image in its layout.

mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fixture::{Sample, peer, printed};
use kiln_image::{Referrer, find};
use kiln_model::Digest;
use serde_json::{Value, json};

const TYPE: &str = "application/spdx+json";

/// A sample with two documents.
fn sample() -> Sample {
    let referrer =
        |title: &str, bytes: &[u8]| Referrer { artifact_type: TYPE, title: title.to_owned(), bytes: bytes.to_vec() };
    let referrers = vec![referrer("web.spdx.json", b"{}"), referrer("web.more.json", b"[1]")];
    Sample { referrers, ..Sample::new() }
}

fn read(layout: &Path, digest: &Value) -> Vec<u8> {
    let digest: Digest = digest.as_str().unwrap().parse().unwrap();
    let bytes = fs::read(layout.join("blobs/sha256").join(digest.to_hex())).unwrap();
    assert_eq!(Digest::of(&bytes), digest);
    bytes
}

fn json(layout: &Path, digest: &Value) -> Value {
    serde_json::from_slice(&read(layout, digest)).unwrap()
}

#[test]
fn a_referrer_names_the_image_and_holds_its_document() {
    let folder = tempfile::tempdir().unwrap();
    let written = sample().write("oci", folder.path());
    let index: Value = serde_json::from_slice(&fs::read(written.path.join("index.json")).unwrap()).unwrap();
    let [image, first, second] = &index["manifests"].as_array().unwrap()[..] else { panic!("{index}") };
    assert_eq!(image["digest"], json!(written.digest.to_string()));
    for (descriptor, title, content) in [(first, "web.spdx.json", &b"{}"[..]), (second, "web.more.json", b"[1]")] {
        assert_eq!(descriptor["artifactType"], json!(TYPE));
        assert_eq!(descriptor["annotations"], Value::Null, "only the image has a tag");
        let manifest = json(&written.path, &descriptor["digest"]);
        assert_eq!(manifest["subject"]["digest"], image["digest"]);
        assert_eq!(manifest["subject"]["size"], image["size"]);
        assert_eq!(manifest["artifactType"], json!(TYPE));
        assert_eq!(read(&written.path, &manifest["config"]["digest"]), b"{}");
        assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], json!(title));
        assert_eq!(read(&written.path, &manifest["layers"][0]["digest"]), content);
    }
}

#[test]
fn an_image_has_one_digest_with_and_without_referrers() {
    let folder = tempfile::tempdir().unwrap();
    let bare = Sample::new().write("oci", folder.path());
    let with = sample().write("oci", folder.path());
    assert_eq!(bare.digest, with.digest);
    assert!(!with.untouched, "the layout is another");
    assert!(sample().write("oci", folder.path()).untouched);
    fs::remove_file(with.path.join("blobs/sha256").join(Digest::of(b"[1]").to_hex())).unwrap();
    assert!(!sample().write("oci", folder.path()).untouched, "a document is missing");
}

#[test]
fn an_archive_holds_what_the_folder_does() {
    let folder = tempfile::tempdir().unwrap();
    let layout = sample().write("oci", folder.path());
    let archive = find("oci-archive").unwrap().write(&sample().request(), folder.path()).unwrap();
    let listed = printed(&peer("tar", &["--list", "--file", archive.path.to_str().unwrap()]));
    let in_archive: BTreeSet<&str> = listed.lines().filter_map(|line| line.strip_prefix("blobs/sha256/")).collect();
    let in_folder: BTreeSet<String> = fs::read_dir(layout.path.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let in_archive: BTreeSet<String> =
        in_archive.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect();
    assert_eq!(in_archive, in_folder);
}
