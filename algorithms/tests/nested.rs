//! Plans with regions inside regions, against brute force over all of them.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use remat_algorithms::cost::Costs;
use remat_algorithms::interval::{Allowed, Error, Options, Planner};
use remat_algorithms::plan::{Status, assemble::rerun};
use remat_algorithms::predict::{Predictor, Scratch};
use remat_algorithms::{Regions, Segment, checker};
use remat_graphs::synthetic::{self, Choices, Features, Recorder};
use remat_graphs::{CostModel, Graph, zoo};

fn costs(graph: &Graph) -> Costs {
    let model = CostModel::device("h100").unwrap();
    Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k))
}

/// All ways to cover `cuts[from..=to]` with plain stretches and regions that are nested up to `levels` deep.
fn all_plans(cuts: &[u32], levels: u32) -> Vec<Vec<Segment>> {
    let n = cuts.len() - 1;
    let mut from: Vec<Vec<Vec<Segment>>> = vec![Vec::new(); n + 1];
    from[n] = vec![Vec::new()];
    for at in (0..n).rev() {
        let mut here = from[at + 1].clone();
        if levels > 0 {
            for to in at + 1..=n {
                for inner in all_plans(&cuts[at..=to], levels - 1) {
                    for behind in &from[to] {
                        let mut segment = Segment::new(cuts[at], cuts[to]);
                        segment.inner.clone_from(&inner);
                        here.push(std::iter::once(segment).chain(behind.iter().cloned()).collect());
                    }
                }
            }
        }
        from[at] = here;
    }
    from.swap_remove(0)
}

/// A chain of equal layers with hardly any parameters: what a layer makes is all that counts.
fn long_chain(layers: u32) -> Graph {
    let mut r = Recorder::new(format!("long-{layers}"), 512);
    let mut x = r.input("x", 1 << 20);
    let targets = r.input("targets", 512);
    for i in 0..layers {
        x = r.module(format!("layers.{i}"), |r| {
            let y = r.module("linear", |r| r.linear(x, 512, 0, 1 << 20));
            r.module("relu", |r| r.relu(y))
        });
    }
    let logits = r.linear(x, 512, 0, 1 << 20);
    Graph::new(r.finish(logits, targets)).unwrap()
}

/// Many operators save what none of their nodes needs: within a region of its own it need not run again.
const UNREAD: Features = Features {
    operators: 6,
    blocks: 9,
    reach: 2,
    in_place: 5,
    dropout: 10,
    frozen: 20,
    odd: 10,
    unread: 70,
    split: 10,
    autocast: 10,
    loss_inside: 10,
};

