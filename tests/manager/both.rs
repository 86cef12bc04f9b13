//! Clusters that are equal each time they are made, programs that manage them, and what these say, made comparable.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::dialogue::converse;
use crate::member::ports::BUS;
use crate::member::{Kind, Member};
use crate::server::wait_for;

/// Long enough that a busy machine is not taken for a dead node.
const TIMEOUT_MS: &str = "5000";

/// Three primaries with equal shares.
pub(crate) const THREE: &[Part] =
    &[Part::Primary("0-5460"), Part::Primary("5461-10922"), Part::Primary("10923-16383")];

/// What a node is in the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// A primary with these slots.
    Primary(&'static str),
    /// A replica of the node with this index.
    Replica(usize),
    /// It knows nobody.
    Alone,
}

/// Which program manages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Stock,
    Ours,
}

impl Program {
    fn command(self) -> Command {
        match self {
            Program::Stock => Command::new("redis-cli"),
            Program::Ours => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
                command.arg0("redis-cli");
                command
            }
        }
    }
}

/// A cluster, or several nodes that are none yet.
pub(crate) struct Lab {
    pub(crate) members: Vec<Member>,
    /// Their ids, which they keep.
    ids: Vec<String>,
}

/// The id of the node with this index in every lab; nodes that are alone draw their own.
pub(crate) fn id(index: usize) -> String {
    format!("{:02x}", 0xa0 + index).repeat(20)
}

impl Lab {
    /// Starts nodes that know each other from their first moment on.
    pub(crate) fn start(kind: Kind, parts: &[Part]) -> Lab {
        let settings = ["--cluster-node-timeout", TIMEOUT_MS];
        let mut members: Vec<Member> =
            parts.iter().map(|_| Member::start(kind, &settings)).collect();
        let ports: Vec<u16> = members.iter().map(|member| member.port).collect();
        for (index, member) in members.iter_mut().enumerate() {
            if !matches!(parts[index], Part::Alone) {
                member.kill();
                let path = member.folder.path().join("nodes.conf");
                std::fs::write(path, nodes_conf(parts, &ports, index)).unwrap();
                member.restart();
            }
        }
        let ids = members.iter().map(Member::id).collect();
        let lab = Lab { members, ids };
        let known: Vec<&Member> = lab
            .members
            .iter()
            .zip(parts)
            .filter(|(_, part)| !matches!(part, Part::Alone))
            .map(|(member, _)| member)
            .collect();
        wait_for("a whole cluster", || {
            known.iter().all(|member| is_whole(member, known.len())).then_some(())
        });
        lab
    }

    pub(crate) fn at(&self, index: usize) -> String {
        self.members[index].address()
    }

    pub(crate) fn ask(&self, index: usize, line: &str) -> String {
        self.members[index].ask(line)
    }

    /// Asks for something that has to be done.
    #[track_caller]
    pub(crate) fn order(&self, index: usize, line: &str) {
        assert_eq!(self.ask(index, line), "+OK\r\n", "{line}");
    }

    /// Waits until nodes agree on who serves what.
    pub(crate) fn settle(&self) {
        let views = || {
            let view = |member: &Member| {
                let text = member.ask("CLUSTER NODES");
                let mut lines: Vec<String> = text
                    .lines()
                    .filter_map(|line| {
                        let words: Vec<&str> = line.trim_end().split(' ').collect();
                        let slots = words.iter().skip(8).filter(|word| !word.starts_with('['));
                        let slots: Vec<_> = slots.collect();
                        (!slots.is_empty()).then(|| format!("{} {slots:?}", words[0]))
                    })
                    .collect();
                lines.sort();
                lines
            };
            let known =
                self.members.iter().filter(|m| m.cluster_info("cluster_known_nodes") != "1");
            known.map(view).collect::<Vec<_>>()
        };
        wait_for("agreement", || {
            let views = views();
            views.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        });
    }

    /// Runs a program with words, answers each of its questions with a line, and makes what it says comparable.
    pub(crate) fn cli(&self, program: Program, words: &[&str], answers: &[&str]) -> String {
        let mut command = program.command();
        command.args(words).env("TERM", "dumb").env_remove("REDISCLI_CLUSTER_YES");
        if program == Program::Ours
            && words.iter().any(|word| ["reshard", "rebalance"].contains(word))
        {
            // Between nodes of ours slots move as a whole otherwise, which stock has no texts for.
            command.arg("--cluster-key-by-key");
        }
        let said = converse(command, answers).whole();
        self.plain(&format!("$ {}\n{said}", words.join(" ")))
    }

    /// The same in an xterm, with all colours.
    pub(crate) fn cli_in_colour(&self, program: Program, words: &[&str]) -> String {
        let mut command = program.command();
        command.args(words).env("TERM", "xterm");
        self.plain(&converse(command, &[]).whole())
    }

    /// Names for ports and folders; an order for what has none.
    fn plain(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, member) in self.members.iter().enumerate() {
            let port = member.port;
            // Nothing but where a port may stand: slots are numbers too.
            text = text.replace(&format!(":{port}"), &format!(":PORT{index}"));
            text = text.replace(&format!("-{port}-"), &format!("-PORT{index}-"));
            text = text.replace(&format!("\"port\": {port},"), &format!("\"port\": PORT{index},"));
            text = text.replace(&format!(" {port}\n"), &format!(" PORT{index}\n"));
            let own = &self.ids[index];
            if *own != id(index) {
                text = text.replace(own, &format!("ID{index}"));
                text = text.replace(&own[..8], &format!("ID{index}"));
            }
        }
        ordered(&text)
    }
}

