//! Reads an image, after what it extends has been merged into it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::finalizer;
use super::{Document, FileContent, FileSpec, Format, Image, ImagePackage, Locale, Output, Overlay, Run, TimeZone};
use crate::diagnostic::{Place, Problem, Spanned};
use crate::hooks;
use crate::name::AccountName;
use crate::project::{ProjectPath, read_switches, reject_doubles};
use crate::recipe::{Declarer, Switches, mode, read_by_path, read_facts};
use crate::template::{Scope, read_variables};
use crate::yaml::{Node, Reader, Value};
use crate::{ImageName, PackageRef, PartName};

/// Reads an image. `variables` are the project's; the places of those that are used are added to `used`.
pub fn read(
    reader: &Reader<'_>,
    node: &Node,
    variables: &BTreeMap<String, Spanned<String>>,
    used: &mut BTreeSet<Place>,
) -> Option<Image> {
    let mut fields = reader.map(node, "an image")?;
    let name = fields.require("name");
    // Followed by now; asked for here so that it is a known key.
    let _ = fields.entry("extends");
    let (packages, files, overlays) = (fields.take("packages"), fields.take("files"), fields.take("overlays"));
    let (facts, replace, words) = (fields.take("facts"), fields.take("replace"), fields.take("hooks"));
    let answers = fields.take("answers").and_then(|node| hooks::read_answers(reader, node));
    let locale = fields.take("locale").and_then(|node| reader.parse::<Locale>(node));
    let time_zone = fields.take("time-zone").and_then(|node| reader.parse::<TimeZone>(node));
    let finalizers = fields.take("finalizers").and_then(|node| finalizer::read(reader, node));
    let (run, outputs, documents) = (fields.take("run"), fields.take("outputs"), fields.take("documents"));
    let own = fields.take("variables");
    fields.refuse("machine", "an image for a machine");
    fields.refuse("tests", "testing an image");
    fields.finish();
    let name = name.and_then(|node| reader.parse::<ImageName>(node));
    let own = own.map(|node| read_variables(reader, node)).unwrap_or_default();
    let mut scope = Scope::new().declare(variables).declare(&own);
    if let Some(name) = &name {
        scope = scope.provide("name", name.as_str());
    }
    for (variable, value) in own.iter().filter(|(variable, _)| *variable == "name") {
        reader.wrong(value.place, format!("`{variable}` is the image's own name, and cannot be declared"));
    }
    let packages = packages.and_then(|node| reader.each(node, |item| package(reader, item))).unwrap_or_default();
    let references: Vec<Spanned<PackageRef>> = packages.iter().map(|package| package.reference.clone()).collect();
    reject_doubles(reader, &references);
    let files = files.and_then(|node| read_by_path(reader, node, |_, value| file(reader, &scope, value)));
    let overlays: Vec<Overlay> =
        overlays.and_then(|node| reader.each(node, |item| overlay(reader, item))).unwrap_or_default();
    let trees: Vec<Spanned<ProjectPath>> = overlays.iter().map(|overlay| overlay.tree.clone()).collect();
    reject_doubles(reader, &trees);
    let replace = replace.and_then(|node| read_by_path(reader, node, |_, value| reader.parse::<PackageRef>(value)));
    let words = words.and_then(|node| hooks::read_words(reader, node));
    let run = run.and_then(|node| Run::read(reader, &scope, node));
    let outputs = outputs.and_then(|node| reader.each(node, |item| Output::read(reader, item)));
    let documents = documents.and_then(|node| Document::read_list(reader, node));
    let outputs = outputs.unwrap_or_else(|| vec![Output::standard(Format::Oci)]);
    let mut formats = BTreeMap::new();
    for output in &outputs {
        if let (Some(place), Some(Some(first))) = (output.place, formats.insert(output.format, output.place)) {
            let problem = Problem::new(place, format!("the output `{}` is listed twice", output.format.as_str()));
            reader.report(problem.related(first, "first here"));
        }
    }
    let declared = facts.and_then(|node| read_facts(reader, node, Declarer::Image)).unwrap_or_default();
    used.extend(scope.used());
    for (variable, value) in own.iter().filter(|(_, value)| !scope.used().contains(&value.place)) {
        let problem = Problem::new(value.place, format!("the variable `{variable}` is not used"));
        reader.report(problem.hint(format!("use it as `{{{{ {variable} }}}}`, or remove it")));
    }
    Some(Image {
        name: name?,
        extends: Vec::new(),
        packages,
        files: files.unwrap_or_default(),
        overlays,
        facts: declared.facts,
        units: declared.units,
        replace: replace.unwrap_or_default(),
        hooks: words.unwrap_or_default(),
        answers: answers.unwrap_or_default(),
        locale: locale.map(|locale| locale.value),
        time_zone: time_zone.map(|zone| zone.value),
        finalizers: finalizers.unwrap_or_default(),
        run: run.unwrap_or_default(),
        outputs,
        documents: documents.unwrap_or_default(),
        variables: own,
    })
}

