//! What each region of a plan is worth: the bytes it spares and the time it takes.

use serde::Serialize;

use super::clock::Clock;
use super::recording::Recording;
use super::replay::{Moment, Scratch};
use super::timeline::{Phase, Timeline};
use super::{Optimizer, Predictor};
use crate::plan::Regions;

/// What one region of a plan is worth. Compared is with the same plan less this region and those inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Worth {
    /// Bytes that are held less because of it: between the passes, and for a nested region when the recomputation of the
    /// region around it is over. Negative where the region's inputs are larger than what it would save; absent where the
    /// region around it is not recomputed.
    pub saved: Option<i64>,
    /// Peak of the step without it.
    pub peak_without: u64,
    /// Nanoseconds of its recomputation, those of regions inside it excluded.
    pub ns: u64,
    /// Kernel calls that run in its recomputation.
    pub kernels: usize,
}

/// What every region is worth, in the order of [`Regions::all`].
///
/// # Arguments
/// * `predictor`: of the graph.
/// * `regions`: of the plan.
/// * `optimizer`: whose states and temporaries count.
/// * `timeline`, `clock`: of the same plan.
/// * `scratch`: reusable memory.
///
/// # Complexity
/// One replay per region.
pub fn worth(
    predictor: &Predictor<'_>,
    regions: &Regions,
    optimizer: Option<Optimizer>,
    timeline: &Timeline,
    clock: &Clock,
    scratch: &mut Scratch,
) -> Vec<Worth> {
    let plan = Recording::of(predictor, regions, scratch);
    let mut paid = vec![(0u64, 0usize); regions.all.len()];
    for (i, entry) in timeline.entries.iter().enumerate() {
        if let (Phase::Recompute, Some(region)) = (entry.when.phase, entry.when.region) {
            let (ns, kernels) = &mut paid[region as usize];
            *ns += clock.end(i) - clock.start(i);
            *kernels += 1;
        }
    }
    let of = |r: usize, scratch: &mut Scratch| {
        let less = regions.without(r as u32);
        let other = Recording::of(predictor, &less, scratch);
        let parent = regions.all[r].parent;
        // Outer regions come first, so the parent keeps its index.
        let held = held_after(&plan, predictor, parent).zip(held_after(&other, predictor, parent));
        Worth {
            saved: held.map(|(with, without)| difference(without, with)),
            peak_without: predictor.with_optimizer(&other.replayed, optimizer).peak,
            ns: paid[r].0,
            kernels: paid[r].1,
        }
    };
    (0..regions.all.len()).map(|r| of(r, scratch)).collect()
}

/// Bytes alive when the forward pass, or the recomputation of a region, is over.
fn held_after(recording: &Recording, predictor: &Predictor<'_>, region: Option<u32>) -> Option<u64> {
    let Some(region) = region else { return Some(recording.replayed.after_forward) };
    let is_of = |m: Moment| matches!(m, Moment::Recompute { region: r, .. } if r == region);
    let stop = recording.stops.iter().rev().find(|s| is_of(s.moment))?;
    // What comes to life next belongs to the kernel after it.
    let ends = recording.events[stop.events..].iter().take_while(|e| !e.is_birth);
    Some(ends.fold(stop.live, |live, e| live - predictor.graph().size(e.storage)))
}

fn difference(a: u64, b: u64) -> i64 {
    let size = i64::try_from(a.abs_diff(b)).unwrap_or(i64::MAX);
    if a >= b { size } else { -size }
}
