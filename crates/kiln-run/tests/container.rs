//! Containers, from outside and from inside. Every test here runs as the user who runs it, again as one with a single id,
//! and again as one with ranges of ids where this machine has such a user.

mod fixture;

use std::fs;
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use fixture::Fixture;
use kiln_model::{Event, Reporter, Silent, TreePath};
use kiln_run::{Container, Network, Outcome, Owned, Port, RunError, Running, Volume, VolumeSource};
use kiln_sys::Identities;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

const LONG: Duration = Duration::from_secs(60);

fn empty(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    FIXTURE.empty(&format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn container(script: &str) -> Container {
    Container::new(FIXTURE.root(), ["sh", "-euc", script].map(str::to_owned).to_vec())
}

fn path(text: &str) -> TreePath {
    TreePath::from_absolute(text).unwrap()
}

fn explain(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    format!("{text} (hint: {:?})", error.hint())
}

fn start(container: &Container) -> Running {
    container.start(&Silent).unwrap_or_else(|e| panic!("{}", explain(&e)))
}

/// Runs to the end: the outcome and what was printed.
fn run(mut container: Container) -> (Outcome, String) {
    let mut file = tempfile::tempfile().unwrap();
    container.output = Some(file.try_clone().unwrap());
    let outcome = start(&container).wait(Some(LONG)).unwrap().expect("it did not end");
    let mut said = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut said).unwrap();
    (outcome, said)
}

fn says(container: Container) -> String {
    let (outcome, said) = run(container);
    assert_eq!(outcome, Outcome::Exited(0), "{said}");
    said
}

/// Has the caller more than one id to give?
fn has_ranges() -> bool {
    Identities::ranges().is_ok()
}

const LISTENER: &str = r#"perl -MIO::Socket::INET -e '
    my $s = IO::Socket::INET->new(Listen => 50, LocalAddr => $ARGV[0], LocalPort => $ARGV[1], ReuseAddr => 1) or die "listen: $!";
    while (my $c = $s->accept) { my $d = ""; while (sysread $c, my $b, 65536) { $d .= $b; } syswrite $c, "got " . length($d) . "\n"; close $c }'"#;

fn ask(port: u16, bytes: usize) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(LONG))?;
    stream.write_all(&vec![b'x'; bytes])?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn the_same_holds_for_users_with_one_id_and_with_ranges() {
    fixture::run_again_as(54321, "the_same_holds_for_users_with_one_id_and_with_ranges");
    if let Some(uid) = fixture::user_with_ranges() {
        fixture::run_again_as(uid, "the_same_holds_for_users_with_one_id_and_with_ranges");
    }
}

#[test]
fn exit_codes_and_signals_come_through() {
    assert_eq!(run(container("exit 7")).0.code(), 7);
    assert_eq!(run(container("kill -TERM $$; sleep 5")).0.code(), 143);
}

#[test]
fn the_environment_is_the_images_and_what_is_asked_for() {
    let mut container = container("env | sort; uname -n; pwd; cat /etc/hostname");
    container.environment.insert("GREETING".to_owned(), "hello".to_owned());
    container.host_name = "web".to_owned();
    container.directory = "/usr/lib".to_owned();
    container.user = Some("http".to_owned());
    assert_eq!(
        says(container),
        "GREETING=hello\nHOME=/var/www\nHOSTNAME=web\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/usr/lib\nweb\n/usr/lib\nweb\n"
    );
}

#[test]
fn the_user_is_the_images() {
    for (user, said) in [
        (None, "0 0\n"),
        (Some("http"), "33 34\n"),
        (Some("33"), "33 34\n"),
        (Some("http:mail"), "33 8\n"),
        (Some("5:6"), "5 6\n"),
    ] {
        let mut container = container("echo $(id -u) $(id -g); touch /tmp/x /run/x 2>/dev/null || touch /tmp/x");
        container.user = user.map(str::to_owned);
        assert_eq!(says(container), said, "{user:?}");
    }
    let mut unknown = container("true");
    unknown.user = Some("nobody-knows".to_owned());
    assert!(matches!(unknown.start(&Silent), Err(RunError::Account { .. })));
}

