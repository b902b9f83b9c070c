//! One error type for the whole of Athanor: what went wrong, where, and what to do.

use std::{fmt, io, path::Path};

/// Whose fault it was; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The user's input is wrong (exit code 2).
    Input,
    /// The work could not be done (exit code 1).
    Failed,
    /// The user stopped it; a checkpoint was written (exit code 130).
    Interrupted,
}

/// An error with its place and, where we know one, a way out.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    place: Option<String>,
    what: String,
    hint: Option<String>,
}

/// Athanor's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(kind: Kind, what: impl fmt::Display) -> Self {
        Self { kind, place: None, what: what.to_string(), hint: None }
    }

    /// The user's input is wrong: say what was found and what was expected.
    pub fn input(what: impl fmt::Display) -> Self {
        Self::new(Kind::Input, what)
    }

    /// The work could not be done though the input was right.
    pub fn failed(what: impl fmt::Display) -> Self {
        Self::new(Kind::Failed, what)
    }

    /// The user stopped the work.
    pub fn interrupted(what: impl fmt::Display) -> Self {
        Self::new(Kind::Interrupted, what)
    }

    /// An I/O error while `doing` something ("read", "write") to `path`.
    pub fn io(doing: &str, path: &Path, error: io::Error) -> Self {
        use io::ErrorKind as K;
        let at = path.display().to_string();
        let what = |s: &str| format!("cannot {doing}: {s}");
        match error.kind() {
            K::NotFound => Self::input(what("no such file or folder"))
                .hint("check the path; paths in a recipe are relative to the recipe"),
            K::PermissionDenied => Self::input(what("permission denied"))
                .hint("check whose it is, or name another place"),
            K::ReadOnlyFilesystem => Self::input(what("the file system can only be read"))
                .hint("name another place to write to (--out for a run)"),
            K::AlreadyExists if doing == "create" => {
                Self::input(what("a file is there, a folder was to be made"))
                    .hint("move it away, or name another place (--out for a run)")
            }
            K::IsADirectory => Self::input(what("it is a folder, a file was expected")),
            K::NotADirectory => Self::input(what("a part of the path is a file, not a folder")),
            K::StorageFull | K::QuotaExceeded => Self::failed(what("the disk is full")).hint(
                "free some space and run the same command again: it goes on with what it has",
            ),
            K::InvalidData | K::UnexpectedEof => Self::input(what(&error.to_string())),
            _ => Self::failed(what(&error.to_string())),
        }
        .at(at)
    }

    /// Adds the place (file, line, tensor) in front of those already there.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = Some(match self.place {
            Some(inner) => format!("{place}: {inner}"),
            None => place.to_string(),
        });
        self
    }

    /// Says what to do; the first hint given stays.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint.get_or_insert_with(|| hint.to_string());
        self
    }

    /// Whose fault it was.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The process's exit code: 2 bad input, 1 failed, 130 interrupted.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Input => 2,
            Kind::Failed => 1,
            Kind::Interrupted => 130,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}", self.what)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  help: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
