//! Programs whose packages count on their hooks, from images in which none ran: each does the least that shows that what its
//! hooks would have made is there.

mod place;

use place::{Place, says};

/// An image of the essential packages and these.
fn image(name: &str, packages: &[&str], more: &str) -> String {
    let list: String = packages.iter().map(|package| format!("  - debian:{package}\n")).collect();
    format!("name: {name}\npackages:\n  - debian:@essential\n{list}{more}")
}

fn place(packages: &[&str], more: &str) -> Place {
    Place::new(&[("images/it.yaml", &image("it", packages, more))])
}

#[test]
fn erlang_and_elixir_evaluate() {
    let place = place(&["elixir"], "");
    says(&place.inside("it", "erl -noshell -eval 'io:format(\"is ~p~n\",[6*7]), halt().'"), &["is 42"]);
    says(&place.inside("it", "elixir -e 'IO.puts(6*7)'"), &["42"]);
    says(&place.inside("it", "echo '6*7' | iex"), &["iex(1)> 42"]);
}

#[test]
fn interpreters_and_servers_start() {
    let place = place(&["gawk", "nginx", "nodejs", "openjdk-21-jre-headless", "php8.4-cli", "php8.4-mbstring"], "");
    says(&place.inside("it", "awk 'BEGIN { print 6*7, PROCINFO[\"version\"] }'"), &["42 5."]);
    says(&place.inside("it", "nginx -t"), &["test is successful"]);
    says(&place.inside("it", "node -e 'console.log(6*7)'"), &["42"]);
    says(&place.inside("it", "java -version"), &["OpenJDK Runtime Environment"]);
    says(&place.inside("it", "php -m"), &["mbstring"]);
}

/// A server of its own for TLS, whose certificate is one that the image adds.
const TLS: &str = r#"
set -e
cd /tmp
python3 - <<'END'
import http.server, ssl, sqlite3, threading, urllib.error, urllib.request
assert sqlite3.connect(":memory:").execute("select 6*7").fetchone() == (42,)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/test.crt", "/etc/test.key")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"over TLS")
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"https://localhost:{server.server_port}/"
print(urllib.request.urlopen(url).read().decode())
try:
    urllib.request.urlopen(url, context=ssl.create_default_context(cafile="/usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt"))
    print("TRUSTS ANYBODY")
except urllib.error.URLError as error:
    print("refused:", error.reason)
END
"#;

#[test]
fn python_trusts_the_images_certificates_and_no_others() {
    let place = place(
        &["ca-certificates", "python3"],
        "files:\n  /usr/local/share/ca-certificates/test.crt: { source: test.crt }\n  /etc/test.crt: { source: test.crt }\n  \
         /etc/test.key: { source: test.key }\n",
    );
    place.run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "test.key",
            "-out",
            "test.crt",
            "-days",
            "30",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ],
    );
    let said = place.inside("it", TLS);
    says(&said, &["over TLS", "refused: [SSL: CERTIFICATE_VERIFY_FAILED]"]);
    assert!(!said.contains("TRUSTS ANYBODY"), "{said}");
}

#[test]
fn databases_are_made_and_asked() {
    let more = "facts: { directories: { /run/mysqld: { owner: mysql, group: mysql } } }\n";
    let place = place(&["mariadb-server", "postgresql-17"], more);
    let postgres = "mkdir /tmp/db && chown postgres /tmp/db && setpriv --reuid postgres --regid postgres --clear-groups bash -c '\
                    cd /tmp; PATH=/usr/lib/postgresql/17/bin:$PATH; initdb -D db >/dev/null 2>&1 && \
                    pg_ctl -D db -o \"-k /tmp\" -l log -w start >/dev/null && psql -h /tmp -d postgres -Atc \"select 6*7\"'";
    let mariadb = "mariadb-install-db --user=mysql >/dev/null 2>&1; setpriv --reuid mysql --regid mysql --clear-groups mariadbd \
                   --skip-networking >/tmp/log 2>&1 & \
                   for i in $(seq 120); do mariadb -N -e 'select 6*7' 2>/dev/null && exit; sleep 1; done; cat /tmp/log; exit 1";
    for script in [postgres, mariadb] {
        // Changing to another user takes more than one id.
        if has_ranges() {
            says(&place.inside("it", script), &["42"]);
        }
    }
}

#[test]
fn logins_take_the_right_password_and_no_other() {
    let place = place(&["login", "openssh-client", "openssh-server", "passwd", "sshpass", "util-linux"], "");
    if !has_ranges() {
        return;
    }
    let user = "useradd -m -s /bin/bash bob && echo bob:secret | chpasswd && ";
    let su = "setpriv --reuid nobody --regid nogroup --clear-groups bash -c '\
              echo secret | su bob -c \"echo in as \\$(id -un)\"; echo wrong | su bob -c \"echo WRONG\"; echo refused $?'";
    let said = place.inside("it", &format!("{user}{su}"));
    says(&said, &["in as bob", "refused 1"]);
    assert!(!said.contains("WRONG"), "{said}");
    let sshd = "ssh-keygen -A >/dev/null && mkdir -p /run/sshd && /usr/sbin/sshd -t && /usr/sbin/sshd -p 2222; \
                S=\"ssh -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 bob@127.0.0.1\"; \
                for i in $(seq 20); do sshpass -p secret $S 'echo in as $(id -un)' && break; sleep 0.5; done; \
                sshpass -p wrong $S echo WRONG; echo refused $?";
    let said = place.inside("it", &format!("{user}{sshd}"));
    says(&said, &["in as bob", "refused 255"]);
    assert!(!said.contains("WRONG"), "{said}");
}

/// May this user give a container more than one id?
fn has_ranges() -> bool {
    let name = |id: &str| {
        std::process::Command::new("id").arg(id).output().map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
    };
    let (Ok(name), Ok(number)) = (name("-un"), name("-u")) else { return false };
    let listed = |file| {
        std::fs::read_to_string(file)
            .is_ok_and(|text| text.lines().any(|l| l.split(':').next().is_some_and(|who| who == name || who == number)))
    };
    number == "0" || (listed("/etc/subuid") && listed("/etc/subgid"))
}
