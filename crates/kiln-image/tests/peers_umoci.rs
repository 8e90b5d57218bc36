//! `umoci`, which nobody here wrote, unpacks what Kiln writes. Debian: `umoci`.
//!
//! gzip layers: the umoci of a stable Debian does not read zstd yet.

mod fixture;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use fixture::{CAPABILITY, Recipe, Sample, hello_program, peer, printed};
use kiln_image::LayerCompression;
use kiln_model::SOURCE_DATE_EPOCH;

fn unpack(sample: &Sample, folder: &Path, flags: &[&str]) -> PathBuf {
    let written = sample.write("oci", folder);
    let bundle = folder.join("bundle");
    let image = format!("{}:web", written.path.display());
    let bundle_name = bundle.display().to_string();
    let arguments = [&["unpack"], flags, &["--image", &image, &bundle_name]].concat();
    printed(&peer("umoci", &arguments));
    bundle
}

fn mode(path: PathBuf) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn recipe() -> Recipe {
    Recipe { program: Some(hello_program()), data: 300_000, compression: LayerCompression::Gzip, ..Recipe::default() }
}

#[test]
fn unpacks_without_root_what_the_tree_says() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::of(&recipe());
    let bundle = unpack(&sample, folder.path(), &["--rootless"]);
    let root = bundle.join("rootfs");
    assert_eq!(fs::read_to_string(root.join("etc/greeting")).unwrap(), "hello from kiln\n");
    assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("usr/bin"));
    assert_eq!(fs::read_link(root.join("usr/lib/dangling")).unwrap(), Path::new("../nowhere"));
    assert_eq!(mode(root.join("tmp")), 0o1777);
    assert_eq!(mode(root.join("private")), 0o700);
    assert_eq!(mode(root.join("proc")), 0o555);
    assert_eq!(mode(root.join("usr/bin/hello")), 0o755);
    assert!(root.join("empty/nested").is_dir());
    assert!(root.join("usr/share/doc/base/größe.txt").is_file());
    assert!(root.join(format!("usr/share/{}/name", "long-".repeat(30))).is_file());
    let metadata = fs::metadata(root.join("usr/bin/git")).unwrap();
    assert_eq!((metadata.nlink(), metadata.mtime()), (3, SOURCE_DATE_EPOCH.cast_signed()));
    let config: serde_json::Value = serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
    let arguments = &config["process"]["args"];
    assert_eq!(*arguments, serde_json::json!(["/usr/bin/hello", "first", "second word"]));
    assert_eq!(config["process"]["cwd"], serde_json::json!("/tmp"));
}

#[test]
fn unpacks_owners_special_modes_capabilities_and_devices() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::of(&Recipe { special: true, devices: true, ..recipe() });
    let is_root = rustix::process::geteuid().is_root();
    let flags: &[&str] = if is_root { &[] } else { &["--rootless"] };
    let root = unpack(&sample, folder.path(), flags).join("rootfs");
    let attribute = |path: &str, name: &str| {
        let mut value = [0; 64];
        let length = rustix::fs::lgetxattr(root.join(path), name, &mut value).unwrap();
        value[..length].to_vec()
    };
    assert_eq!(mode(root.join("usr/bin/su")), 0o4755);
    assert_eq!(mode(root.join("usr/bin/wall")), 0o2755);
    assert_eq!(mode(root.join("var/lib/app")), 0o750);
    if !is_root {
        // Without root umoci notes the owner beside the file, as a protobuf message of the two numbers.
        assert_eq!(attribute("var/lib/app", "user.rootlesscontainers"), [8, 33, 16, 34]);
        return;
    }
    assert_eq!(fs::metadata(root.join("usr/bin/wall")).unwrap().gid(), 5);
    let app = fs::metadata(root.join("var/lib/app")).unwrap();
    assert_eq!((app.uid(), app.gid()), (33, 34));
    assert_eq!(attribute("usr/bin/ping", "security.capability"), CAPABILITY);
    let null = fs::metadata(root.join("dev/null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!((null.rdev(), null.mode() & 0o777), (rustix::fs::makedev(1, 3), 0o666));
    assert!(fs::metadata(root.join("dev/loop0")).unwrap().file_type().is_block_device());
    assert!(fs::metadata(root.join("run/pipe")).unwrap().file_type().is_fifo());
}
