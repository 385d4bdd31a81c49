//! Names, the table, and all planners over chains and over the graphs of the zoo.

use std::num::NonZeroU32;

use remat_algorithms::algorithm::{Decision, TABLE};
use remat_algorithms::plan::{Objective, Status};
use remat_algorithms::predict::{Predictor, Scratch};
use remat_algorithms::{Algorithm, PlanningError, Problem, Regions, Request};
use remat_graphs::{Chain, ChainOfGraph, Graph, zoo};

fn all() -> Vec<Algorithm> {
    TABLE.iter().map(|row| row.name.replace('K', "8").parse().unwrap()).collect()
}

/// All that see a chain.
fn of_chains() -> Vec<Algorithm> {
    let of_graphs = [Algorithm::KusumotoTime, Algorithm::KusumotoMemory, Algorithm::Interval];
    all().into_iter().filter(|a| !of_graphs.contains(a)).collect()
}

fn segments(algorithm: Algorithm, graph: &Graph) -> Vec<remat_algorithms::Segment> {
    let solution = algorithm.planner().plan(&Request::min_peak(Problem::Graph(graph))).unwrap();
    assert_eq!((solution.algorithm, solution.status), (algorithm, Status::Feasible));
    match solution.decision {
        Decision::Segments(segments) => segments,
        Decision::Checkpoints(_) => panic!("{algorithm} gave checkpoints for a graph"),
    }
}

#[test]
fn names_round_trip() {
    for algorithm in all() {
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        assert_eq!(algorithm.info().name.replace('K', "8"), algorithm.to_string());
    }
    assert_eq!("uniform-8".parse(), Ok(Algorithm::Uniform(NonZeroU32::new(8).unwrap())));
    assert!(TABLE.iter().all(|row| TABLE.iter().filter(|r| r.name == row.name).count() == 1));
}

#[test]
fn wrong_names_are_refused_with_the_right_ones() {
    let message = |name: &str| name.parse::<Algorithm>().unwrap_err().to_string();
    let unknown = message("cubik");
    assert!(TABLE.iter().all(|row| unknown.contains(row.name)), "{unknown}");
    for name in ["uniform", "uniform-", "uniform-0", "uniform--1", "uniform-+2", "uniform-K", "uniform-99999999999"] {
        assert!(message(name).contains("number K from 1"), "{name}: {}", message(name));
    }
    for name in ["", "None", "uniformly", "linear "] {
        assert!(message(name).starts_with("there is no algorithm"), "{name}: {}", message(name));
    }
}

#[test]
fn time_is_refused() {
    let chain = Chain::from_sizes("c", [1, 2, 3]);
    let request = Request { objective: Objective::MinTime, ..Request::min_peak(Problem::Chain(&chain)) };
    // Rotor minimises time, but only within a budget.
    for algorithm in of_chains() {
        assert_eq!(algorithm.planner().plan(&request), Err(PlanningError::Objective { algorithm }));
    }
}

#[test]
fn empty_chains_are_refused() {
    let chain = Chain::from_sizes("c", []);
    for algorithm in of_chains() {
        let error = algorithm.planner().plan(&Request::min_peak(Problem::Chain(&chain))).unwrap_err();
        assert!(error.to_string().contains("empty"), "{error}");
    }
}

#[test]
fn chains_get_checkpoints() {
    let chain = Chain::from_sizes("c", [4, 1, 4, 4, 1, 4, 4, 1, 4]);
    for algorithm in of_chains() {
        let solution = algorithm.planner().plan(&Request::min_peak(Problem::Chain(&chain))).unwrap();
        assert!(matches!(solution.decision, Decision::Checkpoints(_)));
        let proven = matches!(algorithm, Algorithm::Cubic | Algorithm::Linear | Algorithm::LinearX | Algorithm::Rotor);
        assert_eq!(solution.status == Status::Optimal, proven, "{algorithm}");
    }
}

#[test]
fn segments_of_every_graph_are_valid_regions() {
    for entry in zoo::entries() {
        let graph = zoo::load(entry.name).unwrap();
        let reduced = ChainOfGraph::of(&graph);
        let predictor = Predictor::new(&graph);
        let mut scratch = Scratch::default();
        let without = predictor.peaks(&Regions::default(), None, &mut scratch).peak;
        for algorithm in of_chains() {
            let segments = segments(algorithm, &graph);
            let regions = Regions::resolve(&graph, &segments).unwrap();
            let ends = segments.iter().flat_map(|s| [s.start, s.end]);
            assert!(ends.clone().all(|k| reduced.cuts.binary_search(&k).is_ok()), "{algorithm} on {}", entry.name);
            assert_eq!(segments.is_empty(), algorithm == Algorithm::None);
            let peak = predictor.peaks(&regions, None, &mut scratch).peak;
            assert!(peak <= without, "{algorithm} on {}: {peak} > {without}", entry.name);
        }
    }
}

#[test]
fn a_region_that_saves_nothing_of_its_own_is_left_out() {
    // Leaving it out costs no memory: compared with all regions as they come, over the zoo.
    for entry in zoo::entries() {
        let graph = zoo::load(entry.name).unwrap();
        let reduced = ChainOfGraph::of(&graph);
        let layers: Vec<u32> = (0..reduced.cuts.len() as u32).collect();
        let all: Vec<_> =
            reduced.regions(&layers).into_iter().map(|(a, b)| remat_algorithms::Segment::new(a, b)).collect();
        let left = remat_algorithms::chain::segments(&graph, &reduced, &layers);
        assert!(left.iter().all(|s| all.contains(s)));
        let peak = |segments: &[_]| {
            let regions = Regions::resolve(&graph, segments).unwrap();
            Predictor::new(&graph).peaks(&regions, None, &mut Scratch::default()).peak
        };
        assert!(peak(&left) <= peak(&all), "{}: {} > {}", entry.name, peak(&left), peak(&all));
    }
}

#[test]
fn the_interval_planner_needs_a_graph() {
    let chain = Chain::from_sizes("c", [1, 2, 3]);
    let algorithm = Algorithm::Interval;
    let refused = algorithm.planner().plan(&Request::min_peak(Problem::Chain(&chain)));
    assert_eq!(refused, Err(PlanningError::NeedsGraph { algorithm }));
    let graph = zoo::load("alexnet-b128").unwrap();
    let solution = algorithm.planner().plan(&Request::min_peak(Problem::Graph(&graph))).unwrap();
    assert_eq!((solution.status, solution.value), (Status::Optimal, 863_156_736));
}
