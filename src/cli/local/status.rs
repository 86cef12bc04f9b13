//! `highwater cluster status`: what every node is and does, for people and for programs.

use std::process::ExitCode;

use serde::Serialize;

use super::control::id_on_disk;
use super::look::{Access, Peer, View, field};
use super::plan::{BUS, Plan, SLOTS};
use super::process::Process;
use super::site::Site;
use super::voice::{Colour, coloured, columns};
use crate::cli::say;

/// Letters of an id that tell nodes apart.
const ID_SHOWN: usize = 8;

/// What there is.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    folder: String,
    /// Process id of the supervisor.
    supervisor: Option<i32>,
    /// Whether all slots are served and every node runs.
    ok: bool,
    /// `ok` where all nodes that answer say so, `fail` where one does not; `down` where none answers.
    state: &'static str,
    slots_served: u32,
    nodes: Vec<Node>,
    /// The option that leads other commands here.
    #[serde(skip)]
    option: String,
    /// As the first node that answers sees it.
    #[serde(skip)]
    pub(super) view: Option<View>,
}

/// A node.
#[derive(Debug, Serialize)]
struct Node {
    index: usize,
    port: u16,
    bus_port: u16,
    /// `up`, `down`, `paused`, `loading`, or `silent`: there, and does not answer.
    state: &'static str,
    pid: Option<i32>,
    id: Option<String>,
    /// `primary` or `replica`; `out` for one that is in no cluster; nothing where nobody knows.
    role: Option<&'static str>,
    /// Port of the node that it replicates.
    primary: Option<u16>,
    /// Whether a replica has a link to its primary.
    link: Option<&'static str>,
    slots: Vec<(u16, u16)>,
    slot_count: u32,
    keys: Option<u64>,
    offset: Option<u64>,
    #[serde(skip)]
    slots_in_words: String,
}

