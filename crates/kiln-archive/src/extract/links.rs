//! Where the symbolic links of an archive lead, by reckoning alone: nothing on disk is followed.

use std::collections::BTreeMap;

use super::{ExtractError, Links};

/// The kernel's own bound.
const MAX_LINKS: usize = 40;

/// Refuses the first link that leads out of the folder `prefix` (empty, or with a slash at its end), directly or by way
/// of other links. Paths that do not exist count as folders: something may be put there later.
pub(crate) fn check_links(links: &BTreeMap<String, String>, prefix: &str, rule: Links) -> Result<(), ExtractError> {
    if rule == Links::Anywhere {
        return Ok(());
    }
    for (path, target) in links {
        let inner = path.strip_prefix(prefix).unwrap_or(path);
        if leaves(links, prefix, inner, target) {
            return Err(ExtractError::Outside { entry: format!("/{path}"), target: target.escape_debug().to_string() });
        }
    }
    Ok(())
}

fn leaves(links: &BTreeMap<String, String>, prefix: &str, path: &str, target: &str) -> bool {
    let mut at: Vec<&str> = path.split('/').collect();
    at.pop();
    let mut todo: Vec<&str> = Vec::new();
    let mut followed = 0;
    let mut target = target;
    loop {
        if target.starts_with('/') {
            return true;
        }
        todo.extend(target.split('/').rev());
        // Walk until the next link, or to the end.
        loop {
            let Some(part) = todo.pop() else { return false };
            match part {
                "" | "." => continue,
                ".." if at.pop().is_none() => return true,
                ".." => continue,
                name => at.push(name),
            }
            if let Some(next) = links.get(&format!("{prefix}{}", at.join("/"))) {
                at.pop();
                target = next;
                break;
            }
        }
        followed += 1;
        if followed > MAX_LINKS {
            // A program gets an error here and no further.
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(links: &[(&str, &str)], prefix: &str) -> Option<String> {
        let links = links.iter().map(|(path, target)| ((*path).to_owned(), (*target).to_owned())).collect();
        match check_links(&links, prefix, Links::Inside) {
            Err(ExtractError::Outside { entry, .. }) => Some(entry),
            _ => None,
        }
    }

    #[test]
    fn links_within_are_fine() {
        let links = [("a", "b"), ("d/e/up", "../.."), ("x", "d/../d/./e//f"), ("loop", "loop"), ("gone", "not/there")];
        assert_eq!(refused(&links, ""), None);
    }

    #[test]
    fn links_that_lead_out_are_refused() {
        for bad in ["/etc/passwd", "..", "../x", "a/../../x", "not/there/../../../x"] {
            assert_eq!(refused(&[("l", bad)], ""), Some("/l".into()), "{bad}");
        }
        assert_eq!(refused(&[("d/l", "../../x")], ""), Some("/d/l".into()));
    }

    #[test]
    fn a_way_over_other_links_counts() {
        // `up` stays inside, and so does `z` for whoever only counts components.
        let links = [("d/e/f/up", "../../.."), ("z", "d/e/f/up/../../x")];
        assert_eq!(refused(&links, ""), Some("/z".into()));
        assert_eq!(refused(&[("a", "b/c"), ("b/c", "/")], ""), Some("/a".into()));
    }

    #[test]
    fn what_is_left_out_at_the_top_is_outside() {
        let links = [("top/l", "../other")];
        assert_eq!(refused(&links, ""), None);
        assert_eq!(refused(&links, "top/"), Some("/top/l".into()));
        assert_eq!(refused(&[("top/d/up", ".."), ("top/z", "d/up/..")], "top/"), Some("/top/z".into()));
    }
}
