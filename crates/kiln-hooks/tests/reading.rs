//! What scripts come to: each is a text, the image a table of paths, and nothing runs.

mod table;

use kiln_hooks::{Became, Reading, Scripts, read};
use kiln_model::TreePath;
use kiln_model::facts::{FileContent, Mode};
use proptest::prelude::*;
use table::Table;

fn postinst(script: &str, world: &Table) -> Reading {
    let script = format!("#!/bin/sh\nset -e\n{script}\n");
    let templates =
        "Template: p/answered\nType: string\nDefault: template\n\nTemplate: p/open\nType: boolean\nDefault: true\n";
    let scripts = Scripts {
        package: "p",
        version: "1",
        postinst: Some(&script),
        templates: Some(templates),
        ..Scripts::default()
    };
    read(&scripts, world, world)
}

fn followed(script: &str) -> Reading {
    let reading = postinst(script, &Table::default());
    assert_eq!(reading.unfollowed, [], "{script}");
    reading
}

fn path(text: &str) -> TreePath {
    TreePath::from_absolute(text).unwrap()
}

#[test]
fn what_a_script_makes_becomes_facts() {
    let world = Table::with(&[("/usr/share/p/conf", "a=1\n")]);
    let script = "\
        adduser --system --group --home /var/lib/p --gecos 'P daemon' --quiet p\n\
        install -d -o p -g adm -m 2750 /var/log/p\n\
        [ -e /etc/p.conf ] || cp /usr/share/p/conf /etc/p.conf\n\
        chmod 0640 /etc/p.conf; chown root:p /etc/p.conf\n\
        ln -sf /usr/share/p /srv/p\n\
        cat > /etc/default/p <<EOF\n\
RUN=yes\n\
EOF\n";
    let reading = postinst(script, &world);
    assert_eq!(reading.unfollowed, []);
    let facts = reading.facts;
    let user = &facts.users[&"p".parse::<kiln_model::name::AccountName>().unwrap()];
    assert_eq!((user.home.clone(), user.summary.as_deref()), (Some(path("/var/lib/p")), Some("P daemon")));
    assert_eq!(facts.directories[&path("/var/lib/p")].owner, Some("p".parse().unwrap()));
    let log = &facts.directories[&path("/var/log/p")];
    assert_eq!((log.mode, log.group.clone()), (Some(Mode::new(0o2750)), Some("adm".parse().unwrap())));
    let conf = &facts.files[&path("/etc/p.conf")];
    assert_eq!(conf.content, FileContent::Copy(path("/usr/share/p/conf")));
    assert_eq!((conf.mode, conf.group.clone()), (Some(Mode::new(0o640)), Some("p".parse().unwrap())));
    assert_eq!(facts.files[&path("/etc/default/p")].content, FileContent::Content("RUN=yes\n".to_owned()));
    assert_eq!(facts.links[&path("/srv/p")], "/usr/share/p");
}

#[test]
fn a_unit_that_was_never_disabled_is_enabled_and_one_that_was_never_installed_is_not() {
    let reading = followed(
        "if deb-systemd-helper --quiet was-enabled 'a.service'; then deb-systemd-helper enable 'a.service' >/dev/null || true; fi\n\
         if deb-systemd-helper debian-installed 'b.socket'; then deb-systemd-helper enable 'b.socket'; fi",
    );
    assert!(reading.facts.services["a.service"].enabled);
    assert!(!reading.facts.services.contains_key("b.socket"));
}

#[test]
fn only_what_a_fresh_installation_goes_through_counts() {
    let reading = followed(
        "case \"$1\" in configure) touch /etc/fresh;; *) touch /etc/other;; esac\n\
         if [ -n \"$2\" ]; then touch /etc/upgraded; fi\n\
         if dpkg --compare-versions \"$2\" lt-nl 1.0; then touch /etc/old; fi\n\
         if [ -d /run/systemd/system ]; then touch /etc/booted; fi\n\
         if dpkg-query -W there >/dev/null 2>&1; then touch /etc/there; fi",
    );
    let files: Vec<String> = reading.facts.files.keys().map(ToString::to_string).collect();
    assert_eq!(files, ["/etc/fresh", "/etc/there"]);
}

