//! Carries out a command of an operator, and writes the answer.

use super::Operated;
use super::command::{self, Command, HELP, Target};
use super::figures;
use crate::clients::close_reason::CloseReason;
use crate::clients::operator::ClientInfo;
use crate::net::bans::{Bans, TooManyBans};
use crate::net::cidr::Cidr;
use crate::net::peer::Peer;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::util::plural::count;
use crate::util::span;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The last line for a client that an operator disconnects, after `* disconnected: `.
const REMOVED: &str = "removed by the operator";
const BANNED: &str = "banned by the operator";

/// Carries out a line, escaped already; returns the answer, whole lines. A list begins with the number of its lines.
pub(super) fn answer<S: Transport>(line: &str, server: &mut Operated<'_, S>, now: Moment) -> String {
    let result = command::parse(line).and_then(|command| server.run(command, now));
    result.unwrap_or_else(|why| format!("* error: {why}\n"))
}

fn ok(what: &str) -> String {
    format!("* ok, {what}\n")
}

/// A count and as many lines.
fn list(noun: &str, lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("* {}\n", count(lines.len() as u64, noun));
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// A client as a line of `who`: fields that have no blanks, separated by blanks.
fn who_line(client: &ClientInfo<'_>) -> String {
    let address = match client.peer {
        Peer::Tcp { .. } => client.peer.to_string(),
        Peer::Unix { pid, uid } => format!("pid={pid},uid={uid}"),
        Peer::UnknownUnix => "-".to_owned(),
    };
    let name = if client.name.is_empty() { "-" } else { client.name };
    let view = client.view.name();
    let ClientInfo { seconds, lines, behind, .. } = client;
    format!("{} {name} {view} {address} {seconds} {lines} {behind}", client.id.number())
}

/// The range of a client's address, or the client of a unix socket, which has none.
enum Place {
    Range(Cidr),
    Client(ClientId),
}

impl<S: Transport> Operated<'_, S> {
    fn run(&mut self, command: Command, now: Moment) -> Result<String, String> {
        Ok(match command {
            Command::Who => {
                let ids = self.clients.ids();
                let infos = ids.iter().filter_map(|&id| self.clients.info(id, now));
                list("client", infos.map(|info| who_line(&info)).collect::<Vec<_>>().into_iter())
            }
            Command::Kick { whom, reason } => self.kick(&whom, &reason, now)?,
            Command::Ban { whom, time } => self.ban(&whom, time, now)?,
            Command::Bans => {
                let left = |left: Option<Duration>| span::show(left.unwrap_or_default());
                let bans = self.bans.iter(now).map(|(range, time)| format!("{range} {}", left(time)));
                list("ban", bans.collect::<Vec<_>>().into_iter())
            }
            Command::Unban(range) if self.bans.remove(range, now) => {
                ok(&format!("{range} is not banned now"))
            }
            Command::Unban(range) => return Err(format!("{range} is not banned: bans lists the bans")),
            Command::Mute(whom) => self.mute(&whom, now)?,
            Command::Unmute(whom) => self.unmute(&whom, now)?,
            Command::Mutes => {
                let ranges = self.clients.muted_ranges(now).map(|range| range.to_string());
                let local = self.clients.muted_local().map(|id| id.number().to_string());
                list("mute", ranges.chain(local).collect::<Vec<_>>().into_iter())
            }
            Command::Say(text) => self.say(&text)?,
            Command::Stats => {
                let lines = figures::stats(&figures::of(self, now));
                list("value", lines.into_iter())
            }
            Command::Metrics => figures::metrics(&figures::of(self, now)),
            Command::Help => {
                let width = HELP.map(|(usage, _)| usage.len()).into_iter().max().unwrap_or(0);
                list("command", HELP.into_iter().map(|(usage, what)| format!("{usage:width$}  {what}")))
            }
        })
    }

    fn kick(&mut self, whom: &Target, reason: &str, now: Moment) -> Result<String, String> {
        let id = self.find(whom, now)?;
        let why = if reason.is_empty() { REMOVED } else { reason };
        self.clients.disconnect(id, why, CloseReason::Kicked);
        Ok(ok("1 client disconnected"))
    }

    fn ban(&mut self, whom: &Target, time: Duration, now: Moment) -> Result<String, String> {
        let Place::Range(range) = self.place(whom, now)? else {
            return Err("a client of a unix socket has no address: use kick".to_owned());
        };
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        if loopback
            .iter()
            .zip([8, 128])
            .any(|(&address, bits)| Cidr::covering(address, bits).overlaps(&range))
        {
            return Err(format!("{range} has addresses of this machine: use kick"));
        }
        if let Some(proxy) = self.proxies.iter().find(|proxy| proxy.overlaps(&range)) {
            return Err(format!("{range} has addresses of the proxies in {proxy}: ban what they tell"));
        }
        self.bans.add(range, Some(now.after(time)), now).map_err(too_many)?;
        let ids = self.clients.ids_in(range);
        for &id in &ids {
            self.clients.disconnect(id, BANNED, CloseReason::Banned);
        }
        Ok(ok(&format!("{range} is banned for {}, {} disconnected", span::show(time), clients(ids.len()))))
    }

    fn mute(&mut self, whom: &Target, now: Moment) -> Result<String, String> {
        let (what, number) = match self.place(whom, now)? {
            Place::Range(range) => (range.to_string(), self.clients.mute(range, now).map_err(too_many)?),
            Place::Client(id) => {
                self.clients.set_muted(id, true);
                (id.number().to_string(), 1)
            }
        };
        Ok(ok(&format!("{what} is muted, {}", clients(number))))
    }

    fn unmute(&mut self, whom: &Target, now: Moment) -> Result<String, String> {
        let (what, number) = match self.place(whom, now)? {
            Place::Range(range) => (range.to_string(), self.clients.unmute(range, now)),
            Place::Client(id) => (id.number().to_string(), self.clients.set_muted(id, false).then_some(1)),
        };
        match number {
            Some(number) => Ok(ok(&format!("{what} is not muted now, {}", clients(number)))),
            None => Err(format!("{what} is not muted: mutes lists the mutes")),
        }
    }

    fn say(&mut self, text: &str) -> Result<String, String> {
        let limit = self.clients.room().rules().max_line;
        if text.len() > limit {
            return Err(format!("the text is too long: at most {}", count(limit as u64, "byte")));
        }
        let told =
            self.clients.say(text).map_err(|_| "slow readers have filled the feed: try again later")?;
        Ok(ok(&clients(told)))
    }

    /// The client that a command names by id or name.
    fn find(&self, whom: &Target, now: Moment) -> Result<ClientId, String> {
        let (id, error) = match whom {
            Target::Id(id) => (Some(ClientId::from_number(*id)), format!("no client has the id {id}")),
            Target::Name(name) => (
                self.clients.room().find(name),
                format!("nobody here is named \"{}\"", command::shortened(name)),
            ),
            Target::Range(range) => (None, format!("{range} is not a client")),
        };
        id.filter(|&id| self.clients.info(id, now).is_some())
            .ok_or_else(|| format!("{error}: who lists the clients"))
    }

    fn place(&self, whom: &Target, now: Moment) -> Result<Place, String> {
        if let Target::Range(range) = whom {
            return Ok(Place::Range(*range));
        }
        let id = self.find(whom, now)?;
        let address = self.clients.info(id, now).and_then(|client| client.peer.address());
        Ok(address.map_or(Place::Client(id), |address| Place::Range(command::range_of(address))))
    }
}

fn clients(number: usize) -> String {
    count(number as u64, "client")
}

fn too_many(_: TooManyBans) -> String {
    format!("there are {} already, the most: end one first", Bans::MOST)
}
