//! Every configuration key: its type, default and meaning, one struct per concern.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::backend_urls::{CarrierUrl, FeedUrl, KeysUrl, LogUrl, PaymentsUrl, ReadUrl, SearchUrl};
use super::reference::Key;
use super::values::{Listen, LogFormat, Role, Span};

/// Declares a section: the struct, its defaults, and its part of the reference.
macro_rules! section {
    ($(#[doc = $doc:literal])+ $name:ident in $prefix:literal {
        $($(#[doc = $meaning:literal])+ $field:ident: $type:ty [$kind:literal] = $default:expr),+ $(,)?
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[doc = $meaning])+ pub $field: $type),+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default),+ }
            }
        }

        impl $name {
            pub(super) fn keys(out: &mut Vec<Key>) {
                let defaults = Self::default();
                $(out.push(Key::new(
                    concat!($prefix, ".", stringify!($field)),
                    $kind,
                    &defaults.$field,
                    concat!($($meaning),+),
                ));)+
            }
        }
    };
}

section! {
    /// Where data is kept.
    Data in "data" {
        /// The data directory. The embedded backends, with their keys, are here unless their URLs name other directories, and
        /// so are the simulators' books. With distributed backends nothing else is.
        dir: PathBuf ["path"] = PathBuf::from("tillstream-data"),
    }
}

section! {
    /// The HTTP listener.
    Http in "http" {
        /// The address that serves everything; port 0 takes a free one, and DIR/address says which.
        listen: SocketAddr ["address"] = SocketAddr::from(([127, 0, 0, 1], 8080)),
        /// The address of the operators' own listener, with `/metrics` and `/health` in full; `off` for none, as in the demo. Port 0 takes a
        /// free one, and DIR/admin-address says which. Where it is off, or the address is taken by another process (it is tried again
        /// then), http.listen answers these too, to the same machine only.
        admin_listen: Listen ["address"] = Listen::At(SocketAddr::from(([127, 0, 0, 1], 9090))),
        /// `host:port` by which other processes reach this one, with distributed backends; empty for the listener's address.
        advertise: String ["text"] = String::new(),
        /// How long a query waits for the positions of its Sync-Token before it answers 503.
        sync_wait: Span ["duration"] = Span::seconds(5),
        /// How long a connection may take to send a request's head, and so also how long it may stay idle, before it is closed.
        head_wait: Span ["duration"] = Span::seconds(30),
        /// How long a request may take from its head to its answer; then its caller is told 503. Never less than five seconds more than
        /// http.sync_wait.
        answer_within: Span ["duration"] = Span::seconds(10),
        /// How many requests may be in progress, at least 4; three quarters of them may be commands. More are told 503 at once.
        max_requests: u32 ["number"] = 1_024,
        /// How many connections are served at once. More are told 503 and closed.
        max_connections: u32 ["number"] = 4_096,
        /// How many of them may come from one address (IPv6: one /64 network). More where a proxy is in front.
        max_connections_per_peer: u32 ["number"] = 1_024,
        /// How long a client may take no byte of its answers before its connection is closed.
        write_wait: Span ["duration"] = Span::seconds(30),
        /// How long a stop may take until requests that were accepted are cut off; at most half of it goes by before no more are accepted,
        /// while others are given this process's shards.
        drain: Span ["duration"] = Span::seconds(20),
    }
}

section! {
    /// Tokens and passwords.
    Auth in "auth" {
        /// The `iss` of access tokens.
        issuer: String ["text"] = "tillstream".to_owned(),
        /// The `aud` of access tokens.
        audience: String ["text"] = "tillstream-api".to_owned(),
    }
}

section! {
    /// The event log.
    Log in "log" {
        /// The log's backend: `sqlite:` keeps it in data.dir, `sqlite:<directory>` elsewhere;
        /// `cassandra://[user:password@]host:port[,host:port]/keyspace` shares it, `scylla://` too.
        url: LogUrl ["url"] = LogUrl::default(),
        /// N, the number of shards of a new store, 1 to 1024; it never changes afterwards.
        shards: u16 ["number"] = 16,
    }
}

section! {
    /// The fan-out of decided events.
    Feed in "feed" {
        /// The feed's backend: `memory:` tails the log within the process; `kafka://host:port[,host:port]/topic` goes with
        /// a shared log.
        url: FeedUrl ["url"] = FeedUrl::default(),
    }
}

section! {
    /// The read models.
    Read in "read" {
        /// The read models' backend: `sqlite:` keeps them in data.dir, `sqlite:<directory>` elsewhere;
        /// `postgres://user[:password]@host:port/database[?schema=name]` goes with a shared log.
        url: ReadUrl ["url"] = ReadUrl::default(),
        /// Readiness fails while a projection is further behind the log than this many events.
        max_lag: u64 ["number"] = 50_000,
    }
}

section! {
    /// The product search.
    Search in "search" {
        /// The search index's backend: `tantivy:` keeps it beside the read models; `http://host:port[/prefix]`, or https, of
        /// an Elasticsearch goes with a shared log.
        url: SearchUrl ["url"] = SearchUrl::default(),
    }
}

