//! What the tests of several rooms share.

use std::path::{Path, PathBuf};

/// A file of the shared data folder: `SPINECT_SHARED`, else `../shared` beside the repository. `None`, loudly, if it is
/// not there.
pub(crate) fn shared_data(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let path = std::env::var_os("SPINECT_SHARED").map_or_else(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: the shared data folder is not there (looked for {}); SPINECT_SHARED says where it is", path.display());
    None
}
