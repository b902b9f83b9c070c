//! Learning rates by step.

use athanor_store::{Check, Choice, OwnKeys, Problem, Registry, section};

/// A way from the peak to the last learning rate.
pub struct Schedule {
    name: &'static str,
    about: &'static str,
    keys: Option<OwnKeys>,
    /// Share of the way down (0 at the peak, 1 at the end) at `step` of the `steps` after the warm-up; `all` are
    /// the steps with it.
    down: fn(&Choice<Schedule>, step: u64, steps: u64, all: u64) -> f64,
}

/// All schedules.
pub static SCHEDULES: Registry<Schedule> =
    Registry::new("schedule", &[COSINE, LINEAR, WSD, CONSTANT]);

athanor_store::registered!(Schedule, SCHEDULES, keys);

/// Loshchilov and Hutter 2017, "SGDR".
const COSINE: Schedule = Schedule {
    name: "cosine",
    about: "half a cosine",
    keys: None,
    down: |_, step, steps, _| 0.5 - 0.5 * (std::f64::consts::PI * share(step, steps)).cos(),
};

const LINEAR: Schedule = Schedule {
    name: "linear",
    about: "a straight line",
    keys: None,
    down: |_, step, steps, _| share(step, steps),
};

section! {
    /// Warm-up, stable, decay.
    pub struct WsdSection {
        /// Share of the steps in which the rate goes down.
        decay_share: f64 = 0.2,
    }
}

impl Check for WsdSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless((0.0..=1.0).contains(&self.decay_share), "decay_share", "must be 0 to 1")
    }
}

/// Hu et al. 2024, "MiniCPM".
const WSD: Schedule = Schedule {
    name: "wsd",
    about: "flat, then straight down to the end",
    keys: Some(OwnKeys::of::<WsdSection>()),
    down: |choice, step, steps, all| {
        let WsdSection { decay_share } = choice.own_of(WSD.name);
        let decay = (all as f64 * decay_share).round() as u64;
        let flat = steps.saturating_sub(decay);
        share(step.saturating_sub(flat), steps - flat)
    },
};

const CONSTANT: Schedule =
    Schedule { name: "constant", about: "the peak to the end", keys: None, down: |_, _, _, _| 0.0 };

/// How far `step` is on its way to the last of `steps`.
fn share(step: u64, steps: u64) -> f64 {
    (step as f64 / steps.saturating_sub(1).max(1) as f64).clamp(0.0, 1.0)
}

/// The chosen schedule's share of the way down at `step` of the `steps` after the warm-up; `all` are the steps
/// with it.
pub(crate) fn down(choice: &Choice<Schedule>, step: u64, steps: u64, all: u64) -> f64 {
    choice.entry().map_or(0.0, |schedule| (schedule.down)(choice, step, steps, all))
}
