//! Sagas: order fulfilment with its compensations, and the worker that drives them.
