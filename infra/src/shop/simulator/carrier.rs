//! The carrier. One booking per key, whatever is repeated.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use sagas::fulfilment::ports::{Booking, BookingRequest, Carrier, ProviderError};
use uuid::Uuid;

use super::switches::{self, Who};
use super::{Failure, Simulator};

/// The country that the carrier doesn't serve: Antarctica.
pub(super) const UNSERVED: &str = "AQ";

fn booking(reference: String, status: &str) -> Booking {
    match status {
        "refused" => Booking::Refused { reason: "the carrier doesn't carry this".to_owned() },
        // A booking that was called off was booked: the answer to the call stays what it was.
        _ => Booking::Booked { reference },
    }
}

fn book(tx: &Connection, request: &BookingRequest) -> Result<Booking, Failure> {
    let refuses = switches::refuses(tx, Who::Carrier)?;
    let known: Option<(String, String)> = tx
        .prepare_cached(include_str!("sql/select_booking.sql"))?
        .query_row([&request.key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((reference, status)) = known {
        return Ok(booking(reference, &status));
    }
    let reference = Uuid::now_v7().to_string();
    let status = if refuses || request.country == UNSERVED { "refused" } else { "booked" };
    tx.prepare_cached(include_str!("sql/insert_booking.sql"))?.execute(params![
        request.key,
        reference,
        request.shipment_id.to_string(),
        request.order_id.to_string(),
        request.country,
        status,
    ])?;
    Ok(booking(reference, status))
}

#[async_trait]
impl Carrier for Simulator {
    async fn book(&self, request: &BookingRequest) -> Result<Booking, ProviderError> {
        let request = request.clone();
        self.run(move |tx, _| book(tx, &request)).await
    }

    async fn cancel(&self, key: &str) -> Result<(), ProviderError> {
        let key = key.to_owned();
        self.run(move |tx, _| {
            if switches::refuses(tx, Who::Carrier)? {
                return Err(Failure(ProviderError::Refused("the carrier refuses every call".to_owned())));
            }
            tx.execute(include_str!("sql/cancel_booking.sql"), [key])?;
            Ok(())
        })
        .await
    }
}
