//! Errors of TLS in the words of a user.

use crate::util::plural;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};
use std::time::Duration;

/// What to do about a certificate that is not trusted.
const TRUST_IT: &str = "give its certificate with --tls-ca FILE, or accept any with --tls-insecure";
/// The server's first bytes are no TLS.
const NO_TLS: &str = "the server does not speak TLS on this port: leave out --tls";
/// The server has closed the connection during the handshake.
pub(super) const CLOSED_EARLY: &str = "the server closed the connection during the TLS handshake: if it does not speak TLS on this port, leave out --tls";
/// The server has closed the connection without the message that ends TLS: somebody else may have cut it.
pub(super) const CLOSED_WITHOUT_END: &str = "the server closed it without the end of TLS (close_notify)";

/// Returns why TLS failed and what the user can do; `is_handshaking` tells whether the handshake was complete.
pub(super) fn explain(error: &Error, is_handshaking: bool) -> String {
    match error {
        Error::InvalidCertificate(error) => explain_certificate(error),
        Error::AlertReceived(AlertDescription::AccessDenied) => {
            "the server does not allow your address".to_owned()
        }
        Error::AlertReceived(alert) => format!("the server ended TLS: {alert:?}"),
        Error::InvalidMessage(_) if is_handshaking => NO_TLS.to_owned(),
        error => format!("TLS failed: {error}"),
    }
}

fn explain_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            format!("the server's certificate expired {} ago", between(*not_after, *time))
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the server's certificate is valid only in {}: is the clock of this machine right?",
            between(*time, *not_before)
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented.iter().filter_map(|name| plain_name(name)).collect::<Vec<_>>();
            let host = expected.to_str();
            match names.is_empty() {
                true => format!("the server's certificate names no host (subjectAltName); {TRUST_IT}"),
                false => format!(
                    "the server's certificate is for {}, not for {host}: connect to a name that it is for",
                    names.join(", ")
                ),
            }
        }
        // A certificate that was made without an authority may be that of an authority itself (Other). A trusted one of
        // the same name may have another key (BadSignature).
        CertificateError::UnknownIssuer | CertificateError::BadSignature | CertificateError::Other(_) => {
            format!("no trusted authority has signed the server's certificate: {TRUST_IT}")
        }
        error => format!("the server's certificate is wrong ({error}); {TRUST_IT}"),
    }
}

/// Returns the host in a name such as `DnsName("localhost")` or `IpAddress(127.0.0.1)`; none for other kinds.
fn plain_name(name: &str) -> Option<&str> {
    let inside = name.strip_prefix("DnsName(").or_else(|| name.strip_prefix("IpAddress("))?;
    Some(inside.strip_suffix(')')?.trim_matches('"'))
}

/// Returns the time between two moments in days, or in minutes if it is short.
fn between(start: UnixTime, end: UnixTime) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let time = Duration::from_secs(end.as_secs().saturating_sub(start.as_secs()));
    let (count, unit) = match time.as_secs() / DAY {
        0 => (time.as_secs().div_ceil(60), "minute"),
        days => (days, "day"),
    };
    plural::count(count, unit)
}
