//! Simple commands: assignments, redirections, functions, what the shell does itself, and everything else by the table of
//! commands.

use brush_parser::ast::{
    Assignment, AssignmentName, AssignmentValue, CommandPrefixOrSuffixItem, IoRedirect, SimpleCommand, Word,
};

use super::{Evaluator, Flow, MOST_CALLS, Reach};
use crate::account::Became;
use crate::commands::{self, Arguments, Call, Done, Stuck};
use crate::condition;
use crate::script;
use crate::value::{Status, Value};

/// Does a command declare variables?
fn declares(command: &SimpleCommand) -> bool {
    command
        .word_or_name
        .as_ref()
        .is_some_and(|name| matches!(&*name.value, "export" | "local" | "typeset" | "readonly"))
}

impl Evaluator<'_> {
    pub(super) fn simple(&mut self, command: &SimpleCommand) -> Flow {
        let mut redirects: Vec<&IoRedirect> = Vec::new();
        let mut assignments: Vec<&Assignment> = Vec::new();
        let mut words: Vec<&Word> = Vec::new();
        let mut declared: Vec<&Assignment> = Vec::new();
        for item in command.prefix.iter().flat_map(|prefix| &prefix.0) {
            match item {
                CommandPrefixOrSuffixItem::IoRedirect(redirect) => redirects.push(redirect),
                CommandPrefixOrSuffixItem::AssignmentWord(assignment, _) => assignments.push(assignment),
                CommandPrefixOrSuffixItem::Word(word) => words.push(word),
                CommandPrefixOrSuffixItem::ProcessSubstitution(..) => {}
            }
        }
        words.extend(&command.word_or_name);
        for item in command.suffix.iter().flat_map(|suffix| &suffix.0) {
            match item {
                CommandPrefixOrSuffixItem::IoRedirect(redirect) => redirects.push(redirect),
                // `export A=b` is a word to the shell that hooks are written for; but what it names is known in any case.
                CommandPrefixOrSuffixItem::AssignmentWord(assignment, _) if declares(command) => {
                    declared.push(assignment);
                }
                CommandPrefixOrSuffixItem::AssignmentWord(_, word) | CommandPrefixOrSuffixItem::Word(word) => {
                    words.push(word);
                }
                CommandPrefixOrSuffixItem::ProcessSubstitution(..) => {}
            }
        }
        let mut fields = Vec::new();
        for word in words {
            fields.extend(self.fields(word));
        }
        declared.into_iter().for_each(|assignment| self.assign(assignment));
        let streams = self.streams(redirects.into_iter());
        let Some((name, arguments)) = fields.split_first() else {
            self.state.status = Status::SUCCESS;
            assignments.iter().for_each(|assignment| self.assign(assignment));
            if streams.output.is_some() {
                self.write(&streams, &Value::empty());
            }
            return Flow::Next;
        };
        // What is set for a command alone is as it was after it; what the command itself sets, as by `read`, stays.
        let names = assignments.iter().filter_map(|assignment| match &assignment.name {
            AssignmentName::VariableName(name) => Some(name.clone()),
            AssignmentName::ArrayElementName(..) => None,
        });
        let outer: Vec<(String, Option<Value>)> =
            names.map(|name| (name.clone(), self.state.variables.get(&name).cloned())).collect();
        assignments.iter().for_each(|assignment| self.assign(assignment));
        let outer_input = streams.input.clone().map(|input| self.state.input.replace(input));
        let (flow, printed) = self.capture(|evaluator| evaluator.named(name, arguments));
        // `exec > FILE` sends all that comes to the file.
        let sends_all = name.known() == Some("exec") && arguments.is_empty() && streams.output.is_some();
        let printed = if sends_all { Value::unknown("what is printed from there on is not followed") } else { printed };
        if streams.output.is_some() || printed != Value::empty() {
            self.write(&streams, &printed);
        }
        if let Some(input) = outer_input {
            self.state.input = input;
        }
        for (name, value) in outer {
            match value {
                Some(value) => drop(self.state.variables.insert(name, value)),
                None => drop(self.state.variables.remove(&name)),
            }
        }
        flow
    }

    fn assign(&mut self, assignment: &Assignment) {
        let value = match &assignment.value {
            AssignmentValue::Scalar(word) => self.word(word),
            AssignmentValue::Array(_) => Value::unknown("arrays are no part of the shell that hooks are written for"),
        };
        if let AssignmentName::VariableName(name) = &assignment.name {
            self.state.variables.insert(name.clone(), value);
        }
    }

    /// A command by its name.
    fn named(&mut self, name: &Value, arguments: &[Value]) -> Flow {
        let name = match name {
            Value::Known(name) => name.clone(),
            Value::Unknown(why) => {
                self.unfollowed(format!("which command this is is not known: {why}").into());
                self.state.status = Status::Unknown(std::rc::Rc::clone(why));
                return Flow::Next;
            }
        };
        if let Some(flow) = self.aliased(&name, arguments) {
            return flow;
        }
        if let Some(flow) = self.builtin(&name, arguments) {
            return flow;
        }
        if let Some((body, foreign)) = self.state.functions.get(&name).cloned() {
            if self.calls >= MOST_CALLS {
                self.unfollowed("functions call each other without end".into());
                return Flow::Next;
            }
            self.calls += 1;
            let outer = std::mem::replace(&mut self.state.arguments, arguments.to_vec());
            let outer_line = self.fixed_line;
            if foreign {
                self.fixed_line.get_or_insert(self.line);
            }
            let flow = self.until_met(Reach::Function, |evaluator| evaluator.redirected(&body.0, body.1.as_ref()));
            self.fixed_line = outer_line;
            self.state.arguments = outer;
            self.calls -= 1;
            return match flow {
                Flow::Exit(_) => flow,
                _ => Flow::Next,
            };
        }
        self.program(&name, arguments);
        Flow::Next
    }

    /// A program, by the table of commands.
    pub fn program(&mut self, name: &str, arguments: &[Value]) {
        let short = name.rsplit('/').next().unwrap_or(name);
        let call = Call { name: short, arguments: Arguments(arguments) };
        let result = match commands::find(short) {
            Some(handler) => handler(self, &call),
            None => return self.script_of_the_image(name, arguments),
        };
        match result {
            Ok(Done { status, output }) => {
                self.print(&output);
                self.state.status = status;
            }
            Err(Stuck(why)) => {
                self.unfollowed_with(&why, arguments);
                self.print(&Value::Unknown(std::rc::Rc::clone(&why)));
                self.state.status = Status::Unknown(why);
            }
        }
    }

    /// A program of the image that is itself a script of the shell is followed like the hook.
    fn script_of_the_image(&mut self, name: &str, arguments: &[Value]) {
        let path = commands::path_of(self, name);
        let at = path.as_deref().and_then(crate::paths::tree);
        let text = at
            .and_then(|path| self.world.read(&path))
            .filter(|text| super::is_shell(text.lines().next().unwrap_or_default()));
        let Some(text) = text.filter(|_| self.calls < MOST_CALLS) else {
            let why: std::rc::Rc<str> = format!("what `{name}` does is not known").into();
            self.unfollowed_with(&why, arguments);
            self.print(&Value::Unknown(std::rc::Rc::clone(&why)));
            self.state.status = Status::Unknown(why);
            return;
        };
        let before = self.state.unfollowed.len();
        self.calls += 1;
        self.subshell(|evaluator| {
            evaluator.state.arguments = arguments.to_vec();
            evaluator.state.functions.clear();
            evaluator.state.errexit = false;
            evaluator.text_as_commands(&text.into())
        });
        self.calls -= 1;
        if self.state.unfollowed.len() > before {
            self.state.status = Status::Unknown(format!("how `{name}` ends is not known").into());
        }
    }

    /// A text, as a shell of its own would follow it: nothing of its variables and functions is left.
    pub fn shell(&mut self, text: &str, arguments: &[Value]) {
        if self.calls >= MOST_CALLS {
            return self.unfollowed("texts evaluate each other without end".into());
        }
        self.calls += 1;
        self.subshell(|evaluator| {
            evaluator.state.arguments = arguments.to_vec();
            evaluator.state.functions.clear();
            evaluator.state.errexit = false;
            evaluator.text_as_commands(&text.into())
        });
        self.calls -= 1;
    }

    /// What the shell does itself. None when the name is of something else.
    fn builtin(&mut self, name: &str, arguments: &[Value]) -> Option<Flow> {
        let first = arguments.first();
        let known = |value: Option<&Value>| value.and_then(Value::known).map(str::to_owned);
        let mut status = Status::SUCCESS;
        match name {
            ":" | "true" | "wait" | "ulimit" | "hash" => {}
            "trap" => self.trap(arguments),
            "alias" => self.alias(arguments),
            "unalias" => {
                let names = arguments.iter().filter_map(Value::known);
                names.for_each(|name| drop(self.state.aliases.remove(name)));
            }
            "pwd" => {
                let directory = format!("{}\n", self.state.directory);
                self.print(&directory.into());
            }
            "false" => status = Status::FAILURE,
            "umask" => match first {
                None => {
                    let mask = format!("{:04o}\n", self.state.umask);
                    self.print(&mask.into());
                }
                Some(first) => match first.known().and_then(|mask| u16::from_str_radix(mask, 8).ok()) {
                    Some(mask) if mask <= 0o777 => self.state.umask = mask,
                    _ => self.unfollowed("which modes new files get is not known".into()),
                },
            },
            "exit" => {
                let code = known(first).map_or_else(|| self.state.status.truth(), |code| Some(code.trim() == "0"));
                return Some(Flow::Exit(code.unwrap_or(true)));
            }
            "return" => {
                if let Some(first) = first {
                    self.state.status = match first {
                        Value::Known(code) => Status::Known(code.trim().parse().unwrap_or(1)),
                        Value::Unknown(why) => Status::Unknown(std::rc::Rc::clone(why)),
                    };
                }
                return Some(Flow::Return);
            }
            "break" | "continue" => {
                self.state.status = Status::SUCCESS;
                return Some(if name == "break" { Flow::Break } else { Flow::Continue });
            }
            "set" => self.set_options(arguments),
            "shift" => {
                let count = known(first).and_then(|count| count.parse::<usize>().ok()).unwrap_or(1);
                let count = count.min(self.state.arguments.len());
                self.state.arguments.drain(..count);
            }
            "export" | "local" | "typeset" | "readonly" => {
                for argument in arguments {
                    match argument {
                        Value::Known(text) => {
                            if let Some((name, value)) = text.split_once('=') {
                                self.state.variables.insert(name.to_owned(), value.into());
                            }
                        }
                        Value::Unknown(why) => {
                            // Which of them is not known: the text before the `=` is gone with the rest.
                            let why = std::rc::Rc::clone(why);
                            self.unfollowed(format!("what is exported is not known: {why}").into());
                        }
                    }
                }
            }
            "unset" => {
                for name in arguments.iter().filter_map(Value::known) {
                    self.state.variables.remove(name);
                    self.state.functions.remove(name);
                }
            }
            "cd" => match known(first) {
                Some(path) => {
                    let path = crate::paths::absolute(&self.state.directory, &path);
                    status = Status::of(self.seen(&path, true) == Some(crate::world::Seen::Directory));
                    if status == Status::SUCCESS {
                        self.state.variables.insert("PWD".to_owned(), path.as_str().into());
                        self.state.directory = path;
                    }
                }
                None => self.unfollowed("the folder it changes to is not known".into()),
            },
            "test" | "[" => {
                let mut words = arguments;
                if name == "[" {
                    words = arguments.split_last().map_or(arguments, |(_, words)| words);
                }
                status = condition::test(self, words);
            }
            "read" => status = self.read(arguments),
            "eval" => return Some(self.text_as_commands(&Value::joined(arguments))),
            "." | "source" => return Some(self.sourced(first)),
            "exec" if arguments.is_empty() => {}
            "exec" => {
                // Nothing comes after it.
                let flow = self.named(&arguments[0], &arguments[1..]);
                return Some(if let Flow::Next = flow { Flow::Exit(true) } else { flow });
            }
            "command" => match known(first).as_deref() {
                Some("-v" | "-V") => status = self.command_path(arguments.get(1)),
                Some("-p") | None => return None,
                Some(_) => return Some(self.named(&arguments[0], &arguments[1..])),
            },
            "type" | "which" => status = self.command_path(arguments.iter().find(|word| word.known() != Some("-s"))),
            _ => return None,
        }
        self.state.status = status;
        Some(Flow::Next)
    }

    fn set_options(&mut self, arguments: &[Value]) {
        let mut rest = arguments;
        while let [word, more @ ..] = rest {
            match word.known() {
                Some("--") => {
                    self.state.arguments = more.to_vec();
                    return;
                }
                Some(word @ ("-o" | "+o")) => {
                    if more.first().and_then(Value::known) == Some("errexit") {
                        self.state.errexit = word == "-o";
                    }
                    rest = more.get(1..).unwrap_or_default();
                    continue;
                }
                Some(word) if word.starts_with('-') => self.state.errexit |= word.contains('e'),
                Some(word) if word.starts_with('+') => self.state.errexit &= !word.contains('e'),
                _ => {
                    self.state.arguments = rest.to_vec();
                    return;
                }
            }
            rest = more;
        }
    }

    /// `trap COMMANDS EXIT`: what the script does at its end. Signals come to no hook that is read.
    fn trap(&mut self, arguments: &[Value]) {
        let (commands, signals) = match arguments {
            [Value::Known(dashes), commands, signals @ ..] if dashes == "--" => (commands, signals),
            [commands, signals @ ..] => (commands, signals),
            [] => return,
        };
        if signals.iter().any(|signal| matches!(signal.known(), Some("EXIT" | "0"))) {
            self.state.at_exit = (commands.known() != Some("-")).then(|| commands.clone());
        }
    }

    /// `alias NAME=COMMAND`. The shell that hooks are written for knows them in scripts, bash does not.
    fn alias(&mut self, arguments: &[Value]) {
        if self.is_bash() {
            return;
        }
        for argument in arguments {
            match argument.known().and_then(|text| text.split_once('=')) {
                Some((name, command)) => drop(self.state.aliases.insert(name.to_owned(), command.to_owned())),
                None => self.unfollowed("what an alias stands for is not known".into()),
            }
        }
    }

    /// A command that an alias stands for, with the arguments behind it. None when it is no alias.
    fn aliased(&mut self, name: &str, arguments: &[Value]) -> Option<Flow> {
        // Within itself an alias is not one.
        let command = self.state.aliases.remove(name)?;
        if command.contains("$@") || command.contains("$*") || command.contains("$1") {
            self.unfollowed(format!("what the alias `{name}` is given is not followed").into());
        }
        let outer = std::mem::replace(&mut self.state.arguments, arguments.to_vec());
        let flow = self.text_as_commands(&format!("{command} \"$@\"").into());
        self.state.arguments = outer;
        self.state.aliases.insert(name.to_owned(), command);
        Some(flow)
    }

    /// What the script has said that it does at its end.
    pub(super) fn at_exit(&mut self) {
        if let Some(commands) = self.state.at_exit.take() {
            self.text_as_commands(&commands);
        }
    }

    /// `read`: the next line of the input, into variables.
    fn read(&mut self, arguments: &[Value]) -> Status {
        let raw = arguments.iter().any(|word| word.known() == Some("-r"));
        let names: Vec<String> = arguments
            .iter()
            .filter_map(Value::known)
            .filter(|word| !word.starts_with('-'))
            .map(str::to_owned)
            .collect();
        let unknown = |evaluator: &mut Self, why: &std::rc::Rc<str>| {
            for name in &names {
                evaluator.state.variables.insert(name.clone(), Value::Unknown(std::rc::Rc::clone(why)));
            }
            Status::Unknown(std::rc::Rc::clone(why))
        };
        let text = match self.state.input.clone() {
            Some(Value::Known(text)) => text,
            Some(Value::Unknown(why)) => return unknown(self, &why),
            None => return unknown(self, &"nobody is there to answer".into()),
        };
        let (line, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let ended = text.is_empty();
        let line = if raw { line.to_owned() } else { line.replace('\\', "") };
        self.state.input = Some(rest.into());
        let separators = match self.separators() {
            Value::Known(separators) => separators,
            Value::Unknown(why) => return unknown(self, &why),
        };
        let is_blank = |c: char| separators.contains(c) && c.is_ascii_whitespace();
        let mut words = line.trim_matches(is_blank);
        for (index, name) in names.iter().enumerate() {
            let value = if index + 1 == names.len() {
                // A separator that is no blank ends the last word too, where nothing comes after it.
                let last = std::mem::take(&mut words);
                last.strip_suffix(|c| separators.contains(c))
                    .filter(|word| !word.contains(|c| separators.contains(c)))
                    .unwrap_or(last)
            } else {
                let (first, more) = words.split_once(|c| separators.contains(c)).unwrap_or((words, ""));
                let blank = words[first.len()..].starts_with(is_blank);
                words = more.trim_start_matches(is_blank);
                if blank && let Some(after) = words.strip_prefix(|c| separators.contains(c)) {
                    words = after.trim_start_matches(is_blank);
                }
                first
            };
            self.state.variables.insert(name.clone(), value.into());
        }
        Status::of(!ended)
    }

    /// A text as commands of the script: `eval`, a sourced file, what a function of another file is.
    fn text_as_commands(&mut self, text: &Value) -> Flow {
        let text = match text {
            Value::Known(text) => text,
            Value::Unknown(why) => {
                self.unfollowed(format!("what is evaluated is not known: {why}").into());
                // It may have set the arguments, as after getopt(1).
                self.state.arguments = vec![Value::Unknown(std::rc::Rc::clone(why))];
                self.state.status = Status::Unknown(std::rc::Rc::clone(why));
                return Flow::Next;
            }
        };
        let program = match script::parse(text, self.is_bash()) {
            Ok(program) => program,
            Err(why) => {
                self.unfollowed(why.as_str().into());
                self.state.status = Status::Unknown(why.into());
                return Flow::Next;
            }
        };
        if self.calls >= MOST_CALLS {
            self.unfollowed("texts evaluate each other without end".into());
            return Flow::Next;
        }
        self.calls += 1;
        let outer = self.fixed_line.replace(self.fixed_line.unwrap_or(self.line));
        let mut flow = Flow::Next;
        for list in &program.complete_commands {
            flow = self.list(list);
            if flow != Flow::Next {
                break;
            }
        }
        self.fixed_line = outer;
        self.calls -= 1;
        flow
    }

    fn sourced(&mut self, path: Option<&Value>) -> Flow {
        let Some(path) = path.and_then(Value::known).map(str::to_owned) else {
            self.unfollowed("the file that is read is not known".into());
            return Flow::Next;
        };
        self.state.status = Status::SUCCESS;
        // What is in it are the commands of debconf, which are in the table.
        if path == "/usr/share/debconf/confmodule" || path == "/usr/share/debconf/confmodule.sh" {
            self.note(Became::Nothing("debconf's questions have their default answers, or those of the image"));
            return Flow::Next;
        }
        let text = self.content(&path.as_str().into());
        match self.text_as_commands(&text) {
            Flow::Return => Flow::Next,
            flow => flow,
        }
    }

    fn command_path(&mut self, name: Option<&Value>) -> Status {
        let name = match name {
            Some(Value::Known(name)) => name.clone(),
            Some(Value::Unknown(why)) => return Status::Unknown(std::rc::Rc::clone(why)),
            None => return Status::FAILURE,
        };
        if self.state.functions.contains_key(&name) || matches!(name.as_str(), "[" | "test" | "echo" | "printf" | ":") {
            self.print(&format!("{name}\n").into());
            return Status::SUCCESS;
        }
        match commands::path_of(self, &name) {
            Some(path) => {
                self.print(&format!("{path}\n").into());
                Status::SUCCESS
            }
            None => Status::FAILURE,
        }
    }
}
