//! Training graphs.
