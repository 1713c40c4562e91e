//! Separates Rust code from comments and literals, so that a rule about code ignores prose.
//!
//! This is a scanner, not a parser: it knows comments (nested too), strings (raw, byte and C strings),
//! and how a character literal differs from a lifetime. That is all the rules need.

/// The text with comments, and everything between the quotes of a literal, replaced by blanks.
///
/// Newlines stay, so line numbers are those of the text.
pub fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => comment_end(&chars, at),
            '"' => string_end(&chars, at),
            'r' => raw_string_end(&chars, at),
            '\'' => character_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|&c| if c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

/// Whether `word` occurs in `code` with no identifier character on either side.
pub fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        !before.is_some_and(is_identifier) && !after.is_some_and(is_identifier)
    })
}

fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_end(chars: &[char], start: usize) -> usize {
    let rest = chars[start..].iter().position(|&c| c == '\n');
    rest.map_or(chars.len(), |length| start + length)
}

fn comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// The end of the literal whose opening quote is at `start`, by the rules of escapes.
fn string_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == chars[start] => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of the raw string whose `r` is at `start`, or `start` if none begins there.
fn raw_string_end(chars: &[char], start: usize) -> usize {
    // `br"` and `cr"` are raw strings too; in `bar"` the `r` ends a word.
    let prefix_start = match start.checked_sub(1).map(|before| chars[before]) {
        Some('b' | 'c') => start - 1,
        _ => start,
    };
    if prefix_start > 0 && is_identifier(chars[prefix_start - 1]) {
        return start;
    }
    let hashes = chars[start + 1..].iter().take_while(|&&c| c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return start;
    }
    let mut at = open + 1;
    while at < chars.len() {
        let closing =
            chars[at] == '"' && chars[at + 1..].iter().take_while(|&&c| c == '#').count() >= hashes;
        at += 1;
        if closing {
            return at + hashes;
        }
    }
    chars.len()
}

/// The end of the character literal at `start`, or `start` if the quote opens a lifetime.
fn character_end(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => string_end(chars, start),
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blanks the text and squeezes runs of blanks, to keep the expectations readable.
    fn squeezed(text: &str) -> String {
        blank(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_go_and_lines_stay() {
        let text = "a // x\n/* y\n /* z */ still */ b\n//! w\nc";
        assert_eq!(squeezed(text), "a b c");
        assert_eq!(blank(text).lines().count(), text.lines().count());
    }

    #[test]
    fn literals_go_with_their_quotes() {
        assert_eq!(squeezed(r#"f("x \" // y", b"z") + g"#), "f( , b ) + g");
        assert_eq!(
            squeezed(r##"r#"x " y"# ; br"\" ; cr"" ; k"##),
            "; b ; c ; k"
        );
        assert_eq!(squeezed(r"'x' + '\'' + '\u{41}' + '/' k"), "+ + + k");
    }

    #[test]
    fn lifetimes_raw_identifiers_and_division_are_code() {
        for code in [
            "fn f<'a>(x: &'a str) -> &'a str",
            "r#type + var / 2 * 3",
            "for r in 0..9",
        ] {
            assert_eq!(blank(code), code);
        }
    }

    #[test]
    fn unterminated_text_ends_at_the_end() {
        for text in ["/* open", "\"open", "r#\"open\"", "'\\", "// open", "r"] {
            assert_eq!(blank(text).chars().count(), text.chars().count(), "{text}");
        }
    }

    #[test]
    fn words_have_borders() {
        assert!(has_word("x { unsafe { } }", "unsafe"));
        assert!(has_word("unsafe", "unsafe"));
        assert!(!has_word("forbid(unsafe_code) + not_unsafe", "unsafe"));
    }
}
