//! Commands that run another one: as a user, with another priority, for each word of a list. What runs is followed like any
//! other command.

use kiln_model::name::AccountName;

use super::options::Options;
use super::{Call, Done, Outcome, Stuck, stuck};
use crate::evaluate::Evaluator;
use crate::value::Value;

/// `setpriv OPTIONS -- COMMAND`, `runuser -u USER -- COMMAND`, `su USER -c TEXT`.
pub(super) fn as_user(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    if matches!(call.name, "su" | "runuser") {
        return as_login(evaluator, call);
    }
    let words = call.arguments.0;
    let Some(at) = words.iter().position(|word| word.known() == Some("--")) else {
        return stuck(format!("what `{}` runs is not followed", call.name));
    };
    let options = words[..at].iter().filter_map(Value::known);
    let user = options.filter_map(|word| word.strip_prefix("--reuid=").or_else(|| word.strip_prefix("-u"))).next();
    let user = user.map(str::to_owned);
    owned_by(evaluator, user.as_deref(), None, |evaluator| run(evaluator, &words[at + 1..]))
}

/// su(1) and runuser(1): the text of `-c`, or with `-u` the words that follow.
fn as_login(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let known = [
        "-",
        "-l",
        "--login",
        "-m",
        "-p",
        "--preserve-environment",
        "-c=",
        "--command=",
        "-s=",
        "--shell=",
        "-u=",
        "--user=",
        "-g=",
        "--group=",
    ];
    let (own, inner) = match words.iter().position(|word| *word == "--") {
        Some(at) if call.name == "runuser" => (&words[..at], &words[at + 1..]),
        _ => (&words[..], &[][..]),
    };
    let own: Vec<&str> = own.iter().copied().filter(|word| *word != "-").collect();
    let options = Options::read(&own, &known)?;
    let group = options.get(&["-g", "--group"]);
    if let Some(user) = options.get(&["-u", "--user"]) {
        let inner = if inner.is_empty() { &options.operands[..] } else { inner };
        let inner: Vec<Value> = inner.iter().map(|word| Value::from(*word)).collect();
        return owned_by(evaluator, Some(user), group, |evaluator| run(evaluator, &inner));
    }
    let user = options.operands.first().copied().unwrap_or("root");
    let Some(text) = options.get(&["-c", "--command"]).filter(|_| options.operands.len() <= 1 && inner.is_empty())
    else {
        return stuck(format!("what `{}` runs is not followed", call.name));
    };
    owned_by(evaluator, Some(user), group, |evaluator| text_of(evaluator, text, &[]))
}

/// Follows a text as a shell of its own, with arguments.
fn text_of(evaluator: &mut Evaluator<'_>, text: &str, arguments: &[Value]) -> Outcome {
    let (_, output) = evaluator.capture(|evaluator| evaluator.shell(text, arguments));
    Ok(Done { status: evaluator.state.status.clone(), output })
}

