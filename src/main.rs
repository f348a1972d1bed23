//! The server's command.

use hubbub::chat::room::{Room, RoomConfig};
use hubbub::cli::args;
use hubbub::cli::options::{self, Invocation, Options};
use hubbub::clients::{ClientLimits, Clients};
use hubbub::logging::log_file::LogFile;
use hubbub::net::acceptor::Acceptor;
use hubbub::net::fd_limit::ConnectionBudget;
use hubbub::net::systemd::{self, Notifier};
use hubbub::server::{Exit, Server};
use hubbub::util::id_slab::ClientId;
use hubbub::util::os_error;
use hubbub::wire::line_decoder::LineRules;
use log::warn;
use std::io::Write;
use std::process::ExitCode;

const CANNOT_RUN: u8 = 1;
const WRONG_COMMAND_LINE: u8 = 2;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Run(options)) => options,
        Ok(Invocation::Print(text)) => {
            // Whoever closed the pipe does not want to read it.
            _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(why) => return fail(&format!("{why} (hubbub --help tells the options)"), WRONG_COMMAND_LINE),
    };
    match serve(&options) {
        Ok(Exit::Clean) => ExitCode::SUCCESS,
        Ok(Exit::Forced) => ExitCode::from(CANNOT_RUN),
        Err(why) => fail(&why, CANNOT_RUN),
    }
}

fn serve(options: &Options) -> Result<Exit, String> {
    // First: whatever is opened before takes the numbers of what was handed over.
    let inherited = systemd::inherited()?;
    let log = LogFile::open(options.log_file.as_deref()).map_err(|error| error.to_string())?;
    hubbub::logging::log_file::start(&log, options.level);
    let supervisor = Notifier::find();
    let places = match &options.listen[..] {
        [] if inherited.is_empty() => &[options::default_listen()],
        places => places,
    };
    let doors = Acceptor::open(inherited, places, options.settings).map_err(|error| error.to_string())?;
    let asked = options.max_clients.unwrap_or(ClientId::MOST);
    let places = ConnectionBudget::find(doors.count(), asked)?;
    if options.max_clients.is_some_and(|asked| asked > places.clients) {
        warn!("the limit of open files allows {} clients, not {asked}", places.clients);
    }
    let config = RoomConfig {
        rules: LineRules { max_line: options.max_line, raw: options.raw },
        views: doors.views(),
        feed: options.feed,
        history: options.history,
        welcome: options.welcome.clone(),
        stall_timeout: options.stall_timeout,
        rate: options.rate,
        time_of_day: hubbub::util::clock::time_of_day,
    };
    let room = Room::new(config).map_err(|error| {
        format!("cannot have a feed of {} bytes: {}", options.feed, os_error::text(&error))
    })?;
    let limits = ClientLimits {
        connections: places,
        per_network: options.max_per_ip,
        idle_timeout: options.idle_timeout,
        flush_after: options.flush_after,
        close_timeout: options.stall_timeout,
    };
    Server::new(doors, Clients::new(room, limits), log, options.report_every, supervisor)
        .and_then(Server::run)
        .map_err(|error| format!("cannot wait for events: {}", os_error::text(&error)))
}

fn fail(why: &str, status: u8) -> ExitCode {
    args::complain("hubbub", why);
    ExitCode::from(status)
}
