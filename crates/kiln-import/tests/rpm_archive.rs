//! RPM's repositories: who is believed, what is pinned, and what is not fetched twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kiln_fetch::{FetchOptions, Fetcher, Url};
use kiln_import::archive::{Means, OpenArchive};
use kiln_import::debian::openpgp::Keyring;
use kiln_import::mirror::Mirror;
use kiln_import::reach::ReachError;
use kiln_import::rpm::{Archive, Config, FoundFiles, IndexError, Solved, solve};
use kiln_import::solver::SolveRequest;
use kiln_model::diagnostic::{Place, Sources, Spanned};
use kiln_model::lock::{LockedOrigin, PackageKey};
use kiln_model::project::{MaxAge, RpmOrigin, Signed};
use kiln_model::{Architecture, Digest, OriginName, Silent};
use kiln_store::{OpenOptions, Session, Store};
use testkit::{ArchiveKey, rpm};

/// Signatures of tests are of now, so the repositories are looked at from some time after.
const NOW: u64 = 4_000_000_000;

struct World {
    folder: tempfile::TempDir,
    fetcher: Fetcher,
    session: Session,
    origin: OriginName,
    settings: RpmOrigin,
    kept: PathBuf,
}

/// A package of an index: name, architecture, what it needs.
fn record(name: &str, architecture: &str, requires: &str) -> String {
    let sha256 = Digest::of(format!("{name} {architecture}").as_bytes()).to_hex();
    let requires = match requires {
        "" => String::new(),
        name => format!("<rpm:entry name=\"{name}\"/>"),
    };
    format!(
        "<package type=\"rpm\"><name>{name}</name><arch>{architecture}</arch><version epoch=\"0\" ver=\"1\" rel=\"1\"/>\
         <checksum type=\"sha256\" pkgid=\"YES\">{sha256}</checksum><size package=\"7\"/><location href=\"{name}.{architecture}.rpm\"/>\
         <format><rpm:provides><rpm:entry name=\"{name}\" flags=\"EQ\" epoch=\"0\" ver=\"1\" rel=\"1\"/></rpm:provides>\
         <rpm:requires>{requires}</rpm:requires></format></package>"
    )
}

/// Writes a repository by hand, signed.
fn publish(folder: &Path, revision: u64, records: &[String], lists: &str, key: &ArchiveKey) {
    let place = folder.join("repodata");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    let data = |kind: &str, text: &str| {
        let packed = testkit::apk::gzip(text.as_bytes());
        let sha256 = Digest::of(&packed).to_hex();
        let href = format!("repodata/{sha256}-{kind}.xml.gz");
        fs::write(folder.join(&href), &packed).unwrap();
        format!(
            "<data type=\"{kind}\"><checksum type=\"sha256\">{sha256}</checksum><location href=\"{href}\"/>\
             <size>{}</size><open-size>{}</open-size></data>",
            packed.len(),
            text.len()
        )
    };
    let primary = format!("<metadata xmlns=\"c\" xmlns:rpm=\"r\">{}</metadata>", records.concat());
    let lists = format!("<filelists>{lists}</filelists>");
    let statement = format!(
        "<repomd><revision>{revision}</revision>{}{}</repomd>",
        data("primary", &primary),
        data("filelists", &lists)
    );
    fs::write(place.join("repomd.xml"), statement).unwrap();
    rpm::sign(folder, key);
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), OpenOptions::new(SystemTime::UNIX_EPOCH)).unwrap();
        let place = Place { file: Sources::new().add("kiln.yaml", ""), line: 1, column: 1, length: 1 };
        let world = Self {
            fetcher: Fetcher::new(FetchOptions::default()),
            session: store.session().unwrap(),
            origin: "fedora".parse().unwrap(),
            settings: RpmOrigin {
                distribution: "fedora".into(),
                suite: "42".into(),
                repositories: vec!["$releasever/$basearch/os".into(), "shared".into()],
                keyring: Spanned::new("keys".parse().unwrap(), place),
                signed: Signed::Repository,
                max_age: MaxAge::Unlimited,
            },
            kept: folder.path().join("kept"),
            folder,
        };
        world.publish(2_000_000_000);
        world
    }

    fn publish(&self, revision: u64) {
        let key = ArchiveKey::new(1);
        let other = if Architecture::native() == Architecture::Amd64 { "i686" } else { "armv7hl" };
        let own = [
            record("app", other, ""),
            record("app", rpm::architecture(), "lib"),
            record("lib", rpm::architecture(), "/usr/share/odd"),
        ];
        publish(&self.mirror().join("42").join(rpm::architecture()).join("os"), revision, &own, "", &key);
        self.publish_shared(1_900_000_000);
    }

    fn publish_shared(&self, revision: u64) {
        let odd = Digest::of(b"odd noarch").to_hex();
        let lists = format!("<package pkgid=\"{odd}\" name=\"odd\"><file>/usr/share/odd</file></package>");
        let odd = [record("odd", "noarch", "")];
        publish(&self.mirror().join("shared"), revision, &odd, &lists, &ArchiveKey::new(1));
    }

    fn mirror(&self) -> PathBuf {
        self.folder.path().join("mirror")
    }

    fn mirrors(&self) -> Vec<Mirror> {
        let url = Url::parse(&format!("file://{}/", self.mirror().display())).unwrap();
        vec![Mirror { url, named_by: "a test".into() }]
    }

    fn with<T>(&self, run: impl FnOnce(&Config<'_>, &Means<'_>) -> T) -> T {
        let architectures = [Architecture::native()];
        let config = Config { origin: &self.origin, settings: &self.settings, architectures: &architectures };
        let means = Means { fetcher: &self.fetcher, folder: &self.kept, session: &self.session, reporter: &Silent };
        run(&config, &means)
    }

    fn update(&self, floor: Option<&LockedOrigin>) -> Result<Archive, IndexError> {
        let keyring = Keyring::parse("keys", ArchiveKey::new(1).public().as_bytes()).unwrap();
        self.with(|config, means| Archive::update(config, &keyring, &self.mirrors(), means, (NOW, floor)))
    }

    fn open(&self, locked: &LockedOrigin) -> Result<Archive, IndexError> {
        self.with(|config, means| Archive::open(config, locked, &self.mirrors(), means))
    }

    /// What `app` comes to, with the files that had to be looked for.
    fn solved(&self, archive: &Archive) -> Vec<String> {
        let request =
            SolveRequest::Package { origin: self.origin.clone(), name: "app".parse().unwrap(), version: None };
        let repositories = archive.repositories(Architecture::native());
        let mut found = FoundFiles::new();
        loop {
            let wants =
                match solve(&repositories, std::slice::from_ref(&request), Architecture::native(), &found).unwrap() {
                    Solved::Packages(list) => {
                        return list.iter().map(kiln_import::rpm::path_of).collect();
                    }
                    Solved::Wants(wants) => wants,
                };
            assert_eq!(wants, BTreeSet::from(["/usr/share/odd".to_owned()]));
            self.with(|_, means| archive.find_files(Architecture::native(), &wants, means, &mut found)).unwrap();
        }
    }
}

