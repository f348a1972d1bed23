//! The password that newcomers must send.

use crate::util::small_file;
use std::fmt;
use std::hint::black_box;
use std::path::Path;

/// The longest password in bytes. It has to fit a line.
pub const MAX_LENGTH: usize = 1024;
/// The most bytes of the file, of which only the first line counts.
const MAX_BYTES: usize = 64 * 1024;

/// A password. Its text is never shown.
#[derive(Clone)]
pub struct Password {
    padded: Box<Padded>,
    length: usize,
}

/// Zeros follow the password, so that the time of a comparison does not tell its length.
type Padded = [u8; MAX_LENGTH];

impl Password {
    /// Reads the first line of a file, without its line end: LF or CR LF.
    ///
    /// # Errors
    /// Why the file cannot be read, or what is wrong with the line; neither the path nor the line is named.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::parse(&small_file::read(path, MAX_BYTES)?)
    }

    /// Reads the first line of a file's contents: text of 1 to [`MAX_LENGTH`] bytes.
    ///
    /// A byte order mark is refused, because nobody could see why the password does not match.
    ///
    /// # Errors
    /// What is wrong with the line, without its text.
    pub fn parse(contents: &[u8]) -> Result<Self, String> {
        let line = match contents.iter().position(|&byte| byte == b'\n') {
            Some(end) => contents[..end].strip_suffix(b"\r").unwrap_or(&contents[..end]),
            None => contents,
        };
        if line.is_empty() || line.len() > MAX_LENGTH {
            return Err(format!("the first line must be a password of 1 to {MAX_LENGTH} bytes"));
        }
        let is_hidden =
            |character: char| character == '\u{feff}' || character != '\t' && character.is_control();
        if !std::str::from_utf8(line).is_ok_and(|text| !text.contains(is_hidden)) {
            return Err("the first line must be UTF-8 text without control characters or a byte order mark"
                .to_owned());
        }
        Ok(Self { padded: Box::new(padded(line)), length: line.len() })
    }

    /// Whether `given` is the password. The time depends on the length of `given` only.
    pub fn matches(&self, given: &[u8]) -> bool {
        let mut difference = self.length ^ given.len();
        for (byte, expected) in padded(given).iter().zip(self.padded.iter()) {
            // The compiler knows nothing about the value, so it cannot end the loop at the first difference.
            difference = black_box(difference | usize::from(byte ^ expected));
        }
        difference == 0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The bytes, cut or followed by zeros.
fn padded(bytes: &[u8]) -> Padded {
    let mut padded = [0; MAX_LENGTH];
    let length = bytes.len().min(MAX_LENGTH);
    padded[..length].copy_from_slice(&bytes[..length]);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(contents: &[u8]) -> Password {
        Password::parse(contents).unwrap_or_else(|why| panic!("{}: {why}", contents.escape_ascii()))
    }

    #[test]
    fn the_first_line_is_the_password_without_its_line_end() {
        let longest = [b'x'; MAX_LENGTH];
        for (contents, expected) in [
            (&b"open sesame"[..], &b"open sesame"[..]),
            (b"open sesame\n", b"open sesame"),
            (b"open sesame\r\n", b"open sesame"),
            (b"open sesame\nthe rest\0\xFF", b"open sesame"),
            (b" # both\tends \n", b" # both\tends "),
            ("żółw\n".as_bytes(), "żółw".as_bytes()),
            (b"x", b"x"),
            (&longest, &longest),
            (&[&longest[..], b"\r\n"].concat(), &longest),
        ] {
            assert!(password(contents).matches(expected), "{}", contents.escape_ascii());
        }
    }

    #[test]
    fn nothing_but_the_password_matches() {
        let longest = [b'x'; MAX_LENGTH];
        for (expected, wrong) in [
            (
                &b"sesame"[..],
                &[&b""[..], b"s", b"sesam", b"sesame ", b"sesame\0", b"Sesame", b"sesamf", b"\xF3esame"][..],
            ),
            (b"x", &[b"", b"y", b"\0", b"xx"]),
            (
                &longest,
                &[&longest[1..], &[b'x'; MAX_LENGTH + 1], &[b'x'; MAX_LENGTH + 256], &[b'y'; MAX_LENGTH]],
            ),
        ] {
            let password = password(expected);
            assert!(password.matches(expected));
            for given in wrong {
                assert!(!password.matches(given), "{} and {}", expected.escape_ascii(), given.escape_ascii());
            }
        }
        // Each bit of each byte counts.
        for (at, bit) in (0..MAX_LENGTH).flat_map(|at| (0..8).map(move |bit| (at, bit))).step_by(61) {
            let mut given = longest;
            given[at] ^= 1 << bit;
            assert!(!password(&longest).matches(&given), "bit {bit} of byte {at}");
        }
    }

    #[test]
    fn a_line_that_nobody_could_send_is_refused_and_not_shown() {
        let length = "the first line must be a password of 1 to 1024 bytes";
        let text = "the first line must be UTF-8 text without control characters or a byte order mark";
        for (contents, error) in [
            (&b""[..], length),
            (b"\n", length),
            (b"\r\nsesame\n", length),
            (&[b'x'; MAX_LENGTH + 1], length),
            (b"sesame\r", text),
            (b"ses\rame\n", text),
            (b"ses\0ame\n", text),
            (b"sesame\x7F", text),
            (b"\xFFsesame", text),
            (b"\xFF\xFEs\0e\0", text),
            ("\u{feff}sesame".as_bytes(), text),
            ("ses\u{85}ame".as_bytes(), text),
        ] {
            assert_eq!(
                Password::parse(contents).expect_err("a wrong file"),
                error,
                "{}",
                contents.escape_ascii()
            );
        }
    }

    #[test]
    fn the_password_is_not_in_its_debug_text() {
        assert_eq!(format!("{:?}", password(b"sesame")), "Password");
    }
}
