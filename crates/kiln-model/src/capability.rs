//! File capabilities as the kernel keeps them: the extended attribute `security.capability`, revision 2: a little-endian word
//! with the revision and the effective flag, then permitted and inheritable sets, low halves first.
//!
//! Source: `capabilities(7)`, "File capability extended attribute versioning"; the numbers are those of
//! `linux/capability.h`.

use std::collections::BTreeSet;

/// The attribute's name.
pub const XATTR: &str = "security.capability";

/// Names by number.
const NAMES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

const REVISION_2: u32 = 0x0200_0000;
const EFFECTIVE: u32 = 1;

/// The attribute's value for these capabilities, permitted and effective.
///
/// # Errors
/// With the first name that is no capability.
pub fn encode<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Box<[u8]>, &'a str> {
    let mut permitted = 0u64;
    for name in names {
        permitted |= bit(name).ok_or(name)?;
    }
    Ok(value(permitted, 0, true))
}

/// The attribute's value for these sets.
#[must_use]
pub fn value(permitted: u64, inheritable: u64, effective: bool) -> Box<[u8]> {
    // VFS_CAP_REVISION_2, perhaps with VFS_CAP_FLAGS_EFFECTIVE, then permitted and inheritable, low words first.
    let mut value = (REVISION_2 | if effective { EFFECTIVE } else { 0 }).to_le_bytes().to_vec();
    for word in [permitted as u32, inheritable as u32, (permitted >> 32) as u32, (inheritable >> 32) as u32] {
        value.extend_from_slice(&word.to_le_bytes());
    }
    value.into_boxed_slice()
}

/// A capability's place in a set.
#[must_use]
pub fn bit(name: &str) -> Option<u64> {
    NAMES.iter().position(|known| *known == name).map(|number| 1 << number)
}

/// Every capability that has a name.
pub const ALL: u64 = (1 << NAMES.len()) - 1;

/// The names, when the attribute says just "these, permitted and effective", which is what the fact can say. None for
/// anything else: it is then kept as the attribute it is.
#[must_use]
pub fn permitted_and_effective(attribute: &[u8]) -> Option<BTreeSet<String>> {
    let words: [u8; 20] = attribute.try_into().ok()?;
    let word = |at: usize| u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
    let permitted = u64::from(word(4)) | u64::from(word(12)) << 32;
    let inheritable = word(8) | word(16);
    if word(0) != REVISION_2 | EFFECTIVE || inheritable != 0 || permitted >> NAMES.len() != 0 || permitted == 0 {
        return None;
    }
    Some(
        NAMES
            .iter()
            .enumerate()
            .filter(|(bit, _)| permitted >> bit & 1 == 1)
            .map(|(_, name)| (*name).to_owned())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_setcap_does() {
        // `setcap cap_net_bind_service=ep FILE; getfattr -e hex -n security.capability FILE`
        assert_eq!(hex::encode(encode(["cap_net_bind_service"]).unwrap()), "0100000200040000000000000000000000000000");
        let high = hex::encode(encode(["cap_bpf", "cap_dac_override", "cap_net_admin"]).unwrap());
        assert_eq!(high, "0100000202100000000000008000000000000000");
    }

    #[test]
    fn names_what_is_no_capability() {
        assert_eq!(encode(["cap_chown", "cap_fly"]), Err("cap_fly"));
    }

    #[test]
    fn names_what_is_permitted_and_effective_and_nothing_else() {
        let mut attribute = [1, 0, 0, 2, 0, 0x24, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let names = permitted_and_effective(&attribute).unwrap();
        assert_eq!(
            names.iter().map(String::as_str).collect::<Vec<_>>(),
            ["cap_checkpoint_restore", "cap_net_bind_service", "cap_net_raw"]
        );
        attribute[8] = 1;
        assert_eq!(permitted_and_effective(&attribute), None, "inheritable too");
        attribute[8] = 0;
        attribute[0] = 0;
        assert_eq!(permitted_and_effective(&attribute), None, "not effective");
        attribute[0] = 1;
        attribute[13] = 2;
        assert_eq!(permitted_and_effective(&attribute), None, "a bit without a name");
        assert_eq!(permitted_and_effective(&attribute[..12]), None);
    }
}
