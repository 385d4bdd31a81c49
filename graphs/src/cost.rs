//! Time of kernels in whole nanoseconds: as recorded, or by the roofline of a device.
//!
//! The roofline (Williams, Waterman, Patterson: "Roofline: an insightful visual performance model", CACM 2009) takes the
//! larger of computing and moving data at the device's peak rates; a fixed time per launch comes on top. It knows
//! nothing of how well a kernel uses the device; where times decide, record them (`ns` in the trace).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::graph::Graph;
use crate::read::{self, LoadError, Source, excerpt};
use crate::trace::{BackwardKernel, Fault, Faults, Kernel};

/// Device whose rates are used unless another is named.
pub const DEFAULT_DEVICE: &str = "h100";

/// Peak rates of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Short name, as users write it.
    pub name: String,
    /// Full name.
    #[serde(default)]
    pub title: String,
    /// Memory bandwidth in GB/s, that is bytes per nanosecond; at least 1.
    pub bandwidth_gb_s: u64,
    /// Nanoseconds that every kernel costs on top; at most 10^9.
    pub launch_ns: u64,
    /// GFLOP/s, that is FLOPs per nanosecond, by element type (`float32`, `bfloat16`, ...). `tf32` is for convolutions
    /// over float32. `float32` must be there: it serves all types that are not listed.
    pub gflops: BTreeMap<String, u64>,
    /// Where the numbers come from.
    #[serde(default)]
    pub sources: Vec<String>,
}

/// A device that is not known by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no device named {name}\nhint: known devices are {}", device_names().join(", "))]
pub struct UnknownDevice {
    /// The name.
    pub name: String,
}

/// Gives kernels their time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostModel {
    device: Device,
}

#[derive(Deserialize)]
struct Table {
    devices: Vec<Device>,
}

/// The built-in table; a test checks that it parses and that every device is valid.
static DEVICES: LazyLock<Vec<Device>> = LazyLock::new(|| {
    serde_json::from_str::<Table>(include_str!("devices.json")).map(|t| t.devices).unwrap_or_default()
});

/// All built-in devices.
pub fn devices() -> &'static [Device] {
    &DEVICES
}

/// Names of all built-in devices.
pub fn device_names() -> Vec<&'static str> {
    DEVICES.iter().map(|d| d.name.as_str()).collect()
}

impl CostModel {
    /// The model of a built-in device.
    ///
    /// # Errors
    /// [`UnknownDevice`], which lists the known ones.
    pub fn device(name: &str) -> Result<Self, UnknownDevice> {
        let device = DEVICES.iter().find(|d| d.name.eq_ignore_ascii_case(name));
        device.map(|d| Self { device: d.clone() }).ok_or_else(|| UnknownDevice { name: excerpt(name) })
    }

    /// The model of a device that the user describes: its rates are checked.
    ///
    /// # Errors
    /// All faults of the description.
    pub fn new(device: Device) -> Result<Self, Faults> {
        let mut shown = Vec::new();
        let mut fault = |path: &str, message: String| shown.push(Fault { path: path.into(), message });
        if device.bandwidth_gb_s == 0 {
            fault("bandwidth_gb_s", "must be at least 1".into());
        }
        if device.launch_ns > 1_000_000_000 {
            fault("launch_ns", format!("must be at most 10^9, found {}", device.launch_ns));
        }
        if !device.gflops.contains_key("float32") {
            fault("gflops", "must have a rate for float32, which serves all types that are not listed".into());
        }
        if let Some((dtype, _)) = device.gflops.iter().find(|(_, rate)| **rate == 0) {
            fault("gflops", format!("the rate of {} must be at least 1", excerpt(dtype)));
        }
        if shown.is_empty() { Ok(Self { device }) } else { Err(Faults { shown, hidden: 0 }) }
    }

