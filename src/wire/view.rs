//! The views in which a listener can show the room: their names, and what they have in common.

/// How a listener shows the room. The rendering is in [`chat::view`](crate::chat::view).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// The welcome line, then other clients' lines and nothing else. For scripts.
    Plain,
    /// Names, notices and commands. For people.
    Named,
    /// The same as `named`, one JSON object per line. For programs.
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

    /// Whether clients have names here, see joins and leaves, and can give commands.
    pub const fn has_names(self) -> bool {
        !matches!(self, Self::Plain)
    }
}
