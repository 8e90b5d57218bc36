//! Commands that hold others: `if`, `case`, `for`, `while`, groups, subshells, pipelines.

use std::rc::Rc;

use brush_parser::ast::{
    CaseClauseCommand, CaseItemPostAction, Command, CompoundCommand, CompoundList, ElseClause, ExtendedTestExpr,
    ForClauseCommand, FunctionDefinition, IfClauseCommand, RedirectList, SourceLocation,
};

use super::{Evaluator, Flow, MOST_STEPS, Reach, reason};
use crate::condition;
use crate::pattern;
use crate::value::{Status, Value};

impl Evaluator<'_> {
    pub(super) fn command(&mut self, command: &Command) -> Flow {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            self.unfollowed("it goes on without end".into());
            return Flow::Exit(true);
        }
        self.at(command.location());
        match command {
            Command::Simple(simple) => self.simple(simple),
            Command::Compound(compound, redirects) => self.redirected(compound, redirects.as_ref()),
            Command::Function(function) => {
                self.define(function);
                Flow::Next
            }
            Command::ExtendedTest(test, _) => {
                self.state.status = self.extended(&test.expr);
                Flow::Next
            }
        }
    }

    /// `[[`, as bash has it.
    fn extended(&mut self, test: &ExtendedTestExpr) -> Status {
        match test {
            ExtendedTestExpr::And(left, right) => {
                let left = self.extended(left);
                if left.truth() == Some(false) { left } else { condition::both(left, self.extended(right)) }
            }
            ExtendedTestExpr::Or(left, right) => {
                let left = self.extended(left);
                if left.truth() == Some(true) {
                    return left;
                }
                condition::both(left.negated(), self.extended(right).negated()).negated()
            }
            ExtendedTestExpr::Not(inner) => self.extended(inner).negated(),
            ExtendedTestExpr::Parenthesized(inner) => self.extended(inner),
            ExtendedTestExpr::UnaryTest(operator, word) => {
                let words = [operator.to_string().as_str().into(), self.word(word)];
                condition::test(self, &words)
            }
            ExtendedTestExpr::BinaryTest(operator, left, right) => {
                let (operator, quoted) = (operator.to_string(), right.value.contains(['\'', '"', '\\', '$']));
                let (left, right) = (self.word(left), self.word(right));
                let is_pattern = right.known().is_some_and(|right| right.contains(['*', '?', '[']));
                match (&*operator, &left, &right) {
                    ("=" | "==" | "!=", Value::Known(left), Value::Known(right)) if is_pattern && !quoted => {
                        Status::of(pattern::matches(right, left) == (operator != "!="))
                    }
                    ("=" | "==" | "!=", ..) if is_pattern => {
                        Status::Unknown("what is a pattern in this condition is not followed".into())
                    }
                    ("=~" | "<" | ">", ..) => Status::Unknown(format!("`{operator}` is not followed").into()),
                    _ => condition::test(self, &[left, operator.as_str().into(), right]),
                }
            }
        }
    }

    fn define(&mut self, function: &FunctionDefinition) {
        let foreign = self.fixed_line.is_some();
        self.state.functions.insert(function.fname.value.clone(), (Rc::new(function.body.clone()), foreign));
        self.state.status = Status::SUCCESS;
    }

    /// A compound command with what it reads and writes.
    pub(super) fn redirected(&mut self, compound: &CompoundCommand, redirects: Option<&RedirectList>) -> Flow {
        let Some(redirects) = redirects else { return self.compound(compound) };
        let streams = self.streams(redirects.0.iter());
        let outer = streams.input.clone().map(|input| self.state.input.replace(input));
        let flow = if streams.output.is_some() {
            let (flow, text) = self.capture(|evaluator| evaluator.compound(compound));
            self.write(&streams, &text);
            flow
        } else {
            self.compound(compound)
        };
        if let Some(outer) = outer {
            self.state.input = outer;
        }
        flow
    }

    fn compound(&mut self, compound: &CompoundCommand) -> Flow {
        match compound {
            CompoundCommand::BraceGroup(group) => self.list(&group.list),
            CompoundCommand::Subshell(subshell) => self.subshell(|evaluator| evaluator.list(&subshell.list)),
            CompoundCommand::IfClause(clause) => self.if_clause(clause),
            CompoundCommand::CaseClause(clause) => self.case_clause(clause),
            CompoundCommand::ForClause(clause) => self.until_met(Reach::Loop, |evaluator| evaluator.for_clause(clause)),
            CompoundCommand::WhileClause(clause) => {
                self.until_met(Reach::Loop, |evaluator| evaluator.while_clause(&clause.0, &clause.1.list, true))
            }
            CompoundCommand::UntilClause(clause) => {
                self.until_met(Reach::Loop, |evaluator| evaluator.while_clause(&clause.0, &clause.1.list, false))
            }
            _ => {
                self.unfollowed("this is no command of the shell that hooks are written for".into());
                Flow::Next
            }
        }
    }

    /// Follows something whose variables and folder do not outlive it. What it does to the system does.
    pub(super) fn subshell(&mut self, inner: impl FnOnce(&mut Self) -> Flow) -> Flow {
        let variables = self.state.variables.clone();
        let functions = self.state.functions.clone();
        let (arguments, directory) = (self.state.arguments.clone(), self.state.directory.clone());
        let (errexit, umask) = (self.state.errexit, self.state.umask);
        let (aliases, at_exit) = (self.state.aliases.clone(), self.state.at_exit.take());
        self.nested += 1;
        self.until_met(Reach::Script, |evaluator| {
            // It ends the subshell, not the script.
            match inner(evaluator) {
                Flow::Exit(false) => evaluator.state.status = Status::FAILURE,
                Flow::Exit(true) => evaluator.state.status = Status::SUCCESS,
                _ => {}
            }
            let status = evaluator.state.status.clone();
            evaluator.at_exit();
            evaluator.state.status = status;
            Flow::Next
        });
        self.nested -= 1;
        self.state.variables = variables;
        self.state.functions = functions;
        (self.state.aliases, self.state.at_exit) = (aliases, at_exit);
        (self.state.arguments, self.state.directory) = (arguments, directory);
        (self.state.errexit, self.state.umask) = (errexit, umask);
        Flow::Next
    }

    pub(super) fn piped(&mut self, commands: &[Command]) -> Flow {
        let outer = self.state.input.clone();
        let last = commands.len().saturating_sub(1);
        for (index, command) in commands.iter().enumerate() {
            // A pipeline's status is that of its last command; of the others nobody looks at it.
            self.in_condition += usize::from(index < last);
            if index < last {
                let (_, text) = self.capture(|evaluator| evaluator.subshell(|evaluator| evaluator.command(command)));
                self.state.input = Some(text);
            } else {
                self.subshell(|evaluator| evaluator.command(command));
            }
            self.in_condition -= usize::from(index < last);
        }
        self.state.input = outer;
        Flow::Next
    }

    fn condition(&mut self, list: &CompoundList) -> Flow {
        self.in_condition += 1;
        let flow = self.list(list);
        self.in_condition -= 1;
        flow
    }

    fn if_clause(&mut self, clause: &IfClauseCommand) -> Flow {
        let elses = clause.elses.as_deref().unwrap_or_default();
        self.branch(&clause.condition, &clause.then, elses)
    }

    fn branch(&mut self, condition: &CompoundList, then: &CompoundList, elses: &[ElseClause]) -> Flow {
        let flow = self.condition(condition);
        if flow != Flow::Next {
            return flow;
        }
        self.at(condition.location());
        let status = self.state.status.clone();
        match status.truth() {
            Some(true) => self.list(then),
            Some(false) => self.otherwise(elses),
            None => {
                self.fork(&reason(&status), |evaluator| evaluator.list(then), |evaluator| evaluator.otherwise(elses))
            }
        }
    }

    fn otherwise(&mut self, elses: &[ElseClause]) -> Flow {
        self.state.status = Status::SUCCESS;
        match elses.split_first() {
            None => Flow::Next,
            Some((clause, more)) => match &clause.condition {
                Some(condition) => self.branch(condition, &clause.body, more),
                None => self.list(&clause.body),
            },
        }
    }

    fn case_clause(&mut self, clause: &CaseClauseCommand) -> Flow {
        let value = self.word(&clause.value);
        self.state.status = Status::SUCCESS;
        let text = match value {
            Value::Known(text) => text,
            Value::Unknown(why) => {
                return self.any_of(&why, &clause.cases.iter().map(|case| case.cmd.as_ref()).collect::<Vec<_>>());
            }
        };
        let mut falls_through = false;
        for case in &clause.cases {
            let mut matched = falls_through;
            for word in &case.patterns {
                match self.pattern(word) {
                    Value::Known(pattern) => matched |= pattern::matches(&pattern, &text),
                    Value::Unknown(why) => {
                        let bodies: Vec<_> = clause.cases.iter().map(|case| case.cmd.as_ref()).collect();
                        return self.any_of(&why, &bodies);
                    }
                }
            }
            if !matched {
                continue;
            }
            if let Some(body) = &case.cmd {
                let flow = self.list(body);
                if flow != Flow::Next {
                    return flow;
                }
            }
            match case.post_action {
                CaseItemPostAction::ExitCase => return Flow::Next,
                CaseItemPostAction::UnconditionallyExecuteNextCaseItem => falls_through = true,
                CaseItemPostAction::ContinueEvaluatingCases => falls_through = false,
            }
        }
        Flow::Next
    }

    /// Follows every one of several ways, or none of them.
    fn any_of(&mut self, why: &Rc<str>, bodies: &[Option<&CompoundList>]) -> Flow {
        match bodies.split_first() {
            None => Flow::Next,
            Some((body, more)) => self.fork(
                why,
                |evaluator| body.map_or(Flow::Next, |body| evaluator.list(body)),
                |evaluator| evaluator.any_of(why, more),
            ),
        }
    }

    fn for_clause(&mut self, clause: &ForClauseCommand) -> Flow {
        let values = match &clause.values {
            None => self.state.arguments.clone(),
            Some(words) => {
                let mut values = Vec::new();
                for word in words {
                    values.extend(self.fields(word));
                }
                values
            }
        };
        self.state.status = Status::SUCCESS;
        for value in values {
            if let Value::Unknown(why) = &value {
                // One that is not known may be none, or many.
                let why = Rc::clone(why);
                self.state.variables.insert(clause.variable_name.clone(), value);
                let flow = self.fork(&why, |evaluator| evaluator.list(&clause.body.list), |_| Flow::Next);
                if let Flow::Exit(_) | Flow::Return = flow {
                    return flow;
                }
                continue;
            }
            self.state.variables.insert(clause.variable_name.clone(), value);
            match self.list(&clause.body.list) {
                Flow::Next | Flow::Continue => {}
                Flow::Break => break,
                flow => return flow,
            }
        }
        Flow::Next
    }

    fn while_clause(&mut self, condition: &CompoundList, body: &CompoundList, wanted: bool) -> Flow {
        loop {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                self.unfollowed("it goes on without end".into());
                return Flow::Next;
            }
            let flow = self.condition(condition);
            if flow != Flow::Next {
                return flow;
            }
            self.at(condition.location());
            let status = self.state.status.clone();
            match status.truth() {
                Some(truth) if truth == wanted => match self.list(body) {
                    Flow::Next | Flow::Continue => {}
                    Flow::Break => return Flow::Next,
                    flow => return flow,
                },
                Some(_) => {
                    self.state.status = Status::SUCCESS;
                    return Flow::Next;
                }
                None => {
                    let flow = self.fork(&reason(&status), |evaluator| evaluator.list(body), |_| Flow::Next);
                    return if let Flow::Exit(_) | Flow::Return = flow { flow } else { Flow::Next };
                }
            }
        }
    }
}
