//! The contract of [`ReadModels`], together with the runners that fill them. [`read_models_contract!`](crate::read_models_contract) makes
//! a test of every case; the cases are generic over a [`ReadModelsFactory`], so that every backend passes the same ones.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::catalogue::product::{ProductCommand, ProductView};
use domain::money::{Currency, Money};
use domain::ordering::order::{EndReason, OrderStatus};
use domain::payments::payment::{PaymentStatus, RefundReason};
use domain::personal::Sealed;
use domain::ports::feed::{FanOut, Feed};
use domain::ports::log::{EventLog, LogReader};
use domain::position::{Position, Seen, Shard, SyncToken};
use domain::reviews::review::ReviewStatus;
use domain::shipping::shipment::ShipmentStatus;
use domain::stream::StreamId;
use infra::event_scan::ScanLimits;
use infra::feed::InProcessFeed;
use infra::sqlite::log::SqliteLog;
use projections::audit::events::{self, ReadStreams as _};
use projections::catalogue::documents::{self, ProductSearch as _};
use projections::catalogue::products::{self, ProductFilter, ProductSort, ReadProducts as _};
use projections::engine::events::EventFilter;
use projections::engine::query::{Direction, Page, Select};
use projections::engine::read_models::{ReadError, ReadModels};
use projections::engine::rows::{ColumnKind, Value};
use projections::engine::search::TextSearch;
use projections::identity::users::ReadUsers as _;
use projections::inventory::ReadStock as _;
use projections::ordering::orders::{OrderFilter, ReadOrders as _};
use projections::payments::ReadPayments as _;
use projections::reviews::review::{ReviewFilter, ReviewSort};
use projections::shipping::ReadShipments as _;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::history::{History, Story, details, stream, usd};

const SHARDS: u16 = 4;
const WAIT: Duration = crate::shop::SETTLES_WITHIN;

const STORIES: [Story; 4] = [Story::Delivered, Story::Paid, Story::Declined, Story::OutOfStock];

/// Read models and the search beside them.
pub struct Started {
    /// The questions.
    pub models: Arc<dyn ReadModels>,
    /// The search in products.
    pub search: Arc<dyn TextSearch>,
}

/// Every projection that queries wait for.
#[must_use]
pub fn projection_names() -> Vec<&'static str> {
    let rows = infra::shop::projections().rows;
    rows.iter().map(|projection| projection.name()).chain([documents::NAME]).collect()
}

/// Starts empty read models.
#[async_trait]
pub trait ReadModelsFactory: Send + Sync {
    /// Read models that follow the feed until the shutdown, with bounds of what a page of events may cost.
    async fn start(
        &self,
        feed: Arc<dyn Feed>,
        log: Arc<dyn LogReader>,
        scans: ScanLimits,
        shutdown: CancellationToken,
    ) -> Started;

    /// Waits until what was started has ended, and removes it.
    async fn remove(&self);
}

/// A log, its feed and read models over it.
struct World {
    log: Arc<SqliteLog>,
    history: History,
    published: usize,
    _dir: TempDir,
}

struct Running {
    models: Arc<dyn ReadModels>,
    search: Arc<dyn TextSearch>,
    feed: Arc<InProcessFeed>,
    shutdown: CancellationToken,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(SqliteLog::open(dir.path(), SHARDS).unwrap());
        let history = History::new(log.clone() as Arc<dyn EventLog>);
        Self { log, history, published: 0, _dir: dir }
    }

    async fn start(&mut self, factory: &dyn ReadModelsFactory) -> Running {
        self.start_with(factory, ScanLimits::default()).await
    }

    async fn start_with(&mut self, factory: &dyn ReadModelsFactory, scans: ScanLimits) -> Running {
        let feed = Arc::new(InProcessFeed::open(self.log.clone()).await.unwrap());
        self.published = self.history.frames.len();
        let shutdown = CancellationToken::new();
        let Started { models, search } =
            factory.start(feed.clone(), self.log.clone(), scans, shutdown.clone()).await;
        Running { models, search, feed, shutdown }
    }

    /// Hands new frames to the feed, as an owner does right after deciding them.
    fn publish(&mut self, running: &Running) {
        for frame in &self.history.frames[self.published..] {
            running.feed.publish(Arc::clone(frame));
        }
        self.published = self.history.frames.len();
    }

    /// A token of everything decided so far.
    fn token(&self) -> SyncToken {
        let mut token = SyncToken::default();
        self.history.heads().into_iter().filter(|head| head.n > 0).for_each(|head| token.add(head));
        token
    }
}

