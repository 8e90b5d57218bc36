//! Documents that stand beside outputs.

use std::fs;
use std::io::Write;
use std::path::Path;

use kiln_model::Digest;

use crate::OutputError;
use crate::aside::{self, Standing, standing};
use crate::outputs::Written;
use crate::tar::put_stream;

/// Writes a document as the file `name` in `folder`. One that is there already is left as it is.
///
/// # Errors
/// When it cannot be written whole; then what stood there still does.
pub fn write_document(folder: &Path, name: &str, bytes: &[u8]) -> Result<Written, OutputError> {
    let place = folder.join(name);
    if standing(&place)? == Standing::File && fs::read(&place).is_ok_and(|found| found == bytes) {
        aside::sweep(&place)?;
        let size = bytes.len() as u64;
        return Ok(Written { digest: Digest::of(bytes), size, path: place, untouched: true });
    }
    put_stream(&place, |mut out| {
        out.write_all(bytes).map_err(OutputError::io("write", &place))?;
        Ok(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_there_is_left_and_another_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let write = |bytes: &[u8]| write_document(folder.path(), "web.spdx.json", bytes).unwrap();
        assert!(!write(b"{}").untouched);
        let again = write(b"{}");
        assert!(again.untouched && again.digest == Digest::of(b"{}"));
        assert!(!write(b"[]").untouched);
        assert_eq!(fs::read(&again.path).unwrap(), b"[]");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
