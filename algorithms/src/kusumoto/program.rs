//! The dynamic program over a family of lower sets.

use super::sets::{Dag, LowerSet, family};

/// Most labels of one set. Where it is reached, labels with the least bytes kept are kept, so a strategy is still found.
pub const LABEL_LIMIT: usize = 256;

/// Which of the strategies within a budget is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centric {
    /// The one that recomputes least.
    Time,
    /// The one that recomputes most.
    Memory,
}

/// A sequence of lower sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    /// The last operator of each set, in order; the last set holds all vertices.
    pub ends: Vec<u32>,
    /// Vertices in each set.
    pub sizes: Vec<usize>,
    /// Recomputation in nanoseconds, by the model.
    pub time: u64,
    /// Was [`LABEL_LIMIT`] never reached? Then the time is the optimum over the family.
    pub is_complete: bool,
}

/// A graph, prepared for any number of budgets.
pub struct Program {
    sets: Vec<LowerSet>,
    steps: Vec<Vec<Step>>,
    /// Least budget from each set on, beyond what is kept.
    least: Vec<u64>,
}

/// From one set to a larger one.
struct Step {
    to: u32,
    /// Bytes that the step takes beyond what is kept.
    need: u64,
    /// Bytes kept from it on.
    keeps: u64,
    time: u64,
}

/// Time, bytes kept, and the label before: set and index.
#[derive(Debug, Clone, Copy)]
struct Label {
    time: u64,
    kept: u64,
    from: (u32, u32),
}

impl Program {
    /// Enumerates the family and its steps.
    ///
    /// # Complexity
    /// Time O(S^2 (n / 64 + b)), memory O(S^2) for S sets of n vertices with boundaries of b.
    pub fn new(dag: &Dag) -> Self {
        let sets = family(dag);
        let mut steps: Vec<Vec<Step>> = Vec::with_capacity(sets.len());
        for (i, from) in sets.iter().enumerate() {
            let larger = sets.iter().enumerate().skip(i + 1).filter(|(_, to)| from.members.is_subset(&to.members));
            let step = |(j, to): (usize, &LowerSet)| {
                let new = to.boundary.iter().filter(|&&v| !from.members.contains(v));
                let (keeps, spared) = new.fold((0u64, 0u64), |(bytes, time), &v| {
                    (bytes.saturating_add(dag.bytes[v as usize]), time.saturating_add(dag.time[v as usize]))
                });
                let need = (to.bytes - from.bytes).saturating_mul(2).saturating_add(to.around);
                Step { to: j as u32, need, keeps, time: to.time - from.time - spared }
            };
            steps.push(larger.map(step).collect());
        }
        let mut least = vec![0u64; sets.len()];
        for (i, steps) in steps.iter().enumerate().rev() {
            let need = |s: &Step| s.need.max(s.keeps.saturating_add(least[s.to as usize]));
            if let Some(best) = steps.iter().map(need).min() {
                least[i] = best;
            }
        }
        Self { sets, steps, least }
    }

    /// Number of lower sets in the family.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// Least budget that a strategy keeps to, by the model, in bytes.
    pub fn least_budget(&self) -> u64 {
        self.least[0]
    }

    /// Budget from which on one region for everything is allowed: `2 M(V)`.
    pub fn full_budget(&self) -> u64 {
        self.sets.last().map_or(0, |all| all.bytes.saturating_mul(2))
    }

    /// The strategy wanted within a budget; nothing if none keeps to it.
    ///
    /// # Complexity
    /// Time O(steps × labels of a set).
    pub fn solve(&self, budget: u64, centric: Centric) -> Option<Strategy> {
        if budget < self.least_budget() {
            return None;
        }
        let mut labels: Vec<Vec<Label>> = vec![Vec::new(); self.sets.len()];
        labels[0].push(Label { time: 0, kept: 0, from: (0, 0) });
        let mut is_complete = true;
        let mut merged = Vec::new();
        for i in 0..self.sets.len() {
            let here = std::mem::take(&mut labels[i]);
            for step in &self.steps[i] {
                let after = step.keeps.saturating_add(self.least[step.to as usize]);
                // By rising bytes kept: from the first that does not fit on, none fits.
                let fits = |l: &Label| l.kept.saturating_add(step.need.max(after)) <= budget;
                let new = here.iter().zip(0..).take_while(|(l, _)| fits(l)).map(|(l, at)| Label {
                    time: l.time.saturating_add(step.time),
                    kept: l.kept.saturating_add(step.keeps),
                    from: (i as u32, at),
                });
                let there = &mut labels[step.to as usize];
                is_complete &= merge(there, new, centric, &mut merged);
                std::mem::swap(there, &mut merged);
            }
            labels[i] = here;
        }
        self.trace(&labels, centric, is_complete)
    }

    fn trace(&self, labels: &[Vec<Label>], centric: Centric, is_complete: bool) -> Option<Strategy> {
        let mut set = self.sets.len() - 1;
        let wanted = |l: &(usize, &Label)| match centric {
            Centric::Time => l.1.time,
            Centric::Memory => u64::MAX - l.1.time,
        };
        let (mut at, best) = labels[set].iter().enumerate().min_by_key(wanted)?;
        let (mut ends, mut sizes) = (Vec::new(), Vec::new());
        while set > 0 {
            let lower = &self.sets[set];
            ends.extend(lower.last);
            sizes.push(lower.members.count() as usize);
            let (from, index) = labels[set][at].from;
            (set, at) = (from as usize, index as usize);
        }
        ends.reverse();
        sizes.reverse();
        Some(Strategy { ends, sizes, time: best.time, is_complete })
    }
}

/// Merges two lists of undominated labels, each by rising bytes kept, into one; returns whether none of it had to go.
fn merge(old: &[Label], new: impl Iterator<Item = Label>, centric: Centric, into: &mut Vec<Label>) -> bool {
    let cost = |l: &Label| match centric {
        Centric::Time => l.time,
        Centric::Memory => u64::MAX - l.time,
    };
    into.clear();
    let (mut old, mut new) = (old.iter().copied().peekable(), new.peekable());
    let mut best = None;
    loop {
        let takes_old = match (old.peek(), new.peek()) {
            (Some(a), Some(b)) => (a.kept, cost(a)) <= (b.kept, cost(b)),
            (a, _) => a.is_some(),
        };
        let Some(next) = (if takes_old { old.next() } else { new.next() }) else { break };
        if best.is_none_or(|b| cost(&next) < b) {
            best = Some(cost(&next));
            into.push(next);
        }
    }
    let fits = into.len() <= LABEL_LIMIT;
    into.truncate(LABEL_LIMIT);
    fits
}
