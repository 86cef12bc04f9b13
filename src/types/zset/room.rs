//! Vectors as large as the allocator's blocks: they grow and shrink by a class at a time, not by doubling.

use crate::alloc::size_class;

/// Makes room for `more` elements.
pub(super) fn grow<T>(vec: &mut Vec<T>, more: usize) {
    let needed = vec.len() + more;
    if needed > vec.capacity() {
        vec.reserve_exact(fitting::<T>(needed) - vec.len());
    }
}

/// Gives memory back where much of it is unused.
pub(super) fn shrink<T>(vec: &mut Vec<T>) {
    let fitting = fitting::<T>(vec.len());
    if fitting + fitting / 2 < vec.capacity() {
        vec.shrink_to(fitting);
    }
}

/// How many elements fit into a block for `count`.
fn fitting<T>(count: usize) -> usize {
    if count == 0 { 0 } else { size_class(count * size_of::<T>()) / size_of::<T>() }
}

/// Bytes of the block behind a vector.
pub(super) fn block_bytes<T>(vec: &Vec<T>) -> usize {
    if vec.capacity() == 0 { 0 } else { size_class(vec.capacity() * size_of::<T>()) }
}

/// The sum of what `measure` says of all `count` things, taken from some of them where there are many.
pub(super) fn sampled(count: usize, measure: impl Fn(usize) -> usize) -> usize {
    const SAMPLES: usize = 256;
    if count <= SAMPLES {
        return (0..count).map(measure).sum();
    }
    let sum: usize = (0..SAMPLES).map(|sample| measure(sample * count / SAMPLES)).sum();
    sum / SAMPLES * count + sum % SAMPLES * count / SAMPLES
}
