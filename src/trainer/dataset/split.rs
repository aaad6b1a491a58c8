//! Which cases train, which validate, which test: never one case in two of them (method.md 5).

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

use super::random::{Purpose, generator};

/// Folds of a cross-validation.
pub const FOLDS: usize = 5;

/// What a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The network learns from it.
    Train,
    /// It says which of the networks on the way is the best.
    Validation,
    /// It says how good that network is.
    Test,
}

impl Part {
    /// The part of a name: `train`, `validation`, `test`.
    pub fn of_name(name: &str) -> Option<Part> {
        [Part::Train, Part::Validation, Part::Test].into_iter().find(|part| part.name() == name)
    }

    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Validation => "validation",
            Part::Test => "test",
        }
    }
}

/// Indices of cases, each in exactly one part, in the order of the cases' identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The network learns from these.
    pub train: Vec<usize>,
    /// These say which of the networks on the way is the best.
    pub validation: Vec<usize>,
    /// These say how good that network is.
    pub test: Vec<usize>,
}

impl Split {
    /// Fold `fold` of a five-fold cross-validation: the cases, sorted by identifier and shuffled by the seed, are cut into five
    /// shares that differ by at most one case. Share `fold` is for testing; of those that follow it (behind the last comes
    /// the first), 16 % of all validate; the rest trains. Of 50 cases: 32 train, 8 validate, 10 test.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for fewer than five cases, a fold that is not there, or an identifier given twice.
    pub fn fold<S: AsRef<str>>(ids: &[S], seed: u64, fold: usize) -> Result<Split> {
        let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        if fold >= FOLDS {
            return fail(format!("fold {fold}: the folds are 0 to {}", FOLDS - 1));
        }
        if ids.len() < FOLDS {
            let message = format!("{} cases are too few for {FOLDS} folds", ids.len());
            return fail(format!("{message}: ask for a single split, or say in a manifest what each case is for"));
        }
        Split::of_share(ids, seed, fold)
    }

    /// One split: fold 0. From three cases on: with fewer than five, one tests, one validates, the rest trains.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for fewer than three cases or an identifier given twice.
    pub fn single<S: AsRef<str>>(ids: &[S], seed: u64) -> Result<Split> {
        if ids.len() < 3 {
            let message = format!("{} cases are too few to train, validate and test on different ones", ids.len());
            let advice = "add some, or say in a manifest what each case is for (\"split\": \"train\")";
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{message}: {advice}")));
        }
        Split::of_share(ids, seed, 0)
    }

