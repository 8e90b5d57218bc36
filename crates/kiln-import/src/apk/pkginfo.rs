//! The control section: `.PKGINFO`, what a package says of itself, and its scripts.

use std::io::Read;

use kiln_archive::{Kind, Limits, ReadError, tar};
use kiln_model::package::Hook;
use kiln_model::{Digest, ObjectSink};

use super::error::ApkError;

/// The name under which a package's trigger paths are kept among its hooks: one a line.
const TRIGGERS: &str = "triggers";

/// The scripts that a control section may have.
const SCRIPTS: [&str; 7] =
    [".pre-install", ".post-install", ".pre-upgrade", ".post-upgrade", ".pre-deinstall", ".post-deinstall", ".trigger"];

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PkgInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, in Alpine's words.
    pub architecture: String,
    /// The package whose build it came out of, where that has another name.
    pub source: Option<String>,
    /// What it needs, and after `!` what it cannot be with.
    pub depends: Vec<String>,
    /// Names it also answers to.
    pub provides: Vec<String>,
    /// Whose files it may overwrite.
    pub replaces: Vec<String>,
    /// Who goes before when two may overwrite each other's: the higher.
    pub replaces_priority: u32,
    /// Paths whose change starts its trigger script.
    pub triggers: Vec<String>,
    /// The digest of the data section.
    pub datahash: Digest,
}

impl PkgInfo {
    /// Reads a `.PKGINFO`: lines of `KEY = VALUE`, a key as often as it has values.
    ///
    /// # Errors
    /// When what every package has is missing, or the data section is not named.
    pub fn parse(bytes: &[u8]) -> Result<Self, ApkError> {
        let fault = |field, why: &str| ApkError::Field { field, why: why.to_owned() };
        let text = std::str::from_utf8(bytes).map_err(|_| fault(".PKGINFO", "it is not UTF-8"))?;
        let values = |key: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
            let all = lines.filter(|(found, _)| found.trim() == key).map(|(_, value)| value.trim().to_owned());
            all.filter(|value| !value.is_empty()).collect()
        };
        let words = |key: &str| -> Vec<String> {
            values(key).iter().flat_map(|value| value.split_ascii_whitespace()).map(str::to_owned).collect()
        };
        let one = |key: &'static str| {
            let mut all = values(key);
            match all.len() {
                1 => Ok(all.remove(0)),
                0 => Err(fault(key, "it is not there")),
                _ => Err(fault(key, "it is there more than once")),
            }
        };
        let (name, version) = (one("pkgname")?, one("pkgver")?);
        if version.bytes().any(|b| !b.is_ascii_graphic() || b == b'/') {
            return Err(fault("pkgver", "it is no version"));
        }
        let datahash = one("datahash")?;
        let priority = values("replaces_priority");
        let replaces_priority = match priority.first() {
            None => 0,
            Some(text) => text.parse().map_err(|_| fault("replaces_priority", "it is not a number"))?,
        };
        Ok(Self {
            source: values("origin").into_iter().next().filter(|source| *source != name),
            name,
            version,
            architecture: one("arch")?,
            depends: words("depend"),
            provides: words("provides"),
            replaces: words("replaces"),
            replaces_priority,
            triggers: words("triggers"),
            datahash: datahash.parse().map_err(|_| fault("datahash", "it is not a SHA-256"))?,
        })
    }
}

