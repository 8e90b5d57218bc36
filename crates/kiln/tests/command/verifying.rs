//! `kiln verify`: what is reproducible passes under every condition, and what is not is named with its likely cause.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::world::{Project, World, is_root};

/// A committed project whose one recipe runs `script`.
fn built_by<'a>(world: &'a World, script: &str) -> Project<'a> {
    let project = world.bare("p");
    project.recipe("tool", &format!("build: {{ steps: [ {{ run: '{script}' }} ] }}\n"));
    project.image("web", "packages: [tool, debian:hello]\noutputs: [oci, tar]\n");
    project.lock();
    project.commit();
    project
}

/// The folder for temporary stores: one that another user can get to.
fn within(world: &World) -> String {
    world.folder().display().to_string()
}

/// Says in `$cores` how many cores may be used, or that there are more than one.
const CORES: &str = "case $(grep Cpus_allowed_list /proc/self/status) in *[-,]*) cores=2;; *) cores=1;; esac; ";

const HONEST: &str = "mkdir -p {{ out }}/usr/share; (env | sort | grep -v JOBS; umask; id; uname -n; pwd; ls -U /usr/bin | sort) > {{ out }}/usr/share/tool";

#[test]
fn what_is_reproducible_is_the_same_under_every_condition() {
    let world = World::new();
    let project = built_by(&world, HONEST);
    std::fs::set_permissions(world.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let said = project.kiln(&["verify", "--json", "--in", &within(&world)]).done().stdout;
    let results: Vec<Value> = serde_json::from_str(&said).unwrap();
    let result = |name: &str| {
        results.iter().find(|result| result["condition"] == name).unwrap_or_else(|| panic!("{name}: {said}"))
    };
    for name in ["again", "path", "one-job", "many-jobs", "umask", "locale", "environment", "machine"] {
        assert_eq!(result(name)["result"], "same", "{said}");
        // Two outputs, and the three documents of what is in them.
        assert_eq!(result(name)["compared"], 5, "{said}");
    }
    let package = project.kiln(&["verify", "tool", "--condition", "again,path", "--in", &within(&world)]).done().stdout;
    assert!(
        package.contains("again        same (4 compared)") && package.contains("path         same (4"),
        "{package}"
    );
    assert_eq!(result("user")["result"], if is_root() { "same" } else { "left-out" });
    let left: Vec<String> = std::fs::read_dir(world.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("kiln-verify-"))
        .collect();
    assert_eq!(left, [""; 0], "nothing is left behind");
}

#[test]
fn a_time_a_random_number_and_an_order_are_named_with_file_and_cause() {
    let world = World::new();
    let project = built_by(
        &world,
        "mkdir -p {{ out }}/usr/share; date +%s.%N > {{ out }}/usr/share/time; \
         cat /proc/sys/kernel/random/uuid > {{ out }}/usr/share/random; echo same > {{ out }}/usr/share/same",
    );
    let said = project.kiln(&["verify", "--condition", "again", "--in", &within(&world)]).failed(1, &[]).stdout;
    for wanted in [
        "again        DIFFERENT",
        "web oci (",
        "/usr/share/time differs at byte ",
        "likely the time of the build: `SOURCE_DATE_EPOCH` has one that stays",
        "/usr/share/random differs at byte ",
        "likely a random number",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains("/usr/share/same") && !said.contains("/usr/share/hello"), "{said}");
    let json = project
        .kiln(&["verify", "tool", "--json", "--condition", "again", "--in", &within(&world)])
        .failed(1, &[])
        .stdout;
    let results: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(results[0]["result"], "different");
    let paths: Vec<&str> =
        results[0]["differences"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/usr/share/random", "/usr/share/time"]);
}

#[test]
fn what_came_out_differently_can_be_kept_and_what_a_killed_one_left_goes() {
    let world = World::new();
    let project = built_by(&world, "mkdir -p {{ out }}/usr/share; date +%N > {{ out }}/usr/share/a");
    let left = world.path("kiln-verify-left");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("lock"), "").unwrap();
    let said =
        project.kiln(&["verify", "--keep", "--condition", "again", "--in", &within(&world)]).failed(1, &["Kept"]);
    let kept = said.stderr.lines().find_map(|line| line.trim().strip_prefix("Kept ")).unwrap().to_owned();
    let kept = std::path::Path::new(&kept);
    assert!(kept.join("out/web.tar").is_file() && kept.join("store/store/objects").is_dir(), "{said}");
    assert!(!left.exists());
}

#[test]
fn diffoscope_looks_into_the_first_file_that_differs_where_it_is_installed() {
    let world = World::new();
    let project = built_by(
        &world,
        "mkdir -p {{ out }}/usr/share; cat /proc/sys/kernel/random/uuid > {{ out }}/usr/share/a; date +%N > {{ out }}/usr/share/b",
    );
    // Stands in for the program: what it is given is looked at, not what it would say.
    let programs = world.path("programs");
    std::fs::create_dir(&programs).unwrap();
    let script = "#!/bin/sh\nfor last; do :; done\ncmp -s \"$last\" \"$(dirname \"$last\")/../first/a\" && exit\necho looked into \"$last\"\n";
    std::fs::write(programs.join("diffoscope"), script).unwrap();
    crate::world::set_mode(&programs.join("diffoscope"), 0o755);
    let mut command = project.command(&["verify", "--condition", "again", "--in", &within(&world)]);
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()));
    let said = crate::world::ended(&mut command).failed(1, &["diffoscope of /usr/share/a:", "looked into "]).stderr;
    assert!(said.contains("/second/a") && !said.contains("/second/b"), "{said}");
}

