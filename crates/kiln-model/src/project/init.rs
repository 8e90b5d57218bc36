//! The project that `kiln init` writes: the smallest one that builds and runs at once.

use crate::ImageName;

/// The files of a new project: path and content. The image serves one page on port 8080.
#[must_use]
pub fn files(name: &ImageName) -> Vec<(&'static str, String)> {
    vec![
        ("kiln.yaml", KILN.replace("NAME", name.as_str())),
        ("images/web.yaml", IMAGE.to_owned()),
        ("files/index.html", PAGE.replace("NAME", name.as_str())),
        (".gitignore", "/out/\n".to_owned()),
    ]
}

const KILN: &str = "\
# The project. `kiln lock` pins everything named here and in images/, `kiln run` builds and runs it.
kiln: 1
name: NAME
origins:
  debian:
    archive: deb
    distribution: debian
    suite: trixie
    components: [main]
    max-age: unlimited          # a stable release's index carries no Valid-Until
";

const IMAGE: &str = "\
# An image: packages, files, and how to run it.
name: web
packages:
  - debian:busybox-static
files:
  /srv/index.html: { source: files/index.html }
run:
  command: [/usr/bin/busybox, httpd, -f, -p, \"8080\", -h, /srv]
  user: \"65534\"                 # nobody: it needs no rights
  ports: [8080]
outputs: [oci]
";

const PAGE: &str = "\
<!doctype html>
<title>NAME</title>
<h1>NAME</h1>
<p>Served by an image that holds one program and this page.</p>
";
