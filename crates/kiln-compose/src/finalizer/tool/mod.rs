//! Finalizers that need a program: what is derived by a tool of the image itself, run in a sandbox.
//!
//! A [`Tool`] is data and a little code: what it derives from, what it needs to run, where it writes, its command lines.
//! Composition makes a [`ToolRequest`] of it, whose root is a *projection* of the composed tree: the inputs, the program
//! with the libraries the loader would give it, and nothing else of the image. So the request's key moves when one of
//! these moves, and not when anything else of the image does. A [`ToolRunner`] runs requests or knows their results; this
//! crate runs nothing.
//!
//! Tools run after every native finalizer, and side by side: none reads what another writes. What comes back must match
//! what the tool declares to write, is owned by its finalizer, and never takes the place of what the image itself brings.

mod catalog;
mod dconf;
mod desktop;
mod emacs;
mod fonts;
mod glib;
mod gtk;
mod hwdb;
mod locales;
mod man;
mod mime;
mod modules;
mod pattern;
mod projection;
mod python;
mod spelling;
mod tex;
mod x_fonts;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use kiln_model::name::AccountName;
use kiln_model::{ActionKey, Architecture, Dir, Entry, KeyBuilder, Meta, TreePath};

use self::projection::Projection;
use super::{FinalizeContext, FinalizeError, Finalizer, fixed};
use crate::accounts::Accounts;
use crate::owner::{Owner, OwnerId};
use crate::work::Work;

pub(super) use catalog::FINALIZER as CATALOG;
pub(super) use dconf::FINALIZER as DCONF;
pub(super) use desktop::FINALIZER as DESKTOP;
pub(super) use emacs::FINALIZER as EMACS;
pub(super) use fonts::FINALIZER as FONTS;
pub(super) use glib::{GIO_MODULES, SCHEMAS};
pub(super) use gtk::{ICONS, IMMODULES, IMMODULES_2, PIXBUF_LOADERS};
pub(super) use hwdb::FINALIZER as HWDB;
pub(super) use locales::FINALIZER as LOCALES;
pub(super) use man::FINALIZER as MAN;
pub(super) use mime::FINALIZER as MIME;
pub(super) use modules::FINALIZER as MODULES;
pub use projection::difference;
pub(super) use python::FINALIZER as PYTHON;
pub(super) use spelling::{ASPELL, ISPELL, LISTS};
pub(super) use tex::FINALIZER as TEX;
pub(super) use x_fonts::FINALIZER as X_FONTS;

/// A run of a tool: everything that can influence what comes of it.
#[derive(Debug, Clone)]
pub struct ToolRequest {
    /// The finalizer.
    pub name: &'static str,
    /// The version of what it does with the tool's help.
    pub version: u32,
    /// What the program is made for.
    pub architecture: Architecture,
    /// The root it runs in, a plain tree.
    pub root: Arc<Dir>,
    /// Programs and arguments, one after the other. Each must succeed.
    pub commands: Vec<Vec<String>>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Directories of the root that may be written to. All else is read-only; `/out` is there, empty, and may be written
    /// to as well.
    pub writable: Vec<TreePath>,
    /// Files that are in these already and may be written anew: every other one is read-only, there as elsewhere.
    pub rewritable: Vec<TreePath>,
    /// The account that it takes itself to run as, if it looks for one.
    pub account: Option<&'static str>,
}