/// Shows it.
///
/// # Errors
/// There is no cluster.
pub(super) fn run(site: &Site, json: bool) -> Result<ExitCode, String> {
    let plan = site.known_plan()?;
    let report = report(site, &plan);
    if json {
        say(&serde_json::to_string(&report).map_err(|error| error.to_string())?);
    } else {
        say(&report.table());
        say(&report.summary());
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks at all nodes, at the same time.
pub(super) fn report(site: &Site, plan: &Plan) -> Report {
    let configs: Vec<_> = plan.members.iter().map(|member| site.config(member.port)).collect();
    let processes = Process::of_nodes(&configs);
    let looks: Vec<Look> = std::thread::scope(|scope| {
        let look = |(member, process): (&super::plan::Member, &Option<Process>)| {
            let port = member.port;
            let paused = process.as_ref().map(Process::is_paused);
            scope.spawn(move || Look::at(site, port, paused))
        };
        let threads: Vec<_> = plan.members.iter().zip(&processes).map(look).collect();
        threads.into_iter().map(|thread| thread.join().expect("a look does not panic")).collect()
    });
    // One that was taken out of the cluster says nothing of it.
    let out =
        |look: &Look| plan.members.len() > 1 && look.view.as_ref().is_some_and(View::is_alone);
    let looks: Vec<Look> = looks.into_iter().map(|look| Look { out: out(&look), ..look }).collect();
    let inside = || looks.iter().filter(|look| !look.out).filter_map(|look| look.view.as_ref());
    let view = inside().next().cloned();
    let nodes = plan.members.iter().enumerate().map(|(index, member)| {
        let pid = processes[index].as_ref().map(Process::id);
        node(site, index, member.port, pid, &looks[index], view.as_ref())
    });
    let nodes: Vec<Node> = nodes.collect();
    // One that does not serve refuses its clients, whatever the others say.
    let served = inside().all(|view| view.ok);
    let state = match (&view, served) {
        (None, _) => "down",
        (Some(_), true) => "ok",
        (Some(_), false) => "fail",
    };
    let slots_served = view.as_ref().map_or(0, |view| {
        // What the others say of a node that is gone may be old: its process has to be there.
        let is_gone = |peer: &&Peer| {
            let known = nodes.iter().find(|node| node.id.as_ref() == Some(&peer.id));
            known.is_some_and(|node| node.state != "up")
        };
        let serving = view.peers.iter().filter(|peer| !peer.has_failed() && !is_gone(peer));
        serving.map(Peer::slot_count).sum()
    });
    let all_up = nodes.iter().all(|node| node.state == "up");
    Report {
        folder: site.folder().display().to_string(),
        supervisor: site.supervisor().map(|supervisor| supervisor.id()),
        ok: state == "ok" && slots_served == u32::from(SLOTS) && all_up,
        state,
        slots_served,
        nodes,
        option: site.option(),
        view,
    }
}

/// What one node says.
struct Look {
    state: &'static str,
    /// It is in no cluster.
    out: bool,
    view: Option<View>,
    info: String,
}

impl Look {
    fn at(site: &Site, port: u16, paused: Option<bool>) -> Self {
        let state = |state| Self { state, out: false, view: None, info: String::new() };
        match paused {
            None => return state("down"),
            Some(true) => return state("paused"),
            Some(false) => {}
        }
        let Ok(access) = Access::of(site, port) else { return state("silent") };
        let Ok(info) = access.text(&["INFO"]) else { return state("silent") };
        if field(&info, "loading") == Some("1") {
            return Self { state: "loading", out: false, view: None, info };
        }
        match access.view() {
            Ok(view) => Self { state: "up", out: false, view: Some(view), info },
            Err(_) => Self { state: "silent", out: false, view: None, info },
        }
    }
}

fn node(
    site: &Site,
    index: usize,
    port: u16,
    pid: Option<i32>,
    look: &Look,
    others: Option<&View>,
) -> Node {
    let own = look.view.as_ref().and_then(View::myself).map(|myself| myself.id.clone());
    let id = own.or_else(|| id_on_disk(site, port));
    // What it says of itself; of one that does not answer, what the others say.
    let view = look.view.as_ref().or(others);
    let peer = view.zip(id.as_ref()).and_then(|(view, id)| view.by_id(id));
    let primary = peer.and_then(|peer| view?.by_id(peer.primary.as_ref()?));
    let number = |name| field(&look.info, name).and_then(|text| text.parse().ok());
    let keys = field(&look.info, "db0").and_then(|text| text.strip_prefix("keys="));
    let keys = keys.and_then(|text| text.split(',').next()?.parse().ok());
    let is_replica = peer.is_some_and(|peer| peer.has("slave"));
    let link = field(&look.info, "master_link_status").filter(|_| is_replica);
    Node {
        index,
        port,
        bus_port: port.saturating_add(BUS),
        state: look.state,
        pid,
        role: match peer {
            _ if look.out => Some("out"),
            Some(_) if is_replica => Some("replica"),
            Some(_) => Some("primary"),
            None => None,
        },
        primary: primary.map(|primary| primary.port),
        link: link.map(|link| if link == "up" { "up" } else { "down" }),
        slots: peer.map(|peer| peer.slots.clone()).unwrap_or_default(),
        slot_count: peer.map_or(0, Peer::slot_count),
        slots_in_words: peer.map(Peer::slots_in_words).unwrap_or_default(),
        keys: keys.or((look.state == "up").then_some(0)),
        offset: number("master_repl_offset"),
        id,
    }
}

impl Report {
    /// The nodes as lines of columns, as many as the terminal is wide.
    pub(super) fn table(&self) -> String {
        let mut rows =
            vec![["", "port", "pid", "state", "role", "slots", "keys", "id"].map(String::from)];
        rows.extend(self.nodes.iter().map(Node::columns));
        render(&rows, columns())
    }

    /// How it is, in a line.
    fn summary(&self) -> String {
        let up = self.nodes.iter().filter(|node| node.state == "up").count();
        let nodes = self.nodes.len();
        let served = self.slots_served;
        let (text, colour) = match self.state {
            _ if self.ok => (format!("ok: {served} slots served, {up} nodes up"), Colour::Green),
            "ok" | "fail" if !self.missing().is_empty() => {
                let missing = self.missing().join("; ");
                (format!("{served} of {SLOTS} slots served; {missing}"), Colour::Red)
            }
            "ok" => (
                format!("{served} of {SLOTS} slots served, {up} of {nodes} nodes up"),
                Colour::Yellow,
            ),
            "fail" => (format!("fail: not all nodes serve, {up} of {nodes} are up"), Colour::Red),
            _ => ("down: no node answers".to_owned(), Colour::Red),
        };
        let supervisor = match self.supervisor {
            Some(pid) => format!("supervisor {pid}"),
            None => "no supervisor".to_owned(),
        };
        format!("{}; {supervisor}", coloured(&text, colour))
    }
}

impl Report {
    /// What is wrong with nodes whose slots nobody serves, and what to do about it.
    fn missing(&self) -> Vec<String> {
        let gone = self.nodes.iter().filter(|node| {
            node.role == Some("primary") && node.slot_count > 0 && node.state != "up"
        });
        gone.map(|node| {
            let (port, state, option) = (node.port, node.state, &self.option);
            if state == "down" && self.has_copy(port) {
                return format!("{port} is down, and a replica of it is there to take over");
            }
            let then = match state {
                "down" if self.supervisor.is_some() => {
                    format!(": highwater cluster start {port}{option}")
                }
                "down" => format!(": highwater cluster up{option}"),
                "paused" => format!(": highwater cluster resume {port}{option}"),
                _ => String::new(),
            };
            let is = match state {
                "loading" => "loads its data",
                "silent" => "does not answer",
                "paused" => "is paused",
                _ => "is down",
            };
            format!("{port} {is}{then}")
        })
        .collect()
    }

    /// Whether a replica of the node at `port` is up.
    fn has_copy(&self, port: u16) -> bool {
        self.nodes.iter().any(|node| node.primary == Some(port) && node.state == "up")
    }

    /// How many slots there would be no copy of without the node at `port`, where there are any.
    pub(super) fn only_copy(&self, port: u16) -> Option<u32> {
        let node = self.nodes.iter().find(|node| node.port == port)?;
        let is_primary = node.role == Some("primary") && node.slot_count > 0;
        let is_there = node.state != "down" && is_primary;
        let is_linked = |other: &&Node| other.link == Some("up");
        let copies = self.nodes.iter().filter(|other| other.primary == Some(port));
        let has_copy = copies.filter(is_linked).any(|other| other.state == "up");
        (is_there && !has_copy).then_some(node.slot_count)
    }
}

impl Node {
    fn columns(&self) -> [String; 8] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let role = match (self.role, self.primary, self.link) {
            (Some("replica"), Some(port), Some("down")) => format!("replica of {port}, no link"),
            (Some("replica"), Some(port), _) => format!("replica of {port}"),
            (role, ..) => or_dash(role.map(str::to_owned)),
        };
        let slots = match self.slots_in_words.as_str() {
            "" => "-".to_owned(),
            slots => slots.to_owned(),
        };
        [
            self.index.to_string(),
            self.port.to_string(),
            or_dash(self.pid.map(|pid| pid.to_string())),
            self.state.to_owned(),
            role,
            slots,
            or_dash(self.keys.map(|keys| keys.to_string())),
            or_dash(self.id.as_ref().map(|id| id.chars().take(ID_SHOWN).collect())),
        ]
    }
}

/// Lines up columns. What does not fit into `width` is left out from the right.
fn render<const N: usize>(rows: &[[String; N]], width: usize) -> String {
    const GAP: usize = 2;
    let widths: Vec<usize> =
        (0..N).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let mut shown = 0;
    let mut taken = 0;
    while shown < N && taken + widths[shown] <= width {
        taken += widths[shown] + GAP;
        shown += 1;
    }
    // Port and process stay, whatever the terminal.
    let shown = shown.max(3.min(N));
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths).take(shown) {
            line += &format!("{cell:width$}{:GAP$}", "");
        }
        let line = line.trim_end();
        let line = if number == 0 { coloured(line, Colour::Grey) } else { line.to_owned() };
        text += &line;
        if number + 1 < rows.len() {
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_give_way_to_narrow_terminals() {
        let rows = [["", "port", "pid", "state"], ["0", "7000", "12345", "up"]]
            .map(|row| row.map(String::from));
        assert_eq!(render(&rows, 80), "   port  pid    state\n0  7000  12345  up");
        assert_eq!(render(&rows, 20), "   port  pid\n0  7000  12345");
        assert_eq!(render(&rows, 1), "   port  pid\n0  7000  12345");
    }

    fn node(port: u16, state: &'static str, primary: Option<u16>, slots: u32) -> Node {
        Node {
            index: 0,
            port,
            bus_port: 0,
            state,
            pid: None,
            id: None,
            role: Some(if primary.is_some() { "replica" } else { "primary" }),
            primary,
            link: primary.map(|_| "up"),
            slots: Vec::new(),
            slot_count: slots,
            keys: None,
            offset: None,
            slots_in_words: String::new(),
        }
    }

    fn report_of(nodes: Vec<Node>) -> Report {
        Report {
            folder: String::new(),
            supervisor: Some(1),
            ok: false,
            state: "ok",
            slots_served: 10922,
            nodes,
            option: String::new(),
            view: None,
        }
    }

    #[test]
    fn slots_that_nobody_serves_are_told_with_what_to_do() {
        let told = |state, replica: Option<u16>| {
            let mut nodes = vec![node(7500, "up", None, 5461), node(7501, state, None, 5462)];
            nodes.extend(replica.map(|port| node(7502, "up", Some(port), 0)));
            report_of(nodes).summary()
        };
        let start = "10922 of 16384 slots served; 7501 is down: highwater cluster start 7501";
        assert!(told("down", None).starts_with(start), "{}", told("down", None));
        assert!(told("down", Some(7500)).starts_with(start));
        assert!(told("down", Some(7501)).contains("to take over"));
        assert!(told("paused", None).contains("7501 is paused: highwater cluster resume 7501"));
        assert!(told("up", None).starts_with("10922 of 16384"));
    }

    #[test]
    fn only_copies_are_known() {
        let mut nodes = vec![node(7500, "up", None, 5), node(7501, "up", Some(7500), 0)];
        nodes.extend([node(7502, "up", None, 7), node(7503, "down", Some(7502), 0)]);
        nodes.extend([node(7504, "up", None, 0), node(7505, "down", None, 9)]);
        let report = report_of(nodes);
        let only = [7500, 7501, 7502, 7504, 7505].map(|port| report.only_copy(port));
        assert_eq!(only, [None, None, Some(7), None, None]);
    }
}
