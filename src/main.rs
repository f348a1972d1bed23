//! The server's command.

use hubbub::admin::Admin;
use hubbub::chat::room::{Room, RoomConfig};
use hubbub::cli::args;
use hubbub::cli::options::{self, Options};
use hubbub::clients::{ClientLimits, Clients};
use hubbub::logging::log_file::{self, LogFile};
use hubbub::net::acceptor::Acceptor;
use hubbub::net::fd_limit::ConnectionBudget;
use hubbub::net::systemd::{self, Notifier};
use hubbub::net::transport::PlainStream;
use hubbub::server::{self, Exit, Server};
use hubbub::util::clock;
use hubbub::util::id_slab::ClientId;
use hubbub::util::os_error;
use hubbub::util::plural::count;
use hubbub::wire::line_decoder::LineRules;
use log::warn;
use std::process::ExitCode;

fn main() -> ExitCode {
    args::run("hubbub", options::parse, |options| match serve(*options)? {
        Exit::Clean => Ok(ExitCode::SUCCESS),
        Exit::Forced => Ok(ExitCode::FAILURE),
    })
}

fn serve(options: Options) -> Result<Exit, String> {
    let unblocked = server::unblock();
    // Before any file is opened: a file could get the number of an inherited socket.
    let inherited = systemd::inherited()?;
    let log = LogFile::open(options.log_file.as_deref()).map_err(|error| error.to_string())?;
    log_file::start(&log, options.level);
    if let Err(why) = unblocked {
        warn!("{why}");
    }
    let notifier = Notifier::find();
    let services = options.listen.iter().map(|spec| spec.service);
    let serves_room =
        services.chain(inherited.iter().map(|socket| socket.service)).any(|it| it.view().is_some());
    let defaults = if serves_room { Vec::new() } else { options::default_listeners() };
    let listen = [defaults, options.listen].concat();
    let acceptor = Acceptor::open(inherited, &listen, options.listener).map_err(|error| error.to_string())?;
    let max_clients = options.max_clients.unwrap_or(ClientId::MOST);
    let reserved = if acceptor.has_admin() { Admin::<PlainStream>::MOST } else { 0 };
    let connections = ConnectionBudget::find(acceptor.count() + reserved, max_clients)?;
    if options.max_clients.is_some_and(|max_clients| max_clients > connections.clients) {
        warn!(
            "--max-clients \"{max_clients}\": the limit of open files allows only {}: raise it with ulimit -n",
            count(connections.clients as u64, "client")
        );
    }
    let config = RoomConfig {
        rules: LineRules { max_line: options.max_line, raw: options.raw },
        views: acceptor.views(),
        feed: options.feed,
        history: options.history,
        welcome: options.welcome,
        stall_timeout: options.stall_timeout,
        rate: options.rate,
        time_of_day: clock::time_of_day,
    };
    let room = Room::new(config).map_err(|error| {
        format!("--feed \"{}\": cannot allocate the feed: {}", options.feed, os_error::text(&error))
    })?;
    let limits = ClientLimits {
        connections,
        per_network: options.max_per_ip,
        idle_timeout: options.idle_timeout,
        flush_after: options.flush_after,
        close_timeout: options.stall_timeout,
        greet_after: ClientLimits::GREET_AFTER,
    };
    Server::new(acceptor, Clients::new(room, limits), log, options.report_every, notifier)
        .and_then(Server::run)
        .map_err(|error| format!("cannot wait for events: {}", os_error::text(&error)))
}
