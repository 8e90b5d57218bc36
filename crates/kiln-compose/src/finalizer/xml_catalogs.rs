//! The catalogs of XML: `/etc/xml/catalog` leads to `/etc/xml/PACKAGE.xml`, that to the catalogs the package ships, as
//! `update-xmlcatalog` of xml-core leaves them.
//!
//! What is to be in them is said nowhere but in the blocks that `dh_installxmlcatalogs` generates into `postinst`. They
//! are calls with constant words, one a line, and they are read as such; a block that is anything else is told of. The
//! program's own database, `/var/lib/xml-core`, is written too, so that it goes on from there where somebody runs it.
//! Backups (`.old`) are not.

use std::collections::BTreeMap;

use kiln_model::TreePath;

use super::{FinalizeContext, FinalizeError, fixed};

const HEADER: &str = "usr/share/xml-core/catalog.header";
const FOOTER: &str = "usr/share/xml-core/catalog.footer";
const BLOCK: &str = "# Automatically added by dh_installxmlcatalogs";

/// One call of `update-xmlcatalog --add`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    /// `public`, `system` or `uri`.
    kind: String,
    /// What the identifiers begin with.
    id: String,
    package: String,
    /// The package's own catalog; none for the entry in the root catalog.
    local: Option<String>,
}

/// Entries by key, in the order of keys: `--sort`.
type Catalog = BTreeMap<String, String>;

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let (Some(header), Some(footer)) = (context.read(&fixed(HEADER))?, context.read(&fixed(FOOTER))?) else {
        return Ok(());
    };
    let mut catalogs: BTreeMap<String, Catalog> = BTreeMap::new();
    for call in calls(context)? {
        let (key, catalog, entry) = match &call.local {
            Some(local) => {
                let there = TreePath::from_absolute(local).ok().and_then(|path| context.file(&path));
                if there.is_none() {
                    let message = format!("package `{}` registers `{local}`, which is not in the image", call.package);
                    context.warn(message, None);
                    continue;
                }
                (call.key(), call.package.clone(), format!("catalog=\"file://{local}\""))
            }
            None => (call.key(), "catalog".to_owned(), format!("catalog=\"file:///etc/xml/{}.xml\"", call.package)),
        };
        let entries = catalogs.entry(catalog.clone()).or_default();
        match entries.get(&key) {
            Some(first) if *first != entry => {
                let message = format!("the XML catalog `{catalog}` has two entries for `{key}`: {first} and {entry}");
                context.warn(message, Some("the first package by name has it".to_owned()));
            }
            _ => drop(entries.insert(key, entry)),
        }
    }
    for (name, entries) in catalogs {
        let mut text = header.clone();
        let mut data = String::new();
        for (key, entry) in entries {
            text.extend_from_slice(format!("<{key} {entry}/>\n").as_bytes());
            data.push_str(&format!("<{key}><{entry}>\n"));
        }
        text.extend_from_slice(&footer);
        let file = if name == "catalog" { "etc/xml/catalog".to_owned() } else { format!("etc/xml/{name}.xml") };
        context.write(&fixed(&file), &text)?;
        context.write(&fixed(&format!("var/lib/xml-core/{name}")), data.as_bytes())?;
    }
    Ok(())
}

impl Call {
    fn key(&self) -> String {
        match self.kind.as_str() {
            "uri" => format!("delegateURI uriStartString=\"{}\"", self.id),
            "public" => format!("delegatePublic publicIdStartString=\"{}\"", self.id),
            _ => format!("delegateSystem systemIdStartString=\"{}\"", self.id),
        }
    }
}

/// The calls of every package, in order of the packages' names.
fn calls(context: &mut FinalizeContext<'_>) -> Result<Vec<Call>, FinalizeError> {
    let mut all = Vec::new();
    for (package, text) in context.hooks("postinst")? {
        match read(&text) {
            Ok(calls) => all.extend(calls),
            Err(line) => {
                let message = format!("the XML catalogs of `{package}` are not registered: `{line}` is not understood");
                context.warn(message, Some("bring `/etc/xml` by the image's `files:`".to_owned()));
            }
        }
    }
    Ok(all)
}

/// The calls in a script's generated blocks, or the first line that is none.
fn read(text: &str) -> Result<Vec<Call>, String> {
    let mut calls = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with(BLOCK) {
            continue;
        }
        for line in lines.by_ref().take_while(|line| !line.starts_with("# End automatically added section")) {
            let line = line.trim();
            if !matches!(line, "" | "fi" | "if [ \"$1\" = \"configure\" ]; then") {
                calls.push(call(line).ok_or_else(|| line.to_owned())?);
            }
        }
    }
    Ok(calls)
}

fn call(line: &str) -> Option<Call> {
    let words = words(line)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (kind, id, package, rest) = match words.as_slice() {
        [
            "update-xmlcatalog",
            "--sort",
            "--add",
            "--type",
            kind @ ("public" | "system" | "uri"),
            "--id",
            id,
            "--package",
            package,
            rest @ ..,
        ] => (kind, id, package, rest),
        _ => return None,
    };
    let local = match rest {
        ["--root"] => None,
        ["--local", local] => Some((*local).to_owned()),
        _ => return None,
    };
    let plain = |text: &str| !text.is_empty() && !text.contains(['/', '<', '>', '"']);
    // A line of the database ends an entry's key at `>`.
    let fits = plain(package) && !id.contains(['<', '>', '"']);
    fits.then(|| Call { kind: (*kind).to_owned(), id: (*id).to_owned(), package: (*package).to_owned(), local })
}

/// The words of a line without anything that a shell would expand; some in double quotes.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let word = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (word, after) = quoted.split_once('"')?;
                rest = after;
                word
            }
            None => {
                let end = rest.find([' ', '\t']).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                rest = after;
                word
            }
        };
        if word.contains(['$', '`', '\\', '\'', '"', ';', '&', '|'])
            || !(rest.is_empty() || rest.starts_with([' ', '\t']))
        {
            return None;
        }
        words.push(word.to_owned());
        rest = rest.trim_start();
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(lines: &str) -> String {
        format!(
            "#!/bin/sh\n{BLOCK}/1\nif [ \"$1\" = \"configure\" ]; then\n{lines}\nfi\n# End automatically added section\n"
        )
    }

    #[test]
    fn reads_what_the_generator_writes() {
        let text = block(
            "\tupdate-xmlcatalog --sort --add --type public --id \"-//A//DTD B//EN\" --package p --local /usr/share/c.xml\n\n\tupdate-xmlcatalog --sort --add --type uri --id \"http://a/\" --package p --root",
        );
        let calls = read(&text).unwrap();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0].key(), "delegatePublic publicIdStartString=\"-//A//DTD B//EN\"");
        assert_eq!(calls[0].local.as_deref(), Some("/usr/share/c.xml"));
        assert_eq!(calls[1].key(), "delegateURI uriStartString=\"http://a/\"");
        assert_eq!(calls[1].local, None);
    }

    #[test]
    fn what_is_computed_is_told() {
        let line = "update-xmlcatalog --sort --add --type public --id \"$id\" --package p --root";
        assert_eq!(read(&block(line)), Err(line.to_owned()));
        assert_eq!(read("update-xmlcatalog --add\n"), Ok(vec![]), "only generated blocks are read");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(# Automatically added by dh_installxmlcatalogs\n)?[ -~\n\"]{0,200}") {
            let _ = read(&text);
        }
    }
}
