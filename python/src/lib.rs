//! The compiled core of the Python package: documents go in and come out as JSON text.
//!
//! Everything long runs without the interpreter lock and on a thread of its own, so that Ctrl-C is heard at once.

use std::str::FromStr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use remat::algorithms::Regions;
use remat::algorithms::cost::Costs;
use remat::algorithms::interval::{self, Allowed, Outcome, Planner, Resolution};
use remat::algorithms::plan::assemble::{self, Provenance};
use remat::algorithms::plan::{Objective, Plan, Segment};
use remat::algorithms::predict::{Predictor, Scratch};
use remat::graphs::CostModel;
use remat::graphs::cost::DEFAULT_DEVICE;
use remat::graphs::read::{self, Document};
use remat::{Algorithm, Optimizer};
use serde::Deserialize;

/// How often a waiting call looks for signals.
const HEARTBEAT: Duration = Duration::from_millis(50);

fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// What is wanted of a plan, as the Python side says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Bound on the peak in bytes.
    budget: Option<u64>,
    /// Optimizer to count.
    optimizer: Option<String>,
    /// May regions keep results?
    #[serde(default)]
    selective: bool,
    /// Most levels of regions within regions.
    #[serde(default)]
    nesting: u32,
    /// Exactly the regions that are allowed; every pair of safe cuts otherwise.
    regions: Option<Vec<(u32, u32)>>,
    /// Device whose kernel times count.
    cost: Option<String>,
    /// Seconds after which a search stops.
    time_limit: Option<f64>,
    /// For a frontier: bytes between budgets; every point otherwise.
    step: Option<u64>,
}

/// Why a plan was not made.
enum Refusal {
    Budget { budget: u64, minimum: u64 },
    Other(String),
}

impl Refusal {
    fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }

    fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Other(message) => PyValueError::new_err(message),
            Self::Budget { budget, minimum } => {
                let raised = py
                    .import("remat.errors")
                    .and_then(|errors| errors.getattr("BudgetTooSmall"))
                    .and_then(|class| class.call1((budget, minimum)));
                raised.map_or_else(|error| error, PyErr::from_value)
            }
        }
    }
}

impl From<interval::Error> for Refusal {
    fn from(error: interval::Error) -> Self {
        match error {
            interval::Error::BudgetTooSmall { budget, minimum, .. } => Self::Budget { budget, minimum },
            other => Self::other(other),
        }
    }
}

/// A graph prepared for one wish.
struct Desk<'g> {
    predictor: Predictor<'g>,
    costs: Costs,
    optimizer: Option<Optimizer>,
    allowed: Allowed,
    wish: Wish,
}

impl<'g> Desk<'g> {
    fn new(graph: &'g remat::Graph, wish: Wish) -> Result<Self, Refusal> {
        let model = CostModel::device(wish.cost.as_deref().unwrap_or(DEFAULT_DEVICE)).map_err(Refusal::other)?;
        let optimizer = wish.optimizer.as_deref().map(Optimizer::from_str).transpose().map_err(Refusal::other)?;
        let allowed = match &wish.regions {
            Some(regions) => Allowed::regions(graph, regions.iter().copied()),
            None => Allowed::operators(graph),
        };
        let costs = Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k));
        Ok(Self { predictor: Predictor::new(graph), costs, optimizer, allowed, wish })
    }

    fn options(&self) -> interval::Options<'_> {
        interval::Options {
            allowed: Some(&self.allowed),
            optimizer: self.optimizer,
            selective: self.wish.selective,
            nesting: self.wish.nesting,
            max_labels: None,
            time_limit: self.wish.time_limit.map(Duration::from_secs_f64),
        }
    }

    fn plan(&self) -> Result<Plan, Refusal> {
        let planner = Planner::new(&self.predictor, &self.costs);
        match self.wish.budget {
            Some(budget) => {
                self.document(planner.least_time(budget, &self.options())?, Objective::MinTime, Some(budget))
            }
            None => self.document(planner.least_peak(&self.options())?, Objective::MinPeak, None),
        }
    }

    fn frontier(&self) -> Result<Vec<Plan>, Refusal> {
        let resolution = self.wish.step.map_or(Resolution::Exact, Resolution::Step);
        let planner = Planner::new(&self.predictor, &self.costs);
        let found = planner.frontier(resolution, &self.options(), &mut |_, _| {})?;
        let document = |point: Outcome| {
            let budget = Some(point.peak);
            self.document(point, Objective::MinTime, budget)
        };
        found.points.into_iter().map(document).collect()
    }

    fn document(&self, found: Outcome, objective: Objective, budget: Option<u64>) -> Result<Plan, Refusal> {
        let provenance = Provenance {
            algorithm: Algorithm::Interval.to_string(),
            objective,
            budget,
            status: found.status,
            lower_bound: found.lower_bound,
            stats: Some(found.stats),
        };
        assemble::graph_plan(&self.predictor, &self.costs, self.optimizer, found.segments, provenance)
            .map_err(Refusal::other)
    }
}

