//! A message body, flattened into values by path.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::json::{Malformed, Reader, Token};
use crate::message::{Value, value};

/// Where a path leads.
pub(crate) type Node = u32;

/// The body itself.
pub(crate) const ROOT: Node = 0;
/// No node: the root is nobody's child.
const NONE: Node = ROOT;
/// So many children of a node are looked through one by one; what comes after them has a map.
const NEAR: usize = 16;

/// The values of a JSON object by dotted path. Paths are walked segment by segment through a tree, so that the size
/// of all is linear in that of the text however deep it is nested. A dot in a name separates segments as nesting
/// does: `{"a.b": 1}` and `{"a": {"b": 1}}` are the same path. Arrays are transparent: all their elements have the
/// path of the array, and an empty one leaves nothing.
#[derive(Debug, Clone)]
pub(crate) struct Body<'a> {
    paths: Paths<'a>,
    /// By node, each node's in the order of the text.
    values: Vec<Value<'a>>,
}

/// The tree of all paths.
#[derive(Debug, Clone)]
struct Paths<'a> {
    branches: Vec<Branch<'a>>,
    /// Children of nodes that have more than [`NEAR`], without those.
    more: BTreeMap<(Node, Cow<'a, str>), Node>,
}

/// A node with its place in the list of its siblings.
#[derive(Debug, Clone)]
struct Branch<'a> {
    /// The last of its path.
    segment: Cow<'a, str>,
    first_child: Node,
    last_child: Node,
    next_sibling: Node,
    child_count: u32,
    /// While the body is read, the number of the object that the last member read into the node is of; 0 for none.
    object: u32,
    /// Its values; while the body is read, those that this member brought, with all below it.
    start: u32,
    end: u32,
}

impl<'a> Body<'a> {
    /// Reads a body; `None` if it is JSON but not an object. Takes time linear in the text, but for the logarithms
    /// of a sorted map.
    pub(crate) fn read(text: &'a str) -> Result<Option<Body<'a>>, Malformed> {
        let mut reader = Reader::new(text);
        if reader.token()? != Some(Token::BeginObject) {
            return Ok(None);
        }
        let mut flat = Flattening::new();
        while let Some(token) = reader.token()? {
            flat.take(token);
        }
        Ok(Some(flat.finish()))
    }

    /// The values of a path; none if it is absent.
    pub(crate) fn values(&self, path: &str) -> &[Value<'a>] {
        let mut segments = path.split('.');
        segments
            .try_fold(ROOT, |node, segment| self.child(node, segment))
            .map_or(&[], |node| self.values_at(node))
    }

    /// The values of a node.
    pub(crate) fn values_at(&self, node: Node) -> &[Value<'a>] {
        let branch = self.paths.branch(node);
        &self.values[branch.start as usize..branch.end as usize]
    }

    pub(crate) fn child(&self, node: Node, segment: &str) -> Option<Node> {
        self.paths.child(node, segment)
    }

    pub(crate) fn child_count(&self, node: Node) -> usize {
        self.paths.branch(node).child_count as usize
    }

    /// The children of a node with their segments.
    pub(crate) fn children(&self, node: Node) -> impl Iterator<Item = (&str, Node)> {
        self.paths
            .children(node)
            .map(|(child, branch)| (&*branch.segment, child))
    }
}

impl<'a> Paths<'a> {
    fn new() -> Paths<'a> {
        let mut paths = Paths {
            branches: Vec::with_capacity(NEAR),
            more: BTreeMap::new(),
        };
        paths.add_branch(Cow::Borrowed(""));
        paths
    }

