//! Plans carried out on this machine's own root, as far as they can be told apart without another one.

use std::fs::File;
use std::io::{Read, Seek};
use std::time::{Duration, Instant};

use kiln_sys::{Identities, Namespaces, Outcome, Plan, Resource, SpawnError, Step};

const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn plan(script: &str) -> (Plan, File) {
    let mut plan = Plan::new(Namespaces { network: true }, Identities::single(7, 8));
    let file = tempfile::tempfile().unwrap();
    plan.make_private();
    plan.stream(0, File::open("/dev/null").unwrap().into());
    plan.stream(1, file.try_clone().unwrap().into());
    plan.stream(2, file.try_clone().unwrap().into());
    let path = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    plan.command(&["sh", "-euc", script].map(str::to_owned), &path);
    (plan, file)
}

fn says(plan: Plan, mut file: File) -> (Outcome, String) {
    let outcome = plan.spawn().unwrap().wait(LONG).unwrap().expect("it did not end");
    let mut said = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut said).unwrap();
    (outcome, said)
}

#[test]
fn the_command_is_process_2_of_its_own_world() {
    let (plan, file) = plan("echo $$ $PPID; id -u; id -g; exit 3");
    assert_eq!(says(plan, file), (Outcome::Exited(3), "2 1\n7\n8\n".to_owned()));
}

#[test]
fn a_step_that_fails_is_named_with_its_path() {
    let (mut plan, _) = plan("true");
    plan.bind("/no/such/file", "/tmp");
    match plan.spawn() {
        Err(SpawnError::Step { step, source, .. }) => {
            assert_eq!(step, "bind `/no/such/file` to `/tmp`");
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_step_of_the_entry_a_directory_and_a_program_that_fail_are_named() {
    let (mut failing, _) = plan("true");
    failing.on_entry(Step::Own { path: c"/no/such/file".to_owned(), uid: 7, gid: 8, mode: 0o600 });
    assert!(matches!(failing.spawn(), Err(SpawnError::Step { step, .. }) if step.contains("/no/such/file")));
    let (mut failing, _) = plan("true");
    failing.directory("/no/such/folder");
    assert!(matches!(failing.spawn(), Err(SpawnError::Step { step, .. }) if step.contains("/no/such/folder")));
    let (mut failing, _) = plan("true");
    failing.command(&["/no/such/program".to_owned()], &[]);
    assert!(matches!(failing.spawn(), Err(SpawnError::Start { program, .. }) if program == "/no/such/program"));
    let (mut failing, _) = plan("true");
    failing.command(&[], &[]);
    assert!(matches!(failing.spawn(), Err(SpawnError::NoCommand)));
    let (mut failing, _) = plan("true");
    failing.host_name("a\0b");
    assert!(matches!(failing.spawn(), Err(SpawnError::Text(_))));
}

#[test]
fn signals_reach_the_command() {
    let contained = plan("sleep 1000").0.spawn().unwrap();
    assert_eq!(contained.wait(Some(Duration::from_millis(10))).unwrap(), None);
    contained.signal(15);
    assert_eq!(contained.wait(LONG).unwrap(), Some(Outcome::Signaled(15)));
    contained.signal(15);
    assert_eq!(contained.wait(LONG).unwrap(), Some(Outcome::Signaled(15)), "asking again is no error");
}

#[test]
fn dropping_it_kills_everything_that_was_started() {
    let (plan, file) = plan("(trap '' TERM HUP INT; sleep 1000) & sleep 1000");
    let began = Instant::now();
    drop(plan.spawn().unwrap());
    assert!(began.elapsed() < Duration::from_secs(60));
    drop(file);
}

#[test]
fn limits_hold() {
    let (mut plan, file) = plan("ulimit -n; ulimit -Hn; ulimit -c");
    plan.on_entry(Step::Limit { resource: Resource::OpenFiles, value: 64, hard: true });
    plan.on_entry(Step::Limit { resource: Resource::CoreDump, value: 0, hard: true });
    assert_eq!(says(plan, file), (Outcome::Exited(0), "64\n64\n0\n".to_owned()));
}

#[test]
fn many_threads_can_spawn_while_others_allocate() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..10 {
                    let (plan, file) = plan(&format!("echo {n}"));
                    assert_eq!(says(plan, file), (Outcome::Exited(0), format!("{n}\n")));
                }
            });
            scope.spawn(|| {
                for n in 0..20_000_usize {
                    std::hint::black_box(vec![0_u8; n % 5000]);
                }
            });
        }
    });
}

#[test]
fn hands_out_sockets_of_its_network() {
    let (mut plan, _) = plan("sleep 1000");
    plan.loopback_up();
    let contained = plan.spawn().unwrap();
    for version_6 in [false, true] {
        let socket = contained.socket(version_6).unwrap();
        assert_eq!(
            rustix::net::getsockname(&socket).unwrap().address_family() == rustix::net::AddressFamily::INET6,
            version_6
        );
    }
    contained.kill();
    contained.wait(LONG).unwrap();
    assert!(contained.socket(false).is_err());
}
