//! Composition by example: union, conflicts and their ways out, overlays, facts, layers.

mod fixture;

use fixture::*;
use kiln_compose::{LayerName, Owner};
use kiln_model::{Entry, MemoryObjects};

#[test]
fn names_both_owners_of_one_path_and_the_ways_out() {
    let objects = MemoryObjects::default();
    let a = member(&objects, "a", &[("/usr/bin/tool", "#!a"), ("/etc/x", "1")]);
    let b = member(&objects, "b", &[("/usr/bin/tool", "#!b"), ("/etc/x", "2")]);
    let (message, hint) = refused(&request(vec![a, b]), &objects);
    assert!(message.starts_with("2 paths are claimed more than once"), "{message}");
    assert!(message.contains("`/usr/bin/tool`: file"), "{message}");
    assert!(message.contains("by package `debian:a`, file") && message.contains("by package `debian:b`"), "{message}");
    let hint = hint.unwrap();
    for way in ["replace", "overlay", "alternatives"] {
        assert!(hint.contains(way), "{hint}");
    }
}

#[test]
fn equal_content_from_two_packages_is_one_path() {
    let objects = MemoryObjects::default();
    let a = member(&objects, "a", &[("/etc/x", "same"), ("/l", "-> etc"), ("/d/", "")]);
    let b = member(&objects, "b", &[("/etc/x", "same"), ("/l", "-> etc"), ("/d/", ""), ("/d/f", "f")]);
    let composition = composed(&request(vec![a, b]), &objects);
    assert_eq!(text(&composition, &objects, "/etc/x"), "same");
    assert_eq!(composition.owners.all(&path("/d")).len(), 2);
}

#[test]
fn a_directory_against_a_link_or_file_is_a_conflict() {
    let objects = MemoryObjects::default();
    let a = member(&objects, "a", &[("/usr/share/x/f", "f")]);
    for other in [("/usr/share/x", "-> y"), ("/usr/share/x", "file")] {
        let b = member(&objects, "b", &[other]);
        let (message, _) = refused(&request(vec![a.clone(), b]), &objects);
        assert!(message.contains("`/usr/share/x`: directory"), "{message}");
    }
}

#[test]
fn the_image_may_say_which_package_wins() {
    let objects = MemoryObjects::default();
    let a = member(&objects, "a", &[("/etc/x", "1")]);
    let b = member(&objects, "b", &[("/etc/x", "2")]);
    let mut request = request(vec![a, b]);
    request.replace.insert(path("/etc/x"), "debian:b".parse().unwrap());
    let composition = composed(&request, &objects);
    assert_eq!(text(&composition, &objects, "/etc/x"), "2");
    assert_eq!(composition.owners.of(&path("/etc/x")), Some(&Owner::Package("debian:b".parse().unwrap())));

    request.replace.insert(path("/etc/y"), "debian:b".parse().unwrap());
    assert!(refused(&request, &objects).0.contains("`/etc/y`"), "an entry that decides nothing is refused");
    request.replace = [(path("/etc/x"), "debian:c".parse().unwrap())].into();
    assert!(refused(&request, &objects).0.contains("not in the image"));
}

#[test]
fn a_package_may_declare_that_it_replaces_files_of_another() {
    let objects = MemoryObjects::default();
    let mut a = member(&objects, "a", &[("/etc/x", "1")]);
    let mut b = member(&objects, "b", &[("/etc/x", "2")]);
    a.record.relations.replaces = "b (<< 2), c".to_owned();
    for members in [vec![a.clone(), b.clone()], vec![b.clone(), a.clone()]] {
        let composition = composed(&request(members), &objects);
        assert_eq!(text(&composition, &objects, "/etc/x"), "1");
    }
    a.record.relations.replaces = "b (<< 1.0)".to_owned();
    assert!(refused(&request(vec![a.clone(), b.clone()]), &objects).0.contains("`/etc/x`"), "the version must match");
    a.record.relations.replaces = "b".to_owned();
    b.record.relations.replaces = "a".to_owned();
    assert!(refused(&request(vec![a, b]), &objects).0.contains("`/etc/x`"), "who replaces each other decides nothing");
}

