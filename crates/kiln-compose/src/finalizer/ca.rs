//! The certificate authorities of the image: update-ca-certificates(8), openssl-rehash(1).
//!
//! `/etc/ca-certificates.conf` is followed where the image or a package brings it, and written with every certificate
//! on where none does. The bundle is in the order of that file, then the local certificates by path.

pub(super) mod der;

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{Digest, Entry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};

const SHIPPED: &str = "usr/share/ca-certificates";
const LOCAL: &str = "usr/local/share/ca-certificates";
const CONFIGURATION: &str = "etc/ca-certificates.conf";
const FOLDER: &str = "etc/ssl/certs";

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let shipped = certificates(context, SHIPPED);
    let local = certificates(context, LOCAL);
    if shipped.is_empty() && local.is_empty() {
        return Ok(());
    }
    let base = fixed(SHIPPED);
    let mut chosen: Vec<TreePath> = Vec::new();
    match context.read(&fixed(CONFIGURATION))? {
        Some(text) => {
            for line in String::from_utf8_lossy(&text).lines() {
                if line.is_empty() || line.starts_with(['#', '!']) {
                    continue;
                }
                match line.parse::<TreePath>().ok().and_then(|path| format!("{SHIPPED}/{}", path.as_str()).parse().ok())
                {
                    Some(path) if shipped.contains(&path) => chosen.push(path),
                    _ => context.warn(format!("`/{CONFIGURATION}` names `{line}`, which is not in the image"), None),
                }
            }
        }
        None => {
            chosen.extend(shipped.iter().cloned());
            let mut text = String::from(
                "# The certificate authorities that the image trusts, below /usr/share/ca-certificates.\n",
            );
            for path in &shipped {
                if let Some(name) = path.as_str().strip_prefix(base.as_str()) {
                    text.push_str(name.trim_start_matches('/'));
                    text.push('\n');
                }
            }
            context.write(&fixed(CONFIGURATION), text.as_bytes())?;
        }
    }
    chosen.extend(local);
    let mut bundle = Vec::new();
    // Links by name, as the program does: the last of two with one name stays.
    let mut links: BTreeMap<String, (TreePath, Vec<u8>)> = BTreeMap::new();
    for path in chosen {
        let text = context.read(&path)?.unwrap_or_default();
        bundle.extend_from_slice(&text);
        if !text.ends_with(b"\n") {
            bundle.push(b'\n');
        }
        links.insert(link_name(&path), (path, text));
    }
    let folder = fixed(FOLDER);
    let at = |name: &str| folder.join(name).unwrap_or_default();
    context.write(&at("ca-certificates.crt"), &bundle)?;
    let mut seen: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    for (name, (path, text)) in &links {
        context.link(&at(name), &path.to_string())?;
        // OpenSSL looks up only files of one certificate.
        let [certificate] = &der::certificates(text)[..] else {
            continue;
        };
        let Some(hash) = der::subject_hash(certificate) else {
            context.warn(format!("`{path}` is not a certificate that OpenSSL could look up"), None);
            continue;
        };
        let same = seen.entry(hash.clone()).or_default();
        let number = same.len();
        if same.insert(Digest::of(certificate)) {
            context.link(&at(&format!("{hash}.{number}")), name)?;
        }
    }
    Ok(())
}

/// Every `.crt` file below `folder`, in order of path as texts.
fn certificates(context: &FinalizeContext<'_>, folder: &str) -> BTreeSet<TreePath> {
    let base = fixed(folder);
    let Some(dir) = context.directory(&base) else {
        return BTreeSet::new();
    };
    dir.walk()
        .filter(|(path, entry)| matches!(entry, Entry::File(_) | Entry::Symlink(_)) && path.as_str().ends_with(".crt"))
        .filter_map(|(path, _)| format!("{folder}/{}", path.as_str()).parse::<TreePath>().ok())
        .filter(|path| context.file(path).is_some())
        .collect()
}

/// The name of the link to a certificate: without what shells stumble over.
fn link_name(path: &TreePath) -> String {
    let name = path.file_name().unwrap_or_default();
    let name = name.strip_suffix(".crt").unwrap_or(name);
    let safe: String = name
        .chars()
        .map(|c| {
            if matches!(c, ' ' | ',') {
                '_'
            } else if matches!(c, '(' | ')') {
                '='
            } else {
                c
            }
        })
        .collect();
    format!("{safe}.pem")
}
