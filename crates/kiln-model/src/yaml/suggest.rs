//! "Did you mean": the nearest of the names that would have been right.

/// The nearest candidate, when one is near enough to be what was meant. Of equally near ones, the first in order.
#[must_use]
pub fn nearest<'c>(given: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let length = given.chars().count();
    if length > 60 {
        return None;
    }
    let limit = match length {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let near = distance(given, candidate);
        // A name whose every letter was changed was not meant.
        if near <= limit && near < length && best.is_none_or(|(d, c)| (near, candidate) < (d, c)) {
            best = Some((near, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// A hint that names the nearest candidate, or else lists a few of those there are.
#[must_use]
pub fn did_you_mean<'c>(given: &str, what: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(near) = nearest(given, candidates.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    match candidates.len() {
        0 => None,
        1..=24 => {
            let list: Vec<String> = candidates.iter().map(|c| format!("`{c}`")).collect();
            Some(format!("{what}: {}", list.join(", ")))
        }
        _ => None,
    }
}

/// Optimal string alignment: insertions, deletions, changes and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > 3 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far_off() {
        let keys = ["packages", "files", "outputs", "run"];
        assert_eq!(nearest("pakages", keys), Some("packages"));
        assert_eq!(nearest("flies", keys), Some("files"));
        assert_eq!(nearest("rnu", keys), Some("run"));
        assert_eq!(nearest("kernel", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    #[test]
    fn the_order_of_candidates_does_not_matter() {
        assert_eq!(nearest("cat", ["bat", "hat"]), nearest("cat", ["hat", "bat"]));
    }

    #[test]
    fn lists_what_there_is_when_nothing_is_near() {
        assert_eq!(did_you_mean("zzzzzz", "keys here", ["a", "b"]).unwrap(), "keys here: `a`, `b`");
    }
}
