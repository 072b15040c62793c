//! Sections and lines (INF general syntax rules: names without regard to case, `;` begins a comment).

/// One line of a section.
#[derive(Clone, Debug)]
pub struct Line {
    /// Before the `=`, or empty.
    pub key: String,
    /// The rest, split at commas, trimmed, without quotes.
    pub values: Vec<String>,
}

/// An INF file.
#[derive(Clone, Debug)]
pub struct Inf {
    sections: Vec<(String, Vec<Line>)>,
}

impl Inf {
    /// Reads a file's text. Lines before the first section are ignored, as Windows does.
    pub fn new(text: &str) -> Self {
        let mut sections: Vec<(String, Vec<Line>)> = Vec::new();
        for line in text.lines().map(without_comment).filter(|line| !line.is_empty()) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                sections.push((name.to_lowercase(), Vec::new()));
            } else if let Some((_, lines)) = sections.last_mut() {
                let (key, rest) = line.split_once('=').unwrap_or(("", line));
                let values = rest.split(',').map(|value| value.trim().trim_matches('"').to_owned()).collect();
                lines.push(Line { key: key.trim().to_lowercase(), values });
            }
        }
        Self { sections }
    }

    /// The lines of all sections of a name, or `None` if there is none.
    pub fn section(&self, name: &str) -> Option<Vec<&Line>> {
        let name = name.to_lowercase();
        let mut found = self.sections.iter().filter(|(other, _)| *other == name).peekable();
        found.peek()?;
        Some(found.flat_map(|(_, lines)| lines).collect())
    }

    /// The first value of a key.
    pub fn value(&self, section: &str, key: &str) -> Option<String> {
        let lines = self.section(section)?;
        let line = lines.iter().find(|line| line.key.eq_ignore_ascii_case(key))?;
        line.values.first().cloned()
    }

    /// All sections' names, in small letters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|(name, _)| name.as_str())
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.sections.iter().flat_map(|(_, lines)| lines)
    }
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let end = line.find(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    line[..end.unwrap_or(line.len())].trim()
}
