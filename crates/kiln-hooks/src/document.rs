//! Here-documents before expansions on one line, which the parser does not read as a shell does.
//!
//! Of `cat << EOF > "${folder}/file"` it takes `folder` for the file: what stands in `${...}` and `$(...)` behind the operator
//! of a here-document gets lost. Where the rest of the line belongs to the same command the operator can as well stand at its
//! end; where it does not, the script is not read.

use std::borrow::Cow;

/// The same script with such operators at the ends of their lines.
///
/// # Errors
/// When that would be another script.
pub(crate) fn at_ends_of_lines(text: &str) -> Result<Cow<'_, str>, String> {
    let may_be = |line: &str| line.find("<<").is_some_and(|at| line[at..].contains("${") || line[at..].contains("$("));
    if !text.lines().any(may_be) {
        return Ok(Cow::Borrowed(text));
    }
    let (mut out, mut quote, mut tags) = (String::with_capacity(text.len()), None, Vec::new());
    for line in text.split_inclusive('\n') {
        if let Some(Tag { word, tabs }) = tags.first() {
            let bare = line.trim_end_matches('\n');
            if (if *tabs { bare.trim_start_matches('\t') } else { bare }) == word {
                tags.remove(0);
            }
            out.push_str(line);
            continue;
        }
        let scanned = scan(line, &mut quote);
        let first = scanned.operators.first().map(|operator| operator.start);
        let expands = first.is_some_and(|at| line[at..].contains("${") || line[at..].contains("$("));
        match (&scanned.operators[..], expands) {
            (_, false) => out.push_str(line),
            ([operator], true) if !scanned.ends_command && quote.is_none() => {
                out.push_str(&line[..operator.start]);
                out.push_str(line[operator.end..].trim_end_matches('\n'));
                out.push(' ');
                out.push_str(&line[operator.start..operator.end]);
                out.push_str(&line[line.trim_end_matches('\n').len()..]);
            }
            _ => return Err("a here-document before an expansion of the same line is not read".to_owned()),
        }
        tags.extend(scanned.operators.into_iter().map(|operator| operator.tag));
    }
    Ok(Cow::Owned(out))
}

/// What ends a document.
struct Tag {
    word: String,
    /// May tabs stand before it?
    tabs: bool,
}

/// `<<TAG` in a line.
struct Operator {
    start: usize,
    end: usize,
    tag: Tag,
}

struct Scanned {
    operators: Vec<Operator>,
    /// Does something behind the first operator end its command?
    ends_command: bool,
}

/// Looks through a line, which may begin within quotes.
fn scan(line: &str, quote: &mut Option<char>) -> Scanned {
    let bytes = line.as_bytes();
    let mut scanned = Scanned { operators: Vec::new(), ends_command: false };
    // Parentheses and braces of expansions, in which nothing ends the command around them.
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at).copied() {
        let next = bytes.get(at + 1).copied();
        match (*quote, byte) {
            (Some('\''), b'\'') | (Some('"'), b'"') => *quote = None,
            (Some('\''), _) => {}
            (_, b'\\') => at += 1,
            (Some(_), _) => {}
            (None, b'\'') => *quote = Some('\''),
            (None, b'"') => *quote = Some('"'),
            (None, b'#') if at == 0 || bytes[at - 1].is_ascii_whitespace() => break,
            (None, b'$') if matches!(next, Some(b'(' | b'{')) => {
                depth += 1;
                at += 1;
            }
            (None, b')' | b'}') if depth > 0 => depth -= 1,
            (None, b'<') if next == Some(b'<') && bytes.get(at + 2) != Some(&b'<') && depth == 0 => {
                if let Some(operator) = operator(line, at) {
                    at = operator.end - 1;
                    scanned.operators.push(operator);
                }
            }
            // `>&2` and `&>` are of the command itself.
            (None, b'&') if at > 0 && matches!(bytes[at - 1], b'>' | b'<') => {}
            (None, b';' | b'|' | b'&' | b'(' | b')' | b'}') if depth == 0 => {
                scanned.ends_command |= !scanned.operators.is_empty();
            }
            (None, _) => {}
        }
        at += 1;
    }
    scanned
}

/// The operator that begins here, with its word.
fn operator(line: &str, start: usize) -> Option<Operator> {
    let after = &line[start + 2..];
    let tabs = after.starts_with('-');
    let after = after.strip_prefix('-').unwrap_or(after);
    let blank = after.len() - after.trim_start_matches([' ', '\t']).len();
    let word = &after[blank..];
    let length = match word.chars().next()? {
        mark @ ('\'' | '"') => word[1..].find(mark)? + 2,
        _ => word.find(|c: char| c.is_ascii_whitespace() || ";|&<>()".contains(c)).unwrap_or(word.len()),
    };
    let end = start + 2 + usize::from(tabs) + blank + length;
    let word: String = word[..length].chars().filter(|c| !matches!(c, '\'' | '"' | '\\')).collect();
    (!word.is_empty()).then_some(Operator { start, end, tag: Tag { word, tabs } })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_operator_goes_to_the_end_of_its_line() {
        for (before, after) in [
            ("cat << EOF > \"${a}/b\"\nx\nEOF\n", "cat  > \"${a}/b\" << EOF\nx\nEOF\n"),
            ("cat <<-'E' > $(f)/a 2>&1\nx\n\tE\ny", "cat  > $(f)/a 2>&1 <<-'E'\nx\n\tE\ny"),
            ("cat > ${a} << E\nx\nE\n", "cat > ${a} << E\nx\nE\n"),
        ] {
            assert_eq!(at_ends_of_lines(before).unwrap(), after);
        }
    }

    #[test]
    fn documents_quotes_and_comments_are_left_as_they_are() {
        for text in [
            "cat << E\ncat << F > ${a}\nE\n",
            "echo 'cat << F > ${a}'\n",
            "echo \"\ncat << F > ${a}\n\"\n",
            "# it's << F ${a}\n",
            "cat << E; echo a\nx\nE\necho ${b}\n",
        ] {
            assert_eq!(at_ends_of_lines(text).unwrap(), text, "{text}");
        }
    }

    #[test]
    fn what_would_be_another_script_is_refused() {
        for text in ["cat << E | sed \"s/${a}/b/\"\nE\n", "cat << A > x; cat << B > ${y}\nA\nB\n"] {
            assert!(at_ends_of_lines(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn lines_keep_their_number_and_their_words(text in "[a<>$(){}\"' \n;|&E-]{0,60}") {
            if let Ok(moved) = at_ends_of_lines(&text) {
                prop_assert_eq!(moved.lines().count(), text.lines().count());
                let sorted = |text: &str| {
                    let mut c: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
                    c.sort_unstable();
                    c
                };
                prop_assert_eq!(sorted(&moved), sorted(&text));
            }
        }
    }
}
