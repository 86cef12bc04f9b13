//! Bounds on what a client may send before memory is taken for it.

/// Bytes of an inline request, or of one length line, before a line end must have come.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Arguments of one request: lengths are read as 32-bit signed numbers.
pub const ARGUMENTS_MAX: i64 = i32::MAX as i64;

/// Arguments of one request before authentication.
pub const ARGUMENTS_MAX_UNAUTHENTICATED: i64 = 10;

/// Bytes of one argument before authentication.
pub const BULK_BYTES_MAX_UNAUTHENTICATED: u64 = 16 * 1024;

/// The limits in force for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Largest argument in bytes (`proto-max-bulk-len`).
    pub bulk_bytes_max: u64,
    /// Whether the client has authenticated, or need not: lifts the two small limits.
    pub authenticated: bool,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { bulk_bytes_max: 512 * 1024 * 1024, authenticated: true }
    }
}
