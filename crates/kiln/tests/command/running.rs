//! `kiln run`: exit codes, the environment, volumes, users, ports, and how it stops.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::Deb;

use crate::world::{Project, World, ended};

/// A world and a project whose image has a shell.
fn with_shell(world: &World, more: &str) -> String {
    let project = world.project("p");
    project.image("web", &format!("packages: [debian:toolbox]\n{more}"));
    project.lock();
    project.folder.display().to_string()
}

fn project(world: &World) -> Project<'_> {
    Project { world, folder: world.path("p") }
}

/// A command in the image's shell.
fn shell(world: &World, options: &[&str], script: &str) -> crate::world::Ended {
    let arguments = [&["run", "web"], options, &["--", "/bin/sh", "-c", script]].concat();
    project(world).kiln(&arguments)
}

#[test]
fn the_exit_code_and_output_of_the_command_are_passed_through() {
    let world = World::new();
    with_shell(&world, "run: { command: [/bin/sh, -c, 'echo own; exit 5'] }\n");
    let own = project(&world).kiln(&["run", "web"]);
    assert_eq!((own.code, own.stdout.as_str()), (Some(5), "own\n"), "{own}");
    let mine = shell(&world, &[], "echo out; echo err >&2; exit 42");
    assert_eq!((mine.code, mine.stdout.as_str()), (Some(42), "out\n"), "{mine}");
    mine.said(&["err"]);
    let killed = shell(&world, &[], "kill -KILL $BASHPID");
    assert!(killed.code == Some(137), "{killed}");
    let none = project(&world).kiln(&["run", "web", "--", "/no/such/program"]);
    assert!(!matches!(none.code, Some(0 | 255)), "{none}");
    none.said(&["/no/such/program"]);
}

#[test]
fn both_outputs_to_one_file_are_there_in_their_order() {
    let world = World::new();
    with_shell(&world, "");
    let (path, script) = (world.path("log"), "for i in 1 2 3 4 5 6 7 8 9; do echo out$i; echo err$i >&2; done");
    let file = fs::File::create(&path).unwrap();
    let mut command = project(&world).command(&["run", "web", "--quiet", "--", "/bin/sh", "-c", script]);
    let status = command.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
    assert!(status.success());
    let wanted: Vec<String> = (1..10).flat_map(|i| [format!("out{i}"), format!("err{i}")]).collect();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().collect::<Vec<_>>(), wanted);
    // Of two files, each has its own.
    let (out, err) = (world.path("out"), world.path("err"));
    let mut command = project(&world).command(&["run", "web", "--quiet", "--", "/bin/sh", "-c", script]);
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    assert!(command.status().unwrap().success());
    for (path, word) in [(out, "out"), (err, "err")] {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.lines().count() == 9 && text.lines().all(|line| line.starts_with(word)), "{text}");
    }
}

