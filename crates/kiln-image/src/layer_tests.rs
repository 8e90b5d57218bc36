//! Layers: what is in them, and that nothing else decides their bytes.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use kiln_archive::compress::decoder;
use kiln_archive::{Kind, Limits, tar};
use kiln_model::{Device, Entry, FileEntry, MemoryObjects, Meta, ObjectId, SOURCE_DATE_EPOCH, SymlinkEntry};
use proptest::prelude::*;

use super::*;

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn file(objects: &MemoryObjects, bytes: &[u8], mode: u16, hardlinked: bool) -> Entry {
    let object = objects.put(bytes).unwrap();
    Entry::File(FileEntry { object, size: bytes.len() as u64, meta: Meta::root_owned(mode), hardlinked })
}

fn tar_of(tree: &Dir, objects: &MemoryObjects) -> Vec<u8> {
    let mut bytes = Vec::new();
    let info = write(tree, objects, LayerCompression::None, &mut bytes).unwrap();
    assert_eq!(info.digest, info.diff_id);
    assert_eq!((info.digest, info.size), (Digest::of(&bytes), bytes.len() as u64));
    bytes
}

fn entries(bytes: &[u8]) -> Vec<(kiln_archive::Entry, Vec<u8>)> {
    let mut reader = tar::Reader::new(bytes, &Limits::default());
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        found.push((entry, content));
    }
    found
}

#[test]
fn begins_with_the_root_and_goes_parents_first_in_order() {
    let objects = MemoryObjects::default();
    let mut tree = Dir::new(Meta::root_owned(0o555));
    for name in ["usr/lib/b", "usr/lib/a", "usr/lib-x", "etc/z"] {
        tree.insert(&path(name), file(&objects, name.as_bytes(), 0o644, false)).unwrap();
    }
    let found = entries(&tar_of(&tree, &objects));
    let names: Vec<String> = found.iter().map(|(entry, _)| entry.path.to_string()).collect();
    assert_eq!(names, ["/", "/etc", "/etc/z", "/usr", "/usr/lib", "/usr/lib/a", "/usr/lib/b", "/usr/lib-x"]);
    assert_eq!((found[0].0.mode, &found[0].0.kind), (0o555, &Kind::Directory));
    assert_eq!(found[2].1, b"etc/z");
    assert!(found.iter().all(|(entry, _)| entry.mtime == SOURCE_DATE_EPOCH.cast_signed()));
    assert!(found.iter().all(|(entry, _)| entry.user.is_empty() && entry.group.is_empty()));
}

#[test]
fn carries_owners_special_modes_attributes_links_and_devices() {
    let objects = MemoryObjects::default();
    let mut tree = Dir::default();
    let mut meta = Meta { mode: 0o4755, uid: 70_000, gid: 4_000_000_000, xattrs: BTreeMap::new() };
    meta.xattrs.insert("security.capability".into(), vec![1, 0, 0, 2, 0, 4, 0, 0, b'\n', 0xff].into());
    let object = objects.put(b"su").unwrap();
    let su = FileEntry { object, size: 2, meta: meta.clone(), hardlinked: false };
    tree.insert(&path("bin/su"), Entry::File(su)).unwrap();
    tree.insert(&path("bin/sh"), Entry::Symlink(SymlinkEntry::plain("dash"))).unwrap();
    let null = Device::Character { major: 1, minor: 3 };
    tree.insert(&path("dev/null"), Entry::Device(null, Meta::root_owned(0o666))).unwrap();
    tree.insert(&path("dev/sda"), Entry::Device(Device::Block { major: 8, minor: 0 }, Meta::root_owned(0o660)))
        .unwrap();
    tree.insert(&path("run/pipe"), Entry::Device(Device::Fifo, Meta::root_owned(0o600))).unwrap();
    tree.dir_mut(&path("tmp")).unwrap().set_meta(Meta::root_owned(0o1777));
    let found: BTreeMap<String, kiln_archive::Entry> =
        entries(&tar_of(&tree, &objects)).into_iter().map(|(entry, _)| (entry.path.to_string(), entry)).collect();
    let su = &found["/bin/su"];
    assert_eq!((su.mode, su.uid, su.gid), (0o4755, 70_000, 4_000_000_000));
    assert_eq!(su.xattrs, meta.xattrs);
    assert_eq!(found["/bin/sh"].kind, Kind::Symlink("dash".into()));
    assert_eq!(found["/dev/null"].kind, Kind::Character { major: 1, minor: 3 });
    assert_eq!(found["/dev/sda"].kind, Kind::Block { major: 8, minor: 0 });
    assert_eq!(found["/run/pipe"].kind, Kind::Fifo);
    assert_eq!(found["/tmp"].mode, 0o1777);
}

