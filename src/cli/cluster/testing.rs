//! Scripted nodes for tests.

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::super::wire::Reply;
use super::nodes::{Cluster, Line, Node};
use super::peer::Peer;

/// A node that replies as a function says. An empty reply closes the connection.
pub(super) struct Fake {
    pub(super) port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Starts one; it ends with the test.
    pub(super) fn start(mut reply: impl FnMut(&[String]) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut input = BufReader::new(stream.try_clone().unwrap());
                while let Ok(request) = Reply::read(&mut input) {
                    let words: Vec<String> = request
                        .elements()
                        .unwrap_or_default()
                        .iter()
                        .filter_map(Reply::text)
                        .collect();
                    hears.lock().unwrap().push(words.join(" "));
                    let bytes = reply(&words);
                    if bytes.is_empty() || stream.write_all(bytes.as_bytes()).is_err() {
                        break;
                    }
                }
            }
        });
        Self { port, heard }
    }

    /// What was asked, in order.
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// A cluster of such nodes: id, node, slots.
pub(super) fn cluster_of(nodes: &[(&str, &Fake, &str)]) -> Cluster {
    let node = |&(id, fake, slots): &(&str, &Fake, &str)| {
        let port = fake.port;
        let line = format!("{id} 127.0.0.1:{port}@1 myself,master - 0 0 1 connected {slots}");
        Node::new(Peer::new("127.0.0.1", port, &Default::default()), &Line::parse(&line).unwrap())
    };
    let nodes = nodes.iter().map(node).collect();
    Cluster { nodes, unreachable_primaries: 0, errors: Vec::new() }
}

/// A string as bytes of the protocol.
pub(super) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// An array of what is encoded already.
pub(super) fn array(elements: impl IntoIterator<Item = String>) -> String {
    let elements: Vec<String> = elements.into_iter().collect();
    format!("*{}\r\n{}", elements.len(), elements.concat())
}
