//! The lower-set program is exact over its family: held against every sequence of lower sets, straight from the definitions.

use std::collections::BTreeSet;

use proptest::prelude::*;
use remat_algorithms::checker::check;
use remat_algorithms::cost::Costs;
use remat_algorithms::kusumoto::{Centric, Dag, GraphPlanner, Program};
use remat_algorithms::predict::{Predictor, Scratch};
use remat_algorithms::{Algorithm, Problem, Regions, Request};
use remat_graphs::{Chain, CostModel, zoo};

type Set = BTreeSet<u32>;

fn dags(vertices: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Dag> {
    vertices.prop_flat_map(|n| {
        let sizes = prop::collection::vec((0u64..20, 0u64..20, any::<u8>()), n);
        sizes.prop_map(|rows| {
            let mut dag = Dag::default();
            for (v, (bytes, time, mask)) in rows.into_iter().enumerate() {
                dag.bytes.push(bytes);
                dag.time.push(time);
                dag.inputs.push((0..v as u32).filter(|u| (mask >> ((v as u32 - u) % 8)) & 1 == 1).collect());
                dag.operator.push(v as u32);
            }
            dag
        })
    })
}

fn bytes(dag: &Dag, set: &Set) -> u64 {
    set.iter().map(|&v| dag.bytes[v as usize]).sum()
}

fn minus(a: &Set, b: &Set) -> Set {
    a.difference(b).copied().collect()
}

fn successors(dag: &Dag, set: &Set) -> Set {
    (0..dag.len() as u32).filter(|&w| dag.inputs[w as usize].iter().any(|u| set.contains(u))).collect()
}

fn predecessors(dag: &Dag, set: &Set) -> Set {
    set.iter().flat_map(|&v| dag.inputs[v as usize].iter().copied()).collect()
}

fn boundary(dag: &Dag, set: &Set) -> Set {
    let leaves = |v: &u32| !minus(&successors(dag, &Set::from([*v])), set).is_empty();
    set.iter().copied().filter(leaves).collect()
}

/// Memory and time of a sequence, as the paper defines them.
fn cost(dag: &Dag, sequence: &[Set]) -> (u64, u64) {
    let (mut kept, mut before) = (Set::new(), Set::new());
    let (mut peak, mut time) = (0, 0);
    for set in sequence {
        let part = minus(set, &before);
        let next = successors(dag, set);
        let around = bytes(dag, &minus(&next, set)) + bytes(dag, &minus(&predecessors(dag, &minus(&next, set)), set));
        peak = peak.max(bytes(dag, &kept) + 2 * bytes(dag, &part) + around);
        let edge = boundary(dag, set);
        time += minus(&part, &edge).iter().map(|&v| dag.time[v as usize]).sum::<u64>();
        kept.extend(edge);
        before.clone_from(set);
    }
    (peak, time)
}

fn lower_sets(dag: &Dag) -> Vec<Set> {
    let n = dag.len() as u32;
    (0u32..1 << n)
        .map(|mask| (0..n).filter(|v| mask >> v & 1 == 1).collect::<Set>())
        .filter(|set| set.iter().all(|&v| dag.inputs[v as usize].iter().all(|u| set.contains(u))))
        .collect()
}

/// Costs of all growing sequences that end with everything.
fn all(dag: &Dag, sets: &[Set], sequence: &mut Vec<Set>, into: &mut Vec<(u64, u64)>) {
    let last = sequence.last().cloned().unwrap_or_default();
    if last.len() == dag.len() {
        into.push(cost(dag, sequence));
        return;
    }
    for set in sets.iter().filter(|set| set.len() > last.len() && last.is_subset(set)) {
        sequence.push(set.clone());
        all(dag, sets, sequence, into);
        sequence.pop();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn equal_to_every_sequence_of_lower_sets(dag in dags(1..=6)) {
        let sets = lower_sets(&dag);
        let mut every = Vec::new();
        all(&dag, &sets, &mut Vec::new(), &mut every);
        let program = Program::new(&dag);
        prop_assert_eq!(program.sets(), sets.len());
        let least = every.iter().map(|e| e.0).min().unwrap();
        prop_assert_eq!(program.least_budget(), least);
        prop_assert!(least == 0 || program.solve(least - 1, Centric::Time).is_none());
        let budgets: BTreeSet<u64> = every.iter().map(|e| e.0).collect();
        for budget in budgets {
            let fits = || every.iter().filter(|e| e.0 <= budget).map(|e| e.1);
            for (centric, wanted) in [(Centric::Time, fits().min()), (Centric::Memory, fits().max())] {
                let found = program.solve(budget, centric).unwrap();
                prop_assert!(found.is_complete);
                prop_assert_eq!(Some(found.time), wanted, "budget {}, {:?}", budget, centric);
                prop_assert_eq!(found.sizes.last(), Some(&dag.len()));
                prop_assert!(found.sizes.windows(2).all(|w| w[0] < w[1]));
            }
        }
    }
}

#[test]
fn wide_graphs_use_the_pruned_family() {
    // A root with 12 branches: 4097 lower sets, 15 in the pruned family (nothing and everything included).
    let mut dag = Dag { bytes: vec![1; 13], time: vec![1; 13], ..Dag::default() };
    dag.operator = (0..13).collect();
    dag.inputs = (0..13).map(|v| if v == 0 { Vec::new() } else { vec![0] }).collect();
    assert_eq!(Program::new(&dag).sets(), 15);
    let sets: Vec<Set> =
        std::iter::once(Set::from([0])).chain((1..13).map(|v| Set::from([0, v]))).chain([(0..13).collect()]).collect();
    let mut every = Vec::new();
    all(&dag, &sets, &mut Vec::new(), &mut every);
    assert_eq!(Some(Program::new(&dag).least_budget()), every.iter().map(|e| e.0).min());
}

#[test]
fn plans_of_the_zoo_pass_the_checker() {
    let model = CostModel::device("h100").unwrap();
    for name in ["alexnet-b128", "resnet50-b32", "unet-b8", "gpt2-b8-s512", "googlenet-b64"] {
        let graph = zoo::load(name).unwrap();
        let predictor = Predictor::new(&graph);
        let costs = Costs::new(&graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k));
        let without = predictor.peaks(&Regions::default(), None, &mut Scratch::default()).peak;
        for centric in [Centric::Time, Centric::Memory] {
            let planner = GraphPlanner::new(&predictor, &costs, centric);
            let least = planner.least_peak(None);
            assert!(least.peak <= without, "{name}");
            let budget = u64::midpoint(least.peak, without);
            let found = planner.least_time(budget, None).unwrap();
            assert!(found.peak <= budget && found.time <= least.time, "{name}");
            for plan in [&least, &found] {
                let verified = check(&graph, &plan.segments).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(verified.peak, plan.peak, "{name}");
            }
            assert_eq!(planner.least_time(least.peak - 1, None), None);
        }
    }
}

#[test]
fn chains_have_no_graph_of_values() {
    let chain = Chain::from_sizes("c", [1, 2, 3]);
    for name in ["kusumoto-time", "kusumoto-memory"] {
        let algorithm: Algorithm = name.parse().unwrap();
        let error = algorithm.planner().plan(&Request::min_peak(Problem::Chain(&chain))).unwrap_err();
        assert!(error.to_string().contains("a chain has no operators"), "{error}");
    }
}
