//! Random numbers that nobody can guess.

use std::{fmt::Write as _, fs, io::Read as _};

use super::CliError;

/// 64 hexadecimal digits.
///
/// # Errors
///
/// The machine gives none.
pub(super) fn random() -> Result<String, CliError> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|e| CliError::failed("failed to get a random number from /dev/urandom").caused_by(&e))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    }))
}
