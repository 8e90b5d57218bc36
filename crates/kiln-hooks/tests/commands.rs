//! What single commands come to, each by scripts over a table of paths.

mod table;

use kiln_hooks::{Became, Reading, Scripts, read};
use kiln_model::TreePath;
use kiln_model::facts::{FileContent, Mode};
use proptest::prelude::*;
use table::Table;

fn postinst(script: &str, world: &Table) -> Reading {
    let script = format!("#!/bin/sh\nset -e\n{script}\n");
    read(&Scripts { package: "p", version: "1", postinst: Some(&script), ..Scripts::default() }, world, world)
}

fn followed(script: &str, world: &Table) -> Reading {
    let reading = postinst(script, world);
    assert_eq!(reading.unfollowed, [], "{script}");
    reading
}

fn path(text: &str) -> TreePath {
    TreePath::from_absolute(text).unwrap()
}

fn files(reading: &Reading) -> Vec<String> {
    reading.facts.files.keys().map(ToString::to_string).collect()
}

fn modes(reading: &Reading) -> Vec<(String, u16)> {
    let mode =
        |(path, given): (&TreePath, &kiln_model::facts::Permission)| Some((path.to_string(), given.mode?.bits()));
    reading.facts.permissions.iter().filter_map(mode).collect()
}

fn configured() -> Table {
    Table::with(&[
        ("/etc/p/a.conf", "a=1\n"),
        ("/etc/p/b.conf", "b=2\n"),
        ("/etc/p/sub/c.txt", ""),
        ("/etc/p/sub/link", "-> /usr/share/p"),
        ("/usr/share/p/other.conf", "x\n"),
    ])
}

#[test]
fn find_gives_a_mode_to_every_file_below_a_folder() {
    for script in [
        "find /etc/p -type f -exec chmod 640 '{}' \\;",
        "find /etc/p -type f -exec chmod 640 {} +",
        "find /etc/p -type f -print0 | xargs -0 chmod 640",
        "find /etc/p -type f | while read -r file; do chmod 640 \"$file\"; done",
        "for file in $(find /etc/p ! -type d -a ! -type l); do chmod 640 $file; done",
        "cd /etc; find p -type f -exec sh -c 'chmod 640 \"$1\"' sh {} \\;",
    ] {
        let wanted = ["/etc/p/a.conf", "/etc/p/b.conf", "/etc/p/sub/c.txt"].map(|path| (path.to_owned(), 0o640));
        assert_eq!(modes(&followed(script, &configured())), wanted, "{script}");
    }
}

#[test]
fn find_finds_what_its_expression_says() {
    for (expression, found) in [
        ("-name '*.conf'", &["/etc/p/a.conf", "/etc/p/b.conf"][..]),
        ("-maxdepth 1 -type f", &["/etc/p/a.conf", "/etc/p/b.conf"]),
        ("-mindepth 1 -type d", &["/etc/p/sub"]),
        ("-type l", &["/etc/p/sub/link"]),
        ("-type f -empty", &["/etc/p/sub/c.txt"]),
        ("\\( -name a.conf -o -name c.txt \\) -print", &["/etc/p/a.conf", "/etc/p/sub/c.txt"]),
        ("-path '*/sub' -prune -o -type f -print", &["/etc/p/a.conf", "/etc/p/b.conf"]),
        ("-iname 'A.CONF'", &["/etc/p/a.conf"]),
        ("-type f -exec grep -q 1 {} \\; -print", &["/etc/p/a.conf"]),
        ("-type f -perm /002", &[]),
    ] {
        let script = format!("for f in $(find /etc/p {expression}); do touch /srv/$(basename $f); done");
        let reading = followed(&script, &configured());
        let wanted: Vec<String> =
            found.iter().map(|path| format!("/srv/{}", path.rsplit('/').next().unwrap())).collect();
        assert_eq!(files(&reading), wanted, "{expression}");
    }
}

#[test]
fn find_removes_what_the_hook_made_and_leaves_what_a_package_ships() {
    let reading = followed("touch /etc/p/new.tmp\nfind /etc/p -name '*.tmp' -delete", &configured());
    assert!(reading.facts.files.is_empty());
    let reading = postinst("find /etc/p -name '*.conf' -delete", &configured());
    assert!(reading.unfollowed.iter().all(|told| told.why.contains("what a package ships")));
    assert_eq!(reading.unfollowed.len(), 2);
}

