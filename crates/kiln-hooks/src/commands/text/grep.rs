//! grep(1): the lines that match, in files, in folders, or in what is read.

use super::super::accounts;
use super::super::{Call, Done, Outcome, Stuck};
use super::regular::{self, Grammar};
use super::{input, input_about, is_of_machine};
use crate::evaluate::Evaluator;
use crate::paths;
use crate::state::Effects;
use crate::value::{Status, Value};
use crate::world::Seen;

/// What `grep` is told.
struct Asked<'a> {
    flags: String,
    patterns: Vec<&'a str>,
    files: Vec<&'a str>,
}

/// What is searched: a text, and the name that is printed with it.
struct Searched {
    name: String,
    text: Value,
}

pub(in crate::commands) fn grep(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = match call.arguments.known() {
        Ok(words) => words,
        Err(Stuck(why)) => return Done::unknown(why),
    };
    let asked = match Asked::read(call.name, &words) {
        Ok(asked) => asked,
        Err(why) => return Done::unknown(why),
    };
    let expressions = match asked.expressions() {
        Ok(expressions) => expressions,
        Err(why) => return Done::unknown(why),
    };
    let (searched, is_missing) = match searched(evaluator, &asked) {
        Ok(searched) => searched,
        Err(why) => return Done::unknown(why),
    };
    if let [Searched { text: Value::Unknown(why), .. }] = &searched[..]
        && let [pattern] = asked.patterns[..]
        && asked.flags.chars().all(|flag| "qsE".contains(flag))
        && let Some(is_there) = accounts::is_in_table(evaluator, why, pattern)
    {
        let prints = is_there && !asked.flags.contains('q');
        let output = if prints { Value::Unknown(std::rc::Rc::clone(why)) } else { Value::empty() };
        return Ok(Done { status: Status::of(is_there), output });
    }
    let has = |flag| asked.flags.contains(flag);
    let named = (has('H') || asked.files.len() > 1 || has('r') || has('R')) && !has('h');
    let (mut printed, mut any, mut unknown) = (Value::empty(), false, None);
    for Searched { name, text } in &searched {
        let text = match text {
            Value::Known(text) => text,
            Value::Unknown(why) => {
                printed.push(text);
                unknown = Some(std::rc::Rc::clone(why));
                continue;
            }
        };
        let holds = |line: &&str| expressions.iter().any(|e| e.is_match(line)) != has('v');
        let found: Vec<&str> = text.lines().filter(holds).collect();
        any |= !found.is_empty();
        let mark = if named { format!("{name}:") } else { String::new() };
        let lines = if has('l') {
            if found.is_empty() { String::new() } else { format!("{name}\n") }
        } else if has('c') {
            format!("{mark}{}\n", found.len())
        } else if has('o') {
            let Some(parts) = parts(&expressions, &found) else {
                return Done::unknown("which of several matches `grep -o` takes is not followed");
            };
            parts.iter().map(|part| format!("{mark}{part}\n")).collect()
        } else {
            found.iter().map(|line| format!("{mark}{line}\n")).collect()
        };
        printed.push(&lines.into());
    }
    // What matches anywhere matches; that nothing does is known only of what is known. `-q` asks for no more.
    let status = match (any, unknown) {
        (true, _) if has('q') => Status::SUCCESS,
        (true, None) if !is_missing => Status::SUCCESS,
        (_, None) if is_missing => Status::Known(2),
        (true, Some(_)) if !is_missing => Status::SUCCESS,
        (_, Some(why)) => Status::Unknown(why),
        (_, None) => Status::FAILURE,
    };
    Ok(Done { status, output: if has('q') { Value::empty() } else { printed } })
}

/// What matches in lines; none where POSIX might take a longer match, or that of another expression.
fn parts<'l>(expressions: &[regex::Regex], lines: &[&'l str]) -> Option<Vec<&'l str>> {
    let [expression] = expressions else { return None };
    let mut parts = Vec::new();
    for line in lines {
        for found in expression.find_iter(line) {
            if regular::is_longer(expression, line, found.start(), found.end()) {
                return None;
            }
            // It prints no empty ones.
            parts.extend(Some(found.as_str()).filter(|part| !part.is_empty()));
        }
    }
    Some(parts)
}

