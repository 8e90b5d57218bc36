//! The walls of the sandbox, seen from inside. Every test here runs as the user who runs it, and again as another one.

#[path = "../../kiln-run/tests/fixture/mod.rs"]
mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fixture::Fixture;
use kiln_build::disk::{Whose, ingest};
use kiln_build::sandbox::{Exit, Finished, Folders, Sandbox, SandboxError};

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

fn folders() -> Folders {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let room = FIXTURE.empty(&format!("room-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    Folders::make_empty(room).unwrap()
}

fn sandbox(script: &str) -> Sandbox {
    Sandbox::new(FIXTURE.root(), folders(), ["sh", "-euc", script].map(str::to_owned).to_vec())
}

fn run(sandbox: &Sandbox) -> (Finished, String) {
    let mut log = Vec::new();
    let finished = sandbox.run(&mut log).unwrap_or_else(|e| {
        let mut text = e.to_string();
        let mut cause = std::error::Error::source(&e);
        while let Some(e) = cause {
            text = format!("{text}: {e}");
            cause = e.source();
        }
        panic!("{text} (hint: {:?})", e.hint())
    });
    (finished, String::from_utf8(log).unwrap())
}

/// What a script prints, which must succeed.
fn says(script: &str) -> String {
    let (finished, log) = run(&sandbox(script));
    assert!(finished.exit.succeeded(), "{:?}: {log}", finished.exit);
    log
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    fixture::run_again_as(54321, "the_same_holds_for_an_ordinary_user");
}

#[test]
fn the_user_host_directory_and_masks_are_fixed() {
    let said =
        says("id -u; id -g; id -un; id -gn; uname -n; pwd; umask; date -d @0 +%Z%H; ulimit -n; ulimit -c; ulimit -s");
    assert_eq!(said, "1000\n1000\nbuild\nbuild\nkiln\n/build\n0022\nUTC00\n4096\n0\n8192\n");
}

#[test]
fn the_environment_is_fixed_and_otherwise_empty() {
    let mut sandbox = sandbox("env | sort");
    sandbox.environment.insert("CC".to_owned(), "gcc -m64".to_owned());
    let (_, log) = run(&sandbox);
    assert_eq!(
        log,
        "CC=gcc -m64\nHOME=/build\nLANG=C.UTF-8\nLC_ALL=C.UTF-8\nLOGNAME=build\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/build\nSHELL=/bin/sh\n\
         SOURCE_DATE_EPOCH=315532800\nTERM=dumb\nTMPDIR=/tmp\nTZ=UTC\nUSER=build\n"
    );
}

#[test]
fn only_build_out_and_tmp_can_be_written() {
    let sandbox = sandbox(
        "for d in build out tmp dev/shm; do echo x > /$d/file; done
         for d in '' etc/ usr/bin/ usr/lib/ dev/ proc/ var/ home/; do (echo x > /${d}file) 2>/dev/null && echo wrote $d; done
         (echo x > /etc/passwd) 2>/dev/null && echo wrote passwd
         (echo x > /usr/bin/sh) 2>/dev/null && echo wrote sh
         rm -f /usr/bin/sh 2>/dev/null && echo removed sh
         chmod 777 /usr/bin/sh 2>/dev/null && echo changed sh
         true",
    );
    let (finished, log) = run(&sandbox);
    assert_eq!((finished.exit, log.as_str()), (Exit::Code(0), ""));
    assert_eq!(fs::read_to_string(sandbox.folders.build().join("file")).unwrap(), "x\n");
    assert_eq!(fs::read_to_string(sandbox.folders.out().join("file")).unwrap(), "x\n");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(sandbox.folders.out().join("file")).unwrap());
    assert_eq!(owner, rustix::process::geteuid().as_raw(), "what a build makes belongs to who runs it");
    assert!(!FIXTURE.root().join("build").exists(), "mount points must not be made in the checkout");
}

#[test]
fn no_file_of_the_host_is_there() {
    let root = FIXTURE.root();
    let marker = root.parent().unwrap().to_str().unwrap();
    let said = says(&format!("ls -a /; ls {marker} /home /root /sys/* /host /lower /upper 2>/dev/null || true"));
    let names: BTreeSet<&str> = said.split_whitespace().collect();
    let expected = [
        ".", "..", "bin", "build", "dev", "etc", "home", "lib", "lib64", "out", "proc", "run", "tmp", "usr", "var",
        "/home:",
    ];
    assert_eq!(names, expected.into());
}

#[test]
fn devices_are_the_harmless_ones() {
    let said = says(
        "ls /dev; ls /dev/pts; echo x > /dev/null; head -c 4 /dev/zero | tr '\\0' z; head -c 1 /dev/urandom >/dev/null",
    );
    let names: Vec<&str> = said.split_whitespace().collect();
    let devices = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ptmx zzzz";
    assert_eq!(names.join(" "), devices);
    assert_eq!(says("cat; echo end; echo out > /dev/stdout"), "end\nout\n", "standard input is empty");
}

#[test]
fn no_process_of_the_host_is_there_and_process_1_tells_nothing() {
    let said = says(
        "cd /proc; echo [0-9]*; cat 1/comm; tr -d '\\0' < 1/cmdline; echo; cat 1/environ 1/maps || true; ls -l 1/exe 1/root 1/fd/3 || true",
    );
    let mut lines = said.lines();
    let processes: Vec<u32> = lines.next().unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
    assert_eq!(processes, [1, 2]);
    assert_eq!((lines.next(), lines.next()), (Some("init"), Some("init")));
    let root = FIXTURE.root();
    let test = std::env::current_exe().unwrap();
    assert!(!said.contains(root.parent().unwrap().to_str().unwrap()), "{said}");
    assert!(!said.contains(test.file_name().unwrap().to_str().unwrap()), "{said}");
    for refused in ["1/environ", "1/maps", "1/exe", "1/root", "1/fd/3"] {
        assert!(
            said.contains(&format!("{refused}': Permission denied"))
                || said.contains(&format!("{refused}: Permission denied")),
            "{refused}: {said}"
        );
    }
}

#[test]
fn the_host_shows_nowhere_in_proc() {
    let said = says(
        "cat /proc/self/cgroup | while IFS=: read -r a b c; do echo cgroup $c; done | sort -u
         for f in cmdline keys kallsyms modules partitions; do [ ! -e /proc/$f ] || cat /proc/$f; done
         ls /proc/bus /proc/fs /proc/driver /proc/irq
         ls -l /proc/self/cwd /proc/self/root | while read -r a b c d e f g h i j k; do echo $i $k; done",
    );
    assert_eq!(
        said.trim(),
        "cgroup /\n/proc/bus:\n\n/proc/driver:\n\n/proc/fs:\n\n/proc/irq:\n/proc/self/cwd /build\n/proc/self/root /"
    );
}

#[test]
fn no_mount_tells_where_its_folder_is_on_the_host() {
    let said = says("cat /proc/self/mountinfo; echo; cat /proc/mounts");
    let root = FIXTURE.root();
    let folder = root.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(!said.contains(folder), "{said}");
    assert!(!said.contains("shared:") && !said.contains("master:"), "no mount may travel: {said}");
    let kind = |place: &str| {
        let line = said.lines().find(|l| l.split(' ').nth(4) == Some(place)).unwrap_or_else(|| panic!("{said}"));
        line.split(" - ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    for place in ["/", "/build", "/out"] {
        assert_eq!(kind(place), "overlay", "{said}");
    }
}

#[test]
fn what_is_written_has_no_mark_of_the_overlay_and_is_renamed_linked_and_removed_as_anywhere() {
    let sandbox = sandbox(
        r#"perl -e 'use strict; my $n = 0; sub try { $n++; $_[0] or die "$n: $!\n" }
            for my $d ("a", "a/b", "c") { try(mkdir $d) }
            open(my $f, ">", "a/b/file") or die; print $f "1\n"; close $f;
            try(link "a/b/file", "c/link"); try(rename "a", "c/moved"); try(unlink "c/moved/b/file");
            try(rmdir "c/moved/b"); try(mkdir "c/moved/b"); try((stat "c/link")[3] == 1);
            open($f, ">", "new") or die; try(unlink "new"); try(mkdir "d"); try(rmdir "d");
            try(mkdir "/out/there"); try(mkdir "/out/there/b"); try(symlink "x", "/out/there/link");
            try(unlink "c/link");
            try(rmdir "c/moved/b"); try(rmdir "c/moved"); try(rmdir "c");'"#,
    );
    let (finished, log) = run(&sandbox);
    assert!(finished.exit.succeeded(), "{log}");
    let (build, out) = (sandbox.folders.build(), sandbox.folders.out());
    assert_eq!(fs::read_dir(&build).unwrap().count(), 0, "nothing stands for what was removed");
    for folder in [&build, &out, &out.join("there"), &out.join("there/b")] {
        let mut names = [0_u8; 256];
        assert_eq!(rustix::fs::listxattr(folder, &mut names).unwrap_or_default(), 0, "{}", folder.display());
    }
    let room = sandbox.folders.room();
    fs::remove_dir_all(room).expect("nothing of the kernel's is left that cannot be removed");
}

#[test]
fn where_no_overlay_can_be_had_the_folders_are_shown_as_they_are() {
    let sandbox = sandbox("echo x > /out/file; cat /proc/self/mountinfo");
    // What the kernel refuses stands here for a file system that cannot be an overlay's upper side.
    fs::remove_dir(sandbox.folders.room().join("nothing")).unwrap();
    let (finished, said) = run(&sandbox);
    assert!(finished.exit.succeeded(), "{said}");
    assert_eq!(fs::read_to_string(sandbox.folders.out().join("file")).unwrap(), "x\n");
    let out = said.lines().find(|line| line.split(' ').nth(4) == Some("/out")).unwrap();
    assert!(!out.contains(" - overlay "), "{out}");
}

#[test]
fn a_folder_of_the_root_is_changed_under_an_overlay_which_holds_just_what_changed() {
    let place = FIXTURE.empty("root/var/lib/a,b:c");
    fs::create_dir_all(place.join("sub")).unwrap();
    for name in ["kept", "edited", "sub/gone", "replaced"] {
        fs::write(place.join(name), "old\n").unwrap();
    }
    let mut first = sandbox(
        "cd /var/lib/a,b:c; echo new >> edited; rm sub/gone; echo other > x; mv x replaced; echo fresh > sub/fresh
         ! touch /var/lib/elsewhere",
    );
    first.folders.make_changes("place").unwrap();
    fs::create_dir(first.folders.changes("place")).unwrap();
    first.changed = vec![("/var/lib/a,b:c".to_owned(), "place".to_owned())];
    let (finished, log) = run(&first);
    assert!(finished.exit.succeeded(), "{log}");
    assert!(log.contains("Read-only"), "the rest of the root is as read-only as ever: {log}");
    // A second command sees what the first one did.
    let script = "cd /var/lib/a,b:c; cat kept edited replaced sub/fresh; ls sub; cat /proc/self/mountinfo";
    let mut second =
        Sandbox::new(FIXTURE.root(), first.folders.clone(), ["sh", "-euc", script].map(str::to_owned).to_vec());
    second.changed.clone_from(&first.changed);
    let (finished, said) = run(&second);
    assert!(finished.exit.succeeded(), "{said}");
    assert!(said.starts_with("old\nold\nnew\nother\nfresh\nfresh\n"), "{said}");
    let folder = FIXTURE.root().parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(!said.contains(&folder), "no mount tells where its folder is: {said}");

    assert_eq!(fs::read_to_string(place.join("edited")).unwrap(), "old\n", "the root itself is as it was");
    assert!(place.join("sub/gone").exists());
    let objects = kiln_model::MemoryObjects::default();
    let jobs = std::num::NonZeroUsize::MIN;
    let read = |whose| ingest(&first.folders.changes("place"), &objects, jobs, whose);
    let tree = read(Whose::Overlay).unwrap().tree;
    let paths: Vec<String> = tree.walk().map(|(path, _)| path.as_str().to_owned()).collect();
    assert_eq!(paths, ["edited", "replaced", "sub", "sub/fresh"]);
    assert!(read(Whose::Kiln(&[])).is_err(), "what stands for a removed file is no file of anyone else's");
    fs::remove_dir_all(first.folders.room()).expect("nothing of the kernel's is left that cannot be removed");
}

#[test]
fn a_file_system_that_cannot_carry_the_overlay_of_a_changed_folder_is_told_apart() {
    let mut sandbox = sandbox("true");
    sandbox.folders.make_changes("place").unwrap();
    fs::create_dir(sandbox.folders.changes("place")).unwrap();
    // What the kernel refuses stands here for such a file system.
    fs::remove_dir(sandbox.folders.room().join("changes/place/overlay")).unwrap();
    sandbox.changed = vec![("/var/lib".to_owned(), "place".to_owned())];
    assert!(sandbox.run(&mut Vec::new()).unwrap_err().is_of_overlay());
    sandbox.changed.clear();
    sandbox.root = FIXTURE.empty("no-root");
    assert!(!sandbox.run(&mut Vec::new()).unwrap_err().is_of_overlay());
}

#[test]
fn waiting_for_the_disk_is_left_out_where_that_is_asked_for() {
    // Perl has no name for it: 74 and 82 are its numbers. On what is no file it fails, unless nobody asks the kernel.
    let script =
        r#"perl -e 'my ($n) = `uname -m` =~ /x86_64/ ? 74 : 82; print syscall($n, 99) == 0 ? "at once" : "asked";'"#;
    let mut sandbox = sandbox(script);
    assert_eq!(run(&sandbox).1, "asked");
    sandbox.without_flushes = true;
    assert_eq!(run(&sandbox).1, "at once");
}

#[test]
fn the_network_is_one_loopback_that_works() {
    let said = says(
        r#"cat /proc/net/dev | while read -r name rest; do case $name in *:) echo $name;; esac; done
        perl -MIO::Socket::INET -e '
            my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die "listen: $!";
            my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $s->sockport) or die "connect: $!";
            print "loopback\n";
            IO::Socket::INET->new(PeerAddr => "192.0.2.1", PeerPort => 80, Timeout => 5) or print "$!\n";'"#,
    );
    assert_eq!(said, "lo:\nloopback\nNetwork is unreachable\n");
}

#[test]
fn calls_that_change_the_walls_are_refused() {
    let numbers = if cfg!(target_arch = "x86_64") {
        "mount=>165, umount=>166, pivot_root=>155, unshare=>272, setns=>308, bpf=>321, keyctl=>250, open_tree=>428, \
         mount_setattr=>442, perf=>298, init_module=>175"
    } else {
        "mount=>40, umount=>39, pivot_root=>41, unshare=>97, setns=>268, bpf=>280, keyctl=>219, open_tree=>428, \
         mount_setattr=>442, perf=>241, init_module=>105"
    };
    let script = format!(
        r#"perl -e 'my %n = ({numbers}); for my $k (sort keys %n) {{
            $! = 0; my $r = syscall($n{{$k}}, 0, 0, 0, 0, 0); print "$k $r ", $!+0, "\n"; }}
            $! = 0; syscall(435, 0, 0); print "clone3 ", $!+0, "\n";
            $! = 0; syscall(425, 0, 0); print "io_uring ", $!+0, "\n";
            use Socket; socket(my $v, 40, SOCK_STREAM, 0); print "vsock ", $!+0, "\n";'"#
    );
    let said = says(&script);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 14, "{said}");
    for line in &lines[..11] {
        assert!(line.ends_with(" -1 1"), "{line}");
    }
    assert_eq!(&lines[11..], ["clone3 38", "io_uring 38", "vsock 97"]);
}

