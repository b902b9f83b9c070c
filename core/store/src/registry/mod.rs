//! Registries: all the things of one kind (tasks, objectives, optimisers) that a recipe or the command line
//! names. Errors, help, a recipe's doc lines and the entries' own keys come from the registry, so that a new
//! entry is a line in it and nothing else.
//!
//! ```
//! use athanor_store::{Check, Choice, OwnKeys, Recipe, Registry, registered, section};
//!
//! section! {
//!     /// Keys of AdamW.
//!     pub struct AdamW {
//!         /// Decay of the mean gradient.
//!         beta1: f64 = 0.9,
//!     }
//! }
//! impl Check for AdamW {}
//!
//! struct Optimizer { name: &'static str, about: &'static str, keys: Option<OwnKeys> }
//! static OPTIMIZERS: Registry<Optimizer> = Registry::new("optimiser", &[
//!     Optimizer { name: "sgd", about: "plain gradient descent", keys: None },
//!     Optimizer {
//!         name: "adamw",
//!         about: "Adam with decoupled decay",
//!         keys: Some(OwnKeys::of::<AdamW>()),
//!     },
//! ]);
//! registered!(Optimizer, OPTIMIZERS, keys);
//!
//! section! {
//!     /// How the model is trained.
//!     pub struct Train {
//!         /// How gradients change weights.
//!         optimizer: Choice<Optimizer> = "adamw".into(),
//!     }
//! }
//! impl Check for Train {}
//!
//! let recipe = Recipe::parse("my.toml", "train.adamw.beta1 = 0.8", &[]).unwrap();
//! let train: Train = recipe.section("train").unwrap();
//! assert_eq!(train.optimizer.own::<AdamW>().beta1, 0.8);
//! let recipe = Recipe::parse("my.toml", "train.optimizer = 'adam'", &[]).unwrap();
//! let error = recipe.section::<Train>("train").unwrap_err().to_string();
//! assert!(error.contains("did you mean \"adamw\"?"), "{error}");
//! ```

mod choice;
mod own;

use std::slice;

use crate::{Error, Result, recipe::nearest};

pub use choice::Choice;
pub use own::{OwnKeys, OwnTables};

/// One thing that can be named.
pub trait Entry {
    /// Its name in recipes and on the command line.
    fn name(&self) -> &'static str;

    /// What it is, in a few words without a full stop.
    fn about(&self) -> &'static str;

    /// Its own keys, which stand in a table of its name beside the key that chooses it.
    fn keys(&self) -> Option<OwnKeys> {
        None
    }
}

impl<T: Entry + ?Sized> Entry for &'static T {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn about(&self) -> &'static str {
        (**self).about()
    }

    fn keys(&self) -> Option<OwnKeys> {
        (**self).keys()
    }
}

/// Makes a type with the fields `name` and `about` an entry of a registry; with `keys`, also its field `keys`
/// ([`OwnKeys`], or none) those of the entry.
#[macro_export]
macro_rules! registered {
    ($type:ty, $registry:expr $(, $keys:ident)?) => {
        impl $crate::Entry for $type {
            fn name(&self) -> &'static str {
                self.name
            }

            fn about(&self) -> &'static str {
                self.about
            }

            $(fn keys(&self) -> Option<$crate::OwnKeys> {
                self.$keys.into()
            })?
        }

        impl $crate::Registered for $type {
            fn registry() -> &'static $crate::Registry<Self> {
                &$registry
            }
        }
    };
}

/// All entries of one kind, in the order in which help lists them.
#[derive(Debug)]
pub struct Registry<T: 'static> {
    what: &'static str,
    entries: &'static [T],
}

/// An entry whose type says in which registry it is; what a [`Choice`] needs.
pub trait Registered: Entry + Sized + 'static {
    /// The registry.
    fn registry() -> &'static Registry<Self>;
}

impl<T: Entry> Registry<T> {
    /// `what` is the kind's name in the singular: "task".
    pub const fn new(what: &'static str, entries: &'static [T]) -> Self {
        Self { what, entries }
    }

    /// The entry of this name.
    ///
    /// # Errors
    /// Input: names the nearest entry and lists all.
    pub fn find(&self, name: &str) -> Result<&'static T> {
        self.entries.iter().find(|e| e.name() == name).ok_or_else(|| {
            let near = nearest(name, self.names());
            let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            Error::input(format_args!("no {} `{name}`{near}", self.what))
                .hint(format_args!("known: {}", self.help()))
        })
    }

    /// All entries.
    pub fn iter(&self) -> slice::Iter<'static, T> {
        self.entries.iter()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + Clone + use<T> {
        self.entries.iter().map(Entry::name)
    }

    /// All names with what they are: `adamw (Adam with decoupled decay), sgd (…)`.
    pub fn help(&self) -> String {
        let all = self.iter().map(|e| format!("{} ({})", e.name(), e.about()));
        all.collect::<Vec<_>>().join(", ")
    }

    /// A line for each entry, for the help of a command.
    pub fn lines(&self) -> String {
        let width = self.names().map(str::len).max().unwrap_or(0);
        self.iter().map(|e| format!("  {:width$}  {}\n", e.name(), e.about())).collect()
    }
}

impl<T: Entry> IntoIterator for &Registry<T> {
    type Item = &'static T;
    type IntoIter = slice::Iter<'static, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
