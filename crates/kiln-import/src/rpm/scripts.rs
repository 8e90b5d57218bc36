//! Scriptlets and triggers of a package, as hooks: kept, never run.
//!
//! A hook's text is what its interpreter would be given, under a first line that names the interpreter: `#!/bin/sh`,
//! `#!<lua>`; `#!<expanded> /bin/sh` for a text that rpm would first fill in. A program without a text, `-p /sbin/ldconfig`,
//! is kept as the shell script that runs it.
//! Which triggers there are is a hook named `triggers`, a line for each that can go off at a fresh installation:
//!
//! ```text
//! files filetrigger-0 /usr/lib/plugins
//! package trigger-1 other >= 2
//! ```

use kiln_model::package::Hook;
use kiln_model::{ObjectError, ObjectSink};

use super::error::RpmError;
use super::header::Header;
use super::tag::{self, Tag};

/// Longer scripts are in no package.
const LONGEST: usize = 16 << 20;

/// Flags of scripts (`rpmscript.h`): macros, or values of the header, are filled in.
const EXPANDED: u64 = 1 | 2;

/// Flags of triggers (`rpmds.h`): set off by what is installed, before or after.
const ON_INSTALLATION: u64 = 1 << 16 | 1 << 25;

/// Scripts of the package itself: name, text, interpreter, flags.
const SCRIPTS: [(&str, Tag, Tag, Tag); 9] = [
    ("pretrans", tag::PRETRANS, tag::PRETRANS_PROGRAM, tag::PRETRANS_FLAGS),
    ("pre", tag::PRE, tag::PRE_PROGRAM, tag::PRE_FLAGS),
    ("post", tag::POST, tag::POST_PROGRAM, tag::POST_FLAGS),
    ("posttrans", tag::POSTTRANS, tag::POSTTRANS_PROGRAM, tag::POSTTRANS_FLAGS),
    ("preun", tag::PREUN, tag::PREUN_PROGRAM, tag::PREUN_FLAGS),
    ("postun", tag::POSTUN, tag::POSTUN_PROGRAM, tag::POSTUN_FLAGS),
    ("preuntrans", tag::PREUNTRANS, tag::PREUNTRANS_PROGRAM, tag::PREUNTRANS_FLAGS),
    ("postuntrans", tag::POSTUNTRANS, tag::POSTUNTRANS_PROGRAM, tag::POSTUNTRANS_FLAGS),
    ("verifyscript", tag::VERIFY, tag::VERIFY_PROGRAM, tag::VERIFY_FLAGS),
];

/// The tags of a kind of trigger.
struct Triggers {
    /// How its hooks are called, before their numbers.
    name: &'static str,
    /// What sets it off.
    by: &'static str,
    scripts: Tag,
    programs: Tag,
    names: Tag,
    versions: Tag,
    flags: Tag,
    indexes: Tag,
}

const TRIGGERS: [Triggers; 3] = [
    Triggers {
        name: "trigger",
        by: "package",
        scripts: tag::TRIGGER_SCRIPTS,
        programs: tag::TRIGGER_PROGRAMS,
        names: tag::TRIGGER_NAMES,
        versions: tag::TRIGGER_VERSIONS,
        flags: tag::TRIGGER_FLAGS,
        indexes: tag::TRIGGER_INDEXES,
    },
    Triggers {
        name: "filetrigger",
        by: "files",
        scripts: tag::FILE_TRIGGER_SCRIPTS,
        programs: tag::FILE_TRIGGER_PROGRAMS,
        names: tag::FILE_TRIGGER_NAMES,
        versions: tag::FILE_TRIGGER_VERSIONS,
        flags: tag::FILE_TRIGGER_FLAGS,
        indexes: tag::FILE_TRIGGER_INDEXES,
    },
    Triggers {
        name: "transfiletrigger",
        by: "files",
        scripts: tag::TRANSACTION_TRIGGER_SCRIPTS,
        programs: tag::TRANSACTION_TRIGGER_PROGRAMS,
        names: tag::TRANSACTION_TRIGGER_NAMES,
        versions: tag::TRANSACTION_TRIGGER_VERSIONS,
        flags: tag::TRANSACTION_TRIGGER_FLAGS,
        indexes: tag::TRANSACTION_TRIGGER_INDEXES,
    },
];

