//! What a user is told: whole messages, as they are drawn, for one mistake each. Kept in `tests/snapshots/`.

use std::collections::BTreeSet;

use kiln_model::project::parse_project_tree;

const KILN: &str = "\
kiln: 1
name: demo
origins:
  debian: { archive: deb, suite: trixie, max-age: unlimited }
environment: [debian:build-essential]
";

const RECIPE: &str = "\
name: tool
version: 1.0
summary: A tool
license: MIT
sources: [{ path: src }]
options:
  ipv6: { default: true, summary: Listen on IPv6 }
build:
  uses: make
  variables: { CC: gcc }
  after:
    - { run: echo, when: ipv6 }
";

const IMAGE: &str = "\
name: web
packages: [tool, debian:busybox-static]
run: { command: [/usr/bin/tool], ports: [8080] }
";

/// A sound project with some of its files replaced, and what is told of it.
fn told(changes: &[(&str, &str)]) -> String {
    let mut files = vec![("kiln.yaml", KILN), ("packages/tool/package.yaml", RECIPE), ("images/web.yaml", IMAGE)];
    for (path, text) in changes {
        files.retain(|(kept, _)| kept != path);
        files.push((path, text));
    }
    let mut names: BTreeSet<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
    names.extend(["packages/tool/src/main.c", "packages/tool/patches/fix.patch", "files/page.html"].map(str::to_owned));
    match parse_project_tree(files.iter().copied(), &names) {
        Ok(_) => "nothing wrong".to_owned(),
        Err(told) => told.render(Default::default()),
    }
}

/// The sound text with one passage changed.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is in the text");
    text.replacen(from, to, 1)
}

fn recipe(from: &str, to: &str) -> String {
    told(&[("packages/tool/package.yaml", &changed(RECIPE, from, to))])
}

fn image(from: &str, to: &str) -> String {
    told(&[("images/web.yaml", &changed(IMAGE, from, to))])
}

fn kiln(from: &str, to: &str) -> String {
    told(&[("kiln.yaml", &changed(KILN, from, to))])
}

#[test]
fn the_project_that_the_mistakes_are_made_in_is_sound() {
    assert_eq!(told(&[]), "nothing wrong");
}

macro_rules! mistakes {
    ($($name:ident => $told:expr;)*) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(stringify!($name), $told);
            }
        )*
    };
}

