//! The server's command.

use hubbub::arguments;
use hubbub::crowd::{Crowd, Limits};
use hubbub::descriptors::Places;
use hubbub::framing::Rules;
use hubbub::logfile::LogFile;
use hubbub::options::{self, Asked, Options};
use hubbub::os_error;
use hubbub::room::{Manners, Room};
use hubbub::roster::Key;
use hubbub::server::doors::Doors;
use hubbub::server::{End, Server};
use hubbub::systemd::{self, Supervisor};
use log::warn;
use std::io::Write;
use std::process::ExitCode;

const CANNOT_RUN: u8 = 1;
const WRONG_COMMAND_LINE: u8 = 2;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Serve(options)) => options,
        Ok(Asked::Print(text)) => {
            // Whoever closed the pipe does not want to read it.
            _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(why) => return fail(&format!("{why} (hubbub --help tells the options)"), WRONG_COMMAND_LINE),
    };
    match serve(&options) {
        Ok(End::Clean) => ExitCode::SUCCESS,
        Ok(End::Hasty) => ExitCode::from(CANNOT_RUN),
        Err(why) => fail(&why, CANNOT_RUN),
    }
}

fn serve(options: &Options) -> Result<End, String> {
    // First: whatever is opened before takes the numbers of what was handed over.
    let inherited = systemd::inherited()?;
    let log = LogFile::open(options.log_file.as_deref()).map_err(|error| error.to_string())?;
    hubbub::logfile::start(&log, options.level);
    let supervisor = Supervisor::find();
    let places = match &options.listen[..] {
        [] if inherited.is_empty() => &[options::default_listen()],
        places => places,
    };
    let doors = Doors::open(inherited, places, options.settings).map_err(|error| error.to_string())?;
    let asked = options.max_clients.unwrap_or(Key::MOST);
    let places = Places::find(doors.count(), asked)?;
    if options.max_clients.is_some_and(|asked| asked > places.clients) {
        warn!("the limit of open files allows {} clients, not {asked}", places.clients);
    }
    let manners = Manners {
        rules: Rules { max_line: options.max_line, raw: options.raw },
        views: doors.views(),
        feed: options.feed,
        history: options.history,
        welcome: options.welcome.clone(),
        stall_timeout: options.stall_timeout,
        rate: options.rate,
        time_of_day: hubbub::clock::time_of_day,
    };
    let room = Room::new(manners).map_err(|error| {
        format!("cannot have a feed of {} bytes: {}", options.feed, os_error::text(&error))
    })?;
    let limits = Limits {
        places,
        per_network: options.max_per_ip,
        idle_timeout: options.idle_timeout,
        flush_after: options.flush_after,
        farewell: options.stall_timeout,
    };
    Server::new(doors, Crowd::new(room, limits), log, options.report_every, supervisor)
        .and_then(Server::run)
        .map_err(|error| format!("cannot wait for events: {}", os_error::text(&error)))
}

fn fail(why: &str, status: u8) -> ExitCode {
    arguments::complain("hubbub", why);
    ExitCode::from(status)
}
