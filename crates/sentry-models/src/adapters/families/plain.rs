//! Any model of Converse that the catalogue knows no family of. What is its own (`top_k`, a format for InvokeModel) is not known.

use super::super::adapter::{Adapter, Native, Support};

pub struct Plain;

impl Adapter for Plain {
    fn converse(&self, _: &str) -> Support {
        Support::NO_TOP_K
    }

    fn native(&self, _: &str) -> Option<&'static dyn Native> {
        None
    }
}
