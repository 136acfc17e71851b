//! `rollback`: what ran before the last `up` runs again, and the rest is not touched.

use serde_json::Value;

use crate::support::stack::{Seen, Stack};

const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
    environment: {PRICE: '$$5'}
    volumes: [data:/data]
    x-orch: {health_check: {tcp: 5432}}
  web:
    image: IMAGE
    pull_policy: never
    command: --port 80
    environment: {VERSION: '1'}
    depends_on: {db: {condition: service_healthy}}
    x-orch: {health_check: {http: ':80/health'}}
volumes:
  data: {}
";

/// A service that came later.
const EXTRA: &str = "  extra: {image: docker-orch-example, command: --port 81}\nvolumes:";

/// An image of the test's own; gone when it goes out of scope.
struct Image<'a> {
    name: String,
    ids: Vec<String>,
    stack: &'a Stack,
}

impl Image<'_> {
    /// Lets the name stand for another image. Its ID.
    fn renew(&mut self, version: &str) -> String {
        let from = self.stack.docker(&["create", "docker-orch-example"]);
        let change = format!("LABEL version={version}");
        let id = self.stack.docker(&["commit", "--change", &change, from.trim(), &self.name]);
        self.stack.docker(&["rm", from.trim()]);
        self.ids.push(id.trim().to_owned());
        id.trim().to_owned()
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        // Its containers go first; those of the test go after it.
        drop(
            self.stack
                .hermetic(env!("CARGO_BIN_EXE_docker-orch"))
                .args(["-p", &self.stack.name, "down"])
                .output(),
        );
        for id in &self.ids {
            drop(self.stack.hermetic("docker").args(["rmi", "-f", id]).output());
        }
    }
}

fn variable(container: &Seen, name: &str) -> String {
    let all = container.raw["Config"]["Env"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut values = all.filter_map(|v| v.strip_prefix(&format!("{name}=")));
    values.next().unwrap_or_default().to_owned()
}

/// The version that `web` says, the image that it runs, and all services.
fn stands(stack: &Stack) -> (String, String, Vec<String>) {
    let web = stack.container("web");
    (variable(&web, "VERSION"), web.raw["Image"].as_str().unwrap_or_default().to_owned(), stack.short_names())
}

#[test]
fn it_goes_back_to_what_ran_and_forward_again() {
    let stack = Stack::new("rollback", "");
    let mut image = Image { name: format!("{}:latest", stack.name), ids: Vec::new(), stack: &stack };
    let first = YAML.replace("IMAGE", &image.name);
    let second = first
        .replace("VERSION: '1'", "VERSION: '2'")
        .replace("volumes:\n  data: {}", &format!("{EXTRA}\n  data: {{}}"));
    let (old, all) = (image.renew("1"), |names: &[&str]| crate::support::stack::owned(names));
    stack.write("compose.yaml", &first);
    stack.run("rollback").code(1).says(&["no `up` of", "that succeeded is recorded"]);
    stack.run("up -d").code(0);
    stack.run("rollback").code(1).says(&["which is what stands"]);
    let db = stack.container("db");
    let new = image.renew("2");
    stack.write("compose.yaml", &second);
    stack.run("up -d").code(0);
    stack.run("up -d").code(0);
    assert_eq!(stands(&stack), ("2".to_owned(), new.clone(), all(&["db-1", "extra-1", "web-1"])));

    let planned = stack.run("--dry-run rollback").code(0).out;
    assert!(
        planned.contains("~ web-1") && planned.contains("= db-1") && planned.contains("extra"),
        "{planned}"
    );
    stack.run("rollback").code(0).says(&["2 services ready"]);
    assert_eq!(stands(&stack), ("1".to_owned(), old.clone(), all(&["db-1", "web-1"])));
    let after = stack.container("db");
    assert_eq!((&after.id, &after.started), (&db.id, &db.started), "db was touched");
    // The files' first version now finds another image behind the name.
    stack.write("compose.yaml", &first);
    let planned = stack.run("plan").code(0).out;
    assert!(planned.contains("~ web-1") && planned.contains("= db-1"), "{planned}");

    stack.run("rollback").code(0);
    assert_eq!(stands(&stack), ("2".to_owned(), new, all(&["db-1", "extra-1", "web-1"])));
    assert_eq!(stack.container("db").id, db.id);
    let runs = stack.run("history --format json").code(0).out;
    let oldest = runs.lines().last().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let oldest = oldest.and_then(|run| run["run"].as_str().map(str::to_owned)).expect("a run");
    stack.run(&format!("rollback --to {oldest}")).code(0);
    assert_eq!(stands(&stack).0, "1");
    assert!(stack.kept().keys().any(|path| path.ends_with("applied.json")));

    stack.run("down").code(0);
    assert!(!stack.kept().keys().any(|path| path.ends_with("applied.json")));
    stack.run("rollback").code(1).says(&["was removed by `down`"]);
    assert_eq!(stack.volumes(), ["data"], "volumes stay");
}

#[test]
fn an_image_that_is_gone_is_said_before_anything_is_changed() {
    let stack = Stack::new("rollbackgone", "");
    let mut image = Image { name: format!("{}:latest", stack.name), ids: Vec::new(), stack: &stack };
    let yaml = YAML.replace("IMAGE", &image.name);
    stack.write("compose.yaml", &yaml);
    let old = image.renew("1");
    stack.run("up -d").code(0);
    image.renew("2");
    stack.run("up -d").code(0);
    stack.docker(&["rmi", &old]);
    let before = stack.running();
    stack.run("rollback").code(1).says(&["is gone; nothing was changed", &old, "`web` ran"]);
    assert_eq!(stack.running(), before);
    drop(image);
}

#[test]
fn a_part_that_was_started_alone_goes_back_alone() {
    let stack = Stack::new("rollbackpart", &YAML.replace("IMAGE", "docker-orch-example"));
    stack.run("up -d").code(0);
    let yaml = YAML.replace("IMAGE", "docker-orch-example");
    stack.write("compose.yaml", &yaml.replace("VERSION: '1'", "VERSION: '2'"));
    stack.run("up -d web").code(0);
    let db = stack.container("db").id;
    stack.write("compose.yaml", &yaml.replace("VERSION: '1'", "VERSION: '3'").replace("$$5", "$$6"));
    stack.run("up -d").code(0);
    assert_ne!(stack.container("db").id, db);
    stack.run("rollback").code(0);
    assert_eq!(stands(&stack).0, "2");
    assert_eq!(variable(&stack.container("db"), "PRICE"), "$5");
    stack.run("down -v").code(0);
}
