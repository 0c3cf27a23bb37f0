//! The waiting room: jobs whose aggregate or command id is not in memory wait aside, in order per stream.

use std::collections::{HashMap, VecDeque};

use domain::command::{CommandError, CommandId};
use domain::stream::StreamId;

use super::job::Job;

type Ticket = u64;

struct Waiting {
    job: Job,
    streams: Vec<StreamId>,
    missing: usize,
}

/// Jobs waiting for loads. A job leaves when nothing is missing and it is the first of all its streams' queues.
#[derive(Default)]
pub(super) struct WaitingRoom {
    jobs: HashMap<Ticket, Waiting>,
    queues: HashMap<StreamId, VecDeque<Ticket>>,
    loading: HashMap<StreamId, Vec<Ticket>>,
    lookups: HashMap<CommandId, Vec<Ticket>>,
    next: Ticket,
}

/// What has to be fetched for a job that was seated.
#[derive(Default)]
pub(super) struct Fetch {
    pub(super) streams: Vec<StreamId>,
    pub(super) lookup: Option<CommandId>,
}

impl WaitingRoom {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether somebody waits on one of the streams: a later job on it must not overtake.
    pub(super) fn has_queue(&self, streams: &[StreamId]) -> bool {
        streams.iter().any(|stream| self.queues.contains_key(stream))
    }

    /// Seats a job that misses some streams and perhaps a lookup; answers what nobody fetches yet.
    pub(super) fn seat(&mut self, job: Job, missing: Vec<StreamId>, lookup: Option<CommandId>) -> Fetch {
        let ticket = self.next;
        self.next += 1;
        let streams = job.streams();
        for stream in &streams {
            self.queues.entry(stream.clone()).or_default().push_back(ticket);
        }
        let mut fetch = Fetch::default();
        let mut count = 0;
        for stream in missing {
            count += 1;
            let waiters = self.loading.entry(stream.clone()).or_default();
            if waiters.is_empty() {
                fetch.streams.push(stream);
            }
            waiters.push(ticket);
        }
        if let Some(id) = lookup {
            count += 1;
            let waiters = self.lookups.entry(id).or_default();
            if waiters.is_empty() {
                fetch.lookup = Some(id);
            }
            waiters.push(ticket);
        }
        self.jobs.insert(ticket, Waiting { job, streams, missing: count });
        fetch
    }

    /// A stream was loaded: answers the jobs that may run now, in order.
    pub(super) fn loaded(&mut self, stream: &StreamId) -> Vec<Job> {
        for ticket in self.loading.remove(stream).unwrap_or_default() {
            if let Some(waiting) = self.jobs.get_mut(&ticket) {
                waiting.missing -= 1;
            }
        }
        self.release(vec![stream.clone()])
    }

    /// A stream couldn't be loaded: its waiters fail, each shown to `leaving` first; answers the jobs that this sets free.
    pub(super) fn load_failed(
        &mut self,
        stream: &StreamId,
        error: &CommandError,
        mut leaving: impl FnMut(&Job),
    ) -> Vec<Job> {
        let tickets = self.loading.remove(stream).unwrap_or_default();
        self.remove_each(tickets, |job| {
            leaving(&job);
            job.fail(error.clone());
        })
    }

    /// A command id has no result: answers the jobs that may run now.
    pub(super) fn looked_up(&mut self, id: CommandId) -> Vec<Job> {
        let mut streams = Vec::new();
        let mut free = Vec::new();
        for ticket in self.lookups.remove(&id).unwrap_or_default() {
            let Some(waiting) = self.jobs.get_mut(&ticket) else { continue };
            waiting.missing -= 1;
            waiting.job.set_looked_up();
            if waiting.streams.is_empty() && waiting.missing == 0 {
                free.extend(self.jobs.remove(&ticket).map(|waiting| waiting.job));
            } else {
                streams.extend(waiting.streams.iter().cloned());
            }
        }
        free.extend(self.release(streams));
        free
    }

    /// A lookup ended otherwise: `end` disposes of its jobs; answers the jobs that this sets free.
    pub(super) fn lookup_ended(&mut self, id: CommandId, end: impl FnMut(Job)) -> Vec<Job> {
        let tickets = self.lookups.remove(&id).unwrap_or_default();
        self.remove_each(tickets, end)
    }

