//! What a system is told of where it is: its language and its time zone. Both go into files of the image, a line or a link,
//! so both are checked when they are read.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;

/// A locale, as locale(7) names it: `de_DE.UTF-8`, `C.UTF-8`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(extend("pattern" = "^[A-Za-z0-9_.@-]+$"))]
pub struct Locale(String);

/// A time zone: a path below `/usr/share/zoneinfo`, `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(extend("pattern" = "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"))]
pub struct TimeZone(String);

impl FromStr for Locale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@' | b'-');
        // `..` and `.` would be paths of the C library's.
        if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(fits) && text.len() <= 64 {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{}` is no locale: write `C.UTF-8`, or `de_DE.UTF-8`", text.escape_debug()))
    }
}

impl FromStr for TimeZone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-');
        if text.len() <= 64 && text.split('/').all(|part| !part.is_empty() && part.bytes().all(fits)) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{}` is no time zone: write `Etc/UTC`, or `Europe/Berlin`", text.escape_debug()))
    }
}

impl Locale {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TimeZone {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_file_are_refused() {
        for good in ["C", "POSIX", "C.UTF-8", "de_DE.UTF-8@euro"] {
            assert_eq!(good.parse::<Locale>().unwrap().as_str(), good);
        }
        for bad in ["", "de DE", "a\nb", "../x", "$(x)", "."] {
            assert!(bad.parse::<Locale>().is_err(), "{bad}");
        }
        for good in ["UTC", "Etc/GMT+1", "America/Argentina/Buenos_Aires"] {
            assert_eq!(good.parse::<TimeZone>().unwrap().as_str(), good);
        }
        for bad in ["", "/UTC", "Europe/", "../etc/passwd", "a b"] {
            assert!(bad.parse::<TimeZone>().is_err(), "{bad}");
        }
    }
}
