//! What an image is written as.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::diagnostic::{Place, Problem};
use crate::yaml::{Node, Reader, Value, did_you_mean};

/// The most layers an image may have: what every runtime takes.
const MOST_LAYERS: u32 = 127;

/// What an image is written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The format.
    pub format: Format,
    /// How its layers are compressed; only for [`Format::Oci`].
    pub compression: Compression,
    /// How many layers it may have; only for [`Format::Oci`].
    pub layers: u32,
    /// Where it is asked for; none when nothing was said.
    pub place: Option<Place>,
}

/// Formats of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// An OCI image layout.
    Oci,
    /// An OCI image layout in one tar file.
    OciArchive,
    /// One tar archive of the whole tree.
    Tar,
    /// The same, compressed with gzip.
    TarGz,
    /// The same, compressed with zstd.
    TarZst,
    /// A folder.
    Dir,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Compression {
    /// Zstandard.
    #[default]
    Zstd,
    /// gzip, for old clients.
    Gzip,
}

impl Format {
    /// Every format by name.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("oci", Self::Oci),
        ("oci-archive", Self::OciArchive),
        ("tar", Self::Tar),
        ("tar-gz", Self::TarGz),
        ("tar-zst", Self::TarZst),
        ("dir", Self::Dir),
    ];

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Oci => "oci",
            Self::OciArchive => "oci-archive",
            Self::TarGz => "tar-gz",
            Self::TarZst => "tar-zst",
            Self::Tar => "tar",
            Self::Dir => "dir",
        }
    }
}

/// Formats that are meant to come.
const LATER: &[&str] = &["lxc", "raw-efi", "raw-bios", "iso", "qcow2", "vmdk", "vhd", "aci", "cpio", "erofs", "uki"];

impl Output {
    /// What an image is written as when nothing is said.
    #[must_use]
    pub const fn standard(format: Format) -> Self {
        Self { format, compression: Compression::Zstd, layers: 60, place: None }
    }

    pub(super) fn read(reader: &Reader<'_>, node: &Node) -> Option<Self> {
        if node.peek_text().is_some() {
            let format = format(reader, reader.text(node)?, node.place)?;
            return Some(Self { place: Some(node.place), ..Self::standard(format) });
        }
        let [(key, settings)] = reader.entries(node)? else {
            let problem = Problem::new(node.place, "an output is one format");
            reader.report(problem.hint("write `- oci`, or `- oci: { compression: gzip }`"));
            return None;
        };
        let format = format(reader, &key.text, key.place)?;
        let mut output = Self { place: Some(key.place), ..Self::standard(format) };
        if settings.value == Value::Null {
            return Some(output);
        }
        let mut fields = reader.map(settings, "an output")?;
        if format == Format::Oci {
            let (compression, layers) = (fields.take("compression"), fields.take("layers"));
            let words = [("zstd", Compression::Zstd), ("gzip", Compression::Gzip)];
            if let Some(value) = compression.and_then(|node| reader.word(node, "a compression", &words)) {
                output.compression = value;
            }
            if let Some(node) = layers
                && let Some(number) = reader.number::<u32>(node)
            {
                if !(1..=MOST_LAYERS).contains(&number) {
                    reader.wrong(node.place, format!("an image has between 1 and {MOST_LAYERS} layers"));
                }
                output.layers = number;
            }
        }
        fields.finish();
        Some(output)
    }
}

fn format(reader: &Reader<'_>, text: &str, place: Place) -> Option<Format> {
    if let Some((_, format)) = Format::ALL.iter().find(|(name, _)| *name == text) {
        return Some(*format);
    }
    if LATER.contains(&text) {
        reader.unsupported(place, &format!("the output `{text}`"));
    } else {
        let hint = did_you_mean(text, "there are", Format::ALL.iter().map(|(name, _)| *name));
        reader.report(Problem::new(place, format!("`{text}` is not an output")).maybe_hint(hint));
    }
    None
}

/// The shape of an output.
pub(super) struct OutputSchema;

impl JsonSchema for OutputSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Output".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
        json_schema!({
            "anyOf": [
                { "enum": names },
                {
                    "type": "object",
                    "properties": {
                        "oci": {
                            "type": "object",
                            "properties": {
                                "compression": { "enum": ["zstd", "gzip"], "description": "How layers are compressed; zstd by default" },
                                "layers": { "type": "integer", "minimum": 1, "maximum": MOST_LAYERS, "description": "How many layers it may have; 60 by default" },
                            },
                            "additionalProperties": false,
                        }
                    },
                    "required": ["oci"],
                    "additionalProperties": false,
                }
            ]
        })
    }
}
