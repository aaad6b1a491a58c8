//! Where cases are kept: in memory as far as a budget reaches, else on disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, ErrorKind, Result};
use crate::io::ReadOptions;
use crate::threads::lock;

use super::OpenOptions;
use super::cache::{Cache, Key};
use super::case::Case;
use super::check::read_pair;
use super::manifest::Pair;

/// The cases of a dataset, by number.
#[derive(Debug)]
pub(super) struct Store {
    slots: Vec<Slot>,
    read: ReadOptions,
    cache: Option<Cache>,
    /// Bytes of memory that are left for cases. The first that fit stay: cases are drawn uniformly, so none is worth more than
    /// another, and one that makes way would only be read again.
    memory: AtomicU64,
}

#[derive(Debug)]
struct Slot {
    source: Option<(Pair, Key)>,
    resident: Mutex<Option<Arc<Case>>>,
}

impl Store {
    /// Cases that are in memory and stay there.
    pub fn in_memory(cases: Vec<Case>) -> Store {
        let slots = cases.into_iter().map(|case| Slot { source: None, resident: Mutex::new(Some(Arc::new(case))) }).collect();
        Store { slots, read: ReadOptions::default(), cache: None, memory: AtomicU64::new(0) }
    }

    /// No case yet.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the cache's folder cannot be made.
    pub fn of_files(options: &OpenOptions) -> Result<Store> {
        let cache = options.cache.as_deref().map(Cache::open).transpose()?;
        Ok(Store { slots: Vec::new(), read: options.read, cache, memory: AtomicU64::new(options.memory) })
    }

    /// Takes a pair in as the next case, if it passes all checks; else says what is wrong with it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the cache cannot be written; [`ErrorKind::OutOfMemory`].
    pub fn add(&mut self, pair: &Pair) -> Result<std::result::Result<Arc<Case>, Vec<String>>> {
        let key = match Key::of(pair, &self.read) {
            Ok(key) => key,
            Err(error) => return Ok(Err(vec![error.to_string()])),
        };
        let case = match self.load(pair, &key)? {
            Ok(case) => Arc::new(case),
            Err(problems) => return Ok(Err(problems)),
        };
        let resident = Mutex::new(self.fits(&case).then(|| Arc::clone(&case)));
        self.slots.push(Slot { source: Some((pair.clone(), key)), resident });
        Ok(Ok(case))
    }

    /// The files of a case.
    pub fn pair(&self, index: usize) -> Option<&Pair> {
        self.slots.get(index)?.source.as_ref().map(|(pair, _)| pair)
    }

    /// A case, from memory, from the cache, or from its files. Others that want it at the same time wait for the one reader.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if there is no such case; [`ErrorKind::Io`], [`ErrorKind::CorruptFile`] if its files
    /// have vanished or changed; [`ErrorKind::OutOfMemory`].
    pub fn get(&self, index: usize) -> Result<Arc<Case>> {
        let not_there = || Error::new(ErrorKind::InvalidArgument, format!("case number {index}: the dataset has {}", self.slots.len()));
        let slot = self.slots.get(index).ok_or_else(not_there)?;
        let mut resident = lock(&slot.resident);
        if let Some(case) = resident.as_ref() {
            return Ok(Arc::clone(case));
        }
        let (pair, key) = slot.source.as_ref().ok_or_else(not_there)?;
        let case = match self.cached(key)? {
            Some(case) => case,
            None => self.again(pair, key).map_err(|error| error.context(format_args!("case {}", pair.id)))?,
        };
        let case = Arc::new(case);
        if self.fits(&case) {
            *resident = Some(Arc::clone(&case));
        }
        Ok(case)
    }

    /// The case of a pair from its files, which must be those of the key.
    fn again(&self, pair: &Pair, key: &Key) -> Result<Case> {
        if Key::of(pair, &self.read)? != *key {
            let message = "its files have changed since the dataset was opened: start again";
            return Err(Error::new(ErrorKind::CorruptFile, message));
        }
        self.load(pair, key)?.map_err(|problems| Error::new(ErrorKind::CorruptFile, problems.join("; ")))
    }

    /// The case of a pair from the cache or from its files; then the cache has it.
    fn load(&self, pair: &Pair, key: &Key) -> Result<std::result::Result<Case, Vec<String>>> {
        if let Some(case) = self.cached(key)? {
            return Ok(Ok(case));
        }
        let read = read_pair(pair, &self.read);
        if let (Some(cache), Ok(case)) = (&self.cache, &read) {
            cache.store(key, case)?;
        }
        Ok(read)
    }

    fn cached(&self, key: &Key) -> Result<Option<Case>> {
        self.cache.as_ref().map_or(Ok(None), |cache| cache.load(key))
    }

