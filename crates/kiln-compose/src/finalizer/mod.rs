//! Finalizers: pure functions from a composed tree to the files that package hooks would have generated.
//!
//! [`TABLE`] is the one place they are registered; `docs/reference/finalizers.md` is written from it. They run in its
//! order, each sees what those before it wrote. What the image itself brings, by its files or an overlay, no finalizer
//! overwrites; `/etc/passwd` and its like are added to instead.

mod accounts;
mod alternatives;
mod busybox_links;
mod ca;
mod dictionaries;
mod dpkg_status;
mod drop_ins;
mod first_boot;
mod glob;
mod info_directory;
mod java;
mod ld_cache;
mod locale;
mod os_release;
mod pam;
mod php_modules;
mod settings;
mod sgml_catalogs;
mod shells;
mod small;
mod systemd;
mod time_zone;
mod tmpfiles;
pub mod tool;
mod xml_catalogs;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kiln_model::name::AccountName;
use kiln_model::{
    Dir, Entry, FileEntry, Meta, ObjectError, ObjectSink, ObjectSource, PackageRef, SymlinkEntry, TreePath,
};

use crate::accounts::Accounts;
use crate::closure::Knowledge;
use crate::compose::Warning;
use crate::declared::Contradiction;
use crate::owner::{Owner, OwnerId};
use crate::request::Request;
use crate::work::{PlaceError, Work};

pub use systemd::ServiceError;

/// A pure function from a composed tree to files.
pub struct Finalizer {
    /// Its name: what an image switches off.
    pub name: &'static str,
    /// What it stands for, in a sentence.
    pub summary: &'static str,
    /// What it reads.
    pub reads: &'static [&'static str],
    /// What it writes.
    pub writes: &'static [&'static str],
    /// What it does.
    pub(crate) run: fn(&mut FinalizeContext<'_>) -> Result<(), FinalizeError>,
}

