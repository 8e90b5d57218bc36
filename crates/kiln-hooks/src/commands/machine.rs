//! Programs that make what no two machines may share: keys, cookies, certificates. An image holds none of it: the machine
//! runs the same program at its first boot, and gives the files to whom the hook gives them.

use super::files::{directories, place};
use super::options::Options;
use super::{Call, Done, Outcome, stuck};
use crate::account::Became;
use crate::evaluate::Evaluator;
use crate::state::{Job, Made, MadeKind};
use crate::value::{Status, Value};

/// `openssl`, where it makes a key or a certificate; what else it says is not known.
pub(super) fn openssl(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let after = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
    let files: Vec<&str> = ["-out", "-keyout"].iter().filter_map(|name| after(name)).collect();
    if files.is_empty() {
        return Done::unknown("what `openssl` says is not known");
    }
    let makes = ["rand", "genrsa", "gendsa", "genpkey", "dhparam", "req", "ecparam"];
    if !words.first().is_some_and(|first| makes.contains(first)) {
        return stuck("what `openssl` changes is not known");
    }
    made(evaluator, call, &words, &files)
}

/// `rndc-confgen -a`: the key that controls a name server.
pub(super) fn rndc_confgen(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let known = ["-a", "-q", "-A=", "-b=", "-c=", "-k=", "-p=", "-s=", "-t=", "-u="];
    let options = Options::read(&words, &known)?;
    if !options.has(&["-a"]) {
        return Done::unknown("a key is of a machine, not of the image");
    }
    made(evaluator, call, &words, &[options.get(&["-c"]).unwrap_or("/etc/bind/rndc.key")])
}

/// `nsd-control-setup`, `unbound-control-setup`: keys and certificates of both ends.
pub(super) fn control_setup(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, &["-d=", "-r"])?;
    let server = call.name.trim_end_matches("-control-setup");
    let folder = options.get(&["-d"]).map_or_else(|| format!("/etc/{server}"), str::to_owned);
    let files: Vec<String> = [format!("{server}_server"), format!("{server}_control")]
        .iter()
        .flat_map(|name| [format!("{folder}/{name}.key"), format!("{folder}/{name}.pem")])
        .collect();
    made(evaluator, call, &words, &files.iter().map(String::as_str).collect::<Vec<_>>())
}

/// `ssh-keygen -f FILE`: a key and its public half.
pub(super) fn ssh_keygen(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, &["-q", "-f=", "-N=", "-t=", "-b=", "-C=", "-m=", "-o"])?;
    let Some(file) = options.get(&["-f"]) else { return stuck("this use of `ssh-keygen` is not followed") };
    let public = format!("{file}.pub");
    made(evaluator, call, &words, &[file, &public])
}

/// `dd if=/dev/urandom of=FILE`: a secret. What else `dd` copies is not followed.
pub(super) fn dd(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    match (value("if"), value("of")) {
        (_, None) => Done::unknown("what `dd` copies is not known"),
        (Some("/dev/urandom" | "/dev/random"), Some(file)) => made(evaluator, call, &words, &[file]),
        (_, Some(file)) => stuck(format!("what `dd` writes to `{file}` is not known")),
    }
}

/// `mungekey --create`: the key that the machines of a cluster share.
pub(super) fn mungekey(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let known = ["-c", "--create", "-b=", "--bits=", "-k=", "--keyfile=", "-f", "--force", "-v", "--verbose"];
    let options = Options::read(&words, &known)?;
    if !options.has(&["-c", "--create"]) {
        return stuck("this use of `mungekey` is not followed");
    }
    made(evaluator, call, &words, &[options.get(&["-k", "--keyfile"]).unwrap_or("/etc/munge/munge.key")])
}

/// `xrdp-keygen xrdp [FILE]`: the key of a server of remote desktops.
pub(super) fn xrdp_keygen(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let file = match words[..] {
        ["xrdp"] | ["xrdp", "auto"] | ["xrdp", "auto", _] => "/etc/xrdp/rsakeys.ini",
        ["xrdp", file] | ["xrdp", file, _] => file,
        _ => return stuck("this use of `xrdp-keygen` is not followed"),
    };
    made(evaluator, call, &words, &[file])
}

/// `dropbearkey -t KIND -f FILE`: a key of a host. What it prints is its public half.
pub(super) fn dropbearkey(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, &["-t=", "-f=", "-s=", "-C=", "-y"])?;
    let (Some(file), false) = (options.get(&["-f"]), options.has(&["-y"])) else {
        return Done::unknown("a key is of a machine, not of the image");
    };
    let done = made(evaluator, call, &words, &[file])?;
    Ok(Done { output: Value::unknown("a key is of a machine, not of the image"), ..done })
}

/// Courier's certificates, which each server signs for itself.
pub(super) fn courier_certificate(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let file = match call.name {
        "mkimapdcert" => "/etc/courier/imapd.pem",
        "mkpop3dcert" => "/etc/courier/pop3d.pem",
        _ => "/etc/courier/esmtpd.pem",
    };
    made(evaluator, call, &words, &[file])
}

/// `make-ssl-cert generate-default-snakeoil`: the certificate that a machine signs for itself, which its package, ssl-cert,
/// leaves out of every image. Another certificate is not followed.
pub(super) fn make_ssl_cert(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    if !words.contains(&"generate-default-snakeoil") {
        return stuck("which certificate `make-ssl-cert` makes is not followed");
    }
    evaluator.note(Became::Nothing("a certificate that a machine signs for itself is none of an image"));
    Done::quietly()
}

/// Leaves it to the machine to make files, the first of which says whether it is done. One that is there already is left.
fn made(evaluator: &mut Evaluator<'_>, call: &Call<'_>, words: &[&str], files: &[&str]) -> Outcome {
    let [first, ..] = files else { return Done::quietly() };
    let creates = place(evaluator, first)?;
    if evaluator.seen(first, true).is_some() {
        return stuck(format!("it changes `{creates}`"));
    }
    let program = super::path_of(evaluator, call.name).unwrap_or_else(|| call.name.to_owned());
    let command = std::iter::once(program).chain(words.iter().map(|word| (*word).to_owned())).collect();
    let summary = format!("{creates}, which no two machines share");
    let job = Job { command, summary, umask: evaluator.state.umask };
    for file in files {
        let path = place(evaluator, file)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.is_root()) {
            directories(evaluator, &folder.to_string())?;
        }
        let kind = MadeKind::OfMachine(creates.clone());
        evaluator.effect(Became::Fact("first-boot", path.to_string()), |effects| {
            effects.made.insert(path.clone(), Made::new(kind));
        });
    }
    // In doubt neither the files nor the job are there.
    if evaluator.state.effects.made.contains_key(&creates) {
        evaluator.state.effects.jobs.insert(creates, job);
    }
    Ok(Done { status: Status::SUCCESS, output: Value::empty() })
}