    /// The split that says of every case what it is for. Validation and test may be empty.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for other numbers of identifiers and parts, an identifier given twice, or no case to
    /// train on.
    pub fn explicit<S: AsRef<str>>(ids: &[S], parts: &[Part]) -> Result<Split> {
        if ids.len() != parts.len() {
            let message = format!("{} cases and {} parts: say of every case what it is for", ids.len(), parts.len());
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let split = Split::from_parts(sorted(ids)?.into_iter().map(|case| (case, parts[case])));
        if split.train.is_empty() {
            let message = "no case is for training: give at least one the split \"train\"";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Ok(split)
    }

    /// The cases of a part.
    pub fn part(&self, part: Part) -> &[usize] {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }

    fn of_share<S: AsRef<str>>(ids: &[S], seed: u64, fold: usize) -> Result<Split> {
        let mut shuffled = sorted(ids)?;
        let sorted = shuffled.clone();
        shuffled.shuffle(&mut generator(seed, Purpose::Split));
        let n = shuffled.len();
        // Share 0 has at least one case, whatever n.
        let start = |share: usize| (share * n).div_ceil(FOLDS);
        let tested = start(fold)..start(fold + 1);
        // 16 %, rounded, and at least one.
        let validating = ((16 * n + 50) / 100).max(1);
        let mut parts = vec![Part::Train; n];
        for place in 0..tested.len() + validating {
            let case = shuffled[(tested.start + place) % n];
            parts[case] = if place < tested.len() { Part::Test } else { Part::Validation };
        }
        Ok(Split::from_parts(sorted.into_iter().map(|case| (case, parts[case]))))
    }

    fn from_parts(cases: impl Iterator<Item = (usize, Part)>) -> Split {
        let mut split = Split::default();
        for (case, part) in cases {
            match part {
                Part::Train => split.train.push(case),
                Part::Validation => split.validation.push(case),
                Part::Test => split.test.push(case),
            }
        }
        split
    }
}

/// The indices in the order of their identifiers, which must differ.
fn sorted<S: AsRef<str>>(ids: &[S]) -> Result<Vec<usize>> {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by(|&a, &b| ids[a].as_ref().cmp(ids[b].as_ref()));
    match order.windows(2).find(|pair| ids[pair[0]].as_ref() == ids[pair[1]].as_ref()) {
        Some(pair) => {
            let message = format!("two cases are called {:?}: one could train and the other test", ids[pair[0]].as_ref());
            Err(Error::new(ErrorKind::InvalidArgument, message))
        }
        None => Ok(order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("case-{n:03}")).collect()
    }

    /// How often each case is in a part.
    fn members(split: &Split, count: usize) -> Vec<[usize; 3]> {
        let mut members = vec![[0; 3]; count];
        for (part, cases) in [&split.train, &split.validation, &split.test].into_iter().enumerate() {
            cases.iter().for_each(|&case| members[case][part] += 1);
        }
        members
    }

    #[test]
    fn no_case_ever_leaks_and_every_case_is_tested_in_exactly_one_fold() {
        for count in 5..=200 {
            let ids = ids(count);
            for seed in [0, 1, 2, 77, u64::MAX] {
                let mut tested = vec![0; count];
                for fold in 0..FOLDS {
                    let split = Split::fold(&ids, seed, fold).unwrap();
                    let members = members(&split, count);
                    assert!(members.iter().all(|parts| parts.iter().sum::<usize>() == 1), "{count} cases, seed {seed}, fold {fold}");
                    split.test.iter().for_each(|&case| tested[case] += 1);
                    let share = |cases: &[usize]| cases.len() as f64 / count as f64;
                    let off = |share: f64, expected: f64| (share - expected).abs() * count as f64;
                    assert!(off(share(&split.test), 0.2) < 1.0 && off(share(&split.validation), 0.16) <= 0.5, "{count} {split:?}");
                    assert!(split.train.len() > split.test.len() && !split.validation.is_empty(), "{count} {split:?}");
                }
                assert!(tested.iter().all(|&times| times == 1), "{count} cases, seed {seed}: {tested:?}");
            }
        }
    }

    #[test]
    fn the_papers_fifty_cases_are_split_as_in_the_paper() {
        for fold in 0..FOLDS {
            let split = Split::fold(&ids(50), 3, fold).unwrap();
            assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (32, 8, 10));
        }
    }

    #[test]
    fn validation_follows_test_around_the_circle() {
        // Share k + 1 begins where share k ends, so fold k validates on cases that fold k + 1 tests.
        let folds: Vec<Split> = (0..FOLDS).map(|fold| Split::fold(&ids(50), 9, fold).unwrap()).collect();
        for fold in 0..FOLDS {
            let next = &folds[(fold + 1) % FOLDS].test;
            assert!(folds[fold].validation.iter().all(|case| next.contains(case)), "{fold}");
        }
    }

    #[test]
    fn the_split_follows_from_names_and_seed_and_not_from_the_order_of_the_cases() {
        let forward = ids(23);
        let backward: Vec<String> = forward.iter().rev().cloned().collect();
        let names = |ids: &[String], cases: &[usize]| cases.iter().map(|&case| ids[case].clone()).collect::<Vec<_>>();
        for fold in 0..FOLDS {
            let [a, b] = [&forward, &backward].map(|ids| {
                let split = Split::fold(ids, 4, fold).unwrap();
                [names(ids, &split.train), names(ids, &split.validation), names(ids, &split.test)]
            });
            assert_eq!(a, b);
            assert!(a.iter().all(|names| names.is_sorted()));
        }
        assert_ne!(Split::fold(&forward, 4, 0).unwrap(), Split::fold(&forward, 5, 0).unwrap());
    }

    #[test]
    fn over_many_seeds_every_case_is_tested_alike() {
        const SEEDS: u64 = 2000;
        let mut tested = [0u32; 10];
        for seed in 0..SEEDS {
            Split::single(&ids(10), seed).unwrap().test.iter().for_each(|&case| tested[case] += 1);
        }
        // 2 of 10 in each: 400 expected, standard deviation 18.
        assert!(tested.iter().all(|&times| times.abs_diff(400) < 90), "{tested:?}");
    }

    #[test]
    fn few_cases_make_one_split_or_an_error_that_says_what_to_do() {
        for (count, train) in [(3, 1), (4, 2)] {
            let split = Split::single(&ids(count), 0).unwrap();
            assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (train, 1, 1));
            assert!(members(&split, count).iter().all(|parts| parts.iter().sum::<usize>() == 1));
            assert!(Split::fold(&ids(count), 0, 0).unwrap_err().message().contains("single split"));
        }
        assert_eq!(Split::single(&ids(5), 0).unwrap(), Split::fold(&ids(5), 0, 0).unwrap());
        for count in 0..3 {
            assert!(Split::single(&ids(count), 0).unwrap_err().message().contains("\"split\": \"train\""));
        }
        assert!(Split::fold(&ids(5), 0, 5).unwrap_err().message().contains("0 to 4"));
    }

    #[test]
    fn two_cases_of_one_name_are_refused() {
        let twice = ["a", "b", "a", "c", "d"];
        assert!(Split::fold(&twice, 0, 0).is_err() && Split::single(&twice, 0).is_err());
        assert!(Split::explicit(&twice, &[Part::Train; 5]).is_err());
    }

    #[test]
    fn what_a_manifest_says_is_done() {
        let parts = [Part::Test, Part::Train, Part::Train, Part::Validation];
        let split = Split::explicit(&["d", "c", "a", "b"], &parts).unwrap();
        assert_eq!(split, Split { train: vec![2, 1], validation: vec![3], test: vec![0] });
        assert!(Split::explicit(&["a", "b"], &[Part::Test; 2]).unwrap_err().message().contains("for training"));
        assert!(Split::explicit(&["a", "b"], &[Part::Train]).is_err());
        assert_eq!(Part::of_name("validation"), Some(Part::Validation));
        assert_eq!(Part::of_name("val"), None);
    }
}
