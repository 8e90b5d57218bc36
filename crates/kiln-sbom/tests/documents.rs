//! Documents are a function of what they tell of.

mod fixture;

use fixture::{description, provenance};
use kiln_model::Digest;
use kiln_sbom::{Description, cyclonedx, provenance as statement, spdx};
use serde_json::{Value, json};

type Make = fn(&Description) -> Vec<u8>;

const FORMATS: [Make; 2] = [spdx::document, cyclonedx::document];

#[test]
fn the_order_of_what_is_told_does_not_matter() {
    let mut other = description();
    other.packages.reverse();
    other.files.reverse();
    for package in &mut other.packages {
        package.files.reverse();
        package.sources.reverse();
    }
    for make in FORMATS {
        assert_eq!(make(&description()), make(&other));
    }
    let mut inputs = provenance();
    inputs.inputs.reverse();
    let subjects = [("web.oci".to_owned(), Digest::of(b"web"))].into();
    assert_eq!(statement::document(&provenance(), &subjects), statement::document(&inputs, &subjects));
}

#[test]
fn another_content_is_another_document() {
    let mut other = description();
    other.files.pop();
    let read = |make: Make, of: &Description| serde_json::from_slice::<Value>(&make(of)).unwrap();
    let (one, two) = (read(FORMATS[0], &description()), read(FORMATS[0], &other));
    assert_ne!(one["documentNamespace"], two["documentNamespace"]);
    let (one, two) = (read(FORMATS[1], &description()), read(FORMATS[1], &other));
    assert_ne!(one["serialNumber"], two["serialNumber"]);
}

#[test]
fn spdx_relates_packages_to_files_sources_and_patches() {
    let document: Value = serde_json::from_slice(&spdx::document(&description())).unwrap();
    let count = |kind: &str| {
        let all = document["relationships"].as_array().unwrap().iter();
        all.filter(|relationship| relationship["relationshipType"] == json!(kind)).count()
    };
    assert_eq!(count("DESCRIBES"), 1);
    // Three packages, their four files, and two of the image's own.
    assert_eq!(count("CONTAINS"), 9);
    // Two packages from one source; one from three, of which one has two files.
    assert_eq!(count("GENERATED_FROM"), 7);
    assert_eq!(count("PATCH_APPLIED"), 1);
    let named = document["hasExtractedLicensingInfos"].as_array().unwrap();
    assert!(named.iter().any(|licence| licence["extractedText"] == json!("Do what\nyou like.\n")));
}

#[test]
fn provenance_names_every_input_by_its_digest() {
    let subjects = [("web.oci".to_owned(), Digest::of(b"web"))].into();
    let statement: Value = serde_json::from_slice(&statement::document(&provenance(), &subjects)).unwrap();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], json!(Digest::of(b"web").to_hex()));
    let inputs = statement["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
    assert_eq!(inputs.len(), 4, "three, and the project's commit");
    assert!(inputs.iter().all(|input| input["digest"].as_object().is_some_and(|digest| digest.len() == 1)));
}