impl ToolRequest {
    /// The key of its result.
    #[must_use]
    pub fn key(&self) -> ActionKey {
        let mut key = KeyBuilder::new("finalize.tool/2")
            .field("name", self.name)
            .field("version", self.version.to_le_bytes())
            .field("architecture", self.architecture.as_str())
            .field("root", self.root.id().0.as_bytes());
        for command in &self.commands {
            key = key.list("command", command);
        }
        key.list("environment", self.environment.iter().map(|(name, value)| format!("{name}={value}")))
            .list("writable", self.writable.iter().map(ToString::to_string))
            .list("rewritable", self.rewritable.iter().map(ToString::to_string))
            .field("account", self.account.unwrap_or_default())
            .finish()
    }
}

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ToolError {
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ToolError {
    /// With a message for people and what to do about it.
    #[must_use]
    pub fn new(message: impl Into<String>, hint: Option<String>) -> Self {
        Self { message: message.into(), hint, source: None }
    }

    /// With what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Runs tools in a sandbox, or knows what came of it before.
pub trait ToolRunner {
    /// Runs each request. An answer holds what the commands wrote to `/out`, and what they made or changed in the
    /// writable directories, as paths of the root; files belong to root and have mode 0644 or 0755.
    fn run(&self, requests: &[ToolRequest]) -> Vec<Result<Arc<Dir>, ToolError>>;
}

/// Runs nothing: an image that needs a tool is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTools;

impl ToolRunner for NoTools {
    fn run(&self, requests: &[ToolRequest]) -> Vec<Result<Arc<Dir>, ToolError>> {
        requests.iter().map(|_| Err(ToolError::new("no tool can be run here", None))).collect()
    }
}

/// A finalizer's tool. In every pattern `{multiarch}` stands for the folder of the architecture, `x86_64-linux-gnu`.
pub(super) struct Tool {
    /// The finalizer.
    pub name: &'static str,
    /// What it stands for, in a sentence.
    pub summary: &'static str,
    /// Raise it when the same projection would give other files.
    pub version: u32,
    /// A pattern of the program, in the image; the first that matches.
    pub program: &'static str,
    /// Patterns of what it derives from. Where nothing matches there is nothing to derive.
    pub inputs: &'static [&'static str],
    /// Patterns of the other programs that it runs, each with what it needs to start.
    pub runs: &'static [&'static str],
    /// Patterns of what else it opens: configuration, modules.
    pub support: &'static [&'static str],
    /// Patterns of directories that it writes in; one without a wildcard is made where it is missing.
    pub folders: &'static [&'static str],
    /// Patterns of what it may write.
    pub writes: &'static [&'static str],
    /// The account that owns what it writes, if that is not root.
    pub owner: Option<&'static str>,
    /// Does it write files that nobody may write to? Their mode is 0444 then.
    pub read_only: bool,
    /// The package that brings the program, where an image with the inputs and without the program does not work.
    pub bring: Option<&'static str>,
    /// Its command lines; none when there is nothing to derive after all.
    pub commands: fn(&mut Preparation<'_, '_>) -> Result<Vec<Vec<String>>, FinalizeError>,
}

impl Tool {
    /// Its row of the table.
    pub const fn finalizer(&'static self, run: fn(&mut FinalizeContext<'_>) -> Result<(), FinalizeError>) -> Finalizer {
        Finalizer { name: self.name, summary: self.summary, reads: self.inputs, writes: self.writes, run }
    }
}

/// What the command lines are made from.
pub(super) struct Preparation<'a, 'b> {
    /// The composition.
    pub context: &'b FinalizeContext<'b>,
    /// The program as it is named in a command line.
    pub program: String,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    multiarch: &'static str,
    projection: &'b mut Projection<'a>,
    folders: Vec<String>,
}

impl Preparation<'_, '_> {
    /// A path or pattern with the architecture's folder.
    pub fn expand(&self, pattern: &str) -> String {
        pattern.replace("{multiarch}", self.multiarch)
    }

    /// One command: the program with arguments.
    pub fn command<T: Into<String>>(&self, arguments: impl IntoIterator<Item = T>) -> Vec<String> {
        std::iter::once(self.program.clone()).chain(arguments.into_iter().map(Into::into)).collect()
    }

    /// The files and links that were taken in and match.
    pub fn files(&self, pattern: &str) -> Vec<TreePath> {
        let found = pattern::select(self.projection.root(), &self.expand(pattern));
        found.into_iter().filter(|(_, entry)| !matches!(entry, Entry::Dir(_))).map(|(path, _)| path).collect()
    }

    /// Takes in what else matches.
    pub fn select(&mut self, pattern: &str) -> Result<(), FinalizeError> {
        self.projection.select(pattern)?;
        Ok(())
    }

    /// Lets the tool write in one more directory.
    pub fn write_in(&mut self, folder: &TreePath) {
        self.folders.push(folder.to_string());
    }

    /// The directories that were taken in and match.
    pub fn directories(&self, pattern: &str) -> Vec<TreePath> {
        let found = pattern::select(self.projection.root(), &self.expand(pattern));
        found.into_iter().filter(|(_, entry)| matches!(entry, Entry::Dir(_))).map(|(path, _)| path).collect()
    }
}

/// A tool that is to run, and who it runs for.
pub(crate) struct Pending {
    tool: &'static Tool,
    owner: OwnerId,
    request: ToolRequest,
}

impl Pending {
    pub fn name(&self) -> &'static str {
        self.tool.name
    }

    pub fn request(&self) -> &ToolRequest {
        &self.request
    }
}

/// The settings of the locale that every command in a sandbox has.
const LOCALE: &str = "/usr/lib/locale/C.utf8/**";

