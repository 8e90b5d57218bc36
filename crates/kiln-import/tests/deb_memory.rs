//! Memory does not grow with a package's size. Alone in its file: the peak is that of the whole process.

use std::fs;
use std::io::{self, Read, Write};

use kiln_archive::{Entry, Kind, Limits, tar};
use kiln_import::deb::import;
use kiln_model::{Hasher, ObjectError, ObjectId, ObjectSink, ObjectWriter};

/// Names objects and forgets them.
struct Forgets;

struct ForgetsWriter(Hasher, u64);

impl Write for ForgetsWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        self.1 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ObjectWriter for ForgetsWriter {
    fn finish(self: Box<Self>) -> Result<(ObjectId, u64), ObjectError> {
        Ok((ObjectId(self.0.finish()), self.1))
    }
}

impl ObjectSink for Forgets {
    fn put(&self, bytes: &[u8]) -> Result<ObjectId, ObjectError> {
        Ok(ObjectId::of(bytes))
    }

    fn writer(&self) -> Result<Box<dyn ObjectWriter + '_>, ObjectError> {
        Ok(Box::new(ForgetsWriter(Hasher::new(), 0)))
    }
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Only a tar header, from a writer that is cut off after it.
fn header(name: &str, size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let entry = Entry { size, ..Entry::new(name.parse().unwrap(), Kind::File) };
    assert!(tar::Writer::new(&mut bytes).add(&entry, &mut io::empty()).is_err());
    bytes
}

fn member(name: &str, size: u64) -> Vec<u8> {
    format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, "100644").into_bytes()
}

#[test]
fn a_large_package_takes_no_more_memory_than_a_small_one() {
    const SIZE: u64 = 400 << 20;
    let control = b"Package: large\nVersion: 1\nArchitecture: all\n";
    let mut control_tar = tar::Writer::new(Vec::new());
    let entry = Entry { size: control.len() as u64, ..Entry::new("control".parse().unwrap(), Kind::File) };
    control_tar.add(&entry, &mut &control[..]).unwrap();
    let control_tar = control_tar.finish().unwrap();
    let data_header = header("usr/share/large", SIZE);
    let mut head = b"!<arch>\n".to_vec();
    head.extend(member("debian-binary", 4));
    head.extend(b"2.0\n");
    head.extend(member("control.tar", control_tar.len() as u64));
    head.extend(&control_tar);
    head.extend(member("data.tar", data_header.len() as u64 + SIZE + 1024));
    head.extend(&data_header);
    let package = head.chain(io::repeat(b'k').take(SIZE)).chain(io::repeat(0).take(1024));
    let before = peak_kib();
    let package = import(package, &Forgets, &Limits::default()).unwrap();
    let grown = peak_kib() - before;
    assert_eq!(package.tree.walk().count(), 3);
    assert!(grown < 8 << 10, "the peak grew by {grown} KiB for a package of {} KiB", SIZE >> 10);
}
