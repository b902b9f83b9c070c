//! Jinja as `transformers` sets it up for chat templates (its `utils/chat_template_utils.py`), with a
//! bound on what a template may do: whatever it says, it ends, and in bounded memory.

use std::{
    fmt,
    io::{self, Write},
};

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::clock;

/// What a template may do for one text: an instruction costs 1, as do 64 bytes that it makes
/// (minijinja's fuel). So it makes 256 MiB at most, which is a hundred times what conversations take.
pub const FUEL: u64 = 4 << 20;
/// Bytes of a value written as JSON, or of a list joined.
const LONGEST: usize = 16 << 20;
/// Spaces of an indent.
const WIDEST: usize = 64;

/// Bounds what each rendering of a template, or each evaluation of an expression, may do; and gives it
/// the methods of Python's strings, lists and dictionaries.
pub fn bound(env: &mut Environment<'static>) {
    env.set_fuel(Some(FUEL));
    env.set_unknown_method_callback(method);
    // Nor is what a list shows as, which may hold lists that hold one long text many times.
    env.set_formatter(|out, state, value| {
        shown(value)?;
        minijinja::escape_formatter(out, state, value)
    });
    env.add_filter("athanor_join", minijinja::filters::join);
    env.add_filter("join", join);
}

/// An environment with the functions and filters that chat templates call. `clock` is the time that
/// `strftime_now` tells, in seconds since 1970; none: the real time.
pub(crate) fn environment(clock: Option<u64>) -> Environment<'static> {
    let mut env = Environment::new();
    if let Ok(syntax) = env.syntax().to_builder().trim_blocks(true).lstrip_blocks(true).build() {
        env.set_syntax(syntax);
    }
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    bound(&mut env);
    env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    env.add_function("strftime_now", move |format: String| {
        clock::strftime(&format, clock.unwrap_or_else(clock::now))
    });
    env.add_filter("tojson", tojson);
    env
}

fn method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if let ("join", Some(between), [list]) = (method, value.as_str(), args) {
        fits(list, between)?;
    }
    // A width takes what it says, before it is charged.
    if let ("format", Some(format)) = (method, value.as_str()) {
        if format.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 4) {
            return Err(Error::new(ErrorKind::InvalidOperation, "format: a number above 9999"));
        }
        args.iter().try_for_each(shown)?;
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}

/// The filter, and the method above: what a list makes is not charged before it is made, and it may hold
/// a long text many times.
fn join(state: &mut State, args: Rest<Value>) -> Result<Value, Error> {
    if let Some(list) = args.first() {
        fits(list, args.get(1).and_then(Value::as_str).unwrap_or(""))?;
    }
    state.apply_filter("athanor_join", &args)
}

/// Fails unless what a list shows as is of a length that we make.
fn shown(value: &Value) -> Result<(), Error> {
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        return Ok(());
    }
    let mut limit = Limit(LONGEST);
    let written = fmt::Write::write_fmt(&mut limit, format_args!("{value}"));
    written.map_err(|_| too_long("a list"))
}

/// Fails unless a list, joined, is of a length that we make.
fn fits(list: &Value, between: &str) -> Result<(), Error> {
    let mut limit = Limit(LONGEST);
    for item in list.try_iter().into_iter().flatten() {
        let written = fmt::Write::write_fmt(&mut limit, format_args!("{between}{item}"));
        written.map_err(|_| too_long("join"))?;
    }
    Ok(())
}

fn too_long(what: &str) -> Error {
    let what = format!("{what}: more than {} MiB", LONGEST >> 20);
    Error::new(ErrorKind::InvalidOperation, what)
}

/// Counts what is written, and refuses it when there is no room left.
struct Limit(usize);

impl fmt::Write for Limit {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// Bytes, up to [`LONGEST`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`; minijinja's own escapes `<` and `&`.
fn tojson(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let named: Option<usize> = options.get("indent")?;
    // Python's other options (ensure_ascii, separators, sort_keys) are not used by real templates.
    match indent.or(named) {
        None => json(value, Python),
        Some(n) if n <= WIDEST => {
            let indent = " ".repeat(n);
            json(value, PrettyFormatter::with_indent(indent.as_bytes()))
        }
        Some(n) => {
            let what = format!("tojson: an indent of {n}, {WIDEST} at most is written");
            Err(Error::new(ErrorKind::InvalidOperation, what))
        }
    }
}

fn json(value: &Value, formatter: impl Formatter) -> Result<String, Error> {
    let mut out = Bounded(Vec::new());
    let result = value.serialize(&mut Serializer::with_formatter(&mut out, formatter));
    result.map_err(|e| match e.is_io() {
        true => too_long("tojson"),
        false => Error::new(ErrorKind::InvalidOperation, format!("tojson: {e}")),
    })?;
    String::from_utf8(out.0)
        .map_err(|e| Error::new(ErrorKind::InvalidOperation, format!("tojson: {e}")))
}

/// Python's separators: `, ` and `: `.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
