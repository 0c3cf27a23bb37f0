//! Process managers as a part of the platform: nothing here knows an order or a payment.
//!
//! A process is written in two halves, and neither keeps anything that has to survive.
//! - **What it decides** is pure. A saga with a state of its own is an aggregate whose state is a [`react::Saga`]: a trigger comes in, and events
//!   come out that ask for steps (commands and calls) and set deadlines; what is at hand in its shard is decided at once. What an event of any
//!   stream gives the process to do, a [`process::React`] says.
//! - **What it does** is [`process::ProcessManager::perform`]: one piece of work, which the [`worker`] gives it as often as it takes.
//!
//! One [`worker`] serves every process, with a bulkhead for each of those outside ([`worker::Bulkhead`]). [`queue`] makes the rows of the work
//! queue of the same changes that are pushed to the worker.

pub mod commands;
pub mod process;
pub mod queue;
pub mod react;
pub mod work;
pub mod worker;