#[test]
fn names_of_one_inode_are_written_once() {
    let objects = MemoryObjects::default();
    let mut tree = Dir::default();
    let content = vec![7; 100_000];
    for n in 0..140 {
        tree.insert(&path(&format!("bin/git-{n:03}")), file(&objects, &content, 0o755, true)).unwrap();
    }
    tree.insert(&path("bin/other-mode"), file(&objects, &content, 0o700, true)).unwrap();
    tree.insert(&path("bin/own-inode"), file(&objects, &content, 0o755, false)).unwrap();
    let bytes = tar_of(&tree, &objects);
    assert!(bytes.len() < 400_000, "{} bytes", bytes.len());
    let found = entries(&bytes);
    let links = found.iter().filter(|(entry, _)| entry.kind == Kind::Hardlink(path("bin/git-000"))).count();
    assert_eq!(links, 139);
    assert_eq!(found.iter().filter(|(_, content)| content.len() == 100_000).count(), 3);
}

#[test]
fn every_compression_holds_the_same_tar() {
    let objects = MemoryObjects::default();
    let mut tree = Dir::default();
    tree.insert(&path("data"), file(&objects, &b"kiln ".repeat(50_000), 0o644, false)).unwrap();
    let plain = tar_of(&tree, &objects);
    for compression in LayerCompression::ALL {
        let mut blob = Vec::new();
        let info = write(&tree, &objects, compression, &mut blob).unwrap();
        assert_eq!((info.digest, info.size), (Digest::of(&blob), blob.len() as u64));
        assert_eq!((info.diff_id, info.uncompressed), (Digest::of(&plain), plain.len() as u64));
        let mut inside = Vec::new();
        decoder(compression.archive(), blob.as_slice()).unwrap().read_to_end(&mut inside).unwrap();
        assert!(inside == plain);
        assert_eq!(store(&tree, &objects, compression, &objects).unwrap(), info);
        assert_eq!(objects.read(&ObjectId(info.digest)).unwrap(), blob);
        assert_eq!(compression.as_str().parse(), Ok(compression));
        let json = serde_json::to_string(&info).unwrap();
        assert_eq!(serde_json::from_str::<LayerInfo>(&json).unwrap(), info);
    }
}

#[test]
fn keys_differ_by_tree_and_compression() {
    let (a, b) = (Dir::default().id(), Dir::new(Meta::root_owned(0o700)).id());
    let keys = [key(&a, LayerCompression::Zstd), key(&a, LayerCompression::Gzip), key(&b, LayerCompression::Zstd)];
    assert!(keys[0] != keys[1] && keys[0] != keys[2]);
}

#[test]
fn refuses_names_that_would_remove_files_of_other_layers() {
    let objects = MemoryObjects::default();
    let mut tree = Dir::default();
    tree.insert(&path("etc/.wh.passwd"), file(&objects, b"", 0o644, false)).unwrap();
    let error = write(&tree, &objects, LayerCompression::None, io::sink()).unwrap_err();
    assert!(matches!(&error, LayerError::ReservedName(at) if *at == path("etc/.wh.passwd")), "{error}");
    assert!(error.hint().unwrap().contains("`tar`"));
}

