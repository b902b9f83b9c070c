//! What the kept documents are about, roughly: a sample of them in groups, each with the words by which it differs.
//!
//! In the sample a document is the likelier the longer it is (Efraimidis and Spirakis 2006, "Weighted random sampling with a
//! reservoir"), so that shares are of text, not of documents: by documents a library of novels would be lost among
//! reviews of a line. What is chance in it is a hash of the text, so that the parts' samples give that of the whole. Groups come from k-means over the cosine of TF-IDF vectors (Dhillon and Modha 2001, "Concept
//! decompositions for large sparse text data using clustering"), begun as k-means++ begins (Arthur and Vassilvitskii
//! 2007). Chinese and Japanese have no spaces: there a term is two ideographs that stand side by side.
//!
//! Words that say nothing are left out: the stop words of the document's language (Stopwords ISO, 57 languages), and what
//! is in more than half of the documents in that language and script (a quarter, where there is no list); by the sample as a whole, a language
//! that few documents are in would be a topic with the words "the" and "and". A pair of ideographs goes if
//! it is a stop word, if both of it are, or if one is and is too common besides: such a pair ends or begins in the middle of a
//! word. (Among ideographs English stop words go, too.) The list is of simplified characters; for traditional ones what is too common decides.
//!
//! The words shown for a group are those with the highest class-based TF-IDF (Grootendorst 2022,
//! <https://arxiv.org/abs/2203.05794>, section 3.3), a term counted once a document. The same documents give the same groups.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use athanor_data::splitmix64;
use serde::{Deserialize, Serialize};

use crate::steps::{grams, language, script::is_ideograph};

/// Documents of the sample.
const SAMPLE: usize = 1000;
/// Terms of a document that are looked at, and different ones that are kept: the commonest.
const LOOKED_AT: usize = 3000;
const TERMS: usize = 150;
/// Groups, words and sources shown for each.
const GROUPS: usize = 12;
const WORDS: usize = 8;
const SOURCES: usize = 3;
/// Below so many documents there is nothing to group.
const FEWEST: usize = 20;
const ROUNDS: usize = 20;
const STARTS: u64 = 3;

/// A group of documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Topic {
    /// Documents of the sample in it.
    pub documents: u64,
    /// Their share of the sample: about that of the text.
    pub share: f64,
    /// The terms that tell it from the others, the most telling first.
    pub words: Vec<String>,
    /// The sources that most of them are from, and how many.
    pub sources: Vec<(String, u64)>,
}

/// A document of the sample.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sampled {
    /// Its place in the order by chance.
    hash: u64,
    source: usize,
    /// Its language and script.
    written: String,
    terms: Vec<(String, u32)>,
    /// Ideographs among its terms that are stop words.
    marks: Vec<char>,
}

/// A sample of documents.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    documents: Vec<Sampled>,
    /// No document of a larger hash belongs to it any more.
    bar: Option<u64>,
}

