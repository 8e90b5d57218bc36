//! The one table of digests that must not move.
//!
//! A line that changes means that every image in the world gets new layers. If that is meant, raise
//! `kiln_image::layer::KIND` in the same commit and say why.

mod fixture;

use std::process::Command;

use fixture::{Recipe, Sample};
use kiln_image::{LayerCompression, layer, outputs};

const GOLDEN: &str = "\
image.layer/2
zstd base 1.0 sha256:5b23e6c13158694a889fff96dafb7a69ab7adf8322a45b53ee4d165b769b3b28
zstd tools 1.0 sha256:5bbc20b285d31edb50e4e504c25c2a9cfcbd87a2606f39f76f025f8a760bcd78
zstd files 1.0 sha256:7fecfa278b8dbf48491f4480bcd4052af0962095782bbdd2104a39e527a96683
zstd stamp 1.0 sha256:80272c7c8dc00379776b8c66288cc5077cc361d3829cd923ba472e0fe4de4a67
zstd manifest sha256:8a87b280158e66601bddac1acc97eb0a3e2d3aa6245be56d63bb040ce65a0c95
gzip base 1.0 sha256:4644fbcea91c4dcf05a71ccf299b9f2fa2a2f3dd7428fac6de42bccb76ede217
gzip tools 1.0 sha256:812e831a1387a1f42a7630d92c1ccddcec81d7d482288c8d3bcb125cb12a0c7d
gzip files 1.0 sha256:fe9fc080f324c42cd83ebc844de3e70e7be1b33fed5b8beea45c2637b8d9b317
gzip stamp 1.0 sha256:5f92ce299923b97b223fde58f7c0da1695d44aa0128d0a591b5f551b8e8a2813
gzip manifest sha256:1513b10728a320dda9129d608b1a6ae6b23b37116005031cad0a4dd23b144068
none base 1.0 sha256:a0aa939ff460f6316d60e1aa02808c7cef4b387746ad764dad0e93304e0729d3
none tools 1.0 sha256:3bb2ac283039f9c7954db8112567a4c66e69f36e55bdd7f7b57075a31bf8eef4
none files 1.0 sha256:f50528236f53eeb73e2360c5f6e0a8867cfed1ddd502dc261447680aa471d48d
none stamp 1.0 sha256:e75cdb8574fc70d17116c3809f3f6597fe62c89d41e36e208d7bae14a87f1964
none manifest sha256:68545c0e446cd82e4f6a4bab8eb19f5bc399df75665eb8aa222947ab22aed4ff
output dir sha256:611c987b72addc2ab504bc49a906ef1bf170717d897e7df019335d6e269f1b2b
output oci sha256:fdb77371d458aac95584b63866da6fde66c0499b67b0c88c10ec18906505cbbf
output oci-archive sha256:6f3d0c8468cbcd9f3aa138569f7a8f0819a5cafc7bccf9aed86eaa1beca563b9
output tar sha256:80b027337d013c8b49fa9f02ffa7479a319736b1fe763692c2c122bdac511cec
output tar-gz sha256:90062bbbb87b1ce7ca746adc2f66284d27e123e1adb77ea56e2e10578363322a
output tar-zst sha256:45a36a9cec24d7aa281b858300f46dbb23ea6aaf4aedae1d2f536944d9f7eee0
";

fn table() -> String {
    let mut lines = vec![layer::KIND.to_owned()];
    for compression in LayerCompression::ALL {
        // Larger than what a compressor sees at once.
        let sample = Sample::of(&Recipe { data: 10_000_000, special: true, devices: true, compression, program: None });
        for layer in &sample.layers {
            lines.push(format!("{} {} {}", compression.as_str(), layer.comment, layer.info.digest));
        }
        lines.push(format!("{} manifest {}", compression.as_str(), sample.manifest_digest()));
    }
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::with_data(100_000);
    for output in outputs() {
        let digest = output.write(&sample.request(), folder.path()).unwrap().digest;
        lines.push(format!("output {} {digest}", output.name));
    }
    lines.join("\n") + "\n"
}

#[test]
fn digests_are_those_of_the_table() {
    let found = table();
    assert!(found == GOLDEN, "the digests have moved; now they are\n{found}");
}

#[test]
fn digests_are_the_same_on_one_core_in_another_place_locale_and_time_zone() {
    let script = "umask 077; cd /; exec taskset --cpu-list 0 \"$0\" --exact digests_are_those_of_the_table";
    let ran = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .envs([("LC_ALL", "tr_TR.UTF-8"), ("TZ", "Asia/Kathmandu"), ("SOURCE_DATE_EPOCH", "1")])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && printed.contains("1 passed"), "{printed}");
}
