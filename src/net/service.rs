//! What a listener serves.

use crate::wire::view::View;
use std::fmt;

/// What the clients of a listener get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The room.
    Room {
        /// How they see it.
        view: View,
        /// Whether the connection is encrypted.
        tls: bool,
    },
    /// The commands of an operator.
    Admin,
}

/// The suffix of an encrypted view; alone it is the plain view.
const TLS: &str = "tls";
const ADMIN: &str = "admin";

impl Service {
    /// All names, for error messages.
    pub const NAMES: &str = "plain, named, json or admin, or for example named+tls";

    /// The service of that name: a view, `VIEW+tls`, `tls` (the same as `plain+tls`) or `admin`.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            ADMIN => Some(Self::Admin),
            TLS => Some(Self::Room { view: View::Plain, tls: true }),
            _ => {
                let (view, tls) = name.strip_suffix("+tls").map_or((name, false), |view| (view, true));
                Some(Self::Room { view: View::by_name(view)?, tls })
            }
        }
    }

    /// The view of the room, if it serves the room.
    pub const fn view(self) -> Option<View> {
        match self {
            Self::Room { view, .. } => Some(view),
            Self::Admin => None,
        }
    }

    /// Whether its connections are encrypted.
    pub const fn has_tls(self) -> bool {
        matches!(self, Self::Room { tls: true, .. })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room { view, tls } => {
                f.write_str(view.name())?;
                if *tls { f.write_str("+tls") } else { Ok(()) }
            }
            Self::Admin => f.write_str(ADMIN),
        }
    }
}
