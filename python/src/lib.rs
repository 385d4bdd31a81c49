//! The compiled core of the Python package: documents go in and come out as JSON text.
//!
//! Everything long runs without the interpreter lock and on a thread of its own, so that Ctrl-C is heard at once.

use std::str::FromStr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use remat::algorithms::interval;
use remat::algorithms::plan;
use remat::bytes::Budget;
use remat::graphs::ModuleRegions;
use remat::graphs::read::{self, Document};
use remat::{Granularity, Optimizer, Options, RegionRules, Resolution, Segment, Step};
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
    nesting: u32,
    /// What a region is made of.
    granularity: Granularity,
    /// Globs on the paths of modules that regions lie within.
    #[serde(default)]
    only: Vec<String>,
    /// Globs on the paths of modules that regions hold nothing of.
    #[serde(default)]
    never: Vec<String>,
    /// Operators that no region may hold.
    #[serde(default)]
    once: Vec<u32>,
    /// For a frontier: bytes between budgets; every point otherwise.
    step: Option<u64>,
}

impl Wish {
    fn options(&self) -> Result<Options, Refusal> {
        Ok(Options {
            optimizer: self.optimizer.as_deref().map(Optimizer::from_str).transpose().map_err(Refusal::other)?,
            budget: self.budget.map(Budget::Bytes),
            regions: RegionRules {
                granularity: self.granularity,
                only: self.only.clone(),
                never: self.never.clone(),
                once: self.once.clone(),
            },
            selective: self.selective,
            nesting: self.nesting,
            ..Options::default()
        })
    }
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

impl From<remat::Error> for Refusal {
    fn from(error: remat::Error) -> Self {
        match error {
            remat::Error::Budget(interval::Error::BudgetTooSmall { budget, minimum, .. }) => {
                Self::Budget { budget, minimum }
            }
            other => Self::other(other),
        }
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
        work: impl FnOnce(&Step<'_>, &Wish) -> Result<T, remat::Error> + Send + 'static,
    ) -> PyResult<T> {
        let wish: Wish = read::json(wish.as_bytes(), "options").map_err(value_error)?;
        let graph = Arc::clone(&self.graph);
        let (sender, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        std::thread::spawn(move || {
            let answer = wish.options().and_then(|o| Ok(work(&Step::new(&graph, &o), &wish)?));
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

    /// All regions that a plan at module granularity may have, as JSON.
    fn module_regions(&self) -> PyResult<String> {
        let regions = ModuleRegions::of(&self.graph);
        let candidates: Vec<_> = regions.ranges().filter_map(|(start, end)| regions.get(start, end)).collect();
        serde_json::to_string(&candidates).map_err(value_error)
    }

    /// The peaks of a step under these segments, as JSON.
    #[pyo3(signature = (segments, optimizer=None))]
    fn predict(&self, py: Python<'_>, segments: &str, optimizer: Option<&str>) -> PyResult<String> {
        let segments: Vec<Segment> = read::json(segments.as_bytes(), "segments").map_err(value_error)?;
        let optimizer = optimizer.map(Optimizer::from_str).transpose().map_err(value_error)?;
        let peaks = py.detach(|| remat::predict(&self.graph, &segments, optimizer)).map_err(value_error)?;
        serde_json::to_string(&peaks).map_err(value_error)
    }

    /// The best plan, as a `plan/1` document.
    fn plan(&self, py: Python<'_>, options: &str) -> PyResult<String> {
        let plan = self.away(py, options, |step, _| step.plan(None))?;
        serde_json::to_string(&plan).map_err(value_error)
    }

    /// All plans worth having, as a list of `plan/1` documents.
    fn frontier(&self, py: Python<'_>, options: &str) -> PyResult<String> {
        let plans = self.away(py, options, |step, wish| {
            step.frontier(wish.step.map_or(Resolution::Exact, Resolution::Step), &mut |_, _| {})
        })?;
        serde_json::to_string(&plans).map_err(value_error)
    }

    /// A `plan/1` document as a Python file that applies it without remat.
    fn emit_torch(&self, py: Python<'_>, document: &str) -> PyResult<String> {
        let document = plan::parse(document.as_bytes(), "plan").map_err(value_error)?;
        py.detach(|| remat::emit::torch(&self.graph, &document)).map_err(value_error)
    }
}

/// The module `remat._remat`.
#[pymodule]
fn _remat(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("MOST_NESTING", remat::MOST_NESTING)?;
    module.add_class::<Graph>()
}
