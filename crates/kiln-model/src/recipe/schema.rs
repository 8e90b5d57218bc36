//! Schemas of what a recipe writes in more than one way. The readers beside them say the same; a test holds them
//! together by the examples and the keys.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Conditional, Limits, Source, StepTemplate};
use crate::OptionName;
use crate::diagnostic::Spanned;
use crate::project::ProjectPath;
use crate::template::Template;
use crate::{Digest, PackageRef};

fn conditional<T: JsonSchema>(key: &str, value: &Schema, generator: &mut SchemaGenerator) -> Schema {
    let plain = generator.subschema_for::<T>();
    let option = generator.subschema_for::<OptionName>();
    json_schema!({
        "anyOf": [plain, {
            "type": "object",
            "properties": { "when": option, "unless": option, key: value },
            "required": [key],
            "additionalProperties": false,
        }]
    })
}

impl JsonSchema for Conditional<Spanned<PackageRef>> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Need".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<PackageRef>();
        conditional::<PackageRef>("package", &value, generator)
    }
}

impl JsonSchema for Conditional<Template> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<Template>();
        let value = json_schema!({ "anyOf": [word, { "type": "array", "items": word }] });
        conditional::<Template>("add", &value, generator)
    }
}

impl JsonSchema for StepTemplate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let option = generator.subschema_for::<OptionName>();
        let run = generator.subschema_for::<Template>();
        json_schema!({
            "type": "object",
            "description": "A shell script, run with -e, -u and pipefail",
            "properties": { "name": { "type": "string" }, "run": run, "when": option, "unless": option },
            "required": ["run"],
            "additionalProperties": false,
        })
    }
}

impl JsonSchema for Source {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let digest = generator.subschema_for::<Digest>();
        let path = generator.subschema_for::<ProjectPath>();
        let text = generator.subschema_for::<Template>();
        json_schema!({
            "type": "object",
            "description": "Exactly one of `url`, `git`, `path`, or an origin's name with the source package's name",
            "properties": {
                "url": text,
                "sha256": digest,
                "strip": { "type": "integer", "minimum": 0, "maximum": 20 },
                "git": text,
                "rev": text,
                "path": path,
                "version": text,
                "patches": { "enum": ["apply", "leave"] },
                "outward-links": { "enum": ["refuse", "keep"] },
                "into": path,
            },
            "additionalProperties": { "type": "string" },
        })
    }
}

/// The shape of `build:`. A builder's own parameters stand beside `uses`.
pub struct BuildSchema;

impl JsonSchema for BuildSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Build".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let steps = generator.subschema_for::<Vec<StepTemplate>>();
        let words = generator.subschema_for::<Vec<Conditional<Template>>>();
        let text = generator.subschema_for::<Template>();
        let limits = generator.subschema_for::<Limits>();
        json_schema!({
            "type": "object",
            "description": "A builder (`uses`) with its parameters, or `steps`",
            "properties": {
                "uses": { "type": "string" },
                "with": words,
                "before": steps,
                "after": steps,
                "steps": steps,
                "env": { "type": "object", "additionalProperties": text },
                "limits": limits,
            },
            "oneOf": [{ "required": ["uses"] }, { "required": ["steps"] }],
        })
    }
}
