//! `kiln sbom`

use std::io::Write;

use clap::{Args, ValueEnum};
use kiln_build::graph::ActionError;
use kiln_model::image::Image;
use kiln_model::project::Variant;
use kiln_plan::documents::Documents;
use kiln_plan::recipes::RecipeNodes;
use kiln_plan::{ImageNodes, Plan, PlanError};
use kiln_sbom::{cyclonedx, provenance, spdx};

use super::build::select;
use crate::cli::Target;
use crate::context::{Context, Outcome, failed, graph_failed, image_of};
use crate::failure::{Failure, exit};

/// Arguments of `kiln sbom`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln sbom web\n  kiln sbom web --format cyclonedx\n  \
    kiln sbom nginx --provenance        a package that the project builds")]
pub struct Sbom {
    /// The image or package: NAME, PROJECT or PROJECT#NAME
    #[arg(value_name = "TARGET", default_value = ".")]
    target: Target,
    /// The form of the list
    #[arg(long, value_enum, default_value_t = Format::Spdx, value_name = "FORMAT")]
    format: Format,
    /// What it was made of, as SLSA provenance, instead of what is in it
    #[arg(long, conflicts_with = "format")]
    provenance: bool,
}

/// Forms of a list of what is in something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// SPDX 2.3, JSON
    Spdx,
    /// CycloneDX 1.6, JSON
    Cyclonedx,
}

impl Sbom {
    /// Prints the document.
    pub fn run(&self, context: &Context) -> Outcome {
        let workspace = context.workspace(&self.target)?;
        let (images, recipes) = match self.target.name.as_deref() {
            None => (vec![image_of(&workspace, None)?], Vec::new()),
            name => select(&workspace, &[name])?,
        };
        let services = context.services(&workspace)?;
        let lock = context.lock(&workspace, &services, false)?;
        let architecture = services.settings.native;
        let mut plan = Plan::new(&workspace, &lock, &services, architecture);
        // What is to be told of, with its nodes. An image and a package may share a name: the image is what people mean.
        let variant = recipes.first().and_then(|recipe| workspace.project.variant(recipe));
        let subject = match (images.first(), &variant) {
            (Some(image), _) => Subject::Image(image, plan.image(image).map_err(failed(PlanError::hint))?),
            (None, Some(variant)) => {
                let nodes = plan.recipe(variant).map_err(failed(PlanError::hint))?;
                Subject::Package(variant, Box::new(nodes))
            }
            // Whatever was selected is one of the two.
            (None, None) => return Ok(exit::DONE),
        };
        let node = match &subject {
            Subject::Image(_, nodes) => nodes.compose,
            Subject::Package(_, nodes) => nodes.build,
        };
        let finished = plan.run(&[node], false, &*context.progress).map_err(graph_failed)?;
        let documents = Documents {
            plan: &plan,
            finished: &finished,
            workspace: &workspace,
            lock: &lock,
            services: &services,
            architecture,
        };
        let text = self.document(&documents, &subject).map_err(failed(ActionError::hint))?;
        std::io::stdout().lock().write_all(&text).map_err(|error| Failure::failed(&error, None))?;
        Ok(exit::DONE)
    }

    fn document(&self, documents: &Documents<'_>, subject: &Subject<'_>) -> Result<Vec<u8>, ActionError> {
        let description = match subject {
            Subject::Image(image, nodes) => documents.image(image, *nodes),
            Subject::Package(variant, nodes) => documents.recipe(variant, nodes),
        }?;
        if !self.provenance {
            return Ok(match self.format {
                Format::Spdx => spdx::document(&description),
                Format::Cyclonedx => cyclonedx::document(&description),
            });
        }
        let of = match subject {
            Subject::Image(image, nodes) => documents.provenance_of_image(image, *nodes),
            Subject::Package(variant, nodes) => documents.provenance_of_recipe(variant, nodes),
        }?;
        Ok(provenance::document(&of, &[(of.target.clone(), description.tree)].into()))
    }
}

/// What is told of.
enum Subject<'a> {
    Image(&'a Image, ImageNodes),
    Package(&'a Variant, Box<RecipeNodes>),
}
