//! The address of a unix socket: a file, or a name in Linux's abstract namespace.

use crate::wire::escape;
use socket2::{Domain, SockAddr, Socket, Type};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The most bytes of a path or a name: `sun_path` of unix(7), without the NUL byte at its one end.
const MAX_LENGTH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// The address of a unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnixAddr {
    /// A file.
    Path(PathBuf),
    /// A name in the abstract namespace of Linux. It has no file and no permissions, and it is gone when the last
    /// process closes the socket.
    Abstract(Vec<u8>),
}

impl UnixAddr {
    /// Reads what follows `unix:`: a path or, on Linux, `@NAME`.
    ///
    /// # Errors
    /// What is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix('@').filter(|_| cfg!(any(target_os = "linux", target_os = "android"))) {
            Some("") => Err("the name is missing after unix:@".to_owned()),
            Some(name) => Ok(Self::Abstract(name.as_bytes().to_owned())),
            None if text.is_empty() => Err("the path is missing after unix:".to_owned()),
            None => Ok(Self::Path(text.into())),
        }
    }

    /// A new socket that is connected to the address, or is connecting if it is `nonblocking`.
    ///
    /// # Errors
    /// Those of the system, and a path or name that is too long.
    pub fn connect(&self, nonblocking: bool) -> io::Result<Socket> {
        let address = self.to_sock_addr()?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(nonblocking)?;
        socket.connect(&address)?;
        Ok(socket)
    }

    /// The address as the system's calls take it.
    ///
    /// # Errors
    /// A path or name that is too long.
    pub(super) fn to_sock_addr(&self) -> io::Result<SockAddr> {
        let (noun, bytes) = match self {
            Self::Path(path) => ("path", path.as_os_str().as_bytes().to_owned()),
            // A NUL byte stands for the namespace.
            Self::Abstract(name) => ("name", [b"\0", name.as_slice()].concat()),
        };
        SockAddr::unix(OsStr::from_bytes(&bytes)).map_err(|_| {
            io::Error::other(format!("the {noun} is too long for a unix socket: at most {MAX_LENGTH} bytes"))
        })
    }
}

impl From<&SockAddr> for UnixAddr {
    /// The address of a unix socket; an empty path if it has none.
    fn from(address: &SockAddr) -> Self {
        match address.as_abstract_namespace() {
            Some(name) => Self::Abstract(name.to_owned()),
            None => Self::Path(address.as_pathname().map(ToOwned::to_owned).unwrap_or_default()),
        }
    }
}

impl fmt::Display for UnixAddr {
    /// `unix:PATH` or `unix:@NAME`, without control characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, bytes) = match self {
            Self::Path(path) => ("unix:", path.as_os_str().as_bytes()),
            Self::Abstract(name) => ("unix:@", name.as_slice()),
        };
        write!(f, "{start}{}", String::from_utf8_lossy(&escape::escape(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_is_given_and_control_characters_and_wrong_utf8_are_escaped() {
        for text in ["/run/room", "room", "./@room", "@room", "@a b/c", "@@"] {
            let shown = UnixAddr::parse(text).expect(text).to_string();
            assert_eq!(shown, format!("unix:{text}"));
        }
        let path = UnixAddr::Path(OsStr::from_bytes(b"a\n\xFF").into());
        assert_eq!(path.to_string(), "unix:a\\x0A\\xFF");
        assert_eq!(UnixAddr::Abstract(b"a\0\x1B\xFF".to_vec()).to_string(), "unix:@a\\x00\\x1B\\xFF");
    }

    #[test]
    fn the_system_gives_back_the_address_that_it_got() {
        let longest = "@".to_owned() + &"x".repeat(MAX_LENGTH);
        for text in ["/run/room", "@room", &longest] {
            let address = UnixAddr::parse(text).expect(text);
            assert_eq!(UnixAddr::from(&address.to_sock_addr().expect(text)), address);
        }
        for text in [longest + "x", "x".repeat(MAX_LENGTH + 1)] {
            assert!(UnixAddr::parse(&text).expect(&text).to_sock_addr().is_err(), "{text}");
        }
    }
}
