//! JSON Schemas of the files that people write, for their editors. Generated from the types; `schemas/*.json` are
//! copies, and a test refuses a copy that has drifted.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::builder::Builder;
use crate::image::Image;
use crate::project::Project;
use crate::recipe::Recipe;

/// Every schema: its file below `schemas/`, and its text.
#[must_use]
pub fn all() -> Vec<(&'static str, String)> {
    vec![
        ("builder.json", of::<Builder>("A builder: builders/NAME.yaml")),
        ("image.json", of::<Image>("An image: images/NAME.yaml")),
        ("project.json", of::<Project>("A project: kiln.yaml")),
        ("recipe.json", of::<Recipe>("A recipe: packages/NAME/package.yaml")),
        ("rules.json", of::<crate::rule::FileSchema>("Rules for the hooks of packages: rules/NAME.yaml")),
    ]
}

fn of<T: JsonSchema>(title: &str) -> String {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    refuse_null(&mut schema);
    schema["title"] = title.into();
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is made of texts and numbers");
    text.push('\n');
    text
}

/// What may be left out may not be there without a value: the readers say so, and so must the schemas.
fn refuse_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = &mut choices[..] {
                    let only = std::mem::take(only);
                    fields.remove("anyOf");
                    fields.extend(only);
                }
            }
            fields.values_mut().for_each(refuse_null);
        }
        Value::Array(items) => items.iter_mut().for_each(refuse_null),
        _ => {}
    }
}