#[test]
fn what_find_is_asked_and_nobody_knows_is_not_guessed() {
    // One that only prints prints something that is not known.
    let printed = postinst("touch /srv/$(find /etc/p -newer /etc/p/a.conf -type f)", &configured());
    assert!(files(&printed).is_empty() && !printed.unfollowed.is_empty());
    // What is known not to be asked for does not matter.
    followed("find /etc/p -type b -newer /etc/p/a.conf -exec chmod 640 {} \\;", &configured());
    for script in [
        "find /etc/p -mtime +3 -exec rm {} \\;",
        "find /etc/p -type f -user root -delete",
        "find /etc/p -type f -exec frobnicate {} \\;",
        "find -L /etc/p -type f -exec chmod 640 {} \\;",
        "find /var/lib/dpkg -type f -exec chmod 640 {} \\;",
        "find /etc/p $(cat /proc/x) -delete",
    ] {
        let reading = postinst(&format!("touch /etc/p/made\n{script}"), &configured());
        assert!(reading.unfollowed.iter().any(|told| told.place.line == 4), "{script}: {reading:?}");
        assert!(modes(&reading).is_empty(), "{script}");
        let gone = !script.contains("dpkg");
        assert_eq!(files(&reading).is_empty(), gone, "what it may have removed is not left behind: {script}");
    }
}

#[test]
fn grep_searches_folders() {
    let script = |rest: &str| format!("if grep {rest}; then touch /srv/yes; else touch /srv/no; fi");
    for (rest, answer) in [("-qr '^b=' /etc/p", "yes"), ("-q -r nowhere /etc/p", "no"), ("-rq x /etc/p", "no")] {
        assert_eq!(files(&followed(&script(rest), &configured())), [format!("/srv/{answer}")], "{rest}");
    }
    let named =
        followed("echo $(grep -r a= /etc/p) > /srv/found; echo $(grep -h '' /etc/p/*.conf) > /srv/two", &configured());
    let content = |at: &str| named.facts.files[&path(at)].content.clone();
    assert_eq!(content("/srv/found"), FileContent::Content("/etc/p/a.conf:a=1\n".into()));
    assert_eq!(content("/srv/two"), FileContent::Content("a=1 b=2\n".into()));
    // Links lead elsewhere, and what is in another folder is another matter.
    let links = postinst(&script("-qR nowhere /etc/p"), &configured());
    assert!(files(&links).is_empty() && !links.unfollowed.is_empty());
}

#[test]
fn grep_prints_the_parts_that_posix_would_take() {
    let script = |rest: &str| format!("echo $(grep {rest} /etc/p/a.conf) > /srv/x");
    for (rest, part) in [("-o '[a-z]*='", "a="), ("-oE 'b|a'", "a"), ("-o '[0-9]*'", "1")] {
        let reading = followed(&script(rest), &configured());
        let expected = FileContent::Content(format!("{part}\n"));
        assert_eq!(reading.facts.files[&path("/srv/x")].content, expected, "{rest}");
    }
    for rest in ["-oE 'a|a='", "-o -e a -e 1"] {
        let reading = postinst(&script(rest), &configured());
        assert!(files(&reading).is_empty() && !reading.unfollowed.is_empty(), "{rest}");
    }
}

#[test]
fn tr_squeezes_what_it_is_told_to_and_no_option_is_a_set() {
    for (rest, text) in
        [("-s ' '", "a - ss b"), ("-s 's '", "a - s b"), ("-s ' ' _", "a_-_ss_b"), ("s x", "a   - xx  b")]
    {
        let reading = followed(&format!("printf '%s\\n' 'a   - ss  b' | tr {rest} > /srv/x"), &configured());
        assert_eq!(reading.facts.files[&path("/srv/x")].content, FileContent::Content(format!("{text}\n")), "{rest}");
    }
    let reading = postinst("echo ab | tr -c a x > /srv/x", &configured());
    assert!(files(&reading).is_empty() && !reading.unfollowed.is_empty());
}

#[test]
fn sed_changes_a_file_whatever_letters_its_option_has() {
    for options in ["-i -e", "-ri", "-Ei -e", "-i.bak -re"] {
        let script = format!("printf 'a=1\\n' > /etc/x\nsed {options} 's/a/b/' /etc/x");
        let reading = followed(&script, &configured());
        let expected = FileContent::Content("b=1\n".into());
        assert_eq!(reading.facts.files[&path("/etc/x")].content, expected, "{options}");
        let unknown = postinst(&script.replace("s/a/b/", "s/a/$(hostname)/").replace('\'', "\""), &configured());
        assert!(files(&unknown).is_empty() && !unknown.unfollowed.is_empty(), "{options}");
    }
}

#[test]
fn a_double_bracket_is_a_condition_of_bash() {
    let script = |condition: &str| {
        let script = format!("#!/bin/bash\nif [[ {condition} ]]; then touch /srv/yes; else touch /srv/no; fi");
        let scripts = Scripts { package: "p", version: "1", postinst: Some(&script), ..Scripts::default() };
        files(&read(&scripts, &configured(), &configured()))
    };
    for (condition, answer) in [
        ("$1 == configure && -z $2", "yes"),
        ("$1 == con*", "yes"),
        ("$1 == \"con*\" || ! -d /etc/p", "no"),
        ("$3 == x", "no"),
        ("( -e /etc/p/a.conf )", "yes"),
    ] {
        let made = script(condition);
        let unknown = condition.contains("\"con*\"");
        assert!(if unknown { made.is_empty() } else { made == [format!("/srv/{answer}")] }, "{condition}: {made:?}");
    }
}

