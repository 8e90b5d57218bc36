//! The time zone of the system: `/etc/localtime`, and `/etc/timezone` where somebody brings one, as tzdata's `postinst`
//! leaves them. The zone is the image's `time-zone`, or `Etc/UTC` where the package tzdata is.

use super::{FinalizeContext, FinalizeError, fixed};

const ZONES: &str = "usr/share/zoneinfo";
const DEFAULT: &str = "Etc/UTC";

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let chosen = context.request.time_zone.clone();
    let zone = chosen.as_deref().unwrap_or(DEFAULT);
    let file = fixed(&format!("{ZONES}/{zone}"));
    if context.file(&file).is_none() {
        return match chosen {
            None => Ok(()),
            Some(zone) => Err(FinalizeError::TimeZone { zone, zones: context.directory(&fixed(ZONES)).is_some() }),
        };
    }
    context.link(&fixed("etc/localtime"), &file.to_string())?;
    let name = fixed("etc/timezone");
    if context.file(&name).is_some() {
        context.write(&name, format!("{zone}\n").as_bytes())?;
    }
    Ok(())
}
