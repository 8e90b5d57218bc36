//! Finalizers that need a tool: what the tool is shown, when its key moves, and what becomes of what it writes. The tools
//! here are stand-ins; `kiln-plan` and `kiln` test real ones.

mod fixture;

use std::sync::{Arc, Mutex};

use fixture::*;
use kiln_compose::{
    ComposeError, Composition, ImageFile, Member, Request, ToolError, ToolRequest, ToolRunner, compose,
};
use kiln_model::{ActionKey, Dir, Entry, FileEntry, MemoryObjects, ObjectSink};

/// Writes what it is told to, whatever the tool, and remembers what it was asked.
#[derive(Default)]
struct StandIn {
    writes: Arc<Dir>,
    asked: Mutex<Vec<ToolRequest>>,
}

impl StandIn {
    fn writing(objects: &MemoryObjects, entries: &[(&str, &str)]) -> Self {
        Self { writes: tree(objects, entries), asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<ToolRequest> {
        self.asked.lock().unwrap().clone()
    }
}

impl ToolRunner for StandIn {
    fn run(&self, requests: &[ToolRequest]) -> Vec<Result<Arc<Dir>, ToolError>> {
        self.asked.lock().unwrap().extend(requests.iter().cloned());
        requests.iter().map(|_| Ok(Arc::clone(&self.writes))).collect()
    }
}

const PROGRAM: (&str, &str) = ("/usr/bin/update-mime-database", "#!/usr/bin/sh\n");
const INPUT: (&str, &str) = ("/usr/share/mime/packages/a.xml", "<a/>");
const SHELL: (&str, &str) = ("/usr/bin/sh", "#!/none\n");

fn mime(objects: &MemoryObjects) -> Member {
    member(objects, "mime", &[PROGRAM, INPUT, SHELL])
}

fn with(request: &Request, objects: &MemoryObjects, tools: &dyn ToolRunner) -> Result<Composition, ComposeError> {
    compose(request, objects, objects, tools)
}

fn asked(members: Vec<Member>, objects: &MemoryObjects) -> Vec<ToolRequest> {
    let tools = StandIn::default();
    with(&request(members), objects, &tools).unwrap_or_else(|error| panic!("{}", chain(&error)));
    tools.asked()
}

fn key(members: Vec<Member>, objects: &MemoryObjects) -> ActionKey {
    match &asked(members, objects)[..] {
        [one] => one.key(),
        other => panic!("{} requests", other.len()),
    }
}

fn names(dir: &Dir) -> Vec<String> {
    dir.walk().filter(|(_, e)| !matches!(e, Entry::Dir(_))).map(|(path, _)| path.to_string()).collect()
}

#[test]
fn a_tool_sees_its_inputs_itself_and_what_it_needs_to_start() {
    let objects = MemoryObjects::default();
    let other = member(&objects, "other", &[("/usr/share/doc/other", "text"), ("/usr/bin/other", "#!/none")]);
    let requests = asked(vec![mime(&objects), other], &objects);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].name, "mime-database");
    assert_eq!(names(&requests[0].root), [SHELL.0, PROGRAM.0, INPUT.0]);
    assert_eq!(requests[0].commands, [["/usr/bin/update-mime-database", "/usr/share/mime"]]);
    assert_eq!(requests[0].writable, [path("/usr/share/mime")]);
    assert!(requests[0].root.is_plain());
}

