//! Values that are known, or not, and why not.

use std::rc::Rc;

/// A text of the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// This text.
    Known(String),
    /// It cannot be known, for this reason.
    Unknown(Rc<str>),
}

/// How a command ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// With this exit code.
    Known(u8),
    /// It cannot be known, for this reason.
    Unknown(Rc<str>),
}

impl Value {
    pub fn unknown(why: impl Into<Rc<str>>) -> Self {
        Self::Unknown(why.into())
    }

    pub fn empty() -> Self {
        Self::Known(String::new())
    }

    /// Puts another text after this one.
    pub fn push(&mut self, more: &Self) {
        match (&mut *self, more) {
            (Self::Known(text), Self::Known(more)) => text.push_str(more),
            (Self::Known(_), unknown) => *self = unknown.clone(),
            (Self::Unknown(_), _) => {}
        }
    }

    /// Texts with a space between them.
    pub fn joined(values: &[Self]) -> Self {
        let mut whole = Self::empty();
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                whole.push(&" ".into());
            }
            whole.push(value);
        }
        whole
    }

    pub fn known(&self) -> Option<&str> {
        match self {
            Self::Known(text) => Some(text),
            Self::Unknown(_) => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Known(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Known(text)
    }
}

impl Status {
    pub const SUCCESS: Self = Self::Known(0);
    pub const FAILURE: Self = Self::Known(1);

    pub fn of(holds: bool) -> Self {
        Self::Known(u8::from(!holds))
    }

    /// Does it say yes?
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Known(code) => Some(*code == 0),
            Self::Unknown(_) => None,
        }
    }

    pub fn negated(self) -> Self {
        match self {
            Self::Known(code) => Self::of(code != 0),
            unknown @ Self::Unknown(_) => unknown,
        }
    }
}
