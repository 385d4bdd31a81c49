//! Adds up the lives of all allocations tick by tick.

use super::schedule::{Schedule, Tick};

/// Sums of live bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) peak_forward: u64,
    pub(super) peak_backward: u64,
    pub(super) after_forward: u64,
    pub(super) after_backward: u64,
}

/// Sweeps lives `(birth, death, bytes)`, both ends included, over the line on top of `base` bytes that never go.
/// Time O(lives + ticks), memory O(ticks).
pub(super) fn sweep(line: &Schedule, base: u64, lives: impl Iterator<Item = (Tick, Tick, u64)>) -> Sums {
    let mut born = vec![0u64; line.end + 1];
    let mut died = vec![0u64; line.end + 1];
    for (birth, death, bytes) in lives {
        born[birth] += bytes;
        if death <= line.end {
            died[death] += bytes;
        }
    }
    let mut sums = Sums { peak_forward: base, peak_backward: 0, after_forward: base, after_backward: base };
    let mut live = base;
    for tick in 0..=line.end {
        live += born[tick];
        let peak = if tick <= line.turn { &mut sums.peak_forward } else { &mut sums.peak_backward };
        *peak = (*peak).max(live);
        live -= died[tick];
        if tick == line.turn {
            sums.after_forward = live;
        }
    }
    sums.after_backward = live;
    sums
}
