//! Commands that print, or change what others print. They have no effect on a system.

use super::{Arguments, Call, Done, Outcome, Stuck, stuck};
use crate::evaluate::Evaluator;
use crate::paths;
use crate::value::{Status, Value};
use crate::world::Seen;

pub(super) fn echo(_: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.0;
    let no_newline = words.first().and_then(Value::known) == Some("-n");
    let mut text = Value::joined(&words[usize::from(no_newline)..]);
    // `echo` of this shell knows escapes: POSIX leaves it open, dash does it.
    if let Value::Known(plain) = &text {
        text = escapes(plain).into();
    }
    if !no_newline {
        text.push(&"\n".into());
    }
    Done::prints(text)
}

fn escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('\\') => plain.push('\\'),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

/// `printf FORMAT ARGUMENT...`, with `%s` and `%d` alone.
pub(super) fn printf(_: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Some((format, arguments)) = call.arguments.0.split_first() else { return Done::quietly() };
    let Value::Known(format) = format else { return Done::prints(format.clone()) };
    let mut text = Value::empty();
    let mut arguments = arguments.iter();
    loop {
        let mut used = false;
        let format = escapes(format);
        let mut characters = format.chars();
        while let Some(c) = characters.next() {
            if c != '%' {
                text.push(&c.to_string().into());
                continue;
            }
            match characters.next() {
                Some('%') => text.push(&"%".into()),
                Some('s' | 'd') => {
                    used = true;
                    text.push(arguments.next().unwrap_or(&Value::empty()));
                }
                _ => return Done::prints(Value::unknown("this format of `printf` is not followed")),
            }
        }
        if !used || arguments.len() == 0 {
            return Done::prints(text);
        }
    }
}

/// The text that a command reads: its files, or else its input.
fn input(evaluator: &Evaluator<'_>, files: &[&str]) -> Value {
    if files.is_empty() || files == ["-"] {
        return evaluator.state.input.clone().unwrap_or_else(|| Value::unknown("nothing is there to read"));
    }
    let mut text = Value::empty();
    for file in files {
        text.push(&evaluator.content(&(*file).into()));
    }
    text
}

/// The words that are no options.
fn operands(arguments: Arguments<'_>) -> Result<Vec<&str>, Stuck> {
    Ok(arguments.known()?.into_iter().filter(|word| *word == "-" || !word.starts_with('-')).collect())
}

pub(super) fn cat(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let files = match operands(call.arguments) {
        Ok(files) => files,
        Err(Stuck(why)) => return Done::unknown(why),
    };
    for file in &files {
        if evaluator.seen(file, true).is_none() && *file != "-" {
            return Ok(Done { status: Status::FAILURE, output: Value::empty() });
        }
    }
    Done::prints(input(evaluator, &files))
}

/// `grep`, for patterns that are plain texts, perhaps held to the beginning or end of a line.
pub(super) fn grep(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = match call.arguments.known() {
        Ok(words) => words,
        Err(Stuck(why)) => return Done::unknown(why),
    };
    let (mut flags, mut rest) = (String::new(), Vec::new());
    let mut pattern = None;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word {
            "-e" => pattern = words.next(),
            "--" => rest.extend(words.by_ref()),
            "--quiet" => flags.push('q'),
            word if word.len() > 1 && word.starts_with('-') && !word.starts_with("--") => flags.push_str(&word[1..]),
            word if word.starts_with("--") => return Done::unknown(format!("`grep {word}` is not followed")),
            word => rest.push(word),
        }
    }
    let pattern = match pattern {
        Some(pattern) => pattern,
        None if rest.is_empty() => return Done::unknown("what `grep` looks for is not known"),
        None => rest.remove(0),
    };
    if flags.chars().any(|flag| !"qsFEvxio".contains(flag)) {
        return Done::unknown(format!("`grep -{flags}` is not followed"));
    }
    if let [file] = rest[..]
        && evaluator.seen(file, true).is_none()
    {
        return Ok(Done { status: Status::Known(2), output: Value::empty() });
    }
    let text = match input(evaluator, &rest) {
        Value::Known(text) => text,
        Value::Unknown(why) => return Done::unknown(why),
    };
    let Some(holds) = matcher(pattern, &flags) else {
        return Done::unknown(format!("whether `{pattern}` matches is not followed"));
    };
    let found: Vec<&str> = text.lines().filter(|line| holds(line) != flags.contains('v')).collect();
    let printed =
        if flags.contains('q') { String::new() } else { found.iter().map(|line| format!("{line}\n")).collect() };
    Ok(Done { status: Status::of(!found.is_empty()), output: printed.into() })
}

