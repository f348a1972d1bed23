//! A crowd with scripted sockets and a clock set by hand.

use hubbub::chat::room::{Room, RoomConfig};
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::{ClientLimits, Clients};
use hubbub::net::fd_limit::ConnectionBudget;
use hubbub::net::peer::Peer;
use hubbub::net::transport::Transport;
use hubbub::util::clock::Moment;
use hubbub::util::id_slab::ClientId;
use hubbub::wire::line_decoder::LineRules;
use hubbub::wire::view::View;
use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// Bytes of the feed where a test does not care; divides well.
pub const FEED: usize = 64_000;
pub const STALL_TIMEOUT: Duration = Duration::from_secs(5);
pub const A_MILLISECOND: Duration = Duration::from_millis(1);
/// More turns than any test needs before a crowd that still has work is taken for one that spins.
pub const MOST_TURNS: usize = 10_000;

/// What a socket does with one write.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Take {
    #[default]
    All,
    /// So many bytes, or all if there are fewer.
    Bytes(usize),
    NotNow,
    Fail(ErrorKind),
}

/// What was done with a socket.
#[derive(Debug)]
pub enum Done {
    /// So much was read from it; nothing is the end of the input.
    Read(Vec<u8>),
    ReadFailed(ErrorKind),
    /// So much was written to it.
    Wrote(Vec<u8>),
    WriteFailed(ErrorKind),
    Shut,
    /// The table let go of it.
    Dropped,
}

/// What was done with the sockets that share it, in the order in which it was done, by their numbers.
/// A call that was interrupted is no news, for it is made again.
pub type Diary = Rc<RefCell<Vec<(usize, Done)>>>;

/// What a socket does from now on, and what it was asked.
#[derive(Default)]
pub struct Script {
    /// Results of reads: an empty one is the end of input. Then nothing is there yet.
    pub input: VecDeque<Result<Vec<u8>, ErrorKind>>,
    /// Every read fails so, whatever the input.
    pub read_always_fails: Option<ErrorKind>,
    /// Results of writes, and the result of all further ones.
    pub takes: VecDeque<Take>,
    pub then_takes: Take,
    pub reads: usize,
    pub writes: usize,
    pub heard: Vec<u8>,
    pub is_shut: bool,
    /// Where what is done with it is noted, and its number there.
    pub diary: Option<(usize, Diary)>,
}

impl Script {
    fn note(&self, done: Done) {
        let is_always_logged = !matches!(
            done,
            Done::ReadFailed(ErrorKind::Interrupted) | Done::WriteFailed(ErrorKind::Interrupted)
        );
        if let Some((number, diary)) = self.diary.as_ref().filter(|_| is_always_logged) {
            diary.borrow_mut().push((*number, done));
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.reads += 1;
        if let Some(kind) = self.read_always_fails {
            return Err(kind);
        }
        let mut bytes = self.input.pop_front().unwrap_or(Err(ErrorKind::WouldBlock))?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        if count < bytes.len() {
            self.input.push_front(Ok(bytes.split_off(count)));
        }
        Ok(count)
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, ErrorKind> {
        self.writes += 1;
        assert!(!self.is_shut, "nothing is written after the shutdown");
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        assert!(length > 0, "a write of nothing");
        let count = match self.takes.pop_front().unwrap_or(self.then_takes) {
            Take::All => length,
            Take::Bytes(count) => count.min(length),
            Take::NotNow => return Err(ErrorKind::WouldBlock),
            Take::Fail(kind) => return Err(kind),
        };
        let end = self.heard.len() + count;
        slices.iter().for_each(|slice| self.heard.extend_from_slice(slice));
        self.heard.truncate(end);
        Ok(count)
    }
}

#[derive(Clone, Default)]
pub struct FakeSocket(Rc<RefCell<Script>>);

impl Transport for FakeSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut script = self.0.borrow_mut();
        let read = script.read(buffer);
        script.note(read.map_or_else(Done::ReadFailed, |bytes| Done::Read(buffer[..bytes].to_vec())));
        Ok(read?)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut script = self.0.borrow_mut();
        let wrote = script.write(slices);
        script.note(wrote.map_or_else(Done::WriteFailed, |bytes| {
            Done::Wrote(script.heard[script.heard.len() - bytes..].to_vec())
        }));
        Ok(wrote?)
    }

