//! Checkouts: a tree laid out as a folder, once per tree, by hard links to objects.
//!
//! A checkout is `checkouts/TREE/`, made aside and renamed, with
//! - `root/`: directories 0755, symbolic links, and files. A file that only its owner may change or run as usual (0644,
//!   0755 and the like) is a link to the object's plain inode (0444) or executable inode (0555); one with other
//!   permissions (0600), and one whose inode the file system gives no more links to, is a copy of its own.
//! - `lock`: held shared by each [`Checkout`], so that gc leaves a checkout in use alone, even when no session is left.
//! - `state`: the boot it was last known whole in.
//!
//! Every path has the modification time [`kiln_model::SOURCE_DATE_EPOCH`].
//!
//! Owners, set-id and sticky bits, attributes and devices are **not** laid out: an ordinary user could not, and set-id
//! programs must not lie about on the host. Who runs a checkout applies them from the tree.
//!
//! Checkouts are not flushed to the disk, for they can be made again. Instead `state` tells the boot: after another one,
//! the folder is compared with the tree before it is used, and laid out anew if a power cut got it.
//!
//! A checkout must be mounted read-only, or lie under an overlay: who can write to it writes to the objects.

mod lay_out;
mod verify;

use std::fs::File;
use std::path::{Path, PathBuf};

use kiln_model::{ObjectError, TreeId};

use crate::action::{seal, unseal};
use crate::files::{self, FileError};
use crate::lock::{self, Kind, NamedLock};
use crate::session::{Session, SessionError};
use crate::{Store, TreeError, WriteError, layout};

pub(crate) use lay_out::lay_out;
pub(crate) use verify::verify;

/// Why a tree cannot be checked out.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// A call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tree cannot be had.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// One of its objects is missing or damaged.
    #[error("cannot lay out `/{path}`")]
    Object {
        /// The file.
        path: String,
        /// What is wrong with its object.
        #[source]
        source: ObjectError,
    },
    /// What the session wrote could not be published first.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl CheckoutError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Tree(error) => error.hint(),
            Self::Write(error) => error.hint(),
            Self::Object { source, .. } => source.hint(),
        }
    }
}

impl From<SessionError> for CheckoutError {
    fn from(SessionError::File(error): SessionError) -> Self {
        Self::File(error)
    }
}

/// A tree laid out. It stays while this lives, and usually longer.
#[derive(Debug)]
pub struct Checkout {
    tree: TreeId,
    path: PathBuf,
    _lock: File,
}

impl Checkout {
    /// The root of the tree. Only to read.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tree.
    #[must_use]
    pub const fn tree(&self) -> TreeId {
        self.tree
    }
}

/// Names this boot of the machine; nothing where the kernel does not tell, and then no checkout is trusted unseen.
fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// The content of `state` in this boot.
pub(crate) fn state() -> Vec<u8> {
    seal(format!("boot {}\n", boot().unwrap_or_default()).as_bytes())
}

/// Was it known whole in this boot?
fn is_of_this_boot(state: &[u8]) -> bool {
    boot().is_some_and(|boot| unseal(state) == Some(format!("boot {boot}\n").as_bytes()))
}

impl Store {
    /// Lays a tree out, or finds it laid out. Everything in it is verified when it is laid out.
    ///
    /// # Errors
    /// When the tree or an object of it is missing or damaged, or the folder cannot be written.
    pub fn checkout(&self, tree: TreeId) -> Result<Checkout, CheckoutError> {
        self.session()?.checkout_published(tree)
    }

    /// Opens a checkout that was known whole in this boot.
    fn open_checkout(&self, tree: TreeId) -> files::Result<Option<Checkout>> {
        let at = layout::checkout(&tree);
        let state = match self.files().open(&format!("{at}/state")) {
            Ok(state) => state,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        if !is_of_this_boot(&self.files().read_open(&state, &at, 1000)?) {
            return Ok(None);
        }
        let path = format!("{at}/lock");
        let lock = match self.files().open(&path) {
            Ok(lock) => lock,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        lock::lock(self.files(), &lock, &path, Kind::Shared, |_| {})?;
        if self.options().writable {
            self.mark_used(&state);
        }
        Ok(Some(Checkout { tree, path: self.files().path(&format!("{at}/root")), _lock: lock }))
    }
}

impl Session {
    /// Publishes what this session wrote, and lays a tree out; see [`Store::checkout`].
    ///
    /// # Errors
    /// As [`Store::checkout`]; also when publishing fails.
    pub fn checkout(&self, tree: TreeId) -> Result<Checkout, CheckoutError> {
        if self.state().trees.contains_key(&tree) || !self.state().objects.is_empty() {
            self.flush()?;
        }
        self.checkout_published(tree)
    }

    fn checkout_published(&self, tree: TreeId) -> Result<Checkout, CheckoutError> {
        if let Some(checkout) = self.open_checkout(tree)? {
            return Ok(checkout);
        }
        self.check_writable("write to")?;
        let waiting = |pids: Vec<u32>| {
            // Another thread of this process is nobody to wait for in public.
            if pids == [std::process::id()] {
                return;
            }
            self.warn(format!("waiting for {}, which is laying out the same tree", lock::name_holders(&pids)), None);
        };
        let _lock = NamedLock::take(self, layout::checkout_lock(&tree), true, waiting)?;
        if let Some(checkout) = self.open_checkout(tree)? {
            return Ok(checkout);
        }
        self.renew(tree)?;
        Ok(self.open_checkout_made(tree)?)
    }

    /// Makes a checkout of another boot, or none at all, one of this boot.
    fn renew(&self, tree: TreeId) -> Result<(), CheckoutError> {
        let at = layout::checkout(&tree);
        let dir = Store::tree(self, tree)?;
        let staging = self.staging()?;
        if self.files().look(&at)?.is_some() {
            if verify(self, &dir, &at)?.is_none() {
                let number = self.stage(0o644, &state())?;
                self.files().rename(&staging.path(number), &format!("{at}/state"))?;
                return Ok(());
            }
            // Buried in this session's folder, and so gone from its name at once.
            self.files().rename(&at, &staging.path(staging.next()))?;
        }
        let aside = staging.path(staging.next());
        lay_out(self, &dir, &aside)?;
        Ok(self.files().rename_new(&aside, &at)?)
    }

    fn open_checkout_made(&self, tree: TreeId) -> files::Result<Checkout> {
        if let Some(checkout) = self.open_checkout(tree)? {
            return Ok(checkout);
        }
        // The kernel does not tell its boot: it is whole, for it was looked at just now.
        let at = layout::checkout(&tree);
        let path = format!("{at}/lock");
        let lock = self.files().open(&path)?;
        lock::lock(self.files(), &lock, &path, Kind::Shared, |_| {})?;
        Ok(Checkout { tree, path: self.files().path(&format!("{at}/root")), _lock: lock })
    }
}
