//! Axon Framework with its JDBC event store on the same PostgreSQL: a Java program of its own (`benches/axon`), built and run here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool};
use tests::bench::{Line, measured, print_line};
use tests::engines::{engines, fresh_name};

use crate::PAYLOAD;

/// The classes and libraries to run.
pub(crate) struct Axon {
    build: PathBuf,
}

/// The lines that ratios are taken of: those at 1, 64, 256 callers, and the better one of the hot stream's.
pub(crate) struct Lines {
    pub(crate) spread: Vec<Line>,
    pub(crate) hot: Line,
}

impl Axon {
    /// Builds the program; panics where there is no Maven or no JDK of at least 17.
    pub(crate) fn build() -> Self {
        let build = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axon");
        let status = Command::new("mvn")
            .args(["-B", "-q", "-C", "-f"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/axon/pom.xml"))
            .args(["package", &format!("-Daxon.build={}", build.display())])
            .status()
            .unwrap_or_else(|error| panic!("mvn builds Axon's part, or name the other parts: {error}"));
        assert!(status.success(), "mvn can't build Axon's part (it needs a JDK of at least 17): {status}");
        Self { build }
    }

    /// Measures it in a schema of its own.
    pub(crate) async fn measure(self) -> Lines {
        let schema = fresh_name();
        let pool = PgPool::connect(&engines().postgres).await.unwrap();
        sqlx::raw_sql(&format!("CREATE SCHEMA {schema}")).execute(&pool).await.unwrap();
        let options = PgConnectOptions::from_str(&engines().postgres).unwrap();
        let (host, port, user) = (options.get_host(), options.get_port(), options.get_username());
        let database = options.get_database().unwrap_or(user);
        let url = format!("jdbc:postgresql://{host}:{port}/{database}?user={user}&currentSchema={schema}");
        let output = tokio::process::Command::new("java")
            .arg("-cp")
            .arg(format!("{0}/classes:{0}/lib/*", self.build.display()))
            .args(["tillstream.AxonBench", &url, &measured().as_secs().to_string(), &PAYLOAD.to_string()])
            .output()
            .await
            .unwrap();
        sqlx::raw_sql(&format!("DROP SCHEMA {schema} CASCADE")).execute(&pool).await.unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "Axon's part failed: {err}{out}");
        let lines: Vec<_> = out.lines().map(parsed).collect();
        let of = |name: &'static str| lines.iter().filter(move |line| line.0 == name);
        let hot = |name, what| {
            let (_, callers, line) = of(name).next().unwrap();
            print_line(what, *callers, line);
            *line
        };
        let spread = of("spread")
            .map(|(_, callers, line)| {
                print_line("Axon, JDBC event store on PostgreSQL", *callers, line);
                *line
            })
            .collect();
        let hot = [
            hot("hot-uncached", "Axon, one hot stream, no cache"),
            hot("hot-cached", "Axon, one hot stream, in its cache"),
        ];
        let hot = hot.into_iter().max_by(|a, b| a.per_second.total_cmp(&b.per_second)).unwrap();
        Lines { spread, hot }
    }
}

/// Name, callers, and what was measured: `spread 64 6500.0 9000000 20000000`, times in nanoseconds.
fn parsed(line: &str) -> (String, usize, Line) {
    let [name, callers, per_second, p50, p99] = line
        .split(' ')
        .collect::<Vec<_>>()
        .try_into()
        .unwrap_or_else(|_| panic!("not a measurement: {line}"));
    let nanos = |text: &str| Duration::from_nanos(text.parse().unwrap());
    let line = Line { per_second: per_second.parse().unwrap(), p50: nanos(p50), p99: nanos(p99) };
    (name.to_owned(), callers.parse().unwrap(), line)
}
