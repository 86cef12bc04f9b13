//! A TCP proxy between a replica and its primary, which cuts connections at a random byte, and delays.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes passed on at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Where one listens, whoever is behind it.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    /// Port of the primary.
    target: AtomicU16,
    /// Whether connections are cut and delayed.
    rough: AtomicBool,
    stops: AtomicBool,
    random: Mutex<fastrand::Rng>,
    open: Mutex<Vec<TcpStream>>,
    cuts: AtomicUsize,
}

/// One direction of a connection.
struct Pump {
    from: TcpStream,
    to: TcpStream,
    /// Bytes after which it is cut, as long as things are rough.
    left: Option<usize>,
    random: fastrand::Rng,
}

impl Proxy {
    /// A proxy in front of `target`; calm until told otherwise.
    pub(crate) fn start(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State {
            target: AtomicU16::new(target),
            rough: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            random: Mutex::new(fastrand::Rng::with_seed(0)),
            open: Mutex::new(Vec::new()),
            cuts: AtomicUsize::new(0),
        });
        let thread = std::thread::spawn({
            let state = Arc::clone(&state);
            move || {
                for client in listener.incoming().flatten() {
                    if state.stops.load(Ordering::SeqCst) {
                        return;
                    }
                    state.serve(client);
                }
            }
        });
        Proxy { port, state, thread: Some(thread) }
    }

    /// Whoever connects from now on gets to another port.
    pub(crate) fn retarget(&self, target: u16) {
        self.state.target.store(target, Ordering::SeqCst);
    }

    /// What is cut and delayed follows from `random`.
    pub(crate) fn seed(&self, random: fastrand::Rng) {
        *self.state.random.lock().unwrap() = random;
    }

    /// Begins, or ends, to cut at random.
    pub(crate) fn set_rough(&self, rough: bool) {
        self.state.rough.store(rough, Ordering::SeqCst);
    }

    /// Cuts what is open.
    pub(crate) fn cut(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            // It may be closed already.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Connections that came to their end in the middle of something.
    pub(crate) fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stops.store(true, Ordering::SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.cut();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl State {
    fn serve(self: &Arc<Self>, client: TcpStream) {
        let target = self.target.load(Ordering::SeqCst);
        let Ok(primary) = TcpStream::connect(("127.0.0.1", target)) else { return };
        let clones = || Some([client.try_clone().ok()?, primary.try_clone().ok()?]);
        let (Some(kept), Some([client_too, primary_too])) = (clones(), clones()) else { return };
        let mut open = self.open.lock().unwrap();
        open.retain(|stream| stream.peer_addr().is_ok());
        open.extend(kept);
        drop(open);
        let (down, up) = {
            let mut random = self.random.lock().unwrap();
            let (down, up) = cut_points(&mut random);
            ((down, random.fork()), (up, random.fork()))
        };
        for (from, to, (left, random)) in [(primary, client, down), (client_too, primary_too, up)] {
            let state = Arc::clone(self);
            let mut pump = Pump { from, to, left, random };
            std::thread::spawn(move || pump.run(&state));
        }
    }
}

/// Bytes from the primary, and to it, after which a connection is cut.
fn cut_points(random: &mut fastrand::Rng) -> (Option<usize>, Option<usize>) {
    match random.u32(..6) {
        // Among the replies of the handshake; in the snapshot, or in the stream of a partial resync; later.
        0 => (Some(random.usize(..150)), None),
        1 => (Some(random.usize(..20_000)), None),
        2 => (Some(random.usize(..2_000_000)), None),
        // In what the replica says.
        3 => (None, Some(random.usize(..600))),
        _ => (None, None),
    }
}

impl Pump {
    fn run(&mut self, state: &State) {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = self.from.read(&mut piece) {
            let rough = state.rough.load(Ordering::SeqCst);
            if rough && self.random.u32(..8) == 0 {
                std::thread::sleep(Duration::from_micros(self.random.u64(..3_000)));
            }
            let sent = match &mut self.left {
                Some(left) if rough => {
                    let sent = count.min(*left);
                    *left -= sent;
                    sent
                }
                _ => count,
            };
            if self.to.write_all(&piece[..sent]).is_err() {
                break;
            }
            if sent < count {
                state.cuts.fetch_add(1, Ordering::SeqCst);
                break;
            }
        }
        for stream in [&self.from, &self.to] {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}