impl std::fmt::Debug for Finalizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finalizer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every finalizer, in the order they run.
pub const TABLE: &[Finalizer] = &[
    Finalizer {
        name: "alternatives",
        summary: "Links of generic names, as `update-alternatives --auto` leaves them: the highest priority wins.",
        reads: &["facts: alternatives"],
        writes: &["/etc/alternatives/*", "the generic names"],
        run: alternatives::run,
    },
    Finalizer {
        name: "accounts",
        summary: "The passwd family, with numbers from declarations, the lock, or allotted. Every password is locked; \
                  no field holds a date.",
        reads: &[
            "facts: users, groups",
            "/etc/passwd",
            "/etc/group",
            "/usr/share/base-passwd/*.master",
            "/usr/lib/sysusers.d/*.conf",
            "/etc/sysusers.d/*.conf",
        ],
        writes: &["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"],
        run: accounts::run,
    },
    Finalizer {
        name: "ca-certificates",
        summary: "The bundle of certificate authorities and the links that OpenSSL looks them up by, as \
                  `update-ca-certificates` writes them.",
        reads: &[
            "/etc/ca-certificates.conf",
            "/usr/share/ca-certificates/**.crt",
            "/usr/local/share/ca-certificates/**.crt",
        ],
        writes: &[
            "/etc/ca-certificates.conf",
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/ssl/certs/*.pem",
            "/etc/ssl/certs/*.N",
        ],
        run: ca::run,
    },
    Finalizer {
        name: "java-keystore",
        summary: "The certificate authorities as Java reads them, as `ca-certificates-java` writes them, with the one \
                  time stamp of all that is built for a date.",
        reads: &["/etc/ssl/certs/*.pem", "/etc/default/cacerts"],
        writes: &["/etc/ssl/certs/java/cacerts"],
        run: java::run,
    },
    Finalizer {
        name: "pam",
        summary: "The common PAM stacks, as `pam-auth-update` writes them for the profiles that are on by default. A \
                  stack without a module that decides refuses everyone.",
        reads: &["/usr/share/pam/common-*", "/usr/share/pam-configs/*"],
        writes: &["/etc/pam.d/common-*"],
        run: pam::run,
    },
    Finalizer {
        name: "shells",
        summary: "The list of login shells, as `update-shells` writes it.",
        reads: &["facts: shells", "/usr/share/debianutils/shells", "/usr/share/debianutils/shells.d/*"],
        writes: &["/etc/shells"],
        run: shells::run,
    },
    Finalizer {
        name: "mount-points",
        summary: "The directories that a running system mounts over, and `/tmp`, where no package ships them.",
        reads: &[],
        writes: &["/dev", "/proc", "/run", "/sys", "/tmp"],
        run: small::mount_points,
    },
    Finalizer {
        name: "machine-id",
        summary: "An empty machine-id where systemd is in the image: it is filled in at the first boot.",
        reads: &["/usr/lib/systemd/systemd"],
        writes: &["/etc/machine-id"],
        run: small::machine_id,
    },
    Finalizer {
        name: "busybox-links",
        summary: "Links to busybox under the names of its applets, where a package lists them, as `busybox --install -s` \
                  makes them. What is there already stays.",
        reads: &["/etc/busybox-paths.d/*"],
        writes: &["the paths that they list"],
        run: busybox_links::run,
    },
    Finalizer {
        name: "locale",
        summary: "The system's language: the image's `locale`, which `locale-gen` is to make where the package `locales` is. The \
                  image is warned where nothing brings the one it asks for.",
        reads: &["the image's locale", "/usr/sbin/update-locale", "/usr/share/i18n/SUPPORTED", "/usr/lib/locale/*"],
        writes: &["/etc/locale.conf", "/etc/default/locale", "/etc/locale.gen"],
        run: locale::run,
    },
    Finalizer {
        name: "time-zone",
        summary: "The system's time zone: the image's `time-zone`, or `Etc/UTC` where tzdata is.",
        reads: &["the image's time zone", "/usr/share/zoneinfo/*"],
        writes: &["/etc/localtime", "/etc/timezone"],
        run: time_zone::run,
    },
    Finalizer {
        name: "php-modules",
        summary: "PHP's modules, available and on in every interface that is installed, and its configuration, as \
                  `phpenmod` leaves them on a fresh installation.",
        reads: &[
            "/usr/share/phpVERSION-*/*/*.ini",
            "/etc/php/VERSION/mods-available/*.ini",
            "/usr/lib/php/VERSION/sapi/*",
            "/usr/lib/php/VERSION/php.ini-production*",
        ],
        writes: &[
            "/etc/php/VERSION/mods-available/*.ini",
            "/etc/php/VERSION/INTERFACE/conf.d/NN-*.ini",
            "/etc/php/VERSION/INTERFACE/php.ini",
            "/var/lib/php/modules/**",
        ],
        run: php_modules::run,
    },
    Finalizer {
        name: "info-directory",
        summary: "The directory of Info manuals, as `update-info-dir` makes it where install-info is.",
        reads: &["/usr/sbin/update-info-dir", "/usr/share/info/**"],
        writes: &["/usr/share/info/dir"],
        run: info_directory::run,
    },
    Finalizer {
        name: "xml-catalogs",
        summary: "The catalogs of XML, as `update-xmlcatalog` writes them where xml-core is.",
        reads: &["the blocks of `dh_installxmlcatalogs` in packages' scripts", "/usr/share/xml-core/*"],
        writes: &["/etc/xml/catalog", "/etc/xml/PACKAGE.xml", "/var/lib/xml-core/*"],
        run: xml_catalogs::run,
    },
    Finalizer {
        name: "sgml-catalogs",
        summary: "The catalog of SGML catalogs, as `update-catalog --update-super` writes it where sgml-base is.",
        reads: &["/usr/sbin/update-catalog", "/etc/sgml/*.cat"],
        writes: &["/var/lib/sgml-base/supercatalog", "/etc/sgml/catalog"],
        run: sgml_catalogs::run,
    },
    Finalizer {
        name: "dictionaries",
        summary: "The default word list and the databases of dictionaries, as `update-default-wordlist` leaves them where \
                  dictionaries-common is. Compiling them is the work of `aspell-dictionaries` and `ispell-dictionaries`.",
        reads: &["/var/lib/dictionaries-common/*/*", "the image's locale"],
        writes: &["/etc/dictionaries-common/*", "/usr/share/dict/words", "/var/cache/dictionaries-common/*"],
        run: dictionaries::run,
    },
    Finalizer {
        name: "sysctl",
        summary: "Kernel parameters. The image's own come after all that packages ship, so they win.",
        reads: &["facts: sysctl"],
        writes: &["/usr/lib/sysctl.d/60-kiln-packages.conf", "/usr/lib/sysctl.d/99-zz-kiln-image.conf"],
        run: settings::sysctl,
    },
    Finalizer {
        name: "environment",
        summary: "Variables of every session, for pam_env and, where systemd is in the image, for its managers.",
        reads: &["facts: environment", "/etc/environment"],
        writes: &["/etc/environment", "/usr/lib/environment.d/60-kiln.conf"],
        run: settings::environment,
    },
    Finalizer {
        name: "tmpfiles",
        summary: "What packages ship in tmpfiles.d, made as `systemd-tmpfiles --create` makes it, where that program is \
                  in the image. What a machine makes anew at every start is left out.",
        reads: &["/usr/lib/tmpfiles.d/*.conf", "/etc/tmpfiles.d/*.conf", "/usr/share/factory/**"],
        writes: &["the paths that the files name"],
        run: tmpfiles::run,
    },
    Finalizer {
        name: "first-boot",
        summary: "A unit for each job that only the machine itself can do, once. Without systemd in the image the user \
                  is told what to run.",
        reads: &["facts: first-boot"],
        writes: &["/usr/lib/systemd/system/kiln-first-boot-*.service", "/etc/systemd/system/*.wants/*"],
        run: first_boot::run,
    },
    Finalizer {
        name: "systemd-units",
        summary: "Services enabled and masked, as `systemctl enable` and `mask` leave them, and presets that keep the \
                  decision.",
        reads: &[
            "facts: services",
            "/usr/lib/systemd/{system,user}/*",
            "/etc/systemd/{system,user}/*",
            "/usr/lib/systemd/{system,user}-preset/*",
            "/etc/systemd/{system,user}-preset/*",
        ],
        writes: &["/etc/systemd/{system,user}/**", "/usr/lib/systemd/{system,user}-preset/00-kiln.preset"],
        run: systemd::run,
    },
    Finalizer {
        name: "sysusers.d",
        summary: "Declared users and groups with their numbers, for systemd-sysusers, where systemd is in the image.",
        reads: &["facts: users, groups"],
        writes: &["/usr/lib/sysusers.d/kiln.conf"],
        run: drop_ins::sysusers,
    },
    Finalizer {
        name: "tmpfiles.d",
        summary: "Declared directories that a machine may find missing when it starts, for systemd-tmpfiles, where \
                  systemd is in the image.",
        reads: &["facts: directories, permissions", "/usr/lib/tmpfiles.d/*.conf", "/etc/tmpfiles.d/*.conf"],
        writes: &["/usr/lib/tmpfiles.d/kiln.conf", "/usr/lib/tmpfiles.d/00-kiln-image.conf"],
        run: drop_ins::tmpfiles,
    },
    Finalizer {
        name: "ld.so.cache",
        summary: "The loader's cache of shared libraries, as `ldconfig` writes it, and the links by soname that are \
                  missing.",
        reads: &["/etc/ld.so.conf", "/etc/ld.so.conf.d/*", "the shared libraries in the folders they name"],
        writes: &["/etc/ld.so.cache"],
        run: ld_cache::run,
    },
    tool::HWDB,
    tool::CATALOG,
    tool::MODULES,
    tool::FONTS,
    tool::SCHEMAS,
    tool::GIO_MODULES,
    tool::PIXBUF_LOADERS,
    tool::IMMODULES,
    tool::IMMODULES_2,
    tool::ICONS,
    tool::MIME,
    tool::DESKTOP,
    tool::DCONF,
    tool::MAN,
    tool::PYTHON,
    tool::ASPELL,
    tool::ISPELL,
    tool::LISTS,
    tool::TEX,
    tool::X_FONTS,
    tool::EMACS,
    tool::LOCALES,
    Finalizer {
        name: "dpkg-status",
        summary: "The list of Debian packages in the image, for vulnerability scanners and `dpkg-query`, whether or not \
                  dpkg is there. Packages of recipes are not in it.",
        reads: &["the packages' control fields"],
        writes: &["/var/lib/dpkg/status", "/var/lib/dpkg/info/"],
        run: dpkg_status::run,
    },
    Finalizer {
        name: "os-release",
        summary: "IMAGE_ID and IMAGE_VERSION: the image's name and the commit it was built from. In a layer of its own.",
        reads: &["/usr/lib/os-release", "the image's name", "the commit"],
        writes: &["/usr/lib/os-release", "/etc/os-release"],
        run: os_release::run,
    },
];

/// The page `docs/reference/finalizers.md`, written from the table.
#[must_use]
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Finalizers\n\nA finalizer is a pure function from a composed tree to the files that package hooks would have generated. They run\nin this order; each sees what those before it wrote. What the image itself brings, by `files:` or an overlay, stays.\nThose of which the summary names a program from `hwdb` on run that program, which is in the image, in the sandbox\n(`docs/concepts/composition.md`); `{multiarch}` is the folder of the architecture, such as `x86_64-linux-gnu`.\nThis page is written from the table in `crates/kiln-compose/src/finalizer/mod.rs`; a test holds it there.\n",
    );
    for finalizer in TABLE {
        let _ = write!(page, "\n## {}\n\n{}\n\n", finalizer.name, finalizer.summary);
        for (what, list) in [("Reads", finalizer.reads), ("Writes", finalizer.writes)] {
            let list: Vec<String> = list
                .iter()
                .map(|item| if item.starts_with('/') { format!("`{item}`") } else { (*item).to_owned() })
                .collect();
            let text = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
            let _ = writeln!(page, "- {what}: {text}");
        }
    }
    page
}

