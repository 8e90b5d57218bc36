//! Capabilities of files as a package's header writes them: `cap_net_admin,cap_net_raw=ep` (cap_from_text(3)).

use kiln_model::capability;

/// The value of the attribute `security.capability`; none where the text gives none.
///
/// # Errors
/// Why the text cannot be a file's.
pub(super) fn attribute(text: &str) -> Result<Option<Box<[u8]>>, String> {
    let (mut permitted, mut inheritable, mut effective) = (0u64, 0u64, 0u64);
    for clause in text.split_ascii_whitespace() {
        let at = clause.find(['=', '+', '-']).ok_or_else(|| format!("`{clause}` says nothing of its capabilities"))?;
        let (names, mut actions) = clause.split_at(at);
        let mut set = if names.is_empty() || names == "all" { capability::ALL } else { 0 };
        for name in names.split(',').filter(|name| !name.is_empty() && *name != "all") {
            let name = name.to_ascii_lowercase();
            set |= capability::bit(&name).ok_or_else(|| format!("`{name}` is no capability"))?;
        }
        while let Some(operator) = actions.chars().next() {
            let end = actions[1..].find(['=', '+', '-']).map_or(actions.len(), |end| end + 1);
            let flags = &actions[1..end];
            if operator == '=' {
                [&mut permitted, &mut inheritable, &mut effective].into_iter().for_each(|held| *held &= !set);
            }
            for flag in flags.chars() {
                let held = match flag {
                    'p' => &mut permitted,
                    'i' => &mut inheritable,
                    'e' => &mut effective,
                    other => return Err(format!("`{other}` is no set of capabilities")),
                };
                if operator == '-' { *held &= !set } else { *held |= set }
            }
            actions = &actions[end..];
        }
    }
    if permitted | inheritable | effective == 0 {
        return Ok(None);
    }
    // A file has one flag for all of them.
    if effective != 0 && effective != permitted | inheritable {
        return Err(format!("`{text}` makes some of its capabilities effective and some not, which no file can"));
    }
    Ok(Some(capability::value(permitted, inheritable, effective != 0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_what_setcap_writes() {
        let written = |text: &str| attribute(text).unwrap().map(hex::encode);
        let one = capability::encode(["cap_net_raw"]).map(hex::encode).ok();
        for text in
            ["cap_net_raw=ep", "cap_net_raw=pe", "cap_net_raw+ep", "= cap_net_raw+ep", "CAP_NET_RAW=p cap_net_raw+e"]
        {
            assert_eq!(written(text), one, "{text}");
        }
        assert_eq!(written("cap_net_raw=p").unwrap(), "0000000200200000000000000000000000000000");
        assert_eq!(written("cap_net_raw=i").unwrap(), "0000000200000000002000000000000000000000");
        for text in ["", "=", "cap_net_raw=", "cap_net_raw=ep cap_net_raw-ep"] {
            assert_eq!(written(text), None, "{text}");
        }
    }

    #[test]
    fn what_no_file_can_have_is_refused() {
        for text in ["cap_fly=ep", "cap_net_raw", "cap_net_raw=x", "cap_net_raw=ep cap_chown=p"] {
            assert!(attribute(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "([a-z_,=+ -]|cap_chown|cap_bpf|[epi]){0,12}|.{0,8}") {
            let _ = attribute(&text);
        }
    }
}
