//! From a recipe to the scripts that are run: options decided, parameters and build variables put in.

use super::{Condition, Method, Options, Recipe};
use crate::Architecture;
use crate::diagnostic::Place;
use crate::template::{Template, shell_quoted};

/// The environment variable that holds how many jobs to run at once. `{{ jobs }}` becomes a reference to it and not a
/// number, because the text of a step is part of its action's key and the number of cores must not be.
pub const JOBS_VARIABLE: &str = "KILN_JOBS";

/// One script of a recipe: of its `steps`, `before`, `after` or `test`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTemplate {
    /// Its name, for logs.
    pub name: Option<String>,
    /// The script.
    pub run: Template,
    /// Only with this option.
    pub condition: Option<Condition>,
    /// Where it stands.
    pub place: Place,
}

/// A script to be run by `/bin/bash` with `-e`, `-u` and `-o pipefail`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, for logs.
    pub name: String,
    /// The script.
    pub run: String,
}

/// What a build decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildVars {
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// Where the package's files go.
    pub out: String,
    /// How many jobs at once, as the shell is to see it.
    pub jobs: String,
    /// What it is built for.
    pub architecture: Architecture,
}

impl BuildVars {
    /// The names that steps may use.
    pub const NAMES: &'static [&'static str] = &["name", "version", "out", "jobs", "architecture", "multiarch"];

    /// What every build of a recipe has: `/out`, and the number of jobs from [`JOBS_VARIABLE`].
    #[must_use]
    pub fn new(recipe: &Recipe, architecture: Architecture) -> Self {
        Self {
            name: recipe.name.to_string(),
            version: recipe.version.to_string(),
            out: "/out".to_owned(),
            jobs: format!("${{{JOBS_VARIABLE}}}"),
            architecture,
        }
    }

    /// The value of a name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        Some(match name {
            "name" => self.name.clone(),
            "version" => self.version.clone(),
            "out" => self.out.clone(),
            "jobs" => self.jobs.clone(),
            "architecture" => self.architecture.to_string(),
            "multiarch" => self.architecture.multiarch().to_owned(),
            _ => return None,
        })
    }
}

impl Recipe {
    /// The scripts that build it, in order.
    #[must_use]
    pub fn steps(&self, options: &Options, vars: &BuildVars) -> Vec<Step> {
        let own = |steps: &[StepTemplate], kind: &str| -> Vec<Step> { render(steps, kind, options, vars) };
        let mut steps = match &self.build.method {
            Method::Steps(steps) => own(steps, "step"),
            Method::Builder(call) => {
                let mut steps = own(&call.before, "before");
                let built = call.builder.steps(&call.arguments, options, vars);
                steps.extend(built.into_iter().map(|(name, run)| Step { name, run }));
                steps.extend(own(&call.after, "after"));
                steps
            }
        };
        let environment: String = self
            .build
            .env
            .iter()
            .map(|(name, text)| format!("export {name}={}\n", shell_quoted(&text.render(|name| vars.value(name)))))
            .collect();
        for step in &mut steps {
            step.run.insert_str(0, &environment);
        }
        steps
    }

    /// The scripts that test it, in order.
    #[must_use]
    pub fn test_steps(&self, options: &Options, vars: &BuildVars) -> Vec<Step> {
        render(&self.test, "test", options, vars)
    }
}

fn render(steps: &[StepTemplate], kind: &str, options: &Options, vars: &BuildVars) -> Vec<Step> {
    let held = steps.iter().enumerate().filter(|(_, step)| step.condition.as_ref().is_none_or(|c| c.holds(options)));
    held.map(|(index, step)| Step {
        name: step.name.clone().unwrap_or_else(|| format!("{kind} {}", index + 1)),
        run: step.run.render(|name| vars.value(name)),
    })
    .collect()
}
