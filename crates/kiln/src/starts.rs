//! Would what an image runs start in it? It may start all the same, where a volume brings the program, so what is wrong
//! is a warning.

use kiln_model::image::Run;
use kiln_model::{Dir, Entry, ObjectSource, TreePath};
use kiln_run::account::Account;
use kiln_run::container::PATH;

/// Files of the image larger than this are not user data bases.
const LARGEST: u64 = 16 << 20;

/// What would keep the command of an image from starting, each with what to do about it.
pub fn faults(run: &Run, tree: &Dir, objects: &dyn ObjectSource) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    if let Some((field, program)) = program(run)
        && !found(run, tree, program)
    {
        faults.push((
            format!("the image runs `{program}`, which is not a program in it"),
            format!("add the package that has it, or correct `{field}:`"),
        ));
    }
    let text = |path: &str| match tree.get(&TreePath::from_archive(path).ok()?)? {
        Entry::File(file) if file.size <= LARGEST => {
            Some(String::from_utf8_lossy(&objects.read(&file.object).ok()?).into_owned())
        }
        _ => None,
    };
    if let Some(user) = &run.user {
        let [passwd, group] = ["etc/passwd", "etc/group"].map(|path| text(path).unwrap_or_default());
        if let Err(error) = Account::find(&passwd, &group, user) {
            faults.push((
                format!("the image runs as `{user}`: {error}"),
                "declare it under `facts: { users: ... }`, or name one that its packages bring".to_owned(),
            ));
        }
    }
    faults
}

/// The program, and the field that names it.
fn program(run: &Run) -> Option<(&'static str, &str)> {
    let entrypoint = run.entrypoint.first().map(|program| ("entrypoint", program.as_str()));
    entrypoint.or_else(|| run.command.first().map(|program| ("command", program.as_str())))
}

fn found(run: &Run, tree: &Dir, program: &str) -> bool {
    let runs = |path: &str| {
        let entry = TreePath::from_archive(path.trim_start_matches('/')).ok().and_then(|path| tree.resolve(&path)?.1);
        matches!(entry, Some(Entry::File(file)) if file.meta.mode & 0o111 != 0)
    };
    if program.starts_with('/') {
        return runs(program);
    }
    if program.contains('/') {
        let folder = run.workdir.as_ref().map_or("", TreePath::as_str);
        return runs(&format!("{folder}/{program}"));
    }
    let path = run.env.get("PATH").map_or(PATH, String::as_str);
    path.split(':').any(|folder| runs(&format!("{folder}/{program}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_model::MemoryObjects;
    use kiln_model::{FileEntry, Meta, SymlinkEntry};

    fn image() -> (Dir, MemoryObjects) {
        let objects = MemoryObjects::default();
        let mut tree = Dir::default();
        let mut put = |path: &str, mode: u16, text: &str| {
            let object = kiln_model::ObjectSink::put(&objects, text.as_bytes()).unwrap();
            let file = FileEntry { object, size: text.len() as u64, meta: Meta::root_owned(mode), hardlinked: false };
            tree.insert(&TreePath::from_archive(path).unwrap(), Entry::File(file)).unwrap();
        };
        put("usr/bin/server", 0o755, "");
        put("usr/share/note", 0o644, "");
        put("etc/passwd", 0o644, "root:x:0:0::/:/bin/sh\nweb:x:101:101::/:/bin/sh\n");
        put("etc/group", 0o644, "root:x:0:\nweb:x:101:\n");
        let link = SymlinkEntry::plain("usr/bin");
        tree.insert(&TreePath::from_archive("bin").unwrap(), Entry::Symlink(link)).unwrap();
        (tree, objects)
    }

    #[test]
    fn a_program_and_a_user_that_are_not_there_are_told_of() {
        let (tree, objects) = image();
        let told = |command: &str, user: Option<&str>| {
            let run = Run { command: vec![command.to_owned()], user: user.map(str::to_owned), ..Run::default() };
            faults(&run, &tree, &objects).into_iter().map(|(message, _)| message).collect::<Vec<_>>()
        };
        for (command, user) in [("/bin/server", None), ("server", Some("web:web")), ("/usr/bin/server", Some("7:9"))] {
            assert_eq!(told(command, user), Vec::<String>::new(), "{command}");
        }
        for command in ["/usr/bin/serve", "serve", "/usr/share/note", "/usr/bin", "usr/bin/serve"] {
            assert!(told(command, None)[0].contains(&format!("`{command}`, which is not a program")), "{command}");
        }
        assert!(told("server", Some("wep"))[0].contains("user `wep`"));
        assert!(told("server", Some("web:wep"))[0].contains("group `wep`"));
    }
}
