//! What a line of an operator asks for.

use crate::net::cidr::Cidr;
use crate::util::span;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Lists the clients.
    Who,
    /// Disconnects a client.
    Kick { whom: Target, reason: String },
    /// Disconnects and keeps out the clients of a range for a time.
    Ban { whom: Target, time: Duration },
    /// Lists the bans.
    Bans,
    /// Ends a ban.
    Unban(Cidr),
    /// Lets nothing that the clients of a range send reach others.
    Mute(Target),
    /// Ends a mute.
    Unmute(Target),
    /// Lists the mutes.
    Mutes,
    /// Sends a notice to all clients in views with names.
    Say(String),
    /// Lists the figures.
    Stats,
    /// The figures for Prometheus.
    Metrics,
    /// Lists the commands.
    Help,
}

/// Whom a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A client by its id. No name has digits only.
    Id(usize),
    /// A client by its name.
    Name(String),
    /// All clients of a range.
    Range(Cidr),
}

/// The commands as `help` shows them: how they are written, and what they do.
pub(super) const HELP: [(&str, &str); 12] = [
    ("who", "list the clients: id, name, view, address, seconds connected, lines sent, bytes behind"),
    ("kick ID|NAME [REASON]", "disconnect a client"),
    (
        "ban ID|NAME|ADDR[/N] [TIME]",
        "disconnect and keep out an address or a range, for 30m, 2h, 7d; default 1h",
    ),
    ("bans", "list the bans: range, time left"),
    ("unban ADDR[/N]", "end a ban"),
    ("mute ID|NAME|ADDR[/N]", "send nothing from these clients to others, also after they reconnect"),
    ("unmute ID|NAME|ADDR[/N]", "end a mute"),
    ("mutes", "list the mutes"),
    ("say TEXT", "send a notice to all clients that have names"),
    ("stats", "list the figures of the server: name, value"),
    ("metrics", "the same figures in the text format of Prometheus"),
    ("help", "list the commands"),
];

/// How long a ban without a time lasts.
const BAN_TIME: Duration = Duration::from_secs(3600);
/// The longest ban.
const MAX_BAN_TIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// The bits of an IPv6 address that one customer usually has alone (RFC 6177).
const IPV6_PREFIX: u8 = 64;
/// The most characters of a word that an error repeats.
const MAX_QUOTED: usize = 40;

/// Reads a line.
///
/// # Errors
/// What is wrong, and what to write.
pub(super) fn parse(line: &str) -> Result<Command, String> {
    let (word, rest) = split_word(line);
    let name = word.to_ascii_lowercase();
    let Some(usage) = usage(&name) else {
        let names = HELP.map(|(usage, _)| split_word(usage).0).join(", ");
        return Err(format!("unknown command \"{}\": use {names}", shortened(word)));
    };
    let command = match (name.as_str(), rest) {
        ("who", "") => Some(Command::Who),
        ("bans", "") => Some(Command::Bans),
        ("mutes", "") => Some(Command::Mutes),
        ("stats", "") => Some(Command::Stats),
        ("metrics", "") => Some(Command::Metrics),
        ("help", _) => Some(Command::Help),
        (_, "") => None,
        ("say", text) => Some(Command::Say(text.to_owned())),
        (name, rest) => with_target(name, rest)?,
    };
    command.ok_or_else(|| format!("wrong values: write {usage}"))
}

/// Reads the values of a command that is about clients; `None` if there are too many.
fn with_target(name: &str, values: &str) -> Result<Option<Command>, String> {
    let (first, rest) = split_word(values);
    let whom = target(first)?;
    Ok(match (name, whom, rest) {
        ("kick", Target::Range(_), _) => {
            return Err("kick needs an id or a name; ban takes addresses".to_owned());
        }
        ("kick", whom, reason) => Some(Command::Kick { whom, reason: reason.to_owned() }),
        ("ban", whom, "") => Some(Command::Ban { whom, time: BAN_TIME }),
        ("ban", whom, time) => Some(Command::Ban { whom, time: ban_time(time)? }),
        ("unban", Target::Range(range), "") => Some(Command::Unban(range)),
        ("unban", _, "") => return Err("unban needs an address or a range: bans lists them".to_owned()),
        ("mute", whom, "") => Some(Command::Mute(whom)),
        ("unmute", whom, "") => Some(Command::Unmute(whom)),
        _ => None,
    })
}

/// Reads an id, a name, an address with or without a port, or a range.
fn target(text: &str) -> Result<Target, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let id = text.parse().map_err(|_| format!("no client has the id {}", shortened(text)))?;
        return Ok(Target::Id(id));
    }
    if let Ok(address) = text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse()) {
        return Ok(Target::Range(range_of(address)));
    }
    // No name has these signs.
    if text.contains(['/', ':']) {
        return Cidr::parse(text)
            .map(Target::Range)
            .map_err(|why| format!("wrong address \"{}\": {why}", shortened(text)));
    }
    Ok(Target::Name(text.to_owned()))
}

/// What stands for one address: an IPv4 address alone, or the network of an IPv6 address.
pub(super) fn range_of(address: IpAddr) -> Cidr {
    let address = address.to_canonical();
    Cidr::covering(address, if address.is_ipv4() { 32 } else { IPV6_PREFIX })
}

