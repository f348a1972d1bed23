//! The table of clients with scripted sockets and a clock that the test sets.

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

/// Bytes of the feed if a test needs no other size. Divides well.
pub const FEED: usize = 64_000;
pub const STALL_TIMEOUT: Duration = Duration::from_secs(5);
pub const MILLISECOND: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
/// More turns than any test needs. If there is still work after so many, the table is in an endless loop.
pub const MAX_TURNS: usize = 10_000;

/// What a socket does with one write.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Accept {
    #[default]
    All,
    /// This many bytes, or all if there are fewer.
    Bytes(usize),
    WouldBlock,
    Fail(ErrorKind),
}

/// A call on a socket, and its result.
#[derive(Debug)]
pub enum Call {
    /// The bytes that were read; none at the end of the input.
    Read(Vec<u8>),
    ReadFailed(ErrorKind),
    /// The bytes that were written.
    Wrote(Vec<u8>),
    WriteFailed(ErrorKind),
    ShutDown,
    /// The table dropped the socket.
    Dropped,
}

/// The calls on all sockets of a test, in their order, each with the number of its socket. Interrupted calls are
/// left out, because they are repeated.
pub type Trace = Rc<RefCell<Vec<(usize, Call)>>>;

/// What a socket does from now on, and what was done with it.
#[derive(Default)]
pub struct SocketScript {
    /// Results of reads: empty bytes are the end of input. After the last one, reads would block.
    pub input: VecDeque<Result<Vec<u8>, ErrorKind>>,
    /// If set, every read fails, whatever the input.
    pub read_always_fails: Option<ErrorKind>,
    /// Results of the next writes.
    pub accepts: VecDeque<Accept>,
    /// The result of all writes after them.
    pub then_accepts: Accept,
    pub reads: usize,
    pub writes: usize,
    pub received: Vec<u8>,
    pub is_shut_down: bool,
    /// If set, it is like a socket with TLS: each write counts as many bytes as written at once, and keeps those that
    /// the socket does not take.
    pub record: Option<usize>,
    /// Such bytes.
    pub kept: Vec<u8>,
    /// So many attempts to end the output do not end it.
    pub refused_ends: usize,
    /// Whether reads that would block may find input in the next turn.
    pub may_have_input: bool,
    /// The number of the socket in a trace, and the trace.
    pub trace: Option<(usize, Trace)>,
}

impl SocketScript {
    fn record(&self, call: Call) {
        let is_interrupted = matches!(
            call,
            Call::ReadFailed(ErrorKind::Interrupted) | Call::WriteFailed(ErrorKind::Interrupted)
        );
        if let Some((number, trace)) = self.trace.as_ref().filter(|_| !is_interrupted) {
            trace.borrow_mut().push((*number, call));
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.reads += 1;
        if let Some(kind) = self.read_always_fails {
            return Err(kind);
        }
        let mut bytes = self.input.pop_front().unwrap_or(Err(ErrorKind::WouldBlock))?;
        if bytes.is_empty() && self.input.is_empty() {
            // As in the system, each further read returns the end again.
            self.input.push_front(Ok(Vec::new()));
        }
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        if count < bytes.len() {
            self.input.push_front(Ok(bytes.split_off(count)));
        }
        Ok(count)
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, ErrorKind> {
        self.writes += 1;
        assert!(!self.is_shut_down, "a write after the shutdown");
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        assert!(length > 0, "a write of no bytes");
        if let Some(record) = self.record {
            return self.write_record(slices, length.min(record));
        }
        let count = self.accept(length)?;
        let end = self.received.len() + count;
        slices.iter().for_each(|slice| self.received.extend_from_slice(slice));
        self.received.truncate(end);
        Ok(count)
    }

    /// Returns how many of these bytes the socket takes.
    fn accept(&mut self, length: usize) -> Result<usize, ErrorKind> {
        match self.accepts.pop_front().unwrap_or(self.then_accepts) {
            Accept::All => Ok(length),
            Accept::Bytes(count) => Ok(count.min(length)),
            Accept::WouldBlock => Err(ErrorKind::WouldBlock),
            Accept::Fail(kind) => Err(kind),
        }
    }

    fn write_record(&mut self, slices: &[IoSlice<'_>], length: usize) -> Result<usize, ErrorKind> {
        self.flush()?;
        slices.iter().for_each(|slice| self.kept.extend_from_slice(slice));
        self.kept.truncate(length);
        match self.flush() {
            Ok(()) | Err(ErrorKind::WouldBlock) => Ok(length),
            Err(kind) => Err(kind),
        }
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        while !self.kept.is_empty() {
            let count = self.accept(self.kept.len())?;
            self.received.extend(self.kept.drain(..count));
        }
        Ok(())
    }
}

/// A socket that does what its script says. The test keeps one clone, the table has the other.
#[derive(Clone, Default)]
pub struct ScriptedSocket(Rc<RefCell<SocketScript>>);

impl Transport for ScriptedSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut script = self.0.borrow_mut();
        let result = script.read(buffer);
        script.record(result.map_or_else(Call::ReadFailed, |bytes| Call::Read(buffer[..bytes].to_vec())));
        Ok(result?)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut script = self.0.borrow_mut();
        let result = script.write(slices);
        script.record(result.map_or_else(Call::WriteFailed, |bytes| {
            Call::Wrote(slices.iter().flat_map(|slice| slice.iter().copied()).take(bytes).collect())
        }));
        Ok(result?)
    }

    fn shutdown_write(&mut self) -> bool {
        let mut script = self.0.borrow_mut();
        assert!(script.kept.is_empty(), "the end of output before all of it is written");
        if script.refused_ends > 0 {
            script.refused_ends -= 1;
            return false;
        }
        script.is_shut_down = true;
        script.record(Call::ShutDown);
        true
    }

    fn may_have_input(&self) -> bool {
        self.0.borrow().may_have_input
    }

    fn has_pending_output(&self) -> bool {
        !self.0.borrow().kept.is_empty()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.0.borrow_mut().flush()?)
    }
}

