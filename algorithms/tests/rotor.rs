//! The rotor program is exact: held against every persistent schedule, run operation by operation, and against the plain
//! recursion over bytes.

use std::collections::HashMap;

use proptest::prelude::*;
use remat_algorithms::algorithm::Decision;
use remat_algorithms::checker::{ChainObjective, check, check_chain};
use remat_algorithms::cost::Costs;
use remat_algorithms::plan::{Objective, Status};
use remat_algorithms::predict::{Predictor, Scratch};
use remat_algorithms::rotor::schedule::{depth, memory, recomputation};
use remat_algorithms::rotor::{Error, GraphPlanner, Solver, Stage, Stages, Step, plan_chain, stages_of};
use remat_algorithms::{Algorithm, Problem, Regions, Request, Segment};
use remat_graphs::{Chain, CostModel, zoo};

fn stage() -> impl Strategy<Value = Stage> {
    let small = 0u64..4;
    (0u64..5, 0u64..6, small.clone(), 0u64..5, small.clone(), small.clone(), small).prop_map(
        |(forward, output, more, gradient, run_extra, save_extra, backward_extra)| Stage {
            forward,
            output,
            tape: output + more,
            gradient,
            run_extra,
            save_extra,
            backward_extra,
        },
    )
}

fn chain(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = (u64, Vec<Stage>)> {
    // Repeats of a few stages, so that frames are alike, or all different.
    let repeats = (prop::collection::vec(stage(), 2), prop::collection::vec(0usize..2, count.clone()))
        .prop_map(|(kinds, order)| order.into_iter().map(|i| kinds[i]).collect());
    (0u64..5, prop_oneof![prop::collection::vec(stage(), count), repeats])
}

/// All schedules of stages `s ..= t`.
fn schedules(s: u32, t: u32) -> Vec<Vec<Step>> {
    if s == t {
        return vec![vec![Step::Keep(t)]];
    }
    let mut all = Vec::new();
    for rest in schedules(s + 1, t) {
        all.push([vec![Step::Keep(s)], rest].concat());
    }
    for k in s + 1..=t {
        let (inner, rest) = (schedules(s, k - 1), schedules(k, t));
        for inner in &inner {
            for rest in &rest {
                let region = Step::Region { start: s, end: k - 1, inner: inner.clone() };
                all.push([vec![region], rest.clone()].concat());
            }
        }
    }
    all
}

/// Runs a schedule operation by operation; what is stored is counted as it comes and goes.
struct Machine<'a> {
    stages: &'a Stages,
    stored: u64,
    peak: u64,
    time: u64,
}

impl Machine<'_> {
    /// An operation that leaves `output` bytes and takes `extra` on top, then frees `freed`.
    fn run(&mut self, output: u64, extra: u64, freed: u64) {
        self.peak = self.peak.max(self.stored + output + extra);
        self.stored = self.stored + output - freed;
    }

    fn forward(&mut self, j: u32, tape: bool, frees_input: bool) {
        let (stage, before) = (*self.stages.get(j as usize), *self.stages.get(j as usize - 1));
        self.time += stage.forward;
        let freed = if frees_input { before.output } else { 0 };
        if tape {
            self.run(stage.tape, stage.save_extra, freed);
        } else {
            self.run(stage.output, stage.run_extra, freed);
        }
    }

    /// The tape of `j`, its gradient and, where it is stored alone, its input go; the gradient of the input comes.
    fn backward(&mut self, j: u32, input_is_stored_alone: bool) {
        let (stage, before) = (*self.stages.get(j as usize), *self.stages.get(j as usize - 1));
        let input = if input_is_stored_alone { before.output } else { 0 };
        self.run(before.gradient, stage.backward_extra, stage.tape + stage.gradient + input);
    }

    /// Stages from `steps`' first on, whose input is stored alone or lies in a tape; in the end it is gone if alone and
    /// not needed by the `outer` frame.
    fn frame(&mut self, steps: &[Step], alone: bool) {
        let Some((step, rest)) = steps.split_first() else { return };
        match step {
            Step::Keep(j) => {
                self.forward(*j, true, false);
                self.frame(rest, false);
                self.backward(*j, alone);
            }
            Step::Region { start, end, inner } => {
                for j in *start..=*end {
                    self.forward(j, false, j > *start);
                }
                self.frame(rest, true);
                self.frame(inner, alone);
            }
        }
    }
}

