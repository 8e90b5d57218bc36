//! The one place where the environment and the clock are read. Everything else takes what it needs as values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the command takes from the world around it.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The folder of the store and what lies beside it; none when neither `KILN_STORE` nor a home says where.
    pub store: Option<PathBuf>,
    /// The user's configuration file; it need not exist.
    pub config: Option<PathBuf>,
    /// `KILN_MIRROR_DISTRIBUTION`: mirrors, by the whole name of the variable.
    pub mirrors: BTreeMap<String, String>,
    /// `http_proxy` and its kin, for transport only.
    pub proxies: ProxyVariables,
    /// May colour be used? `NO_COLOR` says no.
    pub colour: bool,
    /// Seconds since the epoch.
    pub now: u64,
}

/// Proxies, as the usual variables give them.
#[derive(Debug, Clone, Default)]
pub struct ProxyVariables {
    /// For `http`.
    pub http: Option<String>,
    /// For `https`.
    pub https: Option<String>,
    /// Hosts that are reached without.
    pub except: Option<String>,
}

impl Environment {
    /// Reads it.
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn read() -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = var("HOME").map(PathBuf::from);
        let below_home = |xdg: &str, folder: &str| {
            var(xdg).map(PathBuf::from).filter(|p| p.is_absolute()).or_else(|| home.as_ref().map(|h| h.join(folder)))
        };
        let store = var("KILN_STORE")
            .map(PathBuf::from)
            .or_else(|| below_home("XDG_CACHE_HOME", ".cache").map(|cache| cache.join("kiln")));
        let mirrors =
            std::env::vars().filter(|(name, value)| name.starts_with("KILN_MIRROR_") && !value.is_empty()).collect();
        Self {
            store,
            config: below_home("XDG_CONFIG_HOME", ".config").map(|config| config.join("kiln/config.yaml")),
            mirrors,
            proxies: ProxyVariables {
                // The upper-case name is not read: a server's CGI environment could set it.
                http: ["http_proxy", "all_proxy"].into_iter().find_map(var),
                https: ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"].into_iter().find_map(var),
                except: ["no_proxy", "NO_PROXY"].into_iter().find_map(var),
            },
            colour: var("NO_COLOR").is_none() && var("TERM").as_deref() != Some("dumb"),
            now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        }
    }
}

/// All of the environment: Git gets what it needs of it to reach a network.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn all() -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    std::env::vars_os().collect()
}

/// The machine's apt configuration: each file with its text, in the order apt reads them.
pub fn apt_sources() -> Vec<(String, String)> {
    let etc = Path::new("/etc/apt");
    let mut files = vec![etc.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(etc.join("sources.list.d")) {
        let mut more: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        more.sort();
        files.extend(more);
    }
    files
        .into_iter()
        .filter_map(|path| Some((path.display().to_string(), std::fs::read_to_string(&path).ok()?)))
        .collect()
}

/// The folders where distributions install their archive keyrings.
pub const KEYRING_FOLDERS: [&str; 2] = ["/usr/share/keyrings", "/etc/apt/trusted.gpg.d"];
