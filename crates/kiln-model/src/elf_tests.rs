//! Tests of the ELF reader: on this very test program, on hand-made files, and on damage.

use proptest::prelude::*;

use super::*;

/// A small 64-bit little-endian library: header, three program headers, dynamic section, strings.
fn library() -> Vec<u8> {
    let strings = b"\0libc.so.6\0libkiln.so.1\0$ORIGIN/../lib:/opt/lib\0";
    let base = 0x1000u64;
    let (dynamic_at, strings_at) = (64 + 56 * 2, 64 + 56 * 2 + 16 * 6);
    let total = (strings_at + strings.len()) as u64;
    let mut file = b"\x7fELF\x02\x01\x01\x03\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |value: u64, width: usize| file.extend_from_slice(&value.to_le_bytes()[..width]);
    for (value, width) in [(3, 2), (62, 2), (1, 4), (0, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2), (2, 2), (0, 6)] {
        put(value, width);
    }
    for (kind, offset, size) in [(1u64, 0u64, total), (2, dynamic_at as u64, 16 * 6)] {
        for (value, width) in
            [(kind, 4), (4, 4), (offset, 8), (base + offset, 8), (base + offset, 8), (size, 8), (size, 8), (8, 8)]
        {
            put(value, width);
        }
    }
    for (tag, value) in
        [(1, 1), (14, 11), (29, 24), (5, base + strings_at as u64), (10, strings.len() as u64), (0u64, 0u64)]
    {
        put(tag, 8);
        put(value, 8);
    }
    file.extend_from_slice(strings);
    file
}

#[test]
fn reads_what_the_loader_would() {
    let info = read(&library()).unwrap().unwrap();
    assert_eq!(info.needed, ["libc.so.6"]);
    assert_eq!(info.soname.as_deref(), Some("libkiln.so.1"));
    assert_eq!(info.runpath, ["$ORIGIN/../lib", "/opt/lib"]);
    assert_eq!((info.kind, info.machine, info.os_abi), (ElfKind::Shared, EM_X86_64, 3));
    assert_eq!(info.interpreter, None);
}

#[test]
fn every_way_of_reading_gives_the_same() {
    for bytes in [library(), std::fs::read("/proc/self/exe").unwrap()] {
        let whole = read(&bytes).unwrap().unwrap();
        assert_eq!(read_seekable(io::Cursor::new(&bytes)).unwrap().unwrap(), whole);
        assert_eq!(read_stream(|| Ok(&bytes[..])).unwrap().unwrap(), whole);
    }
}

#[test]
fn a_real_program_needs_its_libc_and_loader() {
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    let info = read(&bytes).unwrap().unwrap();
    assert!(info.needed.iter().any(|n| n.starts_with("libc.so")), "{info:?}");
    assert!(info.interpreter.unwrap().contains("ld-linux"));
    assert!(info.class64 && info.little_endian);
}

#[test]
fn what_is_no_elf_file_is_not_an_error() {
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fEL"] {
        assert_eq!(read(bytes).unwrap(), None);
    }
}

#[test]
fn a_file_cut_short_anywhere_is_refused_or_has_nothing_to_say() {
    let whole = library();
    for length in 4..whole.len() {
        match read(&whole[..length]) {
            Err(_) => {}
            Ok(found) => panic!("{length} of {} bytes gave {found:?}", whole.len()),
        }
    }
}

#[test]
fn offsets_at_the_end_of_the_number_range_do_not_overflow() {
    let mut file = library();
    // The program header of the dynamic section, then the address of the string table.
    for at in [64 + 56 + 8, 64 + 112 + 16 * 3 + 8, 64 + 8, 64 + 16, 32] {
        let kept = file[at..at + 8].to_vec();
        file[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read(&file).is_err(), "byte {at}");
        assert!(read_stream(|| Ok(&file[..])).is_err(), "byte {at}");
        file[at..at + 8].copy_from_slice(&kept);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), class in 0u8..4) {
        let _ = read(&bytes);
        for (at, byte) in b"\x7fELF".iter().chain([&class, &1]).enumerate() {
            if let Some(place) = bytes.get_mut(at) {
                *place = *byte;
            }
        }
        let one = read(&bytes).ok();
        prop_assert_eq!(read_seekable(io::Cursor::new(&bytes)).ok(), one.clone());
        prop_assert_eq!(read_stream(|| Ok(&bytes[..])).ok(), one);
    }

    #[test]
    fn a_library_with_any_bytes_changed_never_panics(changes in proptest::collection::vec((0usize..300, any::<u8>()), 1..8)) {
        let mut bytes = library();
        for (at, value) in changes {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        let one = read(&bytes).ok();
        prop_assert_eq!(read_stream(|| Ok(&bytes[..])).ok(), one);
    }
}
