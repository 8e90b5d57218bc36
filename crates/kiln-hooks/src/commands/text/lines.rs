//! Commands that sort, count and cut lines, and tell what a file is.

use std::fmt::Write as _;

use super::super::options::Options;
use super::super::{Call, Done, Outcome};
use super::input;
use crate::evaluate::Evaluator;
use crate::value::{Status, Value};

/// The text that a command reads, or why it is not known.
macro_rules! text_of {
    ($evaluator:expr, $files:expr) => {
        match input($evaluator, $files) {
            Value::Known(text) => text,
            Value::Unknown(why) => return Done::unknown(why),
        }
    };
}

fn words<'a>(call: &Call<'a>) -> Option<Vec<&'a str>> {
    call.arguments.known().ok()
}

/// `sort`, by bytes as in the locale that hooks run in.
pub(in crate::commands) fn sort(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = words(call).unwrap_or_default();
    let Ok(options) = Options::read(&words, &["-u", "-r", "-n"]) else {
        return Done::unknown("this order is not followed");
    };
    let text = text_of!(evaluator, &options.operands);
    let mut lines: Vec<&str> = text.lines().collect();
    if options.has(&["-n"]) {
        lines.sort_by_key(|line| {
            line.trim().split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse::<u64>().ok())
        });
    } else {
        lines.sort_unstable();
    }
    if options.has(&["-r"]) {
        lines.reverse();
    }
    if options.has(&["-u"]) {
        lines.dedup();
    }
    Done::prints(lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

pub(in crate::commands) fn uniq(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = words(call).unwrap_or_default();
    let Ok(options) = Options::read(&words, &["-c", "-d", "-u"]) else {
        return Done::unknown("this use of `uniq` is not followed");
    };
    let text = text_of!(evaluator, &options.operands);
    let mut runs: Vec<(usize, &str)> = Vec::new();
    for line in text.lines() {
        match runs.last_mut() {
            Some((count, last)) if *last == line => *count += 1,
            _ => runs.push((1, line)),
        }
    }
    let mut out = String::new();
    for (count, line) in runs {
        if (options.has(&["-d"]) && count == 1) || (options.has(&["-u"]) && count > 1) {
            continue;
        }
        let _ = if options.has(&["-c"]) { writeln!(out, "{count:7} {line}") } else { writeln!(out, "{line}") };
    }
    Done::prints(out)
}

fn count(options: &Options<'_>, operands: &mut Vec<&str>) -> Option<usize> {
    // `head -1` is an old way of `head -n 1`.
    if let Some(at) = operands.iter().position(|word| word.starts_with('-') && word[1..].parse::<usize>().is_ok()) {
        return operands.remove(at)[1..].parse().ok();
    }
    options.get(&["-n", "--lines"]).map_or(Some(10), |count| count.parse().ok())
}

fn some_lines(evaluator: &Evaluator<'_>, call: &Call<'_>, pick: impl Fn(Vec<&str>, usize) -> Vec<&str>) -> Outcome {
    let words = words(call).unwrap_or_default();
    let (old, new): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.strip_prefix('-').is_some_and(|rest| rest.parse::<usize>().is_ok()));
    let Ok(options) = Options::read(&new, &["-n=", "--lines="]) else {
        return Done::unknown("which lines these are is not followed");
    };
    let mut operands = old;
    let Some(count) = count(&options, &mut operands) else {
        return Done::unknown("how many lines these are is not followed");
    };
    let text = text_of!(evaluator, &options.operands);
    Done::prints(pick(text.lines().collect(), count).iter().map(|line| format!("{line}\n")).collect::<String>())
}

pub(in crate::commands) fn head(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    some_lines(evaluator, call, |lines, count| lines.into_iter().take(count).collect())
}

pub(in crate::commands) fn tail(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    some_lines(evaluator, call, |lines, count| {
        let skipped = lines.len().saturating_sub(count);
        lines.into_iter().skip(skipped).collect()
    })
}

pub(in crate::commands) fn wc(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = words(call).unwrap_or_default();
    let Ok(options) = Options::read(&words, &["-l", "-w", "-c"]) else {
        return Done::unknown("this count is not followed");
    };
    if !options.operands.is_empty() {
        return Done::unknown("this count is not followed");
    }
    let text = text_of!(evaluator, &[]);
    let number = if options.has(&["-l"]) {
        text.matches('\n').count()
    } else if options.has(&["-w"]) {
        text.split_ascii_whitespace().count()
    } else {
        text.len()
    };
    Done::prints(format!("{number}\n"))
}

/// `seq FIRST STEP LAST`. A long one is none of a hook.
pub(in crate::commands) fn seq(_: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let numbers: Option<Vec<i64>> = words(call).unwrap_or_default().iter().map(|word| word.parse().ok()).collect();
    let (first, step, last) = match numbers.as_deref() {
        Some([last]) => (1, 1, *last),
        Some([first, last]) => (*first, 1, *last),
        Some([first, step, last]) if *step != 0 => (*first, *step, *last),
        _ => return Done::unknown("this sequence is not followed"),
    };
    let mut text = String::new();
    let mut number = first;
    for _ in 0..10_000 {
        if (step > 0 && number > last) || (step < 0 && number < last) {
            return Done::prints(text);
        }
        let _ = writeln!(text, "{number}");
        number = number.saturating_add(step);
    }
    Done::unknown("this sequence is not followed")
}

/// `stat -c FORMAT FILE`, for modes and for owners of what nobody gave away.
pub(in crate::commands) fn stat(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = words(call).unwrap_or_default();
    let Ok(options) = Options::read(&words, &["-L", "-c=", "--format=", "--dereference"]) else {
        return Done::unknown("this use of `stat` is not followed");
    };
    let (Some(format), [file]) = (options.get(&["-c", "--format"]), &options.operands[..]) else {
        return Done::unknown("this use of `stat` is not followed");
    };
    let path = crate::paths::tree(&crate::paths::absolute(&evaluator.state.directory, file));
    if evaluator.seen(file, true).is_none() {
        return Ok(Done { status: Status::FAILURE, output: Value::empty() });
    }
    let owned = path.as_ref().is_some_and(|path| {
        evaluator.state.effects.permissions.contains_key(path) || evaluator.state.effects.made.contains_key(path)
    });
    let mode = path.and_then(|path| evaluator.world.mode(&path));
    match (format, mode) {
        (_, _) if owned => Done::unknown("what the hook itself changed is not followed here"),
        ("%a", Some(mode)) => Done::prints(format!("{mode:o}\n")),
        ("%u" | "%g", _) => Done::prints("0\n"),
        ("%U" | "%G", _) => Done::prints("root\n"),
        _ => Done::unknown("this use of `stat` is not followed"),
    }
}
