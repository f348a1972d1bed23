//! Who is in the room, by name. Used if any view has names.

use super::name::{ANONYMOUS, MAX_CHARS, fold_case, is_name, is_reserved, normalize};
use super::text::{INVALID_NAME, IS_RESERVED, IS_TAKEN};
use crate::util::id_slab::ClientId;
use crate::util::trim::{TrimMemory, is_mostly_unused};
use std::collections::{BTreeMap, HashMap};

/// Memory for this many members is always kept.
const MIN_RETAINED: usize = 256;
/// The most bytes of names in the list of members; the remaining names are only counted.
const MAX_LIST: usize = 2048;

/// The members, each under a name that no other member has, in any case.
#[derive(Debug, Default)]
pub struct Members {
    members: HashMap<ClientId, Member>,
    /// By case-folded name, in the order of the list.
    ids: BTreeMap<String, ClientId>,
    /// How many members have joined so far: the number of the last `anonN`.
    joined: u64,
    /// The names that a list shows, until one of them changes.
    listed: Option<Listed>,
}

/// The first names in alphabetical order. A list is cut, so that a join costs the same in a room of any size.
#[derive(Debug)]
struct Listed {
    /// The names, separated by `, `.
    names: String,
    /// Their number.
    count: usize,
    /// The key of the first name that is not listed; later ones do not matter.
    first_left_out: Option<String>,
    /// The limit of the list, in bytes.
    limit: usize,
}

impl Listed {
    /// Forgets the list if it has, or would have, the name with that key.
    fn forget(list: &mut Option<Self>, key: &str) {
        list.take_if(|list| list.first_left_out.as_deref().is_none_or(|left_out| key <= left_out));
    }
}

/// A number of clients and their names: `3 here: alice, anon1 and 1 more`.
pub fn list(here: usize, names: &str, more: usize) -> String {
    match (names, more) {
        ("", _) => format!("{here} here"),
        (names, 0) => format!("{here} here: {names}"),
        (names, more) => format!("{here} here: {names} and {more} more"),
    }
}

#[derive(Debug)]
struct Member {
    name: String,
    /// Whether its join was announced.
    is_announced: bool,
    /// Whether it has sent a message under its name.
    has_spoken: bool,
}

/// Why a client cannot have a name.
#[derive(Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is empty, too long, or has a character that names cannot have.
    Invalid,
    /// Another client has it.
    Taken,
    /// It looks like a name that the server gives, or like another word of the server.
    Reserved,
}

impl NameError {
    /// The error for the client that asked for `name`.
    pub fn message(&self, name: &str) -> String {
        match self {
            Self::Invalid => format!(
                "{INVALID_NAME}{name}\": use letters, digits, _ - and . (at most {MAX_CHARS} characters), for example /nick alice"
            ),
            Self::Taken => format!("the name \"{name}{IS_TAKEN}"),
            Self::Reserved => format!("the name \"{name}{IS_RESERVED}"),
        }
    }
}

impl Members {
    /// Adds a client under the next `anonN`; no number is used twice.
    pub fn join(&mut self, id: ClientId) {
        self.joined += 1;
        let name = format!("{ANONYMOUS}{}", self.joined);
        let key = fold_case(&name);
        Listed::forget(&mut self.listed, &key);
        self.ids.insert(key, id);
        self.members.insert(id, Member { name, is_announced: false, has_spoken: false });
    }

    /// The name of a member; empty for any other client.
    pub fn name(&self, id: ClientId) -> &str {
        self.members.get(&id).map_or("", |member| &member.name)
    }

    /// The member of that name.
    pub fn find(&self, name: &str) -> Option<ClientId> {
        self.ids.get(&fold_case(&normalize(name)?)).copied()
    }

    /// Gives a member another name, in its normal form; returns the old one.
    ///
    /// # Errors
    /// Why it cannot have that name; the old one stays.
    pub fn rename(&mut self, id: ClientId, name: &str) -> Result<String, NameError> {
        let name = normalize(name).filter(|name| is_name(name)).ok_or(NameError::Invalid)?;
        let new_key = fold_case(&name);
        if self.ids.get(&new_key).is_some_and(|&other| other != id) {
            return Err(NameError::Taken);
        }
        let Some(member) = self.members.get_mut(&id) else { return Err(NameError::Invalid) };
        let old_key = fold_case(&member.name);
        if is_reserved(&new_key) && new_key != old_key {
            return Err(NameError::Reserved);
        }
        Listed::forget(&mut self.listed, &old_key);
        Listed::forget(&mut self.listed, &new_key);
        self.ids.remove(&old_key);
        self.ids.insert(new_key, id);
        Ok(std::mem::replace(&mut member.name, name))
    }

