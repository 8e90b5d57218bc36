//! What an ELF file asks of the loader: its interpreter, the libraries it needs, where it has them looked for.
//!
//! Only the program headers and the dynamic section are read, as the loader does, never the section headers, which a
//! stripped file need not have. Every offset and length comes from outside, so each is checked against a limit before it
//! is read: a hostile file gives an [`ElfError`], never a panic or a large allocation.
//!
//! Sources: the System V ABI, "Object Files", "Program Loading" and "Dynamic Linking"; the GNU additions in `elf(5)`.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

/// What kind of ELF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElfKind {
    /// An object file or kernel module.
    Relocatable,
    /// An executable at a fixed address.
    Executable,
    /// A shared library, or an executable that can be loaded anywhere.
    Shared,
    /// A core dump or something of an operating system of its own.
    Other,
}

/// What an ELF file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElfInfo {
    /// What kind of file.
    pub kind: ElfKind,
    /// `e_machine`: 62 for x86-64, 183 for AArch64.
    pub machine: u16,
    /// 64-bit class?
    pub class64: bool,
    /// Little-endian?
    pub little_endian: bool,
    /// `EI_OSABI`: 0 for System V, 3 for GNU.
    pub os_abi: u8,
    /// The program that loads it (`PT_INTERP`).
    pub interpreter: Option<String>,
    /// Libraries it needs, in its order (`DT_NEEDED`).
    pub needed: Vec<String>,
    /// The name that others need it by (`DT_SONAME`).
    pub soname: Option<String>,
    /// Where its libraries are looked for first: `DT_RUNPATH`, or `DT_RPATH` where there is none.
    pub runpath: Vec<String>,
}

/// `e_machine` of x86-64.
pub const EM_X86_64: u16 = 62;
/// `e_machine` of 32-bit x86.
pub const EM_386: u16 = 3;
/// `e_machine` of AArch64.
pub const EM_AARCH64: u16 = 183;

/// Why a file that begins like an ELF file cannot be read as one.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It ends before something it says it has.
    #[error("the ELF file is cut short: its {0} lies past its end")]
    Truncated(&'static str),
    /// A field has a value that no ELF file has.
    #[error("the ELF file is damaged: {0}")]
    Malformed(&'static str),
    /// A field is past Kiln's limits.
    #[error("the ELF file is refused: {0}")]
    Limit(&'static str),
    /// Reading failed.
    #[error("cannot read the ELF file")]
    Io(#[from] io::Error),
}

/// The longest name of a library, interpreter or search path.
const STRING_LIMIT: u64 = 16 * 1024;
/// The largest dynamic section.
const DYNAMIC_LIMIT: u64 = 4 * 1024 * 1024;
/// The most libraries that one file may need.
const NEEDED_LIMIT: usize = 4096;
/// The widest stretch of the string table that is read at once.
const STRINGS_LIMIT: u64 = 64 * 1024 * 1024;

/// Bytes by position. Past the end there are none: a short answer is not an error here.
trait Positioned {
    fn at(&mut self, offset: u64, length: u64) -> io::Result<Vec<u8>>;
}

struct Slice<'a>(&'a [u8]);

impl Positioned for Slice<'_> {
    fn at(&mut self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).map_or(self.0.len(), |o| o.min(self.0.len()));
        let rest = &self.0[start..];
        let length = usize::try_from(length).map_or(rest.len(), |l| l.min(rest.len()));
        Ok(rest[..length].to_vec())
    }
}

struct Seeking<R>(R);

