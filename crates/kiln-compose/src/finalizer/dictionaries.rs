//! Word lists and their default, as dictionaries-common's `update-default-wordlist` leaves them: the databases of what is
//! installed, and `/etc/dictionaries-common/words`, which `/usr/share/dict/words` leads to.
//!
//! The default is the one for the image's `locale`, else an English one, American before others, in the order of
//! `dc-debconf-default-value.pl`. Dictionaries of ispell and aspell are compiled on the machine by their own programs;
//! that is not done here, and an image that has such is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{FinalizeContext, FinalizeError, fixed};

const INFO: &str = "var/lib/dictionaries-common";
const CACHE: &str = "var/cache/dictionaries-common";
/// What is compiled on the machine.
const COMPILED: &[&str] = &["aspell", "ispell"];

/// What is known of one dictionary: field to value, the package among them.
type Fields = BTreeMap<String, String>;

/// Dictionaries by name.
type Dictionaries = BTreeMap<String, Fields>;

/// Packages that are tried, by language and country; `:1` comes second. Of `w` + name for word lists.
const PACKAGES: &[(&str, &str)] = &[
    ("bg", "bulgarian"),
    ("ca", "catalan"),
    ("cs", "czech"),
    ("da", "danish"),
    ("de", "ngerman"),
    ("de:1", "ogerman"),
    ("de_CH", "swiss"),
    ("en_AU", "british"),
    ("en_CA", "canadian"),
    ("en_CA:1", "american"),
    ("en_GB", "british"),
    ("en_US", "american"),
    ("en_US:1", "miscfiles"),
    ("eo", "esperanto"),
    ("es", "spanish"),
    ("fi", "finnish"),
    ("fo", "faroese"),
    ("fr", "french"),
    ("ga", "irish"),
    ("gd", "gaelic"),
    ("gl", "galician-minimos"),
    ("gv", "manx"),
    ("hu", "hungarian"),
    ("it", "italian"),
    ("lt", "lithuanian"),
    ("nb", "norwegian->bokma"),
    ("nl", "dutch"),
    ("nn", "norwegian->nynorsk"),
    ("pl", "polish"),
    ("pt", "portuguese"),
    ("pt_BR", "brazilian"),
    ("ru", "russian"),
    ("sv", "swedish"),
    ("tl", "tagalog"),
    ("uk", "ukrainian"),
];
const SUFFIXES: &[&str] = &["", "-insane", "-huge", "-large", "-medium", "-small", "-gut"];

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    if context.file(&fixed("usr/sbin/update-default-wordlist")).is_none() {
        return Ok(());
    }
    for class in ["aspell", "hunspell", "ispell", "wordlist"] {
        // Its database holds what its files say too. Where there are any, the trigger on their folder is told of.
        if class == "hunspell" && !context.names(&fixed("usr/share/hunspell")).is_empty() {
            continue;
        }
        let dictionaries = dictionaries(context, class)?;
        context.write(&fixed(&format!("{CACHE}/{class}.db")), database(&dictionaries).as_bytes())?;
        if class == "wordlist" {
            set_default(context, &dictionaries)?;
        } else if COMPILED.contains(&class) && !dictionaries.is_empty() {
            let names: Vec<&str> = dictionaries.keys().map(String::as_str).collect();
            context.warn(
                format!("dictionaries of {class} are not compiled: {}", names.join(", ")),
                Some(format!("on the machine, `{class}-autobuildhash` compiles them")),
            );
        } else if class == "ispell" {
            // Programs expect it, empty where there is no dictionary.
            context.write(&fixed("etc/dictionaries-common/ispell-default"), b"")?;
        }
    }
    Ok(())
}

fn dictionaries(context: &FinalizeContext<'_>, class: &str) -> Result<Dictionaries, FinalizeError> {
    let mut all = Dictionaries::new();
    for package in context.names(&fixed(&format!("{INFO}/{class}"))) {
        let path = fixed(&format!("{INFO}/{class}/{package}"));
        let bytes = if package.ends_with('~') { None } else { context.read(&path)? };
        let read = parse(&String::from_utf8_lossy(&bytes.unwrap_or_default()));
        let read = read.map_err(|why| FinalizeError::Input { path, why })?;
        for (name, mut fields) in read {
            fields.insert("package".to_owned(), package.clone());
            all.insert(name, fields);
        }
    }
    Ok(all)
}

