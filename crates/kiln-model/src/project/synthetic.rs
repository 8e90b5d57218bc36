//! Projects of any size, for measuring.

/// The files of a project with `recipes` recipes that need each other in layers, and one image: path and text. Every
/// recipe is of ordinary length, with options, patches, a builder and facts.
#[must_use]
pub fn files(recipes: usize) -> Vec<(String, String)> {
    let mut files = vec![("kiln.yaml".to_owned(), KILN.to_owned())];
    for index in 0..recipes {
        files.push((format!("packages/p{index}/package.yaml"), recipe(index)));
        files.push((format!("packages/p{index}/patches/fix.patch"), String::new()));
    }
    let last: Vec<String> = (recipes.saturating_sub(20)..recipes).map(|index| format!("  - p{index}\n")).collect();
    files.push(("images/all.yaml".to_owned(), format!("name: all\npackages:\n{}", last.concat())));
    files
}

const KILN: &str = "\
kiln: 1
name: synthetic
origins:
  debian: { archive: deb, distribution: debian, suite: trixie, components: [main], max-age: unlimited }
environment: [debian:build-essential]
";

fn recipe(index: usize) -> String {
    // Each needs up to three of the fifty before it: a graph as deep and as wide as a distribution's.
    let needs: String =
        [1, 7, 31].iter().filter_map(|back| index.checked_sub(*back)).map(|n| format!("  - p{n}\n")).collect();
    let digest = crate::Digest::of(index.to_string().as_bytes()).to_hex();
    format!(
        "\
name: p{index}
version: 1.{index}
summary: The synthetic package number {index}
license: MIT
sources:
  - url: https://example.org/p{index}-{{{{ version }}}}.tar.gz
    sha256: {digest}
patches:
  patches/fix.patch: Makes number {index} build
options:
  ipv6: {{ default: true, summary: Listen on IPv6 }}
  selinux: {{ default: false, summary: Label sockets }}
needs:
  - debian:zlib1g-dev
  - {{ when: selinux, package: debian:libselinux1-dev }}
{needs}build:
  uses: configure
  gnu: true
  with:
    - --sysconfdir=/etc/p{index}
    - --disable-static
    - {{ when: ipv6, add: --with-ipv6 }}
    - {{ when: selinux, add: --with-selinux }}
parts:
  doc: {{ claim: [usr/share/doc/**, usr/share/man/**] }}
facts:
  users:
    p{index}: {{ home: /var/lib/p{index}, summary: number {index} }}
  directories:
    /var/lib/p{index}: {{ owner: p{index}, mode: \"0750\" }}
test:
  - run: p{index} --version
"
    )
}
