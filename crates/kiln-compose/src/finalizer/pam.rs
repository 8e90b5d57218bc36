//! The common PAM stacks, from the templates and profiles that packages ship: pam-auth-update(8).
//!
//! Profiles that are on by default take part, the highest priority first. `end` in a profile's jump is how many lines of
//! its block come after. One thing is not as the program does it: where a stack has no module that decides, it puts a
//! module that accepts everyone there, so that a slip of configuration opens every account. Here such a stack keeps only
//! the template's `pam_deny`, and the user is told.

use std::collections::BTreeMap;

use kiln_model::{Entry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};

const STACKS: [&str; 5] = ["auth", "account", "password", "session", "session-noninteractive"];

/// A profile: its file's name and its fields; those of modules hold one line a module.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Profile {
    file: String,
    fields: BTreeMap<String, Vec<String>>,
}

impl Profile {
    fn parse(file: &str, text: &str) -> Self {
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            let field =
                line.split_once(':').filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace));
            match field {
                Some((name, value)) => {
                    // `Auth-Final` is the old name of `Auth`.
                    current = name.strip_suffix("-Final").unwrap_or(name).to_owned();
                    let value = value.trim();
                    fields.insert(current.clone(), if value.is_empty() { vec![] } else { vec![value.to_owned()] });
                }
                None if !line.trim().is_empty() => {
                    fields.entry(current.clone()).or_default().push(line.trim().to_owned());
                }
                None => {}
            }
        }
        Self { file: file.to_owned(), fields }
    }

    fn one(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.first().map(String::as_str)
    }

    fn priority(&self) -> i64 {
        self.one("Priority").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The lines of this profile in a block of a stack; `first` when nothing of the block comes before.
    fn lines(&self, stack: &str, block: &str, first: bool) -> &[String] {
        let interactive_only = self.one("Session-Interactive-Only") == Some("yes");
        if stack == "session-noninteractive" && interactive_only {
            return &[];
        }
        let kind = match stack {
            "auth" => "Auth",
            "account" => "Account",
            "password" => "Password",
            _ => "Session",
        };
        if self.one(&format!("{kind}-Type")) != Some(block) {
            return &[];
        }
        let initial = self.fields.get(&format!("{kind}-Initial")).filter(|lines| first && !lines.is_empty());
        initial.or_else(|| self.fields.get(kind)).map_or(&[], Vec::as_slice)
    }
}

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let templates = fixed("usr/share/pam");
    if context.directory(&templates).is_none() {
        return Ok(());
    }
    let profiles = profiles(context)?;
    for stack in STACKS {
        let name = format!("common-{stack}");
        let Some(template) = context.read(&templates.join(&name).unwrap_or_default())? else {
            continue;
        };
        let (text, decided) = fill(&String::from_utf8_lossy(&template), stack, &profiles);
        let path = fixed("etc/pam.d").join(&name).unwrap_or_default();
        if !decided {
            context.warn(
                format!("no PAM profile decides in `{path}`: it refuses everyone"),
                Some("add a package that ships a profile, or the file to the image's `files:`".to_owned()),
            );
        }
        context.write(&path, text.as_bytes())?;
    }
    Ok(())
}

/// The profiles that take part, the highest priority first, conflicting ones left out.
fn profiles(context: &FinalizeContext<'_>) -> Result<Vec<Profile>, FinalizeError> {
    let folder = fixed("usr/share/pam-configs");
    let names: Vec<(String, TreePath)> = context
        .directory(&folder)
        .into_iter()
        .flat_map(|dir| dir.entries())
        .filter(|(name, entry)| matches!(entry, Entry::File(_)) && !name.ends_with('~') && !name.starts_with('#'))
        .filter_map(|(name, _)| Some((name.to_owned(), folder.join(name).ok()?)))
        .collect();
    let mut profiles = Vec::new();
    for (name, path) in names {
        let text = context.read(&path)?.unwrap_or_default();
        let profile = Profile::parse(&name, &String::from_utf8_lossy(&text));
        if profile.one("Default") == Some("yes") {
            profiles.push(profile);
        }
    }
    Ok(choose(profiles))
}

fn choose(mut profiles: Vec<Profile>) -> Vec<Profile> {
    profiles.sort_by(|a, b| b.priority().cmp(&a.priority()).then_with(|| b.file.cmp(&a.file)));
    let mut chosen: Vec<Profile> = Vec::new();
    for profile in profiles {
        let conflicts = |one: &Profile, other: &Profile| {
            one.one("Conflicts").is_some_and(|list| list.split(", ").any(|name| name == other.file))
        };
        if !chosen.iter().any(|other| conflicts(other, &profile) || conflicts(&profile, other)) {
            chosen.push(profile);
        }
    }
    chosen
}

const PRIMARY: &str = "# here are the per-package modules (the \"Primary\" block)";
const FALLBACK: &str = "# here's the fallback if no module succeeds";
const ADDITIONAL: &str = "# and here are more per-package modules (the \"Additional\" block)";
const END: &str = "# end of pam-auth-update config";

