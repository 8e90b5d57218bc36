//! Composing packages to the root of a build sandbox or to an image.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use kiln_build::graph::{Action, ActionError, Context, Inputs, NodeId};
use kiln_build::package::{TREE, name_of, needed, record_object};
use kiln_compose::audit::Audit;
use kiln_compose::closure::TreeAnalysis;
use kiln_compose::{
    AccountIds, Answer, Composition, ImageFile, LayerName, Member, OsRelease, Overlay, Request, Said, closure, compose,
    prepare,
};
use kiln_model::{
    ActionKey, Architecture, Facts, HooksWord, KeyBuilder, ObjectId, OriginName, PackageName, PackageRecord,
    PackageRef, PartName, Reporter, TreePath,
};
use kiln_store::{ActionResult, Session};

use super::composed::{COMPOSED, Composed, ComposedPackage, LayerTree, Note, canonical, read_json};
use super::import::{ANALYSIS, put_json};
use super::{closure_notes, hinted};
use crate::parallel;
use crate::records::Records;
use crate::relations;
use crate::rules::Rules;
use crate::tools::{ToolPlace, Tools};

/// A package that goes in, or may: the node that imports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberNode {
    /// Its origin.
    pub origin: OriginName,
    /// Its name.
    pub name: PackageName,
    /// The node.
    pub node: NodeId,
}

/// A package that the project builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The recipe.
    pub name: PackageName,
    /// The node that builds it.
    pub node: NodeId,
    /// Parts that go in besides the package itself.
    pub parts: Vec<PartName>,
    /// Does it go in whatever happens, or only when another one turns out to need it?
    pub wanted: bool,
}

/// What an image adds to its packages. Empty for a build environment.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// Its own files.
    pub files: BTreeMap<TreePath, ImageFile>,
    /// Trees laid over the packages.
    pub overlays: Vec<Overlay>,
    /// Its own facts.
    pub facts: Facts,
    /// Which package wins a path that several claim.
    pub replace: BTreeMap<TreePath, PackageRef>,
    /// What is said of the hooks of packages: all that a build environment has of this.
    pub hooks: BTreeMap<PackageRef, Said>,
    /// Answers to the questions of packages.
    pub answers: BTreeMap<PackageRef, BTreeMap<String, Answer>>,
    /// The system's language.
    pub locale: Option<String>,
    /// The system's time zone.
    pub time_zone: Option<String>,
    /// Finalizers that are switched off.
    pub without: BTreeSet<String>,
    /// What names the commit.
    pub os_release: Option<OsRelease>,
}

/// Composes a set of packages. The result has the tree [`TREE`], the description [`COMPOSED`] and the layers' trees.
pub struct ComposeAction {
    /// What it is, for messages: `web`, `the environment of nginx`.
    pub name: String,
    /// An image, whose closure is checked, or a build environment?
    pub is_image: bool,
    /// What it is for.
    pub architecture: Architecture,
    /// Imported packages that are in it.
    pub members: Arc<[MemberNode]>,
    /// Imported packages that built ones may bring along: those of their build environments.
    pub candidates: Arc<[MemberNode]>,
    /// Packages that the project builds.
    pub built: Arc<[Built]>,
    /// What the image adds.
    pub content: Arc<Content>,
    /// Numbers that the lock holds.
    pub locked: Arc<AccountIds>,
    /// The rules that stand for hooks.
    pub rules: Arc<Rules>,
    /// The records of packages, which are read already when the key is made.
    pub records: Arc<Records>,
    /// What finalizers run their tools with.
    pub tools: ToolPlace,
}

/// Packages that go in, each with the node whose result it is in, and its part of it.
type Choice = BTreeMap<PackageRef, (NodeId, Option<PartName>)>;

