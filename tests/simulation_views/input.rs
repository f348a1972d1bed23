//! What clients send, whatever their view.

use crate::common::random::Random;

/// Names that clients ask for: some are invalid, and some are the same name.
const NAMES: [&str; 18] = [
    "ann",
    "ANN",
    "bob",
    "bob",
    "Bob",
    "eve",
    "you",
    "private",
    "nobody",
    "Here",
    "42",
    "1.2",
    "名前",
    "anon3",
    "anonymous",
    "a b",
    "<ann>",
    "\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\
     \u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}\u{10428}",
];

/// A client that sends something, and what decides it.
pub(crate) struct Sender<'a> {
    pub(crate) random: &'a mut Random,
    pub(crate) number: usize,
    /// Lines that it has sent so far.
    pub(crate) lines: &'a mut usize,
    pub(crate) max_line: usize,
    pub(crate) feed: usize,
    pub(crate) raw: bool,
    /// The names of the members.
    pub(crate) names: &'a [String],
}

impl Sender<'_> {
    /// Returns what it sends next, of any length, with a line end or without.
    pub(crate) fn input(&mut self) -> Vec<u8> {
        match self.random.below(25) {
            0..5 => self.lines(1),
            5..12 => {
                let lines = self.random.within(2..=8);
                self.lines(lines)
            }
            12..15 => self.half_line(),
            15 => self.end().to_vec(),
            16 => b"\n\n \t\n".to_vec(),
            17 => self.too_long(),
            18 | 24 => self.burst_to_one(),
            19 => self.flood(),
            20 if self.random.one_in(2) => self.many_names(),
            21 if self.random.one_in(4) => {
                self.random.pick(&["/quit\nunheard\n", " /Exit\nunheard\n"]).into()
            }
            22 if self.random.one_in(4) => self.opening(),
            _ => self.lines(3),
        }
    }

    fn lines(&mut self, count: usize) -> Vec<u8> {
        (0..count).flat_map(|_| [self.line(), self.end().to_vec()].concat()).collect()
    }

    fn end(&mut self) -> &'static [u8] {
        let all: [&[u8]; 4] = [b"\n", b"\n", b"\r\n", b"\r\0"];
        self.random.pick(if self.raw { &all[..2] } else { &all })
    }

    /// Returns text that no other client sends.
    fn words(&mut self) -> Vec<u8> {
        *self.lines += 1;
        let mut words = format!("{}.{}", self.number, self.lines).into_bytes();
        let most = self.random.pick(&[0, 10, 40]);
        for _ in 0..self.random.within(0..=most) {
            words.push(self.random.pick(b"abcde \t\"\\{}:,<>*/'"));
        }
        if self.random.one_in(8) {
            let odd = [
                &b"\xC0\x80"[..],
                b"\x9B",
                b"\x1B[2J",
                b"\x7F",
                b"\xF0\x9F\x99",
                b"\rx",
                "é🙂\u{85}".as_bytes(),
            ];
            words.extend(self.random.pick(&odd));
        } else if !self.raw && self.random.one_in(8) {
            words.extend("\u{2028}<bob> x\u{2029}€".bytes());
        }
        words
    }

    fn line(&mut self) -> Vec<u8> {
        let before = match self.random.below(34) {
            0..10 => "",
            10 => "* ann left ",
            11 => "<bob> ",
            12 => "//",
            13 => "/etc/passwd ",
            14 => "{\"type\":\"leave\",\"from\":\"",
            15..18 => "/me ",
            18..21 => return format!("/nick {}", self.wanted()).into_bytes(),
            21..25 => &format!("/msg {} ", self.any_name()),
            25..28 => return b"/who".to_vec(),
            28 => return b"/help".to_vec(),
            29..32 => {
                self.random.pick(&["/mgs ann ", "/Foo ", "\x08 /Me ", " /w ann ", "/msg:", "/?? ", "  // "])
            }
            _ => {
                let all =
                    ["/me", "/msg", "/msg ann", "/nick", " /who", "/who\tx", "/NAMES", "/?", "/whom", "/"];
                return self.random.pick(&all).into();
            }
        };
        [before.as_bytes(), &self.words()].concat()
    }

    fn wanted(&mut self) -> String {
        if self.random.one_in(4) { self.any_name() } else { self.random.pick(&NAMES).to_owned() }
    }

    /// Returns the name of a member, mostly.
    fn any_name(&mut self) -> String {
        if self.names.is_empty() || self.random.one_in(8) {
            return self.random.pick(&NAMES).to_owned();
        }
        let name = &self.names[self.random.below(self.names.len())];
        if self.random.one_in(3) { name.to_uppercase() } else { name.clone() }
    }

    /// The opening of another protocol, or what is nearly one.
    fn opening(&mut self) -> Vec<u8> {
        let openings = [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\nGET / HTTP/1.1\n",
            b"NICK ann\nUSER ann 0 * :Ann\n",
            b"NICK ann\nUS",
            b"NICK ann\n",
            b"PASS x\n",
            b"*1\n",
        ];
        self.random.pick(&openings).to_vec()
    }

    fn half_line(&mut self) -> Vec<u8> {
        let line = self.line();
        let most = line.len();
        line[..self.random.within(1..=most)].to_vec()
    }

    fn too_long(&mut self) -> Vec<u8> {
        let length = self.max_line + self.random.within(0..=self.max_line);
        let mut sent = self.words();
        sent.resize(length, b'x');
        [&sent, self.end()].concat()
    }

    /// More private messages to one client than its outbox may hold.
    fn burst_to_one(&mut self) -> Vec<u8> {
        let to = self.any_name();
        let line = |speaker: &mut Self| [format!("/msg {to} ").as_bytes(), &speaker.words(), b"\n"].concat();
        (0..self.random.within(2..=60)).flat_map(|_| line(self)).collect()
    }

    /// Notices that a stuck reader does not read.
    fn many_names(&mut self) -> Vec<u8> {
        let line = |speaker: &mut Self| format!("/nick {}\n", speaker.wanted()).into_bytes();
        (0..self.random.within(2..=60)).flat_map(|_| line(self)).collect()
    }

    /// As much as the feed holds, or more.
    fn flood(&mut self) -> Vec<u8> {
        let bytes = self.random.within(1..=self.feed * 3 / 2);
        // Some bytes take more space in one view than in another.
        let byte = self.random.pick(b"y\"\x1B\x80");
        let mut sent = Vec::new();
        while sent.len() < bytes {
            sent.extend(self.lines(1));
            if self.random.one_in(3) {
                sent.pop();
                sent.resize(sent.len() + self.random.below(self.max_line), byte);
                sent.push(b'\n');
            }
        }
        sent
    }
}
