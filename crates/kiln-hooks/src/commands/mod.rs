//! The commands that hooks call: one table, by name. What is not in it is not followed.
//!
//! To add one: write a handler in the file that is about its kind, or give a reason in [`nothing`], and a row here.

mod accounts;
mod alternatives;
mod apache;
mod debconf;
mod dpkg;
mod files;
mod find;
mod icinga;
mod lighttpd;
mod machine;
mod nothing;
mod options;
mod postgresql;
mod presets;
mod services;
mod text;
mod wrappers;

use std::rc::Rc;

use crate::evaluate::{Evaluator, Manager};
use crate::value::{Status, Value};
use crate::world::Seen;

/// A command with its arguments.
pub(crate) struct Call<'a> {
    /// Its name, without a folder.
    pub name: &'a str,
    /// What it is given.
    pub arguments: Arguments<'a>,
}

/// The arguments of a command.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a>(pub &'a [Value]);

impl<'a> Arguments<'a> {
    /// All of them, which must be known.
    pub fn known(self) -> Result<Vec<&'a str>, Stuck> {
        let known = |value: &'a Value| match value {
            Value::Known(text) => Ok(text.as_str()),
            Value::Unknown(why) => Err(Stuck(format!("an argument is not known: {why}").into())),
        };
        self.0.iter().map(known).collect()
    }
}

/// What a command comes to.
pub(crate) struct Done {
    pub status: Status,
    pub output: Value,
}

/// Why a command is not followed.
pub(crate) struct Stuck(pub Rc<str>);

/// What a handler gives.
pub(crate) type Outcome = Result<Done, Stuck>;

/// Follows a command.
pub(crate) type Handler = fn(&mut Evaluator<'_>, &Call<'_>) -> Outcome;

impl Done {
    /// It succeeds and prints nothing.
    pub const fn quietly() -> Outcome {
        Ok(Self { status: Status::SUCCESS, output: Value::Known(String::new()) })
    }

    /// It succeeds and prints this.
    pub fn prints(text: impl Into<Value>) -> Outcome {
        Ok(Self { status: Status::SUCCESS, output: text.into() })
    }

    /// It says yes or no.
    pub fn says(holds: bool) -> Outcome {
        Ok(Self { status: Status::of(holds), output: Value::empty() })
    }

    /// Neither how it ends nor what it prints can be known; it does nothing.
    pub fn unknown(why: impl Into<Rc<str>>) -> Outcome {
        let why = why.into();
        Ok(Self { status: Status::Unknown(Rc::clone(&why)), output: Value::Unknown(why) })
    }
}

/// It is not followed, for this reason.
pub(crate) fn stuck<T>(why: impl Into<Rc<str>>) -> Result<T, Stuck> {
    Err(Stuck(why.into()))
}

