//! Comparisons with a stock `redis-server`, which must be installed (`scripts/test` sees to that).

mod settings;
mod stock;
