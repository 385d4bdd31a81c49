//! Choices of the generators: a small random generator, or the bytes a fuzzer hands in.

/// A source of choices, the same on every platform.
///
/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct Choices {
    state: u64,
    given: std::collections::VecDeque<u8>,
}

impl Choices {
    /// Choices fixed by a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed, given: std::collections::VecDeque::new() }
    }

    /// Choices read off the given bytes, so that a fuzzer steers them; once they are used up, as [`Self::seeded`] with
    /// seed 0.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self { state: 0, given: bytes.iter().copied().collect() }
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if self.given.is_empty() {
            return ((u128::from(self.next()) * u128::from(n)) >> 64) as u64;
        }
        let (mut value, mut reach) = (0u64, 1u64);
        while reach < n && reach < 1 << 56 {
            value = value << 8 | u64::from(self.given.pop_front().unwrap_or(0));
            reach <<= 8;
        }
        if n == 0 { 0 } else { value % n }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the items; `None` if there are none.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len() as u64) as usize).copied()
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.state;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::Choices;

    #[test]
    fn the_published_sequence() {
        let mut c = Choices::seeded(1_234_567);
        assert_eq!([c.next(), c.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn bytes_steer_and_then_run_out() {
        let mut c = Choices::from_bytes(&[7, 1, 2]);
        assert_eq!(c.below(100), 7);
        assert_eq!(c.below(65536), 0x0102);
        assert_eq!(c.below(1000), Choices::seeded(0).below(1000));
        assert_eq!(c.below(0), 0);
        assert!((5..=9).contains(&c.between(5, 9)));
    }
}
