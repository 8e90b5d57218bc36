//! What a sound project means: inheritance, options, what is asked of the lock and when that is stale.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::diagnostic::Diagnostics;
use kiln_model::lock::{Lock, LockedOrigin, LockedSource, LockedTarget, Staleness, TargetKey};
use kiln_model::project::{LoadedProject, parse_project_tree};
use kiln_model::recipe::BuildVars;
use kiln_model::{Architecture, Digest, PackageRef};
use proptest::prelude::*;

const KILN: &str = "\
kiln: 1
name: demo
origins:
  debian: { archive: deb, suite: trixie, components: [main, contrib], max-age: 30d }
environment: [debian:build-essential]
options: { server: { without: [tls] } }
variables: { site: example.org }
";

const SERVER: &str = "\
name: server
version: 1.10
summary: A server
license: MIT
sources:
  - { url: \"https://example.org/server-{{ version }}.tar.gz\", sha256: 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d }
options:
  tls: { default: true, summary: Encrypt }
  ipv6: { default: false, summary: Listen on IPv6 }
needs: [library, { when: tls, package: debian:libssl-dev }]
runtime: [plugins, { unless: ipv6, package: debian:legacy }]
build:
  env: { SITE: \"{{ site }}\" }
  steps:
    - { name: compile, run: \"make -j{{ jobs }} DIR={{ multiarch }}\" }
    - { run: \"make DESTDIR={{ out }} install-v6\", when: ipv6 }
";

fn plain(name: &str, more: &str) -> String {
    format!("name: {name}\nversion: 1\nsummary: X\nlicense: MIT\nbuild: {{ steps: [{{ run: make }}] }}\n{more}")
}

fn try_load(files: &[(&str, &str)]) -> Result<LoadedProject, Diagnostics> {
    let mut names: BTreeSet<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
    names.insert("packages/base/fix.patch".to_owned());
    parse_project_tree(files.iter().copied(), &names)
}

fn load(files: &[(&str, &str)]) -> LoadedProject {
    try_load(files).unwrap_or_else(|told| panic!("{}", told.render(Default::default())))
}

fn demo(image: &str) -> LoadedProject {
    load(&[
        ("kiln.yaml", KILN),
        ("packages/server/package.yaml", SERVER),
        ("packages/library/package.yaml", &plain("library", "runtime: [debian:zlib1g]\n")),
        ("packages/plugins/package.yaml", &plain("plugins", "runtime: [debian:lua5.4, server]\n")),
        ("images/web.yaml", image),
    ])
}

fn requests(project: &LoadedProject, target: &str) -> Vec<String> {
    let targets = project.wanted_targets(Architecture::Amd64);
    let found =
        targets.iter().find(|wanted| wanted.name == target).unwrap_or_else(|| panic!("{target} in {targets:?}"));
    found.requests.keys().map(PackageRef::to_string).collect()
}

#[test]
fn a_version_keeps_the_text_it_was_written_with() {
    let project = demo("name: web\npackages: [server]\n");
    let recipe = &project.recipes["server"];
    assert_eq!(recipe.version.as_str(), "1.10");
    assert_eq!(
        project.wanted_sources()[0].source.kind.to_string(),
        "https://example.org/server-1.10.tar.gz (6e340b9cffb3)"
    );
}

#[test]
fn steps_hold_what_options_say_and_no_number_of_cores() {
    let project = demo("name: web\npackages: [server]\n");
    let recipe = &project.recipes["server"];
    let vars = BuildVars::new(recipe, Architecture::Arm64);
    let variant = project.variant(&recipe.name).unwrap();
    let steps = recipe.steps(&variant.options, &vars);
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].name, "compile");
    assert_eq!(steps[0].run, "export SITE=example.org\nmake -j${KILN_JOBS} DIR=aarch64-linux-gnu");
    let mut options = variant.options.clone();
    options.insert("ipv6".parse().unwrap(), true);
    let steps = recipe.steps(&options, &vars);
    assert_eq!((steps.len(), &*steps[1].name), (2, "step 2"));
    assert!(steps[1].run.ends_with("make DESTDIR=/out install-v6"));
}

#[test]
fn an_image_has_the_last_word_on_options() {
    let project = demo("name: web\npackages: [server: { with: [tls, ipv6] }]\n");
    let labels: Vec<String> = project.variants().into_keys().collect();
    assert_eq!(labels, ["library", "plugins", "server[!tls]", "server[ipv6]"]);
}

#[test]
fn targets_ask_for_what_is_needed_and_no_more() {
    let project = demo("name: web\npackages: [server: { with: [tls, ipv6] }, debian:busybox]\n");
    assert_eq!(requests(&project, "environment"), ["debian:build-essential", "debian:@essential"]);
    assert_eq!(
        requests(&project, "recipe:server[!tls]:build"),
        ["debian:build-essential", "debian:zlib1g", "debian:@essential"]
    );
    assert_eq!(
        requests(&project, "recipe:server[ipv6]:build"),
        ["debian:build-essential", "debian:libssl-dev", "debian:zlib1g", "debian:@essential"]
    );
    assert_eq!(requests(&project, "recipe:server[!tls]:runtime"), ["debian:legacy", "debian:lua5.4"]);
    assert_eq!(requests(&project, "image:web"), ["debian:busybox", "debian:lua5.4"]);
}

#[test]
fn a_recipe_on_a_base_appends_merges_and_overrides() {
    let base = "name: base\nversion: 1\nsummary: B\nlicense: MIT\nsources: [{ path: . }]\npatches: { fix.patch: Why }\n\
                needs: [debian:a]\nbuild: { uses: make, targets: [all], variables: { A: \"1\", B: \"2\" } }\n";
    let heir = "name: heir\nbase: base\nversion: 2\nneeds: [debian:b]\nbuild: { targets: !replace [lib], variables: { B: \"3\" } }\n";
    let other = "name: other\nbase: base\nsummary: O\nneeds: !replace []\nbuild: { steps: [{ run: cc }] }\n";
    let project = load(&[
        (
            "kiln.yaml",
            KILN.replace("options: { server: { without: [tls] } }\nvariables: { site: example.org }\n", "").as_str(),
        ),
        ("packages/base/package.yaml", base),
        ("packages/heir/package.yaml", heir),
        ("packages/other/package.yaml", other),
    ]);
    let heir = &project.recipes["heir"];
    assert_eq!((heir.version.as_str(), &*heir.summary, heir.needs.len()), ("2", "B", 2));
    assert_eq!(heir.patches[0].path.to_string(), "packages/base/fix.patch", "a path stays with who wrote it");
    let scripts = |name: &str| {
        let recipe = &project.recipes[name];
        recipe.steps(&BTreeMap::new(), &BuildVars::new(recipe, Architecture::Amd64))
    };
    assert!(scripts("heir")[0].run.contains("A=1 B=3 lib"), "{:?}", scripts("heir"));
    assert_eq!(scripts("other").len(), 1);
    assert!(project.recipes["other"].needs.is_empty());
}

#[test]
fn what_an_image_extends_lies_under_it_and_each_once() {
    let project = load(&[
        ("kiln.yaml", "kiln: 1\nname: d\norigins: { debian: { archive: deb, suite: s } }\n"),
        (
            "images/base.yaml",
            "packages: [debian:a]\nrun: { user: nobody, env: { A: \"{{ team }}\" } }\nvariables: { team: core }\n",
        ),
        ("images/left.yaml", "extends: [base.yaml]\npackages: [debian:b]\n"),
        ("images/right.yaml", "extends: [base.yaml]\npackages: [debian:c]\nrun: { user: !replace root }\n"),
        (
            "images/web.yaml",
            "name: web\nextends: [left.yaml, right.yaml]\npackages: [debian:d]\nrun: { env: { B: \"{{ name }}\" } }\n",
        ),
    ]);
    let image = &project.images["web"];
    let packages: Vec<String> = image.packages.iter().map(|package| package.reference.to_string()).collect();
    assert_eq!(packages, ["debian:a", "debian:b", "debian:c", "debian:d"]);
    assert_eq!(image.run.user.as_deref(), Some("root"));
    assert_eq!(
        image.run.env,
        BTreeMap::from([("A".to_owned(), "core".to_owned()), ("B".to_owned(), "web".to_owned())])
    );
}

#[test]
fn the_order_of_files_does_not_matter() {
    let files = [
        ("kiln.yaml", KILN),
        ("packages/server/package.yaml", SERVER),
        ("packages/library/package.yaml", "nonsense: 1\n"),
        ("images/web.yaml", "name: web\npackages: [srever]\n"),
    ];
    let mut reversed = files;
    reversed.reverse();
    assert_eq!(try_load(&files).unwrap_err(), try_load(&reversed).unwrap_err());
}

#[test]
fn one_wrong_file_does_not_make_others_look_wrong() {
    let told = try_load(&[
        ("kiln.yaml", &KILN.replace("trixie", "[a]")),
        ("packages/server/package.yaml", SERVER),
        ("packages/library/package.yaml", &plain("library", "runtime: [debian:zlib1g]\n")),
        ("packages/plugins/package.yaml", &plain("plugins", "")),
    ])
    .unwrap_err();
    assert_eq!(told.0.len(), 1, "{told}");
}

#[test]
fn packages_that_only_run_together_are_no_circle() {
    let project = demo("name: web\npackages: [server]\n");
    assert!(project.recipes["plugins"].runtime.iter().any(|need| need.value.to_string() == "server"));
}

/// A lock that says just what the project asks.
fn fresh(project: &LoadedProject) -> Lock {
    let mut lock = Lock::default();
    for (name, origin) in &project.project.origins {
        let origin = &origin.value;
        let locked = LockedOrigin {
            archive: origin.kind(),
            distribution: origin.distribution().to_owned(),
            suite: origin.suite().to_owned(),
            components: origin.components().to_vec(),
            release: Some(Digest::EMPTY),
            date: "2026-11-01T00:00:00Z".to_owned(),
            indexes: Vec::new(),
        };
        lock.origins.insert(name.clone(), locked);
    }
    for target in project.wanted_targets(Architecture::Amd64) {
        let key = TargetKey { name: target.name, architecture: Architecture::Amd64 };
        lock.targets.insert(
            key,
            LockedTarget { requests: target.requests.into_keys().collect(), packages: std::sync::Arc::default() },
        );
    }
    for source in project.wanted_sources() {
        let kiln_model::recipe::SourceKind::Archive { url, sha256, .. } = source.source.kind else {
            panic!("an archive")
        };
        let locked = LockedSource::Archive { url: url.value, sha256, size: None };
        lock.sources.insert((source.recipe, source.index), locked);
    }
    lock
}

fn stale(lock: &Lock, project: &LoadedProject) -> Vec<Staleness> {
    let targets = project.wanted_targets(Architecture::Amd64);
    lock.stale(&project.project.origins, &targets, &project.wanted_sources())
}

#[test]
fn a_fresh_lock_is_not_stale_and_survives_being_written() {
    let project = demo("name: web\npackages: [server]\n");
    let lock = kiln_model::lock::parse(&fresh(&project).to_string()).unwrap();
    assert_eq!(stale(&lock, &project), []);
}

#[test]
fn a_stale_lock_says_exactly_what_changed() {
    let lock = fresh(&demo("name: web\npackages: [server, debian:busybox]\n"));
    let newer = SERVER.replace("version: 1.10", "version: 1.11").replace("debian:legacy", "debian:modern");
    let project = load(&[
        ("kiln.yaml", &KILN.replace("trixie", "forky").replace("[main, contrib]", "[main]")),
        ("packages/server/package.yaml", &newer),
        ("packages/library/package.yaml", &plain("library", "runtime: [debian:zlib1g]\n")),
        ("packages/plugins/package.yaml", &plain("plugins", "runtime: [debian:lua5.4, server]\n")),
        ("images/site.yaml", "name: site\npackages: [server]\n"),
    ]);
    let told: Vec<String> = stale(&lock, &project).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "the components of the origin `debian` is `main` and was `main contrib`",
            "the suite of the origin `debian` is `forky` and was `trixie`",
            "`image:site` for amd64 is new",
            "`image:web` for amd64 is gone from the project",
            "`recipe:plugins:runtime` now asks for `debian:modern`",
            "`recipe:server[!tls]:runtime` now asks for `debian:modern`",
            "`recipe:plugins:runtime` no longer asks for `debian:legacy`",
            "`recipe:server[!tls]:runtime` no longer asks for `debian:legacy`",
            "source 1 of `server` is `https://example.org/server-1.11.tar.gz (6e340b9cffb3)` and was \
             `https://example.org/server-1.10.tar.gz (6e340b9cffb3)`",
        ]
    );
}

