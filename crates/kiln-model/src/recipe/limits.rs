//! What a build may use. Limits stop a build that ran away; they are no part of a key, for they cannot change a result.

use std::time::Duration;

use schemars::JsonSchema;

use crate::yaml::{Node, Reader};

/// What a build may use; Kiln's defaults where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Limits {
    /// How long it may take: `90s`, `30m`, `2h`.
    #[schemars(with = "Option<String>")]
    pub time: Option<Duration>,
    /// How much memory, in bytes: `512MiB`, `4GiB`.
    #[schemars(with = "Option<String>")]
    pub memory: Option<u64>,
    /// How many processes at once.
    pub processes: Option<u32>,
}

/// Reads a number of bytes: `512MiB`.
pub(crate) fn read_size(reader: &Reader<'_>, node: &Node) -> Option<u64> {
    let text = reader.text(node)?;
    let bytes = scaled(text, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)]);
    checked(reader, node, bytes, "a size", "a whole number and `KiB`, `MiB`, `GiB` or `TiB`: `4GiB`")
}

impl Limits {
    pub(super) fn read(reader: &Reader<'_>, node: &Node) -> Option<Self> {
        let mut fields = reader.map(node, "limits")?;
        let (time, memory, processes) = (fields.take("time"), fields.take("memory"), fields.take("processes"));
        fields.finish();
        let time = time.and_then(|node| {
            let text = reader.text(node)?;
            let seconds = scaled(text, &[("s", 1), ("m", 60), ("h", 3600)]);
            let hint = "a whole number and `s`, `m` or `h`: `30m`";
            checked(reader, node, seconds, "a time", hint).map(Duration::from_secs)
        });
        let memory = memory.and_then(|node| read_size(reader, node));
        let processes = processes.and_then(|node| {
            let number = reader.number::<u32>(node)?;
            checked(reader, node, Some(number.into()), "a number of processes", "at least 1")?;
            Some(number)
        });
        Some(Self { time, memory, processes })
    }
}

fn checked(reader: &Reader<'_>, node: &Node, value: Option<u64>, what: &str, hint: &str) -> Option<u64> {
    if let Some(value @ 1..) = value {
        return Some(value);
    }
    let text = node.peek_text().unwrap_or_default();
    reader.report(crate::diagnostic::Problem::new(node.place, format!("`{text}` is not {what}")).hint(hint));
    None
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (unit, factor) = units.iter().find(|(unit, _)| text.ends_with(unit))?;
    let digits = text.strip_suffix(unit)?.trim_end();
    let number: u64 = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    number.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_whole_numbers_only() {
        assert_eq!(scaled("30m", &[("s", 1), ("m", 60)]), Some(1800));
        assert_eq!(scaled("4 GiB", &[("GiB", 1 << 30)]), Some(4 << 30));
        for bad in ["m", "1.5m", "-1m", "+1m", "30", "99999999999999999999m", "18446744073709551615m"] {
            assert_eq!(scaled(bad, &[("m", 60)]), None, "{bad}");
        }
    }
}