/// Gives each file of a control section, `.PKGINFO` first.
fn members(decoded: &[u8], mut take: impl FnMut(&str, Vec<u8>) -> Result<(), ApkError>) -> Result<(), ApkError> {
    let fault = |source: ReadError| ApkError::Read { part: "control section", source };
    let limits = Limits { entries: 64, ..Limits::default() };
    let mut tar = tar::Reader::new(decoded, &limits);
    let mut first = true;
    while let Some(entry) = tar.next_entry().map_err(fault)? {
        let name = entry.path.as_str();
        let expected = if first { name == ".PKGINFO" } else { SCRIPTS.contains(&name) };
        if entry.kind != Kind::File || !expected {
            return Err(ApkError::Structure(format!("its control section has `{name}`, a {}", entry.kind.name())));
        }
        first = false;
        let mut bytes = Vec::new();
        tar.read_to_end(&mut bytes).map_err(|error| fault(error.into()))?;
        take(name, bytes)?;
    }
    if first { Err(ApkError::Structure("it has no `.PKGINFO`".to_owned())) } else { Ok(()) }
}

/// Reads what a control section says, and nothing else of it.
pub(super) fn parse_control(decoded: &[u8]) -> Result<PkgInfo, ApkError> {
    let mut info = None;
    members(decoded, |name, bytes| {
        if name == ".PKGINFO" {
            info = Some(PkgInfo::parse(&bytes)?);
        }
        Ok(())
    })?;
    info.ok_or_else(|| ApkError::Structure("it has no `.PKGINFO`".to_owned()))
}

/// Reads a control section. Scripts become objects; none is ever run.
pub(super) fn read_control(decoded: &[u8], objects: &dyn ObjectSink) -> Result<(PkgInfo, Vec<Hook>), ApkError> {
    let mut info = None;
    let mut hooks: Vec<Hook> = Vec::new();
    let hook = |name: &str, bytes: &[u8]| {
        let object = objects.put(bytes).map_err(|source| ApkError::Object { what: name.to_owned(), source })?;
        Ok::<_, ApkError>(Hook { name: name.to_owned(), object, size: bytes.len() as u64 })
    };
    members(decoded, |name, bytes| {
        if name == ".PKGINFO" {
            let parsed = PkgInfo::parse(&bytes)?;
            if !parsed.triggers.is_empty() {
                hooks.push(hook(TRIGGERS, (parsed.triggers.join("\n") + "\n").as_bytes())?);
            }
            info = Some(parsed);
        } else if hooks.iter().any(|hook| hook.name == name) {
            return Err(ApkError::Structure(format!("it has `{name}` twice")));
        } else {
            hooks.push(hook(name, &bytes)?);
        }
        Ok(())
    })?;
    hooks.sort();
    let info = info.ok_or_else(|| ApkError::Structure("it has no `.PKGINFO`".to_owned()))?;
    Ok((info, hooks))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_key_that_means_something_here() {
        let text = format!(
            "# made by abuild\npkgname = a\npkgver = 1.0-r0\narch = x86_64\norigin = b\ndepend = c>1 so:d\ndepend = !e\nprovides = f=1\nreplaces = g\nreplaces_priority = 5\ntriggers = /bin /usr/bin\ndatahash = {}\nurl = x=y\n",
            "ab".repeat(32)
        );
        let info = PkgInfo::parse(text.as_bytes()).unwrap();
        assert_eq!((&*info.name, &*info.version, info.source.as_deref()), ("a", "1.0-r0", Some("b")));
        assert_eq!(info.depends, ["c>1", "so:d", "!e"]);
        assert_eq!((info.provides.len(), info.replaces.len(), info.replaces_priority), (1, 1, 5));
        assert_eq!(info.triggers, ["/bin", "/usr/bin"]);
        for (line, field) in
            [("pkgname = a\n", "pkgname"), ("arch = x86_64\n", "arch"), ("pkgver = 1.0-r0\n", "pkgver")]
        {
            let error = PkgInfo::parse(text.replace(line, "").as_bytes()).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
        let twice = format!("{text}pkgname = z\n");
        assert!(PkgInfo::parse(twice.as_bytes()).unwrap_err().to_string().contains("more than once"));
        assert!(PkgInfo::parse(text.replace("datahash", "hash").as_bytes()).is_err(), "unnamed data is not believed");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = PkgInfo::parse(&bytes);
            let _ = parse_control(&bytes);
        }
    }
}
