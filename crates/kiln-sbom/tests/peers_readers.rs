//! The official schemas, and readers that nobody here wrote: `spdx-tools`, `cyclonedx-python-lib`, `lib4sbom` (which has the
//! schema of SPDX 2.3), `in-toto-attestation` and `packageurl-python`, of Python's registry.

mod fixture;

use std::fs;
use std::process::Command;

use fixture::{description, provenance};
use kiln_model::Digest;
use kiln_sbom::{cyclonedx, provenance as statement, spdx};

const PACKAGES: [&str; 5] = [
    "cyclonedx-python-lib[validation]==11.12.0",
    "in-toto-attestation==0.9.3",
    "lib4sbom==0.10.4",
    "packageurl-python==0.17.6",
    "spdx-tools==0.8.5",
];

#[test]
fn every_document_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let python = testkit::python::virtual_environment(&folder.path().join("venv"), &PACKAGES);
    let subjects = [("web.oci".to_owned(), Digest::of(b"web"))].into();
    fs::write(folder.path().join("a.spdx.json"), spdx::document(&description())).unwrap();
    fs::write(folder.path().join("a.cdx.json"), cyclonedx::document(&description())).unwrap();
    fs::write(folder.path().join("a.provenance.json"), statement::document(&provenance(), &subjects)).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check.py");
    let ran = Command::new(python).arg(script).arg(folder.path().join("a")).output().unwrap();
    let text = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(ran.status.success() && text.contains("5 checks passed"), "{text}");
}
