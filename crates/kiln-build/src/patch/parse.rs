//! Reading unified diffs, as `diff -u` and `git diff` write them. Bytes in, values out.

use kiln_model::TreePath;

use super::change::{Change, FilePatch, Hunk, Line, LineKind, Mode};

/// Why bytes are not a patch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    line: usize,
    what: String,
}

impl ParseError {
    pub(super) fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

type Result<T> = std::result::Result<T, ParseError>;

struct Reader<'a> {
    lines: Vec<&'a [u8]>,
    at: usize,
    /// A patch whose own header lines end in CR LF was sent through something that did that to every line.
    strip_cr: bool,
}

/// Reads a patch: every file it changes, in order. Text around the diffs is skipped.
///
/// # Errors
/// When a diff in it is broken or of a kind that is not understood, or when there is none.
pub fn parse(patch: &[u8]) -> Result<Vec<FilePatch>> {
    let lines: Vec<&[u8]> = patch.split_inclusive(|byte| *byte == b'\n').collect();
    let strip_cr =
        lines.iter().any(|l| (l.starts_with(b"--- ") || l.starts_with(b"diff --git ")) && l.ends_with(b"\r\n"));
    let mut reader = Reader { lines, at: 0, strip_cr };
    let mut changes = Vec::new();
    while let Some(line) = reader.peek() {
        if line.starts_with(b"diff --git ") {
            changes.push(reader.git_file()?);
        } else if line.starts_with(b"--- ") && reader.line(1).is_some_and(|next| next.starts_with(b"+++ ")) {
            changes.push(reader.plain_file()?);
        } else if line.starts_with(b"*** ") && reader.line(1).is_some_and(|next| next.starts_with(b"--- ")) {
            return Err(reader.error("is a context diff; make a unified one with `diff -u`"));
        } else if hunk_range(line).is_some() {
            return Err(reader.error("a hunk without `---` and `+++` lines before it"));
        } else {
            reader.at += 1;
        }
    }
    if changes.is_empty() {
        return Err(ParseError::new(1, "there is no unified diff in it"));
    }
    Ok(changes)
}