impl<'a> Asked<'a> {
    fn read(name: &str, words: &[&'a str]) -> Result<Self, String> {
        let mut asked = Self { flags: String::new(), patterns: Vec::new(), files: Vec::new() };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "-e" => asked.patterns.extend(words.next()),
                "--" => asked.files.extend(words.by_ref()),
                "--quiet" | "--silent" => asked.flags.push('q'),
                "--recursive" => asked.flags.push('r'),
                word if word.len() > 1 && word.starts_with('-') && !word.starts_with("--") => {
                    asked.flags.push_str(&word[1..]);
                }
                word if word.starts_with("--") => return Err(format!("`grep {word}` is not followed")),
                word => asked.files.push(word),
            }
        }
        if asked.patterns.is_empty() {
            if asked.files.is_empty() {
                return Err("what `grep` looks for is not known".to_owned());
            }
            asked.patterns.push(asked.files.remove(0));
        }
        asked.flags.extend(if name == "egrep" { Some('E') } else { None });
        asked.flags.extend(if name == "fgrep" { Some('F') } else { None });
        match asked.flags.chars().find(|flag| !"qsahHFEGPvxiowclrR".contains(*flag)) {
            Some(flag) => Err(format!("`grep -{flag}` is not followed")),
            None => Ok(asked),
        }
    }

    fn expressions(&self) -> Result<Vec<regex::Regex>, String> {
        let grammar = match self.flags.chars().find(|flag| "FEP".contains(*flag)) {
            Some('F') => Grammar::Fixed,
            Some('E') => Grammar::Extended,
            Some('P') => Grammar::Perl,
            _ => Grammar::Basic,
        };
        let mut expressions = Vec::new();
        for pattern in self.patterns.iter().flat_map(|pattern| pattern.split('\n')) {
            let mut pattern = regular::translate(pattern, grammar);
            if self.flags.contains('w') {
                pattern = format!("\\b(?:{pattern})\\b");
            }
            if self.flags.contains('x') {
                pattern = format!("^(?:{pattern})$");
            }
            match regular::compile(&pattern, self.flags.contains('i')) {
                Some(expression) => expressions.push(expression),
                None => return Err(format!("the pattern `{pattern}` is not followed")),
            }
        }
        Ok(expressions)
    }
}

/// What is searched, and whether something of it is not there.
fn searched(evaluator: &Evaluator<'_>, asked: &Asked<'_>) -> Result<(Vec<Searched>, bool), String> {
    let recursive = asked.flags.contains(['r', 'R']);
    let (mut searched, mut is_missing) = (Vec::new(), false);
    if asked.files.is_empty() && recursive {
        return Err("what is in the folder it searches is not followed".to_owned());
    }
    if asked.files.is_empty() {
        let text = input_about(evaluator, &[], &asked.patterns.join("\n"));
        return Ok((vec![Searched { name: "(standard input)".to_owned(), text }], false));
    }
    for file in &asked.files {
        if is_of_machine(file) {
            return Err(format!("`{file}` is of the machine, not of the image"));
        }
        match evaluator.seen(file, true) {
            Some(Seen::Directory) if recursive => {
                below(evaluator, file, asked.flags.contains('R'), &mut searched)?;
            }
            Some(Seen::Directory) => {}
            None if !matches!(*file, "-" | "/dev/null") => is_missing = true,
            _ => searched.push(Searched { name: (*file).to_owned(), text: input(evaluator, &[file]) }),
        }
    }
    Ok((searched, is_missing))
}

/// The files in a folder and in those in it. Links are passed over, unless they are followed.
fn below(evaluator: &Evaluator<'_>, folder: &str, follows: bool, searched: &mut Vec<Searched>) -> Result<(), String> {
    let path = paths::absolute(&evaluator.state.directory, folder);
    if paths::tree(&path).is_none_or(|path| Effects::is_passing(&path)) {
        return Err(format!("what is in `{folder}` is not known"));
    }
    for name in evaluator.names(&path) {
        let inside = format!("{}/{name}", folder.trim_end_matches('/'));
        match evaluator.seen(&inside, false) {
            Some(Seen::Directory) => below(evaluator, &inside, follows, searched)?,
            Some(Seen::Link(_)) if follows => return Err(format!("where `{inside}` leads to is not followed")),
            Some(Seen::File { .. }) => {
                let text = evaluator.content(&inside.as_str().into());
                searched.push(Searched { name: inside, text });
            }
            _ => {}
        }
    }
    Ok(())
}