impl<R: Read + Seek> Positioned for Seeking<R> {
    fn at(&mut self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        self.0.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        (&mut self.0).take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A stream that can be begun anew, for sources that cannot seek. It goes forward where it can.
struct Reopened<F, R> {
    open: F,
    current: Option<(R, u64)>,
}

impl<F: FnMut() -> io::Result<R>, R: Read> Positioned for Reopened<F, R> {
    fn at(&mut self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let (mut reader, position) = match self.current.take() {
            Some((reader, position)) if position <= offset => (reader, position),
            _ => ((self.open)()?, 0),
        };
        let skipped = io::copy(&mut (&mut reader).take(offset - position), &mut io::sink())?;
        let mut bytes = Vec::new();
        if position + skipped == offset {
            (&mut reader).take(length).read_to_end(&mut bytes)?;
        }
        self.current = Some((reader, position + skipped + bytes.len() as u64));
        Ok(bytes)
    }
}

/// Reads a whole file in memory. `None` when it is not an ELF file.
///
/// # Errors
/// When it begins like an ELF file but is damaged.
pub fn read(bytes: &[u8]) -> Result<Option<ElfInfo>, ElfError> {
    parse(&mut Slice(bytes))
}

/// Reads only the parts it needs of a file that can seek. `None` when it is not an ELF file.
///
/// # Errors
/// When it begins like an ELF file but is damaged, or cannot be read.
pub fn read_seekable(reader: impl Read + Seek) -> Result<Option<ElfInfo>, ElfError> {
    parse(&mut Seeking(reader))
}

/// Reads a stream that `open` begins anew as often as asked (at most three times), and keeps only what it needs in
/// memory. `None` when it is not an ELF file.
///
/// # Errors
/// When it begins like an ELF file but is damaged, or cannot be read.
pub fn read_stream<R: Read>(open: impl FnMut() -> io::Result<R>) -> Result<Option<ElfInfo>, ElfError> {
    parse(&mut Reopened { open, current: None })
}

/// The width and byte order of a file's numbers.
#[derive(Clone, Copy)]
struct Layout {
    class64: bool,
    little: bool,
}

impl Layout {
    fn number(self, bytes: &[u8]) -> u64 {
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        if self.little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) }
    }

    /// An address-sized field: `wide` is its place in the 64-bit structure, `narrow` in the 32-bit one.
    fn word(self, bytes: &[u8], wide: usize, narrow: usize) -> u64 {
        if self.class64 { self.number(&bytes[wide..wide + 8]) } else { self.number(&bytes[narrow..narrow + 4]) }
    }
}

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    file_size: u64,
}

fn segments(file: &mut impl Positioned, header: &[u8], layout: Layout) -> Result<Vec<Segment>, ElfError> {
    let at = layout.word(header, 32, 28);
    let (size_field, count_field) = if layout.class64 { (54, 56) } else { (42, 44) };
    let size = layout.number(&header[size_field..size_field + 2]);
    let count = layout.number(&header[count_field..count_field + 2]);
    if count == 0 {
        return Ok(Vec::new());
    }
    let expected = if layout.class64 { 56 } else { 32 };
    if size != expected {
        return Err(ElfError::Malformed("its program headers have a wrong size"));
    }
    let table = file.at(at, size * count)?;
    if (table.len() as u64) < size * count {
        return Err(ElfError::Truncated("table of program headers"));
    }
    Ok(table
        .chunks_exact(expected as usize)
        .map(|entry| Segment {
            kind: layout.number(&entry[0..4]),
            offset: layout.word(entry, 8, 4),
            address: layout.word(entry, 16, 8),
            file_size: layout.word(entry, 32, 16),
        })
        .collect())
}

fn text(bytes: &[u8]) -> Result<String, ElfError> {
    let end = bytes.iter().position(|b| *b == 0).ok_or(ElfError::Malformed("a name in it does not end"))?;
    match std::str::from_utf8(&bytes[..end]) {
        Ok(name) if end as u64 <= STRING_LIMIT => Ok(name.to_owned()),
        Ok(_) => Err(ElfError::Limit("a name in it is longer than 16 KiB")),
        Err(_) => Err(ElfError::Malformed("a name in it is not UTF-8")),
    }
}

/// The entries of the dynamic section that name something, and where the string table is.
#[derive(Default)]
struct Dynamic {
    needed: Vec<u64>,
    soname: Option<u64>,
    runpath: Option<u64>,
    rpath: Option<u64>,
    strings: Option<u64>,
    strings_size: Option<u64>,
}

fn dynamic(file: &mut impl Positioned, segment: &Segment, layout: Layout) -> Result<Dynamic, ElfError> {
    if segment.file_size > DYNAMIC_LIMIT {
        return Err(ElfError::Limit("its dynamic section is larger than 4 MiB"));
    }
    let bytes = file.at(segment.offset, segment.file_size)?;
    if (bytes.len() as u64) < segment.file_size {
        return Err(ElfError::Truncated("dynamic section"));
    }
    let mut found = Dynamic::default();
    for entry in bytes.chunks_exact(if layout.class64 { 16 } else { 8 }) {
        let value = layout.word(entry, 8, 4);
        match layout.word(entry, 0, 0) {
            0 => break,
            1 if found.needed.len() == NEEDED_LIMIT => {
                return Err(ElfError::Limit("it needs more than 4096 libraries"));
            }
            1 => found.needed.push(value),
            5 => found.strings = Some(value),
            10 => found.strings_size = Some(value),
            14 => found.soname = Some(value),
            15 => found.rpath = Some(value),
            29 => found.runpath = Some(value),
            _ => {}
        }
    }
    Ok(found)
}

