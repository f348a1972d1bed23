//! Which connections are admitted, and after which steps. The server reads the files again on SIGHUP.

use super::password_step;
use crate::chat::text::NOT_ALLOWED;
use crate::clients::close_reason::CloseReason;
use crate::clients::refusal::Refusal;
use crate::net::access_list::AccessList;
use crate::net::cidr::Cidr;
use crate::net::entry_config::{EntryConfig, TlsFiles};
use crate::net::failures::Failures;
use crate::net::password::Password;
use crate::net::peer::Peer;
use crate::net::tls::TlsConfig;
use crate::util::clock::Moment;
use crate::util::plural::count;
use crate::util::quoted::quoted;
use crate::util::small_file;
use crate::util::trim::TrimMemory;
use log::{error, info, warn};
use std::path::Path;

/// The rules in force.
#[derive(Debug)]
pub struct EntryRules {
    config: EntryConfig,
    access: AccessList,
    pub(super) password: Option<Password>,
    pub(super) tls: Option<TlsConfig>,
    pub(super) failures: Failures,
}

impl EntryRules {
    /// Reads the files that the options name.
    ///
    /// # Errors
    /// One line that names the option and the file.
    pub fn read(config: EntryConfig) -> Result<Self, String> {
        Ok(Self {
            access: config.access.as_deref().map(read_access).transpose()?.unwrap_or_default(),
            password: config.password.as_deref().map(read_password).transpose()?,
            tls: config.tls.as_ref().map(read_tls).transpose()?,
            failures: Failures::default(),
            config,
        })
    }

    /// Reads the files again. If one is wrong, what was read from it before stays in force. Clients in the room stay.
    pub fn reread(&mut self) {
        if let Some(path) = &self.config.access {
            match read_access(path) {
                Ok(access) => {
                    info!("access list reread: {}", count(access.len() as u64, "rule"));
                    self.access = access;
                }
                Err(why) => error!("{why}; the old rules stay"),
            }
        }
        if let Some(path) = &self.config.password {
            match read_password(path) {
                Ok(password) => {
                    info!("password reread");
                    self.password = Some(password);
                }
                Err(why) => error!("{why}; the old password stays"),
            }
        }
        if let Some(files) = &self.config.tls {
            match read_tls(files) {
                Ok(tls) => {
                    info!("certificate reread");
                    self.tls = Some(tls);
                }
                Err(why) => error!("{why}; the old certificate stays"),
            }
        }
    }

    /// Whether wrong passwords are remembered.
    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Forgets wrong passwords that do not count any more, and returns their memory.
    pub fn forget_failures(&mut self, now: Moment) {
        self.failures.forget_old(now);
        if self.failures.has_slack() {
            self.failures.trim();
        }
    }

    /// Peers that send a PROXY header first.
    pub fn proxies(&self) -> &[Cidr] {
        &self.config.proxies
    }

    /// Whether a peer must send a PROXY header first.
    pub fn is_proxy(&self, peer: Peer) -> bool {
        peer.address().is_some_and(|address| self.proxies().iter().any(|proxy| proxy.contains(address)))
    }

    /// Whether newcomers must send a password.
    pub const fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Whether there is a certificate.
    pub const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether any connection may need steps before it is admitted. Connections with TLS always do.
    pub fn has_steps(&self) -> bool {
        !self.config.proxies.is_empty() || self.password.is_some() || self.tls.is_some()
    }

    /// Why the access list refuses a peer, if it does. Unix sockets are exempt.
    pub(super) fn refusal(&self, peer: Peer) -> Option<Refusal> {
        let address = peer.address()?;
        let text = format!("{NOT_ALLOWED}this server does not admit your address");
        (!self.access.allows(address)).then(|| Refusal::new(CloseReason::NotAllowed, text))
    }
}

fn read_access(path: &Path) -> Result<AccessList, String> {
    AccessList::read(path).map_err(|why| format!("--access {}: {why}", shown(path)))
}

fn read_password(path: &Path) -> Result<Password, String> {
    let password = Password::read(path).and_then(|password| {
        let can_be_sent = password_step::can_be_sent(password.bytes());
        can_be_sent.then_some(password).ok_or_else(|| {
            "the first line looks like the opening of another protocol: choose another password".to_owned()
        })
    });
    warn_if_readable("password-file", path);
    password.map_err(|why| format!("--password-file {}: {why}", shown(path)))
}

fn read_tls(files: &TlsFiles) -> Result<TlsConfig, String> {
    warn_if_readable("tls-key", &files.key);
    TlsConfig::read(&files.cert, &files.key)
}

/// Every user of this machine would know the secret.
fn warn_if_readable(option: &str, path: &Path) {
    if small_file::is_readable_by_others(path) {
        warn!(
            "--{option} {}: every user of this machine can read it: chmod o-r would prevent that",
            shown(path)
        );
    }
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
