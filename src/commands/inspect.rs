//! `remat inspect`: what a step or a chain is made of.

use remat::algorithms::Regions;
use remat::algorithms::predict::{Predictor, Scratch};
use remat::bytes::human;
use remat::graphs::dot::{self, Drawing};
use remat::graphs::{Chain, ChainOfGraph, CostModel, Document, ModuleTree, Source, StorageKind};
use remat::{Graph, Peaks};
use serde::Serialize;

use crate::args::{self, Drawn};
use crate::failure::Failure;
use crate::{input, output, table};

/// What to show.
pub(crate) struct Settings {
    graph: Source,
    drawing: Drawing,
    costs: CostModel,
    format: Drawn,
}

impl Settings {
    pub(crate) fn resolve(args: &args::Inspect) -> Result<Self, Failure> {
        if args.backward && args.format != Drawn::Dot {
            return Err(Failure::wrong("--backward is for drawings").hint("add --format dot"));
        }
        Ok(Self {
            graph: input::source(&args.graph),
            drawing: Drawing { backward: args.backward, depth: args.depth },
            costs: input::device(&args.device.device)?,
            format: args.format,
        })
    }
}

#[derive(Serialize)]
struct Facts<'a> {
    kind: &'static str,
    name: &'a str,
    device: &'a str,
    autocast: Option<&'a str>,
    torch: &'a str,
    block: u64,
    operators: usize,
    random_operators: usize,
    kernels: usize,
    backward_kernels: usize,
    nodes: usize,
    safe_cuts: Vec<u32>,
    layers: usize,
    storages: Vec<Kind>,
    flops: Passes,
    ns: Passes,
    cost_model: &'a str,
    without: Peaks,
    modules: Vec<Module<'a>>,
}

/// Storages of one kind, in bytes as they occupy them.
#[derive(Serialize)]
struct Kind {
    #[serde(rename = "kind")]
    name: &'static str,
    count: usize,
    bytes: u64,
}

#[derive(Serialize)]
struct Passes {
    forward: u64,
    backward: u64,
}

/// One call of a module; `bytes` are the activations that it makes.
#[derive(Serialize)]
struct Module<'a> {
    path: &'a str,
    start: u32,
    end: u32,
    bytes: u64,
    flops: u64,
    ns: u64,
}

#[derive(Serialize)]
struct ChainFacts<'a> {
    kind: &'static str,
    name: &'a str,
    layers: usize,
    bytes: u64,
    largest: u64,
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    match (input::document(&settings.graph)?, settings.format) {
        (Document::Graph(graph), Drawn::Dot) => output::data(&dot::dot(&graph, settings.drawing)),
        (Document::Graph(graph), Drawn::Json) => {
            output::data(&output::json(&facts(&graph, &ModuleTree::of(&graph), settings))?)
        }
        (Document::Graph(graph), Drawn::Table) => {
            output::data(&text(&facts(&graph, &ModuleTree::of(&graph), settings)))
        }
        (Document::Chain(_), Drawn::Dot) => {
            Err(Failure::wrong(format!("{} is a chain; there is nothing to draw", settings.graph.label())))
        }
        (Document::Chain(chain), Drawn::Json) => output::data(&output::json(&chain_facts(&chain))?),
        (Document::Chain(chain), Drawn::Table) => {
            let facts = chain_facts(&chain);
            output::data(&table::pairs([
                ("name", facts.name.into()),
                ("layers", facts.layers.to_string()),
                ("all layers", human(facts.bytes)),
                ("largest layer", human(facts.largest)),
            ]))
        }
    }
}

fn chain_facts(chain: &Chain) -> ChainFacts<'_> {
    let sizes = || chain.layers.iter().map(|l| l.bytes);
    ChainFacts {
        kind: "chain",
        name: &chain.name,
        layers: chain.layers.len(),
        bytes: sizes().sum(),
        largest: sizes().max().unwrap_or(0),
    }
}