fn package(reader: &Reader<'_>, node: &Node) -> Option<ImagePackage> {
    if node.peek_text().is_some() {
        let reference = reader.parse(node)?;
        return Some(ImagePackage { reference, switches: Switches::default(), parts: Vec::new() });
    }
    let [(key, settings)] = reader.entries(node)? else {
        let problem = Problem::new(node.place, "a package of an image is one name");
        reader.report(problem.hint("write `- NAME`, or `- NAME: { with: [OPTION] }`"));
        return None;
    };
    let reference = reader.key::<PackageRef>(key).map(|value| Spanned::new(value, key.place));
    if settings.value == Value::Null {
        return Some(ImagePackage { reference: reference?, switches: Switches::default(), parts: Vec::new() });
    }
    let mut fields = reader.map(settings, "a package of an image")?;
    let switches = read_switches(reader, &mut fields);
    let parts = fields.take("parts");
    fields.finish();
    let parts: Vec<Spanned<PartName>> = parts.and_then(|node| reader.each_as(node)).unwrap_or_default();
    reject_doubles(reader, &parts);
    let reference = reference?;
    if reference.origin().is_some() && !matches!(&settings.value, Value::Map(entries) if entries.is_empty()) {
        let problem = Problem::new(settings.place, format!("`{reference}` comes as its origin built it"));
        reader.report(problem.hint("options and parts are for recipes of this project"));
    }
    Some(ImagePackage { reference, switches, parts })
}

fn file(reader: &Reader<'_>, scope: &Scope, node: &Node) -> Option<FileSpec> {
    let mut fields = reader.map(node, "a file")?;
    let (source, content) = (fields.take("source"), fields.take("content"));
    let (bits, owner, group) = (fields.take("mode"), fields.take("owner"), fields.take("group"));
    fields.finish();
    let content = match (source, content) {
        (Some(source), None) => reader.parse::<ProjectPath>(source).map(FileContent::Source),
        (None, Some(content)) => scope.text(reader, content).map(FileContent::Content),
        (Some(source), Some(content)) => {
            let problem = Problem::new(content.place, "a file has `source` or `content`, not both");
            reader.report(problem.related(source.place, "`source`"));
            None
        }
        (None, None) => {
            // A key without a value has been told of.
            if node.get("source").is_none() && node.get("content").is_none() {
                let problem = Problem::new(node.place, "this says nothing of what is in the file");
                reader.report(problem.hint("give `source: PATH` or `content: TEXT`"));
            }
            None
        }
    };
    let account = |node: Option<&Node>| node.and_then(|node| reader.parse::<AccountName>(node)).map(|name| name.value);
    let (owner, group) = (account(owner), account(group));
    Some(FileSpec { mode: mode(reader, bits), content: content?, owner, group })
}

fn overlay(reader: &Reader<'_>, node: &Node) -> Option<Overlay> {
    let mut fields = reader.map(node, "an overlay")?;
    let (tree, priority) = (fields.require("tree"), fields.take("priority"));
    fields.finish();
    let priority = priority.and_then(|node| reader.number::<i32>(node)).unwrap_or(0);
    Some(Overlay { tree: reader.parse(tree?)?, priority })
}

/// The shape of a package of an image.
pub(super) struct PackageSchema;

impl JsonSchema for PackageSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ImagePackage".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let reference = generator.subschema_for::<PackageRef>();
        let names = generator.subschema_for::<Vec<crate::OptionName>>();
        let parts = generator.subschema_for::<Vec<PartName>>();
        json_schema!({ "anyOf": [reference, {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": {
                "type": ["object", "null"],
                "properties": { "with": names, "without": names, "parts": parts },
                "additionalProperties": false,
            }
        }] })
    }
}
