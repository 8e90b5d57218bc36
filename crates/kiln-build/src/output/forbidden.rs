//! Places that are there only while a package is built, and how its files are searched for their names.

use memchr::memmem::Finder;

/// A folder that no file of a package may name.
///
/// `/build` is looked for as a path: `/usr/src/build/x` or `$(top)/build/x` do not name it, `-I/build/x` does. The path
/// of a folder of this machine is looked for wherever it stands, since it cannot be there by chance.
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
}

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
        self.find_in_piece(bytes, 0)
    }

    /// The same for a piece of a file whose first `kept` bytes are the end of the piece before. What lies wholly in
    /// those was looked at with the bytes before it, which are no longer there.
    pub(crate) fn find_in_piece(&self, bytes: &[u8], kept: usize) -> Option<usize> {
        if self.search == Search::Nowhere {
            return None;
        }
        let length = self.finder.needle().len();
        let mut found = self.finder.find_iter(bytes);
        found.find(|at| at + length > kept && (self.search == Search::Anywhere || begins_a_path(&bytes[..*at])))
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
    fn finds_a_folder_of_this_machine_wherever_it_stands() {
        let here = Forbidden::of_this_machine("/home/someone/kiln-1");
        assert_eq!(here.find(b"x/home/someone/kiln-1/y"), Some(1));
    }
}
