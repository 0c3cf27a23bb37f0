//! The command line with what it is given: directories, settings, and an output that takes nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tests::client::Client;
use tests::server::{Start, binary, clean, eventually, shop, tillstream};
use tests::shop::ok;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `tillstream` in a directory.
fn command(dir: &Path) -> Command {
    let mut command = Command::new(binary());
    clean(&mut command).current_dir(dir).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A data directory of the embedded backends, with the usual accounts, and the id of one of them.
fn embedded_shop(dir: &Path) -> String {
    let ended = command(dir)
        .args(["bootstrap", "--data-dir", "data", "--credentials", "logins.json"])
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
    let printed = String::from_utf8(ended.stdout).unwrap();
    let line = printed.lines().find(|line| line.starts_with("auditor")).unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

// proves: OPS-1, AUD-1
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_can_t_be_written_is_a_failure() {
    let temp = tempfile::tempdir().unwrap();
    let user = embedded_shop(temp.path());
    let commands: [&[&str]; 8] = [
        &["history", "user", &user],
        &["history", "user", &user, "--json"],
        &["verify"],
        &["frame", "0", "1"],
        &["config"],
        &["openapi"],
        &["--version"],
        &["--help"],
    ];
    for args in commands {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut run = command(temp.path());
        run.args(args);
        if !args[0].starts_with('-') {
            run.args(["--data-dir", "data"]);
        }
        let ended = run.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        // A frame that isn't there is a failure of its own.
        assert!(!ended.status.success(), "{args:?} ended well, and nobody has its result");
        if args[0] != "frame" {
            assert!(said(&ended).contains("standard output"), "{args:?}: {}", said(&ended));
        }
    }
}

// proves: OPS-1
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let temp = tempfile::tempdir().unwrap();
    let mut run = command(temp.path()).arg("openapi").stdout(Stdio::piped()).spawn().unwrap();
    let mut out = run.stdout.take().unwrap();
    let mut first = [0; 1];
    out.read_exact(&mut first).unwrap();
    drop(out);
    assert!(run.wait().unwrap().success());
}

// proves: AUD-1
#[test]
fn an_id_is_found_in_any_spelling() {
    let (_place, dir, credentials) = shop();
    let logins: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(credentials).unwrap()).unwrap();
    assert!(logins["auditor"].is_object());
    let again = tillstream(&["history", "user", "none", "--data-dir", text(&dir)]);
    assert!(again.code != 0 && again.err.contains("no user none"), "{}", again.err);
    let temp = tempfile::tempdir().unwrap();
    let user = embedded_shop(temp.path());
    let plain = user.replace('-', "");
    for spelling in [user.to_uppercase(), plain.clone(), format!("{{{user}}}"), format!("urn:uuid:{user}")] {
        let found =
            command(temp.path()).args(["history", "user", &spelling, "--data-dir", "data"]).output().unwrap();
        assert!(found.status.success(), "{spelling}: {}", said(&found));
        assert!(String::from_utf8_lossy(&found.stdout).contains("user.registered"), "{spelling}");
    }
}

// proves: OPS-1
#[test]
fn directories_with_odd_names_hold_what_is_put_into_them() {
    let temp = tempfile::tempdir().unwrap();
    for odd in ["file:shop", "a b", "%41", "shop?mode=memory", "Läden", "two\nlines", "it's", "a#b", "-data"]
    {
        let argument = format!("--data-dir={odd}");
        let ended = command(temp.path())
            .args(["bootstrap", &argument, "--credentials", "logins.json"])
            .output()
            .unwrap();
        assert!(ended.status.success(), "{odd:?}: {}", said(&ended));
        assert!(temp.path().join(odd).join("log.db").exists(), "{odd:?}");
        let verified = command(temp.path()).args(["verify", &argument]).output().unwrap();
        assert!(verified.status.success(), "{odd:?}: {}", said(&verified));
        std::fs::remove_file(temp.path().join("logins.json")).unwrap();
        std::fs::remove_dir_all(temp.path().join(odd)).unwrap();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "{odd:?}: something went elsewhere");
    }
}

