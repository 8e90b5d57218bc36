//! Composition is a function of the set: order, repetition and history never matter.

mod fixture;

use fixture::*;
use kiln_compose::{Member, Request};
use kiln_model::MemoryObjects;
use proptest::prelude::*;

/// Packages that share directories, files, users, alternatives and links, and whose services, diversions, shells, kernel
/// parameters, variables, tmpfiles and first-boot jobs touch each other's.
fn universe(objects: &MemoryObjects) -> Vec<Member> {
    (0..8)
        .map(|number| {
            let name = format!("p{number}");
            let own = format!("/usr/bin/{name}");
            let doc = format!("/usr/share/doc/{name}/copyright");
            let mut entries = vec![(own.as_str(), "#!/bin/sh"), (doc.as_str(), "text"), ("/usr/share/shared/file", "same")];
            let unit = format!("/usr/lib/systemd/system/{name}.service");
            let install = format!("[Install]\nWantedBy=x.target\nAlias=one-of-{}.service\nAlso=p{}.service\n", number % 3, number + 1);
            let tmpfiles = format!("/usr/lib/tmpfiles.d/{name}.conf");
            let lines = format!("d /var/spool/all 0{}55\nL /var/spool/{name} - - - - all\n", 7 - number % 2);
            entries.extend([(unit.as_str(), install.as_str()), (tmpfiles.as_str(), lines.as_str())]);
            if number == 3 {
                entries.push(("/usr/lib/systemd/systemd", "#!elf"));
                entries.push(("/usr/bin/systemd-tmpfiles", "#!elf"));
            }
            let diverted = format!("/usr/lib/x{}/file", number % 3);
            if number < 6 {
                // The first three bring the file, the next three have it moved and bring another.
                entries.push((diverted.as_str(), if number < 3 { "first" } else { "second" }));
            }
            let diverts = if (3..6).contains(&number) {
                format!(r#""{diverted}": {{ "to": "{diverted}.old" }}"#)
            } else {
                String::new()
            };
            let link = format!("/usr/lib/x{}/", number % 3);
            entries.push((link.as_str(), ""));
            if number % 2 == 0 {
                entries.push(("/bin/", ""));
                entries.push(("/usr/share/even", "-> shared"));
            }
            declare(
                member(objects, &name, &entries),
                &format!(
                    r#"{{ "users": {{ "user{}": {{ "home": "/var/lib/{}" }} }},
                          "groups": {{ "shared": {{ "members": ["user{}"] }} }},
                          "links": {{ "/var/run": "/run" }},
                          "directories": {{ "/var/lib/{name}": {{ "owner": "user{}", "mode": "0750" }}, "/var/run/all": {{}} }},
                          "services": {{ "{name}.service": {{ "enabled": {}, "masked": {} }} }},
                          "diversions": {{ {diverts} }},
                          "sysctl": {{ "vm.shared": "1", "vm.{name}": "2" }},
                          "environment": {{ "SHARED": "a", "{name}": "b" }},
                          "shells": [ "{own}", "/usr/bin/p1" ],
                          "first-boot": {{ "shared": {{ "summary": "s", "command": ["/bin/x"], "creates": "/etc/x" }} }},
                          "alternatives": {{ "/usr/bin/tool": {{ "to": "{own}", "priority": {} }} }} }}"#,
                    number % 4,
                    number % 4,
                    number % 4,
                    number % 4,
                    number % 2 == 0,
                    number == 5,
                    number % 3
                ),
            )
        })
        .collect()
}

/// A set kept as a user would: packages come and go.
#[derive(Default)]
struct Image(Vec<Member>);

impl Image {
    fn install(&mut self, member: &Member) {
        if !self.0.iter().any(|other| other.record.name == member.record.name) {
            self.0.push(member.clone());
        }
    }

    fn uninstall(&mut self, member: &Member) {
        self.0.retain(|other| other.record.name != member.record.name);
    }
}

fn id(members: Vec<Member>, objects: &MemoryObjects) -> kiln_model::TreeId {
    composed(&request(members), objects).tree.id()
}

