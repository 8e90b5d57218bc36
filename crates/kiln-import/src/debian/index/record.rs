//! One package as an index keeps it: the fields that resolving and fetching need.
//!
//! On disk a record is a list of fields in the order of [`Record::encode`]: each text is its length as a LEB128 number
//! and its bytes, each number LEB128, the digest 32 bytes.

use kiln_model::Digest;

use crate::deb::deb822::Stanza;

/// What a package says of its use by packages of other architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MultiArch {
    /// Nothing.
    #[default]
    No,
    /// Versions for several architectures may be there at once.
    Same,
    /// It serves packages of every architecture.
    Foreign,
    /// It serves packages of other architectures that ask with `:any`.
    Allowed,
}

/// How important a package is to the distribution; the greater the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Conflicts with others, or of little use.
    Extra,
    /// The normal case.
    #[default]
    Optional,
    /// Part of a reasonable small system.
    Standard,
    /// Expected on every Unix.
    Important,
    /// Needed for the system to work.
    Required,
}

/// A binary package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture: `all`, or the name of one.
    pub architecture: String,
    /// Its use by other architectures.
    pub multi_arch: MultiArch,
    /// Does the distribution take for granted that it is there?
    pub essential: bool,
    /// Its importance.
    pub priority: Priority,
    /// The source package's name and version.
    pub source: (String, String),
    /// `Pre-Depends`
    pub pre_depends: String,
    /// `Depends`
    pub depends: String,
    /// `Recommends`
    pub recommends: String,
    /// `Provides`
    pub provides: String,
    /// `Conflicts`
    pub conflicts: String,
    /// `Breaks`
    pub breaks: String,
    /// `Replaces`
    pub replaces: String,
    /// Its path below the mirror's folder.
    pub path: String,
    /// Its size.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

impl Record {
    /// Takes it from a stanza of `Packages`; the error is the field that is missing or wrong.
    ///
    /// # Errors
    /// When a field that every package has is missing or makes no sense.
    pub fn from_stanza(stanza: &Stanza<'_>) -> Result<Self, &'static str> {
        let text = |field: &str| stanza.get(field).unwrap_or_default().to_owned();
        let needed = |field: &'static str| stanza.get(field).filter(|v| !v.is_empty()).map(str::to_owned).ok_or(field);
        let (name, version) = (needed("Package")?, needed("Version")?);
        let source = match stanza.get("Source").map(str::trim) {
            None | Some("") => (name.clone(), version.clone()),
            Some(source) => match source.split_once(" (") {
                Some((source, rest)) => (source.to_owned(), rest.trim_end_matches(')').to_owned()),
                None => (source.to_owned(), version.clone()),
            },
        };
        let path = needed("Filename")?;
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '?', '#', '%']);
        if path.contains(char::is_control) || !path.strip_prefix("./").unwrap_or(&path).split('/').all(plain) {
            return Err("Filename");
        }
        Ok(Self {
            architecture: needed("Architecture")?,
            multi_arch: match stanza.get("Multi-Arch").unwrap_or_default() {
                "same" => MultiArch::Same,
                "foreign" => MultiArch::Foreign,
                "allowed" => MultiArch::Allowed,
                _ => MultiArch::No,
            },
            essential: stanza.get("Essential") == Some("yes"),
            priority: match stanza.get("Priority").unwrap_or_default() {
                "required" => Priority::Required,
                "important" => Priority::Important,
                "standard" => Priority::Standard,
                "extra" => Priority::Extra,
                _ => Priority::Optional,
            },
            source,
            pre_depends: text("Pre-Depends"),
            depends: text("Depends"),
            recommends: text("Recommends"),
            provides: text("Provides"),
            conflicts: text("Conflicts"),
            breaks: text("Breaks"),
            replaces: text("Replaces"),
            path,
            size: stanza.get("Size").and_then(|size| size.parse().ok()).ok_or("Size")?,
            sha256: stanza.get("SHA256").and_then(|digest| digest.parse().ok()).ok_or("SHA256")?,
            name,
            version,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let flags = self.multi_arch as u64 | u64::from(self.essential) << 2 | (self.priority as u64) << 3;
        number(out, flags);
        number(out, self.size);
        out.extend_from_slice(self.sha256.as_bytes());
        for field in [
            &self.name,
            &self.version,
            &self.architecture,
            &self.source.0,
            &self.source.1,
            &self.path,
            &self.pre_depends,
            &self.depends,
            &self.recommends,
            &self.provides,
            &self.conflicts,
            &self.breaks,
            &self.replaces,
        ] {
            text(out, field);
        }
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let flags = take_number(from)?;
        let size = take_number(from)?;
        let (digest, rest) = from.split_first_chunk::<32>()?;
        let sha256 = Digest::from_bytes(*digest);
        *from = rest;
        let record = Self {
            multi_arch: [MultiArch::No, MultiArch::Same, MultiArch::Foreign, MultiArch::Allowed]
                [usize::try_from(flags & 3).ok()?],
            essential: flags & 4 != 0,
            priority: *[
                Priority::Extra,
                Priority::Optional,
                Priority::Standard,
                Priority::Important,
                Priority::Required,
            ]
            .get(usize::try_from(flags >> 3).ok()?)?,
            size,
            sha256,
            name: take_text(from)?,
            version: take_text(from)?,
            architecture: take_text(from)?,
            source: (take_text(from)?, take_text(from)?),
            path: take_text(from)?,
            pre_depends: take_text(from)?,
            depends: take_text(from)?,
            recommends: take_text(from)?,
            provides: take_text(from)?,
            conflicts: take_text(from)?,
            breaks: take_text(from)?,
            replaces: take_text(from)?,
        };
        from.is_empty().then_some(record)
    }
}

pub(super) fn number(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

pub(super) fn text(out: &mut Vec<u8>, value: &str) {
    number(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

pub(super) fn take_number(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(super) fn take_text(from: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(take_number(from)?).ok()?;
    let (bytes, rest) = from.split_at_checked(len)?;
    *from = rest;
    String::from_utf8(bytes.to_vec()).ok()
}