    fn shutdown_write(&mut self) {
        let mut script = self.0.borrow_mut();
        script.is_shut = true;
        script.note(Done::Shut);
    }
}

impl Drop for FakeSocket {
    fn drop(&mut self) {
        // The test keeps the other.
        if Rc::strong_count(&self.0) == 2 {
            self.0.borrow().note(Done::Dropped);
        }
    }
}

/// One client as the test sees it.
pub struct Client {
    pub key: ClientId,
    pub socket: FakeSocket,
}

impl Client {
    /// One who has not come yet, and of whom `diary` tells under that number.
    pub fn outside(number: usize, diary: &Diary) -> Self {
        let client = Self { key: ClientId::from_number(ClientId::FIRST_FREE), socket: FakeSocket::default() };
        client.edit().diary = Some((number, Rc::clone(diary)));
        client
    }

    pub fn script(&self) -> Ref<'_, Script> {
        self.socket.0.borrow()
    }

    pub fn edit(&self) -> RefMut<'_, Script> {
        self.socket.0.borrow_mut()
    }

    /// What its next writes do, and all later ones.
    pub fn takes<const N: usize>(&self, takes: [Take; N], then: Take) {
        let mut script = self.edit();
        script.takes = takes.into();
        script.then_takes = then;
    }

    pub fn will_read(&self, bytes: impl AsRef<[u8]>) {
        self.edit().input.push_back(Ok(bytes.as_ref().to_vec()));
    }

    pub fn will_end(&self) {
        self.will_read("");
    }

    pub fn will_fail(&self, kind: ErrorKind) {
        self.edit().input.push_back(Err(kind));
    }

    pub fn heard(&self) -> Vec<u8> {
        self.script().heard.clone()
    }

    #[track_caller]
    pub fn has_heard(&self, text: impl AsRef<[u8]>) {
        let (heard, text) = (self.heard(), text.as_ref().to_vec());
        assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(&text));
    }

    pub fn unread(&self) -> usize {
        self.script().input.iter().flatten().map(Vec::len).sum()
    }

    /// Whether the crowd has dropped its socket.
    pub fn is_gone(&self) -> bool {
        Rc::strong_count(&self.socket.0) == 1
    }
}

/// What holds in a room with a feed of that size where a test does not care.
pub fn config(feed: usize) -> RoomConfig {
    RoomConfig {
        rules: LineRules { max_line: feed / Room::LINES_PER_FEED, raw: false },
        feed,
        history: 0,
        welcome: String::new(),
        stall_timeout: STALL_TIMEOUT,
        rate: None,
        views: vec![View::Plain],
        time_of_day: || "2026-01-02T03:04:05.678Z".to_owned(),
    }
}

/// No limit that a test would meet.
pub const fn limits() -> ClientLimits {
    ClientLimits {
        connections: ConnectionBudget { clients: 1000, refusals: 32 },
        per_network: None,
        idle_timeout: None,
        flush_after: None,
        close_timeout: STALL_TIMEOUT,
    }
}

/// A clients, and the part of the server that calls its steps.
pub struct Table {
    pub clients: Clients<FakeSocket>,
    pub now: Moment,
}

impl Table {
    pub fn new(feed: usize, welcome: &str) -> Self {
        Self::with(RoomConfig { welcome: welcome.to_owned(), ..config(feed) }, limits())
    }

