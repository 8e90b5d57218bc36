//! The records of packages, each read once a command: many compositions name the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_build::package::{PackageError, record_object, record_of};
use kiln_model::{ObjectId, PackageRecord, PartName};
use kiln_store::{ActionResult, Session};

/// Reads records, and keeps those it read.
pub struct Records {
    session: Arc<Session>,
    read: Mutex<HashMap<ObjectId, Arc<PackageRecord>>>,
}

impl Records {
    /// Of the packages in a store.
    #[must_use]
    pub fn new(session: Arc<Session>) -> Self {
        Self { session, read: Mutex::default() }
    }

    /// The record of a package, or of a part of one.
    ///
    /// # Errors
    /// When the result has none, or it cannot be read.
    pub fn get(&self, result: &ActionResult, part: Option<&PartName>) -> Result<Arc<PackageRecord>, PackageError> {
        let object = record_object(result, part)?;
        let known = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = known().get(&object) {
            return Ok(Arc::clone(record));
        }
        let record = Arc::new(record_of(&self.session, &object)?);
        Ok(Arc::clone(known().entry(object).or_insert(record)))
    }
}
