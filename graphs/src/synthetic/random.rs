//! Random graphs with every feature of the format: in-place operators, dropout, frozen parts, views, operators of no or
//! many kernels, storages that several operators save, results that nobody reads.

use super::recorder::{Recorder, Tensor};
use super::rng::Choices;
use super::time_kernels;
use super::variations::{loss_inside, save_unread, split_nodes};
use crate::trace::{StorageKind, Trace};

/// What a random graph may contain, and how large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Operators of the forward pass, the loss included; at least 2.
    pub operators: u32,
    /// Largest size of an activation in blocks.
    pub blocks: u64,
    /// How many recent tensors an operator chooses from: 1 makes a chain, many make skips.
    pub reach: u64,
    /// Percent of operators that change a tensor in place where they may.
    pub in_place: u64,
    /// Percent of operators that are dropouts.
    pub dropout: u64,
    /// Percent of new parameters without a gradient.
    pub frozen: u64,
    /// Percent of operators with an odd shape: views, no kernels, constants, detached values, unread results.
    pub odd: u64,
    /// Percent of operators that save something which no backward kernel of theirs reads.
    pub unread: u64,
    /// Percent of operators with two autograd nodes, of which the first to run needs nothing that was saved.
    pub split: u64,
    /// Percent of steps under autocast.
    pub autocast: u64,
    /// Percent of steps whose model computes the loss itself.
    pub loss_inside: u64,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            operators: 30,
            blocks: 64,
            reach: 4,
            in_place: 15,
            dropout: 8,
            frozen: 20,
            odd: 30,
            unread: 0,
            split: 0,
            autocast: 15,
            loss_inside: 0,
        }
    }
}

/// A graph of 5 to 13 operators with many odd features, small enough to enumerate all its plans. Time O(1).
pub fn tiny(seed: u64) -> Trace {
    let mut choices = Choices::seeded(seed);
    let mut trace = tiny_from(&mut choices);
    trace.name = format!("tiny-s{seed}");
    trace
}

/// As [`tiny`], from any choices, so that a fuzzer can steer it.
pub fn tiny_from(choices: &mut Choices) -> Trace {
    let features = Features {
        operators: choices.between(5, 12) as u32,
        blocks: choices.between(1, 9),
        reach: choices.between(1, 6),
        in_place: choices.below(50),
        dropout: choices.below(30),
        frozen: choices.below(60),
        odd: choices.below(70),
        unread: if choices.chance(30) { choices.below(50) } else { 0 },
        split: 15,
        autocast: 30,
        loss_inside: 25,
    };
    random(choices, &features)
}

/// A layered random graph of `operators` operators whose results are read up to `reach` tensors later. Time O(operators).
pub fn layered(seed: u64, operators: u32, reach: u64) -> Trace {
    let features = Features { operators, reach, ..Features::default() };
    Trace { name: format!("layered-{operators}-s{seed}"), ..random(&mut Choices::seeded(seed), &features) }
}

/// A random graph with the given features. It always ends in a trained layer and a loss over it. Time
/// O(operators * reach).
pub fn random(choices: &mut Choices, features: &Features) -> Trace {
    let c = choices;
    let block = if c.chance(80) { 512 } else { 1 };
    let mut r = Recorder::new("random", block);
    if c.chance(features.autocast) {
        r.autocast();
    }
    if c.chance(30) {
        r.record_modules();
    }
    let x = r.input("x", c.between(1, features.blocks) * 512);
    let targets = r.input("targets", 100);
    let mut pool = Pool { live: vec![x], shared: None };
    let mut module = 0;
    while r.operators() + 2 < features.operators {
        if c.chance(25) {
            module += 1;
        }
        r.module(format!("m{}.{}", module / 3, module % 3), |r| step(r, c, features, &mut pool));
        let excess = pool.live.len().saturating_sub(features.reach.max(1) as usize);
        pool.live.drain(..excess);
    }
    let last = pool.live.last().copied().unwrap_or(x);
    r.freeze(false);
    let bytes = size(c, features);
    let logits = r.module("head", |r| r.linear(last, 512, if bytes > 512 { 64 } else { 0 }, bytes));
    if c.chance(15) && r.trace.storages[last.storage as usize].kind == StorageKind::Activation {
        r.trace.outputs = vec![logits.storage];
    }
    let mut trace = r.finish(logits, targets);
    if features.loss_inside > 0 && c.chance(features.loss_inside) {
        let returned = if c.chance(60) { vec![logits.storage] } else { Vec::new() };
        loss_inside(&mut trace, returned);
    }
    if features.unread > 0 {
        save_unread(&mut trace, c, features.unread);
    }
    if c.chance(30) {
        time_kernels(&mut trace, c);
    }
    if features.split > 0 {
        split_nodes(&mut trace, c, features.split);
    }
    trace
}

