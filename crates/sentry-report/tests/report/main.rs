//! The report of a made-up month, recomputed.
mod sample;
