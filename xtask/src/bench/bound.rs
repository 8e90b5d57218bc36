//! The bare cost of a cold build: decompressing the packages and hashing what comes out, and nothing else. Once in one
//! process, with the libraries that Kiln has, which is the lower bound; once with the programs that anyone has.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kiln_archive::{Compression, Limits, ar, limits};
use kiln_model::Hasher;

use super::web::Web;
use crate::process::Outcome;

/// Seconds for all packages of the image on two threads.
pub fn decode_and_hash(web: &Web) -> Outcome<f64> {
    two_at_once(web, |path| one(File::open(path)?))
}

/// The same with `dpkg-deb` and `sha256sum`, two packages at once.
pub fn with_programs(web: &Web) -> Outcome<f64> {
    two_at_once(web, |path| {
        let mut unpack = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(path).stdout(Stdio::piped()).spawn()?;
        let mut hash = Command::new("sha256sum");
        if let Some(tar) = unpack.stdout.take() {
            hash.stdin(tar);
        }
        let hashed = hash.stdout(Stdio::null()).status()?;
        if unpack.wait()?.success() && hashed.success() { Ok(()) } else { Err(io::Error::other("it failed")) }
    })
}

fn two_at_once(web: &Web, one: impl Fn(&Path) -> io::Result<()> + Sync) -> Outcome<f64> {
    let paths: Vec<_> = web.lock.packages.values().map(|package| web.mirror.join(&package.path)).collect();
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<()> {
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            one(path)?;
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
