//! Everything that the command line prints: results on standard output, colours only for a terminal.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};

/// Why standard output takes nothing any more; the first failure counts.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line of a command's result. What can't be printed is told by [`ended`].
pub(crate) fn line(text: impl Display) {
    if !is_open() {
        return;
    }
    let mut out = anstream::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        FAILED.get_or_init(|| error);
    }
}

/// Whether standard output still takes what is printed. A command that prints much asks, and ends early.
pub(crate) fn is_open() -> bool {
    FAILED.get().is_none()
}

/// The exit status of a command that ended with `code`: 2 when its result didn't come out whole. A reader that went away (`| head`)
/// has seen what it wanted.
pub(crate) fn ended(code: ExitCode) -> ExitCode {
    match FAILED.get() {
        Some(failed) if failed.kind() != io::ErrorKind::BrokenPipe => {
            error(format!("standard output can't be written: {failed}"));
            ExitCode::from(2)
        }
        _ => code,
    }
}

/// Prints help, the version, or what is wrong with the command line; the exit status follows.
pub(crate) fn said(said: &clap::Error) -> ExitCode {
    if let Err(error) = said.print().and_then(|()| io::stdout().flush())
        && !said.use_stderr()
    {
        FAILED.get_or_init(|| error);
    }
    ended(u8::try_from(said.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Prints an empty line.
pub(crate) fn gap() {
    line("");
}

/// Prints an error on standard error.
pub(crate) fn error(text: impl Display) {
    let bad = BAD;
    let mut out = anstream::stderr().lock();
    // Nothing is left to tell when standard error is closed.
    let _ = writeln!(out, "{bad}error:{bad:#} {text}");
}

/// Headings.
pub(crate) const TITLE: Style = Style::new().bold();
/// What went well.
pub(crate) const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// What was refused or undone.
pub(crate) const WARN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
/// What went wrong.
pub(crate) const BAD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
/// Names: event types, addresses.
pub(crate) const NAME: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));
/// What may be passed over.
pub(crate) const QUIET: Style = Style::new().dimmed();

/// A text in a style.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
