//! Development tasks. `cargo xtask help` lists them.

mod architecture;
mod bench;
mod generate;
mod hooks_compare;
mod process;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test [--quick]   every check and test; --quick leaves out the distribution's mirror and the peers
cargo xtask bench [PARTS]    measurements beside other builders, printed and, where no parts (web, graph, peers) are
                             named, written to docs/benchmarks.md
cargo xtask generate         writes the generated documents and schemas
cargo xtask hooks-compare [--closure NAME | --write | PACKAGES...] [--release | --kiln FILE] [--update] [--cache DIR]
                             [--differences FILE]
                             trees with hooks run and without, path by path; --write puts the report into docs/hooks.md
cargo xtask packages         names the Debian packages that the tests need
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["test"] => test::all(test::Scope::Everything),
        ["test", "--quick"] => test::all(test::Scope::Quick),
        ["bench", ..] => bench::run(&words[1..]),
        ["generate"] => generate::run(),
        ["hooks-compare", ..] => hooks_compare::run(&words[1..]),
        ["packages"] => {
            println!("{}", test::PACKAGES.join(" "));
            Ok(())
        }
        ["help" | "--help"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
