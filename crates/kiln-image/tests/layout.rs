//! The `oci` and `oci-archive` outputs in their place: whole, old or new, and nobody else's.

mod fixture;

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fixture::{Recipe, Sample, blob};
use kiln_image::{OutputError, Request, Written, find};
use kiln_model::{Digest, Dir, MemoryObjects, ObjectError, ObjectId, ObjectSource};
use proptest::prelude::*;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(request: &Request<'_>, folder: &Path) -> Result<Written, OutputError> {
    find("oci").unwrap().write(request, folder)
}

/// Every blob is what its name says, and nothing is missing or spare.
fn assert_whole(layout: &Path, sample: &Sample) {
    let mut expected: Vec<String> = sample.layers.iter().map(|layer| layer.info.digest.to_hex()).collect();
    let image = kiln_image::oci::assemble(&sample.spec, &sample.layers, &[]).unwrap();
    expected.extend([image.config.digest.to_hex(), image.manifest.digest.to_hex()]);
    expected.sort();
    expected.dedup();
    let blobs = layout.join("blobs/sha256");
    assert_eq!(names(&blobs), expected);
    for name in expected {
        assert_eq!(Digest::of(&fs::read(blobs.join(&name)).unwrap()).to_hex(), name);
    }
    assert_eq!(names(layout), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(fs::read(layout.join("index.json")).unwrap(), image.index);
}

#[test]
fn documents_are_canonical() {
    let image = kiln_image::oci::assemble(&Sample::new().spec, &Sample::new().layers, &[]).unwrap();
    for document in [&image.index, &image.manifest.bytes, &image.config.bytes] {
        let value: serde_json::Value = serde_json::from_slice(document).unwrap();
        // A map of this library keeps its keys sorted, so writing it again sorts what was not.
        assert_eq!(sorted(&value), String::from_utf8_lossy(document));
    }
    let mut changed = Sample::new().spec;
    changed.source.revision = Some("f00d".into());
    let other = kiln_image::oci::assemble(&changed, &Sample::new().layers, &[]).unwrap();
    assert_ne!(other.manifest.digest, image.manifest.digest);
    assert_eq!(other.layers, image.layers, "a commit changes no layer");
}

fn sorted(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let fields: Vec<String> =
                keys.into_iter().map(|key| format!("{}:{}", serde_json::json!(key), sorted(&map[key]))).collect();
            format!("{{{}}}", fields.join(","))
        }
        serde_json::Value::Array(list) => {
            format!("[{}]", list.iter().map(sorted).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

#[test]
fn an_equal_layout_is_left_untouched_and_a_damaged_one_mended() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::with_data(50_000);
    let first = sample.write("oci", folder.path());
    assert!(!first.untouched);
    assert_whole(&first.path, &sample);
    let inode = fs::metadata(&first.path).unwrap().ino();
    let second = sample.write("oci", folder.path());
    assert!(second.untouched);
    assert_eq!((second.digest, second.size), (first.digest, first.size));
    assert_eq!(fs::metadata(&first.path).unwrap().ino(), inode);

    let damaged = blob(&first.path, &sample.layers[0].info.digest);
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    assert!(!sample.write("oci", folder.path()).untouched);
    assert_whole(&first.path, &sample);
    fs::write(first.path.join("blobs/sha256/stray"), "x").unwrap();
    assert!(!sample.write("oci", folder.path()).untouched);
    assert_whole(&first.path, &sample);
    assert_eq!(names(folder.path()), ["web.oci"]);
}

#[test]
fn another_image_replaces_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = Sample::with_data(50_000).write("oci", folder.path()).path;
    let other = Sample::with_data(60_000);
    other.write("oci", folder.path());
    assert_whole(&path, &other);
    assert_eq!(names(folder.path()), ["web.oci"]);
}

#[test]
fn blobs_share_the_bytes_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::with_data(50_000);
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    for layer in &sample.layers {
        let id = ObjectId(layer.info.digest);
        fs::write(store.join(id.to_hex()), sample.objects.read(&id).unwrap()).unwrap();
    }
    let blob_path = |digest: &Digest| Some(store.join(digest.to_hex()));
    let nothing = MemoryObjects::default();
    let request = Request { blob_path: &blob_path, objects: &nothing, ..sample.request() };
    let written = write(&request, folder.path()).unwrap();
    assert_whole(&written.path, &sample);
    assert!(write(&request, folder.path()).unwrap().untouched);
    // Where blocks cannot be shared, the inode is.
    let kept = fs::metadata(store.join(sample.layers[0].info.digest.to_hex())).unwrap();
    let linked = fs::metadata(blob(&written.path, &sample.layers[0].info.digest)).unwrap();
    assert!(kept.ino() == linked.ino() || linked.nlink() == 1);

    fs::write(store.join(sample.layers[0].info.digest.to_hex()), "cut").unwrap();
    let error = write(&request, &fresh(folder.path())).unwrap_err();
    assert!(matches!(error, OutputError::DamagedBlob(_)), "{error:?}");
}

fn fresh(folder: &Path) -> std::path::PathBuf {
    let fresh = folder.join("fresh");
    fs::create_dir(&fresh).unwrap();
    fresh
}