#[test]
fn a_question_with_a_list_settles_on_its_first_where_nobody_answers() {
    let templates = "Template: shared/dm\nType: select\nChoices: ${choices}\n\nTemplate: p/size\nType: select\nChoices: small, large\nDefault: large\n\nTemplate: p/free\nType: string\n";
    let config = "#!/bin/sh\n. /usr/share/debconf/confmodule\ndb_subst shared/dm choices 'p, q'\n\
                  db_input high shared/dm || true\ndb_input high p/size || true\ndb_input high p/free || true\ndb_go\n";
    let script = "#!/bin/sh\n. /usr/share/debconf/confmodule\nfor q in shared/dm p/size p/free; do db_get $q; echo \"$RET\" >> /srv/x; done\n\
                  db_metaget shared/dm choices; echo \"$RET\" >> /srv/x\n";
    let scripts = Scripts {
        package: "p",
        version: "1",
        config: Some(config),
        postinst: Some(script),
        templates: Some(templates),
        ..Scripts::default()
    };
    let reading = read(&scripts, &configured(), &configured());
    assert_eq!(reading.unfollowed, []);
    let expected = FileContent::Content("p\nlarge\n\np, q\n".into());
    assert_eq!(reading.facts.files[&path("/srv/x")].content, expected);
    // Answers that somebody has read stand for the script that asks.
    let answered = Scripts { answers: &[("shared/dm", "q")], ..scripts };
    let reading = read(&answered, &configured(), &configured());
    let expected = FileContent::Content("q\nlarge\n\n\n".into());
    assert_eq!(reading.facts.files[&path("/srv/x")].content, expected);
}

#[test]
fn a_mark_that_config_leaves_is_there_for_the_hook() {
    let config = "#!/bin/sh\nmkdir -p /etc/X11\ntouch /etc/X11/dm.update\n";
    let script = "#!/bin/sh\nif [ -e /etc/X11/dm.update ]; then rm -f /etc/X11/dm.update; echo p > /etc/X11/dm; fi\n";
    let scripts =
        Scripts { package: "p", version: "1", config: Some(config), postinst: Some(script), ..Scripts::default() };
    let reading = read(&scripts, &configured(), &configured());
    assert_eq!((files(&reading), reading.unfollowed), (vec!["/etc/X11/dm".to_owned()], vec![]));
}

#[test]
fn what_lies_behind_an_alternative_is_there() {
    let install = |link: &str, name: &str, to: &str| format!("update-alternatives --install {link} {name} {to} 50\n");
    let script = [
        install("/usr/share/theme", "theme", "/etc/p"),
        "if [ -e /usr/share/theme/a.conf ] && ! [ -e /usr/share/theme/x ]; then\n".to_owned(),
        install("/usr/share/z", "z", "/usr/share/theme/a.conf"),
        "fi\n".to_owned(),
        install("/usr/share/z", "z", "/usr/share/p/other.conf"),
    ];
    let reading = followed(&script.concat(), &configured());
    // Of those that are as strong, the smallest path.
    assert_eq!(reading.facts.alternatives[&path("/usr/share/z")].to, path("/usr/share/p/other.conf"));
    assert_eq!(reading.facts.alternatives.len(), 2);
}

#[test]
fn that_no_package_has_a_name_of_a_pattern_is_known() {
    for query in ["dpkg-query --list 'grub-*' absent", "dpkg -l 'grub-*'", "dpkg-query -W 'grub*'"] {
        let script = format!("if {query} | grep -q ii; then touch /srv/yes; else touch /srv/no; fi");
        assert_eq!(files(&followed(&script, &configured())), ["/srv/no"], "{query}");
    }
    let script = "if dpkg -l 'th*' | grep -q ii; then touch /srv/yes; else touch /srv/no; fi";
    assert!(!postinst(script, &configured()).unfollowed.is_empty());
    assert_eq!(files(&followed("if dpkg-query -s there >/dev/null; then touch /srv/a; fi", &configured())), ["/srv/a"]);
}

#[test]
fn capabilities_are_permitted_effective_or_inheritable() {
    let of = |text: &str| {
        let reading = followed(&format!("setcap {text} /etc/p/a.conf"), &configured());
        let permission = reading.facts.permissions[&path("/etc/p/a.conf")].clone();
        (permission.capabilities.into_iter().collect::<Vec<_>>().join(","), permission.xattrs)
    };
    assert_eq!(
        of("cap_net_raw,cap_net_admin=eip").1["security.capability"],
        "0100000200300000003000000000000000000000"
    );
    assert_eq!(of("cap_dac_read_search=p").1["security.capability"], "0000000204000000000000000000000000000000");
    assert_eq!(of("cap_net_raw+ep"), ("cap_net_raw".to_owned(), Default::default()));
    assert_eq!(of("cap_net_raw-epi").1["security.capability"], "0000000200000000000000000000000000000000");
}

