//! What hooks of one package may count on from those of another: from what it depends on, and from nobody else.

mod fixture;

use fixture::{accepted, composed, hook, member, path, refused, request};
use kiln_compose::audit::audit;
use kiln_compose::{Composition, Member};
use kiln_model::MemoryObjects;

fn package(objects: &MemoryObjects, name: &str, depends: &str, files: &[(&str, &str)], postinst: &str) -> Member {
    let mut member = member(objects, name, files);
    member.record.relations.depends = depends.to_owned();
    hook(member, objects, "postinst", &format!("#!/bin/sh\nset -e\n{postinst}\n"))
}

/// The names of the owner and the group of a path itself, by the tables of the image.
fn owner(composition: &Composition, objects: &MemoryObjects, at: &str) -> (String, String) {
    let meta = composition.tree.get(&path(at)).unwrap().meta();
    let name = |table: &str, id: u32| {
        let text = fixture::text(composition, objects, table);
        let line = text.lines().find(|line| line.split(':').nth(2) == Some(&*id.to_string())).map(str::to_owned);
        line.unwrap_or_default().split(':').next().unwrap_or_default().to_owned()
    };
    (name("/etc/passwd", meta.uid), name("/etc/group", meta.gid))
}

const GROUP: &str = "addgroup --system keys";
const JOINS: &str = "adduser --system --group d\nif getent group keys >/dev/null; then adduser d keys; fi";

#[test]
fn a_group_that_a_dependency_makes_is_there_and_that_of_another_package_is_not() {
    let objects = MemoryObjects::default();
    for (depends, joins) in [("keys-common (>= 1) | other, libc6", true), ("", false)] {
        let members =
            vec![package(&objects, "d", depends, &[], JOINS), package(&objects, "keys-common", "", &[], GROUP)];
        let composition = composed(&request(members), &objects);
        let table = fixture::text(&composition, &objects, "/etc/group");
        let line = table.lines().find(|line| line.starts_with("keys:")).unwrap();
        assert_eq!(line.ends_with(":d"), joins, "{line}");
    }
}

#[test]
fn of_two_packages_that_depend_on_each_other_neither_counts_on_the_other() {
    let objects = MemoryObjects::default();
    let members =
        vec![package(&objects, "d", "keys-common", &[], JOINS), package(&objects, "keys-common", "d", &[], GROUP)];
    let composition = composed(&request(members), &objects);
    assert!(fixture::text(&composition, &objects, "/etc/group").lines().all(|line| !line.ends_with(":d")));
}

#[test]
fn accounts_of_sysusers_are_there_once_they_are_made() {
    let objects = MemoryObjects::default();
    let file = ("/usr/lib/sysusers.d/d.conf", "u d - \"D\" /var/lib/d\n");
    for (script, made) in [
        ("systemd-sysusers d.conf\nif getent passwd d; then mkdir /srv; fi", true),
        ("if getent passwd d; then mkdir /srv; fi\nsystemd-sysusers d.conf", false),
    ] {
        let composition = composed(&request(vec![package(&objects, "d", "", &[file], script)]), &objects);
        assert_eq!(composition.tree.get(&path("/srv")).is_some(), made, "{script}");
    }
    // Those of a dependency are there from the beginning.
    let members = vec![
        package(&objects, "e", "d", &[], "if getent passwd d; then mkdir /srv; fi"),
        package(&objects, "d", "", &[file], "systemd-sysusers d.conf"),
    ];
    assert!(composed(&request(members), &objects).tree.get(&path("/srv")).is_some());
}

