//! `/etc/ld.so.cache`: glibc's `glibc-ld.so.cache1.1` format, little-endian.
//!
//! Header of 48 bytes, then one entry of 24 bytes for each library (flags, offset of its name, offset of its path,
//! unused, hardware capability), then the strings, then the extensions: who wrote it, and the names of the
//! `glibc-hwcaps` folders that entries refer to. All offsets count from the beginning of the file. Entries are sorted in
//! descending order of the loader's own comparison, which takes digits as numbers; the loader searches them by halves.
//!
//! Sources: glibc's `sysdeps/generic/dl-cache.h` (layout) and `elf/ldconfig.c`, `elf/cache.c` (which files, which order).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use kiln_model::elf::{EM_386, EM_AARCH64, EM_X86_64, ElfInfo};
use kiln_model::{Entry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};
use crate::closure::ObjectKind;
use crate::closure::search::{configured_folders, default_folders};

/// One line of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheEntry {
    pub soname: String,
    pub path: String,
    pub flags: u32,
    /// The `glibc-hwcaps` folder it is in.
    pub hwcaps: Option<String>,
}

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let mut folders = configured_folders(&context.work.tree, context.source)?;
    folders.extend(default_folders(&context.work.tree, context.request.architecture));
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    let mut links = Vec::new();
    for folder in folders {
        let Some((place, Some(Entry::Dir(_)))) = context.work.tree.resolve(&folder) else {
            continue;
        };
        if !seen.insert(place.clone()) {
            continue;
        }
        scan(context, &folder, &place, None, &mut entries, &mut links)?;
        let hwcaps = place.join("glibc-hwcaps").unwrap_or_default();
        let levels: Vec<String> = context
            .work
            .tree
            .dir(&hwcaps)
            .into_iter()
            .flat_map(|dir| dir.entries())
            .filter(|(_, entry)| matches!(entry, Entry::Dir(_)))
            .map(|(name, _)| name.to_owned())
            .collect();
        for level in levels {
            let below =
                |base: &TreePath| base.join("glibc-hwcaps").and_then(|path| path.join(&level)).unwrap_or_default();
            scan(context, &below(&folder), &below(&place), Some(&level), &mut entries, &mut links)?;
        }
    }
    if entries.is_empty() {
        return Ok(());
    }
    for (path, target) in links {
        context.link(&path, &target)?;
    }
    let bytes = encode(entries);
    context.write(&fixed("etc/ld.so.cache"), &bytes)
}

/// What the loader wants to know of a library's machine; nothing for machines it would not load.
fn flags(info: &ElfInfo) -> Option<u32> {
    const ELF_LIBC6: u32 = 3;
    match (info.machine, info.class64) {
        (EM_X86_64, true) => Some(ELF_LIBC6 | 0x0300),
        (EM_X86_64, false) => Some(ELF_LIBC6 | 0x0800),
        (EM_AARCH64, true) => Some(ELF_LIBC6 | 0x0a00),
        (EM_386, false) => Some(ELF_LIBC6),
        _ => None,
    }
}

/// Is this a name that `ldconfig` looks at?
fn is_library_name(name: &str) -> bool {
    let library = (name.starts_with("lib") || name.starts_with("ld-")) && name.contains(".so");
    let ignored = name.ends_with("-gdb.py") || name.ends_with(".dpkg-new") || name.ends_with(".dpkg-tmp");
    (library || name == "ld.so" || name.starts_with("ld64.so.")) && !ignored
}

/// Is a link in the cache under its own name? It is when that is the soname or the `.so` that the linker takes; any other
/// link stands for the library, as a file of another name would.
fn is_its_own(link: &str, soname: &str) -> bool {
    link == soname || (link.ends_with(".so") && soname.starts_with(link))
}

struct Found {
    name: String,
    is_link: bool,
}

