//! `podman`, which nobody here wrote, loads and runs what Kiln writes. Debian: `podman runc uidmap`.
//!
//! Everything podman keeps lies in a temporary folder, and the container shares this machine's network, so that it runs
//! in a bare virtual machine, as root and as an ordinary user alike. `runc` because it takes every arrangement of
//! control groups, also the mixed one.

mod fixture;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use fixture::{Recipe, Sample, hello_program, peer_command, printed};
use kiln_image::LayerCompression;

struct Podman {
    home: tempfile::TempDir,
}

impl Podman {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
        write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
        write("registries.conf", "unqualified-search-registries = []\n");
        let containers = format!(
            "[containers]\nnetns = \"host\"\ncgroups = \"enabled\"\nlog_driver = \"k8s-file\"\n\
             default_ulimits = [\"nofile=256:256\", \"nproc=256:256\"]\n\
             [engine]\nruntime = \"runc\"\nevents_logger = \"file\"\ncgroup_manager = \"cgroupfs\"\n\
             tmp_dir = \"{0}/tmp\"\n[network]\nnetwork_config_dir = \"{0}/net\"\n",
            home.path().display()
        );
        write("containers.conf", &containers);
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/storage\"\nrunroot = \"{0}/run\"\n",
            home.path().display()
        );
        write("storage.conf", &storage);
        fs::create_dir(home.path().join("xdg")).unwrap();
        Self { home }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let home = self.home.path();
        peer_command(
            Command::new("podman")
                .args(arguments)
                .current_dir(home)
                .env("HOME", home)
                .env("XDG_RUNTIME_DIR", home.join("xdg"))
                .env("XDG_CONFIG_HOME", home)
                .env("XDG_DATA_HOME", home)
                .env("TMPDIR", home)
                .env("CONTAINERS_CONF", home.join("containers.conf"))
                .env("CONTAINERS_STORAGE_CONF", home.join("storage.conf"))
                .env("CONTAINERS_REGISTRIES_CONF", home.join("registries.conf")),
        )
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if !rustix::process::geteuid().is_root() {
            // An ordinary user's podman writes files of other users; only inside its name space can they be removed.
            let home = self.home.path().display();
            let _ = self.run(&["unshare", "rm", "-rf", &format!("{home}/storage"), &format!("{home}/run")]);
        }
    }
}

const SAID: &str = "hello from kiln\nuser 65534:65534 in /tmp, good day, root 755\n";

fn runs(output: &str, transport: &str, compression: LayerCompression) {
    let program = Some(hello_program());
    let sample = Sample::of(&Recipe { program, compression, ..Recipe::default() });
    let podman = Podman::new();
    let place = sample.write(output, podman.home.path()).path;
    let id = pull(&podman, transport, &place);
    let ran = podman.run(&["run", "--rm", &id]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(42), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(said, format!("{SAID}first\nsecond word\n"));
    let ran = podman.run(&["run", "--rm", &id, "other"]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), format!("{SAID}other\n"));
}

fn pull(podman: &Podman, transport: &str, place: &Path) -> String {
    let policy = podman.home.path().join("policy.json").display().to_string();
    // By its bare name: podman makes an image's name of the path, and takes none with capitals in it.
    let from = format!("{transport}:{}:web", place.file_name().unwrap().display());
    printed(&podman.run(&["pull", "--quiet", "--signature-policy", &policy, &from])).trim().to_owned()
}

#[test]
fn runs_a_layout_of_zstd_layers() {
    runs("oci", "oci", LayerCompression::Zstd);
}

#[test]
fn runs_an_archive_of_gzip_layers() {
    runs("oci-archive", "oci-archive", LayerCompression::Gzip);
}

#[test]
fn sees_the_configuration() {
    let podman = Podman::new();
    let place = Sample::new().write("oci", podman.home.path()).path;
    let id = pull(&podman, "oci", &place);
    let seen: serde_json::Value = serde_json::from_str(&printed(&podman.run(&["inspect", &id]))).unwrap();
    let config = &seen[0]["Config"];
    assert_eq!(config["StopSignal"], serde_json::json!("SIGQUIT"));
    assert_eq!(config["ExposedPorts"], serde_json::json!({ "53/udp": {}, "8080/tcp": {} }));
    assert_eq!(seen[0]["Annotations"]["org.opencontainers.image.version"], serde_json::json!("1.26.3"));
    assert_eq!(seen[0]["RootFS"]["Layers"].as_array().unwrap().len(), 4);
}

#[test]
fn loads_an_archive() {
    let podman = Podman::new();
    let sample = Sample::new();
    let place = sample.write("oci-archive", podman.home.path()).path;
    let policy = podman.home.path().join("policy.json").display().to_string();
    let loaded = podman.run(&["load", "--quiet", "--signature-policy", &policy, "--input", place.to_str().unwrap()]);
    assert!(printed(&loaded).contains("web"), "{loaded:?}");
    let seen: serde_json::Value = serde_json::from_str(&printed(&podman.run(&["images", "--format", "json"]))).unwrap();
    assert_eq!(seen[0]["Digest"], serde_json::json!(sample.manifest_digest().to_string()));
}
