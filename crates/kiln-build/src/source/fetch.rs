//! Bringing a pinned file into the store.

use std::io;
use std::sync::Arc;

use kiln_fetch::{Expect, FetchError, Fetcher, Request};
use kiln_model::{ActionKey, Digest, KeyBuilder, ObjectId, ObjectSource};
use kiln_store::ActionResult;

use crate::graph::{Action, ActionError, Context, Inputs, NodeId, Resource};
use crate::work::Workplace;

/// The name of the file in the result.
pub const FILE: &str = "file";

/// Fetches one file by its sha256. The result has the object [`FILE`].
pub struct FetchAction {
    /// Where to ask, and what for. It must expect a digest.
    pub request: Request,
    /// How to fetch.
    pub fetcher: Arc<Fetcher>,
    /// What to do when nobody has the file any more.
    pub gone: Option<String>,
    /// Where the project asks for it, if it does so itself: `packages/tool/package.yaml:7`.
    pub place: Option<String>,
    /// Where the file is put while it comes.
    pub work: Workplace,
}

/// A failure and the line of the project that leads to it.
#[derive(Debug, thiserror::Error)]
#[error("the source in `{place}` cannot be had")]
struct AskedFor {
    place: String,
    source: FetchError,
}

impl FetchAction {
    fn expected(&self) -> Result<(Digest, Option<u64>), ActionError> {
        match self.request.expect {
            Expect::Digest { sha256, size } => Ok((sha256, size)),
            Expect::AtMost(_) => Err(ActionError::message("only what has a digest can be a source")),
        }
    }
}

impl Action for FetchAction {
    fn name(&self) -> String {
        self.request.subject.clone()
    }

    fn kind(&self) -> &'static str {
        "source.fetch"
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
        self.fetcher.fetch(&self.request, &place, context.reporter).map_err(|error| {
            let hint = self.gone.clone().filter(|_| error.is_gone()).or_else(|| error.hint());
            match self.place.clone() {
                Some(place) => ActionError::new(AskedFor { place, source: error }),
                None => ActionError::new(error),
            }
            .with_hint(hint)
        })?;
        let (object, size) = context.session.import_file(&place, Some(object)).map_err(ActionError::new)?;
        Ok(ActionResult { objects: [(FILE.to_owned(), (object, size))].into(), ..ActionResult::default() })
    }
}