#[test]
fn what_hooks_of_dependencies_made_is_given_away_with_the_folder_that_it_is_in() {
    let objects = MemoryObjects::default();
    let folder = [("/etc/d/enabled/", ""), ("/etc/d/available/site", "x"), ("/etc/d/users", "-> available/site")];
    for (depends, whose) in [("d-config", "d"), ("", "root")] {
        let members = vec![
            package(
                &objects,
                "d",
                depends,
                &[],
                "adduser --system --group d\nchown -R d:d /etc/d\n\
                     find /etc/d -type f -exec chmod 640 {} \\;\nfind /etc/d -type d -empty -delete",
            ),
            package(
                &objects,
                "d-config",
                "",
                &folder,
                "ln -s ../available/site /etc/d/enabled/site\n\
                     adduser --system --group x; install -d -o x -g x /etc/d/keys; touch /etc/d/keys/a",
            ),
        ];
        let mut request = request(members);
        if depends.is_empty() {
            // It would remove a folder that is empty as far as it can know.
            request.hooks.insert("debian:d".parse().unwrap(), accepted("x"));
        }
        let composition = composed(&request, &objects);
        let both = (whose.to_owned(), whose.to_owned());
        assert_eq!(owner(&composition, &objects, "/etc/d/enabled/site"), both);
        // The later word counts, over that of the hook that made it.
        let keys = if depends.is_empty() { "x" } else { "d" };
        assert_eq!(owner(&composition, &objects, "/etc/d/keys"), (keys.to_owned(), keys.to_owned()));
        // A link of a package is given away itself, and what it leads to besides.
        assert_eq!(owner(&composition, &objects, "/etc/d/users").0, "d");
        assert_eq!(composition.tree.get(&path("/etc/d/available/site")).unwrap().meta().mode, 0o640);
        let made = composition.tree.get(&path("/etc/d/keys/a")).unwrap().meta().mode;
        assert_eq!(made, if depends.is_empty() { 0o644 } else { 0o640 });
    }
}

#[test]
fn an_owner_whom_only_an_unfollowed_line_may_have_made_is_not_known() {
    let objects = MemoryObjects::default();
    let script = "useradd -m d\nchown d:adm /usr/share/d\ninstall -d -o d /var/lib/d";
    let members = vec![package(&objects, "d", "", &[("/usr/share/d", "x"), ("/var/lib/", "")], script)];
    let mut request = request(members);
    let (error, _) = refused(&request, &objects);
    assert!(error.contains("nothing that is followed declares `d`"), "{error}");
    request.hooks.insert("debian:d".parse().unwrap(), accepted("x"));
    let composition = composed(&request, &objects);
    assert_eq!(owner(&composition, &objects, "/usr/share/d"), ("root".to_owned(), "adm".to_owned()));
    let account = audit(&request, &objects).unwrap();
    let named = format!("{:?}", account.packages[0].commands);
    assert!(
        named.contains("whose `/usr/share/d` is is not known") && named.contains("whose `/var/lib/d` is"),
        "{named}"
    );
}

#[test]
fn a_member_whom_only_an_unfollowed_line_may_have_made_is_in_no_group() {
    let objects = MemoryObjects::default();
    let mut request = request(vec![package(&objects, "d", "", &[], "useradd -m d\ngpasswd -a d adm")]);
    request.hooks.insert("debian:d".parse().unwrap(), accepted("x"));
    composed(&request, &objects);
    let named = format!("{:?}", audit(&request, &objects).unwrap().packages[0].commands);
    assert!(named.contains("who is in which group is not known"), "{named}");
}

#[test]
fn a_question_of_another_package_has_the_answer_of_its_template() {
    let objects = MemoryObjects::default();
    let templates = "Template: c/user\nType: string\nDefault: nobody\n";
    let script = ". /usr/share/debconf/confmodule\ndb_register c/user d/user\ndb_get d/user\nmkdir /srv-$RET";
    let other = hook(package(&objects, "c", "", &[], "true"), &objects, "templates", templates);
    let composition = composed(&request(vec![package(&objects, "d", "c", &[], script), other]), &objects);
    assert!(composition.tree.get(&path("/srv-nobody")).is_some());
}

#[test]
fn nothing_follows_from_the_order_in_which_packages_are_listed() {
    let objects = MemoryObjects::default();
    let members = vec![
        package(&objects, "a", "b", &[], JOINS),
        package(&objects, "b", "c", &[("/etc/b/", "")], "mkdir /etc/b/made"),
        package(&objects, "c", "", &[("/etc/b/c", "x")], GROUP),
        package(&objects, "e", "b", &[], "chmod -R 750 /etc/b"),
    ];
    let first = composed(&request(members.clone()), &objects).tree.id();
    let reversed = composed(&request(members.into_iter().rev().collect()), &objects).tree.id();
    assert_eq!(first, reversed);
}