/// Records of `Field: value`, an empty line between them. Field names are in small letters from here on.
fn parse(text: &str) -> Result<Dictionaries, String> {
    let mut all = Dictionaries::new();
    for record in text.split("\n\n").filter(|record| !record.trim().is_empty()) {
        let mut fields = Fields::new();
        for line in record.lines() {
            if let Some((name, value)) = line.split_once(':')
                && !value.trim().is_empty()
            {
                fields.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let name = fields.remove("language").ok_or("a record has no `Language`")?;
        if !fields.contains_key("hash-name") {
            return Err(format!("the record of `{name}` has no `Hash-Name`"));
        }
        all.insert(name, fields);
    }
    Ok(all)
}

/// A database: a module of Perl.
fn database(dictionaries: &Dictionaries) -> String {
    let quote = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let dictionary = |(name, fields): (&String, &Fields)| {
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("     '{name}' => '{}'", quote(value))).collect();
        format!("  '{}' => {{\n{}\n  }}", quote(name), fields.join(",\n"))
    };
    let mut text = String::from(
        "### This file is part of the dictionaries-common package.\n### It has been automatically generated.\n### DO NOT EDIT!\n",
    );
    let list: Vec<String> = dictionaries.iter().map(dictionary).collect();
    let _ = write!(
        text,
        "\npackage Debian::DictionariesCommon::dbfile;\n\n%dictionaries = (\n{}\n);\n\n1;\n",
        list.join(",\n")
    );
    text
}

fn set_default(context: &mut FinalizeContext<'_>, dictionaries: &Dictionaries) -> Result<(), FinalizeError> {
    let locale = context.request.locale.as_deref().unwrap_or("");
    let Some((name, fields)) = default(dictionaries, locale) else {
        return Ok(());
    };
    let list = format!("usr/share/dict/{}", fields["hash-name"]);
    if context.file(&fixed(&list)).is_none() {
        context.warn(format!("the word list `/{list}` of `{}` is not in the image", fields["package"]), None);
        return Ok(());
    }
    let name = name.to_owned();
    context.write(&fixed(&format!("{CACHE}/wordlist-default")), name.as_bytes())?;
    context.link(&fixed("etc/dictionaries-common/words"), &format!("/{list}"))?;
    context.link(&fixed("usr/share/dict/words"), "/etc/dictionaries-common/words")
}

/// The default for a locale; the first by name where none is known.
fn default<'a>(dictionaries: &'a Dictionaries, locale: &str) -> Option<(&'a str, &'a Fields)> {
    let locale = locale.split(['.', '@']).next().unwrap_or_default();
    let locale = if matches!(locale, "" | "C" | "POSIX") { "en" } else { locale };
    let (language, country) = locale.split_once('_').unwrap_or((locale, "UNSET"));
    let own = [format!("{language}_{country}"), format!("{language}_{country}:1"), language.to_owned()];
    let own = own.iter().map(String::as_str).chain([&*format!("{language}:1")]).find_map(|key| of(dictionaries, key));
    let mut keys: Vec<&str> = PACKAGES.iter().map(|(key, _)| *key).collect();
    let speaks =
        |key: &str| key.strip_prefix(language).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', ':']));
    keys.sort_by_key(|key| (!speaks(key), !key.starts_with("en_US"), !key.starts_with("en_"), *key));
    let found = own.or_else(|| keys.into_iter().find_map(|key| of(dictionaries, key)));
    let name = found.or_else(|| dictionaries.keys().min_by_key(|name| name.to_lowercase()).map(String::as_str))?;
    dictionaries.get_key_value(name).map(|(name, fields)| (name.as_str(), fields))
}

/// A dictionary for a key of [`PACKAGES`].
fn of<'a>(dictionaries: &'a Dictionaries, key: &str) -> Option<&'a str> {
    let (_, wanted) = PACKAGES.iter().find(|(known, _)| *known == key)?;
    let (package, variant) = wanted.split_once("->").map_or((*wanted, None), |(name, variant)| (name, Some(variant)));
    SUFFIXES.iter().find_map(|suffix| {
        let package = if package == "miscfiles" { format!("{package}{suffix}") } else { format!("w{package}{suffix}") };
        let fits = |name: &str| variant.is_none_or(|variant| name.to_lowercase().contains(variant));
        let of_package = dictionaries.iter().filter(|(_, fields)| fields["package"] == package);
        // Those for TeX come last.
        let names = of_package.map(|(name, _)| name.as_str()).filter(|name| fits(name));
        names.min_by_key(|name| (name.to_lowercase().contains("tex"), *name))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn installed(packages: &[(&str, &str)]) -> Dictionaries {
        let dictionary = |(name, package): &(&str, &str)| {
            let fields = [("hash-name", "x"), ("package", package)];
            ((*name).to_owned(), fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
        };
        packages.iter().map(dictionary).collect()
    }

    #[test]
    fn the_default_is_that_of_the_locale_or_english() {
        let all = installed(&[
            ("american (American English)", "wamerican"),
            ("british (British English)", "wbritish"),
            ("deutsch (New German)", "wngerman"),
        ]);
        let default = |all: &Dictionaries, locale: &str| default(all, locale).map(|(name, _)| name.to_owned());
        assert_eq!(default(&all, "").as_deref(), Some("american (American English)"));
        assert_eq!(default(&all, "C.UTF-8").as_deref(), Some("american (American English)"));
        assert_eq!(default(&all, "en_GB.UTF-8").as_deref(), Some("british (British English)"));
        assert_eq!(default(&all, "de_AT.UTF-8").as_deref(), Some("deutsch (New German)"));
        assert_eq!(default(&all, "hu_HU").as_deref(), Some("american (American English)"));
        let others = installed(&[("Zulu", "wzulu"), ("afrikaans", "wafrikaans")]);
        assert_eq!(default(&others, "").as_deref(), Some("afrikaans"));
        assert_eq!(default(&Dictionaries::new(), ""), None);
    }

    #[test]
    fn a_record_needs_a_name_and_a_file() {
        let read = parse("Language: a (A)\nHash-Name: a\nEmpty:\n\nLanguage: b\nHash-Name: b's\n").unwrap();
        assert_eq!(read["a (A)"].len(), 1);
        let database = database(&read);
        assert!(database.contains("  'b' => {\n     'hash-name' => 'b\\'s'\n  }\n);\n\n1;\n"), "{database}");
        assert!(parse("Hash-Name: a\n").is_err());
        assert!(parse("Language: a\n").unwrap_err().contains("`a`"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "((Language|Hash-Name|[a-z:]{0,5}): [ -~]{0,10}\n{1,2}){0,8}") {
            let _ = parse(&text);
        }
    }
}
