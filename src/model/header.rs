//! The header of a safetensors file: found, bounded and parsed before anything in it is believed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;

use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::config::{Config, FORMAT_VERSION};
use super::validate::{invalid, shown, unknown_version};
use crate::error::{Error, Result, try_reserve};

/// A header above this is refused.
pub(super) const MAX_HEADER_BYTES: usize = 1 << 20;
/// The number in front of the header.
pub(super) const LENGTH_BYTES: usize = size_of::<u64>();
/// What `__metadata__` holds under `format`.
pub(super) const FORMAT: &str = "spinect-model";

/// How much memory a byte of JSON becomes at worst: `0,` is 2 bytes, a buffered value of it 32, and vectors double as they grow.
const MEMORY_PER_JSON_BYTE: usize = 64;

/// What the header says, with every name once.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tensors: BTreeMap<String, TensorInfo>,
}

/// Splits a file into its header, parsed, and its data.
pub(super) fn split(bytes: &[u8]) -> Result<(Header, &[u8])> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(not_a_model(format!("{} bytes are too few for a safetensors file", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    let length = match usize::try_from(length) {
        Ok(length) if length <= rest.len() && length <= MAX_HEADER_BYTES => length,
        _ if length > MAX_HEADER_BYTES as u64 => {
            return Err(not_a_model(format!("its header claims {length} bytes, more than the {MAX_HEADER_BYTES} allowed")));
        }
        _ => return Err(not_a_model(format!("its header claims {length} bytes, but only {} follow: a truncated file?", rest.len()))),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(|| not_a_model("its header ends behind the file".into()))?;
    let text = std::str::from_utf8(header).map_err(|error| not_a_model(format!("its header is not UTF-8: {error}")))?;
    reserve_for_parsing(text)?;
    let header = parse(text).map_err(|(path, error)| not_a_model(format!("its header at `{path}`: {error}")))?;
    Ok((header, data))
}

impl Header {
    /// The configuration under `__metadata__`, parsed but not yet validated.
    pub(super) fn config(&self) -> Result<Config> {
        match self.metadata.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some(format) => return Err(not_a_model(format!("`format` is \"{}\" instead of \"{FORMAT}\"", shown(format)))),
            None => return Err(not_a_model(format!("its `__metadata__` lacks the key `format` with the value \"{FORMAT}\""))),
        }
        let Some(text) = self.metadata.get("config") else {
            return Err(not_a_model("its `__metadata__` lacks the key `config`".into()));
        };
        reserve_for_parsing(text)?;
        check_outline(text)?;
        parse(text).map_err(|(path, error)| match path.as_str() {
            "." => invalid(format!("config: {error}")),
            path => invalid(format!("config key `{path}`: {error}")),
        })
    }
}

/// The version comes first, so that a newer file is called newer and not wrong; and what must be a JSON object is one
/// (serde would take an array for a structure, with no keys at all).
fn check_outline(text: &str) -> Result<()> {
    let outline: serde_json::Value = parse(text).map_err(|(_, error)| invalid(format!("config is not JSON: {error}")))?;
    match outline.get("format_version") {
        None if outline.is_object() => return Err(invalid("config key `format_version` is missing")),
        Some(version) if version.as_u64() != Some(u64::from(FORMAT_VERSION)) => return Err(unknown_version(&version.to_string())),
        _ => {}
    }
    let labels = outline.get("labels").and_then(|labels| labels.as_array()).map_or(0, Vec::len);
    let label_keys = (0..labels).flat_map(|label| ["", "/terminology", "/category"].map(|key| format!("/labels/{label}{key}")));
    let keys = ["", "/architecture", "/architecture/norm", "/architecture/activation", "/preprocess", "/window"];
    for key in keys.into_iter().map(str::to_owned).chain(label_keys) {
        if outline.pointer(&key).is_some_and(serde_json::Value::is_array) {
            let name = key.trim_start_matches('/').replace('/', ".");
            return Err(invalid(format!("config key `{name}` must be a JSON object, not an array")));
        }
    }
    Ok(())
}

/// Parses JSON; an error comes with the path of keys that leads to it.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> std::result::Result<T, (String, String)> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| (shown(&error.path().to_string()), shown(&error.inner().to_string())))?;
    deserializer.end().map_err(|error| (".".to_owned(), shown(&error.to_string())))?;
    Ok(value)
}

/// The parser's own allocations cannot fail without aborting: takes what it may need at worst, and gives it back at once.
fn reserve_for_parsing(text: &str) -> Result<()> {
    try_reserve::<u8>(&mut Vec::new(), text.len().saturating_mul(MEMORY_PER_JSON_BYTE), "the model file's header")
}

fn not_a_model(why: String) -> Error {
    invalid(format!("not a spinect model: {why}"))
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct HeaderVisitor;

        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a safetensors header: a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
                let mut metadata = None;
                let mut tensors = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        if metadata.replace(map.next_value::<UniqueMap<String>>()?.0).is_some() {
                            return Err(A::Error::custom("`__metadata__` is there twice"));
                        }
                    } else {
                        insert_once(&mut tensors, name, map.next_value()?)?;
                    }
                }
                Ok(Header { metadata: metadata.unwrap_or_default(), tensors })
            }
        }

        deserializer.deserialize_map(HeaderVisitor)
    }
}

/// A JSON object in which no key may be there twice: which of the two counts would depend on who reads.
struct UniqueMap<V>(BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct UniqueVisitor<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueVisitor<V> {
            type Value = UniqueMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<UniqueMap<V>, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    insert_once(&mut entries, name, map.next_value()?)?;
                }
                Ok(UniqueMap(entries))
            }
        }

        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

fn insert_once<V, E: serde::de::Error>(map: &mut BTreeMap<String, V>, name: String, value: V) -> std::result::Result<(), E> {
    match map.entry(name) {
        Entry::Vacant(place) => {
            place.insert(value);
            Ok(())
        }
        Entry::Occupied(place) => Err(E::custom(format_args!("`{}` is there twice", place.key()))),
    }
}