#[test]
fn modes_and_owners_are_taken_from_another_file() {
    let script = "install -m 0640 -o daemon -g adm /dev/null /srv/a\ntouch /srv/b\nchmod --reference=/srv/a /srv/b\nchown --reference=/srv/a /srv/b";
    let reading = followed(script, &configured());
    let made = |at: &str| reading.facts.files[&path(at)].clone();
    assert_eq!(made("/srv/a"), made("/srv/b"));
    // What a package ships may be anybody's.
    let shipped = postinst("touch /srv/b\nchown --reference=/etc/p/a.conf /srv/b", &configured());
    assert!(!shipped.unfollowed.is_empty());
}

#[test]
fn a_service_is_switched_on_by_the_name_of_its_script() {
    let world = Table::with(&[("/usr/lib/systemd/system/d.service", "[Install]\nWantedBy=x.target\n")]);
    assert!(followed("update-rc.d d enable", &world).facts.services["d.service"].enabled);
    for script in ["update-rc.d d defaults", "update-rc.d other enable", "update-rc.d d enable\nupdate-rc.d d disable"]
    {
        assert!(followed(script, &world).facts.services.is_empty(), "{script}");
    }
}

#[test]
fn modules_of_lighttpd_are_links_and_bring_what_they_depend_on() {
    let world = Table::with(&[
        ("/etc/lighttpd/conf-available/10-fastcgi.conf", "server.modules += ()\n"),
        ("/etc/lighttpd/conf-available/15-php.conf", "# -*- depends: fastcgi -*-\n"),
        ("/etc/lighttpd/conf-enabled/README", ""),
    ]);
    let reading = followed("lighty-enable-mod php", &world);
    let links: Vec<(String, &str)> = reading.facts.links.iter().map(|(at, to)| (at.to_string(), &**to)).collect();
    assert_eq!(
        links,
        [
            ("/etc/lighttpd/conf-enabled/10-fastcgi.conf".to_owned(), "../conf-available/10-fastcgi.conf"),
            ("/etc/lighttpd/conf-enabled/15-php.conf".to_owned(), "../conf-available/15-php.conf"),
        ]
    );
    assert!(followed("lighty-enable-mod none || [ $? -eq 2 ]", &world).facts.links.is_empty());
}

#[test]
fn whose_everything_below_a_folder_becomes_does_not_follow_links() {
    let reading = followed("chown -R daemon:adm /etc/p\nchmod -R g-w /etc/p", &configured());
    assert!(!reading.facts.permissions.contains_key(&path("/etc/p/sub/link")));
    assert!(!reading.facts.permissions.contains_key(&path("/usr/share/p/other.conf")));
    assert_eq!(reading.facts.permissions[&path("/etc/p/a.conf")].owner, Some("daemon".parse().unwrap()));
    // The link itself is given away.
    assert_eq!(reading.links[&path("/etc/p/sub/link")].group, Some("adm".parse().unwrap()));
    let by_name = followed("chown daemon /etc/p/sub/link; chown -h bin /etc/p/sub/link", &configured());
    assert_eq!(by_name.facts.permissions[&path("/etc/p/sub/link")].owner, Some("daemon".parse().unwrap()));
    assert_eq!(by_name.links[&path("/etc/p/sub/link")].owner, Some("bin".parse().unwrap()));
    // Of a link that the hook made, the same holds.
    let made = followed(
        "ln -s a.conf /etc/p/made; chown daemon /etc/p/made; chown -h bin /etc/p/made; chmod 600 /etc/p/made",
        &configured(),
    );
    let end = &made.facts.permissions[&path("/etc/p/a.conf")];
    assert_eq!((end.owner.clone(), end.mode), (Some("daemon".parse().unwrap()), Some(Mode::new(0o600))));
    assert_eq!(made.links[&path("/etc/p/made")].owner, Some("bin".parse().unwrap()));
}

#[test]
fn modes_of_new_folders_may_be_in_letters() {
    let reading = followed(
        "install -d -m u=rwx,g=rx,o= /srv/a; mkdir -m go-rwx /srv/b; install -m u=rw,go=r /etc/p/a.conf /srv/c",
        &configured(),
    );
    let mode = |at: &str| reading.facts.directories[&path(at)].mode;
    assert_eq!((mode("/srv/a"), mode("/srv/b")), (Some(Mode::new(0o750)), Some(Mode::new(0o700))));
    assert_eq!(reading.facts.files[&path("/srv/c")].mode, Some(Mode::new(0o644)));
}

