//! What enabling a unit does: the links that its `[Install]` section asks for, systemd.unit(5).

use std::collections::BTreeSet;

use kiln_model::unit::{NameParts, Unit};

/// What enabling one unit comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Links to make: the path below `/etc/systemd/system`.
    pub links: BTreeSet<String>,
    /// Units to be enabled with it.
    pub also: BTreeSet<String>,
    /// What the section asks for that cannot be done.
    pub faults: Vec<String>,
}

/// Reads the section of the unit that is enabled as `name`: a plain unit, an instance, or a template, which stands for
/// its default instance.
pub(super) fn wanted(unit: &Unit, name: &str) -> Wanted {
    let mut wanted = Wanted::default();
    let Some(parts) = NameParts::of(name) else {
        return wanted;
    };
    let default = unit.value("Install", "DefaultInstance").filter(|text| !text.is_empty());
    let instance = match (parts.is_template(), default) {
        (true, Some(default)) => fill(default, &parts).map(|default| parts.with_instance(&default)),
        _ => Some(name.to_owned()),
    };
    let Some(instance) = instance else {
        wanted.faults.push("its `DefaultInstance` cannot be told before it runs".to_owned());
        return wanted;
    };
    let instance_parts = NameParts::of(&instance).unwrap_or(parts);
    for (key, suffix) in [("WantedBy", "wants"), ("RequiredBy", "requires"), ("UpheldBy", "upholds")] {
        for target in unit.words("Install", key) {
            match fill(&target, &instance_parts) {
                None => wanted.faults.push(format!("`{key}={target}` cannot be told before it runs")),
                Some(target) => match NameParts::of(&target) {
                    // A template without a default instance can only be part of another template.
                    Some(of) if !instance_parts.is_template() || of.is_template() => {
                        wanted.links.insert(format!("{target}.{suffix}/{instance}"));
                    }
                    Some(_) => wanted.faults.push(format!("a template without an instance cannot be in `{target}`")),
                    None => wanted.faults.push(format!("`{target}` is not a unit's name")),
                },
            }
        }
    }
    for alias in unit.words("Install", "Alias") {
        match fill(&alias, &parts).and_then(|alias| alias_link(&alias, &parts, name)) {
            Some(link) if link == name => {}
            Some(link) => {
                wanted.links.insert(link);
            }
            None => wanted.faults.push(format!("`Alias={alias}` cannot be a name of `{name}`")),
        }
    }
    for other in unit.words("Install", "Also") {
        match fill(&other, &parts) {
            Some(other) if other != name => {
                wanted.also.insert(other);
            }
            Some(_) => {}
            None => wanted.faults.push(format!("`Also={other}` cannot be told before it runs")),
        }
    }
    wanted
}

/// Where an alias goes: a name of the same kind, or a name in the folder of another unit.
fn alias_link(alias: &str, parts: &NameParts<'_>, name: &str) -> Option<String> {
    if let Some((folder, of)) = alias.split_once('/') {
        let folded = [".wants", ".requires", ".upholds"].iter().any(|suffix| folder.ends_with(suffix));
        return (folded && of == name).then(|| alias.to_owned());
    }
    let of = NameParts::of(alias)?;
    if of.kind != parts.kind || alias.contains('/') {
        return None;
    }
    match (of.instance, parts.instance) {
        (None, None) | (Some(_), Some("")) => Some(alias.to_owned()),
        (Some(""), Some(instance)) => Some(of.with_instance(instance)),
        (Some(other), Some(instance)) if other == instance => Some(alias.to_owned()),
        // A plain name for an instance is one more name for it.
        (None, Some(instance)) if !instance.is_empty() => Some(alias.to_owned()),
        _ => None,
    }
}

/// The specifiers that follow from the unit's name alone; none when it has another one.
fn fill(text: &str, parts: &NameParts<'_>) -> Option<String> {
    let mut filled = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            filled.push(c);
            continue;
        }
        match characters.next()? {
            '%' => filled.push('%'),
            'n' => filled.push_str(&parts.to_string()),
            'N' => filled.push_str(parts.to_string().rsplit_once('.')?.0),
            'p' => filled.push_str(parts.prefix),
            'i' => filled.push_str(parts.instance.unwrap_or_default()),
            'j' => filled.push_str(parts.prefix.rsplit('-').next().unwrap_or_default()),
            _ => return None,
        }
    }
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(text: &str, name: &str) -> Vec<String> {
        let wanted = wanted(&Unit::parse(text.as_bytes()).0, name);
        assert_eq!(wanted.faults, Vec::<String>::new());
        wanted.links.into_iter().collect()
    }

    #[test]
    fn each_key_has_its_folder_and_an_alias_is_a_name_beside_the_unit() {
        let text = "[Install]\nWantedBy=a.target b.target\nRequiredBy=c.service\nUpheldBy=d.service\nAlias=y.service x.service\nAlso=z.socket x.service\n";
        assert_eq!(
            links(text, "x.service"),
            [
                "a.target.wants/x.service",
                "b.target.wants/x.service",
                "c.service.requires/x.service",
                "d.service.upholds/x.service",
                "y.service"
            ]
        );
        let also = wanted(&Unit::parse(text.as_bytes()).0, "x.service").also;
        assert_eq!(also.into_iter().collect::<Vec<_>>(), ["z.socket"]);
    }

    #[test]
    fn a_template_stands_for_its_default_instance_and_an_instance_for_itself() {
        let text = "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\nAlias=autovt@.service\n";
        assert_eq!(links(text, "getty@.service"), ["autovt@.service", "getty.target.wants/getty@tty1.service"]);
        assert_eq!(links(text, "getty@tty2.service"), ["autovt@tty2.service", "getty.target.wants/getty@tty2.service"]);
        let bare = Unit::parse(b"[Install]\nWantedBy=multi-user.target\n").0;
        assert_eq!(wanted(&bare, "x@.service").faults.len(), 1);
        assert_eq!(
            links("[Install]\nWantedBy=pg@%i.service\n", "b@main.service"),
            ["pg@main.service.wants/b@main.service"]
        );
    }
}