fn ban_time(text: &str) -> Result<Duration, String> {
    let time = span::parse(text).filter(|time| (Duration::from_secs(1)..=MAX_BAN_TIME).contains(time));
    time.ok_or_else(|| {
        format!("wrong time \"{}\": write for example 90s, 30m, 2h or 7d, at most 365d", shortened(text))
    })
}

/// How a command is written.
fn usage(name: &str) -> Option<&'static str> {
    HELP.into_iter().map(|(usage, _)| usage).find(|usage| split_word(usage).0 == name)
}

/// The first word, and the rest without the blanks around it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

/// The beginning of a text, for an error.
pub(super) fn shortened(text: &str) -> &str {
    text.char_indices().nth(MAX_QUOTED).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(name: &str) -> Target {
        Target::Name(name.to_owned())
    }

    fn range(text: &str) -> Target {
        Target::Range(Cidr::parse(text).expect(text))
    }

    fn kick(whom: Target, reason: &str) -> Command {
        Command::Kick { whom, reason: reason.to_owned() }
    }

    fn ban(whom: Target, seconds: u64) -> Command {
        Command::Ban { whom, time: Duration::from_secs(seconds) }
    }

    #[test]
    fn each_command_is_read_in_any_case_and_with_any_blanks() {
        for (line, command) in [
            ("who", Command::Who),
            ("  WHO\t", Command::Who),
            ("kick bob", kick(name("bob"), "")),
            ("Kick  bob  for  spam ", kick(name("bob"), "for  spam")),
            ("kick 4294967297 spam", kick(Target::Id(4_294_967_297), "spam")),
            ("ban bob", ban(name("bob"), 3600)),
            ("ban 7 90s", ban(Target::Id(7), 90)),
            ("ban 203.0.113.7 30m", ban(range("203.0.113.7/32"), 1800)),
            ("ban 203.0.113.7:4000 365d", ban(range("203.0.113.7"), 365 * 24 * 3600)),
            ("ban 203.0.113.0/24 2h", ban(range("203.0.113.0/24"), 7200)),
            ("ban 2001:db8::1 7d", ban(range("2001:db8::/64"), 7 * 24 * 3600)),
            ("ban [2001:db8::1]:80", ban(range("2001:db8::/64"), 3600)),
            ("ban 2001:db8::1/128", ban(range("2001:db8::1"), 3600)),
            ("ban ::ffff:203.0.113.7", ban(range("203.0.113.7"), 3600)),
            ("bans", Command::Bans),
            ("unban 2001:db8::ffff", Command::Unban(Cidr::parse("2001:db8::/64").expect("a range"))),
            ("mute bob", Command::Mute(name("bob"))),
            ("mute 203.0.113.0/24", Command::Mute(range("203.0.113.0/24"))),
            ("unmute 7", Command::Unmute(Target::Id(7))),
            ("mutes", Command::Mutes),
            ("say  hi  all ", Command::Say("hi  all".to_owned())),
            ("stats", Command::Stats),
            ("metrics", Command::Metrics),
            ("help", Command::Help),
            ("HELP kick", Command::Help),
        ] {
            assert_eq!(parse(line), Ok(command), "{line:?}");
        }
    }

    #[test]
    fn the_error_of_a_wrong_command_says_what_to_write() {
        let all = "who, kick, ban, bans, unban, mute, unmute, mutes, say, stats, metrics, help";
        for (line, error) in [
            ("kik bob", format!("unknown command \"kik\": use {all}")),
            ("/who", format!("unknown command \"/who\": use {all}")),
            (&"x".repeat(100), format!("unknown command \"{}\": use {all}", "x".repeat(40))),
            ("kick", "wrong values: write kick ID|NAME [REASON]".into()),
            ("who bob", "wrong values: write who".into()),
            ("say ", "wrong values: write say TEXT".into()),
            ("mute bob now", "wrong values: write mute ID|NAME|ADDR[/N]".into()),
            ("unban 10.0.0.7 1h", "wrong values: write unban ADDR[/N]".into()),
            ("kick 10.0.0.7", "kick needs an id or a name; ban takes addresses".into()),
            ("unban bob", "unban needs an address or a range: bans lists them".into()),
            ("kick 99999999999999999999", "no client has the id 99999999999999999999".into()),
            (
                "ban 10.0.0.7/8",
                "wrong address \"10.0.0.7/8\": the address has bits after the first 8: write 10.0.0.0/8"
                    .into(),
            ),
            (
                "ban 10.0.0.0/33",
                "wrong address \"10.0.0.0/33\": the number after / must be from 0 to 32".into(),
            ),
            ("ban bob 1w", "wrong time \"1w\": write for example 90s, 30m, 2h or 7d, at most 365d".into()),
            ("ban bob 0s", "wrong time \"0s\": write for example 90s, 30m, 2h or 7d, at most 365d".into()),
            (
                "ban bob 366d",
                "wrong time \"366d\": write for example 90s, 30m, 2h or 7d, at most 365d".into(),
            ),
            (
                "ban bob 1h x",
                "wrong time \"1h x\": write for example 90s, 30m, 2h or 7d, at most 365d".into(),
            ),
        ] {
            assert_eq!(parse(line), Err(error), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused_in_one_short_line(line in ".{0,200}|(kick|ban|unban|mute|say) .{0,60}") {
            if let Err(error) = parse(&line) {
                prop_assert!(!error.is_empty() && error.chars().count() < 250, "{error}");
            }
        }
    }
}
