//! What TeX makes of the packages of an installation: its configuration put together from snippets, the databases of file
//! names, the maps of fonts, and formats: `/var/lib/texmf`, as the hooks and triggers of tex-common and texlive-base have
//! it made.
//!
//! A format holds the day it is made. Most engines take that from `SOURCE_DATE_EPOCH`; TeX and METAFONT themselves do not,
//! and are told the day before they read anything. Formats of LuaTeX are not made here: two runs of it never give the same
//! bytes, since its tables are ordered by a random number. TeX makes a format that is missing when it is first used.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static TOOL: Tool = Tool {
    name: "tex",
    summary: "TeX's configuration, file name databases, font maps and formats, as the hooks of `tex-common` and \
              `texlive-base` have them made. Formats of LuaTeX, which it never makes twice alike, are left to the machine.",
    version: 1,
    program: "/usr/sbin/update-texmf",
    inputs: &[
        "/etc/texmf/**",
        "/usr/share/texmf/**",
        "/usr/share/texlive/**",
        "/var/lib/tex-common/**",
        "/var/lib/texmf/**",
    ],
    runs: &[
        "/usr/sbin/update-*",
        "/usr/bin/*tex*",
        "/usr/bin/*tl-*",
        "/usr/bin/mf*",
        "/usr/bin/inimf*",
        "/usr/bin/kpse*",
        "/usr/bin/*map*",
        "/usr/bin/fmtutil*",
        "/usr/bin/perl",
        "/usr/bin/bash",
        "/usr/bin/sh",
        "/usr/bin/awk",
        "/usr/bin/sed",
        "/usr/bin/*grep",
        "/usr/bin/find",
        "/usr/bin/sort",
        "/usr/bin/cat",
        "/usr/bin/cp",
        "/usr/bin/mv",
        "/usr/bin/rm",
        "/usr/bin/ls",
        "/usr/bin/ln",
        "/usr/bin/cut",
        "/usr/bin/tr",
        "/usr/bin/expr",
        "/usr/bin/chmod",
        "/usr/bin/mkdir",
        "/usr/bin/mktemp",
        "/usr/bin/touch",
        "/usr/bin/basename",
        "/usr/bin/dirname",
        "/usr/bin/uname",
        "/usr/bin/id",
        "/usr/bin/tty",
        "/usr/bin/cmp",
        "/usr/bin/diff",
        "/usr/bin/head",
        "/usr/bin/tail",
        "/usr/bin/getopt",
        "/usr/bin/pwd",
        "/usr/bin/uniq",
    ],
    support: &[
        "/usr/share/tex-common/**",
        "/usr/share/perl/**",
        "/usr/share/perl5/**",
        "/usr/lib/{multiarch}/perl5/**",
        "/usr/lib/{multiarch}/perl/**",
        "/usr/lib/{multiarch}/perl-base/**",
        "/etc/papersize",
    ],
    folders: &["/var/lib/texmf", "/etc/texmf/web2c"],
    writes: &["/var/lib/texmf", "/var/lib/texmf/**", "/etc/texmf/web2c", "/etc/texmf/web2c/texmf.cnf"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| {
        preparation.environment.insert("FORCE_SOURCE_DATE".to_owned(), "1".to_owned());
        Ok(vec![["/usr/bin/sh", "-e", "-c", SCRIPT].map(str::to_owned).to_vec()])
    },
};

/// What the hooks have run, in the order that leaves what they leave: paper before formats, which hold it. Without
/// texlive-binaries there is nothing but the configuration.
const SCRIPT: &str = r#"
umask 022
trees=/var/lib/texmf
for tree in /usr/share/texmf /usr/share/texlive/texmf-dist; do
  if test -d $tree; then trees=$trees\ $tree; fi
done
# `update-language` asks whether texlive-base is installed.
if test -d /usr/share/texlive/texmf-dist; then
  mkdir /tmp/bin
  printf '#!/bin/sh\nprintf "install ok installed"\n' > /tmp/bin/dpkg-query
  chmod 755 /tmp/bin/dpkg-query
  PATH=/tmp/bin:$PATH
fi
update-texmf
update-updmap --quiet
update-fmtutil --quiet
update-language --quiet
if command -v kpsewhich >/dev/null; then
  mktexlsr $trees
  if command -v tl-paper >/dev/null; then
    for program in dvips dvipdfmx xdvi pdftex; do
      if paper=$(tl-paper get $program); then tl-paper set $program $paper; fi
    done
    mktexlsr /var/lib/texmf
  fi
  if test -d /usr/share/texlive/texmf-dist; then
    updmap-sys --nohash
    mktexlsr /var/lib/texmf
    for engine in pdftex xetex ptex eptex uptex euptex; do
      fmtutil --sys --strict --byengine $engine
    done
    if kpsewhich tex.ini >/dev/null && command -v tex >/dev/null; then
      mkdir -p /var/lib/texmf/web2c/tex
      cd /var/lib/texmf/web2c/tex
      tex -ini -jobname=tex -progname=tex -translate-file=cp227.tcx '\year=1980 \month=1 \day=1 \time=0 \input tex.ini'
    fi
    if kpsewhich mf.ini >/dev/null && command -v mf-nowin >/dev/null; then
      mkdir -p /var/lib/texmf/web2c/metafont
      cd /var/lib/texmf/web2c/metafont
      mf-nowin -ini -jobname=mf -progname=mf -translate-file=cp227.tcx \
        '\year:=1980; month:=1; day:=1; time:=0; input mf.ini'
    fi
  fi
  find /var/lib/texmf -name '*.log' -exec rm {} +
  mktexlsr $trees
fi
"#;

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));
