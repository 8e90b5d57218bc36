//! The shipped builders' scripts do what they say: run by bash against stand-ins for make, cmake and meson that write
//! down how they were called.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use kiln_model::Architecture;
use kiln_model::project::parse_project_tree;
use kiln_model::recipe::BuildVars;

/// Runs a recipe's build in `folder`, and gives what the stand-ins wrote down.
fn build(folder: &Path, build: &str) -> String {
    let recipe = format!("name: p\nversion: 1\nsummary: P\nlicense: MIT\nbuild: {build}\n");
    let files = [("kiln.yaml", "kiln: 1\nname: d\n"), ("packages/p/package.yaml", &*recipe)];
    let names: BTreeSet<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
    let project =
        parse_project_tree(files, &names).unwrap_or_else(|told| panic!("{}", told.render(Default::default())));
    let recipe = &project.recipes["p"];
    let mut vars = BuildVars::new(recipe, Architecture::Amd64);
    vars.out = folder.join("out").to_str().unwrap().to_owned();
    let programs = folder.join("programs");
    std::fs::create_dir_all(&programs).unwrap();
    let log = folder.join("log");
    for program in ["make", "cmake", "meson", "ninja"] {
        let path = programs.join(program);
        // One line a call, each argument in brackets: a word split in two would show.
        let script =
            format!("#!/bin/sh\n{{ printf %s {program}; printf ' [%s]' \"$@\"; echo; }} >> {}\n", log.display());
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for step in recipe.steps(&BTreeMap::new(), &vars) {
        let outcome = Command::new("/bin/bash")
            .args(["-e", "-u", "-o", "pipefail", "-c", &step.run])
            .current_dir(folder)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("KILN_JOBS", "3")
            .output()
            .unwrap();
        assert!(outcome.status.success(), "{}: {}", step.run, String::from_utf8_lossy(&outcome.stderr));
    }
    std::fs::read_to_string(log).unwrap_or_default().replace(&vars.out, "OUT")
}

#[test]
fn configure_works_with_scripts_of_either_kind() {
    let folder = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\n{ printf configure; printf ' [%s]' \"$@\"; echo; } >> log\n";
    std::fs::write(folder.path().join("configure"), script).unwrap();
    std::fs::set_permissions(folder.path().join("configure"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let log = build(folder.path(), "{ uses: configure, with: [--name, \"a 'b' $HOME `id` *\"] }");
    assert_eq!(log, "configure [--name] [a 'b' $HOME `id` *]\nmake [-j3]\nmake [DESTDIR=OUT] [install]\n");
    std::fs::remove_file(folder.path().join("log")).unwrap();
}

/// A script as autoconf writes them, which knows these directories and refuses all others.
fn strict_configure(folder: &Path, directories: &str) {
    let script = format!(
        "#!/bin/sh\n\
         case $1 in --help) for name in {directories}; do echo \"  --$name=DIR    a directory\"; done; exit ;; esac\n\
         for given; do\n\
           ok=; for name in prefix {directories}; do case $given in --$name=*|--disable-*) ok=1 ;; esac; done\n\
           [ $ok ] || {{ echo \"configure: error: unrecognized option: $given\" >&2; exit 1; }}\n\
         done\n\
         {{ printf configure; printf ' [%s]' \"$@\"; echo; }} >> log\n"
    );
    std::fs::write(folder.join("configure"), script).unwrap();
    std::fs::set_permissions(folder.join("configure"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_gnu_script_gets_the_directories_that_its_help_names_and_no_others() {
    let recipe = "{ uses: configure, gnu: true, with: [--disable-nls], install: [install-strip] }";
    let folder = tempfile::tempdir().unwrap();
    let old = "sysconfdir localstatedir libdir libexecdir mandir infodir";
    strict_configure(folder.path(), old);
    let log = build(folder.path(), recipe);
    assert_eq!(
        log,
        "configure [--prefix=/usr] [--sysconfdir=/etc] [--localstatedir=/var] [--libdir=/usr/lib/x86_64-linux-gnu] \
         [--libexecdir=/usr/libexec] [--mandir=/usr/share/man] [--infodir=/usr/share/info] [--disable-nls]\n\
         make [-j3]\nmake [DESTDIR=OUT] [install-strip]\n"
    );
    std::fs::remove_file(folder.path().join("log")).unwrap();
    strict_configure(folder.path(), &format!("{old} runstatedir"));
    assert!(build(folder.path(), recipe).contains("[--localstatedir=/var] [--runstatedir=/run] [--libdir="));
    // One of 1995 knows nothing but its prefix.
    std::fs::remove_file(folder.path().join("log")).unwrap();
    strict_configure(folder.path(), "");
    assert!(build(folder.path(), recipe).starts_with("configure [--prefix=/usr] [--disable-nls]\n"));
}

#[test]
fn make_gets_variables_and_targets_as_words() {
    let folder = tempfile::tempdir().unwrap();
    let log = build(
        folder.path(),
        "{ uses: make, targets: [lib, tool], variables: { CC: gcc, CFLAGS: -O2 -g }, destination: PREFIX }",
    );
    assert_eq!(
        log,
        "make [-j3] [CC=gcc] [CFLAGS=-O2 -g] [lib] [tool]\nmake [PREFIX=OUT] [CC=gcc] [CFLAGS=-O2 -g] [install]\n"
    );
}

#[test]
fn cmake_gets_definitions_each_as_one_word() {
    let folder = tempfile::tempdir().unwrap();
    let log = build(folder.path(), "{ uses: cmake, definitions: { A: x y, B: \"\" }, with: [-Wno-dev] }");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].starts_with("cmake [-S] [.] [-B] [kiln-build] [-G] [Unix Makefiles]"), "{log}");
    assert!(lines[0].ends_with("[-DA=x y] [-DB=] [-Wno-dev]"), "{log}");
    assert_eq!(
        lines[1..],
        ["cmake [--build] [kiln-build] [--parallel] [3] [--target] [all]", "cmake [--install] [kiln-build]"]
    );
}

#[test]
fn meson_builds_without_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let log = build(folder.path(), "{ uses: meson, with: [-Dtests=false] }");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].starts_with("meson [setup] [--wrap-mode=nodownload]"), "{log}");
    assert!(lines[0].ends_with("[-Dtests=false] [kiln-build] [.]"), "{log}");
    assert_eq!(lines[1..], ["ninja [-C] [kiln-build] [-j] [3]", "meson [install] [-C] [kiln-build] [--no-rebuild]"]);
}

#[test]
fn copy_takes_files_folders_and_patterns() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("one file.txt", "1");
    write("conf/a.conf", "a");
    write("conf/b.conf", "b");
    write("conf/readme", "no");
    write("theme/deep/x", "x");
    let recipe =
        "{ uses: copy, files: { one file.txt: /etc/one.txt, conf/*.conf: /etc/conf.d/, theme: usr/share/theme } }";
    build(folder.path(), recipe);
    let read = |path: &str| std::fs::read_to_string(folder.path().join("out").join(path));
    assert_eq!(read("etc/one.txt").unwrap(), "1");
    assert_eq!(read("etc/conf.d/a.conf").unwrap() + &read("etc/conf.d/b.conf").unwrap(), "ab");
    assert!(read("etc/conf.d/readme").is_err());
    assert_eq!(read("usr/share/theme/deep/x").unwrap(), "x");
}
