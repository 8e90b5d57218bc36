//! SPDX 2.3, as JSON.
//!
//! The image is a package that contains its packages, each of which contains its files; files that no package brings are
//! the image's own. A package is `GENERATED_FROM` its sources, and a patch is `PATCH_APPLIED` to the package.

mod shape;

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::Digest;
use sha1::{Digest as _, Sha1};

use self::shape::{
    Checksum, CreationInfo, Document, ExternalReference, ExtractedLicence, FileElement, PackageElement, Relationship,
    VerificationCode,
};
use crate::{CREATED, Checksums, Description, File, KILN_VERSION, Licence, Package, Patch, Source, SubjectKind};

const NOTHING_SAID: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const SUBJECT: &str = "SPDXRef-Subject";

/// The document of a description.
#[must_use]
pub fn document(description: &Description) -> Vec<u8> {
    let description = description.sorted();
    let mut writer = Writer::default();
    writer.subject(&description);
    for package in &description.packages {
        writer.package(package);
    }
    let licences = writer.licences.into_iter();
    let mut document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: format!("{} {}", description.name, description.version),
        document_namespace: String::new(),
        creation_info: CreationInfo { created: CREATED, creators: vec![format!("Tool: kiln-{KILN_VERSION}")] },
        packages: writer.packages,
        files: writer.files,
        has_extracted_licensing_infos: licences
            .map(|(license_id, named)| ExtractedLicence { license_id, name: named.name, extracted_text: named.text })
            .collect(),
        relationships: writer.relationships,
    };
    // Another content is another document.
    let digest = Digest::of(&crate::text(&document)).to_hex();
    document.document_namespace = format!("https://spdx.org/spdxdocs/kiln-{}-{digest}", escaped(&description.name));
    crate::text(&document)
}

#[derive(Default)]
struct Writer {
    packages: Vec<PackageElement>,
    files: Vec<FileElement>,
    relationships: Vec<Relationship>,
    licences: BTreeMap<String, crate::Named>,
    /// Sources that stand in the document: several packages may come from one.
    sources: BTreeSet<String>,
}

impl Writer {
    fn relate(&mut self, from: &str, kind: &'static str, to: &str) {
        let (element_id, related) = (from.to_owned(), to.to_owned());
        self.relationships.push(Relationship { element_id, kind, related });
    }

    fn subject(&mut self, description: &Description) {
        self.relate(DOCUMENT, "DESCRIBES", SUBJECT);
        let all = description.packages.iter().flat_map(|package| &package.files).chain(&description.files);
        self.packages.push(PackageElement {
            id: SUBJECT.to_owned(),
            name: description.name.clone(),
            version: Some(description.version.clone()),
            supplier: organization(&description.project),
            files_analyzed: true,
            verification: Some(verification(all)),
            external_refs: purl_reference(description.purl.as_ref()),
            purpose: Some(match description.kind {
                SubjectKind::Image => "CONTAINER",
                SubjectKind::Package => "APPLICATION",
            }),
            source_info: Some(format!("built by Kiln from commit {}", description.commit)),
            comment: Some(format!("architecture {}, tree {}", description.architecture, description.tree)),
            ..PackageElement::new()
        });
        for package in &description.packages {
            self.relate(SUBJECT, "CONTAINS", &package_id(package));
        }
        self.add_files(SUBJECT, &description.files);
    }

    fn package(&mut self, package: &Package) {
        let id = package_id(package);
        let license_declared = self.licence(&package.licence);
        self.packages.push(PackageElement {
            id: id.clone(),
            name: package.name.clone(),
            version: Some(package.version.clone()),
            supplier: organization(&package.supplier),
            files_analyzed: !package.files.is_empty(),
            verification: (!package.files.is_empty()).then(|| verification(&package.files)),
            checksums: package.digest.iter().map(sha256).collect(),
            license_declared,
            summary: package.summary.clone(),
            external_refs: purl_reference(Some(&package.purl)),
            purpose: package.is_image.then_some("CONTAINER"),
            comment: Some(format!("tree {}", package.tree)),
            ..PackageElement::new()
        });
        self.add_files(&id, &package.files);
        for source in &package.sources {
            for source in self.source(source) {
                self.relate(&id, "GENERATED_FROM", &source);
            }
        }
        for patch in &package.patches {
            let patch = self.patch(&id, patch);
            self.relate(&patch, "PATCH_APPLIED", &id);
        }
    }

