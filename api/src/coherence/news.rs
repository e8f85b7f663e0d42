//! What processes tell each other.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};

/// The channel that all listen on.
pub(super) const CHANNEL: &str = "headcount";

/// How many bytes of DPUs one message has. PostgreSQL takes less than 8,000 altogether.
const DPUS_BYTES_MAX: usize = 7_000;

/// How a process calls itself: a number that no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node(u64);

/// A message. The database itself sends `floor_plan` and `tokens`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// The floor plan has this revision now.
    FloorPlan(i64),
    /// Tokens have changed.
    Tokens,
    /// This process records events, and goes on to.
    Alive(Node),
    /// This process has told everything, and ends.
    Ends(Node),
    /// This process has recorded events of these DPUs.
    Recorded(Node, Vec<i64>),
    /// This process has mended tallies.
    Mended(Node),
}

impl Node {
    /// A new name.
    pub fn new() -> Self {
        Self(RandomState::new().hash_one(std::process::id()))
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

impl Message {
    /// That events of these DPUs were recorded, in as many messages as it takes.
    pub(super) fn recorded(node: Node, dpus: &BTreeSet<i64>) -> Vec<Self> {
        let mut messages = Vec::new();
        let (mut some, mut bytes) = (Vec::new(), 0);
        for dpu in dpus {
            some.push(*dpu);
            bytes += dpu.to_string().len() + 1;
            if bytes > DPUS_BYTES_MAX {
                messages.push(Self::Recorded(node, std::mem::take(&mut some)));
                bytes = 0;
            }
        }
        if !some.is_empty() {
            messages.push(Self::Recorded(node, some));
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_short_and_tell_of_every_dpu() {
        let dpus: BTreeSet<i64> = (0..10_000).map(|dpu| dpu * 1_000_003).collect();
        let messages = Message::recorded(Node::new(), &dpus);
        assert!(messages.iter().all(|message| serde_json::to_string(message).unwrap().len() < 8_000));
        let told = messages.into_iter().flat_map(|message| match message {
            Message::Recorded(_, dpus) => dpus,
            other => panic!("{other:?}"),
        });
        assert_eq!(told.collect::<BTreeSet<_>>(), dpus);
    }

    #[test]
    fn the_database_tells_of_floor_plans_and_tokens() {
        assert_eq!(
            serde_json::from_str::<Message>(r#"{"floor_plan" : 17}"#).unwrap(),
            Message::FloorPlan(17)
        );
        assert_eq!(serde_json::from_str::<Message>(r#""tokens""#).unwrap(), Message::Tokens);
    }
}
