//! The label table of a NIfTI label map: a header extension as TotalSegmentator writes it, which took the XML from
//! Connectome Workbench. docs/formats.md says why this one.
//!
//! ```xml
//! <CaretExtension><VolumeInformation Index="0"><LabelTable>
//!   <Label Key="1" Red="0.945098" Green="0.839216" Blue="0.568627" Alpha="1"><![CDATA[bone]]></Label>
//! </LabelTable><VolumeType><![CDATA[Label]]></VolumeType></VolumeInformation></CaretExtension>
//! ```

use std::fmt::Write;

use roxmltree::{Document, Node};

use super::super::table::unnamed;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Code, LabelConfig};
use crate::segmentation::Label;

/// `NIFTI_ECODE_IGNORE`, under which TotalSegmentator writes and reads.
const CODE_IGNORE: i32 = 0;
/// `NIFTI_ECODE_CARET`, under which Connectome Workbench does; nibabel 5.4 fails to hand out the content of those.
const CODE_CARET: i32 = 30;
/// The most that is read as a table.
pub(super) const TABLE_BYTES: u64 = 1 << 20;

/// Whether an extension of this code may hold a label table.
pub(super) fn may_hold(code: i32) -> bool {
    [CODE_CARET, CODE_IGNORE].contains(&code)
}

/// A whole extension, little-endian, a multiple of 16 bytes long; nothing for a table without labels.
pub(super) fn extension(table: &[Label]) -> Vec<u8> {
    if table.is_empty() {
        return Vec::new();
    }
    let mut xml =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CaretExtension>\n<VolumeInformation Index=\"0\">\n<LabelTable>\n");
    // Writing to a string does not fail.
    for label in table {
        let [red, green, blue] = label.color.map(|part| f64::from(part) / 255.0);
        // The background is not to be drawn over the image.
        let alpha = u8::from(label.value != 0);
        let _ = write!(xml, "<Label Key=\"{}\" Red=\"{red:.6}\" Green=\"{green:.6}\" Blue=\"{blue:.6}\" Alpha=\"{alpha}\"", label.value);
        for (attribute, code) in [("Terminology", &label.terminology), ("Category", &label.category)] {
            if let Some(Code { scheme, code, meaning }) = code {
                for (part, text) in [("Scheme", scheme), ("Code", code), ("Meaning", meaning)] {
                    let _ = write!(xml, " {attribute}{part}=\"{}\"", attribute_text(text));
                }
            }
        }
        let _ = writeln!(xml, "><![CDATA[{}]]></Label>", cdata_text(&label.name));
    }
    xml += "</LabelTable>\n<VolumeType><![CDATA[Label]]></VolumeType>\n</VolumeInformation>\n</CaretExtension>\n";
    let size = (8 + xml.len()).next_multiple_of(16);
    let mut bytes = Vec::with_capacity(size);
    bytes.extend((size as i32).to_le_bytes());
    bytes.extend(CODE_IGNORE.to_le_bytes());
    bytes.extend(xml.as_bytes());
    bytes.resize(size, 0);
    bytes
}

/// What XML 1.0 has no way to say becomes a space.
fn printable(c: char) -> char {
    let allowed = matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if allowed { c } else { ' ' }
}

