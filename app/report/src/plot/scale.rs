//! From values to places: linear and logarithmic scales with round ticks.

/// An axis: its ends, and whether it is logarithmic.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// A linear scale from `low` to `high`; equal ends are pulled apart.
    pub fn linear(low: f64, high: f64) -> Self {
        if low < high {
            return Self { low, high, log: false };
        }
        let by = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
        Self { low: low - by, high: low + by, log: false }
    }

    /// A linear scale around the values, with a little air. None without finite values.
    pub fn around(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = ends(values)?;
        let air = 0.04 * (high - low);
        // Curves that never go below nought should not seem to.
        let floor = if low >= 0.0 && low - air < 0.0 { 0.0 } else { low - air };
        Some(Self::linear(floor, high + air))
    }

    /// A logarithmic scale if all values are positive and the greatest is more than `span` times the least; else a linear one.
    pub fn wide(values: impl Iterator<Item = f64> + Clone, span: f64) -> Option<Self> {
        let (low, high) = ends(values.clone())?;
        if low > 0.0 && high / low > span {
            return Some(Self { low: low / 1.15, high: high * 1.15, log: true });
        }
        Self::around(values)
    }

    /// Where `value` is between `from` and `to`; values beyond the ends are put on them.
    pub fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        let share = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        from + share.clamp(0.0, 1.0) * (to - from)
    }

    /// Whether the scale is logarithmic.
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// About `n` round values within the ends, with their labels.
    pub fn ticks(&self, n: usize) -> Vec<(f64, String)> {
        if self.log {
            let ticks = self.log_ticks();
            if ticks.len() >= 2 {
                return ticks;
            }
        }
        let rough = (self.high - self.low) / n.max(1) as f64;
        let unit = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .iter()
            .map(|m| m * unit)
            .find(|s| *s >= rough * 0.999)
            .unwrap_or(10.0 * unit);
        if !step.is_finite() || step <= 0.0 {
            return Vec::new();
        }
        let first = (self.low / step - 1e-9).ceil();
        let ticks = (0..20).map(|i| (first + f64::from(i)) * step);
        let largest = self.low.abs().max(self.high.abs());
        ticks
            .take_while(|v| *v <= self.high + 1e-9 * step)
            .map(|v| (v, label(v, step, largest)))
            .collect()
    }

    fn log_ticks(&self) -> Vec<(f64, String)> {
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = match decades {
            d if d > 2.5 => &[1.0],
            d if d > 1.5 => &[1.0, 3.0],
            _ => &[1.0, 2.0, 5.0],
        };
        let every = (decades / 7.0).ceil().max(1.0) as i32;
        let from = self.low.log10().floor() as i32;
        let to = self.high.log10().ceil() as i32;
        let powers = (from..=to).filter(|p| every == 1 || p.rem_euclid(every) == 0);
        powers
            .flat_map(|p| steps.iter().map(move |s| s * 10f64.powi(p)))
            .filter(|v| (self.low..=self.high).contains(v))
            .map(|v| (v, label(v, v, v)))
            .collect()
    }
}

/// The least and the greatest finite value.
fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|v| v.is_finite()).fold(None, |ends, v| match ends {
        None => Some((v, v)),
        Some((low, high)) => Some((v.min(low), v.max(high))),
    })
}

/// A tick's label: as many decimals as the step needs, thousands as k, millions as M.
fn label(value: f64, step: f64, largest: f64) -> String {
    let (divisor, unit) = match largest {
        l if l >= 1e15 => return format!("{value:.0e}"),
        l if l >= 1e9 => (1e9, "B"),
        l if l >= 1e6 => (1e6, "M"),
        l if l >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let step = step / divisor;
    if value != 0.0 && largest < 1e-3 {
        return format!("{value:.0e}").replace('-', "−");
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{:.decimals$}", value / divisor).replace('-', "−");
    if value == 0.0 { "0".into() } else { text + unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale) -> Vec<String> {
        scale.ticks(5).into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(Scale::linear(0.0, 1.0)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Scale::linear(0.0, 20_000.0)), ["0", "5k", "10k", "15k", "20k"]);
        assert_eq!(
            labels(Scale::wide([1.0, 900.0].into_iter(), 30.0).unwrap()),
            ["1", "10", "100", "1000"]
        );
        assert_eq!(labels(Scale::linear(-0.3, 0.3)), ["−0.2", "0", "0.2"]);
    }

    #[test]
    fn odd_values_are_no_trouble() {
        assert!(Scale::around([f64::NAN].into_iter()).is_none());
        for (low, high) in [(5.0, 5.0), (0.0, 0.0), (1e-300, 2e-300), (-1e300, 1e300), (3.0, -3.0)]
        {
            let scale = Scale::linear(low, high);
            assert!(scale.ticks(5).len() <= 20);
            assert!((0.0..=1.0).contains(&scale.place(low, 0.0, 1.0)));
        }
    }
}
