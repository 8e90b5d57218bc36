//! The order of versions against `dpkg --compare-versions`. Needs `dpkg`, which every Debian has.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use kiln_import::debian::version::compare;

/// Versions that differ in little, from a small generator of its own so that every run asks the same.
fn versions() -> Vec<String> {
    let mut state = 7u32;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % bound
    };
    let pieces =
        ["0", "1", "9", "10", "00", "01", "a", "b", "A", "z", "~", "~~", ".", "+", "-", "~rc1", "+dfsg", "+b1", "-0.1"];
    let epochs = ["", "", "", "0:", "1:", "01:", "10:"];
    let mut versions = Vec::new();
    for _ in 0..66 {
        let mut text = epochs[next(epochs.len())].to_owned();
        text.push_str(["0", "1", "2"][next(3)]);
        for _ in 0..next(5) {
            text.push_str(pieces[next(pieces.len())]);
        }
        // dpkg refuses an empty revision.
        versions.push(text.trim_end_matches('-').to_owned());
    }
    versions
}

#[test]
fn orders_versions_as_dpkg_does() {
    let versions = versions();
    let mut pairs = Vec::new();
    for (number, a) in versions.iter().enumerate() {
        pairs.extend(versions[number + 1..].iter().map(|b| (a, b)));
    }
    assert!(pairs.len() > 2000);
    // One shell asks for all of them: a process for each would be slow only because of the shell.
    let mut script = String::new();
    for (a, b) in &pairs {
        writeln!(script, "if dpkg --compare-versions '{a}' lt '{b}'; then echo lt; elif dpkg --compare-versions '{a}' gt '{b}'; then echo gt; else echo eq; fi").unwrap();
    }
    let mut shell = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    let answers: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), pairs.len(), "this test needs dpkg");
    for ((a, b), answer) in pairs.into_iter().zip(answers) {
        let ours = match compare(a, b) {
            std::cmp::Ordering::Less => "lt",
            std::cmp::Ordering::Equal => "eq",
            std::cmp::Ordering::Greater => "gt",
        };
        assert_eq!(ours, answer, "{a} {b}");
    }
}