const TABLE: &[(&[&str], Handler)] = &[
    (&["adduser"], accounts::adduser),
    (&["addgroup"], accounts::addgroup),
    (&["useradd"], accounts::useradd),
    (&["groupadd"], accounts::groupadd),
    (&["usermod"], accounts::usermod),
    (&["gpasswd"], accounts::gpasswd),
    (&["getent"], accounts::getent),
    (&["id"], accounts::id),
    (&["add-shell"], accounts::add_shell),
    (&["systemd-sysusers"], accounts::systemd_sysusers),
    (&["update-alternatives", "alternatives"], alternatives::update_alternatives),
    (&["a2enmod", "a2enconf", "a2ensite"], apache::enable),
    (&["lighty-enable-mod", "lighttpd-enable-mod"], lighttpd::enable),
    (&["icinga2"], icinga::icinga2),
    (&["pg_updatedicts"], postgresql::update_dictionaries),
    (&["db_get"], debconf::get),
    (&["db_set"], debconf::set),
    (&["db_register"], debconf::register),
    (&["db_input", "db_go", "db_fget"], debconf::ask),
    (&["db_subst"], debconf::fill_in),
    (&["db_metaget"], debconf::describe),
    (
        &[
            "db_version",
            "db_stop",
            "db_capb",
            "db_title",
            "db_settitle",
            "db_fset",
            "db_reset",
            "db_purge",
            "db_unregister",
            "db_beginblock",
            "db_endblock",
            "db_info",
            "db_progress",
            "db_clear",
            "db_x_loadtemplatefile",
        ],
        debconf::say,
    ),
    (&["dpkg"], dpkg::dpkg),
    (&["dpkg-query"], dpkg::query),
    (&["dpkg-divert"], dpkg::divert),
    (&["dpkg-statoverride"], dpkg::statoverride),
    (&["dpkg-trigger"], dpkg::trigger),
    (&["dpkg-maintscript-helper"], dpkg::maintscript_helper),
    (&["ucf"], dpkg::ucf),
    (&["ucfq"], dpkg::ucfq),
    (&["mkdir"], files::mkdir),
    (&["install"], files::install),
    (&["chown"], files::chown),
    (&["chgrp"], files::chgrp),
    (&["chmod"], files::chmod),
    (&["setcap"], files::setcap),
    (&["touch"], files::touch),
    (&["ln"], files::ln),
    (&["cp"], files::cp),
    (&["mv"], files::mv),
    (&["rm", "unlink"], files::rm),
    (&["rmdir"], files::rmdir),
    (&["mktemp", "tempfile"], files::mktemp),
    (&["find"], find::find),
    (&["deb-systemd-helper"], services::helper),
    (&["systemctl"], services::systemctl),
    (&["update-rc.d"], services::update_rc),
    (&["systemd-update-helper"], services::update_helper),
    (&["echo"], text::echo),
    (&["printf"], text::printf),
    (&["cat"], text::cat),
    (&["grep", "egrep", "fgrep"], text::grep),
    (&["sed"], text::sed),
    (&["cut"], text::cut),
    (&["tr"], text::tr),
    (&["head"], text::head),
    (&["tail"], text::tail),
    (&["sort"], text::sort),
    (&["uniq"], text::uniq),
    (&["wc"], text::wc),
    (&["seq"], text::seq),
    (&["stat"], text::stat),
    (&["getcap"], files::getcap),
    (&["setpriv", "su", "runuser", "sudo"], wrappers::as_user),
    (&["xargs"], wrappers::xargs),
    (&["env", "nice", "ionice", "timeout"], wrappers::plain),
    (&["awk", "gawk", "mawk"], text::awk),
    (&["perl", "comm", "tee", "mountpoint", "findmnt", "df", "runlevel", "lsmod"], text::other),
    (&["fold", "fmt", "tty", "od", "base64", "mcookie", "pwgen", "uuidgen", "nproc", "whoami", "ps"], text::other),
    (
        &[
            "pgrep",
            "pidof",
            "aa-enabled",
            "aa-status",
            "selinuxenabled",
            "ischroot",
            "systemd-detect-virt",
            "running-in-container",
            "lpstat",
            "lpinfo",
        ],
        nothing::no,
    ),
    (
        &[
            "test-SSE2",
            "test-SSE3",
            "test-SSSE3",
            "test-SSE4.1",
            "test-SSE4.2",
            "test-AVX",
            "test-AVX2",
            "test-ALTIVEC",
        ],
        nothing::processor,
    ),
    (&["dconf"], nothing::dconf),
    (&["smartctl"], nothing::smartctl),
    (&["update-inetd"], nothing::update_inetd),
    (&["openssl"], machine::openssl),
    (&["dd"], machine::dd),
    (&["mungekey"], machine::mungekey),
    (&["xrdp-keygen"], machine::xrdp_keygen),
    (&["dropbearkey"], machine::dropbearkey),
    (&["mkimapdcert", "mkpop3dcert", "mkesmtpdcert"], machine::courier_certificate),
    (&["make-ssl-cert"], machine::make_ssl_cert),
    (&["rndc-confgen"], machine::rndc_confgen),
    (&["nsd-control-setup", "unbound-control-setup"], machine::control_setup),
    (&["ssh-keygen"], machine::ssh_keygen),
    (&["paperconf"], text::paperconf),
    (&["uname"], text::uname),
    (
        &[
            "locale",
            "getconf",
            "apt-config",
            "iscsi-iname",
            "mkpasswd",
            "slappasswd",
            "lscpu",
            "lspci",
            "lsusb",
            "lsblk",
            "blkid",
            "findfs",
            "dmidecode",
            "ifconfig",
            "route",
            "netstat",
            "ss",
        ],
        text::other,
    ),
    (&["chsh"], accounts::chsh),
    (&["helpztags"], nothing::helpztags),
    (&["basename"], text::basename),
    (&["dirname"], text::dirname),
    (&["readlink", "realpath"], text::readlink),
    (&["ls"], text::ls),
    (&["expr"], text::other),
    (&["cmp"], text::cmp),
    (&["diff"], text::diff),
    (&["getopt"], text::getopt),
    (&["md5sum", "sha1sum", "sha256sum", "sha512sum", "date", "hostname", "file", "readelf"], text::other),
];

