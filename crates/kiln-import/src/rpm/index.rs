//! The indexes of a repository: `primary.xml`, a record for each package, and `filelists.xml`, all their files.
//!
//! Both are read as streams. Of the first, what the solver and the lock need is kept, relations as text; of the second only
//! the paths that somebody needs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};

use kiln_archive::{BUFFER, Compression, Limits, limits};
use kiln_model::{Architecture, Digest};

use super::error::IndexError;
use super::repomd::is_sound;
use super::xml::{self, Element, Visitor};
use super::{OF_RPM, architecture_name};

/// An index that does not say how long it is may unpack to this.
const LIMIT: u64 = 4 << 30;

/// More packages than any repository has.
const MOST_PACKAGES: usize = 2_000_000;

/// What an index says of a package.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// `[epoch:]version-release`; an epoch of 0 is left out.
    pub version: String,
    /// The architecture, as RPM has it.
    pub architecture: String,
    /// What it is named by in the other indexes.
    pub identity: String,
    /// The digest of its file; none where the index names it otherwise.
    pub sha256: Option<Digest>,
    /// The path of its file in the repository.
    pub path: String,
    /// The length of its file.
    pub size: u64,
    /// The file of the source package that it was built from.
    pub source: String,
    /// What it needs, one relation a line; so are the next.
    pub requires: String,
    /// What it answers to.
    pub provides: String,
    /// What it cannot be with.
    pub conflicts: String,
    /// What it takes the place of.
    pub obsoletes: String,
    /// Those of its files that this index names, one a line.
    pub files: String,
}

impl Record {
    /// Can it be in an image of this architecture? Repositories have packages of related ones too.
    #[must_use]
    pub fn fits(&self, architecture: Architecture) -> bool {
        self.architecture == "noarch" || self.architecture == architecture_name(architecture)
    }
}

/// The packages of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    /// A record for each.
    pub records: Vec<Record>,
}

fn document(
    file: &str,
    compression: Compression,
    reader: impl Read + Send,
    unpacked: Option<u64>,
    visitor: &mut dyn Visitor,
) -> Result<(), IndexError> {
    let fault = |why: String| IndexError::Read { file: file.to_owned(), why };
    // Lists of names pack very well, so that the ratio tells nothing: what the signed statement says is the bound.
    let limits = Limits { total_bytes: unpacked.unwrap_or(LIMIT).min(LIMIT), ratio: u64::MAX, ..Limits::default() };
    let decoded = limits::open(compression, reader, &limits).map_err(|error| fault(error.to_string()))?;
    xml::read(BufReader::with_capacity(BUFFER, decoded), visitor).map_err(fault)
}

impl Index {
    /// Reads `primary.xml`.
    ///
    /// # Errors
    /// When it is none, or longer than `unpacked` bytes.
    pub fn read(compression: Compression, reader: impl Read + Send, unpacked: Option<u64>) -> Result<Self, IndexError> {
        let mut packages = Packages::default();
        document("primary.xml", compression, reader, unpacked, &mut packages)?;
        Ok(Self { records: packages.records })
    }
}

