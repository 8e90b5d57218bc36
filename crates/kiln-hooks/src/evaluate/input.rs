//! Where a command reads from and writes to.

use brush_parser::ast::{IoFileRedirectKind, IoFileRedirectTarget, IoRedirect};

use kiln_model::facts::Mode;

use super::Evaluator;
use crate::account::Became;
use crate::paths;
use crate::state::{Effects, Made, MadeKind, USUAL_UMASK};
use crate::value::Value;
use crate::world::Seen;

/// Where what a command prints goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::evaluate) enum Output {
    /// Nowhere that lasts: a device, a closed or an error stream.
    Dropped,
    /// To this file.
    File { path: String, append: bool },
    /// To a file whose name is not known.
    Unknown(std::rc::Rc<str>),
}

/// What redirections say.
#[derive(Debug, Default)]
pub(in crate::evaluate) struct Streams {
    pub input: Option<Value>,
    /// None: where the commands around this one print.
    pub output: Option<Output>,
}

impl Evaluator<'_> {
    pub(super) fn streams<'a>(&mut self, redirects: impl Iterator<Item = &'a IoRedirect>) -> Streams {
        let mut streams = Streams::default();
        for redirect in redirects {
            match redirect {
                IoRedirect::HereDocument(fd, document) if fd.unwrap_or(0) == 0 => {
                    let mut text = document.doc.value.clone();
                    if document.remove_tabs {
                        text = text.lines().map(|line| format!("{}\n", line.trim_start_matches('\t'))).collect();
                    }
                    let input = if document.requires_expansion { self.document(&text) } else { text.into() };
                    streams.input = Some(input);
                }
                IoRedirect::File(fd, kind, target) => self.file(*fd, kind, target, &mut streams),
                IoRedirect::OutputAndError(word, append) => {
                    let path = self.word(word);
                    streams.output = Some(self.output(path, *append));
                }
                _ => streams.input = Some(Value::unknown("where it reads from is not followed")),
            }
        }
        streams
    }

    fn file(
        &mut self,
        fd: Option<i32>,
        kind: &IoFileRedirectKind,
        target: &IoFileRedirectTarget,
        streams: &mut Streams,
    ) {
        use IoFileRedirectKind as Kind;
        let name = match target {
            IoFileRedirectTarget::Filename(word) | IoFileRedirectTarget::Duplicate(word) => self.word(word),
            IoFileRedirectTarget::Fd(number) => number.to_string().into(),
            IoFileRedirectTarget::ProcessSubstitution(..) => Value::unknown("process substitution is not followed"),
        };
        match kind {
            Kind::Read | Kind::ReadAndWrite if fd.unwrap_or(0) == 0 => streams.input = Some(self.content(&name)),
            Kind::Write | Kind::Clobber | Kind::Append if fd.unwrap_or(1) == 1 => {
                streams.output = Some(self.output(name, matches!(kind, Kind::Append)));
            }
            // To the error stream, or wherever another stream goes that is no file of the image.
            Kind::DuplicateOutput if fd.unwrap_or(1) == 1 => streams.output = Some(Output::Dropped),
            Kind::Write | Kind::Clobber | Kind::Append => {
                // An error stream that goes to a file would leave a file behind, with whatever was complained about.
                if let Output::File { path, .. } = self.output(name, false)
                    && !paths::tree(&path).is_some_and(|path| Effects::is_passing(&path))
                {
                    self.unfollowed("what goes to the error stream is not known".into());
                }
            }
            _ => {}
        }
    }

    fn output(&self, name: Value, append: bool) -> Output {
        match name {
            Value::Known(name) if name.starts_with("/dev/") => Output::Dropped,
            Value::Known(name) => Output::File { path: paths::absolute(&self.state.directory, &name), append },
            Value::Unknown(why) => Output::Unknown(why),
        }
    }

    /// The text of a file.
    pub fn content(&self, name: &Value) -> Value {
        let name = match name {
            Value::Known(name) => name,
            unknown => return unknown.clone(),
        };
        let path = paths::absolute(&self.state.directory, name);
        if path == "/dev/null" {
            return Value::empty();
        }
        let Some(at) = paths::tree(&path) else { return Value::unknown("it is no path of an image") };
        match self.state.effects.made.get(&at).map(|made| &made.kind) {
            Some(MadeKind::Text(text)) => text.as_str().into(),
            Some(MadeKind::Copy(from)) => self.shipped(&from.to_string()),
            Some(MadeKind::Unknown(why)) => Value::Unknown(std::rc::Rc::clone(why)),
            Some(MadeKind::OfMachine(_)) => Value::unknown(format!("`{path}` is made by each machine for itself")),
            Some(_) => Value::unknown(format!("`{path}` is no file")),
            None => self.shipped(&path),
        }
    }

    fn shipped(&self, path: &str) -> Value {
        let text = paths::tree(path).and_then(|path| self.world.read(&path));
        text.map_or_else(|| Value::unknown(format!("what is in `{path}` is not known")), Value::from)
    }

    /// Puts what was printed where it goes.
    pub(in crate::evaluate) fn write(&mut self, streams: &Streams, text: &Value) {
        match &streams.output {
            None => self.print(text),
            Some(Output::Dropped) => {}
            Some(Output::Unknown(why)) => self.unfollowed(format!("where it writes to is not known: {why}").into()),
            Some(Output::File { path, append }) => self.write_file(path, *append, text),
        }
    }

    /// Gives a file that the hook made another content.
    pub fn put_text(&mut self, path: &kiln_model::TreePath, text: &Value) -> Result<(), crate::commands::Stuck> {
        let before = self.state.unfollowed.len();
        self.write_file(&path.to_string(), false, text);
        if self.state.unfollowed.len() > before {
            return Err(crate::commands::Stuck(format!("it changes `{path}`").into()));
        }
        Ok(())
    }

    fn write_file(&mut self, path: &str, append: bool, text: &Value) {
        let Some(at) = paths::tree(path) else {
            return self.unfollowed(format!("`{path}` is no path of an image").into());
        };
        let mut content = Value::empty();
        if append {
            let there = paths::seen(self.world, &self.state.effects, path, true);
            if matches!(there, Some(Seen::File { .. })) {
                content = self.content(&path.into());
            }
        }
        content.push(text);
        let kind = match content {
            Value::Known(text) => MadeKind::Text(text),
            Value::Unknown(why) => MadeKind::Unknown(why),
        };
        if !Effects::is_passing(&at) {
            if let MadeKind::Unknown(why) = &kind {
                if let Some(made) = self.state.effects.made.get_mut(&at) {
                    made.kind = kind.clone();
                }
                return self.unfollowed(format!("what it writes to `{path}` is not known: {why}").into());
            }
            let is_there = !self.state.effects.made.contains_key(&at) && self.world.entry(&at, true).is_some();
            let is_same =
                |made: &MadeKind| matches!(made, MadeKind::Text(text) if self.world.read(&at).as_ref() == Some(text));
            if is_there && !self.state.effects.removed.contains(&at) && is_same(&kind) {
                return;
            }
            if is_there && !self.world.may_change(&at) {
                return self.unfollowed(format!("it changes `{path}`, which a package ships").into());
            }
        }
        let mode = (self.state.umask != USUAL_UMASK).then(|| Mode::new(0o666 & !self.state.umask));
        self.effect(Became::Fact("file", path.to_owned()), |effects| match effects.made.get_mut(&at) {
            Some(made) => made.kind = kind,
            None => {
                effects.made.insert(at, Made { mode, ..Made::new(kind) });
            }
        });
    }
}
