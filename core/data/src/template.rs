//! Templates and expressions over a record's fields, in Jinja (minijinja).

use std::sync::LazyLock;

use athanor_store::{Error, Problem, Result};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, State, UndefinedBehavior, context};

use crate::{Record, hash64};

/// A text with fields in it: `"{{ text }}\n\nBy {{ author }}."`
///
/// Filters, beside minijinja's own:
/// - `text | words(from, to)`: the words from `from` (0 is the first) up to and without `to`, with
///   what is between them; a Chinese or Japanese character counts as a word
/// - `list | mean`
/// - `number | bucket(edges)`: how many of the rising edges are not above the number;
///   `bucket(edges, labels)`: the label at that place, one more than there are edges
/// - `list | choose`, also `choose(list)`: one of the list, by the record's hash: the same record
///   gives the same choice, and another list another one
#[derive(Clone, Debug)]
pub struct Template {
    env: Environment<'static>,
    source: String,
}

/// An expression over fields: `domain == "movie" and (ratings | mean) > 1`. Knows the filters of
/// [`Template`].
#[derive(Debug)]
pub struct Expression {
    expression: minijinja::Expression<'static, 'static>,
    source: String,
}

const NAME: &str = "template";
const HASH: &str = "athanor_record_hash";

/// Expressions borrow their environment; they all share this one.
static ENV: LazyLock<Environment<'static>> = LazyLock::new(environment);

fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    athanor_text::bound(&mut env);
    env.add_filter("words", |text: String, from: usize, to: Option<usize>| {
        words(&text, from, to).to_string()
    });
    env.add_filter("mean", mean);
    env.add_filter("bucket", bucket);
    env.add_filter("choose", choose);
    env.add_function("choose", choose);
    env
}

/// The fields that a template or an expression looks at; none where it may look at all of them: a choice is
/// made by the whole record.
fn fields(found: std::collections::HashSet<String>, source: &str) -> Option<Vec<String>> {
    let mut fields: Vec<String> = found.into_iter().collect();
    fields.sort();
    (!source.contains("choose") && !source.contains(HASH)).then_some(fields)
}

impl Template {
    /// The names that it looks up, fields and functions; none if it depends on the whole record.
    pub fn fields(&self) -> Option<Vec<String>> {
        let template = self.env.get_template(NAME).ok()?;
        fields(template.undeclared_variables(false), &self.source)
    }

    /// Checks the template of a key.
    pub(crate) fn check(key: &str, source: &str) -> std::result::Result<(), Problem> {
        Self::new(source).map(drop).map_err(|e| Problem::new(key, e.to_string()))
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// Input: what is wrong with it, and where.
    pub fn new(source: &str) -> Result<Self> {
        let mut env = environment();
        env.add_template_owned(NAME, source.to_string()).map_err(|e| explain(&e, source, None))?;
        Ok(Self { env, source: source.into() })
    }

    /// The text for a record.
    ///
    /// # Errors
    /// Input: a field that the record does not have, or a filter that cannot take what it holds.
    pub fn render(&self, record: &Record) -> Result<String> {
        (self.env.get_template(NAME))
            .and_then(|t| t.render(variables(record)))
            .map_err(|e| explain(&e, &self.source, Some(record)))
    }
}

impl Expression {
    /// The names that it looks up, fields and functions; none if it depends on the whole record.
    pub fn fields(&self) -> Option<Vec<String>> {
        fields(self.expression.undeclared_variables(false), &self.source)
    }

    /// Checks the expression of a key.
    pub(crate) fn check(key: &str, source: &str) -> std::result::Result<(), Problem> {
        Self::new(source).map(drop).map_err(|e| Problem::new(key, e.to_string()))
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// Input: what is wrong with it.
    pub fn new(source: &str) -> Result<Self> {
        let expression = ENV
            .compile_expression_owned(source.to_string())
            .map_err(|e| explain(&e, source, None))?;
        Ok(Self { expression, source: source.into() })
    }

    /// Whether it holds for a record.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn holds(&self, record: &Record) -> Result<bool> {
        Ok(self.eval(record)?.is_true())
    }

    /// Its value for a record.
    ///
    /// # Errors
    /// As [`Template::render`]; and if the value has no JSON.
    pub fn value(&self, record: &Record) -> Result<serde_json::Value> {
        let value = self.eval(record)?;
        serde_json::to_value(&value).map_err(|e| Error::input(format!("`{}`: {e}", self.source)))
    }

    /// Its value for a record, which must be a number.
    ///
    /// # Errors
    /// As [`Template::render`]; and if the value is no number.
    pub fn number(&self, record: &Record) -> Result<f64> {
        let value = self.eval(record)?;
        f64::try_from(value.clone()).map_err(|_| {
            Error::input(format!("`{}` should be a number, found {value:?}", self.source))
        })
    }

