//! How much the states of one cut hold that others do not.
//!
//! Of two ways to the same cut, with `A` and `B` what they hold of the storages that cross it and `a` and `b` all bytes
//! they hold, whatever follows holds at most `|A ∖ B|` more after the second than it does after the first: at any later
//! moment the storages of what follows, `C`, take `|C ∖ B|` more bytes there, here `|C ∖ A|`. So if
//! `b + |A ∖ B| <= a`, every way to go on from the first is a way to go on from the second with no higher peak and in the
//! same time.

use super::slots::Slots;

/// Most states of a cut that are compared.
const MOST: usize = 96;

/// Per state, bytes that each other state of the same cut holds and it does not.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// Where the row of a state starts.
    rows: Vec<Option<usize>>,
    /// States of the cut, per state.
    lengths: Vec<u32>,
    bytes: Vec<u64>,
}

impl Differences {
    /// Adds the states of the next cut. Time O(states² × words of a mask + differences).
    pub(super) fn add(&mut self, masks: &[Vec<u64>], cut: u32, slots: &Slots, size: impl Fn(u32) -> u64) {
        let m = masks.len();
        self.lengths.extend(std::iter::repeat_n(m as u32, m));
        if m == 1 || m > MOST {
            self.rows.extend(std::iter::repeat_n(None, m));
            return;
        }
        let sizes = slots.sizes(cut, size);
        for own in masks {
            self.rows.push(Some(self.bytes.len()));
            for other in masks {
                let mut bytes = 0;
                for (w, (own, other)) in own.iter().zip(other).enumerate() {
                    let mut more = other & !own;
                    while more != 0 {
                        bytes += sizes[w * 64 + more.trailing_zeros() as usize];
                        more &= more - 1;
                    }
                }
                self.bytes.push(bytes);
            }
        }
    }

    /// Bytes that each state of the cut, in order, holds and `state` does not; `None` if there is nothing to compare.
    pub(super) fn beyond(&self, state: usize) -> Option<&[u64]> {
        let at = self.rows[state]?;
        Some(&self.bytes[at..at + self.lengths[state] as usize])
    }
}
