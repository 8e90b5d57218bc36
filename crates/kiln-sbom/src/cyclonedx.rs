//! CycloneDX 1.6, as JSON.
//!
//! The image is the metadata's component, packages are components with their files as components below them. What a package
//! was built from is its pedigree: sources as ancestors, and patches. What CycloneDX has no field for stands in properties
//! under `kiln:`.

use kiln_model::Digest;
use serde::Serialize;

use crate::{CREATED, Checksums, Description, File, KILN_VERSION, Licence, Package, Patch, Source, SubjectKind};

/// The document of a description.
#[must_use]
pub fn document(description: &Description) -> Vec<u8> {
    let description = description.sorted();
    let subject = subject(&description);
    let reference = subject.bom_ref.clone();
    let packages = description.packages.iter().map(package);
    let components: Vec<Component> = packages.chain(description.files.iter().map(file)).collect();
    let depends_on = description.packages.iter().map(package_reference).collect();
    let mut document = Document {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: String::new(),
        version: 1,
        metadata: Metadata {
            timestamp: CREATED,
            tools: Tools { components: vec![Component::new("application", "kiln").with_version(KILN_VERSION)] },
            component: subject,
        },
        components,
        dependencies: vec![Dependency { reference: reference.unwrap_or_default(), depends_on }],
    };
    document.serial_number = serial_number(&Digest::of(&crate::text(&document)));
    crate::text(&document)
}

/// A UUID of a form of its own (version 8), made of a digest.
fn serial_number(digest: &Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let hex = hex::encode(bytes);
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn subject(description: &Description) -> Component {
    let (kind, word) = match description.kind {
        SubjectKind::Image => ("container", "image"),
        SubjectKind::Package => ("application", "recipe"),
    };
    Component {
        bom_ref: Some(format!("{word}:{}", description.name)),
        supplier: supplier(&description.project),
        purl: description.purl.as_ref().map(ToString::to_string),
        properties: vec![
            Property::new("kiln:architecture", description.architecture),
            Property::new("kiln:commit", &description.commit),
            Property::new("kiln:tree", description.tree),
        ],
        ..Component::new(kind, &description.name).with_version(&description.version)
    }
}

fn package_reference(package: &Package) -> String {
    format!("package:{}", package.reference)
}

fn package(package: &Package) -> Component {
    let kind = match (package.is_image, package.is_built) {
        (true, _) => "container",
        (_, true) => "application",
        _ => "library",
    };
    let ancestors: Vec<Component> = package.sources.iter().map(source).collect();
    let patches: Vec<PedigreePatch> = package.patches.iter().map(|patch| PedigreePatch::of(&patch.path)).collect();
    let pedigree = Pedigree { ancestors, patches };
    let known = !pedigree.ancestors.is_empty() || !pedigree.patches.is_empty();
    let mut properties = vec![Property::new("kiln:tree", package.tree)];
    properties.extend(package.patches.iter().map(patch_property));
    Component {
        bom_ref: Some(package_reference(package)),
        supplier: supplier(&package.supplier),
        description: package.summary.clone(),
        hashes: package.digest.iter().map(Hash::sha256).collect(),
        licenses: licences(&package.licence),
        purl: Some(package.purl.to_string()),
        pedigree: known.then_some(pedigree),
        properties,
        components: package.files.iter().map(file).collect(),
        ..Component::new(kind, &package.name).with_version(&package.version)
    }
}

/// CycloneDX has no digest of a patch.
fn patch_property(patch: &Patch) -> Property {
    Property::new("kiln:patch", format!("{} {} {}", patch.checksums.sha256, patch.path, patch.why).trim_end())
}

fn source(source: &Source) -> Component {
    let one = if let [file] = &source.files[..] { Some(file) } else { None };
    let several = if one.is_none() { &source.files[..] } else { &[] };
    let mut properties = Vec::new();
    properties.extend(source.commit.as_ref().map(|commit| Property::new("kiln:commit", commit)));
    properties.extend(source.tree.map(|tree| Property::new("kiln:tree", tree)));
    let kind = if source.commit.is_some() { "vcs" } else { "source-distribution" };
    let location = source.location.as_ref();
    Component {
        version: source.version.clone(),
        hashes: one.iter().map(|file| Hash::sha256(&file.sha256)).collect(),
        purl: source.purl.as_ref().map(ToString::to_string),
        external_references: location.map(|url| ExternalReference { kind, url: url.clone() }).into_iter().collect(),
        properties,
        components: several
            .iter()
            .map(|file| Component { hashes: vec![Hash::sha256(&file.sha256)], ..Component::new("file", &file.name) })
            .collect(),
        ..Component::new("application", &source.name)
    }
}

fn file(file: &File) -> Component {
    let Checksums { sha256, .. } = &file.checksums;
    Component {
        hashes: vec![Hash { alg: "SHA-1", content: file.checksums.sha1_hex() }, Hash::sha256(sha256)],
        ..Component::new("file", &format!("/{}", file.path.as_str()))
    }
}

fn licences(licence: &Licence) -> Vec<LicenceChoice> {
    licence.expression().map(|expression| LicenceChoice { expression }).into_iter().collect()
}

fn supplier(name: &str) -> Option<Organization> {
    (!name.is_empty()).then(|| Organization { name: name.to_owned() })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: &'static str,
    tools: Tools,
    component: Component,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Component>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    bom_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Organization>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<LicenceChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pedigree: Option<Pedigree>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<ExternalReference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Component>,
}

impl Component {
    fn new(kind: &'static str, name: &str) -> Self {
        Self { kind, name: name.to_owned(), ..Self::default() }
    }

    fn with_version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }
}

#[derive(Serialize)]
struct Organization {
    name: String,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

impl Hash {
    fn sha256(digest: &Digest) -> Self {
        Self { alg: "SHA-256", content: digest.to_hex() }
    }
}

#[derive(Serialize)]
struct LicenceChoice {
    expression: String,
}

#[derive(Serialize)]
struct Pedigree {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ancestors: Vec<Component>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    patches: Vec<PedigreePatch>,
}

#[derive(Serialize)]
struct PedigreePatch {
    #[serde(rename = "type")]
    kind: &'static str,
    diff: Diff,
}

impl PedigreePatch {
    fn of(path: &str) -> Self {
        Self { kind: "unofficial", diff: Diff { url: path.to_owned() } }
    }
}

#[derive(Serialize)]
struct Diff {
    url: String,
}

#[derive(Serialize)]
struct ExternalReference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

impl Property {
    fn new(name: &'static str, value: impl ToString) -> Self {
        Self { name, value: value.to_string() }
    }
}

#[derive(Serialize)]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(rename = "dependsOn")]
    depends_on: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_a_uuid_of_the_digest() {
        let digest = Digest::of(b"");
        assert_eq!(serial_number(&digest), "urn:uuid:e3b0c442-98fc-8c14-9afb-f4c8996fb924");
    }
}
