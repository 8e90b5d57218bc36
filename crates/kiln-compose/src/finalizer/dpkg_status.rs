//! The list of installed packages, where dpkg keeps it and vulnerability scanners look for it: `/var/lib/dpkg/status`.
//!
//! Every scanner reads this file; `status.d/NAME`, the way of images without dpkg, not all of them. So there is one way,
//! with or without dpkg in the image. Scanners that tell dpkg's folder by its shape want `info` beside the file, in the
//! same layer; it stays empty, as do all other books of dpkg: nothing is ever installed with it here. Packages of recipes
//! are not Debian's, no advisory of Debian is about them, and they are left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{FinalizeContext, FinalizeError, fixed};

/// What says that a package is there and configured.
const INSTALLED: &str = "Status: install ok installed";

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let members = context.request.members.iter().map(|member| &member.record);
    let listed: BTreeMap<_, _> = members
        .filter(|record| !record.listing.is_empty())
        .map(|record| ((&record.name, &record.origin), &record.listing))
        .collect();
    if listed.is_empty() {
        return Ok(());
    }
    let stanzas: Vec<String> = listed.into_values().map(|listing| stanza(listing)).collect();
    context.write(&fixed("var/lib/dpkg/status"), stanzas.join("\n").as_bytes())?;
    context.make_directory(&fixed("var/lib/dpkg/info"))
}

/// One package. dpkg puts the status after the name and what makes a package essential.
fn stanza(listing: &[(String, String)]) -> String {
    let mut text = String::new();
    let first = |name: &str| matches!(name, "Package" | "Essential" | "Protected");
    let (head, rest): (Vec<_>, Vec<_>) = listing.iter().partition(|(name, _)| first(name));
    for (name, value) in head {
        let _ = writeln!(text, "{name}: {value}");
    }
    let _ = writeln!(text, "{INSTALLED}");
    for (name, value) in rest {
        let _ = writeln!(text, "{name}: {value}");
    }
    text
}
