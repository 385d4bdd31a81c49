//! The exact planner against brute force: every plan of small steps with every feature of the format, each predicted.
#![allow(clippy::print_stdout)]

use remat_algorithms::cost::Costs;
use remat_algorithms::interval::{Allowed, Error, Options, Planner, Resolution};
use remat_algorithms::plan::{Status, assemble::rerun};
use remat_algorithms::predict::{Optimizer, Predictor, Scratch};
use remat_algorithms::{Regions, Segment, checker};
use remat_graphs::synthetic::{self, Choices};
use remat_graphs::{CostModel, Graph, ModuleRegions, zoo};

fn costs(graph: &Graph) -> Costs {
    let model = CostModel::device("h100").unwrap();
    Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k))
}

/// Regions that a plan may consist of, by start.
fn flat(graph: &Graph) -> Vec<Vec<Segment>> {
    let cuts: Vec<u32> = graph.safe_cuts().collect();
    let mut all = vec![Vec::new(); graph.loss() as usize];
    for (i, &a) in cuts[..cuts.len() - 1].iter().enumerate() {
        all[a as usize] = cuts[i + 1..].iter().map(|&b| Segment::new(a, b)).collect();
    }
    all
}

/// The same, each also with every set of kernels that the planner may keep.
fn selective(graph: &Graph, planner: &Planner<'_, '_>) -> Vec<Vec<Segment>> {
    let mut all = flat(graph);
    for of in &mut all {
        for plain in of.clone() {
            for names in planner.kept_names() {
                let segment = Segment { save: names.to_vec(), ..plain.clone() };
                if Regions::resolve(graph, std::slice::from_ref(&segment)).is_ok() {
                    of.push(segment);
                }
            }
        }
    }
    all
}

/// Regions of whole module calls; what these are is tested where they are found.
fn modules(graph: &Graph) -> Vec<Vec<Segment>> {
    let mut all = vec![Vec::new(); graph.loss() as usize];
    for (start, end) in ModuleRegions::of(graph).ranges() {
        all[start as usize].push(Segment::new(start, end));
    }
    all
}

/// How many plans there are.
fn count(regions: &[Vec<Segment>]) -> u64 {
    let mut ways = vec![0u64; regions.len() + 1];
    ways[regions.len()] = 1;
    for a in (0..regions.len()).rev() {
        ways[a] = regions[a].iter().fold(ways[a + 1], |sum, s| sum.saturating_add(ways[s.end as usize]));
    }
    ways[0]
}

/// Peak and nanoseconds of recomputation of every plan, without those that another beats.
fn brute_force(
    predictor: &Predictor<'_>,
    costs: &Costs,
    regions: &[Vec<Segment>],
    optimizer: Option<Optimizer>,
) -> Vec<(u64, u64)> {
    let graph = predictor.graph();
    let mut all = Vec::new();
    let mut scratch = Scratch::default();
    let mut plans: Vec<(usize, Vec<Segment>)> = vec![(0, Vec::new())];
    while let Some((at, segments)) = plans.pop() {
        if at >= regions.len() {
            let regions = Regions::resolve(graph, &segments).unwrap();
            let (replayed, again) = rerun(predictor, costs, &regions, &mut scratch);
            all.push((predictor.with_optimizer(&replayed, optimizer).peak, again.ns));
            continue;
        }
        for region in &regions[at] {
            let mut longer = segments.clone();
            longer.push(region.clone());
            plans.push((region.end as usize, longer));
        }
        plans.push((at + 1, segments));
    }
    all.sort_by_key(|&(peak, ns)| (ns, peak));
    let mut best = u64::MAX;
    all.retain(|&(peak, _)| {
        let keep = peak < best;
        best = best.min(peak);
        keep
    });
    all
}

/// Least peak, every budget and the whole frontier. Returns how many points the frontier has, or why they differ.
fn compare(
    graph: &Graph,
    planner: &Planner<'_, '_>,
    options: &Options<'_>,
    expected: &[(u64, u64)],
) -> Result<(), String> {
    let differs = |what: &str, have: &dyn std::fmt::Debug, want: &dyn std::fmt::Debug| {
        Err(format!("{}: {what}: have {have:?}, want {want:?}", graph.name()))
    };
    let &(least, least_ns) = expected.last().unwrap();
    let found = planner.least_peak(options).unwrap();
    if (found.peak, found.time_ns, found.status) != (least, least_ns, Status::Optimal) {
        return differs("least peak", &found, &(least, least_ns));
    }
    for &(peak, ns) in expected {
        match planner.least_time(peak, options) {
            Ok(found) if (found.peak, found.time_ns, found.status) == (peak, ns, Status::Optimal) => {}
            found => return differs("budget", &found, &(peak, ns)),
        }
    }
    let error = planner.least_time(least - 1, options).unwrap_err();
    let too_small = Error::BudgetTooSmall { budget: least - 1, minimum: least, is_proven: true };
    if error != too_small {
        return differs("minimum", &error, &too_small);
    }
    let frontier = planner.frontier(Resolution::Exact, options, &mut |_, _| {}).unwrap();
    let points: Vec<_> = frontier.points.iter().map(|p| (p.peak, p.time_ns)).collect();
    if points != expected || frontier.status != Status::Optimal {
        return differs("frontier", &points, &expected);
    }
    Ok(())
}