    /// Nobody yet, in a room of those manners and limits.
    pub fn with(config: RoomConfig, limits: ClientLimits) -> Self {
        let clients = Clients::new(Room::new(config).unwrap(), limits);
        Self { clients, now: Moment::default() }
    }

    /// A crowd of `N` who were told no welcome.
    pub fn of<const N: usize>(feed: usize) -> (Self, [Client; N]) {
        let mut table = Self::new(feed, "");
        let clients = std::array::from_fn(|_| table.join());
        table.settle();
        (table, clients)
    }

    #[track_caller]
    pub fn join(&mut self) -> Client {
        self.join_in(View::Plain, Ipv4Addr::LOCALHOST.into())
    }

    /// One who sees the room in that view.
    #[track_caller]
    pub fn join_view(&mut self, view: View) -> Client {
        self.join_in(view, Ipv4Addr::LOCALHOST.into())
    }

    #[track_caller]
    pub fn join_from(&mut self, address: IpAddr) -> Client {
        self.join_in(View::Plain, address)
    }

    #[track_caller]
    fn join_in(&mut self, view: View, address: IpAddr) -> Client {
        let socket = FakeSocket::default();
        let peer = Peer::from(SocketAddr::from((address, 1)));
        let watch = |_: &mut FakeSocket, _| Ok(());
        let key = self.clients.admit(socket.clone(), view, peer, self.now, watch).unwrap();
        Client { key, socket }
    }

    /// The steps of one turn of the server, in its order.
    pub fn turn(&mut self) {
        self.clients.run_timers(self.now);
        self.clients.read(self.now);
        self.write();
        self.clients.disconnect_stalled(self.now);
        self.clients.sweep(self.now);
    }

    pub fn shut_down(&mut self) {
        self.clients.shut_down(self.now);
    }

    pub fn write(&mut self) {
        self.clients.write(self.now);
    }

    /// Turns until there is no work that waits for no report.
    #[track_caller]
    pub fn settle(&mut self) {
        for _ in 0..MOST_TURNS {
            if !self.clients.has_work() {
                return;
            }
            self.turn();
        }
        panic!("after {MOST_TURNS} turns there is still work");
    }

    #[track_caller]
    pub fn passes(&mut self, span: Duration) {
        self.now = self.now.after(span);
        self.turn();
        self.settle();
    }

    pub fn is_readable(&mut self, client: &Client) {
        assert!(self.clients.mark_ready(client.key, true, false, self.now));
    }

    pub fn is_writable(&mut self, client: &Client) {
        assert!(self.clients.mark_ready(client.key, false, true, self.now));
    }

    /// `client` sends `bytes`, and everything that follows from that is done.
    #[track_caller]
    pub fn says(&mut self, client: &Client, bytes: impl AsRef<[u8]>) {
        client.will_read(bytes);
        self.is_readable(client);
        self.settle();
    }

    /// `client` takes `bytes` more and then nothing until the next call.
    #[track_caller]
    pub fn gives(&mut self, client: &Client, bytes: usize) {
        client.takes([Take::Bytes(bytes)], Take::NotNow);
        self.is_writable(client);
        self.settle();
    }

    /// `client` takes everything from now on.
    #[track_caller]
    pub fn gives_all(&mut self, client: &Client) {
        client.takes([], Take::All);
        self.is_writable(client);
        self.settle();
    }

    /// Bytes that `client` has sent and that are not handled: unparsed, or in its socket.
    pub fn waiting(&self, client: &Client) -> usize {
        let unparsed = self.clients.connection(client.key).map_or(0, |connection| connection.unparsed_len());
        client.unread() + unparsed
    }

    pub fn ended(&self, close_reason: CloseReason) -> u64 {
        self.clients.stats.closed[close_reason.index()]
    }

    pub fn stalled(&self) -> u64 {
        self.ended(CloseReason::StalledReader)
    }

    pub fn broken(&self) -> u64 {
        self.ended(CloseReason::ConnectionLost(ErrorKind::Other))
    }
}
