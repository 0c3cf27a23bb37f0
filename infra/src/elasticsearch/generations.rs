//! Physical indices behind the aliases.
//!
//! A generation is *live* when the readers' alias names it, *writable* when its own alias does. Replacing one takes both aliases
//! from the old one in the step that gives the readers' alias to the new one, so whoever still writes to the old one is stopped.
//!
//! A generation that only grows has several parts (see [`super::parts`]), and whatever is said of it is said of all of them, but for
//! writing, which is the newest part's.
//!
//! A generation in place of a lost one is *filling*, which an alias of its own tells: all processes write to the same one, and it
//! goes live when it holds what the lost one held.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::elasticsearch::http::Method;
use ::elasticsearch::http::request::JsonBody;
use domain::ports::log::StoreInfo;
use domain::position::{Position, Seen, Shard};
use projections::engine::index::SearchIndex;
use projections::engine::store::StoreError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, Failure};
use super::mapping::{CHECKPOINT, Mapped as _};
use super::parts::{Older, every, next_alias, place_of};
use super::url::ElasticsearchUrl;

/// What a generation must agree with; stands in its mapping's `_meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The projection's version.
    pub(super) version: u32,
    /// The dead letters that stand for the events that it lacks.
    pub(super) letters: Uuid,
    /// The shards of the log.
    pub(super) shards: u16,
    /// The store whose log it is made from; an older program didn't tell.
    pub(super) log: Option<Uuid>,
    /// See [`Mapped::definition_digest`](super::mapping::Mapped::definition_digest).
    pub(super) definition: String,
}

impl Stamp {
    pub(super) fn new(kind: &SearchIndex, version: u32, letters: Uuid, log: StoreInfo) -> Self {
        let StoreInfo { id, shards } = log;
        Self { version, letters, shards, log: Some(id), definition: kind.definition_digest() }
    }

    fn to_meta(&self) -> Value {
        json!({
            "tillstream": {
                "version": self.version,
                "letters": self.letters,
                "shards": self.shards,
                "log": self.log,
                "definition": self.definition,
            }
        })
    }

    fn from_meta(meta: &Value) -> Option<Self> {
        let meta = &meta["tillstream"];
        Some(Self {
            version: u32::try_from(meta["version"].as_u64()?).ok()?,
            letters: meta["letters"].as_str()?.parse().ok()?,
            shards: u16::try_from(meta["shards"].as_u64()?).ok()?,
            log: meta["log"].as_str().and_then(|id| id.parse().ok()),
            definition: meta["definition"].as_str()?.to_owned(),
        })
    }
}

/// A physical index, or several.
#[derive(Debug, Clone)]
pub(super) struct Generation {
    /// Its name, which is its first part's; later ones are greater.
    pub(super) name: String,
    /// Its parts, oldest first; without the one that is being made.
    pub(super) parts: Vec<String>,
    /// What the older parts hold, if there are some.
    pub(super) older: Option<Older>,
    /// Another part is being made.
    pub(super) has_next: bool,
    /// The aliases that readers find it by.
    pub(super) readers: Vec<String>,
    /// `None` for one that something else made.
    pub(super) stamp: Option<Stamp>,
    pub(super) live: bool,
    /// Searches of its definition find it.
    pub(super) searched: bool,
    pub(super) writable: bool,
    /// Nobody may write to it until then, in seconds since 1970: it is about to be replaced.
    pub(super) held: Option<i64>,
    /// It takes the place of a lost one that held so much.
    pub(super) filling: Option<Seen>,
}

impl Generation {
    /// Why it isn't for programs with this stamp to write; `None` for their own.
    pub(super) fn foreign(&self, stamp: &Stamp) -> Option<String> {
        let of = |version: u32| format!("{} is of version {version}", self.name);
        match &self.stamp {
            Some(own) if own == stamp => None,
            Some(own) if own.version > stamp.version => Some(format!(
                "{}, and this program is made for {}: `tillstream rebuild --rollback` goes back to that",
                of(own.version),
                stamp.version
            )),
            Some(own) => {
                Some(format!("{}; version {} is being filled beside it", of(own.version), stamp.version))
            }
            None => Some(format!("{} was made by something else; another index is being filled", self.name)),
        }
    }

