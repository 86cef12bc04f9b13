//! Going through the items of one listpack, from either end; and taking some out of it.

use std::ops::ControlFlow;

use super::End;
use super::node::place_at;
use crate::types::listpack::{Listpack, Needle, PackedItem};

/// Hands the items of `pack` to `visit`, from `from` on, without the first `skip` of them.
pub(super) fn walk_pack(
    pack: &Listpack,
    from: End,
    skip: usize,
    visit: &mut impl FnMut(PackedItem<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match from {
        End::Head => pack.iter_from(place_at(pack, skip)).try_for_each(visit),
        End::Tail => {
            let Some(left) = pack.len().checked_sub(skip) else { return ControlFlow::Continue(()) };
            pack.iter_until(place_at(pack, left)).rev().try_for_each(visit)
        }
    }
}

/// Removes up to `max` of the items of `pack` that are `needle`, those nearest to `from` first. Returns how many went.
pub(super) fn remove_matches(
    pack: &mut Listpack,
    needle: &Needle<'_>,
    from: End,
    max: usize,
) -> usize {
    let matches = pack.iter().filter(|item| item.is(needle)).count();
    let goes = matches.min(max);
    let stays_before = if from == End::Head { 0 } else { matches - goes };
    match goes {
        0 => {}
        1 => {
            let mut found = pack.find(needle, pack.first(), 0);
            for _ in 0..stays_before {
                let after = found.and_then(|place| pack.after(place));
                found = pack.find(needle, after, 0);
            }
            pack.remove(found.expect("they were counted"), 1);
        }
        // Many that go one by one would move what is behind them as often; what stays is moved once.
        _ => {
            let mut rest = Listpack::new();
            let mut seen = 0;
            let mut buffer = itoa::Buffer::new();
            for item in pack.iter() {
                let is_match = item.is(needle);
                if is_match && (stays_before..stays_before + goes).contains(&seen) {
                    seen += 1;
                    continue;
                }
                seen += usize::from(is_match);
                rest.push(bytes_of(item, &mut buffer));
            }
            *pack = rest;
        }
    }
    goes
}

/// The bytes of an item, printed into `buffer` if it is an integer.
pub(super) fn bytes_of<'a>(item: PackedItem<'a>, buffer: &'a mut itoa::Buffer) -> &'a [u8] {
    match item {
        PackedItem::Int(number) => buffer.format(number).as_bytes(),
        PackedItem::Bytes(bytes) => bytes,
    }
}
