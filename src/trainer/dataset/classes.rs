//! Which label value means which class.

use crate::error::{Error, ErrorKind, Result};

/// The most classes there can be, background among them: a class is a byte, and 255 stands for padding.
pub const MAX_CLASSES: usize = 255;

/// The class of background, which every set has.
pub const BACKGROUND: &str = "background";

/// From the values of a label map to classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueMap([Option<u8>; 256]);

impl ValueMap {
    /// The class of a value; `None` if it has none.
    pub fn class(&self, value: u8) -> Option<u8> {
        self.0[usize::from(value)]
    }

    /// Gives a value another class.
    pub(super) fn set(&mut self, value: u8, class: u8) {
        self.0[usize::from(value)] = Some(class);
    }

    /// The class of every value, 255 (no class has it) where there is none: for a hash.
    pub(super) fn to_bytes(&self) -> [u8; 256] {
        self.0.map(|class| class.unwrap_or(u8::MAX))
    }
}

/// The classes of a set: their names, and the values that stand for them in label maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    names: Vec<String>,
    values: ValueMap,
}

impl Classes {
    /// Classes from pairs of name and label values, in the order of the network's channels. Class 0, `"background"`, is
    /// always there and has value 0; a pair of that name, at any place, adds values that are to be ignored.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for no class but background, more than [`MAX_CLASSES`], a name that is empty or given
    /// twice, a class without a value, or a value of two classes.
    pub fn new<N: AsRef<str>>(pairs: &[(N, Vec<u8>)]) -> Result<Classes> {
        let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        let mut names = vec![BACKGROUND.to_owned()];
        let mut values = ValueMap([None; 256]);
        values.set(0, 0);
        let mut background = false;
        for (name, of_class) in pairs {
            let name = name.as_ref();
            let ignored = name == BACKGROUND;
            if name.trim().is_empty() {
                return fail("a class has no name: give every class one".into());
            }
            if (ignored && background) || (!ignored && names.iter().any(|other| other == name)) {
                return fail(format!("class {name:?} is given twice: list all of its values in one place"));
            }
            background |= ignored;
            let class = if ignored { 0 } else { names.len() };
            if class >= MAX_CLASSES {
                return fail(format!("more than {MAX_CLASSES} classes, background among them"));
            }
            if !ignored {
                if of_class.is_empty() {
                    return fail(format!("class {name:?} has no label value: list those that stand for it"));
                }
                names.push(name.to_owned());
            }
            for &value in of_class {
                match values.class(value) {
                    Some(other) if usize::from(other) != class => {
                        let message = format!("label value {value} stands for {:?} and for {name:?}", names[usize::from(other)]);
                        return fail(format!("{message}: a value has one class (0 is background)"));
                    }
                    _ => values.set(value, class as u8),
                }
            }
        }
        if names.len() < 2 {
            return fail("no class but background: name at least one, with its label values".into());
        }
        Ok(Classes { names, values })
    }

    /// Background, bone (value 1), nerve (value 2): the paper's.
    pub fn spinect() -> Classes {
        let mut values = ValueMap([None; 256]);
        (0..3).for_each(|class| values.set(class, class));
        Classes { names: [BACKGROUND, "bone", "nerve"].map(String::from).into(), values }
    }

    /// How many there are, background among them.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The names; the index is the class.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The class of a name.
    pub fn find(&self, name: &str) -> Option<u8> {
        self.names.iter().position(|known| known == name).map(|class| class as u8)
    }

    /// The class of a label value; `None` if it has none.
    pub fn class(&self, value: u8) -> Option<u8> {
        self.values.class(value)
    }

    /// From label values to classes.
    pub fn values(&self) -> &ValueMap {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_is_class_zero_and_takes_what_is_to_be_ignored() {
        let classes = Classes::new(&[("vertebra", vec![7, 9]), (BACKGROUND, vec![0, 4]), ("nerve", vec![3])]).unwrap();
        assert_eq!(classes.names(), ["background", "vertebra", "nerve"]);
        assert_eq!([0, 4, 7, 9, 3, 5].map(|value| classes.class(value)), [Some(0), Some(0), Some(1), Some(1), Some(2), None]);
        assert_eq!((classes.find("nerve"), classes.find("disc"), classes.count()), (Some(2), None, 3));
    }

    #[test]
    fn the_papers_classes_are_those_of_their_values() {
        assert_eq!(Classes::spinect(), Classes::new(&[("bone", vec![1]), ("nerve", vec![2])]).unwrap());
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        let refused = |pairs: &[(&str, Vec<u8>)], what: &str| {
            let error = Classes::new(pairs).unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidArgument && error.message().contains(what), "{error}");
        };
        refused(&[("bone", vec![1]), ("nerve", vec![1])], "\"bone\" and for \"nerve\"");
        refused(&[("bone", vec![0])], "\"background\" and for \"bone\"");
        refused(&[("bone", vec![1]), (BACKGROUND, vec![1])], "\"bone\" and for \"background\"");
        refused(&[("bone", vec![1]), ("bone", vec![2])], "twice");
        refused(&[(BACKGROUND, vec![1]), (BACKGROUND, vec![2])], "twice");
        refused(&[("bone", vec![])], "no label value");
        refused(&[(" ", vec![1])], "no name");
        refused(&[(BACKGROUND, vec![1])], "at least one");
        let many: Vec<(String, Vec<u8>)> = (1..=255).map(|value| (format!("c{value}"), vec![value])).collect();
        assert!(Classes::new(&many).unwrap_err().message().contains("more than 255"));
        assert_eq!(Classes::new(&many[..254]).unwrap().count(), MAX_CLASSES);
    }
}