#[test]
fn with_ranges_root_can_become_another_user_and_without_it_is_told_so() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);
    impl Reporter for Heard {
        fn report(&self, event: Event) {
            if let Event::Warning { message, .. } = event {
                self.0.lock().unwrap().push(message);
            }
        }
    }
    let heard = Heard::default();
    let script = "perl -e '$( = 34; $) = \"34 34\"; $< = $> = 33; print \"$< $>\"; exit($> == 33 ? 0 : 3)'";
    let mut container = container(script);
    container.output = Some(tempfile::tempfile().unwrap());
    let outcome = container.start(&heard).unwrap().wait(Some(LONG)).unwrap().unwrap();
    let warnings = heard.0.lock().unwrap();
    if has_ranges() {
        assert_eq!((outcome, warnings.len()), (Outcome::Exited(0), 0), "{warnings:?}");
    } else {
        assert_eq!((outcome, warnings.len()), (Outcome::Exited(3), 1), "{warnings:?}");
    }
}

#[test]
fn a_set_user_id_program_of_the_image_has_effect_and_gains_no_more_than_root_has() {
    let script = "cat $(command -v cat) > /usr/cat; perl -e 'chmod 04755, \"/usr/cat\"; \
                  $( = 34; $) = \"34 34\"; $< = $> = 33; exec \"/usr/cat\", \"/proc/self/status\"'";
    let said = says(container(script));
    let line = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned();
    assert_eq!((line("NoNewPrivs:"), line("CapBnd:")), ("0".to_owned(), "00000000a00405fb".to_owned()), "{said}");
    if has_ranges() {
        assert_eq!(line("Uid:").split_whitespace().collect::<Vec<_>>(), ["33", "0", "0", "0"], "{said}");
        assert_eq!(line("CapEff:"), "00000000a00405fb", "{said}");
    }
}

#[test]
fn what_is_written_never_reaches_the_checkout() {
    let script = "echo changed > /etc/marker; cat /etc/marker; echo new > /usr/new; rm /usr/bin/sort; rm -r /var/lib /home; mkdir /home";
    assert_eq!(says(container(script)), "changed\n");
    let root = FIXTURE.root();
    assert_eq!(fs::read_to_string(root.join("etc/marker")).unwrap(), "from the store\n");
    assert!(root.join("usr/bin/sort").exists() && root.join("var/lib").is_dir() && !root.join("usr/new").exists());
    assert!(!root.join("proc").exists() && !root.join("dev").exists() && !root.join("host").exists());
    assert_eq!(says(container("cat /etc/marker")), "from the store\n");
}

#[test]
fn a_read_only_container_can_write_to_tmp_run_and_volumes_only() {
    let data = empty("data");
    let mut container = container(
        "for d in tmp run dev/shm data run/deep; do echo x > /$d/file; done
         for d in '' etc/ usr/ var/lib/; do (echo x > /${d}file) 2>/dev/null && echo wrote $d; done; true",
    );
    container.read_only = true;
    let volume = |source, target| Volume { source, target: path(target), read_only: false };
    container.volumes =
        vec![volume(VolumeSource::Path(data.clone()), "/data"), volume(VolumeSource::Temporary, "/run/deep")];
    assert_eq!(says(container), "");
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "x\n");
}

#[test]
fn what_the_image_declares_belongs_to_its_owner() {
    let root = FIXTURE.root();
    let owned = |text: &str, uid, mode| Owned { path: path(text), uid, gid: 34, mode };
    for read_only in [false, true] {
        let mut container = container("stat -c '%u %g %a' /var/tmp /etc/marker /run; cat /etc/marker; [ -w /run ]");
        container.user = Some("http".to_owned());
        container.read_only = read_only;
        container.owned =
            vec![owned("/var/tmp", 33, 0o2750), owned("/etc/marker", 33, 0o440), owned("/run", 33, 0o700)];
        assert_eq!(says(container), "33 34 2750\n33 34 440\n33 34 700\nfrom the store\n");
    }
    assert_eq!(fs::metadata(root.join("etc/marker")).unwrap().permissions().mode() & 0o777, 0o644);
    let mut container = container("stat -c %u /var/tmp /var/lib");
    container.user = Some("http".to_owned());
    container.owned = vec![owned("/var/tmp", 0, 0o755)];
    let expected = if has_ranges() { "0\n0\n" } else { "33\n33\n" };
    assert_eq!(says(container), expected, "with one id everything belongs to it");
}

