//! `kiln build`

use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use kiln_build::graph::{ActionError, Finished, GraphError, NodeId};
use kiln_image::outputs::{self, Content};
use kiln_image::{LayerCompression, Output, OutputError, oci};
use kiln_model::image::{Compression, Document, Image};
use kiln_model::yaml::nearest;
use kiln_model::{Architecture, Digest};
use kiln_plan::action::{Composed, read_layers};
use kiln_plan::documents::Documents;
use kiln_plan::{ImageNodes, Plan, PlanError, Services, Workspace, images};

use crate::cli::Target;
use crate::context::{Context, Outcome, failed, graph_failed};
use crate::documents::{self, Made};
use crate::failure::{Failure, exit};
use crate::output::say;
use crate::size;
use crate::starts;

/// Arguments of `kiln build`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln build                          every image of the project here\n  \
    kiln build web --output oci-archive one image, as one file\n  \
    kiln build examples/nginx-prod      a project elsewhere\n  \
    kiln build git+URL#v1.0:web         an image of a commit, without a checkout\n  \
    kiln build --output ?               the output formats")]
pub struct Build {
    /// Images and packages: NAME, PROJECT or PROJECT#NAME [default: every image of the project here]
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// The format to write, instead of those that the image names; `?` lists them
    #[arg(short, long, value_name = "FORMAT")]
    output: Vec<String>,
    /// The folder to write to [default: `out` in the project]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Bring `kiln.lock` up to date first
    #[arg(long)]
    lock: bool,
    /// Write SPDX, CycloneDX and provenance of everything too, whatever images say
    #[arg(long)]
    documents: bool,
    /// After a failure go on with everything that does not depend on it
    #[arg(short, long)]
    keep_going: bool,
    /// Print what was built as JSON
    #[arg(long)]
    json: bool,
}

/// One format that an image is written in.
struct Wanted {
    format: &'static Output,
    compression: LayerCompression,
    layers: NonZeroUsize,
}

/// An image to be built.
struct Job<'a> {
    image: &'a Image,
    nodes: ImageNodes,
    outputs: Vec<(Wanted, Option<NodeId>)>,
}

impl Build {
    /// Builds.
    pub fn run(&self, context: &Context) -> Outcome {
        if self.output.iter().any(|format| format == "?") {
            outputs::outputs().iter().for_each(|output| say!("{:12} {}", output.name, output.summary));
            return Ok(exit::DONE);
        }
        let here = Target { project: PathBuf::from("."), name: None };
        let targets: &[Target] = if self.targets.is_empty() { std::slice::from_ref(&here) } else { &self.targets };
        let mut built = Vec::new();
        // Everything that is named is looked up before anything is built.
        let mut jobs = Vec::new();
        // Targets of one project go together.
        for project in Target::projects(targets) {
            let names: Vec<Option<&str>> =
                targets.iter().filter(|t| t.project == project).map(|t| t.name.as_deref()).collect();
            let name = names.iter().copied().flatten().next().map(str::to_owned);
            let workspace = context.workspace(&Target { project: project.to_owned(), name })?;
            select(&workspace, &names)?;
            jobs.push((workspace, names));
        }
        if let Some(folder) = &self.to {
            make_folder(folder)?;
        }
        let mut failures = Vec::new();
        // Never given back, as the plans below.
        let jobs = ManuallyDrop::new(jobs);
        for (workspace, names) in &*jobs {
            match self.project(context, workspace, names, &mut built) {
                Err(failure) if self.keep_going => failures.push(failure),
                other => other?,
            }
        }
        // What was built is told of, whatever else failed.
        if self.json && (failures.is_empty() || !built.is_empty()) {
            say!("{}", serde_json::Value::Array(built));
        }
        if failures.is_empty() { Ok(exit::DONE) } else { Err(Failure::several(failures, None)) }
    }

