//! Parts of a timeline: phases, recomputations, and the runs that a picture shows.

use serde::Serialize;

use super::clock::Clock;
use super::timeline::{Phase, Timeline};

/// A run of entries of one phase and, in recomputations, of one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Part of the step.
    pub phase: Phase,
    /// Region that is recomputed, as an index into [`Regions::all`](crate::Regions::all).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<u32>,
    /// First entry.
    pub first: usize,
    /// One past the last entry.
    pub end: usize,
}

/// Entries that a picture shows as one: the one with the most bytes stands for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Run {
    /// First entry.
    pub first: usize,
    /// One past the last entry.
    pub end: usize,
    /// The first of them with the most bytes.
    pub peak: usize,
}

impl Timeline {
    /// Phases and recomputations in order of execution; they partition the entries. Time O(entries).
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (i, entry) in self.entries.iter().enumerate() {
            let (phase, region) = (entry.when.phase, entry.when.region);
            match spans.last_mut() {
                Some(last) if (last.phase, last.region) == (phase, region) => last.end = i + 1,
                _ => spans.push(Span { phase, region, first: i, end: i + 1 }),
            }
        }
        spans
    }

    /// Entries of the forward pass that run operators `start..end`; empty if none of them has a kernel. Time O(entries).
    pub fn forward_of(&self, start: u32, end: u32) -> std::ops::Range<usize> {
        let runs = |i: &usize| {
            self.entries[*i].when.operator.is_some_and(|o| (start..end).contains(&o)) && self.is_forward(*i)
        };
        let mut all = (0..self.entries.len()).filter(runs);
        all.next().map_or(0..0, |first| first..all.next_back().unwrap_or(first) + 1)
    }

    fn is_forward(&self, i: usize) -> bool {
        self.entries[i].when.phase == Phase::Forward
    }

    /// Splits the entries into runs for a picture that tells `parts` parts of the time apart, without losing a peak.
    ///
    /// A run holds consecutive entries of one span that start within one of `parts` equal parts of the time; where no
    /// kernel takes time, within one of `parts` equal parts of the entries. Unlike [`columns`](Self::columns), runs have
    /// no common length and lie in one phase each. Nothing is averaged: the largest entry of every span, and so of every
    /// phase, is some run's peak.
    ///
    /// # Returns
    /// At most `parts` + the number of [`spans`](Self::spans), in order; they partition the entries.
    ///
    /// # Complexity
    /// Time O(entries).
    pub fn runs(&self, clock: &Clock, parts: u32) -> Vec<Run> {
        let total = clock.total();
        let part = |i: usize| {
            let (at, all) = if total == 0 { (i as u64, self.entries.len() as u64) } else { (clock.start(i), total) };
            u128::from(at) * u128::from(parts.max(1)) / u128::from(all.max(1))
        };
        let mut out: Vec<Run> = Vec::new();
        for span in self.spans() {
            let mut current = None;
            for i in span.first..span.end {
                match out.last_mut() {
                    Some(run) if current == Some(part(i)) => {
                        run.end = i + 1;
                        if self.entries[i].live > self.entries[run.peak].live {
                            run.peak = i;
                        }
                    }
                    _ => out.push(Run { first: i, end: i + 1, peak: i }),
                }
                current = Some(part(i));
            }
        }
        out
    }
}
