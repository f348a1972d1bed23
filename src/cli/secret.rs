//! A password from a file, for the programs that connect to a server.

use crate::util::os_error;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

/// The longest password in bytes.
pub const MAX_BYTES: usize = 1024;

/// A password, which no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Takes one line without its end.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn from_line(line: &[u8]) -> Result<Self, String> {
        match line.len() {
            0 => Err("the first line is empty: it must be the password".to_owned()),
            1..=MAX_BYTES => Ok(Self(line.into())),
            _ => Err(format!("the first line is longer than {MAX_BYTES} bytes: it must be the password")),
        }
    }

    /// Reads the first line of the file at `path`, without its line end: LF or CR LF.
    ///
    /// # Errors
    /// Why there is no password.
    pub fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| os_error::text(&error))?;
        let mut line = Vec::new();
        // The line end is up to two bytes, and one byte more shows that the line is too long.
        let most = MAX_BYTES as u64 + 3;
        let read = BufReader::new(file.take(most)).read_until(b'\n', &mut line);
        read.map_err(|error| os_error::text(&error))?;
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        Self::from_line(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Returns the bytes of the password.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line_of_the_file_without_its_end() {
        let path = std::env::temp_dir().join(format!("hubbub-secret-{}", std::process::id()));
        let longest = "x".repeat(MAX_BYTES);
        let too_long = format!("{longest}x");
        for (text, expected) in [
            ("secret\n", Ok("secret")),
            ("secret", Ok("secret")),
            (" a b \r\nmore\n", Ok(" a b ")),
            (&longest, Ok(&*longest)),
            (&format!("{longest}\r\n"), Ok(&longest)),
            (&too_long, Err("longer than 1024 bytes")),
            (&format!("{too_long}\nmore"), Err("longer than 1024 bytes")),
            ("", Err("is empty")),
            ("\nsecret\n", Err("is empty")),
        ] {
            std::fs::write(&path, text).expect("a file");
            let read = Secret::read(&path);
            match expected {
                Ok(password) => assert_eq!(read.expect(text).bytes(), password.as_bytes()),
                Err(why) => {
                    let error = read.expect_err(text);
                    assert!(error.contains(why), "{error}");
                }
            }
        }
        std::fs::remove_file(&path).expect("the file");
        assert_eq!(Secret::read(&path), Err("No such file or directory".to_owned()));
    }
}
