//! The solver against `apt-get install -s --no-install-recommends`, on the distribution's own archive.
//!
//! Needs a mirror of Debian in the machine's apt configuration, the archive keyring and `apt-get`; fails without them.
//! apt runs on a configuration of its own with no package installed, so any user can run this.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use kiln_fetch::{FetchOptions, Fetcher};
use kiln_import::debian::mirror::{self, Named};
use kiln_import::debian::{
    Access, Archive, ArchiveConfig, Index, Keyring, MaxAge, Mirror, PoolFile, Record, Selected, SolveOptions,
    SolveRequest, Source, SourceRecord, Why, solve,
};
use kiln_model::{Architecture, OriginName, Silent};

const SUITE: &str = "trixie";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Services, languages, tools and desktop programs, small and large.
const TARGETS: [&str; 25] = [
    "nginx-light",
    "postgresql-17",
    "build-essential",
    "python3",
    "openssh-server",
    "git",
    "php-cli",
    "default-jre-headless",
    "erlang-base",
    "nodejs",
    "mariadb-server",
    "curl",
    "systemd",
    "samba",
    "apache2",
    "golang-go",
    "cmake",
    "ruby",
    "texlive-base",
    "gimp",
    "linux-image-amd64",
    "debhelper",
    "exim4-daemon-light",
    "libreoffice-writer",
    "libdart-all-dev",
];

/// Where apt takes another package: target, what only apt takes, what only Kiln takes. Each is explained in
/// `docs/concepts/archives.md`.
const DIFFERENCES: [(&str, &[&str], &[&str]); 1] = [("libdart-all-dev", &[], &["libgl1-mesa-dev"])];

fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test against the present archive")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn origin() -> OriginName {
    "debian".parse().unwrap()
}

fn mirrors() -> Vec<Mirror> {
    let mut files = Vec::new();
    let mut take = |path: PathBuf| {
        if let Ok(text) = fs::read_to_string(&path) {
            files.push((path.display().to_string(), text));
        }
    };
    take("/etc/apt/sources.list".into());
    let mut parts: Vec<_> =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    parts.sort();
    parts.into_iter().filter(|p| p.extension().is_some_and(|e| e == "list" || e == "sources")).for_each(&mut take);
    let named = Named { apt: &files, ..Named::default() };
    mirror::choose("debian", "debian", "`dists`", &named, &|path| fs::read_to_string(path).ok())
        .expect("this test needs a mirror of Debian in the machine's apt configuration")
}

fn config() -> ArchiveConfig {
    ArchiveConfig {
        origin: origin(),
        distribution: "debian".to_owned(),
        suite: SUITE.to_owned(),
        components: vec!["main".to_owned()],
        architectures: vec![Architecture::Amd64],
        sources: true,
        max_age: Some(MaxAge::Unlimited),
    }
}

/// Where indexes are kept between runs: beside the build, or for a user who may not write there, in a folder of theirs.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("archives");
    let lock = folder.join("lock");
    let ours = fs::create_dir_all(&folder).and_then(|()| File::options().create(true).append(true).open(lock));
    if ours.is_ok() {
        return folder;
    }
    let user = fs::metadata("/proc/self").unwrap().uid();
    std::env::temp_dir().join(format!("kiln-test-archives-{user}"))
}

/// The archive's present state; its indexes are kept between runs.
fn archive() -> &'static Archive {
    static ARCHIVE: OnceLock<Archive> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let keyring = fs::read(KEYRING).expect("this test needs the package debian-archive-keyring");
        let keyring = Keyring::parse(KEYRING, &keyring).unwrap();
        let fetcher = Fetcher::new(FetchOptions::default());
        let folder = folder();
        let access = Access { mirrors: &mirrors(), fetcher: &fetcher, folder: &folder, reporter: &Silent };
        Archive::update(&config(), &[keyring], access, now(), None).unwrap()
    })
}

