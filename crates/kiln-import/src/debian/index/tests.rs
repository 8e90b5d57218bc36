use std::fs;

use proptest::prelude::*;

use super::*;

const PACKAGES: &str = "Package: b\nVersion: 1\nArchitecture: amd64\nMulti-Arch: allowed\nPriority: required\nEssential: yes\nSource: bb (0.9)\nDepends: a (>= 1)\nProvides: mail, v (= 2)\nFilename: pool/b/b_1.deb\nSize: 5\nSHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nDescription: x\n y\n\nPackage: a\nVersion: 2\nArchitecture: all\nProvides: mail\nFilename: pool/a/a_2.deb\nSize: 6\nSHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\nPackage: a\nVersion: 1\nArchitecture: all\nFilename: pool/a/a_1.deb\nSize: 7\nSHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

fn key() -> Digest {
    Digest::of(b"the archive's index")
}

fn built(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("packages.idx");
    Index::<Record>::build(text.as_bytes(), &path, &key()).unwrap();
    (dir, path)
}

#[test]
fn finds_packages_by_name_and_by_what_they_provide() {
    let (_dir, path) = built(PACKAGES);
    let index: Index = Index::open(&path, &key()).unwrap();
    let versions =
        |records: Vec<Record>| records.into_iter().map(|r| format!("{} {}", r.name, r.version)).collect::<Vec<_>>();
    assert_eq!(versions(index.named("a").unwrap()), ["a 2", "a 1"]);
    assert_eq!(versions(index.providers("mail").unwrap()), ["b 1", "a 2"]);
    assert_eq!(versions(index.essential().unwrap()), ["b 1"]);
    assert!(index.named("mail").unwrap().is_empty() && index.named("zzz").unwrap().is_empty());
    assert_eq!(index.names().unwrap(), ["a", "b", "mail", "v"]);
    let b = &index.named("b").unwrap()[0];
    assert_eq!((b.multi_arch, b.priority, b.essential), (MultiArch::Allowed, Priority::Required, true));
    assert_eq!((b.source.0.as_str(), b.source.1.as_str()), ("bb", "0.9"));
    assert_eq!((b.depends.as_str(), b.path.as_str(), b.size), ("a (>= 1)", "pool/b/b_1.deb", 5));
}

#[test]
fn is_the_same_file_whenever_it_is_built() {
    let (_a, first) = built(PACKAGES);
    let (_b, second) = built(PACKAGES);
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
}

#[test]
fn damage_anywhere_is_noticed() {
    let (_dir, path) = built(PACKAGES);
    let good = fs::read(&path).unwrap();
    let everything = || -> Result<(), IndexError> {
        let index = Index::<Record>::open(&path, &key())?;
        for name in index.names()? {
            index.named(&name)?;
            index.providers(&name)?;
        }
        Ok(())
    };
    everything().unwrap();
    for at in 0..good.len() {
        // The four bytes of padding mean nothing, but are under the checksum of the footer too.
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, bad).unwrap();
        let error = everything().expect_err("a flipped bit");
        assert!(error.is_unusable() && error.hint().is_some(), "byte {at}: {error:?}");
    }
    for len in [0, 10, good.len() - 1] {
        fs::write(&path, &good[..len]).unwrap();
        assert!(everything().unwrap_err().is_unusable(), "{len} bytes");
    }
    fs::remove_file(&path).unwrap();
    assert!(everything().unwrap_err().is_unusable());
}

#[test]
fn a_file_of_another_archive_index_or_kind_is_not_used() {
    let (_dir, path) = built(PACKAGES);
    assert!(Index::<Record>::open(&path, &Digest::of(b"another")).unwrap_err().is_unusable());
    assert!(Index::<SourceRecord>::open(&path, &key()).unwrap_err().is_unusable());
}

