//! The protocols whose clients the server refuses.

/// A protocol that the server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherProtocol {
    /// A TLS or SSL handshake.
    Tls,
    /// An HTTP request.
    Http,
    /// An SSH identification string.
    Ssh,
    /// A header of the PROXY protocol, version 1 or 2.
    Proxy,
    /// The registration of an IRC client.
    Irc,
    /// The greeting of an SMTP client.
    Smtp,
    /// An RTSP request.
    Rtsp,
    /// A SIP request.
    Sip,
    /// A SOCKS request, version 4 or 5.
    Socks,
    /// An RDP connection request.
    Rdp,
    /// A STUN binding request.
    Stun,
    /// A startup packet of a PostgreSQL client.
    Postgres,
    /// A Redis command.
    Redis,
    /// An MQTT connection request.
    Mqtt,
    /// An AMQP protocol header.
    Amqp,
    /// A BitTorrent handshake.
    BitTorrent,
}

impl OtherProtocol {
    /// The protocol's name, for the log.
    pub const fn name(self) -> &'static str {
        self.words().0
    }

    /// The reply that refuses the client, without `* ` and the line end.
    pub fn refusal(self) -> String {
        match self {
            Self::Proxy => {
                "this is a chat room that accepts no PROXY header: connect without a proxy".to_owned()
            }
            _ => format!("this is a chat room, not {}: connect with nc or telnet", self.words().1),
        }
    }

    /// The protocol's name, and what its clients expect.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Tls => ("TLS", "a TLS server"),
            Self::Http => ("HTTP", "a web server"),
            Self::Ssh => ("SSH", "an SSH server"),
            Self::Proxy => ("PROXY", "a server behind a proxy"),
            Self::Irc => ("IRC", "an IRC server"),
            Self::Smtp => ("SMTP", "a mail server"),
            Self::Rtsp => ("RTSP", "an RTSP server"),
            Self::Sip => ("SIP", "a SIP server"),
            Self::Socks => ("SOCKS", "a SOCKS proxy"),
            Self::Rdp => ("RDP", "a remote desktop"),
            Self::Stun => ("STUN", "a STUN server"),
            Self::Postgres => ("PostgreSQL", "a database"),
            Self::Redis => ("Redis", "a Redis server"),
            Self::Mqtt => ("MQTT", "an MQTT broker"),
            Self::Amqp => ("AMQP", "an AMQP broker"),
            Self::BitTorrent => ("BitTorrent", "a BitTorrent peer"),
        }
    }
}
