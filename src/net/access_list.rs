//! The access list: which networks may come in.

use crate::net::cidr::Cidr;
use crate::util::quoted::quoted;
use crate::util::small_file;
use crate::wire::escape::escape;
use std::net::IpAddr;
use std::path::Path;

/// The most rules. At each accept all of them may be compared, one after the other.
pub const MAX_RULES: usize = 10_000;
/// The most bytes of the file: 100 for each rule, for comments too.
pub const MAX_BYTES: usize = 1_000_000;

/// Some editors write this before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Rules that allow or deny networks. Without any rule all addresses are allowed.
#[derive(Debug, Default)]
pub struct AccessList {
    rules: Vec<Rule>,
    has_allow: bool,
}

#[derive(Debug)]
struct Rule {
    is_allow: bool,
    network: Cidr,
}

impl AccessList {
    /// Reads the list from a file of at most [`MAX_BYTES`] bytes.
    ///
    /// # Errors
    /// Why the file cannot be read, or the first wrong line; the path is not named.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::parse(&small_file::read(path, MAX_BYTES)?)
    }

    /// Reads at most [`MAX_RULES`] rules, one per line: `allow CIDR`, `deny CIDR`, `# comment`.
    ///
    /// # Errors
    /// The number and the text of the first wrong line, and what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut list = Self::default();
        for (line, number) in text.split(|&byte| byte == b'\n').zip(1..) {
            let line = line.trim_ascii();
            let wrong =
                |why| format!("line {number}: {}: {why}", quoted(&String::from_utf8_lossy(&escape(line))));
            let Some(rule) = Rule::parse(line).map_err(wrong)? else { continue };
            if list.rules.len() == MAX_RULES {
                return Err(wrong(format!("there may be at most {MAX_RULES} rules")));
            }
            list.has_allow |= rule.is_allow;
            list.rules.push(rule);
        }
        list.rules.shrink_to_fit();
        Ok(list)
    }

    /// Whether a client with that address may come in: the first rule with its network decides. If there is none, the
    /// client may come in unless there is any `allow`.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let first = self.rules.iter().find(|rule| rule.network.contains(address));
        first.map_or(!self.has_allow, |rule| rule.is_allow)
    }

    /// The number of rules.
    pub const fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are no rules.
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Rule {
    /// `None` if the line has only blanks and a comment.
    fn parse(line: &[u8]) -> Result<Option<Self>, String> {
        let line = std::str::from_utf8(line).map_err(|_| "must be UTF-8 text")?;
        let (rule, _comment) = line.split_once('#').unwrap_or((line, ""));
        let mut words = rule.split_ascii_whitespace();
        let (verb, network, rest) = (words.next(), words.next(), words.next());
        let is_allow = match verb {
            None => return Ok(None),
            Some("allow") => true,
            Some("deny") => false,
            Some(_) => return Err(Self::FORM.to_owned()),
        };
        let (Some(network), None) = (network, rest) else { return Err(Self::FORM.to_owned()) };
        Ok(Some(Self { is_allow, network: Cidr::parse(network)? }))
    }

    const FORM: &str = "must be allow or deny and a network";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(text: &str) -> AccessList {
        AccessList::parse(text.as_bytes()).unwrap_or_else(|why| panic!("{text:?}: {why}"))
    }

    #[test]
    fn the_first_rule_with_the_address_decides_and_without_one_any_allow_keeps_it_out() {
        for (list, allowed, denied) in [
            ("", &["10.0.0.1", "::1"][..], &[][..]),
            ("deny 10.0.0.0/8", &["11.0.0.1", "::1"], &["10.0.0.1", "::ffff:10.0.0.1"]),
            ("allow 10.0.0.0/8", &["10.0.0.1", "::ffff:10.0.0.1"], &["11.0.0.1", "::1"]),
            ("deny 10.0.0.7\nallow 10.0.0.0/8", &["10.0.0.8"], &["10.0.0.7", "192.0.2.1"]),
            ("allow 10.0.0.0/8\ndeny 10.0.0.7", &["10.0.0.7", "10.0.0.8"], &["192.0.2.1"]),
            ("deny 2001:db8::/32\nallow ::/0", &["2001:db9::1", "::1"], &["2001:db8::1", "10.0.0.1"]),
            ("deny 0.0.0.0/0", &["::1"], &["10.0.0.1", "::ffff:10.0.0.1"]),
            ("deny ::ffff:10.0.0.0/104", &["11.0.0.1"], &["10.0.0.1", "::ffff:10.0.0.1"]),
        ] {
            let list_of = parsed(list);
            for (addresses, is_allowed) in [(allowed, true), (denied, false)] {
                for address in addresses {
                    assert_eq!(
                        list_of.allows(address.parse().expect(address)),
                        is_allowed,
                        "{list:?}: {address}"
                    );
                }
            }
        }
    }

    #[test]
    fn comments_blanks_empty_lines_and_either_line_end_are_understood() {
        for (text, rules) in [
            ("", 0),
            ("\n\r\n  \t\n", 0),
            ("# all of the office\n  # more # and more", 0),
            ("deny 10.0.0.0/8", 1),
            ("deny 10.0.0.0/8\r\n\r\nallow ::1\r\n", 2),
            ("\tdeny \t 10.0.0.0/8  # they know why\n#deny ::1\nallow ::1#me", 2),
            ("\u{feff}deny 10.0.0.0/8\n", 1),
        ] {
            let list = parsed(text);
            assert_eq!((list.len(), list.is_empty()), (rules, rules == 0), "{text:?}");
        }
    }

    #[test]
    fn an_error_names_the_line_quotes_it_and_says_what_is_wrong() {
        for (text, error) in [
            (
                &b"# rules\n\npermit 10.0.0.0/8\n"[..],
                "line 3: \"permit 10.0.0.0/8\": must be allow or deny and a network",
            ),
            (b"Deny ::1", "line 1: \"Deny ::1\": must be allow or deny and a network"),
            (b"10.0.0.0/8", "line 1: \"10.0.0.0/8\": must be allow or deny and a network"),
            (b"deny", "line 1: \"deny\": must be allow or deny and a network"),
            (b"deny # ::1", "line 1: \"deny # ::1\": must be allow or deny and a network"),
            (b"deny ::1 ::2", "line 1: \"deny ::1 ::2\": must be allow or deny and a network"),
            (
                b"deny ::1\r\ndeny ::1\rdeny ::2",
                "line 2: \"deny ::1\\x0Ddeny ::2\": must be allow or deny and a network",
            ),
            (
                b"allow 10.0.0.1/8",
                "line 1: \"allow 10.0.0.1/8\": the address has bits after the first 8: write 10.0.0.0/8",
            ),
            (b"allow 10.0.0.0/33", "line 1: \"allow 10.0.0.0/33\": the number after / must be from 0 to 32"),
            (b"deny ::1\n# caf\xE9\n", "line 2: \"# caf\\xE9\": must be UTF-8 text"),
            (b"\xFF\xFEd\0e\0", "line 1: \"\\xFF\\xFEd\\x00e\\x00\": must be UTF-8 text"),
            (b"de\x1B[2Jny ::1", "line 1: \"de\\x1B[2Jny ::1\": must be allow or deny and a network"),
        ] {
            let refusal = AccessList::parse(text).expect_err(error);
            assert_eq!(refusal, error);
        }
        let long = AccessList::parse("x".repeat(5000).as_bytes()).expect_err("no rule");
        assert!(long.len() < 200 && long.contains("xx…\": must be"), "{long}");
    }

    #[test]
    fn a_list_has_at_most_ten_thousand_rules() {
        let full = "deny 10.0.0.0/8\n".repeat(MAX_RULES);
        assert_eq!(parsed(&full).len(), MAX_RULES);
        assert_eq!(parsed(&(full.clone() + "# and a comment\n")).len(), MAX_RULES);
        let refusal = AccessList::parse((full + "\nallow ::1").as_bytes()).expect_err("too many rules");
        assert_eq!(refusal, "line 10002: \"allow ::1\": there may be at most 10000 rules");
    }
}
