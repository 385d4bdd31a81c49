//! Plan documents: numbers against the checker, names, round trips through JSON, refused documents.

use remat_algorithms::algorithm::{Decision, Request};
use remat_algorithms::checker::{ChainObjective, check_chain_plan, check_plan};
use remat_algorithms::cost::Costs;
use remat_algorithms::plan::assemble::{Provenance, chain_plan, graph_plan};
use remat_algorithms::plan::{Objective, Plan, PlanErrorKind, Stats, Status, parse};
use remat_algorithms::predict::{Optimizer, Predictor};
use remat_algorithms::{Algorithm, Problem, Segment};
use remat_graphs::{Chain, CostModel, Graph, zoo};

mod regions;

fn costs(graph: &Graph) -> Costs {
    let model = CostModel::device("h100").unwrap();
    Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k))
}

fn provenance() -> Provenance {
    let stats = Some(Stats { states: 7, evaluations: 9, seconds: 0.25 });
    Provenance { algorithm: "by-hand".into(), lower_bound: Some(3), stats, ..Provenance::default() }
}

fn round_trip(plan: &Plan) -> Plan {
    let text = serde_json::to_vec_pretty(plan).unwrap();
    let read = parse(&text, "plan").unwrap();
    assert_eq!(&read, plan);
    assert_eq!(serde_json::to_vec_pretty(&read).unwrap(), text);
    read
}

#[test]
fn every_number_on_the_zoo_is_what_the_checker_finds() {
    let mut recomputing = 0;
    for graph in zoo::names().map(|n| zoo::load(n).unwrap()) {
        let (predictor, costs) = (Predictor::new(&graph), costs(&graph));
        for (kind, segments) in regions::all(&graph) {
            let place = format!("{} {kind}", graph.name());
            for optimizer in [None, Some(Optimizer::AdamwForeach)] {
                let plan = graph_plan(&predictor, &costs, optimizer, segments.clone(), provenance()).unwrap();
                let checked = check_plan(&graph, &plan);
                assert!(checked.is_ok(), "{place} {optimizer:?}: {}", checked.unwrap_err());
                round_trip(&plan);
                let again = plan.recompute.unwrap();
                assert_eq!(segments.is_empty(), again.operators == 0, "{place}");
                let step = costs.step_ns() as f64 / 1e9;
                assert!((again.time / step - again.overhead).abs() < 1e-12, "{place}: {again:?}");
                // Not more than the whole forward pass per level of nesting.
                assert!(again.time <= 2.0 * costs.forward_ns() as f64 / 1e9, "{place}: {again:?}");
                assert_eq!(again.time > 0.0, again.operators > 0, "{place}: {again:?}");
                recomputing += u32::from(again.operators > 0);
            }
        }
    }
    assert_eq!(recomputing, 2 * 2 * zoo::names().count() as u32);
}

#[test]
fn names_of_operators_are_filled_in_at_every_depth() {
    let graph = zoo::load("resnet18-b64").unwrap();
    let segments = regions::nested(&graph);
    let plan = graph_plan(&Predictor::new(&graph), &costs(&graph), None, segments, provenance()).unwrap();
    let name = |o: u32| Some(graph.operators()[o as usize].name.clone());
    let mut inner = 0;
    for outer in plan.segments.as_ref().unwrap() {
        for s in std::iter::once(outer).chain(&outer.inner) {
            assert_eq!((&s.first, &s.last), (&name(s.start), &name(s.end - 1)));
        }
        inner += outer.inner.len();
    }
    assert!(inner > 0);
    assert_eq!((plan.graph.as_str(), plan.algorithm.as_str()), ("resnet18-b64", "by-hand"));
}

#[test]
fn field_names_are_those_of_the_format() {
    let graph = zoo::load("resnet18-b64").unwrap();
    let segments = regions::uniform(&graph, 4);
    let provenance = Provenance { budget: Some(1 << 40), status: Status::Optimal, ..provenance() };
    let plan =
        graph_plan(&Predictor::new(&graph), &costs(&graph), Some(Optimizer::Adam), segments, provenance).unwrap();
    let value = serde_json::to_value(&plan).unwrap();
    let keys = |v: &serde_json::Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let top = [
        "algorithm",
        "budget",
        "format",
        "gap",
        "graph",
        "lower_bound",
        "objective",
        "predicted",
        "recompute",
        "segments",
        "stats",
        "status",
        "without",
    ];
    assert_eq!(keys(&value), top);
    let peaks =
        ["after_backward", "after_forward", "peak", "peak_backward", "peak_forward", "peak_optimizer", "static"];
    assert_eq!(keys(&value["predicted"]), peaks);
    assert_eq!(keys(&value["without"]), peaks);
    assert_eq!(keys(&value["recompute"]), ["bytes", "flops", "operators", "overhead", "time"]);
    assert_eq!(keys(&value["segments"][0]), ["end", "first", "last", "start"]);
    assert_eq!((&value["format"], &value["objective"]), (&"plan/1".into(), &"min-peak".into()));
    assert_eq!(value["status"], "optimal");
}

