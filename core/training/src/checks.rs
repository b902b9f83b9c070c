//! Checks of keys that several sections share.

use athanor_store::Problem;

/// A problem unless values are finite and 0 or more.
pub(crate) fn not_negative<const N: usize>(values: [(&str, f64); N]) -> Result<(), Problem> {
    values.into_iter().try_for_each(|(key, value)| {
        let good = value >= 0.0 && value.is_finite();
        Problem::unless(good, key, format!("is {value}, it must be 0 or more"))
    })
}

/// A problem unless values are shares below 1.
pub(crate) fn below_one<const N: usize>(values: [(&str, f64); N]) -> Result<(), Problem> {
    values.into_iter().try_for_each(|(key, value)| {
        let good = (0.0..1.0).contains(&value);
        Problem::unless(good, key, format!("is {value}, it must be 0 or more and below 1"))
    })
}
