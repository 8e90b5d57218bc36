//! Signatures of packages, for repositories whose statement nobody signed.
//!
//! A signature is over the header, as it stands in the file; the header names the payload by its digest. So a package is
//! what a key of the project signed if the signature counts, the header says the name, version and architecture that the index
//! says, and the payload has the digest that the header says. A signature over header and payload together, which is all
//! that packages of before rpm 4.14 have for their payload, is not looked at.

use std::io::{BufReader, Read};

use kiln_archive::BUFFER;

use super::error::RpmError;
use super::header::{self, Header};
use super::index::Record;
use super::tag;
use super::version_of;
use crate::debian::openpgp::{Keyring, verify_binary};
use crate::hashed::Hashed;

/// What `Payloaddigestalgo` calls SHA-256, as OpenPGP does.
const SHA256: u64 = 8;

/// Keeps what is read.
struct Recorded<R> {
    reader: R,
    bytes: Vec<u8>,
}

impl<R: Read> Read for Recorded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

/// Checks that a key of the keyring signed a package, and that it is the one that the index says. `now` is in seconds since
/// 1970.
///
/// # Errors
/// When it is not signed so, is another package, or is damaged.
pub fn check(reader: impl Read, record: &Record, keyring: &Keyring, now: u64) -> Result<(), RpmError> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    header::read_lead(&mut reader)?;
    let signatures = Header::read_signature(&mut reader)?;
    let mut recorded = Recorded { reader: &mut reader, bytes: Vec::new() };
    let (header, _) = Header::read(&mut recorded, "header")?;
    // Of RSA keys, and of all others.
    let blobs = [tag::SIGNATURE_RSA, tag::SIGNATURE_OTHER].map(|tag| signatures.blob(tag));
    let blobs = blobs.into_iter().collect::<Result<Vec<_>, _>>()?;
    let verify = |signature| verify_binary(&recorded.bytes, signature, std::slice::from_ref(keyring), now);
    let verified = blobs.into_iter().flatten().map(verify).reduce(Result::or);
    verified.ok_or(RpmError::Unsigned)??;
    let text = |tag| Ok::<_, RpmError>(header.text(tag)?.unwrap_or_default());
    let signed = (text(tag::NAME)?, version_of(&header)?, text(tag::ARCHITECTURE)?);
    if (signed.0, &*signed.1, signed.2) != (&*record.name, &*record.version, &*record.architecture) {
        return Err(RpmError::Another(format!("{} {} for {}", signed.0, signed.1, signed.2)));
    }
    let named = header.text(tag::PAYLOAD_DIGEST)?;
    let named = named.filter(|_| header.numbers(tag::PAYLOAD_DIGEST_ALGORITHM).is_ok_and(|of| of == [SHA256]));
    let named = named
        .ok_or_else(|| tag::PAYLOAD_DIGEST.fault("it is no SHA-256, so its signature says nothing of its files"))?;
    let mut payload = Hashed::new(reader);
    let read = std::io::copy(&mut payload, &mut std::io::sink());
    read.map_err(|error| RpmError::Read { part: "payload", source: error.into() })?;
    if payload.finish().0.to_hex() != named {
        return Err(tag::PAYLOAD_DIGEST.fault("its files are not those that it names"));
    }
    Ok(())
}