#[test]
fn a_condition_that_is_not_known_is_never_guessed() {
    let reading = postinst("if [ -e /proc/fs/x ]; then touch /etc/a; else touch /etc/b; fi", &Table::default());
    assert!(reading.facts.files.is_empty());
    assert_eq!((reading.unfollowed.len(), reading.unfollowed[0].place.line), (1, 3));
    assert!(reading.unfollowed[0].why.contains("of the machine"));
    // Where both ways come to the same it did not matter.
    followed("if [ -e /proc/fs/x ]; then invoke-rc.d p restart; else systemctl start p; fi");
    // A way that ends in failure was not gone.
    let reading = followed("if [ -e /proc/fs/x ]; then echo no >&2; exit 1; fi\ntouch /etc/after");
    assert!(reading.facts.files.contains_key(&path("/etc/after")));
    // After a way that may have ended the script nothing is certain.
    let reading = postinst("if [ -e /proc/fs/x ]; then exit 0; fi\ntouch /etc/after", &Table::default());
    assert!(reading.facts.files.is_empty() && reading.unfollowed.len() == 1);
}

#[test]
fn what_cannot_be_followed_is_told_with_its_line_and_reason() {
    for (script, why) in [
        ("frobnicate --all", "what `frobnicate` does is not known"),
        ("touch /etc/$(hostname)", "what `hostname` says is not known"),
        ("rm /usr/share/p/conf", "a package ships"),
        ("echo x >> /usr/share/p/conf", "a package ships"),
        ("false", "ends here with a failure"),
        ("exit 1", "ends here with a failure"),
        ("while true; do :; done", "without end"),
        ("if", "syntax"),
    ] {
        let reading = postinst(script, &Table::with(&[("/usr/share/p/conf", "a=1\n")]));
        assert!(reading.unfollowed.iter().any(|told| told.why.to_lowercase().contains(why)), "{script}: {reading:?}");
        assert!(reading.facts.is_empty(), "{script}");
    }
    let perl = Scripts { package: "p", postinst: Some("#!/usr/bin/perl\nunlink 'x';\n"), ..Scripts::default() };
    assert_eq!(read(&perl, &Table::default(), &Table::default()).unfollowed.len(), 1);
}

#[test]
fn debconf_answers_are_the_images_or_the_templates() {
    let reading = followed(
        ". /usr/share/debconf/confmodule\ndb_get p/answered; echo \"$RET\" > /etc/a\ndb_get p/open; [ \"$RET\" = true ] && touch /etc/b",
    );
    assert_eq!(reading.facts.files[&path("/etc/a")].content, FileContent::Content("image\n".to_owned()));
    assert!(reading.facts.files.contains_key(&path("/etc/b")) && reading.questions.contains("p/open"));
}

#[test]
fn the_account_says_what_became_of_every_command() {
    let reading = followed("ldconfig\ninvoke-rc.d p start\ndpkg-trigger --no-await x\nmkdir -p /var/lib/p");
    let became: Vec<&Became> = reading.outcomes.iter().map(|outcome| &outcome.became).collect();
    assert!(matches!(
        became[..],
        [Became::Finalizer("ld.so.cache"), Became::Nothing(_), Became::Trigger(_), Became::Fact("directory", _), ..]
    ));
    assert!(reading.triggers.contains("x"));
}

#[test]
fn alternatives_diversions_and_overrides_become_facts() {
    let world = Table::with(&[("/usr/bin/p", "#!"), ("/usr/sbin/q", "#!")]);
    let reading = postinst(
        "update-alternatives --install /usr/bin/x x /usr/bin/p 50 --slave /usr/share/x x.1 /usr/share/p.1\n\
         dpkg-divert --package p --add --rename --divert /usr/bin/y.real /usr/bin/y\n\
         dpkg-statoverride --list /usr/sbin/q >/dev/null || dpkg-statoverride --update --add root adm 4750 /usr/sbin/q",
        &world,
    );
    assert_eq!(reading.unfollowed, []);
    assert_eq!(reading.facts.alternatives[&path("/usr/bin/x")].slaves.len(), 1);
    assert_eq!(reading.facts.diversions[&path("/usr/bin/y")].to, path("/usr/bin/y.real"));
    assert_eq!(reading.facts.permissions[&path("/usr/sbin/q")].mode, Some(Mode::new(0o4750)));
}

