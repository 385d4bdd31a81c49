//! The exact planner against published peaks and through the checker; against brute force in `interval_exact.rs`.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use remat_algorithms::cost::Costs;
use remat_algorithms::interval::{Allowed, Error, Options, Planner, Resolution};
use remat_algorithms::plan::Status;
use remat_algorithms::predict::{Optimizer, Predictor, Scratch};
use remat_algorithms::{Regions, checker};
use remat_graphs::synthetic;
use remat_graphs::{CostModel, Graph, zoo};

fn costs(graph: &Graph) -> Costs {
    let model = CostModel::device("h100").unwrap();
    Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k))
}

#[test]
fn least_flat_peaks_equal_the_published_ones() {
    let table = include_str!("data/least-flat-peaks.csv");
    for line in table.lines().filter(|l| !l.starts_with('#')).skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let graph = zoo::load(fields[0]).unwrap();
        let predictor = Predictor::new(&graph);
        let found = Planner::new(&predictor, &costs(&graph)).least_peak(&Options::default()).unwrap();
        let reached: u64 = fields[2].parse().unwrap();
        println!("{:<26}{:>12}{reached:>12}", fields[0], found.peak);
        assert_eq!(found.status, Status::Optimal);
        assert!(found.peak <= reached, "{}", fields[0]);
        assert!(fields[3] == "no" || found.peak == reached, "{}", fields[0]);
        let verified = checker::check(&graph, &found.segments).unwrap();
        assert_eq!(verified.peak, found.peak, "{}", fields[0]);
    }
}

#[test]
fn chosen_plans_pass_the_checker_and_keep_to_their_budgets() {
    for name in ["resnet50-b32", "unet-b8", "gpt2-b8-s512", "llava-b4-s256-bf16", "googlenet-b64"] {
        let graph = zoo::load(name).unwrap();
        let predictor = Predictor::new(&graph);
        let planner = Planner::new(&predictor, &costs(&graph));
        let without = predictor.peaks(&Regions::default(), None, &mut Scratch::default()).peak;
        let modules = Allowed::modules(&graph);
        let mut times = Vec::new();
        for options in [
            Options::default(),
            Options { selective: true, ..Options::default() },
            Options { allowed: Some(&modules), ..Options::default() },
        ] {
            let least = planner.least_peak(&options).unwrap();
            let budget = least.peak + (without - least.peak) / 3;
            for found in [least, planner.least_time(budget, &options).unwrap()] {
                let verified = checker::check(&graph, &found.segments).unwrap();
                assert_eq!(verified.peak, found.peak, "{name}");
                assert_eq!(found.status, Status::Optimal, "{name}");
                times.push((found.peak, found.time_ns));
            }
            assert!(times.last().unwrap().0 <= budget, "{name}");
        }
        // More freedom never costs: selective plans include flat ones, which include those of whole modules.
        assert!(times[2].0 <= times[0].0 && times[0].0 <= times[4].0, "{name}: {times:?}");
    }
}

#[test]
fn an_optimizer_counts_towards_budgets() {
    let graph = zoo::load("resnet18-b64").unwrap();
    let predictor = Predictor::new(&graph);
    let planner = Planner::new(&predictor, &costs(&graph));
    let plain = planner.least_peak(&Options::default()).unwrap();
    let options = Options { optimizer: Some(Optimizer::AdamwForeach), ..Options::default() };
    let found = planner.least_peak(&options).unwrap();
    assert_eq!(found.peak - plain.peak, Optimizer::AdamwForeach.state_bytes(&graph));
    let error = planner.least_time(found.peak - 1, &options).unwrap_err();
    assert_eq!(error, Error::BudgetTooSmall { budget: found.peak - 1, minimum: found.peak, is_proven: true });
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let graph = zoo::load("unet-b8").unwrap();
    let predictor = Predictor::new(&graph);
    let costs = costs(&graph);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let planner = Planner::new(&predictor, &costs);
            let frontier = planner.frontier(Resolution::Step(64 << 20), &Options::default(), &mut |_, _| {}).unwrap();
            let key =
                |p: &remat_algorithms::interval::Outcome| (p.segments.clone(), p.stats.states, p.stats.evaluations);
            frontier.points.iter().map(key).collect::<Vec<_>>()
        })
    };
    let one = run(1);
    assert!(one.len() > 10);
    assert!([2, 3].into_iter().all(|threads| run(threads) == one));
}

#[test]
fn a_frontier_without_time_has_fewer_points_and_says_so() {
    let graph = zoo::load("resnet18-b64").unwrap();
    let predictor = Predictor::new(&graph);
    let planner = Planner::new(&predictor, &costs(&graph));
    let none = Options { time_limit: Some(Duration::ZERO), ..Options::default() };
    for resolution in [Resolution::Step(4 << 20), Resolution::Exact] {
        let all = planner.frontier(resolution, &Options::default(), &mut |_, _| {}).unwrap();
        let few = planner.frontier(resolution, &none, &mut |_, _| {}).unwrap();
        assert_eq!((all.status, few.status), (Status::Optimal, Status::Feasible));
        assert!(few.points.len() * 4 < all.points.len() && few.points.len() > 1, "{}", few.points.len());
        assert_eq!(few.points.last().unwrap().peak, all.points.last().unwrap().peak);
        // What there is, is right: no point is better than all points are.
        for point in few.points.iter().filter(|_| resolution == Resolution::Exact) {
            let best = all.points.iter().filter(|p| p.peak <= point.peak).map(|p| p.time_ns).min();
            assert!(best.is_some_and(|best| best <= point.time_ns));
        }
    }
}

