//! What finalizers derive with tools, of real packages of Debian trixie: used by the programs that it is for, and the same
//! bytes in two places.

mod place;

use std::fs;
use std::path::Path;
use std::process::Command;

use place::{KILN, Place, says};

const IMAGE: &str = "\
name: tools
packages:
  - debian:adwaita-icon-theme
  - debian:base-files
  - debian:bash
  - debian:coreutils
  - debian:dconf-gsettings-backend
  - debian:desktop-file-utils
  - debian:fontconfig
  - debian:fonts-dejavu-core
  - debian:gtk-update-icon-cache
  - debian:kmod
  - debian:libc-bin
  - debian:libglib2.0-bin
  - debian:libgtk-3-0t64
  - debian:linux-image-cloud-amd64
  - debian:man-db
  - debian:openjdk-21-jre-headless
  - debian:python3
  - debian:python3-distro-info
  - debian:shared-mime-info
  - debian:systemd
  - debian:udev
outputs: [dir]
";

/// Paths that tools make, and that no package brings.
const MADE: &[&str] = &[
    "etc/ssl/certs/java/cacerts",
    "usr/lib/python3.13/__pycache__/os.cpython-313.pyc",
    "usr/lib/python3/dist-packages/__pycache__/distro_info.cpython-313.pyc",
    "usr/lib/udev/hwdb.bin",
    "usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/2.10.0/loaders.cache",
    "usr/lib/x86_64-linux-gnu/gio/modules/giomodule.cache",
    "usr/lib/x86_64-linux-gnu/gtk-3.0/3.0.0/immodules.cache",
    "usr/share/applications/mimeinfo.cache",
    "usr/share/glib-2.0/schemas/gschemas.compiled",
    "usr/share/icons/Adwaita/icon-theme.cache",
    "usr/share/mime/mime.cache",
    "usr/share/python3/debpython/__pycache__/version.cpython-313.pyc",
    "var/cache/fontconfig/CACHEDIR.TAG",
    "var/cache/man/index.db",
    "var/lib/systemd/catalog/database",
];

/// The line that `kiln build` prints, without the path.
fn build(place: &Place, jobs: &str) -> String {
    let text = place.run(KILN, &["build", "tools", "--jobs", jobs]);
    let line = text.lines().find(|line| line.starts_with("tools dir sha256:")).unwrap_or_else(|| panic!("{text}"));
    line.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

#[test]
fn programs_use_what_their_tools_derived_and_two_places_derive_the_same() {
    let one = Place::new(&[("images/tools.yaml", IMAGE)]);
    let first = build(&one, "1");
    let root = one.path("project/out/tools.dir");
    for made in MADE {
        let length = fs::metadata(root.join(made)).unwrap_or_else(|error| panic!("{made}: {error}")).len();
        assert!(length > 0, "{made}");
    }
    modules_know_each_other(&one);
    python_takes_its_byte_code(&one);
    says(&one.inside("tools", "systemd-hwdb query usb:v1D6Bp0001"), &["ID_VENDOR_FROM_DATABASE=Linux Foundation"]);
    says(&one.inside("tools", "journalctl --list-catalog"), &["systemd: Unit skipped"]);
    says(&one.inside("tools", "man -k fontconfig"), &["fc-conflist (1)"]);
    says(
        &one.inside("tools", "fc-cache -v"),
        &["/usr/share/fonts/truetype/dejavu: skipping, existing cache is valid: 8 fonts"],
    );
    says(&one.inside("tools", "gsettings list-schemas"), &["org.gtk.Settings.FileChooser"]);
    says(
        &one.inside("tools", "gio info -a standard::content-type /usr/share/man/man1/man.1.gz"),
        &["application/gzip"],
    );
    let keytool = "/usr/lib/jvm/java-21-openjdk-amd64/bin/keytool -list -cacerts -storepass changeit";
    says(&one.inside("tools", keytool), &["Your keystore contains 148 entries", "Jan 1, 1980, trustedCertEntry"]);

    let two = Place::new(&[("images/tools.yaml", IMAGE)]);
    fs::copy(one.path("project/kiln.lock"), two.path("project/kiln.lock")).unwrap();
    assert_eq!(build(&two, "2"), first, "{}", difference(&root, &two.path("project/out/tools.dir")));
}

/// `depmod` ends well even when it could not read a single module.
fn modules_know_each_other(place: &Place) {
    let kernel = "V=$(ls /usr/lib/modules)";
    let shown = place.inside("tools", &format!("{kernel}; modprobe -S $V --show-depends btrfs"));
    says(&shown, &["/raid6_pq.ko", "/xor.ko", "/btrfs.ko"]);
    says(&place.inside("tools", &format!("{kernel}; modprobe -S $V --resolve-alias fs-btrfs")), &["btrfs"]);
}

fn python_takes_its_byte_code(place: &Place) {
    let said = place.inside("tools", "python3 -v -c 'import json, distro_info' 2>&1");
    says(&said, &["/json/__pycache__/__init__.cpython-313.pyc matches", "distro_info.cpython-313.pyc matches"]);
    assert!(!said.contains("is stale") && !said.contains("# wrote"), "{said}");
}

fn difference(one: &Path, two: &Path) -> String {
    let output = Command::new("diff").args(["-rq", "--no-dereference"]).args([one, two]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
