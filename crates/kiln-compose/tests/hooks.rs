//! What becomes of hooks in an image: facts, rules, words of the image, errors, and the account of it all.

mod fixture;

use std::sync::Arc;

use fixture::{accepted, composed, hook, member, path, refused, replaced, request, target, text};
use kiln_compose::audit::{Audit, Fate, Standing, audit};
use kiln_compose::{Answer, Member, Request, Sayer};
use kiln_model::{MemoryObjects, rule};

const STATE: &str = "#!/bin/sh\nset -e\nmkdir -p /var/lib/a\nchmod 0700 /var/lib/a\n";
const STRANGE: &str = "#!/bin/sh\nset -e\nmkdir -p /var/lib/a\nfrobnicate --all\n";

fn with(objects: &MemoryObjects, name: &str, postinst: &str) -> Member {
    hook(member(objects, name, &[("/usr/share/a/template", "1"), ("/var/lib/", "")]), objects, "postinst", postinst)
}

fn account(request: &Request, objects: &MemoryObjects) -> Audit {
    audit(request, objects).unwrap()
}

#[test]
fn what_cannot_be_followed_is_an_error_with_all_its_lines_and_the_way_out() {
    let objects = MemoryObjects::default();
    let request = request(vec![with(&objects, "a", STRANGE), with(&objects, "b", STRANGE), with(&objects, "c", STATE)]);
    let (error, hint) = refused(&request, &objects);
    for part in ["2 packages", "  debian:a\n    postinst:4 `frobnicate --all`: what `frobnicate` does", "  debian:b\n"]
    {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(!error.contains("debian:c"), "{error}");
    let hint = hint.unwrap();
    for part in ["hooks:\n  debian:a: { accept: \"WHY\" }\n  debian:b: { accept: \"WHY\" }", "reason:", "kiln.yaml"] {
        assert!(hint.contains(part), "{part} in {hint}");
    }
    // The account can be had of it all the same.
    let account = account(&request, &objects);
    assert_eq!((account.totals.not_followed, account.totals.facts), (2, 4), "{account:?}");
}

#[test]
fn templates_too_large_to_read_are_not_taken_for_none() {
    let objects = MemoryObjects::default();
    let script = "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\ndb_get a/place\nmkdir \"/var/lib/$RET\"\n";
    let question = "Template: a/place\nType: string\nDefault: a\nDescription: The place\n";
    // The largest of Debian's are of this size.
    let long = format!("{question} {}\n", "x".repeat(600 << 10));
    let read = request(vec![hook(with(&objects, "a", script), &objects, "templates", &long)]);
    assert!(composed(&read, &objects).tree.get(&path("/var/lib/a")).is_some());
    let long = format!("{question} {}\n", "x".repeat(5 << 20));
    let unread = request(vec![hook(with(&objects, "a", script), &objects, "templates", &long)]);
    let (error, _) = refused(&unread, &objects);
    assert!(error.contains("templates:1") && error.contains("larger than 4096 kB"), "{error}");
}

#[test]
fn what_is_accepted_leaves_what_was_followed() {
    let objects = MemoryObjects::default();
    let mut request = request(vec![with(&objects, "a", STRANGE)]);
    request.hooks.insert("debian:a".parse().unwrap(), accepted("nobody frobnicates here"));
    let composition = composed(&request, &objects);
    assert_eq!(composition.warnings, []);
    assert!(composition.tree.get(&path("/var/lib/a")).is_some());
    let account = account(&request, &objects);
    let stands = account.packages[0].stands.as_ref().unwrap();
    assert_eq!((stands.by, stands.reason.as_str()), (Standing::AcceptedByImage, "nobody frobnicates here"));
    assert_eq!((account.totals.accepted, account.totals.not_followed, account.totals.facts), (1, 0, 1));
}

#[test]
fn facts_of_the_image_stand_in_place_of_all_that_hooks_do() {
    let objects = MemoryObjects::default();
    let mut request = request(vec![with(&objects, "a", STRANGE)]);
    let facts = r#"{"links":{"/etc/a":"/usr/share/a/template"}}"#;
    request.hooks.insert("debian:a".parse().unwrap(), replaced("It links its template", facts));
    let composition = composed(&request, &objects);
    assert_eq!(target(&composition, "/etc/a"), "/usr/share/a/template");
    assert!(composition.tree.get(&path("/var/lib/a")).is_none(), "what was followed does not count");
    let account = account(&request, &objects);
    let stands = account.packages[0].stands.as_ref().unwrap();
    assert_eq!((stands.by, stands.declares[0].about.as_str()), (Standing::ReplacedByImage, "/etc/a"));
    assert_eq!((account.totals.replaced, account.totals.facts), (1, 0));
}

#[test]
fn what_an_image_says_of_hooks_without_effect_is_refused_with_its_place() {
    let objects = MemoryObjects::default();
    let followed = r#"{"directories":{"/var/lib/a":{"mode":"0700"}}}"#;
    for (member, word, why) in [
        (with(&objects, "a", STATE), accepted("x"), "all of them is followed"),
        (with(&objects, "a", STATE), replaced("x", followed), "followed to these very facts"),
        (with(&objects, "b", STATE), accepted("x"), "`debian:a` is not in the image"),
        (fixture::member(&objects, "a", &[]), accepted("x"), "has no hooks"),
    ] {
        let mut request = request(vec![member]);
        request.hooks.insert("debian:a".parse().unwrap(), word);
        let (error, hint) = refused(&request, &objects);
        assert!(error.contains("images/test.yaml:3:5: ") && error.contains(why), "{why} in {error}");
        assert!(hint.unwrap().contains("take out"));
    }
}

#[test]
fn what_the_project_says_counts_in_every_image_and_needs_an_effect_in_none() {
    let objects = MemoryObjects::default();
    let mut word = accepted("x");
    word.by = Sayer::Project;
    for member in [with(&objects, "a", STRANGE), with(&objects, "a", STATE), with(&objects, "b", STATE)] {
        let mut request = request(vec![member]);
        request.hooks.insert("debian:a".parse().unwrap(), word.clone());
        composed(&request, &objects);
    }
    let mut request = request(vec![member(&objects, "a", &[])]);
    request.hooks.insert("debian:a".parse().unwrap(), word);
    assert!(refused(&request, &objects).0.contains("has no hooks"), "that is so in every image");
}

#[test]
fn a_rule_stands_for_hooks_but_for_their_units_and_alternatives() {
    let objects = MemoryObjects::default();
    let postinst =
        "#!/bin/sh\nmkdir /var/lib/a\nupdate-alternatives --install /usr/bin/x x /usr/share/a/template 5\nfrobnicate\n";
    let rules = "rules:\n  - packages: [a]\n    reason: It frobnicates.\n    facts: { directories: { /srv/a: {} }, first-boot: { key: { summary: k, command: [/bin/k], creates: /etc/k } } }\n";
    let rule = rule::parse("rules/own.yaml", rules).unwrap().rules.remove(0);
    let mut a = with(&objects, "a", postinst);
    a.rule = Some(Arc::new(rule));
    let mut request = request(vec![a]);
    let composition = composed(&request, &objects);
    assert!(composition.tree.get(&path("/srv/a")).is_some() && composition.tree.get(&path("/var/lib/a")).is_none());
    assert_eq!(target(&composition, "/etc/alternatives/x"), "/usr/share/a/template");
    let account = account(&request, &objects);
    let stands = account.packages[0].stands.as_ref().unwrap();
    assert_eq!((stands.by, stands.place.as_str()), (Standing::Rule, "rules/own.yaml"));
    assert_eq!((account.totals.rules, account.totals.first_boot, account.totals.facts), (1, 1, 1));
    request.hooks.insert("debian:a".parse().unwrap(), accepted("x"));
    assert!(refused(&request, &objects).0.contains("a rule in `rules/own.yaml` stands"));
}

#[test]
fn alternatives_of_a_rule_are_all_there_are() {
    let objects = MemoryObjects::default();
    // The hook names the very path of the rule in another way, as hooks of before the merged `/usr` do.
    let postinst = "#!/bin/sh\nupdate-alternatives --install /lib/x x /usr/share/a/template 5\n";
    let text = "rules:\n  - packages: [a]\n    reason: x\n    facts: { alternatives: { /usr/lib/x: { to: /usr/share/a/template, priority: 5 } } }\n";
    let mut a = with(&objects, "a", postinst);
    a.rule = Some(Arc::new(rule::parse("rules/own.yaml", text).unwrap().rules.remove(0)));
    let request = request(vec![a]);
    assert_eq!(target(&composed(&request, &objects), "/etc/alternatives/x"), "/usr/share/a/template");
    assert_eq!(account(&request, &objects).packages[0].commands, []);
}

#[test]
fn a_rule_that_adds_leaves_what_is_read_and_accepts_the_rest() {
    let objects = MemoryObjects::default();
    let text = "rules:\n  - packages: [a]\n    adds: true\n    reason: It frobnicates.\n    facts: { directories: { /srv/a: {} } }\n";
    let mut a = with(&objects, "a", STRANGE);
    a.rule = Some(Arc::new(rule::parse("rules/own.yaml", text).unwrap().rules.remove(0)));
    let request = request(vec![a]);
    let composition = composed(&request, &objects);
    assert!(composition.tree.get(&path("/srv/a")).is_some() && composition.tree.get(&path("/var/lib/a")).is_some());
    let account = account(&request, &objects);
    assert_eq!(account.packages[0].stands.as_ref().unwrap().by, Standing::RuleAdds);
    assert_eq!((account.totals.rules, account.totals.facts, account.totals.accepted), (1, 1, 1));
}

#[test]
fn permissions_of_a_path_that_another_brings_hold_there_and_are_told() {
    let objects = MemoryObjects::default();
    let postinst = "#!/bin/sh\ndpkg-statoverride --update --add root mail 2755 /usr/share/other\n";
    let alone = request(vec![with(&objects, "a", postinst)]);
    let told = account(&alone, &objects).packages.remove(0).commands.remove(0);
    assert_eq!((told.line, told.fate), (2, Fate::Elsewhere { path: "/usr/share/other".to_owned() }));
    composed(&alone, &objects);
    // What a file of the image brings is there when the permissions are given.
    let mut request = request(vec![with(&objects, "a", postinst)]);
    request.files.insert(path("/usr/share/other"), fixture::image_file(&objects, "x", 0o644));
    let composition = composed(&request, &objects);
    assert_eq!(composition.tree.get(&path("/usr/share/other")).unwrap().meta().mode, 0o2755);
}

#[test]
fn triggers_stand_in_the_account_with_what_serves_them() {
    let objects = MemoryObjects::default();
    let libc = hook(member(&objects, "libc-bin", &[]), &objects, "triggers", "interest ldconfig\n");
    let lib = hook(
        member(&objects, "liba", &[]),
        &objects,
        "triggers",
        "activate-noawait ldconfig\nactivate-noawait other\n",
    );
    let odd = hook(member(&objects, "odd", &[]), &objects, "triggers", "interest /usr/share/odd\n");
    let brings = member(&objects, "brings", &[("/usr/share/odd/x", "")]);
    let account = account(&request(vec![libc, lib, odd, brings]), &objects);
    let json = serde_json::to_value(&account).unwrap();
    assert_eq!(json["packages"][0]["package"], "debian:liba");
    assert_eq!(json["packages"][0]["triggers"][0]["finalizer"], "ld.so.cache");
    assert_eq!(json["packages"][0]["triggers"][0]["relation"], "activates");
    assert_eq!(json["packages"][0]["triggers"][1]["became"], "unheard");
    assert_eq!(json["packages"][2]["triggers"][0]["became"], "unserved");
    assert_eq!(json["totals"]["triggers-without-service"], 1);
}

const TEMPLATES: &str = "Template: a/start\nType: boolean\nDefault: false\n\nTemplate: a/mode\nType: select\nChoices: small, large\nDefault: small\n\nTemplate: a/note\nType: note\n";
const ASKING: &str =
    "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\ndb_get a/mode\necho \"mode=$RET\" > /etc/a.conf\n";

#[test]
fn an_answer_of_the_image_takes_the_place_of_the_default() {
    let objects = MemoryObjects::default();
    let asking = || hook(with(&objects, "a", ASKING), &objects, "templates", TEMPLATES);
    let answered = |question: &str, answer: &str| {
        let mut request = request(vec![asking()]);
        let answer = Answer { text: answer.to_owned(), place: "images/test.yaml:9:7".to_owned() };
        request.answers.insert("debian:a".parse().unwrap(), [(question.to_owned(), answer)].into());
        request
    };
    assert_eq!(text(&composed(&request(vec![asking()]), &objects), &objects, "/etc/a.conf"), "mode=small\n");
    assert_eq!(text(&composed(&answered("a/mode", "large"), &objects), &objects, "/etc/a.conf"), "mode=large\n");
    for (question, answer, why) in [
        ("a/mode", "huge", "the answer is one of `small`, `large`"),
        ("a/moed", "large", "has no question `a/moed`; it has `a/mode`, `a/start`"),
        ("a/note", "true", "takes no answer"),
        ("a/start", "true", "no hook that is followed asks"),
    ] {
        let (error, _) = refused(&answered(question, answer), &objects);
        assert!(error.contains("images/test.yaml:9:7: ") && error.contains(why), "{why} in {error}");
    }
    let mut elsewhere = answered("a/mode", "large");
    elsewhere.members = vec![member(&objects, "b", &[])];
    assert!(refused(&elsewhere, &objects).0.contains("`debian:a` is not in the image"));
}

#[test]
fn a_hook_that_gives_a_path_away_leaves_it_the_mode_that_the_package_ships() {
    let objects = MemoryObjects::default();
    let files = [("/etc/a.conf", "a"), ("/usr/bin/a", "#!a"), ("/etc/b/", "")];
    let shipped = r#"{ "permissions": { "/etc/a.conf": { "mode": "0640" }, "/usr/bin/a": { "mode": "0744" } } }"#;
    let script = "#!/bin/sh\nset -e\naddgroup --system g\nchgrp g /etc/a.conf\nln /usr/bin/a /etc/b/a\ncp /usr/bin/a /etc/b/c\n\
                  chmod o+x /usr/bin/a\n";
    let a = hook(fixture::declare(member(&objects, "a", &files), shipped), &objects, "postinst", script);
    let tree = composed(&request(vec![a]), &objects).tree;
    let meta = |at: &str| tree.get(&path(at)).unwrap().meta().clone();
    assert_eq!(meta("/etc/a.conf").mode, 0o640);
    assert_ne!(meta("/etc/a.conf").gid, 0, "and it is the group's");
    assert_eq!((meta("/etc/b/a").mode, meta("/etc/b/c").mode), (0o744, 0o744));
    assert_eq!(meta("/usr/bin/a").mode, 0o745, "what is changed is the mode that is shipped");
}
