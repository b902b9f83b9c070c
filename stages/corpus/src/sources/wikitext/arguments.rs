//! The arguments of a template.

pub(super) struct Arguments {
    positional: Vec<String>,
    named: Vec<(String, String)>,
}

impl Arguments {
    pub(super) fn new(parts: &[String]) -> Self {
        let mut found = Self { positional: Vec::new(), named: Vec::new() };
        for part in parts {
            let named = part.split_once('=').filter(|(key, _)| {
                let key = key.trim();
                !key.is_empty()
                    && key.len() <= 30
                    && key.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-'))
            });
            match named {
                Some((key, value)) => match key.trim().parse::<usize>() {
                    // `1=` gives the first positional one.
                    Ok(n @ 1..=20) => {
                        if found.positional.len() < n {
                            found.positional.resize(n, String::new());
                        }
                        found.positional[n - 1] = value.trim().into();
                    }
                    _ => found.named.push((key.trim().to_lowercase(), value.trim().into())),
                },
                None => found.positional.push(part.trim().into()),
            }
        }
        found
    }

    /// Those without names.
    pub(super) fn all(&self) -> &[String] {
        &self.positional
    }

    pub(super) fn at(&self, n: usize) -> &str {
        self.positional.get(n).map_or("", String::as_str)
    }

    pub(super) fn last(&self) -> String {
        self.positional.last().cloned().unwrap_or_default()
    }

    pub(super) fn get(&self, key: &str) -> String {
        self.named.iter().find(|(k, _)| k == key).map_or(String::new(), |(_, v)| v.clone())
    }
}
