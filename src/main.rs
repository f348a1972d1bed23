//! The server's command.

use hubbub::admin::Admin;
use hubbub::chat::room::{Room, RoomConfig};
use hubbub::cli::args;
use hubbub::cli::options::{self, Options};
use hubbub::clients::{ClientLimits, Clients};
use hubbub::logging::log_file::LogFile;
use hubbub::logging::logger;
use hubbub::net::acceptor::Acceptor;
use hubbub::net::fd_limit::ConnectionBudget;
use hubbub::net::service::Service;
use hubbub::net::systemd::{self, Notifier};
use hubbub::net::transport::PlainStream;
use hubbub::pending::rules::EntryRules;
use hubbub::server::{Door, Exit, Server};
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
    // Before any file is opened: a file could get the number of an inherited socket.
    let inherited = systemd::inherited()?;
    let log = LogFile::open(options.log_file.as_deref()).map_err(|error| error.to_string())?;
    logger::start(&log, options.level);
    let notifier = Notifier::find();
    let rules = EntryRules::read(options.entry)?;
    let services = options.listen.iter().map(|spec| spec.service);
    let serves_room =
        services.chain(inherited.iter().map(|socket| socket.service)).any(|it| it.view().is_some());
    let defaults = if serves_room { Vec::new() } else { options::default_listeners() };
    let listen = [defaults, options.listen].concat();
    let acceptor = Acceptor::open(inherited, &listen, options.listener).map_err(|error| error.to_string())?;
    let max_clients = options.max_clients.unwrap_or(ClientId::MOST);
    check_tls(&acceptor, &rules)?;
    if rules.has_password()
        && let Some(address) = acceptor.unencrypted()
    {
        warn!("clients send the password to {address} without encryption: use a +tls listener there");
    }
    let reserved = if acceptor.has_admin() { Admin::<PlainStream>::MOST } else { 0 };
    let connections = ConnectionBudget::find(acceptor.count() + reserved, max_clients, rules.has_steps())?;
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
    let door = Door::new(rules, connections.pending);
    Server::new(acceptor, Clients::new(room, limits), door, log, options.report_every, notifier)
        .and_then(Server::run)
        .map_err(|error| format!("cannot wait for events: {}", os_error::text(&error)))
}

/// Listeners with TLS need a certificate, and a certificate needs a listener: otherwise its user would believe that the
/// room is encrypted.
fn check_tls(acceptor: &Acceptor, rules: &EntryRules) -> Result<(), String> {
    match (acceptor.services().any(Service::has_tls), rules.has_tls()) {
        (true, false) => Err("a listener with TLS needs --tls-cert FILE and --tls-key FILE".to_owned()),
        (false, true) => {
            Err("--tls-cert: no listener has TLS: add for example --listen named+tls:9443".to_owned())
        }
        _ => Ok(()),
    }
}
