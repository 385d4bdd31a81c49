//! Networks shaped like real ones: chains, residual networks, U-Nets and transformers.

use super::recorder::{Recorder, Tensor};
use super::rng::Choices;
use crate::trace::Trace;

const MIB: u64 = 1 << 20;

/// A plain chain of `layers` linear layers and rectifiers of random widths, half of the rectifiers in place. Time
/// O(layers).
pub fn chain(seed: u64, layers: u32) -> Trace {
    let mut c = Choices::seeded(seed);
    let mut r = Recorder::new(format!("chain-{layers}-s{seed}"), 512);
    let mut x = r.input("x", MIB);
    let targets = r.input("targets", 512);
    for i in 0..layers {
        let bytes = c.between(1, 4096) * 1024;
        let in_place = c.chance(50);
        x = r.module(format!("layers.{i}"), |r| {
            let y = r.linear(x, bytes / 8, 4096, bytes);
            if in_place { r.relu_in_place(y) } else { r.relu(y) }
        });
    }
    let logits = r.module("head", |r| r.linear(x, 65536, 4000, 128_000));
    r.finish(logits, targets)
}

/// A residual network of `blocks` blocks with batch norms, in-place rectifiers and additions, and a shortcut that halves
/// the size every fourth block or so. Time O(blocks).
pub fn residual(seed: u64, blocks: u32) -> Trace {
    let mut c = Choices::seeded(seed);
    let mut r = Recorder::new(format!("residual-{blocks}-s{seed}"), 512);
    let image = r.input("image", 6 * MIB);
    let targets = r.input("targets", 512);
    let mut bytes = 32 * MIB;
    let convolution = |r: &mut Recorder, x: Tensor, bytes: u64, relu: bool| {
        let y = r.module("conv", |r| r.linear(x, 147_456, 0, bytes));
        let y = r.module("bn", |r| r.batch_norm(y, 256));
        if relu { r.module("relu", |r| r.relu_in_place(y)) } else { y }
    };
    let mut x = r.module("stem", |r| convolution(r, image, bytes, true));
    for i in 0..blocks {
        let shrink = c.chance(25) && bytes > MIB / 8;
        let out = if shrink { bytes / 2 } else { bytes };
        let bottleneck = c.chance(50);
        x = r.module(format!("blocks.{i}"), |r| {
            let mut y = r.module("a", |r| convolution(r, x, out / 2, true));
            if bottleneck {
                y = r.module("b", |r| convolution(r, y, out / 2, true));
            }
            y = r.module("c", |r| convolution(r, y, out, false));
            let shortcut = if shrink { r.module("down", |r| convolution(r, x, out, false)) } else { x };
            let y = r.add_in_place(y, shortcut);
            r.relu_in_place(y)
        });
        bytes = out;
    }
    let x = r.pool(x, 262_144);
    let x = r.view(x);
    let logits = r.module("fc", |r| r.linear(x, 2 * MIB, 4000, 128_000));
    r.finish(logits, targets)
}

/// An encoder and a decoder of `depth` levels joined by skips that cross everything between them. Time O(depth).
pub fn unet(seed: u64, depth: u32) -> Trace {
    let mut c = Choices::seeded(seed);
    let mut r = Recorder::new(format!("unet-{depth}-s{seed}"), 512);
    let image = r.input("image", 3 * MIB);
    let targets = r.input("targets", MIB);
    let convolutions = |r: &mut Recorder, mut x: Tensor, bytes: u64, count: u64| {
        for i in 0..count {
            x = r.module(format!("{i}"), |r| {
                let y = r.linear(x, 73_728, 256, bytes);
                let y = r.batch_norm(y, 256);
                r.relu_in_place(y)
            });
        }
        x
    };
    let mut skips: Vec<(Tensor, u64)> = Vec::new();
    let (mut x, mut bytes) = (image, 64 * MIB);
    for i in 0..depth {
        let count = c.between(1, 3);
        x = r.module(format!("down.{i}"), |r| convolutions(r, x, bytes, count));
        skips.push((x, bytes));
        // Deep networks reach a floor rather than empty tensors.
        bytes = (bytes / 2).max(16_384);
        x = r.pool(x, bytes / 2);
    }
    x = r.module("middle", |r| convolutions(r, x, bytes, 2));
    while let Some((skip, bytes)) = skips.pop() {
        let i = skips.len();
        let count = c.between(1, 3);
        x = r.module(format!("up.{i}"), |r| {
            let y = r.resample(x, bytes);
            let y = r.cat(skip, y);
            convolutions(r, y, bytes, count)
        });
    }
    let logits = r.module("head", |r| r.linear(x, 4096, 8, 4 * MIB));
    r.finish(logits, targets)
}

