//! Columns for eyes: each as wide as its widest cell, two spaces apart.

/// Lays out `rows` under `head`, with a line of its own for each.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["orders".into(), "3".into()], vec!["ä".into(), "12".into()]];
        assert_eq!(
            table(&["QUEUE", "DEPTH"], &rows),
            "QUEUE   DEPTH\norders  3\nä       12\n"
        );
        assert_eq!(table(&["QUEUE"], &[]), "QUEUE\n");
    }
}