/// The hooks that debhelper writes for a package that brings a name service: `nss` beside what stands in the file.
fn name_service(objects: &MemoryObjects, name: &str, service: &str, script: &str) -> Member {
    let marker = "${DPKG_ROOT}/etc/names.conf.nss.${DPKG_MAINTSCRIPT_PACKAGE}-will-install";
    let postinst = format!(
        "if [ \"$1\" = configure ] && [ -f \"{marker}\" ] && [ -e \"${{DPKG_ROOT}}/etc/names.conf\" ] ; then\n\
         if ! grep -q -E -e '^hosts:[^#]*\\s({service})(\\s|#|$)' \"${{DPKG_ROOT}}/etc/names.conf\" ; then\n\
         sed -E -i \"${{DPKG_ROOT}}/etc/names.conf\" {script}\nfi\nrm \"{marker}\"\nfi"
    );
    let preinst = format!("#!/bin/sh\nset -e\nif [ \"$1\" = install ]; then\ntouch \"{marker}\"\nfi\n");
    hook(package(objects, name, "", &[], &postinst), objects, "preinst", &preinst)
}

/// An Essential package whose hook makes the file.
fn names(objects: &MemoryObjects) -> Member {
    let copies = "[ -f /etc/names.conf ] || cp -p /usr/share/c/names.conf /etc/names.conf";
    let files = [("/usr/share/c/names.conf", "# names\npasswd: files\nhosts: files dns # all\n")];
    let mut names = package(objects, "c-bin", "", &files, copies);
    names.record.listing = vec![("Essential".to_owned(), "yes".to_owned())];
    names
}

const FIRST: &str = r"-e '/^hosts:\s[^#]*$/ s/(\s)(files(\s+\[[^]]+\])?)(\s|$)/\1\2 own /' -e '/^hosts:\s.*#/ s/(\s)(files(\s+\[[^]]+\])?)(\s|#)/\1\2 own \3/' -e 's/ $//'";
const LAST: &str = "-e '/^passwd:\\s[^#]*$/ s/$/ far/' -e '/^passwd:\\s.*#/ s/#/ far #/'";
const AT_THE_END: &str = "-e '/^passwd:\\s[^#]*$/ s/$/ other/'";

#[test]
fn a_file_that_the_hook_of_an_essential_package_makes_may_be_changed_by_that_of_another() {
    let objects = MemoryObjects::default();
    let members = vec![name_service(&objects, "own", "own", FIRST), names(&objects)];
    let composition = composed(&request(members), &objects);
    let wanted = "# names\npasswd: files\nhosts: files own dns # all\n";
    assert_eq!(fixture::text(&composition, &objects, "/etc/names.conf"), wanted);
    assert!(composition.tree.get(&path("/etc/names.conf.nss.own-will-install")).is_none(), "it is taken back");
}

#[test]
fn several_hooks_change_one_file_where_their_order_does_not_matter() {
    let objects = MemoryObjects::default();
    let members = || {
        vec![name_service(&objects, "own", "own", FIRST), names(&objects), name_service(&objects, "far", "far", LAST)]
    };
    let composition = composed(&request(members()), &objects);
    let wanted = "# names\npasswd: files far\nhosts: files own dns # all\n";
    assert_eq!(fixture::text(&composition, &objects, "/etc/names.conf"), wanted);
    let reversed = composed(&request(members().into_iter().rev().collect()), &objects);
    assert_eq!(reversed.tree.id(), composition.tree.id());
}

#[test]
fn hooks_that_change_one_file_in_ways_that_depend_on_their_order_are_told() {
    let objects = MemoryObjects::default();
    let members =
        vec![name_service(&objects, "far", "far", LAST), names(&objects), name_service(&objects, "o", "o", AT_THE_END)];
    let mut request = request(members);
    let (error, _) = refused(&request, &objects);
    for part in ["debian:far", "debian:o", "depends on their order what is in it"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    for name in ["debian:far", "debian:o"] {
        request.hooks.insert(name.parse().unwrap(), accepted("nobody is far"));
    }
    let text = fixture::text(&composed(&request, &objects), &objects, "/etc/names.conf");
    assert_eq!(text, "# names\npasswd: files\nhosts: files dns # all\n", "as its maker has it");
}

#[test]
fn what_a_hook_reads_that_another_changes_is_told_where_it_matters() {
    let objects = MemoryObjects::default();
    let reads = "if grep -q own /etc/names.conf; then mkdir /srv/own; else mkdir /srv/without; fi";
    let members =
        vec![name_service(&objects, "own", "own", FIRST), names(&objects), package(&objects, "r", "", &[], reads)];
    assert!(refused(&request(members), &objects).0.contains("depends on their order what is in it"));
}
