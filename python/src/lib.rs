//! The compiled core of the Python package: documents go in and come out as JSON text.

use std::str::FromStr;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use remat_algorithms::plan::{Regions, Segment};
use remat_algorithms::predict::{Optimizer, Predictor, Scratch};
use remat_graphs::read::{self, Document};

fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A checked training step.
#[pyclass(frozen, module = "remat._remat")]
struct Graph {
    graph: remat_graphs::Graph,
}

impl Graph {
    fn regions(&self, segments: &str) -> PyResult<Regions> {
        let segments: Vec<Segment> = read::json(segments.as_bytes(), "segments").map_err(value_error)?;
        Regions::resolve(&self.graph, &segments).map_err(value_error)
    }
}

#[pymethods]
impl Graph {
    /// Reads and checks a `trace/1` document.
    #[new]
    fn new(py: Python<'_>, trace: &str) -> PyResult<Self> {
        match py.detach(|| read::parse(trace.as_bytes(), "trace")).map_err(value_error)? {
            Document::Graph(graph) => Ok(Self { graph: *graph }),
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
        let regions = self.regions(segments)?;
        let optimizer = optimizer.map(Optimizer::from_str).transpose().map_err(value_error)?;
        let peaks = py.detach(|| Predictor::new(&self.graph).peaks(&regions, optimizer, &mut Scratch::default()));
        serde_json::to_string(&peaks).map_err(value_error)
    }
}

/// The module `remat._remat`.
#[pymodule]
fn _remat(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<Graph>()
}
