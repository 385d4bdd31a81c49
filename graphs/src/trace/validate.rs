//! Finds every fault of a trace at once, each with its place in the document.

use std::fmt;

use super::{StorageKind, TRACE_FORMAT, Trace};

/// Total bytes (storages, traffic) and FLOPs of a document must stay below this, so that no sum can overflow a `u64`.
const TOTAL_LIMIT: u64 = 1 << 56;

/// Faults reported one by one; the rest are counted.
const FAULTS_SHOWN: usize = 64;

/// One thing that is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Place in the document, for example `operators[3].kernels[0].reads[1]`.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// All faults that were found, in document order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// The first faults.
    pub shown: Vec<Fault>,
    /// How many more there are.
    pub hidden: usize,
}

impl Faults {
    /// Records a fault; keeps memory bounded whatever the document holds.
    pub(crate) fn add(&mut self, path: impl FnOnce() -> String, message: impl FnOnce() -> String) {
        if self.shown.len() < FAULTS_SHOWN {
            self.shown.push(Fault { path: path(), message: message() });
        } else {
            self.hidden += 1;
        }
    }

    /// Was nothing found?
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.shown.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{}: {}", fault.path, fault.message)?;
        }
        if self.hidden > 0 {
            write!(f, "\nand {} more faults", self.hidden)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Where a storage stands while the document is read in execution order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Always,
    NotYet,
    Forward,
    Backward,
}

/// Checks all that the format promises. Time O(size of the document), memory O(storages).
///
/// # Errors
/// All faults found, in document order.
pub fn validate(trace: &Trace) -> Result<(), Faults> {
    let mut v = Validator { trace, faults: Faults::default(), written: Vec::new() };
    v.header();
    v.storages();
    v.forward();
    v.backward();
    v.totals();
    v.modules();
    if v.faults.is_empty() { Ok(()) } else { Err(v.faults) }
}

struct Validator<'a> {
    trace: &'a Trace,
    faults: Faults,
    written: Vec<Written>,
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
            self.faults.add(|| "format".into(), || format!("expected \"{TRACE_FORMAT}\", found \"{}\"", t.format));
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
            if s.dies.is_some_and(|d| d as usize >= t.backward.len()) {
                self.faults.add(
                    || format!("storages[{i}].dies"),
                    || {
                        format!(
                            "{} is out of range: there are {} backward kernels",
                            s.dies.unwrap_or(0),
                            t.backward.len()
                        )
                    },
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
                    self.faults.add(place, || {
                        format!(
                            "storage {s} is read before any kernel has written it (a cycle, or kernels out of order)"
                        )
                    });
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
            for k in 0..=operator.kernels.len() {
                for (i, &(s, at)) in operator.saves.iter().enumerate().filter(|(_, save)| save.1 as usize == k) {
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
            for (i, &(_, at)) in operator.saves.iter().enumerate() {
                if at as usize > operator.kernels.len() {
                    self.faults.add(
                        || format!("operators[{o}].saves[{i}]"),
                        || format!("is saved after {at} kernels, but the operator has {}", operator.kernels.len()),
                    );
                }
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
        for (b, kernel) in t.backward.iter().enumerate() {
            let lists = Lists { reads: &kernel.reads, writes: &kernel.writes, mutates: &kernel.mutates };
            self.kernel(&lists, Written::Backward, &|| format!("backward[{b}]"));
            for &s in &kernel.writes {
                if t.storages.get(s as usize).is_some_and(|st| st.dies.is_some_and(|d| (d as usize) < b)) {
                    self.faults
                        .add(|| format!("storages[{s}].dies"), || format!("dies before backward[{b}] writes it"));
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
                if is_activation && !operator.saves.iter().any(|&(saved, _)| saved == s) {
                    self.faults.add(
                        || format!("backward[{b}].reads[{i}]"),
                        || {
                            format!(
                                "storage {s} was not saved by operator {of} ({}), whose gradient this kernel computes",
                                operator.name
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

    fn modules(&mut self) {
        let t = self.trace;
        for (i, m) in t.modules.iter().flatten().enumerate() {
            if m.start > m.end || m.end as usize > t.operators.len() {
                self.faults.add(
                    || format!("modules[{i}]"),
                    || format!("range {}..{} does not lie within {} operators", m.start, m.end, t.operators.len()),
                );
            }
        }
    }
}
