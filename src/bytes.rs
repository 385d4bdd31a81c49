//! Sizes and budgets as people write and read them. All arithmetic is in whole bytes.

use std::str::FromStr;

const BINARY: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const DECIMAL: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];

/// Bytes with a binary unit and two decimals, rounded to nearest; exact below 1 KiB.
///
/// ```
/// assert_eq!(remat::bytes::human(1000), "1000 B");
/// assert_eq!(remat::bytes::human(1536 << 20), "1.50 GiB");
/// ```
pub fn human(bytes: u64) -> String {
    let power = bytes.max(1).ilog2() / 10;
    if power == 0 {
        return format!("{bytes} B");
    }
    let scale = 1u128 << (10 * power);
    let hundredths = (u128::from(bytes) * 100 + scale / 2) / scale;
    format!("{}.{:02} {}", hundredths / 100, hundredths % 100, BINARY[power as usize - 1])
}

/// A bound on the peak: bytes, or a share of the peak without checkpointing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Bytes.
    Bytes(u64),
    /// Millionths of the peak without checkpointing; `80%` is 800,000.
    Share(u64),
}

/// Why a size or a budget cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseBytesError {
    /// No number at the start.
    #[error("expected a size such as 8GiB, 8GB or 8589934592 (bytes), or a share such as 80%")]
    NoNumber,
    /// Less than nothing.
    #[error("a size in bytes cannot be negative")]
    Negative,
    /// A unit that could be decimal or binary, bits or bytes.
    #[error("the unit {unit:?} is ambiguous; write {number}{binary} (binary) or {number}{decimal} (decimal)")]
    Ambiguous {
        /// The number as it was written.
        number: String,
        /// The unit as it was written.
        unit: String,
        /// What may have been meant.
        binary: &'static str,
        /// What else may have been meant.
        decimal: &'static str,
    },
    /// No such unit.
    #[error("unknown unit {0:?}; units are B, kB, MB, GB, TB, PB, EB and KiB, MiB, GiB, TiB, PiB, EiB")]
    Unit(String),
    /// More than 2^64 - 1 bytes, or a share beyond reason.
    #[error("too large; the largest size is 18446744073709551615 bytes (16 EiB less one), the largest share 1000%")]
    Overflow,
    /// A fraction of a byte.
    #[error("not a whole number of bytes")]
    Fraction,
}

impl FromStr for Budget {
    type Err = ParseBytesError;

    /// Reads `8589934592`, `8589934592B`, `8GiB`, `7.5GiB`, `8GB` or `80%`, with or without a space before the unit.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.starts_with('-') {
            return Err(ParseBytesError::Negative);
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..end], text[end..].trim_start());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_number = !whole.is_empty() && !fraction.contains('.') && !number.ends_with('.');
        if !is_number {
            return Err(ParseBytesError::NoNumber);
        }
        if unit == "%" {
            let share = scaled(whole, fraction, 10_000)?;
            return if share <= 10_000_000 { Ok(Self::Share(share)) } else { Err(ParseBytesError::Overflow) };
        }
        scaled(whole, fraction, scale(number, unit)?).map(Self::Bytes)
    }
}

impl Budget {
    /// The budget in bytes, rounded down, where a step without checkpointing peaks at `without` bytes.
    pub fn resolve(self, without: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(share) => {
                let bytes = u128::from(without) * u128::from(share) / 1_000_000;
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
        }
    }
}

/// Bytes of one unit.
fn scale(number: &str, unit: &str) -> Result<u64, ParseBytesError> {
    if matches!(unit, "" | "B") {
        return Ok(1);
    }
    for (power, (&binary, &decimal)) in (1u32..).zip(BINARY.iter().zip(&DECIMAL)) {
        if unit == binary {
            return Ok(1 << (10 * power));
        }
        if unit == decimal {
            return Ok(1000u64.pow(power));
        }
        // `8G`, `8Gb`, `8gb`, `8KB`: half of their writers mean the other unit.
        let spellings = [&binary[..1], &decimal[..2], &binary[..2], binary];
        if spellings.iter().any(|s| s.eq_ignore_ascii_case(unit)) {
            return Err(ParseBytesError::Ambiguous { number: number.into(), unit: unit.into(), binary, decimal });
        }
    }
    Err(ParseBytesError::Unit(unit.chars().take(20).collect()))
}

