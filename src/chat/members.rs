//! Who is here, by name: where a view has names.

use crate::util::id_slab::ClientId;
use std::collections::{BTreeMap, HashMap};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// Characters of the longest name.
const LONGEST: usize = 24;
/// What names are that people do not choose.
const ANONYMOUS: &str = "anon";
/// What names may have beside letters and digits.
const PUNCTUATION: [char; 3] = ['_', '-', '.'];
/// Members whose memory is kept in any case.
const KEPT: usize = 256;
/// Bytes of names in a list, so that an answer stays a line; those who are left out are counted.
const LONGEST_LIST: usize = 2048;

/// Everyone here, each under a name that nobody else has, in whatever case.
#[derive(Debug, Default)]
pub struct Members {
    members: HashMap<ClientId, Person>,
    /// By [`folded`] name, in whose order they are listed.
    keys: BTreeMap<String, ClientId>,
    /// How many there ever were: the number of the last newcomer.
    last: u64,
    /// What [`list`](Self::list) tells, while it is true: who asks again and again costs little.
    list: Option<String>,
}

#[derive(Debug)]
struct Person {
    name: String,
    /// Whether the others know of them.
    is_announced: bool,
    /// Whether others have seen their name.
    has_spoken: bool,
}

/// Why nobody can have that name.
#[derive(Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is no name.
    Invalid,
    /// Somebody has it.
    Taken,
    /// It is like those that the server gives.
    Reserved,
}

impl NameError {
    /// What is told.
    pub fn told(&self, name: &str) -> String {
        match self {
            Self::Invalid => {
                format!(
                    "a name is of letters, digits, '_', '-' and '.', at most {LONGEST} of them: /nick alice"
                )
            }
            Self::Taken => format!("{name} is somebody else's name: choose another"),
            Self::Reserved => format!("names like {name} are given to newcomers: choose another"),
        }
    }
}

impl Members {
    /// A newcomer, under the next name of those that are never given again.
    pub fn join(&mut self, key: ClientId) {
        self.last += 1;
        self.list = None;
        let name = format!("{ANONYMOUS}{}", self.last);
        self.keys.insert(folded(&name), key);
        self.members.insert(key, Person { name, is_announced: false, has_spoken: false });
    }

    /// The name of one who is here, and else none.
    pub fn name(&self, key: ClientId) -> &str {
        self.members.get(&key).map_or("", |person| &person.name)
    }

    /// Who has that name.
    pub fn find(&self, name: &str) -> Option<ClientId> {
        self.keys.get(&folded(&normal(name)?)).copied()
    }

    /// Gives one who is here another name, in its normal form; returns the old one.
    ///
    /// # Errors
    /// Why it cannot be theirs; the old one stays.
    pub fn rename(&mut self, key: ClientId, name: &str) -> Result<String, NameError> {
        let name = normal(name).filter(|name| is_name(name)).ok_or(NameError::Invalid)?;
        let asked = folded(&name);
        if self.keys.get(&asked).is_some_and(|&other| other != key) {
            return Err(NameError::Taken);
        }
        let Some(person) = self.members.get_mut(&key) else { return Err(NameError::Invalid) };
        let had = folded(&person.name);
        if is_anonymous(&asked) && asked != had {
            return Err(NameError::Reserved);
        }
        self.list = None;
        self.keys.remove(&had);
        self.keys.insert(asked, key);
        Ok(std::mem::replace(&mut person.name, name))
    }

    /// Whether the others know of one who is here.
    pub fn is_announced(&self, key: ClientId) -> bool {
        self.members.get(&key).is_some_and(|person| person.is_announced)
    }

    /// How many are here.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// One who is here says something; the name.
    pub fn speak(&mut self, key: ClientId) -> &str {
        self.members.get_mut(&key).map_or("", |person| {
            person.has_spoken = true;
            &person.name
        })
    }

    /// Whether one who is here has said something.
    pub fn has_spoken(&self, key: ClientId) -> bool {
        self.members.get(&key).is_some_and(|person| person.has_spoken)
    }

    /// From now on the others know of one who is here; the name, if they did not.
    pub fn announce(&mut self, key: ClientId) -> Option<String> {
        let person = self.members.get_mut(&key).filter(|person| !person.is_announced)?;
        person.is_announced = true;
        Some(person.name.clone())
    }

