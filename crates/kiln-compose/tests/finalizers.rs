//! Finalizers by example, and their reference page.

mod fixture;

use fixture::*;
use kiln_compose::finalizer::reference_page;
use kiln_compose::{OsRelease, RuleSet};
use kiln_model::{Dir, Entry, FileEntry, MemoryObjects, ObjectSink};

fn libraries(objects: &MemoryObjects) -> Dir {
    let mut dir = Dir::default();
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    let object = objects.put(&bytes).unwrap();
    for name in ["/usr/lib/libone.so.1.2", "/opt/kiln/libtwo.so", "/usr/lib/not-a-library.so"] {
        dir.insert(&path(name), Entry::File(FileEntry::plain(object, bytes.len() as u64, false))).unwrap();
    }
    let conf = objects.put(b"include ld.so.conf.d/*.conf\n").unwrap();
    dir.insert(&path("/etc/ld.so.conf"), Entry::File(FileEntry::plain(conf, 28, false))).unwrap();
    let conf = objects.put(b"# comment\n/opt/kiln # more\n").unwrap();
    dir.insert(&path("/etc/ld.so.conf.d/kiln.conf"), Entry::File(FileEntry::plain(conf, 27, false))).unwrap();
    dir
}

#[test]
fn the_cache_lists_libraries_of_configured_and_default_folders() {
    use kiln_model::ObjectSource;
    let objects = MemoryObjects::default();
    let tree = std::sync::Arc::new(libraries(&objects));
    let composition = composed(&request(vec![kiln_compose::Member::new(record("libs", "1", &tree), tree)]), &objects);
    let Some(Entry::File(cache)) = composition.tree.get(&path("/etc/ld.so.cache")) else {
        panic!("no cache");
    };
    let bytes = objects.read(&cache.object).unwrap();
    assert!(bytes.starts_with(b"glibc-ld.so.cache1.1"));
    assert_eq!(u32::from_le_bytes(bytes[20..24].try_into().unwrap()), 2);
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("/opt/kiln/libtwo.so\0") && text.contains("/lib/libone.so.1.2\0"), "{text}");
    assert!(!text.contains("not-a-library"));
}

#[test]
fn an_image_without_libraries_has_no_cache() {
    let objects = MemoryObjects::default();
    let composition = composed(&request(vec![member(&objects, "a", &[("/bin/tool", "#!x")])]), &objects);
    assert!(composition.tree.get(&path("/etc/ld.so.cache")).is_none());
}

