//! Timelines drawn in fewer columns than they have entries.

use std::ops::Range;

use super::timeline::{Entry, Timeline};

/// An equal part of the length of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Entries that lie in it in whole or in part, as indices into [`Timeline::entries`]; never empty.
    pub entries: Range<usize>,
    /// The first of them with the most live bytes.
    pub peak: usize,
}

impl Timeline {
    /// Divides a stretch of the timeline into columns of equal length, and finds what is highest in each.
    ///
    /// Nothing is averaged or left out, so a drawing of `entries[column.peak]` shows every maximum as it is:
    /// * each entry of the stretch lies in at least one column, and in several if it is longer than one;
    /// * `live` of a column's peak is the most that is alive anywhere in the column. The highest of all columns is
    ///   therefore the highest entry of the stretch, and [`Timeline::peak`]'s where that lies in it; both are the first
    ///   of their height. The kinds of that one entry add up to it;
    /// * columns are in order of execution: both ends of `entries` never decrease, and a column begins with the entry
    ///   at which the one before ends, or with the next.
    ///
    /// # Arguments
    /// * `stretch`: indices into [`Timeline::entries`], such as those of one phase; `0..entries.len()` for all. What
    ///   lies outside the timeline is left out.
    /// * `count`: number of columns.
    /// * `length`: of an entry, such as 1 to count kernels, or its nanoseconds; 0 counts as 1.
    ///
    /// # Returns
    /// `count` columns; none for an empty stretch.
    ///
    /// # Complexity
    /// Time O(entries + count), memory O(count).
    pub fn columns(&self, stretch: Range<usize>, count: u32, length: impl Fn(&Entry) -> u64) -> Vec<Column> {
        let (start, end) = (stretch.start, stretch.end.min(self.entries.len()));
        if start >= end {
            return Vec::new();
        }
        // Exact: boundary k lies at k × total / count, and all positions are multiplied by count.
        let count = u128::from(count);
        let length = |i: usize| u128::from(length(&self.entries[i]).max(1)) * count;
        let total = (start..end).map(length).sum::<u128>() / count.max(1);
        let mut first = start;
        // Where the first entry of the column ends.
        let mut first_ends = length(first);
        let mut last = first;
        let mut last_ends = first_ends;
        (0..count)
            .map(|k| {
                while first_ends <= k * total {
                    first += 1;
                    first_ends += length(first);
                }
                while last_ends < (k + 1) * total {
                    last += 1;
                    last_ends += length(last);
                }
                let entries = first..last + 1;
                let live = |i: usize| self.entries[i].live;
                let peak = entries.clone().reduce(|best, i| if live(i) > live(best) { i } else { best });
                Column { entries, peak: peak.unwrap_or(first) }
            })
            .collect()
    }
}
