//! `kiln verify`

mod ground;
mod report;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use kiln_plan::{Services, Workspace};
use kiln_verify::{CONDITIONS, Condition, Surroundings};

use self::ground::Ground;
use self::report::{Made, Result};
use crate::cli::Target;
use crate::context::{Context, Outcome};
use crate::environment;
use crate::failure::{Failure, exit};
use crate::output::say;

/// Arguments of `kiln verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kiln verify                      everything of the project here, under every condition\n  \
    kiln verify web --output oci     one output of one image\n  \
    kiln verify --condition path,user\n  \
    kiln verify --condition ?        the conditions"
)]
pub struct Verify {
    /// Images and packages: NAME, PROJECT or PROJECT#NAME [default: every image of the project here]
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// The formats to compare, instead of those that the image names
    #[arg(short, long, value_name = "FORMAT")]
    output: Vec<String>,
    /// The conditions to build under, instead of all; `?` lists them
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    condition: Vec<String>,
    /// The folder for temporary stores, which need as much room as the project's packages for each condition at a time
    /// [default: the machine's for temporary files]
    #[arg(long = "in", value_name = "DIR")]
    within: Option<PathBuf>,
    /// Keep what was built differently, and say where it is
    #[arg(long)]
    keep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Verifies.
    pub fn run(&self, context: &Context) -> Outcome {
        if self.condition.iter().any(|name| name == "?") {
            CONDITIONS.iter().for_each(|condition| say!("{:12} {}", condition.name, condition.summary));
            return Ok(exit::DONE);
        }
        let conditions = self.conditions()?;
        let here = Target { project: PathBuf::from("."), name: None };
        let targets: &[Target] = if self.targets.is_empty() { std::slice::from_ref(&here) } else { &self.targets };
        let mut results = Vec::new();
        // Targets of one project go together.
        for project in Target::projects(targets) {
            let names: Vec<Option<&str>> = targets
                .iter()
                .filter(|target| target.project == project)
                .map(|target| target.name.as_deref())
                .collect();
            let found =
                Target { project: project.to_owned(), name: names.iter().copied().flatten().next().map(str::to_owned) };
            let workspace = context.workspace(&found)?;
            results.extend(self.project(context, &workspace, &names, &conditions)?);
        }
        if self.json {
            say!("{}", serde_json::Value::Array(results.iter().map(Result::json).collect()));
        }
        Ok(if results.iter().all(Result::is_fine) { exit::DONE } else { exit::FAILED })
    }

