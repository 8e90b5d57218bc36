//! `skopeo`, which nobody here wrote, reads what Kiln writes. Debian: `skopeo`.

mod fixture;

use fixture::{Recipe, Sample, blob, peer, printed};
use kiln_image::LayerCompression;
use serde_json::{Value, json};

fn inspect(reference: &str, raw: &[&str]) -> Value {
    let arguments = [&["inspect"], raw, &[reference]].concat();
    serde_json::from_str(&printed(&peer("skopeo", &arguments))).unwrap()
}

#[test]
fn inspects_the_image_by_its_tag() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::of(&Recipe { special: true, devices: true, ..Recipe::default() });
    let written = sample.write("oci", folder.path());
    let reference = format!("oci:{}:web", written.path.display());
    let seen = inspect(&reference, &[]);
    assert_eq!(seen["Digest"], json!(written.digest.to_string()));
    assert_eq!(seen["Architecture"], json!("amd64"));
    assert_eq!(seen["Os"], json!("linux"));
    assert_eq!(seen["Created"], json!("1980-01-01T00:00:00Z"));
    assert_eq!(seen["Env"], json!(["GREETING=good day", "PATH=/usr/bin"]));
    assert_eq!(seen["Labels"]["org.example.team"], json!("web"));
    let revision = "0123456789abcdef0123456789abcdef01234567-dirty";
    assert_eq!(seen["Labels"]["org.opencontainers.image.revision"], json!(revision));
    let layers: Vec<String> = sample.layers.iter().map(|layer| layer.info.digest.to_string()).collect();
    assert_eq!(seen["Layers"], json!(layers));

    let config = inspect(&reference, &["--config"]);
    assert_eq!(config["config"]["Entrypoint"], json!(["/usr/bin/hello"]));
    assert_eq!(config["config"]["Cmd"], json!(["first", "second word"]));
    assert_eq!(config["config"]["User"], json!("65534:65534"));
    assert_eq!(config["config"]["WorkingDir"], json!("/tmp"));
    assert_eq!(config["config"]["StopSignal"], json!("SIGQUIT"));
    assert_eq!(config["config"]["ExposedPorts"], json!({ "53/udp": {}, "8080/tcp": {} }));
    assert_eq!(config["config"]["Volumes"], json!({ "/var/data": {} }));
    assert_eq!(config["history"][0]["comment"], json!("base 1.0"));
    assert_eq!(config["history"][3]["comment"], json!("stamp 1.0"));
}

/// `skopeo copy` checks each blob's digest and size, and with `dir:` keeps the manifest as it is.
fn copies(output: &str, transport: &str, compression: LayerCompression) {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::of(&Recipe { compression, data: 200_000, ..Recipe::default() });
    let written = sample.write(output, folder.path());
    let to = folder.path().join("copy");
    let from = format!("{transport}:{}:web", written.path.display());
    printed(&peer("skopeo", &["copy", "--insecure-policy", &from, &format!("dir:{}", to.display())]));
    let manifest = std::fs::read(to.join("manifest.json")).unwrap();
    assert_eq!(kiln_model::Digest::of(&manifest), sample.manifest_digest());
    for layer in &sample.layers {
        let copied = std::fs::read(to.join(layer.info.digest.to_hex())).unwrap();
        assert_eq!(kiln_model::Digest::of(&copied), layer.info.digest);
        if output == "oci" {
            assert!(copied == std::fs::read(blob(&written.path, &layer.info.digest)).unwrap());
        }
    }
}

#[test]
fn copies_a_layout_of_zstd_layers() {
    copies("oci", "oci", LayerCompression::Zstd);
}

#[test]
fn copies_a_layout_of_gzip_layers() {
    copies("oci", "oci", LayerCompression::Gzip);
}

#[test]
fn copies_a_layout_of_plain_layers() {
    copies("oci", "oci", LayerCompression::None);
}

#[test]
fn copies_an_archive() {
    copies("oci-archive", "oci-archive", LayerCompression::Zstd);
}

#[test]
fn finds_the_one_image_without_its_tag_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let written = Sample::new().write("oci", folder.path());
    let place = written.path.display();
    assert_eq!(inspect(&format!("oci:{place}"), &[])["Digest"], json!(written.digest.to_string()));
    assert!(!peer("skopeo", &["inspect", &format!("oci:{place}:other")]).status.success());
}

#[test]
fn finds_the_image_by_its_tag_among_its_referrers() {
    let folder = tempfile::tempdir().unwrap();
    let referrer = kiln_image::Referrer {
        artifact_type: "application/spdx+json",
        title: "web.spdx.json".to_owned(),
        bytes: b"{}".to_vec(),
    };
    let sample = Sample { referrers: vec![referrer], ..Sample::new() };
    let bare = Sample::new().manifest_digest();
    for (output, transport) in [("oci", "oci"), ("oci-archive", "oci-archive")] {
        let written = sample.write(output, folder.path());
        let seen = inspect(&format!("{transport}:{}:web", written.path.display()), &[]);
        assert_eq!(seen["Digest"], json!(bare.to_string()));
    }
}
