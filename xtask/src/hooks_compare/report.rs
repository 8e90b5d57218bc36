//! The report of a comparison: on the terminal, as lines for programs, and as the document.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::account::{Account, Named};
use super::compare::{Compared, Comparison, Result};
use super::packages::Packages;
use super::table::Table;

/// Everything that is told of one closure.
pub struct Report<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The table.
    pub table: &'a Table,
    /// What came out.
    pub comparison: &'a Comparison,
    /// The packages.
    pub packages: &'a Packages,
    /// Those whose hooks Kiln does not understand.
    pub accepted: &'a BTreeSet<String>,
    /// What `kiln audit` says.
    pub account: &'a Account,
}

/// How many paths came out each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count([usize; Result::ALL.len()]);

impl Count {
    fn add(&mut self, result: Result) {
        self.0[result as usize] += 1;
    }

    fn of(self, result: Result) -> usize {
        self.0[result as usize]
    }

    /// Paths that hooks made: all but the extra ones.
    fn made(self) -> usize {
        self.0.iter().sum::<usize>() - self.of(Result::Extra)
    }

    fn share(self) -> Share {
        Share { part: self.of(Result::Equal), of: self.made() }
    }

    fn share_with_extra(self) -> Share {
        Share { part: self.of(Result::Equal), of: self.made() + self.of(Result::Extra) }
    }
}

/// A share, written so that it is never rounded up to a whole that it is not.
#[derive(Debug, Clone, Copy)]
struct Share {
    part: usize,
    of: usize,
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hundredths = (self.part * 10_000).checked_div(self.of).unwrap_or(10_000);
        write!(f, "{}.{:02} % ({} of {})", hundredths / 100, hundredths % 100, self.part, self.of)
    }
}