#[test]
fn account_files_hold_no_date_and_no_open_password() {
    let objects = MemoryObjects::default();
    let a = declare(member(&objects, "a", &[]), r#"{ "users": { "web": { "id": 500, "groups": ["shadow"] } } }"#);
    let composition = composed(&request(vec![a]), &objects);
    assert!(text(&composition, &objects, "/etc/passwd").contains("web:x:500:500::/nonexistent:/usr/sbin/nologin\n"));
    assert!(text(&composition, &objects, "/etc/group").contains("shadow:x:42:web\n"));
    for line in text(&composition, &objects, "/etc/shadow").lines() {
        assert!(line.ends_with(":*::0:99999:7:::"), "{line}");
    }
    let shadow = composition.tree.get(&path("/etc/shadow")).unwrap().meta();
    assert_eq!((shadow.uid, shadow.gid, shadow.mode), (0, 42, 0o640));
}

#[test]
fn an_account_that_nobody_is_ever_to_log_in_as_is_expired() {
    let objects = MemoryObjects::default();
    let a = member(&objects, "a", &[("/usr/lib/sysusers.d/a.conf", "u! shut 500\nu open 501\n")]);
    let composition = composed(&request(vec![a]), &objects);
    let shadow = text(&composition, &objects, "/etc/shadow");
    assert!(shadow.contains("shut:*::0:99999:7::1:\n") && shadow.contains("open:*::0:99999:7:::\n"), "{shadow}");
}

#[test]
fn lists_of_dictionaries_for_editors_are_empty_where_there_are_none_and_absent_where_there_are() {
    let objects = MemoryObjects::default();
    let program = ("/usr/sbin/update-default-wordlist", "#!/none\n");
    let list = path("/var/cache/dictionaries-common/emacsen-ispell-default.el");
    let jed = path("/var/cache/dictionaries-common/jed-ispell-dicts.sl");
    let there = |entries: &[(&str, &str)]| {
        let tree = composed(&request(vec![member(&objects, "a", entries)]), &objects).tree;
        (tree.get(&list).is_some(), tree.get(&jed).is_some())
    };
    let of = |class: &str| format!("/var/lib/dictionaries-common/{class}/x");
    let record = "Language: x\nHash-Name: x\n";
    assert_eq!(there(&[program]), (true, true));
    assert_eq!(there(&[program, (&of("aspell"), record)]), (true, false));
    assert_eq!(there(&[program, (&of("ispell"), record)]), (false, false));
}

#[test]
fn the_images_own_account_files_are_added_to_and_their_passwords_stay() {
    let objects = MemoryObjects::default();
    let a = declare(member(&objects, "a", &[]), r#"{ "users": { "web": { "id": 500 } } }"#);
    let mut request = request(vec![a]);
    let passwd = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:100::/home/me:/bin/sh\n";
    request.files.insert(path("/etc/passwd"), image_file(&objects, passwd, 0o644));
    request.files.insert(path("/etc/shadow"), image_file(&objects, "me:$y$hash:19000::::::\n", 0o600));
    let composition = composed(&request, &objects);
    let passwd = text(&composition, &objects, "/etc/passwd");
    assert!(passwd.contains("me:x:1000:100::/home/me:/bin/sh\n") && passwd.contains("web:x:500:"), "{passwd}");
    assert!(text(&composition, &objects, "/etc/shadow").contains("me:$y$hash:19000::::::\n"));
    assert!(text(&composition, &objects, "/etc/group").contains("users:x:100:"));
    request.files.insert(path("/etc/passwd"), image_file(&objects, "broken\n", 0o644));
    assert!(refused(&request, &objects).0.contains("`/etc/passwd` line 1: it has 1 fields, not 7"));
}

#[test]
fn os_release_is_extended_or_made_and_depends_on_the_commit_only_when_given() {
    let objects = MemoryObjects::default();
    let base = member(
        &objects,
        "base",
        &[("/usr/lib/os-release", "ID=debian\n"), ("/etc/os-release", "-> ../usr/lib/os-release")],
    );
    let mut request = request(vec![base]);
    assert_eq!(text(&composed(&request, &objects), &objects, "/etc/os-release"), "ID=debian\n");
    request.os_release = Some(OsRelease { image: "web".parse().unwrap(), version: None });
    assert_eq!(text(&composed(&request, &objects), &objects, "/etc/os-release"), "ID=debian\nIMAGE_ID=web\n");
    request.members.clear();
    request.os_release = Some(OsRelease { image: "web".parse().unwrap(), version: Some("0123-dirty".into()) });
    let made = text(&composed(&request, &objects), &objects, "/etc/os-release");
    assert!(made.contains("ID=linux\n") && made.ends_with("IMAGE_VERSION=0123-dirty\n"), "{made}");
}

#[test]
fn shells_are_listed_under_their_real_path_too() {
    let objects = MemoryObjects::default();
    let a = member(
        &objects,
        "a",
        &[
            ("/bin", "-> usr/bin"),
            ("/usr/share/debianutils/shells", "# shells\n/bin/sh\n"),
            ("/usr/share/debianutils/shells.d/bash", "/bin/bash\n"),
        ],
    );
    let composition = composed(&request(vec![a]), &objects);
    assert_eq!(
        text(&composition, &objects, "/etc/shells"),
        "# shells\n/bin/sh\n/usr/bin/sh\n/bin/bash\n/usr/bin/bash\n"
    );
}

#[test]
fn certificates_that_the_image_deselects_are_left_out() {
    let objects = MemoryObjects::default();
    let a = member(
        &objects,
        "a",
        &[("/usr/share/ca-certificates/m/A.crt", "A"), ("/usr/share/ca-certificates/m/B (x).crt", "B\n")],
    );
    let mut request = request(vec![a]);
    let composition = composed(&request, &objects);
    assert_eq!(text(&composition, &objects, "/etc/ssl/certs/ca-certificates.crt"), "A\nB\n");
    assert_eq!(target(&composition, "/etc/ssl/certs/B_=x=.pem"), "/usr/share/ca-certificates/m/B (x).crt");
    request
        .files
        .insert(path("/etc/ca-certificates.conf"), image_file(&objects, "!m/A.crt\nm/B (x).crt\nm/none.crt\n", 0o644));
    let composition = composed(&request, &objects);
    assert_eq!(text(&composition, &objects, "/etc/ssl/certs/ca-certificates.crt"), "B\n");
    assert!(composition.warnings.iter().any(|warning| warning.message.contains("m/none.crt")));
}

#[test]
fn the_shipped_rules_read_and_each_has_its_reason() {
    let rules = RuleSet::shipped().unwrap_or_else(|e| panic!("{e}"));
    assert!(rules.iter().count() > 40);
    assert!(rules.iter().all(|(_, rule)| rule.reason.ends_with('.')));
    assert!(
        rules.find(kiln_model::ArchiveKind::Deb, "automake", "1:1.16").is_none()
            && rules.find(kiln_model::ArchiveKind::Deb, "automake", "1:1.17-4").is_some()
    );
}

#[test]
fn the_reference_page_is_the_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/finalizers.md");
    let there = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        there == reference_page(),
        "docs/reference/finalizers.md is out of date; it should read:\n{}",
        reference_page()
    );
}

