//! What a snapshot or a value holds, whatever its encodings: events without hints, members of unordered collections
//! sorted.

use highwater_persistence::snapshot::{Event, OwnedEvent};

/// Lines that are equal where the contents are.
pub(super) fn content(events: &[OwnedEvent]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut members = Vec::new();
    for event in events {
        match event.borrow() {
            // What the writer says of itself, hints, and what it leaves out.
            Event::Header { .. }
            | Event::ResizeDb { .. }
            | Event::SlotInfo { .. }
            | Event::SlotImport { .. }
            | Event::SlotRange { .. }
            | Event::ModuleAux { .. }
            | Event::Skipped { .. }
            | Event::Eof { .. } => {}
            Event::ListBegin { .. } => lines.push("list".to_owned()),
            Event::SetBegin { .. } => lines.push("set".to_owned()),
            Event::HashBegin { .. } => lines.push("hash".to_owned()),
            Event::ZsetBegin { .. } => lines.push("zset".to_owned()),
            Event::SetMember(_) | Event::HashField { .. } | Event::ZsetMember { .. } => {
                members.push(line(event));
            }
            Event::ValueEnd => {
                members.sort();
                // A packed set of integers keeps no member twice. The server's types refuse a value that has one.
                members.dedup_by(|a, b| a == b && a.starts_with("SetMember"));
                lines.append(&mut members);
                lines.push("end".to_owned());
            }
            _ => lines.push(line(event)),
        }
    }
    lines.append(&mut members);
    lines
}

/// Whether all fields expire before the bound that type 24 has, in which they are written. Type 22 (Valkey) is read
/// without a bound: such a value is written so that it cannot be read again, which is wrong; no server is known to make one.
pub(super) fn expires_in_bounds(events: &[OwnedEvent]) -> bool {
    const FIELD_EXPIRY_MAX: u64 = (1 << 48) - 1;
    events.iter().all(|event| {
        !matches!(event, OwnedEvent::HashField { expires_ms: Some(at), .. } if *at > FIELD_EXPIRY_MAX)
    })
}

fn line(event: &OwnedEvent) -> String {
    let mut event = event.clone();
    match &mut event {
        // Type 24 can say that a field expired with the year 1970, and is written with 0, which there is no expiry. No
        // server keeps such a field.
        OwnedEvent::HashField { expires_ms: expires_ms @ Some(0), .. } => *expires_ms = None,
        // The packed form of a sorted set keeps -0 as the integer 0, as in stock servers.
        OwnedEvent::ZsetMember { score, .. } => *score += 0.0,
        _ => {}
    }
    format!("{:?}", event.borrow().map(|bytes| bytes.escape_ascii().to_string()))
}
