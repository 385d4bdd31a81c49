//! Rules on where regions may lie, as a library's user sets them.

use remat::graphs::zoo;
use remat::{Granularity, Options, RegionRules};

/// Operators that must not run a second time lie in no region, whatever regions are made of; plans of all others stay as good
/// as the rule allows.
#[test]
fn operators_that_run_once() {
    let graph = zoo::load("resnet18-b64").unwrap();
    for granularity in [Granularity::Operator, Granularity::Module] {
        let free = Options { regions: RegionRules { granularity, ..RegionRules::default() }, ..Options::default() };
        let plan = |once: Vec<u32>| {
            let regions = RegionRules { once, ..free.regions.clone() };
            remat::plan(&graph, &Options { regions, ..free.clone() }).unwrap()
        };
        let best = plan(Vec::new());
        let (start, end) = best.segments.iter().flatten().map(|s| (s.start, s.end)).max_by_key(|s| s.1 - s.0).unwrap();
        let once: Vec<u32> = vec![start, end - 1, u32::MAX];
        let kept = plan(once.clone());
        for segment in kept.segments.iter().flatten() {
            assert!(!once.iter().any(|o| (segment.start..segment.end).contains(o)), "{granularity:?}: {segment:?}");
        }
        let peak = |plan: &remat::Plan| plan.predicted.unwrap().peak;
        assert!(peak(&best) <= peak(&kept) && peak(&kept) <= kept.without.unwrap().peak);
    }
}