#[test]
fn every_finalizer_can_be_switched_off_by_its_name() {
    use kiln_model::image::FinalizerName;
    use std::collections::BTreeSet;
    let table: BTreeSet<&str> = kiln_compose::finalizer::TABLE.iter().map(|finalizer| finalizer.name).collect();
    let names: BTreeSet<&str> = FinalizerName::ALL.iter().copied().collect();
    assert_eq!(names, table, "each row of the table has its name in kiln-model/src/image/finalizer.rs");
}

#[test]
fn modules_of_php_are_on_in_every_interface_that_is_installed() {
    let objects = MemoryObjects::default();
    let php = member(
        &objects,
        "php8.4-common",
        &[
            ("/usr/share/php8.4-common/common/pdo.ini", "; configuration\n; priority=10\nextension=pdo.so\n"),
            ("/usr/share/php8.4-common/common/calendar.ini", "extension=calendar.so\n"),
            ("/usr/share/php8.4-common/README", "no module"),
            ("/usr/share/php8.3-common/common/old.ini", "extension=old.so\n"),
            ("/usr/lib/php/8.4/sapi/cli", ""),
            ("/usr/lib/php/8.4/sapi/fpm", ""),
            ("/usr/lib/php/8.4/php.ini-production", "production"),
            ("/usr/lib/php/8.4/php.ini-production.cli", "for the terminal"),
            ("/etc/php/8.4/cli/conf.d/", ""),
            ("/etc/php/8.4/mods-available/redis.ini", "; priority = 25\nextension=redis.so\n"),
        ],
    );
    let mut request = request(vec![php]);
    request.files.insert(path("/etc/php/8.4/mods-available/own.ini"), image_file(&objects, "x", 0o644));
    request.files.insert(path("/etc/php/8.4/mods-available/pdo.ini"), image_file(&objects, "; priority=11\n", 0o644));
    let composition = composed(&request, &objects);
    let folder = composition.tree.dir(&path("/etc/php/8.4/cli/conf.d")).unwrap();
    let names: Vec<&str> = folder.entries().map(|(name, _)| name).collect();
    assert_eq!(names, ["11-pdo.ini", "20-calendar.ini", "25-redis.ini"]);
    assert_eq!(target(&composition, "/etc/php/8.4/cli/conf.d/11-pdo.ini"), "/etc/php/8.4/mods-available/pdo.ini");
    assert_eq!(text(&composition, &objects, "/etc/php/8.4/mods-available/calendar.ini"), "extension=calendar.so\n");
    assert_eq!(text(&composition, &objects, "/etc/php/8.4/cli/php.ini"), "for the terminal");
    assert!(composition.tree.get(&path("/etc/php/8.4/fpm")).is_none(), "nothing of the interface has a place there");
}

#[test]
fn applets_of_busybox_are_linked_where_nothing_is() {
    let objects = MemoryObjects::default();
    let busybox = member(
        &objects,
        "busybox",
        &[("/bin/busybox", "#!x"), ("/etc/busybox-paths.d/busybox", "bin/ls\n/usr/bin/awk\n\nsbin/halt\n")],
    );
    let gawk = member(&objects, "gawk", &[("/usr/bin/awk", "#!y")]);
    let composition = composed(&request(vec![busybox, gawk]), &objects);
    assert_eq!(target(&composition, "/usr/bin/ls"), "/bin/busybox");
    assert_eq!(target(&composition, "/sbin/halt"), "/bin/busybox");
    assert_eq!(text(&composition, &objects, "/usr/bin/awk"), "#!y");
}

