//! Ratings of a text by several people: the text's worth is their mean, and their spread tells how sure it is.

use athanor_store::{Error, Result};

use super::{Form, Judgement};
use crate::Expression;

/// The form's line in the registry.
pub(super) const FORM: Form = Form {
    name: "ratings",
    about: "numbers by two raters or more",
    keys: None,
    open: |section| {
        let (source, ratings) = (section.ratings.clone(), Expression::new(&section.ratings)?);
        Ok(Box::new(move |record| Ok(vec![(None, statistics(&source, &ratings.value(record)?)?)])))
    },
};

fn statistics(source: &str, ratings: &serde_json::Value) -> Result<Judgement> {
    let wrong = || {
        let found: String = ratings.to_string().chars().take(60).collect();
        Error::input(format!(
            "`{source}` gives {found}, a list of at least two numbers was expected"
        ))
        .hint("reward.data.ratings is an expression over a record's fields: one number for each rater")
    };
    let list: Vec<f64> = ratings
        .as_array()
        .ok_or_else(wrong)?
        .iter()
        .map(|v| v.as_f64().filter(|x| x.is_finite()).ok_or_else(wrong))
        .collect::<Result<_>>()?;
    if list.len() < 2 {
        return Err(wrong());
    }
    let raters = list.len() as f64;
    let mean = list.iter().sum::<f64>() / raters;
    let variance = list.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (raters - 1.0);
    Ok(Judgement::Rated { mean, variance, raters })
}
