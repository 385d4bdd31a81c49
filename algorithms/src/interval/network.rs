//! The network of all interval plans: states at cuts, steps between them.
//!
//! A state is a cut and the set of storages crossing it that earlier steps hold. A step runs one operator plainly or
//! checkpoints a region. If earlier steps hold `w` bytes, a step is possible under a bound `M` exactly if
//! `w + need <= M`, and afterwards `w + held` bytes are held. Where autocast caches casts, the forward pass has a bound
//! of its own: see [`Forward`].

use std::sync::Arc;

use rayon::prelude::*;

use super::allowed::Allowed;
use super::builder::Builder;
use super::differences::Differences;
use super::keep::Keep;
use super::long::Worth;
use super::nested::{Alternatives, Variant};
use super::profile::Profile;
use super::scan::{Bounds, Local, Locals, Marks, scan};
use super::slots::Slots;

/// Most steps of a network; 32 bytes each.
const MAX_STEPS: usize = 10_000_000;

/// Most states of a network: where there are more, their number doubles every few cuts.
const MAX_STATES: usize = 30_000;
const STATES_PER_CUT: usize = 100;

/// One way to continue from a state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// State it leads to.
    pub to: u32,
    /// Bytes that it holds from then on, beyond what is held already.
    pub held: u64,
    /// Largest live bytes while it runs or its backward pass does, beyond what earlier steps hold; of the backward pass
    /// alone if the network has [`Forward`]s.
    pub need: u64,
    /// Nanoseconds of recomputation.
    pub time: u64,
    pub kind: StepKind,
}

/// Forward pass of a step where autocast caches casts. They are alive in the whole forward pass, held or not, so there
/// they do not count as held: if earlier steps hold `w` bytes without casts, `w + need <= M` must be true as well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forward {
    /// Largest live bytes while the step runs, beyond what earlier steps hold without casts.
    pub need: u64,
    /// Of the bytes that the step holds, those of casts.
    pub casts: u64,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// Runs one operator plainly.
    Plain,
    /// Checkpoints a region.
    Region,
    /// Checkpoints a region that keeps the kernels of a candidate set.
    Selective(u8),
    /// Checkpoints a region that checkpoints regions of its own.
    Nested(Variant),
}

/// What may happen inside of a region while it is recomputed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inside<'a> {
    /// Nothing is checkpointed again.
    Flat,
    /// One of these plans may be followed.
    Planned(&'a Alternatives),
    /// Anything: steps need no more than what no plan can avoid. Good for lower bounds only.
    Anything,
}

/// Plans of interest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    /// Those with no larger peak.
    pub peak: u64,
    /// Of these, those with regions that are worth their time.
    pub worth: Option<&'a Worth<'a>>,
}

/// What a network is built of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a, 'p, 'g> {
    pub profile: &'a Profile<'p, 'g>,
    pub slots: &'a Slots,
    pub allowed: &'a Allowed,
    /// Sets of kernels that regions may keep.
    pub keeps: &'a [Keep],
    pub inside: Inside<'a>,
    pub limits: Limits<'a>,
    /// Adds, at all cuts from this one on, the state that holds everything for nothing: see [`Network::free`].
    pub free_from: Option<u32>,
}

/// All steps that can be part of a plan within the limit.
#[derive(Debug)]
pub(super) struct Network {
    /// Cut of every state; states are in ascending order of cuts, the first is the start, the last the end unless no plan
    /// stays within the limit.
    pub cuts: Vec<u32>,
    /// The cut behind the loss.
    pub end: u32,
    /// Steps of state `i`: `steps[first[i] .. first[i + 1]]`.
    pub first: Vec<u32>,
    pub steps: Vec<Step>,
    /// One per step if there are cached casts, else empty.
    pub forward: Vec<Forward>,
    /// What the states of a cut hold beyond others.
    pub differences: Arc<Differences>,
    /// Per cut, the state that holds all that crosses it for nothing, where one was asked for. From there nothing costs
    /// more than from any other way to that cut.
    pub free: Vec<Option<u32>>,
    /// The limit it was built for.
    pub limit: u64,
    /// Regions whose local peaks were computed.
    pub regions: u64,
}

