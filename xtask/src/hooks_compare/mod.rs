//! `cargo xtask hooks-compare`: a closure of Debian's packages composed without hooks beside the same with hooks run.
//!
//! Three trees of exactly the same packages: installed by `mmdebstrap` ([`hooked`]), merely extracted ([`packages`]), and
//! built by Kiln ([`project`]). What the first adds to the second, or changes in it, is what hooks do for an image; the third
//! is to be equal to the first there. [`compare`] does that, [`table`] says what is left out and why, [`report`] tells.

mod account;
mod compare;
mod hooked;
mod keystore;
mod linker_cache;
mod listing;
mod manual_index;
mod meaning;
mod packages;
mod pattern;
mod project;
mod report;
mod table;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, cargo, output, root, run as run_command};
use account::Account;
use listing::{Builder, Listing, Names};
use packages::Packages;
use project::Project;
use report::Report;
use table::Table;

/// A closure that is compared.
struct Closure {
    /// What it is called on the command line and in the cache.
    name: &'static str,
    /// How it is told in the document: what it was to those who made the mechanisms is part of what its figures say.
    title: &'static str,
    /// The packages asked for, beside the essential ones.
    targets: &'static str,
    /// How they were chosen, where that was not by hand.
    chosen: Option<&'static str>,
}

/// How the fifth and the sixth closure were drawn. The draw is one of a seeded generator, so it can be drawn again from the
/// same index of packages.
const LOT: &str = "\
Drawn from the index of Debian trixie's `main` for amd64 by Python's `random.Random`, seeded with the words `kiln fifth`
and `kiln sixth`: 25 packages of those that are tagged a daemon or a server of the network, depend on what the hooks of a
service call (adduser, debconf, init-system-helpers, ucf, passwd and their like), and are named in a relation of at least
one other source package; then 20 of those that depend on such or are tagged a daemon, named by at least three; then 15 of
the sections of programs and desktops, named by at least eight. Left out are libraries, development files, documentation,
data and packages of the closures before, and what conflicts with those drawn before it or brings more than 400 MB.
";

/// The closures that the document has, in its order.
const CLOSURES: [Closure; 6] = [
    Closure {
        name: "full",
        title: "The closure that the mechanisms were made with",
        targets: include_str!("targets.txt"),
        chosen: None,
    },
    Closure {
        name: "unseen",
        title: "A second closure: no rule was made for its packages, but its gaps showed what the mechanisms lacked",
        targets: include_str!("unseen.txt"),
        chosen: None,
    },
    Closure {
        name: "third",
        title: "A third closure: no rule was made for its packages, but its gaps showed what the mechanisms lacked",
        targets: include_str!("third.txt"),
        chosen: None,
    },
    Closure {
        name: "fourth",
        title: "A fourth closure, chosen before any of its hooks was looked at, and measured once; that two builds of it \
                were refused had shown that half-followed hooks may name accounts that nothing declares",
        targets: include_str!("fourth.txt"),
        chosen: None,
    },
    Closure {
        name: "fifth",
        title: "A fifth closure, drawn by lot before any of its hooks was looked at; its gaps showed what the mechanisms \
                lacked",
        targets: include_str!("fifth.txt"),
        chosen: Some(LOT),
    },
    Closure {
        name: "sixth",
        title: "A sixth closure, drawn by lot with the fifth, and measured once",
        targets: include_str!("sixth.txt"),
        chosen: Some(LOT),
    },
];

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    packages: Vec<String>,
    closure: Option<&'static str>,
    write: bool,
    update: bool,
    release: bool,
    cache: Option<PathBuf>,
    kiln: Option<PathBuf>,
    differences: Option<PathBuf>,
}

