//! Reports on plans: data, pictures and the page that holds them.

mod chart;
mod csv;
mod data;
mod gather;
mod page;
mod svg;

pub(crate) use chart::picture;
pub(crate) use csv::table as csv;
pub(crate) use data::{OfGraph, Point, Report};
pub(crate) use gather::{
    Detail, GatherError, Labelled, algorithms, frontier, is_exact, of_graph, tell_apart, worth_having,
};
pub(crate) use page::{page, parts};
