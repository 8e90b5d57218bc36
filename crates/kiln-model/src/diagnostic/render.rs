//! Draws a diagnostic as text. Nothing a file contains reaches the terminal raw: control characters are shown as a
//! replacement character, and a long line is cut to a window around the place.

use unicode_width::UnicodeWidthChar;

use super::{Diagnostic, Label, Severity, Style};

/// The widest part of a source line that is shown.
const WINDOW: usize = 110;
/// How much of a cut line stands before the place.
const BEFORE: usize = 40;

struct Palette {
    red: &'static str,
    yellow: &'static str,
    blue: &'static str,
    cyan: &'static str,
    bold: &'static str,
    end: &'static str,
}

const PLAIN: Palette = Palette { red: "", yellow: "", blue: "", cyan: "", bold: "", end: "" };
const COLOUR: Palette = Palette {
    red: "\x1b[1;31m",
    yellow: "\x1b[1;33m",
    blue: "\x1b[34m",
    cyan: "\x1b[36m",
    bold: "\x1b[1m",
    end: "\x1b[0m",
};

pub(super) fn render(diagnostic: &Diagnostic, style: Style) -> String {
    let palette = match style {
        Style::Plain => &PLAIN,
        Style::Colour => &COLOUR,
    };
    let (word, tint) = match diagnostic.severity {
        Severity::Error => ("error", palette.red),
        Severity::Warning => ("warning", palette.yellow),
    };
    let (bold, blue, end) = (palette.bold, palette.blue, palette.end);
    let mut out = format!("{tint}{word}{end}: {bold}{}{end}\n", clean(&diagnostic.message));
    let labels = || diagnostic.primary.iter().chain(&diagnostic.related);
    let gutter = labels().map(|label| label.line.to_string().len()).max().unwrap_or(1);
    let pad = " ".repeat(gutter);
    for (index, label) in labels().enumerate() {
        let corner = if index == 0 { "╭─" } else { "├─" };
        let position = format!("{}:{}:{}", clean(&label.file), label.line, label.column);
        out.push_str(&format!("{pad} {blue}{corner}{end} {position}\n"));
        draw(&mut out, label, gutter, if index == 0 { tint } else { palette.cyan }, palette);
    }
    if diagnostic.primary.is_some() {
        out.push_str(&format!("{pad} {blue}╰─{end}\n"));
    }
    if let Some(hint) = &diagnostic.hint {
        let mut lines = hint.lines();
        out.push_str(&format!("{pad} {}hint{end}: {}\n", palette.cyan, clean(lines.next().unwrap_or(""))));
        for line in lines {
            out.push_str(&format!("{pad}       {}\n", clean(line)));
        }
    }
    out
}

/// One source line with a mark under the place.
fn draw(out: &mut String, label: &Label, gutter: usize, tint: &str, palette: &Palette) {
    let (blue, end) = (palette.blue, palette.end);
    let pad = " ".repeat(gutter);
    let line: Vec<char> = label.snippet.chars().collect();
    let start = (label.column.saturating_sub(1) as usize).min(line.len());
    let stop = start.saturating_add(label.length.max(1) as usize);
    let from = if line.len() > WINDOW { start.saturating_sub(BEFORE) } else { 0 };
    let to = line.len().min(from + WINDOW);
    let shown = |range: &[char]| range.iter().map(|c| shown(*c)).collect::<String>();
    let cut = |yes: bool| if yes { "…" } else { "" };
    let text = format!("{}{}{}", cut(from > 0), shown(&line[from..to]), cut(to < line.len()));
    out.push_str(&format!("{blue}{:>gutter$} │{end} {}\n", label.line, text.trim_end()));
    let width = |range: &[char]| range.iter().map(|c| shown_width(*c)).sum::<usize>();
    let indent = " ".repeat(width(&line[from..start]) + usize::from(from > 0));
    let marks = "─".repeat(width(&line[start..stop.min(to).max(start)]).max(1) - 1);
    let text = if label.text.is_empty() { String::new() } else { format!(" {}", clean(&label.text)) };
    out.push_str(&format!("{pad} {blue}·{end} {indent}{tint}▲{marks}{text}{end}\n"));
}

fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
        {
            '\u{fffd}'
        }
        c => c,
    }
}

fn shown_width(c: char) -> usize {
    shown(c).width().unwrap_or(1)
}

/// One line of text with nothing in it that a terminal would obey.
fn clean(text: &str) -> String {
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(snippet: &str, column: u32, length: u32) -> Diagnostic {
        let label =
            Label { file: "kiln.yaml".into(), line: 7, column, length, snippet: snippet.into(), text: "here".into() };
        Diagnostic {
            severity: Severity::Error,
            message: "wrong".into(),
            primary: Some(label),
            related: vec![],
            hint: None,
        }
    }

    #[test]
    fn escapes_reach_no_terminal() {
        let mut diagnostic = at("a: \x1b[31mred\u{202e}", 4, 3);
        diagnostic.message = "bad \x1b]0;title\x07".into();
        let text = diagnostic.render(Style::Plain);
        assert!(!text.contains('\x1b') && !text.contains('\x07') && !text.contains('\u{202e}'), "{text:?}");
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let line = format!("{}X{}", "a".repeat(100_000), "b".repeat(100_000));
        let text = at(&line, 100_001, 1).render(Style::Plain);
        assert!(text.len() < 1000, "{}", text.len());
        let rows: Vec<&str> = text.lines().collect();
        let column = |row: &str, c: char| row.chars().position(|x| x == c);
        assert_eq!(column(rows[2], 'X'), column(rows[3], '▲'), "{text}");
    }

    #[test]
    fn marks_stand_under_wide_characters() {
        let text = at("名: x", 4, 1).render(Style::Plain);
        assert!(text.contains("7 │ 名: x\n  ·     ▲ here\n"), "{text}");
    }

    #[test]
    fn a_place_past_the_end_is_no_panic() {
        for (column, length) in [(0, 0), (99, 99), (u32::MAX, u32::MAX)] {
            assert!(at("short", column, length).render(Style::Colour).contains("wrong"));
        }
    }
}
