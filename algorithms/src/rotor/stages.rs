//! What the program knows of a chain: stages with sizes and times.

use super::Error;

/// Most stages that are planned. Tables take memory O(n^2), the least budget time O(n^3).
pub const STAGE_LIMIT: usize = 1000;
/// Largest sum of all bytes that is planned; sums of three of them still fit into 64 bits.
pub const BYTES_LIMIT: u64 = 1 << 60;
/// Largest sum of all forward times that is planned, in nanoseconds (13 days).
pub const TIME_LIMIT: u64 = 1 << 50;

/// One stage of a chain; all sizes in bytes.
///
/// In the paper's notation `u_f`, `ω_a`, `ω_ā`, `ω_δ`, `o_f` and `o_b` of stage `ℓ`. The paper has one `o_f`; a stage
/// that is a whole block needs two, because the block frees its insides while it runs without saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stage {
    /// Forward time in nanoseconds. (Backward times are the same under every schedule.)
    pub forward: u64,
    /// `a`: what the next stage reads.
    pub output: u64,
    /// `ā`: all that the stage's backward pass needs of its forward pass, the output included.
    pub tape: u64,
    /// `δ`: the gradient of the output.
    pub gradient: u64,
    /// What a forward pass that saves nothing takes, beyond input and output.
    pub run_extra: u64,
    /// What a forward pass that saves the tape takes, beyond input and tape.
    pub save_extra: u64,
    /// What the backward pass takes, beyond tape, input and both gradients.
    pub backward_extra: u64,
}

/// A chain of stages, the last of which is the loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages {
    /// Stages `1 ..= n` at indices 1 to n; index 0 holds the sizes of the chain's input as `output` and `gradient`.
    all: Vec<Stage>,
    /// Forward time of stages `1 ..= k`.
    time: Vec<u64>,
}

impl Stages {
    /// A chain that starts from an input of `input` bytes, whose gradient has `input_gradient` bytes (0 where none is
    /// asked for).
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::TooLong`], [`Error::TooLarge`], or [`Error::Output`] if an output is larger than its
    /// tape.
    pub fn new(input: u64, input_gradient: u64, stages: &[Stage]) -> Result<Self, Error> {
        if stages.is_empty() {
            return Err(Error::Empty);
        }
        if stages.len() > STAGE_LIMIT {
            return Err(Error::TooLong(stages.len()));
        }
        let first = Stage { output: input, gradient: input_gradient, tape: input, ..Stage::default() };
        let mut all = vec![first];
        all.extend_from_slice(stages);
        let (mut bytes, mut time) = (0u64, vec![0u64]);
        for (stage, s) in all.iter().enumerate() {
            if s.output > s.tape {
                return Err(Error::Output { stage });
            }
            let sizes = [s.output, s.tape, s.gradient, s.run_extra, s.save_extra, s.backward_extra];
            for size in sizes {
                bytes = bytes.checked_add(size).filter(|&b| b <= BYTES_LIMIT).ok_or(Error::TooLarge { stage })?;
            }
            if stage > 0 {
                let sum = time[stage - 1].checked_add(s.forward).filter(|&t| t <= TIME_LIMIT);
                time.push(sum.ok_or(Error::TooLarge { stage })?);
            }
        }
        Ok(Self { all, time })
    }

    /// Number of stages, the loss included.
    pub fn count(&self) -> usize {
        self.all.len() - 1
    }

    /// Bytes of the chain's input, which is alive all the time.
    pub fn input(&self) -> u64 {
        self.all[0].output
    }

    /// Stage `1 ..= count()`; 0 is the input.
    pub fn get(&self, stage: usize) -> &Stage {
        &self.all[stage]
    }

    /// Forward time of stages `from .. to` in nanoseconds, for `1 <= from <= to <= count() + 1`.
    pub fn time(&self, from: usize, to: usize) -> u64 {
        self.time[to - 1] - self.time[from - 1]
    }

    /// Memory that running stage `j` without saving takes, besides the gradient of the frame's end, when its input is
    /// the frame's own, which is counted outside, or (`inside`) is counted too.
    pub(super) fn run(&self, j: usize, inside: bool) -> u64 {
        let input = if inside { self.all[j - 1].output } else { 0 };
        input + self.all[j].output + self.all[j].run_extra
    }

    /// `m_all(s, t)`: memory that saving stage `s` takes while the gradient of `t` waits, and its backward pass.
    pub(super) fn save(&self, s: usize, t: usize) -> u64 {
        let stage = &self.all[s];
        let forward = self.all[t].gradient + stage.tape + stage.save_extra;
        let backward = stage.gradient + stage.tape + self.all[s - 1].gradient + stage.backward_extra;
        forward.max(backward)
    }
}
