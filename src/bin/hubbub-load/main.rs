//! hubbub-load: measures a chat server under load, and checks that everyone hears everything.
//!
//! ```text
//!  options ──► run ──► swarm (poll) ──► client, extras ──► target ──► the server
//!               │        │    talk, schedule: what is due     │
//!               │        └──► ledger ◄── protocol ◄───────────┘
//!               ▼             line, check: what a line is, who heard it in which order
//!            report ◄── usage: what the server's process used
//! ```

mod check;
mod client;
mod extras;
mod ledger;
mod line;
mod options;
mod protocol;
mod report;
mod run;
mod schedule;
mod slowest;
mod swarm;
mod talk;
mod target;
mod usage;

use hubbub::cli::args;
use hubbub::util::os_error;
use options::{Asked, Options};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use target::Target;

const WENT_WRONG: u8 = 1;
const WRONG_COMMAND_LINE: u8 = 2;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Print(text)) => {
            return match print(&text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => fail(&why, WENT_WRONG),
            };
        }
        Err(why) => {
            return fail(&format!("{why} (hubbub-load --help tells the options)"), WRONG_COMMAND_LINE);
        }
    };
    let target = match Target::find(&options.address, options.anywhere) {
        Ok(target) => target,
        Err((why, status)) => return fail(&why, status),
    };
    match load(&options, target) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(WENT_WRONG),
        Err(why) => fail(&why, WENT_WRONG),
    }
}

fn load(options: &Options, target: Target) -> Result<bool, String> {
    run::run(options, target, |report| {
        let text = if options.json { format!("{}\n", report.json()) } else { report.to_string() };
        print(&text)
    })
}

/// Says it on standard output. Whoever closed the pipe does not want to read it, and misses nothing.
fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {}", os_error::text(&error)))
        }
        _ => Ok(()),
    }
}

fn fail(why: &str, status: u8) -> ExitCode {
    args::complain("hubbub-load", why);
    ExitCode::from(status)
}