#[test]
fn a_command_as_another_user_makes_what_is_that_users() {
    let reading = followed(
        "adduser --system --group --home /srv/u u\nsu -s /bin/sh -c 'mkdir /srv/u/a; touch /srv/u/a/b' u\nrunuser -u u -- mkdir /srv/u/c\nsu - root -c 'mkdir /srv/d'",
    );
    for made in ["/srv/u/a", "/srv/u/c"] {
        let directory = &reading.facts.directories[&path(made)];
        let names = (directory.owner.as_ref().unwrap().as_str(), directory.group.as_ref().unwrap().as_str());
        assert_eq!(names, ("u", "u"), "{made}");
    }
    assert_eq!(reading.facts.files[&path("/srv/u/a/b")].owner.as_ref().unwrap().as_str(), "u");
    assert_eq!(reading.facts.directories[&path("/srv/d")].owner, None);
    let stranger = postinst("su somebody -c 'mkdir /srv/x'", &Table::default());
    assert!(stranger.unfollowed[0].why.contains("in which group `somebody` is"), "{stranger:?}");
}

#[test]
fn words_of_a_list_become_arguments() {
    let reading = followed("printf 'a b\\n c' | xargs -r mkdir -p\nprintf '' | xargs -r mkdir");
    assert!(reading.facts.directories.contains_key(&path("/a")) && reading.facts.directories.contains_key(&path("/c")));
    let unknown = postinst("cat /proc/words | xargs -r mkdir", &Table::default());
    assert!(!unknown.unfollowed.is_empty());
}

#[test]
fn alternatives_and_shells_are_asked_and_made() {
    let reading = followed(
        "if ! update-alternatives --query x | grep -q y; then update-alternatives --install /usr/bin/x x /usr/bin/y 1; fi\nadd-shell /usr/bin/fish",
    );
    assert!(reading.facts.alternatives.contains_key(&path("/usr/bin/x")));
    assert!(reading.facts.shells.contains(&path("/usr/bin/fish")));
    let cut = followed(
        "test \"$(echo conf.d/a | cut -b -7)\" = conf.d/ && touch /a\ntest \"$(echo abc | cut -c2-3)\" = bc && touch /b",
    );
    assert!(cut.facts.files.contains_key(&path("/a")) && cut.facts.files.contains_key(&path("/b")));
}

#[test]
fn the_account_says_no_more_than_what_is_left_in_the_end() {
    let reading = followed("touch /etc/a; rm /etc/a; touch /tmp/b");
    let nothing =
        |line: usize| reading.outcomes.iter().any(|o| o.place.line == line && matches!(o.became, Became::Nothing(_)));
    assert!(
        nothing(3) && !reading.outcomes.iter().any(|outcome| matches!(outcome.became, Became::Fact(..))),
        "{reading:?}"
    );
    // Of a condition that is not known neither way is gone.
    let both = postinst("if test -e /proc/x; then touch /etc/a; else touch /etc/b; fi", &Table::default());
    assert!(!both.unfollowed.is_empty());
    assert!(!both.outcomes.iter().any(|outcome| matches!(outcome.became, Became::Fact(..))), "{both:?}");
}

#[test]
fn what_is_not_followed_leaves_what_comes_before_and_after_it() {
    let text = "touch /etc/a\nfrobnicate\ntouch /etc/b\nfalse\ntouch /etc/c\nif true; then exit 1; touch /etc/d; fi\ntouch /etc/e";
    let reading = postinst(text, &Table::default());
    let files: Vec<String> = reading.facts.files.keys().map(ToString::to_string).collect();
    assert_eq!(files, ["/etc/a", "/etc/b", "/etc/c", "/etc/e"]);
    let lines: Vec<usize> = reading.unfollowed.iter().map(|told| told.place.line).collect();
    assert_eq!(lines, [4, 6, 8], "{:?}", reading.unfollowed);
}

