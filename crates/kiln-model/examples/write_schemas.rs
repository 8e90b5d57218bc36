//! Writes `schemas/*.json` anew into the folder given as the first argument.

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| "schemas".into());
    for (file, text) in kiln_model::schema::all() {
        std::fs::write(std::path::Path::new(&folder).join(file), text)?;
    }
    Ok(())
}