#[test]
fn what_listens_to_the_number_of_cores_shows_with_one_core_only() {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        panic!("this test needs a machine with two cores");
    }
    let world = World::new();
    let project = built_by(
        &world,
        &format!(
            "{CORES} mkdir -p {{{{ out }}}}/usr/share; echo built with $cores cores > {{{{ out }}}}/usr/share/tool"
        ),
    );
    let said =
        project.kiln(&["verify", "--condition", "again,one-core", "--in", &within(&world)]).failed(1, &[]).stdout;
    assert!(said.contains("again        same (5 compared)"), "{said}");
    assert!(said.contains("one-core     DIFFERENT") && said.contains("likely the number of cores"), "{said}");
}

#[test]
fn what_listens_to_the_number_of_jobs_shows_with_another_number() {
    let world = World::new();
    let project = built_by(&world, "mkdir -p {{ out }}/usr/share; echo jobs={{ jobs }} > {{ out }}/usr/share/tool");
    let arguments = ["verify", "--condition", "again,one-job,many-jobs", "--in", &within(&world)];
    let said = project.kiln(&arguments).failed(1, &[]).stdout;
    assert!(said.contains("again        same") && said.contains("many-jobs    DIFFERENT"), "{said}");
}

#[test]
fn a_build_that_fails_under_a_condition_fails_the_verification_with_what_it_said() {
    let world = World::new();
    let project = built_by(
        &world,
        &format!("{CORES} test $cores -gt 1; mkdir -p {{{{ out }}}}/usr/share; echo > {{{{ out }}}}/usr/share/tool"),
    );
    let said = project.kiln(&["verify", "--condition", "one-core", "--in", &within(&world)]).failed(1, &[]).stdout;
    assert!(said.contains("one-core     FAILED") && said.contains("tool"), "{said}");
    let project = built_by(&world, "exit 1");
    project
        .kiln(&["verify", "--in", &within(&world)])
        .failed(1, &["nothing to compare", "see to it that `kiln build`"]);
}

/// A mirror on loopback that remembers what it was asked for. Gives its address.
fn mirror(world: &World, asked: &Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let (root, asked) = (world.path("mirror"), Arc::clone(asked));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let answer = match std::fs::read(root.join(&path)) {
                Ok(bytes) => [
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", bytes.len()).into_bytes(),
                    b"Connection: close\r\n\r\n".to_vec(),
                    bytes,
                ]
                .concat(),
                Err(_) => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
            };
            asked.lock().unwrap().push(path);
            // Who asked may have left.
            let _ = stream.write_all(&answer);
        }
    });
    address
}

#[test]
fn what_the_first_build_downloads_is_downloaded_once_and_serves_without_a_network() {
    let world = World::new();
    let project = built_by(&world, HONEST);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut command = project.command(&["verify", "--condition", "again,machine", "--in", &within(&world)]);
    command.env("KILN_MIRROR_DEBIAN", mirror(&world, &asked)).env("KILN_STORE", world.path("empty-store"));
    let said = crate::world::ended(&mut command).done().stdout;
    assert!(said.contains("again        same") && said.contains("machine      same"), "{said}");
    let asked = asked.lock().unwrap();
    let hello = asked.iter().filter(|path| path.contains("/hello_")).count();
    assert_eq!(hello, 1, "{asked:?}");
}

#[test]
fn wrong_words_and_what_cannot_be_had_are_told() {
    let world = World::new();
    let project = built_by(&world, HONEST);
    project
        .kiln(&["verify", "--condition", "pathh"])
        .failed(2, &["`pathh` is not a condition", "did you mean `path`?"]);
    let list = project.kiln(&["verify", "--condition", "?"]).done().stdout;
    assert!(list.lines().count() >= 10, "{list}");
    project.write("kiln.yaml", format!("{}# changed\n", project.read("kiln.yaml")));
    let said = project.kiln(&["verify", "--condition", "path", "--in", &within(&world)]).done().stdout;
    assert!(said.contains("path         left out: ") && said.contains("commit first"), "{said}");
    project.kiln(&["verify", "--in", "/no/such/folder"]).failed(1, &["/no/such/folder", "--in DIR"]);
}
