//! What is known of a frame's recomputation as a function of memory.

/// Recomputation falls as memory grows. Both lists are staircases, ascending in memory.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// `(m, time, step)`: from `m` bytes on, `time` is reached by a schedule that starts with `step`.
    reached: Vec<(u64, u64, u16)>,
    /// `(m, time)`: up to `m` bytes, no schedule takes less than `time`.
    proven: Vec<(u64, u64)>,
}

/// The best schedule known for some memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    /// The least memory in which this schedule works.
    pub from: u64,
    /// Its recomputation in nanoseconds.
    pub time: u64,
    /// Its first step.
    pub step: u16,
}

impl Facts {
    pub(super) fn reached(&self, m: u64) -> Option<Reached> {
        let i = self.reached.partition_point(|r| r.0 <= m).checked_sub(1)?;
        let (from, time, step) = self.reached[i];
        Some(Reached { from, time, step })
    }

    pub(super) fn proven(&self, m: u64) -> u64 {
        self.proven.get(self.proven.partition_point(|p| p.0 < m)).map_or(0, |p| p.1)
    }

    pub(super) fn reach(&mut self, new: Reached) {
        let i = self.reached.partition_point(|r| r.0 <= new.from);
        if i > 0 && self.reached[i - 1].1 <= new.time {
            return;
        }
        let start = if i > 0 && self.reached[i - 1].0 == new.from { i - 1 } else { i };
        let end = i + self.reached[i..].partition_point(|r| r.1 >= new.time);
        self.reached.splice(start..end, [(new.from, new.time, new.step)]);
    }

    pub(super) fn prove(&mut self, m: u64, time: u64) {
        let i = self.proven.partition_point(|p| p.0 < m);
        if self.proven.get(i).is_some_and(|p| p.1 >= time) {
            return;
        }
        let start = self.proven[..i].partition_point(|p| p.1 > time);
        let end = if self.proven.get(i).is_some_and(|p| p.0 == m) { i + 1 } else { i };
        self.proven.splice(start..end, [(m, time)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staircases_keep_the_best_of_both_kinds() {
        let mut facts = Facts::default();
        for (from, time) in [(10, 50), (20, 30), (15, 30), (12, 60), (30, 30), (40, 0)] {
            facts.reach(Reached { from, time, step: 0 });
        }
        let at = |m| facts.reached(m).map(|r| (r.from, r.time));
        assert_eq!(
            [at(9), at(10), at(14), at(15), at(39), at(90)].map(|r| r.map(|r| r.1)),
            [None, Some(50), Some(50), Some(30), Some(30), Some(0)]
        );
        assert_eq!(at(39), Some((15, 30)));
        for (m, time) in [(20, 5), (10, 9), (15, 9), (12, 3), (20, 6)] {
            facts.prove(m, time);
        }
        assert_eq!([1, 10, 15, 16, 20, 21].map(|m| facts.proven(m)), [9, 9, 9, 6, 6, 0]);
    }
}
