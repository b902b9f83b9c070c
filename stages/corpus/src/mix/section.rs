//! The keys of the mix.

use athanor_store::{Check, Problem, section};

use crate::{sources::SourceSection, steps::language};

section! {
    /// What the training shards are made of.
    pub struct MixSection {
        /// What gets shares: "none" (everything as often as `repeat` says), "source", "language", or "both":
        /// languages, and sources within each.
        by: String = "none".to_string(),
        /// Sources or languages (ISO 639-1) with a share or weight of their own.
        parts: Vec<PartSection> = Vec::new(),
        /// Shares of what `parts` leaves go by tokens to the power of 1/temperature: 1 as they are, above
        /// that small groups get more.
        temperature: f64 = 1.0,
        /// No document comes more often than this.
        max_epochs: f64 = 4.0,
        /// Training tokens of the mix; 0: as many as there are.
        tokens: u64 = 0,
        /// Documents of a group come by their quality score to this power; 0: all alike. Needs the step
        /// `quality`; what it has not judged has score 1.
        quality: f64 = 0.0,
        /// Write training documents in an order by chance instead of the sources' order. A mix is always
        /// in that order.
        shuffle: bool = false,
    }
}

section! {
    /// A part of the mix.
    pub struct PartSection {
        /// The source or language.
        name: String = String::new(),
        /// Its share of the training tokens, 0 to 1; not set: by tokens and weight.
        share: Option<f64> = None,
        /// Its weight among those without a share.
        weight: f64 = 1.0,
    }
}

impl Check for PartSection {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless(!self.name.is_empty(), "name", "which source or language?")?;
        let good = self.share.is_none_or(|s| (0.0..=1.0).contains(&s));
        Problem::unless(good, "share", "must be in 0..1")?;
        Problem::unless(self.weight >= 0.0, "weight", "must not be negative")
    }
}

impl Check for MixSection {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless_one_of("by", &self.by, &["none", "source", "language", "both"])?;
        Problem::unless(self.temperature > 0.0, "temperature", "must be positive")?;
        Problem::unless(self.max_epochs > 0.0, "max_epochs", "must be positive")?;
        Problem::unless(self.quality >= 0.0, "quality", "must not be negative")?;
        Problem::unless(
            self.parts.is_empty() || self.by != "none",
            "parts",
            "parts need by = \"source\", \"language\" or \"both\"",
        )
    }
}

impl MixSection {
    /// Whether anything is weighed at all.
    pub(crate) fn weighs(&self) -> bool {
        self.by != "none" || self.tokens > 0 || self.quality > 0.0
    }

    /// Checks that fit the mix to the sources and steps.
    pub(crate) fn check_with(
        &self,
        sources: &[SourceSection],
        steps: &[String],
    ) -> std::result::Result<(), Problem> {
        for (i, part) in self.parts.iter().enumerate() {
            let source = sources.iter().any(|s| s.name == part.name);
            let language =
                part.name == language::UNKNOWN || !language::known(&part.name).is_empty();
            let good = match self.by.as_str() {
                "source" => source,
                "language" => language,
                _ => source || language,
            };
            let what = if self.by == "source" { "source" } else { "source or language" };
            let name = format!("parts.{i}.name");
            Problem::unless(good, name, format!("there is no {what} {:?}", part.name))?;
        }
        for names in [true, false] {
            let shares =
                self.parts.iter().filter(|p| sources.iter().any(|s| s.name == p.name) == names);
            let sum: f64 = shares.filter_map(|p| p.share).sum();
            Problem::unless(sum <= 1.0 + 1e-9, "parts", format!("the shares add up to {sum:.3}"))?;
        }
        let has = |step: &str| steps.iter().any(|s| s == step);
        Problem::unless(
            !matches!(self.by.as_str(), "language" | "both") || has("language"),
            "by",
            "needs the step \"language\"",
        )?;
        let scored = self.quality == 0.0 || has("quality");
        Problem::unless(scored, "quality", "needs the step \"quality\"")?;
        let once = !self.weighs() || sources.iter().all(|s| s.repeat == 1);
        Problem::unless(once, "by", "a mix decides how often documents come: leave `repeat` out")
    }
}
