//! The account of the hooks of an image: what each would have done, and what became of it.
//!
//! Hooks that a fresh installation does not run (`prerm`, `postrm`) are no part of it. The account is made from the packages
//! alone: nothing is composed, so it can be had of an image that does not compose.

use std::collections::BTreeMap;

use kiln_hooks::{Became, Outcome};
use kiln_model::facts::Alternative;
use kiln_model::rule::Rule;
use kiln_model::{Facts, HooksWord, ObjectError, ObjectSource, PackageRef, TreePath};
use serde::Serialize;

use crate::hooks::{self, Sayer};
use crate::reading;
use crate::request::{Member, Request};
use crate::trigger::{self, Told};

/// The account of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Packages that have hooks or triggers, by name.
    pub packages: Vec<Package>,
    /// How often what happened.
    pub totals: Totals,
}

/// The account of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Which.
    pub package: PackageRef,
    /// Its version.
    pub version: String,
    /// Hooks that an installation would run, in their order.
    pub scripts: Vec<String>,
    /// What stands for them, if something does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stands: Option<Stands>,
    /// Their commands, in the order in which they would run.
    pub commands: Vec<Command>,
    /// Triggers that it activates or waits for.
    pub triggers: Vec<Told>,
}

/// What stands for the hooks of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stands {
    /// What it is.
    pub by: Standing,
    /// Where it is written.
    pub place: String,
    /// Why.
    pub reason: String,
    /// What it declares.
    pub declares: Vec<Declared>,
}

/// What may stand for the hooks of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// A rule, in place of what the hooks do.
    Rule,
    /// A rule that is added to what is read of them; the rest it accepts.
    RuleAdds,
    /// The image accepts what cannot be followed.
    AcceptedByImage,
    /// The project does.
    AcceptedByProject,
    /// The image puts facts in place of the hooks.
    ReplacedByImage,
    /// The project does.
    ReplacedByProject,
}

/// A fact that is declared in place of hooks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Declared {
    /// Its kind.
    pub kind: &'static str,
    /// The path or name it is about.
    pub about: String,
}

/// A command of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Command {
    /// The script.
    pub script: String,
    /// The line in it, from 1.
    pub line: usize,
    /// The text of the line.
    pub command: String,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "became", rename_all = "kebab-case")]
pub enum Fate {
    /// A fact.
    Fact {
        /// Its kind.
        kind: &'static str,
        /// The path or name it is about.
        about: String,
    },
    /// Permissions of a path that no package ships: a fact where something else in the image brings it.
    Elsewhere {
        /// The path.
        path: String,
    },
    /// An alternative that another package has with the same priority: with hooks it depends on which was there first.
    Tied {
        /// The generic name.
        about: String,
        /// The other package.
        with: String,
    },
    /// A finalizer derives what it would have made, unless the image switches it off.
    Finalizer {
        /// Which.
        finalizer: &'static str,
        /// Does the image switch it off?
        #[serde(rename = "switched-off")]
        switched_off: bool,
    },
    /// It sets a trigger off.
    Trigger {
        /// Its name.
        trigger: String,
        /// What becomes of that.
        served: Option<trigger::Fate>,
    },
    /// Nothing is to be done.
    Nothing {
        /// Why.
        why: &'static str,
    },
    /// It could not be followed, and that is accepted.
    Accepted {
        /// Why it could not be followed.
        why: String,
    },
    /// It could not be followed: the image does not build.
    NotFollowed {
        /// Why.
        why: String,
    },
}

/// How often what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    /// Packages of the image.
    pub packages: usize,
    /// Packages with hooks that an installation would run.
    pub with_hooks: usize,
    /// Commands that became facts.
    pub facts: usize,
    /// Commands that become facts where something else brings their path.
    pub elsewhere: usize,
    /// Commands whose work a finalizer does.
    pub finalizers: usize,
    /// Commands that set a trigger off.
    pub triggers: usize,
    /// Commands that do nothing in an image.
    pub nothing: usize,
    /// What is made on the machine, at its first boot.
    pub first_boot: usize,
    /// Packages that a rule stands for.
    pub rules: usize,
    /// Packages whose hooks the image or project replaces.
    pub replaced: usize,
    /// Commands that are accepted without being followed.
    pub accepted: usize,
    /// Commands that are not followed.
    pub not_followed: usize,
    /// Triggers that are set off and that nothing stands for.
    pub triggers_without_service: usize,
}

