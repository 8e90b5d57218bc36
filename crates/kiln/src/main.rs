//! The command: parses, calls the crates below, renders. Nothing else in Kiln prints.

mod cli;
mod clone;
mod cmd;
mod context;
mod documents;
mod environment;
mod failure;
mod output;
mod progress;
mod room;
mod starts;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use cli::{Cli, Colour, Command};
use context::Context;
use environment::Environment;
use failure::exit;
use progress::{Progress, Verbosity};

fn main() -> ExitCode {
    // A panic is a bug of ours, whatever brought it about: say so, and end with the code that stands for it.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !nobody_reads(info.payload()) {
            told(info);
        }
    }));
    std::panic::catch_unwind(command).unwrap_or_else(|payload| {
        if nobody_reads(&*payload) {
            return ExitCode::from(exit::FAILED);
        }
        eprintln!("error: this is a bug in Kiln; please report it with what is above");
        ExitCode::from(exit::BUG)
    })
}

/// Did printing fail because who read it has left? The standard library panics then; it is no bug of ours.
fn nobody_reads(payload: &dyn std::any::Any) -> bool {
    let text = payload.downcast_ref::<String>();
    text.is_some_and(|text| text.starts_with("failed printing to std") && text.contains("Broken pipe"))
}

fn command() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let environment = Environment::read();
    let verbosity = match (global.quiet, global.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let colour = match global.color {
        Colour::Auto => environment.colour,
        Colour::Always => true,
        Colour::Never => false,
    };
    let progress = Arc::new(Progress::new(verbosity, colour));
    let context = Context { environment, global, progress, clones: Default::default() };
    let outcome = match &command {
        Command::Init(command) => command.run(&context),
        Command::Lock(command) => command.run(&context),
        Command::Build(command) => command.run(&context),
        Command::Run(command) => command.run(&context),
        Command::Shell(command) => command.run(&context),
        Command::Show(command) => command.run(&context),
        Command::Why(command) => command.run(&context),
        Command::Outdated(command) => command.run(&context),
        Command::Diff(command) => command.run(&context),
        Command::Vendor(command) => command.run(&context),
        Command::Sbom(command) => command.run(&context),
        Command::Verify(command) => command.run(&context),
        Command::Audit(command) => command.run(&context),
        Command::Gc(command) => command.run(&context),
        Command::Fsck(command) => command.run(&context),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "kiln", &mut std::io::stdout());
            Ok(exit::DONE)
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let failure = match context.folder() {
                Ok(folder) => failure.on_store(&folder),
                Err(_) => failure,
            };
            context.progress.line(failure.render(context.progress.colour()).trim_end());
            ExitCode::from(failure.code())
        }
    }
}

/// A number of bytes, for people.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}
