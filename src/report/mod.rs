//! Reports on plans: data, pictures and the page that holds them.

mod chart;
mod csv;
mod data;
mod gather;
mod page;
mod svg;

pub(crate) use chart::picture;
pub(crate) use csv::table as csv;
pub(crate) use data::{OfGraph, Report};
pub(crate) use gather::{Detail, GatherError, Labelled, algorithms, frontier, of_graph, tell_apart};
pub(crate) use page::{page, parts};