#[test]
fn options_are_put_into_order_as_getopt_has_it() {
    let script = "TEMP=$(getopt -o ab:c:: -l long,value: -n p -- \"$@\")\neval set -- \"$TEMP\"\n\
                  for word in \"$@\"; do printf '<%s>' \"$word\"; done > /srv/words";
    let call = |words: &str| {
        let reading = postinst(&format!("set -- {words}\n{script}"), &Table::default());
        reading.facts.files.get(&path("/srv/words")).map(|file| file.content.clone())
    };
    for (words, ordered) in [
        ("x -a y", "<-a><--><x><y>"),
        ("-bvalue -b 'two words'", "<-b><value><-b><two words><-->"),
        ("-c -cx", "<-c><><-c><x><-->"),
        ("--long --value=1 --val 2 -- -a", "<--long><--value><1><--value><2><--><-a>"),
        ("\"it's\"", "<--><it's>"),
    ] {
        assert_eq!(call(words), Some(FileContent::Content(ordered.into())), "{words}");
    }
    assert_eq!(call("-z"), None);
    assert_eq!(call("$(cat /proc/x)"), None);
}

#[test]
fn an_alias_stands_for_its_command() {
    let reading = followed(
        "alias strip=\"sed -e 's/^ *//' -e 's/ *$//'\"\necho '  a  ' | strip > /srv/a\nalias ls='ls -l'\nunalias strip",
        &Table::default(),
    );
    assert_eq!(reading.facts.files[&path("/srv/a")].content, FileContent::Content("a\n".into()));
    assert!(!postinst("strip", &Table::default()).unfollowed.is_empty());
}

#[test]
fn what_a_script_does_at_its_end_is_done() {
    let reading = followed("trap 'rm -f /srv/a' EXIT\ntouch /srv/a /srv/b\nexit 0", &Table::default());
    assert_eq!(files(&reading), ["/srv/b"]);
    let reading = followed("trap 'rm -f /srv/a' EXIT\ntouch /srv/a\ntrap - EXIT", &Table::default());
    assert_eq!(files(&reading), ["/srv/a"]);
    let reading = followed("( trap 'rm /srv/a' EXIT; touch /srv/a )\ntouch /srv/c", &Table::default());
    assert_eq!(files(&reading), ["/srv/c"]);
}

#[test]
fn what_has_the_number_of_a_process_in_it_is_passing_or_not_known() {
    let reading = followed("cp /etc/p/a.conf /srv/a.$$; mv /srv/a.$$ /srv/a", &configured());
    assert_eq!(files(&reading), ["/srv/a"]);
    for script in ["touch /srv/a.$$", "echo $$ > /srv/a", "ln -s /run/$$ /srv/a"] {
        let reading = postinst(script, &configured());
        assert!(files(&reading).is_empty() && reading.facts.links.is_empty(), "{script}");
        assert!(reading.unfollowed.iter().any(|told| told.why.contains("number of a process")), "{script}");
    }
}

#[test]
fn words_that_are_not_known_keep_their_place() {
    let reading =
        postinst("set -- \"$(cat /proc/x)\" b\ntouch /srv/$2\nreadonly C=c\ntouch /srv/$C", &Table::default());
    assert_eq!(files(&reading), ["/srv/b", "/srv/c"]);
}

#[test]
fn a_user_has_the_home_that_it_was_given() {
    let world =
        Table::with(&[("/usr/share/base-passwd/passwd.master", "irc:*:39:39:ircd:/run/ircd:/usr/sbin/nologin\n")]);
    let reading = followed("adduser --system --home /srv/ftp ftp; touch ~ftp/x; mkdir -p $(eval echo ~irc)", &world);
    assert_eq!(files(&reading), ["/srv/ftp/x"]);
    assert!(reading.facts.directories.contains_key(&path("/run/ircd")));
    assert!(!postinst("touch ~nobody-we-know/x", &world).unfollowed.is_empty());
}

#[test]
fn ucf_takes_a_long_option_with_one_dash() {
    let reading = followed("ucf -three-way --debconf-ok /usr/share/p/other.conf /srv/a", &configured());
    assert_eq!(files(&reading), ["/srv/a"]);
}

#[test]
fn what_is_copied_has_the_mode_that_it_was_made_with() {
    let made = "t=$(mktemp); cat << EOF > \"${t}\"\na\nEOF\n";
    let mode = |rest: &str, at: &str| {
        let reading = followed(&format!("{made}{rest}"), &configured());
        let file = reading.facts.files[&path(at)].clone();
        assert_eq!(file.content, FileContent::Content("a\n".into()), "{rest}");
        file.mode.map(Mode::bits)
    };
    for rest in ["cp $t /srv/a", "ucf $t /srv/a; rm $t", "mv $t /srv/a", "umask 022; cp -p $t /srv/a"] {
        assert_eq!(mode(rest, "/srv/a"), Some(0o600), "{rest}");
    }
    // What is written anew has the mode of a new file, and what is there keeps its own.
    assert_eq!(mode("cat $t > /srv/a", "/srv/a"), None);
    assert_eq!(mode("touch /srv/a; chmod 640 /srv/a; cp $t /srv/a", "/srv/a"), Some(0o640));
    assert_eq!(mode("touch /srv/a; chmod 640 /srv/a; ucf $t /srv/a", "/srv/a"), Some(0o640));
}

