//! Writes a lock: sorted, one block an entry, one line an element, so that a diff shows what moved.

use std::fmt::{self, Write};

use super::{ENVIRONMENT, IdKind, Lock, LockedFile, LockedSource, LockedTarget, TargetKey, VERSION};
use crate::PackageRef;

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("# Written by `kiln lock`. Commit it; do not edit it.\n")?;
        writeln!(f, "version = {VERSION}")?;
        self.write_origins(f)?;
        self.write_targets(f)?;
        self.write_packages(f)?;
        self.write_sources(f)?;
        for ((kind, name), id) in &self.ids {
            let kind = match kind {
                IdKind::User => "user",
                IdKind::Group => "group",
            };
            write!(f, "\n[[id]]\nkind = {}\nname = {}\nid = {id}\n", Text(kind), Text(name.as_str()))?;
        }
        for (origin, recipes) in &self.recipes {
            write!(f, "\n[[recipes]]\norigin = {}\n", Text(origin.as_str()))?;
            write!(f, "url = {}\ncommit = {}\n", Text(&recipes.url), Text(&recipes.commit))?;
        }
        Ok(())
    }
}

impl Lock {
    /// What a target is written as a difference to. Every recipe's build environment is the project's with a few more
    /// packages: written out in full, a lock of a thousand recipes would have a hundred thousand lines, and a new
    /// compiler would change all of them.
    fn base_of(&self, key: &TargetKey) -> Option<&LockedTarget> {
        if !key.name.starts_with("recipe:") || !key.name.ends_with(":build") {
            return None;
        }
        self.targets.get(&TargetKey { name: ENVIRONMENT.to_owned(), architecture: key.architecture })
    }

    fn write_origins(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, origin) in &self.origins {
            write!(f, "\n[[origin]]\nname = {}\n", Text(name.as_str()))?;
            if !origin.archive.is_default() {
                writeln!(f, "archive = \"{}\"", origin.archive)?;
            }
            write!(f, "distribution = {}\nsuite = {}\n", Text(&origin.distribution), Text(&origin.suite))?;
            let components: Vec<String> = origin.components.iter().map(|c| Text(c).to_string()).collect();
            writeln!(f, "components = [{}]", components.join(", "))?;
            if let Some(release) = &origin.release {
                writeln!(f, "release = \"{}\"", release.to_hex())?;
            }
            writeln!(f, "date = {}", Text(&origin.date))?;
            let mut indexes = origin.indexes.clone();
            indexes.sort();
            list(f, "indexes", indexes.iter(), |index| {
                let (path, sha256) = (Text(&index.path), index.sha256.to_hex());
                format!("{{ path = {path}, sha256 = \"{sha256}\", size = {} }}", index.size)
            })?;
        }
        Ok(())
    }

    fn write_targets(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, target) in &self.targets {
            write!(f, "\n[[target]]\nname = {}\narchitecture = \"{}\"\n", Text(&key.name), key.architecture)?;
            list(f, "requests", target.requests.iter(), |request| Text(&request.to_string()).to_string())?;
            let text = |package: &PackageRef| Text(&package.to_string()).to_string();
            match self.base_of(key) {
                None => list(f, "packages", target.packages.iter(), text)?,
                Some(base) => {
                    let more: Vec<&PackageRef> = target.packages.difference(&base.packages).collect();
                    let less: Vec<&PackageRef> = base.packages.difference(&target.packages).collect();
                    writeln!(f, "base = {}", Text(ENVIRONMENT))?;
                    list(f, "packages", more.into_iter(), text)?;
                    if !less.is_empty() {
                        list(f, "without", less.into_iter(), text)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn write_packages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, package) in &self.packages {
            let architecture = key.architecture.map_or("all", |architecture| architecture.as_str());
            write!(f, "\n[[package]]\norigin = {}\n", Text(key.origin.as_str()))?;
            write!(f, "name = {}\nversion = {}\n", Text(key.name.as_str()), Text(&package.version))?;
            write!(f, "architecture = \"{architecture}\"\npath = {}\n", Text(&package.path))?;
            write!(f, "sha256 = \"{}\"\nsize = {}\n", package.sha256.to_hex(), package.size)?;
            if let Some((name, version)) = &package.source {
                writeln!(f, "source = {{ name = {}, version = {} }}", Text(name), Text(version))?;
            }
            if !package.parts.is_empty() {
                list(f, "parts", package.parts.iter(), file)?;
            }
        }
        Ok(())
    }

    fn write_sources(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((recipe, index), source) in &self.sources {
            write!(f, "\n[[source]]\nrecipe = {}\nindex = {index}\n", Text(recipe.as_str()))?;
            match source {
                LockedSource::Origin { origin, package, version, files } => {
                    write!(f, "kind = \"origin\"\norigin = {}\n", Text(origin.as_str()))?;
                    write!(f, "package = {}\nversion = {}\n", Text(package.as_str()), Text(version))?;
                    let mut files = files.clone();
                    files.sort();
                    list(f, "files", files.iter(), file)?;
                }
                LockedSource::Archive { url, sha256, size } => {
                    write!(f, "kind = \"archive\"\nurl = {}\nsha256 = \"{}\"\n", Text(url), sha256.to_hex())?;
                    if let Some(size) = size {
                        writeln!(f, "size = {size}")?;
                    }
                }
                LockedSource::Git { url, rev, commit, tree } => {
                    write!(f, "kind = \"git\"\nurl = {}\nrev = {}\n", Text(url), Text(rev))?;
                    writeln!(f, "commit = {}", Text(commit))?;
                    if let Some(tree) = tree {
                        writeln!(f, "tree = \"{}\"", tree.to_hex())?;
                    }
                }
                LockedSource::Path { path } => write!(f, "kind = \"path\"\npath = {}\n", Text(path))?,
            }
        }
        Ok(())
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    items: impl ExactSizeIterator<Item = T>,
    show: impl Fn(T) -> String,
) -> fmt::Result {
    if items.len() == 0 {
        return writeln!(f, "{name} = []");
    }
    writeln!(f, "{name} = [")?;
    for item in items {
        writeln!(f, "  {},", show(item))?;
    }
    f.write_str("]\n")
}

fn file(file: &LockedFile) -> String {
    let (name, path, sha256) = (Text(&file.name), Text(&file.path), file.sha256.to_hex());
    format!("{{ name = {name}, path = {path}, sha256 = \"{sha256}\", size = {} }}", file.size)
}

/// A text as TOML's basic string.
struct Text<'t>(&'t str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{:04X}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
