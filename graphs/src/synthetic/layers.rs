//! The operators that synthetic networks are made of, with the saves and gradient formulas PyTorch gives them.

use super::recorder::{Call, Flow, Recorder, Tensor, To};
use crate::trace::Kernel;

/// FLOPs of a matrix product from the bytes of its three float32 matrices: `2 R I O = 2 sqrt(RI * IO * RO)`.
fn product_flops(a: u64, b: u64, c: u64) -> u64 {
    let root = |x: u64| u128::from(x / 4).isqrt();
    u64::try_from(2 * root(a) * root(b) * root(c)).unwrap_or(u64::MAX).min(1 << 44)
}

impl Recorder {
    /// A call of one kernel that allocates its result and reads one tensor.
    fn unary(&mut self, op: &'static str, node: &'static str, x: Tensor, bytes: u64, saved: Saved) -> Tensor {
        let y = self.activation(bytes);
        let saved = match saved {
            Saved::Nothing => vec![],
            Saved::Input => vec![(x.storage, 0)],
            Saved::Result => vec![(y, 1)],
        };
        let kernels = vec![self.kernel(op, &[x.storage], &[y], &[])];
        let flows = vec![kernel_flow("backward.default", vec![To::Tensor(x)], saved)];
        self.call(Call { op, node, kernels, flows, random: false }, y, bytes, x.half)
    }

    /// A linear layer with a new weight of `weight` bytes, and a bias if `bias` is not 0 bytes.
    pub fn linear(&mut self, x: Tensor, weight: u64, bias: u64, bytes: u64) -> Tensor {
        let w = self.param(weight);
        let b = (bias > 0).then(|| self.param(bias));
        self.linear_with(x, w, b, bytes)
    }

    /// A linear layer with parameters that exist already, so that they can be shared. Under autocast it casts what it
    /// reads; casts of trainable parameters are reused.
    pub fn linear_with(&mut self, x: Tensor, w: u32, b: Option<u32>, bytes: u64) -> Tensor {
        let half = self.trace.autocast.is_some();
        let mut kernels: Vec<Kernel> = Vec::new();
        let (mut x_used, mut w_used) = (x.storage, w);
        if half {
            let cached = self.casts.get(&w).copied();
            w_used = cached.unwrap_or_else(|| {
                let cast = self.activation(self.trace.storages[w as usize].bytes.div_ceil(2));
                kernels.push(self.cast(w, cast));
                cast
            });
            if self.trainable[w as usize] {
                self.casts.insert(w, w_used);
            }
            if !x.half {
                x_used = self.activation(x.bytes.div_ceil(2));
                kernels.push(self.cast(x.storage, x_used));
            }
        }
        kernels.push(self.kernel("t.default", &[w_used], &[], &[]));
        let y = self.activation(bytes);
        let flops = product_flops(x.bytes, self.trace.storages[w as usize].bytes, bytes);
        let reads: Vec<u32> = [x_used, w_used].into_iter().chain(b).collect();
        kernels.push(Kernel { flops, ..self.kernel("addmm.default", &reads, &[y], &[]) });
        let at = kernels.len() as u32 - 1;
        let product = |to, saved, cast| Flow::Kernel { op: "mm.default", to: vec![to], saved, cast, flops };
        let mut flows = vec![
            product(To::Tensor(x), vec![(w_used, at)], half && !x.half),
            product(To::Param(w), vec![(x_used, at)], half),
        ];
        flows.extend(b.map(|b| kernel_flow("sum.dim_IntList", vec![To::Param(b)], vec![])));
        self.call(Call { op: "linear.default", node: "AddmmBackward0", kernels, flows, random: false }, y, bytes, half)
    }

    /// A cast to the reduced precision of autocast.
    fn cast(&self, from: u32, to: u32) -> Kernel {
        Kernel { dtype: self.trace.autocast.clone(), ..self.kernel("_to_copy.default", &[from], &[to], &[]) }
    }

    /// A rectifier that saves its result.
    pub fn relu(&mut self, x: Tensor) -> Tensor {
        self.unary("relu.default", "ReluBackward0", x, x.bytes, Saved::Result)
    }