// proves: OPS-8
#[cfg(unix)]
#[test]
fn a_setting_that_is_no_text_is_refused_and_nothing_is_made() {
    use std::os::unix::ffi::OsStrExt as _;
    let temp = tempfile::tempdir().unwrap();
    let odd = OsStr::from_bytes(b"sh\xffop");
    let as_flag = |flag: &str| [OsString::from(flag), odd.to_owned()];
    let mut runs = vec![command(temp.path()), command(temp.path()), command(temp.path())];
    runs[0].args(["bootstrap", "--credentials", "logins.json"]).env("TILLSTREAM_DATA_DIR", odd);
    runs[1].args(["bootstrap", "--credentials", "logins.json"]).args(as_flag("--data-dir"));
    runs[2]
        .args(["bootstrap", "--credentials", "logins.json"])
        .env(OsStr::from_bytes(b"TILLSTREAM_DATA_D\xffIR"), "x");
    for mut run in runs {
        let ended = run.output().unwrap();
        assert!(!ended.status.success());
        assert!(said(&ended).contains("UTF-8"), "{}", said(&ended));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}

// proves: OPS-1, OPS-8
#[test]
fn what_the_engines_script_reads_may_be_exported() {
    let temp = tempfile::tempdir().unwrap();
    let ended =
        command(temp.path()).arg("config").env("TILLSTREAM_ENGINES_DIR", "/srv/engines").output().unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
}

// proves: PAY-1, SHP-1, OPS-1
#[test]
fn serve_wants_to_be_told_that_it_simulates() {
    let temp = tempfile::tempdir().unwrap();
    let ended = command(temp.path()).args(["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert!(!ended.status.success());
    assert!(said(&ended).contains("payments.url=simulator:"), "{}", said(&ended));
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "nothing was made");
    let dir = temp.path().join("data");
    let server = Start::serve(&dir).start().unwrap();
    drop(server);
    let log = std::fs::read_to_string(dir.with_extension("log")).unwrap();
    for key in ["payments.url", "carrier.url"] {
        assert!(log.contains(&format!("{key} names the built-in simulator")), "{log}");
    }
}

// proves: SEC-6, SEC-8
#[cfg(unix)]
#[test]
fn nothing_that_is_written_is_open_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    fn look(dir: &Path, seen: &mut usize) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", entry.path().display());
            *seen += 1;
            if entry.file_type().unwrap().is_dir() {
                look(&entry.path(), seen);
            }
        }
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("made-before");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let start = Start::serve(&dir).wrapped(&["sh", "-c", "umask 022; exec \"$@\"", "sh"]);
    let mut server = start.start().unwrap();
    let mut seen = 0;
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    look(&dir, &mut seen);
    assert!(seen >= 8, "{seen} files");
    assert!(server.terminate().unwrap().success());
}

// proves: OPS-3
#[tokio::test]
async fn a_demo_that_is_ready_lets_its_accounts_in() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("demo");
    let mut demo = command(temp.path())
        .args(["demo", "--data-dir", "demo", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let address = eventually("the address", Duration::from_secs(120), async || {
        let told = std::fs::read_to_string(dir.join("address")).ok()?;
        told.ends_with('\n').then(|| told.trim().to_owned())
    });
    let client = Client::new(&format!("http://{}", address.await));
    let ready = eventually("readiness", Duration::from_secs(120), async || {
        client.get("/health/ready").await.ok().filter(|reply| reply.status == 200)
    });
    ready.await;
    let logins: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("demo-credentials.json")).unwrap()).unwrap();
    for (name, login) in logins.as_object().unwrap() {
        let answer = ok(client.post("/api/v1/auth/login", login).send().await);
        assert_eq!(answer.status, 200, "{name}");
    }
    demo.kill().unwrap();
    demo.wait().unwrap();
}
