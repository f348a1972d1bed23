//! hubbub-client: talks in a room, on a terminal or from a script.
//!
//! ```text
//!  options ──► script (poll): input ──► speech ──► connect ──► the server
//!          │                 output ◄── hearing, look ◄──────────────┘│
//!          │                                                           │
//!          └► terminal: keys ──► link (poll, a thread): speech, hearing, look ◄──┘
//!                       screen ◄──┘  (its bell is a thread that may wait)
//! ```

mod connect;
mod goodbye;
mod hearing;
mod input;
mod keys;
mod link;
mod look;
mod options;
mod output;
mod pause;
mod ready;
mod screen;
mod script;
mod signals;
mod speech;
mod terminal;

use hubbub::cli::args;
use look::{Look, wants_colour};
use options::{Asked, Options};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

const WENT_WRONG: u8 = 1;
const WRONG_COMMAND_LINE: u8 = 2;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Talk(options)) => options,
        Ok(Asked::Print(text)) => {
            // Whoever closed the pipe does not want to read it.
            _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            return fail(&format!("{why} (hubbub-client --help tells the options)"), WRONG_COMMAND_LINE);
        }
    };
    match talk(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&why, WENT_WRONG),
    }
}

fn talk(options: &Options) -> Result<(), String> {
    let on_terminal = std::io::stdout().is_terminal();
    let term = std::env::var_os("TERM");
    let is_typed = on_terminal && std::io::stdin().is_terminal() && terminal::can_edit(term.as_deref());
    let look = Look {
        // Nobody wants their terminal driven by strangers.
        raw: options.raw && !on_terminal,
        timestamps: options.timestamps,
        colour: on_terminal && wants_colour(std::env::var_os("NO_COLOR"), term),
    };
    if is_typed && !options.is_for_scripts() {
        terminal::run(options, look)
    } else {
        script::run(options, look)
    }
}

fn fail(why: &str, status: u8) -> ExitCode {
    args::complain("hubbub-client", why);
    ExitCode::from(status)
}
