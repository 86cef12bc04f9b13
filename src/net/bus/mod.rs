//! The cluster bus.

/// The bus.
#[derive(Debug, Default)]
pub(super) struct Bus {
    wake: tokio::sync::Notify,
}

impl Bus {
    /// Something is to be done.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }
}