    /// One has gone; the name, if the others knew of them.
    pub fn leave(&mut self, key: ClientId) -> Option<String> {
        let person = self.members.remove(&key)?;
        self.keys.remove(&folded(&person.name));
        self.list = None;
        Some(person.name).filter(|_| person.is_announced)
    }

    /// Whether much memory is kept that a crowd once took.
    pub fn has_slack(&self) -> bool {
        self.members.capacity() > 2 * KEPT && self.members.len() < self.members.capacity() / 4
    }

    /// Gives the memory that a crowd took back to the system.
    pub fn trim_memory(&mut self) {
        let kept = std::mem::take(&mut self.members).into_iter().collect::<Vec<_>>();
        self.keys.clear();
        self.list = None;
        for (key, person) in kept {
            // Anew, and so not where it stood among those of the clients.
            let name = person.name.as_str().to_owned();
            self.keys.insert(folded(&name), key);
            self.members.insert(key, Person { name, ..person });
        }
    }

    /// How many are here, and who, in the order of their names.
    pub fn list(&mut self) -> &str {
        let list = self.list.take().unwrap_or_else(|| self.make_list());
        self.list.insert(list)
    }

    fn make_list(&self) -> String {
        let count = self.members.len();
        let mut list = format!("{count} here");
        let mut listed = 0;
        for &key in self.keys.values() {
            let name = self.name(key);
            if list.len() + name.len() > LONGEST_LIST {
                break;
            }
            list.push_str(if listed == 0 { ": " } else { ", " });
            list.push_str(name);
            listed += 1;
        }
        if listed < count {
            list.push_str(&format!(" and {} more", count - listed));
        }
        list
    }
}

/// One form of all that differ in how they are encoded, and not in what they show (NFKC of Unicode's Annex
/// 15); none of what is too long for a name in any form, which is not worth the work.
fn normal(name: &str) -> Option<String> {
    // A letter may be written as itself and marks; and one may stand for as many as 18.
    let is_too_long = name.chars().nth(4 * LONGEST).is_some();
    (!is_too_long).then(|| name.nfkc().take(LONGEST + 1).collect())
}

/// Whether it can be a name: letters and digits of any script that can be seen, and `_ - .`.
fn is_name(name: &str) -> bool {
    let mut after_letter = false;
    let mut fits = |letter: char| {
        // Signs that stand beside a letter write vowels; those that stand on it or in it would mislead.
        let fits = if is_combining_mark(letter) {
            after_letter && letter.is_alphanumeric() && canonical_combining_class(letter) == 0
        } else {
            letter.is_alphanumeric() && !is_blank(letter) || PUNCTUATION.contains(&letter)
        };
        after_letter = fits && letter.is_alphanumeric();
        fits
    };
    !name.is_empty() && name.chars().count() <= LONGEST && name.chars().all(&mut fits)
}

/// Letters that show nothing: fillers of Hangul, and blanks among hieroglyphs.
const fn is_blank(letter: char) -> bool {
    matches!(letter, '\u{115F}' | '\u{1160}' | '\u{13441}' | '\u{13442}')
}

/// Whether a [`folded`] name is like those that the server gives.
fn is_anonymous(name: &str) -> bool {
    let without = name.replace(PUNCTUATION, "");
    without.strip_prefix(ANONYMOUS).is_some_and(|number| number.chars().all(char::is_numeric))
}