/// Why a finalizer fails.
#[derive(Debug, thiserror::Error)]
pub enum FinalizeError {
    /// What it writes cannot be put there.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// An object cannot be read or written.
    #[error("an object cannot be read or written")]
    Object(#[from] ObjectError),
    /// A file is where a generic name is to lead elsewhere.
    #[error("`{path}` is to be a link to an alternative, but {owner} ships a {kind} there")]
    InTheWay {
        /// The generic name.
        path: TreePath,
        /// Who ships it.
        owner: Owner,
        /// What it is.
        kind: &'static str,
    },
    /// The image's time zone is not there.
    #[error("the image's time zone `{zone}` is not in the image")]
    TimeZone {
        /// The time zone.
        zone: String,
        /// Are there any?
        zones: bool,
    },
    /// A service cannot be had.
    #[error(transparent)]
    Service(Box<ServiceError>),
    /// Two packages say different things.
    #[error(transparent)]
    Contradiction(#[from] Box<Contradiction>),
    /// The image declares a login shell that it does not have.
    #[error("the image declares the login shell `{0}`, which is not in it")]
    NoShell(TreePath),
    /// A tool did not do its work.
    #[error(transparent)]
    Tool(#[from] tool::ToolError),
    /// A tool wrote what its finalizer does not declare.
    #[error("its tool wrote `{path}`, which it is not to write")]
    Undeclared {
        /// What it wrote.
        path: TreePath,
    },
    /// What it reads is damaged.
    #[error("`{path}`: {why}")]
    Input {
        /// The file.
        path: TreePath,
        /// What is wrong.
        why: String,
    },
}

impl FinalizeError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InTheWay { .. } => Some(
                "leave the file out of the package, or have none: `finalizers: { alternatives: false }`".to_owned(),
            ),
            Self::TimeZone { zones: false, .. } => Some("add the package `tzdata`".to_owned()),
            Self::TimeZone { .. } => Some("the names are the paths below `/usr/share/zoneinfo`".to_owned()),
            Self::Service(error) => error.hint(),
            Self::Contradiction(error) => Some(error.hint()),
            Self::NoShell(_) => Some("add the package that brings it, or correct the path".to_owned()),
            Self::Tool(error) => error.hint(),
            Self::Undeclared { .. } => {
                Some("this is a bug in Kiln; switch the finalizer off until it is mended".to_owned())
            }
            Self::Place(_) | Self::Object(_) | Self::Input { .. } => None,
        }
    }
}