impl Options {
    fn parse(words: &[&str]) -> Outcome<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().map(PathBuf::from).ok_or_else(|| format!("`{word}` needs a path"));
            match *word {
                "--closure" => options.closure = Some(named(words.next().copied().unwrap_or_default())?),
                "--write" => options.write = true,
                "--update" => options.update = true,
                "--release" => options.release = true,
                "--kiln" => options.kiln = Some(value()?),
                "--cache" => options.cache = Some(value()?),
                "--differences" => options.differences = Some(value()?),
                option if option.starts_with('-') => return Err(format!("no option `{option}`")),
                package => options.packages.push(package.to_owned()),
            }
        }
        let given = usize::from(options.closure.is_some()) + usize::from(!options.packages.is_empty());
        if options.write && given > 0 {
            return Err("`--write` is for all closures and takes no packages and no `--closure`".into());
        }
        if given > 1 {
            return Err("give packages or `--closure`".into());
        }
        Ok(options)
    }

    fn closures(&self) -> Vec<(&'static str, Vec<String>)> {
        if !self.packages.is_empty() {
            return vec![("given", self.packages.clone())];
        }
        let wanted = |closure: &&Closure| self.write || closure.name == self.closure.unwrap_or(CLOSURES[0].name);
        let names = |closure: &Closure| closure.targets.split_whitespace().map(str::to_owned).collect();
        CLOSURES.iter().filter(wanted).map(|closure| (closure.name, names(closure))).collect()
    }
}

/// The name of a closure, as the table has it.
fn named(name: &str) -> Outcome<&'static str> {
    let found = CLOSURES.iter().find(|closure| closure.name == name);
    found.map(|closure| closure.name).ok_or_else(|| {
        let names: Vec<&str> = CLOSURES.iter().map(|closure| closure.name).collect();
        format!("`--closure` is one of {}", names.join(", "))
    })
}

/// Compares.
pub fn run(words: &[&str]) -> Outcome {
    let options = Options::parse(words)?;
    let table = Table::shipped()?;
    let kiln = match &options.kiln {
        Some(kiln) => kiln.clone(),
        None => build(options.release)?,
    };
    let cache = options.cache.clone().unwrap_or_else(|| root().join("target/hooks-compare"));
    std::fs::create_dir_all(&cache).map_err(|error| format!("cannot make `{}`: {error}", cache.display()))?;
    let cache = cache.canonicalize().map_err(|error| format!("`{}`: {error}", cache.display()))?;
    let mut document = introduction()?;
    let mut lines = String::new();
    for (name, targets) in options.closures() {
        let told = closure(&table, &kiln, &cache, name, &targets, options.update)?;
        println!("{}", told.text);
        document.push_str(&told.text);
        lines.push_str(&told.lines);
    }
    if let Some(path) = &options.differences {
        std::fs::write(path, lines).map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    }
    if options.write {
        std::fs::write(root().join("docs/hooks.md"), document)
            .map_err(|error| format!("cannot write the document: {error}"))?;
    }
    Ok(())
}

/// Builds `kiln` and says where it is.
fn build(release: bool) -> Outcome<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--locked", "--package", "kiln"]).args(release.then_some("--release"));
    run_command(&mut build)?;
    Ok(root().join("target").join(if release { "release" } else { "debug" }).join("kiln"))
}

/// What is told of one closure, for people and for programs.
struct Told {
    text: String,
    lines: String,
}