/// Prepares a tool's run, if the image has what it derives from.
pub(super) fn derive(tool: &'static Tool, context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let architecture = context.request.architecture;
    let expand = |pattern: &str| pattern.replace("{multiarch}", architecture.multiarch());
    let program = pattern::select(&context.work.tree, &expand(tool.program))
        .into_iter()
        .map(|(path, _)| path)
        .find(|path| context.file(path).is_some());
    if program.is_none() && tool.bring.is_none() {
        return Ok(());
    }
    let mut projection = Projection::new(&context.work.tree, architecture, context.knowledge, context.source)?;
    let mut any = false;
    for pattern in tool.inputs {
        any |= projection.select(&expand(pattern))?;
    }
    if !any {
        return Ok(());
    }
    let Some(program) = program else {
        let message = format!("`{}` did not run: `{}` is not in the image", tool.name, expand(tool.program));
        let hint = tool
            .bring
            .map(|package| format!("add `{package}` to the image, or say `finalizers: {{ {}: false }}`", tool.name));
        context.warn(message, hint);
        return Ok(());
    };
    projection.program(&program)?;
    for pattern in tool.runs {
        for (path, _) in pattern::select(&context.work.tree, &expand(pattern)) {
            projection.program(&path)?;
        }
    }
    for pattern in tool.support.iter().chain([&LOCALE]) {
        projection.select(&expand(pattern))?;
    }
    for folder in tool.folders.iter().filter(|folder| !folder.contains(['*', '?'])) {
        projection.add_directory(&fixed(expand(folder).trim_start_matches('/')));
    }
    let mut preparation = Preparation {
        context,
        program: program.to_string(),
        environment: BTreeMap::new(),
        multiarch: architecture.multiarch(),
        projection: &mut projection,
        folders: tool.folders.iter().map(|folder| (*folder).to_owned()).collect(),
    };
    let commands = (tool.commands)(&mut preparation)?;
    if commands.is_empty() {
        return Ok(());
    }
    let mut writable: Vec<TreePath> =
        preparation.folders.iter().flat_map(|folder| preparation.directories(folder)).collect();
    let mut environment = preparation.environment;
    // A folder in a writable one is writable with it.
    writable.sort();
    writable.dedup_by(|inner, outer| inner.starts_with(outer));
    let (root, libraries) = projection.finish();
    if !libraries.is_empty() {
        let folders: Vec<String> = libraries.iter().map(ToString::to_string).collect();
        environment.insert("LD_LIBRARY_PATH".to_owned(), folders.join(":"));
    }
    let root = Arc::new(root);
    let rewritable = rewritable(&root, &writable, tool.writes.iter().map(|pattern| expand(pattern)));
    let (name, version, account) = (tool.name, tool.version, tool.owner);
    let request =
        ToolRequest { name, version, architecture, root, commands, environment, writable, rewritable, account };
    let owner = context.owner;
    context.pending.push(Pending { tool, owner, request });
    Ok(())
}

/// The files in writable directories that match what a tool writes.
fn rewritable(root: &Dir, writable: &[TreePath], writes: impl Iterator<Item = String>) -> Vec<TreePath> {
    let mut found: Vec<TreePath> = writes
        .flat_map(|pattern| pattern::select(root, &pattern))
        .filter(|(_, entry)| matches!(entry, Entry::File(_)))
        .map(|(path, _)| path)
        .filter(|path| writable.iter().any(|folder| path.starts_with(folder)))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Puts what a tool wrote in its place.
pub(crate) fn settle(
    pending: &Pending,
    written: &Dir,
    work: &mut Work,
    accounts: &Accounts,
) -> Result<(), FinalizeError> {
    let tool = pending.tool;
    let multiarch = pending.request.architecture.multiarch();
    let (uid, gid) = owner(tool, accounts);
    for (path, entry) in written.walk() {
        let declared = tool.writes.iter().any(|pattern| {
            let pattern = pattern.replace("{multiarch}", multiarch);
            pattern::covers(&pattern, &path)
        });
        match entry {
            // A directory with nothing of the tool's own in it is there only to lead to what is.
            Entry::Dir(_) if !declared => {}
            _ if !declared => return Err(FinalizeError::Undeclared { path }),
            _ if is_the_images_own(work, &path) => {}
            Entry::Dir(_) => {
                if work.make_dir(&work.place(&path)?, pending.owner)? {
                    work.set_meta(&path, Meta { uid, gid, ..Meta::root_owned(0o755) });
                }
            }
            Entry::File(file) => {
                let mut file = file.clone();
                (file.meta.uid, file.meta.gid) = (uid, gid);
                if tool.read_only {
                    file.meta.mode &= !0o222;
                }
                work.put(&path, Entry::File(file), pending.owner)?;
            }
            Entry::Symlink(_) => drop(work.put(&path, entry.clone(), pending.owner)?),
            Entry::Device(..) => return Err(FinalizeError::Undeclared { path }),
        }
    }
    Ok(())
}

fn owner(tool: &Tool, accounts: &Accounts) -> (u32, u32) {
    let Some(name) = tool.owner.and_then(|name| name.parse::<AccountName>().ok()) else {
        return (0, 0);
    };
    let uid = accounts.users.get(&name).map_or(0, |user| user.uid);
    (uid, accounts.groups.get(&name).map_or(0, |group| group.gid))
}

fn is_the_images_own(work: &Work, path: &TreePath) -> bool {
    let Some((place, _)) = work.find(path) else {
        return false;
    };
    let owner = work.owner(&place).map(|owner| work.owners.name(owner));
    matches!(owner, Some(Owner::Image | Owner::Overlay(_)))
}