fn scan(
    context: &FinalizeContext<'_>,
    folder: &TreePath,
    place: &TreePath,
    hwcaps: Option<&str>,
    entries: &mut Vec<CacheEntry>,
    links: &mut Vec<(TreePath, String)>,
) -> Result<(), FinalizeError> {
    let mut best: BTreeMap<(String, u32), Found> = BTreeMap::new();
    let tree = &context.work.tree;
    for (name, entry) in tree.dir(place).into_iter().flat_map(|dir| dir.entries()) {
        if !is_library_name(name) {
            continue;
        }
        let path = place.join(name).unwrap_or_default();
        let Some((_, Some(Entry::File(file)))) = tree.resolve(&path) else {
            continue;
        };
        let asked = context.knowledge.with(file, |kind| match kind {
            ObjectKind::Elf(info) => flags(info).map(|flags| (info.soname.clone(), flags)),
            _ => None,
        })?;
        let Some((soname, flags)) = asked else {
            continue;
        };
        let soname = soname.unwrap_or_else(|| name.to_owned());
        let is_link = matches!(entry, Entry::Symlink(_)) && is_its_own(name, &soname);
        let soname = if is_link { name.to_owned() } else { soname };
        let found = Found { name: name.to_owned(), is_link };
        match best.get_mut(&(soname.clone(), flags)) {
            None => {
                best.insert((soname, flags), found);
            }
            Some(other) => {
                let better = match (other.is_link, found.is_link) {
                    (true, false) => true,
                    (false, true) => false,
                    _ => compare(&other.name, &found.name).is_lt(),
                };
                if better {
                    *other = found;
                }
            }
        }
    }
    for ((soname, flags), found) in best {
        // By soname, so that the cache stays right when a file of another name takes its place.
        let name = if hwcaps.is_some() { &found.name } else { &soname };
        let there = place.join(&soname).ok().and_then(|path| tree.get(&path).map(drop));
        if hwcaps.is_none()
            && there.is_none()
            && let Ok(path) = place.join(&soname)
        {
            links.push((path, found.name.clone()));
        }
        let path = format!("{folder}/{name}");
        entries.push(CacheEntry { soname, path, flags, hwcaps: hwcaps.map(str::to_owned) });
    }
    Ok(())
}

/// The loader's comparison of names: `_dl_cache_libcmp`.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let number = |bytes: &mut &[u8]| {
        let mut value = 0i32;
        while let Some((digit @ b'0'..=b'9', rest)) = bytes.split_first() {
            value = value.wrapping_mul(10).wrapping_add(i32::from(digit - b'0'));
            *bytes = rest;
        }
        value
    };
    loop {
        match (a.first().copied(), b.first().copied()) {
            (Some(b'0'..=b'9'), Some(b'0'..=b'9')) => match number(&mut a).cmp(&number(&mut b)) {
                Ordering::Equal => {}
                order => return order,
            },
            (Some(b'0'..=b'9'), _) => return Ordering::Greater,
            (Some(_), Some(b'0'..=b'9')) => return Ordering::Less,
            (Some(x), Some(y)) if x == y => {
                a = &a[1..];
                b = &b[1..];
            }
            (None, y) => return 0u8.cmp(&y.unwrap_or(0)),
            (Some(x), y) => return x.cmp(&y.unwrap_or(0)),
        }
    }
}

const HEADER: u32 = 48;
const ENTRY: u32 = 24;

