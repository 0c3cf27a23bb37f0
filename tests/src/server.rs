//! The real binary as a process: started on a free port, killed, started again.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::engines::{Engines, Names, engines};
use crate::shop::SETTLES_WITHIN;
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A server that takes longer until it serves hangs.
const SERVES_WITHIN: Duration = SETTLES_WITHIN;

/// The binary `tillstream`, built from today's sources.
///
/// # Panics
/// When it can't be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("TILLSTREAM_BIN") {
            return PathBuf::from(path);
        }
        // …/target/debug/deps/<test> → …/target/debug/tillstream
        let test = std::env::current_exe().expect("the path of this test");
        let directory = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--package", "infra", "--bin", "tillstream"]);
        if directory.ends_with("release") {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(built.success(), "the binary tillstream could not be built");
        directory.join("tillstream")
    })
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// `http://address`.
    pub base: String,
    /// Its data directory.
    pub dir: PathBuf,
}

/// How to start one.
#[derive(Debug, Clone)]
pub struct Start {
    dir: PathBuf,
    command: &'static str,
    roles: Vec<&'static str>,
    sets: Vec<String>,
    wrapper: Vec<String>,
}

impl Start {
    /// `tillstream serve` on a data directory.
    #[must_use]
    pub fn serve(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            command: "serve",
            roles: Vec::new(),
            sets: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// `tillstream demo` on a data directory.
    #[must_use]
    pub fn demo(dir: &Path) -> Self {
        Self { command: "demo", ..Self::serve(dir) }
    }

    /// Serving this role, and others that are asked for in the same way, instead of all.
    #[must_use]
    pub fn role(mut self, role: &'static str) -> Self {
        self.roles.push(role);
        self
    }

    /// With a configuration key set.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.sets.push(format!("{key}={value}"));
        self
    }

    /// Run by another program: `bash -c 'ulimit -f 10; exec "$@"' bash`.
    #[must_use]
    pub fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&w| w.to_owned()).collect();
        self
    }

    fn command(&self) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(binary());
                command
            }
            None => Command::new(binary()),
        };
        command.arg(self.command).arg("--data-dir").arg(&self.dir).args(["--listen", "127.0.0.1:0"]);
        command.args(configuration(&self.dir));
        // Servers of many tests run at once, and all want the same port for it.
        command.args(["--set", "http.admin_listen=off"]);
        if self.command == "serve" {
            // What `set` says comes later and counts.
            command.args(["--set", "payments.url=simulator:", "--set", "carrier.url=simulator:"]);
        }
        for role in &self.roles {
            command.args(["--role", role]);
        }
        for set in &self.sets {
            command.args(["--set", set]);
        }
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log file");
        clean(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        command
    }

    /// Where the server's own log goes: beside the data directory, so that it can be read when a test fails.
    fn log_file(&self) -> PathBuf {
        self.dir.with_extension("log")
    }

    /// Starts it and waits until it says that it serves.
    ///
    /// # Errors
    /// When it ends before it serves, or doesn't serve; with what it logged.
    pub fn start(&self) -> anyhow::Result<Server> {
        self.start_telling().map(|(server, _)| server)
    }

    /// The same; answers also what it printed before it said where it serves.
    ///
    /// # Errors
    /// When it ends before it serves, or doesn't serve; with what it logged.
    pub fn start_telling(&self) -> anyhow::Result<(Server, String)> {
        let child = self.command().spawn().context("the server can't be started")?;
        // From here on it is killed when this fails.
        let mut server = Server { child, base: String::new(), dir: self.dir.clone() };
        let stdout = server.child.stdout.take().context("no standard output")?;
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            // Whatever it prints after it serves is read and dropped, so that it never blocks on a full pipe.
            BufReader::new(stdout).lines().for_each(|line| drop(tell.send(line)));
        });
        let started = Instant::now();
        let mut printed = String::new();
        let why = loop {
            match told.recv_timeout(SERVES_WITHIN.saturating_sub(started.elapsed())) {
                Ok(line) => {
                    let line = line?;
                    if let Some(base) = line.split_whitespace().find(|word| is_base(word)) {
                        base.clone_into(&mut server.base);
                        return Ok((server, printed));
                    }
                    printed.push_str(&line);
                    printed.push('\n');
                }
                Err(RecvTimeoutError::Timeout) => {
                    server.kill()?;
                    break format!("the server didn't serve within {SERVES_WITHIN:?}");
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = server.wait(SERVES_WITHIN)?;
                    break format!("the server ended with {status} before it served");
                }
            }
        };
        let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        bail!("{why}\n{printed}{log}")
    }
}

