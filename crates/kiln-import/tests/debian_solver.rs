//! The solver on small archives, each made for one rule.

use std::fmt::Write as _;

use kiln_import::debian::{Index, Record, Selected, SolveError, SolveOptions, SolveRequest, Source, Why, solve};
use kiln_model::{Architecture, Digest, OriginName};

struct Archive {
    _dir: tempfile::TempDir,
    index: Index<Record>,
}

/// An archive of packages given as `NAME VERSION`, then fields, one line each, an empty line between packages.
fn archive(packages: &str) -> Archive {
    let mut text = String::new();
    for package in packages.trim().split("\n\n") {
        let mut lines = package.trim().lines();
        let (name, version) = lines.next().unwrap().trim().split_once(' ').unwrap();
        let fields: Vec<&str> = lines.map(str::trim).collect();
        write!(
            text,
            "Package: {name}\nVersion: {version}\nFilename: pool/{name}_{version}.deb\nSize: 1\nSHA256: {}\n",
            Digest::of(format!("{name} {version}").as_bytes()).to_hex()
        )
        .unwrap();
        if !fields.iter().any(|field| field.starts_with("Architecture:")) {
            text.push_str("Architecture: amd64\n");
        }
        for field in fields {
            writeln!(text, "{field}").unwrap();
        }
        text.push('\n');
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let key = Digest::of(text.as_bytes());
    Index::<Record>::build(text.as_bytes(), &path, &key).unwrap();
    Archive { index: Index::open(&path, &key).unwrap(), _dir: dir }
}

fn origin(name: &str) -> OriginName {
    name.parse().unwrap()
}

/// `name`, `name=version` or `@essential`, of the origin `debian` unless it begins with another and a colon.
fn request(text: &str) -> SolveRequest {
    let (from, text) = text.split_once(':').unwrap_or(("debian", text));
    if text == "@essential" {
        return SolveRequest::Essential(origin(from));
    }
    let (name, version) = text.split_once('=').map_or((text, None), |(name, version)| (name, Some(version.to_owned())));
    SolveRequest::Package { origin: origin(from), name: name.parse().unwrap(), version }
}

const OPTIONS: SolveOptions = SolveOptions { architecture: Architecture::Amd64, recommends: false };

fn try_solve(
    archives: &[(&str, &Archive)],
    requests: &[&str],
    options: SolveOptions,
) -> Result<Vec<Selected>, SolveError> {
    let origins: Vec<OriginName> = archives.iter().map(|(name, _)| origin(name)).collect();
    let indexes: Vec<Vec<&Index<Record>>> = archives.iter().map(|(_, archive)| vec![&archive.index]).collect();
    let sources: Vec<_> = origins.iter().zip(&indexes).map(|(origin, indexes)| Source { origin, indexes }).collect();
    let requests: Vec<_> = requests.iter().map(|text| request(text)).collect();
    solve(&sources, &requests, options)
}

fn names(packages: &str, requests: &[&str]) -> Vec<String> {
    let archive = archive(packages);
    let mut reversed = requests.to_vec();
    reversed.reverse();
    let found = try_solve(&[("debian", &archive)], requests, OPTIONS).unwrap();
    assert_eq!(found, try_solve(&[("debian", &archive)], &reversed, OPTIONS).unwrap(), "the order matters");
    found.into_iter().map(|package| format!("{} {}", package.name, package.version)).collect()
}

fn error(packages: &str, requests: &[&str]) -> SolveError {
    let archive = archive(packages);
    let error = try_solve(&[("debian", &archive)], requests, OPTIONS).unwrap_err();
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error:?} has no hint");
    let mut reversed = requests.to_vec();
    reversed.reverse();
    let again = try_solve(&[("debian", &archive)], &reversed, OPTIONS).unwrap_err();
    assert_eq!(error.to_string(), again.to_string(), "the order matters");
    error
}

#[test]
fn takes_what_is_needed_and_nothing_else() {
    let packages = "a 1\nDepends: b (>= 1), c\nPre-Depends: d\nRecommends: e\nSuggests: f\n\nb 1\n\nc 1\nDepends: a\n\nd 1\n\ne 1\n\nf 1\n\ng 1\nEssential: yes";
    assert_eq!(names(packages, &["a"]), ["a 1", "b 1", "c 1", "d 1"]);
    assert_eq!(names(packages, &["g"]), ["g 1"]);
    assert_eq!(names(packages, &["@essential", "b"]), ["b 1", "g 1"]);
    assert_eq!(names(packages, &[]), Vec::<String>::new());
}

