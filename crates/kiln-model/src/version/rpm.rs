//! The order of RPM's versions: `[epoch:]version[-release]`, as `rpmvercmp` has it (rpm-version(7)).
//!
//! A version is cut into runs of digits and runs of letters; whatever else stands between them only separates. Digits come
//! after letters and after nothing, a longer version after one that it begins with; but `~` sorts before everything, even
//! the end, and `^` after the end and before anything else.

use std::cmp::Ordering;

/// The parts of `[epoch:]version[-release]`. No epoch is 0; no release is none.
#[must_use]
pub fn split(text: &str) -> (&str, &str, Option<&str>) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (epoch, rest) = match text[digits..].strip_prefix(':') {
        Some(rest) => (if digits == 0 { "0" } else { &text[..digits] }, rest),
        None => ("0", text),
    };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

/// Compares two versions in full: one without a release comes before those that have one.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let ((a_epoch, a_version, a_release), (b_epoch, b_version, b_release)) = (split(a), split(b));
    let release = || match (a_release, b_release) {
        (Some(a), Some(b)) => compare_part(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    compare_part(a_epoch, b_epoch).then_with(|| compare_part(a_version, b_version)).then_with(release)
}

/// Compares two versions as a relation does: a release counts only where both have one.
#[must_use]
pub fn compare_as_relation(a: &str, b: &str) -> Ordering {
    let ((a_epoch, a_version, a_release), (b_epoch, b_version, b_release)) = (split(a), split(b));
    let release = || match (a_release, b_release) {
        (Some(a), Some(b)) => compare_part(a, b),
        _ => Ordering::Equal,
    };
    compare_part(a_epoch, b_epoch).then_with(|| compare_part(a_version, b_version)).then_with(release)
}

/// `rpmvercmp`: compares two versions, or two releases.
#[must_use]
pub fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let separates = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'~' | b'^');
    loop {
        a = &a[a.iter().take_while(|byte| separates(byte)).count()..];
        b = &b[b.iter().take_while(|byte| separates(byte)).count()..];
        match (a.first(), b.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                (a, b) = (&a[1..], &b[1..]);
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), Some(_)) => return Ordering::Less,
            (Some(_), Some(b'^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() != y.is_ascii_digit() => {
                return x.is_ascii_digit().cmp(&y.is_ascii_digit());
            }
            (Some(x), Some(_)) => {
                let of_kind = if x.is_ascii_digit() { u8::is_ascii_digit } else { u8::is_ascii_alphabetic };
                let (x, a_rest) = a.split_at(a.iter().take_while(|byte| of_kind(byte)).count());
                let (y, b_rest) = b.split_at(b.iter().take_while(|byte| of_kind(byte)).count());
                let order = if x[0].is_ascii_digit() { number(x).cmp(&number(y)) } else { x.cmp(y) };
                if order.is_ne() {
                    return order;
                }
                (a, b) = (a_rest, b_rest);
            }
        }
    }
}

