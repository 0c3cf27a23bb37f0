//! Asking the owner: any instance takes any command, finds the shard's owner, and has it decide.
//!
//! A receiver asks its own owner first, then the process that the table of leases names. An owner that is none any more answers
//! not-owner with a hint and never forwards. The receiver asks again under the *same* command id until its deadline, so an attempt
//! whose outcome is unknown (a lost connection, an owner that fell silent) is found by its id and not done twice.
//!
//! | file | what |
//! | --- | --- |
//! | `routed` | [`RoutedGateway`]: the gateway over own owners and peers |
//! | `attempt` | what one attempt's failure means: final, not done, or maybe done |
//! | `table` | who owns which shard, as last seen |
//! | `secret` | requests between instances are signed by a shared secret |
//! | `wire` | commands and states as JSON |

mod attempt;
mod routed;
mod secret;
mod table;
mod wire;

use async_trait::async_trait;
use domain::command::{Accepted, CommandError, CommandId, CommandRequest};
use domain::merkle::Hash;
use domain::ports::gateway::StreamView;
use domain::position::Shard;
use domain::stream::StreamId;

pub use routed::{RoutedConfig, RoutedGateway};
pub use secret::{PEER_HEADER, PeerSecret};
pub use wire::{WireAnswered, WireCommand, WireView};

/// Why a peer gave no answer of success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The peer's own answer.
    #[error(transparent)]
    Answered(#[from] CommandError),
    /// The peer can't be reached, or turned the request away unread: it did nothing.
    #[error("the peer was not reached: {0}")]
    NotReached(String),
    /// The request was on its way, and no whole answer came: it may have been done.
    #[error("the peer gave no answer: {0}")]
    NoAnswer(String),
}

/// The way to other instances' owners. One call is one attempt; the caller bounds its time by dropping it.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Has the owner at `address` (`host:port`) decide a command. The command's id is a repeatable one, so that a repeat is
    /// found.
    ///
    /// # Errors
    /// [`PeerError`], here and below.
    async fn submit(
        &self,
        address: &str,
        shard: Shard,
        command: &CommandRequest,
    ) -> Result<Accepted, PeerError>;

    /// The decided states of streams of the shard, in the order asked for.
    async fn read(
        &self,
        address: &str,
        shard: Shard,
        streams: &[StreamId],
    ) -> Result<Vec<StreamView>, PeerError>;

    /// The stored answer of a command; see [`domain::ports::gateway::CommandGateway::answered`].
    async fn answered(
        &self,
        address: &str,
        shard: Shard,
        id: CommandId,
        body_hash: &Hash,
    ) -> Result<Option<Accepted>, PeerError>;
}