#[test]
fn nested_plans_against_brute_force() {
    let mut scratch = Scratch::default();
    let (mut graphs, mut equal, mut gains, mut reached, mut bounds, mut missed) = (0, 0, 0, 0, 0, 0);
    for seed in 0..640 {
        let trace = match seed {
            240.. => synthetic::random(&mut Choices::seeded(seed), &UNREAD),
            _ if seed % 4 == 0 => synthetic::chain(seed, 4),
            _ => synthetic::tiny(seed),
        };
        let graph = Graph::new(trace).unwrap();
        let cuts: Vec<u32> = graph.safe_cuts().collect();
        if !(4..=if seed < 240 { 8 } else { 6 }).contains(&cuts.len()) {
            continue;
        }
        let predictor = Predictor::new(&graph);
        let costs = costs(&graph);
        let planner = Planner::new(&predictor, &costs);
        let options = Options { nesting: 2, ..Options::default() };
        let flat = planner.least_peak(&Options::default()).unwrap();
        let found = planner.least_peak(&options).unwrap();
        let mut all: Vec<(u64, u64)> = all_plans(&cuts, 2)
            .iter()
            .map(|segments| {
                let regions = Regions::resolve(&graph, segments).unwrap();
                let (replayed, again) = rerun(&predictor, &costs, &regions, &mut scratch);
                (predictor.with_optimizer(&replayed, None).peak, again.ns)
            })
            .collect();
        all.sort_unstable();
        let best = all[0].0;
        let verified = checker::check(&graph, &found.segments).unwrap();
        assert_eq!(verified.peak, found.peak, "{seed}");
        assert!(best <= found.peak && found.peak <= flat.peak, "{seed}");
        assert!(found.lower_bound.is_none_or(|bound| bound <= best), "{seed}: {found:?} {best}");
        graphs += 1;
        missed += u32::from(seed >= 240 && found.peak > best);
        equal += u32::from(found.peak == best);
        gains += u32::from(best < flat.peak);
        reached += u32::from(best < flat.peak && found.peak == best);
        // A budget halfway: never more time than a flat plan, never less than the bound or the best of all plans.
        let budget = u64::midpoint(best, flat.peak).max(found.peak);
        let least = all.iter().filter(|p| p.0 <= budget).map(|p| p.1).min().unwrap();
        let within = planner.least_time(budget, &options).unwrap();
        assert!(within.peak <= budget && least <= within.time_ns, "{seed}");
        assert!(within.lower_bound.is_none_or(|bound| bound <= least), "{seed}: {within:?} {least}");
        if let Ok(flat) = planner.least_time(budget, &Options::default()) {
            assert!(within.time_ns <= flat.time_ns, "{seed}");
        }
        bounds += bounds_hold(&planner, &options, &all, seed);
    }
    println!(
        "{graphs} graphs, {equal} with the least peak of all nested plans; nesting gains on {gains}, {reached} of them in full"
    );
    // Inner regions that do nothing but keep needless saves out are not looked for.
    assert!(graphs > 500 && graphs - equal == missed && missed * 40 < graphs, "{missed}");
    assert!(gains >= 60 && gains - reached == missed && bounds > 250, "{bounds}");
}

/// No plan is below the bounds: at every budget from which on another plan of `all`, by peak and time, is the best. Returns
/// how many bounds say something.
fn bounds_hold(planner: &Planner<'_, '_>, options: &Options<'_>, all: &[(u64, u64)], seed: u64) -> u32 {
    let (mut bounds, mut least) = (0, u64::MAX);
    for &(peak, time) in all {
        if time >= least {
            continue;
        }
        least = time;
        if let Ok(found) = planner.least_time(peak, options) {
            let bound = found.lower_bound.unwrap_or(0);
            assert!(bound <= least && least <= found.time_ns, "{seed}: {found:?} {least}");
            bounds += u32::from(bound > 0);
        }
    }
    bounds
}

#[test]
fn on_long_chains_nesting_reaches_what_no_flat_plan_reaches() {
    let graph = long_chain(120);
    let predictor = Predictor::new(&graph);
    let costs = costs(&graph);
    let planner = Planner::new(&predictor, &costs);
    let peak = |nesting| {
        let options = Options { nesting, ..Options::default() };
        let found = planner.least_peak(&options).unwrap();
        let verified = checker::check(&graph, &found.segments).unwrap();
        assert_eq!(verified.peak, found.peak);
        found.peak
    };
    let peaks = [1, 2, 3].map(peak);
    let mib = peaks.map(|p| p >> 20);
    println!("{mib:?} MiB with one, two and three levels");
    // About 2 sqrt(n), 3 cbrt(n) and 4 n^(1/4) layers, and gradients.
    assert!(peaks[1] * 100 < peaks[0] * 65 && peaks[2] * 100 < peaks[1] * 85, "{mib:?}");
    let budget = peaks[1];
    assert!(matches!(planner.least_time(budget, &Options::default()), Err(Error::BudgetTooSmall { .. })));
    let found = planner.least_time(budget, &Options { nesting: 2, ..Options::default() }).unwrap();
    assert!(found.peak <= budget);
}