    /// Whether the member's join was announced.
    pub fn is_announced(&self, id: ClientId) -> bool {
        self.members.get(&id).is_some_and(|member| member.is_announced)
    }

    /// The number of members.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Notes that a member sends a message under its name; returns the name.
    pub fn speak(&mut self, id: ClientId) -> &str {
        self.members.get_mut(&id).map_or("", |member| {
            member.has_spoken = true;
            &member.name
        })
    }

    /// Whether a member has sent a message.
    pub fn has_spoken(&self, id: ClientId) -> bool {
        self.members.get(&id).is_some_and(|member| member.has_spoken)
    }

    /// Notes that the member's join is announced; returns its name if that was not done before.
    pub fn announce(&mut self, id: ClientId) -> Option<String> {
        let member = self.members.get_mut(&id).filter(|member| !member.is_announced)?;
        member.is_announced = true;
        Some(member.name.clone())
    }

    /// Removes a member; returns its name if its join was announced.
    pub fn leave(&mut self, id: ClientId) -> Option<String> {
        let member = self.members.remove(&id)?;
        let key = fold_case(&member.name);
        self.ids.remove(&key);
        Listed::forget(&mut self.listed, &key);
        Some(member.name).filter(|_| member.is_announced)
    }

    /// The number of members, and their names in alphabetical order.
    pub fn list(&mut self) -> String {
        let here = self.count();
        let (names, more) = self.names(here);
        list(here, names, more)
    }

    /// The names of the members in alphabetical order, as many as fit into a list of `here` clients, and the number
    /// of the other members.
    pub fn names(&mut self, here: usize) -> (&str, usize) {
        let count = self.count();
        let limit = MAX_LIST - format!("{here} here").len();
        let kept = self.listed.take().filter(|listed| listed.limit == limit);
        let listed = kept.unwrap_or_else(|| self.make_list(limit));
        let listed = self.listed.insert(listed);
        (&listed.names, count - listed.count)
    }

    fn make_list(&self, limit: usize) -> Listed {
        let mut listed = Listed { names: String::new(), count: 0, first_left_out: None, limit };
        for (key, &id) in &self.ids {
            let (name, separator) = (self.name(id), ", ".len());
            if listed.count > 0 && listed.names.len() + separator + name.len() > limit {
                listed.first_left_out = Some(key.clone());
                break;
            }
            if listed.count > 0 {
                listed.names.push_str(", ");
            }
            listed.names.push_str(name);
            listed.count += 1;
        }
        listed
    }
}

impl TrimMemory for Members {
    fn has_slack(&self) -> bool {
        is_mostly_unused(self.members.len(), self.members.capacity(), MIN_RETAINED)
    }

