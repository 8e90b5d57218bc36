//! What is in an image and what it was made of, as documents.

use std::fs;
use std::path::Path;

use kiln_model::Digest;
use serde_json::{Value, json};

use crate::bad_input::archive_of;
use crate::world::{Project, World};

/// A committed project whose recipe `tool` has an archive, a patch and a part, and an image of it, with `hello` and a file.
fn project<'w>(world: &'w World, name: &str) -> Project<'w> {
    let bytes = archive_of("a", "one\n");
    let archive = world.path("tool-1.0.tar.gz");
    fs::write(&archive, &bytes).unwrap();
    let project = world.bare(name);
    project.write("packages/tool/two.patch", "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-one\n+two\n");
    let url = archive.display();
    project.recipe(
        "tool",
        &format!(
            "sources: [ {{ url: \"file://{url}\", sha256: \"{}\" }} ]\npatches: {{ two.patch: Says two }}\n\
             parts: {{ doc: {{ claim: [usr/share/doc/**] }} }}\n\
             build: {{ steps: [ {{ run: \"install -D a {{{{ out }}}}/usr/share/tool/a; \
             install -D a {{{{ out }}}}/usr/share/doc/tool/a\" }} ] }}\n",
            Digest::of(&bytes).to_hex(),
        ),
    );
    project.image("web", "packages: [tool, debian:hello]\nfiles: { /etc/motto: { content: above } }\n");
    project.lock();
    project.commit();
    project
}

fn printed(project: &Project<'_>, arguments: &[&str]) -> Value {
    serde_json::from_str(&project.kiln(arguments).done().stdout).unwrap()
}

fn named<'v>(list: &'v Value, key: &str, name: &str) -> &'v Value {
    let found = list.as_array().unwrap().iter().find(|item| item[key] == json!(name));
    found.unwrap_or_else(|| panic!("no `{name}` in {list:#}"))
}

#[test]
fn an_image_is_told_by_packages_files_sources_and_patches() {
    let world = World::new();
    let project = project(&world, "p");
    let spdx = printed(&project, &["sbom", "web"]);
    let hello = named(&spdx["packages"], "name", "hello");
    let purl = hello["externalRefs"][0]["referenceLocator"].as_str().unwrap();
    assert!(purl.starts_with("pkg:deb/debian/hello@"), "{purl}");
    let lock = project.read("kiln.lock");
    let pinned = hello["checksums"][0]["checksumValue"].as_str().unwrap();
    assert!(lock.contains(pinned), "the package's file is named as the lock pins it");
    let tool = named(&spdx["packages"], "SPDXID", "SPDXRef-Package-tool");
    assert_eq!(tool["licenseDeclared"], json!("MIT"));
    for file in ["./usr/share/tool/a", "./etc/motto"] {
        named(&spdx["files"], "fileName", file);
    }
    let patch = named(&spdx["files"], "fileName", "./packages/tool/two.patch");
    assert_eq!(patch["comment"], json!("Says two"));
    let content = Digest::of(project.read("packages/tool/two.patch").as_bytes()).to_hex();
    assert_eq!(named(&patch["checksums"], "algorithm", "SHA256")["checksumValue"], json!(content));

    let list = printed(&project, &["sbom", "web", "--format", "cyclonedx"]);
    let tool = named(&list["components"], "bom-ref", "package:tool");
    assert_eq!(tool["pedigree"]["patches"][0]["diff"]["url"], json!("packages/tool/two.patch"));
    let archive = Digest::of(&archive_of("a", "one\n")).to_hex();
    assert_eq!(tool["pedigree"]["ancestors"][0]["hashes"][0]["content"], json!(archive));
    named(&tool["components"], "name", "/usr/share/tool/a");
    named(&list["components"], "name", "/etc/motto");
}