#[test]
fn the_forward_pass_has_prices_of_its_own() {
    // Under autocast the forward pass, which holds all casts, bounds most plans: priced by what the backward pass holds, their
    // lower bounds were so loose that such searches kept fifty times as many labels.
    let graph = zoo::load("resnet50-b64-amp").unwrap();
    let predictor = Predictor::new(&graph);
    let model = CostModel::device("t4").unwrap();
    let costs = Costs::new(&graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k));
    let planner = Planner::new(&predictor, &costs);
    let plain = predictor.peaks(&Regions::default(), None, &mut Scratch::default()).peak;
    for percent in [50, 60] {
        let found = planner.least_time(plain / 100 * percent, &Options::default()).unwrap();
        println!("{percent} %: {:?}", found.stats);
        assert_eq!(found.status, Status::Optimal);
        assert!(found.stats.states < 150_000, "{percent} %: {:?}", found.stats);
    }
}

#[test]
fn a_search_that_is_stopped_says_so_and_bounds_the_rest() {
    let graph = zoo::load("densenet121-b32").unwrap();
    let predictor = Predictor::new(&graph);
    let planner = Planner::new(&predictor, &costs(&graph));
    let budget = 1_300_000_000;
    let stopped = planner.least_time(budget, &Options { max_labels: Some(100), ..Options::default() }).unwrap();
    let proven = planner.least_time(budget, &Options::default()).unwrap();
    assert_eq!((stopped.status, proven.status), (Status::Feasible, Status::Optimal));
    let bound = stopped.lower_bound.unwrap();
    assert!(bound <= proven.time_ns && proven.time_ns <= stopped.time_ns, "{bound} {stopped:?}");
    assert!(bound * 100 >= proven.time_ns * 95, "the bound is loose: {bound} of {}", proven.time_ns);
}

#[test]
fn work_grows_with_the_pairs_of_cuts() {
    // A transformer of n operators: states stay a few per cut; steps are bounded by the regions that fit the limit.
    let work = |operators| {
        let trace = synthetic::Transformer::with_operators(operators).trace();
        let graph = Graph::new(trace).unwrap();
        let predictor = Predictor::new(&graph);
        let found = Planner::new(&predictor, &costs(&graph)).least_peak(&Options::default()).unwrap();
        (graph.operators().len() as u64, found.stats.states, found.stats.evaluations)
    };
    let (n, states, evaluations) = work(500);
    assert!(states <= 60 * n, "{states} states for {n} operators");
    assert!(evaluations <= 3 * n * n, "{evaluations} evaluations for {n} operators");
}

#[test]
fn budgets_of_large_steps_cost_work_per_operator() {
    // Long regions are not looked at unless they are worth their time: regions per operator stay the same as the step grows.
    let work = |operators| {
        let trace = synthetic::Transformer::with_operators(operators).trace();
        let graph = Graph::new(trace).unwrap();
        let predictor = Predictor::new(&graph);
        let peak = predictor.peaks(&Regions::default(), None, &mut Scratch::default()).peak;
        let found = Planner::new(&predictor, &costs(&graph)).least_time(peak / 5 * 4, &Options::default()).unwrap();
        assert_eq!(found.status, Status::Optimal);
        (graph.operators().len() as u64, found.stats.evaluations)
    };
    for (n, evaluations) in [work(500), work(1000), work(2000)] {
        println!("{n} operators: {evaluations} evaluations");
        assert!(evaluations <= 1000 * n, "{evaluations} evaluations for {n} operators");
    }
}

#[test]
fn labels_of_other_states_dominate_too() {
    // Nine states per cut on average: without dominance between them it is four times as many labels.
    let graph = zoo::load("densenet121-b32").unwrap();
    let predictor = Predictor::new(&graph);
    let found = Planner::new(&predictor, &costs(&graph)).least_peak(&Options::default()).unwrap();
    println!("{:?}", found.stats);
    assert!(found.stats.states <= 300_000, "{} states", found.stats.states);
}

#[test]
fn a_step_that_runs_nothing_has_the_peak_of_its_parameters() {
    let operator = r#"{"name":"o","op":"o","module":"","random":false,"kernels":[],"saves":[]}"#;
    let trace = format!(
        r#"{{"format":"trace/1","name":"nothing","device":"cpu","autocast":null,"torch":"2.15.0","block":512,
            "storages":[{{"bytes":1000,"kind":"param","name":"w"}}],"operators":[{operator},{operator}],"backward":[]}}"#
    );
    let graph = Graph::new(serde_json::from_str(&trace).unwrap()).unwrap();
    let predictor = Predictor::new(&graph);
    let planner = Planner::new(&predictor, &costs(&graph));
    for options in [Options::default(), Options { nesting: 2, ..Options::default() }] {
        let found = planner.least_peak(&options).unwrap();
        assert_eq!((found.peak, found.segments.len()), (1024, 0));
        assert!(matches!(planner.least_time(1023, &options), Err(Error::BudgetTooSmall { minimum: 1024, .. })));
    }
}
