//! Hooks as a user meets them: the account of an image's, the last word on them, answers, a project's own rules.

use testkit::Deb;

use crate::world::{Project, World};

const DAEMON: &str = "#!/bin/sh\nset -e\nadduser --system --group --home /var/lib/daemon daemon-user\n\
                      install -d -o daemon-user /var/lib/daemon\ndaemon-setup --first\n";
const ASKING: &str =
    "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\ndb_get asking/mode\necho \"mode=$RET\" > /etc/asking.conf\n";
const TEMPLATES: &str =
    "Template: asking/mode\nType: select\nChoices: small, large\nDefault: small\nDescription: How large?\n";

fn world() -> World {
    let daemon = Deb::new("daemon", "1.0").file("usr/share/daemon/x", "x\n").hook("postinst", DAEMON);
    let asking = Deb::new("asking", "1.0").file("usr/share/asking/x", "x\n");
    World::with(&[daemon, asking.hook("postinst", ASKING).hook("templates", TEMPLATES)])
}

fn project<'w>(world: &'w World, more: &str) -> Project<'w> {
    let project = world.bare("p");
    project.image("web", &format!("packages: [debian:hello, debian:daemon, debian:asking]\n{more}"));
    project.lock();
    project
}

const ACCEPT: &str = "hooks:\n  debian:daemon: { accept: It is set up by hand }\n";

#[test]
fn the_account_of_an_image_can_be_had_before_it_builds() {
    let world = world();
    let project = project(&world, "");
    project.kiln(&["build"]).failed(1, &["debian:daemon", "postinst:5 `daemon-setup --first`", "kiln audit"]);
    let account = project.kiln(&["audit", "web"]).done();
    for line in [
        "debian:asking 1.0\n",
        "  postinst:5  fact         file /etc/asking.conf\n",
        "  postinst:3  fact         user daemon-user\n",
        "  postinst:5  not followed `daemon-setup --first`: what `daemon-setup` does is not known\n",
        "web: 2 of 3 packages have hooks\n",
        "1 commands are not followed: the image does not build\n",
    ] {
        assert!(account.stdout.contains(line), "nothing says `{line}`:\n{account}");
    }
    let json = project.json(&["audit", "--json"]);
    assert_eq!((&json["image"], &json["totals"]["not-followed"]), (&"web".into(), &1.into()));
    assert_eq!(json["packages"][1]["package"], "debian:daemon");
    let last = json["packages"][1]["commands"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["became"], &last["line"]), (&"not-followed".into(), &5.into()));
}

#[test]
fn a_word_of_the_image_is_told_in_its_account_and_one_without_effect_is_refused() {
    let world = world();
    let project = project(&world, ACCEPT);
    project.kiln(&["build"]).done();
    let account = project.kiln(&["audit"]).done();
    assert!(account.stdout.contains("accepted (images/web.yaml:4:3): It is set up by hand\n"), "{account}");
    assert!(account.stdout.contains("accepted     `daemon-setup --first`"), "{account}");
    let idle =
        format!("{ACCEPT}  debian:asking: {{ accept: nothing to say }}\n  debian:hello: {{ accept: nothing }}\n");
    project.image("web", &format!("packages: [debian:hello, debian:daemon, debian:asking]\n{idle}"));
    project
        .kiln(&["build"])
        .failed(1, &["images/web.yaml:5:3: nothing is left", "images/web.yaml:6:3: `debian:hello` has no"]);
    project.image("web", "packages: [debian:daemon]\nhooks: { debian:daemon: { reason: By hand, facts: { links: { /etc/d: /srv } } } }\n");
    project.lock();
    let root = project.built("web");
    assert!(root.join("etc/d").is_symlink() && !root.join("var/lib/daemon").exists());
    project.edit("kiln.yaml", "environment:", "hooks: { debian:daemon: { accept: twice } }\nenvironment:");
    project.image("web", "packages: [debian:daemon]\nhooks: { debian:daemon: { accept: twice } }\n");
    project.kiln(&["build"]).failed(2, &["images/web.yaml:3:10", "the project says the same"]);
}

#[test]
fn what_the_project_says_is_said_of_packages_that_the_lock_pins() {
    let world = world();
    let project = project(&world, "");
    project.edit(
        "kiln.yaml",
        "environment:",
        "hooks: { debian:daemon: { accept: By hand }, debian:nobody: { accept: x } }\nenvironment:",
    );
    project.kiln(&["build"]).failed(2, &["kiln.yaml:5", "nothing here has the package `debian:nobody`"]);
    project.edit("kiln.yaml", ", debian:nobody: { accept: x }", "");
    project.kiln(&["build"]).done();
}

#[test]
fn a_rule_of_the_project_stands_for_hooks_and_a_wrong_one_is_refused_with_its_place() {
    let world = world();
    let project = project(&world, "");
    let rule = "rules:\n  - packages: [daemon]\n    versions: '>= 1'\n    reason: Makes its folder.\n    facts: { directories: { /srv/daemon: {} } }\n";
    project.write("rules/own.yaml", rule);
    let root = project.built("web");
    assert!(root.join("srv/daemon").is_dir() && !root.join("var/lib/daemon").exists());
    let account = project.kiln(&["audit"]).done();
    assert!(
        account.stdout.contains("postinst: rule (rules/own.yaml): Makes its folder.\n    directory /srv/daemon\n"),
        "{account}"
    );
    project.edit("rules/own.yaml", "'>= 1'", "'>= 2'");
    project.kiln(&["build"]).failed(1, &["debian:daemon"]);
    project.edit("rules/own.yaml", "reason:", "because:");
    project.kiln(&["build"]).failed(2, &["rules/own.yaml:4", "unknown key `because`"]);
    project.write("rules/own.yml", rule);
    project.kiln(&["build"]).failed(2, &["Kiln does not read `rules/own.yml`"]);
}

#[test]
fn answers_of_an_image_are_checked_and_used() {
    let world = world();
    let project = project(&world, &format!("{ACCEPT}answers: {{ debian:asking: {{ asking/mode: large }} }}\n"));
    let text = std::fs::read_to_string(project.built("web").join("etc/asking.conf")).unwrap();
    assert_eq!(text, "mode=large\n");
    project.edit("images/web.yaml", "large", "huge");
    project.kiln(&["build"]).failed(1, &["images/web.yaml:5:42: `huge` does not answer", "`small`, `large`"]);
    project.edit("images/web.yaml", "asking/mode: huge", "asking/mood: large");
    project.kiln(&["build"]).failed(1, &["images/web.yaml:5:42: ", "no question `asking/mood`"]);
}
