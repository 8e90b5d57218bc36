//! Places that are there only while a package is built, and how its files are searched for their names.

use std::path::Path;

use memchr::memmem::Finder;

use crate::disk::FaultKind;

/// A folder that no file of a package may name.
///
/// `/build` is looked for as a path: `/usr/src/build/x` or `$(top)/build/x` do not name it, `-I/build/x` does. The folder
/// that a build runs in has a name of its own each time, so it is looked for wherever it stands: it cannot be there by
/// chance.
///
/// The folders of the project and of the store could be: a project at `/srv/www` may build what belongs there. They are
/// looked for as whole paths, and only where an image has nothing of that name: not below the folders that every system
/// has, and not when the path is a person's whole home or a single component. See [`Forbidden::folder_here`].
#[derive(Debug, Clone)]
pub struct Forbidden {
    place: String,
    finder: Finder<'static>,
    search: Search,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    Nowhere,
    AsPath,
    Anywhere,
    WholePath,
}

/// Folders that an image has too, so that a path below them may be one of its own.
const OF_EVERY_SYSTEM: [&str; 17] = [
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "media", "mnt", "opt", "proc", "run", "sbin", "srv", "sys",
    "usr", "var",
];

impl Forbidden {
    /// A folder inside the sandbox, such as `/build`.
    #[must_use]
    pub fn inside(place: &str) -> Self {
        let needle = format!("{}/", place.trim_end_matches('/'));
        Self { finder: Finder::new(&needle).into_owned(), place: place.to_owned(), search: Search::AsPath }
    }

    /// A folder inside the sandbox that links may not lead to. Files may name it: it is too common a name.
    #[must_use]
    pub fn for_links(place: &str) -> Self {
        Self { search: Search::Nowhere, ..Self::inside(place) }
    }

    /// A folder of this machine, by its absolute path.
    #[must_use]
    pub fn of_this_machine(place: &str) -> Self {
        Self { finder: Finder::new(place).into_owned(), place: place.to_owned(), search: Search::Anywhere }
    }

    /// A folder of this machine that stays, such as the project's: only if a file of a package could not mean its own.
    /// That takes two components, three below `/home`, and a first one that no system has.
    #[must_use]
    pub fn folder_here(place: &Path) -> Option<Self> {
        let text = place.to_str()?.trim_end_matches('/');
        let mut parts = text.strip_prefix('/')?.split('/');
        let first = parts.next()?;
        let least = if first == "home" { 2 } else { 1 };
        if OF_EVERY_SYSTEM.contains(&first) || parts.count() < least {
            return None;
        }
        Some(Self { search: Search::WholePath, ..Self::of_this_machine(text) })
    }

    /// The fault of a file that names it.
    pub(crate) fn fault(&self, offset: u64) -> FaultKind {
        let what = self.place.clone();
        match self.search {
            Search::Anywhere | Search::WholePath => FaultKind::Machine { what, offset },
            Search::Nowhere | Search::AsPath => FaultKind::Content { what, offset },
        }
    }

    /// The folder.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// How many bytes around a seam must be looked at again.
    pub(crate) fn reach(&self) -> usize {
        self.finder.needle().len() + 2
    }

    /// Where `bytes` first names the folder.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<usize> {
        self.find_in_piece(bytes, 0, true)
    }

    /// The same for a piece of a file whose first `kept` bytes are the end of the piece before. What lies wholly in
    /// those was looked at with the bytes before it, which are no longer there; but what ends with them only if it
    /// does not matter what follows.
    pub(crate) fn find_in_piece(&self, bytes: &[u8], kept: usize, is_last: bool) -> Option<usize> {
        if self.search == Search::Nowhere {
            return None;
        }
        let length = self.finder.needle().len();
        let mut found = self.finder.find_iter(bytes);
        found.find(|at| {
            let (before, after) = (&bytes[..*at], &bytes[at + length..]);
            match self.search {
                Search::Anywhere | Search::Nowhere => at + length > kept,
                Search::AsPath => at + length > kept && begins_a_path(before),
                Search::WholePath => {
                    let is_seen = at + length >= kept && (is_last || !after.is_empty());
                    is_seen && begins_a_path(before) && ends_a_name(after)
                }
            }
        })
    }

    /// Does a link with this target lead into the folder?
    #[must_use]
    pub fn is_led_to_by(&self, target: &str) -> bool {
        let below = target.strip_prefix(&*self.place);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// May an absolute path begin after these bytes? Not after what would make it the rest of a longer one.
fn begins_a_path(before: &[u8]) -> bool {
    match before {
        // Compiler flags stand right before their path.
        [.., b'-', b'I' | b'L'] => true,
        [.., last] => {
            !last.is_ascii_alphanumeric()
                && !matches!(last, b'_' | b'.' | b'-' | b'/' | b'~' | b'+' | b')' | b'}' | b']' | b'*' | b'%' | b'@')
        }
        [] => true,
    }
}

/// Does a name end before these bytes?
fn ends_a_name(after: &[u8]) -> bool {
    after.first().is_none_or(|next| !next.is_ascii_alphanumeric() && !matches!(next, b'_' | b'-' | b'+' | b'~' | b'@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_folder_from_paths_that_contain_its_name() {
        let build = Forbidden::inside("/build");
        for text in ["/build/x", "x=/build/y", "-I/build/include", "\0/build/a.c\0", "\"/build/", "<p>/build/x</p>"] {
            assert!(build.find(text.as_bytes()).is_some(), "{text}");
        }
        for text in
            ["/usr/src/build/x", "$(top)/build/x", "./build/x", "a/build/", "/builder/x", "/build", "${x}/build/y"]
        {
            assert_eq!(build.find(text.as_bytes()), None, "{text}");
        }
        assert_eq!(build.find(b"a/build/x /build/y"), Some(10));
    }

    #[test]
    fn tells_links_into_the_folder() {
        let out = Forbidden::inside("/out");
        assert!(out.is_led_to_by("/out") && out.is_led_to_by("/out/usr"));
        assert!(!out.is_led_to_by("/outer") && !out.is_led_to_by("out/x"));
    }

    #[test]
    fn folders_that_stay_are_found_as_whole_paths_and_only_where_no_image_has_them() {
        let here = |place: &str| Forbidden::folder_here(Path::new(place));
        for place in
            ["/", "/home", "/home/someone", "/root", "/usr/src", "/opt/tool", "/srv/www", "/var/lib/x/y", "/app", "x/y"]
        {
            assert!(here(place).is_none(), "{place}");
        }
        for place in ["/home/someone/site", "/home/someone/site/", "/root/site", "/tmp/x", "/builds/group/site"] {
            assert!(here(place).is_some(), "{place}");
        }
        let project = here("/home/someone/site").unwrap();
        for text in ["/home/someone/site", "x=/home/someone/site/y", "-I/home/someone/site\0", "\"/home/someone/site.c"]
        {
            assert!(project.find(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["/home/someone/sites", "/mnt/home/someone/site", "/home/someone/site-2/x", "/home/someone/other"] {
            assert_eq!(project.find(text.as_bytes()), None, "{text}");
        }
        assert!(matches!(project.fault(3), FaultKind::Machine { offset: 3, .. }));
    }

    #[test]
    fn finds_a_folder_of_this_machine_wherever_it_stands() {
        let here = Forbidden::of_this_machine("/home/someone/kiln-1");
        assert_eq!(here.find(b"x/home/someone/kiln-1/y"), Some(1));
    }
}
