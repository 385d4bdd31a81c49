//! The training step as a directed acyclic graph: forward operators, loss and backward nodes, joined by storages.

use petgraph::graph::{DiGraph, NodeIndex};

use crate::graph::Graph;

/// What a vertex of the [`Dag`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vertex {
    /// An operator of the forward pass.
    Forward(u32),
    /// The loss, the last operator.
    Loss(u32),
    /// A node of the backward pass, as an index into [`Graph::nodes`].
    Backward(u32),
}

/// Why one vertex needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// It reads what the other one made or changed last.
    Data,
    /// It reads what the other one saved for it.
    Saved,
    /// It changes in place what the other one reads, so it must come later.
    Order,
}

/// An edge of the [`Dag`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Why the target needs the source.
    pub relation: Relation,
    /// Storages it needs, ascending.
    pub storages: Vec<u32>,
}

/// A training step as a DAG. Vertices come in execution order, so every edge leads from a smaller to a larger index.
#[derive(Debug, Clone)]
pub struct Dag {
    /// The graph itself.
    pub graph: DiGraph<Vertex, Edge>,
    operators: u32,
}

impl Dag {
    /// Builds the DAG: one vertex per operator and per backward node; between two vertices at most one edge per relation.
    /// Static storages (parameters, buffers, inputs, constants) that nobody changes make no edges.
    ///
    /// # Complexity
    /// Time O(K log K), memory O(K + N) for N vertices and K kernel arguments and saves.
    pub fn of(graph: &Graph) -> Self {
        let operators = graph.operators().len() as u32;
        let mut dag = DiGraph::with_capacity(operators as usize + graph.nodes().len(), 0);
        let mut build = Builder { touched: vec![Touched::default(); graph.storages().len()], needs: Vec::new() };
        for (o, operator) in graph.operators().iter().enumerate() {
            let o = o as u32;
            dag.add_node(if o == graph.loss() { Vertex::Loss(o) } else { Vertex::Forward(o) });
            for kernel in &operator.kernels {
                build.kernel(o, &kernel.reads, &kernel.mutates, &kernel.writes);
            }
            build.join(&mut dag, o);
        }
        for (i, node) in graph.nodes().iter().enumerate() {
            let vertex = operators + i as u32;
            dag.add_node(Vertex::Backward(i as u32));
            for kernel in &graph.backward()[node.start as usize..node.end as usize] {
                // Saved tensors come from the operator that saved them, whoever made them.
                let reads = kernel.reads.iter().copied().filter(|s| node.needs.binary_search(s).is_err());
                build.kernel(vertex, &reads.collect::<Vec<_>>(), &kernel.mutates, &kernel.writes);
            }
            if let Some(of) = node.of {
                build.needs.extend(node.needs.iter().map(|&s| (of, Relation::Saved, s)));
            }
            build.join(&mut dag, vertex);
        }
        Self { graph: dag, operators }
    }

    /// Vertex of an operator.
    pub fn operator(&self, operator: u32) -> NodeIndex {
        NodeIndex::new(operator as usize)
    }

    /// Vertex of a backward node.
    pub fn node(&self, node: u32) -> NodeIndex {
        NodeIndex::new((self.operators + node) as usize)
    }
}

/// Who wrote a storage last, and who has read it since.
#[derive(Debug, Clone, Default)]
struct Touched {
    writer: Option<u32>,
    readers: Vec<u32>,
}

struct Builder {
    touched: Vec<Touched>,
    /// What the vertex at hand needs: source, relation, storage.
    needs: Vec<(u32, Relation, u32)>,
}

impl Builder {
    fn kernel(&mut self, vertex: u32, reads: &[u32], mutates: &[u32], writes: &[u32]) {
        for &s in reads.iter().chain(mutates) {
            let touched = &mut self.touched[s as usize];
            if let Some(writer) = touched.writer.filter(|&w| w != vertex) {
                self.needs.push((writer, Relation::Data, s));
            }
            if touched.readers.last() != Some(&vertex) {
                touched.readers.push(vertex);
            }
        }
        for &s in mutates {
            let touched = &mut self.touched[s as usize];
            let readers = std::mem::take(&mut touched.readers);
            self.needs.extend(readers.into_iter().filter(|&r| r != vertex).map(|r| (r, Relation::Order, s)));
            touched.writer = Some(vertex);
        }
        for &s in writes {
            self.touched[s as usize].writer = Some(vertex);
        }
    }

    /// Turns what the vertex needs into edges.
    fn join(&mut self, dag: &mut DiGraph<Vertex, Edge>, vertex: u32) {
        self.needs.sort_unstable();
        self.needs.dedup();
        for same in self.needs.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let storages = same.iter().map(|n| n.2).collect();
            let source = NodeIndex::new(same[0].0 as usize);
            dag.add_edge(source, NodeIndex::new(vertex as usize), Edge { relation: same[0].1, storages });
        }
        self.needs.clear();
    }
}