#[test]
fn diff_says_whether_files_are_the_same() {
    let script = "cp /etc/p/a.conf /srv/new; if diff -q /etc/p/%.conf /srv/new >/dev/null 2>&1; then rm /srv/new; fi";
    assert!(files(&followed(&script.replace('%', "a"), &configured())).is_empty());
    assert_eq!(files(&followed(&script.replace('%', "b"), &configured())), ["/srv/new"]);
    assert_eq!(files(&followed(&script.replace('%', "none"), &configured())), ["/srv/new"]);
    let printed = postinst("diff /etc/p/a.conf /etc/p/b.conf > /srv/d || true", &configured());
    assert!(files(&printed).is_empty() && !printed.unfollowed.is_empty());
}

#[test]
fn what_matches_with_capitals_or_without_is_found() {
    let reading =
        followed("if grep -qi 'A=1' /etc/p/a.conf; then echo B=2 | sed 's/b/c/I' > /srv/x; fi", &configured());
    assert_eq!(reading.facts.files[&path("/srv/x")].content, FileContent::Content("c=2\n".into()));
}

#[test]
fn a_block_of_sed_prints_and_ends() {
    let world = Table::with(&[("/etc/p/db", "x\n  { \"VERSION: 7.3 $Id: db 5528 2023-07-31 $\",\ny\n")]);
    let script = "v=$(sed -n '/^[ {]*\"VERSION: *[^\"]*\"/{\n       s,^[ {]*\"VERSION: \\([1-9][./0-9]* [^\"]*\\)\".*$,\\1,p\n       q\n     }' /etc/p/db)\n\
                  r=$(echo \"$v\" | sed -n 's,^[^$]*\\$''Id: db \\([1-9][0-9]*\\) .*$,\\1,p')\n\
                  touch \"/srv/${v%% *}-$r\"";
    assert_eq!(files(&followed(script, &world)), ["/srv/7.3-5528"]);
}

#[test]
fn of_what_dpkg_says_of_a_package_state_and_version_are_known() {
    for (script, answer) in [
        ("dpkg -s there | sed -n 's/^Version: //p'", "2.0"),
        ("dpkg -s there | awk '/^Version:/ {print $2}'", "2.0"),
        ("if dpkg -s there | grep -q '^Status: .* installed$'; then echo y; fi", "y"),
        ("if dpkg -s other >/dev/null 2>&1; then echo y; else echo n; fi", "n"),
    ] {
        assert_eq!(files(&followed(&format!("touch /srv/$({script})"), &Table::default())), [format!("/srv/{answer}")]);
    }
    for script in ["dpkg -s there | sed -n 's/^Depends: //p'", "dpkg -l there | grep there"] {
        let reading = postinst(&format!("touch /srv/$({script})"), &Table::default());
        assert!(files(&reading).is_empty() && !reading.unfollowed.is_empty(), "{script}");
    }
}

#[test]
fn a_registered_question_has_the_answer_of_its_template() {
    let script = "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\ndb_register p/template p/own\ndb_get p/own\n\
                  touch /srv/$RET\ndb_register other/template p/second\ndb_get p/second\ntouch /srv/$RET\n\
                  db_get no/question || touch /srv/none\n";
    let scripts = Scripts {
        package: "p",
        version: "1",
        postinst: Some(script),
        templates: Some("Template: p/template\nType: string\nDefault: mine\n"),
        ..Scripts::default()
    };
    let reading = read(&scripts, &Table::default(), &Table::default());
    assert_eq!(files(&reading), ["/srv/mine", "/srv/none"]);
    assert!(reading.unfollowed.iter().any(|told| told.why.contains("the template `other/template`")), "{reading:?}");
}

#[test]
fn a_file_that_all_that_is_printed_goes_to_is_not_known() {
    for script in ["( exec > /srv/a; echo x )", "t=$(mktemp); ( exec > $t; echo x ); cp $t /srv/a || true"] {
        let reading = postinst(script, &Table::default());
        assert!(files(&reading).is_empty() && !reading.unfollowed.is_empty(), "{script}: {reading:?}");
    }
    followed("exec >/dev/null 2>&1; exec 3>&1; exec </dev/null; touch /srv/a", &Table::default());
}

#[test]
fn secrets_are_left_to_the_machine() {
    let reading = followed(
        "( umask 037 && dd if=/dev/urandom of=/etc/p/key bs=4096 count=1 )\nchgrp adm /etc/p/key\n\
         make-ssl-cert generate-default-snakeoil",
        &configured(),
    );
    assert!(files(&reading).is_empty());
    let job = reading.facts.first_boot.values().next().unwrap();
    assert_eq!(job.creates, path("/etc/p/key"));
    assert!(job.command.last().unwrap().contains("umask 0037") && job.command.last().unwrap().contains("chown"));
    let munge = followed("adduser --system --group munge\nsu munge -s /bin/sh -c 'mungekey -c'", &configured());
    assert_eq!(munge.facts.first_boot.values().next().unwrap().creates, path("/etc/munge/munge.key"));
    assert!(!postinst("dd if=/etc/p/a.conf of=/srv/a", &configured()).unfollowed.is_empty());
}

