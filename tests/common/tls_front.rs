//! TLS in front of a server that does not encrypt, and certificates for it.

use super::time_limit;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Bytes of one read.
const READ_SIZE: usize = 16 * 1024;

/// A certificate chain and its key, in PEM format.
pub struct Certificate {
    pub chain: String,
    pub key: String,
}

/// What a certificate is for and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its own authority, as `openssl req -x509` makes it.
    Authority,
    /// Signed by its own key, for a server only.
    SelfSigned,
    Expired,
    NotYetValid,
}

impl Certificate {
    /// Makes a certificate for `names`, signed by its own key.
    #[track_caller]
    pub fn new(kind: Kind, names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let made = parameters(kind, names).self_signed(&key).unwrap();
        Self { chain: made.pem(), key: key.serialize_pem() }
    }

    /// Makes a certificate for `names` that another one has signed. Returns that of the authority too.
    #[track_caller]
    pub fn signed(names: &[&str]) -> (Self, String) {
        let authority_key = KeyPair::generate().unwrap();
        let authority = parameters(Kind::Authority, &[]);
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let made = parameters(Kind::SelfSigned, names).signed_by(&key, &issuer).unwrap();
        (Self { chain: made.pem(), key: key.serialize_pem() }, authority_pem)
    }

    /// Returns the configuration of a server with this certificate.
    #[track_caller]
    pub fn config(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        Arc::new(config.with_no_client_auth().with_single_cert(chain.unwrap(), key).unwrap())
    }
}

fn parameters(kind: Kind, names: &[&str]) -> CertificateParams {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut parameters = CertificateParams::new(names).unwrap();
    match kind {
        Kind::Authority => parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        Kind::SelfSigned => {}
        Kind::Expired => parameters.not_after = date_time_ymd(2020, 1, 2),
        Kind::NotYetValid => parameters.not_before = date_time_ymd(4000, 1, 2),
    }
    parameters
}

/// Accepts TLS on a port of 127.0.0.1 and connects each client to `server`, for as long as the test runs.
#[track_caller]
pub fn tls_front(server: SocketAddr, certificate: &Certificate) -> SocketAddr {
    tls_front_after("", server, certificate)
}

/// Like [`tls_front`], but sends `first` to each client before TLS.
#[track_caller]
pub fn tls_front_after(first: &'static str, server: SocketAddr, certificate: &Certificate) -> SocketAddr {
    let config = certificate.config(rustls::ALL_VERSIONS);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (config, inner) = (Arc::clone(&config), TcpStream::connect(server).unwrap());
            // A client that leaves early is no concern of the front.
            thread::spawn(move || {
                (&client).write_all(first.as_bytes())?;
                Front::new(client, inner, config)?.run()
            });
        }
    });
    address
}

/// One client and its connection to the server.
struct Front {
    client: TcpStream,
    inner: TcpStream,
    tls: ServerConnection,
    /// Bytes of the server that are not encrypted yet.
    pending: Vec<u8>,
    /// Whether the client and the server may send more.
    is_open: [bool; 2],
}

impl Front {
    fn new(client: TcpStream, inner: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        client.set_nonblocking(true)?;
        client.set_nodelay(true)?;
        inner.set_nonblocking(true)?;
        inner.set_write_timeout(Some(time_limit()))?;
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self { client, inner, tls, pending: Vec::new(), is_open: [true; 2] })
    }

    fn run(mut self) -> io::Result<()> {
        while self.is_open[1] || self.tls.wants_write() || !self.pending.is_empty() {
            self.wait()?;
            if self.is_open[0] {
                self.read_client()?;
            }
            if self.is_open[1] && self.pending.is_empty() {
                self.read_server()?;
            }
            self.flush()?;
            if !self.tls.is_handshaking() && !self.tls.wants_write() {
                let taken = self.tls.writer().write(&self.pending)?;
                self.pending.drain(..taken);
            }
            self.flush()?;
        }
        self.tls.send_close_notify();
        self.client.set_nonblocking(false)?;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() && would_block(self.tls.write_tls(&mut self.client))?.is_some() {}
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut ready = Vec::new();
        let mut client = PollFlags::empty();
        client.set(PollFlags::IN, self.is_open[0]);
        client.set(PollFlags::OUT, self.tls.wants_write());
        if !client.is_empty() {
            ready.push(PollFd::new(&self.client, client));
        }
        if self.is_open[1] && self.pending.is_empty() {
            ready.push(PollFd::new(&self.inner, PollFlags::IN));
        }
        poll(&mut ready, None)?;
        Ok(())
    }

    fn read_client(&mut self) -> io::Result<()> {
        let Some(bytes) = would_block(self.tls.read_tls(&mut self.client))? else { return Ok(()) };
        let state = self.tls.process_new_packets();
        if state.is_err() {
            // Sends the alert.
            while self.tls.wants_write() {
                self.tls.write_tls(&mut self.client)?;
            }
        }
        let state = state.map_err(io::Error::other)?;
        let mut bytes_read = vec![0; state.plaintext_bytes_to_read()];
        self.tls.reader().read_exact(&mut bytes_read)?;
        let mut rest = &bytes_read[..];
        while !rest.is_empty() {
            match would_block(self.inner.write(rest))? {
                Some(taken) => rest = &rest[taken..],
                None => thread::yield_now(),
            }
        }
        if bytes == 0 || state.peer_has_closed() {
            self.is_open[0] = false;
            self.inner.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    fn read_server(&mut self) -> io::Result<()> {
        let mut bytes = [0; READ_SIZE];
        match would_block(self.inner.read(&mut bytes))? {
            Some(0) => self.is_open[1] = false,
            Some(count) => self.pending.extend_from_slice(&bytes[..count]),
            None => {}
        }
        Ok(())
    }
}

fn would_block<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}
