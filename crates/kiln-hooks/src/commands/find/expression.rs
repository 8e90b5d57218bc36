//! The expression of find(1): what is asked of each path and done with it.

use crate::commands::{Stuck, stuck};

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Test(Test),
    Act(Action),
}

/// What is asked of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    Always(bool),
    /// It is of one of these types, by their letters.
    Type(String),
    /// Its last component, or all of it, matches, with capitals told apart or not.
    Name {
        pattern: String,
        whole: bool,
        folded: bool,
    },
    Empty,
    /// `-perm MODE`, `-perm -MODE`, `-perm /MODE`: exactly these bits, all of them, any of them.
    Mode(char, u16),
    /// Something that nobody knows of a path of an image, by the name of the test.
    Unknown(String),
}

/// What is done with a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// It is printed, with this behind it.
    Print(char),
    /// These words run, for each path or, with `+`, once with all of them.
    Run {
        words: Vec<String>,
        together: bool,
    },
    Delete,
    Prune,
}

/// All that `find` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search<'a> {
    /// Where it begins.
    pub starts: Vec<&'a str>,
    /// Are links followed that are given by name?
    pub follows_starts: bool,
    /// The least and the greatest depth of what is asked about.
    pub depths: (usize, usize),
    /// Does what is in a folder come before the folder?
    pub inside_first: bool,
    pub expression: Node,
}

impl Node {
    fn any(&self, holds: &impl Fn(&Action) -> bool) -> bool {
        match self {
            Self::And(left, right) | Self::Or(left, right) => left.any(holds) || right.any(holds),
            Self::Not(inner) => inner.any(holds),
            Self::Test(_) => false,
            Self::Act(action) => holds(action),
        }
    }
}

impl Search<'_> {
    /// Reads the words of a command.
    pub fn read<'a>(words: &[&'a str]) -> Result<Search<'a>, Stuck> {
        let mut rest = words;
        let mut follows_starts = false;
        while let [option @ ("-H" | "-L" | "-P"), more @ ..] = rest {
            if *option == "-L" {
                return stuck("`find -L` is not followed");
            }
            follows_starts = *option == "-H";
            rest = more;
        }
        let begins = |word: &&&str| word.starts_with('-') && word.len() > 1 || matches!(**word, "(" | "!" | ")");
        let count = rest.iter().take_while(|word| !begins(word)).count();
        let (starts, expression) = rest.split_at(count);
        let starts = if starts.is_empty() { vec!["."] } else { starts.to_vec() };
        let mut parser = Parser { words: expression, depths: (0, usize::MAX), inside_first: false };
        let mut node = if expression.is_empty() { Node::Test(Test::Always(true)) } else { parser.or()? };
        if let Some(word) = parser.words.first() {
            return stuck(format!("`find ... {word}` is not followed"));
        }
        if !node.any(&|action| *action != Action::Prune) {
            node = Node::And(Box::new(node), Box::new(Node::Act(Action::Print('\n'))));
        }
        let inside_first = parser.inside_first || node.any(&|action| *action == Action::Delete);
        if inside_first && node.any(&|action| *action == Action::Prune) {
            return stuck("`-prune` has no effect where folders come last");
        }
        Ok(Search { starts, follows_starts, depths: parser.depths, inside_first, expression: node })
    }
}

struct Parser<'p, 'a> {
    words: &'p [&'a str],
    depths: (usize, usize),
    inside_first: bool,
}

