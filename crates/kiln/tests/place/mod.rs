//! A project of its own with packages of Debian trixie, with a home and a store. The mirror is taken from the machine's apt
//! configuration; a test that cannot reach it fails.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub const KILN: &str = env!("CARGO_BIN_EXE_kiln");

const PROJECT: &str = "\
kiln: 1
name: place
origins:
  debian: { archive: deb, distribution: debian, suite: trixie, components: [main], max-age: unlimited }
";

pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// With these files besides `kiln.yaml`, by path and content.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("kiln-place-").tempdir().unwrap();
        let place = Self { folder };
        for name in ["home", "store", "project"] {
            fs::create_dir_all(place.path(name)).unwrap();
        }
        for (path, content) in [("kiln.yaml", PROJECT)].iter().chain(files) {
            let path = place.path("project").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        place.run("git", &["init", "--quiet"]);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a command says, of both kinds, when it ends well.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path("project"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.path("home"))
            .env("KILN_STORE", self.path("store"))
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{program} {arguments:?}: {text}");
        text
    }

    /// What a script says in an image's container.
    pub fn inside(&self, image: &str, script: &str) -> String {
        self.run(KILN, &["run", "--quiet", &format!(".#{image}"), "--", "/usr/bin/bash", "-c", script])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+rwX"]).arg(self.folder.path()).stderr(Stdio::null()).status();
    }
}

/// Everything that was to be said was.
pub fn says(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "nothing says `{wanted}`:\n{text}");
    }
}
