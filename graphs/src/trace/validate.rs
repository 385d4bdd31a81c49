//! Finds every fault of a trace at once, each with its place in the document.

use super::{Faults, StorageKind, TRACE_FORMAT, Trace, cycles, saved_storages};
use crate::read::excerpt;

/// Total bytes (storages, traffic) and FLOPs of a document must stay below this, so that no sum can overflow a `u64`.
const TOTAL_LIMIT: u64 = 1 << 56;

/// Where a storage stands while the document is read in execution order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Always,
    NotYet,
    Forward,
    Backward,
}

/// Checks all that the format promises. Time O(S log S) for a document of size S, memory O(S).
///
/// # Errors
/// All faults found, in document order.
pub fn validate(trace: &Trace) -> Result<(), Faults> {
    let mut v = Validator { trace, faults: Faults::default(), written: Vec::new(), out_of_order: false };
    v.header();
    v.storages();
    v.forward();
    v.backward();
    if v.out_of_order {
        cycles::find(trace, &mut v.faults);
    }
    v.totals();
    v.modules();
    if v.faults.is_empty() { Ok(()) } else { Err(v.faults) }
}

struct Validator<'a> {
    trace: &'a Trace,
    faults: Faults,
    written: Vec<Written>,
    /// Was a storage read before it was written?
    out_of_order: bool,
}

/// The index lists of a kernel, alike in both passes.
struct Lists<'a> {
    reads: &'a [u32],
    writes: &'a [u32],
    mutates: &'a [u32],
}