    /// Adds a source, unless it is there, and gives the elements that stand for it: the files that it consists of too, if
    /// they are several.
    fn source(&mut self, source: &Source) -> Vec<String> {
        let digest = Digest::of(format!("{source:?}").as_bytes()).to_hex();
        let id = format!("SPDXRef-Source-{}", &digest[..20]);
        let one = if let [file] = &source.files[..] { Some(file) } else { None };
        let several = if one.is_none() { &source.files[..] } else { &[] };
        let mut ids = vec![id.clone()];
        ids.extend(several.iter().map(|file| format!("SPDXRef-Source-File-{}", file.sha256.to_hex())));
        if self.sources.insert(id.clone()) {
            let known = [
                source.commit.as_ref().map(|commit| format!("commit {commit}")),
                source.tree.map(|tree| format!("tree {tree}")),
            ];
            let known: Vec<String> = known.into_iter().flatten().collect();
            self.packages.push(PackageElement {
                id,
                name: source.name.clone(),
                version: source.version.clone(),
                download_location: source.location.clone().unwrap_or_else(|| NOTHING_SAID.to_owned()),
                checksums: one.iter().map(|file| sha256(&file.sha256)).collect(),
                external_refs: purl_reference(source.purl.as_ref()),
                purpose: Some("SOURCE"),
                comment: (!known.is_empty()).then(|| known.join(", ")),
                ..PackageElement::new()
            });
        }
        for (file, id) in several.iter().zip(&ids[1..]) {
            if self.sources.insert(id.clone()) {
                self.packages.push(PackageElement {
                    id: id.clone(),
                    name: file.name.clone(),
                    checksums: vec![sha256(&file.sha256)],
                    purpose: Some("SOURCE"),
                    ..PackageElement::new()
                });
            }
        }
        ids
    }

    /// Adds a patch of a package: its element. One file may be applied to several, each time for a reason of its own.
    fn patch(&mut self, package: &str, patch: &Patch) -> String {
        let digest = Digest::of(format!("{package}\0{}", patch.path).as_bytes()).to_hex();
        let id = format!("SPDXRef-Patch-{}", &digest[..20]);
        self.files.push(FileElement {
            id: id.clone(),
            name: format!("./{}", patch.path),
            types: vec!["SOURCE"],
            checksums: checksums(&patch.checksums),
            comment: Some(patch.why.clone()).filter(|why| !why.is_empty()),
        });
        id
    }

    fn add_files(&mut self, owner: &str, files: &[File]) {
        for file in files {
            let id = format!("SPDXRef-File-{}", &Digest::of(file.path.as_str().as_bytes()).to_hex()[..32]);
            self.relate(owner, "CONTAINS", &id);
            self.files.push(FileElement {
                id,
                name: format!("./{}", file.path.as_str()),
                types: Vec::new(),
                checksums: checksums(&file.checksums),
                comment: None,
            });
        }
    }

    fn licence(&mut self, licence: &Licence) -> String {
        let references = licence.references();
        self.licences.extend(references.iter().map(|(reference, named)| (reference.clone(), named.clone())));
        licence.expression().unwrap_or_else(|| NOTHING_SAID.to_owned())
    }
}

/// What SPDX calls a package verification code: the SHA-1 of the SHA-1s of all files, sorted.
fn verification<'f>(files: impl IntoIterator<Item = &'f File>) -> VerificationCode {
    let mut all: Vec<String> = files.into_iter().map(|file| file.checksums.sha1_hex()).collect();
    all.sort_unstable();
    let mut hasher = Sha1::new();
    all.iter().for_each(|digest| hasher.update(digest.as_bytes()));
    VerificationCode { value: hex::encode(hasher.finalize()) }
}

fn sha256(digest: &Digest) -> Checksum {
    Checksum { algorithm: "SHA256", value: digest.to_hex() }
}

fn checksums(checksums: &Checksums) -> Vec<Checksum> {
    vec![Checksum { algorithm: "SHA1", value: checksums.sha1_hex() }, sha256(&checksums.sha256)]
}

fn purl_reference(purl: Option<&crate::Purl>) -> Vec<ExternalReference> {
    purl.map(|purl| ExternalReference { category: "PACKAGE-MANAGER", kind: "purl", locator: purl.to_string() })
        .into_iter()
        .collect()
}

fn organization(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| format!("Organization: {name}"))
}

fn package_id(package: &Package) -> String {
    format!("SPDXRef-Package-{}", escaped(&package.reference))
}

/// A text as part of an identifier, which has letters, digits, `-` and `.`. No two texts have one form.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'-' => out.push('-'),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!(".{byte:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_references_have_one_identifier() {
        assert_eq!(escaped("debian:g++"), "debian.3ag.2b.2b");
        assert_ne!(escaped("a-b:c"), escaped("a:b-c"));
        assert_ne!(escaped("a.2b"), escaped("a+"));
    }

    #[test]
    fn the_verification_code_is_that_of_the_sorted_digests() {
        let file = |path: &str, content: &[u8]| File { path: path.parse().unwrap(), checksums: Checksums::of(content) };
        let (a, b) = (file("a", b"1"), file("b", b"2"));
        // `printf %s DIGEST DIGEST | sha1sum` of the digests that `sha1sum` gives for "1" and "2", sorted.
        let code = verification([&a, &b]).value;
        assert_eq!(code, verification([&b, &a]).value);
        let (one, two) = ("356a192b7913b04c54574d18c28d46e6395428ab", "da4b9237bacccdf19c0760cab7aec4a8359010b0");
        assert_eq!(code, Checksums::of(format!("{one}{two}").as_bytes()).sha1_hex());
    }
}
