//! The top of the file, and the definitions beside services.

use super::{
    service::SERVICE,
    shape::{
        BOOLEAN_OR_TEXT, DRIVER_OPTIONS, INTEGER, LIST_OF_REPEATING, List, MAP_OF_TEXTS, MAP_OR_LIST,
        NO_SCALAR, Object, Shape, TEXT, TEXT_OR_LIST, is_name,
    },
};

const fn definitions(named: &'static Object) -> Shape {
    NO_SCALAR.or_mapping(named)
}

/// The whole file.
pub(super) const FILE: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("version", TEXT),
    ("name", TEXT),
    ("include", NO_SCALAR.or_list(&List::of(&INCLUDE))),
    ("services", definitions(&Object::named(is_name, &SERVICE))),
    ("models", definitions(&Object::named(is_name, &MODEL).ignoring_others())),
    ("networks", definitions(&Object::named(is_name, &NETWORK).ignoring_others())),
    ("volumes", definitions(&Object::named(is_name, &VOLUME))),
    ("secrets", definitions(&Object::named(is_name, &SECRET))),
    ("configs", definitions(&Object::named(is_name, &CONFIG))),
]));

const INCLUDE: Shape = TEXT.or_mapping(
    &Object::of(&[("path", TEXT_OR_LIST), ("env_file", TEXT_OR_LIST), ("project_directory", TEXT)])
        .without_extensions(),
);

const EXTERNAL: Shape = BOOLEAN_OR_TEXT.or_mapping(&Object::of(&[("name", TEXT)]));
const EXTERNAL_FILE: Shape = BOOLEAN_OR_TEXT.or_mapping(&Object::of(&[("name", TEXT)]).ignoring_others());

const NETWORK: Shape = NO_SCALAR.or_null().or_mapping(&Object::of(&[
    ("name", TEXT),
    ("driver", TEXT),
    ("driver_opts", DRIVER_OPTIONS),
    ("ipam", IPAM),
    ("external", EXTERNAL),
    ("internal", BOOLEAN_OR_TEXT),
    ("enable_ipv4", BOOLEAN_OR_TEXT),
    ("enable_ipv6", BOOLEAN_OR_TEXT),
    ("attachable", BOOLEAN_OR_TEXT),
    ("labels", MAP_OR_LIST),
]));

const IPAM: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("driver", TEXT),
    ("config", NO_SCALAR.or_list(&List::of(&POOL))),
    ("options", MAP_OF_TEXTS),
]));

const POOL: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("subnet", TEXT),
    ("ip_range", TEXT),
    ("gateway", TEXT),
    ("aux_addresses", MAP_OF_TEXTS),
]));

const VOLUME: Shape = NO_SCALAR.or_null().or_mapping(&Object::of(&[
    ("name", TEXT),
    ("driver", TEXT),
    ("driver_opts", DRIVER_OPTIONS),
    ("external", EXTERNAL),
    ("labels", MAP_OR_LIST),
]));

const SECRET: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("name", TEXT),
    ("environment", TEXT),
    ("file", TEXT),
    ("external", EXTERNAL_FILE),
    ("labels", MAP_OR_LIST),
    ("driver", TEXT),
    ("driver_opts", DRIVER_OPTIONS),
    ("template_driver", TEXT),
]));

const CONFIG: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("name", TEXT),
    ("content", TEXT),
    ("environment", TEXT),
    ("file", TEXT),
    ("external", EXTERNAL_FILE),
    ("labels", MAP_OR_LIST),
    ("template_driver", TEXT),
]));

const MODEL: Shape = NO_SCALAR.or_mapping(
    &Object::of(&[
        ("name", TEXT),
        ("model", TEXT),
        ("context_size", INTEGER),
        ("runtime_flags", LIST_OF_REPEATING),
    ])
    .requiring(&["model"]),
);
