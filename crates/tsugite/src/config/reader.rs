//! Takes values out of the raw form one by one and collects what is wrong with them.

use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;

use super::error::{ConfigError, Place, Problem};
use super::raw::Maybe;

/// Collects problems while the rest is read on, so that one run names them all.
pub(super) struct Reader {
    file: Option<PathBuf>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(file: Option<&Path>) -> Reader {
        Reader {
            file: file.map(Path::to_owned),
            problems: Vec::new(),
        }
    }

    pub(super) fn place<T>(&self, value: &Spanned<T>) -> Place {
        let at = value.referenced;
        match &self.file {
            Some(file) => Place::File(file.clone(), at.line(), at.column()),
            None => Place::Nowhere,
        }
    }

    pub(super) fn refuse(&mut self, place: Place, text: impl Into<String>) {
        let text = text.into();
        self.problems.push(Problem { place, text });
    }

    /// The value of a key after `parse`; a problem if `parse` refuses it.
    pub(super) fn one<T, V>(
        &mut self,
        value: Spanned<T>,
        parse: impl FnOnce(T) -> Result<V, String>,
    ) -> Option<V> {
        let place = self.place(&value);
        self.at(place, value.value, parse)
    }

    /// As [`Reader::one`], for a key that may be absent.
    pub(super) fn maybe<T, V>(
        &mut self,
        value: Maybe<T>,
        parse: impl FnOnce(T) -> Result<V, String>,
    ) -> Option<V> {
        value.and_then(|value| self.one(value, parse))
    }

    /// The flag if it was given, else the file's value, with the place that it came from.
    pub(super) fn pick(
        &self,
        name: &'static str,
        flag: Option<&String>,
        value: Maybe<String>,
    ) -> Option<(Place, String)> {
        match (flag, value) {
            (Some(text), _) => Some((Place::Flag(name), text.clone())),
            (None, Some(value)) => Some((self.place(&value), value.value)),
            (None, None) => None,
        }
    }

    pub(super) fn at<T, V>(
        &mut self,
        place: Place,
        value: T,
        parse: impl FnOnce(T) -> Result<V, String>,
    ) -> Option<V> {
        match parse(value) {
            Ok(value) => Some(value),
            Err(text) => {
                self.refuse(place, text);
                None
            }
        }
    }

    /// `value` if nothing was refused on the way.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() {
            return Ok(value);
        }
        // Read in the order of the keys' meaning, told in the order of the file.
        self.problems.sort_by(|a, b| a.place.cmp(&b.place));
        Err(ConfigError {
            problems: self.problems,
        })
    }
}
