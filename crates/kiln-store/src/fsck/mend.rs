//! Having an object's bytes again.

use std::io::{Read, Write as _};

use kiln_model::{Hasher, ObjectId};

use super::Repair;
use super::scan::Scan;
use crate::files::{FileError, Result};
use crate::layout;

impl Scan<'_> {
    /// Puts an object in its place again, from its executable inode or from whoever can give it, and gives its length.
    pub(super) fn mend(&self, id: &ObjectId) -> Result<Option<u64>> {
        let files = self.session.files();
        let twin = files.open(&layout::executable(id)).ok();
        if let Some(mut twin) = twin
            && let Some(size) = self.rewrite(id, &mut twin)?
        {
            return Ok(Some(size));
        }
        if let Repair::Refetch(refetch) = self.repair
            && let Some(mut bytes) = refetch.object(id)
        {
            return self.rewrite(id, &mut *bytes);
        }
        Ok(None)
    }

    /// Writes the object from these bytes, if they are the object.
    fn rewrite(&self, id: &ObjectId, bytes: &mut dyn Read) -> Result<Option<u64>> {
        let (session, files) = (self.session, self.session.files());
        let staging = session.staging()?;
        let number = staging.next();
        let at = staging.path(number);
        let mut file = files.create(&at, layout::PLAIN)?;
        files.chmod_open(&file, &at, layout::PLAIN)?;
        let (mut hasher, mut size, mut buffer) = (Hasher::new(), 0, vec![0; 256 * 1024]);
        loop {
            match bytes.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    size += count as u64;
                    file.write_all(&buffer[..count]).map_err(|e| FileError::new("write", files.path(&at), e))?;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                // Whoever gives the bytes cannot: as if it had none.
                Err(_) => break,
            }
        }
        if hasher.finish() != id.0 {
            session.unstage(number);
            return Ok(None);
        }
        session.settle()?;
        let place = layout::object(id);
        if files.look(&place)?.is_some_and(|stat| crate::files::kind(&stat) != rustix::fs::FileType::RegularFile) {
            files.remove_all(&place)?;
        }
        files.rename(&at, &place)?;
        Ok(Some(size))
    }
}
