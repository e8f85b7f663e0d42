//! What permission a route or a field needs.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// None: it contains no data.
    Nothing,
    /// Any valid token.
    Token,
    /// A token with permission to read. One that is limited to some spaces sees only these.
    Read,
    ReadAll,
    /// A token with permission to record events. One that is limited to a DPU records only its events.
    Ingest,
    Admin,
    /// Determined by the root fields of the GraphQL operation.
    Operation,
}