impl ComposeAction {
    /// The packages that go in, by name. Results say what built packages need: records are read only where those bring
    /// along what nobody asked for.
    fn choose(&self, inputs: &Inputs) -> Result<Choice, ActionError> {
        // In order already, which a map is quickly made of.
        let mut chosen: Choice = self.members.iter().map(|member| (reference(member), (member.node, None))).collect();
        let mut taken: BTreeSet<&PackageName> = BTreeSet::new();
        let mut queue: Vec<&Built> = self.built.iter().filter(|built| built.wanted).collect();
        let mut wanted: BTreeSet<PackageRef> = BTreeSet::new();
        while let Some(built) = queue.pop() {
            if !taken.insert(&built.name) {
                continue;
            }
            let parts = built.parts.iter().filter(|_| built.wanted).cloned().map(Some);
            for part in std::iter::once(None).chain(parts) {
                for package in needed(inputs.get(built.node), part.as_ref()) {
                    let PackageRef::Recipe(name) = &package else {
                        wanted.insert(package);
                        continue;
                    };
                    let planned = self.built.iter().find(|other| other.name == *name);
                    let missing =
                        || ActionError::message(format!("`{}` needs `{name}`, which is not planned", built.name));
                    queue.push(planned.ok_or_else(missing)?);
                }
                let name = name_of(&built.name, part.as_ref()).map_err(ActionError::new)?;
                chosen.insert(PackageRef::Recipe(name), (built.node, part));
            }
        }
        wanted.retain(|package| !chosen.contains_key(package));
        if !wanted.is_empty() {
            self.choose_brought(inputs, &wanted, &mut chosen)?;
        }
        Ok(chosen)
    }

    /// Adds imported packages that built ones turned out to need, with all that those need.
    fn choose_brought(
        &self,
        inputs: &Inputs,
        wanted: &BTreeSet<PackageRef>,
        chosen: &mut Choice,
    ) -> Result<(), ActionError> {
        let mut records = Vec::with_capacity(self.candidates.len());
        for candidate in &*self.candidates {
            records.push((reference(candidate), candidate, self.records.get(inputs.get(candidate.node), None)?));
        }
        let available: Vec<&PackageRecord> = records.iter().map(|(.., record)| &**record).collect();
        let mut roots = Vec::new();
        for package in wanted {
            let found = records.iter().find(|(reference, ..)| reference == package);
            let missing = || ActionError::message(format!("`{package}`, which a built package needs, is not locked"));
            roots.push(&*found.ok_or_else(missing)?.2);
        }
        let place = "the build environment that it was found in";
        let brought = relations::closure(roots, &available, place).map_err(hinted(relations::RelationsError::hint))?;
        for (reference, candidate, record) in &records {
            if brought.contains(record.name.as_str()) {
                chosen.entry(reference.clone()).or_insert((candidate.node, None));
            }
        }
        Ok(())
    }

    /// The packages that go in, in the order of their names, each with the digest of its record.
    fn load(
        &self,
        session: &Session,
        inputs: &Inputs,
        jobs: NonZeroUsize,
    ) -> Result<Vec<(ObjectId, Member)>, ActionError> {
        let choice: Vec<_> = self.choose(inputs)?.into_iter().collect();
        parallel::map(jobs, &choice, |(_, (node, part))| {
            let result = inputs.get(*node);
            let record = PackageRecord::clone(&*self.records.get(result, part.as_ref())?);
            // What was built here has none: its few files are read when they are checked.
            let analysis = match result.objects.get(ANALYSIS) {
                Some((object, _)) => read_json(session, object)?,
                None => TreeAnalysis::default(),
            };
            let record_id = record_object(result, part.as_ref())?;
            let tree = session.tree(record.tree).map_err(hinted(kiln_store::TreeError::hint))?;
            let member = prepare(record, tree, self.rules.set());
            Ok((record_id, member.with_analysis(Arc::new(analysis))))
        })
    }