#[test]
fn volumes_show_folders_and_files_of_the_host() {
    let data = empty("data");
    fs::write(data.join("in"), "from the host\n").unwrap();
    // Whoever runs Kiln owns it, which in a container with ranges of ids is root.
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let mut container = container(
        "cat /data/in /etc/app/conf /var/link/in; echo out > /data/out; (echo x > /ro/x) 2>/dev/null || echo refused; \
         echo x > /memory/x; rm -r /var/tmp",
    );
    let volume = |text: &str| text.replace("DATA", data.to_str().unwrap()).parse::<Volume>().unwrap();
    container.volumes =
        ["DATA:/data", "DATA:/ro:ro", "DATA/in:/etc/app/conf:ro", "DATA:/var/link", "/memory"].map(volume).to_vec();
    container.user = Some("http".to_owned());
    container.owned = vec![Owned { path: path("/var"), uid: 33, gid: 34, mode: 0o755 }];
    assert_eq!(says(container), "from the host\nfrom the host\nfrom the host\nrefused\n");
    assert_eq!(fs::read_to_string(data.join("out")).unwrap(), "out\n");
    for (bad, why) in [("/proc/x", "its own"), ("/dev", "its own")] {
        let mut container = self::container("true");
        container.volumes = vec![bad.parse().unwrap()];
        assert!(container.start(&Silent).unwrap_err().to_string().contains(why), "{bad}");
    }
    let mut nested = self::container("echo x > /a/b/c/file; [ ! -e /a/file ]");
    nested.volumes = ["/a/b/c", "/a"].map(|t| t.parse().unwrap()).to_vec();
    says(nested);
    let mut nowhere = self::container("true");
    nowhere.volumes = ["DATA:/data", "/data/deep"].map(volume).to_vec();
    assert!(matches!(nowhere.start(&Silent), Err(RunError::Target { .. })));
    let mut missing = self::container("true");
    missing.volumes = vec!["/no/such/folder:/data".parse().unwrap()];
    assert!(missing.start(&Silent).unwrap_err().to_string().contains("/no/such/folder"));
}

#[test]
fn published_ports_are_reached_and_nothing_else() {
    let mut container = container(&format!("{LISTENER} 127.0.0.1 80"));
    container.user = Some("http".to_owned());
    container.ports = vec![Port { host: 0, container: 80 }];
    let running = start(&container);
    running.wait_port(80, LONG).unwrap_or_else(|e| panic!("{}", explain(&e)));
    let (address, inner) = running.addresses()[0];
    assert!(address.ip().is_loopback() && inner == 80);
    assert_eq!(ask(address.port(), 5).unwrap(), "got 5\n");
    assert_eq!(ask(address.port(), 3_000_000).unwrap(), "got 3000000\n", "more than any buffer holds");
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|n| scope.spawn(move || ask(address.port(), n).unwrap())).collect();
        for (n, one) in all.into_iter().enumerate() {
            assert_eq!(one.join().unwrap(), format!("got {n}\n"));
        }
    });
    let idle = TcpStream::connect(address).unwrap();
    drop(running);
    assert!(TcpStream::connect(address).is_err(), "the port is free again");
    idle.set_read_timeout(Some(LONG)).unwrap();
    assert!(matches!((&idle).read(&mut [0]), Ok(0) | Err(_)), "open connections end with the container");
}

#[test]
fn a_connection_that_nothing_takes_is_closed() {
    let mut container = container("sleep 100");
    container.ports = vec![Port { host: 0, container: 80 }];
    let running = start(&container);
    let mut stream = TcpStream::connect(running.addresses()[0].0).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    let error = running.wait_port(80, Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, RunError::NotListening { port: 80, .. }), "{error:?}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut container = container("true");
    container.ports = vec![Port { host: port, container: 80 }];
    let error = container.start(&Silent).unwrap_err();
    assert!(error.to_string().contains(&port.to_string()) && error.hint().is_some(), "{}", explain(&error));
}

