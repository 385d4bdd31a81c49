//! `remat check`: the independent verifier.

use std::ffi::OsString;

use remat::Plan;
use remat::algorithms::checker::{self, CheckError, Verified};
use remat::bytes;
use remat::graphs::{Document, Source};
use serde::Serialize;

use super::rules;
use crate::args::{self, Format};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{input, output, table};

/// What to verify.
pub(crate) struct Settings {
    graph: Source,
    plan: Source,
    device: Option<OsString>,
    format: Format,
}

impl Settings {
    pub(crate) fn resolve(args: &args::Check) -> Result<Self, Failure> {
        let (graph, plan) = (input::source(&args.graph), input::plan_source(&args.plan));
        input::refuse_two_stdin([&graph, &plan])?;
        Ok(Self { graph, plan, device: args.device.clone(), format: args.format })
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    valid: bool,
    graph: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mismatches: Vec<Claim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<Replayed>,
}

#[derive(Serialize)]
struct Claim {
    field: &'static str,
    claimed: u64,
    found: u64,
}

/// What the replay of an accepted plan found, in bytes.
#[derive(Serialize)]
#[serde(untagged)]
enum Replayed {
    Graph {
        #[serde(rename = "static")]
        static_bytes: u64,
        peak: u64,
        peak_forward: u64,
        peak_backward: u64,
        after_forward: u64,
        after_backward: u64,
        regions: u64,
        operators: u64,
        flops: u64,
        bytes: u64,
        /// Seconds; absent where the plan's device is not known.
        #[serde(skip_serializing_if = "Option::is_none")]
        time: Option<f64>,
    },
    Chain {
        peak: u64,
        checkpoints: usize,
    },
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let document = input::document(&settings.graph)?;
    let plan = input::plan(&settings.plan)?;
    let name = match &document {
        Document::Graph(graph) => graph.name(),
        Document::Chain(chain) => &chain.name,
    };
    let times = settings.device.as_ref().map(input::device).transpose()?;
    let progress = Progress::new(format!("verifying {}", settings.plan.label()));
    let checked = match &document {
        Document::Graph(graph) => match &times {
            Some(model) => checker::check_plan_with(graph, &plan, Some(model)),
            None => checker::check_plan(graph, &plan),
        }
        .map(|v| replayed(&v)),
        Document::Chain(chain) => {
            let checkpoints = plan.checkpoints.as_ref().map_or(0, Vec::len);
            let checked = checker::check_chain_plan(chain, &plan, remat::chain_objective(&plan));
            checked.map(|peak| Replayed::Chain { peak, checkpoints })
        }
    };
    drop(progress);
    match checked {
        Ok(replayed) => accepted(settings, name, &plan, replayed),
        Err(error @ (CheckError::WrongKind(_) | CheckError::Format(_))) => {
            Err(input::wrong_kind(&settings.plan, &error))
        }
        Err(error @ CheckError::OtherGraph { .. }) => {
            refused(settings, name, &error).map_err(|no| no.hint(rules::OTHER_GRAPH))
        }
        Err(error) => refused(settings, name, &error),
    }
}

fn accepted(settings: &Settings, graph: &str, plan: &Plan, replayed: Replayed) -> Result<(), Failure> {
    if settings.format == Format::Json {
        let answer = Answer { valid: true, graph, error: None, mismatches: Vec::new(), replayed: Some(replayed) };
        return output::data(&output::json(&answer)?);
    }
    let size = |b: u64| format!("{} ({b} B)", bytes::human(b));
    let found = match replayed {
        Replayed::Graph { static_bytes, peak, peak_forward, peak_backward, regions, operators, flops, .. } => {
            let mut pairs = vec![
                ("peak", size(peak)),
                ("  forward", size(peak_forward)),
                ("  backward", size(peak_backward)),
                ("static", size(static_bytes)),
                (
                    "recomputed",
                    format!(
                        "{} in {}, {}",
                        table::count(operators, "operator"),
                        table::count(regions, "region"),
                        table::flops(flops)
                    ),
                ),
            ];
            // The plan was made for an optimizer, whose states are no part of the graph.
            let states = plan.predicted.map_or(0, |p| p.static_bytes.saturating_sub(static_bytes));
            if states > 0 {
                pairs.push(("optimizer", format!("{} more in the plan's own numbers", size(states))));
            }
            table::pairs(pairs)
        }
        Replayed::Chain { peak, checkpoints } => {
            table::pairs([("peak", size(peak)), ("checkpoints", checkpoints.to_string())])
        }
    };
    let head = format!("{} is a valid plan for {graph}", settings.plan.label());
    output::data(&format!("{}\n{found}", output::printable(&head)))
}

fn refused(settings: &Settings, graph: &str, error: &CheckError) -> Result<(), Failure> {
    if settings.format == Format::Json {
        let mismatches = match error {
            CheckError::Mismatch(all) => {
                all.iter().map(|m| Claim { field: m.field, claimed: m.claimed, found: m.found }).collect()
            }
            _ => Vec::new(),
        };
        let answer = Answer { valid: false, graph, error: Some(error.to_string()), mismatches, replayed: None };
        output::data(&output::json(&answer)?)?;
    }
    Err(Failure::no(format!("{} is refused:\n{error}", settings.plan.label())))
}

fn replayed(v: &Verified) -> Replayed {
    Replayed::Graph {
        static_bytes: v.static_bytes,
        peak: v.peak,
        peak_forward: v.peak_forward,
        peak_backward: v.peak_backward,
        after_forward: v.after_forward,
        after_backward: v.after_backward,
        regions: v.regions_recomputed,
        operators: v.operators_recomputed,
        flops: v.flops_recomputed,
        bytes: v.bytes_recomputed,
        time: v.ns_recomputed.map(|ns| ns as f64 / 1e9),
    }
}
