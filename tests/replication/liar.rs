//! A primary that speaks the handshake and then sends whatever a test wants.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::peer::Client;

/// What is said to the first who connects. Later ones are turned away.
#[derive(Clone, Debug)]
pub(crate) struct Lie {
    pub(crate) to_ping: Vec<u8>,
    pub(crate) to_introduction: Vec<u8>,
    /// Everything that follows the request for the stream.
    pub(crate) to_psync: Vec<u8>,
    /// Whether the connection is closed behind that; otherwise the replica has to do it.
    pub(crate) closes: bool,
}

impl Default for Lie {
    fn default() -> Lie {
        let (to_ping, to_introduction) = (b"+PONG\r\n".to_vec(), b"+OK\r\n+OK\r\n".to_vec());
        Lie { to_ping, to_introduction, to_psync: Vec::new(), closes: false }
    }
}

impl Lie {
    /// In the place of a snapshot and of what is behind it.
    pub(crate) fn instead_of_snapshot(bytes: impl AsRef<[u8]>) -> Lie {
        let start = format!("+FULLRESYNC {} 1000\r\n", "5".repeat(40));
        Lie { to_psync: [start.as_bytes(), bytes.as_ref()].concat(), ..Lie::default() }
    }

    /// In the place of the stream.
    pub(crate) fn instead_of_stream(bytes: impl AsRef<[u8]>) -> Lie {
        Lie { to_psync: [b"+CONTINUE\r\n", bytes.as_ref()].concat(), ..Lie::default() }
    }

    pub(crate) fn and_closes(self) -> Lie {
        Lie { closes: true, ..self }
    }
}

/// The primary.
pub(crate) struct Liar {
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    pub(crate) fn start(lie: Lie) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (connections, stops) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (connections, stops) = (Arc::clone(&connections), Arc::clone(&stops));
            move || {
                for stream in listener.incoming().flatten() {
                    if stops.load(Ordering::SeqCst) {
                        return;
                    }
                    if connections.fetch_add(1, Ordering::SeqCst) == 0 {
                        // The replica may hang up at any time.
                        tell(&lie, stream).ok();
                    }
                }
            }
        });
        Liar { port, connections, stops, thread: Some(thread) }
    }

    /// How often it was connected to.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// PING; two REPLCONF; PSYNC; and then it waits for the replica to hang up. Where there is nothing to say it hangs up
/// itself.
fn tell(lie: &Lie, stream: TcpStream) -> std::io::Result<()> {
    let mut replica = Client::over(stream)?;
    for (requests, reply) in [(1, &lie.to_ping), (2, &lie.to_introduction), (1, &lie.to_psync)] {
        for _ in 0..requests {
            replica.reply()?;
        }
        if reply.is_empty() {
            return Ok(());
        }
        replica.send(reply)?;
    }
    if lie.closes {
        return Ok(());
    }
    loop {
        replica.reply()?;
    }
}