/// Gives the account of what would be composed.
///
/// # Errors
/// When a hook's text cannot be read.
pub fn audit(request: &Request, source: &dyn ObjectSource) -> Result<Audit, ObjectError> {
    let read = reading::read(request, source)?;
    let request = read.as_ref().unwrap_or(request);
    let mut triggers = trigger::account(request, source)?;
    let served: BTreeMap<String, trigger::Fate> = triggers
        .values()
        .flatten()
        .filter(|told| told.relation == trigger::Relation::WaitsFor)
        .map(|told| (told.trigger.clone(), told.fate.clone()))
        .collect();
    let mut members: Vec<&Member> = request.members.iter().collect();
    members.sort_by_key(|member| member.reference());
    let mut packages: Vec<Package> = Vec::new();
    for member in &members {
        let triggers = triggers.remove(&member.reference()).unwrap_or_default();
        let scripts: Vec<String> = hooks::of(member).map(str::to_owned).collect();
        if scripts.is_empty() && triggers.is_empty() {
            continue;
        }
        let stands = if scripts.is_empty() && !triggers.iter().any(trigger::is_unserved) {
            None
        } else {
            stands(request, member)
        };
        let commands = commands(request, member, stands.as_ref().map(|stands| stands.by), &served);
        let (package, version) = (member.reference(), member.record.version.clone());
        packages.push(Package { package, version, scripts, stands, commands, triggers });
    }
    let mut totals = Totals { packages: members.len(), ..Totals::default() };
    packages.iter().for_each(|package| totals.add(package));
    Ok(Audit { packages, totals })
}

fn stands(request: &Request, member: &Member) -> Option<Stands> {
    let (by, place, reason, facts) = match (request.hooks.get(&member.reference()), &member.rule) {
        (Some(said), rule) => match (&said.word, said.by, rule) {
            (HooksWord::Replace { reason, facts }, by, _) => {
                let by = if by == Sayer::Image { Standing::ReplacedByImage } else { Standing::ReplacedByProject };
                (by, said.place.clone(), reason, Some(&**facts))
            }
            (HooksWord::Accept { .. }, _, Some(rule)) => by_rule(rule),
            (HooksWord::Accept { reason }, by, None) => {
                let by = if by == Sayer::Image { Standing::AcceptedByImage } else { Standing::AcceptedByProject };
                (by, said.place.clone(), reason, None)
            }
        },
        (None, Some(rule)) => by_rule(rule),
        (None, None) => return None,
    };
    let declares = facts.map(declared).unwrap_or_default();
    Some(Stands { by, place, reason: reason.clone(), declares })
}

fn by_rule(rule: &Rule) -> (Standing, String, &String, Option<&Facts>) {
    let by = if rule.adds { Standing::RuleAdds } else { Standing::Rule };
    (by, rule.file.to_string(), &rule.reason, Some(&rule.facts))
}

/// The facts of a declaration, one by one.
fn declared(facts: &Facts) -> Vec<Declared> {
    let mut list = Vec::new();
    let mut tell = |kind: &'static str, names: Vec<String>| {
        list.extend(names.into_iter().map(|about| Declared { kind, about }));
    };
    fn keys<K: ToString, V>(map: &BTreeMap<K, V>) -> Vec<String> {
        map.keys().map(ToString::to_string).collect()
    }
    tell("user", keys(&facts.users));
    tell("group", keys(&facts.groups));
    tell("directory", keys(&facts.directories));
    tell("link", keys(&facts.links));
    tell("file", keys(&facts.files));
    tell("permission", keys(&facts.permissions));
    tell("device", keys(&facts.devices));
    tell("alternative", keys(&facts.alternatives));
    tell("service", keys(&facts.services));
    tell("diversion", keys(&facts.diversions));
    tell("sysctl", keys(&facts.sysctl));
    tell("environment", keys(&facts.environment));
    tell("shell", facts.shells.iter().map(TreePath::to_string).collect());
    tell(FIRST_BOOT, keys(&facts.first_boot));
    list
}

/// The kind of fact that is made on the machine.
pub const FIRST_BOOT: &str = "first-boot";

