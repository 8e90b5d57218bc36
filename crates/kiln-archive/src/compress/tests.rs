//! What compressions promise.

use std::io::{Read, Write};

use proptest::prelude::*;

use super::*;

const WRITTEN: [Compression; 4] = [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd];

fn pack(kind: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = encoder(kind, Vec::new(), Level::Default).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn unpack(kind: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder(kind, bytes)?.take(64 << 20).read_to_end(&mut out)?;
    Ok(out)
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let step = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Three of eight bits: compressible, but not at once.
        (state & 0x07) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bzip2::read::BzEncoder::new(bytes, bzip2::Compression::best()).read_to_end(&mut out).unwrap();
    out
}

#[test]
fn what_is_packed_is_detected_and_unpacked() {
    let bytes = noise(300_000);
    for kind in WRITTEN {
        let packed = pack(kind, &bytes);
        assert_eq!(detect(&packed), kind);
        assert_eq!(unpack(kind, &packed).unwrap(), bytes, "{kind}");
    }
    let packed = bzip2(&bytes);
    assert_eq!(detect(&packed), Compression::Bzip2);
    assert_eq!(unpack(Compression::Bzip2, &packed).unwrap(), bytes);
    assert!(encoder(Compression::Bzip2, Vec::new(), Level::Default).is_err());
}

fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = liblzma::stream::LzmaOptions::new_preset(6).unwrap();
    let stream = Stream::new_lzma_encoder(&options).unwrap();
    let mut out = Vec::new();
    liblzma::read::XzEncoder::new_stream(bytes, stream).read_to_end(&mut out).unwrap();
    out
}

#[test]
fn what_lzma_packed_is_unpacked_and_nothing_that_is_damaged() {
    let bytes = noise(300_000);
    let packed = lzma(&bytes);
    assert_eq!(unpack(Compression::Lzma, &packed).unwrap(), bytes);
    unpack(Compression::Lzma, &packed[..packed.len() / 2]).unwrap_err();
    unpack(Compression::Lzma, b"nothing of the kind").unwrap_err();
    let little = decoder_bounded(Compression::Lzma, &*packed, 1 << 16);
    let refused = little.and_then(|mut decoder| decoder.read_to_end(&mut Vec::new())).unwrap_err();
    assert!(refused.to_string().contains("memory"), "{refused}");
    assert!(encoder(Compression::Lzma, Vec::new(), Level::Default).is_err());
}

#[test]
fn sniffing_loses_nothing() {
    for text in ["", "ab", "a longer text than any magic number"] {
        let (kind, mut reader) = sniff(text.as_bytes()).unwrap();
        let mut out = String::new();
        reader.read_to_string(&mut out).unwrap();
        assert_eq!((kind, out.as_str()), (Compression::None, text));
    }
}

#[test]
fn concatenated_streams_are_one() {
    for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
        let both = [pack(kind, b"one "), pack(kind, b""), pack(kind, b"two")].concat();
        assert_eq!(unpack(kind, &both).unwrap(), b"one two", "{kind}");
    }
    assert_eq!(unpack(Compression::Bzip2, &[bzip2(b"one "), bzip2(b"two")].concat()).unwrap(), b"one two");
}

#[test]
fn padding_after_gzip_is_left_alone() {
    let padded = [pack(Compression::Gzip, b"text"), vec![0; 700]].concat();
    assert_eq!(unpack(Compression::Gzip, &padded).unwrap(), b"text");
}

#[test]
fn a_truncated_stream_is_an_error_wherever_it_is_cut() {
    let bytes = noise(5_000);
    let streams = [Compression::Gzip, Compression::Xz, Compression::Zstd].map(|kind| (kind, pack(kind, &bytes)));
    for (kind, packed) in streams.into_iter().chain([(Compression::Bzip2, bzip2(&bytes))]) {
        for length in 1..packed.len() {
            assert!(unpack(kind, &packed[..length]).is_err(), "{kind} cut at {length} of {}", packed.len());
        }
    }
}

#[test]
fn damage_is_an_error() {
    let bytes = noise(5_000);
    for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
        let mut packed = pack(kind, &bytes);
        let middle = packed.len() / 2;
        packed[middle] ^= 0x10;
        assert!(unpack(kind, &packed).is_err(), "{kind}");
    }
}

#[test]
fn gzip_tells_neither_name_nor_time_nor_system() {
    assert_eq!(pack(Compression::Gzip, b"x")[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
}

#[test]
fn zstd_bytes_do_not_depend_on_how_they_are_written() {
    let bytes = noise(9 << 20);
    let at_once = pack(Compression::Zstd, &bytes);
    for size in [1 << 20, 4096, 99_991] {
        let mut encoder = encoder(Compression::Zstd, Vec::new(), Level::Default).unwrap();
        for piece in bytes.chunks(size) {
            encoder.write_all(piece).unwrap();
            encoder.flush().unwrap();
        }
        assert!(encoder.finish().unwrap() == at_once, "in pieces of {size} bytes");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for kind in [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd, Compression::Bzip2] {
            for magic in [&b""[..], &[0x1f, 0x8b, 8, 0], b"\xfd7zXZ\0", &[0x28, 0xb5, 0x2f, 0xfd], b"BZh9"] {
                let given = [magic, &bytes].concat();
                if let Ok(out) = unpack(kind, &given) {
                    prop_assert!(kind != Compression::None || out == given);
                }
            }
        }
    }

    #[test]
    fn everything_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        for kind in WRITTEN {
            prop_assert_eq!(&unpack(kind, &pack(kind, &bytes)).unwrap(), &bytes);
        }
    }
}
