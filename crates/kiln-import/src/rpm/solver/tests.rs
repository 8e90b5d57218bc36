use super::*;

/// `name version` and then fields, each on a line; packages are separated by `;`.
fn index(text: &str) -> Index {
    let package = |text: &str| {
        let mut lines = text.trim().lines().map(str::trim);
        let (name, version) = lines.next().unwrap().split_once(' ').unwrap();
        let mut record = Record {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "noarch".to_owned(),
            identity: format!("{name}-{version}"),
            provides: format!("{name} = {version}"),
            ..Record::default()
        };
        for line in lines {
            let (field, value) = line.split_once(": ").unwrap();
            let list = match field {
                "requires" => &mut record.requires,
                "provides" => &mut record.provides,
                "conflicts" => &mut record.conflicts,
                "obsoletes" => &mut record.obsoletes,
                "file" => &mut record.files,
                other => panic!("{other}"),
            };
            *list = format!("{list}\n{value}").trim().to_owned();
        }
        record
    };
    Index { records: text.split(';').map(package).collect() }
}

fn request(name: &str) -> SolveRequest {
    SolveRequest::Package { origin: "rpm".parse().unwrap(), name: name.parse().unwrap(), version: None }
}

fn try_solve(text: &str, asked: &[&str], found: &FoundFiles) -> Result<String, SolveError> {
    let (index, origin) = (index(text), "rpm".parse().unwrap());
    let repository = Repository { origin: &origin, folder: "", index: &index };
    let requests: Vec<_> = asked.iter().map(|name| request(name)).collect();
    Ok(match solve(&[repository], &requests, Architecture::Amd64, found)? {
        Solved::Packages(list) => {
            let shown = list.iter().map(|selected| format!("{}-{}", selected.record.name, selected.record.version));
            shown.collect::<Vec<_>>().join(" ")
        }
        Solved::Wants(paths) => format!("wants {}", paths.into_iter().collect::<Vec<_>>().join(" ")),
    })
}

fn solved(text: &str, asked: &[&str]) -> String {
    try_solve(text, asked, &FoundFiles::new()).unwrap()
}

fn told(text: &str, asked: &[&str]) -> String {
    let error = try_solve(text, asked, &FoundFiles::new()).unwrap_err();
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(&error) {
        text.push_str(&format!(": {cause}"));
    }
    text
}

#[test]
fn takes_the_highest_version_of_what_is_needed() {
    let text = "a 1-1\nrequires: b >= 1:1; b 9-1; b 1:1-1; b 1:1~rc-1; c 1-1";
    assert_eq!(solved(text, &["a"]), "a-1-1 b-1:1-1");
    assert_eq!(solved("a 1-1\nrequires: b < 2; b 2-1; b 1-1", &["a"]), "a-1-1 b-1-1", "or a lower one");
}

#[test]
fn what_is_provided_serves_with_and_without_a_version() {
    let text = "a 1-1\nrequires: lib.so()(64bit)\nrequires: mta >= 5\nrequires: old <= 1; l 1-1\nprovides: lib.so()(64bit); m 1-1\nprovides: mta; o 2-1\nprovides: old = 0.5";
    assert_eq!(solved(text, &["a"]), "a-1-1 l-1-1 m-1-1 o-2-1");
    assert!(
        told("a 1-1\nrequires: x > 1; y 1-1\nprovides: x = 1", &["a"])
            .contains("none of those that provide `x` fits: y")
    );
}

#[test]
fn of_several_the_one_with_the_name_then_the_shortest_serves() {
    let text = "a 1-1\nrequires: sh; shell-long 1-1\nprovides: sh; bash 5-1\nprovides: sh";
    assert_eq!(solved(text, &["a"]), "a-1-1 bash-5-1");
    assert_eq!(solved(&format!("{text}; sh 1-1"), &["a"]), "a-1-1 sh-1-1");
}

#[test]
fn files_are_found_among_those_of_the_index_on_a_merged_system() {
    let text = "a 1-1\nrequires: /bin/sh; bash 5-1\nfile: /usr/bin/sh\nfile: /etc/bashrc";
    assert_eq!(solved(text, &["a"]), "a-1-1 bash-5-1");
}

