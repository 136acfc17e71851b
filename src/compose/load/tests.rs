//! Loading from files in memory: what comes out, and what is said about mistakes.

use std::{collections::BTreeMap, io};

use insta::assert_snapshot;

use super::*;
use crate::diagnostic::render_all;

/// Files in memory, below `/p`.
struct Memory(BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).map(|text| text.clone().into_bytes()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        Ok(b"services: {typed: {image: i}}".to_vec())
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.contains_key(path) || self.is_dir(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file != path && file.starts_with(path))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}

/// A folder of files, and how it is loaded.
struct Case {
    files: Memory,
    environment: Environment,
    options: LoadOptions,
}

fn case(files: &[(&str, &str)]) -> Case {
    let files = files.iter().map(|(name, text)| (Path::new("/p").join(name), (*text).to_owned())).collect();
    let options = LoadOptions { current_dir: "/p".into(), ..LoadOptions::default() };
    Case { files: Memory(files), environment: Environment::default(), options }
}

impl Case {
    fn with(mut self, files: &[&str]) -> Self {
        self.options.files = files.iter().map(|file| (*file).to_owned()).collect();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.set(name, value);
        self
    }

    fn loaded(&self) -> Loaded {
        load(&self.files, &self.environment, &self.options)
    }

    #[track_caller]
    fn project(&self) -> Project {
        let loaded = self.loaded();
        let said = render_all(&loaded.diagnostics, &loaded.sources, false);
        loaded.project.unwrap_or_else(|| panic!("{said}"))
    }