#[test]
fn what_is_no_index_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("packages.idx");
    for (text, says) in [
        ("Package: a\n", "`Version`"),
        ("nonsense\n", "cannot be read"),
        (&PACKAGES.replace("pool/a/a_2.deb", "../../etc/x.deb"), "`Filename`"),
        (&PACKAGES.replace("pool/a/a_2.deb", "/etc/x.deb"), "`Filename`"),
        (&PACKAGES.replace("SHA256: e3", "SHA256: xx"), "`SHA256`"),
        (&PACKAGES.replace("Size: 6", "Size: -6"), "`Size`"),
    ] {
        let error = Index::<Record>::build(text.as_bytes(), &path, &key()).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn records_longer_than_a_page_and_across_pages_are_whole() {
    let long = format!("x{}", ", x".repeat(20_000));
    let mut text = String::new();
    for number in 0..50 {
        let fields = PACKAGES.split("\n\n").next().unwrap().replace("Package: b", &format!("Package: p{number}"));
        text.push_str(&fields.replace("a (>= 1)", if number % 7 == 0 { &long } else { "short" }));
        text.push_str("\n\n");
    }
    let (_dir, path) = built(&text);
    let index: Index = Index::open(&path, &key()).unwrap();
    for number in 0..50 {
        let record = &index.named(&format!("p{number}")).unwrap()[0];
        assert_eq!(record.depends, if number % 7 == 0 { &*long } else { "short" });
    }
    assert_eq!(index.providers("mail").unwrap().len(), 50);
}

#[test]
fn source_packages_are_kept_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sources.idx");
    let text = "Package: nginx\nVersion: 1.26.3-3\nFormat: 3.0 (quilt)\nDirectory: pool/main/n/nginx\nChecksums-Sha256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 12 nginx_1.dsc\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 34 nginx_1.orig.tar.gz\n";
    Index::<SourceRecord>::build(text.as_bytes(), &path, &key()).unwrap();
    let index = Index::<SourceRecord>::open(&path, &key()).unwrap();
    let nginx = &index.named("nginx").unwrap()[0];
    assert_eq!((nginx.directory.as_str(), nginx.format.as_str()), ("pool/main/n/nginx", "3.0 (quilt)"));
    assert_eq!(
        nginx.files.iter().map(|f| (f.name.as_str(), f.size)).collect::<Vec<_>>(),
        [("nginx_1.dsc", 12), ("nginx_1.orig.tar.gz", 34)]
    );
    for bad in ["34 ../x", "34 a/b", "x y", "34"] {
        let text = text.replace("34 nginx_1.orig.tar.gz", bad);
        let error = Index::<SourceRecord>::build(text.as_bytes(), &path, &key()).unwrap_err();
        assert!(error.to_string().contains("Checksums-Sha256"), "{bad}: {error}");
    }
}

proptest! {
    #[test]
    fn any_record_reads_back(
        texts in proptest::collection::vec(".{0,30}", 13), size: u64, flags in 0u8..20, digest: [u8; 32],
    ) {
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap();
        let record = Record {
            name: next(), version: next(), architecture: next(), source: (next(), next()), path: next(),
            pre_depends: next(), depends: next(), recommends: next(), provides: next(), conflicts: next(),
            breaks: next(), replaces: next(), size: size >> 1,
            multi_arch: [MultiArch::No, MultiArch::Same, MultiArch::Foreign, MultiArch::Allowed][usize::from(flags % 4)],
            essential: flags % 2 == 0,
            priority: [Priority::Extra, Priority::Optional, Priority::Standard, Priority::Important, Priority::Required][usize::from(flags % 5)],
            sha256: Digest::from_bytes(digest),
        };
        let mut bytes = Vec::new();
        record.put(&mut bytes);
        prop_assert_eq!(Record::take(&bytes), Some(record));
        prop_assert_eq!(Record::take(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Record::take(&bytes);
        let _ = SourceRecord::take(&bytes);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, &bytes).unwrap();
        prop_assert!(Index::<Record>::open(&path, &key()).unwrap_err().is_unusable());
    }
}