/// Serves other bytes than it was asked for, more or fewer, and says so at their end, as a source has to.
struct Rotten(&'static [u8]);

/// The end of a damaged object.
struct Damaged(ObjectId);

impl Read for Damaged {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::InvalidData, ObjectError::Damaged(self.0)))
    }
}

impl ObjectSource for Rotten {
    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, ObjectError> {
        Ok(Box::new(self.0.chain(Damaged(*id))))
    }
}

#[test]
fn damaged_missing_and_short_objects_stop_the_layer_and_name_the_file() {
    let objects = MemoryObjects::default();
    let mut tree = Dir::default();
    tree.insert(&path("usr/bin/tool"), file(&objects, b"right", 0o755, false)).unwrap();
    for source in
        [&Rotten(b"wrong") as &dyn ObjectSource, &Rotten(b"rig"), &Rotten(b"right and more"), &MemoryObjects::default()]
    {
        let error = write(&tree, source, LayerCompression::Zstd, io::sink()).unwrap_err();
        assert_eq!(error.to_string(), "the content of `/usr/bin/tool` cannot be read");
        assert!(error.hint().unwrap().contains("fsck"));
    }
}

#[test]
fn a_full_disk_is_told_as_one() {
    let objects = MemoryObjects::default();
    let mut tree = Dir::default();
    tree.insert(&path("file"), file(&objects, &vec![1; 1 << 20], 0o644, false)).unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for compression in LayerCompression::ALL {
        let error = write(&tree, &objects, compression, &full).unwrap_err();
        assert!(matches!(&error, LayerError::Write(e) if e.kind() == io::ErrorKind::StorageFull), "{error:?}");
        assert_eq!(error.hint().unwrap(), "free some disk space");
    }
}

/// Writes a few bytes at a time, as a slow pipe would take them.
struct Dribble(Vec<u8>, usize);

impl Write for Dribble {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.1);
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a few bytes at a time, as a slow disk would.
struct Trickle<'a>(&'a MemoryObjects, usize);

impl ObjectSource for Trickle<'_> {
    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, ObjectError> {
        struct Slow(Box<dyn Read + Send>, usize);
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let wanted = buffer.len().min(self.1);
                self.0.read(&mut buffer[..wanted])
            }
        }
        Ok(Box::new(Slow(self.0.open(id)?, self.1)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn bytes_do_not_depend_on_how_they_are_given_or_taken_or_who_else_works(
        names in proptest::collection::btree_set("[a-d]{1,3}/[a-zé.]{1,140}", 1..20),
        seed in any::<u8>(),
        piece in 1usize..5000,
    ) {
        let objects = MemoryObjects::default();
        let mut tree = Dir::default();
        for (n, name) in names.iter().enumerate() {
            let content: Vec<u8> = (0..n * 17_000).map(|i| ((i / 3 * usize::from(seed)) ^ (i >> 9)) as u8).collect();
            // A name that begins with `.wh.` is refused: that has a test of its own.
            if let Some(at) = name.parse::<TreePath>().ok().filter(|at| !at.to_string().contains("/.wh.")) {
                tree.insert(&at, file(&objects, &content, 0o644, n % 3 == 0)).unwrap();
            }
        }
        for compression in LayerCompression::ALL {
            let mut whole = Vec::new();
            let info = write(&tree, &objects, compression, &mut whole).unwrap();
            let mut others = Vec::new();
            std::thread::scope(|scope| {
                let working: Vec<_> = (0..3)
                    .map(|_| scope.spawn(|| {
                        let mut out = Dribble(Vec::new(), piece);
                        let source = Trickle(&objects, piece);
                        let info = write(&tree, &source, compression, &mut out).unwrap();
                        (info, out.0)
                    }))
                    .collect();
                others.extend(working.into_iter().map(|thread| thread.join().unwrap()));
            });
            for (other, bytes) in others {
                prop_assert_eq!(&other, &info);
                prop_assert!(bytes == whole);
            }
        }
    }
}
