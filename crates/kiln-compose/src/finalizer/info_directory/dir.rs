//! The directory file: sections of entries, and where a new one goes.
//!
//! The rules are those of `install-info`, its odd ones too: a new section sorts by name whatever the case, and in it the
//! entries of one manual do, the longer of two names that begin alike in any order; in a section that is there, an entry
//! goes before the first that is greater, byte by byte, or where the entry before it went.

use std::collections::BTreeMap;

use super::entry::{Entry, Manual};

const HEAD: &str = "This is the file .../info/dir, which contains the\n\
topmost node of the Info hierarchy, called (dir)Top.\n\
The first time you invoke Info you start off looking at this node.\n\
\x1f\n\
File: dir,\tNode: Top\tThis is the top of the INFO tree\n\
\n\
\x20 This (the Directory node) gives a menu of major topics.\n\
\x20 Typing \"q\" exits, \"H\" lists all Info commands, \"d\" returns here,\n\
\x20 \"h\" gives a primer for first-timers,\n\
\x20 \"mEmacs<Return>\" visits the Emacs manual, etc.\n\
\n\
\x20 In Emacs, you can click mouse button 2 on a menu item or cross reference\n\
\x20 to select it.\n\
\n\
* Menu:\n";

/// The directory. A section's entries are lines: what does not begin with `*` continues the entry before.
#[derive(Debug, Default)]
pub(super) struct Directory {
    sections: Vec<(String, Vec<String>)>,
}

impl Directory {
    /// Adds what a manual says of itself.
    pub fn install(&mut self, manual: Manual) {
        if manual.entries.is_empty() {
            return;
        }
        let mut missing: Vec<&String> = manual.sections.iter().collect();
        for (name, lines) in &mut self.sections {
            let Some(place) = manual.sections.iter().position(|section| section == name) else {
                continue;
            };
            missing.retain(|section| !std::ptr::eq(*section, &manual.sections[place]));
            add(lines, manual.entries.iter().filter(|entry| entry.sections.contains(name)));
        }
        let entries: Vec<&Entry> = manual.entries.iter().collect();
        let entries = sorted(&entries);
        let mut new: BTreeMap<usize, Vec<&String>> = BTreeMap::new();
        for name in missing {
            let greater = |(other, _): &(String, Vec<String>)| folded(name) < folded(other);
            let place = self.sections.iter().position(greater).unwrap_or(self.sections.len());
            new.entry(place).or_default().push(name);
        }
        for (place, mut names) in new.into_iter().rev() {
            names.sort();
            for name in names.into_iter().rev() {
                let of_section = entries.iter().filter(|entry| entry.sections.contains(name));
                let lines = of_section.flat_map(|entry| entry.text.lines()).map(str::to_owned).collect();
                self.sections.insert(place, (name.clone(), lines));
            }
        }
    }

    /// The file.
    pub fn to_text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (name, lines) in &self.sections {
            text.push('\n');
            text.push_str(name);
            text.push('\n');
            for line in lines {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Adds entries to a section that is there. An entry of the same name goes.
fn add<'a>(lines: &mut Vec<String>, entries: impl Iterator<Item = &'a Entry>) {
    let mut before: BTreeMap<usize, Vec<&Entry>> = BTreeMap::new();
    let mut gone = vec![false; lines.len()];
    let mut place = lines.len();
    for entry in entries {
        for at in (0..lines.len()).rev().filter(|at| lines[*at].starts_with('*')) {
            if same_name(&entry.text, &lines[at]) && !gone[at] {
                gone[at] = true;
                for further in at + 1..lines.len() {
                    if lines[further].starts_with('*') {
                        break;
                    }
                    gone[further] = true;
                }
            }
            if less(&entry.text, &lines[at]) {
                place = at;
            }
        }
        let there = before.entry(place).or_default();
        let at = there.iter().position(|other| less(&entry.text, &other.text)).unwrap_or(there.len());
        there.insert(at, entry);
    }
    let mut all = Vec::new();
    for at in 0..=lines.len() {
        for entry in before.get(&at).into_iter().flatten() {
            all.extend(entry.text.lines().map(str::to_owned));
        }
        if let Some(line) = lines.get_mut(at)
            && gone.get(at) == Some(&false)
        {
            all.push(std::mem::take(line));
        }
    }
    *lines = all;
}

/// Does the name in one entry come before that in another? A name that the other begins with does. Characters are
/// signed.
fn less(a: &str, b: &str) -> bool {
    for (a, b) in a.bytes().zip(b.bytes()) {
        match (a, b) {
            (b':', b':') => {}
            (b':', _) => return true,
            (_, b':') => return false,
            _ => {}
        }
        if a != b {
            return (a as i8) < (b as i8);
        }
    }
    false
}

fn same_name(a: &str, b: &str) -> bool {
    for (a, b) in a.bytes().zip(b.bytes()) {
        if a == b':' && b == b':' {
            return true;
        }
        if a != b {
            return false;
        }
    }
    true
}

/// Names compared whatever their case, as far as the shorter goes. This is no order: how it sorts depends on the way.
fn at_most(a: &Entry, b: &Entry) -> bool {
    let name = |entry: &Entry| entry.text.split(':').next().unwrap_or_default().to_ascii_lowercase().into_bytes();
    let (a, b) = (name(a), name(b));
    let length = a.len().min(b.len());
    a[..length] <= b[..length]
}

/// The merge sort of the C library, which keeps the order of equals.
fn sorted<'a>(entries: &[&'a Entry]) -> Vec<&'a Entry> {
    let [_, _, ..] = entries else {
        return entries.to_vec();
    };
    let (left, right) = entries.split_at(entries.len() / 2);
    let (left, right) = (sorted(left), sorted(right));
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    let mut all = Vec::with_capacity(entries.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        all.extend(if at_most(a, b) { left.next() } else { right.next() });
    }
    all.extend(left);
    all.extend(right);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manual(section: &str, names: &[&str]) -> Manual {
        let entry = |name: &&str| Entry { text: format!("* {name}: (x).\n"), sections: vec![section.to_owned()] };
        Manual { sections: vec![section.to_owned()], entries: names.iter().rev().map(entry).collect() }
    }

    #[test]
    fn sections_and_entries_are_in_order() {
        let mut directory = Directory::default();
        directory.install(manual("TeX", &["b", "d"]));
        directory.install(manual("basics", &["z"]));
        directory.install(manual("TeX", &["c", "a"]));
        directory.install(manual("TeX", &["c"]));
        let menu = directory.to_text().split_once("* Menu:\n").unwrap().1.to_owned();
        assert_eq!(menu, "\nbasics\n* z: (x).\n\nTeX\n* a: (x).\n* b: (x).\n* c: (x).\n* d: (x).\n");
    }

    #[test]
    fn a_name_that_another_begins_with_comes_first() {
        assert!(less("* diff: (d)", "* diff3: (d)"));
        assert!(!less("* diff3: (d)", "* diff: (d)"));
        assert!(same_name("* a: (x)", "* a: (y)") && !same_name("* a: (x)", "* ab: (x)"));
    }
}