#[test]
fn a_command_whose_output_nobody_reads_any_more_learns_of_it() {
    let world = World::new();
    with_shell(&world, "");
    let script = "while echo y; do :; done; exit 3";
    let mut command = project(&world).command(&["run", "web", "--quiet", "--", "/bin/sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"y\n");
    // The other end is closed with what was taken.
    let until = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it goes on for ever");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_image_without_a_command_says_what_to_write() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project.kiln(&["run"]).failed(2, &["the image `web` has no command", "command:"]);
    // One that is not there is told of when the image is built: a volume may yet bring it.
    project.image("web", "packages: [debian:toolbox]\nrun: { command: [/usr/bin/serve], user: nosuch }\n");
    let told = project.kiln(&["build", "--lock", "web"]).done();
    told.said(&["web: the image runs `/usr/bin/serve`, which is not a program in it", "`nosuch`", "warning", "hint"]);
    project.image("web", "packages: [debian:toolbox]\nrun: { command: [sh], user: '7:7' }\n");
    project.kiln(&["build", "web"]).done().did_not_say(&["the image runs"]);
}

#[test]
fn the_environment_is_the_images_and_what_is_given() {
    let world = World::new();
    with_shell(&world, "run: { env: { A: image, B: image } }\n");
    let mut command = project(&world).command(&["run", "web", "--env", "B=given", "--env", "C=", "--", "/usr/bin/env"]);
    let printed = ended(command.env("SECRET", "host")).done().stdout;
    let lines: Vec<&str> = printed.lines().collect();
    for line in ["A=image", "B=given", "C="] {
        assert!(lines.contains(&line), "{printed}");
    }
    assert!(!printed.contains("SECRET") && !printed.contains("KILN"), "{printed}");
    shell(&world, &["--env", "=x"], "true").failed(2, &["`=x` is not NAME=VALUE"]);
}

#[test]
fn nothing_of_the_host_is_seen_and_nothing_stays() {
    let world = World::new();
    with_shell(&world, "");
    let place = world.folder().display().to_string();
    let script = format!(
        "test ! -e {place} && echo hidden; ls /proc | grep -c '^[0-9]'; uname -n; echo x > /tmp/x && cat /tmp/x; touch /new && echo made"
    );
    let seen = shell(&world, &[], &script).done().stdout;
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], "hidden", "{seen}");
    assert!(lines[1].parse::<u32>().unwrap() < 8, "{seen}");
    assert_eq!(&lines[2..], ["web", "x", "made"], "{seen}");
    let again = shell(&world, &[], "ls -d /new /tmp/x");
    assert_ne!(again.code, Some(0), "{again}");
    let refused = shell(&world, &["--read-only"], "touch /tmp/x && touch /new");
    refused.failed(1, &["Read-only file system"]);
}

#[test]
fn volumes_bring_folders_in_and_out() {
    let world = World::new();
    with_shell(&world, "run: { volumes: [/var/lib/data] }\n");
    fs::create_dir(world.path("data")).unwrap();
    fs::write(world.path("data/in"), "from outside\n").unwrap();
    let host = world.path("data").display().to_string();
    let seen = shell(&world, &["--volume", &format!("{host}:/data")], "cat /data/in; echo inside > /data/out").done();
    assert_eq!(seen.stdout, "from outside\n");
    assert_eq!(fs::read_to_string(world.path("data/out")).unwrap(), "inside\n");
    let read_only = shell(&world, &["--volume", &format!("{host}:/data:ro")], "echo no > /data/no");
    assert_ne!(read_only.code, Some(0), "{read_only}");
    assert!(!world.path("data/no").exists());
    shell(&world, &["--read-only"], "echo x > /var/lib/data/x").done();
    let none = world.path("none").display().to_string();
    let missing = shell(&world, &["--volume", &format!("{none}:/data")], "true");
    assert!(matches!(missing.code, Some(1 | 2)), "{missing}");
    missing.said(&["none"]);
}

#[test]
fn users_of_the_image_are_users_in_the_container() {
    let world = World::new();
    let facts = "facts:\n  users: { worker: { id: 321, home: /srv } }\n  directories: { /srv/own: { owner: worker, mode: \"0700\" } }\n";
    with_shell(&world, &format!("{facts}run: {{ user: worker, workdir: /srv }}\n"));
    let seen = shell(&world, &[], "id -u; id -un; pwd; stat -c %U:%a /srv/own");
    let root = shell(&world, &["--user", "root"], "id -u").done();
    assert_eq!(root.stdout, "0\n");
    let seen = seen.done();
    assert_eq!(seen.stdout, "321\nworker\n/srv\nworker:700\n", "{seen}");
    shell(&world, &["--user", "nobody-of-this-name"], "true").failed(1, &["nobody-of-this-name"]);
}

/// Starts the command.
fn start(project: &Project<'_>, arguments: &[&str]) -> Child {
    project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A program that listens on port 8080 and answers each caller with one line. Nothing in the toolbox can listen.
fn server() -> Deb {
    let source = r#"
#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) {
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(8080), .sin_addr.s_addr = htonl(INADDR_ANY) };
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 8)) return 1;
    for (;;) {
        int caller = accept(listener, NULL, NULL);
        if (caller < 0 || write(caller, "hello from inside\n", 18) != 18) return 2;
        close(caller);
    }
}
"#;
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("server.c"), folder.path().join("server"));
    fs::write(&input, source).unwrap();
    ended(Command::new("cc").arg(&input).arg("-o").arg(&output)).done();
    Deb::new("server", "1.0").program("usr/bin/server", fs::read(&output).unwrap())
}