#[test]
fn overlays_win_by_priority_and_the_images_files_over_all() {
    let objects = MemoryObjects::default();
    let a = member(
        &objects,
        "a",
        &[
            ("/etc/x", "package"),
            ("/etc/y", "package"),
            ("/etc/z", "package"),
            ("/bin", "-> usr/bin"),
            ("/usr/bin/", ""),
        ],
    );
    let mut request = request(vec![a]);
    request.overlays = vec![
        overlay(&objects, "low", 1, &[("/etc/x", "low"), ("/etc/y", "low"), ("/bin/tool", "#!low")]),
        overlay(&objects, "high", 2, &[("/etc/y", "high")]),
    ];
    request.files.insert(path("/etc/z"), image_file(&objects, "image", 0o600));
    let composition = composed(&request, &objects);
    assert_eq!(text(&composition, &objects, "/etc/x"), "low");
    assert_eq!(text(&composition, &objects, "/etc/y"), "high");
    assert_eq!(text(&composition, &objects, "/etc/z"), "image");
    assert_eq!(composition.tree.get(&path("/etc/z")).unwrap().meta().mode, 0o600);
    assert_eq!(composition.owners.of(&path("/etc/y")), Some(&Owner::Overlay("high".into())));
    assert_eq!(composition.owners.of(&path("/etc/z")), Some(&Owner::Image));
    assert!(composition.tree.get(&path("/usr/bin/tool")).is_some(), "an overlay follows the image's own links");

    request.overlays.reverse();
    assert_eq!(composed(&request, &objects).tree.id(), composition.tree.id());
    request.overlays[0].priority = 1;
    let (message, hint) = refused(&request, &objects);
    assert!(message.contains("overlay `high`") && message.contains("overlay `low`"), "{message}");
    assert!(hint.unwrap().contains("priorities"));
}

#[test]
fn what_is_shipped_below_a_merged_name_goes_to_usr() {
    let objects = MemoryObjects::default();
    let base = member(&objects, "base", &[("/bin", "-> usr/bin"), ("/usr/bin/", "")]);
    let old = member(&objects, "old", &[("/bin/tool", "#!x"), ("/lib64/ld.so", "ld")]);
    let libc = member(&objects, "libc", &[("/usr/lib64/ld-linux.so", "ld")]);
    let composition = composed(&request(vec![base, old, libc.clone()]), &objects);
    assert!(composition.tree.get(&path("/usr/bin/tool")).is_some());
    assert_eq!(target(&composition, "/lib64"), "usr/lib64");
    assert!(composition.tree.get(&path("/usr/lib64/ld.so")).is_some());
    // Without base-files the loader's path must lead somewhere all the same.
    assert_eq!(target(&composed(&request(vec![libc]), &objects), "/lib64"), "usr/lib64");
}

#[test]
fn facts_make_directories_links_devices_and_permissions() {
    let objects = MemoryObjects::default();
    let a = declare(
        member(&objects, "a", &[("/usr/bin/wall", "#!x"), ("/var/run/", "")]),
        r#"{ "users": { "web": { "id": 500, "home": "/var/lib/web" } },
             "links": { "/var/run": "/run" },
             "directories": { "/var/run/web": { "owner": "web", "mode": "2750" } },
             "devices": { "/dev/null": { "kind": "character", "major": 1, "minor": 3, "mode": "0666" } },
             "permissions": { "/usr/bin/wall": { "group": "tty", "mode": "2755", "capabilities": ["cap_net_bind_service"] } } }"#,
    );
    let composition = composed(&request(vec![a]), &objects);
    assert_eq!(target(&composition, "/var/run"), "/run");
    let made = composition.tree.get(&path("/run/web")).unwrap().meta();
    assert_eq!((made.uid, made.gid, made.mode), (500, 0, 0o2750), "made where the link leads");
    let wall = composition.tree.get(&path("/usr/bin/wall")).unwrap().meta();
    assert_eq!((wall.gid, wall.mode), (5, 0o2755), "a well-known group needs no declaration");
    assert_eq!(wall.xattrs["security.capability"].len(), 20);
    assert!(matches!(composition.tree.get(&path("/dev/null")), Some(Entry::Device(..))));
}