#[test]
fn a_program_brings_its_loader_and_libraries_as_the_loader_finds_them() {
    let objects = MemoryObjects::default();
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    let info = kiln_model::elf::read(&bytes).unwrap().unwrap();
    let object = objects.put(&bytes).unwrap();
    let entry = Entry::File(FileEntry::plain(object, bytes.len() as u64, true));
    let mut dir = Dir::clone(&tree(&objects, &[INPUT, ("/etc/ld.so.conf", "/opt/lib\n"), ("/usr/lib/other.so", "")]));
    let loader = info.interpreter.unwrap();
    let mut wanted = vec![PROGRAM.0.to_owned(), INPUT.0.to_owned()];
    for place in [PROGRAM.0, &loader.replacen("/lib", "/usr/lib", 1)] {
        dir.insert(&path(place), entry.clone()).unwrap();
    }
    wanted.push(loader.replacen("/lib", "/usr/lib", 1));
    for (index, library) in info.needed.iter().enumerate() {
        let folder = if index == 0 { "/opt/lib" } else { "/usr/lib/x86_64-linux-gnu" };
        let place = format!("{folder}/{library}");
        if dir.get(&path(&place)).is_none() {
            dir.insert(&path(&place), entry.clone()).unwrap();
            wanted.push(place);
        }
    }
    let dir = Arc::new(dir);
    let requests = asked(vec![Member::new(record("mime", "1", &dir), dir)], &objects);
    let shown = names(&requests[0].root);
    for place in &wanted {
        assert!(shown.contains(place), "{place} of {shown:?}");
    }
    assert!(!shown.iter().any(|place| place.ends_with("other.so")));
    assert_eq!(requests[0].environment["LD_LIBRARY_PATH"], "/opt/lib");
}