/// Every hook of a package.
pub(super) fn hooks(header: &Header, objects: &dyn ObjectSink) -> Result<Vec<Hook>, RpmError> {
    let mut hooks = Vec::new();
    let mut keep = |name: String, text: &[u8]| {
        let object = |source: ObjectError| RpmError::Object { what: name.clone(), source };
        let size = text.len() as u64;
        if text.len() > LONGEST {
            return Err(RpmError::Structure(format!("its script `{name}` is larger than any")));
        }
        hooks.push(Hook { object: objects.put(text).map_err(object)?, name, size });
        Ok(())
    };
    for (name, script, program, flags) in SCRIPTS {
        let text = header.bytes(script)?.into_iter().next();
        let program = header.texts(program)?.join(" ");
        if text.is_none() && program.is_empty() {
            continue;
        }
        let is_expanded = header.numbers(flags)?.iter().any(|flag| flag & EXPANDED != 0);
        keep(name.to_owned(), &under_interpreter(&program, is_expanded, text.unwrap_or_default()))?;
    }
    let mut lines = String::new();
    for kind in TRIGGERS {
        let scripts = header.bytes(kind.scripts)?;
        let programs = header.texts(kind.programs)?;
        for (number, script) in scripts.iter().enumerate() {
            let program = programs.get(number).copied().unwrap_or("/bin/sh");
            keep(format!("{}-{number}", kind.name), &under_interpreter(program, false, script))?;
        }
        lines.push_str(&declared(header, &kind, scripts.len())?);
    }
    if !lines.is_empty() {
        keep("triggers".to_owned(), lines.as_bytes())?;
    }
    Ok(hooks)
}

fn under_interpreter(program: &str, is_expanded: bool, text: &[u8]) -> Vec<u8> {
    let program = if program.is_empty() { "/bin/sh" } else { program };
    if text.trim_ascii().is_empty() && !program.starts_with('<') && !program.ends_with("sh") {
        return format!("#!/bin/sh\n{program}\n").into_bytes();
    }
    let mark = if is_expanded { "<expanded> " } else { "" };
    let mut whole = format!("#!{mark}{program}\n").into_bytes();
    whole.extend_from_slice(text);
    if !text.is_empty() && !text.ends_with(b"\n") {
        whole.push(b'\n');
    }
    whole
}

/// The lines of a kind of trigger.
fn declared(header: &Header, kind: &Triggers, scripts: usize) -> Result<String, RpmError> {
    let (names, versions) = (header.texts(kind.names)?, header.texts(kind.versions)?);
    let (flags, indexes) = (header.numbers(kind.flags)?, header.numbers(kind.indexes)?);
    let mut lines = String::new();
    for (at, name) in names.iter().enumerate() {
        let (Some(flags), Some(index)) = (flags.get(at), indexes.get(at)) else {
            return Err(kind.names.fault("there are not as many flags as names"));
        };
        if usize::try_from(*index).map_or(true, |index| index >= scripts) {
            return Err(kind.indexes.fault(format!("there is no script {index}")));
        }
        if name.contains(char::is_whitespace) || name.is_empty() {
            return Err(kind.names.fault(format!("`{}` is none", name.escape_debug())));
        }
        if flags & ON_INSTALLATION == 0 {
            continue;
        }
        let version = versions.get(at).copied().unwrap_or_default();
        let range = super::range_text(*flags, version);
        lines.push_str(&format!("{} {}-{index} {name}{range}\n", kind.by, kind.name));
    }
    Ok(lines)
}
