//! The catalogs of SGML: `/etc/sgml/catalog` names every `/etc/sgml/*.cat` that leads to catalogs that exist, as
//! `update-catalog --update-super` of sgml-base writes it. ISO 8879, OASIS technical resolution 9401.

use kiln_model::TreePath;

use super::{FinalizeContext, FinalizeError, fixed};

const FOLDER: &str = "etc/sgml";
const SUPER: &str = "var/lib/sgml-base/supercatalog";
const HEAD: &str = "--\n## This file is created by update-catalog with update-super.\n\
                    ## Please see update-catalog(8) for how to modify this file.\n--\n";

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    if context.file(&fixed("usr/sbin/update-catalog")).is_none() {
        return Ok(());
    }
    let mut text = HEAD.to_owned();
    for name in context.names(&fixed(FOLDER)) {
        let path = fixed(&format!("{FOLDER}/{name}"));
        if !name.starts_with('.') && name.len() > ".cat".len() && name.ends_with(".cat") && is_whole(context, &path)? {
            text.push_str(&format!("CATALOG {path}\n"));
        }
    }
    context.write(&fixed(SUPER), text.as_bytes())?;
    context.link(&fixed("etc/sgml/catalog"), "/var/lib/sgml-base/supercatalog")
}

/// Is every catalog there that the one at `path` names?
fn is_whole(context: &mut FinalizeContext<'_>, path: &TreePath) -> Result<bool, FinalizeError> {
    let Some(bytes) = context.read(path)? else {
        return Ok(false);
    };
    let folder = path.parent().unwrap_or_default().to_string();
    for named in named_catalogs(&String::from_utf8_lossy(&bytes), &folder) {
        let there = TreePath::from_absolute(&named).ok().and_then(|path| context.file(&path));
        if there.is_none() {
            context.warn(format!("`{path}` names the catalog `{named}`, which is not in the image"), None);
            return Ok(false);
        }
    }
    Ok(true)
}

/// The catalogs that a catalog names: `CATALOG file`, relative to the last `BASE folder`.
fn named_catalogs(text: &str, folder: &str) -> Vec<String> {
    let (mut base, mut named, mut keyword) = (folder.to_owned(), Vec::new(), String::new());
    for token in Tokens(text) {
        let literal = ["\"", "'"].iter().find_map(|quote| token.strip_prefix(quote)?.strip_suffix(quote));
        let value = literal.unwrap_or(token);
        match std::mem::take(&mut keyword).as_str() {
            "base" => base = value.to_owned(),
            "catalog" if value.starts_with('/') => named.push(value.to_owned()),
            "catalog" => named.push(format!("{base}/{value}")),
            _ => keyword = token.to_ascii_lowercase(),
        }
    }
    named
}

/// The tokens of a catalog: words and literals, without blanks and `-- comments --`.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self.0.trim_start();
            match self.0.strip_prefix("--").and_then(|comment| comment.split_once("--")) {
                Some((_, after)) => self.0 = after,
                None => break,
            }
        }
        let quote = self.0.chars().next()?;
        let end = match quote {
            '"' | '\'' => self.0[1..].find(quote).map(|at| at + 2),
            _ => None,
        };
        let end = end.or_else(|| self.0.find(char::is_whitespace)).unwrap_or(self.0.len());
        let (token, after) = self.0.split_at(end);
        self.0 = after;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_catalogs_that_one_names() {
        let text = "-- CATALOG no --\nCATALOG /usr/a\ncatalog \"b c\" BASE '/usr/share'\nPUBLIC \"-//X CATALOG y\" z\nCATALOG d";
        assert_eq!(named_catalogs(text, "/etc/sgml"), ["/usr/a", "/etc/sgml/b c", "/usr/share/d"]);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(\\PC|[ \n\"'-]|--|CATALOG ){0,60}") {
            let _ = named_catalogs(&text, "/etc/sgml");
        }
    }
}
