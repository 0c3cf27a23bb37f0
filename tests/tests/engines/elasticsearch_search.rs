//! The search contract over Elasticsearch.