impl Drop for ScriptedSocket {
    fn drop(&mut self) {
        if Rc::strong_count(&self.0) == 2 {
            // The table's clone: only the test's is left.
            self.0.borrow().record(Call::Dropped);
        }
    }
}

/// A client, as the test sees it.
pub struct ScriptedClient {
    pub id: ClientId,
    pub socket: ScriptedSocket,
}

impl ScriptedClient {
    /// A client that is not connected yet, with its number in `trace`.
    pub fn traced(number: usize, trace: &Trace) -> Self {
        let client =
            Self { id: ClientId::from_number(ClientId::FIRST_FREE), socket: ScriptedSocket::default() };
        client.script_mut().trace = Some((number, Rc::clone(trace)));
        client
    }

    pub fn script(&self) -> Ref<'_, SocketScript> {
        self.socket.0.borrow()
    }

    pub fn script_mut(&self) -> RefMut<'_, SocketScript> {
        self.socket.0.borrow_mut()
    }

    /// Sets the results of its next writes, and of all later ones.
    pub fn accepts<const N: usize>(&self, accepts: [Accept; N], then: Accept) {
        let mut script = self.script_mut();
        script.accepts = accepts.into();
        script.then_accepts = then;
    }

    /// Adds bytes that the socket returns to one or more reads.
    pub fn queue_input(&self, bytes: impl AsRef<[u8]>) {
        self.script_mut().input.push_back(Ok(bytes.as_ref().to_vec()));
    }

    /// Adds the end of input.
    pub fn queue_end(&self) {
        self.queue_input("");
    }

    /// Adds a read that fails.
    pub fn queue_error(&self, kind: ErrorKind) {
        self.script_mut().input.push_back(Err(kind));
    }

    pub fn received(&self) -> Vec<u8> {
        self.script().received.clone()
    }

    /// Asserts all bytes that it has received.
    #[track_caller]
    pub fn expect_received(&self, expected: impl AsRef<[u8]>) {
        let received = self.received();
        assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(expected.as_ref()));
    }

    /// The lines that it has received.
    pub fn lines(&self) -> usize {
        self.script().received.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Bytes of input that no read has returned.
    pub fn unread(&self) -> usize {
        self.script().input.iter().flatten().map(Vec::len).sum()
    }

    /// Whether the table has dropped its socket.
    pub fn is_removed(&self) -> bool {
        Rc::strong_count(&self.socket.0) == 1
    }
}

/// Returns the settings of a room with a feed of that size.
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

/// Returns limits that no test reaches.
pub const fn limits() -> ClientLimits {
    ClientLimits {
        connections: ConnectionBudget { clients: 1000, refusals: 32, pending: 0 },
        per_network: None,
        idle_timeout: None,
        flush_after: None,
        close_timeout: STALL_TIMEOUT,
        greet_after: Duration::ZERO,
    }
}

/// The table of clients, and the part of the server that calls its steps.
pub struct ScriptedServer {
    pub clients: Clients<ScriptedSocket>,
    pub now: Moment,
}

impl ScriptedServer {
    pub fn new(config: RoomConfig, limits: ClientLimits) -> Self {
        let clients = Clients::new(Room::new(config).unwrap(), limits);
        Self { clients, now: Moment::default() }
    }

    pub fn with_welcome(feed: usize, welcome: &str) -> Self {
        Self::new(RoomConfig { welcome: welcome.to_owned(), ..config(feed) }, limits())
    }

    /// Returns a server with these views and settings that no test depends on.
    pub fn with_views(feed: usize, views: &[View]) -> Self {
        Self::new(RoomConfig { views: views.to_vec(), ..config(feed) }, limits())
    }

