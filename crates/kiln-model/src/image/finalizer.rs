//! `finalizers:` of an image: which of them it does without.
//!
//! The finalizers are `kiln-compose`'s, one row each in its table. Their names are here so that a wrong one is told where
//! it stands in the file, and so that editors know them; a test there holds the two lists together.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::diagnostic::Problem;
use crate::yaml::{Key, Node, Reader, nearest};

/// The name of a finalizer: one of [`FinalizerName::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FinalizerName(&'static str);

impl FinalizerName {
    /// Every name, in alphabetical order.
    pub const ALL: &'static [&'static str] = &[
        "accounts",
        "alternatives",
        "aspell-dictionaries",
        "busybox-links",
        "ca-certificates",
        "compiled-locales",
        "dconf",
        "depmod",
        "desktop-database",
        "dictionaries",
        "dictionary-lists",
        "dpkg-status",
        "emacs-packages",
        "environment",
        "first-boot",
        "fontconfig",
        "gdk-pixbuf-loaders",
        "gio-modules",
        "glib-schemas",
        "gtk-immodules",
        "gtk2-immodules",
        "hwdb",
        "icon-cache",
        "info-directory",
        "ispell-dictionaries",
        "java-keystore",
        "journal-catalog",
        "ld.so.cache",
        "locale",
        "machine-id",
        "man-db",
        "mime-database",
        "mount-points",
        "os-release",
        "pam",
        "php-modules",
        "python-bytecode",
        "sgml-catalogs",
        "shells",
        "sysctl",
        "systemd-units",
        "sysusers.d",
        "tex",
        "time-zone",
        "tmpfiles",
        "tmpfiles.d",
        "x-fonts",
        "xml-catalogs",
    ];

    /// The finalizer of a name, if there is one.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|known| **known == name).map(|known| Self(known))
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Reads which finalizers an image has and does without.
pub(super) fn read(reader: &Reader<'_>, node: &Node) -> Option<BTreeMap<FinalizerName, bool>> {
    let mut switches = BTreeMap::new();
    for (key, value) in reader.entries(node)? {
        if let (Some(name), Some(on)) = (name(reader, key), reader.flag(value)) {
            switches.insert(name, on);
        }
    }
    Some(switches)
}

fn name(reader: &Reader<'_>, key: &Key) -> Option<FinalizerName> {
    let found = FinalizerName::find(&key.text);
    if found.is_none() {
        let hint = match nearest(&key.text, FinalizerName::ALL.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "docs/reference/finalizers.md lists them".to_owned(),
        };
        reader.report(Problem::new(key.place, format!("there is no finalizer `{}`", key.text)).hint(hint));
    }
    found
}

/// The shape of `finalizers:`.
pub(super) struct FinalizersSchema;

impl JsonSchema for FinalizersSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Finalizers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: serde_json::Map<String, serde_json::Value> = FinalizerName::ALL
            .iter()
            .map(|name| ((*name).to_owned(), serde_json::json!({ "type": "boolean" })))
            .collect();
        json_schema!({
            "type": "object",
            "description": "Finalizers by name: `false` for one that this image does without.",
            "properties": names,
            "additionalProperties": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn parsed(text: &str) -> Result<BTreeMap<FinalizerName, bool>, String> {
        let (sources, node) = yaml::parse("images/web.yaml", text).unwrap();
        let reader = Reader::new(&sources);
        let read = read(&reader, &node);
        reader.finish(read).map_err(|told| {
            let told = told.0.iter().map(|told| format!("{} [{}]", told.message, told.hint.as_deref().unwrap_or("")));
            told.collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn a_finalizer_is_switched_by_name() {
        let switches = parsed("{ dpkg-status: false, pam: true }").unwrap();
        let switches: Vec<_> = switches.into_iter().map(|(name, on)| (name.as_str(), on)).collect();
        assert_eq!(switches, [("dpkg-status", false), ("pam", true)]);
    }

    #[test]
    fn a_name_that_does_not_exist_is_told_with_the_nearest_one() {
        let error = parsed("dpkg-stats: false\n").unwrap_err();
        assert!(error.contains("there is no finalizer `dpkg-stats`") && error.contains("`dpkg-status`"), "{error}");
        assert!(parsed("pam: no\n").is_err(), "YAML 1.2 has no `no`");
        assert!(parsed("something: false\n").unwrap_err().contains("finalizers.md"));
    }

    #[test]
    fn the_names_are_in_order() {
        assert!(FinalizerName::ALL.is_sorted());
    }
}
