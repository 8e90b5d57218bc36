//! The `tar`, `tar-gz` and `tar-zst` outputs: a whole root file system as one archive.
//!
//! The same stream as that of a layer, over the whole tree. It carries everything: owners, modes, attributes, devices.

use std::io::{BufWriter, Write};
use std::path::Path;

use kiln_archive::compress::{Level, encoder};

use crate::aside::{self, Aside};
use crate::layer::LayerCompression;
use crate::outputs::{Request, Written};
use crate::sink::{Even, Measured};
use crate::stream::{BUFFER, Names, write_tree};
use crate::{LayerError, OutputError};

pub(crate) fn write_plain(request: &Request<'_>, place: &Path) -> Result<Written, OutputError> {
    write(request, place, LayerCompression::None)
}

pub(crate) fn write_gzip(request: &Request<'_>, place: &Path) -> Result<Written, OutputError> {
    write(request, place, LayerCompression::Gzip)
}

pub(crate) fn write_zstd(request: &Request<'_>, place: &Path) -> Result<Written, OutputError> {
    write(request, place, LayerCompression::Zstd)
}

fn write(request: &Request<'_>, place: &Path, compression: LayerCompression) -> Result<Written, OutputError> {
    put_stream(place, |file| {
        let encoder = encoder(compression.archive(), file, Level::Default).map_err(LayerError::Write)?;
        let even = write_tree(request.tree, request.objects, Names::All, Even::new(encoder))?;
        let encoder = even.finish().map_err(LayerError::Write)?;
        Ok(encoder.finish().map_err(LayerError::Write)?)
    })
    .map_err(|error| match error {
        // Said with the file's name: of all streams this one goes to a place that the user chose.
        OutputError::Layer(LayerError::Write(source)) => OutputError::io("write", place)(source),
        other => other,
    })
}

/// Writes one file aside, hashes it on the way, and puts it in place.
pub(crate) fn put_stream(
    place: &Path,
    stream: impl FnOnce(Stream<'_>) -> Result<Stream<'_>, OutputError>,
) -> Result<Written, OutputError> {
    let aside = Aside::new_file(place)?;
    let buffered = BufWriter::with_capacity(BUFFER, aside.file());
    let buffered = stream(Measured::new(buffered))?;
    let (mut buffered, digest, size) = buffered.end();
    buffered.flush().map_err(OutputError::io("write", place))?;
    drop(buffered);
    aside.file().sync_all().map_err(OutputError::io("flush", place))?;
    aside.put(aside::for_file)?;
    Ok(Written { path: place.to_owned(), digest, size, untouched: false })
}

/// Where the bytes of an output that is one file go.
pub(crate) type Stream<'a> = Measured<BufWriter<&'a std::fs::File>>;
