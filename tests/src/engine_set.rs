//! A set of real engines that a test may kill, pause and start again: `infra/local/engines` with a directory of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::engines::Engines;
use crate::server::{clean, send};

/// An engine by the name that `infra/local/engines` has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The log.
    Cassandra,
    /// The fan-out.
    Kafka,
    /// The search.
    Elasticsearch,
    /// The read models.
    Postgres,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cassandra, Self::Kafka, Self::Elasticsearch, Self::Postgres];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cassandra => "cassandra",
            Self::Kafka => "kafka",
            Self::Elasticsearch => "elasticsearch",
            Self::Postgres => "postgres",
        }
    }
}

/// The engines that a fault test breaks: those in the directory that `TILLSTREAM_ENGINES_DIR` names, else the set `faults`.
#[derive(Debug, Clone)]
pub struct EngineSet {
    directory: PathBuf,
    /// Where they listen.
    pub engines: Engines,
}

impl EngineSet {
    /// Starts those that are down, and waits until all answer. They stay up when the test is over; `infra/local/engines down`
    /// stops them.
    ///
    /// # Errors
    /// When one doesn't start; with what the command said.
    pub fn up() -> anyhow::Result<Self> {
        let directory = match std::env::var_os("TILLSTREAM_ENGINES_DIR") {
            Some(directory) => PathBuf::from(directory),
            None => PathBuf::from(
                run(|command| command.env("TILLSTREAM_ENGINES_SET", "faults").arg("dir"))?.trim(),
            ),
        };
        let env = Self::run_in(&directory, &["up"]).and_then(|_| Self::run_in(&directory, &["env"]))?;
        let value = |name: &str| {
            let line = env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(str::to_owned).with_context(|| format!("{name} is missing in\n{env}"))
        };
        let engines = Engines::of(|name| value(name))?;
        Ok(Self { directory, engines })
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it isn't running.
    pub fn kill(&self, engine: Engine) -> anyhow::Result<()> {
        send("KILL", self.pid(engine)?)
    }

    /// SIGSTOP or SIGCONT, by name.
    ///
    /// # Errors
    /// When it isn't running.
    pub fn signal(&self, engine: Engine, signal: &str) -> anyhow::Result<()> {
        send(signal, self.pid(engine)?)
    }

    /// Starts it again, and waits until it answers.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn start(&self, engine: Engine) -> anyhow::Result<()> {
        Self::run_in(&self.directory, &["up", engine.name()]).map(drop)
    }

    /// Stops it as an operator would.
    ///
    /// # Errors
    /// When it doesn't stop.
    pub fn stop(&self, engine: Engine) -> anyhow::Result<()> {
        Self::run_in(&self.directory, &["down", engine.name()]).map(drop)
    }

    fn pid(&self, engine: Engine) -> anyhow::Result<u32> {
        let file = self.directory.join(format!("{}.pid", engine.name()));
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(text.trim().parse()?)
    }

    fn run_in(directory: &Path, args: &[&str]) -> anyhow::Result<String> {
        run(|command| command.env("TILLSTREAM_ENGINES_DIR", directory).args(args))
    }
}

fn run(how: impl FnOnce(&mut Command) -> &mut Command) -> anyhow::Result<String> {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/local/engines"));
    let output = how(clean(&mut command)).output().context("infra/local/engines can't be run")?;
    ensure!(
        output.status.success(),
        "infra/local/engines failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