impl Validator<'_> {
    fn header(&mut self) {
        let t = self.trace;
        if t.format != TRACE_FORMAT {
            self.faults
                .add(|| "format".into(), || format!("expected \"{TRACE_FORMAT}\", found \"{}\"", excerpt(&t.format)));
        }
        if t.block == 0 || t.block > 1 << 32 {
            self.faults.add(|| "block".into(), || format!("must be between 1 and 2^32 bytes, found {}", t.block));
        }
        if t.operators.is_empty() {
            self.faults.add(|| "operators".into(), || "is empty; the last operator must be the loss".into());
        }
        for (name, len) in
            [("storages", t.storages.len()), ("operators", t.operators.len()), ("backward", t.backward.len())]
        {
            if len >= u32::MAX as usize {
                self.faults
                    .add(|| name.into(), || format!("has {len} entries; at most {} can be indexed", u32::MAX - 1));
            }
        }
    }

    fn storages(&mut self) {
        let t = self.trace;
        for (i, s) in t.storages.iter().enumerate() {
            self.written.push(if s.kind.is_static() { Written::Always } else { Written::NotYet });
            match (s.kind, s.of) {
                (StorageKind::ParamGrad, None) => {
                    self.faults.add(|| format!("storages[{i}].of"), || "a param_grad must name its parameter".into());
                }
                (StorageKind::ParamGrad, Some(p))
                    if t.storages.get(p as usize).is_none_or(|p| p.kind != StorageKind::Param) =>
                {
                    self.faults.add(|| format!("storages[{i}].of"), || format!("{p} is not a parameter's storage"));
                }
                _ => {}
            }
            let Some(dies) = s.dies else { continue };
            if s.kind != StorageKind::Gradient {
                self.faults.add(
                    || format!("storages[{i}].dies"),
                    || format!("only a gradient dies in the backward pass, this is of kind {}", s.kind.name()),
                );
            } else if dies as usize >= t.backward.len() {
                self.faults.add(
                    || format!("storages[{i}].dies"),
                    || format!("{dies} is out of range: there are {} backward kernels", t.backward.len()),
                );
            }
        }
        for (i, &s) in t.outputs.iter().enumerate() {
            self.index(s, || format!("outputs[{i}]"));
        }
    }

    /// Is `s` a storage? Records a fault if not.
    fn index(&mut self, s: u32, path: impl FnOnce() -> String) -> bool {
        let ok = (s as usize) < self.trace.storages.len();
        if !ok {
            let n = self.trace.storages.len();
            self.faults.add(path, || format!("storage {s} is out of range: there are {n} storages"));
        }
        ok
    }

    fn kernel(&mut self, lists: &Lists<'_>, pass: Written, path: &dyn Fn() -> String) {
        for (field, list) in [("reads", lists.reads), ("mutates", lists.mutates)] {
            for (i, &s) in list.iter().enumerate() {
                let place = || format!("{}.{field}[{i}]", path());
                if self.index(s, place) && self.written[s as usize] == Written::NotYet {
                    self.out_of_order = true;
                    self.faults.add(place, || format!("storage {s} is read before any kernel has written it"));
                }
            }
        }
        for (i, &s) in lists.writes.iter().enumerate() {
            let place = || format!("{}.writes[{i}]", path());
            if !self.index(s, place) {
                continue;
            }
            let kind = self.trace.storages[s as usize].kind;
            let fits = match kind {
                StorageKind::Activation => pass == Written::Forward,
                StorageKind::Gradient | StorageKind::ParamGrad => pass == Written::Backward,
                _ => false,
            };
            match self.written[s as usize] {
                Written::Forward | Written::Backward => {
                    self.faults.add(place, || format!("storage {s} is written twice"));
                }
                _ if !fits => {
                    let pass = if pass == Written::Forward { "forward" } else { "backward" };
                    self.faults.add(place, || {
                        format!("storage {s} is of kind {}, which the {pass} pass cannot allocate", kind.name())
                    });
                }
                _ => self.written[s as usize] = pass,
            }
        }
    }

    fn forward(&mut self) {
        let t = self.trace;
        for (o, operator) in t.operators.iter().enumerate() {
            let mut order: Vec<usize> = (0..operator.saves.len()).collect();
            order.sort_by_key(|&i| operator.saves[i].1);
            let mut order = order.into_iter().peekable();
            for k in 0..=operator.kernels.len() {
                while let Some(i) = order.next_if(|&i| operator.saves[i].1 as usize == k) {
                    let (s, at) = operator.saves[i];
                    let place = || format!("operators[{o}].saves[{i}]");
                    if self.index(s, place) && self.written[s as usize] == Written::NotYet {
                        self.faults.add(place, || {
                            format!("storage {s} is saved after {at} kernels, before any kernel has written it")
                        });
                    }
                }
                if let Some(kernel) = operator.kernels.get(k) {
                    let lists = Lists { reads: &kernel.reads, writes: &kernel.writes, mutates: &kernel.mutates };
                    self.kernel(&lists, Written::Forward, &|| format!("operators[{o}].kernels[{k}]"));
                }
            }
            for i in order {
                let at = operator.saves[i].1;
                self.faults.add(
                    || format!("operators[{o}].saves[{i}]"),
                    || format!("is saved after {at} kernels, but the operator has {}", operator.kernels.len()),
                );
            }
        }
        for (i, s) in t.storages.iter().enumerate() {
            if s.kind == StorageKind::Activation && self.written[i] == Written::NotYet {
                self.faults.add(|| format!("storages[{i}]"), || "is an activation that no operator writes".into());
            }
        }
    }

    fn backward(&mut self) {
        let t = self.trace;
        let saved = saved_storages(t);
        for (b, kernel) in t.backward.iter().enumerate() {
            let lists = Lists { reads: &kernel.reads, writes: &kernel.writes, mutates: &kernel.mutates };
            self.kernel(&lists, Written::Backward, &|| format!("backward[{b}]"));
            for (field, list) in [("reads", &kernel.reads), ("mutates", &kernel.mutates), ("writes", &kernel.writes)] {
                for (i, &s) in list.iter().enumerate() {
                    let dies = t.storages.get(s as usize).and_then(|s| s.dies);
                    if let Some(dies) = dies.filter(|&d| (d as usize) < b) {
                        self.faults.add(
                            || format!("backward[{b}].{field}[{i}]"),
                            || format!("storage {s} died after backward kernel {dies}"),
                        );
                    }
                }
            }
            let Some(of) = kernel.of else { continue };
            let Some(operator) = t.operators.get(of as usize) else {
                self.faults.add(
                    || format!("backward[{b}].of"),
                    || format!("operator {of} is out of range: there are {} operators", t.operators.len()),
                );
                continue;
            };
            for (i, &s) in kernel.reads.iter().enumerate() {
                let is_activation = t.storages.get(s as usize).is_some_and(|s| s.kind == StorageKind::Activation);
                if is_activation && saved[of as usize].binary_search(&s).is_err() {
                    self.faults.add(
                        || format!("backward[{b}].reads[{i}]"),
                        || {
                            format!(
                                "storage {s} was not saved by operator {of} ({}), whose gradient this kernel computes",
                                excerpt(&operator.name)
                            )
                        },
                    );
                }
            }
        }
        for (i, s) in t.storages.iter().enumerate() {
            if matches!(s.kind, StorageKind::Gradient | StorageKind::ParamGrad) && self.written[i] == Written::NotYet {
                self.faults.add(
                    || format!("storages[{i}]"),
                    || format!("is a {} that no backward kernel writes", s.kind.name()),
                );
            }
        }
    }

    /// No sum of sizes, traffic, FLOPs or times may come near the end of `u64`.
    fn totals(&mut self) {
        let t = self.trace;
        let block = t.block.clamp(1, 1 << 32);
        let mut total = 0u64;
        for (i, s) in t.storages.iter().enumerate() {
            total = total.saturating_add(s.bytes).saturating_add(block);
            if total > TOTAL_LIMIT {
                self.faults.add(
                    || format!("storages[{i}].bytes"),
                    || "sizes overflow: all storages together exceed 2^56 bytes".into(),
                );
                break;
            }
        }
        let forward = t.operators.iter().enumerate().flat_map(|(o, operator)| {
            operator
                .kernels
                .iter()
                .enumerate()
                .map(move |(k, kernel)| (Some((o, k)), kernel.flops, kernel.bytes, kernel.ns.unwrap_or(0)))
        });
        let backward = t.backward.iter().map(|kernel| (None, kernel.flops, kernel.bytes, kernel.ns.unwrap_or(0)));
        let (mut flops, mut bytes, mut ns) = (0u64, 0u64, 0u64);
        for (b, (at, f, y, n)) in forward.chain(backward).enumerate() {
            flops = flops.saturating_add(f);
            bytes = bytes.saturating_add(y);
            ns = ns.saturating_add(n);
            // FLOPs of a real step pass 2^56 (a large model on a large batch), so they get more room.
            if flops > TOTAL_LIMIT << 6 || bytes > TOTAL_LIMIT || ns > TOTAL_LIMIT {
                let kernels: usize = t.operators.iter().map(|o| o.kernels.len()).sum();
                self.faults.add(
                    || {
                        at.map_or_else(
                            || format!("backward[{}]", b - kernels),
                            |(o, k)| format!("operators[{o}].kernels[{k}]"),
                        )
                    },
                    || "FLOPs, traffic or times overflow: their sum exceeds 2^62 FLOPs, 2^56 bytes or 2^56 ns".into(),
                );
                break;
            }
        }
    }

    /// Module calls lie within the forward pass and nest.
    fn modules(&mut self) {
        let t = self.trace;
        let Some(calls) = &t.modules else { return };
        let place = |i: usize| move || format!("modules[{i}]");
        for (i, m) in calls.iter().enumerate() {
            if m.start > m.end || m.end as usize > t.operators.len() {
                let n = t.operators.len();
                self.faults.add(place(i), || format!("range {}..{} does not lie within {n} operators", m.start, m.end));
            }
            let storages = t.storages.len();
            if let Some(&s) = m.returns.iter().flatten().find(|&&s| s as usize >= storages) {
                self.faults.add(place(i), || format!("returns storage {s} of {storages}"));
            }
        }
        let mut order: Vec<usize> = (0..calls.len()).collect();
        order.sort_by_key(|&i| (calls[i].start, std::cmp::Reverse(calls[i].end)));
        let mut open: Vec<usize> = Vec::new();
        for i in order.into_iter().filter(|&i| calls[i].start < calls[i].end) {
            while open.last().is_some_and(|&outer| calls[outer].end <= calls[i].start) {
                open.pop();
            }
            if let Some(&outer) = open.last().filter(|&&outer| calls[outer].end < calls[i].end) {
                self.faults.add(place(i), || {
                    let (m, other) = (&calls[i], &calls[outer]);
                    format!("range {}..{} overlaps modules[{outer}] ({}..{})", m.start, m.end, other.start, other.end)
                });
            }
            open.push(i);
        }
    }
}
