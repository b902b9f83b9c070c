//! The date for chat templates that state it (Llama 3's does): Python's strftime in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{
    Timestamp,
    fmt::strtime::{BrokenDownTime, Config},
};

/// Seconds since 1970: `SOURCE_DATE_EPOCH` where it is set (reproducible-builds.org), or now.
pub(crate) fn now() -> u64 {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|s| s.trim().parse().ok());
    fixed.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
    })
}

/// `format` at `seconds` since 1970, UTC, by jiff's strftime; a directive that it does not know stays as it is.
pub(crate) fn strftime(format: &str, seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok());
    let moment = moment.unwrap_or(Timestamp::MAX);
    let mut out = String::new();
    let parts = BrokenDownTime::from(moment);
    match parts.format_with_config(&Config::new().lenient(true), format, &mut out) {
        Ok(()) => out,
        Err(_) => format.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::strftime;

    #[test]
    fn dates() {
        assert_eq!(strftime("%d %b %Y", 1_721_952_000), "26 Jul 2024");
        assert_eq!(
            strftime("%A %Y-%m-%d %H:%M:%S %j %-d", 1_709_251_199),
            "Thursday 2024-02-29 23:59:59 060 29"
        );
        assert_eq!(strftime("%a %I %p 100%% %! %", 0), "Thu 12 AM 100% %! %");
    }
}
