//! The projects of `examples/`, the one that `kiln init` writes, and the examples of the reference are sound.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kiln_model::project::{LoadedProject, init, parse_project_tree, synthetic, wanted_files};
use kiln_model::recipe::BuildVars;
use kiln_model::{Architecture, PackageName};

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn load(files: &BTreeMap<String, String>) -> LoadedProject {
    let names: BTreeSet<String> = files.keys().cloned().collect();
    let texts = files.iter().filter(|(path, _)| wanted_files(path)).map(|(path, text)| (&**path, &**text));
    parse_project_tree(texts, &names).unwrap_or_else(|told| panic!("{}", told.render(Default::default())))
}

fn folder(path: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut open = vec![path.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap().path();
            if entry.is_dir() {
                open.push(entry);
                continue;
            }
            let name = entry.strip_prefix(path).unwrap().to_str().unwrap().to_owned();
            files.insert(name, String::from_utf8_lossy(&std::fs::read(&entry).unwrap()).into_owned());
        }
    }
    files
}

#[test]
fn every_example_project_is_sound() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.join("kiln.yaml").exists() {
            assert!(!load(&folder(&path)).images.is_empty(), "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 3, "{count} examples");
}

#[test]
fn the_example_nginx_is_built_as_its_options_say() {
    let project = load(&folder(&root().join("examples/nginx-prod")));
    let name: PackageName = "nginx".parse().unwrap();
    let recipe = &project.recipes[&name];
    let scripts = |options: &kiln_model::recipe::Options| -> String {
        let vars = BuildVars::new(recipe, Architecture::Amd64);
        recipe.steps(options, &vars).into_iter().map(|step| step.run).collect()
    };
    let mut options = project.variant(&name).unwrap().options;
    let plain = scripts(&options);
    assert!(plain.contains("./configure --prefix=/usr/share/nginx --sbin-path=/usr/sbin/nginx"), "{plain}");
    assert!(plain.contains("make -j${KILN_JOBS}") && plain.contains("make DESTDIR=/out"), "{plain}");
    assert!(!plain.contains("--with-selinux") && !plain.contains("--libdir"), "{plain}");
    options.insert("selinux".parse().unwrap(), true);
    assert!(scripts(&options).contains("--with-selinux"));
}

#[test]
fn what_init_writes_is_sound() {
    let files = init::files(&"hello".parse().unwrap());
    let project = load(&files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect());
    assert_eq!(project.project.name.as_str(), "hello");
    assert_eq!(project.images.values().next().unwrap().run.ports.len(), 1);
}

#[test]
fn a_synthetic_project_is_sound() {
    let project = load(&synthetic::files(200).into_iter().collect());
    assert_eq!(project.recipes.len(), 200);
    assert_eq!(project.wanted_sources().len(), 200);
}

/// The blocks of a reference page that begin with a comment naming a file, as one project.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find("```yaml\n") {
        let text = &rest[start + 8..];
        let end = text.find("```").expect("a block that begins ends");
        let block = &text[..end];
        let name = block.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a block names its file");
        found.push((name.trim().to_owned(), block.to_owned()));
        rest = &text[end + 3..];
    }
    found
}

#[test]
fn examples_of_the_reference_are_sound() {
    let reference = root().join("docs/reference");
    let read = |name: &str| std::fs::read_to_string(reference.join(name)).unwrap();
    let mut files = BTreeMap::new();
    for page in ["project.md", "recipe.md", "image.md", "builders.md"] {
        for (path, text) in blocks(&read(page)) {
            assert!(files.insert(path.clone(), text).is_none(), "two examples of `{path}`");
        }
    }
    for other in ["packages/nginx/patches/https-only.patch", "files/nginx.conf", "overlays/site/robots.txt"] {
        files.insert(other.to_owned(), String::new());
    }
    files.insert("packages/tool/src/main.sh".to_owned(), String::new());
    let project = load(&files);
    assert!(project.recipes.len() >= 3 && !project.images.is_empty());
    let lock = read("lock.md");
    let start = lock.find("```toml\n").expect("the page has an example") + 8;
    let text = &lock[start..start + lock[start..].find("```").unwrap()];
    let parsed = kiln_model::lock::parse(text).unwrap_or_else(|told| panic!("{}", told.render(Default::default())));
    assert_eq!(parsed.to_string(), text, "the example is canonical");
}

#[test]
fn the_reference_speaks_of_every_key() {
    for (page, schema) in
        [("project", "project"), ("recipe", "recipe"), ("image", "image"), ("builders", "builder"), ("rules", "rules")]
    {
        let text = std::fs::read_to_string(root().join(format!("docs/reference/{page}.md"))).unwrap();
        let (_, schema) = kiln_model::schema::all().into_iter().find(|(n, _)| *n == format!("{schema}.json")).unwrap();
        let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
        for key in schema["properties"].as_object().unwrap().keys() {
            assert!(text.contains(&format!("`{key}`")), "`{page}.md` does not speak of `{key}`");
        }
    }
    let builders = std::fs::read_to_string(root().join("docs/reference/builders.md")).unwrap();
    let mut sources = kiln_model::diagnostic::Sources::new();
    for (name, builder) in kiln_model::builder::shipped(&mut sources).unwrap() {
        assert!(builders.contains(&format!("## `{name}`")), "`builders.md` does not speak of `{name}`");
        for parameter in builder.parameters.keys() {
            assert!(builders.contains(&format!("`{parameter}`")), "`builders.md` does not speak of `{parameter}`");
        }
    }
}
