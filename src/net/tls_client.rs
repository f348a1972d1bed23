//! TLS for the programs that connect to a server: which certificates are trusted, and why a handshake fails.

mod explain;
mod stream;
mod verifier;

pub use stream::TlsStream;

use crate::net::transport::PlainStream;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName, ServerName};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use verifier::{AnyCertificate, TrustedCertificates};

/// Which certificates of servers are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those that an authority of the system has signed. `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the authorities.
    System,
    /// Those in this PEM file, and those that they have signed.
    File(PathBuf),
    /// Any certificate: the server may be another one than it seems.
    Any,
}

/// Encrypts connections to servers.
#[derive(Debug, Clone)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
    checks_name: bool,
}

impl TlsConnector {
    /// Reads the trusted certificates.
    ///
    /// # Errors
    /// One line that says why there are none.
    pub fn new(trust: &Trust) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot use TLS: {error}"))?
            .dangerous();
        let config = match trust {
            Trust::System => config.with_custom_certificate_verifier(Arc::new(TrustedCertificates::new(
                system_certificates()?,
                provider,
            )?)),
            Trust::File(path) => {
                let wrong = |why: String| format!("--tls-ca \"{}\": {why}", path.display());
                let trusted =
                    certificates_in(path).and_then(|found| TrustedCertificates::new(found, provider));
                config.with_custom_certificate_verifier(Arc::new(trusted.map_err(wrong)?))
            }
            Trust::Any => config.with_custom_certificate_verifier(Arc::new(AnyCertificate::new(&provider))),
        };
        let mut config = config.with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), checks_name: *trust != Trust::Any })
    }

    /// Starts TLS on `socket`, which is connected or connecting to `host`. The certificate must be for `host`, a name
    /// or an IP address.
    ///
    /// # Errors
    /// Why no certificate can be for `host`.
    pub fn start(&self, socket: PlainStream, host: &str) -> Result<TlsStream, String> {
        // An IPv6 address may have an interface, as in fe80::1%eth0.
        let address = host.split('%').next().unwrap_or(host);
        let name = match ServerName::try_from(address.to_owned()) {
            Ok(name) => name,
            Err(_) if !self.checks_name => placeholder(),
            Err(_) => return Err(format!("no certificate can be for \"{host}\": {NO_NAME}")),
        };
        TlsStream::new(Arc::clone(&self.config), name, socket)
    }
}

/// Why a host has no name for a certificate.
const NO_NAME: &str = "it must be an IP address, or a name of ASCII letters, digits, - and .";

/// Returns a name for a connection on which no name is checked.
fn placeholder() -> ServerName<'static> {
    DnsName::try_from("localhost").map_or_else(
        |_| ServerName::IpAddress(std::net::IpAddr::from(std::net::Ipv4Addr::LOCALHOST).into()),
        ServerName::DnsName,
    )
}

fn system_certificates() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    match (found.certs.is_empty(), found.errors.first()) {
        (false, _) => Ok(found.certs),
        (true, None) => Err("this system trusts no authority for TLS: give --tls-ca FILE".to_owned()),
        (true, Some(error)) => {
            Err(format!("cannot read the authorities that this system trusts: {error}; give --tls-ca FILE"))
        }
    }
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => {
            Err("there is no certificate in it: it must be a PEM file with BEGIN CERTIFICATE".to_owned())
        }
        Ok(found) => Ok(found),
        Err(rustls::pki_types::pem::Error::Io(error)) => Err(crate::util::os_error::text(&error)),
        Err(error) => Err(format!("not a PEM file: {error}")),
    }
}