#[test]
fn what_kiln_did_not_write_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new();
    let place = folder.path().join("web.oci");
    let refused = |what: &str| {
        let error = write(&sample.request(), folder.path()).unwrap_err();
        assert!(error.to_string().ends_with(what), "{error}");
        assert!(error.hint().unwrap().contains("--to"));
    };
    fs::write(&place, "mine").unwrap();
    refused("is a file, and this output is a folder");
    assert_eq!(fs::read(&place).unwrap(), b"mine");
    fs::remove_file(&place).unwrap();

    fs::create_dir(&place).unwrap();
    fs::write(place.join("notes.txt"), "mine").unwrap();
    refused("is a folder that Kiln did not write");
    let foreign = r#"{"schemaVersion":2,"manifests":[],"annotations":{"kiln.output":"oci/2"}}"#;
    for index in [r#"{"schemaVersion":2,"manifests":[]}"#, "[]", "", foreign, r#"{"annotations":{"kiln.output":1}}"#] {
        fs::write(place.join("index.json"), index).unwrap();
        refused("is a folder that Kiln did not write");
    }
    assert_eq!(names(&place), ["index.json", "notes.txt"]);
    fs::remove_dir_all(&place).unwrap();

    std::os::unix::fs::symlink("elsewhere", &place).unwrap();
    refused("is a symbolic link, which Kiln does not follow");
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    assert!(write(&sample.request(), folder.path()).is_ok(), "an empty folder may be filled");
    assert_whole(&place, &sample);
}

#[test]
fn a_planted_index_link_is_not_read_through() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new();
    let ours = sample.write("oci", folder.path()).path;
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("web.oci")).unwrap();
    std::os::unix::fs::symlink(ours.join("index.json"), elsewhere.join("web.oci/index.json")).unwrap();
    assert!(matches!(write(&sample.request(), &elsewhere), Err(OutputError::Occupied { .. })));
}

/// Objects of which the second half is lost; it says so where they end, as a source has to.
struct Failing(MemoryObjects);

struct Damaged(ObjectId);

impl Read for Damaged {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::InvalidData, ObjectError::Damaged(self.0)))
    }
}

impl ObjectSource for Failing {
    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, ObjectError> {
        let bytes = self.0.read(id)?;
        let half = bytes[..bytes.len() / 2].to_vec();
        let whole = io::Cursor::new(half).chain(io::repeat(0)).take(bytes.len() as u64);
        Ok(Box::new(whole.chain(Damaged(*id))))
    }
}

#[test]
fn a_damaged_or_missing_layer_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::with_data(50_000);
    let other = Sample::with_data(70_000);
    for output in ["oci", "oci-archive"] {
        let place = sample.write(output, folder.path()).path;
        let look = |place: &Path| if place.is_dir() { fs::read(place.join("index.json")) } else { fs::read(place) };
        let before = look(&place).unwrap();
        for objects in [&Failing(other.objects.clone()) as &dyn ObjectSource, &MemoryObjects::default()] {
            let request = Request { objects, ..other.request() };
            let error = find(output).unwrap().write(&request, folder.path()).unwrap_err();
            let told = matches!(error, OutputError::DamagedBlob(_) | OutputError::Blob { .. });
            assert!(told && error.hint().unwrap().contains("fsck"), "{error:?}");
            assert_eq!(look(&place).unwrap(), before);
        }
    }
    assert_eq!(names(folder.path()), ["web.oci", "web.oci.tar"]);
}

#[test]
fn a_missing_folder_an_empty_image_and_a_bad_value_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new();
    let error = write(&sample.request(), &folder.path().join("no/where")).unwrap_err();
    assert!(error.hint().unwrap().starts_with("make the folder"), "{error:?}");

    let error = write(&Request { layers: &[], ..sample.request() }, folder.path()).unwrap_err();
    assert_eq!(error.to_string(), "the image has no layers");

    let mut spec = sample.spec.clone();
    spec.config.stop_signal = Some("now".into());
    let error = write(&Request { spec: &spec, ..sample.request() }, folder.path()).unwrap_err();
    assert!(matches!(error, OutputError::Spec(_)), "{error:?}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn many_writers_of_one_place_leave_one_whole_image() {
    let folder = tempfile::tempdir().unwrap();
    let samples = [Sample::with_data(50_000), Sample::with_data(60_000), Sample::with_data(70_000)];
    std::thread::scope(|scope| {
        for sample in &samples {
            scope.spawn(|| {
                for _ in 0..30 {
                    sample.write("oci", folder.path());
                    sample.write("oci-archive", folder.path());
                }
            });
        }
    });
    assert_eq!(names(folder.path()), ["web.oci", "web.oci.tar"]);
    let index = fs::read(folder.path().join("web.oci/index.json")).unwrap();
    let image = |sample: &&Sample| kiln_image::oci::assemble(&sample.spec, &sample.layers, &[]).unwrap().index == index;
    assert_whole(&folder.path().join("web.oci"), samples.iter().find(image).unwrap());
}

#[test]
fn equal_layers_are_one_blob() {
    let folder = tempfile::tempdir().unwrap();
    let mut sample = Sample::of(&Recipe::default());
    sample.layers.push(sample.layers[0].clone());
    let written = sample.write("oci", folder.path());
    assert_whole(&written.path, &sample);
    sample.write("oci-archive", folder.path());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn an_index_of_arbitrary_bytes_is_never_replaced(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("web.oci");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("index.json"), &bytes).unwrap();
        let sample = Sample::new();
        let request = Request { tree: &Dir::default(), ..sample.request() };
        let refused = matches!(write(&request, folder.path()), Err(OutputError::Occupied { .. }));
        prop_assert!(refused);
        prop_assert_eq!(fs::read(place.join("index.json")).unwrap(), bytes);
    }
}