#[test]
fn features_of_icinga_are_links() {
    let world = Table::with(&[
        ("/etc/icinga2/features-available/checker.conf", "object\n"),
        ("/etc/icinga2/features-enabled/x", ""),
    ]);
    let reading = followed("icinga2 feature enable checker", &world);
    assert_eq!(
        reading.facts.links[&path("/etc/icinga2/features-enabled/checker.conf")],
        "../features-available/checker.conf"
    );
    assert!(!postinst("icinga2 node setup", &world).unfollowed.is_empty());
    assert!(!reading.outcomes.iter().any(|outcome| matches!(outcome.became, Became::Nothing(_))));
}

#[test]
fn what_the_hook_itself_says_of_units_counts() {
    let world = Table::with(&[
        ("/usr/lib/systemd/system/p.service", "[Install]\nWantedBy=multi-user.target\n"),
        ("/usr/lib/systemd/system/q.service", "[Install]\nWantedBy=multi-user.target\nAlso=q.socket\n"),
        ("/usr/lib/systemd/system/q.socket", "[Install]\nWantedBy=sockets.target\n"),
        ("/usr/lib/systemd/system/plain.service", "[Service]\nExecStart=/bin/true\n"),
    ]);
    let enable = |unit: &str| {
        format!("if deb-systemd-helper --quiet was-enabled {unit}; then deb-systemd-helper enable {unit}; fi\n")
    };
    let enabled = |script: &str| -> Vec<String> {
        followed(script, &world).facts.services.into_iter().filter(|(_, s)| s.enabled).map(|(unit, _)| unit).collect()
    };
    // Once it is known and its links are not there, it counts as disabled.
    assert!(enabled(&format!("deb-systemd-helper update-state p.service\n{}", enable("p.service"))).is_empty());
    assert_eq!(
        enabled(&format!("{}deb-systemd-helper update-state p.service\n{0}", enable("p.service"))),
        ["p.service"]
    );
    // With another unit, or without any link of its own, it is as enabled as can be.
    let both = format!("{}deb-systemd-helper update-state q.socket\n{}", enable("q.service"), enable("q.socket"));
    assert_eq!(enabled(&both), ["q.service", "q.socket"]);
    let plain = format!("deb-systemd-helper update-state plain.service\n{}", enable("plain.service"));
    assert_eq!(enabled(&plain), ["plain.service"]);
    let disabled = "if deb-systemd-helper debian-installed p.service; then deb-systemd-helper disable p.service; fi";
    assert!(enabled(&format!("{}{disabled}", enable("p.service"))).is_empty());
    let masked = followed("deb-systemd-helper mask p.service", &world);
    assert!(masked.facts.services["p.service"].masked);
}

#[test]
fn of_a_users_line_all_but_the_numbers_is_known() {
    let world = Table::with(&[("/usr/lib/sysusers.d/p.conf", "u p - \"The P\" /var/lib/p\nu q 5 \"Q\"\n")]);
    let script = "systemd-sysusers p.conf\ntouch /srv/$(basename $(getent passwd p | cut -d: -f6))\n\
                  if [ \"$(getent passwd q | cut -d: -f6)\" = / ]; then mkdir /srv/root; fi";
    let reading = followed(script, &world);
    assert_eq!(files(&reading), ["/srv/p"]);
    assert!(reading.facts.directories.contains_key(&path("/srv/root")));
    assert!(
        !postinst("systemd-sysusers p.conf\ntouch /srv/$(getent passwd p | cut -d: -f3)", &world).unfollowed.is_empty()
    );
}

proptest! {
    #[test]
    fn no_expression_of_find_panics_or_is_half_done(
        words in proptest::collection::vec(
            "(-type [fdl]|-name [ab*.]{1,4}|-o|-a|!|\\\\\\(|\\\\\\)|-empty|-prune|-print0?|-delete|-perm [-/]?[0-7]{1,4}|-exec touch /srv/x \\\\;|-mtime 1|-maxdepth [0-2])",
            0..6,
        ),
    ) {
        let reading = postinst(&format!("find /etc/p {}", words.join(" ")), &configured());
        // What a package ships is never removed without being told.
        let removes = reading.outcomes.iter().any(|o| matches!(&o.became, Became::Fact("removal", _)));
        prop_assert!(!removes || !reading.unfollowed.is_empty());
    }

    #[test]
    fn words_come_back_from_getopt_as_they_went_in(words in proptest::collection::vec("[a-z '\"$\\\\*]{0,6}", 0..4)) {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        let script = format!(
            "eval set -- \"$(getopt -o a -- -- {})\"\nshift\nfor w in \"$@\"; do printf '%s|' \"$w\"; done > /srv/w; touch /srv/w",
            quoted.join(" ")
        );
        let reading = postinst(&script, &Table::default());
        let wanted: String = words.iter().map(|word| format!("{word}|")).collect();
        prop_assert_eq!(&reading.facts.files[&path("/srv/w")].content, &FileContent::Content(wanted));
    }
}