section! {
    /// The keys of data subjects.
    Keys in "keys" {
        /// Where the keys of data subjects are, outside the log's backups; with a shared log the instances' own keys too. Empty:
        /// in data.dir, or with a shared log in read.url's database, in a schema of their own. Another database is named
        /// as `postgres://user[:password]@host:port/database[?schema=name]`.
        url: KeysUrl ["url"] = KeysUrl::default(),
    }
}

section! {
    /// The leases of owners, with a shared log.
    Lease in "lease" {
        /// How often an owner says that it is there.
        beat: Span ["duration"] = Span::seconds(1),
        /// How long an owner must have been silent before another process takes its shards over.
        time: Span ["duration"] = Span::seconds(4),
    }
}

section! {
    /// The comparison of all copies of the events.
    Conservation in "conservation" {
        /// How often a process with the role projections compares them; 0s for never.
        every: Span ["duration"] = Span::seconds(60),
    }
}

section! {
    /// The order fulfilment saga. An order gets its terms from the process with the role command-api that owns its shard; those with the role
    /// sagas need the same.
    Fulfilment in "fulfilment" {
        /// How long an order's stock stays reserved without payment.
        reservation: Span ["duration"] = Span::seconds(15 * 60),
        /// How many times the provider may answer "no such charge" before a charge of unknown outcome is voided.
        lookups: u32 ["number"] = 3,
        /// The pause before the first look-up of a charge of unknown outcome; it doubles each time.
        lookup_backoff: Span ["duration"] = Span::seconds(1),
        /// The longest pause between two look-ups.
        lookup_backoff_max: Span ["duration"] = Span::seconds(4),
        /// How long one call of the provider or the carrier may take; then its outcome is unknown.
        provider_timeout: Span ["duration"] = Span::seconds(5),
        /// How long booking a shipment may take; then the order is cancelled.
        booking: Span ["duration"] = Span::seconds(30),
        /// How long an order that is being cancelled waits for a provider or carrier that is away; then it is cancelled, and what
        /// they have to undo is undone when they are back.
        patience: Span ["duration"] = Span::seconds(5),
        /// How long work of an order may be due before its saga counts as stuck.
        stuck_after: Span ["duration"] = Span::seconds(120),
    }
}

section! {
    /// The payment provider.
    Payments in "payments" {
        /// The provider, which the role sagas needs: `simulator:` is built in, charges nobody, and has a durable state of its own in
        /// data.dir; `simulator:<directory>` keeps it elsewhere, where several processes of one machine share one provider. The
        /// demo uses it, other commands only when it is named here.
        url: PaymentsUrl ["url"] = PaymentsUrl::default(),
        /// The simulator: how long a caller waits for a reply that is lost (`tok_timeout_…`).
        lost_reply: Span ["duration"] = Span::seconds(1),
        /// The simulator: how long a slow charge (`tok_slow`) stays authorised before it is captured.
        slow_capture: Span ["duration"] = Span::seconds(3),
    }
}

section! {
    /// The carrier.
    Carrier in "carrier" {
        /// The carrier, which the role sagas needs: `simulator:` is built in, carries nothing, and has a durable state of its own in
        /// data.dir; `simulator:<directory>` keeps it elsewhere. The demo uses it, other commands only when it is named here.
        url: CarrierUrl ["url"] = CarrierUrl::default(),
    }
}

section! {
    /// The simulators of provider and carrier, where they are named.
    Simulator in "simulator" {
        /// Whether `/simulator`, which has no login, answers others than this machine.
        public: bool ["switch"] = false,
    }
}

section! {
    /// The roles of this process.
    Roles in "roles" {
        /// Which roles run: command-api, projections, query-api, sagas. Empty runs every one; embedded backends
        /// allow nothing else.
        run: Vec<Role> ["list"] = Vec::new(),
    }
}

section! {
    /// The program's own logs, on standard error.
    Logging in "logging" {
        /// `human` or `json`.
        format: LogFormat ["word"] = LogFormat::Human,
        /// What is logged, as a level (`error`, `warn`, `info`, `debug`, `trace`) or as filter directives
        /// (`info,infra=debug`).
        level: String ["text"] = "info".to_owned(),
    }
}

pub(super) fn keys() -> Vec<Key> {
    let mut out = Vec::new();
    Data::keys(&mut out);
    Http::keys(&mut out);
    Auth::keys(&mut out);
    Log::keys(&mut out);
    Feed::keys(&mut out);
    Read::keys(&mut out);
    Search::keys(&mut out);
    Keys::keys(&mut out);
    Lease::keys(&mut out);
    Conservation::keys(&mut out);
    Fulfilment::keys(&mut out);
    Payments::keys(&mut out);
    Carrier::keys(&mut out);
    Simulator::keys(&mut out);
    Roles::keys(&mut out);
    Logging::keys(&mut out);
    out
}
