//! Two trees side by side, path by path: what hooks made, and what was made without them.

use super::listing::{Entry, Listing, Node};
use super::table::{Table, Treatment};

/// How a path came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Result {
    /// Type, mode, owner, target and content are the same.
    Equal,
    /// Type, target or content is another.
    Content,
    /// Only mode, owner or capability is another.
    Metadata,
    /// Hooks made it and it is not there.
    Missing,
    /// It is there and hooks did not make it.
    Extra,
}

impl Result {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 5] = [Self::Equal, Self::Content, Self::Metadata, Self::Missing, Self::Extra];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Content => "content differs",
            Self::Metadata => "metadata differs",
            Self::Missing => "missing",
            Self::Extra => "extra",
        }
    }
}

/// One path that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The path, with a leading slash.
    pub path: String,
    /// The index of its class.
    pub class: usize,
    /// How it came out.
    pub result: Result,
    /// Did hooks add it, or change what packages hold?
    pub relevant: bool,
    /// What it is with hooks, or where that has none, without.
    pub node: Node,
    /// What is different, in words.
    pub detail: String,
}

/// A whole comparison.
#[derive(Debug)]
pub struct Comparison {
    /// Every path that is compared, in order.
    pub paths: Vec<Compared>,
    /// How many paths of each class were left out, by its index.
    pub left_out: Vec<usize>,
}

/// Compares. `extracted` is what the packages hold before any hook.
pub fn compare(table: &Table, hooks: &Listing, extracted: &Listing, kiln: &Listing) -> Comparison {
    let mut comparison = Comparison { paths: Vec::new(), left_out: vec![0; table.classes.len()] };
    let extra = kiln.entries.iter().filter(|(path, _)| !hooks.entries.contains_key(*path));
    let both = hooks.entries.iter().map(|(path, with)| (path, Some(with), kiln.entries.get(path)));
    let all = both.chain(extra.map(|(path, without)| (path, None, Some(without))));
    for (bare, with, without) in all {
        let path = format!("/{bare}");
        let before = extracted.entries.get(bare);
        let Some(shown) = with.or(without) else { continue };
        let relevant = with.is_some() && with != before;
        let mut class = table.class(&path, shown.node.target());
        let treatment = table.classes[class].treatment;
        // Packages hold nothing of the package manager's but empty folders, and these are compared.
        let shipped = with.is_some() && with == before;
        if treatment != Treatment::Compared && !shipped {
            comparison.left_out[class] += 1;
            continue;
        }
        if relevant && before.is_some_and(|before| with.is_some_and(|with| with.node == before.node)) {
            class = table.permissions;
        }
        let (result, detail) = pair(with, without);
        comparison.paths.push(Compared { path, class, result, relevant, node: shown.node.clone(), detail });
    }
    comparison.paths.sort_by(|a, b| a.path.cmp(&b.path));
    comparison
}

fn pair(with: Option<&Entry>, without: Option<&Entry>) -> (Result, String) {
    match (with, without) {
        (Some(with), None) => (Result::Missing, with.describe()),
        (None, Some(without)) => (Result::Extra, without.describe()),
        (Some(with), Some(without)) if with == without => (Result::Equal, String::new()),
        (Some(with), Some(without)) => {
            let mut said = Vec::new();
            let mut say = |what: &str, with: String, without: String| {
                if with != without {
                    said.push(format!("{what} {with} with hooks, {without} without"));
                }
            };
            say("type", with.node.kind().to_owned(), without.node.kind().to_owned());
            if let (Node::Link(with), Node::Link(without)) = (&with.node, &without.node) {
                say("target", with.clone(), without.clone());
            }
            say("mode", format!("{:04o}", with.mode), format!("{:04o}", without.mode));
            say("owner", with.owner(), without.owner());
            let capability = |entry: &Entry| entry.capability.as_ref().map_or("none".into(), |c| format!("{c:02x?}"));
            say("capability", capability(with), capability(without));
            let result = if with.node == without.node { Result::Metadata } else { Result::Content };
            if said.is_empty() || matches!((&with.node, &without.node), (Node::File(a), Node::File(b)) if a != b) {
                said.insert(0, "content".to_owned());
            }
            (result, said.join("; "))
        }
        (None, None) => (Result::Equal, String::new()),
    }
}