#[test]
fn a_system_has_the_images_language_and_zone() {
    let objects = MemoryObjects::default();
    let tzdata = member(
        &objects,
        "tzdata",
        &[
            ("/usr/share/zoneinfo/Etc/UTC", "TZif"),
            ("/usr/share/zoneinfo/Europe/Berlin", "TZif"),
            ("/etc/timezone", "x\n"),
        ],
    );
    let mut request = request(vec![tzdata]);
    let composition = composed(&request, &objects);
    assert_eq!(target(&composition, "/etc/localtime"), "/usr/share/zoneinfo/Etc/UTC");
    assert!(composition.tree.get(&path("/etc/locale.conf")).is_none());
    request.time_zone = Some("Europe/Berlin".to_owned());
    request.locale = Some("de_DE.UTF-8".to_owned());
    let composition = composed(&request, &objects);
    assert_eq!(target(&composition, "/etc/localtime"), "/usr/share/zoneinfo/Europe/Berlin");
    assert_eq!(text(&composition, &objects, "/etc/timezone"), "Europe/Berlin\n");
    assert_eq!(text(&composition, &objects, "/etc/default/locale"), "LANG=de_DE.UTF-8\n");
    assert!(composition.warnings.iter().any(|warning| warning.message.contains("`de_DE.UTF-8` is in none")));
    request.time_zone = Some("Europe/Berlni".to_owned());
    let (message, hint) = refused(&request, &objects);
    assert!(message.contains("time zone `Europe/Berlni` is not in the image"), "{message}");
    assert!(hint.unwrap().contains("/usr/share/zoneinfo"));
    request.members.clear();
    assert!(refused(&request, &objects).1.unwrap().contains("tzdata"));
}

/// With a file `triggers`.
fn waiting(objects: &MemoryObjects, name: &str, triggers: &str, files: &[(&str, &str)]) -> kiln_compose::Member {
    let mut member = member(objects, name, files);
    let object = objects.put(triggers.as_bytes()).unwrap();
    let hook = kiln_model::package::Hook { name: "triggers".into(), object, size: triggers.len() as u64 };
    member.record.hooks.push(hook);
    member
}

#[test]
fn a_trigger_that_nothing_stands_for_is_told_once_it_counts() {
    let objects = MemoryObjects::default();
    let waits = "interest-noawait /usr/share/gadgets\ninterest gadgets-changed\ninterest ldconfig\n";
    let gadgets = waiting(&objects, "gadgets", waits, &[("/usr/share/gadgets/own", "")]);
    let alone = request(vec![gadgets.clone()]);
    assert_eq!(composed(&alone, &objects).warnings, [], "its own files are its own script's matter");
    let brings = member(&objects, "brings", &[("/usr/share/gadgets/a", "")]);
    let activates = waiting(&objects, "activates", "activate-noawait gadgets-changed\n", &[]);
    let mut request = request(vec![gadgets, brings, activates]);
    let messages: Vec<String> =
        composed(&request, &objects).warnings.into_iter().map(|warning| warning.message).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("`debian:gadgets` waits for the trigger `/usr/share/gadgets`, which `debian:brings`"));
    assert!(messages[1].contains("`gadgets-changed`, which `debian:activates` sets off"), "{messages:?}");
    request.hooks.insert("debian:gadgets".parse().unwrap(), fixture::accepted("they are not used"));
    assert_eq!(composed(&request, &objects).warnings, []);
}

#[test]
fn a_trigger_that_a_script_sets_off_counts_as_the_script_is_read() {
    let objects = MemoryObjects::default();
    let warnings = |script: &str| {
        let gadgets = waiting(&objects, "gadgets", "interest gadgets-changed\n", &[]);
        let script = format!("#!/bin/sh\nset -e\n{script}\n");
        let other = fixture::hook(member(&objects, "other", &[]), &objects, "postinst", &script);
        let mut request = request(vec![gadgets, other]);
        let said = kiln_compose::Said { by: kiln_compose::Sayer::Project, ..fixture::accepted("a test") };
        request.hooks.insert("debian:other".parse().unwrap(), said);
        composed(&request, &objects).warnings.len()
    };
    assert_eq!(warnings("name=gadgets; dpkg-trigger --no-await $name-changed"), 1);
    // Also by a way of which it is not known whether it is gone.
    assert_eq!(warnings("if [ -e /proc/x ]; then dpkg-trigger gadgets-changed; fi"), 1);
    assert_eq!(warnings("if [ \"$1\" = triggered ]; then dpkg-trigger gadgets-changed; fi"), 0, "not at installation");
    assert_eq!(warnings("echo dpkg-trigger gadgets-changed"), 0);
}
