//! A planner of one's own: checkpoints every module of a given depth, and lets predictor and checker judge it.
//!
//! ```sh
//! cargo run --release --example own_planner
//! ```

#![expect(clippy::print_stdout, reason = "an example")]

use remat::algorithms::algorithm::Decision;
use remat::algorithms::plan::{Objective, Stats, Status};
use remat::algorithms::{PlanningError, Problem, Request, Solution};
use remat::bytes::human;
use remat::graphs::{ModuleTree, zoo};
use remat::{Algorithm, Planner, Segment};

/// Recomputes every module call of one depth whose ends are safe cuts.
struct Modules {
    depth: u32,
}

impl Planner for Modules {
    fn plan(&self, request: &Request<'_>) -> Result<Solution, PlanningError> {
        let algorithm = Algorithm::Every;
        if request.objective != Objective::MinPeak {
            return Err(PlanningError::Objective { algorithm });
        }
        let segments: Vec<Segment> = match request.problem {
            Problem::Chain(_) => Vec::new(),
            Problem::Graph(graph) => {
                let tree = ModuleTree::of(graph);
                let calls = tree.at_depth(self.depth).map(|call| &tree.calls()[call as usize]);
                calls
                    .map(|call| (call.start, call.end.min(graph.loss())))
                    .filter(|&(start, end)| start < end && graph.is_safe_cut(start) && graph.is_safe_cut(end))
                    .map(|(start, end)| Segment::new(start, end))
                    .collect()
            }
        };
        let stats = Stats { states: segments.len() as u64, ..Stats::default() };
        Ok(Solution { algorithm, decision: Decision::Segments(segments), value: 0, status: Status::Feasible, stats })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let graph = zoo::load("vit_b_16-b32")?;
    let request = Request::min_peak(Problem::Graph(&graph));
    println!("{}: {} without checkpointing", graph.name(), human(remat::predict(&graph, &[], None)?.peak));
    for depth in 1..=4 {
        let Decision::Segments(segments) = Modules { depth }.plan(&request)?.decision else { continue };
        let peaks = remat::predict(&graph, &segments, None)?;
        let verified = remat::algorithms::checker::check(&graph, &segments)?;
        assert_eq!(peaks.peak, verified.peak, "predictor and checker agree");
        println!("modules of depth {depth}: {} regions, {}", segments.len(), human(peaks.peak));
    }
    Ok(())
}