/// The commands of a package that count. Where something stands for the hooks, those that it leaves alone.
fn commands(
    request: &Request,
    member: &Member,
    standing: Option<Standing>,
    served: &BTreeMap<String, trigger::Fate>,
) -> Vec<Command> {
    let kept = |outcome: &&Outcome| match standing {
        Some(Standing::ReplacedByImage | Standing::ReplacedByProject) => false,
        Some(Standing::Rule) => match (&outcome.became, &member.rule) {
            (Became::Fact(kind, _), Some(rule)) => hooks::leaves(rule, member.record.relations.syntax, kind),
            _ => false,
        },
        _ => true,
    };
    let mut list: Vec<Command> = Vec::new();
    for outcome in member.reading.outcomes.iter().filter(kept) {
        let fate = match &outcome.became {
            Became::Fact(kind, about) => match tied(request, member, kind, about) {
                Some(with) => Fate::Tied { about: about.clone(), with },
                None => Fate::Fact { kind, about: about.clone() },
            },
            Became::Elsewhere(path) => Fate::Elsewhere { path: path.clone() },
            Became::Finalizer(finalizer) => {
                Fate::Finalizer { finalizer, switched_off: request.without.contains(*finalizer) }
            }
            Became::Trigger(name) => Fate::Trigger { trigger: name.clone(), served: served.get(name).cloned() },
            Became::Nothing(why) => Fate::Nothing { why },
        };
        list.push(Command {
            script: outcome.place.script.clone(),
            line: outcome.place.line,
            command: outcome.command.clone(),
            fate,
        });
    }
    let accepted =
        matches!(standing, Some(Standing::RuleAdds | Standing::AcceptedByImage | Standing::AcceptedByProject));
    if standing.is_none() || accepted {
        for told in &member.reading.unfollowed {
            let why = told.why.clone();
            let fate = if accepted { Fate::Accepted { why } } else { Fate::NotFollowed { why } };
            let (script, line) = (told.place.script.clone(), told.place.line);
            list.push(Command { script, line, command: told.text.clone(), fate });
        }
    }
    let order = |script: &str| member_order(member, script);
    list.sort_by_key(|command| (order(&command.script), command.line));
    list
}

/// The package whose alternative is as strong as a member's, where none is stronger.
fn tied(request: &Request, member: &Member, kind: &str, about: &str) -> Option<String> {
    let path = TreePath::from_absolute(about).ok().filter(|_| kind == "alternative")?;
    let own = member.facts.alternatives.get(&path)?;
    let name = |path: &TreePath, of: &Alternative| of.name.clone().or(path.file_name().map(str::to_owned));
    let same = |(other, of): &(&TreePath, &Alternative)| name(other, of) == name(&path, own);
    let all = request.members.iter().flat_map(|member| {
        let candidates = member.facts.alternatives.iter().filter(same);
        candidates.map(move |(_, candidate)| (member, candidate))
    });
    let (mut with, mut strongest) = (None, true);
    for (other, candidate) in all {
        strongest &= candidate.priority <= own.priority;
        if candidate.priority == own.priority && candidate.to != own.to {
            with = with.or(Some(other.reference().to_string()));
        }
    }
    with.filter(|_| strongest)
}

/// When a script would run, among those of its package; `config` is asked before all others.
fn member_order(member: &Member, script: &str) -> usize {
    let names = hooks::at_installation(member.record.relations.syntax);
    names.iter().position(|name| *name == script).map_or(0, |index| index + 1)
}

impl Totals {
    fn add(&mut self, package: &Package) {
        self.with_hooks += usize::from(!package.scripts.is_empty());
        if let Some(stands) = &package.stands {
            match stands.by {
                Standing::Rule | Standing::RuleAdds => self.rules += 1,
                Standing::ReplacedByImage | Standing::ReplacedByProject => self.replaced += 1,
                Standing::AcceptedByImage | Standing::AcceptedByProject => {}
            }
            self.first_boot += stands.declares.iter().filter(|declared| declared.kind == FIRST_BOOT).count();
        }
        for command in &package.commands {
            let count = match &command.fate {
                Fate::Fact { kind: FIRST_BOOT, .. } => &mut self.first_boot,
                Fate::Fact { .. } | Fate::Tied { .. } => &mut self.facts,
                Fate::Elsewhere { .. } => &mut self.elsewhere,
                Fate::Finalizer { .. } => &mut self.finalizers,
                Fate::Trigger { .. } => &mut self.triggers,
                Fate::Nothing { .. } => &mut self.nothing,
                Fate::Accepted { .. } => &mut self.accepted,
                Fate::NotFollowed { .. } => &mut self.not_followed,
            };
            *count += 1;
        }
        self.triggers_without_service += package.triggers.iter().filter(|told| trigger::is_unserved(told)).count();
    }
}
