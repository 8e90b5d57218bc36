//! `control.tar`: what a package says of itself, and the hooks it came with.

use std::collections::BTreeSet;
use std::io::{BufRead, Read};

use kiln_archive::tree::{StoreError, store};
use kiln_archive::{Kind, Limits, ReadError, tar};
use kiln_model::ObjectSink;
use kiln_model::package::Hook;

use super::Control;
use super::error::DebError;

/// No file of a `control.tar` that is read whole comes near this.
const MAX_TEXT: u64 = 4 << 20;

/// What `control.tar` holds.
pub(super) struct ControlMembers {
    pub(super) control: Control,
    pub(super) conffiles: BTreeSet<String>,
    pub(super) hooks: Vec<Hook>,
}

/// Reads `control.tar`. Hooks become objects; none is ever run.
pub(super) fn read(
    member: &str,
    reader: impl Read,
    objects: &dyn ObjectSink,
    limits: &Limits,
) -> Result<ControlMembers, DebError> {
    let fault = |source: ReadError| DebError::read(format!("`{member}`"), source);
    let mut tar = tar::Reader::new(reader, limits);
    let (mut control, mut conffiles, mut hooks) = (None, BTreeSet::new(), Vec::<Hook>::new());
    while let Some(entry) = tar.next_entry().map_err(fault)? {
        let name = entry.path.as_str();
        if entry.kind == Kind::Directory {
            continue;
        }
        if entry.kind != Kind::File || name.contains('/') {
            return Err(DebError::Structure(format!("`{member}` holds `{name}`, a {}", entry.kind.name())));
        }
        match name {
            "control" => {
                let text = text(&mut tar, entry.size, "control").map_err(|e| e.unwrap_or_else(fault))?;
                let parsed = Control::parse(&text).map_err(|source| DebError::Control { file: "control", source })?;
                let why = || "it must be one stanza".to_owned();
                control = Some(parsed.ok_or_else(|| DebError::Field { file: "control", why: why() })?);
            }
            "conffiles" => {
                let text = text(&mut tar, entry.size, "conffiles").map_err(|e| e.unwrap_or_else(fault))?;
                conffiles = parse_conffiles(&text)?;
            }
            // What Kiln knows better from the tree itself, or dpkg-shlibdeps wants at build time.
            "md5sums" | "sha256sums" | "shlibs" | "symbols" => {}
            _ => {
                let object = store(&mut tar, entry.size, objects).map_err(|error| match error {
                    StoreError::Read(source) => fault(source.into()),
                    StoreError::Object(source) => DebError::Object { what: name.to_owned(), source },
                })?;
                hooks.retain(|hook| hook.name != name);
                hooks.push(Hook { name: name.to_owned(), object, size: entry.size });
            }
        }
    }
    hooks.sort();
    let control = control.ok_or_else(|| DebError::Structure(format!("`{member}` has no `control`")))?;
    Ok(ControlMembers { control, conffiles, hooks })
}

/// Either an error of ours, or one of reading that the caller names.
enum TextError {
    Ours(DebError),
    Read(ReadError),
}

impl TextError {
    fn unwrap_or_else(self, name: impl FnOnce(ReadError) -> DebError) -> DebError {
        match self {
            Self::Ours(error) => error,
            Self::Read(error) => name(error),
        }
    }
}

fn text(tar: &mut impl BufRead, size: u64, file: &'static str) -> Result<Vec<u8>, TextError> {
    if size > MAX_TEXT {
        return Err(TextError::Ours(DebError::Field { file, why: format!("it has {size} bytes, far too many") }));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    tar.read_to_end(&mut bytes).map_err(|error| TextError::Read(error.into()))?;
    Ok(bytes)
}

/// One absolute path a line. A line may begin with the flag `remove-on-upgrade`: that file is not in the package.
fn parse_conffiles(bytes: &[u8]) -> Result<BTreeSet<String>, DebError> {
    let fault = |why: String| DebError::Field { file: "conffiles", why };
    let text = std::str::from_utf8(bytes).map_err(|_| fault("it is not UTF-8".into()))?;
    let mut all = BTreeSet::new();
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if line.starts_with('/') {
            let path = kiln_model::TreePath::from_absolute(line).map_err(|error| fault(error.to_string()))?;
            all.insert(crate::payload::below_usr(&path).to_string());
        } else if !line.starts_with("remove-on-upgrade ") {
            return Err(fault(format!("`{}` is neither a path nor a known flag", line.escape_debug())));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conffiles_are_absolute_paths() {
        let all = parse_conffiles(b"/etc/a\n\n/lib/b \nremove-on-upgrade /etc/gone\n").unwrap();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), ["/etc/a", "/usr/lib/b"]);
        assert!(parse_conffiles(b"etc/a\n").is_err());
        assert!(parse_conffiles(b"/etc/../a\n").is_err());
        assert!(parse_conffiles(b"\xff\n").is_err());
    }
}
