//! The views of the room that a listener can have.

/// How a listener shows the room. The module `chat::view` renders events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// The welcome line, then other clients' lines and nothing else. For scripts.
    Plain,
    /// Names, notices and commands. For people.
    Named,
    /// What `named` shows, as one JSON object per line. For programs.
    Json,
}

impl View {
    /// All views, in the order of [`index`](Self::index).
    pub const ALL: [Self; 3] = [Self::Plain, Self::Named, Self::Json];

    /// The position in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name on the command line and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Named => "named",
            Self::Json => "json",
        }
    }

    /// The view of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    /// Whether clients of this view have names, get notices and can use commands.
    pub const fn has_names(self) -> bool {
        !matches!(self, Self::Plain)
    }
}