/// Whether it is the address of a server, and not of something below one.
fn is_base(word: &str) -> bool {
    let port = word.strip_prefix("http://127.0.0.1:");
    port.is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

impl Server {
    /// A client that isn't signed in.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.base)
    }

    /// A client of the operators' own listener, if it has one.
    #[must_use]
    pub fn operators(&self) -> Option<Client> {
        let address = std::fs::read_to_string(self.dir.join(infra::serve::ADMIN_ADDRESS_FILE)).ok()?;
        Some(Client::new(&format!("http://{}", address.trim())))
    }

    /// A client signed in as one of the accounts of a credentials file.
    ///
    /// # Errors
    /// When the file can't be read, or no answer came.
    pub async fn login(&self, credentials: &Path, account: &str) -> anyhow::Result<Client> {
        self.client().login_as(credentials, account).await
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When the process can't be waited for.
    pub fn kill(&mut self) -> std::io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        send("TERM", self.child.id())?;
        self.wait(SETTLES_WITHIN)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it doesn't end in time.
    pub fn wait(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < within {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the server didn't end within {within:?}")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is fine; a test that failed must leave no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by name to a process that this test started.
///
/// # Errors
/// When it can't be sent, or is none that a test sends.
pub fn send(signal: &str, pid: u32) -> anyhow::Result<()> {
    let known = match signal {
        "CONT" => Signal::CONT,
        "INT" => Signal::INT,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "TERM" => Signal::TERM,
        _ => bail!("no test sends SIG{signal}"),
    };
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no id of a process")?;
    kill_process(process, known).with_context(|| format!("SIG{signal} can't be sent to {pid}"))
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit status; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs `tillstream <args>` to its end.
///
/// # Panics
/// When it can't be started.
#[must_use]
pub fn tillstream(args: &[&str]) -> Ended {
    let dir = args.iter().skip_while(|arg| **arg != "--data-dir").nth(1);
    let more = dir.map(|dir| configuration(Path::new(dir))).unwrap_or_default();
    let output = clean(Command::new(binary()).args(args).args(more))
        .stdin(Stdio::null())
        .output()
        .expect("tillstream runs");
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The configuration of whoever runs the tests must not reach the servers under test. The rest of the environment does: by `TESTS_RUN`
/// in it, `tests/run` finds servers that were left behind.
pub fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TILLSTREAM_") {
            command.env_remove(name);
        }
    }
    command
}

/// A place for one store: a temporary directory; and names of its own on the engines, when the tests run on them
/// (`TILLSTREAM_TESTS_BACKENDS=engines`). All of it goes when this is dropped.
#[derive(Debug)]
pub struct Place {
    // Dropped first: it may take a while, and the directory tells what happened until then.
    names: Option<Names>,
    temp: tempfile::TempDir,
}

impl Place {
    /// A new one, prepared by `tillstream migrate` when it is on the engines.
    ///
    /// # Panics
    /// When it can't be made, or the environment asks for unknown backends.
    #[must_use]
    pub fn new() -> Self {
        let backends = std::env::var("TILLSTREAM_TESTS_BACKENDS").unwrap_or_default();
        match backends.as_str() {
            "" | "embedded" => {
                Self { names: None, temp: tempfile::tempdir().expect("a temporary directory") }
            }
            "engines" => Self::on(engines()),
            other => panic!("TILLSTREAM_TESTS_BACKENDS is `embedded` or `engines`, not `{other}`"),
        }
    }

    /// A new one on these engines, whatever the environment asks for.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn on(engines: &Engines) -> Self {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let names = Names::fresh(engines);
        let data = temp.path().join("data");
        names.write(&data.with_extension("toml"));
        let place = Self { names: Some(names), temp };
        let done = tillstream(&["migrate", "--data-dir", text(&data)]);
        assert_eq!(done.code, 0, "{}", done.err);
        place
    }

    /// Its names on the engines, when it has some.
    #[must_use]
    pub fn names(&self) -> Option<&Names> {
        self.names.as_ref()
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// The data directory in it.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// The arguments that name the configuration file beside a data directory, if there is one.
#[must_use]
pub fn configuration(dir: &Path) -> Vec<String> {
    let file = dir.with_extension("toml");
    if file.exists() { vec!["--config".to_owned(), text(&file).to_owned()] } else { Vec::new() }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// A data directory with the usual accounts in it, and its credentials file.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn shop() -> (Place, PathBuf, PathBuf) {
    let place = Place::new();
    let (dir, credentials) = (place.data(), place.path().join("credentials.json"));
    let done = tillstream(&["bootstrap", "--data-dir", text(&dir), "--credentials", text(&credentials)]);
    assert_eq!(done.code, 0, "{}", done.err);
    (place, dir, credentials)
}

/// Asks again and again until there is an answer, at most for `within`.
///
/// # Panics
/// When there is none in time; says what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < within, "waited {within:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
