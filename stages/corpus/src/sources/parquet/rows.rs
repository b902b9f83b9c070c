//! Rows put together from columns (Dremel, Melnik et al. 2010, section 4.3): a value's level of repetition says
//! which list it goes on with, its level of definition how far down its path something is there.
//!
//! The crate's own rows know no bound on what one of them takes, and panic at types that they do not know.

use std::sync::Arc;

use parquet::{
    basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical},
    column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader},
    data_type::{ByteArray, DataType, FixedLenByteArray, Int96},
    errors::Result,
    file::metadata::RowGroupMetaData,
    record::Field,
    schema::types::{ColumnDescPtr, Type},
};
use serde_json::{Map, Number, Value};

use super::{
    footer::{Whole, error},
    pages::Pages,
};

/// Rows that are decoded at once of a column without lists.
const BATCH: usize = 1024;
/// Days and milliseconds that have a date; the crate panics at others. Later ones stay numbers.
const MAX_DAYS: u32 = 90_000_000;
const MAX_MILLISECONDS: u64 = 8_000_000_000_000_000;
/// Bytes of a decimal number.
const MAX_DECIMAL: usize = 64;
/// Most places of a number; real files have fewer.
const MAX_SCALE: i32 = 256;

/// A row in the making.
pub(super) struct Draft {
    /// Bytes that it may still take.
    pub(super) left: usize,
    /// Why there is no record.
    pub(super) fault: Option<&'static str>,
}

impl Draft {
    fn takes(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.left;
        if fits {
            self.left -= bytes;
        } else {
            self.left = 0;
            self.fault = Some("record too large");
        }
        fits
    }

    /// Text, or nothing if it is none. `must` says whether the schema calls it text.
    fn text(&mut self, bytes: &[u8], must: bool) -> Value {
        if !self.takes(bytes.len()) {
            return Value::Null;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Value::String(text.into()),
            Err(_) => {
                if must {
                    self.fault = Some("not UTF-8 text");
                }
                Value::Null
            }
        }
    }

    fn shown(&mut self, field: &Field) -> Value {
        self.text(field.to_string().as_bytes(), true)
    }
}

/// A part of the schema, with the columns below it.
pub(super) enum Node {
    Leaf(Box<dyn Column>),
    /// There if the level of definition is this high.
    Optional(i16, Box<Node>),
    Group(Vec<(String, Node)>),
    List(Levels, Box<Node>),
    Map(Levels, Box<Node>, Box<Node>),
}

/// A list has an element if the level of definition is this high, and another one if that of repetition is.
#[derive(Clone, Copy)]
pub(super) struct Levels {
    defined: i16,
    repeated: i16,
}

/// A column, value by value.
pub(super) trait Column {
    /// Goes to the next row.
    fn row(&mut self) -> Result<()>;
    /// The levels (definition, repetition) of the value that comes next in the row.
    fn levels(&self) -> Option<(i16, i16)>;
    /// The value that comes next in the row; without a draft it is gone over.
    fn take(&mut self, draft: Option<&mut Draft>) -> Result<Value>;
}

/// A group of rows, those of its fields that are wanted.
pub(super) fn fields(
    file: &Arc<Whole>,
    group: &RowGroupMetaData,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Node)>> {
    let schema = group.schema_descr();
    let mut leaves = 0;
    let mut out = Vec::new();
    for field in schema.root_schema().get_fields() {
        let mut open = wanted(field.name()).then_some((file, group));
        let node = node(field, Levels { defined: 0, repeated: 0 }, &mut open, &mut leaves)?;
        out.extend(node.map(|n| (field.name().to_string(), n)));
    }
    Ok(out)
}

type Open<'a> = Option<(&'a Arc<Whole>, &'a RowGroupMetaData)>;

/// A part of the schema below the given levels; none if its columns are not to be opened.
fn node(field: &Type, above: Levels, open: &mut Open, leaves: &mut usize) -> Result<Option<Node>> {
    let info = field.get_basic_info();
    let repetition = if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED };
    let Levels { mut defined, mut repeated } = above;
    defined += i16::from(repetition != Repetition::REQUIRED);
    repeated += i16::from(repetition == Repetition::REPEATED);
    let levels = Levels { defined, repeated };
    let inner = content(field, levels, open, leaves)?;
    Ok(inner.map(|inner| match repetition {
        Repetition::REQUIRED => inner,
        Repetition::OPTIONAL => Node::Optional(defined, Box::new(inner)),
        Repetition::REPEATED => Node::List(levels, Box::new(inner)),
    }))
}