#[test]
fn files_that_the_index_does_not_name_are_asked_for() {
    let text = "a 1-1\nrequires: /usr/lib/x; b 1-1; c 1-1\nrequires: /never/asked";
    assert_eq!(solved(text, &["a"]), "wants /usr/lib/x");
    let found = |ids: &[&str]| {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        FoundFiles::from([("/usr/lib/x".to_owned(), ids)])
    };
    assert_eq!(try_solve(text, &["a"], &found(&["b-1-1"])).unwrap(), "a-1-1 b-1-1");
    let nobody = try_solve(text, &["a"], &found(&[])).unwrap_err().to_string();
    assert!(nobody.contains("`a` needs `/usr/lib/x`, but the archive has no `/usr/lib/x`"), "{nobody}");
}

#[test]
fn rich_relations_are_followed() {
    let text = "a 1-1\nrequires: (b if c)\nrequires: (x or d); b 1-1; c 1-1; d 1-1";
    assert_eq!(solved(text, &["a"]), "a-1-1 d-1-1");
    assert_eq!(solved(text, &["a", "c"]), "a-1-1 b-1-1 c-1-1 d-1-1");
    let chain = "a 1-1\nrequires: (b if c)\nrequires: c2; b 1-1\nrequires: d; c 1-1; c2 1-1\nrequires: c; d 1-1";
    assert_eq!(solved(chain, &["a"]), "a-1-1 b-1-1 c-1-1 c2-1-1 d-1-1", "a condition may be met later");
    let otherwise = "a 1-1\nrequires: (b if c else d); b 1-1; c 1-1; d 1-1";
    assert_eq!(solved(otherwise, &["a"]), "a-1-1 d-1-1");
    assert_eq!(solved(otherwise, &["a", "c"]), "a-1-1 b-1-1 c-1-1");
    let both = "a 1-1\nrequires: (p with p >= 2); x 1-1\nprovides: p = 1; y 1-1\nprovides: p = 3";
    assert_eq!(solved(both, &["a"]), "a-1-1 y-1-1");
}

#[test]
fn a_condition_that_cannot_be_met_is_explained() {
    let text = "a 1-1\nrequires: (b if c); c 1-1";
    let reason = told(text, &["a", "c"]);
    assert!(reason.contains("`a` needs `(b if c)`, but the archive has no `b`"), "{reason}");
}

#[test]
fn what_is_not_understood_says_so() {
    let text = "a 1-1\nrequires: (b if (c if d)); b 1-1; c 1-1; d 1-1";
    assert!(told(text, &["a"]).contains("a condition within a condition is not understood"));
    assert!(told("a 1-1\nconflicts: (b and c); b 1-1", &["a"]).contains("not understood"));
    assert!(told("a 1-1\nrequires: (b nor c)", &["a"]).contains("do not go together"));
}

#[test]
fn conflicts_count_for_provided_names_and_not_for_oneself() {
    let text = "a 1-1\nprovides: mta\nconflicts: mta; b 1-1\nprovides: mta";
    assert_eq!(solved(text, &["a"]), "a-1-1");
    assert!(told(text, &["a", "b"]).contains("conflicts with `mta` (which `b` provides)"));
}

#[test]
fn what_is_obsoleted_gives_way() {
    let text = "new 2-1\nprovides: old = 2\nobsoletes: old < 2; old 1-1; user 1-1\nrequires: old";
    assert_eq!(solved(text, &["user"]), "new-2-1 user-1-1");
    assert_eq!(solved(text, &["old"]), "old-1-1", "by its own name it can be had still");
    assert!(told(text, &["old", "new"]).contains("obsoletes `old < 2`"));
    let other = "new 2-1\nobsoletes: name < 9; other 1-1\nprovides: name = 1";
    assert_eq!(solved(other, &["new", "other"]), "new-2-1 other-1-1", "provided names are not obsoleted");
}

#[test]
fn a_package_that_there_is_not_is_told_with_those_near_it() {
    let told = told("nginx 1-1", &["ngnix"]);
    assert!(told.contains("has no package `ngnix`"), "{told}");
}