fn facts<'a>(graph: &'a Graph, tree: &ModuleTree, settings: &'a Settings) -> Facts<'a> {
    let (trace, costs) = (graph.trace(), &settings.costs);
    let calls = tree.at_depth(settings.drawing.depth);
    Facts {
        kind: "graph",
        name: graph.name(),
        device: &trace.device,
        autocast: trace.autocast.as_deref(),
        torch: &trace.torch,
        block: trace.block,
        operators: graph.operators().len(),
        random_operators: graph.operators().iter().filter(|o| o.random).count(),
        kernels: graph.operators().iter().map(|o| o.kernels.len()).sum(),
        backward_kernels: graph.backward().len(),
        nodes: graph.nodes().len(),
        safe_cuts: graph.safe_cuts().collect(),
        layers: ChainOfGraph::of(graph).chain.layers.len(),
        storages: kinds(graph),
        flops: Passes {
            forward: (0..=graph.loss()).map(|o| graph.operator_flops(o)).sum(),
            backward: graph.backward().iter().map(|k| k.flops).sum(),
        },
        ns: Passes { forward: costs.forward_ns(graph), backward: costs.backward_ns(graph) },
        cost_model: &costs.of().name,
        without: Predictor::new(graph).peaks(&Regions::default(), None, &mut Scratch::default()),
        modules: calls.map(|call| module(graph, tree, costs, call)).collect(),
    }
}

fn kinds(graph: &Graph) -> Vec<Kind> {
    use StorageKind::{Activation, Buffer, Constant, Gradient, Input, Param, ParamGrad};
    let mut kinds = [Param, Buffer, Input, Constant, Activation, Gradient, ParamGrad].map(|kind| Kind {
        name: kind.name(),
        count: 0,
        bytes: 0,
    });
    for (s, storage) in (0u32..).zip(graph.storages()) {
        if let Some(kind) = kinds.iter_mut().find(|k| k.name == storage.kind.name()) {
            kind.count += 1;
            kind.bytes += graph.size(s);
        }
    }
    kinds.into()
}

fn module<'a>(graph: &'a Graph, tree: &ModuleTree, costs: &CostModel, call: u32) -> Module<'a> {
    let range = &tree.calls()[call as usize];
    let operators = || range.start..range.end;
    let made = operators().flat_map(|o| &graph.operators()[o as usize].kernels).flat_map(|k| &k.writes);
    Module {
        path: tree.path(graph, call),
        start: range.start,
        end: range.end,
        bytes: made.map(|&s| graph.size(s)).sum(),
        flops: operators().map(|o| graph.operator_flops(o)).sum(),
        ns: operators().map(|o| costs.operator_ns(graph, o)).sum(),
    }
}

fn text(facts: &Facts<'_>) -> String {
    let passes =
        |p: &Passes, show: fn(u64) -> String| format!("{} forward, {} backward", show(p.forward), show(p.backward));
    let torch = match facts.autocast {
        Some(dtype) => format!("PyTorch {} on {}, {dtype} autocast", facts.torch, facts.device),
        None => format!("PyTorch {} on {}", facts.torch, facts.device),
    };
    let mut out = table::pairs([
        ("name", facts.name.into()),
        ("recorded from", torch),
        ("operators", format!("{} ({} random), {} kernels", facts.operators, facts.random_operators, facts.kernels)),
        ("backward", format!("{} nodes, {} kernels", facts.nodes, facts.backward_kernels)),
        ("safe cuts", format!("{} of {}", facts.safe_cuts.len(), facts.operators)),
        ("chain layers", facts.layers.to_string()),
        ("work", passes(&facts.flops, table::flops)),
        ("time", format!("{} (rates of {})", passes(&facts.ns, time), facts.cost_model)),
        ("peak", format!("{} ({} B) without checkpointing", human(facts.without.peak), facts.without.peak)),
        ("after forward", human(facts.without.after_forward)),
    ]);
    let mut kinds = table::new(&["storages", "count", "size"], "lrr");
    for kind in facts.storages.iter().filter(|k| k.count > 0) {
        table::row(&mut kinds, [kind.name.into(), kind.count.to_string(), human(kind.bytes)]);
    }
    let mut modules = table::new(&["module", "operators", "activations", "work", "time"], "lrrrr");
    for m in &facts.modules {
        let path = if m.path.is_empty() { "(model)" } else { m.path };
        let range = format!("{}..{}", m.start, m.end);
        table::row(&mut modules, [path.into(), range, human(m.bytes), table::flops(m.flops), time(m.ns)]);
    }
    for t in [kinds, modules] {
        out.push('\n');
        out.push_str(&table::text(&t));
    }
    out
}

fn time(ns: u64) -> String {
    table::time(ns as f64 / 1e9)
}
