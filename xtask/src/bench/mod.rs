//! Measurements beside other builders and beside the lower bound of the same work, in one run on one machine.
//!
//! The "web" image: Debian trixie's nginx-light, ca-certificates and curl with the Essential set, its packages already
//! downloaded, written as an OCI layout. Nothing here passes or fails: the figures go to `docs/benchmarks.md`.

mod bound;
mod graph;
mod peers;
mod timing;
pub mod web;

use std::fmt::Write as _;
use std::process::Command;

use crate::process::{Outcome, cargo, output, root, run as run_command};
use timing::Row;

const PARTS: [&str; 3] = ["web", "graph", "peers"];

/// Runs those that are named, or all.
pub fn run(parts: &[&str]) -> Outcome {
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(part)) {
        return Err(format!("there is no part `{unknown}`: there are {}", PARTS.join(", ")));
    }
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    run_command(cargo().args(["build", "--release", "--locked", "--package", "kiln"]))?;
    let work = tempfile::Builder::new()
        .prefix("kiln-bench-")
        .tempdir_in("/var/tmp")
        .map_err(|error| format!("cannot make a folder to work in: {error}"))?;
    let kiln = root().join("target/release/kiln");
    let mut rows = Vec::new();
    if wanted("web") {
        let web = web::prepare(&kiln, work.path())?;
        web::measure(&kiln, &web, &mut rows)?;
    }
    if wanted("graph") {
        graph::measure(&kiln, work.path(), &mut rows)?;
    }
    if wanted("peers") {
        peers::measure(work.path(), &mut rows)?;
    }
    let text = document(&rows)?;
    print!("{text}");
    if !parts.is_empty() {
        return Ok(());
    }
    std::fs::write(root().join("docs/benchmarks.md"), text)
        .map_err(|error| format!("cannot write the document: {error}"))
}

fn document(rows: &[Row]) -> Outcome<String> {
    let commit = output(Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(root()))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = format!(
        "# Benchmarks\n\nWritten by `cargo xtask bench` at {}, on {cores} cores: medians of several runs, in one run of the \
         tool. The image is \"web\": Debian trixie's nginx-light, ca-certificates and curl with the Essential set, as an OCI \
         layout; Kiln's packages come from a folder on the same disk, the other builders' from the mirror.\n\n\
         | what | seconds | peak memory, MB | beside | promise |\n|---|---|---|---|---|\n",
        commit.trim()
    );
    for row in rows {
        let memory = row.memory.map_or_else(String::new, |bytes| format!("{:.0}", bytes as f64 / 1e6));
        let promise = row.promise.as_ref().map_or_else(String::new, |(promise, holds)| {
            format!("{promise}: {}", if *holds { "holds" } else { "**does not hold**" })
        });
        let _ = writeln!(text, "| {} | {:.3} | {memory} | {} | {promise} |", row.what, row.seconds, row.beside);
    }
    Ok(text)
}
