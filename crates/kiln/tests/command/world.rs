//! A world for one test: an archive, a store, a home folder, and projects.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use testkit::{ArchiveKey, Deb, DebianArchive, build_essential, toolbox};

/// The program under test.
pub const KILN: &str = env!("CARGO_BIN_EXE_kiln");

static BASE: LazyLock<Vec<Deb>> = LazyLock::new(|| vec![toolbox(), build_essential(), hello("1.0")]);

/// One text for all projects: a signature of a key on itself has the time at which it was made.
static KEY: LazyLock<String> = LazyLock::new(|| key().public());

/// The key of every test's archive.
pub fn key() -> ArchiveKey {
    ArchiveKey::new(7)
}

/// A package of one file.
pub fn hello(version: &str) -> Deb {
    Deb::new("hello", version).file("usr/share/hello/greeting", format!("hello {version}\n"))
}

/// Everything a test has.
pub struct World {
    folder: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl World {
    /// A world whose archive has the toolbox, `build-essential` and `hello`.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// A world whose archive has these packages too.
    pub fn with(more: &[Deb]) -> Self {
        let folder = tempfile::Builder::new().prefix("kiln-test-").tempdir().unwrap();
        let world = Self { folder };
        for name in ["home", "store", "mirror"] {
            fs::create_dir(world.path(name)).unwrap();
        }
        world.publish(more);
        world
    }

    /// Writes the archive anew with these packages besides the usual ones; of two with one name the later wins.
    pub fn publish(&self, more: &[Deb]) {
        let others = BASE.iter().filter(|deb| more.iter().all(|other| other.name != deb.name));
        self.archive(&DebianArchive::new(others.chain(more)));
    }

    /// Writes this archive.
    pub fn archive(&self, archive: &DebianArchive<'_>) {
        archive.write(&self.path("mirror"), &key());
    }

    /// The usual packages.
    pub fn base(&self) -> Vec<&'static Deb> {
        BASE.iter().collect()
    }

    /// A path in this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of all.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The archive's address.
    pub fn mirror(&self) -> String {
        format!("file://{}/", self.path("mirror").display())
    }

    /// A new project in a Git repository, with one image that has `hello`.
    pub fn project(&self, name: &str) -> Project<'_> {
        let project = self.bare(name);
        project.write("images/web.yaml", "name: web\npackages: [debian:hello]\n");
        project.commit();
        project
    }

    /// A new project with nothing but `kiln.yaml`, not committed.
    pub fn bare(&self, name: &str) -> Project<'_> {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        let project = Project { world: self, folder };
        project.git(&["init", "--quiet", "--initial-branch=main"]);
        project.write("kiln.yaml", KILN_YAML);
        project.write("keys/archive.asc", &*KEY);
        project.write(".gitignore", "/out/\n");
        project
    }

    /// The command in a folder, in an environment with nothing of this process's own.
    pub fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(KILN);
        self.surround(&mut command, folder);
        command
    }

    /// Any command in this world's environment.
    pub fn surround(&self, command: &mut Command, folder: &Path) {
        command
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.path("home"))
            .env("KILN_STORE", self.path("store"))
            .env("KILN_MIRROR_DEBIAN", self.mirror())
            .stdin(Stdio::null());
    }

    /// The folder of the store proper.
    pub fn objects(&self) -> PathBuf {
        self.path("store/store")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Folders without permission to write would outlive the test.
        let _ = Command::new("chmod").args(["-R", "u+rwX"]).arg(self.folder.path()).stderr(Stdio::null()).status();
    }
}

const KILN_YAML: &str = "\
kiln: 1
name: sample
origins:
  debian: { archive: deb, suite: trixie, keyring: keys/archive.asc }
environment: [debian:build-essential]
";

/// A project of a test.
pub struct Project<'a> {
    /// Its world.
    pub world: &'a World,
    /// Its folder.
    pub folder: PathBuf,
}

impl Project<'_> {
    /// Writes a file.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.join(path)).unwrap()
    }

    /// Changes a file's text.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "`{path}` has no `{from}`:\n{text}");
        self.write(path, text.replace(from, to));
    }

    /// A recipe with these lines besides what every recipe has.
    pub fn recipe(&self, name: &str, more: &str) {
        let head = format!("name: {name}\nversion: \"1.0\"\nsummary: A test\nlicense: MIT\n");
        self.write(&format!("packages/{name}/package.yaml"), head + more);
    }

    /// An image with these lines besides its name.
    pub fn image(&self, name: &str, more: &str) {
        self.write(&format!("images/{name}.yaml"), format!("name: {name}\n{more}"));
    }

    /// Runs Git here.
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        self.world.surround(&mut command, &self.folder);
        let identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"];
        let output = command.args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits everything.
    pub fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=change"]);
    }

    /// The command, to be changed before it runs.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command(&self.folder);
        command.args(arguments);
        command
    }

    /// Runs the command.
    pub fn kiln(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.command(arguments))
    }

    /// Runs `kiln lock` and commits everything.
    pub fn lock(&self) {
        self.kiln(&["lock"]).done();
        self.commit();
    }

    /// Builds, as text `IMAGE FORMAT DIGEST PATH`, and gives the digests of what was written.
    pub fn digests(&self, arguments: &[&str]) -> Vec<String> {
        let ended = self.kiln(&[&["build"], arguments].concat()).done();
        ended.stdout.lines().map(|line| line.split(' ').nth(2).unwrap_or(line).to_owned()).collect()
    }

    /// What JSON a command prints.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let ended = self.kiln(arguments).done();
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
    }

    /// The folder of an image that was built as `dir`.
    pub fn built(&self, image: &str) -> PathBuf {
        self.kiln(&["build", image, "--output", "dir"]).done();
        let out = self.folder.join("out");
        let found = fs::read_dir(&out).unwrap().filter_map(Result::ok).map(|entry| entry.path());
        let found = found.filter(|path| path.file_name().is_some_and(|name| *name == *format!("{image}.dir")));
        let found: Vec<PathBuf> = found.collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }
}

/// Runs a command to its end.
pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Ended {
    /// It did its job.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// It failed with this code and said all of this.
    #[track_caller]
    pub fn failed(self, code: i32, said: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self.said(said)
    }

    /// It said all of this.
    #[track_caller]
    pub fn said(self, said: &[&str]) -> Self {
        for text in said {
            assert!(self.stderr.contains(text), "nothing says `{text}`:\n{self}");
        }
        self
    }

    /// It said nothing of this.
    #[track_caller]
    pub fn did_not_say(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(!self.stderr.contains(text), "it says `{text}`:\n{self}");
        }
        self
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit code {:?}\nstdout:\n{}\nstderr:\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Is this process root's?
pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// Gives a file another mode.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
