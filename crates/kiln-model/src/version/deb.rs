//! The order of Debian versions (Debian Policy 5.6.12).
//!
//! [`compare`] is total: any two texts have an order, so an index with an odd version in it still sorts. [`check`]
//! tells whether a text is a version at all, for what people write.

use std::cmp::Ordering;

/// Why a text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a version: {why}")]
pub struct VersionError {
    text: String,
    why: &'static str,
}

/// Checks that `text` is `[epoch:]upstream[-revision]`.
///
/// # Errors
/// When it is not.
pub fn check(text: &str) -> Result<(), VersionError> {
    let fault = |why| Err(VersionError { text: text.chars().take(80).collect(), why });
    let parts = split(text);
    if text.contains(':') && (parts.epoch.is_empty() || !parts.epoch.bytes().all(|b| b.is_ascii_digit())) {
        return fault("what is before the `:` must be a number");
    }
    if !parts.upstream.starts_with(|c: char| c.is_ascii_digit()) {
        return fault("it must begin with a digit");
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'~');
    if !parts.upstream.bytes().all(|b| allowed(b) || b == b':') || !parts.revision.bytes().all(allowed) {
        return fault("only letters, digits and `. + - ~ :` are allowed");
    }
    if text.ends_with('-') {
        return fault("there is nothing after the last `-`");
    }
    Ok(())
}

struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

fn split(text: &str) -> Parts<'_> {
    let (epoch, rest) = text.split_once(':').unwrap_or(("", text));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    Parts { epoch, upstream, revision }
}

/// Compares two versions as `dpkg` does.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (left, right) = (split(a), split(b));
    digits(left.epoch.as_bytes(), right.epoch.as_bytes())
        .then_with(|| part(left.upstream, right.upstream))
        .then_with(|| part(left.revision, right.revision))
}

/// Two runs of digits as numbers, of any length.
fn digits(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |digits: &[u8]| digits.iter().take_while(|&&b| b == b'0').count();
    let (a, b) = (&a[strip(a)..], &b[strip(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Where a character of the non-digit part sorts: `~` before the end, the end before letters, letters before the rest.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None | Some(b'0'..=b'9') => 0,
        Some(b'~') => -1,
        Some(&b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(&b) => i32::from(b) + 256,
    }
}

fn part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let is_text = |byte: Option<&u8>| byte.is_some_and(|b| !b.is_ascii_digit());
    while !a.is_empty() || !b.is_empty() {
        while is_text(a.first()) || is_text(b.first()) {
            let order = weight(a.first()).cmp(&weight(b.first()));
            if order.is_ne() {
                return order;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let run = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
        let (a_run, b_run) = (run(a), run(b));
        let order = digits(&a[..a_run], &b[..b_run]);
        if order.is_ne() {
            return order;
        }
        (a, b) = (&a[a_run..], &b[b_run..]);
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn orders_as_the_policy_says() {
        let ascending = [
            "0~~", "0~~a", "0~", "0", "0a", "0+", "1.0~rc1", "1.0", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0.1", "1.2",
            "1.10", "1:0", "2:0~",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        for (a, b) in [("1.0", "0:1.0"), ("1.0", "1.0-0"), ("1.00", "1.0"), ("01", "1")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
        let long = "9".repeat(50);
        assert_eq!(compare(&long, &format!("1{}", "0".repeat(50))), Ordering::Less);
    }

    #[test]
    fn tells_what_is_no_version() {
        for good in ["1", "1.0-1", "2:1.0~rc1+dfsg-0.1", "1-2-3", "1:2:3-4"] {
            check(good).unwrap();
        }
        for bad in ["", "a", ":1", "x:1", "1_0", "1.0-", "1 ", "-1"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn is_a_total_order_on_any_text(a in ".{0,12}", b in "[0-9a-z.~+:-]{0,8}", c in "[0-9a-z.~+:-]{0,8}") {
            for (x, y) in [(&a, &b), (&b, &c), (&a, &c)] {
                prop_assert_eq!(compare(x, y), compare(y, x).reverse());
                prop_assert_eq!(compare(x, x), Ordering::Equal);
            }
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }
    }
}
