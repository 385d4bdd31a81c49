//! From values to pixels, and where the marks of an axis lie.

/// A linear scale from values `0..=max` to pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    min: u64,
    max: u64,
    from: f64,
    to: f64,
}

impl Scale {
    /// `0` lies at pixel `from`, `max` at pixel `to`.
    pub(crate) fn new(max: u64, from: f64, to: f64) -> Self {
        Self::between(0, max, from, to)
    }

    /// `min` lies at pixel `from`, `max` at pixel `to`.
    pub(crate) fn between(min: u64, max: u64, from: f64, to: f64) -> Self {
        Self { min, max: max.max(min + 1), from, to }
    }

    /// Where a value lies.
    pub(crate) fn at(&self, value: u64) -> f64 {
        let part = (value as f64 - self.min as f64) / (self.max - self.min) as f64;
        self.from + (self.to - self.from) * part
    }
}

/// Marks for an axis of bytes: multiples of a power of two, from `min` up to at least `max`, about `count` of them.
pub(crate) fn byte_ticks(min: u64, max: u64, count: u64) -> Vec<u64> {
    let step = ((max - min.min(max)) / count.max(1)).max(1).checked_next_power_of_two().unwrap_or(1 << 63);
    ticks(min, max, step)
}

/// Marks for an axis of time in nanoseconds: multiples of 1, 2 or 5 times a power of ten, none beyond `max`.
pub(crate) fn time_ticks(max: u64, count: u64) -> Vec<u64> {
    let mut marks = ticks(0, max, round_step(max, count));
    marks.retain(|&t| t <= max);
    marks
}

/// Marks for an axis of shares in millionths, up to at least `max`.
pub(crate) fn percent_ticks(max: u64, count: u64) -> Vec<u64> {
    ticks(0, max, round_step(max, count))
}

fn round_step(max: u64, count: u64) -> u64 {
    let least = (max / count.max(1)).max(1);
    let power = 10u64.pow(least.ilog10());
    [1, 2, 5, 10].into_iter().map(|m| power.saturating_mul(m)).find(|&step| step >= least).unwrap_or(least)
}

/// Multiples of `step` from the last one at or below `min` to the first one at or above `max`.
fn ticks(min: u64, max: u64, step: u64) -> Vec<u64> {
    (min / step..=max.div_ceil(step)).filter_map(|i| i.checked_mul(step)).collect()
}

/// A multiple of a power of two in binary units, without zeros at the end: `1.5 GiB`.
pub(crate) fn bytes_label(bytes: u64) -> String {
    let text = remat::bytes::human(bytes);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// Nanoseconds in the unit that suits `max`: `2.5 ms`.
pub(crate) fn time_label(ns: u64, max: u64) -> String {
    let (unit, name) = match max {
        0..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let hundredths = (u128::from(ns) * 100 + unit / 2) / unit;
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    format!("{} {name}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_bytes_are_binary_and_cover() {
        let ticks = byte_ticks(0, 3 << 30, 6);
        assert_eq!(
            ticks.iter().map(|&t| bytes_label(t)).collect::<Vec<_>>(),
            ["0 B", "512 MiB", "1 GiB", "1.5 GiB", "2 GiB", "2.5 GiB", "3 GiB"]
        );
        for max in [1, 2, 1000, 1 << 40, u64::MAX / 2] {
            let ticks = byte_ticks(0, max, 6);
            assert!((2..=14).contains(&ticks.len()) && *ticks.last().unwrap() >= max, "{max}: {ticks:?}");
        }
    }

    #[test]
    fn marks_of_time_are_round() {
        assert_eq!(
            time_ticks(12_400_000, 8).iter().map(|&t| time_label(t, 12_400_000)).collect::<Vec<_>>(),
            ["0 ms", "2 ms", "4 ms", "6 ms", "8 ms", "10 ms", "12 ms"]
        );
        assert_eq!(time_ticks(0, 8), [0]);
        assert_eq!(percent_ticks(352_506, 5), [0, 100_000, 200_000, 300_000, 400_000]);
    }

    #[test]
    fn scales_run_from_end_to_end() {
        let scale = Scale::between(10, 20, 100.0, 0.0);
        assert_eq!([10, 15, 20].map(|v| px(scale.at(v))), ["100", "50", "0"]);
        assert_eq!(px(Scale::new(0, 0.0, 10.0).at(0)), "0");
    }

    use super::super::px;
}