/// The same for all names that differ in case alone, each in its normal form: down, up and down again, for
/// letters that have more than one form of either.
fn folded(name: &str) -> String {
    name.to_lowercase().to_uppercase().to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize) -> (Members, Vec<ClientId>) {
        let mut members = Members::default();
        let keys = (0..count).map(ClientId::from_number).collect::<Vec<_>>();
        keys.iter().for_each(|&key| members.join(key));
        (members, keys)
    }

    #[test]
    fn newcomers_are_numbered_and_no_number_is_given_again() {
        let (mut members, keys) = members(3);
        assert_eq!(members.name(keys[2]), "anon3");
        members.leave(keys[2]);
        members.join(keys[2]);
        assert_eq!(members.name(keys[2]), "anon4");
        keys.iter().for_each(|&key| drop(members.leave(key)));
        members.join(keys[0]);
        assert_eq!(members.name(keys[0]), "anon5");
    }

    #[test]
    fn a_name_is_one_persons_in_whatever_case_until_they_leave_it() {
        let (mut members, keys) = members(2);
        assert_eq!(members.rename(keys[0], "Straße"), Ok("anon1".to_owned()));
        for taken in ["Straße", "STRASSE", "strasse", "straße", "straẞe", "STRAẞE"] {
            assert_eq!(members.rename(keys[1], taken), Err(NameError::Taken), "{taken}");
            assert_eq!(members.find(taken), Some(keys[0]), "{taken}");
        }
        assert_eq!(members.rename(keys[0], "STRASSE"), Ok("Straße".to_owned()), "one's own, in another case");
        assert_eq!(members.rename(keys[0], "bob"), Ok("STRASSE".to_owned()));
        assert_eq!(members.rename(keys[1], "strasse"), Ok("anon2".to_owned()));
        members.leave(keys[0]);
        assert_eq!(members.rename(keys[1], "BOB"), Ok("strasse".to_owned()));
        assert_eq!(members.find("anon2"), None);
    }

    #[test]
    fn what_shows_the_same_is_the_same_name() {
        let (mut members, keys) = members(2);
        for (one, other) in [
            ("\u{1F71}", "\u{3AC}"),
            ("\u{8C48}", "\u{F900}"),
            ("한", "\u{1112}\u{1161}\u{11AB}"),
            ("ﬁn", "fin"),
            ("é", "E\u{301}"),
        ] {
            assert!(members.rename(keys[0], one).is_ok(), "{one}");
            assert_eq!(members.rename(keys[1], other), Err(NameError::Taken), "{one} and {other}");
        }
    }

    #[test]
    fn a_name_has_letters_and_digits_of_any_script_and_nothing_that_could_mislead() {
        let (mut members, keys) = members(1);
        let longest = "ä".repeat(24);
        for fit in ["alice", "Ω-7", "名前", "a_b.c-d", "٣", "नाम", "นาม", &longest] {
            assert!(members.rename(keys[0], fit).is_ok(), "{fit}");
        }
        let too_long = "a".repeat(25);
        for unfit in [
            "",
            "a b",
            "𓑁",
            "bob𓑂",
            "\u{5B4}",
            "bob\u{5B4}",
            "a\u{363}",
            "\u{93E}",
            "<a>",
            "a>",
            "*",
            "a\tb",
            "a\u{202E}b",
            "a\u{FEFF}",
            "\u{1B}[1m",
            "a:",
            &too_long,
        ] {
            assert_eq!(members.rename(keys[0], unfit), Err(NameError::Invalid), "{unfit:?}");
        }
        for given in ["anon1", "anon99", "ANON5", "anon", "anon٣", "anon7.", "a-n_on7"] {
            assert_eq!(members.rename(keys[0], given), Err(NameError::Reserved), "{given}");
        }
        assert!(members.rename(keys[0], "anonymous").is_ok());
    }

    #[test]
    fn the_list_counts_all_and_names_as_many_as_fit_a_line() {
        let (mut members, keys) = members(3);
        members.rename(keys[2], "alice").expect("a name");
        assert_eq!(members.list(), "3 here: alice, anon1, anon2");
        let (mut clients, _) = self::members(5000);
        let list = clients.list();
        assert!(list.starts_with("5000 here: anon1, ") && list.len() <= LONGEST_LIST + 32, "{list}");
        let (named, more) = list.rsplit_once(" and ").expect("not all");
        let more = more.strip_suffix(" more").and_then(|more| more.parse::<usize>().ok()).expect("a number");
        assert_eq!(named.split(", ").count() + more, 5000);
    }

    #[test]
    fn one_is_announced_once_and_told_of_when_leaving_only_if_known() {
        let (mut members, keys) = members(2);
        assert_eq!(members.announce(keys[0]).as_deref(), Some("anon1"));
        assert_eq!(members.announce(keys[0]), None);
        assert_eq!(members.leave(keys[0]).as_deref(), Some("anon1"));
        assert_eq!(members.leave(keys[1]), None);
    }
}