impl Running {
    async fn caught_up(&self, token: &SyncToken) {
        for model in projection_names() {
            self.models.wait_for(model, token, WAIT).await.unwrap();
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
    }
}

/// A query that waits for a command's position sees what the command did, in the rows and in the search.
// proves: QRY-1
pub async fn a_query_with_a_token_sees_what_the_token_names(factory: &dyn ReadModelsFactory) {
    let mut world = World::new();
    let running = world.start(factory).await;
    for n in 0..30 {
        let id = world.history.product(details(n), 1_000).await;
        world.publish(&running);
        let token = SyncToken::of(world.history.events.last().unwrap().position);
        running.models.wait_for(products::NAME, &token, WAIT).await.unwrap();
        assert!(running.models.product("default", id).await.unwrap().is_some());
        running.models.wait_for(documents::NAME, &token, WAIT).await.unwrap();
        let page = Page { after: None, limit: 100 };
        let filter = ProductFilter::default();
        let hits = running
            .search
            .search_products("default", "thing", &filter, ProductSort::Created, &page)
            .await
            .unwrap();
        assert_eq!(hits.total, n as u64 + 1);
        assert!(hits.page.items.iter().any(|product| product.id == id));
    }
    running.stop().await;
}

/// A query whose token nothing covers gives up.
// proves: QRY-1
pub async fn a_token_beyond_the_head_is_stale(factory: &dyn ReadModelsFactory) {
    let mut world = World::new();
    let running = world.start(factory).await;
    let token = SyncToken::of(Position { shard: Shard(1), n: 1_000 });
    for model in projection_names() {
        let answer = running.models.wait_for(model, &token, Duration::from_millis(20)).await;
        assert!(matches!(answer, Err(ReadError::Stale { .. })), "{model:?}");
    }
    running.stop().await;
}

/// Every question is answered from the rows of every projection.
// proves: ORD-1, CAT-1, INV-3, SEC-4
pub async fn questions_are_answered_from_rows(factory: &dyn ReadModelsFactory) {
    let mut world = World::new();
    let orders = world.history.shop(&STORIES).await;
    let running = world.start(factory).await;
    running.caught_up(&world.token()).await;
    let models = &running.models;

    let delivered = models.order("default", orders[0]).await.unwrap().unwrap();
    assert_eq!((delivered.status, delivered.total), (OrderStatus::Completed, usd(3_000)));
    assert_eq!(delivered.items.iter().map(|l| (l.line, l.quantity)).collect::<Vec<_>>(), [(1, 2), (2, 1)]);
    let (paid, sent) = (delivered.payment.unwrap(), delivered.shipment.unwrap());
    let shown = (PaymentStatus::PartiallyRefunded, ShipmentStatus::Delivered);
    assert_eq!((paid.status, sent.status), shown);
    let payment = models.payment("default", paid.id).await.unwrap().unwrap();
    assert_eq!((payment.captured, payment.refunded, payment.order_id), (usd(3_000), usd(500), orders[0]));
    assert!(payment.refunds.len() == 1 && payment.refunds[0].settled);
    // As the log has it: whoever may see it opens it.
    assert!(payment.refunds[0].reason == RefundReason::Sealed(Sealed::from_text("v1.a-scratch".into())));
    assert_eq!(
        (delivered.payment_version, delivered.shipment_version),
        (payment.version, 4),
        "the versions of the parts that the order shows"
    );
    let shipment = models.shipment("default", sent.id).await.unwrap().unwrap();
    assert_eq!(shipment.carrier_reference.as_deref(), Some("car_1"));
    let declined = models.order("default", orders[2]).await.unwrap().unwrap();
    let ended = (OrderStatus::Cancelled, Some(EndReason::PaymentDeclined));
    assert_eq!((declined.status, declined.reason), ended);
    assert_eq!(declined.payment.unwrap().status, PaymentStatus::Declined);
    assert!(declined.shipment.is_none());
    let sold_out = models.order("default", orders[3]).await.unwrap().unwrap();
    assert!(sold_out.payment.is_none() && sold_out.reason == Some(EndReason::OutOfStock));
    assert!(models.order("other", orders[0]).await.unwrap().is_none());
    let user = models.user("default", delivered.customer_id).await.unwrap().unwrap();
    assert_eq!((user.name.as_text(), user.version), ("v1.other", 2));

    let (all, page) = (ProductFilter::default(), Page { after: None, limit: 9 });
    let products = models.products("default", &all, ProductSort::Name, &page).await.unwrap();
    assert_eq!(products.items.len(), 4);
    assert_eq!(products.items[0].name, "Crème brûlée torch");
    let stock = models.stock("default", &[products.items[0].id, products.items[1].id]).await.unwrap();
    assert_eq!(stock.iter().filter(|s| s.warehouse == "main").count(), 2);

    let mine = OrderFilter { customer_id: Some(delivered.customer_id), status: None };
    let page = Page { after: None, limit: 10 };
    let listed = models.orders("default", &mine, &page).await.unwrap();
    assert_eq!(listed.items.iter().map(|o| o.id).collect::<Vec<_>>(), [orders[0]]);
    running.stop().await;
}

/// Pages of any size, put together, are the whole list in every order; a foreign cursor is refused.
// proves: ORD-1, CAT-1, CAT-2
pub async fn pages_of_rows_put_together_are_the_whole_list(factory: &dyn ReadModelsFactory) {
    let mut world = World::new();
    let orders = world.history.shop(&[STORIES, STORIES].concat()).await;
    for n in 0..20 {
        let currency = Currency::ALL[usize::try_from(n).unwrap() % Currency::ALL.len()];
        world.history.priced_product(details(n), Money::new(100 * (n % 4) + 100, currency)).await;
    }
    let running = world.start(factory).await;
    running.caught_up(&world.token()).await;
    let models = &running.models;
    for limit in [1, 3, 8] {
        let mut page = Page { after: None, limit };
        let mut found = Vec::new();
        loop {
            let listed = models.orders("default", &OrderFilter::default(), &page).await.unwrap();
            assert!(listed.items.len() <= limit && listed.items.iter().all(|order| !order.items.is_empty()));
            found.extend(listed.items.into_iter().map(|order| order.id));
            page.after = listed.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(found, orders);
    }
    let odd = ProductFilter { category: Some("odd".into()), ..ProductFilter::default() };
    let page = Page { after: None, limit: 100 };
    let found = models.products("default", &odd, ProductSort::Created, &page).await.unwrap().items;
    // Ten of these, and two of the shop.
    assert_eq!(found.len(), 12, "categories are compared in their normal form");
    assert!(found.iter().any(|product| product.category == " ODD"), "and shown as they are stored");
    let sorts = [ProductSort::Created, ProductSort::PriceAsc, ProductSort::PriceDesc, ProductSort::Name];
    for sort in sorts {
        let filter = ProductFilter::default();
        let whole =
            models.products("default", &filter, sort, &Page { after: None, limit: 100 }).await.unwrap().items;
        assert_eq!(whole.len(), 24);
        // Amounts of two currencies are never compared: the list is one after the other.
        let code = |product: &ProductView| product.price.currency.code();
        match sort {
            ProductSort::PriceAsc => {
                assert!(whole.is_sorted_by_key(|p| (code(p), p.price.amount, p.id)));
            }
            ProductSort::PriceDesc => {
                assert!(whole.is_sorted_by_key(|p| (code(p), -p.price.amount, p.id)));
            }
            _ => {}
        }
        let mut page = Page { after: None, limit: 5 };
        let mut found = Vec::new();
        loop {
            let listed = models.products("default", &filter, sort, &page).await.unwrap();
            found.extend(listed.items);
            page.after = listed.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(found, whole, "{sort:?}");
        // The search, asked for everything in the same order, agrees.
        let hits = running
            .search
            .search_products("default", "", &filter, sort, &Page { after: None, limit: 100 })
            .await
            .unwrap();
        assert_eq!(hits.page.items, whole, "{sort:?}");
    }
    for currency in Currency::ALL {
        let filter =
            ProductFilter { currency: Some(currency), max_price: Some(200), ..ProductFilter::default() };
        let page = Page { after: None, limit: 100 };
        let cheap = models.products("default", &filter, ProductSort::PriceAsc, &page).await.unwrap().items;
        assert!(cheap.iter().all(|p| p.price.currency == currency && p.price.amount <= 200));
        assert!(!cheap.is_empty(), "{currency}");
    }
    let broken = Page { after: Some("x".into()), limit: 5 };
    let orders = models.orders("default", &OrderFilter::default(), &broken).await;
    assert_eq!(orders.unwrap_err(), ReadError::BadCursor);
    let products = models.products("default", &ProductFilter::default(), ProductSort::Created, &broken).await;
    assert_eq!(products.unwrap_err(), ReadError::BadCursor);
    running.stop().await;
}

/// Auditors see the events up to the heads that they pinned, whatever is decided meanwhile.
// proves: AUD-1, SEC-4
pub async fn auditors_page_through_pinned_heads(factory: &dyn ReadModelsFactory) {
    let mut world = World::new();
    world.history.shop(&STORIES).await;
    let other = StreamId::new("other", "product", Uuid::now_v7());
    world.history.decide(&other, ProductCommand::Create { details: details(1), price: usd(1) }).await;
    let running = world.start(factory).await;
    running.caught_up(&world.token()).await;
    let models = &running.models;
    let heads: Seen = models.seen(events::NAME);
    let before = world.history.events.len();
    world.history.shop(&STORIES).await;
    world.publish(&running);
    running.caught_up(&world.token()).await;

    let mut expected: Vec<_> = world.history.events[..before].to_vec();
    expected.retain(|event| event.stream.tenant() == "default");
    expected.sort_by_key(|event| event.position);
    let found = all_events(models, &EventFilter::default(), &heads, 7).await.0;
    assert_eq!(found, expected);

    // Inclusive, and on through the later shards.
    let middle = expected[expected.len() / 2].position;
    let rest = models.events("default", &EventFilter::default(), middle, &heads, 1_000).await.unwrap();
    assert_eq!((rest.events.as_slice(), rest.next), (&expected[expected.len() / 2..], None));
    let of = async |filter| models.events("default", &filter, FIRST, &heads, 100).await.unwrap().events;
    let paid = EventFilter { event_type: Some("order.paid".into()), ..EventFilter::default() };
    assert_eq!(of(paid).await.len(), 2);
    let one = EventFilter { correlation_id: Some(expected[5].correlation_id), ..EventFilter::default() };
    assert!(of(one).await.contains(&expected[5]));
    let nobody = EventFilter { actor: Some("user:x".into()), ..EventFilter::default() };
    assert!(of(nobody).await.is_empty());
    running.stop().await;
}

/// Every combination of what events can be asked for by.
#[must_use]
pub fn event_filters() -> Vec<EventFilter> {
    let some = |set: bool, value: &str| set.then(|| value.to_owned());
    let filter = |n: u8| EventFilter {
        event_type: some(n & 1 > 0, "order.7"),
        actor: some(n & 2 > 0, "user:7"),
        correlation_id: (n & 4 > 0).then(Uuid::now_v7),
    };
    (0..8).map(filter).collect()
}

/// What lists of rows are asked for, from their beginning and from a place on.
#[must_use]
pub fn list_questions() -> Vec<Select> {
    let sorts = [ProductSort::Created, ProductSort::PriceAsc, ProductSort::PriceDesc, ProductSort::Name];
    let category = ProductFilter { category: Some("things".into()), ..ProductFilter::default() };
    let mut questions: Vec<Select> = [ProductFilter::default(), category]
        .iter()
        .flat_map(|filter| sorts.map(|sort| filter.select("default", sort)))
        .collect();
    let (customer_id, status) = (Some(Uuid::from_u128(7)), Some(OrderStatus::Paid));
    let filters = [
        OrderFilter::default(),
        OrderFilter { customer_id, status: None },
        OrderFilter { customer_id: None, status },
        OrderFilter { customer_id, status },
    ];
    questions.extend(filters.iter().map(|filter| filter.select("default")));
    let product_id = Uuid::from_u128(7);
    questions.extend([ReviewSort::Newest, ReviewSort::Best].map(|sort| sort.select("default", product_id)));
    for customer_id in [None, customer_id] {
        let filters = [None, Some(ReviewStatus::Hidden)].map(|status| ReviewFilter { customer_id, status });
        questions.extend(filters.iter().map(|filter| filter.select("default")));
    }
    let place = |select: &Select| {
        let value = |(column, _): &(&'static str, Direction)| match select.table.column(column).unwrap().1 {
            ColumnKind::Int => Value::Int(7),
            ColumnKind::Uuid => Value::Uuid(Uuid::from_u128(7)),
            ColumnKind::Time => Value::Time(domain::Timestamp::UNIX_EPOCH),
            _ => Value::Text("EUR".into()),
        };
        Select { after: Some(select.order.iter().map(value).collect()), ..select.clone() }
    };
    let later: Vec<Select> = questions.iter().map(place).collect();
    questions.extend(later);
    for question in &mut questions {
        question.limit = Some(101);
    }
    questions
}

const FIRST: Position = Position { shard: Shard(0), n: 1 };

/// All events that match, page by page, and the pages' sizes.
async fn all_events(
    models: &Arc<dyn ReadModels>,
    filter: &EventFilter,
    heads: &Seen,
    limit: usize,
) -> (Vec<Arc<domain::event::RecordedEvent>>, Vec<usize>) {
    let (mut found, mut sizes, mut from) = (Vec::new(), Vec::new(), FIRST);
    loop {
        let page = models.events("default", filter, from, heads, limit).await.unwrap();
        assert!(page.events.len() <= limit && page.next.is_none_or(|next| next > from), "{page:?}");
        sizes.push(page.events.len());
        found.extend(page.events);
        match page.next {
            Some(next) => from = next,
            None => return (found, sizes),
        }
    }
}

/// Where few events match, a page ends when it has cost enough, with what it found, and the list goes on where it ended: nothing is
/// lost and nothing comes twice.
// proves: AUD-1, SEC-10
pub async fn a_page_of_rare_events_is_cut_and_goes_on(factory: &dyn ReadModelsFactory) {
    let mut world = World::new();
    for _ in 0..3 {
        world.history.shop(&STORIES).await;
    }
    let scans = ScanLimits { window: 16, time: Duration::ZERO };
    let running = world.start_with(factory, scans).await;
    running.caught_up(&world.token()).await;
    let heads: Seen = running.models.seen(events::NAME);
    let mut all: Vec<_> = world.history.events.clone();
    all.sort_by_key(|event| event.position);
    let paid = all.iter().find(|event| event.event_type == "order.paid").unwrap();
    let filters = [
        EventFilter::default(),
        EventFilter { event_type: Some("order.paid".into()), ..EventFilter::default() },
        EventFilter { actor: Some(paid.actor.clone()), ..EventFilter::default() },
        EventFilter {
            event_type: Some("order.paid".into()),
            actor: Some(paid.actor.clone()),
            correlation_id: Some(paid.correlation_id),
        },
        EventFilter { event_type: Some("no.such".into()), ..EventFilter::default() },
    ];
    for filter in filters {
        let matches = |event: &domain::event::RecordedEvent| {
            filter.event_type.as_ref().is_none_or(|wanted| *wanted == event.event_type)
                && filter.actor.as_ref().is_none_or(|wanted| *wanted == event.actor)
                && filter.correlation_id.is_none_or(|wanted| wanted == event.correlation_id)
        };
        let expected: Vec<_> = all.iter().filter(|event| matches(event)).cloned().collect();
        let (found, sizes) = all_events(&running.models, &filter, &heads, 5).await;
        assert_eq!(found, expected, "{filter:?}");
        // A window of every shard at least is a page of its own.
        assert!(sizes.len() >= all.len() / 16 && sizes.len() <= all.len(), "{filter:?}: {sizes:?}");
    }
    running.stop().await;
}

/// Values that no row can hold find nothing, and are no fault of the storage.
// proves: SEC-10
pub async fn odd_values_find_nothing(factory: &dyn ReadModelsFactory) {
    let mut world = World::new();
    world.history.shop(&STORIES).await;
    let running = world.start(factory).await;
    running.caught_up(&world.token()).await;
    let models = &running.models;
    let page = Page { after: None, limit: 10 };
    for odd in ["\0", "a\0b", "", "' OR true --", "\u{10ffff}", "%"] {
        let filter = ProductFilter { category: Some(odd.into()), ..ProductFilter::default() };
        let found = models.products("default", &filter, ProductSort::Name, &page).await.unwrap();
        assert!(found.items.is_empty(), "{odd:?}");
        assert!(models.order(odd, Uuid::now_v7()).await.unwrap().is_none(), "{odd:?}");
        let odd_stream = StreamId::new("default", "product", odd);
        assert!(!models.is_parked(products::NAME, &odd_stream).await.unwrap(), "{odd:?}");
        assert!(models.stream_events(&odd_stream, 0, 10).await.unwrap().is_empty(), "{odd:?}");
    }
    let whole =
        ProductFilter { min_price: Some(i64::MIN), max_price: Some(i64::MAX), ..ProductFilter::default() };
    assert_eq!(models.products("default", &whole, ProductSort::Name, &page).await.unwrap().items.len(), 4);
    assert!(models.stock("default", &[]).await.unwrap().is_empty());
    running.stop().await;
}

/// A stream with an event that can't be read is parked in what reads it, and nowhere else; auditors see its events.
// proves: EVT-4, AUD-1
pub async fn a_parked_stream_is_told_of(factory: &dyn ReadModelsFactory) {
    let mut world = World::new();
    let poisoned = stream("product", Uuid::now_v7());
    world.history.forge(&poisoned, "product.created", "{\"nonsense\":true}").await;
    let sound = world.history.product(details(1), 100).await;
    let running = world.start(factory).await;
    running.caught_up(&world.token()).await;
    for (model, parked) in [(products::NAME, true), (documents::NAME, true), (events::NAME, false)] {
        assert_eq!(running.models.is_parked(model, &poisoned).await.unwrap(), parked, "{model:?}");
        assert!(!running.models.is_parked(model, &stream("product", sound)).await.unwrap());
    }
    let events = running.models.stream_events(&poisoned, 0, 10).await.unwrap();
    assert_eq!(events.iter().map(|e| e.data.as_str()).collect::<Vec<_>>(), ["{\"nonsense\":true}"]);
    running.stop().await;
}

/// Makes a test of every case of the contract.
#[macro_export]
macro_rules! read_models_contract {
    ($factory:expr) => {
        $crate::read_models_contract!(@cases $factory;
            a_query_with_a_token_sees_what_the_token_names,
            a_token_beyond_the_head_is_stale,
            questions_are_answered_from_rows,
            pages_of_rows_put_together_are_the_whole_list,
            auditors_page_through_pinned_heads,
            a_page_of_rare_events_is_cut_and_goes_on,
            odd_values_find_nothing,
            a_parked_stream_is_told_of
        );
    };
    (@cases $factory:expr; $($case:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let factory = $factory;
                $crate::contract::read_models::$case(&factory).await;
                $crate::contract::read_models::ReadModelsFactory::remove(&factory).await;
            }
        )+
    };
}
