//! Decoders on bytes that nobody meant. Each module has one function that takes any bytes and asserts what must hold;
//! `TARGETS` lists them. `cargo fuzz` plays them with inputs of its own, `cargo test --test fuzz` with the seeds.

mod commands;
mod config;
mod content;
mod log;
mod lzf;
mod manifest;
mod nodes_conf;
mod requests;
mod snapshot;
mod values;
mod wire;

/// A name, as in `cargo fuzz run NAME`, and what it plays.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 13] = [
    ("calls", commands::check_calls),
    ("commands", commands::check_lines),
    ("config", config::check),
    ("dump", values::check_dump),
    ("inline", requests::check_inline),
    ("log", log::check),
    ("lzf", lzf::check),
    ("manifest", manifest::check),
    ("nodes_conf", nodes_conf::check),
    ("packed", values::check_packed),
    ("requests", requests::check),
    ("snapshot", snapshot::check),
    ("wire", wire::check),
];

/// Plays one input to the target called `name`.
///
/// # Panics
/// If there is no such target, or if something does not hold.
pub fn play(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.0 == name);
    target.unwrap_or_else(|| panic!("there is no target {name}")).1(input);
}
