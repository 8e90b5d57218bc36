//! What came of a build, beside what came of the first.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln_model::{Dir, Entry, ObjectId, ObjectSource as _, TreeId, TreePath};
use kiln_plan::Services;
use kiln_store::Store;
use kiln_verify::{Cause, Change, Condition, compare_files, differences};
use serde_json::{Value, json};

use crate::context::{Outcome, failed};
use crate::failure::Failure;
use crate::output::say;

/// Differences that are told of one condition; their number is always told.
const MOST: usize = 20;

/// The build that all others are compared with failed.
#[derive(Debug, thiserror::Error)]
#[error("there is nothing to compare: the project does not build as it is")]
pub struct NotBuilt;

/// One thing that a build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// `web oci` or `package tool`, with the architecture.
    name: String,
    /// The digest of the output; of a package, that of its tree.
    digest: String,
    tree: TreeId,
    path: Option<PathBuf>,
}

/// Reads what `kiln build --json` prints.
pub fn read(text: &str) -> Outcome<Vec<Made>> {
    let wrong = || Failure::failed(&std::io::Error::other("`kiln build --json` printed what is not understood"), None);
    let list: Vec<Value> = serde_json::from_str(text).map_err(|_| wrong())?;
    let mut all = Vec::new();
    for value in list {
        let word = |key: &str| value.get(key).and_then(Value::as_str);
        let thing = match (word("image"), word("output"), word("package")) {
            (Some(image), Some(output), _) => format!("{image} {output}"),
            (_, Some(document), Some(package)) => format!("package {package} {document}"),
            (_, None, Some(package)) => format!("package {package}"),
            _ => return Err(wrong()),
        };
        let tree = word("tree").ok_or_else(wrong)?;
        all.push(Made {
            name: format!("{thing} ({})", word("architecture").unwrap_or_default()),
            digest: word("digest").unwrap_or(tree).to_owned(),
            tree: tree.parse().map_err(|_| wrong())?,
            path: word("path").map(PathBuf::from),
        });
    }
    Ok(all)
}

/// Something that came out differently.
#[derive(Debug)]
struct Different {
    of: String,
    path: String,
    what: String,
    cause: Option<Cause>,
    /// Both contents, where it is a file of a tree.
    contents: Option<[ObjectId; 2]>,
}

impl Different {
    fn new(of: &Made, path: &Path, what: impl Into<String>, cause: Option<Cause>) -> Self {
        Self { of: of.name.clone(), path: path.display().to_string(), what: what.into(), cause, contents: None }
    }
}

#[derive(Debug)]
enum Kind {
    Same(usize),
    Different(Vec<Different>),
    LeftOut(&'static str),
    Failed(String),
}

/// What came of one condition.
#[derive(Debug)]
pub struct Result {
    condition: &'static Condition,
    kind: Kind,
}

impl Result {
    /// It cannot be had.
    pub fn left_out(condition: &'static Condition, why: &'static str) -> Self {
        Self { condition, kind: Kind::LeftOut(why) }
    }

    /// The build failed under it.
    pub fn failed(condition: &'static Condition, said: &str) -> Self {
        Self { condition, kind: Kind::Failed(said.trim().to_owned()) }
    }

    /// Is nothing wrong?
    pub fn is_fine(&self) -> bool {
        matches!(self.kind, Kind::Same(_) | Kind::LeftOut(_))
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let mut value = json!({ "condition": self.condition.name });
        match &self.kind {
            Kind::Same(count) => (value["result"], value["compared"]) = (json!("same"), json!(count)),
            Kind::LeftOut(why) => (value["result"], value["why"]) = (json!("left-out"), json!(why)),
            Kind::Failed(said) => (value["result"], value["said"]) = (json!("failed"), json!(said)),
            Kind::Different(list) => {
                value["result"] = json!("different");
                value["differences"] = list
                    .iter()
                    .map(|different| {
                        json!({ "of": different.of, "path": different.path, "what": different.what,
                                "cause": different.cause.map(|cause| cause.to_string()) })
                    })
                    .collect();
            }
        }
        value
    }

