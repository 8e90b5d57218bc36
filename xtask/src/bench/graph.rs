//! A project of 1,000 recipes of which nothing changed.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::timing::{Row, measure as time, median};
use super::web::{commit, repository, write};
use crate::process::{Outcome, cargo, output, run};

const RECIPES: usize = 1000;

/// Loading and validating as many recipes, which a benchmark of `kiln-model` measures.
fn load(rows: &mut Vec<Row>) -> Outcome {
    let text = output(cargo().args(["bench", "--quiet", "--package", "kiln-model", "--bench", "load"]))?;
    let line = text.lines().find_map(|line| line.strip_prefix("load and validate 1,000 recipes"));
    let word = line.and_then(|line| line.split("median ").nth(1)?.split_whitespace().next());
    let seconds = word.and_then(|word| word.parse::<f64>().ok()).map(|milliseconds| milliseconds / 1000.0);
    let seconds = seconds.ok_or_else(|| format!("the benchmark of loading says no time:\n{text}"))?;
    rows.push(Row::new("load and validate 1,000 recipes", seconds, None).promised("under 0.100", seconds < 0.1));
    Ok(())
}

/// Measures it.
pub fn measure(kiln: &Path, work: &Path, rows: &mut Vec<Row>) -> Outcome {
    load(rows)?;
    let project = work.join("thousand");
    let store = work.join("seed");
    write(
        &project.join("kiln.yaml"),
        "kiln: 1\nname: thousand\norigins:\n  debian: { archive: deb, distribution: debian, suite: trixie, \
         components: [main], max-age: unlimited }\nenvironment: [debian:bash]\n",
    )?;
    for index in 0..RECIPES {
        let mut text = format!("name: p{index}\nversion: 1\nsummary: One of many\nlicense: MIT\n");
        // Chains of ten: each needs the one before it.
        if index % 10 > 0 {
            let _ = writeln!(text, "needs: [p{}]", index - 1);
        }
        let _ = write!(
            text,
            "build:\n  steps:\n    - run: mkdir -p {{{{ out }}}}/usr/share/p{index} && echo {index} > {{{{ out }}}}/usr/share/p{index}/file\n"
        );
        write(&project.join(format!("packages/p{index}/package.yaml")), &text)?;
    }
    let mut image = "name: all\npackages:\n".to_owned();
    (0..RECIPES).for_each(|index| {
        let _ = writeln!(image, "  - p{index}");
    });
    write(&project.join("images/all.yaml"), &image)?;
    let command = |word: &str| {
        let mut command = Command::new(kiln);
        command.arg(word).args(["--quiet", "--store"]).arg(&store).arg(&project);
        command
    };
    repository(&project)?;
    run(&mut command("lock"))?;
    commit(&project)?;
    let first = time(&mut command("build"))?;
    rows.push(Row::new(format!("kiln build, {RECIPES} recipes, the first time"), first.seconds, Some(first.memory)));
    let nothing = median(11, |_| time(&mut command("build")))?;
    let what = format!("kiln build, {RECIPES} recipes, nothing changed");
    rows.push(Row::new(what, nothing.seconds, Some(nothing.memory)).promised("under 0.150", nothing.seconds < 0.15));
    Ok(())
}
