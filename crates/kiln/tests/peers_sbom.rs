//! What Kiln says is in an image of Debian's packages, beside what `debsbom`, which nobody here wrote, finds in its files; and
//! the official schemas over it.

#[allow(dead_code, reason = "nothing is run in this image")]
mod place;

use std::collections::BTreeSet;
use std::fs;

use place::{KILN, Place};
use serde_json::Value;

const PACKAGES: [&str; 6] = [
    "cyclonedx-python-lib[validation]==11.12.0",
    "debsbom==0.10.2",
    "in-toto-attestation==0.9.3",
    "lib4sbom==0.10.4",
    "packageurl-python==0.17.6",
    "spdx-tools==0.8.5",
];

/// Package URLs without what stands behind the version, of binary packages and of source packages.
fn purls(document: &str) -> [BTreeSet<String>; 2] {
    let document: Value = serde_json::from_str(document).unwrap();
    let mut waiting: Vec<&Value> = document["components"].as_array().unwrap().iter().collect();
    let mut found = [BTreeSet::new(), BTreeSet::new()];
    while let Some(component) = waiting.pop() {
        waiting.extend(component["pedigree"]["ancestors"].as_array().into_iter().flatten());
        if let Some(purl) = component["purl"].as_str() {
            let (name, qualifiers) = purl.split_once('?').unwrap();
            found[usize::from(qualifiers.contains("arch=source"))].insert(name.replace("%3A", ":"));
        }
    }
    found
}

#[test]
fn debsbom_finds_the_same_packages_and_sources_in_the_files() {
    let image = "name: it\npackages: [debian:g++, debian:ca-certificates, debian:perl]\noutputs: [dir, oci]\n";
    let place = Place::new(&[("images/it.yaml", image)]);
    place.run(KILN, &["build", "--quiet", "--documents", "--to", "out"]);
    let python = testkit::python::virtual_environment(&place.path("venv"), &PACKAGES);
    let python = python.to_str().unwrap();
    let out = place.path("project").join("out");
    let stem = out.join("it").display().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../kiln-sbom/tests/check.py");
    assert!(place.run(python, &[script, &stem]).contains("5 checks passed"));

    let root = out.join("it.dir").display().to_string();
    let found = place.path("found").display().to_string();
    let debsbom = place.path("venv").join("bin/debsbom").display().to_string();
    let native = kiln_model::Architecture::native().as_str();
    place.run(&debsbom, &["generate", "--root", &root, "--distro-arch", native, "-t", "cdx", "-o", &found]);
    let theirs = purls(&fs::read_to_string(format!("{found}.cdx.json")).unwrap());
    let ours = purls(&fs::read_to_string(format!("{stem}.cdx.json")).unwrap());
    assert!(ours[0].len() > 30, "{ours:?}");
    assert_eq!(ours, theirs);
}