    fn remove_each(&mut self, tickets: Vec<Ticket>, mut end: impl FnMut(Job)) -> Vec<Job> {
        let mut streams = Vec::new();
        for ticket in tickets {
            if let Some(waiting) = self.jobs.remove(&ticket) {
                self.leave_queues(ticket, &waiting.streams);
                streams.extend(waiting.streams);
                end(waiting.job);
            }
        }
        self.release(streams)
    }

    fn leave_queues(&mut self, ticket: Ticket, streams: &[StreamId]) {
        for stream in streams {
            if let Some(queue) = self.queues.get_mut(stream) {
                queue.retain(|t| *t != ticket);
                if queue.is_empty() {
                    self.queues.remove(stream);
                }
            }
        }
    }

    fn release(&mut self, mut streams: Vec<StreamId>) -> Vec<Job> {
        let mut free = Vec::new();
        while let Some(stream) = streams.pop() {
            while let Some(ticket) = self.queues.get(&stream).and_then(|queue| queue.front().copied()) {
                let first_everywhere = self.jobs.get(&ticket).is_some_and(|waiting| {
                    waiting.missing == 0
                        && waiting
                            .streams
                            .iter()
                            .all(|s| self.queues.get(s).and_then(|queue| queue.front()) == Some(&ticket))
                });
                if !first_everywhere {
                    break;
                }
                let Some(waiting) = self.jobs.remove(&ticket) else { break };
                self.leave_queues(ticket, &waiting.streams);
                streams.extend(waiting.streams.into_iter().filter(|s| *s != stream));
                free.push(waiting.job);
            }
        }
        free
    }

    /// Everybody leaves unanswered, for a loop that ends.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let jobs = std::mem::take(self).jobs;
        jobs.into_values().map(|waiting| waiting.job).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::job::AnswerTo;

    fn read(streams: &[&str]) -> Job {
        let streams = streams.iter().map(|id| StreamId::new("t", "k", id)).collect();
        Job::Read { streams, reply: AnswerTo::channel().0 }
    }

    fn ids(jobs: &[Job]) -> Vec<Vec<String>> {
        jobs.iter().map(|job| job.streams().iter().map(|s| s.id().to_owned()).collect()).collect()
    }

    fn stream(id: &str) -> StreamId {
        StreamId::new("t", "k", id)
    }

    #[test]
    fn jobs_leave_in_order_per_stream_and_only_when_first_everywhere() {
        let mut room = WaitingRoom::default();
        room.seat(read(&["a"]), vec![stream("a")], None);
        let fetch = room.seat(read(&["a", "b"]), vec![stream("a"), stream("b")], None);
        assert_eq!(fetch.streams, [stream("b")], "a is being fetched already");
        room.seat(read(&["b"]), vec![stream("b")], None);
        assert_eq!(ids(&room.loaded(&stream("b"))), Vec::<Vec<String>>::new(), "both wait behind a");
        assert_eq!(ids(&room.loaded(&stream("a"))), [vec!["a"], vec!["a", "b"], vec!["b"]]);
        assert_eq!(room.len(), 0);
        assert!(!room.has_queue(&[stream("a"), stream("b")]));
    }

    #[test]
    fn a_failed_load_sets_those_behind_free() {
        let mut room = WaitingRoom::default();
        room.seat(read(&["a", "b"]), vec![stream("a")], None);
        room.seat(read(&["b"]), vec![], None);
        let free = room.load_failed(&stream("a"), &CommandError::Overloaded, |_| ());
        assert_eq!(ids(&free), [vec!["b"]]);
    }

    #[test]
    fn a_job_without_streams_waits_for_its_lookup_only() {
        let mut room = WaitingRoom::default();
        let id = CommandId::fresh();
        let job = Job::Answered { id, body_hash: [0; 32], reply: AnswerTo::channel().0, looked_up: false };
        assert_eq!(room.seat(job, vec![], Some(id)).lookup, Some(id));
        assert_eq!(room.looked_up(id).len(), 1);
    }
}
