//! os-release(5): which image this is, and of which commit.
//!
//! Only what the caller gives is written, so an image that is not to depend on the commit does not.

use super::{FinalizeContext, FinalizeError, fixed};

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let Some(release) = &context.request.os_release else {
        return Ok(());
    };
    let path = fixed("usr/lib/os-release");
    // Where only `/etc` has it, that file is added to.
    let place = context.file(&path).or_else(|| context.file(&fixed("etc/os-release"))).map(|(place, _)| place);
    let place = place.unwrap_or(path);
    if context.is_the_images_own(&place) {
        return Ok(());
    }
    let text = match context.read(&place)? {
        Some(text) => String::from_utf8(text)
            .map_err(|_| FinalizeError::Input { path: place.clone(), why: "it is not UTF-8".to_owned() })?,
        None => format!("PRETTY_NAME={}\nNAME=Linux\nID=linux\n", quote(release.image.as_str())),
    };
    let ours = |line: &&str| !line.starts_with("IMAGE_ID=") && !line.starts_with("IMAGE_VERSION=");
    let mut lines: Vec<String> = text.lines().filter(ours).map(str::to_owned).collect();
    lines.push(format!("IMAGE_ID={}", quote(release.image.as_str())));
    if let Some(version) = &release.version {
        lines.push(format!("IMAGE_VERSION={}", quote(version)));
    }
    context.write(&place, (lines.join("\n") + "\n").as_bytes())?;
    if context.work.tree.get(&fixed("etc/os-release")).is_none() {
        context.link(&fixed("etc/os-release"), "../usr/lib/os-release")?;
    }
    Ok(())
}

/// As the shell reads it: bare where that is safe.
fn quote(value: &str) -> String {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        return value.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_break_out_of_their_line() {
        assert_eq!(quote("web-1.2_x"), "web-1.2_x");
        assert_eq!(quote("a b"), "\"a b\"");
        assert_eq!(quote("$(x)`\"\n"), "\"\\$(x)\\`\\\"\"");
    }
}