fn closure(table: &Table, kiln: &Path, cache: &Path, name: &str, targets: &[String], update: bool) -> Outcome<Told> {
    let project = Project::new(kiln, cache.join(format!("project-{name}")), cache.join("kiln"), targets)?;
    let locked = project.lock(update)?;
    let built = project.build()?;
    let packages = Packages::read(table, &locked, &|package| project.load(package))?;
    let with = read(table, &hooked::install(cache, &locked, &packages, &project)?)?;
    let status = with.kept.get("var/lib/dpkg/status").map(|bytes| String::from_utf8_lossy(bytes));
    hooked::check(&status.unwrap_or_default(), &locked)?;
    let without = read(table, &built.tar)?;
    let comparison = compare::compare(table, &with, &packages.tree, &without);
    let account = Account::parse(&project.audit()?)?;
    let accepted = &built.accepted;
    let report = Report { name, table, comparison: &comparison, packages: &packages, accepted, account: &account };
    let names: BTreeSet<&str> = targets.iter().map(String::as_str).collect();
    let mut text = String::new();
    let _ = writeln!(text, "## {}\n", title(name));
    let _ = writeln!(text, "{} packages: the essential ones, and with no recommended ones", locked.len());
    let _ = writeln!(text, "{}.\n", names.into_iter().collect::<Vec<_>>().join(" "));
    if let Some(chosen) = CLOSURES.iter().find(|closure| closure.name == name).and_then(|closure| closure.chosen) {
        let _ = writeln!(text, "{chosen}");
    }
    let _ = write!(text, "{}\n{}\n", report.summary(), report.not_understood());
    let _ = write!(text, "### Every path that is not equal\n\n{}{}", report.differences(), report.said());
    Ok(Told { text, lines: report.lines() })
}

fn title(name: &str) -> &'static str {
    CLOSURES.iter().find(|closure| closure.name == name).map_or("The given packages", |closure| closure.title)
}

fn read(table: &Table, path: &Path) -> Outcome<Listing> {
    let file = File::open(path).map_err(|error| format!("cannot open `{}`: {error}", path.display()))?;
    let meaning = |path: &str| table.meaning(&format!("/{path}"));
    let mut builder = Builder::new(Names::Tree, &meaning);
    builder.tar(file, &mut |_, _| ()).map_err(|why| format!("`{}`: {why}", path.display()))?;
    Ok(builder.finish())
}

fn introduction() -> Outcome<String> {
    let commit = output(Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(root()))?;
    Ok(format!(
        "# Without hooks, beside with hooks\n\n\
         Written by `cargo xtask hooks-compare --write` at {}. The same versions of the same packages of Debian trixie are\n\
         installed by `mmdebstrap`, which runs their hooks, and composed by Kiln, which runs none. Every path is compared by\n\
         type, mode, owner (by name), link target, file capabilities and content; time stamps are not. A path is\n\
         *image-relevant* if hooks added it, or changed it from what the package holds. What is left out, and which files\n\
         are compared by meaning, stands with its reasons in `xtask/src/hooks_compare/exceptions.txt`.\n\n",
        commit.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_take_the_place_of_the_closure() {
        let options = Options::parse(&["nginx", "--cache", "/c", "curl"]).unwrap();
        assert_eq!(options.closures(), [("given", vec!["nginx".to_owned(), "curl".to_owned()])]);
        assert_eq!(options.cache, Some(PathBuf::from("/c")));
    }

    #[test]
    fn writing_the_document_takes_all_closures() {
        let names: Vec<_> =
            Options::parse(&["--write"]).unwrap().closures().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["full", "unseen", "third", "fourth", "fifth", "sixth"]);
        assert!(Options::parse(&["--write", "nginx"]).is_err());
        assert!(Options::parse(&["--write", "--closure", "unseen"]).is_err());
    }

    #[test]
    fn one_closure_is_asked_for_by_its_name() {
        assert_eq!(Options::parse(&[]).unwrap().closures()[0].0, "full");
        assert_eq!(Options::parse(&["--closure", "third"]).unwrap().closures()[0].0, "third");
        assert!(Options::parse(&["--closure", "nginx"]).is_err());
        assert!(Options::parse(&["--closure", "third", "nginx"]).is_err());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(Options::parse(&["--cache"]).is_err());
        assert!(Options::parse(&["--nonsense"]).is_err());
    }

    #[test]
    fn no_target_of_a_closure_is_one_of_another() {
        let mut seen = BTreeSet::new();
        for name in CLOSURES.iter().flat_map(|closure| closure.targets.split_whitespace()) {
            assert!(seen.insert(name), "{name}");
        }
    }
}
