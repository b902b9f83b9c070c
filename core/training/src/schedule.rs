//! Learning rates by step.

use crate::section::TrainSection;

/// Names that `schedule` may have.
pub const NAMES: &[&str] = &["cosine", "linear", "wsd", "constant"];

/// Learning rate of step `step` (from 0) of `steps`: linear warm-up to the peak, reached at step
/// `warmup_steps`, then
///
/// - cosine: half a cosine down to the final share (Loshchilov and Hutter 2017),
/// - linear: straight down,
/// - wsd: flat, then straight down over the last `decay_share` (Hu et al. 2024, "MiniCPM"),
/// - constant.
pub fn learning_rate(section: &TrainSection, step: u64, steps: u64) -> f64 {
    let (peak, last) = (section.learning_rate, section.learning_rate * section.final_share);
    let warmup = section.warmup_steps.min(steps);
    if step < warmup {
        return peak * (step + 1) as f64 / (warmup + 1) as f64;
    }
    let share = |from: u64| {
        let length = steps.saturating_sub(from + 1).max(1);
        (step.saturating_sub(from) as f64 / length as f64).clamp(0.0, 1.0)
    };
    let down = |x: f64| peak + (last - peak) * x;
    match section.schedule.as_str() {
        "cosine" => down(0.5 - 0.5 * (std::f64::consts::PI * share(warmup)).cos()),
        "linear" => down(share(warmup)),
        "wsd" => {
            let decay = (steps as f64 * section.decay_share).round() as u64;
            down(share(steps.saturating_sub(decay).max(warmup)))
        }
        _ => peak,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_their_shapes() {
        for name in NAMES {
            let s = TrainSection {
                schedule: (*name).into(),
                warmup_steps: 10,
                learning_rate: 1.0,
                final_share: 0.1,
                ..TrainSection::default()
            };
            let rate: Vec<f64> = (0..110).map(|i| learning_rate(&s, i, 110)).collect();
            assert!(rate[..=10].is_sorted() && rate[0] > 0.0, "{name}");
            assert!((rate[10] - 1.0).abs() < 1e-12, "{name}");
            assert!(rate[10..].windows(2).all(|w| w[1] <= w[0] + 1e-12), "{name}");
            let last = if *name == "constant" { 1.0 } else { 0.1 };
            assert!((rate[109] - last).abs() < 1e-12, "{name}: {}", rate[109]);
            let flat = rate[60] > 0.999;
            assert_eq!(flat, matches!(*name, "wsd" | "constant"), "{name}");
        }
        let none = TrainSection { warmup_steps: 0, ..TrainSection::default() };
        assert!(learning_rate(&none, 0, 1) > 0.0 && learning_rate(&none, 0, 0) > 0.0);
    }
}
