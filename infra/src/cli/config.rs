//! `tillstream config`: the reference of every key, or the effective configuration.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;

use super::out;
use crate::config::{Config, effective, reference};

/// What `config` prints.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum What {
    /// The effective configuration as a file, with passwords masked
    Show,
    /// The reference as a Markdown table
    Markdown,
}

pub(super) fn run(config: &Config, what: Option<What>) -> ExitCode {
    match what {
        None => out::line(long_help()),
        Some(What::Show) => out::line(effective(config).trim_end()),
        Some(What::Markdown) => out::line(markdown().trim_end()),
    }
    ExitCode::SUCCESS
}

pub(super) fn long_help() -> String {
    let mut text = String::from(
        "Later ones win: defaults, file (tillstream.toml or --config), environment, flags (--set KEY=VALUE).\n\n\
         Keys:\n",
    );
    for key in reference() {
        let default = if key.default.is_empty() { "\"\"" } else { &key.default };
        let _ = writeln!(text, "\n  {} ({}) = {default}", key.name, key.kind);
        let _ = writeln!(text, "      {}", key.env());
        for line in wrapped(&key.meaning, 90) {
            let _ = writeln!(text, "      {line}");
        }
    }
    text
}

fn markdown() -> String {
    let mut text =
        String::from("| key | type | default | environment | meaning |\n| --- | --- | --- | --- | --- |\n");
    for key in reference() {
        let _ = writeln!(
            text,
            "| `{}` | {} | `{}` | `{}` | {} |",
            key.name,
            key.kind,
            key.default,
            key.env(),
            key.meaning
        );
    }
    text
}

/// Breaks a text at spaces into lines of at most `width` characters, as far as its words allow.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