    fn trim(&mut self) {
        let members = std::mem::take(&mut self.members).into_iter().collect::<Vec<_>>();
        self.ids.clear();
        self.listed = None;
        for (id, member) in members {
            // A new allocation: the old one may stand high in the heap, among those of clients that left.
            let name = member.name.as_str().to_owned();
            self.ids.insert(fold_case(&name), id);
            self.members.insert(id, Member { name, ..member });
        }
    }
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
    fn new_members_are_numbered_and_no_number_is_used_twice() {
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
    fn a_name_in_any_case_belongs_to_one_member_until_that_member_leaves_or_changes_it() {
        let (mut members, keys) = members(2);
        assert_eq!(members.rename(keys[0], "Straße"), Ok("anon1".to_owned()));
        for taken in ["Straße", "STRASSE", "strasse", "straße", "straẞe", "STRAẞE"] {
            assert_eq!(members.rename(keys[1], taken), Err(NameError::Taken), "{taken}");
            assert_eq!(members.find(taken), Some(keys[0]), "{taken}");
        }
        assert_eq!(
            members.rename(keys[0], "STRASSE"),
            Ok("Straße".to_owned()),
            "its own name, in another case"
        );
        assert_eq!(members.rename(keys[0], "bob"), Ok("STRASSE".to_owned()));
        assert_eq!(members.rename(keys[1], "strasse"), Ok("anon2".to_owned()));
        members.leave(keys[0]);
        assert_eq!(members.rename(keys[1], "BOB"), Ok("strasse".to_owned()));
        assert_eq!(members.find("anon2"), None);
    }

    #[test]
    fn names_that_look_the_same_are_the_same_name() {
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
        for fit in ["alice", "Ω-7", "名前", "a_b.c-d", "x٣", "नाम", "นาม", &longest] {
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
    }

    #[test]
    fn names_that_make_a_notice_ambiguous_are_reserved() {
        let (mut members, keys) = members(1);
        members.rename(keys[0], "bob").expect("a name");
        for given in ["anon1", "anon99", "ANON5", "anon", "anon٣", "anon7.", "a-n_on7"] {
            assert_eq!(members.rename(keys[0], given), Err(NameError::Reserved), "{given}");
        }
        for word in [
            "you",
            "You",
            "ＹＯＵ",
            "private",
            "SERVER",
            "ſerver",
            "everyone",
            "here",
            "here.",
            "-you-",
            "y_ou",
        ] {
            assert_eq!(members.rename(keys[0], word), Err(NameError::Reserved), "{word}");
        }
        for number in ["0", "7", "42", "٣", "४२", "１２", "1.2", "2-3", "_1_", "²", "½"] {
            let error = members.rename(keys[0], number).expect_err("reserved");
            // A fraction has a character that names cannot have.
            assert_eq!(error == NameError::Reserved, number != "½", "{number}");
        }
        for fit in ["anonymous", "yours", "your", "server1", "3d", "4.you", "nowhere", "三"] {
            assert!(members.rename(keys[0], fit).is_ok(), "{fit}");
        }
    }

    #[test]
    fn the_list_counts_all_members_and_names_as_many_as_fit() {
        let (mut members, keys) = members(3);
        members.rename(keys[2], "alice").expect("a name");
        assert_eq!(members.list(), "3 here: alice, anon1, anon2");
        let (mut many, _) = self::members(5000);
        let list = many.list();
        let list = list.as_str();
        assert!(list.starts_with("5000 here: anon1, ") && list.len() <= MAX_LIST + 32, "{list}");
        let (named, more) = list.rsplit_once(" and ").expect("not all");
        let more = more.strip_suffix(" more").and_then(|more| more.parse::<usize>().ok()).expect("a number");
        assert_eq!(named.split(", ").count() + more, 5000);
    }

    #[test]
    fn the_list_is_the_same_whether_it_was_kept_or_not() {
        let (mut members, mut keys) = members(400);
        let check = |members: &mut Members| {
            let kept = members.list();
            members.listed = None;
            assert_eq!(members.list(), kept);
        };
        check(&mut members);
        for number in 0..600 {
            let key = keys[number * 7 % keys.len()];
            match number % 6 {
                0 | 1 => {
                    keys.push(ClientId::from_number(1000 + number));
                    members.join(ClientId::from_number(1000 + number));
                }
                2 => drop(members.leave(key)),
                3 => drop(members.rename(key, &format!("a{number}"))),
                4 => drop(members.rename(key, &format!("z{number}"))),
                _ => drop(members.rename(key, &format!("anon1{}", "0".repeat(number % 9)))),
            }
            check(&mut members);
        }
    }

    #[test]
    fn a_join_of_a_name_that_the_list_does_not_show_keeps_the_list() {
        let (mut members, _) = members(1200);
        members.names(1201);
        members.join(ClientId::from_number(9999));
        assert!(members.listed.is_some());
        members.names(1202);
        assert!(members.listed.as_ref().is_some_and(|listed| listed.count < 300));
    }

    #[test]
    fn a_join_is_announced_once_and_a_leave_only_if_the_join_was_announced() {
        let (mut members, keys) = members(2);
        assert_eq!(members.announce(keys[0]).as_deref(), Some("anon1"));
        assert_eq!(members.announce(keys[0]), None);
        assert_eq!(members.leave(keys[0]).as_deref(), Some("anon1"));
        assert_eq!(members.leave(keys[1]), None);
    }
}
