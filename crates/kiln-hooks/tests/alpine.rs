//! What the scripts of Alpine's packages come to: busybox's commands, in an image that is a table of paths. Nothing runs.

mod table;

use kiln_hooks::{Reading, Scriptlet, read_apk_scripts};
use proptest::prelude::*;
use table::Table;

fn read(scripts: &[(&'static str, &str)], image: &[(&str, &str)]) -> Reading {
    let scripts: Vec<Scriptlet<'_>> =
        scripts.iter().map(|(name, text)| Scriptlet { name, text, is_before: *name == ".pre-install" }).collect();
    let world = Table::with(image);
    read_apk_scripts("p", "1.2-r3", &scripts, &world, &world)
}

fn installed(text: &str) -> Reading {
    read(&[(".post-install", text)], &[])
}

const ACCOUNTS: [(&str, &str); 2] = [
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nhttp:x:9:9::/:/sbin/nologin\n"),
    ("/etc/group", "www-data:x:82:\n"),
];

#[test]
fn accounts_of_a_service_become_facts() {
    let text = "#!/bin/sh\n\naddgroup -S -g 90 web 2>/dev/null\naddgroup -S nginx 2>/dev/null\nadduser -S -D -H -h /var/lib/nginx \
                -s /sbin/nologin -G nginx -g 'nginx worker' nginx 2>/dev/null\naddgroup nginx www-data >/dev/null 2>&1 || true\n\nexit 0\n";
    let reading = read(&[(".pre-install", text)], &ACCOUNTS);
    assert_eq!(reading.unfollowed, []);
    let facts = reading.facts;
    assert_eq!(facts.groups["web"].id, Some(90));
    assert!(facts.groups["www-data"].members.contains("nginx"));
    let nginx = &facts.users["nginx"];
    assert_eq!(nginx.home.as_ref().unwrap().as_str(), "var/lib/nginx");
    assert_eq!(nginx.group.as_ref().unwrap().as_str(), "nginx");
    assert_eq!(nginx.summary.as_deref(), Some("nginx worker"));
    assert!(facts.directories.is_empty(), "-H makes no home");
}

#[test]
fn what_is_not_said_of_an_account_is_as_busybox_has_it() {
    let facts = installed("#!/bin/sh\nadduser -SDu 500 -h /var/x x\nadduser -D person\n").facts;
    let service = &facts.users["x"];
    assert_eq!((service.id, service.group.as_ref().unwrap().as_str()), (Some(500), "nogroup"));
    assert_eq!(service.shell.as_ref().unwrap().as_str(), "sbin/nologin");
    let person = &facts.users["person"];
    assert_eq!((person.group.as_ref(), person.shell.as_ref().unwrap().as_str()), (None, "bin/sh"));
    let homes: Vec<String> = facts.directories.keys().map(ToString::to_string).collect();
    assert_eq!(homes, ["/home/person", "/var/x"]);
    let owner = facts.directories.values().next().unwrap();
    assert_eq!((owner.owner.as_ref().unwrap().as_str(), owner.group.as_ref().unwrap().as_str()), ("person", "person"));
}

#[test]
fn an_account_that_is_there_is_a_failure_and_stays_as_it_is() {
    let text =
        "#!/bin/sh\nadduser -S -D -u 77 http || addgroup -S taken\naddgroup -S -g 5 www-data || addgroup -S also\n";
    let reading = read(&[(".pre-install", text)], &ACCOUNTS);
    assert_eq!(reading.unfollowed, []);
    assert!(reading.facts.users.is_empty());
    assert_eq!(reading.facts.groups.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["also", "taken"]);
}

#[test]
fn a_script_is_told_the_version_and_the_grammar_is_the_shells() {
    let text = "#!/bin/sh\nset -e\nfor n in a b; do mkdir -p /var/lib/$n/$1; chown daemon /var/lib/$n; done\n\
                if [ ! -e /etc/p.conf ]; then ln -s /usr/share/p.conf /etc/p.conf; fi\nexit 0\n";
    let reading = installed(text);
    assert_eq!(reading.unfollowed, []);
    let made: Vec<String> = reading.facts.directories.keys().map(ToString::to_string).collect();
    assert!(
        made.contains(&"/var/lib/a/1.2-r3".to_owned()) && made.contains(&"/var/lib/b/1.2-r3".to_owned()),
        "{made:?}"
    );
    assert_eq!(reading.facts.links.keys().map(ToString::to_string).collect::<Vec<_>>(), ["/etc/p.conf"]);
}

#[test]
fn whatever_cannot_be_known_is_told_and_not_guessed() {
    for line in [
        "adduser person",
        "adduser -S -Z a",
        "adduser -S a b",
        "addgroup -g many a",
        "adduser -D -k /etc/skel a",
        "frobnicate /var/lib",
        "mkdir $(cat /proc/uptime)",
    ] {
        let told = installed(&format!("#!/bin/sh\n{line}\n")).unfollowed;
        assert!(told.iter().any(|told| told.text == line && told.place.line == 2), "{line}: {told:?}");
    }
    // The folders that set a trigger off.
    let told = read(&[(".trigger", "#!/bin/sh\nfor folder in \"$@\"; do mkdir $folder/x; done\n")], &[]);
    assert!(!told.unfollowed.is_empty() && told.facts.directories.is_empty());
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "(adduser |addgroup |-[SDHhgsGuk]| |[a-z/'\"$|]|\n){0,30}") {
        let _ = installed(&format!("#!/bin/sh\n{text}"));
    }
}