    /// Returns a server and `N` clients of the plain view that have received nothing.
    pub fn with_clients<const N: usize>(feed: usize) -> (Self, [ScriptedClient; N]) {
        Self::new(config(feed), limits()).and_clients()
    }

    /// Connects `N` clients of the plain view.
    pub fn and_clients<const N: usize>(mut self) -> (Self, [ScriptedClient; N]) {
        let clients = std::array::from_fn(|_| self.join());
        self.run_until_idle();
        (self, clients)
    }

    #[track_caller]
    pub fn join(&mut self) -> ScriptedClient {
        self.join_as(View::Plain, Ipv4Addr::LOCALHOST.into())
    }

    #[track_caller]
    pub fn join_in_view(&mut self, view: View) -> ScriptedClient {
        self.join_as(view, Ipv4Addr::LOCALHOST.into())
    }

    #[track_caller]
    pub fn join_from(&mut self, address: IpAddr) -> ScriptedClient {
        self.join_as(View::Plain, address)
    }

    #[track_caller]
    fn join_as(&mut self, view: View, address: IpAddr) -> ScriptedClient {
        self.join_as_peer(view, Peer::from(SocketAddr::from((address, 1))))
    }

    #[track_caller]
    pub fn join_as_peer(&mut self, view: View, peer: Peer) -> ScriptedClient {
        self.join_with(ScriptedSocket::default(), view, peer)
    }

    /// Admits a client whose socket has this script from the start.
    #[track_caller]
    pub fn join_scripted(&mut self, script: SocketScript) -> ScriptedClient {
        let socket = ScriptedSocket(Rc::new(RefCell::new(script)));
        self.join_with(socket, View::Plain, Peer::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))))
    }

    #[track_caller]
    fn join_with(&mut self, socket: ScriptedSocket, view: View, peer: Peer) -> ScriptedClient {
        let register = |_: &mut ScriptedSocket, _| Ok(());
        let id = self.clients.admit(socket.clone(), view, peer, self.now, register).unwrap();
        ScriptedClient { id, socket }
    }

    /// Runs the steps of one turn in the order of the server.
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

    /// Runs turns until all work that is left waits for an event or a deadline.
    #[track_caller]
    pub fn run_until_idle(&mut self) {
        for _ in 0..MAX_TURNS {
            if !self.clients.has_work() {
                return;
            }
            self.turn();
        }
        panic!("after {MAX_TURNS} turns there is still work");
    }

    #[track_caller]
    pub fn advance(&mut self, span: Duration) {
        self.now = self.now.after(span);
        self.turn();
        self.run_until_idle();
    }

    pub fn report_readable(&mut self, client: &ScriptedClient) {
        assert!(self.clients.mark_ready(client.id, true, false, self.now));
    }

    /// Reports that no more input will arrive.
    pub fn report_end(&mut self, client: &ScriptedClient) {
        self.report_readable(client);
        self.clients.mark_input_end(client.id, self.now);
    }

    pub fn report_writable(&mut self, client: &ScriptedClient) {
        assert!(self.clients.mark_ready(client.id, false, true, self.now));
    }

    /// `client` sends `bytes`, and the server handles them as far as it can.
    #[track_caller]
    pub fn send(&mut self, client: &ScriptedClient, bytes: impl AsRef<[u8]>) {
        client.queue_input(bytes);
        self.report_readable(client);
        self.run_until_idle();
    }

    /// The input of `client` ends.
    #[track_caller]
    pub fn end(&mut self, client: &ScriptedClient) {
        self.send(client, "");
    }

    /// The socket of `client` accepts this many bytes, and no more until the next call.
    #[track_caller]
    pub fn accept_bytes(&mut self, client: &ScriptedClient, bytes: usize) {
        client.accepts([Accept::Bytes(bytes)], Accept::WouldBlock);
        self.report_writable(client);
        self.run_until_idle();
    }

    /// The socket of `client` accepts all bytes from now on.
    #[track_caller]
    pub fn accept_all(&mut self, client: &ScriptedClient) {
        client.accepts([], Accept::All);
        self.report_writable(client);
        self.run_until_idle();
    }

    /// Bytes that `client` has sent and that are not handled: unparsed, or in its socket.
    pub fn pending_input(&self, client: &ScriptedClient) -> usize {
        let unparsed = self.clients.connection(client.id).map_or(0, |connection| connection.unparsed_len());
        client.unread() + unparsed
    }

    /// How many connections closed for that reason.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.clients.stats.closed[reason.index()]
    }

    pub fn stalled(&self) -> u64 {
        self.closed(CloseReason::StalledReader)
    }

    /// How many connections were lost, whatever the error.
    pub fn lost(&self) -> u64 {
        self.closed(CloseReason::ConnectionLost(ErrorKind::Other))
    }
}
