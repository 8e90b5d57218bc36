//! Two files, or folders of files, byte by byte.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::cause::Cause;

/// Bytes that are shown of either content.
const SHOWN: usize = 24;
/// So much of a file is held to compare it.
const MOST: u64 = 64 << 20;

/// What was read of a file.
pub(crate) struct Contents {
    pub bytes: Vec<u8>,
    pub size: u64,
}

/// Where two contents part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDifference {
    /// The first byte that is not the same, from 0; none when it lies behind what was compared.
    pub offset: Option<u64>,
    /// The lengths.
    pub sizes: (u64, u64),
    /// What stands there, printable.
    pub shown: (String, String),
    /// What it most likely comes from.
    pub cause: Option<Cause>,
}

impl FileDifference {
    pub(crate) fn of(first: &Contents, second: &Contents) -> Self {
        let (a, b) = (&first.bytes, &second.bytes);
        let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let known = common < a.len() || common < b.len();
        let show = |bytes: &[u8]| {
            let from = common.saturating_sub(SHOWN / 3);
            bytes.get(from..bytes.len().min(from + SHOWN)).unwrap_or_default().escape_ascii().to_string()
        };
        Self {
            offset: known.then_some(common as u64),
            sizes: (first.size, second.size),
            shown: (show(a), show(b)),
            cause: if known { Cause::guess(a, b, common) } else { None },
        }
    }
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "differs at byte {offset}: \"{}\", not \"{}\"", self.shown.1, self.shown.0)?,
            None => write!(f, "differs behind its first {} MiB", MOST >> 20)?,
        }
        if self.sizes.0 != self.sizes.1 {
            write!(f, " ({} bytes, not {})", self.sizes.1, self.sizes.0)?;
        }
        Ok(())
    }
}

/// Compares two files, or two folders file by file; each path is relative to both. Links are compared by what they say.
///
/// # Errors
/// When something cannot be read.
pub fn compare_files(first: &Path, second: &Path) -> io::Result<Vec<(PathBuf, String, Option<Cause>)>> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        // Joined with nothing, a path would get a slash at its end, and a file has none.
        let place = |side: &Path| if path.as_os_str().is_empty() { side.to_owned() } else { side.join(&path) };
        let (one, two) = (place(first), place(second));
        let kind = |place: &Path| fs::symlink_metadata(place).map(|found| found.file_type());
        match (kind(&one), kind(&two)) {
            (Ok(a), Ok(b)) if a.is_dir() && b.is_dir() => {
                let names = |place: &Path| -> io::Result<BTreeSet<_>> {
                    fs::read_dir(place)?.map(|entry| Ok(entry?.file_name())).collect()
                };
                let all: BTreeSet<_> = names(&one)?.union(&names(&two)?).cloned().collect();
                todo.extend(all.into_iter().rev().map(|name| path.join(name)));
            }
            (Ok(a), Ok(b)) if a.is_file() && b.is_file() => {
                let (a, b) = (read(&one)?, read(&two)?);
                if a.size != b.size || a.bytes != b.bytes || !rest_is_the_same(&one, &two)? {
                    let difference = FileDifference::of(&a, &b);
                    found.push((path, difference.to_string(), difference.cause));
                }
            }
            (Ok(a), Ok(b)) if a.is_symlink() && b.is_symlink() => {
                if fs::read_link(&one)? != fs::read_link(&two)? {
                    found.push((path, "leads elsewhere".to_owned(), None));
                }
            }
            (Ok(_), Ok(_)) => found.push((path, "is of another kind".to_owned(), None)),
            (Ok(_), Err(_)) => found.push((path, "is missing under this condition".to_owned(), None)),
            (Err(_), Ok(_)) => found.push((path, "is there only under this condition".to_owned(), None)),
            (Err(error), Err(_)) => return Err(error),
        }
    }
    Ok(found)
}

fn read(path: &Path) -> io::Result<Contents> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(Contents { bytes, size })
}

/// Compares what lies behind that which was held.
fn rest_is_the_same(one: &Path, two: &Path) -> io::Result<bool> {
    let open = |path: &Path| -> io::Result<File> {
        let mut file = File::open(path)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(MOST))?;
        Ok(file)
    };
    let (mut a, mut b) = (open(one)?, open(two)?);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    loop {
        first.clear();
        second.clear();
        a.by_ref().take(1 << 20).read_to_end(&mut first)?;
        b.by_ref().take(1 << 20).read_to_end(&mut second)?;
        if first != second || first.is_empty() {
            return Ok(first == second);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folders_are_compared_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        for side in ["a", "b"] {
            let place = folder.path().join(side);
            fs::create_dir_all(place.join("sub")).unwrap();
            fs::write(place.join("same"), "same").unwrap();
            fs::write(place.join("sub/other"), format!("at {side}, 12")).unwrap();
            fs::write(place.join(format!("only-{side}")), "").unwrap();
            symlink(side, place.join("link")).unwrap();
        }
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let found: Vec<String> = compare_files(&a, &b)
            .unwrap()
            .into_iter()
            .map(|(path, what, _)| format!("{} {what}", path.display()))
            .collect();
        assert_eq!(
            found,
            [
                "link leads elsewhere",
                "only-a is missing under this condition",
                "only-b is there only under this condition",
                "sub/other differs at byte 3: \"at b, 12\", not \"at a, 12\"",
            ]
        );
        assert_eq!(compare_files(&a, &a).unwrap(), []);
        assert_eq!(compare_files(&a.join("same"), &b.join("same")).unwrap(), []);
        assert_eq!(compare_files(&a.join("sub/other"), &b.join("sub/other")).unwrap().len(), 1);
        assert!(compare_files(&folder.path().join("c"), &folder.path().join("d")).is_err());
    }
}
