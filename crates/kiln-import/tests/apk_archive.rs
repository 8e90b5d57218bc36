//! An archive of Alpine's: who is believed, what is pinned, and what is not fetched twice.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::SystemTime;

use kiln_fetch::{FetchOptions, Fetcher, Url};
use kiln_import::apk::{Archive, Config, IndexError, Keys, solve};
use kiln_import::archive::Means;
use kiln_import::mirror::Mirror;
use kiln_import::reach::ReachError;
use kiln_import::solver::SolveRequest;
use kiln_model::lock::LockedOrigin;
use kiln_model::project::{ApkOrigin, IndexSignatures};
use kiln_model::{Architecture, Digest, ObjectId, OriginName, Silent};
use kiln_store::{OpenOptions, Session, Store};
use testkit::{AlpineArchive, Apk, ApkKey};

static KEY: LazyLock<ApkKey> = LazyLock::new(|| ApkKey::new(1));
static OTHER: LazyLock<ApkKey> = LazyLock::new(|| ApkKey::new(2));

struct World {
    folder: tempfile::TempDir,
    fetcher: Fetcher,
    session: Session,
    origin: OriginName,
    settings: ApkOrigin,
    kept: PathBuf,
}

fn packages() -> Vec<Apk> {
    vec![
        Apk::new("busybox", "1.37.0-r12").field("provides", "cmd:sh=1.37.0-r12").program("bin/busybox", "program"),
        Apk::new("app", "2-r0").field("depend", "cmd:sh").file("usr/share/app", "app"),
    ]
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("keys")).unwrap();
        fs::write(folder.path().join("keys").join(&KEY.name), KEY.public()).unwrap();
        let store = Store::open(&folder.path().join("store"), OpenOptions::new(SystemTime::UNIX_EPOCH)).unwrap();
        let world = Self {
            fetcher: Fetcher::new(FetchOptions::default()),
            session: store.session().unwrap(),
            origin: "alpine".parse().unwrap(),
            settings: ApkOrigin {
                distribution: "alpine".into(),
                suite: "v3.22".into(),
                components: vec!["main".into()],
                keyring: kiln_model::diagnostic::Spanned::new(
                    "keys".parse().unwrap(),
                    kiln_model::diagnostic::Place {
                        file: kiln_model::diagnostic::Sources::new().add("kiln.yaml", ""),
                        line: 1,
                        column: 1,
                        length: 1,
                    },
                ),
                signatures: IndexSignatures::Sha256,
            },
            kept: folder.path().join("kept"),
            folder,
        };
        AlpineArchive::new(&packages()).write(&world.mirror(), &KEY);
        world
    }

    fn mirror(&self) -> PathBuf {
        self.folder.path().join("mirror")
    }

    fn repository(&self) -> PathBuf {
        self.mirror().join("v3.22/main").join(testkit::apk::architecture())
    }

    fn index(&self) -> PathBuf {
        self.repository().join("APKINDEX.tar.gz")
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
        let keys = Keys::open(&self.folder.path().join("keys"))?;
        self.with(|config, means| Archive::update(config, &keys, &self.mirrors(), means, floor))
    }

    fn open(&self, locked: &LockedOrigin) -> Result<Archive, IndexError> {
        self.with(|config, means| Archive::open(config, locked, &self.mirrors(), means))
    }

    /// Pins what `app` needs.
    fn pin(&self, archive: &Archive) -> Result<Vec<(String, Digest)>, IndexError> {
        let repositories = archive.repositories(Architecture::native());
        let request =
            SolveRequest::Package { origin: self.origin.clone(), name: "app".parse().unwrap(), version: None };
        let selected = solve(&repositories, &[request], Architecture::native()).unwrap();
        let pins = self.with(|_, means| archive.pin(&selected, means))?;
        Ok(selected.iter().map(|s| s.record.name.clone()).zip(pins).collect())
    }

    /// What is said of an archive that is refused.
    #[track_caller]
    fn refused(&self) -> (String, String) {
        let error = self.update(None).expect_err("it is refused");
        (error.to_string(), error.hint().unwrap_or_default())
    }
}

#[test]
fn packages_are_pinned_by_the_digest_of_their_files_and_brought_into_the_store() {
    let world = World::new();
    let archive = world.update(None).unwrap();
    assert_eq!(archive.state.date, "Tue, 14 Nov 2023 22:13:20 UTC");
    assert_eq!(archive.state.indexes.len(), 1);
    let pins = world.pin(&archive).unwrap();
    assert_eq!(pins.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["app", "busybox"]);
    for (name, digest) in &pins {
        let version = if name == "app" { "2-r0" } else { "1.37.0-r12" };
        let bytes = fs::read(world.repository().join(format!("{name}-{version}.apk"))).unwrap();
        assert_eq!(*digest, Digest::of(&bytes));
        assert!(world.session.has_object(&ObjectId(*digest)));
    }
    // What was checked once is neither fetched nor checked again.
    fs::remove_dir_all(world.mirror()).unwrap();
    let again = world.open(&archive.state).unwrap();
    assert_eq!(world.pin(&again).unwrap(), pins);
}

#[test]
fn an_index_that_no_key_of_the_project_signed_is_not_believed() {
    let world = World::new();
    AlpineArchive::new(&packages()).write(&world.mirror(), &OTHER);
    let (said, hint) = world.refused();
    assert!(said.contains("no key of the project made its signature; it is said to be by `test-2.rsa.pub`"), "{said}");
    assert!(hint.contains("keyring"), "{hint}");
    // Another key under a name that is known.
    let mut imposter = OTHER.clone();
    imposter.name.clone_from(&KEY.name);
    AlpineArchive::new(&packages()).write(&world.mirror(), &imposter);
    assert!(world.refused().0.contains("does not fit"));
}