#[test]
fn whether_somebody_is_in_a_table_of_accounts_is_known_where_the_table_is_not() {
    for (table, name, adds) in [("passwd", "scan", true), ("group", "scan", true), ("passwd", "root", false)] {
        let script = format!(
            "if ! getent {table} | grep -q '^{name}:'; then adduser --system --group --home /var/lib/s {name}; fi\n\
             if getent {table} | grep -q \"^{name}:\"; then mkdir /srv/there; fi"
        );
        let reading = followed(&script, &Table::default());
        assert_eq!(reading.facts.users.len(), usize::from(adds), "{script}");
        assert!(reading.facts.directories.contains_key(&path("/srv/there")), "{script}");
    }
    // Who is like somebody, or is not, is asked of the whole table.
    for asks in ["-q '^s'", "-qv '^root:'", "-q ':0:'"] {
        let script = format!("if getent passwd | grep {asks}; then mkdir /srv/a; fi");
        assert!(!postinst(&script, &Table::default()).unfollowed.is_empty(), "{asks}");
    }
}

#[test]
fn a_value_of_a_shipped_configuration_is_read_by_a_block_of_sed() {
    let world = Table::with(&[("/etc/d.conf", "# d\nfolder:  /var/lib/d\n")]);
    let script = "get() {\nvalue=$(sed --silent -e \"/^[[:blank:]]*${1}:/ { \\\n\ts#^[[:blank:]]*${1}:[[:blank:]]*## \\\n\
                  \tp\n\t}\" < /etc/d.conf | head -1)\nresult=${value:-$2}\n}\n\
                  get folder /nowhere\nmkdir -p $result\nget other /srv/other\ntouch $result";
    let reading = followed(script, &world);
    assert!(reading.facts.directories.contains_key(&path("/var/lib/d")));
    assert_eq!(files(&reading), ["/srv/other"]);
}

#[test]
fn a_home_is_made_with_the_files_of_the_skeleton_and_the_mode_that_is_set() {
    let skeleton = |settings| {
        Table::with(&[("/etc/skel/.profile", "x\n"), ("/etc/skel/.p", "-> .profile"), ("/etc/login.defs", settings)])
    };
    let script = "useradd --system --create-home --home-dir /var/lib/c c";
    for (settings, mode) in [("# HOME_MODE 1\nHOME_MODE\t0700\n", 0o700), ("UMASK 027\n", 0o750), ("\n", 0o755)] {
        let facts = followed(script, &skeleton(settings)).facts;
        let home = &facts.directories[&path("/var/lib/c")];
        let name = |name: &str| Some(name.parse().unwrap());
        assert_eq!((home.mode, &home.owner, &home.group), (Some(Mode::new(mode)), &name("c"), &name("c")));
        let profile = &facts.files[&path("/var/lib/c/.profile")];
        assert_eq!(profile.content, FileContent::Copy(path("/etc/skel/.profile")));
        assert_eq!((&profile.owner, &facts.links[&path("/var/lib/c/.p")][..]), (&name("c"), ".profile"));
    }
    let there = Table::with(&[("/var/lib/c/data", "x"), ("/etc/skel/.profile", "x")]);
    let facts = followed(script, &there).facts;
    assert!(facts.directories.is_empty() && facts.files.is_empty(), "what is there is left as it is");
    assert!(!postinst(script, &Table::default()).unfollowed.is_empty());
    // Without a group of its own, a user is of the one that useradd(8) gives.
    let user = followed("useradd --system -N c", &skeleton("")).facts.users.into_values().next().unwrap();
    let told = |path: Option<kiln_model::TreePath>| path.map(|path| path.to_string()).unwrap_or_default();
    assert_eq!(user.group, Some("users".parse().unwrap()));
    assert_eq!((told(user.home), told(user.shell)), ("/home/c".to_owned(), "/bin/sh".to_owned()));
}

#[test]
fn a_shipped_file_that_comes_out_as_it_was_is_not_changed() {
    // The mode of all that is in a table is 0755.
    let world = Table::with(&[("/etc/d", "run=no\n")]);
    for script in [
        "sed -e 's/^run=.*/run=no/' < /etc/d > /etc/d.tmp; chmod 755 /etc/d.tmp; mv -f /etc/d.tmp /etc/d",
        "echo run=no > /etc/d",
    ] {
        assert!(followed(script, &world).facts.files.is_empty(), "{script}");
    }
    for script in [
        "sed -e 's/^run=.*/run=yes/' < /etc/d > /etc/d.tmp; chmod 755 /etc/d.tmp; mv -f /etc/d.tmp /etc/d",
        "echo run=no > /etc/d.tmp; mv /etc/d.tmp /etc/d",
        "echo run=yes > /etc/d",
        "rm /etc/d; echo run=no > /etc/d",
    ] {
        assert!(!postinst(script, &world).unfollowed.is_empty(), "{script}");
    }
}
