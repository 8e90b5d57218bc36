//! Commands that print, or change what others print. They have no effect on a system.

mod awk;
mod getopt;
mod grep;
mod lines;
mod regular;
mod stream_editor;

use kiln_model::facts::Mode;
use kiln_model::name::AccountName;

use super::{Arguments, Call, Done, Outcome, Stuck, stuck};
use crate::evaluate::Evaluator;
use crate::paths;
use crate::state::{Effects, MadeKind};
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

pub(super) use getopt::getopt;
pub(super) use grep::grep;
pub(super) use lines::{head, seq, sort, stat, tail, uniq, wc};
use regular::Grammar;

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

/// The same for a program that asks for something in it. Of what dpkg says of a package, state and version are known.
fn input_about(evaluator: &Evaluator<'_>, files: &[&str], program: &str) -> Value {
    let text = input(evaluator, files);
    let asks_for_known = ["^Version", "^Status", "^Package"].iter().any(|field| program.contains(field));
    match (&text, &evaluator.state.record) {
        (Value::Unknown(why), Some((reason, record))) if std::rc::Rc::ptr_eq(why, reason) && asks_for_known => {
            record.as_str().into()
        }
        _ => text,
    }
}

/// Does a file say something of a running machine? What it says cannot be known, nor that it is not there.
fn is_of_machine(file: &str) -> bool {
    file.starts_with("/proc/") || file.starts_with("/sys/")
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
        if is_of_machine(file) {
            return Done::unknown(format!("`{file}` is of the machine, not of the image"));
        }
        if evaluator.seen(file, true).is_none() && !matches!(*file, "-" | "/dev/null") {
            return Ok(Done { status: Status::FAILURE, output: Value::empty() });
        }
    }
    Done::prints(input(evaluator, &files))
}

/// Does an option of `sed` say that the files themselves are changed?
fn is_in_place(word: &str) -> bool {
    let letters = word.strip_prefix('-').unwrap_or_default();
    let before = letters.split('i').next().unwrap_or_default();
    word.starts_with("--in-place") || letters.contains('i') && before.chars().all(|letter| "nEru".contains(letter))
}

/// `sed`: in place it changes a file, which only one of the hook's own may be.
pub(super) fn sed(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = match call.arguments.known() {
        Ok(words) => words,
        Err(Stuck(why)) if call.arguments.0.iter().any(|word| word.known().is_some_and(is_in_place)) => {
            return stuck(why);
        }
        Err(Stuck(why)) => return Done::unknown(why),
    };
    let (mut scripts, mut rest, mut in_place, mut quiet, mut extended) = (Vec::new(), Vec::new(), false, false, false);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word {
            "-e" | "--expression" => scripts.extend(words.next()),
            "-n" | "--quiet" | "--silent" => quiet = true,
            "-E" | "-r" | "--regexp-extended" => extended = true,
            "--follow-symlinks" | "--" => {}
            word if word == "--in-place" || word.starts_with("--in-place=") => in_place = true,
            word if word.len() > 1 && word.starts_with('-') && !word.starts_with("--") => {
                for (at, letter) in word.char_indices().skip(1) {
                    match letter {
                        'n' => quiet = true,
                        'E' | 'r' => extended = true,
                        'u' => {}
                        // What comes behind it is its script, or how the old file is kept.
                        'e' if at + 1 < word.len() => scripts.push(&word[at + 1..]),
                        'e' => scripts.extend(words.next()),
                        'i' => in_place = true,
                        _ => {
                            let why = format!("`sed {word}` is not followed");
                            return if word.contains('i') { stuck(why) } else { Done::unknown(why) };
                        }
                    }
                    if matches!(letter, 'e' | 'i') {
                        break;
                    }
                }
            }
            word if word.starts_with('-') && word.len() > 1 => {
                let why = format!("`sed {word}` is not followed");
                return if in_place { stuck(why) } else { Done::unknown(why) };
            }
            word => rest.push(word),
        }
    }
    if scripts.is_empty() && !rest.is_empty() {
        scripts.push(rest.remove(0));
    }
    let grammar = if extended { Grammar::Extended } else { Grammar::Basic };
    let script = scripts.join("\n");
    let edit = |text: &str| stream_editor::run(&script, grammar, quiet, text);
    if !in_place {
        let text = match input_about(evaluator, &rest, &script) {
            Value::Known(text) => text,
            Value::Unknown(why) => return Done::unknown(why),
        };
        return match edit(&text) {
            Some(text) => Done::prints(text),
            None => Done::unknown(format!("`sed {script}` is not followed")),
        };
    }
    for file in rest {
        let path = paths::absolute(&evaluator.state.directory, file);
        let Some(at) = paths::tree(&path) else { return stuck(format!("`{file}` is no path of an image")) };
        if evaluator.seen(file, true).is_none() {
            return Ok(Done { status: Status::Known(2), output: Value::empty() });
        }
        let changed = match evaluator.content(&file.into()) {
            Value::Known(text) => edit(&text).filter(|changed| *changed != text),
            Value::Unknown(why) if Effects::is_passing(&at) => {
                evaluator.put_text(&at, &Value::Unknown(why))?;
                continue;
            }
            Value::Unknown(why) => return stuck(why),
        };
        match changed {
            // It would change nothing, unless its script was not understood.
            None if edit("").is_some() => {}
            None => return stuck(format!("`sed {script}` is not followed")),
            Some(text) => evaluator.put_text(&at, &text.into())?,
        }
    }
    Done::quietly()
}