impl<'a> Parser<'_, 'a> {
    fn next(&mut self) -> Result<&'a str, Stuck> {
        let Some((word, rest)) = self.words.split_first() else {
            return stuck("the expression of `find` ends too early");
        };
        self.words = rest;
        Ok(word)
    }

    fn or(&mut self) -> Result<Node, Stuck> {
        let mut node = self.and()?;
        while let Some(&("-o" | "-or")) = self.words.first() {
            self.next()?;
            node = Node::Or(Box::new(node), Box::new(self.and()?));
        }
        Ok(node)
    }

    fn and(&mut self) -> Result<Node, Stuck> {
        let mut node = self.not()?;
        loop {
            match self.words.first() {
                None | Some(&("-o" | "-or" | ")")) => return Ok(node),
                Some(&("-a" | "-and")) => drop(self.next()?),
                Some(_) => {}
            }
            node = Node::And(Box::new(node), Box::new(self.not()?));
        }
    }

    fn not(&mut self) -> Result<Node, Stuck> {
        match self.next()? {
            "!" | "-not" => Ok(Node::Not(Box::new(self.not()?))),
            "(" => {
                let node = self.or()?;
                match self.next()? {
                    ")" => Ok(node),
                    word => stuck(format!("`find ... {word}` is not followed")),
                }
            }
            word => self.primary(word),
        }
    }

    fn primary(&mut self, word: &'a str) -> Result<Node, Stuck> {
        let always = Node::Test(Test::Always(true));
        let test = match word {
            "-true" => Test::Always(true),
            "-false" => Test::Always(false),
            "-empty" => Test::Empty,
            "-type" => {
                let types = self.next()?.replace(',', "");
                if types.is_empty() || !types.chars().all(|letter| "fdlbcpsD".contains(letter)) {
                    return stuck(format!("`-type {types}` is not followed"));
                }
                Test::Type(types)
            }
            "-name" | "-iname" | "-path" | "-wholename" | "-ipath" | "-iwholename" => {
                let whole = !word.ends_with("-name") && !word.ends_with("-iname");
                Test::Name { pattern: self.next()?.to_owned(), whole, folded: word.starts_with("-i") }
            }
            "-perm" => {
                let mode = self.next()?;
                let sign = mode.chars().next().filter(|c| matches!(c, '-' | '/')).unwrap_or('=');
                match u16::from_str_radix(mode.trim_start_matches(['-', '/']), 8) {
                    Ok(bits) => Test::Mode(sign, bits),
                    Err(_) => Test::Unknown(format!("-perm {mode}")),
                }
            }
            "-user" | "-group" | "-uid" | "-gid" | "-newer" | "-mtime" | "-mmin" | "-ctime" | "-cmin" | "-atime"
            | "-amin" | "-anewer" | "-cnewer" | "-size" | "-links" | "-inum" | "-regex" | "-iregex" | "-lname"
            | "-samefile" => Test::Unknown(format!("{word} {}", self.next()?)),
            "-nouser" | "-nogroup" | "-readable" | "-writable" | "-executable" => Test::Unknown(word.to_owned()),
            "-maxdepth" | "-mindepth" => {
                let Ok(depth) = self.next()?.parse() else { return stuck("this depth is no number") };
                if word == "-maxdepth" {
                    self.depths.1 = depth;
                } else {
                    self.depths.0 = depth;
                }
                return Ok(always);
            }
            "-depth" | "-d" => {
                self.inside_first = true;
                return Ok(always);
            }
            // An image is one file system.
            "-xdev" | "-mount" | "-noleaf" | "-ignore_readdir_race" | "-warn" | "-nowarn" => return Ok(always),
            "-print" => return Ok(Node::Act(Action::Print('\n'))),
            "-print0" => return Ok(Node::Act(Action::Print('\0'))),
            "-delete" => return Ok(Node::Act(Action::Delete)),
            "-prune" => return Ok(Node::Act(Action::Prune)),
            "-exec" => return self.run(),
            word => return stuck(format!("`find ... {word}` is not followed")),
        };
        Ok(Node::Test(test))
    }

    /// `-exec COMMAND ;` and `-exec COMMAND {} +`.
    fn run(&mut self) -> Result<Node, Stuck> {
        let mut words: Vec<String> = Vec::new();
        loop {
            match self.next()? {
                ";" => return Ok(Node::Act(Action::Run { words, together: false })),
                "+" if words.last().is_some_and(|word| word == "{}") => {
                    words.pop();
                    return Ok(Node::Act(Action::Run { words, together: true }));
                }
                word => words.push(word.to_owned()),
            }
        }
    }
}