/// Files that finalizers read are configuration: nothing this large is.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// A script is small; more is not read.
const HOOK_LIMIT: u64 = 1024 * 1024;

/// What a finalizer sees and does.
pub(crate) struct FinalizeContext<'a> {
    pub work: &'a mut Work,
    pub owner: OwnerId,
    pub source: &'a dyn ObjectSource,
    pub sink: &'a dyn ObjectSink,
    pub knowledge: &'a Knowledge<'a>,
    pub accounts: &'a Accounts,
    pub request: &'a Request,
    pub warnings: &'a mut Vec<Warning>,
    /// Tools that are to run, after every finalizer had its turn.
    pub pending: &'a mut Vec<tool::Pending>,
}

/// A path that is written in the code.
pub(crate) fn fixed(path: &str) -> TreePath {
    path.parse().unwrap_or_default()
}

impl FinalizeContext<'_> {
    /// The regular file at `path`, links followed.
    pub fn file(&self, path: &TreePath) -> Option<(TreePath, FileEntry)> {
        match self.work.tree.resolve(path) {
            Some((place, Some(Entry::File(file)))) => Some((place, file.clone())),
            _ => None,
        }
    }

    /// The content of the file at `path`, links followed; none when there is no file.
    pub fn read(&self, path: &TreePath) -> Result<Option<Vec<u8>>, FinalizeError> {
        match self.file(path) {
            None => Ok(None),
            Some((path, file)) if file.size > FILE_LIMIT => {
                Err(FinalizeError::Input { path, why: "it is larger than 64 MiB".to_owned() })
            }
            Some((_, file)) => Ok(Some(self.source.read(&file.object)?)),
        }
    }

    /// The directory at `path`, links followed.
    pub fn directory(&self, path: &TreePath) -> Option<&Dir> {
        match self.work.tree.resolve(path) {
            Some((place, _)) => self.work.tree.dir(&place),
            None => None,
        }
    }

    /// The names in the directory at `path`, links followed; none when there is no directory.
    pub fn names(&self, path: &TreePath) -> Vec<String> {
        self.directory(path).into_iter().flat_map(Dir::entries).map(|(name, _)| name.to_owned()).collect()
    }

    /// The texts of the hooks of one name, with their packages, in order of those. For what a package says nowhere else.
    pub fn hooks(&self, name: &str) -> Result<Vec<(PackageRef, String)>, FinalizeError> {
        let mut texts = BTreeMap::new();
        for member in &self.request.members {
            for hook in member.record.hooks.iter().filter(|hook| hook.name == name && hook.size <= HOOK_LIMIT) {
                let text = String::from_utf8_lossy(&self.source.read(&hook.object)?).into_owned();
                texts.insert(member.reference(), text);
            }
        }
        Ok(texts.into_iter().collect())
    }

    /// Copies the file at `template` to `path`, where nothing is.
    pub fn copy_missing(&mut self, path: &TreePath, template: &TreePath) -> Result<(), FinalizeError> {
        if self.work.find(path).is_some() {
            return Ok(());
        }
        if let Some((_, file)) = self.file(template) {
            self.work.put(path, Entry::File(FileEntry { hardlinked: false, ..file }), self.owner)?;
        }
        Ok(())
    }

    /// Does the image itself bring `path`?
    pub fn is_the_images_own(&self, path: &TreePath) -> bool {
        let Some((place, _)) = self.work.find(path) else {
            return false;
        };
        let owner = self.work.owner(&place).map(|owner| self.work.owners.name(owner));
        matches!(owner, Some(Owner::Image | Owner::Overlay(_)))
    }

    /// Writes a file of root's, unless the image brings it.
    pub fn write(&mut self, path: &TreePath, bytes: &[u8]) -> Result<(), FinalizeError> {
        if self.is_the_images_own(path) {
            return Ok(());
        }
        self.write_always(path, bytes, Meta::root_owned(0o644))
    }

    /// Writes a file, whoever brings it.
    pub fn write_always(&mut self, path: &TreePath, bytes: &[u8], meta: Meta) -> Result<(), FinalizeError> {
        let object = self.sink.put(bytes)?;
        let file = FileEntry { object, size: bytes.len() as u64, meta, hardlinked: false };
        self.work.put(path, Entry::File(file), self.owner)?;
        Ok(())
    }

    /// Makes sure of a directory.
    pub fn make_directory(&mut self, path: &TreePath) -> Result<(), FinalizeError> {
        self.work.make_dir(path, self.owner).map(drop).map_err(Into::into)
    }

    /// Makes a link, unless the image brings something there.
    pub fn link(&mut self, path: &TreePath, target: &str) -> Result<(), FinalizeError> {
        if self.is_the_images_own(path) {
            return Ok(());
        }
        self.work.put(path, Entry::Symlink(SymlinkEntry::plain(target)), self.owner)?;
        Ok(())
    }

    /// The number of a group that may be there.
    pub fn group(&self, name: &str) -> Option<u32> {
        let name: AccountName = name.parse().ok()?;
        self.accounts.groups.get(&name).map(|group| group.gid)
    }

    /// Tells the user something.
    pub fn warn(&mut self, message: impl Into<String>, hint: Option<String>) {
        self.warnings.push(Warning { message: message.into(), hint });
    }
}
