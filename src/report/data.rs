//! What a report says, before it has a form. As JSON it is the report itself.

use remat::algorithms::plan::{Objective, Recompute, Status};
use remat::algorithms::predict::{AliveOver, Clock, Entry, FactorTable, Phase, Run, Span, Timeline};
use remat::{Optimizer, Peaks};
use serde::{Serialize, Serializer};

/// A report on one or more graphs.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub graphs: Vec<OfGraph>,
}

/// One graph under one or more plans.
#[derive(Debug, Serialize)]
pub(crate) struct OfGraph {
    /// Name of the graph.
    pub graph: String,
    /// What recorded it.
    pub recorded: String,
    /// Optimizer whose states and temporaries count.
    pub optimizer: Option<Optimizer>,
    /// Device whose rates give kernels their time.
    pub device: String,
    /// Seconds of forward and backward pass without recomputation.
    pub seconds: f64,
    /// Budgets to draw, in bytes, ascending.
    pub budgets: Vec<u64>,
    /// The step without checkpointing, then one case per plan.
    pub cases: Vec<Case>,
    /// Plans of which none is beaten in both peak and recomputation; peak falls. Absent where it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontier: Option<Vec<Point>>,
    /// Distance between the budgets that the frontier was searched for, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<u64>,
    /// What other algorithms reach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<Point>,
    /// Operators by index, as entries of timelines refer to them.
    pub operators: Vec<Named>,
}

/// Names of an operator.
#[derive(Debug, Serialize)]
pub(crate) struct Named {
    pub name: String,
    pub module: String,
}

/// A step under one plan, or under none.
#[derive(Debug, Serialize)]
pub(crate) struct Case {
    /// What to call it; no two cases of a graph have the same label.
    pub label: String,
    /// Who made the plan; absent for the step without checkpointing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Made>,
    pub predicted: Peaks,
    pub recompute: Recompute,
    /// Regions, outer before inner, in order of operators.
    pub regions: Vec<Region>,
    pub factors: FactorTable,
    pub timeline: Curve,
}

/// How a plan came about.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    pub algorithm: String,
    pub objective: Objective,
    pub budget: Option<u64>,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_bound: Option<u64>,
    /// Peak that the plan's document states, where it is not the predicted one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stated_peak: Option<u64>,
}

/// A region of a plan and what it is worth.
#[derive(Debug, Serialize)]
pub(crate) struct Region {
    /// Operators `start..end`.
    pub start: u32,
    pub end: u32,
    /// Region around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// 1 for a region that lies in no other.
    pub depth: u32,
    /// The largest module calls that lie in it; where there are none, its first and last operator.
    pub modules: Vec<String>,
    /// Kernels whose results it keeps.
    pub kept: usize,
    /// Bytes that are held less because of it.
    pub saved: Option<i64>,
    /// Peak of the step without it.
    pub peak_without: u64,
    /// Nanoseconds of its recomputation.
    pub ns: u64,
    /// Kernels that run in its recomputation.
    pub kernels: usize,
    /// Entries of the timeline in which it runs for the first time.
    #[serde(skip)]
    pub forward: std::ops::Range<usize>,
}

/// A plan between no recomputation and the least peak.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Point {
    pub label: String,
    pub peak: u64,
    pub seconds: f64,
    pub overhead: f64,
    pub regions: usize,
    pub status: Status,
}

/// Memory over time.
#[derive(Debug, Default)]
pub(crate) struct Curve {
    pub timeline: Timeline,
    pub clock: Clock,
    pub spans: Vec<Span>,
    /// What a page shows of it and says to the pointer; empty for other forms.
    pub runs: Vec<Run>,
    /// What is alive at the peak of each run.
    pub alive: AliveOver,
}

/// An entry of a timeline with its time.
#[derive(Debug, Serialize)]
pub(crate) struct Timed<'a> {
    pub start_ns: u64,
    pub end_ns: u64,
    #[serde(flatten)]
    pub entry: &'a Entry,
}

impl Curve {
    /// All entries, in order of execution.
    pub(crate) fn timed(&self) -> impl Iterator<Item = Timed<'_>> {
        let timed = |(i, entry)| Timed { start_ns: self.clock.start(i), end_ns: self.clock.end(i), entry };
        self.timeline.entries.iter().enumerate().map(timed)
    }
}

impl Curve {
    /// Does any kernel take time? Otherwise positions count entries.
    pub(crate) fn is_timed(&self) -> bool {
        self.clock.total() > 0
    }

    /// Where entry `i` starts: nanoseconds, or entries where no kernel takes time.
    pub(crate) fn start(&self, i: usize) -> u64 {
        if self.is_timed() { self.clock.start(i) } else { i as u64 }
    }

    /// Where entry `i` ends, in the same unit.
    pub(crate) fn end(&self, i: usize) -> u64 {
        if self.is_timed() { self.clock.end(i) } else { i as u64 + 1 }
    }

    /// Length of both passes, in the same unit.
    pub(crate) fn length(&self) -> u64 {
        let passes = self.timeline.entries.len() - usize::from(self.has_optimizer());
        if self.is_timed() { self.clock.total() } else { passes as u64 }
    }

    /// Does the optimizer's step allocate anything? Then it is the last entry.
    pub(crate) fn has_optimizer(&self) -> bool {
        self.timeline.entries.last().is_some_and(|e| e.when.phase == Phase::Optimizer)
    }

    /// The first entry with the most bytes.
    pub(crate) fn peak(&self) -> Option<usize> {
        let peak = self.timeline.peak()?;
        self.timeline.entries.iter().position(|e| e.live == peak.live)
    }
}

impl Serialize for Curve {
    /// Every entry; what a picture leaves out is its own matter.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.timed())
    }
}

impl Case {
    /// The case as a point beside the frontier.
    pub(crate) fn point(&self) -> Point {
        Point {
            label: self.label.clone(),
            peak: self.predicted.peak,
            seconds: self.recompute.time,
            overhead: self.recompute.overhead,
            regions: self.regions.len(),
            status: self.plan.as_ref().map_or(Status::Optimal, |plan| plan.status),
        }
    }
}

impl Region {
    /// The first modules, and how many more there are.
    pub(crate) fn modules_short(&self, most: usize) -> String {
        let shown = self.modules.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.modules.len().saturating_sub(most) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }
}
