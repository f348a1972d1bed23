//! `--help`, the manual pages, the README and the completions of the shells agree with each other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, Folder, Server, eventually, run_to_end};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const PROGRAMS: [(&str, &str); 3] = [
    ("hubbub", env!("CARGO_BIN_EXE_hubbub")),
    ("hubbub-client", env!("CARGO_BIN_EXE_hubbub-client")),
    ("hubbub-load", env!("CARGO_BIN_EXE_hubbub-load")),
];

/// Options of the server that other programs rely on: short, long, argument and default; empty if there is none.
const CONTRACT: [(&str, &str, &str, &str); 18] = [
    ("l", "listen", "[VIEW:]ADDR", "plain:127.0.0.1:9090 and named:127.0.0.1:9091"),
    ("w", "welcome", "TEXT", "Welcome to the anonymous chat room."),
    ("", "history", "LINES", "0"),
    ("m", "max-clients", "N", "from ulimit -n"),
    ("", "max-per-ip", "N", "0"),
    ("", "max-line", "BYTES", "8192"),
    ("", "feed", "BYTES", "1M"),
    ("", "rate", "LINES", "0"),
    ("", "stall-timeout", "SECS", "5"),
    ("", "idle-timeout", "SECS", "0"),
    ("", "flush-after", "MS", "0"),
    ("", "raw", "", ""),
    ("", "report-every", "SECS", "5"),
    ("", "log-file", "FILE", ""),
    ("v", "verbose", "", ""),
    ("q", "quiet", "", ""),
    ("h", "help", "", ""),
    ("V", "version", "", ""),
];

/// Further options of the server.
const ADDITIONS: [&str; 7] =
    ["unix-mode", "dead-after", "access", "proxy-from", "password-file", "tls-cert", "tls-key"];

/// Options of other programs that the README mentions.
const FOREIGN_OPTIONS: [&str; 4] = ["broker", "now", "release", "unbuffered"];

/// Most lines of the README, and most columns of one of its lines.
const README_LINES: usize = 170;
const README_COLUMNS: usize = 120;
/// Most columns of a line of `--help`.
const HELP_COLUMNS: usize = 80;

/// The manual page for operators, and the options of other programs that it mentions.
const OPERATORS_PAGE: &str = "scripts/man/hubbub.7";
const OPERATORS_FOREIGN_OPTIONS: [&str; 11] = [
    "deploy-hook",
    "dry-run",
    "features",
    "no-default-features",
    "now",
    "release",
    "remove",
    "ssl",
    "ssl-trustfile",
    "ssl-verify",
    "system",
];

/// Beginnings of command lines, and the completions of the last word that each shell offers.
const VALUES: [(&str, &[&str]); 7] = [
    ("hubbub --fe", &["--feed"]),
    ("hubbub --listen na", &["named+tls:", "named:"]),
    ("hubbub --log-file ro", &["room.log"]),
    ("hubbub --unix-mode 066", &["0660", "0666"]),
    ("hubbub-load --protocol ", &["lines", "nats", "redis"]),
    ("hubbub-load --verify --no", &[]),
    ("hubbub-client --send un", &[]),
];

/// An option, as the documentation writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Choice {
    long: String,
    short: String,
    argument: String,
}

/// An option and its description.
#[derive(Debug)]
struct Entry {
    choice: Choice,
    text: String,
}

impl Choice {
    /// Reads `-s, --long ARGUMENT`. A word with a lower-case letter is not an argument.
    fn read(tag: &str) -> Option<Self> {
        let (short, rest) = match tag.strip_prefix("--") {
            Some(rest) => ("", rest),
            None => tag.strip_prefix('-')?.split_once(", --")?,
        };
        let mut words = rest.split(' ');
        let long = words.next()?.to_owned();
        let is_argument = |word: &&str| !word.contains(|letter: char| letter.is_ascii_lowercase());
        let argument = words.next().filter(is_argument).unwrap_or_default().to_owned();
        Some(Self { long, short: short.to_owned(), argument })
    }

