//! The tokens of the poll: which socket an event is for.
//!
//! A client's token is its id. Ids leave a range of numbers free, which starts with those of the admin connections.
//! Signals and listeners count down from the highest number.

use crate::admin::Admin;
use crate::net::transport::PlainStream;
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
    /// The acceptor knows its listeners by their tokens.
    Listener(Token),
}

const FIRST_ADMIN: usize = ClientId::FIRST_FREE;
const AFTER_ADMIN: usize = FIRST_ADMIN + Admin::<PlainStream>::MOST;

impl Source {
    /// What the token stands for.
    pub(super) const fn of(token: Token) -> Self {
        match token {
            SIGNALS => Self::Signals,
            Token(number @ ..FIRST_ADMIN) => Self::Client(ClientId::from_number(number)),
            Token(number @ FIRST_ADMIN..AFTER_ADMIN) => Self::Admin(number - FIRST_ADMIN),
            listener => Self::Listener(listener),
        }
    }
}

/// The token of a client.
pub(super) const fn client(id: ClientId) -> Token {
    Token(id.number())
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
            assert_eq!(Source::of(client(id)), Source::Client(id));
        }
        for slot in [0, Admin::<PlainStream>::MOST - 1] {
            assert_eq!(Source::of(admin(slot)), Source::Admin(slot));
        }
        for number in [AFTER_ADMIN, usize::MAX - 1] {
            assert_eq!(Source::of(Token(number)), Source::Listener(Token(number)));
        }
        assert_eq!(Source::of(SIGNALS), Source::Signals);
    }
}
