//! From what is known to text.

use super::{FLAGS, Form, NodeLine, NodesConf, OpenState, SLOT_END, has_only, is_aux, is_id};

impl NodesConf {
    /// The file, in the form of 7.2.
    ///
    /// # Panics
    /// If a text in it would be read as something else.
    #[must_use]
    pub fn write(&self) -> String {
        self.write_form(Form::default())
    }

    /// The file, in a form that a certain version reads.
    ///
    /// # Panics
    /// As [`NodesConf::write`].
    #[must_use]
    pub fn write_form(&self, form: Form) -> String {
        let mut text = String::new();
        self.nodes.iter().for_each(|node| write_node(node, form, &mut text));
        let (current, last_vote) = (self.current_epoch, self.last_vote_epoch);
        text += &format!("vars currentEpoch {current} lastVoteEpoch {last_vote}");
        if self.elected_in > 0 {
            text += &format!(" electedIn {}", self.elected_in);
        }
        if self.data_until > 0 {
            text += &format!(" dataUntil {}", self.data_until);
        }
        if !self.unclaimed.is_empty() {
            let ranges = self.unclaimed.iter().map(|(first, last)| format!("{first}-{last}"));
            text += &format!(" unclaimed {}", ranges.collect::<Vec<_>>().join(","));
        }
        text.push('\n');
        text
    }
}

fn write_node(node: &NodeLine, form: Form, text: &mut String) {
    assert!(is_id(&node.id), "{} is no id", node.id);
    assert!(node.primary.as_deref().is_none_or(is_id), "{:?} is no id", node.primary);
    *text += &format!("{} {} ", node.id, address(node, form));
    *text += &flags(node);
    *text += &format!(
        " {} {} {} {} {}",
        node.primary.as_deref().unwrap_or("-"),
        node.ping_sent,
        node.pong_received,
        node.config_epoch,
        if node.connected { "connected" } else { "disconnected" },
    );
    for &(first, last) in &node.slots {
        assert!(first <= last && last < SLOT_END, "{first}-{last} are no slots");
        *text += &if first == last { format!(" {first}") } else { format!(" {first}-{last}") };
    }
    for open in &node.open {
        let (arrow, id) = match &open.state {
            OpenState::Migrating(id) => ('>', id),
            OpenState::Importing(id) => ('<', id),
        };
        assert!(is_id(id) && open.slot < SLOT_END, "{open:?} is no slot on the move");
        *text += &format!(" [{}-{arrow}-{id}]", open.slot);
    }
    text.push('\n');
}

fn address(node: &NodeLine, form: Form) -> String {
    assert!(has_only(&node.ip, super::ADDRESS_MARKS), "{} is no address", node.ip);
    assert!(has_only(&node.hostname, super::HOSTNAME_MARKS), "{} is no host", node.hostname);
    let mut text = format!("{}:{}@{}", node.ip, node.port, node.cport);
    let aux = if form == Form::Seven2 { aux(node) } else { Vec::new() };
    if !node.hostname.is_empty() || !aux.is_empty() {
        text += &format!(",{}", node.hostname);
    }
    for (name, value) in aux {
        assert!(is_aux(name, &value), "{name}={value} would be read as something else");
        text += &format!(",{name}={value}");
    }
    text
}

/// What stands behind the host name, in the order of 7.2.
fn aux(node: &NodeLine) -> Vec<(&str, String)> {
    let known = [
        ("tls-port", node.tls_port.map(|port| port.to_string())),
        ("tcp-port", node.tcp_port.map(|port| port.to_string())),
        ("nodename", node.nodename.clone()),
        ("shard-id", node.shard_id.clone()),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let others = node.other_aux.iter().map(|(name, value)| (name.as_str(), value.clone()));
    known.chain(others).collect()
}

fn flags(node: &NodeLine) -> String {
    let words: Vec<&str> =
        FLAGS.iter().filter(|(flag, _)| node.is(*flag)).map(|(_, word)| *word).collect();
    if words.is_empty() { "noflags".to_owned() } else { words.join(",") }
}
