//! The list of the distribution's patches: `debian/patches/series`.

use kiln_model::TreePath;

use super::error::SourceError;

/// The patches of a list in their order, as paths below `debian/patches`. A blank and `#` begin a comment; the one option
/// that may follow a name is `-p1`, which is how every patch is applied.
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Vec<TreePath>, SourceError> {
    let fault = |line: usize, why: String| SourceError::Series { file: file.to_owned(), line, why };
    let text = std::str::from_utf8(bytes).map_err(|_| fault(1, "the file is not UTF-8".into()))?;
    let mut patches = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line.match_indices('#').find(|(at, _)| *at == 0 || line[..*at].ends_with([' ', '\t']));
        let line = comment.map_or(line, |(at, _)| &line[..at]);
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        if let Some(option) = words.find(|option| *option != "-p1") {
            return Err(fault(number, format!("the option `{}` is not supported", option.escape_debug())));
        }
        let path: TreePath =
            name.parse().map_err(|error: kiln_model::path::PathError| fault(number, error.to_string()))?;
        if path.is_root() || patches.contains(&path) {
            return Err(fault(number, format!("`{}` cannot be applied twice", name.escape_debug())));
        }
        patches.push(path);
    }
    Ok(patches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_comments_and_the_one_option() {
        let list = parse("series", b"# first\na.patch\n\n  sub/b.diff -p1  # why\nc#d\n").unwrap();
        assert_eq!(list.iter().map(TreePath::as_str).collect::<Vec<_>>(), ["a.patch", "sub/b.diff", "c#d"]);
    }

    #[test]
    fn refuses_other_options_and_other_places() {
        for (bad, line) in [("a\nb -p0", 2), ("../x", 1), ("/etc/x", 1), ("a\n\na", 3), ("a -R", 1)] {
            match parse("series", bad.as_bytes()) {
                Err(SourceError::Series { line: found, .. }) => assert_eq!(found, line, "{bad}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
        assert!(parse("series", b"\xff").is_err());
    }
}
