//! The server that the options name, and what is needed to get into its room.

use crate::connect::Target;
use crate::options::Options;
use hubbub::cli::address::Address;
use hubbub::cli::args;
use hubbub::cli::secret::Secret;
use hubbub::net::tls_client::{TlsConnector, Trust};
use std::path::Path;

/// The server to connect to.
#[derive(Debug)]
pub(crate) struct Server {
    address: Address,
    tls: Option<TlsConnector>,
    /// The password of the room, if it is known.
    pub(crate) password: Option<Secret>,
}

impl Server {
    /// Reads the files that the options name.
    ///
    /// # Errors
    /// One line that names the option.
    pub(crate) fn new(options: &Options, address: Address) -> Result<Self, String> {
        if options.trust == Some(Trust::Any) {
            args::print_error(crate::NAME, "--tls-insecure: the server may be another one than it seems");
        }
        let read = |path: &String| {
            Secret::read(Path::new(path)).map_err(|why| args::wrong_value("password-file", path, &why))
        };
        Ok(Self {
            address,
            tls: options.trust.as_ref().map(TlsConnector::new).transpose()?,
            password: options.password_file.as_ref().map(read).transpose()?,
        })
    }

    /// Returns what to connect to; `sends_input` says whether standard input is sent.
    pub(crate) fn target(&self, sends_input: bool) -> Target {
        Target { address: self.address.clone(), sends_input, tls: self.tls.clone() }
    }
}
