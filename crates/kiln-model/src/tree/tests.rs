use proptest::prelude::*;

use super::*;
use crate::Digest;

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn sample() -> Dir {
    let mut root = Dir::default();
    let bin = FileEntry::plain(ObjectId::of(b"elf"), 3, true);
    root.insert(&path("usr/bin/nginx"), Entry::File(bin.clone())).unwrap();
    root.insert(&path("bin"), Entry::Symlink(SymlinkEntry::plain("usr/bin"))).unwrap();
    let mut special = bin;
    special.meta.mode = 0o4755;
    special.meta.gid = 8;
    special.hardlinked = true;
    special.meta.xattrs.insert("security.capability".into(), vec![1, 0, 0, 2].into());
    root.insert(&path("usr/bin/mail"), Entry::File(special)).unwrap();
    let null = Entry::Device(Device::Character { major: 1, minor: 3 }, Meta::root_owned(0o666));
    root.insert(&path("dev/null"), null).unwrap();
    root.dir_mut(&path("tmp")).unwrap().set_meta(Meta::root_owned(0o1777));
    root
}

fn round_trip(dir: &Dir) -> Result<Arc<Dir>, DecodeError> {
    let encoded = directories(dir);
    decode(dir.id(), encoded.iter().map(|(_, bytes)| bytes.as_slice()))
}

#[test]
fn golden_digests_do_not_move() {
    assert_eq!(Dir::default().id().0, Digest::EMPTY, "an empty directory is an empty message");
    assert_eq!(sample().id().to_hex(), "c96179ac75d9785dfb04afcf691a4a4c2b21635e88e2739addfc3e237f8a0fe7");
}

#[test]
fn everything_survives_a_round_trip() {
    let tree = sample();
    assert_eq!(*round_trip(&tree).unwrap(), tree);
    assert!(!tree.is_plain());
}

#[test]
fn only_the_set_of_entries_counts() {
    let mut other = Dir::default();
    for (path, entry) in sample().walk().collect::<Vec<_>>().into_iter().rev() {
        if let Entry::Dir(dir) = entry {
            other.dir_mut(&path).unwrap().set_meta(dir.meta().clone());
        } else {
            other.insert(&path, entry.clone()).unwrap();
        }
    }
    assert_eq!(other.id(), sample().id());
}

#[test]
fn a_change_below_changes_the_name_and_back() {
    let mut tree = sample();
    let before = tree.id();
    let old = tree.remove(&path("usr/bin/nginx")).unwrap();
    assert_ne!(tree.id(), before);
    tree.insert(&path("usr/bin/nginx"), old).unwrap();
    assert_eq!(tree.id(), before);
}

#[test]
fn refuses_bytes_that_are_not_canonical() {
    let tree = sample();
    let mut encoded = directories(&tree);
    let missing = encoded.pop().unwrap();
    let error = decode(tree.id(), encoded.iter().map(|(_, b)| b.as_slice())).unwrap_err();
    assert_eq!(error, DecodeError::Missing(missing.0));

    encoded.push(missing);
    encoded.push((TreeId(Digest::EMPTY), Vec::new()));
    let error = decode(tree.id(), encoded.iter().map(|(_, b)| b.as_slice())).unwrap_err();
    assert_eq!(error, DecodeError::Spare(1));

    // `is_executable: false` written out: the same meaning, other bytes.
    let object = Digest::EMPTY.to_hex();
    let mut digest = vec![0x0a, 64];
    digest.extend(object.as_bytes());
    let mut file = vec![0x0a, 1, b'f', 0x12, digest.len() as u8];
    file.extend(&digest);
    file.extend([0x20, 0]);
    let mut bytes = vec![0x0a, file.len() as u8];
    bytes.extend(&file);
    let id = TreeId(Digest::of(&bytes));
    assert_eq!(decode(id, [bytes.as_slice()]).unwrap_err(), DecodeError::NotCanonical(id));
}

#[test]
fn resolves_through_links_and_stops_at_loops() {
    let mut tree = sample();
    let (at, entry) = tree.resolve(&path("bin/nginx")).unwrap();
    assert_eq!(at, path("usr/bin/nginx"));
    assert!(matches!(entry, Some(Entry::File(_))));
    tree.insert(&path("a"), Entry::Symlink(SymlinkEntry::plain("b"))).unwrap();
    tree.insert(&path("b"), Entry::Symlink(SymlinkEntry::plain("a"))).unwrap();
    assert!(tree.resolve(&path("a")).is_none());
    assert!(tree.resolve(&path("usr/missing")).is_none());
}

#[test]
fn refuses_an_entry_below_a_file() {
    let mut tree = sample();
    let error = tree.insert(&path("usr/bin/nginx/x"), Entry::Dir(Arc::default())).unwrap_err();
    assert_eq!(error, InsertError::NotADirectory(path("usr/bin/nginx"), "file"));
}

fn entry() -> impl Strategy<Value = Entry> {
    let meta = (0u16..0o10000, 0u32..4, 0u32..4, proptest::bool::ANY).prop_map(|(mode, uid, gid, x)| {
        let xattrs = if x { [("user.a".into(), vec![0xff].into())].into() } else { BTreeMap::new() };
        Meta { mode, uid, gid, xattrs }
    });
    prop_oneof![
        (any::<[u8; 2]>(), meta.clone(), any::<bool>()).prop_map(|(content, meta, hardlinked)| {
            Entry::File(FileEntry { object: ObjectId::of(&content), size: 2, meta, hardlinked })
        }),
        "[a-z/.]{1,9}".prop_map(|target| Entry::Symlink(SymlinkEntry::plain(target))),
        (meta.clone(), 0u32..300).prop_map(|(meta, minor)| Entry::Device(Device::Block { major: 8, minor }, meta)),
        meta.prop_map(|meta| Entry::Dir(Arc::new(Dir::new(meta)))),
    ]
}

proptest! {
    #[test]
    fn any_tree_round_trips(entries in proptest::collection::vec(("[a-c](/[a-c]){0,3}", entry()), 0..20)) {
        let mut tree = Dir::default();
        for (at, entry) in entries {
            let _ = tree.insert(&path(&at), entry);
        }
        prop_assert_eq!(&*round_trip(&tree).unwrap(), &tree);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let id = TreeId(Digest::of(&bytes));
        if let Ok(dir) = decode(id, [bytes.as_slice()]) {
            prop_assert_eq!(dir.id(), id);
        }
    }
}
