//! Passwords, users and dangerous commands.

use super::I64_MAX;
use crate::config::row::{Row, Special, choice, number, text};
use crate::config::special::RenamedCommand;

const RENAME: Special = Special {
    form: "command name",
    set: |values, words, _| {
        let renamed = RenamedCommand { from: words[0].clone(), to: words[1].clone() };
        values.rename_command.push(renamed);
        Ok(())
    },
    get: |values| {
        let pairs = values.rename_command.iter();
        pairs.map(|pair| format!("{} {}", pair.from, pair.to)).collect::<Vec<_>>().join(" ")
    },
    lines: |values| {
        let pairs = values.rename_command.iter();
        pairs.map(|pair| vec![pair.from.clone(), pair.to.clone()]).collect()
    },
    words: (2, 2),
};

const USER: Special = Special {
    form: "name rule...",
    set: |values, words, _| {
        values.user.push(words.to_vec());
        Ok(())
    },
    get: |values| values.user.iter().map(|line| line.join(" ")).collect::<Vec<_>>().join("\n"),
    lines: |values| values.user.clone(),
    words: (1, usize::MAX),
};

const MODULE: Special = Special {
    form: "path argument...",
    set: |_, words, _| Err(format!("Can't load module {}: modules are not supported", words[0])),
    get: |_| String::new(),
    lines: |values| values.loadmodule.clone(),
    words: (1, usize::MAX),
};

/// The part that some settings wait for.
const USERS: &str = "access control by users";

pub(super) const ROWS: &[Row] = &[
    Row::secret("requirepass", text!(requirepass), "Password of the default user; empty for none."),
    Row::special("rename-command", "", RENAME, "Gives a command another name, or takes it away (`\"\"`). One line per command.").file_only(),
    Row::special("user", "", USER, "A user and its rules. One line per user.").file_only().later(USERS),
    Row::text("aclfile", "", text!(aclfile), "File of users.").at_start().later(USERS),
    Row::number("acllog-max-len", "128", (0, I64_MAX), number!(acllog_max_len), "Refusals kept for ACL LOG.").later(USERS),
    Row::choice("acl-pubsub-default", "resetchannels", choice!(acl_pubsub_default), "Whether a new user may use every channel or none.").later(USERS),
    Row::choice("enable-protected-configs", "no", choice!(enable_protected_configs), "Who may change protected settings while the server runs: nobody, everybody, or clients of this host.").at_start(),
    Row::choice("enable-debug-command", "no", choice!(enable_debug_command), "Who may use DEBUG.").at_start(),
    Row::choice("enable-module-command", "no", choice!(enable_module_command), "Who may use MODULE.").at_start(),
    Row::special("loadmodule", "", MODULE, "A module to load. Refused: there are no modules here.").file_only(),
];