/// Waits until a port answers, and gives what it said.
fn ask(port: u16) -> String {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let mut answer = String::new();
        let asked = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.read_to_string(&mut answer)
        });
        if asked.is_ok() && !answer.is_empty() {
            return answer;
        }
        assert!(Instant::now() < until, "port {port} does not answer: {asked:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn signal(child: &Child, name: &str) {
    ended(Command::new("kill").arg(name).arg(child.id().to_string())).done();
}

#[test]
fn a_published_port_answers_and_a_busy_one_is_told() {
    let world = World::with(&[server()]);
    let project = world.project("p");
    project.image(
        "web",
        "packages: [debian:toolbox, debian:server]\nrun: { command: [/usr/bin/server], ports: [8080] }\n",
    );
    project.lock();
    let port = free_port();
    let publish = format!("{port}:8080");
    let mut first = start(&project, &["run", "web", "--publish", &publish]);
    assert_eq!(ask(port), "hello from inside\n");
    let busy = project.kiln(&["run", "web", "--publish", &publish]);
    busy.failed(1, &[&format!("cannot listen on port {port}"), "--publish"]);
    let began = Instant::now();
    signal(&first, "-INT");
    let status = first.wait().unwrap();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let mut said = String::new();
    first.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains(&format!("http://127.0.0.1:{port}")), "{said}");
    assert!(status.code().is_some(), "{status:?}: {said}");
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    let wrong = project.kiln(&["run", "web", "--publish", "80800:1"]);
    wrong.failed(2, &["80800"]);
    let host = project.kiln(&["run", "web", "--network", "host", "--publish", &publish]);
    host.failed(2, &["--publish"]);
}

#[test]
fn a_container_has_no_way_to_this_machines_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = World::new();
    with_shell(&world, "");
    let seen = shell(&world, &[], &format!("(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>&1; echo $?"));
    assert!(seen.stdout.contains("refused") && seen.stdout.ends_with("1\n"), "{seen}");
    let open = shell(&world, &["--network", "host"], &format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo open")).done();
    assert_eq!(open.stdout, "open\n");
}

#[test]
fn ctrl_c_stops_the_container_in_order() {
    let world = World::new();
    let script = "trap 'echo stopping; exit 9' TERM; echo ready; while true; do sleep 0.1; done";
    with_shell(&world, &format!("run: {{ command: [/bin/bash, -c, {script:?}] }}\n"));
    let mut child = start(&project(&world), &["run", "web"]);
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 6];
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"ready\n");
    signal(&child, "-INT");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(rest, "stopping\n");
    assert_eq!(status.code(), Some(9));
}

#[test]
fn the_stop_signal_is_the_images() {
    let world = World::new();
    let script = "trap 'echo quit; exit 0' QUIT; echo ready; while true; do sleep 0.1; done";
    with_shell(&world, &format!("run: {{ command: [/bin/bash, -c, {script:?}], stop-signal: SIGQUIT }}\n"));
    let mut child = start(&project(&world), &["run", "web"]);
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 6];
    stdout.read_exact(&mut first).unwrap();
    signal(&child, "-TERM");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("quit\n", Some(0)));
}

#[test]
fn what_is_typed_reaches_the_command() {
    let world = World::new();
    with_shell(&world, "");
    let mut command = project(&world).command(&["run", "web", "--", "/usr/bin/tr", "a-z", "A-Z"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "TYPED\n", "{output:?}");
}

#[test]
fn a_kill_of_the_command_leaves_no_container_behind() {
    let world = World::new();
    with_shell(&world, "");
    let marker = format!("{}", 86_400 + u32::from(free_port()));
    let mut child =
        start(&project(&world), &["run", "web", "--", "/bin/sh", "-c", &format!("echo ready; sleep {marker}")]);
    let mut first = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    let alive = || {
        let lines =
            fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
        lines.filter(|line| line.split(|byte| *byte == 0).any(|word| word == marker.as_bytes())).count()
    };
    while alive() > 0 {
        assert!(Instant::now() < until, "the container's command goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
}