pub(crate) use accounts::home_of;

/// The mode of a path, where it is known.
pub(crate) fn mode_of(evaluator: &Evaluator<'_>, path: &kiln_model::TreePath) -> Option<u16> {
    files::mode_of(evaluator, path)
}

/// The handler of a command.
pub(crate) fn find(name: &str) -> Option<Handler> {
    let row = TABLE.iter().find(|(names, _)| names.contains(&name));
    let row = row.map(|(_, handler)| *handler).or_else(|| nothing::find(name).map(|_| nothing::run as Handler));
    let row = row.or_else(|| name.starts_with("python3").then_some(nothing::python as Handler));
    row.or_else(|| name.ends_with("-checkconf").then_some(nothing::check as Handler))
}

/// Programs of packages that every system has which runs hooks: a hook may count on them, whatever is in the image.
const ASSUMED: &[&str] = &[
    "awk",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "cp",
    "deb-systemd-helper",
    "deb-systemd-invoke",
    "dpkg",
    "dpkg-divert",
    "dpkg-maintscript-helper",
    "dpkg-query",
    "dpkg-statoverride",
    "dpkg-trigger",
    "find",
    "getent",
    "grep",
    "id",
    "install",
    "invoke-rc.d",
    "ldconfig",
    "ln",
    "mkdir",
    "mv",
    "perl",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "service",
    "sh",
    "sort",
    "stat",
    "touch",
    "update-alternatives",
    "update-rc.d",
    "which",
];

/// Those of them that only systems of Debian's have.
fn is_debians(name: &str) -> bool {
    let begins = ["dpkg", "deb-", "update-", "invoke-"].iter().any(|start| name.starts_with(start));
    begins && name != "update-alternatives" || name == "perl"
}

/// Is it one of the programs that a hook may count on?
pub(crate) fn is_assumed(evaluator: &Evaluator<'_>, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_elsewhere = match evaluator.manager {
        Manager::Dpkg => false,
        Manager::Rpm => is_debians(name),
        Manager::Apk => is_debians(name) || name == "update-alternatives",
    };
    if is_elsewhere {
        return false;
    }
    let folders = ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"];
    folders.iter().any(|folder| path.strip_prefix(folder).is_some_and(|name| ASSUMED.contains(&name)))
}

/// Where a program is, by the fixed search path.
pub(crate) fn path_of(evaluator: &Evaluator<'_>, name: &str) -> Option<String> {
    let is_program = |path: &str| {
        is_assumed(evaluator, path) || matches!(evaluator.seen(path, true), Some(Seen::File { executable: true, .. }))
    };
    if name.contains('/') {
        return is_program(name).then(|| name.to_owned());
    }
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| format!("{folder}/{name}")).find(|path| is_program(path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_has_one_row() {
        let mut seen = BTreeSet::new();
        for name in TABLE.iter().flat_map(|(names, _)| names.iter()).chain(nothing::names()) {
            assert!(seen.insert(*name), "`{name}` has two rows");
        }
    }
}