impl<'a> Reader<'a> {
    fn line(&self, ahead: usize) -> Option<&'a [u8]> {
        self.lines.get(self.at + ahead).copied()
    }

    fn peek(&self) -> Option<&'a [u8]> {
        self.line(0)
    }

    fn error(&self, what: impl Into<String>) -> ParseError {
        ParseError::new(self.at + 1, what)
    }

    fn name(&self, text: &[u8]) -> Result<Option<TreePath>> {
        let text = unquote(text).ok_or_else(|| self.error("a quoted name that does not end"))?;
        if text == b"/dev/null" {
            return Ok(None);
        }
        let text = String::from_utf8(text).map_err(|_| self.error("a file name that is not UTF-8"))?;
        let stripped = match text.split_once('/') {
            Some((_, rest)) if !text.starts_with('/') => rest.trim_start_matches('/'),
            _ => {
                return Err(
                    self.error(format!("`{text}` has no first folder to take off; make the patch with `-p1` paths"))
                );
            }
        };
        let path = stripped.parse::<TreePath>().map_err(|error| self.error(error.to_string()))?;
        if path.is_root() {
            return Err(self.error("an empty file name"));
        }
        Ok(Some(path))
    }

    /// A name of Git's `rename from` and the like, which has no first folder.
    fn bare_name(&self, text: &[u8]) -> Result<TreePath> {
        let mut prefixed = b"a/".to_vec();
        prefixed.extend(unquote(text).ok_or_else(|| self.error("a quoted name that does not end"))?);
        self.name(&prefixed)?.ok_or_else(|| self.error("an empty file name"))
    }

    fn plain_file(&mut self) -> Result<FilePatch> {
        let line = self.at + 1;
        let (old, old_is_epoch) = self.header()?;
        let (new, new_is_epoch) = self.header()?;
        let hunks = self.hunks()?;
        if hunks.is_empty() {
            return Err(self.error("a `+++` line without a hunk after it"));
        }
        let change = if old.is_none() { Change::Create } else { Change::Modify };
        Ok(FilePatch { line, old, new, change, old_mode: None, new_mode: None, old_is_epoch, new_is_epoch, hunks })
    }

    /// A `---` or `+++` line: the name, and whether its time is the epoch.
    fn header(&mut self) -> Result<(Option<TreePath>, bool)> {
        let text = trim_end(&self.peek().unwrap_or_default()[4..]);
        let (name, time) = match text.iter().position(|byte| *byte == b'\t') {
            Some(tab) if text[0] != b'"' => (&text[..tab], &text[tab + 1..]),
            _ => (text, &b""[..]),
        };
        let name = self.name(name)?;
        self.at += 1;
        Ok((name, is_epoch(time)))
    }

    fn git_file(&mut self) -> Result<FilePatch> {
        let line = self.at + 1;
        let both = trim_end(&self.peek().unwrap_or_default()[b"diff --git ".len()..]);
        let mut file = FilePatch {
            line,
            old: None,
            new: None,
            change: Change::Modify,
            old_mode: None,
            new_mode: None,
            old_is_epoch: false,
            new_is_epoch: false,
            hunks: Vec::new(),
        };
        let header_line = self.at;
        self.at += 1;
        let (mut from, mut to, mut copies, mut named) = (None, None, false, false);
        while let Some(raw) = self.peek() {
            let text = trim_end(raw);
            let after = |prefix: &str| text.strip_prefix(prefix.as_bytes());
            if let Some(mode) = after("old mode ").or_else(|| after("deleted file mode ")) {
                file.old_mode = Some(self.mode(mode)?);
                if text.starts_with(b"deleted") {
                    file.change = Change::Delete;
                }
            } else if let Some(mode) = after("new mode ").or_else(|| after("new file mode ")) {
                file.new_mode = Some(self.mode(mode)?);
                if text.starts_with(b"new file") {
                    file.change = Change::Create;
                }
            } else if let Some(name) = after("rename from ").or_else(|| after("copy from ")) {
                copies = text.starts_with(b"copy");
                from = Some(self.bare_name(name)?);
            } else if let Some(name) = after("rename to ").or_else(|| after("copy to ")) {
                to = Some(self.bare_name(name)?);
            } else if let Some(index) = after("index ") {
                // The mode of a file whose mode stays comes after the two object names.
                if let Some(mode) = index.split(|byte| *byte == b' ').nth(1) {
                    file.old_mode = Some(self.mode(mode)?);
                }
            } else if text.starts_with(b"similarity index ") || text.starts_with(b"dissimilarity index ") {
            } else if text.starts_with(b"GIT binary patch") || text.starts_with(b"Binary files ") {
                return Err(self.error("a binary change, which Kiln cannot apply; ship the file as a source instead"));
            } else if raw.starts_with(b"--- ") && self.line(1).is_some_and(|next| next.starts_with(b"+++ ")) {
                (file.old, _) = self.header()?;
                (file.new, _) = self.header()?;
                file.hunks = self.hunks()?;
                named = true;
                break;
            } else {
                break;
            }
            self.at += 1;
        }
        match (from, to) {
            (Some(from), Some(to)) => {
                (file.old, file.new) = (Some(from.clone()), Some(to.clone()));
                file.change = if copies { Change::Copy { from, to } } else { Change::Rename { from, to } };
            }
            (None, None) => {}
            _ => return Err(ParseError::new(line, "a rename or copy with only one name")),
        }
        if !named && file.source().is_none() {
            // Only the first line has the names, which are the same there; a name with a blank makes that ambiguous.
            self.at = header_line;
            let (old, new) = split_names(both).ok_or_else(|| self.error("names that cannot be told apart"))?;
            (file.old, file.new) = (self.name(&old)?, self.name(&new)?);
            while self.at == header_line || self.peek().is_some_and(is_extended) {
                self.at += 1;
            }
        }
        let does_nothing = file.hunks.is_empty() && file.change == Change::Modify && file.new_mode.is_none();
        if does_nothing {
            return Err(ParseError::new(line, "a diff without any change"));
        }
        Ok(file)
    }

    fn mode(&self, text: &[u8]) -> Result<Mode> {
        let text = std::str::from_utf8(text).unwrap_or_default();
        let mode = u32::from_str_radix(text, 8).map(Mode).map_err(|_| self.error("a mode that is not octal"))?;
        match mode.0 & 0o170_000 {
            0o100_000 | 0o120_000 => Ok(mode),
            0o160_000 => Err(self.error("a change of a submodule, which Kiln cannot apply")),
            _ => Err(self.error("a mode that is neither a file's nor a link's")),
        }
    }

    fn hunks(&mut self) -> Result<Vec<Hunk>> {
        let mut hunks = Vec::new();
        while let Some((old_start, old, new)) = self.peek().and_then(hunk_range) {
            hunks.push(self.hunk(old_start, old, new)?);
        }
        if self.peek().is_some_and(|line| line.starts_with(b"@@ ")) {
            return Err(self.error("a hunk whose `@@` line is broken"));
        }
        Ok(hunks)
    }

    fn hunk(&mut self, old_start: usize, mut old: usize, mut new: usize) -> Result<Hunk> {
        let first = self.at;
        self.at += 1;
        let mut lines: Vec<Line> = Vec::new();
        while old > 0 || new > 0 {
            let Some(raw) = self.peek() else {
                return Err(ParseError::new(first + 1, "a hunk that ends before its `@@` line says"));
            };
            let (kind, body) = match raw {
                [b' ', body @ ..] => (LineKind::Context, body),
                [b'-', body @ ..] => (LineKind::Remove, body),
                [b'+', body @ ..] => (LineKind::Add, body),
                // Mail programs cut blanks off the ends of lines.
                b"\n" | b"\r\n" => (LineKind::Context, raw),
                [b'\\', ..] => {
                    self.no_newline(&mut lines)?;
                    continue;
                }
                _ => return Err(self.error("neither context nor a change, inside a hunk")),
            };
            let count = |left: &mut usize| {
                *left =
                    left.checked_sub(1).ok_or_else(|| self.error("one line more than the hunk's `@@` line says"))?;
                Ok(())
            };
            if kind != LineKind::Add {
                count(&mut old)?;
            }
            if kind != LineKind::Remove {
                count(&mut new)?;
            }
            let mut bytes = body.to_vec();
            if self.strip_cr && bytes.ends_with(b"\r\n") {
                bytes.truncate(bytes.len() - 2);
                bytes.push(b'\n');
            }
            if !bytes.ends_with(b"\n") {
                // The patch file's own last line lacks its end; that the file's does too would be said with `\`.
                bytes.push(b'\n');
            }
            lines.push(Line { kind, bytes });
            self.at += 1;
        }
        while self.peek().is_some_and(|line| line.starts_with(b"\\")) {
            self.no_newline(&mut lines)?;
        }
        let text = self.lines[first..self.at].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(Hunk { patch_line: first + 1, old_start, lines, text })
    }

    fn no_newline(&mut self, lines: &mut [Line]) -> Result<()> {
        match lines.last_mut() {
            Some(line) if line.bytes.ends_with(b"\n") => {
                line.bytes.pop();
                self.at += 1;
                Ok(())
            }
            _ => Err(self.error("`\\ No newline` without a line before it")),
        }
    }
}

