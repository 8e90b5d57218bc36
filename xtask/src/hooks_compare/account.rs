//! What `kiln audit` says of a path that is not equal: the promise is that nothing is wrong in silence.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::process::Outcome;

/// A line of a hook that is not followed, be it accepted or not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    package: String,
    place: String,
    text: String,
}

/// The account of an image's hooks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    lines: Vec<Line>,
    first_boot: BTreeSet<String>,
}

/// How a path is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// By itself, in what is said of a line.
    Path(String),
    /// By lines of the package that it comes from, which are not followed.
    Package(String),
    /// As what each machine makes for itself.
    FirstBoot,
}

impl Account {
    /// Reads what `kiln audit --json` prints.
    pub fn parse(json: &str) -> Outcome<Self> {
        let value: Value = serde_json::from_str(json).map_err(|error| format!("what `kiln audit` says: {error}"))?;
        let mut account = Self::default();
        for package in value["packages"].as_array().into_iter().flatten() {
            let name = package["package"].as_str().unwrap_or_default();
            let name = name.rsplit(':').next().unwrap_or_default();
            for command in package["commands"].as_array().into_iter().flatten() {
                let text = |key: &str| command[key].as_str().unwrap_or_default();
                match text("became") {
                    "accepted" | "not-followed" => account.lines.push(Line {
                        package: name.to_owned(),
                        place: format!("{}:{}", text("script"), command["line"]),
                        text: format!("{}\n{}", text("command"), text("why")),
                    }),
                    "tied" => account.lines.push(Line {
                        package: name.to_owned(),
                        place: format!("{}:{}", text("script"), command["line"]),
                        text: text("about").to_owned(),
                    }),
                    "fact" if text("kind") == "first-boot" => drop(account.first_boot.insert(text("about").to_owned())),
                    _ => {}
                }
            }
        }
        Ok(account)
    }

    /// How a path is named; none when it is not.
    pub fn named(&self, path: &str, author: Option<&str>) -> Option<Named> {
        if self.first_boot.contains(path) {
            return Some(Named::FirstBoot);
        }
        if let Some(line) = self.lines.iter().find(|line| has_path(&line.text, path)) {
            return Some(Named::Path(format!("{} {}", line.package, line.place)));
        }
        let line = self.lines.iter().find(|line| Some(line.package.as_str()) == author)?;
        Some(Named::Package(line.package.clone()))
    }
}

/// Does a text have a path, and not only the beginning of a longer one?
fn has_path(text: &str, path: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    text.match_indices(path).any(|(at, _)| {
        let after = text[at + path.len()..].chars().next();
        !after.is_some_and(goes_on) && !text[..at].chars().next_back().is_some_and(goes_on)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"packages":[
        {"package":"debian:a","commands":[
            {"script":"postinst","line":3,"command":"frob /etc/a.conf","became":"accepted","why":"what `frob` does"},
            {"script":"postinst","line":4,"command":"openssl","became":"fact","kind":"first-boot","about":"/etc/key"}]},
        {"package":"debian:b","commands":[
            {"script":"postinst","line":1,"command":"true","became":"nothing","why":"/etc/b"}]}]}"#;

    #[test]
    fn a_path_is_named_by_itself_by_its_package_or_not_at_all() {
        let account = Account::parse(JSON).unwrap();
        assert_eq!(account.named("/etc/a.conf", None), Some(Named::Path("a postinst:3".into())));
        assert_eq!(account.named("/etc/a", Some("a")), Some(Named::Package("a".into())));
        assert_eq!(account.named("/etc/key", None), Some(Named::FirstBoot));
        assert_eq!((account.named("/etc/b", Some("b")), account.named("/etc/a", None)), (None, None));
        assert!(Account::parse("no").is_err());
    }
}
