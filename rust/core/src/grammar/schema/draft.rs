//! The drafts of JSON Schema, and where they differ.

/// In the order they came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Draft {
    Draft4,
    Draft6,
    Draft7,
    Draft2019,
    Draft2020,
}

impl Draft {
    /// What `$schema` names; an address of nobody's draft is read as the newest. None: a draft older than all here.
    pub(super) fn of_address(address: &str) -> Option<Self> {
        let name = address.split_once("://").map_or(address, |(_, name)| name);
        let is = |folder: &str| name.strip_prefix("json-schema.org/").is_some_and(|name| name.starts_with(folder));
        Some(match () {
            () if is("draft-04/") => Self::Draft4,
            () if is("draft-06/") => Self::Draft6,
            () if is("draft-07/") => Self::Draft7,
            () if is("draft/2019-09/") => Self::Draft2019,
            () if is("draft-01/") || is("draft-02/") || is("draft-03/") => return None,
            () => Self::Draft2020,
        })
    }

    /// The keyword that gives a schema its address.
    pub(super) fn id_keyword(self) -> &'static str {
        if self == Self::Draft4 { "id" } else { "$id" }
    }

    /// Whether keywords beside a `$ref` count.
    pub(super) fn has_siblings_of_references(self) -> bool {
        self >= Self::Draft2019
    }
}
