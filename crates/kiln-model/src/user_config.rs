//! The user's own configuration, `~/.config/kiln/config.yaml`: where and how to get things, never what they are.
//!
//! ```yaml
//! mirrors:
//!   debian: https://mirror.example.org/debian
//! largest_download: 8GiB
//! ```

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostics;
use crate::yaml::{self, Reader};

/// What a user sets for all projects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserConfig {
    /// Mirrors by distribution; several in one text are separated by blanks.
    pub mirrors: BTreeMap<String, String>,
    /// How many bytes a download may have whose size nothing says.
    pub largest_download: Option<u64>,
}

/// Reads the file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(path: &str, text: &str) -> Result<UserConfig, Diagnostics> {
    let (sources, node) = yaml::parse(path, text)?;
    let reader = Reader::new(&sources);
    let config = reader.map(&node, "the user's configuration").map(|mut fields| {
        let mirrors = fields.take("mirrors");
        let largest = fields.take("largest_download");
        fields.finish();
        let mirrors = mirrors.and_then(|node| reader.table(node, |_, node| reader.line(node)));
        let largest_download = largest.and_then(|node| crate::recipe::read_size(&reader, node));
        UserConfig { mirrors: mirrors.unwrap_or_default(), largest_download }
    });
    reader.finish(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_mirrors_and_refuses_the_rest() {
        let config = parse("config.yaml", "mirrors:\n  debian: https://mirror.example.org/debian\n").unwrap();
        assert_eq!(config.mirrors["debian"], "https://mirror.example.org/debian");
        assert_eq!(config.largest_download, None);
        let config = parse("config.yaml", "largest_download: 8GiB\n").unwrap();
        assert_eq!(config.largest_download, Some(8 << 30));
        assert!(parse("config.yaml", "largest_download: much\n").is_err());
        let faults = parse("config.yaml", "mirror:\n  debian: x\n").unwrap_err();
        assert!(faults.render(crate::diagnostic::Style::Plain).contains("mirrors"), "{faults:?}");
    }
}