#[test]
fn takes_the_highest_version_unless_one_is_asked_for() {
    let packages = "a 1.9\n\na 1.10\n\na 1.10~rc1\n\nb 1\nDepends: a (>= 1.10)";
    assert_eq!(names(packages, &["a"]), ["a 1.10"]);
    assert_eq!(names(packages, &["a=1.9"]), ["a 1.9"]);
    assert_eq!(names(packages, &["a=1.10~rc1", "a"]), ["a 1.10~rc1"]);
    let text = error(packages, &["a=1.9", "b"]).to_string();
    assert!(text.contains("`b` needs `a (>= 1.10)`"), "{text}");
}

#[test]
fn takes_a_lower_version_only_when_nothing_else_helps() {
    let packages = "a 2\nConflicts: c\n\na 1\n\nb 1\nDepends: a, c\n\nc 1";
    assert_eq!(names(packages, &["b"]), ["a 1", "b 1", "c 1"]);
}

#[test]
fn the_first_alternative_wins_unless_another_is_there_anyway() {
    let packages = "a 1\nDepends: x | y\n\nb 1\nDepends: y\n\nc 1\nDepends: gone | y | x\n\nx 1\n\ny 1";
    assert_eq!(names(packages, &["a"]), ["a 1", "x 1"]);
    assert_eq!(names(packages, &["a", "b"]), ["a 1", "b 1", "y 1"]);
    assert_eq!(names(packages, &["a", "y"]), ["a 1", "y 1"]);
    assert_eq!(names(packages, &["c"]), ["c 1", "y 1"]);
}

#[test]
fn a_first_alternative_stays_when_a_later_choice_brings_another() {
    let packages =
        "a 1\nDepends: cc | c-compiler, p | q\n\ncc 1\n\np 1\nDepends: clang\n\nclang 1\nProvides: c-compiler\n\nq 1";
    assert_eq!(names(packages, &["a"]), ["a 1", "cc 1", "clang 1", "p 1"]);
}

#[test]
fn an_alternative_that_cannot_be_had_is_passed_over() {
    let packages = "a 1\nDepends: x | y\n\nx 1\nDepends: gone\n\ny 1\n\nb 1\nBreaks: x";
    assert_eq!(names(packages, &["a"]), ["a 1", "y 1"]);
    let packages = "a 1\nDepends: x | y\n\nx 1\n\ny 1\n\nb 1\nBreaks: x";
    assert_eq!(names(packages, &["a", "b"]), ["a 1", "b 1", "y 1"]);
}

#[test]
fn provided_names_are_served_by_priority_then_name() {
    let packages =
        "a 1\nDepends: mail\n\nz 1\nProvides: mail\nPriority: important\n\nm 1\nProvides: mail\n\nn 1\nProvides: mail";
    assert_eq!(names(packages, &["a"]), ["a 1", "z 1"]);
    assert_eq!(names(&packages.replace("Priority: important", "Priority: optional"), &["a"]), ["a 1", "m 1"]);
    assert_eq!(names(packages, &["a", "n"]), ["a 1", "n 1"]);
    let real = format!("{packages}\n\nmail 1");
    assert_eq!(names(&real, &["a"]), ["a 1", "mail 1"]);
}

#[test]
fn versioned_relations_need_versioned_provides() {
    let packages =
        "a 1\nDepends: api (>= 2)\n\nb 1\nProvides: api\n\nc 1\nProvides: api (= 1)\n\nd 1\nProvides: api (= 3)";
    assert_eq!(names(packages, &["a"]), ["a 1", "d 1"]);
    let text = error(&packages.replace("(= 3)", "(= 1.5)"), &["a"]).to_string();
    assert!(text.contains("`a` needs `api (>= 2)`, but none of those that provide `api` fits: b, c, d"), "{text}");
}

#[test]
fn architecture_qualifiers_are_understood() {
    let packages = "a 1\nDepends: python:any\n\npython 1\nMulti-Arch: allowed\n\nb 1\nDepends: tool:any\n\ntool 1\n\nc 1\nDepends: tool:native, tool:amd64\n\nd 1\nDepends: tool:arm64";
    assert_eq!(names(packages, &["a"]), ["a 1", "python 1"]);
    assert_eq!(names(packages, &["c"]), ["c 1", "tool 1"]);
    assert!(error(packages, &["b"]).to_string().contains("`tool:any`"));
    assert!(error(packages, &["d"]).to_string().contains("`tool:arm64`"));
}

#[test]
fn only_packages_of_the_architecture_or_of_all_count() {
    let packages = "a 1\nDepends: b\n\nb 2\nArchitecture: arm64\n\nb 1\nArchitecture: all\n\nc 1\nArchitecture: arm64";
    let archive = archive(packages);
    let found = try_solve(&[("debian", &archive)], &["a"], OPTIONS).unwrap();
    assert_eq!(found[1].version, "1");
    assert_eq!((found[0].architecture, found[1].architecture), (Some(Architecture::Amd64), None));
    assert!(matches!(error(packages, &["c"]), SolveError::UnknownPackage { .. }));
}

