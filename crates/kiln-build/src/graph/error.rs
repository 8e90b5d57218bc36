//! What goes wrong in a graph: in one action, and in the whole.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// The log of an action that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedLog {
    /// Where all of it is.
    pub path: PathBuf,
    /// Its last lines.
    pub tail: Vec<String>,
}

/// Why an action failed: any error, with the way out and the log if there is one.
///
/// Actions come from many crates, each with its own errors, so this holds the error as it is. It shows as that error
/// does, and the error's own causes are its causes.
#[derive(Debug)]
pub struct ActionError {
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
    log: Option<FailedLog>,
}

impl ActionError {
    /// From an error of any kind.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into(), hint: None, log: None }
    }

    /// From a text, where there is no error to hold.
    #[must_use]
    pub fn message(text: impl Into<String>) -> Self {
        Self::new(text.into())
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Adds the log.
    #[must_use]
    pub fn with_log(mut self, log: FailedLog) -> Self {
        self.log = Some(log);
        self
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    /// The log, if the action has one.
    #[must_use]
    pub fn log(&self) -> Option<&FailedLog> {
        self.log.as_ref()
    }

    /// The error itself.
    #[must_use]
    pub fn inner(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for ActionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// A node that failed.
#[derive(Debug)]
pub struct NodeFailure {
    /// What it worked on.
    pub name: String,
    /// Why.
    pub error: ActionError,
    /// Who needed it: from the node itself up to a target, by name. Just the node when it is a target.
    pub needed_by: Vec<String>,
}

impl fmt::Display for NodeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` failed", self.name)?;
        let mut names: Vec<&str> = self.needed_by.iter().rev().map(String::as_str).collect();
        // Fetching and importing a package are two nodes of one name.
        names.dedup();
        if names.len() < 2 { Ok(()) } else { write!(f, " (`{}`)", names.join("` needs `")) }
    }
}

impl Error for NodeFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// A node that could not be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// What it would have worked on.
    pub name: String,
    /// The failed node that it needs.
    pub because_of: String,
}

/// Why a graph could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// Nodes need each other.
    #[error("these need each other: `{}`", .0.join("` needs `"))]
    Cycle(Vec<String>),
    /// A node was named and never given an action.
    #[error("`{0}` is needed, but nothing says how to make it")]
    Undefined(String),
    /// Actions failed.
    #[error("{}", describe(.failures, .skipped.len() + .untried))]
    Failed {
        /// Those that failed, in the order of the graph. Never empty.
        failures: Vec<NodeFailure>,
        /// Those that need one that failed.
        skipped: Vec<Skipped>,
        /// How many others were not tried, since the first failure stopped the run.
        untried: usize,
        /// What was brought up to date all the same.
        finished: Box<super::Finished>,
    },
    /// The store could not be read or written.
    #[error("the store failed")]
    Store(#[source] Box<dyn Error + Send + Sync>),
    /// The user said stop.
    #[error("stopped; what was finished is kept")]
    Cancelled,
}

impl GraphError {
    /// What the user can do. Failures have hints of their own.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Cycle(_) => Some("take one of these out of the other's `needs`".to_owned()),
            Self::Failed { untried: 1.., .. } => {
                Some("`--keep-going` builds everything that does not need what failed".to_owned())
            }
            _ => None,
        }
    }
}

fn describe(failures: &[NodeFailure], untried: usize) -> String {
    let failed = match failures {
        [one] => one.to_string(),
        many => format!("{} actions failed", many.len()),
    };
    match untried {
        0 => failed,
        1 => format!("{failed}; 1 other was not tried"),
        n => format!("{failed}; {n} others were not tried"),
    }
}
