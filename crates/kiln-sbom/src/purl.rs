//! Package URLs: how a package is named across tools.
//!
//! A mirror is only transport, so none is ever part of one.

use std::fmt;

use kiln_model::{Architecture, ArchiveKind, Digest};
use packageurl::PackageUrl;
use serde::Serialize;

/// A package URL in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Purl(String);

/// A package of a distribution.
#[derive(Debug, Clone, Copy)]
pub struct DistroPackage<'a> {
    /// What kind of archive it is from.
    pub kind: ArchiveKind,
    /// The distribution: `debian`.
    pub distribution: &'a str,
    /// The suite or release: `trixie`, `v3.22`, `42`.
    pub suite: &'a str,
    /// The package's name.
    pub name: &'a str,
    /// Its version in the archive's own form.
    pub version: &'a str,
    /// What it is built for; none when it runs on all.
    pub architecture: Option<Architecture>,
}

impl Purl {
    /// A package of a distribution; none for what is no package of one.
    #[must_use]
    pub fn of_distribution(package: &DistroPackage<'_>) -> Option<Self> {
        let DistroPackage { kind, distribution, suite, name, version, architecture } = *package;
        let vendor = distribution.to_ascii_lowercase();
        match kind {
            ArchiveKind::Deb => {
                let architecture = architecture.map_or("all", Architecture::as_str);
                make("deb", Some(&vendor), name, Some(version), &[("arch", architecture), ("distro", suite)])
            }
            ArchiveKind::Apk => {
                let distro = format!("{vendor}-{}", suite.strip_prefix('v').unwrap_or(suite));
                let architecture = architecture.map_or("noarch", machine);
                make("apk", Some(&vendor), name, Some(version), &[("arch", architecture), ("distro", &distro)])
            }
            ArchiveKind::Rpm => {
                let distro = format!("{vendor}-{suite}");
                let architecture = architecture.map_or("noarch", machine);
                let (epoch, version) = version.split_once(':').unwrap_or(("", version));
                let qualifiers = [("arch", architecture), ("distro", &distro), ("epoch", epoch)];
                make("rpm", Some(&vendor), name, Some(version), &qualifiers)
            }
            ArchiveKind::Oci => None,
        }
    }

    /// The source package of a package of a distribution; none where the distribution has no such name for it.
    #[must_use]
    pub fn of_source(kind: ArchiveKind, distribution: &str, suite: &str, name: &str, version: &str) -> Option<Self> {
        let vendor = distribution.to_ascii_lowercase();
        match kind {
            ArchiveKind::Deb => {
                make("deb", Some(&vendor), name, Some(version), &[("arch", "source"), ("distro", suite)])
            }
            ArchiveKind::Rpm => {
                let distro = format!("{vendor}-{suite}");
                let (epoch, version) = version.split_once(':').unwrap_or(("", version));
                let qualifiers = [("arch", "src"), ("distro", &distro), ("epoch", epoch)];
                make("rpm", Some(&vendor), name, Some(version), &qualifiers)
            }
            // An origin of Alpine's packages is a name of its build system, of which there is no package to point to.
            ArchiveKind::Apk | ArchiveKind::Oci => None,
        }
    }

    /// An image of a registry, by its manifest and, where that is known, the repository: `HOST/PATH`.
    #[must_use]
    pub fn of_image(name: &str, manifest: &Digest, architecture: Architecture, place: Option<&str>) -> Option<Self> {
        let last = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        let qualifiers = [("arch", architecture.as_str()), ("repository_url", place.unwrap_or_default())];
        make("oci", None, &last, Some(&manifest.to_string()), &qualifiers)
    }