/// A checked training step.
#[pyclass(frozen, module = "remat._remat")]
struct Graph {
    graph: Arc<remat::Graph>,
}

impl Graph {
    /// Runs work on a thread of its own. An interrupt returns at once; the thread ends by itself, unheard.
    fn away<T: Send + 'static>(
        &self,
        py: Python<'_>,
        wish: &str,
        work: impl FnOnce(&Desk<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> PyResult<T> {
        let wish: Wish = read::json(wish.as_bytes(), "options").map_err(value_error)?;
        let graph = Arc::clone(&self.graph);
        let (sender, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        std::thread::spawn(move || {
            let answer = Desk::new(&graph, wish).and_then(|desk| work(&desk));
            // Nobody listens any more after an interrupt.
            let _ = sender.send(answer);
        });
        loop {
            let heard = py
                .detach(|| receiver.lock().map_or(Err(RecvTimeoutError::Disconnected), |r| r.recv_timeout(HEARTBEAT)));
            match heard {
                Ok(answer) => return answer.map_err(|refusal| refusal.into_python(py)),
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err("the planner stopped")),
            }
        }
    }
}

#[pymethods]
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the methods alone are not general enough over lifetimes"
)]
impl Graph {
    /// Reads and checks a `trace/1` document.
    #[new]
    fn new(py: Python<'_>, trace: &str) -> PyResult<Self> {
        match py.detach(|| read::parse(trace.as_bytes(), "trace")).map_err(value_error)? {
            Document::Graph(graph) => Ok(Self { graph: Arc::new(*graph) }),
            Document::Chain(_) => Err(PyValueError::new_err("a chain/1 document is no training step")),
        }
    }

    /// Positions between operators where a region may start or end.
    fn safe_cuts(&self) -> Vec<u32> {
        self.graph.safe_cuts().collect()
    }

    /// The peaks of a step under these segments, as JSON.
    #[pyo3(signature = (segments, optimizer=None))]
    fn predict(&self, py: Python<'_>, segments: &str, optimizer: Option<&str>) -> PyResult<String> {
        let segments: Vec<Segment> = read::json(segments.as_bytes(), "segments").map_err(value_error)?;
        let regions = Regions::resolve(&self.graph, &segments).map_err(value_error)?;
        let optimizer = optimizer.map(Optimizer::from_str).transpose().map_err(value_error)?;
        let peaks = py.detach(|| Predictor::new(&self.graph).peaks(&regions, optimizer, &mut Scratch::default()));
        serde_json::to_string(&peaks).map_err(value_error)
    }

    /// The best plan, as a `plan/1` document.
    fn plan(&self, py: Python<'_>, options: &str) -> PyResult<String> {
        let plan = self.away(py, options, |desk| desk.plan())?;
        serde_json::to_string(&plan).map_err(value_error)
    }

    /// All plans worth having, as a list of `plan/1` documents.
    fn frontier(&self, py: Python<'_>, options: &str) -> PyResult<String> {
        let plans = self.away(py, options, |desk| desk.frontier())?;
        serde_json::to_string(&plans).map_err(value_error)
    }
}

/// The module `remat._remat`.
#[pymodule]
fn _remat(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<Graph>()
}
