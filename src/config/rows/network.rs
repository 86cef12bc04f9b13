//! Sockets and what clients may cost.

use super::{I32_MAX, SIZE_MAX};
use crate::config::row::{Row, Special, flag, number, text};
use crate::config::special::MemoryShare;

/// Most addresses of `bind`.
const BIND_MAX: usize = 16;

const BIND: Special = Special {
    form: "addresses",
    set: |values, words, _| {
        if words.len() > BIND_MAX {
            return Err("Too many bind addresses specified.".into());
        }
        values.bind = words.iter().filter(|word| !word.is_empty()).cloned().collect();
        Ok(())
    },
    get: |values| values.bind.join(" "),
    lines: |values| {
        let none = vec![String::new()];
        vec![if values.bind.is_empty() { none } else { values.bind.clone() }]
    },
    words: (1, usize::MAX),
};

const OUTPUT_LIMITS: Special = Special {
    form: "class hard soft seconds",
    set: |values, words, _| values.client_output_buffer_limit.update(words),
    get: |values| values.client_output_buffer_limit.print(),
    lines: |values| {
        let line = |(class, limit): (&str, crate::config::special::OutputLimit)| {
            // The file uses today's name of the class, CONFIG GET the one that clients match on.
            let class = if class == "slave" { "replica" } else { class };
            vec![
                class.to_owned(),
                limit.hard.to_string(),
                limit.soft.to_string(),
                limit.soft_seconds.to_string(),
            ]
        };
        values.client_output_buffer_limit.classes().map(line).to_vec()
    },
    words: (1, 12),
};

const MAXMEMORY_CLIENTS: Special = Special {
    form: "bytes or percent",
    set: |values, words, _| {
        values.maxmemory_clients = MemoryShare::parse(&words[0])?;
        Ok(())
    },
    get: |values| values.maxmemory_clients.print(),
    lines: |values| vec![vec![values.maxmemory_clients.print()]],
    words: (1, 1),
};

pub(super) const ROWS: &[Row] = &[
    Row::special(
        "bind",
        "* -::*",
        BIND,
        "Addresses to listen on; `-` before one means that it may be missing on this host. Empty: none.",
    ),
    Row::text(
        "bind-source-addr",
        "",
        text!(bind_source_addr),
        "Local address of connections that this node opens.",
    ),
    Row::number("port", "6379", (0, 65535), number!(port), "TCP port; 0 for no TCP."),
    Row::text("unixsocket", "", text!(unixsocket), "Path of a unix socket to listen on as well.")
        .at_start(),
    Row::octal(
        "unixsocketperm",
        "0",
        number!(unixsocketperm),
        "Permissions of the unix socket, in base eight; 0 leaves them to the umask.",
    )
    .at_start(),
    Row::number(
        "tcp-backlog",
        "511",
        (0, I32_MAX),
        number!(tcp_backlog),
        "Connections that may wait to be accepted. The kernel's somaxconn bounds it.",
    )
    .at_start(),
    Row::number(
        "tcp-keepalive",
        "300",
        (0, I32_MAX),
        number!(tcp_keepalive),
        "Seconds after which an idle connection is probed; 0 for never.",
    ),
    Row::number(
        "timeout",
        "0",
        (0, I32_MAX),
        number!(timeout),
        "Seconds after which an idle client is closed; 0 for never.",
    ),
    Row::number(
        "maxclients",
        "10000",
        (1, u32::MAX as i64),
        number!(maxclients),
        "Most client connections at one time.",
    ),
    Row::flag(
        "protected-mode",
        "yes",
        flag!(protected_mode),
        "Refuses clients of other hosts while there is no password and no address is bound by name.",
    ),
    Row::number(
        "io-threads",
        "1",
        (1, 128),
        number!(io_threads),
        "Threads that read, parse, and write. Commands run one at a time whatever the number.",
    )
    .at_start(),
    Row::flag(
        "io-threads-do-reads",
        "no",
        flag!(io_threads_do_reads),
        "Whether threads read as well as write.",
    )
    .at_start()
    .without("the threads of `io-threads` always do both"),
    Row::number(
        "socket-mark-id",
        "0",
        (0, u32::MAX as i64),
        number!(socket_mark_id),
        "Mark of the listening sockets (SO_MARK); 0 for none.",
    )
    .at_start(),
    Row::memory(
        "proto-max-bulk-len",
        "512mb",
        (1 << 20, SIZE_MAX),
        number!(proto_max_bulk_len),
        "Longest argument of a request, and longest string value, in bytes.",
    ),
    Row::memory(
        "client-query-buffer-limit",
        "1gb",
        (1 << 20, SIZE_MAX),
        number!(client_query_buffer_limit),
        "Most bytes of requests that may wait for one client; then it is closed.",
    ),
    Row::special(
        "client-output-buffer-limit",
        "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60",
        OUTPUT_LIMITS,
        "Output that may wait for a client of a class (normal, replica, pubsub): bytes that close it at once, bytes that may not be exceeded for longer than the seconds; 0 for no limit. Classes that a line does not name stay as they are.",
    ),
    Row::special(
        "maxmemory-clients",
        "0",
        MAXMEMORY_CLIENTS,
        "Most memory of all clients together, in bytes or as a share of `maxmemory` (`5%`); then the largest are closed. 0 for no limit.",
    ),
];
