//! Names that someone may have meant.

/// At most three of `names` that are near `wanted`, nearest first.
pub(crate) fn similar(wanted: &str, names: &[String]) -> Vec<String> {
    let bound = if wanted.len() <= 4 { 1 } else { 2 };
    let mut near: Vec<(usize, &String)> = names
        .iter()
        .filter_map(|name| {
            let apart = distance(wanted, name, bound);
            let contained = || wanted.len() > 3 && name.starts_with(wanted);
            apart.or_else(|| contained().then(|| bound + name.len() - wanted.len())).map(|apart| (apart, name))
        })
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name.clone()).collect()
}

/// How many letters must be added, removed, changed or swapped with their neighbour; none when more than `bound`.
fn distance(a: &str, b: &str, bound: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > bound {
        return None;
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        if row.iter().all(|cost| *cost > bound) {
            return None;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|cost| *cost <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_of_the_hand_and_beginnings() {
        let names: Vec<String> = ["nginx", "nginx-light", "nghttp2", "curl", "postgresql-17"].map(str::to_owned).into();
        assert_eq!(similar("ngnix", &names), ["nginx"]);
        assert_eq!(similar("nginxs", &names), ["nginx"]);
        assert_eq!(similar("crul", &names), ["curl"]);
        assert_eq!(similar("postgresql", &names), ["postgresql-17"]);
        assert_eq!(similar("nginx-", &names), ["nginx", "nginx-light"]);
        assert!(similar("zzzz", &names).is_empty());
    }
}
