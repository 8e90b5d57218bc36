//! Bringing a pinned file into the store.

use std::io;
use std::sync::Arc;

use kiln_fetch::{Expect, FetchError, Fetcher, Request};
use kiln_model::{ActionKey, Digest, KeyBuilder, ObjectId, ObjectSource};
use kiln_store::ActionResult;

use crate::graph::{Action, ActionError, Context, Inputs, NodeId, Resource};
use crate::source::PlaceOfPin;
use crate::work::Workplace;

/// The name of the file in the result.
pub const FILE: &str = "file";

/// Who pinned a file, for when it cannot be had as it is pinned.
#[derive(Clone)]
pub struct Pinned {
    /// Where it is pinned.
    pub place: PlaceOfPin,
    /// What to do when nobody has the file any more.
    pub gone: Option<String>,
    /// What to do when everybody has another file.
    pub other: Option<String>,
}

/// A file is not what is pinned.
#[derive(Debug, thiserror::Error)]
enum NotAsPinned {
    /// Nobody has it.
    #[error("nobody has {subject} as `{place}` pins it")]
    Gone {
        subject: String,
        place: String,
        #[source]
        source: Box<FetchError>,
    },
    /// Everybody has another one.
    #[error("{subject} is not what `{place}` pins")]
    Other {
        subject: String,
        place: String,
        #[source]
        source: Box<FetchError>,
    },
    /// It cannot be had now.
    #[error("cannot get {subject}, which `{place}` pins")]
    Failed {
        subject: String,
        place: String,
        #[source]
        source: Box<FetchError>,
    },
}

/// Did every place that was asked have another file than the one that is pinned?
fn is_other(error: &FetchError) -> bool {
    match error {
        FetchError::WrongDigest { .. } | FetchError::WrongSize { .. } | FetchError::TooLarge { .. } => true,
        FetchError::EveryPlace { attempts, .. } => !attempts.is_empty() && attempts.iter().all(is_other),
        _ => false,
    }
}

/// Fetches one file by its sha256. The result has the object [`FILE`].
pub struct FetchAction {
    /// Where to ask, and what for. It must expect a digest.
    pub request: Request,
    /// How to fetch.
    pub fetcher: Arc<Fetcher>,
    /// Who pinned the file.
    pub pinned: Option<Pinned>,
    /// Where the file is put while it comes.
    pub work: Workplace,
}

impl FetchAction {
    fn expected(&self) -> Result<(Digest, Option<u64>), ActionError> {
        match self.request.expect {
            Expect::Digest { sha256, size } => Ok((sha256, size)),
            Expect::AtMost(_) => Err(ActionError::message("only what has a digest can be a source")),
        }
    }
}

impl FetchAction {
    fn failed(&self, error: FetchError) -> ActionError {
        let hint = error.hint();
        let Some(pinned) = &self.pinned else { return ActionError::new(error).with_hint(hint) };
        let (subject, place) = (self.request.subject.clone(), (pinned.place)());
        let (gone, other, source) = (error.is_gone(), is_other(&error), Box::new(error));
        let (error, own) = match (gone, other) {
            (true, _) => (NotAsPinned::Gone { subject, place, source }, &pinned.gone),
            (_, true) => (NotAsPinned::Other { subject, place, source }, &pinned.other),
            (false, false) => (NotAsPinned::Failed { subject, place, source }, &None),
        };
        ActionError::new(error).with_hint(own.clone().or(hint))
    }
}

impl Action for FetchAction {
    fn name(&self) -> String {
        self.request.subject.clone()
    }

    fn verb(&self) -> &'static str {
        "Getting"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn resource(&self) -> Resource {
        Resource::Network
    }

    fn weight(&self) -> u64 {
        self.request.expect.size().unwrap_or_default()
    }

    fn reports_itself(&self) -> bool {
        true
    }

    fn key(&self, _: &Inputs) -> Result<ActionKey, ActionError> {
        let (digest, _) = self.expected()?;
        Ok(KeyBuilder::new("source.fetch/1").field("sha256", digest.as_bytes()).finish())
    }

    fn run(&self, context: &Context<'_>, _: &Inputs) -> Result<ActionResult, ActionError> {
        let (digest, _) = self.expected()?;
        let object = ObjectId(digest);
        // A run that was killed may have kept the file and not yet said so. Opening verifies what is read.
        let kept = context.session.open(&object).and_then(|mut file| Ok(io::copy(&mut file, &mut io::sink())?));
        if let Ok(size) = kept {
            return Ok(ActionResult { objects: [(FILE.to_owned(), (object, size))].into(), ..ActionResult::default() });
        }
        // Named by its digest and kept on failure, so that the next run goes on where this one stopped.
        let place = self.work.downloads().join(digest.to_hex());
        self.fetcher.fetch(&self.request, &place, context.reporter).map_err(|error| self.failed(error))?;
        let (object, size) = context.session.import_file(&place, Some(object)).map_err(ActionError::new)?;
        Ok(ActionResult { objects: [(FILE.to_owned(), (object, size))].into(), ..ActionResult::default() })
    }
}
