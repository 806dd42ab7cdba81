//! Every rule broken once.