#[test]
fn targets_of_another_machines_architecture_are_left_alone() {
    let project = demo("name: web\npackages: [server]\n");
    let mut lock = fresh(&project);
    let key = TargetKey { name: "image:gone".to_owned(), architecture: Architecture::Arm64 };
    lock.targets.insert(key, LockedTarget::default());
    assert_eq!(stale(&lock, &project), []);
}

#[test]
fn a_file_with_thousands_of_errors_is_told_of_in_bounded_space() {
    let many: String = (0..20_000).map(|n| format!("key{n}: 1\n")).collect();
    let told = try_load(&[("kiln.yaml", &many)]).unwrap_err();
    assert_eq!(told.0.len(), kiln_model::diagnostic::MOST_TOLD + 1);
    assert!(told.0.last().unwrap().message.contains("more errors"));
}

proptest! {
    #[test]
    fn a_damaged_project_never_panics(which in 0usize..3, at in 0usize..900, with in "[ -~\n]{0,12}", cut in 0usize..40) {
        let mut files = [
            ("kiln.yaml", KILN.to_owned()),
            ("packages/server/package.yaml", SERVER.to_owned()),
            ("images/web.yaml", "name: web\npackages: [server: { with: [tls] }]\nfiles: { /a: { content: \"{{ site }}\" } }\n".to_owned()),
        ];
        let text = &mut files[which].1;
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.replace_range(at..end, &with);
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, &**text)).collect();
        match try_load(&files) {
            Ok(project) => drop(project.wanted_targets(Architecture::Amd64)),
            Err(told) => {
                prop_assert!(!told.is_empty(), "a project is refused for a reason");
                prop_assert!(!told.render(Default::default()).is_empty());
            }
        }
    }
}
