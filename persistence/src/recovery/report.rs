//! A plan in words.

use std::fmt;

use super::{Plan, Step, StepKind};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            writeln!(f, "no log: starting with empty data")?;
        }
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        if self.upgrade {
            let (name, folder) = (self.options.names.stem(), self.options.names.folder());
            writeln!(f, "{name} of an old version moves into {folder}")?;
        }
        if let Some(dropped) = &self.dropped {
            write!(f, "dropping {} bytes behind byte {} of ", dropped.bytes, dropped.position)?;
            write!(f, "{}: {}", dropped.name, dropped.cause)?;
            if dropped.batches > 0 {
                write!(f, "; {} whole batches among them", dropped.batches)?;
            }
            for name in &dropped.later {
                write!(f, "; {name} with it")?;
            }
            writeln!(f, "; nothing of it was known to be durable")?;
        }
        let Some(id) = self.id() else {
            return write!(f, "going on at offset {} under a new id", self.offset);
        };
        let stop = if self.clean { "an orderly stop" } else { "an unclean stop" };
        write!(f, "resuming at offset {} of {id}, after {stop}", self.offset)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.range.end - self.range.start;
        match self.kind {
            StepKind::Snapshot => {
                write!(f, "{}: snapshot of {bytes} bytes, at offset {}", self.name, self.start)
            }
            StepKind::BaseCommands => {
                write!(f, "{}: {bytes} bytes of commands, at offset {}", self.name, self.start)
            }
            StepKind::Log => {
                write!(
                    f,
                    "{}: {bytes} bytes, offsets {} to {}, ",
                    self.name, self.start, self.end
                )?;
                match self.unverified {
                    0 => f.write_str("verified"),
                    unverified if unverified == bytes => f.write_str("without checksums"),
                    unverified => write!(f, "verified but for {unverified} without checksums"),
                }
            }
        }
    }
}
