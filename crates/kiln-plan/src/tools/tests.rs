//! Tools run for real where that needs no distribution.

use std::time::SystemTime;

use kiln_compose::finalizer::tool::ToolRequest;
use kiln_model::{Entry, FileEntry, ObjectSink as _, Silent};
use kiln_store::{OpenOptions, Store};

use super::*;

#[path = "../../../kiln-run/tests/fixture/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod fixture;

struct Room {
    _folder: tempfile::TempDir,
    session: Session,
    place: ToolPlace,
}

fn room() -> Room {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store"), OpenOptions::new(SystemTime::UNIX_EPOCH)).unwrap();
    let work = Workplace::open(&folder.path().join("work")).unwrap();
    let jobs = NonZeroUsize::new(2).unwrap();
    let place = ToolPlace { work, native: Architecture::native(), jobs, cancel: Cancel::new() };
    Room { session: store.session().unwrap(), place, _folder: folder }
}

impl Room {
    fn run(&self, requests: &[ToolRequest]) -> Vec<Result<Arc<Dir>, ToolError>> {
        let tools = Tools { place: &self.place, session: &self.session, reporter: &Silent, subject: "a test" };
        tools.run(requests)
    }

    /// What a tool without a program would be asked.
    fn request(&self, input: &str) -> ToolRequest {
        let mut root = Dir::default();
        let object = self.session.put(input.as_bytes()).unwrap();
        let file = FileEntry::plain(object, input.len() as u64, false);
        root.insert(&"in/put".parse().unwrap(), Entry::File(file)).unwrap();
        ToolRequest {
            name: "mime-database",
            version: 1,
            architecture: Architecture::native(),
            root: Arc::new(root),
            commands: vec![vec!["/usr/bin/tool".to_owned()]],
            environment: BTreeMap::new(),
            writable: Vec::new(),
            rewritable: Vec::new(),
            account: None,
        }
    }
}

fn foreign() -> Architecture {
    match Architecture::native() {
        Architecture::Amd64 => Architecture::Arm64,
        Architecture::Arm64 => Architecture::Amd64,
    }
}

#[test]
fn a_tool_of_another_architecture_is_refused_with_the_ways_out() {
    let room = room();
    let request = ToolRequest { architecture: foreign(), ..room.request("a") };
    let error = room.run(&[request]).remove(0).unwrap_err();
    assert!(error.to_string().contains("cannot run on this machine"), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("finalizers: { mime-database: false }") && hint.contains("machine"), "{hint}");
}

#[test]
fn what_is_known_is_taken_also_where_the_tool_could_not_run() {
    let room = room();
    let request = ToolRequest { architecture: foreign(), ..room.request("a") };
    let object = room.session.put(b"made elsewhere").unwrap();
    let mut made = Dir::default();
    made.set_entry("made", Entry::File(FileEntry::plain(object, 14, false))).unwrap();
    let id = room.session.put_tree(&made).unwrap();
    let result = ActionResult { trees: [(FILES.to_owned(), id)].into(), ..ActionResult::default() };
    room.session.commit(request.key(), &result).unwrap();
    assert_eq!(*room.run(&[request])[0].as_ref().unwrap().as_ref(), made);
}

#[test]
fn a_program_that_does_not_start_is_an_error_and_each_request_has_its_own_answer() {
    let room = room();
    let good = room.request("good");
    let id = room.session.put_tree(&Dir::default()).unwrap();
    let result = ActionResult { trees: [(FILES.to_owned(), id)].into(), ..ActionResult::default() };
    room.session.commit(good.key(), &result).unwrap();
    let answers = room.run(&[room.request("one"), good, room.request("two")]);
    assert!(answers[0].is_err() && answers[1].is_ok() && answers[2].is_err());
    assert!(answers[0].as_ref().unwrap_err().to_string().contains("/usr/bin/tool"));
    assert!(room.session.action(&room.request("one").key()).unwrap().is_none(), "no result is kept of a failure");
}

#[test]
fn an_overlay_and_a_copy_of_what_is_written_to_give_the_same() {
    let room = room();
    let fixture = fixture::Fixture::new();
    for name in ["kept", "edited", "gone"] {
        std::fs::write(fixture.empty("root/var/lib/place/sub").join(name), name).unwrap();
    }
    let root = ingest(&fixture.root(), &room.session, NonZeroUsize::MIN, Whose::Kiln(&[])).unwrap().tree;
    let script = "cd /var/lib/place/sub; echo more >> edited; rm gone; echo same > kept.new; mkdir -p /out/a new
                  mv kept.new new/file; touch kept empty; echo out > /out/a/b; ln -s file new/link; chmod 755 new/file";
    let request = ToolRequest {
        root: Arc::new(root),
        commands: vec![["sh", "-euc", script].map(str::to_owned).to_vec()],
        writable: vec!["var/lib/place".parse().unwrap()],
        rewritable: vec!["var/lib/place/sub/edited".parse().unwrap()],
        ..room.request("")
    };
    let tools = Tools { place: &room.place, session: &room.session, reporter: &Silent, subject: "a test" };
    let checkout = room.session.checkout(room.session.put_tree(&request.root).unwrap()).unwrap();
    let [over, copied] = [Way::Overlay, Way::Copy].map(|way| {
        let mut log = Log::new(tempfile::tempfile().unwrap(), &room.place.cancel);
        tools.attempt(&request, &request.key(), checkout.path(), way, &mut log).unwrap().unwrap()
    });
    let paths: Vec<String> = over.walk().map(|(path, _)| path.as_str().to_owned()).collect();
    let sub = "var/lib/place/sub";
    let written = ["empty", "edited", "new", "new/file", "new/link"].map(|name| format!("{sub}/{name}"));
    let mut expected: Vec<String> = ["a", "a/b", "var", "var/lib", "var/lib/place", sub].map(str::to_owned).to_vec();
    expected.extend(written);
    expected.sort();
    assert_eq!(paths, expected);
    assert_eq!(over, copied);
}

#[test]
fn a_long_command_line_is_shown_in_short() {
    let words: Vec<String> = (0..9).map(|n| format!("word{n}\nmore")).collect();
    assert_eq!(shown(&words), "word0 word1 word2 word3 word4 word5 ...");
}
