//! A plan as a Python file for PyTorch: it wraps modules in `torch.utils.checkpoint` and needs nothing but PyTorch.

use std::fmt::Write as _;

use remat_algorithms::plan::{Objective, Segment, Status, modules};
use remat_algorithms::{Plan, Regions};
use remat_graphs::{Graph, ModuleRegions, Returned};

use super::EmitError;
use super::python::{Part, imports, list, prose, string};
use crate::bytes::human;

/// How regions of modules are run, the same code as in the Python package.
const REGIONS: &str = include_str!("parts/regions.py");
/// Regions of several modules.
const RUNS: &str = include_str!("parts/runs.py");
/// Regions that keep results.
const KEEPING: &str = include_str!("parts/keeping.py");

/// Writes a plan of whole modules as a Python file.
///
/// The file needs PyTorch 2.4 or newer. It has `apply(model)`, `remove(model)`, the regions as `PLAN` and the predicted
/// peak as `PEAK`. Same plan, same bytes of output.
///
/// # Errors
/// [`EmitError`], if the plan does not fit the graph or has a region that is no whole module and no run of siblings.
///
/// # Complexity
/// That of [`ModuleRegions::of`], and O(length of the file).
pub fn torch(graph: &Graph, plan: &Plan) -> Result<String, EmitError> {
    let mut segments = plan.segments.clone().ok_or(EmitError::NoSegments)?;
    Regions::resolve(graph, &segments)?;
    modules::name(graph, &ModuleRegions::of(graph), &mut segments)?;
    segments.sort_by_key(|s| s.start);

    // Without recorded calls, one path may stand for all modules in a container that is never called.
    let is_exact = graph.trace().modules.as_ref().is_some_and(|m| !m.is_empty());
    let runs = needs(&segments, &|s| s.modules.len() > 1 || !is_exact);
    let keeps = needs(&segments, &keeps_results);
    let parts: Vec<Part<'_>> =
        [(true, REGIONS), (runs, RUNS), (keeps, KEEPING)].iter().filter(|p| p.0).map(|p| Part::of(p.1)).collect();
    let mut out = format!("\"\"\"{}\"\"\"\n\n{}\n\n", about(graph, plan, &segments), imports(&parts));
    if let Some(predicted) = plan.predicted {
        let _ = write!(out, "PEAK = {}\n\"\"\"The predicted peak of the step in bytes.\"\"\"\n\n", predicted.peak);
    }
    let regions: Vec<String> = segments.iter().map(|s| region(s, 4)).collect();
    let plan = if regions.is_empty() { "[]".into() } else { format!("[\n{},\n]", regions.join(",\n")) };
    let options = [(runs, ", runs=Run"), (keeps, ", keeping=keeping")];
    let options: String = options.iter().filter(|o| o.0).map(|o| o.1).collect();
    let bodies: Vec<&str> = parts.iter().map(|p| p.body).collect();
    let _ = write!(
        out,
        "PLAN: list[dict[str, Any]] = {plan}\n\
         \"\"\"The regions to recompute: modules, or siblings that are called one after the other.\"\"\"\n\n\n\
         def apply(model: nn.Module) -> nn.Module:\n    \
             \"\"\"Let the model recompute by the plan; returns the same model.\"\"\"\n    \
             return wrap(model, PLAN{options})\n\n\n\
         def remove(model: nn.Module) -> nn.Module:\n    \
             \"\"\"Undo ``apply``.\"\"\"\n    \
             return unwrap(model)\n\n\n\
         class ApplyError(RuntimeError):\n    \
             \"\"\"The plan cannot be applied to this model, or the model left the path that was planned.\"\"\"\n\n\n{}\n",
        bodies.join("\n\n\n")
    );
    Ok(out)
}

/// Does any region, or a region in it, have a property?
fn needs(segments: &[Segment], has: &dyn Fn(&Segment) -> bool) -> bool {
    segments.iter().any(|s| has(s) || needs(&s.inner, has))
}

fn keeps_results(segment: &Segment) -> bool {
    !segment.save.is_empty() || !segment.kept.is_empty()
}

