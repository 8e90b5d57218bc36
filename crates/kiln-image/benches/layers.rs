//! Layers of an image against the bare cost of compressing the same bytes, on two threads each.
//!
//! `cargo bench -p kiln-image --bench layers`: 8,000 files, 150 MB, in 115 layers. It prints times and their ratio, and
//! fails only when something is wrong, never by the clock.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use kiln_archive::Compression;
use kiln_archive::compress::{Level, encoder};
use kiln_image::{ImageConfig, ImageSpec, LayerCompression, Request, SourceLabel, WrittenLayer, find, layer};
use kiln_model::{
    Architecture, Digest, Dir, Entry, FileEntry, MemoryObjects, ObjectId, ObjectSink, ObjectSource, Silent,
};

const FILES: usize = 8_000;
const LAYERS: usize = 115;
const BYTES: usize = 150 << 20;
const RUNS: usize = 5;

/// Text-like bytes that zstd brings to about a third, as it does a file system's.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length + 16);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state & 3 == 0 || out.len() < 64 {
            out.extend_from_slice(&state.to_le_bytes());
        } else {
            let back = 8 + (state >> 8) as usize % out.len().min(30_000).saturating_sub(8).max(1);
            let from = out.len().saturating_sub(back);
            let end = (from + 8 + (state >> 40) as usize % 12).min(out.len());
            out.extend_from_within(from..end);
        }
    }
    out.truncate(length);
    out
}

fn trees(objects: &MemoryObjects) -> Vec<Dir> {
    let mut trees = vec![Dir::default(); LAYERS];
    let mut left = BYTES;
    for n in 0..FILES {
        // Many small files and few large ones: file n of k has the share of a harmonic row.
        let size = (BYTES / 9 / (n + 1)).max(2_000).min(left);
        left -= size;
        let bytes = content(n as u64 + 1, size);
        let object = objects.put(&bytes).unwrap();
        let path = format!("usr/share/part{}/file{n}", n % 97).parse().unwrap();
        let entry = Entry::File(FileEntry::plain(object, size as u64, false));
        trees[n % LAYERS].insert(&path, entry).unwrap();
    }
    trees
}

/// Both threads take the next piece of work until there is none.
fn on_two_threads(work: usize, run: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= work {
                        break;
                    }
                    run(at);
                }
            });
        }
    });
}

fn main() {
    let objects = MemoryObjects::default();
    let trees = trees(&objects);
    let mut everything = Vec::with_capacity(BYTES);
    for tree in &trees {
        for (_, entry) in tree.walk() {
            if let Entry::File(file) = entry {
                everything.extend_from_slice(&objects.read(&file.object).unwrap());
            }
        }
    }
    println!("files {FILES}, {} MB, {LAYERS} layers; best of {RUNS}", everything.len() >> 20);
    let bare = measure("bare zstd -3", &mut || {
        let half = everything.len() / 2;
        on_two_threads(2, |at| {
            let piece = if at == 0 { &everything[..half] } else { &everything[half..] };
            let mut encoder = encoder(Compression::Zstd, io::sink(), Level::Default).unwrap();
            encoder.write_all(piece).unwrap();
            encoder.finish().unwrap();
        });
    });
    measure("bare sha256", &mut || {
        let half = everything.len() / 2;
        on_two_threads(2, |at| {
            let piece = if at == 0 { &everything[..half] } else { &everything[half..] };
            assert_ne!(ObjectId::of(piece), ObjectId::of(b""));
        });
    });
    for (compression, what) in [(LayerCompression::Zstd, "layers, zstd"), (LayerCompression::None, "layers, plain")] {
        let size = AtomicU64::new(0);
        // Forget the peak so far.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = memory("VmRSS:");
        let time = measure(what, &mut || {
            size.store(0, Ordering::Relaxed);
            on_two_threads(trees.len(), |at| {
                let info = layer::write(&trees[at], &objects, compression, io::sink()).unwrap();
                size.fetch_add(info.size, Ordering::Relaxed);
            });
        });
        let (size, memory) = (size.into_inner() >> 20, memory("VmHWM:") - before);
        let (clock, work) = (time.0 / bare.0, time.1 / bare.1);
        println!(
            "{what}: {size} MB, {clock:.2} of bare zstd by the clock, {work:.2} of its work, {memory} MB of memory"
        );
    }
    layouts(&trees, &objects);
}

/// Runs it several times and shows the best: seconds by the clock, and of processors.
fn measure(what: &str, run: &mut dyn FnMut()) -> (f64, f64) {
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..RUNS {
        let (start, worked) = (Instant::now(), processor_time());
        run();
        best.0 = best.0.min(start.elapsed().as_secs_f64());
        best.1 = best.1.min(processor_time() - worked);
    }
    println!("{what:14} {:.3} s by the clock, {:.2} s of work, two threads", best.0, best.1);
    best
}

/// The layout over blobs that are kept: first write, and when nothing changed.
fn layouts(trees: &[Dir], objects: &MemoryObjects) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let layers: Vec<WrittenLayer> = trees
        .iter()
        .map(|tree| {
            let mut blob = Vec::new();
            let info = layer::write(tree, objects, LayerCompression::Zstd, &mut blob).unwrap();
            std::fs::write(kept.join(info.digest.to_hex()), blob).unwrap();
            WrittenLayer { info, comment: String::new() }
        })
        .collect();
    let spec = ImageSpec {
        name: "bench".parse().unwrap(),
        architecture: Architecture::Amd64,
        config: ImageConfig::default(),
        source: SourceLabel::default(),
    };
    let blob_path = |digest: &Digest| Some(kept.join(digest.to_hex()));
    let request = Request {
        spec: &spec,
        tree: &trees[0],
        layers: &layers,
        referrers: &[],
        objects,
        blob_path: &blob_path,
        reporter: &Silent,
    };
    for what in ["first", "unchanged"] {
        let start = Instant::now();
        find("oci").unwrap().write(&request, folder.path()).unwrap();
        println!("layout of {LAYERS} kept blobs, {what:9}  {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    }
}

/// Processor time of this process, which other work on the machine disturbs less than the clock.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // User and system time, in hundredths of a second.
    fields[11..13].iter().map(|field| field.parse::<f64>().unwrap_or(0.0) / 100.0).sum()
}

/// Memory of this process, in megabytes.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) >> 10
}