/// The bytes of a cache.
pub(crate) fn encode(mut entries: Vec<CacheEntry>) -> Vec<u8> {
    entries.sort_by(|a, b| {
        compare(&b.soname, &a.soname)
            .then_with(|| b.flags.cmp(&a.flags))
            // The loader stops at the first plain entry, so those of capabilities come before.
            .then_with(|| b.hwcaps.is_some().cmp(&a.hwcaps.is_some()))
            .then_with(|| a.hwcaps.cmp(&b.hwcaps))
    });
    let mut strings = Strings { base: HEADER + ENTRY * entries.len() as u32, ..Strings::default() };
    let names: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.hwcaps.as_deref()).collect();
    let mut list = Vec::new();
    for entry in &entries {
        let capability = entry.hwcaps.as_deref().and_then(|name| names.iter().position(|n| *n == name));
        list.extend_from_slice(&entry.flags.to_le_bytes());
        list.extend_from_slice(&strings.add(&entry.soname).to_le_bytes());
        list.extend_from_slice(&strings.add(&entry.path).to_le_bytes());
        list.extend_from_slice(&0u32.to_le_bytes());
        // Bit 62 says that the low half is the number of a name in the extension.
        let capability = capability.map_or(0, |place| 1u64 << 62 | place as u64);
        list.extend_from_slice(&capability.to_le_bytes());
    }
    let capabilities: Vec<u32> = names.iter().map(|name| strings.add(name)).collect();
    let end = strings.base + strings.bytes.len() as u32;
    let extension = end.next_multiple_of(4);

    let mut file = b"glibc-ld.so.cache1.1".to_vec();
    file.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    file.extend_from_slice(&(strings.bytes.len() as u32).to_le_bytes());
    // Two: little-endian.
    file.extend_from_slice(&[2, 0, 0, 0]);
    file.extend_from_slice(&extension.to_le_bytes());
    file.extend_from_slice(&[0; 12]);
    file.append(&mut list);
    file.append(&mut strings.bytes);
    file.resize(extension as usize, 0);
    write_extension(&mut file, &capabilities);
    file
}

fn write_extension(file: &mut Vec<u8>, capabilities: &[u32]) {
    const GENERATOR: &[u8] = b"Kiln";
    let sections: u32 = if capabilities.is_empty() { 1 } else { 2 };
    let generator = file.len() as u32 + 8 + 16 * sections;
    let table = (generator + GENERATOR.len() as u32).next_multiple_of(4);
    let mut put = |words: &[u32]| words.iter().for_each(|word| file.extend_from_slice(&word.to_le_bytes()));
    put(&[0xeaa4_2174, sections]);
    put(&[0, 0, generator, GENERATOR.len() as u32]);
    if !capabilities.is_empty() {
        put(&[1, 0, table, 4 * capabilities.len() as u32]);
    }
    file.extend_from_slice(GENERATOR);
    if !capabilities.is_empty() {
        file.resize(table as usize, 0);
        capabilities.iter().for_each(|offset| file.extend_from_slice(&offset.to_le_bytes()));
    }
}

/// Strings, each once.
#[derive(Default)]
struct Strings {
    base: u32,
    bytes: Vec<u8>,
    known: BTreeMap<String, u32>,
}

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        if let Some(offset) = self.known.get(text) {
            return *offset;
        }
        let offset = self.base + self.bytes.len() as u32;
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.known.insert(text.to_owned(), offset);
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_compare_as_numbers() {
        assert!(compare("libfoo.so.10", "libfoo.so.9").is_gt());
        assert!(compare("libfoo.so", "libfoo.so.1").is_lt());
        assert!(compare("lib1", "liba").is_gt(), "a digit is greater than any letter");
        assert!(compare("libz.so.1", "libz.so.1").is_eq());
        assert!(compare("lib99999999999999999999", "lib1").is_ne(), "long numbers wrap, they do not panic");
    }

    #[test]
    fn the_linkers_link_is_in_the_cache_by_its_own_name() {
        assert!(is_its_own("libz.so.1", "libz.so.1") && is_its_own("libz.so", "libz.so.1"));
        assert!(!is_its_own("libz.so.1.3.1", "libz.so.1") && !is_its_own("liby.so", "libz.so.1"));
    }

    #[test]
    fn hardware_capabilities_come_before_the_plain_library() {
        let entry = |path: &str, hwcaps: Option<&str>| CacheEntry {
            soname: "libz.so.1".into(),
            path: path.into(),
            flags: 0x303,
            hwcaps: hwcaps.map(str::to_owned),
        };
        let plain = entry("/lib/libz.so.1", None);
        let level = entry("/lib/glibc-hwcaps/x86-64-v3/libz.so.1", Some("x86-64-v3"));
        let bytes = encode(vec![plain.clone(), level.clone()]);
        assert_eq!(bytes, encode(vec![level, plain]));
        let capability = u64::from_le_bytes(bytes[48 + 16..48 + 24].try_into().unwrap());
        assert_eq!(capability, 1 << 62);
        assert_eq!(&bytes[48 + 24 + 16..48 + 48], &[0; 8]);
    }
}