    /// An activation function that saves its input.
    pub fn gelu(&mut self, x: Tensor) -> Tensor {
        self.unary("gelu.default", "GeluBackward0", x, x.bytes, Saved::Input)
    }

    /// A softmax, which saves its result.
    pub fn softmax(&mut self, x: Tensor) -> Tensor {
        self.unary("softmax.int", "SoftmaxBackward0", x, x.bytes, Saved::Result)
    }

    /// A resampling to `bytes` bytes that saves nothing.
    pub fn resample(&mut self, x: Tensor, bytes: u64) -> Tensor {
        self.unary("upsample_nearest2d.default", "UpsampleNearest2DBackward0", x, bytes, Saved::Nothing)
    }

    /// The rectifier in place: changes the storage of `x`, which must be [mutable](Self::may_mutate), and saves it.
    pub fn relu_in_place(&mut self, x: Tensor) -> Tensor {
        let kernels = vec![self.kernel("relu_.default", &[], &[], &[x.storage])];
        let flows = vec![kernel_flow("threshold_backward.default", vec![To::Tensor(x)], vec![(x.storage, 1)])];
        let call = Call { op: "relu_.default", node: "ReluBackward0", kernels, flows, random: false };
        self.call(call, x.storage, x.bytes, x.half)
    }

    /// The sum of two tensors; saves nothing, its gradient is handed on to both.
    pub fn add(&mut self, a: Tensor, b: Tensor) -> Tensor {
        let y = self.activation(a.bytes);
        let kernels = vec![self.kernel("add.Tensor", &[a.storage, b.storage], &[y], &[])];
        let flows = vec![Flow::Through { to: a, view: false }, Flow::Through { to: b, view: false }];
        let call = Call { op: "add.Tensor", node: "AddBackward0", kernels, flows, random: false };
        self.call(call, y, a.bytes, a.half)
    }

    /// `a += b`: changes the storage of `a`, which must be [mutable](Self::may_mutate).
    pub fn add_in_place(&mut self, a: Tensor, b: Tensor) -> Tensor {
        let kernels = vec![self.kernel("add_.Tensor", &[b.storage], &[], &[a.storage])];
        let flows = vec![Flow::Through { to: a, view: false }, Flow::Through { to: b, view: false }];
        let call = Call { op: "add_.Tensor", node: "AddBackward0", kernels, flows, random: false };
        self.call(call, a.storage, a.bytes, a.half)
    }

    /// The product of two tensors; each is saved for the other's gradient.
    pub fn mul(&mut self, a: Tensor, b: Tensor) -> Tensor {
        let y = self.activation(a.bytes);
        let kernels = vec![self.kernel("mul.Tensor", &[a.storage, b.storage], &[y], &[])];
        let flows = vec![
            kernel_flow("mul.Tensor", vec![To::Tensor(a)], vec![(b.storage, 0)]),
            kernel_flow("mul.Tensor", vec![To::Tensor(b)], vec![(a.storage, 0)]),
        ];
        let call = Call { op: "mul.Tensor", node: "MulBackward0", kernels, flows, random: false };
        self.call(call, y, a.bytes, a.half)
    }

    /// A view of the whole tensor, which allocates and saves nothing.
    pub fn view(&mut self, x: Tensor) -> Tensor {
        let kernels = vec![self.kernel("view.default", &[x.storage], &[], &[])];
        let flows = vec![Flow::Through { to: x, view: true }];
        let call = Call { op: "view.default", node: "ViewBackward0", kernels, flows, random: false };
        self.call(call, x.storage, x.bytes, x.half)
    }

    /// A view of a part of the tensor, of `bytes` bytes; its gradient is a new storage of the whole size.
    pub fn slice(&mut self, x: Tensor, bytes: u64) -> Tensor {
        let kernels = vec![self.kernel("slice.Tensor", &[x.storage], &[], &[])];
        let flows = vec![kernel_flow("slice_backward.default", vec![To::Tensor(x)], vec![])];
        let call = Call { op: "slice.Tensor", node: "SliceBackward0", kernels, flows, random: false };
        self.call(call, x.storage, bytes.min(x.bytes), x.half)
    }

