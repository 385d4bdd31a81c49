//! Interval plans.
mod least;
mod network;
mod profile;
mod scan;
mod slots;

pub use network::Allowed;

use crate::cost::Costs;
use crate::plan::Segment;
use crate::predict::Program;

/// debug
pub fn least_peak(
    program: &Program<'_>,
    costs: &Costs,
    allowed: &Allowed,
    limit: u64,
) -> (u64, Vec<Segment>, [u64; 3]) {
    let profile = profile::Profile::new(program, costs);
    let slots = slots::Slots::new(&profile);
    let network = network::Network::build(&profile, &slots, allowed, limit);
    let rest = least::rest(&network);
    let mut v = 0;
    let mut segments = Vec::new();
    while network.cuts[v] < profile.operators.len() as u32 && rest[v] != u64::MAX {
        let step = network
            .steps_of(v)
            .iter()
            .find(|s| rest[s.to as usize] != u64::MAX && s.need.max(s.held + rest[s.to as usize]) == rest[v]);
        let Some(step) = step else { break };
        if step.is_region {
            segments.push(Segment::new(network.cuts[v], network.cuts[step.to as usize]));
        }
        v = step.to as usize;
    }
    (rest[0], segments, [network.len() as u64, network.steps.len() as u64, network.regions])
}

/// Peak of the given flat plan by the decomposition; `None` if the network lacks one of its steps.
pub fn evaluate(
    program: &Program<'_>,
    costs: &Costs,
    segments: &[Segment],
    limit: u64,
) -> Option<(u64, Vec<(u32, u32, u64, u64)>)> {
    let profile = profile::Profile::new(program, costs);
    let slots = slots::Slots::new(&profile);
    let allowed = Allowed::regions(program.graph, segments.iter().map(|s| (s.start, s.end)));
    let network = network::Network::build(&profile, &slots, &allowed, limit);
    let (mut v, mut w, mut peak) = (0, 0, 0);
    let mut trail = Vec::new();
    while network.cuts[v] < profile.operators.len() as u32 {
        let a = network.cuts[v];
        let region = segments.iter().find(|s| s.start == a);
        let step = network.steps_of(v).iter().find(|s| match region {
            Some(r) => s.is_region && network.cuts[s.to as usize] == r.end,
            None => !s.is_region,
        })?;
        trail.push((a, network.cuts[step.to as usize], w, w + step.need));
        peak = peak.max(w + step.need);
        w += step.held;
        v = step.to as usize;
    }
    Some((peak, trail))
}