#[test]
fn the_key_moves_with_what_the_tool_sees_and_with_nothing_else() {
    let objects = MemoryObjects::default();
    let first = key(vec![mime(&objects)], &objects);
    let unrelated = member(&objects, "doc", &[("/usr/share/doc/a", "a"), ("/usr/share/mime.txt", "a")]);
    assert_eq!(key(vec![unrelated, mime(&objects)], &objects), first);
    let owned =
        declare(mime(&objects), r#"{ "permissions": { "/usr/share/mime/packages/a.xml": { "mode": "0600" } } }"#);
    assert_eq!(key(vec![owned], &objects), first, "owner and mode have no part in it");
    let more = member(&objects, "more", &[("/usr/share/mime/packages/b.xml", "<b/>")]);
    assert_ne!(key(vec![more, mime(&objects)], &objects), first);
    for (index, changed) in [PROGRAM, INPUT, SHELL].iter().enumerate() {
        let mut entries = [PROGRAM, INPUT, SHELL];
        let text = format!("{}\n# changed\n", changed.1);
        entries[index].1 = &text;
        assert_ne!(key(vec![member(&objects, "mime", &entries)], &objects), first, "{}", changed.0);
    }
}

#[test]
fn links_among_the_inputs_bring_what_they_lead_to() {
    let objects = MemoryObjects::default();
    let links = member(
        &objects,
        "links",
        &[
            ("/usr/share/mime/packages/far.xml", "-> /etc/alternatives/far.xml"),
            ("/etc/alternatives/far.xml", "-> ../../opt/far/far.xml"),
            ("/opt/far/far.xml", "<far/>"),
            ("/opt/far/near.xml", "<near/>"),
            ("/usr/share/mime/packages/gone.xml", "-> /nowhere"),
            ("/usr/share/mime/packages/round.xml", "-> round.xml"),
        ],
    );
    let requests = asked(vec![mime(&objects), links], &objects);
    let shown = names(&requests[0].root);
    assert!(shown.contains(&"/opt/far/far.xml".to_owned()) && shown.contains(&"/etc/alternatives/far.xml".to_owned()));
    assert!(!shown.contains(&"/opt/far/near.xml".to_owned()), "a file's neighbours stay away: {shown:?}");
    assert!(shown.contains(&"/usr/share/mime/packages/gone.xml".to_owned()), "a link may dangle");
}

#[test]
fn an_image_without_inputs_or_without_the_tool_asks_for_nothing() {
    let objects = MemoryObjects::default();
    assert!(asked(vec![member(&objects, "a", &[PROGRAM, SHELL])], &objects).is_empty());
    assert!(
        asked(vec![member(&objects, "a", &[INPUT])], &objects).is_empty(),
        "as in Debian, where nothing is made then"
    );
}

#[test]
fn what_an_image_does_not_work_without_is_missed_aloud() {
    let objects = MemoryObjects::default();
    let kernel = member(&objects, "linux", &[("/usr/lib/modules/6.1/kernel/a.ko", "module")]);
    let composition = composed(&request(vec![kernel]), &objects);
    let [warning] = &composition.warnings[..] else { panic!("{:?}", composition.warnings) };
    assert!(warning.message.contains("`depmod` did not run: `/usr/sbin/depmod` is not in the image"));
    assert!(warning.hint.as_ref().unwrap().contains("debian:kmod"));
}

#[test]
fn what_a_tool_writes_is_its_finalizers_and_plain() {
    let objects = MemoryObjects::default();
    let tools =
        StandIn::writing(&objects, &[("/usr/share/mime/types", "a/b\n"), ("/usr/share/mime/text/a.xml", "<a/>")]);
    let composition = with(&request(vec![mime(&objects)]), &objects, &tools).unwrap();
    assert_eq!(text(&composition, &objects, "/usr/share/mime/types"), "a/b\n");
    assert_eq!(composition.owners.of(&path("/usr/share/mime/types")).unwrap().to_string(), "finalizer `mime-database`");
    assert_eq!(composition.owners.of(&path("/usr/share/mime/text")).unwrap().to_string(), "finalizer `mime-database`");
    assert!(composition.tree.get(&path("/usr/share/mime/types")).unwrap().meta().is_default(0o644));
}

#[test]
fn a_file_of_the_image_is_not_written_over() {
    let objects = MemoryObjects::default();
    let tools = StandIn::writing(&objects, &[("/usr/share/mime/types", "derived")]);
    let file = ImageFile { ..image_file(&objects, "mine", 0o644) };
    let mut own = request(vec![mime(&objects)]);
    own.files.insert(path("/usr/share/mime/types"), file);
    assert_eq!(text(&with(&own, &objects, &tools).unwrap(), &objects, "/usr/share/mime/types"), "mine");
}

#[test]
fn a_tool_may_write_only_what_is_declared() {
    let objects = MemoryObjects::default();
    let tools = StandIn::writing(&objects, &[("/usr/bin/sneaky", "#!x")]);
    let error = with(&request(vec![mime(&objects)]), &objects, &tools).unwrap_err();
    let text = chain(&error);
    assert!(text.contains("`mime-database`") && text.contains("`/usr/bin/sneaky`"), "{text}");
}

#[test]
fn a_finalizer_with_a_tool_can_be_switched_off() {
    let objects = MemoryObjects::default();
    let mut off = request(vec![mime(&objects)]);
    let (message, _) = refused(&off, &objects);
    assert!(message.contains("no tool can be run here"), "where no tool runs, an image that needs one is refused");
    off.without.insert("mime-database".to_owned());
    assert!(composed(&off, &objects).warnings.is_empty());
}

#[test]
fn what_belongs_to_an_account_is_the_accounts() {
    let objects = MemoryObjects::default();
    let man = declare(
        member(&objects, "man-db", &[("/usr/bin/mandb", "#!/none"), ("/usr/share/man/man1/a.1.gz", "page")]),
        r#"{ "users": { "man": { "id": 6 } } }"#,
    );
    let tools = StandIn::writing(&objects, &[("/var/cache/man/index.db", "index")]);
    let composition = with(&request(vec![man]), &objects, &tools).unwrap();
    let meta = composition.tree.get(&path("/var/cache/man/index.db")).unwrap().meta().clone();
    assert_eq!((meta.uid, meta.gid, meta.mode), (6, 6, 0o644));
    assert_eq!(tools.asked()[0].account, Some("man"));
}

#[test]
fn every_kernel_and_every_icon_theme_has_a_command_of_its_own() {
    let objects = MemoryObjects::default();
    let kernels = member(
        &objects,
        "kernels",
        &[
            ("/usr/sbin/depmod", "#!/none"),
            ("/usr/lib/modules/6.1/kernel/a.ko.xz", "a"),
            ("/usr/lib/modules/6.2/updates/b.ko", "b"),
            ("/usr/lib/modules/6.2/modules.order", "updates/b.ko"),
            ("/usr/bin/gtk-update-icon-cache", "#!/none"),
            ("/usr/share/icons/one/index.theme", ""),
            ("/usr/share/icons/one/a.svg", ""),
            ("/usr/share/icons/two/a.svg", ""),
        ],
    );
    let requests = asked(vec![kernels], &objects);
    let commands: Vec<String> = requests.iter().flat_map(|r| &r.commands).map(|command| command.join(" ")).collect();
    assert_eq!(
        commands,
        [
            "/usr/sbin/depmod -a 6.1",
            "/usr/sbin/depmod -a 6.2",
            "/usr/bin/gtk-update-icon-cache --force --quiet /usr/share/icons/one"
        ]
    );
    assert_eq!(requests[0].writable, [path("/usr/lib/modules/6.1"), path("/usr/lib/modules/6.2")]);
    let may_be_written_anew = [path("/usr/lib/modules/6.2/modules.order")];
    assert_eq!(requests[0].rewritable, may_be_written_anew, "modules themselves are read-only there as well");
}

#[test]
fn the_hardware_database_may_not_be_written_to() {
    let objects = MemoryObjects::default();
    let udev = member(
        &objects,
        "udev",
        &[("/usr/bin/systemd-hwdb", "#!/usr/bin/sh\n"), SHELL, ("/usr/lib/udev/hwdb.d/a.hwdb", "a")],
    );
    let tools = StandIn::writing(&objects, &[("/usr/lib/udev/hwdb.bin", "database")]);
    let composition = with(&request(vec![udev]), &objects, &tools).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(composition.tree.get(&path("/usr/lib/udev/hwdb.bin")).unwrap().meta().mode, 0o444);
}

/// The only request of a name.
fn one(requests: &[ToolRequest], name: &str) -> ToolRequest {
    let found: Vec<&ToolRequest> = requests.iter().filter(|request| request.name == name).collect();
    assert_eq!(found.len(), 1, "{name}");
    found[0].clone()
}

const ASPELL: &[(&str, &str)] = &[
    ("/usr/bin/aspell", "#!/none\n"),
    ("/usr/bin/gzip", "#!/none\n"),
    ("/usr/bin/prezip-bin", "#!/usr/bin/sh\n"),
    SHELL,
    ("/usr/sbin/aspell-autobuildhash", "#!/none\n"),
    ("/usr/share/aspell/aspell.compat", "0.60\n"),
    ("/usr/share/aspell/en.contents", "# all\nen-common\nen-gone\n"),
    ("/usr/share/aspell/en-common.cwl.gz", "words"),
    ("/usr/share/aspell/gl.wl.gz", "words"),
    ("/usr/lib/aspell/en-common.rws", "-> /var/lib/aspell/en-common.rws"),
    ("/var/lib/aspell/en.compat", ""),
    ("/var/lib/aspell/gl.compat", ""),
];

#[test]
fn dictionaries_are_compiled_that_ask_for_it_with_all_that_is_needed() {
    let objects = MemoryObjects::default();
    let request = one(&asked(vec![member(&objects, "a", ASPELL)], &objects), "aspell-dictionaries");
    assert_eq!(request.commands.len(), 2);
    let english = &request.commands[0][3];
    for part in [
        "gzip -dc /usr/share/aspell/en-common.cwl.gz > /tmp/prefixed\nprezip-bin -d < /tmp/prefixed > /tmp/words\n",
        "--lang=en create master /var/lib/aspell/en-common.rws < /tmp/words",
        "printf '%s\\n' /usr/lib/aspell/en-common.rws /var/lib/aspell/en-common.rws > /var/lib/aspell/en.remove",
    ] {
        assert!(english.contains(part), "{part} in {english}");
    }
    assert!(
        !english.contains("en-gone")
            && request.commands[1][3].contains("gzip -dc /usr/share/aspell/gl.wl.gz > /tmp/words\naspell")
    );
    let shown = names(&request.root);
    for needed in ["/usr/bin/gzip", "/usr/bin/prezip-bin", SHELL.0, "/usr/share/aspell/gl.wl.gz"] {
        assert!(shown.contains(&needed.to_owned()), "{needed} in {shown:?}");
    }
    // A program that it runs is part of what comes of it.
    let mut other = ASPELL.to_vec();
    other[2].1 = "#!/usr/bin/sh\n# other\n";
    let moved = one(&asked(vec![member(&objects, "a", &other)], &objects), "aspell-dictionaries");
    assert_ne!(moved.key(), request.key());
    let ready: Vec<(&str, &str)> = ASPELL.iter().filter(|(path, _)| !path.ends_with(".compat")).copied().collect();
    assert!(asked(vec![member(&objects, "a", &ready)], &objects).is_empty(), "they are compiled already");
}

#[test]
fn a_dictionary_of_ispell_needs_its_affixes_and_its_words() {
    let objects = MemoryObjects::default();
    let all = [
        ("/usr/bin/buildhash", "#!/none\n"),
        ("/usr/sbin/ispell-autobuildhash", "#!/none\n"),
        ("/var/lib/ispell/british.compat", ""),
        ("/usr/lib/ispell/british.aff", "affixes"),
        ("/usr/share/ispell/british.mwl.gz", "words"),
    ];
    let request = one(&asked(vec![member(&objects, "a", &all)], &objects), "ispell-dictionaries");
    let line = &request.commands[0][3];
    assert!(
        line.contains("buildhash -s /tmp/british.mwl /usr/lib/ispell/british.aff /var/lib/ispell/british.hash"),
        "{line}"
    );
    assert!(asked(vec![member(&objects, "a", &all[..4])], &objects).is_empty());
}

#[test]
fn what_tex_makes_may_lie_in_its_own_folders_only_and_moves_with_its_files() {
    let objects = MemoryObjects::default();
    let all = [
        ("/usr/sbin/update-texmf", "#!/usr/bin/sh\n"),
        SHELL,
        ("/usr/bin/pdftex", "#!/none\n"),
        ("/etc/texmf/texmf.d/00debian.cnf", "a"),
        ("/usr/share/texlive/texmf-dist/tex/a.tex", "a"),
    ];
    let request = one(&asked(vec![member(&objects, "tex", &all)], &objects), "tex");
    assert_eq!(request.writable, [path("/etc/texmf/web2c"), path("/var/lib/texmf")]);
    assert!(names(&request.root).contains(&"/usr/bin/pdftex".to_owned()));
    for index in [0, 2, 3, 4] {
        let mut changed = all;
        changed[index].1 = "#!/usr/bin/sh\nchanged\n";
        let moved = one(&asked(vec![member(&objects, "tex", &changed)], &objects), "tex");
        assert_ne!(moved.key(), request.key(), "{}", all[index].0);
    }
    let tools = StandIn::writing(&objects, &[("/var/lib/texmf/ls-R", "files"), ("/etc/texmf/web2c/texmf.cnf", "all")]);
    let composition = with(&fixture::request(vec![member(&objects, "tex", &all)]), &objects, &tools).unwrap();
    assert_eq!(text(&composition, &objects, "/etc/texmf/web2c/texmf.cnf"), "all");
    let tools = StandIn::writing(&objects, &[("/etc/texmf/updmap.d/a", "")]);
    assert!(with(&fixture::request(vec![member(&objects, "tex", &all)]), &objects, &tools).is_err());
}

#[test]
fn indexes_of_fonts_are_made_for_the_folders_that_hooks_name() {
    let objects = MemoryObjects::default();
    let files = [
        ("/usr/sbin/update-fonts-dir", "#!/usr/bin/sh\n"),
        SHELL,
        ("/usr/bin/mkfontscale", "#!/none\n"),
        ("/usr/share/fonts/X11/misc/a.pcf.gz", "font"),
    ];
    let script = "#!/bin/sh\nif [ \"$1\" = configure ]; then\n\
                  \tupdate-fonts-dir --x11r7-layout misc;update-fonts-alias --include /etc/X11/fonts/misc/a.alias misc\n\
                  \tupdate-fonts-scale $OTHER\nfi\n";
    let fonts = fixture::hook(member(&objects, "xfonts", &files), &objects, "postinst", script);
    let request = one(&asked(vec![fonts], &objects), "x-fonts");
    let line = &request.commands[0][3];
    let wanted = "update-fonts-dir --x11r7-layout misc\nupdate-fonts-alias --include /etc/X11/fonts/misc/a.alias misc";
    assert_eq!(line, wanted);
    assert!(asked(vec![member(&objects, "xfonts", &files)], &objects).is_empty(), "nobody asks for it");
}