/// `whole.fraction × scale`, rounded down.
fn scaled(whole: &str, fraction: &str, scale: u64) -> Result<u64, ParseBytesError> {
    let fraction = fraction.trim_end_matches('0');
    if scale == 1 && !fraction.is_empty() {
        return Err(ParseBytesError::Fraction);
    }
    // 10^18 × 2^60 fits; digits behind the eighteenth are less than a byte of any unit.
    let digits = &fraction[..fraction.len().min(18)];
    let whole: u64 = whole.parse().map_err(|_| ParseBytesError::Overflow)?;
    let part = digits.bytes().fold(0u128, |value, digit| value * 10 + u128::from(digit - b'0'));
    let part = part * u128::from(scale) / 10u128.pow(digits.len() as u32);
    u64::try_from(u128::from(whole) * u128::from(scale) + part).map_err(|_| ParseBytesError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Budget, ParseBytesError> {
        text.parse()
    }

    #[test]
    fn units_are_what_they_say() {
        for (text, bytes) in [
            ("0", 0),
            ("512B", 512),
            ("8GiB", 8 << 30),
            ("8 GiB", 8 << 30),
            ("8GB", 8_000_000_000),
            ("1.5KiB", 1536),
            ("7.3GiB", 7_838_315_315),
            ("0.5kB", 500),
            ("18446744073709551615", u64::MAX),
            ("15EiB", 15 << 60),
        ] {
            assert_eq!(read(text), Ok(Budget::Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn shares_are_of_the_peak_without() {
        assert_eq!(read("80%").map(|b| b.resolve(1001)), Ok(800));
        assert_eq!(read("72.5%").map(|b| b.resolve(1000)), Ok(725));
        assert_eq!(read("100%").map(|b| b.resolve(u64::MAX)), Ok(u64::MAX));
        assert_eq!(read("1000%").map(|b| b.resolve(u64::MAX)), Ok(u64::MAX));
        assert_eq!(read("1000.1%"), Err(ParseBytesError::Overflow));
    }

    #[test]
    fn ambiguous_units_are_refused() {
        for text in ["8G", "8g", "8Gb", "8gb", "8Gi", "8gib", "8Gib", "8K", "8KB", "8k", "8M", "8T"] {
            assert!(matches!(read(text), Err(ParseBytesError::Ambiguous { .. })), "{text}: {:?}", read(text));
        }
        let said = read("8G").expect_err("ambiguous").to_string();
        assert_eq!(said, "the unit \"G\" is ambiguous; write 8GiB (binary) or 8GB (decimal)");
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(read(""), Err(ParseBytesError::NoNumber));
        assert_eq!(read("GiB"), Err(ParseBytesError::NoNumber));
        assert_eq!(read("."), Err(ParseBytesError::NoNumber));
        assert_eq!(read("1."), Err(ParseBytesError::NoNumber));
        assert_eq!(read("1.2.3GiB"), Err(ParseBytesError::NoNumber));
        assert_eq!(read("NaN"), Err(ParseBytesError::NoNumber));
        assert_eq!(read("-1GiB"), Err(ParseBytesError::Negative));
        assert_eq!(read("1e9"), Err(ParseBytesError::Unit("e9".into())));
        assert_eq!(read("8 apples"), Err(ParseBytesError::Unit("apples".into())));
        assert_eq!(read("8ö"), Err(ParseBytesError::Unit("ö".into())));
        assert_eq!(read("0.5"), Err(ParseBytesError::Fraction));
        assert_eq!(read("0.5B"), Err(ParseBytesError::Fraction));
        assert_eq!(read("16EiB"), Err(ParseBytesError::Overflow));
        assert_eq!(read("18446744073709551616"), Err(ParseBytesError::Overflow));
        assert_eq!(read("99999999999999999999999999GiB"), Err(ParseBytesError::Overflow));
    }

    #[test]
    fn sizes_are_rounded_to_nearest() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(1023), "1023 B");
        assert_eq!(human(1024), "1.00 KiB");
        assert_eq!(human((1 << 30) + (1 << 29)), "1.50 GiB");
        assert_eq!(human(u64::MAX), "16.00 EiB");
    }
}