#[test]
fn a_package_may_provide_what_it_conflicts_with() {
    let packages =
        "postfix 1\nProvides: mta\nConflicts: mta\n\nexim 1\nProvides: mta\nConflicts: mta\n\na 1\nDepends: exim | mta";
    assert_eq!(names(packages, &["postfix", "a"]), ["a 1", "postfix 1"]);
    let text = error(packages, &["postfix", "exim"]).to_string();
    assert!(text.contains("conflicts with `mta`") && text.contains("asked for"), "{text}");
}

#[test]
fn breaks_and_conflicts_count_only_for_their_versions() {
    let packages = "a 2\nBreaks: b (<< 2)\n\nb 2\n\nc 1\nConflicts: b (>= 2)";
    assert_eq!(names(packages, &["a", "b"]), ["a 2", "b 2"]);
    let text = error(packages, &["b", "c"]).to_string();
    assert!(text.contains("`c` conflicts with `b (>= 2)`"), "{text}");
}

#[test]
fn a_conflict_is_told_in_the_archives_terms_with_the_way_to_it() {
    let packages = "app 1\nDepends: mid\n\nmid 1\nDepends: lib (>= 2)\n\nlib 2\n\nother 1\nDepends: old\n\nold 1\nBreaks: lib (<< 3)";
    let text = error(packages, &["app", "other"]).to_string();
    for part in [
        "`mid` needs `lib (>= 2)`, but `old` in this image breaks `lib (<< 3)`",
        "`mid` is here because `app` needs `mid`",
        "`old` is here because `other` needs `old`",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn a_need_that_nothing_meets_is_told_with_what_there_is() {
    let packages = "a 1\nDepends: b (>= 2)\n\nb 1\n\nc 1\nDepends: gone, a\n\nd 1\nDepends: gone | lost";
    let text = error(packages, &["a"]).to_string();
    assert!(text.contains("`a` needs `b (>= 2)`, but the archive has `b` only in version 1"), "{text}");
    assert!(error(packages, &["c"]).to_string().contains("`c` needs `gone`, but the archive has no `gone`"));
    let text = error(packages, &["d"]).to_string();
    assert!(text.contains("the archive has no `gone`, and the archive has no `lost`"), "{text}");
}

#[test]
fn every_alternative_that_is_excluded_is_told() {
    let packages = "a 1\nDepends: x | y\n\nx 1\n\ny 1\n\nb 1\nConflicts: x\n\nc 1\nBreaks: y";
    let text = error(packages, &["a", "b", "c"]).to_string();
    assert!(text.contains("`a` needs `x | y`"), "{text}");
    assert!(
        text.contains("`b` conflicts with `x` (so not `x`)") && text.contains("`c` breaks `y` (so not `y`)"),
        "{text}"
    );
}

#[test]
fn requests_that_mean_nothing_are_told_apart() {
    let packages = "nginx 1\n\na 1\nProvides: mail\n\nb 1\nProvides: mail, only\n\na 2";
    let unknown = error(packages, &["ngnix"]);
    assert!(matches!(unknown, SolveError::UnknownPackage { .. }) && unknown.hint().unwrap().contains("`nginx`"));
    let version = error(packages, &["a=3"]);
    assert!(version.to_string().contains("2, 1") && matches!(version, SolveError::NoSuchVersion { .. }), "{version}");
    let virtual_name = error(packages, &["mail"]);
    assert!(virtual_name.to_string().contains("`a`, `b`"), "{virtual_name}");
    assert_eq!(names(packages, &["only"]), ["b 1"], "one provider leaves no choice");
    assert!(matches!(error(packages, &["a=1", "a=2"]), SolveError::TwoVersions { .. }));
    assert!(matches!(error(packages, &["other:a"]), SolveError::UnknownOrigin(_)));
    assert!(matches!(error("a 1\nDepends: b (", &["a"]), SolveError::Relation { .. }));
}

#[test]
fn several_archives_work_together_and_a_request_stays_with_its_own() {
    let (debian, other) = (archive("libc 1\n\napp 1\n\nlib 2"), archive("app 2\nDepends: libc, lib\n\nlib 2\n\nlib 1"));
    let both = [("debian", &debian), ("other", &other)];
    let origins = |requests: &[&str]| -> Vec<String> {
        let found = try_solve(&both, requests, OPTIONS).unwrap();
        found.into_iter().map(|p| format!("{}:{} {}", p.origin, p.name, p.version)).collect()
    };
    assert_eq!(origins(&["other:app"]), ["other:app 2", "debian:lib 2", "debian:libc 1"]);
    assert_eq!(origins(&["debian:app"]), ["debian:app 1"]);
    assert_eq!(origins(&["other:app", "other:lib"]), ["other:app 2", "other:lib 2", "debian:libc 1"]);
    assert!(matches!(try_solve(&both, &["debian:app", "other:app"], OPTIONS), Err(SolveError::TwoVersions { .. })));
}

#[test]
fn recommends_are_taken_where_they_can_be_had() {
    let archive = archive(
        "a 1\nRecommends: b, c | d, gone, e\n\nb 1\nRecommends: f\n\nc 1\nConflicts: a\n\nd 1\n\ne 1\nDepends: gone\n\nf 1",
    );
    let options = SolveOptions { recommends: true, ..OPTIONS };
    let found = try_solve(&[("debian", &archive)], &["a"], options).unwrap();
    let names: Vec<_> = found.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "f"], "`c` and `e` cannot be had");
    assert!(matches!(&found[1].why[..], [Why::Recommended { by, .. }] if by.as_str() == "a"));
    assert_eq!(try_solve(&[("debian", &archive)], &["a"], OPTIONS).unwrap().len(), 1);
}