/// What a synthetic transformer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, named where they are set")]
pub struct Transformer {
    /// Number of blocks; each is 20 operators, with dropout 22.
    pub layers: u32,
    /// Bytes of the residual stream.
    pub stream: u64,
    /// Run under autocast, with casts in every linear layer.
    pub autocast: bool,
    /// Dropout after embedding, attention and MLP.
    pub dropout: bool,
    /// Freeze the blocks but for low-rank updates of queries and values.
    pub lora: bool,
    /// A mask and a position table that every block reads.
    pub mask: bool,
    /// Use the embedding's weight for the head, too.
    pub tied: bool,
}

impl Default for Transformer {
    fn default() -> Self {
        Self { layers: 12, stream: 12 * MIB, autocast: false, dropout: true, lora: false, mask: true, tied: false }
    }
}

impl Transformer {
    /// About that many operators, else as [`Default`].
    pub fn with_operators(operators: u32) -> Self {
        Self { layers: operators / 22, ..Self::default() }
    }

    /// The step. All blocks are alike, as in real ones. Time O(layers); 10,000 operators take some tens of milliseconds.
    pub fn trace(&self) -> Trace {
        let mut r = Recorder::new(format!("transformer-{}", self.layers), 512);
        if self.autocast {
            r.autocast();
        }
        let ids = r.input("ids", 32_768);
        let targets = r.input("targets", 32_768);
        r.freeze(self.lora);
        let d = self.stream;
        let mut x = r.module("embed", |r| r.embedding(ids, 2 * d, d));
        let mask = self.mask.then(|| {
            let positions = r.arange(32_768);
            r.resample(positions, MIB)
        });
        if self.dropout {
            x = r.dropout(x);
        }
        for i in 0..self.layers {
            x = r.module(format!("blocks.{i}"), |r| self.block(r, x, mask));
        }
        let x = r.module("norm", |r| r.norm(x, 3072, d / 768));
        r.freeze(false);
        let logits = match self.tied_weight(&r) {
            Some(w) => r.module("head", |r| r.linear_with(x, w, None, 8 * d)),
            None => r.module("head", |r| r.linear(x, 2 * d, 0, 8 * d)),
        };
        r.finish(logits, targets)
    }

    /// The embedding's weight, which is the first parameter.
    fn tied_weight(&self, r: &Recorder) -> Option<u32> {
        let is_param = |s: &crate::trace::Storage| s.kind == crate::trace::StorageKind::Param;
        let first = || r.trace.storages.iter().position(is_param).map(|s| s as u32);
        first().filter(|_| self.tied && !self.lora)
    }

    fn block(&self, r: &mut Recorder, x: Tensor, mask: Option<Tensor>) -> Tensor {
        let d = self.stream;
        let weight = 2_359_296;
        let y = r.module("norm1", |r| r.norm(x, 3072, d / 768));
        let y = r.module("attention", |r| {
            let heads = ["q", "k", "v"].map(|name| {
                r.module(name, |r| {
                    let projected = r.linear(y, weight, 3072, d);
                    let projected = self.low_rank(r, y, projected, name != "k");
                    let split = r.view(projected);
                    r.view(split)
                })
            });
            let y = r.attention(heads[0], heads[1], heads[2], mask, d / 64);
            let y = r.view(y);
            let y = r.view(y);
            let y = r.module("out", |r| r.linear(y, weight, 3072, d));
            if self.dropout { r.dropout(y) } else { y }
        });
        let x = r.add(x, y);
        let y = r.module("norm2", |r| r.norm(x, 3072, d / 768));
        let y = r.module("mlp", |r| {
            let y = r.module("up", |r| r.linear(y, 4 * weight, 12_288, 4 * d));
            let y = r.gelu(y);
            let y = r.module("down", |r| r.linear(y, 4 * weight, 3072, d));
            if self.dropout { r.dropout(y) } else { y }
        });
        r.add(x, y)
    }

    /// Adds a trained update of rank 16 to a frozen projection.
    fn low_rank(&self, r: &mut Recorder, x: Tensor, projected: Tensor, here: bool) -> Tensor {
        if !self.lora || !here {
            return projected;
        }
        r.freeze(false);
        let narrow = r.linear(x, 49_152, 0, self.stream / 48);
        let wide = r.linear(narrow, 49_152, 0, self.stream);
        r.freeze(true);
        r.add(projected, wide)
    }
}

/// A transformer of `layers` blocks with everything else chosen by the seed. Time O(layers).
pub fn transformer(seed: u64, layers: u32) -> Trace {
    let mut c = Choices::seeded(seed);
    let options = Transformer {
        layers,
        stream: c.between(1, 16) * MIB,
        autocast: c.chance(30),
        dropout: c.chance(60),
        lora: c.chance(30),
        mask: c.chance(60),
        tied: c.chance(30),
    };
    Trace { name: format!("transformer-{layers}-s{seed}"), ..options.trace() }
}
