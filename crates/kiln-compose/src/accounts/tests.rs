//! Tests of accounts: where names and numbers come from, and who wins.

use kiln_model::Facts;

use super::gather::{Reference, Sources, resolve};
use super::*;

fn facts(json: &str) -> Facts {
    serde_json::from_str(json).unwrap()
}

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn sources<'a>(packages: &[(&str, &'a Facts)]) -> Sources<'a> {
    Sources {
        facts: packages.iter().map(|(owner, facts)| ((*owner).to_owned(), *facts)).collect(),
        root_shell: "/bin/sh".into(),
        ..Sources::default()
    }
}

fn user<'a>(accounts: &'a Accounts, text: &str) -> &'a ResolvedUser {
    &accounts.users[&name(text)]
}

#[test]
fn an_image_of_nothing_has_root_and_nobody() {
    let (accounts, _) = resolve(&sources(&[])).unwrap();
    assert_eq!(accounts.users.keys().map(AccountName::as_str).collect::<Vec<_>>(), ["nobody", "root"]);
    assert_eq!(user(&accounts, "root").shell, "/bin/sh");
    assert_eq!(accounts.allotted, AccountIds::default());
}

#[test]
fn a_user_and_its_group_get_one_number_that_the_lock_keeps() {
    let web = facts(r#"{ "users": { "web": { "home": "/srv" } } }"#);
    let mut sources = sources(&[("a", &web)]);
    let (accounts, _) = resolve(&sources).unwrap();
    let uid = user(&accounts, "web").uid;
    assert!((101..=999).contains(&uid));
    assert_eq!(accounts.groups[&name("web")].gid, uid);
    assert_eq!(accounts.allotted.users[&name("web")], uid);
    sources.locked.users.insert(name("web"), 777);
    let (accounts, _) = resolve(&sources).unwrap();
    assert_eq!((user(&accounts, "web").uid, accounts.allotted.users[&name("web")]), (777, 777));
}

#[test]
fn a_locked_number_that_a_declaration_takes_is_allotted_anew() {
    let both = facts(r#"{ "users": { "old": {}, "new": { "id": 300 } } }"#);
    let mut sources = sources(&[("a", &both)]);
    sources.locked.users.insert(name("old"), 300);
    let (accounts, _) = resolve(&sources).unwrap();
    assert_eq!(user(&accounts, "new").uid, 300);
    assert_ne!(user(&accounts, "old").uid, 300);
}

#[test]
fn two_declarations_that_differ_name_both_and_the_image_decides() {
    let (a, b) =
        (facts(r#"{ "users": { "web": { "home": "/a" } } }"#), facts(r#"{ "users": { "web": { "home": "/b" } } }"#));
    let image = facts(r#"{ "users": { "web": { "home": "/c" } } }"#);
    let mut sources = sources(&[("package `a`", &a), ("package `b`", &b)]);
    let error = resolve(&sources).unwrap_err();
    assert_eq!(error.to_string(), "user `web` has home `/a` by package `a`, but `/b` by package `b`");
    assert!(error.hint().unwrap().contains("the image's word wins"));
    sources.image = Some(&image);
    assert_eq!(user(&resolve(&sources).unwrap().0, "web").home, "/c");
}

#[test]
fn declarations_that_say_different_things_add_up() {
    let (a, b) = (
        facts(r#"{ "users": { "web": { "home": "/a" } }, "groups": { "tls": { "members": ["web"] } } }"#),
        facts(r#"{ "users": { "web": { "shell": "/bin/sh", "groups": ["adm"] } } }"#),
    );
    let (accounts, _) = resolve(&sources(&[("a", &a), ("b", &b)])).unwrap();
    let web = user(&accounts, "web");
    assert_eq!((web.home.as_str(), web.shell.as_str()), ("/a", "/bin/sh"));
    for group in ["tls", "adm"] {
        assert!(accounts.groups[&name(group)].members.contains("web"), "{group}");
    }
    assert_eq!(accounts.groups[&name("adm")].gid, 4);
}

#[test]
fn the_systems_own_table_stays_but_for_what_the_image_says() {
    let package = facts(r#"{ "users": { "www-data": { "home": "/elsewhere" } } }"#);
    let image = facts(r#"{ "users": { "www-data": { "shell": "/bin/sh" } } }"#);
    let mut sources = sources(&[("a", &package)]);
    sources.passwd =
        Some((TreePath::root(), b"root:*:0:0::/root:/bin/sh\nwww-data:*:33:33:www:/var/www:/n\n".to_vec()));
    sources.group = Some((TreePath::root(), b"root:*:0:\nwww-data:*:33:\n".to_vec()));
    sources.image = Some(&image);
    let (accounts, _) = resolve(&sources).unwrap();
    let user = user(&accounts, "www-data");
    assert_eq!((user.uid, user.home.as_str(), user.shell.as_str()), (33, "/var/www", "/bin/sh"));
    let wrong = facts(r#"{ "users": { "www-data": { "id": 34 } } }"#);
    sources.facts = vec![("a".into(), &wrong)];
    assert!(matches!(resolve(&sources), Err(AccountError::Conflict(_))));
}

#[test]
fn sysusers_come_last_and_their_groups_with_them() {
    let facts = facts(r#"{ "users": { "web": { "home": "/facts" } } }"#);
    let mut sources = sources(&[("a", &facts)]);
    let text = b"u web 450 \"Web\" /sysusers\nu other - - /o\ng video -\nm other kvm\nz nonsense\n".to_vec();
    sources.sysusers = vec![("usr/lib/sysusers.d/x.conf".parse().unwrap(), text)];
    let (accounts, warnings) = resolve(&sources).unwrap();
    assert_eq!((user(&accounts, "web").home.as_str(), user(&accounts, "web").summary.as_str()), ("/facts", "Web"));
    assert_eq!(accounts.groups[&name("video")].gid, 44);
    assert!(accounts.groups[&name("kvm")].members.contains("other"));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("x.conf") && warnings[0].contains("line 5"));
}

#[test]
fn what_nothing_declares_is_refused_with_who_wants_it() {
    let mut sources = sources(&[]);
    let reference =
        |kind, text: &str| Reference { kind, name: name(text), by: "package `a`".into(), purpose: "for x".into() };
    sources.references = vec![reference(AccountKind::Group, "ghosts")];
    assert!(resolve(&sources).unwrap_err().to_string().contains("package `a` names group `ghosts` for x"));
    sources.references = vec![reference(AccountKind::User, "www-data"), reference(AccountKind::Group, "adm")];
    assert_eq!(user(&resolve(&sources).unwrap().0, "www-data").uid, 33, "a well-known name needs no declaration");
    let member = facts(r#"{ "groups": { "g": { "members": ["ghost"] } } }"#);
    sources.facts = vec![("package `b`".into(), &member)];
    assert!(resolve(&sources).unwrap_err().to_string().contains("`ghost` as a member of group `g`"));
}

#[test]
fn one_number_for_two_names_and_texts_that_break_the_file_are_refused() {
    let twice = facts(r#"{ "users": { "a": { "id": 5000 }, "b": { "id": 5000 } } }"#);
    let error = resolve(&sources(&[("p", &twice)])).unwrap_err();
    assert_eq!(error.to_string(), "users `a` and `b` are both declared with number 5000");
    for field in [r#""summary": "x:0:0""#, r#""summary": "x\nroot2:x:0:0""#] {
        let evil = facts(&format!(r#"{{ "users": {{ "a": {{ {field} }} }} }}"#));
        assert!(matches!(resolve(&sources(&[("p", &evil)])), Err(AccountError::Unwritable { .. })), "{field}");
    }
}

#[test]
fn numbers_run_out_with_an_error_not_a_repeat() {
    let many: Vec<String> = (0..1000).map(|n| format!(r#""u{n}": {{}}"#)).collect();
    let many = facts(&format!(r#"{{ "users": {{ {} }} }}"#, many.join(",")));
    assert!(matches!(resolve(&sources(&[("p", &many)])), Err(AccountError::NoneLeft { .. })));
}
