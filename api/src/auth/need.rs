//! What permission a route or a field needs.

/// A permission that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: there is no data in it.
    Nothing,
    /// Any valid token.
    Token,
    /// A token to read; one that is limited to some spaces sees these and no others.
    Read,
    /// A token to read that is not limited: what is shown is not about single spaces.
    ReadAll,
    /// A token to record events; one that is limited to a DPU records those of this one.
    Ingest,
    /// A token for everything.
    Admin,
    /// What the operation needs that is sent there: its root fields say it.
    Operation,
}