/// What the file says of itself.
fn about(graph: &Graph, plan: &Plan, segments: &[Segment]) -> String {
    let count = |n: usize| if n == 1 { "1 region".into() } else { format!("{n} regions") };
    let mut out =
        format!("Activation checkpointing for {}: {} to recompute.\n\n", prose(graph.name()), count(segments.len()));
    if let (Some(with), Some(without)) = (plan.predicted, plan.without) {
        let share = with.peak as f64 / without.peak.max(1) as f64 * 100.0;
        let (peak, plain) = (human(with.peak), human(without.peak));
        let _ = writeln!(out, "Predicted peak: {peak} ({} bytes) instead of {plain} ({share:.1}%).", with.peak);
    }
    if let Some(again) = plan.recompute {
        let _ = writeln!(
            out,
            "Recomputation takes {:.1}% of the time of forward and backward pass.",
            again.overhead * 100.0
        );
    }
    let algorithm = prose(&plan.algorithm);
    let _ = match (plan.status, plan.objective) {
        (Status::Feasible, _) => writeln!(out, "Planned by remat {} ({algorithm}).", env!("CARGO_PKG_VERSION")),
        (Status::Optimal, objective) => {
            let what = match objective {
                Objective::MinPeak => "no plan of its kind has a smaller peak",
                Objective::MinTime => "no plan of its kind recomputes less within the budget",
            };
            writeln!(out, "Planned by remat {} ({algorithm}), and proven: {what}.", env!("CARGO_PKG_VERSION"))
        }
    };
    out.push_str(
        "
Save this file as ``checkpointing.py``, say. It needs PyTorch 2.4 or newer, and not remat:

    import checkpointing

    checkpointing.apply(model)   # once, before DistributedDataParallel; then train as before
    checkpointing.remove(model)  # and the model runs as it did

Parameters, state-dict keys, hooks and ``train()``/``eval()`` stay as they are. The peak is that of the step that was
recorded, with its shapes; it counts tensors, not the workspaces of kernels and the fragmentation of the allocator.
",
    );
    out
}

/// A region as a dictionary.
fn region(segment: &Segment, indent: usize) -> String {
    let within = indent + 4;
    let mut fields = vec![strings("modules", &segment.modules, within)];
    if segment.results.iter().any(|r| matches!(r, Some(Returned::Tuple(_)))) {
        let results: Vec<String> = segment.results.iter().map(|r| returned(r.as_ref())).collect();
        fields.push(list("\"results\": ", within, ['[', ']'], &results, ""));
    }
    if !segment.save.is_empty() {
        fields.push(strings("save", &segment.save, within));
    }
    if !segment.kept.is_empty() {
        let kept: Vec<String> = segment
            .kept
            .iter()
            .map(|(name, numbers)| {
                let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
                format!("{}: [{}]", string(name), numbers.join(", "))
            })
            .collect();
        fields.push(list("\"kept\": ", within, ['{', '}'], &kept, ""));
    }
    if !segment.inner.is_empty() {
        let inner: Vec<String> = segment.inner.iter().map(|s| region(s, within + 4)).collect();
        fields.push(format!("{0}\"inner\": [\n{1},\n{0}]", " ".repeat(within), inner.join(",\n")));
    }
    let margin = " ".repeat(indent);
    if let [field] = fields.as_slice()
        && !field.contains('\n')
        && field.len() < 116
    {
        return format!("{margin}{{{}}}", field.trim_start());
    }
    format!("{margin}{{\n{},\n{margin}}}", fields.join(",\n"))
}

fn strings(key: &str, values: &[String], indent: usize) -> String {
    let values: Vec<String> = values.iter().map(|v| string(v)).collect();
    list(&format!("\"{key}\": "), indent, ['[', ']'], &values, "")
}

/// What a call returns, as the file says it.
fn returned(result: Option<&Returned>) -> String {
    match result {
        Some(Returned::Tuple(items)) => {
            let items: Vec<&str> = items.iter().map(|i| if i.is_some() { "\"tensor\"" } else { "None" }).collect();
            format!("[{}]", items.join(", "))
        }
        Some(Returned::One(_)) => "\"tensor\"".into(),
        None => "None".into(),
    }
}
