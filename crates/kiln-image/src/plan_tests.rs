//! The plan: stable under change, within the budget, complete.

use super::*;
use kiln_model::{FileEntry, Meta, ObjectId};
use proptest::prelude::*;

fn input(name: &str, stability: Stability, size: u64) -> LayerInput {
    let mut tree = Dir::default();
    let path = format!("usr/share/{name}").parse().unwrap();
    tree.insert(&path, Entry::File(FileEntry::plain(ObjectId::of(name.as_bytes()), size, false))).unwrap();
    LayerInput { name: name.into(), stability, tree: tree.into(), comment: format!("the {name}") }
}

fn distribution(count: usize) -> Vec<LayerInput> {
    (0..count).map(|n| input(&format!("lib{n}"), Stability::Distribution, 1 << (n % 23))).collect()
}

fn budget(layers: usize) -> NonZeroUsize {
    NonZeroUsize::new(layers).unwrap()
}

/// The layers by content, so that plans of different sets can be compared.
fn layers(inputs: &[LayerInput], layers: usize) -> Vec<kiln_model::TreeId> {
    plan_layers(inputs, budget(layers)).iter().map(|group| group.tree(inputs).unwrap().id()).collect()
}

fn changed(before: &[kiln_model::TreeId], after: &[kiln_model::TreeId]) -> usize {
    after.iter().filter(|id| !before.contains(id)).count()
}

#[test]
fn one_layer_a_package_while_they_fit_and_the_commit_on_top() {
    let inputs = [
        input("stamp", Stability::Release, 10),
        input("app", Stability::Project, 1_000),
        input("small", Stability::Distribution, 10),
        input("files", Stability::Files, 5),
        input("large", Stability::Distribution, 1 << 20),
    ];
    let plan = plan_layers(&inputs, DEFAULT_BUDGET);
    let names: Vec<&str> = plan.iter().map(|group| inputs[group.members[0]].name.as_str()).collect();
    assert_eq!(names, ["large", "small", "app", "files", "stamp"]);
}

#[test]
fn a_package_more_or_less_changes_few_layers() {
    for count in [115, 540] {
        let mut inputs = distribution(count);
        inputs.push(input("files", Stability::Files, 5));
        let before = layers(&inputs, 60);
        assert!(before.len() <= 60);
        let mut more = inputs.clone();
        more.push(input("tiny", Stability::Distribution, 20));
        assert_eq!(changed(&before, &layers(&more, 60)), 1, "a small package changes its bucket");
        more.push(input("huge", Stability::Distribution, 1 << 40));
        let after = layers(&more, 60);
        assert!(changed(&before, &after) <= 3, "a large one also pushes one out of its own layer");
        more.push(input("app", Stability::Project, 1 << 30));
        assert_eq!(changed(&after, &layers(&more, 60)), 1, "another kind changes no distribution layer");
    }
}

#[test]
fn a_changed_file_changes_one_layer() {
    let mut inputs = distribution(300);
    let before = layers(&inputs, 60);
    inputs[7] = input("lib7", Stability::Distribution, (1 << 7) + 3);
    assert_eq!(changed(&before, &layers(&inputs, 60)), 1);
}

#[test]
fn a_large_package_shares_its_layer_with_none() {
    let mut inputs = distribution(300);
    inputs.push(input("huge", Stability::Distribution, 1 << 40));
    let plan = plan_layers(&inputs, DEFAULT_BUDGET);
    assert_eq!(plan[0].members, [300]);
    assert_eq!(plan[0].comment(&inputs), "the huge");
}

#[test]
fn a_budget_below_the_kinds_joins_the_upper_ones() {
    let inputs: Vec<LayerInput> =
        [Stability::Distribution, Stability::Project, Stability::Files, Stability::Finalizers, Stability::Release]
            .into_iter()
            .enumerate()
            .map(|(n, stability)| input(&format!("part{n}"), stability, 10))
            .collect();
    let members: Vec<Vec<usize>> = plan_layers(&inputs, budget(2)).into_iter().map(|g| g.members).collect();
    assert_eq!(members, [vec![0], vec![1, 2, 3, 4]]);
    assert_eq!(plan_layers(&inputs, budget(1)).len(), 1);
}

#[test]
fn refuses_to_join_trees_that_differ_at_a_path() {
    let mut other = input("a", Stability::Project, 10);
    let mut tree = Dir::default();
    tree.insert(&"usr/share/a".parse().unwrap(), Entry::File(FileEntry::plain(ObjectId::of(b"else"), 4, false)))
        .unwrap();
    other.tree = tree.into();
    let inputs = [input("a", Stability::Project, 10), other];
    let error = Group { members: vec![0, 1] }.tree(&inputs).unwrap_err();
    assert_eq!(error.to_string(), "`/usr/share/a` has different content in two parts of one layer");

    let mut private = Dir::new(Meta::root_owned(0o700));
    private.dir_mut(&"x".parse().unwrap()).unwrap();
    let mut other = input("b", Stability::Project, 10);
    other.tree = private.into();
    let inputs = [input("a", Stability::Project, 10), other];
    assert!(Group { members: vec![0, 1] }.tree(&inputs).is_err(), "the root's own mode counts");
}

fn stability() -> impl Strategy<Value = Stability> {
    prop_oneof![
        6 => Just(Stability::Distribution),
        3 => Just(Stability::Project),
        1 => Just(Stability::Overlays),
        1 => Just(Stability::Files),
        1 => Just(Stability::Finalizers),
        1 => Just(Stability::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_input_is_in_one_layer_and_their_order_does_not_matter(
        kinds in proptest::collection::vec((stability(), 0u64..1 << 30), 0..150),
        layers in 1usize..80,
    ) {
        let inputs: Vec<LayerInput> =
            kinds.iter().enumerate().map(|(n, &(kind, size))| input(&format!("p{n}"), kind, size)).collect();
        let plan = plan_layers(&inputs, budget(layers));
        prop_assert!(plan.len() <= layers);
        let mut all: Vec<usize> = plan.iter().flat_map(|group| group.members.clone()).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..inputs.len()).collect::<Vec<_>>());
        prop_assert!(plan.iter().all(|group| !group.members.is_empty()));

        let reversed: Vec<LayerInput> = inputs.iter().rev().cloned().collect();
        let names = |inputs: &[LayerInput], plan: &[Group]| -> Vec<Vec<String>> {
            plan.iter().map(|g| g.members.iter().map(|&i| inputs[i].name.clone()).collect()).collect()
        };
        prop_assert_eq!(names(&inputs, &plan), names(&reversed, &plan_layers(&reversed, budget(layers))));
    }
}
