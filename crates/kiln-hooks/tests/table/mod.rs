//! An image for tests: a table of paths and texts.

use std::collections::BTreeMap;

use kiln_hooks::{Seen, World};
use kiln_model::TreePath;

/// An image of a few files. A text that begins with `-> ` is where a link leads to.
#[derive(Default)]
pub struct Table(BTreeMap<String, String>);

impl Table {
    pub fn with(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }
}

impl World for Table {
    fn entry(&self, path: &TreePath, follow: bool) -> Option<Seen> {
        let path = path.to_string();
        if let Some(text) = self.0.get(&path) {
            if let Some(target) = text.strip_prefix("-> ") {
                let end = TreePath::from_absolute(target).ok().filter(|_| follow);
                return end.map_or_else(|| Some(Seen::Link(target.to_owned())), |end| self.entry(&end, true));
            }
            return Some(Seen::File { executable: text.starts_with("#!"), size: text.len() as u64 });
        }
        let below = format!("{path}/");
        self.0.keys().any(|other| other.starts_with(&below)).then_some(Seen::Directory)
    }

    fn mode(&self, path: &TreePath) -> Option<u16> {
        self.entry(path, true).map(|_| 0o755)
    }

    fn names(&self, path: &TreePath) -> Vec<String> {
        let below = format!("{path}/");
        let names = self.0.keys().filter_map(|other| other.strip_prefix(&below)?.split('/').next());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.dedup();
        names
    }

    fn read(&self, path: &TreePath) -> Option<String> {
        self.0.get(&path.to_string()).cloned()
    }

    fn package(&self, name: &str) -> Option<String> {
        (name == "there").then(|| "2.0".to_owned())
    }

    fn files(&self, package: &str) -> Option<Vec<TreePath>> {
        (package == "there").then(|| self.0.keys().filter_map(|path| TreePath::from_absolute(path).ok()).collect())
    }

    fn packages(&self) -> Option<Vec<String>> {
        Some(vec!["there".to_owned()])
    }

    fn answer(&self, question: &str) -> Option<String> {
        (question == "p/answered").then(|| "image".to_owned())
    }

    fn architecture(&self) -> &str {
        "amd64"
    }
}