    /// Its short and long form, and whether it takes a value.
    fn spellings(&self) -> Vec<(String, bool)> {
        let short = (!self.short.is_empty()).then(|| format!("-{}", self.short));
        let all = short.into_iter().chain([format!("--{}", self.long)]);
        all.map(|spelling| (spelling, !self.argument.is_empty())).collect()
    }
}

/// The options that `lines` describe. Each begins at one of the `indents` and ends at an empty line.
fn entries<'a>(lines: impl Iterator<Item = &'a str>, indents: &[usize]) -> Vec<Entry> {
    let mut entries = Vec::<Entry>::new();
    let mut is_open = false;
    for line in lines {
        let text = line.trim_start();
        let choice = indents.contains(&(line.len() - text.len())).then(|| Choice::read(text)).flatten();
        if let Some(choice) = choice {
            entries.push(Entry { choice, text: text.to_owned() });
            is_open = true;
        } else if text.is_empty() {
            is_open = false;
        } else if let Some(entry) = entries.last_mut().filter(|_| is_open) {
            entry.text.push('\n');
            entry.text.push_str(text);
        }
    }
    entries
}

fn choices(entries: &[Entry]) -> Vec<Choice> {
    let mut choices = entries.iter().map(|entry| entry.choice.clone()).collect::<Vec<_>>();
    choices.sort();
    choices
}

/// The default of an option: the brackets at the end of a line of its description in `--help`.
fn default(entry: &Entry) -> Option<&str> {
    entry.text.lines().find_map(|line| {
        let (before, default) = line.strip_suffix(']')?.rsplit_once('[')?;
        (before.is_empty() || before.ends_with(' ')).then_some(default)
    })
}

#[track_caller]
fn succeeds(command: Command) -> String {
    let shown = format!("{command:?}");
    let (status, out, error) = run_to_end(command);
    assert_eq!((status, error.as_str()), (Some(0), ""), "{shown}");
    out
}

fn help(path: &str) -> String {
    let mut command = Command::new(path);
    command.arg("--help");
    succeeds(command)
}

