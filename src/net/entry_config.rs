//! What the command line says about the admission of connections.

use super::cidr::Cidr;
use std::path::PathBuf;

/// The options about admission.
#[derive(Debug, Clone, Default)]
pub struct EntryConfig {
    /// The access list; `None` = all addresses are allowed.
    pub access: Option<PathBuf>,
    /// Peers that send a PROXY header first.
    pub proxies: Vec<Cidr>,
    /// The file with the password; `None` = no password.
    pub password: Option<PathBuf>,
    /// The files with the certificate chain and its key; `None` = no listener has TLS.
    pub tls: Option<TlsFiles>,
}

/// The files with a certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates, in PEM.
    pub cert: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}
