//! The command line: what can be said, and its help. Nothing is done here.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cmd;

/// One Git repository in, one immutable Linux system out.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 it failed, 2 wrong usage or project, 255 a bug in Kiln.\n\
    Begin with `kiln init hello && kiln run hello`.")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// The folder of the store (default: $KILN_STORE, else ~/.cache/kiln)
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub store: Option<PathBuf>,
    /// Never open a socket
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub offline: bool,
    /// Actions at once (default: the number of cores)
    #[arg(short, long, global = true, value_name = "N", help_heading = "Everywhere")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// Where to get packages: URL, or NAME=URL with a distribution, or an origin of images
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub mirror: Vec<String>,
    /// Say nothing but warnings and errors
    #[arg(short, long, global = true, help_heading = "Everywhere", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Also name the steps whose result was there already
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    pub verbose: bool,
    /// Colours
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN", help_heading = "Everywhere")]
    pub color: Colour,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands, in the order in which one meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new project that builds and runs at once
    Init(cmd::init::Init),
    /// Resolve and pin everything the project names; prints what changed
    Lock(cmd::lock::Lock),
    /// Build images and packages; prints digests and where things are
    Build(cmd::build::Build),
    /// Run an image here, in a container without root
    Run(cmd::run::Run),
    /// Open a shell in the sandbox of a package's build
    Shell(cmd::shell::Shell),
    /// Show an image: its packages, their versions and digests
    Show(cmd::show::Show),
    /// Say why a path is in an image
    Why(cmd::why::Why),
    /// Say what `kiln lock --update` would change
    Outdated(cmd::outdated::Outdated),
    /// Say what changed in images between two commits
    Diff(cmd::diff::Diff),
    /// Bring every pinned byte into the project, so that it builds with no network for ever
    Vendor(cmd::vendor::Vendor),
    /// Say what an image or package is made of: SPDX, CycloneDX, provenance
    Sbom(cmd::sbom::Sbom),
    /// Build again under other conditions, and say what came out differently
    Verify(cmd::verify::Verify),
    /// Say what every hook of an image's packages would have done, and what became of it
    Audit(cmd::audit::Audit),
    /// Remove from the store what nothing needs any more
    Gc(cmd::gc::Gc),
    /// Check every byte of the store, and mend what can be had again
    Fsck(cmd::fsck::Fsck),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// What stands before the address of a project that is a commit of a Git repository.
pub const GIT: &str = "git+";

/// A project and one thing in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The project's folder, or `git+URL#REV`.
    pub project: PathBuf,
    /// The image or package; none means all, or the only one.
    pub name: Option<String>,
}

impl Target {
    /// The projects of some targets, each once and in their order.
    pub fn projects(targets: &[Self]) -> Vec<&Path> {
        let mut projects: Vec<&Path> = Vec::new();
        for target in targets {
            if !projects.contains(&target.project.as_path()) {
                projects.push(&target.project);
            }
        }
        projects
    }
}

impl std::str::FromStr for Target {
    type Err = String;

    /// `NAME` in the project here, `DIR` for a project elsewhere, `DIR#NAME` for one thing of it; `git+URL#REV` and
    /// `git+URL#REV:NAME` for a commit.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(address) = text.strip_prefix(GIT) {
            let (url, rest) = address.split_once('#').unwrap_or((address, "HEAD"));
            let (rev, name) = rest.split_once(':').map_or((rest, None), |(rev, name)| (rev, Some(name)));
            let rev = if rev.is_empty() { "HEAD" } else { rev };
            if url.is_empty() || name == Some("") {
                return Err(format!("`{text}` is not `git+URL#REV` or `git+URL#REV:NAME`"));
            }
            return Ok(Self { project: format!("{GIT}{url}#{rev}").into(), name: name.map(str::to_owned) });
        }
        let (folder, name) = match text.split_once('#') {
            Some((folder, name)) => (folder, Some(name)),
            // A folder is told from a name by a slash, or by being a project: `kiln run hello` right after `kiln init hello`.
            None if text.contains('/') || text.starts_with('.') || PathBuf::from(text).join("kiln.yaml").is_file() => {
                (text, None)
            }
            None => ("", Some(text)),
        };
        if name == Some("") {
            return Err(format!("`{text}` names no image or package after `#`"));
        }
        let project = if folder.is_empty() { PathBuf::from(".") } else { PathBuf::from(folder) };
        Ok(Self { project, name: name.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_a_screen() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 40, "{help}");
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("kiln {}", command.get_name())), "`kiln {}`", command.get_name());
        }
    }

    #[test]
    fn targets_are_names_folders_or_both() {
        let target = |text: &str| text.parse::<Target>().unwrap();
        assert_eq!(target("web"), Target { project: ".".into(), name: Some("web".into()) });
        assert_eq!(target("examples/web"), Target { project: "examples/web".into(), name: None });
        assert_eq!(target("examples/web#a"), Target { project: "examples/web".into(), name: Some("a".into()) });
        let commit =
            |project: &str, name: Option<&str>| Target { project: project.into(), name: name.map(str::to_owned) };
        assert_eq!(target("git+https://a/b.git#v1:web"), commit("git+https://a/b.git#v1", Some("web")));
        assert_eq!(target("git+/srv/b"), commit("git+/srv/b#HEAD", None));
        assert_eq!(target("git+file:///b#:web"), commit("git+file:///b#HEAD", Some("web")));
        assert!("git+#v1".parse::<Target>().is_err() && "git+/b#v1:".parse::<Target>().is_err());
        assert_eq!(target("."), Target { project: ".".into(), name: None });
        assert!("a#".parse::<Target>().is_err());
    }
}