#[test]
fn install_and_uninstall_in_any_sequence_gives_the_same_tree() {
    let objects = MemoryObjects::default();
    let all = universe(&objects);
    let expected = id(vec![all[0].clone(), all[1].clone()], &objects);
    let mut image = Image::default();
    image.install(&all[0]);
    // The sequence of the seed: i u i i u u u i u, which ends without; then one more.
    for step in "iuiiuuuiu".chars() {
        if step == 'i' { image.install(&all[1]) } else { image.uninstall(&all[1]) }
    }
    assert_eq!(id(image.0.clone(), &objects), id(vec![all[0].clone()], &objects));
    image.install(&all[1]);
    assert_eq!(id(image.0, &objects), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn order_never_matters(order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(), take in 1..8usize) {
        let objects = MemoryObjects::default();
        let all = universe(&objects);
        let mut chosen: Vec<usize> = order[..take].to_vec();
        let shuffled = composed(&request(chosen.iter().map(|i| all[*i].clone()).collect()), &objects);
        chosen.sort_unstable();
        let sorted = composed(&request(chosen.iter().map(|i| all[*i].clone()).collect()), &objects);
        prop_assert_eq!(shuffled.tree.id(), sorted.tree.id());
        prop_assert_eq!(&shuffled.allotted, &sorted.allotted);
        prop_assert_eq!(&shuffled.warnings, &sorted.warnings);
        prop_assert_eq!(shuffled.layers.len(), sorted.layers.len());
        for (one, two) in shuffled.layers.iter().zip(&sorted.layers) {
            prop_assert_eq!(&one.name, &two.name);
            prop_assert_eq!(one.tree.id(), two.tree.id());
        }
    }

    #[test]
    fn any_history_that_ends_in_a_set_gives_the_tree_of_the_set(steps in proptest::collection::vec((0..8usize, any::<bool>()), 0..40)) {
        let objects = MemoryObjects::default();
        let all = universe(&objects);
        let mut image = Image::default();
        for (which, install) in steps {
            if install { image.install(&all[which]) } else { image.uninstall(&all[which]) }
        }
        let set: Vec<Member> = all.iter().filter(|m| image.0.iter().any(|o| o.record.name == m.record.name)).cloned().collect();
        prop_assert_eq!(id(image.0, &objects), id(set, &objects));
    }

    #[test]
    fn layers_united_in_any_order_are_the_tree(seed in any::<u64>(), take in 1..8usize) {
        let objects = MemoryObjects::default();
        let all = universe(&objects);
        let composition = composed(&request(all[..take].to_vec()), &objects);
        let mut layers: Vec<_> = composition.layers.iter().collect();
        // A cheap shuffle that depends on the seed.
        layers.sort_by_key(|layer| kiln_model::Digest::of(format!("{seed}{}", layer.name).as_bytes()));
        let mut union = kiln_model::Dir::default();
        for layer in layers {
            for (at, entry) in layer.tree.walk() {
                match entry {
                    kiln_model::Entry::Dir(dir) => union.dir_mut(&at).unwrap().set_meta(dir.meta().clone()),
                    other => prop_assert!(union.insert(&at, other.clone()).unwrap().is_none(), "{} twice", at),
                }
            }
        }
        prop_assert_eq!(union.id(), composition.tree.id());
    }

    #[test]
    fn allotted_numbers_stay_once_they_are_locked(first in 1..8usize, then in 1..8usize) {
        let objects = MemoryObjects::default();
        let all = universe(&objects);
        let before = composed(&request(all[..first].to_vec()), &objects).allotted;
        let locked = Request { locked: before.clone(), ..request(all[8 - then..].to_vec()) };
        let after = composed(&locked, &objects).allotted;
        for (name, number) in &after.users {
            if let Some(old) = before.users.get(name) {
                prop_assert_eq!(old, number);
            } else {
                prop_assert!(!before.users.values().any(|old| old == number), "{} was {}'s", number, name);
            }
        }
    }
}
