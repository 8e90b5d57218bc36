//! The "web" image: cold, unchanged, and with one line changed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use kiln_model::lock::{self, Lock};
use kiln_model::{ObjectId, ObjectSource};
use kiln_store::{OpenOptions, Store};

use super::bound;
use super::timing::{Measured, Row, measure as time, median, middle};
use crate::process::{Outcome, run};

/// A project and a mirror of just what it needs.
pub struct Web {
    pub project: PathBuf,
    pub mirror: PathBuf,
    pub lock: Lock,
}

const PROJECT: &str = "\
kiln: 1
name: web
origins:
  debian: { archive: deb, distribution: debian, suite: trixie, components: [main], max-age: unlimited }
";

const IMAGE: &str = "\
name: web
packages:
  - debian:@essential
  - debian:ca-certificates
  - debian:curl
  - debian:nginx-light
files:
  /etc/bench.conf: { source: files/bench.conf }
run:
  command: [/usr/sbin/nginx, -g, \"daemon off;\"]
";

/// Writes a file and the folders it is in.
pub fn write(path: &Path, text: &str) -> Outcome {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
    made.map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

/// Makes a folder a Git repository.
pub fn repository(folder: &Path) -> Outcome {
    run(Command::new("git").args(["init", "--quiet"]).arg(folder))
}

/// Commits all of a folder.
pub fn commit(folder: &Path) -> Outcome {
    let git = |words: &[&str]| {
        run(Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"])
            .args(words))
    };
    git(&["add", "."])?;
    git(&["commit", "--quiet", "--message", "bench"])
}

/// Makes the project, locks it, downloads everything once, and lays the packages into a folder that is a mirror.
pub fn prepare(kiln: &Path, work: &Path) -> Outcome<Web> {
    let project = work.join("web");
    write(&project.join("kiln.yaml"), PROJECT)?;
    write(&project.join("images/web.yaml"), IMAGE)?;
    write(&project.join("files/bench.conf"), "line = 0\n")?;
    write(&project.join(".gitignore"), "out/\n")?;
    repository(&project)?;
    let seed = work.join("seed");
    run(Command::new(kiln).arg("lock").arg(&project).arg("--store").arg(&seed).arg("--quiet"))?;
    commit(&project)?;
    run(Command::new(kiln).arg("build").arg(&project).arg("--store").arg(&seed).arg("--quiet"))?;
    let text = std::fs::read_to_string(project.join("kiln.lock")).map_err(|error| error.to_string())?;
    let lock = lock::parse(&text).map_err(|faults| format!("{faults:?}"))?;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(kiln_model::SOURCE_DATE_EPOCH);
    let store = Store::open(&seed.join("store"), OpenOptions::new(now)).map_err(|error| error.to_string())?;
    let mirror = work.join("mirror");
    for package in lock.packages.values() {
        let bytes = store.read(&ObjectId(package.sha256)).map_err(|error| error.to_string())?;
        let path = mirror.join(&package.path);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, bytes));
        made.map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    }
    Ok(Web { project, mirror, lock })
}

fn build(kiln: &Path, web: &Web, store: &Path) -> Command {
    let mut command = Command::new(kiln);
    command.args(["build", "--offline", "--quiet", "--mirror"]);
    command.arg(format!("file://{}/", web.mirror.display())).arg("--store").arg(store).arg(&web.project);
    command
}

/// Measures it. The lower bound and the cold build take turns, so that both see the machine in the same mood.
pub fn measure(kiln: &Path, web: &Web, rows: &mut Vec<Row>) -> Outcome {
    // Each run has a store of its own and none is removed meanwhile: ext4 looks long for an inode where many were freed in
    // the last seconds, which is the cost of removing, not of building.
    let store = |index: usize| web.project.with_file_name(format!("store-{index}"));
    let mut last = store(0);
    let (mut bounds, mut programs, mut colds) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..7 {
        let seconds = bound::decode_and_hash(web)?;
        bounds.push(Measured { seconds, memory: 0 });
        programs.push(Measured { seconds: bound::with_programs(web)?, memory: 0 });
        last = store(index);
        let output = web.project.join("out");
        if output.exists() {
            let aside = web.project.with_file_name(format!("out-{index}"));
            std::fs::rename(&output, aside).map_err(|error| error.to_string())?;
        }
        // What the last run left to be written is not this run's work.
        run(&mut Command::new("sync"))?;
        colds.push(time(&mut build(kiln, web, &last))?);
    }
    let (bound, programs, cold) = (middle(bounds), middle(programs), middle(colds));
    let store = last;
    let (ratio, of_bound) = (cold.seconds / programs.seconds, cold.seconds / bound.seconds);
    rows.push(Row::new("lower bound: decompress and hash the packages, two threads", bound.seconds, None));
    rows.push(Row::new("bare: the same with dpkg-deb and sha256sum, two at once", programs.seconds, None));
    rows.push(
        Row::new("kiln build, empty store", cold.seconds, Some(cold.memory))
            .beside(format!("{ratio:.2} of the bare cost, {of_bound:.2} of the lower bound"))
            .promised("under 2 of the bare cost, under 200 MB", ratio < 2.0 && cold.memory < 200_000_000),
    );
    let nothing = median(21, |_| time(&mut build(kiln, web, &store)))?;
    rows.push(
        Row::new("kiln build, nothing changed", nothing.seconds, Some(nothing.memory))
            .promised("under 0.050", nothing.seconds < 0.05),
    );
    let locked = median(11, |_| {
        let mut command = Command::new(kiln);
        let seed = web.project.with_file_name("seed");
        command.args(["lock", "--offline", "--quiet", "--store"]).arg(seed).arg(&web.project);
        time(&mut command)
    })?;
    rows.push(
        Row::new("kiln lock, nothing changed: opens the archive's index", locked.seconds, Some(locked.memory))
            .promised("the index opens in under 0.050", locked.seconds < 0.05),
    );
    let changed = median(11, |index| {
        write(&web.project.join("files/bench.conf"), &format!("line = {}\n", index + 1))?;
        time(&mut build(kiln, web, &store))
    })?;
    rows.push(
        Row::new("kiln build, one line of a file changed", changed.seconds, Some(changed.memory))
            .promised("under 0.150", changed.seconds < 0.15),
    );
    Ok(())
}
