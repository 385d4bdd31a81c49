//! Names of algorithms as arguments: with their descriptions in help, and completed by shells.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};
use remat::Algorithm;
use remat::algorithms::algorithm::{ParseAlgorithmError, TABLE};

/// The name that leaves the choice open.
pub(crate) const AUTO: &str = "auto";

/// An algorithm, or the choice left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice(pub Option<Algorithm>);

/// Reads the name of an algorithm.
pub(crate) fn any() -> impl TypedValueParser<Value = Algorithm> {
    Named
}

/// Reads the name of an algorithm, or [`AUTO`].
pub(crate) fn or_auto() -> impl TypedValueParser<Value = Choice> {
    NamedOrAuto
}

#[derive(Debug, Clone)]
struct Named;

#[derive(Debug, Clone)]
struct NamedOrAuto;

impl TypedValueParser for Named {
    type Value = Algorithm;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<Algorithm, Error> {
        algorithm(named().collect(), command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(named()))
    }
}

impl TypedValueParser for NamedOrAuto {
    type Value = Choice;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<Choice, Error> {
        if value == AUTO {
            return Ok(Choice(None));
        }
        let values = named().chain([auto()]).collect();
        algorithm(values, command, argument, value).map(|found| Choice(Some(found)))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new([auto()].into_iter().chain(named())))
    }
}

fn auto() -> PossibleValue {
    PossibleValue::new(AUTO).help("interval for a training step, linear for a chain")
}

/// All names, from the table of algorithms.
fn named() -> impl Iterator<Item = PossibleValue> {
    TABLE.into_iter().map(|row| {
        let what = row.objective.strip_prefix("nothing: ").unwrap_or(row.objective);
        PossibleValue::new(row.name).help(format!("{what} ({})", row.exactness))
    })
}

fn algorithm(
    values: Vec<PossibleValue>,
    command: &Command,
    argument: Option<&Arg>,
    value: &OsStr,
) -> Result<Algorithm, Error> {
    let parse = StringValueParser::new().try_map(|name| name.parse::<Algorithm>());
    match value.to_string_lossy().parse::<Algorithm>() {
        // Lists all names, and the nearest.
        Err(ParseAlgorithmError::Unknown(_)) => {
            PossibleValuesParser::new(values).try_map(|name| name.parse()).parse_ref(command, argument, value)
        }
        _ => parse.parse_ref(command, argument, value),
    }
}
