//! What stands for the hooks of packages, without running any.
//!
//! The hooks of a package are what a fresh installation runs of it. The first of these that there is counts: what the image
//! says of them, what the project says, a rule, what is read of the scripts themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kiln_hooks::Unfollowed;
use kiln_model::rule::Rule;
use kiln_model::{ArchiveKind, Dir, Facts, HooksWord, PackageRecord, PackageRef};

use crate::request::{Member, Request};
use crate::rules::RuleSet;
use crate::trigger::{self, Told};

/// Larger control files are not read; the largest templates of Debian have 600 kB.
pub(crate) const LARGEST: u64 = 4 * 1024 * 1024;

/// What an image or its project says of the hooks of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What.
    pub word: HooksWord,
    /// Who says it.
    pub by: Sayer,
    /// Where it stands, for messages: `images/web.yaml:7:3`.
    pub place: String,
}

/// Who says something of hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sayer {
    /// The image, of itself: it has to have an effect there.
    Image,
    /// The project, of all its images and build environments.
    Project,
}

/// A package for composition, with the rule that stands for its hooks.
#[must_use]
pub fn prepare(record: PackageRecord, tree: Arc<Dir>, rules: &RuleSet) -> Member {
    let kind = record.relations.syntax;
    let rule = rules.find(kind, record.name.as_str(), &record.version).map(Arc::clone);
    Member { rule, ..Member::new(record, tree) }
}

/// The hooks that a fresh installation runs. A trigger of Alpine's is one: its own package's files set it off.
pub(crate) const fn at_installation(kind: ArchiveKind) -> &'static [&'static str] {
    match kind {
        ArchiveKind::Deb => &["preinst", "postinst"],
        ArchiveKind::Apk => &[".pre-install", ".post-install", ".trigger"],
        // What an image's steps did is in its layers.
        ArchiveKind::Oci => &[],
        ArchiveKind::Rpm => &["pretrans", "pre", "post", "posttrans"],
    }
}

/// The hooks of a package that a fresh installation runs, by name, in the order in which they run.
pub(crate) fn of(member: &Member) -> impl Iterator<Item = &'static str> {
    let names = at_installation(member.record.relations.syntax).iter().copied();
    names.filter(|name| member.record.hooks.iter().any(|hook| hook.name == *name))
}

/// The part of a package's reading that nothing stands for.
pub(crate) fn unanswered<'a>(request: &Request, member: &'a Member) -> &'a [Unfollowed] {
    let stands = member.rule.is_some() || request.hooks.contains_key(&member.reference());
    if stands { &[] } else { &member.reading.unfollowed }
}

/// Does a rule that stands in place of hooks leave a kind of fact to what is read of them? What they say of units and, in
/// other archives, of accounts is the same for every version; so are alternatives, where the rule does not speak of any:
/// the two may name one path in two ways.
pub(crate) fn leaves(rule: &Rule, archive: ArchiveKind, fact: &str) -> bool {
    let left: &[&str] = match archive {
        ArchiveKind::Deb => &["service", "alternative"],
        ArchiveKind::Apk => &["user", "group", "directory"],
        ArchiveKind::Rpm => &["service", "alternative", "user", "group"],
        ArchiveKind::Oci => &[],
    };
    left.contains(&fact) && (fact != "alternative" || rule.facts.alternatives.is_empty())
}

/// What such a rule leaves of the facts that were read.
pub(crate) fn left(rule: &Rule, archive: ArchiveKind, read: &Facts) -> Facts {
    fn kept<T: Clone + Default>(is_left: bool, facts: &T) -> T {
        if is_left { facts.clone() } else { T::default() }
    }
    let leaves = |fact| leaves(rule, archive, fact);
    Facts {
        services: kept(leaves("service"), &read.services),
        alternatives: kept(leaves("alternative"), &read.alternatives),
        users: kept(leaves("user"), &read.users),
        groups: kept(leaves("group"), &read.groups),
        directories: kept(leaves("directory"), &read.directories),
        ..Facts::default()
    }
}

/// What is wrong with the hooks of an image: everything at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HookFaults {
    /// What could not be followed and nothing stands for, by package.
    pub unfollowed: BTreeMap<PackageRef, Vec<Unfollowed>>,
    /// What is said of hooks without an effect: the place, and why it has none.
    pub idle: Vec<(String, String)>,
}