/// What a run over many graphs has seen.
#[derive(Debug, Default)]
struct Seen {
    graphs: u32,
    autocast: u32,
    loss_inside: u32,
    selective: u32,
    modules: u32,
    optimizer: u32,
    /// Steps in which the optimizer takes more than passes must.
    floors: u32,
    points: usize,
    faults: Vec<String>,
}

impl Seen {
    /// Holds one graph against brute force if it has at most `most` plans.
    fn graph(&mut self, graph: &Graph, most: u64) {
        let predictor = Predictor::new(graph);
        let costs = costs(graph);
        let planner = Planner::new(&predictor, &costs);
        let of_modules = Allowed::modules(graph);
        let classes = [
            (flat(graph), Options::default()),
            (selective(graph, &planner), Options { selective: true, ..Options::default() }),
            (modules(graph), Options { allowed: Some(&of_modules), ..Options::default() }),
            (flat(graph), Options { optimizer: Some(Optimizer::AdamwForeach), ..Options::default() }),
        ];
        for (i, (regions, options)) in classes.iter().enumerate() {
            if count(regions) > most {
                continue;
            }
            let expected = brute_force(&predictor, &costs, regions, options.optimizer);
            self.points += expected.len();
            *[&mut self.graphs, &mut self.selective, &mut self.modules, &mut self.optimizer][i] += 1;
            let own = predictor.peaks(&Regions::default(), options.optimizer, &mut Scratch::default()).peak_optimizer;
            self.floors += u32::from(own == expected.last().map(|point| point.0));
            if i == 0 {
                self.autocast += u32::from(graph.trace().autocast.is_some());
                self.loss_inside += u32::from(graph.operators()[graph.loss() as usize].kernels.is_empty());
            }
            if let Err(fault) = compare(graph, &planner, options, &expected) {
                let class = ["flat", "selective", "modules", "optimizer"][i];
                self.faults.push(format!("{class} {fault}"));
            }
            let found = planner.least_peak(options).unwrap();
            let states = options.optimizer.map_or(0, |optimizer| optimizer.state_bytes(graph));
            match checker::check(graph, &found.segments) {
                Ok(verified) if (verified.peak + states).max(own.unwrap_or(0)) == found.peak => {}
                other => self.faults.push(format!("{} checker: {other:?}, {}", graph.name(), found.peak)),
            }
        }
    }

    fn seeds(seeds: std::ops::Range<u64>, most: u64) -> Self {
        let mut seen = Self::default();
        for seed in seeds {
            let mut trace = synthetic::tiny(seed);
            if seed % 3 > 0 {
                synthetic::time_kernels(&mut trace, &mut Choices::seeded(seed));
            }
            seen.graph(&Graph::new(trace).unwrap(), most);
        }
        seen
    }
}

#[test]
fn all_answers_equal_brute_force_on_small_graphs() {
    let mut seen = Seen::seeds(0..900, 600);
    for seed in 0..12 {
        let regular = [
            synthetic::chain(seed, 3),
            synthetic::residual(seed, 1),
            synthetic::unet(seed, 1),
            synthetic::layered(seed, 9, 3),
        ];
        for trace in regular {
            seen.graph(&Graph::new(trace).unwrap(), 600);
        }
    }
    println!("{seen:?}");
    assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
    assert!(seen.graphs >= 400 && seen.autocast >= 100 && seen.loss_inside >= 100, "{seen:?}");
    assert!(seen.optimizer >= 400 && seen.floors >= 20, "{seen:?}");
    assert!(seen.selective >= 100 && seen.modules >= 400, "{seen:?}");
}

#[test]
fn all_answers_equal_brute_force_on_real_steps_with_few_cuts() {
    let (mut points, mut faults) = (0, Vec::new());
    for name in ["alexnet-b128", "vgg16-b32", "resnet18-b64", "unet-b8", "resnet50-b64-amp", "t5-small-b8-s256"] {
        let graph = zoo::load(name).unwrap();
        let predictor = Predictor::new(&graph);
        let costs = costs(&graph);
        let planner = Planner::new(&predictor, &costs);
        let safe: Vec<u32> = graph.safe_cuts().collect();
        for offset in 0..3 {
            // Nine cuts of the real step: every plan between them is tried.
            let cuts: Vec<u32> =
                (0..9).map(|i| safe[(i * (safe.len() - 1) / 8 + offset).min(safe.len() - 1)]).collect();
            let mut regions = vec![Vec::new(); graph.loss() as usize];
            for (i, &a) in cuts.iter().enumerate() {
                for &b in cuts[i + 1..].iter().filter(|&&b| b > a) {
                    regions[a as usize].push(Segment::new(a, b));
                }
            }
            let allowed = Allowed::regions(&graph, regions.iter().flatten().map(|s| (s.start, s.end)));
            let options = Options { allowed: Some(&allowed), ..Options::default() };
            let expected = brute_force(&predictor, &costs, &regions, None);
            points += expected.len();
            faults.extend(compare(&graph, &planner, &options, &expected).err());
        }
    }
    println!("{points} points of frontiers");
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(points > 100, "{points}");
}

#[test]
#[ignore = "minutes; run with --release -- --ignored after changing what the planner assumes"]
fn all_answers_equal_brute_force_on_thousands_of_graphs() {
    let seen = Seen::seeds(10_000..30_000, 3000);
    println!("{seen:?}");
    assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
}