    /// What is composed.
    fn request(&self, members: Vec<Member>) -> Request {
        // Taken apart, so that nothing that an image may say is forgotten here or in the key.
        let Content { files, overlays, facts, replace, hooks, answers, locale, time_zone, without, os_release } =
            (*self.content).clone();
        Request {
            members,
            files,
            overlays,
            facts,
            replace,
            hooks,
            answers,
            locale,
            time_zone,
            without,
            os_release,
            locked: (*self.locked).clone(),
            architecture: self.architecture,
        }
    }

    /// The account of the hooks of what would be composed.
    ///
    /// # Errors
    /// When a package cannot be read.
    pub fn audit(&self, session: &Session, inputs: &Inputs, jobs: NonZeroUsize) -> Result<Audit, ActionError> {
        let members = self.load(session, inputs, jobs)?.into_iter().map(|(_, member)| member).collect();
        let request = self.request(members);
        kiln_compose::audit::audit(&request, session).map_err(ActionError::new)
    }

    /// Composes, without keeping anything but objects.
    ///
    /// # Errors
    /// When the packages do not fit together, or something in the image does not find what it needs.
    pub fn composition(
        &self,
        session: &Session,
        inputs: &Inputs,
        reporter: &dyn Reporter,
        jobs: NonZeroUsize,
    ) -> Result<(Composition, Composed), ActionError> {
        let (record_ids, members): (Vec<ObjectId>, Vec<Member>) = self.load(session, inputs, jobs)?.into_iter().unzip();
        let request = self.request(members);
        let place = if self.is_image { "the image" } else { "the environment" };
        let records = request.members.iter().map(|member| &member.record);
        let imported: Vec<&PackageRecord> = records.filter(|record| record.origin.is_some()).collect();
        relations::verify(&imported, place).map_err(hinted(relations::RelationsError::hint))?;
        let tools = Tools { place: &self.tools, session, reporter, subject: &self.name };
        let composition =
            compose(&request, session, session, &tools).map_err(hinted(kiln_compose::ComposeError::hint))?;
        let mut notes: Vec<Note> = composition
            .warnings
            .iter()
            .map(|warning| Note { message: warning.message.clone(), hint: warning.hint.clone() })
            .collect();
        if self.is_image {
            notes.extend(self.check_closure(session, &composition, &request.members)?);
        }
        let put = |dir: &kiln_model::Dir| session.put_tree(dir).map_err(hinted(kiln_store::WriteError::hint));
        // An environment is never taken apart.
        let apart = if self.is_image { &composition.layers[..] } else { &[] };
        let mut layers = Vec::with_capacity(apart.len());
        for layer in apart {
            let comment = match &layer.name {
                LayerName::Package(package) => {
                    let found = request.members.iter().find(|member| member.reference() == *package);
                    let version = found.map_or("", |member| member.record.version.as_str());
                    format!("{package} {version}")
                }
                other => other.to_string(),
            };
            layers.push(LayerTree { name: layer.name.clone(), tree: put(&layer.tree)?, comment });
        }
        let package = |(record, member): (&ObjectId, &Member)| ComposedPackage {
            package: member.reference(),
            version: member.record.version.clone(),
            record: *record,
            tree: member.record.tree,
        };
        let composed = Composed {
            tree: put(&composition.tree)?,
            layers,
            packages: record_ids.iter().zip(&request.members).map(package).collect(),
            allotted: composition.allotted.clone(),
            notes,
        };
        Ok((composition, composed))
    }

    fn check_closure(
        &self,
        session: &Session,
        composition: &Composition,
        members: &[Member],
    ) -> Result<Vec<Note>, ActionError> {
        let analyses = members.iter().map(|member| &*member.analysis);
        let faults =
            closure::check(&composition.tree, self.architecture, analyses, session, &closure::Allowed::default())
                .map_err(ActionError::new)?;
        let errors: Vec<String> = faults
            .iter()
            .filter(|fault| fault.severity == closure::Severity::Error)
            .map(|fault| format!("  {fault}"))
            .collect();
        if errors.is_empty() {
            let mut notes = closure_notes::notes(&faults, &composition.owners);
            notes.extend(closure_notes::hidden(&composition.tree, &composition.owners));
            return Ok(notes);
        }
        let message = format!("the image is not whole:\n{}", errors.join("\n"));
        let hint =
            "add the package that has what is missing to the image, or to the `runtime` of the recipe that needs it";
        Err(ActionError::message(message).with_hint(Some(hint.to_owned())))
    }
}