fn is_whole(member: &Member, count: usize) -> bool {
    let nodes = member.ask("CLUSTER NODES");
    let linked = nodes.matches(" connected").count() == count && !nodes.contains("fail");
    let replication = member.ask("INFO replication");
    let follows = replication.contains("role:master") || replication.contains("link_status:up");
    linked && follows && member.cluster_info("cluster_state") == "ok"
}

/// The file of the node with index `own`.
fn nodes_conf(parts: &[Part], ports: &[u16], own: usize) -> String {
    let mut text = String::new();
    for (index, (part, port)) in parts.iter().zip(ports).enumerate() {
        let myself = if index == own { "myself," } else { "" };
        let (role, primary, epoch, slots) = match part {
            Part::Primary(slots) => ("master", "-".to_owned(), index + 1, *slots),
            Part::Replica(of) => ("slave", id(*of), of + 1, ""),
            Part::Alone => continue,
        };
        let (id, bus) = (id(index), port + BUS);
        let line = format!(
            "{id} 127.0.0.1:{port}@{bus} {myself}{role} {primary} 0 0 {epoch} connected {slots}"
        );
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text + &format!("vars currentEpoch {} lastVoteEpoch 0\n", parts.len())
}

/// Puts lines in order whose order is that of a hash table, and blots out what chance decides.
fn ordered(text: &str) -> String {
    let mut blocks: Vec<String> = Vec::new();
    let mut done = String::new();
    // What is said behind a question stands on a line of its own.
    let text = without_warnings(&text.replace("accept): ", "accept): \n"));
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let mut block = format!("{}\n", steady(line));
        if trimmed.starts_with("M: ") || trimmed.starts_with("S: ") {
            while let Some(more) = lines.next_if(|line| is_detail(line)) {
                block += &format!("{more}\n");
            }
        } else if is_of_a_list(line) {
            while lines.next_if(|line| line.is_empty()).is_some() {
                block += "\n";
            }
        } else {
            blocks.sort();
            done.extend(blocks.drain(..));
            done += &block;
            continue;
        }
        blocks.push(block);
    }
    blocks.sort();
    done.extend(blocks.drain(..));
    done
}

/// Without what is said while nodes take long to join: handshakes of stock nodes may take as long as their timeout, by chance, and
/// each client has its own patience.
fn without_warnings(text: &str) -> String {
    const END: &str = "different from standard instance ports.\n";
    let mut left = text.to_owned();
    while let Some(begin) = left.find("\nWarning: ") {
        let Some(end) = left[begin..].find(END) else { break };
        left.replace_range(begin..begin + end + END.len(), "");
    }
    left
}

#[test]
fn warnings_are_left_out() {
    let warning = "\nWarning: 1 node(s) may be unreachable\n - The port 1 of node h:2 may be unreachable from:\n   h:3\nCluster bus \
                   ports must be reachable by every node.\nRemember that cluster bus ports are different from standard instance ports.\n";
    let text = format!("Waiting for the cluster to join\n{warning}\n>>> Performing");
    assert_eq!(without_warnings(&text), "Waiting for the cluster to join\n\n>>> Performing");
}

/// Whether a line belongs to the node in the line before.
fn is_detail(line: &str) -> bool {
    let trimmed = line.trim_start();
    line.len() >= trimmed.len() + 3
        && (trimmed.starts_with("slots:")
            || trimmed.starts_with("replicates ")
            || trimmed.ends_with("additional replica(s)"))
}

/// Whether a line is one of many that come in any order.
fn is_of_a_list(line: &str) -> bool {
    line.starts_with("127.0.0.1:PORT")
        || line.starts_with("[WARNING] Node ")
        || line.starts_with("*** New timeout set")
        || line.starts_with("Migrating ")
        || line.starts_with(">>> Node ")
        || line.starts_with("SYNC sent to master")
        || line.starts_with("Transfer finished")
        || line.starts_with("*** Found keys about slot")
        || line.starts_with(">>> Setting ")
        || line.starts_with(">>> Covering ")
        || line.starts_with("Moving slot ")
}

/// A line without what chance or time decide.
fn steady(line: &str) -> String {
    if !line.is_empty() && line.chars().all(|c| c == '.') {
        return String::new();
    }
    for list in ["[WARNING] The following slots are open: ", "Set as importing in: "] {
        if let Some(rest) = line.strip_prefix(list) {
            let mut words: Vec<&str> = rest.trim_end_matches('.').split(',').collect();
            words.sort_unstable();
            return format!("{list}{}", words.join(","));
        }
    }
    if let Some((before, _)) = line.split_once(" with 127.0.0.1:PORT") {
        return before.to_owned();
    }
    line.to_owned()
}

/// Plays a scenario with both programs on equal clusters and compares what they said, step by step.
#[track_caller]
pub(crate) fn compare(
    kind: Kind,
    parts: &[Part],
    scenario: impl Fn(&Lab, &dyn Fn(&[&str], &[&str]) -> String) -> Vec<String>,
) -> Vec<String> {
    let play = |program: Program| {
        let lab = Lab::start(kind, parts);
        let cli = |words: &[&str], answers: &[&str]| {
            let words = [&["--cluster"], words].concat();
            lab.cli(program, &words, answers)
        };
        scenario(&lab, &cli)
    };
    let (stock, ours) = (play(Program::Stock), play(Program::Ours));
    assert_eq!(stock.len(), ours.len());
    for (stock, ours) in stock.iter().zip(&ours) {
        assert!(
            stock == ours,
            "{kind:?} nodes.\n---- stock says:\n{stock}\n---- ours says:\n{ours}"
        );
    }
    ours
}
