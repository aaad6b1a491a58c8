//! Names from outside, made harmless for the place where they are written. HTML is escaped by maud, SVG by plotters.

/// One line without control characters, which neither XML nor a table's cell can hold.
pub(super) fn line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// A cell of a Markdown table: nothing in it is markup.
pub(super) fn markdown(text: &str) -> String {
    let mut escaped = String::new();
    for character in line(text).chars() {
        if character.is_ascii_punctuation() && !"-.,:;/%+=()'?".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// A cell of a CSV file that no spreadsheet takes for a formula; quoting is the writer's.
pub(super) fn csv(text: &str) -> String {
    let text = line(text);
    if text.trim_start().starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

/// A file's name (without ending) that resembles `text`, is legal everywhere and differs from those in `taken`, also
/// where capitals do not count. It is added to `taken`.
pub(super) fn file_name(text: &str, taken: &mut Vec<String>) -> String {
    let harmless = |character: char| if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '_' };
    let name: String = text.chars().take(100).map(harmless).collect();
    let name = name.trim_start_matches('.');
    let name = if name.is_empty() { "case" } else { name };
    let mut candidate = name.to_string();
    for number in 2.. {
        if !taken.contains(&candidate.to_ascii_lowercase()) {
            break;
        }
        candidate = format!("{name}-{number}");
    }
    taken.push(candidate.to_ascii_lowercase());
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_markdown_cell_is_markup() {
        assert_eq!(markdown("a|b\n<b>*x*</b>"), "a\\|b \\<b\\>\\*x\\*\\</b\\>");
        assert_eq!(markdown("[x](javascript:0) `y` \\"), "\\[x\\](javascript:0) \\`y\\` \\\\");
        assert_eq!(markdown("case-01.5"), "case-01.5");
    }

    #[test]
    fn no_csv_cell_is_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1"] {
            assert!(csv(formula).starts_with('\''), "{formula:?}");
        }
        assert_eq!(csv("case-1"), "case-1");
    }

    #[test]
    fn file_names_stay_in_their_folder_and_are_unique() {
        let mut taken = Vec::new();
        let names = ["../../etc/passwd", "Fall 1", "fall_1", "", "..", "a".repeat(300).as_str()].map(|text| file_name(text, &mut taken));
        assert_eq!(names[..5], ["_.._etc_passwd", "Fall_1", "fall_1-2", "case", "case-2"]);
        assert_eq!(names[5].len(), 100);
    }
}