    /// Whether programs with this stamp are to replace it: those of a later version have taken over.
    pub(super) fn is_older(&self, stamp: &Stamp) -> bool {
        self.stamp.as_ref().is_none_or(|own| own != stamp && own.version <= stamp.version)
    }

    /// The part that is written.
    pub(super) fn newest(&self) -> &str {
        self.parts.last().unwrap_or(&self.name)
    }

    /// The alias that it can be written through now, by whoever holds it.
    pub(super) fn write_alias(&self) -> String {
        self.held.map_or_else(|| writes(self.newest()), |until| held_alias(self.newest(), until))
    }

    /// Whether whoever made it to be filled has died before it could be.
    fn is_abandoned(&self) -> bool {
        let made = self.name.rsplit('-').next().and_then(|number| number.parse::<i64>().ok()).unwrap_or(0);
        let age = now().timestamp_micros().saturating_sub(made);
        !self.writable && age > i64::try_from(MAKING.as_micros()).unwrap_or(i64::MAX)
    }
}

/// How long a generation is held at most, in seconds: if it isn't replaced by then, whoever held it has died.
const HELD: i64 = 60;
/// So often at most a generation is looked at again whose writer goes on to another part before it can be held.
const HOLD_TRIES: u32 = 10;
/// How long making a generation to be filled takes at most.
const MAKING: Duration = Duration::from_secs(60);

/// The alias that a part is written through.
pub(super) fn writes(part: &str) -> String {
    format!("{part}-writes")
}

fn held_alias(part: &str, until: i64) -> String {
    format!("{part}-held-{until}")
}

/// What readers see: documents, not checkpoints.
pub(super) fn documents_only() -> Value {
    json!({"bool": {"must_not": {"term": {"doc_type": CHECKPOINT}}}})
}

fn filling_alias(generation: &str) -> String {
    format!("{generation}-filling")
}

fn now() -> domain::Timestamp {
    std::time::SystemTime::now().into()
}

