//! When the kernels of a replay run, by a cost model.

use super::Predictor;
use super::replay::{Moment, Observer, Scratch, replay};
use crate::cost::Costs;
use crate::plan::Regions;

/// Start and end of every kernel of a step, in nanoseconds from its start.
///
/// Entry for entry the moments of a [`Timeline`](super::Timeline) of the same plan. A kept result that is handed over
/// instead of being computed again takes no time, and neither does the optimizer's step, which no cost model knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clock {
    ends: Vec<u64>,
}

impl Clock {
    /// Times of a step under a plan. Sums saturate.
    ///
    /// # Complexity
    /// One replay: time O(kernels run), memory O(kernels run) for the result.
    pub fn new(predictor: &Predictor<'_>, costs: &Costs, regions: &Regions, scratch: &mut Scratch) -> Self {
        let mut ticks = Ticks { costs, now: 0, again: 0, ends: Vec::new() };
        replay(predictor.program(), regions, scratch, &mut ticks);
        Self { ends: ticks.ends }
    }

    /// When entry `i` of the timeline starts.
    pub fn start(&self, i: usize) -> u64 {
        i.checked_sub(1).map_or(0, |before| self.end(before))
    }

    /// When entry `i` of the timeline ends; beyond the last kernel, the end of the step.
    pub fn end(&self, i: usize) -> u64 {
        self.ends.get(i).copied().unwrap_or_else(|| self.total())
    }

    /// Length of the step.
    pub fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }
}

struct Ticks<'a> {
    costs: &'a Costs,
    now: u64,
    /// Time of the kernel that runs again, until its moment comes.
    again: u64,
    ends: Vec<u64>,
}

impl Observer for Ticks<'_> {
    fn ran_again(&mut self, operator: u32, kernel: u32) {
        self.again = self.costs.operator_kernels(operator)[kernel as usize];
    }

    fn moment(&mut self, moment: Moment, _live: u64) {
        let ns = match moment {
            Moment::Forward { operator, kernel } => self.costs.operator_kernels(operator)[kernel as usize],
            Moment::Recompute { .. } => std::mem::take(&mut self.again),
            Moment::Backward { kernel } => self.costs.backward_kernels()[kernel as usize],
        };
        self.now = self.now.saturating_add(ns);
        self.ends.push(self.now);
    }
}
