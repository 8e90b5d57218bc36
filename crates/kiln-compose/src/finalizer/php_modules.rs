//! PHP's modules switched on, and its configuration in place: phpenmod(8), as maintainer scripts call it through
//! `php-maintscript-helper` on a fresh installation.
//!
//! A package brings templates below `/usr/share/phpVERSION-*/`; each becomes a file of `mods-available` unless one is
//! there, and a module of every interface of that version that is installed. What only the image itself puts into
//! `mods-available` is available, as the name says, and not switched on.

use std::collections::BTreeMap;

use kiln_model::{Entry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};

/// Where a module that says nothing stands: `get_priority` of `php-helper`.
const PRIORITY: &str = "20";

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    for version in context.names(&fixed("usr/lib/php")) {
        let interfaces = context.names(&fixed(&format!("usr/lib/php/{version}/sapi")));
        if !interfaces.is_empty() {
            enable(context, &version, &interfaces)?;
        }
    }
    Ok(())
}

fn enable(context: &mut FinalizeContext<'_>, version: &str, interfaces: &[String]) -> Result<(), FinalizeError> {
    let available = format!("etc/php/{version}/mods-available");
    let mut modules: BTreeMap<String, Option<TreePath>> = BTreeMap::new();
    for name in context.names(&fixed(&available)) {
        let path = fixed(&format!("{available}/{name}"));
        if let Some(module) = name.strip_suffix(".ini")
            && !context.is_the_images_own(&path)
        {
            modules.insert(module.to_owned(), None);
        }
    }
    modules.extend(templates(context, version).into_iter().map(|(module, path)| (module, Some(path))));
    for (module, template) in modules {
        let file = fixed(&format!("{available}/{module}.ini"));
        if let Some(template) = template {
            context.copy_missing(&file, &template)?;
        }
        let text = context.read(&file)?.unwrap_or_default();
        let priority = priority(&String::from_utf8_lossy(&text)).unwrap_or(PRIORITY).to_owned();
        context.write(&fixed(&format!("var/lib/php/modules/{version}/registry/{module}")), b"")?;
        for interface in interfaces {
            let folder = format!("etc/php/{version}/{interface}/conf.d");
            if context.directory(&fixed(&folder)).is_none() {
                continue;
            }
            let link = fixed(&format!("{folder}/{priority}-{module}.ini"));
            if context.work.find(&link).is_none() {
                context.link(&link, &format!("/{available}/{module}.ini"))?;
            }
            let state = format!("var/lib/php/modules/{version}/{interface}/enabled_by_maint/{module}");
            context.write(&fixed(&state), b"")?;
        }
    }
    for interface in interfaces {
        let of_interface = fixed(&format!("usr/lib/php/{version}/php.ini-production.{interface}"));
        let of_all = fixed(&format!("usr/lib/php/{version}/php.ini-production"));
        let template = if context.file(&of_interface).is_some() { of_interface } else { of_all };
        if context.directory(&fixed(&format!("etc/php/{version}/{interface}"))).is_some() {
            context.copy_missing(&fixed(&format!("etc/php/{version}/{interface}/php.ini")), &template)?;
        }
    }
    Ok(())
}

/// The templates of modules that packages of a version bring, by module.
fn templates(context: &FinalizeContext<'_>, version: &str) -> BTreeMap<String, TreePath> {
    let share = fixed("usr/share");
    let prefix = format!("php{version}-");
    let mut found = BTreeMap::new();
    for package in context.names(&share).into_iter().filter(|name| name.starts_with(&prefix)) {
        let folder = fixed(&format!("usr/share/{package}"));
        for extension in context.names(&folder) {
            let folder = fixed(&format!("usr/share/{package}/{extension}"));
            for name in context.names(&folder) {
                let path = fixed(&format!("usr/share/{package}/{extension}/{name}"));
                if let Some(module) = name.strip_suffix(".ini")
                    && matches!(context.work.find(&path), Some((_, Entry::File(_))))
                {
                    found.insert(module.to_owned(), path);
                }
            }
        }
    }
    found
}

/// `; priority=NN`, the first of them.
fn priority(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix(';')?.trim_start().strip_prefix("priority")?.trim_start().strip_prefix('=')?;
        let value = value.trim();
        (!value.is_empty() && value.bytes().all(|b| b.is_ascii_digit())).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_a_number_after_a_semicolon() {
        assert_eq!(priority("; configuration\n; priority=15\nextension=xml.so\n"), Some("15"));
        assert_eq!(priority(";\tpriority = 05 \n"), Some("05"));
        for text in ["priority=15", "; priority=", "; priority=1x", "# priority=1", "; prioritys=1"] {
            assert_eq!(priority(text), None, "{text}");
        }
    }
}
