//! The C ABI: one file per noun, nothing but translation. `include/spinect.h` is generated from here.
//!
//! Every function checks its arguments in the order that the header promises (NULL, handles, structure sizes, values,
//! geometry, state, work), calls one function of the Rust interface, and translates the result. Nothing unwinds out.

#![allow(non_camel_case_types, reason = "these are the names of the C ABI")]
#![allow(rustdoc::broken_intra_doc_links, reason = "annotations for cbindgen (`ptrs-as-arrays=[[point;3]]`) look like links")]
#![allow(clippy::missing_safety_doc, reason = "what a C caller owes is the same for all functions and opens the header")]

mod cancel;
mod handle;
mod image;
mod label_map;
mod library;
mod query;
mod run;
mod segment;
mod segmentation;
mod session;
mod status;
mod structs;
mod surface;
mod volume;

pub use cancel::*;
pub use image::*;
pub use label_map::*;
pub use library::*;
pub use query::*;
pub use run::*;
pub use segment::*;
pub use segmentation::*;
pub use session::*;
pub use status::*;
pub use surface::*;
pub use volume::*;
