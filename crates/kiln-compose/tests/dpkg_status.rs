//! The list of Debian packages of an image, and what programs that nobody here wrote make of it: dpkg and apt.

mod fixture;

use std::process::Command;

use fixture::*;
use kiln_compose::{Member, Request};
use kiln_import::deb::Control;
use kiln_model::{Entry, MemoryObjects};

const ZLIB: &str = "Package: zlib1g\nSource: zlib (1:1.3.dfsg+really1.3.1-1)\nVersion: 1:1.3.dfsg+really1.3.1-1+b1\nArchitecture: amd64\nMaintainer: Mark Brown <broonie@debian.org>\nInstalled-Size: 168\nDepends: libc6 (>= 2.14)\nBreaks: libxml2 (<< 2.7.6.dfsg-2),\n texlive-binaries (<< 2009-12)\nProvides: libz1\nSection: libs\nPriority: required\nMulti-Arch: same\nHomepage: http://zlib.net/\nDescription: compression library - runtime\n zlib is a library implementing the deflate compression method found\n in gzip and PKZIP.\n";
const LIBC: &str = "Package: libc6\nSource: glibc\nVersion: 2.41-12\nArchitecture: amd64\nMaintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>\nEssential: yes\nInstalled-Size: 12987\nMulti-Arch: same\nDescription: GNU C Library: Shared libraries\n";

fn package(objects: &MemoryObjects, control: &str) -> Member {
    let control = Control::parse(control.as_bytes()).unwrap().unwrap();
    let tree = tree(objects, &[]);
    let mut record = record(control.get("Package").unwrap(), control.get("Version").unwrap(), &tree);
    record.listing = control.listing();
    Member::new(record, tree)
}

fn image(objects: &MemoryObjects) -> Request {
    let mut recipe = member(objects, "nginx", &[("/usr/sbin/nginx", "#!")]);
    recipe.record.origin = None;
    request(vec![package(objects, ZLIB), recipe, package(objects, LIBC)])
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn packages_are_listed_by_name_and_recipes_are_not() {
    let objects = MemoryObjects::default();
    let composition = composed(&image(&objects), &objects);
    let status = text(&composition, &objects, "/var/lib/dpkg/status");
    let head = "Package: libc6\nEssential: yes\nStatus: install ok installed\nInstalled-Size: 12987\n";
    assert!(status.starts_with(head), "{status}");
    assert!(status.contains("\n\nPackage: zlib1g\nStatus: install ok installed\nPriority: required\n"), "{status}");
    assert!(status.contains("\nBreaks: libxml2 (<< 2.7.6.dfsg-2), texlive-binaries (<< 2009-12)\n"), "{status}");
    assert!(!status.contains("nginx") && status.ends_with("Homepage: http://zlib.net/\n"), "{status}");
    assert!(matches!(composition.tree.get(&path("/var/lib/dpkg/info")), Some(Entry::Dir(_))));
}

#[test]
fn an_image_of_recipes_or_without_the_finalizer_has_no_list() {
    let objects = MemoryObjects::default();
    let mut request = image(&objects);
    request.without.insert("dpkg-status".to_owned());
    assert!(composed(&request, &objects).tree.get(&path("/var/lib/dpkg")).is_none());
    request.without.clear();
    request.members.retain(|member| member.record.origin.is_none());
    assert!(composed(&request, &objects).tree.get(&path("/var/lib/dpkg")).is_none());
}

#[test]
fn the_list_and_the_folder_that_marks_it_are_in_one_layer() {
    let objects = MemoryObjects::default();
    let composition = composed(&image(&objects), &objects);
    let with = |at: &str| {
        let layers = composition.layers.iter().enumerate().filter(|(_, layer)| layer.tree.get(&path(at)).is_some());
        layers.map(|(index, _)| index).collect::<Vec<_>>()
    };
    assert_eq!(with("/var/lib/dpkg/status").len(), 1);
    assert_eq!(with("/var/lib/dpkg/status"), with("/var/lib/dpkg/info"));
}

#[test]
fn peers_dpkg_reads_the_list() {
    let objects = MemoryObjects::default();
    let home = tempfile::tempdir().unwrap();
    let admin = home.path().join("dpkg");
    std::fs::create_dir_all(admin.join("info")).unwrap();
    let status = text(&composed(&image(&objects), &objects), &objects, "/var/lib/dpkg/status");
    std::fs::write(admin.join("status"), status).unwrap();
    let format = "${binary:Package} ${db:Status-Status} ${Version} ${source:Package} ${source:Version} ${Depends}|${binary:Summary}\n";
    let mut dpkg = Command::new("dpkg-query");
    dpkg.arg(format!("--admindir={}", admin.display())).args(["--showformat", format, "--show"]);
    assert_eq!(
        stdout(&mut dpkg),
        "libc6:amd64 installed 2.41-12 glibc 2.41-12 |GNU C Library: Shared libraries\n\
         zlib1g:amd64 installed 1:1.3.dfsg+really1.3.1-1+b1 zlib 1:1.3.dfsg+really1.3.1-1 libc6 (>= 2.14)|compression library - runtime\n"
    );
}