impl Sample {
    /// A document; its language is "" without the step `language`.
    pub(crate) fn see(&mut self, source: usize, text: &str, language: &'static str) {
        let chance = (splitmix64(grams::hash(text)) as f64 + 1.0) / 2f64.powi(64);
        // Of numbers that are not negative the bits stand in the numbers' order.
        let hash = (-chance.min(1.0).ln() / text.len().max(1) as f64).abs().to_bits();
        if self.bar.is_some_and(|bar| hash > bar) {
            return;
        }
        let written = language::written(text, language);
        let (terms, marks) = terms(text, &Stop::of(written));
        let written = written.to_string();
        self.documents.push(Sampled { hash, source, written, terms, marks });
        // Not after each one.
        if self.documents.len() >= 2 * SAMPLE {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.documents.sort_by_key(|s| s.hash);
        self.documents.truncate(SAMPLE);
        self.bar = self.documents.get(SAMPLE - 1).map(|s| s.hash);
    }

    /// Of one part, as it is written.
    pub(crate) fn finish(mut self) -> Self {
        self.cut();
        self
    }

    /// Adds the sample of later documents.
    pub(crate) fn merge(&mut self, later: Self) {
        self.documents.extend(later.documents);
        self.cut();
    }

    /// Its groups, the largest first, and how many documents were grouped.
    pub(crate) fn topics(&self, names: &[&str]) -> (u64, Vec<Topic>) {
        let (terms, vectors) = self.vectors();
        let used: Vec<usize> = (0..vectors.len()).filter(|&n| !vectors[n].is_empty()).collect();
        if used.len() < FEWEST {
            return (used.len() as u64, Vec::new());
        }
        let points: Vec<&Sparse> = used.iter().map(|&n| vectors[n].as_slice()).collect();
        let groups = ((used.len() as f64 / 2.0).sqrt() as usize).clamp(2, GROUPS);
        let best = (0..STARTS)
            .map(|seed| cluster(&points, terms.len(), groups, seed))
            // Of equal ones the first.
            .reduce(|a, b| if b.similarity > a.similarity { b } else { a });
        let Some(Clusters { member, centres, .. }) = best else { return (0, Vec::new()) };
        let mut topics: Vec<Topic> = Vec::new();
        let telling = telling(&points, &member, centres.len(), terms.len());
        for (group, weights) in telling.iter().enumerate() {
            let mut sources: BTreeMap<usize, u64> = BTreeMap::new();
            for (n, _) in used.iter().zip(&member).filter(|(_, m)| **m == group) {
                *sources.entry(self.documents[*n].source).or_default() += 1;
            }
            let documents: u64 = sources.values().sum();
            if documents == 0 {
                continue;
            }
            let mut sources: Vec<(usize, u64)> = sources.into_iter().collect();
            sources.sort_by_key(|s| (std::cmp::Reverse(s.1), s.0));
            let mut heavy: Vec<usize> = (0..terms.len()).filter(|&t| weights[t] > 0.0).collect();
            heavy.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
            let name = |s: usize| names.get(s).copied().unwrap_or_default().to_string();
            topics.push(Topic {
                documents,
                share: documents as f64 / used.len() as f64,
                words: apart(heavy.into_iter().map(|t| terms[t])),
                sources: sources.into_iter().take(SOURCES).map(|(s, n)| (name(s), n)).collect(),
            });
        }
        topics.sort_by(|a, b| b.documents.cmp(&a.documents).then_with(|| a.words.cmp(&b.words)));
        (used.len() as u64, topics)
    }

    /// The terms that count, and the documents over them.
    fn vectors(&self) -> (Vec<&str>, Vec<Weights>) {
        let mut written: BTreeMap<&str, Common> = BTreeMap::new();
        for document in &self.documents {
            written.entry(&document.written).or_default().see(document);
        }
        let says =
            |s: &Sampled, term: &str| !written.get(s.written.as_str()).is_some_and(|c| c.has(term));
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for document in &self.documents {
            for (term, _) in document.terms.iter().filter(|(term, _)| says(document, term)) {
                *times.entry(term).or_default() += 1;
            }
        }
        let all = self.documents.len();
        times.retain(|_, n| *n >= 2 && 4 * *n <= all);
        let number: HashMap<&str, usize> = times.keys().copied().zip(0..).collect();
        let inverse: Vec<f64> = times.values().map(|&n| (all as f64 / n as f64).ln()).collect();
        let vector = |s: &Sampled| {
            let weight = |(term, n): &(String, u32)| {
                let at = *number.get(term.as_str()).filter(|_| says(s, term))?;
                Some((at, (1.0 + f64::from(*n).ln()) * inverse[at]))
            };
            let mut out: Weights = s.terms.iter().filter_map(weight).collect();
            let length = out.iter().map(|(_, w)| w * w).sum::<f64>().sqrt();
            out.iter_mut().for_each(|(_, w)| *w /= length.max(f64::MIN_POSITIVE));
            out
        };
        let vectors = self.documents.iter().map(vector).collect();
        (times.into_keys().collect(), vectors)
    }
}

/// How many documents in a language there are, and which terms and stop ideographs they have.
#[derive(Default)]
struct Common<'a> {
    documents: usize,
    /// Whether its stop words are known.
    listed: bool,
    terms: HashMap<&'a str, usize>,
    marks: HashMap<char, usize>,
}

impl<'a> Common<'a> {
    fn see(&mut self, document: &'a Sampled) {
        self.documents += 1;
        self.listed = stop_words(&document.written).is_some();
        for (term, _) in &document.terms {
            *self.terms.entry(term).or_default() += 1;
        }
        for mark in &document.marks {
            *self.marks.entry(*mark).or_default() += 1;
        }
    }