fn closure(names: &[&str], recommends: bool) -> Vec<Selected> {
    let origin = origin();
    let requests: Vec<_> = names
        .iter()
        .map(|name| match *name {
            "@essential" => SolveRequest::Essential(origin.clone()),
            name => SolveRequest::Package { origin: origin.clone(), name: name.parse().unwrap(), version: None },
        })
        .collect();
    let indexes = archive().packages(Architecture::Amd64);
    let sources = [Source { origin: &origin, indexes: &indexes }];
    solve(&sources, &requests, SolveOptions { architecture: Architecture::Amd64, recommends }).unwrap()
}

fn named(selected: &[Selected]) -> BTreeSet<String> {
    selected.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
}

/// apt with a configuration, a state and a cache of its own.
struct Apt {
    dir: tempfile::TempDir,
}

impl Apt {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in [
            "etc/parts",
            "etc/sources.d",
            "etc/preferences.d",
            "etc/trusted.d",
            "state/lists/partial",
            "cache/archives/partial",
            "log",
        ] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("status"), "").unwrap();
        let uri = mirrors().remove(0).url;
        fs::write(path("etc/sources.list"), format!("deb [signed-by={KEYRING}] {uri} {SUITE} main\n")).unwrap();
        let root = dir.path().display();
        let text = format!(
            "Dir::Etc \"{root}/etc\";\nDir::Etc::parts \"{root}/etc/parts\";\nDir::Etc::main \"none\";\nDir::Etc::sourcelist \"{root}/etc/sources.list\";\nDir::Etc::sourceparts \"{root}/etc/sources.d\";\nDir::Etc::preferencesparts \"{root}/etc/preferences.d\";\nDir::Etc::trustedparts \"{root}/etc/trusted.d\";\nDir::State \"{root}/state\";\nDir::State::status \"{root}/status\";\nDir::Cache \"{root}/cache\";\nDir::Log \"{root}/log\";\nAPT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\nAPT::Sandbox::User \"\";\nAcquire::Languages \"none\";\nAPT::Install-Recommends \"false\";\nDebug::NoLocking \"true\";\n"
        );
        fs::write(path("apt.conf"), text).unwrap();
        let apt = Self { dir };
        apt.run(&["update", "-qq"]);
        apt
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("apt-get")
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("LC_ALL", "C")
            .env("APT_CONFIG", self.dir.path().join("apt.conf"))
            .output()
            .expect("this test needs apt-get");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "apt-get {arguments:?}: {text}{errors}");
        text
    }

    fn closure(&self, name: &str) -> BTreeSet<String> {
        let text = self.run(&["install", "-s", "--no-install-recommends", name]);
        let chosen = text.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
            Some(format!("{name} {}", rest.split(' ').next()?))
        });
        chosen.collect()
    }
}