#[test]
fn a_package_is_told_with_its_parts() {
    let world = World::new();
    let project = project(&world, "p");
    let list = printed(&project, &["sbom", "tool", "--format", "cyclonedx"]);
    assert_eq!(list["metadata"]["component"]["type"], json!("application"));
    named(&named(&list["components"], "name", "tool")["components"], "name", "/usr/share/tool/a");
    named(&named(&list["components"], "name", "tool-doc")["components"], "name", "/usr/share/doc/tool/a");
    project.kiln(&["build", "tool", "--documents"]).done();
    let written = fs::read_to_string(project.folder.join("out/tool.package.cdx.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), list);
}

#[test]
fn provenance_names_packages_sources_patches_the_environment_and_the_commit() {
    let world = World::new();
    let project = project(&world, "p");
    let statement = printed(&project, &["sbom", "web", "--provenance"]);
    let shown = printed(&project, &["show", "web", "--json"]);
    let tree = shown["tree"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], json!(tree));
    let definition = &statement["predicate"]["buildDefinition"];
    let inputs = &definition["resolvedDependencies"];
    let commit = project.git(&["rev-parse", "HEAD"]).trim().to_owned();
    assert_eq!(named(inputs, "name", "sample")["digest"]["gitCommit"], json!(commit));
    assert_eq!(definition["externalParameters"]["dirty"], json!(false));
    let archive = Digest::of(&archive_of("a", "one\n")).to_hex();
    assert_eq!(named(inputs, "name", "tool-1.0.tar.gz")["digest"]["sha256"], json!(archive));
    let patch = Digest::of(project.read("packages/tool/two.patch").as_bytes()).to_hex();
    assert_eq!(named(inputs, "name", "packages/tool/two.patch")["digest"]["sha256"], json!(patch));
    let kinds: Vec<&str> =
        inputs.as_array().unwrap().iter().filter_map(|input| input["annotations"]["kind"].as_str()).collect();
    for kind in ["environment", "package", "built", "file"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    project.edit("images/web.yaml", "above", "below");
    let statement = printed(&project, &["sbom", "web", "--provenance"]);
    assert_eq!(statement["predicate"]["buildDefinition"]["externalParameters"]["dirty"], json!(true));
}

#[test]
fn a_build_writes_the_documents_that_an_image_asks_for_and_its_digest_stays() {
    let world = World::new();
    let project = project(&world, "p");
    let bare = project.digests(&[]);
    let out = project.folder.join("out");
    assert!(!out.join("web.spdx.json").exists(), "nobody asked for one");
    project.kiln(&["build", "--documents"]).done();
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(read("web.spdx.json"), project.kiln(&["sbom", "web"]).done().stdout);
    assert_eq!(read("web.cdx.json"), project.kiln(&["sbom", "web", "--format", "cyclonedx"]).done().stdout);
    let statement: Value = serde_json::from_str(&read("web.provenance.json")).unwrap();
    assert_eq!(statement["subject"][0]["name"], json!("web.oci"));
    let manifest = statement["subject"][0]["digest"]["sha256"].as_str().unwrap().to_owned();
    assert!(bare.iter().any(|digest| digest.contains(&manifest)), "{manifest}: {bare:?}");
    let index: Value = serde_json::from_str(&read("web.oci/index.json")).unwrap();
    let types: Vec<&str> =
        index["manifests"].as_array().unwrap().iter().filter_map(|entry| entry["artifactType"].as_str()).collect();
    let all = ["application/vnd.cyclonedx+json", "application/spdx+json", "application/vnd.in-toto+json"];
    assert_eq!(types, all);
    project.image("web", "packages: [tool, debian:hello]\ndocuments: [spdx, pdf]\n");
    project.kiln(&["build"]).failed(2, &["`pdf` is not a document about an image", "images/web.yaml:"]);
    project.image("web", "packages: [tool, debian:hello]\ndocuments: [spdx]\n");
    fs::remove_dir_all(&out).unwrap();
    project.kiln(&["build"]).done();
    assert!(out.join("web.spdx.json").exists() && !out.join("web.cdx.json").exists());
}

#[test]
fn the_same_commit_has_the_same_documents_elsewhere() {
    let world = World::new();
    let project = project(&world, "p");
    project.kiln(&["build", "--documents"]).done();
    let other = world.path("elsewhere");
    project.git(&["clone", "--quiet", ".", other.to_str().unwrap()]);
    let mut again = world.command(&other);
    again.args(["build", "--documents", "--jobs", "1"]).env("KILN_STORE", world.path("other-store"));
    crate::world::ended(&mut again).done();
    let read = |folder: &Path, name: &str| fs::read(folder.join("out").join(name)).unwrap();
    for name in ["web.spdx.json", "web.cdx.json", "web.provenance.json", "web.oci/index.json"] {
        assert!(read(&project.folder, name) == read(&other, name), "{name}");
    }
}