    /// A view through which no gradient flows.
    pub fn detach(&mut self, x: Tensor) -> Tensor {
        let kernels = vec![self.kernel("detach.default", &[x.storage], &[], &[])];
        let call = Call { op: "detach.default", node: "", kernels, flows: vec![], random: false };
        self.call(call, x.storage, x.bytes, x.half)
    }

    /// An operator that runs no kernel at all and returns what it was given.
    pub fn identity(&mut self, x: Tensor) -> Tensor {
        let flows = vec![Flow::Through { to: x, view: false }];
        let call = Call { op: "to.dtype_layout", node: "ToCopyBackward0", kernels: vec![], flows, random: false };
        self.call(call, x.storage, x.bytes, x.half)
    }

    /// A layer norm with its own weight and bias of `weight` bytes each; it also saves two statistics of `stats` bytes.
    pub fn norm(&mut self, x: Tensor, weight: u64, stats: u64) -> Tensor {
        let (w, b) = (self.param(weight), self.param(weight));
        let (y, mean, rstd) = (self.activation(x.bytes), self.activation(stats), self.activation(stats));
        let kernels = vec![self.kernel("native_layer_norm.default", &[x.storage, w, b], &[y, mean, rstd], &[])];
        let saved = vec![(x.storage, 0), (w, 0), (mean, 1), (rstd, 1)];
        let to = vec![To::Tensor(x), To::Param(w), To::Param(b)];
        let flows = vec![kernel_flow("native_layer_norm_backward.default", to, saved)];
        let call = Call { op: "layer_norm.default", node: "NativeLayerNormBackward0", kernels, flows, random: false };
        self.call(call, y, x.bytes, x.half)
    }

    /// A batch norm that updates two running buffers in place in a kernel of its own.
    pub fn batch_norm(&mut self, x: Tensor, weight: u64) -> Tensor {
        let (w, b) = (self.param(weight), self.param(weight));
        let (running, count) = (self.buffer(weight), self.buffer(8));
        let (y, stats) = (self.activation(x.bytes), self.activation(weight));
        let kernels = vec![
            self.kernel("add_.Tensor", &[], &[], &[count]),
            self.kernel("cudnn_batch_norm.default", &[x.storage, w, b], &[y, stats], &[running]),
        ];
        let saved = vec![(x.storage, 0), (w, 0), (running, 0), (stats, 2)];
        let to = vec![To::Tensor(x), To::Param(w), To::Param(b)];
        let flows = vec![kernel_flow("cudnn_batch_norm_backward.default", to, saved)];
        let call = Call { op: "batch_norm.default", node: "CudnnBatchNormBackward0", kernels, flows, random: false };
        self.call(call, y, x.bytes, x.half)
    }

    /// A dropout whose mask is a result of its kernel, saved if a gradient flows to `x`.
    pub fn dropout(&mut self, x: Tensor) -> Tensor {
        let (y, mask) = (self.activation(x.bytes), self.activation(x.bytes.div_ceil(4)));
        let kernels = vec![self.kernel("native_dropout.default", &[x.storage], &[y, mask], &[])];
        let flows = vec![kernel_flow("native_dropout_backward.default", vec![To::Tensor(x)], vec![(mask, 1)])];
        let call = Call { op: "dropout.default", node: "NativeDropoutBackward0", kernels, flows, random: true };
        self.call(call, y, x.bytes, x.half)
    }

    /// Concatenates two tensors; the gradient of each is a view of the incoming one.
    pub fn cat(&mut self, a: Tensor, b: Tensor) -> Tensor {
        let bytes = a.bytes + b.bytes;
        let y = self.activation(bytes);
        let kernels = vec![self.kernel("cat.default", &[a.storage, b.storage], &[y], &[])];
        let flows = vec![Flow::Through { to: a, view: true }, Flow::Through { to: b, view: true }];
        let call = Call { op: "cat.default", node: "CatBackward0", kernels, flows, random: false };
        self.call(call, y, bytes, a.half)
    }

