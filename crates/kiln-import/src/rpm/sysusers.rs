//! Accounts that rpm itself makes: `Provides: user(name) = LINE`, where LINE is a line of sysusers.d(5) in base64, made from
//! the files of that kind that the package ships.
//!
//! Where the package ships such a file, that is what an image is made from, and nothing is declared twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use kiln_model::facts::User;
use kiln_model::name::AccountName;
use kiln_model::{Dir, Facts, TreePath};

use super::error::RpmError;
use super::relation::Simple;

const NAMES: [&str; 3] = ["user(", "group(", "groupmember("];

/// Declares the accounts among what a package provides.
pub(super) fn declare(provides: &str, tree: &Dir, facts: &mut Facts) -> Result<(), RpmError> {
    let folder: Option<TreePath> = "usr/lib/sysusers.d".parse().ok();
    if folder.is_some_and(|folder| tree.dir(&folder).is_some_and(|folder| !folder.is_empty())) {
        return Ok(());
    }
    for provided in provides.lines().filter_map(|line| Simple::parse(line).ok()) {
        let Some((_, coded)) = provided.bound.filter(|_| NAMES.iter().any(|name| provided.name.starts_with(name)))
        else {
            continue;
        };
        let fault = || RpmError::Field { field: "Providename", why: format!("`{provided}` says no account") };
        // A version that is none of these lines belongs to a name that only looks like one of theirs.
        let Some(line) = decode(coded) else { continue };
        account(&line, facts).ok_or_else(fault)?;
    }
    Ok(())
}

fn decode(coded: &str) -> Option<String> {
    let bytes = STANDARD_NO_PAD.decode(coded.trim_end_matches('=')).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.starts_with(['u', 'g', 'm']).then(|| text.trim_end_matches(['\n', '\0']).to_owned())
}

/// Reads a line into facts.
fn account(line: &str, facts: &mut Facts) -> Option<()> {
    let words = words(line)?;
    let field = |at: usize| words.get(at).map(String::as_str).filter(|word| !matches!(*word, "-" | ""));
    let name: AccountName = field(1)?.parse().ok()?;
    match words.first()?.as_str() {
        "u" | "u!" => {
            let (id, group) = match field(2).map(|ids| ids.split_once(':').map_or((ids, None), |(id, g)| (id, Some(g))))
            {
                Some((id, group)) => (Some(id).filter(|id| *id != "-"), group),
                None => (None, None),
            };
            let path = |at: usize| field(at).map(TreePath::from_absolute).transpose().ok();
            let mut user = User { home: path(4)?, shell: path(5)?, ..User::default() };
            user.id = id.map(str::parse).transpose().ok()?;
            user.summary = field(3).map(str::to_owned);
            user.group = group.map(str::parse).transpose().ok()?;
            facts.users.insert(name, user);
        }
        "g" => {
            let id = field(2).map(str::parse).transpose().ok()?;
            facts.groups.entry(name).or_default().id = id;
        }
        "m" => {
            let group: AccountName = field(2)?.parse().ok()?;
            facts.groups.entry(group).or_default().members.insert(name);
        }
        _ => return None,
    }
    Some(())
}

/// Words, perhaps in quotes.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn declared(lines: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        let provides: Vec<String> =
            lines.iter().map(|(name, line)| format!("{name} = {}", STANDARD.encode(line))).collect();
        declare(&provides.join("\n"), &Dir::default(), &mut facts).unwrap();
        facts
    }

    #[test]
    fn lines_of_sysusers_become_accounts() {
        let facts = declared(&[
            ("user(keeper)", "u keeper - \"Keeps things\" /var/lib/keeper /usr/sbin/nologin"),
            ("group(keys)", "g keys 77 - -"),
            ("groupmember(keeper/keys)", "m keeper keys"),
        ]);
        let keeper = &facts.users["keeper"];
        assert_eq!(keeper.summary.as_deref(), Some("Keeps things"));
        assert_eq!(keeper.home.as_ref().unwrap().to_string(), "/var/lib/keeper");
        assert_eq!(keeper.group, None, "it is one of the user's own name");
        assert_eq!(facts.groups["keys"].id, Some(77));
        assert!(facts.groups["keys"].members.contains("keeper"));
    }

    #[test]
    fn a_name_without_a_line_declares_nothing() {
        let mut facts = Facts::default();
        declare("user(a)\nuser(b) = 1.0\ngroup(c)", &Dir::default(), &mut facts).unwrap();
        assert_eq!(facts, Facts::default());
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(line in "(u|g|m|u!)?[ a-z0-9:\"'/-]{0,30}|.{0,10}") {
            let mut facts = Facts::default();
            let _ = declare(&format!("user(x) = {}", STANDARD.encode(&line)), &Dir::default(), &mut facts);
        }
    }
}
