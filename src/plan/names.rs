//! Names that containers have for a while: how a plan, killed half-way, is recognised by the next one.
//!
//! A container that takes another's place is created as `<12 digits of the old ID>_<final name>`, as Compose does.
//! The old one is kept as `<final name>.previous` until the new one is ready.

use super::{Container, ContainerRef};

/// What follows the final name of a container that is kept aside.
const PREVIOUS: &str = ".previous";

/// The name of a container kept aside while its successor starts.
pub fn previous_name(final_name: &str) -> String {
    format!("{final_name}{PREVIOUS}")
}

/// The name a successor is created under while `old` has the final name.
pub fn temporary_name(old: &ContainerRef, final_name: &str) -> String {
    let digits: String = old.id.chars().take(12).collect();
    format!("{digits}_{final_name}")
}

/// What a container's name says about its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It has its final name.
    Current,
    /// It was to take another's place, and has not.
    Successor,
    /// Another was to take its place.
    Previous,
}

/// Tells a container's place from its name.
pub fn place(container: &Container) -> Place {
    if container.name.ends_with(PREVIOUS) {
        return Place::Previous;
    }
    let digits = container.name.split('_').next().unwrap_or("");
    let temporary = container.compose_label("replace").is_some()
        && digits.len() == 12
        && digits.len() < container.name.len()
        && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if temporary { Place::Successor } else { Place::Current }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, replace: bool) -> Container {
        let mut container = Container { name: name.to_owned(), ..Container::default() };
        if replace {
            container.labels.insert("com.docker.compose.replace".to_owned(), "web-1".to_owned());
        }
        container
    }

    #[test]
    fn a_name_tells_the_place() {
        let old = ContainerRef { id: "0123456789abcdef".to_owned(), name: "p-web-1".to_owned() };
        assert_eq!(place(&named("p-web-1", true)), Place::Current);
        assert_eq!(place(&named(&temporary_name(&old, "p-web-1"), true)), Place::Successor);
        assert_eq!(place(&named("0123456789ab_p-web-1", false)), Place::Current);
        assert_eq!(place(&named(&previous_name("p-web-1"), true)), Place::Previous);
    }
}