#[test]
fn chooses_what_apt_chooses() {
    let apt = Apt::new();
    let mut wrong = Vec::new();
    for target in TARGETS {
        let (theirs, ours) = (apt.closure(target), named(&closure(&[target], false)));
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
            a.difference(b).map(|text| text.split(' ').next().unwrap().to_owned()).collect()
        };
        let (only_theirs, only_ours) = (only(&theirs, &ours), only(&ours, &theirs));
        let known = DIFFERENCES.iter().find(|(name, ..)| *name == target);
        let (expected_theirs, expected_ours) = known.map_or((&[][..], &[][..]), |(_, theirs, ours)| (*theirs, *ours));
        if only_theirs != expected_theirs || only_ours != expected_ours {
            wrong.push(format!(
                "{target} ({} packages): only apt {only_theirs:?}, only kiln {only_ours:?}",
                theirs.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_closure_holds_together_and_says_why() {
    let selected = closure(&["@essential", "nginx-light", "curl"], false);
    let names: BTreeSet<_> = selected.iter().map(|package| package.name.as_str()).collect();
    for name in ["bash", "coreutils", "dpkg", "libc6", "nginx-light", "curl", "libcurl4t64"] {
        assert!(names.contains(name), "{name}");
    }
    assert!(selected.iter().all(|package| !package.why.is_empty()));
    let libcurl = selected.iter().find(|package| package.name.as_str() == "libcurl4t64").unwrap();
    assert!(libcurl.why.iter().any(|why| matches!(why, Why::Needed { by, .. } if by.as_str() == "curl")));
    assert!(closure(&["curl"], false).iter().all(|package| package.name.as_str() != "bash"));
}

#[test]
fn the_order_of_requests_and_the_run_do_not_matter() {
    let first = closure(&["samba", "nginx-light", "exim4-daemon-light", "php-cli"], false);
    for _ in 0..3 {
        assert_eq!(closure(&["php-cli", "exim4-daemon-light", "samba", "nginx-light", "samba"], false), first);
    }
}

#[test]
fn recommends_come_only_when_asked_for() {
    let (without, with) = (closure(&["curl"], false), closure(&["curl"], true));
    assert!(named(&without).is_subset(&named(&with)));
    let certificates = with.iter().find(|package| package.name.as_str() == "ca-certificates").unwrap();
    assert!(certificates.why.iter().any(|why| matches!(why, Why::Recommended { .. })), "{certificates:?}");
    assert!(without.iter().all(|package| package.name.as_str() != "ca-certificates"));
}

#[test]
fn slips_of_the_hand_are_guessed() {
    let origin = origin();
    let indexes = archive().packages(Architecture::Amd64);
    let sources = [Source { origin: &origin, indexes: &indexes }];
    let ask = |name: &str| {
        let request = SolveRequest::Package { origin: origin.clone(), name: name.parse().unwrap(), version: None };
        solve(&sources, &[request], SolveOptions { architecture: Architecture::Amd64, recommends: false }).unwrap_err()
    };
    assert!(ask("ngnix-light").hint().unwrap().contains("`nginx-light`"));
    let error = ask("mail-transport-agent").to_string();
    assert!(error.contains("`postfix`") && error.contains("`exim4-daemon-light`"), "{error}");
}

#[test]
fn a_kept_index_opens_at_once_and_a_package_can_be_fetched() {
    let archive = archive();
    let fetcher = Fetcher::new(FetchOptions { offline: true, ..FetchOptions::default() });
    let folder = folder();
    let access = Access { mirrors: &mirrors(), fetcher: &fetcher, folder: &folder, reporter: &Silent };
    let begun = Instant::now();
    let again = Archive::open(&config(), archive.state.clone(), access).unwrap();
    let opened = begun.elapsed();
    assert!(again.packages(Architecture::Amd64)[0].name_count() > 60_000);
    println!("opened in {opened:?}");
    let nginx: Vec<SourceRecord> = again.sources()[0].named("nginx").unwrap();
    assert!(nginx[0].files.iter().any(|file| file.name.contains(".orig.tar")));

    let online = Fetcher::new(FetchOptions::default());
    let dir = tempfile::tempdir().unwrap();
    let media_types = closure(&["media-types"], false).remove(0);
    let dest = dir.path().join("media-types.deb");
    let fetched = online.fetch(&PoolFile::from(&media_types).request(&mirrors()), &dest, &Silent).unwrap();
    assert_eq!((fetched.digest, fetched.size), (media_types.sha256, media_types.size));
}

#[test]
fn every_relation_of_the_archive_can_be_read() {
    use kiln_import::debian::relation;
    let index: &Index<Record> = archive().packages(Architecture::Amd64)[0];
    let mut relations = 0;
    for name in index.names().unwrap() {
        for record in index.named(&name).unwrap() {
            for field in [
                &record.pre_depends,
                &record.depends,
                &record.recommends,
                &record.provides,
                &record.conflicts,
                &record.breaks,
                &record.replaces,
            ] {
                relations += relation::parse(field).unwrap_or_else(|error| panic!("{name}: {error}")).len();
            }
        }
    }
    assert!(relations > 300_000, "{relations}");
}
