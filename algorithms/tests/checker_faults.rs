//! Planted faults: one test for each kind that the checker must find, in plans and in traces.

use proptest::prelude::*;
use remat_algorithms::checker::{CheckError, Step, check};
use remat_algorithms::plan::Segment;
use remat_graphs::{BackwardKernel, Graph, StorageKind, Trace, zoo};

/// ResNet-18: operator 2 is a batch normalisation whose result (storage 125) operator 3 changes in place.
fn resnet() -> Graph {
    zoo::load("resnet18-b64").unwrap()
}

fn bert() -> Graph {
    zoo::load("bert-base-b16-s256").unwrap()
}

fn nested(start: u32, end: u32, inner: Vec<Segment>) -> Segment {
    Segment { inner, ..Segment::new(start, end) }
}

fn planted(graph: &Graph, plant: impl FnOnce(&mut Trace)) -> Graph {
    let mut trace = graph.trace().clone();
    plant(&mut trace);
    Graph::new(trace).unwrap()
}

#[test]
fn a_region_must_be_a_range_before_the_loss() {
    let graph = resnet();
    let loss = graph.loss();
    for (start, end) in [(5, 5), (9, 5), (0, loss + 1), (u32::MAX, u32::MAX), (0, u32::MAX)] {
        let path = "segments[0]".into();
        assert_eq!(
            check(&graph, &[Segment::new(start, end)]),
            Err(CheckError::Range { path, start, end, loss }),
            "{start}..{end}"
        );
    }
}

#[test]
fn regions_must_not_overlap() {
    let found = check(&resnet(), &[Segment::new(11, 23), Segment::new(0, 14)]);
    let path = "segments[0]".into();
    assert_eq!(found, Err(CheckError::Overlap { path, start: 11, end: 23, other_start: 0, other_end: 14 }));
}

#[test]
fn an_inner_region_must_lie_inside() {
    let found = check(&resnet(), &[nested(11, 23, vec![Segment::new(11, 23), Segment::new(23, 35)])]);
    let path = "segments[0].inner[1]".into();
    assert_eq!(found, Err(CheckError::NotNested { path, start: 23, end: 35, outer_start: 11, outer_end: 23 }));
}

#[test]
fn nesting_is_bounded() {
    let deep = |depth| (1..depth).fold(Segment::new(11, 23), |inner, _| nested(11, 23, vec![inner]));
    assert!(check(&resnet(), &[deep(32)]).is_ok());
    assert!(matches!(check(&resnet(), &[deep(33)]), Err(CheckError::TooDeep { limit: 32, .. })));
}

#[test]
fn cuts_inside_a_mutated_span_are_unsafe() {
    let unsafe_cut = |at: &str| Err(CheckError::UnsafeCut { path: at.into(), cut: 3, storage: 125, operator: 3 });
    assert_eq!(check(&resnet(), &[Segment::new(0, 3)]), unsafe_cut("segments[0]"));
    assert_eq!(check(&resnet(), &[Segment::new(3, 11)]), unsafe_cut("segments[0]"));
    assert_eq!(check(&resnet(), &[nested(0, 11, vec![Segment::new(0, 3)])]), unsafe_cut("segments[0].inner[0]"));
    assert!(check(&resnet(), &[Segment::new(2, 4)]).is_ok());
}

#[test]
fn a_mutated_input_makes_all_cuts_before_unsafe() {
    let graph = resnet();
    let input = graph.storages().iter().position(|s| s.kind == StorageKind::Input).unwrap() as u32;
    let graph = planted(&graph, |t| t.operators[4].kernels[0].mutates.push(input));
    let found = check(&graph, &[Segment::new(0, 11)]);
    assert!(matches!(found, Err(CheckError::UnsafeCut { cut: 0, operator: 4, .. })), "{found:?}");
    assert!(check(&graph, &[Segment::new(5, 11)]).is_ok());
}

#[test]
fn a_mutated_parameter_is_not_replayed() {
    let graph = planted(&resnet(), |t| t.operators[4].kernels[0].mutates.push(1));
    let found = check(&graph, &[Segment::new(0, 11)]);
    assert!(matches!(found, Err(CheckError::ReplayedMutation { operator: 4, storage: 1, .. })), "{found:?}");
    assert!(check(&graph, &[Segment::new(5, 11)]).is_ok());
}

#[test]
fn keep_names_own_operators() {
    let keep = |o| Segment { keep: vec![o], ..nested(5, 18, vec![Segment::new(11, 14)]) };
    for operator in [4, 11, 13, 18, u32::MAX] {
        let path = "segments[0]".into();
        assert_eq!(check(&resnet(), &[keep(operator)]), Err(CheckError::KeepOutside { path, operator }));
    }
    assert!(check(&resnet(), &[keep(5)]).is_ok());
}

