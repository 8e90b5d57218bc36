//! The applets of busybox as links, where a package lists them: `/etc/busybox-paths.d/NAME`, one path a line, for the
//! program `/bin/NAME`. As `busybox --install -s` leaves them: what is there already stays.
//!
//! Alpine's packages bring such lists; Debian's busybox brings none and has no links.

use kiln_model::TreePath;

use super::{FinalizeContext, FinalizeError, fixed};

const FOLDER: &str = "etc/busybox-paths.d";

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    for name in context.names(&fixed(FOLDER)) {
        let list = fixed(&format!("{FOLDER}/{name}"));
        let program = fixed(&format!("bin/{name}"));
        let Some(text) = context.read(&list)? else {
            continue;
        };
        if context.file(&program).is_none() {
            context.warn(format!("`{list}` lists applets of `{program}`, which is not in the image"), None);
            continue;
        }
        for line in String::from_utf8_lossy(&text).lines().map(str::trim).filter(|line| !line.is_empty()) {
            let path = TreePath::from_absolute(&format!("/{}", line.trim_start_matches('/')));
            let path = path.map_err(|error| FinalizeError::Input { path: list.clone(), why: error.to_string() })?;
            if context.work.find(&path).is_none() {
                context.link(&path, &program.to_string())?;
            }
        }
    }
    Ok(())
}
