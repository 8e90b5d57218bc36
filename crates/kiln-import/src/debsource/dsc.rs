//! What a source package consists of: its `.dsc`, or its stanza in the archive's `Sources` index.
//!
//! A `.dsc` may be signed by whoever uploaded it. That signature is not looked at: what is trusted is the digest that the
//! archive's signed index gives for the `.dsc`, or the stanza of the index itself.

use std::collections::BTreeSet;

use kiln_model::Digest;

use super::error::SourceError;
use crate::deb::deb822::{Stanza, Stanzas};
use crate::debian::cleartext::Cleartext;

/// One file of a source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name: one component.
    pub name: String,
    /// Its digest.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// How the files make up the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One tarball, or an upstream tarball and one large patch.
    V1,
    /// One tarball.
    Native,
    /// Upstream tarballs, a tarball with `debian/`, and patches in it.
    Quilt,
}

impl Format {
    /// Its name in the field `Format`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::Native => "3.0 (native)",
            Self::Quilt => "3.0 (quilt)",
        }
    }
}

/// A source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How its files make up the source.
    pub format: Format,
    /// Its files, without the `.dsc`.
    pub files: Vec<SourceFile>,
}

impl SourcePackage {
    /// Reads a `.dsc`, signed or not.
    ///
    /// # Errors
    /// When it is not one, or its format is not known.
    pub fn parse(bytes: &[u8]) -> Result<Self, SourceError> {
        let signed;
        let text = if bytes.starts_with(b"-----BEGIN ") {
            signed = Cleartext::parse(bytes).map_err(SourceError::Cleartext)?;
            signed.text().as_bytes()
        } else {
            bytes
        };
        let mut stanzas = Stanzas::from_bytes(text).map_err(SourceError::Control)?;
        let first = stanzas.next().transpose().map_err(SourceError::Control)?;
        match (first, stanzas.next()) {
            (Some(stanza), None) => Self::from_stanza(&stanza),
            _ => Err(SourceError::Field("it must be one stanza".into())),
        }
    }

    /// Takes it from a stanza: of a `.dsc`, or of `Sources`, where the name's field is `Package`.
    ///
    /// # Errors
    /// When a field is missing or makes no sense, or the format is not known.
    pub fn from_stanza(stanza: &Stanza<'_>) -> Result<Self, SourceError> {
        let field = |name: &str| {
            let value = stanza.get(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| SourceError::Field(format!("it has no `{name}`")))
        };
        let format = match stanza.get("Format").unwrap_or("1.0") {
            "1.0" => Format::V1,
            "3.0 (native)" => Format::Native,
            "3.0 (quilt)" => Format::Quilt,
            other => return Err(SourceError::Format(other.escape_debug().to_string())),
        };
        field("Checksums-Sha256")?;
        let files = stanza.lines("Checksums-Sha256").map(file).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<_> = files.iter().map(|file| &file.name).collect();
        if names.len() != files.len() {
            return Err(SourceError::Field("it names a file twice".into()));
        }
        Ok(Self {
            name: field("Source").or_else(|_| field("Package"))?.to_owned(),
            version: field("Version")?.to_owned(),
            format,
            files: files.into_iter().filter(|file| !file.name.ends_with(".dsc")).collect(),
        })
    }
}

fn file(line: &str) -> Result<SourceFile, SourceError> {
    let fault = || SourceError::Field(format!("`{}` is not a sha256, a length and a name", line.escape_debug()));
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [sha256, size, name] = words[..] else { return Err(fault()) };
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_' | b'~');
    let named = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && name.bytes().all(fits);
    match (sha256.parse(), size.parse()) {
        (Ok(sha256), Ok(size)) if named => Ok(SourceFile { name: name.to_owned(), sha256, size }),
        _ => Err(fault()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn dsc(format: &str, file: &str) -> String {
        format!(
            "Format: {format}\nSource: a\nVersion: 1-1\nChecksums-Sha256:\n {DIGEST} 12 {file}\n {DIGEST} 3 a_1-1.debian.tar.xz\n"
        )
    }

    #[test]
    fn reads_a_description_signed_or_not() {
        let plain = dsc("3.0 (quilt)", "a_1.orig.tar.gz");
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{plain}\n-----BEGIN PGP SIGNATURE-----\n\nabc=\n-----END PGP SIGNATURE-----\n"
        );
        let package = SourcePackage::parse(plain.as_bytes()).unwrap();
        assert_eq!(package, SourcePackage::parse(signed.as_bytes()).unwrap());
        assert_eq!((package.format, package.files.len(), package.files[0].size), (Format::Quilt, 2, 12));
        assert!(SourcePackage::parse(&signed.as_bytes()[..signed.len() - 60]).is_err(), "half a signature");
    }

    #[test]
    fn takes_it_from_the_index_too() {
        let text = dsc("1.0", "a_1-1.dsc").replace("Source:", "Package:");
        let package = SourcePackage::from_stanza(&Stanzas::new(&text).next().unwrap().unwrap()).unwrap();
        assert_eq!((package.name.as_str(), package.files.len()), ("a", 1), "the description itself is left out");
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(matches!(SourcePackage::parse(dsc("3.0 (git)", "x").as_bytes()), Err(SourceError::Format(_))));
        for bad in ["../x", "/etc/x", ".x", "a b", "-x", "a_1-1.debian.tar.xz"] {
            let error = SourcePackage::parse(dsc("1.0", bad).as_bytes()).unwrap_err();
            assert!(matches!(error, SourceError::Field(_)), "{bad}: {error}");
        }
        assert!(SourcePackage::parse(b"").is_err());
        assert!(SourcePackage::parse(b"Source: a\nVersion: 1\n").is_err());
        assert!(SourcePackage::parse(dsc("1.0", "x").replace(" 12 ", " -12 ").as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(Format|Source|Version|Checksums-Sha256|-----BEGIN PGP|: |\n| |1.0|[a-f0-9]{1,64}){0,30}") {
            if let Ok(package) = SourcePackage::parse(text.as_bytes()) {
                prop_assert!(package.files.iter().all(|file| !file.name.contains('/')));
            }
        }
    }
}
