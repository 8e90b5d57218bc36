//! Commands that leave nothing in a fresh image, and why; or whose work a finalizer does.

use super::{Call, Done, Outcome, stuck};
use crate::account::Became;
use crate::evaluate::Evaluator;
use crate::value::Value;

const RUNNING: &str = "nothing runs while an image is made";
const SYSV: &str = "links for an init that no image has";
const LATER: &str = "something that concerns the running machine only";

enum Why {
    Nothing(&'static str),
    Finalizer(&'static str),
}

use Why::{Finalizer, Nothing};

const TABLE: &[(&[&str], Why)] = &[
    (&["invoke-rc.d", "deb-systemd-invoke", "service", "initctl", "start", "stop", "restart"], Nothing(RUNNING)),
    (&["kill", "killall", "pkill", "sleep", "sync", "start-stop-daemon", "reload"], Nothing(RUNNING)),
    (&["insserv"], Nothing(SYSV)),
    (
        &["udevadm", "modprobe", "apparmor_parser", "restorecon", "sysctl", "logger", "dbus-send", "busctl"],
        Nothing(LATER),
    ),
    (&["systemd-sysctl", "systemd-binfmt"], Nothing("the machine reads the settings when it boots")),
    (&["systemd-machine-id-setup", "systemd-random-seed", "bootctl"], Nothing(LATER)),
    (&["ldconfig"], Finalizer("ld.so.cache")),
    (&["update-passwd", "pwconv", "grpconv", "shadowconfig"], Finalizer("accounts")),
    (&["systemd-tmpfiles"], Finalizer("tmpfiles")),
    (&["pam-auth-update"], Finalizer("pam")),
    (&["update-ca-certificates"], Finalizer("ca-certificates")),
    (&["update-shells", "remove-shell"], Finalizer("shells")),
    (&["systemd-hwdb"], Finalizer("hwdb")),
    (&["journalctl"], Finalizer("journal-catalog")),
    (&["depmod"], Finalizer("depmod")),
    (&["fc-cache"], Finalizer("fontconfig")),
    (&["glib-compile-schemas"], Finalizer("glib-schemas")),
    (&["gio-querymodules"], Finalizer("gio-modules")),
    (&["gdk-pixbuf-query-loaders"], Finalizer("gdk-pixbuf-loaders")),
    (&["gtk-query-immodules-3.0"], Finalizer("gtk-immodules")),
    (&["gtk-query-immodules-2.0"], Finalizer("gtk2-immodules")),
    (&["update-icon-caches", "gtk-update-icon-cache"], Finalizer("icon-cache")),
    (&["update-mime-database"], Finalizer("mime-database")),
    (&["update-desktop-database"], Finalizer("desktop-database")),
    (&["mandb"], Finalizer("man-db")),
    (
        &["py3compile", "pycompile", "pypy3compile", "pypycompile", "py3clean", "py3_compilefiles"],
        Finalizer("python-bytecode"),
    ),
    (&["phpenmod", "php_invoke"], Finalizer("php-modules")),
    (&["install-info", "update-info-dir"], Finalizer("info-directory")),
    (&["update-xmlcatalog"], Finalizer("xml-catalogs")),
    (&["update-catalog"], Finalizer("sgml-catalogs")),
    (&["update-default-wordlist", "update-default-ispell", "update-default-aspell"], Finalizer("dictionaries")),
    (&["update-initramfs"], Nothing("an image's initramfs is made by Kiln, with the modules its kernel needs")),
    (&["update-grub", "grub-install", "grub-mkconfig"], Nothing("an image's boot loader is written by Kiln")),
    (&["update-menus"], Nothing("menus of Debian's `menu` are not made: nothing stands for them")),
    (&["update-mime", "update-gconf-defaults"], Nothing("a database that nothing reads any more")),
    (&["ucfr"], Nothing("the registry of ucf is bookkeeping of the package manager")),
    (
        &["debconf-set-selections", "debconf-communicate"],
        Nothing("the database of debconf is bookkeeping of the package manager"),
    ),
    (&["emacs-install", "emacs-package-install", "emacs-package-remove"], Finalizer("emacs-packages")),
    (&["dpkg-reconfigure"], Nothing("a fresh system has nothing to configure again")),
    (
        &["linux-update-symlinks", "linux-run-hooks", "kernel-install", "installkernel"],
        Nothing("an image's kernel is where Kiln puts it"),
    ),
    (&["phpquery"], Finalizer("php-modules")),
    (&["dbus-uuidgen"], Finalizer("machine-id")),
    (&["locale-gen"], Finalizer("compiled-locales")),
    (&["update-locale"], Finalizer("locale")),
    (&["MAKEDEV"], Nothing("devices are the kernel's")),
    (&["reload_dbus_config", "chkconfig"], Nothing(RUNNING)),
    (&["stty", "tput", "clear"], Nothing("nobody watches while an image is made")),
    (
        &["mktexlsr", "texhash", "updmap-sys", "fmtutil-sys", "update-texmf", "update-updmap", "update-fmtutil"],
        Finalizer("tex"),
    ),
    (&["update-language", "tl-paper"], Finalizer("tex")),
    (&["aspell-autobuildhash", "update-dictcommon-aspell"], Finalizer("aspell-dictionaries")),
    (&["ispell-autobuildhash"], Finalizer("ispell-dictionaries")),
    (&["update-dictcommon-hunspell"], Finalizer("dictionary-lists")),
    (&["update-fonts-alias", "update-fonts-dir", "update-fonts-scale"], Finalizer("x-fonts")),
];

fn row(name: &str) -> Option<&'static Why> {
    TABLE.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| why)
}