fn simulate(stages: &Stages, steps: &[Step]) -> (u64, u64) {
    let mut machine = Machine { stages, stored: stages.input(), peak: 0, time: 0 };
    // The gradient of the last stage is there from the beginning, as in the model.
    machine.stored += stages.get(stages.count()).gradient;
    machine.frame(steps, true);
    assert_eq!(machine.stored, stages.get(0).gradient, "only the last gradient is left");
    (machine.peak, machine.time - stages.time(1, stages.count() + 1))
}

/// The recurrence as it stands.
fn recursion(stages: &Stages, s: usize, t: usize, m: u64, known: &mut HashMap<(usize, usize, u64), u64>) -> u64 {
    if let Some(&e) = known.get(&(s, t, m)) {
        return e;
    }
    let x = |j: usize| *stages.get(j);
    let save = (x(t).gradient + x(s).tape + x(s).save_extra)
        .max(x(s).gradient + x(s).tape + x(s - 1).gradient + x(s).backward_extra);
    let mut best = u64::MAX;
    if s == t {
        best = if m >= save { 0 } else { u64::MAX };
    } else {
        if m >= save {
            best = recursion(stages, s + 1, t, m - x(s).tape, known);
        }
        for k in s + 1..=t {
            let run = (s..k).map(|j| if j > s { x(j - 1).output } else { 0 } + x(j).output + x(j).run_extra).max();
            if m < x(t).gradient + run.unwrap() || m < x(k - 1).output {
                continue;
            }
            let rest = recursion(stages, k, t, m - x(k - 1).output, known);
            if rest < best {
                let inner = recursion(stages, s, k - 1, m, known);
                best = best.min(rest.saturating_add(inner).saturating_add(stages.time(s, k)));
            }
        }
    }
    known.insert((s, t, m), best);
    best
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn assert_sound(stages: &Stages, budget: u64, outcome: &remat_algorithms::rotor::Outcome) {
    let simulated = simulate(stages, &outcome.steps);
    assert_eq!(simulated, (outcome.peak, outcome.time));
    assert!(outcome.peak <= budget);
    assert_eq!((outcome.status, outcome.lower_bound), (Status::Optimal, outcome.time));
}

proptest! {
    #![proptest_config(cases(200))]
    #[test]
    fn equal_to_every_persistent_schedule((input, all) in chain(1..=6), gradient in 0u64..3) {
        let stages = Stages::new(input, gradient, &all).unwrap();
        let every: Vec<(u64, u64)> =
            schedules(1, all.len() as u32).iter().map(|steps| {
                let simulated = simulate(&stages, steps);
                assert_eq!(simulated, (input + memory(&stages, steps), recomputation(&stages, steps)));
                simulated
            }).collect();
        let least = every.iter().map(|e| e.0).min().unwrap();
        let full = every.iter().filter(|e| e.1 == 0).map(|e| e.0).min().unwrap();
        let mut solver = Solver::new(&stages);
        prop_assert_eq!(solver.least_budget(), least);
        prop_assert!(solver.full_budget() >= full);
        prop_assert!(solver.solve(least.saturating_sub(1)).is_none() || least == 0);
        // One solver for all budgets, up and down: what it remembers must not mislead it.
        for budget in (least..=full + 1).chain((least..=full).rev().step_by(3)) {
            let time = every.iter().filter(|e| e.0 <= budget).map(|e| e.1).min().unwrap();
            let found = solver.solve(budget).unwrap();
            prop_assert_eq!(found.time, time, "budget {}", budget);
            assert_sound(&stages, budget, &found);
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]
    #[test]
    fn equal_to_the_recursion_over_bytes((input, all) in chain(10..=22), share in 0u64..=100) {
        let stages = Stages::new(input, 0, &all).unwrap();
        let mut solver = Solver::new(&stages);
        let (least, full) = (solver.least_budget(), solver.full_budget());
        let mut known = HashMap::new();
        for budget in [least + (full - least) * share / 100, least, least + (full - least) / 7] {
            let found = solver.solve(budget).unwrap();
            prop_assert_eq!(found.time, recursion(&stages, 1, all.len(), budget - input, &mut known));
            assert_sound(&stages, budget, &found);
        }
    }

    #[test]
    fn sizes_in_bytes_and_times_in_nanoseconds((input, all) in chain(8..=14), seed in any::<u64>()) {
        // The same chains with sizes and times of real networks, none of them round.
        let mut state = seed | 1;
        let mut draw = |size: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            size * 77_777_777 + state % 1_000_003
        };
        let all: Vec<Stage> = all.iter().map(|s| {
            let output = draw(s.output);
            Stage { forward: draw(s.forward), output, tape: output + draw(s.tape - s.output), gradient: output, ..*s }
        }).collect();
        let stages = Stages::new(draw(input), 0, &all).unwrap();
        let mut solver = Solver::new(&stages);
        let (least, full) = (solver.least_budget(), solver.full_budget());
        for eighths in 0..8 {
            let budget = least + (full - least) / 8 * eighths;
            let found = solver.solve(budget).unwrap();
            let time = recursion(&stages, 1, all.len(), budget - stages.input(), &mut HashMap::new());
            prop_assert_eq!(found.time, time);
            assert_sound(&stages, budget, &found);
        }
    }
}

/// Three groups of equal blocks, as in a residual network: outputs halve from group to group.
fn residual(count: usize) -> Stages {
    let mut all: Vec<Stage> = (0..count - 1)
        .map(|i| {
            let g = i * 3 / (count - 1);
            let output = (1 << 24) >> g;
            let tape = output * 5 / 2 + (2048 << g);
            Stage {
                forward: 1_000_000 >> g,
                output,
                tape,
                gradient: output,
                backward_extra: output / 2,
                ..Stage::default()
            }
        })
        .collect();
    all.push(Stage { forward: 1000, ..Stage::default() });
    Stages::new(1 << 20, 0, &all).unwrap()
}

#[test]
fn work_stays_small_on_blocks() {
    let stages = residual(100);
    let mut solver = Solver::new(&stages);
    let (least, full) = (solver.least_budget(), solver.full_budget());
    for (percent, most) in [(105, 8_000), (130, 30_000), (200, 60_000), (400, 90_000), (1000, 160_000)] {
        let found = Solver::new(&stages).solve(least * percent / 100).unwrap();
        assert_sound(&stages, least * percent / 100, &found);
        // A table over 500 slots of memory has 2.5 million entries here, each a minimum over up to 100 steps.
        assert!(found.stats.evaluations <= most, "{percent} %: {}", found.stats.evaluations);
    }
    let free = solver.solve(full).unwrap();
    assert_eq!((free.time, free.stats.evaluations), (0, 0));
}

#[test]
fn a_stopped_search_says_so() {
    let stages = residual(60);
    let mut solver = Solver::new(&stages);
    let budget = solver.least_budget() * 13 / 10;
    let best = Solver::new(&stages).solve(budget).unwrap();
    solver.limit_expansions(20);
    let stopped = solver.solve(budget).unwrap();
    assert_eq!(stopped.status, Status::Feasible);
    assert!(stopped.lower_bound <= best.time && best.time <= stopped.time && stopped.peak <= budget);
    assert_eq!(simulate(&stages, &stopped.steps), (stopped.peak, stopped.time));
    solver.limit_expansions(u64::MAX);
    assert_eq!(solver.solve(budget).map(|o| (o.time, o.status)), Some((best.time, Status::Optimal)));
}

#[test]
fn less_memory_nests_deeper() {
    let stages = residual(60);
    let mut solver = Solver::new(&stages);
    let (least, full) = (solver.least_budget(), solver.full_budget());
    let of = |budget| {
        let found = solver.solve(budget).unwrap();
        (found.time, depth(&found.steps))
    };
    let points: Vec<(u64, u32)> = [least * 12 / 10, least * 2, full / 2, full].map(of).to_vec();
    assert!(points.windows(2).all(|w| w[0].0 > w[1].0 && w[0].1 >= w[1].1), "{points:?}");
    assert!(points[0].1 > 2 && points[2].1 == 1 && points[3] == (0, 0), "{points:?}");
}

#[test]
fn impossible_chains_are_refused() {
    let stage = Stage { output: 1, tape: 2, ..Stage::default() };
    assert_eq!(Stages::new(1, 1, &[]), Err(Error::Empty));
    assert_eq!(Stages::new(1, 1, &[Stage { tape: 0, ..stage }]), Err(Error::Output { stage: 1 }));
    assert_eq!(Stages::new(1, 1, &vec![stage; 1001]), Err(Error::TooLong(1001)));
    assert_eq!(Stages::new(1, 1, &[stage, Stage { tape: 1 << 60, ..stage }]), Err(Error::TooLarge { stage: 2 }));
    assert_eq!(Stages::new(1, 1, &[Stage { forward: 1 << 51, ..stage }]), Err(Error::TooLarge { stage: 1 }));
}

proptest! {
    #![proptest_config(cases(100))]
    #[test]
    fn plain_chains_report_a_value_that_the_checker_finds_again(sizes in prop::collection::vec(0u64..9, 1..=8)) {
        let chain = Chain::from_sizes("c", sizes.clone());
        let (checkpoints, outcome) = plan_chain(&chain, None).unwrap();
        let persistent = |set: &[u32]| check_chain(&chain, set, ChainObjective::Persistent);
        prop_assert_eq!(persistent(&checkpoints), Ok(outcome.peak));
        let last = sizes.len() as u32 - 1;
        let least = (0u32..1 << sizes.len())
            .filter(|set| set & 1 == 1 && set >> last & 1 == 1)
            .map(|set| persistent(&(0..=last).filter(|i| set >> i & 1 == 1).collect::<Vec<_>>()).unwrap())
            .min();
        prop_assert_eq!(least, Some(outcome.peak));
        let stages = stages_of(&chain).unwrap();
        assert_sound(&stages, outcome.peak, &outcome);
    }
}

#[test]
fn a_budget_of_a_chain_is_kept_or_refused() {
    let chain = Chain::from_sizes("c", [4; 30]);
    let least = plan_chain(&chain, None).unwrap().1;
    let request = |budget| Request {
        objective: Objective::MinTime,
        budget: Some(budget),
        ..Request::min_peak(Problem::Chain(&chain))
    };
    let planner = Algorithm::Rotor.planner();
    let half = planner.plan(&request(60)).unwrap();
    assert!(half.value <= 60 && half.status == Status::Optimal);
    let Decision::Checkpoints(checkpoints) = half.decision else { panic!("a chain has checkpoints") };
    assert_eq!(check_chain(&chain, &checkpoints, ChainObjective::Persistent).map(|v| v <= 60), Ok(true));
    let error = planner.plan(&request(least.peak - 1)).unwrap_err().to_string();
    assert!(error.contains(&format!("the least is {}", least.peak)), "{error}");
}

fn count(segments: &[Segment]) -> usize {
    segments.iter().map(|s| 1 + count(&s.inner)).sum()
}

#[test]
fn plans_of_the_zoo_nest_and_pass_the_checker() {
    let model = CostModel::device("h100").unwrap();
    let mut nested = 0;
    for entry in zoo::entries() {
        let graph = zoo::load(entry.name).unwrap();
        let predictor = Predictor::new(&graph);
        let costs = Costs::new(&graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k));
        let planner = GraphPlanner::new(&predictor, &costs).unwrap();
        let least = planner.least_peak(None);
        let without = predictor.peaks(&Regions::default(), None, &mut Scratch::default()).peak;
        let found = planner.least_time(u64::midpoint(least.peak, without), None).unwrap();
        assert!(found.peak <= u64::midpoint(least.peak, without) && found.time <= least.time, "{}", entry.name);
        for plan in [&least, &found] {
            let verified = check(&graph, &plan.segments).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
            assert_eq!(verified.peak, plan.peak, "{}", entry.name);
        }
        nested += usize::from(count(&least.segments) > least.segments.len());
        let refused = planner.least_time(least.peak - 1, None);
        assert_eq!(refused.map(|p| p.peak), Err(Error::Budget { budget: least.peak - 1, least: least.peak }));
    }
    assert!(nested > 5, "{nested}");
}