mistakes! {
    unknown_key_of_an_image => image("packages:", "pakages:");
    unknown_key_with_nothing_near => image("name: web", "name: web\nkernel-thing: x");
    wrong_type_a_text_for_a_list => image("packages: [tool, debian:busybox-static]", "packages: tool");
    wrong_type_a_list_for_a_text => recipe("summary: A tool", "summary: [A, tool]");
    wrong_type_yes_for_true => recipe("default: true", "default: yes");
    doubled_key => recipe("license: MIT", "license: MIT\nsummary: Again");
    key_without_a_value => recipe("license: MIT", "license: MIT\nauthor:");
    missing_key => recipe("license: MIT\n", "");
    comma_in_a_flow_text => recipe("summary: Listen on IPv6", "summary: Listen on IPv6, and IPv4");
    tab_for_indentation => image("run: {", "run:\n\tcommand: {");
    second_document => image("name: web", "name: web\n---\nname: other");
    aliases_and_anchors => image("[tool, debian:busybox-static]", "&all [tool]\nfiles: *all");
    several_errors_at_once => told(&[
        ("images/web.yaml", "name: Web\npackages: [tol]\noutputs: [ocy]\n"),
        ("kiln.yaml", "kiln: 2\nname: demo\n"),
    ]);
    no_project_file => {
        let names = BTreeSet::new();
        parse_project_tree([("images/web.yaml", IMAGE)], &names).unwrap_err().render(Default::default())
    };
    misnamed_file => told(&[("images/other.yml", IMAGE)]);
    cyclic_needs => told(&[
        ("packages/a/package.yaml", "name: a\nversion: 1\nsummary: A\nlicense: MIT\nneeds: [b]\nbuild: { steps: [{ run: x }] }\n"),
        ("packages/b/package.yaml", "name: b\nversion: 1\nsummary: B\nlicense: MIT\nruntime: [c]\nbuild: { steps: [{ run: x }] }\n"),
        ("packages/c/package.yaml", "name: c\nversion: 1\nsummary: C\nlicense: MIT\nneeds: [a]\nbuild: { steps: [{ run: x }] }\n"),
    ]);
    missing_patch => recipe("options:", "patches:\n  patches/fx.patch: Makes it build\noptions:");
    patch_without_a_reason => recipe("options:", "patches:\n  patches/fix.patch:\noptions:");
    path_that_leaves_the_recipe => recipe("path: src", "path: ../../secrets");
    two_images_of_one_name => told(&[("images/again.yaml", IMAGE)]);
    unknown_recipe => image("[tool,", "[busybox-static,");
    unknown_recipe_with_a_near_name => image("[tool,", "[tol,");
    unknown_origin => image("debian:busybox-static", "debain:busybox-static");
    unknown_option_of_a_recipe => image("[tool,", "[{ tool: { with: [ipv4] } },");
    option_that_changes_nothing => recipe("    - { run: echo, when: ipv6 }", "    - { run: echo }");
    undeclared_option => recipe("when: ipv6 }", "when: ipv5 }");
    unknown_builder => recipe("uses: make", "uses: mak");
    unknown_parameter_of_a_builder => recipe("variables:", "variable:");
    builder_and_steps => recipe("uses: make", "steps: [{ run: make }]\n  uses: make");
    undeclared_variable => image("[/usr/bin/tool]", "[/usr/bin/tool, \"--name={{ nmae }}\"]");
    unused_variable => kiln("name: demo", "name: demo\nvariables: { site: example.org }");
    unknown_output => image("name: web", "name: web\noutputs: [ocl]");
    not_supported_yet => told(&[
        ("images/web.yaml", &format!("{IMAGE}machine: {{ init: systemd }}\noutputs: [iso]\n")),
        ("kiln.yaml", &format!("{KILN}caches: [x]\n")),
    ]);
    extending_in_a_circle => told(&[
        ("images/web.yaml", "name: web\nextends: [a.yaml]\n"),
        ("images/a.yaml", "extends: [b.yaml]\n"),
        ("images/b.yaml", "extends: [a.yaml]\n"),
    ]);
    extending_what_is_not_there => image("name: web", "name: web\nextends: [bsae.yaml]");
    what_is_wrong_beside_extending_what_is_not_there =>
        image("name: web\n", "name: web\nextends: [bsae.yaml]\npakages: [tool]\n");
    scalar_set_twice_by_extending => told(&[
        ("images/web.yaml", &format!("{IMAGE}extends: [base.yaml]\n").replace("ports:", "user: \"1\", ports:")),
        ("images/base.yaml", "run: { user: nobody }\n"),
    ]);
    file_of_no_image => told(&[("images/base.yaml", "packages: [tool]\n")]);
    wrong_digest => recipe("{ path: src }", "{ url: \"https://example.org/a.tar\", sha256: abc }");
    address_that_runs_programs => recipe("{ path: src }", "{ git: \"ext::sh -c id\", rev: main }");
    two_sources_in_one_folder => recipe("[{ path: src }]", "[{ path: src }, { path: src }]");
    source_of_two_kinds => recipe("{ path: src }", "{ path: src, url: \"https://example.org/a.tar\" }");
    missing_max_age_is_no_error_but_a_wrong_one_is => kiln("max-age: unlimited", "max-age: forever");
    bad_mode_and_path_of_a_file => image(
        "name: web",
        "name: web\nfiles:\n  etc/motd: { content: x }\n  /etc/issue: { content: x, mode: \"0999\" }\n  /a/../b: { content: x }",
    );
    unit_of_an_image_that_is_not_there => image("name: web", "name: web\nfacts: { services: { web: { unit: files/pag.html } } }");
    unit_of_a_recipe_that_is_not_there => recipe("license: MIT", "license: MIT\nfacts: { services: { tool: { unit: files/tool.service } } }");
    unit_that_is_a_file_already => image(
        "name: web",
        "name: web\nfiles: { /usr/lib/systemd/system/web.service: { content: x } }\nfacts: { services: { web: { unit: files/page.html } } }",
    );
    service_that_is_no_unit_or_both_ways => image(
        "name: web",
        "name: web\nfacts:\n  services:\n    a/b: {}\n    web: { enabled: true, masked: true }",
    );
    files_among_the_facts_of_an_image => image("name: web", "name: web\nfacts: { files: { /etc/x: { content: x } } }");
    facts_of_a_system_in_a_wrong_form => image(
        "name: web",
        "name: web\nfacts:\n  sysctl: { ip_forward: \"1\" }\n  environment: { A-B: x }\n  first-boot: { key: { summary: Key, command: [keygen], creates: /k } }",
    );
    file_that_is_not_there => image("name: web", "name: web\nfiles: { /a: { source: files/pag.html } }");
    merge_conflict => image("name: web", "<<<<<<< ours\nname: web");
    terminal_escapes_in_a_text => image("name: web", "name: \"\\e[31mweb\"");
}
