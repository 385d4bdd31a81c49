//! Rematerialization planning.