#[test]
fn a_file_that_may_be_moved_or_removed_is_not_left_behind() {
    let table = || Table::with(&[("/usr/share/p/conf", "a=1\n")]);
    let made = "cp /usr/share/p/conf /etc/p.conf-new; mkdir /etc/p.d\n";
    for (rest, why) in [
        // Compared with what a machine has, and then one or the other.
        ("if frobnicate; then rm -f /etc/p.conf-new; else mv /etc/p.conf-new /etc/p.conf; fi", "which way"),
        ("if frobnicate; then exit 0; fi; rm /etc/p.conf-new /etc/p.d", "whether the hook gets here"),
        ("frobnicate /etc/p.conf-new /etc/p.d", "what `frobnicate` does"),
        ("frobnicate >> /etc/p.conf-new", "what it writes"),
    ] {
        let reading = postinst(&format!("{made}{rest}"), &table());
        assert_eq!(reading.facts.files.keys().collect::<Vec<_>>(), Vec::<&TreePath>::new(), "{rest}");
        assert!(reading.facts.directories.contains_key(&path("/etc/p.d")), "{rest}");
        let told = reading.outcomes.iter().find(|outcome| outcome.command.starts_with("cp ")).unwrap();
        assert_eq!(told.became, Became::Nothing("what is left there in the end is not known"), "{rest}");
        for said in [why, "what it leaves in `/etc/p.conf-new` is not known"] {
            assert!(reading.unfollowed.iter().any(|told| told.why.contains(said)), "{said}: {:?}", reading.unfollowed);
        }
    }
    // What a way only closes is there all the same.
    let closed = postinst(&format!("{made}if frobnicate; then chmod 0600 /etc/p.conf-new; fi"), &table());
    assert!(closed.facts.files.contains_key(&path("/etc/p.conf-new")));
}

#[test]
fn an_answer_that_only_one_way_of_config_sets_is_not_known() {
    let templates = "Template: p/manual\nType: boolean\nDefault: false\n";
    let read = |config: &str| {
        let config = format!("#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\n{config}\n");
        let postinst = "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\ndb_get p/manual\n\
                        if [ \"$RET\" = true ]; then touch /etc/manual; else touch /etc/made; fi\n";
        let scripts = Scripts {
            package: "p",
            version: "1",
            config: Some(&config),
            postinst: Some(postinst),
            templates: Some(templates),
            ..Scripts::default()
        };
        kiln_hooks::read(&scripts, &Table::default(), &Table::default())
    };
    for config in [
        "if [ -e /proc/x ]; then exit 0; fi\ndb_set p/manual true",
        "f() { while true; do if [ -e /proc/x ]; then exit 0; fi; db_set p/manual true; break; done; }\nf",
        "if [ -e /proc/x ]; then db_set p/manual true; fi",
    ] {
        let reading = read(config);
        assert!(reading.facts.files.is_empty() && !reading.unfollowed.is_empty(), "{config}: {reading:?}");
    }
    assert!(read("db_set p/manual true").facts.files.contains_key(&path("/etc/manual")));
    assert!(read("").facts.files.contains_key(&path("/etc/made")));
}

#[test]
fn a_list_that_fails_inside_of_a_condition_ends_nothing() {
    let reading = followed(
        "if true; then false && touch /etc/a; fi\nfor x in 1; do [ -e /etc/no ] && rm /etc/no; done\ntouch /etc/b",
    );
    assert!(reading.facts.files.contains_key(&path("/etc/b")));
    // What a subshell ends with counts, and so does what a function ends with.
    for script in ["( false )", "f() { false && true; }\nf", "true | false"] {
        let reading = postinst(script, &Table::default());
        assert!(reading.unfollowed.iter().any(|told| told.why.contains("failure")), "{script}");
    }
}