/// What a part of the schema holds, once it is there.
fn content(
    field: &Type,
    levels: Levels,
    open: &mut Open,
    leaves: &mut usize,
) -> Result<Option<Node>> {
    if field.is_primitive() {
        let at = *leaves;
        *leaves += 1;
        return match open {
            Some((file, group)) => Ok(Some(Node::Leaf(column(file, group, at)?))),
            None => Ok(None),
        };
    }
    let info = field.get_basic_info();
    let fields = field.get_fields();
    let below = Levels { defined: levels.defined + 1, repeated: levels.repeated + 1 };
    let logical = info.logical_type_ref();
    let (list, map) = (
        info.converted_type() == ConvertedType::LIST || logical == Some(&LogicalType::List),
        matches!(info.converted_type(), ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE)
            || logical == Some(&LogicalType::Map),
    );
    if let ([one], true) = (fields, list || map)
        && one.get_basic_info().has_repetition()
        && one.get_basic_info().repetition() == Repetition::REPEATED
    {
        if list {
            let element = match is_element(one) {
                true => content(one, below, open, leaves)?,
                false => node(&one.get_fields()[0], below, open, leaves)?,
            };
            return Ok(element.map(|e| Node::List(below, Box::new(e))));
        }
        if !one.is_primitive()
            && let [key, value] = one.get_fields()
        {
            let key = node(key, below, open, leaves)?;
            let value = node(value, below, open, leaves)?;
            return Ok(key.zip(value).map(|(k, v)| Node::Map(below, Box::new(k), Box::new(v))));
        }
    }
    let mut out = Vec::new();
    for field in fields {
        let part = node(field, levels, open, leaves)?;
        out.extend(part.map(|p| (field.name().to_string(), p)));
    }
    Ok(open.is_some().then_some(Node::Group(out)))
}

/// Whether a list's repeated part is the element itself, as older writers have it (parquet-format's
/// LogicalTypes.md, "Backward-compatibility rules").
fn is_element(repeated: &Type) -> bool {
    if repeated.is_primitive() {
        return true;
    }
    let [one] = repeated.get_fields() else { return true };
    let info = one.get_basic_info();
    let nested = info.has_repetition() && info.repetition() == Repetition::REPEATED;
    !nested
        && repeated.get_basic_info().converted_type() != ConvertedType::LIST
        && (repeated.name() == "array" || repeated.name().ends_with("_tuple"))
}

impl Node {
    /// Goes to the next row.
    pub(super) fn row(&mut self) -> Result<()> {
        self.each(&mut |leaf| leaf.row())
    }

    fn each(&mut self, work: &mut dyn FnMut(&mut dyn Column) -> Result<()>) -> Result<()> {
        match self {
            Self::Leaf(column) => work(column.as_mut()),
            Self::Optional(_, inner) | Self::List(_, inner) => inner.each(work),
            Self::Group(fields) => fields.iter_mut().try_for_each(|(_, f)| f.each(work)),
            Self::Map(_, key, value) => key.each(work).and_then(|()| value.each(work)),
        }
    }

    /// The levels of its first column's next value.
    fn levels(&self) -> Option<(i16, i16)> {
        match self {
            Self::Leaf(column) => column.levels(),
            Self::Optional(_, inner) | Self::List(_, inner) | Self::Map(_, inner, _) => {
                inner.levels()
            }
            Self::Group(fields) => fields.iter().find_map(|(_, f)| f.levels()),
        }
    }

    fn is_there(&self, level: i16) -> bool {
        self.levels().is_some_and(|(defined, _)| defined >= level)
    }

    fn goes_on(&self, levels: Levels) -> bool {
        self.levels().is_some_and(|(_, repeated)| repeated >= levels.repeated)
    }

    /// What is not there has a value of a lower level in each column.
    fn pass(&mut self) -> Result<()> {
        self.each(&mut |leaf| leaf.take(None).map(|_| ()))
    }

