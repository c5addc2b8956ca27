//! `*` and `?` in names.

/// Whether `text` has the form of `pattern`: `*` stands for any characters, `?` for any one. Takes at most the product
/// of their lengths: of the stars passed, only the last is ever tried again.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// As [`matches`], for each of the six parts of an ARN: no `*` reaches over a colon of the first five.
pub(super) fn arn_matches(pattern: &str, arn: &str) -> bool {
    let (pattern, arn): (Vec<&str>, Vec<&str>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    match (pattern.len(), arn.len()) {
        (6, 6) => pattern
            .iter()
            .zip(&arn)
            .all(|(pattern, part)| matches(pattern, part)),
        (1, 6) => pattern == ["*"],
        _ => false,
    }
}