#[test]
fn there_is_no_privilege_and_none_can_be_gained() {
    let said =
        says("while read -r k v; do case $k in Cap*|NoNewPrivs:|Seccomp:) echo $k $v;; esac; done < /proc/self/status");
    for line in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert!(said.contains(&format!("{line} 0000000000000000\n")), "{said}");
    }
    assert!(said.contains("NoNewPrivs: 1\n") && said.contains("Seccomp: 2\n"), "{said}");
    assert_eq!(
        says("chown 0:0 /build 2>/dev/null || echo no; (echo 1 > /proc/sys/kernel/sysrq) 2>/dev/null || echo no"),
        "no\nno\n"
    );
}

#[test]
fn no_open_file_of_kiln_is_inherited() {
    let file = tempfile::tempfile().unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    assert_eq!(says("n=0; while [ $n -lt 100 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n + 1)); done"), "0\n1\n2\n");
}

#[test]
fn exit_codes_and_signals_come_through() {
    assert_eq!(run(&sandbox("exit 7")).0.exit, Exit::Code(7));
    assert_eq!(run(&sandbox("kill -TERM $$; sleep 5")).0.exit, Exit::Signal(15));
    let (finished, log) = run(&sandbox("echo one; echo two >&2; exit 1"));
    assert_eq!((finished.tail.join(","), log.as_str()), ("one,two".to_owned(), "one\ntwo\n"));
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_all_it_started() {
    let mut sandbox = sandbox("(trap '' TERM INT HUP; sleep 1000) & yes | cat");
    sandbox.command[2] = "(trap '' TERM INT HUP; sleep 1000) & while :; do echo endless; done".to_owned();
    sandbox.limits.time = Duration::from_millis(300);
    let began = Instant::now();
    let finished = sandbox.run(&mut std::io::sink()).unwrap();
    assert_eq!(finished.exit, Exit::OutOfTime(Duration::from_millis(300)));
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_process_left_behind_is_killed_and_cannot_hold_the_log_open() {
    let began = Instant::now();
    let (finished, log) = run(&sandbox("(setsid_like() { sleep 1000; }; setsid_like & ) ; echo done"));
    assert_eq!((finished.exit, log.as_str()), (Exit::Code(0), "done\n"));
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn memory_is_limited() {
    let mut sandbox = sandbox("perl -e 'my $x = \"x\" x 400000000; print length $x'");
    sandbox.limits.memory = Some(100 << 20);
    let (finished, log) = run(&sandbox);
    assert!(!finished.exit.succeeded(), "{log}");
}

#[test]
fn memory_is_limited_for_all_processes_together() {
    let mut sandbox = sandbox(
        "perl -e 'for (1..8) { if (!fork) { my $x = \"x\" x 60000000; sleep 60; exit } } 1 while wait > 0; print qq(all done\\n)'",
    );
    sandbox.limits.memory = Some(200 << 20);
    let (finished, log) = run(&sandbox);
    assert_eq!(finished.exit, Exit::OutOfMemory(200 << 20), "{log}");
    assert!(finished.exit.to_string().contains("more than 200 MiB of memory"));
}

#[test]
fn memory_that_processes_share_counts_once() {
    let mut sandbox = sandbox(
        "perl -e 'my $x = \"x\" x 60000000; for (1..8) { if (!fork) { sleep 1; exit } } 1 while wait > 0; print qq(all done\\n)'",
    );
    sandbox.limits.memory = Some(200 << 20);
    let (finished, log) = run(&sandbox);
    assert_eq!((finished.exit, log.as_str()), (Exit::Code(0), "all done\n"));
}

#[test]
fn the_number_of_processes_is_limited() {
    let mut sandbox = sandbox(
        "perl -e 'my $n = 0; while ($n < 500) { my $p = fork; last unless defined $p; if (!$p) { sleep 1000 } $n++ } print $n'",
    );
    sandbox.limits.processes = 50;
    let (_, log) = run(&sandbox);
    let started: u32 = log.trim().parse().unwrap();
    assert!(started < 50, "{started}");
}

#[test]
fn a_log_that_cannot_be_written_stops_the_command() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let began = Instant::now();
    let result = sandbox("echo x; sleep 1000").run(&mut Full);
    assert!(matches!(result, Err(SandboxError::Log(_))), "{result:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn what_is_missing_is_named() {
    let mut missing = sandbox("");
    missing.command = vec!["no-such-program".to_owned()];
    let error = missing.run(&mut Vec::new()).unwrap_err();
    assert!(format!("{error:?}").contains("no-such-program") && error.hint().is_some(), "{error:?}");
    let mut missing = sandbox("true");
    missing.root = PathBuf::from("/no/such/root");
    let error = missing.run(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("/no/such/root"), "{error}");
    let mut missing = sandbox("true");
    missing.directory = "/build/nowhere".to_owned();
    let error = missing.run(&mut Vec::new()).unwrap_err();
    assert!(format!("{error:?}").contains("/build/nowhere"), "{error:?}");
}

#[test]
fn many_run_at_once() {
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn(move || says(&format!("echo {n} > /out/f; sleep 0.1; cat /out/f; cd /proc; echo [0-9]*")))
            })
            .collect();
        for (n, run) in runs.into_iter().enumerate() {
            assert_eq!(run.join().unwrap(), format!("{n}\n1 2\n"));
        }
    });
}