    /// Whether a term is so common in this language that it says nothing. Of a few documents nothing is known.
    fn has(&self, term: &str) -> bool {
        let above = |n: Option<&usize>, part| n.is_some_and(|n| part * n > self.documents);
        self.documents >= FEWEST
            && (above(self.terms.get(term), if self.listed { 2 } else { 4 })
                || term.chars().any(|c| above(self.marks.get(&c), 4)))
    }
}

/// The list for a code such as "en" or "zh-Hans", if there is one.
fn stop_words(written: &str) -> Option<&'static [&'static str]> {
    stop_words::lookup(match written.split('-').next().unwrap_or_default() {
        "nb" => "no",
        code => code,
    })
}

/// The stop words of a language.
struct Stop(HashSet<&'static str>);

impl Stop {
    fn of(written: &str) -> Self {
        // Latin words among ideographs are mostly English.
        let english = written.starts_with("zh") || written == "ja";
        let lists = [Some(written), english.then_some("en")];
        let lists = lists.into_iter().flatten().filter_map(stop_words);
        Self(lists.flatten().copied().collect())
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(word)
    }
}

/// How much each term tells a group from the others: its share of the group's documents times
/// ln(1 + A / f), where f is how many documents have it and A how many terms a group has on average.
fn telling(points: &[&Sparse], member: &[usize], groups: usize, terms: usize) -> Vec<Vec<f64>> {
    let mut counts = vec![vec![0.0; terms]; groups];
    let mut documents = vec![0.0; groups];
    for (point, &group) in points.iter().zip(member) {
        documents[group] += 1.0;
        point.iter().for_each(|&(t, _)| counts[group][t] += 1.0);
    }
    let everywhere: Vec<f64> = (0..terms).map(|t| counts.iter().map(|c| c[t]).sum()).collect();
    let average = everywhere.iter().sum::<f64>() / groups.max(1) as f64;
    for (own, documents) in counts.iter_mut().zip(documents) {
        for (count, f) in own.iter_mut().zip(&everywhere).filter(|(c, _)| **c > 0.0) {
            // One document's word is no word of the group.
            let rare = *count < 2.0 && documents > 2.0;
            *count = if rare { 0.0 } else { *count / documents * (1.0 + average / f).ln() };
        }
    }
    counts
}

/// The first terms, without pairs of ideographs that are pieces of the same phrase as one before.
fn apart<'a>(terms: impl Iterator<Item = &'a str>) -> Vec<String> {
    let ends = |t: &str| t.chars().next().zip(t.chars().next_back());
    let mut out: Vec<String> = Vec::new();
    for term in terms {
        let overlaps = |other: &String| {
            term.chars().all(is_ideograph)
                && other.chars().all(is_ideograph)
                && ends(term).zip(ends(other)).is_some_and(|((a, b), (c, d))| a == d || b == c)
        };
        if !out.iter().any(overlaps) {
            out.push(term.to_string());
        }
        if out.len() == WORDS {
            break;
        }
    }
    out
}

/// Terms by their number, with weights; of length 1.
type Weights = Vec<(usize, f64)>;
type Sparse = [(usize, f64)];

struct Clusters {
    member: Vec<usize>,
    /// Their centres, of length 1.
    centres: Vec<Vec<f64>>,
    similarity: f64,
}

fn dot(vector: &Sparse, centre: &[f64]) -> f64 {
    vector.iter().map(|&(t, w)| w * centre[t]).sum()
}

fn dense(vector: &Sparse, terms: usize) -> Vec<f64> {
    let mut out = vec![0.0; terms];
    vector.iter().for_each(|&(t, w)| out[t] = w);
    out
}

