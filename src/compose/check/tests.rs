//! Small files that break a rule, and what is said about them.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    compose::{self, Environment, Files, LoadOptions},
    diagnostic::render_all,
};

/// One file in memory.
struct OneFile(&'static str);

impl Files for OneFile {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if self.exists(path) { Ok(self.0.as_bytes().to_vec()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn exists(&self, path: &Path) -> bool {
        path == Path::new("/p/compose.yaml")
    }

    fn is_dir(&self, path: &Path) -> bool {
        path == Path::new("/p")
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}

/// Everything that is said about a file, or nothing where all is well.
fn said(text: &'static str) -> String {
    let options = LoadOptions { current_dir: PathBuf::from("/p"), ..LoadOptions::default() };
    let loaded = compose::load(&OneFile(text), &Environment::default(), &options);
    render_all(&loaded.diagnostics, &loaded.sources, false)
}

#[test]
fn an_unknown_attribute_is_shown_with_the_one_that_was_meant() {
    insta::assert_snapshot!(said("services:\n  web:\n    image: x\n    enviroment: {A: 1}\n"), @r#"
    error[unknown-attribute]: unknown attribute `enviroment` in services.web
     --> compose.yaml:4:5
      |
    4 |     enviroment: {A: 1}
      |     ^^^^^^^^^^
      |
      = help: did you mean `environment`?
    "#);
}

#[test]
fn a_wrong_type_is_shown_where_it_stands() {
    insta::assert_snapshot!(said("services:\n  web:\n    image: x\n    healthcheck:\n      interval: 5\n"), @r#"
    error[wrong-type]: services.web.healthcheck.interval must be a string
     --> compose.yaml:5:17
      |
    5 |       interval: 5
      |                 ^ this is an integer
      |
      = help: put it between quotes
    "#);
}

#[test]
fn an_undefined_volume_is_shown_where_it_is_used() {
    insta::assert_snapshot!(
        said("services:\n  web:\n    image: x\n    volumes:\n      - dat:/data\nvolumes:\n  data:\n"),
        @r#"
    error[undefined]: service `web` uses volume `dat`, which is not defined
     --> compose.yaml:5:9
      |
    5 |       - dat:/data
      |         ^^^^^^^^^
      |
      = help: did you mean `data`?
    "#
    );
}

#[test]
fn a_cycle_shows_every_step() {
    insta::assert_snapshot!(
        said("services:\n  a:\n    image: x\n    depends_on: [b]\n  b:\n    image: x\n    links:\n      - a\n"),
        @r#"
    error[dependency-cycle]: services wait for each other: a → b → a
     --> compose.yaml:4:18
      |
    4 |     depends_on: [b]
      |                  ^ `a` waits for `b`
    ...
    8 |       - a
      |         - `b` waits for `a`
      |
      = help: remove one of these dependencies
    "#
    );
}

#[test]
fn limits_that_disagree_are_refused() {
    insta::assert_snapshot!(
        said("services:\n  a:\n    image: x\n    mem_limit: 1g\n    deploy: {resources: {limits: {memory: 2g}}}\n"),
        @r#"
    error[conflict]: service `a` sets `mem_limit` and not the same in `deploy.resources.limits.memory`
     --> compose.yaml:4:5
      |
    4 |     mem_limit: 1g
      |     ^^^^^^^^^
      |
      = help: remove `mem_limit`, or write it in both places
    "#
    );
}

#[test]
fn two_mounts_on_one_target_show_both() {
    insta::assert_snapshot!(
        said("services:\n  a:\n    image: x\n    tmpfs: [/t]\n    volumes:\n      - /h:/t/\n"),
        @r#"
    error[conflict]: service `a` mounts two things on `/t`
     --> compose.yaml:6:9
      |
    4 |     tmpfs: [/t]
      |             -- already mounted here
    5 |     volumes:
    6 |       - /h:/t/
      |         ^^^^^^
    "#
    );
}

#[test]
fn a_sound_file_is_read_in_silence() {
    assert_eq!(said("services:\n  a:\n    image: x\n    volumes: [data:/data]\nvolumes:\n  data:\n"), "");
}
