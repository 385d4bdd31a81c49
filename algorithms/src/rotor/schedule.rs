//! Persistent schedules, and what they take.

use super::stages::Stages;

/// What a frame does with its stages, from the first to the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Stage `0` runs and keeps its tape (the paper's `F_all`); its backward pass comes when all later ones are done.
    Keep(u32),
    /// Stages `start ..= end` run without saving (`F_ck`, then `F_∅`), only the last output is kept; when all later
    /// backward passes are done, they run again as a frame of their own.
    Region {
        /// First stage.
        start: u32,
        /// Last stage.
        end: u32,
        /// What the second run does: covers the same stages, and its last step keeps `end`.
        inner: Vec<Step>,
    },
}

/// Recomputation of a frame's steps in nanoseconds: all forward runs beyond the first of each stage, inner ones included.
/// Saturates.
pub fn recomputation(stages: &Stages, steps: &[Step]) -> u64 {
    steps.iter().fold(0, |sum: u64, step| match step {
        Step::Keep(_) => sum,
        Step::Region { start, end, inner } => {
            let again = stages.time(*start as usize, *end as usize + 1);
            sum.saturating_add(again).saturating_add(recomputation(stages, inner))
        }
    })
}

/// Least memory in which a frame's steps can run, in bytes, without the input of its first stage and with the gradient
/// of its last. The steps cover stages without gaps, and the last one is kept.
pub fn memory(stages: &Stages, steps: &[Step]) -> u64 {
    let Some(Step::Keep(last)) = steps.last() else { return 0 };
    let t = *last as usize;
    steps.iter().rev().fold(0, |after: u64, step| match step {
        Step::Keep(s) => stages.save(*s as usize, t).max(if *s == *last {
            0
        } else {
            after.saturating_add(stages.get(*s as usize).tape)
        }),
        Step::Region { start, end, inner } => {
            let run = (*start..=*end).map(|j| stages.run(j as usize, j > *start)).max().unwrap_or(0);
            let rest = after.saturating_add(stages.get(*end as usize).output);
            rest.max(stages.get(t).gradient.saturating_add(run)).max(memory(stages, inner))
        }
    })
}

/// Deepest nesting of regions.
pub fn depth(steps: &[Step]) -> u32 {
    let of = |step: &Step| match step {
        Step::Keep(_) => 0,
        Step::Region { inner, .. } => 1 + depth(inner),
    };
    steps.iter().map(of).max().unwrap_or(0)
}