#[test]
fn a_mutated_result_is_not_kept() {
    // The result of a batch normalisation, the operator that changes it, and a counter.
    for (operator, storage, by) in [(2, 125, 3), (3, 125, 3), (1, 64, 1)] {
        let found = check(&resnet(), &[Segment { keep: vec![operator], ..Segment::new(0, 11) }]);
        let path = "segments[0]".into();
        assert_eq!(found, Err(CheckError::KeepMutated { path, operator, kernel: 0, storage, by }));
    }
    let save = Segment { save: vec!["cudnn_batch_norm.default".into()], ..Segment::new(0, 11) };
    assert!(matches!(check(&resnet(), &[save]), Err(CheckError::KeepMutated { operator: 2, .. })));
}

#[test]
fn what_a_kept_view_looks_at_is_not_mutated() {
    let graph = planted(&bert(), |t| t.operators[57].kernels[0].mutates.push(258));
    let found = check(&graph, &[Segment { keep: vec![56], ..Segment::new(40, 81) }]);
    assert!(matches!(found, Err(CheckError::KeepMutated { operator: 56, storage: 258, by: 57, .. })), "{found:?}");
}

#[test]
fn a_backward_kernel_does_not_read_what_was_released() {
    // Storage 227 is a scalar that operator 40 of BERT makes and reads itself; nobody saves it.
    let graph = bert();
    let kernel = graph.backward().len() as u32;
    let reading = BackwardKernel {
        of: None,
        node: None,
        op: "clone.default".into(),
        reads: vec![227],
        writes: Vec::new(),
        mutates: Vec::new(),
        flops: 0,
        bytes: 0,
        dtype: None,
        ns: None,
    };
    let graph = planted(&graph, |t| t.backward.push(reading));
    let step = Step::Backward { kernel };
    assert_eq!(check(&graph, &[]), Err(CheckError::Dead { step, storage: 227 }));
}

#[test]
fn nothing_is_saved_after_it_was_released() {
    // Operator 40 of BERT makes scalar 227 for itself; a save of it two operators later comes too late.
    let graph = planted(&bert(), |t| t.operators[42].saves.push((227, 0)));
    let found = check(&graph, &[]);
    assert_eq!(found, Err(CheckError::Dead { step: Step::Save { operator: 42, after: 0 }, storage: 227 }));
}

#[test]
fn a_saved_tensor_that_the_forward_pass_still_holds_may_be_gone_in_a_region() {
    // Operator 6 of ResNet-18 saves storage 124, which operator 2 reads last and, outside regions, autograd still holds.
    let graph = planted(&resnet(), |t| t.operators[6].saves.push((124, 0)));
    assert!(check(&graph, &[]).is_ok());
    let found = check(&graph, &[Segment::new(0, 11)]);
    assert!(found.is_ok(), "its own operators save it in the recomputation: {found:?}");
    let found = check(&graph, &[Segment::new(0, 4)]);
    assert_eq!(found, Err(CheckError::Dead { step: Step::Save { operator: 6, after: 0 }, storage: 124 }));
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let leaf = (0u32..95, 0u32..95, prop::collection::vec(0u32..95, 0..2))
        .prop_map(|(start, end, keep)| Segment { keep, ..Segment::new(start, end) });
    let region = leaf.prop_recursive(3, 12, 4, |inner| {
        (0u32..95, 1u32..60, prop::collection::vec(inner, 0..4))
            .prop_map(|(start, long, inner)| Segment { inner, ..Segment::new(start, start + long) })
    });
    prop::collection::vec(region, 0..4)
}

proptest! {
    /// Whatever the segments, the checker answers: it neither panics nor lets a malformed region through.
    #[test]
    fn any_segments_get_an_answer(segments in segments()) {
        let graph = resnet();
        if check(&graph, &segments).is_ok() {
            for s in &segments {
                prop_assert!(s.start < s.end && s.end <= graph.loss());
                prop_assert!(graph.is_safe_cut(s.start) && graph.is_safe_cut(s.end));
            }
        }
    }

    /// Where all cuts are safe, a region never changes what the step leaves behind, and never costs less than none.
    #[test]
    fn regions_of_safe_cuts_leave_the_same_behind(a in 0usize..1000, b in 0usize..1000, c in 0usize..1000) {
        let graph = resnet();
        let cuts: Vec<u32> = graph.safe_cuts().collect();
        let mut at = [a, b, c].map(|i| cuts[i % cuts.len()]);
        at.sort_unstable();
        let plain = check(&graph, &[]).unwrap();
        let segments: Vec<Segment> =
            at.windows(2).filter(|w| w[0] < w[1]).map(|w| Segment::new(w[0], w[1])).collect();
        let v = check(&graph, &segments).unwrap();
        prop_assert_eq!(v.after_backward, plain.after_backward);
        prop_assert!(v.after_forward <= plain.after_forward + graph.sizes().iter().sum::<u64>());
        prop_assert!(v.regions_recomputed <= segments.len() as u64);
    }
}