impl Network {
    /// Builds the network of all plans within the limits.
    ///
    /// # Errors
    /// The cut that was reached when it had too many steps.
    ///
    /// Time and memory O(states × cuts).
    pub(super) fn build(source: &Source<'_, '_, '_>) -> Result<Self, u32> {
        let flat = Source { inside: Inside::Flat, ..*source };
        let mut all = vec![(StepKind::Region, scan_all(source, None))];
        for (i, keep) in source.keeps.iter().enumerate() {
            let mut locals = scan_all(&flat, Some(keep));
            for (_, less) in &all {
                drop_dominated(&mut locals, less);
            }
            all.push((StepKind::Selective(i as u8), locals));
        }
        // What is only a help to something else may not take long.
        let is_help = matches!(source.inside, Inside::Anything) || source.free_from.is_some();
        let most = if is_help { MAX_STEPS / 2 } else { MAX_STEPS };
        let mut b = Builder::new(source);
        for cut in 0..source.profile.operators.len() as u32 {
            b.states_at(cut, &all);
            let (steps, states) = b.size();
            if steps > most || states > MAX_STATES + STATES_PER_CUT * cut as usize {
                return Err(cut);
            }
        }
        let regions = all.iter().flat_map(|(_, locals)| locals).map(|l| l.regions.len() as u64).sum();
        Ok(b.finish(regions))
    }

    /// Peak of a path, given by its steps.
    pub(super) fn peak(&self, path: &[u32]) -> u64 {
        let (mut peak, mut held, mut casts) = (0, 0, 0);
        for &i in path {
            let step = &self.steps[i as usize];
            peak = peak.max(held + step.need);
            if let Some(forward) = self.forward.get(i as usize) {
                peak = peak.max(held - casts + forward.need);
                casts += forward.casts;
            }
            held += step.held;
        }
        peak
    }

    /// The same states with some of the steps, given in ascending order. Time O(states + steps).
    pub(super) fn with_steps(&self, chosen: &[u32]) -> Self {
        let mut first = vec![0u32; self.first.len()];
        for (v, first) in first.iter_mut().enumerate() {
            *first = chosen.partition_point(|&i| i < self.first[v]) as u32;
        }
        Self {
            cuts: self.cuts.clone(),
            end: self.end,
            first,
            steps: chosen.iter().map(|&i| self.steps[i as usize]).collect(),
            forward: chosen.iter().filter_map(|&i| self.forward.get(i as usize)).copied().collect(),
            differences: Arc::clone(&self.differences),
            free: self.free.clone(),
            limit: self.limit,
            regions: self.regions,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.cuts.len()
    }

    pub(super) fn steps_of(&self, state: usize) -> &[Step] {
        &self.steps[self.first[state] as usize..self.first[state + 1] as usize]
    }
}

/// Local peaks of all allowed regions that can stay within the limits.
pub(super) fn scan_all(source: &Source<'_, '_, '_>, keep: Option<&Keep>) -> Vec<Locals> {
    let Source { profile, slots, limits, .. } = source;
    let graph = profile.program.graph;
    (0..graph.loss())
        .into_par_iter()
        .map_init(Marks::default, |marks, a| {
            let ends = &source.allowed.ends[a as usize];
            let crossing = slots.crossing(a).iter().map(|&s| graph.size(s)).sum();
            if ends.is_empty() {
                Locals::default()
            } else {
                let nested_until = match source.inside {
                    Inside::Flat => 0,
                    Inside::Planned(plans) => plans.last_end(a),
                    Inside::Anything => u32::MAX,
                };
                scan(profile, a, &Bounds { ends, limits, nested_until, crossing, keep }, marks)
            }
        })
        .collect()
}

/// Drops the regions that keep more than the same regions of `less` do, and gain nothing.
fn drop_dominated(locals: &mut [Locals], less: &[Locals]) {
    locals.par_iter_mut().zip(less).for_each(|(locals, less)| {
        let mut others = less.regions.iter().peekable();
        locals.regions.retain(|region| {
            while others.next_if(|other| other.end < region.end).is_some() {}
            let is_no_worse = |l: &Local| {
                let needs_no_more = l.backward <= region.backward && l.after_inputs <= region.after_inputs;
                l.time <= region.time && l.kept <= region.kept && l.forward <= region.forward && needs_no_more
            };
            !others.peek().is_some_and(|other| other.end == region.end && is_no_worse(other))
        });
    });
}
