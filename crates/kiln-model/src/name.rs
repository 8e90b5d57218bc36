//! Names that come from people and archives, each checked once, on the way in. Cheap to clone: a lock holds the same
//! few hundred names a hundred thousand times.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a name of that kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {rule}")]
pub struct NameError {
    text: String,
    what: &'static str,
    rule: &'static str,
}

impl NameError {
    fn new(text: &str, what: &'static str, rule: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), what, rule }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if text.len() <= 200 && check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError::new(text, $what, $rule))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $rule })
            }
        }
    };
}

fn starts_alphanumeric(text: &str, rest: fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric()) && bytes.all(|b| b.is_ascii_alphanumeric() || rest(b))
}

name! {
    /// An origin's name in `kiln.yaml`, for example `debian`.
    OriginName, "an origin's name", "lower-case letters, digits and `-`, beginning with a letter",
    |t| t.starts_with(|c: char| c.is_ascii_lowercase())
        && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
name! {
    /// A package's name, of a recipe or of an archive.
    PackageName, "a package's name", "letters, digits and `+ - . _`, beginning with a letter or digit",
    |t| starts_alphanumeric(t, |b| matches!(b, b'+' | b'-' | b'.' | b'_'))
}
name! {
    /// An image's name: also the name of its output files and repositories, so lower-case.
    ImageName, "an image's name", "lower-case letters, digits and `- . _`, beginning with a letter or digit",
    |t| starts_alphanumeric(t, |b| matches!(b, b'-' | b'.' | b'_')) && !t.bytes().any(|b| b.is_ascii_uppercase())
}
name! {
    /// A recipe's option.
    OptionName, "an option's name", "lower-case letters, digits and `- _`, beginning with a letter or digit",
    |t| starts_alphanumeric(t, |b| matches!(b, b'-' | b'_')) && !t.bytes().any(|b| b.is_ascii_uppercase())
}
name! {
    /// A part of a package, for example `doc`.
    PartName, "a part's name", "lower-case letters, digits and `- _`, beginning with a letter or digit",
    |t| starts_alphanumeric(t, |b| matches!(b, b'-' | b'_')) && !t.bytes().any(|b| b.is_ascii_uppercase())
}
name! {
    /// A user or group, by the strict rule of systemd. Debian has some with capitals, such as `Debian-exim`.
    AccountName, "a user's or group's name", "letters, digits and `- _`, beginning with a letter or `_`, at most 31",
    |t| t.len() <= 31 && t.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// A machine architecture, under Debian's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Architecture {
    /// Every supported architecture.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The architecture this program was built for.
    #[must_use]
    pub const fn native() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }

    /// Debian's name, which is also the OCI (Go) name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The multiarch tuple that names library folders.
    #[must_use]
    pub const fn multiarch(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Architecture {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL
            .into_iter()
            .find(|a| a.as_str() == text)
            .ok_or_else(|| NameError::new(text, "an architecture", "one of `amd64`, `arm64`"))
    }
}

/// A package as a project refers to it: `nginx` is the project's own recipe, `debian:libc6` a package of the origin
/// `debian`, `debian:@essential` every package that the archive marks `Essential: yes`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackageRef {
    /// A recipe of this project.
    Recipe(PackageName),
    /// A package of an origin.
    Origin(OriginName, PackageName),
    /// The Essential set of an origin.
    Essential(OriginName),
}

impl PackageRef {
    /// The origin, if the package is not the project's own.
    #[must_use]
    pub fn origin(&self) -> Option<&OriginName> {
        match self {
            Self::Recipe(_) => None,
            Self::Origin(origin, _) | Self::Essential(origin) => Some(origin),
        }
    }
}

impl FromStr for PackageRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Ok(match text.split_once(':') {
            None => Self::Recipe(text.parse()?),
            Some((origin, "@essential")) => Self::Essential(origin.parse()?),
            Some((origin, name)) => Self::Origin(origin.parse()?, name.parse()?),
        })
    }
}

impl fmt::Display for PackageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recipe(name) => name.fmt(f),
            Self::Origin(origin, name) => write!(f, "{origin}:{name}"),
            Self::Essential(origin) => write!(f, "{origin}:@essential"),
        }
    }
}

impl fmt::Debug for PackageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl Serialize for PackageRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PackageRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for PackageRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PackageRef".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "`NAME` for a recipe of this project, `ORIGIN:NAME` for a package of an origin, `ORIGIN:@essential` for its Essential set"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_on_the_way_in() {
        for good in ["libstdc++6", "0ad", "python3.13", "g++-14", "R_x"] {
            assert_eq!(good.parse::<PackageName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a b", "a/b", "..", "a:b", "ä"] {
            assert!(bad.parse::<PackageName>().is_err(), "{bad}");
        }
        assert!("Web".parse::<ImageName>().is_err());
        assert!("_apt".parse::<AccountName>().is_ok());
        assert!("Debian-exim".parse::<AccountName>().is_ok());
        assert!("9p".parse::<AccountName>().is_err());
    }

    #[test]
    fn references_round_trip() {
        for text in ["nginx", "debian:libc6", "debian:@essential"] {
            assert_eq!(text.parse::<PackageRef>().unwrap().to_string(), text);
        }
        assert!("debian:".parse::<PackageRef>().is_err());
        assert!("@essential".parse::<PackageRef>().is_err());
    }
}
