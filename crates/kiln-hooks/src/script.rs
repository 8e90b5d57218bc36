//! The text of a script to its grammar, by `brush-parser`.
//!
//! The parser is given nothing it could choke on: texts have a limit, and so has their nesting. It runs on a thread of its
//! own with room for that nesting, and a panic in it is an answer like any other: this script is not understood.

use brush_parser::ast::Program;
use brush_parser::{Parser, ParserImpl, ParserOptions};

/// Larger scripts are not read. The largest of Debian's has 60 kB.
pub(crate) const MOST_BYTES: usize = 256 * 1024;

/// More nested scripts are not read.
const MOST_NESTED: usize = 100;

/// The grammar of `/bin/sh`, or of bash.
pub(crate) fn options(bash: bool) -> ParserOptions {
    ParserOptions {
        enable_extended_globbing: false,
        posix_mode: !bash,
        sh_mode: !bash,
        tilde_expansion_at_word_start: true,
        tilde_expansion_after_colon: false,
        parser_impl: ParserImpl::Peg,
    }
}

/// Parses a script, which may be written for bash.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn parse(text: &str, bash: bool) -> Result<Program, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("it is larger than {} kB", MOST_BYTES / 1024));
    }
    if nesting(text) > MOST_NESTED {
        return Err("it is nested too deeply".to_owned());
    }
    let owned = crate::document::at_ends_of_lines(text)?.into_owned();
    let parsed = std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || Parser::new(owned.as_bytes(), &options(bash)).parse_program())
        .map_err(|error| format!("there is no thread to read it on: {error}"))?
        .join();
    match parsed {
        Ok(Ok(program)) => Ok(program),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("its grammar is not understood".to_owned()),
    }
}

/// The most that anything in the text could be nested, whatever is quoted.
fn nesting(text: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    for c in text.chars() {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    let words = text.split_ascii_whitespace().scan(0_usize, |depth, word| {
        match word.trim_end_matches(';') {
            "if" | "case" | "for" | "while" | "until" => *depth += 1,
            "fi" | "esac" | "done" => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    most.max(words.max().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_script_that_is_too_large_or_too_deep_is_refused() {
        assert!(parse(&"true\n".repeat(MOST_BYTES), false).is_err());
        assert!(parse(&"(".repeat(100_000), false).is_err());
        assert!(parse(&"if true; then ".repeat(10_000), false).is_err());
        assert!(parse("if true; then", false).is_err());
        assert!(parse("if true; then :; fi\n", false).is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[a-z \"'$(){};|&<>\n\\\\`#=]{0,120}") {
            let _ = parse(&text, false);
            let _ = parse(&text, true);
        }
    }
}
