//! `kiln init`

use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use kiln_model::{ImageName, project};

use crate::context::{Context, Outcome};
use crate::failure::{Failure, exit};

/// Arguments of `kiln init`.
#[derive(Debug, Args)]
#[command(after_help = "Example: kiln init hello && kiln run hello")]
pub struct Init {
    /// The new project's folder
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Its name [default: the folder's]
    #[arg(long)]
    name: Option<ImageName>,
}

impl Init {
    /// Writes a new project. Nothing that is there is overwritten.
    pub fn run(&self, context: &Context) -> Outcome {
        let shown = self.folder.display();
        let io = |error: std::io::Error| Failure::failed(&error, None).within(format!("cannot make `{shown}`"));
        std::fs::create_dir_all(&self.folder).map_err(io)?;
        let folder = self.folder.canonicalize().map_err(io)?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let text = folder.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
                text.parse().map_err(|error: kiln_model::name::NameError| {
                    Failure::usage(error.to_string(), Some("give another one: `--name NAME`".to_owned()))
                })?
            }
        };
        let files = project::init::files(&name);
        if let Some((path, _)) = files.iter().find(|(path, _)| folder.join(path).exists()) {
            let hint = "choose an empty folder".to_owned();
            return Err(Failure::usage(format!("`{}` is there already", folder.join(path).display()), Some(hint)));
        }
        for (path, content) in &files {
            let path = folder.join(path);
            path.parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(&path, content))
                .map_err(io)?;
            context.progress.step("Wrote", &path.display().to_string());
        }
        if !folder.ancestors().any(|above| above.join(".git").exists()) {
            let made = Command::new("git").args(["init", "--quiet"]).arg(&folder).status();
            if !made.is_ok_and(|status| status.success()) {
                let hint = "install Git, then `git init` there".to_owned();
                return Err(Failure::usage(format!("cannot make `{shown}` a Git repository"), Some(hint)));
            }
        }
        context.progress.step("Next", &format!("kiln run {shown}"));
        Ok(exit::DONE)
    }
}
