//! The words that the table of attributes is written in.

/// What a value may be. A value is looked at as one of: scalar, list, mapping.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// The scalars that are accepted.
    pub(super) scalars: u8,
    /// Texts that are accepted, where there is a scalar text.
    pub(super) texts: Texts,
    /// The smallest and the largest whole number.
    pub(super) range: Option<(i64, i64)>,
    /// How a list looks, where one is accepted.
    pub(super) list: Option<&'static List>,
    /// How a mapping looks, where one is accepted.
    pub(super) mapping: Option<&'static Object>,
}

/// Which texts are accepted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Texts {
    /// All.
    Any,
    /// These.
    OneOf(&'static [&'static str]),
    /// Those that a check says yes to; the text says what is wanted.
    Checked(fn(&str) -> bool, &'static str),
}

/// A list.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    pub(super) item: &'static Shape,
    /// Whether no two items may be equal.
    pub(super) unique: bool,
}

/// A mapping.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    /// Attributes with fixed names.
    pub(super) fields: &'static [(&'static str, Shape)],
    /// Attributes that must be there.
    pub(super) required: &'static [&'static str],
    /// What stands behind a name that the user chooses, and which names there may be.
    pub(super) named: Option<Named>,
    /// Whether keys starting with `x-` are accepted.
    pub(super) extensions: bool,
    /// What is done with every other key.
    pub(super) others: Others,
}

/// Which names the user may choose, and what stands behind them.
pub(super) type Named = (fn(&str) -> bool, &'static Shape);

/// What is done with a key that nothing else accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// It is an error.
    Refused,
    /// It is not looked at, as in Compose.
    Ignored,
}

const NULL_BIT: u8 = 1;
const BOOLEAN_BIT: u8 = 2;
const INTEGER_BIT: u8 = 4;
const NUMBER_BIT: u8 = 8;
const TEXT_BIT: u8 = 16;

impl Shape {
    const fn scalars(scalars: u8) -> Self {
        Self { scalars, texts: Texts::Any, range: None, list: None, mapping: None }
    }

    pub(super) const fn or_null(mut self) -> Self {
        self.scalars |= NULL_BIT;
        self
    }

    pub(super) const fn or_list(mut self, list: &'static List) -> Self {
        self.list = Some(list);
        self
    }

    pub(super) const fn or_mapping(mut self, mapping: &'static Object) -> Self {
        self.mapping = Some(mapping);
        self
    }

    pub(super) const fn one_of(mut self, texts: &'static [&'static str]) -> Self {
        self.texts = Texts::OneOf(texts);
        self
    }

    pub(super) const fn checked(mut self, check: fn(&str) -> bool, wanted: &'static str) -> Self {
        self.texts = Texts::Checked(check, wanted);
        self
    }

    pub(super) const fn within(mut self, least: i64, most: i64) -> Self {
        self.range = Some((least, most));
        self
    }

    pub(super) const fn takes_null(&self) -> bool {
        self.scalars & NULL_BIT != 0
    }

    pub(super) const fn takes_boolean(&self) -> bool {
        self.scalars & BOOLEAN_BIT != 0
    }

    /// Whole numbers; [`Self::takes_number`] takes them too.
    pub(super) const fn takes_integer(&self) -> bool {
        self.scalars & (INTEGER_BIT | NUMBER_BIT) != 0
    }

    pub(super) const fn takes_number(&self) -> bool {
        self.scalars & NUMBER_BIT != 0
    }

    pub(super) const fn takes_text(&self) -> bool {
        self.scalars & TEXT_BIT != 0
    }

    /// Whether it takes everything.
    pub(super) const fn is_anything(&self) -> bool {
        self.scalars == u8::MAX
    }

    /// What is accepted, as messages say it: `a string or a list`.
    pub(super) fn wanted(&self) -> String {
        let mut kinds = Vec::new();
        if self.takes_boolean() {
            kinds.push("a boolean");
        }
        if self.takes_number() {
            kinds.push("a number");
        } else if self.takes_integer() {
            kinds.push("a whole number");
        }
        if self.takes_text() {
            kinds.push("a string");
        }
        if self.list.is_some() {
            kinds.push("a list");
        }
        if self.mapping.is_some() {
            kinds.push("a mapping");
        }
        if self.takes_null() {
            kinds.push("nothing");
        }
        match kinds.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => "nothing".to_owned(),
        }
    }
}

