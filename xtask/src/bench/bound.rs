//! The lower bound of a cold build: decompressing the packages and hashing what comes out, and nothing else.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kiln_archive::{Compression, Limits, ar, limits};
use kiln_model::Hasher;

use super::web::Web;
use crate::process::Outcome;

/// Seconds for all packages of the image on two threads.
pub fn decode_and_hash(web: &Web) -> Outcome<f64> {
    let paths: Vec<_> = web.lock.packages.values().map(|package| web.mirror.join(&package.path)).collect();
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<()> {
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            one(File::open(path)?)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        work().and(other.join().unwrap_or_else(|_| Err(io::Error::other("a thread died"))))
    })
    .map_err(|error| error.to_string())?;
    Ok(start.elapsed().as_secs_f64())
}

fn one(file: File) -> io::Result<()> {
    let limit = Limits::default();
    let mut archive = ar::Reader::new(file).map_err(io::Error::other)?;
    while let Some(member) = archive.next_member().map_err(io::Error::other)? {
        let Some(compression) = member.name.strip_prefix("data.tar").and_then(Compression::of_suffix) else { continue };
        let mut content = limits::open(compression, &mut archive, &limit).map_err(io::Error::other)?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 128 << 10];
        loop {
            match content.read(&mut buffer)? {
                0 => break,
                n => hasher.update(&buffer[..n]),
            }
        }
        std::hint::black_box(hasher.finish());
        break;
    }
    Ok(())
}
