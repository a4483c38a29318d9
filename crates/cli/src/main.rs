//! `cairn`: see the library.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cairn_cli::run(cairn_cli::Arguments::parse())
}
