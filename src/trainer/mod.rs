//! Training: from labeled cases to a model (method.md 5). Feature `trainer`.

pub mod dataset;