/// What a plain pattern says of a line.
fn matcher<'p>(pattern: &'p str, flags: &str) -> Option<impl Fn(&str) -> bool + use<'p>> {
    let fixed = flags.contains('F');
    let starts = !fixed && pattern.starts_with('^');
    let ends = !fixed && pattern.ends_with('$') && !pattern.ends_with("\\$");
    let inner = &pattern[usize::from(starts)..pattern.len() - usize::from(ends)];
    let plain = inner.replace("\\.", ".").replace("\\-", "-").replace("\\/", "/");
    let special = |c: char| matches!(c, '*' | '[' | ']' | '\\' | '^' | '$');
    let extended = |c: char| flags.contains('E') && matches!(c, '(' | ')' | '|' | '+' | '?' | '{');
    let dots = inner.replace("\\.", "").contains('.');
    let escaped = inner.replace("\\.", "").replace("\\-", "").replace("\\/", "");
    if !fixed && (dots || escaped.chars().any(|c| special(c) || extended(c))) {
        return None;
    }
    let (ignore_case, whole) = (flags.contains('i'), flags.contains('x'));
    Some(move |line: &str| {
        let (line, plain) =
            if ignore_case { (line.to_lowercase(), plain.to_lowercase()) } else { (line.to_owned(), plain.clone()) };
        match (starts || whole, ends || whole) {
            (true, true) => line == plain,
            (true, false) => line.starts_with(&plain),
            (false, true) => line.ends_with(&plain),
            (false, false) => line.contains(&plain),
        }
    })
}

/// `sed`, for substitutions of plain texts. In place it changes a file, which only one of the hook's own may be.
pub(super) fn sed(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = match call.arguments.known() {
        Ok(words) => words,
        Err(Stuck(why)) if call.arguments.0.iter().any(|word| word.known().is_some_and(|w| w.starts_with("-i"))) => {
            return stuck(why);
        }
        Err(Stuck(why)) => return Done::unknown(why),
    };
    let in_place = words.iter().any(|word| word.starts_with("-i") || *word == "--in-place");
    let files: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with('-')).skip(1).collect();
    if in_place {
        let passing = |file: &&str| {
            let path = paths::absolute(&evaluator.state.directory, file);
            paths::tree(&path).is_some_and(|path| crate::state::Effects::is_passing(&path))
        };
        if files.iter().all(passing) {
            return Done::quietly();
        }
        return stuck("it changes a file, which is not followed");
    }
    let script = words.iter().copied().find(|word| !word.starts_with('-')).unwrap_or_default();
    let Value::Known(text) = input(evaluator, &files) else {
        return Done::unknown(format!("what `sed` makes of `{script}` is not known"));
    };
    let Some((from, to, all)) = substitution(script) else {
        return Done::unknown(format!("`sed {script}` is not followed"));
    };
    let line = |line: &str| {
        let changed = if all { line.replace(from, to) } else { line.replacen(from, to, 1) };
        format!("{changed}\n")
    };
    Done::prints(text.lines().map(line).collect::<String>())
}

