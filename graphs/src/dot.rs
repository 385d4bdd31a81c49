//! The training graph in Graphviz' DOT language.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use petgraph::visit::EdgeRef;

use crate::dag::{Dag, Edge, Relation, Vertex};
use crate::graph::Graph;

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawing {
    /// Draw the backward pass, too.
    pub backward: bool,
    /// How many components of the module paths make a cluster; 0 for no clusters.
    pub depth: u32,
}

impl Default for Drawing {
    /// The forward pass, clustered by top modules: readable for some hundred operators.
    fn default() -> Self {
        Self { backward: false, depth: 1 }
    }
}

/// Draws a graph: operators as boxes in clusters of their modules, in-place and random ones marked; edges carry what
/// they transport. The backward pass is grey, its saved tensors are dashed. Time O(size of the graph).
pub fn dot(graph: &Graph, drawing: Drawing) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, graph, drawing);
    out
}

fn write(out: &mut String, graph: &Graph, drawing: Drawing) -> fmt::Result {
    let dag = Dag::of(graph);
    writeln!(out, "digraph {} {{", quoted(graph.name()))?;
    writeln!(out, "  rankdir=TB; newrank=true; fontname=\"sans-serif\";")?;
    writeln!(out, "  node [shape=box, style=filled, fillcolor=white, fontname=\"sans-serif\", fontsize=10];")?;
    writeln!(out, "  edge [fontname=\"sans-serif\", fontsize=8, color=\"#555555\"];")?;
    let mut clusters: BTreeMap<(u32, &str), Vec<u32>> = BTreeMap::new();
    let mut plain = Vec::new();
    let mut first_of: BTreeMap<&str, u32> = BTreeMap::new();
    for (o, operator) in graph.operators().iter().enumerate() {
        match prefix(&operator.module, drawing.depth) {
            "" => plain.push(o as u32),
            path => {
                let first = *first_of.entry(path).or_insert(o as u32);
                clusters.entry((first, path)).or_default().push(o as u32);
            }
        }
    }
    for (i, ((_, path), operators)) in clusters.iter().enumerate() {
        writeln!(out, "  subgraph cluster_{i} {{")?;
        writeln!(
            out,
            "    label={}; style=\"rounded,filled\"; color=\"#bbbbbb\"; fillcolor=\"#f4f6fa\";",
            quoted(path)
        )?;
        for &o in operators {
            operator(out, "    ", graph, o)?;
        }
        writeln!(out, "  }}")?;
    }
    for o in plain {
        operator(out, "  ", graph, o)?;
    }
    if drawing.backward {
        for (i, node) in graph.nodes().iter().enumerate() {
            let first = &graph.backward()[node.start as usize];
            let name = first.node.as_deref().unwrap_or(&first.op);
            let name = name.strip_prefix("torch::autograd::").unwrap_or(name);
            writeln!(out, "  b{i} [label={}, fillcolor=\"#e4e4e4\", color=\"#999999\"];", quoted(name))?;
        }
    }
    for edge in dag.graph.edge_references() {
        let (source, target) = (dag.graph[edge.source()], dag.graph[edge.target()]);
        let is_backward = |v| matches!(v, Vertex::Backward(_));
        if drawing.backward || !(is_backward(source) || is_backward(target)) {
            writeln!(out, "  {} -> {} [{}];", name(source), name(target), attributes(graph, edge.weight()))?;
        }
    }
    writeln!(out, "}}")
}

fn operator(out: &mut String, indent: &str, graph: &Graph, o: u32) -> fmt::Result {
    let operator = &graph.operators()[o as usize];
    let in_place = operator.kernels.iter().any(|k| !k.mutates.is_empty());
    let fill = match () {
        () if o == graph.loss() => "#f6d5d5",
        () if operator.random => "#fdf0c8",
        () if in_place => "#dcefdc",
        () => "white",
    };
    let label = format!("{o} {}\n{}", operator.name, operator.module);
    writeln!(out, "{indent}f{o} [label={}, fillcolor={}];", quoted(label.trim_end()), quoted(fill))
}

fn name(vertex: Vertex) -> String {
    match vertex {
        Vertex::Forward(o) | Vertex::Loss(o) => format!("f{o}"),
        Vertex::Backward(i) => format!("b{i}"),
    }
}

fn attributes(graph: &Graph, edge: &Edge) -> String {
    let bytes: u64 = edge.storages.iter().map(|&s| graph.size(s)).sum();
    let label = quoted(&format!("{} ({})", list(&edge.storages), human(bytes)));
    match edge.relation {
        Relation::Data => format!("label={label}"),
        Relation::Saved => format!("label={label}, style=dashed, color=\"#3366aa\", constraint=false"),
        Relation::Order => format!("label={label}, style=dotted, color=\"#aa6633\""),
    }
}

/// The first few storages of an edge.
fn list(storages: &[u32]) -> String {
    let shown: Vec<String> = storages.iter().take(3).map(ToString::to_string).collect();
    let more = if storages.len() > 3 { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// The first `depth` components of a module path.
fn prefix(path: &str, depth: u32) -> &str {
    match depth {
        0 => "",
        _ => path.match_indices('.').nth(depth as usize - 1).map_or(path, |(at, _)| &path[..at]),
    }
}

/// Bytes with a binary unit and one decimal, rounded down.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let unit = (bytes.max(1).ilog2() as usize / 10).min(UNITS.len() - 1);
    if unit == 0 {
        return format!("{bytes} B");
    }
    let scale = 1u64 << (10 * unit);
    format!("{}.{} {}", bytes / scale, bytes % scale * 10 / scale, UNITS[unit])
}

/// A quoted DOT string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\nd\u{1b}"), r#""a\"b\\c\nd ""#);
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(1023), "1023 B");
        assert_eq!(human(1536), "1.5 KiB");
        assert_eq!(human((1 << 30) - 1), "1023.9 MiB");
        assert_eq!(human(u64::MAX), "16383.9 PiB");
    }

    #[test]
    fn prefixes_end_at_dots() {
        assert_eq!(prefix("a.b.c", 2), "a.b");
        assert_eq!(prefix("a.b", 5), "a.b");
        assert_eq!(prefix("a.b", 0), "");
    }
}