#[test]
fn planners_solutions_become_documents() {
    let graph = zoo::load("resnet18-b64").unwrap();
    let (predictor, costs) = (Predictor::new(&graph), costs(&graph));
    let chain = Chain::from_sizes("six", [5, 9, 2, 8, 3, 4]);
    for name in ["none", "sqrt", "cubic", "linear", "linear-x"] {
        let algorithm: Algorithm = name.parse().unwrap();
        let request = Request { budget: Some(1 << 50), ..Request::min_peak(Problem::Graph(&graph)) };
        let solution = algorithm.planner().plan(&request).unwrap();
        let provenance = Provenance::of(&request, &solution);
        let Decision::Segments(segments) = solution.decision else { panic!("no segments") };
        let plan = round_trip(&graph_plan(&predictor, &costs, None, segments, provenance).unwrap());
        assert_eq!((plan.algorithm.as_str(), plan.objective, plan.budget), (name, Objective::MinPeak, Some(1 << 50)));
        check_plan(&graph, &plan).unwrap();

        let objective = match name {
            "linear" => ChainObjective::Traced,
            "linear-x" => ChainObjective::Stepwise,
            _ => ChainObjective::Conservative,
        };
        let request = Request::min_peak(Problem::Chain(&chain));
        let solution = algorithm.planner().plan(&request).unwrap();
        let provenance = Provenance::of(&request, &solution);
        let Decision::Checkpoints(checkpoints) = solution.decision else { panic!("no checkpoints") };
        let plan = round_trip(&chain_plan(&chain, checkpoints, solution.value, provenance));
        assert_eq!(check_chain_plan(&chain, &plan, objective), Ok(solution.value), "{name}");
        assert_eq!((plan.without.unwrap().peak, plan.segments, plan.recompute), (31, None, None));
    }
}

#[test]
fn segments_that_do_not_fit_are_refused() {
    let graph = zoo::load("resnet18-b64").unwrap();
    let segments = vec![Segment::new(0, graph.loss() + 1)];
    let refused = graph_plan(&Predictor::new(&graph), &costs(&graph), None, segments, provenance()).unwrap_err();
    assert_eq!(refused.path, "segments[0]");
    assert!(matches!(refused.kind, PlanErrorKind::Range { .. }));
}

#[test]
fn documents_are_refused_with_the_place() {
    let refused = |text: &str| parse(text.as_bytes(), "p.json").unwrap_err().to_string();
    for (text, message) in [
        (r#"{"format": "plan/2", "segments": 7}"#, r#"p.json: format: expected "plan/1", found "plan/2""#),
        (r#"{"segments": []}"#, r#"p.json: format: expected "plan/1", found nothing"#),
        (
            r#"{"format": "plan/1", "segments": [{"start": 0, "end": -1}]}"#,
            "p.json: segments[0].end: invalid value: integer `-1`, expected u32 (line 1 column 56)",
        ),
        (
            r#"{"format": "plan/1", "segments": [{"start": 0, "end": 2, "inner": [{"end": 1}]}]}"#,
            "p.json: segments[0].inner[0]: missing field `start` (line 1 column 77)",
        ),
    ] {
        assert_eq!(refused(text), message);
    }
    assert!(refused(r#"{"format": "plan/1"}"#).contains("document: has neither segments"));
    assert!(refused(r#"{"format": "plan/1", "segments": [], "checkpoints": []}"#).contains("has both segments"));
    assert!(refused("").starts_with("p.json: document: there is nothing in it"));
    let (open, close) = (r#"[{"start":0,"end":1,"inner":"#.repeat(100_000), "}]".repeat(100_000));
    let deep = format!(r#"{{"format": "plan/1", "segments": {open}[]{close}}}"#);
    assert!(refused(&deep).contains("recursion limit"));
    let least = parse(br#"{"format": "plan/1", "segments": [{"start": 1, "end": 4}], "more": 1}"#, "p").unwrap();
    assert_eq!(least.segments, Some(vec![Segment::new(1, 4)]));
    assert_eq!(parse(br#"{"format": "plan/1", "checkpoints": [0, 2]}"#, "p").unwrap().checkpoints, Some(vec![0, 2]));
}
