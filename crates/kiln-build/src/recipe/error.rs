//! Why a recipe cannot be built.

use std::io;

use kiln_model::tree::InsertError;
use kiln_model::{PackageName, TreePath};
use kiln_store::{CheckoutError, FileError, TreeError};

use crate::disk::{IngestError, LayOutError};
use crate::needs::NeedsError;
use crate::output::PartError;
use crate::patch::PatchError;
use crate::sandbox::{Exit, SandboxError};
use crate::work::WorkError;

/// Why a recipe cannot be built. What the build itself did wrong comes with the `kiln shell` line.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A step failed.
    #[error("step `{step}` {exit}{limits}")]
    Step {
        /// The package.
        package: PackageName,
        /// The step.
        step: String,
        /// How it ended.
        exit: Exit,
        /// What the recipe allows it, if that may be why: ` (it is allowed 64 MiB of memory)`.
        limits: String,
        /// Are its folders there to be looked into?
        kept: bool,
    },
    /// What the build installed is not a package.
    #[error("what the build of `{package}` installed cannot be a package")]
    Output {
        /// The package.
        package: PackageName,
        /// What is wrong with it.
        #[source]
        fault: Box<OutputError>,
        /// The `kiln shell` line, if its folders are there to be looked into.
        shell: Option<String>,
    },
    /// Two sources have one file.
    #[error("`{}` is in source `{first}` and, with other content, in source `{second}`", .path.as_str())]
    Sources {
        /// The file.
        path: TreePath,
        /// One source.
        first: String,
        /// The other one.
        second: String,
    },
    /// A source cannot be put where it belongs.
    #[error("source `{name}` cannot be put there")]
    Into {
        /// The source.
        name: String,
        /// Why.
        #[source]
        source: InsertError,
    },
    /// A patch does not apply.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The build folder cannot be written.
    #[error(transparent)]
    LayOut(#[from] LayOutError),
    /// The environment cannot be laid out.
    #[error("the environment cannot be laid out")]
    Checkout(#[from] CheckoutError),
    /// A tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The sandbox cannot be had.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The log cannot be made.
    #[error("cannot make the log")]
    Log(#[source] FileError),
    /// The log cannot be written.
    #[error("cannot write the log")]
    WriteLog(#[source] io::Error),
    /// A working folder fails.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The user said stop.
    #[error("stopped")]
    Cancelled,
}

/// What is wrong with what a build installed.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It has what no package may have.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Nothing was installed.
    #[error("the build installed nothing into `/out`")]
    Empty,
    /// A unit file of the recipe, but the build installed another one there.
    #[error("the recipe brings `{0}`, but the build installed another one")]
    AddedTwice(TreePath),
    /// It cannot be split into parts.
    #[error(transparent)]
    Parts(#[from] PartError),
    /// A part's name with the package's is no package's name.
    #[error(transparent)]
    Name(#[from] kiln_model::name::NameError),
    /// It needs what nothing provides.
    #[error(transparent)]
    Needs(#[from] NeedsError),
    /// It cannot be stored.
    #[error(transparent)]
    Package(#[from] crate::package::PackageError),
}

impl OutputError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Ingest(IngestError::Faults(_)) => Some(
                "tell the build where its files will be: `--prefix=/usr` when it is configured, `DESTDIR` when it installs"
                    .to_owned(),
            ),
            Self::Ingest(error) => error.hint(),
            Self::Name(_) => None,
            Self::AddedTwice(_) => {
                Some("take `unit:` out of the service to have the installed one, or do not install it".to_owned())
            }
            Self::Empty => Some("have a step install the files below `{{ out }}`".to_owned()),
            Self::Parts(error) => error.hint(),
            Self::Needs(error) => error.hint(),
            Self::Package(error) => error.hint(),
        }
    }
}

fn shell_line(package: &PackageName) -> String {
    format!("`kiln shell {package} --failed` opens the sandbox where it stopped")
}

impl BuildError {
    /// Did the build do something wrong, rather than the machine it ran on?
    pub(super) fn is_of_the_build(&self) -> bool {
        match self {
            Self::Step { .. } => true,
            Self::Output { fault, .. } => matches!(
                **fault,
                OutputError::Ingest(IngestError::Faults(_))
                    | OutputError::Empty
                    | OutputError::AddedTwice(_)
                    | OutputError::Parts(_)
                    | OutputError::Needs(_)
            ),
            _ => false,
        }
    }

    pub(super) fn with_kept(mut self, is_kept: bool, name: &PackageName) -> Self {
        match &mut self {
            Self::Step { kept, .. } => *kept = is_kept,
            Self::Output { shell, .. } => *shell = is_kept.then(|| shell_line(name)),
            _ => {}
        }
        self
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Step { package, kept: true, .. } => Some(shell_line(package)),
            Self::Step { .. } | Self::Log(_) | Self::WriteLog(_) | Self::Cancelled => None,
            Self::Output { fault, shell, .. } => {
                let lines: Vec<String> = fault.hint().into_iter().chain(shell.clone()).collect();
                (!lines.is_empty()).then(|| lines.join("; "))
            }
            Self::Sources { second, .. } => Some(format!("give `{second}` a folder of its own with `into:`")),
            Self::Into { .. } => Some("`into:` names a folder that is not a file or link of another source".to_owned()),
            Self::Patch(error) => error.hint(),
            Self::LayOut(error) => error.hint(),
            Self::Checkout(error) => error.hint(),
            Self::Tree(error) => error.hint(),
            Self::Sandbox(error) if error.is_without(super::sandboxed::PROGRAM) => Some(
                "the build environment has no shell: name in `environment:` of `kiln.yaml` what every build takes, such as \
                 `environment: [debian:build-essential]`, and run `kiln lock`"
                    .to_owned(),
            ),
            Self::Sandbox(error) => error.hint(),
            Self::Work(error) => error.hint(),
        }
    }
}

impl From<BuildError> for crate::graph::ActionError {
    fn from(error: BuildError) -> Self {
        let hint = error.hint();
        Self::new(error).with_hint(hint)
    }
}
