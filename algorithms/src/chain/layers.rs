//! What planners know of a chain's layers.

use super::ChainError;

/// Largest sum of all tapes that is planned, in bytes. Objectives are at most twice the sum, so they fit into 64 bits.
pub const SIZE_LIMIT: u64 = 1 << 62;

/// The layers of a chain, each with two sizes in bytes.
///
/// The **tape** is all that a layer leaves behind for its backward pass when it runs plainly, its output included; the
/// **output** is the part that the next layer reads, and all that a checkpoint at the layer keeps (`ā` and `a` of
/// Beaumont et al., arXiv 1911.13214). On a plain chain, where a layer is one tensor, both are the same; such a chain
/// is made from a slice of sizes. In the chain of a graph a layer is often a whole block, with a tape many times its
/// output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers<'a> {
    tape: &'a [u64],
    output: &'a [u64],
}

impl<'a> Layers<'a> {
    /// Layers with tapes and outputs. Time O(n) for n layers.
    ///
    /// # Errors
    /// [`ChainError::Lengths`] if the lists differ in length, [`ChainError::Output`] if an output is larger than its
    /// tape.
    pub fn new(tape: &'a [u64], output: &'a [u64]) -> Result<Self, ChainError> {
        if tape.len() != output.len() {
            return Err(ChainError::Lengths { tape: tape.len(), output: output.len() });
        }
        match tape.iter().zip(output).position(|(tape, output)| output > tape) {
            Some(layer) => Err(ChainError::Output { layer }),
            None => Ok(Self { tape, output }),
        }
    }

    /// Bytes of each layer's tape.
    pub fn tape(&self) -> &'a [u64] {
        self.tape
    }

    /// Bytes of each layer's output, at most those of its tape.
    pub fn output(&self) -> &'a [u64] {
        self.output
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.tape.len()
    }

    /// Is there no layer?
    pub fn is_empty(&self) -> bool {
        self.tape.is_empty()
    }

    /// Checks that the chain can be planned and returns the sum of its tapes. Time O(n) for n layers.
    ///
    /// # Errors
    /// [`ChainError`], if there is no layer, too many of them, or if the sum passes [`SIZE_LIMIT`].
    pub fn check(&self) -> Result<u64, ChainError> {
        if self.is_empty() {
            return Err(ChainError::Empty);
        }
        // Two indices are spare for sentinels.
        if self.len() > u32::MAX as usize - 2 {
            return Err(ChainError::TooLong(self.len()));
        }
        let mut total = 0u64;
        for (layer, &d) in self.tape.iter().enumerate() {
            total = total.checked_add(d).filter(|&t| t <= SIZE_LIMIT).ok_or(ChainError::TooLarge { layer })?;
        }
        Ok(total)
    }
}

impl<'a> From<&'a [u64]> for Layers<'a> {
    fn from(sizes: &'a [u64]) -> Self {
        Self { tape: sizes, output: sizes }
    }
}

impl<'a> From<&'a Vec<u64>> for Layers<'a> {
    fn from(sizes: &'a Vec<u64>) -> Self {
        Self::from(sizes.as_slice())
    }
}

impl<'a, const N: usize> From<&'a [u64; N]> for Layers<'a> {
    fn from(sizes: &'a [u64; N]) -> Self {
        Self::from(sizes.as_slice())
    }
}