    /// Whether memory is left for a case; then it is taken.
    fn fits(&self, case: &Case) -> bool {
        self.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(case.bytes() as u64)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Files;
    use super::super::{Augmentation, Batches, Classes, Dataset, Manifest, Sampling};
    use super::*;
    use crate::model::Config;

    fn dataset(files: &Files, cached: bool, memory: u64) -> Dataset {
        let manifest = Manifest::read(&files.path("data"), &Classes::spinect()).unwrap();
        let cache = cached.then(|| files.path("cache"));
        Dataset::open(&manifest, &OpenOptions { read: ReadOptions::default(), cache, memory }).unwrap()
    }

    fn three_cases() -> Files {
        let files = Files::new();
        (0..3).for_each(|n| files.write_case(&format!("data/{n}.nii.gz"), &format!("data/{n}-label.nii.gz"), n));
        files
    }

    /// The files of the cache, with their bytes.
    fn cached(files: &Files) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let mut paths: Vec<_> = std::fs::read_dir(files.path("cache")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }

    fn cases(dataset: &Dataset) -> Vec<Arc<Case>> {
        (0..dataset.len()).map(|index| dataset.case(index).unwrap()).collect()
    }

    #[test]
    fn cases_are_the_same_from_memory_the_cache_and_their_files() {
        let files = three_cases();
        let expected = cases(&dataset(&files, false, u64::MAX));
        for (cached, memory) in [(false, 0), (true, u64::MAX), (true, 0), (true, 1000)] {
            let dataset = dataset(&files, cached, memory);
            assert_eq!([cases(&dataset), cases(&dataset)], [expected.clone(), expected.clone()], "{cached} {memory}");
        }
    }

    #[test]
    fn the_budget_says_how_many_cases_stay_in_memory() {
        let files = three_cases();
        let bytes = cases(&dataset(&files, false, u64::MAX))[0].bytes() as u64;
        for (memory, expected) in [(u64::MAX, 3), (2 * bytes, 2), (2 * bytes - 1, 1), (0, 0)] {
            let dataset = dataset(&files, true, memory);
            let stays = (0..3).filter(|&n| Arc::ptr_eq(&dataset.case(n).unwrap(), &dataset.case(n).unwrap())).count();
            assert_eq!(stays, expected, "{memory}");
        }
    }

    #[test]
    fn a_cache_is_used_when_it_is_whole_and_remade_when_it_is_damaged() {
        let files = three_cases();
        let expected = cases(&dataset(&files, true, 0));
        let written = cached(&files);
        assert_eq!(written.len(), 3);
        let dataset = dataset(&files, true, 0);
        // Without their images the cases still come, so they come from the cache.
        let image = files.path("data/1.nii.gz");
        let bytes = std::fs::read(&image).unwrap();
        std::fs::remove_file(&image).unwrap();
        assert_eq!(cases(&dataset), expected);
        std::fs::write(&image, bytes).unwrap();
        for (path, bytes) in &written {
            let mut damaged = bytes.clone();
            damaged[150] ^= 1;
            std::fs::write(path, damaged).unwrap();
        }
        assert_eq!(cases(&dataset), expected);
        assert_eq!(cached(&files), written);
    }

    #[test]
    fn a_case_whose_file_has_vanished_or_changed_is_an_error_that_names_it_and_reaches_who_waits_for_batches() {
        let files = three_cases();
        let dataset = Arc::new(dataset(&files, false, 0));
        let preprocess = Config::spinect(&[2]).preprocess;
        let sampling = Sampling { batch: 2, window: [2, 2, 2], preprocess, augmentation: Augmentation::NONE, seed: 0 };
        std::fs::copy(files.path("data/0.nii.gz"), files.path("data/2.nii.gz")).unwrap();
        std::fs::remove_file(files.path("data/1.nii.gz")).unwrap();
        for (case, kind, what) in [(1, ErrorKind::Io, "1.nii.gz"), (2, ErrorKind::CorruptFile, "have changed")] {
            let mut batches = Batches::start(&dataset, &[case], &sampling, 0, 2).unwrap();
            let error = batches.next().unwrap_err();
            assert!(error.kind() == kind && error.message().contains(what) && error.message().contains("case "), "{error}");
            assert_eq!(batches.next().unwrap_err(), error);
        }
        let mut batches = Batches::start(&dataset, &[0], &sampling, 0, 2).unwrap();
        assert!(batches.next().is_ok());
    }

    #[test]
    fn a_cache_that_cannot_be_made_is_an_io_error() {
        let files = three_cases();
        std::fs::write(files.path("cache"), b"a file").unwrap();
        let manifest = Manifest::read(&files.path("data"), &Classes::spinect()).unwrap();
        let options = OpenOptions { cache: Some(files.path("cache")), ..OpenOptions::default() };
        assert_eq!(Dataset::open(&manifest, &options).unwrap_err().kind(), ErrorKind::Io);
    }
}