    fn branch(&self, node: Node) -> &Branch<'a> {
        &self.branches[node as usize]
    }

    fn branch_mut(&mut self, node: Node) -> &mut Branch<'a> {
        &mut self.branches[node as usize]
    }

    fn children(&self, node: Node) -> impl Iterator<Item = (Node, &Branch<'a>)> {
        let listed = |child: Node| (child != NONE).then(|| (child, self.branch(child)));
        let first = listed(self.branch(node).first_child);
        std::iter::successors(first, move |(_, branch)| listed(branch.next_sibling))
    }

    fn child(&self, node: Node, segment: &str) -> Option<Node> {
        let mut near = self.children(node).take(NEAR);
        let found = near.find(|(_, branch)| *branch.segment == *segment);
        match found {
            Some((child, _)) => Some(child),
            None if self.more.is_empty() => None,
            None => self.more.get(&(node, Cow::Borrowed(segment))).copied(),
        }
    }

    /// The child of a node, made if need be.
    fn grow(&mut self, parent: Node, segment: Cow<'a, str>) -> Node {
        if let Some(child) = self.child(parent, &segment) {
            return child;
        }
        let above = self.branch(parent);
        let (count, elder) = (above.child_count, above.last_child);
        if count as usize >= NEAR {
            let child = self.branches.len() as Node;
            self.more.insert((parent, segment.clone()), child);
        }
        let child = self.add_branch(segment);
        match elder {
            NONE => self.branch_mut(parent).first_child = child,
            elder => self.branch_mut(elder).next_sibling = child,
        }
        let above = self.branch_mut(parent);
        above.last_child = child;
        above.child_count = count + 1;
        child
    }

    fn add_branch(&mut self, segment: Cow<'a, str>) -> Node {
        self.branches.push(Branch {
            segment,
            first_child: NONE,
            last_child: NONE,
            next_sibling: NONE,
            child_count: 0,
            object: 0,
            start: 0,
            end: 0,
        });
        (self.branches.len() - 1) as Node
    }
}

/// An open object or array.
struct Open {
    /// Where it is.
    base: Node,
    /// Where its next value goes: of an array, to where it is itself; of an object, to its current member.
    current: Node,
    /// Of an object, its number among all objects.
    object: Option<u32>,
}

/// A body being read.
struct Flattening<'a> {
    paths: Paths<'a>,
    /// In the order of the text; `None` for those of a member whose name came again in the same object.
    values: Vec<Option<(Node, Value<'a>)>>,
    open: Vec<Open>,
    objects: u32,
}

