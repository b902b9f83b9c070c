//! Reads JSON as a declared type with tolerance: what is not of the declared type is left out and named, and does
//! not hide the rest.

use athanor_store::figures::Summary;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// `value` without what keeps it from being read as `T`; the places that are left out go to `left_out`. Null if
/// `value` is something else altogether. A null field of `T` that has a value otherwise is left out silently.
fn mend<T: DeserializeOwned>(mut value: Value, left_out: &mut Vec<String>) -> Value {
    let fits = |value: Value| serde_json::from_value::<T>(value).is_ok();
    if keep(&mut value, &fits, "", left_out) { value } else { Value::Null }
}

/// Takes out of `value` what does not fit, and says whether the rest does.
fn keep(
    value: &mut Value,
    fits: &dyn Fn(Value) -> bool,
    place: &str,
    left_out: &mut Vec<String>,
) -> bool {
    if fits(value.clone()) {
        return true;
    }
    match value {
        Value::Object(map) if fits(Value::Object(Map::new())) => map.retain(|key, inner| {
            let fits = |inner| fits(Value::Object(Map::from_iter([(key.clone(), inner)])));
            let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            keep(inner, &fits, &place, left_out)
        }),
        Value::Array(rows) if fits(Value::Array(Vec::new())) => rows.retain_mut(|row| {
            let fits = |row| fits(Value::Array(vec![row]));
            keep(row, &fits, &format!("{place}[]"), left_out)
        }),
        Value::Null => return false,
        _ => {
            left_out.push(place.to_owned());
            return false;
        }
    }
    fits(value.clone())
}

/// A summary.json as stage `T` writes it; what does not fit is named in `notes`.
pub fn summary<T: Summary>(value: Value, notes: &mut Vec<String>) -> Value {
    let mut left_out = Vec::new();
    let there = !value.is_null();
    let value = mend::<T>(value, &mut left_out);
    left_out.dedup();
    if there && value.is_null() {
        notes.push("summary.json is damaged: an object was expected".into());
    } else if !left_out.is_empty() {
        notes.push(format!(
            "summary.json: not of the expected type and left out: {}",
            left_out.join(", ")
        ));
    }
    value
}

/// A line of JSON; none if it is not JSON, or not of the type at all.
pub fn row<T: DeserializeOwned>(line: &str) -> Option<T> {
    serde_json::from_str(line).ok().or_else(|| {
        let value = mend::<T>(serde_json::from_str(line).ok()?, &mut Vec::new());
        serde_json::from_value(value).ok()
    })
}

#[cfg(test)]
mod tests {
    use athanor_store::figures::{FinetuneSummary, MetricsRow, RewardSummary};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_the_wrong_type_does_not_hide_the_others() {
        let mut notes = Vec::new();
        let value = json!({
            "seconds": "long", "ece": 0.5, "new": { "a": 1 },
            "by_gap": [3, { "from": 1.0, "pairs": [] }], "calibration": 7,
        });
        let value = summary::<RewardSummary>(value, &mut notes);
        let read: RewardSummary = serde_json::from_value(value).unwrap();
        assert_eq!((read.training.seconds, read.ece, read.by_gap.len()), (None, Some(0.5), 1));
        assert_eq!((read.by_gap[0].from, read.by_gap[0].pairs), (Some(1.0), None));
        assert_eq!(read.others["new"], json!({ "a": 1 }));
        let note = "left out: seconds, by_gap[], by_gap[].pairs, calibration";
        assert!(notes[0].ends_with(note), "{notes:?}");
        assert!(summary::<FinetuneSummary>(json!([]), &mut notes).is_null());
        assert!(notes[1].contains("an object was expected"));
    }

    #[test]
    fn a_line_of_another_type_is_none() {
        assert!(row::<MetricsRow>("7").is_none() && row::<MetricsRow>("{").is_none());
        let read: MetricsRow = row(r#"{"kind":1,"step":2,"loss":null}"#).unwrap();
        assert_eq!((read.kind.as_str(), read.step, read.figures.len()), ("", Some(2), 1));
    }
}
