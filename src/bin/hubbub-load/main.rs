//! hubbub-load: measures a chat server under load and checks that every client receives every line.
//!
//! ```text
//!  options ──► run ──► clients (poll) ──► client, side_load ──► target, stream ──► the server
//!               │         │    sender, schedule: what is due        │
//!               │         └──► recorder ◄── protocol ◄──────────────┘
//!               ▼              line, check: what a line is, which reader got it in which order
//!            report ◄── process: what the server's process used
//! ```

mod check;
mod client;
mod clients;
mod evenness;
mod greeting;
mod interrupt;
mod line;
mod options;
mod per_line;
mod process;
mod progress;
mod protocol;
mod recorder;
mod report;
mod run;
mod schedule;
mod sender;
mod side_load;
mod slowest_reader;
mod stream;
mod target;

use hubbub::cli::args;
use hubbub::util::os_error;
use interrupt::Interrupt;
use options::{Invocation, Options};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use target::Target;

const FAILED: u8 = 1;
const WRONG_COMMAND_LINE: u8 = 2;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Run(options)) => options,
        Ok(Invocation::Print(text)) => {
            return match print(&text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => fail(&why, FAILED),
            };
        }
        Err(why) => {
            return fail(&format!("{why} (hubbub-load --help lists the options)"), WRONG_COMMAND_LINE);
        }
    };
    let target = match Target::resolve(&options) {
        Ok(target) => target,
        Err((why, status)) => return fail(&why, status),
    };
    let interrupt = match Interrupt::catch() {
        Ok(interrupt) => interrupt,
        Err(error) => return fail(&format!("cannot handle signals: {}", os_error::text(&error)), FAILED),
    };
    let status = match load(&options, target, &interrupt) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(why) => fail(&why, FAILED),
    };
    interrupt.end_by_signal();
    status
}

/// Runs the load and prints the result; returns whether all is fine.
fn load(options: &Options, target: Target, interrupt: &Interrupt) -> Result<bool, String> {
    run::run(options, target, interrupt, |report| {
        let text = if options.json { format!("{}\n", report.json()) } else { report.to_string() };
        print(&text)
    })
}

/// Writes to standard output. A closed pipe is no error: its reader does not want the rest.
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
    args::print_error("hubbub-load", why);
    ExitCode::from(status)
}
