//! Reading config.json: typed fields with defaults, and errors that name the key.

use athanor_store::{Error, Result};
use athanor_tensor::ops::Activation;
use serde_json::{Map, Value};

/// The JSON object of a config.json, read field by field.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|v| !v.is_null())
    }

    fn wrong(key: &str, found: &Value, expected: &str) -> Error {
        Error::input(format!("`{key}` is {found}, {expected} was expected"))
    }

    /// A positive integer below 2^31; `default` where the key is absent or null.
    ///
    /// # Errors
    /// Input, if it is something else, or absent without a default.
    pub fn size(&self, key: &str, default: Option<usize>) -> Result<usize> {
        let Some(value) = self.get(key) else {
            return default.ok_or_else(|| Error::input(format!("`{key}` is missing")));
        };
        value
            .as_u64()
            .filter(|&n| n > 0 && n < 1 << 31)
            .map(|n| n as usize)
            .ok_or_else(|| Self::wrong(key, value, "a positive integer"))
    }

    /// A token's id; none where the key is null.
    ///
    /// # Errors
    /// Input, if it is something else.
    pub fn token(&self, key: &str, default: Option<u32>) -> Result<Option<u32>> {
        match self.0.get(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(v) => match v.as_u64().filter(|&n| n < 1 << 31) {
                Some(id) => Ok(Some(id as u32)),
                None => Err(Self::wrong(key, v, "a token id")),
            },
        }
    }

    /// A bound that may be missing: none where it is null, 0 or negative.
    ///
    /// # Errors
    /// Input, if it is no integer below 2^31.
    pub fn bound(&self, key: &str, default: Option<usize>) -> Result<Option<usize>> {
        match self.0.get(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(v) => match v.as_i64().filter(|&n| n < 1 << 31) {
                Some(n) => Ok(usize::try_from(n).ok().filter(|&n| n > 0)),
                None => Err(Self::wrong(key, v, "an integer")),
            },
        }
    }

    /// A finite number.
    ///
    /// # Errors
    /// Input, if it is something else.
    pub fn number(&self, key: &str, default: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            Some(v) => {
                v.as_f64().filter(|x| x.is_finite()).ok_or_else(|| Self::wrong(key, v, "a number"))
            }
        }
    }

    /// true or false.
    ///
    /// # Errors
    /// Input, if it is something else.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(v) => v.as_bool().ok_or_else(|| Self::wrong(key, v, "true or false")),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// Input, if it is something else.
    pub fn text(&self, key: &str, default: &'a str) -> Result<&'a str> {
        match self.get(key) {
            None => Ok(default),
            Some(v) => v.as_str().ok_or_else(|| Self::wrong(key, v, "a text")),
        }
    }

    /// A positive integer, or None where the key is absent, null or 0.
    ///
    /// # Errors
    /// Input, if it is something else.
    pub fn some_size(&self, key: &str) -> Result<Option<usize>> {
        match self.get(key) {
            None => Ok(None),
            Some(v) if v.as_u64() == Some(0) => Ok(None),
            Some(_) => self.size(key, None).map(Some),
        }
    }

    /// Whether the key is there and not null.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A list, if there is one.
    ///
    /// # Errors
    /// Input, if it is something else.
    pub fn list(&self, key: &str) -> Result<Option<&'a [Value]>> {
        match self.get(key) {
            None => Ok(None),
            Some(v) => {
                let list = v.as_array().ok_or_else(|| Self::wrong(key, v, "a list"))?;
                Ok(Some(list))
            }
        }
    }

    /// A non-linearity by Hugging Face's name.
    ///
    /// # Errors
    /// Input, if it is another.
    pub fn activation(&self, key: &str, default: &'a str) -> Result<Activation> {
        match self.text(key, default)? {
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "gelu" => Ok(Activation::Gelu),
            "relu" => Ok(Activation::Relu),
            "silu" | "swish" => Ok(Activation::Silu),
            "tanh" => Ok(Activation::Tanh),
            other => Err(Error::input(format!("unknown `{key}` {other:?}"))
                .hint("known: gelu, gelu_new, gelu_pytorch_tanh, relu, silu, swish, tanh")),
        }
    }

    /// A nested object, if there is one.
    pub fn object(&self, key: &str) -> Option<Fields<'a>> {
        self.get(key).and_then(Value::as_object).map(Fields)
    }

    /// Refuses a feature that we would silently compute wrongly.
    ///
    /// # Errors
    /// Input, if the key has another value than `only`.
    pub fn only(&self, key: &str, only: bool) -> Result<()> {
        if self.flag(key, only)? == only {
            return Ok(());
        }
        Err(Error::input(format!("`{key}` is {}, which Athanor does not compute", !only))
            .hint("choose another model, or one exported without this option"))
    }
}
