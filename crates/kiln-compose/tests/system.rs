//! Facts of a running system by example: services, diversions, shells, kernel parameters, environment, first boot, and
//! the files that systemd reads.

mod fixture;

use fixture::*;
use kiln_compose::{Composition, Member, Owner, Request};
use kiln_model::{Entry, MemoryObjects};

const NGINX: &str = "[Service]\nExecStart=/usr/sbin/nginx\n[Install]\nWantedBy=multi-user.target\nAlias=web.service\n";

fn systemd(objects: &MemoryObjects) -> Member {
    member(
        objects,
        "systemd",
        &[
            ("/usr/lib/systemd/systemd", "#!elf"),
            ("/usr/bin/systemd-tmpfiles", "#!elf"),
            ("/usr/lib/systemd/system-preset/90-systemd.preset", "disable debug-*\n"),
        ],
    )
}

fn nginx(objects: &MemoryObjects, service: &str) -> Member {
    let files = [("/usr/lib/systemd/system/nginx.service", NGINX), ("/usr/sbin/nginx", "#!nginx")];
    declare(member(objects, "nginx", &files), &format!(r#"{{ "services": {{ "nginx.service": {service} }} }}"#))
}

fn exists(composition: &Composition, name: &str) -> bool {
    composition.tree.get(&path(name)).is_some()
}

fn messages(composition: &Composition) -> String {
    composition.warnings.iter().map(|warning| format!("{} {:?}\n", warning.message, warning.hint)).collect()
}

fn with_facts(mut request: Request, json: &str) -> Request {
    request.facts = facts(json);
    request
}

const WANTS: &str = "/etc/systemd/system/multi-user.target.wants/nginx.service";

#[test]
fn an_enabled_service_has_the_links_of_systemctl_and_a_preset() {
    let objects = MemoryObjects::default();
    let composition = composed(&request(vec![systemd(&objects), nginx(&objects, r#"{ "enabled": true }"#)]), &objects);
    assert_eq!(target(&composition, WANTS), "/usr/lib/systemd/system/nginx.service");
    assert_eq!(target(&composition, "/etc/systemd/system/web.service"), "/usr/lib/systemd/system/nginx.service");
    assert_eq!(composition.owners.of(&path(WANTS)), Some(&Owner::Finalizer("systemd-units")));
    let preset = text(&composition, &objects, "/usr/lib/systemd/system-preset/00-kiln.preset");
    assert!(preset.contains("enable nginx.service\n"), "{preset}");
}

#[test]
fn links_are_made_without_systemd_too_but_no_preset() {
    let objects = MemoryObjects::default();
    let composition = composed(&request(vec![nginx(&objects, r#"{ "enabled": true }"#)]), &objects);
    assert!(exists(&composition, WANTS));
    assert!(!exists(&composition, "/usr/lib/systemd/system-preset/00-kiln.preset"));
    assert_eq!(composition.warnings, [], "a package that ships a unit into a container is nothing to speak of");
    let image =
        with_facts(request(vec![nginx(&objects, "{}")]), r#"{ "services": { "nginx.service": { "enabled": true } } }"#);
    assert!(messages(&composed(&image, &objects)).contains("systemd is not in it"));
}

#[test]
fn the_images_word_on_a_service_wins() {
    let objects = MemoryObjects::default();
    let members = || vec![systemd(&objects), nginx(&objects, r#"{ "enabled": true }"#)];
    let off = with_facts(request(members()), r#"{ "services": { "nginx.service": { "enabled": false } } }"#);
    let composition = composed(&off, &objects);
    assert!(!exists(&composition, WANTS) && !exists(&composition, "/etc/systemd/system/web.service"));
    let preset = text(&composition, &objects, "/usr/lib/systemd/system-preset/00-kiln.preset");
    assert!(preset.contains("disable nginx.service\n"), "{preset}");
    let masked =
        with_facts(request(members()), r#"{ "services": { "nginx.service": { "masked": true, "enabled": false } } }"#);
    let composition = composed(&masked, &objects);
    assert_eq!(target(&composition, "/etc/systemd/system/nginx.service"), "/dev/null");
    assert!(!exists(&composition, WANTS));
    let on = with_facts(
        request(vec![systemd(&objects), nginx(&objects, "{}")]),
        r#"{ "services": { "nginx.service": { "enabled": true } } }"#,
    );
    assert!(exists(&composed(&on, &objects), WANTS));
}

#[test]
fn a_package_that_ships_links_is_disabled_by_the_image_too() {
    let objects = MemoryObjects::default();
    let shipped = member(
        &objects,
        "a",
        &[("/usr/lib/systemd/system/nginx.service", NGINX), (WANTS, "-> /usr/lib/systemd/system/nginx.service")],
    );
    assert!(exists(&composed(&request(vec![shipped.clone()]), &objects), WANTS));
    let off = with_facts(request(vec![shipped]), r#"{ "services": { "nginx.service": { "enabled": false } } }"#);
    assert!(!exists(&composed(&off, &objects), WANTS));
}

#[test]
fn presets_of_the_image_decide_and_those_of_packages_are_asked_as_hooks_ask_them() {
    let objects = MemoryObjects::default();
    let debug = declare(
        member(
            &objects,
            "debug",
            &[("/usr/lib/systemd/system/debug-shell.service", "[Install]\nWantedBy=sysinit.target\n")],
        ),
        r#"{ "services": { "debug-shell.service": { "enabled": true } } }"#,
    );
    let link = "/etc/systemd/system/sysinit.target.wants/debug-shell.service";
    assert!(!exists(&composed(&request(vec![systemd(&objects), debug.clone()]), &objects), link));
    assert!(exists(&composed(&request(vec![debug]), &objects), link), "without systemd nobody asks its presets");
    let mut image = request(vec![systemd(&objects), nginx(&objects, "{}")]);
    image
        .files
        .insert(path("/etc/systemd/system-preset/10-site.preset"), image_file(&objects, "enable nginx.*\n", 0o644));
    assert!(exists(&composed(&image, &objects), WANTS));
}

#[test]
fn a_service_that_is_not_there_or_cannot_be_enabled_is_told_with_who_declares_it() {
    let objects = MemoryObjects::default();
    let lost = declare(member(&objects, "a", &[]), r#"{ "services": { "lost.service": { "enabled": true } } }"#);
    let (message, _) = refused(&request(vec![lost]), &objects);
    assert!(message.contains("package `debian:a` declares service `lost.service`"), "{message}");
    let image =
        with_facts(request(vec![nginx(&objects, "{}")]), r#"{ "services": { "nginx.socket": { "enabled": true } } }"#);
    let (message, hint) = refused(&image, &objects);
    assert!(message.contains("the image declares service `nginx.socket`"), "{message}");
    assert_eq!(hint.as_deref(), Some("did you mean `nginx.service`?"));
    let bare = member(&objects, "b", &[("/usr/lib/systemd/system/static.service", "[Service]\nExecStart=/x\n")]);
    let image = with_facts(request(vec![bare]), r#"{ "services": { "static.service": { "enabled": true } } }"#);
    assert!(refused(&image, &objects).0.contains("has no `[Install]` section"));
}

#[test]
fn users_own_units_and_templates_and_what_comes_along_are_enabled() {
    let objects = MemoryObjects::default();
    let a = declare(
        member(
            &objects,
            "a",
            &[
                ("/usr/lib/systemd/user/agent.socket", "[Install]\nWantedBy=sockets.target\n"),
                ("/usr/lib/systemd/user/agent.service", "[Install]\nAlso=agent.socket gone.socket\n"),
                ("/usr/lib/systemd/system/getty@.service", "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n"),
            ],
        ),
        r#"{ "services": { "agent.service": { "enabled": true, "user": true }, "getty@.service": { "enabled": true },
             "getty@tty3.service": { "enabled": true } } }"#,
    );
    let composition = composed(&request(vec![a, systemd(&objects)]), &objects);
    let to = target(&composition, "/etc/systemd/user/sockets.target.wants/agent.socket");
    assert_eq!(to, "/usr/lib/systemd/user/agent.socket");
    for instance in ["tty1", "tty3"] {
        let link = format!("/etc/systemd/system/getty.target.wants/getty@{instance}.service");
        assert_eq!(target(&composition, &link), "/usr/lib/systemd/system/getty@.service");
    }
    assert!(messages(&composition).contains("`gone.socket`, which is not in the image"));
    let preset = text(&composition, &objects, "/usr/lib/systemd/system-preset/00-kiln.preset");
    assert!(preset.contains("enable getty@.service tty1 tty3\n"), "{preset}");
    let preset = text(&composition, &objects, "/usr/lib/systemd/user-preset/00-kiln.preset");
    assert!(preset.contains("enable agent.socket\n"), "{preset}");
}

#[test]
fn a_name_that_two_services_want_goes_to_the_one_that_the_image_enables() {
    let objects = MemoryObjects::default();
    let manager = |name: &str| {
        let unit = format!("/usr/lib/systemd/system/{name}.service");
        let text = "[Install]\nAlias=display-manager.service\n";
        declare(
            member(&objects, name, &[(&unit, text)]),
            &format!(r#"{{ "services": {{ "{name}.service": {{ "enabled": true }} }} }}"#),
        )
    };
    let alias = "/etc/systemd/system/display-manager.service";
    let both = request(vec![manager("b"), manager("a")]);
    let composition = composed(&both, &objects);
    assert_eq!(target(&composition, alias), "/usr/lib/systemd/system/a.service");
    assert!(messages(&composition).contains("both want to be"), "{}", messages(&composition));
    let image = with_facts(both, r#"{ "services": { "b.service": { "enabled": true } } }"#);
    assert_eq!(target(&composed(&image, &objects), alias), "/usr/lib/systemd/system/b.service");
}

#[test]
fn a_diverted_file_moves_aside_with_its_permissions_and_the_diverters_own_stays() {
    let objects = MemoryObjects::default();
    let mut old = member(&objects, "old", &[("/usr/bin/tool", "#!old"), ("/usr/bin/other", "#!x")]);
    old.record.facts = facts(r#"{ "permissions": { "/usr/bin/tool": { "mode": "4755" } } }"#);
    old.facts = old.record.facts.clone();
    let new = declare(
        member(&objects, "new", &[("/bin/tool", "#!new"), ("/bin/", "")]),
        r#"{ "diversions": { "/bin/tool": { "to": "/bin/tool.old" }, "/usr/bin/none": { "to": "/usr/bin/none.x" } } }"#,
    );
    for members in [vec![old.clone(), new.clone()], vec![new.clone(), old.clone()]] {
        let composition = composed(&request(members), &objects);
        assert_eq!(text(&composition, &objects, "/usr/bin/tool"), "#!new");
        assert_eq!(text(&composition, &objects, "/usr/bin/tool.old"), "#!old");
        let moved = path("/usr/bin/tool.old");
        assert_eq!(composition.tree.get(&moved).unwrap().meta().mode, 0o4755);
        assert_eq!(composition.tree.get(&path("/usr/bin/tool")).unwrap().meta().mode, 0o755);
        assert_eq!(composition.owners.of(&moved), Some(&Owner::Package("debian:old".parse().unwrap())));
        let diverted = composition.owners.diverted(&moved).unwrap();
        assert_eq!(
            (&diverted.from, &diverted.by),
            (&path("/usr/bin/tool"), &Owner::Package("debian:new".parse().unwrap()))
        );
    }
    let other =
        declare(member(&objects, "third", &[]), r#"{ "diversions": { "/usr/bin/tool": { "to": "/usr/bin/t" } } }"#);
    let (message, _) = refused(&request(vec![old.clone(), new.clone(), other]), &objects);
    assert!(message.contains("`debian:new`") && message.contains("`debian:third`"), "{message}");
    let idle = with_facts(request(vec![old]), r#"{ "diversions": { "/usr/bin/none": { "to": "/usr/bin/n" } } }"#);
    assert!(refused(&idle, &objects).0.contains("no package brings a file there"));
}

#[test]
fn an_image_brings_files_by_its_own_key_alone() {
    let objects = MemoryObjects::default();
    let image = with_facts(request(vec![]), r#"{ "files": { "/etc/x": { "content": "x" } } }"#);
    let (message, hint) = refused(&image, &objects);
    assert!(message.contains("`/etc/x`") && hint.unwrap().contains("files:"), "{message}");
}

#[test]
fn kernel_parameters_of_the_image_come_after_those_of_packages() {
    let objects = MemoryObjects::default();
    let with = |name: &str, value: &str| {
        declare(
            member(&objects, name, &[]),
            &format!(r#"{{ "sysctl": {{ "net.ipv4.ip_forward": "{value}", "vm.{name}": "1" }} }}"#),
        )
    };
    let mut image = request(vec![with("a", "0"), with("b", "1")]);
    let (message, hint) = refused(&image, &objects);
    assert!(
        message.contains("`net/ipv4/ip_forward` is `0` by package `debian:a`, but `1` by package `debian:b`"),
        "{message}"
    );
    assert!(hint.is_some());
    image.facts = facts(r#"{ "sysctl": { "net/ipv4/ip_forward": "1" } }"#);
    let composition = composed(&image, &objects);
    assert_eq!(text(&composition, &objects, "/usr/lib/sysctl.d/60-kiln-packages.conf"), "vm/a = 1\nvm/b = 1\n");
    assert_eq!(text(&composition, &objects, "/usr/lib/sysctl.d/99-zz-kiln-image.conf"), "net/ipv4/ip_forward = 1\n");
    assert!("99-zz-kiln-image.conf" > "99-protect-links.conf");
}

#[test]
fn variables_are_merged_with_what_a_package_ships() {
    let objects = MemoryObjects::default();
    let a = declare(
        member(&objects, "a", &[("/etc/environment", "PATH=/bin\nLANG=C\n")]),
        r#"{ "environment": { "LANG": "C.UTF-8", "GREETING": " hi " } }"#,
    );
    let composition = composed(&request(vec![a.clone()]), &objects);
    assert_eq!(text(&composition, &objects, "/etc/environment"), "PATH=/bin\nGREETING=\" hi \"\nLANG=C.UTF-8\n");
    assert!(!exists(&composition, "/usr/lib/environment.d/60-kiln.conf"));
    let composition = composed(&request(vec![a.clone(), systemd(&objects)]), &objects);
    assert_eq!(
        text(&composition, &objects, "/usr/lib/environment.d/60-kiln.conf"),
        "GREETING=\" hi \"\nLANG=\"C.UTF-8\"\n"
    );
    let mut image = with_facts(request(vec![a]), r#"{ "environment": { "LANG": "de_DE.UTF-8" } }"#);
    assert!(text(&composed(&image, &objects), &objects, "/etc/environment").contains("LANG=de_DE.UTF-8\n"));
    image.files.insert(path("/etc/environment"), image_file(&objects, "LANG=fr\n", 0o644));
    assert!(refused(&image, &objects).0.contains("the image's own file says `LANG=fr`"));
}

#[test]
fn shells_that_are_declared_are_listed_and_missing_ones_told() {
    let objects = MemoryObjects::default();
    let fish = |files: &[(&str, &str)]| declare(member(&objects, "fish", files), r#"{ "shells": ["/usr/bin/fish"] }"#);
    let composition = composed(&request(vec![fish(&[("/usr/bin/fish", "#!x")])]), &objects);
    assert_eq!(text(&composition, &objects, "/etc/shells"), "# /etc/shells: valid login shells\n/usr/bin/fish\n");
    assert!(!exists(&composed(&request(vec![fish(&[])]), &objects), "/etc/shells"), "a package's is ignored");
    let image = with_facts(request(vec![]), r#"{ "shells": ["/usr/bin/zsh"] }"#);
    assert!(refused(&image, &objects).0.contains("`/usr/bin/zsh`, which is not in it"));
    let user = with_facts(request(vec![]), r#"{ "users": { "me": { "id": 1000, "shell": "/bin/zsh" } } }"#);
    assert!(messages(&composed(&user, &objects)).contains("login shell `/bin/zsh`"));
}

const KEYS: &str = r#"{ "first-boot": { "host-keys": { "summary": "Host keys of 100% of hosts", "command": ["/usr/bin/ssh-keygen", "-A", "it's $5"],
    "creates": "/etc/ssh/key", "before": ["ssh.service"] } } }"#;

#[test]
fn a_first_boot_job_is_a_unit_and_without_systemd_a_note_that_tells_the_command() {
    let objects = MemoryObjects::default();
    let keys = || declare(member(&objects, "ssh", &[]), KEYS);
    let composition = composed(&request(vec![systemd(&objects), keys()]), &objects);
    let unit = text(&composition, &objects, "/usr/lib/systemd/system/kiln-first-boot-host-keys.service");
    for line in [
        "Description=Host keys of 100%% of hosts\n",
        "ConditionPathExists=!/etc/ssh/key\n",
        "Before=ssh.service\n",
        "ExecStart=/usr/bin/ssh-keygen -A \"it's $$5\"\n",
        "WantedBy=multi-user.target\n",
    ] {
        assert!(unit.contains(line), "{line} in {unit}");
    }
    assert!(exists(&composition, "/etc/systemd/system/multi-user.target.wants/kiln-first-boot-host-keys.service"));
    let without = composed(&request(vec![keys()]), &objects);
    assert!(messages(&without).contains("/usr/bin/ssh-keygen -A 'it'\\\\''s $5'"), "{}", messages(&without));

    let early = declare(member(&objects, "ssh", &[]), &KEYS.replace("ssh.service", "ssh.socket"));
    let composition = composed(&request(vec![systemd(&objects), early]), &objects);
    let unit = text(&composition, &objects, "/usr/lib/systemd/system/kiln-first-boot-host-keys.service");
    assert!(unit.contains("DefaultDependencies=no\n") && unit.contains("WantedBy=sysinit.target\n"), "{unit}");
    let other = declare(member(&objects, "other", &[]), &KEYS.replace("-A", "-B"));
    assert!(refused(&request(vec![keys(), other]), &objects).0.contains("first-boot job `host-keys`"));
}

#[test]
fn what_is_declared_is_written_for_systemd_where_it_is_there() {
    let objects = MemoryObjects::default();
    let a = declare(
        member(&objects, "a", &[]),
        r#"{ "users": { "web": { "id": 500, "home": "/var/lib/web", "summary": "The web", "groups": ["adm"] } },
             "directories": { "/var/lib/web": { "owner": "web", "group": "web", "mode": "0750" }, "/var/run/web": {}, "/etc/web": {} },
             "links": { "/var/run": "/run" } }"#,
    );
    let composition = composed(&request(vec![a.clone(), systemd(&objects)]), &objects);
    assert_eq!(
        text(&composition, &objects, "/usr/lib/sysusers.d/kiln.conf"),
        "g web 500\nu web 500:500 \"The web\" /var/lib/web /usr/sbin/nologin\nm web adm\n"
    );
    assert_eq!(
        text(&composition, &objects, "/usr/lib/tmpfiles.d/kiln.conf"),
        "d /run/web 0755 root root - -\nd /var/lib/web 0750 web web - -\n"
    );
    // Of two lines for a path the first counts: packages' files speak for themselves, and the image before them.
    let shipped = member(&objects, "s", &[("/usr/lib/tmpfiles.d/a.conf", "d /var/lib/web 0700\nd /etc/web 0755\n")]);
    let with =
        |facts| composed(&with_facts(request(vec![a.clone(), systemd(&objects), shipped.clone()]), facts), &objects);
    assert!(!text(&with("{}"), &objects, "/usr/lib/tmpfiles.d/kiln.conf").contains("/var/lib/web"));
    let composition = with(r#"{ "directories": { "/etc/web": { "mode": "0700" } } }"#);
    assert_eq!(
        text(&composition, &objects, "/usr/lib/tmpfiles.d/00-kiln-image.conf"),
        "d /etc/web 0700 root root - -\n"
    );
    let without = composed(&request(vec![a]), &objects);
    assert!(!exists(&without, "/usr/lib/sysusers.d/kiln.conf") && !exists(&without, "/usr/lib/tmpfiles.d/kiln.conf"));
}

#[test]
fn shipped_tmpfiles_are_made_where_the_program_is_there() {
    let objects = MemoryObjects::default();
    let conf = "d /var/lib/x/y 2750 web :adm 1w\nd /run/x\nD! /var/lib/boot\nL /etc/link - - - - ../target\nL+ /etc/over - - - - new\n\
                f /var/lib/x/file 0600 web - - hello\\n\nC /etc/copy - - - - /usr/share/x/copy\nC /etc/none - - - - /none\n\
                z /usr/share/x/* 0640 - - -\nd /etc/kept 0700\nd /var/lib/ghost - ghost\np /var/lib/pipe 0600\nz /var/log/%m 0755\n";
    let x = declare(
        member(
            &objects,
            "x",
            &[
                ("/usr/lib/tmpfiles.d/x.conf", conf),
                ("/usr/share/x/copy", "copied"),
                ("/etc/over", "old"),
                ("/etc/kept/", ""),
            ],
        ),
        r#"{ "users": { "web": { "id": 500 } }, "groups": { "adm": { "id": 4 } } }"#,
    );
    let image = with_facts(
        request(vec![x.clone(), systemd(&objects)]),
        r#"{ "directories": { "/etc/kept": { "mode": "0711" } } }"#,
    );
    let composition = composed(&image, &objects);
    let meta = |name: &str| composition.tree.get(&path(name)).unwrap_or_else(|| panic!("{name}")).meta().clone();
    assert_eq!((meta("/var/lib/x/y").uid, meta("/var/lib/x/y").gid, meta("/var/lib/x/y").mode), (500, 4, 0o2750));
    assert!(
        !exists(&composition, "/run/x") && !exists(&composition, "/var/lib/boot") && !exists(&composition, "/etc/none")
    );
    assert_eq!(target(&composition, "/etc/link"), "../target");
    assert_eq!(target(&composition, "/etc/over"), "new");
    assert_eq!(
        (text(&composition, &objects, "/var/lib/x/file").as_str(), meta("/var/lib/x/file").uid),
        ("hello\n", 500)
    );
    assert_eq!(text(&composition, &objects, "/etc/copy"), "copied");
    assert_eq!(meta("/usr/share/x/copy").mode, 0o640);
    assert_eq!(meta("/etc/kept").mode, 0o711, "the image's word wins");
    assert!(matches!(composition.tree.get(&path("/var/lib/pipe")), Some(Entry::Device(..))));
    assert!(!exists(&composition, "/var/lib/ghost") && messages(&composition).contains("`ghost`"));
    assert!(
        !exists(&composed(&request(vec![x]), &objects), "/var/lib/x"),
        "nobody reads the files without the program"
    );
}