fn help_entries(path: &str) -> Vec<Entry> {
    let found = entries(help(path).lines(), &[2, 6]);
    assert!(found.len() > 5, "{found:?}");
    found
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

/// A new empty folder; tests run in parallel.
fn new_folder() -> Folder {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    Folder::new(&format!("manual-{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// A new folder with a file and a folder, for completions.
fn folder_with_files() -> Folder {
    let folder = new_folder();
    std::fs::write(folder.path("room.log"), "").unwrap();
    std::fs::create_dir(folder.path("other")).unwrap();
    folder
}

/// A program without the settings of the user and of this machine. Fails if it is not installed.
#[track_caller]
fn tool(name: &str, folder: &Folder) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_installed = std::env::split_paths(&path).any(|place| place.join(name).is_file());
    assert!(is_installed, "this test needs {name}: install it");
    let mut command = Command::new(name);
    let home = folder.path("");
    command.env_clear().env("PATH", path).env("HOME", &home).current_dir(home);
    command.env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
    command
}

fn page_of(program: &str) -> String {
    format!("scripts/man/{program}.1")
}

/// A manual page as `man` shows it at that width. Fails if `man` prints a warning.
#[track_caller]
fn rendered(page: &str, columns: &str) -> String {
    let folder = new_folder();
    let mut man = tool("man", &folder);
    man.env("MANWIDTH", columns).args(["--warnings", "-E", "UTF-8", "-l"]).arg(file(page));
    succeeds(man)
}

/// The lines of a rendered page under that heading, without blank lines.
fn section(page: &str, heading: &str) -> Vec<String> {
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let is_inside = |line: &&str| line.is_empty() || line.starts_with(' ');
    lines.take_while(is_inside).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn manual_entries(program: &str) -> Vec<Entry> {
    let options = section(&rendered(&page_of(program), "9999"), "OPTIONS");
    entries(options.iter().map(String::as_str), &[7])
}

#[test]
fn the_manual_has_each_option_of_help_once_and_no_other() {
    for (program, path) in PROGRAMS {
        assert_eq!(choices(&manual_entries(program)), choices(&help_entries(path)), "{program}");
    }
}

#[test]
fn the_manual_has_the_defaults_of_help() {
    const BEFORE: &str = "The default is ";
    for (program, path) in PROGRAMS {
        let manual = manual_entries(program);
        for entry in help_entries(path) {
            let same = manual.iter().find(|other| other.choice == entry.choice).unwrap();
            let after = same.text.split_once(BEFORE).map(|(_, after)| after);
            match (default(&entry), after) {
                (None, None) => {}
                (Some(default), Some(after)) => {
                    let rest = after.strip_prefix(default.trim_end_matches('.'));
                    let is_whole = rest.is_some_and(|rest| rest.starts_with(['.', ',', ';']));
                    assert!(is_whole, "{program} --{}: [{default}], but {after}", entry.choice.long);
                }
                other => panic!("{program} --{}: {other:?}", entry.choice.long),
            }
        }
    }
}

#[test]
fn help_has_each_promised_option_with_its_default() {
    let found = help_entries(PROGRAMS[0].1);
    for (short, long, argument, expected) in CONTRACT {
        let choice = Choice { long: long.into(), short: short.into(), argument: argument.into() };
        let entry = found.iter().find(|entry| entry.choice == choice);
        let entry = entry.unwrap_or_else(|| panic!("no {choice:?} in --help"));
        assert_eq!(default(entry).unwrap_or_default(), expected, "--{long}");
    }
    let is_promised = |long: &str| CONTRACT.iter().any(|promised| promised.1 == long);
    let added = found.iter().map(|entry| entry.choice.long.as_str()).filter(|long| !is_promised(long));
    assert_eq!(added.collect::<Vec<_>>(), ADDITIONS, "additions");
}

#[test]
fn no_line_of_help_is_too_long() {
    for (program, path) in PROGRAMS {
        for line in help(path).lines() {
            assert!(line.chars().count() <= HELP_COLUMNS, "{program}: {line}");
        }
    }
}

#[test]
fn the_readme_is_short_and_no_line_of_it_is_too_long() {
    let readme = text_of("README.md");
    let count = readme.lines().count();
    assert!(count <= README_LINES, "README.md has {count} lines, more than {README_LINES}");
    for line in readme.lines() {
        assert!(line.chars().count() <= README_COLUMNS, "more than {README_COLUMNS} columns: {line}");
    }
}

#[test]
fn the_readme_has_ten_options_with_the_arguments_and_defaults_of_help() {
    let readme = text_of("README.md");
    let (_, table) = readme.split_once("| option | meaning | default |\n|---|---|---|\n").unwrap();
    let rows = table.lines().map_while(|line| line.strip_prefix("| `")?.strip_suffix('|'));
    let entries = help_entries(PROGRAMS[0].1);
    let mut found = BTreeSet::new();
    for row in rows {
        let (option, cells) = row.split_once('`').unwrap();
        let choice = Choice::read(option).unwrap();
        let entry = entries.iter().find(|entry| entry.choice == choice);
        let entry = entry.unwrap_or_else(|| panic!("--help has no {option}"));
        let cell = cells.rsplit('|').next().unwrap().trim();
        assert_eq!(default(entry).unwrap_or_default(), cell, "the default of {option}");
        found.insert(choice);
    }
    assert_eq!(found.len(), 10, "{found:?}");
}

#[test]
fn the_readme_and_the_manual_mention_no_unknown_option() {
    let all = PROGRAMS.iter().flat_map(|(_, path)| choices(&help_entries(path)));
    let known = all.map(|choice| choice.long).collect::<BTreeSet<_>>();
    let readme = text_of("README.md");
    let mentioned = long_options(&readme);
    for long in &mentioned {
        let is_known = known.contains(*long) || FOREIGN_OPTIONS.contains(long);
        assert!(is_known, "no program has --{long}; if it is another program's, add it to FOREIGN_OPTIONS");
    }
    for long in FOREIGN_OPTIONS {
        assert!(mentioned.contains(&long), "FOREIGN_OPTIONS has --{long}, but the README does not");
    }
    let operators = rendered(OPERATORS_PAGE, "9999");
    for long in long_options(&operators) {
        let is_known = known.contains(long) || OPERATORS_FOREIGN_OPTIONS.contains(&long);
        assert!(is_known, "{OPERATORS_PAGE}: no program has --{long}");
    }
}

/// Each `--word` in `text`, without its dashes.
fn long_options(text: &str) -> Vec<&str> {
    let is_inside = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let mut found = Vec::new();
    for (at, _) in text.match_indices("--") {
        let before = text[..at].chars().next_back().unwrap_or(' ');
        let after = &text[at + 2..];
        let word = &after[..after.find(|letter| !is_inside(letter)).unwrap_or(after.len())];
        if !before.is_alphanumeric()
            && before != '-'
            && word.starts_with(|first: char| first.is_ascii_lowercase())
        {
            found.push(word);
        }
    }
    found
}

#[test]
fn man_shows_each_page_without_a_warning() {
    const COMMANDS: &[&str] =
        &["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"];
    const OPERATORS: &[&str] =
        &["NAME", "SYSTEMD", "IN PUBLIC", "ADMISSION", "TLS", "PROXIES", "MEMORY", "LIMITS", "SEE ALSO"];
    let pages = PROGRAMS.map(|(program, _)| (page_of(program), COMMANDS));
    for (page, headings) in pages.into_iter().chain([(OPERATORS_PAGE.to_owned(), OPERATORS)]) {
        let text = rendered(&page, "80");
        for line in text.lines() {
            let is_macro = |rest: &str| rest.starts_with(|first: char| first.is_ascii_uppercase());
            assert!(!line.trim_start().strip_prefix('.').is_some_and(is_macro), "{page}: {line}");
            assert!(line.chars().count() <= 80 && !line.contains("\\f"), "{page}: {line}");
        }
        // groff does not warn about an unknown font.
        let fonts = text_of(&page).split("\\f").skip(1).all(|rest| rest.starts_with(['B', 'I', 'R', 'P']));
        assert!(fonts, "{page} uses an unknown font");
        for heading in headings {
            assert!(!section(&text, heading).is_empty(), "{page} has no {heading}");
        }
        let version = format!("hubbub {} ", env!("CARGO_PKG_VERSION"));
        assert!(text.lines().last().unwrap().starts_with(&version), "{page}");
    }
}

#[test]
fn an_example_of_the_manual_can_be_copied_and_has_no_syntax_error() {
    let folder = new_folder();
    for (program, path) in PROGRAMS {
        let source = text_of(&page_of(program));
        let (_, source) = source.split_once(".SH EXAMPLES\n").unwrap();
        for example in source.split(".EX\n").skip(1).map(|rest| rest.split_once(".EE\n").unwrap().0) {
            let mut plain = example.to_owned();
            // groff may show these characters as others that look alike.
            let bare =
                ["\\-", "\\(aq", "\\e"].iter().fold(plain.clone(), |text, escape| text.replace(escape, ""));
            assert!(!bare.contains(['-', '\'', '\\', '`', '^', '~']), "{program}: {plain}");
            for (escape, letter) in [("\\-", "-"), ("\\(aq", "'"), ("\\e", "\\")] {
                plain = plain.replace(escape, letter);
            }
            let mut bash = tool("bash", &folder);
            bash.args(["--norc", "-n", "-c", &plain]);
            succeeds(bash);
            let known = choices(&help_entries(path));
            for line in plain.lines().filter(|line| line.starts_with(&format!("{program} "))) {
                for long in long_options(line) {
                    assert!(known.iter().any(|choice| choice.long == long), "{program}: {line}");
                }
            }
        }
    }
}

#[test]
fn the_manual_lists_each_member_of_the_json_view_and_no_other() {
    let seen = received_members();
    let every = seen.values().flatten().cloned().collect::<BTreeSet<_>>();
    let page = rendered(&page_of("hubbub"), "9999");
    let lines = page.lines().skip_while(|line| *line != "   JSON").skip(1);
    let lines = lines.take_while(|line| !line.starts_with("   E")).collect::<Vec<_>>();
    for (kind, members) in &seen {
        let start = lines.iter().position(|line| line.trim_start().split(' ').next() == Some(kind)).unwrap();
        let entry = lines[start..].iter().take_while(|line| !line.is_empty());
        let text = entry.map(|line| line.trim_start()).collect::<Vec<_>>().join(" ");
        let words = text[kind.len()..].split(|letter: char| !letter.is_alphabetic());
        let named = words.filter(|word| every.contains(*word)).map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(&named, members, "{kind}: {text}");
    }
    assert_eq!(seen.len(), 7);
}

/// The members of the objects that a json client receives, by type, without `type` and `at`.
fn received_members() -> BTreeMap<String, BTreeSet<String>> {
    let (_server, [_, named, json]) = Server::start_in_views(&["--history", "1"]);
    let mut bot = Client::connect(json);
    bot.send("/nick bot\n/msg nobody hi\n");
    let mut alice = Client::connect(named);
    // A join is announced after a while, and only then are changes of name.
    let mut seen = BTreeMap::<String, BTreeSet<String>>::new();
    let mut take_until = |bot: &mut Client, last: &str| {
        loop {
            let line = bot.read_line();
            let Value::Object(object) = serde_json::from_slice::<Value>(&line).unwrap() else { panic!() };
            let kind = object["type"].as_str().unwrap().to_owned();
            let members = object.keys().filter(|name| !matches!(name.as_str(), "type" | "at"));
            seen.entry(kind.clone()).or_default().extend(members.cloned());
            if kind == last {
                break;
            }
        }
    };
    take_until(&mut bot, "join");
    alice.send("/nick alice\nhi\n/me waves\n/msg bot psst\n");
    take_until(&mut bot, "private");
    bot.send("/msg alice psst\n");
    take_until(&mut bot, "private");
    alice.end_input();
    take_until(&mut bot, "leave");
    let mut late = Client::connect(json);
    take_until(&mut late, "history");
    take_until(&mut late, "history");
    seen
}

/// The short and long forms of all options of a program, and whether they take a value.
fn spellings(path: &str) -> BTreeSet<(String, bool)> {
    choices(&help_entries(path)).iter().flat_map(Choice::spellings).collect()
}

/// The completions that a shell offers at the end of each line.
fn offered(lines: &[String], offer: impl FnOnce(&Folder, &[String]) -> Command) -> Vec<BTreeSet<String>> {
    let folder = folder_with_files();
    let out = succeeds(offer(&folder, lines));
    let blocks = out.split("=\n").map(|block| block.lines().map(str::to_owned).collect());
    blocks.take(lines.len()).collect()
}

fn offered_by_bash(lines: &[String]) -> Vec<BTreeSet<String>> {
    const ASK: &str = r#"
        source "$1"
        for COMP_LINE in "${@:2}"; do
            COMP_POINT=${#COMP_LINE}
            read -r -a COMP_WORDS <<<"$COMP_LINE"
            [[ $COMP_LINE != *" " ]] || COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            read -r _ _ complete _ <<<"$(complete -p "${COMP_WORDS[0]}")"
            COMPREPLY=()
            "$complete" "${COMP_WORDS[0]}" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
            ((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
            echo =
        done"#;
    offered(lines, |folder, lines| {
        let mut bash = tool("bash", folder);
        bash.args(["--norc", "--noprofile", "-c", ASK, "bash"]).arg(file("scripts/completions/hubbub.bash"));
        bash.args(lines);
        bash
    })
}

fn offered_by_fish(lines: &[String]) -> Vec<BTreeSet<String>> {
    const ASK: &str = "
        source $argv[1]
        for line in $argv[2..]
            complete -C $line
            echo =
        end";
    offered(lines, |folder, lines| {
        let mut fish = tool("fish", folder);
        fish.args(["--no-config", "-c", ASK]).arg(file("scripts/completions/hubbub.fish")).args(lines);
        fish
    })
}

#[track_caller]
fn offers_each_option(offer: impl Fn(&[String]) -> Vec<BTreeSet<String>>) {
    for (program, path) in PROGRAMS {
        let names = spellings(path).into_iter().map(|(spelling, _)| spelling).collect::<BTreeSet<_>>();
        assert_eq!(offer(&[format!("{program} -")]), [names], "{program}");
    }
}

#[track_caller]
fn offers_values(offer: impl Fn(&[String]) -> Vec<BTreeSet<String>>) {
    let lines = VALUES.map(|(line, _)| line.to_owned());
    for ((line, expected), offered) in VALUES.iter().zip(offer(&lines)) {
        assert_eq!(offered.iter().collect::<Vec<_>>(), *expected, "{line}");
    }
}

#[test]
fn bash_offers_each_option_and_no_other() {
    offers_each_option(offered_by_bash);
}

#[test]
fn bash_offers_no_option_after_an_option_that_takes_a_value() {
    for (program, path) in PROGRAMS {
        let spellings = spellings(path);
        let lines =
            spellings.iter().map(|(spelling, _)| format!("{program} {spelling} -")).collect::<Vec<_>>();
        let offered = offered_by_bash(&lines);
        assert_eq!(offered.len(), lines.len());
        for ((spelling, takes_value), offered) in spellings.iter().zip(offered) {
            assert_eq!(offered.is_empty(), *takes_value, "{program} {spelling}: {offered:?}");
        }
    }
}

#[test]
fn bash_offers_values() {
    offers_values(offered_by_bash);
    // readline replaces only what follows the last colon or equals sign.
    let lines =
        ["hubbub -l named:unix:ro", "hubbub --log-file=ro", "hubbub-client unix:ot"].map(str::to_owned);
    assert_eq!(flat(offered_by_bash(&lines)), ["room.log", "room.log", "other"]);
}

/// All completions, line by line.
fn flat(offered: Vec<BTreeSet<String>>) -> Vec<String> {
    offered.into_iter().flatten().collect()
}

/// The completions of fish without their descriptions. Each option must have one.
fn offered_by_fish_without_descriptions(lines: &[String]) -> Vec<BTreeSet<String>> {
    let strip = |line: String| match line.split_once('\t') {
        Some((offered, description)) if !description.is_empty() => offered.to_owned(),
        _ if !line.starts_with('-') => line,
        _ => panic!("{line} has no description"),
    };
    offered_by_fish(lines).into_iter().map(|offered| offered.into_iter().map(strip).collect()).collect()
}

#[test]
fn fish_offers_each_option_with_a_description_and_no_other() {
    offers_each_option(offered_by_fish_without_descriptions);
}

#[test]
fn fish_knows_which_options_take_a_value() {
    let source = text_of("scripts/completions/hubbub.fish");
    for (program, path) in PROGRAMS {
        for choice in choices(&help_entries(path)) {
            let name = format!(" -l {} ", choice.long);
            let is_its = |line: &&str| {
                let of = line.strip_prefix("complete -c ").or(line.strip_prefix("    complete -c "));
                let of = of.and_then(|rest| rest.split(' ').next());
                of.is_some_and(|of| of == program || of == "$program") && line.contains(&name)
            };
            let line = source.lines().find(is_its).unwrap();
            let takes_value = [" -x ", " -r "].iter().any(|flag| line.contains(flag));
            assert_eq!(takes_value, !choice.argument.is_empty(), "{line}");
        }
    }
}

#[test]
fn fish_offers_values() {
    offers_values(offered_by_fish_without_descriptions);
    let lines = ["hubbub -l named:unix:ro", "hubbub-client unix:ot", "hubbub -l named:u"].map(str::to_owned);
    let offered = ["named:unix:room.log", "unix:other/", "named:unix:"];
    assert_eq!(flat(offered_by_fish_without_descriptions(&lines)), offered);
}

#[test]
fn zsh_offers_each_option_with_a_description_and_no_other() {
    // Replaces the function that receives the options by one that prints them.
    const ASK: &str = r#"
        fpath=("$1")
        autoload -Uz _hubbub
        _arguments() { print -rl -- "$@" }
        service=$2
        _hubbub"#;
    let folder = new_folder();
    for (program, path) in PROGRAMS {
        let mut zsh = tool("zsh", &folder);
        zsh.args(["-f", "-c", ASK, "zsh"]).arg(file("scripts/completions")).arg(program);
        let specs = succeeds(zsh);
        let offered = specs.lines().filter_map(spelling_of_spec).collect::<BTreeSet<_>>();
        assert_eq!(offered, spellings(path), "{program}");
    }
}

/// The option in a line such as `(-a --all)*--all=[description]:what:action`.
fn spelling_of_spec(spec: &str) -> Option<(String, bool)> {
    let spec = spec.strip_prefix('(').map_or(spec, |rest| rest.split_once(')').unwrap().1);
    let (option, rest) = spec.trim_start_matches('*').split_once('[')?;
    assert!(!rest.starts_with(']'), "{spec} has no description");
    let spelling = option.trim_end_matches(['=', '+']);
    Some((spelling.to_owned(), spelling != option))
}

#[test]
fn the_bot_of_the_manual_answers_new_lines_and_none_from_the_history() {
    let page = std::fs::read_to_string(file("scripts/man/hubbub.1")).unwrap();
    let script = page.split_once("#!/usr/bin/env bash\n").unwrap().1.split_once(".EE\n").unwrap().0;
    let (_server, [plain, named, json]) = Server::start_in_views(&["--history", "20"]);
    let mut script = script.replace("\\(aq", "'").replace("\\-", "-");
    // It answers with the time of the line, so that it is certain which line it answers.
    let port = json.port().to_string();
    for (old, new) in [("9092", port.as_str()), ("date +%T", r#"jq -r .at <<<"$line""#)] {
        assert_eq!(script.matches(old).count(), 1, "{script}");
        script = script.replace(old, new);
    }
    let (mut asker, mut observer) = (Client::connect(plain), Client::connect(json));
    let who = || {
        let mut client = Client::connect(named);
        client.send("/who\n");
        client.end_input();
        String::from_utf8(client.read_to_end()).unwrap().lines().last().unwrap().to_owned()
    };
    let mut next_message = || {
        let objects =
            std::iter::repeat_with(|| serde_json::from_slice::<Value>(&observer.read_line()).unwrap());
        objects.into_iter().find(|object| object["type"] == "message").unwrap()
    };
    asker.read_line();
    asker.send("!time\n");
    next_message();
    let folder = new_folder();
    // The second time the history also has the answers of the first.
    for _ in 0..2 {
        let mut bash = tool("bash", &folder);
        let mut bot = bash.args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap();
        eventually("the bot has its name", || who().contains("clock").then_some(()));
        for _ in 0..2 {
            asker.send("!time\n");
            let (question, answer) = (next_message(), next_message());
            assert_eq!((&question["text"], &answer["from"]), (&"!time".into(), &"clock".into()));
            assert_eq!(question["at"], answer["text"], "{answer}");
        }
        bot.kill().unwrap();
        bot.wait().unwrap();
        eventually("the bot has left", || (!who().contains("clock")).then_some(()));
    }
}

#[test]
fn zsh_completes_what_is_typed() {
    // One key completes, the next prints the completed line.
    const ASK: &str = r#"
        zmodload zsh/zpty || exit
        zpty inner 'exec zsh -f -i'
        zpty -w inner "PS1=; fpath+=(${(q)1}); autoload -Uz compinit; compinit -D -u
            show() { print -r -- \"<<\$BUFFER>>\"; BUFFER= }
            zle -N show; bindkey '^I' complete-word '^X' show; print rea''dy"
        zpty -r -m inner out '*ready*' || exit
        shift
        for line; do
            zpty -n -w inner "$line"$'\t\x18'
            zpty -r -m inner out '*<<*>>*' || exit
            print -r -- "${${out##*<<}%%>>*}"
        done
        zpty -d inner"#;
    let folder = folder_with_files();
    let typed = [
        ("hubbub --fe", "hubbub --feed="),
        ("hubbub --listen js", "hubbub --listen json:"),
        ("hubbub -l named:un", "hubbub -l named:unix:"),
        ("hubbub -l named:unix:ro", "hubbub -l named:unix:room.log "),
        ("hubbub --log-file ro", "hubbub --log-file room.log "),
        ("hubbub-load --protocol re", "hubbub-load --protocol redis "),
        ("hubbub-client unix:ot", "hubbub-client unix:other/"),
    ];
    let mut zsh = tool("zsh", &folder);
    zsh.args(["-f", "-c", ASK, "zsh"]).arg(file("scripts/completions")).args(typed.map(|(line, _)| line));
    let shown = succeeds(zsh);
    assert_eq!(shown.lines().collect::<Vec<_>>(), typed.map(|(_, line)| line));
}
