//! Where a distribution's archive is read from.
//!
//! What a mirror sends is believed only by signature and digest, so it is transport and part of no key. None is built
//! in: it is taken from the command line, else the environment, else the user's configuration, else the machine's own
//! apt configuration. Everything here is a pure function of those texts; the caller reads them.

use std::path::Path;

use kiln_fetch::Url;

use crate::deb::deb822::Stanzas;

/// A place that is said to hold an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The folder that the archive's paths are below: for Debian the one with `dists` and `pool` in it. Ends in `/`.
    pub url: Url,
    /// Who named it, for messages: `--mirror`, a variable, a file.
    pub named_by: String,
}

impl Mirror {
    /// A place below its folder.
    #[must_use]
    pub fn below(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        // Mirrors have a scheme that has folders; see [`folder`].
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }
}

/// Why there is no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// Nobody names one.
    #[error("no mirror of `{distribution}` is known for the origin `{origin}`")]
    None {
        /// The origin.
        origin: String,
        /// The distribution.
        distribution: String,
        /// What such a mirror's folder holds.
        holds: &'static str,
    },
    /// Somebody names something that is no URL.
    #[error("`{text}`, from {named_by}, is not a mirror's URL")]
    NotAUrl {
        /// The text.
        text: String,
        /// Who named it.
        named_by: String,
    },
}

impl MirrorError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::None { distribution, holds, .. } => format!(
                "give `--mirror URL`, or set `{}`, or name it in `~/.config/kiln/config.yaml`; the URL is the folder that holds {holds}",
                variable(distribution)
            ),
            Self::NotAUrl { .. } => "write it as `https://HOST/PATH`, `http://HOST/PATH` or `file:///PATH`".to_owned(),
        })
    }
}

/// The environment variable that names the mirror of a distribution.
#[must_use]
pub fn variable(distribution: &str) -> String {
    let upper = distribution.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    format!("KILN_MIRROR_{}", upper.collect::<String>())
}

/// What may name a mirror, most important first. Each text may hold several, separated by blanks or commas.
#[derive(Debug, Clone, Default)]
pub struct Named<'a> {
    /// From `--mirror`.
    pub flag: Option<&'a str>,
    /// From the environment.
    pub environment: Option<&'a str>,
    /// From the user's configuration.
    pub user: Option<&'a str>,
    /// The machine's apt configuration: file names and contents, `sources.list` and what is in `sources.list.d`.
    pub apt: &'a [(String, String)],
}

