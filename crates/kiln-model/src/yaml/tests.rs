//! What the subset refuses, and that no bytes make the parser panic.

use proptest::prelude::*;

use super::*;

fn message(text: &str) -> String {
    parse("t.yaml", text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn keeps_places_and_order() {
    let (_, node) = parse("t.yaml", "b: 1\na:\n  - x\n  - 'y z'\n").unwrap();
    let Value::Map(entries) = &node.value else { panic!("a mapping") };
    assert_eq!(entries.iter().map(|(k, _)| &*k.text).collect::<Vec<_>>(), ["b", "a"]);
    let Value::List(items) = &entries[1].1.value else { panic!("a list") };
    assert_eq!((items[1].place.line, items[1].place.column, items[1].place.length), (4, 5, 5));
    assert_eq!(items[1].peek_text(), Some("y z"));
}

#[test]
fn refuses_what_is_outside_the_subset() {
    for (text, wanted) in [
        ("", "t.yaml:1:1: the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("a: 1\na: 2\n", "t.yaml:2:1: `a` is given twice"),
        ("a: &x 1\nb: 2\n", "t.yaml:1:4: anchors are not supported"),
        ("a: 1\n---\nb: 2\n", "a second document begins here"),
        ("a: !!str 1\n", "unknown tag"),
        ("<<: {a: 1}\n", "merge keys are not supported"),
        ("[a, b]: c\n", "a key has to be a plain text"),
        ("a:\n\t- b\n", "this is not YAML"),
        ("a: [1, 2\n", "this is not YAML"),
    ] {
        let told = message(text);
        assert!(told.contains(wanted), "{text:?}: {told}");
    }
}

#[test]
fn refuses_depth_and_size_before_they_cost_anything() {
    for open in ["[", "{a: ", "- ", "? "] {
        let told = message(&open.repeat(100_000));
        assert!(told.contains("nested deeper") || told.contains("not YAML") || told.contains("key"), "{open}: {told}");
    }
    assert!(message(&format!("a: {}", "x".repeat(LONGEST))).contains("longer than 1024 KiB"));
    let bomb = "a: &a [x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n";
    assert!(message(bomb).contains("anchors are not supported"));
}

#[test]
fn a_doubled_key_hides_no_later_problem() {
    let told = parse("t.yaml", "a: 1\na: 2\nb: 1\nb: 2\n").unwrap_err();
    assert_eq!(told.0.len(), 2);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,400}") {
        let _ = parse("t.yaml", &text);
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "[\\[\\]{}:,&*!|>'\"%@`#?\\- \n\ta-c0~é]{0,200}") {
        let _ = parse("t.yaml", &text);
    }

    #[test]
    fn quoted_text_reads_back(text in "[ -~é名\n]{0,60}") {
        let quoted = serde_json::to_string(&text).unwrap();
        let (_, node) = parse("t.yaml", &format!("k: {quoted}\n")).unwrap();
        prop_assert_eq!(node.get("k").unwrap().peek_text(), Some(&*text));
    }
}