#[test]
fn repositories_are_pinned_and_opened_again_without_a_mirror() {
    let world = World::new();
    let archive = world.update(None).unwrap();
    let state = archive.state.clone();
    assert_eq!(state.date, "Wed, 18 May 2033 03:33:20 UTC", "that of the newest");
    assert_eq!(state.indexes.len(), 6, "a statement and two indexes for each");
    assert_eq!(state.release, None, "each has a statement of its own");
    let own = format!("42/{}/os", rpm::architecture());
    let paths = [
        format!("{own}/app.{}.rpm", rpm::architecture()),
        format!("{own}/lib.{}.rpm", rpm::architecture()),
        "shared/odd.noarch.rpm".to_owned(),
    ];
    assert_eq!(world.solved(&archive), paths);
    fs::remove_dir_all(world.mirror()).unwrap();
    let again = world.open(&state).unwrap();
    assert_eq!((again.state.clone(), world.solved(&again)), (state, paths.to_vec()));
}

#[test]
fn only_packages_of_the_architecture_are_offered() {
    let world = World::new();
    let archive = world.update(None).unwrap();
    let key = PackageKey {
        origin: world.origin.clone(),
        name: "app".parse().unwrap(),
        architecture: Some(Architecture::native()),
    };
    let offers = world.with(|_, means| archive.offers(&key, means)).unwrap();
    assert_eq!(offers.len(), 1, "{offers:?}");
    assert!(offers[0].path.contains(rpm::architecture()));
}

#[test]
fn an_older_state_than_the_locked_one_is_refused() {
    let world = World::new();
    let state = world.update(None).unwrap().state;
    world.update(Some(&state)).unwrap();
    let later = LockedOrigin { date: "Wed, 18 May 2033 03:33:21 UTC".into(), ..state.clone() };
    assert!(matches!(world.update(Some(&later)), Err(IndexError::Reach(ReachError::Replay { .. }))));
    // One of the repositories that goes back does not hide behind another one that is new.
    world.publish_shared(1_800_000_000);
    let error = world.update(Some(&state)).unwrap_err().to_string();
    assert!(
        error.starts_with("`shared/repodata/repomd.xml` of the origin `fedora` is offered as it was on"),
        "{error}"
    );
    world.publish_shared(1_950_000_000);
    world.update(Some(&state)).unwrap();
}

#[test]
fn a_state_that_nobody_has_any_more_is_gone() {
    let world = World::new();
    let state = world.update(None).unwrap().state;
    world.publish(2_100_000_000);
    world.open(&state).unwrap();
    fs::remove_dir_all(&world.kept).unwrap();
    assert!(matches!(world.open(&state), Err(IndexError::Reach(ReachError::Gone { .. }))));
}

#[test]
fn what_the_lock_says_of_an_index_has_to_be_what_its_statement_says() {
    let world = World::new();
    let mut state = world.update(None).unwrap().state;
    let primary = state.indexes.iter_mut().find(|index| index.path.ends_with("-primary.xml.gz")).unwrap();
    primary.sha256 = Digest::of(b"another");
    let Err(IndexError::Reach(ReachError::Gone { path, .. })) = world.open(&state) else {
        panic!("it is another state")
    };
    assert!(path.ends_with("-primary.xml.gz"));
    let said = world.with(|config, means| Archive::kept_state(config, &state, means.folder)).unwrap();
    assert_ne!(said.indexes, state.indexes);
}

#[test]
fn a_state_of_the_future_is_refused() {
    let world = World::new();
    world.publish(NOW + 3600);
    let told = world.update(None).unwrap_err().to_string();
    assert!(told.contains("yet to come"), "{told}");
}

#[test]
fn a_statement_and_its_signature_go_together() {
    let world = World::new();
    let place = world.mirror().join("shared/repodata/repomd.xml");
    let sound = fs::read_to_string(&place).unwrap();
    fs::write(&place, sound.replace("1900000000", "1900000001")).unwrap();
    let told = world.update(None).unwrap_err().to_string();
    assert!(told.contains("shared/repodata/repomd.xml") && told.contains("altered"), "{told}");
    fs::write(&place, sound).unwrap();
    let signature = world.mirror().join("shared/repodata/repomd.xml.asc");
    fs::write(&signature, "no signature").unwrap();
    let told = world.update(None).unwrap_err().to_string();
    assert!(told.contains("it is not armored"), "{told}");
}
