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
        self.texts().0
    }

    /// The reply that refuses the client, without `* ` and the line end.
    pub const fn refusal(self) -> &'static str {
        self.texts().1
    }

    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Tls => ("TLS", "this is a chat room without TLS: connect with nc or telnet"),
            Self::Http => ("HTTP", "this is a chat room, not a web server: connect with nc or telnet"),
            Self::Ssh => ("SSH", "this is a chat room, not an SSH server: connect with nc or telnet"),
            Self::Proxy => {
                ("PROXY", "this is a chat room that accepts no PROXY header: connect without a proxy")
            }
            Self::Irc => ("IRC", "this is a chat room, not an IRC server: connect with nc or telnet"),
            Self::Smtp => ("SMTP", "this is a chat room, not a mail server: connect with nc or telnet"),
            Self::Rtsp => ("RTSP", "this is a chat room, not an RTSP server: connect with nc or telnet"),
            Self::Sip => ("SIP", "this is a chat room, not a SIP server: connect with nc or telnet"),
            Self::Socks => ("SOCKS", "this is a chat room, not a SOCKS proxy: connect with nc or telnet"),
            Self::Rdp => ("RDP", "this is a chat room, not a remote desktop: connect with nc or telnet"),
            Self::Stun => ("STUN", "this is a chat room, not a STUN server: connect with nc or telnet"),
            Self::Postgres => {
                ("PostgreSQL", "this is a chat room, not a database: connect with nc or telnet")
            }
            Self::Redis => ("Redis", "this is a chat room, not a Redis server: connect with nc or telnet"),
            Self::Mqtt => ("MQTT", "this is a chat room, not an MQTT broker: connect with nc or telnet"),
            Self::Amqp => ("AMQP", "this is a chat room, not an AMQP broker: connect with nc or telnet"),
            Self::BitTorrent => {
                ("BitTorrent", "this is a chat room, not a BitTorrent peer: connect with nc or telnet")
            }
        }
    }
}