impl Dynamic {
    /// The strings at the offsets that the section names, read in one stretch.
    fn names(&self, file: &mut impl Positioned, segments: &[Segment]) -> Result<BTreeMap<u64, String>, ElfError> {
        let mut wanted: Vec<u64> = self.needed.clone();
        wanted.extend([self.soname, self.runpath, self.rpath].into_iter().flatten());
        let (Some(first), Some(last)) = (wanted.iter().copied().min(), wanted.iter().copied().max()) else {
            return Ok(BTreeMap::new());
        };
        let address = self.strings.ok_or(ElfError::Malformed("it names libraries but has no string table"))?;
        let size = self.strings_size.ok_or(ElfError::Malformed("its string table has no size"))?;
        if last >= size {
            return Err(ElfError::Malformed("a name lies outside its string table"));
        }
        // The table is named by its address in memory; the loadable segment around it says where it is in the file.
        let place = segments
            .iter()
            .filter(|s| s.kind == 1)
            .find_map(|s| {
                let inside = address.checked_sub(s.address)?;
                (inside < s.file_size).then(|| s.offset.checked_add(inside)).flatten()
            })
            .ok_or(ElfError::Malformed("its string table is in no loadable segment"))?;
        if last - first > STRINGS_LIMIT {
            return Err(ElfError::Limit("its string table is larger than 64 MiB"));
        }
        let start = place.checked_add(first).ok_or(ElfError::Malformed("its string table has no end"))?;
        let stretch = file.at(start, (last - first) + (size - last).min(STRING_LIMIT + 1))?;
        let mut names = BTreeMap::new();
        for offset in wanted {
            let rest = stretch.get((offset - first) as usize..).ok_or(ElfError::Truncated("string table"))?;
            names.insert(offset, text(&rest[..rest.len().min(STRING_LIMIT as usize + 1)])?);
        }
        Ok(names)
    }
}

fn parse(file: &mut impl Positioned) -> Result<Option<ElfInfo>, ElfError> {
    let header = file.at(0, 64)?;
    if !header.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let ident = header.get(..16).ok_or(ElfError::Truncated("header"))?;
    let layout = match (ident[4], ident[5]) {
        (class @ 1..=2, order @ 1..=2) => Layout { class64: class == 2, little: order == 1 },
        _ => return Err(ElfError::Malformed("its class or byte order is unknown")),
    };
    if header.len() < if layout.class64 { 64 } else { 52 } {
        return Err(ElfError::Truncated("header"));
    }
    let mut info = ElfInfo {
        kind: match layout.number(&header[16..18]) {
            1 => ElfKind::Relocatable,
            2 => ElfKind::Executable,
            3 => ElfKind::Shared,
            _ => ElfKind::Other,
        },
        machine: layout.number(&header[18..20]) as u16,
        class64: layout.class64,
        little_endian: layout.little,
        os_abi: ident[7],
        interpreter: None,
        needed: Vec::new(),
        soname: None,
        runpath: Vec::new(),
    };
    if !matches!(info.kind, ElfKind::Executable | ElfKind::Shared) {
        return Ok(Some(info));
    }
    let segments = segments(file, &header, layout)?;
    if let Some(segment) = segments.iter().find(|s| s.kind == 3 && s.file_size > 0) {
        if segment.file_size > STRING_LIMIT {
            return Err(ElfError::Limit("the name of its interpreter is longer than 16 KiB"));
        }
        let bytes = file.at(segment.offset, segment.file_size)?;
        if (bytes.len() as u64) < segment.file_size {
            return Err(ElfError::Truncated("interpreter's name"));
        }
        info.interpreter = Some(text(&bytes)?);
    }
    if let Some(segment) = segments.iter().find(|s| s.kind == 2 && s.file_size > 0) {
        let dynamic = dynamic(file, segment, layout)?;
        let names = dynamic.names(file, &segments)?;
        let name = |offset: &u64| names.get(offset).cloned();
        info.needed = dynamic.needed.iter().filter_map(name).collect();
        info.soname = dynamic.soname.as_ref().and_then(name);
        let path = dynamic.runpath.or(dynamic.rpath).as_ref().and_then(name);
        info.runpath = path.iter().flat_map(|p| p.split(':')).filter(|p| !p.is_empty()).map(str::to_owned).collect();
    }
    Ok(Some(info))
}

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