impl Entry {
    fn owner(&self) -> String {
        format!("{}:{}", self.user, self.group)
    }

    /// In words.
    fn describe(&self) -> String {
        match &self.node {
            Node::Link(target) => format!("symbolic link to {target}"),
            node => format!("{} {:04o} {}", node.kind(), self.mode, self.owner()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kiln_model::Digest;

    use super::*;

    const TABLE: &str = "class left | bookkeeping | x\nclass permissions | compared | x\nclass all | compared | x\n\
                         path /left/** | left\npath ** | all\n";

    fn file(content: &str) -> Entry {
        let node = Node::File(Digest::of(content.as_bytes()));
        Entry { node, mode: 0o644, user: "root".into(), group: "root".into(), capability: None }
    }

    fn tree(entries: &[(&str, Entry)]) -> Listing {
        let entries = entries.iter().map(|(path, entry)| ((*path).to_owned(), entry.clone())).collect();
        Listing { entries, ..Listing::default() }
    }

    fn results(hooks: &Listing, extracted: &Listing, kiln: &Listing) -> Vec<(String, Result, bool)> {
        let table = Table::parse(TABLE).unwrap();
        let compared = compare(&table, hooks, extracted, kiln).paths;
        compared.into_iter().map(|path| (path.path, path.result, path.relevant)).collect()
    }

    #[test]
    fn every_kind_of_difference_is_told_apart() {
        let owned = Entry { user: "web".into(), ..file("c") };
        let hooks = tree(&[("a", file("a")), ("b", file("b")), ("c", owned), ("d", file("d"))]);
        let kiln = tree(&[("a", file("a")), ("b", file("other")), ("c", file("c")), ("e", file("e"))]);
        let expected = [
            ("/a", Result::Equal, true),
            ("/b", Result::Content, true),
            ("/c", Result::Metadata, true),
            ("/d", Result::Missing, true),
            ("/e", Result::Extra, false),
        ];
        let expected: Vec<_> = expected.into_iter().map(|(p, r, relevant)| (p.to_owned(), r, relevant)).collect();
        assert_eq!(results(&hooks, &tree(&[]), &kiln), expected);
    }

    #[test]
    fn only_what_hooks_added_or_changed_is_relevant() {
        let changed = Entry { mode: 0o755, ..file("mode") };
        let hooks = tree(&[("same", file("x")), ("changed", changed.clone()), ("added", file("y"))]);
        let extracted = tree(&[("same", file("x")), ("changed", file("mode"))]);
        let found = results(&hooks, &extracted, &hooks);
        let relevant: Vec<_> =
            found.iter().filter(|(.., relevant)| *relevant).map(|(path, ..)| path.as_str()).collect();
        assert_eq!(relevant, ["/added", "/changed"]);
    }

    #[test]
    fn a_packaged_path_whose_owner_hooks_changed_is_a_matter_of_permissions() {
        let table = Table::parse(TABLE).unwrap();
        let hooks = tree(&[("x", Entry { group: "web".into(), ..file("x") })]);
        let extracted = tree(&[("x", file("x"))]);
        let found = compare(&table, &hooks, &extracted, &extracted);
        assert_eq!(table.classes[found.paths[0].class].name, "permissions");
        assert_eq!(found.paths[0].detail, "owner root:web with hooks, root:root without");
    }

    #[test]
    fn bookkeeping_is_left_out_on_either_side_and_counted() {
        let table = Table::parse(TABLE).unwrap();
        let hooks = tree(&[("left/a", file("a")), ("left/shipped", file("s"))]);
        let extracted = tree(&[("left/shipped", file("s"))]);
        let kiln = tree(&[("left/b", file("b"))]);
        let found = compare(&table, &hooks, &extracted, &kiln);
        assert_eq!(found.left_out[0], 2);
        // What a package itself holds is compared wherever it lies.
        assert_eq!(found.paths.len(), 1);
        assert_eq!(found.paths[0].result, Result::Missing);
    }

    #[test]
    fn a_file_for_a_link_is_a_difference_of_content() {
        let link = Entry { node: Node::Link("/y".into()), mode: 0o777, ..file("") };
        let found = pair(Some(&file("a")), Some(&link));
        assert_eq!(found.0, Result::Content);
        assert!(found.1.starts_with("type file with hooks, symbolic link without"), "{}", found.1);
    }
}
