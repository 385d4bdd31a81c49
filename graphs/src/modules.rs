//! Module calls as ranges of operators, nested as the modules are.

use crate::graph::Graph;

/// Deepest module call that is told apart; what lies deeper belongs to it. Bounds time and memory for hostile paths.
pub const MODULE_DEPTH_LIMIT: u32 = 64;

/// One call of a module: operators `start..end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// First operator.
    pub start: u32,
    /// One past the last operator.
    pub end: u32,
    /// Enclosing call, as an index into [`ModuleTree::calls`]; absent for the model itself.
    pub parent: Option<u32>,
    /// Nesting depth: 0 for the model itself.
    pub depth: u32,
    /// Calls directly inside, in order of operators.
    pub inner: Vec<u32>,
    path: Path,
}

/// Where the path of a call is written, so that deep trees need no copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Model,
    /// The first so many bytes of the operator's module path.
    Operator(u32, usize),
    /// An entry of the trace's own list of calls.
    Recorded(usize),
}

/// All module calls of a graph, outer before inner, in order of operators; the first is the model itself.
///
/// Taken from the trace's `modules` where it has them. Otherwise read off the operators' module paths: a call of module
/// `a.b` is a maximal run of operators whose paths lie in `a.b`, within one call of `a`. So two calls of a module in
/// direct succession look like one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleTree {
    calls: Vec<Call>,
}

impl ModuleTree {
    /// The tree of a graph. Time O(N d + m log m) for N operators, m recorded calls and depth d.
    pub fn of(graph: &Graph) -> Self {
        let end = graph.loss() + 1;
        let model = Call { start: 0, end, parent: None, depth: 0, inner: Vec::new(), path: Path::Model };
        let mut tree = Self { calls: vec![model] };
        match &graph.trace().modules {
            Some(recorded) if !recorded.is_empty() => tree.nest_recorded(recorded),
            _ => tree.nest_paths(graph),
        }
        tree
    }

    /// All calls, outer before inner.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Path of a call's module, for example `layer1.0`; empty for the model itself.
    pub fn path<'g>(&self, graph: &'g Graph, call: u32) -> &'g str {
        match self.calls[call as usize].path {
            Path::Model => "",
            Path::Operator(o, length) => &graph.operators()[o as usize].module[..length],
            Path::Recorded(i) => graph.trace().modules.as_deref().map_or("", |m| m[i].path.as_str()),
        }
    }

    /// What the trace says of a call, beyond its operators.
    pub fn recorded<'g>(&self, graph: &'g Graph, call: u32) -> Option<&'g crate::trace::ModuleCall> {
        match self.calls[call as usize].path {
            Path::Recorded(i) => graph.trace().modules.as_deref().map(|m| &m[i]),
            _ => None,
        }
    }

    /// The calls that partition the forward pass down to `depth`: those of that depth, and shallower ones without inner
    /// calls. Operators that a shallower module runs between its inner calls belong to none of them. Time O(calls).
    pub fn at_depth(&self, depth: u32) -> impl Iterator<Item = u32> + '_ {
        let fits = move |c: &Call| c.depth == depth || (c.depth < depth && c.inner.is_empty());
        (0..self.calls.len() as u32).filter(move |&i| fits(&self.calls[i as usize]))
    }

    /// The largest calls that lie within operators `start..end` as a whole, in order; the model itself is none of them.
    /// Time O(calls).
    pub fn within(&self, start: u32, end: u32) -> Vec<u32> {
        let lies_within = |c: &Call| start <= c.start && c.end <= end && c.start < c.end;
        let is_largest = |&i: &u32| {
            let call = &self.calls[i as usize];
            call.parent.is_some_and(|p| p == 0 || !lies_within(&self.calls[p as usize])) && lies_within(call)
        };
        (0..self.calls.len() as u32).filter(is_largest).collect()
    }

    /// Safe cuts at which a call of depth `1 ..= depth` starts or ends, with cut 0 and the cut before the loss where
    /// these are safe; ascending. Time O(operators + calls).
    pub fn boundaries(&self, graph: &Graph, depth: u32) -> Vec<u32> {
        let mut is_boundary = vec![false; graph.loss() as usize + 2];
        is_boundary[0] = true;
        is_boundary[graph.loss() as usize] = true;
        for call in self.calls.iter().filter(|c| c.depth >= 1 && c.depth <= depth) {
            is_boundary[call.start as usize] = true;
            is_boundary[call.end as usize] = true;
        }
        graph.safe_cuts().filter(|&k| is_boundary[k as usize]).collect()
    }

    fn open(&mut self, start: u32, parent: u32, path: Path) -> u32 {
        let depth = self.calls[parent as usize].depth + 1;
        let index = self.calls.len() as u32;
        self.calls.push(Call { start, end: start, parent: Some(parent), depth, inner: Vec::new(), path });
        self.calls[parent as usize].inner.push(index);
        index
    }

    fn nest_paths(&mut self, graph: &Graph) {
        // Open calls from the model inwards, and how many bytes of the previous operator's path each one spans.
        let mut open: Vec<(u32, usize)> = vec![(0, 0)];
        let mut previous = "";
        for (o, operator) in graph.operators().iter().enumerate() {
            let (o, path) = (o as u32, operator.module.as_str());
            let shared = open.iter().take_while(|(_, length)| lies_in(path, &previous[..*length])).count();
            for (call, _) in open.drain(shared..) {
                self.calls[call as usize].end = o;
            }
            while let Some(&(outer, length)) = open.last()
                && length < path.len()
                && open.len() <= MODULE_DEPTH_LIMIT as usize
            {
                let from = if length == 0 { 0 } else { length + 1 };
                let end = path[from..].find('.').map_or(path.len(), |at| from + at);
                // An empty component adds nothing to tell apart.
                let end = if end == 0 { path.len() } else { end };
                let call = self.open(o, outer, Path::Operator(o, end));
                open.push((call, end));
            }
            previous = path;
        }
        let end = graph.loss() + 1;
        for (call, _) in open {
            self.calls[call as usize].end = end;
        }
    }

    fn nest_recorded(&mut self, recorded: &[crate::trace::ModuleCall]) {
        let mut order: Vec<usize> = (0..recorded.len()).filter(|&i| recorded[i].start < recorded[i].end).collect();
        // Outer before inner; of two equal ranges the one with the shorter path is around the other.
        order.sort_by_key(|&i| {
            let m = &recorded[i];
            (m.start, std::cmp::Reverse(m.end), m.path.len(), i)
        });
        let mut open = vec![0u32];
        for i in order {
            let m = &recorded[i];
            if m.path.is_empty() && m.start == 0 && m.end == self.calls[0].end {
                continue;
            }
            while open.len() > 1 && open.last().is_some_and(|&c| self.calls[c as usize].end <= m.start) {
                open.pop();
            }
            let Some(&outer) = open.last() else { continue };
            if open.len() > MODULE_DEPTH_LIMIT as usize {
                continue;
            }
            let call = self.open(m.start, outer, Path::Recorded(i));
            self.calls[call as usize].end = m.end;
            open.push(call);
        }
    }
}

/// Is `path` the module `outer` or inside it?
fn lies_in(path: &str, outer: &str) -> bool {
    outer.is_empty() || path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
