//! Everything that the command line prints: results on standard output, colours only for a terminal.

use std::fmt::Display;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};

/// Prints a line of a command's result. A reader that went away (`| head`) ends the printing, not the program.
pub(crate) fn line(text: impl Display) {
    let mut out = anstream::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads standard output any more");
    }
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
