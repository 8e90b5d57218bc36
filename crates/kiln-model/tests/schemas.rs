//! The schemas in `schemas/` are those of the types, and say the same as the readers.

use std::collections::BTreeSet;
use std::path::Path;

use kiln_model::{schema, yaml};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

#[test]
fn schemas_have_not_drifted() {
    for (file, text) in schema::all() {
        let kept = std::fs::read_to_string(folder().join(file)).unwrap_or_default();
        assert!(
            kept == text,
            "`schemas/{file}` is not what the types say: write it anew with `cargo run -p kiln-model --example write_schemas`"
        );
    }
    let kept: BTreeSet<String> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let written: BTreeSet<String> = schema::all().into_iter().map(|(file, _)| file.to_owned()).collect();
    assert_eq!(kept, written);
}

/// The keys that a reader knows, as its answer to an unknown one lists them.
fn keys_of_reader(told: &kiln_model::diagnostic::Diagnostics) -> BTreeSet<String> {
    let hint = told.0.iter().filter_map(|d| d.hint.as_deref()).find_map(|hint| hint.strip_prefix("keys here: "));
    hint.expect("an unknown key is told of").split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

fn keys_of_schema(file: &str) -> BTreeSet<String> {
    keys_of(file, "/properties")
}

/// The keys of a part of a schema.
fn keys_of(file: &str, part: &str) -> BTreeSet<String> {
    let (_, text) = schema::all().into_iter().find(|(name, _)| *name == file).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    let part = schema.pointer(part).unwrap_or_else(|| panic!("`{file}` has no `{part}`"));
    part.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn readers_and_schemas_know_the_same_keys() {
    let (sources, node) = yaml::parse("t.yaml", "unknown-key-of-nothing: 1\n").unwrap();
    let none = std::collections::BTreeMap::new();
    let mut used = BTreeSet::new();
    let told = |read: &mut dyn FnMut(&yaml::Reader<'_>)| {
        let reader = yaml::Reader::new(&sources);
        read(&reader);
        reader.finish::<()>(None).unwrap_err()
    };
    let project = told(&mut |reader| drop(kiln_model::project::Project::read(reader, &node)));
    assert_eq!(keys_of_reader(&project), keys_of_schema("project.json"));
    let image = told(&mut |reader| drop(kiln_model::image::read(reader, &node, &none, &mut used)));
    assert_eq!(keys_of_reader(&image), keys_of_schema("image.json"));
    let builder = told(&mut |reader| drop(kiln_model::builder::Builder::read(reader, &node)));
    assert_eq!(keys_of_reader(&builder), keys_of_schema("builder.json"));
    let folder = "packages/x".parse().unwrap();
    let recipe = told(&mut |reader| {
        drop(kiln_model::recipe::read(reader, &node, &folder, &Default::default(), &none, &mut BTreeSet::new()));
    });
    assert_eq!(keys_of_reader(&recipe), keys_of_schema("recipe.json"));
    let rules = |text: &str| keys_of_reader(&kiln_model::rule::parse("t.yaml", text).unwrap_err());
    assert_eq!(rules("unknown-key-of-nothing: 1\n"), keys_of_schema("rules.json"));
    assert_eq!(rules("rules: [ { unknown-key-of-nothing: 1 } ]\n"), keys_of("rules.json", "/$defs/Rule/properties"));
    let hooks = yaml::parse("t.yaml", "hooks: { debian:a: { unknown-key-of-nothing: 1 } }\n").unwrap();
    let reader = yaml::Reader::new(&hooks.0);
    drop(kiln_model::image::read(&reader, &hooks.1, &none, &mut used));
    let word = reader.finish::<()>(None).unwrap_err();
    let kinds =
        ["AcceptedHooks", "ReplacedHooks"].map(|kind| keys_of("image.json", &format!("/$defs/{kind}/properties")));
    assert_eq!(keys_of_reader(&word), kinds.into_iter().flatten().collect());
}
