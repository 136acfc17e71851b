//! `man`: a manual page for each command.

use std::{fs, path::Path};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::{
    CliError, Exit,
    args::{ManArgs, Root},
};

/// Writes the pages into a folder.
///
/// # Errors
///
/// They cannot be written.
pub(super) fn run(args: &ManArgs) -> Result<Exit, CliError> {
    let failed = |path: &Path, e: &std::io::Error| {
        CliError::failed(format!("failed to write `{}`", path.display())).caused_by(e)
    };
    fs::create_dir_all(&args.folder).map_err(|e| failed(&args.folder, &e))?;
    for (name, page) in pages().map_err(|e| failed(&args.folder, &e))? {
        let path = args.folder.join(format!("{name}.1"));
        fs::write(&path, page).map_err(|e| failed(&path, &e))?;
    }
    Ok(Exit::Fine)
}

/// The name and the text of every page.
fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Root::command();
    root.build();
    let mut pages = Vec::new();
    collect(&root, "docker-orch", &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let mut page = Vec::new();
    let titled = command.clone().name(name.to_owned()).display_name(name).version(env!("CARGO_PKG_VERSION"));
    Man::new(titled).manual("docker orch").render(&mut page)?;
    pages.push((name.to_owned(), page));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_help_lists_has_a_page() {
        let names: Vec<String> = pages().unwrap().into_iter().map(|(name, _)| name).collect();
        for name in ["docker-orch", "docker-orch-up", "docker-orch-history-show"] {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("man") || name.contains("help")), "{names:?}");
    }

    #[test]
    fn a_page_tells_flags_and_examples() {
        let pages = pages().unwrap();
        let (_, page) = pages.iter().find(|(name, _)| name == "docker-orch-up").unwrap();
        let page = String::from_utf8(page.clone()).unwrap();
        for words in ["\\-\\-exit\\-code\\-from", "Examples:", "DOCKER_ORCH_JUNIT"] {
            assert!(page.contains(words), "{words}: {page}");
        }
    }
}
