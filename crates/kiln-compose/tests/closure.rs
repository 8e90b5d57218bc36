//! The closure check by example, with this test's own program as the ELF file.

mod fixture;

use fixture::*;
use kiln_compose::closure::{Allowed, ClosureFault, FaultKind, Severity, analyse, check};
use kiln_model::{Architecture, Dir, Entry, FileEntry, MemoryObjects, ObjectSink};

fn faults(dir: &Dir, objects: &MemoryObjects, allowed: &Allowed) -> Vec<ClosureFault> {
    let analysis = analyse(dir, objects).unwrap();
    check(dir, Architecture::native(), std::iter::once(&analysis), objects, allowed).unwrap()
}

fn with_program(objects: &MemoryObjects, at: &str, rest: &[(&str, &str)]) -> Dir {
    let mut dir = Dir::clone(&tree(objects, rest));
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    let object = objects.put(&bytes).unwrap();
    dir.insert(&path(at), Entry::File(FileEntry::plain(object, bytes.len() as u64, true))).unwrap();
    dir
}

#[test]
fn a_program_without_its_loader_and_libraries_is_an_error() {
    let objects = MemoryObjects::default();
    let found = faults(&with_program(&objects, "/usr/bin/tool", &[]), &objects, &Allowed::default());
    assert!(found.iter().all(|fault| fault.severity == Severity::Error && fault.path == path("/usr/bin/tool")));
    assert!(found.iter().any(|fault| matches!(&fault.kind, FaultKind::Interpreter(name) if name.contains("ld-linux"))));
    assert!(found.iter().any(|fault| fault.kind == FaultKind::Library("libc.so.6".into())));
    let allowed = Allowed([path("/usr/bin")].into());
    assert_eq!(faults(&with_program(&objects, "/usr/bin/tool", &[]), &objects, &allowed), []);
}

#[test]
fn the_same_program_among_documents_is_a_note() {
    let objects = MemoryObjects::default();
    let found = faults(&with_program(&objects, "/usr/share/doc/x/tool", &[]), &objects, &Allowed::default());
    assert!(!found.is_empty() && found.iter().all(|fault| fault.severity == Severity::Note));
}

#[test]
fn a_plug_in_finds_what_lies_beside_it_and_a_program_does_not() {
    let objects = MemoryObjects::default();
    let lacks = |executable: bool| {
        let mut dir = with_program(&objects, "/opt/x/libc.so.6", &[]);
        let Some(Entry::File(program)) = dir.get(&path("/opt/x/libc.so.6")).cloned() else { unreachable!() };
        let plug_in = FileEntry::plain(program.object, program.size, executable);
        dir.insert(&path("/opt/x/it"), Entry::File(plug_in)).unwrap();
        let found = faults(&dir, &objects, &Allowed::default());
        found.iter().any(|f| f.path == path("/opt/x/it") && f.kind == FaultKind::Library("libc.so.6".into()))
    };
    assert!(!lacks(false) && lacks(true));
}

#[test]
fn a_text_file_with_a_librarys_name_is_no_library() {
    let objects = MemoryObjects::default();
    let dir = with_program(&objects, "/usr/bin/tool", &[("/usr/lib/libc.so.6", "INPUT(libc.so)")]);
    let found = faults(&dir, &objects, &Allowed::default());
    assert!(found.iter().any(|fault| fault.kind == FaultKind::Library("libc.so.6".into())));
}

#[test]
fn scripts_need_their_interpreter_and_links_their_target() {
    let objects = MemoryObjects::default();
    let dir = tree(
        &objects,
        &[
            ("/bin", "-> usr/bin"),
            ("/usr/bin/sh", "#!/proc/none"),
            ("/usr/bin/fine", "#!/bin/sh\n"),
            ("/usr/bin/lost", "#!/usr/bin/perl -w\n"),
            ("/usr/bin/gone", "-> /opt/gone"),
            ("/usr/share/doc/x/gone", "-> /opt/gone"),
            ("/usr/share/x/over", "-> ../doc/x/gone"),
            ("/etc/state", "-> /var/lib/x/state"),
            ("/usr/share/x/state", "-> /etc/state"),
            ("/usr/share/x/socket", "-> /etc/here/socket"),
            ("/etc/here", "-> /run"),
            ("/run/lock/x", "there"),
            ("/etc/mtab", "-> ../proc/self/mounts"),
            ("/usr/bin/around", "-> around"),
        ],
    );
    let found = faults(&dir, &objects, &Allowed::default());
    let of = |text: &str| found.iter().find(|fault| fault.path == path(text)).map(|fault| fault.severity);
    assert_eq!(of("/usr/bin/fine"), None);
    assert_eq!(of("/usr/bin/lost"), Some(Severity::Warning));
    assert_eq!(of("/usr/bin/gone"), Some(Severity::Error));
    assert_eq!(of("/usr/share/doc/x/gone"), Some(Severity::Warning));
    assert_eq!(of("/usr/share/x/over"), Some(Severity::Warning), "a link to a link that leads nowhere");
    for later in ["/etc/state", "/usr/share/x/state", "/usr/share/x/socket"] {
        assert_eq!(of(later), None, "{later}: what appears at run time may be behind other links");
    }
    assert_eq!(of("/etc/mtab"), None, "what appears at run time is not missing");
    assert_eq!(of("/usr/bin/around"), Some(Severity::Error), "a circle leads nowhere");
}
