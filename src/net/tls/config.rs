//! The certificate and the key of the server.

use crate::util::os_error;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{Error, InconsistentKeys, ServerConfig};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

/// The most bytes of each file. A chain of certificates has some kilobytes.
const MAX_FILE: u64 = 256 * 1024;

/// A certificate and its key; a clone shares them.
#[derive(Debug, Clone)]
pub struct TlsConfig(pub(super) Arc<ServerConfig>);

impl TlsConfig {
    /// Reads a chain of certificates, the server's own first, and its private key, both in PEM format.
    ///
    /// # Errors
    /// One line that names the option and the file, if a file cannot be read, lacks what is needed, or has more than
    /// 256 KiB, or if the key does not belong to the certificate.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, String> {
        let in_cert = |why: String| format!("--tls-cert \"{}\": {why}", cert.display());
        let in_key = |why: String| format!("--tls-key \"{}\": {why}", key.display());
        let chain = read_file(cert).and_then(|pem| chain_in(&pem)).map_err(in_cert)?;
        let private_key = read_file(key).and_then(|pem| key_in(&pem)).map_err(in_key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| in_cert(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, private_key);
        let mut config = config.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                in_key(format!("the key does not belong to the certificate in \"{}\"", cert.display()))
            }
            Error::InvalidCertificate(why) => in_cert(format!("the first certificate is not valid: {why:?}")),
            error => in_key(format!("the key cannot be used: {error}")),
        })?;
        // A client that comes back makes a new handshake: nothing of a session is kept here or there.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|error| os_error::text(&error))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("must be at most {MAX_FILE} bytes long"));
    }
    Ok(bytes)
}

fn chain_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match chain.map_err(|error| not_pem(&error))? {
        chain if chain.is_empty() => Err("has no certificate in PEM format".to_owned()),
        chain => Ok(chain),
    }
}

fn key_in(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        // The file has "BEGIN ENCRYPTED PRIVATE KEY", or "Proc-Type: 4,ENCRYPTED".
        if memchr::memmem::find(pem, b"ENCRYPTED").is_some() {
            return "the key is encrypted with a passphrase; openssl pkey -in FILE -out NEW decrypts it"
                .to_owned();
        }
        match error {
            PemError::NoItemsFound => "has no private key in PEM format".to_owned(),
            error => not_pem(&error),
        }
    })
}

/// What is wrong with a file in PEM format. Its text, which may be secret, is not shown.
fn not_pem(error: &PemError) -> String {
    let why = match error {
        PemError::MissingSectionEnd { .. } => "an END line is missing",
        PemError::IllegalSectionStart { .. } => "a BEGIN line is broken",
        _ => "the text between BEGIN and END is broken",
    };
    format!("is not in PEM format: {why}")
}

/// What a TLS error means, in a few words for the log.
pub(super) fn error_of(error: &Error) -> io::Error {
    match error {
        Error::AlertReceived(alert) => {
            io::Error::new(ErrorKind::ConnectionAborted, format!("the peer ended TLS: {alert:?}"))
        }
        Error::InvalidMessage(_) => invalid("the peer's bytes are not TLS".to_owned()),
        Error::DecryptError => invalid("a TLS record cannot be decrypted".to_owned()),
        Error::PeerIncompatible(why) => invalid(format!("no common version or cipher of TLS: {why:?}")),
        error => invalid(format!("TLS failed: {error}")),
    }
}

/// An error of the TLS protocol.
pub(super) fn invalid(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}