impl Generation {
    /// Whether it can be one of this store.
    ///
    /// # Errors
    /// [`StoreError::OtherLog`] when it was made from another store's log.
    pub(super) fn belongs_to(&self, ours: Uuid) -> Result<(), StoreError> {
        match self.stamp.as_ref().and_then(|made| made.log) {
            Some(theirs) if theirs != ours => Err(StoreError::OtherLog {
                what: format!("the search index {}", self.name),
                theirs,
                ours,
                way_out: "name another prefix in search.url and run `tillstream migrate`".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// A cluster and one kind of index in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexPlace<'a> {
    pub(super) client: &'a Client,
    pub(super) url: &'a ElasticsearchUrl,
    pub(super) kind: &'static SearchIndex,
}

impl IndexPlace<'_> {
    /// All generations, oldest first.
    pub(super) async fn list(&self) -> Result<Vec<Generation>, Failure> {
        let alias = self.kind.alias(self.url);
        let path = format!("/{alias}-*?features=aliases,mappings&allow_no_indices=true");
        let answer = self.client.get(&path).await?;
        let mut found: BTreeMap<String, BTreeMap<usize, (&String, &Value)>> = BTreeMap::new();
        for (name, index) in answer.as_object().into_iter().flatten() {
            if let Some((generation, number)) = place_of(&alias, name) {
                found.entry(generation).or_default().insert(number, (name, index));
            }
        }
        let mut all: Vec<Generation> =
            found.into_iter().map(|(name, parts)| self.put_together(name, parts)).collect();
        // Numbers of one length until the year 2286.
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// A generation of the parts that are there.
    fn put_together(&self, name: String, mut parts: BTreeMap<usize, (&String, &Value)>) -> Generation {
        // A lost part makes the whole a lost one, whatever aliases the others have.
        let whole = parts.keys().copied().eq(1..=parts.len());
        let next = next_alias(&name);
        let is_next = |index: &Value| !index["aliases"][next.as_str()].is_null();
        let has_next =
            parts.last_entry().filter(|last| is_next(last.get().1)).map(|last| last.remove()).is_some();
        let names: Vec<String> = parts.values().map(|(name, _)| (*name).clone()).collect();
        let (base, last) =
            (parts.get(&1).map(|(_, index)| *index), parts.last_key_value().map(|(_, last)| *last));
        let aliases = |index: &Value| index["aliases"].as_object().cloned().unwrap_or_default();
        let alias = self.kind.alias(self.url);
        let held = last.and_then(|(name, index)| {
            let held = format!("{name}-held-");
            aliases(index).keys().find_map(|alias| alias.strip_prefix(held.as_str())?.parse().ok())
        });
        let writable = last.is_some_and(|(name, index)| aliases(index).contains_key(&writes(name)));
        let live = parts.values().all(|(_, index)| aliases(index).contains_key(&alias));
        let meta = base.map_or(&Value::Null, |base| &base["mappings"]["_meta"]);
        let stamp = Stamp::from_meta(meta);
        let searches = stamp.as_ref().map(|stamp| self.kind.searched(self.url, &stamp.definition));
        let mut readers: Vec<String> =
            base.map(aliases).into_iter().flatten().map(|(name, _)| name).collect();
        readers.retain(|name| *name == alias || Some(name) == searches.as_ref());
        let filling = base.is_some_and(|base| aliases(base).contains_key(&filling_alias(&name)));
        Generation {
            older: last.and_then(|(_, index)| Older::noted(&names, &index["mappings"]["_meta"])),
            parts: names,
            has_next,
            searched: readers.iter().any(|name| Some(name) == searches.as_ref()),
            readers,
            filling: filling.then(|| filled_from(meta)),
            held,
            stamp,
            live: whole && live,
            writable: whole && writable,
            name,
        }
    }

    /// Makes an empty generation, writable but not live.
    pub(super) async fn create(&self, stamp: &Stamp) -> Result<String, Failure> {
        self.make(stamp, None).await
    }

    /// Makes an empty generation in place of a lost one that held so much; [`make_writable`](Self::make_writable) it then.
    pub(super) async fn create_filling(&self, stamp: &Stamp, lost: &Seen) -> Result<String, Failure> {
        self.make(stamp, Some(lost)).await
    }

    /// The generation to be filled in place of a lost one, if there is one that fits.
    pub(super) async fn filling(&self, stamp: &Stamp) -> Result<Option<Generation>, Failure> {
        let mut all = self.list().await?;
        if all.iter().any(|generation| generation.live) {
            return Ok(None);
        }
        all.retain(|g| g.filling.is_some() && g.stamp.as_ref() == Some(stamp));
        let (abandoned, mut all): (Vec<_>, Vec<_>) = all.into_iter().partition(Generation::is_abandoned);
        self.remove(&abandoned.into_iter().map(|g| g.name).collect::<Vec<_>>()).await?;
        // The oldest one, as everybody else takes; but one that others may be writing to already.
        all.sort_by_key(|g| !g.writable);
        Ok(all.into_iter().next())
    }

    /// Settings and mappings of an index.
    pub(super) fn definition(&self) -> Result<Value, Failure> {
        let mut body: Value = serde_json::from_str(&self.kind.definition())
            .map_err(|e| Failure::Unavailable(format!("the definition of {}: {e}", self.kind.name)))?;
        match self.url.replicas() {
            Some(replicas) => body["settings"]["number_of_replicas"] = replicas.into(),
            None => body["settings"]["auto_expand_replicas"] = "0-1".into(),
        }
        Ok(body)
    }

    async fn make(&self, stamp: &Stamp, fills: Option<&Seen>) -> Result<String, Failure> {
        let name = format!("{}-{:016}", self.kind.alias(self.url), now().timestamp_micros());
        let mut body = self.definition()?;
        body["mappings"]["_meta"] = stamp.to_meta();
        match fills {
            Some(lost) => {
                let lost: Vec<u64> = (0..stamp.shards).map(|shard| lost.last(Shard(shard))).collect();
                body["mappings"]["_meta"]["tillstream"]["fills"] = lost.into();
                body["aliases"][filling_alias(&name)] = json!({});
            }
            None => body["aliases"][writes(&name)] = json!({}),
        }
        let made = self.client.send(Method::Put, &format!("/{name}"), Some(JsonBody::new(body))).await?.ok();
        made.map_err(|failure| match failure {
            // Somebody made the same at the same microsecond, or the cluster may hold no more: nothing of a row.
            Failure::Refused(reason) => Failure::Unavailable(reason),
            other => other,
        })?;
        Ok(name)
    }

    /// Makes a generation the live and only writable one, in one step.
    pub(super) async fn go_live(&self, name: &str, all: &[Generation]) -> Result<(), Failure> {
        let alias = self.kind.alias(self.url);
        let mut actions = Vec::new();
        for old in all.iter().filter(|old| old.live && old.name != name) {
            for part in &old.parts {
                actions.push(json!({"remove": {"index": part, "alias": alias, "must_exist": true}}));
            }
            if old.writable {
                actions.push(json!({"remove": {"index": old.newest(), "alias": writes(old.newest())}}));
            }
        }
        for other in all.iter().filter(|other| other.searched && other.name != name) {
            let searched = self.kind.searched(self.url, "*");
            for part in &other.parts {
                actions.push(json!({"remove": {"index": part, "alias": searched, "must_exist": false}}));
            }
        }
        for held in all.iter().filter(|g| g.live || g.name == name) {
            if let Some(until) = held.held {
                // Whoever finds it gone has been taken for dead.
                let (part, alias) = (held.newest(), held_alias(held.newest(), until));
                actions.push(json!({"remove": {"index": part, "alias": alias, "must_exist": true}}));
            }
            if held.filling.is_some() {
                let alias = filling_alias(&held.name);
                actions.push(json!({"remove": {"index": held.name, "alias": alias, "must_exist": false}}));
            }
        }
        let now = self.list().await?;
        // Parts of one that isn't whole any more are shown no longer.
        for broken in now
            .iter()
            .filter(|g| !g.live && g.name != name && !all.iter().any(|a| a.live && a.name == g.name))
        {
            for part in &broken.parts {
                actions.push(json!({"remove": {"index": part, "alias": alias, "must_exist": false}}));
            }
        }
        let one = now.iter().find(|generation| generation.name == name);
        let one = one.ok_or_else(|| Failure::Unavailable(format!("{name} is gone")))?;
        let definition = one.stamp.as_ref().map(|stamp| stamp.definition.clone());
        let searched =
            self.kind.searched(self.url, &definition.unwrap_or_else(|| self.kind.definition_digest()));
        for part in &one.parts {
            for alias in [&alias, &searched] {
                actions.push(json!({"add": {"index": part, "alias": alias, "filter": documents_only()}}));
            }
        }
        actions.push(json!({"add": {"index": one.newest(), "alias": writes(one.newest())}}));
        self.client.post("/_aliases", json!({"actions": actions})).await.map(|_| ())
    }

    /// Lets a generation be written that isn't live: a replaced one again, or one to be filled.
    pub(super) async fn make_writable(&self, name: &str) -> Result<(), Failure> {
        let all = self.list().await?;
        let found = all.iter().find(|generation| generation.name == name);
        let part = found.map_or(name, Generation::newest);
        let actions = json!([{"add": {"index": part, "alias": writes(part)}}]);
        self.client.post("/_aliases", json!({"actions": actions})).await?;
        match found.filter(|found| found.has_next) {
            // It was replaced while its next part was being made.
            Some(found) => self.end_roll_over(found).await,
            None => Ok(()),
        }
    }

    /// Has nobody write to a live generation for a while, so that another one can become its equal and replace it.
    pub(super) async fn hold(&self, live: &Generation) -> Result<Generation, Failure> {
        // Its writer may have gone on to another part since it was looked at, and then it is looked at again.
        for _ in 1..HOLD_TRIES {
            match self.try_hold(live).await {
                Err(Failure::Lost(reason)) => {
                    tracing::debug!(reason, "another part took over; holding that one")
                }
                ended => return ended,
            }
        }
        self.try_hold(live).await
    }

    /// [`Failure::Lost`] when the part that was to be held isn't written to any more.
    async fn try_hold(&self, live: &Generation) -> Result<Generation, Failure> {
        let mut live = self.again(live).await?;
        if live.has_next {
            // Nobody could go on with it: its newest part may be closed already.
            self.end_roll_over(&live).await?;
            live = self.again(&live).await?;
        }
        let until = now().timestamp() + HELD;
        let part = live.newest();
        let actions = json!([
            {"remove": {"index": part, "alias": writes(part), "must_exist": true}},
            {"add": {"index": part, "alias": held_alias(part, until)}},
        ]);
        self.client.post("/_aliases", json!({"actions": actions})).await?;
        Ok(Generation {
            stamp: None,
            live: true,
            searched: true,
            writable: false,
            held: Some(until),
            filling: None,
            ..live
        })
    }

    /// A generation as it is now: another part may have taken over.
    pub(super) async fn again(&self, generation: &Generation) -> Result<Generation, Failure> {
        let found = self.list().await?.into_iter().find(|found| found.name == generation.name);
        found.ok_or_else(|| Failure::Unavailable(format!("{} is gone", generation.name)))
    }

    async fn end_roll_over(&self, generation: &Generation) -> Result<(), Failure> {
        let stamp = generation.stamp.as_ref();
        let shards =
            stamp.ok_or_else(|| Failure::Unavailable(format!("{} is foreign", generation.name)))?.shards;
        self.roll_over(generation, shards).await
    }

    /// Removes generations for good.
    pub(super) async fn remove(&self, names: &[String]) -> Result<(), Failure> {
        for name in names {
            let path = format!("/{}?features=aliases&ignore_unavailable=true", every(name));
            let found = self.client.get(&path).await?;
            // The first part last: by its name the others are found.
            let parts: BTreeSet<&String> =
                found.as_object().into_iter().flatten().map(|(part, _)| part).collect();
            for part in parts.into_iter().rev() {
                match self.client.ask(Method::Delete, &format!("/{part}")).await?.ok() {
                    Ok(_) | Err(Failure::Lost(_)) => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(())
    }

    /// Makes an empty generation live. The one that it replaces is kept, those before go.
    pub(super) async fn renew(&self, stamp: &Stamp) -> Result<String, Failure> {
        let name = self.create(stamp).await?;
        let all = self.list().await?;
        self.go_live(&name, &all).await?;
        let last = all.iter().find(|generation| generation.live).map(|last| last.name.as_str());
        self.retire(&name, last).await?;
        Ok(name)
    }

    /// Removes the replaced generations but the last one, and those to be filled in place of it. Another one that is writable but not live is being built: it stays.
    pub(super) async fn retire(&self, live: &str, last: Option<&str>) -> Result<(), Failure> {
        let all = self.list().await?.into_iter().filter(|g| !g.live && (!g.writable || g.filling.is_some()));
        let mut replaced: Vec<String> = all.map(|generation| generation.name).collect();
        replaced.retain(|name| name != live && Some(name.as_str()) != last);
        self.remove(&replaced).await
    }

    /// The live generation, with its own alias. When two were made at once, the older one stays and the other one goes.
    pub(super) async fn live(&self) -> Result<Option<Generation>, Failure> {
        let all = self.list().await?;
        let mut live = all.iter().filter(|generation| generation.live);
        let Some(first) = live.next() else { return Ok(None) };
        if first.held.is_some_and(|until| until > now().timestamp()) {
            return Err(Failure::Unavailable(format!("{} is about to be replaced", first.name)));
        }
        let rivals: Vec<String> = live.map(|rival| rival.name.clone()).collect();
        let searched = first.searched || first.stamp.is_none();
        if !rivals.is_empty() || !first.writable || !searched || first.held.is_some() {
            self.go_live(&first.name, &all).await?;
            self.remove(&rivals).await?;
        }
        // There is nothing to be filled in place of any more.
        let filling = all.iter().filter(|g| !g.live && g.filling.is_some());
        self.remove(&filling.map(|g| g.name.clone()).collect::<Vec<_>>()).await?;
        Ok(Some(Generation { writable: true, held: None, filling: None, ..first.clone() }))
    }
}

/// What the lost generation held that one is filled in place of.
fn filled_from(meta: &Value) -> Seen {
    let fills = meta["tillstream"]["fills"].as_array().map_or(&[][..], Vec::as_slice);
    let mut seen = Seen::none(u16::try_from(fills.len()).unwrap_or(u16::MAX));
    for (shard, n) in (0..).zip(fills) {
        seen.advance(Position { shard: Shard(shard), n: n.as_u64().unwrap_or(0) });
    }
    seen
}