/// A number of any length: how many digits it has without leading zeros, and those.
fn number(digits: &[u8]) -> (usize, &[u8]) {
    let digits = &digits[digits.iter().take_while(|digit| **digit == b'0').count()..];
    (digits.len(), digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The cases of rpm's own test suite (`tests/rpmvercmp.at`).
    const KNOWN: &[(&str, &str, i8)] = &[
        ("1.0", "1.0", 0),
        ("1.0", "2.0", -1),
        ("2.0", "1.0", 1),
        ("2.0.1", "2.0.1", 0),
        ("2.0", "2.0.1", -1),
        ("2.0.1", "2.0", 1),
        ("2.0.1a", "2.0.1a", 0),
        ("2.0.1a", "2.0.1", 1),
        ("2.0.1", "2.0.1a", -1),
        ("5.5p1", "5.5p1", 0),
        ("5.5p1", "5.5p2", -1),
        ("5.5p10", "5.5p10", 0),
        ("5.5p1", "5.5p10", -1),
        ("5.5p10", "5.5p1", 1),
        ("10xyz", "10.1xyz", -1),
        ("10.1xyz", "10xyz", 1),
        ("xyz10", "xyz10", 0),
        ("xyz10", "xyz10.1", -1),
        ("xyz.4", "xyz.4", 0),
        ("xyz.4", "8", -1),
        ("8", "xyz.4", 1),
        ("xyz.4", "2", -1),
        ("5.5p2", "5.6p1", -1),
        ("5.6p1", "6.5p1", -1),
        ("6.0.rc1", "6.0", 1),
        ("6.0", "6.0.rc1", -1),
        ("10b2", "10a1", 1),
        ("10a2", "10b2", -1),
        ("1.0aa", "1.0aa", 0),
        ("1.0a", "1.0aa", -1),
        ("10.0001", "10.0001", 0),
        ("10.0001", "10.1", 0),
        ("10.1", "10.0001", 0),
        ("10.0001", "10.0039", -1),
        ("4.999.9", "5.0", -1),
        ("20101121", "20101121", 0),
        ("20101121", "20101122", -1),
        ("2_0", "2_0", 0),
        ("2.0", "2_0", 0),
        ("a", "a", 0),
        ("a+", "a+", 0),
        ("a+", "a_", 0),
        ("+a", "+a", 0),
        ("+a", "_a", 0),
        ("+_", "+_", 0),
        ("_+", "+_", 0),
        ("+", "_", 0),
        ("1.0~rc1", "1.0~rc1", 0),
        ("1.0~rc1", "1.0", -1),
        ("1.0", "1.0~rc1", 1),
        ("1.0~rc1", "1.0~rc2", -1),
        ("1.0~rc1~git123", "1.0~rc1~git123", 0),
        ("1.0~rc1~git123", "1.0~rc1", -1),
        ("1.0^", "1.0^", 0),
        ("1.0^", "1.0", 1),
        ("1.0", "1.0^", -1),
        ("1.0^git1", "1.0^git1", 0),
        ("1.0^git1", "1.0", 1),
        ("1.0^git1", "1.0^git2", -1),
        ("1.0^git1", "1.01", -1),
        ("1.0^20160101", "1.0^20160101", 0),
        ("1.0^20160101", "1.0.1", -1),
        ("1.0^20160101^git1", "1.0^20160101^git1", 0),
        ("1.0^20160102", "1.0^20160101^git1", 1),
        ("1.0~rc1^git1", "1.0~rc1^git1", 0),
        ("1.0~rc1^git1", "1.0~rc1", 1),
        ("1.0^git1~pre", "1.0^git1~pre", 0),
        ("1.0^git1", "1.0^git1~pre", 1),
        ("1b.fc17", "1b.fc17", 0),
        ("1b.fc17", "1.fc17", -1),
        ("1g.fc17", "1.fc17", 1),
        ("1.1.α", "1.1.α", 0),
        ("1.1.α", "1.1.β", 0),
        ("1.1.", "1.1", 0),
    ];

    #[test]
    fn orders_as_rpm_does() {
        for (a, b, order) in KNOWN {
            assert_eq!(compare_part(a, b), order.cmp(&0), "{a} {b}");
            assert_eq!(compare_part(b, a), 0.cmp(order), "{b} {a}");
        }
    }

    #[test]
    fn epochs_come_first_and_releases_last() {
        for (a, b) in [("1.0-2", "1.0-10"), ("2.0-9", "1:1.0-1"), ("1:9-1", "10:1-1"), ("1.0", "1.0-1")] {
            assert_eq!(compare(a, b), Ordering::Less, "{a} {b}");
        }
        assert_eq!(compare("0:1.0-1", "1.0-1"), Ordering::Equal);
        assert_eq!(split("3:1.0-2-r1"), ("3", "1.0-2", Some("r1")));
        assert_eq!(split(":1"), ("0", "1", None));
    }

    #[test]
    fn a_relation_without_a_release_is_about_all_of_them() {
        assert_eq!(compare_as_relation("1.0-5", "1.0"), Ordering::Equal);
        assert_eq!(compare_as_relation("1.0-5", "1.0-6"), Ordering::Less);
        assert_eq!(compare_as_relation("1:1.0-5", "1.0"), Ordering::Greater);
    }

    proptest! {
        #[test]
        fn is_antisymmetric_on_any_text(a in ".{0,10}", b in "[0-9.a-z~^:-]{0,10}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare_as_relation(&a, &b), compare_as_relation(&b, &a).reverse());
        }

        #[test]
        fn is_a_total_order(all in proptest::collection::vec("([0-2]:)?[0-2a-b.~^_]{0,6}(-[0-2a~^.]{1,4})?", 3)) {
            let (a, b, c) = (&all[0], &all[1], &all[2]);
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le(), "{} {} {}", a, b, c);
            }
            if compare(a, b).is_eq() {
                prop_assert_eq!(compare(a, c), compare(b, c));
            }
        }
    }
}