    /// Its value in this row.
    pub(super) fn value(&mut self, draft: &mut Draft) -> Result<Value> {
        match self {
            Self::Leaf(column) => column.take(Some(draft)),
            Self::Optional(level, inner) => match inner.is_there(*level) {
                true => inner.value(draft),
                false => inner.pass().map(|()| Value::Null),
            },
            Self::Group(fields) => {
                let mut out = Map::new();
                for (name, field) in fields {
                    let value = field.value(draft)?;
                    if draft.takes(name.len() + size_of::<Value>()) {
                        out.insert(name.clone(), value);
                    }
                }
                Ok(Value::Object(out))
            }
            Self::List(levels, inner) => {
                let mut out = Vec::new();
                if !inner.is_there(levels.defined) {
                    inner.pass()?;
                    return Ok(Value::Array(out));
                }
                loop {
                    let value = inner.value(draft)?;
                    if draft.takes(size_of::<Value>()) {
                        out.push(value);
                    }
                    if !inner.goes_on(*levels) {
                        return Ok(Value::Array(out));
                    }
                }
            }
            Self::Map(levels, key, value) => {
                let mut out = Map::new();
                if !key.is_there(levels.defined) {
                    key.pass()?;
                    value.pass()?;
                    return Ok(Value::Object(out));
                }
                loop {
                    let name = match key.value(draft)? {
                        Value::String(name) => name,
                        other => other.to_string(),
                    };
                    let value = value.value(draft)?;
                    if draft.takes(size_of::<Value>()) {
                        out.insert(name, value);
                    }
                    if !key.goes_on(*levels) {
                        return Ok(Value::Object(out));
                    }
                }
            }
        }
    }
}

type ToJson<T> = Box<dyn Fn(&T, &mut Draft) -> Value>;

/// A column and how its values become JSON.
struct Leaf<T: DataType> {
    reader: ColumnReaderImpl<T>,
    json: ToJson<T::T>,
    defined: i16,
    repeats: bool,
    defs: Vec<i16>,
    reps: Vec<i16>,
    values: Vec<T::T>,
    /// Levels that were read; the next one; where the row ends; the next value.
    read: usize,
    at: usize,
    end: usize,
    value: usize,
}

impl<T: DataType> Leaf<T> {
    fn open(
        reader: ColumnReaderImpl<T>,
        descr: &ColumnDescPtr,
        json: impl Fn(&T::T, &mut Draft) -> Value + 'static,
    ) -> Box<dyn Column>
    where
        T: 'static,
    {
        Box::new(Self {
            reader,
            json: Box::new(json),
            defined: descr.max_def_level(),
            repeats: descr.max_rep_level() > 0,
            defs: Vec::new(),
            reps: Vec::new(),
            values: Vec::new(),
            read: 0,
            at: 0,
            end: 0,
            value: 0,
        })
    }
}

impl<T: DataType> Column for Leaf<T> {
    fn row(&mut self) -> Result<()> {
        while self.at < self.end {
            self.take(None)?;
        }
        if self.at == self.read {
            self.defs.clear();
            self.reps.clear();
            self.values.clear();
            // A row of lists may be long.
            let rows = if self.repeats { 1 } else { BATCH };
            let (defs, reps) = (Some(&mut self.defs), Some(&mut self.reps));
            let (rows, values, levels) =
                self.reader.read_records(rows, defs, reps, &mut self.values)?;
            if rows == 0 || values > levels {
                return error("a column ends before its rows do");
            }
            (self.read, self.at, self.value) = (levels, 0, 0);
        }
        self.end = if self.repeats { self.read } else { self.at + 1 };
        Ok(())
    }

    fn levels(&self) -> Option<(i16, i16)> {
        let level = |levels: &Vec<i16>| levels.get(self.at).copied().unwrap_or(0);
        (self.at < self.end).then(|| (level(&self.defs), level(&self.reps)))
    }

    fn take(&mut self, draft: Option<&mut Draft>) -> Result<Value> {
        let Some((defined, _)) = self.levels() else {
            return error("columns of different lengths within a row");
        };
        self.at += 1;
        if defined < self.defined {
            return Ok(Value::Null);
        }
        let value = self.values.get(self.value);
        self.value += 1;
        match (value, draft) {
            (Some(value), Some(draft)) => Ok((self.json)(value, draft)),
            (Some(_), None) => Ok(Value::Null),
            (None, _) => error("a column of fewer values than its levels say"),
        }
    }
}

fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Opens a column.
fn column(file: &Arc<Whole>, group: &RowGroupMetaData, at: usize) -> Result<Box<dyn Column>> {
    let Some(chunk) = group.columns().get(at) else { return error("a column is missing") };
    let descr = chunk.column_descr_ptr();
    let rows = usize::try_from(group.num_rows()).unwrap_or(0);
    let pages = Box::new(Pages::open(file, chunk, rows)?);
    let converted = descr.converted_type();
    let text = matches!(converted, ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON)
        || matches!(
            descr.logical_type_ref(),
            Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)
        );
    let nanoseconds = matches!(
        descr.logical_type_ref(),
        Some(LogicalType::Timestamp(t)) if t.unit == TimeUnit::NANOS
    );
    let float16 = descr.logical_type_ref() == Some(&LogicalType::Float16);
    let decimal = converted == ConvertedType::DECIMAL
        && (0..=MAX_SCALE).contains(&descr.type_scale())
        && descr.physical_type() != Physical::INT96;
    let of = descr.clone();
    Ok(match get_column_reader(descr.clone(), pages) {
        ColumnReader::BoolColumnReader(r) => Leaf::open(r, &descr, |v, _| Value::Bool(*v)),
        ColumnReader::Int32ColumnReader(r) => {
            Leaf::open(r, &descr, move |v, draft| match converted {
                ConvertedType::DATE if v.unsigned_abs() < MAX_DAYS => {
                    draft.shown(&Field::convert_int32(&of, *v))
                }
                ConvertedType::TIME_MILLIS => draft.shown(&Field::convert_int32(&of, *v)),
                ConvertedType::DECIMAL if decimal => draft.shown(&Field::convert_int32(&of, *v)),
                ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 => {
                    Value::from(*v as u32)
                }
                _ => Value::from(*v),
            })
        }
        ColumnReader::Int64ColumnReader(r) => {
            Leaf::open(r, &descr, move |v, draft| match converted {
                ConvertedType::TIMESTAMP_MILLIS if v.unsigned_abs() < MAX_MILLISECONDS => {
                    draft.shown(&Field::convert_int64(&of, *v))
                }
                ConvertedType::TIMESTAMP_MICROS if v.unsigned_abs() < 1000 * MAX_MILLISECONDS => {
                    draft.shown(&Field::convert_int64(&of, *v))
                }
                ConvertedType::TIME_MICROS => draft.shown(&Field::convert_int64(&of, *v)),
                ConvertedType::DECIMAL if decimal => draft.shown(&Field::convert_int64(&of, *v)),
                ConvertedType::UINT_64 => Value::from(*v as u64),
                // As pandas writes them; the crate shows no more than microseconds.
                _ if nanoseconds => draft.shown(&Field::TimestampMicros(v.div_euclid(1000))),
                _ => Value::from(*v),
            })
        }
        ColumnReader::Int96ColumnReader(r) => {
            Leaf::open(r, &descr, move |v: &Int96, draft| {
                match v.to_millis().unsigned_abs() < MAX_MILLISECONDS {
                    true => draft.shown(&Field::convert_int96(&of, *v)),
                    false => Value::Null,
                }
            })
        }
        ColumnReader::FloatColumnReader(r) => Leaf::open(r, &descr, |v, _| number(f64::from(*v))),
        ColumnReader::DoubleColumnReader(r) => Leaf::open(r, &descr, |v, _| number(*v)),
        ColumnReader::ByteArrayColumnReader(r) => {
            Leaf::open(r, &descr, move |v: &ByteArray, draft| {
                match decimal && v.len() <= MAX_DECIMAL {
                    true => bytes_shown(&of, v.clone(), draft),
                    false => draft.text(v.data(), text),
                }
            })
        }
        ColumnReader::FixedLenByteArrayColumnReader(r) => {
            Leaf::open(r, &descr, move |v: &FixedLenByteArray, draft| {
                match (decimal && v.len() <= MAX_DECIMAL) || float16 {
                    true => match bytes_shown(&of, ByteArray::from(v.data().to_vec()), draft) {
                        Value::String(n) if float16 => number(n.parse().unwrap_or(f64::NAN)),
                        other => other,
                    },
                    false => draft.text(v.data(), text),
                }
            })
        }
    })
}

fn bytes_shown(of: &ColumnDescPtr, value: ByteArray, draft: &mut Draft) -> Value {
    match Field::convert_byte_array(of, value) {
        Ok(field) => draft.shown(&field),
        Err(_) => Value::Null,
    }
}