    /// What no index knows: a package that was built here, or a source. `from` says where it is: a URL and the digest of what
    /// is there, or a Git repository and the commit.
    #[must_use]
    pub fn generic(name: &str, version: Option<&str>, from: &Location<'_>) -> Option<Self> {
        match from {
            Location::Unknown => make("generic", None, name, version, &[]),
            Location::Archive { url, sha256 } => {
                let qualifiers = [("checksum", &*sha256.to_string()), ("download_url", url)];
                make("generic", None, name, version, &qualifiers)
            }
            Location::Git { url, commit } => {
                let url = format!("git+{url}@{commit}");
                make("generic", None, name, version, &[("vcs_url", &url)])
            }
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where something without an index is from.
#[derive(Debug, Clone, Copy)]
pub enum Location<'a> {
    /// Nowhere that one thing could name.
    Unknown,
    /// An archive.
    Archive {
        /// Its address.
        url: &'a str,
        /// What is there.
        sha256: Digest,
    },
    /// A Git repository.
    Git {
        /// Its address.
        url: &'a str,
        /// The commit.
        commit: &'a str,
    },
}

/// The kernel's name of an architecture, which Alpine and RPM use.
fn machine(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Amd64 => "x86_64",
        Architecture::Arm64 => "aarch64",
    }
}

fn make(
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    version: Option<&str>,
    qualifiers: &[(&str, &str)],
) -> Option<Purl> {
    let mut purl = PackageUrl::new(kind.to_owned(), name.to_owned()).ok()?;
    if let Some(namespace) = namespace {
        purl.with_namespace(namespace.to_owned()).ok()?;
    }
    if let Some(version) = version {
        purl.with_version(version.to_owned()).ok()?;
    }
    for (key, value) in qualifiers.iter().filter(|(_, value)| !value.is_empty()) {
        purl.add_qualifier((*key).to_owned(), (*value).to_owned()).ok()?;
    }
    Some(Purl(purl.to_string()))
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: ArchiveKind, distribution: &str, suite: &str, name: &str, version: &str) -> String {
        let architecture = Some(Architecture::Amd64);
        Purl::of_distribution(&DistroPackage { kind, distribution, suite, name, version, architecture })
            .unwrap()
            .to_string()
    }

    #[test]
    fn packages_of_distributions_are_named_as_their_kind_is() {
        assert_eq!(
            of(ArchiveKind::Deb, "debian", "trixie", "libc6", "2.41-12"),
            "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=trixie"
        );
        assert_eq!(
            of(ArchiveKind::Apk, "alpine", "v3.22", "musl", "1.2.5-r10"),
            "pkg:apk/alpine/musl@1.2.5-r10?arch=x86_64&distro=alpine-3.22"
        );
        assert_eq!(
            of(ArchiveKind::Rpm, "fedora", "42", "dbus-libs", "1:1.16.0-3.fc42"),
            "pkg:rpm/fedora/dbus-libs@1.16.0-3.fc42?arch=x86_64&distro=fedora-42&epoch=1"
        );
    }

    #[test]
    fn what_has_a_meaning_in_a_purl_is_escaped() {
        assert_eq!(
            of(ArchiveKind::Deb, "debian", "trixie", "libstdc++6", "1:14.2.0-19+b1~bpo@x#y?z"),
            "pkg:deb/debian/libstdc%2B%2B6@1:14.2.0-19%2Bb1~bpo%40x%23y%3Fz?arch=amd64&distro=trixie"
        );
        let from = Location::Archive { url: "https://example.org/a b/c?d&e", sha256: Digest::of(b"") };
        let purl = Purl::generic("a", Some("1"), &from).unwrap().to_string();
        assert!(purl.ends_with("&download_url=https:%2F%2Fexample.org%2Fa%20b%2Fc%3Fd%26e"), "{purl}");
        let from = Location::Git { url: "https://example.org/a.git", commit: "abc" };
        let purl = Purl::generic("a", None, &from).unwrap().to_string();
        assert_eq!(purl, "pkg:generic/a?vcs_url=git%2Bhttps:%2F%2Fexample.org%2Fa.git%40abc");
    }

    #[test]
    fn an_image_is_named_by_its_manifest() {
        let digest = Digest::of(b"");
        let purl = Purl::of_image("Library/Debian", &digest, Architecture::Arm64, Some("example.org/library/debian"));
        let place = "repository_url=example.org%2Flibrary%2Fdebian";
        assert_eq!(purl.unwrap().as_str(), format!("pkg:oci/debian@{digest}?arch=arm64&{place}"));
    }
}