/// What a command makes as a user is the user's, and their group's.
fn owned_by(
    evaluator: &mut Evaluator<'_>,
    user: Option<&str>,
    group: Option<&str>,
    inner: impl FnOnce(&mut Evaluator<'_>) -> Outcome,
) -> Outcome {
    let before: Vec<_> = evaluator.state.effects.made.keys().cloned().collect();
    let done = inner(evaluator)?;
    let user = user.filter(|user| *user != "root" && *user != "0");
    let made =
        evaluator.state.effects.made.iter().filter(|(path, made)| !before.contains(path) && made.owner.is_none());
    let made: Vec<_> = made.map(|(path, _)| path.clone()).collect();
    if let Some(user) = user.filter(|_| !made.is_empty()) {
        let user: AccountName = user.parse().map_err(|_| Stuck(format!("`{user}` is no name of a user").into()))?;
        let declared = evaluator.state.effects.facts.users.get(&user);
        let group = match (group, declared) {
            (Some(group), _) => group.parse().map_err(|_| Stuck(format!("`{group}` is no name of a group").into()))?,
            (None, Some(declared)) => declared.group.clone().unwrap_or_else(|| user.clone()),
            (None, None) => {
                return stuck(format!("in which group `{user}` is, whose files these are, is not known"));
            }
        };
        for path in made {
            if let Some(made) = evaluator.state.effects.made.get_mut(&path) {
                (made.owner, made.group) = (Some(user.clone()), made.group.take().or_else(|| Some(group.clone())));
            }
        }
    }
    Ok(done)
}

/// `xargs COMMAND`: the words of the input, as arguments.
pub(super) fn xargs(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let (mut rest, mut only_if_any, mut each, mut zero) = (words.as_slice(), false, false, false);
    let mut place = None;
    while let [word, more @ ..] = rest {
        match *word {
            "-r" | "--no-run-if-empty" => only_if_any = true,
            "-0" | "--null" => zero = true,
            "-n1" | "-L1" => each = true,
            "-n" | "-L" if more.first() == Some(&"1") => {
                each = true;
                rest = &more[1..];
                continue;
            }
            "-0r" | "-r0" => (only_if_any, zero) = (true, true),
            "-I" => {
                place = more.first().copied();
                rest = more.get(1..).unwrap_or_default();
                continue;
            }
            word if word.starts_with("-I") => place = Some(&word[2..]),
            word if word.starts_with('-') => return stuck(format!("`xargs {word}` is not followed")),
            _ => break,
        }
        rest = more;
    }
    let Some(command) = rest.first() else { return stuck("`xargs` alone is not followed") };
    let text = match evaluator.state.input.clone() {
        Some(Value::Known(text)) => text,
        Some(Value::Unknown(why)) => return stuck(format!("what `{command}` is given is not known: {why}")),
        None => return stuck(format!("what `{command}` is given is not known")),
    };
    if text.contains(['\'', '"', '\\']) && !zero {
        return stuck("quotes in what `xargs` reads are not followed");
    }
    let given: Vec<&str> = if zero {
        text.split('\0').filter(|word| !word.is_empty()).collect()
    } else {
        text.split_ascii_whitespace().collect()
    };
    if given.is_empty() && (only_if_any || each) {
        return Done::quietly();
    }
    if let Some(place) = place {
        // Each line is put where the mark stands.
        let mut output = Value::empty();
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            let words: Vec<Value> = rest.iter().map(|word| Value::from(word.replace(place, line))).collect();
            output.push(&run(evaluator, &words)?.output);
        }
        return Ok(Done { status: evaluator.state.status.clone(), output });
    }
    let fixed: Vec<Value> = rest.iter().map(|word| Value::from(*word)).collect();
    let mut output = Value::empty();
    let groups: Vec<&[&str]> = if each { given.chunks(1).collect() } else { vec![&given[..]] };
    for group in groups {
        let words: Vec<Value> = fixed.iter().cloned().chain(group.iter().map(|word| Value::from(*word))).collect();
        output.push(&run(evaluator, &words)?.output);
    }
    Ok(Done { status: evaluator.state.status.clone(), output })
}

/// `env NAME=VALUE COMMAND`, `nice COMMAND`.
pub(super) fn plain(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let is_own = |word: &Value| {
        word.known().is_some_and(|word| word.starts_with('-') || word.contains('=') || word.parse::<f64>().is_ok())
    };
    let skipped = call.arguments.0.iter().take_while(|word| is_own(word)).count();
    run(evaluator, &call.arguments.0[skipped..])
}

/// A command that is called by another program is a program, or one of the few builtins that exist as programs too.
pub(super) fn run(evaluator: &mut Evaluator<'_>, words: &[Value]) -> Outcome {
    let Some((name, arguments)) = words.split_first() else { return Done::quietly() };
    let Some(name) = name.known() else { return stuck("which command this is is not known") };
    if let ("sh" | "bash" | "dash" | "/bin/sh" | "/bin/bash", [option, text, rest @ ..]) = (name, arguments)
        && option.known() == Some("-c")
        && let Some(text) = text.known()
    {
        // The first word after the text is the name of the shell.
        return text_of(evaluator, text, rest.get(1..).unwrap_or_default());
    }
    if matches!(name, "true" | "false" | "test" | "[") {
        return stuck(format!("`{name}` as a program is not followed"));
    }
    let (_, output) = evaluator.capture(|evaluator| evaluator.program(name, arguments));
    Ok(Done { status: evaluator.state.status.clone(), output })
}
