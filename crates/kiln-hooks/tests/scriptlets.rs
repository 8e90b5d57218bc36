//! What the scripts of RPM's packages come to: each is a text under the line with its interpreter, the image a table of
//! paths, and nothing runs.

mod table;

use kiln_hooks::{Became, Reading, Scriptlet, read_scriptlets};
use proptest::prelude::*;
use table::Table;

fn read(scripts: &[(&'static str, &str)], image: &[(&str, &str)]) -> Reading {
    let scripts: Vec<Scriptlet<'_>> = scripts
        .iter()
        .map(|(name, text)| Scriptlet { name, text, is_before: matches!(*name, "pretrans" | "pre") })
        .collect();
    read_scriptlets("p", &scripts, &Table::default(), &Table::with(image))
}

const UNITS: &str = "#!/bin/sh
if [ $1 -eq 1 ] && [ -x /usr/lib/systemd/systemd-update-helper ]; then
    /usr/lib/systemd/systemd-update-helper install-system-units a.service b.service || :
fi
";

const HELPER: (&str, &str) = ("/usr/lib/systemd/systemd-update-helper", "#!/bin/sh\n");

#[test]
fn a_first_installation_enables_what_the_presets_do() {
    let image = [HELPER, ("/usr/lib/systemd/system-preset/90-x.preset", "disable b.*\nenable *\n")];
    let reading = read(&[("post", UNITS)], &image);
    assert_eq!(reading.unfollowed, []);
    assert_eq!(reading.facts.services.keys().collect::<Vec<_>>(), ["a.service"]);
    assert!(
        reading
            .outcomes
            .iter()
            .any(|outcome| matches!(outcome.became, Became::Nothing(why) if why.contains("presets")))
    );
    let overruled = [HELPER, image[1], ("/etc/systemd/system-preset/90-x.preset", "disable *\n")];
    assert!(read(&[("post", UNITS)], &overruled).facts.services.is_empty(), "the file of that name in /etc counts");
    assert_eq!(read(&[("post", UNITS)], &[HELPER]).facts.services.len(), 2, "without presets all are enabled");
    assert!(read(&[("post", UNITS)], &[]).facts.services.is_empty(), "without systemd nothing is");
    let older = "#!/bin/sh\nsystemctl --no-reload preset a.service >/dev/null 2>&1 || :\n";
    assert_eq!(read(&[("post", older)], &image).facts.services.len(), 1);
}

#[test]
fn who_is_there_is_what_packages_ship() {
    let script =
        |account| format!("#!/bin/sh\ngetent passwd {account} >/dev/null || useradd -r -s /sbin/nologin {account}\n");
    let image = [("/etc/passwd", "root:x:0:0::/:/bin/sh\nkeeper:x:1:1::/:/bin/sh\n")];
    let added = |account| {
        let script = script(account);
        read(&[("post", &script)], &image).facts.users.len()
    };
    assert_eq!((added("keeper"), added("root"), added("www-data")), (0, 0, 1), "no account is Debian's here");
}

#[test]
fn later_scripts_know_what_earlier_ones_did() {
    let pre = "#!/bin/sh\ngetent group g >/dev/null || groupadd -r g\n";
    let post =
        "#!/bin/sh\ninstall -d -m 0750 -g g /var/lib/p\n/usr/sbin/alternatives --install /usr/bin/vi vi /usr/bin/p 5\n";
    let reading = read(&[("pre", pre), ("post", post)], &[]);
    assert_eq!(reading.unfollowed, []);
    let facts = &reading.facts;
    assert!(facts.groups.contains_key("g"));
    assert!(facts.directories.keys().any(|path| path.to_string() == "/var/lib/p"));
    assert_eq!(facts.alternatives.len(), 1);
}

#[test]
fn what_no_shell_reads_is_told_with_the_reason() {
    let told = |text| read(&[("post", text)], &[]).unfollowed.iter().map(|told| told.why.clone()).collect::<Vec<_>>();
    assert!(told("#!<lua>\n\nprint('x')\n")[0].contains("Lua"));
    assert!(told("#!<expanded> /bin/sh\necho %{name}\n")[0].contains("fill in values"));
    assert!(told("#!/usr/bin/python3\nprint('x')\n")[0].contains("no shell script"));
    assert!(told("#!/bin/sh\nfrobnicate /etc\n")[0].contains("not"));
    assert!(told("#!/bin/sh\n/usr/lib/systemd/systemd-update-helper dance\n")[0].contains("dance"));
}

#[test]
fn programs_of_debians_are_not_counted_on() {
    let script = "#!/bin/sh\nif [ -x /usr/bin/dpkg ]; then touch /var/lib/a; else touch /var/lib/b; fi\necho $DPKG_MAINTSCRIPT_NAME\n";
    let reading = read(&[("post", script)], &[]);
    assert_eq!(reading.facts.files.keys().map(ToString::to_string).collect::<Vec<_>>(), ["/var/lib/b"]);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "(#!/bin/sh\n|#!<lua>\n)?[a-z \"'$(){};|&<>\n=#/-]{0,80}") {
        let _ = read(&[("pre", &text), ("post", &text)], &[]);
    }
}
