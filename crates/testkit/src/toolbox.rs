//! A package with a shell and the programs of this machine: what a build needs, without a network.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln_model::Architecture;

use crate::Deb;

const PROGRAMS: [&str; 26] = [
    "bash", "cat", "chmod", "cp", "date", "env", "grep", "head", "id", "install", "ln", "ls", "mkdir", "mv",
    "readlink", "rm", "sed", "sleep", "sort", "stat", "tail", "tee", "touch", "tr", "uname", "wc",
];

/// The package `toolbox`, essential: bash, the core utilities, sed and grep, with their libraries.
///
/// # Panics
/// When this machine does not have one of them.
#[must_use]
pub fn toolbox() -> Deb {
    let mut deb = Deb::new("toolbox", "1.0").field("Essential", "yes");
    for folder in ["bin", "lib", "lib64", "sbin"] {
        deb = deb.directory(&format!("usr/{folder}")).link(folder, &format!("usr/{folder}"));
    }
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS {
        let path = ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
        let path = path.unwrap_or_else(|| panic!("this machine has no `{program}`"));
        deb = deb.program(&format!("usr/bin/{program}"), fs::read(&path).unwrap());
        libraries.extend(needed(&path));
    }
    // As in the distribution: the loader lies among the libraries, and its well-known place is a link.
    let multiarch = format!("usr/lib/{}", Architecture::native().multiarch());
    for library in libraries {
        let name = library.file_name().unwrap().to_str().unwrap();
        deb = deb.program(&format!("{multiarch}/{name}"), fs::read(&library).unwrap());
        if name.starts_with("ld-linux") {
            let place = library.parent().unwrap().file_name().unwrap().to_str().unwrap();
            deb = deb.link(&format!("usr/{place}/{name}"), &format!("/{multiarch}/{name}"));
        }
    }
    deb.link("usr/bin/sh", "bash")
}

/// The package `build-essential`, which needs nothing here.
#[must_use]
pub fn build_essential() -> Deb {
    Deb::new("build-essential", "12.0").file("usr/share/doc/build-essential/list", "nothing\n")
}

/// The loader and the libraries of a program, as its own loader finds them.
fn needed(program: &Path) -> BTreeSet<PathBuf> {
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArchiveKey, DebianArchive};

    #[test]
    fn the_toolbox_has_a_shell_and_its_loader() {
        let list = needed(Path::new("/bin/sh"));
        assert!(list.iter().any(|path| path.to_string_lossy().contains("ld-linux")), "{list:?}");
        let bytes = toolbox().bytes();
        assert!(bytes.starts_with(b"!<arch>\ndebian-binary   "));
    }

    #[test]
    fn an_archive_is_a_folder_with_a_signed_index() {
        let folder = tempfile::tempdir().unwrap();
        let deb = build_essential();
        DebianArchive::new([&deb]).write(folder.path(), &ArchiveKey::new(1));
        let release = fs::read_to_string(folder.path().join("dists/trixie/InRelease")).unwrap();
        assert!(release.starts_with("-----BEGIN PGP SIGNED MESSAGE-----"), "{release}");
        assert!(release.contains("main/source/Sources.xz"));
        let pool = folder.path().join("pool/main").join(deb.file_name());
        assert_eq!(fs::read(pool).unwrap(), deb.bytes());
    }
}