#[test]
fn an_owner_that_nothing_declares_is_told_with_its_package() {
    let objects = MemoryObjects::default();
    let a = member(&objects, "a", &[("/etc/x", "1")]);
    let a = declare(a, r#"{ "permissions": { "/etc/x": { "owner": "ghost" } } }"#);
    let (message, hint) = refused(&request(vec![a]), &objects);
    assert!(message.contains("package `debian:a` names user `ghost` as the owner of `/etc/x`"), "{message}");
    assert!(hint.unwrap().contains("users"));
}

#[test]
fn a_permission_of_a_path_that_is_not_there_is_refused() {
    let objects = MemoryObjects::default();
    let mut request = request(vec![]);
    request.facts = facts(r#"{ "permissions": { "/etc/x": { "mode": "0600" } } }"#);
    assert!(refused(&request, &objects).0.contains("`/etc/x`, which is not in the image"));
}

#[test]
fn packages_must_agree_on_permissions_unless_the_image_decides() {
    let objects = MemoryObjects::default();
    let with = |name: &str, mode: &str| {
        declare(
            member(&objects, name, &[("/srv/", "")]),
            &format!(r#"{{ "directories": {{ "/srv": {{ "mode": "{mode}" }} }} }}"#),
        )
    };
    let mut request = request(vec![with("a", "0750"), with("b", "0700")]);
    let (message, hint) = refused(&request, &objects);
    assert!(
        message.contains("`/srv` has mode 0750 by package `debian:a`, but 0700 by package `debian:b`"),
        "{message}"
    );
    assert!(hint.unwrap().contains("permissions"));
    request.facts = facts(r#"{ "permissions": { "/srv": { "mode": "0711" } } }"#);
    assert_eq!(composed(&request, &objects).tree.get(&path("/srv")).unwrap().meta().mode, 0o711);
}

#[test]
fn the_highest_priority_of_alternatives_wins_with_its_slaves() {
    let objects = MemoryObjects::default();
    let candidate = |name: &str, priority: i32| {
        let program = format!("/usr/bin/{name}");
        declare(
            member(&objects, name, &[(&program, "#!x"), ("/usr/share/man/man1/m.gz", "man")]),
            &format!(
                r#"{{ "alternatives": {{ "/usr/bin/awk": {{ "to": "{program}", "priority": {priority},
                      "slaves": {{ "/usr/bin/nawk": {{ "to": "{program}" }}, "/usr/bin/none": {{ "to": "/no" }} }} }} }} }}"#
            ),
        )
    };
    let (mawk, gawk) = (candidate("mawk", 5), candidate("gawk", 10));
    let composition = composed(&request(vec![mawk.clone(), gawk.clone()]), &objects);
    assert_eq!(target(&composition, "/usr/bin/awk"), "/etc/alternatives/awk");
    assert_eq!(target(&composition, "/etc/alternatives/awk"), "/usr/bin/gawk");
    assert_eq!(target(&composition, "/etc/alternatives/nawk"), "/usr/bin/gawk");
    assert!(composition.tree.get(&path("/usr/bin/none")).is_none(), "a slave without a target is none");
    let equal = composed(&request(vec![candidate("b", 1), candidate("a", 1)]), &objects);
    assert_eq!(target(&equal, "/etc/alternatives/awk"), "/usr/bin/a", "of equals the smallest path wins");

    let mut image = request(vec![mawk, gawk]);
    image.facts = facts(r#"{ "alternatives": { "/usr/bin/awk": { "to": "/usr/bin/mawk", "priority": 0 } } }"#);
    assert_eq!(target(&composed(&image, &objects), "/etc/alternatives/awk"), "/usr/bin/mawk");
    let rude = member(&objects, "rude", &[("/usr/bin/awk", "#!mine")]);
    image.members.push(rude);
    let (message, hint) = refused(&image, &objects);
    assert!(message.contains("package `debian:rude` ships a file there"), "{message}");
    assert!(hint.is_some());
}

