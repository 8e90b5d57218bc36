//! Finalizers of a few lines.

use kiln_model::{Entry, Meta};

use super::{FinalizeContext, FinalizeError, fixed};

/// The directories that a running system mounts over: hier(7). `/tmp` is for everyone.
pub(super) fn mount_points(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    for (name, mode) in [("dev", 0o755), ("proc", 0o755), ("run", 0o755), ("sys", 0o755), ("tmp", 0o1777)] {
        let path = fixed(name);
        if context.work.tree.get(&path).is_none() && context.work.make_dir(&path, context.owner)? {
            context.work.set_meta(&path, Meta::root_owned(mode));
        }
    }
    Ok(())
}

/// machine-id(5): empty means "not yet", which systemd fills in at the first boot, over a read-only `/etc` too.
pub(super) fn machine_id(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let path = fixed("etc/machine-id");
    let systemd = context.work.tree.resolve(&fixed("usr/lib/systemd/systemd"));
    if !matches!(systemd, Some((_, Some(Entry::File(_))))) || context.work.tree.get(&path).is_some() {
        return Ok(());
    }
    context.write_always(&path, b"", Meta::root_owned(0o444))
}
