//! The examples as a stranger tries them: from the distribution's own archive, by the machine's own apt configuration.
//! Without a mirror these fail; they do not skip.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KILN: &str = env!("CARGO_BIN_EXE_kiln");

/// A copy of an example in a Git repository of its own, with a store of its own.
struct Example {
    folder: tempfile::TempDir,
}

impl Example {
    fn new(name: &str) -> Self {
        let example = Self::empty();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
        copy(&source, &example.project());
        fs::write(example.project().join(".gitignore"), "/out/\n").unwrap();
        example.git(&["init", "--quiet"]);
        example.commit();
        example.bring_the_lock_up_to_date();
        example
    }

    fn empty() -> Self {
        let folder = tempfile::Builder::new().prefix("kiln-example-").tempdir().unwrap();
        for name in ["home", "store", "project"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// The mirror may have lost what the example pins. Then the test goes on with what there is now, and says so.
    fn bring_the_lock_up_to_date(&self) {
        let fetched = self.kiln(&["build"]);
        if fetched.0 {
            return;
        }
        let text = fetched.2;
        let known = ["kiln lock", "the archive has moved on"].iter().any(|hint| text.contains(hint));
        assert!(known, "{text}");
        eprintln!("the example's lock is behind the mirror; going on with `kiln lock --update`:\n{text}");
        let moved = self.kiln(&["lock", "--update"]);
        assert!(moved.0, "{}", moved.2);
        self.commit();
        let built = self.kiln(&["build"]);
        assert!(built.0, "{}", built.2);
    }

    fn surround(&self, command: &mut Command) {
        command
            .current_dir(self.project())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.folder.path().join("home"))
            .env("KILN_STORE", self.folder.path().join("store"))
            .stdin(Stdio::null());
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        self.surround(&mut git);
        let identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"];
        assert!(git.args(identity).args(arguments).status().unwrap().success(), "git {arguments:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=example"]);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(KILN);
        self.surround(&mut command);
        command.args(arguments);
        command
    }

    /// Did it do its job, and what did it print and say?
    fn kiln(&self, arguments: &[&str]) -> (bool, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs the image with its port on any port here.
    fn serve(&self, container_port: u16) -> Served {
        let mut command = self.command(&["run", "--publish", &format!("0:{container_port}")]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut served = Served { child, port: 0 };
        let mut said = BufReader::new(served.child.stderr.take().unwrap());
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended: {all}");
            all.push_str(&line);
            if let Some((_, rest)) = line.split_once("127.0.0.1:").filter(|_| line.contains("Running")) {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                // Whoever logs must not block on a full pipe.
                std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
                served.port = digits.parse().unwrap();
                return served;
            }
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+rwX"]).arg(self.folder.path()).stderr(Stdio::null()).status();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            if name != "out" {
                copy(&entry.path(), &target);
            }
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

struct Served {
    child: Child,
    port: u16,
}

impl Served {
    /// Connects; a service needs a moment.
    fn connect(&self) -> TcpStream {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                    return stream;
                }
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The whole answer to a request.
    fn ask(&self, headers: &str) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let mut stream = self.connect();
            let mut answer = Vec::new();
            let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
            let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
            if asked.is_ok() && !answer.is_empty() {
                return String::from_utf8_lossy(&answer).into_owned();
            }
            assert!(Instant::now() < until, "{asked:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops it as Ctrl-C does; gives its exit code.
    fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let until = Instant::now() + Duration::from_secs(30);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it does not stop");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_new_project_builds_and_runs_at_once() {
    let example = Example::empty();
    let (done, _, said) = example.kiln(&["init"]);
    assert!(done && said.contains("kiln run"), "{said}");
    let served = example.serve(8080);
    let answer = served.ask("");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("<h1>project</h1>"), "{answer}");
    served.stop();
    assert!(example.project().join("kiln.lock").is_file());
}

#[test]
fn the_smallest_image_serves_its_page() {
    let example = Example::new("static-busybox");
    let served = example.serve(8080);
    let answer = served.ask("");
    let page = fs::read_to_string(example.project().join("files/index.html")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&page), "{answer}");
    served.stop();
    let size: u64 = layers(&example.project().join("out/httpd.oci"));
    assert!(size < 5_000_000, "{size} bytes is not small");
}

/// The bytes of all blobs of a layout.
fn layers(layout: &Path) -> u64 {
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap();
    blobs.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn nginx_from_source_refuses_plain_http_and_answers_what_came_over_https() {
    let example = Example::new("nginx-prod");
    let served = example.serve(8080);
    let refused = served.ask("");
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let body = refused.split_once("\r\n\r\n").unwrap().1;
    assert!(body.to_lowercase().contains("https"), "the body says why: {refused}");
    let page = served.ask("X-Forwarded-Proto: https\r\n");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<h1>nginx-prod</h1>"), "{page}");
    assert_eq!(served.stop(), Some(0));

    // Nothing that nginx does not need is in the image.
    let (done, files, said) = example.kiln(&["show", "web", "--files"]);
    assert!(done, "{said}");
    let names: Vec<&str> = files.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert!(names.iter().any(|name| name.ends_with("usr/sbin/nginx")), "{files}");
    for unwanted in ["/sh", "/bash", "/dash", "/dpkg", "/apt", "/perl", "/gcc"] {
        let found = names.iter().find(|name| name.contains("bin/") && name.ends_with(unwanted));
        assert_eq!(found, None, "in the image");
    }
    let (done, _, said) = example.kiln(&["run", "--publish", "0:8080", "--", "/usr/sbin/nginx", "-V"]);
    assert!(done && said.contains("nginx version: nginx/"), "{said}");
    // Nothing changed: nothing is done.
    let (done, _, said) = example.kiln(&["build", "--offline"]);
    assert!(done && !said.contains("Building") && !said.contains("Composing"), "{said}");
}

#[test]
fn postgres_answers_a_query() {
    let example = Example::new("postgres");
    let served = example.serve(5432);
    let until = Instant::now() + Duration::from_secs(90);
    let answer = loop {
        match query(&mut served.connect(), "select 6*7") {
            Ok(answer) => break answer,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(answer, ["42"]);
    assert_eq!(served.stop(), Some(0));
    let (done, printed, said) =
        example.kiln(&["run", "--publish", "0:5432", "--", "/usr/lib/postgresql/17/bin/psql", "--version"]);
    assert!(done && printed.starts_with("psql (PostgreSQL) 17"), "{printed}{said}");
}

/// The first column of what a query gives, by PostgreSQL's own protocol, version 3.0.
fn query(stream: &mut TcpStream, text: &str) -> std::io::Result<Vec<String>> {
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    startup.extend(b"user\0postgres\0database\0postgres\0\0");
    let length = u32::try_from(startup.len() + 4).unwrap();
    stream.write_all(&[&length.to_be_bytes()[..], &startup].concat())?;
    let mut rows = Vec::new();
    let mut asked = false;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body)?;
        match head[0] {
            b'E' => return Err(std::io::Error::other(String::from_utf8_lossy(&body).into_owned())),
            b'Z' if asked => return Ok(rows),
            b'Z' => {
                asked = true;
                let length = u32::try_from(text.len() + 5).unwrap();
                stream.write_all(&[b"Q", &length.to_be_bytes()[..], text.as_bytes(), b"\0"].concat())?;
            }
            // A row: the number of columns, then each with its length.
            b'D' => rows.push(String::from_utf8_lossy(&body[6..]).into_owned()),
            _ => {}
        }
    }
}