/// Tensors that may still be read.
struct Pool {
    live: Vec<Tensor>,
    /// A parameter that several layers use.
    shared: Option<u32>,
}

impl Pool {
    fn any(&self, c: &mut Choices) -> Option<Tensor> {
        // The latest tensor more often than not, so that depth grows.
        if c.chance(60) { self.live.last().copied() } else { c.pick(&self.live) }
    }

    /// Forgets all tensors over a storage: it has just been changed.
    fn forget(&mut self, storage: u32) {
        self.live.retain(|t| t.storage != storage);
    }
}

/// Bytes of a new activation: mostly off the block, now and then nothing at all.
fn size(c: &mut Choices, features: &Features) -> u64 {
    if c.chance(3) {
        return 0;
    }
    c.between(1, features.blocks) * 512 - if c.chance(40) { c.below(512) } else { 0 }
}

/// Records one operator.
fn step(r: &mut Recorder, c: &mut Choices, features: &Features, pool: &mut Pool) {
    r.freeze(c.chance(features.frozen));
    let Some(x) = pool.any(c) else {
        pool.live.push(r.arange(size(c, features)));
        return;
    };
    if c.chance(features.in_place) && r.may_mutate(x) {
        let others: Vec<Tensor> = pool.live.iter().filter(|t| t.storage != x.storage).copied().collect();
        let result = match c.pick(&others) {
            Some(y) if c.chance(50) => r.add_in_place(x, y),
            _ => r.relu_in_place(x),
        };
        pool.forget(x.storage);
        pool.live.push(result);
        return;
    }
    if c.chance(features.dropout) {
        pool.live.push(r.dropout(x));
        return;
    }
    if c.chance(features.odd) {
        odd(r, c, features, pool, x);
        return;
    }
    let bytes = size(c, features);
    let y = pool.any(c).unwrap_or(x);
    let z = pool.any(c).unwrap_or(x);
    let result = match c.below(11) {
        0 | 1 => r.linear(x, 512, 0, bytes),
        2 => r.linear(x, 1024, 100, bytes),
        3 => r.relu(x),
        4 => r.gelu(x),
        5 => r.add(x, y),
        6 => r.mul(x, y),
        7 => r.softmax(x),
        8 => r.norm(x, 128, 200),
        9 => r.attention(x, y, z, None, 64),
        _ => r.batch_norm(x, 128),
    };
    pool.live.push(result);
}

/// Records one operator of an unusual shape.
fn odd(r: &mut Recorder, c: &mut Choices, features: &Features, pool: &mut Pool, x: Tensor) {
    let bytes = size(c, features);
    let result = match c.below(12) {
        0 => r.view(x),
        1 => r.slice(x, bytes),
        2 => r.identity(x),
        3 => r.detach(x),
        4 => r.arange(bytes),
        5 => {
            let y = pool.any(c).unwrap_or(x);
            r.cat(x, y)
        }
        6 => r.pool(x, bytes),
        7 => r.resample(x, bytes),
        8 => {
            let inner = size(c, features);
            r.composite(x, inner, bytes)
        }
        9 => {
            // Trained or frozen as it was first made.
            let w = pool.shared.unwrap_or_else(|| r.param(1024));
            pool.shared = Some(w);
            r.linear_with(x, w, None, bytes)
        }
        10 => {
            let mask = r.constant(700);
            let v = pool.any(c).unwrap_or(x);
            r.attention(x, x, v, Some(mask), 64)
        }
        // A result that nobody reads, though autograd saved for it.
        _ => {
            r.gelu(x);
            return;
        }
    };
    pool.live.push(result);
}
