//! How long it takes to load and validate a project of a thousand recipes. Prints the best and the median of many runs.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use kiln_model::lock::{self, Lock, LockedOrigin, LockedPackage, LockedSource, LockedTarget, PackageKey, TargetKey};
use kiln_model::project::{LoadedProject, parse_project_tree, synthetic, wanted_files};
use kiln_model::recipe::SourceKind;
use kiln_model::{Architecture, ArchiveKind, Digest, OriginName, yaml};

fn main() {
    let files = synthetic::files(1000);
    let names: BTreeSet<String> = files.iter().map(|(path, _)| path.clone()).collect();
    let texts = || files.iter().map(|(path, text)| (&**path, &**text));
    measure("load and validate 1,000 recipes", || {
        black_box(parse_project_tree(texts(), &names).expect("the synthetic project is sound"));
    });
    measure("of that, reading the YAML", || {
        for (path, text) in texts().filter(|(path, _)| wanted_files(path)) {
            black_box(yaml::parse(path, text).expect("the synthetic project is sound"));
        }
    });
    let project = parse_project_tree(texts(), &names).expect("the synthetic project is sound");
    let lock = locked(&project).to_string();
    measure("read the lock of 1,000 recipes", || {
        black_box(lock::parse(&lock).expect("the lock holds together"));
    });
    let parsed = lock::parse(&lock).expect("the lock holds together");
    measure("is it stale?", || {
        let targets = project.wanted_targets(Architecture::Amd64);
        assert!(parsed.stale(&project.project.origins, &targets, &project.wanted_sources()).len() <= 1);
    });
    measure("what 1,000 recipes ask of the lock", || {
        black_box((project.wanted_targets(Architecture::Amd64), project.wanted_sources()));
    });
}

/// A lock of the size that such a project has: every build environment a hundred packages and a few
/// more, every recipe a few at run time.
fn locked(project: &LoadedProject) -> Lock {
    let mut lock = Lock::default();
    let origin: OriginName = "debian".parse().expect("a name");
    lock.origins.insert(
        origin.clone(),
        LockedOrigin {
            archive: ArchiveKind::Deb,
            distribution: "debian".to_owned(),
            suite: "trixie".to_owned(),
            components: vec!["main".to_owned()],
            release: Some(Digest::EMPTY),
            date: "2026-11-01T00:00:00Z".to_owned(),
            indexes: Vec::new(),
        },
    );
    let keys: Vec<PackageKey> = (0..300)
        .map(|n| PackageKey {
            origin: origin.clone(),
            name: format!("library{n}").parse().expect("a name"),
            architecture: Some(Architecture::Amd64),
        })
        .collect();
    for key in &keys {
        let package = LockedPackage {
            version: "1.2.3-4".to_owned(),
            path: format!("pool/main/l/{0}/{0}_1.2.3-4_amd64.deb", key.name),
            sha256: Digest::of(key.name.as_str().as_bytes()),
            size: 123_456,
            source: None,
            parts: Vec::new(),
        };
        lock.packages.insert(key.clone(), package);
    }
    for (index, target) in project.wanted_targets(Architecture::Amd64).into_iter().enumerate() {
        let more = (0..4).map(|n| keys[100 + (index + n * 7) % 200].reference());
        let mut packages: BTreeSet<_> = if target.name.starts_with("image:") {
            keys.iter().map(PackageKey::reference).collect()
        } else if target.name.ends_with(":runtime") {
            BTreeSet::new()
        } else {
            keys[..100].iter().map(PackageKey::reference).collect()
        };
        if target.name.starts_with("recipe:") {
            packages.extend(more);
        }
        let key = TargetKey { name: target.name, architecture: target.architecture };
        lock.targets
            .insert(key, LockedTarget { requests: target.requests.into_keys().collect(), packages: packages.into() });
    }
    for source in project.wanted_sources() {
        if let SourceKind::Archive { url, sha256, .. } = source.source.kind {
            let pinned = LockedSource::Archive { url: url.value, sha256, size: Some(1) };
            lock.sources.insert((source.recipe, source.index), pinned);
        }
    }
    lock
}

fn measure(what: &str, mut run: impl FnMut()) {
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    println!("{what}: best {:.1} ms, median {:.1} ms", millis(times[0]), millis(times[times.len() / 2]));
}