#[test]
fn addresses_are_the_same_every_time() {
    let script =
        "while read -r line; do case $line in *\\[stack\\]*|*dash*|*/sh) echo $line;; esac; done < /proc/self/maps";
    let (first, second) = (says(script), says(script));
    assert!(first.contains("[stack]"), "{first}");
    let addresses = |text: &str| text.lines().map(|l| l.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(addresses(&first), addresses(&second));
}

/// The part of the next test that is killed: it begins a long build when it is the only test that was asked for.
#[test]
fn a_build_that_is_killed_with_kiln() {
    let alone = std::env::args().any(|argument| argument == "--exact");
    let script = if alone { "sleep 61.61 & sleep 61.62" } else { "true" };
    assert_eq!(run(&sandbox(script)).0.exit, Exit::Code(0));
}

#[test]
fn killing_kiln_kills_the_build_and_leaves_no_process() {
    // What the killed program leaves of its fixture goes with this folder.
    let left = tempfile::tempdir().unwrap();
    let mut kiln = std::process::Command::new(std::env::current_exe().unwrap())
        .env("TMPDIR", left.path())
        .args(["--exact", "a_build_that_is_killed_with_kiln"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let own = rustix::process::geteuid().as_raw();
    let wait_for = |wanted: usize| {
        let until = Instant::now() + Duration::from_secs(60);
        while sleepers(own) != wanted {
            assert!(Instant::now() < until, "{} processes, not {wanted}", sleepers(own));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for(2);
    kiln.kill().unwrap();
    kiln.wait().unwrap();
    wait_for(0);
}

/// Processes of the long build, of this user only: the other user's tests run at the same time.
fn sleepers(uid: u32) -> usize {
    let is_one = |path: PathBuf| {
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let owner = fs::metadata(&path).map(|m| std::os::unix::fs::MetadataExt::uid(&m));
        command.starts_with(b"sleep\x0061.6") && owner.is_ok_and(|o| o == uid)
    };
    fs::read_dir("/proc").unwrap().flatten().filter(|e| is_one(e.path())).count()
}

/// The part of the next test that has the terminal.
#[test]
fn a_shell_at_a_terminal() {
    let alone = std::env::args().any(|argument| argument == "--exact");
    if alone {
        let script = "trap 'echo caught; exit 5' INT
            [ -t 0 ] && [ -t 1 ] && [ \"$(perl -MPOSIX -e 'print ttyname(0)')\" = /dev/console ] && echo ready
            sleep 60 & wait; exit 6";
        assert_eq!(sandbox(script).enter().unwrap(), Exit::Code(5));
        println!("kiln lives");
    } else {
        assert_eq!(run(&sandbox("[ ! -t 0 ] && [ ! -t 1 ]")).0.exit, Exit::Code(0));
    }
}

#[test]
fn what_a_person_types_goes_to_the_command_and_not_to_kiln() {
    let exe = std::env::current_exe().unwrap();
    let command = format!("{} --exact --nocapture a_shell_at_a_terminal", exe.display());
    let mut terminal = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(terminal.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The test harness may have begun the line.
    assert!(lines.any(|line| line.trim_end().ends_with("ready")));
    let mut keys = terminal.stdin.take().unwrap();
    keys.write_all(b"\x03").unwrap();
    let rest: Vec<String> = lines.collect();
    drop(keys);
    // The terminal program's own exit code says nothing about the test inside it for a user without a name.
    terminal.wait().unwrap();
    for expected in ["caught", "kiln lives", "1 passed; 0 failed"] {
        assert!(rest.iter().any(|line| line.contains(expected)), "{rest:?}");
    }
}