#[test]
fn what_is_in_doubt_is_certain_again_where_the_ways_meet() {
    for script in [
        "f() { if [ -e /proc/x ]; then return 0; fi; v=1; }\nf\ntouch /etc/after",
        "for x in a b; do if [ -e /proc/x ]; then break; fi; v=1; done\ntouch /etc/after",
        "( if [ -e /proc/x ]; then exit 0; fi; v=1 )\ntouch /etc/after",
    ] {
        let reading = followed(script);
        assert!(reading.facts.files.contains_key(&path("/etc/after")), "{script}");
    }
    // What only one of the ways sets, prints or makes is not known.
    for script in [
        "v=0\nf() { if [ -e /proc/x ]; then return 0; fi; v=1; }\nf\ntouch /etc/$v",
        "f() { if [ -e /proc/x ]; then return 0; fi; echo 1; }\ntouch /etc/$(f)",
        "f() { if [ -e /proc/x ]; then return 0; fi; touch /etc/a; }\nf",
        "f() { if [ -e /proc/x ]; then return 1; fi; return 0; }\nif f; then touch /etc/a; fi",
        "if ( if [ -e /proc/x ]; then exit 0; fi; false ); then touch /etc/a; fi",
        "f() { if [ -e /proc/x ]; then exit 0; fi; }\nf\ntouch /etc/a",
    ] {
        let reading = postinst(script, &Table::default());
        assert!(reading.facts.files.is_empty() && !reading.unfollowed.is_empty(), "{script}: {reading:?}");
    }
}

#[test]
fn words_are_split_where_the_script_says() {
    let reading = followed(
        "list=lpd,usb; IFS=,; for x in $list; do touch /etc/$x; done; unset IFS\n\
         echo a:b:c | while IFS=: read -r one rest; do touch /etc/$one-$rest; done\n\
         IFS=:; set -- $(echo 'x::y z'); touch /etc/$#-$3",
    );
    let files: Vec<String> = reading.facts.files.keys().map(ToString::to_string).collect();
    assert_eq!(files, ["/etc/3-y z", "/etc/a-b:c", "/etc/lpd", "/etc/usb"]);
}

#[test]
fn fields_of_lines_are_those_that_awk_prints() {
    let world = Table::with(&[("/etc/p.conf", "# c\nUser daemon\nGroup  adm\n")]);
    let reading = postinst("for x in $(awk '/^User/ {print $2}' /etc/p.conf); do touch /etc/$x; done", &world);
    assert!(reading.unfollowed.is_empty() && reading.facts.files.contains_key(&path("/etc/daemon")), "{reading:?}");
    let other = postinst("touch /etc/$(awk '{ print substr($1, 2) }' /etc/p.conf)", &world);
    assert!(!other.unfollowed.is_empty() && other.facts.files.is_empty());
}

#[test]
fn new_files_have_the_mode_that_umask_leaves_them() {
    let world = Table::with(&[("/usr/share/p/conf", "a=1\n")]);
    let reading = postinst(
        "( umask 077; echo x > /etc/a; mkdir /var/lib/p; cp /usr/share/p/conf /etc/c )\necho x > /etc/b\nold=$(umask); umask 027; umask $old; touch /etc/d",
        &world,
    );
    assert_eq!(reading.unfollowed, []);
    let mode = |at: &str| reading.facts.files[&path(at)].mode;
    assert_eq!((mode("/etc/a"), mode("/etc/b")), (Some(Mode::new(0o600)), None));
    assert_eq!((mode("/etc/c"), mode("/etc/d")), (Some(Mode::new(0o700)), None));
    assert_eq!(reading.facts.directories[&path("/var/lib/p")].mode, Some(Mode::new(0o700)));
}

#[test]
fn a_key_is_made_by_the_machine_at_its_first_boot() {
    let reading = followed(
        "adduser --system --group --no-create-home p\nmkdir -p /etc/p\n\
         [ -e /etc/p/cookie ] || ( umask 077; openssl rand -base64 -out /etc/p/cookie 42 )\n\
         uid=$(ls -ln /etc/p/cookie | awk '{print $3}'); if [ \"$uid\" = 0 ]; then chown p /etc/p/cookie; fi\n\
         chmod 0400 /etc/p/cookie; deb-systemd-helper enable p.service",
    );
    let job = &reading.facts.first_boot["p-cookie"];
    let text =
        "umask 0077 && openssl rand -base64 -out /etc/p/cookie 42 && chown p /etc/p/cookie && chmod 0400 /etc/p/cookie";
    assert_eq!(job.command, ["/bin/sh", "-c", text]);
    assert_eq!((&job.creates, job.before.len()), (&path("/etc/p/cookie"), 1));
    assert!(!reading.facts.files.contains_key(&path("/etc/p/cookie")));
    assert!(reading.outcomes.iter().any(|o| matches!(&o.became, Became::Fact("first-boot", _))));
    // Its content is nothing that anything else of the image can be made from, and one that is taken back is not made.
    assert!(!postinst("openssl rand -out /etc/k 4; cp /etc/k /etc/l", &Table::default()).unfollowed.is_empty());
    assert!(followed("openssl rand -out /etc/k 4; rm /etc/k").facts.first_boot.is_empty());
}