impl Report<'_> {
    /// The table by class, with totals: Markdown that also reads well on a terminal.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let mut classes: BTreeMap<usize, Count> = BTreeMap::new();
        let (mut relevant, mut all) = (Count::default(), Count::default());
        for path in &self.comparison.paths {
            all.add(path.result);
            if path.relevant || path.result == Result::Extra {
                relevant.add(path.result);
                classes.entry(path.class).or_default().add(path.result);
            }
        }
        let _ = writeln!(
            text,
            "| class of path | without hooks by | paths | equal | content differs | metadata differs | missing | extra |"
        );
        let _ = writeln!(text, "|---|---|--:|--:|--:|--:|--:|--:|");
        let row = |text: &mut String, name: &str, mechanism: &str, count: Count| {
            let figures = Result::ALL.map(|result| count.of(result).to_string()).join(" | ");
            let _ = writeln!(text, "| {name} | {mechanism} | {} | {figures} |", count.made());
        };
        let mut order: Vec<_> = classes.iter().collect();
        order.sort_by_key(|(class, count)| (usize::MAX - count.made(), **class));
        for (class, count) in order {
            let class = &self.table.classes[*class];
            row(&mut text, &class.name, &class.mechanism, *count);
        }
        row(&mut text, "**all that hooks add or change**", "", relevant);
        let _ = writeln!(
            text,
            "\n- Image-relevant paths (added or changed by hooks) that are equal: **{}**",
            relevant.share()
        );
        let _ = writeln!(
            text,
            "- The same, each extra path counted as one that is not equal: {}",
            relevant.share_with_extra()
        );
        let _ =
            writeln!(text, "- All paths that are equal: {}; with extra paths: {}", all.share(), all.share_with_extra());
        let _ = writeln!(text, "\n| left out | why | paths |\n|---|---|--:|");
        for (class, count) in self.table.classes.iter().zip(&self.comparison.left_out) {
            if *count > 0 {
                let _ =
                    writeln!(text, "| {} ({}) | {} | {count} |", class.name, class.treatment.name(), class.mechanism);
            }
        }
        text
    }

    /// Packages whose hooks are not understood.
    pub fn not_understood(&self) -> String {
        let names: Vec<&str> = self.accepted.iter().map(String::as_str).collect();
        match names.len() {
            0 => "Every hook of every package is understood.\n".to_owned(),
            count => format!(
                "Hooks of {count} packages are not understood and were accepted as they are: {}.\n",
                names.join(", ")
            ),
        }
    }

    /// Every path that is not equal, below its cause.
    pub fn differences(&self) -> String {
        let mut by_cause: BTreeMap<String, Vec<&Compared>> = BTreeMap::new();
        for path in self.unequal() {
            by_cause.entry(self.cause(path)).or_default().push(path);
        }
        let mut text = String::new();
        for (cause, paths) in by_cause {
            let _ = writeln!(text, "**{cause}** ({})\n", paths.len());
            for path in paths {
                let _ = writeln!(text, "- `{}` {}: {}", path.path, path.result.name(), path.detail);
            }
            text.push('\n');
        }
        text
    }

    /// What `kiln audit` says of the paths that are not equal. Those with a cause of the table are not asked about: it is
    /// no hook that is missing there.
    pub fn said(&self) -> String {
        let (mut explained, mut by_path, mut first_boot) = (0, 0, 0);
        let mut by_package: BTreeMap<String, usize> = BTreeMap::new();
        let mut silent = Vec::new();
        for path in self.unequal() {
            if self.table.cause(&path.path, path.node.target()).is_some() {
                explained += 1;
                continue;
            }
            match self.account.named(&path.path, self.author(path)) {
                Some(Named::Path(_)) => by_path += 1,
                Some(Named::FirstBoot) => first_boot += 1,
                Some(Named::Package(name)) => *by_package.entry(name).or_default() += 1,
                None => silent.push(format!("`{}`", path.path)),
            }
        }
        let packages: Vec<String> = by_package.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let mut text = "### What `kiln audit` says of them\n\n".to_owned();
        let _ = writeln!(text, "- {explained} have a cause above that is no hook's.");
        let _ = writeln!(text, "- {by_path} are named by path, with the line that is not followed.");
        let _ = writeln!(
            text,
            "- {} are of packages of which it names lines that are not followed: {}.",
            by_package.values().sum::<usize>(),
            if packages.is_empty() { "none".to_owned() } else { packages.join(", ") }
        );
        let _ = writeln!(text, "- {first_boot} are named as work of a machine's first boot.");
        let _ = writeln!(
            text,
            "- {} are not named: {}.\n",
            silent.len(),
            if silent.is_empty() { "nothing is wrong in silence".to_owned() } else { silent.join(", ") }
        );
        text
    }

    /// Every path that is not equal as a line of fields between tabs.
    pub fn lines(&self) -> String {
        let mut text = "closure\tpath\tclass\tresult\trelevant\tpackage\tdetail\tcause\n".to_owned();
        for path in self.unequal() {
            let fields = [
                self.name,
                &path.path,
                &self.table.classes[path.class].name,
                path.result.name(),
                if path.relevant { "yes" } else { "no" },
                self.author(path).unwrap_or("?"),
                &path.detail,
                &self.cause(path),
            ];
            let _ = writeln!(text, "{}", fields.map(|field| field.replace(['\t', '\n'], " ")).join("\t"));
        }
        text
    }

    fn unequal(&self) -> impl Iterator<Item = &Compared> {
        self.comparison.paths.iter().filter(|path| path.result != Result::Equal)
    }

    fn author(&self, path: &Compared) -> Option<&str> {
        self.packages.author(path.path.trim_start_matches('/'), &path.node)
    }

    fn cause(&self, path: &Compared) -> String {
        if let Some(cause) = self.table.cause(&path.path, path.node.target()) {
            return cause.to_owned();
        }
        match self.author(path) {
            Some(author) if self.accepted.contains(author) => format!("hooks of {author} are not understood"),
            Some(author) => format!("not explained; {author}"),
            None => "not explained".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_up() {
        let shown = |part, of| Share { part, of }.to_string();
        assert_eq!(shown(9_999_999, 10_000_000), "99.99 % (9999999 of 10000000)");
        assert_eq!(shown(0, 0), "100.00 % (0 of 0)");
        assert_eq!(shown(1, 3), "33.33 % (1 of 3)");
    }

    #[test]
    fn extra_paths_are_not_among_those_that_hooks_made() {
        let mut count = Count::default();
        [Result::Equal, Result::Equal, Result::Missing, Result::Extra].into_iter().for_each(|result| count.add(result));
        assert_eq!((count.share().part, count.share().of), (2, 3));
        assert_eq!(count.share_with_extra().of, 4);
    }
}
