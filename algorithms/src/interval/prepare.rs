//! The network of a question, as much of it as fits.

use std::borrow::Cow;
use std::sync::Arc;

use crate::plan::Stats;

use super::active::{Active, Price};
use super::answer::Work;
use super::least::Rest;
use super::long::Worth;
use super::nested::Nested;
use super::network::{Inside, Limits, Network, Source};
use super::planner::{Options, Planner};

/// A network built for a limit on the peak.
pub(super) struct Prepared {
    pub network: Network,
    pub rest: Arc<Rest>,
    /// Plans for the insides of regions, if regions may nest.
    pub nested: Option<Arc<Nested>>,
    /// Does it hold every plan that was asked for?
    pub is_complete: bool,
}

impl Prepared {
    /// Work that went into it and into a search over it; no seconds.
    pub(super) fn stats(&self, search: Work) -> Stats {
        let nested = self.nested.as_ref().map_or(0, |nested| nested.labels);
        let network = &self.network;
        Stats {
            states: network.len() as u64 + search.labels + nested,
            evaluations: network.regions + network.steps.len() as u64 + search.candidates,
            seconds: 0.0,
        }
    }

    /// What plans within a limit can be made of that take less than a time. `price` is that of a similar question. Time
    /// O(states + steps).
    pub(super) fn below(&self, limit: u64, time: u64, price: Option<Price>) -> Self {
        let active = Active::new(&self.network, &self.rest, limit, time, price);
        let mut chosen: Vec<u32> = active.steps.iter().map(|step| step.step).collect();
        chosen.sort_unstable();
        Self {
            network: self.network.with_steps(&chosen),
            rest: Arc::clone(&self.rest),
            nested: self.nested.clone(),
            is_complete: self.is_complete,
        }
    }
}

impl<'p, 'g> Planner<'p, 'g> {
    /// Builds the network of all plans within a limit; one that grows too large is built again with fewer candidate
    /// sets, in the end with short regions only.
    pub(super) fn prepare(&self, limit: u64, options: &Options<'_>) -> Prepared {
        self.prepare_with(limit, options, None)
    }

    /// The same with plans for the insides of regions.
    pub(super) fn prepare_with(&self, limit: u64, options: &Options<'_>, nested: Option<&Arc<Nested>>) -> Prepared {
        let inside = nested.and_then(|n| n.alternatives()).map_or(Inside::Flat, Inside::Planned);
        let source = Source { inside, ..self.source(Limits { peak: limit, worth: None }, options) };
        Prepared { nested: nested.cloned(), ..fitting(source) }
    }

    /// The same of plans whose regions are worth their time.
    pub(super) fn prepare_worthy(&self, limit: u64, worth: &Worth<'_>, options: &Options<'_>) -> Prepared {
        fitting(self.source(Limits { peak: limit, worth: Some(worth) }, options))
    }

    /// All of a question; regions do not nest.
    pub(super) fn source<'a>(&'a self, limits: Limits<'a>, options: &Options<'a>) -> Source<'a, 'p, 'g> {
        Source {
            profile: &self.profile,
            slots: &self.slots,
            allowed: self.allowed(options),
            keeps: self.keeps(options),
            inside: Inside::Flat,
            limits,
            free_from: None,
        }
    }
}

fn fitting(source: Source<'_, '_, '_>) -> Prepared {
    let mut keeps = source.keeps;
    let mut allowed = Cow::Borrowed(source.allowed);
    let mut longest = source.profile.operators.len() as u32;
    let mut is_complete = true;
    loop {
        let reached = match Network::build(&Source { allowed: &allowed, keeps, ..source }) {
            Ok(network) => {
                let rest = Arc::new(Rest::of(&network));
                return Prepared { network, rest, nested: None, is_complete };
            }
            Err(reached) => reached,
        };
        is_complete = false;
        if keeps.is_empty() {
            longest = shorter(longest, reached, &source);
            allowed.to_mut().retain(|a, b| b - a <= longest);
        } else {
            keeps = &keeps[..keeps.len() / 2];
        }
    }
}

/// What to try instead of `length`, after a network grew too large at a cut: half of it, or the part that was reached.
pub(super) fn shorter(length: u32, reached: u32, source: &Source<'_, '_, '_>) -> u32 {
    let part = u64::from(length) * u64::from(reached) / source.profile.operators.len() as u64;
    (part as u32).min(length / 2)
}
