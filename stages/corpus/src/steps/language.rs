//! Which language a text is in.
//!
//! whatlang's trigram model (Cavnar & Trenkle 1994, "N-Gram-Based Text Categorization") over 70
//! languages, behind a rule by script: a text of ideographs is Japanese if kana are more than a
//! twentieth of them, Chinese otherwise.

use athanor_store::{Check, Problem, section};
use serde_json::Value;
use whatlang::Lang;

use super::{Outcome, Step, chinese, parameters, script::is_ideograph};

section! {
    /// Languages.
    pub struct Language {
        /// Keep these, as ISO 639-1: ["en", "zh"]. Empty: all.
        keep: Vec<String> = Vec::new(),
        /// Drop documents of languages to be kept whose score (0 to 1) is lower. datatrove's
        /// threshold for fastText is 0.65; whatlang's scores are no probabilities.
        min_score: f64 = 0.0,
        /// Do not judge texts of fewer letters: they are kept, as "und".
        min_letters: usize = 20,
        /// Letters that are looked at, taken from the beginning, middle and end.
        sample_letters: usize = 3000,
    }
}

/// The codes that the step gives.
pub const CODES: &[(&str, Lang)] = &[
    ("en", Lang::Eng),
    ("zh", Lang::Cmn),
    ("ru", Lang::Rus),
    ("pt", Lang::Por),
    ("es", Lang::Spa),
    ("bn", Lang::Ben),
    ("hi", Lang::Hin),
    ("uk", Lang::Ukr),
    ("ka", Lang::Kat),
    ("ar", Lang::Ara),
    ("he", Lang::Heb),
    ("yi", Lang::Yid),
    ("pl", Lang::Pol),
    ("am", Lang::Amh),
    ("jv", Lang::Jav),
    ("ko", Lang::Kor),
    ("nb", Lang::Nob),
    ("da", Lang::Dan),
    ("sv", Lang::Swe),
    ("fi", Lang::Fin),
    ("tr", Lang::Tur),
    ("nl", Lang::Nld),
    ("hu", Lang::Hun),
    ("cs", Lang::Ces),
    ("el", Lang::Ell),
    ("bg", Lang::Bul),
    ("be", Lang::Bel),
    ("mr", Lang::Mar),
    ("kn", Lang::Kan),
    ("ro", Lang::Ron),
    ("sl", Lang::Slv),
    ("hr", Lang::Hrv),
    ("sr", Lang::Srp),
    ("mk", Lang::Mkd),
    ("lt", Lang::Lit),
    ("lv", Lang::Lav),
    ("et", Lang::Est),
    ("ta", Lang::Tam),
    ("vi", Lang::Vie),
    ("ur", Lang::Urd),
    ("th", Lang::Tha),
    ("gu", Lang::Guj),
    ("uz", Lang::Uzb),
    ("pa", Lang::Pan),
    ("az", Lang::Aze),
    ("id", Lang::Ind),
    ("te", Lang::Tel),
    ("fa", Lang::Pes),
    ("ml", Lang::Mal),
    ("or", Lang::Ori),
    ("my", Lang::Mya),
    ("ne", Lang::Nep),
    ("si", Lang::Sin),
    ("km", Lang::Khm),
    ("tk", Lang::Tuk),
    ("ak", Lang::Aka),
    ("zu", Lang::Zul),
    ("sn", Lang::Sna),
    ("af", Lang::Afr),
    ("la", Lang::Lat),
    ("sk", Lang::Slk),
    ("ca", Lang::Cat),
    ("tl", Lang::Tgl),
    ("hy", Lang::Hye),
    ("de", Lang::Deu),
    ("fr", Lang::Fra),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("eo", Lang::Epo),
];

/// Not known.
pub const UNKNOWN: &str = "und";

/// The code that is meant, as it lives as long as the program; empty if there is none.
pub(crate) fn known(code: &str) -> &'static str {
    if code == UNKNOWN {
        return UNKNOWN;
    }
    CODES.iter().find(|(c, _)| *c == code).map_or("", |(c, _)| c)
}

/// A text's language, if it is not known yet, and of Chinese the script: "zh-Hans" or "zh-Hant" (BCP 47). Every
/// other language is detected in one script only: whatlang has Serbian in Cyrillic, Azerbaijani in Latin.
pub(crate) fn written(text: &str, known: &'static str) -> &'static str {
    let language = if known.is_empty() { Language::default().detect(text).0 } else { known };
    match language {
        "zh" if chinese::is_traditional(text) => "zh-Hant",
        "zh" => "zh-Hans",
        other => other,
    }
}

impl Check for Language {
    fn check(&self) -> Result<(), Problem> {
        for (i, code) in self.keep.iter().enumerate() {
            let codes: Vec<&str> = CODES.iter().map(|(c, _)| *c).chain([UNKNOWN]).collect();
            Problem::unless_one_of(format!("keep.{i}"), code, &codes)?;
        }
        Problem::unless((0.0..=1.0).contains(&self.min_score), "min_score", "must be in 0..1")?;
        Problem::unless(self.sample_letters >= 100, "sample_letters", "must be at least 100")
    }
}

impl Step for Language {
    fn apply(&self, text: &str) -> Outcome {
        let (code, score) = self.detect(text);
        if code == UNKNOWN {
            return Outcome::Language(UNKNOWN);
        }
        if !self.keep.is_empty() && !self.keep.iter().any(|k| k == code) {
            return Outcome::Drop("another language");
        }
        if score < self.min_score {
            return Outcome::Drop("language not clear");
        }
        Outcome::Language(code)
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

impl Language {
    /// The language and its score.
    pub fn detect(&self, text: &str) -> (&'static str, f64) {
        let (mut letters, mut wide, mut kana) = (0usize, 0usize, 0usize);
        for c in text.chars().filter(|c| c.is_alphabetic()) {
            letters += 1;
            wide += usize::from(is_ideograph(c));
            kana += usize::from(matches!(c, '\u{3040}'..='\u{30FF}'));
        }
        // An ideograph says as much as a few letters.
        if letters + 3 * wide < self.min_letters {
            return (UNKNOWN, 0.0);
        }
        // A Chinese letter is a word of about five Latin ones.
        if wide * 5 >= letters - wide {
            let share = (wide * 5) as f64 / (wide * 4 + letters) as f64;
            return if kana * 20 > wide { ("ja", share) } else { ("zh", share) };
        }
        let sample = sample(text, self.sample_letters);
        match whatlang::detect(&sample) {
            Some(info) => {
                let code =
                    CODES.iter().find(|(_, l)| *l == info.lang()).map_or(UNKNOWN, |(c, _)| c);
                (code, info.confidence())
            }
            None => (UNKNOWN, 0.0),
        }
    }
}

/// The beginning, middle and end of a long text.
fn sample(text: &str, letters: usize) -> std::borrow::Cow<'_, str> {
    // Four bytes a letter are enough for any script.
    if text.len() <= letters * 4 {
        return text.into();
    }
    let part = letters / 3;
    let piece = |from: usize| {
        let from = (from..text.len()).find(|&i| text.is_char_boundary(i)).unwrap_or(text.len());
        text[from..].chars().take(part).collect::<String>()
    };
    let all = [piece(0), piece(text.len() / 2), piece(text.len() - text.len() / 6)];
    all.join(" ").into()
}