    fn conditions(&self) -> Outcome<Vec<&'static Condition>> {
        if self.condition.is_empty() {
            return Ok(CONDITIONS.iter().collect());
        }
        let find = |name: &String| {
            CONDITIONS.iter().find(|condition| condition.name == name).ok_or_else(|| {
                let names = CONDITIONS.iter().map(|condition| condition.name);
                let hint = kiln_model::yaml::did_you_mean(name, "there are", names);
                Failure::usage(format!("`{name}` is not a condition"), hint)
            })
        };
        self.condition.iter().map(find).collect()
    }

    fn project(
        &self,
        context: &Context,
        workspace: &Workspace,
        names: &[Option<&str>],
        conditions: &[&'static Condition],
    ) -> Outcome<Vec<Result>> {
        let services = context.services(workspace)?;
        let lock = context.lock_or_make(workspace, &services)?;
        let mut ground = Ground::new(workspace, &services, self.within.as_deref())?;
        context.progress.step("Building", "as it is, to compare with");
        let folder = ground.folder().join("first");
        let surroundings = Surroundings::default();
        let arguments = self.arguments(context, &context.folder()?, &folder, &workspace.folder, names)?;
        let first = match self.build(&surroundings, &ground, &arguments)? {
            Ok(made) => made,
            Err(said) => {
                context.progress.line(said.trim_end());
                let hint = "see to it that `kiln build` succeeds first".to_owned();
                return Err(Failure::failed(&report::NotBuilt, Some(hint)));
            }
        };
        ground.take_seeds(&services, &lock);
        let mut results = Vec::new();
        for condition in conditions {
            context.progress.step("Building", &format!("again, with {}", condition.summary));
            let result = self.condition(context, (workspace, &services), &ground, condition, names, &first)?;
            if !self.json {
                result.say();
            }
            results.push(result);
        }
        Ok(results)
    }

    /// One build more, compared with the first.
    fn condition(
        &self,
        context: &Context,
        (workspace, services): (&Workspace, &Services),
        ground: &Ground<'_>,
        condition: &'static Condition,
        names: &[Option<&str>],
        first: &[Made],
    ) -> Outcome<Result> {
        if let Some(why) = (condition.obstacle)().or_else(|| ground.obstacle(condition)) {
            return Ok(Result::left_out(condition, why));
        }
        let mut surroundings = Surroundings::default();
        (condition.change)(&mut surroundings);
        let mut plot = ground.plot(&surroundings, condition)?;
        if surroundings.user.is_some() {
            // The other's configuration is no business of this user, and the user's none of the other.
            surroundings.set("HOME", &plot.path("home").display().to_string());
            surroundings.set("XDG_CONFIG_HOME", &plot.path("home").display().to_string());
        }
        let arguments =
            self.arguments(context, &plot.path("store"), &plot.path("out"), plot.project(&workspace.folder), names)?;
        let made = match self.build(&surroundings, ground, &arguments)? {
            Ok(made) => made,
            Err(said) => return Ok(Result::failed(condition, &said)),
        };
        let result = report::compare(condition, first, (&made, &plot.path("store")), services)?;
        if !self.json
            && let Some(text) = result.look_into(&plot.path("store"), services, &plot.path("looked-into"))
        {
            context.progress.line(&text);
        }
        if self.keep && !result.is_fine() {
            context.progress.step("Kept", &plot.keep()?.display().to_string());
        }
        Ok(result)
    }

    /// The command line of a build.
    fn arguments(
        &self,
        context: &Context,
        store: &Path,
        to: &Path,
        project: &Path,
        names: &[Option<&str>],
    ) -> Outcome<Vec<OsString>> {
        let absolute = project
            .canonicalize()
            .map_err(|error| Failure::failed(&error, None).within(format!("cannot find `{}`", project.display())))?;
        let mut arguments: Vec<OsString> =
            ["build", "--documents", "--json", "--quiet", "--color", "never"].map(OsString::from).to_vec();
        arguments.extend(["--store".into(), store.into(), "--to".into(), to.into()]);
        if context.global.offline {
            arguments.push("--offline".into());
        }
        if let Some(jobs) = context.global.jobs {
            arguments.extend(["--jobs".into(), jobs.to_string().into()]);
        }
        for mirror in &context.global.mirror {
            arguments.extend(["--mirror".into(), mirror.into()]);
        }
        for output in &self.output {
            arguments.extend(["--output".into(), output.into()]);
        }
        for name in names {
            let mut target = absolute.clone().into_os_string();
            if let Some(name) = name {
                target.push("#");
                target.push(name);
            }
            arguments.push(target);
        }
        Ok(arguments)
    }

    /// Builds; what a build that failed said is the inner error.
    fn build(
        &self,
        surroundings: &Surroundings,
        ground: &Ground<'_>,
        arguments: &[OsString],
    ) -> Outcome<std::result::Result<Vec<Made>, String>> {
        let mut arguments = arguments.to_vec();
        if let Some(jobs) = surroundings.jobs {
            let at = arguments.iter().position(|argument| argument == "--jobs");
            at.map(|at| arguments.drain(at..at + 2));
            arguments.extend(["--jobs".into(), jobs.to_string().into()]);
        }
        let program = ground.program()?;
        let directory = std::env::temp_dir();
        let ended = surroundings
            .run(&program, &arguments, &environment::all(), &directory)
            .map_err(|error| Failure::failed(&error, error.hint()))?;
        Ok(if ended.succeeded { Ok(report::read(&ended.stdout)?) } else { Err(ended.stderr) })
    }
}