#[test]
fn layers_hold_each_path_once_and_lie_over_each_other_in_any_order() {
    let objects = MemoryObjects::default();
    let a = member(&objects, "a", &[("/usr/bin/a", "#!a"), ("/usr/share/doc/a/x", "x"), ("/var/empty/", "")]);
    let b = declare(
        member(&objects, "b", &[("/usr/bin/b", "#!b"), ("/usr/share/doc/b/x", "x"), ("/etc/conf", "old")]),
        r#"{ "directories": { "/usr/share/doc": { "mode": "0750" } } }"#,
    );
    let mut request = request(vec![a, b]);
    request.overlays = vec![overlay(&objects, "site", 0, &[("/etc/conf", "new")])];
    request.files.insert(path("/srv/index.html"), image_file(&objects, "hello", 0o644));
    request.os_release =
        Some(kiln_compose::OsRelease { image: "web".parse().unwrap(), version: Some("abc-dirty".into()) });
    let composition = composed(&request, &objects);
    let names: Vec<String> = composition.layers.iter().map(|layer| layer.name.to_string()).collect();
    assert_eq!(names, ["debian:a", "debian:b", "finalizers", "overlays", "files", "label"]);
    check_layers(&composition);
    let label = composition.layers.iter().find(|layer| layer.name == LayerName::Label).unwrap();
    assert!(label.tree.get(&path("/usr/lib/os-release")).is_some());
    assert!(text(&composition, &objects, "/etc/os-release").contains("IMAGE_VERSION=abc-dirty"));

    // Another commit changes that layer alone.
    request.os_release.as_mut().unwrap().version = Some("def".into());
    let other = composed(&request, &objects);
    for (one, two) in composition.layers.iter().zip(&other.layers) {
        assert_eq!(one.tree.id() == two.tree.id(), one.name != LayerName::Label, "{}", one.name);
    }
}

fn check_layers(composition: &kiln_compose::Composition) {
    let mut seen = std::collections::BTreeMap::new();
    for layer in &composition.layers {
        for (at, entry) in layer.tree.walk() {
            let whole = composition.tree.get(&at).unwrap_or_else(|| panic!("{at} is not in the whole"));
            assert_eq!(whole.meta(), entry.meta(), "{at}");
            match (whole, entry) {
                (Entry::Dir(_), Entry::Dir(_)) => {
                    seen.insert(at, true);
                }
                (whole, entry) => {
                    assert_eq!(whole, entry);
                    assert!(seen.insert(at.clone(), false).is_none(), "{at} is in two layers");
                }
            }
        }
    }
    for (at, _) in composition.tree.walk() {
        assert!(seen.contains_key(&at), "{at} is in no layer");
    }
}

#[test]
fn two_versions_of_one_package_are_refused_and_the_same_twice_is_one() {
    let objects = MemoryObjects::default();
    let a = member(&objects, "a", &[("/etc/x", "1")]);
    let mut newer = a.clone();
    newer.record.version = "2.0".into();
    assert_eq!(
        composed(&request(vec![a.clone(), a.clone()]), &objects).tree.id(),
        composed(&request(vec![a.clone()]), &objects).tree.id()
    );
    assert!(refused(&request(vec![newer, a]), &objects).0.contains("1.0 (amd64) and as 2.0 (amd64)"));
}

#[test]
fn an_unknown_finalizer_cannot_be_switched_off() {
    let objects = MemoryObjects::default();
    let mut request = request(vec![]);
    request.without.insert("ld.so".into());
    let (message, hint) = refused(&request, &objects);
    assert!(message.contains("`ld.so`") && hint.unwrap().contains("ld.so.cache"));
    request.without = ["accounts".to_owned()].into();
    assert!(composed(&request, &objects).tree.get(&path("/etc/passwd")).is_none());
}