fn is_extended(line: &[u8]) -> bool {
    const STARTS: [&str; 7] =
        ["old mode ", "new mode ", "new file mode ", "deleted file mode ", "index ", "similarity ", "dissimilarity "];
    STARTS.iter().any(|start| line.starts_with(start.as_bytes()))
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// `@@ -START[,COUNT] +START[,COUNT] @@...`: the old start and both counts.
fn hunk_range(line: &[u8]) -> Option<(usize, usize, usize)> {
    let text = line.strip_prefix(b"@@ -")?;
    let end = text.windows(3).position(|w| w == b" @@")?;
    let (old, new) = std::str::from_utf8(&text[..end]).ok()?.split_once(" +")?;
    let range = |text: &str| -> Option<(usize, usize)> {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        let number = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse().ok())?;
        Some((number(start)?, number(count)?))
    };
    let ((old_start, old), (_, new)) = (range(old)?, range(new)?);
    Some((old_start, old, new))
}

/// Takes Git's quotes off: `"a/\303\244"`.
fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = text.strip_prefix(b"\"") else { return Some(text.to_vec()) };
    let mut out = Vec::new();
    let mut bytes = quoted.iter().copied();
    loop {
        match bytes.next()? {
            b'"' => return bytes.next().is_none().then_some(out),
            b'\\' => out.push(match bytes.next()? {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'a' => 7,
                b'b' => 8,
                b'f' => 12,
                b'v' => 11,
                first @ b'0'..=b'3' => {
                    let digit = |byte: u8| matches!(byte, b'0'..=b'7').then(|| byte - b'0');
                    digit(first)? << 6 | digit(bytes.next()?)? << 3 | digit(bytes.next()?)?
                }
                other @ (b'"' | b'\\') => other,
                _ => return None,
            }),
            other => out.push(other),
        }
    }
}

/// Splits `a/NAME b/NAME`, both the same but for their first folder.
fn split_names(both: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let below = |name: &[u8]| name.iter().position(|byte| *byte == b'/').map(|slash| name[slash..].to_vec());
    let blanks = both.iter().enumerate().filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
    let mut found = None;
    for at in blanks {
        let (Some(old), Some(new)) = (unquote(&both[..at]), unquote(&both[at + 1..])) else { continue };
        if below(&old).is_some() && below(&old) == below(&new) {
            if found.is_some() {
                return None;
            }
            found = Some((old, new));
        }
    }
    found
}

/// Is this `diff`'s way to say the epoch, in whichever zone?
fn is_epoch(time: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(time) else { return false };
    let mut parts = text.split_whitespace();
    let (Some(date), Some(clock), Some(zone)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let day: i64 = match date {
        "1970-01-01" => 0,
        "1969-12-31" => -86400,
        _ => return false,
    };
    let mut numbers = clock.split([':', '.']).map(str::parse::<i64>);
    let mut number = || numbers.next().and_then(std::result::Result::ok).filter(|n| (0..=999_999_999).contains(n));
    let (Some(hours), Some(minutes), Some(seconds)) = (number(), number(), number()) else { return false };
    if hours > 23 || minutes > 59 || seconds > 60 || number().is_some_and(|fraction| fraction != 0) {
        return false;
    }
    let Some(offset) = zone.parse::<i64>().ok().filter(|offset| offset.abs() <= 2400) else { return false };
    day + hours * 3600 + minutes * 60 + seconds == (offset / 100) * 3600 + (offset % 100) * 60
}