#[test]
fn reasons_are_given() {
    let archive = archive("a 1\nDepends: b (>= 1) | c\n\nb 1\nDepends: a");
    let found = try_solve(&[("debian", &archive)], &["a"], OPTIONS).unwrap();
    let needed = |by: &str, relation: &str| Why::Needed { by: by.parse().unwrap(), relation: relation.to_owned() };
    assert_eq!(found[0].why, [Why::Requested, needed("b", "a")]);
    assert_eq!(found[1].why, [needed("a", "b (>= 1) | c")]);
    assert_eq!(found[1].path, "pool/b_1.deb");
}

mod any_archive {
    use proptest::prelude::*;

    use super::*;

    fn packages() -> impl Strategy<Value = String> {
        let relation = "[a-h]( \\((>=|<<|=) [12]\\))?";
        let field = proptest::collection::vec(relation, 0..3).prop_map(|all| all.join(", "));
        let alternatives = "[a-h]( \\((>=|<<|=) [12]\\))?( \\| [a-h]( \\((>=|<<|=) [12]\\))?)?";
        let depends = proptest::collection::vec(alternatives, 0..3).prop_map(|all| all.join(", "));
        let package = (depends, field, "(|g|h \\(= 1\\)|g, h)");
        proptest::collection::btree_map("[a-f][12]", package, 1..9).prop_map(|all| {
            let one = |(name, (depends, breaks, provides)): (String, (String, String, String))| {
                format!("{} {}\nDepends: {depends}\nBreaks: {breaks}\nProvides: {provides}", &name[..1], &name[1..])
            };
            all.into_iter().map(one).collect::<Vec<_>>().join("\n\n")
        })
    }

    /// Are all relations among the chosen kept? Checked without the solver's own code.
    fn sound(archive: &Archive, chosen: &[Selected]) -> Result<(), String> {
        use kiln_import::debian::relation::parse;
        let records: Vec<Record> = chosen
            .iter()
            .map(|p| {
                archive.index.named(p.name.as_str()).unwrap().into_iter().find(|r| r.version == p.version).unwrap()
            })
            .collect();
        let serves = |record: &Record, relation: &kiln_import::debian::relation::Relation<'_>| {
            (record.name == relation.name && relation.admits(&record.version))
                || parse(&record.provides).unwrap().iter().flatten().any(|provided| {
                    provided.name == relation.name
                        && (relation.version.is_none() || provided.version.is_some_and(|(_, v)| relation.admits(v)))
                })
        };
        for record in &records {
            for group in parse(&record.depends).unwrap() {
                if !group.iter().any(|relation| records.iter().any(|other| serves(other, relation))) {
                    return Err(format!("{} lacks {group:?}", record.name));
                }
            }
            for relation in parse(&record.breaks).unwrap().iter().flatten() {
                if records.iter().any(|other| other.name != record.name && serves(other, relation)) {
                    return Err(format!("{} breaks {relation}", record.name));
                }
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn has_a_sound_solution_or_an_explanation(packages in packages(), mut wanted in proptest::collection::vec("[a-f]", 1..4)) {
            let archive = archive(&packages);
            let ask = |wanted: &[String]| {
                let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
                try_solve(&[("debian", &archive)], &names, OPTIONS)
            };
            let first = ask(&wanted);
            wanted.reverse();
            match (first, ask(&wanted)) {
                (Ok(chosen), Ok(again)) => {
                    prop_assert_eq!(&chosen, &again);
                    prop_assert_eq!(sound(&archive, &chosen), Ok(()));
                    prop_assert!(chosen.iter().all(|package| !package.why.is_empty()), "{:?}", chosen);
                }
                (Err(first), Err(again)) => prop_assert_eq!(first.to_string(), again.to_string()),
                (first, again) => prop_assert!(false, "{first:?} {again:?}"),
            }
        }
    }
}