/// Text as the value of an attribute in double quotes.
fn attribute_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().map(printable) {
        match c {
            '&' | '<' | '>' | '"' | '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text inside a CDATA section, which its own end would close, and which knows one line end.
fn cdata_text(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c == '\r' { '\n' } else { printable(c) }).collect();
    plain.replace("]]>", "]]]]><![CDATA[>")
}

/// The table in an extension's content; `None` if there is another thing in it.
///
/// # Errors
/// [`ErrorKind::CorruptFile`] for a table that cannot be read.
pub(super) fn parse(content: &[u8]) -> Result<Option<Vec<LabelConfig>>> {
    let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
    let text = String::from_utf8_lossy(content.get(..end).unwrap_or_default());
    if !text.contains("<CaretExtension") {
        return Ok(None);
    }
    let corrupt = |message: String| Error::new(ErrorKind::CorruptFile, format!("the label table in the header's extension: {message}"));
    let document = Document::parse(text.trim_start()).map_err(|error| corrupt(error.to_string()))?;
    let Some(table) = document.descendants().find(|node| node.has_tag_name("LabelTable")) else { return Ok(None) };
    let mut labels = Vec::new();
    for node in table.children().filter(|node| node.has_tag_name("Label")) {
        let key = node.attribute("Key").and_then(|key| key.trim().parse::<i64>().ok());
        let Some(key) = key else {
            return Err(corrupt("a label has no whole number as its Key".into()));
        };
        // Other values no voxel of a label map can have.
        if let Ok(value) = u8::try_from(key) {
            labels.push(label(node, value).map_err(corrupt)?);
        }
    }
    Ok(Some(labels))
}

fn label(node: Node<'_, '_>, value: u8) -> std::result::Result<LabelConfig, String> {
    let name: String = node.children().filter_map(|child| child.text()).collect();
    let mut label = unnamed(value, Some(name.trim().to_owned()).filter(|name| !name.is_empty()));
    let colors = ["Red", "Green", "Blue"].map(|color| node.attribute(color));
    // A table of names alone is one, too.
    if colors.iter().any(Option::is_some) {
        for (part, color) in label.color.iter_mut().zip(colors) {
            let color = color.and_then(|color| color.trim().parse::<f64>().ok()).filter(|color| (0.0..=1.0).contains(color));
            *part = (color.ok_or_else(|| format!("label {value} has a color that is not from 0 to 1"))? * 255.0).round() as u8;
        }
    }
    let code = |attribute: &str| {
        let [scheme, code, meaning] = ["Scheme", "Code", "Meaning"].map(|part| node.attribute(format!("{attribute}{part}").as_str()));
        Some(Code { scheme: scheme?.into(), code: code?.into(), meaning: meaning?.into() })
    };
    (label.terminology, label.category) = (code("Terminology"), code("Category"));
    Ok(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(scheme: &str, code: &str, meaning: &str) -> Option<Code> {
        Some(Code { scheme: scheme.into(), code: code.into(), meaning: meaning.into() })
    }

    fn config(value: u8, name: &str, terminology: Option<Code>, category: Option<Code>) -> LabelConfig {
        LabelConfig { value, name: name.into(), color: [value, 214, 255], terminology, category, pieces: None }
    }

    fn content(table: &[LabelConfig]) -> Vec<u8> {
        let bytes = extension(&table.iter().map(Label::new).collect::<Vec<_>>());
        assert_eq!((bytes.len() % 16, bytes[..8].to_vec()), (0, [(bytes.len() as i32).to_le_bytes(), 0i32.to_le_bytes()].concat()));
        bytes[8..].to_vec()
    }

    #[test]
    fn names_colors_and_codes_come_back() {
        let table = [
            config(0, "background", None, None),
            config(1, "bone", code("SCT", "272673000", "Bone"), code("SCT", "85756007", "Tissue")),
            config(255, "<L5> & \"S1\" ]]> ü\nroots", code("<&\">", "", "a\nb\tc]]>"), None),
        ];
        assert_eq!(parse(&content(&table)).unwrap().unwrap(), table);
        assert!(extension(&[]).is_empty());
    }

    #[test]
    fn what_xml_cannot_say_becomes_a_space() {
        let read = parse(&content(&[config(1, "a\u{1}b\rc\u{ffff}d", code("\u{0}", "\u{1f}", "x"), None)])).unwrap().unwrap();
        assert_eq!((read[0].name.as_str(), read[0].terminology.clone()), ("a b\nc d", code(" ", " ", "x")));
    }

    #[test]
    fn the_table_of_totalsegmentator_is_read() {
        // As its save_multilabel_nifti writes it, under code 0.
        let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?> <CaretExtension>  <Date><![CDATA[2013-07-14T05:45:09]]></Date>   \
            <VolumeInformation Index=\"0\">   <LabelTable>\
            <Label Key=\"1\" Red=\"0.2\" Green=\"0.4\" Blue=\"1\" Alpha=\"1\"><![CDATA[spleen]]></Label>\
            <Label Key=\"300\" Red=\"0\" Green=\"0\" Blue=\"0\" Alpha=\"1\"><![CDATA[far]]></Label>\
            <Label Key=\"7\">\n sacrum </Label></LabelTable>  <StudyMetaDataLinkSet>  </StudyMetaDataLinkSet>  \
            <VolumeType><![CDATA[Label]]></VolumeType>   </VolumeInformation></CaretExtension>";
        let table = parse(&[xml.as_bytes(), &[0; 9]].concat()).unwrap().unwrap();
        let told: Vec<_> = table.iter().map(|label| (label.value, label.name.as_str(), label.color)).collect();
        assert_eq!(told, [(1, "spleen", [51, 102, 255]), (7, "sacrum", unnamed(7, None).color)]);
        assert!(may_hold(0) && may_hold(30) && !may_hold(6));
    }

    #[test]
    fn what_is_no_table_is_none_and_a_broken_one_corrupt() {
        for other in
            [&b""[..], b"\0\0", b"a comment", b"<?xml version=\"1.0\"?><AFNI_attributes/>", b"<CaretExtension><Date/></CaretExtension>"]
        {
            assert_eq!(parse(other).unwrap(), None, "{other:?}");
        }
        for broken in [
            "<CaretExtension>",
            "<CaretExtension><LabelTable><Label>a</Label></LabelTable></CaretExtension>",
            "<CaretExtension><LabelTable><Label Key=\"x\">a</Label></LabelTable></CaretExtension>",
            "<CaretExtension><LabelTable><Label Key=\"1\" Red=\"0\" Green=\"2\" Blue=\"0\">a</Label></LabelTable></CaretExtension>",
            "<CaretExtension><LabelTable><Label Key=\"1\" Red=\"0\">a</Label></LabelTable></CaretExtension>",
            "<!DOCTYPE a [<!ENTITY b \"bb\">]><CaretExtension>&b;</CaretExtension>",
        ] {
            assert_eq!(parse(broken.as_bytes()).unwrap_err().kind(), ErrorKind::CorruptFile, "{broken}");
        }
    }

    #[test]
    fn any_byte_lost_or_changed_is_read_or_refused_but_never_panics() {
        let content = content(&[config(1, "bone", code("SCT", "272673000", "Bone"), None)]);
        for at in 0..content.len() {
            let mut lost = content.clone();
            lost.remove(at);
            let _ = parse(&lost);
            let _ = parse(&content[..at]);
            for bit in 0..8 {
                let mut flipped = content.clone();
                flipped[at] ^= 1 << bit;
                let _ = parse(&flipped);
            }
        }
        // A tower as high as the bound allows.
        let tower = "<CaretExtension>".to_owned() + &"<a>".repeat(TABLE_BYTES as usize / 3);
        assert_eq!(parse(tower.as_bytes()).unwrap_err().kind(), ErrorKind::CorruptFile);
    }
}
