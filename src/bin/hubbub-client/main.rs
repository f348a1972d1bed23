//! hubbub-client: takes part in a chat room, on a terminal or from a script.
//!
//! ```text
//! script (one poll loop)
//!   standard input  ──► input  ──► send (SendBuffer) ─────────────► server
//!   standard output ◄── output ◄── style ◄── receive (LineReceiver) ◄──┘
//!
//! terminal (three threads)
//!   main thread:        line_editor (rustyline with keys, completion and rows)
//!                       or plain_editor ──► entered ──► SharedState
//!   connection_thread:  SharedState ──► send ─────────────────────► server
//!                       screen ◄── style ◄── receive ◄─────────────────┘
//!   redraw thread:      makes the editor show the lines in screen
//! ```
//!
//! Both use `connect`, `password` and `nick` at the start, `leave` at the end and `backoff` between two connections.

mod backoff;
mod completion;
mod connect;
mod connection_thread;
mod entered;
mod input;
mod job;
mod keys;
mod leave;
mod line_editor;
mod nick;
mod options;
mod origin;
mod output;
mod password;
mod password_prompt;
mod plain_editor;
mod poll;
mod receive;
mod rows;
mod screen;
mod script;
mod script_connection;
mod send;
mod server;
mod shared_state;
mod signals;
mod style;
mod terminal;

use hubbub::cli::args;
use options::Options;
use server::Server;
use std::io::IsTerminal;
use std::process::ExitCode;
use style::{Style, wants_colour};

/// The name in error messages.
const NAME: &str = "hubbub-client";

fn main() -> ExitCode {
    args::run(NAME, options::parse, |options| {
        run(&options)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn run(options: &Options) -> Result<(), String> {
    let is_output_terminal = std::io::stdout().is_terminal();
    let is_interactive = is_output_terminal && std::io::stdin().is_terminal() && !options.has_script_option();
    let term = std::env::var_os("TERM");
    let can_edit = terminal::can_edit(term.as_deref());
    let style = Style {
        // Control characters from other clients must not reach a terminal.
        raw: options.raw && !is_output_terminal,
        timestamps: options.timestamps,
        colour: is_output_terminal && wants_colour(std::env::var_os("NO_COLOR"), term),
    };
    let server = Server::new(options, options.address_or_default(is_interactive))?;
    if is_interactive {
        terminal::run(options, server, style, can_edit)
    } else {
        script::run(options, server, style)
    }
}
