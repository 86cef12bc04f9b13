//! `--rdb FILE`: fetches a snapshot.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use highwater_persistence::replace::Replacement;
use highwater_persistence::storage::{RealStorage, Storage};

use super::{End, begin, receive};
use crate::cli::client::options::Options;
use crate::cli::client::screen::complain;
use crate::cli::client::session::{connect, plain};

/// Where the snapshot goes.
enum Target {
    /// A file that becomes the one asked for once it is whole.
    File(Replacement),
    /// Standard output, or something that is no plain file.
    Stream(Box<dyn Write>),
}

/// Fetches a snapshot into `path`; `-` is standard output. A file that was there before stays until the new one is whole.
pub(in crate::cli::client) fn run(options: &Options, path: &Path) -> ExitCode {
    let Ok(mut connection) = connect(options) else { return ExitCode::FAILURE };
    let mut target = match Target::open(path) {
        Ok(target) => target,
        Err(error) => {
            complain(&format!("Error opening '{}': {}", path.display(), plain(&error)));
            return ExitCode::FAILURE;
        }
    };
    let end = match begin(&mut connection, &["REPLCONF", "rdb-only", "1"]) {
        Ok(end) => end,
        Err(text) => {
            complain(&text);
            return ExitCode::FAILURE;
        }
    };
    let name = path.display();
    complain(&match &end {
        End::After(length) => format!("SYNC sent to master, writing {length} bytes to '{name}'"),
        End::Marker(_) => {
            format!(
                "SYNC sent to master, writing bytes of bulk transfer until EOF marker to '{name}'"
            )
        }
    });
    let received = receive(&mut connection, &end, |bytes| target.write(bytes));
    match received.and_then(|length| target.finish().map(|()| length)) {
        Ok(length) => {
            complain(&match end {
                End::After(_) => "Transfer finished with success.".to_owned(),
                End::Marker(_) => format!("Transfer finished with success after {length} bytes"),
            });
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("Error: {}: '{name}' has not been written", plain(&error)));
            ExitCode::FAILURE
        }
    }
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stream(Box::new(io::stdout())));
        }
        if path.exists() && !path.is_file() {
            let stream = OpenOptions::new().write(true).open(path)?;
            return Ok(Self::Stream(Box::new(stream)));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| io::Error::other("the name is no text"))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let storage: Arc<dyn Storage> =
            Arc::new(RealStorage::new(folder.unwrap_or(Path::new("."))));
        let temp = format!("temp-{}-{name}", std::process::id());
        Ok(Self::File(Replacement::begin(&storage, &temp, name)?))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes),
            Self::Stream(stream) => stream.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::File(file) => file.commit().map_err(|error| io::Error::other(error.to_string())),
            Self::Stream(mut stream) => stream.flush(),
        }
    }
}
