//! Facts of the machine and of this process, refreshed by the driver: the node itself asks nobody.

/// What the driver found when it last looked. All zero until then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemFacts {
    /// Bytes of this process in main memory.
    pub rss: u64,
    /// Microseconds the process spent in the kernel.
    pub cpu_sys_us: u64,
    /// Microseconds the process spent outside the kernel.
    pub cpu_user_us: u64,
    /// Microseconds that ended children spent in the kernel.
    pub children_sys_us: u64,
    /// Microseconds that ended children spent outside the kernel.
    pub children_user_us: u64,
    /// Microseconds the driver's main thread spent in the kernel.
    pub main_sys_us: u64,
    /// Microseconds the driver's main thread spent outside the kernel.
    pub main_user_us: u64,
    /// Bytes that the allocator has handed out.
    pub allocated: u64,
    /// Bytes in pages that the allocator uses.
    pub active: u64,
    /// Bytes that the allocator holds in main memory.
    pub resident: u64,
    /// Bytes in use when the node began to serve.
    pub startup_memory: u64,
}
