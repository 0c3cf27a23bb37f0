use std::collections::HashMap;

use uuid::Uuid;

use super::rating::{self, ProductRating};
use super::review::{HideReason, ReviewCommand};
use super::*;
use crate::aggregate::StreamState;
use crate::command::{CommandError, CommandId, CommandRequest, Step};
use crate::follow_on::{Effect, Loaded, decide};
use crate::testing::{at, id, sealed};

const SHARDS: u16 = 16;

// proves: CAT-3
#[test]
fn a_customer_has_one_review_of_a_product_in_the_shard_of_its_rating() {
    let mut ids = std::collections::BTreeSet::new();
    for (product, customer) in (0..40_u128).map(|n| (Uuid::from_u128(n % 8), format!("c{}", n / 8))) {
        let review = review_of("default", product, &customer, SHARDS);
        assert_eq!(review, review_of("default", product, &customer, SHARDS));
        assert_eq!(review.shard(SHARDS), rating::stream("default", product).shard(SHARDS));
        assert!(ids.insert(review.id().to_owned()), "two share {review}");
    }
    let elsewhere = review_of("other", Uuid::from_u128(0), "c0", SHARDS);
    assert!(!ids.contains(elsewhere.id()), "a tenant's ids are its own");
}

/// The streams of a shard.
struct Memory(Registry, HashMap<StreamId, (Box<dyn StreamState>, u64)>);

impl Loaded for Memory {
    fn get(&self, stream: &StreamId) -> Option<(&dyn StreamState, u64)> {
        self.1.get(stream).map(|(state, version)| (&**state, *version))
    }
}

impl Memory {
    fn new() -> Self {
        Self(aggregates(Registry::default()), HashMap::new())
    }

    fn run(&mut self, customer: u8, command: ReviewCommand) -> Result<(), CommandError> {
        let stream = review_of("default", id(1), &customer.to_string(), SHARDS);
        for reached in [stream.clone()].into_iter().chain(self.0.reach(&stream, &command, SHARDS)) {
            let initial = || (self.0.initial(reached.kind()).unwrap(), 0);
            self.1.entry(reached.clone()).or_insert_with(initial);
        }
        let request = CommandRequest::new(CommandId::fresh(), "test", vec![Step::new(stream, command)]);
        let decisions = decide(&request, self, &self.0, at(0))?;
        for decision in decisions {
            let (state, version) = self.1.get_mut(&decision.stream).unwrap();
            *version += decision.events.len() as u64;
            match decision.effect {
                Effect::Fold(decided) => state.evolve(decided),
                Effect::Become(other) => *state = other,
                Effect::Elsewhere => {}
            }
        }
        Ok(())
    }

    fn rating(&self) -> (u64, u64) {
        let (state, _) = &self.1[&rating::stream("default", id(1))];
        let rating: &ProductRating = state.as_any().downcast_ref().unwrap();
        (rating.count, rating.sum)
    }
}

// proves: CAT-3
#[test]
fn a_products_rating_is_counted_in_the_frame_of_its_reviews() {
    let mut memory = Memory::new();
    let product_id = id(1);
    let write = |customer, rating| {
        let (customer_id, text) = (id(customer), sealed("good"));
        ReviewCommand::Write { product_id, customer_id, order_id: id(90), rating, text }
    };
    for (customer, command, rating) in [
        (2, write(2, 5), (1, 5)),
        (3, write(3, 2), (2, 7)),
        (3, ReviewCommand::Change { product_id, rating: 4, text: sealed("better") }, (2, 9)),
        (2, ReviewCommand::Hide { product_id, reason: HideReason::Spam }, (1, 4)),
        (2, ReviewCommand::Withdraw { product_id }, (1, 4)),
        (2, ReviewCommand::Show { product_id }, (1, 4)),
        (2, write(2, 1), (2, 5)),
        (3, ReviewCommand::Withdraw { product_id }, (1, 1)),
    ] {
        memory.run(customer, command.clone()).unwrap();
        assert_eq!(memory.rating(), rating, "{command:?} of {customer}");
    }
    assert!(memory.run(2, write(2, 5)).is_err());
    assert_eq!(memory.rating(), (1, 1), "what is refused counts for nothing");
}