/// Pools of one thread and of several share the work differently; an allocation that is used again must not show it.
#[test]
fn threads_change_nothing() {
    let graph = long_chain(60);
    let predictor = Predictor::new(&graph);
    let costs = costs(&graph);
    let modules = Allowed::modules(&graph);
    let plan = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let planner = Planner::new(&predictor, &costs);
        let options = Options { nesting: 4, allowed: Some(&modules), ..Options::default() };
        let found = pool.install(|| planner.least_peak(&options)).unwrap();
        (found.segments, found.peak, found.time_ns, found.stats.states, found.stats.evaluations)
    };
    let one = plan(1);
    for threads in [2, 3, 4, 8] {
        assert_eq!(plan(threads), one, "{threads} threads");
    }
}

#[test]
fn a_time_limit_holds_for_all_levels() {
    let graph = long_chain(24);
    let predictor = Predictor::new(&graph);
    let costs = costs(&graph);
    let planner = Planner::new(&predictor, &costs);
    let flat = planner.least_peak(&Options::default()).unwrap();
    let all = Options { nesting: 4, ..Options::default() };
    let none = Options { time_limit: Some(Duration::ZERO), ..all.clone() };
    let (found, stopped) = (planner.least_peak(&all).unwrap(), planner.least_peak(&none).unwrap());
    assert!(found.peak < flat.peak && stopped.peak == flat.peak, "{found:?} {stopped:?}");
    assert!(stopped.stats.states * 10 < found.stats.states, "{stopped:?} {found:?}");
    assert!(stopped.lower_bound.is_some_and(|bound| 0 < bound && bound <= found.peak), "{stopped:?}");
    let budget = flat.peak + flat.peak / 10;
    let (found, stopped) = (planner.least_time(budget, &all).unwrap(), planner.least_time(budget, &none).unwrap());
    assert!(stopped.stats.states * 10 < found.stats.states, "{stopped:?} {found:?}");
    assert!(stopped.lower_bound.is_some_and(|bound| 0 < bound && bound <= found.time_ns), "{stopped:?}");
}

#[test]
fn another_level_is_never_worse() {
    for trace in [synthetic::chain(3, 60), synthetic::Transformer::with_operators(300).trace()] {
        let graph = Graph::new(trace).unwrap();
        let predictor = Predictor::new(&graph);
        let costs = costs(&graph);
        let planner = Planner::new(&predictor, &costs);
        let found = [1, 2, 3, 4].map(|nesting| planner.least_peak(&Options { nesting, ..Options::default() }).unwrap());
        println!("{}: {:?}", graph.name(), found.each_ref().map(|f| f.peak));
        assert!(found.is_sorted_by(|a, b| (a.peak, a.time_ns) >= (b.peak, b.time_ns)));
        let budget = found[1].peak;
        let times = [2, 3]
            .map(|nesting| planner.least_time(budget, &Options { nesting, ..Options::default() }).unwrap().time_ns);
        assert!(times[1] <= times[0], "{times:?}");
    }
}

#[test]
fn nested_plans_of_real_networks_pass_the_checker() {
    for (name, gain) in [("resnet50-b32", 18), ("unet-b8", 13), ("densenet121-b32", 8), ("resnet32-cifar-b512", 30)] {
        let graph = zoo::load(name).unwrap();
        let predictor = Predictor::new(&graph);
        let costs = costs(&graph);
        let planner = Planner::new(&predictor, &costs);
        let flat = planner.least_peak(&Options::default()).unwrap();
        let found = planner.least_peak(&Options { nesting: 2, ..Options::default() }).unwrap();
        let verified = checker::check(&graph, &found.segments).unwrap();
        assert_eq!(verified.peak, found.peak, "{name}");
        assert_eq!(found.status, Status::Feasible);
        assert!(found.lower_bound.unwrap() <= found.peak);
        println!("{name}: {} flat, {} nested", flat.peak, found.peak);
        assert!(found.peak * 100 <= flat.peak * (100 - gain), "{name}: {} flat, {} nested", flat.peak, found.peak);
    }
}