/// Reads `filelists.xml` and gives the packages that have one of the paths, by path; packages by [`Record::identity`].
///
/// # Errors
/// When it is none, or longer than `unpacked` bytes.
pub(super) fn owners(
    compression: Compression,
    reader: impl Read + Send,
    unpacked: Option<u64>,
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<String, BTreeSet<String>>, IndexError> {
    let mut lists = Lists { wanted, package: String::new(), found: BTreeMap::new() };
    document("filelists.xml", compression, reader, unpacked, &mut lists)?;
    Ok(lists.found)
}

/// Adds a line to a list.
fn line(list: &mut String, text: &str) {
    if !list.is_empty() {
        list.push('\n');
    }
    list.push_str(text);
}

#[derive(Default)]
struct Packages {
    records: Vec<Record>,
    record: Record,
    /// The list that relations belong to.
    list: Option<fn(&mut Record) -> &mut String>,
    /// How the digest that is read was made.
    digest: String,
    is_package: bool,
}

impl Packages {
    fn relation(&mut self, element: &Element<'_>) -> Result<(), String> {
        let Some(list) = self.list else { return Ok(()) };
        let name = element.require("name")?;
        // An index leaves these out, mostly. What a package asks of rpm is looked at when it is imported.
        if name.starts_with(OF_RPM) {
            return Ok(());
        }
        let operator = match element.get("flags")?.as_deref() {
            None | Some("") => None,
            Some("LT") => Some("<"),
            Some("LE") => Some("<="),
            Some("EQ") => Some("="),
            Some("GE") => Some(">="),
            Some("GT") => Some(">"),
            Some(other) => return Err(format!("`{other}` is no comparison of versions")),
        };
        let text = match operator {
            Some(operator) => format!("{name} {operator} {}", version(element)?),
            None => name,
        };
        if text.chars().any(char::is_control) {
            return Err(format!("`{}` is no relation", text.escape_debug()));
        }
        let list = list(&mut self.record);
        // What is needed before a script runs is listed a second time.
        if list.lines().next_back() != Some(&text) {
            line(list, &text);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        let record = std::mem::take(&mut self.record);
        let named = [&record.name, &record.version, &record.architecture, &record.identity];
        if named.into_iter().any(|text| text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_graphic())) {
            return Err(format!("the record of `{}` is not complete", record.name.escape_debug()));
        }
        if !is_sound(&record.path) {
            return Err(format!("the file of `{}` is not within the repository", record.name));
        }
        if self.records.len() >= MOST_PACKAGES {
            return Err(format!("it has more than {MOST_PACKAGES} packages"));
        }
        self.records.push(record);
        Ok(())
    }
}

/// The version that an element's attributes say.
fn version(element: &Element<'_>) -> Result<String, String> {
    let epoch = element.get("epoch")?.filter(|epoch| !matches!(&**epoch, "" | "0"));
    let release = element.get("rel")?.filter(|release| !release.is_empty());
    let mut text = epoch.map(|epoch| epoch + ":").unwrap_or_default();
    text.push_str(&element.require("ver")?);
    if let Some(release) = release {
        text = format!("{text}-{release}");
    }
    Ok(text)
}

impl Visitor for Packages {
    fn start(&mut self, name: &str, element: &Element<'_>) -> Result<(), String> {
        match name {
            "package" => {
                self.record = Record::default();
                self.is_package = element.get("type")?.is_none_or(|kind| kind == "rpm");
            }
            "version" => self.record.version = version(element)?,
            "checksum" => self.digest = element.require("type")?,
            "size" => {
                let size = element.require("package")?;
                self.record.size = size.parse().map_err(|_| format!("`{size}` is no size"))?;
            }
            "location" => {
                if element.get("base")?.is_some() {
                    return Err(format!("the file of `{}` is in another repository", self.record.name));
                }
                self.record.path = element.require("href")?;
            }
            "requires" => self.list = Some(|record| &mut record.requires),
            "provides" => self.list = Some(|record| &mut record.provides),
            "conflicts" => self.list = Some(|record| &mut record.conflicts),
            "obsoletes" => self.list = Some(|record| &mut record.obsoletes),
            "recommends" | "suggests" | "supplements" | "enhances" => self.list = None,
            "entry" => self.relation(element)?,
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str, text: &str) -> Result<(), String> {
        let record = &mut self.record;
        match name {
            "name" => record.name = text.trim().to_owned(),
            "arch" => record.architecture = text.trim().to_owned(),
            "sourcerpm" => record.source = text.trim().to_owned(),
            "checksum" => {
                record.identity = text.trim().to_owned();
                record.sha256 = (self.digest == "sha256").then(|| text.trim().parse().ok()).flatten();
            }
            "file" if !text.contains('\n') => line(&mut record.files, text),
            "requires" | "provides" | "conflicts" | "obsoletes" => self.list = None,
            "package" if self.is_package => self.finish()?,
            _ => {}
        }
        Ok(())
    }
}

struct Lists<'a> {
    wanted: &'a BTreeSet<String>,
    package: String,
    found: BTreeMap<String, BTreeSet<String>>,
}

impl Visitor for Lists<'_> {
    fn start(&mut self, name: &str, element: &Element<'_>) -> Result<(), String> {
        if name == "package" {
            self.package = element.require("pkgid")?;
        }
        Ok(())
    }

    fn end(&mut self, name: &str, text: &str) -> Result<(), String> {
        if name == "file" {
            let path = super::merged(text);
            if self.wanted.contains(&*path) {
                self.found.entry(path.into_owned()).or_default().insert(self.package.clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRIMARY: &str = "<metadata xmlns=\"c\" xmlns:rpm=\"r\" packages=\"1\"><package type=\"rpm\"><name>a</name><arch>noarch</arch>\
        <version epoch=\"2\" ver=\"1.0\" rel=\"1\"/><checksum type=\"sha256\" pkgid=\"YES\">75699018292c12ab8b38830c416a328824fd15cad491816b76be055a28b9b8ee</checksum>\
        <summary>x</summary><time file=\"1\" build=\"2\"/><size package=\"7229\" installed=\"23\" archive=\"1032\"/><location href=\"Packages/a.rpm\"/>\
        <format><rpm:sourcerpm>a-1.0-1.src.rpm</rpm:sourcerpm><rpm:provides><rpm:entry name=\"a\" flags=\"EQ\" epoch=\"2\" ver=\"1.0\" rel=\"1\"/></rpm:provides>\
        <rpm:requires><rpm:entry name=\"/bin/sh\"/><rpm:entry name=\"/bin/sh\" pre=\"1\"/><rpm:entry name=\"(b or c &gt;= 1)\"/><rpm:entry name=\"d\" flags=\"GE\" epoch=\"0\" ver=\"1\"/></rpm:requires>\
        <rpm:recommends><rpm:entry name=\"weak\"/></rpm:recommends><file>/usr/bin/a</file><file type=\"dir\">/etc/a</file></format></package></metadata>";

    fn read(text: &str) -> Result<Index, IndexError> {
        Index::read(Compression::None, text.as_bytes(), None)
    }

    #[test]
    fn a_record_has_what_is_needed_of_a_package() {
        let index = read(PRIMARY).unwrap();
        let [record] = &index.records[..] else { panic!() };
        assert_eq!((&*record.name, &*record.version, record.size), ("a", "2:1.0-1", 7229));
        assert_eq!(record.requires, "/bin/sh\n(b or c >= 1)\nd >= 1");
        assert_eq!((&*record.provides, &*record.files), ("a = 2:1.0-1", "/usr/bin/a\n/etc/a"));
        assert_eq!((&*record.path, &*record.source), ("Packages/a.rpm", "a-1.0-1.src.rpm"));
        assert!(record.sha256.is_some());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (from, to, part) in [
            ("Packages/a.rpm", "../../a.rpm", "not within"),
            ("<name>a</name>", "", "not complete"),
            ("flags=\"GE\"", "flags=\"XX\"", "no comparison"),
            ("package=\"7229\"", "package=\"-1\"", "no size"),
            ("</metadata>", "", "too early"),
        ] {
            let told = read(&PRIMARY.replace(from, to)).unwrap_err().to_string();
            assert!(told.contains(part), "{from}: {told}");
        }
        let longer = Index::read(Compression::None, PRIMARY.as_bytes(), Some(100)).unwrap_err().to_string();
        assert!(longer.contains("expands to more than 100 bytes"), "{longer}");
    }

    #[test]
    fn the_list_of_all_files_is_asked_for_some() {
        let text = b"<filelists><package pkgid=\"aa\" name=\"a\"><file>/lib/x</file><file>/usr/share/y</file></package></filelists>";
        let wanted = BTreeSet::from(["/usr/lib/x".to_owned(), "/z".to_owned()]);
        let found = owners(Compression::None, &text[..], None, &wanted).unwrap();
        assert_eq!(found, BTreeMap::from([("/usr/lib/x".to_owned(), BTreeSet::from(["aa".to_owned()]))]));
    }

    proptest! {
        #[test]
        fn a_damaged_index_never_panics(at in any::<usize>(), byte in any::<u8>()) {
            let mut bytes = PRIMARY.as_bytes().to_vec();
            let place = at % bytes.len();
            bytes[place] = byte;
            let _ = Index::read(Compression::None, &bytes[..], None);
        }
    }
}
