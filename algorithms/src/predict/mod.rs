//! Predicts the memory of a training step under a plan, to the byte.
//!
//! The predictor replays the step allocation by allocation under the rules by which PyTorch holds and releases memory
//! (see [`replay`]). [`Predictor::peaks`] gives the peaks alone and is what planners call.

mod alive;
mod alive_over;
mod clock;
mod columns;
mod element;
mod factors;
mod optimizer;
mod program;
mod recording;
mod replay;
mod spans;
mod timeline;
mod worth;

pub use alive::{Alive, AliveAtPeak, OfModule, OfOperator, PeakOf, alive_at_peak};
pub use alive_over::{AliveOver, AliveThen, Largest, alive_over};
pub use clock::Clock;
pub use columns::Column;
pub use element::{ElementType, UnknownElementType};
pub use factors::{FactorError, FactorOptions, FactorTable, Factors, fitting_depth};
pub use optimizer::{Optimizer, UnknownOptimizer};
pub use program::Program;
pub use recording::{ByKind, Kind};
pub use replay::{Moment, Observer, Replayed, Scratch, Unobserved, replay};
pub use spans::{Run, Span};
pub use timeline::{Entry, Phase, Timeline, When};
pub use worth::{Worth, worth};

use remat_graphs::Graph;

use crate::plan::{Peaks, Regions};

/// Predicts the peaks of one graph under many plans.
#[derive(Debug)]
pub struct Predictor<'g> {
    program: Program<'g>,
}

impl<'g> Predictor<'g> {
    /// Compiles a graph; time and memory O(size of the graph).
    pub fn new(graph: &'g Graph) -> Self {
        Self { program: Program::new(graph) }
    }

    /// The graph.
    pub fn graph(&self) -> &'g Graph {
        self.program.graph
    }

    /// The compiled graph, for replays with an observer.
    pub fn program(&self) -> &Program<'g> {
        &self.program
    }

    /// Peaks of a step under the given regions, in bytes. Time O(kernels run), memory O(storages × depth).
    pub fn peaks(&self, regions: &Regions, optimizer: Option<Optimizer>, scratch: &mut Scratch) -> Peaks {
        let replayed = replay(&self.program, regions, scratch, &mut Unobserved);
        self.with_optimizer(&replayed, optimizer)
    }

    /// Adds what an optimizer holds and allocates.
    pub fn with_optimizer(&self, replayed: &Replayed, optimizer: Option<Optimizer>) -> Peaks {
        let graph = self.program.graph;
        let states = optimizer.map_or(0, |o| o.state_bytes(graph));
        let after_backward = replayed.after_backward + states;
        let peak_optimizer =
            optimizer.map(|o| o.temporary_bytes(graph).map_or(0, |temporary| after_backward + temporary));
        let peak_forward = replayed.peak_forward + states;
        let peak_backward = replayed.peak_backward + states;
        Peaks {
            static_bytes: graph.static_bytes() + states,
            peak: peak_forward.max(peak_backward).max(peak_optimizer.unwrap_or(0)),
            peak_forward,
            peak_backward,
            peak_optimizer,
            after_forward: replayed.after_forward + states,
            after_backward,
        }
    }
}