    fn project(
        &self,
        context: &Context,
        workspace: &Workspace,
        names: &[Option<&str>],
        built: &mut Vec<serde_json::Value>,
    ) -> Outcome<()> {
        let services = context.services(workspace)?;
        let mut lock = if self.lock {
            context.lock(workspace, &services, true)?
        } else {
            context.lock_or_make(workspace, &services)?
        };
        let (images, recipes) = select(workspace, names)?;
        let mut failures = Vec::new();
        let architectures = workspace.project.architectures(services.settings.native);
        for architecture in architectures.iter().copied() {
            let several = architectures.len() > 1;
            // Never given back: the process ends soon, and freeing a plan of thousands of nodes piece by piece takes as long
            // as a tenth of making it.
            let planned = Arc::clone(&lock);
            let mut plan = ManuallyDrop::new(Plan::new(workspace, &planned, &services, architecture));
            let mut kept = None;
            let mut nodes = Vec::new();
            let mut jobs = Vec::new();
            for image in &images {
                let outputs = self.outputs(image)?;
                let image_nodes = plan.image(image).map_err(failed(PlanError::hint))?;
                nodes.push(image_nodes.compose);
                let mut wanted = Vec::new();
                for output in outputs {
                    let layers = match output.format.content {
                        Content::Layers => Some(
                            plan.layers(image, output.compression, output.layers).map_err(failed(PlanError::hint))?,
                        ),
                        Content::Tree => None,
                    };
                    nodes.extend(layers);
                    wanted.push((output, layers));
                }
                jobs.push(Job { image, nodes: image_nodes, outputs: wanted });
            }
            let mut packages = Vec::new();
            for recipe in &recipes {
                let variant = workspace.project.variant(recipe);
                let Some(variant) = variant else { continue };
                let recipe_nodes = plan.recipe(&variant).map_err(failed(PlanError::hint))?;
                nodes.push(recipe_nodes.build);
                packages.push((variant, recipe_nodes));
            }
            nodes.extend(plan.tests());
            let (finished, failure) = match plan.run(&nodes, self.keep_going, &*context.progress) {
                Ok(finished) => (finished, None),
                Err(GraphError::Failed { failures, skipped, untried, mut finished }) if self.keep_going => {
                    let done = std::mem::take(&mut *finished);
                    (done, Some(graph_failed(GraphError::Failed { failures, skipped, untried, finished })))
                }
                Err(error) => return Err(graph_failed(error)),
            };
            let finished = ManuallyDrop::new(finished);
            if workspace.git.dirty {
                context.progress.step("Commit", &format!("{}: the project differs from it", workspace.git.version()));
            }
            // After a failure what was kept before stays, too.
            if failure.is_none() {
                keep(context, workspace, &services, architecture, &finished)?;
            }
            failures.extend(failure);
            let documents = Documents {
                plan: &plan,
                finished: &finished,
                workspace,
                lock: &planned,
                services: &services,
                architecture,
            };
            for (variant, recipe_nodes) in packages {
                let Some(result) = finished.result(recipe_nodes.build) else { continue };
                let tree = result.trees.get("tree").map(ToString::to_string).unwrap_or_default();
                if self.json {
                    built.push(serde_json::json!({
                        "package": variant.recipe.as_str(), "architecture": architecture.as_str(), "tree": tree,
                    }));
                } else {
                    say!("{} {tree}", variant.label);
                }
                if self.documents {
                    let made = Made::of_package(&documents, &variant, &recipe_nodes);
                    let made = made.map_err(failed(ActionError::hint))?;
                    let folder = self.folder_for(context, workspace, architecture, several)?;
                    self.write_documents(context, &documents, &made, &BTreeMap::new(), &folder, built)?;
                }
            }
            for job in jobs {
                let made = |node: &NodeId| finished.result(*node).is_some();
                let layers = job.outputs.iter().filter_map(|(_, layers)| layers.as_ref());
                if !failures.is_empty() && !std::iter::once(&job.nodes.compose).chain(layers).all(made) {
                    continue;
                }
                let composed = plan.composed(&finished, job.nodes).map_err(failed(ActionError::hint))?;
                if let Some(new) = context.keep_ids(workspace, kept.as_ref().unwrap_or(&lock), &composed.allotted)? {
                    kept = Some(new);
                }
                for note in &composed.notes {
                    context.warn(note.message.clone(), note.hint.clone());
                }
                self.write(context, &documents, several, &job, &composed, built)?;
            }
            lock = kept.map_or(lock, Arc::new);
        }
        if failures.is_empty() { Ok(()) } else { Err(Failure::several(failures, None)) }
    }