/// The mirrors to ask for `distribution`, in order: those of the most important source that names any.
///
/// # Errors
/// When nothing names one, or what does is no URL.
pub fn choose(
    origin: &str,
    distribution: &str,
    holds: &'static str,
    named: &Named<'_>,
    read_list: &dyn Fn(&Path) -> Option<String>,
) -> Result<Vec<Mirror>, MirrorError> {
    let variable = variable(distribution);
    let sources = [(named.flag, "--mirror"), (named.environment, &*variable), (named.user, "the user's configuration")];
    for (text, named_by) in sources {
        let words = text.unwrap_or_default().split([' ', '\t', '\n', ',']).filter(|word| !word.is_empty());
        let mirrors = words
            .map(|word| {
                let fault = || MirrorError::NotAUrl { text: word.to_owned(), named_by: named_by.to_owned() };
                folder(word).map(|url| Mirror { url, named_by: named_by.to_owned() }).ok_or_else(fault)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if !mirrors.is_empty() {
            return Ok(mirrors);
        }
    }
    let mirrors = from_apt_sources(named.apt, distribution, read_list);
    if mirrors.is_empty() {
        return Err(MirrorError::None { origin: origin.to_owned(), distribution: distribution.to_owned(), holds });
    }
    Ok(mirrors)
}

/// The place of the images of a registry: `https://HOST/PATH` has them below `https://HOST/v2/PATH/`.
///
/// # Errors
/// When it is no address.
pub fn of_registry(address: &str) -> Result<Vec<Mirror>, MirrorError> {
    let fault = || MirrorError::NotAUrl { text: address.to_owned(), named_by: "`kiln.yaml`".to_owned() };
    let mut url = folder(address).ok_or_else(fault)?;
    url.set_path(&format!("/v2{}", url.path()));
    Ok(vec![Mirror { url, named_by: "`kiln.yaml`".to_owned() }])
}

/// The place of the images in a folder of the project.
///
/// # Errors
/// When its path cannot be part of an address.
pub fn of_layout(layout: &Path) -> Result<Vec<Mirror>, MirrorError> {
    let absolute = std::path::absolute(layout).ok().and_then(|path| Url::from_directory_path(path).ok());
    let fault = || MirrorError::NotAUrl { text: layout.display().to_string(), named_by: "`kiln.yaml`".to_owned() };
    Ok(vec![Mirror { url: absolute.ok_or_else(fault)?, named_by: "`kiln.yaml`".to_owned() }])
}

/// The mirrors that the machine's apt configuration names and that may hold `distribution`, each once, in the order of
/// the files. Which of them does is told by its signed `InRelease`.
///
/// `read_list` gives the content of the mirror list that a `mirror+file:` source points to.
#[must_use]
pub fn from_apt_sources(
    files: &[(String, String)],
    distribution: &str,
    read_list: &dyn Fn(&Path) -> Option<String>,
) -> Vec<Mirror> {
    let mut found: Vec<Mirror> = Vec::new();
    for (name, text) in files {
        let uris = if has_extension(name, "sources") { from_deb822(text) } else { from_one_line(text) };
        for uri in uris {
            for url in resolve(&uri, read_list) {
                if !found.iter().any(|mirror| mirror.url == url) {
                    found.push(Mirror { url, named_by: format!("`{name}`") });
                }
            }
        }
    }
    // A machine's list has other archives too: asking those would only tell them what is being built here.
    if found.iter().any(|mirror| names(&mirror.url, distribution)) {
        found.retain(|mirror| names(&mirror.url, distribution));
    }
    found
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

/// Does the URL speak of the distribution: in a folder's name, or in the host's?
fn names(url: &Url, distribution: &str) -> bool {
    let mut segments = url.path().split('/');
    segments.any(|segment| segment == distribution || segment.starts_with(&format!("{distribution}-")))
        || url.host_str().is_some_and(|host| host.split(['.', '-']).any(|label| label == distribution))
}

fn from_deb822(text: &str) -> Vec<String> {
    let mut uris = Vec::new();
    // A file that apt cannot read either names no mirror; apt is the one to complain of it.
    for stanza in Stanzas::new(text).map_while(Result::ok) {
        let words = |field: &str| stanza.lines(field).flat_map(str::split_ascii_whitespace);
        let disabled = stanza.get("Enabled").is_some_and(|value| {
            matches!(&*value.trim().to_ascii_lowercase(), "no" | "false" | "without" | "off" | "disable")
        });
        if !disabled && words("Types").any(|kind| kind == "deb") {
            uris.extend(words("URIs").map(str::to_owned));
        }
    }
    uris
}

fn from_one_line(text: &str) -> Vec<String> {
    let mut uris = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t'])) else { continue };
        let mut rest = rest.trim_start();
        if let Some(options) = rest.strip_prefix('[') {
            let Some((_, after)) = options.split_once(']') else { continue };
            rest = after.trim_start();
        }
        uris.extend(rest.split_ascii_whitespace().next().map(str::to_owned));
    }
    uris
}

/// The folders that a URI of apt's means.
fn resolve(uri: &str, read_list: &dyn Fn(&Path) -> Option<String>) -> Vec<Url> {
    let list = uri.strip_prefix("mirror+file:").or_else(|| uri.strip_prefix("mirror+copy:"));
    if let Some(list) = list {
        let path = format!("/{}", list.trim_start_matches('/'));
        let text = read_list(Path::new(&path)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split('#').next()?.split_ascii_whitespace().next());
        return lines.filter_map(folder).collect();
    }
    let local = uri.strip_prefix("copy:").or_else(|| uri.strip_prefix("file:"));
    if let Some(local) = local {
        return folder(&format!("file:///{}", local.trim_start_matches('/'))).into_iter().collect();
    }
    folder(uri).into_iter().collect()
}

/// A URL that Kiln can fetch from, as a folder.
fn folder(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let usable = matches!(url.scheme(), "https" | "http" | "file") && (url.scheme() == "file" || url.has_host());
    if !usable || text.contains("$(") {
        return None;
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn urls(files: &[(&str, &str)], distribution: &str) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let list = |path: &Path| {
            let wanted = Path::new("/etc/apt/mirrors/debian.list");
            (path == wanted).then(|| "https://a.test/debian\tpriority:1\n# no\nhttp://b.test/debian/\n".to_owned())
        };
        from_apt_sources(&files, distribution, &list).into_iter().map(|mirror| mirror.url.to_string()).collect()
    }

    #[test]
    fn reads_both_syntaxes_of_apt() {
        let sources = "Types: deb deb-src\n# why\nURIs: http://one.test/debian\n https://two.test/debian/\nSuites: x\n\nTypes: deb\nEnabled: no\nURIs: http://off.test/debian\n\nTypes: deb-src\nURIs: http://src.test/debian\n";
        let list = "# deb http://no.test/debian x main\ndeb [arch=amd64 signed-by=/k.gpg] http://three.test/debian x main # y\ndeb-src http://src.test/debian x\ndeb\thttp://one.test/debian y main\n";
        assert_eq!(
            urls(&[("a.sources", sources), ("b.list", list)], "debian"),
            ["http://one.test/debian/", "https://two.test/debian/", "http://three.test/debian/"]
        );
    }

    #[test]
    fn follows_mirror_lists_and_local_folders() {
        let list = "deb mirror+file:/etc/apt/mirrors/debian.list x main\ndeb file:/srv/debian x main\ndeb copy:///srv/debian x main\ndeb mirror+file:/gone x main\n";
        assert_eq!(
            urls(&[("sources.list", list)], "debian"),
            ["https://a.test/debian/", "http://b.test/debian/", "file:///srv/debian/"]
        );
    }

    #[test]
    fn leaves_other_distributions_alone_when_one_fits() {
        let list = "deb https://deb.nodes.test/node x main\ndeb http://deb.debian.test/any x main\ndeb http://m.test/debian-security x main\ndeb http://m.test/ubuntu x main\n";
        assert_eq!(
            urls(&[("sources.list", list)], "debian"),
            ["http://deb.debian.test/any/", "http://m.test/debian-security/"]
        );
        assert_eq!(urls(&[("sources.list", "deb http://cache.test/x y main\n")], "debian"), ["http://cache.test/x/"]);
    }

    #[test]
    fn ignores_what_it_cannot_fetch_from() {
        let list = "deb cdrom:[Debian]/ x main\ndeb tor+http://x.test/debian x main\ndeb http://x.test/$(ARCH)/debian x\ndeb [broken http://y.test/debian x\n";
        assert_eq!(urls(&[("sources.list", list)], "debian"), Vec::<String>::new());
        assert_eq!(urls(&[("x.sources", "nonsense")], "debian"), Vec::<String>::new());
    }

    #[test]
    fn the_most_important_source_wins_and_none_is_an_error_that_says_what_to_set() {
        let apt = [("sources.list".to_owned(), "deb http://apt.test/debian x main\n".to_owned())];
        let named = |flag, environment, user| Named { flag, environment, user, apt: &apt };
        let first = |named: Named<'_>| choose("debian", "debian", "`dists`", &named, &|_| None).unwrap()[0].clone();
        assert_eq!(first(named(Some("http://f.test/x"), Some("http://e.test"), None)).url.as_str(), "http://f.test/x/");
        let environment = first(named(None, Some("http://e.test http://g.test"), Some("http://u.test")));
        assert_eq!((environment.url.as_str(), &*environment.named_by), ("http://e.test/", "KILN_MIRROR_DEBIAN"));
        assert_eq!(first(named(None, None, Some("http://u.test"))).url.as_str(), "http://u.test/");
        assert_eq!(first(named(None, Some(" "), None)).named_by, "`sources.list`");
        let none = choose("base", "debian", "`dists`", &Named::default(), &|_| None).unwrap_err();
        let hint = none.hint().unwrap();
        for word in ["--mirror", "KILN_MIRROR_DEBIAN", "config.yaml"] {
            assert!(hint.contains(word), "{hint}");
        }
        let bad =
            choose("base", "debian", "`dists`", &named(Some("mirror.test/debian"), None, None), &|_| None).unwrap_err();
        assert!(bad.to_string().contains("--mirror") && bad.hint().is_some());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(deb |\\[|\\]|Types: deb\n|URIs:|http://x.test/| |\n|#|[a-z:/]){0,30}") {
            let files = [("a.list".to_owned(), text.clone()), ("a.sources".to_owned(), text)];
            let _ = from_apt_sources(&files, "debian", &|_| None);
        }
    }
}