#[test]
fn what_does_not_last_may_go_either_way() {
    let reading = followed(
        "f=$(mktemp); if [ -e /proc/x ]; then echo a > $f; else rm $f; fi\n\
         if grep -q b /var/lib/ucf/hashfile; then md5sum /etc/p >> /var/lib/ucf/hashfile; fi\ntouch /etc/after",
    );
    assert!(reading.facts.files.contains_key(&path("/etc/after")));
    // What is made of it is not known.
    let reading = postinst(
        "if [ -e /proc/x ]; then echo a > /tmp/f; else echo b > /tmp/f; fi\ncp /tmp/f /etc/f",
        &Table::default(),
    );
    assert!(reading.facts.files.is_empty() && !reading.unfollowed.is_empty(), "{reading:?}");
}

#[test]
fn backslashes_between_backquotes_are_taken_away_once() {
    let reading = followed("v=`echo 'a.b' | sed 's/\\\\./-/'`; touch /etc/$v\nw=\"`echo \\\"x\\\"`\"; touch /etc/$w");
    let files: Vec<String> = reading.facts.files.keys().map(ToString::to_string).collect();
    assert_eq!(files, ["/etc/a-b", "/etc/x"]);
}

#[test]
fn what_every_machine_answers_alike_is_known() {
    let reading = followed(
        "touch /etc/$(uname -s)-$(uname -m)\nadduser --system p; chsh -s /bin/sh p\nmkdir --parent /var/lib/p/q\n\
         printf 'a\\nb c\\n' | xargs -I{} touch '/etc/x {}'",
    );
    assert!(reading.facts.files.contains_key(&path("/etc/Linux-x86_64")));
    assert!(reading.facts.files.contains_key(&path("/etc/x b c")), "{reading:?}");
    assert!(reading.facts.directories.contains_key(&path("/var/lib/p/q")));
    let user = &reading.facts.users[&"p".parse::<kiln_model::name::AccountName>().unwrap()];
    assert_eq!(user.shell, Some(path("/bin/sh")));
    assert!(!postinst("touch /etc/$(uname -r)", &Table::default()).unfollowed.is_empty());
}

