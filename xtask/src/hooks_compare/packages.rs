//! The packages as they come: what they hold before any hook runs, who owns what, and what their scripts say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use kiln_archive::{Compression, Limits, ar, limits, open_tar};

use super::listing::{Builder, Listing, Names, Node};
use super::project::Locked;
use super::table::Table;
use crate::process::Outcome;

/// What packages hold.
pub struct Packages {
    /// All of them, one over the other.
    pub tree: Listing,
    /// The package that has a path; of directories the first.
    owners: BTreeMap<String, String>,
    /// Packages that have scripts, with all of these as one text.
    scripts: BTreeMap<String, String>,
    /// What each says about itself.
    pub controls: BTreeMap<String, String>,
}

/// Members of a package's control archive that say what installation does.
const SCRIPTS: [&str; 6] = ["preinst", "postinst", "config", "templates", "triggers", "conffiles"];

impl Packages {
    /// Reads packages, one at a time. `base-files` makes the directories that others have too, so it comes first.
    pub fn read(table: &Table, locked: &[Locked], load: &dyn Fn(&Locked) -> Outcome<Vec<u8>>) -> Outcome<Self> {
        let mut order: Vec<&Locked> = locked.iter().collect();
        order.sort_by_key(|package| (package.name != "base-files", &package.name));
        let meaning = |path: &str| table.meaning(&format!("/{path}"));
        let mut builder = Builder::new(Names::Archive, &meaning);
        let mut owners = BTreeMap::new();
        let mut scripts = BTreeMap::new();
        let mut controls = BTreeMap::new();
        for package in order {
            let name = &package.name;
            let bytes = load(package)?;
            let mut said = Said::default();
            one(&bytes, &mut builder, &mut said, &mut |path, directory| {
                if directory {
                    owners.entry(path.to_owned()).or_insert_with(|| name.clone());
                } else {
                    owners.insert(path.to_owned(), name.clone());
                }
            })
            .map_err(|why| format!("package `{name}`: {why}"))?;
            if !said.scripts.is_empty() {
                scripts.insert(name.clone(), said.scripts);
            }
            controls.insert(name.clone(), said.control);
        }
        Ok(Self { tree: builder.finish(), owners, scripts, controls })
    }

    /// The package that a path comes from: who has it, whose scripts name it, or who has what it belongs to.
    pub fn author(&self, path: &str, node: &Node) -> Option<&str> {
        if let Some(owner) = self.owners.get(path) {
            return Some(owner);
        }
        if let Node::Link(target) = node {
            let target = resolve(path, target);
            if let Some(owner) = self.owners.get(&target) {
                return Some(owner);
            }
        }
        let source = path
            .split_once("/__pycache__/")
            .and_then(|(folder, file)| Some(format!("{folder}/{}.py", file.split('.').next()?)));
        if let Some(owner) = source.and_then(|source| self.owners.get(&source)) {
            return Some(owner);
        }
        let mut at = path;
        loop {
            if let Some(name) = self.naming(at) {
                return Some(name);
            }
            // Whoever has `/etc` is not the author of everything in it.
            at = at.rsplit_once('/').map(|(folder, _)| folder).filter(|folder| folder.matches('/').count() >= 2)?;
            if let Some(owner) = self.owners.get(at) {
                return Some(owner);
            }
        }
    }

    /// The only package whose scripts name a path as a word.
    fn naming(&self, path: &str) -> Option<&str> {
        let path = format!("/{path}");
        let word = |text: &str| {
            text.match_indices(&path).any(|(at, _)| {
                let next = text.as_bytes().get(at + path.len());
                next.is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"-_./".contains(byte))
            })
        };
        let names: BTreeSet<&str> = self.scripts.iter().filter(|(_, t)| word(t)).map(|(n, _)| n.as_str()).collect();
        if names.len() == 1 { names.first().copied() } else { None }
    }
}

/// Where a link leads, without following others.
fn resolve(path: &str, target: &str) -> String {
    let from = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = if target.starts_with('/') { target.to_owned() } else { format!("{from}/{target}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What a control archive says.
#[derive(Default)]
struct Said {
    scripts: String,
    control: String,
}

fn one(bytes: &[u8], builder: &mut Builder<'_>, said: &mut Said, owned: &mut dyn FnMut(&str, bool)) -> Outcome {
    let limit = Limits { ratio: 100_000, ..Limits::default() };
    let mut archive = ar::Reader::new(bytes).map_err(|error| error.to_string())?;
    while let Some(member) = archive.next_member().map_err(|error| error.to_string())? {
        let suffix = |of: &str| member.name.strip_prefix(of).and_then(Compression::of_suffix);
        let mut content = Vec::new();
        if let Some(compression) = suffix("data.tar") {
            archive.read_to_end(&mut content).map_err(|error| error.to_string())?;
            let reader = limits::open(compression, &content[..], &limit).map_err(|error| error.to_string())?;
            builder.tar(reader, &mut |path, entry| owned(path, entry.node == Node::Directory))?;
        } else if suffix("control.tar").is_some() {
            archive.read_to_end(&mut content).map_err(|error| error.to_string())?;
            let mut control = open_tar(&content[..], &limit).map_err(|error| error.to_string())?;
            while let Some(entry) = control.next_entry().map_err(|error| error.to_string())? {
                let text = match entry.path.as_str() {
                    "control" => &mut said.control,
                    script if SCRIPTS.contains(&script) => &mut said.scripts,
                    _ => continue,
                };
                let mut read = Vec::new();
                control.read_to_end(&mut read).map_err(|error| error.to_string())?;
                text.push_str(&String::from_utf8_lossy(&read));
                text.push('\n');
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Packages {
        let owned =
            [("usr/bin/gawk", "gawk"), ("usr/lib/x/m.py", "x"), ("etc/web/site", "web"), ("var/lib/web", "web")];
        let scripts = [("setup", "mkdir -p /var/lib/setup\n"), ("one", "touch /etc/both"), ("two", "touch /etc/both")];
        Packages {
            tree: Listing::default(),
            owners: owned.map(|(path, name)| (path.to_owned(), name.to_owned())).into(),
            scripts: scripts.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
            controls: BTreeMap::new(),
        }
    }

    #[test]
    fn the_author_of_a_path_is_found_by_owner_link_source_script_or_folder() {
        let packages = packages();
        let file = Node::Directory;
        assert_eq!(packages.author("usr/bin/gawk", &file), Some("gawk"));
        assert_eq!(packages.author("etc/alternatives/awk", &Node::Link("/usr/bin/gawk".into())), Some("gawk"));
        assert_eq!(packages.author("usr/lib/x/__pycache__/m.cpython-313.pyc", &file), Some("x"));
        assert_eq!(packages.author("var/lib/setup", &file), Some("setup"));
        assert_eq!(packages.author("var/lib/web/a/b", &file), Some("web"));
    }

    #[test]
    fn a_path_that_several_scripts_name_has_no_known_author() {
        assert_eq!(packages().author("etc/both", &Node::Directory), None);
        assert_eq!(packages().author("etc/nobody", &Node::Directory), None);
    }

    #[test]
    fn links_lead_where_they_say() {
        assert_eq!(resolve("etc/a/b", "../c"), "etc/c");
        assert_eq!(resolve("etc/a", "/usr/./x"), "usr/x");
        assert_eq!(resolve("a", "b"), "b");
    }
}
