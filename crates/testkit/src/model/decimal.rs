//! Decimals that are what they look like: the shares and factors of section 10 are multiplied exactly (section 6).

use std::{fmt, str::FromStr};

/// A decimal from 0 up, with at most 18 digits. 0.07 is exactly seven hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    digits: u64,
    places: u32,
}

impl Decimal {
    /// `digits` times ten to the power of minus `places` (at most 18).
    pub fn new(digits: u64, places: u32) -> Self {
        assert!(places <= 18, "at most 18 places");
        Self { digits, places }
    }

    /// The product with `number`, rounded down.
    pub fn floor_times(self, number: i64) -> i64 {
        let product = i128::from(number) * i128::from(self.digits);
        i64::try_from(product.div_euclid(10_i128.pow(self.places))).expect("a small product")
    }
}

/// Reads `12`, `0.07`. Anything else, signs and exponents included, is refused.
impl FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (whole, places) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{places}");
        let well_formed = !whole.is_empty()
            && digits.len() <= 18
            && text.ends_with(|c: char| c.is_ascii_digit())
            && digits.bytes().all(|b| b.is_ascii_digit());
        match digits.parse() {
            Ok(number) if well_formed => {
                Ok(Self::new(number, u32::try_from(places.len()).map_err(|e| e.to_string())?))
            }
            _ => Err(format!("{text:?} is not a decimal such as 0.07")),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = 10_u64.pow(self.places);
        write!(f, "{}", self.digits / power)?;
        if self.places > 0 {
            let width = self.places as usize;
            write!(f, ".{:0width$}", self.digits % power)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_print_as_read_and_multiply_exactly() {
        for text in ["0.07", "1.2", "1", "0.0005", "12.50"] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
        for text in ["", ".", "1.", ".5", "-1", "1e3", "1.2.3", "x"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
        // In binary floating point 0.07 * 100 is 7.000000000000001 and 35 * 1.2 is 42.0, but 1.1 * 10 * 0.7 is not exact.
        assert_eq!("0.07".parse::<Decimal>().unwrap().floor_times(100), 7);
        assert_eq!("0.29".parse::<Decimal>().unwrap().floor_times(100), 29);
        assert_eq!("1.15".parse::<Decimal>().unwrap().floor_times(100), 115);
        assert_eq!("1.2".parse::<Decimal>().unwrap().floor_times(1), 1);
    }
}
