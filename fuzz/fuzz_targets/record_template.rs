//! A template over a record's fields, and an expression.
#![no_main]

use athanor_data::{Expression, Record, Template};
use athanor_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let record = serde_json::json!({
        "text": "One two, three  four.", "zh": "春風 又綠。江南岸", "ratings": [1, 2, -4, 4.5],
        "domain": "movie", "n": -3, "nothing": null,
    });
    let serde_json::Value::Object(record) = record else { return };
    let record = Record(record);
    bounded(data.len(), 256 << 20, || {
        if let Ok(template) = Template::new(source) {
            let _ = template.render(&record);
        }
        if let Ok(expression) = Expression::new(source) {
            let _ = expression.value(&record);
            let _ = expression.number(&record);
        }
    });
});