/// Tells what of the hooks nothing stands for, and what is said of them without an effect. The members have been read.
pub(crate) fn check(request: &Request, triggers: &BTreeMap<PackageRef, Vec<Told>>) -> Result<(), HookFaults> {
    let mut faults = HookFaults::default();
    for member in &request.members {
        let unfollowed = unanswered(request, member);
        if !unfollowed.is_empty() {
            faults.unfollowed.insert(member.reference(), unfollowed.to_vec());
        }
    }
    for (package, said) in &request.hooks {
        let member = request.members.iter().find(|member| member.reference() == *package);
        if let Some(why) = idle(package, said, member, triggers.get(package).map_or(&[], Vec::as_slice)) {
            faults.idle.push((said.place.clone(), why));
        }
    }
    faults.idle.sort();
    if faults == HookFaults::default() { Ok(()) } else { Err(faults) }
}

/// Why what is said of a package's hooks has no effect. What the project says need not have one in every image, but it has
/// to be said of a package that has hooks.
fn idle(package: &PackageRef, said: &Said, member: Option<&Member>, triggers: &[Told]) -> Option<String> {
    let of_image = said.by == Sayer::Image;
    let Some(member) = member else { return of_image.then(|| format!("`{package}` is not in the image")) };
    let waits = triggers.iter().any(trigger::is_unserved);
    if of(member).next().is_none() && !waits {
        return Some(format!("`{package}` has no hooks that run when it is installed"));
    }
    if !of_image {
        return None;
    }
    match &said.word {
        HooksWord::Accept { .. } if waits => None,
        HooksWord::Accept { .. } if member.rule.is_some() => {
            let file = member.rule.as_ref().map_or("", |rule| &*rule.file);
            Some(format!("a rule in `{file}` stands for the hooks of `{package}` already"))
        }
        HooksWord::Accept { .. } if member.reading.unfollowed.is_empty() => {
            Some(format!("nothing is left to accept of the hooks of `{package}`: all of them is followed"))
        }
        HooksWord::Replace { facts, .. }
            if member.rule.is_none() && member.reading.unfollowed.is_empty() && **facts == member.reading.facts =>
        {
            Some(format!("the hooks of `{package}` are followed to these very facts"))
        }
        HooksWord::Accept { .. } | HooksWord::Replace { .. } => None,
    }
}

/// So many lines of one package are told.
const LINES_TOLD: usize = 20;

impl fmt::Display for HookFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        match self.unfollowed.len() {
            0 => {}
            1 => lines.push("the hooks of a package cannot be followed, and nothing stands for them".to_owned()),
            many => lines.push(format!("the hooks of {many} packages cannot be followed, and nothing stands for them")),
        }
        for (package, unfollowed) in &self.unfollowed {
            lines.push(format!("  {package}"));
            for told in unfollowed.iter().take(LINES_TOLD) {
                lines.push(format!("    {} `{}`: {}", told.place, told.text, told.why));
            }
            if let Some(more @ 1..) = unfollowed.len().checked_sub(LINES_TOLD) {
                lines.push(format!("    and {more} more"));
            }
        }
        if !self.idle.is_empty() {
            lines.push("what is said of hooks has no effect".to_owned());
        }
        lines.extend(self.idle.iter().map(|(place, why)| format!("  {place}: {why}")));
        f.write_str(&lines.join("\n"))
    }
}

impl HookFaults {
    /// The lines to add, or what to take out.
    #[must_use]
    pub fn hint(&self) -> String {
        let mut lines = Vec::new();
        if let Some(first) = self.unfollowed.keys().next() {
            lines.push(
                "if what is listed does not matter, say why, in the image, or in `kiln.yaml` for every image and build \
                 environment:"
                    .to_owned(),
            );
            lines.push("hooks:".to_owned());
            lines.extend(self.unfollowed.keys().map(|package| format!("  {package}: {{ accept: \"WHY\" }}")));
            lines.push("if it matters, put facts in place of all that the hooks of the package do:".to_owned());
            lines.push("hooks:".to_owned());
            lines.push(format!("  {first}: {{ reason: \"WHAT THEY DO\", facts: {{ ... }}, files: {{ ... }} }}"));
            lines.push("`kiln audit` lists what is followed".to_owned());
        }
        if !self.idle.is_empty() {
            lines.push("take out what has no effect".to_owned());
        }
        lines.join("\n")
    }
}

impl std::error::Error for HookFaults {}