    /// Max pooling to `bytes` bytes; saves its input and the indices.
    pub fn pool(&mut self, x: Tensor, bytes: u64) -> Tensor {
        let (y, indices) = (self.activation(bytes), self.activation(bytes * 2));
        let kernels = vec![self.kernel("max_pool2d_with_indices.default", &[x.storage], &[y, indices], &[])];
        let saved = vec![(x.storage, 0), (indices, 1)];
        let flows = vec![kernel_flow("max_pool2d_with_indices_backward.default", vec![To::Tensor(x)], saved)];
        let call =
            Call { op: "max_pool2d.default", node: "MaxPool2DWithIndicesBackward0", kernels, flows, random: false };
        self.call(call, y, bytes, x.half)
    }

    /// Fused attention; saves its inputs, its result and the row sums of `stats` bytes.
    pub fn attention(&mut self, q: Tensor, k: Tensor, v: Tensor, mask: Option<Tensor>, stats: u64) -> Tensor {
        let (y, sums) = (self.activation(q.bytes), self.activation(stats));
        let inputs: Vec<u32> = [q, k, v].into_iter().chain(mask).map(|t| t.storage).collect();
        let flops = product_flops(q.bytes, k.bytes, v.bytes);
        let op = "_scaled_dot_product_efficient_attention.default";
        let kernels = vec![Kernel { flops, ..self.kernel(op, &inputs, &[y, sums], &[]) }];
        let saved = inputs.iter().map(|&s| (s, 0)).chain([(y, 1), (sums, 1)]).collect();
        let to = vec![To::Tensor(q), To::Tensor(k), To::Tensor(v)];
        let op = "_scaled_dot_product_efficient_attention_backward.default";
        let flows = vec![Flow::Kernel { op, to, saved, cast: false, flops: flops * 2 }];
        let node = "ScaledDotProductEfficientAttentionBackward0";
        let call = Call { op: "scaled_dot_product_attention.default", node, kernels, flows, random: false };
        self.call(call, y, q.bytes, q.half)
    }

    /// A lookup in a new table of `table` bytes; saves the indices.
    pub fn embedding(&mut self, indices: Tensor, table: u64, bytes: u64) -> Tensor {
        let w = self.param(table);
        let y = self.activation(bytes);
        let kernels = vec![self.kernel("embedding.default", &[w, indices.storage], &[y], &[])];
        let flows =
            vec![kernel_flow("embedding_dense_backward.default", vec![To::Param(w)], vec![(indices.storage, 0)])];
        let call = Call { op: "embedding.default", node: "EmbeddingBackward0", kernels, flows, random: false };
        self.call(call, y, bytes, false)
    }

    /// A value that depends on nothing: a position table, a mask.
    pub fn arange(&mut self, bytes: u64) -> Tensor {
        let y = self.activation(bytes);
        let kernels = vec![self.kernel("arange.default", &[], &[y], &[])];
        let call = Call { op: "arange.default", node: "", kernels, flows: vec![], random: false };
        self.call(call, y, bytes, false)
    }

    /// An operator of four kernels: a temporary of `inner` bytes that dies inside, a second one that is changed in place
    /// and saved half-way, and the result.
    pub fn composite(&mut self, x: Tensor, inner: u64, bytes: u64) -> Tensor {
        let (a, b, y) = (self.activation(inner), self.activation(inner), self.activation(bytes));
        let kernels = vec![
            self.kernel("pow.Tensor_Scalar", &[x.storage], &[a], &[]),
            self.kernel("mean.dim", &[a], &[b], &[]),
            self.kernel("rsqrt_.default", &[], &[], &[b]),
            self.kernel("mul.Tensor", &[x.storage, b], &[y], &[]),
        ];
        let flows = vec![kernel_flow("rms_backward.default", vec![To::Tensor(x)], vec![(x.storage, 0), (b, 3)])];
        let call = Call { op: "rms_norm.default", node: "RmsNormBackward0", kernels, flows, random: false };
        self.call(call, y, bytes, x.half)
    }
}

/// Which side of a unary operator autograd saves.
#[derive(Clone, Copy)]
enum Saved {
    Nothing,
    Input,
    Result,
}

fn kernel_flow(op: &'static str, to: Vec<To>, saved: Vec<(u32, u32)>) -> Flow {
    Flow::Kernel { op, to, saved, cast: false, flops: 0 }
}
