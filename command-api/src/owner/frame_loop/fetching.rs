//! Loading aggregates and looking up command ids beside the frames, some at a time.

use std::collections::HashSet;
use std::sync::Arc;

use domain::command::{CommandError, CommandId};
use domain::ports::log::{CommandResult, LogError};
use domain::stream::StreamId;

use super::FrameLoop;
use crate::owner::job::Job;
use crate::owner::loading::{load, unavailable};
use crate::owner::overlay::{KnownResult, LoadMark, repeated};
use crate::owner::streams::{Entry, Named};

/// What a job waits for.
pub(super) enum ToFetch {
    Stream(StreamId),
    Lookup(CommandId),
}

/// What came of it.
pub(super) enum Fetched {
    Stream(StreamId, LoadMark, Result<Entry, CommandError>),
    Lookup(CommandId, LoadMark, Result<Option<CommandResult>, LogError>),
}

impl FrameLoop {
    /// Starts what is to be fetched, as far as there is room.
    pub(super) fn fetch(&mut self) {
        while self.fetching.len() < self.shared.config.loads_at_once.max(1)
            && let Some(next) = self.to_fetch.pop_front()
        {
            // From here on, not before: a pin keeps frames in memory.
            let (shared, pin, shard) = (Arc::clone(&self.shared), self.overlay.pin(), self.shard);
            let figures = Arc::clone(&self.figures);
            self.fetching.push(match next {
                ToFetch::Stream(stream) => Box::pin(async move {
                    figures.loaded.increment(1);
                    let entry = load(&shared, &stream).await;
                    Fetched::Stream(stream, pin, entry)
                }),
                ToFetch::Lookup(id) => {
                    Box::pin(
                        async move { Fetched::Lookup(id, pin, shared.log.command_result(shard, id).await) },
                    )
                }
            });
        }
    }

    pub(super) fn fetched(&mut self, fetched: Fetched) {
        let free = match fetched {
            Fetched::Stream(stream, pin, entry) => {
                let entry = entry.and_then(|mut entry| {
                    for event in self.overlay.events(&stream) {
                        entry.apply(event).map_err(CommandError::Internal)?;
                    }
                    Ok(entry)
                });
                self.overlay.unpin(pin);
                match entry {
                    Ok(entry) => {
                        // A command that drew this id may have put it there meanwhile; that one has the newer state.
                        if !self.streams.contains(&stream) {
                            self.streams.insert(entry);
                        }
                        self.waiting.loaded(&stream)
                    }
                    Err(error) => {
                        let (active, named) = (&mut self.active, &mut self.named);
                        self.waiting.load_failed(&stream, &error, |job| left(active, named, job))
                    }
                }
            }
            Fetched::Lookup(id, pin, result) => {
                let known = self.overlay.result(id);
                self.overlay.unpin(pin);
                let (active, named) = (&mut self.active, &mut self.named);
                match (known, result) {
                    (Some(known), _) => self.waiting.lookup_ended(id, |job| {
                        left(active, named, &job);
                        job.repeat(known.accepted.clone(), &known.body_hash);
                    }),
                    (None, Ok(Some(stored))) => {
                        let known: KnownResult = repeated(&stored.record, stored.position);
                        self.overlay.remember(id, known.clone());
                        self.waiting.lookup_ended(id, |job| {
                            left(active, named, &job);
                            job.repeat(known.accepted.clone(), &known.body_hash);
                        })
                    }
                    (None, Ok(None)) => self.waiting.looked_up(id),
                    (None, Err(error)) => {
                        let error = unavailable(error);
                        self.waiting.lookup_ended(id, |job| {
                            left(active, named, &job);
                            job.fail(error.clone());
                        })
                    }
                }
            }
        };
        // While they waited aside, a state that they need may have been forgotten.
        self.left |= free.iter().any(|job| !job.streams().iter().all(|stream| self.streams.contains(stream)));
        self.ready.extend(free);
        self.fetch();
    }
}

/// A job leaves without having run.
pub(super) fn left(active: &mut HashSet<CommandId>, named: &mut Named, job: &Job) {
    named.remove(&job.streams());
    if let Job::Command { request, .. } = job
        && request.id.is_repeatable()
    {
        active.remove(&request.id);
    }
}
