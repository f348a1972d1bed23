//! The tokens of the poll: which socket an event is for.
//!
//! A client's token is its id. Ids leave a range of numbers free, which starts with those of the admin connections and
//! of the connections that are not admitted yet.
//! Signals and listeners count down from the highest number.

use crate::admin::Admin;
use crate::net::transport::PlainStream;
use crate::pending::Pending;
use crate::util::id_slab::ClientId;
use mio::Token;

/// The token of the signals.
pub(super) const SIGNALS: Token = Token(usize::MAX);

/// What an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Signals,
    Client(ClientId),
    /// The slot of an admin connection.
    Admin(usize),
    /// The slot of a connection that is not admitted yet.
    Pending(usize),
    /// The acceptor knows its listeners by their tokens.
    Listener(Token),
}

const FIRST_ADMIN: usize = ClientId::FIRST_FREE;
/// The first token of the connections that are not admitted yet.
pub(super) const FIRST_PENDING: usize = FIRST_ADMIN + Admin::<PlainStream>::MOST;
const AFTER_PENDING: usize = FIRST_PENDING + Pending::MAX;

impl Source {
    /// What the token stands for.
    pub(super) const fn of(token: Token) -> Self {
        match token {
            SIGNALS => Self::Signals,
            Token(number @ ..FIRST_ADMIN) => Self::Client(ClientId::from_number(number)),
            Token(number @ FIRST_ADMIN..FIRST_PENDING) => Self::Admin(number - FIRST_ADMIN),
            Token(number @ FIRST_PENDING..AFTER_PENDING) => Self::Pending(number - FIRST_PENDING),
            listener => Self::Listener(listener),
        }
    }
}

/// The token of an admin connection.
pub(super) const fn admin(slot: usize) -> Token {
    Token(FIRST_ADMIN + slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_stands_for_one_source() {
        for id in [0, 7, ClientId::FIRST_FREE - 1].map(ClientId::from_number) {
            assert_eq!(Source::of(Token(id.number())), Source::Client(id));
        }
        for slot in [0, Admin::<PlainStream>::MOST - 1] {
            assert_eq!(Source::of(admin(slot)), Source::Admin(slot));
        }
        for slot in [0, Pending::MAX - 1] {
            assert_eq!(Source::of(Token(FIRST_PENDING + slot)), Source::Pending(slot));
        }
        for number in [AFTER_PENDING, usize::MAX - 1] {
            assert_eq!(Source::of(Token(number)), Source::Listener(Token(number)));
        }
        assert_eq!(Source::of(SIGNALS), Source::Signals);
    }
}