pub(super) fn find(name: &str) -> Option<()> {
    row(name).map(|_| ())
}

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static &'static str> {
    TABLE.iter().flat_map(|(names, _)| names.iter())
}

/// Python, where it compiles its own modules. What else it would do is not followed.
pub(super) fn python(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let compiles =
        |word: &Value| word.known().is_some_and(|word| word.contains("py_compile") || word.contains("compileall"));
    if !call.arguments.0.iter().any(compiles) {
        return stuck(format!("what `{}` runs is not followed", call.name));
    }
    evaluator.note(Became::Finalizer("python-bytecode"));
    Done::quietly()
}

/// Questions about a running system, whose answer is no while an image is made.
pub(super) fn no(evaluator: &mut Evaluator<'_>, _: &Call<'_>) -> Outcome {
    evaluator.note(Became::Nothing(RUNNING));
    Done::says(false)
}

/// Programs that check a configuration, `named-checkconf` and its like: where they find a fault there is no installation.
pub(super) fn check(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    evaluator.note(Became::Nothing("it checks a configuration and changes nothing"));
    Done::unknown(format!("what `{}` finds is not known", call.name))
}

/// Whether the processor is one that a package needs: where it is not, there is no installation.
pub(super) fn processor(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    evaluator.note(Became::Nothing("it looks at the processor and changes nothing"));
    Done::unknown(format!("what `{}` finds is not known", call.name))
}

/// `smartctl -V`, `smartctl -P showall`: whether it is there, and whether it understands a database of drives, which is that of its own package.
pub(super) fn smartctl(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    if !call.arguments.0.iter().any(|word| matches!(word.known(), Some("showall" | "-V"))) {
        return stuck("what `smartctl` does is not followed");
    }
    evaluator.note(Became::Nothing("it reads the database of drives that its package brings, and changes nothing"));
    Done::quietly()
}

/// `dconf update`, which compiles databases. What else it does is not followed.
pub(super) fn dconf(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    if call.arguments.known()? != ["update"] {
        return stuck("this use of `dconf` is not followed");
    }
    evaluator.note(Became::Finalizer("dconf"));
    Done::quietly()
}

/// `update-inetd`: changes of inetd's table. Where there is none, nothing in it is switched on or off or taken out.
pub(super) fn update_inetd(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let changes = ["--disable", "--enable", "--remove", "--pattern"];
    let adds = words.contains(&"--add");
    if adds || !words.iter().any(|word| changes.contains(word)) || evaluator.seen("/etc/inetd.conf", true).is_some() {
        return stuck("what `update-inetd` makes of inetd's table is not followed");
    }
    evaluator.note(Became::Nothing("there is no table of inetd's"));
    Done::quietly()
}

/// `helpztags FOLDER`: the tags of Vim's documentation, where there is any in the folder.
pub(super) fn helpztags(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let folders = call.arguments.known()?;
    if let Some(folder) = folders.iter().find(|folder| !evaluator.names(folder).is_empty()) {
        return stuck(format!("the tags of the documentation in `{folder}` are not made"));
    }
    evaluator.note(Became::Nothing("there is no documentation in the folder"));
    Done::quietly()
}

pub(super) fn run(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    evaluator.note(match row(call.name) {
        Some(Finalizer(name)) => Became::Finalizer(name),
        Some(Nothing(why)) => Became::Nothing(why),
        None => Became::Nothing(RUNNING),
    });
    Done::quietly()
}