fn substitution(script: &str) -> Option<(&str, &str, bool)> {
    let rest = script.strip_prefix('s')?;
    let mark = rest.chars().next()?;
    let mut parts = rest[mark.len_utf8()..].split(mark);
    let (from, to, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let plain =
        |text: &str| !text.contains(['.', '*', '[', ']', '^', '$', '\\', '&', '+', '?', '(', ')', '{', '|', '\n']);
    (parts.next().is_none() && matches!(flags, "" | "g") && !from.is_empty() && plain(from) && plain(to)).then_some((
        from,
        to,
        flags == "g",
    ))
}

/// `cut -d C -f N`.
pub(super) fn cut(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Ok(words) = call.arguments.known() else { return Done::unknown("what `cut` takes is not known") };
    let options = super::options::Options::read(&words, &["-d=", "-f=", "-s"])?;
    let Value::Known(text) = input(evaluator, &options.operands) else {
        return Done::unknown("what `cut` reads is not known");
    };
    let mark = options.get(&["-d"]).unwrap_or("\t");
    let Some(Ok(field)) = options.get(&["-f"]).map(str::parse::<usize>) else {
        return Done::unknown("these fields of `cut` are not followed");
    };
    let line = |line: &str| {
        let part =
            if line.contains(mark) { line.split(mark).nth(field.saturating_sub(1)).unwrap_or_default() } else { line };
        format!("{part}\n")
    };
    Done::prints(text.lines().map(line).collect::<String>())
}

/// `tr A B` for single characters.
pub(super) fn tr(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known().unwrap_or_default();
    let text = input(evaluator, &[]);
    match (words.as_slice(), text) {
        ([from, to], Value::Known(text)) if from.chars().count() == 1 && to.chars().count() == 1 => {
            Done::prints(text.replace(from, to))
        }
        (["-d", from], Value::Known(text)) if !from.contains(['[', '\\', '-']) => {
            Done::prints(text.chars().filter(|c| !from.contains(*c)).collect::<String>())
        }
        _ => Done::unknown("what `tr` makes of its input is not followed"),
    }
}

/// Programs whose output nobody can know without running them. They change nothing.
pub(super) fn other(_: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.0.iter().filter_map(Value::known);
    let changes = match call.name {
        "perl" => words.clone().any(|word| word.starts_with("-") && word.contains('i')),
        "find" => words.clone().any(|word| word.starts_with("-exec") || word == "-delete"),
        "xargs" | "tee" => true,
        "openssl" => words.clone().any(|word| word.starts_with("-out")),
        _ => false,
    };
    if changes {
        return stuck(format!("what `{}` changes is not known", call.name));
    }
    Done::unknown(format!("what `{}` says is not known", call.name))
}

pub(super) fn basename(_: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Ok(words) = call.arguments.known() else { return Done::unknown("the path is not known") };
    let (path, suffix) = (words.first().copied().unwrap_or_default(), words.get(1).copied().unwrap_or_default());
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(suffix).filter(|name| !name.is_empty()).unwrap_or(name);
    Done::prints(format!("{name}\n"))
}

pub(super) fn dirname(_: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Ok(words) = call.arguments.known() else { return Done::unknown("the path is not known") };
    let path = words.first().copied().unwrap_or_default().trim_end_matches('/');
    let folder = path.rsplit_once('/').map_or(".", |(folder, _)| if folder.is_empty() { "/" } else { folder });
    Done::prints(format!("{folder}\n"))
}

/// `readlink`, `realpath`.
pub(super) fn readlink(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Ok(words) = call.arguments.known() else { return Done::unknown("the path is not known") };
    let canonical = call.name == "realpath" || words.iter().any(|word| matches!(*word, "-f" | "-e" | "-m"));
    let path = words.iter().copied().find(|word| !word.starts_with('-')).unwrap_or_default();
    match (evaluator.seen(path, false), canonical) {
        (Some(Seen::Link(target)), false) => Done::prints(format!("{target}\n")),
        (_, false) => Done::says(false),
        (None, true) if words.contains(&"-e") => Done::says(false),
        (Some(Seen::Link(target)), true) => {
            let path = paths::absolute(&evaluator.state.directory, path);
            let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
            Done::prints(format!("{}\n", paths::absolute(folder, &target)))
        }
        (_, true) => Done::prints(format!("{}\n", paths::absolute(&evaluator.state.directory, path))),
    }
}

/// `ls`, for whether something is there.
pub(super) fn ls(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Ok(files) = operands(call.arguments) else { return Done::unknown("the path is not known") };
    if files.iter().any(|file| evaluator.seen(file, true).is_none()) {
        return Ok(Done { status: Status::Known(2), output: Value::empty() });
    }
    let mut text = String::new();
    for file in &files {
        match evaluator.seen(file, true) {
            Some(Seen::Directory) => {
                let folder = paths::absolute(&evaluator.state.directory, file);
                evaluator.names(&folder).iter().for_each(|name| text.push_str(&format!("{name}\n")));
            }
            _ => text.push_str(&format!("{file}\n")),
        }
    }
    Done::prints(text)
}

/// `cmp`: are two files the same?
pub(super) fn cmp(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Ok(files) = operands(call.arguments) else { return Done::unknown("the path is not known") };
    let [first, second] = files[..] else { return Done::unknown("which files are compared is not known") };
    if evaluator.seen(first, true).is_none() || evaluator.seen(second, true).is_none() {
        return Ok(Done { status: Status::Known(2), output: Value::empty() });
    }
    match (evaluator.content(&first.into()), evaluator.content(&second.into())) {
        (Value::Known(first), Value::Known(second)) => Done::says(first == second),
        (Value::Unknown(why), _) | (_, Value::Unknown(why)) => Done::unknown(why),
    }
}