/// The template with its two blocks filled. Did any module come into the block that decides?
fn fill(template: &str, stack: &str, profiles: &[Profile]) -> (String, bool) {
    let mut text = String::new();
    let mut until: Option<&str> = None;
    // Sessions need no decision: their block may well be empty.
    let mut decided = stack.starts_with("session");
    for line in template.lines() {
        match until {
            Some(marker) if line.starts_with(marker) => until = None,
            Some(_) => continue,
            None => {}
        }
        text.push_str(line);
        text.push('\n');
        let block = match line {
            line if line.starts_with(PRIMARY) => ("Primary", FALLBACK),
            line if line.starts_with(ADDITIONAL) => ("Additional", END),
            _ => continue,
        };
        until = Some(block.1);
        let lines = block_lines(stack, block.0, profiles);
        if lines.is_empty() && block.0 == "Primary" && stack.starts_with("session") {
            text.push_str("session\t[default=1]\t\t\tpam_permit.so\n");
        }
        decided |= block.0 == "Primary" && !lines.is_empty();
        lines.iter().for_each(|line| text.push_str(line));
    }
    (text, decided)
}

fn block_lines(stack: &str, block: &str, profiles: &[Profile]) -> Vec<String> {
    let mut modules: Vec<&String> = Vec::new();
    let mut first = true;
    for profile in profiles {
        let lines = profile.lines(stack, block, first);
        if profile_has_block(profile, stack, block) {
            first = false;
        }
        modules.extend(lines);
    }
    let kind = stack.split('-').next().unwrap_or(stack);
    // Nothing may jump over the end of the last block.
    let extra = usize::from(block == "Primary");
    let count = modules.len();
    modules
        .into_iter()
        .enumerate()
        .map(|(place, module)| {
            let after = (count + extra - 1).saturating_sub(place);
            let (control, options) = split_module(module);
            format!("{kind}\t{} {options}\n", control.replace("end", &after.to_string()))
        })
        .collect()
}

fn profile_has_block(profile: &Profile, stack: &str, block: &str) -> bool {
    !profile.lines(stack, block, false).is_empty()
}

/// The control and module of a line, and its options: one space between each.
fn split_module(line: &str) -> (String, String) {
    let control_end = if line.starts_with('[') {
        line.find(']').map_or(line.len(), |end| end + 1)
    } else {
        line.find(char::is_whitespace).unwrap_or(line.len())
    };
    let (control, rest) = line.split_at(control_end);
    let gap = rest.len() - rest.trim_start().len();
    let module_end = rest[gap..].find(char::is_whitespace).map_or(rest.len(), |end| gap + end);
    let options: Vec<&str> = rest[module_end..].split_whitespace().collect();
    (format!("{control}{}", &rest[..module_end]), options.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "# top\n# here are the per-package modules (the \"Primary\" block)\n$auth_primary\n\
        # here's the fallback if no module succeeds\nauth\trequisite\tpam_deny.so\n\
        # and here are more per-package modules (the \"Additional\" block)\n$auth_additional\n\
        # end of pam-auth-update config\n";

    fn unix() -> Profile {
        Profile::parse(
            "unix",
            "Name: Unix\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_unix.so nullok  try_first_pass\nAuth-Initial:\n\t[success=end default=ignore]\tpam_unix.so nullok\n",
        )
    }

    fn ldap() -> Profile {
        Profile::parse(
            "ldap",
            "Default: yes\nPriority: 128\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_ldap.so use_first_pass\n",
        )
    }

    #[test]
    fn jumps_lead_past_the_refusal() {
        let (text, decided) = fill(TEMPLATE, "auth", &[unix()]);
        assert!(decided);
        assert!(
            text.contains("\"Primary\" block)\nauth\t[success=1 default=ignore]\tpam_unix.so nullok\n# here's"),
            "{text}"
        );
        let (text, _) = fill(TEMPLATE, "auth", &choose(vec![ldap(), unix()]));
        assert!(text.contains("auth\t[success=2 default=ignore]\tpam_unix.so nullok\n"), "{text}");
        assert!(text.contains("auth\t[success=1 default=ignore]\tpam_ldap.so use_first_pass\n"), "{text}");
    }

    #[test]
    fn a_stack_without_a_deciding_module_never_accepts() {
        for stack in ["auth", "account", "password"] {
            let (text, decided) = fill(TEMPLATE, stack, &[]);
            assert!(!decided);
            assert!(text.contains("pam_deny.so") && !text.contains("pam_permit"), "{text}");
        }
    }

    #[test]
    fn the_lower_of_two_conflicting_profiles_is_left_out() {
        let mut rival = ldap();
        rival.fields.insert("Conflicts".into(), vec!["unix".into()]);
        assert_eq!(choose(vec![rival, unix()]), [unix()]);
    }
}
