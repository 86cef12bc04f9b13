//! TLS: the settings are read and kept, but a start that asks for TLS is refused.

use super::I32_MAX;
use crate::config::row::{Row, choice, flag, number, text};

/// Why these settings do nothing.
const WHY: &str = "TLS is not part of this version";

pub(super) const ROWS: &[Row] = &[
    Row::number(
        "tls-port",
        "0",
        (0, 65535),
        number!(tls_port),
        "TCP port for TLS. Anything but 0 is refused.",
    )
    .later("TLS"),
    Row::flag("tls-cluster", "no", flag!(tls_cluster), "TLS on the cluster bus. `yes` is refused.")
        .later("TLS"),
    Row::flag(
        "tls-replication",
        "no",
        flag!(tls_replication),
        "TLS to the primary. `yes` is refused.",
    )
    .later("TLS"),
    Row::choice(
        "tls-auth-clients",
        "yes",
        choice!(tls_auth_clients),
        "Whether clients must show a certificate.",
    )
    .without(WHY),
    Row::text("tls-ca-cert-dir", "", text!(tls_ca_cert_dir), "Folder of trusted certificates.")
        .without(WHY),
    Row::text("tls-ca-cert-file", "", text!(tls_ca_cert_file), "File of trusted certificates.")
        .without(WHY),
    Row::text("tls-cert-file", "", text!(tls_cert_file), "Certificate of this node.").without(WHY),
    Row::text("tls-ciphers", "", text!(tls_ciphers), "Ciphers up to TLS 1.2.").without(WHY),
    Row::text("tls-ciphersuites", "", text!(tls_ciphersuites), "Ciphers of TLS 1.3.").without(WHY),
    Row::text(
        "tls-client-cert-file",
        "",
        text!(tls_client_cert_file),
        "Certificate for connections that this node opens.",
    )
    .without(WHY),
    Row::text(
        "tls-client-key-file",
        "",
        text!(tls_client_key_file),
        "Key for connections that this node opens.",
    )
    .without(WHY),
    Row::secret(
        "tls-client-key-file-pass",
        text!(tls_client_key_file_pass),
        "Password of that key.",
    )
    .without(WHY),
    Row::text("tls-dh-params-file", "", text!(tls_dh_params_file), "Diffie-Hellman parameters.")
        .without(WHY),
    Row::text("tls-key-file", "", text!(tls_key_file), "Key of this node.").without(WHY),
    Row::secret("tls-key-file-pass", text!(tls_key_file_pass), "Password of that key.")
        .without(WHY),
    Row::flag(
        "tls-prefer-server-ciphers",
        "no",
        flag!(tls_prefer_server_ciphers),
        "Whose order of ciphers counts.",
    )
    .without(WHY),
    Row::text("tls-protocols", "", text!(tls_protocols), "Versions of TLS that are offered.")
        .without(WHY),
    Row::number(
        "tls-session-cache-size",
        "20480",
        (0, I32_MAX),
        number!(tls_session_cache_size),
        "Sessions kept for resumption.",
    )
    .without(WHY),
    Row::number(
        "tls-session-cache-timeout",
        "300",
        (0, I32_MAX),
        number!(tls_session_cache_timeout),
        "Seconds for which they are kept.",
    )
    .without(WHY),
    Row::flag(
        "tls-session-caching",
        "yes",
        flag!(tls_session_caching),
        "Whether sessions are resumed.",
    )
    .without(WHY),
];