impl List {
    pub(super) const fn of(item: &'static Shape) -> Self {
        Self { item, unique: false }
    }

    pub(super) const fn unique(item: &'static Shape) -> Self {
        Self { item, unique: true }
    }
}

impl Object {
    /// Fixed attributes and `x-…`.
    pub(super) const fn of(fields: &'static [(&'static str, Shape)]) -> Self {
        Self { fields, required: &[], named: None, extensions: true, others: Others::Refused }
    }

    /// Names of the user's choice.
    pub(super) const fn named(accepts: fn(&str) -> bool, value: &'static Shape) -> Self {
        Self {
            fields: &[],
            required: &[],
            named: Some((accepts, value)),
            extensions: false,
            others: Others::Refused,
        }
    }

    pub(super) const fn requiring(mut self, required: &'static [&'static str]) -> Self {
        self.required = required;
        self
    }

    pub(super) const fn without_extensions(mut self) -> Self {
        self.extensions = false;
        self
    }

    pub(super) const fn ignoring_others(mut self) -> Self {
        self.others = Others::Ignored;
        self
    }
}

/// Only lists or mappings, as `or_list` and `or_mapping` say.
pub(super) const NO_SCALAR: Shape = Shape::scalars(0);
/// Everything.
pub(super) const ANYTHING: Shape = Shape::scalars(u8::MAX);
pub(super) const TEXT: Shape = Shape::scalars(TEXT_BIT);
pub(super) const BOOLEAN: Shape = Shape::scalars(BOOLEAN_BIT);
pub(super) const INTEGER: Shape = Shape::scalars(INTEGER_BIT);
pub(super) const NUMBER: Shape = Shape::scalars(NUMBER_BIT);
pub(super) const BOOLEAN_OR_TEXT: Shape = Shape::scalars(BOOLEAN_BIT | TEXT_BIT);
pub(super) const INTEGER_OR_TEXT: Shape = Shape::scalars(INTEGER_BIT | TEXT_BIT);
pub(super) const NUMBER_OR_TEXT: Shape = Shape::scalars(NUMBER_BIT | TEXT_BIT);
pub(super) const PLAIN: Shape = Shape::scalars(BOOLEAN_BIT | NUMBER_BIT | TEXT_BIT);

/// A list of texts that are all different.
pub(super) const TEXTS: List = List::unique(&TEXT);
pub(super) const LIST_OF_TEXTS: Shape = NO_SCALAR.or_list(&TEXTS);
/// A list of texts that may repeat.
pub(super) const REPEATING: List = List::of(&TEXT);
pub(super) const LIST_OF_REPEATING: Shape = NO_SCALAR.or_list(&REPEATING);
pub(super) const TEXT_OR_LIST: Shape = TEXT.or_list(&TEXTS);

const PLAIN_OR_NULL: Shape = PLAIN.or_null();
const NAMED_PLAIN: Object = Object::named(not_empty, &PLAIN_OR_NULL);
/// `{key: value}` or `[key=value]`.
pub(super) const MAP_OR_LIST: Shape = LIST_OF_TEXTS.or_mapping(&NAMED_PLAIN);

const OPTIONS: Object = Object::named(not_empty, &NUMBER_OR_TEXT).ignoring_others();
/// Options of a driver.
pub(super) const DRIVER_OPTIONS: Shape = NO_SCALAR.or_mapping(&OPTIONS);

const TEXTS_BY_NAME: Object = Object::named(not_empty, &TEXT);
pub(super) const MAP_OF_TEXTS: Shape = NO_SCALAR.or_mapping(&TEXTS_BY_NAME);

pub(super) const COMMAND: Shape = TEXT.or_null().or_list(&REPEATING);

/// Names of services, networks, volumes and so on.
pub(super) fn is_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

pub(super) fn not_empty(key: &str) -> bool {
    !key.is_empty()
}
