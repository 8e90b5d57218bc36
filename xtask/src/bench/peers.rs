//! The same image by other builders. What cannot be had is said in the table and not passed over.

use std::path::Path;
use std::process::Command;

use super::timing::{Row, measure as time, median};
use super::web::write;
use crate::process::{Outcome, has};

const PACKAGES: &str = "nginx-light,ca-certificates,curl";

/// Measures them.
pub fn measure(work: &Path, rows: &mut Vec<Row>) -> Outcome {
    let Some(mirror) = mirror() else {
        return Err("the machine's apt configuration names no mirror of Debian".to_owned());
    };
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    if has("mmdebstrap") {
        let tar = work.join("mmdebstrap.tar");
        let made = median(3, |_| {
            let _ = std::fs::remove_file(&tar);
            time(
                Command::new("mmdebstrap")
                    .args([
                        "--variant=minbase",
                        "--quiet",
                        &format!("--include={PACKAGES}"),
                        &format!("--keyring={keyring}"),
                        "trixie",
                    ])
                    .arg(&tar)
                    .arg(&mirror),
            )
        })?;
        let cold = rows.iter().find(|row| row.what.ends_with("empty store")).map_or(f64::NAN, |row| row.seconds);
        let ratio = cold / made.seconds;
        rows.push(
            Row::new("mmdebstrap --variant=minbase, to a tar file", made.seconds, None)
                .beside(format!("kiln takes {ratio:.2} of it"))
                .promised("kiln takes under 0.25 of it", ratio < 0.25),
        );
        buildah(work, &mirror, keyring, rows)?;
    } else {
        rows.push(Row::new("mmdebstrap is not installed", f64::NAN, None));
    }
    Ok(())
}

fn buildah(work: &Path, mirror: &str, keyring: &str, rows: &mut Vec<Row>) -> Outcome {
    if !has("buildah") {
        rows.push(Row::new("buildah is not installed", f64::NAN, None));
        return Ok(());
    }
    let context = work.join("buildah");
    std::fs::create_dir_all(&context).map_err(|error| error.to_string())?;
    time(
        Command::new("mmdebstrap")
            .args(["--variant=minbase", "--quiet", &format!("--keyring={keyring}"), "trixie"])
            .arg(context.join("base.tar"))
            .arg(mirror),
    )?;
    write(
        &context.join("Containerfile"),
        &format!(
            "FROM scratch\nADD base.tar /\nRUN apt-get update -qq && apt-get install -qq -y --no-install-recommends {}\n\
             COPY bench.conf /etc/bench.conf\n",
            PACKAGES.replace(',', " ")
        ),
    )?;
    let storage = work.join("containers");
    let build = || {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(storage.join("root")).arg("--runroot").arg(storage.join("run"));
        command.args([
            "--storage-driver",
            "vfs",
            "bud",
            "--layers",
            "--isolation",
            "chroot",
            "--network",
            "host",
            "--tag",
            "bench",
        ]);
        command.arg(&context);
        command
    };
    write(&context.join("bench.conf"), "line = 0\n")?;
    // A peer that cannot run here is named with its reason; the other figures stand.
    match time(&mut build()) {
        Ok(first) => rows.push(Row::new("buildah bud, a minbase tree given", first.seconds, None)),
        Err(reason) => {
            let reason = reason.lines().last().unwrap_or_default().to_owned();
            rows.push(Row::new("buildah bud failed here", f64::NAN, None).beside(reason));
            return Ok(());
        }
    }
    let changed = median(3, |index| {
        write(&context.join("bench.conf"), &format!("line = {}\n", index + 1))?;
        time(&mut build())
    })?;
    rows.push(Row::new("buildah bud, one line of a file changed", changed.seconds, None));

    Ok(())
}

/// The mirror of Debian that the machine's apt configuration names.
fn mirror() -> Option<String> {
    let folder = std::fs::read_dir("/etc/apt/sources.list.d").ok()?;
    let mut paths: Vec<_> = folder.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.push("/etc/apt/sources.list".into());
    paths.sort();
    let texts = paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect::<Vec<_>>().join("\n");
    let words = texts.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    words
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.contains("://") && word.ends_with("/debian"))
        .map(str::to_owned)
}
