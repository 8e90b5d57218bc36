//! What Emacs makes of its add-on packages: links to their sources and byte-code of these, as the install scripts that
//! packages leave in `/usr/lib/emacsen-common/packages/install` have it made once an Emacs is there.
//!
//! Such a script is a program that a package brings for Emacs, not a hook of its package. Those that `dh_elpa` wrote all
//! come to one helper, and those of emacsen-common and dictionaries-common are known; any other may do anything, and is
//! told instead of run. The helper keeps a log, which holds the time, so it is left out.

use super::{Preparation, Tool, derive};
use crate::finalizer::{FinalizeContext, FinalizeError, Finalizer, fixed};

/// Where packages put their install scripts.
const SCRIPTS: &str = "usr/lib/emacsen-common/packages/install";

/// The program that scripts by `dh_elpa` run.
const HELPER: &str = "/usr/lib/dh-elpa/helper/install ";

/// Packages whose own scripts were read: they link and compile, and do nothing else.
const KNOWN: &[&str] = &["emacsen-common", "dictionaries-common"];

static TOOL: Tool = Tool {
    name: "emacs-packages",
    summary: "Add-on packages of Emacs, linked and compiled as their install scripts have it done where an Emacs is.",
    version: 1,
    program: "/usr/bin/emacs",
    inputs: &["/usr/lib/emacsen-common/packages/install/*"],
    runs: &[
        "/usr/lib/emacsen-common/packages/install/*",
        "/usr/lib/dh-elpa/helper/install",
        "/usr/bin/cat",
        "/usr/bin/cp",
        "/usr/bin/dpkg",
        "/usr/bin/find",
        "/usr/bin/gzip",
        "/usr/bin/head",
        "/usr/bin/install",
        "/usr/bin/ln",
        "/usr/bin/mkdir",
        "/usr/bin/rm",
        "/usr/bin/sed",
        "/usr/bin/sh",
        "/usr/bin/touch",
    ],
    support: &[
        "/etc/emacs/**",
        "/usr/share/emacs/**",
        "/usr/share/emacsen-common/**",
        "/usr/share/dictionaries-common/**",
        "/usr/lib/emacs/**",
        "/usr/libexec/emacs/**",
    ],
    folders: &["/usr/share/emacs/site-lisp"],
    writes: &["/usr/share/emacs/site-lisp/**"],
    owner: None,
    read_only: false,
    bring: None,
    commands,
};

/// What a script that is run comes to.
fn is_followed(name: &str, text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " \"$._+-~/:".contains(c);
    let by_helper = lines
        .all(|line| line == "set -e" || line.strip_prefix(HELPER).is_some_and(|words| words.chars().all(is_plain)));
    by_helper || KNOWN.contains(&name)
}

/// The scripts, each with whether it is run.
fn scripts(context: &FinalizeContext<'_>) -> Result<Vec<(String, bool)>, FinalizeError> {
    let folder = fixed(SCRIPTS);
    let mut scripts = Vec::new();
    for name in context.names(&folder) {
        let Ok(path) = folder.join(&name) else { continue };
        if let Some(bytes) = context.read(&path)? {
            let followed = is_followed(&name, &String::from_utf8_lossy(&bytes));
            scripts.push((name, followed));
        }
    }
    Ok(scripts)
}

fn commands(preparation: &mut Preparation<'_, '_>) -> Result<Vec<Vec<String>>, FinalizeError> {
    let scripts = scripts(preparation.context)?;
    let run = scripts.into_iter().filter(|(_, followed)| *followed);
    let mut commands: Vec<Vec<String>> =
        run.map(|(name, _)| vec![format!("/{SCRIPTS}/{name}"), "emacs".to_owned()]).collect();
    if !commands.is_empty() {
        // Byte-code alone: what native code would be kept is the matter of whoever runs Emacs.
        let inhibit = "EMACS_INHIBIT_AUTOMATIC_NATIVE_COMPILATION";
        preparation.environment.insert(inhibit.to_owned(), "t".to_owned());
        let tidy = "find /usr/share/emacs/site-lisp -name Install.log.gz -exec rm {} +";
        commands.push(["/usr/bin/sh", "-e", "-c", tidy].map(str::to_owned).to_vec());
    }
    Ok(commands)
}

/// Tells of the scripts that are not run.
fn tell(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    if context.file(&fixed("usr/bin/emacs")).is_none() {
        return Ok(());
    }
    for (name, followed) in scripts(context)? {
        if !followed {
            let message = format!("`/{SCRIPTS}/{name}` did not run: what it does for Emacs is not known");
            let hint = "Emacs reads its sources where nothing is compiled; what is missing can be given by `files:`";
            context.warn(message, Some(hint.to_owned()));
        }
    }
    Ok(())
}

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| {
    tell(context)?;
    derive(&TOOL, context)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_the_helper_are_followed_and_others_are_not() {
        let of_helper = "#!/bin/sh\n# invoke\n\nset -e\n\n/usr/lib/dh-elpa/helper/install \"$1\" dash 2.20.0 \n";
        assert!(is_followed("elpa-dash", of_helper));
        assert!(!is_followed("elpa-dash", &format!("{of_helper}rm -rf /etc/x\n")));
        assert!(is_followed("emacsen-common", "ln -s a b"));
        assert!(!is_followed("wl", "ln -s a b"));
    }
}
