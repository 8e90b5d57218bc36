//! The table of exceptions: `exceptions.txt`, which see for what its lines mean.
//!
//! Everything that is not compared byte for byte, and every reason for that, is in that one file.

use super::meaning::Meaning;
use super::pattern::Pattern;
use crate::process::Outcome;

/// The table as it is shipped.
pub const TEXT: &str = include_str!("exceptions.txt");

/// What is done with the paths of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// They are compared.
    Compared,
    /// The package manager's own account of itself: no part of a system that has none.
    Bookkeeping,
    /// State that every machine makes for itself.
    Machine,
}

impl Treatment {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compared => "compared",
            Self::Bookkeeping => "bookkeeping",
            Self::Machine => "machine state",
        }
    }
}

/// A class of paths, by what put them there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// What is done with it.
    pub treatment: Treatment,
    /// What does the same without hooks, or why nothing has to.
    pub mechanism: String,
}

/// The whole table.
#[derive(Debug)]
pub struct Table {
    /// The classes, in the order of the file.
    pub classes: Vec<Class>,
    /// The class of packaged paths of which hooks changed no more than mode, owner or capability: no pattern can say that.
    pub permissions: usize,
    paths: Vec<(Pattern, usize)>,
    meanings: Vec<(Pattern, Meaning, String)>,
    causes: Vec<(Pattern, String)>,
}

impl Table {
    /// The shipped one.
    pub fn shipped() -> Outcome<Self> {
        Self::parse(TEXT)
    }

    /// Reads a table.
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut table =
            Self { classes: Vec::new(), permissions: 0, paths: Vec::new(), meanings: Vec::new(), causes: Vec::new() };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        // Classes first: the order of paths is that in which they are tried, so a class may be named above its own line.
        let (classes, others): (Vec<_>, Vec<_>) = lines.partition(|(_, line)| line.starts_with("class "));
        for (number, line) in classes.into_iter().chain(others) {
            table.line(line).map_err(|why| format!("exceptions.txt:{}: {why}: `{line}`", number + 1))?;
        }
        let permissions = table.classes.iter().position(|class| class.name == "permissions");
        table.permissions = permissions.ok_or("exceptions.txt: there is no class `permissions`")?;
        match table.paths.last() {
            Some((last, _)) if last.matches("/any/path", None) => Ok(table),
            _ => Err("exceptions.txt: the last `path` must be `**`".into()),
        }
    }

    fn line(&mut self, line: &str) -> Outcome {
        let (kind, rest) = line.split_once(' ').ok_or("no kind of line")?;
        let fields: Vec<&str> = rest.split(" | ").map(str::trim).collect();
        if fields.iter().any(|field| field.is_empty()) {
            return Err("an empty field".into());
        }
        let pattern = |text: &str| Pattern::new(text).ok_or("the pattern must be absolute");
        match (kind, fields[..].len()) {
            ("class", 3) => {
                let treatment = [Treatment::Compared, Treatment::Bookkeeping, Treatment::Machine]
                    .into_iter()
                    .find(|treatment| treatment.name() == fields[1]);
                let treatment = treatment.ok_or("no such treatment")?;
                let (name, mechanism) = (fields[0].to_owned(), fields[2].to_owned());
                if self.classes.iter().any(|class| class.name == name) {
                    return Err("the class is there already".into());
                }
                self.classes.push(Class { name, treatment, mechanism });
            }
            ("path", 2) => {
                let class = self.classes.iter().position(|class| class.name == fields[1]);
                self.paths.push((pattern(fields[0])?, class.ok_or("no such class")?));
            }
            ("meaning", 3) => {
                let meaning = Meaning::of_name(fields[1]).ok_or("no such meaning")?;
                self.meanings.push((pattern(fields[0])?, meaning, fields[2].to_owned()));
            }
            ("cause", 2) => self.causes.push((pattern(fields[0])?, fields[1].to_owned())),
            _ => return Err("no such kind of line, or a wrong number of fields".into()),
        }
        Ok(())
    }

    /// The class of a path, which begins with a slash.
    pub fn class(&self, path: &str, target: Option<&str>) -> usize {
        // `parse` saw that the last one matches everything.
        self.paths.iter().find(|(pattern, _)| pattern.matches(path, target)).map_or(0, |(_, class)| *class)
    }

    /// How a file is understood, if not by its bytes.
    pub fn meaning(&self, path: &str) -> Option<Meaning> {
        self.meanings.iter().find(|(pattern, ..)| pattern.matches(path, None)).map(|(_, meaning, _)| *meaning)
    }

    /// Why a path is not equal, where that is known.
    pub fn cause(&self, path: &str, target: Option<&str>) -> Option<&str> {
        self.causes.iter().find(|(pattern, _)| pattern.matches(path, target)).map(|(_, cause)| cause.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_is_well_formed() {
        let table = Table::shipped().unwrap();
        for (index, class) in table.classes.iter().enumerate() {
            assert!(
                index == table.permissions || table.paths.iter().any(|(_, of)| *of == index),
                "no path is in class `{}`",
                class.name
            );
        }
    }

    #[test]
    fn the_first_pattern_that_matches_says_the_class() {
        let text = "class a | compared | x\nclass b | machine state | y\nclass permissions | compared | z\n\
                    path /x/y | a\npath /x/* | b\npath ** | a\n";
        let table = Table::parse(text).unwrap();
        let class = |path| table.classes[table.class(path, None)].name.as_str();
        assert_eq!([class("/x/y"), class("/x/z"), class("/other")], ["a", "b", "a"]);
    }

    #[test]
    fn a_line_that_means_nothing_is_an_error_with_its_number() {
        for wrong in ["nonsense", "path /x | none", "class a | perhaps | x", "meaning /x | magic | why", "cause x | y"]
        {
            let error = Table::parse(&format!("# comment\n{wrong}\nclass b | compared | x\n")).unwrap_err();
            assert!(error.starts_with("exceptions.txt:2:"), "{error}");
        }
    }

    #[test]
    fn every_path_must_have_a_class() {
        let some = "class permissions | compared | x\npath /x | permissions\n";
        assert!(Table::parse(some).unwrap_err().contains("`**`"));
        assert!(Table::parse(&format!("{some}path ** | permissions\n")).is_ok());
    }
}