#[test]
fn the_network_leads_nowhere_unless_it_is_the_hosts() {
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let script = format!(
        r#"perl -MIO::Socket::INET -e '
        print IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => {}, Timeout => 5) ? "host\n" : "$!\n"'"#,
        host.local_addr().unwrap().port()
    );
    assert_eq!(says(container(&script)), "Connection refused\n");
    let mut on_host = container(&script);
    on_host.network = Network::Host;
    assert_eq!(says(on_host), "host\n");
    let mut both = container("true");
    both.network = Network::Host;
    both.ports = vec![Port { host: 0, container: 80 }];
    assert!(matches!(both.start(&Silent), Err(RunError::PortOnHost)));
}

#[test]
fn stopping_asks_first_and_kills_after_the_grace() {
    let data = empty("data");
    let mut polite =
        container("trap 'echo bye > /data/bye; exit 3' USR1; echo x > /data/ready; while :; do sleep 0.02; done");
    polite.stop_signal = 10;
    polite.volumes = vec![Volume { source: VolumeSource::Path(data.clone()), target: path("/data"), read_only: false }];
    let running = start(&polite);
    wait_until(|| data.join("ready").exists());
    assert_eq!(running.stop().unwrap(), Outcome::Exited(3));
    assert_eq!(fs::read_to_string(data.join("bye")).unwrap(), "bye\n");
    fs::remove_file(data.join("ready")).unwrap();
    polite.command[2] = "trap '' USR1; echo x > /data/ready; sleep 1000".to_owned();
    polite.grace = Duration::from_millis(50);
    let running = start(&polite);
    wait_until(|| data.join("ready").exists());
    assert_eq!(running.stop().unwrap(), Outcome::Signaled(9));
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < until, "it did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_command_that_ends_before_it_listens_is_no_reason_to_wait() {
    let running = start(&container("exit 1"));
    let error = running.wait_port(80, LONG).unwrap_err();
    assert!(matches!(error, RunError::EndedBeforeListening(80)), "{error:?}");
}

#[test]
fn two_of_one_image_do_not_meet() {
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn(move || {
                    says(container(&format!(
                        "echo {n} > /etc/marker; sleep 0.1; cat /etc/marker; cd /proc; echo [0-9]*"
                    )))
                })
            })
            .collect();
        for (n, run) in runs.into_iter().enumerate() {
            assert_eq!(run.join().unwrap(), format!("{n}\n1 2\n"));
        }
    });
}

#[test]
fn a_link_in_the_image_cannot_lead_a_write_out_of_it() {
    let victim = empty("victim");
    for name in ["hosts", "hostname", "passwd"] {
        fs::write(victim.join(name), "untouched\n").unwrap();
    }
    let hostile = empty("hostile");
    for entry in fs::read_dir(FIXTURE.root()).unwrap() {
        let name = entry.unwrap().file_name();
        if ["usr", "bin", "lib", "lib64"].contains(&name.to_str().unwrap()) {
            copy_by_link(&FIXTURE.root().join(&name), &hostile.join(&name));
        }
    }
    // As it would look while the container is made: this machine's root is at `/host` then.
    let out = format!("/host{}", victim.display());
    for name in ["etc", "run", "dev", "proc", "tmp", "data"] {
        symlink(&out, hostile.join(name)).unwrap();
    }
    for read_only in [false, true] {
        let mut container = container("ls /data /run; echo x > /tmp/passwd");
        container.root = hostile.clone();
        container.read_only = read_only;
        container.volumes = vec!["/data/d".parse().unwrap(), "/run/x".parse().unwrap()];
        let (outcome, said) = run(container);
        assert!(!said.contains("passwd"), "{outcome:?} {said}");
        for name in ["hosts", "hostname", "passwd"] {
            assert_eq!(fs::read_to_string(victim.join(name)).unwrap(), "untouched\n");
        }
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 3);
    }
}

fn copy_by_link(from: &Path, to: &Path) {
    let found = fs::symlink_metadata(from).unwrap();
    if found.is_symlink() {
        symlink(fs::read_link(from).unwrap(), to).unwrap();
    } else if found.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy_by_link(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::hard_link(from, to).unwrap();
    }
}