    fn outputs(&self, image: &Image) -> Outcome<Vec<Wanted>> {
        let mut wanted = Vec::new();
        let find = |name: &str| {
            outputs::find(name).ok_or_else(|| {
                let hint = "`kiln build --output ?` lists them".to_owned();
                Failure::usage(format!("`{name}` is not an output format"), Some(hint))
            })
        };
        let mut add = |name: &str, output: Option<&kiln_model::image::Output>| {
            let compression = match output.map(|output| output.compression) {
                Some(Compression::Gzip) => LayerCompression::Gzip,
                Some(Compression::Zstd) | None => LayerCompression::default(),
            };
            let layers = output.and_then(|output| NonZeroU32::new(output.layers)?.try_into().ok());
            let layers = layers.unwrap_or_else(images::layer_budget);
            wanted.push(Wanted { format: find(name)?, compression, layers });
            Ok(())
        };
        // A format that the command line names is written as the image wants it, if the image names it too.
        for name in &self.output {
            add(name, image.outputs.iter().find(|output| output.format.as_str() == name))?;
        }
        if self.output.is_empty() {
            for output in &image.outputs {
                add(output.format.as_str(), Some(output))?;
            }
        }
        Ok(wanted)
    }

    fn write(
        &self,
        context: &Context,
        documents: &Documents<'_>,
        several: bool,
        job: &Job<'_>,
        composed: &Composed,
        built: &mut Vec<serde_json::Value>,
    ) -> Outcome<()> {
        let Documents { workspace, services, architecture, finished, .. } = *documents;
        let session = &*services.session;
        let folder = self.folder_for(context, workspace, architecture, several)?;
        let wanted = self.documents_of(job.image);
        let made = (!wanted.is_empty()).then(|| Made::of_image(documents, job.image, job.nodes, &wanted));
        let made = made.transpose().map_err(failed(ActionError::hint))?;
        let mut outputs = BTreeMap::new();
        let tree = session.tree(composed.tree).map_err(failed(kiln_store::TreeError::hint))?;
        for (message, hint) in starts::faults(&job.image.run, &tree, session) {
            context.warn(format!("{}: {message}", job.image.name), Some(hint));
        }
        let spec = images::spec(job.image, architecture, &workspace.git);
        // A layer's file is the store's own, without leave to write: gigabytes are neither copied nor kept twice.
        let blob_path = |digest: &Digest| services.store.object_path(&kiln_model::ObjectId(*digest));
        for (wanted, layers) in &job.outputs {
            let layers = match layers.and_then(|node| finished.result(node)) {
                Some(result) => read_layers(session, result).map_err(failed(ActionError::hint))?,
                None => Vec::new(),
            };
            let referrers = match &made {
                Some(made) if wanted.format.content == Content::Layers => {
                    let image = oci::assemble(&spec, &layers, &[]).map_err(failed(OutputError::hint))?;
                    made.referrers(image.manifest.digest)
                }
                _ => Vec::new(),
            };
            let request = outputs::Request {
                spec: &spec,
                tree: &tree,
                layers: &layers,
                referrers: &referrers,
                objects: session,
                blob_path: &blob_path,
                reporter: &*context.progress,
            };
            let elsewhere = || Some("name another folder: `--to DIR`".to_owned());
            let hint = |error: &OutputError| error.hint().or_else(elsewhere);
            let written = wanted.format.write(&request, &folder).map_err(failed(hint))?;
            told(context, &written);
            let name = written.path.file_name().map(|name| name.to_string_lossy().into_owned());
            outputs.insert(name.unwrap_or_default(), written.digest);
            if self.json {
                built.push(serde_json::json!({
                    "image": job.image.name.as_str(), "architecture": architecture.as_str(),
                    "output": wanted.format.name, "path": written.path, "digest": written.digest.to_string(),
                    "size": written.size, "tree": composed.tree.to_string(), "commit": workspace.git.version(),
                }));
            } else {
                say!("{} {} {} {}", job.image.name, wanted.format.name, written.digest, written.path.display());
            }
        }
        if let Some(made) = made {
            self.write_documents(context, documents, &made, &outputs, &folder, built)?;
        }
        Ok(())
    }

    /// The documents of an image that are wanted.
    fn documents_of(&self, image: &Image) -> BTreeSet<Document> {
        if self.documents {
            return documents::all();
        }
        image.documents.iter().map(|document| document.value).collect()
    }

    fn write_documents(
        &self,
        context: &Context,
        of: &Documents<'_>,
        made: &Made,
        outputs: &BTreeMap<String, Digest>,
        folder: &Path,
        built: &mut Vec<serde_json::Value>,
    ) -> Outcome<()> {
        let (word, subject) = &made.subject;
        for document in made.beside(outputs) {
            let written = kiln_image::write_document(folder, &document.file, &document.bytes);
            let written = written.map_err(failed(OutputError::hint))?;
            told(context, &written);
            let kind = document.kind.as_str();
            if self.json {
                built.push(serde_json::json!({
                    *word: subject, "architecture": of.architecture.as_str(), "output": kind, "path": written.path,
                    "digest": written.digest.to_string(), "size": written.size, "tree": made.tree.to_string(),
                    "commit": of.workspace.git.version(),
                }));
            } else {
                say!("{subject} {kind} {} {}", written.digest, written.path.display());
            }
        }
        Ok(())
    }

