//! Learning rates by step.

use crate::section::TrainSection;

/// A way from the peak to the last learning rate.
pub struct Schedule {
    /// Its name in a recipe.
    pub name: &'static str,
    /// Share of the way down (0 at the peak, 1 at the end) at `step` of the `steps` after the
    /// warm-up, given `decay_share`'s number of steps.
    down: fn(step: u64, steps: u64, decay: u64) -> f64,
}

/// All schedules.
pub static SCHEDULES: &[Schedule] = &[
    // Half a cosine: Loshchilov and Hutter 2017, "SGDR".
    Schedule {
        name: "cosine",
        down: |step, steps, _| 0.5 - 0.5 * (std::f64::consts::PI * share(step, steps)).cos(),
    },
    Schedule { name: "linear", down: |step, steps, _| share(step, steps) },
    // Flat, then straight down: Hu et al. 2024, "MiniCPM".
    Schedule {
        name: "wsd",
        down: |step, steps, decay| {
            let flat = steps.saturating_sub(decay);
            share(step.saturating_sub(flat), steps - flat)
        },
    },
    Schedule { name: "constant", down: |_, _, _| 0.0 },
];

/// How far `step` is on its way to the last of `steps`.
fn share(step: u64, steps: u64) -> f64 {
    (step as f64 / steps.saturating_sub(1).max(1) as f64).clamp(0.0, 1.0)
}

/// Learning rate of step `step` (from 0) of `steps`: linear warm-up to the peak, reached at step
/// `warmup_steps`, then the schedule down to the final share of the peak.
pub fn learning_rate(section: &TrainSection, step: u64, steps: u64) -> f64 {
    let peak = section.peak_learning_rate();
    let warmup = section.warmup_steps.min(steps);
    if step < warmup {
        return peak * (step + 1) as f64 / (warmup + 1) as f64;
    }
    let schedule = SCHEDULES.iter().find(|s| s.name == section.schedule).unwrap_or(&SCHEDULES[0]);
    let decay = (steps as f64 * section.decay_share).round() as u64;
    let down = (schedule.down)(step - warmup, steps - warmup, decay);
    peak + peak * (section.final_share - 1.0) * down
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_their_shapes() {
        for name in SCHEDULES.iter().map(|s| s.name) {
            let s = TrainSection {
                schedule: name.into(),
                warmup_steps: 10,
                learning_rate: Some(1.0),
                final_share: 0.1,
                ..TrainSection::default()
            };
            let rate: Vec<f64> = (0..110).map(|i| learning_rate(&s, i, 110)).collect();
            assert!(rate[..=10].is_sorted() && rate[0] > 0.0, "{name}");
            assert!((rate[10] - 1.0).abs() < 1e-12, "{name}");
            assert!(rate[10..].windows(2).all(|w| w[1] <= w[0] + 1e-12), "{name}");
            let last = if name == "constant" { 1.0 } else { 0.1 };
            assert!((rate[109] - last).abs() < 1e-12, "{name}: {}", rate[109]);
            let flat = rate[60] > 0.999;
            assert_eq!(flat, matches!(name, "wsd" | "constant"), "{name}");
        }
        let none = TrainSection { warmup_steps: 0, ..TrainSection::default() };
        assert!(learning_rate(&none, 0, 1) > 0.0 && learning_rate(&none, 0, 0) > 0.0);
    }
}
