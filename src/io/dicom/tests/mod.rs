//! Whole series, through the public functions.

mod damage;
mod encodings;
mod numbers;
mod order;
mod refusals;
mod selection;