fn reference(member: &MemberNode) -> PackageRef {
    PackageRef::Origin(member.origin.clone(), member.name.clone())
}

impl Action for ComposeAction {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn verb(&self) -> &'static str {
        "Composing"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        let imports = self.members.iter().chain(&*self.candidates).map(|member| member.node);
        imports.chain(self.built.iter().map(|built| built.node)).collect()
    }

    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
        let mut key = KeyBuilder::new("compose/7")
            .field("composer", kiln_compose::VERSION.to_le_bytes())
            .field("hooks", kiln_compose::HOOKS_VERSION.to_le_bytes())
            .field("architecture", self.architecture.as_str())
            .field("image", [u8::from(self.is_image)])
            .field("rules", self.rules.digest().as_bytes());
        let mut records = Vec::with_capacity(self.members.len() + self.built.len());
        for (reference, (node, part)) in self.choose(inputs)? {
            records.push((reference, record_object(inputs.get(node), part.as_ref())?));
        }
        key = key.written("members", &records, |text, (reference, record)| write!(text, "{reference} {record}"));
        let Content { files, overlays, facts, replace, hooks, answers, locale, time_zone, without, os_release } =
            &*self.content;
        let file = |(path, file): (&TreePath, &ImageFile)| {
            let owner =
                |name: &Option<kiln_model::name::AccountName>| name.as_ref().map_or("", |n| n.as_str()).to_owned();
            format!("{path}\0{}\0{}\0{}\0{}", file.object, file.mode, owner(&file.owner), owner(&file.group))
        };
        key = key.list("files", files.iter().map(file));
        let mut sorted: Vec<String> =
            overlays.iter().map(|o| format!("{}\0{}\0{}", o.priority, o.name, o.tree.id())).collect();
        sorted.sort();
        key = key.list("overlays", sorted);
        key = key.field("facts", facts.canonical());
        key = key.list("replace", replace.iter().map(|(path, package)| format!("{path}\0{package}")));
        // Where it is said, and why, is for people: what it comes to is not.
        key = key.list(
            "hooks",
            hooks.iter().map(|(package, said)| match &said.word {
                HooksWord::Accept { .. } => format!("{package}\0accept"),
                HooksWord::Replace { facts, .. } => {
                    format!("{package}\0replace\0{}", String::from_utf8_lossy(&facts.canonical()))
                }
            }),
        );
        let answers = answers.iter().flat_map(|(package, list)| list.iter().map(move |answer| (package, answer)));
        key =
            key.list("answers", answers.map(|(package, (name, answer))| format!("{package}\0{name}\0{}", answer.text)));
        key = key.list("locale", locale).list("time-zone", time_zone);
        key = key.list("without", without);
        let release = os_release.as_ref();
        key = key.list("os-release", release.map(|r| format!("{}\0{}", r.image, r.version.as_deref().unwrap_or(""))));
        key = key.field("locked", canonical(&*self.locked)?);
        Ok(key.finish())
    }

    fn run(&self, context: &Context<'_>, inputs: &Inputs) -> Result<ActionResult, ActionError> {
        let (_, composed) = self.composition(context.session, inputs, context.reporter, context.jobs)?;
        let mut result = ActionResult { trees: [(TREE.to_owned(), composed.tree)].into(), ..ActionResult::default() };
        for (index, layer) in composed.layers.iter().enumerate() {
            result.trees.insert(format!("layer.{index:04}"), layer.tree);
        }
        put_json(context, &mut result, COMPOSED, composed.to_bytes()?)?;
        Ok(result)
    }
}