    fn eval(&self, record: &Record) -> Result<Value> {
        let value = (self.expression.eval(variables(record)))
            .map_err(|e| explain(&e, &self.source, Some(record)))?;
        if value.is_undefined() {
            return Err(explain(&ErrorKind::UndefinedError.into(), &self.source, Some(record)));
        }
        Ok(value)
    }
}

fn variables(record: &Record) -> Value {
    let json = serde_json::to_string(&record.0).unwrap_or_default();
    let hash = hash64(json.as_bytes());
    let fields = Value::from(Serde(&record.0));
    context! { athanor_record_hash => hash, ..fields }
}

fn explain(error: &minijinja::Error, source: &str, record: Option<&Record>) -> Error {
    let what = match error.kind() {
        ErrorKind::OutOfFuel => "it does too much for one record, or never ends".into(),
        kind => error.detail().map_or_else(|| kind.to_string(), String::from),
    };
    let at = format!("`{}`", source.lines().next().unwrap_or_default());
    match record {
        Some(record) if error.kind() == ErrorKind::UndefinedError => {
            Error::input("a field that this record does not have").at(at).hint(record.names())
        }
        _ => Error::input(what).at(at),
    }
}

fn invalid(what: impl Into<std::borrow::Cow<'static, str>>) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, what)
}

/// Characters that are words by themselves: no spaces are written between them.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
}

fn words(text: &str, from: usize, to: Option<usize>) -> &str {
    let to = to.unwrap_or(usize::MAX);
    let (mut start, mut end) = (None, 0);
    let mut count = 0;
    let mut inside = false;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            inside = false;
            continue;
        }
        if is_ideograph(c) || !inside {
            count += 1; // a new word begins here
            if count > to {
                break;
            }
            if count == from + 1 {
                start = Some(at);
            }
        }
        // Punctuation behind an ideograph belongs to it.
        inside = true;
        end = at + c.len_utf8();
    }
    start.map_or("", |start| &text[start..end.max(start)])
}

fn mean(list: Vec<f64>) -> Result<f64, minijinja::Error> {
    if list.is_empty() {
        return Err(invalid("the mean of an empty list"));
    }
    Ok(list.iter().sum::<f64>() / list.len() as f64)
}

fn bucket(
    value: f64,
    edges: Vec<f64>,
    labels: Option<Vec<Value>>,
) -> Result<Value, minijinja::Error> {
    if !edges.is_sorted() {
        return Err(invalid("bucket: the edges must rise"));
    }
    let place = edges.iter().filter(|&&edge| edge <= value).count();
    match labels {
        None => Ok(Value::from(place)),
        Some(labels) if labels.len() == edges.len() + 1 => Ok(labels[place].clone()),
        Some(labels) => Err(invalid(format!(
            "bucket: {} edges need {} labels, found {}",
            edges.len(),
            edges.len() + 1,
            labels.len()
        ))),
    }
}

fn choose(state: &State, list: Vec<Value>) -> Result<Value, minijinja::Error> {
    let record = state.lookup(HASH).map(|v| v.to_string()).unwrap_or_default();
    let key = format!("{record} {list:?}");
    match list.len() {
        0 => Err(invalid("choose: the list is empty")),
        n => Ok(list[(hash64(key.as_bytes()) % n as u64) as usize].clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &str) -> Record {
        Record(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn filters() {
        let r = record(
            r#"{"text": "One two, three  four.", "zh": "春風 又綠。江南岸", "ratings": [1, 2, -4, 4], "domain": "movie"}"#,
        );
        let render = |t: &str| Template::new(t).unwrap().render(&r).unwrap();
        assert_eq!(
            render("{{ text | words(1, 3) }}|{{ text | words(2) }}|{{ text | words(9) }}"),
            "two, three|three  four.|"
        );
        assert_eq!(render("{{ zh | words(0, 2) }}|{{ zh | words(2, 5) }}"), "春風|又綠。江");
        assert_eq!(
            render("{{ ratings | mean }} {{ ratings | mean | bucket([-1, 0.75, 2]) }}"),
            "0.75 2"
        );
        assert_eq!(render("{{ 3 | bucket([-1, 1], ['bad', 'so-so', 'good']) }}"), "good");
        assert_eq!(render("{{ domain.upper() }}"), "MOVIE");
        assert!(
            Expression::new("domain == 'movie' and ratings | mean > 0.5")
                .unwrap()
                .holds(&r)
                .unwrap()
        );
        assert_eq!(Expression::new("ratings | mean").unwrap().number(&r).unwrap(), 0.75);
        assert_eq!(Expression::new("ratings[0]").unwrap().value(&r).unwrap(), 1);
    }

    #[test]
    fn choices_depend_on_the_record() {
        let template =
            Template::new("{{ choose(['a', 'b', 'c']) }}{{ ['d', 'e', 'f'] | choose }}").unwrap();
        let render = |i: usize| template.render(&record(&format!(r#"{{"i": {i}}}"#))).unwrap();
        let all: Vec<String> = (0..300).map(render).collect();
        assert!((0..300).map(render).eq(all.iter().cloned()));
        let kinds: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(kinds.len(), 9, "choices from two lists are independent");
    }

    #[test]
    fn errors_help() {
        let r = record(r#"{"text": "a", "n": []}"#);
        let fails = |t: &str| Template::new(t).and_then(|t| t.render(&r)).unwrap_err().to_string();
        assert!(fails("{{ txt }}").contains("the record's fields are text, n"));
        assert!(fails("{{ n | mean }}").contains("empty list"), "{}", fails("{{ n | mean }}"));
        assert!(fails("{{ text | mean }}").contains("`{{ text | mean }}`"));
        assert!(Template::new("{{ text").is_err());
        let loops = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}";
        assert!(fails(loops).contains("never ends"), "{}", fails(loops));
        assert!(Expression::new("a ==").is_err());
    }
}
