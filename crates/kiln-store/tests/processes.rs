//! Many processes on one store, processes that are killed, disks that are full.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn stress(arguments: &[&str], root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_store-stress"));
    command.arg(arguments[0]).arg(root).args(&arguments[1..]);
    command
}

fn succeed(arguments: &[&str], root: &Path) -> String {
    let output = stress(arguments, root).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Waits for that many lines and then a moment, kills it without a chance to clean up, and gives the whole lines that it
/// had printed.
fn kill(mut child: Child, after_lines: usize, moment: Duration) -> Vec<String> {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut lines = String::new();
    for _ in 0..after_lines {
        assert!(out.read_line(&mut lines).unwrap() > 0, "it ended by itself after {lines}");
    }
    std::thread::sleep(moment);
    child.kill().unwrap();
    out.read_to_string(&mut lines).unwrap();
    child.wait().unwrap();
    let whole = lines.rfind('\n').map_or("", |end| &lines[..end]);
    whole.lines().map(str::to_owned).collect()
}

#[test]
fn a_kill_at_any_moment_leaves_the_store_sound_and_what_was_done_done() {
    let root = tempfile::tempdir().unwrap();
    let mut done = Vec::new();
    for round in 0..100u64 {
        let name = round.to_string();
        let child = stress(&["write", &name], root.path()).stdout(Stdio::piped()).spawn().unwrap();
        // Moments that meet every phase, from before the first step to some actions later.
        let moment = Duration::from_micros((round * 7_919) % 9_000);
        let new = kill(child, (round % 7) as usize, moment);
        assert!(new.len() >= (round % 7) as usize);
        for name in &new {
            succeed(&["check", name], root.path());
        }
        done.extend(new);
        let report = succeed(&["fsck", "", "1"], root.path());
        assert!(report.starts_with("sound"), "round {round}: {report}");
        if round % 25 == 24 {
            for name in done.drain(..) {
                succeed(&["check", &name], root.path());
            }
            succeed(&["gc", "", "1"], root.path());
        }
    }
}

#[test]
fn a_kill_of_gc_at_any_moment_leaves_the_store_sound() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..20u64 {
        succeed(&["build", &format!("kept {round}"), "1"], root.path());
        succeed(&["write", &round.to_string(), "2"], root.path());
        let child = stress(&["gc", ""], root.path()).stdout(Stdio::piped()).spawn().unwrap();
        kill(child, 0, Duration::from_micros(500 + (round * 1_931) % 8_000));
        let report = succeed(&["fsck", "", "1"], root.path());
        assert!(report.starts_with("sound"), "round {round}: {report}");
        for kept in 0..=round {
            succeed(&["check", &format!("kept {kept} 0")], root.path());
        }
    }
}

#[test]
fn many_build_clean_and_check_at_once() {
    let root = tempfile::tempdir().unwrap();
    let workers: Vec<Child> = [
        ["build", "one", "120"],
        ["build", "two", "120"],
        // The same actions as the first: whoever comes first performs each.
        ["build", "one", "120"],
        ["gc", "", "60"],
        ["fsck", "", "40"],
        ["repair", "", "40"],
    ]
    .iter()
    .map(|arguments| stress(arguments, root.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    .collect();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    assert!(succeed(&["fsck", "", "1"], root.path()).starts_with("sound"));
}

/// Runs a script in a mount namespace of its own, where it may mount. As root and as an ordinary user alike.
fn in_namespace(script: &str, root: &Path) -> Output {
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-euc", script, "sh"])
        .arg(root)
        .arg(env!("CARGO_BIN_EXE_store-stress"))
        .output()
        .expect("`unshare` of util-linux");
    assert!(output.status.success(), "the script failed: {}", text(&output));
    output
}

#[test]
fn a_full_disk_is_told_with_a_way_out_and_leaves_the_store_sound() {
    let root = tempfile::tempdir().unwrap();
    // Sizes differ, so that the disk is full at different steps.
    for size in [700, 1000, 1300, 1700, 2300] {
        let script = format!(
            r#"
            mount -t tmpfs -o size={size}k tmpfs "$1"
            if "$2" durable "$1/store" fill >"$1.done"; then echo "it did not fail"; exit 1; fi
            "$2" repair "$1/store" x 1
            while read -r name; do "$2" check "$1/store" "$name"; done <"$1.done"
            echo "done $(wc -l <"$1.done")"
            "$2" gc "$1/store" x 1
            "$2" durable "$1/store" again 1 || test {size} -lt 2000
            "$2" fsck "$1/store" x 1
            "#
        );
        let output = in_namespace(&script, root.path());
        let text = text(&output);
        assert!(text.contains("cause: No space left on device"), "{size}: {text}");
        assert!(text.contains(&format!("`{}/store", root.path().display())), "{size}: {text}");
        assert!(text.contains("sound"), "{size}: {text}");
    }
    std::fs::remove_file(root.path().with_extension("done")).unwrap_or_default();
}

#[test]
fn a_read_only_file_system_is_told_and_can_be_read() {
    let root = tempfile::tempdir().unwrap();
    let script = r#"
        mount -t tmpfs -o size=20m tmpfs "$1"
        "$2" write "$1/store" a 1
        mount -o remount,bind,ro "$1"
        "$2" read "$1/store" "a 0"
        if "$2" write "$1/store" b 1; then echo "it did not fail"; exit 1; fi
    "#;
    let text = text(&in_namespace(script, root.path()));
    assert!(text.contains("hint: the file system is mounted read-only"), "{text}");
}
