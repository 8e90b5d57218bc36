//! Roots, checkouts, logs, and names that the store did not write.

use std::collections::HashSet;

use rustix::fs::FileType;

use super::scan::Scan;
use super::{Fate, Fault, place};
use crate::checkout::verify;
use crate::files::{self, Result};
use crate::roots::{self, Reference};
use crate::walk::{self, Name};
use crate::{layout, session, tree};

impl Scan<'_> {
    /// A name that the store did not write. A folder is left to its owner.
    pub(super) fn foreign(&mut self, at: &str) -> Result<()> {
        match self.session.files().look(at)? {
            None => Ok(()),
            Some(stat) if files::kind(&stat) == FileType::Directory => {
                self.tell(at, Fault::Foreign, Fate::Left);
                Ok(())
            }
            Some(_) => self.remove(at, Fault::Foreign),
        }
    }

    pub(super) fn roots(&mut self) -> Result<()> {
        let session = self.session;
        for file in session.files().names(layout::ROOTS)? {
            let at = format!("{}/{file}", layout::ROOTS);
            let is_file = session.files().look(&at)?.is_some_and(|stat| files::kind(&stat) == FileType::RegularFile);
            let references = if is_file { session.root_file(&file)? } else { None };
            let name = roots::decode(&file).unwrap_or(file);
            let Some(references) = references else {
                self.remove(&at, Fault::Root(name))?;
                continue;
            };
            let mut whole = Vec::new();
            for reference in &references {
                if self.is_usable(reference)? {
                    whole.push(*reference);
                } else {
                    let fate = if self.repairs() { Fate::Removed } else { Fate::Left };
                    self.tell(&at, Fault::DanglingRoot(name.clone(), *reference), fate);
                }
            }
            if self.repairs() && whole.len() < references.len() {
                session.write_root(session, &at, &whole)?;
            }
        }
        Ok(())
    }

    fn is_usable(&mut self, reference: &Reference) -> Result<bool> {
        match reference {
            Reference::Object(id) => self.has(*id, None),
            Reference::Tree(id) => self.has_tree(*id),
            // Those that dangle were removed, or would have been.
            Reference::Action(_) => {
                let at = place(reference);
                let path = self.session.files().path(&at);
                let told =
                    self.report.problems.iter().any(|problem| problem.path == path && problem.fault != Fault::Mode);
                Ok(!told && self.session.files().look(&at)?.is_some())
            }
        }
    }

    pub(super) fn checkouts(&mut self) -> Result<()> {
        let session = self.session;
        let in_use = if self.repairs() { session.checkouts_in_use()? } else { HashSet::new() };
        for name in session.files().names(layout::CHECKOUTS)? {
            let at = format!("{}/{name}", layout::CHECKOUTS);
            let Some(id) = name.parse().ok().filter(|_| name.len() == 64) else {
                self.foreign(&at)?;
                continue;
            };
            self.report.checkouts += 1;
            let wrong = if self.has_tree(id)? {
                match tree::load(session.files(), &layout::tree(&id), id) {
                    Ok(dir) => verify(session, &dir, &at)?,
                    Err(error) => Some(error.to_string()),
                }
            } else {
                Some("its tree is missing or damaged".to_owned())
            };
            let Some(why) = wrong else { continue };
            let fate = if in_use.contains(&name) {
                Fate::InUse
            } else if self.repairs() {
                session.bury(&at)?;
                Fate::Removed
            } else {
                Fate::Left
            };
            self.tell(&at, Fault::Checkout(why), fate);
        }
        Ok(())
    }

    /// Logs, the root of the store, and what dead sessions left.
    pub(super) fn names(&mut self) -> Result<()> {
        let session = self.session;
        walk::each(session.files(), layout::LOGS, |found| {
            let stat = session.files().look(&found.at)?;
            match (found.what, stat) {
                (_, None) => Ok(()),
                (Name::Plain(_), Some(stat)) if files::kind(&stat) == FileType::RegularFile => Ok(()),
                _ => self.foreign(&found.at),
            }
        })?;
        for name in session.files().names("")? {
            let known = [layout::VERSION_FILE, layout::LOCK].contains(&name.as_str());
            if !known && !layout::FOLDERS.contains(&name.as_str()) {
                self.foreign(&name)?;
            }
        }
        for (at, _lock) in session::find_the_dead(session)? {
            self.remove(&at, Fault::Dead)?;
        }
        if self.repairs() {
            session.remove_stale_locks()?;
        }
        Ok(())
    }
}