    /// Reads a device from a JSON file of the shape of [`Device`].
    ///
    /// # Errors
    /// [`LoadError`] if it cannot be read, has another shape or impossible rates.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let source = Source::Path(path.as_ref().into());
        let name = source.label();
        let text = source.read()?;
        read::expect_object(&text, &name)?;
        let device = read::json(&text, &name)?;
        Self::new(device).map_err(|faults| LoadError::Invalid { name, faults })
    }

    /// The device.
    pub fn of(&self) -> &Device {
        &self.device
    }

    /// Nanoseconds of a forward kernel: recorded, else by the roofline. A kernel that neither writes, nor changes
    /// anything in place, nor computes is a view: it launches nothing and costs 0.
    pub fn kernel_ns(&self, kernel: &Kernel) -> u64 {
        self.ns(&Work {
            op: &kernel.op,
            dtype: kernel.dtype.as_deref(),
            flops: kernel.flops,
            bytes: kernel.bytes,
            is_view: kernel.writes.is_empty() && kernel.mutates.is_empty() && kernel.flops == 0,
            ns: kernel.ns,
        })
    }

    /// Nanoseconds of a backward kernel, as [`Self::kernel_ns`].
    pub fn backward_kernel_ns(&self, kernel: &BackwardKernel) -> u64 {
        self.ns(&Work {
            op: &kernel.op,
            dtype: kernel.dtype.as_deref(),
            flops: kernel.flops,
            bytes: kernel.bytes,
            is_view: kernel.writes.is_empty() && kernel.mutates.is_empty() && kernel.flops == 0,
            ns: kernel.ns,
        })
    }

    /// Nanoseconds of all kernels of an operator. Time O(kernels).
    pub fn operator_ns(&self, graph: &Graph, operator: u32) -> u64 {
        graph.operators()[operator as usize].kernels.iter().map(|k| self.kernel_ns(k)).sum()
    }

    /// Nanoseconds of the forward pass, the loss included. Time O(kernels).
    pub fn forward_ns(&self, graph: &Graph) -> u64 {
        graph.operators().iter().flat_map(|o| &o.kernels).map(|k| self.kernel_ns(k)).sum()
    }

    /// Nanoseconds of the backward pass without recomputation. Time O(kernels).
    pub fn backward_ns(&self, graph: &Graph) -> u64 {
        graph.backward().iter().map(|k| self.backward_kernel_ns(k)).sum()
    }

    /// FLOPs, traffic and times of a valid trace are below 2^62, 2^56 and 2^56 in all, so no sum of results overflows.
    fn ns(&self, work: &Work<'_>) -> u64 {
        if let Some(ns) = work.ns {
            return ns;
        }
        if work.is_view {
            return 0;
        }
        let device = &self.device;
        let compute = work.flops.div_ceil(self.rate(work));
        compute.max(work.bytes.div_ceil(device.bandwidth_gb_s)) + device.launch_ns
    }

    /// FLOPs per nanosecond for the kernel's element type.
    fn rate(&self, work: &Work<'_>) -> u64 {
        let rate = |dtype: &str| self.device.gflops.get(dtype).copied();
        let dtype = work.dtype.unwrap_or("float32");
        let tf32 = || rate("tf32").filter(|_| dtype == "float32" && work.op.contains("convolution"));
        // Checked when the model was made: float32 is there and no rate is 0.
        tf32().or_else(|| rate(dtype)).or_else(|| rate("float32")).unwrap_or(1)
    }
}

/// What a kernel of either pass does.
struct Work<'a> {
    op: &'a str,
    dtype: Option<&'a str>,
    flops: u64,
    bytes: u64,
    is_view: bool,
    ns: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{synthetic, zoo};

    fn kernel(op: &str, flops: u64, bytes: u64, dtype: &str) -> Kernel {
        Kernel {
            op: op.into(),
            reads: vec![0],
            writes: vec![1],
            mutates: vec![],
            flops,
            bytes,
            dtype: Some(dtype.into()),
            ns: None,
        }
    }

    #[test]
    fn every_built_in_device_is_valid_and_sourced() {
        assert!(device_names().len() >= 10);
        for device in devices() {
            assert!(!device.sources.is_empty() && !device.title.is_empty(), "{}", device.name);
            CostModel::new(device.clone()).unwrap_or_else(|e| panic!("{}: {e}", device.name));
        }
        assert!(CostModel::device(DEFAULT_DEVICE).is_ok());
        assert!(CostModel::device("H200").is_ok());
    }

    #[test]
    fn the_larger_of_computing_and_moving_counts() {
        let model = CostModel::device("h100").expect("known");
        assert_eq!(model.kernel_ns(&kernel("mm.default", 66_900 * 1000 + 1, 1, "float32")), 1001 + 3000);
        assert_eq!(model.kernel_ns(&kernel("mm.default", 1, 3350 * 70, "float32")), 70 + 3000);
        assert_eq!(model.kernel_ns(&kernel("mm.default", 989_400, 0, "bfloat16")), 1 + 3000);
        assert_eq!(model.kernel_ns(&kernel("convolution.default", 494_700 * 5, 0, "float32")), 5 + 3000);
        assert_eq!(model.kernel_ns(&kernel("x", 66_900 * 2, 0, "int8")), 2 + 3000);
    }

    #[test]
    fn views_are_free_and_records_win() {
        let model = CostModel::device("a100").expect("known");
        let view = Kernel { writes: vec![], ..kernel("view.default", 0, 1 << 30, "float32") };
        assert_eq!(model.kernel_ns(&view), 0);
        let in_place = Kernel { mutates: vec![0], ..view.clone() };
        assert!(model.kernel_ns(&in_place) > 3000);
        assert_eq!(model.kernel_ns(&Kernel { ns: Some(17), ..in_place }), 17);
    }

    #[test]
    fn totals_are_sums() {
        let model = CostModel::device("h100").expect("known");
        for graph in [zoo::load("gpt2-b8-s512-amp").expect("zoo"), Graph::new(synthetic::tiny(3)).expect("valid")] {
            let sum: u64 = (0..=graph.loss()).map(|o| model.operator_ns(&graph, o)).sum();
            assert_eq!(model.forward_ns(&graph), sum);
            assert!(model.backward_ns(&graph) > 0);
        }
    }

    #[test]
    fn faults_of_a_user_s_device() {
        let device: Device =
            serde_json::from_str(r#"{"name": "x", "bandwidth_gb_s": 0, "launch_ns": 2000000000, "gflops": {"b": 0}}"#)
                .expect("well-formed");
        let faults = CostModel::new(device).expect_err("impossible").to_string();
        assert_eq!(faults.lines().count(), 4, "{faults}");
        let unknown = CostModel::device("h1000").expect_err("unknown").to_string();
        assert!(
            unknown.starts_with("there is no device named h1000\nhint: known devices are h200, h100, "),
            "{unknown}"
        );
    }
}
