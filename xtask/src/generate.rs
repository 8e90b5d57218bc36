//! Documents and schemas that are generated, so that they cannot drift.

use crate::process::{Outcome, root};

/// Every generated file with its content.
fn files() -> Vec<(String, String)> {
    let schemas = kiln_model::schema::all().into_iter().map(|(name, text)| (format!("schemas/{name}"), text));
    schemas.collect()
}

/// Writes them.
pub fn run() -> Outcome {
    for (path, content) in files() {
        let full = root().join(&path);
        std::fs::write(&full, content).map_err(|e| format!("cannot write `{path}`: {e}"))?;
        eprintln!("wrote {path}");
    }
    Ok(())
}

/// Says which of them are not as they would be generated.
pub fn check() -> Outcome {
    let stale: Vec<String> = files()
        .into_iter()
        .filter(|(path, content)| std::fs::read_to_string(root().join(path)).ok().as_ref() != Some(content))
        .map(|(path, _)| path)
        .collect();
    if stale.is_empty() {
        Ok(())
    } else {
        Err(format!("not as generated: {}; run `cargo xtask generate` and commit", stale.join(", ")))
    }
}