    /// The folder that outputs for an architecture go to.
    fn folder_for(
        &self,
        context: &Context,
        workspace: &Workspace,
        architecture: Architecture,
        several: bool,
    ) -> Outcome<PathBuf> {
        let folder = self.folder(context, workspace)?;
        if !several {
            return Ok(folder);
        }
        let folder = folder.join(architecture.as_str());
        make_folder(&folder)?;
        Ok(folder)
    }

    fn folder(&self, context: &Context, workspace: &Workspace) -> Outcome<PathBuf> {
        if let Some(folder) = &self.to {
            make_folder(folder)?;
            return Ok(folder.clone());
        }
        let folder = context.out_folder(workspace);
        make_folder(&folder)?;
        // What is built is no part of the project: Git leaves it alone, and the project stays clean.
        let ignore = folder.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(&ignore, "*\n").map_err(|error| {
                Failure::failed(&error, None).within(format!("cannot write `{}`", ignore.display()))
            })?;
        }
        Ok(folder)
    }
}

/// Tells of an output, unless it was there.
fn told(context: &Context, written: &outputs::Written) {
    if !written.untouched {
        let what = format!("{} {} ({})", written.path.display(), written.digest.short(), size(written.size));
        context.progress.step("Wrote", &what);
    }
}

fn make_folder(folder: &Path) -> Outcome<()> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let hint = "name another folder: `--to DIR`".to_owned();
        Failure::failed(&error, Some(hint)).within(format!("cannot make the folder `{}`", folder.display()))
    })
}

/// The images and recipes that names stand for; without any, all images, or all recipes where there is no image.
pub fn select<'a>(
    workspace: &'a Workspace,
    names: &[Option<&str>],
) -> Outcome<(Vec<&'a Image>, Vec<kiln_model::PackageName>)> {
    let project = &workspace.project;
    let (mut images, mut recipes) = (Vec::new(), Vec::new());
    for name in names {
        let Some(name) = name else {
            images.extend(project.images.values());
            if project.images.is_empty() {
                recipes.extend(project.recipes.keys().cloned());
            }
            continue;
        };
        let image = project.images.values().find(|image| image.name.as_str() == *name);
        let recipe = project.recipes.keys().find(|recipe| recipe.as_str() == *name);
        if image.is_none() && recipe.is_none() {
            let mut known: Vec<&str> = project.images.keys().map(kiln_model::ImageName::as_str).collect();
            known.extend(project.recipes.keys().map(kiln_model::PackageName::as_str));
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? it has {}", known.join(", ")),
                None if known.is_empty() => "it has none".to_owned(),
                None => format!("it has {}", known.join(", ")),
            };
            return Err(Failure::usage(format!("the project has no image or package `{name}`"), Some(hint)));
        }
        images.extend(image);
        recipes.extend(recipe.cloned());
    }
    Ok((images, recipes))
}

/// Keeps the results of a build from being cleaned away, until the project's next one.
pub fn keep(
    context: &Context,
    workspace: &Workspace,
    services: &Services,
    architecture: Architecture,
    finished: &Finished,
) -> Outcome<()> {
    let named = context.clones.name_of(&workspace.folder).unwrap_or_else(|| workspace.folder.clone());
    let folder = named.canonicalize().unwrap_or(named);
    let name = format!("build {architecture} {}", Digest::of(folder.as_os_str().as_encoded_bytes()).short());
    let references: Vec<kiln_store::Reference> = finished.keys().map(kiln_store::Reference::Action).collect();
    // A build that changed nothing writes nothing: a store that can only be read serves it too.
    let kept = services.store.root_of(&name).map_err(failed(kiln_store::RootError::hint))?;
    let set = |references: &[kiln_store::Reference]| references.iter().copied().collect::<BTreeSet<_>>();
    if kept.is_some_and(|kept| set(&kept) == set(&references)) {
        return Ok(());
    }
    services.store.set_root(&name, &references).map_err(failed(kiln_store::RootError::hint))
}