impl<'a> Flattening<'a> {
    /// Inside the outermost object.
    fn new() -> Flattening<'a> {
        let mut flat = Flattening {
            paths: Paths::new(),
            values: Vec::with_capacity(NEAR),
            open: Vec::new(),
            objects: 0,
        };
        flat.begin_object(ROOT);
        flat
    }

    fn take(&mut self, token: Token<'a>) {
        let Some(open) = self.open.last() else { return };
        let current = open.current;
        match token {
            Token::BeginObject => self.begin_object(current),
            Token::BeginArray => self.open.push(Open {
                base: current,
                current,
                object: None,
            }),
            Token::Key(key) => self.begin_member(key),
            Token::EndObject | Token::EndArray => {
                self.end_member();
                self.open.pop();
            }
            scalar => {
                let value = value(scalar);
                self.values.push(value.map(|value| (current, value)));
            }
        }
    }

    fn begin_object(&mut self, base: Node) {
        self.objects += 1;
        self.open.push(Open {
            base,
            current: base,
            object: Some(self.objects),
        });
    }

    fn begin_member(&mut self, key: Cow<'a, str>) {
        self.end_member();
        let Some(&Open { base, object, .. }) = self.open.last() else {
            return;
        };
        let node = self.walk(base, key);
        let start = self.values.len() as u32;
        let member = self.paths.branch_mut(node);
        if Some(member.object) == object {
            // The same name again: readers of JSON see the last one, so the filter does too.
            self.values[member.start as usize..member.end as usize].fill(None);
        }
        member.object = object.unwrap_or(0);
        (member.start, member.end) = (start, start);
        if let Some(open) = self.open.last_mut() {
            open.current = node;
        }
    }

    /// Notes what the current member of the innermost object brought.
    fn end_member(&mut self) {
        let Some(open) = self.open.last() else { return };
        let member = self.paths.branch_mut(open.current);
        if Some(member.object) == open.object {
            member.end = self.values.len() as u32;
        }
    }

    fn walk(&mut self, base: Node, key: Cow<'a, str>) -> Node {
        match key {
            Cow::Borrowed(key) => key.split('.').fold(base, |node, segment| {
                self.paths.grow(node, Cow::Borrowed(segment))
            }),
            Cow::Owned(key) => key.split('.').fold(base, |node, segment| {
                self.paths.grow(node, Cow::Owned(segment.to_owned()))
            }),
        }
    }

    /// Brings the values into the order of their nodes.
    fn finish(self) -> Body<'a> {
        let mut paths = self.paths;
        for branch in &mut paths.branches {
            (branch.start, branch.end) = (0, 0);
        }
        let mut sorted: Vec<_> = self.values.into_iter().flatten().collect();
        sorted.sort_by_key(|(node, _)| *node);
        for (at, (node, _)) in sorted.iter().enumerate() {
            let branch = paths.branch_mut(*node);
            if branch.end == 0 {
                branch.start = at as u32;
            }
            branch.end = at as u32 + 1;
        }
        Body {
            paths,
            values: sorted.into_iter().map(|(_, value)| value).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, path: &str, expected: &[&str]) {
        let read = Body::read(body).expect("JSON").expect("an object");
        let values: Vec<String> = read.values(path).iter().map(Value::to_string).collect();
        assert_eq!(values, expected, "{path} in {body}");
    }

    #[test]
    fn nesting_and_dots_are_one_path() {
        for body in [
            r#"{"a":{"b":{"c":1}}}"#,
            r#"{"a.b":{"c":1}}"#,
            r#"{"a":{"b.c":1}}"#,
            r#"{"a.b.c":1}"#,
            r#"{"\u0061\u002eb":{"\u0063":1}}"#,
        ] {
            check(body, "a.b.c", &["1"]);
            check(body, "a.b", &[]);
            check(body, "a", &[]);
            check(body, "a.b.c.d", &[]);
            check(body, "", &[]);
        }
        check(r#"{"a.b":1,"a":{"b":2}}"#, "a.b", &["1", "2"]);
    }

    #[test]
    fn empty_names_are_names() {
        check(r#"{"":1}"#, "", &["1"]);
        check(r#"{"":{"":1}}"#, ".", &["1"]);
        check(r#"{"a.":1}"#, "a.", &["1"]);
        check(r#"{"a":{"":1}}"#, "a.", &["1"]);
        check(r#"{"a":{"":1}}"#, "a", &[]);
    }

    #[test]
    fn arrays_fan_out() {
        check(r#"{"a":[1,[2,[3]],{"b":4},5]}"#, "a", &["1", "2", "3", "5"]);
        check(r#"{"a":[1,[2,[3]],{"b":4},5]}"#, "a.b", &["4"]);
        check(r#"{"a":[{"b":1,"c":2},[{"b":3}]]}"#, "a.b", &["1", "3"]);
        check(r#"{"a":[],"b":[[]],"c":{}}"#, "a", &[]);
        check(r#"{"a":[],"b":[[]],"c":{}}"#, "b", &[]);
        check(r#"{"a":[],"b":[[]],"c":{}}"#, "c", &[]);
    }

    #[test]
    fn of_two_members_with_one_name_the_last_counts() {
        check(r#"{"a":1,"b":2,"a":3}"#, "a", &["3"]);
        check(r#"{"a":1,"b":2,"a":3}"#, "b", &["2"]);
        check(r#"{"a":{"x":1,"y":2},"a":{"x":3}}"#, "a.y", &[]);
        check(r#"{"a":{"x":1},"a":7}"#, "a.x", &[]);
        check(r#"{"a":1,"a":2,"a":[]}"#, "a", &[]);
        // Different objects in an array are no duplicates.
        check(r#"{"a":[{"x":1},{"x":2}]}"#, "a.x", &["1", "2"]);
    }

    #[test]
    fn what_is_no_object_is_no_body() {
        for text in ["1", "\"{}\"", "[{}]", "null"] {
            assert!(Body::read(text).expect("JSON").is_none(), "{text}");
        }
        for text in ["", "{", "{}x", "{\"a\":1,}", "hello"] {
            assert!(!matches!(Body::read(text), Ok(Some(_))), "{text}");
        }
    }

    #[test]
    fn hostile_bodies_take_linear_time() {
        // Where paths were strings, this one's would be 200 MB together.
        let levels = 20_000;
        let deep = "{\"a\":1,\"b\":".repeat(levels) + "0" + &"}".repeat(levels);
        check(&deep, "b.b.a", &["1"]);
        check(&deep, &("b.".repeat(levels - 1) + "b"), &["0"]);
        let twins = format!("{{{}\"a\":1}}", "\"a\":[1,2,3],".repeat(20_000));
        check(&twins, "a", &["1"]);
        let wide: Vec<String> = (0..50_000).map(|n| format!("\"k{n}\":{n}")).collect();
        let wide = format!("{{{},\"k49999\":7,\"k3\":8}}", wide.join(","));
        check(&wide, "k49998", &["49998"]);
        check(&wide, "k49999", &["7"]);
        check(&wide, "k3", &["8"]);
        check(&wide, "k50000", &[]);
        check(
            &format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)),
            "a",
            &[],
        );
        check(
            &format!("{{\"{}\":1}}", ".".repeat(100_000)),
            &".".repeat(100_000),
            &["1"],
        );
    }
}
