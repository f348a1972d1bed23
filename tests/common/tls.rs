//! Certificates made at test time, and a TLS client that the test moves step by step.

use super::Folder;
use hubbub::net::tls::TlsConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

/// The versions of TLS that the server speaks.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A self-signed certificate and its key, in PEM format.
pub struct Certificate {
    pub cert: String,
    pub key: String,
}

impl Certificate {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }
}

/// Returns the configuration of a server with a new certificate. `test` names its folder.
#[track_caller]
pub fn server_config(test: &str) -> TlsConfig {
    let folder = Folder::new(&format!("tls-{test}"));
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let made = Certificate::new();
    std::fs::write(&cert, made.cert).unwrap();
    std::fs::write(&key, made.key).unwrap();
    TlsConfig::read(&cert, &key).unwrap()
}

/// Accepts every certificate.
#[derive(Debug)]
struct AnyCertificate(CryptoProvider);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// How the output of the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With close_notify.
    Orderly,
    /// Without it.
    Cut,
    /// With an alert, or with bytes that are not TLS.
    Failed,
}

/// A TLS client over a socket that does not block.
pub struct TlsClient<S> {
    pub socket: S,
    pub session: ClientConnection,
    /// The most bytes of each call on the socket.
    pub piece: usize,
    /// Whether it reads.
    pub reads: bool,
    pub received: Vec<u8>,
    pub end: Option<End>,
}

impl<S: Read + Write> TlsClient<S> {
    pub fn new(socket: S, version: &'static SupportedProtocolVersion) -> Self {
        let provider = ring::default_provider();
        let config = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        let mut session = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        session.set_buffer_limit(None);
        Self { socket, session, piece: usize::MAX, reads: true, received: Vec::new(), end: None }
    }

    /// Encrypts text; the next steps send it.
    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        self.session.writer().write_all(text.as_ref()).unwrap();
    }

    /// Writes to the socket once and reads from it once, as far as it allows; returns whether anything was done.
    pub fn step(&mut self) -> bool {
        let mut socket = Piecewise { socket: &mut self.socket, piece: self.piece };
        let mut progress = false;
        if self.session.wants_write() {
            progress |= self.session.write_tls(&mut socket).is_ok();
        }
        if !self.reads || self.end.is_some() {
            return progress;
        }
        match self.session.read_tls(&mut socket) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return progress,
            // The server has closed a socket with unread input.
            Err(_) => self.end = Some(End::Cut),
        }
        if self.session.process_new_packets().is_err() {
            self.end = Some(End::Failed);
            return true;
        }
        let mut text = vec![0; 64 * 1024];
        loop {
            match self.session.reader().read(&mut text) {
                Ok(0) => self.end = Some(End::Orderly),
                Ok(count) => {
                    self.received.extend_from_slice(&text[..count]);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.end = Some(End::Cut),
            }
            return true;
        }
    }
}

/// A socket of which each call takes at most a certain number of bytes.
struct Piecewise<'a, S> {
    socket: &'a mut S,
    piece: usize,
}

impl<S: Read> Read for Piecewise<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = buffer.len().min(self.piece);
        self.socket.read(&mut buffer[..size])
    }
}

impl<S: Write> Write for Piecewise<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(&bytes[..bytes.len().min(self.piece)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}