fn cluster(points: &[&Sparse], terms: usize, groups: usize, seed: u64) -> Clusters {
    let mut state = splitmix64(seed);
    let mut random = move || {
        state = splitmix64(state);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    // k-means++: the farther from all centres so far, the likelier.
    let first = ((random() * points.len() as f64) as usize).min(points.len() - 1);
    let mut centres = vec![dense(points[first], terms)];
    let mut far: Vec<f64> = vec![f64::MAX; points.len()];
    while centres.len() < groups {
        let Some(last) = centres.last() else { break };
        for (far, point) in far.iter_mut().zip(points) {
            *far = far.min((1.0 - dot(point, last)).max(0.0));
        }
        let whole: f64 = far.iter().sum();
        let mut left = random() * whole;
        let chosen = far.iter().position(|d| {
            left -= d;
            left < 0.0
        });
        centres.push(dense(points[chosen.unwrap_or(points.len() - 1)], terms));
    }
    let mut member = vec![usize::MAX; points.len()];
    let mut similarity = 0.0;
    for _ in 0..ROUNDS {
        similarity = 0.0;
        let mut moved = false;
        for (member, point) in member.iter_mut().zip(points) {
            let mut best = (0, f64::MIN);
            for (n, centre) in centres.iter().enumerate() {
                let d = dot(point, centre);
                if d > best.1 {
                    best = (n, d);
                }
            }
            moved |= *member != best.0;
            *member = best.0;
            similarity += best.1;
        }
        if !moved {
            break;
        }
        for (n, centre) in centres.iter_mut().enumerate() {
            let mut sum = vec![0.0; terms];
            for (point, _) in points.iter().zip(&member).filter(|(_, m)| **m == n) {
                point.iter().for_each(|&(t, w)| sum[t] += w);
            }
            let length = sum.iter().map(|w| w * w).sum::<f64>().sqrt();
            // A topic without documents keeps its centre.
            if length > 0.0 {
                sum.iter_mut().for_each(|w| *w /= length);
                *centre = sum;
            }
        }
    }
    Clusters { member, centres, similarity }
}

/// A document's terms and how often each comes: words of three letters and more in lower case, and pairs
/// of ideographs; without stop words. And the ideographs in them that are stop words.
fn terms(text: &str, stop: &Stop) -> (Vec<(String, u32)>, Vec<char>) {
    let mut seen: HashMap<String, (u32, usize)> = HashMap::new();
    let mut looked_at = 0;
    let mut marks: BTreeSet<char> = BTreeSet::new();
    let mut buffer = [0; 4];
    let mut add = |term: String| {
        looked_at += 1;
        if stop.has(&term) {
            return looked_at < LOOKED_AT;
        }
        let entry = seen.entry(term).or_insert((0, looked_at));
        entry.0 += 1;
        looked_at < LOOKED_AT
    };
    let (mut word, mut before) = (String::new(), None);
    for c in text.chars().chain([' ']) {
        let ideograph = is_ideograph(c);
        if c.is_alphabetic() && !ideograph {
            word.extend(c.to_lowercase());
            before = None;
            continue;
        }
        let whole = std::mem::take(&mut word);
        if (3..=30).contains(&whole.chars().count()) && !add(whole) {
            break;
        }
        if let Some(first) = before.filter(|_| ideograph) {
            let of = [first, c].map(|c| stop.has(c.encode_utf8(&mut buffer)));
            marks.extend([first, c].iter().zip(of).filter(|(_, stop)| *stop).map(|(c, _)| *c));
            if of != [true, true] && !add([first, c].iter().collect()) {
                break;
            }
        }
        before = ideograph.then_some(c);
    }
    let mut out: Vec<(String, (u32, usize))> = seen.into_iter().collect();
    out.sort_by_key(|(_, (n, first))| (std::cmp::Reverse(*n), *first));
    out.truncate(TERMS);
    (out.into_iter().map(|(term, (n, _))| (term, n)).collect(), marks.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents of four kinds, with words of all kinds among them.
    fn documents() -> Vec<(usize, String)> {
        let kinds = [
            "oven bread flour yeast dough crust",
            "sail harbour anchor keel rudder storm",
            "violin sonata chord tempo melody orchestra",
            "春眠 覺曉 啼鳥 夜來 風雨 花落",
        ];
        (0..600u64)
            .map(|n| {
                let kind = (n % 4) as usize;
                let words: Vec<&str> = kinds[kind].split(' ').collect();
                let mut text = String::from("the and with");
                for i in 0..3 {
                    let pick = splitmix64(n * 31 + i) as usize;
                    text +=
                        &format!(" {} and {}", words[pick % words.len()], ["one", "two"][pick % 2]);
                }
                (kind, text + &format!(" number{n}"))
            })
            .collect()
    }

    #[test]
    fn groups_are_found_and_parts_give_the_whole() {
        let names = ["bakery", "port", "music", "poems"];
        let mut whole = Sample::default();
        let mut parts: Vec<Sample> = (0..3).map(|_| Sample::default()).collect();
        for (n, (kind, text)) in documents().iter().enumerate() {
            let language = if *kind == 3 { "zh" } else { "en" };
            whole.see(*kind, text, language);
            parts[n / 200].see(*kind, text, language);
        }
        let (documents, topics) = Sample::finish(whole).topics(&names);
        let mut merged = Sample::default();
        parts.into_iter().for_each(|p| merged.merge(p.finish()));
        assert_eq!(merged.topics(&names), (documents, topics.clone()));
        assert_eq!(documents, 600);
        // Each group has one source, and words of it.
        for topic in &topics {
            assert_eq!(topic.sources.len(), 1, "{topic:?}");
            assert!(!topic.words.iter().any(|w| w == "the" || w == "and"), "{topic:?}");
        }
        let of = |name: &str| topics.iter().find(|t| t.sources[0].0 == name).unwrap();
        assert!(of("bakery").words.iter().any(|w| w == "dough"), "{topics:?}");
        assert!(of("poems").words.iter().any(|w| w == "春眠"), "{topics:?}");
        assert!((topics.iter().map(|t| t.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_sample_is_of_text() {
        // As much text in 100 long documents as in 5,000 short ones.
        let mut sample = Sample::default();
        for n in 0..5000 {
            sample.see(0, &format!("short {n:05}"), "en");
            if n % 50 == 0 {
                sample.see(1, &format!("long {n:05} ").repeat(50), "en");
            }
        }
        let sample = sample.finish();
        assert_eq!(sample.documents.len(), SAMPLE);
        let long = sample.documents.iter().filter(|s| s.source == 1).count();
        assert!(long > 95, "{long}");
    }

    #[test]
    fn few_documents_have_no_groups() {
        let mut sample = Sample::default();
        (0..5).for_each(|n| sample.see(0, &format!("bread and butter number {n}"), "en"));
        assert!(sample.topics(&["a"]).1.is_empty());
        assert!(Sample::default().topics(&[]).1.is_empty());
        let of = |text: &str, code: &str| terms(text, &Stop::of(code)).0;
        assert_eq!(
            of("Bread, the bread; 春風吹 a 12 Ångström", "en"),
            [
                ("bread".to_string(), 2),
                ("春風".to_string(), 1),
                ("風吹".to_string(), 1),
                ("ångström".to_string(), 1),
            ]
        );
        assert_eq!(of("das Brot ohne und", "de"), [("brot".to_string(), 1)]);
        assert_eq!(of("et brød og", "nb"), [("brød".to_string(), 1)]);
    }

    #[test]
    fn function_words_are_no_topics() {
        // 的 and 了 are in nearly all texts: pairs with them are pieces of words.
        let (pairs, marks) = terms("我们的房间很大了，没有早餐", &Stop::of("zh-Hans"));
        let pairs: Vec<&str> = pairs.iter().map(|p| p.0.as_str()).collect();
        assert!(pairs.contains(&"房间") && pairs.contains(&"早餐"), "{pairs:?}");
        assert!(!pairs.contains(&"我们") && !pairs.contains(&"大了"), "{pairs:?}");
        assert!(pairs.contains(&"的房") && marks.contains(&'的'));
        // In a language without a list what is common goes: here in 30 of 60 documents in it, among 600.
        let mut sample = Sample::default();
        let other = documents().into_iter().filter(|d| d.0 != 3);
        other.for_each(|(kind, text)| sample.see(kind, &text, "en"));
        for n in 0..60 {
            let own = ["imba", "moto", "gore", "rwizi", "muti", "shumba"][n % 6];
            let common = if n % 2 == 0 { "zvakadaro" } else { "kana" };
            sample.see(4, &format!("{own} {common} {own} nhamba{n}"), "sn");
        }
        let topics = sample.finish().topics(&["a", "b", "c", "d", "e"]).1;
        let words: Vec<&str> = topics.iter().flat_map(|t| &t.words).map(String::as_str).collect();
        assert!(words.iter().any(|w| ["imba", "shumba", "rwizi"].contains(w)), "{words:?}");
        assert!(!words.contains(&"zvakadaro") && !words.contains(&"kana"), "{words:?}");
    }
}