#[test]
fn nothing_of_the_host_is_seen_and_its_kernel_is_out_of_reach() {
    let umount = if cfg!(target_arch = "x86_64") { 166 } else { 39 };
    let script = "ls -d /sys/* /work /host /lower /upper 2>/dev/null || true
         (echo 1 > /proc/sys/kernel/sysrq) 2>/dev/null && echo wrote
         (echo b > /proc/sysrq-trigger) 2>/dev/null || true
         perl -e 'my ($p, $n) = (\"/proc\", UMOUNT); syscall($n, $p, 2) == -1 or print \"unmounted\"'
         cat /proc/1/environ 2>/dev/null && echo read
         cd /proc; echo [0-9]*";
    let said = says(container(&script.replace("UMOUNT", &umount.to_string())));
    assert_eq!(said.lines().next_back(), Some("1 2"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn nothing_is_left_on_the_host() {
    let mounts =
        || fs::read_to_string("/proc/self/mountinfo").unwrap().lines().filter(|l| l.contains("kiln-fixture")).count();
    let before = listing(&FIXTURE.root());
    let running = start(&container("echo x > /etc/new; sleep 1000"));
    assert_eq!(mounts(), 0, "mounts are the container's own");
    drop(running);
    assert_eq!(listing(&FIXTURE.root()), before);
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all.extend(listing(&entry.path()));
        }
        all.push(entry.path());
    }
    all.sort();
    all
}

/// The part of the next tests that is signalled and killed: it serves when it is the only test that was asked for, in the
/// folder that it is started in.
#[test]
fn a_service_in_a_program_of_its_own() {
    let folder = std::env::current_dir().unwrap();
    if !std::env::args().any(|argument| argument == "--exact") {
        assert_eq!(run(container("true")).0, Outcome::Exited(0));
        return;
    }
    let mut service = container(
        "trap 'echo stopped > /data/stopped; exit 0' TERM; echo x > /data/ready; while :; do sleep 71.71 & wait; done",
    );
    service.volumes = vec![Volume { source: VolumeSource::Path(folder), target: path("/data"), read_only: false }];
    let outcome = service.run(&Silent).unwrap();
    assert_eq!(outcome, Outcome::Exited(0));
}

fn service() -> (std::process::Child, PathBuf) {
    let folder = empty("service");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_service_in_a_program_of_its_own"])
        .current_dir(&folder)
        .env("TMPDIR", empty("left"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| folder.join("ready").exists());
    (child, folder)
}

#[test]
fn interrupting_kiln_stops_the_command_in_order() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let (mut child, folder) = service();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(fs::read_to_string(folder.join("stopped")).unwrap(), "stopped\n");
    }
}

#[test]
fn killing_kiln_ends_the_container() {
    let (mut child, folder) = service();
    child.kill().unwrap();
    child.wait().unwrap();
    // Every process of the container has the folder as a mount of its own.
    let folder = folder.to_str().unwrap().to_owned();
    let is_inside = |entry: fs::DirEntry| {
        fs::read_to_string(entry.path().join("mountinfo")).is_ok_and(|text| text.contains(&folder))
    };
    wait_until(|| !fs::read_dir("/proc").unwrap().flatten().any(is_inside));
    assert!(!Path::new(&folder).join("stopped").exists());
}

/// The part of the next test that is inside a container already, where the filter refuses more namespaces.
#[test]
fn a_container_in_a_container() {
    if !std::env::args().any(|argument| argument == "--exact") {
        assert_eq!(run(container("true")).0, Outcome::Exited(0));
        return;
    }
    let error = container("true").start(&Silent).unwrap_err();
    println!("refused: {}", explain(&error));
}

#[test]
fn a_kernel_that_refuses_namespaces_is_named_with_the_way_out() {
    let folder = empty("nested");
    let tests = folder.join("tests");
    fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    let mut outer = container("exec /nested/tests --exact --nocapture a_container_in_a_container");
    let volume = |source: &Path, target| Volume {
        source: VolumeSource::Path(source.to_owned()),
        target: path(target),
        read_only: true,
    };
    // This machine's programs and libraries, of which the tests make their root.
    outer.volumes = vec![volume(&folder, "/nested"), volume(Path::new("/usr"), "/usr")];
    let said = says(outer);
    assert!(said.contains("a system call filter of the container"), "{said}");
    assert!(said.contains("seccomp=unconfined"), "{said}");
}