#[test]
fn a_file_that_is_what_the_package_ships_is_not_changed() {
    let world = Table::with(&[("/usr/share/p/conf", "a=1\n"), ("/etc/p.conf", "a=1\n"), ("/etc/q.conf", "a=2\n")]);
    assert_eq!(postinst("ucf --three-way /usr/share/p/conf /etc/p.conf", &world).unfollowed, []);
    assert_eq!(postinst("ucf --three-way /usr/share/p/conf /etc/q.conf", &world).unfollowed.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_script_makes_it_panic_or_goes_on_for_ever(
        script in "((if|then|fi|for x in|do|done|case|esac|while|true|\\[ -e /a \\]|touch|rm|cp|\\$1|\\$\\(|\\)|\\{|\\}|\"|'|;|\\||&&|>|<<E|/etc/a|sed s/a/b/|\n) ?){0,25}"
    ) {
        let _ = postinst(&script, &Table::default());
    }
}

#[test]
fn what_a_login_group_is_says_the_user_that_the_hook_makes() {
    let world = Table::with(&[("/var/lib/p/state", ""), ("/var/lib/q/state", "")]);
    let reading = postinst(
        "adduser --system --no-create-home one\nadduser --system --group --no-create-home two\n\
         chown one: /var/lib/p\nchown two: /var/lib/q",
        &world,
    );
    assert_eq!(reading.unfollowed, []);
    let group = |path: &str| {
        let path = TreePath::from_absolute(path).unwrap();
        let permission = reading.facts.permissions.get(&path).or_else(|| reading.elsewhere.get(&path)).unwrap();
        permission.group.as_ref().unwrap().to_string()
    };
    assert_eq!((group("/var/lib/p"), group("/var/lib/q")), ("nogroup".to_owned(), "two".to_owned()));
}

#[test]
fn the_files_of_a_package_are_those_that_it_ships() {
    let world = Table::with(&[("/usr/share/p/man/man1/a.1.gz", "a"), ("/usr/share/p/man/man7/B.7.gz", "b")]);
    let script = "MANS=$(dpkg -L there absent 2>/dev/null | grep -E 'man/.*\\.[1-9](\\.gz)?$' | grep -v a.1.gz) || true\n\
                  SLAVES=$(for man in $MANS; do T=$(echo $man | sed -e 's/p\\/man/man/'); \
                  echo -n \" --slave $T ${man##*/} $man\"; done)\n\
                  update-alternatives --install /usr/share/man/man1/a.1.gz a.1.gz /usr/share/p/man/man1/a.1.gz 10 $SLAVES";
    let reading = postinst(script, &world);
    assert_eq!(reading.unfollowed, []);
    let alternative = reading.facts.alternatives.values().next().unwrap();
    let slaves: Vec<String> = alternative.slaves.iter().map(|(at, slave)| format!("{at} {}", slave.to)).collect();
    assert_eq!(slaves, ["/usr/share/man/man7/B.7.gz /usr/share/p/man/man7/B.7.gz"]);
}

#[test]
fn a_module_of_apache_is_enabled_with_what_it_depends_on() {
    let world = Table::with(&[
        ("/etc/apache2/mods-available/auth_basic.load", "# Depends: authn_core\nLoadModule auth_basic_module x\n"),
        ("/etc/apache2/mods-available/authn_core.load", "LoadModule authn_core_module x\n"),
        ("/etc/apache2/mods-available/one.load", "# Conflicts: authn_core\n"),
        ("/etc/apache2/mods-available/status.load", ""),
        ("/etc/apache2/mods-available/status.conf", ""),
        ("/etc/apache2/sites-available/000-default.conf", ""),
    ]);
    let script =
        "a2enmod -m -q auth_basic\na2enmod -q status\na2ensite 000-default\na2enmod absent || a2enmod one || true";
    let reading = postinst(script, &world);
    assert_eq!(reading.unfollowed, []);
    let links: Vec<String> = reading.facts.links.iter().map(|(at, target)| format!("{at} {target}")).collect();
    assert_eq!(
        links,
        [
            "/etc/apache2/mods-enabled/auth_basic.load ../mods-available/auth_basic.load",
            "/etc/apache2/mods-enabled/authn_core.load ../mods-available/authn_core.load",
            "/etc/apache2/mods-enabled/status.conf ../mods-available/status.conf",
            "/etc/apache2/mods-enabled/status.load ../mods-available/status.load",
            "/etc/apache2/sites-enabled/000-default.conf ../sites-available/000-default.conf",
        ]
    );
}

#[test]
fn dictionaries_for_postgresql_are_those_of_hunspell_that_need_no_conversion() {
    let utf8 = [
        ("/usr/share/hunspell/en_US.aff", "SET UTF-8\n"),
        ("/usr/share/hunspell/en_US.dic", "1\na\n"),
        ("/usr/share/hunspell/alone.aff", "SET UTF-8\n"),
        ("/usr/lib/postgresql/17/bin/psql", ""),
        ("/usr/share/postgresql/17/tsearch_data/english.stop", ""),
    ];
    let reading = postinst("pg_updatedicts", &Table::with(&utf8));
    assert_eq!(reading.unfollowed, []);
    let files: Vec<String> = reading.facts.files.keys().map(ToString::to_string).collect();
    assert_eq!(files, ["/var/cache/postgresql/dicts/en_us.affix", "/var/cache/postgresql/dicts/en_us.dict"]);
    let links: Vec<&str> = reading.facts.links.keys().map(TreePath::as_str).collect();
    assert_eq!(
        links,
        ["usr/share/postgresql/17/tsearch_data/en_us.affix", "usr/share/postgresql/17/tsearch_data/en_us.dict"]
    );
    let latin = [("/usr/share/hunspell/de.aff", "SET ISO8859-1\n"), ("/usr/share/hunspell/de.dic", "1\na\n")];
    assert_eq!(postinst("pg_updatedicts", &Table::with(&latin)).unfollowed.len(), 1);
}