    /// For people.
    pub fn say(&self) {
        let name = self.condition.name;
        match &self.kind {
            Kind::Same(count) => say!("{name:12} same ({count} compared)"),
            Kind::LeftOut(why) => say!("{name:12} left out: {why}"),
            Kind::Failed(said) => {
                say!("{name:12} FAILED");
                said.lines().for_each(|line| say!("             {line}"));
            }
            Kind::Different(list) => {
                say!("{name:12} DIFFERENT");
                for different in list.iter().take(MOST) {
                    say!("             {}: {} {}", different.of, different.path, different.what);
                    if let Some(cause) = different.cause {
                        say!("             {:width$}  likely {cause}", "", width = different.of.len());
                    }
                }
                if let Some(more) = list.len().checked_sub(MOST).filter(|more| *more > 0) {
                    say!("             and {more} more");
                }
            }
        }
    }
}

/// Compares what two builds made.
pub fn compare(
    condition: &'static Condition,
    first: &[Made],
    (second, folder): (&[Made], &Path),
    services: &Services,
) -> Outcome<Result> {
    let (mut found, mut told) = (Vec::new(), BTreeSet::new());
    for one in first {
        let Some(two) = second.iter().find(|two| two.name == one.name) else {
            found.push(Different::new(one, Path::new(""), "was not made", None));
            continue;
        };
        if one.tree != two.tree {
            // Every output and document of a tree that differs does: the tree is told of once.
            if !told.insert((one.tree, two.tree)) {
                continue;
            }
            found.extend(in_trees(one, two, folder, services)?);
        } else if one.digest != two.digest {
            found.extend(in_outputs(one, two)?);
        }
    }
    let kind = if found.is_empty() { Kind::Same(first.len()) } else { Kind::Different(found) };
    Ok(Result { condition, kind })
}

fn in_trees(one: &Made, two: &Made, folder: &Path, services: &Services) -> Outcome<Vec<Different>> {
    let store = Store::open(
        &kiln_plan::services::store_folder(folder),
        kiln_plan::services::store_options(services.settings.now).read_only(),
    )
    .map_err(failed(kiln_store::OpenError::hint))?;
    let tree = |store: &Store, id| store.tree(id).map_err(failed(kiln_store::TreeError::hint));
    let (a, b) = (tree(&services.store, one.tree)?, tree(&store, two.tree)?);
    let list = differences((&a, &services.store), (&b, &store)).map_err(failed(kiln_model::ObjectError::hint))?;
    let object = |dir: &Dir, path: &TreePath| match dir.get(path) {
        Some(Entry::File(file)) => Some(file.object),
        _ => None,
    };
    let tell = |difference: kiln_verify::Difference| {
        let path = Path::new("/").join(difference.path.as_str());
        let (what, cause) = (difference.change.to_string(), difference.change.cause());
        let contents = matches!(difference.change, Change::Content(_))
            .then(|| Some([object(&a, &difference.path)?, object(&b, &difference.path)?]))
            .flatten();
        Different { contents, ..Different::new(one, &path, what, cause) }
    };
    Ok(list.into_iter().map(tell).collect())
}

/// The tree is the same and its output is not.
fn in_outputs(one: &Made, two: &Made) -> Outcome<Vec<Different>> {
    let another = || Different::new(one, Path::new(""), "has another digest", None);
    let (Some(a), Some(b)) = (&one.path, &two.path) else { return Ok(vec![another()]) };
    let list = compare_files(a, b)
        .map_err(|error| Failure::failed(&error, None).within(format!("cannot compare `{}`", a.display())))?;
    let mut all: Vec<Different> =
        list.into_iter().map(|(path, what, cause)| Different::new(one, &path, what, cause)).collect();
    if all.is_empty() {
        all.push(another());
    }
    Ok(all)
}

/// Lines of `diffoscope` that are shown.
const MOST_LINES: usize = 40;

impl Result {
    /// What `diffoscope` says of the first file that differs, if that program is installed: it looks into archives, programs
    /// and documents. The second content is in the store of `folder`.
    pub fn look_into(&self, folder: &Path, services: &Services, scratch: &Path) -> Option<String> {
        let Kind::Different(list) = &self.kind else { return None };
        let different = list.iter().find(|different| different.contents.is_some())?;
        let [first, second] = different.contents?;
        let store = kiln_plan::services::store_folder(folder);
        let options = kiln_plan::services::store_options(services.settings.now).read_only();
        let store = Store::open(&store, options).ok()?;
        let name = Path::new(&different.path).file_name()?;
        let mut command = Command::new("diffoscope");
        command.args(["--text", "-", "--no-progress", "--exclude-directory-metadata=yes"]);
        for (side, store, object) in [("first", &services.store, first), ("second", &store, second)] {
            let place = scratch.join(side);
            fs::create_dir_all(&place).ok()?;
            fs::write(place.join(name), store.read(&object).ok()?).ok()?;
            command.arg(place.join(name));
        }
        let output = command.stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let shown: Vec<&str> = text.lines().take(MOST_LINES).collect();
        (!shown.is_empty()).then(|| format!("diffoscope of {}:\n{}", different.path, shown.join("\n")))
    }
}