    /// `service=image` of every active service.
    #[track_caller]
    fn images(&self) -> String {
        let project = self.project();
        let shown = |(name, service): (&String, &crate::project::Service)| {
            format!("{name}={}", service.image.as_deref().unwrap_or_default())
        };
        project.services.iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    /// What is said, where nothing is loaded.
    #[track_caller]
    fn refusal(&self) -> String {
        let loaded = self.loaded();
        assert!(loaded.project.is_none());
        render_all(&loaded.diagnostics, &loaded.sources, false)
    }
}

#[test]
fn the_nearest_folder_with_a_file_is_the_project() {
    let mut case = case(&[
        ("compose.yaml", "services: {a: {image: one, build: ./x}}"),
        ("compose.override.yaml", "services: {a: {image: two}}"),
        ("deep/er/file", ""),
    ]);
    case.options.current_dir = "/p/deep/er".into();
    assert_eq!(case.images(), "a=two");
    let project = case.project();
    assert_eq!(project.name, "p");
    assert_eq!(project.working_dir, Path::new("/p"));
    assert_eq!(project.services["a"].build.as_ref().unwrap().context.as_deref(), Some("/p/x"));
}

#[test]
fn files_come_from_flags_then_the_environment() {
    let files = [("a.yaml", "services: {a: {image: a}}"), ("b.yaml", "services: {b: {image: b}}")];
    assert_eq!(case(&files).with(&["b.yaml", "a.yaml"]).images(), "a=a b=b");
    let from_environment = case(&files).variable("COMPOSE_FILE", "a.yaml;b.yaml");
    assert_eq!(from_environment.variable("COMPOSE_PATH_SEPARATOR", ";").images(), "a=a b=b");
    let in_env_file = case(&[files.as_slice(), &[(".env", "COMPOSE_FILE=b.yaml")]].concat());
    assert_eq!(in_env_file.images(), "b=b");
    assert_eq!(case(&files).with(&["-"]).images(), "typed=i");
}

#[test]
fn the_name_comes_from_the_nearest_source() {
    let named = [("compose.yaml", "name: ${N:-From File}\nservices: {a: {image: i}}")];
    assert_eq!(case(&named).project().name, "fromfile");
    assert_eq!(case(&named).variable("COMPOSE_PROJECT_NAME", "env").project().name, "env");
    let mut flag = case(&named).variable("COMPOSE_PROJECT_NAME", "env");
    flag.options.project_name = Some("flag".to_owned());
    assert_eq!(flag.project().name, "flag");
    flag.options.project_name = Some("Flag!".to_owned());
    assert_snapshot!(flag.refusal(), @r#"
    error[project-name]: the project name `Flag!` from `-p` is not valid
     |
     = help: lower-case letters, digits, `-` and `_`, a letter or digit first: for example `flag`
    "#);
}

#[test]
fn the_shell_beats_env_files_and_later_ones_earlier_ones() {
    let files = [
        ("compose.yaml", "services: {a: {image: '$A$B$C'}}"),
        (".env", "A=1\nB=1\nC=1"),
        ("x.env", "B=2\nC=2"),
        ("y.env", "C=3\nA=${B}"),
    ];
    assert_eq!(case(&files).variable("A", "0").images(), "a=011");
    let mut explicit = case(&files);
    explicit.options.env_files = vec!["x.env".into(), "y.env".into()];
    assert_eq!(explicit.images(), "a=223");
}

#[test]
fn documents_and_files_merge_in_turn() {
    let files = [
        ("a.yaml", "services: {a: {image: 1, ports: ['1:1']}}\n---\nservices: {b: {image: 2}}"),
        ("b.yaml", "services: {a: {image: '3', ports: !override ['2:2']}, b: !reset }"),
    ];
    let project = case(&files[1..]).with(&["b.yaml"]).project();
    assert_eq!(project.services.len(), 1);
    let case = case(&[
        (files[0].0, "services: {a: {image: '1', ports: ['1:1']}}\n---\nservices: {b: {image: '2'}}"),
        files[1],
    ]);
    let case = case.with(&["a.yaml", "b.yaml"]);
    assert_eq!(case.images(), "a=3");
    assert_eq!(case.project().services["a"].ports.len(), 1);
}

#[test]
fn a_service_extends_through_files() {
    let case = case(&[
        ("compose.yaml", "services: {a: {extends: {service: b, file: x/one.yaml}, environment: {K: a}}}"),
        ("x/one.yaml", "services: {b: {extends: {service: c, file: ../y/two.yaml}, build: ctx}}"),
        ("y/two.yaml", "services: {c: {image: base, env_file: e.env, environment: [K=c, L=c]}}"),
        ("y/e.env", "M=file\nL=file"),
    ]);
    let project = case.project();
    let service = &project.services["a"];
    assert_eq!(service.image.as_deref(), Some("base"));
    assert_eq!(service.build.as_ref().unwrap().context.as_deref(), Some("/p/x/ctx"));
    let environment: Vec<String> = service
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(environment, ["K=a", "L=c", "M=file"]);
}

#[test]
fn an_included_model_has_its_own_directory_and_variables() {
    let case = case(&[
        ("compose.yaml", "include: [{path: [x/a.yaml, x/b.yaml]}]\nservices: {m: {image: 'm$V'}}"),
        ("x/a.yaml", "services: {a: {image: '$V', build: .}}"),
        ("x/b.yaml", "services: {b: {image: b}}\nvolumes: {data: }"),
        ("x/.env", "V=inner"),
    ]);
    assert_eq!(case.images(), "a=inner b=b m=m");
    assert_eq!(case.project().services["a"].build.as_ref().unwrap().context.as_deref(), Some("/p/x"));
    assert_eq!(case.variable("V", "outer").images(), "a=outer b=b m=mouter");
}

#[test]
fn a_secret_takes_its_value_where_it_is_defined() {
    let case = case(&[
        ("compose.yaml", "include: [x/a.yaml]\n"),
        ("x/a.yaml", "services: {a: {image: i, secrets: [s]}}\nsecrets: {s: {environment: TOKEN}}"),
        ("x/.env", "TOKEN=inner"),
    ]);
    let project = case.project();
    assert_eq!(project.secrets["s"].captured.as_ref().map(|value| value.expose().as_str()), Some("inner"));
}

#[test]
fn what_is_wrong_with_an_extends_is_shown_where_it_stands() {
    let circle = case(&[(
        "compose.yaml",
        "services:\n  a:\n    extends: b\n  b:\n    extends:\n      service: c\n  c:\n    extends: a\n",
    )]);
    assert_snapshot!(circle.refusal(), @r#"
    error[extends-cycle]: services extend each other in a circle: a -> b -> c -> a
     --> compose.yaml:8:14
      |
    3 |     extends: b
      |              - `a` extends this
    ...
    6 |       service: c
      |                - `b` extends this
    7 |   c:
    8 |     extends: a
      |              ^ this closes the circle
    "#);
    let unknown =
        case(&[("compose.yaml", "services:\n  web:\n    extends: databse\n  database:\n    image: i\n")]);
    assert_snapshot!(unknown.refusal(), @r#"
    error[unknown-service]: `services.web` extends `databse`, which is no service
     --> compose.yaml:3:14
      |
    3 |     extends: databse
      |              ^^^^^^^
      |
      = help: did you mean `database`?
    "#);
    let remote = case(&[("compose.yaml", "include:\n  - oci://example.com/a:1\n")]);
    assert_snapshot!(remote.refusal(), @r#"
    error[remote-file]: `oci://example.com/a:1` is on another machine; only local files are read
     --> compose.yaml:2:5
      |
    2 |   - oci://example.com/a:1
      |     ^^^^^^^^^^^^^^^^^^^^^
      |
      = help: fetch it first: `docker compose -f oci://example.com/a:1 config > compose.yaml`
    "#);
    let missing = case(&[("compose.yaml", "services:\n  web:\n    extends: {service: a, file: no.yaml}\n")]);
    assert_snapshot!(missing.refusal(), @r#"
    error[unreadable-file]: cannot read the Compose file `no.yaml`: it does not exist
     --> compose.yaml:3:33
      |
    3 |     extends: {service: a, file: no.yaml}
      |                                 ^^^^^^^ named here
    "#);
}

#[test]
fn what_is_wrong_with_an_include_is_shown_where_it_stands() {
    let circle = case(&[("compose.yaml", "include:\n  - a.yaml\n"), ("a.yaml", "include: [compose.yaml]\n")]);
    assert_snapshot!(circle.refusal(), @r#"
    error[include-cycle]: files include each other in a circle: compose.yaml -> a.yaml -> compose.yaml
     --> a.yaml:1:11
      |
    1 | include: [compose.yaml]
      |           ^^^^^^^^^^^^
    "#);
    let conflict = case(&[
        ("compose.yaml", "include:\n  - a.yaml\nservices:\n  web:\n    image: one\n"),
        ("a.yaml", "services:\n  web:\n    image: two\n"),
    ]);
    assert_snapshot!(conflict.refusal(), @r#"
    error[include-conflict]: `services.web` is also included, and differs
     --> compose.yaml:4:3
      |
    2 |   - a.yaml
      |     ------ included here
    3 | services:
    4 |   web:
      |   ^^^ defined here
      |
     ::: a.yaml:2:3
      |
    2 |   web:
      |   --- and in the included file
      |
      = help: rename one of them, or put the changes into a further file of that `include`
    "#);
}

#[test]
fn mistakes_in_values_are_shown_where_they_stand() {
    let required = case(&[("compose.yaml", "services:\n  web:\n    image: nginx:${TAG:?say which}\n")]);
    assert_snapshot!(required.refusal(), @r#"
    error[required-variable]: the variable `TAG` must be set: say which
     --> compose.yaml:3:18
      |
    3 |     image: nginx:${TAG:?say which}
      |                  ^^^^^
      |
      = help: set it in the environment or in the `.env` file: TAG=…
    "#);
    let template = case(&[("compose.yaml", "services:\n  web:\n    image: i\n    command: echo ${1}\n")]);
    assert_snapshot!(template.refusal(), @r#"
    error[interpolation-syntax]: `services.web.command` has a `${` that is no variable
     --> compose.yaml:4:14
      |
    4 |     command: echo ${1}
      |              ^^^^^^^^^
      |
      = help: write `$$` where a dollar sign is meant
    "#);
    let kinds = case(&[
        ("a.yaml", "services:\n  web:\n    image: i\n    ports:\n      - 80:80\n"),
        ("b.yaml", "services:\n  web:\n    ports: 80\n"),
    ]);
    assert_snapshot!(kinds.with(&["a.yaml", "b.yaml"]).refusal(), @r#"
    error[merge-kind]: `services.web.ports` is an integer here, but a list before
     --> b.yaml:3:12
      |
    3 |     ports: 80
      |            ^^
      |
     ::: a.yaml:5:7
      |
    5 |       - 80:80
      |       ------- it is merged into this
    "#);
    let env_file = case(&[
        ("compose.yaml", "services:\n  web:\n    image: i\n    env_file: web.env\n"),
        ("web.env", "A=1\nNO GOOD=2\n"),
    ]);
    assert_snapshot!(env_file.refusal(), @r#"
    error[env-file-syntax]: a variable's name cannot contain a blank: `NO GOOD=2`
     --> web.env:2:1
      |
    2 | NO GOOD=2
      | ^^^^^^^^^
      |
      = help: a line is `NAME=value`; quote values with blanks or `#`
    "#);
    let no_file = case(&[("compose.yaml", "services:\n  web:\n    image: i\n    env_file: web.env\n")]);
    assert_snapshot!(no_file.refusal(), @r#"
    error[missing-file]: there is no env file `web.env`
     --> compose.yaml:4:15
      |
    4 |     env_file: web.env
      |               ^^^^^^^ named here
      |
      = help: create it, or say `required: false` where it may be missing
    "#);
}

#[test]
fn a_variable_that_is_not_set_is_a_warning() {
    let case = case(&[("compose.yaml", "services:\n  web:\n    image: nginx:${TGA}\n")]).variable("TAG", "1");
    let loaded = case.loaded();
    assert!(loaded.project.is_some());
    assert_snapshot!(render_all(&loaded.diagnostics, &loaded.sources, false), @r#"
    warning[unset-variable]: the variable `TGA` is not set; it becomes an empty text
     --> compose.yaml:3:18
      |
    3 |     image: nginx:${TGA}
      |                  ^^^^^
      |
      = help: did you mean `TAG`?
    "#);
}

#[test]
fn there_must_be_a_file_with_something_in_it() {
    assert_snapshot!(case(&[("readme", "")]).refusal(), @r#"
    error[no-compose-file]: no Compose file is here or in a directory above
     |
     = help: name one with `-f`, or create `compose.yaml`
    "#);
    assert_snapshot!(case(&[("compose.yaml", "# nothing\n")]).refusal(), @r#"
    error[empty-file]: the Compose file is empty
     |
     = help: it needs at least `services:`
    "#);
    assert_snapshot!(case(&[("compose.yaml", "- a\n")]).refusal(), @r#"
    error[top-level]: a Compose file must be a mapping, not a list
     --> compose.yaml:1:1
      |
    1 | - a
      | ^^^
    "#);
}

#[test]
fn files_that_multiply_themselves_are_refused_at_once() {
    let mut text = "x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text = format!("{text}x-{level}: &a{level} [{aliases}]\n");
    }
    let case = case(&[("compose.yaml", &text)]);
    let loaded = case.loaded();
    assert_eq!(loaded.diagnostics.last().map(|problem| problem.code), Some("yaml-too-large"));
}

/// The code of the error that loading these files ends with.
fn code_of(files: &[(&str, &str)]) -> Option<&'static str> {
    case(files).loaded().diagnostics.last().map(|problem| problem.code)
}

#[test]
fn variables_that_multiply_themselves_are_refused() {
    let mut text = "A0=xxxxxxxxxx\n".to_owned();
    for level in 1..40 {
        let before = level - 1;
        text = format!("{text}A{level}=${{A{before}}}${{A{before}}}\n");
    }
    assert_eq!(
        code_of(&[("compose.yaml", "services: {a: {image: x}}"), (".env", &text)]),
        Some("env-file-syntax")
    );
    let long = format!("LONG={}\n", "x".repeat(1 << 20));
    let often = format!("services: {{a: {{image: x, command: '{}'}}}}", "$LONG".repeat(100));
    assert_eq!(code_of(&[("compose.yaml", &often), (".env", &long)]), Some("text-too-long"));
    let everywhere = format!("services: {{a: {{image: x, command: [{}]}}}}", "$LONG,".repeat(1000));
    assert_eq!(code_of(&[("compose.yaml", &everywhere), (".env", &long)]), Some("text-too-long"));
}

#[test]
fn a_chain_of_thousands_is_refused_or_followed_but_fills_no_stack() {
    let chain = |of: &dyn Fn(usize) -> String| {
        let services: Vec<String> =
            (0..3000).map(|n| format!("  s{n}: {{image: x, {}}}", of(n + 1))).collect();
        format!("services:\n{}\n  s3000: {{image: x}}\n", services.join("\n"))
    };
    let extends = chain(&|next| format!("extends: s{next}"));
    assert_eq!(code_of(&[("compose.yaml", &extends)]), Some("extends-too-deep"));
    let waits = chain(&|next| format!("depends_on: [s{next}]"));
    assert_eq!(code_of(&[("compose.yaml", &waits)]), None);
    let circle = waits.replace("s3000: {image: x}", "s3000: {image: x, depends_on: [s2000]}");
    let case = case(&[("compose.yaml", &circle)]);
    let loaded = case.loaded();
    let problem = loaded.diagnostics.last().unwrap();
    assert!(problem.message.ends_with("s2009 → … (992 more)"), "{}", problem.message);
}

#[test]
fn files_that_include_each_other_again_and_again_are_refused() {
    let names: Vec<String> = (0..25).map(|n| format!("f{n}.yaml")).collect();
    let texts: Vec<String> = (1..25).map(|n| format!("include: [f{n}.yaml, ./f{n}.yaml]\n")).collect();
    let mut files = vec![("compose.yaml", "include: [f0.yaml]\n")];
    files.extend(names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)));
    files.push((&names[24], "services: {a: {image: x}}\n"));
    assert_eq!(code_of(&files), Some("too-many-includes"));
}

#[test]
fn ranges_of_ports_that_have_no_end_are_refused() {
    let ports = (1..=5).map(|n| format!("'127.0.0.{n}:1-65535:1-65535'")).collect::<Vec<_>>().join(", ");
    let text = format!("services: {{a: {{image: x, ports: [{ports}]}}}}");
    assert_eq!(code_of(&[("compose.yaml", &text)]), Some("too-many-ports"));
}

proptest::proptest! {
    /// Text made of what YAML, variables and Compose files are made of.
    #[test]
    fn no_file_makes_loading_panic(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "services", "a", "image", ": ", ":", "\n", "\n  ", "\n    ", "- ", "{", "}", "[", "]", ",", "&x ", "*x",
                "<<", "!reset ", "!override ", "!!int ", "'", "\"", "|", ">", "$", "${", "}", ":-", "#", "---\n", "1", "null",
                "extends", "include", "ports", "environment", "depends_on", "volumes", "é", "\t", "\r\n", "\u{FEFF}", "%YAML",
            ]),
            0..40,
        ),
    ) {
        let text = parts.concat();
        for text in [text.clone(), format!("services:\n  a:\n    image: i\n    {text}")] {
            let files = [("compose.yaml", text.as_str()), (".env", &text), ("a", &text)];
            let loaded = case(&files).loaded();
            let said = render_all(&loaded.diagnostics, &loaded.sources, false);
            assert!(loaded.project.is_some() || said.contains("error["), "{said}");
        }
    }
}

/// What the file with this text for the service `web` says in `config`.
fn web(text: &str) -> Result<serde_json::Value, String> {
    let file = format!("services: {{web: {{image: i, {text}}}}}");
    let loaded = case(&[("compose.yaml", &file)]).loaded();
    let problems = || loaded.diagnostics.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>();
    loaded
        .project
        .as_ref()
        .map(|project| project.to_json()["services"]["web"].take())
        .ok_or_else(|| problems().join("; "))
}

#[test]
fn values_are_converted_as_compose_converts_them() {
    let cases = [
        ("stop_grace_period: -1.5h", "/stop_grace_period", "-1h30m0s"),
        ("healthcheck: {interval: -0.5s}", "/healthcheck/interval", "-500ms"),
        ("labels: {x-b: , x-a: 1, c: 2}", "/labels/#extensions", "map[x-a:1 x-b:<nil>]"),
        ("environment: [x-a=1]", "/environment/x-a", "1"),
        ("networks: {default: {gw_priority: 18446744073709551615}}", "/networks/default/gw_priority", "-1"),
        ("ports: [{target: 4294967376}]", "/ports/0/target", "80"),
        ("blkio_config: {weight: 65546}", "/blkio_config/weight", "10"),
    ];
    for (text, pointer, expected) in cases {
        let model = web(text).expect(text);
        let found = model.pointer(pointer).unwrap_or_else(|| panic!("{text}: {model}"));
        assert_eq!(found.to_string().trim_matches('"'), expected, "{text}");
    }
}

#[test]
fn what_compose_cannot_convert_is_refused() {
    let cases = [
        ("ulimits: {nofile: 1.0}", "services.web.ulimits.nofile must be a whole number"),
        (
            "ulimits: {nofile: {soft: 1.0, hard: 2}}",
            "services.web.ulimits.nofile.soft must be a whole number",
        ),
        ("gpus: [{count: 1e3}]", "services.web.gpus[0].count must be a whole number"),
        ("cpu_percent: 1e3", "services.web.cpu_percent must be from 0 to 100"),
        (
            "volumes: [{type: tmpfs, target: /t, tmpfs: {size: -1e3}}]",
            "services.web.volumes[0].tmpfs.size must be at least 0",
        ),
        ("build: {additional_contexts: {a: 1}}", "services.web.build.additional_contexts.a must be a string"),
    ];
    for (text, expected) in cases {
        assert_eq!(web(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn the_tree_carries_the_name_that_the_project_has() {
    let named = case(&[("compose.yaml", "{name: My Project, services: {a: {image: i}}}")]);
    let loaded = load_tree(&named.files, &named.environment, &named.options);
    let tree = loaded.tree.expect("a tree");
    assert_eq!(tree.get("name").and_then(Node::as_str), Some("myproject"));
}

#[test]
fn the_tree_leaves_names_without_a_value_alone() {
    let mut bare =
        case(&[("compose.yaml", "services: {a: {image: i, environment: {A: }}}")]).variable("A", "1");
    bare.options.skip.interpolation = true;
    let tree = load_tree(&bare.files, &bare.environment, &bare.options).tree.expect("a tree");
    assert!(tree.at(&["services", "a", "environment", "A"]).unwrap().is_null());
}

#[test]
fn the_folder_of_an_include_may_be_a_number() {
    let files = |directory: &str| {
        let main =
            format!("{{include: [{{path: inc.yaml, project_directory: {directory}}}], services: {{}}}}");
        case(&[("compose.yaml", &main), ("inc.yaml", "services: {a: {image: i, build: .}}"), ("7/x", "")])
    };
    let project = files("007").project();
    assert_eq!(project.services["a"].build.as_ref().unwrap().context.as_deref(), Some("/p/7"));
    assert!(files("[x]").loaded().project.is_none());
}
