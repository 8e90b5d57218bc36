//! The SHA-1 of every file, which SPDX insists on: kept by tree, since a tree of a package is in many images.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use kiln_build::graph::ActionError;
use kiln_model::{ActionKey, Dir, Entry, KeyBuilder, ObjectId, ObjectSink, ObjectSource, TreeId};
use kiln_sbom::Checksums;
use kiln_store::{ActionResult, Session};
use sha1::{Digest as _, Sha1};

use super::Documents;
use crate::action::hinted;
use crate::parallel;

/// The object with the list, in the result that is kept of a tree.
const SUMS: &str = "sha1";
/// Read at once.
const PIECE: usize = 1 << 17;

type Sums = BTreeMap<ObjectId, [u8; 20]>;

impl Documents<'_> {
    /// The digests of the content of every file of these trees.
    pub(super) fn checksums(
        &self,
        trees: impl IntoIterator<Item = TreeId>,
    ) -> Result<BTreeMap<ObjectId, Checksums>, ActionError> {
        let session = &*self.services.session;
        let mut all = Sums::new();
        let mut missing = Vec::new();
        for tree in trees {
            match known(session, tree)? {
                Some(sums) => all.extend(sums),
                None => missing.push((tree, self.tree(tree)?)),
            }
        }
        let wanted: BTreeSet<ObjectId> = missing.iter().flat_map(|(_, tree)| objects(tree)).collect();
        let wanted: Vec<ObjectId> = wanted.into_iter().filter(|object| !all.contains_key(object)).collect();
        let made = parallel::map(self.services.settings.jobs, &wanted, |object| sha1(session, object))?;
        all.extend(wanted.into_iter().zip(made));
        for (id, tree) in &missing {
            keep(session, *id, objects(tree).filter_map(|object| Some((object, *all.get(&object)?))).collect());
        }
        if !missing.is_empty() {
            // A store that can only be read serves it too.
            let _ = session.flush();
        }
        Ok(all.into_iter().map(|(object, sha1)| (object, Checksums { sha256: object.0, sha1 })).collect())
    }
}

fn objects(tree: &Dir) -> impl Iterator<Item = ObjectId> {
    tree.walk().filter_map(|(_, entry)| match entry {
        Entry::File(file) => Some(file.object),
        _ => None,
    })
}

fn key(tree: TreeId) -> ActionKey {
    KeyBuilder::new("documents.sha1/1").field("tree", tree.0.as_bytes()).finish()
}

fn known(session: &Session, tree: TreeId) -> Result<Option<Sums>, ActionError> {
    let result = session.action(&key(tree)).map_err(hinted(kiln_store::FileError::hint))?;
    let Some((object, _)) = result.and_then(|result| result.objects.get(SUMS).copied()) else { return Ok(None) };
    let bytes = session.read(&object).map_err(ActionError::new)?;
    Ok(serde_json::from_slice::<Vec<(ObjectId, [u8; 20])>>(&bytes).ok().map(|list| list.into_iter().collect()))
}

/// Keeps what was computed. Where that fails, the next time computes it again.
fn keep(session: &Session, tree: TreeId, sums: Sums) {
    let list: Vec<(ObjectId, [u8; 20])> = sums.into_iter().collect();
    let Ok(bytes) = serde_json::to_vec(&list) else { return };
    let Ok(object) = session.put(&bytes) else { return };
    let objects = [(SUMS.to_owned(), (object, bytes.len() as u64))].into();
    let _ = session.commit_later(key(tree), &ActionResult { objects, ..ActionResult::default() });
}

fn sha1(session: &Session, object: &ObjectId) -> Result<[u8; 20], ActionError> {
    let mut content = session.open(object).map_err(ActionError::new)?;
    let mut hasher = Sha1::new();
    let mut piece = vec![0; PIECE];
    loop {
        let read = content.read(&mut piece).map_err(ActionError::new)?;
        if read == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&piece[..read]);
    }
}
