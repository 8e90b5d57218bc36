//! `test` and `[`, with answers that may not be known.

use std::rc::Rc;

use crate::commands;
use crate::evaluate::Evaluator;
use crate::paths;
use crate::value::{Status, Value};
use crate::world::Seen;

/// What `test` says.
pub(crate) fn test(evaluator: &mut Evaluator<'_>, words: &[Value]) -> Status {
    let mut parser = Test { evaluator, words, at: 0 };
    if words.is_empty() {
        return Status::FAILURE;
    }
    let status = parser.or();
    if parser.at < words.len() {
        return Status::Unknown("this condition is not understood".into());
    }
    status
}

struct Test<'t, 'w> {
    evaluator: &'t mut Evaluator<'w>,
    words: &'t [Value],
    at: usize,
}

/// Both, as far as they are known.
pub(crate) fn both(left: Status, right: Status) -> Status {
    match (left.truth(), right.truth()) {
        (Some(false), _) | (_, Some(false)) => Status::FAILURE,
        (Some(true), Some(true)) => Status::SUCCESS,
        (None, _) => left,
        _ => right,
    }
}

impl Test<'_, '_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).and_then(Value::known)
    }

    fn next(&mut self) -> Option<Value> {
        let word = self.words.get(self.at).cloned();
        self.at += usize::from(word.is_some());
        word
    }

    fn or(&mut self) -> Status {
        let mut status = self.and();
        while self.peek() == Some("-o") {
            self.at += 1;
            let right = self.and();
            status = both(status.negated(), right.negated()).negated();
        }
        status
    }

    fn and(&mut self) -> Status {
        let mut status = self.not();
        while self.peek() == Some("-a") {
            self.at += 1;
            let right = self.not();
            status = both(status, right);
        }
        status
    }

    fn not(&mut self) -> Status {
        if self.peek() == Some("!") && self.at + 1 < self.words.len() {
            self.at += 1;
            return self.not().negated();
        }
        self.primary()
    }

    fn primary(&mut self) -> Status {
        let left = self.words.len() - self.at;
        let second = self.words.get(self.at + 1).and_then(Value::known).map(str::to_owned);
        if left >= 3
            && let Some(operator) = second.filter(|word| is_binary(word))
        {
            let (Some(first), _, Some(third)) = (self.next(), self.next(), self.next()) else {
                return Status::FAILURE;
            };
            return binary(&first, &operator, &third);
        }
        if self.peek() == Some("(") && left >= 3 {
            self.at += 1;
            let status = self.or();
            if self.peek() == Some(")") {
                self.at += 1;
                return status;
            }
            return Status::Unknown("this condition is not understood".into());
        }
        let operator = self.peek().filter(|word| is_unary(word)).map(str::to_owned);
        if left >= 2
            && let Some(operator) = operator
        {
            self.at += 1;
            let operand = self.next().unwrap_or_else(Value::empty);
            return self.unary(&operator, &operand);
        }
        match self.next() {
            Some(Value::Known(text)) => Status::of(!text.is_empty()),
            Some(Value::Unknown(why)) => Status::Unknown(why),
            None => Status::FAILURE,
        }
    }

    fn unary(&self, operator: &str, operand: &Value) -> Status {
        let text = match operand {
            Value::Known(text) => text,
            Value::Unknown(why) => return Status::Unknown(Rc::clone(why)),
        };
        match operator {
            "-n" => return Status::of(!text.is_empty()),
            "-z" => return Status::of(text.is_empty()),
            "-t" => return Status::FAILURE,
            _ => {}
        }
        if text.is_empty() {
            return Status::FAILURE;
        }
        let path = paths::absolute(&self.evaluator.state.directory, text);
        if let Some(answer) = outside(&path) {
            return answer;
        }
        if operator == "-x" && commands::is_assumed(self.evaluator, &path) {
            return Status::SUCCESS;
        }
        let seen = self.evaluator.seen(&path, !matches!(operator, "-h" | "-L"));
        Status::of(match operator {
            "-e" | "-r" | "-w" => seen.is_some(),
            "-d" => seen == Some(Seen::Directory),
            "-f" => matches!(seen, Some(Seen::File { .. })),
            "-h" | "-L" => matches!(seen, Some(Seen::Link(_))),
            "-s" => matches!(seen, Some(Seen::File { size: 1.., .. } | Seen::Directory)),
            "-x" => matches!(seen, Some(Seen::File { executable: true, .. } | Seen::Directory)),
            "-b" | "-c" | "-p" | "-S" => {
                return if seen == Some(Seen::Other) {
                    Status::Unknown(format!("which kind of file `{path}` is is not known").into())
                } else {
                    Status::FAILURE
                };
            }
            "-k" | "-u" | "-g" => {
                let bit = match operator {
                    "-k" => 0o1000,
                    "-u" => 0o4000,
                    _ => 0o2000,
                };
                let Some(at) = paths::tree(&path).filter(|_| seen.is_some()) else { return Status::FAILURE };
                match commands::mode_of(self.evaluator, &at) {
                    Some(mode) => mode & bit != 0,
                    None => return Status::Unknown(format!("which mode `{path}` has is not known").into()),
                }
            }
            _ => return Status::Unknown(format!("`{operator}` is not followed").into()),
        })
    }
}

/// Paths that say something of a running system. Nothing runs while an image is made.
fn outside(path: &str) -> Option<Status> {
    if path.starts_with("/run/systemd/") || path == "/run/systemd" || path.starts_with("/run/initctl") {
        return Some(Status::FAILURE);
    }
    ["/proc/", "/sys/", "/dev/"]
        .iter()
        .any(|folder| path.starts_with(folder))
        .then(|| Status::Unknown(format!("`{path}` is of the machine, not of the image").into()))
}

fn is_binary(word: &str) -> bool {
    matches!(word, "=" | "==" | "!=" | "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge" | "-nt" | "-ot" | "-ef")
}

fn is_unary(word: &str) -> bool {
    word.len() == 2 && word.starts_with('-') && "bcdefghknLprsStuwxz".contains(&word[1..])
}

fn binary(left: &Value, operator: &str, right: &Value) -> Status {
    let (left, right) = match (left, right) {
        (Value::Known(left), Value::Known(right)) => (left, right),
        (Value::Unknown(why), _) | (_, Value::Unknown(why)) => return Status::Unknown(Rc::clone(why)),
    };
    match operator {
        "=" | "==" => return Status::of(left == right),
        "!=" => return Status::of(left != right),
        "-nt" | "-ot" | "-ef" => return Status::Unknown("the times of files are not known".into()),
        _ => {}
    }
    let (Ok(left), Ok(right)) = (left.trim().parse::<i64>(), right.trim().parse::<i64>()) else {
        return Status::Known(2);
    };
    Status::of(match operator {
        "-eq" => left == right,
        "-ne" => left != right,
        "-lt" => left < right,
        "-le" => left <= right,
        "-gt" => left > right,
        _ => left >= right,
    })
}