#[test]
fn an_index_that_was_changed_or_not_signed_is_not_believed() {
    let world = World::new();
    let good = fs::read(world.index()).unwrap();
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(world.index(), &changed).unwrap();
    assert!(world.refused().0.contains("does not fit"));
    fs::write(world.index(), &good[..good.len() - 40]).unwrap();
    assert!(world.refused().0.contains("does not fit"));
    let unsigned = testkit::apk::piece([], true);
    fs::write(world.index(), &unsigned).unwrap();
    assert!(world.refused().0.contains("no signature"), "{:?}", world.refused());
    fs::write(world.index(), b"no index").unwrap();
    assert!(world.refused().0.contains("cannot be read"));
    // The sound index of other packages behind the signature of these.
    AlpineArchive::new(&packages()[..1]).write(&world.mirror(), &KEY);
    let other = fs::read(world.index()).unwrap();
    let signature = KEY.signature("RSA256", b"something else");
    fs::write(world.index(), [&signature[..], &other[..]].concat()).unwrap();
    assert!(world.refused().0.contains("does not fit"));
}

#[test]
fn a_signature_over_sha1_counts_only_where_the_project_says_so() {
    let mut world = World::new();
    let packages = packages();
    AlpineArchive { algorithm: "RSA", ..AlpineArchive::new(&packages) }.write(&world.mirror(), &KEY);
    let (said, hint) = world.refused();
    assert!(said.contains("is over SHA-1") && hint.contains("signatures: sha1"), "{said} {hint}");
    world.settings.signatures = IndexSignatures::Sha1;
    world.update(None).unwrap();
}

#[test]
fn a_package_that_is_not_what_the_index_names_is_refused_and_not_kept() {
    let world = World::new();
    let archive = world.update(None).unwrap();
    let file = world.repository().join("app-2-r0.apk");
    let good = packages()[1].sections(&KEY);
    // The same size, so that only the digests can tell.
    let mut data = good.clone();
    let last = data.data.len() - 1;
    data.data[last] ^= 1;
    let mut control = good.clone();
    control.control[9] ^= 1;
    for (bad, said) in [(data, "datahash"), (control, "not the one that the signed index names")] {
        fs::write(&file, bad.bytes()).unwrap();
        let error = world.pin(&archive).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(said), "{error}: {source}");
    }
    fs::write(&file, &good.bytes()[..60]).unwrap();
    world.pin(&archive).unwrap_err();
    fs::write(&file, [&good.bytes()[..], b"and more"].concat()).unwrap();
    world.pin(&archive).unwrap_err();
    fs::write(&file, good.bytes()).unwrap();
    world.pin(&archive).expect("nothing bad was kept");
}

#[test]
fn an_older_index_than_the_locked_one_is_a_replay() {
    let world = World::new();
    let state = world.update(None).unwrap().state;
    world.update(Some(&state)).unwrap();
    let later = LockedOrigin { date: "Fri, 15 Jan 2027 08:00:00 UTC".into(), ..state };
    let error = world.update(Some(&later)).unwrap_err();
    assert!(matches!(error, IndexError::Reach(ReachError::Replay { .. })), "{error}");
}

#[test]
fn a_component_that_goes_back_does_not_hide_behind_another_that_is_new() {
    let mut world = World::new();
    world.settings.components.push("community".into());
    let publish = |component: &str, built: &str| {
        let packages = [Apk::new("tool", "1-r0").field("builddate", built)];
        AlpineArchive { component: component.into(), ..AlpineArchive::new(&packages) }.write(&world.mirror(), &KEY);
    };
    publish("main", "1900000000");
    publish("community", "1800000000");
    let state = world.update(None).unwrap().state;
    publish("main", "1950000000");
    world.update(Some(&state)).unwrap();
    publish("community", "1799999999");
    let error = world.update(Some(&state)).unwrap_err().to_string();
    assert!(error.starts_with("`community/") && error.contains("is offered as it was on"), "{error}");
    // Where the locked index is not kept, nothing is known of it but its digest.
    fs::remove_dir_all(&world.kept).unwrap();
    world.update(Some(&state)).unwrap();
}

#[test]
fn a_locked_index_is_had_again_only_as_it_was() {
    let world = World::new();
    let state = world.update(None).unwrap().state;
    fs::remove_dir_all(&world.kept).unwrap();
    world.open(&state).expect("the mirror has it still");
    fs::remove_dir_all(&world.kept).unwrap();
    AlpineArchive::new(&packages()[..1]).write(&world.mirror(), &KEY);
    assert!(matches!(world.open(&state), Err(IndexError::Reach(ReachError::Gone { .. }))));
}

#[test]
fn what_is_no_key_is_refused() {
    let world = World::new();
    let keys = world.folder.path().join("keys");
    fs::write(keys.join("bad.rsa.pub"), "no key\n").unwrap();
    assert!(matches!(world.update(None), Err(IndexError::Keys(_))));
    fs::remove_dir_all(&keys).unwrap();
    fs::create_dir(&keys).unwrap();
    assert!(world.update(None).unwrap_err().hint().unwrap().contains(".rsa.pub"));
}