/// `awk`: in the part that [`awk`](self::awk) knows.
pub(super) fn awk(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = match call.arguments.known() {
        Ok(words) => words,
        Err(Stuck(why)) => return Done::unknown(why),
    };
    let Ok(options) = super::options::Options::read(&words, &["-F=", "--field-separator="]) else {
        return Done::unknown("this use of `awk` is not followed");
    };
    let Some((program, files)) = options.operands.split_first() else { return Done::unknown("it has no program") };
    let made = match input_about(evaluator, files, program) {
        Value::Known(text) => awk::run(program, options.get(&["-F", "--field-separator"]), &text),
        Value::Unknown(_) => None,
    };
    match made {
        Some(text) => Done::prints(text),
        // It may write to files and run programs.
        None if program.contains(['>', '|']) || program.contains("system") => stuck("what `awk` changes is not known"),
        None => Done::unknown("what `awk` says is not known"),
    }
}

/// `cut -d C -f N`.
pub(super) fn cut(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Ok(words) = call.arguments.known() else { return Done::unknown("what `cut` takes is not known") };
    let options = super::options::Options::read(&words, &["-d=", "-f=", "-s", "-b=", "-c="])?;
    let text = match input(evaluator, &options.operands) {
        Value::Known(text) => text,
        Value::Unknown(why) => {
            // Of a user's line everything but the numbers may be known.
            let line = evaluator.state.user_line.as_ref().filter(|(reason, _)| std::rc::Rc::ptr_eq(reason, &why));
            let field = options.get(&["-f"]).and_then(|field| field.parse::<usize>().ok());
            let known = line.zip(field).filter(|_| options.get(&["-d"]) == Some(":"));
            let known = known.and_then(|((_, line), field)| line.split(':').nth(field.checked_sub(1)?));
            return match known.filter(|known| *known != "?") {
                Some(known) => Done::prints(format!("{known}\n")),
                None => Done::unknown("what `cut` reads is not known"),
            };
        }
    };
    if let Some(range) = options.get(&["-b", "-c"]) {
        let number = |text: &str, open: usize| if text.is_empty() { Ok(open) } else { text.parse() };
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (Ok(from), Ok(to)) = (number(from, 1), number(to, usize::MAX)) else {
            return Done::unknown("this range of `cut` is not followed");
        };
        if !text.is_ascii() {
            return Done::unknown("`cut` of what is not ASCII is not followed");
        }
        let line = |line: &str| {
            let end = to.min(line.len());
            format!("{}\n", line.get(from.saturating_sub(1)..end).unwrap_or_default())
        };
        return Done::prints(text.lines().map(line).collect::<String>());
    }
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

/// `tr SET SET`, `tr -d SET`.
pub(super) fn tr(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Ok(words) = call.arguments.known() else { return Done::unknown("what `tr` takes is not known") };
    let text = match input(evaluator, &[]) {
        Value::Known(text) => text,
        Value::Unknown(why) => return Done::unknown(why),
    };
    let mut words = words;
    let squeezes = matches!(words.first(), Some(&("-s" | "--squeeze-repeats")));
    if squeezes {
        words.remove(0);
    }
    if words.first().is_some_and(|word| word.starts_with('-') && word.len() > 1 && !matches!(*word, "-d" | "--delete"))
    {
        return Done::unknown("this use of `tr` is not followed");
    }
    let made = match words[..] {
        ["-d" | "--delete", from] if !squeezes => {
            set(from).map(|from| text.chars().filter(|c| !from.contains(c)).collect::<String>())
        }
        [from, to] => set(from).zip(set(to)).and_then(|(from, to)| {
            let last = to.last().copied()?;
            let other = |c: char| match from.iter().position(|from| *from == c) {
                Some(at) => to.get(at).copied().unwrap_or(last),
                None => c,
            };
            Some(text.chars().map(other).collect())
        }),
        [_] if squeezes => Some(text),
        _ => None,
    };
    // What is squeezed is of the last set.
    let made = made.and_then(|made: String| {
        let Some(of) = words.last().filter(|_| squeezes) else { return Some(made) };
        let of = set(of)?;
        let mut squeezed = String::new();
        for c in made.chars() {
            if !(of.contains(&c) && squeezed.ends_with(c)) {
                squeezed.push(c);
            }
        }
        Some(squeezed)
    });
    made.map_or_else(|| Done::unknown("this use of `tr` is not followed"), Done::prints)
}

/// The characters of a set of `tr`; none when it has a class that is not followed.
fn set(text: &str) -> Option<Vec<char>> {
    let text = escapes(text).replace("[:upper:]", "A-Z").replace("[:lower:]", "a-z").replace("[:digit:]", "0-9");
    if text.contains("[:") {
        return None;
    }
    let characters: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(first) = characters.get(index) {
        match (characters.get(index + 1), characters.get(index + 2)) {
            (Some('-'), Some(last)) => {
                found.extend(*first..=*last);
                index += 3;
            }
            _ => {
                found.push(*first);
                index += 1;
            }
        }
    }
    Some(found)
}

/// Programs whose output nobody can know without running them. They change nothing.
pub(super) fn other(_: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.0.iter().filter_map(Value::known);
    let changes = match call.name {
        "perl" => words.clone().any(|word| word.starts_with("-") && word.contains('i')),
        "tee" => true,
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

/// `uname`, for what is the same on every machine that the image runs on.
pub(super) fn uname(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let machine = match evaluator.world.architecture() {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        _ => return Done::unknown("the machine is not known"),
    };
    match words[..] {
        [] | ["-s"] => Done::prints("Linux\n"),
        ["-m"] => Done::prints(format!("{machine}\n")),
        ["-o"] => Done::prints("GNU/Linux\n"),
        _ => Done::unknown("what `uname` says of the running kernel is not known"),
    }
}

/// `paperconf`: the paper that `/etc/papersize` names, or A4, as libpaper has it for Debian.
pub(super) fn paperconf(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    if !call.arguments.0.is_empty() {
        return Done::unknown("this use of `paperconf` is not followed");
    }
    if evaluator.seen("/etc/papersize", true).is_none() {
        return Done::prints("a4\n");
    }
    match evaluator.content(&"/etc/papersize".into()) {
        Value::Known(text) => {
            let named = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
            Done::prints(format!("{}\n", named.unwrap_or("a4")))
        }
        Value::Unknown(why) => Done::unknown(why),
    }
}

/// `ls -l` of one file that the hook made. All times of an image are one; of what the machine makes the size is not known.
fn long(evaluator: &Evaluator<'_>, file: &str, numbers: bool) -> Outcome {
    let path = paths::tree(&paths::absolute(&evaluator.state.directory, file));
    let Some(made) = path.and_then(|path| evaluator.state.effects.made.get(&path)) else {
        return Done::unknown("what `ls -l` says of what a package ships is not followed");
    };
    let size = match &made.kind {
        MadeKind::Text(text) => text.len().to_string(),
        MadeKind::OfMachine(_) => "?".to_owned(),
        _ => return Done::unknown("this use of `ls -l` is not followed"),
    };
    let name = |name: &Option<AccountName>| match name {
        None if numbers => Some("0".to_owned()),
        None => Some("root".to_owned()),
        Some(name) => (!numbers).then(|| name.to_string()),
    };
    let (Some(owner), Some(group)) = (name(&made.owner), name(&made.group)) else {
        return Done::unknown("the numbers of users are not known");
    };
    let mode = made.mode.map_or(0o644, Mode::bits);
    let letter = |bit: u16, letter| if mode & bit == 0 { '-' } else { letter };
    let modes: String = (0..9).map(|at| letter(0o400 >> at, ['r', 'w', 'x'][at % 3])).collect();
    Done::prints(format!("-{modes} 1 {owner} {group} {size} Jan  1  1980 {file}\n"))
}

/// `ls`, for whether something is there and whose it is.
pub(super) fn ls(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    if let [Value::Known(option), Value::Known(file)] = call.arguments.0
        && matches!(option.as_str(), "-l" | "-ln" | "-n")
        && matches!(evaluator.seen(file, true), Some(Seen::File { .. }))
    {
        return long(evaluator, file, option != "-l");
    }
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
/// `diff`: whether files are the same. What it prints of their differences is not known.
pub(super) fn diff(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Ok(words) = call.arguments.known() else { return Done::unknown("which files are compared is not known") };
    let Ok(options) = super::options::Options::read(&words, &["-q", "-u", "-s", "--brief"]) else {
        return Done::unknown("this use of `diff` is not followed");
    };
    let [first, second] = options.operands[..] else { return Done::unknown("which files are compared is not known") };
    let is_file = |file: &str| matches!(evaluator.seen(file, true), Some(Seen::File { .. }));
    let is_there = |file: &str| file == "-" || file == "/dev/null" || evaluator.seen(file, true).is_some();
    if !is_there(first) || !is_there(second) {
        return Ok(Done { status: Status::Known(2), output: Value::empty() });
    }
    if !is_file(first) || !is_file(second) {
        return Done::unknown("this use of `diff` is not followed");
    }
    match (evaluator.content(&first.into()), evaluator.content(&second.into())) {
        (Value::Known(first), Value::Known(second)) if first == second => Done::quietly(),
        (Value::Known(_), Value::Known(_)) => {
            Ok(Done { status: Status::FAILURE, output: Value::unknown("what `diff` prints is not known") })
        }
        (Value::Unknown(why), _) | (_, Value::Unknown(why)) => Done::unknown(why),
    }
}

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
